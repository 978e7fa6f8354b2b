//! Between the data plane and detection: what each request looks like, which mitigation it meets, and what
//! the control thread is told of it.
//!
//! Two doors. Out: each worker fills a [`Window`] of its own, without a lock, and hands it over four times
//! a second through a bounded channel; empty ones come back. Nobody takes them: the worker goes on
//! filling the one it has, and that is counted. In: mitigations, published whole and read without a
//! lock. As long as nobody watches and nothing is published, a request costs two loads.
//!
//! It deliberately does **not** judge: that is for `seawall-detect` and `seawall-control`.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use http::header::{CACHE_CONTROL, SET_COOKIE};
use parking_lot::Mutex;
use seawall_control::{Entry, Step, Why};
use seawall_decide::{
    Attributer, Exempt, Mitigations, NetworkClass, NextStep, TestAsker, Whence, test_gate,
};
use seawall_detect::{Sampled, Window};
use seawall_model::{
    Attributes, Cause, ClientAddr, ConnectionSignal, CookieClass, Decision, Facts, Held, Identity,
    Instant, LATE, Met, Mitigation, MitigationId, Observation, Referrer, Rung, Standing, Test,
    Work,
};
use siphasher::sip::SipHasher13;

use crate::admin::State;
use crate::answer::{Answer, AnswerHead};
use crate::cheap_test::{self, Asker};
use crate::metrics::{CacheOutcome, Sample};
use crate::policy::Policy;
use crate::serve::{self, Ask, Times};
use crate::visitor::{self, Offer};
use crate::watcher::{Orders, Told};
use crate::worker::ClientConn;

/// What all workers share of it.
#[derive(Debug)]
pub struct Detection {
    attributer: Attributer,
    seed: [u64; 2],
    mitigations: ArcSwap<Mitigations>,
    is_watching: AtomicBool,
    full: Mutex<Option<SyncSender<Window>>>,
    empty: Mutex<Vec<Window>>,
    /// Windows that were not taken in time, and went on to be filled.
    late: AtomicU64,
    /// Answers of which nothing was observed, because too much was asked meanwhile.
    unobserved: AtomicU64,
    orders: Orders,
    moves: [AtomicU64; Why::ALL.len()],
    told: ArcSwap<Told>,
}

