# shellcheck shell=bash
# Completes the words of routeguard; behind `exec --` and `explain --` those of the command there.
_routeguard_completion() {
    local at line
    COMPREPLY=()
    case ${COMP_WORDS[1]-} in
    exec | explain)
        for ((at = 2; at < COMP_CWORD; at++)); do
            [[ ${COMP_WORDS[at]} == -- ]] || continue
            if declare -F _command_offset >/dev/null; then
                _command_offset $((at + 1))
            elif ((COMP_CWORD == at + 1)); then
                while IFS= read -r line; do
                    COMPREPLY+=("$line")
                done < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
            else
                compopt -o default
            fi
            return 0
        done
        ;;
    esac
    while IFS= read -r line; do
        case $line in
        plain,*) COMPREPLY+=("${line#plain,}") ;;
        dir,*) compopt -o dirnames ;;
        file,*) compopt -o default ;;
        esac
    done < <(IFS=$'\n' && COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \
        _ROUTEGUARD_COMPLETE=bash_complete routeguard 2>/dev/null)
    return 0
}
# bash before 4.4 keeps no order, and completes nothing here
complete -o nosort -F _routeguard_completion routeguard 2>/dev/null || :
