//! The root decides which keys sign: staged, published, forked; and where a guard begins.

use sealward::client::ClientError;
use sealward::client::messages::{PublishRootRequest, RootState, RotateRequest, SeedGuardRequest, StageRootRequest};
use sealward::domain::name::Sha256Digest;
use sealward::domain::public_key::PublicKey;

use crate::support::roots::{Holder, RootPlan, public};
use crate::support::{World, in_seconds, snapshot, targets, timestamp, tomorrow};

/// A repository with its three first keys.
pub(crate) struct Repository {
    pub(crate) world: World,
    pub(crate) holders: [Holder; 3],
    pub(crate) roles: Vec<(&'static str, Vec<PublicKey>)>,
    pub(crate) expires: String,
}

impl Repository {
    fn new() -> Self {
        Self::in_world(World::dev())
    }

    /// In a world whose daemon runs.
    pub(crate) fn in_world(world: World) -> Self {
        let roles = [("timestamp", true), ("snapshot", false), ("targets", false)]
            .map(|(role, new)| (role, vec![public(&world.key("demo", role, new))]))
            .to_vec();
        Self { world, holders: [Holder::new(), Holder::new(), Holder::new()], roles, expires: in_seconds(90 * 86_400) }
    }

    pub(crate) fn root(&self, version: i64, signers: &[usize]) -> Vec<u8> {
        self.root_with(version, signers, &self.roles, &self.expires)
    }

    pub(crate) fn root_with(
        &self,
        version: i64,
        signers: &[usize],
        roles: &[(&str, Vec<PublicKey>)],
        expires: &str,
    ) -> Vec<u8> {
        let all: Vec<&Holder> = self.holders.iter().collect();
        let plan = RootPlan { version, root: (&all, 2), roles, expires };
        let signers: Vec<&Holder> = signers.iter().map(|index| &self.holders[*index]).collect();
        plan.signed_by(&signers)
    }

    pub(crate) fn stage(&self, file: &[u8], pin: &str) -> Result<RootState, ClientError> {
        let request =
            StageRootRequest { repository: "demo".into(), file: file.to_vec().into(), pin: pin.into(), retire: vec![] };
        self.world.with_client(async |client| client.stage_root(request).await.map(|answer| answer.state.unwrap()))
    }

    pub(crate) fn publish(&self, file: &[u8], pin: &str) -> Result<RootState, ClientError> {
        let request = PublishRootRequest {
            repository: "demo".into(),
            file: file.to_vec().into(),
            pin: pin.into(),
            retire: vec![],
        };
        self.world.with_client(async |client| client.publish_root(request).await.map(|answer| answer.state.unwrap()))
    }

    fn seed(&self, role: &str, file: &[u8]) -> Result<u64, ClientError> {
        let request = SeedGuardRequest {
            repository: "demo".into(),
            role: role.into(),
            file: file.to_vec().into(),
            ..Default::default()
        };
        self.world.with_client(async |client| client.seed_guard(request).await.map(|answer| answer.version))
    }

