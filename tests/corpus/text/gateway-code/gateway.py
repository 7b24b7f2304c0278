from openai import OpenAI
from portkey_ai import PORTKEY_GATEWAY_URL, createHeaders

client = OpenAI(
    base_url="https://api.portkey.ai/v1",
    default_headers=createHeaders(provider="@openai-prod", config="pc-routing-t6uy0o"),
)
