//! Mitigations in words for a person at three in the morning: what stands, what it did, on what it
//! rests, and what to type if it is wrong.
//!
//! A key that is missing leaves its words out, so that two versions that differ still understand each
//! other.

use std::fmt::Write as _;

use seawall_detect::{describe_evidence, percent_up};
use serde_json::Value;

use crate::figures::time_span;

fn whole(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

fn number(value: &Value, name: &str) -> Option<f64> {
    value.get(name)?.as_f64()
}

fn word<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What goes on: `attack: origin_cost and requests are out of the ordinary`.
pub(crate) fn state(status: &Value) -> Option<String> {
    let state = word(status, "state")?;
    let alarms: Vec<&str> = items(status, "alarms").iter().filter_map(Value::as_str).collect();
    Some(match alarms[..] {
        [] => state.to_owned(),
        [one] => format!("{state}: {one} is out of the ordinary"),
        _ => format!("{state}: {} are out of the ordinary", alarms.join(", ")),
    })
}

/// What is known of ordinary times: `12.0/s would be ordinary now; 4200 clients known as ordinary`.
pub(crate) fn ordinary(status: &Value) -> Option<String> {
    let clients = whole(status, "baseline_clients")?;
    let rate = number(status, "expected_per_s").unwrap_or(0.0);
    let block = if clients < BLOCK_CLIENTS {
        format!("; signatures block by themselves from {BLOCK_CLIENTS} on")
    } else {
        String::new()
    };
    let generated = match status.get("baseline_is_generated").and_then(Value::as_bool) {
        Some(true) => ", generated for a rehearsal",
        _ => "",
    };
    Some(format!(
        "{rate:.1}/s would be ordinary now; {clients} clients known as ordinary{generated}{block}"
    ))
}

/// What the mode means, unless it is the usual one.
pub(crate) fn mode(status: &Value) -> Option<String> {
    Some(match word(status, "mode")? {
        "act" => "act".to_owned(),
        "observe" => "observe: what would be done is recorded, and nothing is done".to_owned(),
        "off" => "off: nobody watches (`detect.enabled` is `false`)".to_owned(),
        other => other.to_owned(),
    })
}

/// One measure in a line: `#7 block for 2m 10s: path template /search AND no cookie; met 812 requests`.
pub(crate) fn line(measure: &Value) -> String {
    let id = whole(measure, "id").unwrap_or(0);
    let since = time_span(whole(measure, "since_s").unwrap_or(0));
    let rung = match (word(measure, "rung"), word(measure, "order")) {
        (Some("dormant"), Some("veto")) => "vetoed".to_owned(),
        (Some("dormant"), _) => "rests".to_owned(),
        (rung, Some("pin")) => format!("{}, pinned,", rung.unwrap_or("?")),
        (rung, _) => rung.unwrap_or("?").to_owned(),
    };
    let met = whole(measure, "matched").unwrap_or(0);
    let signature = word(measure, "signature").unwrap_or("?");
    format!("#{id} {rung} for {since}: {signature}; met {met} requests")
}

/// Everything that stands.
pub(super) fn list(standing: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{name:<12}{value}");
        }
    };
    line("state", state(standing));
    line("mode", mode(standing));
    line("ordinary", ordinary(standing));
    let measures = items(standing, "measures");
    if measures.is_empty() {
        text.push_str("\nno mitigation stands or rests\n");
    }
    for one in measures {
        text.push('\n');
        text.push_str(&measure(one));
    }
    let addresses = items(standing, "addresses");
    if !addresses.is_empty() {
        text.push('\n');
    }
    for one in addresses {
        text.push_str(&address(one));
        text.push('\n');
    }
    text
}

/// One measure in some lines.
pub(crate) fn measure(measure: &Value) -> String {
    let id = whole(measure, "id").unwrap_or(0);
    let mut text = format!("{}\n", line(measure));
    let mut say = |words: String| {
        let _ = writeln!(text, "    {words}");
    };
    let count = |name: &str| whole(measure, name).unwrap_or(0);
    let mut met = format!("refused {}", count("blocked"));
    if count("tests_set") > 0 {
        met.push_str(&format!(
            "; of {} tests {} were passed",
            count("tests_set"),
            count("tests_passed")
        ));
    }
    say(met);
    say(rests_on(measure));
    match (word(measure, "order"), whole(measure, "order_ends_in_s")) {
        (Some(order), Some(ends)) => {
            let done = if order == "veto" { "vetoed" } else { "pinned" };
            say(format!("{done} by the operator, for another {}", time_span(ends)));
            say(format!("to take that back: `seawall mitigate remove {id}`"));
        }
        _ => {
            let ends = time_span(count("expires_in_s"));
            let is_at_rest = word(measure, "rung") == Some("dormant");
            say(if is_at_rest {
                format!("found by Seawall; comes back if the attack does, forgotten in {ends}")
            } else {
                format!("found by Seawall; ends in {ends} unless it goes on")
            });
            say(format!("if it is wrong: `seawall mitigate veto {id} --for 2h`"));
        }
    }
    text
}

