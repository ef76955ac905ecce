//! `law.md`, sentence by sentence, over the pure functions of `domain::law` and values that stand here.
//!
//! A test's name is its sentence in short. What only a whole daemon can show (leaves, order, what is durable) is in the
//! black-box tests and in the crash harness.

// clippy.toml lets tests unwrap; their helpers are not inside a `#[test]` and need to be let by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

#[path = "support/values.rs"]
mod values;

#[path = "law/content.rs"]
mod content;
#[path = "law/keys.rs"]
mod keys;
#[path = "law/listing.rs"]
mod listing;
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
