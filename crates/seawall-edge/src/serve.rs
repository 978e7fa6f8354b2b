//! From a request to its answer, as far as nothing has to be waited for.
//!
//! [`look`] is the hot path: who asks, what is held, what is decided, and for a held page the
//! answer itself, all without waiting and, for a plain hit, nearly without allocating. What the
//! origin has to do becomes a [`Plan`] for `fetch`. Both protocols call the same two functions.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use seawall_cache::{
    CacheStatus, DiskRef, Entry, Forward, Key, Lookup, Probe, RequestMeta, Reuse, Scheme,
    classify_cookies, only_if_cached, reuse, validators,
};
use seawall_decide::{
    CROWD, Look as ClientLook, RouteLane, RouteTerms, Turn, TurnAsker, Whence, Wish, WorkSource,
    decide, held_gate, route_gate,
};
use seawall_model::{
    BodyLength, Cause, ClientAddr, CookieClass, Decision, Facts, Fields, Fingerprint, Held,
    HttpVersion, Identity, Instant, Method, Standing, WallTime,
};
use seawall_wire::forwarded;
use seawall_wire::http1::RequestView;

use crate::answer::{Answer, AnswerBody, AnswerHead, CacheText, Note};
use crate::archive;
use crate::cheap_test;
use crate::clock;
use crate::detection;
use crate::fetch;
use crate::held::{self, Served};
use crate::metrics::CacheOutcome;
use crate::policy::Policy;
use crate::query::{self, Oddity, Placed};
use crate::refusal;
use crate::visitor::{self, Offer, Visitor};
use crate::worker::{ClientConn, PolicyRef, Worker};

/// When a request came: the two clocks, read once, and its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) mono: Instant,
    pub(crate) wall: WallTime,
    /// The request's number on its worker.
    pub(crate) number: u64,
}

impl Times {
    pub(crate) fn read(worker: &Worker) -> Self {
        Self { mono: clock::now(), wall: clock::wall(), number: worker.next_request() }
    }
}

/// One request, as both protocols present it.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) method_token: &'a [u8],
    /// Lower case, without port.
    pub(crate) host: &'a str,
    /// As sent, with port.
    pub(crate) authority: &'a [u8],
    pub(crate) path: &'a [u8],
    /// Without the ticket of a test.
    pub(crate) query: Option<&'a [u8]>,
    /// The ticket that the query ended with.
    pub(crate) ticket: Option<&'a [u8]>,
    pub(crate) version: HttpVersion,
    pub(crate) fields: &'a dyn Fields,
    pub(crate) field_order: Option<u64>,
    pub(crate) http2_preface: Option<u64>,
    pub(crate) head_bytes: usize,
    pub(crate) field_count: usize,
    pub(crate) target_bytes: usize,
    pub(crate) body: BodyLength,
    pub(crate) upgrade: bool,
}

impl<'a> Ask<'a> {
    /// What of it says what it is for.
    pub(crate) const fn wish(&self) -> Wish<'a> {
        let is_exchange = self.upgrade || !matches!(self.body, BodyLength::None);
        let &Self { method, path, query, fields, .. } = self;
        Wish { method, path, query, fields, is_exchange }
    }
}

/// What [`look`] found.
pub(crate) enum Look {
    /// The answer is in hand.
    Answer(Answer),
    /// Somebody has to be waited for: the disk, the origin, or another reader's fetch.
    Origin(Box<Plan>),
}

/// What has to be done for a request whose answer is not in memory. Owns everything it needs.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) site: usize,
    /// Who waits for the origin, and with what standing.
    pub(crate) identity: Identity,
    pub(crate) standing: Standing,
    /// What tells it from others of its address.
    pub(crate) look: Option<ClientLook>,
    /// Where it comes from, for budgets and shares.
    pub(crate) whence: Whence,
    pub(crate) source: WorkSource,
    /// Its turn, where it shares an address.
    pub(crate) turn: Turn,
    /// How the origin works for this path.
    pub(crate) lane: RouteLane,
    /// A credential for the reader, if a page comes of it.
    pub(crate) offer: Option<Offer>,
    pub(crate) cause: Cause,
    pub(crate) method: Method,
    pub(crate) method_token: Bytes,
    pub(crate) authority: String,
    /// The scheme the reader used, as key and origin are told it.
    pub(crate) scheme: Scheme,
    pub(crate) target: String,
    pub(crate) cookies: CookieClass,
    pub(crate) upgrade: bool,
    /// Set when the cache may have a say: GET and HEAD without a personal cookie.
    pub(crate) key: Option<Key>,
    /// The URL of a GET or HEAD in which the cache has no say.
    pub(crate) passed: Option<Key>,
    /// What the answer tells about query parameters.
    pub(crate) probe: Option<Probe>,
    /// What its query has that nobody vouches for.
    pub(crate) oddity: Oddity,
    /// The URL that a success of an unsafe method outdates (RFC 9111 §4.4).
    pub(crate) invalidates: Option<Key>,
    /// A stored response that needs validation.
    pub(crate) stale: Option<Stale>,
    /// A stored response that has to be read first.
    pub(crate) disk: Option<DiskRef>,
    pub(crate) forward: Forward,
    pub(crate) times: Times,
}

