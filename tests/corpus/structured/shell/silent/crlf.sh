opencode run -m portkey/gpt-4o hi
echo "opencode serve"
