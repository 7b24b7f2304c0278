# shellcheck shell=bash
# Added to hook.bash unless proxies.prompt is "off": a typed line that starts a local model proxy is
# refused before it runs. A line without one of the words below is not looked at any further.

# Until __routeguard_functions is called:
# Runs program $1 with the other arguments, if they do not start a proxy.
function __routeguard_start {
    if [[ ! -x __PYTHON__ || ! -r __MAIN__ ]]; then
        \builtin printf 'routeguard: this line was not checked: routeguard is missing [RG503]\n' >&2
    else
        \builtin printf '%q ' "$@" | __PYTHON__ -I -S __MAIN__ line bash || case $? in
        126 | 130) \builtin return 126 ;;
        *) \builtin printf 'routeguard: this line was not checked: the judge failed [RG503]\n' >&2 ;;
        esac
    fi
    # before bash 5, `set -e` acts on what `builtin` runs although somebody asks for the status
    \builtin local __rg_options=$- __rg_result=0
    \builtin set +e
    \builtin command "$@"
    __rg_result=$?
    [[ $__rg_options != *e* ]] || \builtin set -e
    \builtin return "$__rg_result"
}

# Where Enter cannot be ours, programs that are nothing but proxies are functions: before bash 5,
# where running a command from a key redraws too much of the screen, and in another line editor.
function __routeguard_functions {
    \builtin local __rg_name
    # shellcheck disable=SC2043 # one word here is many names in the hook
    for __rg_name in __PROXY_NAMES__; do
        ! \builtin declare -F "$__rg_name" >/dev/null || \builtin continue
        # the quotes of the paths are kept as they are: what is read again is not expanded first
        \builtin eval "function $__rg_name {"' __routeguard_start '"$__rg_name"' "$@"; }'
    done
}
# So much until then.

if ((BASH_VERSINFO[0] < 5)); then
    [[ $- != *i* || $- == *r* ]] || __routeguard_functions
