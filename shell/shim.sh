#!/bin/sh
# routeguard-shim
exec __PYTHON__ -I -S __MAIN__ exec -- __NAME__ "$@"
