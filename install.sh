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
set -eu

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

# ---------------------------------------------------------------- quoting, one function per shell

quote_sh() { printf "'%s'" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")"; }

quote_fish() { printf "'%s'" "$(printf '%s\n' "$1" | sed "s/[\\\\']/\\\\&/g")"; }

# ---------------------------------------------------------------- the block in a start file

# What the block says when routeguard does not start. Inserted without quotes, because it lies
# within two levels of them already: plain words, commas, colons and full stops only.
BROKEN='routeguard: does not start, so opencode is refused in this shell. Fix: run install.sh again'
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
    [ -e "$1" ] || {
        echo none
        return
    }
    LC_ALL=C awk -v begin="$BEGIN" -v end="$END" '
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
    lines_before "$1" "$first" >"$SCRATCH/before"
    lines_after "$1" "$last" >"$SCRATCH/after"
    if noted "$1" "$NOTE_NEWLINE" && [ ! -s "$SCRATCH/after" ] && [ -s "$SCRATCH/before" ]; then
        size=$(wc -c <"$SCRATCH/before")
        head -c "$((size - 1))" "$SCRATCH/before"
    else
        cat "$SCRATCH/before" "$SCRATCH/after"
    fi
}

noted() { LC_ALL=C tr -d '\r' <"$1" | LC_ALL=C grep -qxF -e "$2"; }

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

# replace FILE NEW: FILE gets the content of NEW in one rename; mode, owner and symlinks stay
replace() {
    target=$(target_of "$1")
    mkdir -p "$(dirname "$target")"
    PENDING=$target.routeguard-new.$$
    if [ -e "$target" ]; then cp -p "$target" "$PENDING"; fi
    cat "$2" >"$PENDING"
    mv -f "$PENDING" "$target"
    PENDING=''
}

# back_up FILE: beside FILE, under a name that is not taken
back_up() {
    copy=$1.routeguard-backup
    number=1
    while [ -e "$copy" ]; do
        if cmp -s "$1" "$copy"; then return; fi
        number=$((number + 1))
        copy=$1.routeguard-backup.$number
    done
    cp -p "$1" "$copy"
    say "  backup     $copy"
}

add_block() { # FILE SHELL
    if [ -n "$DRY" ]; then
        if [ -e "$1" ]; then
            target=$(target_of "$1")
            with_block "$target" "$2" >"$SCRATCH/new"
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
    with_block "$target" "$2" >"$SCRATCH/new"
    if [ -e "$target" ] && cmp -s "$target" "$SCRATCH/new"; then
        say "  unchanged  $1"
        return
    fi
    if [ -e "$target" ] && [ "$(markers "$target")" = none ]; then back_up "$1"; fi
    replace "$1" "$SCRATCH/new"
    say "  block      $1"
}

remove_block() { # FILE
    [ -e "$1" ] || return 0
    target=$(target_of "$1")
    [ "$(markers "$target")" != none ] || return 0
    without_block "$target" >"$SCRATCH/new"
    say "  block      $1"
    if [ ! -s "$SCRATCH/new" ] && noted "$target" "$NOTE_MADE"; then
        [ -n "$DRY" ] || rm -f "$target"
        return 0
    fi
    [ -n "$DRY" ] || replace "$1" "$SCRATCH/new"
    for copy in "$1".routeguard-backup*; do
        [ -e "$copy" ] || continue
        if cmp -s "$copy" "$SCRATCH/new"; then
            say "  backup     $copy"
            [ -n "$DRY" ] || rm -f "$copy"
        else
            say "  kept       $copy (differs from the file as it is now)"
        fi
    done
}

# ---------------------------------------------------------------- which shells, which files

zsh_directory() {
    if [ -z "${ZDOTDIR-}" ] && command -v zsh >/dev/null 2>&1; then
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
            if [ -r "$file" ] && LC_ALL=C grep -q '^[^#]*bashrc' "$file"; then return; fi
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
        LC_ALL=C sort | cksum) | sed 's/ /-/g'
    printf '%s\n' "$PYTHON" "$PYTHON_VERSION"
}

works() { # VERSION_DIRECTORY
    [ -x "$1/bin/python" ] && "$1/bin/python" -I -S "$1/run/guard/__main__.py" --version >/dev/null 2>&1
}

