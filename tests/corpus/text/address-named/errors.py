AUTH_CLAIM_KEY = "https://api.openai.com/auth"


class Refused(Exception):
    def __init__(self) -> None:
        self.request = httpx.Request(method="POST", url="https://api.openai.com/v1")
        print("see https://api.openai.com/v1")
