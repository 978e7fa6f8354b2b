//! What readers do: sessions of some pages, each with what belongs to it, as fast as their network
//! allows. And surges of them.
//!
//! A transaction is a page with its styles, scripts and font; it is good if all of it was there within
//! the cohort's patience. Readers who are refused do not try again at once: a page that came after a
//! second try is no page in time.

use std::sync::Arc;
use std::time::Duration;

use seawall_decide::ConnectionDemand;
use seawall_model::{Instant, Method, RequestKind, Rung, Standing};

use crate::cohorts::{self, Cohort, Reader};
use crate::random::Random;
use crate::record::{Phase, ViewRecord, Want};
use crate::request::{Answer, Answered, Target, TestStep};
use crate::site::{HOME, PageId};
use crate::slab::Slab;
use crate::world::{Ask, Event, Owner, World};

/// Readers and what they are doing.
#[derive(Debug)]
pub(crate) struct Readers {
    /// Those who come again and again.
    known: Vec<Reader>,
    sessions: Slab<Session>,
    views: Slab<View>,
    pub(crate) next_number: u64,
    random: Random,
    /// How many more read something that is news, on ordinary days.
    pub(crate) news: f64,
    /// How many times as often a cohort comes.
    pub(crate) more: [f64; cohorts::COHORTS.len()],
    /// How many times as many pages are read as else, for which one, and the part of those who come
    /// for it that was never here.
    pub(crate) crowd: Option<(f64, PageId, f64)>,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) reader: Reader,
    pub(crate) pages_left: u32,
    pub(crate) thinks_s: f64,
    pub(crate) first: Option<PageId>,
    /// It asks for nothing but this, and nothing that belongs to it.
    pub(crate) only: Option<PageId>,
    /// Bytes of content that it sends each time.
    pub(crate) content_bytes: u64,
    pub(crate) loss: Option<f64>,
    /// Whether its connection is open.
    pub(crate) is_open: bool,
    /// What was asked for over that.
    pub(crate) connection: Arc<ConnectionDemand>,
    /// Whether it has what it asks for, unless that has changed.
    pub(crate) has_copy: bool,
    /// Views under way.
    pub(crate) open: u32,
    pub(crate) referer: Option<&'static str>,
}

impl Session {
    /// An ordinary one.
    pub(crate) fn of(reader: Reader, pages_left: u32) -> Self {
        Self {
            reader,
            pages_left,
            thinks_s: THINKS_S,
            first: None,
            only: None,
            content_bytes: 0,
            loss: None,
            is_open: false,
            connection: Arc::default(),
            has_copy: false,
            open: 0,
            referer: None,
        }
    }
}

#[derive(Debug)]
struct View {
    session: u32,
    page: PageId,
    record: ViewRecord,
    outstanding: u32,
    tests: u32,
    /// The ticket that its address ends with.
    ticket: Option<String>,
    /// When the last answer will be at the reader's.
    last: Instant,
}

/// Readers who come again and again (detection.md §8).
const KNOWN: usize = 5_000;
/// The part of sessions that is theirs.
const KNOWN_SHARE: f64 = 0.8;
/// Pages of a session, in the mean.
const PAGES: f64 = 5.0;
/// The same of who follows a link from elsewhere.
const CROWD_PAGES: f64 = 1.3;
const THINKS_S: f64 = 20.0;
const SITE: &str = "https://example.org/";

impl Readers {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x00ea_de55);
        let known = (0..KNOWN as u64).map(|number| {
            let cohort = cohorts::draw_cohort(&mut random);
            cohorts::draw_reader(&mut random, cohort, number)
        });
        let known = known.collect();
        Self {
            known,
            sessions: Slab::default(),
            views: Slab::default(),
            next_number: KNOWN as u64,
            random,
            news: 0.0,
            more: [1.0; cohorts::COHORTS.len()],
            crowd: None,
        }
    }

    pub(crate) fn draw(&mut self, cohort: Option<Cohort>, known_share: f64) -> Reader {
        if cohort.is_none() && self.random.unit() < known_share {
            let place = self.random.below(self.known.len());
            return self.known[place].clone();
        }
        self.next_number += 1;
        let cohort = cohort.unwrap_or_else(|| cohorts::draw_cohort(&mut self.random));
        let mut reader = cohorts::draw_reader(&mut self.random, cohort, self.next_number);
        if reader.visitor.standing == Standing::AgedReader {
            // Somebody who was never here has no credential.
            reader.visitor.standing = Standing::Anonymous;
            reader.visitor.identity = reader.visitor.client.into();
            reader.cookie = None;
        }
        reader
    }

    /// Whether a view is one of a dynamic page by a reader through Tor.
    pub(crate) fn is_dynamic_through_tor(&self, view: u32) -> bool {
        let view = self.views.find(view).map(|view| &view.record);
        view.is_some_and(|view| view.cohort == Cohort::Tor && view.want != Want::Cacheable)
    }

    fn pages(&mut self) -> u32 {
        // Geometric with mean PAGES.
        1 + (libm::log(self.random.unit().max(1e-9)) / libm::log(1.0 - 1.0 / PAGES)) as u32
    }
}

