//! `[[oidc]]`: whose tokens count, and every way in which that can be wrong.

use std::path::Path;

use sealward::config::Configuration;
use sealward::oidc::settings::{ClaimName, ClaimPattern, KeySource, SignatureAlgorithm};

use super::{good, least_and, line_of, mistake, mistakes, usual};

const LISTENER: &str = r#"[[listener]]
name = "ci"
kind = "tcp-token"
address = "127.0.0.1:0"
certificate = "c.pem"
key = { file = "k.pem" }
"#;

const PROVIDER: &str = r#"[[oidc]]
name = "github"
issuer = "https://token.actions.githubusercontent.com"
audiences = ["https://signer.example:7443"]
discovery = true
[[oidc.identity]]
name = "release"
claims = { repository_id = "1296269", environment = "release" }
"#;

const GRANT: &str = "[[grant]]\ncallers = [\"oidc:github/release\"]\nverbs = [\"sign\"]\nrepositories = [\"acme/app\"]\nroles = [\"timestamp\"]\n";

const WHO: &str = "one claim that says who this is for good";

fn file(provider: &str) -> String {
    format!("{}{LISTENER}{provider}{GRANT}", usual())
}

fn changed(old: &str, new: &str) -> String {
    assert!(PROVIDER.contains(old), "{old}");
    file(&PROVIDER.replacen(old, new, 1))
}

fn claims(text: &str) -> String {
    changed("{ repository_id = \"1296269\", environment = \"release\" }", text)
}

fn only(configuration: &Configuration) -> &sealward::oidc::settings::ProviderSettings {
    let [provider] = configuration.oidc.as_slice() else { panic!("{:?}", configuration.oidc) };
    provider
}

#[test]
fn a_provider_arrives_with_its_defaults_and_without_a_warning() {
    let configuration = good(&file(PROVIDER));
    assert_eq!(configuration.warnings, Vec::<String>::new());
    let provider = only(&configuration);
    assert_eq!((provider.name.as_str(), provider.clock_skew, &provider.ca), ("github", 60, &None));
    assert_eq!(provider.max_token_lifetime, 86_400);
    assert_eq!(provider.algorithms, [SignatureAlgorithm::Rs256, SignatureAlgorithm::Es256]);
    let KeySource::Discovery(url) = &provider.keys else { panic!("{:?}", provider.keys) };
    assert_eq!(url.to_string(), "https://token.actions.githubusercontent.com/.well-known/openid-configuration");
}

#[test]
fn every_setting_arrives() {
    let provider = r#"[[oidc]]
name = "lab.example"
issuer = "https://lab.example:8443/auth/"
audiences = ["a", "b"]
algorithms = ["EdDSA", "PS384"]
jwks_url = "https://lab.example:8443/keys?x=y"
ca = "tls/ca.pem"
clock_skew = "2m"
max_token_lifetime = "10m"
[[oidc.identity]]
name = "one"
claims = { sub = "s", "/a/b" = ["x", { glob = "v*" }], n = 7, yes = true }
"#;
    let text = least_and(provider);
    let configuration = good(&text);
    let provider = only(&configuration);
    assert_eq!((provider.audiences.as_slice(), provider.clock_skew), (&["a".to_owned(), "b".to_owned()][..], 120));
    assert_eq!(provider.max_token_lifetime, 600);
    assert_eq!(provider.algorithms, [SignatureAlgorithm::EdDsa, SignatureAlgorithm::Ps384]);
    assert_eq!(provider.ca.as_deref(), Some(Path::new("/etc/sealward/tls/ca.pem")));
    assert!(matches!(&provider.keys, KeySource::Url(url) if url.target() == "/keys?x=y"));
    let claim = |name: &str| {
        let name = ClaimName::parse(name).unwrap();
        provider.identities[0].claims.iter().find(|claim| claim.name == name).unwrap().values.clone()
    };
    assert_eq!(claim("sub"), [ClaimPattern::Text("s".into())]);
    assert!(matches!(claim("/a/b").as_slice(), [ClaimPattern::Text(_), ClaimPattern::Glob(_)]));
    assert_eq!((claim("n"), claim("yes")), (vec![ClaimPattern::Number(7)], vec![ClaimPattern::Flag(true)]));
    let discovered = good(&least_and(
        "[[oidc]]\nname = \"x\"\nissuer = \"https://lab.example/auth/\"\naudiences = [\"a\"]\ndiscovery = true\n",
    ));
    let KeySource::Discovery(url) = &only(&discovered).keys else { panic!() };
    assert_eq!(url.target(), "/auth/.well-known/openid-configuration", "one slash, as the specification has it");
    let static_keys =
        least_and("[[oidc]]\nname = \"k\"\nissuer = \"any text\"\naudiences = [\"a\"]\njwks_file = \"keys.json\"\n");
    assert_eq!(only(&good(&static_keys)).keys, KeySource::File("/etc/sealward/keys.json".into()));
}

