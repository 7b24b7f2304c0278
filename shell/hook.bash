# shellcheck shell=bash
# Printed by `routeguard hook bash`; docs/shells.md says exactly what it does and how to undo it.
# In the syntax of bash 3.2, the one of macOS. Words in capitals between double underscores are
# filled in by guard/hook.py. No value of a variable is ever expanded here, only names are: not
# even `set -x` can show a key.

# The wrappers stand alone: some agents replay a user's functions without the ones that begin
# with an underscore. `function NAME` is read correctly even while an alias NAME exists.
function opencode {
    if [[ -x __PYTHON__ && -r __MAIN__ ]]; then
        __PYTHON__ -I -S __MAIN__ exec -- opencode "$@"
    else
        \builtin printf '%s\n' 'routeguard: opencode refused: its guard is gone [RG503]' \
            "  where: "__MAIN__ \
            '  fix:   install routeguard again and open a new shell, or let go of it:' \
            '         unset -f opencode; then take the routeguard hook out of your start file' >&2
        \builtin return 126
    fi
}

function opencode2 {
    if [[ -x __PYTHON__ && -r __MAIN__ ]]; then
        __PYTHON__ -I -S __MAIN__ exec -- opencode2 "$@"
    else
        \builtin printf '%s\n' 'routeguard: opencode2 refused: its guard is gone [RG503]' \
            "  where: "__MAIN__ \
            '  fix:   install routeguard again and open a new shell, or let go of it:' \
            '         unset -f opencode2; then take the routeguard hook out of your start file' >&2
        \builtin return 126
    fi
}

# Names that are worth a look, found without a fork: `compgen -e` lists what is exported, and a
# private file takes its answer, because $(…) would fork. The file is written over, not emptied
# first, which costs a disk a multiple; a dot ends what counts. Sets $candidates of its caller,
# and $same to the variable that holds what the same kind of look found the last time.
function __routeguard_candidates {
    \builtin local scratch=__SCRATCH__ names opened=''
    candidates=__SET_KEYS_WITHOUT_SUFFIX__
    if [[ -n $scratch && $__routeguard_rest -le 0 ]]; then
        {
            opened=1
            \builtin compgen -e -X '!?*_API_KEY'
            \builtin echo .
        } 2>/dev/null 1<>"$scratch/$$" || \:
    fi
    if [[ -n $opened ]]; then
        same=__routeguard_same_all
        IFS='' \builtin read -r -d . names <"$scratch/$$" || names=''
        candidates+=$names
        __routeguard_rest=$__routeguard_pause
    else
        same=__routeguard_same_known
        __routeguard_rest=$((__routeguard_rest - 1))
        candidates+=__SET_KEYS_WITH_SUFFIX__
        candidates+=$__routeguard_unknown
    fi
}

# Looks at the exported names; adds what is new to $__routeguard_scrubbed and $__routeguard_flagged.
function __routeguard_check {
    \builtin local IFS=$' \t\n' candidates='' exported='' unknown='' seen=' ' name entry same now=0
    __routeguard_candidates
    for name in $candidates; do
        [[ -n ${!name+x} ]] || \builtin continue
        if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)); then
            [[ ${!name@a} == *x* ]] || \builtin continue
        else
            \builtin compgen -e -X "!$name" >/dev/null 2>&1 || \builtin continue
        fi
        exported+="$name "
    done
    # the same names as the last time, and nothing was or has to be done about them
    [[ $exported != "${!same}" ]] || \builtin return 0
    \builtin printf -v "$same" '%s' "$exported"

    \builtin local keys=' __KEYS__ ' others=' __OTHER_NAMES__ ' allowed='__ALLOWED__'
    \builtin local keys_action=__KEYS_ACTION__ keys_unknown=__KEYS_UNKNOWN__
    if [[ -n $allowed ]]; then
        now=${EPOCHSECONDS-}
        if [[ -z $now ]] && ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 402)); then
            \builtin printf -v now '%(%s)T' -1
        fi
        # an older bash cannot tell the time without a fork: what was allowed when this text was
        # printed stays allowed in this shell
        now=${now:-0}
    fi
    for name in $exported; do
        for entry in $allowed; do
            if [[ ${entry%%=*} == "$name" && ${entry#*=} -ge $now ]]; then
                __routeguard_same_all='?' __routeguard_same_known='?' # it may have run out by the next prompt
                \builtin continue 2
            fi
        done
        if [[ $keys == *" $name "* ]]; then
            if [[ $keys_action != scrub ]]; then
                entry=$name
            elif \builtin unset -v "$name" 2>/dev/null; then
                __routeguard_same_all='?' __routeguard_same_known='?'
                entry=''
                case :${ROUTEGUARD_SCRUBBED-}: in
                *:"$name":*) ;;
                *)
                    \builtin export \
                        "ROUTEGUARD_SCRUBBED=${ROUTEGUARD_SCRUBBED-}${ROUTEGUARD_SCRUBBED:+:}$name" 2>/dev/null || \:
                    ;;
                esac
            else
                entry="$name (readonly)"
            fi
        elif [[ $keys_unknown != flag || $others == *" $name "* ]]; then
            \builtin continue
        else
            case $name in
            __OTHER_PREFIXES__) \builtin continue ;;
            *) entry=$name unknown+="$name " ;;
            esac
        fi
        seen+="$name "
        # already there at the last prompt, so already said: a tool that exports a name again at
        # every prompt gets one line, not one for each
        [[ $__routeguard_seen != *" $name "* ]] || \builtin continue
        if [[ -z $entry ]]; then
            __routeguard_scrubbed+="${__routeguard_scrubbed:+, }$name"
        else
            __routeguard_flagged+="${__routeguard_flagged:+, }$entry"
        fi
    done
    __routeguard_seen=$seen
    __routeguard_unknown=$unknown
}

