//! Fetches what the archive wants, as gently as its site can bear.
//!
//! A thread of its own, because reading pages takes time that readers' workers have not. It asks the
//! origin gate like everybody else, in the background class: what nobody waits for. While the first
//! pages are missing (a site that installs this in the middle of an attack) it goes before strangers,
//! with a quarter of what the origin can bear at most.
//!
//! It carries no cookie and no login, so that nothing of a person can come into the archive. It does
//! **not** decide what is fetched next, what is kept or what a page links to: `seawall-archive` does.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, FORWARDED, HOST, HeaderName,
    HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, USER_AGENT, VIA,
};
use http::{Request, StatusCode, Uri};
use seawall_archive::{
    Capture, Discovered, FailReason, FetchOutcome, Fetched, FoundBy, Keep, KeepPolicy, Kept, Known,
    Link, Scope, ScopeRules, Verdict, after_fetch, asked_for, discovered, judge_response, noticed,
    seed,
};
use seawall_cache::strip_hop_by_hop;
use seawall_decide::{OriginOutcome, WorkClass, WorkPrice, WorkRequest, WorkSource};
use seawall_model::{Instant, WallTime};

use super::SiteCopy;
use crate::clock;
use crate::origin::{Chunk, Gate, OriginBody, OriginError, Pool};
use crate::shared::Shared;

/// How the crawl of one site goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CrawlView {
    /// URLs asked for since the start.
    pub(crate) fetched: u64,
    /// Of those, kept because they were new or had changed.
    pub(crate) stored: u64,
    /// Of those, unchanged.
    pub(crate) unchanged: u64,
    /// Of those, not kept.
    pub(crate) failed: u64,
    /// URLs due now; beyond [`MAX_COUNTED`] that.
    pub(crate) due: u64,
    /// Whether the first pages are still missing.
    pub(crate) is_cold: bool,
}

/// The crawler of all sites.
pub(crate) struct Crawler {
    shared: Arc<Shared>,
}

/// Counting more would take longer than it is worth.
const MAX_COUNTED: usize = 100_000;
/// URLs fetched before what came of them is written down.
const BATCH: usize = 8;
/// At once, when nothing is missing.
const AT_ONCE: usize = 2;
/// How long the crawler sleeps when there is nothing to do, and looks whether it should end.
const NAP: Duration = Duration::from_millis(250);
/// How often packages are looked after.
const UPKEEP: Duration = Duration::from_secs(300);
/// How often what is due is counted.
const COUNT: Duration = Duration::from_secs(2);
/// The least that a site must have for its archive not to be cold.
const COLD_BELOW: u64 = 20;

impl Crawler {
    /// A crawler for the sites of `shared` that have an archive.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Crawls until the server drains.
    pub(crate) async fn run(self) {
        let policy = self.shared.policy.load_full();
        let mut tasks = Vec::new();
        for (index, copy) in policy.copies.iter().enumerate() {
            let Some(copy) = copy else { continue };
            let crawl = Crawl::new(Arc::clone(&self.shared), index, Arc::clone(copy));
            tasks.push(tokio::task::spawn_local(crawl.run()));
        }
        drop(policy);
        for task in tasks {
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(
                    "the crawler of a site broke down: its archive stays as it is until the next start"
                );
            }
        }
    }
}

/// The crawl of one site.
struct Crawl {
    shared: Arc<Shared>,
    site: usize,
    copy: Arc<SiteCopy>,
    scope: Scope,
    keep: KeepPolicy,
    host: String,
    is_https: bool,
    view: CrawlView,
    next_upkeep: Instant,
    next_count: Instant,
    next_request: Instant,
    /// The pool of the policy in force; made anew when that changes.
    pool: Option<(u64, Rc<Pool>)>,
}

/// One answer of the origin, whole.
struct Response {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Bytes,
    at: WallTime,
}

impl Crawl {
    fn new(shared: Arc<Shared>, site: usize, copy: Arc<SiteCopy>) -> Self {
        let settings = &copy.settings;
        let (scheme, host) = settings.base.split_once("://").unwrap_or(("https", &settings.base));
        let markers = settings.error_markers.iter().map(|text| text.clone().into_bytes());
        let now = clock::now();
        Self {
            scope: Scope::new(ScopeRules {
                hosts: vec![host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned()],
                // What lies below an excluded path is excluded with it.
                exclude: settings.exclude.iter().map(|path| format!("{path}*")).collect(),
                ..ScopeRules::default()
            }),
            keep: KeepPolicy { keep_no_store: false, error_markers: markers.collect() },
            host: host.to_owned(),
            is_https: scheme == "https",
            shared,
            site,
            view: CrawlView::default(),
            next_upkeep: now + UPKEEP,
            next_count: now,
            next_request: now,
            pool: None,
            copy,
        }
    }

