#compdef routeguard
# Completes the words of routeguard; behind `exec --` and `explain --` those of the command there.
_routeguard_completion() {
    local type key descr
    local -a plain described response
    local -i at=${words[(i)--]}
    # SH_GLOB, which holds where a start file reads this, knows no (exec|explain) as a pattern
    if [[ ${words[2]-} == exec || ${words[2]-} == explain ]] && (( at < CURRENT )); then
        shift $at words
        (( CURRENT -= at ))
        _normal -p routeguard
        return
    fi
    response=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) \
        _ROUTEGUARD_COMPLETE=zsh_complete routeguard 2>/dev/null)}")
    for type key descr in $response; do
        case $type in
        (plain)
            if [[ $descr == _ ]]; then
                plain+=("$key")
            else
                described+=("$key:$descr")
            fi
            ;;
        (dir) _path_files -/ ;;
        (file) _path_files -f ;;
        esac
    done
    (( ! $#described )) || _describe -V unsorted described -U
    (( ! $#plain )) || compadd -U -V unsorted -a plain
}
if [[ ${zsh_eval_context[-1]-} == loadautofunc ]]; then
    _routeguard_completion "$@"
elif (( ${+functions[compdef]} )); then
    compdef _routeguard_completion routeguard
fi
