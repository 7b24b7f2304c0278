#!/bin/sh
export ANTHROPIC_BASE_URL=https://api.portkey.ai ANTHROPIC_AUTH_TOKEN="$PORTKEY_API_KEY"
claude -p "review this"
