export OPENCODE_CONFIG=/tmp/other.json
NODE_TLS_REJECT_UNAUTHORIZED=0 opencode run -m portkey/gpt-4o hi
export HTTPS_PROXY=http://127.0.0.1:8080
