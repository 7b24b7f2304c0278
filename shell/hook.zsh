# Printed by `routeguard hook zsh`; docs/shells.md says exactly what it does and how to undo it.
# For zsh 5.3 and later. Words in capitals between double underscores are filled in by
# guard/hook/render.py. No value of a variable is ever expanded here, only names are: not even
# `set -x` can show a key. Written so that it also parses under `emulate sh`.

# What the wrappers and people call. Agents that replay a user's functions leave out those that begin
# with an underscore, and some only take one: then a wrapper starts the command of this name. A shell
# that has lost the look at each prompt hands that on, for routeguard to say. A quoted name is read
# correctly even while an alias of that name exists, a global one, too.
function 'routeguard' {
    if [[ -o interactive ]]; then
        if [[ "${precmd_functions[*]-}" != *__routeguard_precmd* ]]; then
            \builtin local -x ROUTEGUARD_HOOK=lost:zsh
        elif [[ ${1-} != 'exec' ]]; then
            \builtin local -x ROUTEGUARD_HOOK=live:zsh
        fi
    fi
    if [[ ${1-} != 'exec' ]]; then
        \command routeguard "$@"
    elif [[ -x __PYTHON__ && -r __MAIN__ ]]; then
        __PYTHON__ -I -S __MAIN__ "$@"
    else
        # no word but the name of an agent: any other may be a key
        [[ ' __AGENTS__ ' == *" ${3-} "* ]] || \builtin set -- '' '' exec
        \builtin printf '%s\n' "routeguard: $3 refused: routeguard is missing [RG503]" \
            "  where: "__MAIN__ \
            '  why:   it was removed, or its program is gone; this shell still has its hook' \
            '  fix:   start this shell anew; if there is something to repair, it says so:' \
            '         exec zsh' >&2
        \builtin return 126
    fi
}
# The second name is for __routeguard_aliases, which compares the first one with it.
# For each agent:
function '__AGENT__' __routeguard_'__AGENT__' {
    \routeguard 'exec' -- '__AGENT__' "$@"
}
# So much for each agent.

