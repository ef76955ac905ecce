//! What targets metadata says about the roles that it delegates to, as far as the law weighs it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::name::{Role, Sha256Digest};
use super::public_key::KeyId;
use super::root::RoleKeys;

/// The `delegations` of a piece of targets metadata (TUF specification 1.0.34, section 4.5): who signs for which role.
/// Paths are not weighed; they are part of the digest, so that a change of them is a change of the delegations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegations {
    digest: Sha256Digest,
    /// Distinct sets of signers: sixteen thousand hash bins share one.
    signers: Vec<RoleKeys>,
    /// Per role, which of them.
    roles: BTreeMap<Role, usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bins: Option<Bins>,
}

/// Succinct roles (TAP 15): bins of one name prefix that one set of signers shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bins {
    /// The bins' common prefix.
    pub name_prefix: String,
    /// There are 2 to the power of this many, 1 to 32.
    pub bit_length: u32,
    /// Who signs for each of them.
    pub signers: RoleKeys,
}

impl Delegations {
    /// From what was read: the digest of the member's canonical bytes, and the signers of each role that has a name of
    /// ours. A role of another name never signs here.
    pub fn new(digest: Sha256Digest, named: impl IntoIterator<Item = (Role, RoleKeys)>, bins: Option<Bins>) -> Self {
        let mut signers: Vec<RoleKeys> = Vec::new();
        let mut roles = BTreeMap::new();
        for (role, keys) in named {
            // Neighbours are alike where there are many.
            let at = signers.iter().rposition(|known| *known == keys).unwrap_or_else(|| {
                signers.push(keys);
                signers.len() - 1
            });
            roles.insert(role, at);
        }
        Self { digest, signers, roles, bins }
    }

    /// SHA-256 of the member's canonical bytes.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// The keys and the threshold of a delegated role; `None` when it is not delegated to here.
    pub fn signers_of(&self, role: &Role) -> Option<&RoleKeys> {
        let named = self.roles.get(role).and_then(|at| self.signers.get(*at));
        named.or_else(|| self.bins.as_ref().filter(|bins| bins.holds(role)).map(|bins| &bins.signers))
    }

    /// Whether a key is listed for any role.
    pub fn list(&self, key: &KeyId) -> bool {
        let bins = self.bins.iter().map(|bins| &bins.signers);
        self.signers.iter().chain(bins).any(|signers| signers.keys.contains_key(key))
    }

    /// The TUF key id under which a key is listed for a role.
    pub fn key_id_for(&self, role: &Role, key: &KeyId) -> Option<&str> {
        self.signers_of(role)?.keys.get(key).map(String::as_str)
    }

    /// Whether every role that is delegated to is among these: then nobody unknown delegates further.
    pub fn are_all(&self, known: impl Fn(&Role) -> bool) -> bool {
        self.bins.is_none() && self.roles.keys().all(known)
    }
}

impl Bins {
    /// Whether this is the name of a bin: prefix, `-`, and the bin's number in as many hexadecimal digits as the last needs.
    fn holds(&self, role: &Role) -> bool {
        let Some(number) =
            role.as_str().strip_prefix(self.name_prefix.as_str()).and_then(|rest| rest.strip_prefix('-'))
        else {
            return false;
        };
        let digits = usize::try_from(self.bit_length.div_ceil(4)).unwrap_or(usize::MAX);
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        number.len() == digits
            && number.bytes().all(lower_hex)
            && u64::from_str_radix(number, 16).is_ok_and(|bin| bin >> self.bit_length == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signers(threshold: u64) -> RoleKeys {
        RoleKeys { threshold, keys: BTreeMap::new() }
    }

    #[test]
    fn alike_signers_are_kept_once() {
        let role = |n: u32| format!("bin-{n}").parse::<Role>().unwrap();
        let many = (0..1000).map(|n| (role(n), signers(1 + u64::from(n == 500))));
        let delegations = Delegations::new(Sha256Digest::of(b"x"), many, None);
        assert_eq!(delegations.signers.len(), 2);
        assert_eq!(delegations.signers_of(&role(500)).unwrap().threshold, 2);
        assert_eq!(delegations.signers_of(&role(501)).unwrap().threshold, 1);
        assert_eq!(delegations.signers_of(&role(1000)), None);
        let text = serde_json::to_string(&delegations).unwrap();
        assert_eq!(serde_json::from_str::<Delegations>(&text).unwrap(), delegations);
    }

    #[test]
    fn bins_have_the_names_of_tap_15() {
        for (bits, good, bad) in [
            (1, "b-1", ["b-2", "b-01"]),
            (4, "b-f", ["b-10", "b-F"]),
            (5, "b-1f", ["b-20", "b-f"]),
            (32, "b-ffffffff", ["b-fffffffff", "b-"]),
        ] {
            let bins = Bins { name_prefix: "b".to_owned(), bit_length: bits, signers: signers(1) };
            assert!(bins.holds(&good.parse().unwrap()), "{bits} {good}");
            for bad in bad.into_iter().chain(["c-0", "b", "b-+1"]) {
                assert!(bad.parse().map_or(true, |role| !bins.holds(&role)), "{bits} {bad}");
            }
        }
    }
}
