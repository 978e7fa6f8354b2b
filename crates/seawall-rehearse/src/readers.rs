//! The readers at work: an open loop over a schedule, each answer checked byte by byte.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use crate::addr::LoopbackAddr;
use crate::budget::{Budget, Kept, Way};
use crate::copies;
use crate::guests::Guests;
use crate::http::{ExchangeError, Keep, Pace, Response};
use crate::measure::{Failures, Kind, ReaderFigures, Stretch, Times};
use crate::schedule::Visit;
use crate::site::{HOST, Site};

/// How a reading run is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// All visits, in order.
    pub(crate) visits: Vec<Visit>,
    /// Until the flood begins.
    pub(crate) quiet: Duration,
    /// Until everything ends.
    pub(crate) end: Duration,
    /// How to speak TLS, if the target does.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Those who stay: from where, and what the uploading one shows of who it is.
    pub(crate) guests: Option<([Ipv4Addr; 3], Option<String>)>,
    /// Whether it is over as soon as all visits are.
    pub(crate) ends_with_visits: bool,
}

/// Plays `reading` against `target` and hands figures to `report` each 250 ms and once at the end.
/// `report` says whether to go on.
pub(crate) async fn play(
    reading: Reading,
    site: Site,
    target: LoopbackAddr,
    budget: Budget,
    mut report: impl FnMut(ReaderFigures) -> bool,
) {
    let start = Instant::now();
    let desk = Arc::new(Desk {
        site,
        target,
        budget,
        tls: reading.tls,
        known: Mutex::default(),
        guests: Arc::default(),
        copy_says: Mutex::default(),
    });
    let (finished, mut outcomes) = mpsc::unbounded_channel();
    let mut book = Book::default();
    if let Some((places, credential)) = reading.guests {
        // There before the flood, and until its end.
        let (from, until) = (reading.quiet.mul_f64(0.9), reading.end - AT_THE_END);
        let (from, until) = (start + from, start + until);
        for (stay, place) in [Stay::Upload, Stay::Events, Stay::Socket].into_iter().zip(places) {
            tokio::spawn(desk.clone().stay(stay, place, from, until, credential.clone()));
        }
    }
    let mut tick = interval(REPORT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = start + reading.end;
    let mut visits = reading
        .visits
        .into_iter()
        // Who could not be done by the end, even if served at the last moment, does not come.
        .filter(|visit| visit.at + visit.kind.budget() <= reading.end)
        .peekable();
    let mut under_way = 0_usize;
    while under_way > 0 || visits.peek().is_some() || !reading.ends_with_visits {
        let next = visits.peek().map_or(end, |visit| start + visit.at);
        tokio::select! {
            biased;
            Some(outcome) = outcomes.recv() => {
                under_way -= 1;
                book.enter(outcome);
            }
            _ = tick.tick() => {
                if !report(book.figures(start.elapsed(), &desk)) {
                    return;
                }
            }
            () = sleep_until(next) => {
                let Some(visit) = visits.next() else { break };
                let stretch = stretch_of(visit.at, reading.quiet);
                let (desk, finished) = (desk.clone(), finished.clone());
                under_way += 1;
                tokio::spawn(async move {
                    let _ = finished.send(desk.serve(&visit, stretch, start).await);
                });
            }
        }
    }
    // Every budget ends before `end`, so everything under way has been told off by now.
    drop(finished);
    while let Ok(Some(outcome)) = timeout_at(end + DRAIN, outcomes.recv()).await {
        book.enter(outcome);
    }
    report(book.figures(start.elapsed(), &desk));
}

fn stretch_of(at: Duration, quiet: Duration) -> Stretch {
    match at.checked_sub(quiet) {
        None => Stretch::Quiet,
        Some(under_flood) if under_flood < SETTLING => Stretch::Flood,
        Some(_) => Stretch::Settled,
    }
}

/// What all readers share: the address, and what the site is known to say.
struct Desk {
    site: Site,
    target: LoopbackAddr,
    budget: Budget,
    tls: Option<Arc<ClientConfig>>,
    known: Mutex<Known>,
    guests: Arc<Guests>,
    /// What the first copy of an earlier time said of itself.
    copy_says: Mutex<Option<String>>,
}

/// How somebody stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    Upload,
    Events,
    Socket,
}

