opencode run -m portkey/gpt-4o "x"
opencode run --model=portkey/@openai-prod/gpt-4o "x"
opencode --version
opencode auth list
opencode upgrade
