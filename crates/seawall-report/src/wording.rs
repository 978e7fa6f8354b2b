//! A few words that all formats need of a report: what it is called, what kinds are called there, and how a judgement is
//! said.
//!
//! Separate so that all of them name the same thing alike.

use seawall_model::Rung;

use crate::entry::{NoteKind, RecordOrigin};
use crate::{Assessment, Confidence, Likelihood, Report, Subject, Verdict};

/// What happened, in a few words. Neither a flash crowd nor a rehearsal is called an attack.
pub(crate) fn kind(report: &Report) -> &'static str {
    match report.taken_for() {
        _ if report.begin.origin == RecordOrigin::Rehearsal => "Rehearsal with generated requests",
        Verdict::Attack => "HTTP flood",
        Verdict::Crowd => "Many readers at once",
        Verdict::Undecided | Verdict::NotJudged => "More requests than usual",
    }
}

/// Whether the shield took it for an attack, and not for something that may be one. A rehearsal is none, whatever it thought.
pub(crate) fn is_attack(report: &Report) -> bool {
    report.begin.origin != RecordOrigin::Rehearsal && report.taken_for() == Verdict::Attack
}

/// What a mitigation did, or would have done.
pub(crate) fn met(report: &Report) -> &'static str {
    if report.is_reconstructed() { "would have met" } else { "met" }
}

/// The title of an export.
pub(crate) fn title(report: &Report) -> String {
    let sites = report.begin.sites.join(", ");
    let on = if sites.is_empty() { String::new() } else { format!(" on {sites}") };
    format!("{}{on}, {}", kind(report), report.begin.since)
}

/// The figures in three sentences, and what it was taken for in one.
pub(crate) fn summary(report: &Report) -> String {
    let totals = &report.totals;
    let until = match report.until {
        Some(until) => format!("to {until}"),
        None => format!("to {} and going on", report.recorded_until),
    };
    let met = if report.is_reconstructed() {
        format!("A mitigation would have met {}; nobody was refused by it.", totals.matched)
    } else {
        format!("{} were refused; a mitigation met {}.", totals.refused, totals.matched)
    };
    format!(
        "From {} {until}: {} requests in {} counted seconds, about {:.0} of them ordinary. {met} The busiest second was {} with {} requests. {}{}",
        report.begin.since,
        totals.requests,
        totals.seconds,
        totals.expected,
        report.peak.at,
        report.peak.requests,
        report.taken_for().sentence(),
        origin(report),
    )
}

/// Where the facts are from, where they are not the shield's own.
fn origin(report: &Report) -> &'static str {
    match report.begin.origin {
        RecordOrigin::Live => "",
        RecordOrigin::Replay => " Reconstructed from access logs of another program.",
        RecordOrigin::Rehearsal => " A rehearsal: the requests were generated for it.",
    }
}

/// What is judged.
pub(crate) const fn subject(subject: Subject) -> &'static str {
    match subject {
        Subject::Tor => "requests came through Tor exits",
        Subject::Hosting => "requests came from hosting networks",
        Subject::Proxies => "requests came through residential or open proxies",
        Subject::Devices => "requests came from devices in homes",
        Subject::SingleTool => "one tool made most of the requests",
        Subject::ToolFamily => "the requests are consistent with a family of tools",
        Subject::Crowd => "many readers came at once, and there was no attack",
    }
}

/// ICD 203.
pub(crate) const fn likelihood(likelihood: Likelihood) -> &'static str {
    match likelihood {
        Likelihood::AlmostNoChance => "almost no chance",
        Likelihood::VeryUnlikely => "very unlikely",
        Likelihood::Unlikely => "unlikely",
        Likelihood::RoughlyEven => "roughly even chance",
        Likelihood::Likely => "likely",
        Likelihood::VeryLikely => "very likely",
        Likelihood::AlmostCertain => "almost certain",
    }
}

/// From and to how many in a hundred.
pub(crate) const fn percents(likelihood: Likelihood) -> [u8; 2] {
    match likelihood {
        Likelihood::AlmostNoChance => [1, 5],
        Likelihood::VeryUnlikely => [5, 20],
        Likelihood::Unlikely => [20, 45],
        Likelihood::RoughlyEven => [45, 55],
        Likelihood::Likely => [55, 80],
        Likelihood::VeryLikely => [80, 95],
        Likelihood::AlmostCertain => [95, 99],
    }
}

pub(crate) const fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Low => "low",
        Confidence::Moderate => "moderate",
        Confidence::High => "high",
    }
}

