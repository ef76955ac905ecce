#!/bin/sh
# Starts a throw-away daemon, makes a first signature, and says what to try next. Argument: where the programs are.
set -eu
bin=$1
source=$(cd "$(dirname "$0")/.." && pwd)
dir=${TMPDIR:-/tmp}/sealward-dev-$(id -u)
log=$dir.log
export PATH="$bin:$PATH"
export SEALWARD_SERVER="unix:$dir/sealward.sock"

if sealward whoami >/dev/null 2>&1; then
    echo "A throw-away daemon is running already; using it."
else
    (umask 077 && : >"$log")
    sealwardd --dev --dir "$dir" >>"$log" 2>&1 &
    echo $! >"$dir.pid"
    tries=0
    until sealward whoami >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "$(cat "$dir.pid")" 2>/dev/null; then
            cat "$log" >&2
            exit 69
        fi
        sleep 0.1
    done
    echo "Started a throw-away daemon (sealwardd --dev) in $dir; its log is $log."
fi

# A new repository each time: a released version is never released again with other bytes, not even here.
repository=demo/$(date +%Y%m%d-%H%M%S)
work=$dir/$repository
mkdir -p "$work"
expires=$(date -u -d '+1 day' +%Y-%m-%dT%H:%M:%SZ)
targets() { printf '{"_type":"targets","expires":"%s","spec_version":"1.0.31","targets":{},"version":%s}' "$expires" "$1"; }
snapshot() { printf '{"_type":"snapshot","expires":"%s","meta":{"targets.json":{"version":%s}},"spec_version":"1.0.31","version":%s}' "$expires" "$2" "$1"; }
timestamp() { printf '{"_type":"timestamp","expires":"%s","meta":{"snapshot.json":{"version":%s}},"spec_version":"1.0.31","version":%s}' "$expires" "$2" "$1"; }
targets 1 >"$work/targets-1.json"
snapshot 1 1 >"$work/snapshot-1.json"
timestamp 1 1 >"$work/timestamp-1.json"
timestamp 2 1 >"$work/timestamp-2.json"
timestamp 3 9 >"$work/timestamp-3-lists-snapshot-9.json"

sealward key generate --repository "$repository" --role timestamp --new-repository >/dev/null
sealward key generate --repository "$repository" --role snapshot >/dev/null
sealward key generate --repository "$repository" --role targets >/dev/null
for role in targets snapshot timestamp; do
    sealward sign --repository "$repository" --role $role "$work/$role-1.json" >"$work/$role.json"
done

echo
echo "A first signature, over the timestamp of the new repository $repository:"
cat "$work/timestamp.json"
cat <<TEXT

To try next, type:

  export PATH=$bin:\$PATH SEALWARD_SERVER=unix:$dir/sealward.sock
  cd $work
  sealward status
  sealward key list --repository $repository
  sealward sign --repository $repository --role timestamp timestamp-2.json
  sealward sign --repository $repository --role timestamp timestamp-2.json        # the same again: replayed
  sealward sign --repository $repository --role timestamp timestamp-1.json        # denied: rollback
  sealward sign --repository $repository --role snapshot timestamp-2.json         # denied: wrong-role
  sealward explain --repository $repository --role timestamp timestamp-3-lists-snapshot-9.json
  sealward audit list
  sealward audit checkpoint

Stop it with \`make -C $source stop\`; \`make -C $source clean-dev\` forgets its keys.
Next: $source/README.md, and \`make -C $source demo\`.
TEXT
