//! Fetches what the archive wants, as gently as its site can bear.
//!
//! A thread of its own, because reading pages takes time that readers' workers have not. It asks the
//! origin gate like everybody else, in the background class: what nobody waits for. While the first
//! pages are missing (a site that installs this in the middle of an attack) it goes before strangers,
//! with a quarter of what the origin can bear at most.
//!
//! It carries no cookie and no login, so that nothing of a person can come into the archive. It does
//! **not** decide what is fetched next, what is kept or what a page links to: `seawall-archive` does.

mod ask;
mod missing;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use seawall_archive::{
    ArchiveError, Capture, Discovered, FailReason, FetchOutcome, Fetched, FoundBy, Keep,
    KeepPolicy, Kept, Known, Link, Scope, Verdict, after_fetch, asked_for, discovered,
    judge_response, noticed, seed,
};
use seawall_decide::WorkClass;
use seawall_model::{Instant, WallTime};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use self::ask::{Asker, Came, LONGEST, Response, Turn};
use self::missing::Missing;
use super::SiteCopy;
use crate::clock;
use crate::policy::Policy;
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
/// Bytes of content after which it is written down, however few URLs it is of.
const BATCH_BYTES: usize = 16 << 20;
/// How long the crawler sleeps when there is nothing to do.
const NAP: Duration = Duration::from_millis(250);
/// When a URL is tried again that found no room before the origin.
const LATER: Duration = Duration::from_secs(30);
/// How long the crawler rests if nothing of a batch found room.
const REST: Duration = Duration::from_secs(1);
/// How often packages are looked after.
const UPKEEP: Duration = Duration::from_secs(300);
/// How often what is due is counted.
const COUNT: Duration = Duration::from_secs(2);
/// The least that a site must have for its archive not to be cold.
const COLD_BELOW: u64 = 20;
/// How often it looks whether the server drains.
const LOOK: Duration = Duration::from_millis(50);
/// What sealing may take at the end; what is not sealed then lies in the open file as before.
const LAST_WORK: Duration = Duration::from_millis(1_500);
/// How long after a panic the work begins anew.
const ANEW: Duration = Duration::from_secs(10);

impl Crawler {
    /// A crawler for the sites of `shared` that have an archive.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Crawls until the server drains.
    pub(crate) async fn run(self) {
        let copies = self.shared.policy.load().copies.clone();
        let mut sites = JoinSet::new();
        for copy in copies.into_iter().flatten() {
            sites.spawn_local(tend(Arc::clone(&self.shared), copy));
        }
        while sites.join_next().await.is_some() {}
    }
}

/// Fetches and probes for one site until the server drains; whatever is in the middle of it ends there.
async fn tend(shared: Arc<Shared>, copy: Arc<SiteCopy>) {
    let asker = Rc::new(Asker::new(Arc::clone(&shared), Arc::clone(&copy)));
    let site = copy.settings.base.as_str();
    let crawl = ever(site, "crawler", || Crawl::new(Rc::clone(&asker)).run());
    let probe = ever(site, "probe", || probe(Rc::clone(&asker)));
    let drained = async {
        while !shared.draining.load(Ordering::Relaxed) {
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = crawl => {}
        () = probe => {}
        () = drained => {}
    }
    let sealed = {
        let copy = Arc::clone(&copy);
        timeout(LAST_WORK, spawn_blocking(move || copy.archive.seal(clock::wall())))
    };
    if let Ok(Ok(Err(error))) = sealed.await {
        tracing::error!(site, "cannot seal what was fetched last: {error}");
    }
}

/// Does something without an end. If it breaks down it begins anew: without the probe readers would
/// never come back to an origin that was away.
async fn ever<F: Future<Output = ()> + 'static>(site: &str, what: &str, begin: impl Fn() -> F) {
    loop {
        // Ends with this future.
        let mut work = JoinSet::new();
        work.spawn_local(begin());
        if let Some(Err(_)) = work.join_next().await {
            tracing::error!(site, "the {what} of the archive broke down: it begins anew");
        }
        sleep(ANEW).await;
    }
}

