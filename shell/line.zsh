
# Added to hook.zsh unless proxies.prompt is "off": a typed line that starts a local model proxy is
# refused before it runs. A line without one of the words below is not looked at any further.

# Puts the text of global aliases, which hold anywhere in a line, into $text of its caller; each
# name once, so that one that names itself comes to an end.
function __routeguard_globals {
    \builtin local word out rest again=1
    \builtin local -A used
    text=${text//\\$'\n'/}
    while [[ -n $again ]]; do
        again='' out='' rest=$text
        for word in ${(z)text}; do
            out+=${rest%%[^[:space:]]*}
            rest=${rest#"${rest%%[^[:space:]]*}"}
            [[ $rest == "$word"* ]] || \builtin continue # the ; that stands for a new line
            rest=${rest#"$word"}
            if [[ -n ${galiases[$word]-} && -z ${used[$word]-} ]]; then
                used[$word]=1 again=1
                word=${galiases[$word]}
                typed+=" $word"
            fi
            out+=$word
        done
        text=$out$rest
    done
}

# Judges $PREBUFFER$BUFFER; 126 if it may not run. What is typed goes through a pipe: it may hold a
# key, and everybody can read an argument.
function __routeguard_judge {
    \builtin emulate -L zsh
    \builtin setopt no_xtrace no_monitor no_notify
    \builtin local text="$PREBUFFER$BUFFER" typed="$BUFFER" word before
    \builtin local -A names
    \builtin local -a send words
    if [[ -o bang_hist && $BUFFER == *'!'[^[:space:]=\(]* ]]; then
        \builtin local buffer="$BUFFER" cursor=$CURSOR
        \builtin zle .expand-history 2>/dev/null && typed="$BUFFER" text="$PREBUFFER$BUFFER"
        BUFFER=$buffer CURSOR=$cursor
    fi
    (( ! ${#galiases} || ${#text} > 20000 )) || __routeguard_globals
    # the text of an alias stands in the place of its name, the one for a suffix before its file
    if (( ${#text} < 100000 )); then
        for word in ${(z)text}; do
            if [[ $word == ?*.* && -n ${saliases[${word##*.}]-} ]]; then
                names[$word]="${saliases[${word##*.}]} $word"
                typed+=" ${names[$word]}"
            fi
            before=''
            while [[ -n ${aliases[$word]-} && $word != $before && -z ${names[$word]-} ]]; do
                names[$word]=${aliases[$word]}
                typed+=" ${aliases[$word]}"
                before=$word
                words=(${(z)aliases[$word]})
                word=${words[1]-}
            done
        done
    fi
    # lines that were already accepted count again only where this one continues the last of them
    [[ $PREBUFFER == *\\$'\n' ]] && typed="$PREBUFFER$typed"
    typed=${(L)typed}
    # in variables: under `emulate sh` such a pattern does not parse
    \builtin local programs='*(__PROXY_PROGRAMS__)*' images='*(__PROXY_IMAGES__)*' containers='*(docker|podman|nerdctl|finch|container)*'
    if [[ $typed != ${~programs} ]]; then
        [[ $typed == ${~containers} && $typed == ${~images} ]] || \builtin return 0
    fi
    if [[ ! -x __PYTHON__ || ! -r __MAIN__ ]]; then
        __routeguard_said='routeguard: this line was not checked: routeguard is missing [RG503]'
        \builtin return 0
    fi
    for word in ${(k)names}; do send+=("$word" "${names[$word]}"); done
    # what it says waits in a variable: on the screen is still the line
    __routeguard_said=$({ \builtin print -rn -- "$text"${send:+$'\0'}${(pj:\0:)send} |
        __PYTHON__ -I -S __MAIN__ line zsh >/dev/null; } 2>&1)
}

# Takes the place of the widget $1, which goes on under another name. Of a refused line nothing is
# left in the editor, where it would become part of what is typed or pasted next; it can be had
# again from the history.
function __routeguard_accept {
    \builtin local __routeguard_said='' __routeguard_status=0
    __routeguard_judge || __routeguard_status=$?
    case $__routeguard_status in
    (126|130)
        __routeguard_discard
        \builtin return 0
        ;;
    esac
    if (( __routeguard_status )) && [[ -z $__routeguard_said ]]; then
        __routeguard_said='routeguard: this line was not checked: the judge failed [RG503]'
    fi
    if [[ -n $__routeguard_said ]]; then
        \builtin zle -I
        \builtin printf '%s\n' "$__routeguard_said" >&2
    fi
    if [[ -n ${widgets[__routeguard_before_$1]-} ]]; then
        \builtin zle "__routeguard_before_$1"
    else
        \builtin zle ".$1"
    fi
}

function __routeguard_discard {
    \builtin emulate -L zsh
    \builtin setopt no_xtrace
    [[ -o hist_ignore_space && $PREBUFFER$BUFFER == ' '* ]] || \builtin print -rs -- "$PREBUFFER$BUFFER"
    if [[ -n $PREBUFFER ]] && (( ${precmd_functions[(Ie)__routeguard_precmd]} )); then
        # the lines stay on the screen as they are, and what is said stands before the next prompt
        __routeguard_held+=(${__routeguard_said:+"$__routeguard_said"})
        \builtin zle .send-break
    fi
    if [[ -n $__routeguard_said ]]; then
        \builtin zle -I
        \builtin printf '%s\n' "$__routeguard_said" >&2
    fi
    [[ -z $PREBUFFER ]] || \builtin zle .send-break
    HISTNO=$HISTCMD BUFFER=''
    # the editor goes on in the mode in which a new line begins
    \builtin zle -K main
}

function __routeguard_accept-line { __routeguard_accept accept-line; }
function __routeguard_accept-and-hold { __routeguard_accept accept-and-hold; }
function __routeguard_accept-line-and-down-history { __routeguard_accept accept-line-and-down-history; }
function __routeguard_accept-and-infer-next-history { __routeguard_accept accept-and-infer-next-history; }

# Other programs wrap these widgets, too, and around ours: whoever is already kept stays, or the
# two would call each other for ever. What is kept is a widget of a user's, also where it was
# zle's own: plugins call what they take for one of zle's by its name with a dot.
function __routeguard_setup {
    \builtin emulate -L zsh
    # `zsh -i -c` edits no line, and need not load the editor; what the environment calls so says nothing
    [[ ${(t)ZSH_EXECUTION_STRING} == scalar ]] && \builtin return 0
    \builtin local name
    for name in accept-line accept-and-hold accept-line-and-down-history accept-and-infer-next-history; do
        case ${widgets[$name]-} in
        (user:__routeguard_*) ;;
        (builtin)
            functions[__routeguard_before_$name]="\\builtin zle .$name"
            \builtin zle -N __routeguard_before_$name
            \builtin zle -N $name __routeguard_$name
            ;;
        (*)
            [[ -n ${widgets[__routeguard_before_$name]-} ]] && \builtin continue
            \builtin zle -A $name __routeguard_before_$name
            \builtin zle -N $name __routeguard_$name
            ;;
        esac
    done
    \builtin return 0
}
# without the line editor `zle` would load it, and it asks the terminal about itself
[[ ! -o interactive || ! -o zle ]] || __routeguard_setup
\builtin unfunction __routeguard_setup
