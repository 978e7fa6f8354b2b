//! The site in trouble of each kind, and what readers and editors have of it.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::Outcome;
use crate::table::{Bar, Line};

use super::super::readers::Readers;
use super::Place;
use super::editor::Editor;
use super::examine::{Examined, Known, percentile};
use super::flood::{Flood, Kind, Size};
use super::proxy::{Proxy, Way};
use super::secrets::Secrets;
use super::walk::Walk;

/// Kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Killed,
    Stopped,
    Unavailable,
    Slow,
    Reset,
    Flooded,
}

pub(super) const ALL: [(&str, Trouble); 6] = [
    ("killed", Trouble::Killed),
    ("stopped", Trouble::Stopped),
    ("503", Trouble::Unavailable),
    ("slow", Trouble::Slow),
    ("reset", Trouble::Reset),
    ("flooded", Trouble::Flooded),
];

/// What stands between the troubles and has to hold over all of them.
pub(super) struct Scene {
    pub(super) proxy: Proxy,
    pub(super) port: u16,
    pub(super) walk: Walk,
    pub(super) editor: Editor,
    pub(super) secrets: Secrets,
}

/// A reader's patience (`site.archive.patience`, 2 s), and the answer behind it.
const FIRST_BAR_MS: f64 = 2_000.0 + 100.0;
/// The bar.
const P99_BAR_MS: f64 = 50.0;
/// How long readers may take to get back to the site.
const BACK_BAR_S: f64 = 60.0;
const SLOW: Duration = Duration::from_secs(9);
/// How many readers may come before Seawall knows what is the matter.
const MAX_FIRST: usize = 30;
const FLOOD: Size = Size { connections: 200, sources: 200, rate: 2_000, seconds: 240 };
/// Until a flood has filled all queues.
const FILLED: Duration = Duration::from_secs(5);

/// Begins the trouble, reads all there is, and ends it.
///
/// # Errors
/// When something does not start, or not again.
pub(super) fn run(
    place: &mut Place<'_>,
    scene: &mut Scene,
    trouble: Trouble,
) -> Outcome<Vec<Line>> {
    let began = now();
    let flood = begin(place, scene, trouble)?;
    let first = first(place, scene, trouble)?;
    let all: Vec<String> = scene.walk.found.keys().cloned().collect();
    let reading = now();
    let answers = readers(place, scene, 2).read(&all)?;
    let between = (reading, now());
    let crawled: HashMap<String, Vec<f64>> = place.stack.crawled();
    let is_flooded = trouble == Trouble::Flooded;
    let known = Known { walk: &scene.walk, crawled: &crawled, between, crawls: is_flooded };
    let mut examined = Examined::default();
    for (path, got) in all.iter().zip(&answers) {
        examined.add(path, got, &known);
    }
    let bodies = answers.iter().map(|got| got.answer.body.as_slice());
    let leaked = scene.secrets.within(bodies)?;
    let in_flood = match is_flooded {
        true => Some(dashboard(scene, Duration::from_secs(30))),
        false => None,
    };
    end(place, scene, trouble)?;
    let flood = flood.map(Flood::end).transpose()?;
    // Before any reader is let back.
    let editor = dashboard(scene, Duration::from_secs(30));
    let back_s = back(place, scene)?;
    let lasted = now() - began;
    let mut lines = first;
    lines.extend(told(&examined));
    lines.push(
        Line::new("secrets in what was served", leaked.len() as f64, "", Bar::AtMost(0.0))
            .note(format!("of {}: {}", scene.secrets.len(), some(&leaked))),
    );
    let bar = Bar::AtMost(30.0);
    lines.extend(in_flood.map(|s| Line::new("an editor's dashboard in the flood", s, "s", bar)));
    lines.push(
        Line::new("an editor's dashboard right after it", editor, "s", bar)
            .note(flood.unwrap_or_default()),
    );
    lines.push(
        Line::new("readers are back at the site", back_s, "s", Bar::AtMost(BACK_BAR_S))
            .note(format!("all of it took {lasted:.0} s")),
    );
    Ok(lines)
}

fn begin(place: &Place<'_>, scene: &mut Scene, trouble: Trouble) -> Outcome<Option<Flood>> {
    match trouble {
        Trouble::Killed => {
            place.stack.signal_origin("KILL")?;
            scene.proxy.set(Way::Away)?;
        }
        Trouble::Stopped => place.stack.signal_origin("STOP")?,
        Trouble::Unavailable => scene.proxy.set(Way::Unavailable)?,
        Trouble::Slow => scene.proxy.set(Way::Slow(SLOW))?,
        Trouble::Reset => scene.proxy.set(Way::Reset)?,
        Trouble::Flooded => {
            let flood = Flood::start(place.stack.folder(), scene.port, Kind::Search, FLOOD)?;
            thread::sleep(FILLED);
            return Ok(Some(flood));
        }
    }
    Ok(None)
}

fn end(place: &mut Place<'_>, scene: &mut Scene, trouble: Trouble) -> Outcome {
    match trouble {
        Trouble::Killed => place.stack.restart_origin(place.cage)?,
        Trouble::Stopped => place.stack.signal_origin("CONT")?,
        _ => {}
    }
    scene.proxy.set(Way::Through)
}

