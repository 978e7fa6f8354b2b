//! One stored response: its head, and its content in every coding we hold.
//!
//! Separate from the store because serving needs no store: an [`Entry`] is immutable to its
//! readers, shared by `Arc`, and outlives its eviction for as long as somebody sends it. It does
//! **not** judge freshness (policy does), write sockets, or know where it is kept.
//!
//! **Forms.** Text of at least 1 KiB gets a gzip and a brotli form from the store's packer, some
//! time after it was stored. Which forms an entry *may* have is fixed when it is made, so that
//! `Vary: Accept-Encoding` and the validators do not depend on how far the packer is. Content the
//! origin already compressed is kept as it came and decoded for readers who do not accept it.
//!
//! **Validators.** The form the origin sent keeps the origin's `ETag`. A form we made carries the
//! weak `W/"x"`: same meaning, other bytes (RFC 9110 §8.8.1), and neither `Accept-Ranges` nor
//! digests of other bytes.
//!
//! Cost of [`Entry::choose`] and of the prerendered heads once computed: no allocation, no lock
//! for compressed forms and identity forms up to 32 KiB.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use parking_lot::{Mutex, RwLock};

use crate::encode::{self, Acceptable, Encoding, OriginCoding, Wants};
use crate::head::StoredHead;
use crate::key::Key;
use crate::store::Residence;

/// A stored response. Immutable to readers; a refresh makes a new one that shares the content.
pub struct Entry {
    /// What it answers.
    pub key: Key,
    /// Status, fields and times.
    pub head: StoredHead,
    forms: Arc<Forms>,
    plan: Plan,
    rendered: [Rendered; 3],
    tags: Arc<[u64]>,
    pub(crate) residence: Arc<Residence>,
    /// Grows with each version; tells a queued write or a load whether it is still wanted.
    pub(crate) serial: u64,
}

impl Entry {
    pub(crate) fn new(
        key: Key,
        head: StoredHead,
        forms: Arc<Forms>,
        tags: Arc<[u64]>,
        residence: Arc<Residence>,
        serial: u64,
    ) -> Self {
        let plan = Plan::of(&head, &forms);
        Self { key, head, forms, plan, rendered: Default::default(), tags, residence, serial }
    }

    /// A response that comes from elsewhere than the store and is not in it: 200 or another status with
    /// this content, uncoded. It is compressed here, once: milliseconds for a large page.
    pub fn apart(key: Key, head: StoredHead, body: Bytes) -> Arc<Self> {
        let ledger = Arc::new(Ledger::new(u64::MAX));
        let forms = Arc::new(Forms::from_origin(&head.headers, body, ledger));
        let entry = Self::new(key, head, forms, Arc::default(), Residence::new(0), 0);
        if entry.awaits_packing() {
            entry.forms.pack_gzip();
        }
        Arc::new(entry)
    }

    /// Chooses what to send to a reader with this `Accept-Encoding` (RFC 9110 §12.5.3).
    ///
    /// Of what is acceptable and at hand, the best liked wins; of equals brotli, then gzip, then
    /// identity. A reader who accepts nothing we have gets identity, as the RFC asks. Normally no
    /// allocation; the first reader of an identity form that was dropped pays for decoding it.
    pub fn choose(
        self: &Arc<Self>,
        accept_encoding: Option<&[u8]>,
        wants: Wants,
    ) -> Representation {
        let (encoding, body) = self.pick(accept_encoding, wants);
        Representation { entry: Arc::clone(self), encoding, body }
    }

    fn pick(&self, accept_encoding: Option<&[u8]>, wants: Wants) -> (Encoding, Bytes) {
        let own = self.forms.own_coding();
        if self.plan == Plan::Fixed {
            return match self.forms.body(own) {
                Some(body) => (own, body),
                None => self.forms.any_body(),
            };
        }
        let acceptable = Acceptable::parse(accept_encoding);
        let mut best = (Encoding::Identity, 0);
        if wants == Wants::Range && acceptable.weight(Encoding::Identity) > 0 {
            best.1 = u16::MAX;
        }
        for encoding in Encoding::ALL {
            let at_hand = encoding == Encoding::Identity || self.forms.packed(encoding).is_some();
            let weight = acceptable.weight(encoding);
            // `>=`: the later of `ALL` wins a tie, and it is the smaller one.
            if at_hand && weight > 0 && weight >= best.1 {
                best = (encoding, weight);
            }
        }
        match self.forms.body(best.0) {
            Some(body) => (best.0, body),
            // Damaged or too large to decode: the form we hold is better than nothing.
            None => self.forms.any_body(),
        }
    }

