# shellcheck shell=bash
# Printed by `routeguard hook bash`; docs/shells.md says exactly what it does and how to undo it.
# In the syntax of bash 3.2, the one of macOS: tests/shells/test_bash_syntax.py holds it to that.
# Words in capitals between double underscores are filled in by guard/hook/render.py. No value of a
# variable is ever expanded here, only names are: not even `set -x` can show a key.
#
# It shares the shell with whatever the user has in it. So every variable begins with __rg_ (one
# named `name` may be readonly), builtins are called as `\builtin NAME` (there may be a function
# of that name), lists are taken apart without IFS, and nothing depends on `set -f`.

# What the wrappers and people call. Agents that replay a user's functions leave out those that begin
# with an underscore, and some only take one: then a wrapper starts the command of this name. A shell
# that has lost the look at each prompt hands that on, for routeguard to say. `function NAME` is read
# correctly even while an alias NAME exists.
function routeguard {
    # shellcheck disable=SC2034 # the environment of one command
    if [[ -n ${__rg_at-} ]]; then
        if ! __routeguard_alive; then
            \builtin local -x ROUTEGUARD_HOOK=lost:bash
        elif [[ ${1-} != exec ]]; then
            \builtin local -x ROUTEGUARD_HOOK=live:bash
        fi
    fi
    if [[ ${1-} != exec ]]; then
        \builtin command routeguard "$@"
    elif [[ -x __PYTHON__ && -r __MAIN__ ]]; then
        __PYTHON__ -I -S __MAIN__ "$@"
    else
        # no word but the name of an agent: any other may be a key
        [[ ' __AGENTS__ ' == *" ${3-} "* ]] || \builtin set -- '' '' exec
        \builtin printf '%s\n' "routeguard: $3 refused: routeguard is missing [RG503]" \
            "  where: "__MAIN__ \
            '  why:   it was removed, or its program is gone; this shell still has its hook' \
            '  fix:   start this shell anew; if there is something to repair, it says so:' \
            '         exec bash' >&2
        \builtin return 126
    fi
}
# For each agent:
function __AGENT__ {
    \routeguard exec -- __AGENT__ "$@"
}
# So much for each agent.

# Sets __rg_ok, unless a function named `builtin` or `enable -n` has taken bash's own builtins away:
# then nothing here can be relied on, not even `return`.
function __routeguard_probe {
    \builtin local __rg_word=ok
    \builtin eval "\builtin printf -v __rg_ok '%s' \"\$__rg_word\""
    \builtin return 0
    # shellcheck disable=SC2317 # reached where `return` is not bash's own
    __rg_ok=''
} 2>/dev/null

# Turns the here-document of function $1, which it gets, into code; with $2 the one that bash says the
# function has, at the price of a fork: before 5.1 the other way needs a place for a file.
function __routeguard_load {
    \builtin local __rg_code='' || \builtin return 1
    if [[ -n ${2-} ]]; then
        __rg_code=$(\builtin declare -f "$1")
        __rg_code=${__rg_code#*__routeguard_end__*$'\n'}
        __rg_code=${__rg_code%__routeguard_end__*}
    else
        # takes all of it at once, where `mapfile -d` and `read -d` ask the system for each character
        if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 401)); then
            \builtin read -r -N 99999 __rg_code
        else
            \builtin read -r -d '' __rg_code
        fi
    fi
    [[ -n $__rg_code ]] && \builtin eval "$__rg_code"
}

# Until __routeguard_stems is called:
# Sets $__rg_stems to the known *_API_KEY, without that ending. Most shells never ask for them.
function __routeguard_stems {
    __rg_stems=' __STEMS__ '
}
# So much until then.

# Until __routeguard_known is called:
# Which of them are set. It makes the function that says so at once, which takes some milliseconds.
function __routeguard_known {
    [[ -n $__rg_stems ]] || __routeguard_stems
    \builtin local __rg_name __rg_text=''
    # read again as words of a command, whatever IFS is
    \builtin eval "for __rg_name in $__rg_stems; do
        __rg_text+=\"\\\${\${__rg_name}_API_KEY+\$__rg_name }\"
    done"
    \builtin eval "function __routeguard_known {
        __rg_known=$__rg_text
    }"
    __routeguard_known
}
# So much until then.

