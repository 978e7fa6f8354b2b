//! One run: readers, a surge or an attack, a shield and an origin, on a virtual clock.
//!
//! What happens is in [`crate::readers`] and [`crate::bots`]; this file passes requests to the shield,
//! what the shield lets through to the origin, and answers back to whoever asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use seawall_cache::PASS_COOKIE;
use seawall_decide::ConnectionDemand;
use seawall_model::{Instant, Method, Referrer, Rung, WallTime};

use crate::bots::Bots;
use crate::listed::Listed;
use crate::looks::{Look, RequestFields};
use crate::origin::{SimOrigin, SimOriginModel, Spread};
use crate::random::Random;
use crate::readers::Readers;
use crate::record::Record;
use crate::request::{Answer, Answered, Effect, Shield, SimRequest, Target, Visitor};
use crate::scenario::{Scenario, Schedule};
use crate::site::Site;
use crate::timeline::Timeline;

/// The origin of detection.md §8: 120 ordinary pages a second.
pub(crate) const ORIGIN: SimOriginModel = SimOriginModel {
    workers: 4,
    service: Duration::from_millis(33),
    spread: Spread::Lognormal(0.5),
    cold: 0.1,
};

/// What is to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A reader begins to read.
    Session,
    /// A reader opens the next page.
    View(u32),
    /// The request for a page arrives.
    Html(u32),
    /// The page is there, and what belongs to it is asked for.
    Parts(u32),
    /// The next bot of a vector acts.
    Bot(u32),
    /// A bot comes back, perhaps with the ticket of a test.
    BotAgain(u32, u32, Option<String>),
    /// A bot's connection comes to its end.
    BotEnds(u32, u32),
    /// The next wave of an attack.
    Wave,
    /// A part of a surge: by its number.
    Surge(u32),
    /// Who is on the allow list asks for a page.
    Listed,
    /// The origin is done with a job.
    Done(u64, Instant),
    /// A quarter of a second is over.
    Tick,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// A page view, for its page.
    Html(u32),
    /// A page view, for something without which it is no page.
    Part(u32),
    /// Somebody who can do without.
    Loose,
    /// A bot of a vector.
    Bot(u32, u32),
    /// A crawler of a surge.
    Crawler(u32),
    /// Who is on the allow list.
    Listed,
}

/// A run.
pub struct World {
    pub(crate) now: Instant,
    pub(crate) site: Arc<Site>,
    pub(crate) schedule: Schedule,
    pub(crate) scenario: Scenario,
    pub(crate) events: Timeline<Event>,
    pub(crate) random: Random,
    pub(crate) readers: Readers,
    pub(crate) bots: Bots,
    pub(crate) listed: Listed,
    /// The run so far.
    pub record: Record,
    shield: Box<dyn Shield>,
    origin: SimOrigin<u64>,
    jobs: BTreeMap<u64, (f64, Instant)>,
    waiting: BTreeMap<u64, (Owner, Instant)>,
    next_id: u64,
    measures: BTreeMap<u32, Rung>,
}

/// Where the virtual monotonic clock begins.
pub(crate) const START: Instant = Instant::from_nanos(1_000_000_000_000);
const TICK: Duration = Duration::from_millis(250);

impl World {
    /// A run of `scenario` before `shield`.
    pub fn new(
        scenario: Scenario,
        schedule: Schedule,
        site: Arc<Site>,
        shield: Box<dyn Shield>,
        seed: u64,
    ) -> Self {
        let from = START + Duration::from_secs_f64(schedule.calm_s);
        let until = from + Duration::from_secs_f64(schedule.event_s);
        let is_lean = schedule.is_lean;
        let record = Record { start: START, from, until, is_lean, ..Record::default() };
        let mut events = Timeline::default();
        events.push(START, Event::Session);
        events.push(START + TICK, Event::Tick);
        let mut world = Self {
            now: START,
            site,
            schedule,
            scenario,
            events,
            random: Random::new(seed ^ 0x05ea_3a11),
            readers: Readers::new(seed),
            bots: Bots::new(seed),
            listed: Listed::new(seed),
            record,
            shield,
            origin: SimOrigin::new(ORIGIN, seed),
            jobs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_id: 0,
            measures: BTreeMap::new(),
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        self.settle_in();
        if !self.schedule.is_lesson {
            self.events.push(START, Event::Listed);
        }
        match self.scenario {
            Scenario::Attack(attack) => {
                if attack.has_poisoned && self.schedule.is_lesson {
                    self.events.push(START, Event::Wave);
                }
                if !self.schedule.is_lesson {
                    self.events.push(self.record.from, Event::Wave);
                }
            }
            Scenario::Benign(_) => self.plan_surge(),
            Scenario::Days(_) => self.events.push(START, Event::Surge(0)),
            Scenario::Ordinary => {}
        }
    }

    /// Runs to the end; what came to pass, and the shield as it is then.
    pub fn run(mut self) -> (Record, Box<dyn Shield>) {
        let end = self.record.until + Duration::from_secs_f64(self.schedule.rest_s);
        while let Some((at, event)) = self.events.pop() {
            if at >= end {
                break;
            }
            self.now = at;
            self.handle(event);
            self.pump();
        }
        self.close_views();
        (self.record, self.shield)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Session => self.session(),
            Event::View(session) => self.view(session),
            Event::Html(view) => self.ask_html(view),
            Event::Parts(view) => self.ask_parts(view),
            Event::Bot(vector) => self.bot(vector),
            Event::BotAgain(vector, bot, ticket) => self.bot_again(vector, bot, ticket),
            Event::BotEnds(vector, bot) => self.bot_ends(vector, bot),
            Event::Wave => self.wave(),
            Event::Surge(number) => self.surge(number),
            Event::Listed => self.listed(),
            Event::Done(job, began) => self.origin_is_done(job, began),
            Event::Tick => self.tick(),
        }
    }

