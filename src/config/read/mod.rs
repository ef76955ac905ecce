//! One file per table: the walk turned into settings.

pub(super) mod daemon;
pub(super) mod grant;
pub(super) mod keystore;
pub(super) mod listener;
pub(super) mod oidc;
pub(super) mod person;
pub(super) mod place;
pub(super) mod repository;
mod roles;
pub(super) mod secret;
