//! Attacks of the simulator on the real program: when it notices, what it says, what it does, and what
//! that costs readers; beside the same with detection switched off.
//!
//! The state folder begins with a baseline of generated clients, marked as such, who look as the readers of
//! the rehearsal do. Times are read from `status` ten times a second and from the first second of the
//! flood on, so they are up to a tenth of a second too long. Sizes are those of the simulator as far
//! as one machine carries them (`seawall-rehearse`, `scenario`).

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Outcome;
use crate::process::random_hex;
use crate::table::{Bar, Line};

use super::super::server::generate_baseline;
use super::Scene;
use super::flood::{SITE, failures, number};
use super::instance::{Instance, Setup};
use super::rehearsal::{Actor, Job, Play};

/// One attack.
pub(super) struct Attack {
    /// Its name here and in the simulator.
    pub(super) name: &'static str,
    play: Play,
    /// When each pulse begins and whether there was one like it, in seconds; one for a flood without pause.
    pulses: &'static [(u64, bool)],
    /// Seconds of flood.
    seconds: u64,
    /// Whether the pages asked for are in hand, and no address asks for more of them than a reader may: then nobody is
    /// blocked, and nothing has to be.
    is_within_budgets: bool,
}

const STEADY: &[(u64, bool)] = &[(0, false)];

const fn steady(name: &'static str, play: Play) -> Attack {
    Attack { name, play, pulses: STEADY, seconds: 30, is_within_budgets: false }
}

pub(super) const A1: Attack = Attack { is_within_budgets: true, ..steady("a1", Play::OneUrl) };
pub(super) const A1_FEW: Attack = steady("a1-few", Play::OneUrlFew);
pub(super) const A2: Attack = steady("a2", Play::Query);
pub(super) const A4: Attack = steady("a4", Play::Search);
pub(super) const A9: Attack = steady("a9", Play::Rotating);
pub(super) const A12: Attack = Attack {
    name: "a12",
    play: Play::Pulses,
    pulses: &[(0, false), (30, false), (60, false), (90, true)],
    seconds: 100,
    is_within_budgets: false,
};

/// Until the site has been read once.
const QUIET: Duration = Duration::from_secs(15);
/// Beyond what is planned.
const GRACE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_millis(100);
const PULSE_S: f64 = 10.0;
const OFF: &str = "[detect]\nenabled = false\n";
/// Rungs that do something, from the first on.
const DEMOTED: &[&str] = &["demote", "challenge", "block"];
const TESTED: &[&str] = &["challenge", "block"];
const BLOCKED: &[&str] = &["block"];

/// The attack with detection, and without.
///
/// # Errors
/// When something does not start or ends otherwise than well.
pub(super) fn run(scene: &Scene<'_>, attack: &Attack) -> Outcome<Vec<Line>> {
    let on = play(scene, attack, "")?;
    let mut lines = on.rate(attack);
    let quiet = on.seen.iter().filter(|seen| seen.at < 0.0 && seen.is_alarmed()).count();
    lines.push(Line::new("alarmed before the flood", quiet as f64, "looks", Bar::AtMost(0.0)));
    for &(begin, is_repeat) in attack.pulses {
        lines.extend(on.pulse(attack, begin as f64, is_repeat));
    }
    lines.extend(on.signatures());
    lines.extend(on.readers("", Bar::AtLeast(99.9)));
    lines.extend(play(scene, attack, OFF)?.readers(", detection off", Bar::None));
    Ok(lines)
}

/// What status said at a moment.
struct Seen {
    /// Seconds of the flood; negative before.
    at: f64,
    state: String,
    measures: Vec<Value>,
}

impl Seen {
    fn is_alarmed(&self) -> bool {
        ["crowd", "mixed", "attack"].contains(&self.state.as_str())
    }
}

struct Found {
    seen: Vec<Seen>,
    baseline_clients: f64,
    is_generated: bool,
    flood: Value,
    readers: Value,
    calm: Value,
    site: Value,
    cpu_ns: u64,
}

