#!/bin/sh
# Stands in for kubectl: one that says that it switched to a context, and does not. It can do nothing else.
case "$1" in
version) echo '{"clientVersion": {"gitVersion": "v1.32.0"}}' ;;
config) echo "Switched to context \"$3\"." ;;
*) exit 1 ;;
esac
