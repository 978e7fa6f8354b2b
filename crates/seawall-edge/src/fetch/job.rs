//! One fetch, from the permit to the store: the task that outlives the reader who caused it.
//!
//! It tells its reader as soon as there is a response head, streams and stores at the same time,
//! and tells those who wait when the response is whole. What readers are then given is decided in
//! the parent module.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use seawall_cache::{
    Asking, Credence, Entry, Epoch, Failed, HeadUpdate, Key, Lead, MapFields, NoStore, Probe,
    Refreshed, RequestMeta, StoredHead, head_response_updates, invalidated_by, is_error_status,
    may_serve_stale_on_error, may_serve_stale_when_disconnected, refresh, storable,
};
use seawall_decide::{
    ConnectionDemand, Look, RouteLane, Turn, Whence, WorkClass, WorkPrice, WorkRequest, WorkSource,
    class_beyond_budget,
};
use seawall_model::{CookieClass, Fields, Identity, Method, Standing, WallTime};
use tokio::sync::oneshot;

use super::{Failure, Fetched, Outcome, Waiter};
use crate::answer::{AnswerBody, SharedBody};
use crate::archive::elsewhere;
use crate::clock;
use crate::forward::{Draft, Terms};
use crate::metrics::OriginFailure;
use crate::origin::{Chunk, Exchange, Gate, Interim, OriginBody, OriginError, ResponseBody};
use crate::query;
use crate::serve::Stale;
use crate::worker::{PolicyRef, Worker};

/// One fetch: everything it needs, owned.
pub(super) struct Job {
    pub(super) worker: Rc<Worker>,
    pub(super) policy: PolicyRef,
    pub(super) site: usize,
    pub(super) key: Option<Key>,
    /// The URL of a GET or HEAD in which the cache has no say.
    pub(super) passed: Option<Key>,
    /// What the answer tells about query parameters.
    pub(super) probe: Option<Probe>,
    pub(super) method: Method,
    pub(super) cookies: CookieClass,
    /// The client's fields, as the cache's rules read them.
    pub(super) fields: Rc<HeaderMap>,
    pub(super) draft: Draft,
    /// What is stored and could not be used as it is.
    pub(super) validating: Option<Stale>,
    /// Whether the request carries our conditions, so that a 304 speaks of `validating`.
    pub(super) is_validation: bool,
    /// The URL that a success of an unsafe method outdates.
    pub(super) invalidates: Option<Key>,
    pub(super) class: WorkClass,
    /// Who waits for it.
    pub(super) identity: Identity,
    /// What tells it from others of its address.
    pub(super) look: Option<Look>,
    /// What was asked over its connection, if that is its own.
    pub(super) connection: Option<Rc<ConnectionDemand>>,
    /// Whose doing it is.
    pub(super) cause: JobCause,
    pub(super) standing: Standing,
    pub(super) whence: Whence,
    pub(super) source: WorkSource,
    /// Its turn, where it shares an address.
    pub(super) turn: Turn,
    /// How the operator wants the origin to work for it.
    pub(super) lane: RouteLane,
    /// Whether the reader asked for another protocol (RFC 9110 §7.8).
    pub(super) is_upgrade: bool,
    pub(super) interim: Option<Interim>,
    pub(super) lead: Option<Lead<Waiter>>,
}

/// Whose doing a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobCause {
    /// A reader asks and waits: the work counts as this reader's demand.
    Reader,
    /// As that, for a path of which nothing is held: judged again when its turn has come.
    Unseen,
    /// As that, for a URL that is probably made up.
    Guess,
    /// A reader was served from what is held, and we want it newer.
    Upkeep,
}

/// What a request of a kind not seen before is taken to cost the origin.
const UNKNOWN_COST: Duration = Duration::from_millis(20);

/// How long a response that cannot be shared keeps its readers from waiting in a row.
const UNCACHEABLE_MARK: Duration = Duration::from_secs(10);

/// Fetches, tells the reader as soon as there is a head, stores, tells those who wait.
pub(super) async fn run(mut job: Box<Job>, reply: oneshot::Sender<Fetched>) {
    let request_time = clock::wall();
    let epoch = job.key.as_ref().map(|key| job.worker.shared.store.epoch(key));
    match job.obtain().await {
        // Boxed: those who still wait for their permit do not hold its room.
        Ok(exchange) => Box::pin(take_home(job, exchange, request_time, epoch, reply)).await,
        Err(failure) => job.fail(failure, reply),
    }
}