    /// The same content under another head, for an answer that is not stored: a refresh that may
    /// be used once but not kept.
    pub fn with_head(&self, head: StoredHead) -> Arc<Self> {
        let (key, forms) = (self.key.clone(), Arc::clone(&self.forms));
        let (tags, residence) = (Arc::clone(&self.tags), Arc::clone(&self.residence));
        Arc::new(Self::new(key, head, forms, tags, residence, self.serial))
    }

    /// Bytes this entry takes: content in all its forms, fields, prerendered heads, bookkeeping.
    pub fn footprint(&self) -> u64 {
        self.forms.content_bytes() + self.overhead()
    }

    /// Length of the content in the form the origin sent, in bytes.
    pub fn origin_len(&self) -> u64 {
        self.forms.origin_len
    }

    /// Whether compressed forms are still to be made.
    pub fn awaits_packing(&self) -> bool {
        self.plan == Plan::Compress && !self.forms.is_packed.load(Ordering::Acquire)
    }

    /// The content as it is before any coding, if it is no longer than `max_bytes`. Milliseconds for a
    /// large page, and what is unpacked is not kept.
    pub(crate) fn content(&self, max_bytes: u64) -> Option<Bytes> {
        self.forms.identity_at_hand().or_else(|| {
            let (encoding, packed) = self.forms.any_packed()?;
            encode::decompress(encoding, &packed, max_bytes)
        })
    }

    pub(crate) fn forms(&self) -> &Arc<Forms> {
        &self.forms
    }

    pub(crate) fn tags(&self) -> &Arc<[u64]> {
        &self.tags
    }

    /// Bytes beside the content: an estimate that errs on the high side.
    pub(crate) fn overhead(&self) -> u64 {
        head_overhead(&self.head) + 8 * self.tags.len() as u64
    }

    fn render_http1(&self, encoding: Encoding, body_len: usize) -> Bytes {
        let fields = self.render_fields(encoding, body_len);
        let status = self.head.status;
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let mut head = Vec::with_capacity(64 + 48 * fields.len());
        head.extend_from_slice(b"HTTP/1.1 ");
        head.extend_from_slice(status.to_string().as_bytes());
        head.push(b' ');
        head.extend_from_slice(reason.unwrap_or_default().as_bytes());
        head.extend_from_slice(b"\r\n");
        for (name, value) in &fields {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        encode::shared(head)
    }

    fn render_fields(&self, encoding: Encoding, body_len: usize) -> HeaderMap {
        let stored = &self.head.headers;
        let is_made = encoding != self.forms.own_coding();
        let listed = fields_of_connection(stored);
        // Built anew rather than by removal, which would shuffle the order of the lines.
        let mut fields = HeaderMap::with_capacity(stored.len() + 2);
        for (name, value) in stored {
            let is_dropped = CONNECTION_FIELDS.contains(&name.as_str())
                || listed.contains(name)
                || (is_made && is_of_other_bytes(name, encoding));
            if is_dropped {
                continue;
            }
            let weak = if is_made && *name == header::ETAG { weakened(value) } else { None };
            fields.append(name, weak.unwrap_or_else(|| value.clone()));
        }
        if let (true, Some(token)) = (is_made, encoding.token()) {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(token));
        }
        if self.plan != Plan::Fixed {
            add_vary(&mut fields);
        }
        // RFC 9110 §8.6: never in a 204.
        if self.head.status != 204 {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body_len as u64));
        }
        fields
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("url", &self.key.url())
            .field("status", &self.head.status)
            .field("plan", &self.plan)
            .field("bytes", &self.footprint())
            .finish_non_exhaustive()
    }
}

/// One form of an entry, chosen for one reader. Holds the entry alive.
pub struct Representation {
    entry: Arc<Entry>,
    /// How `body` is coded. Identity also for content that came in a coding we cannot undo: its
    /// `Content-Encoding` is then among the stored fields.
    pub encoding: Encoding,
    /// The content, whole.
    pub body: Bytes,
}

impl Representation {
    /// The prerendered HTTP/1.1 head: status line, stored end-to-end fields adjusted to this form,
    /// `Content-Length`; each line with its CRLF, **without** the final empty line and without
    /// `Age`, our `Cache-Status` member and `Connection`, which the caller appends.
    ///
    /// Computed once per entry and form.
    pub fn head_http1(&self) -> &Bytes {
        let rendered = &self.entry.rendered[self.encoding.index()];
        rendered.http1.get_or_init(|| self.entry.render_http1(self.encoding, self.body.len()))
    }

