"""The provider answers at https://api.openai.com/v1 as of 2024."""
