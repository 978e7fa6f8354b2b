//! The floods: many addresses, each with one connection, in a closed loop at a bounded rate.
//!
//! Three kinds: plain requests for pages everybody reads, the same with a random query that gets
//! past caches, and heads that never end. Each bot waits for its answer before it asks again, and
//! never asks more often than its share of the rate, but for a request repeated because its connection was closed; above
//! that stands the [`Budget`].
//!
//! It deliberately does nothing that needs a broken server: no malformed bytes, no protocol abuse.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::addr::LoopbackAddr;
use crate::budget::{Budget, Connection, Kept, Way};
use crate::caps;
use crate::child::Play;
use crate::http::Keep;
use crate::measure::FloodFigures;
use crate::readers::REPORT_EVERY;
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::site::{HOST, Site, UPLOADS};

/// How large a flood is wanted. What is beyond the caps is not done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Strength {
    /// Addresses that ask for pages.
    pub(crate) page_bots: usize,
    /// Their requests a second, together.
    pub(crate) pages_per_second: f64,
    /// Addresses that ask with random queries.
    pub(crate) busting_bots: usize,
    /// Their requests a second, together.
    pub(crate) busting_per_second: f64,
    /// Addresses that never finish a head.
    pub(crate) slow_bots: usize,
    /// Addresses that send in something without end, slowly.
    pub(crate) upload_bots: usize,
}

impl Default for Strength {
    fn default() -> Self {
        // About 17 times what the origin bears, and little enough that two cores also carry the
        // site, the shield and the readers.
        Self {
            page_bots: 1_300,
            pages_per_second: 1_300.0,
            busting_bots: 600,
            busting_per_second: 400.0,
            slow_bots: 1_100,
            upload_bots: 0,
        }
    }
}

impl Strength {
    /// What the benchmark asks for: 5,000 requests a second by 2,000 bots.
    pub(crate) fn of_bench(play: Play) -> Self {
        let nothing = Self {
            page_bots: 0,
            pages_per_second: 0.0,
            busting_bots: 0,
            busting_per_second: 0.0,
            slow_bots: 0,
            upload_bots: 0,
        };
        match play {
            Play::Demo => Self::default(),
            Play::OriginDead => nothing,
            // Its requests a second are its own.
            Play::Detection(scenario) => Self { page_bots: scenario.bots(), ..nothing },
            Play::Live => Self { page_bots: BENCH_BOTS, pages_per_second: BENCH_RATE, ..nothing },
            Play::Uploads => Self { upload_bots: UPLOADING, ..nothing },
            Play::Busting => {
                Self { busting_bots: BENCH_BOTS, busting_per_second: BENCH_RATE, ..nothing }
            }
        }
    }

    /// The same flood with no more than `connections` and within the hard caps.
    pub(crate) fn bounded(mut self, connections: usize) -> Self {
        let most = connections.min(caps::MAX_CONNECTIONS);
        let bots = [self.page_bots, self.busting_bots, self.slow_bots, self.upload_bots];
        let bots: u128 = bots.into_iter().map(|count| count as u128).sum();
        if bots > most as u128 {
            let share = |count: usize| (count as u128 * most as u128 / bots) as usize;
            self.page_bots = share(self.page_bots);
            self.busting_bots = share(self.busting_bots);
            self.slow_bots = share(self.slow_bots);
            self.upload_bots = share(self.upload_bots);
        }
        let rate = self.pages_per_second + self.busting_per_second;
        let most = caps::MAX_REQUESTS_PER_SECOND as f64;
        if rate > most {
            self.pages_per_second *= most / rate;
            self.busting_per_second *= most / rate;
        }
        self
    }
}

/// How a flood is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Flooding {
    /// How large.
    pub(crate) strength: Strength,
    /// What is asked instead of pages, and how often.
    pub(crate) scenario: Option<Scenario>,
    /// From where, one bot each.
    pub(crate) bots: Vec<Ipv4Addr>,
    /// What the site has that everybody reads.
    pub(crate) pages: Vec<String>,
    /// How those with random URLs make them up.
    pub(crate) busting: Busting,
    /// The seed of the run.
    pub(crate) seed: u64,
    /// When it begins.
    pub(crate) begin: Instant,
    /// When it ends.
    pub(crate) end: Instant,
}

