AGENT=opencode
$AGENT run -m openai/gpt-5 "hi"
"$AGENT" run -m portkey/gpt-4o "hi"
BIN=/usr/local/bin/opencode
exec "$BIN" serve
$OTHER run -m openai/gpt-5 "hi"