/// What comes after the head of the response.
async fn take_home(
    mut job: Box<Job>,
    mut exchange: Exchange,
    request_time: WallTime,
    epoch: Option<Epoch>,
    reply: oneshot::Sender<Fetched>,
) {
    if exchange.head.status == StatusCode::SWITCHING_PROTOCOLS {
        if job.is_upgrade {
            // A tunnel must not keep others from the origin.
            if exchange.body.become_stream().is_err() {
                return job.refuse_stream(reply);
            }
            let _ = reply.send(Fetched::Switched(exchange.head, exchange.body.into_permit()));
            return;
        }
        // RFC 9110 §15.2.2: only in answer to an Upgrade field, and this request had none. What
        // follows on that connection would be in a protocol nobody knows.
        job.worker.metrics.origin_failed(OriginFailure::Protocol);
        return job.fail(Failure::Broken, reply);
    }
    let response_time = clock::wall();
    prepare(&mut exchange.head.headers, response_time);
    if let Some(key) = job.url() {
        let settings = job.policy.config.sites[job.site].archive.as_ref();
        elsewhere::put_onion(&mut exchange.head.headers, settings, key);
    }
    let status = exchange.head.status;
    if let Some(key) = job.url() {
        job.policy.misses[job.site].answered(clock::now(), key.into(), status.as_u16());
    }
    if status.is_server_error() {
        job.worker.metrics.origin_failed(OriginFailure::Status5xx);
        if is_error_status(status.as_u16()) && job.stands_in() {
            return job.fail(Failure::Broken, reply);
        }
    }
    if status == StatusCode::NOT_MODIFIED && job.is_validation {
        return job.validated(exchange, request_time, response_time, reply).await;
    }
    if is_event_stream(&exchange.head) && exchange.body.become_stream().is_err() {
        return job.refuse_stream(reply);
    }
    job.side_effects(&exchange.head, request_time, response_time).await;
    let made = job.storable(&exchange, request_time, response_time);
    match (made, epoch) {
        (Ok(stored), Some(epoch)) => job.share(exchange, stored, epoch, reply).await,
        (made, _) => {
            if let (Some(probe), Err(why)) = (&job.probe, &made)
                && is_about_the_response(*why)
            {
                let learner = &job.policy.learners[job.site];
                learner.not_stored(clock::now(), probe, status.as_u16());
            }
            job.release_waiting(made.err(), status);
            let Exchange { head, body: mut incoming } = exchange;
            let (body, reader) = SharedBody::new(incoming.length(), &job.worker.shared.in_flight);
            body.give_up_storing();
            let told = AnswerBody::Shared(reader);
            let _ = reply.send(Fetched::Response { head, body: told, stored: None });
            let end = drain(&mut incoming, &body).await;
            body.end(end);
        }
    }
}

/// RFC 9110 §6.6.1: a recipient with a clock adds a missing Date.
fn prepare(headers: &mut HeaderMap, now: WallTime) {
    if !headers.contains_key(DATE) {
        let date = std::time::UNIX_EPOCH + Duration::from_secs(now.unix_secs());
        if let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(date)) {
            headers.insert(DATE, value);
        }
    }
}

