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
    HandshakeBudget, Hello, Limiters, OriginBudget, OriginGate, OriginGateConfig, OriginPermit,
    StreamPermit, Table, TableSource, Templater, TestAsker, TestOutcome, Turn, TurnAsker, Whence,
    Wish, accept_gate, decide, handshake_gate, held_gate, hello_gate, note_misbehaviour, test_gate,
};
use seawall_detect::{GateReading, OriginMeter, OriginStress, Window};
use seawall_model::{
    BodyLength, Cause, ConnectionSignal, CookieClass, Decision, Facts, Fields as _, Fingerprint,
    Held, Instant, Limits, Met, Method, Misbehaviour, Observation, Prefix, Standing, Test,
    WallTime, Work,
};

use self::admission::{Job, Waiting};
use self::held::Pages;
use self::watch::Watch;
use crate::cohorts::{TOR_EXITS, tor_exit};
use crate::listed::listed_address;
use crate::looks::mix;
use crate::request::{
    Answer, Answered, Effect, Shield, SimRequest, Status, Target, TestStep, Visitor,
};
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
    meter: OriginMeter,
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

/// As the edge has it if nobody says otherwise.
const MIN_CONCURRENCY: usize = 2;
/// What a web server takes without asking anybody: the usual backlog of 511 and as many at work.
const BACKLOG: usize = 1_024;
/// A full handshake with ECDSA on one core (detection.md §6: 100-150 µs).
const HANDSHAKE_CPU: Duration = Duration::from_micros(150);
/// How long a reader or a bot keeps an event stream.
const STREAM: Duration = Duration::from_secs(30);

