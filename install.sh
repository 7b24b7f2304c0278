#!/bin/sh
# Installs routeguard for one user, without root, from the clone that this file lies in.
#
# What it writes, all under $HOME, each undone by --uninstall:
#   $XDG_DATA_HOME/routeguard/versions/STAMP   an environment of its own, one per installed version
#   $XDG_DATA_HOME/routeguard/venv             symlink to the version in use
#   ~/.local/bin/routeguard                    launcher
#   $XDG_DATA_HOME/routeguard/shims/           for programs that start an agent without a shell
#   a marked block in the start file of each shell
#
# A new version is built beside the old one and taken into use by one rename, so an installation
# that is interrupted leaves the old one working.

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

# Bytes are cut here, and BSD's tr and sed refuse half a character.
LC_ALL=C
export LC_ALL
# Nobody else may write to what is made, whatever the umask was.
umask g-w,o-w
# A file that must not grow any more (ulimit -f) is a full disk, not the end of this shell.
trap '' XFSZ 2>/dev/null || :

BEGIN='# >>> routeguard >>>'
END='# <<< routeguard <<<'
NOTE_MADE='# This file was made by routeguard.'
NOTE_NEWLINE='# The line above had no newline at its end.'
LAUNCHER_MARK='# routeguard-launcher'

usage() {
    cat <<'TEXT'
Usage: ./install.sh [OPTION]...

Installs routeguard for you (no root) from this clone, which may be deleted afterwards.

  --shell bash|zsh|fish|all   set up this shell; may be given more than once
                              (default: the one in $SHELL, and each that has a start file)
  --no-rc                     leave the shells' start files alone
  --no-shims                  make no shims
  --force                     build again even if this very version is installed
  --dry-run                   print every file that would be written, and write nothing
  --uninstall                 remove everything above; keep your policy and the audit log
  --purge                     with --uninstall: remove those two as well
  -h, --help                  this text

Examples:
  ./install.sh --dry-run            what would it do?
  ./install.sh                      do it
  ./install.sh --shell zsh          only for zsh
  ./install.sh --uninstall          leave no line behind

Exit status: 0 done, 1 not possible (nothing changed unless it says so), 2 usage.
TEXT
}

say() { printf '%s\n' "$*"; }

# fail WHAT [DETAIL]...: one block on stderr, then the end
fail() {
    printf 'install.sh: %s\n' "$1" >&2
    shift
    for detail in "$@"; do printf '  %s\n' "$detail" >&2; done
    exit 1
}

usage_error() {
    printf 'install.sh: %s\n  try: ./install.sh --help\n' "$1" >&2
    exit 2
}

# Every program that is called here, apart from Python.
TOOLS="awk basename cat chmod cksum cmp cp date dirname env find grep head id ln mkdir mktemp mv
readlink rm rmdir sed sort tail tr wc"

# check_tools: fails before anything is written; without tr or cksum it would go wrong half-way
check_tools() {
    missing=''
    for tool in $TOOLS; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    [ -z "$missing" ] || fail "these programs are needed and not on PATH:$missing" "PATH:  $PATH" \
        "fix:   add the directory of your system's programs to PATH (often /usr/bin:/bin)"
}

# ---------------------------------------------------------------- quoting, one function per shell

quote_sh() { printf "'%s'" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")"; }

quote_fish() { printf "'%s'" "$(printf '%s\n' "$1" | sed "s/[\\\\']/\\\\&/g")"; }

# ---------------------------------------------------------------- the block in a start file

# What the block says when routeguard does not start. Inserted without quotes, because it lies
# within two levels of them already: plain words, commas, colons, full stops and a path only.
BROKEN='routeguard: does not start, so opencode is refused in this shell. Fix: run install.sh again. Details: ~/.local/bin/routeguard'
REFUSED='routeguard: opencode refused, its guard does not start. Fix: run install.sh again, or remove the routeguard block from the start file of this shell'

# block SHELL [NOTE]...: the text, with its markers
#
# The refusal is part of the block, because it has to work when nothing else of routeguard does:
# an agent must not start unguarded only because its guard is gone.
block() {
    block_shell=$1
    shift
    printf '%s\n' "$BEGIN" "# Guards every launch of opencode. install.sh --uninstall removes this block."
    for note in "$@"; do printf '%s\n' "$note"; done
    case $block_shell in
    fish)
        command=$(quote_fish "$LAUNCHER")
        cat <<TEXT
test -x $command; and $command hook fish | source
if test "\$pipestatus[1]" != 0
    echo $BROKEN >&2
    function opencode; echo $REFUSED >&2; return 126; end
    function opencode2; echo $REFUSED >&2; return 126; end
end
TEXT
        ;;
    *)
        command=$(quote_sh "$LAUNCHER")
        # ~/.profile is read by other shells, too, and by bash in its guise as sh
        [ "$block_shell" = zsh ] || echo "case \${BASH-} in */bash*)"
        cat <<TEXT
eval "\$({ [ -x $command ] && $command hook $block_shell; } || printf '%s\\n' '
echo $BROKEN >&2
unalias opencode opencode2 2>/dev/null || :
function opencode { echo $REFUSED >&2; return 126; }
function opencode2 { echo $REFUSED >&2; return 126; }')"
TEXT
        [ "$block_shell" = zsh ] || echo ';; esac'
        ;;
    esac
    printf '%s\n' "$END"
}

