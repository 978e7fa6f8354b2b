//! What it means that two servers read one stream differently.
//!
//! Separate so that the rule and its exceptions stand in one place, tested without any server.

use std::collections::BTreeMap;
use std::fmt;

use super::product::Product;

/// Examples kept of each kind of fault.
const SHOWN: usize = 5;

/// What a server understood of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    /// Path and query.
    pub(crate) target: Vec<u8>,
    /// Lower case, without port and final dot.
    pub(crate) host: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, host, body } = self;
        let (method, target) = (method.escape_ascii(), target.escape_ascii());
        write!(f, "{method} {target} at `{}` with `{}`", host.escape_ascii(), body.escape_ascii())
    }
}

/// How our framer reads a stream.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) requests: Vec<Request>,
    /// How each of them is written.
    pub(crate) spellings: Vec<Spelling>,
    /// Whether it refuses what follows them.
    pub(crate) is_refused: bool,
}

/// The bytes of a request before and after its content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling {
    pub(crate) head: Vec<u8>,
    /// The last chunk with its trailers; nothing without chunks.
    pub(crate) tail: Vec<u8>,
}

impl Spelling {
    /// The request line.
    fn first_line(&self) -> &[u8] {
        let head = self.head.trim_ascii_start();
        let end = head.iter().position(|&byte| byte == b'\n').unwrap_or(head.len());
        head[..end].trim_ascii_end()
    }

    /// The values of the fields of this name, as they are written after the colon.
    fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let named = move |(own, _): &(&[u8], &[u8])| own.eq_ignore_ascii_case(name);
        fields(&self.head).filter(named).map(|(_, value)| value)
    }
}

/// The fields of a head or of trailers, without judging them.
fn fields(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    bytes.split(|&byte| byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((line[..colon].trim_ascii(), &line[colon + 1..]))
    })
}

/// A stream and our framer's reading of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) stream: Vec<u8>,
    pub(crate) reading: Reading,
}

/// What came of one stream at one product.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The origin got what our framer read.
    Agreed,
    /// Neither found a request.
    BothRefused,
    /// The product read on where our framer refuses. Ours itself must not: it would pass on what
    /// its own framer takes for ambiguous.
    OursStricter,
    /// The product refused a request that our framer accepts, for a known reason.
    OursLaxer(&'static str),
    /// The same, for no known reason.
    Unexplained(usize),
    /// The origin got a request that our framer does not see there.
    Disagreed(usize),
}

/// How many streams came out wrong at first, and how many of those were tried again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Again {
    pub(crate) odd: usize,
    pub(crate) looked_at: usize,
}

/// The verdicts on one product.
pub(crate) struct Tally {
    product: Product,
    again: Again,
    counts: [usize; 4],
    reasons: BTreeMap<&'static str, usize>,
    wrong: usize,
    examples: Vec<String>,
}

impl Tally {
    pub(crate) fn new(product: Product, again: Again) -> Self {
        let (reasons, examples) = (BTreeMap::new(), Vec::new());
        Self { product, again, counts: [0; 4], reasons, wrong: 0, examples }
    }

    /// Judges one stream by what `arrived` at the origin.
    pub(crate) fn add(&mut self, case: &Case, arrived: &[Request]) {
        let text = case.stream.escape_ascii();
        match judge(self.product, case, arrived) {
            Verdict::Agreed => self.counts[0] += 1,
            Verdict::BothRefused => self.counts[1] += 1,
            Verdict::OursStricter => self.counts[2] += 1,
            Verdict::OursLaxer(reason) => {
                self.counts[3] += 1;
                *self.reasons.entry(reason).or_default() += 1;
            }
            Verdict::Unexplained(at) => {
                self.fault(format!("refuses {}\n    out of {text}", case.reading.requests[at]));
            }
            Verdict::Disagreed(at) => {
                let ours: Vec<String> =
                    case.reading.requests.iter().map(Request::to_string).collect();
                let ours = ours.join("; ");
                self.fault(format!("finds {}\n    in {text}\n    ours: {ours}", arrived[at]));
            }
        }
    }

    /// How many streams must not have come out as they did.
    pub(crate) fn wrong(&self) -> usize {
        self.wrong
    }

