//! A bit that flips anywhere in the embedded ledger: it is refused, or nothing that is remembered has changed.

use std::fs;
use std::path::Path;

use sealward::domain::algorithm::Algorithm;
use sealward::domain::key::RoleSet;
use sealward::domain::name::{Role, Sha256Digest};
use sealward::domain::root::Roots;
use sealward::domain::switches::Switches;
use sealward::ledger::sqlite::{SqliteLedger, create};
use sealward::ledger::{Change, Expect, Identity, Intent, Kept, Ledger, LedgerError, Unit, View};

use super::{checkpoint_of, commit_one, event, identity, noted};
use crate::values::{Model, NOW, repository, root, snapshot, targets, timestamp, version};

const DATABASE: &str = "ledger.sqlite3";
const ROOT: &[u8] = b"the file of a root";

/// Makes a ledger with something in every table, and closes it.
fn fill(directory: &Path) {
    create(directory, &identity(), &Switches::new(None)).unwrap();
    let ledger = SqliteLedger::open(directory, false).unwrap();
    let mut model = Model::new();
    model.roots.trusted = Some(root(1, &[(Role::Timestamp, &[1]), (Role::Snapshot, &[2]), (Role::Targets, &[3])]));
    let intent = Intent {
        id: "aa".to_owned(),
        keystore: "software".parse().unwrap(),
        algorithm: Algorithm::Ed25519,
        repository: repository(),
        roles: RoleSet::new([Role::Timestamp].into()).unwrap(),
        begun: NOW,
    };
    let digest = Sha256Digest::of(ROOT);
    let switches = Change::Switches(super::switches::stopped());
    let file = Change::RootFile { repository: repository(), version: version(1), digest, file: ROOT.to_vec() };
    commit_one(&ledger, Unit { changes: vec![Change::IntentBegins(intent), file, switches], ..Unit::default() })
        .unwrap();
    let changes = model
        .keys
        .iter()
        .cloned()
        .map(Change::Key)
        .chain([Change::Roots(Roots { revision: 1, ..model.roots.clone() })]);
    commit_one(&ledger, Unit { changes: changes.collect(), ..Unit::default() }).unwrap();
    let payloads = [
        ("targets", targets(1)),
        ("snapshot", snapshot(1, &[("targets", 1)])),
        ("timestamp", timestamp(1, 1)),
        ("timestamp", timestamp(3, 1)),
    ];
    for (name, payload) in payloads {
        let before = model.guard(name).revision;
        model.release(name, &payload);
        let guard = model.guard(name).clone();
        let head = guard.head.clone().unwrap();
        let mut leaf = event(name);
        leaf.repository = Some(repository());
        leaf.role = Some(guard.name.role.clone());
        leaf.epoch = Some(1);
        leaf.version = Some(head.version);
        leaf.digest = Some(head.digest);
        let expects = if before == 1 { 0 } else { before };
        let unit = Unit {
            expects: vec![Expect::Guard(guard.name.clone(), expects)],
            changes: vec![Change::Guard { guard, payload: Some(payload.into_bytes()) }],
            events: vec![leaf],
            after: Vec::new(),
        };
        commit_one(&ledger, unit).unwrap();
    }
    commit_one(&ledger, noted("an eighth of a tree")).unwrap();
    let size = ledger.tree_size().unwrap();
    ledger.keep_checkpoint(size, &checkpoint_of(&ledger, size)).unwrap();
}

/// All that is remembered, but for what nothing depends on: the ledger's own number and day.
#[derive(Debug, PartialEq)]
struct Memory {
    identity: Identity,
    view: View,
    intents: Vec<Intent>,
    leaves: Vec<Vec<u8>>,
    checkpoint: Option<(u64, String)>,
    kept: Vec<Option<Kept>>,
    root_file: Option<Vec<u8>>,
    switches: Switches,
}

fn read(directory: &Path) -> Result<Memory, LedgerError> {
    let ledger = SqliteLedger::open(directory, false)?;
    let view = ledger.view(&repository())?;
    Ok(Memory {
        identity: Identity { id: identity().id, created: identity().created, ..ledger.identity().clone() },
        intents: ledger.intents()?,
        leaves: ledger.leaves(0, usize::MAX)?,
        checkpoint: ledger.newest_checkpoint()?,
        kept: view.guards.values().map(|guard| ledger.guard(&guard.name)).collect::<Result<_, _>>()?,
        root_file: ledger.root_file(&Sha256Digest::of(ROOT))?,
        switches: Switches::clone(&ledger.switches()),
        view: View::clone(&view),
    })
}

#[test]
fn a_bit_that_flips_anywhere_is_refused_or_without_effect() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let memory = read(directory.path()).unwrap();
    assert_eq!((memory.view.keys.len(), memory.view.guards.len(), memory.leaves.len()), (3, 3, 5));
    assert_eq!((memory.switches.freezes.len(), memory.switches.latches.len()), (1, 1));
    assert_eq!((memory.intents.len(), memory.root_file.as_deref()), (1, Some(ROOT)));
    let whole = fs::read(directory.path().join(DATABASE)).unwrap();
    let damaged = tempfile::tempdir().unwrap();
    let mut refused = 0;
    let mut served = 0;
    // Where something is written, more often than in the empty space of pages.
    let places = (0..whole.len()).filter(|place| place % if whole[*place] == 0 { 211 } else { 17 } == 0);
    for place in places {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        for file in fs::read_dir(damaged.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        fs::write(damaged.path().join(DATABASE), &bytes).unwrap();
        match read(damaged.path()) {
            Ok(found) => {
                assert_eq!(found, memory, "a flip at {place} was served");
                served += 1;
            }
            Err(error) => {
                assert_eq!(error.exit_code(), 65, "a flip at {place}: {error}");
                refused += 1;
            }
        }
    }
    eprintln!("{refused} refused, {served} without effect");
    assert!(refused > 100 && served > 0, "{refused} refused, {served} without effect");
}
