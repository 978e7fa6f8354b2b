//! What may be judged of a report, by rules that anybody can apply again.
//!
//! | subject | what speaks for it | likelihood |
//! |---|---|---|
//! | Tor, hosting | the part of what mitigations met that came through networks on the operator's lists; `low`, the lower end of the 95 % interval (Wilson) of that part | `low` ≥ 0.9: almost certain (Tor) or very likely (hosting: lists of it are rougher); ≥ 0.7: very likely; > 0.5: likely; above 0.4 at least in the middle: roughly even |
//! | one tool | the most frequent JA4 and the most frequent order of fields (user agent where none is known): at least `a + b - 1` of all have both; each at least four times as frequent as among others; 20 networks at least | that part ≥ 0.9: very likely; ≥ 0.75: likely |
//! | tool family | the most frequent name of a user agent is that of a tool, with 0.8 of what was met, and four times as frequent as among others | likely |
//! | proxies, devices | one tool by the rule above, over 500 registrants at least (Qurium; detection.md §9), most of it neither hosting nor Tor. It says that it is a browser: proxies; else: devices | likely |
//! | crowd | the shield's verdict, and that mitigations met less than a tenth of the excess | very likely; likely if they met more |
//!
//! Requests of one network are no independent witnesses: intervals count networks, weighted (Kish's effective number), not rows.
//! Below 200 rows that a mitigation met, or five such networks, nothing is judged of sources and tools. Confidence is high only where two kinds of evidence that clients
//! choose separately agree over 500 registrants; low below 50 networks, for what clients merely say of themselves, and for all that was
//! reconstructed from logs. Of a rehearsal nothing is judged.

use seawall_model::Attribute;

use super::families::{is_browser, is_tool};
use super::{Assessment, Confidence, Likelihood, Subject};
use crate::entry::RecordOrigin;
use crate::report::{CohortTotals, Look, Report};
use crate::say::{count, counted, moment, part, ratio};
use crate::verdict::Verdict;
use crate::wording;

/// All that can be judged of this report. Deterministic; O(sources + looks).
pub fn derive(report: &Report) -> Vec<Assessment> {
    if report.begin.origin == RecordOrigin::Rehearsal {
        return Vec::new();
    }
    let mut judged = Vec::new();
    if report.taken_for() == Verdict::Crowd {
        judged.push(crowd(report));
    } else if let Some(met) = Met::of(report) {
        judged.extend(listed(&met, Subject::Tor, "tor"));
        judged.extend(listed(&met, Subject::Hosting, "hosting"));
        let tool = one_tool(report, &met);
        judged.extend(tool.as_ref().and_then(|tool| spread(report, &met, tool)));
        judged.extend(tool);
        judged.extend(family(report));
    }
    if report.begin.origin == RecordOrigin::Replay {
        judged.iter_mut().for_each(|it| it.confidence = Confidence::Low);
    }
    judged
}

/// Where what mitigations met came from.
struct Met {
    /// "met", or "would have met".
    word: &'static str,
    rows: u64,
    networks: u64,
    /// Requests by source: those met, and whether it has a mark.
    weights: Vec<(f64, Vec<String>)>,
    /// Weights of all others by mark.
    others: Vec<(f64, Vec<String>)>,
}

impl Met {
    /// `None` if there is too little to judge.
    fn of(report: &Report) -> Option<Self> {
        let word = wording::met(report);
        let mut met = Self { word, rows: 0, networks: 0, weights: Vec::new(), others: Vec::new() };
        for source in &report.sources {
            let weight = source.requests * part(source.met_rows, source.rows);
            if source.met_rows > 0 {
                met.rows = met.rows.saturating_add(source.met_rows);
                met.networks += 1;
                met.weights.push((weight, source.marks.clone()));
            }
            met.others.push((source.requests - weight, source.marks.clone()));
        }
        (met.rows >= MIN_ROWS && met.networks >= MIN_NETWORKS).then_some(met)
    }

    /// The part that has a mark, with its interval.
    fn share(&self, has: impl Fn(&[String]) -> bool) -> Interval {
        Interval::of(&self.weights, has)
    }

    fn confidence(&self) -> Confidence {
        if self.networks < 50 { Confidence::Low } else { Confidence::Moderate }
    }
}

/// A part of a whole and how far it may be off.
#[derive(Clone, Copy, Debug)]
struct Interval {
    low: f64,
    middle: f64,
}

