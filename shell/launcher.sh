#!/bin/sh
# routeguard-launcher
# Made by `routeguard setup`; `routeguard teardown` removes it. The second line is how routeguard
# knows it, so keep it as it is. Words in capitals between double underscores are filled in by
# guard/install/launcher.py.

# What `routeguard hook SHELL` printed last is used again without a start of Python, as long as one
# `stat` shows that each file it was made from is the same: mode, owner, inode, size, both times to
# the nanosecond. It lies in a private directory as hook.SHELL (hook.SHELL.zwc is what zsh makes of
# it), and hook.SHELL.seen says what was seen then, of both as well, and how the shell loads it.
# That file comes first, and is read only if it and the directories are this user's alone; `-O`
# asks for the user that runs us, so that nobody's file is code for root. Only in the account's own
# home, around which no project can lie that would choose these directories.
#
# A shell asks through a pipe; whoever keeps the text in a file, or reads it, gets all of it.

# Starts Python, or says why it cannot.
start() {
    if [ -x __PYTHON__ ] && [ -r __MAIN__ ]; then
        exec __PYTHON__ -I -S __MAIN__ "$@"
    fi
    [ "${1-}" != hook ] || exit 126 # the block in the start file says it
    {
        echo 'routeguard: cannot start, and coding agents stay blocked until it can [RG503]'
        if [ -x __PYTHON__ ]; then
            printf '  where: %s\n  why:   routeguard itself is gone from there\n' __MAIN__
        else
            printf '  where: %s\n' __PYTHON__
            echo '  why:   its Python (__VERSION__) is gone: upgraded or removed, as Homebrew does'
        fi
        printf '  fix:   %s\n' __AGAIN__
        __OR_ANOTHER__
    } >&2
    exit 126
}

# sh reads all of an `if` before it runs any of it
[ "${1-}" = hook ] || start "$@"

# shellcheck disable=SC2050,SC2194 # words that are filled in
if [ $# = 2 ] && [ "$1" = hook ] && [ __KEEPS__ = yes ] && [ "${HOME-}" = __HOME__ ] && [ -p /dev/fd/1 ] &&
    [ "${XDG_CONFIG_HOME:-$HOME/.config}:${XDG_CACHE_HOME:-$HOME/.cache}" = "$HOME/.config:$HOME/.cache" ] &&
    [ "${XDG_DATA_HOME:-$HOME/.local/share}:${ROUTEGUARD_CONFIG_HOME-}" = "$HOME/.local/share:" ]; then
    rg_shell=$2 rg_kept='' rg_absent='' made_from='' load=''
    if [ "$rg_shell" = bash ]; then
        # it keeps a file for each of its shells here, which only Python clears away
        rg_scratch=$HOME/.cache/routeguard/prompt
        set -- "$rg_scratch"/*
        [ $# -lt 64 ] || rg_shell="$rg_shell, later"
    fi
    set --
    for rg_file in __SYSTEM_POLICY__ "$HOME/.config/routeguard/policy.toml" "$HOME/.config/routeguard/allowed.toml"; do
        if [ -e "$rg_file" ] || [ -L "$rg_file" ]; then
            set -- "$@" "$rg_file"
        else
            rg_absent="$rg_absent $rg_file"
        fi
    done
    case $rg_shell in
    bash | zsh | fish)
        rg_hook=$HOME/.cache/routeguard/hook/hook.$rg_shell
        # ... and so does it make the directory
        [ "$rg_shell" != bash ] || [ -w "$rg_scratch" ] || rg_hook=''
        # shellcheck disable=SC3067 # a sh without it starts Python
        if [ -n "$rg_hook" ] && [ -f "$rg_hook" ] && [ -f "$rg_hook.seen" ] && [ -O "$rg_hook.seen" ]; then
            rg_kept=yes
            [ ! -e "$rg_hook.zwc" ] || set -- "$rg_hook.zwc" "$@"
            set -- "$HOME/.cache/routeguard" "$HOME/.cache/routeguard/hook" "$rg_hook.seen" "$rg_hook" "$@"
        fi
        # shellcheck disable=SC2086 # patterns among them
        rg_seen=$(cd __GUARD__ 2>/dev/null && LC_ALL=C exec __STAT__ "$@" __FILES__ 2>/dev/null) || rg_seen=''
        rg_private=''
        rg_absent="
absent:$rg_absent"
        if [ -z "$rg_kept" ]; then
            rg_seen=${rg_seen:+$rg_seen$rg_absent}
        else
            # a line for each word
            IFS='
'
            set -f
            # shellcheck disable=SC2086
            set -- $rg_seen
            case ${1-} in "700 __USER__ "*) case ${2-} in "700 __USER__ "*) case ${3-} in "600 __USER__ "*) rg_private=yes ;; esac ;; esac ;; esac
            [ $# -lt 3 ] || shift 3
            rg_seen="${1+$*$rg_absent}"
            unset IFS
        fi
        if [ -n "$rg_private" ]; then
            # a file that is damaged ends some kinds of sh, and then Python answers
            trap 'start hook --made-from "$rg_seen" "$rg_shell"' EXIT
            # shellcheck source=/dev/null
            . "$rg_hook.seen" 2>/dev/null
            trap - EXIT
            if [ -n "$load" ] && [ "$made_from" = "$rg_seen" ]; then
                printf '%s\n' "$load"
                exit 0
            fi
        fi
        set -- hook "$rg_shell"
        [ -z "$rg_seen" ] || set -- hook --made-from "$rg_seen" "$rg_shell"
        ;;
    *) set -- hook "${rg_shell%, later}" ;;
    esac
fi

start "$@"
