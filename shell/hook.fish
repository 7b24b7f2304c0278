# Printed by `routeguard hook fish`; docs/shells.md says exactly what it does and how to undo it.
# For fish 3.3 and later. Words in capitals between double underscores are filled in by
# guard/hook.py. No value of a variable is ever expanded here, only names are.

function opencode --description 'opencode, guarded by routeguard'
    if test -x __PYTHON__; and test -r __MAIN__
        __PYTHON__ -I -S __MAIN__ exec -- opencode $argv
    else
        printf '%s\n' 'routeguard: opencode refused: its guard is gone [RG503]' \
            "  where: "__MAIN__ \
            '  fix:   install routeguard again and open a new shell, or let go of it:' \
            '         functions --erase opencode; then take the routeguard hook out of your start file' >&2
        return 126
    end
end

function opencode2 --description 'opencode2, guarded by routeguard'
    if test -x __PYTHON__; and test -r __MAIN__
        __PYTHON__ -I -S __MAIN__ exec -- opencode2 $argv
    else
        printf '%s\n' 'routeguard: opencode2 refused: its guard is gone [RG503]' \
            "  where: "__MAIN__ \
            '  fix:   install routeguard again and open a new shell, or let go of it:' \
            '         functions --erase opencode2; then take the routeguard hook out of your start file' >&2
        return 126
    end
end

# Looks at the exported names; adds what is new to $__routeguard_scrubbed and $__routeguard_flagged.
function __routeguard_check
    set -l name
    set -l names
    set -l keys __KEYS_WITHOUT_SUFFIX__
    if test $__routeguard_rest -le 0
        # neither the substitution nor the pipe forks: all in it is part of fish
        set names (set --names --export | string match --regex -- '^[A-Za-z0-9_]+_API_KEY$')
        set __routeguard_rest $__routeguard_pause
    else
        set __routeguard_rest (math $__routeguard_rest - 1)
        set keys __KEYS__
        set names $__routeguard_unknown
    end
    # one question for many names; `set --query` answers how many of them are not there, up to 255
    set -l group
    set -l any
    for group in __KEY_GROUPS__
        set group (string split ' ' -- $group)
        set --query --export -- $group
        test $status -lt (count $group); and set any yes
    end
    if set --query any[1]
        for name in $keys
            set --query --export -- $name; and set --append names $name
        end
    end
    # the same names as the last time, and nothing was or has to be done about them
    test "$names" = "$__routeguard_same"; and return 0
    set __routeguard_same "$names"

    set keys __KEYS__
    set -l others __OTHER_NAMES__
    set -l allowed __ALLOWED_NAMES__
    set -l action __KEYS_ACTION__
    set -l unknown
    set -l seen
    for name in $names
        set -l entry $name
        # fish cannot tell the time without a fork: what was allowed when this text was printed
        # stays allowed in this shell
        contains -- $name $allowed; and continue
        if contains -- $name $keys
            if test $action = scrub
                set --erase --global -- $name
                set __routeguard_same '?'
                if set --query --export -- $name
                    # a universal variable is a file of the user's, and every fish has it
                    set entry "$name (universal)"
                else
                    set entry
                    set -l before (string split : -- $ROUTEGUARD_SCRUBBED)
                    contains -- $name $before
                    or set --global --export ROUTEGUARD_SCRUBBED (string join : -- $before $name)
                end
            end
        else if test __KEYS_UNKNOWN__ != flag; or contains -- $name $others
            continue
        else
            switch $name
                case __OTHER_PREFIXES__
                    continue
            end
            set --append unknown $name
        end
        set --append seen $name
        # already there at the last prompt, so already said: a tool that exports a name again at
        # every prompt gets one line, not one for each
        contains -- $name $__routeguard_seen; and continue
        if set --query entry[1]
            set --append __routeguard_flagged $entry
        else
            set --append __routeguard_scrubbed $name
        end
    end
    set __routeguard_seen $seen
    set __routeguard_unknown $unknown
end

# Puts the directory of the shims first on PATH, if there is one, and leaves the rest in order.
function __routeguard_path
    test "$PATH[1]" != __SHIMS__; and test -d __SHIMS__; or return 0
    while set -l index (contains --index -- __SHIMS__ $PATH)
        set --erase PATH[$index]
    end
    set --prepend PATH __SHIMS__
end

# In fish an alias is a function: it takes the place of the wrapper instead of hiding it, so the
# wrapper is put back from its copy.
function __routeguard_aliases
    set -l name
    for name in opencode opencode2
        set -l about (functions --details --verbose $name)
        test "$about[5]" = "$name, guarded by routeguard"; and continue
        functions --erase $name
        functions --copy __routeguard_$name $name
        set --append __routeguard_unaliased $name
    end
end

function __routeguard_prompt --on-event fish_prompt
    __routeguard_path
    __routeguard_aliases
    __routeguard_check
    if set --query __routeguard_scrubbed[1]
        printf 'routeguard: scrubbed %s (why: routeguard why %s; allow: an [[exception]] in the policy)\n' \
            (string join ', ' -- $__routeguard_scrubbed) $__routeguard_scrubbed[1] >&2
    end
    if set --query __routeguard_flagged[1]
        printf 'routeguard: flagged %s (why: routeguard why %s; allow: an [[exception]] in the policy)\n' \
            (string join ', ' -- $__routeguard_flagged) (string split ' ' -- $__routeguard_flagged[1])[1] >&2
    end
    if set --query __routeguard_unaliased[1]
        printf 'routeguard: removed the alias %s: it led around the guard\n' \
            (string join ', ' -- $__routeguard_unaliased) >&2
    end
    set __routeguard_scrubbed
    set __routeguard_flagged
    set __routeguard_unaliased
end

# Once: removes itself. A function, so that it has locals.
function __routeguard_setup
    set --global __routeguard_same '?'
    set --global __routeguard_seen
    set --global __routeguard_unknown
    set --global __routeguard_scrubbed
    set --global __routeguard_flagged
    set --global __routeguard_unaliased
    # the first look is for known names only: a script needs no more
    set --global __routeguard_rest 1
    set --global __routeguard_pause 0
    set -l name
    for name in opencode opencode2
        functions --query __routeguard_$name; and functions --erase __routeguard_$name
        functions --copy $name __routeguard_$name
    end
    __routeguard_path
    __routeguard_check
    if status is-interactive
        # listing more than some hundred names costs as much as a fork: then only every so often
        set -l many (count (set --names --export))
        test $many -gt 300; and set __routeguard_pause (math --scale 0 $many / 50)
    else
        functions --erase __routeguard_prompt
    end
    functions --erase __routeguard_setup
end
__routeguard_setup
