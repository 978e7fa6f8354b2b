//! How bots act: each vector of the wave that is on asks at its rate, from a bot of its own each time.
//!
//! Sizes and aims are data ([`crate::attacks`]); here is what follows from them, and what attackers of
//! the higher tiers make of what they are answered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use seawall_decide::ConnectionDemand;
use seawall_model::{Attribute, ConnectionSignal, Instant, Method, Misbehaviour, Rung, Standing};

use crate::attacks::{Adapts, Aim, BotLook, Rate, SPREAD, Skill, Sources, Timing, Vector};
use crate::cohorts;
use crate::looks::{self, Look};
use crate::random::Random;
use crate::record::Phase;
use crate::request::{Answer, Answered, Status, Target, TestStep, Visitor};
use crate::scenario::Scenario;
use crate::site::{HOME, PageId, Site};
use crate::surges::bare;
use crate::world::{Ask, Event, Owner, World};

/// All bots.
#[derive(Debug)]
pub(crate) struct Bots {
    random: Random,
    seed: u64,
    /// Vectors that are or were on; events name them by their place.
    active: Vec<Active>,
    /// What bots keep of tests, by vector and bot.
    passes: BTreeMap<(u32, u32), String>,
    /// Slow connections, the oldest first, and how many were let go before their time.
    slow: VecDeque<(u32, u32)>,
    let_go: usize,
    /// Which wave is on, and how many there were.
    wave: usize,
    waves: usize,
    /// Requests of the wave that is on: since its last tick, and those refused and met of them.
    asked: u32,
    refused: u32,
    met: u32,
    /// When the attacker acts on what was learned.
    adapts_at: Option<Instant>,
}

/// A vector that is on.
#[derive(Debug)]
struct Active {
    vector: Vector,
    /// Requests a second of all.
    rate: f64,
    looks: Vec<Arc<Look>>,
    is_on: bool,
    /// By bot: the connection that it keeps open, with what was asked over it.
    connected: Vec<Option<Arc<ConnectionDemand>>>,
    /// Sends the cookie of a counter, since measures name its absence.
    has_cookie: bool,
}

/// A pause between two looks at refusals, and until something is made of them.
const REACTS: Duration = Duration::from_secs(3);
const REACTS_TO_MEASURES: Duration = Duration::from_secs(5);
/// As long as a server waits for a head.
const SLOW_S: f64 = 10.0;
/// Streams that are reset before a connection is closed for it: one more than may be.
const RESETS: u32 = 61;
/// The part of an attack that visits before, to be taken for ordinary.
const POISON: f64 = 0.1;

impl Bots {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed ^ 0x000b_0715),
            seed,
            active: Vec::new(),
            passes: BTreeMap::new(),
            slow: VecDeque::new(),
            let_go: 0,
            wave: 0,
            waves: 0,
            asked: 0,
            refused: 0,
            met: 0,
            adapts_at: None,
        }
    }

    fn factor(&mut self) -> f64 {
        let (low, high) = SPREAD;
        if self.seed == 0 { 1.0 } else { self.random.between(low, high) }
    }

    /// Makes ready what `vector` needs.
    fn ready(&mut self, vector: &Vector) -> Active {
        let mut vector = *vector;
        if vector.bots > 1 {
            vector.bots = (f64::from(vector.bots) * self.factor()).max(1.0) as u32;
        }
        let rate = match vector.rate {
            Rate::Total(rate) => rate,
            Rate::Each(rate) => rate * f64::from(vector.bots),
        };
        let rate = rate * self.factor();
        let looks = self.make_looks(vector.look);
        let connected = vec![None; vector.bots as usize];
        Active { vector, rate, looks, is_on: true, connected, has_cookie: false }
    }

    fn make_looks(&mut self, look: BotLook) -> Vec<Arc<Look>> {
        let random = &mut self.random;
        let number = random.below(looks::TOOL_COUNT);
        let looks: Vec<Look> = match look {
            BotLook::Tool => vec![looks::tool(number)],
            BotLook::Rotating => (0..512).map(|_| looks::rotating(number, random)).collect(),
            BotLook::Copied => vec![looks::browser(random)],
            BotLook::Browsers => (0..512).map(|_| looks::browser(random)).collect(),
            BotLook::Tor => vec![looks::tor_browser()],
        };
        looks.into_iter().map(Arc::new).collect()
    }

    fn stop(&mut self) {
        self.active.iter_mut().for_each(|active| active.is_on = false);
    }

    /// The bots that are there go on, at what those of `wave` aim at.
    fn aim_elsewhere(&mut self, wave: &[Vector]) {
        for (active, vector) in self.active.iter_mut().zip(wave) {
            (active.vector.aim, active.is_on) = (vector.aim, true);
        }
    }
}

