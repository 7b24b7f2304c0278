
# Added to hook.fish unless proxies.prompt is "off": a typed line that starts a local model proxy is
# refused before it runs. A line without one of the words below is not looked at any further.

# Judges the command line; 126 if it may not run. What is typed goes through a pipe: it may hold a
# key, and everybody can read an argument.
function __routeguard_judge
    set -l text (commandline --current-buffer | string collect --no-trim-newlines)
    set -l typed $text
    set -l send
    set -l word
    # an alias is a function with a description that begins with the word alias
    for word in (string match --all --regex -- '[A-Za-z0-9_.+-]+' $text)[1..200]
        functions --query -- $word; or continue
        set -l about (functions --details --verbose -- $word)
        set -l alias (string match --regex --groups-only -- '^alias (?:[^ =]+)[ =](.*)$' "$about[5]")
        or continue
        set --append send $word $alias
        set typed "$typed $alias"
    end
    if not string match --quiet --ignore-case --regex -- __PROXY_PROGRAMS__ $typed
        string match --quiet --ignore-case --regex -- 'docker|podman|nerdctl' $typed
        and string match --quiet --ignore-case --regex -- __PROXY_IMAGES__ $typed
        or return 0
    end
    if not test -x __PYTHON__; or not test -r __MAIN__
        set --global __routeguard_said 'routeguard: this line was not judged: its guard is gone [RG503]'
        return 0
    end
    # what it says waits in a variable: on the screen is still the line
    set --global __routeguard_said (begin
        printf '%s' $text
        set --query send[1]; and printf '\0%s' $send
    end | __PYTHON__ -I -S __MAIN__ line fish 2>&1 >/dev/null)
    set -l result $pipestatus[2]
    if test $result -ne 0; and not set --query __routeguard_said[1]
        set --global __routeguard_said 'routeguard: this line was not judged: the judge failed [RG503]'
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
        commandline --function repaint
        printf '\n'
        printf '%s\n' $__routeguard_said >&2
    end
    set --erase __routeguard_said
    if contains -- $result 126 130
        commandline --replace -- (commandline --current-buffer | string replace --regex -- '^(\s*)' '$1#' | string collect)
    end
    commandline --function execute
end