# markers FILE: "none", "FIRST LAST" (line numbers of the one block), or "bad: why"
markers() {
    # a pipe would be waited for
    [ -f "$1" ] || {
        echo none
        return
    }
    awk -v begin="$BEGIN" -v end="$END" '
        { sub(/\r$/, "") }
        $0 == begin { if (open || first) bad = "a second block begins in line " NR; open = 1; first = NR }
        $0 == end   { if (!open) bad = "a block ends in line " NR " that never began"; open = 0; last = NR }
        END {
            if (!bad && open) bad = "the block that begins in line " first " has no end"
            if (bad) print "bad: " bad
            else if (first) print first, last
            else print "none"
        }' "$1"
}

# lines_before FILE N, lines_after FILE N: byte for byte, a missing last newline included
lines_before() { [ "$2" -le 1 ] || head -n "$(($2 - 1))" "$1"; }
lines_after() { tail -n "+$(($2 + 1))" "$1"; }

ends_without_newline() { [ -s "$1" ] && [ -n "$(tail -c 1 "$1" | tr '\000' x)" ]; }

# with_block FILE SHELL: FILE as it should be
with_block() {
    found=$(markers "$1")
    if [ ! -e "$1" ]; then
        block "$2" "$NOTE_MADE"
    elif [ "$found" = none ]; then
        cat "$1"
        if ends_without_newline "$1"; then
            echo
            block "$2" "$NOTE_NEWLINE"
        else
            block "$2"
        fi
    else
        first=${found% *} last=${found#* }
        lines_before "$1" "$first"
        if noted "$1" "$NOTE_MADE"; then
            block "$2" "$NOTE_MADE"
        elif noted "$1" "$NOTE_NEWLINE"; then
            block "$2" "$NOTE_NEWLINE"
        else
            block "$2"
        fi
        lines_after "$1" "$last"
    fi
}

# without_block FILE: FILE as it was before us
without_block() {
    found=$(markers "$1")
    first=${found% *} last=${found#* }
    lines_before "$1" "$first" >"$SCRATCH/before" || return
    lines_after "$1" "$last" >"$SCRATCH/after" || return
    if noted "$1" "$NOTE_NEWLINE" && [ ! -s "$SCRATCH/after" ] && [ -s "$SCRATCH/before" ]; then
        size=$(wc -c <"$SCRATCH/before")
        head -c "$((size - 1))" "$SCRATCH/before"
    else
        cat "$SCRATCH/before" "$SCRATCH/after"
    fi
}

noted() { tr -d '\r' <"$1" | grep -qxF -e "$2"; }

# ---------------------------------------------------------------- files that belong to the user

# target_of FILE: what a chain of symlinks ends in; a start file often lives in a dotfiles repository
target_of() {
    target=$1
    hops=0
    while [ -L "$target" ]; do
        hops=$((hops + 1))
        [ "$hops" -le 40 ] || return 1
        link=$(readlink "$target")
        case $link in
        /*) target=$link ;;
        *) target=$(dirname "$target")/$link ;;
        esac
    done
    printf '%s\n' "$target"
}

mine() { [ -n "$(find -H "$1" -prune -user "$(id -u)" 2>/dev/null)" ]; }

# nearest FILE: the deepest directory above FILE that exists
nearest() {
    above=$(dirname "$1")
    while [ ! -d "$above" ]; do above=$(dirname "$above"); done
    printf '%s\n' "$above"
}

# check_start_file FILE: fails if FILE cannot be changed safely; changes nothing
check_start_file() {
    target=$(target_of "$1") || fail "cannot follow the symlinks of a start file" "where: $1"
    without="or leave it alone with --no-rc"
    if [ -e "$target" ]; then
        [ -f "$target" ] || fail "a start file is not a regular file" "where: $1" "fix:   move it aside, $without"
        [ -r "$target" ] || fail "a start file cannot be read" "where: $target" "fix:   make it readable for you, $without"
        [ -w "$target" ] || fail "a start file is read-only" "where: $target" \
            "fix:   make it writable, or add the block that --dry-run prints by hand" "       and run again with --no-rc"
        mine "$target" || fail "a start file belongs to somebody else" "where: $target" "fix:   make it yours, $without"
        found=$(markers "$target")
        case $found in
        bad:*) fail "the routeguard block in a start file is damaged, so it is not touched" \
            "where: $target" "why:   ${found#bad: }" \
            "fix:   remove what is left of it (lines '$BEGIN' to '$END') and run again" ;;
        esac
    fi
    place=$(nearest "$target")
    [ -w "$place" ] || fail "a directory is not writable" "where: $place" "why:   $(basename "$1") is replaced there in one step"
}

# replace FILE NEW: FILE gets the content of NEW in one rename; mode, owner, symlinks and hard links
# stay. Fails, and leaves FILE as it was, where there is no room.
replace() {
    target=$(target_of "$1")
    mkdir -p "$(dirname "$target")" || return
    PENDING=$target.routeguard-new.$$
    if [ -e "$target" ]; then cp -p "$target" "$PENDING" || return; fi
    cat "$2" >"$PENDING" || return
    cmp -s "$2" "$PENDING" || return
    if [ -e "$target" ] && [ -n "$(find -H "$target" -prune -links +1 2>/dev/null)" ]; then
        # a rename would give one of its names another file
        if ! cat "$PENDING" >"$target" || ! cmp -s "$PENDING" "$target"; then
            kept=$PENDING PENDING=''
            fail "a start file could not be written" "where: $target" "fix:   its content is in $kept; copy it back"
        fi
        rm -f "$PENDING"
    else
        mv -f "$PENDING" "$target" || return
    fi
    PENDING=''
}

# no_room FILE: the end of an attempt to write FILE
no_room() {
    [ -z "$PENDING" ] || rm -f "$PENDING"
    PENDING=''
    fail "a file could not be written: is the disk full, or a quota used up?" "where: $1" \
        "fix:   make room and run this again; the file itself is as it was"
}

# back_up FILE: beside FILE, under a name that is not taken; whole or not at all
back_up() {
    copy=$1.routeguard-backup
    number=1
    while [ -e "$copy" ] || [ -L "$copy" ]; do
        if [ -f "$copy" ] && cmp -s "$1" "$copy"; then return; fi
        number=$((number + 1))
        copy=$1.routeguard-backup.$number
    done
    PENDING=$1.routeguard-new.$$
    if ! cp -p "$1" "$PENDING" || ! cmp -s "$1" "$PENDING"; then no_room "$copy"; fi
    mv -f "$PENDING" "$copy" || no_room "$copy"
    PENDING=''
    say "  backup     $copy"
}

# make_new FILE FUNCTION ARGUMENT...: what FUNCTION makes of FILE, in $SCRATCH/new, checked
make_new() {
    "$2" "$1" "${3-}" >"$SCRATCH/new" || return
    # cut off by a full disk it would have no block, or half of one
    case $2,$(markers "$SCRATCH/new") in
    with_block,none | *,bad:*) return 1 ;;
    esac
    [ "$2" = with_block ] || return 0
    without_block "$SCRATCH/new" >"$SCRATCH/back" || return
    if [ -e "$1" ]; then
        if [ "$(markers "$1")" = none ]; then
            cmp -s "$1" "$SCRATCH/back"
        else
            without_block "$1" >"$SCRATCH/plain" && cmp -s "$SCRATCH/plain" "$SCRATCH/back"
        fi
    fi
}

add_block() { # FILE SHELL
    if [ -n "$DRY" ]; then
        if [ -e "$1" ]; then
            target=$(target_of "$1")
            make_new "$target" with_block "$2" || no_room "$SCRATCH/new"
            if cmp -s "$target" "$SCRATCH/new"; then
                say "  unchanged  $1"
                return
            fi
            [ "$(markers "$target")" != none ] || say "  backup     $1.routeguard-backup"
        fi
        say "  block      $1"
        with_block "$(target_of "$1")" "$2" | sed -n "/^$BEGIN/,/^$END/s/^/    | /p"
        return
    fi
    target=$(target_of "$1")
    make_new "$target" with_block "$2" || no_room "$SCRATCH/new"
    if [ -e "$target" ] && cmp -s "$target" "$SCRATCH/new"; then
        say "  unchanged  $1"
        return
    fi
    if [ -e "$target" ] && [ "$(markers "$target")" = none ]; then back_up "$1"; fi
    replace "$1" "$SCRATCH/new" || no_room "$1"
    say "  block      $1"
}

remove_block() { # FILE
    [ -f "$1" ] || return 0
    target=$(target_of "$1")
    [ "$(markers "$target")" != none ] || return 0
    make_new "$target" without_block || { make_room && make_new "$target" without_block; } || no_room "$SCRATCH/new"
    say "  block      $1"
    if [ ! -s "$SCRATCH/new" ] && noted "$target" "$NOTE_MADE"; then
        [ -n "$DRY" ] || rm -f "$target"
        return 0
    fi
    [ -n "$DRY" ] || replace "$1" "$SCRATCH/new" || { make_room && replace "$1" "$SCRATCH/new"; } || no_room "$1"
    for copy in "$1".routeguard-backup*; do
        [ -f "$copy" ] || continue
        if cmp -s "$copy" "$SCRATCH/new"; then
            say "  backup     $copy"
            [ -n "$DRY" ] || rm -f "$copy"
        else
            say "  kept       $copy (differs from the file as it is now)"
        fi
    done
}

# make_room: where nothing can be written, what goes anyway goes first; fails if that was done
make_room() {
    if [ -n "$DRY" ] || [ -z "$ROOM" ]; then return 1; fi
    ROOM=''
    [ -z "$PENDING" ] || rm -f "$PENDING"
    PENDING=''
    rm -rf "$CACHE_HOME/routeguard" "$DATA/versions"
}

# ---------------------------------------------------------------- which shells, which files

zsh_directory() {
    # a ~/.zshenv that is no file would be waited for
    if [ -e "$HOME/.zshenv" ] && [ ! -f "$HOME/.zshenv" ]; then
        ZDOTDIR=${ZDOTDIR:-$HOME}
    elif [ -z "${ZDOTDIR-}" ] && command -v zsh >/dev/null 2>&1; then
        # often set in ~/.zshenv without being exported: only zsh itself knows
        ZDOTDIR=$(zsh -c 'printf "\nrouteguard:%s\n" "${ZDOTDIR-}"' </dev/null 2>/dev/null |
            sed -n 's/^routeguard://p' | tail -n 1) || ZDOTDIR=''
    fi
    printf '%s\n' "${ZDOTDIR:-$HOME}"
}

# bash_login_file: the file that a login shell reads if that one does not read ~/.bashrc, else nothing.
# (bash takes the first of the three that exists; terminals on macOS start login shells.)
bash_login_file() {
    for file in "$HOME/.bash_profile" "$HOME/.bash_login" "$HOME/.profile"; do
        if [ -e "$file" ]; then
            if [ -f "$file" ] && [ -r "$file" ] && grep -q '^[^#]*bashrc' "$file"; then return; fi
            printf '%s\n' "$file"
            return
        fi
    done
    printf '%s\n' "$HOME/.profile" # the last of the three: it hides none that is made later
}

chosen_shells() {
    case " $SHELLS " in
    *' all '*) echo bash zsh fish && return ;;
    *' bash '* | *' zsh '* | *' fish '*) say "$SHELLS" && return ;;
    esac
    found=''
    login=${SHELL-}
    login=${login##*/}
    case $login in bash | zsh | fish) found=$login ;; esac
    [ ! -e "$HOME/.bashrc" ] || found="$found bash"
    [ ! -e "$ZSHRC" ] || found="$found zsh"
    [ ! -d "$CONFIG_HOME/fish" ] || found="$found fish"
    for shell in bash zsh fish; do
        case " $found " in *" $shell "*) printf '%s ' "$shell" ;; esac
    done
}

