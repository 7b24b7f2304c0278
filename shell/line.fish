
# Added to hook.fish unless proxies.prompt is "off": a typed line that starts a local model proxy is
# refused before it runs. A line without one of the words below is not looked at any further.

# Until __routeguard_enter is called:
# Judges the command line; 126 if it may not run. What is typed goes through a pipe: it may hold a
# key, and everybody can read an argument.
function __routeguard_judge
    set -l text (builtin commandline --current-buffer | string collect --no-trim-newlines)
    set -l typed $text
    set -l send
    # an alias is a function whose description begins with the word alias; an abbreviation was a
    # variable before fish 3.6
    set -l names
    set -l words (string match --all --regex -- '[A-Za-z0-9_.+-]+' $text)[1..200]
    while set --query words[1]
        set -l word $words[1]
        set --erase words[1]
        builtin contains -- $word $names; and continue
        set --append names $word
        set -l meant
        if builtin functions --query -- $word
            set -l about (builtin functions --details --verbose -- $word)
            set meant (string replace --filter --regex '^alias [^ =]+[ =]' '' -- "$about[5]")
        else if builtin --query abbr 2>/dev/null; and abbr --query -- $word
            set -l shown (abbr --show | string match --regex -- "^abbr.* -- "(string escape --style=regex -- $word)" .*")[1]
            set meant (string replace --regex -- '^abbr.*? -- \S+ ' '' $shown | string unescape)
            if string match --quiet -- '*--position anywhere*' $shown
                set text (string replace --all --regex -- '(?<![^\s;|&])'(string escape --style=regex -- $word)'(?![^\s;|&])' (string replace --all '$' '$$' -- $meant) $text | string collect --no-trim-newlines)
            end
        else if set --query _fish_abbr_$word
            set -l name _fish_abbr_$word
            set meant $$name
        end
        if set --query meant[1]
            set --append send $word "$meant"
            set typed "$typed $meant"
            set --append words (string match --regex -- '^\s*([A-Za-z0-9_.+-]+)' "$meant")[2]
        end
    end
    if not string match --quiet --ignore-case --regex -- __PROXY_PROGRAMS__ $typed
        string match --quiet --ignore-case --regex -- 'docker|podman|nerdctl|finch|container' $typed
        and string match --quiet --ignore-case --regex -- __PROXY_IMAGES__ $typed
        or return 0
    end
    if not test -x __PYTHON__; or not test -r __MAIN__
        set --global __routeguard_said 'routeguard: this line was not checked: routeguard is missing [RG503]'
        return 0
    end
    # what it says waits in a variable: on the screen is still the line
    set --global __routeguard_said (begin
        builtin printf '%s' $text
        set --query send[1]; and builtin printf '\0%s' $send
    end | __PYTHON__ -I -S __MAIN__ line fish 2>&1 >/dev/null)
    set -l result $status
    if test $result -ne 0; and not set --query __routeguard_said[1]
        set --global __routeguard_said 'routeguard: this line was not checked: the judge failed [RG503]'
    end
    return $result
end

# Bound to Enter. A refused line becomes a comment: nothing of it runs, it is in the history as fish
# keeps any line, and the editor is empty for what is typed or pasted next.
function __routeguard_enter
    set --global __routeguard_said
    __routeguard_judge
    set -l result $status
    if set --query __routeguard_said[1]
        builtin commandline --function repaint
        builtin printf '\n%s' (string join \n -- $__routeguard_said | string collect) >&2
        # fish draws its line again where it began, as many lines above the cursor as it has
        string repeat --no-newline --count (builtin commandline --line) \n >&2
    end
    set --erase __routeguard_said
    if builtin contains -- $result 126 130
        builtin commandline --replace -- (builtin commandline --current-buffer | string replace --regex -- '^(\s*)' '$1#' | string collect)
    end
    # the vi bindings of fish go back to this mode when a line is accepted
    if test "$fish_bind_mode" != insert; and string match --quiet -- '*-m insert*' (builtin bind --preset -M $fish_bind_mode \r 2>/dev/null)
        set fish_bind_mode insert
    end
    builtin commandline --function execute
end
# So much until then.

# Enter belongs to the user: where it is bound already, it stays so. Key names came with fish 4,
# which has them in its answer to `bind`.
if status is-interactive
    set -l keys \r \n
    string match --quiet -- '3.*' $version; or set --append keys enter
    set -l bound (builtin bind --user)
    set -l key
    for key in $keys
        if set --query bound[1]
            set -l mode
            for mode in default insert replace
                builtin bind --user -M $mode $key >/dev/null 2>&1; or builtin bind -M $mode $key __routeguard_enter
            end
        else
            builtin bind -M default $key __routeguard_enter
            builtin bind -M insert $key __routeguard_enter
            builtin bind -M replace $key __routeguard_enter
        end
    end
else
    builtin functions --erase __routeguard_enter
end