    async fn run(mut self) {
        self.recall();
        self.say(self.sow(), "cannot note where to begin");
        while !self.shared.draining.load(Ordering::Relaxed) {
            let taken = self.take_wishes();
            self.say(taken, "cannot note what readers asked for");
            self.probe().await;
            let due = self.copy.archive.due(clock::wall(), BATCH);
            let due = due.unwrap_or_else(|error| {
                tracing::error!(site = self.host, "the archive cannot say what is due: {error}");
                Vec::new()
            });
            self.look_after();
            if due.is_empty() {
                tokio::time::sleep(NAP).await;
                continue;
            }
            self.fetch_all(due).await;
        }
        let sealed = self.copy.archive.seal(clock::wall());
        self.say(sealed.map(drop), "cannot seal what was fetched last");
    }

    fn say(&self, done: Result<(), seawall_archive::ArchiveError>, what: &str) {
        if let Err(error) = done {
            tracing::error!(site = self.host, "{what}: {error}");
        }
    }

    /// Counts what was taken before the last start, so that the bounds hold over restarts.
    fn recall(&mut self) {
        let (scope, now) = (&mut self.scope, clock::wall());
        let recalled = self.copy.archive.each_known("", |url, known, _| {
            scope.judge(url, FoundBy::Link { depth: known.depth }, now);
            true
        });
        self.say(recalled, "cannot read what is known");
    }

    /// Notes the seeds.
    fn sow(&self) -> Result<(), seawall_archive::ArchiveError> {
        let now = clock::wall();
        let settings = &self.copy.settings;
        let always = ["/", "/robots.txt"];
        let paths = always.into_iter().chain(settings.seeds.iter().map(String::as_str));
        let urls = paths.filter_map(|path| {
            seawall_archive::normal_url(Some(&format!("{}/", settings.base)), path)
        });
        let found = urls.map(|url| Discovered { known: seed(&url, now), url }).collect();
        self.copy.archive.keep(Vec::new(), found, now)
    }

    fn take_wishes(&mut self) -> Result<(), seawall_archive::ArchiveError> {
        let wishes = std::mem::take(&mut *self.copy.wishes.lock());
        if wishes.is_empty() {
            return Ok(());
        }
        let now = clock::wall();
        let mut found = Vec::new();
        for url in wishes {
            let is_known = self.copy.archive.known(&url)?.is_some();
            if !is_known && self.scope.judge(&url, FoundBy::Reader, now) == Verdict::Take {
                let known = asked_for(&url, now);
                found.push(Discovered { url, known });
            }
        }
        self.copy.archive.keep(Vec::new(), found, now)
    }

    /// While the origin is taken to be away, asks it now and then whether it is back.
    async fn probe(&mut self) {
        let is_due = self.copy.breaker.lock().takes_probe(clock::now());
        if !is_due {
            return;
        }
        let url = format!("{}/", self.copy.settings.base);
        let pool = self.pool();
        let Some(pool) = pool else { return };
        let patience = self.copy.settings.patience;
        // It notes by itself what came of it.
        let asked = self.ask(&pool, &url, None, WorkClass::Passed);
        if tokio::time::timeout(patience, asked).await.is_err() {
            self.copy.note(clock::now(), OriginOutcome::TookTooLong);
        }
    }

    fn look_after(&mut self) {
        let now = clock::now();
        if now >= self.next_count {
            self.next_count = now + COUNT;
            let wall = clock::wall();
            let due = self.copy.archive.due_count(wall, MAX_COUNTED).unwrap_or(0);
            self.view.due = due as u64;
            self.view.is_cold = self.is_cold(wall);
            self.show();
        }
        if now >= self.next_upkeep {
            self.next_upkeep = now + UPKEEP;
            self.say(
                self.copy.archive.upkeep(clock::wall()).map(drop),
                "cannot look after the packages",
            );
        }
    }

    fn show(&self) {
        *self.copy.crawl.lock() = self.view.clone();
    }

    /// Whether the pages that readers come for first are missing.
    fn is_cold(&self, now: WallTime) -> bool {
        let held = self.copy.archive.held_at_least(COLD_BELOW).unwrap_or(true);
        let first = self.copy.archive.due(now, 1).unwrap_or_default();
        let is_missing = |known: &Known| known.fetches == 0 && known.priority <= FIRST_PAGES;
        first.first().is_some_and(|(_, known)| {
            is_missing(known) || (!held && known.fetches == 0 && known.failures == 0)
        })
    }

