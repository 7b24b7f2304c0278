#!/bin/sh
# Builds routeguard_VERSION_ARCHITECTURE.deb: routeguard for all users, in /opt/routeguard, with the
# hooks of the shells and the policy of the machine.
#
#   build.sh SOURCE [POLICY]      SOURCE is what pip takes; POLICY a file, by default ../policy.toml
#
# It is for the Debian, the architecture and the Python it is built on. Variables: OUTPUT, the folder
# of the result, by default this one; MAINTAINER; COMPRESSION, as dpkg-deb takes it.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || {
    echo "usage: $0 SOURCE [POLICY]" >&2
    exit 2
}
policy=${2:-$here/../policy.toml}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

PYTHON=/usr/bin/python3
AGAIN='sudo apt-get install --reinstall routeguard' \
    ROOT=$tree PYTHON=$PYTHON "$here/../for-all-users.sh" "$1"
mkdir -p "$tree/usr/bin"
ln -s /opt/routeguard/bin/routeguard "$tree/usr/bin/routeguard"
install -D -m 644 "$policy" "$tree/etc/routeguard/policy.toml"

version=$("$tree/opt/routeguard/venv/bin/python" -I -c 'import guard; print(guard.__version__)')
this=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
next=$("$PYTHON" -c 'import sys; print("%d.%d" % (sys.version_info[0], sys.version_info[1] + 1))')
mkdir "$tree/DEBIAN"
# the policy is the administrator's; the hooks are code, and go when the package is removed
echo /etc/routeguard/policy.toml >"$tree/DEBIAN/conffiles"
# agents' own files ask the command that goes for the key
cat >"$tree/DEBIAN/prerm" <<'EOF'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -e /etc/routeguard/managed.json ]; then
    /opt/routeguard/bin/routeguard managed remove >&2 ||
        echo "routeguard: files above stay, and agents follow them" >&2
fi
EOF
chmod 755 "$tree/DEBIAN/prerm"
cat >"$tree/DEBIAN/control" <<EOF
Package: routeguard
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: ${MAINTAINER:-Platform team <platform@example.com>}
Depends: python3 (>= $this), python3 (<< $next)
Section: admin
Priority: optional
Installed-Size: $(du -sk "$tree" | cut -f1)
Description: AI coding agents reach models through Portkey only
 Guards every launch of a coding agent on this machine. Login shells of bash and every fish are
 hooked; for zsh, and for bash that is no login shell, one line in /etc/zsh/zshrc and
 /etc/bash.bashrc is needed, which a package may not write.
EOF
dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$tree" "${OUTPUT:-.}"
