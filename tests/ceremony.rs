//! The offline root through the built `sealward-ceremony`: the whole course, its refusals, its page, its dependencies.

// A test and its helpers may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "ceremony/course.rs"]
mod course;
#[path = "ceremony/dependencies.rs"]
mod dependencies;
#[path = "ceremony/input.rs"]
mod input;
#[path = "ceremony/page.rs"]
mod page;
#[path = "support/python/peer.rs"]
mod peer;
#[path = "ceremony/refusals.rs"]
mod refusals;
#[path = "ceremony/terminal.rs"]
mod terminal;
#[path = "ceremony/world.rs"]
mod world;