# build DIRECTORY: an environment with routeguard in it. Every step says `|| return`: errexit is
# off in a function whose status is asked for.
build() {
    directory=$1
    if [ -n "$UV" ]; then
        set -- "$UV"
        # a cache is used if there is one, and not made if there is none
        [ -n "${UV_CACHE_DIR-}" ] || [ -d "$CACHE_HOME/uv" ] || set -- "$UV" --no-cache
        "$@" venv --quiet --no-project --python "$PYTHON" "$directory" || return
        "$@" pip install --quiet --compile-bytecode --python "$directory/bin/python" "$CLONE" || return
    else
        "$PYTHON" -I -m venv "$directory" || return
        set -- --quiet --disable-pip-version-check --no-input
        [ -n "${PIP_CACHE_DIR-}" ] || [ -d "$CACHE_HOME/pip" ] || [ -d "$HOME/Library/Caches/pip" ] ||
            set -- "$@" --no-cache-dir
        "$directory/bin/python" -I -m pip install "$@" "$CLONE" || return
    fi
    # A path without Python's version in it: shells that are open keep working over an upgrade.
    # The directory holds nothing but this package, so a launch can import no other by accident.
    mkdir "$directory/run" || return
    (cd "$directory/run" && ln -s ../lib/python*/site-packages/guard guard) || return
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
    [ -z "$LOCK" ] || rm -rf "$LOCK"
    [ -z "$SCRATCH" ] || rm -rf "$SCRATCH"
    exit "$status"
}

# lock: one installation at a time; two would each add a block
lock() {
    mkdir -p "$DATA"
    if ! mkdir "$DATA/lock" 2>/dev/null; then
        holder=$(cat "$DATA/lock/pid" 2>/dev/null) || holder=''
        if [ -n "$holder" ] && kill -0 "$holder" 2>/dev/null; then
            fail "another installation is running" "who:   process $holder" "fix:   wait for it, then run again"
        fi
        rm -rf "$DATA/lock"
        mkdir "$DATA/lock"
    fi
    LOCK=$DATA/lock
    echo $$ >"$LOCK/pid"
    rm -f "$DATA"/venv.new.*  # of an installation that was killed
}

ours() { [ -f "$LAUNCHER" ] && [ ! -L "$LAUNCHER" ] && [ "$(sed -n 2p "$LAUNCHER" | tr -d '\000')" = "$LAUNCHER_MARK" ]; }

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
        } | LC_ALL=C sort -u)
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
        {
            printf '%s\n' '#!/bin/sh' "$LAUNCHER_MARK" '# Made by install.sh of routeguard; install.sh --uninstall removes it.'
            printf 'exec %s -I -S %s "$@"\n' "$(quote_sh "$DATA/venv/bin/python")" "$(quote_sh "$DATA/venv/run/guard/__main__.py")"
        } >"$SCRATCH/launcher"
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
    if ! head -n 2 "$1" | LC_ALL=C grep -q 'routeguard-hold: '; then
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
    all_start_files >"$SCRATCH/files"
    while IFS= read -r file <&3; do
        if [ -e "$file" ] && [ "$(markers "$file" 2>/dev/null)" != none ]; then check_start_file "$file"; fi
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
        made=$(cat "$DATA/made-directories" 2>/dev/null) || made=''
        rm -f "$DATA/made-directories"
        rm -rf "$LOCK"
        LOCK=''
        rmdir "$DATA" 2>/dev/null || say "  kept       $DATA/ (not empty)"
        # deepest first, and only what we found missing and is empty again
        printf '%s\n' "$made" | LC_ALL=C sort -r >"$SCRATCH/made"
        while IFS= read -r directory; do
            [ -z "$directory" ] || rmdir "$directory" 2>/dev/null || :
        done <"$SCRATCH/made"
    fi
    say "Done. Shells that are open now refuse opencode until they end."
}

# ---------------------------------------------------------------- arguments

DRY='' FORCE='' NO_RC='' NO_SHIMS='' PURGE='' SHELLS='' VERB=install
PENDING='' BUILDING='' LOCK='' SCRATCH=''

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
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/routeguard.XXXXXX")

"$VERB"