/// Floods `target` until `end`, handing figures to `report` each 250 ms and once at the
/// end. `report` says whether to go on.
pub(crate) async fn play(
    flooding: Flooding,
    target: LoopbackAddr,
    budget: Budget,
    mut report: impl FnMut(FloodFigures) -> bool,
) {
    let start = Instant::now();
    let Flooding { strength, scenario, bots, pages, busting: busts, seed, begin, end } = flooding;
    let crowd = Arc::new(Crowd { target, budget, pages, begin, end, counts: Counts::default() });
    for (number, source) in bots.iter().enumerate() {
        let rng = Rng::stream(seed ^ number as u64, "bot");
        let bot = Bot {
            crowd: crowd.clone(),
            source: *source,
            rng,
            connection: Kept::default(),
            seen: false,
        };
        let (pages, busting) = (strength.page_bots, strength.busting_bots);
        if let (Some(scenario), true) = (scenario, number < pages) {
            tokio::spawn(bot.play(scenario));
        } else if number < pages {
            tokio::spawn(bot.ask(per_bot(pages, strength.pages_per_second), Busting::Never));
        } else if number < pages + busting {
            tokio::spawn(bot.ask(per_bot(busting, strength.busting_per_second), busts));
        } else if number < pages + busting + strength.slow_bots {
            tokio::spawn(bot.dawdle());
        } else if number < pages + busting + strength.slow_bots + strength.upload_bots {
            tokio::spawn(bot.upload());
        }
    }
    let mut tick = interval(REPORT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < end {
        tick.tick().await;
        if !report(crowd.figures(start.elapsed())) {
            return;
        }
    }
    report(crowd.figures(start.elapsed()));
}

/// What everybody reads: the front page and the newest stories.
pub(crate) fn popular_pages(site: &Site) -> Vec<String> {
    let stories = site.articles().iter().take(20).map(|article| article.path.clone());
    // Half of all requests are for the front page.
    std::iter::repeat_n("/".to_owned(), 20).chain(stories).collect()
}

fn per_bot(bots: usize, per_second: f64) -> Duration {
    Duration::from_secs_f64(bots as f64 / per_second.max(0.1))
}

/// How a bot gets past caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busting {
    /// It does not.
    Never,
    /// With a random query on a page that there is.
    Query,
    /// With that, or with a path that there is not, as often.
    QueryOrPath,
}

struct Crowd {
    target: LoopbackAddr,
    budget: Budget,
    pages: Vec<String>,
    begin: Instant,
    end: Instant,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    busting: AtomicU64,
    answered: AtomicU64,
    turned_away: AtomicU64,
    broken: AtomicU64,
    slow: AtomicU64,
    sources: AtomicU64,
}

impl Crowd {
    fn figures(&self, elapsed: Duration) -> FloodFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FloodFigures {
            elapsed_ms: elapsed.as_millis() as u64,
            requests: read(&self.counts.requests),
            busting: read(&self.counts.busting),
            answered: read(&self.counts.answered),
            turned_away: read(&self.counts.turned_away),
            broken: read(&self.counts.broken),
            connections: self.budget.open_connections() as u64,
            slow_connections: read(&self.counts.slow),
            sources: read(&self.counts.sources),
        }
    }

    fn way(&self, source: Ipv4Addr) -> Way<'_> {
        Way { budget: &self.budget, target: &self.target, source, tls: None }
    }

    /// Whether bots go on: in time, and the listener is there.
    fn is_on(&self) -> bool {
        Instant::now() < self.end && self.target.is_alive()
    }
}

struct Bot {
    crowd: Arc<Crowd>,
    source: Ipv4Addr,
    rng: Rng,
    connection: Kept,
    seen: bool,
}

