//! Single options.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Hands a connection to `accept` only when its first bytes have come, so that a connection
/// without a request costs no wake-up (`TCP_DEFER_ACCEPT`, Linux tcp(7)).
///
/// For listening sockets whose clients speak first. After about `wait` (whole seconds, rounded up
/// to a number of SYN-ACK retransmissions) the connection is handed over without data, so header
/// time-outs stay needed. Zero turns it off.
///
/// # Errors
/// Those of setsockopt(2): the socket is not TCP. The caller may go on without.
pub fn set_defer_accept(listener: impl AsFd, wait: Duration) -> io::Result<()> {
    let up = u64::from(wait.subsec_nanos() > 0);
    let secs = libc::c_int::try_from(wait.as_secs().saturating_add(up)).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open for as long as `listener` is borrowed; the kernel reads
    // `size_of::<c_int>()` bytes from a live `c_int` and keeps no pointer.
    let status = unsafe {
        libc::setsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const secs).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::set_defer_accept;

    #[test]
    fn a_silent_connection_is_not_handed_over_until_it_speaks() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        set_defer_accept(&listener, Duration::from_millis(5_500)).expect("a TCP listener");
        listener.set_nonblocking(true).expect("open socket");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("handshake");
        let silent = listener.accept().expect_err("nothing was sent");
        assert_eq!(silent.kind(), ErrorKind::WouldBlock);

        client.write_all(b"GET").expect("connected");
        let mut ready = [PollFd::new(&listener, PollFlags::IN)];
        let five_secs = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
        assert_eq!(poll(&mut ready, Some(&five_secs)).expect("poll"), 1, "data wakes the listener");
        listener.accept().expect("data was sent");
    }

    #[test]
    fn a_socket_that_is_not_tcp_is_an_error() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        set_defer_accept(&socket, Duration::from_secs(1)).expect_err("UDP has no such option");
    }
}
