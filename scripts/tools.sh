#!/bin/sh
# Installs the pinned cargo tools of CI outside the clone. Argument: the directory.
set -eu
tools=$1
install() {
    [ -x "$tools/bin/$1" ] && "$tools/bin/$1" --version 2>/dev/null | grep -q " $2\$" && return 0
    # Our own lock file and target directory are no business of theirs; theirs is kept so that a second try goes on.
    # Built for debugging: they run for seconds, and optimising them takes a quarter of an hour on two cores.
    CARGO_TARGET_DIR="$tools/target" cargo install --quiet --locked --debug --root "$tools" --version "$2" "$1"
}
install cargo-deny 0.20.2
install cargo-audit 0.22.2
