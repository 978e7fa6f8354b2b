//! Names of closed lists, in words.

use crate::{Cohort, Report, wording};

/// The name of what was attacked.
pub(super) fn site(report: &Report) -> String {
    match report.begin.sites.as_slice() {
        [] => "a site without a name".to_owned(),
        // The configuration takes every name.
        [site, ..] if site == "*" => "a site under any name".to_owned(),
        [site, ..] => super::clean::line(site),
    }
}

/// Where nobody was: readers may have been there all the same.
pub(super) const NO_SURE_READER: &str = "Of no request it is certain that a reader made it: nobody was signed in, known from before or past the test.";

pub(super) fn cohort(cohort: Cohort) -> (&'static str, &'static str) {
    match cohort {
        Cohort::SignedIn => ("Signed in", "the site or the operator vouched for them"),
        Cohort::KnownReader => ("Known readers", "seen reading for at least a day"),
        Cohort::Passed => ("Passed the test", "followed the cheap test to its end"),
        Cohort::Met => ("Met by a mitigation", "looked like a signature that was in force"),
        Cohort::Feed => ("Feeds", "ask for feeds"),
        Cohort::Tor => ("Tor", "come through Tor exits, and met no mitigation"),
        Cohort::Unmarked => {
            ("Anybody else", "readers, programs, and attackers whom nobody recognised")
        }
    }
}

/// A state of the watch.
pub(super) fn state(name: &str) -> String {
    match name {
        "normal" => "ordinary",
        "watch" => "watching",
        "crowd" => "crowd",
        "mixed" => "undecided",
        "attack" => "attack",
        "recovery" => "recovery",
        other => return super::clean::line(other),
    }
    .to_owned()
}

/// What a rung does.
pub(super) fn rung(name: Option<&str>) -> String {
    let Some(name) = name else { return "nothing".to_owned() };
    wording::rung(name).map_or_else(|| super::clean::line(name), str::to_owned)
}

/// Why a mitigation was moved.
pub(super) fn why(name: &str) -> String {
    match name {
        "found" => "it explains what is too much",
        "returned" => "it was known, and came back",
        "stands" => "the evidence was enough to go further",
        "nobody_passes" => "those it meets went on and did not pass the test",
        "beyond_budget" => "those it meets went on beyond the budget of pages in hand",
        "no_readers" => {
            "no test can be put before what they ask for, and none was ever seen to read"
        }
        "some_pass" => "too many of those it meets passed the test",
        "reader_hurt" => "a synthetic reader was kept from reading; taken back",
        "no_effect" => "it explained next to nothing of what was too much",
        "weaker" => "the evidence was not enough any more",
        "crowd" => "it was taken for a crowd",
        "ceased" => "what it means had ceased",
        "no_room" => "there were more important ones",
        "operator" => "the operator wanted it so",
        other => return super::clean::line(other),
    }
    .to_owned()
}

/// Why there is a gap.
pub(super) fn gap(why: &str) -> String {
    wording::gap(why).map_or_else(|| super::clean::line(why), str::to_owned)
}

/// What was lost.
pub(super) fn lost(what: &str) -> String {
    match what {
        "observations" => "observations of requests",
        "log_lines" => "lines of the access log",
        "events" => "events",
        "rows" => "rows of the sample",
        "sources" => "sources",
        other => return super::clean::line(other),
    }
    .to_owned()
}

/// An attribute of requests, by the detector's name: said so that who never saw a request knows what is meant.
pub(super) fn attribute(name: &str) -> String {
    match name {
        "JA4" => "TLS greeting",
        "HTTP/2 preface" => "HTTP/2 greeting",
        "field order" => "order of fields",
        "browser" => "program, as it says",
        "consistency" => "how well fields fit together",
        "cookie" => "cookies",
        // The others are plain words.
        other => return super::clean::line(other),
    }
    .to_owned()
}
