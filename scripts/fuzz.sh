#!/bin/sh
# Runs every fuzz target for a while and says what came of it. Arguments: the directory of tools, seconds per target, then
# the targets (all of them unless named). New inputs are kept outside the clone; what breaks a promise is copied into the
# target's committed corpus, where tests/fuzz_corpora.rs replays it on stable for ever.
set -eu
tools=$1 seconds=$2
shift 2
cd "$(dirname "$0")/.."
toolchain=${SEALWARD_FUZZ_TOOLCHAIN:-nightly}
if ! rustup run "$toolchain" rustc --version >/dev/null 2>&1; then
    echo "fuzzing needs a nightly compiler: rustup toolchain install $toolchain --profile minimal" >&2
    exit 69
fi
if ! "$tools/bin/cargo-fuzz" --version 2>/dev/null | grep -q ' 0\.13\.'; then
    CARGO_TARGET_DIR="$tools/target" cargo install --quiet --locked --debug --root "$tools" --version '~0.13' cargo-fuzz
fi
export PATH="$tools/bin:$PATH" CARGO_TARGET_DIR="$tools/fuzz-target"
unset RUSTFLAGS
[ $# -gt 0 ] || set -- $(cd fuzz/fuzz_targets && ls | sed 's/\.rs$//')
# Without a sanitizer: all that is fuzzed is safe Rust, and runs five times as fast.
cargo "+$toolchain" fuzz build --sanitizer none --release
found=0
for target; do
    grown=$tools/fuzz-corpus/$target artifacts=$tools/fuzz-artifacts/$target
    mkdir -p "$grown" "$artifacts"
    log=$artifacts/log
    verdict=ok
    "$(find "$CARGO_TARGET_DIR" -path "*/release/$target" -type f | head -n 1)" "$grown" "fuzz/corpus/$target" \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$artifacts/" >"$log" 2>&1 || verdict=broken
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    printf '%-16s %-7s %10s runs  %6s edges\n' "$target" "$verdict" "${runs:-?}" "${coverage:-?}"
    if [ "$verdict" = broken ]; then
        found=$((found + 1))
        grep -E 'panicked at|ERROR|ALARM' "$log" | head -n 3 >&2 || true
        for input in "$artifacts"/crash-* "$artifacts"/timeout-* "$artifacts"/oom-*; do
            [ -f "$input" ] && mv "$input" "fuzz/corpus/$target/found-$(basename "$input" | tail -c 13)"
        done
    fi
done
if [ "$found" -gt 0 ]; then
    echo "fuzz: $found targets broke a promise; the inputs are in fuzz/corpus, \`cargo test --test fuzz_corpora\` shows them"
    exit 1
fi
echo "fuzz: ok, $# targets, $seconds s each"
