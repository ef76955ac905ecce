//! The decisions. Each is a pure function over values; each denial names its rule.

pub mod attended;
pub mod ceremony;
pub mod challenge;
pub mod clock;
pub mod destroy;
mod key_template;
pub mod keys;
pub mod recover;
pub mod retire;
pub mod roots;
pub mod rotation;
pub mod sign;