    pub(crate) fn after(&mut self, seconds: f64, event: Event) {
        self.events.push(self.now + Duration::from_secs_f64(seconds.max(0.0)), event);
    }

    /// The wall time of `now`.
    pub(crate) fn wall(&self) -> WallTime {
        self.schedule.wall + self.now.saturating_since(START)
    }

    pub(crate) fn shield(&mut self) -> &mut dyn Shield {
        &mut *self.shield
    }

    /// Passes a request to the shield for `owner`.
    pub(crate) fn ask(&mut self, owner: Owner, ask: &Ask<'_>) {
        self.next_id += 1;
        let id = self.next_id;
        // A pass is a cookie as any other, and shows as one.
        let with_pass = ask.pass.map(|pass| match ask.cookie {
            Some(cookie) => format!("{cookie}; {PASS_COOKIE}={pass}"),
            None => format!("{PASS_COOKIE}={pass}"),
        });
        let fields = RequestFields {
            look: ask.look,
            cookie: with_pass.as_deref().or(ask.cookie),
            referer: ask.referer,
            dest: if ask.is_document { "document" } else { "empty" },
        };
        let own = ConnectionDemand::default();
        let request = SimRequest {
            visitor: ask.visitor,
            fields,
            method: ask.method,
            target: ask.target,
            content_bytes: ask.content_bytes,
            claims_login: ask.claims_login,
            pass: ask.pass,
            ticket: ask.ticket,
            connection: ask.connection.unwrap_or(&own),
            has_copy: ask.has_copy,
        };
        match self.shield.request(self.now, id, &request) {
            Some(answered) => self.answer(owner, self.now, answered),
            None => {
                self.waiting.insert(id, (owner, self.now));
            }
        }
    }

    fn answer(&mut self, owner: Owner, asked: Instant, answered: Answered) {
        let refused = match answered.answer {
            Answer::Refused(cause) => Some(cause),
            Answer::Page { .. } | Answer::Test(_) => None,
        };
        let is_hostile = matches!(owner, Owner::Bot(..));
        self.record.note_request(self.now, is_hostile, answered.met, refused);
        if let Owner::Html(view) = owner
            && self.readers.is_dynamic_through_tor(view)
        {
            self.record.note_tor(answered.met);
        }
        match owner {
            Owner::Html(view) => self.html_answered(view, asked, answered),
            Owner::Part(view) => self.part_answered(view, asked, answered),
            Owner::Loose => {}
            Owner::Crawler(number) => self.crawler_answered(number, &answered),
            Owner::Listed => self.listed_answered(&answered),
            Owner::Bot(vector, bot) => self.bot_answered(vector, bot, answered),
        }
    }

    /// Does what the shield wants done.
    pub(crate) fn pump(&mut self) {
        while let Some(effect) = self.shield.poll() {
            match effect {
                Effect::Fetch { job, cost, of } => {
                    let owner = of.and_then(|id| self.waiting.get(&id)).map(|(owner, _)| *owner);
                    let is_hostile = matches!(owner, Some(Owner::Bot(..)));
                    let second = self.record.second(self.now);
                    second.fetched += 1;
                    second.origin_work += cost;
                    second.hostile_fetched += u64::from(is_hostile);
                    self.jobs.insert(job, (cost, self.now));
                    let began = if let Some(Owner::Listed) = owner {
                        let drawn = self.listed.draw(ORIGIN.spread);
                        self.origin.offer_drawn(self.now, job, (cost, drawn))
                    } else {
                        self.origin.offer(self.now, job, cost)
                    };
                    self.begun(began);
                }
                Effect::Answer { id, answered } => {
                    if let Some((owner, asked)) = self.waiting.remove(&id) {
                        self.answer(owner, asked, answered);
                    }
                }
            }
        }
    }

    fn begun(&mut self, began: Option<(Instant, u64)>) {
        if let Some((at, job)) = began {
            self.events.push(at, Event::Done(job, self.now));
        }
    }