impl World {
    /// The next wave begins, or the last one ends.
    pub(crate) fn wave(&mut self) {
        let Scenario::Attack(attack) = self.scenario else { return };
        self.bots.stop();
        if self.record.phase(self.now) == Phase::Rest {
            return;
        }
        let number = match attack.adapts {
            Adapts::Never => self.bots.waves % attack.waves.len(),
            Adapts::OnRefusal | Adapts::WhiteBox => self.bots.wave % attack.waves.len(),
        };
        self.bots.waves += 1;
        self.record.waves.push((self.now, number));
        self.record.wave_met.push(None);
        if attack.is_one_botnet && !self.bots.active.is_empty() {
            return self.bots.aim_elsewhere(attack.waves[number]);
        }
        for vector in attack.waves[number] {
            let active = self.bots.ready(vector);
            self.bots.active.push(active);
            let place = self.bots.active.len() as u32 - 1;
            self.events.push(self.now, Event::Bot(place));
        }
        if let Timing::Pulse(on_s, off_s) = attack.timing {
            let now = self.now;
            let ends = self.bots.active.len() as u32 - 1;
            self.events.push(now + Duration::from_secs_f64(on_s), Event::BotEnds(ends, u32::MAX));
            self.after(on_s + off_s, Event::Wave);
        }
    }

    /// The next bot of a vector acts.
    pub(crate) fn bot(&mut self, number: u32) {
        let is_over = self.record.phase(self.now) == Phase::Rest;
        let is_lesson = self.schedule.is_lesson;
        let share = self.now.saturating_since(self.record.start).as_secs_f64()
            / self.schedule.event_s.max(1.0);
        let Some(active) = self.bots.active.get(number as usize) else { return };
        if !active.is_on || is_over {
            return self.close_all(number);
        }
        let rate = if is_lesson { active.rate * POISON * share.max(0.01) } else { active.rate };
        let wait = self.random.exponential() / rate;
        let bot = self.bots.random.below(active.vector.bots as usize) as u32;
        let aim = active.vector.aim;
        self.after(wait, Event::Bot(number));
        match aim {
            Aim::SlowHeads | Aim::Resets | Aim::Handshakes | Aim::Frames => {
                self.abuse_connection(number, bot, aim);
            }
            _ => self.bot_asks(number, bot, None),
        }
    }

    /// The bots of a vector that is over hang up.
    fn close_all(&mut self, number: u32) {
        let Some(active) = self.bots.active.get_mut(number as usize) else { return };
        let connected = std::mem::take(&mut active.connected);
        let open = connected.iter().zip(0..).filter(|(kept, _)| kept.is_some());
        for (_, bot) in open {
            let (visitor, now) = (self.bot_visitor(number, bot), self.now);
            self.shield().disconnect(now, &visitor);
        }
    }

