PROVIDERS = {
    "openai": {"base_url": "https://api.openai.com/v1"},
    "groq": {"base_url": "https://api.groq.com/openai/v1"},
    "mistral": {"base_url": "https://api.mistral.ai/v1"},
    "xai": {"base_url": "https://api.x.ai/v1"},
    "ollama": {"base_url": "http://localhost:11434/v1"},
}
