# shellcheck shell=bash
# Added to hook.bash unless proxies.prompt is "off": a typed line that starts a local model proxy is
# refused before it runs. A line without one of the words below is not looked at any further.

# Judges what was typed since the prompt; 126 if it may not run. It goes through a pipe: it may hold
# a key, and everybody can read an argument. What the judge says waits in a variable, and so that
# BASH_REMATCH stays the user's, patterns are compared, not regular expressions.
function __routeguard_judge {
    \builtin local text="$__routeguard_typed$READLINE_LINE" typed="$READLINE_LINE" send word value names=' '
    send=()
    # the text of an alias stands in the place of its name
    if ((${#BASH_ALIASES[@]} && ${#typed} < 100000)); then
        for word in ${typed//[;&|()]/ }; do
            while [[ $word != *[!A-Za-z0-9_.+:-]* && $names != *" $word "* ]]; do
                value=${BASH_ALIASES[$word]-}
                [[ -n $value ]] || \builtin break
                names+="$word "
                send+=("$word" "$value")
                typed+=" $value"
                word=${value%%[[:space:]]*}
            done
        done
    fi
    # only a line that names an event of the history has to be expanded, and that takes a process
    if [[ $- == *H* && ($typed == *'!'[!\ =\(\"]* || $typed == ^*^*) ]]; then
        # bash takes the last entry for the command that asks, and drops it, if it was put there just
        # before; one that is put there on purpose is kept
        value=$(
            value=$(HISTTIMEFORMAT='' \builtin history 1) value=${value#"${value%%[0-9]*}"}
            value=${value#"${value%%[!0-9]*}"} HISTCONTROL='' HISTIGNORE=''
            [[ -z $value ]] || \builtin history -s -- "${value:2}"
            \builtin history -p "$READLINE_LINE" 2>/dev/null
        ) && typed+=" $value" text="$__routeguard_typed$value"
    fi
    # a line before this one counts again only where this one goes on with it
    [[ $__routeguard_typed != *\\$'\n' ]] || typed=$__routeguard_typed$typed
    typed=${typed,,}
    [[ $typed == *@(__PROXY_PROGRAMS__)* ||
        ($typed == *@(docker|podman|nerdctl)* && $typed == *@(__PROXY_IMAGES__)*) ]] || \builtin return 0
    if [[ ! -x __PYTHON__ || ! -r __MAIN__ ]]; then
        said='routeguard: this line was not judged: its guard is gone [RG503]'
        \builtin return 0
    fi
    said=$({
        \builtin printf '%s' "$text"
        ((${#send[@]} == 0)) || \builtin printf '\0%s' "${send[@]}"
    } 2>/dev/null | __PYTHON__ -I -S __MAIN__ line bash 2>&1 >/dev/null)
}

# Enter runs this, then accepts what it leaves in the line. A refused line becomes a comment, as
# readline's insert-comment makes one: it is on the screen, it is in the history as bash keeps any
# line, and nothing of it runs. Its argument is $_, which is so kept.
function __routeguard_enter {
    \builtin local -
    \builtin set -f +aeuxT +o pipefail
    # bash exports the line, and `set -a` every variable: no program may get either
    \builtin export -n READLINE_LINE __routeguard_typed
    \builtin local IFS=$' \t\n' said='' result=0 number='\#' begin
    # the number of the command is the same for all lines of one command
    number=${number@P}
    [[ $number == "$__routeguard_number" ]] || __routeguard_typed='' __routeguard_number=$number
    __routeguard_judge || result=$?
    if [[ $result != 0 && -z $said ]]; then
        said='routeguard: this line was not judged: the judge failed [RG503]'
    fi
    [[ -z $said ]] || \builtin printf '%s\n' "$said" >&2
    case $result in
    126 | 130)
        if [[ -n $__routeguard_typed ]]; then
            # in the middle of a command, where a comment could be taken for something else
            READLINE_LINE=''
            \builtin kill -s INT "$$"
        elif \builtin shopt -q interactive_comments; then
            begin=${READLINE_LINE%%[![:space:]]*}
            READLINE_LINE="$begin#${READLINE_LINE:${#begin}}"
            READLINE_LINE=${READLINE_LINE//$'\n'/$'\n'#}
        else
            READLINE_LINE=''
        fi
        ;;
    *)
        ((${#__routeguard_typed} > 100000)) || __routeguard_typed+=$READLINE_LINE$'\n'
        ;;
    esac
    \builtin return 0
}

# Runs program $1 with the other arguments, if they do not start a proxy. Only before bash 5.
function __routeguard_start {
    if [[ -x __PYTHON__ && -r __MAIN__ ]]; then
        \builtin printf '%q ' "$@" | __PYTHON__ -I -S __MAIN__ line bash || {
            (($? != 126)) || \builtin return 126
        }
    fi
    \builtin command "$@"
}

# Enter becomes a macro of two keys that no keyboard has. It belongs to the user: where it does
# anything but accept the line, it stays as it is. Before bash 5 running a command from a key redraws
# too much of the screen; there, programs that are nothing but proxies are functions.
function __routeguard_setup {
    \builtin local keymap key bound name
    if ((BASH_VERSINFO[0] < 5)); then
        # shellcheck disable=SC2043 # one word here is many names in the hook
        for name in __PROXY_NAMES__; do
            ! \builtin declare -F "$name" >/dev/null || \builtin continue
            # the quotes of the paths are kept as they are: what is read again is not expanded first
            \builtin eval "function $name {"' __routeguard_start '"$name"' "$@"; }'
        done
        \builtin return 0
    fi
    __routeguard_typed='' __routeguard_number=''
    for keymap in emacs-standard vi-insert vi-command; do
        bound=$(\builtin bind -m "$keymap" -q accept-line 2>/dev/null)
        for key in '\C-m' '\C-j'; do
            [[ $bound == *"\"$key\""* ]] || \builtin continue
            # shellcheck disable=SC2016 # expanded when the key is pressed
            \builtin bind -m "$keymap" -x '"\e[5301~": __routeguard_enter "$_"'
            \builtin bind -m "$keymap" '"\e[5302~": accept-line'
            \builtin bind -m "$keymap" "\"$key\": \"\\e[5301~\\e[5302~\""
        done
        # Ctrl-O runs the line, too, and brings the next one of the history
        bound=$(\builtin bind -m "$keymap" -q operate-and-get-next 2>/dev/null)
        [[ $bound == *'"\C-o"'* ]] || \builtin continue
        # shellcheck disable=SC2016 # expanded when the key is pressed
        \builtin bind -m "$keymap" -x '"\e[5301~": __routeguard_enter "$_"'
        \builtin bind -m "$keymap" '"\e[5303~": operate-and-get-next'
        \builtin bind -m "$keymap" '"\C-o": "\e[5301~\e[5303~"'
    done
}
[[ $- != *i* || $- == *r* ]] || __routeguard_setup || \:
\builtin unset -f __routeguard_setup
