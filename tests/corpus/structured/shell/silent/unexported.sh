OPENAI_API_KEY=$(cat key)
curl -H "Authorization: Bearer $OPENAI_API_KEY" "$URL"