/// How much more is read at this time of day than in the mean: most in the evening.
pub(crate) fn diurnal(unix_secs: u64) -> f64 {
    let hour = (unix_secs % 86_400) as f64 / 3_600.0;
    1.0 + 0.5 * libm::cos((hour - 19.0) / 24.0 * core::f64::consts::TAU)
}

impl World {
    /// A reader begins, and the next one is planned.
    pub(crate) fn session(&mut self) {
        let crowd = self.readers.crowd;
        // A crowd's sessions are shorter, so more of them make as many views.
        let times = crowd.map_or(1.0, |(times, ..)| 1.0 + (times - 1.0) * PAGES / CROWD_PAGES);
        // In the evening it is 1.5 times the mean: so that views_per_s is what there is then.
        let daily = diurnal(self.wall().unix_secs()) / 1.5;
        let extra: f64 = cohorts::COHORTS
            .iter()
            .zip(self.readers.more)
            .map(|(manners, more)| manners.share * (more - 1.0))
            .sum();
        let rate = self.schedule.views_per_s * daily * (times + extra) / PAGES;
        let wait = self.random.exponential() / rate;
        self.after(wait, Event::Session);
        let which = self.random.unit() * (times + extra);
        let reader = if which < extra {
            let grown =
                cohorts::COHORTS.iter().zip(self.readers.more).find(|(_, more)| *more > 1.0);
            self.readers.draw(grown.map(|(manners, _)| manners.cohort), 0.0)
        } else if which < extra + times - 1.0 {
            self.draw_of_crowd(crowd.map_or(0.0, |(.., newcomers)| newcomers))
        } else {
            self.readers.draw(None, KNOWN_SHARE)
        };
        let is_crowd = which >= extra && which < extra + times - 1.0;
        let first = crowd.filter(|_| is_crowd).map(|(_, story, _)| story);
        let pages_left = if reader.cohort == Cohort::Feeds {
            PAGES as u32
        } else if is_crowd {
            // Who follows a link reads the story and seldom more.
            1 + u32::from(self.random.unit() < CROWD_PAGES - 1.0)
        } else {
            self.readers.pages()
        };
        let referer = first
            .map(|_| ["https://news.example/", "https://social.example/"][self.random.below(2)]);
        self.begin(Session { first, referer, ..Session::of(reader, pages_left) });
    }

    fn draw_of_crowd(&mut self, newcomers: f64) -> Reader {
        let mut reader = self.readers.draw(None, 1.0 - newcomers);
        // Who was never here comes from networks that were not, and shares other addresses.
        if reader.cohort == Cohort::Cgnat && reader.visitor.standing == Standing::Anonymous {
            reader.visitor.client =
                cohorts::v4(0x7050_0000 + self.random.below(200) as u32 * 0x101);
            reader.visitor.identity = reader.visitor.client.into();
        }
        reader
    }

    /// Those who are in the middle of reading when it begins.
    pub(crate) fn settle_in(&mut self) {
        // Little's law: sessions a second times their length. How many pages are left is as for new ones,
        // because the number of pages has no memory.
        let length_s = PAGES * (1.0 + THINKS_S);
        let count = self.schedule.views_per_s / PAGES * length_s;
        let now = self.now;
        for place in 0..self.readers.known.len() {
            let visitor = self.readers.known[place].visitor;
            self.shield().remember(now, &visitor);
        }
        for _ in 0..count as usize {
            let reader = self.readers.draw(None, KNOWN_SHARE);
            let pages_left = self.readers.pages();
            let is_open = self.open_connection(&reader.visitor).is_ok();
            let session = Session { is_open, ..Session::of(reader, pages_left) };
            let session = self.readers.sessions.insert(session);
            let wait = self.random.unit() + self.random.exponential() * THINKS_S;
            self.after(wait, Event::View(session));
        }
    }

