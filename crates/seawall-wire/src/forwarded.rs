//! Forwarding fields: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Separate because both say one thing, who forwarded for whom, and both are lies unless the hop
//! that wrote them is trusted. It deliberately believes nothing by itself: the caller says whom.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use seawall_model::Fields;

use crate::bytes::{TOKEN, is, run, trim};
use crate::h1::target::parse_port;

/// One hop of a forwarding field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// An address, with or without port.
    Address(IpAddr),
    /// An obfuscated identifier such as `_hidden` (RFC 7239 §6.3), without port.
    Obfuscated(&'a [u8]),
    /// `unknown` (RFC 7239 §6.2), or a `Forwarded` element without `for`.
    Unknown,
    /// Unreadable: nothing further left can be believed.
    Garbage,
}

/// How the value of a forwarding field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// `Forwarded`, RFC 7239.
    Forwarded,
    /// `X-Forwarded-For`: a list of addresses.
    XForwardedFor,
}

/// The hops in the value of one field line, from the right: nearest first. At most [`MAX_NODES`].
///
/// With several lines of one field, go through the lines from the last to the first. O(bytes); no
/// allocation. Cut from the right, because that end is our own proxy's writing: whatever quote a
/// client leaves open further left cannot swallow it.
pub fn nodes(syntax: Syntax, value: &[u8]) -> impl Iterator<Item = Node<'_>> {
    let elements = FromRight { rest: Some(value), separator: b',', syntax };
    elements.map(trim).filter(|element| !element.is_empty()).take(MAX_NODES).map(move |element| {
        match syntax {
            Syntax::Forwarded => forwarded_element(element),
            Syntax::XForwardedFor => bare_node(element),
        }
    })
}

/// Hops looked at. More proxies in a row than this do not exist.
pub const MAX_NODES: usize = 32;

/// The client's address: the peer, or, as long as the hop nearer to us is trusted, who that hop
/// says it forwarded for. Walks from the right; an unreadable or obfuscated node ends the walk at
/// the last good hop, so a client that writes into the field moves nothing but its own left end.
///
/// `X-Forwarded-For` is used if there is any, else `Forwarded`. Mixing the two would let a client
/// choose, and practically every proxy writes the former and passes a client's `Forwarded` through.
/// A trusted proxy that writes only `Forwarded` must strip a client's `X-Forwarded-For`.
/// IPv4-mapped IPv6 addresses count as IPv4.
pub fn client_address(
    peer: IpAddr,
    fields: &dyn Fields,
    is_trusted: &dyn Fn(IpAddr) -> bool,
) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer) {
        return peer;
    }
    let (name, syntax) = if fields.has("x-forwarded-for") {
        ("x-forwarded-for", Syntax::XForwardedFor)
    } else {
        ("forwarded", Syntax::Forwarded)
    };
    let mut hops: Vec<Option<IpAddr>> = Vec::new();
    // Lines come first to last; the nearest hop is in the last. Each line's own hops go in front.
    fields.each(name, &mut |value| {
        let mut line: Vec<Option<IpAddr>> = nodes(syntax, value).map(address).collect();
        line.append(&mut hops);
        line.truncate(MAX_NODES);
        hops = line;
    });
    let mut client = peer;
    for hop in hops {
        let Some(hop) = hop else {
            break;
        };
        client = hop;
        if !is_trusted(hop) {
            break;
        }
    }
    client
}

fn address(node: Node<'_>) -> Option<IpAddr> {
    match node {
        Node::Address(ip) => Some(ip.to_canonical()),
        Node::Obfuscated(_) | Node::Unknown | Node::Garbage => None,
    }
}

/// `forwarded-element` (RFC 7239 §4): pairs separated by `;`. Its `for` counts.
fn forwarded_element(element: &[u8]) -> Node<'_> {
    let mut node = None;
    let pairs = FromRight { rest: Some(element), separator: b';', syntax: Syntax::Forwarded };
    for pair in pairs.map(trim) {
        if pair.is_empty() {
            continue;
        }
        let name_len = run(pair, TOKEN);
        let (Some(name), Some(b'='), Some(value)) =
            (pair.get(..name_len), pair.get(name_len), pair.get(name_len + 1..))
        else {
            return Node::Garbage;
        };
        if name.is_empty() || !is_value(value) {
            return Node::Garbage;
        }
        if name.eq_ignore_ascii_case(b"for") {
            // §4: each parameter at most once per element.
            if node.is_some() {
                return Node::Garbage;
            }
            node = Some(rfc_node(value));
        }
    }
    node.unwrap_or(Node::Unknown)
}

/// `token / quoted-string` (RFC 9110 §5.6.4). Bare addresses are tolerated although `:` and `[`
/// are no token characters: they are common, and unambiguous after `=`.
fn is_value(value: &[u8]) -> bool {
    match value {
        [b'"', inner @ .., b'"'] => is_quoted_text(inner),
        [] | [b'"', ..] => false,
        bare => bare.iter().all(|&b| is(b, TOKEN) || matches!(b, b':' | b'[' | b']')),
    }
}