/// What speaks for a measure and against it.
fn rests_on(measure: &Value) -> String {
    let coverage = number(measure, "coverage").unwrap_or(0.0);
    let clients = whole(measure, "baseline_clients").unwrap_or(0);
    describe_evidence(coverage, number(measure, "collateral_upper").unwrap_or(1.0), clients)
}

fn address(entry: &Value) -> String {
    let list = word(entry, "list").unwrap_or("?");
    let prefix = word(entry, "prefix").unwrap_or("?");
    let since = time_span(whole(entry, "since_s").unwrap_or(0));
    let ends = match whole(entry, "expires_in_s") {
        Some(seconds) => format!("for another {}", time_span(seconds)),
        None => "until it is removed".to_owned(),
    };
    format!("{list:<6} {prefix} for {since}, {ends}")
}

/// What recent traffic is made of.
pub(super) fn values(all: &Value) -> String {
    let mut text = String::new();
    for attribute in all.as_array().into_iter().flatten() {
        let flag = word(attribute, "attribute").unwrap_or("?");
        let _ = writeln!(text, "--{flag}");
        for value in items(attribute, "values") {
            let share = number(value, "share").unwrap_or(0.0) * 100.0;
            let _ = writeln!(text, "  {share:>5.1} %  {}", word(value, "text").unwrap_or("?"));
        }
    }
    if text.is_empty() {
        return "no request was sampled in the last two seconds".to_owned();
    }
    text
}

/// What became of an order, or what would.
pub(super) fn outcome(parameters: &str, outcome: &Value) -> String {
    let is_done = outcome.get("done").and_then(Value::as_bool).unwrap_or(false);
    let would = |done: &str, would: &str| if is_done { done.to_owned() } else { would.to_owned() };
    let mut lines = Vec::new();
    if let Some(mode) = word(outcome, "mode") {
        let head = would("mode", "the mode would change, and is");
        lines.push(format!("{head} {mode}, until the next reload"));
    }
    if let Some(entry) = outcome.get("address") {
        let gone = parameters.starts_with("do=unlist");
        let entry = address(entry);
        lines.push(match gone {
            true => format!("{}: {entry}", would("removed", "would be removed")),
            false => format!("{}: {entry}", would("listed", "would be listed")),
        });
    }
    lines.extend(outcome.get("there").map(there));
    if let Some(signature) = word(outcome, "signature") {
        let head = match parameters.split('&').next() {
            Some("do=veto") => would("vetoed", "would be vetoed"),
            Some("do=remove") => would("removed", "would be removed"),
            _ => would("in force", "would be in force"),
        };
        let id = outcome.get("measure").and_then(|it| whole(it, "id"));
        let id = id.map(|id| format!(" #{id}")).unwrap_or_default();
        lines.push(format!("{head}{id}: {signature}"));
    }
    lines.extend(outcome.get("evidence").map(evidence));
    lines.join("\n")
}

fn evidence(evidence: &Value) -> String {
    let count = |name: &str| whole(evidence, name).unwrap_or(0);
    let (hits, rows) = (count("sample_hits"), count("sample_rows"));
    let (ordinary, clients) = (count("baseline_hits"), count("baseline_clients"));
    let now = match rows {
        0 => "no request of the last two seconds was sampled".to_owned(),
        _ => format!(
            "now it means {hits} of {rows} sampled requests, {:.1}/s, of {} clients",
            number(evidence, "matched_per_s").unwrap_or(0.0),
            count("sample_clients")
        ),
    };
    let before = match clients {
        0 => "no ordinary clients are known to compare with".to_owned(),
        _ => format!(
            "of {clients} clients known as ordinary it means {ordinary}, at most {} of all{}",
            percent_up(number(evidence, "collateral_upper").unwrap_or(1.0)),
            number(evidence, "refused_upper").map(refused).unwrap_or_default()
        ),
    };
    let bears = word(evidence, "bears").unwrap_or("observe");
    let is_wide = bears == "demote" && evidence.get("bears_wide_test") == Some(&Value::Bool(true));
    let wide = if is_wide { ", and may test it once it is sure of an attack" } else { "" };
    format!("{now}\n{before}\nby itself Seawall would go up to `{bears}` on this evidence{wide}")
}

/// What a block would refuse, which may be several times as much: what belongs to pages is most of all requests.
fn refused(upper: f64) -> String {
    format!(", and at most {} of what they come for", percent_up(upper))
}

