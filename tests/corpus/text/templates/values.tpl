openai: {{ .Values.openai.apiKey }}
mistral_api_key: ${MISTRAL_API_KEY}
portkey_api_key: "{env:PORTKEY_API_KEY}"
