//! Freezes, latches, and what happens between a decision and its commit: over a real ledger and real keys, with a clock
//! and a token that the test holds still.

// clippy.toml lets tests unwrap; their helpers are not inside a `#[test]` and need to be let by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

#[path = "support/values.rs"]
mod values;

#[allow(dead_code, unreachable_pub)]
#[path = "support/roots.rs"]
mod roots;

#[path = "switches/bench.rs"]
mod bench;
#[path = "switches/clock.rs"]
mod clock;
#[path = "switches/destruction.rs"]
mod destruction;
#[path = "switches/freeze.rs"]
mod freeze;
#[path = "switches/keystore.rs"]
mod keystore;
#[path = "switches/machine.rs"]
mod machine;
#[path = "switches/meanwhile.rs"]
mod meanwhile;
#[path = "switches/people.rs"]
mod people;
#[path = "switches/races.rs"]
mod races;
#[path = "switches/reload.rs"]
mod reload;
#[path = "switches/seeding.rs"]
mod seeding;
