FROM python:3.12
CMD vllm serve meta-llama/Llama-3
