//! The log through the very detector that runs in production, in the log's own time.
//!
//! A request goes into the window of its quarter of a second. Most logs know whole seconds only: then
//! the requests of a second are spread evenly over it, which is all that can be said of them. What the
//! cache would have held is worked out from the log: a page is taken to be kept for ten seconds
//! (`default_ttl`) and a file for a day after it was answered once. Nobody in a log can pass or fail a
//! test, is known from before, or was told by us to wait: so the ladder ends before blocking, unless pages in hand are
//! flooded.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use seawall_control::{Action, ControlLoop, ControllerConfig};
use seawall_decide::{Attributer, Exempt, Known, Mitigations, NetworkClass, Wish};
use seawall_detect::{DetectorConfig, Finding, OriginStress, ProbeCounts, Sampled, Tick, Window};
use seawall_edge::recorder::Recorded;
use seawall_model::{
    Attribute, BodyLength, Cause, CookieClass, Facts, Fields, Fingerprint, Held, HttpVersion,
    Identity, Instant, Ja4, LATE, Met, Method, Observation, Referrer, RequestKind, Rung, Standing,
    Test, WallTime, Work,
};
use siphasher::sip::SipHasher13;

use super::clients::Clients;
use super::line::LogRequest;
use super::record::{Recorder, Ticked};
use super::story::{Bin, Story};

/// Feeds a log to detector and ladder.
pub(super) struct Drive {
    attributer: Attributer,
    hasher: SipHasher13,
    window: Window,
    control: ControlLoop,
    mitigations: Mitigations,
    cache: LogCache,
    clients: Clients,
    /// The quarter of a second that is being filled, counted from the first one.
    ticks: u64,
    start: Option<WallTime>,
    /// Requests of a second whose place in it is not known.
    second: Vec<LogRequest>,
    second_at: u64,
    own_host: Option<String>,
    seed: [u64; 2],
    recorder: Recorder,
    pub(super) story: Story,
}

impl Drive {
    /// `own_host` is the site's own, where references come from; `seed` keys all tables.
    pub(super) fn new(own_host: Option<String>, seed: [u64; 2], recorder: Recorder) -> Self {
        Self {
            attributer: Attributer::new(seed),
            hasher: SipHasher13::new_with_keys(seed[0], seed[1]),
            window: Window::new(seed),
            control: ControlLoop::new(DetectorConfig::default(), ControllerConfig::default(), seed),
            mitigations: Mitigations::none(),
            cache: LogCache::default(),
            clients: Clients::default(),
            ticks: 0,
            start: None,
            second: Vec::new(),
            second_at: 0,
            own_host,
            seed,
            recorder,
            story: Story::default(),
        }
    }

    /// Takes in the next request of the log.
    ///
    /// # Errors
    /// The record of an incident cannot be written.
    pub(super) fn request(&mut self, request: LogRequest) -> io::Result<()> {
        let second = request.at.unix_secs();
        if self.start.is_none() {
            self.start = Some(WallTime::from_unix_secs(second));
            self.second_at = second;
            self.story.from = request.at;
        }
        if second + MAX_LATE_S < self.second_at {
            self.story.late += 1;
            return Ok(());
        }
        // Servers note a request when it ends: what is a little late belongs to now.
        if second > self.second_at {
            self.end_second()?;
            self.second_at = second;
        }
        self.story.to = self.story.to.max(request.at);
        if self.second.len() < MAX_SECOND {
            self.second.push(request);
        } else {
            // So many in a second are spread already.
            self.observe(&request);
        }
        Ok(())
    }

