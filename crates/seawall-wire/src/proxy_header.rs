//! The PROXY protocol header, versions 1 and 2 (HAProxy, `doc/proxy-protocol.txt`).
//!
//! Separate because it comes before everything else on a connection, TLS included. It deliberately
//! does **not** ask whether the peer may send one: that is the caller's first question.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use memchr::memchr;
use seawall_model::Misbehaviour;

use crate::h1::target::parse_port;

/// What stands at the start of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyParse {
    /// More bytes are needed.
    Partial,
    /// A whole header.
    Complete {
        /// Bytes of the header.
        consumed: usize,
        /// Who connected to the proxy. `None` if the proxy speaks for itself (`LOCAL`: health
        /// checks) or the address is none of TCP/IP (`UNKNOWN`, UNIX): use the peer's.
        source: Option<SocketAddr>,
        /// Where the client connected to; `None` with `source`.
        destination: Option<SocketAddr>,
    },
}

/// Reads the header at the start of `buf`. At most 4 KiB are looked at. O(bytes), no allocation.
///
/// # Errors
/// [`Misbehaviour::ProxyHeader`] if the bytes begin no acceptable header. Close the connection: a
/// proxy that was told to send a header and does not must not be believed (specification §2.1).
pub fn parse(buf: &[u8]) -> Result<ProxyParse, Misbehaviour> {
    let prefix = buf.len().min(SIGNATURE_V2.len());
    if buf.get(..prefix) == SIGNATURE_V2.get(..prefix) {
        return if prefix < SIGNATURE_V2.len() { Ok(ProxyParse::Partial) } else { v2(buf) };
    }
    let prefix = buf.len().min(SIGNATURE_V1.len());
    if buf.get(..prefix) == SIGNATURE_V1.get(..prefix) {
        return if prefix < SIGNATURE_V1.len() { Ok(ProxyParse::Partial) } else { v1(buf) };
    }
    Err(Misbehaviour::ProxyHeader)
}

const SIGNATURE_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// §2.1: the longest line, with CRLF.
const MAX_V1_BYTES: usize = 107;
const V2_HEADER_BYTES: usize = 16;
/// The length field allows 64 KiB; addresses need 216 bytes, and TLVs with a client certificate's
/// name a few hundred.
const MAX_V2_BYTES: usize = 4096;

/// §2.1: `PROXY TCP4|TCP6|UNKNOWN <source> <destination> <source port> <destination port>`.
fn v1(buf: &[u8]) -> Result<ProxyParse, Misbehaviour> {
    const BAD: Misbehaviour = Misbehaviour::ProxyHeader;
    let window = buf.get(..MAX_V1_BYTES).unwrap_or(buf);
    let Some(line_end) = memchr(b'\n', window) else {
        return if window.len() < MAX_V1_BYTES { Ok(ProxyParse::Partial) } else { Err(BAD) };
    };
    let consumed = line_end + 1;
    let line = window.get(SIGNATURE_V1.len()..line_end).unwrap_or(&[]);
    let line = core::str::from_utf8(line).ok().and_then(|line| line.strip_suffix('\r'));
    let line = line.ok_or(BAD)?;
    // What follows UNKNOWN is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(ProxyParse::Complete { consumed, source: None, destination: None });
    }
    let mut words = line.split(' ');
    let mut word = || words.next().ok_or(BAD);
    let ip: fn(&str) -> Option<IpAddr> = match word()? {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err(BAD),
    };
    let source = ip(word()?).ok_or(BAD)?;
    let destination = ip(word()?).ok_or(BAD)?;
    let source_port = parse_port(word()?.as_bytes()).ok_or(BAD)?;
    let destination_port = parse_port(word()?.as_bytes()).ok_or(BAD)?;
    if words.next().is_some() {
        return Err(BAD);
    }
    Ok(ProxyParse::Complete {
        consumed,
        source: Some(SocketAddr::new(source, source_port)),
        destination: Some(SocketAddr::new(destination, destination_port)),
    })
}

/// §2.2. The type-length-value part is skipped.
fn v2(buf: &[u8]) -> Result<ProxyParse, Misbehaviour> {
    const BAD: Misbehaviour = Misbehaviour::ProxyHeader;
    let rest = buf.get(SIGNATURE_V2.len()..).unwrap_or(&[]);
    // Each byte is judged as soon as it is there.
    let (version_command, family) = match *rest {
        [version_command, ..] if !matches!(version_command, 0x20 | 0x21) => return Err(BAD),
        [_, family, ..] if family >> 4 > 3 || family & 15 > 2 => return Err(BAD),
        [version_command, family, _, _, ..] => (version_command, family),
        _ => return Ok(ProxyParse::Partial),
    };
    let len = rest.get(2..).and_then(<[u8]>::first_chunk).map_or(0, |len| u16::from_be_bytes(*len));
    let consumed = V2_HEADER_BYTES + usize::from(len);
    if consumed > MAX_V2_BYTES {
        return Err(BAD);
    }
    let Some(addresses) = buf.get(V2_HEADER_BYTES..consumed) else {
        return Ok(ProxyParse::Partial);
    };
    let is_local = version_command == 0x20;
    let pair = match family >> 4 {
        _ if is_local => None,
        1 => Some(v2_addresses::<4>(addresses).ok_or(BAD)?),
        2 => Some(v2_addresses::<16>(addresses).ok_or(BAD)?),
        // §2.2: a receiver may take UNSPEC and UNIX for "use the peer's address".
        _ => None,
    };
    let (source, destination) = pair.unzip();
    Ok(ProxyParse::Complete { consumed, source, destination })
}