#[test]
fn what_would_let_anybody_in_is_refused() {
    for (text, what) in [
        (changed("discovery = true", "discovery = true\nalgorithms = [\"none\"]"), "proves nothing"),
        (changed("discovery = true", "discovery = true\nalgorithms = [\"HS256\"]"), "proves nothing"),
        (changed("discovery = true", "discovery = true\nalgorithms = [\"rs256\"]"), "did you mean \"RS256\"?"),
        (changed("discovery = true", "discovery = true\nalgorithms = []"), "an empty list"),
        (changed("audiences = [\"https://signer.example:7443\"]\n", ""), "needs the key `audiences`"),
        (changed("[\"https://signer.example:7443\"]", "[]"), "an empty list"),
        (changed("[\"https://signer.example:7443\"]", "[\"\"]"), "1 to 1024 bytes"),
        (changed("discovery = true", ""), "one of `discovery = true`, `jwks_url` and `jwks_file`"),
        (changed("discovery = true", "discovery = false"), "one of `discovery = true`, `jwks_url` and `jwks_file`"),
        (changed("discovery = true", "discovery = true\njwks_file = \"k\""), "keys have one source"),
        (changed("discovery = true", "jwks_url = \"https://a/\"\njwks_file = \"k\""), "keys have one source"),
        (changed("discovery = true", "jwks_url = \"http://issuer.example/keys\""), "https://HOST"),
        (changed("discovery = true", "jwks_file = \"k\"\nca = \"ca.pem\""), "nothing is fetched"),
        (changed("https://token.actions", "http://token.actions"), "discovery needs an issuer that is https://"),
        (changed("discovery = true", "discovery = true\nclock_skew = \"6m\""), "at most 5m"),
        (changed("discovery = true", "discovery = true\nmax_token_lifetime = \"0s\""), "above 0"),
        (changed("discovery = true", "discovery = true\nmax_token_lifetime = \"367d\""), "1s to 366d"),
        (claims("{ job_workflow_ref = \"acme/shared/.github/workflows/sign.yml@refs/heads/main\" }"), WHO),
        (claims("{ ci_config_ref_uri = \"gitlab.example/acme/app//.gitlab-ci.yml@refs/heads/main\" }"), WHO),
        (claims("{ sub = \"repo:acme/app:ref:refs/heads/main\" }"), WHO),
        (claims("{ sub = [\"s\", \"project_path:acme/app:ref_type:tag:ref:v2.0\"] }"), WHO),
        (claims("{ sub = { glob = \"repo:acme/app:ref:refs/heads/main\" } }"), WHO),
        (claims("{}"), WHO),
        (claims("{ repository = \"acme/app\" }"), WHO),
        (claims("{ repository_id = { glob = \"12*\" } }"), WHO),
        (claims("{ repository_id = [\"1\", { glob = \"12*\" }] }"), WHO),
        (claims("{ \"/kubernetes.io/namespace\" = \"a\" }"), WHO),
        (claims("{ \"/kubernetes.io/serviceaccount/name\" = \"a\" }"), WHO),
        (claims("{ sub = [] }"), "an empty list is matched by nobody"),
        (claims("{ sub = \"s\", ref = { glob = \"**\" } }"), "this matches everything"),
        (claims("{ sub = \"s\", ref = { glob = \"*/**\" } }"), "this matches everything"),
        (claims("{ sub = \"repo:acme/*\" }"), "a pattern is { glob"),
        (claims("{ sub = \"s\", ref = { globs = \"a\" } }"), "did you mean `glob`?"),
        (claims("{ sub = \"s\", ref = {} }"), "needs the key `glob`"),
        (claims("{ sub = \"s\", \"/a~2\" = \"x\" }"), "is no claim"),
        (claims("{ sub = \"s\", \"\" = \"x\" }"), "is no claim"),
        (claims("{ sub = 1.5 }"), "takes a string"),
        (claims("\"sub\""), "takes a table"),
    ] {
        let lines = mistakes(&text);
        assert!(lines.iter().any(|line| line.contains(what)), "{what}: {lines:#?}");
    }
    let stable = "{ \"/kubernetes.io/namespace\" = [\"a\", \"b\"], \"/kubernetes.io/serviceaccount/name\" = \"c\" }";
    assert!(good(&claims(stable)).warnings.is_empty());
}

