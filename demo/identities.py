"""Certificates and OIDC tokens for a demonstration: an authority and an issuer that nobody should trust with more."""

import base64
import datetime
import hashlib
import hmac
import json
import os
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

PEM = serialization.Encoding.PEM


def private_pem(key):
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def write_private(path, content):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


class Authority:
    """Signs certificates for an hour."""

    def __init__(self, directory, name):
        self.dir = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = self.builder(self.name, self.key).add_extension(constraints, critical=True).sign(self.key, hashes.SHA256())
        (directory / f"{name}.pem").write_bytes(self.certificate.public_bytes(PEM))

    def builder(self, subject, key):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + datetime.timedelta(hours=1))

    def sign(self, name, *alternative_names):
        """Writes NAME.pem and NAME.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self.builder(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), key)
        if alternative_names:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
        usages = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ExtendedKeyUsageOID.SERVER_AUTH])
        certificate = builder.add_extension(usages, critical=False).sign(self.key, hashes.SHA256())
        (self.dir / f"{name}.pem").write_bytes(certificate.public_bytes(PEM))
        write_private(self.dir / f"{name}.key", private_pem(key))
        return certificate


def encoded(content):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def number(value):
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Issuer:
    """Signs tokens in the shape of GitHub Actions."""

    def __init__(self, issuer, audience):
        self.issuer, self.audience = issuer, audience
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwks(self):
        numbers = self.key.public_key().public_numbers()
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one", "n": number(numbers.n), "e": number(numbers.e)}]}

    def claims(self, **changed):
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": self.audience, "sub": "repo:acme/app:ref:refs/heads/main", "jti": os.urandom(8).hex(),
            "iat": now, "nbf": now - 5, "exp": now + 300, "repository": "acme/app", "repository_id": "74",
            "repository_owner_id": "65", "ref": "refs/heads/main", "event_name": "push",
            "job_workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main", "runner_environment": "github-hosted",
        }
        return {**claims, **changed}

    def token(self, algorithm="RS256", key=None, **changed):
        text = f"{encoded({'typ': 'JWT', 'alg': algorithm, 'kid': 'one'})}.{encoded(self.claims(**changed))}"
        if algorithm == "none":
            return f"{text}."
        if algorithm == "HS256":
            # Key confusion: the public key, which everybody knows, taken for a shared secret.
            public = self.key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            return f"{text}.{encoded(hmac.digest(public, text.encode(), 'sha256'))}"
        digest = hashlib.sha256(text.encode()).digest()
        signature = (key or self.key).sign(digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
        return f"{text}.{encoded(signature)}"
