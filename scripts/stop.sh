#!/bin/sh
# Stops the throw-away daemon that `make run` started, and nothing else.
set -eu
pid_file=${TMPDIR:-/tmp}/sealward-dev-$(id -u).pid
[ -f "$pid_file" ] || { echo "no throw-away daemon was started by make run"; exit 0; }
pid=$(cat "$pid_file")
# The number may have gone to another program since.
if [ "$(ps -o comm= -p "$pid" 2>/dev/null)" = sealwardd ]; then
    kill "$pid"
    echo "stopped"
else
    echo "it is not running"
fi
rm -f "$pid_file"
