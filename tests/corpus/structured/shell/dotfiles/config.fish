set -gx MISTRAL_API_KEY (pass mistral)
set -l OPENAI_API_KEY not-exported-at-all
alias oc "opencode run -m openai/gpt-4o"
