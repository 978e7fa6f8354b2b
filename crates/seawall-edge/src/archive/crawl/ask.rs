//! Asks the origin of one site for a page, as a reader of whom nothing is known.
//!
//! Where the origin is, and by which gate one gets to it, is looked up anew for each turn: a reload may
//! put the site at another place, or take it away. The origin may insist on one of several names or on
//! https; then it is asked by that from then on, because the redirect is no copy of the page.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, FORWARDED, HOST,
    HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, USER_AGENT, VIA,
};
use http::{Request, StatusCode, Uri};
use seawall_archive::{FailReason, Known};
use seawall_cache::strip_hop_by_hop;
use seawall_decide::{OriginOutcome, WorkClass, WorkPrice, WorkRequest, WorkSource};
use seawall_model::WallTime;
use tokio::time::timeout;

use crate::archive::SiteCopy;
use crate::clock;
use crate::origin::{Chunk, Exchange, Gate, OriginBody, OriginError, Permit, Pool, ResponseBody};
use crate::policy::Policy;
use crate::shared::Shared;

/// Who asks the origin of one site.
pub(super) struct Asker {
    pub(super) shared: Arc<Shared>,
    pub(super) copy: Arc<SiteCopy>,
    /// The pool of the policy in force; made anew when that changes.
    pool: RefCell<Option<(u64, Rc<Pool>)>>,
    /// How the origin wants to be asked.
    spelling: RefCell<Spelling>,
    /// Bytes of bodies that are not written down yet.
    in_hand: Rc<Cell<usize>>,
}

/// What of one policy concerns the site.
pub(super) struct Turn {
    pub(super) policy: Arc<Policy>,
    pub(super) site: usize,
    pool: Rc<Pool>,
}

/// What came of asking.
pub(super) enum Came {
    /// An answer, whole.
    Response(Response),
    /// The origin was asked, and there is nothing to keep.
    Failed(FailReason),
    /// There was no room: it says nothing of the page.
    Later,
}

/// One answer of the origin, whole.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) body: Bytes,
    pub(super) at: WallTime,
    _in_hand: InHand,
}

/// How long an origin may take for one object, its queue not counted.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
/// To https and to another name takes two.
const MAX_RESPELLED: usize = 3;
/// Who the crawler is before the origin gate; no client's address looks like this.
const CRAWLER: u128 = u128::MAX;
/// What the site's own log shows.
const AGENT: &str = concat!("Seawall/", env!("CARGO_PKG_VERSION"), " (archive of this site)");

impl Turn {
    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.policy.gates[self.site]
    }
}

impl Asker {
    pub(super) fn new(shared: Arc<Shared>, copy: Arc<SiteCopy>) -> Self {
        let spelling = RefCell::new(Spelling::of(&copy.settings.base));
        Self { shared, copy, pool: RefCell::default(), spelling, in_hand: Rc::default() }
    }

    /// Where the origin is now. `None` while nobody may ask it: the operator's emergency, or a site that
    /// a reload took away.
    pub(super) fn turn(&self) -> Option<Turn> {
        if self.shared.emergency.is_on(clock::wall) {
            return None;
        }
        let policy = self.shared.policy.load_full();
        let is_it = |it: &Option<Arc<SiteCopy>>| {
            it.as_ref().is_some_and(|copy| Arc::ptr_eq(copy, &self.copy))
        };
        let site = policy.copies.iter().position(is_it)?;
        let mut kept = self.pool.borrow_mut();
        let pool = match &*kept {
            Some((generation, pool)) if *generation == policy.generation => Rc::clone(pool),
            _ => {
                let pool = Rc::new(Pool::new(&policy.config.sites[site].origin).ok()?);
                *kept = Some((policy.generation, Rc::clone(&pool)));
                pool
            }
        };
        Some(Turn { policy, site, pool })
    }

