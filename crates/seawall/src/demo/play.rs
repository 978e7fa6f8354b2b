//! The course of the demo: who is started when, and who hears what.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use seawall_rehearse::child::{Job, Play, word};
use seawall_rehearse::{Report, RunKey};

use crate::demo::archive::{self, Archived};
use crate::demo::board::{Board, Stage, Which};
use crate::demo::child::{Child, Heard, Who};
use crate::demo::detection;
use crate::demo::error::DemoError;
use crate::demo::folder::Folder;
use crate::demo::plan::{Plan, Span};
use crate::demo::result::Outcome;
use crate::demo::show::Show;

/// Plays the whole demo.
///
/// # Errors
/// Whatever keeps it from its end. All children are gone then, too.
pub(crate) fn play(
    plan: &Plan,
    folder: &Folder,
    show: &mut Show,
    stop: &AtomicBool,
) -> Result<Outcome, DemoError> {
    let key = RunKey::draw().map_err(DemoError::system("draw a random key"))?;
    let (ears, heard) = channel();
    let mut stage = Director {
        plan,
        folder,
        show,
        stop,
        key,
        ears,
        heard,
        board: Board::new(plan.seed, plan.whole()),
        begun: None,
    };
    stage.run()?;
    Ok(Outcome::new(stage.board))
}

struct Director<'a> {
    plan: &'a Plan,
    folder: &'a Folder,
    show: &'a mut Show,
    stop: &'a AtomicBool,
    key: RunKey,
    ears: Sender<Heard>,
    heard: Receiver<Heard>,
    board: Board,
    /// When the side that is on began, and how much of the plan was done by then.
    begun: Option<(Instant, Duration)>,
}

