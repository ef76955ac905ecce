//! The decisions. Each is a pure function over values; each denial names its rule.

pub mod ceremony;
pub mod challenge;
pub mod clock;
pub mod keys;
pub mod roots;
pub mod sign;
