# Printed by `routeguard hook fish`; docs/shells.md says exactly what it does and how to undo it.
# For fish 3.3 and later. Words in capitals between double underscores are filled in by
# guard/hook/render.py. No value of a variable is ever expanded here, only names are. Builtins whose names
# fish allows for functions are called as `builtin …`.

# What the wrappers and people call. Agents that replay a user's functions leave out those that begin
# with an underscore, and some only take one: then a wrapper starts the command of this name. A shell
# that has lost the look at each prompt hands that on, for routeguard to say.
function routeguard --description 'routeguard, told about the hook of this shell'
    status is-interactive; and test "$argv[1]" != exec; and set -lx ROUTEGUARD_HOOK live:fish
    status is-interactive; and not builtin functions --query __routeguard_prompt; and set -lx ROUTEGUARD_HOOK lost:fish
    if test "$argv[1]" != exec
        command routeguard $argv
    else if test -x __PYTHON__; and test -r __MAIN__
        __PYTHON__ -I -S __MAIN__ $argv
    else
        # no word but the name of an agent: any other may be a key
        set -l name exec
        builtin contains -- "$argv[3]" __AGENTS__; and set name $argv[3]
        builtin printf '%s\n' "routeguard: $name refused: routeguard is missing [RG503]" \
            "  where: "__MAIN__ \
            '  why:   it was removed, or its program is gone; this shell still has its hook' \
            '  fix:   start this shell anew; if there is something to repair, it says so:' \
            '         exec fish' >&2
        return 126
    end
end
# For each agent:
function __AGENT__ --description '__AGENT__, started through routeguard'
    routeguard exec -- __AGENT__ $argv
end
# So much for each agent.

# Sets $keys of its caller to the direct keys, a blank around each: one word takes fish a tenth of the
# time that hundreds take it.
function __routeguard_keys --no-scope-shadowing
    set keys ' __KEYS__ '
end

# Until __routeguard_known is called:
# Whether a direct key is exported. `set --query` answers how many of many names are not there, up
# to 255, so at most 200 are asked for at a time; by name, which takes half the time.
begin
    set -l keys
    __routeguard_keys
    set keys (string split --no-empty ' ' -- $keys)
    set -l code
    while set --query keys[1]
        set --append code "set --query --export -- $keys[1..200]"
        set --append code "test \$status -lt "(builtin count $keys[1..200])'; and return 0'
        set keys $keys[201..-1]
    end
    eval "function __routeguard_any; "(string join '; ' -- $code 'return 1')"; end"
end

# Adds the known names that are exported to $names of its caller.
function __routeguard_known --no-scope-shadowing
    set -l name
    for name in $__routeguard_unknown
        set --query --export -- $name; and set --append names $name
    end
    if __routeguard_any
        set -l keys
        __routeguard_keys
        for name in (string split --no-empty ' ' -- $keys)
            set --query --export -- $name; and set --append names $name
        end
    end
end
# So much until then.

# Until __routeguard_check is called:
# Looks at the exported names; adds what is new to $__routeguard_scrubbed and $__routeguard_flagged.
function __routeguard_check
    set -l same __routeguard_same_all
    set -l names
    if set --query __routeguard_rest[1]
        set same __routeguard_same_known
        set --erase __routeguard_rest[1]
        __routeguard_known
    else
        # no substitution here forks: all in it is part of fish. The empty word keeps `string` from
        # reading what is typed where nothing is exported
        set -l exported (set --names --export)
        set names (string match --regex -- '__ENDS__' '' $exported)
        if set --query exported[151]; and not set --query __routeguard_starts
            # listing many names costs as much as a fork: then only at every so many prompts, at the
            # others known names are asked for; $__routeguard_rest has a word for each of these
            set --global __routeguard_rest (builtin math --scale 0 (builtin count $exported) / 25)
            set __routeguard_rest (string repeat --count $__routeguard_rest 'x ' | string split --no-empty ' ')
        end
    end
    # the same names as the last time, and nothing was or has to be done about them
    if test "$names" = "$$same"
        set --global --append __routeguard_seen $__routeguard_last
        return 0
    end
    set --global $same "$names"
    set -l unknown
    set -l seen
    set --query names[1]; and set names (string match --regex -- '^(?:__PATTERN__)$' '' $names); and __routeguard_sort
    set --global --append __routeguard_seen $seen
    set --global __routeguard_last $seen
    set --global __routeguard_unknown $unknown
end
# So much until then.

