answer=$(opencode run -m groq/llama "x")
review() {
  if ! opencode run --attach http://127.0.0.1:4096 "y"; then
    return 1
  fi
}
