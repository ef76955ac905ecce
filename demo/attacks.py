"""A daemon to attack: callers of every kind, what they may do, and the table of what they got."""

import json
import time

from cryptography import x509
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp, Targets

from common import Scene
from identities import Authority, Issuer

CONFIGURATION = """
[[listener]]
name = "remote"
kind = "tcp-mtls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = {{ file = "server.key" }}
client_ca = "ca.pem"
deny_list = "denied"

[[listener]]
name = "ci"
kind = "tcp-token"
address = "127.0.0.1:0"
certificate = "server.pem"
key = {{ file = "server.key" }}

[[oidc]]
name = "github"
issuer = "https://token.actions.githubusercontent.com"
audiences = ["https://signer.example"]
jwks_file = "issuer.json"

[[oidc.identity]]
name = "release"
claims = {{ repository_id = "74", ref = "refs/heads/main" }}

[[repository]]
pattern = "acme/*"

[repository.role.timestamp]
keystore = "files"
algorithm = "ed25519"

[repository.role.snapshot]
keystore = "files"
algorithm = "ed25519"

# Attended: one person who is not the one that asks.
[repository.role.targets]
custody = "attended"
keystore = "files"
algorithm = "ed25519"

[[person]]
name = "alice"
identities = ["uri:spiffe://acme/alice"]

[[person]]
name = "bob"
identities = ["uri:spiffe://acme/bob"]

# A CI job, by certificate or by token.
[[grant]]
callers = ["uri:spiffe://acme/ci", "oidc:github/release"]
verbs = ["sign"]
repositories = ["acme/app"]
roles = ["timestamp"]

# A TUF server, with more than it should have: what it does not get even so is the law's doing.
[[grant]]
callers = ["dns:tuf.acme.example"]
verbs = ["sign", "approve"]
repositories = ["acme/*"]
roles = ["**"]

[[grant]]
callers = ["person:alice", "person:bob"]
verbs = ["sign", "approve"]
repositories = ["acme/*"]
roles = ["targets"]

[[grant]]
callers = ["unix:{uid}"]
verbs = ["read", "manage-keys", "freeze"]
repositories = ["**"]
roles = ["**"]

[[grant]]
callers = ["unix:{uid}"]
verbs = ["operate", "audit", "status"]
"""

APP, OTHER = "acme/app", "acme/other"


