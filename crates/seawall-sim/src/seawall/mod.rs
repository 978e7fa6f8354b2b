//! The system under test: the crates that ship, put together as the edge puts them.
//!
//! Gates, limiters, budgets, queue and limit of `seawall-decide`; what is held as [`held`] has it;
//! window, detector and controller in [`watch`]. Parts can be left out to see what they are worth
//! ([`Layers`]). It copies no rule of the product: where the edge only wires, this wires alike.

mod admission;
mod held;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use seawall_decide::{
    HandshakeBudget, Limiters, OriginBudget, OriginGate, OriginGateConfig, OriginPermit,
    StreamPermit, Table, TableSource, Templater, Whence, accept_gate, decide, note_misbehaviour,
};
use seawall_model::{
    BodyLength, Cause, ConnectionSignal, CookieClass, Decision, Facts, Held, Instant, Limits,
    Method, Misbehaviour, Observation, Prefix, RequestKind, Standing, Test, WallTime, Work,
};

use self::admission::{Job, Waiting};
use self::held::Pages;
use self::watch::Watch;
use crate::cohorts::{TOR_EXITS, tor_exit};
use crate::looks::mix;
use crate::request::{Answer, Answered, Effect, Shield, SimRequest, Status, Target, Visitor};
use crate::site::{PageId, Site};
use crate::world::referrer;

/// Which parts there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// What is held is served.
    pub cache: bool,
    /// Limit, queue and budgets before the origin.
    pub admission: bool,
    /// Signatures and what is done about them.
    pub signatures: bool,
    /// The cheap test; without it such measures demote.
    pub challenge: bool,
}

impl Layers {
    /// All of it.
    pub const ALL: Self = Self { cache: true, admission: true, signatures: true, challenge: true };
    /// Nothing: clients speak to the origin.
    pub const NONE: Self =
        Self { cache: false, admission: false, signatures: false, challenge: false };

    /// By the name of what is left out.
    pub fn without(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::NONE,
            "cache" => Self { cache: false, ..Self::ALL },
            "admission" => Self { admission: false, ..Self::ALL },
            "signatures" => Self { signatures: false, challenge: false, ..Self::ALL },
            "challenge" => Self { challenge: false, ..Self::ALL },
            _ => return None,
        })
    }
}

/// Seawall, as far as it is pure.
pub struct Seawall {
    layers: Layers,
    site: Arc<Site>,
    table: Table,
    limits: Limits,
    limiters: Limiters,
    budgets: OriginBudget,
    handshakes: HandshakeBudget,
    gate: OriginGate<u64>,
    templater: Templater,
    pages: Pages,
    watch: Watch,
    jobs: BTreeMap<u64, Job>,
    permits: BTreeMap<u64, OriginPermit>,
    streams: VecDeque<(Instant, StreamPermit)>,
    /// Fetches that several wait for, by page.
    flights: BTreeMap<PageId, u64>,
    effects: VecDeque<Effect>,
    next_job: u64,
    open_connections: usize,
    /// Without admission: what is with the origin.
    in_flight: usize,
}

/// What a web server takes without asking anybody: the usual backlog of 511 and as many at work.
const BACKLOG: usize = 1_024;
/// A full handshake with ECDSA on one core (detection.md §6: 100-150 µs).
const HANDSHAKE_CPU: Duration = Duration::from_micros(150);
/// How long a reader or a bot keeps an event stream.
const STREAM: Duration = Duration::from_secs(30);

impl Seawall {
    /// One that has seen nothing, or (`learned`) the site's ordinary traffic.
    pub fn new(site: Arc<Site>, layers: Layers, seed: u64, _learned: Option<&[u8]>) -> Self {
        // A site as its operator sets it up; tables as large as the traffic here needs.
        let limits = Limits { max_budgets: 1 << 17, ..Limits::default() };
        let tor_exits = (0..TOR_EXITS).filter_map(|exit| Prefix::new(tor_exit(exit).ip(), 32).ok());
        let table = Table::compile(TableSource {
            tor_exits: tor_exits.collect(),
            sites: vec![seawall_decide::SiteRules::default()],
            limits: limits.clone(),
            ..TableSource::default()
        });
        let seeds = [mix(seed, 11), mix(seed, 12)];
        let gate = OriginGateConfig {
            min_concurrency: 2,
            max_concurrency: 256,
            max_queue: limits.max_origin_queue,
            queue_timeout: limits.origin_queue_timeout,
            background_share: 0.5,
            max_templates: limits.max_templates,
        };
        Self {
            layers,
            table,
            limiters: Limiters::new(&limits, seeds),
            budgets: OriginBudget::new(&limits, seeds),
            // Two workers.
            handshakes: HandshakeBudget::new(&limits, seeds),
            gate: OriginGate::new(gate),
            templater: Templater::new(seeds),
            pages: Pages::new(Arc::clone(&site), &limits, seeds),
            watch: Watch::new(),
            site,
            limits,
            jobs: BTreeMap::new(),
            permits: BTreeMap::new(),
            streams: VecDeque::new(),
            flights: BTreeMap::new(),
            effects: VecDeque::new(),
            next_job: 0,
            open_connections: 0,
            in_flight: 0,
        }
    }

