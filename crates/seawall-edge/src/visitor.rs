//! Who asks: reads credentials and logins of a request, and gives credentials out.
//!
//! What a request says of itself is checked here, once, before it is decided on; what does not hold
//! is as if it were not there. A credential goes only over TLS, ends here, and is put only on
//! responses that no shared cache may keep. It is never logged: the access log knows no cookies, and
//! a pass's link is cut in it.
//!
//! Does **not** decide what a standing is good for: that is the gates' and the queue's business.

mod keys;
mod logins;

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, LOCATION, PRAGMA,
    REFERRER_POLICY, SET_COOKIE,
};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use seawall_cache::{CacheStatus, OWN_COOKIE, Scheme};
use seawall_decide::{
    CREDENTIAL_CHARS, Credential, CredentialClass, CredentialText, MAX_CREDENTIAL_DAYS, Sight,
    TestTicket, Visitors,
};
use seawall_model::{
    Cause, ClientAddr, Fields, Identity, Instant, Limits, Method, Refusal, Standing, WallTime,
};

use self::keys::Keys;
pub(crate) use self::keys::random;
use self::logins::KnownLogins;
use crate::answer::{Answer, AnswerBody, AnswerHead};
use crate::cheap_test;
use crate::config::Site;
use crate::metrics::CacheOutcome;
use crate::refusal;
use crate::serve::{self, Ask, Times};
use crate::worker::ClientConn;

/// What is known of visitors and remembered of them. One for the process.
pub(crate) struct Reception {
    pub(crate) keys: Keys,
    pub(crate) logins: KnownLogins,
    visitors: Mutex<Visitors>,
    /// Hashes what clients look like, with a key of its own.
    looks: RandomState,
    /// When the origin last was too busy for somebody, in seconds of the monotonic clock.
    busy_s: AtomicU64,
    pub(crate) counts: Counts,
}

/// What happened to credentials, for metrics.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) lent: AtomicU64,
    pub(crate) issued: AtomicU64,
    pub(crate) renewed: AtomicU64,
    pub(crate) passes: AtomicU64,
}

impl Counts {
    fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Who asks, as far as it was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    pub(crate) client: ClientAddr,
    /// Whose budgets it counts against.
    pub(crate) identity: Identity,
    pub(crate) standing: Standing,
    /// What it is to be given on a page.
    pub(crate) offer: Option<Offer>,
    /// What tells it from others of its address, if it was looked at.
    looks: Option<u64>,
}

/// A credential to be given with the next page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offer {
    /// To a reader who has none.
    First { client: ClientAddr, looks: u64 },
    /// To a holder, instead of yesterday's.
    Renewed(Credential),
    /// A pass to who waited for this page, and may take cookies by now.
    TestPass { waited: TestTicket, scheme: Scheme },
}

/// The link of a pass: this and the token.
pub(crate) const PASS_PATH: &str = "/.seawall/pass/";
/// Credentials are given out when nobody was turned away from the origin for so long.
const PEACE: Duration = Duration::from_secs(60);

impl Reception {
    /// Opens keys and logins in the state folder.
    ///
    /// # Errors
    /// What the system says to the files.
    pub(crate) fn open(
        dir: &Path,
        limits: &Limits,
        seed: [u64; 2],
        now: WallTime,
    ) -> io::Result<Self> {
        let keys = Keys::open(dir, now)?;
        let logins = KnownLogins::open(dir, keys.logins(), limits.max_logins, now)?;
        Ok(Self {
            keys,
            logins,
            visitors: Mutex::new(Visitors::new(limits, seed)),
            looks: RandomState::new(),
            busy_s: AtomicU64::new(0),
            counts: Counts::default(),
        })
    }

    /// Notes that the origin was too busy for somebody.
    pub(crate) fn note_busy(&self, now: Instant) {
        self.busy_s.store(now.as_nanos() / 1_000_000_000, Ordering::Relaxed);
    }

    /// Sessions, holders and prefixes forgotten to make room for others.
    pub(crate) fn forgotten(&self) -> u64 {
        self.visitors.lock().forgotten()
    }

