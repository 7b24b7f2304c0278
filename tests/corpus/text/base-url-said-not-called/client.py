"""A client.

    client = Client(base_url="https://api.openai.com/v1")
"""


class Client:
    r'''Sends to base_url="https://api.anthropic.com/v1" unless told "otherwise".'''

    def ours(self, url: str) -> bool:
        """base_url="https://api.openai.com/v1" is refused."""  # not """ a string
        if url == "https://api.openai.com/v1":
            return False
        return not url.startswith("https://api.groq.com/openai/v1")


text = Client(
    """https://api.openai.com/v1/chat""",
    base_url="https://api.openai.com/v1",
)
