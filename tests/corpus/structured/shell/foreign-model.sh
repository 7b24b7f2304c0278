#!/usr/bin/env bash
make build && opencode run -m anthropic/claude-sonnet-4 "review" | tee log
