//! One record, as it travels through the ring: a length and packed fields.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use seawall_model::{
    Cause, ClientAddr, Decision, HttpVersion, Instant, Ja4, Method, MitigationId, WallTime,
};

use crate::metrics::CacheOutcome;

/// What is known of a finished request. Borrowed; copied (and cut) by
/// [`super::LogWriter::record`].
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// The moment, for the rate of refusals.
    pub now: Instant,
    /// The moment, for the line.
    pub at: WallTime,
    /// Who asked; truncated to /24 or /48 before it leaves this call.
    pub client: ClientAddr,
    /// The request's id; cut after 40 bytes.
    pub request_id: &'a str,
    /// The protocol version.
    pub version: HttpVersion,
    /// The method.
    pub method: Method,
    /// The host asked for; cut after 64 bytes.
    pub host: &'a str,
    /// The path without query; cut after 256 bytes.
    pub path: &'a [u8],
    /// The query; only the names of its parameters are kept, 96 bytes of them.
    pub query: Option<&'a [u8]>,
    /// The User-Agent field; cut after 160 bytes.
    pub user_agent: Option<&'a [u8]>,
    /// The TLS fingerprint.
    pub ja4: Option<Ja4>,
    /// What was decided.
    pub decision: Decision,
    /// How the cache took part, if it was asked.
    pub cache: Option<CacheOutcome>,
    /// The mitigation that it met, whatever that did.
    pub mitigation: Option<MitigationId>,
    /// The status sent; 0: closed without an answer.
    pub status: u16,
    /// From the complete head to the last byte sent.
    pub duration: Duration,
    /// Bytes of response content sent.
    pub bytes_sent: u64,
}

/// Longest encoding: 2 bytes of length, 96 of fixed fields, 5 lengths of 2 bytes, and the texts.
pub(super) const MAX_RECORD_BYTES: usize = 2 + 96 + 10 + 40 + 64 + 256 + 96 + 160;

const MAX_ID: usize = 40;
const MAX_HOST: usize = 64;
const MAX_PATH: usize = 256;
const MAX_QUERY: usize = 96;
const MAX_AGENT: usize = 160;

/// A record read back from the ring.
#[derive(Debug)]
pub(super) struct Decoded<'a> {
    pub(super) at: WallTime,
    pub(super) client: IpAddr,
    pub(super) request_id: &'a [u8],
    pub(super) version: HttpVersion,
    pub(super) method: Method,
    pub(super) host: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) query: Option<&'a [u8]>,
    pub(super) user_agent: Option<&'a [u8]>,
    pub(super) ja4: Option<&'a [u8]>,
    pub(super) refused: bool,
    pub(super) cause: Cause,
    pub(super) cache: Option<CacheOutcome>,
    /// 0: none.
    pub(super) mitigation: u32,
    pub(super) status: u16,
    pub(super) duration_us: u64,
    pub(super) bytes_sent: u64,
    pub(super) cut: bool,
}

/// Packs a record, its length first. Total: everything is cut to fit.
pub(super) fn encode<'b>(
    record: &LogRecord<'_>,
    buffer: &'b mut [u8; MAX_RECORD_BYTES],
) -> &'b [u8] {
    let mut out = Packer { buffer, at: 2, cut: false };
    out.put(&record.at.unix_nanos().to_le_bytes());
    let duration = u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX);
    out.put(&duration.to_le_bytes());
    out.put(&record.bytes_sent.to_le_bytes());
    out.put(&record.status.to_le_bytes());
    out.put(&record.mitigation.map_or(0, |id| id.0).to_le_bytes());
    let refused = matches!(record.decision, Decision::Refuse(..));
    let cache = record.cache.map_or(0, |c| c as u8 + 1);
    let cause = u8::try_from(record.decision.cause().index()).unwrap_or(0);
    let (version, method) = (record.version as u8, record.method as u8);
    out.put(&[u8::from(refused), cause, cache, version, method]);
    match record.client.truncated() {
        IpAddr::V4(ip) => {
            out.put(&[4]);
            out.put(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put(&[6]);
            out.put(&ip.octets());
        }
    }
    match &record.ja4 {
        Some(ja4) => {
            out.put(&[1]);
            out.put(ja4.as_str().as_bytes());
        }
        None => out.put(&[0]),
    }
    out.text(Some(record.request_id.as_bytes()), MAX_ID);
    out.text(Some(record.host.as_bytes()), MAX_HOST);
    out.text(Some(record.path), MAX_PATH);
    out.names(record.query);
    out.text(record.user_agent, MAX_AGENT);
    out.finish()
}