    /// Asks for one URL; `longest` is from when the gate let it in.
    pub(super) async fn ask(
        &self,
        turn: &Turn,
        url: &str,
        known: Option<&Known>,
        class: WorkClass,
        longest: Duration,
    ) -> Came {
        // A page that never worked says nothing of the origin, but for the front page.
        let is_front = url.strip_prefix(self.copy.settings.base.as_str()) == Some("/");
        let is_telling = is_front || known.is_none_or(|known| known.fetches > 0);
        for _ in 0..=MAX_RESPELLED {
            let spelling = self.spelling.borrow().clone();
            let Some(request) = self.request(turn, &spelling, url, known) else {
                return Came::Failed(FailReason::OutOfScope);
            };
            let came = self.ask_once(turn, request, is_telling, class, longest).await;
            let Came::Response(response) = &came else { return came };
            match self.respelled(&spelling, url, response) {
                None => return came,
                Some(other) if other != spelling => *self.spelling.borrow_mut() = other,
                // It sends to where it was asked.
                Some(_) => break,
            }
        }
        Came::Failed(FailReason::Broken)
    }

    async fn ask_once(
        &self,
        turn: &Turn,
        request: Request<OriginBody>,
        is_telling: bool,
        class: WorkClass,
        longest: Duration,
    ) -> Came {
        let work = WorkRequest {
            class,
            source: WorkSource::Elsewhere,
            identity: CRAWLER,
            demand: 0,
            template: turn.gate().template(request.uri().path(), request.uri().query()),
            price: WorkPrice::Measured,
        };
        let Ok(permit) = turn.gate().enter(work).await else { return Came::Later };
        let has_answered = Cell::new(false);
        let exchange = self.exchange(turn, permit, request, is_telling, &has_answered);
        match timeout(longest, exchange).await {
            Ok(Ok(response)) => Came::Response(response),
            Ok(Err(came)) => came,
            Err(_) => {
                if is_telling && !has_answered.get() {
                    self.copy.note(clock::now(), OriginOutcome::TookTooLong);
                }
                Came::Failed(FailReason::TimedOut)
            }
        }
    }

    async fn exchange(
        &self,
        turn: &Turn,
        permit: Permit,
        request: Request<OriginBody>,
        is_telling: bool,
        has_answered: &Cell<bool>,
    ) -> Result<Response, Came> {
        let came = turn.pool.exchange(permit, request, None).await;
        has_answered.set(true);
        let at = clock::wall();
        if let Some(outcome) = outcome(&came, is_telling) {
            self.copy.note(clock::now(), outcome);
        }
        let Exchange { head, mut body, .. } = came.map_err(|error| {
            Came::Failed(match error {
                OriginError::Timeout { .. } => FailReason::TimedOut,
                OriginError::Connect(_) => FailReason::Unreachable,
                OriginError::Protocol(_) => FailReason::Broken,
            })
        })?;
        if head.status.is_server_error() {
            return Err(Came::Failed(FailReason::ServerError));
        }
        if is_endless(&head.headers) {
            return Err(Came::Failed(FailReason::TooLarge));
        }
        let (body, in_hand) = self.read(&mut body).await?;
        let mut headers = head.headers;
        strip_hop_by_hop(&mut headers);
        if headers.contains_key(CONTENT_ENCODING) {
            // It was asked for without.
            return Err(Came::Failed(FailReason::Broken));
        }
        headers.remove(CONTENT_LENGTH);
        let mut fields: Vec<(String, Vec<u8>)> = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect();
        fields.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
        Ok(Response { status: head.status.as_u16(), fields, body, at, _in_hand: in_hand })
    }

    /// Reads a body, within what one may have and what all may have together.
    async fn read(&self, body: &mut ResponseBody) -> Result<(Bytes, InHand), Came> {
        let most = self.copy.settings.max_object_bytes;
        if body.length().is_some_and(|length| length > most as u64) {
            return Err(Came::Failed(FailReason::TooLarge));
        }
        let mut in_hand = InHand { all: Rc::clone(&self.in_hand), bytes: 0 };
        let mut read = BytesMut::new();
        while let Some(chunk) = body.next().await.map_err(|_| Came::Failed(FailReason::Broken))? {
            let Chunk::Data(data) = chunk else { continue };
            if read.len() + data.len() > most {
                return Err(Came::Failed(FailReason::TooLarge));
            }
            if !in_hand.take(data.len(), most.saturating_mul(2)) {
                return Err(Came::Later);
            }
            read.extend_from_slice(&data);
        }
        Ok((read.freeze(), in_hand))
    }

