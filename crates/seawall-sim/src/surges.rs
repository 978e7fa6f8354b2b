//! Surges that are no attack: who comes, and when. What readers do then is in [`crate::readers`].

use seawall_model::{Method, Rung};

use crate::benign::Surge;
use crate::cohorts::{self, Cohort, Reader};
use crate::looks;
use crate::readers::{STORY, Session};
use crate::record::CrawlerRecord;
use crate::request::{Answer, Answered, Target, Visitor};
use crate::scenario::Scenario;
use crate::world::{Ask, Event, Owner, World};

impl World {
    /// Plans the surge of the scenario.
    pub(crate) fn plan_surge(&mut self) {
        let Scenario::Benign(benign) = self.scenario else { return };
        let from = self.record.from;
        match benign.surge {
            // Feeds come every hour, also while it is learned what is ordinary.
            Surge::Feeds { .. } if self.schedule.is_lesson => {
                self.events.push(self.record.start, Event::Surge(0));
            }
            _ if self.schedule.is_lesson => {}
            Surge::Crawlers { verified, unknown, .. } => {
                let crawlers = verified + unknown;
                self.record.crawlers = (0..crawlers)
                    .map(|number| CrawlerRecord {
                        is_verified: number < verified,
                        ..CrawlerRecord::default()
                    })
                    .collect();
                (0..crawlers).for_each(|number| self.events.push(from, Event::Surge(number)));
            }
            _ => self.events.push(from, Event::Surge(0)),
        }
    }

    fn is_over(&self) -> bool {
        self.now >= self.record.until
    }

    /// The part `number` of the surge goes on.
    pub(crate) fn surge(&mut self, number: u32) {
        let Scenario::Benign(benign) = self.scenario else { return self.news() };
        match benign.surge {
            Surge::Crowd { times, ramp_s, newcomers } => {
                let since = self.now.saturating_since(self.record.from).as_secs_f64();
                let grown = 1.0 + (times - 1.0) * (since / ramp_s).min(1.0);
                self.readers.crowd = (!self.is_over()).then_some((grown, STORY, newcomers));
                if !self.is_over() {
                    self.after(1.0, Event::Surge(0));
                }
            }
            Surge::Cohort { cohort, times } => {
                self.readers.more[cohort as usize] = if self.is_over() { 1.0 } else { times };
                if !self.is_over() {
                    self.after(1.0, Event::Surge(0));
                }
            }
            Surge::Crawlers { verified, per_s, .. } => self.crawl(number, verified, per_s),
            Surge::Feeds { polls, within_s } => self.poll_feeds(number, polls, within_s),
            Surge::OneAddress { readers, loss, each_per_s } => {
                self.read_behind_one(readers, loss, each_per_s);
            }
            Surge::Newsroom { upload_bytes, followers, every_s } => {
                self.newsroom(upload_bytes, followers, every_s);
            }
        }
    }

    /// On ordinary days a story that many come for every few hours: how many is heavy-tailed (Pareto with
    /// exponent 1.5, half as much again at least, five times at most), they come
    /// within minutes and are gone after an hour.
    fn news(&mut self) {
        const STEP_S: f64 = 60.0;
        const FADES_S: f64 = 1_200.0;
        const COMES_S: f64 = 240.0;
        self.readers.news *= libm::exp(-STEP_S / FADES_S);
        if self.random.unit() < STEP_S / (4.0 * 3_600.0) {
            let pareto = libm::pow(1.0 - self.random.unit(), -1.0 / 1.5);
            self.readers.news = (self.readers.news + 0.5 * pareto).min(4.0);
        }
        let before = self.readers.crowd.map_or(1.0, |(times, ..)| times);
        let times = before + (1.0 + self.readers.news - before) * STEP_S / COMES_S;
        self.readers.crowd = (times > 1.001).then_some((times, STORY, 0.5));
        self.after(STEP_S, Event::Surge(0));
    }

    fn crawl(&mut self, number: u32, verified: u32, per_s: f64) {
        if self.is_over() {
            return;
        }
        let wait = self.random.exponential() / per_s;
        self.after(wait, Event::Surge(number));
        let is_verified = number < verified;
        let (client, network) = cohorts::hosting_address(950_000 + number * 64, 9);
        let visitor = Visitor {
            client,
            network,
            identity: client.into(),
            standing: seawall_model::Standing::Anonymous,
            is_verified,
        };
        // Everything there is, one page after the other, the forum among it.
        let site = std::sync::Arc::clone(&self.site);
        let all = site.reading.len() + site.forum.len();
        let at = self.random.below(all) as u32;
        let reading = site.reading.len() as u32;
        let page =
            if at < reading { site.reading.start + at } else { site.forum.start + at - reading };
        let look = looks::crawler(number as usize);
        let target = Target::Page(page);
        self.ask(
            Owner::Crawler(number),
            &Ask { is_document: true, ..bare(&visitor, &look, target) },
        );
    }

