#!/bin/sh
# Run as root while the image is built. The options of the feature come as variables. Beside it lies
# for-all-users.sh, which is copied into the folder of the feature.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON-}
if [ -z "$python" ]; then python=$(command -v python3 || :); fi
if [ -z "$python" ]; then
    echo "routeguard: the image has no Python: put the feature python before this one" >&2
    exit 2
fi
PYTHON=$python LINES=yes AGAIN='build the container again' \
    "$here/for-all-users.sh" "${SOURCE:-routeguard}"

policy=${ETC:-/etc}/routeguard/policy.toml
mark='# Written by the devcontainer feature routeguard.'
if [ -e "$policy" ] && [ "$(head -n 1 "$policy")" != "$mark" ]; then
    echo "routeguard: the image has a policy, which stays as it is: $policy" >&2
else
    mkdir -p "$(dirname "$policy")"
    cat >"$policy" <<EOF
$mark
[gateway]
base_url = "${BASEURL:-https://api.portkey.ai/v1}"
EOF
fi
"${PREFIX:-/opt/routeguard}/bin/routeguard" policy validate "$policy"
