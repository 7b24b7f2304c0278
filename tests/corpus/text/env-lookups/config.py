import os

OPENAI_API_KEY = os.environ["OPENAI_API_KEY"]
MISTRAL_API_KEY = os.getenv("MISTRAL_API_KEY", "")
PORTKEY_API_KEY = settings.secrets.PORTKEY_API_KEY_V2
key = load("COHERE_API_KEY")
