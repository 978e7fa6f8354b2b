//! What the origin has to be asked for: coalescing, validation, stale answers, storing.
//!
//! A fetch that could be shared runs as a task of its own, which outlives the reader who caused it,
//! so that a reader who leaves cannot waste the origin's work. Others wait for it through a one-shot
//! channel, on whatever worker they are. Fetches for one client alone end with that client.
//!
//! It does not decide what may be stored or reused: `seawall-cache` does.

mod job;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, UPGRADE};
use http::{HeaderMap, StatusCode};
use seawall_cache::{
    CacheStatus, Collapsed, Credence, Entry, Forward, Join, Key, Lead, Lookup, Precondition, Reuse,
    Stored, StoredHead, precondition, reuse, strip_hop_by_hop, vary_matches,
};
use seawall_decide::{RouteLane, Turn, WorkClass};
use seawall_model::{Cause, Method, Standing};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::job::{Job, JobCause, run};
use crate::answer::{Answer, AnswerBody, AnswerHead, Tunnel};
use crate::archive;
use crate::cheap_test;
use crate::clock;
use crate::forward::{self, Draft, Purpose};
use crate::held::{self, Served};
use crate::metrics::CacheOutcome;
use crate::origin::{Interim, OriginBody, Permit};
use crate::query::Oddity;
use crate::refusal;
use crate::serve::{self, Ask, Plan, Stale};
use crate::spool::SpooledBody;
use crate::worker::{ClientConn, PolicyRef};

/// How a waiting reader is told.
pub(crate) type Waiter = oneshot::Sender<Outcome>;

/// What a waiting reader is told.
pub(crate) enum Outcome {
    /// It is in the store.
    Stored(Arc<Entry>),
    /// The answer helps nobody else: ask for yourself.
    Alone,
    /// The leader failed; you lead.
    Lead(Lead<Waiter>),
    /// Nobody gets it.
    Failed(Failure),
}

/// Why there is no answer from the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The queue before it was full, or the wait in it too long.
    Busy,
    /// The URL is probably made up, and too many of those are asked for.
    MadeUp,
    /// Others go first: the client or its network has had more than its budget.
    OverBudget,
    /// It cannot be reached.
    Unreachable,
    /// It took too long.
    Slow,
    /// It broke off, or spoke something else.
    Broken,
    /// The request cannot be put into words the origin would understand in one way only.
    Unsendable,
}

/// What a fetch brings home. Stays on its worker.
enum Fetched {
    /// A response, on its way; `stored` if it goes into the cache as well.
    Response { head: http::response::Parts, body: AnswerBody, stored: Option<Box<StoredHead>> },
    /// The connection becomes another protocol's, as the reader asked.
    /// The permit lasts as long as that.
    Switched(http::response::Parts, Option<Permit>),
    /// The origin confirmed what is stored.
    Validated(Arc<Entry>),
    /// The origin failed and what is stored may stand in.
    Stale(Arc<Entry>),
    /// Nothing.
    Failed(Failure),
}

/// How long a reader waits for another's fetch before asking alone.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// How often a reader tries to join before asking alone.
const MAX_JOINS: usize = 3;

/// Answers a request that needs more than memory.
pub(crate) async fn answer(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    mut plan: Box<Plan>,
    ask: &Ask<'_>,
    mut headers: Rc<HeaderMap>,
    spooled: Option<SpooledBody>,
    interim: Option<Interim>,
) -> Answer {
    // It ends here: neither the origin nor anything that is stored sees it.
    if forward::has_own(&headers) {
        forward::strip_own(Rc::make_mut(&mut headers));
    }
    let (offer, times, site) = (plan.offer.take(), plan.times, plan.site);
    let (identity, turn) = (plan.identity, plan.turn);
    let mut answer = obtain(ctx, policy, plan, ask, headers, spooled, interim).await;
    if let Turn::Due(people) = turn
        && matches!(answer.note.cause, Cause::OriginBusy | Cause::OriginBudget)
    {
        answer = cheap_test::give_turn(ctx, ask, times, (identity, people), answer.note);
    }
    archive::elsewhere::name_mirrors(policy, site, &mut answer);
    if let Some(offer) = offer {
        ctx.worker.shared.reception.put(offer, ask, &mut answer, times);
    }
    answer
}