    fn origin_is_done(&mut self, job: u64, _began: Instant) {
        let next = self.origin.ended(self.now);
        self.begun(next);
        if let Some((cost, offered)) = self.jobs.remove(&job) {
            // By what it costs, so that dear pages do not look like a slow origin.
            let took = self.now.saturating_since(offered).as_secs_f64() * 1e3;
            if cost <= 3.0 && !self.schedule.is_lean {
                self.record.origin.push((self.now, (took / cost.max(1.0)) as f32));
            }
        }
        self.shield.origin_done(self.now, job);
    }

    fn tick(&mut self) {
        let wall = self.wall();
        self.shield.tick(self.now, wall);
        self.pump();
        self.events.push(self.now + TICK, Event::Tick);
        if self.schedule.is_lesson {
            return;
        }
        let status = self.shield.status();
        let record = &mut self.record;
        record.most_bytes = record.most_bytes.max(status.bytes);
        record.over_queue |= status.queued > status.max_queued;
        record.over_measures |= status.mitigations.len() > seawall_model::MAX_MITIGATIONS;
        let is_as_before = |(_, _, is_normal, name): &(_, _, bool, String)| {
            *is_normal == status.is_normal && *name == status.state
        };
        if !record.states.last().is_some_and(is_as_before) {
            let state = (self.now, status.is_alarmed, status.is_normal, status.state.clone());
            record.states.push(state);
        }
        let mut standing = BTreeMap::new();
        for (measure, words) in status.mitigations.iter().zip(&status.words) {
            let before = self.measures.get(&measure.id.0);
            if before != Some(&measure.rung) {
                let said = format!("{} #{} {words}", measure.rung.as_str(), measure.id.0);
                record.measures.push((self.now, said));
            }
            standing.insert(measure.id.0, measure.rung);
        }
        let blocks = status.mitigations.iter().filter(|measure| measure.rung == Rung::Block);
        record.blocking = blocks.map(|measure| measure.id.0).collect();
        self.measures = standing;
        self.watch_measures(&status);
    }
}

/// What somebody asks for, in the words of the world.
pub(crate) struct Ask<'a> {
    pub(crate) visitor: &'a Visitor,
    pub(crate) look: &'a Look,
    pub(crate) cookie: Option<&'a str>,
    pub(crate) referer: Option<&'a str>,
    pub(crate) method: Method,
    pub(crate) target: Target<'a>,
    pub(crate) content_bytes: u64,
    pub(crate) claims_login: bool,
    pub(crate) pass: Option<&'a str>,
    pub(crate) ticket: Option<&'a str>,
    pub(crate) is_document: bool,
    /// The connection that it comes over; `None`: one of its own.
    pub(crate) connection: Option<&'a ConnectionDemand>,
    pub(crate) has_copy: bool,
}

/// Where a `Referer` says that a request was linked from.
pub(crate) fn referrer(referer: Option<&str>) -> Referrer {
    match referer {
        None => Referrer::None,
        Some(url) if url.starts_with("https://example.org/") => Referrer::Own,
        Some(url) => {
            Referrer::Other(url.bytes().fold(17, |sum, byte| sum * 31 % 65_521 + u32::from(byte)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::VIEWS_PER_S;
    use crate::seawall::{Layers, Seawall};

    /// A few seconds of the scenario.
    fn run(name: &str, seed: u64) -> Record {
        let scenario = Scenario::named(name).expect("it is in the list");
        let schedule =
            Schedule { calm_s: 3.0, event_s: 3.0, rest_s: 1.0, ..Schedule::of(scenario, 1.0) };
        let site = Arc::new(Site::new());
        let shield = Seawall::new(Arc::clone(&site), Layers::ALL, seed, None);
        World::new(scenario, schedule, site, Box::new(shield), seed).run().0
    }

    #[test]
    fn a_run_is_the_same_to_the_bit_for_a_seed_and_another_one_for_another() {
        let [once, again, other] = [7, 7, 8].map(|seed| format!("{:?}", run("A13", seed)));
        assert!(once == again, "two runs of one seed differ");
        assert_ne!(once, other);
    }

    #[test]
    fn every_scenario_does_what_it_says() {
        for scenario in Scenario::all() {
            let record = run(scenario.name(), 0);
            let hostile: u64 = record.seconds.iter().map(|second| second.hostile).sum();
            let is_small = Schedule::of(scenario, 1.0).views_per_s < VIEWS_PER_S;
            let is_attack = matches!(scenario, Scenario::Attack(_));
            assert_eq!(hostile > 100, is_attack, "{}: {hostile}", scenario.name());
            let calm = record.views.iter().filter(|view| view.began < record.from);
            let (views, good) =
                calm.fold((0, 0), |(all, good), view| (all + 1, good + u32::from(view.is_good)));
            assert!(
                good * 100 >= views * 97 && (views > 90 || is_small),
                "{}: {good} of {views}",
                scenario.name()
            );
            assert_eq!(record.without_cause, 0, "{}", scenario.name());
        }
    }
}
