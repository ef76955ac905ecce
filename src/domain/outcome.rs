//! The one table of reasons: what happened, how gRPC and the shell say it, and what to do next.
//!
//! *Denied* means that the law or a grant said no, and that the same request will get the same answer until something
//! changes. *Failed* means that we could not do what the law would have allowed. Doors and the command line only index
//! this table; they never invent a code.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::approval::PendingId;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Succeeded,
    /// The law or a grant forbids it.
    Denied,
    /// It was allowed, or not yet decided, and could not be done.
    Failed,
}

impl Outcome {
    /// The label in leaves and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// The gRPC status codes that we use (the canonical numbers of grpc/grpc `doc/statuscodes.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)] // the names are the specification's own
pub enum GrpcCode {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

macro_rules! reasons {
    ($( $variant:ident $name:literal $outcome:ident $code:ident $exit:literal $advice:literal; )*) => {
        /// Why a request was denied or failed. The name is what clients, leaves and metrics see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $( #[doc = $advice] $variant, )*
        }

        impl Reason {
            /// Every reason, in the table's order.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// Denied or failed.
            pub fn outcome(self) -> Outcome {
                match self { $( Self::$variant => Outcome::$outcome, )* }
            }

            /// The gRPC status.
            pub fn grpc_code(self) -> GrpcCode {
                match self { $( Self::$variant => GrpcCode::$code, )* }
            }

            /// The exit status of the command line, after sysexits(3).
            pub fn exit_code(self) -> u8 {
                match self { $( Self::$variant => $exit, )* }
            }

            /// What to do next, in a sentence or two.
            pub fn advice(self) -> &'static str {
                match self { $( Self::$variant => $advice, )* }
            }
        }
    };
}