    pub(crate) fn state_of(&self, state: &RootState, key: &PublicKey) -> String {
        let id = key.id().to_string();
        state.keys.iter().find(|other| other.public_key.as_ref().unwrap().key == id).unwrap().state.clone()
    }
}

pub(crate) fn pin(file: &[u8]) -> String {
    Sha256Digest::of(file).to_string()
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    result.unwrap_err().reason().to_owned()
}

#[test]
fn the_first_root_needs_its_pin_its_own_threshold_and_every_active_key() {
    let repository = Repository::new();
    let good = repository.root(1, &[0, 1]);
    assert_eq!(reason(repository.stage(&good, "")), "root-pin");
    assert_eq!(reason(repository.stage(&good, &pin(b"another"))), "root-pin");
    let short = repository.root(1, &[0]);
    assert_eq!(reason(repository.stage(&short, &pin(&short))), "root-unverified");
    let without = repository.root_with(
        1,
        &[0, 1],
        &[repository.roles[0].clone(), repository.roles[1].clone(), ("targets", vec![Holder::new().public])],
        &repository.expires,
    );
    assert_eq!(reason(repository.stage(&without, &pin(&without))), "root-omits-key");
    for garbage in [&b""[..], b"{}", b"not json", &[0xff; 64]] {
        let refused = reason(repository.publish(garbage, &pin(garbage)));
        assert!(["malformed-metadata", "not-canonical", "root-unverified"].contains(&refused.as_str()), "{refused}");
    }
    let state = repository.publish(&good, &pin(&good)).unwrap();
    assert_eq!(state.trusted.unwrap().version, 1);
    // The newest root of an existing repository does as well, expired or not: another repository of the same daemon.
    let expires = tomorrow();
    repository.world.sign("demo", "targets", &targets(1, &expires)).unwrap();
}

#[test]
fn a_key_rotates_by_staging_dual_signing_and_publishing() {
    let repository = Repository::new();
    let expires = tomorrow();
    let one = repository.root(1, &[0, 1]);
    repository.publish(&one, &pin(&one)).unwrap();
    repository.world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    repository.world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    repository.world.sign("demo", "timestamp", &timestamp(1, 1, &expires)).unwrap();
    let request = RotateRequest { repository: "demo".into(), role: "timestamp".into(), ..RotateRequest::default() };
    let rotated = repository.world.with_client(async |client| client.rotate(request).await.unwrap());
    let (old, new) = (repository.roles[0].1[0].clone(), public(rotated.key.as_ref().unwrap()));
    assert_eq!(rotated.key.unwrap().state, "pending");
    assert!(rotated.root_change_json.contains(&sealward::tuf::key_id::default_form(&new).key_id));
    // Pending: it signs nothing, and the answer has the old key's signature only.
    assert_eq!(repository.world.sign("demo", "timestamp", &timestamp(2, 1, &expires)).unwrap().signatures.len(), 1);

    let roles = [("timestamp", vec![new.clone()]), repository.roles[1].clone(), repository.roles[2].clone()];
    let three = repository.root_with(3, &[0, 1], &roles, &repository.expires);
    assert_eq!(reason(repository.stage(&three, "")), "root-version");
    let two = repository.root_with(2, &[0, 2], &roles, &repository.expires);
    assert_eq!(reason(repository.publish(&two, "")), "root-not-staged");
    let state = repository.stage(&two, "").unwrap();
    assert_eq!(
        (repository.state_of(&state, &old), repository.state_of(&state, &new)),
        ("retiring".into(), "active".into())
    );
    let both = repository.world.sign("demo", "timestamp", &timestamp(3, 1, &expires)).unwrap();
    assert_eq!(both.signatures.len(), 2, "dual-signed while staged");
    assert_eq!((both.trusted_threshold_met, both.staged_threshold_met), (Some(true), Some(true)));
    // The released head may be cosigned by the new key, and replayed by the old one, in one request.
    let state = repository.publish(&two, "").unwrap();
    assert_eq!(
        (repository.state_of(&state, &old), repository.state_of(&state, &new)),
        ("retired".into(), "active".into())
    );
    let after = repository.world.sign("demo", "timestamp", &timestamp(4, 1, &expires)).unwrap();
    assert_eq!(after.signatures.len(), 1);
    assert_eq!(after.signatures[0].key, new.id().to_string());
}

#[test]
fn a_replaced_staged_root_is_undone() {
    let repository = Repository::new();
    let one = repository.root(1, &[0, 1]);
    repository.publish(&one, &pin(&one)).unwrap();
    let successor = public(&repository.world.key("demo", "timestamp", false));
    let old = repository.roles[0].1[0].clone();
    let with = [("timestamp", vec![successor.clone()]), repository.roles[1].clone(), repository.roles[2].clone()];
    let state = repository.stage(&repository.root_with(2, &[0, 1], &with, &repository.expires), "").unwrap();
    assert_eq!(
        (repository.state_of(&state, &old), repository.state_of(&state, &successor)),
        ("retiring".into(), "active".into())
    );
    let state = repository.stage(&repository.root(2, &[1, 2]), "").unwrap();
    assert_eq!(
        (repository.state_of(&state, &old), repository.state_of(&state, &successor)),
        ("active".into(), "pending".into())
    );
}

#[test]
fn two_roots_of_one_version_latch_the_repository_and_no_other() {
    let mut repository = Repository::new();
    let expires = tomorrow();
    repository.world.key("other", "targets", true);
    let one = repository.root(1, &[0, 1]);
    repository.publish(&one, &pin(&one)).unwrap();
    let fork = repository.root_with(1, &[0, 1], &repository.roles, &in_seconds(80 * 86_400));
    let forged = repository.root_with(1, &[0], &repository.roles, &in_seconds(70 * 86_400));
    assert_ne!(reason(repository.stage(&forged, "")), "latched", "what does not verify is no fork");
    repository.world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    assert_eq!(reason(repository.stage(&fork, "")), "latched");
    assert_eq!(repository.world.refusal("demo", "targets", &targets(2, &expires)), "latched");
    repository.world.sign("other", "targets", &targets(1, &expires)).unwrap();
    let status = repository.world.sealward(&["status"]);
    assert_eq!(status.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&status.stdout).contains("root-fork"));
    repository.world.kill();
    repository.world.start();
    assert_eq!(repository.world.refusal("demo", "targets", &targets(2, &expires)), "latched", "through a restart");
    let resolve = |keep: &str| {
        let arguments = ["latch", "resolve", "root-fork", "--repository", "demo", "--keep", keep];
        repository.world.sealward(&arguments).status.code()
    };
    assert_eq!(resolve(&pin(&fork)), Some(77), "only the trusted root can be kept");
    assert_eq!(resolve(&pin(&one)), Some(0));
    repository.world.sign("demo", "targets", &targets(2, &expires)).unwrap();
    assert_eq!(resolve(&pin(&one)), Some(77), "nothing is latched any more");
    assert_eq!(reason(repository.stage(&fork, "")), "latched", "shown again, it latches again");
}

