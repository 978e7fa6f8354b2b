//! The child processes: their jobs, their standard input and output, and their end.
//!
//! A child reads one line with its job, reports [`Report::Ready`], waits for `go`, and reports until
//! done. It ends by itself when its standard input ends (the parent is gone, however it went), when
//! nobody reads its output, and after [`caps::MAX_RUN`] in any case. Keys travel on standard input
//! alone: they are in no argument list and in no environment.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};

use crate::addr::{InvalidRunKey, LoopbackAddr, RunKey, VerifyError, draw_random};
use crate::budget::Budget;
use crate::files::raise_open_files;
use crate::flood::{BENCH_BOTS, BENCH_PREFIXES, Busting, Flooding, Strength, popular_pages};
use crate::guests::places;
use crate::measure::{Kind, Report};
use crate::readers::{REPORT_EVERY, Reading};
use crate::scenario::Scenario;
use crate::schedule::{
    Visit, browsing_schedule, origin_dead_schedule, reader_schedule, warm_up_schedule,
};
use crate::site::{Model, Origin, Site};
use crate::sources::Sources;
use crate::{caps, flood, readers};

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The sample site's origin.
    Site,
    /// The readers.
    Readers,
    /// The flood.
    Flood,
}

impl Role {
    /// The word for it on a command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Readers => "readers",
            Self::Flood => "flood",
        }
    }
}

/// The first line that a child reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// [`RunKey::reveal`].
    pub key: String,
    /// The seed of the run.
    pub seed: u64,
    /// Where to send: for readers and flood.
    #[serde(default)]
    pub target: Option<SocketAddr>,
    /// Milliseconds of readers alone.
    #[serde(default)]
    pub quiet_ms: u64,
    /// Milliseconds of readers and flood, after that.
    #[serde(default)]
    pub flood_ms: u64,
    /// What is played.
    #[serde(default)]
    pub play: Play,
    /// The certificate, in PEM, of a target that speaks TLS: for readers.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// `Cookie` field values of readers who have been here before.
    #[serde(default)]
    pub credentials: Vec<String>,
}

/// Who reads what, and what the flood asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Play {
    /// The demo: readers of everything, and a flood of three kinds.
    #[default]
    Demo,
    /// Readers who browse, and a flood of pages that no cache may keep.
    Live,
    /// Readers who browse, and 500 who send in letters at 600 bytes a second.
    Uploads,
    /// The demo's readers with the origin dead, who also want what nobody has read; no flood. They are
    /// ready while it is still there to say whose run this is, and come when they are told to go.
    OriginDead,
    /// The demo's readers, the same in the quiet and under the flood, and random queries and paths.
    Busting,
    /// The demo's readers, and one of the floods that detection is measured with.
    Detection(Scenario),
}

/// Lines a parent writes after the job.
pub mod word {
    /// Start the clock (readers, flood).
    pub const GO: &str = "go";
    /// Begin to count again (site).
    pub const MARK: &str = "mark";
}

/// Why a child could not do its job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The first line of standard input is no job. It is meant to be started by the demo.
    #[error("no job on standard input; this command is started by `seawall demo`")]
    NoJob(#[source] io::Error),
    /// The key is none.
    #[error(transparent)]
    Key(#[from] InvalidRunKey),
    /// The target did not prove that it belongs to this run.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The system refused something.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// Does the job that stands on `input`, reporting on `output`, until done or told to end.
///
/// # Errors
/// See [`ChildError`]; it was also reported as [`Report::Failed`].
pub fn run(
    role: Role,
    mut input: impl BufRead + Send + 'static,
    mut output: impl Write,
) -> Result<(), ChildError> {
    let outcome = read_job(&mut input).and_then(|job| {
        let words = listen(input);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match timeout(caps::MAX_RUN, perform(role, &job, words, &mut output)).await {
                Ok(outcome) => outcome,
                Err(_) => Ok(()),
            }
        })
    });
    let last = match &outcome {
        Ok(()) => Report::Done,
        Err(error) => Report::Failed { why: error.to_string() },
    };
    say(&mut output, &last);
    outcome
}

fn read_job(input: &mut impl BufRead) -> Result<Job, ChildError> {
    let mut line = String::new();
    input.read_line(&mut line).map_err(ChildError::NoJob)?;
    serde_json::from_str(&line).map_err(|error| ChildError::NoJob(error.into()))
}

/// The parent's words. The channel closes when the parent is gone. A thread, since a runtime could
/// not end while it waits for standard input.
fn listen(input: impl BufRead + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (sender, words) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in input.lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    words
}

async fn perform(
    role: Role,
    job: &Job,
    words: mpsc::UnboundedReceiver<String>,
    output: &mut impl Write,
) -> Result<(), ChildError> {
    let key: RunKey = job.key.parse()?;
    match role {
        Role::Site => host(job, key, words, output).await,
        Role::Readers | Role::Flood => load(role, job, &key, words, output).await,
    }
}

async fn host(
    job: &Job,
    key: RunKey,
    mut words: mpsc::UnboundedReceiver<String>,
    output: &mut impl Write,
) -> Result<(), ChildError> {
    raise_open_files();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let origin = Origin::new(job.seed, key, Model::default());
    say(output, &Report::Ready { address: Some(address) });
    let mut tick = interval(REPORT_EVERY);
    let serving = origin.serve(listener);
    tokio::pin!(serving);
    loop {
        tokio::select! {
            ended = &mut serving => return Ok(ended?),
            _ = tick.tick() => {
                if !say(output, &Report::Site(origin.figures())) {
                    return Ok(());
                }
            }
            heard = words.recv() => match heard.as_deref() {
                None => return Ok(()),
                Some(word::MARK) => origin.mark(),
                Some(_) => {}
            },
        }
    }
}

async fn load(
    role: Role,
    job: &Job,
    key: &RunKey,
    mut words: mpsc::UnboundedReceiver<String>,
    output: &mut impl Write,
) -> Result<(), ChildError> {
    let connections = raise_open_files();
    let target = job.target.ok_or_else(|| {
        ChildError::NoJob(io::Error::new(io::ErrorKind::InvalidInput, "a job without a target"))
    })?;
    let tls = job.certificate.as_deref().map(trust).transpose()?;
    let target = verify(target, key, tls.as_ref()).await?;
    let site = Site::new(job.seed);
    let sources = Sources::new(job.seed);
    let quiet = Duration::from_millis(job.quiet_ms);
    let mut end = quiet + Duration::from_millis(job.flood_ms);
    let mut visits = Vec::new();
    if role == Role::Readers {
        visits = visits_of(job, &site, &sources, quiet, end.min(caps::MAX_RUN));
    }
    let ends_with_visits = job.play == Play::OriginDead;
    if ends_with_visits {
        // They come until the end, and who comes last has time, too.
        end += Kind::Tor.budget();
    }
    let guests = (job.play == Play::Live)
        .then(|| (places(&sources.browsers), job.credentials.last().cloned()));
    say(output, &Report::Ready { address: None });
    if words.recv().await.as_deref() != Some(word::GO) {
        return Ok(());
    }
    let begin = Instant::now();
    let budget = Budget::new(begin, end + GRACE, connections);
    let playing = async {
        match role {
            Role::Flood => {
                let lasts = [begin + quiet, begin + end.min(caps::MAX_RUN)];
                let flooding = flooding_of(job, &site, sources, connections, lasts);
                flood::play(flooding, target, budget, |figures| {
                    say(output, &Report::Flood(figures))
                })
                .await;
            }
            Role::Readers | Role::Site => {
                let reading = Reading { visits, quiet, end, tls, guests, ends_with_visits };
                readers::play(reading, site, target, budget, |figures| {
                    say(output, &Report::Readers(Box::new(figures)))
                })
                .await;
            }
        }
    };
    tokio::select! {
        () = playing => {}
        () = gone(words) => {}
    }
    Ok(())
}

fn flooding_of(
    job: &Job,
    site: &Site,
    sources: Sources,
    connections: usize,
    [begin, end]: [Instant; 2],
) -> Flooding {
    Flooding {
        strength: Strength::of_bench(job.play).bounded(connections),
        scenario: match job.play {
            Play::Detection(scenario) => Some(scenario),
            _ => None,
        },
        bots: match job.play {
            Play::Demo | Play::Detection(_) => sources.bots,
            _ => sources.bots_in(BENCH_BOTS, BENCH_PREFIXES),
        },
        pages: match job.play {
            Play::Live => site.live_paths(),
            _ => popular_pages(site),
        },
        busting: match job.play {
            Play::Busting => Busting::QueryOrPath,
            _ => Busting::Query,
        },
        seed: job.seed,
        begin,
        end,
    }
}

fn visits_of(
    job: &Job,
    site: &Site,
    sources: &Sources,
    quiet: Duration,
    end: Duration,
) -> Vec<Visit> {
    let mut visits = match job.play {
        Play::Demo | Play::Detection(_) => reader_schedule(job.seed, site, sources, end),
        Play::OriginDead => origin_dead_schedule(job.seed, site, sources, end),
        Play::Live | Play::Uploads => {
            browsing_schedule(job.seed, site, sources, end, &job.credentials)
        }
        Play::Busting => {
            // The same before and in the flood, so that the origin has the same work in both.
            let flood = end.saturating_sub(quiet);
            let before = reader_schedule(job.seed, site, sources, flood);
            let again = before.iter().cloned();
            let again = again.map(|visit| Visit { at: visit.at + quiet, ..visit });
            let shift = quiet.saturating_sub(flood);
            let before = before.iter().cloned();
            before.map(|visit| Visit { at: visit.at + shift, ..visit }).chain(again).collect()
        }
    };
    visits.extend(warm_up_schedule(site, sources, quiet.min(WARM_UP)));
    visits.sort_by_key(|visit| visit.at);
    visits
}

/// Trusts one certificate, the shield's own.
fn trust(certificate: &Path) -> Result<Arc<ClientConfig>, ChildError> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

/// Asks until the target answers: a proxy in front may still be starting.
async fn verify(
    target: SocketAddr,
    key: &RunKey,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<LoopbackAddr, VerifyError> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        let challenge =
            draw_random().map_err(|source| VerifyError::Unreachable { addr: target, source })?;
        let verified = match tls {
            Some(tls) => LoopbackAddr::verify_tls(target, key, challenge, Arc::clone(tls)).await,
            None => LoopbackAddr::verify(target, key, challenge).await,
        };
        match verified {
            Err(error @ VerifyError::NotLoopback { .. }) => return Err(error),
            Err(_) if Instant::now() < deadline => tokio::time::sleep(REPORT_EVERY).await,
            outcome => return outcome,
        }
    }
}

async fn gone(mut words: mpsc::UnboundedReceiver<String>) {
    while words.recv().await.is_some() {}
}

/// Writes one report; whether anybody still reads.
fn say(output: &mut impl Write, report: &Report) -> bool {
    let Ok(mut line) = serde_json::to_string(report) else { return true };
    line.push('\n');
    output.write_all(line.as_bytes()).and_then(|()| output.flush()).is_ok()
}

/// How long the crawler takes, if there is the time.
const WARM_UP: Duration = Duration::from_secs(20);

/// What the budget lasts beyond the plan, for answers in flight.
const GRACE: Duration = Duration::from_secs(1);

/// How long a target may take to start answering.
const START_PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::io::{BufReader, Cursor, PipeReader, PipeWriter, Write as _};
    use std::thread;

    use super::{ChildError, Job, Play, Role, run};
    use crate::addr::{RunKey, VerifyError};
    use crate::measure::Report;

    fn job(target: Option<&str>) -> Job {
        Job {
            key: "a".repeat(32),
            seed: 1,
            target: target.map(|target| target.parse().expect("an address")),
            quiet_ms: 0,
            flood_ms: 10,
            play: Play::default(),
            certificate: None,
            credentials: Vec::new(),
        }
    }

    fn line(job: &Job) -> String {
        serde_json::to_string(job).expect("plain data") + "\n"
    }

    /// Starts a child as a thread; its standard input and output.
    fn start(
        role: Role,
        job: &Job,
    ) -> (PipeWriter, BufReader<PipeReader>, thread::JoinHandle<Result<(), ChildError>>) {
        let (input, mut to_child) = std::io::pipe().expect("pipes are to be had");
        let (from_child, output) = std::io::pipe().expect("pipes are to be had");
        let child = thread::spawn(move || run(role, BufReader::new(input), output));
        to_child.write_all(line(job).as_bytes()).expect("the child listens");
        (to_child, BufReader::new(from_child), child)
    }

    fn next(from_child: &mut BufReader<PipeReader>) -> Report {
        let mut line = String::new();
        from_child.read_line(&mut line).expect("the child speaks");
        serde_json::from_str(&line).expect("a report")
    }

    #[test]
    fn a_child_without_a_job_says_so() {
        for input in ["", "{}\n", "hello\n"] {
            let mut output = Vec::new();
            let outcome = run(Role::Flood, Cursor::new(input), &mut output);
            assert!(matches!(outcome, Err(ChildError::NoJob(_))), "{input}");
            assert!(String::from_utf8_lossy(&output).contains("\"report\":\"failed\""), "{input}");
        }
    }

    #[test]
    fn a_job_against_another_machine_is_refused() {
        for role in [Role::Readers, Role::Flood] {
            let input = Cursor::new(line(&job(Some("192.0.2.1:80"))));
            let outcome = run(role, input, &mut Vec::new());
            assert!(matches!(outcome, Err(ChildError::Verify(VerifyError::NotLoopback { .. }))));
        }
    }

    #[test]
    fn a_site_ends_when_its_parent_goes_away() {
        let (mut to_child, mut from_child, child) = start(Role::Site, &job(None));
        let Report::Ready { address: Some(address) } = next(&mut from_child) else {
            panic!("the site says where it listens");
        };
        assert!(address.ip().is_loopback());
        to_child.write_all(b"mark\n").expect("the child listens");
        while !matches!(next(&mut from_child), Report::Site(figures) if figures.epoch == 1) {}
        drop(to_child);
        assert!(child.join().expect("it does not panic").is_ok());
    }

    #[test]
    fn readers_and_flood_wait_for_the_word_and_end_with_their_parent() {
        let (_site_input, mut from_site, _site) = start(Role::Site, &job(None));
        let Report::Ready { address: Some(address) } = next(&mut from_site) else {
            panic!("the site says where it listens");
        };
        let _drain = thread::spawn(move || for _line in from_site.lines() {});
        for role in [Role::Readers, Role::Flood] {
            let mut long = job(Some(&address.to_string()));
            long.quiet_ms = 600_000;
            let (mut to_child, mut from_child, child) = start(role, &long);
            assert_eq!(next(&mut from_child), Report::Ready { address: None });
            to_child.write_all(b"go\n").expect("the child listens");
            assert!(matches!(next(&mut from_child), Report::Readers(_) | Report::Flood(_)));
            drop(to_child);
            let _drain = thread::spawn(move || for _line in from_child.lines() {});
            assert!(child.join().expect("it does not panic").is_ok(), "{role:?}");
        }
    }

    #[test]
    fn readers_that_are_told_a_foreign_key_load_nothing() {
        let (_site_input, mut from_site, _site) = start(Role::Site, &job(None));
        let Report::Ready { address: Some(address) } = next(&mut from_site) else {
            panic!("the site says where it listens");
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let foreign: RunKey = "b".repeat(32).parse().expect("32 hexadecimal digits");
        let outcome = runtime.block_on(crate::LoopbackAddr::verify(address, &foreign, [5; 16]));
        assert!(matches!(outcome, Err(VerifyError::NotOurs { .. })));
    }
}
