curl https://api.portkey.ai/v1/chat/completions \
  -H "x-portkey-api-key: 3QPIYPzswtZ57dr4KhUfXoh1cUX=" \
  -d @body.json