    fn fault(&mut self, example: String) {
        self.wrong += 1;
        if self.examples.len() < SHOWN {
            self.examples.push(example);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [agreed, refused, stricter, laxer] = self.counts;
        let name = self.product.name();
        writeln!(
            f,
            "{name:<8} agreed {agreed}, both refused {refused}, ours stricter {stricter}, \
             ours laxer {laxer} (explained), wrong {}",
            self.wrong
        )?;
        let Again { odd, looked_at } = self.again;
        if odd > 0 {
            writeln!(f, "{:<8} {looked_at} of {odd} that came late or odd were sent again", "")?;
        }
        for (reason, count) in &self.reasons {
            writeln!(f, "{:<8} {count:>4} {reason}", "")?;
        }
        for example in &self.examples {
            writeln!(f, "{name} {example}")?;
        }
        Ok(())
    }
}

/// Whether the stream came out as it must not.
pub(crate) fn is_wrong(product: Product, case: &Case, arrived: &[Request]) -> bool {
    matches!(judge(product, case, arrived), Verdict::Unexplained(_) | Verdict::Disagreed(_))
}

fn judge(product: Product, case: &Case, arrived: &[Request]) -> Verdict {
    let ours = &case.reading.requests;
    let mut left_out = Vec::new();
    let mut at = 0;
    for (index, request) in arrived.iter().enumerate() {
        // A server may answer a request itself and go on with the next.
        while ours.get(at).is_some_and(|own| !is_same(own, request)) {
            left_out.push(at);
            at += 1;
        }
        if at < ours.len() {
            at += 1;
            continue;
        }
        let may_read_on = product != Product::Seawall;
        let is_beyond = may_read_on && left_out.is_empty() && case.reading.is_refused;
        return if is_beyond { Verdict::OursStricter } else { Verdict::Disagreed(index) };
    }
    // Who refuses one request closes the connection: those behind it need no reason of their own.
    left_out.extend((at < ours.len()).then_some(at));
    let mut known = None;
    for at in left_out {
        match reason(product, &case.reading, at) {
            Some(reason) => known = known.or(Some(reason)),
            None => return Verdict::Unexplained(at),
        }
    }
    match known {
        Some(reason) => Verdict::OursLaxer(reason),
        None if ours.is_empty() => Verdict::BothRefused,
        None => Verdict::Agreed,
    }
}

/// Whether two readings are of one request. Without a host (HTTP/1.0) a proxy names its own.
fn is_same(own: &Request, other: &Request) -> bool {
    let host = own.host.is_empty() || own.host == other.host;
    host && own.method == other.method && own.target == other.target && own.body == other.body
}

/// Why `product` may leave out the request at this place of our reading. All are refusals of one
/// request as a whole; none is about where a request ends. Each looks at the bytes of that request
/// alone (one at the connection that the requests before it have asked for), never at content.
fn reason(product: Product, reading: &Reading, at: usize) -> Option<&'static str> {
    let (request, spelling) = (reading.requests.get(at)?, reading.spellings.get(at)?);
    let (method, target) = (request.method.as_slice(), request.target.as_slice());
    match product {
        Product::Nginx if !method.iter().all(|b| matches!(b, b'A'..=b'Z' | b'_' | b'-')) => {
            Some("nginx takes capital letters, `_` and `-` in methods only")
        }
        Product::Nginx if method == b"TRACE" => Some("nginx answers TRACE with 405"),
        Product::Nginx if target == b"*" => Some("nginx takes no `*`"),
        Product::Nginx
            if target.starts_with(b"/%2e%2e/")
                || target.starts_with(b"/%00")
                || has_broken_escape(target) =>
        {
            Some("nginx decodes paths, and takes none with NUL, broken or above the root")
        }
        Product::Nginx if fields(&spelling.head).any(|(_, value)| has_tab_around(value)) => {
            Some("nginx leaves HTAB around a value in the value")
        }
        Product::Nginx if reading.spellings[..at].iter().any(says_close) => {
            Some("nginx finds `close` anywhere in Connection")
        }
        Product::Haproxy if method == b"PRI" => Some("HAProxy keeps PRI for the preface of HTTP/2"),
        Product::Haproxy if is_absolute(spelling.first_line()) => {
            Some("HAProxy compares an absolute target's authority and Host as texts")
        }
        Product::Haproxy
            if spelling.first_line().ends_with(b"HTTP/1.0")
                && [&b"GET"[..], b"HEAD", b"DELETE"].contains(&method)
                && !request.body.is_empty() =>
        {
            Some("HAProxy takes no content with GET, HEAD and DELETE of HTTP/1.0")
        }
        Product::Haproxy
            if spelling.values(b"upgrade").any(|value| contains(value, b"websocket")) =>
        {
            Some("HAProxy wants Sec-WebSocket-Key with an upgrade to WebSocket")
        }
        Product::Haproxy if fields(&spelling.tail).any(|(name, _)| frames(name)) => {
            Some("HAProxy takes no framing fields in trailers")
        }
        Product::Seawall if method == b"TRACE" => Some("the edge answers TRACE with 405"),
        _ => None,
    }
}