    fn is_peace(&self, now: Instant) -> bool {
        let busy_s = self.busy_s.load(Ordering::Relaxed);
        busy_s == 0 || now.as_nanos() / 1_000_000_000 > busy_s + PEACE.as_secs()
    }

    /// Notes what was refused: a session in which that happens earns nothing.
    pub(crate) fn refused(&self, now: Instant, visitor: &Visitor) {
        if let Some(looks) = visitor.looks {
            self.visitors.lock().spoil(now, visitor.client, looks);
        }
    }

    /// Rotates keys and writes what changed. Touches the disk.
    pub(crate) fn keep(&self, now: WallTime) {
        self.keys.rotate(now);
        self.logins.keep(self.keys.logins());
    }

    /// Makes the token of a pass's link.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn grant(&self, now: WallTime, days: u8) -> io::Result<CredentialText> {
        let number = u64::from_be_bytes(keys::random()?);
        Ok(self.keys.credentials().for_grant(now, days, number))
    }

    /// Looks at who asks.
    pub(crate) fn recognise(
        &self,
        ctx: &ClientConn,
        site: Option<&Site>,
        ask: &Ask<'_>,
        client: ClientAddr,
        times: Times,
    ) -> Visitor {
        let mut visitor = Visitor {
            client,
            identity: client.into(),
            standing: Standing::Anonymous,
            offer: None,
            looks: None,
        };
        let Some(site) = site else { return visitor };
        let is_safe = ctx.scheme(ask.fields) == Scheme::Https;
        let mut holds_one = false;
        if ask.fields.has("cookie") {
            if is_safe && let Some(shown) = shown(ask.fields, OWN_COOKIE) {
                holds_one = self.check(&shown, &mut visitor, times);
            }
            self.check_login(site, ask.fields, &mut visitor, times);
        }
        if is_safe && !holds_one && ask.method == Method::Get && self.is_peace(times.mono) {
            self.watch(ctx, ask, &mut visitor, times.mono);
        }
        visitor
    }

    /// Checks a credential. Whether it was one, believed or not.
    fn check(&self, shown: &Shown, visitor: &mut Visitor, times: Times) -> bool {
        let keys = self.keys.credentials();
        let held = keys.verify(times.wall, shown.text());
        let held = held.ok().filter(|held| held.class() != CredentialClass::Grant);
        let Some(credential) = held else {
            Counts::one(&self.counts.rejected);
            return false;
        };
        if !self.visitors.lock().comes(times.mono, credential.number(), visitor.client) {
            Counts::one(&self.counts.lent);
            return true;
        }
        Counts::one(&self.counts.accepted);
        visitor.identity = credential.identity();
        visitor.standing = credential.standing();
        visitor.offer = credential.wants_renewal().then_some(Offer::Renewed(credential));
        true
    }

    fn check_login(&self, site: &Site, fields: &dyn Fields, visitor: &mut Visitor, times: Times) {
        let found = self.logins.of(self.keys.logins(), site, fields, times.wall);
        let Some(login) = found else { return };
        // One that was copied to many places is nobody's.
        if !self.visitors.lock().comes(times.mono, login.number(), visitor.client) {
            return Counts::one(&self.counts.lent);
        }
        visitor.standing = Standing::SignedIn;
        if !visitor.identity.is_holder() {
            visitor.identity = Identity::of_holder(login.number());
        }
    }

    /// Watches a session that may earn a credential.
    fn watch(&self, ctx: &ClientConn, ask: &Ask<'_>, visitor: &mut Visitor, now: Instant) {
        let Some(sight) = sight(ask) else { return };
        let (client, looks) = (visitor.client, self.looks(ctx, ask));
        visitor.looks = Some(looks);
        if self.visitors.lock().saw(now, client, looks, sight) && sight == Sight::Page {
            visitor.offer = Some(Offer::First { client, looks });
        }
    }

    /// What tells clients of one address apart. Who makes two look alike has one session for both.
    fn looks(&self, ctx: &ClientConn, ask: &Ask<'_>) -> u64 {
        let mut hasher = self.looks.build_hasher();
        if !ctx.via_proxy {
            ctx.ja4.hash(&mut hasher);
            ask.http2_preface.hash(&mut hasher);
        }
        ask.fields.first("user-agent").hash(&mut hasher);
        ask.host.hash(&mut hasher);
        hasher.finish()
    }

    /// Puts a credential on an answer, if it is a page.
    pub(crate) fn put(&self, offer: Offer, ask: &Ask<'_>, answer: &mut Answer, times: Times) {
        let is_page = ask.method == Method::Get
            && answer.status == 200
            && !answer.note.refused
            && !matches!(answer.body, AnswerBody::Upgrade(_));
        if !is_page || !is_html(answer) {
            return;
        }
        let keys = self.keys.credentials();
        let text = match offer {
            Offer::TestPass { waited, scheme } => {
                let pass = keys.pass(times.wall, ask.host, &waited);
                return add_cookie(headers_of(answer), cheap_test::cookie(&pass, scheme));
            }
            Offer::Renewed(credential) => {
                Counts::one(&self.counts.renewed);
                keys.renew(times.wall, &credential)
            }
            Offer::First { client, looks } => {
                let Ok(number) = keys::random() else { return };
                if !self.visitors.lock().give(times.mono, client, looks) {
                    return;
                }
                Counts::one(&self.counts.issued);
                keys.for_reader(times.wall, u64::from_be_bytes(number))
            }
        };
        let lasts = match offer {
            Offer::Renewed(credential) if credential.class() == CredentialClass::Pass => {
                credential.rest(times.wall)
            }
            _ => Duration::from_secs(u64::from(MAX_CREDENTIAL_DAYS) * 24 * 3600),
        };
        set_cookie(headers_of(answer), &text, lasts);
    }

    /// Answers the link of a pass.
    pub(crate) fn open_pass(&self, ctx: &ClientConn, ask: &Ask<'_>, times: Times) -> Answer {
        let keys = self.keys.credentials();
        let token = ask.path.strip_prefix(PASS_PATH.as_bytes()).unwrap_or_default();
        let is_open = matches!(ask.method, Method::Get | Method::Head)
            && ctx.scheme(ask.fields) == Scheme::Https;
        let grant = keys.verify(times.wall, token).ok().filter(|_| is_open);
        let Some((pass, text)) = grant.and_then(|grant| keys.redeem(&grant)) else {
            let refused = Refusal { status: 403, retry_after: None, close: false };
            return refusal::answer(refused, Cause::PassLink, ask, Vec::new);
        };
        Counts::one(&self.counts.passes);
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static("/"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // The address of this page is the secret.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        set_cookie(&mut headers, &text, pass.rest(times.wall));
        let note = serve::note(Cause::Default, CacheOutcome::Bypass);
        let body = AnswerBody::Whole(bytes::Bytes::new());
        serve::built(StatusCode::SEE_OTHER, headers, body, &CacheStatus::Own, note)
    }
}