/// The first readers, one after the other, of pages that nobody read lately: until Seawall takes the site to
/// be away, or so many that it should have.
fn first(place: &Place<'_>, scene: &Scene, trouble: Trouble) -> Outcome<Vec<Line>> {
    let pages = scene.walk.found.iter().filter(|(_, found)| found.is_page());
    let pages: Vec<&String> = pages.map(|(path, _)| path).rev().collect();
    let (mut slowest, mut failed, mut read): (f64, Vec<String>, usize) = (0.0, Vec::new(), 0);
    let mut opened = false;
    for path in pages.into_iter().step_by(7).take(MAX_FIRST) {
        read += 1;
        let got = readers(place, scene, 1).read(std::slice::from_ref(path))?;
        for got in got {
            slowest = slowest.max(got.ms);
            if got.answer.status != 200 {
                failed.push(format!("{path}: {}", got.answer.status));
            }
        }
        opened = breaker(place) == "open";
        if opened {
            break;
        }
    }
    let mut lines = vec![
        Line::new("slowest of the first readers", slowest, "ms", Bar::AtMost(FIRST_BAR_MS))
            .note(format!("of {read}; breaker {}", breaker(place))),
        Line::new("first readers not served", failed.len() as f64, "", Bar::AtMost(0.0))
            .note(some(&failed)),
    ];
    // A site that is flooded answers, and is not taken to be away.
    if trouble != Trouble::Flooded {
        let opened = f64::from(u8::from(opened));
        lines.push(Line::new("the breaker opened", opened, "", Bar::AtLeast(1.0)));
    }
    Ok(lines)
}

fn told(examined: &Examined) -> Vec<Line> {
    let none = |what: &str, found: &[String]| {
        Line::new(what, found.len() as f64, "", Bar::AtMost(0.0)).note(some(found))
    };
    let Examined { from_archive, from_cache, from_origin, .. } = examined;
    let p99 = percentile(&examined.times, 99);
    let mut lines =
        vec![
        none("archived URLs not served", &examined.unserved),
        none("bytes that differ from the site's", &examined.altered),
        none("notes, ages, Memento-Datetime not true", &examined.untrue),
        Line::new("p99 of copies and held pages", p99, "ms", Bar::AtMost(P99_BAR_MS)).note(format!(
            "p50 {:.1} ms, slowest {:.0} ms; {from_archive} copies, {from_cache} held pages",
            percentile(&examined.times, 50),
            percentile(&examined.times, 100)
        )),
    ];
    if *from_origin > 0 {
        // There was room for these, and nobody with a copy waits longer than that for a newer page.
        let slowest = percentile(&examined.own_times, 100);
        let what = "slowest of the site's own pages";
        let (p50, p99) = (percentile(&examined.own_times, 50), percentile(&examined.own_times, 99));
        lines.push(
            Line::new(what, slowest, "ms", Bar::AtMost(FIRST_BAR_MS))
                .note(format!("of {from_origin}; p50 {p50:.0} ms, p99 {p99:.0} ms")),
        );
    }
    lines
}

/// Seconds until an editor sees the dashboard; not a number if that does not happen.
fn dashboard(scene: &Scene, limit: Duration) -> f64 {
    let began = Instant::now();
    while began.elapsed() < limit {
        if scene.editor.visitor.sees_dashboard().is_ok() {
            return began.elapsed().as_secs_f64();
        }
        thread::sleep(Duration::from_millis(200));
    }
    f64::NAN
}

/// Seconds until readers get the site's own pages again; they come a few a second.
fn back(place: &Place<'_>, scene: &Scene) -> Outcome<f64> {
    let began = Instant::now();
    let pages = scene.walk.found.iter().filter(|(_, found)| found.is_page());
    let pages: Vec<String> = pages.map(|(path, _)| path.clone()).collect();
    for some in pages.chunks(4).cycle() {
        let elapsed = began.elapsed().as_secs_f64();
        if elapsed > BACK_BAR_S {
            break;
        }
        let got = readers(place, scene, 1).read(some)?;
        let is_copy = |status: &str| status.contains("detail=archive");
        let copies = got.iter().filter(|got| got.answer.field("cache-status").is_some_and(is_copy));
        if copies.count() == 0 && breaker(place) == "closed" {
            return Ok(elapsed);
        }
        thread::sleep(Duration::from_millis(300));
    }
    Ok(f64::NAN)
}

fn breaker(place: &Place<'_>) -> String {
    let status = place.stack.admin("/archive").unwrap_or_default();
    status[0]["breaker"].as_str().unwrap_or("unknown").to_owned()
}

fn readers<'a>(place: &'a Place<'_>, scene: &Scene, at_once: usize) -> Readers<'a> {
    let at = ([127, 0, 0, 1], scene.port).into();
    Readers { site: "http://example.test", at, at_once, folder: place.stack.folder() }
}

/// The first of many problems.
pub(super) fn some(problems: &[String]) -> String {
    let mut text = problems.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
    if problems.len() > 3 {
        text.push_str("; ...");
    }
    text
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(f64::NAN, |now| now.as_secs_f64())
}
