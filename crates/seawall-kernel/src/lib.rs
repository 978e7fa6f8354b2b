//! What of the system no safe crate offers: socket options, inherited sockets, the allocator's spare pages, who keeps
//! the clock.
//!
//! Separate because it is the one crate where unsafe code is allowed; each use says why it is
//! sound. Looked up before anything was written: socket2 0.6 sets `SO_REUSEPORT`,
//! `SO_INCOMING_CPU`, `TCP_USER_TIMEOUT`, `SO_LINGER` (zero: reset on close) and attaches socket
//! filters, rustix 1.1 raises `RLIMIT_NOFILE`; none of that is wrapped again. What is left:
//!
//! - [`set_defer_accept`]: connections are handed over when their first bytes are there;
//! - [`bytes_acked`]: what the peer has taken, and not only the kernel;
//! - [`take_activation_fds`]: takes listening sockets over from systemd;
//! - [`give_back_free_heap`]: what was freed goes back to the system;
//! - [`kept_clock`]: how far the clock is off, by what keeps it (rustix 1.1 reads and sets clocks, and has no adjtimex).
//!
//! It does **not** open any socket. `TCP_FASTOPEN` is left out on
//! purpose: data in a SYN may be replayed and spoofed.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    reason = "the one place for it: what the kernel offers and no safe crate wraps"
)]

mod activation;
mod clock;
mod heap;
mod options;

pub use crate::activation::{ActivationError, take_activation_fds};
pub use crate::clock::{KeptClock, kept_clock};
pub use crate::heap::give_back_free_heap;
pub use crate::options::{bytes_acked, set_defer_accept};
