//! Freeze and Thaw: what stands still by somebody's word.
//!
//! A freeze acts on the next decision and on every commit in flight, because commits compare the revision of the switches
//! that their decision read. It takes no lock that a request holds.

use super::audited::Scope;
use super::generate::optional;
use super::{Call, Engine, Rules, no_grant, parse};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::freeze::{Freeze, FreezeScope, Frozen, FrozenCaller, ReasonCode};
use crate::domain::grant::{Grants, Verb};
use crate::domain::name::{Pattern, RepositoryName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::switches::{MOST_FREEZES, Switches};
use crate::ledger::{Change, CommitError, Expect, Unit};

/// A scope, as it came through a door.
#[derive(Clone, Debug)]
pub enum FreezeOrder {
    /// Everything.
    All,
    /// A repository's name.
    Repository(String),
    /// The names of a repository and a role of it.
    Role(String, String),
    /// A caller, as grants or leaves name it.
    Caller(String),
    /// A key's id.
    Key(String),
}

/// What a thaw did, and what it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thawed {
    /// False when exactly this scope was not frozen.
    pub changed: bool,
    /// Freezes of larger scopes, which still cover this one.
    pub covering: Vec<Freeze>,
    /// How many further freezes there are.
    pub others: usize,
}

/// What becomes of the switches.
pub(super) enum Switching {
    /// They stand already as asked for.
    Unchanged,
    /// These, from now on.
    To(Switches),
}

/// How often a change of the switches is made again when a latch came first.
const ATTEMPTS: usize = 16;

impl Engine {
    /// Freezes a scope, with a word that says why. The freeze as it stands, and whether it is new.
    pub async fn freeze(&self, call: &Call, order: FreezeOrder, why: &str) -> Result<(Freeze, bool), Denial> {
        self.audited(call, "freeze", async |scope| {
            let rules = self.rules();
            let target = self.admit_scope(&rules, call, order, scope)?;
            scope.admit();
            self.check_not_frozen(call)?;
            self.check_is_something(&rules, &target)?;
            if let FreezeScope::Caller(caller) = &target
                && caller.means(&call.caller, rules.grants.persons())
            {
                let detail = "caller: that is you, and you could not thaw it; let another operator do it";
                return Err(Denial::new(Reason::Malformed, detail));
            }
            let reason_code: ReasonCode = optional("reason_code", why)?.unwrap_or_default();
            let subject = format!("{target} ({reason_code})");
            let event = self.switch_event(call, "freeze", &target, subject);
            let new = Freeze { scope: target.clone(), since: self.now(), by: call.caller.to_string(), reason_code };
            let changed = self
                .switch(&event, |switches| {
                    if switches.freeze_of(&target).is_some() {
                        return Ok(Switching::Unchanged);
                    }
                    let full = || Denial::new(Reason::FreezeLimit, format!("{MOST_FREEZES} scopes are frozen"));
                    switches.frozen(new.clone()).map(Switching::To).ok_or_else(full)
                })
                .await?;
            let switches = self.ledger.switches();
            let standing = switches.freeze_of(&target).filter(|_| !changed).cloned();
            Ok((standing.unwrap_or(new), changed))
        })
        .await
    }

    /// Thaws exactly this scope: a freeze of a larger one stays. Takes `operate` besides `freeze`: letting signatures out
    /// is the more dangerous act.
    pub async fn thaw(&self, call: &Call, order: FreezeOrder) -> Result<Thawed, Denial> {
        self.audited(call, "thaw", async |scope| {
            let rules = self.rules();
            let target = self.admit_scope(&rules, call, order, scope)?;
            rules.admit_daemon(call, Verb::Operate)?;
            scope.admit();
            self.check_serving(call)?;
            let event = self.switch_event(call, "thaw", &target, target.to_string());
            let thaw = |switches: &Switches| {
                Ok(match switches.freeze_of(&target) {
                    None => Switching::Unchanged,
                    Some(_) => Switching::To(switches.thawed(&target)),
                })
            };
            let changed = self.switch(&event, thaw).await?;
            let (covering, others): (Vec<_>, Vec<_>) =
                self.freezes().into_iter().partition(|freeze| freeze.scope.covers(&target));
            Ok(Thawed { changed, covering, others: others.len() })
        })
        .await
    }

