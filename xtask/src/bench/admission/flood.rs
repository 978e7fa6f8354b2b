//! Floods of 5,000 requests a second at a site that bears 100: of pages that no cache may keep, and
//! of URLs that are made up.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::Outcome;
use crate::process::{build_example, output, random_hex};
use crate::table::{Bar, Line};

use super::Scene;
use super::instance::{Instance, Setup};
use super::rehearsal::{Actor, Job, Play};

/// Until the site has been read once, and calm can be measured.
const WARM_UP: Duration = Duration::from_secs(22);
/// Beyond what is planned.
const GRACE: Duration = Duration::from_secs(30);
/// What a site owner would write who wants pages kept for a moment.
pub(super) const SITE: &str = "[site.cache]\ndefault_ttl = \"10s\"\n";
/// The cookie of a credential.
const COOKIE: &str = "__Host-seawall";
/// For a day one has to be known to count as aged.
const TWO_DAYS_S: u64 = 48 * 3600;
/// More than come in the longest run.
const CREDENTIALS: &str = "400";

/// Readers who browse, half of them known, and a flood of pages that no cache may keep.
///
/// # Errors
/// When something does not start or ends otherwise than well.
pub(super) fn live(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let found = play(scene, Play::Live)?;
    let failed = |of: &str| failures(&found.readers[of]);
    let share = |of: &str, kind: &str| found.share(of, kind);
    let (cacheable, of_cacheable) = share("kinds", "browser");
    let (aged, of_aged) = share("kinds", "live_aged");
    let (new, of_new) = share("kinds", "live_new");
    let (settled, of_settled) = share("settled_kinds", "live_new");
    let (calm, flood) = (number(&found.calm["page_p95_ms"]), number(&found.site["page_p95_ms"]));
    let (peak, limit) = (number(&found.site["peak_in_flight"]), found.most_limit);
    let done = number(&found.site["requests"]) / found.flood_lasted;
    let mut lines = found.rate();
    lines.extend([
        Line::new("cacheable pages served", cacheable, "%", Bar::AtLeast(99.9))
            .note(format!("{of_cacheable}{}", failed("failures"))),
        Line::new("live pages served to aged readers", aged, "%", Bar::AtLeast(98.0))
            .note(format!("{of_aged}{}", failed("aged_failures"))),
        Line::new("live pages served to newcomers in 10 s", settled, "%", Bar::AtLeast(80.0))
            .note(format!("{of_settled}, after ten seconds of flood")),
        Line::new("the same from the first moment on", new, "%", Bar::None)
            .note(format!("{of_new}{}", failed("new_failures"))),
        Line::new("origin's p95 under flood to calm", flood / calm, "times", Bar::AtMost(2.0))
            .note(format!("{flood} ms to {calm} ms")),
        Line::new("most at work in the origin at once", peak, "", Bar::AtMost(limit))
            .note("the bar is the largest limit that was found meanwhile"),
        Line::new("requests done by the origin", done, "/s", Bar::None)
            .note(format!("at a limit of {:.1} on average", found.mean_limit)),
        Line::new(
            "turned away by the origin",
            number(&found.site["refused"]),
            "",
            Bar::AtMost(0.0),
        ),
    ]);
    lines.push(found.guests(scene.seconds));
    lines.extend(found.rest());
    Ok(lines)
}

/// Readers who browse, and 500 uploads at 600 bytes a second.
///
/// # Errors
/// As for [`live`].
pub(super) fn uploads(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let found = play(scene, Play::Uploads)?;
    let (live, of_live) = found.share("kinds", "live_new");
    let (aged, of_aged) = found.share("kinds", "live_aged");
    let open = number(&found.flood["slow_connections"]);
    let failed = |of: &str| failures(&found.readers[of]);
    Ok(vec![
        Line::new("uploads open at the end", open, "", Bar::AtLeast(490.0)),
        Line::new("permits in use on average", found.mean_in_flight, "", Bar::AtMost(2.0))
            .note(format!("of {} at most; the readers alone need about one", found.most_limit)),
        Line::new("most waiting at once", found.most_queued, "", Bar::None),
        Line::new("live pages served to newcomers", live, "%", Bar::AtLeast(99.0))
            .note(format!("{of_live}{}", failed("new_failures"))),
        Line::new("live pages served to aged readers", aged, "%", Bar::AtLeast(99.0))
            .note(format!("{of_aged}{}", failed("aged_failures"))),
    ])
}

