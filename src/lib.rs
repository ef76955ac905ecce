//! sealward: a signing daemon that reads what it signs.
//!
//! The rooms, and what each is for. Who may use whom is a table in `tests/architecture.rs`.
//!
//! - [`domain`]: the law. What may be signed, as pure values and decisions.

pub mod domain;