impl Detection {
    /// `seed` must be random and secret, and is kept as long as the baseline that was learned by it.
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        Self {
            attributer: Attributer::new(seed),
            seed,
            mitigations: ArcSwap::from_pointee(Mitigations::none()),
            is_watching: AtomicBool::new(false),
            full: Mutex::new(None),
            empty: Mutex::new(Vec::new()),
            late: AtomicU64::new(0),
            unobserved: AtomicU64::new(0),
            orders: Orders::default(),
            moves: std::array::from_fn(|_| AtomicU64::new(0)),
            told: ArcSwap::default(),
        }
    }

    /// Begins to watch: the windows that `workers` fill from now on, one of each and a few to change them for.
    /// To be called once; whoever receives one clears it and [gives it back](Self::give_back).
    pub fn watch(&self, workers: usize) -> Receiver<Window> {
        let count = windows_of(workers);
        let (full, windows) = sync_channel(count);
        self.empty.lock().extend(std::iter::repeat_with(|| Window::new(self.seed)).take(count));
        *self.full.lock() = Some(full);
        self.is_watching.store(true, Ordering::Release);
        windows
    }

    /// Takes back a window that was looked at and cleared.
    pub fn give_back(&self, window: Window) {
        self.empty.lock().push(window);
    }

    /// Puts mitigations in force, instead of all before.
    pub fn publish(&self, mitigations: &[Mitigation]) {
        self.mitigations.store(Arc::new(Mitigations::new(mitigations, self.seed)));
    }

    /// The mitigations in force. To be held for a moment only.
    pub(crate) fn mitigations(&self) -> Guard<Arc<Mitigations>> {
        self.mitigations.load()
    }

    /// What the operator orders and asks, for the watcher.
    pub(crate) const fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Whether anybody watches.
    pub(crate) fn is_watching(&self) -> bool {
        self.is_watching.load(Ordering::Acquire)
    }

    /// Counts a move of the ladder.
    pub(crate) fn count(&self, entry: &Entry) {
        if let Step::Moved { why, .. } = entry.step {
            self.moves[why as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says what is known now.
    pub(crate) fn tell(&self, told: Told) {
        self.told.store(Arc::new(told));
    }

    /// What is known now.
    pub(crate) fn told(&self) -> Arc<Told> {
        self.told.load_full()
    }

    /// Answers that nobody was told of, since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.unobserved.load(Ordering::Relaxed)
    }

    /// The same for Prometheus.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let told = self.told();
        let stands = |rung: Rung| {
            told.measures.iter().filter(|measure| measure.rung == rung.as_str()).count() as f64
        };
        let mut samples = vec![
            Sample::gauge(
                "seawall_detection_expected_requests_per_second",
                "Requests per second that would be ordinary now.",
                told.expected_per_s,
            ),
            Sample::gauge(
                "seawall_detection_baseline_clients",
                "Clients known as ordinary; signatures may block from 3000 on.",
                f64::from(told.baseline_clients),
            ),
            Sample::counter(
                "seawall_detection_windows_late_total",
                "Quarters of a second that the watch took late.",
                self.late.load(Ordering::Relaxed) as f64,
            ),
            Sample::counter(
                "seawall_detection_unobserved_total",
                "Answers that the watch was not told of.",
                self.unobserved.load(Ordering::Relaxed) as f64,
            ),
        ];
        samples.extend(State::ALL.map(|state| {
            let is_so = if told.state == state { 1.0 } else { 0.0 };
            Sample::gauge("seawall_traffic_state", "What goes on: 1 for the state there is.", is_so)
                .with_label("state", state.as_str())
        }));
        samples.extend(Rung::ALL.map(|rung| {
            Sample::gauge("seawall_mitigations", "Mitigations in force by rung.", stands(rung))
                .with_label("rung", rung.as_str())
        }));
        samples.extend(Why::ALL.map(|why| {
            let count = self.moves[why as usize].load(Ordering::Relaxed) as f64;
            Sample::counter(
                "seawall_mitigation_moves_total",
                "Steps of mitigations up and down the ladder, by reason.",
                count,
            )
            .with_label("why", why.as_str())
        }));
        samples
    }

    /// Makes what is watched comparable: attributes of what did not come as a request are made by this.
    pub(crate) const fn attributer(&self) -> &Attributer {
        &self.attributer
    }
}

/// What was seen of a request when it came, until it is answered.
#[derive(Clone, Copy, Debug)]
struct Seen {
    number: u64,
    attributes: Attributes,
    who: Identity,
    identity_hash: u64,
    standing: Standing,
    cookies: CookieClass,
    is_held: bool,
    /// Whether something that was checked speaks for it.
    is_recognised: bool,
    is_tor: bool,
    met: Option<Met>,
    test: Test,
}

/// How many windows there are for so many workers. Whoever takes them is done with one in a millisecond, so
/// that a few are changed around: a window takes 0.9 MB.
pub fn windows_of(workers: usize) -> usize {
    const MAX_CHANGED: usize = 4;
    workers.max(1) + workers.clamp(1, MAX_CHANGED)
}

/// A worker's part.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    window: RefCell<Option<Window>>,
    due: Cell<Instant>,
    /// Until when it waits for an empty one before that is counted.
    late: Cell<Option<Instant>>,
    /// By the lower bits of a request's number. Taken when the first one is noted.
    seen: RefCell<Box<[Option<Seen>]>>,
}

/// Requests that came while one waits for its answer. Beyond, it is not observed, and counted: 4,096 of a
/// worker take half a MiB, and are two seconds of the origin at 2,000 requests a second.
const SEEN: usize = 4_096;

/// What those take of each worker, once it watches.
pub const WAITING_BYTES: usize = SEEN * size_of::<Option<Seen>>();

impl Watch {
    fn note(&self, seen: Seen) {
        let mut all = self.seen.borrow_mut();
        if all.is_empty() {
            *all = vec![None; SEEN].into_boxed_slice();
        }
        all[place(seen.number)] = Some(seen);
    }

    fn take(&self, number: u64) -> Option<Seen> {
        let mut all = self.seen.borrow_mut();
        let place = all.get_mut(place(number))?;
        if place.as_ref()?.number != number {
            return None;
        }
        place.take()
    }