/// Answers from disk what has to be read first; `None`: somebody else has to be asked.
pub(crate) async fn read(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    plan: &mut Plan,
    ask: &Ask<'_>,
) -> Option<Answer> {
    let mut answer = from_disk(ctx, policy, plan, ask).await?;
    if let Some(offer) = plan.offer.take() {
        ctx.worker.shared.reception.put(offer, ask, &mut answer, plan.times);
    }
    Some(answer)
}

async fn obtain(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    mut plan: Box<Plan>,
    ask: &Ask<'_>,
    headers: Rc<HeaderMap>,
    spooled: Option<SpooledBody>,
    interim: Option<Interim>,
) -> Answer {
    if let Some(answer) = from_disk(ctx, policy, &mut plan, ask).await {
        return answer;
    }
    if !archive::concerns(ctx, policy, &plan) {
        return from_origin(ctx, policy, plan, ask, headers, spooled, interim).await;
    }
    let behind = plan.clone();
    let origin = from_origin(ctx, policy, plan, ask, headers, spooled, interim);
    // In a box: most sites' requests need not carry the room for it.
    Box::pin(archive::obtain(ctx, policy, behind, ask, origin)).await
}

/// Answers by the origin, or by what another reader's fetch brings from it.
async fn from_origin(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    plan: Box<Plan>,
    ask: &Ask<'_>,
    headers: Rc<HeaderMap>,
    spooled: Option<SpooledBody>,
    interim: Option<Interim>,
) -> Answer {
    // What waits in the origin for something to happen must not make others wait for it.
    if spooled.is_none()
        && plan.lane != RouteLane::Stream
        && let Some(key) = forward::shareable_key(&plan, &headers)
    {
        return coalesced(ctx, policy, &plan, key, ask, headers, interim).await;
    }
    let body = spooled.map_or(OriginBody::Empty, OriginBody::Spooled);
    alone(ctx, policy, &plan, ask, headers, body, interim).await
}

/// Validates a stale response behind the back of a reader who has it already (RFC 5861 §3). At most
/// one at a time, and only with capacity that no reader waits for.
pub(crate) fn revalidate(ctx: &Rc<ClientConn>, policy: &PolicyRef, mut plan: Plan, ask: &Ask<'_>) {
    let Some(key) = plan.key.clone() else { return };
    // Pages are kept new for who reads them, or a flood of made-up parameters would have the origin
    // make all of them again each time.
    if plan.oddity == Oddity::LeftOut && !policy.misses[plan.site].lets_refresh(plan.times.mono) {
        return;
    }
    // Whatever the reader asked: the answer to a HEAD could only take the stale page away.
    (plan.method, plan.method_token) = (Method::Get, Bytes::from_static(b"GET"));
    let shared = &ctx.worker.shared;
    let hint = shared.store.epoch(&key).as_u64();
    let joined = shared.flights.join(&key, hint, plan.times.mono, || oneshot::channel().0);
    let Join::Lead(lead) = joined else {
        return;
    };
    if let Some((entry, _)) = stored_meanwhile(ctx, &plan, ask, &key) {
        return tell_stored(ctx, lead, &entry);
    }
    let mut headers = HeaderMap::new();
    // What the stored response was selected by, or a 304 could speak of another variant.
    let selecting = plan.stale.iter().flat_map(|stale| stale.entry.head.vary.entries());
    let usual = USUAL.into_iter().map(HeaderName::from_static);
    for name in selecting.map(|(name, _)| name.clone()).chain(usual) {
        if let Some(value) = ask.fields.first(name.as_str())
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.insert(name, value);
        }
    }
    forward::strip_own(&mut headers);
    let purpose = Purpose::Share;
    let headers = Rc::new(headers);
    if let Ok(mut job) = new_job(ctx, policy, &plan, headers, OriginBody::Empty, purpose) {
        job.lead = Some(lead);
        job.class = WorkClass::Background;
        job.cause = JobCause::Upkeep;
        // Who reads held pages has asked nothing of the origin, by whichever number.
        job.turn = Turn::None;
        tokio::task::spawn_local(run(job, oneshot::channel().0));
    }
}

/// Fields that origins look at without saying so; a validation in the background repeats these.
const USUAL: [&str; 4] = ["accept", "accept-language", "user-agent", "cookie"];

