//! The decisions. Each is a pure function over values; each denial names its rule.

pub mod attended;
pub mod ceremony;
pub mod challenge;
pub mod keys;
pub mod recover;
pub mod roots;
pub mod sign;
