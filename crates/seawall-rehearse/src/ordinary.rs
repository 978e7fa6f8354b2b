//! What ordinary readers would send over a quarter of an hour, and more of them than come to a rehearsal.
//!
//! For a shield that is to know who is ordinary before the rehearsal begins. The requests are those
//! that [`readers`](crate::readers) write, byte by byte, in virtual time: nothing is sent. The crawler that reads the
//! site before a flood is among them all the while: a site knows its crawlers as it knows its readers.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::measure::Kind;
use crate::readers::request;
use crate::rng::Rng;
use crate::schedule::{Visit, reader_schedule, warm_up_schedule};
use crate::site::{Site, cost_of};
use crate::sources::Sources;

/// One request as it would come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrdinaryRequest {
    /// When, from the begin.
    pub at: Duration,
    /// From where.
    pub source: Ipv4Addr,
    /// The whole head.
    pub head: String,
    /// Whether it is the first on a connection: each visit opens one.
    pub opens: bool,
    /// How long the origin would work on it; `None` if a cache that keeps pages for ten seconds and files for good
    /// would have it.
    pub work: Option<Duration>,
}

/// What `clients` readers want over `run`: the same mix at the same rate as in a rehearsal of run `seed`.
/// In order.
pub fn ordinary_requests(seed: u64, clients: usize, run: Duration) -> Vec<OrdinaryRequest> {
    let site = Site::new(seed);
    let sources = many_sources(seed, clients);
    let mut visits = reader_schedule(seed, &site, &sources, run);
    visits.extend(crawl(&site, &sources, run));
    visits.sort_by_key(|visit| visit.at);
    let mut polled = HashSet::new();
    let mut requests: Vec<(OrdinaryRequest, &str)> = visits
        .iter()
        .flat_map(|visit| {
            // The entity tag itself is of no matter: no attribute reads it.
            let is_known = visit.kind == Kind::Feed && !polled.insert(visit.source);
            let page = of(visit, &visit.page, 0, is_known.then_some("\"feed\""));
            let parts = visit.subresources.iter().zip(1..);
            let parts = parts.map(|(part, place)| of(visit, part, place, None));
            std::iter::once(page).chain(parts).collect::<Vec<_>>()
        })
        .collect();
    requests.sort_by_key(|(request, _)| request.at);
    let mut cache = HashMap::new();
    for (request, target) in &mut requests {
        let kept = if target.contains('.') && !target.ends_with(".xml") { run } else { TTL };
        let is_held = !target.contains('?')
            && cache.get(target).is_some_and(|&fetched| request.at < fetched + kept);
        if !is_held {
            cache.insert(*target, request.at);
            request.work = Some(cost_of(target).service_time());
        }
    }
    requests.into_iter().map(|(request, _)| request).collect()
}

/// The crawler of a rehearsal, over and over, as fast as the shortest quiet makes it.
fn crawl(site: &Site, sources: &Sources, run: Duration) -> impl Iterator<Item = Visit> {
    let once = warm_up_schedule(site, sources, SHORTEST_QUIET);
    let lasts = once.last().map_or(run, |last| last.at).max(Duration::from_secs(1));
    let rounds = run.div_duration_f64(lasts).ceil() as u32;
    let all = (0..rounds).flat_map(move |round| {
        let later = move |visit: Visit| Visit { at: visit.at + lasts * round, ..visit };
        once.clone().into_iter().map(later)
    });
    all.take_while(move |visit| visit.at < run)
}

/// The request for `target`, which comes `place` steps after the visit begins.
fn of<'a>(
    visit: &Visit,
    target: &'a str,
    place: u32,
    etag: Option<&str>,
) -> (OrdinaryRequest, &'a str) {
    let request = OrdinaryRequest {
        at: visit.at + STEP * place,
        source: visit.source,
        head: request(visit, target, etag),
        opens: place == 0,
        work: None,
    };
    (request, target)
}

/// As many as wanted, in every /16 of loopback: no /24 may have more than a few of them.
fn many_sources(seed: u64, clients: usize) -> Sources {
    let mut sources = Sources::new(seed);
    let mut rng = Rng::stream(seed, "ordinary");
    let mut met = HashSet::new();
    let mut draw = |count: usize| -> Vec<Ipv4Addr> {
        let mut drawn = Vec::with_capacity(count);
        while drawn.len() < count {
            let [second, third] = [16 + rng.below(235) as u8, rng.below(256) as u8];
            let address = Ipv4Addr::new(127, second, third, 1 + rng.below(254) as u8);
            if met.insert(address) {
                drawn.push(address);
            }
        }
        drawn
    };
    // Of ten clients one is a feed reader, as in a rehearsal.
    sources.browsers = draw(clients - clients / 10);
    sources.feeds = draw(clients / 10);
    sources
}

/// Between the parts of a page.
const STEP: Duration = Duration::from_millis(40);
/// Before the flood of the demo.
const SHORTEST_QUIET: Duration = Duration::from_secs(10);
/// What pages are kept for in a rehearsal.
const TTL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_come_in_a_quarter_of_an_hour_and_most_is_held() {
        let requests = ordinary_requests(1, 3_000, Duration::from_secs(900));
        let sources: HashSet<_> = requests.iter().map(|request| request.source).collect();
        assert!(sources.len() > 2_900, "{}", sources.len());
        assert!(requests.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let held = requests.iter().filter(|request| request.work.is_none()).count();
        let share = held as f64 / requests.len() as f64;
        assert!((0.5..0.98).contains(&share), "{share}");
        let opened = requests.iter().filter(|request| request.opens).count();
        assert!((10..100).contains(&(opened / 900)), "{opened} connections");
        assert!(requests.iter().all(|request| request.source.is_loopback()));
    }

    #[test]
    fn they_look_as_readers_of_a_rehearsal_do() {
        let requests = ordinary_requests(1, 500, Duration::from_secs(60));
        let (site, sources) = (Site::new(1), Sources::new(1));
        let quiet = Duration::from_secs(10);
        let heads: HashSet<_> = reader_schedule(1, &site, &sources, Duration::from_secs(60))
            .iter()
            .chain(&warm_up_schedule(&site, &sources, quiet))
            .map(|visit| fields(&request(visit, &visit.page, None)))
            .collect();
        let met: HashSet<_> = requests.iter().map(|request| fields(&request.head)).collect();
        assert!(heads.is_subset(&met), "{heads:?}");
    }

    fn fields(head: &str) -> String {
        head.split_once("\r\n").map_or_else(String::new, |(_, fields)| fields.to_owned())
    }
}