#[derive(Default)]
struct Known {
    pages: HashMap<String, Bytes>,
    feed_etags: HashMap<Ipv4Addr, String>,
}

/// How a visit went.
struct Outcome {
    kind: Kind,
    stretch: Stretch,
    taken: Result<(Duration, Source), Failure>,
}

/// What a page came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The site, or what was kept of its answers.
    Site,
    /// A copy that says of itself that it is one.
    Copy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Refused,
    TurnedAway,
    Late,
    Broken,
    WrongBytes,
}

impl Desk {
    async fn serve(&self, visit: &Visit, stretch: Stretch, start: Instant) -> Outcome {
        let wanted = start + visit.at;
        let deadline = wanted + visit.kind.budget();
        let taken = match timeout_at(deadline, self.read_page(visit)).await {
            Ok(Ok(source)) => Ok((wanted.elapsed(), source)),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::Late),
        };
        Outcome { kind: visit.kind, stretch, taken }
    }

    async fn read_page(&self, visit: &Visit) -> Result<Source, Failure> {
        let mut session = Session { desk: self, visit, connection: Kept::default() };
        if visit.kind == Kind::Feed {
            return self.read_feed(&mut session, visit.source).await;
        }
        let source = session.fetch_whole(&visit.page).await?;
        for asset in &visit.subresources {
            session.fetch_whole(asset).await?;
        }
        Ok(source)
    }

    async fn read_feed(
        &self,
        session: &mut Session<'_>,
        source: Ipv4Addr,
    ) -> Result<Source, Failure> {
        let path = &session.visit.page;
        let etag = self.known().feed_etags.get(&source).cloned();
        let response = session.fetch(path, etag.as_deref()).await?;
        match response.status {
            304 if etag.is_some() => Ok(response.source()),
            200 => {
                self.check_bytes(path, &response)?;
                let from = response.source();
                if let Some(etag) = response.etag {
                    self.known().feed_etags.insert(source, etag);
                }
                Ok(from)
            }
            _ => Err(Failure::TurnedAway),
        }
    }

    /// Connects at `from` and stays until `until`.
    async fn stay(
        self: Arc<Self>,
        stay: Stay,
        place: Ipv4Addr,
        from: Instant,
        until: Instant,
        credential: Option<String>,
    ) {
        sleep_until(from).await;
        let guests = Arc::clone(&self.guests);
        let Ok(connection) = self.way(place).open().await else {
            return guests.trouble("guest", "could not connect");
        };
        match stay {
            Stay::Upload => guests.upload(connection, until, credential).await,
            Stay::Events => guests.listen(connection, until).await,
            Stay::Socket => guests.talk(connection, until).await,
        }
    }

    fn way(&self, source: Ipv4Addr) -> Way<'_> {
        Way { budget: &self.budget, target: &self.target, source, tls: self.tls.as_ref() }
    }

    /// The bytes must be the site's; a copy that says that it is one may say so on the page, too.
    fn check_bytes(&self, path: &str, response: &Response) -> Result<(), Failure> {
        let expected = {
            let mut known = self.known();
            let page = known.pages.entry(path.to_owned());
            page.or_insert_with(|| self.site.resource(path).body).clone()
        };
        if *expected == response.body[..] {
            return Ok(());
        }
        let remark = response.is_memento.then(|| copies::put_in(&expected, &response.body));
        let remark = remark.flatten().ok_or(Failure::WrongBytes)?;
        let mut said = self.copy_says();
        if said.is_none() {
            *said = copies::words(remark);
        }
        Ok(())
    }

    fn copy_says(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.copy_says.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One visit's connection, kept alive from page to picture.
struct Session<'a> {
    desk: &'a Desk,
    visit: &'a Visit,
    connection: Kept,
}