impl Bot {
    /// Asks for pages, at most once in `every`.
    async fn ask(mut self, every: Duration, busting: Busting) {
        // Not all at once: the first requests are spread over the first interval.
        let mut next = self.crowd.begin + every.mul_f64(self.rng.unit());
        loop {
            sleep_until(next).await;
            if !self.crowd.is_on() {
                return;
            }
            // Who waited long for an answer catches up on one request, or waiting would thin the flood.
            let now = Instant::now();
            next = (next + every.mul_f64(0.8 + 0.4 * self.rng.unit()))
                .max(now - every.min(now - self.crowd.begin));
            self.ask_once(busting).await;
        }
    }

    /// Asks as `scenario` has it.
    async fn play(mut self, scenario: Scenario) {
        let begin = self.crowd.begin;
        let pace = scenario.pace(Duration::ZERO).unwrap_or_default();
        let mut next = begin + pace.mul_f64(self.rng.unit());
        loop {
            sleep_until(next).await;
            if !self.crowd.is_on() {
                return;
            }
            let now = Instant::now();
            let since = now - begin;
            match scenario.pace(since) {
                Ok(every) => {
                    let after = every.mul_f64(0.8 + 0.4 * self.rng.unit());
                    next = (next + after).max(now - every.min(since));
                    let request = scenario.request(since, &mut self.rng, &self.crowd.pages);
                    self.exchange(&request).await;
                }
                Err(pause) => {
                    let pace = scenario.pace(pause).unwrap_or_default();
                    next = begin + pause + pace.mul_f64(self.rng.unit());
                }
            }
        }
    }

    async fn ask_once(&mut self, busting: Busting) {
        let page = &self.crowd.pages[self.rng.below(self.crowd.pages.len())];
        let random_path = busting == Busting::QueryOrPath && self.rng.below(2) == 0;
        let query = match busting {
            Busting::Never => String::new(),
            Busting::Query | Busting::QueryOrPath => {
                self.crowd.counts.busting.fetch_add(1, Ordering::Relaxed);
                let separator = if random_path { '/' } else { '?' };
                format!("{separator}{:x}={:x}", self.rng.draw() as u16, self.rng.draw())
            }
        };
        let request = format!(
            "GET {page}{query} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {}\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n",
            self.rng.pick(&AGENTS),
        );
        self.exchange(&request).await;
    }

