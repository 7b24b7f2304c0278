import cohere

co = cohere.Client(api_key="Gj8ayr6HWyVaqxiacNR6zIpf7VCLkXMAF242IbVe")