impl Session<'_> {
    async fn fetch_whole(&mut self, path: &str) -> Result<Source, Failure> {
        let response = self.fetch(path, None).await?;
        if response.status != 200 {
            return Err(Failure::TurnedAway);
        }
        self.desk.check_bytes(path, &response)?;
        Ok(response.source())
    }

    async fn fetch(&mut self, path: &str, etag: Option<&str>) -> Result<Response, Failure> {
        let request = request(self.visit, path, etag);
        let pace = (self.visit.kind == Kind::Tor).then_some(SLOW_LINE);
        let way = self.desk.way(self.visit.source);
        let answer = self.connection.exchange(&way, request.as_bytes(), Keep::Body, pace).await;
        answer.map_err(|error| match error {
            ExchangeError::Closed | ExchangeError::Budget(_) => Failure::Refused,
            ExchangeError::Truncated | ExchangeError::Malformed => Failure::Broken,
        })
    }
}

impl Response {
    fn source(&self) -> Source {
        if self.is_memento { Source::Copy } else { Source::Site }
    }
}

/// A whole request head of `visit`.
pub(crate) fn request(visit: &Visit, path: &str, etag: Option<&str>) -> String {
    let (agent, accept) = match visit.kind {
        Kind::Browser | Kind::Unread | Kind::Search | Kind::LiveAged | Kind::LiveNew => (
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "text/html,application/xhtml+xml,*/*;q=0.8",
        ),
        Kind::Tor => (
            "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0",
            "text/html,application/xhtml+xml,*/*;q=0.8",
        ),
        Kind::Feed => ("FeedReader/3.2 (+https://feedreader.example)", "application/rss+xml"),
        Kind::Crawler => ("Mozilla/5.0 (compatible; Searchbot/2.1)", "*/*"),
    };
    let condition = etag.map_or_else(String::new, |etag| format!("If-None-Match: {etag}\r\n"));
    let cookie = visit.credential.as_ref();
    let cookie = cookie.map_or_else(String::new, |shown| format!("Cookie: {shown}\r\n"));
    format!(
        "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {agent}\r\nAccept: {accept}\r\n\
         Accept-Language: en\r\nAccept-Encoding: gzip\r\n{condition}{cookie}Connection: keep-alive\r\n\r\n"
    )
}

/// All outcomes so far.
#[derive(Default)]
struct Book {
    kinds: BTreeMap<(Stretch, Kind), Times>,
    failures: Failures,
    aged_failures: Failures,
    new_failures: Failures,
    copies: u64,
    recent: Vec<(Instant, Kind, Option<Duration>)>,
}

impl Book {
    fn enter(&mut self, outcome: Outcome) {
        let Outcome { kind, stretch, taken } = outcome;
        let from = taken.ok().map(|(_, source)| source);
        let taken = taken.map(|(time, _)| time);
        let counts = if stretch == Stretch::Settled { &COUNTS_TWICE[..] } else { &[stretch] };
        for &stretch in counts {
            self.kinds.entry((stretch, kind)).or_default().push(taken.ok(), kind.budget());
        }
        if kind.is_cacheable() {
            self.recent.push((Instant::now(), kind, taken.ok()));
        }
        self.copies += u64::from(from == Some(Source::Copy) && stretch != Stretch::Quiet);
        let (Err(failure), Stretch::Flood | Stretch::Settled) = (taken, stretch) else { return };
        let failures = match kind {
            Kind::LiveAged => &mut self.aged_failures,
            Kind::LiveNew => &mut self.new_failures,
            Kind::Search => return,
            Kind::Browser | Kind::Unread | Kind::Feed | Kind::Tor | Kind::Crawler => {
                &mut self.failures
            }
        };
        *match failure {
            Failure::Refused => &mut failures.refused,
            Failure::TurnedAway => &mut failures.turned_away,
            Failure::Late => &mut failures.late,
            Failure::Broken => &mut failures.broken,
            Failure::WrongBytes => &mut failures.wrong_bytes,
        } += 1;
    }

