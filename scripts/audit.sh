#!/bin/sh
# Checks Cargo.lock against the RustSec advisories: those beside the repository where they are, else fetched.
set -eu
tools=$1
archive=$(dirname "$0")/../../shared/data/advisory-db.tar.gz
if [ -f "$archive" ]; then
    database=$(mktemp -d)
    trap 'rm -rf "$database"' EXIT
    tar -xzf "$archive" -C "$database"
    # The archive may hold the files directly or in one folder.
    [ -d "$database/crates" ] || database=$(dirname "$(find "$database" -maxdepth 2 -type d -name crates | head -n 1)")
    "$tools/bin/cargo-audit" audit --db "$database" --no-fetch --stale
else
    "$tools/bin/cargo-audit" audit
fi
