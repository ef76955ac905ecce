#!/bin/sh
# Makes a SoftHSM2 token, keys in it and a sealward configuration that works, in a directory of your own.
#
#   softhsm/setup.sh DIR
#
# Run again, it finishes what is missing and touches nothing that is there. It needs softhsm2-util, and no root.
# The token is for trying and testing: its PIN passes through an argument list (softhsm2-util takes it no other way
# without a terminal), where other users of this machine could read it for a moment.
set -eu
umask 077

LABEL=sealward
MODULE=${SOFTHSM2_MODULE:-/usr/lib/softhsm/libsofthsm2.so}

fail() {
    code=$1
    shift
    printf 'setup.sh: %s\n' "$*" >&2
    exit "$code"
}

[ $# -eq 1 ] && [ -n "$1" ] || fail 64 'usage: softhsm/setup.sh DIR'
command -v softhsm2-util >/dev/null 2>&1 || fail 69 'softhsm2-util is not installed (Debian: apt-get install softhsm2)'
[ -r "$MODULE" ] || fail 69 "there is no PKCS#11 module at $MODULE; set SOFTHSM2_MODULE to where libsofthsm2.so is"

mkdir -p -- "$1"
DIR=$(CDPATH='' cd -- "$1" && pwd -P)
# These would end a string of the TOML file, or a line of softhsm2.conf.
case $DIR in
    *[!A-Za-z0-9/._+@-]*) fail 64 "the directory's path may hold A-Z a-z 0-9 / . _ + @ - and no other character: $DIR" ;;
esac
# A unix socket's path has at most 107 bytes.
[ ${#DIR} -le 93 ] || fail 64 "the directory's path is too long for the socket in it (at most 93 characters): $DIR"
if [ ! -e "$DIR/softhsm2.conf" ] && [ -n "$(ls -A -- "$DIR")" ]; then
    fail 73 "$DIR holds other files; name a new directory"
fi
# Others who may write here could swap the token under the daemon.
chmod 0700 -- "$DIR" || fail 77 "$DIR belongs to another user"

# A file comes into being whole, or not at all: an interrupted run is finished by the next one.
write_new() {
    if [ -e "$1" ]; then
        cat >/dev/null
        return
    fi
    cat >"$1.new"
    mv -- "$1.new" "$1"
}

random_digits() {
    # 8 random bytes are 16 hexadecimal digits; a PIN of SoftHSM2 takes any characters.
    od -An -N8 -tx1 /dev/urandom | tr -d ' \n'
}

mkdir -p -- "$DIR/tokens"
write_new "$DIR/softhsm2.conf" <<CONF
# Made by sealward's softhsm/setup.sh
directories.tokendir = $DIR/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
CONF
SOFTHSM2_CONF=$DIR/softhsm2.conf
export SOFTHSM2_CONF

random_digits | write_new "$DIR/pin"
random_digits | write_new "$DIR/so-pin"

# Prints the serial number of the token with our label; nothing when there is none.
serial() {
    softhsm2-util --show-slots | awk -v label="$LABEL" '
        /^Slot / { serial = "" }
        /Serial number:/ { serial = $3 }
        /Label:/ && $2 == label && serial != "" { print serial }'
}

SERIAL=$(serial)
if [ -z "$SERIAL" ]; then
    softhsm2-util --init-token --free --label "$LABEL" --pin "$(cat "$DIR/pin")" --so-pin "$(cat "$DIR/so-pin")" >&2
    SERIAL=$(serial)
fi
[ "$(printf '%s\n' "$SERIAL" | grep -c .)" -eq 1 ] || fail 70 "expected one token labelled $LABEL in $DIR/tokens"

UID_NOW=$(id -u)
write_new "$DIR/log-passphrase" <<PASSPHRASE
$(random_digits)$(random_digits)
PASSPHRASE

write_new "$DIR/sealward.toml" <<TOML
# Made by sealward's softhsm/setup.sh: a token to try things with. hsm-config/softhsm2.toml explains every setting.
version = 1

[ledger]
directory = "$DIR/ledger"

[log_key]
unseal = { passphrase = { file = "$DIR/log-passphrase" }, work_factor = 12 }

[[listener]]
name = "local"
kind = "unix"
path = "$DIR/sealward.sock"
mode = "0600"

[observe]
path = "$DIR/metrics.sock"

[[keystore]]
name = "softhsm"
kind = "pkcs11"
module = "$MODULE"
token_label = "$LABEL"
token_serial = "$SERIAL"
pin = { file = "$DIR/pin" }
environment = { SOFTHSM2_CONF = "$DIR/softhsm2.conf" }

[[repository]]
name = "demo"

[repository.role.timestamp]
keystore = "softhsm"
algorithm = "ecdsa-p256"

[repository.role.snapshot]
keystore = "softhsm"
algorithm = "ecdsa-p256"

[repository.role.targets]
custody = "online"
keystore = "softhsm"
algorithm = "ecdsa-p256"

[[grant]]
callers = ["unix:$UID_NOW"]
verbs = ["sign", "explain", "read", "manage-keys", "manage-roots"]
repositories = ["demo"]
roles = ["root", "timestamp", "snapshot", "targets"]

[[grant]]
callers = ["unix:$UID_NOW"]
verbs = ["operate", "audit", "status"]
TOML

cat <<TOKEN
token    $LABEL, serial $SERIAL
PIN      $DIR/pin
TOKEN

# The keys are made by a daemon that runs only for this, in the token, and never leave it.
make_keys() {
    sealwardd init --config "$DIR/sealward.toml" >&2
    sealwardd --config "$DIR/sealward.toml" >"$DIR/setup.log" 2>&1 &
    DAEMON=$!
    trap 'kill "$DAEMON" 2>/dev/null || :' EXIT
    SEALWARD_SERVER=unix:$DIR/sealward.sock
    export SEALWARD_SERVER
    tries=0
    until sealward whoami >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "$DAEMON" 2>/dev/null; then
            cat "$DIR/setup.log" >&2
            fail 70 'the daemon did not start'
        fi
        sleep 0.1
    done
    new=--new-repository
    for role in timestamp snapshot targets; do
        sealward key generate --repository demo --role $role $new >/dev/null
        new=
    done
    sealward key list --repository demo
    kill "$DAEMON"
    wait "$DAEMON" || :
    trap - EXIT
}

if command -v sealwardd >/dev/null 2>&1 && command -v sealward >/dev/null 2>&1; then
    [ -e "$DIR/ledger" ] || make_keys
    cat <<NEXT

Next:
  sealwardd --config $DIR/sealward.toml
and in another terminal:
  sealward --server unix:$DIR/sealward.sock key list --repository demo
NEXT
else
    cat <<NEXT

sealwardd and sealward are not on the PATH: run this again with them to make the ledger and the keys, or type:
  sealwardd init --config $DIR/sealward.toml
  sealwardd --config $DIR/sealward.toml
and in another terminal:
  sealward --server unix:$DIR/sealward.sock key generate --repository demo --role timestamp --new-repository
  sealward --server unix:$DIR/sealward.sock key list --repository demo
NEXT
fi