    /// The same fields as a map, for HTTP/2. Computed once per entry and form.
    pub fn headers(&self) -> &HeaderMap {
        let rendered = &self.entry.rendered[self.encoding.index()];
        rendered.fields.get_or_init(|| self.entry.render_fields(self.encoding, self.body.len()))
    }

    /// The status of the stored response.
    pub fn status(&self) -> u16 {
        self.entry.head.status
    }

    /// The validator this form carries, for `If-None-Match`, `If-Match` and `If-Range`.
    pub fn etag(&self) -> Option<&HeaderValue> {
        self.headers().get(header::ETAG)
    }

    /// Whether ranges of these bytes may be sent. Not for a compressed form we made: packing it
    /// anew may give other bytes.
    pub fn allows_ranges(&self) -> bool {
        self.encoding == Encoding::Identity || self.encoding == self.entry.forms.own_coding()
    }

    /// The entry this is a form of.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl std::fmt::Debug for Representation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Representation")
            .field("encoding", &self.encoding)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Which forms an entry may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Only the one the origin sent.
    Fixed,
    /// Identity came; gzip and brotli are made.
    Compress,
    /// A compressed form came; identity is made.
    Decode,
}

impl Plan {
    fn of(head: &StoredHead, forms: &Forms) -> Self {
        let headers = &head.headers;
        if encode::is_no_transform(headers)
            || head.partial.is_some()
            || head.status == 206
            || headers.contains_key(header::CONTENT_RANGE)
        {
            return Self::Fixed;
        }
        match forms.origin {
            OriginCoding::Opaque => Self::Fixed,
            OriginCoding::Known(Encoding::Identity) => {
                let is_worth_it = head.status == 200
                    && forms.origin_len >= MIN_COMPRESSED_BYTES
                    && encode::is_compressible(headers);
                if is_worth_it { Self::Compress } else { Self::Fixed }
            }
            OriginCoding::Known(Encoding::Gzip | Encoding::Brotli) => Self::Decode,
        }
    }
}

#[derive(Default)]
struct Rendered {
    http1: OnceLock<Bytes>,
    fields: OnceLock<HeaderMap>,
}

/// The content in its codings; shared by an entry and its refreshed successors.
pub(crate) struct Forms {
    origin: OriginCoding,
    /// Length of the form the origin sent.
    origin_len: u64,
    /// Identity up to 32 KiB: never dropped, read without a lock.
    small: Option<Bytes>,
    /// Identity beyond: dropped once packed, decoded again on demand.
    large: RwLock<Option<Bytes>>,
    gzip: OnceLock<Bytes>,
    brotli: OnceLock<Bytes>,
    is_asked: AtomicBool,
    is_packed: AtomicBool,
    account: Mutex<Account>,
    ledger: Arc<Ledger>,
}

impl Forms {
    /// The content as it came from the origin with these fields.
    pub(crate) fn from_origin(headers: &HeaderMap, body: Bytes, ledger: Arc<Ledger>) -> Self {
        let origin = encode::origin_coding(headers);
        let forms = Self::empty(origin, body.len() as u64, ledger);
        match origin {
            OriginCoding::Known(Encoding::Gzip) => forms.with(Encoding::Gzip, body),
            OriginCoding::Known(Encoding::Brotli) => forms.with(Encoding::Brotli, body),
            _ => forms.with(Encoding::Identity, body),
        }
    }

    pub(crate) fn empty(origin: OriginCoding, origin_len: u64, ledger: Arc<Ledger>) -> Self {
        Self {
            origin,
            origin_len,
            small: None,
            large: RwLock::new(None),
            gzip: OnceLock::new(),
            brotli: OnceLock::new(),
            is_asked: AtomicBool::new(false),
            is_packed: AtomicBool::new(false),
            account: Mutex::new(Account::default()),
            ledger,
        }
    }

    /// Adds a form while nobody else sees this yet.
    pub(crate) fn with(mut self, encoding: Encoding, body: Bytes) -> Self {
        self.account.get_mut().bytes += body.len() as u64;
        match encoding {
            Encoding::Identity if body.len() <= MAX_SMALL_BYTES => self.small = Some(body),
            Encoding::Identity => *self.large.get_mut() = Some(body),
            Encoding::Gzip => drop(self.gzip.set(body)),
            Encoding::Brotli => drop(self.brotli.set(body)),
        }
        let is_own = self.origin == OriginCoding::Known(encoding);
        if encoding != Encoding::Identity && !is_own {
            *self.is_packed.get_mut() = true;
            *self.is_asked.get_mut() = true;
        }
        self
    }

