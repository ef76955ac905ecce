//! An issuer of tokens on this machine: HTTPS pages, keys, and tokens in the shapes of GitHub, GitLab and Kubernetes.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding, RsaKeyPair,
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use der::Decode as _;
use der::asn1::UintRef;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use super::pki::{Authority, dns};

/// What GitHub writes into `iss`.
pub const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// A server of pages over TLS, at `https://localhost:PORT`.
pub struct Pages {
    port: u16,
    pages: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Pages {
    /// Starts it with a certificate of the authority, made in the directory.
    pub fn start(directory: &Path, authority: &Authority) -> Self {
        authority.sign(directory, "issuer-host", vec![dns("localhost")]);
        let chain: Vec<_> =
            CertificateDer::pem_file_iter(directory.join("issuer-host.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(directory.join("issuer-host.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let tls = Arc::new(tls);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let started =
            Self { port: listener.local_addr().unwrap().port(), pages: Arc::default(), requests: Arc::default() };
        let (pages, requests) = (Arc::clone(&started.pages), Arc::clone(&started.requests));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, pages, requests) = (Arc::clone(&tls), Arc::clone(&pages), Arc::clone(&requests));
                std::thread::spawn(move || drop(answer(stream, tls, &pages, &requests)));
            }
        });
        started
    }

    pub fn address(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A whole answer, from its status line on.
    pub fn put(&self, path: &str, answer: impl Into<Vec<u8>>) {
        self.pages.lock().unwrap().insert(path.to_owned(), answer.into());
    }

    /// A page of JSON.
    pub fn put_json(&self, path: &str, body: &Value) {
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        self.put(path, head + &body);
    }

    /// Publishes keys at `/keys`.
    pub fn publish(&self, keys: &[&Signer]) {
        self.put_json("/keys", &jwks(keys));
    }

    /// Publishes a discovery document about `/keys`.
    pub fn publish_discovery(&self) {
        let address = self.address();
        let document = json!({
            "issuer": address, "jwks_uri": format!("{address}/keys"), "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
        });
        self.put_json("/.well-known/openid-configuration", &document);
    }

    /// Requests that began with this, such as `GET /keys`, as they came in.
    pub fn requests(&self, start: &str) -> Vec<String> {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with(start)).cloned().collect()
    }
}

fn answer(
    mut stream: TcpStream,
    tls: Arc<rustls::ServerConfig>,
    pages: &Mutex<HashMap<String, Vec<u8>>>,
    requests: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut connection = rustls::ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut stream = rustls::Stream::new(&mut connection, &mut stream);
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 64 << 10 {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let page = pages.lock().unwrap().get(path.split('?').next().unwrap_or_default()).cloned();
    requests.lock().unwrap().push(request);
    let page = page.unwrap_or_else(|| b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec());
    stream.write_all(&page)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// RFC 8017, appendix A.1.1.
#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    n: UintRef<'a>,
    e: UintRef<'a>,
}

/// A key of an issuer.
pub struct Signer {
    pub id: String,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl Signer {
    /// 2048 bits.
    pub fn rsa(id: &str) -> Self {
        Self { id: id.to_owned(), key: Key::Rsa(RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap()) }
    }

    pub fn p256(id: &str) -> Self {
        Self { id: id.to_owned(), key: Key::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()) }
    }

    pub fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Rsa(_) => "RS256",
            Key::P256(_) => "ES256",
        }
    }

    /// The public half, as issuers publish it.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let mut jwk = match &self.key {
            Key::Rsa(pair) => {
                let public = RsaPublicKey::from_der(pair.public_key().as_ref()).unwrap();
                json!({ "kty": "RSA", "n": text(public.n.as_bytes()), "e": text(public.e.as_bytes()) })
            }
            Key::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]) })
            }
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm());
        jwk
    }

    /// A token with these claims, in the usual header.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.algorithm(), "kid": self.id, "typ": "JWT" }), claims)
    }

    /// A token with whatever header.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = Base64UrlUnpadded::encode_string(&self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.key {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &'static dyn RsaEncoding = &RSA_PKCS1_SHA256;
                pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Key::P256(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
        }
    }
}

/// The first two parts.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// A JWK set.
pub fn jwks(keys: &[&Signer]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() })
}

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// As the reference of GitHub's OpenID Connect documentation shows it.
pub fn github(audience: &str) -> Value {
    json!({
        "jti": "2a0f1c6e-31d4-4d0a-a7b6-3f5a9f6f1f0e",
        "sub": "repo:acme/app:environment:release",
        "aud": audience,
        "ref": "refs/tags/v1.4.0",
        "sha": "b7f6c1f0d8c3a6d07ea0a1fd8be0a0a2c0de5678",
        "repository": "acme/app",
        "repository_owner": "acme",
        "repository_owner_id": "4242",
        "run_id": "9876543210",
        "run_number": "17",
        "run_attempt": "1",
        "repository_visibility": "private",
        "repository_id": "1296269",
        "actor_id": "99",
        "actor": "octocat",
        "workflow": "release",
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
        "ref_protected": "true",
        "ref_type": "tag",
        "environment": "release",
        "workflow_ref": "acme/app/.github/workflows/release.yml@refs/tags/v1.4.0",
        "workflow_sha": "b7f6c1f0d8c3a6d07ea0a1fd8be0a0a2c0de5678",
        "job_workflow_ref": "acme/shared/.github/workflows/sign.yml@refs/heads/main",
        "job_workflow_sha": "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
        "runner_environment": "github-hosted",
        "enterprise_id": "7",
        "enterprise": "acme-inc",
        "iss": GITHUB,
        "nbf": now() - 600,
        "exp": now() + 300,
        "iat": now(),
    })
}

/// As GitLab's documentation of ID token authentication shows it.
pub fn gitlab(issuer: &str, audience: &str) -> Value {
    json!({
        "namespace_id": "72",
        "namespace_path": "acme",
        "project_id": "20",
        "project_path": "acme/app",
        "user_id": "1",
        "user_login": "sample-user",
        "user_email": "sample-user@acme.example",
        "user_identities": [
            { "provider": "github", "extern_uid": "2435223452345" },
            { "provider": "bitbucket", "extern_uid": "john.smith" },
        ],
        "pipeline_id": "574",
        "pipeline_source": "push",
        "job_id": "302",
        "ref": "v2.0",
        "ref_type": "tag",
        "ref_path": "refs/tags/v2.0",
        "ref_protected": "true",
        "groups_direct": ["acme", "acme/release"],
        "environment": "release",
        "environment_protected": "true",
        "deployment_tier": "production",
        "deployment_action": "start",
        "runner_id": 1,
        "runner_environment": "self-hosted",
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "project_visibility": "private",
        "ci_config_ref_uri": "gitlab.example/acme/app//.gitlab-ci.yml@refs/tags/v2.0",
        "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
        "iss": issuer,
        "iat": now(),
        "nbf": now() - 5,
        "exp": now() + 3600,
        "sub": "project_path:acme/app:ref_type:tag:ref:v2.0",
        "aud": audience,
    })
}

/// As the API server writes a bound service account's token.
pub fn kubernetes(issuer: &str, audience: &str) -> Value {
    json!({
        "aud": [audience],
        "exp": now() + 3600,
        "iat": now(),
        "iss": issuer,
        "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
        "kubernetes.io": {
            "namespace": "release",
            "node": { "name": "worker-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1" },
            "pod": { "name": "signer-7f9c", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3" },
            "serviceaccount": { "name": "signer", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" },
        },
        "nbf": now(),
        "sub": "system:serviceaccount:release:signer",
    })
}
