#!/usr/bin/env python3
"""A real TUF repository, signed offline and through sealward, verified by python-tuf's client and by openssl.

Everything that this program says was checked; `--quiet` says only the last line. It needs the built programs (`--bin`)
and python-tuf, and runs in a temporary directory with a daemon of its own.
"""

import json
import os
import signal
import subprocess

from securesystemslib.formats import encode_canonical
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from common import GRANTS, HERE, Scene, arguments, open_scene

CONFIGURATION = """
[[keystore]]
name = "softhsm"
kind = "pkcs11"
module = "{module}"
token_label = "sealward"
pin = {{ file = "{dir}/hsm/pin" }}
environment = {{ SOFTHSM2_CONF = "{dir}/hsm/softhsm2.conf" }}

[[repository]]
name = "demo"

[repository.role.timestamp]
keystore = "softhsm"
algorithm = "ecdsa-p256"
# Where its next key is to be made, and of which algorithm.
keystores = ["files"]
algorithms = ["ed25519"]

[repository.role.snapshot]
keystore = "files"
algorithm = "ed25519"

# Targets sign by themselves here, because nobody is there to approve them. A real repository would have people do it.
[repository.role.targets]
custody = "online"
keystore = "softhsm"
algorithm = "rsa-pss-2048"
"""