else
    # Whether bash's builtins are its own, and what is read before __routeguard_settable can be used.
    function __routeguard_able {
        if \builtin local __rg_code __rg_ok='' __rg_word; then
            __rg_ok=''
            __routeguard_probe
            [[ -n $__rg_ok ]]
        else
            [[ -n '' ]]
        fi
    } 2>/dev/null

    # For a shell in which the line cannot be judged: in $1 it has small letters, $2 to $5 are the
    # patterns. A line with one of the words is refused unread, any other runs. Needs no builtin and
    # no variable; what it says is an error of an expansion, which also ends it.
    function __routeguard_unread {
        # shellcheck disable=SC2053 # they are patterns
        if [[ $1 == $2 || ($1 == $3 && $1 == $4) || ($- == *H* && $1 == $5) ]]; then
            READLINE_LINE=''
            [[ ${__routeguard?refused: this line cannot be judged: a variable named __rg_… is readonly, or the builtins of bash are hidden. fix: open a new shell; or: unset -f builtin; enable builtin declare eval local printf read return} ]]
        fi
    }

    # Enter runs this, then accepts what it leaves in the line. A refused line becomes a comment, as
    # readline's insert-comment makes one: it is on the screen, it is in the history as bash keeps
    # any line, and nothing of it runs. Its argument is $_, which is so kept. Patterns are compared,
    # not regular expressions, so that BASH_REMATCH stays the user's; they are in variables, because
    # bash 3.2 has to be able to read this.
    function __routeguard_enter {
        # a function that asks with `read -e` gets no command; a restricted shell: see the prompt
        if ((${#FUNCNAME[@]} > 1)) || [[ $- == *r* ]]; then
            \builtin return 0
        fi
        if __routeguard_able && __routeguard_consider; then
            \builtin return 0
        else
            __routeguard_unread "${READLINE_LINE,,}" '*@(__PROXY_PROGRAMS__)*' \
                '*@(docker|podman|nerdctl|finch|container)*' '*@(__PROXY_IMAGES__)*' '*![!\ =\(\"]*'
        fi
    }

# Until __routeguard_consider is called:
    # Whether every variable of ours can be set: `local` says so, where an assignment to a readonly one
    # would end whatever runs, and let the line go.
    function __routeguard_settable {
        \builtin local __rg_action __rg_again __rg_allowed __rg_begin __rg_code __rg_command __rg_entry \
            __rg_event __rg_exported __rg_first __rg_flag __rg_flagged __rg_found __rg_front \
            __rg_known __rg_last __rg_late __rg_line __rg_more __rg_name __rg_names __rg_new \
            __rg_now __rg_number __rg_ok __rg_others __rg_path __rg_patterns __rg_rest \
            __rg_result __rg_said __rg_same __rg_same_all __rg_same_known __rg_scratch \
            __rg_scrubbed __rg_seen __rg_seen_now __rg_send __rg_start __rg_stems __rg_text \
            __rg_turn __rg_typed __rg_unaliased __rg_unknown __rg_word __rg_words
    } 2>/dev/null

    # Adds the texts of the aliases that stand in $__rg_words to it, and to $__rg_send.
    function __routeguard_expand {
        \builtin local __rg_name __rg_more=1
        while [[ -n $__rg_more ]]; do
            __rg_more=''
            for __rg_name in "${!BASH_ALIASES[@]}"; do
                if [[ " $__rg_words " == *[![:alnum:]_]"$__rg_name"[![:alnum:]_]* && $__rg_names != *" $__rg_name "* ]]; then
                    __rg_more=1 __rg_names+="$__rg_name " __rg_words+=" ${BASH_ALIASES[$__rg_name]}"
                    __rg_send+=("$__rg_name" "${BASH_ALIASES[$__rg_name]}")
                fi
            done
        done
    }

    # What the line becomes where it names an event of the history. bash takes the last entry for
    # the command that asks, and drops it, if it was put there just before; one that is put there
    # on purpose is kept.
    function __routeguard_event {
        \builtin local __rg_last
        __rg_last=$(\builtin fc -ln -0 -0 2>/dev/null)
        \builtin printf -v HISTCONTROL '' 2>/dev/null
        \builtin printf -v HISTIGNORE '' 2>/dev/null
        [[ -z $__rg_last ]] || \builtin history -s -- "${__rg_last:2}"
        \builtin history -p "$__rg_line" 2>/dev/null
    }

    # The verdict on the line: 126 if it may not run. What is typed goes through a pipe: it may hold
    # a key, and everybody can read an argument. What the judge says waits in $__rg_said.
    function __routeguard_judge {
        if [[ ! -x __PYTHON__ || ! -r __MAIN__ ]]; then
            __rg_said='routeguard: this line was not checked: routeguard is missing [RG503]'
            \builtin return 0
        fi
        __rg_said=$({
            \builtin printf '%s' "$__rg_text"
            ((${#__rg_send[@]} == 0)) || \builtin printf '\0%s' "${__rg_send[@]}"
        } 2>/dev/null | __PYTHON__ -I -S __MAIN__ line bash 2>&1 >/dev/null)
    }

    # The line, and all that comes with it: keys, aliases, the history.
    function __routeguard_consider {
        __routeguard_settable || \builtin return 1
        # bash exports the line, and `set -a` every variable: no program may get either
        \builtin local -
        \builtin set +aeuxET +o pipefail
        \builtin export -n READLINE_LINE __rg_typed
        \builtin local __rg_line __rg_text __rg_words __rg_names=' ' __rg_send __rg_said=''
        \builtin local __rg_result=0 __rg_number __rg_event __rg_patterns __rg_again=1
        __rg_line=$READLINE_LINE __rg_number='\#'
        # the number of the command is the same for all lines of one command
        __rg_number=${__rg_number@P}
        [[ $__rg_number == "${__rg_command-}" ]] || __rg_typed='' __rg_command=$__rg_number
        __rg_text=$__rg_typed$__rg_line __rg_words=$__rg_line __rg_send=()
        # a line before this one counts again only where this one goes on with it
        [[ $__rg_typed != *\\$'\n' ]] || __rg_words=$__rg_text
        # what came after us at the prompt may have exported a key
        [[ -n $__rg_typed ]] || __routeguard_look
        ((${#BASH_ALIASES[@]} == 0 || ${#__rg_words} > 10000)) || __routeguard_expand
        __rg_event=${histchars-'!^'}
        if [[ $- == *H* && ($__rg_words == *"${__rg_event:0:1}"[!\ =\(\"]* || $__rg_line == "${__rg_event:1:1}"*) ]] &&
            __rg_said=$(__routeguard_event); then
            __rg_words+=" $__rg_said" __rg_text=$__rg_typed$__rg_said
        fi
        # whose small letter is another one in Turkish
        __rg_words=${__rg_words//I/i}
        __rg_words=${__rg_words,,}
        __rg_patterns=('*@(__PROXY_PROGRAMS__)*' '*@(docker|podman|nerdctl|finch|container)*' '*@(__PROXY_IMAGES__)*')
        # shellcheck disable=SC2053 # they are patterns
        if ((${#__rg_words} > 10000)) || [[ $__rg_words == ${__rg_patterns[0]} ||
            ($__rg_words == ${__rg_patterns[1]} && $__rg_words == ${__rg_patterns[2]}) ]]; then
            # it is put back once there is a verdict: whatever fails, nothing runs unjudged
            READLINE_LINE=''
            __rg_said=''
            __routeguard_judge || __rg_result=$?
            if [[ $__rg_result != 0 && -z $__rg_said ]]; then
                __rg_said='routeguard: this line was not checked: the judge failed [RG503]'
            fi
            [[ -z $__rg_said ]] || \builtin printf '%s\n' "$__rg_said" >&2
            case $__rg_result in
            126 | 130) __routeguard_refuse && \builtin return 0 ;;
            *) READLINE_LINE=$__rg_line ;;
            esac
        fi
        ((${#__rg_typed} > 100000)) || __rg_typed+=$__rg_line$'\n'
    }

    # What is left of a refused line. In the middle of a command a comment could be taken for
    # something else: there the whole command goes, as with Ctrl-C, or, where a trap would keep that
    # from it (and in bash 5.0, which then swallows the next line), by what is an error in any place.
    function __routeguard_refuse {
        if [[ -n $__rg_typed ]]; then
            if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] == 500)) || [[ -n $(\builtin trap -p INT) ]] ||
                ! \builtin kill -s INT "$$"; then
                READLINE_LINE=';;)'
            fi
        elif \builtin shopt -q interactive_comments; then
            \builtin local __rg_begin=${__rg_line%%[![:space:]]*}
            READLINE_LINE="$__rg_begin#${__rg_line:${#__rg_begin}}"
            READLINE_LINE=${READLINE_LINE//$'\n'/$'\n'#}
        fi
        \builtin return 0
    }
# So much until then.

    # Which keys accept the line, in words of readline's. A command without a key is no failure,
    # which would end a shell under `set -e`.
    function __routeguard_keys {
        for __rg_map in emacs-standard vi-insert vi-command; do
            \builtin bind -m "$__rg_map" -q accept-line
            \builtin bind -m "$__rg_map" -q operate-and-get-next
        done
        \builtin echo .
    } 2>/dev/null

# Until __routeguard_taken is called:
    # Takes the keys out of $__rg_keys, an answer of `bind -q`, which names five of them and then
    # `...`: once these are ours it names the next.
    function __routeguard_taken {
        \builtin local __rg_key __rg_between='", "' __rg_more
        while [[ $__rg_keys == *\"*\"* ]]; do
            __rg_more=${__rg_keys##*\"} __rg_words=()
            __rg_keys=${__rg_keys#*\"}
            __rg_keys=${__rg_keys%\"*}$__rg_between
            while [[ -n $__rg_keys ]]; do
                __rg_key=${__rg_keys%%"$__rg_between"*} __rg_keys=${__rg_keys#*"$__rg_between"}
                # a key that is already ours
                [[ $__rg_key != '\e[530'* ]] || \builtin continue
                __rg_words+=("\"$__rg_key\": \"\\e[5301~\\e[530${__rg_does:0:1}~\"")
                __rg_bound+=("$__rg_map" "\"$__rg_key\": ${__rg_does:1}")
            done
            [[ $__rg_more == *... && -n ${__rg_words-} ]] || \builtin return 0
            \builtin bind -m "$__rg_map" "${__rg_words[@]}"
            __rg_keys=$(\builtin bind -m "$__rg_map" -q "${__rg_does:1}") || \builtin :
        done
    }
# So much until then.

    # Gives the keys back: ble.sh is an editor of its own, in which ours mean nothing. It has a
    # function `bind`, which knows whether the terminal is already its own.
    function __routeguard_release {
        while ((${#__rg_bound[@]} > 0)); do
            bind -m "${__rg_bound[0]}" "${__rg_bound[1]}"
            __rg_bound=(${__rg_bound[@]+"${__rg_bound[@]:2}"})
        done
        __routeguard_functions
    }

    # a shell that is given its commands (-c) reads no line
    if [[ $- == *i* && $- != *[cr]* ]]; then
        # Every key that accepts the line, or accepts it and brings the next one of the history (Ctrl-O),
        # becomes a macro of two keys that no keyboard has. What the user has bound to anything else
        # stays, and a key that is already ours is not asked for by the name of what it did. Each
        # question to `bind` is one line of the answer, which a private file takes as in
        # __routeguard_check: `$(…)` would fork. No function, as in hook.bash.
        if [[ -z ${BLE_VERSION-}${__rg_bound-} ]]; then
            \builtin unset -v __rg_all __rg_bound __rg_does __rg_keys __rg_map __rg_number __rg_words
            __rg_number=0
            # shellcheck disable=SC2157 # a path, or nothing
            if [[ -z __SCRATCH__ ]] || ! { __routeguard_keys 1<>__SCRATCH__"/$$" &&
                \builtin mapfile -n 7 -t __rg_all <__SCRATCH__"/$$"; } 2>/dev/null || [[ ${__rg_all[6]-} != . ]]; then
                { \builtin mapfile -t __rg_all <<<"$(__routeguard_keys)"; } 2>/dev/null || \builtin :
            fi
            __rg_bound=()
            for __rg_map in emacs-standard vi-insert vi-command; do
                # shellcheck disable=SC2016 # expanded when the key is pressed
                \builtin bind -m "$__rg_map" -x '"\e[5301~": __routeguard_enter "$_"'
                for __rg_does in 2accept-line 3operate-and-get-next; do
                    __rg_keys=${__rg_all[__rg_number++]-}
                    # the answer where nobody has changed a key is not taken apart, which takes long
                    case $__rg_keys in
                    'accept-line can be invoked via "\C-j", "\C-m".')
                        __rg_words=('"\C-j": "\e[5301~\e[5302~"' '"\C-m": "\e[5301~\e[5302~"')
                        __rg_bound+=("$__rg_map" '"\C-j": accept-line' "$__rg_map" '"\C-m": accept-line')
                        ;;
                    'operate-and-get-next can be invoked via "\C-o".')
                        __rg_words=('"\C-o": "\e[5301~\e[5303~"')
                        __rg_bound+=("$__rg_map" '"\C-o": operate-and-get-next')
                        ;;
                    *\"*\"*) __routeguard_taken ;;
                    *) \builtin continue ;;
                    esac
                    \builtin bind -m "$__rg_map" "\"\\e[530${__rg_does:0:1}~\": ${__rg_does:1}" \
                        ${__rg_words[@]+"${__rg_words[@]}"}
                done
            done
            \builtin unset -v __rg_all __rg_does __rg_keys __rg_map __rg_number __rg_words
        fi
        [[ -n ${__rg_bound-} ]] || __routeguard_functions
    fi
fi
