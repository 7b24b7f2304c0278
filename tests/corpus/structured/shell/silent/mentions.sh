#!/bin/sh
# opencode run without a model
echo "opencode run -m anthropic/claude"
printf "%s\n" "use opencode run"
opencode-wrapper run
myopencode run
grep -r "opencode run" docs
command -v opencode || brew install opencode
pkill -f "opencode serve"
