//! How much one caller, and one key, may take of a daemon that serves others too. (`law.md` section 7)

/// A bucket: `burst` at once, and `per_minute` in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub per_minute: u32,
    /// At once.
    pub burst: u32,
}

/// What the daemon hands out at most. Not the law's release rate, which is a guard's and durable: these begin full at each
/// start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Requests of one caller; each item of a batch is one.
    pub request_rate_per_caller: Rate,
    /// Signatures that one key is asked for.
    pub signature_rate_per_key: Rate,
    /// Denials of one caller that get a leaf of their own, per minute. Further ones are counted in one leaf per reason and
    /// minute, so that nobody who was let in fills the disk.
    pub denial_leaves_per_minute: u32,
}

impl Default for Quotas {
    /// Far above what a server of metadata asks for, and far below what would take a machine down.
    fn default() -> Self {
        let rate = Rate { per_minute: 60_000, burst: 5_000 };
        Self { request_rate_per_caller: rate, signature_rate_per_key: rate, denial_leaves_per_minute: 60 }
    }
}
