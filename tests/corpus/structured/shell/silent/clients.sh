ollama list
ollama pull llama3
pip install "litellm[proxy]"
pip show vllm | grep litellm
litellm --version
docker pull ollama/ollama
docker stop litellm
kubectl logs svc/litellm
systemctl status ollama