# start_files SHELL: one path a line
start_files() {
    case $1 in
    bash)
        say "$HOME/.bashrc"
        bash_login_file
        ;;
    zsh) say "$ZSHRC" ;;
    fish) say "$CONFIG_HOME/fish/conf.d/routeguard.fish" ;;
    esac
}

# every file that an installation may have put a block into
all_start_files() {
    say "$HOME/.bashrc"
    say "$HOME/.bash_profile"
    say "$HOME/.bash_login"
    say "$HOME/.profile"
    say "$ZSHRC"
    [ "$ZSHRC" = "$HOME/.zshrc" ] || say "$HOME/.zshrc"
    say "$CONFIG_HOME/fish/conf.d/routeguard.fish"
}

# ---------------------------------------------------------------- Python

# find_python: sets PYTHON to the interpreter behind the first name that is new enough.
# Asking it for its own path also gets behind a pyenv shim, which would cost 60 ms a start, and
# behind an active environment, which may be deleted.
find_python() {
    PYTHON='' seen=''
    probe='import sys
print("%d.%d" % sys.version_info[:2], int(sys.version_info >= (3, 11)))
print(getattr(sys, "_base_executable", "") or sys.executable)
try:
    import ensurepip, venv
    print("venv")
except ImportError:
    print("")'
    for name in python3.14 python3.13 python3.12 python3.11 python3 python uv; do
        if [ "$name" = uv ]; then
            [ -n "$UV" ] || continue
            candidate=$("$UV" python find --no-project '>=3.11' 2>/dev/null) || continue
        else
            candidate=$(command -v "$name" 2>/dev/null) || continue
        fi
        answer=$("$candidate" -I -c "$probe" 2>/dev/null </dev/null) || continue
        version=$(printf '%s\n' "$answer" | sed -n '1s/ .*//p')
        enough=$(printf '%s\n' "$answer" | sed -n '1s/.* //p')
        real=$(printf '%s\n' "$answer" | sed -n 2p)
        has_venv=$(printf '%s\n' "$answer" | sed -n 3p)
        if [ "$enough" != 1 ]; then
            seen="$seen
$real (Python $version: too old)"
        elif [ -z "$has_venv" ] && [ -z "$UV" ]; then
            seen="$seen
$real (Python $version: has no venv module; on Debian: apt install python$version-venv)"
        else
            PYTHON=$real PYTHON_VERSION=$version
            return
        fi
    done
    seen=$(printf '%s\n' "$seen" | sed '/^$/d' | sort -u | sed '2,$s/^/         /')
    fail "no usable Python" "found:  ${seen:-none on PATH}" \
        "needed: Python 3.11 or newer with its venv module (or uv, with any Python 3.11 or newer)" \
        "fix:    install one (for example: brew install python@3.13, apt install python3 python3-venv," \
        "        uv python install 3.13) and run again"
}

