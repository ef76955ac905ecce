//! Freezes and latches over a real ledger and real keys, with a clock and a token that the test holds still.

// clippy.toml lets tests unwrap; their helpers are not inside a `#[test]` and need to be let by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

#[path = "support/values.rs"]
mod values;

#[path = "switches/bench.rs"]
mod bench;
#[path = "switches/clock.rs"]
mod clock;
#[path = "switches/freeze.rs"]
mod freeze;
#[path = "switches/keystore.rs"]
mod keystore;
#[path = "switches/machine.rs"]
mod machine;
#[path = "switches/reload.rs"]
mod reload;
