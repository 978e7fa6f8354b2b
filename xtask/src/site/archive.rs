//! The archive's bars on a real site: copied whole while an editor works on it, and read when it is away.
//!
//! Separate from the checks before and behind Seawall because here time passes: a crawl, six kinds of trouble,
//! and two starts in the middle of an attack, some ten minutes in all. What the crawl must have found is
//! found by a walk of the site itself ([`walk`]); what must not be in it is planted ([`editor`]).
//!
//! Read next: [`trouble`], [`cold`].

mod cold;
mod editor;
mod examine;
mod flood;
mod moment;
mod noted;
mod proxy;
mod secrets;
mod trouble;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::table::{Bar, Line, Table};

use self::editor::Editor;
use self::flood::Kind;
use self::proxy::Proxy;
use self::secrets::Secrets;
use self::trouble::{Scene, some};
use super::client::Visitor;
use super::memory::Cage;
use super::readers::Readers;
use super::stack::{Front, Stack};

/// Where it is tried.
pub(super) struct Place<'a> {
    pub(super) root: &'a Path,
    pub(super) program: &'a Path,
    pub(super) cage: &'a Cage,
    pub(super) stack: &'a mut Stack,
    /// Stands in all that must not be found.
    pub(super) token: &'a str,
}

/// What can be tried by itself. The last is tried only when it is named.
pub(super) const NAMES: [&str; 10] =
    ["crawl", "killed", "stopped", "503", "slow", "reset", "flooded", "cold-a1", "cold-a2", NOTED];
pub(super) const NOTED: &str = "noted";

/// A crawl that takes longer is broken off.
const CRAWL_LIMIT: Duration = Duration::from_secs(900);
/// Between two rounds of the editor's work.
const PAUSE: Duration = Duration::from_secs(3);

/// Tries what `wants` names, and prints each as soon as it is known.
///
/// # Errors
/// When something does not start. A missed bar is none.
pub(super) fn run(
    place: &mut Place<'_>,
    wants: &dyn Fn(&str) -> bool,
    table: &mut Table,
) -> Outcome {
    let mut note = |name: &str, lines: Vec<Line>| {
        let mut row = Table::default();
        row.extend(name, lines.clone());
        eprint!("{row}");
        table.extend(name, lines);
    };
    for (name, kind) in [("cold-a1", Kind::Page), ("cold-a2", Kind::Busting)] {
        if wants(name) {
            eprintln!("{name}: Seawall is started with an empty archive in a flood");
            note(name, cold::run(place, kind)?);
        }
    }
    if NAMES.iter().any(|name| !name.starts_with("cold") && wants(name)) {
        let (mut scene, lines) = crawl(place)?;
        note("crawl", lines);
        for (name, trouble) in trouble::ALL {
            if wants(name) {
                eprintln!("{name}: {} URLs are read", scene.walk.found.len());
                note(name, trouble::run(place, &mut scene, trouble)?);
            }
        }
        if wants(NOTED) {
            note(NOTED, noted::run(place, &mut scene)?);
        }
        // What was fetched last is packed.
        place.stack.stop_seawall();
        note("secrets", search(place, &scene.secrets)?);
    }
    Ok(())
}

