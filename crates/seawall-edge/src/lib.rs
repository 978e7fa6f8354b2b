//! The edge: listeners, TLS, HTTP, workers, the origin client, the admin doors.
//!
//! The only crate with async code. It translates between bytes and the values of the pure crates
//! and carries out what they decide; it decides nothing itself. One current-thread runtime and one
//! listening socket per core; a connection never moves.
//!
//! Read next: [`Server`] for the life of the process, `worker` for that of a connection, `serve`
//! for that of a request, `fetch` for what the origin is asked.
#![forbid(unsafe_code)]

pub mod access_log;
mod addresses;
pub mod admin;
mod answer;
mod archive;
mod buffers;
pub mod cdn_hint;
mod cheap_test;
mod clock;
pub mod config;
pub mod detection;
mod events;
mod fetch;
mod forward;
mod gates;
mod held;
mod http1;
mod http2;
mod learned;
mod listen;
mod memory;
pub mod metrics;
mod origin;
mod policy;
mod query;
pub mod recorder;
mod refusal;
mod reload;
mod run;
mod serve;
mod server;
mod shared;
mod slots;
pub mod spool;
mod state_file;
mod stream;
pub mod systemd;
pub mod tls;
mod tunnel;
mod view;
mod visitor;
pub mod watcher;
mod worker;

pub use crate::archive::{
    ArchiveOpenError, archive_dir, archive_options, archive_status, archived_page, sealing_key,
};
pub use crate::origin::OriginTlsError;
pub use crate::server::{ARCHIVE_DISK_SHARE, Reload, ServeError, Server, serve};