impl Director<'_> {
    fn run(&mut self) -> Result<(), DemoError> {
        self.show.draw(&self.board);
        let mut site = Child::rehearse(Who::Site, &self.job(None, None), self.folder, &self.ears)?;
        let origin = self.wait_for_site()?;
        self.play_side(Which::Without, self.plan.without, origin, &mut site)?;
        self.let_it_rest()?;
        self.board.which = Which::With;
        self.board.stage = Stage::Starting;
        let listen = free_port()?;
        let config = self.folder.write_config(listen, origin)?;
        self.folder.write_baseline(self.plan.seed)?;
        let shield = Child::shield(&config, self.folder, &self.ears)?;
        self.board.url = Some(format!("http://{listen}/"));
        self.play_side(Which::With, self.plan.with, listen, &mut site)?;
        self.play_origin_dead(listen, site)?;
        self.board.url = None;
        self.end(shield)?;
        self.board.stage = Stage::Done;
        self.show.draw(&self.board);
        Ok(())
    }

    /// Lets Seawall end as a service manager does, so that it closes the record of the incident. One that takes too long
    /// is killed: its record is what was sealed until then.
    fn end(&mut self, shield: Child) -> Result<(), DemoError> {
        shield.ask_to_end()?;
        let start = now();
        while start.elapsed() < END_PATIENCE {
            if let Some(Heard { who: Who::Shield, report: None }) = self.next(TICK)? {
                break;
            }
        }
        Ok(())
    }

    /// Readers alone, then readers and flood, at `target`.
    fn play_side(
        &mut self,
        which: Which,
        span: Span,
        target: SocketAddr,
        site: &mut Child,
    ) -> Result<(), DemoError> {
        self.board.which = which;
        self.board.stage = Stage::Starting;
        let job = self.job(Some(target), Some(span));
        let mut readers = Child::rehearse(Who::Readers, &job, self.folder, &self.ears)?;
        let mut flood = Child::rehearse(Who::Flood, &job, self.folder, &self.ears)?;
        self.wait_for(&[Who::Readers, Who::Flood])?;
        if let Some(url) = self.board.url.clone() {
            self.show.offer(&url);
        }
        let epoch = self.board.side().site.epoch;
        site.tell(word::MARK);
        readers.tell(word::GO);
        flood.tell(word::GO);
        self.begin(which, Stage::Quiet);
        let start = now();
        let mut marked = false;
        let mut done = (false, false);
        let mut seconds = 0;
        let watched = (which == Which::With).then(|| detection::ask(self.folder.admin_socket()));
        while done != (true, true) {
            let elapsed = start.elapsed();
            for (at, status) in watched.iter().flat_map(Receiver::try_iter) {
                self.watch(at.saturating_duration_since(start + span.quiet), &status);
            }
            if elapsed >= span.quiet && !marked {
                marked = true;
                site.tell(word::MARK);
                self.board.stage = Stage::Flood;
            }
            if elapsed > span.whole() + LATE {
                let who = if done.0 { Who::Flood } else { Who::Readers };
                return Err(DemoError::Child { who: who.name(), why: "it did not end".to_owned() });
            }
            if let Some(Heard { who, report }) = self.next(TICK)? {
                match (who, report) {
                    (Who::Readers, Some(Report::Done)) => done.0 = true,
                    (Who::Flood, Some(Report::Done)) => done.1 = true,
                    (Who::Shield | Who::Site, None) => return Err(self.ended(who)),
                    (Who::Readers, None) if !done.0 => return Err(self.ended(who)),
                    (Who::Flood, None) if !done.1 => return Err(self.ended(who)),
                    (_, Some(report)) => self.note(who, report, epoch)?,
                    (_, None) => {}
                }
            }
            let whole_seconds = elapsed.as_secs();
            if whole_seconds > seconds {
                seconds = whole_seconds;
                self.close_second(elapsed, span);
            }
        }
        self.board.side_mut().flooded = span.flood;
        Ok(())
    }

    /// Readers alone at `target`, once what is behind it is dead.
    fn play_origin_dead(&mut self, target: SocketAddr, mut site: Child) -> Result<(), DemoError> {
        let lasts = self.plan.origin_dead;
        self.board.stage = Stage::Copying;
        self.show.draw(&self.board);
        self.board.archived = self.let_it_copy()?;
        let span = Span { quiet: Duration::ZERO, flood: lasts };
        let job = Job { play: Play::OriginDead, ..self.job(Some(target), Some(span)) };
        // Made sure of its target while there is still somebody who can prove whose it is.
        let mut readers = Child::rehearse(Who::Readers, &job, self.folder, &self.ears)?;
        self.wait_for(&[Who::Readers])?;
        site.kill()?;
        readers.tell(word::GO);
        self.board.which = Which::OriginDead;
        self.begin(Which::OriginDead, Stage::Dead);
        let start = now();
        let mut seconds = 0;
        loop {
            let elapsed = start.elapsed();
            if elapsed > lasts + LATE {
                let why = "it did not end".to_owned();
                return Err(DemoError::Child { who: Who::Readers.name(), why });
            }
            if let Some(Heard { who, report }) = self.next(TICK)? {
                match (who, report) {
                    (Who::Readers, Some(Report::Done)) => break,
                    (Who::Shield | Who::Readers, None) => return Err(self.ended(who)),
                    // Its last words came before its end.
                    (Who::Site, _) => {}
                    (_, Some(report)) => self.note(who, report, u64::MAX)?,
                    (_, None) => {}
                }
            }
            if elapsed.as_secs() > seconds && elapsed < lasts {
                seconds = elapsed.as_secs();
                self.close_second(elapsed, span);
            }
        }
        self.board.side_mut().flooded = lasts;
        Ok(())
    }

    /// Waits until the archive has all of the site, and no longer than its readers would.
    fn let_it_copy(&mut self) -> Result<Archived, DemoError> {
        let socket = self.folder.admin_socket();
        let unclear = |why| DemoError::Child { who: Who::Shield.name(), why };
        let start = now();
        let mut is_told = false;
        loop {
            let archived = archive::ask(&socket).map_err(unclear)?;
            if archived.is_whole() || start.elapsed() > COPY_PATIENCE {
                return Ok(archived);
            }
            if archived.has_given_up() && !is_told {
                is_told = true;
                archive::crawl(&socket).map_err(unclear)?;
            }
            let asked = now();
            while asked.elapsed() < ASK_EVERY {
                if let Some(Heard { who: who @ (Who::Shield | Who::Site), report: None }) =
                    self.next(TICK)?
                {
                    return Err(self.ended(who));
                }
            }
        }
    }

    fn begin(&mut self, which: Which, stage: Stage) {
        self.board.stage = stage;
        self.board.side_mut().begun = true;
        let before = match which {
            Which::Without => Duration::ZERO,
            Which::With => self.plan.without.whole(),
            Which::OriginDead => self.plan.without.whole() + self.plan.with.whole(),
        };
        self.begun = Some((now(), before));
        self.show.draw(&self.board);
    }

    /// Takes what Seawall says of itself so long after the flood began. What it said before is none of the flood's.
    fn watch(&mut self, since: Duration, status: &Value) {
        if since.is_zero() {
            return self.board.detected.before(status);
        }
        for news in self.board.detected.take(since.as_secs_f64(), status) {
            self.show.news(&news);
        }
    }

    fn close_second(&mut self, elapsed: Duration, span: Span) {
        self.board.side_mut().close_second();
        self.board.side_mut().flooded = elapsed.saturating_sub(span.quiet);
        self.show.second(&self.board);
    }

    /// Takes a report onto the board.
    fn note(&mut self, who: Who, report: Report, epoch_before: u64) -> Result<(), DemoError> {
        let side = self.board.side_mut();
        match report {
            Report::Readers(figures) => side.readers = *figures,
            Report::Flood(figures) => {
                side.peak_slow = side.peak_slow.max(figures.slow_connections);
                side.flood = figures;
            }
            // What was said before the mark belongs to the stretch before.
            Report::Site(figures) if figures.epoch > epoch_before => side.site = figures,
            Report::Failed { why } => return Err(DemoError::Child { who: who.name(), why }),
            Report::Site(_) | Report::Ready { .. } | Report::Done => {}
        }
        Ok(())
    }

    fn wait_for_site(&mut self) -> Result<SocketAddr, DemoError> {
        let start = now();
        while start.elapsed() < START_PATIENCE {
            match self.next(TICK)? {
                Some(Heard { report: Some(Report::Ready { address: Some(address) }), .. }) => {
                    return Ok(address);
                }
                Some(Heard { who, report: Some(Report::Failed { why }) }) => {
                    return Err(DemoError::Child { who: who.name(), why });
                }
                Some(Heard { who, report: None }) => return Err(self.ended(who)),
                _ => {}
            }
        }
        Err(DemoError::Slow { who: Who::Site.name(), seconds: START_PATIENCE.as_secs() })
    }

    /// Waits until these have made sure of their target.
    fn wait_for(&mut self, children: &[Who]) -> Result<(), DemoError> {
        let start = now();
        let mut missing = children.to_vec();
        while let Some(first) = missing.first() {
            if start.elapsed() > START_PATIENCE {
                let seconds = START_PATIENCE.as_secs();
                return Err(DemoError::Slow { who: first.name(), seconds });
            }
            match self.next(TICK)? {
                Some(Heard { who, report: Some(Report::Ready { .. }) }) => {
                    missing.retain(|child| *child != who);
                }
                Some(Heard { who, report: Some(Report::Failed { why }) }) => {
                    return Err(DemoError::Child { who: who.name(), why });
                }
                // The readers and the flood of the side before may still be heard to end.
                Some(Heard { who: who @ (Who::Shield | Who::Site), report: None }) => {
                    return Err(self.ended(who));
                }
                Some(Heard { who: Who::Site, report: Some(Report::Site(figures)) }) => {
                    // Only its stretch matters here.
                    self.board.side_mut().site.epoch = figures.epoch;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits until the origin has nothing left to do.
    fn let_it_rest(&mut self) -> Result<(), DemoError> {
        self.board.stage = Stage::Between;
        self.show.draw(&self.board);
        let start = now();
        while start.elapsed() < REST {
            if let Some(Heard { report: Some(Report::Site(figures)), .. }) = self.next(TICK)?
                && figures.in_flight == 0
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What was heard within `patience`, if anything.
    fn next(&mut self, patience: Duration) -> Result<Option<Heard>, DemoError> {
        if self.stop.load(Ordering::Relaxed) || self.show.is_stop_wanted() {
            return Err(DemoError::Stopped);
        }
        if let Some((start, before)) = self.begun {
            self.board.elapsed = (before + start.elapsed()).min(self.board.whole);
        }
        self.show.refresh(&self.board);
        match self.heard.recv_timeout(patience) {
            Ok(heard) => Ok(Some(heard)),
            // Disconnected cannot be: `self.ears` is alive.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
        }
    }

    fn ended(&self, who: Who) -> DemoError {
        DemoError::Child { who: who.name(), why: self.folder.last_words(&who.log_name()) }
    }

    fn job(&self, target: Option<SocketAddr>, span: Option<Span>) -> Job {
        let millis = |duration: Duration| duration.as_millis() as u64;
        Job {
            key: self.key.reveal(),
            seed: self.plan.seed,
            target,
            quiet_ms: span.map_or(0, |span| millis(span.quiet)),
            flood_ms: span.map_or(0, |span| millis(span.flood)),
            play: Play::Demo,
            certificate: None,
            credentials: Vec::new(),
        }
    }
}

/// A port that was free a moment ago. Should somebody take it before Seawall does, Seawall says so
/// and the demo ends: nobody loads a server that cannot prove whose it is.
fn free_port() -> Result<SocketAddr, DemoError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(DemoError::system("find a free port on loopback"))
}

#[expect(clippy::disallowed_methods, reason = "the demo is measured in wall seconds of its user")]
fn now() -> Instant {
    Instant::now()
}

/// How often the screen and the stop flag are looked at when nothing is heard.
const TICK: Duration = Duration::from_millis(50);
/// How long a child may take to be ready; verification has 10 s of its own.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long Seawall may take to end. Nobody is connected any more but a browser, and that is idle.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// How late readers and flood may be with their last word.
const LATE: Duration = Duration::from_secs(15);
/// A full queue of 132 pages is worked off in 1.3 s.
const REST: Duration = Duration::from_secs(4);
/// How long the archive may take for what it has not copied under the flood. All of the site takes 20 s
/// at its rate, and what the origin had no room for is tried again.
const COPY_PATIENCE: Duration = Duration::from_secs(45);
/// How often the archive is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);