    /// Has `session` open its first page.
    pub(crate) fn begin(&mut self, session: Session) {
        let session = self.readers.sessions.insert(session);
        self.view(session);
    }

    /// The next page of a session.
    pub(crate) fn view(&mut self, number: u32) {
        let Some(session) = self.readers.sessions.find_mut(number) else { return };
        if session.pages_left == 0 {
            return;
        }
        session.pages_left -= 1;
        session.open += 1;
        let is_first = !session.is_open;
        let (visitor, cohort) = (session.reader.visitor, session.reader.cohort);
        let (first, loss) = (session.first.take().or(session.only), session.loss);
        let (thinks_s, has_left) = (session.thinks_s, session.pages_left > 0);
        let is_verified = visitor.is_verified;
        let page = first.unwrap_or_else(|| self.choose_page(cohort, is_verified));
        let manners = cohort.manners();
        let rtt = Duration::from_secs_f64(manners.rtt_ms / 1e3);
        let is_dynamic = self.site.page(page).lifetime.is_none();
        let want = match (is_dynamic, visitor.standing) {
            (false, _) => Want::Cacheable,
            (true, Standing::Anonymous) => Want::DynamicNew,
            (true, _) => Want::DynamicKnown,
        };
        let record = ViewRecord {
            cohort,
            want,
            began: self.now,
            ended: None,
            is_good: true,
            refused: None,
            met: None,
            is_challenged: false,
            is_sent_around: false,
            is_verified,
            is_shared: (0..cohorts::SHARED_ADDRESSES)
                .any(|place| cohorts::shared_address(place) == visitor.client),
            waited_ms: 0,
        };
        let (ticket, last) = (None, self.now);
        let view = View { session: number, page, record, outstanding: 0, tests: 0, ticket, last };
        let view = self.readers.views.insert(view);
        if has_left {
            let pause = 1.0 + self.random.exponential() * thinks_s;
            self.after(pause, Event::View(number));
        }
        let mut way = rtt.mul_f64(0.5);
        if is_first {
            if let Err(cause) = self.open_connection(&visitor) {
                return self.fail_view(view, cause);
            }
            if let Some(session) = self.readers.sessions.find_mut(number) {
                session.is_open = true;
            }
            way += rtt * 2;
        }
        way += self.losses(1, loss.unwrap_or(manners.loss), manners.rtt_ms);
        self.events.push(self.now + way, Event::Html(view));
    }

    fn open_connection(
        &mut self,
        visitor: &crate::request::Visitor,
    ) -> Result<(), seawall_model::Cause> {
        let is_aged = visitor.standing == Standing::AgedReader;
        let now = self.now;
        let has_ticket = is_aged && self.random.unit() < 0.5;
        let let_in = self.shield().connect(now, visitor, has_ticket);
        self.shed();
        if is_aged {
            let second = self.record.second(now);
            second.aged_connections += 1;
            second.aged_refused += u64::from(let_in.is_err());
        }
        let_in
    }

    pub(crate) fn choose_page(&mut self, cohort: Cohort, is_verified: bool) -> PageId {
        let (random, site) = (&mut self.random, &self.site);
        if cohort == Cohort::Feeds && !is_verified {
            return site.any(random, &site.feeds);
        }
        let dice = random.unit();
        match dice {
            _ if cohort == Cohort::Feeds => site.popular(random),
            dice if dice < 0.6 => site.popular(random),
            dice if dice < 0.9 => site.any(random, &site.forum),
            dice if dice < 0.998 => site.any(random, &site.search),
            _ => site.any(random, &site.deep_search),
        }
    }

    /// What `packets` lose on the way, each loss as long as a retransmission takes (RFC 6298: at
    /// least 200 ms as systems have it).
    fn losses(&mut self, packets: u32, loss: f64, rtt_ms: f64) -> Duration {
        let lost = (0..packets).filter(|_| self.random.unit() < loss).count() as f64;
        Duration::from_secs_f64(lost * (rtt_ms.max(200.0) + rtt_ms) / 1e3)
    }

