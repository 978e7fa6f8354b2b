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

/// Bytes that the peer has acknowledged over the life of the connection (`tcpi_bytes_acked` of
/// `TCP_INFO`, Linux 4.1 and later). What was written and is still in the kernel does not count: it says
/// how fast a reader takes an answer where the size of the socket's buffer would hide it.
///
/// # Errors
/// Those of getsockopt(2): the socket is not TCP. `Unsupported` on a kernel that does not tell.
pub fn bytes_acked(socket: impl AsFd) -> io::Result<u64> {
    /// `struct tcp_info` of linux/tcp.h, up to and with the field; the one of `libc` ends before it.
    #[repr(C)]
    struct TcpInfo {
        bytes: [u8; 8],
        words: [u32; 24],
        pacing_rates: [u64; 2],
        bytes_acked: u64,
    }
    let mut info = TcpInfo { bytes: [0; 8], words: [0; 24], pacing_rates: [0; 2], bytes_acked: 0 };
    let mut len = size_of::<TcpInfo>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel writes at most
    // `len` bytes into a live struct of that size, for which every bit pattern is valid, and keeps no
    // pointer.
    let status = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    if (len as usize) < size_of::<TcpInfo>() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(info.bytes_acked)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::{bytes_acked, set_defer_accept};

    #[test]
    fn what_a_peer_has_not_taken_is_not_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let mut reader = TcpStream::connect(address).expect("handshake");
        let (mut writer, _) = listener.accept().expect("connected");
        let before = bytes_acked(&writer).expect("a TCP socket");
        writer.set_nonblocking(true).expect("open socket");
        let mut written = 0;
        // Delivery may be late and make room again: it is full when it stays so for a while.
        let a_while = rustix::event::Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        while poll(&mut [PollFd::new(&writer, PollFlags::OUT)], Some(&a_while)).expect("poll") > 0 {
            while let Ok(more) = writer.write(&[7; 64 * 1024]) {
                written += more as u64;
            }
        }
        let stuck = bytes_acked(&writer).expect("a TCP socket") - before;
        assert!(stuck < written, "{stuck} of {written} bytes fit into the reader's own buffer");
        drop(writer.shutdown(std::net::Shutdown::Write));
        let read = reader.read_to_end(&mut Vec::new()).expect("connected") as u64;
        assert_eq!(read, written);
        // An acknowledgement may be late, but not later than the end of the other direction.
        drop(reader);
        writer.set_nonblocking(false).expect("open socket");
        assert_eq!(writer.read(&mut [0]).expect("an orderly end"), 0);
        let all = bytes_acked(&writer).expect("a TCP socket") - before;
        assert!(all >= written, "{all} of {written}");
    }

    #[test]
    fn a_socket_that_is_not_tcp_tells_nothing() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        bytes_acked(&socket).expect_err("UDP acknowledges nothing");
    }

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
