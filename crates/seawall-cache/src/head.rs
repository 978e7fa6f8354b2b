//! What is kept of a response beside its body, in memory and on disk.
//!
//! Separate because both tiers of the store carry it and only `policy` makes it. It does **not**
//! know bodies, codings or checksums: those belong to the store.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use seawall_model::{Fields, WallTime};

use crate::freshness::{Freshness, StaleRule};
use crate::range::ContentRange;
use crate::vary::VaryKey;

/// Which rule let a response into the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilledUnder {
    /// The origin gave a lifetime, or asked for validation on every use.
    Explicit,
    /// Guessed from Last-Modified (RFC 9111 §4.2.2).
    Heuristic,
    /// The site's `default_ttl`: the origin said nothing.
    DefaultTtl,
}

/// The head of a stored response. Immutable; a validation makes a new one.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredHead {
    /// The status, 200 to 599, never 304.
    pub status: u16,
    /// The fields to serve: without those of the connection (RFC 9111 §3.1), those named by
    /// `no-cache="…"` or `private="…"`, Age, and Set-Cookie. A Date is always there.
    pub headers: HeaderMap,
    /// When the request was sent.
    pub request_time: WallTime,
    /// When the response head came.
    pub response_time: WallTime,
    /// Which requests it answers (RFC 9111 §4.1).
    pub vary: VaryKey,
    /// How long it may be used.
    pub freshness: Freshness,
    /// Why it was stored.
    pub filled_under: FilledUnder,
    /// The part of the representation that is stored, of a 206. `None`: the whole.
    pub partial: Option<ContentRange>,
    /// Whether an unsafe method has made it invalid. The store sets this when it takes the head in.
    pub invalidation: Invalidation,
}

/// What unsafe methods did to a stored response (RFC 9111 §4.4). It is marked and not removed, so
/// that it can still stand in when the origin fails; and it is marked once a second at most, so that
/// a flood of such requests does not have the page fetched for every reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// Nothing.
    Never,
    /// It is valid; the response before it was invalid from this time on.
    Earlier(WallTime),
    /// From this time on it has to be validated before it is used.
    From(WallTime),
}

impl Invalidation {
    /// After a success of an unsafe method at `at`. A time that only a clock set back can explain
    /// holds nothing up.
    pub(crate) fn after(self, at: WallTime) -> Self {
        match self {
            Self::Earlier(before) if before <= at + EVERY => Self::From(at.max(before + EVERY)),
            Self::From(from) if from <= at + 2 * EVERY => self,
            Self::Never | Self::Earlier(_) | Self::From(_) => Self::From(at),
        }
    }

    /// Of a response that takes the place of one with `self`.
    pub(crate) fn of_successor(self) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Earlier(before) | Self::From(before) => Self::Earlier(before),
        }
    }
}

/// The time between two invalidations of a response.
const EVERY: Duration = Duration::from_secs(1);

/// Removes the fields that concern one connection only (RFC 9110 §7.6.1), in either direction:
/// Connection, everything it names, and those that are known to be meant the same way.
///
/// Fields that every recipient needs stay even if Connection names them; a peer that names those
/// is wrong (RFC 9110 §7.6.1) or wants them gone for its own ends.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in nominated(headers) {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !NEVER_NOMINATED.contains(name))
        .collect()
}

static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
];

static NEVER_NOMINATED: [HeaderName; 12] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::VARY,
    header::ETAG,
    header::COOKIE,
    header::SET_COOKIE,
    header::AUTHORIZATION,
    header::RANGE,
];

/// A header map read as [`Fields`].
///
/// A name that is text is parsed and hashed for each look-up, which was a third of what detection cost a request over HTTP/2.
/// So the names that each request is asked for are kept ready.
#[derive(Clone, Copy, Debug)]
pub struct MapFields<'a>(pub &'a HeaderMap);

/// Those, the most asked for first.
static ASKED: [(&str, HeaderName); 16] = [
    ("accept", header::ACCEPT),
    ("user-agent", header::USER_AGENT),
    ("sec-fetch-mode", HeaderName::from_static("sec-fetch-mode")),
    ("sec-fetch-dest", HeaderName::from_static("sec-fetch-dest")),
    ("cookie", header::COOKIE),
    ("accept-language", header::ACCEPT_LANGUAGE),
    ("accept-encoding", header::ACCEPT_ENCODING),
    ("sec-ch-ua", HeaderName::from_static("sec-ch-ua")),
    ("referer", header::REFERER),
    ("content-type", header::CONTENT_TYPE),
    ("x-requested-with", HeaderName::from_static("x-requested-with")),
    ("sec-fetch-site", HeaderName::from_static("sec-fetch-site")),
    ("authorization", header::AUTHORIZATION),
    ("cache-control", header::CACHE_CONTROL),
    ("range", header::RANGE),
    ("if-none-match", header::IF_NONE_MATCH),
];

fn asked(name: &str) -> Option<&'static HeaderName> {
    ASKED.iter().find(|(asked, _)| *asked == name).map(|(_, name)| name)
}

impl Fields for MapFields<'_> {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        let all = asked(name).map_or_else(|| self.0.get_all(name), |name| self.0.get_all(name));
        for value in all {
            visit(value.as_bytes());
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let value = asked(name).map_or_else(|| self.0.get(name), |name| self.0.get(name));
        value.map(HeaderValue::as_bytes)
    }
}

/// The first byte of an encoded head. Another layout takes another number; an entry with an
/// unknown one is a miss.
const FORMAT: u8 = 2;

impl StoredHead {
    /// Whether it has to be validated before it is used, because an unsafe method made it invalid
    /// (RFC 9111 §4.4).
    pub fn is_invalid(&self, now: WallTime) -> bool {
        matches!(self.invalidation, Invalidation::From(from) if from <= now)
    }

