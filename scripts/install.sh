#!/bin/sh
# Installs the Debian packages of programs that are missing. Arguments: PROGRAM:PACKAGE ...; without a package, says so.
set -eu
packages=
for pair in "$@"; do
    program=${pair%%:*}
    package=${pair#*:}
    # Debian keeps mkfs and its like where a user's PATH does not look.
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null 2>&1 && continue
    if [ -z "$package" ]; then
        echo "$program is missing: install the Rust toolchain (https://rustup.rs) and try again" >&2
        exit 69
    fi
    packages="$packages $package"
done
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing:$packages; install them with this system's package manager and try again" >&2
    exit 69
fi
echo "installing:$packages" >&2
$sudo apt-get update -qq >&2
# shellcheck disable=SC2086 # a list of package names
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $packages >&2
