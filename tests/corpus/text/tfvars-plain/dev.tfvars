region = "eu-west-1"
openai_api_key = ""
name = "openai_api_key = 'x'"
