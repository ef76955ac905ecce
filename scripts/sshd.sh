#!/bin/sh
# An sshd for the tests, unpacked and not installed: a package that is installed starts and enables a server on port 22,
# which nobody asked a test for. One that the machine has already is used instead. Argument: where to unpack it.
set -eu
[ -x /usr/sbin/sshd ] && exit 0
to=$1/sshd
[ -x "$to/usr/sbin/sshd" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing: sshd; install it with this system's package manager and try again" >&2
    exit 69
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
# The library that no other package of a small system brings.
fetch() { apt-get download -qq openssh-server libwrap0 >&2; }
if ! fetch; then
    if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
    $sudo apt-get update -qq >&2
    fetch
fi
mkdir -p "$to"
for package in ./*.deb; do
    dpkg-deb -x "$package" "$to"
done