    /// Freezes, the oldest first.
    pub fn freezes(&self) -> Vec<Freeze> {
        self.ledger.switches().freezes.clone()
    }

    /// Whether somebody froze the caller.
    pub(super) fn check_not_frozen(&self, call: &Call) -> Result<(), Denial> {
        let switches = self.ledger.switches();
        Frozen::for_caller(&switches.freezes, &call.caller, self.rules().grants.persons()).check_caller()
    }

    /// Whether somebody froze roles in which a key is to be made.
    pub(super) fn check_roles_not_frozen<'a>(
        &self,
        call: &Call,
        rules: &Rules,
        repository: &RepositoryName,
        roles: impl IntoIterator<Item = &'a Role>,
    ) -> Result<u64, Denial> {
        let switches = self.ledger.switches();
        let frozen = Frozen::for_caller(&switches.freezes, &call.caller, rules.grants.persons());
        roles.into_iter().try_for_each(|role| frozen.check_role(repository, role))?;
        Ok(switches.revision)
    }

    /// Changes the switches together with a leaf. False when they stood as asked for.
    pub(super) async fn switch(
        &self,
        event: &Event,
        change: impl Fn(&Switches) -> Result<Switching, Denial>,
    ) -> Result<bool, Denial> {
        let _turn = self.latches.turns.lock().await;
        for _ in 0..ATTEMPTS {
            let switches = self.ledger.switches();
            let Switching::To(next) = change(&switches)? else { return Ok(false) };
            let unit = Unit {
                expects: vec![Expect::Switches(switches.revision)],
                changes: vec![Change::Switches(next)],
                events: vec![event.clone()],
                after: Vec::new(),
            };
            match self.commit_one(unit).await {
                Ok(_) => return Ok(true),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.denial()),
            }
        }
        Err(Denial::new(Reason::Conflict, "freezes and latches kept changing"))
    }

    /// The scope, if the caller has the verb `freeze` for the whole of it.
    fn admit_scope(
        &self,
        rules: &Rules,
        call: &Call,
        order: FreezeOrder,
        scope: &mut Scope,
    ) -> Result<FreezeScope, Denial> {
        let (caller, grants) = (&call.caller, &rules.grants);
        let (target, allowed) = match order {
            FreezeOrder::All => (FreezeScope::All, grants.allow_everything(caller, Verb::Freeze)),
            FreezeOrder::Caller(text) => {
                let frozen: FrozenCaller = parse("caller", &text)?;
                (FreezeScope::Caller(frozen), grants.allow_everything(caller, Verb::Freeze))
            }
            FreezeOrder::Repository(name) => {
                let repository: RepositoryName = parse("repository", &name)?;
                *scope = Scope::of(&repository, None);
                let allowed = grants.allow_whole_repository(caller, Verb::Freeze, &repository);
                (FreezeScope::Repository(repository), allowed)
            }
            FreezeOrder::Role(repository, role) => {
                let repository: RepositoryName = parse("repository", &repository)?;
                let role: Role = parse("role", &role)?;
                *scope = Scope::of(&repository, Some(&role));
                let allowed = grants.allow_role(caller, Verb::Freeze, &repository, &role);
                (FreezeScope::Role(repository, role), allowed)
            }
            FreezeOrder::Key(text) => {
                let key: KeyId = parse("key", &text)?;
                let record = self.ledger.key(&key).map_err(|error| error.denial())?;
                let allowed = match &record {
                    // A key that nobody knows is answered like one that the caller has no grant for.
                    None => grants.allow_everything(caller, Verb::Freeze),
                    Some(record) => {
                        *scope = Scope::of(&record.repository, None);
                        record
                            .roles
                            .iter()
                            .all(|role| grants.allow_role(caller, Verb::Freeze, &record.repository, role))
                    }
                };
                (FreezeScope::Key(key), allowed)
            }
        };
        if allowed { Ok(target) } else { Err(not_over_all(call, grants, &target)) }
    }

    /// A freeze of a name that was mistyped would stop nothing, and look as if it did.
    fn check_is_something(&self, rules: &Rules, target: &FreezeScope) -> Result<(), Denial> {
        let (repository, role) = match target {
            FreezeScope::Repository(repository) => (repository, None),
            FreezeScope::Role(repository, role) => (repository, Some(role)),
            FreezeScope::Key(key) => {
                return match self.ledger.key(key).map_err(|error| error.denial())? {
                    Some(_) => Ok(()),
                    None => Err(Denial::new(Reason::UnknownKey, format!("there is no key {key}"))),
                };
            }
            _ => return Ok(()),
        };
        let view = self.ledger.view(repository).map_err(|error| error.denial())?;
        if view.keys.is_empty() && view.guards.is_empty() && view.roots.revision == 0 {
            let detail = format!("nothing of {repository} is on record here; check the spelling");
            return Err(Denial::new(Reason::UnknownRepository, detail));
        }
        let Some(role) = role else { return Ok(()) };
        let declared = rules.policies.find(repository).is_some_and(|policy| policy.role(role).is_some());
        if declared || view.guards.contains_key(role) || view.keys.iter().any(|key| key.roles.contains(role)) {
            return Ok(());
        }
        Err(Denial::new(Reason::WrongRole, format!("{repository} has no role {role}; check the spelling")))
    }

    fn switch_event(&self, call: &Call, verb: &str, target: &FreezeScope, subject: String) -> Event {
        let mut event = Event::new(self.now(), &call.caller, verb, &call.request, EventKind::Administration);
        event.subject = Some(subject);
        match target {
            FreezeScope::Repository(repository) => event.repository = Some(repository.clone()),
            FreezeScope::Role(repository, role) => {
                event.repository = Some(repository.clone());
                event.role = Some(role.clone());
            }
            FreezeScope::Key(key) => event.key = Some(*key),
            _ => {}
        }
        event
    }
}

