"""What the demonstrations share: a directory, the built programs, a daemon, an offline root, clients of python-tuf.

Everything that a demonstration says was checked. It works on files and sockets of its own, below one directory.
"""

import argparse
import contextlib
import datetime
import functools
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from securesystemslib.formats import encode_canonical
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.ngclient import Updater

HERE = pathlib.Path(__file__).resolve().parent.parent
# The work factor of the demo's holders: a real ceremony takes the default, 18.
WORK_FACTOR = "10"
# How long one command may take, in seconds.
PATIENCE = 90
DAY = datetime.timedelta(days=1)
HOLDERS = ("alice", "bob", "carol")
SOURCES = ("README.md", "LICENSE-MIT", "Cargo.lock")
# What every demonstration's configuration begins with.
BASE = """
version = 1

[ledger]
directory = "{dir}/ledger"

[log_key]
unseal = {{ identity = {{ file = "{dir}/identity" }} }}

[[listener]]
name = "local"
kind = "unix"
path = "{dir}/sealward.sock"
mode = "0600"

[[keystore]]
name = "files"
kind = "software"
directory = "{dir}/keys"
unseal = {{ identity = {{ file = "{dir}/identity" }} }}
"""
# Whoever runs a demonstration may do this in it.
GRANTS = """
# Every role of demo, and still not root: that one is offline by type, whatever a grant says.
[[grant]]
callers = ["unix:{uid}"]
verbs = ["sign", "explain", "read", "manage-keys", "manage-roots"]
repositories = ["demo"]
roles = ["**"]

[[grant]]
callers = ["unix:{uid}"]
verbs = ["audit", "status"]
"""


