# Completes the words of routeguard; behind `exec --` and `explain --` those of the command there.
function __routeguard_completion
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l at (contains --index -- -- $words)
    if test -n "$at"; and contains -- "$words[2]" exec explain
        set -l command (string escape -- $words[(math $at + 1)..-1])
        complete --do-complete=(string join ' ' -- $command (commandline --current-token --cut-at-cursor))
        return
    end
    for line in (COMP_WORDS=(commandline --cut-at-cursor --current-process | string collect) \
            COMP_CWORD=(commandline --current-token | string collect) \
            _ROUTEGUARD_COMPLETE=fish_complete routeguard 2>/dev/null)
        # a description may hold a comma, too
        set -l found (string split --max 1 , -- $line)
        switch $found[1]
            case dir
                __fish_complete_directories $found[2]
            case file
                __fish_complete_path $found[2]
            case plain
                echo $found[2]
        end
    end
end
complete --no-files --command routeguard --arguments '(__routeguard_completion)'
