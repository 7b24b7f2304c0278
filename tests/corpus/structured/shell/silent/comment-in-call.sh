opencode run -m portkey/gpt-4o \
  --file a.txt \
  "opencode run -m anthropic/claude"  # opencode serve
