//! Texts for the authority that NIS2 names: early warning, incident notification, final report.
//!
//! Directive (EU) 2022/2555, Article 23(4): within 24 hours an early warning that says whether unlawful or malicious acts are
//! suspected and whether it may reach across borders; within 72 hours an assessment of severity and impact, with
//! indicators of compromise; within a month a description, the type of threat or root cause, what was done, and effects
//! across borders. What only a person can know is a gap, `[to be filled in: ...]`: nothing is made up to look complete. It does **not** say
//! whether somebody has to report, and sends nothing.

use std::fmt::Write as _;

use crate::entry::{NoteKind, RecordOrigin};
use crate::export::{ExportError, ExportOptions};
use crate::report::{CohortTotals, Report};
use crate::say::{about, count, counted, moment, percent, span};
use crate::{Verdict, wording};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Article 23(4)(a): within 24 hours of becoming aware.
    EarlyWarning,
    /// Article 23(4)(b): within 72 hours.
    Notification,
    /// Article 23(4)(d): within a month of the notification.
    FinalReport,
}

impl Stage {
    /// In the order in which they are due.
    pub const ALL: [Self; 3] = [Self::EarlyWarning, Self::Notification, Self::FinalReport];

    /// The name in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EarlyWarning => "early-warning",
            Self::Notification => "notification",
            Self::FinalReport => "final-report",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::EarlyWarning => {
                "Early warning of an incident (NIS2, Article 23(4)(a), within 24 hours)"
            }
            Self::Notification => "Incident notification (NIS2, Article 23(4)(b), within 72 hours)",
            Self::FinalReport => {
                "Final report on an incident (NIS2, Article 23(4)(d), within one month)"
            }
        }
    }
}

/// A text with gaps for what only people know.
///
/// # Errors
/// [`ExportError::SealedIsClear`]: choose another marking.
pub fn render(
    report: &Report,
    options: &ExportOptions,
    stage: Stage,
) -> Result<String, ExportError> {
    let shown = options.shown(report)?;
    let mut text = Text::default();
    head(&mut text, &shown, options, stage);
    suspicion(&mut text, &shown);
    borders(&mut text);
    match stage {
        Stage::EarlyWarning => so_far(&mut text, &shown),
        Stage::Notification => {
            severity(&mut text, &shown);
            indicators(&mut text, &shown);
            measures(&mut text, &shown);
            unknown(&mut text, &shown);
        }
        Stage::FinalReport => {
            severity(&mut text, &shown);
            cause(&mut text, &shown);
            indicators(&mut text, &shown);
            measures(&mut text, &shown);
            statements(&mut text, &shown);
            unknown(&mut text, &shown);
        }
    }
    text.part("Record");
    text.line(&record(&shown));
    Ok(text.0)
}

fn head(text: &mut Text, report: &Report, options: &ExportOptions, stage: Stage) {
    text.line(options.tlp.label());
    text.line(stage.title());
    text.line("Draft, made from the record of the incident. Nothing was sent. Fill in what stands in brackets.");
    text.part("Entity and contact");
    text.line(&format!("Entity: {}", options.reporter()));
    text.gap("registration number, sector and service under NIS2");
    match &options.contact {
        Some(contact) => text.line(&format!("Contact: {}", one_line(contact))),
        None => text.gap("name, telephone and mail address of who answers"),
    }
    text.part("Incident");
    text.line(&format!("Name: {}", report.begin.incident));
    text.line(&format!("Sites: {}", report.begin.sites.join(", ")));
    text.line(&format!("First alarm: {}", moment(report.begin.since)));
    match report.until {
        Some(until) => {
            let seconds = until.unix_s().saturating_sub(report.begin.since.unix_s());
            text.line(&format!(
                "Last alarm: {} ({} after the first)",
                moment(until),
                span(seconds)
            ));
        }
        None => text.line(&format!("It was still going on at {}.", moment(report.recorded_until))),
    }
    text.gap("when and how the entity became aware of it");
    text.line(&format!("In short: {}", wording::summary(report)));
}

fn suspicion(text: &mut Text, report: &Report) {
    text.part("Suspected unlawful or malicious act");
    if report.begin.origin == RecordOrigin::Rehearsal {
        text.line("Not suspected: this was a rehearsal, and all of its requests were generated on the machine itself.");
    } else {
        let answer = match report.taken_for() {
            Verdict::Attack => {
                "Suspected (a denial of service; who made the requests is not known)."
            }
            Verdict::Crowd => "Not suspected.",
            Verdict::Undecided | Verdict::NotJudged => "Neither suspected nor ruled out.",
        };
        text.line(&format!("{answer} {}", report.taken_for().sentence()));
    }
    for one in &report.assessments {
        text.line(&one.sentences().join(" "));
    }
    text.gap("whether a complaint to the police was or will be made");
}

