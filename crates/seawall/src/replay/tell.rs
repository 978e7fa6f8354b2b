//! The story for a terminal, and for programs.

use std::fmt::Write as _;

use seawall_archive::rfc3339;
use seawall_control::Why;
use seawall_detect::{Verdict, describe_evidence};
use seawall_model::{Rung, WallTime};
use serde_json::{Value, json};

use super::story::{Bin, IncidentStory, MeasureStory, Story};
use crate::figures::{grouped, time_span};

/// Everything, as the interface has it, and more. `is_recorded`: there are records of incidents.
pub(super) fn json(story: &Story, is_recorded: bool) -> Value {
    json!({
        "files": story.files,
        "lines": story.lines,
        "skipped": story.skipped,
        "out_of_order": story.late,
        "clients": story.clients,
        "baseline_clients": story.baseline_clients,
        "from": rfc3339(story.from),
        "to": rfc3339(story.to),
        "incidents": story.incidents.iter().map(|it| incident_json(it, is_recorded)).collect::<Vec<_>>(),
        "incidents_dropped": story.incidents_dropped,
        "timeline": {
            "seconds_per_bin": story.timeline.width_s(),
            "bins": story.timeline.bins().iter().map(|(at, bin)| json!({
                "at": rfc3339(*at), "requests": bin.requests, "expected": tenths(bin.expected),
                "origin": bin.origin, "matched": bin.met,
            })).collect::<Vec<_>>(),
        },
    })
}