    fn request(
        &self,
        turn: &Turn,
        spelling: &Spelling,
        url: &str,
        known: Option<&Known>,
    ) -> Option<Request<OriginBody>> {
        let target = url.strip_prefix(self.copy.settings.base.as_str())?;
        let target = if target.is_empty() { "/" } else { target };
        let mut request = Request::new(OriginBody::Empty);
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(target.parse().ok()?);
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        let origin = &turn.policy.config.sites[turn.site].origin;
        let authority = origin.target.authority();
        let host = if origin.preserve_host { &spelling.host } else { &authority };
        let proto = spelling.scheme();
        let forwarded = format!("for=_archive;host=\"{}\";proto={proto}", spelling.host);
        let headers = request.headers_mut();
        for (name, value) in [
            (HOST, host.as_str()),
            (USER_AGENT, AGENT),
            (ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8"),
            (ACCEPT_ENCODING, "identity"),
            (FORWARDED, forwarded.as_str()),
            (HeaderName::from_static("x-forwarded-proto"), proto),
            (HeaderName::from_static("x-forwarded-host"), spelling.host.as_str()),
            (VIA, "1.1 seawall"),
        ] {
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
        let validators = known.map(|known| &known.validators);
        let etag = validators.and_then(|it| it.etag.as_deref());
        let modified = validators.and_then(|it| it.last_modified.as_deref());
        for (name, value) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, modified)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value).ok()) {
                headers.insert(name, value);
            }
        }
        Some(request)
    }

    /// How the origin spells this very URL, if the answer is a redirect to it.
    fn respelled(&self, asked: &Spelling, url: &str, response: &Response) -> Option<Spelling> {
        if !matches!(response.status, 301..=303 | 307 | 308) {
            return None;
        }
        let (_, location) = response.fields.iter().find(|(name, _)| name == "location")?;
        let target = url.strip_prefix(self.copy.settings.base.as_str())?;
        let asked = format!("{}://{}{target}", asked.scheme(), asked.host);
        let location = std::str::from_utf8(location).ok()?;
        let location = seawall_archive::normal_url(Some(&asked), location)?;
        let is_same = self.copy.own_url(&location).as_deref() == Some(url);
        is_same.then(|| Spelling::of(&location))
    }
}

/// What an exchange says of the origin, by the same measure as readers' exchanges.
fn outcome(came: &Result<Exchange, OriginError>, is_telling: bool) -> Option<OriginOutcome> {
    match came {
        Ok(exchange) if is_away(exchange.head.status) => {
            is_telling.then_some(OriginOutcome::Failed)
        }
        Ok(_) => Some(OriginOutcome::Answered),
        Err(OriginError::Connect(_)) => Some(OriginOutcome::Failed),
        Err(OriginError::Timeout { .. }) => is_telling.then_some(OriginOutcome::TookTooLong),
        Err(OriginError::Protocol(_)) => is_telling.then_some(OriginOutcome::Failed),
    }
}

fn is_away(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502..=504)
}

/// Whether the content is a stream of events, which ends when its reader leaves.
fn is_endless(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media_type = media_type.split(|&byte| byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// A scheme and a host with its port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spelling {
    is_https: bool,
    host: String,
}

impl Spelling {
    /// That of a URL in normal form.
    fn of(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let host = rest.split('/').next().unwrap_or_default().to_owned();
        Self { is_https: scheme == "https", host }
    }

    const fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }
}

/// The part of one body in what is in hand.
struct InHand {
    all: Rc<Cell<usize>>,
    bytes: usize,
}

impl InHand {
    fn take(&mut self, bytes: usize, most: usize) -> bool {
        let all = self.all.get().saturating_add(bytes);
        if all > most {
            return false;
        }
        self.all.set(all);
        self.bytes += bytes;
        true
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.bytes);
    }
}