/// What may stand between quotes: no bare quote, and no backslash that escapes the closing one.
fn is_quoted_text(inner: &[u8]) -> bool {
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'"' || (byte == b'\\' && bytes.next().is_none()) {
            return false;
        }
    }
    true
}

/// `node` (RFC 7239 §6), perhaps in quotes. A backslash has no business in an address.
fn rfc_node(value: &[u8]) -> Node<'_> {
    let node = match value {
        [b'"', inner @ .., b'"'] => inner,
        bare => bare,
    };
    bare_node(node)
}

/// An address with or without port, `unknown`, or an obfuscated identifier.
fn bare_node(node: &[u8]) -> Node<'_> {
    let (name, port): (&[u8], &[u8]) = match node {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&b| b == b']') else {
                return Node::Garbage;
            };
            let (literal, rest) = rest.split_at(end);
            let port = rest.get(1..).unwrap_or(&[]);
            return match ip::<Ipv6Addr>(literal) {
                Some(ip) if is_port_suffix(port) => Node::Address(ip),
                _ => Node::Garbage,
            };
        }
        // More than one colon and no brackets: X-Forwarded-For has IPv6 like this.
        _ if node.iter().filter(|&&b| b == b':').count() > 1 => {
            return ip::<Ipv6Addr>(node).map_or(Node::Garbage, Node::Address);
        }
        _ => node.split_at(node.iter().position(|&b| b == b':').unwrap_or(node.len())),
    };
    if !is_port_suffix(port) {
        return Node::Garbage;
    }
    match name {
        [b'_', rest @ ..] if !rest.is_empty() && rest.iter().all(|&b| is_obfuscated(b)) => {
            Node::Obfuscated(name)
        }
        _ if name.eq_ignore_ascii_case(b"unknown") => Node::Unknown,
        _ => ip::<Ipv4Addr>(name).map_or(Node::Garbage, Node::Address),
    }
}

fn ip<A: core::str::FromStr + Into<IpAddr>>(text: &[u8]) -> Option<IpAddr> {
    core::str::from_utf8(text).ok()?.parse::<A>().ok().map(Into::into)
}

/// Nothing, or `:` and a port, which may be obfuscated too (RFC 7239 §6).
fn is_port_suffix(suffix: &[u8]) -> bool {
    match suffix {
        [] => true,
        [b':', b'_', rest @ ..] => !rest.is_empty() && rest.iter().all(|&b| is_obfuscated(b)),
        [b':', digits @ ..] => parse_port(digits).is_some() || digits == b"0",
        _ => false,
    }
}

/// RFC 7239 §6.3.
fn is_obfuscated(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Cuts at separators, in `Forwarded` only at those outside quoted strings.
struct FromRight<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    syntax: Syntax,
}

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut is_quoted = false;
        let cut = (0..rest.len()).rev().find(|&at| {
            let byte = rest.get(at).copied();
            let is_quote = byte == Some(b'"') && self.syntax == Syntax::Forwarded;
            if is_quote && !is_escaped(rest, at) {
                is_quoted = !is_quoted;
            }
            byte == Some(self.separator) && !is_quoted
        });
        let Some(cut) = cut else {
            self.rest = None;
            return Some(rest);
        };
        self.rest = rest.get(..cut);
        rest.get(cut + 1..)
    }
}