class Demo(Scene):
    def __init__(self, directory, programs, quiet):
        super().__init__(directory, programs, quiet)
        self.verified = []  # (role, keystore, algorithm, python-tuf, openssl)

    # --- the daemon ---

    def set_up(self):
        self.say("A SoftHSM2 token, a configuration, a ledger and a log key:")
        self.run(HERE / "softhsm/setup.sh", self.dir / "hsm")
        module = os.environ.get("SOFTHSM2_MODULE", "/usr/lib/softhsm/libsofthsm2.so")
        self.configure(CONFIGURATION + GRANTS, module=module)

    # --- keys and roots ---

    def make_keys(self):
        self.say("\nThree keys, made where they stay:")
        self.keys = {}
        for role in ("timestamp", "snapshot", "targets"):
            new = ["--new-repository"] if role == "timestamp" else []
            key = self.json("key", "generate", "--repository", "demo", "--role", role, *new)["key"]
            self.keys[role] = key
            self.export(role, key)
            self.say(f"  {role}: {key['public_key']['algorithm']} in {key['keystore']}")
            self.check(key["state"] == "active", f"the first key of {role} is active in an unrooted repository")

    def first_root(self):
        self.say("\nRoot, offline: three holders, two must sign. The daemon never sees these keys:")
        self.make_holders()
        online = []
        for role in ("timestamp", "snapshot", "targets"):
            online += ["--key", f"{role}={role}.tuf.json", "--threshold", f"{role}=1"]
        self.propose_first(*online)
        self.sign_root(1, ["alice", "bob"])
        root = Metadata.from_file(str(self.dir / "1.root.json"))
        root.verify_delegate("root", root)
        self.check(root.signed.roles["root"].threshold == 2, "python-tuf verifies root 1 by its own threshold of 2")
        self.verify_root_with_openssl(root)
        pin = self.run("sha256sum", "1.root.json").stdout.split()[0]
        self.refused("first root without a pin", "root-pin", "root", "stage", "--repository", "demo", "1.root.json")
        self.sealward("root", "publish", "--repository", "demo", "--pin", pin, "1.root.json")
        self.publish("1.root.json", "1.root.json")

    def verify_root_with_openssl(self, root):
        payload = self.dir / "payload"
        payload.write_bytes(encode_canonical(root.signed.to_dict()).encode())
        for key_id, signature in root.signatures.items():
            (self.dir / "key.pem").write_text(root.signed.keys[key_id].keyval["public"])
            (self.dir / "signature").write_bytes(bytes.fromhex(signature.signature))
            self.run("openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", payload)
        self.verified.append(("root (2 of 3)", "age, offline", "ecdsa-p256", "yes", "yes"))

    # --- metadata ---

    def first_metadata(self):
        self.say("\nTargets, snapshot and timestamp through the daemon:")
        self.sign("targets", self.targets(1), "1.targets.json")
        snapshot = Snapshot(version=1, expires=self.expires(7), meta={"targets.json": MetaFile(1)})
        self.sign("snapshot", snapshot, "1.snapshot.json")
        self.sign("timestamp", Timestamp(version=1, expires=self.expires(), snapshot_meta=MetaFile(1)), "timestamp.json")
        for name in ("1.targets.json", "1.snapshot.json", "timestamp.json"):
            self.publish(name, name)

    def verify_with_openssl(self):
        self.say("\nThe same signatures, verified by openssl:")
        for role, name in (("timestamp", "timestamp.json"), ("snapshot", "1.snapshot.json"), ("targets", "1.targets.json")):
            file = json.loads((self.dir / name).read_text())
            key = self.keys[role]
            algorithm = key["public_key"]["algorithm"]
            self.openssl(algorithm, f"{role}.pem", file["signed"], file["signatures"][0]["sig"])
            self.check(True, f"{role}: openssl verifies {algorithm}")
            self.verified.append((role, key["keystore"], algorithm, "yes", "yes"))

    # --- refusals ---

    def attacks(self):
        self.say("\nWhat a hostile TUF server, or a thief of this caller's identity, gets:")
        one = {"targets.json": MetaFile(1)}
        self.sign("snapshot", Snapshot(version=2, expires=self.expires(7), meta=one), "2.snapshot.json")
        self.refused_payload("rollback", "rollback", "snapshot", Snapshot(version=1, expires=self.expires(7), meta=one))
        self.refused_payload("equivocation", "equivocation", "snapshot", Snapshot(version=2, expires=self.expires(6), meta=one))
        self.refused_payload("wrong role", "wrong-role", "timestamp", Snapshot(version=3, expires=self.expires(7), meta=one))
        self.refused_payload("far expiry", "expiry-too-far", "timestamp", Timestamp(version=2, expires=self.expires(3650), snapshot_meta=MetaFile(2)))
        self.refused_payload("past expiry", "expired", "timestamp", Timestamp(version=2, expires=self.expires(-1), snapshot_meta=MetaFile(2)))
        self.refused_payload("jump of a listed version", "listed-step", "timestamp", Timestamp(version=2, expires=self.expires(), snapshot_meta=MetaFile(500)))
        self.refused_payload("listing what was never released", "listed-unreleased", "timestamp", Timestamp(version=2, expires=self.expires(), snapshot_meta=MetaFile(9)))
        self.refused_payload("fast-forward", "version-step", "timestamp", Timestamp(version=2**53 - 1, expires=self.expires(), snapshot_meta=MetaFile(2)))
        root = Metadata.from_file(str(self.dir / "1.root.json")).signed
        self.refused_payload("root online", "offline-role", "root", root)
        self.refused_payload("root as another role", "offline-role", "timestamp", root)
        self.refused_payload("no grant", "no-grant", "timestamp", Timestamp(version=1, expires=self.expires(), snapshot_meta=MetaFile(1)), repository="other")

    # --- rotation ---

    def rotate(self):
        self.say("\nA new timestamp key: staged, signed for by both keys, published through root 2:")
        rotated = self.json(
            "key", "rotate", "--repository", "demo", "--role", "timestamp", "--keystore", "files", "--algorithm", "ed25519",
        )
        successor = rotated["key"]
        self.check(successor["state"] == "pending", "the successor is pending: the root decides")
        self.export("timestamp-2", successor)
        old = self.keys["timestamp"]["public_key"]["tuf_key_id"]
        self.ceremony(
            "propose", "--previous", "1.root.json", "--key", "timestamp=timestamp-2.tuf.json", "--remove", old,
            "--expires-in", "365d", "--out", "proposal-2.json",
        )
        self.sign_root(2, ["bob", "carol"])
        self.sealward("root", "stage", "--repository", "demo", "2.root.json")
        timestamp = Timestamp(version=2, expires=self.expires(), snapshot_meta=MetaFile(2))
        self.sign("timestamp", timestamp, "timestamp.json")
        signatures = json.loads((self.dir / "timestamp.json").read_text())["signatures"]
        self.check(len(signatures) == 2, "while root 2 is staged, one Sign returns a signature of each key")
        self.publish("2.snapshot.json", "2.snapshot.json")
        self.publish("timestamp.json", "timestamp.json")
        self.client("client-that-knows-only-root-1")
        self.publish("2.root.json", "2.root.json")
        self.sealward("root", "publish", "--repository", "demo", "2.root.json")
        updater = self.client("client-that-started-at-root-1")
        self.check(updater._trusted_set.root.version == 2, "a client that started at root 1 is at root 2")
        self.client("first-client")
        states = {key["public_key"]["key"]: key["state"] for key in self.json("key", "list", "--repository", "demo")["keys"]}
        self.check(states[self.keys["timestamp"]["public_key"]["key"]] == "retired", "the old key is retired")
        self.check(states[successor["public_key"]["key"]] == "active", "the new key is active")
        file = json.loads((self.dir / "timestamp.json").read_text())
        by_new_key = next(one for one in file["signatures"] if one["keyid"] == successor["public_key"]["tuf_key_id"])
        self.openssl("ed25519", "timestamp-2.pem", file["signed"], by_new_key["sig"])
        self.verified.append(("timestamp, rotated", successor["keystore"], "ed25519", "yes", "yes"))
        self.keys["timestamp"] = successor

    # --- crash and audit ---

    def crash(self):
        self.say("\nKilled, started again, asked again:")
        before = (self.dir / "timestamp.json").read_text()
        timestamp = Timestamp(version=3, expires=self.expires(), snapshot_meta=MetaFile(2))
        first = self.sign("timestamp", timestamp, "timestamp.json")
        self.stop(signal.SIGKILL)
        self.start()
        again = self.sign("timestamp", timestamp, "timestamp.json")
        self.check(first == again and first != before, "after a kill the same request gets the same signature")

    def audit(self):
        self.say("\nThe audit log, exported and verified without the daemon:")
        self.sealward("audit", "export", "log")
        key = (self.dir / "log/verifier-key").read_text().strip()
        self.check(self.json("status")["verifier_key"] == key, "the export carries the log's verifier key")
        self.check(self.stop() == 0, "the daemon stops when asked")
        good = self.sealward("audit", "verify", "log", "--verifier-key", key)
        self.say(good.rstrip())
        bundle = next((self.dir / "log/tile/entries").rglob("[0-9]*"))
        while bundle.is_dir():
            bundle = next(bundle.iterdir())
        content = bytearray(bundle.read_bytes())
        content[len(content) // 2] ^= 1
        bundle.write_bytes(content)
        self.run("sealward", "audit", "verify", "log", "--verifier-key", key, code=65)
        self.check(True, "after one flipped byte it is bad")
        self.run("sealward", "audit", "verify", "ledger", "--verifier-key", key, code=64)
        self.check(True, "a copy of the live database is refused with advice")

    def table(self):
        self.say("\n{:<20} {:<14} {:<14} {:<11} {}".format("ROLE", "KEYSTORE", "ALGORITHM", "PYTHON-TUF", "OPENSSL"))
        for row in self.verified:
            self.say("{:<20} {:<14} {:<14} {:<11} {}".format(*row))
        self.say("\n{:<34} {}".format("ATTACK", "REFUSED BY"))
        for attack, rule in self.refusals:
            self.say("{:<34} {}".format(attack, rule))

    # --- `make run`, typed as it stands ---

    def first_light(self):
        self.say("\nmake run, and what it prints, typed as it stands:")
        home = self.dir / "run"
        home.mkdir()
        environment = {**os.environ, "TMPDIR": str(home)}
        started = subprocess.run([HERE / "scripts/first-light.sh", self.programs], capture_output=True, text=True, env=environment)
        try:
            self.check(started.returncode == 0 and '"signatures"' in started.stdout, "a first signature")
            typed = [line.strip() for line in started.stdout.splitlines() if line.startswith("  ")]
            expected = {"timestamp-1.json": 77, "--role snapshot": 77, "explain": 77}
            for number in range(2, len(typed)):
                script = "\n".join([*typed[:2], typed[number]])
                done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment)
                code = next((code for text, code in expected.items() if text in typed[number]), 0)
                self.check(done.returncode == code, f"{typed[number]} ends with {code}: {done.stderr}")
        finally:
            subprocess.run([HERE / "scripts/stop.sh"], capture_output=True, env=environment)


def main():
    parser = arguments(__doc__)
    parser.add_argument("--with-run", action="store_true", help="check what `make run` prints as well")
    told = parser.parse_args()
    with open_scene(Demo, told.bin, told.quiet) as demo:
        if told.with_run:
            demo.first_light()
        demo.set_up()
        demo.make_keys()
        demo.first_root()
        demo.serve()
        demo.first_metadata()
        demo.say("\nA client that nobody here wrote:")
        demo.client("first-client")
        demo.verify_with_openssl()
        demo.attacks()
        demo.rotate()
        demo.crash()
        demo.audit()
        demo.table()
    print(f"{'' if told.quiet else chr(10)}first-light: ok, {demo.checks} checks")


if __name__ == "__main__":
    main()