# source_id: what an installed version was built from, to know whether it is this one
source_id() {
    (cd "$CLONE" && find guard shell pyproject.toml -type f ! -name '*.py[co]' -exec cksum {} + |
        sort | cksum) | sed 's/ /-/g'
    printf '%s\n' "$PYTHON" "$PYTHON_VERSION"
}

works() { # VERSION_DIRECTORY
    [ -x "$1/bin/python" ] && "$1/bin/python" -I -S "$1/run/guard/__main__.py" --version >/dev/null 2>&1
}

# forget_python_settings: what the caller's environment tells other Pythons. -I ignores it, but
# not every program that pip starts is called so.
forget_python_settings() {
    for name in $(env | sed -n 's/^\(PYTHON[A-Z0-9_]*\)=.*/\1/p') VIRTUAL_ENV; do
        unset "$name" || :
    done
}

# pip_install PACKAGE OPTION...: with the caller's index, proxy and certificates, and with none of
# the settings (prefix, target, user, python, constraints …) that would put it elsewhere. They come
# from PIP_… and from pip's files, which pip itself is asked for.
# shellcheck disable=SC2016  # Python
PIP_INSTALL='
import ast, os, subprocess, sys
kept = """index-url extra-index-url no-index find-links proxy cert client-cert trusted-host timeout
default-timeout retries cache-dir no-cache-dir keyring-provider use-feature use-deprecated""".split()
environ = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
pip = [sys.executable, "-I", "-m", "pip"]
# without the first, a `python` in a file of pip would have another one answer
asked = {**environ, "_PIP_RUNNING_IN_SUBPROCESS": "1"}
if "PIP_CONFIG_FILE" in os.environ:
    asked["PIP_CONFIG_FILE"] = os.environ["PIP_CONFIG_FILE"]
