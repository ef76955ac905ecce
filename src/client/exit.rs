//! Exit codes of what never reached the daemon's table, after sysexits(3). `docs/exit-codes.md` lists all of them.

/// The command line is wrong.
pub const USAGE: u8 = 64;
/// An input file is missing or unreadable.
pub const NO_INPUT: u8 = 66;
/// The daemon cannot be reached.
pub const UNAVAILABLE: u8 = 69;
/// A defect of ours.
pub const SOFTWARE: u8 = 70;
/// Output cannot be written.
pub const IO: u8 = 74;
/// The same command may do later.
pub const TEMPORARY: u8 = 75;
/// What answered does not speak `sealward.v1` as this program knows it.
pub const PROTOCOL: u8 = 76;
/// Every denial, and nothing else.
pub const DENIED: u8 = 77;
/// A file that configures this program is not fit for use.
pub const CONFIG: u8 = 78;