# Looks at the exported names; adds what is new to $__rg_scrubbed and $__rg_flagged. With $__rg_again
# it is a second look at the same prompt: what is only seen there ($__rg_late) was not gone.
function __routeguard_check {
    \builtin local __rg_scratch=__SCRATCH__ __rg_seen_now=' ' __rg_now=0 __rg_names='' __rg_name __rg_entry
    \builtin local __rg_found='' __rg_exported='' __rg_new='' __rg_known='' __rg_same
    # `compgen -e` lists what is exported, and a private file takes its answer, because $(…) would
    # fork. The file is written over, not emptied first, which costs a disk a multiple. The word
    # `=TURN_API_KEY`, which no variable has, ends the answer. Without it, or with the turn of an
    # earlier answer, nothing was written, which `compgen` does not say: on a full disk, say. The
    # word is quoted because IFS may hold any part of it.
    if [[ -n $__rg_scratch && $__rg_rest -le 0 ]] && __rg_turn=$((__rg_turn + 1)) &&
        { \builtin compgen -e -X '!?*_API_KEY' -W "'=${__rg_turn}_API_KEY'" 1<>"$__rg_scratch/$$" &&
            { \builtin read -r -d = __rg_found && \builtin read -r __rg_name; } <"$__rg_scratch/$$"; } 2>/dev/null &&
        [[ ${__rg_name//\'/} == "${__rg_turn}_API_KEY" ]]; then
        __rg_same=__rg_same_all __rg_rest=$__rg_pause
        __rg_names+=${__rg_found//$'\n'/ }' '
    else
        __rg_same=__rg_same_known __rg_rest=$((__rg_rest - 1))
        __routeguard_known || __routeguard_broken
        __rg_names+=${__rg_known// /_API_KEY }$__rg_unknown
    fi
    # shellcheck disable=SC2157 # a question for each variable
    [[ -z ${__rg_names// /}__ANY_SET__ ]] || __routeguard_exported || __routeguard_broken
    [[ -z ${__rg_again-} ]] || __rg_late=''
    # the same names as the last time: nothing was done, or has to be. Others: there are some, or there
    # were, so __routeguard_exported has been called, with which this function is read
    [[ $__rg_exported == "${!__rg_same}" ]] || __routeguard_changed
}

# Until __routeguard_exported is called:
# Adds those of $__rg_names, and of the known ones with another ending, that are exported to
# $__rg_exported.
function __routeguard_exported {
    __rg_names=__SET_KEYS__$__rg_names
    while [[ -n $__rg_names ]]; do
        __rg_name=${__rg_names%% *} __rg_names=${__rg_names#* }
        # bash 3.2 lists names, too, that it cannot have, such as 302AI_API_KEY
        case $__rg_name in '' | [!A-Za-z_]* | *[!A-Za-z0-9_]*) \builtin continue ;; esac
        [[ -n ${!__rg_name+x} ]] || \builtin continue
        if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)); then
            [[ ${!__rg_name@a} == *x* ]] || \builtin continue
        else
            \builtin compgen -e -X "!$__rg_name" >/dev/null 2>&1 || \builtin continue
        fi
        __rg_exported+="$__rg_name "
    done
}

# What follows from $__rg_exported, which are others than at the last look.
function __routeguard_changed {
    [[ -n ${__rg_again-} ]] || \builtin printf -v "$__rg_same" '%s' "$__rg_exported"
    [[ -z $__rg_exported ]] || __routeguard_sort
    __rg_unknown=$__rg_new
    if [[ -n ${__rg_again-} ]]; then
        __rg_seen+=$__rg_seen_now __rg_late=${__rg_seen_now# }
    else
        __rg_seen=$__rg_seen_now$__rg_late
    fi
    [[ -z $__rg_late ]] || __rg_same_all='?' __rg_same_known='?'
    [[ -n ${__rg_again-} ]] || __rg_late=''
}

# What is to be done about them: names that were not all seen at the last look.
function __routeguard_sort {
    \builtin local __rg_others=' __OTHER_NAMES__ ' __rg_allowed
    \builtin local __rg_action=__KEYS_ACTION__ __rg_flag=__KEYS_UNKNOWN__
    [[ -z ${__rg_start-} ]] || __rg_flag=ignore
    [[ -n $__rg_stems ]] || __routeguard_stems
    __rg_allowed=(__ALLOWED__)
    if [[ -n ${__rg_allowed-} ]]; then
        __rg_now=${EPOCHSECONDS-}
        if [[ -z $__rg_now ]] && ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 402)); then
            \builtin printf -v __rg_now '%(%s)T' -1
        fi
        # an older bash cannot tell the time without a fork: what was allowed when this text was
        # printed stays allowed in this shell
        __rg_now=${__rg_now:-0}
    fi
    while [[ -n $__rg_exported ]]; do
        __rg_name=${__rg_exported%% *} __rg_exported=${__rg_exported#* }
        for __rg_entry in ${__rg_allowed[@]+"${__rg_allowed[@]}"}; do
            if [[ ${__rg_entry%%=*} == "$__rg_name" && ${__rg_entry#*=} -ge $__rg_now ]]; then
                # it may have run out by the next prompt
                __rg_same_all='?' __rg_same_known='?'
                \builtin continue 2
            fi
        done
        # a name without the ending is only here because it is known
        if [[ $__rg_name != *_API_KEY || $__rg_stems == *" ${__rg_name%_API_KEY} "* ]]; then
            if [[ $__rg_action != scrub ]]; then
                __rg_entry=$__rg_name
            elif \builtin unset -v "$__rg_name" 2>/dev/null; then
                __rg_same_all='?' __rg_same_known='?' __rg_entry=''
                case :${ROUTEGUARD_SCRUBBED-}: in
                *:"$__rg_name":*) ;;
                *)
                    \builtin export \
                        "ROUTEGUARD_SCRUBBED=${ROUTEGUARD_SCRUBBED-}${ROUTEGUARD_SCRUBBED:+:}$__rg_name" 2>/dev/null || \builtin :
                    ;;
                esac
            else
                __rg_entry="$__rg_name (readonly)"
            fi
        elif [[ $__rg_flag != flag || $__rg_others == *" $__rg_name "* ]]; then
            \builtin continue
        else
            case $__rg_name in
            __OTHER_PREFIXES__) \builtin continue ;;
            *) __rg_entry=$__rg_name __rg_new+="$__rg_name " ;;
            esac
        fi
        __rg_seen_now+="$__rg_name "
        # already there at the last prompt, so already said: a tool that exports a name again at
        # every prompt gets one line, not one for each
        [[ $__rg_seen != *" $__rg_name "* ]] || \builtin continue
        if [[ -z $__rg_entry ]]; then
            __rg_scrubbed+="${__rg_scrubbed:+, }$__rg_name"
        else
            __rg_flagged+="${__rg_flagged:+, }$__rg_entry"
        fi
    done
}
# So much until then.

# Puts the directory of the shims first on PATH, if there is one, and leaves the rest in order.
# `printf -v` reports a readonly PATH; an assignment would end the function that makes it.
function __routeguard_path {
    case ${PATH-} in
    __SHIMS__ | __SHIMS__:*) \builtin return 0 ;;
    esac
    [[ -d __SHIMS__ ]] || \builtin return 0
    \builtin local __rg_path=":${PATH-}:" __rg_front=__SHIMS__
    while [[ $__rg_path == *":$__rg_front:"* ]]; do
        __rg_path=${__rg_path%%":$__rg_front:"*}:${__rg_path#*":$__rg_front:"}
    done
    __rg_path=${__rg_path#:}
    __rg_path=${__rg_path%:}
    \builtin printf -v PATH '%s' "$__rg_front${__rg_path:+:$__rg_path}" 2>/dev/null || \builtin :
}

# An alias is looked up before a function. One that begins with the name itself still comes here;
# any other goes around the guard. (What an alias says cannot be read in bash 3.2 without a fork.)
function __routeguard_aliases {
    ((BASH_VERSINFO[0] >= 4)) || \builtin return 0
    case ${!BASH_ALIASES[*]} in
    __AGENTS_IN__) ;;
    *) \builtin return 0 ;;
    esac
    \builtin local __rg_name
    # shellcheck disable=SC2043 # one word here, a name for each agent there
    for __rg_name in __AGENTS__; do
        case ${BASH_ALIASES[$__rg_name]-$__rg_name} in
        "$__rg_name" | "$__rg_name "*) ;;
        *)
            \builtin unalias "$__rg_name"
            __rg_unaliased+="${__rg_unaliased:+, }$__rg_name"
            ;;
        esac
    done
}

# Some programs take the first command after a prompt, as a DEBUG trap sees it, for the one that
# was typed: VS Code's terminal reported `__routeguard_enter` each time. From these functions what
# a key or the prompt runs is kept away, as bash-preexec does it by itself since 0.5.
function __routeguard_hide {
    \builtin local __rg_name
    for __rg_name in __vsc_preexec_only __vsc_preexec_all __bp_preexec_invoke_exec; do
        ! \builtin declare -F "$__rg_name" || __routeguard_wrap
    done >/dev/null
}

# Until __routeguard_wrap is called:
function __routeguard_wrap {
    \builtin local __rg_text
    [[ $__rg_hidden != *" $__rg_name "* ]] || \builtin return 0
    __rg_hidden+="$__rg_name "
    __rg_text=$(\builtin declare -f "$__rg_name")
    [[ $__rg_text != *READLINE_POINT* ]] || \builtin return 0
    \builtin eval "__routeguard_of_$__rg_text
        function $__rg_name {
            [[ -n \${READLINE_POINT+x} || \$BASH_COMMAND == __routeguard_* || \$BASH_COMMAND == '\\:' ]] ||
                __routeguard_of_$__rg_name \"\$@\"
        }"
}
# So much until then.

# Looks, and says what has happened since the last look.
function __routeguard_look {
    __routeguard_path
    __routeguard_aliases
    __routeguard_check
    [[ -z $__rg_scrubbed$__rg_flagged$__rg_unaliased ]] || __routeguard_say
}

# Until __routeguard_say is called:
# One line for each kind.
function __routeguard_say {
    if [[ -n $__rg_scrubbed ]]; then
        \builtin printf 'routeguard: scrubbed %s (why, and how to allow it: routeguard why %s)\n' \
            "$__rg_scrubbed" "${__rg_scrubbed%%,*}" >&2 || \builtin :
    fi
    if [[ -n $__rg_flagged ]]; then
        \builtin local __rg_first="${__rg_flagged%%,*}"
        \builtin printf 'routeguard: flagged %s (why, and how to allow it: routeguard why %s)\n' \
            "$__rg_flagged" "${__rg_first%% *}" >&2 || \builtin :
    fi
    if [[ -n $__rg_unaliased ]]; then
        \builtin printf 'routeguard: removed the alias %s: it bypassed the guard\n' \
            "$__rg_unaliased" >&2 || \builtin :
    fi
    __rg_scrubbed='' __rg_flagged='' __rg_unaliased=''
}
# So much until then.

# Said once: without bash's own builtins each step would be an error, at each prompt.
function __routeguard_broken {
    if [[ -z ${__rg_complained-} ]]; then
        __rg_complained=1
        # shellcheck disable=SC2016 # nothing to expand
        \printf '%s\n' 'routeguard: this shell is not guarded: the builtins of bash are hidden [RG503]' \
            '  why:   there is a function named builtin, or `enable -n` has switched one off' \
            '  fix:   unset -f builtin; enable builtin declare eval local printf read return' >&2
    fi
}

# Whether something still calls __routeguard_prompt. Other programs may keep our entry in variables
# that are not known here; the lines of an interactive shell are numbered, so that a look at the
# last prompt shows as well.
function __routeguard_alive {
    [[ "${PROMPT_COMMAND[*]-} ${precmd_functions[*]-} ${__vsc_original_prompt_command[*]-}" != *__routeguard_prompt* ]] ||
        \builtin return 0
    \builtin local __rg_line
    for __rg_line in "${BASH_LINENO[@]}"; do \builtin :; done
    ((__rg_line - __rg_at < 2))
}

function __routeguard_prompt {
    __rg_status=$? __rg_typed=''
    for __rg_at in "${BASH_LINENO[@]}"; do \builtin :; done
    # a restricted shell may neither redirect nor change PATH
    case $- in *r*) \builtin return "$__rg_status" ;; esac
    __rg_ok=''
    __routeguard_probe
    if [[ -z $__rg_ok ]]; then
        __routeguard_broken
        (\exit "$__rg_status")
    else
        # x: see the first comment; a: no program may get our variables
        case $- in
        *[ax]*) ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)) || { \builtin local - && \builtin set +ax; } 2>/dev/null ;;
        esac
        __routeguard_hide
        [[ -z ${BLE_VERSION-} || -z ${__rg_bound-} ]] || __routeguard_release
        __routeguard_look
        \builtin return "$__rg_status"
    fi
}