listed = subprocess.run([*pip, "config", "list"], env=asked, stdout=subprocess.PIPE)
if listed.returncode:
    sys.exit("pip cannot read its own settings (see above); fix the file, or set PIP_CONFIG_FILE=/dev/null")
settings = {}
for line in listed.stdout.decode("utf-8", "replace").splitlines():
    name, equals, value = line.partition("=")
    section, _, key = name.partition(".")
    if equals and section in ("global", "install"):
        settings[section, key] = str(ast.literal_eval(value))
for key in kept:
    variable = "PIP_" + key.upper().replace("-", "_")
    for value in (settings.get(("global", key)), settings.get(("install", key)), os.environ.get(variable)):
        if value is not None:
            environ[variable] = value
environ["PIP_CONFIG_FILE"] = os.devnull
environ["PIP_NO_INPUT"] = "1"
os.execve(sys.executable, [*pip, "install", "--quiet", *sys.argv[1:]], environ)'

# build DIRECTORY: an environment with routeguard in it. Every step says `|| return`: errexit is
# off in a function whose status is asked for.
build() {
    directory=$1
    if [ -n "$UV" ]; then
        set -- "$UV"
        # a cache is used if there is one, and not made if there is none
        [ -n "${UV_CACHE_DIR-}" ] || [ -d "$CACHE_HOME/uv" ] || set -- "$UV" --no-cache
        "$@" venv --quiet --no-project --python "$PYTHON" "$directory" || return
        # named, because a uv.toml may name another one
        site=$(cd "$directory"/lib/python*/site-packages && pwd -P) || return
        "$@" pip install --quiet --compile-bytecode --python "$directory/bin/python" --target "$site" "$CLONE" || return
    else
        "$PYTHON" -I -m venv "$directory" || return
        set -- "$CLONE"
        [ -n "${PIP_CACHE_DIR-}" ] || [ -d "$CACHE_HOME/pip" ] || [ -d "$HOME/Library/Caches/pip" ] ||
            set -- "$@" --no-cache-dir
        "$directory/bin/python" -I -c "$PIP_INSTALL" "$@" || return
    fi
    # A path without Python's version in it: shells that are open keep working over an upgrade.
    # The directory holds nothing but this package, so a launch can import no other by accident.
    mkdir "$directory/run" || return
    (cd "$directory/run" && ln -s ../lib/python*/site-packages/guard guard) || return
    if [ ! -f "$directory/run/guard/__main__.py" ]; then
        say "the package is not where it was to be installed: $directory" >&2
        return 1
    fi
    source_id >"$directory/routeguard-source"
}

# ---------------------------------------------------------------- directories that were not there

# missing DIRECTORY: it and those above it that do not exist, one a line
missing() {
    path=$1
    while [ ! -d "$path" ] && [ "$path" != / ]; do
        printf '%s\n' "$path"
        path=$(dirname "$path")
    done
}

finish() {
    status=$?
    trap - EXIT
    [ -z "$PENDING" ] || rm -f "$PENDING"
    [ -z "$BUILDING" ] || rm -rf "$BUILDING"
    [ -z "$LOCK" ] || rm -f "$LOCK"
    [ -z "$SCRATCH" ] || rm -rf "$SCRATCH"
    exit "$status"
}

# lock: one installation at a time; two would each add a block. A link is made whole or not at all.
lock() {
    mkdir -p "$DATA"
    [ -L "$DATA/lock" ] || rm -rf "$DATA/lock" # version 0.1.0's was a directory
    for attempt in 1 2 3; do
        if ln -s "$$" "$DATA/lock" 2>/dev/null; then
            LOCK=$DATA/lock
            rm -f "$DATA"/venv.new.* # of an installation that was killed
            return
        fi
        if ! holder=$(readlink "$DATA/lock"); then
            [ "$VERB" != uninstall ] || make_room || :
            continue
        fi
        if installs "$holder"; then
            fail "another installation is running" "who:   process $holder" "fix:   wait for it, then run again;" \
                "       if that process is something else: rm $(quote_sh "$DATA/lock")"
        fi
        rm -f "$DATA/lock"
    done
    fail "its lock cannot be made" "where: $DATA/lock" "why:   attempt $attempt failed: no room, or no right to write there"
}