/// What of a caller's own grants is told at most.
const TOLD: usize = 5;

/// Which grant would do, and what the caller may freeze instead. What this says of a key does not tell whether it exists.
fn not_over_all(call: &Call, grants: &Grants, target: &FreezeScope) -> Denial {
    let wanted = match target {
        FreezeScope::All | FreezeScope::Caller(_) => "one with repositories = [\"**\"] and roles = [\"**\"]".to_owned(),
        FreezeScope::Repository(name) => format!("one for {name} with roles = [\"**\"]"),
        FreezeScope::Role(repository, role) => format!("one for {role} of {repository}"),
        FreezeScope::Key(_) => "one for the key's repository and all its roles".to_owned(),
    };
    let joined = |patterns: &[Pattern]| {
        let names: Vec<_> = patterns.iter().take(TOLD).map(Pattern::as_str).collect();
        format!("{}{}", names.join(", "), if patterns.len() > TOLD { " and more" } else { "" })
    };
    let own = grants.of(&call.caller).filter(|grant| grant.verbs.contains(&Verb::Freeze)).take(TOLD);
    let own: Vec<_> = own.map(|grant| format!("{} of {}", joined(&grant.roles), joined(&grant.repositories))).collect();
    let own = if own.is_empty() { String::new() } else { format!("; you may freeze {}", own.join("; ")) };
    no_grant(call, Verb::Freeze, &format!("over all of this scope: it takes {wanted}{own}"))
}
