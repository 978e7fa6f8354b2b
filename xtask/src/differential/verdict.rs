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
    /// Whether it refuses what follows them.
    pub(crate) is_refused: bool,
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
    /// The product read on where our framer refuses.
    OursStricter,
    /// The product refused a request that our framer accepts, for a known reason.
    OursLaxer(&'static str),
    /// The same, for no known reason.
    Unexplained(usize),
    /// The origin got a request that our framer does not see there.
    Disagreed(usize),
}

/// The verdicts on one product.
pub(crate) struct Tally {
    product: Product,
    counts: [usize; 4],
    reasons: BTreeMap<&'static str, usize>,
    wrong: usize,
    examples: Vec<String>,
}

impl Tally {
    pub(crate) fn new(product: Product) -> Self {
        Self { product, counts: [0; 4], reasons: BTreeMap::new(), wrong: 0, examples: Vec::new() }
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
pub(crate) fn needs_second_look(product: Product, case: &Case, arrived: &[Request]) -> bool {
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
        let is_beyond = left_out.is_empty() && case.reading.is_refused;
        return if is_beyond { Verdict::OursStricter } else { Verdict::Disagreed(index) };
    }
    left_out.extend(at..ours.len());
    let mut reasons = left_out.iter().map(|&at| (at, reason(product, case, at)));
    match reasons.next() {
        None if ours.is_empty() => Verdict::BothRefused,
        None => Verdict::Agreed,
        Some((at, None)) => Verdict::Unexplained(at),
        Some((_, Some(reason))) => Verdict::OursLaxer(reason),
    }
}

/// Whether two readings are of one request. Without a host (HTTP/1.0) a proxy names its own.
fn is_same(own: &Request, other: &Request) -> bool {
    let host = own.host.is_empty() || own.host == other.host;
    host && own.method == other.method && own.target == other.target && own.body == other.body
}

/// Why `product` may leave out the request at this place of our reading. All are refusals of one
/// request as a whole; none is about where a request ends.
fn reason(product: Product, case: &Case, at: usize) -> Option<&'static str> {
    let request = case.reading.requests.get(at)?;
    let (method, target) = (request.method.as_slice(), request.target.as_slice());
    let in_stream = |part: &[u8]| {
        case.stream.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
    };
    match product {
        Product::Nginx if !method.iter().all(|b| matches!(b, b'A'..=b'Z' | b'_' | b'-')) => {
            Some("nginx takes capital letters, `_` and `-` in methods only")
        }
        Product::Nginx if method == b"TRACE" => Some("nginx answers TRACE with 405"),
        Product::Nginx if target == b"*" => Some("nginx takes no `*`"),
        Product::Nginx if target.starts_with(b"/%2e%2e/") || target.starts_with(b"/%00") => {
            Some("nginx decodes paths, and takes none with NUL or above the root")
        }
        Product::Nginx if in_stream(b"\t") => Some("nginx leaves HTAB around a value in the value"),
        Product::Nginx if in_stream(b"close") => Some("nginx finds `close` anywhere in Connection"),
        Product::Haproxy if method == b"PRI" => Some("HAProxy keeps PRI for the preface of HTTP/2"),
        Product::Haproxy if in_stream(b" http://") || in_stream(b" https://") => {
            Some("HAProxy compares an absolute target's authority and Host as texts")
        }
        Product::Haproxy if in_stream(b"HTTP/1.0") && !request.body.is_empty() => {
            Some("HAProxy takes no content with GET, HEAD and DELETE of HTTP/1.0")
        }
        Product::Haproxy if in_stream(b"upgrade: websocket") => {
            Some("HAProxy wants Sec-WebSocket-Key with an upgrade to WebSocket")
        }
        Product::Haproxy
            if in_stream(b"\nContent-Length:") && in_stream(b"\nTransfer-Encoding:")
                || in_stream(b"\r\n0\r\nTransfer-Encoding:") =>
        {
            Some("HAProxy takes no framing fields in trailers")
        }
        Product::Seawall if method == b"TRACE" => Some("the edge answers TRACE with 405"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, Product, Reading, Request, Verdict, judge};

    fn requests(targets: &[&str]) -> Vec<Request> {
        let request = |target: &&str| Request {
            method: b"GET".to_vec(),
            target: target.as_bytes().to_vec(),
            ..Request::default()
        };
        targets.iter().map(request).collect()
    }

    #[track_caller]
    fn check(ours: &[&str], is_refused: bool, arrived: &[&str], expected: &Verdict) {
        let reading = Reading { requests: requests(ours), is_refused };
        let case = Case { stream: Vec::new(), reading };
        assert_eq!(&judge(Product::Nginx, &case, &requests(arrived)), expected);
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
            &["/a", "/%00"],
            false,
            &["/a"],
            &Verdict::OursLaxer("nginx decodes paths, and takes none with NUL or above the root"),
        );
    }
}