#[test]
fn a_first_root_waits_for_the_thaw_and_a_later_one_is_the_way_out_of_a_freeze() {
    let repository = Repository::new();
    let freeze = |verb: &str| {
        let output = repository.world.sealward(&[verb, "--repository", "demo"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    };
    freeze("freeze");
    let one = repository.root(1, &[0, 1]);
    assert_eq!(reason(repository.publish(&one, &pin(&one))), "frozen", "it rests on a word alone");
    freeze("thaw");
    repository.publish(&one, &pin(&one)).unwrap();
    freeze("freeze");
    let two = repository.root(2, &[0, 1]);
    repository.stage(&two, "").unwrap();
    repository.publish(&two, "").unwrap();
    assert_eq!(repository.world.refusal("demo", "targets", &targets(1, &tomorrow())), "frozen");
}

#[test]
fn a_guard_begins_at_published_metadata_that_verifies_and_is_only_raised_by_it() {
    let repository = Repository::new();
    let expires = tomorrow();
    // An adopted repository: its guards are not seeded.
    let world = &repository.world;
    let keys: Vec<_> = ["timestamp", "snapshot", "targets"].map(|role| world.key("adopted", role, false)).into();
    assert_eq!(world.refusal("adopted", "targets", &targets(1, &expires)), "unseeded");
    let theirs = Holder::new();
    let roles: Vec<_> = ["timestamp", "snapshot", "targets"]
        .iter()
        .zip(&keys)
        .map(|(role, key)| (*role, vec![public(key), theirs.public.clone()]))
        .collect();
    let root =
        RootPlan { version: 7, root: (&[&repository.holders[0]], 1), roles: &roles, expires: &repository.expires };
    let file = root.signed_by(&[&repository.holders[0]]);
    let seed = |role: &str, file: &[u8]| {
        let request = SeedGuardRequest {
            repository: "adopted".into(),
            role: role.into(),
            file: file.to_vec().into(),
            ..Default::default()
        };
        world.with_client(async |client| client.seed_guard(request).await.map(|answer| answer.version))
    };
    let published = |payload: &str, signer: &Holder| {
        sealward::tuf::envelope::assemble(payload.as_bytes(), &[signer.sign(payload.as_bytes())]).unwrap()
    };
    let old = published(&targets(18_234, &in_seconds(-1000)), &theirs);
    assert_eq!(reason(seed("targets", &old)), "no-root");
    let request =
        PublishRootRequest { repository: "adopted".into(), file: file.clone().into(), pin: pin(&file), retire: vec![] };
    world.with_client(async |client| client.publish_root(request).await.map(drop)).unwrap();
    assert_eq!(reason(seed("targets", &published(&targets(99, &expires), &Holder::new()))), "seed-unverified");
    assert_eq!(reason(seed("snapshot", &old)), "seed-unverified");
    assert_eq!(seed("targets", &old).unwrap(), 18_234, "expiry is ignored");
    assert_eq!(reason(seed("targets", &old)), "already-seeded");
    assert_eq!(world.refusal("adopted", "targets", &targets(18_233, &expires)), "rollback");
    world.sign("adopted", "targets", &targets(18_235, &expires)).unwrap();
    assert_eq!(reason(repository.seed("targets", &old)), "no-root");
    // Somebody else published a higher one under these keys: that is the floor now.
    assert_eq!(seed("targets", &published(&targets(18_240, &expires), &theirs)).unwrap(), 18_240);
    assert_eq!(world.refusal("adopted", "targets", &targets(18_236, &expires)), "rollback");
    let lower = published(&targets(18_239, &expires), &theirs);
    assert_eq!(reason(seed("targets", &lower)), "already-seeded");
    world.sign("adopted", "targets", &targets(18_241, &expires)).unwrap();
}