    /// Takes note of what a connection told, if anybody watches.
    pub(crate) fn signal(&self, signal: ConnectionSignal) {
        self.signals(signal, 1);
    }

    /// The same for several at once.
    pub(crate) fn signals(&self, signal: ConnectionSignal, count: u64) {
        if let Some(window) = self.window.borrow_mut().as_mut() {
            (0..count).for_each(|_| window.signal(signal));
        }
    }

    /// Hands over the window if it is time, and there is an empty one to change it for.
    pub(crate) fn hand_over(&self, detection: &Detection, now: Instant) {
        if !detection.is_watching.load(Ordering::Acquire) || now < self.due.get() {
            return;
        }
        let empty = detection.empty.lock().pop();
        let mut window = self.window.borrow_mut();
        let Some(empty) = empty else {
            // All workers hand over in the same moment, and there are not as many empty ones.
            self.due.set(now + AGAIN);
            let late = self.late.get().unwrap_or(now + Window::LENGTH);
            self.late.set(Some(late).filter(|late| now < *late));
            detection.late.fetch_add(u64::from(now >= late), Ordering::Relaxed);
            return;
        };
        self.due.set(now + Window::LENGTH);
        self.late.set(None);
        let Some(filled) = window.replace(empty) else { return };
        let full = detection.full.lock();
        if full.as_ref().is_none_or(|full| full.try_send(filled).is_err()) {
            // As many places as windows: only whoever went away takes none.
            detection.late.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// When an empty window is asked for again.
const AGAIN: Duration = Duration::from_millis(5);

fn place(number: u64) -> usize {
    usize::try_from(number % SEEN as u64).unwrap_or(0)
}

/// What is decided with the mitigation that a request meets.
pub(crate) struct Judged {
    pub(crate) decision: Decision,
    /// How it is tested; it is refused by [`Cause::Challenged`] then.
    pub(crate) test: Option<(NextStep, Asker)>,
    /// It waited for this page: a pass is due.
    pub(crate) earned: Option<Offer>,
}

impl Judged {
    const fn plainly(decision: Decision) -> Self {
        Self { decision, test: None, earned: None }
    }
}

/// Looks at a request once it was decided on; what is decided with the mitigation that it meets.
pub(crate) fn look(
    ctx: &ClientConn,
    policy: &Policy,
    facts: &Facts<'_>,
    ask: &Ask<'_>,
    (decided, times): (Decision, Times),
) -> Judged {
    let detection = &ctx.worker.shared.detection;
    let mitigations = detection.mitigations.load();
    let is_watching = detection.is_watching.load(Ordering::Relaxed);
    if mitigations.is_empty() && !is_watching {
        return Judged::plainly(decided);
    }
    let network = network(policy, facts.client);
    let attributes = detection.attributer.of(facts, ask.fields, network);
    let identity_hash = identity_hash(detection, facts.identity);
    let exempt = match decided.cause() {
        Cause::AllowList => Exempt::Known,
        _ if policy.table.is_crawler(facts.client.ip()) => Exempt::Known,
        _ => Exempt::from(facts.standing),
    };
    let met = mitigations.meet(times.mono, &attributes, identity_hash, exempt);
    let (judged, test) = match met {
        Some(met) => meet(ctx, policy, (facts, network), ask, (decided, met, times)),
        None => (Judged::plainly(decided), Test::None),
    };
    if is_watching {
        let is_recognised = exempt == Exempt::Known || facts.identity.is_holder();
        // Of every request, also of one that is not in the sample or that nobody observes.
        if let Some(vouched) = &ctx.worker.shared.vouched {
            vouched.hear(facts.client, (facts.standing, test), is_recognised || network.is_tor);
        }
        ctx.worker.watch.note(Seen {
            number: times.number,
            attributes,
            who: facts.identity,
            identity_hash,
            standing: facts.standing,
            cookies: facts.cookies,
            is_held: facts.held != Held::No,
            is_recognised,
            is_tor: network.is_tor,
            met,
            test,
        });
    }
    judged
}

/// What a mitigation that was met does to a request, and what became of its test.
fn meet(
    ctx: &ClientConn,
    policy: &Policy,
    (facts, network): (&Facts<'_>, NetworkClass),
    ask: &Ask<'_>,
    (decided, met, times): (Decision, Met, Times),
) -> (Judged, Test) {
    let shared = &ctx.worker.shared;
    let asker = TestAsker {
        testable: ask.wish().testable(),
        people: shared.budgets.people(Whence { client: facts.client, asn: network.asn }),
        is_crowd: network.is_tor || !ctx.via_proxy && shared.is_suspected_cdn(ctx.peer),
    };
    let shown = || cheap_test::shown(ctx, ask, facts, times);
    let gate = (&policy.table, &shared.limiters);
    let out = test_gate(gate, times.mono, (decided, met), asker, shown, facts);
    let test = out.next.map(|next| {
        let dice = hash(&shared.detection, &(times.mono.as_nanos() ^ times.number).to_le_bytes());
        (next, Asker { identity: facts.identity, people: out.people, dice })
    });
    let scheme = ctx.scheme(ask.fields);
    let earned = out.earned.map(|waited| Offer::TestPass { waited, scheme });
    (Judged { decision: out.decision, test, earned }, out.test)
}

/// Tells what became of a request of `client`. The mitigation that it met, for its line in the log.
pub(crate) fn observe(
    ctx: &ClientConn,
    policy: &Policy,
    ask: &Ask<'_>,
    answer: &Answer,
    client: ClientAddr,
    (times, took): (Times, Duration),
) -> Option<MitigationId> {
    let worker = &ctx.worker;
    let detection = &worker.shared.detection;
    if !detection.is_watching.load(Ordering::Relaxed) {
        return None;
    }
    let now = times.mono + took;
    worker.watch.hand_over(detection, now);
    let Some(seen) = worker.watch.take(times.number) else {
        detection.unobserved.fetch_add(1, Ordering::Relaxed);
        return None;
    };
    let met = seen.met.map(|met| met.id);
    let mut window = worker.watch.window.borrow_mut();
    let Some(window) = window.as_mut() else { return met };
    let observation = Observation {
        at: now,
        client,
        port: port(ctx, client),
        is_tor: seen.is_tor,
        is_late: took > LATE,
        identity: seen.identity_hash,
        standing: seen.standing,
        attributes: seen.attributes,
        kind: ask.wish().kind(),
        target: target(detection, ask),
        referrer: referrer(detection, ask),
        returned_cookie: ask.fields.has("cookie"),
        is_recognised: seen.is_recognised,
        is_cacheable: seen.is_held || ask.query.is_none() && is_shared(answer),
        status: answer.status,
        cause: answer.note.cause,
        work: work(&seen, answer, took),
        met: seen.met,
        test: seen.test,
    };
    if window.observe(&observation) == Sampled::No {
        return met;
    }
    let network = network(policy, client);
    let facts = serve::facts_of(ctx, ask, client, (seen.who, seen.standing, seen.cookies));
    for (attribute, value) in seen.attributes.known() {
        if window.wants_words(attribute, value) {
            let words = detection.attributer.words(attribute, &facts, ask.fields, network);
            window.keep_words(attribute, value, words.as_str());
        }
    }
    met
}

/// From where it asked, if the connection is its own: a forwarding field says no port.
fn port(ctx: &ClientConn, client: ClientAddr) -> u16 {
    if ctx.client == client { ctx.client_port } else { 0 }
}

fn network(policy: &Policy, client: ClientAddr) -> NetworkClass {
    NetworkClass {
        asn: policy.config.owners.owner(client.ip()),
        country: policy.config.countries.country(client.ip()),
        is_tor: policy.table.is_tor_exit(client.ip()),
    }
}

/// Who worked. What the origin took is not told apart from the wait for it.
fn work(seen: &Seen, answer: &Answer, took: Duration) -> Work {
    if seen.is_held || matches!(answer.note.cache, CacheOutcome::Hit | CacheOutcome::Stale) {
        return Work::Held;
    }
    let is_spared = answer.note.refused
        || matches!(answer.note.cache, CacheOutcome::Archive | CacheOutcome::Collapsed)
        || matches!(
            answer.note.cause,
            Cause::OriginBusy | Cause::OriginBudget | Cause::MadeUp | Cause::Emergency
        );
    if is_spared {
        return Work::Spared;
    }
    let cost_ms = u32::try_from(took.as_micros().div_ceil(1_000)).unwrap_or(u32::MAX);
    Work::Origin { cost_ms }
}

/// Whether what the origin said is for everybody, as far as its fields say so.
fn is_shared(answer: &Answer) -> bool {
    let AnswerHead::Map(headers) = &answer.head else {
        return matches!(answer.head, AnswerHead::Held { .. });
    };
    let is_own = |directive: &[u8]| {
        let name = directive.trim_ascii();
        name.eq_ignore_ascii_case(b"no-store")
            || name.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"private"))
    };
    let mut controls = headers.get_all(CACHE_CONTROL).iter();
    let forbids = controls.any(|value| value.as_bytes().split(|&byte| byte == b',').any(is_own));
    let was_asked = matches!(
        answer.note.cache,
        CacheOutcome::Miss | CacheOutcome::Collapsed | CacheOutcome::Revalidated
    );
    was_asked && answer.status < 400 && !forbids && !headers.contains_key(SET_COOKIE)
}

pub(crate) fn target(detection: &Detection, ask: &Ask<'_>) -> u32 {
    let of = |bytes: &[u8]| hash(detection, bytes);
    let query = ask.query.map_or(0, of);
    (of(ask.path) ^ of(ask.host.as_bytes()).rotate_left(21) ^ query.rotate_left(42)) as u32
}

/// Whom a request counts against, as detection knows it.
pub(crate) fn identity_hash(detection: &Detection, identity: Identity) -> u64 {
    hash(detection, &identity.as_u128().to_le_bytes())
}

pub(crate) fn referrer(detection: &Detection, ask: &Ask<'_>) -> Referrer {
    let Some(text) = ask.fields.first("referer").filter(|text| !text.is_empty()) else {
        return Referrer::None;
    };
    if visitor::is_from_here(text, ask.host) {
        return Referrer::Own;
    }
    let host = text.split(|&byte| byte == b'/').nth(2).unwrap_or(text);
    Referrer::Other(hash(detection, host) as u32)
}

fn hash(detection: &Detection, bytes: &[u8]) -> u64 {
    let [key0, key1] = detection.seed;
    // Another key than that of attributes.
    SipHasher13::new_with_keys(key1, key0).hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(detection: &Detection) -> u64 {
        detection.late.load(Ordering::Relaxed)
    }

    #[test]
    fn sixteen_workers_change_four_windows_around_in_time() {
        const WORKERS: usize = 16;
        let detection = Detection::new([1, 2]);
        let windows = detection.watch(WORKERS);
        let workers: Vec<Watch> = (0..WORKERS).map(|_| Watch::default()).collect();
        let mut now = Instant::from_nanos(1);
        let mut pass = |length: Duration| {
            now = now + length;
            workers.iter().for_each(|worker| worker.hand_over(&detection, now));
            windows.try_iter().map(|window| detection.give_back(window)).count()
        };
        assert_eq!(pass(Duration::ZERO), 0, "each takes its first");
        let steps = [Window::LENGTH - 3 * AGAIN, AGAIN, AGAIN, AGAIN];
        let taken: usize = (0..100).flat_map(|_| steps).map(&mut pass).sum();
        // Each has put off one by a few milliseconds at most.
        assert!((99 * WORKERS..=100 * WORKERS).contains(&taken), "{taken}");
        assert_eq!(late(&detection), 0);
    }

    #[test]
    fn whoever_finds_no_window_goes_on_and_is_counted_once_in_a_quarter_of_a_second() {
        let detection = Detection::new([1, 2]);
        let windows = detection.watch(1);
        let worker = Watch::default();
        let at = |ms: u64| Instant::from_nanos(1) + Duration::from_millis(ms);
        for ms in 0..=1_600 {
            worker.hand_over(&detection, at(ms));
        }
        // Its first at 0, changed at 250; none at 500: late at 750, 1,000, 1,250 and 1,500.
        assert_eq!((windows.try_iter().count(), late(&detection)), (1, 4));
        detection.give_back(Window::new([1, 2]));
        worker.hand_over(&detection, at(1_606));
        assert_eq!((windows.try_iter().count(), late(&detection)), (1, 4));
    }
}
