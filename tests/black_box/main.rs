//! The built daemon, its client and its command line, from outside. Names are sentences.

// clippy.toml lets tests unwrap; their helpers are not inside a `#[test]` and need to be let by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod administrator;
mod approvals;
mod bad_input;
mod certificates;
mod ci;
mod delegated;
mod doors;
mod examples;
mod first_light;
mod first_repository_page;
mod floods;
mod guard;
mod ledger_faults;
mod quotas;
mod reload;
mod roots;
mod rotation;
mod rotation_kills;
mod rotation_page;
mod sign_stream;
mod start_up;
mod switches;
mod thresholds;
mod tokens;
