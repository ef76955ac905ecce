#!/bin/sh
# Makes the Python environment of the tests, or brings it up to date. Argument: its directory.
set -eu
venv=$1
requirements=$(dirname "$0")/../tests/support/python/requirements.txt
stamp=$venv/sealward-requirements.txt
cmp -s "$requirements" "$stamp" 2>/dev/null && exit 0
echo "making $venv" >&2
if ! python3 -m venv "$venv" 2>/dev/null; then
    "$(dirname "$0")/install.sh" sealward-needs-venv:python3-venv
    python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" >&2
cp "$requirements" "$stamp"