# Until __routeguard_sort is called:
# What is to be done about $names of its caller, which were not all seen at the last look.
function __routeguard_sort --no-scope-shadowing
    set -l keys
    __routeguard_keys
    set -l others ' __OTHER_NAMES__ '
    set -l allowed __ALLOWED_NAMES__
    set -l action __KEYS_ACTION__
    set -l name
    for name in $names
        set -l entry $name
        # fish cannot tell the time without a fork: what was allowed when this text was printed
        # stays allowed in this shell
        builtin contains -- $name $allowed; and continue
        if string match --quiet -- "* $name *" $keys
            if test $action = scrub
                set --erase --global -- $name
                set --global __routeguard_same_all '?'
                set --global __routeguard_same_known '?'
                if set --query --export -- $name
                    # a universal variable is a file of the user's, and every fish has it
                    set entry "$name (universal)"
                else
                    set entry
                    set -l before (string split : -- $ROUTEGUARD_SCRUBBED)
                    builtin contains -- $name $before
                    or set --global --export ROUTEGUARD_SCRUBBED (string join : -- $before $name)
                end
            end
        else if test __KEYS_UNKNOWN__ != flag; or set --query __routeguard_starts; or string match --quiet -- "* $name *" $others
            continue
        else
            switch $name
                case __OTHER_PREFIXES__
                    continue
            end
            set --append unknown $name
        end
        set --append seen $name
        # already there since the last prompt but one, so already said: a tool that exports a name
        # again at every prompt gets one line, not one for each
        builtin contains -- $name $__routeguard_seen $__routeguard_before; and continue
        if set --query entry[1]
            set --global --append __routeguard_flagged $entry
        else
            set --global --append __routeguard_scrubbed $name
        end
    end
end
# So much until then.

# Puts the directory of the shims first on PATH, if there is one, and leaves the rest in order.
function __routeguard_path
    test -d __SHIMS__; or return 0
    while set -l index (builtin contains --index -- __SHIMS__ $PATH)
        set --erase PATH[$index]
    end
    set --prepend PATH __SHIMS__
end

# Until __routeguard_aliases is called:
# In fish an alias is a function: it takes the place of the wrapper instead of hiding it, so the
# wrapper is made again.
function __routeguard_aliases
    set -l name
    for name in __AGENTS__
        set -l about (builtin functions --details --verbose $name)
        # one that is gone was let go of
        builtin contains -- "$about[5]" "$name, started through routeguard" n/a; and continue
        eval "function $name --description '$name, started through routeguard'
            routeguard exec -- $name \$argv
        end"
        set --global --append __routeguard_unaliased $name
    end
end
# So much until then.

# Until __routeguard_say is called:
function __routeguard_say
    if set --query __routeguard_scrubbed[1]
        builtin printf 'routeguard: scrubbed %s (why, and how to allow it: routeguard why %s)\n' \
            (string join ', ' -- $__routeguard_scrubbed) $__routeguard_scrubbed[1] >&2
    end
    if set --query __routeguard_flagged[1]
        builtin printf 'routeguard: flagged %s (why, and how to allow it: routeguard why %s)\n' \
            (string join ', ' -- $__routeguard_flagged) (string split ' ' -- $__routeguard_flagged[1])[1] >&2
    end
    if set --query __routeguard_unaliased[1]
        builtin printf 'routeguard: removed the alias %s: it bypassed the guard\n' \
            (string join ', ' -- $__routeguard_unaliased) >&2
    end
    set --erase --global __routeguard_{scrubbed,flagged,unaliased}
end
# So much until then.

# Until __routeguard_look is called:
# Every command counts here: fish takes some ten microseconds for one.
function __routeguard_look
    test "$PATH[1]" = __SHIMS__; or __routeguard_path
    # all wrappers in one substitution; each fifth line is the description of a function
    set -l about (__DETAILS__)
    set about $about[__FIFTH_LINES__]
    test "$about" = __DESCRIPTIONS__; or __routeguard_aliases
    set --global __routeguard_before $__routeguard_seen
    set --global __routeguard_seen
    __routeguard_check
    set --query __routeguard_scrubbed[1] __routeguard_flagged[1] __routeguard_unaliased[1]
    test $status -eq 3; or __routeguard_say
    builtin functions --query __routeguard_preexec; or __routeguard_before_commands
end

# Before a command that was typed runs: what handlers of other programs exported, or put first on
# PATH, after the look at the prompt. fish calls handlers in the order of their definition, so this
# one is defined at the first prompt, after those of the start files.
function __routeguard_before_commands
    function __routeguard_preexec --on-event fish_preexec
        test "$PATH[1]" = __SHIMS__; or __routeguard_path
        __routeguard_check
        set --query __routeguard_scrubbed[1] __routeguard_flagged[1]
        test $status -eq 2; or __routeguard_say
    end
end
# So much until then.

# fish calls handlers in the order of their definition, so this one stays what it is: what it calls
# becomes another function at the first prompt.
if status is-interactive
    function __routeguard_prompt --on-event fish_prompt
        __routeguard_look
    end
end

# fish reads a variable that is not there as an empty one, and takes as long to make two as to remove ten
set --erase --global __routeguard_{same_all,same_known,seen,before,last,unknown,scrubbed,flagged,unaliased,rest}
test "$PATH[1]" = __SHIMS__; or __routeguard_path
# the first look is for known names only: a script needs no more
if string match --quiet --regex -- '__ENDS__' '' (set --names --export)
    set --global __routeguard_starts x
    __routeguard_check
    set --erase --global __routeguard_starts
    set --global __routeguard_same_all '?'
end
