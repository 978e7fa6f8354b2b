//! The story as one file of HTML: read in a browser, sent by mail, printed. It loads nothing.

use std::fmt::Write as _;

use seawall_archive::{escape_html, rfc3339};
use seawall_detect::Verdict;
use seawall_model::{Rung, WallTime};

use super::story::{Bin, IncidentStory, MeasureStory, Story, Timeline};
use super::tell::{
    evidence_words, limits, moment, no_signature, part, verdict_words, why_words, width_of,
};
use crate::figures::{grouped, time_span};

/// The page.
pub(super) fn page(story: &Story) -> String {
    let files = escape_html(&story.files.join(", "));
    let found = match story.incidents.len() {
        0 => "No attack is seen in it, and no crowd.".to_owned(),
        1 => format!("One incident is seen in it: {}.", verdict_words(story.incidents[0].verdict)),
        count => {
            let is_attack = |incident: &&IncidentStory| incident.verdict == Verdict::Attack;
            let attacks = story.incidents.iter().filter(is_attack).count();
            format!("{count} incidents are seen in it, of which {attacks} are attacks.")
        }
    };
    let mut out = String::with_capacity(64 * 1024);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Replay of {files}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>What Seawall would have seen</h1>\n\
         <p class=\"lead\">{found}</p>\n\
         <p>{files}: {} requests of {} clients, {} to {} UTC ({}).{}</p>\n",
        grouped(story.lines - story.skipped),
        grouped(story.clients),
        moment(story.from),
        moment(story.to),
        time_span(story.to.unix_secs().saturating_sub(story.from.unix_secs())),
        skipped(story),
    );
    out.push_str(&figure(&story.timeline, &story.incidents));
    for (place, incident) in story.incidents.iter().enumerate() {
        out.push_str(&incident_section(place + 1, incident));
    }
    if story.incidents_dropped > 0 {
        let _ = writeln!(out, "<p>... and {} more.</p>", grouped(story.incidents_dropped));
    }
    let _ = write!(
        out,
        "<h2>What a log cannot tell</h2>\n<p>{}</p>\n</main>\n</body>\n</html>\n",
        escape_html(&limits(story).join(" "))
    );
    out
}

fn skipped(story: &Story) -> String {
    let mut out = String::new();
    if story.skipped > 0 {
        let _ = write!(out, " {} lines are no requests.", grouped(story.skipped));
    }
    if story.late > 0 {
        let _ = write!(out, " {} requests are out of order and left out.", grouped(story.late));
    }
    out
}

/// Requests over time, with incidents behind them.
fn figure(timeline: &Timeline, incidents: &[IncidentStory]) -> String {
    let bins = timeline.folded(360);
    let (Some((first, _)), Some((last, _))) = (bins.first(), bins.last()) else {
        return String::new();
    };
    let seconds = width_of(&bins, timeline.width_s());
    let chart = Chart {
        from: first.unix_secs(),
        to: last.unix_secs() + seconds,
        most: bins.iter().map(|(_, bin)| bin.requests).max().unwrap_or(1).max(1),
    };
    let mut out = String::new();
    let summary = format!(
        "Requests over time: the most in {} are {}.",
        time_span(seconds),
        grouped(chart.most)
    );
    let _ = write!(
        out,
        "<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
        escape_html(&summary)
    );
    for incident in incidents {
        let left = chart.x(incident.start.unix_secs());
        let right = chart.x(incident.end.unix_secs() + 1).max(left + 2.0);
        let _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"/>",
            incident.verdict.as_str(),
            right - left,
            BOTTOM - TOP
        );
    }
    let _ = writeln!(out, "<path class=\"all\" d=\"{}\"/>", chart.steps(&bins, |bin| bin.requests));
    let _ = writeln!(out, "<path class=\"met\" d=\"{}\"/>", chart.steps(&bins, |bin| bin.met));
    let _ = write!(
        out,
        "<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}M{LEFT} {BOTTOM}V{TOP}\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
         <text x=\"{}\" y=\"{BOTTOM}\" text-anchor=\"end\">0</text>\n",
        LEFT - 6,
        TOP + 10,
        grouped(chart.most),
        LEFT - 6,
    );
    for (place, anchor) in [(0, "start"), (1, "middle"), (2, "end")] {
        let at = chart.from + (chart.to - chart.from) * place / 2;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            chart.x(at),
            BOTTOM + 18,
            time_of(at, chart.to - chart.from)
        );
    }
    let _ = write!(
        out,
        "</svg>\n<figcaption>Requests in {} each (grey); those that match a signature (dark); shaded: \
         red an attack, yellow undecided, green a crowd. Times in UTC.</figcaption>\n</figure>\n",
        time_span(seconds)
    );
    out
}

/// A time under the axis: with the date where there are several days, with seconds where it is about minutes.
fn time_of(at: u64, span_s: u64) -> String {
    let text = moment(WallTime::from_unix_secs(at));
    let part = match span_s {
        0..7_200 => 11..19,
        7_200..86_400 => 11..16,
        _ => 0..16,
    };
    text.get(part).unwrap_or(&text).to_owned()
}

/// Where things are in the drawing.
struct Chart {
    from: u64,
    to: u64,
    most: u64,
}

