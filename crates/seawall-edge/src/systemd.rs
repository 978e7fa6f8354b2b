//! The notification protocol of systemd (`sd_notify(3)`), without libsystemd.
//!
//! One datagram per message to the socket named in `NOTIFY_SOCKET`. Nothing here can fail the
//! program: without systemd every call does nothing. Socket activation is elsewhere, because
//! adopting file descriptors is unsafe (`seawall-kernel`).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tracing::warn;

/// Speaks to the service manager, if there is one.
#[derive(Debug)]
pub struct Notifier {
    target: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`. A value that is no socket address is reported once and ignored.
    pub fn from_environment() -> Self {
        Self::new(std::env::var_os("NOTIFY_SOCKET"))
    }

    /// A notifier for this value of `NOTIFY_SOCKET`; `None` or an empty value: silent.
    pub fn new(address: Option<OsString>) -> Self {
        let Some(address) = address.filter(|a| !a.is_empty()) else { return Self { target: None } };
        match connect(&address) {
            Ok(target) => Self { target: Some(target) },
            Err(error) => {
                warn!(error.type = %error.kind(), "NOTIFY_SOCKET is unusable: {error}");
                Self { target: None }
            }
        }
    }

    /// Whether anybody listens.
    pub fn is_active(&self) -> bool {
        self.target.is_some()
    }

    /// Start-up (or a reload) is complete; `status` is shown by `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A reload begins. `monotonic` is the system's `CLOCK_MONOTONIC`, which systemd demands of
    /// `Type=notify-reload` services ([`monotonic_clock`]). Follow with [`Self::ready`].
    pub fn reloading(&self, monotonic: Duration) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic.as_micros()));
    }

    /// The drain begins.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// Only the line that `systemctl status` shows.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// The sign of life that `WatchdogSec=` asks for.
    pub fn watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        let Some((socket, address)) = &self.target else { return };
        // A manager that does not read must not stop us: the socket is non-blocking and a lost
        // message costs a line in a status display, except READY=1, which is sent while the
        // queue is empty.
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            warn!(error.type = %error.kind(), "cannot notify the service manager: {error}");
        }
    }
}

/// How often [`Notifier::watchdog`] is due: half of `WATCHDOG_USEC`, as `sd_watchdog_enabled(3)`
/// recommends. `None` if the value is absent, no number or zero, or if `WATCHDOG_PID` names another
/// process than `pid`.
pub fn watchdog_interval(
    usec: Option<&str>,
    pid_named: Option<&str>,
    pid: u32,
) -> Option<Duration> {
    if pid_named.is_some_and(|named| named.parse() != Ok(pid)) {
        return None;
    }
    let usec: u64 = usec?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec) / 2)
}

/// `CLOCK_MONOTONIC` of the system, as the manager understands it.
pub fn monotonic_clock() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn connect(address: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let bytes = address.as_bytes();
    let address = match bytes {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(address)?,
        // `vsock:` addresses are for virtual machines that are services themselves.
        _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "not a unix socket address")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// A line break in a status would start another variable.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
