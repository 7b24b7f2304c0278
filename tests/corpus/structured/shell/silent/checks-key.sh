if [ -z "${OPENAI_API_KEY:-}" ]; then
  echo "OPENAI_API_KEY=... is missing" >&2
fi
: "${ANTHROPIC_API_KEY:?}"
export OPENAI_API_KEY=${OPENAI_API_KEY:-}
unset GROQ_API_KEY
export MISTRAL_API_KEY=