# Puts the directory of the shims first on PATH, if there is one, and leaves the rest in order.
# `printf -v` reports a readonly PATH; an assignment would end the function that makes it.
function __routeguard_path {
    case ${PATH-} in
    __SHIMS__ | __SHIMS__:*) \builtin return 0 ;;
    esac
    [[ -d __SHIMS__ ]] || \builtin return 0
    \builtin local rest=":${PATH-}:" front=__SHIMS__
    while [[ $rest == *":$front:"* ]]; do
        rest=${rest%%":$front:"*}:${rest#*":$front:"}
    done
    rest=${rest#:}
    rest=${rest%:}
    \builtin printf -v PATH '%s' "$front${rest:+:$rest}" 2>/dev/null || \:
}

# An alias is looked up before a function. One that begins with the name itself still comes here;
# any other goes around the guard. (What an alias says cannot be read in bash 3.2 without a fork.)
function __routeguard_aliases {
    if ((BASH_VERSINFO[0] < 4)) || ! { \builtin alias opencode || \builtin alias opencode2; } >/dev/null 2>&1; then
        \builtin return 0
    fi
    \builtin local name
    for name in opencode opencode2; do
        case ${BASH_ALIASES[$name]-$name} in
        "$name" | "$name "*) ;;
        *)
            \builtin unalias "$name"
            __routeguard_unaliased+="${__routeguard_unaliased:+, }$name"
            ;;
        esac
    done
}

function __routeguard_prompt {
    \builtin local status="$?"
    __routeguard_typed=''
    # a restricted shell may neither redirect nor change PATH; x: see the first comment
    case $- in
    *r*) \builtin return "$status" ;;
    *x*) ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)) || { \builtin local - && \builtin set +x; } 2>/dev/null ;;
    esac
    __routeguard_path
    __routeguard_aliases
    __routeguard_check
    if [[ -n $__routeguard_scrubbed ]]; then
        \builtin printf 'routeguard: scrubbed %s (why, and how to allow it: routeguard why %s)\n' \
            "$__routeguard_scrubbed" "${__routeguard_scrubbed%%,*}" >&2 || \:
    fi
    if [[ -n $__routeguard_flagged ]]; then
        \builtin local first="${__routeguard_flagged%%,*}"
        \builtin printf 'routeguard: flagged %s (why, and how to allow it: routeguard why %s)\n' \
            "$__routeguard_flagged" "${first%% *}" >&2 || \:
    fi
    if [[ -n $__routeguard_unaliased ]]; then
        \builtin printf 'routeguard: removed the alias %s: it led around the guard\n' \
            "$__routeguard_unaliased" >&2 || \:
    fi
    __routeguard_scrubbed='' __routeguard_flagged='' __routeguard_unaliased=''
    \builtin return "$status"
}

# Once: removes itself. A function, so that it has locals.
function __routeguard_setup {
    # the first look is for known names only: a script (BASH_ENV) needs no more, and no file
    __routeguard_seen=' ' __routeguard_unknown='' __routeguard_rest=1
    __routeguard_same_all='?' __routeguard_same_known='?' __routeguard_pause=0
    __routeguard_scrubbed='' __routeguard_flagged='' __routeguard_unaliased=''
    case $- in
    *r*) \builtin return 0 ;;
    esac
    __routeguard_path
    __routeguard_check
    [[ $- == *i* ]] || \builtin return 0
    __routeguard_aliases

    # `compgen` takes longer than a fork among a thousand names: then only at every so many prompts,
    # at the others known names are asked for
    \builtin local scratch=__SCRATCH__
    \builtin local names
    names=()
    if [[ -n $scratch ]] && ((BASH_VERSINFO[0] >= 4)); then
        { \builtin compgen -e >|"$scratch/$$" && \builtin mapfile -t names <"$scratch/$$"; } 2>/dev/null || \:
        __routeguard_pause=$((${#names[@]} > 300 ? ${#names[@]} / 25 : 0))
    fi

    \builtin local IFS=$' \t\n' last=0 index
    [[ "${PROMPT_COMMAND[*]-} ${precmd_functions[*]-}" != *__routeguard_prompt* ]] || \builtin return 0
    # bash-preexec takes everything behind its own last entry for a command of the user's
    if [[ -n ${bash_preexec_imported-}${__bp_imported-} ]]; then
        precmd_functions+=(__routeguard_prompt)
        \builtin return 0
    fi
    if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
        for index in "${!PROMPT_COMMAND[@]}"; do last=$index; done
    fi
    # `NAME && :` keeps $? for what follows, and neither `set -e` nor an ERR trap acts on it. A new
    # line separates, whatever the text before it ends in.
    if ((last > 0)); then
        \builtin printf -v "PROMPT_COMMAND[$((last + 1))]" '%s' '__routeguard_prompt && :' 2>/dev/null || \:
    else
        \builtin printf -v PROMPT_COMMAND '%s' \
            "${PROMPT_COMMAND-}${PROMPT_COMMAND:+$'\n'}__routeguard_prompt && :" 2>/dev/null || \:
    fi
}
__routeguard_setup || \:
\builtin unset -f __routeguard_setup
