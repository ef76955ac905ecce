//! Tokens in the exact shapes of GitHub Actions, GitLab and Kubernetes, and everything that is nearly one; against a real
//! issuer over HTTPS on this machine.

// clippy.toml lets tests stop at the first surprise; their helpers are no tests to clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, unreachable_pub)] // of what the test crates share

#[path = "support/issuer.rs"]
mod issuer;
#[path = "oidc/keys.rs"]
mod keys;
#[path = "support/pki.rs"]
mod pki;
#[path = "oidc/tokens.rs"]
mod tokens;

use std::fs;

use sealward::config::{Configuration, parse};
use sealward::domain::caller::Caller;
use sealward::domain::time::Instant;
use sealward::oidc::{Bearers, Refusal};
use serde_json::Value;

use issuer::{Pages, Signer};
use pki::Authority;

/// For whom tokens are in these tests.
const US: &str = "https://signer.example:7443";

/// An issuer, its keys, and providers over it that were read from a configuration.
struct Scene {
    directory: tempfile::TempDir,
    pages: Pages,
    rsa: Signer,
    ec: Signer,
    bearers: Bearers,
}

impl Scene {
    /// GitHub by a JWK set's address, GitLab by discovery, Kubernetes by a file. `{url}` and `{dir}` are filled in.
    fn new() -> Self {
        Self::with(PROVIDERS, |_| {})
    }

    /// Inside a runtime; `prepare` may change what the issuer publishes before it is asked.
    fn with(providers: &str, prepare: impl FnOnce(&Self)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new(directory.path(), "ca");
        let pages = Pages::start(directory.path(), &authority);
        let (rsa, ec) = (Signer::rsa("rsa-1"), Signer::p256("ec-1"));
        let scene = Self { pages, rsa, ec, bearers: Bearers::default(), directory };
        scene.pages.publish(&[&scene.rsa, &scene.ec]);
        scene.pages.publish_discovery();
        let keys = issuer::jwks(&[&scene.rsa]).to_string();
        fs::write(scene.directory.path().join("cluster.json"), keys).unwrap();
        prepare(&scene);
        scene.install(providers).unwrap();
        scene
    }

    fn configuration(&self, providers: &str) -> Result<Configuration, String> {
        let text = format!("{LEAST}{providers}").replace("{url}", &self.pages.address());
        let file = self.directory.path().join("sealward.toml");
        parse(&text, file.to_str().unwrap()).map_err(|errors| errors.to_string())
    }

    fn install(&self, providers: &str) -> Result<(), String> {
        let configuration = self.configuration(providers)?;
        let read = |path: &std::path::Path| fs::read(path).map_err(|error| error.to_string());
        self.bearers.install(Bearers::prepare(&configuration.oidc, &read).map_err(|error| error.to_string())?);
        Ok(())
    }

    async fn of(&self, token: &str) -> Result<Caller, Refusal> {
        self.bearers.identify(token, Instant::from_unix(issuer::now())).await
    }

    /// The identities that a token of the RSA key has.
    async fn identities(&self, claims: &Value) -> Vec<String> {
        match self.of(&self.rsa.token(claims)).await {
            Ok(Caller::Token { identities, .. }) => identities,
            other => panic!("{other:?}: {claims}\n{:#?}", self.bearers.issuers()),
        }
    }

    async fn refusal(&self, token: &str) -> Refusal {
        self.of(token).await.expect_err(token)
    }
}

const LEAST: &str = r#"version = 1
[ledger]
directory = "ledger"
[log_key]
unseal = { identity = { file = "identity" } }
[[listener]]
name = "local"
kind = "unix"
path = "sock"
"#;

const PROVIDERS: &str = r#"
[[oidc]]
name = "github"
issuer = "https://token.actions.githubusercontent.com"
audiences = ["https://signer.example:7443"]
jwks_url = "{url}/keys"
ca = "ca.pem"

[[oidc.identity]]
name = "release"
claims = { repository_id = "1296269", environment = "release", ref = { glob = "refs/tags/v*" } }

[[oidc.identity]]
name = "shared-workflow"
claims = { repository_id = ["1296269", "1296270"], job_workflow_ref = "acme/shared/.github/workflows/sign.yml@refs/heads/main" }

[[oidc.identity]]
name = "other"
claims = { repository_id = ["1", "2"], ref = "refs/heads/main" }

[[oidc]]
name = "gitlab"
issuer = "{url}"
audiences = ["https://signer.example:7443"]
discovery = true
ca = "ca.pem"

[[oidc.identity]]
name = "release"
claims = { project_id = "20", ref_protected = "true", ref_type = "tag", groups_direct = ["acme/release", "acme/ops"] }

[[oidc]]
name = "cluster"
issuer = "https://kubernetes.default.svc.cluster.local"
audiences = ["https://signer.example:7443"]
algorithms = ["RS256"]
jwks_file = "cluster.json"

[[oidc.identity]]
name = "signer"
claims = { "/kubernetes.io/namespace" = "release", "/kubernetes.io/serviceaccount/name" = ["signer", "backup"] }

[[oidc.identity]]
name = "by-uid"
claims = { "/kubernetes.io/serviceaccount/uid" = "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" }
"#;

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";