fn borders(text: &mut Text) {
    text.part("Cross-border impact");
    text.line("The record does not say where readers are. Source networks are named by who registered them, which says nothing of who used them.");
    text.gap("whether services in other Member States depend on these sites, and which");
}

fn so_far(text: &mut Text, report: &Report) {
    text.part("What is known so far");
    figures(text, report);
    text.gap("what help is asked for (Article 23(5))");
}

fn figures(text: &mut Text, report: &Report) {
    let totals = &report.totals;
    text.line(&format!(
        "Requests: {}, of which {} beyond what is ordinary; {} in the busiest second ({}).",
        count(totals.requests),
        count(totals.excess),
        count(report.peak.requests),
        moment(report.peak.at)
    ));
    let work = format!(
        "Answered by the sites' own servers: {}; spared them: {}.",
        count(totals.origin),
        count(totals.spared)
    );
    text.line(&if report.is_reconstructed() {
        format!(
            "Worked out from logs: a signature would have met {}; nobody was refused by it. {work}",
            count(totals.matched)
        )
    } else {
        format!(
            "Refused: {}. Met by a signature: {}. {work}",
            count(totals.refused),
            count(totals.matched)
        )
    });
    if totals.rx_bytes > 0 {
        text.line(&format!(
            "Received: {} bytes; sent: {} bytes.",
            count(totals.rx_bytes),
            count(totals.tx_bytes)
        ));
    }
}

fn severity(text: &mut Text, report: &Report) {
    text.part("Severity and impact");
    figures(text, report);
    let (requests, served) = CohortTotals::unmet(&report.cohorts);
    let (before, served_before) = CohortTotals::unmet(&report.cohorts_before);
    text.line(&format!(
        "Of {} requests that no signature {}, {} were answered with what was asked for; {} in the time before.",
        count(requests), wording::met(report), percent(served, requests),
        match before {
            0 => "not measured".to_owned(),
            _ if !report.has_comparison() => "too little was measured".to_owned(),
            _ => percent(served_before, before),
        }
    ));
    if let Some(node) = &report.node {
        text.line(&match node.link_full_s {
            Some(full_s) => format!(
                "The line to the machine was full for {}.",
                counted(full_s, "second", "seconds")
            ),
            None => {
                "Whether the line to the machine was full is not known: no interface states its speed.".to_owned()
            }
        });
        text.line(&format!(
            "The sites' own servers were not well for {}.",
            counted(node.origin_unhealthy_s, "second", "seconds")
        ));
    }
    text.gap("how many users were affected, for how long, and what it cost (Article 23(3))");
    text.gap("whether any data was read or changed: a flood of requests says nothing of that");
}

fn cause(text: &mut Text, report: &Report) {
    text.part("Type of threat and root cause");
    text.line(&format!("Type: {}.", wording::kind(report)));
    text.line("Who ordered it, paid for it or steered it cannot be told from traffic.");
    text.gap(
        "root cause, as far as it is known: what made these sites a target, what made them slow",
    );
}

fn indicators(text: &mut Text, report: &Report) {
    text.part("Indicators of compromise");
    text.line("Nothing was compromised by the requests themselves. They are told from others by:");
    for history in report.mitigations.iter().filter(|it| !it.signature.is_empty()).take(MAX_LISTED)
    {
        text.line(&format!(
            "  {} ({} {} requests)",
            one_line(&history.signature),
            wording::met(report),
            count(history.met.matched)
        ));
    }
    if report.mitigations.is_empty() {
        text.line("  no signature that tells them from ordinary ones");
    }
    text.line(&format!(
        "Source networks in the sample: {}. The largest, by registrant, with requests:",
        count(report.sample.prefixes)
    ));
    for network in report.networks.iter().take(MAX_LISTED) {
        text.line(&format!(
            "  {}: about {}",
            one_line(&network.registered),
            about(network.requests)
        ));
    }
    text.line("In full, for programs: `seawall report export --format stix`, or `misp`.");
}

fn measures(text: &mut Text, report: &Report) {
    text.part("What was done");
    if report.is_reconstructed() {
        text.line("Nothing by Seawall, which was not there. By the logs it would have done:");
    }
    for history in report.mitigations.iter().take(MAX_LISTED) {
        let what = history.hardest_in_words();
        let signature = one_line(&history.signature);
        text.line(&if report.is_reconstructed() {
            format!("  {signature}: would at the hardest have been {what}")
        } else {
            format!(
                "  {signature}: at the hardest {what}; {} refused, {} tested",
                count(history.met.blocked),
                count(history.met.tests_set)
            )
        });
    }
    if report.mitigations.is_empty() && report.is_reconstructed() {
        text.line("  nothing about any signature");
    } else if report.mitigations.is_empty() {
        text.line("  no signature was acted on; the work of the sites' own servers was bounded");
    }
    text.gap("what else was done, by whom, and what will be");
}