    fn bot_visitor(&mut self, number: u32, bot: u32) -> Visitor {
        let sources = self.bots.active[number as usize].vector.sources;
        let (client, network) = match sources {
            Sources::Hosting(owners) => cohorts::hosting_address(number * 40_000 + bot, owners),
            // One in ten proxies stands behind an address that readers share, as one in ten readers does.
            Sources::AmongReaders if bot.is_multiple_of(10) => {
                (cohorts::shared_address(bot / 10), cohorts::shared_network(bot / 10))
            }
            Sources::AmongReaders => {
                let mut random = Random::new(u64::from(number) << 32 | u64::from(bot));
                cohorts::home_address(&mut random)
            }
            Sources::Tor => (cohorts::tor_exit(bot), cohorts::tor_network(bot)),
            Sources::Walking => {
                let subnet = self.bots.random.bits() as u32;
                let bits = 0x2a0d_5600_u128 << 96 | u128::from(subnet) << 64 | 1;
                let client =
                    seawall_model::ClientAddr::new(std::net::Ipv6Addr::from_bits(bits).into());
                let network =
                    crate::request::SimNetwork { asn: 61_317, country: *b"NL", is_tor: false };
                (client, network)
            }
        };
        let (standing, identity) = (Standing::Anonymous, client.into());
        Visitor { client, network, identity, standing, is_verified: false }
    }

    fn bot_asks(&mut self, number: u32, bot: u32, ticket: Option<&str>) {
        let visitor = self.bot_visitor(number, bot);
        let active = &self.bots.active[number as usize];
        let (skill, aim, has_cookie) = (active.vector.skill, active.vector.aim, active.has_cookie);
        // Who comes from another address each time has a new connection each time.
        let is_walking = active.vector.sources == Sources::Walking;
        let is_busy = active.rate >= f64::from(active.vector.bots) && !is_walking;
        let mut connection = active.connected.get(bot as usize).cloned().flatten();
        let now = self.now;
        if !(is_busy && connection.is_some()) {
            if self.shield().connect(now, &visitor, false).is_err() {
                self.record.note_request(
                    now,
                    true,
                    None,
                    Some(seawall_model::Cause::TooManyConnections),
                );
                return;
            }
            let connected = &mut self.bots.active[number as usize].connected;
            if let Some(kept) = connected.get_mut(bot as usize).filter(|_| is_busy) {
                connection = Some(Arc::clone(kept.insert(Arc::default())));
            } else {
                // Idle for longer than it is worth keeping.
                self.shield().disconnect(now, &visitor);
            }
        }
        let many = self.bots.active[number as usize].looks.len();
        let worn = match self.bots.active[number as usize].vector.look {
            BotLook::Rotating => self.bots.random.below(many),
            _ => bot as usize % many,
        };
        let look = &self.bots.active[number as usize].looks[worn];
        let look = Arc::clone(look);
        let pass = self.bots.passes.get(&(number, bot)).cloned();
        let made = self.bots.aim(&self.site, aim);
        let cookie = if aim == Aim::ForgedLogin {
            Some(format!("wordpress_logged_in_{:x}=admin%7C{}", 0xbeef, self.bots.random.bits()))
        } else {
            (has_cookie || skill >= Skill::Browser).then(|| format!("_ga=GA1.1.{bot}.170"))
        };
        let ask = Ask {
            cookie: cookie.as_deref(),
            referer: (skill >= Skill::Browser).then_some("https://example.org/"),
            method: made.method,
            content_bytes: made.content_bytes,
            claims_login: aim == Aim::ForgedLogin,
            pass: pass.as_deref(),
            ticket,
            is_document: true,
            connection: connection.as_deref(),
            ..bare(&visitor, &look, made.target())
        };
        self.ask(Owner::Bot(number, bot), &ask);
        if skill >= Skill::Browser {
            self.load_parts(number, &visitor, &look, cookie.as_deref());
        }
    }

    /// What a browser loads with a page. Held pages all, and none of them is what an attack is for: so
    /// they do not count as the bots' requests.
    fn load_parts(&mut self, _number: u32, visitor: &Visitor, look: &Look, cookie: Option<&str>) {
        let site = std::sync::Arc::clone(&self.site);
        for part in site.critical.clone() {
            let ask = Ask {
                cookie,
                referer: Some("https://example.org/"),
                ..bare(visitor, look, Target::Page(part))
            };
            self.ask(Owner::Loose, &ask);
        }
    }

