//! What happened, on a page of a terminal: for who has to decide now what to say and whom to call.

use std::fmt::Write as _;

use seawall_report::{
    Assessment, Bucket, Cohort, CohortTotals, MitigationHistory, NoteKind, RecordOrigin, Report,
};

use crate::figures::{grouped, time_span};

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut page = Page::default();
    head(&mut page, report);
    figures(&mut page, report);
    looks(&mut page, report);
    readers(&mut page, report);
    sources(&mut page, report);
    judged(&mut page, &report.assessments);
    said(&mut page, report);
    page.part("What is not known");
    report.unknown.iter().for_each(|sentence| page.point(sentence));
    page.part("The record");
    record(&mut page, report);
    page.text
}

fn head(page: &mut Page, report: &Report) {
    let begin = &report.begin;
    page.line(&format!("Incident {} at {}", begin.incident, begin.sites.join(", ")));
    page.line("");
    let until = match report.until {
        Some(until) => format!("to {}", clock(until.to_string().as_str())),
        None => format!("and not over at {}", clock(report.recorded_until.to_string().as_str())),
    };
    let end = report.until.unwrap_or(report.recorded_until);
    let long = time_span(end.unix_s().saturating_sub(begin.since.unix_s()));
    let since = clock(begin.since.to_string().as_str());
    page.line(&format!("From {since} {until} ({long})."));
    page.line(report.taken_for().sentence());
    match begin.origin {
        RecordOrigin::Live => {}
        RecordOrigin::Replay => {
            page.line("Reconstructed afterwards from access logs of another program: nobody was tested or refused by");
            page.line("Seawall. What is said of signatures is what would have been done.");
        }
        RecordOrigin::Rehearsal => {
            page.line("A rehearsal: all of it was generated on this machine.");
        }
    }
    page.line("");
}

fn figures(page: &mut Page, report: &Report) {
    let (totals, before) = (&report.totals, &report.before);
    let of = |part| share(part, totals.requests);
    let mut row = |name: &str, value: u64, remark: &str| {
        page.line(format!("{name:<16}{:>15}  {remark}", grouped(value)).trim_end());
    };
    row("requests", totals.requests, &format!("{:.0} would have been ordinary", totals.expected));
    row("beyond that", totals.excess, &of(totals.excess));
    let peak = clock(report.peak.at.to_string().as_str());
    row(
        "busiest second",
        report.peak.requests,
        &format!("at {peak}; {:.0} expected", report.peak.expected),
    );
    row("met", totals.matched, &format!("{} by a signature", of(totals.matched)));
    row("refused", totals.refused, &of(totals.refused));
    row(
        "origin worked",
        totals.origin,
        &format!("{}; spared {}", of(totals.origin), grouped(totals.spared)),
    );
    row("server errors", totals.server_errors, &of(totals.server_errors));
    let short = if report.has_comparison() { "" } else { ": too short to compare" };
    let in_time = format!("requests in {}{short}", time_span(before.seconds));
    row("before", before.requests, &in_time);
    page.line("");
    page.line(&format!("rate  {}", bars(&report.timeline)));
}

/// Requests per second in forty parts, each as high as its busiest second.
fn bars(timeline: &[Bucket]) -> String {
    let together = timeline.len().div_ceil(MAX_BARS).max(1);
    let peaks: Vec<u64> = timeline
        .chunks(together)
        .map(|parts| parts.iter().map(|part| part.peak_requests).max().unwrap_or(0))
        .collect();
    let highest = peaks.iter().copied().max().unwrap_or(0).max(1);
    let last = BARS.len() as u64 - 1;
    let bar = |peak: u64| {
        let place = u128::from(peak) * u128::from(last) / u128::from(highest);
        BARS[usize::try_from(place).unwrap_or(0).min(BARS.len() - 1)]
    };
    peaks.into_iter().map(bar).collect()
}