/// Whether this is the link of a pass.
pub(crate) fn is_pass(path: &[u8]) -> bool {
    path.starts_with(PASS_PATH.as_bytes())
}

/// The path as it may stand in a log.
pub(crate) fn loggable(path: &[u8]) -> &[u8] {
    if is_pass(path) { PASS_PATH.as_bytes() } else { path }
}

/// What stands in the cookie: at most as much of it as could be a credential.
pub(crate) struct Shown {
    bytes: [u8; CREDENTIAL_CHARS],
    len: usize,
}

impl Shown {
    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The first cookie of a name. A value of another length than a credential's is shown as an empty one.
pub(crate) fn shown(fields: &dyn Fields, name: &str) -> Option<Shown> {
    let mut shown = None;
    fields.each("cookie", &mut |line| {
        if shown.is_some() {
            return;
        }
        for pair in line.split(|&byte| byte == b';') {
            let pair = pair.trim_ascii();
            let Some(rest) = pair.strip_prefix(name.as_bytes()) else { continue };
            let Some(value) = rest.strip_prefix(b"=") else { continue };
            let mut bytes = [0; CREDENTIAL_CHARS];
            let len = if value.len() == bytes.len() {
                bytes.copy_from_slice(value);
                bytes.len()
            } else {
                0
            };
            shown = Some(Shown { bytes, len });
            return;
        }
    });
    shown
}

/// What a request is in a session, by what browsers say of it. Programs seldom say anything.
fn sight(ask: &Ask<'_>) -> Option<Sight> {
    if let Some(what) = ask.fields.first("sec-fetch-dest") {
        if what == b"document" {
            return Some(Sight::Page);
        }
        let from = ask.fields.first("sec-fetch-site")?;
        let is_part = matches!(what, b"style" | b"script" | b"image" | b"font");
        return (is_part && (from == b"same-origin" || from == b"same-site"))
            .then_some(Sight::Part);
    }
    let accept = ask.fields.first("accept")?;
    if accept.starts_with(b"text/html") {
        return Some(Sight::Page);
    }
    is_from_here(ask.fields.first("referer")?, ask.host).then_some(Sight::Part)
}

/// Whether a Referer names a page of this host.
pub(crate) fn is_from_here(referer: &[u8], host: &str) -> bool {
    let rest = referer.strip_prefix(b"https://").or_else(|| referer.strip_prefix(b"http://"));
    let Some(rest) = rest else { return false };
    let end = rest.iter().position(|byte| b"/:?#".contains(byte)).unwrap_or(rest.len());
    rest[..end].eq_ignore_ascii_case(host.as_bytes())
}

fn is_html(answer: &Answer) -> bool {
    let headers = match &answer.head {
        AnswerHead::Held { representation, .. } => representation.headers(),
        AnswerHead::Prepared(prepared) => &prepared.fields,
        AnswerHead::Map(headers) => headers,
    };
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"))
}

/// The fields of an answer, to be changed: those of a held page become this answer's own.
fn headers_of(answer: &mut Answer) -> &mut HeaderMap {
    if let AnswerHead::Held { representation, age_s, cache_status } = &answer.head {
        let mut headers = representation.headers().clone();
        headers.insert(HeaderName::from_static("age"), HeaderValue::from(*age_s));
        if let Ok(value) = HeaderValue::from_bytes(cache_status.as_bytes()) {
            headers.append(HeaderName::from_static("cache-status"), value);
        }
        answer.head = AnswerHead::Map(headers);
    }
    if let AnswerHead::Prepared(prepared) = &answer.head {
        answer.head = AnswerHead::Map(prepared.fields.clone());
    }
    match &mut answer.head {
        AnswerHead::Map(headers) => headers,
        AnswerHead::Held { .. } | AnswerHead::Prepared(..) => unreachable!("it was replaced"),
    }
}

/// Whether caches between here and the browser would follow this field instead of Cache-Control:
/// targeted ones (RFC 9213 §3.1, by convention named after their target), Edge Architecture, Akamai,
/// nginx and LiteSpeed.
fn is_for_shared_caches(name: &str) -> bool {
    const NAMES: [&str; 4] =
        ["surrogate-control", "edge-control", "x-accel-expires", "x-litespeed-cache-control"];
    name.ends_with("cdn-cache-control") || NAMES.contains(&name)
}

/// Sets the credential's cookie.
fn set_cookie(headers: &mut HeaderMap, text: &CredentialText, lasts: Duration) {
    let line = format!(
        "{OWN_COOKIE}={}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Lax",
        text.as_str(),
        lasts.as_secs()
    );
    let Ok(mut line) = HeaderValue::from_str(&line) else { return };
    line.set_sensitive(true);
    add_cookie(headers, line);
}

/// Sets a cookie, and sees to it that no cache between here and the browser keeps it for others.
fn add_cookie(headers: &mut HeaderMap, line: HeaderValue) {
    headers.append(SET_COOKIE, line);
    let aimed: Vec<HeaderName> =
        headers.keys().filter(|name| is_for_shared_caches(name.as_str())).cloned().collect();
    for name in aimed {
        headers.remove(name);
    }
    headers.remove(EXPIRES);
    headers.remove(PRAGMA);
    let forbids = headers.get_all(CACHE_CONTROL).iter().any(|value| {
        let mut directives = value.as_bytes().split(|&byte| byte == b',');
        directives.any(|one| one.trim_ascii().eq_ignore_ascii_case(b"no-store"))
    });
    if !forbids {
        // The browser may keep the page and ask whether it is still good.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
}