# installs PID: whether it is this script; a number is used again once its process has ended
installs() {
    case $1 in '' | *[!0-9]*) return 1 ;; esac
    kill -0 "$1" 2>/dev/null || return 1
    words=$(ps -p "$1" -o args= 2>/dev/null) || words=''
    if [ -z "$words" ] && [ -f "/proc/$1/cmdline" ]; then words=$(tr '\000' ' ' <"/proc/$1/cmdline"); fi
    case $words in '' | *install.sh*) return 0 ;; esac
    return 1
}

ours() { [ -f "$LAUNCHER" ] && [ ! -L "$LAUNCHER" ] && [ "$(sed -n 2p "$LAUNCHER" | tr -d '\000')" = "$LAUNCHER_MARK" ]; }

# launcher: its text. It is sh, so that something is left to speak when its Python has gone.
launcher() {
    python=$(quote_sh "$DATA/venv/bin/python") main=$(quote_sh "$DATA/venv/run/guard/__main__.py")
    again=$(quote_sh "$CLONE/install.sh")
    cat <<TEXT
#!/bin/sh
$LAUNCHER_MARK
# Made by install.sh of routeguard; install.sh --uninstall removes it.
if [ -x $python ] && [ -r $main ]; then
    exec $python -I -S $main "\$@"
fi
[ "\${1-}" != hook ] || exit 126 # the block in the start file says it
{
    echo 'routeguard: cannot start, and opencode stays blocked until it can [RG503]'
    if [ -x $python ]; then
        printf '  where: %s\n  why:   routeguard itself is gone from there\n' $main
    else
        printf '  where: %s\n' $python
        echo '  why:   the Python it was installed with ('$(quote_sh "$PYTHON_VERSION")') is gone: upgraded or removed, as Homebrew does'
    fi
    if [ -r $again ]; then
        printf '  fix:   sh %s\n' $(quote_sh "$again")
    else
        echo '  fix:   get a clone of routeguard and run its install.sh'
    fi
} >&2
exit 126
TEXT
}

# ---------------------------------------------------------------- the two verbs

install() {
    if [ ! -f "$CLONE/pyproject.toml" ] || [ ! -f "$CLONE/guard/__main__.py" ]; then
        fail "this is not a clone of routeguard" "where: $CLONE" "fix:   run the install.sh of a clone, in place"
    fi
    if [ -e "$LAUNCHER" ] || [ -L "$LAUNCHER" ]; then
        ours || fail "there is another routeguard, and it is not this script's" "where: $LAUNCHER" \
            "fix:   uninstall it the way it was installed (pipx uninstall routeguard, uv tool uninstall routeguard)," \
            "       or remove that file"
    fi
    if [ -e "$DATA/venv" ] && [ ! -L "$DATA/venv" ]; then
        fail "something that is not this script's is in the way" "where: $DATA/venv" "fix:   move it aside"
    fi
    for file in "$LAUNCHER" "$DATA/venv"; do
        place=$(nearest "$file")
        [ -w "$place" ] || fail "a directory is not writable" "where: $place"
    done
    selected=''
    [ -n "$NO_RC" ] || selected=$(chosen_shells)
    each_start_file check_start_file
    forget_python_settings
    find_python

    id=$(source_id)
    current=''
    if [ -z "$FORCE" ] && [ -f "$DATA/venv/routeguard-source" ] &&
        [ "$(cat "$DATA/venv/routeguard-source")" = "$id" ] && works "$DATA/venv"; then
        current=yes
    fi
    if [ -n "$DRY" ]; then
        say "Would write (dry run: nothing is written now):"
    else
        absent=$({
            missing "$HOME/.local/bin"
            missing "$DATA"
            missing "$CACHE_HOME/routeguard"
            missing "$STATE_HOME/routeguard"
            missing "$CONFIG_HOME/fish/conf.d"
        } | sort -u)
        lock
        # what was not there before the first installation, so that --uninstall can tell
        [ -f "$DATA/made-directories" ] || printf '%s\n' "$absent" >"$DATA/made-directories"
        say "Installing routeguard:"
    fi

    if [ -n "$current" ]; then
        say "  unchanged  $DATA/venv ($PYTHON, $PYTHON_VERSION)"
    else
        version=$(date -u +%Y%m%dT%H%M%SZ)-$$
        say "  python     $PYTHON ($PYTHON_VERSION), ${UV:-pip}"
        say "  write      $DATA/versions/$version/"
        say "  link       $DATA/venv"
        if [ -z "$DRY" ]; then
            previous=$(readlink "$DATA/venv" 2>/dev/null) || previous=''
            mkdir -p "$DATA/versions"
            # what an installation that was killed has left
            for directory in "$DATA/versions"/*; do
                [ ! -d "$directory" ] || [ "versions/${directory##*/}" = "$previous" ] || rm -rf "$directory"
            done
            BUILDING=$DATA/versions/$version
            build "$BUILDING" || fail "the environment could not be built (see above); nothing was changed"
            for command in --version 'hook bash' 'hook zsh' 'hook fish'; do
                # shellcheck disable=SC2086  # the words of the command
                "$BUILDING/bin/python" -I -S "$BUILDING/run/guard/__main__.py" $command >"$SCRATCH/said" 2>&1 ||
                    fail "the new version does not start; nothing was changed" \
                        "where: routeguard $command" "why:   $(tail -n 3 "$SCRATCH/said")"
            done
            ln -s "versions/$version" "$DATA/venv.new.$$"
            "$PYTHON" -I -c 'import os, sys; os.replace(sys.argv[1], sys.argv[2])' "$DATA/venv.new.$$" "$DATA/venv"
            # the version before this one stays: a command that is running may still need it
            BUILDING=''
        fi
    fi

    say "  launcher   $LAUNCHER"
    if [ -z "$DRY" ]; then
        launcher >"$SCRATCH/launcher"
        chmod 755 "$SCRATCH/launcher"
        mkdir -p "$(dirname "$LAUNCHER")"
        if ! cmp -s "$SCRATCH/launcher" "$LAUNCHER" || [ ! -x "$LAUNCHER" ]; then
            PENDING=$LAUNCHER.routeguard-new.$$
            cp -p "$SCRATCH/launcher" "$PENDING"
            mv -f "$PENDING" "$LAUNCHER"
            PENDING=''
        fi
    fi
    if [ -z "$NO_SHIMS" ]; then
        say "  shims      $DATA/shims/"
        [ -n "$DRY" ] || "$LAUNCHER" shim install >"$SCRATCH/shims" 2>&1 ||
            fail "the shims could not be made; the rest is installed" "why:   $(tail -n 3 "$SCRATCH/shims")" \
                "fix:   run again, or with --no-shims"
    fi
    each_start_file add_block
    if [ -z "$selected" ]; then
        say "  no start file was changed; to guard a shell, add to its own:"
        say "    bash, zsh: eval \"\$($(quote_sh "$LAUNCHER") hook bash)\"   (or: hook zsh)"
        say "    fish:      $(quote_fish "$LAUNCHER") hook fish | source"
    fi

    [ -z "$DRY" ] || return 0
    case ":$PATH:" in
    *":$HOME/.local/bin:"*) ;;
    *) say "Note: $HOME/.local/bin is not on PATH. The guard does not need it; to type 'routeguard', add it." ;;
    esac
    say "Done. It guards shells that start from now on; in this one: exec \"\$SHELL\""
    say "Prove it:  $LAUNCHER verify"
    say "Undo it:   ./install.sh --uninstall"
}

