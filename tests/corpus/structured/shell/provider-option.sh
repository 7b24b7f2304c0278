opencode run --provider portkey --model gpt-4o "x"
opencode run --provider anthropic --model claude-3-opus "x"
