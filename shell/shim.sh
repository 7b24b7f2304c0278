#!/bin/sh
# routeguard-shim
# Made by `routeguard shim install`; `routeguard shim uninstall` removes it. The second line is how
# routeguard knows a shim when it looks for the real program, so keep it as it is.
if [ -x __PYTHON__ ] && [ -r __MAIN__ ]; then
    exec __PYTHON__ -I -S __MAIN__ __WORDS__ "$@"
fi
{
    echo 'routeguard: '__NAME__' refused: routeguard is missing [RG503]'
    printf '  where: %s\n' __MAIN__
    printf '  fix:   open a new shell: it says what to do. Or remove this file: %s\n' "$0"
} >&2
exit 126
