run_opencode() { echo "not opencode run"; }
run_opencode
opencode_dir=$HOME/opencode
cd "$opencode_dir" && ls opencode
test -x /usr/bin/opencode
