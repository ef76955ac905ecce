//! What a root must not do, and what it had better not do.

use std::collections::BTreeMap;

use crate::domain::law::ceremony::{check_expiry, check_separation};
use crate::domain::name::Role;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::time::Instant;
use crate::tuf::root::RootFile;

/// The roles that every root has.
pub(super) const TOP_LEVEL: [Role; 4] = [Role::Root, Role::Targets, Role::Snapshot, Role::Timestamp];
/// Beyond, an expiry no longer says that somebody looks after the root.
const LONG_DAYS: i64 = 5 * 366;
const DAY: i64 = 24 * 60 * 60;

/// Refuses a root that nobody should sign, whoever made it.
///
/// Denials: `expired`, `role-set`, `duplicate-key`.
pub(super) fn check(root: &RootFile, now: Instant) -> Result<(), Denial> {
    check_expiry(root.root(), now)?;
    check_separation(root.root())?;
    TOP_LEVEL.iter().try_for_each(|role| check_distinct(root, role))
}

/// Two key ids of one public key look like two people.
fn check_distinct(root: &RootFile, role: &Role) -> Result<(), Denial> {
    let mut seen: BTreeMap<KeyId, &str> = BTreeMap::new();
    for (key_id, key) in root.public_keys(role) {
        if let Some(other) = seen.insert(key.id(), key_id) {
            let detail = format!("{role} lists one public key under two key ids, {other} and {key_id}");
            return Err(Denial::new(Reason::DuplicateKey, detail));
        }
    }
    Ok(())
}

/// What people should know before they sign.
pub(super) fn warnings(root: &RootFile, now: Instant) -> Vec<String> {
    let mut warnings = Vec::new();
    let read = root.root();
    if let Some(holders) = read.roles.get(&Role::Root) {
        let keys = holders.keys.len();
        if holders.threshold == 1 {
            warnings.push("root has threshold 1: one key alone makes every later root".to_owned());
        }
        if u64::try_from(keys).is_ok_and(|keys| keys == holders.threshold) {
            warnings.push(format!(
                "root needs all of its {keys} keys: when one is lost, no root follows and every client must be rebuilt"
            ));
        }
        let targets = read.roles.get(&Role::Targets).into_iter().flat_map(|role| role.keys.keys());
        if targets.into_iter().any(|key| holders.keys.contains_key(key)) {
            warnings
                .push("a key is listed for root and for targets: it can sign targets in ceremonies only".to_owned());
        }
    }
    for role in TOP_LEVEL {
        let listed = root.listed_key_ids(&role);
        let readable = root.public_keys(&role).len();
        if readable < listed {
            warnings.push(format!("{role} lists {} keys that sealward cannot read", listed - readable));
        }
    }
    let days = read.expires.seconds_since(now) / DAY;
    if days > LONG_DAYS {
        warnings.push(format!("it expires in {days} days: nobody will notice when it is no longer looked after"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::testing::{TestKey, root};
    use crate::tuf::canonical::encode;

    const NOW: Instant = Instant::from_unix(1_800_000_000);

    #[test]
    fn what_costs_a_repository_its_root_is_warned_about() {
        let [a, b, c, d] = TestKey::four();
        assert_eq!(warnings(&root(1, 2, &[&a, &b, &c], &d), NOW), Vec::<String>::new());
        assert!(warnings(&root(1, 3, &[&a, &b, &c], &d), NOW)[0].contains("all of its 3 keys"));
        assert!(warnings(&root(1, 1, &[&a, &b], &d), NOW)[0].contains("threshold 1"));
        assert!(warnings(&root(1, 2, &[&a, &b, &c], &d), Instant::from_unix(0))[0].contains("expires in 21915 days"));
        let shared = root(1, 2, &[&a, &b, &d], &d);
        assert!(warnings(&shared, NOW)[0].contains("for root and for targets"));
        assert_eq!(check(&shared, NOW).unwrap_err().reason, Reason::RoleSet);
    }

    #[test]
    fn a_key_under_two_ids_and_a_key_of_another_kind_are_told() {
        let [a, b, c, d] = TestKey::four();
        let text = String::from_utf8(encode(&root(1, 2, &[&a, &b, &c], &d).envelope().value)).unwrap();
        let object = String::from_utf8(encode(&crate::tuf::key_id::default_object(d.public()))).unwrap();
        let twice = text
            .replacen("\"keys\":{", &format!("\"keys\":{{\"!\":{object},"), 1)
            .replace("\"timestamp\":{\"keyids\":[", "\"timestamp\":{\"keyids\":[\"!\",");
        let denial = check(&RootFile::from_signed(twice.as_bytes()).unwrap(), NOW).unwrap_err();
        assert_eq!(denial.reason, Reason::DuplicateKey);
        assert!(denial.detail.starts_with("timestamp lists one public key"), "{denial}");
        let other = twice.replace(&format!("\"!\":{object}"), "\"!\":{\"keytype\":\"?\"}");
        let other = RootFile::from_signed(other.as_bytes()).unwrap();
        assert!(check(&other, NOW).is_ok());
        assert_eq!(warnings(&other, NOW), ["timestamp lists 1 keys that sealward cannot read"]);
    }
}