impl Plan {
    /// Whether the origin can be asked if what is stored, all of it, is still good. Then a range can
    /// be cut from it, and the origin need not send one.
    pub(crate) fn can_validate_whole(&self) -> bool {
        self.stale.as_ref().is_some_and(|stale| !validators(&stale.entry.head).is_empty())
    }
}

/// A stored response that cannot be used as it is.
#[derive(Clone)]
pub(crate) struct Stale {
    pub(crate) entry: Arc<Entry>,
    /// Whether it may be served when the origin fails.
    pub(crate) on_error: bool,
}

impl Stale {
    pub(crate) fn is_whole(&self) -> bool {
        self.entry.head.partial.is_none()
    }
}

/// What the store has for a request.
struct Found {
    key: Option<Key>,
    passed: Option<Key>,
    probe: Option<Probe>,
    oddity: Oddity,
    invalidates: Option<Key>,
    cookies: CookieClass,
    hit: Option<(Arc<Entry>, Reuse)>,
    disk: Option<DiskRef>,
    forward: Forward,
}

impl Found {
    fn nothing(cookies: CookieClass, forward: Forward) -> Self {
        Self {
            key: None,
            passed: None,
            probe: None,
            oddity: Oddity::Nothing,
            invalidates: None,
            cookies,
            hit: None,
            disk: None,
            forward,
        }
    }

    fn held(&self) -> Held {
        match &self.hit {
            Some((_, Reuse::Fresh { .. })) => Held::Fresh,
            Some((_, Reuse::StaleWhileRevalidate { .. })) => Held::Stale,
            _ if self.disk.is_some() => Held::Stale,
            _ => Held::No,
        }
    }
}

/// Decides on a request and answers it, if the answer is in memory. Never waits.
pub(crate) fn look(ctx: &Rc<ClientConn>, policy: &PolicyRef, ask: &Ask<'_>, times: Times) -> Look {
    let shared = &ctx.worker.shared;
    let client = client_of(ctx, policy, ask);
    ctx.asking.set(client);
    let site = policy.site(ask.host);
    let of_site = site.map(|site| &policy.config.sites[site]);
    let mut who = shared.reception.recognise(ctx, of_site, ask, client, times);
    let found = match site {
        Some(site) => find(ctx, policy, site, ask, times),
        None => Found::nothing(CookieClass::None, Forward::Bypass),
    };
    ctx.standing.set(who.standing);
    let facts = facts(ctx, ask, who, &found);
    let terms = site.map_or_else(RouteTerms::default, |at| policy.table.route_terms(at, ask.path));
    let decision = judge(ctx, policy, (site, terms), &facts, ask, times);
    let judged = detection::look(ctx, policy, &facts, ask, (decision, times));
    ctx.worker.metrics.request(judged.decision);
    let (site, cause) = match (judged.decision, site) {
        (Decision::Refuse(refused, cause), _) => {
            shared.reception.refused(times.mono, &who);
            if let Some(test) = judged.test {
                return Look::Answer(cheap_test::answer(ctx, ask, times, test));
            }
            let allowed = || policy.table.allowed_methods(site, ask.path).collect();
            return Look::Answer(refusal::answer(refused, cause, ask, allowed));
        }
        (Decision::Admit(cause), Some(site)) => (site, cause),
        (Decision::Admit(_), None) => unreachable!("an unknown host is refused"),
    };
    count_reader(ctx, policy, who, times);
    who.offer = who.offer.or(judged.earned);
    if visitor::is_pass(ask.path) {
        return Look::Answer(shared.reception.open_pass(ctx, ask, times));
    }
    if ask.path == seawall_archive::NOTE_STYLE_PATH.as_bytes() {
        return Look::Answer(archive::note_style(ask));
    }
    let given = |mut answer| {
        if let Some(offer) = who.offer {
            shared.reception.put(offer, ask, &mut answer, times);
        }
        Look::Answer(answer)
    };
    if let Some((entry, how)) = &found.hit {
        let request = meta(ask, found.cookies);
        match *how {
            Reuse::Fresh { age_s, ttl_s } => {
                let served = Served::hit(age_s, ttl_s, cause);
                if let Some(answer) = held::answer(entry, ask, &request, served) {
                    return given(answer);
                }
            }
            Reuse::StaleWhileRevalidate { age_s, ttl_s } => {
                let served = Served::hit(age_s, ttl_s, cause);
                if let Some(answer) = held::answer(entry, ask, &request, served) {
                    let plan = plan(ctx, policy, (site, who, cause, terms.lane), ask, found, times);
                    fetch::revalidate(ctx, policy, plan, ask);
                    return given(answer);
                }
            }
            Reuse::OnlyIfCachedMiss => return Look::Answer(refusal::only_if_cached(ask)),
            Reuse::Validate { .. } | Reuse::Unusable => {}
        }
    }
    if found.hit.is_none() && found.disk.is_none() && only_if_cached(ask.fields) {
        return Look::Answer(refusal::only_if_cached(ask));
    }
    Look::Origin(Box::new(plan(ctx, policy, (site, who, cause, terms.lane), ask, found, times)))
}