    /// Ends the log: what goes on is closed as open. Also which records were made, if any were wanted.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(super) fn finish(mut self) -> io::Result<(Story, Option<Vec<Recorded>>)> {
        self.end_second()?;
        self.advance_to(WallTime::from_unix_secs(self.second_at + 1))?;
        let incident = self.control.controller().incident().copied();
        if let Some(incident) = &incident {
            self.story.close(incident, self.story.to, true);
        }
        self.recorder.finish(incident.as_ref())?;
        self.settle();
        self.story.clients = self.clients.count();
        Ok((self.story, self.recorder.keep()?))
    }

    /// Spreads the requests of a second over its quarters.
    fn end_second(&mut self) -> io::Result<()> {
        let requests = std::mem::take(&mut self.second);
        let count = requests.len().max(1) as u64;
        for (place, request) in requests.iter().enumerate() {
            let at = if request.is_fine && request.at.unix_secs() == self.second_at {
                request.at
            } else {
                let nanos = 1_000_000_000 * place as u64 / count;
                WallTime::from_unix_secs(self.second_at) + Duration::from_nanos(nanos)
            };
            self.advance_to(at)?;
            self.observe(request);
        }
        self.second = requests;
        self.second.clear();
        Ok(())
    }

    /// Ends every window before `at`.
    fn advance_to(&mut self, at: WallTime) -> io::Result<()> {
        let Some(start) = self.start else { return Ok(()) };
        let due = at.saturating_since(start).as_millis() / Window::LENGTH.as_millis();
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        let mut quiet = 0;
        while self.ticks < due {
            // Nothing happens in the night of a small site: when nobody has come for two seconds, an
            // empty window stands for a second, then for four.
            let step = match quiet {
                0..8 => 1,
                8..30 => 4,
                _ => 16,
            };
            self.tick(start)?;
            self.ticks = (self.ticks + step).min(due.max(self.ticks + 1));
            quiet += 1;
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(1) + Window::LENGTH * u32::try_from(self.ticks).unwrap_or(u32::MAX)
    }

    fn tick(&mut self, start: WallTime) -> io::Result<()> {
        let since = Window::LENGTH.as_secs_f64() * (self.ticks + 1) as f64;
        let wall = start + Duration::from_secs_f64(since);
        let tick = Tick {
            at: self.now() + Window::LENGTH,
            wall,
            window: &self.window,
            stress: OriginStress::default(),
            probes: ProbeCounts::default(),
        };
        let finding = self.control.tick(&tick);
        self.tell(&finding);
        let mut happened = Vec::new();
        while let Some(action) = self.control.poll_action() {
            match action {
                Action::Publish(stands) => self.mitigations = Mitigations::new(&stands, self.seed),
                Action::Record(entry) => {
                    let control = &self.control;
                    let text = |signature: &_| control.describe(signature);
                    self.story.note(&entry, text);
                    happened.push(entry);
                }
            }
        }
        self.recorder.tick(&Ticked {
            finding: &finding,
            window: &self.window,
            happened: &happened,
            control: &self.control,
            late: self.story.late,
        })?;
        self.settle();
        self.window.clear();
        Ok(())
    }

    fn settle(&mut self) {
        for (since, figures) in self.recorder.settled.drain(..) {
            self.story.settle(since, figures);
        }
    }

    fn tell(&mut self, finding: &Finding) {
        let counts = &finding.counts;
        let met: u64 = finding.met.iter().map(|counts| counts.matched).sum();
        self.story.baseline_clients = finding.baseline_clients;
        if counts.requests > 0 {
            let bin = Bin {
                requests: counts.requests,
                expected: finding.rates.requests_expected * Window::LENGTH.as_secs_f64(),
                origin: counts.origin + counts.spared,
                met,
            };
            self.story.add(finding.wall - Window::LENGTH, bin);
        }
        let Some(incident) = self.story.open_incident() else { return };
        for alarm in &finding.alarms {
            let name = alarm.channel.as_str();
            if !incident.channels.contains(&name) {
                incident.channels.push(name);
            }
        }
        for counts in &finding.met {
            if let Some(measure) = incident.measures.iter_mut().find(|it| it.id == counts.id) {
                measure.matched += counts.matched;
            }
        }
    }

    fn observe(&mut self, request: &LogRequest) {
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes())),
            None => (request.target.as_str(), None),
        };
        let identity = Identity::from(request.client);
        let facts = Facts {
            client: request.client,
            identity,
            standing: Standing::Anonymous,
            via_proxy: false,
            fingerprint: Fingerprint {
                ja4: request.ja4.as_deref().and_then(ja4),
                ..Fingerprint::default()
            },
            version: request.version.unwrap_or(HttpVersion::Http11),
            method: request.method,
            host: "",
            path: path.as_bytes(),
            query,
            target_bytes: request.target.len(),
            head_bytes: 0,
            field_count: 0,
            body: BodyLength::None,
            cookies: CookieClass::None,
            held: Held::No,
        };
        let network = NetworkClass::default();
        let known = known(request);
        let attributes = self.attributer.of_known(&facts, request, network, known);
        let identity = self.hasher.hash(&identity.as_u128().to_le_bytes());
        self.clients.insert(identity);
        let target = self.hasher.hash(request.target.as_bytes());
        let kind = Wish::of(&facts, request).kind();
        let (work, is_cacheable) = self.cache.look(request, target, kind);
        let observation = Observation {
            at: self.now(),
            client: request.client,
            port: 0,
            is_tor: false,
            is_late: request.duration_ms.is_some_and(|ms| Duration::from_millis(ms.into()) > LATE),
            identity,
            standing: Standing::Anonymous,
            attributes,
            kind,
            // Half of a hash is one.
            target: (target >> 32) as u32,
            referrer: self.referrer(request),
            returned_cookie: false,
            is_recognised: false,
            is_cacheable,
            status: request.status,
            cause: Cause::Default,
            work,
            // Nobody in a log was refused by us: an error there is the site's own.
            met: self
                .mitigations
                .meet(self.now(), &attributes, identity, Exempt::No)
                .map(|met| Met { rung: met.rung.min(Rung::Challenge), ..met }),
            test: Test::None,
        };
        if self.window.observe(&observation) == Sampled::Yes {
            for (attribute, value) in attributes.known() {
                if self.window.wants_words(attribute, value) {
                    let words = self.attributer.words(attribute, &facts, request, network);
                    self.window.keep_words(attribute, value, words.as_str());
                }
            }
        }
    }

    fn referrer(&self, request: &LogRequest) -> Referrer {
        let Some(host) = request.referrer.as_deref().and_then(host_of) else {
            return Referrer::None;
        };
        if self.own_host.as_deref() == Some(host) {
            return Referrer::Own;
        }
        Referrer::Other((self.hasher.hash(host.as_bytes()) >> 32) as u32)
    }
}

