"""python-tuf and securesystemslib, asked by the tests: one JSON request per line, one JSON answer per line."""

import hashlib
import json
import sys
from datetime import datetime, timezone

from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import (
    Metadata, MetaFile, Role, Root, Snapshot, TargetFile, Targets, Timestamp,
)

EXPIRES = datetime(2040, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def canonical(text: bytes):
    """The canonical bytes in hexadecimal, or nothing where the reference refuses; and whether a member stood twice."""
    twice = False

    def members(pairs):
        nonlocal twice
        twice = twice or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    try:
        value = json.loads(text.decode("utf-8"), strict=False, object_pairs_hook=members)
        return [encode_canonical(value).encode("utf-8").hex(), twice]
    except Exception:  # whatever the reference raises is a refusal
        return [None, twice]


def op_canonical(request):
    return [canonical(bytes.fromhex(text)) for text in request["texts"]]


def new_signer(kind: str) -> CryptoSigner:
    if kind == "ed25519":
        return CryptoSigner.generate_ed25519()
    if kind == "ecdsa-p256":
        return CryptoSigner.generate_ecdsa()
    if kind == "ecdsa-p384":
        private = ec.generate_private_key(ec.SECP384R1())
        return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))
    return CryptoSigner.generate_rsa(size=int(kind.removeprefix("rsa-pss-")))


def op_keys(request):
    answer = []
    for kind in request["kinds"]:
        signer = new_signer(kind)
        key = signer.public_key
        signature = signer.sign(b"message").signature
        answer.append({"kind": kind, "keyid": key.keyid, "key": key.to_dict(), "signature": signature})
    return answer


def op_key_forms(request):
    """For each written form: its id, and whether a key read from it verifies (only asked where it is a TUF key)."""
    answer = []
    for form in request["forms"]:
        value = json.loads(form["json"])
        key_id = hashlib.sha256(encode_canonical(value).encode("utf-8")).hexdigest()
        verifies = None
        if form["signature"]:
            from securesystemslib.signer import Signature
            key = SSlibKey.from_dict(key_id, dict(value))
            key.verify_signature(Signature(key_id, form["signature"]), b"message")
            verifies = True
        answer.append({"key_id": key_id, "verifies": verifies})
    return answer


def root_of(version, role_signers):
    root = Root(version=version, expires=EXPIRES, consistent_snapshot=True)
    for role, (threshold, signers) in role_signers.items():
        root.roles[role] = Role([], threshold)
        for signer in signers:
            root.add_key(signer.public_key, role)
    return Metadata(root)


def op_chain(_request):
    """Three roots: keys of every algorithm, a threshold that changes, a root key and a timestamp key that are replaced."""
    a, b, c = new_signer("ed25519"), new_signer("ecdsa-p256"), new_signer("rsa-pss-3072")
    d, e = new_signer("ecdsa-p384"), new_signer("rsa-pss-4096")
    targets, snapshot = new_signer("ed25519"), new_signer("ecdsa-p384")
    old, new = new_signer("rsa-pss-2048"), new_signer("ecdsa-p256")

    def online(timestamp):
        return {"targets": (1, [targets]), "snapshot": (1, [snapshot]), "timestamp": (1, [timestamp])}

    plan = [
        ({"root": (2, [a, b, c]), **online(old)}, [a, c]),
        ({"root": (3, [a, b, d, e]), **online(new)}, [a, b, d, e]),
        ({"root": (1, [e]), **online(new)}, [b, d, e]),
    ]
    files = []
    for number, (roles, signers) in enumerate(plan, start=1):
        metadata = root_of(number, roles)
        for signer in signers:
            metadata.sign(signer, append=True)
        files.append(metadata.to_bytes().hex())

    hostile = {"x-control": "\x00\x01\n\x1f\x7f", "cafe\u0301": ["\U0001f600", -(2**63)], "a": 1, "a b": 2, "a!": 3}
    target = TargetFile(0, {"sha256": hashlib.sha256(b"").hexdigest()}, "a file!", {"custom": hostile})
    role_files = {}
    for role, signer, signed in [
        ("targets", targets, Targets(version=4, expires=EXPIRES, targets={"a file!": target})),
        ("snapshot", snapshot, Snapshot(version=5, expires=EXPIRES, meta={"targets.json": MetaFile(4)})),
        ("timestamp", new, Timestamp(version=6, expires=EXPIRES, snapshot_meta=MetaFile(5, 77, {"sha256": "ab" * 32}))),
    ]:
        metadata = Metadata(signed)
        metadata.sign(signer)
        role_files[role] = metadata.to_bytes().hex()
    return {"roots": files, "roles": role_files}


def op_verify(request):
    """Verifies each file under the root of its request, as clients do; answers with the bytes that were verified."""
    root = Metadata.from_bytes(bytes.fromhex(request["root"]))
    metadata = Metadata.from_bytes(bytes.fromhex(request["file"]))
    root.signed.verify_delegate(request["role"], metadata.signed_bytes, metadata.signatures)
    return metadata.signed_bytes.hex()


OPERATIONS = {
    "canonical": op_canonical, "keys": op_keys, "key_forms": op_key_forms, "chain": op_chain, "verify": op_verify,
}

for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(OPERATIONS[request["op"]](request)), flush=True)
