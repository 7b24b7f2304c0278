#!/bin/bash
opencode "$@"
opencode run "${args[@]}"
opencode run -m "$MODEL" hi
