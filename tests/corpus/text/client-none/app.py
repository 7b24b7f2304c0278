import anthropic
from openai import AsyncOpenAI

client = AsyncOpenAI(timeout=3)
other = anthropic.Anthropic(
    max_retries=2,
)
