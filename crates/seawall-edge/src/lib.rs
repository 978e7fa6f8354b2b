//! Under construction.

pub mod access_log;
pub mod admin;
pub mod cdn_hint;
pub mod config;
pub mod metrics;
pub mod spool;
pub mod systemd;
pub mod tls;