/// Whether the byte at `at` follows an odd number of backslashes. At most a few are looked at: a
/// long run of them is no address, and must not cost more than its length.
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or(&[]).iter().rev();
    before.take(8).take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::net::IpAddr;

    use seawall_model::Fields;

    use super::{Node, Syntax, client_address, nodes};

    struct Lines<'a>(&'a [(&'a str, &'a str)]);

    impl Fields for Lines<'_> {
        fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
            self.0.iter().filter(|(n, _)| *n == name).for_each(|(_, v)| visit(v.as_bytes()));
        }

        fn first(&self, name: &str) -> Option<&[u8]> {
            self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_bytes())
        }
    }

    fn address(text: &str) -> Node<'static> {
        Node::Address(text.parse().expect("test address"))
    }

    #[track_caller]
    fn check(syntax: Syntax, value: &str, want: &[Node<'_>]) {
        assert_eq!(nodes(syntax, value.as_bytes()).collect::<Vec<_>>(), want, "{value}");
    }

    #[test]
    fn forwarded_nodes_come_from_the_right() {
        let f = |value: &str, want: &[Node<'_>]| check(Syntax::Forwarded, value, want);
        f("for=192.0.2.43, for=198.51.100.17", &[address("198.51.100.17"), address("192.0.2.43")]);
        f("For=\"[2001:db8:cafe::17]:4711\"", &[address("2001:db8:cafe::17")]);
        f("for=192.0.2.60;proto=http;by=203.0.113.43", &[address("192.0.2.60")]);
        f("proto=https; for=\"192.0.2.60:0\" ;", &[address("192.0.2.60")]);
        f("for=\"_gazonk\"", &[Node::Obfuscated(b"_gazonk")]);
        f("for=_hidden:_port, for=unknown", &[Node::Unknown, Node::Obfuscated(b"_hidden")]);
        f("by=192.0.2.1", &[Node::Unknown]);
        f("for=192.0.2.1;ext=\"a,for=192.0.2.2\"", &[address("192.0.2.1")]);
        f("for=192.0.2.1;ext=\"\\\",for=192.0.2.2\"", &[address("192.0.2.1")]);
        f("for=192.0.2.1,, ,", &[address("192.0.2.1")]);
        f("", &[]);
    }

    #[test]
    fn unreadable_forwarded_elements_are_garbage() {
        let garbage = [
            "192.0.2.1",
            "for",
            "for=",
            "for=\"192.0.2.1",
            "for=192.0.2.256",
            "for=[::1",
            "for=192.0.2.1:x",
            "for=192.0.2.1:99999",
            "for=_",
            "for=_a b",
            "for= 192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=example.org",
            "for=\"192.0.2.1\\\"",
            "for=\"\\1.2.3.4\"",
            "=192.0.2.1",
            "for=\"[192.0.2.1]\"",
        ];
        for value in garbage {
            check(Syntax::Forwarded, value, &[Node::Garbage]);
        }
    }

    #[test]
    fn an_open_quote_cannot_swallow_what_a_nearer_proxy_wrote() {
        for left in
            ["\"", "for=\"x", "for=\"\\", "x=\"a\\\\\\\"", ";;\"=", "\\\\\\\\\\\\\\\\\\\\\""]
        {
            let value = alloc::format!("{left}, for=\"192.0.2.1:80\"");
            let got: Vec<_> = nodes(Syntax::Forwarded, value.as_bytes()).collect();
            assert_eq!(got, [address("192.0.2.1"), Node::Garbage], "{value}");
        }
    }

    #[test]
    fn x_forwarded_for_nodes_come_from_the_right() {
        let x = |value: &str, want: &[Node<'_>]| check(Syntax::XForwardedFor, value, want);
        x("192.0.2.1, 198.51.100.2", &[address("198.51.100.2"), address("192.0.2.1")]);
        x(
            "192.0.2.1:80,2001:db8::1,[::1]:5",
            &[address("::1"), address("2001:db8::1"), address("192.0.2.1")],
        );
        x("unknown, evil\", 192.0.2.1", &[address("192.0.2.1"), Node::Garbage, Node::Unknown]);
        x("", &[]);
    }

    /// 10.0.0.0/8 and ::1 are trusted; the peer is 10.0.0.1 unless said otherwise.
    #[track_caller]
    fn check_client(peer: &str, lines: &[(&str, &str)], want: &str) {
        let ip = |text: &str| text.parse::<IpAddr>().expect("test address");
        let is_trusted = |ip: IpAddr| ip.to_string().starts_with("10.") || ip.is_loopback();
        assert_eq!(client_address(ip(peer), &Lines(lines), &is_trusted), ip(want), "{lines:?}");
    }

    #[test]
    fn the_walk_ends_at_the_first_hop_nobody_vouches_for() {
        let x = "x-forwarded-for";
        check_client("10.0.0.1", &[], "10.0.0.1");
        check_client("10.0.0.1", &[(x, "192.0.2.1")], "192.0.2.1");
        check_client("::ffff:10.0.0.1", &[(x, "192.0.2.1")], "192.0.2.1");
        check_client("192.0.2.9", &[(x, "192.0.2.1")], "192.0.2.9");
        check_client("10.0.0.1", &[(x, "1.2.3.4, 192.0.2.1, 10.0.0.2")], "192.0.2.1");
        check_client("10.0.0.1", &[(x, "1.2.3.4, 192.0.2.1"), (x, "10.0.0.2, ::1")], "192.0.2.1");
        check_client("10.0.0.1", &[(x, "1.2.3.4, junk, 10.0.0.2")], "10.0.0.2");
        check_client("10.0.0.1", &[(x, "junk")], "10.0.0.1");
        check_client("10.0.0.1", &[(x, "10.0.0.3, 10.0.0.2")], "10.0.0.3");
        check_client("10.0.0.1", &[(x, "::ffff:192.0.2.1")], "192.0.2.1");
        check_client("10.0.0.1", &[("forwarded", "for=_x, for=10.0.0.2")], "10.0.0.2");
        let both = [(x, "192.0.2.1"), ("forwarded", "for=\"[2001:db8::1]:80\"")];
        check_client("10.0.0.1", &both, "192.0.2.1");
        check_client("10.0.0.1", &both[1..], "2001:db8::1");
    }

    #[test]
    fn endless_lists_are_cut_at_the_near_end() {
        let value = "1.2.3.4,".repeat(10_000) + "10.0.0.2";
        check_client("10.0.0.1", &[("x-forwarded-for", &value)], "1.2.3.4");
        let trusted = "1.2.3.4,".to_string() + &"10.0.0.2,".repeat(100) + "10.0.0.3";
        check_client("10.0.0.1", &[("x-forwarded-for", &trusted)], "10.0.0.2");
    }
}
