//! Grants: caller x verb x role x repository. No grant, no answer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::caller::{Caller, CallerPattern};
use super::name::{Pattern, RepositoryName, Role};
use super::person::Persons;

/// What a caller may be granted. Reading public facts is a grant of its own, so that nobody learns what exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verb {
    /// Sign, SignBatch, SignStream.
    Sign,
    /// Explain.
    Explain,
    /// GetPublicKey, GetKey, ListKeys, GetRoot, GetReleased.
    Read,
    /// Together with `sign`: signing targets whose `delegations` differ from those of the head.
    Delegate,
    /// Approve and Reject what an attended role waits for, and acts of two operators.
    Approve,
    /// GenerateKey, Rotate, Retire, Destroy.
    ManageKeys,
    /// StageRoot, PublishRoot, WithdrawRoot, SeedGuard, RecoverGuard.
    ManageRoots,
    /// Freeze and Thaw.
    Freeze,
    /// Reload and ResolveLatch.
    Operate,
    /// GetCheckpoint, ListLeaves, ProveInclusion, ProveConsistency.
    Audit,
    /// Status.
    Status,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 11] = [
        Self::Sign,
        Self::Explain,
        Self::Read,
        Self::Delegate,
        Self::Approve,
        Self::ManageKeys,
        Self::ManageRoots,
        Self::Freeze,
        Self::Operate,
        Self::Audit,
        Self::Status,
    ];

    /// The name in the configuration, in leaves and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Explain => "explain",
            Self::Read => "read",
            Self::Delegate => "delegate",
            Self::Approve => "approve",
            Self::ManageKeys => "manage-keys",
            Self::ManageRoots => "manage-roots",
            Self::Freeze => "freeze",
            Self::Operate => "operate",
            Self::Audit => "audit",
            Self::Status => "status",
        }
    }

    /// What a grant of the verb is held against.
    pub fn scope(self) -> Scope {
        match self {
            Self::Sign
            | Self::Explain
            | Self::Delegate
            | Self::Approve
            | Self::ManageKeys
            | Self::ManageRoots
            | Self::Freeze => Scope::Role,
            Self::Read => Scope::Repository,
            Self::Operate | Self::Audit | Self::Status => Scope::Daemon,
        }
    }

    /// Whether the verb is about one repository. `operate`, `audit` and `status` are about the whole daemon: a grant that
    /// is limited to some repositories does not give them.
    pub fn is_per_repository(self) -> bool {
        self.scope() != Scope::Daemon
    }
}

/// What a verb is about, and so which parts of a grant decide whether it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A role of a repository: both patterns count.
    Role,
    /// A repository, whatever the role.
    Repository,
    /// The whole daemon: only a grant over `**` gives it.
    Daemon,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Verb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|verb| verb.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|verb| verb.name()).collect();
            format!("unknown verb; known are {}", known.join(", "))
        })
    }
}

/// One line of the configuration's grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Any of these callers,
    pub callers: Vec<CallerPattern>,
    /// may do any of these,
    pub verbs: Vec<Verb>,
    /// in any of these repositories,
    pub repositories: Vec<Pattern>,
    /// for any of these roles. A wildcard here reaches delegated roles and, for `*`, targets.
    pub roles: Vec<Pattern>,
}

/// All grants of the daemon. Empty grants allow nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    lines: Vec<Grant>,
    persons: Persons,
}

impl Grants {
    /// From the configuration's lines, and the persons that they may name.
    pub fn new(lines: Vec<Grant>, persons: Persons) -> Self {
        Self { lines, persons }
    }