/// Remembers where a known reader reads, whatever it reads: what an address may have grows with those who do. Who is
/// refused makes no room for its neighbours. Once a connection and day, because it is the same each time.
fn count_reader(ctx: &ClientConn, policy: &Policy, who: Visitor, times: Times) {
    if who.standing != Standing::AgedReader {
        return;
    }
    let day = u32::try_from(times.wall.unix_secs() / 86_400).unwrap_or(u32::MAX);
    if ctx.counted.replace(Some((who.identity, day))) != Some((who.identity, day)) {
        ctx.worker.shared.budgets.saw_reader(day, who.identity, whence(policy, who.client));
    }
}

/// Asks the gates.
fn judge(
    ctx: &ClientConn,
    policy: &Policy,
    (site, terms): (Option<usize>, RouteTerms),
    facts: &Facts<'_>,
    ask: &Ask<'_>,
    times: Times,
) -> Decision {
    let shared = &ctx.worker.shared;
    let decided = decide(&policy.table, &shared.limiters, times.mono, site, facts);
    let of_clients = (&policy.table, &shared.limiters, &shared.budgets);
    let mut decision = held_gate(of_clients, times.mono, decided, facts);
    let seems_cdn = || !ctx.via_proxy && shared.is_suspected_cdn(ctx.peer);
    if decision == Decision::Admit(Cause::Default) && terms.budget.is_some() {
        let from = whence(policy, facts.client);
        // Forwarding fields can be made up: they buy a crowd's budget, and not none.
        let serves_many = policy.table.is_tor_exit(facts.client.ip()) || seems_cdn();
        let terms = RouteTerms { people: if serves_many { CROWD } else { 1 }, ..terms };
        decision = route_gate(&shared.budgets, times.mono, terms, from, facts);
    }
    if !ctx.via_proxy {
        ctx.worker.look_for_cdn(times.mono, ctx.peer, ask.fields);
        if decision.cause() == Cause::HeldBudget && seems_cdn() {
            decision = Decision::Admit(Cause::Default);
        }
    }
    decision
}

/// The request as the cache's semantics read it.
pub(crate) fn meta<'a>(ask: &Ask<'a>, cookies: CookieClass) -> RequestMeta<'a> {
    RequestMeta { method: ask.method, fields: ask.fields, cookies }
}

fn client_of(ctx: &ClientConn, policy: &Policy, ask: &Ask<'_>) -> ClientAddr {
    if !ctx.via_proxy {
        return ctx.client;
    }
    let trusted = |ip| policy.trusts(ip);
    ClientAddr::new(forwarded::client_address(ctx.client.ip(), ask.fields, &trusted))
}