#[test]
fn names_and_issuers_stand_once() {
    let again = PROVIDER.replace("https://token", "https://other");
    assert!(mistake(&file(&format!("{PROVIDER}{again}"))).contains("[duplicate] two providers are named `github`"));
    let again = PROVIDER.replace("\"github\"", "\"mirror\"");
    let line = mistake(&file(&format!("{PROVIDER}{again}")));
    assert!(line.contains("provider `github` has this issuer already"), "{line}");
    let identity = "[[oidc.identity]]\nname = \"release\"\nclaims = { sub = \"s\" }\n";
    let line = mistake(&file(&format!("{PROVIDER}{identity}")));
    assert!(line.contains("two identities of the provider are named `release`"), "{line}");
    let line = mistake(&changed("\"github\"", "\"git/hub\"").replace("oidc:github/release", "unix:0"));
    assert!(line.contains("[invalid-name]"), "{line}");
}

#[test]
fn a_grant_or_person_names_only_identities_that_are_configured() {
    let text = file(PROVIDER).replace("oidc:github/release", "oidc:guthub/release");
    let line = mistake(&text);
    assert!(line.starts_with(&line_of(&text, "oidc:guthub")), "{line}");
    assert!(
        line.contains("[unknown-reference] `callers`: no [[oidc]] is named `guthub`; did you mean `github`?"),
        "{line}"
    );
    let line = mistake(&file(PROVIDER).replace("oidc:github/release", "oidc:github/releases"));
    assert!(
        line.contains("provider `github` has no [[oidc.identity]] named `releases`; did you mean `release`?"),
        "{line}"
    );
    let person = "[[person]]\nname = \"alice\"\nidentities = [\"oidc:github/alice\"]\n";
    let line = mistake(&format!("{}{person}", file(PROVIDER)));
    assert!(line.contains("has no [[oidc.identity]] named `alice`"), "{line}");
    // A provider with a mistake of its own is there all the same: one mistake, not three.
    let line = mistake(&changed("discovery = true", "discovery = true\nclock_skew = \"1h\""));
    assert!(line.contains("[out-of-range]"), "{line}");
}

#[test]
fn providers_and_identities_that_are_probably_not_meant_are_told() {
    let warning = |text: &str| {
        let mut warnings = good(text).warnings;
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        warnings.remove(0)
    };
    let text = warning(&claims("{ repository_id = \"1296269\" }"));
    assert!(text.contains("[identity-any-job] identity `release` is every job of its repository_id"), "{text}");
    assert!(good(&claims("{ repository_id = \"1\", ref = \"refs/heads/main\" }")).warnings.is_empty());
    for wide in ["ref = { glob = \"refs/**\" }", "ref = { glob = \"refs/heads/*\" }", "environment = { glob = \"*e\" }"]
    {
        let text = warning(&claims(&format!("{{ repository_id = \"1\", {wide} }}")));
        assert!(text.contains("[identity-any-job]"), "{wide}: {text}");
    }
    for narrow in
        ["ref = { glob = \"refs/tags/v*\" }", "job_workflow_ref = { glob = \"acme/s@*\" }", "environment = \"e\""]
    {
        let warnings = good(&claims(&format!("{{ repository_id = \"1\", {narrow} }}"))).warnings;
        assert!(warnings.is_empty(), "{narrow}: {warnings:?}");
    }
    for (wrong, claim) in
        [("repository_id = 1", "repository_id"), ("sub = \"s\", ref_protected = true", "ref_protected")]
    {
        let warnings = good(&claims(&format!("{{ {wrong}, ref = \"refs/heads/main\" }}"))).warnings;
        let wanted = format!("issuers write `{claim}` as text");
        assert!(
            warnings.iter().any(|told| told.contains("[claim-never-matches]") && told.contains(&wanted)),
            "{warnings:?}"
        );
    }
    let nobody = PROVIDER.split("[[oidc.identity]]").next().unwrap();
    let text = warning(&format!("{}{LISTENER}{nobody}", usual()));
    assert!(text.contains("[provider-without-identity]"), "{text}");
    let text = warning(&format!("{}{PROVIDER}", usual()));
    assert!(text.contains("[provider-never-asked]"), "{text}");
    let warnings = good(&format!("{}{PROVIDER}{GRANT}", usual())).warnings.join("\n");
    assert!(warnings.contains("[caller-never-comes]") && warnings.contains("none is for tokens"), "{warnings}");
}
