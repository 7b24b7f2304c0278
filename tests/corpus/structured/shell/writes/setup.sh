#!/bin/sh
mkdir -p ~/.config/opencode
cat > ~/.config/opencode/opencode.json <<EOF
{
  "provider": {"gw": {"options": {"baseURL": "https://llm.acme.example/v1"}}},
  "model": "openai/gpt-4o"
}
EOF
cat <<'EOF' | tee -a .env > /dev/null
LOG=1
ANTHROPIC_API_KEY=$KEY
EOF
cat > README.txt <<EOF
Set OPENAI_API_KEY=... and run opencode run -m openai/x
EOF
