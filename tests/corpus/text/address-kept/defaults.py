BASE_URL: Final = "https://api.openai.com/v1"
base_url = config.base_url or os.getenv("X") or "https://api.openai.com/v1"


def connect(base_url: str = "https://api.openai.com/v1"):
    return join("https://api.openai.com/v1" if base_url is None else base_url, "models")