    fn figures(&mut self, elapsed: Duration, desk: &Desk) -> ReaderFigures {
        self.recent.retain(|(at, _, _)| at.elapsed() < Duration::from_secs(1));
        let mut last_second = Times::default();
        for (_, kind, taken) in &self.recent {
            last_second.push(*taken, kind.budget());
        }
        let together = |stretch: Stretch, cacheable: bool| {
            let mut all = Times::default();
            for ((of, kind), times) in &self.kinds {
                if *of == stretch && kind.is_cacheable() == cacheable {
                    all.extend(times);
                }
            }
            all.tally()
        };
        let kinds = |wanted: Stretch| {
            let of = self.kinds.iter().filter(move |((stretch, _), _)| *stretch == wanted);
            of.map(|((_, kind), times)| (*kind, times.tally())).collect()
        };
        ReaderFigures {
            elapsed_ms: elapsed.as_millis() as u64,
            last_second: last_second.tally(),
            quiet: together(Stretch::Quiet, true),
            flood: together(Stretch::Flood, true),
            needs_origin: together(Stretch::Flood, false),
            kinds: kinds(Stretch::Flood),
            settled_kinds: kinds(Stretch::Settled),
            quiet_kinds: kinds(Stretch::Quiet),
            guests: desk.guests.figures(),
            failures: self.failures.clone(),
            aged_failures: self.aged_failures.clone(),
            new_failures: self.new_failures.clone(),
            copies: self.copies,
            copy_says: desk.copy_says().clone(),
        }
    }
}

/// What comes when the flood has settled came in the flood as well.
const COUNTS_TWICE: [Stretch; 2] = [Stretch::Flood, Stretch::Settled];

/// How long a shield may take to tell readers from a flood.
const SETTLING: Duration = Duration::from_secs(10);

/// How often figures are reported.
pub(crate) const REPORT_EVERY: Duration = Duration::from_millis(250);

/// About 40 KiB/s, what a slow circuit gives.
const SLOW_LINE: Pace = Pace { bytes: 2048, interval: Duration::from_millis(50) };

/// What guests leave early, for the answer to an upload.
const AT_THE_END: Duration = Duration::from_secs(4);