/// Has the site copied while an editor works, and walks it.
fn crawl(place: &mut Place<'_>) -> Outcome<(Scene, Vec<Line>)> {
    let proxy = Proxy::start(place.stack.origin())?;
    let origin = Some(proxy.address);
    let front = Front { program: place.program, state: "state-archive", origin, plain: None };
    eprintln!("crawl: the site is copied while an editor works on it, which takes minutes");
    let began = Instant::now();
    let port = place.stack.start_seawall(place.root, &front, place.cage)?;
    let folder = place.stack.folder();
    let mut secrets = Secrets::new(folder);
    let visitor = Visitor::with_cookies(port, "127.11.1.1", folder);
    let mut editor = Editor::enter(visitor, place.token, &mut secrets)?;
    let done = AtomicBool::new(false);
    let stack: &Stack = place.stack;
    let (crawled, rounds) = thread::scope(|scope| {
        let work = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                editor.work(&mut secrets)?;
                rounds += 1;
                thread::sleep(PAUSE);
            }
            Ok(rounds)
        });
        let crawled = wait_for_crawl(stack, began);
        done.store(true, Ordering::Relaxed);
        let rounds = work.join().unwrap_or_else(|_| Err("the editor panicked".to_owned()));
        (crawled, rounds)
    });
    let (seconds, rounds): (f64, u32) = (crawled?, rounds?);
    eprintln!("crawl: it is done after {seconds:.0} s; now the site is walked");
    let at = place.stack.origin();
    let walked = Instant::now();
    let readers = Readers { site: "http://example.test", at, at_once: 4, folder };
    let walk = walk::walk(&readers)?;
    let walked = walked.elapsed().as_secs_f64();
    let status = stack.admin("/archive")?;
    let held = status[0]["pages_held"].as_f64().unwrap_or(f64::NAN);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for failure in status[0]["failures"].as_array().into_iter().flatten() {
        *reasons.entry(failure["reason"].to_string()).or_default() += 1;
    }
    let pages = walk.found.values().filter(|found| found.is_page()).count();
    let lines = vec![
        Line::new("until nothing is due any more", seconds, "s", Bar::None)
            .note(format!("{held} URLs held; not held: {reasons:?}")),
        Line::new("URLs that a walk of the site finds", walk.found.len() as f64, "", Bar::None)
            .note(format!("in {walked:.0} s; {pages} of them pages; dead: {:?}", walk.dead)),
        Line::new("rounds of an editor's work meanwhile", f64::from(rounds), "", Bar::AtLeast(3.0))
            .note(format!("{} secrets", secrets.len())),
        missing(stack, &walk),
    ];
    Ok((Scene { proxy, port, walk, editor, secrets }, lines))
}

/// What the walk found and the archive does not have.
fn missing(stack: &Stack, walk: &walk::Walk) -> Line {
    let encode =
        |path: &str| -> String {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            path.bytes()
                .map(|byte| {
                    if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
                })
                .collect()
        };
    let is_missing = |path: &&String| {
        let url = encode(&format!("http://example.test{path}"));
        let said = stack.admin(&format!("/archive?url={url}")).unwrap_or_default();
        said[0]["versions"].as_array().is_none_or(Vec::is_empty)
    };
    let missing: Vec<String> = walk.found.keys().filter(is_missing).cloned().collect();
    let share = 100.0 * (walk.found.len() - missing.len()) as f64 / walk.found.len() as f64;
    Line::new("of them in the archive", share, "%", Bar::AtLeast(100.0)).note(some(&missing))
}

/// Waits until nothing is due; how many seconds that took.
fn wait_for_crawl(stack: &Stack, began: Instant) -> Outcome<f64> {
    let mut quiet = 0;
    while began.elapsed() < CRAWL_LIMIT {
        thread::sleep(Duration::from_secs(1));
        let status = stack.admin("/archive")?;
        let crawl = &status[0]["crawl"];
        let is_done = crawl["due"] == 0 && crawl["fetched"].as_u64().is_some_and(|it| it > 100);
        quiet = if is_done { quiet + 1 } else { 0 };
        if quiet == 3 {
            return Ok(began.elapsed().as_secs_f64());
        }
    }
    Err(format!("the crawl was not done after {CRAWL_LIMIT:?}"))
}

/// Looks for what was planted in all that Seawall has written.
fn search(place: &Place<'_>, secrets: &Secrets) -> Outcome<Vec<Line>> {
    let (found, files) = secrets.below(&place.stack.folder().join("state-archive"))?;
    let line = Line::new("secrets in the state folder", found.len() as f64, "", Bar::AtMost(0.0));
    Ok(vec![line.note(format!("of {} in {files} files; {}", secrets.len(), some(&found)))])
}