    fn pool(&mut self) -> Option<Rc<Pool>> {
        let policy = self.shared.policy.load();
        if let Some((generation, pool)) = &self.pool
            && *generation == policy.generation
        {
            return Some(Rc::clone(pool));
        }
        let pool = Rc::new(Pool::new(&policy.config.sites.get(self.site)?.origin).ok()?);
        self.pool = Some((policy.generation, Rc::clone(&pool)));
        Some(pool)
    }

    fn gate(&self) -> Option<Arc<Gate>> {
        self.shared.policy.load().gates.get(self.site).map(Arc::clone)
    }

    /// Fetches these, some at once, and writes down what came of them.
    async fn fetch_all(&mut self, due: Vec<(String, Known)>) {
        let (Some(pool), Some(gate)) = (self.pool(), self.gate()) else {
            return tokio::time::sleep(NAP).await;
        };
        let is_cold = self.view.is_cold;
        let class = if is_cold { WorkClass::Passed } else { WorkClass::Background };
        let at_once = if is_cold { (gate.view().limit / 4).max(1) } else { AT_ONCE };
        let mut done = Vec::with_capacity(due.len());
        for some in due.chunks(at_once) {
            if self.shared.draining.load(Ordering::Relaxed) {
                break;
            }
            self.wait_for_turn(some.len(), is_cold).await;
            let asks = some.iter().map(|(url, known)| self.ask(&pool, url, Some(known), class));
            let came = join_all(asks).await;
            done.extend(some.iter().cloned().zip(came));
        }
        self.take_in(done);
    }

    /// Keeps to the rate. What is missing at the beginning may come twice as fast.
    async fn wait_for_turn(&mut self, requests: usize, is_cold: bool) {
        let now = clock::now();
        let wait = self.next_request.saturating_since(now);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let rate = f64::from(self.copy.settings.max_rate.max(1)) * if is_cold { 2.0 } else { 1.0 };
        let pause = Duration::from_secs_f64(requests as f64 / rate);
        self.next_request = self.next_request.max(now) + pause;
    }