# each_start_file FUNCTION: calls it with each start file of the selected shells, and the shell
each_start_file() {
    for shell in $selected; do
        start_files "$shell" >"$SCRATCH/files"
        while IFS= read -r file <&3; do "$1" "$file" "$shell"; done 3<"$SCRATCH/files"
    done
}

# remove_service FILE: what `routeguard ports hold --install` of version 0.1.0 wrote
remove_service() {
    if [ ! -f "$1" ] || [ -L "$1" ]; then return 0; fi
    if ! head -n 2 "$1" | grep -q 'routeguard-hold: '; then
        say "  kept       $1 (not made by routeguard)"
        return 0
    fi
    say "  service    $1"
    [ -z "$DRY" ] || return 0
    case $1 in
    *.plist) set -- "$1" '' launchctl bootout "gui/$(id -u)/routeguard.hold" ;;
    *) set -- "$1" "${1%/*}/default.target.wants/${1##*/}" systemctl --user disable --now "${1##*/}" ;;
    esac
    service=$1 enabled=$2
    shift 2
    "$@" </dev/null >/dev/null 2>&1 || say "  note       $* failed; if it still runs, it ends with your session"
    # where no service manager could be asked, what it was enabled by is still there
    [ ! -L "$enabled" ] || rm -f "$enabled"
    rm -f "$service"
}