/// Reads a stored response from disk, and answers with it if it may be used as it is.
async fn from_disk(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    plan: &mut Plan,
    ask: &Ask<'_>,
) -> Option<Answer> {
    let disk = plan.disk.take()?;
    let shared = Arc::clone(&ctx.worker.shared);
    let misses = Arc::clone(&policy.misses[plan.site]);
    let loaded = tokio::task::spawn_blocking(move || {
        let entry = shared.store.load(disk)?;
        misses.loaded(&entry);
        Some(entry)
    });
    let loaded = loaded.await;
    let Ok(Some(entry)) = loaded else {
        plan.forward = Forward::Miss;
        return None;
    };
    let request = serve::meta(ask, plan.cookies);
    let how = reuse(&entry.head, &request, plan.times.wall);
    plan.forward = serve::forward_for(&how);
    match how {
        Reuse::Fresh { age_s, ttl_s } => {
            held::answer(&entry, ask, &request, Served::hit(age_s, ttl_s, plan.cause))
        }
        Reuse::StaleWhileRevalidate { age_s, ttl_s } => {
            let answer =
                held::answer(&entry, ask, &request, Served::hit(age_s, ttl_s, plan.cause))?;
            let mut behind = plan.clone();
            behind.stale = Some(Stale { entry, on_error: true });
            revalidate(ctx, policy, behind, ask);
            Some(answer)
        }
        Reuse::Validate { stale_if_error, .. } => {
            plan.stale = Some(Stale { entry, on_error: stale_if_error });
            None
        }
        Reuse::OnlyIfCachedMiss => Some(refusal::only_if_cached(ask)),
        Reuse::Unusable => None,
    }
}

/// A fetch that others may wait for, or waiting for theirs.
async fn coalesced(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    plan: &Plan,
    key: &Key,
    ask: &Ask<'_>,
    headers: Rc<HeaderMap>,
    interim: Option<Interim>,
) -> Answer {
    for _ in 0..MAX_JOINS {
        let (send, receive) = oneshot::channel();
        let mut send = Some(send);
        // A purge ends the sharing with fetches that began before it.
        let shared = &ctx.worker.shared;
        let hint = shared.store.epoch(key).as_u64();
        let joined = shared.flights.join(key, hint, clock::now(), || {
            send.take().expect("a waiter is made at most once per join")
        });
        let lead = match joined {
            Join::Lead(lead) => match stored_meanwhile(ctx, plan, ask, key) {
                Some((entry, served)) => {
                    tell_stored(ctx, lead, &entry);
                    let request = serve::meta(ask, plan.cookies);
                    match held::answer(&entry, ask, &request, served) {
                        Some(answer) => return answer,
                        None => break,
                    }
                }
                None => lead,
            },
            Join::Alone => break,
            Join::Full => return failed(plan, ask, Failure::Busy),
            Join::Wait => {
                // A reader who would wait gets what is stored, if it may stand in at all.
                if let Some(answer) = stand_in(plan, ask) {
                    return answer;
                }
                match timeout(MAX_WAIT, receive).await {
                    Ok(Ok(Outcome::Stored(entry))) => {
                        if let Some(answer) = from_other(plan, ask, &entry) {
                            return answer;
                        }
                        break;
                    }
                    Ok(Ok(Outcome::Lead(lead))) => lead,
                    Ok(Ok(Outcome::Failed(failure))) => return failed(plan, ask, failure),
                    Ok(Err(_)) => continue,
                    Ok(Ok(Outcome::Alone)) | Err(_) => break,
                }
            }
        };
        let launched = {
            let made = new_job(ctx, policy, plan, headers, OriginBody::Empty, Purpose::Share);
            let Ok(mut job) = made else { return failed(plan, ask, Failure::Unsendable) };
            job.lead = Some(lead);
            job.interim = interim;
            Launched::new(job)
        };
        return settle(plan, ask, launched.end().await);
    }
    alone(ctx, policy, plan, ask, headers, OriginBody::Empty, interim).await
}

/// What a fetch that ended between our look at the store and our lead has stored. Whoever stores
/// does so before the flight ends, so this second look cannot miss it; without it a reader who is
/// late by a moment would have the origin asked again.
fn stored_meanwhile(
    ctx: &ClientConn,
    plan: &Plan,
    ask: &Ask<'_>,
    key: &Key,
) -> Option<(Arc<Entry>, Served)> {
    let request = serve::meta(ask, plan.cookies);
    let Lookup::Hit(entry) = ctx.worker.shared.store.lookup(key, &request) else { return None };
    match reuse(&entry.head, &request, clock::wall()) {
        Reuse::Fresh { age_s, ttl_s } => Some((entry, Served::hit(age_s, ttl_s, plan.cause))),
        _ => None,
    }
}