    /// Asks the origin for one URL.
    async fn ask(
        &self,
        pool: &Rc<Pool>,
        url: &str,
        known: Option<&Known>,
        class: WorkClass,
    ) -> Result<Response, FailReason> {
        let gate = self.gate().ok_or(FailReason::Busy)?;
        let request = self.request(url, known).ok_or(FailReason::OutOfScope)?;
        let template = gate.template(request.uri().path(), request.uri().query());
        let work = WorkRequest {
            class,
            source: WorkSource::Elsewhere,
            identity: CRAWLER,
            demand: 0,
            template,
            price: WorkPrice::Measured,
        };
        let permit = gate.enter(work).await.map_err(|_| FailReason::Busy)?;
        let (outcome, response) = match pool.exchange(permit, request, None).await {
            Ok(exchange) if exchange.head.status.is_server_error() => {
                (OriginOutcome::Failed, Err(FailReason::ServerError))
            }
            Ok(exchange) => (OriginOutcome::Answered, Ok(exchange)),
            Err(OriginError::Timeout { .. }) => {
                (OriginOutcome::TookTooLong, Err(FailReason::TimedOut))
            }
            Err(OriginError::Connect(_)) => (OriginOutcome::Failed, Err(FailReason::Unreachable)),
            Err(OriginError::Protocol(_)) => (OriginOutcome::Failed, Err(FailReason::Broken)),
        };
        self.copy.note(clock::now(), outcome);
        let mut exchange = response?;
        let at = clock::wall();
        let most = self.copy.settings.max_object_bytes;
        if exchange.body.length().is_some_and(|length| length > most as u64) {
            return Err(FailReason::TooLarge);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = exchange.body.next().await.map_err(|_| FailReason::Broken)? {
            let Chunk::Data(data) = chunk else { continue };
            if body.len() + data.len() > most {
                return Err(FailReason::TooLarge);
            }
            body.extend_from_slice(&data);
        }
        let mut headers = exchange.head.headers;
        strip_hop_by_hop(&mut headers);
        if headers.contains_key(CONTENT_ENCODING) {
            // It was asked for without.
            return Err(FailReason::Broken);
        }
        headers.remove(CONTENT_LENGTH);
        let mut fields: Vec<(String, Vec<u8>)> = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect();
        fields.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
        let status = exchange.head.status.as_u16();
        Ok(Response { status, fields, body: body.freeze(), at })
    }

    fn request(&self, url: &str, known: Option<&Known>) -> Option<Request<OriginBody>> {
        let target = url.strip_prefix(self.copy.settings.base.as_str())?;
        let target = if target.is_empty() { "/" } else { target };
        let mut request = Request::new(OriginBody::Empty);
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(target.parse().ok()?);
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        let policy = self.shared.policy.load();
        let origin = &policy.config.sites.get(self.site)?.origin;
        let authority = origin.target.authority();
        let host = if origin.preserve_host { &self.host } else { &authority };
        let proto = if self.is_https { "https" } else { "http" };
        let forwarded = format!("for=_archive;host=\"{}\";proto={proto}", self.host);
        let headers = request.headers_mut();
        for (name, value) in [
            (HOST, host.as_str()),
            (USER_AGENT, AGENT),
            (ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8"),
            (ACCEPT_ENCODING, "identity"),
            (FORWARDED, forwarded.as_str()),
            (HeaderName::from_static("x-forwarded-proto"), proto),
            (HeaderName::from_static("x-forwarded-host"), self.host.as_str()),
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

    /// Writes down what came.
    fn take_in(&mut self, done: Vec<((String, Known), Result<Response, FailReason>)>) {
        let mut fetched = Vec::with_capacity(done.len());
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for ((url, known), came) in done {
            self.view.fetched += 1;
            let now = clock::wall();
            let taken = self.judge(&url, &known, came, now);
            for link in &taken.links {
                if seen.insert(link.url.clone()) {
                    found.extend(self.follow(link, &known, now));
                }
            }
            match &taken.kept {
                Kept::Response(_) => self.view.stored += 1,
                Kept::Unchanged => self.view.unchanged += 1,
                Kept::Gone | Kept::Nothing => self.view.failed += 1,
            }
            let known = after_fetch(&url, &known, &taken.outcome, now);
            fetched.push(Fetched { url, known, kept: taken.kept, title: taken.title });
        }
        let kept = self.copy.archive.keep(fetched, found, clock::wall());
        self.say(kept, "cannot keep what was fetched");
        self.show();
    }

    fn judge(
        &self,
        url: &str,
        known: &Known,
        came: Result<Response, FailReason>,
        now: WallTime,
    ) -> Taken {
        let response = match came {
            Ok(response) => response,
            Err(reason) => return Taken::failed(reason),
        };
        let validators = seawall_archive::Validators::of(&response.fields);
        if response.status == StatusCode::NOT_MODIFIED.as_u16() {
            let validators = if validators == Default::default() {
                known.validators.clone()
            } else {
                validators
            };
            return Taken::plain(FetchOutcome::Unchanged(validators), Kept::Unchanged);
        }
        let Response { status, fields, body, .. } = response;
        match judge_response(status, &fields, &body, &self.keep) {
            Keep::Skip(reason) => Taken::failed(reason),
            Keep::Gone => Taken::plain(FetchOutcome::Failed(FailReason::Gone), Kept::Gone),
            Keep::Store => {
                let captured = response.at.min(now);
                let url = url.to_owned();
                let capture = Capture { url, captured, status, fields, body };
                let reading = seawall_archive::read(&capture);
                let same = self.copy.archive.is_unchanged(&capture).unwrap_or(false);
                let outcome = if same {
                    FetchOutcome::Unchanged(validators)
                } else {
                    FetchOutcome::Changed(validators)
                };
                let kept = if same { Kept::Unchanged } else { Kept::Response(capture) };
                Taken { outcome, kept, links: reading.links, title: reading.title }
            }
        }
    }

    /// What a link is worth: a URL that is new, or one of which there is news.
    fn follow(&mut self, link: &Link, from: &Known, now: WallTime) -> Option<Discovered> {
        match self.copy.archive.known(&link.url) {
            Ok(Some(known)) => {
                let known = noticed(&known, link, from, now)?;
                Some(Discovered { url: link.url.clone(), known })
            }
            Ok(None) => {
                let known = discovered(link, from, now);
                let found = FoundBy::Link { depth: known.depth };
                let is_taken = self.scope.judge(&link.url, found, now) == Verdict::Take;
                is_taken.then(|| Discovered { url: link.url.clone(), known })
            }
            Err(_) => None,
        }
    }
}

/// What is made of one answer.
struct Taken {
    outcome: FetchOutcome,
    kept: Kept,
    links: Vec<Link>,
    title: Option<String>,
}

impl Taken {
    fn plain(outcome: FetchOutcome, kept: Kept) -> Self {
        Self { outcome, kept, links: Vec::new(), title: None }
    }

    fn failed(reason: FailReason) -> Self {
        Self::plain(FetchOutcome::Failed(reason), Kept::Nothing)
    }
}

/// Front page, lists and newest pages with what they load.
const FIRST_PAGES: u8 = 3;
/// Who the crawler is before the origin gate; no client's address looks like this.
const CRAWLER: u128 = u128::MAX;
/// What the site's own log shows.
const AGENT: &str = concat!("Seawall/", env!("CARGO_PKG_VERSION"), " (archive of this site)");

/// Waits for all of them, in their order.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_pending = false;
        for (future, done) in &mut waiting {
            if done.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    waiting.into_iter().filter_map(|(_, done)| done).collect()
}