reasons! {
    // Who asks.
    Unauthenticated "unauthenticated" Denied Unauthenticated 77 "The detail says what was wrong, and docs/ci.md what to do about each token. Callers come over the unix socket, with a client certificate that the configured CA signed and that has a DNS or URI subject alternative name, or with an OIDC token that a configured issuer made for this daemon's audience.";
    IssuerUnavailable "issuer-unavailable" Failed Unavailable 75 "The keys of the token's issuer could not be fetched, so that nobody knows whether the token is good. Try again; `sealward status` over the unix socket says why.";
    NoGrant "no-grant" Denied PermissionDenied 77 "Check the spelling of repository and role; `sealward whoami` lists what you may do. Otherwise ask an administrator for a grant of this verb, role and repository.";
    // What is asked for.
    Malformed "malformed" Denied InvalidArgument 77 "Correct the request; the detail names the field.";
    UnknownRepository "unknown-repository" Denied NotFound 77 "Declare the repository in the configuration and make its first key with `sealward key generate --new-repository`.";
    UnknownKey "unknown-key" Denied NotFound 77 "`sealward key list` shows the keys of a repository.";
    NoKeyForRole "no-key-for-role" Denied FailedPrecondition 77 "Make a key for this role with `sealward key generate`, or stage a root that lists one.";
    WrongRepository "wrong-repository" Denied InvalidArgument 77 "The key belongs to another repository; a key has one repository for ever.";
    WrongRole "wrong-role" Denied PermissionDenied 77 "Give a role that the repository's policy has and that the payload's _type says, or the right file; a key that is named must be bound to that role.";
    Frozen "frozen" Denied PermissionDenied 77 "Somebody stopped this; the detail says who, when and why. An operator undoes it with `sealward thaw`.";
    FreezeLimit "freeze-limit" Denied ResourceExhausted 77 "There are 1000 freezes already. Freeze a larger scope, such as --all, or thaw some.";
    NotLatched "not-latched" Denied FailedPrecondition 77 "Nothing of this name is latched there; `sealward latch list` shows what is.";
    // What the bytes say.
    PayloadTooLarge "payload-too-large" Denied InvalidArgument 77 "Raise max_payload_bytes of the role, or delegate to keep the metadata small.";
    NotCanonical "not-canonical" Denied InvalidArgument 77 "Send the canonical JSON of `signed` exactly as it will be verified: members sorted by code point, no white space, no floats.";
    MalformedMetadata "malformed-metadata" Denied InvalidArgument 77 "The payload is canonical JSON but not metadata of this role; the detail names the member.";
    SpecVersion "spec-version" Denied InvalidArgument 77 "sealward signs metadata of TUF specification major version 1.";
    VersionInvalid "version-invalid" Denied InvalidArgument 77 "A version is a whole number from 1 to 2^53 - 1.";
    ExpiryFormat "expiry-format" Denied InvalidArgument 77 "Write expires as YYYY-MM-DDTHH:MM:SSZ, without a fraction or an offset: python-tuf cannot read those.";
    Expired "expired" Denied InvalidArgument 77 "Set expires in the future; check this machine's clock.";
    ExpiryTooFar "expiry-too-far" Denied PermissionDenied 77 "Set an earlier expires, or raise max_expiry of the role.";
    NoDelegateGrant "no-delegate-grant" Denied PermissionDenied 77 "These delegations differ from those of the newest released metadata: besides `sign`, changing them takes a grant of the verb `delegate`. Keep them as they are, or ask somebody who has it.";
    // What was released before.
    Unseeded "unseeded" Denied FailedPrecondition 77 "Begin a new repository with `sealward key generate --new-repository`, or with `sealward guard seed --new-repository` when its keys are made already; an existing one with `sealward guard seed FILE` from its published metadata.";
    Rollback "rollback" Denied FailedPrecondition 77 "A higher version was released. Take the released version and add one.";
    Equivocation "equivocation" Denied FailedPrecondition 77 "This version was released with other bytes. Publish those (`sealward guard republish` gives them back), or take the next version.";
    VersionStep "version-step" Denied PermissionDenied 77 "Versions advance by max_version_step at most; take a nearer one, or raise it by policy.";
    ListedRollback "listed-rollback" Denied FailedPrecondition 77 "A listed version is lower than the one listed before; clients would refuse it as a rollback.";
    ListedStep "listed-step" Denied PermissionDenied 77 "A listed version jumps by more than max_version_step, or is above first_listed_max when first seen.";
    ListedUnreleased "listed-unreleased" Denied FailedPrecondition 77 "Sign the listed role first, then list its newest release: an older one is remembered only while something lists it.";
    EntryRemoved "entry-removed" Denied FailedPrecondition 77 "Keep the entry at its last version: clients that hold the older snapshot would refuse one without it.";
    NotKept "not-kept" Denied NotFound 77 "Only the newest released payload of a role is kept, and only up to 8 MiB. Take the file from where it was published, or sign the next version.";
    RecoveryNotAllowed "recovery-not-allowed" Denied FailedPrecondition 77 "Publish a root that lists none of the role's keys that released in this epoch, sign nothing with the new ones before, and recover then. Rotation alone begins no epoch.";
    SnapshotBytesRequired "snapshot-bytes-required" Denied InvalidArgument 77 "This repository has require_snapshot_bytes: attach the signed snapshot that the timestamp lists.";
    SnapshotBytesMismatch "snapshot-bytes-mismatch" Denied FailedPrecondition 77 "The attached snapshot is not the one that the timestamp lists.";
    RateLimited "rate-limited" Denied ResourceExhausted 77 "The role releases faster than release_rate allows. Wait, or raise the rate by policy.";
    // Keys, custody, roots.
    OfflineRole "offline-role" Denied PermissionDenied 77 "This role signs only in a ceremony: use sealward-ceremony on a machine without a network.";
    NoPerson "no-person" Denied PermissionDenied 77 "Only a configured person approves. Come in by one of a [[person]]'s identities; `sealward whoami` shows how the daemon names you.";
    SelfApproval "self-approval" Denied PermissionDenied 77 "Who asks does not approve: another person must do one of both.";
    UnknownApproval "unknown-approval" Denied NotFound 77 "`sealward approve list` shows what waits for you. It may have been used, rejected or expired.";
    ApprovalDigest "approval-digest" Denied InvalidArgument 77 "The digest is not that of the pending payload. Look at it again with `sealward approve show`; do not approve what you have not read. `sealward digest FILE` takes a file's digest as `sign` does.";
    ApprovalRejected "approval-rejected" Denied FailedPrecondition 77 "A person said no to exactly these bytes. Ask them; then sign other bytes, or wait until the rejection expires.";
    ApprovalVoid "approval-void" Denied FailedPrecondition 77 "What the approval was bound to has changed. Ask for the signature again, and approve what is pending then.";
    PendingLimit "pending-limit" Denied ResourceExhausted 77 "Too much waits for approval already. Have it approved or rejected, or wait until it expires; max_pending of the role bounds it.";
    KeyState "key-state" Denied FailedPrecondition 77 "Only active keys sign; retiring keys cosign. `sealward key show` tells the state, staging a root that lists the key activates it.";
    EpochClosed "epoch-closed" Denied FailedPrecondition 77 "The key released in an epoch that a recovery closed, and never signs for this role again. Rotate the role to a new key.";
    KeyNotListed "key-not-listed" Denied FailedPrecondition 77 "Neither the trusted nor the staged root lists this key for the role. Stage a root that does.";
    NoRoot "no-root" Denied FailedPrecondition 77 "Stage and publish the repository's first root: require_root asks for one, and so does seeding a guard.";
    RootUnverified "root-unverified" Denied FailedPrecondition 77 "The root does not carry enough valid signatures of the keys that must sign it; the detail counts them.";
    RootVersion "root-version" Denied FailedPrecondition 77 "A staged root is exactly one version above the trusted one.";
    RootPin "root-pin" Denied FailedPrecondition 77 "The first root is pinned: give the SHA-256 of its file with --pin, taken from where you trust it.";
    RootOmitsKey "root-omits-key" Denied FailedPrecondition 77 "The first root must list every active key of the repository, or name those that it leaves behind with --retire.";
    RootListsKeyHere "root-key-here" Denied PermissionDenied 77 "A key that a root lists for root or for an offline role is in a keystore of this daemon. Take that key away first.";
    RootNotStaged "root-not-staged" Denied FailedPrecondition 77 "Stage this root before publishing it; `sealward root show` tells which root is staged.";
    KeyListed "key-listed" Denied FailedPrecondition 77 "A trusted or staged root, or the released metadata of a delegating role, lists this key. Publish one without it, or withdraw the staged root.";
    LastSigner "last-signer" Denied FailedPrecondition 77 "Without this key nothing would sign for the role. Let a root or another active key take its place first.";
    NotRetired "not-retired" Denied FailedPrecondition 77 "Only a pending or retired key is destroyed. Let a root without it be published, or retire it with `sealward key retire`.";
    NotScheduled "not-scheduled" Denied FailedPrecondition 77 "No destruction is waiting: none was asked for, or it has begun. `sealward key show` tells.";
    CryptoperiodOver "cryptoperiod-over" Denied FailedPrecondition 77 "The key signed for as long as cryptoperiod allows. Give it a successor with `sealward key rotate` and stage a root that lists that one.";
    SignatureLimit "signature-limit" Denied FailedPrecondition 77 "The key made as many signatures as max_signatures allows. Give it a successor with `sealward key rotate` and stage a root that lists that one.";
    NotNew "not-new-repository" Denied FailedPrecondition 77 "A guard or root of this name exists; leave out --new-repository.";
    AlreadySeeded "already-seeded" Denied FailedPrecondition 77 "The guard stands at this version or above it. Published metadata only ever raises a guard.";
    SeedUnverified "seed-unverified" Denied FailedPrecondition 77 "The published metadata does not verify under the trusted root. Publish the root here first.";
    DuplicateKey "duplicate-key" Denied FailedPrecondition 77 "This public key is on record already; a public key stands in one record for ever.";
    RoleSet "role-set" Denied InvalidArgument 77 "A key's roles are one role, or {timestamp, snapshot}; any other set has to stand in role_sets of the repository, and root in none.";
    AlgorithmUnsupported "algorithm-unsupported" Denied FailedPrecondition 77 "The keystore cannot make this kind of key for this role; `sealward status` lists what it can.";
    NoKeyTemplate "no-key-template" Denied PermissionDenied 77 "The policy of the role does not let such a key be made. keystore, keystores, algorithm and algorithms of [repository.role.NAME] say where and of which algorithm.";
    UnknownKeystore "unknown-keystore" Denied NotFound 77 "`sealward status` lists the keystores.";
    KeyLimit "key-limit" Denied ResourceExhausted 77 "The repository has max_keys keys, or the role max_pending_keys pending ones. Retire and destroy what is not needed, or raise the number by policy.";
    // What we could not do.
    Latched "latched" Failed Unavailable 69 "Everything that signs stands still until the cause is resolved; `sealward status` names it.";
    LedgerFault "ledger-fault" Failed Unavailable 74 "The disk under the ledger failed. Stop the daemon and run `sealwardd recover`.";
    DiskFull "disk-full" Failed Unavailable 75 "Free space under the ledger; the daemon goes on by itself.";
    LedgerBusy "ledger-busy" Failed Unavailable 75 "Another program holds the ledger's database. Close it and try again; nothing of the request is left.";
    AwaitsApproval "awaits-approval" Failed FailedPrecondition 75 "Nothing is wrong with it: people must approve it first. An approver runs `sealward approve show` and `accept` with the id; then ask again with the same bytes.";
    Conflict "conflict" Failed Aborted 75 "Another request changed the same guard first. Read the released version and try again.";
    PredecessorFailed "predecessor-failed" Failed Aborted 75 "An earlier item of the batch that this one builds on was not released.";
    QueueFull "queue-full" Failed ResourceExhausted 75 "The keystore's queue is full. Try again after the hinted delay.";
    Deadline "deadline" Failed DeadlineExceeded 75 "The deadline passed before the signature was durable. Ask again: what was released is returned.";
    KeystoreUnavailable "keystore-unavailable" Failed Unavailable 69 "The token or its worker is not there; `sealward status` tells since when and why.";
    PinRefused "pin-refused" Failed Unavailable 69 "The token refused the PIN. It is not tried again: correct it and restart the daemon.";
    KeyMissing "key-missing" Failed Unavailable 69 "The keystore does not hold the key of this record: wrong token, or the key was removed.";
    BadTokenSignature "bad-token-signature" Failed Internal 70 "The keystore returned a signature that does not verify. Nothing was released. Check the device.";
    ShuttingDown "shutting-down" Failed Unavailable 75 "The daemon is stopping. Try again.";
    OverQuota "over-quota" Failed ResourceExhausted 75 "Too many requests at once. Try again after a pause.";
    ConfigurationRefused "configuration-refused" Failed FailedPrecondition 78 "The new configuration is wrong, and the one in force stays. Correct what is listed, and reload again; `sealwardd config check` reads a file without a daemon.";
    LedgerIntegrity "ledger-integrity" Failed DataLoss 65 "The ledger does not pass its integrity check. Stop the daemon and restore or recover it.";
    Internal "internal" Failed Internal 70 "This is a defect in sealward. Please report it with the request id.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refusal or failure: the rule, and what about this request broke it. The detail holds no secret and no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Denial {
    /// The rule.
    pub reason: Reason,
    /// What about this request, in words: versions, names, dates.
    pub detail: String,
    /// What people must approve first, for [`Reason::AwaitsApproval`].
    pub pending: Option<PendingId>,
}

impl Denial {
    /// A denial or failure with its detail.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), pending: None }
    }

    /// The third answer of the law: it would be allowed, and waits for people.
    pub fn awaits(id: PendingId, detail: impl Into<String>) -> Self {
        Self { pending: Some(id), ..Self::new(Reason::AwaitsApproval, detail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len(), "names are unique");
        for reason in Reason::ALL {
            assert_eq!(
                reason.outcome() == Outcome::Denied,
                reason.exit_code() == 77,
                "{reason}: 77 is for every denial and nothing else"
            );
            assert_eq!(
                reason.exit_code() == 65,
                *reason == Reason::LedgerIntegrity,
                "{reason}: 65 is for the ledger alone"
            );
            assert!(reason.advice().ends_with('.'), "{reason}");
            assert_ne!(reason.outcome(), Outcome::Succeeded);
        }
    }
}