impl Seawall {
    /// One that has seen nothing, or (`learned`) the site's ordinary traffic.
    pub fn new(
        site: Arc<Site>,
        layers: Layers,
        seed: u64,
        learned: Option<(&[u8], WallTime)>,
    ) -> Self {
        // A site as its operator sets it up; tables as large as the traffic here needs.
        let limits = Limits { max_budgets: 1 << 17, ..Limits::default() };
        let tor_exits = (0..TOR_EXITS).filter_map(|exit| Prefix::new(tor_exit(exit).ip(), 32).ok());
        let table = Table::compile(TableSource {
            tor_exits: tor_exits.collect(),
            allow: Prefix::new(listed_address().ip(), 32).into_iter().collect(),
            sites: vec![seawall_decide::SiteRules::default()],
            limits: limits.clone(),
            ..TableSource::default()
        });
        let seeds = [mix(seed, 11), mix(seed, 12)];
        let gate = OriginGateConfig {
            min_concurrency: MIN_CONCURRENCY,
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
            meter: OriginMeter::default(),
            templater: Templater::new(seeds),
            pages: Pages::new(Arc::clone(&site), &limits, seeds),
            watch: Watch::new(layers, learned),
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

    /// Whether the operator lets it in whatever it does: its handshakes and connections are not counted. As the edge
    /// learns it, from the gate.
    fn is_listed(&self, visitor: &Visitor) -> bool {
        let (at, unseen) = (Instant::default(), Fingerprint::default());
        let judged = hello_gate(&self.table, &self.limiters, at, visitor.client, &unseen);
        judged.cause() == Cause::AllowList
    }

    fn answer_now(&mut self, now: Instant, waiting: Waiting, mut told: Told) -> Answered {
        if let (Turn::Due(people), Answer::Refused(Cause::OriginBusy | Cause::OriginBudget)) =
            (waiting.turn, &told.answer)
        {
            let who = (waiting.draft.client.into(), people);
            told.answer = Answer::Test(self.watch.give_turn(now, &self.limiters, who));
        }
        let answered = Answered { answer: told.answer, met: waiting.draft.met };
        let status = match answered.answer {
            Answer::Page { status } => status,
            Answer::Test(TestStep::Around { .. } | TestStep::Clean) => 307,
            Answer::Refused(Cause::OriginBusy | Cause::OriginFailed) => 503,
            Answer::Refused(_) | Answer::Test(TestStep::Wait(_)) => 429,
        };
        let work = told.work.unwrap_or(waiting.draft.work);
        // What is not held and was not answered is not known to be for many.
        let is_cacheable = waiting.draft.is_cacheable
            && (work == Work::Held || matches!(answered.answer, Answer::Page { status: ..400 }));
        let cause = told.cause;
        let observation =
            Observation { at: now, status, cause, work, is_cacheable, ..waiting.draft };
        self.watch.observe(&observation);
        answered
    }

    fn is_shareable(&self, placed: &held::Placed) -> bool {
        let page = placed.page.filter(|_| placed.made.is_none());
        page.is_some_and(|page| self.site.page(page).lifetime.is_some())
    }

    /// What the measure that was met does to a request.
    fn judge(
        &self,
        now: Instant,
        request: &SimRequest<'_>,
        facts: &Facts<'_>,
        (decided, met, people): (Decision, Option<Met>, u32),
    ) -> TestOutcome {
        let Some(met) = met else {
            return TestOutcome {
                decision: decided,
                next: None,
                test: Test::None,
                earned: None,
                people,
            };
        };
        let asker = TestAsker {
            testable: Wish::of(facts, &request.fields).testable(),
            people,
            is_crowd: self.table.is_tor_exit(facts.client.ip()),
        };
        let shown = || self.watch.shown(now, &self.limiters, request, facts);
        test_gate((&self.table, &self.limiters), now, (decided, met), asker, shown, facts)
    }

    fn turn(
        &self,
        now: Instant,
        request: &SimRequest<'_>,
        facts: &Facts<'_>,
        (people, admitted): (u32, Cause),
    ) -> Turn {
        let asker = TurnAsker {
            identity: facts.identity,
            standing: facts.standing,
            source: self.source(request.visitor, people),
            people,
            testable: Wish::of(facts, &request.fields).testable(),
            admitted,
        };
        self.watch.turn(now, request, asker)
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

/// What the gates are told of a request.
fn facts_of<'a>(
    request: &SimRequest<'a>,
    (path, query): (&'a str, Option<&'a str>),
    held: Held,
) -> Facts<'a> {
    let (visitor, count) = (request.visitor, request.fields.count());
    Facts {
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
        cookies: if request.claims_login { CookieClass::Personal } else { CookieClass::None },
        held,
    }
}

/// Names what exactly is asked for (FNV-1a; nobody here aims at it).
fn target_hash(path: &str, query: Option<&str>) -> u32 {
    let bytes = path.bytes().chain([b'?']).chain(query.unwrap_or_default().bytes());
    bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// What a request is told.
struct Told {
    answer: Answer,
    cause: Cause,
    /// Who worked, if it is not what was thought when it came.
    work: Option<Work>,
}

impl Told {
    const fn of(answer: Answer, cause: Cause) -> Self {
        Self { answer, cause, work: None }
    }

    const fn refused(cause: Cause) -> Self {
        Self::of(Answer::Refused(cause), cause)
    }

    const fn page(status: u16, cause: Cause) -> Self {
        Self::of(Answer::Page { status }, cause)
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
        if self.is_listed(visitor) {
            self.open_connections += 1;
            return Ok(());
        }
        let hello = Hello { client, offers_ticket: has_ticket };
        let by = (&self.table, &self.limiters, &self.budgets);
        let admitted = handshake_gate(by, &mut self.handshakes, now, hello, || false);
        let Some(mut turn) = admitted else {
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

    fn remember(&mut self, now: Instant, visitor: &Visitor) {
        if visitor.standing == Standing::AgedReader {
            // Days count from the epoch; 0 is none.
            let day = 20_000 + (now.as_nanos() / 86_400_000_000_000) as u32;
            self.budgets.saw_reader(day, visitor.identity, Self::whence(visitor));
        }
    }

    fn is_crowded(&self) -> bool {
        let percent = usize::from(self.limits.shed_above_percent);
        self.open_connections * 100 > self.limits.max_connections * percent
    }

    fn disconnect(&mut self, now: Instant, visitor: &Visitor) {
        self.open_connections = self.open_connections.saturating_sub(1);
        if !self.is_listed(visitor) {
            self.limiters.connection_closed(now, visitor.client);
        }
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
        let facts = facts_of(request, (path, query), placed.held);
        let template = self.templater.of(facts.path, facts.query);
        let decided = if self.layers.admission {
            let decided = decide(&self.table, &self.limiters, now, Some(0), &facts);
            held_gate((&self.table, &self.limiters, &self.budgets), now, decided, &facts)
        } else {
            Decision::Admit(Cause::Default)
        };
        let (attributes, met) = self.watch.look(now, &facts, request, decided);
        let kind = Wish::of(&facts, &request.fields).kind();
        let people = self.budgets.people(Self::whence(visitor));
        let judged = self.judge(now, request, &facts, (decided, met, people));
        let (decision, cause) = (judged.decision, judged.decision.cause());
        let draft = Observation {
            at: now,
            client: visitor.client,
            port: 0,
            is_tor: visitor.network.is_tor,
            is_late: false,
            identity: watch::identity_hash(visitor.identity),
            standing: visitor.standing,
            attributes,
            kind,
            target: target_hash(path, query),
            referrer: referrer(request.fields.referer),
            returned_cookie: request.fields.has("cookie"),
            is_recognised: visitor.is_verified
                || visitor.standing != Standing::Anonymous
                || visitor.identity.is_holder(),
            is_cacheable: self.is_shareable(&placed) && !is_personal,
            status: 0,
            cause,
            work: if placed.held == Held::No { Work::Spared } else { Work::Held },
            met,
            test: judged.test,
        };
        let turn = self.turn(now, request, &facts, (people, cause));
        let waiting = Waiting { id, draft, turn };
        if let Some(next) = judged.next {
            let step = self.watch.step(now, next, (visitor.identity, judged.people));
            return Some(self.answer_now(now, waiting, Told::of(Answer::Test(step), cause)));
        }
        if let Decision::Refuse(_, cause) = decision {
            return Some(self.answer_now(now, waiting, Told::refused(cause)));
        }
        if request.fields.dest == "document" {
            self.remember(now, visitor);
        }
        if placed.held != Held::No {
            if placed.held == Held::Stale
                && let Some(page) = placed.page
            {
                self.refresh(now, page, template);
            }
            let status = if request.has_copy { 304 } else { 200 };
            return Some(self.answer_now(now, waiting, Told::page(status, cause)));
        }
        self.fetch(now, request, placed, (template, facts.fingerprint, people), waiting)
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
        let (counters, readers_wait) = (self.gate.counters(), self.gate.readers_wait(now));
        let gates = GateReading {
            granted: counters.granted(),
            is_waiting: counters.queued > 0,
            readers_wait,
            is_pressed_at_floor: self.gate.is_at_floor() && readers_wait.is_some(),
        };
        let stress = match self.layers.admission {
            true => self.meter.read(gates, Window::LENGTH),
            false => OriginStress::default(),
        };
        let _recorded = self.watch.tick(now, wall, stress);
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
        self.watch.learned()
    }
}

#[cfg(test)]
mod tests {
    use seawall_model::RequestKind;

    use super::*;
    use crate::looks::{self, RequestFields};

    #[test]
    fn what_browsers_and_tools_ask_for_is_told_as_what_it_is() {
        let (site, mut random) = (Site::new(), crate::Random::new(1));
        for look in [looks::browser(&mut random), looks::tor_browser()] {
            for page in &site.pages {
                let is_page = page.kind == RequestKind::Page;
                let dest = if is_page { "document" } else { "empty" };
                let fields = RequestFields { look: &look, cookie: None, referer: None, dest };
                let (path, query) = (page.path.as_bytes(), page.query.as_deref());
                let query = query.map(str::as_bytes);
                let method = page.method;
                let wish = Wish { method, path, query, fields: &fields, is_exchange: false };
                assert_eq!(wish.kind(), page.kind, "{}", page.path);
            }
        }
    }
}
