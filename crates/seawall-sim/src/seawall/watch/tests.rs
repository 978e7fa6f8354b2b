//! What synthetic readers are for, from end to end: a small site, a flood through real windows, and the
//! measures that come of it.
//!
//! The flood comes from one /24 and looks in all else like readers, so that its prefix is all that it has in
//! common; nobody in it passes a test. So the ladder blocks the prefix alone, by its own rules, and with it whoever
//! else lives there.

use std::net::{IpAddr, Ipv4Addr};

use seawall_control::{OperatorCommand, Step, Why};
use seawall_decide::reading;
use seawall_model::{
    Cause, ClientAddr, Referrer, RequestKind, Signature, Standing, Term, Test, Work,
};

use super::*;
use crate::looks::{self, RequestFields};
use crate::random::Random;

const TICK: Duration = Window::LENGTH;
/// A page and what belongs to it.
const VISITS_PER_TICK: usize = 8;
const PARTS: usize = 5;
const FLOOD_PER_TICK: usize = 150;
/// The promise: a measure that keeps a reader out is taken back within this.
const PROMISE: Duration = Duration::from_secs(5);

/// The watch over a site, and its time.
struct Scene {
    watch: Watch,
    random: Random,
    now: Instant,
    ticks: u64,
    moves: Vec<Entry>,
}

impl Scene {
    /// One that has known its readers for long enough to block.
    fn watched() -> Self {
        let mut scene = Self {
            watch: Watch::new(Layers::ALL, None),
            random: Random::new(5),
            now: Instant::from_nanos(0) + TICK,
            ticks: 0,
            moves: Vec::new(),
        };
        for _ in 0..WATCHED_TICKS {
            scene.tick(false);
        }
        assert!(scene.watch.state == TrafficState::Normal && scene.moves.is_empty());
        assert!(scene.watch.known_clients >= 3_000, "{}", scene.watch.known_clients);
        scene
    }

    fn tick(&mut self, is_flooded: bool) {
        for _ in 0..VISITS_PER_TICK {
            let address = Ipv4Addr::from_bits(0x0a00_0000 | self.random.below(1 << 24) as u32);
            let look = looks::browser(&mut self.random);
            let page = self.random.below(40);
            self.ask(address, &look, RequestKind::Page, page);
            (0..PARTS).for_each(|part| self.ask(address, &look, RequestKind::Subresource, part));
        }
        for _ in 0..if is_flooded { FLOOD_PER_TICK } else { 0 } {
            let address = Ipv4Addr::new(203, 0, 113, self.random.below(200) as u8);
            let look = looks::browser(&mut self.random);
            let page = self.random.below(40);
            self.ask(address, &look, RequestKind::Page, page);
        }
        self.ticks += 1;
        self.now = self.now + TICK;
        let wall = WallTime::from_unix_secs(1_700_000_000 + self.ticks / 4);
        let queue_delay_ms = if is_flooded { 400.0 } else { 0.0 };
        let stress = OriginStress {
            queue_delay_ms,
            is_known: true,
            safe_capacity_per_s: Some(300.0),
            ..OriginStress::default()
        };
        self.moves.extend(self.watch.tick(self.now, wall, stress));
    }