/// Ends a flight before it began: those who joined get what is stored.
fn tell_stored(ctx: &ClientConn, lead: Lead<Waiter>, entry: &Arc<Entry>) {
    for waiter in ctx.worker.shared.flights.finish(lead) {
        let _ = waiter.send(Outcome::Stored(Arc::clone(entry)));
    }
}

/// A fetch for this client alone; its response may still be stored.
async fn alone(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    plan: &Plan,
    ask: &Ask<'_>,
    headers: Rc<HeaderMap>,
    body: OriginBody,
    interim: Option<Interim>,
) -> Answer {
    // A stored response that this client has to have validated is validated with our conditions;
    // everything else goes to the origin as the client put it.
    let ranged = ask.fields.has("range") && !plan.can_validate_whole();
    let validates = plan.stale.is_some() && plan.method == Method::Get && !ranged;
    let purpose = if validates { Purpose::Share } else { Purpose::Pass };
    let launched = {
        let Ok(mut job) = new_job(ctx, policy, plan, headers, body, purpose) else {
            return failed(plan, ask, Failure::Unsendable);
        };
        job.interim = interim;
        Launched::new(job)
    };
    settle(plan, ask, launched.end().await)
}

/// A fetch under way as a task of its own.
struct Launched {
    receive: oneshot::Receiver<Fetched>,
    leaving: Option<AbortOnDrop>,
}

impl Launched {
    /// Starts it. No future: who waits for it must not hold the room that it was made in.
    fn new(job: Box<Job>) -> Self {
        let (send, receive) = oneshot::channel();
        let is_shared = job.lead.is_some();
        let task = tokio::task::spawn_local(run(job, send));
        // A client who leaves before the response head takes along a fetch that is for nobody else.
        let leaving = (!is_shared).then(|| AbortOnDrop(Some(task.abort_handle())));
        Self { receive, leaving }
    }

    /// What it brings home.
    async fn end(self) -> Fetched {
        let Self { receive, mut leaving } = self;
        let fetched = receive.await;
        if let Some(leaving) = &mut leaving {
            leaving.0 = None;
        }
        fetched.unwrap_or(Fetched::Failed(Failure::Broken))
    }
}

