opencode run -m "anthropic/$MODEL" hi
