<?php

use OpenAI;

return OpenAI::factory()
    ->withApiKey(config('services.openai.key'))
    ->withBaseUri(config('services.gateway.url'))
    ->make();