struct AbortOnDrop(Option<AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

fn new_job(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    plan: &Plan,
    headers: Rc<HeaderMap>,
    body: OriginBody,
    purpose: Purpose,
) -> Result<Box<Job>, forward::Unsendable> {
    let draft = Draft::new(ctx, plan, purpose, body)?;
    let is_validation = purpose == Purpose::Share && plan.stale.is_some();
    let (class, cause) = class(ctx, policy, plan);
    Ok(Box::new(Job {
        worker: Rc::clone(&ctx.worker),
        policy: Rc::clone(policy),
        site: plan.site,
        key: plan.key.clone(),
        passed: plan.passed.clone(),
        probe: plan.probe.clone(),
        method: plan.method,
        cookies: plan.cookies,
        fields: headers,
        draft,
        validating: plan.stale.clone(),
        is_validation,
        invalidates: plan.invalidates.clone(),
        class,
        identity: plan.identity,
        look: plan.look,
        connection: ctx.asked(),
        cause,
        standing: plan.standing,
        whence: plan.whence,
        source: plan.source,
        turn: plan.turn,
        lane: plan.lane,
        is_upgrade: plan.upgrade,
        interim: None,
        lead: None,
    }))
}

/// Where a request stands in the origin's queue, and whose doing it is.
fn class(ctx: &ClientConn, policy: &PolicyRef, plan: &Plan) -> (WorkClass, JobCause) {
    let class = match plan.standing {
        _ if plan.lane == RouteLane::Background => WorkClass::Background,
        Standing::Anonymous => {
            let cause = anonymous_cause(policy, plan);
            if cause != JobCause::Guess {
                let is_demoted = plan.cause == Cause::Demoted;
                let class = if is_demoted { WorkClass::Demoted } else { WorkClass::Anonymous };
                return (class, cause);
            }
            ctx.worker.metrics.origin_doubtful();
            return (WorkClass::Background, cause);
        }
        Standing::SignedIn => WorkClass::SignedIn,
        Standing::AgedReader => WorkClass::AgedReader,
    };
    (class, JobCause::Reader)
}

/// A URL is probably made up if it has a parameter that nobody vouches for, or if nothing is held of
/// its path, and the like of it was not there. Whatever a stranger sends along with it.
fn anonymous_cause(policy: &PolicyRef, plan: &Plan) -> JobCause {
    if plan.oddity == Oddity::Kept {
        return JobCause::Guess;
    }
    let unknown = plan.key.as_ref().or(plan.passed.as_ref()).filter(|_| plan.stale.is_none());
    let Some(key) = unknown else { return JobCause::Reader };
    match policy.misses[plan.site].judge(plan.times.mono, key.into()) {
        Credence::Doubtful => JobCause::Guess,
        Credence::Ordinary => JobCause::Unseen,
    }
}

/// What the reader gets for what the fetch brought.
fn settle(plan: &Plan, ask: &Ask<'_>, fetched: Fetched) -> Answer {
    match fetched {
        Fetched::Failed(failure) => failed(plan, ask, failure),
        Fetched::Stale(entry) => stale(plan, ask, &entry),
        Fetched::Validated(entry) => {
            let status = Some(304);
            let cache = forwarded(plan, status, Stored::Yes, Collapsed::No);
            from_entry(plan, ask, &entry, cache, CacheOutcome::Revalidated)
                .unwrap_or_else(|| failed(plan, ask, Failure::Broken))
        }
        Fetched::Response { head, body, stored } => respond(plan, ask, head, body, stored),
        Fetched::Switched(head, permit) => switched(plan, head, permit),
    }
}

/// RFC 9110 §7.8: the fields of the connection end here, but for the name of what it becomes.
fn switched(plan: &Plan, mut head: http::response::Parts, permit: Option<Permit>) -> Answer {
    let mut response = http::Response::new(());
    std::mem::swap(response.extensions_mut(), &mut head.extensions);
    let origin = hyper::upgrade::on(response);
    let protocol = head.headers.get(UPGRADE).cloned();
    strip_hop_by_hop(&mut head.headers);
    if let Some(protocol) = protocol {
        head.headers.insert(UPGRADE, protocol);
    }
    Answer {
        status: head.status.as_u16(),
        head: AnswerHead::Map(head.headers),
        body: AnswerBody::Upgrade(Box::new(Tunnel { origin, permit })),
        note: serve::note(plan.cause, CacheOutcome::Bypass),
    }
}

fn respond(
    plan: &Plan,
    ask: &Ask<'_>,
    head: http::response::Parts,
    body: AnswerBody,
    stored: Option<Box<StoredHead>>,
) -> Answer {
    let outcome = if plan.key.is_some() { CacheOutcome::Miss } else { CacheOutcome::Bypass };
    let note = serve::note(plan.cause, outcome);
    let mut headers = head.headers;
    strip_hop_by_hop(&mut headers);
    let is_stored = if stored.is_some() { Stored::Yes } else { Stored::No };
    let cache = forwarded(plan, None, is_stored, Collapsed::No);
    if let Some(stored) = &stored {
        let request = serve::meta(ask, plan.cookies);
        if precondition(stored, &request) == Precondition::NotModified {
            headers.remove(CONTENT_LENGTH);
            let status = StatusCode::NOT_MODIFIED;
            return serve::built(status, headers, AnswerBody::None, &cache, note);
        }
    }
    if head.status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6: never with a 204.
        headers.remove(CONTENT_LENGTH);
    }
    let body = if plan.method == Method::Head { AnswerBody::None } else { body };
    serve::built(head.status, headers, body, &cache, note)
}

/// An answer from what another reader's fetch stored.
fn from_other(plan: &Plan, ask: &Ask<'_>, entry: &Arc<Entry>) -> Option<Answer> {
    let request = serve::meta(ask, plan.cookies);
    if !vary_matches(&entry.head, &request) {
        return None;
    }
    let cache = forwarded(plan, None, Stored::Yes, Collapsed::Yes);
    from_entry(plan, ask, entry, cache, CacheOutcome::Collapsed)
}