fn incident_json(incident: &IncidentStory, is_recorded: bool) -> Value {
    json!({
        "start": rfc3339(incident.start),
        "end": rfc3339(incident.end),
        "is_open": incident.is_open,
        "verdict": incident.verdict.as_str(),
        "requests": incident.requests,
        "excess": incident.excess,
        "matched": incident.matched,
        "peak_per_s": incident.peak.0,
        "record": incident.record.as_ref().filter(|_| is_recorded),
        "channels": incident.channels,
        "signatures": incident.measures.iter().map(|measure| json!({
            "text": measure.text,
            "coverage": measure.evidence.coverage,
            "collateral_upper": measure.evidence.collateral_upper,
            "rung": measure.rung.as_str(),
            "matched": measure.matched,
            "moves": measure.moves.iter().map(|(at, to, why)| json!({
                "at": rfc3339(*at), "to": to.map(Rung::as_str), "why": why.as_str(),
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// Everything for people, `width` columns wide at most where it can be.
pub(super) fn text(story: &Story, width: usize) -> String {
    let mut out = head(story);
    out.push('\n');
    out.push_str(&plot(story, width));
    out.push('\n');
    match story.incidents.len() {
        0 => out.push_str("No attack is seen in it, and no crowd.\n"),
        1 => out.push_str("1 incident:\n"),
        count => {
            let _ = writeln!(out, "{count} incidents:");
        }
    }
    for incident in &story.incidents {
        out.push('\n');
        out.push_str(&incident_text(incident));
    }
    if story.incidents_dropped > 0 {
        let _ = writeln!(out, "\n... and {} more.", grouped(story.incidents_dropped));
    }
    out.push('\n');
    for line in limits(story) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// What was read.
pub(super) fn head(story: &Story) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}: {} requests of {} clients,\n{} to {} UTC ({})",
        story.files.join(", "),
        grouped(story.lines - story.skipped),
        grouped(story.clients),
        moment(story.from),
        moment(story.to),
        time_span(story.to.unix_secs().saturating_sub(story.from.unix_secs())),
    );
    if story.skipped > 0 {
        let _ = writeln!(out, "{} lines are no requests.", grouped(story.skipped));
    }
    if story.late > 0 {
        let _ = writeln!(
            out,
            "{} requests are noted a minute or more after later ones and were left out: is the log in order?",
            grouped(story.late)
        );
    }
    out
}

/// What this cannot know.
pub(super) fn limits(story: &Story) -> Vec<String> {
    let mut lines = vec![
        "A log tells neither TLS fingerprints nor most fields, and nobody in it is asked anything: in".to_owned(),
        "production signatures are sharper, and who never passes a test is blocked. Of forms, scripts and".to_owned(),
        "apps it does not tell who is known or waits when told to: here they are never blocked.".to_owned(),
    ];
    if story.baseline_clients < 3_000 {
        lines.push(format!(
            "{} clients were known as ordinary at the end. Below 3,000 no signature may block.",
            grouped(u64::from(story.baseline_clients))
        ));
    }
    lines
}

/// Requests over time, and where incidents are.
fn plot(story: &Story, width: usize) -> String {
    let columns = width.saturating_sub(LABEL_WIDTH + 2).clamp(20, 120);
    let bins = story.timeline.folded(columns);
    let seconds = width_of(&bins, story.timeline.width_s());
    let mut out = String::new();
    let _ = writeln!(out, "{LABEL}  {}", bars(&bins));
    let mark = |from: WallTime| {
        let to = from.unix_secs() + seconds;
        let within = story.incidents.iter().filter(|incident| {
            incident.start.unix_secs() < to && incident.end.unix_secs() >= from.unix_secs()
        });
        match within.map(|incident| incident.verdict).max() {
            None => ' ',
            Some(Verdict::Crowd) => 'c',
            Some(Verdict::Mixed) => 'm',
            Some(Verdict::Attack) => 'A',
        }
    };
    let marks: String = bins.iter().map(|(from, _)| mark(*from)).collect();
    if !marks.trim().is_empty() {
        let _ = writeln!(out, "{:LABEL_WIDTH$}  {}", "incidents", marks.trim_end());
    }
    let _ = writeln!(
        out,
        "{:LABEL_WIDTH$}  each column is {}; the highest {} requests{}",
        "",
        time_span(seconds),
        grouped(most(&bins)),
        if marks.trim().is_empty() { "" } else { "; A attack, m undecided, c crowd" }
    );
    out
}

fn most(bins: &[(WallTime, Bin)]) -> u64 {
    bins.iter().map(|(_, bin)| bin.requests).max().unwrap_or(0)
}

/// Seconds of one of `bins`.
pub(super) fn width_of(bins: &[(WallTime, Bin)], alone_s: u64) -> u64 {
    match bins {
        [(first, _), (second, _), ..] => second.unix_secs() - first.unix_secs(),
        _ => alone_s,
    }
}

/// One column for each bin, as high as its requests.
fn bars(bins: &[(WallTime, Bin)]) -> String {
    let most = most(bins).max(1);
    let bar = |bin: &Bin| match (bin.requests * 8).div_ceil(most) {
        0 => ' ',
        eighths => BARS[usize::try_from(eighths.min(8) - 1).unwrap_or(0)],
    };
    let bars: String = bins.iter().map(|(_, bin)| bar(bin)).collect();
    bars.trim_end().to_owned()
}

fn incident_text(incident: &IncidentStory) -> String {
    let mut out = String::new();
    let lasted = incident.end.unix_secs().saturating_sub(incident.start.unix_secs());
    let _ = writeln!(
        out,
        "  {} to {} UTC ({}{}): {}",
        moment(incident.start),
        moment(incident.end),
        time_span(lasted),
        if incident.is_open { ", until the log ends" } else { "" },
        verdict_words(incident.verdict)
    );
    let _ = writeln!(
        out,
        "    {} requests, {} beyond what is ordinary; {} match a signature",
        grouped(incident.requests),
        grouped(incident.excess),
        part(incident.matched, incident.requests)
    );
    let _ = writeln!(
        out,
        "    most in a second: {} (ordinary: {:.2}); noticed by: {}",
        grouped(incident.peak.0),
        incident.peak.1,
        incident.channels.join(", ").replace('_', " ")
    );
    let bins = incident.timeline.folded(60);
    let seconds = width_of(&bins, incident.timeline.width_s());
    let _ = writeln!(out, "    {}  {} a column", bars(&bins), time_span(seconds));
    if incident.measures.is_empty() {
        let _ = writeln!(out, "    {}", no_signature(incident.verdict));
    }
    for (place, measure) in incident.measures.iter().take(MAX_SHOWN).enumerate() {
        let _ = writeln!(out, "    {}. {}", place + 1, measure.text);
        let _ = writeln!(out, "       {}", evidence_words(measure));
        let moves: Vec<String> = measure.moves.iter().take(MAX_SHOWN).map(move_words).collect();
        let _ = writeln!(out, "       {}", moves.join(", "));
    }
    if incident.measures.len() > MAX_SHOWN {
        let _ = writeln!(out, "    ... and {} weaker ones.", incident.measures.len() - MAX_SHOWN);
    }
    out
}

/// Why there may be none.
pub(super) fn no_signature(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Crowd => {
            "Nobody would have been kept from anything: pages are held for longer, and who needs the origin waits in turn."
        }
        Verdict::Mixed | Verdict::Attack => {
            "No signature tells it from ordinary traffic: nobody is met by one, and the origin is kept safe by the limit on its work."
        }
    }
}

/// On what a signature rests, in a sentence.
pub(super) fn evidence_words(measure: &MeasureStory) -> String {
    let evidence = &measure.evidence;
    let clients = u64::from(evidence.baseline_clients);
    describe_evidence(evidence.coverage, evidence.collateral_upper, clients)
}

fn move_words((at, to, why): &(WallTime, Option<Rung>, Why)) -> String {
    let what = match to {
        None => "let go",
        Some(Rung::Observe) => "watched",
        Some(Rung::Demote) => "put behind others",
        Some(Rung::Challenge) => "tested",
        Some(Rung::Block) => "blocked",
    };
    format!("{} {what} ({})", &moment(*at)[11..], why_words(*why))
}

pub(super) fn why_words(why: Why) -> &'static str {
    match why {
        Why::Found => "it explains the excess",
        Why::Returned => "it was known",
        Why::Stands => "it stands",
        Why::NobodyPasses => "nobody passes the test",
        Why::BeyondBudget => "beyond the budget of held pages",
        Why::NoReaders => "nobody in it was recognised, and it goes on",
        Why::SomePass => "some pass the test",
        Why::ReaderHurt => "a reader was kept out",
        Why::NoEffect => "it explains nothing any more",
        Why::Weaker => "it rests on less",
        Why::Crowd => "this is a crowd",
        Why::Ceased => "it ceased",
        Why::NoRoom => "others matter more",
        Why::Operator => "ordered",
    }
}

pub(super) const fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Crowd => "a crowd, no attack",
        Verdict::Mixed => "more than is ordinary; neither crowd nor attack can be said",
        Verdict::Attack => "an attack",
    }
}

/// A part of a whole in whole percent; all only if it is all.
pub(super) fn part(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "none".to_owned();
    }
    if part >= whole {
        return "all".to_owned();
    }
    format!("{} %", (part * 100 / whole).clamp(1, 99))
}

/// `2026-01-01 00:00:00`.
pub(super) fn moment(at: WallTime) -> String {
    let text = rfc3339(WallTime::from_unix_secs(at.unix_secs()));
    text.replace('T', " ").trim_end_matches('Z').to_owned()
}

const LABEL: &str = "requests ";
const LABEL_WIDTH: usize = LABEL.len();
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const MAX_SHOWN: usize = 6;

#[cfg(test)]
mod tests {
    use seawall_control::IncidentId;

    use super::super::story::Timeline;
    use super::*;

    const NOON: u64 = 1_767_614_400;

    /// So many requests in each second.
    fn story_of(requests: impl Iterator<Item = u64>) -> Story {
        let mut story = Story::default();
        for (second, requests) in (NOON..).zip(requests) {
            story.add(WallTime::from_unix_secs(second), Bin { requests, ..Bin::default() });
        }
        story
    }

    /// Two hours that are quiet but for a crowd in the first and an attack in the second.
    fn eventful() -> Story {
        let at = |second| WallTime::from_unix_secs(NOON + second);
        let mut story = story_of((0..7_200).map(|second| match second {
            1_400..2_000 => 0,
            2_400..3_000 => 40,
            5_400..6_000 => 120,
            _ => 10,
        }));
        let incident = |verdict, from, to| IncidentStory {
            id: IncidentId(1),
            start: at(from),
            end: at(to),
            verdict,
            requests: 0,
            excess: 0,
            matched: 0,
            is_open: false,
            channels: Vec::new(),
            peak: (0, 0.0),
            record: None,
            timeline: Timeline::default(),
            measures: Vec::new(),
        };
        story.incidents = vec![
            incident(Verdict::Crowd, 2_404, 2_990),
            incident(Verdict::Mixed, 5_401, 5_990),
            incident(Verdict::Attack, 5_720, 5_990),
        ];
        story
    }

    #[test]
    fn the_plot_shows_how_much_came_when_and_marks_what_it_was() {
        let mut quiet = eventful();
        quiet.incidents.clear();
        let plots = [plot(&eventful(), 80), plot(&eventful(), 40), plot(&quiet, 40)].join("\n");
        let expected = include_str!("testdata/plot.txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/replay/testdata/plot.txt");
            std::fs::write(path, &plots).expect("the source tree is writable");
        } else {
            assert_eq!(plots, expected, "UPDATE_EXPECT=1 writes it anew:\n{plots}");
        }
    }

    #[test]
    fn a_plot_keeps_its_width_and_shows_the_least_that_came() {
        for seconds in [1, 2, 59, 3_600, 400_000] {
            let story = story_of((0..seconds).map(|at| if at == 0 { 1_000_000 } else { 1 }));
            for width in [0, 40, 80, 1_000] {
                let text = plot(&story, width);
                let bars = text.lines().next().expect("a line").strip_prefix("requests   ");
                let bars = bars.expect("it says what it shows");
                assert!(bars.chars().count() <= width.saturating_sub(11).clamp(20, 120), "{text}");
                assert!(bars.chars().all(|bar| BARS.contains(&bar)), "{seconds}: {text}");
            }
        }
    }

    #[test]
    fn moments_are_written_as_people_read_them() {
        assert_eq!(moment(WallTime::from_unix_secs(1_431_857_103)), "2015-05-17 10:05:03");
    }

    #[test]
    fn a_part_is_never_rounded_to_all_or_nothing() {
        assert_eq!(part(1, 100_000), "1 %");
        assert_eq!(part(99_999, 100_000), "99 %");
        assert_eq!(part(5, 5), "all");
        assert_eq!(part(0, 5), "none");
    }
}
