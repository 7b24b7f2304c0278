# https://api.openai.com/v1 is not called directly any more
x = 1  # nor http://localhost:11434/v1
