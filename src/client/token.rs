//! The caller's token, from where CI services and clusters put one.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

use super::ClientError;
use crate::fetch::{Fetcher, Url};

/// The environment variable that names a file with a token.
pub const TOKEN_FILE_VARIABLE: &str = "SEALWARD_TOKEN_FILE";
/// The environment variable that holds a token: the name to give to a GitLab `id_tokens` entry.
pub const ID_TOKEN_VARIABLE: &str = "SEALWARD_ID_TOKEN";
/// Where a Kubernetes pod's projected token is looked for.
pub const PROJECTED_TOKEN: &str = "/var/run/secrets/sealward/token";
/// How long a token of GitHub is used before the next one is asked for. They live for five minutes at least.
const GITHUB_REUSE: Duration = Duration::from_secs(60);
/// How long a pipe may take to give a token.
const PIPE_PATIENCE: Duration = Duration::from_secs(30);
/// What the daemon's door takes.
const LONGEST: usize = 16 << 10;

/// Where a token comes from. No form of it shows the token.
#[derive(Clone)]
#[non_exhaustive]
pub enum TokenSource {
    /// A file, read anew for each call, because others rotate it; or a pipe, read once.
    File(PathBuf),
    /// A token that was handed over.
    Given(SecretString),
    /// The token service of a GitHub Actions job with `id-token: write`.
    GithubActions {
        /// `ACTIONS_ID_TOKEN_REQUEST_URL`
        url: Url,
        /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`
        bearer: SecretString,
        /// For whom the token will be.
        audience: String,
    },
}

impl TokenSource {
    /// What this process was given, in this order: the file of `SEALWARD_TOKEN_FILE`, the token in `SEALWARD_ID_TOKEN`
    /// (GitLab), the token service of GitHub Actions, a projected token of Kubernetes in `/var/run/secrets/sealward/token`.
    /// The first that is there counts: when it does not work, no other is tried.
    pub fn from_environment(audience: &str) -> Result<Option<Self>, ClientError> {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        if let Some(path) = std::env::var_os(TOKEN_FILE_VARIABLE).filter(|path| !path.is_empty()) {
            return Ok(Some(Self::File(path.into())));
        }
        if let Some(token) = text(ID_TOKEN_VARIABLE) {
            return Ok(Some(Self::Given(token.into())));
        }
        if let (Some(url), Some(bearer)) =
            (text("ACTIONS_ID_TOKEN_REQUEST_URL"), text("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
        {
            let url = Url::parse(&url)
                .map_err(|error| ClientError::Token { what: format!("ACTIONS_ID_TOKEN_REQUEST_URL: {error}") })?;
            return Ok(Some(Self::GithubActions { url, bearer: bearer.into(), audience: audience.to_owned() }));
        }
        let projected = Path::new(PROJECTED_TOKEN);
        Ok(projected.exists().then(|| Self::File(projected.to_owned())))
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Given(_) => f.write_str("Given"),
            Self::GithubActions { url, audience, .. } => {
                f.debug_struct("GithubActions").field("url", url).field("audience", audience).finish_non_exhaustive()
            }
        }
    }
}

/// A source, and the token that it gave last where it costs something to ask.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    source: TokenSource,
    last: Arc<Mutex<Option<Last>>>,
}

struct Last {
    at: Instant,
    value: MetadataValue<Ascii>,
}

impl fmt::Debug for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Last").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Bearer {
    pub(super) fn new(source: TokenSource) -> Self {
        Self { source, last: Arc::default() }
    }

    /// The value of `authorization` for the next call.
    pub(super) async fn authorization(&self) -> Result<MetadataValue<Ascii>, ClientError> {
        // Boxed: every call of every client has room for this, and few ask.
        match &self.source {
            TokenSource::Given(token) => header(token),
            TokenSource::File(path) if is_file(path)? => header(&read(path)?),
            // What was read from a pipe is gone.
            TokenSource::File(path) => self.reused(Duration::MAX, Box::pin(of_pipe(path, PIPE_PATIENCE))).await,
            TokenSource::GithubActions { url, bearer, audience } => {
                self.reused(GITHUB_REUSE, Box::pin(of_github(url, bearer, audience))).await
            }
        }
    }

    /// The token that was given last, while it is young enough, or another one.
    async fn reused(
        &self,
        reuse: Duration,
        another: impl Future<Output = Result<SecretString, ClientError>>,
    ) -> Result<MetadataValue<Ascii>, ClientError> {
        let mut last = self.last.lock().await;
        if let Some(last) = last.as_ref().filter(|last| last.at.elapsed() < reuse) {
            return Ok(last.value.clone());
        }
        let value = header(&another.await?)?;
        *last = Some(Last { at: Instant::now(), value: value.clone() });
        Ok(value)
    }
}

fn header(token: &SecretString) -> Result<MetadataValue<Ascii>, ClientError> {
    let token = token.expose_secret().trim_ascii();
    let good = (1..=LONGEST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    let refused =
        || ClientError::Token { what: "what stands there is no token: 1 to 16384 characters of one word".to_owned() };
    if !good {
        return Err(refused());
    }
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut value: MetadataValue<Ascii> = text.parse().map_err(|_| refused())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a file with a token can be read by others than its owner, and nothing else keeps them from it: Kubernetes makes
/// its tokens so, in a place that is the pod's own.
pub fn is_open_to_others(path: &Path) -> bool {
    let mounted = ["/var/run/secrets", "/run/secrets"].iter().any(|directory| path.starts_with(directory));
    let mode = || fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.permissions().mode());
    !mounted && mode().is_some_and(|mode| mode & 0o044 != 0)
}

fn is_file(path: &Path) -> Result<bool, ClientError> {
    let failed = |source: io::Error| ClientError::TokenFileUnreadable { path: path.to_owned(), source };
    Ok(fs::metadata(path).map_err(failed)?.is_file())
}

/// Reads a pipe, such as `<(COMMAND)` of a shell. On a thread of its own, which nobody waits for at the end: opening or
/// reading it may never come back.
async fn of_pipe(path: &Path, patience: Duration) -> Result<SecretString, ClientError> {
    let (answer, token) = oneshot::channel();
    let from = path.to_owned();
    thread::spawn(move || drop(answer.send(read(&from))));
    let late = || {
        let source = io::Error::new(io::ErrorKind::TimedOut, "the pipe gave no whole token in time");
        ClientError::TokenFileUnreadable { path: path.to_owned(), source }
    };
    timeout(patience, token).await.map_err(|_| late())?.map_err(|_| late())?
}

fn read(path: &Path) -> Result<SecretString, ClientError> {
    let failed = |source: io::Error| ClientError::TokenFileUnreadable { path: path.to_owned(), source };
    let mut text = Zeroizing::new(String::new());
    File::open(path).map_err(failed)?.take(LONGEST as u64 + 2).read_to_string(&mut text).map_err(failed)?;
    Ok(SecretString::from(text.as_str()))
}

/// Asks as GitHub documents it ("OpenID Connect reference", requesting the JWT).
async fn of_github(url: &Url, bearer: &SecretString, audience: &str) -> Result<SecretString, ClientError> {
    let failed = |what: String| ClientError::Token { what: format!("the token service of GitHub Actions: {what}") };
    let fetcher = Fetcher::new(None).map_err(|error| failed(error.to_string()))?;
    let asked = url.with_parameter("audience", audience);
    let body = Zeroizing::new(fetcher.get(&asked, Some(bearer)).await.map_err(|error| failed(error.to_string()))?);
    /// `{"count": N, "value": "TOKEN"}`
    #[derive(serde::Deserialize)]
    struct Answer {
        value: SecretText,
    }
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| failed("no `value` in its answer".to_owned()))?;
    Ok(answer.value.0)
}

/// Text that is wiped.
struct SecretText(SecretString);

impl<'de> serde::Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJh.eyJz.c2ln";

    #[test]
    fn a_token_is_one_word_and_is_never_shown() {
        let value = header(&format!("{TOKEN}\n").into()).unwrap();
        assert_eq!(value.to_str().unwrap(), format!("Bearer {TOKEN}"));
        assert!(!format!("{value:?}").contains(TOKEN));
        for bad in ["", "\n", "a b", "a\nb", "é", &"x".repeat(LONGEST + 1)] {
            let error = header(&bad.into()).unwrap_err();
            assert!(bad.len() < 3 || !error.to_string().contains(bad), "{error}");
        }
        let url = Url::parse("https://token.example/").unwrap();
        let github = TokenSource::GithubActions { url, bearer: TOKEN.into(), audience: "a".into() };
        for source in [TokenSource::Given(TOKEN.into()), github] {
            assert!(!format!("{:?}", Bearer::new(source)).contains(TOKEN));
        }
    }

    #[tokio::test]
    async fn a_file_is_read_for_each_call() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let bearer = Bearer::new(TokenSource::File(path.clone()));
        assert!(matches!(bearer.authorization().await, Err(ClientError::TokenFileUnreadable { .. })));
        for token in ["one", "two"] {
            fs::write(&path, token).unwrap();
            assert_eq!(bearer.authorization().await.unwrap().to_str().unwrap(), format!("Bearer {token}"));
        }
    }

    fn pipe(path: &Path) {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    #[tokio::test]
    async fn a_pipe_is_read_once_for_all_calls() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        pipe(&path);
        let writer = {
            let path = path.clone();
            thread::spawn(move || fs::write(path, TOKEN).unwrap())
        };
        let bearer = Bearer::new(TokenSource::File(path));
        for _ in 0..3 {
            assert_eq!(bearer.authorization().await.unwrap().to_str().unwrap(), format!("Bearer {TOKEN}"));
        }
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn a_pipe_that_nobody_writes_to_is_not_waited_for_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        pipe(&path);
        let answer = of_pipe(&path, Duration::from_millis(50)).await;
        assert!(matches!(answer, Err(ClientError::TokenFileUnreadable { .. })));
    }

    #[test]
    fn a_token_that_others_can_read_is_told_but_for_those_of_a_pod() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, TOKEN).unwrap();
        for (mode, told) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o644, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_open_to_others(&path), told, "{mode:o}");
        }
        assert!(!is_open_to_others(&directory.path().join("missing")) && !is_open_to_others(directory.path()));
    }
}
