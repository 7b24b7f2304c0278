export ANTHROPIC_API_KEY="$(op read op://dev/anthropic/key)"
OPENAI_API_KEY=$(cat key) python app.py