    /// A page's request arrives.
    pub(crate) fn ask_html(&mut self, number: u32) {
        let Some(view) = self.readers.views.find(number) else { return };
        let Some(session) = self.readers.sessions.find(view.session) else { return };
        let reader = session.reader.clone();
        let connection = Arc::clone(&session.connection);
        let (referer, page, ticket) = (session.referer, view.page, view.ticket.clone());
        let (content_bytes, has_copy) = (session.content_bytes, session.has_copy);
        let is_inner = !view.session.is_multiple_of(3);
        // What scripts poll is no page, though here it stands for one.
        let (method, kind) = (self.site.page(page).method, self.site.page(page).kind);
        self.ask(
            Owner::Html(number),
            &Ask {
                visitor: &reader.visitor,
                look: &reader.look,
                cookie: reader.cookie.as_deref(),
                referer: referer.or(is_inner.then_some(SITE)).filter(|_| reader.has_scripts),
                method,
                target: Target::Page(page),
                content_bytes,
                claims_login: false,
                pass: reader.pass.as_deref(),
                ticket: ticket.as_deref(),
                is_document: kind == RequestKind::Page,
                connection: Some(&connection),
                has_copy,
            },
        );
    }

    pub(crate) fn html_answered(&mut self, number: u32, asked: Instant, answered: Answered) {
        let now = self.now;
        let Some(view) = self.readers.views.find_mut(number) else { return };
        let waited = now.saturating_since(asked);
        note_met(&mut view.record, &answered, waited);
        let rtt = Duration::from_secs_f64(view.record.cohort.manners().rtt_ms / 1e3);
        match answered.answer {
            Answer::Page { .. } => {
                let back = now + rtt;
                self.events.push(back, Event::Parts(number));
            }
            Answer::Refused(cause) => self.fail_view(number, cause),
            Answer::Test(step) => self.follow_test(number, step, rtt),
        }
    }

    /// A reader does what a test asks, as its browser does by itself.
    fn follow_test(&mut self, number: u32, step: TestStep, rtt: Duration) {
        let Some(view) = self.readers.views.find_mut(number) else { return };
        match step {
            TestStep::Around { is_turn: true, .. } => view.record.is_sent_around = true,
            TestStep::Around { .. } | TestStep::Wait(_) => view.record.is_challenged = true,
            TestStep::Clean => {}
        }
        view.tests += 1;
        // A browser gives up a page that redirects without end; a feed reader keeps no cookie.
        if view.tests > 4 || view.record.cohort == Cohort::Feeds {
            return self.fail_view(number, seawall_model::Cause::OriginBusy);
        }
        let mut wait = Duration::ZERO;
        match step {
            TestStep::Around { pass, ticket, .. } => {
                view.ticket = Some(ticket);
                if let Some(session) = self.readers.sessions.find_mut(view.session) {
                    session.reader.pass = Some(pass);
                }
            }
            TestStep::Clean => view.ticket = None,
            TestStep::Wait(least) => wait = least,
        }
        view.record.waited_ms += (wait + 2 * rtt).as_millis() as u32;
        self.events.push(self.now + wait + rtt, Event::Html(number));
    }

    /// The page has come; what belongs to it is asked for.
    pub(crate) fn ask_parts(&mut self, number: u32) {
        let rtt_half = |view: &View| view.record.cohort.manners().rtt_ms / 2e3;
        let now = self.now;
        let Some(view) = self.readers.views.find_mut(number) else { return };
        let half = Duration::from_secs_f64(rtt_half(view));
        view.last = now;
        let (page, cohort) = (view.page, view.record.cohort);
        let Some(session) = self.readers.sessions.find(view.session) else { return };
        let loss = session.loss.unwrap_or(cohort.manners().loss);
        let reader = session.reader.clone();
        let connection = Arc::clone(&session.connection);
        if cohort == Cohort::Feeds || session.only.is_some() {
            return self.end_view(number, Duration::ZERO);
        }
        let site = Arc::clone(&self.site);
        let late = self.losses(6, loss, cohort.manners().rtt_ms);
        if let Some(view) = self.readers.views.find_mut(number) {
            view.last = now + late;
            view.outstanding = site.critical.len() as u32;
        }
        for part in site.critical.clone() {
            self.ask_part(Owner::Part(number), (&reader, &connection), part);
        }
        for _ in 0..3 + u32::from(self.random.unit() < 0.5) {
            let image = site.any(&mut self.random, &site.images);
            self.ask_part(Owner::Loose, (&reader, &connection), image);
        }
        if reader.has_scripts && self.random.unit() < 0.9 {
            let at = site.api.start + page % site.api.len() as PageId;
            self.ask_part(Owner::Loose, (&reader, &connection), at);
        }
        if self.readers.views.find(number).is_some_and(|view| view.outstanding == 0) {
            self.end_view(number, half);
        }
    }