/// Whether the response has no end: server-sent events (WHATWG HTML §9.2).
fn is_event_stream(head: &http::response::Parts) -> bool {
    let media = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let media = media.split(|&byte| byte == b';').next().unwrap_or(media);
    head.status == StatusCode::OK && media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

impl Job {
    /// Waits for a permit and sends the request.
    pub(super) async fn obtain(&mut self) -> Result<Exchange, Failure> {
        let worker = Rc::clone(&self.worker);
        let (shared, metrics) = (&worker.shared, &worker.metrics);
        let gate = &self.policy.gates[self.site];
        let uri = self.draft.target();
        let template = gate.template(uri.path(), uri.query());
        let cost = gate.cost(template);
        let demand = match self.cause {
            JobCause::Reader | JobCause::Unseen | JobCause::Guess => {
                let seen = (self.look, self.connection.as_deref());
                shared.demand(self.identity, seen, self.whence, cost)
            }
            // Who reads held pages has asked nothing of the origin.
            JobCause::Upkeep => 0,
        };
        let misses = &self.policy.misses[self.site];
        if self.cause == JobCause::Guess && !misses.may_wait(clock::now(), self.asking()) {
            return Err(self.made_up());
        }
        let Some(class) = self.budgeted(gate, template) else {
            metrics.origin_failed(OriginFailure::Busy);
            return Err(Failure::OverBudget);
        };
        let demand = self.turn.rank(&shared.limiters, clock::now(), (class, demand), cost);
        let is_costly = self.lane == RouteLane::Costly;
        let asked = WorkRequest {
            class,
            source: self.source,
            identity: self.identity.as_u128(),
            demand,
            template,
            price: if is_costly { WorkPrice::Costly } else { WorkPrice::Measured },
        };
        metrics.origin_queued();
        let entered = match self.lane {
            RouteLane::Stream if class != WorkClass::Background => gate.open_stream(asked),
            _ => gate.enter(asked).await,
        };
        metrics.origin_dequeued();
        let Ok(permit) = entered else {
            metrics.origin_failed(OriginFailure::Busy);
            shared.reception.note_busy(clock::now());
            return Err(Failure::Busy);
        };
        // A permit that is not used is given back at once, and whoever waits next has it.
        if !self.is_let() {
            return Err(self.made_up());
        }
        let country = self.policy.config.countries.country(self.whence.client.ip());
        shared.work_by_country.note(clock::now(), country, cost);
        let request = self.request();
        let Some(pool) = self.worker.pool(&self.policy, self.site) else {
            return Err(Failure::Unreachable);
        };
        metrics.origin_started();
        // Boxed as well.
        let answered = Box::pin(pool.exchange(permit, request, self.interim.take())).await;
        metrics.origin_ended();
        if answered.is_ok() {
            shared.origin_well();
        }
        answered.map_err(|error| {
            let (failure, kind) = match &error {
                OriginError::Connect(_) => (Failure::Unreachable, OriginFailure::Connect),
                OriginError::Timeout { .. } => (Failure::Slow, OriginFailure::Timeout),
                OriginError::Protocol(_) => (Failure::Broken, OriginFailure::Protocol),
            };
            self.worker.metrics.origin_failed(kind);
            let origin = &self.policy.config.sites[self.site].origin;
            self.worker.shared.origin_trouble(&origin.target.authority(), &error);
            failure
        })
    }

    /// The request, with our conditions if there is something to validate.
    fn request(&mut self) -> Request<OriginBody> {
        let terms = Terms {
            site: self.site,
            fields: &self.fields,
            is_upgrade: self.is_upgrade,
            is_keyed: self.key.is_some(),
            cookies: self.cookies,
            stale: self.validating.as_ref(),
        };
        self.draft.request(&self.worker, &self.policy, &terms)
    }

    /// Whether the origin may be asked as far as the site's misses go, now that it has room. What came
    /// before there was a doubt has waited, and is asked for by nobody else.
    fn is_let(&self) -> bool {
        let (misses, now) = (&self.policy.misses[self.site], clock::now());
        let asking = self.asking();
        let credence = match self.cause {
            JobCause::Unseen if misses.is_doubtful(now, asking) => Credence::Doubtful,
            JobCause::Reader | JobCause::Unseen => Credence::Ordinary,
            JobCause::Guess => Credence::Doubtful,
            JobCause::Upkeep => return true,
        };
        misses.lets_ask(now, asking, credence)
    }

    /// The URL of a GET or HEAD.
    fn url(&self) -> Option<&Key> {
        self.key.as_ref().or(self.passed.as_ref())
    }

    /// What is asked for, as the site's misses know it.
    fn asking(&self) -> Asking<'_> {
        let target = self.draft.target();
        let unnamed = Asking {
            host: "",
            path: target.path().as_bytes(),
            has_query: target.query().is_some(),
        };
        self.url().map_or(unnamed, Asking::from)
    }

    /// The URL is probably made up, and there are too many of those. Says nothing of how busy the
    /// origin is: credentials go on to be issued.
    fn made_up(&self) -> Failure {
        self.worker.metrics.made_up_refused();
        self.worker.metrics.origin_failed(OriginFailure::Busy);
        Failure::MadeUp
    }

    /// Where the request stands in the queue once its budgets are asked: whoever has had more than
    /// its share waits behind others, and is told to come back while others have to be refused.
    fn budgeted(&self, gate: &Gate, template: u64) -> Option<WorkClass> {
        if self.class == WorkClass::Background {
            return Some(self.class);
        }
        let cost = gate.latency(template).unwrap_or(UNKNOWN_COST).as_millis();
        let cost_ms = u32::try_from(cost).unwrap_or(u32::MAX).max(1);
        let budgets = &self.worker.shared.budgets;
        let taken = budgets.take(clock::now(), self.identity, self.whence, self.standing, cost_ms);
        match taken {
            Ok(()) => Some(self.class),
            Err(_) => class_beyond_budget(self.class, gate.is_shedding(), self.turn),
        }
    }

    fn meta<'a>(&self, fields: &'a dyn Fields) -> RequestMeta<'a> {
        RequestMeta { method: self.method, fields, cookies: self.cookies }
    }

    /// Whether a stored response may be served instead of an error.
    fn stands_in(&self) -> bool {
        self.validating.as_ref().is_some_and(|stale| stale.on_error)
    }

    /// What the response means for other stored responses (RFC 9111 §4.3.5, §4.4).
    async fn side_effects(&self, head: &http::response::Parts, sent: WallTime, received: WallTime) {
        let store = &self.worker.shared.store;
        let status = head.status.as_u16();
        let reception = &self.worker.shared.reception;
        reception.logins.learn(
            reception.keys.logins(),
            &self.policy.config.sites[self.site],
            (self.method, &self.fields),
            (status, &head.headers),
            received,
        );
        let mut outdated = self
            .invalidates
            .as_ref()
            .map_or_else(Vec::new, |key| invalidated_by(self.method, status, key, &head.headers));
        if self.method == Method::Head
            && let Some(stale) = &self.validating
        {
            let fields = MapFields(&self.fields);
            let site = &self.policy.config.sites[self.site].cache;
            let (entry, meta) = (&stale.entry, self.meta(&fields));
            match head_response_updates(
                site,
                &entry.head,
                &meta,
                status,
                &head.headers,
                sent,
                received,
            ) {
                HeadUpdate::Refresh(head) => drop(store.replace_head(entry, *head)),
                HeadUpdate::Invalidate => outdated.push(entry.key.clone()),
                HeadUpdate::Ignore => {}
            }
        }
        if outdated.is_empty() {
            return;
        }
        // Whoever is told of the success must not find the old page any more.
        let shared = Arc::clone(&self.worker.shared);
        let marked = tokio::task::spawn_blocking(move || {
            for key in outdated {
                shared.store.invalidate(&key, received);
            }
        });
        let _ = marked.await;
    }

    fn storable(
        &self,
        exchange: &Exchange,
        sent: WallTime,
        received: WallTime,
    ) -> Result<StoredHead, NoStore> {
        if self.key.is_none() {
            return Err(NoStore::Method);
        }
        let fields = MapFields(&self.fields);
        let site = &self.policy.config.sites[self.site].cache;
        let head = &exchange.head;
        if is_event_stream(head) {
            // It has no end: others would wait for it in vain.
            return Err(NoStore::TooLarge);
        }
        let status = head.status.as_u16();
        let stored = storable(site, &self.meta(&fields), status, &head.headers, sent, received)?;
        let most = site.max_object_bytes.min(self.worker.shared.store.max_entry_bytes());
        match (exchange.body.length(), &stored.partial) {
            (Some(length), _) if length > most => Err(NoStore::TooLarge),
            (Some(length), Some(part)) if part.body_len() != length => Err(NoStore::Status),
            (None, Some(_)) => Err(NoStore::Status),
            // The store would not let it displace the whole.
            (_, Some(_)) if self.validating.as_ref().is_some_and(Stale::is_whole) => {
                Err(NoStore::Status)
            }
            _ => Ok(stored),
        }
    }

    /// Streams to the reader and into the store.
    async fn share(
        mut self: Box<Self>,
        exchange: Exchange,
        stored: StoredHead,
        epoch: Epoch,
        reply: oneshot::Sender<Fetched>,
    ) {
        let Exchange { head, body: mut incoming } = exchange;
        let length = incoming.length();
        let (body, reader) = SharedBody::new(length, &self.worker.shared.in_flight);
        let told = Fetched::Response {
            head,
            body: AnswerBody::Shared(reader),
            stored: Some(Box::new(stored.clone())),
        };
        let _ = reply.send(told);
        let site = &self.policy.config.sites[self.site].cache;
        let most = site.max_object_bytes.min(self.worker.shared.store.max_entry_bytes());
        match pump(&mut incoming, &body, length, most, || self.keep(&stored, epoch, &body)).await {
            Pumped::Whole => {
                // It is in the store: what the reader has taken is not needed here any more.
                body.give_up_storing();
                body.end(Ok(()));
            }
            Pumped::TooLarge(data) => {
                // First of all: what follows may wait for a slow reader.
                self.release_waiting(Some(NoStore::TooLarge), StatusCode::OK);
                let is_wanted = body.push(data).await;
                let end = if is_wanted { drain(&mut incoming, &body).await } else { Err(()) };
                body.end(end);
            }
            Pumped::Broken => {
                self.worker.metrics.origin_failed(OriginFailure::Protocol);
                body.end(Err(()));
                self.pass_on(Failure::Broken);
            }
        }
    }

    /// Puts the complete response into the store and tells those who wait.
    fn keep(&mut self, stored: &StoredHead, epoch: Epoch, body: &SharedBody) {
        let Some(key) = self.key.clone() else { return };
        let body = body.collect();
        let copy = self.policy.copies[self.site].clone();
        if copy.as_ref().is_some_and(|copy| copy.is_error_page(&body)) {
            // An error in a page's place, whatever its status: nobody else should get it.
            return self.pass_on(Failure::Broken);
        }
        let store = &self.worker.shared.store;
        let entry = store.insert_since(epoch, key, stored.clone(), body.clone());
        if entry.head.status == 200
            && let (Some(copy), None) = (copy, &self.probe)
        {
            copy.wish(&entry.key);
        }
        query::stored(&self.policy, self.site, self.probe.as_ref(), &entry, &body);
        self.tell_stored(&entry);
    }

    fn tell_stored(&mut self, entry: &Arc<Entry>) {
        if let Some(lead) = self.lead.take() {
            for waiter in self.worker.shared.flights.finish(lead) {
                let _ = waiter.send(Outcome::Stored(Arc::clone(entry)));
            }
        }
    }

    /// The origin says that what is stored is still good.
    async fn validated(
        mut self: Box<Self>,
        exchange: Exchange,
        sent: WallTime,
        received: WallTime,
        reply: oneshot::Sender<Fetched>,
    ) {
        let Some(stale) = self.validating.take() else { return };
        let Exchange { head, mut body } = exchange;
        // RFC 9110 §15.4.5: it has no content. Reading its end gives back connection and permit.
        while let Ok(Some(_)) = body.next().await {}
        let site = &self.policy.config.sites[self.site].cache;
        let store = &self.worker.shared.store;
        let fields = MapFields(&self.fields);
        let headers = &head.headers;
        let refreshed =
            refresh(site, &stale.entry.head, &self.meta(&fields), headers, sent, received);
        let entry = match refreshed {
            Refreshed::Updated(head) => {
                let entry = store.replace_head(&stale.entry, head);
                let learner = &self.policy.learners[self.site];
                learner.validated((clock::now(), received), &entry.key, &entry.head);
                entry
            }
            Refreshed::AnswerOnly(head) => stale.entry.with_head(head),
            Refreshed::Drop(head) => {
                store.remove(&stale.entry.key);
                stale.entry.with_head(head)
            }
            Refreshed::Mismatch => {
                // RFC 9111 §4.3.4: it speaks of another representation. Ask without conditions.
                store.remove(&stale.entry.key);
                // Its permit comes back before another is asked for.
                drop(body);
                self.is_validation = false;
                return Box::pin(run(self, reply)).await;
            }
        };
        self.tell_stored(&entry);
        let _ = reply.send(Fetched::Validated(entry));
    }

    /// The response helps this reader only; the others go their own ways. An error elects the next
    /// leader instead, so that a failing origin is not asked by everybody at once.
    fn release_waiting(&mut self, why: Option<NoStore>, status: StatusCode) {
        if status.is_server_error() {
            return self.pass_on(Failure::Broken);
        }
        let Some(lead) = self.lead.take() else { return };
        let shared = &self.worker.shared;
        if let (Some(key), Some(why)) = (&self.key, why)
            && is_about_the_response(why)
        {
            shared.flights.mark_uncacheable(key, clock::now(), UNCACHEABLE_MARK);
        }
        for waiter in shared.flights.finish(lead) {
            let _ = waiter.send(Outcome::Alone);
        }
    }

    /// There are as many streams as the origin may hold open.
    fn refuse_stream(self: Box<Self>, reply: oneshot::Sender<Fetched>) {
        self.worker.metrics.origin_failed(OriginFailure::Busy);
        self.fail(Failure::Busy, reply);
    }

    fn fail(mut self: Box<Self>, failure: Failure, reply: oneshot::Sender<Fetched>) {
        self.pass_on(failure);
        let told = match self.validating.take() {
            Some(stale) if self.may_stand_in(&stale, failure) => Fetched::Stale(stale.entry),
            _ => Fetched::Failed(failure),
        };
        let _ = reply.send(told);
    }

    fn may_stand_in(&self, stale: &Stale, failure: Failure) -> bool {
        let fields = MapFields(&self.fields);
        let (head, meta) = (&stale.entry.head, self.meta(&fields));
        let now = clock::wall();
        stale.on_error
            || may_serve_stale_on_error(head, &meta, now)
            || (failure != Failure::Unsendable
                && may_serve_stale_when_disconnected(head, &meta, now))
    }

    /// Gives the lead to the next one who waits; a busy origin is not asked again at once.
    fn pass_on(&mut self, failure: Failure) {
        let flights = &self.worker.shared.flights;
        let mut lead = self.lead.take();
        while let Some(held) = lead.take() {
            let waiting = if failure == Failure::Busy {
                flights.finish(held)
            } else {
                let next = match failure {
                    // The origin was not asked. Whoever comes next may have standing.
                    Failure::MadeUp => flights.hand_over(held, clock::now()),
                    _ => flights.fail(held, clock::now()),
                };
                match next {
                    Failed::Over(waiting) => waiting,
                    Failed::Elected(waiter, next) => {
                        // A reader who has gone hands the lead back.
                        if let Err(Outcome::Lead(back)) = waiter.send(Outcome::Lead(next)) {
                            lead = Some(back);
                        }
                        continue;
                    }
                }
            };
            for waiter in waiting {
                let _ = waiter.send(Outcome::Failed(failure));
            }
        }
    }
}

