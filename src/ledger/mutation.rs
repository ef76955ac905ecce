//! Deliberate defects, so that the crash harness can show that it would see them. Only with the feature `mutations`.

/// A defect to switch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Answer before the commit.
    ReleaseBeforeCommit,
    /// Append the leaf, forget the guard.
    SkipGuardUpdate,
    /// Leave the sync to the operating system.
    SynchronousOff,
}

/// The defect that is switched on in this process, if this build can have one.
pub fn active() -> Option<Mutation> {
    #[cfg(feature = "mutations")]
    {
        static ACTIVE: std::sync::OnceLock<Option<Mutation>> = std::sync::OnceLock::new();
        *ACTIVE.get_or_init(|| match std::env::var("SEALWARD_MUTATION").as_deref() {
            Ok("release-before-commit") => Some(Mutation::ReleaseBeforeCommit),
            Ok("skip-guard-update") => Some(Mutation::SkipGuardUpdate),
            Ok("synchronous-off") => Some(Mutation::SynchronousOff),
            _ => None,
        })
    }
    #[cfg(not(feature = "mutations"))]
    None
}