/// The same readers before and in a flood of random queries and paths.
///
/// # Errors
/// As for [`live`].
pub(super) fn busting(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let found = play(scene, Play::Busting)?;
    let (calm, flood) = (number(&found.calm["requests"]), number(&found.site["requests"]));
    let readers = &found.readers["flood"];
    let all = number(&readers["transactions"]);
    let mut lines = found.rate();
    lines.extend([
        Line::new(
            "origin's requests under flood to calm",
            100.0 * flood / calm,
            "%",
            Bar::AtMost(110.0),
        )
        .note(format!("{flood} to {calm}, {} of bots", found.site["from_attack"])),
        Line::new("cacheable pages served", 100.0 * number(&readers["ok"]) / all, "%", Bar::None)
            .note(format!("of {all}{}", failures(&found.readers["failures"]))),
    ]);
    lines.extend(found.rest());
    Ok(lines)
}

/// What a run brought.
struct Found {
    readers: Value,
    flood: Value,
    flood_lasted: f64,
    calm: Value,
    site: Value,
    most_limit: f64,
    mean_limit: f64,
    most_queued: f64,
    mean_in_flight: f64,
    cpu_ns: u64,
    shed: f64,
}

impl Found {
    fn rate(&self) -> Vec<Line> {
        let rate = number(&self.flood["requests"]) / self.flood_lasted;
        let sources = &self.flood["sources"];
        let note = format!(
            "from {sources} addresses: {} answered, {} turned away, {} broken",
            self.flood["answered"], self.flood["turned_away"], self.flood["broken"]
        );
        // Nothing can be said of a flood that was not one.
        vec![Line::new("flood", rate, "requests/s", Bar::AtLeast(4_500.0)).note(note)]
    }

    /// The part served of one kind, in per cent, and what it is a part of.
    fn share(&self, of: &str, kind: &str) -> (f64, String) {
        let tally = &self.readers[of][kind];
        let all = number(&tally["transactions"]);
        (100.0 * number(&tally["ok"]) / all, format!("of {all} pages, p95 {} ms", tally["p95_ms"]))
    }

    /// Those who stay: what was cut off, or stood still.
    fn guests(&self, seconds: u64) -> Line {
        let guests = &self.readers["guests"];
        let mut troubles: Vec<String> = guests["troubles"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|trouble| trouble.as_str().map(str::to_owned))
            .collect();
        if guests["upload_done"] != true && troubles.is_empty() {
            troubles.push("upload: not done".to_owned());
        }
        // Four events and two echoes a second, if nothing holds them up.
        let seconds = seconds as f64;
        let (events, echoes) = (number(&guests["events"]), number(&guests["echoes"]));
        if events.is_nan() || events < 4.0 * 0.75 * seconds || echoes < 2.0 * 0.75 * seconds {
            troubles.push("events or echoes: held up".to_owned());
        }
        let uploaded = number(&guests["uploaded"]) / 1e6;
        let note = format!(
            "{uploaded:.1} MB at 200 kB/s, {events} events, {echoes} echoes; {}",
            troubles.join(", ")
        );
        let what = "upload, event stream or WebSocket cut off";
        Line::new(what, troubles.len() as f64, "", Bar::AtMost(0.0)).note(note)
    }

    fn rest(&self) -> Vec<Line> {
        let each = self.cpu_ns as f64 / 1e3 / number(&self.flood["requests"]);
        vec![
            Line::new("CPU for each request of the flood", each, "us", Bar::None),
            Line::new("most waiting at once", self.most_queued, "", Bar::None),
            Line::new("refused at once for others' sake", self.shed, "", Bar::None),
        ]
    }
}