    /// What a bot does with an answer.
    pub(crate) fn bot_answered(&mut self, number: u32, bot: u32, answered: Answered) {
        let Some(active) = self.bots.active.get(number as usize) else { return };
        let skill = active.vector.skill;
        self.bots.asked += 1;
        self.bots.met += u32::from(answered.met.is_some_and(|met| met.rung > Rung::Observe));
        match answered.answer {
            Answer::Page { .. } => {}
            Answer::Refused(_) => self.bots.refused += 1,
            Answer::Test(step) => {
                let ticket = match step {
                    TestStep::Around { pass, ticket, .. } => {
                        self.bots.refused += 1;
                        if skill >= Skill::Cookies {
                            self.bots.passes.insert((number, bot), pass);
                        }
                        Some(ticket)
                    }
                    TestStep::Clean => None,
                    // Who keeps cookies is never told to wait.
                    TestStep::Wait(_) => return self.bots.refused += 1,
                };
                if skill >= Skill::Cookies {
                    self.after(0.1, Event::BotAgain(number, bot, ticket));
                }
            }
        }
    }

    pub(crate) fn bot_again(&mut self, number: u32, bot: u32, ticket: Option<String>) {
        if self.bots.active.get(number as usize).is_none_or(|active| !active.is_on) {
            return;
        }
        self.bot_asks(number, bot, ticket.as_deref());
    }

    /// Abuses that need no request.
    fn abuse_connection(&mut self, number: u32, bot: u32, aim: Aim) {
        let (visitor, now) = (self.bot_visitor(number, bot), self.now);
        let is_in = self.shield().connect(now, &visitor, false).is_ok();
        let second = self.record.second(now);
        second.hostile += 1;
        second.hostile_refused += u64::from(!is_in);
        if !is_in {
            return;
        }
        match aim {
            Aim::SlowHeads => {
                self.bots.slow.push_back((number, bot));
                self.after(SLOW_S, Event::BotEnds(number, bot));
                return self.shed();
            }
            Aim::Resets => {
                self.shield().signal(ConnectionSignal::Reset, RESETS);
                self.shield().misbehaved(now, &visitor, Misbehaviour::Http2Resets);
            }
            Aim::Frames => {
                self.shield().misbehaved(now, &visitor, Misbehaviour::Http2Continuation);
            }
            _ => self.shield().signal(ConnectionSignal::HandshakeFailed, 1),
        }
        self.shield().disconnect(now, &visitor);
    }

    /// A slow connection is closed, or (`u32::MAX`) a pulse is over.
    pub(crate) fn bot_ends(&mut self, number: u32, bot: u32) {
        if bot == u32::MAX {
            return self.bots.stop();
        }
        // All of them last equally long, so that they end in the order in which they began.
        if self.bots.let_go > 0 {
            self.bots.let_go -= 1;
            return;
        }
        self.bots.slow.pop_front();
        self.end_slow(number, bot);
    }

    /// Where there are too many connections, the slowest go.
    pub(crate) fn shed(&mut self) {
        while self.shield().is_crowded() {
            let Some((number, bot)) = self.bots.slow.pop_front() else { return };
            self.bots.let_go += 1;
            self.end_slow(number, bot);
        }
    }

    fn end_slow(&mut self, number: u32, bot: u32) {
        let (visitor, now) = (self.bot_visitor(number, bot), self.now);
        self.shield().signal(ConnectionSignal::Slow, 1);
        self.shield().misbehaved(now, &visitor, Misbehaviour::SlowHead);
        self.shield().disconnect(now, &visitor);
    }

    /// What an attacker sees of measures each tick, and what is made of it.
    pub(crate) fn watch_measures(&mut self, status: &Status) {
        let Scenario::Attack(attack) = self.scenario else { return };
        let bots = &mut self.bots;
        let is_met = bots.asked > 4 && bots.met * 2 > bots.asked;
        let is_refused = bots.asked > 4 && bots.refused * 2 > bots.asked;
        (bots.asked, bots.met, bots.refused) = (0, 0, 0);
        if let Some(met) = self.record.wave_met.last_mut().filter(|met| met.is_none() && is_met) {
            *met = Some(self.now);
        }
        match attack.adapts {
            Adapts::Never => {}
            Adapts::OnRefusal if is_refused && bots.adapts_at.is_none() => {
                bots.adapts_at = Some(self.now + REACTS);
            }
            Adapts::OnRefusal if bots.adapts_at.is_some_and(|at| at <= self.now) => {
                bots.adapts_at = None;
                bots.wave += 1;
                self.events.push(self.now, Event::Wave);
            }
            Adapts::OnRefusal => {}
            Adapts::WhiteBox => self.disguise(status),
        }
    }

