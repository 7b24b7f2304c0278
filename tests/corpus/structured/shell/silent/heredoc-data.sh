cat > README.txt <<'EOF'
opencode run -m anthropic/claude
export OPENAI_API_KEY=value
EOF
cat <<-EOF
	opencode attach http://x
	EOF