impl Interval {
    fn of(weights: &[(f64, Vec<String>)], has: impl Fn(&[String]) -> bool) -> Self {
        let sum: f64 = weights.iter().map(|(weight, _)| weight).sum();
        let squares: f64 = weights.iter().map(|(weight, _)| weight * weight).sum();
        if sum <= 0.0 || squares <= 0.0 {
            return Self { low: 0.0, middle: 0.0 };
        }
        let marked: f64 = weights.iter().filter(|it| has(&it.1)).map(|(weight, _)| weight).sum();
        let (part, n) = (marked / sum, sum * sum / squares);
        // Wilson (1927), 95 %.
        let z = 1.96_f64;
        let middle = part + z * z / (2.0 * n);
        let half = z * (part * (1.0 - part) / n + z * z / (4.0 * n * n)).sqrt();
        Self { low: ((middle - half) / (1.0 + z * z / n)).max(0.0), middle: part }
    }
}

/// Sources on one of the operator's lists.
fn listed(met: &Met, subject: Subject, mark: &str) -> Option<Assessment> {
    let has = |marks: &[String]| marks.iter().any(|it| it == mark);
    let share = met.share(has);
    let others = Interval::of(&met.others, has).middle;
    let is_tor = subject == Subject::Tor;
    let likelihood = match share.low {
        low if low >= 0.9 && is_tor => Likelihood::AlmostCertain,
        low if low >= 0.7 => Likelihood::VeryLikely,
        low if low > 0.5 => Likelihood::Likely,
        _ if share.middle > 0.4 => Likelihood::RoughlyEven,
        _ => return None,
    };
    let list = if is_tor { "list of Tor exits" } else { "list of hosting networks" };
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    let (alternatives, would_change) = if is_tor {
        (
            texts(&[
                "addresses that were exits when the list was made, and served something else at the time",
            ]),
            texts(&[
                "the history of exits of the Tor project (ExoneraTor) for these addresses and times",
            ]),
        )
    } else {
        (
            texts(&[
                "readers behind a company's virtual private network that leaves through a hosting network",
                "a proxy service that rents its exits there, and whoever uses it",
            ]),
            texts(&["a provider's word on what these machines were rented for at the time"]),
        )
    };
    Some(Assessment {
        subject,
        likelihood,
        confidence: met.confidence(),
        evidence: vec![
            format!(
                "about {} of the requests that a mitigation {} came through networks on the operator's {list}, and {} of all others",
                ratio(share.middle),
                met.word,
                ratio(others)
            ),
            of_sample(met),
        ],
        alternatives,
        would_change,
    })
}

fn of_sample(met: &Met) -> String {
    let networks = counted(met.networks, "network", "networks");
    format!(
        "this rests on {} requests of the sample that a mitigation {}, of {networks}",
        count(met.rows),
        met.word
    )
}

/// One tool, told by its greeting and by how its requests are put together.
fn one_tool(report: &Report, met: &Met) -> Option<Assessment> {
    let greeting = top(report, Attribute::Ja4)?;
    let order = top(report, Attribute::FieldOrder).or_else(|| top(report, Attribute::UserAgent))?;
    let is_own = |look: &Look| look.share_of_met >= 4.0 * look.share_of_others;
    let both = greeting.share_of_met + order.share_of_met - 1.0;
    if met.networks < 20 || !is_own(greeting) || !is_own(order) {
        return None;
    }
    let likelihood = match both {
        both if both >= 0.9 => Likelihood::VeryLikely,
        both if both >= 0.75 => Likelihood::Likely,
        _ => return None,
    };
    let confidence =
        if registrants(report) >= MANY_REGISTRANTS { Confidence::High } else { met.confidence() };
    let evidence = |look: &Look, what: &str| {
        format!(
            "{} of the requests that a mitigation {} have the same {what}, and {} of all others",
            ratio(look.share_of_met),
            met.word,
            ratio(look.share_of_others)
        )
    };
    let which = match Attribute::FieldOrder.as_str() {
        name if name == order.attribute => "order of fields",
        _ => "user agent",
    };
    Some(Assessment {
        subject: Subject::SingleTool,
        likelihood,
        confidence,
        evidence: vec![
            evidence(greeting, "TLS greeting (JA4)"),
            evidence(order, which),
            of_sample(met),
        ],
        alternatives: vec![
            "several tools that are built on the same library".to_owned(),
            "many readers of one version of a browser or an app".to_owned(),
        ],
        would_change: vec![format!(
            "a browser or an app in wide use that makes the same greeting with the same {which}"
        )],
    })
}