fn there(there: &Value) -> String {
    let count = |name: &str| whole(there, name).unwrap_or(0);
    let seen = match count("sample_hits") {
        0 => "nobody of the last two seconds' sample is there".to_owned(),
        hits => format!(
            "of the last two seconds' sample {hits} of {} requests are from there, of {} clients: {} known readers, {} signed in",
            count("sample_rows"),
            count("clients"),
            count("readers"),
            count("signed_in")
        ),
    };
    let known = match (count("networks_with_readers"), count("networks")) {
        (0, _) => "no reader with a credential is known there from the last days".to_owned(),
        (1, 1) => "readers with credentials are known there from the last days".to_owned(),
        (with, of) => {
            format!("readers with credentials are known in {with} of {of} networks of it")
        }
    };
    format!("{seen}\n{known}")
}

/// From so many on the program blocks by a signature of its own.
const BLOCK_CLIENTS: u64 = 3_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_is_said_with_what_it_did_and_what_to_do_about_it() {
        let found = json!({"id": 7, "signature": "path template /search AND no cookie",
            "rung": "block", "since_s": 130, "expires_in_s": 58, "coverage": 0.949,
            "collateral_upper": 0.000_365, "baseline_clients": 8192, "matched": 812, "blocked": 799,
            "tests_set": 40, "tests_passed": 0, "order": null, "order_ends_in_s": null});
        let mut vetoed = found.clone();
        vetoed["id"] = 9.into();
        vetoed["rung"] = "dormant".into();
        vetoed["order"] = "veto".into();
        vetoed["order_ends_in_s"] = 7_200.into();
        vetoed["tests_set"] = 0.into();
        let text = list(&json!({"state": "attack", "alarms": ["requests", "origin_cost"],
            "mode": "act", "expected_per_s": 12.0, "baseline_clients": 8192,
            "measures": [found, vetoed],
            "addresses": [{"list": "block", "prefix": "192.0.2.0/24", "since_s": 5,
                "expires_in_s": 3_595}]}));
        let want = "\
state       attack: requests, origin_cost are out of the ordinary
mode        act
ordinary    12.0/s would be ordinary now; 8192 clients known as ordinary

#7 block for 2m 10s: path template /search AND no cookie; met 812 requests
    refused 799; of 40 tests 0 were passed
    covers 94 % of the excess; at most 0.037 % of 8192 ordinary clients look like it
    found by Seawall; ends in 58s unless it goes on
    if it is wrong: `seawall mitigate veto 7 --for 2h`

#9 vetoed for 2m 10s: path template /search AND no cookie; met 812 requests
    refused 799
    covers 94 % of the excess; at most 0.037 % of 8192 ordinary clients look like it
    vetoed by the operator, for another 2h 0m
    to take that back: `seawall mitigate remove 9`

block  192.0.2.0/24 for 5s, for another 59m 55s
";
        assert_eq!(text, want);
    }

    #[test]
    fn a_look_at_the_effect_is_not_taken_for_the_deed() {
        let evidence = json!({"sample_rows": 400, "sample_hits": 312, "sample_clients": 290,
            "matched_per_s": 156.0,
            "baseline_clients": 3500, "baseline_hits": 2, "collateral_upper": 0.001_8, "refused_upper": 0.013,
            "bears": "challenge"});
        let dry =
            json!({"done": false, "signature": "path template /search", "evidence": evidence});
        let text = outcome("do=add&rung=block", &dry);
        let want = "\
would be in force: path template /search
now it means 312 of 400 sampled requests, 156.0/s, of 290 clients
of 3500 clients known as ordinary it means 2, at most 0.18 % of all, and at most 1.3 % of what they come for
by itself Seawall would go up to `challenge` on this evidence";
        assert_eq!(text, want);
        let wide = json!({"baseline_clients": 3_015, "baseline_hits": 5, "collateral_upper": 0.003_5,
            "bears": "demote", "bears_wide_test": true});
        let text = outcome("do=add&rung=block", &json!({"done": false, "evidence": wide}));
        let want =
            "go up to `demote` on this evidence, and may test it once it is sure of an attack";
        assert!(text.ends_with(want), "{text}");
        let done = json!({"done": true, "signature": "x", "measure": {"id": 7}});
        assert_eq!(outcome("do=veto&id=7", &done), "vetoed #7: x");
        let mode = json!({"done": true, "mode": "observe"});
        let want = "mode observe, until the next reload";
        assert_eq!(outcome("do=mode&mode=observe", &mode), want);
    }

    #[test]
    fn what_another_version_does_not_say_is_left_out() {
        assert_eq!(list(&json!({})), "\nno mitigation stands or rests\n");
        assert_eq!(values(&json!([])), "no request was sampled in the last two seconds");
        assert_eq!(outcome("do=mode&mode=act", &json!({})), "");
    }
}
