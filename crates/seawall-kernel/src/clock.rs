//! What the kernel was told of its clock by whoever keeps it.

use std::io;
use std::time::Duration;

/// How far the clock is from true time, by the word of what keeps it (chronyd, ntpd, systemd-timesyncd).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptClock {
    /// Nanoseconds that it is ahead; negative: behind.
    pub ahead_ns: i64,
    /// By how much that may be wrong at most. It grows from one correction to the next.
    pub error: Duration,
}

/// What is known of the clock (adjtimex(2), read only: needs no privilege and asks nobody). `None` if nobody keeps it.
/// One system call, which never waits.
///
/// # Errors
/// Those of adjtimex(2): a sandbox may forbid it.
pub fn kept_clock() -> io::Result<Option<KeptClock>> {
    // SAFETY: the structure is of numbers only, for which zeros are a value; no mode asks for a change.
    let mut told = unsafe { std::mem::zeroed::<libc::timex>() };
    // SAFETY: the kernel writes into a live structure of the type that it expects, and keeps no pointer.
    let state = unsafe { libc::adjtimex(&raw mut told) };
    if state < 0 { Err(io::Error::last_os_error()) } else { Ok(read(&told, state)) }
}

fn read(told: &libc::timex, state: libc::c_int) -> Option<KeptClock> {
    if state == libc::TIME_ERROR || told.status & libc::STA_UNSYNC != 0 {
        return None;
    }
    // What remains to be added to the clock: a positive number is one that is behind.
    let unit_ns = if told.status & libc::STA_NANO == 0 { 1_000 } else { 1 };
    let ahead_ns = told.offset.saturating_mul(unit_ns).saturating_neg();
    let error_us = told.maxerror.max(told.esterror).max(0);
    Some(KeptClock { ahead_ns, error: Duration::from_micros(error_us as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: libc::c_int, offset: libc::c_long) -> libc::timex {
        // SAFETY: as above.
        let told = unsafe { std::mem::zeroed::<libc::timex>() };
        libc::timex { status, offset, maxerror: 2_500, esterror: 40, ..told }
    }

    #[test]
    fn a_clock_that_nobody_keeps_tells_nothing() {
        assert_eq!(read(&told(libc::STA_UNSYNC, 0), libc::TIME_ERROR), None);
        assert_eq!(read(&told(libc::STA_UNSYNC, 0), 0), None);
        assert_eq!(read(&told(0, 0), libc::TIME_ERROR), None);
    }

    #[test]
    fn what_remains_to_be_added_is_how_far_it_is_behind() {
        let error = Duration::from_micros(2_500);
        for (status, offset, ahead_ns) in [
            (0, 7, -7_000),
            (libc::STA_NANO, 7, -7),
            (libc::STA_NANO, -1_250_000, 1_250_000),
            (0, libc::c_long::MIN, i64::MAX),
        ] {
            assert_eq!(read(&told(status, offset), 0), Some(KeptClock { ahead_ns, error }));
        }
    }

    #[test]
    fn asking_changes_nothing_and_needs_no_privilege() {
        match kept_clock() {
            Ok(Some(kept)) => assert!(kept.error < Duration::from_secs(3_600), "{kept:?}"),
            Ok(None) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}"),
        }
    }
}
