<?php
$key = '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';
