//! The decisions. Each is a pure function over values; each denial names its rule.

pub mod ceremony;
pub mod challenge;
mod key_template;
pub mod keys;
pub mod roots;
pub mod sign;