class Stage(Scene):
    """Each attack is a request to a real daemon; what it got, and the rule, are that daemon's answer."""

    name = "attacks"

    def __init__(self, directory, programs, quiet):
        super().__init__(directory, programs, quiet)
        self.rows = []  # (attack, what it got, the rule)

    # --- callers: each is what stands on the command line before the noun ---

    def make_callers(self):
        self.authority = Authority(self.dir, "ca")
        self.authority.sign("server", x509.DNSName("localhost"))
        self.certificate = self.authority.sign("ci", x509.UniformResourceIdentifier("spiffe://acme/ci"))
        self.authority.sign("tuf", x509.DNSName("tuf.acme.example"))
        for person in ("alice", "bob"):
            self.authority.sign(person, x509.UniformResourceIdentifier(f"spiffe://acme/{person}"))
        self.issuer = Issuer("https://token.actions.githubusercontent.com", "https://signer.example")
        (self.dir / "issuer.json").write_text(json.dumps(self.issuer.jwks()))
        (self.dir / "denied").write_text("# nobody yet\n")

    def log(self):
        return (self.dir / "daemon.log").read_text()

    def port(self, listener):
        return int(self.log().split(f"listening listener={listener} address=127.0.0.1:")[1].split()[0])

    def by_certificate(self, name):
        return ["--server", f"https://localhost:{self.port('remote')}", "--ca", "ca.pem", "--cert", f"{name}.pem", "--key", f"{name}.key"]

    def by_token(self, token):
        (self.dir / "token").write_text(token)
        return ["--server", f"https://localhost:{self.port('ci')}", "--ca", "ca.pem", "--token-file", "token"]

    # --- the repositories as they are before the attacks ---

    def set_up(self):
        self.say("A daemon, its callers, and two repositories:")
        self.make_callers()
        self.configure(CONFIGURATION)
        self.ci, self.tuf, self.alice, self.bob = map(self.by_certificate, ("ci", "tuf", "alice", "bob"))
        for repository in (APP, OTHER):
            for role in ("timestamp", "snapshot", "targets"):
                new = ["--new-repository"] if role == "timestamp" else []
                self.sealward("key", "generate", "--repository", repository, "--role", role, *new)
        for version in (1, 2):
            self.release_targets(version)
            self.release("snapshot", self.snapshot(version, version))
            self.release("timestamp", self.timestamp(version, version))
        self.release_targets(1, OTHER)
        self.release("snapshot", self.snapshot(1, 1), OTHER)

    def key_of(self, repository, role):
        keys = self.json("key", "list", "--repository", repository)["keys"]
        return next(key["public_key"]["key"] for key in keys if key["roles"] == [role])

    def release(self, role, signed, repository=APP):
        code, answer = self.ask(self.tuf, role, signed, repository)
        self.check(code == 0, f"{role} {signed.version} of {repository} is signed")

    def release_targets(self, version, repository=APP):
        signed = self.targets_of(version)
        waiting = self.waits(self.tuf, signed, repository)
        self.approve(self.alice, waiting)
        self.release("targets", signed, repository)

    def waits(self, identity, signed, repository=APP):
        """Asks for a signature of targets; the name and the digest of what waits for people."""
        code, answer = self.ask(identity, "targets", signed, repository)
        self.check(code == 75, f"targets {signed.version} wait for people")
        name = answer["error"]["approval"]
        return name, self.answer(self.bob, "approve", "show", name)[1]["digest"]

    def approve(self, identity, waiting):
        name, digest = waiting
        code, _ = self.answer(identity, "approve", "accept", name, "--digest", digest)
        self.check(code == 0, "a person approves")

    # --- payloads ---

    def timestamp(self, version, snapshot, days=1):
        return Timestamp(version=version, expires=self.expires(days), snapshot_meta=MetaFile(snapshot))

    def snapshot(self, version, targets, releases=1):
        meta = {"targets.json": MetaFile(targets), **({"releases.json": MetaFile(releases)} if releases else {})}
        return Snapshot(version=version, expires=self.expires(7), meta=meta)

    def targets_of(self, version, **members):
        return Targets(version=version, expires=self.expires(30), **members)

    # --- requests ---

    def answer(self, identity, *arguments):
        done = self.attempt("sealward", "--json", *identity, *arguments)
        return done.returncode, json.loads(done.stdout)

    def signing(self, role, signed, repository=APP, file="payload.json"):
        """The command that has this signed."""
        Metadata(signed).to_file(str(self.dir / file))
        return ["sign", "--repository", repository, "--role", role, file]

    def ask(self, identity, role, signed, repository=APP):
        return self.answer(identity, *self.signing(role, signed, repository))

    # --- the table ---

    def row(self, attack, got, rule, expected):
        """One attack with what was seen of it, which is what was expected."""
        self.check(rule == expected, f"{attack}: {got}: {rule}")
        self.rows.append((attack, got, rule))

    def denied(self, attack, rule, identity, *arguments, because=None):
        """An attack that gets nothing, because of this rule. Where one rule has many causes, `because` is in its detail."""
        code, answer = self.answer(identity, *arguments)
        self.check(code == 77, f"{attack}: is denied: {answer}")
        error = answer["error"]
        self.check(not because or because in error["detail"], f"{attack}: {error['detail']}")
        cause = f": {because}" if because else ""
        self.row(attack, "nothing", error["reason"] + cause, rule + cause)

    def denied_payload(self, attack, rule, identity, role, signed, repository=APP):
        self.denied(attack, rule, identity, *self.signing(role, signed, repository))

    def turned_away(self, attack, because, identity, *arguments):
        """An attack that ends within TLS: the caller learns as little as can be, the log says why."""
        before = len(self.log())
        code, answer = self.answer(identity, *arguments)
        self.check("error" in answer and code == 69, f"{attack}: no answer ({code})")
        for _ in range(100):
            told = [line for line in self.log()[before:].splitlines() if "turned away" in line]
            if told:
                break
            time.sleep(0.05)
        self.check(told and because in told[-1], f"{attack}: {told}")
        self.row(attack, "no connection", f"TLS: {because}", f"TLS: {because}")

    def got(self, attack, identity, role, signed):
        """An attack that gets a signature, and how little that is."""
        code, answer = self.ask(identity, role, signed)
        self.check(code == 0, f"{attack}: {answer}")
        file = json.loads(answer["file"])["signed"]
        steps = {one["step"] for one in answer["signatures"]}
        self.row(attack, f"{file['_type']} {file['version']}, until {file['expires']}", " ".join(steps), "advance")
