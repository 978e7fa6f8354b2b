//! Socket activation: listening sockets opened by systemd (sd_listen_fds(3)).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

/// Sockets could not be taken over.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// `LISTEN_FDS` is no usable number.
    #[error("`LISTEN_FDS` is `{0}`, but must be a number up to {MAX_FDS}")]
    Count(String),
    /// A promised descriptor is not open.
    #[error("descriptor {fd} was promised by `LISTEN_FDS` but is not open")]
    NotOpen {
        /// Its number.
        fd: RawFd,
        /// What fcntl(2) said.
        #[source]
        source: io::Error,
    },
    /// They were taken before in this process.
    #[error("the sockets of `LISTEN_FDS` were taken over before")]
    TakenBefore,
}

/// Takes over the sockets that the service manager opened for this process: descriptors 3 up to
/// 3 + `LISTEN_FDS`, marked close-on-exec. Empty if the variables are unset or meant for another
/// process.
///
/// `listen_pid` and `listen_fds` are the values of those environment variables, `own_pid` is that
/// of this process. Call it once, before anything else in the process opens a descriptor: what is
/// open from 3 on then came from the parent, and nobody else owns it.
///
/// # Errors
/// [`ActivationError`]; the unit or what started this process is wrong, so stop and say so.
pub fn take_activation_fds(
    listen_pid: Option<&str>,
    listen_fds: Option<&str>,
    own_pid: u32,
) -> Result<Vec<OwnedFd>, ActivationError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let count = count_for(listen_pid, listen_fds, own_pid)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(ActivationError::TakenBefore);
    }
    // SAFETY: descriptors from 3 on were opened for this process by its parent, as `LISTEN_PID`
    // says, and `TAKEN` lets this line run once, so nothing else in the process owns them.
    unsafe { take(FIRST_FD, count) }
}

fn count_for(
    listen_pid: Option<&str>,
    listen_fds: Option<&str>,
    own_pid: u32,
) -> Result<u16, ActivationError> {
    let (Some(pid), Some(count)) = (listen_pid, listen_fds) else { return Ok(0) };
    // Variables inherited by a child of the activated process are not for the child.
    if pid.parse() != Ok(own_pid) {
        return Ok(0);
    }
    let parsed = count.parse().ok().filter(|&count| count <= MAX_FDS);
    parsed.ok_or_else(|| ActivationError::Count(count.to_owned()))
}

/// # Safety
/// Nothing in this process owns the `count` descriptors from `first` on.
unsafe fn take(first: RawFd, count: u16) -> Result<Vec<OwnedFd>, ActivationError> {
    let mut taken = Vec::with_capacity(usize::from(count));
    for fd in first..first + RawFd::from(count) {
        // SAFETY: F_SETFD takes an integer and touches no memory; on a closed descriptor it fails.
        let status = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        if status == -1 {
            let source = io::Error::last_os_error();
            return Err(ActivationError::NotOpen { fd, source });
        }
        // SAFETY: it is open, as fcntl just said, and the caller promises that nobody owns it.
        taken.push(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    Ok(taken)
}

/// `SD_LISTEN_FDS_START`.
const FIRST_FD: RawFd = 3;
/// Far more than any unit lists.
const MAX_FDS: u16 = 1_024;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::{ActivationError, RawFd, count_for, take, take_activation_fds};

    #[track_caller]
    fn check(pid: Option<&str>, fds: Option<&str>, want: Option<u16>) {
        assert_eq!(count_for(pid, fds, 42).ok(), want, "{pid:?} {fds:?}");
    }

    #[test]
    fn variables_count_only_for_the_process_they_name() {
        check(None, None, Some(0));
        check(Some("42"), None, Some(0));
        check(None, Some("1"), Some(0));
        check(Some("41"), Some("1"), Some(0));
        check(Some("x"), Some("1"), Some(0));
        check(Some("42"), Some("0"), Some(0));
        check(Some("42"), Some("2"), Some(2));
        check(Some("42"), Some("1024"), Some(1024));
        for bad in ["", "x", "-1", "1025", "99999999999"] {
            check(Some("42"), Some(bad), None);
        }
    }

    #[test]
    fn without_activation_nothing_is_taken() {
        let taken = take_activation_fds(None, None, 42).expect("no variables, no error");
        assert!(taken.is_empty());
    }

    #[test]
    fn an_inherited_listener_accepts() {
        const AT: RawFd = 700;
        let opened = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = opened.local_addr().expect("bound");
        // SAFETY: dup2 touches no memory; nothing in this test process is at 700.
        let at = unsafe { libc::dup2(opened.as_raw_fd(), AT) };
        assert_eq!(at, AT);
        drop(opened);
        // SAFETY: 700 was just made and has no owner.
        let mut taken = unsafe { take(AT, 1) }.expect("open descriptor");
        let listener = TcpListener::from(taken.pop().expect("one was taken"));
        let client = TcpStream::connect(address).expect("listening");
        let (_, peer) = listener.accept().expect("connected");
        assert_eq!(peer, client.local_addr().expect("connected"));
    }

    #[test]
    fn a_promised_descriptor_that_is_not_open_is_an_error() {
        // SAFETY: nothing in this test process is at 900, and the call says so.
        let refused = unsafe { take(900, 1) }.expect_err("not open");
        assert!(matches!(refused, ActivationError::NotOpen { fd: 900, .. }), "{refused}");
    }
}
