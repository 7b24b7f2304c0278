tmux new-session -d -s agent 'opencode'
ssh build 'cd src && opencode run -m xai/grok-4 x'
alias r='opencode run'
trap 'opencode run bye' EXIT
eval "opencode run eval"