/// `detection.md`, amendment 8: behind a trusted proxy all of it would be the proxy's.
fn fingerprint(ctx: &ClientConn, ask: &Ask<'_>) -> Fingerprint {
    if ctx.via_proxy {
        return Fingerprint::default();
    }
    Fingerprint { ja4: ctx.ja4, ..bare_fingerprint(ask) }
}

/// What a request looks like by itself.
fn bare_fingerprint(ask: &Ask<'_>) -> Fingerprint {
    Fingerprint { ja4: None, http2_preface: ask.http2_preface, field_order: ask.field_order }
}

fn facts<'a>(ctx: &ClientConn, ask: &Ask<'a>, who: Visitor, found: &Found) -> Facts<'a> {
    let known = (who.identity, who.standing, found.cookies);
    Facts { held: found.held(), ..facts_of(ctx, ask, who.client, known) }
}

/// What is known of a request without the store.
pub(crate) fn facts_of<'a>(
    ctx: &ClientConn,
    ask: &Ask<'a>,
    client: ClientAddr,
    (identity, standing, cookies): (Identity, Standing, CookieClass),
) -> Facts<'a> {
    Facts {
        identity,
        standing,
        via_proxy: ctx.via_proxy,
        fingerprint: fingerprint(ctx, ask),
        cookies,
        ..bare_facts(client, ask)
    }
}

/// What a request says by itself, of a stranger who is before us over plain HTTP.
pub(crate) fn bare_facts<'a>(client: ClientAddr, ask: &Ask<'a>) -> Facts<'a> {
    Facts {
        client,
        identity: client.into(),
        standing: Standing::Anonymous,
        via_proxy: false,
        fingerprint: bare_fingerprint(ask),
        version: ask.version,
        method: ask.method,
        host: ask.host,
        path: ask.path,
        query: ask.query,
        target_bytes: ask.target_bytes,
        head_bytes: ask.head_bytes,
        field_count: ask.field_count,
        body: ask.body,
        cookies: CookieClass::None,
        held: Held::No,
    }
}

fn find(ctx: &ClientConn, policy: &PolicyRef, site: usize, ask: &Ask<'_>, times: Times) -> Found {
    let rules = &policy.config.sites[site].cache;
    let cookies = classify_cookies(rules, ask.fields);
    let mut found = Found::nothing(cookies, Forward::Method);
    let key = || {
        let key = Key::new(ctx.scheme(ask.fields), &ctx.authority(ask), ask.path, ask.query);
        query::shortened(policy, site, key)
    };
    if !ask.method.is_safe() {
        found.invalidates = Some(key());
    }
    if !matches!(ask.method, Method::Get | Method::Head) {
        return found;
    }
    // A certificate authority asks once and must get what the origin says now: an answer from before
    // the challenge was laid out would fail the renewal.
    if ask.path.starts_with(ACME_CHALLENGE) {
        found.forward = Forward::Bypass;
        return found;
    }
    let key = key();
    let is_exchange = ask.upgrade || ask.body != BodyLength::None;
    if is_exchange || cookies == CookieClass::Personal {
        // Made up or not is a question of the URL, not of what is sent along with it.
        found.oddity = query::oddity(policy, site, &key, times);
        found.passed = Some(key);
        found.forward = if is_exchange { Forward::Method } else { Forward::Bypass };
        return found;
    }
    found.forward = Forward::UriMiss;
    let request = meta(ask, cookies);
    let Placed { key, probe, oddity, held } = query::place(ctx, policy, site, key, &request, times);
    found.oddity = oddity;
    match held {
        Lookup::Hit(entry) => {
            let how = reuse(&entry.head, &request, times.wall);
            found.forward = forward_for(&how);
            found.hit = Some((entry, how));
        }
        Lookup::OnDisk(disk) => found.disk = Some(disk),
        Lookup::VaryMiss => found.forward = Forward::VaryMiss,
        Lookup::Miss => {}
    }
    found.key = Some(key);
    found.probe = probe;
    found
}

/// RFC 8555 §8.3.
pub(crate) const ACME_CHALLENGE: &[u8] = b"/.well-known/acme-challenge/";

/// Why a stored response could not be used.
pub(crate) fn forward_for(how: &Reuse) -> Forward {
    match how {
        Reuse::Validate { forward, .. } => *forward,
        _ => Forward::Miss,
    }
}

