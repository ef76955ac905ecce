//! The tables and keys that the file may have. The reference in `docs/configuration.md` is held against this list.

/// The keys of one table.
#[derive(Clone, Copy, Debug)]
pub struct TableKeys {
    /// How people name the table, such as `[ledger]` or `[[keystore]] of kind "pkcs11"`.
    pub table: &'static str,
    /// Its keys.
    pub keys: &'static [&'static str],
}

macro_rules! tables {
    ($( $constant:ident $table:literal [ $( $key:literal ),* $(,)? ]; )*) => {
        $( pub(super) const $constant: TableKeys = TableKeys { table: $table, keys: &[ $( $key ),* ] }; )*

        /// Every table with its keys.
        pub const TABLES: &[TableKeys] = &[ $( $constant ),* ];
    };
}

tables! {
    ROOT "the top level" [
        "version", "ledger", "log_key", "log", "clock", "machine", "limits", "observe", "listener", "keystore",
        "repository", "oidc", "person", "grant",
    ];
    LEDGER "[ledger]" ["directory"];
    LOG_KEY "[log_key]" ["path", "unseal"];
    UNSEAL "unseal" ["identity", "passphrase", "work_factor"];
    SECRET "a secret's source" ["file", "credential"];
    LOG "[log]" ["format", "level"];
    CLOCK "[clock]" ["skew", "jump"];
    MACHINE "[machine]" ["check", "id_file"];
    LIMITS "[limits]" [
        "default_deadline", "max_connections", "connections_per_caller", "requests_per_connection",
        "requests_per_caller", "bytes_in_flight", "answer_patience", "stream_idle", "batch_items", "request_rate_per_caller",
        "signature_rate_per_key", "denial_leaves_per_minute",
    ];
    RATE "rate" ["per_minute", "burst"];
    OBSERVE "[observe]" ["address", "path"];
    LISTENER_UNIX "[[listener]] of kind \"unix\"" ["name", "kind", "activation", "path", "mode", "group"];
    LISTENER_MTLS "[[listener]] of kind \"tcp-mtls\"" [
        "name", "kind", "activation", "address", "certificate", "key", "client_ca", "crls", "unknown_revocation",
        "deny_list",
    ];
    LISTENER_TOKEN "[[listener]] of kind \"tcp-token\"" [
        "name", "kind", "activation", "address", "certificate", "key",
    ];
    KEYSTORE_SOFTWARE "[[keystore]] of kind \"software\"" ["name", "kind", "queue_limit", "directory", "unseal"];
    KEYSTORE_PKCS11 "[[keystore]] of kind \"pkcs11\"" [
        "name", "kind", "queue_limit", "module", "token_label", "token_serial", "pin", "environment", "worker",
        "sessions",
    ];
    REPOSITORY "[[repository]]" [
        "name", "pattern", "require_root", "require_snapshot_bytes", "max_keys", "destroy_delay", "role_sets", "role",
    ];
    ROLE "[repository.role.NAME]" [
        "custody", "max_expiry", "max_payload_bytes", "max_version_step", "first_listed_max", "max_supersedes", "release_rate",
        "cryptoperiod", "max_signatures", "approvals", "approval_expiry", "max_pending", "keystore", "algorithm", "keystores",
        "algorithms", "max_pending_keys", "unguarded",
    ];
    RELEASE_RATE "release_rate" ["per_hour", "burst"];
    CRYPTOPERIOD "cryptoperiod" ["warn", "stage", "refuse"];
    MAX_SIGNATURES "max_signatures" ["warn", "stage", "refuse"];
    OIDC "[[oidc]]" [
        "name", "issuer", "audiences", "algorithms", "discovery", "jwks_url", "jwks_file", "ca", "clock_skew",
        "max_token_lifetime", "identity",
    ];
    OIDC_IDENTITY "[[oidc.identity]]" ["name", "claims"];
    CLAIM_PATTERN "a claim's pattern" ["glob"];
    PERSON "[[person]]" ["name", "identities"];
    GRANT "[[grant]]" ["callers", "verbs", "repositories", "roles"];
}

/// Keys whose value would be a secret if it were a plain string.
const SECRET_KEYS: [&str; 8] =
    ["pin", "so_pin", "user_pin", "passphrase", "password", "private_key", "secret", "identity"];

/// Whether people would write a secret after this key.
pub(super) fn names_a_secret(key: &str) -> bool {
    SECRET_KEYS.iter().any(|secret| key.eq_ignore_ascii_case(secret))
}

/// The known word that the writer probably meant: at most a third of its letters away.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const LONGEST: usize = 64;
    if word.chars().nth(LONGEST).is_some() {
        return None;
    }
    let folded = word.to_lowercase().replace('-', "_");
    let scored = known.into_iter().map(|candidate| (distance(&folded, &candidate.replace('-', "_")), candidate));
    let (score, candidate) = scored.min_by_key(|(score, _)| *score)?;
    (score <= candidate.chars().count().div_ceil(3)).then_some(candidate)
}

/// As [`nearest`], as the end of a sentence; empty where nothing is near.
pub(super) fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(word, known).map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// The known word that this one is with a letter or two wrong. For words that may be meant as they are: one with a digit
/// or a separator is.
pub(super) fn misspelt<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let known = nearest(word, known)?;
    let wrong = distance(&word.to_lowercase(), known);
    (word != known && word.bytes().all(|byte| byte.is_ascii_alphabetic()) && wrong <= (known.len() / 3).min(2))
        .then_some(known)
}

/// Tables of which a file has several, so that their headers have double brackets.
pub(super) const LISTS: [&str; 7] = ["listener", "keystore", "repository", "person", "grant", "oidc", "oidc.identity"];

/// Which other table has a key of this name.
pub(super) fn home_of(key: &str) -> Option<&'static TableKeys> {
    TABLES.iter().find(|table| table.keys.contains(&key))
}

/// Edits (insert, delete, replace, swap of neighbours) between two short words.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (row, &l) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, &r) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, column) + usize::from(l != r)).min(at(&last, column + 1) + 1);
            best = best.min(at(&line, column) + 1);
            let swapped = column > 0 && previous == Some(r) && right.get(column - 1) == Some(&l);
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            line.push(best);
        }
        before_last = std::mem::replace(&mut last, line);
        previous = Some(l);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_the_key_that_was_meant() {
        let role = |word: &str| nearest(word, ROLE.keys.iter().copied());
        assert_eq!(role("max_expirey"), Some("max_expiry"));
        assert_eq!(role("custdoy"), Some("custody"));
        assert_eq!(role("Max-Expiry"), Some("max_expiry"));
        assert_eq!(role("rate"), None);
        assert_eq!(role(&"k".repeat(100_000)), None);
        assert_eq!(role(""), None);
    }

    #[test]
    fn distance_counts_edits() {
        for (left, right, edits) in [("", "", 0), ("", "abc", 3), ("ab", "ba", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }
}
