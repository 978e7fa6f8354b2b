//! Dropping SYNs of given sources below accept.
//!
//! A classic BPF program on the *listening* socket (`SO_ATTACH_FILTER`) sees each segment before
//! the handshake does. It needs no privilege and no XDP, and a dropped SYN is not answered at all.
//!
//! Accepted sockets inherit the program; it lets everything but SYNs through after two
//! instructions there. It looks at the address on the wire, so it must not hold sources that come
//! through a trusted proxy. Lookup is linear: for tens to hundreds of prefixes. Beyond the kernel's
//! limit of 4,096 instructions it is an error; the deny list of `seawall-decide` knows no such
//! bound.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use seawall_model::Prefix;
use socket2::{SockFilter, SockRef};
use thiserror::Error;

/// A program that drops SYNs, ready to be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerFilter {
    program: Vec<Instruction>,
}

/// A program could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// Beyond what the kernel takes (`BPF_MAXINSNS`).
    #[error(
        "the filter needs {instructions} instructions, but the kernel takes {MAX_INSTRUCTIONS}; use fewer prefixes"
    )]
    TooLong {
        /// How many it would need.
        instructions: usize,
    },
}

impl ListenerFilter {
    /// A program that drops SYNs from `sources` and lets everything else through.
    ///
    /// Takes three or four instructions for an IPv4 prefix, up to ten for an IPv6 one.
    ///
    /// # Errors
    /// [`FilterError::TooLong`]: leave some out, or refuse them at accept.
    pub fn dropping(sources: &[Prefix]) -> Result<Self, FilterError> {
        let (v4, v6) =
            sources.iter().partition::<Vec<Prefix>, _>(|prefix| prefix.network().is_ipv4());
        let v4: Vec<Instruction> = v4.into_iter().flat_map(drop_from).collect();
        let v6: Vec<Instruction> = v6.into_iter().flat_map(drop_from).collect();
        let mut program = vec![
            // The filter of a TCP socket starts at the TCP header (RFC 9293 §3.1): byte 13 holds
            // the flags. A first SYN has no ACK.
            Instruction::new(LOAD_BYTE, TCP_FLAGS),
            Instruction::new(AND, SYN | ACK),
            Instruction::jump(JUMP_EQUAL, SYN, 1, 0),
            PASS,
            // A dual-stack listener gets both versions: the first half byte of the IP header.
            Instruction::new(LOAD_BYTE, NETWORK_HEADER),
            Instruction::new(AND, 0xf0),
            Instruction::jump(JUMP_EQUAL, 0x40, 1, 0),
            // Conditional jumps reach 255 instructions, this one any.
            Instruction::new(JUMP, v4.len() as u32 + 1),
        ];
        program.extend(v4);
        program.push(PASS);
        program.push(Instruction::jump(JUMP_EQUAL, 0x60, 1, 0));
        program.push(PASS);
        program.extend(v6);
        program.push(PASS);
        if program.len() > MAX_INSTRUCTIONS {
            return Err(FilterError::TooLong { instructions: program.len() });
        }
        Ok(Self { program })
    }

    /// Puts the program on a listening socket, in place of one it may have.
    ///
    /// # Errors
    /// Those of setsockopt(2). The listener works on as before.
    pub fn attach(&self, listener: &impl AsFd) -> io::Result<()> {
        let program: Vec<SockFilter> = self
            .program
            .iter()
            .map(|step| SockFilter::new(step.code, step.if_true, step.if_false, step.operand))
            .collect();
        SockRef::from(listener).attach_filter(&program)
    }

    /// Takes the program of a listening socket off.
    ///
    /// # Errors
    /// Those of setsockopt(2); `NotFound` if there is none.
    pub fn detach(listener: &impl AsFd) -> io::Result<()> {
        SockRef::from(listener).detach_filter()
    }
}

/// One classic BPF instruction (kernel: Documentation/networking/filter.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    operand: u32,
}

impl Instruction {
    const fn new(code: u16, operand: u32) -> Self {
        Self { code, if_true: 0, if_false: 0, operand }
    }

    const fn jump(code: u16, operand: u32, if_true: u8, if_false: u8) -> Self {
        Self { code, if_true, if_false, operand }
    }
}

/// Compares the source address with one prefix, word by word; falls through if it differs.
fn drop_from(prefix: Prefix) -> Vec<Instruction> {
    let (network, first) = match prefix.network() {
        // RFC 791 §3.1, RFC 8200 §3.
        IpAddr::V4(ip) => (ip.octets().to_vec(), NETWORK_HEADER + 12),
        IpAddr::V6(ip) => (ip.octets().to_vec(), NETWORK_HEADER + 8),
    };
    let mut steps = Vec::new();
    let mut bits = u32::from(prefix.bits());
    for (index, word) in network.as_chunks::<4>().0.iter().enumerate() {
        if bits == 0 {
            break;
        }
        steps.push(Instruction::new(LOAD_WORD, first + 4 * index as u32));
        if bits < 32 {
            steps.push(Instruction::new(AND, !(u32::MAX >> bits)));
        }
        steps.push(Instruction::jump(JUMP_EQUAL, u32::from_be_bytes(*word), 0, 0));
        bits = bits.saturating_sub(32);
    }
    steps.push(DROP);
    // A word that differs leads past the end: at most 13 steps, so it fits in a byte.
    let len = steps.len();
    for (at, step) in steps.iter_mut().enumerate() {
        if step.code == JUMP_EQUAL {
            step.if_false = (len - 1 - at) as u8;
        }
    }
    steps
}

