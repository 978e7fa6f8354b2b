//! The only place in the data plane that reads a clock.
//!
//! Everything else takes `now` as an argument, so that it can be replayed. Both readings of time go
//! through the vDSO (about 25 ns); that of processor time is a system call.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use seawall_model::{Instant, WallTime};

/// The monotonic time since the first call.
#[allow(clippy::disallowed_methods, reason = "the one place that reads this clock")]
pub(crate) fn now() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let start = *START.get_or_init(std::time::Instant::now);
    // One second of head room, so that "a moment before the start" is still representable.
    Instant::from_nanos(1_000_000_000) + start.elapsed()
}

/// The wall time; the epoch itself if the system's clock stands before it.
#[allow(clippy::disallowed_methods, reason = "the one place that reads this clock")]
pub(crate) fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    WallTime::from_unix_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The processor time that this thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(used.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), nanos)
}

/// Whole days from `from` to `to`; 0 if `to` has passed.
pub(crate) fn days_between(from: WallTime, to: WallTime) -> u64 {
    to.saturating_since(from).as_secs() / 86_400
}