impl Chart {
    #[allow(clippy::cast_precision_loss, reason = "times here are far below 2^52")]
    fn x(&self, second: u64) -> f64 {
        let share = second.saturating_sub(self.from) as f64 / (self.to - self.from).max(1) as f64;
        f64::from(LEFT) + f64::from(RIGHT - LEFT) * share.min(1.0)
    }

    #[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
    fn y(&self, count: u64) -> f64 {
        f64::from(BOTTOM) - f64::from(BOTTOM - TOP) * (count as f64 / self.most as f64).min(1.0)
    }

    /// The outline of what is counted, closed along the axis.
    fn steps(&self, bins: &[(WallTime, Bin)], count: impl Fn(&Bin) -> u64) -> String {
        let mut path = format!("M{LEFT} {BOTTOM}");
        for (place, (at, bin)) in bins.iter().enumerate() {
            let end = bins.get(place + 1).map_or(self.to, |(next, _)| next.unix_secs());
            let _ = write!(path, "V{:.1}H{:.1}", self.y(count(bin)), self.x(end));
            debug_assert!(at.unix_secs() < end);
        }
        let _ = write!(path, "V{BOTTOM}Z");
        path
    }
}

fn incident_section(place: usize, incident: &IncidentStory) -> String {
    let mut out = String::new();
    let lasted = incident.end.unix_secs().saturating_sub(incident.start.unix_secs());
    let _ = write!(
        out,
        "<section class=\"{}\">\n<h2>{place}. {}</h2>\n\
         <p><time datetime=\"{}\">{}</time> to <time datetime=\"{}\">{}</time> UTC ({}{})</p>\n<dl>\n",
        incident.verdict.as_str(),
        capital(verdict_words(incident.verdict)),
        rfc3339(incident.start),
        moment(incident.start),
        rfc3339(incident.end),
        moment(incident.end),
        time_span(lasted),
        if incident.is_open { ", until the log ends" } else { "" },
    );
    for (name, value) in [
        ("Requests", grouped(incident.requests)),
        ("Beyond what is ordinary", grouped(incident.excess)),
        ("Match a signature", part(incident.matched, incident.requests)),
        (
            "Most in a second",
            format!("{} (ordinary: {:.2})", grouped(incident.peak.0), incident.peak.1),
        ),
        ("Noticed by", incident.channels.join(", ").replace('_', " ")),
    ] {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape_html(&value));
    }
    out.push_str("</dl>\n");
    out.push_str(&figure(&incident.timeline, std::slice::from_ref(incident)));
    if incident.measures.is_empty() {
        let _ = writeln!(out, "<p>{}</p>", no_signature(incident.verdict));
    } else {
        out.push_str("<h3>Signatures</h3>\n<ol>\n");
        incident.measures.iter().for_each(|measure| out.push_str(&measure_item(measure)));
        out.push_str("</ol>\n");
    }
    out.push_str("</section>\n");
    out
}

fn measure_item(measure: &MeasureStory) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<li>\n<p><strong>{}</strong></p>\n<p>It {}. {} requests match it.</p>\n<ul>\n",
        escape_html(&measure.text),
        escape_html(&evidence_words(measure)),
        grouped(measure.matched)
    );
    for (at, to, why) in &measure.moves {
        let what = match to {
            None => "let go",
            Some(Rung::Observe) => "watched",
            Some(Rung::Demote) => "demoted: behind everybody else who waits for the site",
            Some(Rung::Challenge) => "challenged: a cheap test before the site works for it",
            Some(Rung::Block) => "blocked",
        };
        let _ = writeln!(
            out,
            "<li><time datetime=\"{}\">{}</time> {what}, because {}</li>",
            rfc3339(*at),
            moment(*at),
            why_words(*why)
        );
    }
    out.push_str("</ul>\n</li>\n");
    out
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

const WIDTH: u32 = 800;
const HEIGHT: u32 = 250;
const LEFT: u32 = 70;
const RIGHT: u32 = 790;
const TOP: u32 = 10;
const BOTTOM: u32 = 220;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fff;--soft:#5c5c5c;--line:#8a8a8a;--all:#a3aab5;--met:#2f3b52}
@media (prefers-color-scheme:dark){:root{--ink:#eee;--paper:#16181c;--soft:#b5b5b5;--line:#8a8a8a;--all:#5a6270;--met:#cfd8ea}}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
main{max-width:54rem;margin:0 auto;padding:1.5rem}
h1{line-height:1.2}
.lead{font-size:1.25rem}
figure{margin:1.5rem 0}
svg{width:100%;height:auto}
svg text{font:12px system-ui,sans-serif;fill:var(--soft)}
.all{fill:var(--all)}.met{fill:var(--met)}.axis{stroke:var(--line);fill:none}
rect.attack{fill:#d9483b;opacity:.3}rect.mixed{fill:#d8a200;opacity:.3}rect.crowd{fill:#2f9e5b;opacity:.3}
figcaption{color:var(--soft);font-size:.9rem}
section{border-left:.4rem solid var(--line);padding:.1rem 0 .1rem 1rem;margin:1.5rem 0}
section.attack{border-color:#d9483b}section.mixed{border-color:#d8a200}section.crowd{border-color:#2f9e5b}
dl{display:flex;flex-wrap:wrap;gap:.75rem 2rem;margin:1rem 0}
dt{color:var(--soft);font-size:.9rem}dd{margin:0;font-weight:600}
strong{overflow-wrap:anywhere}
@media print{section{break-inside:avoid}}
";
