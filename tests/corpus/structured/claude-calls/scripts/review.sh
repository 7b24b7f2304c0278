#!/bin/sh
claude -p "review this"
claude --version
npx @anthropic-ai/claude-code --bg "watch"
claude mcp list
