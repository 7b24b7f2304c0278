import anthropic

client = anthropic.Anthropic(
    api_key="sk-ant-api03-s0z19NSC0YY6QChSHJsFgVGgyoXOTJEYnf3DCqA5bgH6AKnRFYnFOSJqT5hzN9AzYdu4nAmEVznAsIRVrdqAVLLmFHqbPAA",
)