fn whence(policy: &Policy, client: ClientAddr) -> Whence {
    Whence { client, asn: policy.config.owners.owner(client.ip()) }
}

fn source(policy: &Policy, from: Whence, people: u32) -> WorkSource {
    if policy.table.is_tor_exit(from.client.ip()) {
        WorkSource::Tor
    } else if people > 1 {
        WorkSource::Shared
    } else {
        WorkSource::Elsewhere
    }
}

fn plan(
    ctx: &ClientConn,
    policy: &Policy,
    (site, who, cause, lane): (usize, Visitor, Cause, RouteLane),
    ask: &Ask<'_>,
    found: Found,
    times: Times,
) -> Plan {
    let stale = match found.hit {
        Some((entry, Reuse::Validate { stale_if_error, .. })) => {
            Some(Stale { entry, on_error: stale_if_error })
        }
        Some((entry, Reuse::StaleWhileRevalidate { .. })) => Some(Stale { entry, on_error: true }),
        _ => None,
    };
    let whence = whence(policy, who.client);
    let people = ctx.worker.shared.budgets.people(whence);
    let source = source(policy, whence, people);
    let asker = TurnAsker {
        identity: who.identity,
        standing: who.standing,
        source,
        people,
        testable: ask.wish().testable(),
        admitted: cause,
    };
    Plan {
        site,
        identity: who.identity,
        standing: who.standing,
        look: ctx.worker.shared.limiters.look(&fingerprint(ctx, ask)),
        whence,
        source,
        turn: cheap_test::turn(ctx, ask, asker, times),
        lane,
        offer: who.offer,
        cause,
        method: ask.method,
        method_token: Bytes::copy_from_slice(ask.method_token),
        authority: ctx.authority(ask).into_owned(),
        scheme: ctx.scheme(ask.fields),
        target: shared_target(ask, found.key.as_ref()),
        cookies: found.cookies,
        upgrade: ask.upgrade,
        key: found.key,
        passed: found.passed,
        probe: found.probe,
        oddity: found.oddity,
        invalidates: found.invalidates,
        stale,
        disk: found.disk,
        forward: found.forward,
        times,
    }
}

/// The target as the origin is asked for it: what is kept for everybody is asked for by what its key
/// says, so that parameters which are no part of the key cannot get into it.
fn shared_target(ask: &Ask<'_>, key: Option<&Key>) -> String {
    match key {
        Some(key) if Key::new(key.scheme(), key.host(), ask.path, ask.query) != *key => {
            target(&Ask { query: key.query(), ..*ask })
        }
        _ => target(ask),
    }
}

/// The origin-form target. The framer admits printable ASCII only.
pub(crate) fn target(ask: &Ask<'_>) -> String {
    let mut target = String::from_utf8_lossy(ask.path).into_owned();
    if let Some(query) = ask.query {
        target.push('?');
        target.push_str(&String::from_utf8_lossy(query));
    }
    target
}

/// The fields of an HTTP/1 request as a map. What the map cannot hold was refused by the framer.
pub(crate) fn header_map(view: &RequestView<'_>) -> HeaderMap {
    let fields = view.fields();
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

/// An answer that Seawall gives by itself or passes on, with a Cache-Status member.
pub(crate) fn built(
    status: StatusCode,
    mut headers: HeaderMap,
    body: AnswerBody,
    cache: &CacheStatus,
    note: Note,
) -> Answer {
    let mut text = Vec::with_capacity(48);
    seawall_cache::write_cache_status(&mut text, cache);
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        headers.append(HeaderName::from_static("cache-status"), value);
    }
    Answer { status: status.as_u16(), head: AnswerHead::Map(headers), body, note }
}

/// A Cache-Status value; for a hit without heap: `seawall; hit; ttl=12`.
pub(crate) fn cache_text(cache: &CacheStatus) -> CacheText {
    let mut text = CacheText::new();
    if let CacheStatus::Hit { ttl_s } = cache {
        let _ = write!(text, "seawall; hit; ttl={ttl_s}");
    } else {
        let mut long = Vec::with_capacity(64);
        seawall_cache::write_cache_status(&mut long, cache);
        let _ = text.write_str(&String::from_utf8_lossy(&long));
    }
    text
}

