<?php

use OpenAI;

return OpenAI::factory()
    ->withApiKey(config('services.openai.key'))
    ->make();