/// Words of people, as such.
fn statements(text: &mut Text, report: &Report) {
    if report.notes.is_empty() {
        return;
    }
    text.part("Statements (what people said; that it was said is recorded, not that it is true)");
    for note in report.notes.iter().take(MAX_LISTED) {
        let whose = if note.kind == NoteKind::Observation { "operator" } else { "others" };
        text.line(&format!(
            "  {}, {} ({whose}): \u{201c}{}\u{201d}",
            moment(note.at),
            one_line(&note.author),
            one_line(&note.text)
        ));
    }
}

fn unknown(text: &mut Text, report: &Report) {
    text.part("What is not known");
    report.unknown.iter().for_each(|sentence| text.line(&format!("  {sentence}")));
}

fn record(report: &Report) -> String {
    match &report.record.head {
        Some(head) => format!(
            "{} segments sealed with the key {}; SHA-256 of the last seal: {head}.",
            count(report.record.segments),
            report.record.key
        ),
        None => "Not sealed yet.".to_owned(),
    }
}

/// Words of others may not look like lines of ours.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn part(&mut self, name: &str) {
        let _ = writeln!(self.0, "\n{name}\n{}", "-".repeat(name.chars().count()));
    }

    fn gap(&mut self, what: &str) {
        self.line(&format!("[to be filled in: {what}]"));
    }
}

const MAX_LISTED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;
    use crate::{Note, Tlp};

    fn text(report: &Report, stage: Stage) -> String {
        render(report, &ExportOptions::default(), stage).expect("public")
    }

    #[test]
    fn each_stage_has_what_its_article_asks_for_with_the_sums_of_the_report() {
        let report = example();
        for (stage, parts) in [
            (
                Stage::EarlyWarning,
                &["Suspected unlawful", "Cross-border impact", "what help is"][..],
            ),
            (
                Stage::Notification,
                &["Suspected unlawful", "Severity and impact", "Indicators of compromise"][..],
            ),
            (
                Stage::FinalReport,
                &["root cause", "What was done", "Cross-border impact", "Severity and impact"][..],
            ),
        ] {
            let text = text(&report, stage);
            for part in parts {
                assert!(text.contains(part), "`{part}` is not in: {text}");
            }
            for figure in [report.totals.requests, report.totals.excess, report.totals.refused] {
                assert!(text.contains(&count(figure)), "{figure} is not in: {text}");
            }
            assert!(text.contains("[to be filled in:"), "{text}");
            assert!(text.starts_with(Tlp::Amber.label()), "{text}");
        }
    }

    /// Whether an attack is suspected is said, and nothing else is called one.
    #[track_caller]
    fn check_suspicion(report: &Report, want: &str) {
        for stage in Stage::ALL {
            let text = text(report, stage);
            assert!(text.contains(&format!("\n{want}")), "{text}");
            let is_called_one = text.contains("Type: HTTP flood");
            let is_one = want.starts_with("Suspected") && stage == Stage::FinalReport;
            assert_eq!(is_called_one, is_one, "{text}");
        }
    }

    #[test]
    fn only_what_was_taken_for_an_attack_that_happened_is_suspected() {
        let of = |verdict: &str| Report { verdict: verdict.to_owned(), ..example() };
        check_suspicion(&of("attack"), "Suspected (a denial of service; ");
        check_suspicion(&of("crowd"), "Not suspected. ");
        check_suspicion(&of("mixed"), "Neither suspected nor ruled out. ");
        check_suspicion(&of(""), "Neither suspected nor ruled out. ");
        let mut rehearsal = of("attack");
        rehearsal.begin.origin = RecordOrigin::Rehearsal;
        check_suspicion(&rehearsal, "Not suspected: this was a rehearsal");
    }

    #[test]
    fn a_line_is_said_to_have_had_room_only_if_somebody_knows_its_speed() {
        for (link_full_s, want) in [
            (None, "Whether the line to the machine was full is not known"),
            (Some(0), "The line to the machine was full for 0 seconds."),
        ] {
            let mut report = example();
            report.node.as_mut().expect("somebody looked").link_full_s = link_full_s;
            let text = text(&report, Stage::Notification);
            assert!(text.contains(want), "{text}");
        }
    }

    #[test]
    fn words_of_others_stay_on_their_line() {
        let mut report = example();
        let words = "x\nSuspected: no\r\n[to be filled in: nothing]".to_owned();
        report.notes = vec![Note { text: words, ..Note::default() }];
        let text = text(&report, Stage::FinalReport);
        assert!(text.contains("\u{201c}x Suspected: no"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("Suspected: no")), "{text}");
    }
}
