//! Permits for arbitrary bytes, from the law: the test declares what the bytes say, and a policy that allows it.

use std::collections::{BTreeMap, BTreeSet};

use sealward::domain::caller::Caller;
use sealward::domain::grant::Grants;
use sealward::domain::guard::Guard;
use sealward::domain::key::{ContentKind, KeyRecord, KeyState, RoleSet};
use sealward::domain::law::attended::Attendance;
use sealward::domain::law::sign::{Answer, Keys, Situation, decide, first_epoch};
use sealward::domain::name::{MetadataType, Pattern, RepositoryName, Role, Version};
use sealward::domain::permit::{Online, Permit};
use sealward::domain::policy::{RepositoryPolicy, RolePolicy};
use sealward::domain::public_key::PublicKey;
use sealward::domain::root::Roots;
use sealward::domain::signature::Signature;
use sealward::domain::statement::{Listing, Statement};
use sealward::domain::time::Instant;
use sealward::keystore::{Keystore, KeystoreError};

/// A permit of the law for one signature by this key over these bytes.
pub(crate) fn permit(key: &PublicKey, message: &[u8]) -> Permit<Online> {
    let repository: RepositoryName = "test/keystore".parse().unwrap();
    let role = Role::Timestamp;
    let policy = RepositoryPolicy {
        repositories: Pattern::new("test/*").unwrap(),
        roles: BTreeMap::from([(role.clone(), RolePolicy::default_for(&role))]),
        role_patterns: Vec::new(),
        role_sets: Vec::new(),
        require_root: false,
        require_snapshot_bytes: false,
        max_keys: 10,
        destroy_delay_seconds: 1,
    };
    let now = Instant::from_unix(1_800_000_000);
    let statement = Statement::read_by_content_room(
        ContentKind::Tuf,
        MetadataType::Timestamp,
        Version::new(1).unwrap(),
        now.plus_seconds(3600),
        Listing::new(),
        None,
        message,
    );
    let record = KeyRecord {
        public_key: key.clone(),
        repository: repository.clone(),
        roles: RoleSet::new(BTreeSet::from([role.clone()])).unwrap(),
        kind: ContentKind::Tuf,
        keystore: "k".parse().unwrap(),
        state: KeyState::Active,
        created: now,
        history: sealward::domain::key_history::KeyHistory::default(),
        revision: 1,
    };
    let (grants, caller) = (Grants::default(), Caller::Daemon);
    let situation = Situation {
        repository: &repository,
        role: &role,
        policy: &policy,
        statement: &statement,
        keys: Keys::One(&record),
        guards: &BTreeMap::from([(role.clone(), Guard::seeded_as_zero(first_epoch(&repository, &role)))]),
        roots: &Roots::unrooted(repository.clone()),
        attached_snapshot: None,
        may_delegate: true,
        now,
        caller: "a test",
        frozen: sealward::domain::freeze::Frozen::NOTHING,
        attendance: Attendance { pending: &[], grants: &grants, caller: &caller },
    };
    match decide(&situation).unwrap() {
        Answer::Permit(mut decision) => decision.take_permits().pop().unwrap(),
        Answer::Pending(wait) => panic!("an online role waits for nobody: {wait:?}"),
    }
}

/// Signs without a desk: nothing is challenged, nothing is verified.
pub(crate) fn sign(store: &dyn Keystore, key: &PublicKey, message: &[u8]) -> Result<Signature, KeystoreError> {
    store.sign(&permit(key, message).redeem(message).unwrap())
}