/// Whether the path holds a `%` without two digits behind it.
fn has_broken_escape(target: &[u8]) -> bool {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    path.split(|&byte| byte == b'%')
        .skip(1)
        .any(|part| !part.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Whether HTAB stands in the white space around a value.
fn has_tab_around(value: &[u8]) -> bool {
    let is_gap = |byte: &u8| matches!(byte, b' ' | b'\t');
    let before = value.iter().take_while(|byte| is_gap(byte));
    let after = value.iter().rev().take_while(|byte| is_gap(byte));
    before.chain(after).any(|&byte| byte == b'\t')
}

/// Whether `close` stands anywhere in the values of Connection.
fn says_close(spelling: &Spelling) -> bool {
    spelling.values(b"connection").any(|value| contains(value, b"close"))
}

fn is_absolute(first_line: &[u8]) -> bool {
    contains(first_line, b" http://") || contains(first_line, b" https://")
}

/// Whether a field of this name says where a request ends.
fn frames(name: &[u8]) -> bool {
    [&b"content-length"[..], b"transfer-encoding"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::{Case, Product, Reading, Request, Spelling, Verdict, judge};

    fn requests(targets: &[&str]) -> Vec<Request> {
        let request = |target: &&str| Request {
            method: b"GET".to_vec(),
            target: target.as_bytes().to_vec(),
            ..Request::default()
        };
        targets.iter().map(request).collect()
    }

    fn case(ours: &[&str], is_refused: bool) -> Case {
        let spellings = vec![Spelling::default(); ours.len()];
        let reading = Reading { requests: requests(ours), spellings, is_refused };
        Case { stream: Vec::new(), reading }
    }

    #[track_caller]
    fn check(ours: &[&str], is_refused: bool, arrived: &[&str], expected: &Verdict) {
        let case = case(ours, is_refused);
        assert_eq!(&judge(Product::Nginx, &case, &requests(arrived)), expected);
    }

    #[test]
    fn seawall_forwards_nothing_that_its_framer_refuses() {
        let verdict = |ours: &[&str], arrived: &[&str]| {
            judge(Product::Seawall, &case(ours, true), &requests(arrived))
        };
        assert_eq!(verdict(&["/a"], &["/a"]), Verdict::Agreed);
        assert_eq!(verdict(&[], &[]), Verdict::BothRefused);
        assert_eq!(verdict(&["/a"], &["/a", "/b"]), Verdict::Disagreed(1));
        assert_eq!(verdict(&[], &["/b"]), Verdict::Disagreed(0));
        assert_eq!(verdict(&["/a"], &[]), Verdict::Unexplained(0));
    }

    #[test]
    fn a_reason_stands_in_the_request_that_was_left_out() {
        let at_last = |product, first: (&str, &str), second: (&str, &str)| {
            let mut case = case(&["/a", "/b"], false);
            let spelling = |(head, tail): (&str, &str)| Spelling {
                head: head.as_bytes().to_vec(),
                tail: tail.as_bytes().to_vec(),
            };
            case.reading.spellings = vec![spelling(first), spelling(second)];
            case.reading.requests[0].body = b"close\t HTTP/1.0 http:// upgrade: websocket".to_vec();
            case.reading.requests[1].body = case.reading.requests[0].body.clone();
            matches!(judge(product, &case, &case.reading.requests[..1]), Verdict::OursLaxer(_))
        };
        let plain = ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "");
        for product in [Product::Nginx, Product::Haproxy, Product::Seawall] {
            assert!(!at_last(product, plain, plain), "{product:?}: content is no reason");
        }
        for (product, odd) in [
            (Product::Nginx, ("GET /a HTTP/1.1\r\nHost: a\t\r\n\r\n", "")),
            (Product::Haproxy, ("GET http://a/a HTTP/1.1\r\nHost: A\r\n\r\n", "")),
            (Product::Haproxy, ("\r\nGET /a HTTP/1.0\r\nHost: a\r\n\r\n", "")),
            (Product::Haproxy, ("GET /a HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "")),
            (Product::Haproxy, (plain.0, "\r\n0\r\ncontent-length: 5\r\n\r\n")),
        ] {
            assert!(at_last(product, plain, odd), "{product:?} {odd:?}");
            assert!(!at_last(product, odd, plain), "{product:?} {odd:?} in the one before");
        }
        let closing = ("GET /a HTTP/1.1\r\nConnection: x-close\r\n\r\n", "");
        assert!(at_last(Product::Nginx, closing, plain), "it closed after the one before");
        assert!(!at_last(Product::Nginx, plain, closing), "closing comes after the answer");
    }

    #[test]
    fn refusing_is_no_disagreement_and_finding_more_is_one() {
        check(&["/a", "/b"], false, &["/a", "/b"], &Verdict::Agreed);
        check(&["/a"], true, &["/a"], &Verdict::Agreed);
        check(&[], true, &[], &Verdict::BothRefused);
        check(&["/a"], true, &["/a", "/b"], &Verdict::OursStricter);
        check(&["/a"], false, &["/a", "/smuggled"], &Verdict::Disagreed(1));
        check(&["/a", "/b"], true, &["/b", "/c"], &Verdict::Disagreed(1));
        check(&["/a"], true, &["/b"], &Verdict::Disagreed(0));
        check(&["/a", "/b"], false, &["/b"], &Verdict::Unexplained(0));
        check(
            &["/%e%2e/x"],
            false,
            &[],
            &Verdict::OursLaxer(
                "nginx decodes paths, and takes none with NUL, broken or above the root",
            ),
        );
        check(&["/%e5?%"], false, &[], &Verdict::Unexplained(0));
        check(
            &["/a", "/%00"],
            false,
            &["/a"],
            &Verdict::OursLaxer(
                "nginx decodes paths, and takes none with NUL, broken or above the root",
            ),
        );
    }
}