uninstall() {
    # /tmp may be full, too; what is read from there must be whole
    if [ -z "$DRY" ]; then
        head -c 65536 /dev/zero >"$SCRATCH/probe" 2>/dev/null || make_room || :
        rm -f "$SCRATCH/probe"
    fi
    all_start_files >"$SCRATCH/files"
    while IFS= read -r file <&3; do
        if [ -f "$file" ] && [ "$(markers "$file" 2>/dev/null)" != none ]; then check_start_file "$file"; fi
    done 3<"$SCRATCH/files"
    if [ -n "$DRY" ]; then
        say "Would remove (dry run: nothing is removed now):"
    else
        [ ! -d "$DATA" ] || lock
        say "Removing routeguard:"
    fi

    # The shells first: one that starts while there is a block but no launcher would refuse.
    while IFS= read -r file <&3; do
        remove_block "$file"
        # of an installation that was killed
        [ -n "$DRY" ] || rm -f "$file".routeguard-new.*
    done 3<"$SCRATCH/files"
    if [ -d "$DATA/shims" ]; then
        say "  shims      $DATA/shims/"
        if [ -z "$DRY" ]; then
            for shim in "$DATA/shims"/* "$DATA/shims"/.[!.]*; do
                [ ! -f "$shim" ] || [ "$(sed -n 2p "$shim" | tr -d '\000')" != '# routeguard-shim' ] || rm -f "$shim"
            done
            rmdir "$DATA/shims" 2>/dev/null || say "  kept       $DATA/shims/ (holds files that are not ours)"
        fi
    fi
    remove_service "$CONFIG_HOME/systemd/user/routeguard-hold.service"
    remove_service "$HOME/Library/LaunchAgents/routeguard.hold.plist"
    if ours; then
        say "  launcher   $LAUNCHER"
        [ -n "$DRY" ] || rm -f "$LAUNCHER"
    elif [ -e "$LAUNCHER" ]; then
        say "  kept       $LAUNCHER (not made by this script)"
    fi
    if [ -L "$DATA/venv" ] || [ -d "$DATA/versions" ]; then
        say "  remove     $DATA/venv, $DATA/versions/"
        if [ -z "$DRY" ]; then
            [ ! -L "$DATA/venv" ] || rm -f "$DATA/venv"
            rm -rf "$DATA/versions"
        fi
    fi
    if [ -d "$CACHE_HOME/routeguard" ]; then
        say "  remove     $CACHE_HOME/routeguard/"
        [ -n "$DRY" ] || rm -rf "$CACHE_HOME/routeguard"
    fi
    for directory in "$STATE_HOME/routeguard" "$CONFIG_HOME/routeguard"; do
        [ -d "$directory" ] || continue
        if [ -n "$PURGE" ]; then
            say "  remove     $directory/"
            [ -n "$DRY" ] || rm -rf "$directory"
        else
            say "  kept       $directory/ (--purge removes it)"
        fi
    done
    [ -z "$DRY" ] || return 0
    if [ -d "$DATA" ]; then
        made=''
        [ ! -f "$DATA/made-directories" ] || made=$(cat "$DATA/made-directories")
        rm -f "$DATA/made-directories"
        rm -f "$LOCK"
        LOCK=''
        rmdir "$DATA" 2>/dev/null || say "  kept       $DATA/ (not empty)"
        # deepest first, and only what we found missing and is empty again
        printf '%s\n' "$made" | sort -r >"$SCRATCH/made"
        while IFS= read -r directory; do
            [ -z "$directory" ] || rmdir "$directory" 2>/dev/null || :
        done <"$SCRATCH/made"
    fi
    say "Done. Shells that are open now refuse opencode until they end."
}

# ---------------------------------------------------------------- arguments

DRY='' FORCE='' NO_RC='' NO_SHIMS='' PURGE='' SHELLS='' VERB=install
PENDING='' BUILDING='' LOCK='' SCRATCH='' ROOM=yes

while [ $# -gt 0 ]; do
    case $1 in
    --shell | --shell=*)
        case $1 in
        *=*) value=${1#*=} ;;
        *)
            value=${2-}
            [ $# -lt 2 ] || shift
            ;;
        esac
        case $value in
        bash | zsh | fish | all) SHELLS="$SHELLS $value" ;;
        *) usage_error "--shell takes bash, zsh, fish or all, not '$value'" ;;
        esac
        ;;
    --no-rc) NO_RC=yes ;;
    --no-shims) NO_SHIMS=yes ;;
    --force) FORCE=yes ;;
    --dry-run) DRY=yes ;;
    --uninstall) VERB=uninstall ;;
    --purge) PURGE=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) usage_error "unknown option '$1'" ;;
    esac
    shift
done
[ -z "$PURGE" ] || [ "$VERB" = uninstall ] || usage_error "--purge goes with --uninstall"
[ -z "$NO_RC" ] || [ -z "$SHELLS" ] || usage_error "--no-rc and --shell exclude each other"

check_tools
case ${HOME-} in
/*) ;;
*) fail "HOME is not set to an absolute path" ;;
esac
case $HOME in
*'
'*) fail "HOME holds a newline" ;;
esac
[ -d "$HOME" ] || fail "HOME is not a directory" "where: $HOME"
if [ "$(id -u)" = 0 ] && ! mine "$HOME"; then
    fail "HOME belongs to another user" "where: $HOME" "fix:   run it as yourself, without sudo"
fi

# a relative value in an XDG variable is invalid and ignored (XDG Base Directory Specification)
base() { case $1 in /*) printf '%s\n' "${1%/}" ;; *) printf '%s\n' "$HOME/$2" ;; esac; }
DATA=$(base "${XDG_DATA_HOME-}" .local/share)/routeguard
CONFIG_HOME=$(base "${XDG_CONFIG_HOME-}" .config)
STATE_HOME=$(base "${XDG_STATE_HOME-}" .local/state)
CACHE_HOME=$(base "${XDG_CACHE_HOME-}" .cache)
LAUNCHER=$HOME/.local/bin/routeguard
CLONE=$(cd "$(dirname "$0")" && pwd -P)
UV=$(command -v uv 2>/dev/null) || UV=''
ZSHRC=$(zsh_directory)/.zshrc

trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
make_scratch() { SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/routeguard.XXXXXX"); }
make_scratch || { [ "$VERB" = uninstall ] && make_room && make_scratch; } ||
    fail "no temporary directory can be made" "where: ${TMPDIR:-/tmp}" "fix:   make room there, or set TMPDIR"

"$VERB"
