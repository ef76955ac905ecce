//! The built daemon, its client and its command line, from outside. Names are sentences.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod doors;
mod examples;
mod first_light;
mod roots;