    pub(crate) fn crawler_answered(&mut self, number: u32, answered: &Answered) {
        let Some(crawler) = self.record.crawlers.get_mut(number as usize) else { return };
        crawler.asked += 1;
        crawler.got += u64::from(matches!(answered.answer, Answer::Page { .. }));
        crawler.challenged += u64::from(matches!(answered.answer, Answer::Test(_)));
        let is_blocked = answered.met.is_some_and(|met| met.rung == Rung::Block && !met.is_control);
        crawler.blocked += u64::from(is_blocked);
    }

    /// At the full hour, within some seconds.
    fn poll_feeds(&mut self, number: u32, polls: u32, within_s: f64) {
        let into_hour_s = (self.wall().unix_nanos() % 3_600_000_000_000) as f64 / 1e9;
        if number == 0 {
            // Wait for the hour; the polls then are events of their own.
            let until_hour = if into_hour_s < 0.001 { 0.0 } else { 3_600.0 - into_hour_s };
            if !self.schedule.is_lesson {
                // The event begins at the hour.
                (1..=polls).for_each(|poll| self.poll_in(poll, within_s));
            } else if until_hour == 0.0 {
                (1..=polls).for_each(|poll| self.poll_in(poll, within_s));
                self.after(3_600.0, Event::Surge(0));
            } else {
                self.after(until_hour, Event::Surge(0));
            }
            return;
        }
        let reader = self.feed_reader(number);
        let site = std::sync::Arc::clone(&self.site);
        let only = Some(site.feeds.start + number % site.feeds.len() as u32);
        self.begin(Session { only, has_copy: true, ..Session::of(reader, 1) });
    }

    fn poll_in(&mut self, poll: u32, within_s: f64) {
        let wait = self.random.between(0.0, within_s);
        self.after(wait, Event::Surge(poll));
    }

    fn feed_reader(&mut self, number: u32) -> Reader {
        // The same ones each hour; never one of the verified crawlers.
        let mut random = crate::Random::new(u64::from(number));
        let number = u64::from(number) * 4 + 1_000_001;
        let mut reader = cohorts::draw_reader(&mut random, Cohort::Feeds, number);
        let (client, network) = cohorts::home_address(&mut random);
        (reader.visitor.client, reader.visitor.network) = (client, network);
        reader.visitor.identity = client.into();
        reader
    }

    fn read_behind_one(&mut self, readers: u32, loss: f64, each_per_s: f64) {
        if self.is_over() {
            return;
        }
        const PAGES: u32 = 5;
        let rate = f64::from(readers) * each_per_s / f64::from(PAGES);
        let wait = self.random.exponential() / rate;
        self.after(wait, Event::Surge(0));
        let number = 2_000_000 + self.random.below(readers as usize) as u64;
        let mut random = crate::Random::new(number);
        let mut reader = cohorts::draw_reader(&mut random, Cohort::Mobile, number);
        reader.visitor.client = cohorts::v4(0x6440_ff01);
        if reader.visitor.standing == seawall_model::Standing::Anonymous {
            reader.visitor.identity = reader.visitor.client.into();
        }
        self.begin(Session { loss: Some(loss), ..Session::of(reader, PAGES) });
    }

    fn newsroom(&mut self, upload_bytes: u64, followers: u32, every_s: f64) {
        let rest_s = self.record.until.saturating_since(self.now).as_secs_f64();
        let site = std::sync::Arc::clone(&self.site);
        for number in 0..followers {
            let reader = self.readers.draw(None, 0.8);
            if reader.cohort == Cohort::Feeds {
                continue;
            }
            let only = Some(site.api.start + number % 2);
            let pages = (rest_s / every_s) as u32;
            // Each asks at its own moment; the pause of a session has a part that is by chance.
            let thinks_s = every_s - 1.0;
            self.begin(Session { only, thinks_s, ..Session::of(reader, pages) });
        }
        let reader = self.readers.draw(Some(Cohort::Editors), 0.0);
        self.begin(Session {
            only: Some(site.upload),
            content_bytes: upload_bytes,
            ..Session::of(reader, 1)
        });
    }
}

/// A request without anything that need not be.
pub(crate) const fn bare<'a>(
    visitor: &'a Visitor,
    look: &'a looks::Look,
    target: Target<'a>,
) -> Ask<'a> {
    Ask {
        visitor,
        look,
        cookie: None,
        referer: None,
        method: Method::Get,
        target,
        content_bytes: 0,
        claims_login: false,
        pass: None,
        ticket: None,
        is_document: false,
        connection: None,
        has_copy: false,
    }
}