def arguments(description):
    """What every demonstration is told on its command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bin", required=True, help="where the built programs are")
    parser.add_argument("--quiet", action="store_true", help="say what was found, and not each check")
    return parser


@contextlib.contextmanager
def open_scene(kind, programs, quiet):
    """A demonstration in a directory of its own. Its daemon ends with it, however it ends."""
    # Short: a unix socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="sealward-show-", dir="/tmp") as directory:
        scene = kind(directory, programs, quiet)
        try:
            yield scene
        finally:
            if scene.daemon:
                scene.stop(signal.SIGKILL)


class Scene:
    """One demonstration in one directory. What it calls itself stands before its failures."""

    name = "demo"

    def __init__(self, directory, programs, quiet):
        self.dir = pathlib.Path(directory)
        self.programs = pathlib.Path(programs).resolve()
        self.quiet = quiet
        self.checks = 0
        self.daemon = None
        self.refusals = []  # (attack, what it got)
        self.repository = self.dir / "repository"
        (self.repository / "metadata").mkdir(parents=True)
        (self.repository / "targets").mkdir()

    # --- talk and checks ---

    def say(self, text=""):
        if not self.quiet:
            print(text, flush=True)

    def fail(self, what):
        raise SystemExit(f"{self.name}: FAILED: {what}")

    def check(self, condition, what):
        if not condition:
            self.fail(what)
        self.checks += 1
        self.say(f"  ok: {what}")

    # --- programs ---

    def attempt(self, program, *arguments):
        path = self.programs / program
        command = [str(path if path.exists() else program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.dir, env=self.environment(), timeout=PATIENCE)

    def run(self, program, *arguments, code=0):
        done = self.attempt(program, *arguments)
        if done.returncode != code:
            shown = " ".join(done.args)
            self.fail(f"{shown}\nexit {done.returncode}, not {code}\n{done.stdout}{done.stderr}")
        self.checks += 1
        return done

    def environment(self):
        return {
            **os.environ,
            "SEALWARD_SERVER": f"unix:{self.dir}/sealward.sock",
            "PATH": f"{self.programs}:{os.environ['PATH']}",
        }

    def sealward(self, *arguments, code=0):
        return self.run("sealward", *arguments, code=code).stdout

    def json(self, *arguments, code=0):
        return json.loads(self.sealward("--json", *arguments, code=code))

    # --- the daemon ---

    def configure(self, text, **values):
        """Writes and checks the configuration, makes what `init` makes, and starts the daemon."""
        (self.dir / "sealward.toml").write_text((BASE + text).format(dir=self.dir, uid=os.getuid(), **values))
        self.run("sealwardd", "config", "check", "--config", "sealward.toml")
        self.run("sealwardd", "init", "--config", "sealward.toml")
        self.start()
        self.check(self.json("status")["state"] == "serving", "the daemon serves")

    def start(self):
        log = (self.dir / "daemon.log").open("a")
        command = [str(self.programs / "sealwardd"), "--config", "sealward.toml"]
        self.daemon = subprocess.Popen(command, cwd=self.dir, stderr=log, stdin=subprocess.DEVNULL)
        for _ in range(200):
            if self.daemon.poll() is not None:
                self.fail(f"the daemon ended\n{(self.dir / 'daemon.log').read_text()}")
            asked = subprocess.run([self.programs / "sealward", "whoami"], capture_output=True, env=self.environment())
            if asked.returncode == 0:
                return
            time.sleep(0.05)
        self.fail("the daemon does not answer")

    def stop(self, how=signal.SIGTERM):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(how)
            self.daemon.wait(timeout=30)
        return self.daemon.returncode

    # --- keys and roots ---

    def export(self, name, key):
        identity = key["public_key"]["key"]
        (self.dir / f"{name}.tuf.json").write_text(self.sealward("key", "export", identity, "--format", "tuf"))
        (self.dir / f"{name}.pem").write_text(self.sealward("key", "export", identity, "--format", "pem"))

    def ceremony(self, *arguments, code=0):
        return self.run("sealward-ceremony", *arguments, code=code).stdout

    def sign_root(self, version, holders):
        """Proposes were written; two holders sign on media of their own, the coordinator merges."""
        before = ["--first"] if version == 1 else ["--previous", f"{version - 1}.root.json"]
        proposal = f"proposal-{version}.json"
        reviewed = json.loads(self.ceremony("--json", "review", proposal, *(before if version > 1 else [])))
        digest = reviewed["signed_sha256"]
        signatures = []
        for holder in holders:
            self.ceremony(
                "sign", "--state", holder, "--name", holder, "--proposal", proposal, *before,
                "--digest", digest, "--passphrase-file", f"{holder}.passphrase",
            )
            signatures.append(f"{holder}/{holder}.sig.json")
        self.ceremony(
            "merge", "--proposal", proposal, *before, signatures[0], "--out", "short.json", code=77,
        )
        self.check(not (self.dir / "short.json").exists(), "one signature of two writes no root")
        self.ceremony("merge", "--proposal", proposal, *before, *signatures, "--out", f"{version}.root.json")
        self.check((self.dir / f"{version}.root.json").exists(), f"root {version} is signed by {' and '.join(holders)}")

    def make_holders(self):
        """Three holders of root, each with a passphrase of their own. Their keys never come near the daemon."""
        for holder in HOLDERS:
            secret = self.dir / f"{holder}.passphrase"
            secret.touch(mode=0o600)
            secret.write_text(f"{holder} keeps this on paper\n")
            self.ceremony(
                "keygen", "--state", holder, "--name", holder, "--algorithm", "ecdsa-p256",
                "--passphrase-file", secret, "--work-factor", WORK_FACTOR,
            )

    def propose_first(self, *online):
        """Root 1: two of three holders, and these keys of online roles."""
        roots = [argument for holder in HOLDERS for argument in ("--root-key", f"{holder}/{holder}.pub.json")]
        self.ceremony(
            "propose", "--first", *roots, "--root-threshold", "2", *online, "--expires-in", "365d",
            "--out", "proposal-1.json",
        )

    # --- metadata ---

    def publish(self, source, name):
        shutil.copy(self.dir / source, self.repository / "metadata" / name)

    def sign(self, role, signed, name, code=0):
        """Has an unsigned file signed; what comes back is the file to publish."""
        unsigned = self.dir / f"unsigned-{name}"
        Metadata(signed).to_file(str(unsigned))
        text = self.sealward("sign", "--repository", "demo", "--role", role, unsigned, code=code)
        if code == 0:
            (self.dir / name).write_text(text)
        return text

    def expires(self, days=1):
        return (datetime.datetime.now(datetime.timezone.utc) + days * DAY).replace(microsecond=0)

    def targets(self, version):
        files = {}
        for source in SOURCES:
            target = TargetFile.from_file(source, str(HERE / source), ["sha256"])
            files[source] = target
            shutil.copy(HERE / source, self.repository / "targets" / f"{target.hashes['sha256']}.{source}")
        return Targets(version=version, expires=self.expires(30), targets=files)

    # --- clients ---

    def client(self, name):
        """A client of python-tuf that trusts root 1, or goes on from what it has."""
        home = self.dir / name
        if not home.exists():
            (home / "targets").mkdir(parents=True)
        updater = Updater(
            metadata_dir=str(home), metadata_base_url=f"{self.url}/metadata/", target_dir=str(home / "targets"),
            target_base_url=f"{self.url}/targets/", bootstrap=(self.dir / "1.root.json").read_bytes(),
        )
        updater.refresh()
        for source in SOURCES:
            path = updater.download_target(updater.get_targetinfo(source))
            self.check(pathlib.Path(path).read_bytes() == (HERE / source).read_bytes(), f"{name}: ngclient verified {source}")
        return updater

    def serve(self):
        handler = functools.partial(Quiet, directory=str(self.repository))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def openssl(self, algorithm, pem, signed, signature):
        (self.dir / "payload").write_bytes(encode_canonical(signed).encode())
        (self.dir / "signature").write_bytes(bytes.fromhex(signature))
        if algorithm == "ed25519":
            how = ["pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", "payload", "-sigfile", "signature"]
        else:
            pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"] if "rsa" in algorithm else []
            how = ["dgst", "-sha256", "-verify", pem, *pss, "-signature", "signature", "payload"]
        self.run("openssl", *how)

    # --- refusals ---

    def refused(self, attack, rule, *arguments):
        answer = json.loads(self.run("sealward", "--json", *arguments, code=77).stdout)
        got = answer["error"]["reason"]
        self.check(got == rule, f"{attack}: denied by {rule}")
        self.refusals.append((attack, got))

    def refused_payload(self, attack, rule, role, signed, repository="demo"):
        Metadata(signed).to_file(str(self.dir / "attack.json"))
        self.refused(attack, rule, "sign", "--repository", repository, "--role", role, "attack.json")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
