//! The crash harness: clients that are hostile as well as busy, a daemon that is killed at random moments, and an oracle
//! that holds the clients' own logs against I1 to I6 of the design. `docs/crash-harness.md` tells how to read and run it.

// A test and its helpers may stop at the first surprise, and say what they saw.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod journal;
mod oracle;