impl Found {
    fn rate(&self, attack: &Attack) -> Vec<Line> {
        let flooded = match attack.play {
            Play::Pulses => PULSE_S * attack.pulses.len() as f64,
            _ => attack.seconds as f64,
        };
        let flood = &self.flood;
        let clients = self.baseline_clients;
        let generated = if self.is_generated { "generated" } else { "learned" };
        let note = format!(
            "from {} addresses: {} answered, {} turned away, {} broken",
            flood["sources"], flood["answered"], flood["turned_away"], flood["broken"]
        );
        let rate = number(&flood["requests"]) / flooded;
        let each = self.cpu_ns as f64 / 1e3 / number(&flood["requests"]);
        vec![
            Line::new("baseline clients", clients, "", Bar::AtLeast(3_000.0)).note(generated),
            Line::new("flood", rate, "requests/s", Bar::AtLeast(100.0)).note(note),
            Line::new("CPU for each request of the flood", each, "us", Bar::None),
        ]
    }

    /// When what was noticed and done in the flood that begins at `begin`.
    fn pulse(&self, attack: &Attack, begin: f64, is_repeat: bool) -> Vec<Line> {
        let lasts = if attack.pulses.len() > 1 { PULSE_S } else { attack.seconds as f64 };
        let within = || self.seen.iter().filter(move |s| s.at >= begin && s.at < begin + lasts);
        let before = self.seen.iter().rfind(|seen| seen.at < begin);
        let after = |at: Option<f64>| at.map_or(f64::NAN, |at| at - begin);
        let acted = |rungs: &[&str]| {
            let acts = |seen: &&Seen| seen.measures.iter().any(|it| is_met(it, before, rungs));
            after(within().find(acts).map(|seen| seen.at))
        };
        let noticed = after(within().find(|seen| seen.is_alarmed()).map(|seen| seen.at));
        let what = |what: &str| match attack.pulses.len() {
            1 => format!("{what} after"),
            _ if is_repeat => format!("pulse at {begin} s, seen before: {what} after"),
            _ => format!("pulse at {begin} s: {what} after"),
        };
        let verdicts: Vec<&str> = within().map(|seen| seen.state.as_str()).collect();
        let mut states = verdicts.clone();
        states.dedup();
        let demoted_bar = if is_repeat { 2.0 } else { 3.0 };
        let blocked_bar = if attack.is_within_budgets { Bar::None } else { Bar::AtMost(6.0) };
        vec![
            Line::new(what("noticed"), noticed, "s", Bar::AtMost(3.0)).note(states.join(" > ")),
            Line::new(what("demoted"), acted(DEMOTED), "s", Bar::AtMost(demoted_bar)),
            Line::new(what("put to the test"), acted(TESTED), "s", Bar::None),
            Line::new(what("blocked"), acted(BLOCKED), "s", blocked_bar),
        ]
    }

    /// What it was, in words: each measure as it was last seen standing.
    fn signatures(&self) -> Vec<Line> {
        let mut last: Vec<&Value> = Vec::new();
        for measure in self.seen.iter().flat_map(|seen| &seen.measures) {
            match last.iter_mut().find(|known| known["id"] == measure["id"]) {
                Some(known) => *known = measure,
                None => last.push(measure),
            }
        }
        let line = |measure: &&Value| {
            let note = format!(
                "{} requests met, {} refused, at last {}; covers {}, harm at most {}",
                measure["matched"],
                measure["blocked"],
                measure["rung"].as_str().unwrap_or("?"),
                measure["coverage"],
                measure["collateral_upper"],
            );
            let text = measure["signature"].as_str().unwrap_or("?");
            Line::new(format!("  {text}"), number(&measure["id"]), "", Bar::None).note(note)
        };
        let stands =
            |seen: &Seen| seen.measures.iter().filter(|it| it["rung"] != "dormant").count();
        let most = self.seen.iter().map(stands).max().unwrap_or_default();
        let mut lines =
            vec![Line::new("signatures that stood at once", most as f64, "", Bar::AtMost(16.0))];
        lines.extend(last.iter().map(line));
        lines
    }