/// For outcomes already decided to travel through the channel.
const DRAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::{Reading, play};
    use crate::addr::{LoopbackAddr, RunKey, challenge_in};
    use crate::budget::Budget;
    use crate::measure::{Kind, ReaderFigures};
    use crate::schedule::Visit;
    use crate::site::{Model, Origin, Site};
    use crate::sources::Sources;

    /// Plays `visits` against an origin of `origin_seed`, expecting what seed 1 says.
    async fn check(origin_seed: u64, model: Model, visits: Vec<Visit>) -> ReaderFigures {
        let key = RunKey::draw().expect("the system has randomness");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback binds");
        let addr = listener.local_addr().expect("bound");
        let origin = Origin::new(origin_seed, key.clone(), model);
        tokio::spawn(async move { origin.serve(listener).await });
        read(addr, &key, visits).await
    }

    /// Plays `visits`, expecting what seed 1 says, until all are over.
    async fn read(addr: SocketAddr, key: &RunKey, visits: Vec<Visit>) -> ReaderFigures {
        let target = LoopbackAddr::verify(addr, key, [1; 16]).await.expect("it knows the key");
        let reading = Reading {
            visits,
            quiet: Duration::ZERO,
            end: Duration::from_secs(600),
            tls: None,
            guests: None,
            ends_with_visits: true,
        };
        let budget = Budget::new(Instant::now(), Duration::from_secs(60), 100);
        let mut last = ReaderFigures::default();
        play(reading, Site::new(1), target, budget, |figures| {
            last = figures;
            true
        })
        .await;
        last
    }

    /// Serves the pages of seed 1 with `remark` at the top and `fields` in the head.
    async fn stand_in(key: RunKey, fields: &'static str, remark: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback binds");
        let addr = listener.local_addr().expect("bound");
        let site = Site::new(1);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("a whole head"));
                }
                let head = String::from_utf8(head).expect("our own readers write text");
                let target = head.split(' ').nth(1).expect("a target");
                let body = match challenge_in(target) {
                    Some(challenge) => key.answer(challenge),
                    None => String::from_utf8(site.resource(target).body.to_vec())
                        .expect("pages are text")
                        .replace("<body>", &format!("<body>{remark}")),
                };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.expect("a reader takes it");
            }
        });
        addr
    }

    fn visits() -> Vec<Visit> {
        let (site, sources) = (Site::new(1), Sources::new(1));
        [
            (Kind::Browser, "/"),
            (Kind::Feed, "/feed.xml"),
            (Kind::Tor, "/about/"),
            (Kind::Search, "/search?q=tide"),
        ]
        .map(|(kind, page)| Visit {
            at: Duration::ZERO,
            kind,
            source: sources.browsers[0],
            page: page.to_owned(),
            subresources: if kind == Kind::Feed { Vec::new() } else { site.subresources(page) },
            credential: None,
        })
        .to_vec()
    }

    #[tokio::test]
    async fn an_idle_site_serves_every_kind() {
        let figures = check(1, Model::default(), visits()).await;
        assert_eq!((figures.flood.transactions, figures.flood.ok), (3, 3), "{figures:?}");
        assert_eq!((figures.needs_origin.transactions, figures.needs_origin.ok), (1, 1));
        assert_eq!(figures.kinds.len(), 4);
    }

    #[tokio::test]
    async fn other_bytes_than_the_sites_are_wrong_under_a_200() {
        let figures = check(2, Model::default(), visits()).await;
        assert_eq!(figures.failures.wrong_bytes, 2, "the seed changes front page and feed");
        assert_eq!(figures.flood.ok, 1, "the page about the paper is the same: {figures:?}");
    }

    #[tokio::test]
    async fn a_copy_may_say_that_it_is_one_and_nobody_else_may_say_anything() {
        const COPY: &str = "Memento-Datetime: Wed, 18 Sep 2024 06:00:00 GMT\r\n";
        const REMARK: &str = "<p>Gone. A copy.</p>";
        for (fields, remark, copies, wrong_bytes, says) in [
            (COPY, REMARK, 3, 0, Some("Gone. A copy.")),
            (COPY, "", 3, 0, None),
            ("", "", 0, 0, None),
            ("", REMARK, 0, 2, None),
        ] {
            let key = RunKey::draw().expect("the system has randomness");
            let addr = stand_in(key.clone(), fields, remark).await;
            let visits = visits().into_iter().take(3).collect();
            let figures = read(addr, &key, visits).await;
            assert_eq!(figures.flood.transactions, 3, "{fields}{remark}");
            assert_eq!(figures.copies, copies, "{fields}{remark}: {figures:?}");
            assert_eq!(figures.failures.wrong_bytes, wrong_bytes, "{fields}{remark}");
            assert_eq!(figures.copy_says.as_deref(), says, "{fields}{remark}");
        }
    }

    #[tokio::test]
    async fn a_site_that_turns_readers_away_has_not_served_them() {
        let model = Model { workers: 0, backlog: 0, max_connections: 64 };
        let figures = check(1, model, visits()).await;
        assert_eq!((figures.flood.ok, figures.failures.turned_away), (0, 3), "{figures:?}");
        assert!((figures.flood.p50_ms - 4_000.0).abs() < 1e-9);
    }
}
