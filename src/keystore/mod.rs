//! **Where private keys live.** One tiny trait; age files and PKCS#11 tokens behind it. Threads, no async; no roles.

pub mod settings;
