from openai import OpenAI
from portkey_ai import createHeaders

client = OpenAI(default_headers=createHeaders(provider="@openai"))