/// One tool on very many networks of people.
fn spread(report: &Report, met: &Met, tool: &Assessment) -> Option<Assessment> {
    let registrants = registrants(report);
    let of_people = met.share(|marks| !marks.iter().any(|it| it == "tor" || it == "hosting"));
    let knows_hosting =
        report.sources.iter().any(|it| it.marks.iter().any(|mark| mark == "hosting"));
    if registrants < MANY_REGISTRANTS || of_people.low <= 0.5 || !knows_hosting {
        return None;
    }
    let says_browser = top(report, Attribute::UserAgentFamily)
        .is_some_and(|look| look.share_of_met >= 0.5 && is_browser(&look.text));
    let (subject, alternative) = if says_browser {
        (Subject::Proxies, "devices in homes that were taken over, and imitate a browser")
    } else {
        (Subject::Devices, "a tool that runs elsewhere and goes through proxies in homes")
    };
    let mut evidence = vec![format!(
        "requests of one tool came through networks of {} registrants, about {} of them neither hosting networks nor Tor exits",
        count(registrants),
        ratio(of_people.middle)
    )];
    evidence.extend(tool.evidence.iter().take(2).cloned());
    Some(Assessment {
        subject,
        likelihood: Likelihood::Likely,
        confidence: Confidence::Low,
        evidence,
        alternatives: vec![
            alternative.to_owned(),
            "people who run the same tool by agreement".to_owned(),
        ],
        would_change: vec![
            "round-trip times of TCP and TLS side by side: behind a proxy they differ".to_owned(),
            "what providers find on some of these lines".to_owned(),
        ],
    })
}

fn family(report: &Report) -> Option<Assessment> {
    let look = top(report, Attribute::UserAgentFamily)?;
    let is_own = look.share_of_met >= 0.8 && look.share_of_met >= 4.0 * look.share_of_others;
    if !is_own || !is_tool(&look.text) {
        return None;
    }
    Some(Assessment {
        subject: Subject::ToolFamily,
        likelihood: Likelihood::Likely,
        confidence: Confidence::Low,
        evidence: vec![format!(
            "{} of the requests that a mitigation {} call themselves `{}`, and {} of all others",
            ratio(look.share_of_met),
            wording::met(report),
            look.text,
            ratio(look.share_of_others)
        )],
        alternatives: vec!["another tool that gives this name: anybody can write it".to_owned()],
        would_change: vec![
            "a TLS greeting or an order of fields that this family never makes".to_owned(),
        ],
    })
}

fn crowd(report: &Report) -> Assessment {
    let (totals, met) = (&report.totals, part(report.totals.matched, report.totals.excess));
    let likelihood = if met < 0.1 { Likelihood::VeryLikely } else { Likelihood::Likely };
    let mut evidence = Vec::new();
    if let Some(judged) = report.states.iter().find(|change| change.state == "crowd") {
        evidence.push(format!(
            "the watch took it for a crowd from {} on, by what clients are, what they load and how they go on; the figures of that are not in the record",
            moment(judged.at)
        ));
    }
    evidence.push(format!(
        "{} requests came beyond what is ordinary; a mitigation {} {}, as many as {} of that",
        count(totals.excess),
        wording::met(report),
        count(totals.matched),
        ratio(met)
    ));
    let readers = |cohorts: &[CohortTotals]| {
        let (all, sure) = cohorts.iter().fold((0_u64, 0_u64), |(all, sure), it| {
            let its = if it.cohort.is_surely_reader() { it.requests } else { 0 };
            (all.saturating_add(it.requests), sure.saturating_add(its))
        });
        part(sure, all)
    };
    let sure = readers(&report.cohorts);
    if sure > 0.0 {
        let before = match report.has_comparison() {
            true => format!(", and of those before {}", ratio(readers(&report.cohorts_before))),
            false => String::new(),
        };
        evidence.push(format!(
            "of the requests {} came from clients who were surely readers{before}",
            ratio(sure)
        ));
    }
    if totals.tests_set > 0 {
        evidence.push(format!(
            "of {} that were set {} were passed",
            counted(totals.tests_set, "cheap test", "cheap tests"),
            count(totals.tests_passed)
        ));
    }
    Assessment {
        subject: Subject::Crowd,
        likelihood,
        confidence: Confidence::Moderate,
        evidence,
        alternatives: vec![
            "a flood that imitates readers in everything that was looked at".to_owned(),
        ],
        would_change: vec![
            "no event, link or broadcast that could have sent so many readers at that time"
                .to_owned(),
            "visitors who do not show up in the site's own statistics".to_owned(),
        ],
    }
}

/// The most frequent look of what was met, by any of these names of an attribute.
fn top(report: &Report, attribute: Attribute) -> Option<&Look> {
    let looks = report.looks.iter().filter(|look| look.attribute == attribute.as_str());
    looks.max_by(|a, b| a.share_of_met.total_cmp(&b.share_of_met))
}

/// Different registrants of networks from which something was met.
fn registrants(report: &Report) -> u64 {
    let known = |name: &str| !matches!(name, "unknown" | "others");
    report.networks.iter().filter(|it| it.met_rows > 0 && known(&it.registered)).count() as u64
}

/// Below that a part is known to no better than 7 in a hundred even if all rows are independent.
const MIN_ROWS: u64 = 200;
const MIN_NETWORKS: u64 = 5;
/// "One JA4+header hash over ≥ 500 ASNs" (detection.md §9).
const MANY_REGISTRANTS: u64 = 500;

#[cfg(test)]
mod tests;
