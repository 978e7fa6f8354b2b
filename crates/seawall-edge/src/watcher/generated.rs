//! A baseline of generated clients, for rehearsals: they need one, and have no week to learn it.
//!
//! What is ordinary is learned here as it is in production, by the same [`ControlLoop`] from observations
//! made by the same code, only in virtual time and of requests that nobody sent. The file says of
//! itself that it was generated, as long as it is used.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use seawall_control::{ControlLoop, ControllerConfig};
use seawall_decide::NetworkClass;
use seawall_detect::{DetectorConfig, OriginStress, ProbeCounts, Tick, Window};
use seawall_model::{
    Cause, ClientAddr, ConnectionSignal, Instant, Limits, Observation, Test, WallTime, Work,
};
use seawall_wire::http1::{Parse, RequestHead, parse_request};

use super::BaselineFile;
use crate::clock;
use crate::detection::{self, Detection};
use crate::http1::{ask, head_limits};
use crate::serve::bare_facts;

/// A request that somebody could have sent.
#[derive(Clone, Copy, Debug)]
pub struct GeneratedRequest<'a> {
    /// When, from the begin.
    pub at: Duration,
    /// From where.
    pub client: IpAddr,
    /// The whole head, as HTTP/1.1 without TLS.
    pub head: &'a [u8],
    /// Whether it is the first on its connection.
    pub opens: bool,
    /// How long the origin would have worked on it; `None` if the answer would have been in hand.
    pub work: Option<Duration>,
}

/// Learns who is ordinary from `requests`, which are in order and end now, and writes the file `baseline`
/// into the folder `state`. How many clients are known then.
///
/// # Errors
/// When the system gives no random numbers or does not take the file, a head is none, or there is a file
/// already.
pub fn write_generated_baseline<'a>(
    state: &Path,
    requests: impl Iterator<Item = GeneratedRequest<'a>> + Clone,
) -> io::Result<u32> {
    let file = BaselineFile::generate(state)?;
    let lasted = requests.clone().last().map_or(Duration::ZERO, |last| last.at);
    let ends = clock::wall();
    let mut learner = Learner::new(file.seed(), ends - lasted);
    for request in requests {
        learner.advance(request.at);
        learner.observe(&request)?;
    }
    file.write(&learner.control.baseline(ends))?;
    Ok(learner.known)
}

struct Learner {
    detection: Detection,
    control: ControlLoop,
    window: Window,
    began: WallTime,
    ticks: u32,
    known: u32,
}

impl Learner {
    fn new(seed: [u64; 2], began: WallTime) -> Self {
        let (detect, control) = (DetectorConfig::default(), ControllerConfig::default());
        Self {
            detection: Detection::new(seed),
            control: ControlLoop::new(detect, control, seed),
            window: Window::new(seed),
            began,
            ticks: 0,
            known: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(1) + Window::LENGTH * self.ticks
    }

    /// Ends every window before `at`.
    fn advance(&mut self, at: Duration) {
        while Window::LENGTH * (self.ticks + 1) <= at {
            self.ticks += 1;
            let tick = Tick {
                at: self.now(),
                wall: self.began + Window::LENGTH * self.ticks,
                window: &self.window,
                stress: OriginStress { is_known: true, ..OriginStress::default() },
                probes: ProbeCounts::default(),
            };
            self.known = self.control.tick(&tick).baseline_clients;
            while self.control.poll_action().is_some() {}
            self.window.clear();
        }
    }

    fn observe(&mut self, request: &GeneratedRequest<'_>) -> io::Result<()> {
        let mut head = RequestHead::new();
        let parsed = parse_request(request.head, &head_limits(&Limits::default()), &mut head);
        if !matches!(parsed, Ok(Parse::Complete)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a generated head is none"));
        }
        let view = head.view(request.head);
        let ask = ask(&view, &head);
        let client = ClientAddr::new(request.client);
        let facts = bare_facts(client, &ask);
        let attributer = self.detection.attributer();
        let cost = |work: Duration| u32::try_from(work.as_millis()).unwrap_or(u32::MAX);
        let work = request.work.map_or(Work::Held, |work| Work::Origin { cost_ms: cost(work) });
        if request.opens {
            self.window.signal(ConnectionSignal::Opened);
        }
        // What was sampled has words, and the file has none.
        let _sampled = self.window.observe(&Observation {
            at: self.now(),
            client,
            port: 0,
            is_tor: false,
            is_late: false,
            identity: detection::identity_hash(&self.detection, facts.identity),
            standing: facts.standing,
            attributes: attributer.of(&facts, ask.fields, NetworkClass::default()),
            kind: ask.wish().kind(),
            target: detection::target(&self.detection, &ask),
            referrer: detection::referrer(&self.detection, &ask),
            returned_cookie: ask.fields.has("cookie"),
            is_recognised: false,
            is_cacheable: request.work.is_none() || ask.query.is_none(),
            status: 200,
            cause: Cause::Default,
            work,
            met: None,
            test: Test::None,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client every fiftieth of a second, for `minutes`.
    fn requests(minutes: u32) -> Vec<(Duration, IpAddr, String)> {
        let one = |number: u32| {
            let [_, b, c, d] = (number % 4_000 * 997).to_be_bytes();
            let client = IpAddr::from([127, b.wrapping_add(16), c, d]);
            let head = "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: reader\r\n\r\n";
            (Duration::from_millis(20) * number, client, head.to_owned())
        };
        (0..minutes * 3_000).map(one).collect()
    }

    fn write(state: &Path, minutes: u32) -> io::Result<u32> {
        let all = requests(minutes);
        write_generated_baseline(
            state,
            all.iter().map(|(at, client, head)| GeneratedRequest {
                at: *at,
                client: *client,
                head: head.as_bytes(),
                opens: true,
                work: None,
            }),
        )
    }

    #[test]
    fn what_is_generated_is_what_production_reads_and_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let known = write(dir.path(), 4).expect("written");
        assert!(known >= 3_000, "{known}");
        let file = BaselineFile::open(dir.path()).expect("opened");
        assert!(file.is_generated());
        let kept = file.first().expect("it is whole");
        let (detect, control) = (DetectorConfig::default(), ControllerConfig::default());
        let restored = ControlLoop::restore(detect, control, file.seed(), kept, clock::wall());
        assert!(restored.is_ok(), "{:?}", restored.err());
        // And goes on saying so after it was written again.
        file.keep(kept);
        assert!(BaselineFile::open(dir.path()).expect("opened").is_generated());
    }

    #[test]
    fn what_was_learned_of_readers_is_never_written_over() {
        let dir = tempfile::tempdir().expect("a folder");
        BaselineFile::open(dir.path()).expect("opened").keep(b"ordinary");
        let refused = write(dir.path(), 1).expect_err("there is one already");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert!(!BaselineFile::open(dir.path()).expect("opened").is_generated());
    }
}