# Looks at the exported names; adds what is new to $__routeguard_scrubbed and $__routeguard_flagged.
# With an argument also at names nobody has heard of. That takes the module zsh/parameter, which
# a script must not have to load: on macOS under Rosetta loading it has hung shells.
function __routeguard_check {
    \builtin emulate -L zsh
    \builtin local -a names found seen
    \builtin local name type entry expires
    if (( $# )); then
        found=(${(k)parameters[(I)?*_API_KEY]} __SET_WITHOUT_SUFFIX__)
    else
        found=(__SET_NAMES__)
    fi
    for name in $found; do
        type=${(tP)name}
        [[ $type == *export* && -v $name ]] && names+=(${name}:$type)
    done
    # the same names as the last time, and nothing was or has to be done about them
    if [[ "$names" == "$__routeguard_same" ]]; then
        __routeguard_seen+=($__routeguard_last)
        \builtin return 0
    fi
    \builtin typeset -g __routeguard_same="$names"

    \builtin local -a keys others allowed
    \builtin local keys_action=__KEYS_ACTION__ keys_unknown=__KEYS_UNKNOWN__
    keys=(__KEYS__)
    others=(__OTHER_NAMES__)
    allowed=(__ALLOWED__)
    for entry in $names; do
        name=${entry%%:*} type=${entry#*:}
        expires=${${(M)allowed:#$name=*}#*=}
        if [[ -n $expires ]]; then
            \builtin typeset -g __routeguard_same='?' # it may have run out by the next prompt
            \builtin zmodload zsh/datetime 2>/dev/null
            (( ${EPOCHSECONDS:-0} <= expires )) && \builtin continue
        fi
        if (( ${keys[(Ie)$name]} )); then
            if [[ $keys_action != scrub ]]; then
                entry=$name
            elif [[ $type == *readonly* ]]; then
                entry="$name (readonly)"
            else
                \builtin unset "$name"
                \builtin typeset -g __routeguard_same='?'
                entry=''
                if [[ :${ROUTEGUARD_SCRUBBED}: != *:${name}:* && ${(t)ROUTEGUARD_SCRUBBED} != *readonly* ]]; then
                    \builtin typeset -gx "ROUTEGUARD_SCRUBBED=$ROUTEGUARD_SCRUBBED${ROUTEGUARD_SCRUBBED:+:}$name"
                fi
            fi
        elif [[ $keys_unknown != flag ]] || (( ${others[(Ie)$name]} )); then
            \builtin continue
        else
            case $name in
            (__OTHER_PREFIXES__) \builtin continue ;;
            (*) entry=$name ;;
            esac
        fi
        seen+=($name)
        # already there since the last prompt but one, so already said: a tool that exports a name
        # again at every prompt gets one line, not one for each
        (( ${__routeguard_seen[(Ie)$name]} || ${__routeguard_before[(Ie)$name]} )) && \builtin continue
        if [[ -z $entry ]]; then
            __routeguard_scrubbed+=($name)
        else
            __routeguard_flagged+=($entry)
        fi
    done
    __routeguard_last=($seen) __routeguard_seen+=($seen)
    \builtin return 0
}

# Puts the directory of the shims first on PATH, if there is one, and leaves the rest in order.
function __routeguard_path {
    \builtin emulate -L zsh
    \builtin local front=__SHIMS__
    [[ $PATH == $front || $PATH == ${front}:* ]] && \builtin return 0
    [[ -d $front && $- != *r* && ${(t)PATH} != *readonly* ]] || \builtin return 0
    \builtin local rest=":${PATH}:"
    while [[ $rest == *:${front}:* ]]; do
        rest=${rest%%:${front}:*}:${rest#*:${front}:}
    done
    rest=${${rest#:}%:}
    PATH=$front${rest:+:$rest}
    \builtin return 0
}

# An alias is looked up before a function. One that begins with the name itself still comes here;
# any other goes around the guard, and so does a function that took the place of ours.
function __routeguard_aliases {
    \builtin emulate -L zsh
    \builtin local name
    for name in __AGENTS__; do
        case ${aliases[$name]-${galiases[$name]-$name}} in
        ($name|$name\ *) ;;
        (*)
            # Ctrl-C in the middle makes every expansion empty, and then there is no such alias
            \builtin unalias $name 2>/dev/null && __routeguard_removed+=("alias $name")
            ;;
        esac
        if [[ -n ${functions[$name]-} && ${functions[$name]} != ${functions[__routeguard_$name]-$functions[$name]} ]]; then
            functions[$name]=${functions[__routeguard_$name]}
            __routeguard_removed+=("function $name")
        fi
    done
    \builtin return 0
}

function __routeguard_say {
    \builtin emulate -L zsh
    if (( ${#__routeguard_scrubbed} )); then
        \builtin printf 'routeguard: scrubbed %s (why, and how to allow it: routeguard why %s)\n' \
            "${(j:, :)__routeguard_scrubbed}" "${__routeguard_scrubbed[1]}" >&2
    fi
    if (( ${#__routeguard_flagged} )); then
        \builtin printf 'routeguard: flagged %s (why, and how to allow it: routeguard why %s)\n' \
            "${(j:, :)__routeguard_flagged}" "${__routeguard_flagged[1]%% *}" >&2
    fi
    if (( ${#__routeguard_removed} )); then
        \builtin printf 'routeguard: removed the %s: it bypassed the guard\n' \
            "${(j:, the :)__routeguard_removed}" >&2
    fi
    (( ${#__routeguard_held} )) && \builtin printf '%s\n' "${(@)__routeguard_held}" >&2
    __routeguard_scrubbed=() __routeguard_flagged=() __routeguard_removed=() __routeguard_held=()
}

function __routeguard_precmd {
    \builtin emulate -L zsh
    \builtin setopt no_xtrace
    __routeguard_before=($__routeguard_seen) __routeguard_seen=()
    __routeguard_path
    __routeguard_aliases
    __routeguard_check net
    # While Powerlevel10k's instant prompt is on the screen, stderr is a file, and what is in it at
    # the end is taken for a warning. Then the first command, or the second prompt, says it.
    [[ $__routeguard_first == 1 && ! -t 2 ]] || __routeguard_say
    __routeguard_first=0
    \builtin return 0
}

# Before a command that was typed runs: what hooks of other programs exported, or put first on
# PATH, after the look at the prompt.
function __routeguard_preexec {
    \builtin emulate -L zsh
    \builtin setopt no_xtrace
    __routeguard_path
    __routeguard_check net
    __routeguard_say
    \builtin return 0
}

# Once: removes itself. A function, so that it has options of its own.
function __routeguard_setup {
    \builtin emulate -L zsh
    \builtin typeset -g __routeguard_same=''
    \builtin typeset -gi __routeguard_first=1
    \builtin typeset -ga __routeguard_seen __routeguard_before __routeguard_last \
        __routeguard_scrubbed __routeguard_flagged __routeguard_removed __routeguard_held
    __routeguard_seen=() __routeguard_before=() __routeguard_last=() __routeguard_scrubbed=()
    __routeguard_flagged=() __routeguard_removed=() __routeguard_held=()
    __routeguard_path
    __routeguard_check
    if [[ -o interactive ]]; then
        if [[ ${(t)precmd_functions} != *readonly* ]]; then
            \builtin typeset -ga precmd_functions
            (( ${precmd_functions[(Ie)__routeguard_precmd]} )) || precmd_functions+=(__routeguard_precmd)
        fi
        if [[ ${(t)preexec_functions} != *readonly* ]]; then
            \builtin typeset -ga preexec_functions
            (( ${preexec_functions[(Ie)__routeguard_preexec]} )) || preexec_functions+=(__routeguard_preexec)
        fi
    fi
    if { __ANY_ALIAS__; } >/dev/null; then
        __routeguard_aliases
    fi
    \builtin unfunction __routeguard_setup
}
__routeguard_setup