/// Whether the next response for the same key will probably not be shareable either.
fn is_about_the_response(why: NoStore) -> bool {
    use NoStore::{
        Forbidden, NeverFresh, NoFreshness, NotUnderstood, Private, SetCookie, TooLarge, Vary,
    };
    matches!(
        why,
        Forbidden
            | NeverFresh
            | NoFreshness
            | NotUnderstood
            | Private
            | SetCookie
            | TooLarge
            | Vary
    )
}

enum Pumped {
    Whole,
    /// It outgrew the cache with this piece, which is not passed on yet.
    TooLarge(Bytes),
    Broken,
}

/// Moves the body from the origin to `body`. `keep` is called once all of it is there and before the
/// reader can see the end, so that a reader's next request finds it stored.
async fn pump(
    incoming: &mut ResponseBody,
    body: &SharedBody,
    length: Option<u64>,
    most: u64,
    keep: impl FnOnce(),
) -> Pumped {
    let mut total = 0u64;
    if length == Some(0) {
        keep();
        // The connection is given back when the end itself has been read.
        while let Ok(Some(_)) = incoming.next().await {}
        return Pumped::Whole;
    }
    loop {
        match incoming.next().await {
            Err(_) => return Pumped::Broken,
            Ok(None) => {
                keep();
                return Pumped::Whole;
            }
            Ok(Some(Chunk::Trailers(trailers))) => body.set_trailers(trailers),
            Ok(Some(Chunk::Data(data))) => {
                total += data.len() as u64;
                if total > most || body.is_over_budget() {
                    body.give_up_storing();
                    // What follows may wait for a slow reader, who must not keep others from the
                    // origin.
                    incoming.release_permit();
                    return Pumped::TooLarge(data);
                }
                // Does not wait while the body is being stored.
                body.push(data).await;
                if length == Some(total) {
                    keep();
                    while let Ok(Some(_)) = incoming.next().await {}
                    return Pumped::Whole;
                }
            }
        }
    }
}

/// Moves the rest of a body that is not stored, no faster than its reader takes it.
async fn drain(incoming: &mut ResponseBody, body: &SharedBody) -> Result<(), ()> {
    loop {
        match incoming.next().await {
            Err(_) => return Err(()),
            Ok(None) => return Ok(()),
            Ok(Some(Chunk::Trailers(trailers))) => body.set_trailers(trailers),
            Ok(Some(Chunk::Data(data))) => {
                let is_wanted = body.push(data);
                let mut is_wanted = std::pin::pin!(is_wanted);
                let now = std::future::poll_fn(|cx| Poll::Ready(is_wanted.as_mut().poll(cx)));
                let wanted = match now.await {
                    Poll::Ready(wanted) => wanted,
                    Poll::Pending => {
                        // It is the reader who is waited for, not the origin: a slow reader must
                        // not keep others from it.
                        incoming.release_permit();
                        is_wanted.await
                    }
                };
                if !wanted {
                    return Err(());
                }
            }
        }
    }
}