/// Leaves an answer in log and metrics. Called when the last byte was handed to the socket.
pub(crate) fn record(
    ctx: &ClientConn,
    policy: &Policy,
    ask: &Ask<'_>,
    answer: &Answer,
    sent: u64,
    times: Times,
) {
    let worker = &ctx.worker;
    let duration = clock::now().saturating_since(times.mono);
    worker.metrics.response(answer.status, ask.version, duration);
    worker.metrics.cache(answer.note.cache);
    ctx.answered(answer.note.refused);
    let client = client_of(ctx, policy, ask);
    let met = detection::observe(ctx, policy, ask, answer, client, (times, duration));
    worker.log(ctx.ja4, client, ask, answer, times, (sent, duration, met));
}

impl ClientConn {
    /// The scheme the reader uses: that of the connection, or what a trusted proxy says of its own.
    /// Keys and the origin are told the same, because origins answer by it: a redirect to https held
    /// for the readers of https would be a loop.
    pub(crate) fn scheme(&self, fields: &dyn Fields) -> Scheme {
        let told = if self.via_proxy { fields.first("x-forwarded-proto") } else { None };
        match told {
            Some(proto) if proto.eq_ignore_ascii_case(b"https") => Scheme::Https,
            Some(proto) if proto.eq_ignore_ascii_case(b"http") => Scheme::Http,
            _ if self.tls => Scheme::Https,
            _ => Scheme::Http,
        }
    }

    /// Host and port as keys have them and as the origin is told them, in one spelling: lower case,
    /// no final dot, no default port, and no port that nobody but the request speaks of. If key and
    /// origin were told different ones, a stranger's port or spelling could get into a page that
    /// everybody is served; if any port were kept, each would be a key of its own.
    fn authority<'a>(&self, ask: &Ask<'a>) -> Cow<'a, str> {
        let default: u16 = if self.scheme(ask.fields) == Scheme::Https { 443 } else { 80 };
        let after = ask.authority.rsplit(|byte| *byte == b':').next();
        let port = after.and_then(|port| std::str::from_utf8(port).ok()?.parse::<u16>().ok());
        let is_kept = |port: &u16| *port != default && self.is_reached_by(*port, ask.fields);
        match port.filter(|port| ask.authority.contains(&b':') && is_kept(port)) {
            // The last group of a bare IPv6 literal is in brackets, so it is no number here.
            Some(port) => match as_sent(ask.authority, ask.host) {
                Some(authority) => Cow::Borrowed(authority),
                None => Cow::Owned(format!("{}:{port}", ask.host)),
            },
            None => Cow::Borrowed(ask.host),
        }
    }

    /// Whether readers reach us by `port`, as far as anybody says who may.
    fn is_reached_by(&self, port: u16, fields: &dyn Fields) -> bool {
        let told = if self.via_proxy { fields.first("x-forwarded-port") } else { None };
        let told = told.and_then(|told| std::str::from_utf8(told).ok()?.trim().parse().ok());
        self.ports.has(port) || told == Some(port)
    }
}

/// What was sent as host and port, if it is in the one spelling already, as browsers send it: then it
/// need not be put together anew for each request.
fn as_sent<'a>(authority: &'a [u8], host: &str) -> Option<&'a str> {
    let port = authority.strip_prefix(host.as_bytes())?.strip_prefix(b":")?;
    // Neither `080` nor `+80`, which are read as 80 too.
    let is_plain = matches!(port, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
    if is_plain { std::str::from_utf8(authority).ok() } else { None }
}

/// A note for an answer that passed.
pub(crate) fn note(cause: Cause, cache: CacheOutcome) -> Note {
    Note { cause, refused: false, cache, close: false }
}

#[cfg(test)]
mod tests {
    use super::as_sent;

    #[test]
    fn only_the_one_spelling_of_host_and_port_is_taken_as_it_was_sent() {
        for (authority, host, is_taken) in [
            ("example.org:8080", "example.org", true),
            ("[::1]:8443", "[::1]", true),
            ("EXAMPLE.org:8080", "example.org", false),
            ("example.org.:8080", "example.org", false),
            ("example.org:08080", "example.org", false),
            ("example.org:+8080", "example.org", false),
            ("example.org:80 80", "example.org", false),
            ("example.org:", "example.org", false),
            ("example.org", "example.org", false),
            ("example.org:80:80", "example.org", false),
        ] {
            let taken = as_sent(authority.as_bytes(), host);
            assert_eq!(taken, is_taken.then_some(authority), "{authority}");
        }
    }
}