fn play(scene: &Scene<'_>, play: Play) -> Outcome<Found> {
    let key = random_hex(16)?;
    let secret = random_hex(32)?;
    let credentials = credentials(scene, &secret)?;
    let flood_lasts = Duration::from_secs(scene.seconds);
    let quiet = WARM_UP + flood_lasts;
    let job = |target, certificate| Job {
        key: &key,
        target,
        quiet,
        flood: flood_lasts,
        play,
        certificate,
        credentials: &credentials,
    };
    let mut site = Actor::start(&scene.program, "site", &job(None, None))?;
    let name = match play {
        Play::Live => "flood",
        Play::Uploads => "uploads",
        _ => "busting",
    };
    let setup =
        Setup { name, origin: site.address()?, secret: Some(&secret), site: SITE, more: "" };
    let shield = Instance::start(&scene.program, &scene.folder, &setup)?;
    let certificate = scene.folder.join("cert.pem");
    let with_tls = job(Some(shield.tls), Some(certificate.as_path()));
    let mut readers = Actor::start(&scene.program, "readers", &with_tls)?;
    let mut flood = Actor::start(&scene.program, "flood", &job(Some(shield.plain), None))?;
    readers.tell("go");
    flood.tell("go");
    thread::sleep(WARM_UP);
    site.tell("mark");
    thread::sleep(flood_lasts);
    let calm = site.figures();
    site.tell("mark");
    let (before, begin) = (shield.cpu_ns(), Instant::now());
    let (mut most_limit, mut most_queued) = (0.0_f64, 0.0_f64);
    let (mut limits, mut in_flight) = (Vec::new(), Vec::new());
    while begin.elapsed() < flood_lasts {
        let origin = shield.status()["origin"].clone();
        most_limit = most_limit.max(number(&origin["limit"]));
        most_queued = most_queued.max(number(&origin["queued"]));
        limits.extend(origin["limit"].as_f64());
        in_flight.extend(origin["in_flight"].as_f64());
        thread::sleep(Duration::from_millis(100));
    }
    let cpu_ns = shield.cpu_ns() - before;
    let flood_lasted = begin.elapsed().as_secs_f64();
    Ok(Found {
        flood: flood.finish(GRACE)?,
        readers: readers.finish(GRACE)?,
        flood_lasted,
        calm,
        site: site.figures(),
        most_limit,
        mean_limit: limits.iter().sum::<f64>() / limits.len() as f64,
        most_queued,
        mean_in_flight: in_flight.iter().sum::<f64>() / in_flight.len() as f64,
        cpu_ns,
        shed: shield.metric("seawall_origin_shed_total"),
    })
}

/// `Cookie` field values of readers who have been known for two days.
fn credentials(scene: &Scene<'_>, secret: &str) -> Outcome<Vec<String>> {
    let program = build_example(scene.root, "seawall-decide", "aged_readers")?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = now.map_or(0, |now| now.as_secs()).saturating_sub(TWO_DAYS_S).to_string();
    let said = output(Command::new(program).args([secret, &since, CREDENTIALS]))?.stdout;
    let said = String::from_utf8_lossy(&said);
    Ok(said.lines().map(|line| format!("{COOKIE}={line}")).collect())
}

/// The failures that there were, named.
pub(super) fn failures(of: &Value) -> String {
    let all = of.as_object().into_iter().flatten();
    let some = all.filter(|(_, count)| number(count) > 0.0);
    let named: Vec<String> = some.map(|(name, count)| format!("{count} {name}")).collect();
    if named.is_empty() { String::new() } else { format!("; failed: {}", named.join(", ")) }
}

/// A figure; not a number if there is none.
pub(super) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::failures;

    #[test]
    fn only_failures_that_there_were_are_named() {
        assert_eq!(failures(&json!({ "late": 0, "refused": 0 })), "");
        assert_eq!(failures(&json!({ "late": 2, "refused": 0 })), "; failed: 2 late");
    }
}