fn from_entry(
    plan: &Plan,
    ask: &Ask<'_>,
    entry: &Arc<Entry>,
    cache: CacheStatus,
    outcome: CacheOutcome,
) -> Option<Answer> {
    let request = serve::meta(ask, plan.cookies);
    let age_s = match reuse(&entry.head, &request, clock::wall()) {
        Reuse::Fresh { age_s, .. }
        | Reuse::StaleWhileRevalidate { age_s, .. }
        | Reuse::Validate { age_s, .. } => age_s,
        Reuse::OnlyIfCachedMiss | Reuse::Unusable => 0,
    };
    let note = serve::note(plan.cause, outcome);
    held::answer(entry, ask, &request, Served { age_s, cache, note })
}

/// What is stored, if it may stand in for a fetch that takes its time. What is invalid may only where
/// the fetch fails: its reader may be the one who changed the page.
fn stand_in(plan: &Plan, ask: &Ask<'_>) -> Option<Answer> {
    let stale = plan.stale.as_ref().filter(|stale| stale.on_error)?;
    if stale.entry.head.is_invalid(plan.times.wall) {
        return None;
    }
    Some(self::stale(plan, ask, &stale.entry))
}

/// What is stored, whatever its age, where nothing else may be asked for.
pub(crate) fn stand_in_always(plan: &Plan, ask: &Ask<'_>) -> Option<Answer> {
    let stale = plan.stale.as_ref().filter(|stale| stale.on_error)?;
    let request = serve::meta(ask, plan.cookies);
    from_stale(&stale.entry, ask, &request, plan.cause)
}

/// An answer from a stored response that is stale and stands in.
pub(crate) fn from_stale(
    entry: &Arc<Entry>,
    ask: &Ask<'_>,
    request: &seawall_cache::RequestMeta<'_>,
    cause: Cause,
) -> Option<Answer> {
    let age_s = entry.head.freshness.age_s(entry.head.response_time, clock::wall());
    let ttl_s = i64::try_from(entry.head.freshness.lifetime_s).unwrap_or(i64::MAX)
        - i64::try_from(age_s).unwrap_or(i64::MAX);
    let note = serve::note(cause, CacheOutcome::Stale);
    held::answer(entry, ask, request, Served { age_s, cache: CacheStatus::Hit { ttl_s }, note })
}

fn stale(plan: &Plan, ask: &Ask<'_>, entry: &Arc<Entry>) -> Answer {
    let request = serve::meta(ask, plan.cookies);
    let ttl_s = match reuse(&entry.head, &request, clock::wall()) {
        Reuse::Fresh { ttl_s, .. }
        | Reuse::StaleWhileRevalidate { ttl_s, .. }
        | Reuse::Validate { ttl_s, .. } => ttl_s,
        Reuse::OnlyIfCachedMiss | Reuse::Unusable => 0,
    };
    let cache = CacheStatus::Hit { ttl_s };
    from_entry(plan, ask, entry, cache, CacheOutcome::Stale)
        .unwrap_or_else(|| failed(plan, ask, Failure::Broken))
}

fn failed(plan: &Plan, ask: &Ask<'_>, failure: Failure) -> Answer {
    if let Some(stale) = plan.stale.as_ref().filter(|stale| stale.on_error) {
        let cache = CacheStatus::Hit { ttl_s: 0 };
        if let Some(answer) = from_entry(plan, ask, &stale.entry, cache, CacheOutcome::Stale) {
            return answer;
        }
    }
    let (status, cause) = match failure {
        Failure::Busy => (turned_away(ask), Cause::OriginBusy),
        Failure::MadeUp => (turned_away(ask), Cause::MadeUp),
        Failure::OverBudget => (429, Cause::OriginBudget),
        Failure::Unreachable | Failure::Broken => (502, Cause::OriginFailed),
        Failure::Slow => (504, Cause::OriginFailed),
        Failure::Unsendable => (400, Cause::Malformed),
    };
    refusal::failed(status, cause, ask)
}

/// `detection.md`, amendment 7: what is no navigation is told that there were too many.
fn turned_away(ask: &Ask<'_>) -> u16 {
    if ask.wish().is_reading() { 503 } else { 429 }
}

fn forwarded(
    plan: &Plan,
    status: Option<u16>,
    stored: Stored,
    collapsed: Collapsed,
) -> CacheStatus {
    CacheStatus::Forwarded { forward: plan.forward, status, stored, collapsed }
}