    /// L5: changes whatever standing measures name.
    fn disguise(&mut self, status: &Status) {
        let named: Vec<Attribute> = status
            .mitigations
            .iter()
            .filter(|measure| measure.rung > Rung::Observe)
            .flat_map(|measure| measure.signature.terms().map(|term| term.attribute))
            .collect();
        if named.is_empty() {
            self.bots.adapts_at = None;
            return;
        }
        let at = *self.bots.adapts_at.get_or_insert(self.now + REACTS_TO_MEASURES);
        if at > self.now {
            return;
        }
        self.bots.adapts_at = None;
        let bots = &mut self.bots;
        let Some(place) = bots.active.iter().rposition(|active| active.is_on) else { return };
        for attribute in named {
            let vector = &mut bots.active[place].vector;
            match attribute {
                Attribute::Path | Attribute::Query | Attribute::Method => {
                    vector.aim = match vector.aim {
                        Aim::DeepSearch => Aim::Dynamic,
                        _ => Aim::Rotating,
                    };
                }
                Attribute::Network | Attribute::Prefix => vector.sources = Sources::AmongReaders,
                Attribute::Cookie => bots.active[place].has_cookie = true,
                _ => {
                    let look = if vector.look == BotLook::Tool {
                        BotLook::Copied
                    } else {
                        BotLook::Browsers
                    };
                    vector.look = look;
                    bots.active[place].looks = bots.make_looks(look);
                }
            }
        }
    }
}

/// What a bot asks for.
struct Made {
    path: String,
    query: Option<String>,
    page: Option<PageId>,
    is_known: bool,
    method: Method,
    content_bytes: u64,
}

impl Made {
    fn target(&self) -> Target<'_> {
        match self.page {
            Some(page) if self.is_known => Target::Page(page),
            like => Target::MadeUp { path: &self.path, query: self.query.as_deref(), like },
        }
    }
}

impl Bots {
    fn aim(&mut self, site: &Site, aim: Aim) -> Made {
        let random = &mut self.random;
        let mut made = Made {
            path: String::new(),
            query: None,
            page: None,
            is_known: true,
            method: Method::Get,
            content_bytes: 0,
        };
        let page = match aim {
            Aim::BustingQuery => {
                made.is_known = false;
                made.path.push('/');
                let bits = random.bits();
                made.query = Some(format!("{:x}={:x}", bits & 0xffff_ffff, bits >> 32));
                HOME
            }
            Aim::RandomPaths => {
                made.is_known = false;
                let bits = random.bits();
                made.path = format!("/{:x}/{:x}", bits & 0xffff_ffff, bits >> 40);
                return made;
            }
            Aim::DeepSearch => site.any(random, &site.deep_search),
            Aim::Dynamic if random.unit() < 0.7 => site.any(random, &site.forum),
            Aim::Dynamic => site.any(random, &site.search),
            Aim::Rotating => match random.unit() {
                dice if dice < 0.6 => site.popular(random),
                dice if dice < 0.9 => site.any(random, &site.forum),
                _ => site.any(random, &site.search),
            },
            Aim::ForgedLogin => site.any(random, &site.forum),
            Aim::Forms => site.any(random, &site.forms),
            Aim::Programs => site.any(random, &site.programs),
            Aim::Streams => site.any(random, &site.streams),
            Aim::Films => site.any(random, &site.films),
            Aim::Front | Aim::SlowHeads | Aim::Resets | Aim::Handshakes | Aim::Frames => HOME,
        };
        made.method = site.page(page).method;
        made.content_bytes = if made.method == Method::Post { 600 } else { 0 };
        made.page = Some(page);
        made
    }
}