    fn whence(visitor: &Visitor) -> Whence {
        Whence { client: visitor.client, asn: Some(visitor.network.asn) }
    }

    fn kind(&self, request: &SimRequest<'_>) -> RequestKind {
        match request.target {
            Target::Page(page) => self.site.page(page).kind,
            Target::MadeUp { .. } => RequestKind::Page,
        }
    }

    fn answer_now(&mut self, now: Instant, waiting: Waiting, told: Told) -> Answered {
        let answered = Answered { answer: told.answer, met: waiting.draft.met };
        let status = match answered.answer {
            Answer::Page { status } => status,
            Answer::Test { .. } => 302,
            Answer::Refused(Cause::HeldBudget | Cause::OriginBudget) => 429,
            Answer::Refused(_) => 503,
        };
        let observation = Observation {
            at: now,
            status,
            cause: told.cause,
            work: told.work,
            test: told.test.unwrap_or(waiting.draft.test),
            ..waiting.draft
        };
        self.watch.observe(&observation);
        answered
    }

    fn answer_later(&mut self, now: Instant, waiting: Waiting, told: Told) {
        let id = waiting.id;
        let answered = self.answer_now(now, waiting, told);
        if id != 0 {
            self.effects.push_back(Effect::Answer { id, answered });
        }
    }
}

/// The URL of a request as it stands in its head.
fn url<'a>(site: &'a Site, target: Target<'a>) -> (&'a str, Option<&'a str>) {
    match target {
        Target::Page(page) => {
            let page = site.page(page);
            (&page.path, page.query.as_deref())
        }
        Target::MadeUp { path, query, .. } => (path, query),
    }
}

/// What a request is told.
struct Told {
    answer: Answer,
    cause: Cause,
    work: Work,
    test: Option<Test>,
}

impl Told {
    const fn refused(cause: Cause, work: Work) -> Self {
        Self { answer: Answer::Refused(cause), cause, work, test: None }
    }

    const fn page(status: u16, cause: Cause, work: Work) -> Self {
        Self { answer: Answer::Page { status }, cause, work, test: None }
    }
}

impl Shield for Seawall {
    fn connect(&mut self, now: Instant, visitor: &Visitor, has_ticket: bool) -> Result<(), Cause> {
        self.watch.signal(ConnectionSignal::Opened, 1);
        let (client, open) = (visitor.client, self.open_connections);
        let judged = accept_gate(&self.table, &self.limiters, now, client, open);
        if let Decision::Refuse(_, cause) = judged {
            self.watch.signal(ConnectionSignal::Refused, 1);
            return Err(cause);
        }
        self.watch.signal(ConnectionSignal::Handshake, 1);
        let shown = seawall_decide::Shown {
            known_network: self.budgets.knows_network(client),
            ticket: has_ticket,
        };
        let Some(mut turn) = self.handshakes.admit(now, client, shown) else {
            self.watch.signal(ConnectionSignal::Refused, 1);
            return Err(Cause::HandshakeBudget);
        };
        // Two workers share the work, and each has a budget: one stands for both with half the cost.
        self.handshakes.charge(now, &mut turn, HANDSHAKE_CPU / 2);
        if has_ticket {
            self.handshakes.proved(&turn);
        }
        self.open_connections += 1;
        self.limiters.connection_opened(now, client);
        Ok(())
    }

    fn disconnect(&mut self, now: Instant, visitor: &Visitor) {
        self.open_connections = self.open_connections.saturating_sub(1);
        self.limiters.connection_closed(now, visitor.client);
    }

    fn misbehaved(&mut self, now: Instant, visitor: &Visitor, kind: Misbehaviour) {
        let people = self.budgets.people(Self::whence(visitor));
        note_misbehaviour(&self.table, &self.limiters, now, visitor.client, kind, people);
    }