    /// The coding under which the origin's own bytes are filed.
    pub(crate) fn own_coding(&self) -> Encoding {
        match self.origin {
            OriginCoding::Known(encoding) => encoding,
            OriginCoding::Opaque => Encoding::Identity,
        }
    }

    pub(crate) fn origin(&self) -> OriginCoding {
        self.origin
    }

    pub(crate) fn origin_len(&self) -> u64 {
        self.origin_len
    }

    pub(crate) fn packed(&self, encoding: Encoding) -> Option<&Bytes> {
        match encoding {
            Encoding::Identity => None,
            Encoding::Gzip => self.gzip.get(),
            Encoding::Brotli => self.brotli.get(),
        }
    }

    /// The identity form if it is at hand, without decoding.
    pub(crate) fn identity_at_hand(&self) -> Option<Bytes> {
        self.small.clone().or_else(|| self.large.read().clone())
    }

    fn body(&self, encoding: Encoding) -> Option<Bytes> {
        match encoding {
            Encoding::Identity => self.identity_at_hand().or_else(|| self.decode()),
            other => self.packed(other).cloned(),
        }
    }

    /// Whatever is there. Some form always is: they are dropped only when another remains.
    fn any_body(&self) -> (Encoding, Bytes) {
        self.any_packed()
            .unwrap_or_else(|| (Encoding::Identity, self.identity_at_hand().unwrap_or_default()))
    }

    /// A compressed form if there is one: gzip first, it decodes as fast and is checksummed.
    pub(crate) fn any_packed(&self) -> Option<(Encoding, Bytes)> {
        [Encoding::Gzip, Encoding::Brotli]
            .into_iter()
            .find_map(|encoding| Some((encoding, self.packed(encoding)?.clone())))
    }

    fn decode(&self) -> Option<Bytes> {
        // The lock is held while decoding, so that a crowd decodes once.
        let mut slot = self.large.write();
        if let Some(body) = &*slot {
            return Some(body.clone());
        }
        let (encoding, packed) = self.any_packed()?;
        let body = encode::decompress(encoding, &packed, MAX_DECODED_BYTES)?;
        // Kept only where the budget has room: asking for identity must not flush other pages.
        if self.charge_if_room(body.len() as u64) {
            *slot = Some(body.clone());
        }
        Some(body)
    }

    /// Whether the packer should be asked, which happens once.
    pub(crate) fn ask_packing(&self) -> bool {
        !self.is_asked.load(Ordering::Relaxed) && !self.is_asked.swap(true, Ordering::Relaxed)
    }

    /// Takes the question back: the packer had no room.
    pub(crate) fn unask_packing(&self) {
        self.is_asked.store(false, Ordering::Relaxed);
    }

    /// Makes the compressed forms. For the packer thread: milliseconds.
    pub(crate) fn pack(&self) {
        if let Some(body) = self.identity_at_hand() {
            for (encoding, slot) in [(Encoding::Gzip, &self.gzip), (Encoding::Brotli, &self.brotli)]
            {
                if let Some(packed) = encode::compress(encoding, &body) {
                    let bytes = packed.len() as u64;
                    if slot.set(packed).is_ok() {
                        self.charge(bytes);
                    }
                }
            }
        }
        self.is_packed.store(true, Ordering::Release);
        self.shed_identity();
    }

    /// Makes the form that is cheap to make.
    fn pack_gzip(&self) {
        let packed =
            self.identity_at_hand().and_then(|body| encode::compress(Encoding::Gzip, &body));
        if let Some(packed) = packed {
            let _ = self.gzip.set(packed);
        }
        self.is_asked.store(true, Ordering::Relaxed);
        self.is_packed.store(true, Ordering::Release);
    }

    /// Drops an identity form that can be decoded again; returns the bytes freed.
    pub(crate) fn shed_identity(&self) -> u64 {
        if self.gzip.get().is_none() && self.brotli.get().is_none() {
            return 0;
        }
        let dropped = self.large.write().take();
        let bytes = dropped.map_or(0, |body| body.len() as u64);
        self.discharge(bytes);
        bytes
    }

    pub(crate) fn content_bytes(&self) -> u64 {
        self.account.lock().bytes
    }

    /// From now on these bytes count against the memory tier, with `overhead` bytes beside them.
    pub(crate) fn enter_memory(&self, overhead: u64) {
        let mut account = self.account.lock();
        if let Residency::In { overhead: old } = account.residency {
            self.ledger.sub(old);
        } else {
            self.ledger.add(account.bytes);
        }
        self.ledger.add(overhead);
        account.residency = Residency::In { overhead };
    }