    fn readers(&self, which: &str, bar: Bar) -> Vec<Line> {
        let share = |of: &Value| 100.0 * number(&of["ok"]) / number(&of["transactions"]);
        let readers = &self.readers;
        let note = |of: &Value| format!("of {}, p95 {} ms", of["transactions"], of["p95_ms"]);
        let flood = &readers["flood"];
        let needs = &readers["needs_origin"];
        let (calm, work) = (number(&self.calm["requests"]), number(&self.site["requests"]));
        let note_calm = format!("{calm} before it; {} of bots", self.site["from_attack"]);
        vec![
            Line::new(
                format!("pages served before{which}"),
                share(&readers["quiet"]),
                "%",
                Bar::None,
            )
            .note(note(&readers["quiet"])),
            Line::new(format!("pages served in the flood{which}"), share(flood), "%", bar)
                .note(format!("{}{}", note(flood), failures(&readers["failures"]))),
            Line::new(format!("searches served{which}"), share(needs), "%", Bar::None)
                .note(note(needs)),
            Line::new(format!("origin's requests in the flood{which}"), work, "", Bar::None)
                .note(note_calm),
        ]
    }
}

/// Whether a measure stands on one of `rungs` and has met somebody since `before`.
fn is_met(measure: &Value, before: Option<&Seen>, rungs: &[&str]) -> bool {
    let known = before.and_then(|seen| seen.measures.iter().find(|it| it["id"] == measure["id"]));
    let met = known.map_or(0, |known| known["matched"].as_u64().unwrap_or(0));
    rungs.iter().any(|rung| measure["rung"] == **rung)
        && measure["matched"].as_u64().unwrap_or(0) > met
}

fn play(scene: &Scene<'_>, attack: &Attack, more: &str) -> Outcome<Found> {
    let key = random_hex(16)?;
    let lasts = Duration::from_secs(attack.seconds);
    let job = |target| Job {
        key: &key,
        target,
        quiet: QUIET,
        flood: lasts,
        play: attack.play,
        certificate: None,
        credentials: &[],
    };
    let mut site = Actor::start(&scene.program, "site", &job(None))?;
    let origin = site.address()?;
    let setup = Setup { name: attack.name, origin, secret: None, site: SITE, more };
    let shield = Instance::start_prepared(&scene.program, &scene.folder, &setup, |state| {
        generate_baseline(&scene.program, state)
    })?;
    let mut readers = Actor::start(&scene.program, "readers", &job(Some(shield.plain)))?;
    let mut flood = Actor::start(&scene.program, "flood", &job(Some(shield.plain)))?;
    site.tell("mark");
    readers.tell("go");
    flood.tell("go");
    let begin = Instant::now() + QUIET;
    let (mut seen, mut calm, mut cpu_before) = (Vec::new(), Value::Null, 0);
    let mut last = Value::Null;
    while Instant::now() < begin + lasts {
        if calm.is_null() && Instant::now() >= begin {
            (calm, cpu_before) = (site.figures(), shield.cpu_ns());
            site.tell("mark");
        }
        last = shield.status();
        let now = Instant::now();
        let until = begin.saturating_duration_since(now).as_secs_f64();
        seen.push(Seen {
            at: now.saturating_duration_since(begin).as_secs_f64() - until,
            state: last["state"].as_str().unwrap_or("unknown").to_owned(),
            measures: last["mitigations"].as_array().cloned().unwrap_or_default(),
        });
        thread::sleep(EVERY);
    }
    let cpu_ns = shield.cpu_ns() - cpu_before;
    Ok(Found {
        seen,
        baseline_clients: number(&last["baseline_clients"]),
        is_generated: last["baseline_is_generated"] == true,
        flood: flood.finish(GRACE)?,
        readers: readers.finish(GRACE)?,
        calm,
        site: site.figures(),
        cpu_ns,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{BLOCKED, DEMOTED, Seen, is_met};

    #[test]
    fn a_measure_counts_once_it_meets_somebody_on_its_rung() {
        let measure = |rung: &str, matched: u64| json!({"id": 1, "rung": rung, "matched": matched});
        let before = Seen { at: -0.1, state: String::new(), measures: vec![measure("demote", 7)] };
        let check = |rung, matched, rungs| is_met(&measure(rung, matched), Some(&before), rungs);
        assert!(check("demote", 8, DEMOTED) && check("block", 8, BLOCKED));
        assert!(!check("demote", 7, DEMOTED), "nobody since");
        assert!(!check("demote", 8, BLOCKED) && !check("dormant", 9, DEMOTED));
        assert!(is_met(&measure("demote", 1), None, DEMOTED));
    }
}