/// While the origin is taken to be away, asks it now and then whether it is back.
async fn probe(asker: Rc<Asker>) {
    let copy = &asker.copy;
    let front = format!("{}/", copy.settings.base);
    loop {
        sleep(NAP).await;
        let Some(turn) = asker.turn() else { continue };
        if copy.breaker.lock().takes_probe(clock::now()) {
            // It notes by itself what came of it.
            asker.ask(&turn, &front, None, WorkClass::Passed, copy.settings.patience).await;
        }
    }
}

/// The crawl of one site.
struct Crawl {
    asker: Rc<Asker>,
    copy: Arc<SiteCopy>,
    scope: Scope,
    keep: KeepPolicy,
    missing: Missing,
    view: CrawlView,
    next_upkeep: Instant,
    upkeep: Option<JoinHandle<()>>,
    next_count: Instant,
    next_request: Instant,
    /// The policy by whose routes it was last looked which paths are for everybody.
    opened_by: Option<u64>,
    trouble: Trouble,
}

/// What the disk refuses, it refuses for a while: then fetching is of no use.
#[derive(Default)]
struct Trouble {
    pause: Duration,
    next_said: Instant,
}

impl Trouble {
    /// How long to pause, twice as long each time.
    fn pause(&mut self, site: &str, error: &ArchiveError) -> Duration {
        self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let now = clock::now();
        if now >= self.next_said {
            self.next_said = now + LONGEST_PAUSE;
            tracing::error!(site, "the archive cannot be used, so nothing is fetched: {error}");
        }
        self.pause
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A URL that was due, and what came of asking for it.
type Asked = ((String, Known), Came);

impl Crawl {
    fn new(asker: Rc<Asker>) -> Self {
        let copy = Arc::clone(&asker.copy);
        let now = clock::now();
        Self {
            scope: copy.scope(),
            keep: copy.keep_policy(),
            missing: Missing::default(),
            view: CrawlView::default(),
            next_upkeep: now + UPKEEP,
            upkeep: None,
            next_count: now,
            next_request: now,
            opened_by: None,
            trouble: Trouble::default(),
            asker,
            copy,
        }
    }

    async fn run(mut self) {
        self.recall();
        let sown = self.write(Vec::new(), self.seeds()).await;
        self.say(sown.map(drop), "cannot note where to begin");
        loop {
            let wait = match self.round().await {
                Ok(is_busy) => {
                    self.trouble = Trouble::default();
                    if is_busy { Duration::ZERO } else { NAP }
                }
                Err(error) => self.trouble.pause(&self.copy.settings.base, &error),
            };
            sleep(wait).await;
        }
    }

    /// Fetches what is due; says whether there was anything.
    async fn round(&mut self) -> Result<bool, ArchiveError> {
        self.look_after();
        let Some(turn) = self.asker.turn() else { return Ok(false) };
        self.withdraw_closed(&turn).await?;
        self.take_wishes(&turn).await?;
        let due = self.copy.archive.due(clock::wall(), BATCH)?;
        if due.is_empty() {
            return Ok(false);
        }
        self.fetch_all(due, turn).await?;
        Ok(true)
    }

    fn say(&self, done: Result<(), ArchiveError>, what: &str) {
        if let Err(error) = done {
            tracing::error!(site = self.copy.settings.base, "{what}: {error}");
        }
    }

    /// Writes down, on a thread that may wait for the disk and for whoever else writes; how many responses
    /// were what was held.
    async fn write(
        &self,
        fetched: Vec<Fetched>,
        found: Vec<Discovered>,
    ) -> Result<usize, ArchiveError> {
        if fetched.is_empty() && found.is_empty() {
            return Ok(0);
        }
        let copy = Arc::clone(&self.copy);
        blocking(move || copy.archive.keep(fetched, found, clock::wall())).await
    }

    /// Counts what was taken before the last start, so that the bounds hold over restarts.
    fn recall(&mut self) {
        let recalled = self.copy.recall(&mut self.scope, clock::wall());
        self.say(recalled, "cannot read what is known");
    }

    fn seeds(&self) -> Vec<Discovered> {
        let now = clock::wall();
        let settings = &self.copy.settings;
        let always = ["/", "/robots.txt"];
        let paths = always.into_iter().chain(settings.seeds.iter().map(String::as_str));
        let urls = paths.filter_map(|path| {
            seawall_archive::normal_url(Some(&format!("{}/", settings.base)), path)
        });
        urls.map(|url| Discovered { known: seed(&url, now), url }).collect()
    }

    /// Withdraws what is held of paths that are not for everybody, by the routes in force.
    async fn withdraw_closed(&mut self, turn: &Turn) -> Result<(), ArchiveError> {
        let generation = turn.policy.generation;
        if self.opened_by == Some(generation) {
            return Ok(());
        }
        let (copy, policy, site) = (Arc::clone(&self.copy), Arc::clone(&turn.policy), turn.site);
        blocking(move || withdraw_closed(&copy, &policy, site)).await?;
        self.opened_by = Some(generation);
        Ok(())
    }

    async fn take_wishes(&mut self, turn: &Turn) -> Result<(), ArchiveError> {
        let wishes = std::mem::take(&mut *self.copy.wishes.lock());
        let now = clock::wall();
        let mut found = Vec::new();
        for url in wishes {
            let is_new = is_open(&self.copy, &turn.policy, turn.site, &url)
                && self.copy.archive.known(&url)?.is_none();
            if is_new && self.scope.judge(&url, FoundBy::Reader, now) == Verdict::Take {
                let known = asked_for(&url, now);
                found.push(Discovered { url, known });
            }
        }
        self.write(Vec::new(), found).await.map(drop)
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
        let is_at_work = self.upkeep.as_ref().is_some_and(|upkeep| !upkeep.is_finished());
        if now >= self.next_upkeep && !is_at_work {
            self.next_upkeep = now + UPKEEP;
            let copy = Arc::clone(&self.copy);
            self.upkeep = Some(spawn_blocking(move || {
                if let Err(error) = copy.archive.upkeep(clock::wall()) {
                    let site = &copy.settings.base;
                    tracing::error!(site, "cannot look after the packages: {error}");
                }
            }));
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

    /// Fetches these, some at once, and writes down what came of them.
    async fn fetch_all(
        &mut self,
        due: Vec<(String, Known)>,
        mut turn: Turn,
    ) -> Result<(), ArchiveError> {
        let is_cold = self.view.is_cold;
        let class = if is_cold { WorkClass::Passed } else { WorkClass::Background };
        let at_once = if is_cold { (turn.gate().view().limit / 4).max(1) } else { AT_ONCE };
        let (mut done, mut bytes, mut asked): (Vec<Asked>, _, _) = (Vec::new(), 0, false);
        for some in due.chunks(at_once) {
            self.wait_for_turn(some.len(), is_cold).await;
            let Some(now) = self.asker.turn() else { break };
            turn = now;
            let asks = some.iter().map(|(url, known)| self.ask(&turn, url, known, class));
            for (it, came) in some.iter().cloned().zip(join_all(asks).await) {
                asked |= !matches!(came, Came::Later);
                if let Came::Response(response) = &came {
                    bytes += response.body.len();
                }
                done.push((it, came));
            }
            if bytes >= BATCH_BYTES {
                self.take_in(&turn, std::mem::take(&mut done)).await?;
                bytes = 0;
            }
        }
        self.take_in(&turn, done).await?;
        if !asked {
            sleep(REST).await;
        }
        Ok(())
    }

    async fn ask(&self, turn: &Turn, url: &str, known: &Known, class: WorkClass) -> Came {
        if !is_open(&self.copy, &turn.policy, turn.site, url) {
            return Came::Failed(FailReason::OutOfScope);
        }
        self.asker.ask(turn, url, Some(known), class, LONGEST).await
    }

    /// Keeps to the rate. What is missing at the beginning may come twice as fast.
    async fn wait_for_turn(&mut self, requests: usize, is_cold: bool) {
        let now = clock::now();
        let wait = self.next_request.saturating_since(now);
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let rate = f64::from(self.copy.settings.max_rate.max(1)) * if is_cold { 2.0 } else { 1.0 };
        let pause = Duration::from_secs_f64(requests as f64 / rate);
        self.next_request = self.next_request.max(now) + pause;
    }

    /// Writes down what came.
    async fn take_in(&mut self, turn: &Turn, done: Vec<Asked>) -> Result<(), ArchiveError> {
        self.look_for_missing(turn, &done).await?;
        let mut fetched = Vec::with_capacity(done.len());
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for ((url, known), came) in done {
            let now = clock::wall();
            let came = match came {
                Came::Response(response) => Ok(response),
                Came::Failed(reason) => Err(reason),
                Came::Later => {
                    let known = Known { due: now + LATER, ..known };
                    found.push(Discovered { url, known });
                    continue;
                }
            };
            self.view.fetched += 1;
            let mut taken = self.judge(&url, &known, came, now)?;
            for mut link in std::mem::take(&mut taken.links) {
                let Some(own) = self.copy.own_url(&link.url) else { continue };
                link.url = own;
                let is_open = is_open(&self.copy, &turn.policy, turn.site, &link.url);
                if is_open && seen.insert(link.url.clone()) {
                    found.extend(self.follow(&link, &known, now));
                }
            }
            match &taken.kept {
                Kept::Response(_) => self.view.stored += 1,
                Kept::Unchanged(_) => self.view.unchanged += 1,
                Kept::Gone | Kept::Nothing => self.view.failed += 1,
            }
            let after = |outcome: &FetchOutcome| after_fetch(&url, &known, outcome, now);
            let known_if_same = taken.if_same.as_ref().map(after);
            let known = after(&taken.outcome);
            let Taken { kept, title, .. } = taken;
            fetched.push(Fetched { url, known, known_if_same, kept, title });
        }
        let same = self.write(fetched, found).await? as u64;
        self.view.stored = self.view.stored.saturating_sub(same);
        self.view.unchanged += same;
        self.show();
        Ok(())
    }

    /// Finds out whether a 404 may be taken at its word.
    async fn look_for_missing(&mut self, turn: &Turn, done: &[Asked]) -> Result<(), ArchiveError> {
        let front = format!("{}/", self.copy.settings.base);
        let mut is_in_doubt = false;
        for ((url, known), came) in done {
            let Came::Response(Response { status, .. }) = came else { continue };
            let is_missing = *status == StatusCode::NOT_FOUND.as_u16();
            if self.copy.archive.find(url, None)?.is_none() {
                continue;
            }
            if *url == front {
                self.missing.note_front(clock::now(), is_missing);
            }
            is_in_doubt |= is_missing;
            // Each once: what is asked for again and again would outvote all others.
            if !is_missing || known.failures == 0 {
                self.missing.note(is_missing);
            }
        }
        if !is_in_doubt {
            return Ok(());
        }
        if self.copy.archive.find(&front, None)?.is_none() {
            // There never was one.
            self.missing.note_front(clock::now(), false);
        } else if !self.missing.knows_front(clock::now()) {
            let came = self.asker.ask(turn, &front, None, WorkClass::Background, LONGEST).await;
            if let Came::Response(Response { status, .. }) = came {
                let is_missing = status == StatusCode::NOT_FOUND.as_u16();
                self.missing.note_front(clock::now(), is_missing);
            }
        }
        let is_believed = self.missing.is_believed(clock::now());
        if self.missing.is_to_be_told(is_believed) {
            tracing::warn!(
                site = self.copy.settings.base,
                "the origin answers 404 for its front page or for most pages that it had: what is held \
                 stays until others answer again (410 takes a page away at once)"
            );
        }
        Ok(())
    }

    fn judge(
        &self,
        url: &str,
        known: &Known,
        came: Result<Response, FailReason>,
        now: WallTime,
    ) -> Result<Taken, ArchiveError> {
        let response = match came {
            Ok(response) => response,
            Err(reason) => return Ok(Taken::failed(reason)),
        };
        let validators = seawall_archive::Validators::of(&response.fields);
        if response.status == StatusCode::NOT_MODIFIED.as_u16() {
            let validators = if validators == Default::default() {
                known.validators.clone()
            } else {
                validators
            };
            let kept = Kept::Unchanged(known.validators.clone());
            return Ok(Taken::plain(FetchOutcome::Unchanged(validators), kept));
        }
        let Response { status, fields, body, at, .. } = response;
        match judge_response(status, &fields, &body, &self.keep) {
            Keep::Skip(reason) => Ok(Taken::failed(reason)),
            Keep::Gone
                if status == StatusCode::NOT_FOUND.as_u16()
                    && self.copy.archive.find(url, None)?.is_some()
                    && !self.missing.is_believed(clock::now()) =>
            {
                Ok(Taken::failed(FailReason::ErrorPage))
            }
            Keep::Gone => Ok(Taken::plain(FetchOutcome::Failed(FailReason::Gone), Kept::Gone)),
            Keep::Store => {
                let url = url.to_owned();
                let capture = Capture { url, captured: at.min(now), status, fields, body };
                let reading = seawall_archive::read(&capture);
                Ok(Taken {
                    if_same: Some(FetchOutcome::Unchanged(validators.clone())),
                    outcome: FetchOutcome::Changed(validators),
                    kept: Kept::Response(capture),
                    links: reading.links,
                    title: reading.title,
                })
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
    /// What a response came to if it is what was held.
    if_same: Option<FetchOutcome>,
    kept: Kept,
    links: Vec<Link>,
    title: Option<String>,
}

impl Taken {
    fn plain(outcome: FetchOutcome, kept: Kept) -> Self {
        Self { outcome, if_same: None, kept, links: Vec::new(), title: None }
    }

    fn failed(reason: FailReason) -> Self {
        Self::plain(FetchOutcome::Failed(reason), Kept::Nothing)
    }
}

/// Front page, lists and newest pages with what they load.
const FIRST_PAGES: u8 = 3;

/// Whether a URL of the site lies on a path that everybody may read.
pub(super) fn is_open(copy: &SiteCopy, policy: &Policy, site: usize, url: &str) -> bool {
    let target = url.strip_prefix(copy.settings.base.as_str()).unwrap_or(url);
    let path = target.split('?').next().unwrap_or_default();
    policy.table.is_for_everybody(site, path.as_bytes())
}

fn withdraw_closed(copy: &SiteCopy, policy: &Policy, site: usize) -> Result<(), ArchiveError> {
    let mut closed = Vec::new();
    copy.archive.each_known("", |url, _, held| {
        if held.is_some() && !is_open(copy, policy, site, url) {
            closed.push(url.to_owned());
        }
        true
    })?;
    if !closed.is_empty() {
        let (site, pages) = (&copy.settings.base, closed.len());
        tracing::info!(
            site,
            pages,
            "withdrawn from the archive: their paths are not for everybody"
        );
    }
    closed.iter().try_for_each(|url| copy.withdraw(url, clock::wall()).map(drop))
}

/// Does on another thread what waits for the disk.
async fn blocking<T: Default + Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends.
        Err(_) => Ok(T::default()),
    }
}

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
