//! The built daemon, its client and its command line, from outside. Names are sentences.

#[path = "../support/mod.rs"]
mod support;

mod first_light;
mod ledger_faults;