/// Two addresses of `N` bytes, then two ports.
fn v2_addresses<const N: usize>(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let destination_port = rest.first_chunk::<2>()?;
    Some((
        SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes(*source_port)),
        SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes(*destination_port)),
    ))
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::{MAX_V2_BYTES, ProxyParse, SIGNATURE_V2, parse};

    type Summary = Result<Option<(usize, Option<(&'static str, &'static str)>)>, ()>;

    /// Parses every prefix too: none may be refused unless the whole is.
    #[track_caller]
    fn check(bytes: &[u8], want: Summary) {
        let want = match want {
            Err(()) => Err(seawall_model::Misbehaviour::ProxyHeader),
            Ok(None) => Ok(ProxyParse::Partial),
            Ok(Some((consumed, pair))) => {
                let address = |text: &str| text.parse().expect("test address");
                let (source, destination) = pair.map(|(s, d)| (address(s), address(d))).unzip();
                Ok(ProxyParse::Complete { consumed, source, destination })
            }
        };
        assert_eq!(parse(bytes), want, "{}", bytes.escape_ascii());
        for len in 0..bytes.len() {
            let got = parse(&bytes[..len]);
            assert!(got == Ok(ProxyParse::Partial) || got == want, "{len}: {got:?}");
        }
    }

    fn v2_header(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).expect("short body").to_be_bytes();
        [SIGNATURE_V2, &[version_command, family], &len, body].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 1, 0xbb];

    #[test]
    fn version_1_lines_are_read() {
        let pair = Some(("192.0.2.1:56324", "198.51.100.2:443"));
        check(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET /", Ok(Some((45, pair))));
        let pair = Some(("[2001:db8::1]:1", "[::1]:65535"));
        check(b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", Ok(Some((36, pair))));
        check(b"PROXY UNKNOWN\r\nGET /", Ok(Some((15, None))));
        check(b"PROXY UNKNOWN ffff::1 whatever 1 2\r\n", Ok(Some((36, None))));
        check(b"PROXY TCP4 192.0.2.1", Ok(None));
        check(b"", Ok(None));
    }

    #[test]
    fn malformed_version_1_lines_are_refused() {
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93], b"\r\n"].concat();
        let cases: [&[u8]; 18] = [
            b"GET / HTTP/1.1\r\n",
            b"proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
            b"PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
            b"PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
            b"PROXY UNKNOWNS\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
            b"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
            b"PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
            b"PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 \xff 2\r\n",
            &long,
        ];
        for bytes in cases {
            check(bytes, Err(()));
        }
    }

    #[test]
    fn version_2_headers_are_read_and_their_extras_skipped() {
        let pair = Some(("192.0.2.1:12345", "198.51.100.2:443"));
        check(&v2_header(0x21, 0x11, &V4), Ok(Some((28, pair))));
        let with_tlv = [&V4[..], &[4, 0, 3, 1, 2, 3]].concat();
        check(&v2_header(0x21, 0x11, &with_tlv), Ok(Some((34, pair))));
        let mut v6 = vec![0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 3, 4);
        check(&v2_header(0x21, 0x21, &v6), Ok(Some((52, Some(("[::1]:3", "[::2]:4"))))));
        check(&v2_header(0x20, 0x00, &[]), Ok(Some((16, None))));
        check(&v2_header(0x20, 0x11, &V4), Ok(Some((28, None))));
        check(&v2_header(0x21, 0x31, &[0; 216]), Ok(Some((232, None))));
        check(&v2_header(0x21, 0x00, &[1, 2, 3]), Ok(Some((19, None))));
        let largest = [&V4[..], &vec![0; MAX_V2_BYTES - 28]].concat();
        assert!(parse(&v2_header(0x21, 0x11, &largest)).is_ok());
    }

    #[test]
    fn malformed_version_2_headers_are_refused() {
        check(&v2_header(0x11, 0x11, &V4), Err(()));
        check(&v2_header(0x22, 0x11, &V4), Err(()));
        check(&v2_header(0x21, 0x41, &V4), Err(()));
        check(&v2_header(0x21, 0x13, &V4), Err(()));
        check(&v2_header(0x21, 0x11, &V4[..11]), Err(()));
        check(&v2_header(0x21, 0x21, &V4), Err(()));
        check(&v2_header(0x21, 0x11, &vec![0; MAX_V2_BYTES]), Err(()));
        check(b"\r\n\r\n\0\r\nQUIZ", Err(()));
    }
}
