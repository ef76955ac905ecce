"""Attacks with stolen and made-up credentials of a CI job, which may sign one role of one repository."""


from cryptography import x509
from cryptography.hazmat.primitives import hashes
from tuf.api.metadata import Root

from attacks import APP, OTHER
from identities import Authority

FAR = 2**53 - 1


def stolen_certificate(stage):
    stage.say("\nA stolen CI certificate:")
    stage.got("stolen CI certificate: its own role", stage.ci, "timestamp", stage.timestamp(3, 2))
    stage.denied_payload("stolen CI certificate: another role", "no-grant", stage.ci, "snapshot", stage.snapshot(3, 2))
    stage.denied_payload("stolen CI certificate: targets", "no-grant", stage.ci, "targets", stage.targets_of(3))
    stage.denied_payload("stolen CI certificate: root", "no-grant", stage.ci, "root", Root(expires=stage.expires()))
    stage.denied_payload("stolen CI certificate: version jump", "version-step", stage.ci, "timestamp", stage.timestamp(FAR, 2))
    stage.denied_payload("stolen CI certificate: far expiry", "expiry-too-far", stage.ci, "timestamp", stage.timestamp(4, 2, days=3650))
    stage.denied_payload("stolen CI certificate: another repository", "no-grant", stage.ci, "timestamp", stage.timestamp(1, 1), OTHER)
    stage.denied("stolen CI certificate: makes a key", "no-grant", stage.ci, "key", "generate", "--repository", APP, "--role", "timestamp")
    stage.denied("stolen CI certificate: reads the audit log", "no-grant", stage.ci, "audit", "list")
    stage.denied("stolen CI certificate: reloads", "no-grant", stage.ci, "reload")


def rate(stage, version):
    """The next versions, as fast as they go."""
    for released in range(100):
        code, answer = stage.ask(stage.ci, "timestamp", stage.timestamp(version + released, 2))
        if code != 0:
            break
    stage.check(code == 77 and 0 < released < 20, f"{released} more timestamps at once")
    stage.row("stolen CI certificate: signs on and on", f"{released} more versions", answer["error"]["reason"], "rate-limited")


def made_up_certificates(stage):
    stage.say("\nCertificates that name nobody:")
    sign = stage.signing("timestamp", stage.timestamp(4, 2))
    stage.authority.sign("nameless")
    stage.denied("certificate without SAN", "unauthenticated", stage.by_certificate("nameless"), *sign, because="no DNS or URI")
    Authority(stage.dir, "another-ca").sign("imitated", x509.UniformResourceIdentifier("spiffe://acme/ci"))
    stage.turned_away("certificate of another CA, same name", "UnknownIssuer", stage.by_certificate("imitated"), *sign)


def withdrawn_certificate(stage):
    stage.say("\nThe certificate is known to be stolen:")
    caller = "uri:spiffe://acme/ci"
    sign = stage.signing("timestamp", stage.timestamp(5, 2))
    stage.sealward("freeze", "--caller", caller, "--reason-code", "stolen")
    stage.denied("frozen certificate", "frozen", stage.ci, *sign)
    stage.sealward("thaw", "--caller", caller)
    (stage.dir / "denied").write_text(f"certificate {stage.certificate.fingerprint(hashes.SHA256()).hex()}\n")
    stage.check(stage.answer(stage.ci, "whoami")[0] == 0, "before the reload the deny-list is not in force")
    stage.sealward("reload")
    stage.turned_away("deny-listed certificate, after the reload", "deny-list", stage.ci, *sign)
    (stage.dir / "denied").write_text("")
    stage.sealward("reload")


def tokens(stage):
    stage.say("\nTokens:")
    sign = stage.signing("timestamp", stage.timestamp(5, 2))
    issuer = stage.issuer

    def refused(attack, because, **how):
        stage.denied(attack, "unauthenticated", stage.by_token(issuer.token(**how)), *sign, because=because)

    stage.got("stolen CI token, within its five minutes", stage.by_token(issuer.token()), "timestamp", stage.timestamp(4, 2))
    refused("forged token", "signature does not verify", key=issuer.stranger)
    refused("expired token", "expired", exp=1_700_000_000)
    refused("token for another audience", "audience", aud="https://elsewhere.example")
    refused("token of another issuer", "issuer", iss="https://issuer.example")
    refused("token with alg=none and no signature", "algorithm", algorithm="none")
    none = stage.by_token(issuer.token(algorithm="none") + "AA")
    stage.denied("token with alg=none and a signature", "unauthenticated", none, *sign, because="algorithm")
    refused("key confusion: HS256 with the public key", "algorithm", algorithm="HS256")
    stranger = stage.by_token(issuer.token(repository_id="666", repository="evil/app", sub="repo:evil/app:ref:refs/heads/main"))
    stage.denied("good token of another repository", "no-grant", stranger, *sign)
    branch = stage.by_token(issuer.token(ref="refs/heads/evil", sub="repo:acme/app:ref:refs/heads/evil"))
    stage.denied("good token of another branch", "no-grant", branch, *sign)
