#!/bin/sh
# Installs routeguard for one user, without root, from the clone that this file lies in.
#
# This file only finds a Python. guard/commands/bootstrap.py then makes an environment of its own
# and hands over to `routeguard setup`; with --uninstall it does what `routeguard teardown` does.
# Uses nothing but the shell itself, so no program but Python has to be on PATH.

# zsh would take a variable named `path` for PATH, and its $0 is this file also where it is sourced.
case ${ZSH_VERSION:+zsh}:${ZSH_EVAL_CONTEXT-}:${0##*/} in
zsh:*file*) false ;;
zsh:*) exec sh "$0" "$@" ;;
*install.sh*) true ;;
*) false ;;
esac || {
    echo 'install.sh: run it, do not source it: sh ./install.sh' >&2
    # shellcheck disable=SC2317  # reached where it was not sourced
    return 2 2>/dev/null || exit 2
}
set -eu

case $0 in
*/*) directory=${0%/*} ;;
*) directory=. ;;
esac
CLONE=$(CDPATH='' cd -- "${directory:-/}" && pwd -P)
MAIN=$CLONE/guard/__main__.py

# fail WHAT [DETAIL]...: one block on stderr, then the end
fail() {
    printf 'routeguard: install.sh: %s\n' "$1" >&2
    shift
    for detail in "$@"; do printf '  %s\n' "$detail" >&2; done
    exit 1
}

[ -f "$CLONE/pyproject.toml" ] && [ -f "$MAIN" ] ||
    fail "this is not a clone of routeguard" "where: $CLONE" "fix:   run the install.sh of a clone, in place"

# What a Python says about itself: whether it can be used, its version, and the interpreter behind
# the name that was called. The last also gets behind a pyenv shim, which would cost 60 ms a start,
# and behind an active environment, which may be deleted.
PROBE='
import sys
said = "ok"
try:
    import ensurepip, venv
    ensurepip.version, venv.EnvBuilder
except Exception:
    said = "no-venv"
if sys.version_info < (3, 11):
    said = "old"
print("%s %d.%d %s" % ((said,) + sys.version_info[:2]
    + (getattr(sys, "_base_executable", "") or sys.executable,)))'

# find_python: sets PYTHON to the first that is new enough and can make an environment
find_python() {
    uv=$(command -v uv 2>/dev/null) || uv=''
    seen='' lacking=''
    for name in python3.14 python3.13 python3.12 python3.11 python3 python uv; do
        if [ "$name" != uv ]; then
            candidate=$(command -v "$name" 2>/dev/null) || continue
        else
            [ -n "$uv" ] || continue
            candidate=$("$uv" python find --no-project '>=3.11' 2>/dev/null) || continue
        fi
        answer=$("$candidate" -I -c "$PROBE" 2>/dev/null </dev/null) || continue
        said=${answer%% *} rest=${answer#* }
        version=${rest%% *} real=${rest#* }
        case $said in
        ok)
            PYTHON=$real
            return
            ;;
        old) why="too old" ;;
        no-venv)
            # uv makes environments by itself, and nothing is made to remove what is there
            if [ -n "$uv" ] || [ -n "$REMOVE" ]; then
                PYTHON=$real
                return
            fi
            why="has no venv module"
            lacking=$version
            ;;
        *) continue ;;
        esac
        case $seen in *"$real "*) ;; *) seen="$seen
         $real (Python $version: $why)" ;; esac
    done
    seen=${seen#?         }
    fix="install Python 3.13; on Debian and Ubuntu:
          sudo apt install python3 python3-venv
          on macOS:
          brew install python@3.13"
    [ -z "$lacking" ] || fix="on Debian and Ubuntu:
          sudo apt install python$lacking-venv"
    if [ -n "$REMOVE" ]; then
        fail "no usable Python, so nothing was removed" "found:  ${seen:-none on PATH}" \
            "needed: Python 3.11 or newer" \
            "fix:    $fix" \
            "by hand: take the lines from '# >>> routeguard >>>' to '# <<< routeguard <<<' out of your" \
            "        shells' start files, then:" \
            "        rm -r ~/.local/share/routeguard ~/.local/bin/routeguard"
    fi
    fail "no usable Python" "found:  ${seen:-none on PATH}" \
        "needed: Python 3.11 or newer with its venv module (or uv, with any Python 3.11 or newer)" \
        "fix:    $fix" \
        "        without root:" \
        "        curl -LsSf https://astral.sh/uv/install.sh | sh" \
        "        uv python install 3.13"
}

REMOVE=''
for word in "$@"; do
    case $word in --uninstall | -h | --help) REMOVE=yes ;; esac
done
find_python
# -B: the clone stays as it is
exec "$PYTHON" -I -S -B "$MAIN" bootstrap "$@"