    async fn exchange(&mut self, request: &str) {
        let counts = &self.crowd.counts;
        let way = self.crowd.way(self.source);
        if self.connection.ready(&way).await.is_err() {
            counts.broken.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if !std::mem::replace(&mut self.seen, true) {
            counts.sources.fetch_add(1, Ordering::Relaxed);
        }
        counts.requests.fetch_add(1, Ordering::Relaxed);
        let exchange = self.connection.exchange(&way, request.as_bytes(), Keep::Nothing, None);
        let answer = timeout(PATIENCE, exchange).await;
        let count = match answer {
            Ok(Ok(response)) if response.status < 400 => &counts.answered,
            Ok(Ok(_)) => &counts.turned_away,
            _ => &counts.broken,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Opens a connection, begins a request and never ends it.
    async fn dawdle(mut self) {
        // All slow connections are there within two seconds.
        sleep_until(self.crowd.begin + Duration::from_secs_f64(2.0 * self.rng.unit())).await;
        while self.crowd.is_on() {
            if let Ok(connection) = self.crowd.way(self.source).open().await {
                if !std::mem::replace(&mut self.seen, true) {
                    self.crowd.counts.sources.fetch_add(1, Ordering::Relaxed);
                }
                self.crowd.counts.slow.fetch_add(1, Ordering::Relaxed);
                self.dribble(connection).await;
                self.crowd.counts.slow.fetch_sub(1, Ordering::Relaxed);
            }
            sleep(DAWDLE_PAUSE).await;
        }
    }

    /// Sends in something at 600 bytes a second, once.
    async fn upload(mut self) {
        sleep_until(self.crowd.begin + Duration::from_secs_f64(2.0 * self.rng.unit())).await;
        let Ok(mut connection) = self.crowd.way(self.source).open().await else {
            self.crowd.counts.broken.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.crowd.counts.sources.fetch_add(1, Ordering::Relaxed);
        self.crowd.counts.slow.fetch_add(1, Ordering::Relaxed);
        let head = format!(
            "POST {UPLOADS} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {}\r\nContent-Length: 1000000\r\n\r\n",
            self.rng.pick(&AGENTS),
        );
        let mut bytes = head.into_bytes();
        while self.crowd.is_on() && connection.send(&bytes).await.is_ok() {
            bytes = vec![b'u'; 300];
            if timeout(UPLOAD_STEP, connection.until_answered()).await.is_ok() {
                break;
            }
        }
        self.crowd.counts.slow.fetch_sub(1, Ordering::Relaxed);
    }

    async fn dribble(&mut self, mut connection: Connection) {
        let head =
            format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {}\r\n", self.rng.pick(&AGENTS));
        let mut line = head;
        while self.crowd.is_on() && connection.send(line.as_bytes()).await.is_ok() {
            let pause = DAWDLE_STEP.mul_f64(0.7 + 0.6 * self.rng.unit());
            // An answer before the head is whole, or a close, ends it.
            if timeout(pause, connection.until_answered()).await.is_ok() {
                return;
            }
            line = format!("X-{:x}: {:x}\r\n", self.rng.draw() as u16, self.rng.draw() as u16);
        }
    }
}

/// What a bot waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between lines of a head that never ends.
const DAWDLE_STEP: Duration = Duration::from_secs(3);
/// Between the 300 bytes of an upload.
const UPLOAD_STEP: Duration = Duration::from_millis(500);
const UPLOADING: usize = 500;
/// After a slow connection was closed, before the next.
const DAWDLE_PAUSE: Duration = Duration::from_secs(1);

/// The flood of the benchmark (`bench/README.md`).
pub(crate) const BENCH_BOTS: usize = 2_000;
/// As many /24s as they come from.
pub(crate) const BENCH_PREFIXES: usize = 1_600;
const BENCH_RATE: f64 = 5_000.0;

const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Mobile Safari/537.36",
    "python-requests/2.31.0",
    "Go-http-client/1.1",
];

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use proptest::prelude::{any, proptest};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::{Bot, Busting, Counts, Crowd, Flooding, Strength, play, popular_pages};
    use crate::addr::{LoopbackAddr, RunKey};
    use crate::budget::{Budget, Kept};
    use crate::caps;
    use crate::child::Play;
    use crate::measure::FloodFigures;
    use crate::rng::Rng;
    use crate::site::{Model, Origin, Site};
    use crate::sources::Sources;

    proptest! {
        #[test]
        fn no_wish_goes_beyond_the_caps(
            page_bots in any::<usize>(), busting_bots in any::<usize>(), slow_bots in any::<usize>(),
            pages in 0.0..1e12_f64, busting in 0.0..1e12_f64, files in 0..30_000_usize,
        ) {
            let wish = Strength {
                page_bots,
                pages_per_second: pages,
                busting_bots,
                busting_per_second: busting,
                slow_bots,
                upload_bots: 0,
            };
            let bounded = wish.bounded(files);
            let bots = bounded.page_bots + bounded.busting_bots + bounded.slow_bots;
            assert!(bots <= caps::MAX_CONNECTIONS && bots <= files);
            let rate = bounded.pages_per_second + bounded.busting_per_second;
            assert!(rate <= caps::MAX_REQUESTS_PER_SECOND as f64 * 1.000_001);
        }
    }

    #[test]
    fn the_floods_of_the_benchmark_are_within_the_caps() {
        for play in [Play::Live, Play::Busting, Play::Uploads] {
            let strength = Strength::of_bench(play);
            assert_eq!(strength.bounded(caps::MAX_CONNECTIONS), strength);
        }
    }

    #[test]
    fn the_flood_of_the_demo_is_within_the_caps() {
        let strength = Strength::default();
        assert_eq!(strength.bounded(caps::MAX_CONNECTIONS), strength);
        let bots = strength.page_bots + strength.busting_bots + strength.slow_bots;
        assert_eq!(bots, Sources::new(1).bots.len());
    }

    #[tokio::test]
    async fn a_bot_whose_connection_was_closed_between_two_requests_opens_another() {
        let key = RunKey::draw().expect("the system has randomness");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback binds");
        let addr = listener.local_addr().expect("bound");
        let body = key.answer([1; 16]);
        let accepted = Arc::new(AtomicU64::new(0));
        let counting = accepted.clone();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        // One answer on each connection, and no word that it is the last; from the sixth on none at all.
        tokio::spawn(async move {
            for number in 1.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let _ = stream.read(&mut [0; 4_096]).await;
                if number < 6 {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
                counting.fetch_add(1, Ordering::Relaxed);
            }
        });
        let target = LoopbackAddr::verify(addr, &key, [1; 16]).await.expect("it knows the answer");
        let begin = Instant::now();
        let end = begin + Duration::from_secs(30);
        let budget = Budget::new(begin, Duration::from_secs(30), 1);
        let crowd = Crowd { target, budget, pages: vec![], begin, end, counts: Counts::default() };
        let crowd = Arc::new(crowd);
        let mut bot = Bot {
            crowd: crowd.clone(),
            source: Ipv4Addr::LOCALHOST,
            rng: Rng::stream(1, "bot"),
            connection: Kept::default(),
            seen: false,
        };
        // The first connection is that of `verify`.
        for _ in 0..4 {
            bot.exchange("GET / HTTP/1.1\r\n\r\n").await;
        }
        let figures = crowd.figures(begin.elapsed());
        assert_eq!((figures.requests, figures.answered, figures.broken), (4, 4, 0), "{figures:?}");
        assert_eq!((figures.sources, figures.turned_away), (1, 0), "{figures:?}");
        // Once on the one that was closed and once on a new one; then on a new one alone.
        for (broken, connections) in [(1, 6), (2, 7)] {
            bot.exchange("GET / HTTP/1.1\r\n\r\n").await;
            assert_eq!(crowd.figures(begin.elapsed()).broken, broken);
            assert_eq!(accepted.load(Ordering::Relaxed), connections);
        }
    }

    #[tokio::test]
    async fn each_kind_of_bot_does_its_part_and_all_stop() {
        let key = RunKey::draw().expect("the system has randomness");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback binds");
        let addr = listener.local_addr().expect("bound");
        let origin = Origin::new(1, key.clone(), Model::default());
        let serving = origin.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        let target = LoopbackAddr::verify(addr, &key, [1; 16]).await.expect("our own origin");
        let strength = Strength {
            page_bots: 4,
            pages_per_second: 400.0,
            busting_bots: 4,
            busting_per_second: 400.0,
            slow_bots: 4,
            upload_bots: 0,
        };
        let begin = Instant::now();
        let end = begin + Duration::from_secs(30);
        let budget = Budget::new(begin, Duration::from_secs(30), 12);
        let flooding = Flooding {
            strength,
            scenario: None,
            bots: Sources::new(1).bots,
            pages: popular_pages(&Site::new(1)),
            busting: Busting::Query,
            seed: 1,
            begin,
            end,
        };
        let mut last = FloodFigures::default();
        play(flooding, target, budget, |figures| {
            last = figures;
            last.slow_connections < 4 || last.answered < 8
        })
        .await;
        assert_eq!(last.sources, 12, "{last:?}");
        assert!(last.busting > 0 && last.busting < last.requests, "{last:?}");
        assert!(last.connections <= 12, "{last:?}");
        let figures = origin.figures();
        assert_eq!(figures.from_attack, figures.requests, "{figures:?}");
    }
}
