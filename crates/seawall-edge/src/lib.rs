//! Under construction.

pub mod cdn_hint;
pub mod metrics;
pub mod systemd;
