alias oc="opencode"
export GROQ_API_KEY=$(security find-generic-password -s groq -w)
