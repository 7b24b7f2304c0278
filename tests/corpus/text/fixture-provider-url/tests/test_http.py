import respx


@respx.mock
def test_call():
    respx.post("https://api.openai.com/v1/chat/completions").respond(200)