fn looks(page: &mut Page, report: &Report) {
    page.part("What it looked like, and what was done");
    if report.mitigations.is_empty() {
        page.point("No signature tells it from ordinary traffic: nobody was met by one.");
    }
    let mut by_size: Vec<&MitigationHistory> = report.mitigations.iter().collect();
    by_size.sort_by_key(|it| std::cmp::Reverse(it.met.matched));
    for history in by_size.iter().take(MAX_SHOWN) {
        let name = if history.signature.is_empty() {
            "(its words are not recorded)"
        } else {
            &history.signature
        };
        let (rung, met) = (history.hardest_in_words(), &history.met);
        if report.is_reconstructed() {
            page.point(&format!(
                "#{} {name}: would have been {rung} at the hardest; {} requests look so.",
                history.id,
                grouped(met.matched)
            ));
        } else {
            page.point(&format!(
                "#{} {name}: {rung} at the hardest; met {} requests, refused {}, tested {} of which {} passed.",
                history.id, grouped(met.matched), grouped(met.blocked), grouped(met.tests_set), grouped(met.tests_passed)
            ));
        }
        if let Some(evidence) = history.strongest() {
            page.more(&format!(
                "It explains {:.0} % of the excess; at most {:.2} % of {} known ordinary clients look like it.",
                evidence.coverage * 100.0, evidence.collateral_upper * 100.0,
                grouped(u64::from(evidence.baseline_clients))
            ));
        }
    }
    if by_size.len() > MAX_SHOWN {
        page.point(&format!("and {} more: see `export --format json`.", by_size.len() - MAX_SHOWN));
    }
}

fn readers(page: &mut Page, report: &Report) {
    page.part("What readers felt");
    page.line(&format!(
        "  {:<24}{:>13}{:>9}{:>9}{:>9}{:>9}{:>9}   {}",
        "", "requests", "served", "refused", "tested", "failed", "late", "served before"
    ));
    for now in &report.cohorts {
        let before = report.cohorts_before.iter().find(|it| it.cohort == now.cohort);
        if now.requests == 0 && before.is_none_or(|it| it.requests == 0) {
            continue;
        }
        let of = |part: u64| share(part, now.requests);
        let served = |it: &CohortTotals| share(it.served, it.requests);
        page.line(&format!(
            "  {:<24}{:>13}{:>9}{:>9}{:>9}{:>9}{:>9}   {}",
            cohort_words(now.cohort),
            grouped(now.requests),
            of(now.served),
            of(now.refused),
            of(now.tested),
            of(now.failed),
            of(now.late),
            before.filter(|_| report.has_comparison()).map_or("-".to_owned(), served)
        ));
    }
}

const fn cohort_words(cohort: Cohort) -> &'static str {
    match cohort {
        Cohort::SignedIn => "signed in",
        Cohort::KnownReader => "readers of before",
        Cohort::Passed => "passed the test",
        Cohort::Feed => "feeds",
        Cohort::Tor => "Tor",
        Cohort::Unmarked => "others, not met",
        Cohort::Met => "met by a signature",
    }
}

fn sources(page: &mut Page, report: &Report) {
    page.part("Where it came through");
    if report.networks.is_empty() {
        page.point("No requests were sampled.");
        return;
    }
    page.line(&format!(
        "  Networks (/24, /48) in the sample: {}. By who registered them, in requests:",
        grouped(report.sample.prefixes)
    ));
    for network in report.networks.iter().take(MAX_SHOWN) {
        page.line(&format!("  {:>13.0}  {}", network.requests, network.registered));
    }
}

fn judged(page: &mut Page, assessments: &[Assessment]) {
    page.part("What is judged, not measured");
    if assessments.is_empty() {
        page.point("Nothing: what the record has allows no judgement of sources or tools.");
    }
    for one in assessments {
        let [likelihood, confidence] = one.sentences();
        page.point(&likelihood);
        page.more(&confidence);
        for (name, texts) in [
            ("What speaks for it", &one.evidence),
            ("What else it could be", &one.alternatives),
            ("What would change this", &one.would_change),
        ] {
            page.more(&format!("{name}: {}.", texts.join("; ")));
        }
    }
}

fn said(page: &mut Page, report: &Report) {
    if report.notes.is_empty() {
        return;
    }
    page.part("What people said (their words; the record asserts only that they were said)");
    for note in &report.notes {
        let kind = match note.kind {
            NoteKind::Observation => "the operator",
            NoteKind::Event => "an event before",
            NoteKind::Claim => "a claim, by others",
            NoteKind::Demand => "a demand, by others",
            NoteKind::Statement => "a statement, by others",
        };
        let source =
            note.source.as_ref().map_or(String::new(), |source| format!(", source: {source}"));
        let at = clock(note.at.to_string().as_str());
        page.point(&format!("{at}, {} ({kind}{source}): “{}”", note.author, note.text));
    }
}

