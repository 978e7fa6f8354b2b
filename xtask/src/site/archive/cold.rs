//! Installed in the middle of an attack: an empty archive, and a flood that was there before.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::free_port;
use crate::table::{Bar, Line};

use super::super::stack::{Front, POSTS};
use super::Place;
use super::flood::{Flood, Kind, Size};

/// The bars.
const FRONT_BAR_S: f64 = 10.0;
const NEWEST_BAR_S: f64 = 300.0;
const NEWEST: usize = 50;

const CONNECTIONS: u32 = 500;
const SOURCES: u32 = 3_000;
const RATE: u32 = 5_000;
/// How long a flood lasts before there is anything in front of the site.
const BEFORE: Duration = Duration::from_secs(2);

/// Starts Seawall in the flood and waits for what must be copied.
///
/// # Errors
/// When something does not start.
pub(super) fn run(place: &mut Place<'_>, kind: Kind) -> Outcome<Vec<Line>> {
    place.stack.stop_seawall();
    let folder = place.stack.folder().to_path_buf();
    let state = "state-cold";
    let _ = fs::remove_dir_all(folder.join(state));
    let port = free_port()?;
    let seconds = NEWEST_BAR_S as u64 + 60;
    let size = Size { connections: CONNECTIONS, sources: SOURCES, rate: RATE, seconds };
    let flood = Flood::start(&folder, port, kind, size)?;
    thread::sleep(BEFORE);
    let began = Instant::now();
    let front = Front { program: place.program, state, origin: None, plain: Some(port) };
    place.stack.start_seawall(place.root, &front, place.cage)?;
    let mut missing: Vec<String> = vec!["/".to_owned()];
    missing.extend((POSTS - NEWEST + 1..=POSTS).map(|number| format!("/story-{number}/")));
    let (mut front_s, mut newest_s) = (f64::NAN, f64::NAN);
    while began.elapsed().as_secs_f64() < NEWEST_BAR_S + 10.0 {
        let now = began.elapsed().as_secs_f64();
        missing.retain(|path| !is_held(place, path));
        if front_s.is_nan() && missing.first().is_none_or(|path| path != "/") {
            front_s = now;
        }
        if missing.is_empty() {
            newest_s = now;
            break;
        }
        thread::sleep(Duration::from_millis(500));
    }
    let status = place.stack.admin("/archive").unwrap_or_default();
    let held = status[0]["pages_held"].as_u64().unwrap_or(0);
    let said = flood.end()?;
    Ok(vec![
        Line::new("front page archived", front_s, "s", Bar::AtMost(FRONT_BAR_S)).note(said),
        Line::new("50 newest posts archived", newest_s, "s", Bar::AtMost(NEWEST_BAR_S))
            .note(format!("{} of them missing, {held} URLs held", missing.len())),
    ])
}

/// Whether Seawall has a copy. One that is too busy to say is asked again.
fn is_held(place: &Place<'_>, path: &str) -> bool {
    let target = format!("/archive?url=http%3A%2F%2Fexample.test{}", path.replace('/', "%2F"));
    let said = place.stack.admin(&target).unwrap_or_default();
    said[0]["versions"].as_array().is_some_and(|versions| !versions.is_empty())
}
