opencode run --model gpt-4o "x"
