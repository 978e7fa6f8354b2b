//! Hard caps of every rehearsal, whatever its job asks for.
//!
//! They are constants so that no configuration, flag or message can raise them. They are sized for
//! one two-core machine that runs the site, the shield and the traffic at once (open files 20,000).

use std::time::Duration;

/// A child process lives no longer than this, whatever it was asked. Covers a demo of ten minutes.
pub const MAX_RUN: Duration = Duration::from_secs(900);

/// Connections open at once in one process. Well under half of 20,000 open files, since the shield
/// needs one descriptor for each on the same machine.
pub const MAX_CONNECTIONS: usize = 5_000;

/// Requests of one process in any one second. The benchmark's flood makes 5,000.
pub const MAX_REQUESTS_PER_SECOND: u64 = 6_000;

/// Requests of one process in its life.
pub const MAX_REQUESTS: u64 = 1_000_000;

/// Distinct 127.x source addresses of one run.
pub const MAX_SOURCES: usize = 4_096;

/// Bytes of a response head that a client here reads.
pub const MAX_RESPONSE_HEAD: usize = 16 * 1024;

/// Bytes of a response body that a client here reads, on the wire or decoded. The largest page of
/// the sample site has under 64 KiB.
pub const MAX_RESPONSE_BODY: usize = 512 * 1024;

/// Descriptors a process leaves unused for standard streams, the runtime and luck.
pub const SPARE_FILES: u64 = 64;

/// Bytes that the attacks of one self-test send. A whole one takes a few megabytes.
pub const MAX_ATTACK_BYTES: u64 = 256 * 1024 * 1024;