const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const DROP: Instruction = Instruction::new(RETURN, 0);
/// The operand is how many bytes to keep: all.
const PASS: Instruction = Instruction::new(RETURN, u32::MAX);

/// Loads at or above this offset count from the network header (`SKF_NET_OFF`).
const NETWORK_HEADER: u32 = libc::SKF_NET_OFF as u32;
const TCP_FLAGS: u32 = 13;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;
/// `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use socket2::{Domain, Socket, Type};

    use super::{FilterError, ListenerFilter, MAX_INSTRUCTIONS, Prefix};

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().expect("valid prefix")).collect()
    }

    /// Starts a connection from `source`; loopback answers within the call if it answers at all.
    fn start(source: &str, to: SocketAddr) -> Socket {
        let source = SocketAddr::new(source.parse().expect("test address"), 0);
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("socket");
        socket.set_nonblocking(true).expect("open socket");
        socket.bind(&source.into()).expect("loopback address");
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(pending) => assert_eq!(pending.raw_os_error(), Some(libc::EINPROGRESS)),
        }
        socket
    }

    fn is_established(socket: &Socket, patience: Timespec) -> bool {
        let mut ready = [PollFd::new(socket, PollFlags::OUT)];
        poll(&mut ready, Some(&patience)).expect("poll") == 1
    }

    const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    const PATIENTLY: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

    /// Goal: SYNs of filtered sources get no answer, others do. Method: start the filtered ones
    /// first; when a later one has been answered, theirs would have been too.
    #[track_caller]
    fn check(bind: &str, drop: &[&str], dropped: &[&str], passed: &[&str]) {
        let Ok(listener) = TcpListener::bind((bind.parse::<IpAddr>().expect("address"), 0)) else {
            // A machine without IPv6; the program is the same with its address length.
            assert!(bind.contains(':'), "IPv4 loopback is always there");
            return;
        };
        let port = listener.local_addr().expect("bound").port();
        let to = |source: &str| {
            let ip: IpAddr = source.parse().expect("test address");
            let loopback = if ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { ip };
            SocketAddr::new(loopback, port)
        };
        let filter = ListenerFilter::dropping(&prefixes(drop)).expect("short program");
        filter.attach(&listener).expect("kernel takes the program");

        let held: Vec<Socket> = dropped.iter().map(|source| start(source, to(source))).collect();
        for source in passed {
            let socket = start(source, to(source));
            assert!(is_established(&socket, PATIENTLY), "{source} passes {drop:?}");
            let (_, peer) = listener.accept().expect("established");
            assert_eq!(peer.ip().to_canonical(), source.parse::<IpAddr>().expect("test address"));
        }
        for (socket, source) in held.iter().zip(dropped) {
            assert!(!is_established(socket, AT_ONCE), "{source} is dropped by {drop:?}");
        }
        drop_is_undone_by_detach(&listener, dropped, to);
    }

    #[track_caller]
    fn drop_is_undone_by_detach(
        listener: &TcpListener,
        dropped: &[&str],
        to: impl Fn(&str) -> SocketAddr,
    ) {
        ListenerFilter::detach(listener).expect("one is attached");
        for source in dropped {
            assert!(is_established(&start(source, to(source)), PATIENTLY), "{source} passes again");
        }
        let none = ListenerFilter::detach(listener).expect_err("none is attached");
        assert_eq!(none.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn syns_of_filtered_sources_are_dropped_and_others_accepted() {
        check("127.0.0.1", &["127.0.0.2"], &["127.0.0.2"], &["127.0.0.3", "127.0.0.1"]);
        check(
            "127.0.0.1",
            &["192.0.2.0/24", "127.1.0.0/16", "127.2.3.128/25"],
            &["127.1.2.3", "127.2.3.200"],
            &["127.2.3.4", "127.3.0.1"],
        );
        check("127.0.0.1", &[], &[], &["127.0.0.1"]);
    }

    #[test]
    fn a_dual_stack_listener_filters_both_versions() {
        check("::", &["127.0.0.2", "2001:db8::/32"], &["127.0.0.2"], &["127.0.0.3", "::1"]);
        check("::", &["::1"], &["::1"], &["127.0.0.3"]);
        check("::", &["::/0"], &["::1"], &["127.0.0.3"]);
        check("::", &["::/100"], &["::1"], &["127.0.0.3"]);
    }

    #[test]
    fn a_program_beyond_the_limit_of_the_kernel_is_an_error() {
        let many: Vec<Prefix> = (0..1_400u32)
            .map(|low| Prefix::new(Ipv4Addr::from_bits(low).into(), 32).expect("32 bits"))
            .collect();
        let refused = ListenerFilter::dropping(&many).expect_err("3 instructions each");
        let FilterError::TooLong { instructions } = refused;
        assert!(instructions > MAX_INSTRUCTIONS);
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let fits = ListenerFilter::dropping(&many[..1_300]).expect("fits");
        fits.attach(&listener).expect("kernel takes a program of this length");
    }
}
