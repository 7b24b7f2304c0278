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
    echo '  why:   it was removed, or its program is gone'
    echo '  fix:   open a terminal: its shell says what to repair. If it says nothing, this is left over:'
    printf "         rm '%s'\n" "$0"
} >&2
exit 126