    fn ask(&mut self, ip: Ipv4Addr, look: &looks::Look, kind: RequestKind, number: usize) {
        let client = ClientAddr::new(IpAddr::V4(ip));
        let is_page = kind == RequestKind::Page;
        let dest = if is_page { "document" } else { "image" };
        let fields = RequestFields { look, cookie: None, referer: None, dest };
        let path = match is_page {
            true => format!("/section-{}/{number}/", number % 10),
            false => format!("/assets/{number}.png"),
        };
        let facts = Facts {
            fingerprint: fields.fingerprint(),
            field_count: fields.count(),
            version: look.version,
            ..reading(client, path.as_bytes())
        };
        // The flood is in as many networks as readers are.
        let asn = Some(u32::from(ip.octets()[3]) % 20);
        let network = NetworkClass { asn, ..NetworkClass::default() };
        let attributes = self.watch.attributer.of(&facts, &fields, network);
        let identity = u64::from(ip.to_bits());
        let met = self.watch.mitigations.meet(self.now, &attributes, identity, Exempt::No);
        let (cause, test) = match met.map(|met| met.rung) {
            Some(Rung::Block) => (Cause::SignatureBlock, Test::None),
            Some(Rung::Challenge) => (Cause::Challenged, Test::Set),
            _ => (Cause::Default, Test::None),
        };
        let is_refused = cause != Cause::Default;
        self.watch.observe(&Observation {
            at: self.now,
            client,
            port: 0,
            is_tor: false,
            is_late: false,
            identity,
            standing: Standing::Anonymous,
            attributes,
            kind,
            target: number as u32 + 1_000 * u32::from(is_page),
            referrer: Referrer::None,
            returned_cookie: !is_page,
            is_recognised: false,
            is_cacheable: true,
            status: if is_refused { 429 } else { 200 },
            cause,
            work: if is_refused { Work::Spared } else { Work::Origin { cost_ms: 20 } },
            met,
            test,
        });
    }

    /// Goes on under the flood until something is recorded, for a minute at most; when it was.
    fn suffer_until(&mut self, is_it: impl Fn(&Step) -> bool) -> Instant {
        for _ in 0..240 {
            if let Some(entry) = self.moves.iter().find(|entry| is_it(&entry.step)) {
                return entry.at;
            }
            self.tick(true);
        }
        panic!("nothing of the kind was recorded: {:?}", self.moves);
    }

    fn rung_of(&self, signature: &Signature) -> Option<Rung> {
        let found = self.watch.published.iter().find(|one| one.signature == *signature);
        found.map(|one| one.rung)
    }
}

/// Long enough that 3,000 clients are known: ten minutes.
const WATCHED_TICKS: u64 = 4 * 600;

fn is_taken_back(step: &Step, of: &Signature) -> bool {
    matches!(step, Step::Moved { signature, from: Some(Rung::Block), why: Why::ReaderHurt, .. }
        if signature == of)
}

#[test]
fn a_block_of_a_prefix_alone_is_taken_back_within_five_seconds() {
    let mut scene = Scene::watched();
    let blocked =
        scene.suffer_until(|step| matches!(step, Step::Moved { to: Some(Rung::Block), .. }));
    let block = scene.watch.published[0];
    assert_eq!(block.rung, Rung::Block);
    assert!(block.signature.terms().all(|term| term.attribute == Attribute::Prefix));
    let back = scene.suffer_until(|step| is_taken_back(step, &block.signature));
    assert!(back.saturating_since(blocked) <= PROMISE, "{blocked:?} {back:?}");
    // And it stays so while the flood goes on: those who live there are tested.
    for _ in 0..40 {
        assert_eq!(scene.rung_of(&block.signature), Some(Rung::Challenge));
        scene.tick(true);
    }
}

/// No finding leads to such a block, so it is left over from an order that has just ended.
#[test]
fn a_block_of_what_a_reader_looks_like_is_taken_back_within_five_seconds() {
    let mut scene = Scene::watched();
    scene.suffer_until(|step| matches!(step, Step::Judged(Verdict::Attack | Verdict::Mixed)));
    let attribute = Attribute::UserAgent;
    let readers = synthetic_readers(&scene.watch.attributer, &Mitigations::none(), 1)
        .map(|reader| Term { attribute, value: reader.value(attribute) })
        .map(|term| Signature::new(&[term]).expect("one term"))
        .collect::<Vec<_>>();
    assert_eq!(readers.len(), 5);
    let ordered = scene.now;
    for &signature in &readers {
        let pin = OperatorCommand::Pin { signature, rung: Rung::Block, lasts: TICK };
        scene.watch.cycle.order(ordered, pin);
    }
    scene.tick(true);
    for signature in &readers {
        assert_eq!(scene.rung_of(signature), Some(Rung::Block), "it stands");
    }
    for signature in &readers {
        let back = scene.suffer_until(|step| is_taken_back(step, signature));
        assert!(back.saturating_since(ordered) <= PROMISE, "{ordered:?} {back:?}");
        assert!(scene.rung_of(signature) < Some(Rung::Block));
    }
}
