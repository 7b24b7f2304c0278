ollama serve &
litellm --config proxy.yaml --port 4000 &
npx @portkey-ai/gateway
ccr start
uvx --from "litellm[proxy]" litellm
python3 -m vllm.entrypoints.openai.api_server --model x
docker run -d --name llm -p 4000:4000 -e OPENAI_API_KEY ghcr.io/berriai/litellm:main-stable
kubectl port-forward svc/litellm 4000
ssh -fNL 4000:localhost:4000 gpu
systemctl --user start litellm
lite up