    /// The lines.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.lines.iter()
    }

    /// Who is whom.
    pub fn persons(&self) -> &Persons {
        &self.persons
    }

    /// The lines that mean this caller.
    pub fn of(&self, caller: &Caller) -> impl Iterator<Item = &Grant> {
        self.lines.iter().filter(move |grant| grant.callers.iter().any(|pattern| self.persons.means(pattern, caller)))
    }

    /// Whether the caller may do this for a role of a repository.
    pub fn allow_role(&self, caller: &Caller, verb: Verb, repository: &RepositoryName, role: &Role) -> bool {
        self.matching(caller, verb).any(|grant| {
            grant.repositories.iter().any(|pattern| pattern.matches(repository.as_str()))
                && grant.roles.iter().any(|pattern| pattern.matches(role.as_str()))
        })
    }

    /// Whether the caller may do this in a repository, whatever the role.
    pub fn allow_repository(&self, caller: &Caller, verb: Verb, repository: &RepositoryName) -> bool {
        self.matching(caller, verb)
            .any(|grant| grant.repositories.iter().any(|pattern| pattern.matches(repository.as_str())))
    }

    /// Whether the caller may do what concerns the whole daemon: only a grant over all repositories gives it.
    pub fn allow_daemon(&self, caller: &Caller, verb: Verb) -> bool {
        self.matching(caller, verb).any(|grant| grant.repositories.iter().any(|pattern| pattern.as_str() == "**"))
    }

    /// Whether the caller may do this for every role of a repository, those that do not exist yet among them.
    pub fn allow_whole_repository(&self, caller: &Caller, verb: Verb, repository: &RepositoryName) -> bool {
        self.matching(caller, verb).any(|grant| {
            grant.repositories.iter().any(|pattern| pattern.matches(repository.as_str()))
                && grant.roles.iter().any(|pattern| pattern.as_str() == "**")
        })
    }

    /// Whether the caller may do this for every role of every repository.
    pub fn allow_everything(&self, caller: &Caller, verb: Verb) -> bool {
        let all = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.as_str() == "**");
        self.matching(caller, verb).any(|grant| all(&grant.repositories) && all(&grant.roles))
    }

    /// Whether the caller may do this for a role of every repository there is: one grant over all of them gives it.
    pub fn allow_everywhere(&self, caller: &Caller, verb: Verb, role: &Role) -> bool {
        self.matching(caller, verb).any(|grant| {
            grant.repositories.iter().any(|pattern| pattern.as_str() == "**")
                && grant.roles.iter().any(|pattern| pattern.matches(role.as_str()))
        })
    }

    /// Whether the caller may do this anywhere at all.
    pub fn allow_anything(&self, caller: &Caller, verb: Verb) -> bool {
        self.matching(caller, verb).next().is_some()
    }

    fn matching(&self, caller: &Caller, verb: Verb) -> impl Iterator<Item = &Grant> {
        self.of(caller).filter(move |grant| grant.verbs.contains(&verb))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_without_a_grant_for_exactly_it() {
        let line = vec![Grant {
            callers: vec![CallerPattern::UnixUser(1)],
            verbs: vec![Verb::Sign],
            repositories: vec![Pattern::new("acme/*").unwrap()],
            roles: vec![Pattern::new("timestamp").unwrap()],
        }];
        let grants = Grants::new(line, Persons::default());
        let one = Caller::Unix { uid: 1, gids: vec![] };
        let two = Caller::Unix { uid: 2, gids: vec![] };
        let app: RepositoryName = "acme/app".parse().unwrap();
        let other: RepositoryName = "other".parse().unwrap();
        assert!(grants.allow_role(&one, Verb::Sign, &app, &Role::Timestamp));
        assert!(!grants.allow_role(&one, Verb::Sign, &app, &Role::Snapshot));
        assert!(!grants.allow_role(&one, Verb::Sign, &other, &Role::Timestamp));
        assert!(!grants.allow_role(&one, Verb::Explain, &app, &Role::Timestamp));
        assert!(!grants.allow_role(&two, Verb::Sign, &app, &Role::Timestamp));
        assert!(!grants.allow_daemon(&one, Verb::Sign));
        assert!(!grants.allow_whole_repository(&one, Verb::Sign, &app) && !grants.allow_everything(&one, Verb::Sign));
        assert!(!Grants::default().allow_repository(&one, Verb::Sign, &app));
    }
}
