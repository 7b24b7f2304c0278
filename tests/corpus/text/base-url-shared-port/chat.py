from openai import OpenAI
client = OpenAI(
    base_url="http://127.0.0.1:4000/v1",
)