fn record(page: &mut Page, report: &Report) {
    let record = &report.record;
    let state = if record.is_closed { "closed" } else { "not closed" };
    page.point(&format!(
        "{} lines, {} sealed segments, {state}.",
        grouped(record.lines),
        grouped(record.segments)
    ));
    if let Some(head) = &record.head {
        page.point(&format!(
            "Sealed with the key {}; the last seal is {head}. Whose key that is, a record cannot tell: `seawall verify --key PEM` compares it.",
            record.key
        ));
    }
    page.point(&format!("Made by {}.", report.begin.software));
    if let Some(from) = &report.begin.reconstructed {
        let at = clock(from.at.to_string().as_str());
        page.point(&format!("Reconstructed at {at} from these logs:"));
        for log in from.logs.iter().take(MAX_SHOWN) {
            page.more(&format!(
                "{}, {} bytes, SHA-256 {}",
                log.name,
                grouped(log.bytes),
                log.sha256
            ));
        }
        if from.logs.len() > MAX_SHOWN {
            page.more(&format!(
                "and {} more: see `export --format json`.",
                from.logs.len() - MAX_SHOWN
            ));
        }
    }
}

/// `10:08:00 UTC` with its day.
fn clock(at: &str) -> String {
    format!("{} {} UTC", at.get(..10).unwrap_or_default(), at.get(11..19).unwrap_or_default())
}

/// A part of a whole in percent, all only if it is all.
fn share(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => "-".to_owned(),
        (0, _) => "0 %".to_owned(),
        (part, whole) if part >= whole => "100 %".to_owned(),
        (part, whole) => {
            let tenths = (u128::from(part) * 1_000 / u128::from(whole)).clamp(1, 999);
            if (10..990).contains(&tenths) {
                format!("{} %", tenths / 10)
            } else {
                format!("{}.{} %", tenths / 10, tenths % 10)
            }
        }
    }
}

/// Words of strangers as a terminal may have them: nothing that moves its cursor or turns the direction of writing.
pub(super) fn plain(text: &str) -> String {
    let is_meant = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_meant(c) { c } else { '\u{fffd}' }).collect()
}

/// Lines of at most [`WIDTH`] characters.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, text: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{}", plain(text));
    }

    fn part(&mut self, name: &str) {
        self.line("");
        self.line(name);
    }

    fn point(&mut self, text: &str) {
        self.wrapped("  - ", text);
    }

    fn more(&mut self, text: &str) {
        self.wrapped("    ", text);
    }

    fn wrapped(&mut self, first: &str, text: &str) {
        let mut line = first.to_owned();
        for word in text.split_whitespace() {
            let is_full = line.chars().count() + word.chars().count() >= WIDTH;
            if is_full && line.trim().len() > 1 {
                self.line(line.trim_end());
                "    ".clone_into(&mut line);
            }
            line.push_str(word);
            line.push(' ');
        }
        self.line(line.trim_end());
    }
}

const WIDTH: usize = 100;
const MAX_SHOWN: usize = 8;
const MAX_BARS: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_strangers_do_not_reach_the_terminal_as_orders() {
        let mut report = Report::default();
        let history = MitigationHistory {
            signature: "\u{1b}[2Jx\u{202e}y\r\n".to_owned(),
            ..MitigationHistory::default()
        };
        report.mitigations.push(history);
        let page = page(&report);
        assert!(!page.contains(['\u{1b}', '\u{202e}', '\r']), "{page}");
        assert!(page.contains("x\u{fffd}y"), "{page}");
    }

    #[test]
    fn a_part_is_all_only_if_it_is_all() {
        for (part, whole, want) in [
            (0, 0, "-"),
            (0, 5, "0 %"),
            (1, 10_000, "0.1 %"),
            (1, 2, "50 %"),
            (9_999, 10_000, "99.9 %"),
            (5, 5, "100 %"),
        ] {
            assert_eq!(share(part, whole), want);
        }
    }

    #[test]
    fn no_page_says_more_than_a_record_can_carry() {
        for verdict in ["attack", "crowd", "mixed", ""] {
            let mut report =
                seawall_report::Collector::new().finish(seawall_report::RecordFacts::default());
            report.verdict = verdict.to_owned();
            report.assessments = seawall_report::derive(&report);
            report.mitigations.push(MitigationHistory::default());
            let page = page(&report);
            assert_eq!(seawall_report::lint::lint(&page), [], "{page}");
        }
    }

    #[test]
    fn long_sentences_are_broken_between_words() {
        let mut page = Page::default();
        page.point(&"word ".repeat(60));
        assert!(page.text.lines().all(|line| line.chars().count() <= WIDTH), "{}", page.text);
        assert_eq!(page.text.split_whitespace().filter(|it| *it == "word").count(), 60);
    }

    #[test]
    fn the_highest_bar_is_the_busiest_part() {
        let part = |peak_requests| Bucket { peak_requests, ..Bucket::default() };
        assert_eq!(bars(&[part(0), part(50), part(100)]), "▁▄█");
        assert_eq!(bars(&[]), "");
    }
}
