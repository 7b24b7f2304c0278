#!/bin/sh
# Installs routeguard for every user of a machine, or takes it away again. The recipes beside it
# (ansible, debian, devcontainer) call this; run as root it can be used by itself.
#
#   for-all-users.sh SOURCE       SOURCE is what pip takes: a clone, a wheel, routeguard==1.2.3
#   for-all-users.sh --remove
#
# Variables: ROOT, a folder that stands for / while a package or an image is built; PYTHON, 3.11 or
# newer; PREFIX, where it goes; ETC, where the shells look; AGAIN, the command that mends it;
# LINES=yes to have /etc/bash.bashrc and the zshrc of the machine load the hooks; VENV, an
# environment with routeguard that is copied as it is, instead of SOURCE.
set -eu
umask 022

ROOT=${ROOT-}
PYTHON=${PYTHON:-/usr/bin/python3}
PREFIX=${PREFIX:-/opt/routeguard}
ETC=${ETC:-/etc}
AGAIN=${AGAIN:-install routeguard again, as the administrator of this machine does}
LINES=${LINES-no}
VENV=${VENV-}
to=$ROOT$PREFIX

# A line in the files that no package may change: bash reads its own where it is no login shell, and
# zsh reads no folder of hooks.
remove_lines() {
    for file in bash.bashrc zsh/zshrc zshrc; do
        [ ! -f "$ROOT$ETC/$file" ] ||
            sed -i --follow-symlinks '/ # routeguard, for all users$/d' "$ROOT$ETC/$file"
    done
}

add_line() { # FILE LINE
    [ -f "$ROOT$ETC/$1" ] || return 0
    # behind a last line without an end ours would be a part of it, and it would go with ours
    [ -z "$(tail -c 1 "$ROOT$ETC/$1")" ] || echo >>"$ROOT$ETC/$1"
    echo "$2 # routeguard, for all users" >>"$ROOT$ETC/$1"
}

# Agents' own files ask the command that goes for the key.
remove_managed() {
    [ -z "$ROOT" ] && [ -e "$ETC/routeguard/managed.json" ] && [ -x "$to/bin/routeguard" ] || return 0
    "$to/bin/routeguard" managed remove >&2 || echo "$0: files above stay, and agents follow them" >&2
}

remove_files() {
    remove_managed
    remove_lines
    rm -rf "${to:?}/bin" "$to/venv" "$to/venv.new" "$to/venv.old"
    rm -f "$to"/completion.*
    rm -f "$ROOT$ETC/profile.d/routeguard.sh" "$ROOT$ETC/fish/conf.d/routeguard.fish" \
        "$ROOT$ETC/zsh/zshrc.d/routeguard.zsh"
    for folder in "$to" "$ROOT$ETC/zsh/zshrc.d"; do
        [ ! -d "$folder" ] || rmdir --ignore-fail-on-non-empty "$folder"
    done
}

case ${1-} in
--remove)
    remove_files
    exit 0
    ;;
'' | -*)
    echo "usage: $0 SOURCE | --remove" >&2
    exit 2
    ;;
esac

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$0: needs Python 3.11 or newer; PYTHON=… names one" >&2
    exit 2
fi

# what is in use stays until the new environment is whole
rm -rf "$to/venv.new"
mkdir -p "$to"
if [ -n "$VENV" ]; then
    cp -R "$VENV" "$to/venv.new"
else
    "$PYTHON" -m venv "$to/venv.new"
    "$to/venv.new/bin/python" -I -m pip install -q --disable-pip-version-check --no-compile "$1"
    # nobody needs pip there
    "$to/venv.new/bin/python" -I -m pip uninstall -q -y --disable-pip-version-check pip setuptools
fi
# scripts would name the folder that they were made in, and are not used
find "$to/venv.new/bin" -type f -delete
sed -i '/^command = /d' "$to/venv.new/pyvenv.cfg"
# users may not write there, so that what Python compiles comes with it
[ -n "$VENV" ] || "$to/venv.new/bin/python" -I -m compileall -q -s "$to/venv.new" \
    -p "$PREFIX/venv" "$to/venv.new/lib" >/dev/null

ROOT=$ROOT PREFIX=$PREFIX ETC=$ETC AGAIN=$AGAIN "$to/venv.new/bin/python" -I - <<'PY'
import os
import sys
from pathlib import Path

import guard
from guard.hook.templates import quote_fish, quote_sh, template
from guard.install import blocks, launcher, shims
from guard.install.way import Way
from guard.launch.process import shim_text

root, prefix, etc, again = (os.environ[name] for name in ("ROOT", "PREFIX", "ETC", "AGAIN"))
made, stays = f"{root}{prefix}/venv.new", f"{prefix}/venv"
main = f"{Path(guard.__file__).parent}/__main__.py".replace(made, stays)
python = f"{prefix}/venv/bin/python"
command = f"{prefix}/bin/routeguard"
way = Way("package", f"{prefix}/venv", python, main, command, again, "")
head = b"# routeguard, for all users of this machine. It comes with the installation and goes with it.\n"


def put(path, text, mode=0o644):
    path = Path(root + path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(text)
    new.chmod(mode)
    new.replace(path)


put(command, launcher.text(way, ".".join(map(str, sys.version_info[:2]))), 0o755)
for name in shims.scripts():
    put(f"{prefix}/venv.new/shims/{name}", shim_text(name).replace(made, stays).encode(), 0o755)

loads = {}
for shell in ("bash", "zsh", "fish"):
    put(f"{prefix}/completion.{shell}", template(f"complete.{shell}").encode())
    block = blocks.block(shell, blocks.Loads(command, f"{prefix}/completion.{shell}", again))
    # without the marks of a block in a file of somebody else's
    loads[shell] = b"".join(block.splitlines(keepends=True)[2:-1])
first = f"""\
case ":$PATH:" in :{stays}/shims:*) ;; *) PATH={quote_sh(stays + "/shims")}:$PATH; export PATH ;; esac
""".encode()
put(f"{etc}/profile.d/routeguard.sh", head + first + loads["bash"])
put(f"{etc}/zsh/zshrc.d/routeguard.zsh", head + first + loads["zsh"])
first = f"""\
if test "$PATH[1]" != {quote_fish(stays + "/shims")}
    set --export --global PATH {quote_fish(stays + "/shims")} $PATH
end
""".encode()
put(f"{etc}/fish/conf.d/routeguard.fish", head + first + loads["fish"])
PY

# shims and all in one step: an agent never starts past them
rm -rf "$to/venv.old"
[ ! -d "$to/venv" ] || mv "$to/venv" "$to/venv.old"
mv "$to/venv.new" "$to/venv"
rm -rf "$to/venv.old"

remove_lines
if [ "$LINES" = yes ]; then
    hook=$ETC/profile.d/routeguard.sh
    add_line bash.bashrc "[ ! -r $hook ] || shopt -q login_shell || . $hook"
    hook=$ETC/zsh/zshrc.d/routeguard.zsh
    add_line zsh/zshrc "[ ! -r $hook ] || . $hook"
    add_line zshrc "[ ! -r $hook ] || . $hook"
fi