/// The host of a reference, without port and `www.`.
pub(super) fn host_of(referrer: &str) -> Option<&str> {
    let rest = referrer.split_once("://")?.1;
    let host = rest.split(['/', '?', '#', ':']).next()?;
    let host = host.strip_prefix("www.").unwrap_or(host);
    (!host.is_empty()).then_some(host)
}

/// What a log tells at all.
fn known(request: &LogRequest) -> Known {
    let mut known =
        Known::NONE.with(Attribute::Path).with(Attribute::Query).with(Attribute::Prefix);
    if request.version.is_some() {
        known = known.with(Attribute::Method);
    }
    if request.user_agent.is_some() {
        known = known.with(Attribute::UserAgent).with(Attribute::UserAgentFamily);
    }
    if request.accept_language.is_some() {
        known = known.with(Attribute::AcceptLanguage);
    }
    if request.ja4.is_some() {
        known = known.with(Attribute::Ja4);
    }
    known
}

fn ja4(text: &str) -> Option<Ja4> {
    Some(Ja4::new(text.as_bytes().try_into().ok()?))
}

impl Fields for LogRequest {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        if let Some(value) = self.first(name) {
            visit(value);
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let value = match name {
            "user-agent" => &self.user_agent,
            "accept-language" => &self.accept_language,
            "referer" => &self.referrer,
            _ => return None,
        };
        value.as_deref().filter(|text| !text.is_empty()).map(str::as_bytes)
    }
}

/// What a cache would have held, by what the log shows.
#[derive(Default)]
struct LogCache {
    /// Until when, in seconds.
    held: HashMap<u64, u64>,
}

impl LogCache {
    fn look(&mut self, request: &LogRequest, target: u64, kind: RequestKind) -> (Work, bool) {
        let now = request.at.unix_secs();
        let is_reading = matches!(request.method, Method::Get | Method::Head);
        let is_good = matches!(request.status, 200 | 206 | 301 | 304 | 308);
        // What was never asked for before is no page that many share.
        let is_cacheable = is_reading && is_good && !request.target.contains('?');
        let cost_ms = request.duration_ms.unwrap_or(0);
        let work = match request.was_held {
            Some(true) => Work::Held,
            None if is_reading && self.held.get(&target).is_some_and(|until| now < *until) => {
                Work::Held
            }
            _ => Work::Origin { cost_ms },
        };
        if is_reading && is_good && request.was_held.is_none() && work != Work::Held {
            if self.held.len() >= MAX_HELD {
                self.held.retain(|_, until| now < *until);
            }
            if self.held.len() >= MAX_HELD {
                self.held.clear();
            }
            let lasts = if kind == RequestKind::Subresource { 86_400 } else { 10 };
            self.held.insert(target, now + lasts);
        }
        (work, is_cacheable || work == Work::Held)
    }
}

const MAX_LATE_S: u64 = 60;
const MAX_SECOND: usize = 100_000;
const MAX_HELD: usize = 100_000;