    /// From now on they do not.
    pub(crate) fn leave_memory(&self) {
        let mut account = self.account.lock();
        if let Residency::In { overhead } = account.residency {
            self.ledger.sub(account.bytes + overhead);
            account.residency = Residency::Out;
        }
    }

    fn charge(&self, bytes: u64) {
        let mut account = self.account.lock();
        account.bytes += bytes;
        if account.residency != Residency::Out {
            self.ledger.add(bytes);
        }
    }

    fn charge_if_room(&self, bytes: u64) -> bool {
        let mut account = self.account.lock();
        // Once evicted, it lives only as long as the readers who hold it: not worth keeping.
        let has_room = account.residency != Residency::Out && self.ledger.has_room(bytes);
        if has_room {
            account.bytes += bytes;
            self.ledger.add(bytes);
        }
        has_room
    }

    fn discharge(&self, bytes: u64) {
        let mut account = self.account.lock();
        account.bytes -= bytes;
        if account.residency != Residency::Out {
            self.ledger.sub(bytes);
        }
    }
}

/// Bytes of the memory tier, counted where they change.
#[derive(Debug)]
pub(crate) struct Ledger {
    bytes: AtomicU64,
    /// What it may hold now, and at most.
    limit: AtomicU64,
    max_bytes: u64,
}

impl Ledger {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { bytes: AtomicU64::new(0), limit: AtomicU64::new(max_bytes), max_bytes }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.bytes() > self.limit()
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes.min(self.max_bytes), Ordering::Relaxed);
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.bytes() + bytes <= self.limit()
    }

    fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sub(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Account {
    bytes: u64,
    residency: Residency,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Residency {
    #[default]
    Out,
    In {
        overhead: u64,
    },
}

/// Estimated bytes that a head costs beside the content: the map itself (104 B a slot, slots in
/// powers of two), its text, and the same again for the prerendered HTTP/1 and HTTP/2 heads of the
/// two forms that readers mostly take; plus entry, queue and table bookkeeping.
pub(crate) fn head_overhead(head: &StoredHead) -> u64 {
    let text: usize =
        head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let slots = head.headers.len().next_power_of_two() * 112;
    (ENTRY_BYTES + slots * 3 + text * 3) as u64
}

/// The fields that `Connection` names (RFC 9110 §7.6.1).
fn fields_of_connection(fields: &HeaderMap) -> Vec<HeaderName> {
    let lines = fields.get_all(header::CONNECTION).iter();
    lines
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// RFC 9110 §7.6.1; `Age` and `Content-Length` are written anew for each answer. Policy has removed
/// them before; a file from an older version may still have them.
const CONNECTION_FIELDS: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "age",
    "content-length",
];

/// Whether a field speaks of the origin's bytes and so not of those we made: RFC 9530 digests and
/// the old Content-MD5 cover coded bytes; for ranges see [`Representation::allows_ranges`].
fn is_of_other_bytes(name: &HeaderName, encoding: Encoding) -> bool {
    let name = name.as_str();
    ["content-encoding", "content-digest", "repr-digest", "digest", "content-md5"].contains(&name)
        || (encoding != Encoding::Identity && name == "accept-ranges")
}

/// `W/"x"` for `"x"`; `None` if it is weak already.
fn weakened(etag: &HeaderValue) -> Option<HeaderValue> {
    let etag = etag.as_bytes();
    if etag.starts_with(b"W/") {
        return None;
    }
    HeaderValue::from_bytes(&[b"W/", etag].concat()).ok()
}

/// RFC 9110 §12.5.5: every form names what selected it, also the one a reader got for want of
/// others.
fn add_vary(fields: &mut HeaderMap) {
    let is_named = fields
        .get_all(header::VARY)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")
        });
    if !is_named {
        fields.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// Below this, a packet is a packet and compression buys nothing.
const MIN_COMPRESSED_BYTES: u64 = 1_024;
/// Identity forms up to here are kept beside the compressed ones: what benchmarks, feed readers
/// and ranges ask for, at little cost.
pub(crate) const MAX_SMALL_BYTES: usize = 32 * 1_024;
/// An origin's gzip that decodes to more is served only as it is: a bound on bombs.
const MAX_DECODED_BYTES: u64 = 64 * 1_024 * 1_024;
/// `Entry`, `Forms`, `Residence`, their counters, a table slot and a queue slot, rounded up.
const ENTRY_BYTES: usize = 1_024;
