//! `law.md`, sentence by sentence, over the pure functions of `domain::law` and values that stand here.
//!
//! A test's name is its sentence in short. What only a whole daemon can show (leaves, order, what is durable) is in the
//! black-box tests and in the crash harness.

// clippy.toml lets tests unwrap; their helpers are not inside a `#[test]` and need to be let by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

#[path = "support/values.rs"]
mod values;

#[path = "law/checklist.rs"]
mod checklist;
#[path = "law/content.rs"]
mod content;
#[path = "law/custody.rs"]
mod custody;
#[path = "law/delegations.rs"]
mod delegations;
#[path = "law/ending.rs"]
mod ending;
#[path = "law/keys.rs"]
mod keys;
#[path = "law/limits.rs"]
mod limits;
#[path = "law/listing.rs"]
mod listing;
#[path = "law/recovery.rs"]
mod recovery;
#[path = "law/roots.rs"]
mod roots;
#[path = "law/rotation.rs"]
mod rotation;
#[path = "law/seeding.rs"]
mod seeding;
#[path = "law/standstill.rs"]
mod standstill;
#[path = "law/steps.rs"]
mod steps;
#[path = "law/supersede.rs"]
mod supersede;
#[path = "law/unguarded.rs"]
mod unguarded;