    /// Appends the head in a form that [`StoredHead::decode`] reads back. The store adds length and
    /// checksum.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        out.extend_from_slice(&self.status.to_le_bytes());
        put_u64(out, self.request_time.unix_nanos());
        put_u64(out, self.response_time.unix_nanos());
        out.push(match self.filled_under {
            FilledUnder::Explicit => 0,
            FilledUnder::Heuristic => 1,
            FilledUnder::DefaultTtl => 2,
        });
        let freshness = &self.freshness;
        put_u64(out, freshness.lifetime_s);
        put_u64(out, freshness.initial_age_s);
        put_u64(out, freshness.stale_while_revalidate_s);
        put_u64(out, freshness.stale_if_error_s);
        out.push(match freshness.stale {
            StaleRule::Allowed => 0,
            StaleRule::OnlyGranted => 1,
            StaleRule::Forbidden => 2,
        });
        out.push(u8::from(freshness.no_cache) | u8::from(freshness.immutable) << 1);
        match &self.partial {
            None => out.push(0),
            Some(range) => {
                out.push(1);
                put_u64(out, range.start);
                put_u64(out, range.end);
                put_u64(out, range.complete);
            }
        }
        let (kind, time) = match self.invalidation {
            Invalidation::Never => (0, WallTime::default()),
            Invalidation::Earlier(time) => (1, time),
            Invalidation::From(time) => (2, time),
        };
        out.push(kind);
        put_u64(out, time.unix_nanos());
        put_u64(out, self.vary.entries().len() as u64);
        for (name, value) in self.vary.entries() {
            put_bytes(out, name.as_str().as_bytes());
            out.push(u8::from(value.is_some()));
            put_bytes(out, value.unwrap_or_default());
        }
        put_u64(out, self.headers.len() as u64);
        for (name, value) in &self.headers {
            put_bytes(out, name.as_str().as_bytes());
            put_bytes(out, value.as_bytes());
        }
    }

    /// Reads what [`StoredHead::encode`] wrote; `None` if it is anything else, also if bytes are
    /// left over. Total and bounded by the input's length.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        if input.byte()? != FORMAT {
            return None;
        }
        let status = u16::from_le_bytes(input.array()?);
        let request_time = WallTime::from_unix_nanos(input.u64()?);
        let response_time = WallTime::from_unix_nanos(input.u64()?);
        let filled_under = match input.byte()? {
            0 => FilledUnder::Explicit,
            1 => FilledUnder::Heuristic,
            2 => FilledUnder::DefaultTtl,
            _ => return None,
        };
        let freshness = input.freshness()?;
        let partial = match input.byte()? {
            0 => None,
            1 => {
                let (start, end, complete) = (input.u64()?, input.u64()?, input.u64()?);
                Some(ContentRange { start, end, complete })
            }
            _ => return None,
        };
        let invalidation = match (input.byte()?, WallTime::from_unix_nanos(input.u64()?)) {
            (0, _) => Invalidation::Never,
            (1, time) => Invalidation::Earlier(time),
            (2, time) => Invalidation::From(time),
            _ => return None,
        };
        let mut vary = Vec::new();
        for _ in 0..input.u64()? {
            let name = HeaderName::from_bytes(input.slice()?).ok()?;
            let present = input.byte()? == 1;
            let value = input.slice()?;
            vary.push((name, present.then(|| value.into())));
        }
        let mut headers = HeaderMap::new();
        for _ in 0..input.u64()? {
            let name = HeaderName::from_bytes(input.slice()?).ok()?;
            let value = HeaderValue::from_bytes(input.slice()?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        let plausible = input.0.is_empty() && (200..600).contains(&status);
        let vary = VaryKey::from_entries(vary);
        plausible.then_some(Self {
            status,
            headers,
            request_time,
            response_time,
            vary,
            freshness,
            filled_under,
            partial,
            invalidation,
        })
    }
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn slice(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u64()?).ok()?;
        self.take(length)
    }

    fn freshness(&mut self) -> Option<Freshness> {
        let (lifetime_s, initial_age_s) = (self.u64()?, self.u64()?);
        let (stale_while_revalidate_s, stale_if_error_s) = (self.u64()?, self.u64()?);
        let stale = match self.byte()? {
            0 => StaleRule::Allowed,
            1 => StaleRule::OnlyGranted,
            2 => StaleRule::Forbidden,
            _ => return None,
        };
        let flags = self.byte()?;
        (flags < 4).then_some(Freshness {
            lifetime_s,
            initial_age_s,
            stale_while_revalidate_s,
            stale_if_error_s,
            stale,
            no_cache: flags & 1 != 0,
            immutable: flags & 2 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_whether_its_name_is_kept_ready_or_not() {
        for name in ASKED.iter().map(|(name, _)| *name).chain(["x-forwarded-for", "dnt"]) {
            let mut map = HeaderMap::new();
            let fields = |map: &HeaderMap| {
                let mut all = Vec::new();
                MapFields(map).each(name, &mut |value| all.push(value.to_vec()));
                (MapFields(map).first(name).map(<[u8]>::to_vec), all)
            };
            map.append("host", HeaderValue::from_static("example.org"));
            assert_eq!(fields(&map), (None, vec![]), "{name}");
            let key: HeaderName = name.parse().expect("a name");
            map.append(key.clone(), HeaderValue::from_static("1"));
            map.append(key, HeaderValue::from_static("2"));
            let both = vec![b"1".to_vec(), b"2".to_vec()];
            assert_eq!(fields(&map), (Some(b"1".to_vec()), both), "{name}");
        }
    }
}
