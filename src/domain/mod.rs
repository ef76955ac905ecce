//! **The law.** What may be signed, by whom, when: pure values and decisions.
//!
//! Nothing here reads a clock, a file, a socket or the environment; everything that a decision needs is an argument.
//! That is what makes the law testable to the last sentence, and `sealward explain` honest.

pub mod algorithm;
pub mod approval;
pub mod audit_event;
pub mod caller;
pub mod delegation;
pub mod freeze;
pub mod grant;
pub mod guard;
pub mod key;
pub mod key_history;
pub mod law;
pub mod name;
pub mod outcome;
pub mod permit;
pub mod person;
pub mod policy;
pub mod public_key;
pub mod quota;
pub mod root;
pub mod signature;
pub mod statement;
pub mod switches;
pub mod thresholds;
pub mod time;