struct Packer<'b> {
    buffer: &'b mut [u8; MAX_RECORD_BYTES],
    at: usize,
    cut: bool,
}

impl<'b> Packer<'b> {
    #[inline(always)] // most lengths are constants: a move instead of a call
    fn put(&mut self, bytes: &[u8]) {
        // The sum of all bounds is the buffer's size; see MAX_RECORD_BYTES.
        self.buffer[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// A length (0xffff: absent) and at most `max` bytes.
    fn text(&mut self, text: Option<&[u8]>, max: usize) {
        let Some(text) = text else { return self.put(&ABSENT.to_le_bytes()) };
        self.cut |= text.len() > max;
        let text = &text[..text.len().min(max)];
        self.put(&(text.len() as u16).to_le_bytes());
        self.put(text);
    }

    /// The names of a query's parameters, each followed by `=`. What has no `=` may be a secret by
    /// itself, so only its presence is told, by a `*`.
    fn names(&mut self, query: Option<&[u8]>) {
        let Some(query) = query else { return self.put(&ABSENT.to_le_bytes()) };
        let length_at = self.at;
        self.put(&[0, 0]);
        let end = self.at + MAX_QUERY;
        for (index, pair) in query.split(|&b| b == b'&').enumerate() {
            let equals = pair.iter().take(MAX_QUERY).position(|&b| b == b'=');
            let name = equals.map_or(&b"*"[..], |at| &pair[..=at]);
            let separator = usize::from(index > 0);
            if self.at + separator + name.len() > end {
                self.cut = true;
                break;
            }
            self.put(&b"&"[..separator]);
            self.put(name);
        }
        let length = (self.at - length_at - 2) as u16;
        self.buffer[length_at..length_at + 2].copy_from_slice(&length.to_le_bytes());
    }

    fn finish(mut self) -> &'b [u8] {
        let cut = u8::from(self.cut);
        self.put(&[cut]);
        let length = (self.at - 2) as u16;
        self.buffer[..2].copy_from_slice(&length.to_le_bytes());
        &self.buffer[..self.at]
    }
}

/// Unpacks what [`encode`] packed, without the leading length. `None` only for a bug.
pub(super) fn decode(bytes: &[u8]) -> Option<Decoded<'_>> {
    let mut rest = Unpacker { bytes };
    let at = WallTime::from_unix_nanos(rest.word()?);
    let duration_us = rest.word()?;
    let bytes_sent = rest.word()?;
    let status = rest.short()?;
    let mitigation = u32::from_le_bytes(rest.array()?);
    let [refused, cause, cache, version, method] = rest.array()?;
    let client = match rest.array()? {
        [4] => IpAddr::V4(Ipv4Addr::from(rest.array::<4>()?)),
        _ => IpAddr::V6(Ipv6Addr::from(rest.array::<16>()?)),
    };
    let ja4 = match rest.array()? {
        [0] => None,
        _ => Some(rest.take(36)?),
    };
    let request_id = rest.text()?.unwrap_or_default();
    let host = rest.text()?.unwrap_or_default();
    let path = rest.text()?.unwrap_or_default();
    let query = rest.text()?;
    let user_agent = rest.text()?;
    let [cut] = rest.array()?;
    Some(Decoded {
        at,
        client,
        request_id,
        version: *HttpVersion::ALL.get(usize::from(version))?,
        method: *Method::ALL.get(usize::from(method))?,
        host,
        path,
        query,
        user_agent,
        ja4,
        refused: refused != 0,
        cause: *Cause::ALL.get(usize::from(cause))?,
        cache: match cache {
            0 => None,
            n => Some(*CacheOutcome::ALL.get(usize::from(n) - 1)?),
        },
        mitigation,
        status,
        duration_us,
        bytes_sent,
        cut: cut != 0,
    })
}

struct Unpacker<'a> {
    bytes: &'a [u8],
}

impl<'a> Unpacker<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(n)?;
        self.bytes = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn word(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Outer `None`: cut off; inner: absent.
    fn text(&mut self) -> Option<Option<&'a [u8]>> {
        match self.short()? {
            ABSENT => Some(None),
            length => self.take(usize::from(length)).map(Some),
        }
    }
}

const ABSENT: u16 = u16::MAX;