# Once. No function, which bash would copy as it defines it, and again as it runs it.
{
    # the first look is for known names only; a script (BASH_ENV) needs no more, and no file
    __rg_stems=''
    # another shell may have had our number, and left its file
    __rg_turn=${EPOCHSECONDS-$RANDOM}
    __rg_seen=' ' __rg_unknown='' __rg_rest=1 __rg_pause=0 __rg_hidden=' ' __rg_at='' __rg_late=''
    __rg_same_all='' __rg_same_known='' __rg_scrubbed='' __rg_flagged='' __rg_unaliased=''
    __rg_ok=''
    [[ $- == *r* ]] || __routeguard_probe
    if [[ $- == *r* ]]; then
        \:
    elif [[ -z $__rg_ok ]]; then
        __routeguard_broken
    else
        # an attribute that one of them has, such as of a whole number, would stay with it
        \builtin unset -v __rg_start __rg_name __rg_names __rg_last
        __rg_start=1
        __routeguard_path
        if [[ $- == *i* ]]; then
            __rg_rest=0
            # where no file may grow (`ulimit -f 0`), the one that a look writes would end the shell
            \builtin trap : XFSZ
        fi
        __routeguard_check
        __rg_same_all=${__rg_same_all:+?} __rg_rest=0 __rg_start='' __rg_names='' __rg_last=0
        if [[ $- == *i* ]]; then
            __routeguard_aliases
            __routeguard_hide
            __rg_at=-1
            # `compgen` takes longer than a fork among a thousand names: then only at every so many
            # prompts; at the others known names are asked for. A name is taken for 15 characters
            # long; `=` is the end of another answer in this file
            # shellcheck disable=SC2157 # a path, or nothing
            if [[ -n __SCRATCH__ ]] && ((BASH_VERSINFO[0] >= 4)); then
                { \builtin compgen -e -W % 1<>__SCRATCH__"/$$" && \builtin read -r -d % __rg_names <__SCRATCH__"/$$"; } 2>/dev/null || \builtin :
                __rg_pause=$((${#__rg_names} > 4500 ? ${#__rg_names} / 375 : 0))
            fi
            # bash-preexec takes everything behind its own last entry for a command of the user's
            if [[ "${PROMPT_COMMAND[*]-} ${precmd_functions[*]-}" == *__routeguard_prompt* ]]; then
                \builtin :
            elif [[ -n ${bash_preexec_imported-}${__bp_imported-} ]]; then
                precmd_functions+=(__routeguard_prompt)
            else
                # `NAME && \:` keeps $? for what follows, and neither `set -e` nor an ERR trap acts
                # on it. A new line separates, whatever the text before it ends in.
                if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
                    for __rg_name in "${!PROMPT_COMMAND[@]}"; do __rg_last=$__rg_name; done
                    ((__rg_last == 0)) ||
                        \builtin printf -v "PROMPT_COMMAND[$((__rg_last + 1))]" '%s' '__routeguard_prompt && \:' 2>/dev/null || \builtin :
                fi
                ((__rg_last > 0)) || \builtin printf -v PROMPT_COMMAND '%s' \
                    "${PROMPT_COMMAND-}${PROMPT_COMMAND:+$'\n'}__routeguard_prompt && \\:" 2>/dev/null || \builtin :
            fi
        fi
        \builtin unset -v __rg_start __rg_name __rg_names __rg_last
    fi
} || \:
