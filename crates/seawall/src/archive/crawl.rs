//! `seawall archive crawl`: follows a crawl to its end.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use seawall_edge::Server;
use seawall_model::WallTime;
use serde_json::{Value, json};

use super::list;
use super::place::{self, Place};
use crate::admin::ask;
use crate::cli::TargetArgs;
use crate::config;
use crate::config::machine::Machine;
use crate::figures::time_span;
use crate::output::{Failure, say, with_causes};
use crate::target::{self, config_file};
use crate::{Done, output, times};

/// Crawls with the program that runs, or with one that takes no readers and lives as long as the crawl.
///
/// # Errors
/// A failure if the origin is away.
pub(super) fn run(
    config: Option<&Path>,
    args: &TargetArgs,
    site: Option<&str>,
    json: bool,
) -> Done {
    match Place::find(config, args)? {
        Place::Running { socket } => follow(&socket, site, json),
        Place::Stopped { state } => {
            let server = start(config, &state, Crawling::On)?;
            let done = follow(&state.join(config::ADMIN_SOCKET), site, json);
            server.stop();
            done
        }
    }
}

/// Whether the origins are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crawling {
    On,
    Off,
}

/// The shield without listeners: what is left of it is the crawl, or somebody who may be asked.
///
/// # Errors
/// A failure if there is no configuration, or it cannot be opened.
pub(super) fn start(
    file: Option<&Path>,
    state: &Path,
    crawling: Crawling,
) -> Result<Server, Failure> {
    let file = config_file(file).ok_or_else(|| {
        Failure::failed(
            "Seawall is not running, and without a configuration nobody knows where the site is",
            "start `seawall serve`, or name the configuration with `--config FILE`",
        )
    })?;
    let (mut config, _) = config::load(&file, &Machine::survey()).map_err(|findings| {
        say(&findings.render_errors());
        Failure::Said
    })?;
    target::check_owner(state, "archive")?;
    config.listen.clear();
    config.tls.clear();
    config.workers = 1;
    config.is_crawling = crawling == Crawling::On;
    config.admin_address = None;
    config.admin_socket = Some(state.join(config::ADMIN_SOCKET));
    config.state_dir = state.to_owned();
    Server::start(config).map_err(|error| {
        Failure::failed(with_causes(&error), "run the command as the user Seawall runs as")
    })
}

/// What all sites' crawls have done, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    known: u64,
    held: u64,
    fetched: u64,
    stored: u64,
    unchanged: u64,
    failed: u64,
    due: u64,
    /// Sites whose origin is taken to be away.
    away: u64,
}

impl Sum {
    fn of(sites: &[Value]) -> Self {
        let mut sum = Self::default();
        for site in sites {
            let of = |value: &Value| value.as_u64().unwrap_or(0);
            sum.known += of(&site["pages_known"]);
            sum.held += of(&site["pages_held"]);
            sum.fetched += of(&site["crawl"]["fetched"]);
            sum.stored += of(&site["crawl"]["stored"]);
            sum.unchanged += of(&site["crawl"]["unchanged"]);
            sum.failed += of(&site["crawl"]["failed"]);
            sum.due += of(&site["crawl"]["due"]);
            sum.away += u64::from(site["breaker"] == "open");
        }
        sum
    }

    /// Since an earlier look; what is no counter stays.
    fn since(self, earlier: Self) -> Self {
        Self {
            fetched: self.fetched.saturating_sub(earlier.fetched),
            stored: self.stored.saturating_sub(earlier.stored),
            unchanged: self.unchanged.saturating_sub(earlier.unchanged),
            failed: self.failed.saturating_sub(earlier.failed),
            ..self
        }
    }
}

/// How a crawl stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Goes,
    Done,
    /// The origin does not answer.
    Away,
}

/// Whether it goes on. `quiet`: for how long the origin has been taken to be away.
fn judge(done: Sum, since_start: Duration, quiet: Duration) -> Step {
    // A crawl that has just begun may not know yet where to begin.
    let has_begun = done.known > 0 && (done.fetched > 0 || since_start >= BEGIN);
    match done {
        _ if quiet >= AWAY => Step::Away,
        Sum { due: 0, fetched, stored: 0, unchanged: 0, .. } if has_begun && fetched > 0 => {
            Step::Away
        }
        Sum { due: 0, .. } if has_begun => Step::Done,
        _ if done.known == 0 && since_start >= BEGIN => Step::Away,
        _ => Step::Goes,
    }
}

/// For so long nothing may be fetched at the beginning.
const BEGIN: Duration = Duration::from_secs(5);
/// An origin that has been away for so long does not come back at once.
const AWAY: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(500);
/// Where nobody watches, a line is enough now and then.
const LINE: Duration = Duration::from_secs(10);

fn follow(socket: &Path, site: Option<&str>, json: bool) -> Done {
    let place = Place::Running { socket: socket.to_owned() };
    let sites = list::sites(&place, site)?;
    if sites.is_empty() {
        return Err(Failure::failed(
            "no site has an archive",
            "see `seawall explain site.archive`: a site needs a name in `hosts`, or an `url`",
        ));
    }
    let (before, begun) = (Sum::of(&sites), times::now());
    ask(socket, "POST", &format!("/archive?crawl=1{}", place::parameter(site)))?;
    let mut screen = Screen::new();
    let mut here_since = begun;
    loop {
        let asked = times::now();
        let sites = list::sites(&place, site)?;
        let now = times::now();
        let done = Sum::of(&sites).since(before);
        if done.away == 0 {
            here_since = now;
        }
        let took = now.saturating_since(begun);
        screen.show(done, took, now);
        match judge(done, took, now.saturating_since(here_since)) {
            Step::Goes => times::pause(LOOK.max(now.saturating_since(asked) * 10)),
            step => {
                screen.end();
                return told(done, step, took, &sites, json);
            }
        }
    }
}

fn told(done: Sum, step: Step, took: Duration, sites: &[Value], json: bool) -> Done {
    let Sum { known, held, fetched, stored, unchanged, failed, due, .. } = done;
    let seconds = took.as_secs();
    if json {
        output::json(&json!({
            "fetched": fetched, "stored": stored, "unchanged": unchanged, "failed": failed, "due": due,
            "pages_known": known, "pages_held": held, "seconds": seconds, "origin_away": step == Step::Away,
        }))?;
    } else {
        output::data(&format!(
            "{fetched} fetched in {}: {stored} new or changed, {unchanged} unchanged, {failed} not kept; \
             {held} of {known} known URLs are held",
            time_span(seconds)
        ))?;
    }
    if step == Step::Done {
        return Ok(());
    }
    let reason = sites.iter().find_map(|site| {
        let first = site["failures"].as_array()?.first()?;
        Some(format!(": {} ({})", first["url"].as_str()?, first["reason"].as_str()?))
    });
    Err(Failure::failed(
        format!(
            "the origin does not answer; {due} URLs are still to be fetched{}",
            reason.unwrap_or_default()
        ),
        "when it does, the running program goes on by itself, and this command follows it again",
    ))
}

/// Progress, where it is seen.
pub(super) struct Screen {
    is_terminal: bool,
    last: Option<WallTime>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), last: None }
    }

    fn show(&mut self, done: Sum, took: Duration, now: WallTime) {
        self.put(&progress(done, took), now);
    }

    /// Shows a line if the last one has been there for long enough.
    pub(super) fn show_some(&mut self, line: impl FnOnce() -> String, now: WallTime) {
        let pause = if self.is_terminal { LOOK } else { LINE };
        let last = *self.last.get_or_insert(now);
        if now.saturating_since(last) >= pause {
            self.put(&line(), now);
            self.last = Some(now);
        }
    }

    fn put(&mut self, line: &str, now: WallTime) {
        if self.is_terminal {
            let mut stderr = std::io::stderr().lock();
            // Of no harm if nobody sees it. The blanks cover a longer line before.
            let _ = write!(stderr, "\r{line:<79}").and_then(|()| stderr.flush());
        } else if self.last.is_none_or(|last| now.saturating_since(last) >= LINE) {
            self.last = Some(now);
            say(line);
        }
    }

    pub(super) fn end(&self) {
        if self.is_terminal {
            say("");
        }
    }
}

fn progress(done: Sum, took: Duration) -> String {
    let rate = done.fetched as f64 / took.as_secs_f64().max(1.0);
    let left = match done.due {
        _ if done.away > 0 => "the origin does not answer".to_owned(),
        0 => "done".to_owned(),
        due if rate > 0.0 => format!("about {} left", time_span((due as f64 / rate) as u64)),
        _ => "waiting for the site".to_owned(),
    };
    format!("{} fetched, {} due, {rate:.1}/s, {left}", done.fetched, done.due)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(done: Sum, seconds: u64, quiet: u64, want: Step) {
        let secs = Duration::from_secs;
        assert_eq!(judge(done, secs(seconds), secs(quiet)), want, "{done:?}");
    }

    #[test]
    fn a_crawl_ends_when_nothing_is_due_and_not_before_it_began() {
        let sum = Sum { known: 9, held: 9, fetched: 5, stored: 1, unchanged: 4, ..Sum::default() };
        check(Sum::default(), 1, 0, Step::Goes);
        check(Sum { known: 9, ..Sum::default() }, 1, 0, Step::Goes);
        check(Sum { due: 3, ..sum }, 900, 0, Step::Goes);
        check(sum, 3, 0, Step::Done);
        // All of it was fetched just before, and the origin is well.
        check(Sum { known: 9, ..Sum::default() }, 5, 0, Step::Done);
    }

    #[test]
    fn an_origin_that_answers_nothing_is_away() {
        let sum = Sum { known: 9, fetched: 5, failed: 5, ..Sum::default() };
        check(sum, 3, 0, Step::Away);
        check(Sum { due: 4, ..sum }, 3, 9, Step::Goes);
        check(Sum { due: 4, away: 1, ..sum }, 30, 10, Step::Away);
    }

    #[test]
    fn progress_says_how_long_it_will_take() {
        let sum = Sum { fetched: 100, due: 50, ..Sum::default() };
        assert_eq!(
            progress(sum, Duration::from_secs(10)),
            "100 fetched, 50 due, 10.0/s, about 5s left"
        );
        assert!(
            progress(Sum { away: 1, ..sum }, Duration::from_secs(1)).ends_with("does not answer")
        );
    }
}