    fn signal(&mut self, signal: ConnectionSignal, count: u32) {
        self.watch.signal(signal, count);
    }

    fn request(&mut self, now: Instant, id: u64, request: &SimRequest<'_>) -> Option<Answered> {
        let is_personal = request.claims_login || request.method != Method::Get;
        let mut placed = self.pages.place(now, request.target, is_personal);
        if !self.layers.cache {
            placed.held = Held::No;
        }
        let visitor = request.visitor;
        let site = Arc::clone(&self.site);
        let (path, query) = url(&site, request.target);
        let cookies = match (request.claims_login, request.fields.cookie) {
            (true, _) => CookieClass::Personal,
            (false, _) => CookieClass::None,
        };
        let count = request.fields.count();
        let facts = Facts {
            client: visitor.client,
            identity: visitor.identity,
            standing: visitor.standing,
            via_proxy: false,
            fingerprint: request.fields.fingerprint(),
            version: request.fields.look.version,
            method: request.method,
            host: held::HOST,
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
            target_bytes: path.len() + query.map_or(0, |query| query.len() + 1),
            head_bytes: 100 + 60 * count,
            field_count: count,
            body: match request.content_bytes {
                0 => BodyLength::None,
                bytes => BodyLength::Known(bytes),
            },
            cookies,
            held: placed.held,
        };
        let template = self.templater.of(facts.path, facts.query);
        let (attributes, met) = self.watch.look(now, &facts, request);
        let decision = if self.layers.admission {
            decide(&self.table, &self.limiters, now, Some(0), &facts)
        } else {
            Decision::Admit(Cause::Default)
        };
        let draft = Observation {
            at: now,
            client: visitor.client,
            identity: mix(
                visitor.identity.as_u128() as u64,
                (visitor.identity.as_u128() >> 64) as u64,
            ),
            standing: visitor.standing,
            attributes,
            kind: self.kind(request),
            target: template as u32
                ^ mix(path.len() as u64, query.map_or(0, str::len) as u64) as u32,
            referrer: referrer(request.fields.referer),
            returned_cookie: request.pass.is_some() || visitor.standing != Standing::Anonymous,
            is_cacheable: match (placed.page, &placed.made) {
                (Some(page), None) => self.site.page(page).lifetime.is_some() && !is_personal,
                _ => false,
            },
            status: 0,
            cause: Cause::Default,
            work: Work::Held,
            met,
            test: Test::None,
        };
        let waiting = Waiting { id, draft };
        self.settle(now, request, placed, (decision, template, facts.fingerprint), waiting)
    }

    fn origin_done(&mut self, now: Instant, job: u64) {
        self.origin_answered(now, job);
    }

    fn tick(&mut self, now: Instant, wall: WallTime) {
        self.pages.set_wall(now, wall);
        for job in self.gate.expire(now) {
            self.give_up(now, job, Cause::OriginBusy);
        }
        while self.streams.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, permit)) = self.streams.pop_front() {
                self.gate.release_stream(permit);
            }
        }
        self.wake(now);
        self.watch.tick();
    }

    fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn status(&self) -> Status {
        let mut status = self.watch.status();
        status.bytes += self.limiters.bytes() + self.budgets.bytes();
        let counters = self.gate.counters();
        status.queued = counters.queued;
        status.max_queued = self.limits.max_origin_queue;
        status
    }

    fn learned(&self) -> Vec<u8> {
        Vec::new()
    }
}

impl Seawall {
    /// What becomes of a request once it was looked at.
    fn settle(
        &mut self,
        now: Instant,
        request: &SimRequest<'_>,
        placed: held::Placed,
        (decision, template, fingerprint): (Decision, u64, seawall_model::Fingerprint),
        waiting: Waiting,
    ) -> Option<Answered> {
        let would_work = if placed.held == Held::No { Work::Spared } else { Work::Held };
        let cause = match decision {
            Decision::Refuse(_, cause) => {
                let told = Told::refused(cause, would_work);
                return Some(self.answer_now(now, waiting, told));
            }
            Decision::Admit(cause) => cause,
        };
        let rung = waiting.draft.met.filter(|met| !met.is_control).map(|met| met.rung);
        if placed.held != Held::No {
            if placed.held == Held::Stale
                && let Some(page) = placed.page
            {
                self.refresh(now, page, template);
            }
            let told = Told::page(200, cause, Work::Held);
            return Some(self.answer_now(now, waiting, told));
        }
        self.fetch(now, request, placed, (template, fingerprint, rung), waiting)
    }
}
