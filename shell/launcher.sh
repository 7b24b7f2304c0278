#!/bin/sh
# routeguard-launcher
# Made by `routeguard setup`; `routeguard teardown` removes it. The second line is how routeguard
# knows it, so keep it as it is. Words in capitals between double underscores are filled in by
# guard/install/launcher.py.

# What `routeguard hook SHELL` printed last is printed again without a start of Python, as long as
# one `stat` shows that each file it was made from is the same: mode, owner, inode, size, both times
# to the nanosecond. The kept text comes first, and is read only if it is this user's alone; `-O`
# asks for the user that runs us, so that nobody's file is code for root. Only in the account's own
# home, around which no project can lie that would choose these directories.
# shellcheck disable=SC2050,SC2194 # words that are filled in
if [ $# = 2 ] && [ "$1" = hook ] && [ __KEEPS__ = yes ] && [ "${HOME-}" = __HOME__ ] &&
    [ "${XDG_CONFIG_HOME:-$HOME/.config}:${XDG_CACHE_HOME:-$HOME/.cache}" = "$HOME/.config:$HOME/.cache" ] &&
    [ "${XDG_DATA_HOME:-$HOME/.local/share}:${ROUTEGUARD_CONFIG_HOME-}" = "$HOME/.local/share:" ]; then
    rg_shell=$2 rg_kept='' rg_absent='' made_from='' hook=''
    # bash keeps a file for each of its shells there, which only Python clears away
    set -- "$HOME"/.cache/routeguard/prompt/*
    [ $# -lt 64 ] || rg_shell="$rg_shell, later"
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
        rg_kept=$HOME/.cache/routeguard/hook/$rg_shell
        # shellcheck disable=SC3067 # a sh without it starts Python
        if [ -f "$rg_kept" ] && [ -O "$rg_kept" ]; then set -- "$rg_kept" "$@"; else rg_kept=''; fi
        # shellcheck disable=SC2086 # patterns among them
        rg_seen=$(cd __GUARD__ && LC_ALL=C exec __STAT__ "$@" __FILES__ 2>/dev/null) || rg_seen=''
        rg_first=''
        if [ -n "$rg_kept" ]; then
            rg_first=${rg_seen%%"
"*} rg_seen=${rg_seen#*"
"}
        fi
        set -- hook "$rg_shell"
        if [ -n "$rg_seen" ]; then
            rg_seen="$rg_seen
absent:$rg_absent"
            case $rg_first in
            "600 __USER__ "*)
                # shellcheck source=/dev/null
                . "$rg_kept"
                if [ "$made_from" = "$rg_seen" ]; then
                    printf '%s' "$hook"
                    exit 0
                fi
                ;;
            esac
            set -- hook --made-from "$rg_seen" "$rg_shell"
        fi
        ;;
    *) set -- hook "${rg_shell%, later}" ;;
    esac
fi

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