    fn ask_part(
        &mut self,
        owner: Owner,
        (reader, connection): (&Reader, &ConnectionDemand),
        page: PageId,
    ) {
        self.ask(
            owner,
            &Ask {
                visitor: &reader.visitor,
                look: &reader.look,
                cookie: reader.cookie.as_deref(),
                referer: Some(SITE),
                method: Method::Get,
                target: Target::Page(page),
                content_bytes: 0,
                claims_login: false,
                pass: reader.pass.as_deref(),
                ticket: None,
                is_document: false,
                connection: Some(connection),
                has_copy: false,
            },
        );
    }

    pub(crate) fn part_answered(&mut self, number: u32, asked: Instant, answered: Answered) {
        let now = self.now;
        let Some(view) = self.readers.views.find_mut(number) else { return };
        note_met(&mut view.record, &answered, now.saturating_since(asked));
        view.outstanding = view.outstanding.saturating_sub(1);
        view.last = view.last.max(now);
        let is_over = view.outstanding == 0 && now > asked;
        match answered.answer {
            Answer::Refused(cause) => self.fail_view(number, cause),
            // Nothing that belongs to a page is ever answered with a test; if it were, it would fail.
            Answer::Test(_) => self.fail_view(number, seawall_model::Cause::OriginBusy),
            Answer::Page { .. } if is_over => self.end_view(number, Duration::ZERO),
            Answer::Page { .. } => {}
        }
    }

    fn end_view(&mut self, number: u32, way: Duration) {
        let Some(mut view) = self.readers.views.remove(number) else { return };
        let ended = view.last.max(self.now) + way;
        let took = ended.saturating_since(view.record.began).as_secs_f64();
        view.record.ended = Some(ended);
        view.record.is_good &= took <= view.record.cohort.manners().patience_s;
        self.keep_view(view);
    }

    fn fail_view(&mut self, number: u32, cause: seawall_model::Cause) {
        let Some(mut view) = self.readers.views.remove(number) else { return };
        view.record.is_good = false;
        view.record.ended = Some(self.now);
        view.record.refused = Some(cause);
        self.keep_view(view);
    }

    fn keep_view(&mut self, view: View) {
        if !self.schedule.is_lean {
            self.record.views.push(view.record);
        }
        if let Some(session) = self.readers.sessions.find_mut(view.session) {
            session.open -= 1;
            if session.pages_left == 0 && session.open == 0 {
                let (visitor, is_open) = (session.reader.visitor, session.is_open);
                self.readers.sessions.remove(view.session);
                let now = self.now;
                if is_open {
                    self.shield().disconnect(now, &visitor);
                }
            }
        }
    }

    /// At the end of a run: what is not there by now and out of patience has failed; what is still in
    /// time says nothing.
    pub(crate) fn close_views(&mut self) {
        let now = self.now;
        for mut view in self.readers.views.drain() {
            let patience = Duration::from_secs_f64(view.record.cohort.manners().patience_s);
            if now > view.record.began + patience {
                view.record.is_good = false;
                self.record.views.push(view.record);
            }
        }
        debug_assert!(self.record.phase(self.record.until) == Phase::Rest);
    }
}

fn note_met(record: &mut ViewRecord, answered: &Answered, waited: Duration) {
    if let Some(met) = answered.met {
        record.met = record.met.max(Some(met.rung));
    }
    debug_assert!(record.met <= Some(Rung::Block));
    record.waited_ms += waited.as_millis() as u32;
}

/// The story that a crowd comes for.
pub(crate) const STORY: PageId = HOME + 30;
