region = "eu-west-1"
anthropic_api_key = "t0k3n-v4lu3-9"