/// How likely it is, in a sentence of three parts; the second is the band.
pub(crate) fn likelihood_sentence(one: &Assessment) -> [String; 3] {
    let start = match one.likelihood {
        Likelihood::AlmostNoChance => "There is ",
        Likelihood::RoughlyEven => "There is a ",
        _ => "It is ",
    };
    let [from, to] = percents(one.likelihood);
    let end = format!(" ({from} to {to} %) that {}.", subject(one.subject));
    [start.to_owned(), likelihood(one.likelihood).to_owned(), end]
}

/// How sure we are of that, in a sentence of three parts; the second is the word for it.
pub(crate) fn confidence_sentence(one: &Assessment) -> [String; 3] {
    let why = match one.confidence {
        Confidence::Low => "little or indirect evidence",
        Confidence::Moderate => "plausible evidence that nothing else confirms",
        Confidence::High => "several kinds of evidence that agree",
    };
    let word = confidence(one.confidence).to_owned();
    ["Our confidence in this judgement is ".to_owned(), word, format!(": it rests on {why}.")]
}

/// A judgement in full.
pub(crate) fn judgement(one: &Assessment) -> String {
    let mut text = format!("Judged, not measured. {}", one.sentences().join(" "));
    for (what, list) in [
        ("Evidence", &one.evidence),
        ("Alternatives", &one.alternatives),
        ("Would change it", &one.would_change),
    ] {
        for line in list {
            text.push_str(&format!("\n{what}: {line}"));
        }
    }
    text
}

/// What a rung does to what is on it; `None` of a name that is none.
pub(crate) fn rung(name: &str) -> Option<&'static str> {
    Some(match Rung::ALL.into_iter().find(|rung| rung.as_str() == name)? {
        Rung::Observe => "only counted",
        Rung::Demote => "put behind others",
        Rung::Challenge => "given a cheap test",
        Rung::Block => "refused",
    })
}

/// Why there is a gap; `None` of a reason that a later version gives.
pub(crate) fn gap(why: &str) -> Option<&'static str> {
    Some(match why {
        "killed" => "the program was ended or broke down",
        "disk_full" => "the disk was full",
        "disk_error" => "the disk failed",
        "overload" => "the recorder could not keep up",
        "clock_jump" => "the clock was set",
        _ => return None,
    })
}

/// Whose words a note is.
pub(crate) const fn note(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::Observation => "Observation of the operator",
        NoteKind::Event => "A public event that came before",
        NoteKind::Claim => "Statement by others: somebody claims to have done it",
        NoteKind::Demand => "Statement by others: somebody demands something",
        NoteKind::Statement => "Statement by others",
    }
}

/// `AS64500 Example (DE)`: the number, and the name without the country.
pub(crate) fn autonomous_system(registered: &str) -> Option<(u32, &str)> {
    let (number, rest) = match registered.split_once(' ') {
        Some((number, rest)) => (number, rest),
        None => (registered, ""),
    };
    let number = number.strip_prefix("AS")?.parse().ok()?;
    let name = match rest.rsplit_once(" (") {
        Some((name, country)) if country.len() == 3 && country.ends_with(')') => name,
        _ => rest,
    };
    Some((number, name.trim()))
}

/// A host without its port.
pub(crate) fn host(site: &str) -> &str {
    if let Some((host, _)) = site.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    match site.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => host,
        _ => site,
    }
}

/// Whether it can be a host name (RFC 1123 §2.1).
pub(crate) fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(is_inner)
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_as_the_lists_write_it() {
        assert_eq!(autonomous_system("AS64500 Example (DE)"), Some((64_500, "Example")));
        assert_eq!(autonomous_system("AS64500 A (B) Ltd"), Some((64_500, "A (B) Ltd")));
        assert_eq!(autonomous_system("AS64500"), Some((64_500, "")));
        assert_eq!(autonomous_system("Example"), None);
        assert_eq!(autonomous_system("AS99999999999 X"), None);
    }

    #[test]
    fn only_what_was_taken_for_an_attack_and_is_no_rehearsal_is_called_one() {
        let of = |verdict: &str| Report { verdict: verdict.to_owned(), ..Report::default() };
        let mut rehearsal = of("attack");
        assert!(is_attack(&rehearsal));
        rehearsal.begin.origin = RecordOrigin::Rehearsal;
        for report in [of("crowd"), of("mixed"), of(""), rehearsal] {
            assert!(!is_attack(&report));
            assert!(!title(&report).contains("flood"), "{}", title(&report));
        }
    }

    #[test]
    fn a_host_is_what_stands_before_its_port() {
        for (site, want) in [
            ("www.daily.example", "www.daily.example"),
            ("daily.example:8443", "daily.example"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("127.0.0.1:80", "127.0.0.1"),
        ] {
            assert_eq!(host(site), want);
        }
    }
}
