def test_key():
    assert make(api_key="sk-test").key == "sk-test"
    assert make(api_key="sk-1234567890abcdef1234567890abcdef")
    assert make(api_key="sk-proj-test-test-test-test-test-test-test-test-test")
