//! `seawall status`: what the running program sees and does now.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::Done;
use crate::admin::ask;
use crate::cli::QueryArgs;
use crate::figures::{readable_size, time_span};
use crate::mitigate::words;
use crate::{output, target};

/// Prints the status, as text or as the JSON that came over the socket.
///
/// # Errors
/// A failure if the program cannot be asked.
pub(crate) fn run(config: Option<&Path>, args: &QueryArgs) -> Done {
    let target = target::find(config, &args.target)?;
    let status = ask(&target.socket, "GET", "/status")?;
    if args.json { output::json(&status) } else { output::data(&render(&status)) }
}

/// The status as text. A key that is missing leaves its words out, so that two versions that
/// differ still understand each other.
fn render(status: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{name:<12}{value}");
        }
    };
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_f64);
    let whole = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64);
    let word =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    line("version", word(status, "version"));
    line("uptime", whole(status, "uptime_s").map(time_span));
    line("state", words::state(status));
    line("", words::ordinary(status));
    line("mode", words::mode(status));
    line("requests", number(status, "requests_per_s").map(|rate| format!("{rate:.1}/s")));
    let origins: Vec<&Value> = match status.get("origin") {
        Some(Value::Array(origins)) => origins.iter().collect(),
        Some(origin) => vec![origin],
        None => Vec::new(),
    };
    for origin in origins {
        let healthy = origin.get("healthy").and_then(Value::as_bool);
        let mut words: Vec<String> = Vec::new();
        words.extend(healthy.map(|healthy| if healthy { "healthy" } else { "failing" }.to_owned()));
        if let (Some(busy), Some(limit)) = (whole(origin, "in_flight"), whole(origin, "limit")) {
            words.push(format!("{busy} requests at work of at most {limit}"));
        }
        words.extend(whole(origin, "queued").map(|queued| format!("{queued} waiting")));
        line("origin", Some(words.join(", ")));
        line("", load(origin));
        line("waiting", who_waits(origin));
    }
    line("work from", work_from(status));
    let mitigations = status.get("mitigations").and_then(Value::as_array);
    line("mitigations", mitigations.map(|list| list.len().to_string()));
    for one in mitigations.into_iter().flatten() {
        line("", Some(words::line(one)));
    }
    line("memory", whole(status, "memory_bytes").map(|bytes| memory(status, bytes)));
    line("evidence", word(status, "evidence_fault").map(|why| not_recorded(&why)));
    let lists = status.get("lists").and_then(Value::as_array);
    for (at, list) in lists.into_iter().flatten().enumerate() {
        line(if at == 0 { "lists" } else { "" }, Some(loaded(list)));
    }
    let events = status.get("events").and_then(Value::as_array);
    for (at, event) in events.into_iter().flatten().take(EVENTS).enumerate() {
        line(if at == 0 { "events" } else { "" }, Some(happened(event)));
    }
    text
}

/// What is in use, and how short it is if it is.
fn memory(status: &Value, bytes: u64) -> String {
    match status.get("memory_pressure").and_then(Value::as_u64) {
        None | Some(0) => readable_size(bytes),
        Some(step) => format!("{}, pressure {step} of 3", readable_size(bytes)),
    }
}

/// That the incident leaves no record just now.
fn not_recorded(why: &str) -> String {
    format!("cannot be written, which changes nothing for readers: {why}")
}

/// Events shown; `--json` has them all.
const EVENTS: usize = 8;

/// One thing that a client did: when, what, who, and the code to look up.
fn happened(event: &Value) -> String {
    let word = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("?");
    let number = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or(0);
    let what = match (word("event"), word("kind")) {
        ("barred", kind) => format!("barred after {kind}"),
        (event, _) => event.to_owned(),
    };
    let more = match number("more") {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let (age, client, code) = (time_span(number("age_s")), word("client"), word("code"));
    format!("{age} ago: {what} from {client} ({code}){more}")
}

/// Where the networks are registered that the origin works for, the most first.
fn work_from(status: &Value) -> Option<String> {
    let countries = status.get("work_by_country")?.as_array()?;
    let words: Vec<String> = countries
        .iter()
        .filter_map(|one| {
            let country = one.get("country").and_then(Value::as_str).unwrap_or("not listed");
            Some(format!("{country} {} %", one.get("percent")?.as_u64()?))
        })
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// One of the operator's lists: how much is in it and how old it is.
fn loaded(list: &Value) -> String {
    let name = list.get("name").and_then(Value::as_str).unwrap_or("?");
    match list.get("entries").and_then(Value::as_u64).unwrap_or(0) {
        0 => format!("{name} is empty or could not be read: `seawall check` says why"),
        entries => {
            let age = list.get("age_s").and_then(Value::as_u64).map(time_span);
            let age = age.map(|age| format!(", written {age} ago")).unwrap_or_default();
            format!("{name} with {entries} entries{age}")
        }
    }
}

/// How hard the origin has it; nothing while it has it easy.
fn load(origin: &Value) -> Option<String> {
    let mut words = Vec::new();
    let slowdown = origin.get("slowdown").and_then(Value::as_f64).unwrap_or(1.0);
    if slowdown >= 1.25 {
        words.push(format!("{slowdown:.1} times as slow as when idle"));
    }
    match origin.get("streams").and_then(Value::as_u64) {
        None | Some(0) => {}
        Some(streams) => words.push(format!("{streams} streams")),
    }
    if origin.get("shedding").and_then(Value::as_bool) == Some(true) {
        words.push("refusing at once those who ask for most".to_owned());
    }
    (!words.is_empty()).then(|| words.join(", "))
}

/// Who waits, best class first, and for how long; nothing while nobody does.
fn who_waits(origin: &Value) -> Option<String> {
    let waiting = origin.get("waiting")?;
    let classes = [
        ("signed_in", "signed in"),
        ("aged_reader", "known readers"),
        ("passed", "passed a test"),
        ("anonymous", "unknown readers"),
        ("demoted", "over their budget"),
        ("background", "in the background"),
    ];
    let mut words: Vec<String> = classes
        .into_iter()
        .filter_map(|(key, name)| {
            let count = waiting.get(key)?.as_u64().filter(|&count| count > 0)?;
            Some(format!("{count} {name}"))
        })
        .collect();
    if words.is_empty() {
        return None;
    }
    let oldest = origin.get("oldest_wait_ms").and_then(Value::as_u64);
    words.extend(oldest.map(|ms| format!("the longest for {:.1} s", ms as f64 / 1_000.0)));
    Some(words.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_have_a_line_each_and_only_the_last_are_shown() {
        let event = json!({"age_s": 12, "event": "http2_resets", "kind": "http2_resets",
            "client": "192.0.2.0/24", "code": "SW-207", "more": 3});
        let barred = json!({"age_s": 70, "event": "barred", "kind": "http2_resets",
            "client": "192.0.2.0/24", "code": "SW-206", "more": 0});
        let mut events = vec![event, barred];
        events.extend(std::iter::repeat_n(json!({}), 20));
        let text = render(&json!({"events": events}));
        assert!(
            text.starts_with(
                "events      12s ago: http2_resets from 192.0.2.0/24 (SW-207), and 3 more\n\
            \x20           1m 10s ago: barred after http2_resets from 192.0.2.0/24 (SW-206)\n"
            ),
            "{text}"
        );
        assert_eq!(text.lines().count(), EVENTS);
    }

    #[test]
    fn a_status_reads_as_a_few_lines() {
        let status = json!({
            "version": "0.1.0", "uptime_s": 3_700, "state": "normal", "requests_per_s": 12.34,
            "origin": {"limit": 256, "in_flight": 3, "queued": 0, "healthy": true},
            "mitigations": [], "memory_bytes": 123_456_789u64,
        });
        assert_eq!(
            render(&status),
            "version     0.1.0\nuptime      1h 1m\nstate       normal\nrequests    12.3/s\n\
             origin      healthy, 3 requests at work of at most 256, 0 waiting\nmitigations 0\nmemory      117MiB\n"
        );
    }

    #[test]
    fn evidence_is_told_of_only_while_it_cannot_be_written() {
        assert_eq!(render(&json!({"evidence_fault": null})), "");
        assert_eq!(
            render(&json!({"evidence_fault": "No space left on device (os error 28)"})),
            "evidence    cannot be written, which changes nothing for readers: No space left on device (os error 28)\n"
        );
    }

    #[test]
    fn an_attack_is_told_with_what_it_looks_like() {
        let status = json!({"state": "attack", "alarms": ["origin_cost"], "expected_per_s": 4.25,
            "baseline_clients": 900, "mode": "observe", "mitigations": [{"id": 7, "rung": "demote",
                "signature": "path template /search", "since_s": 12, "matched": 90, "order": "pin"}]});
        assert_eq!(
            render(&status),
            "state       attack: origin_cost is out of the ordinary\n            4.2/s would be ordinary now; 900 \
             clients known as ordinary; signatures block by themselves from 3000 on\n\
             mode        observe: what would be done is recorded, and nothing is done\n\
             mitigations 1\n            #7 demote, pinned, for 12s: path template /search; met 90 requests\n"
        );
    }

    #[test]
    fn a_pressed_origin_shows_how_pressed_and_who_waits() {
        let status = json!({"origin": {
            "limit": 7, "in_flight": 7, "queued": 43, "healthy": true,
            "waiting": {"signed_in": 0, "aged_reader": 2, "passed": 0, "anonymous": 40,
                "demoted": 0, "background": 1},
            "oldest_wait_ms": 180, "streams": 3, "slowdown": 1.62, "shedding": true,
        }});
        assert_eq!(
            render(&status),
            "origin      healthy, 7 requests at work of at most 7, 43 waiting\n            1.6 times as slow as when \
             idle, 3 streams, refusing at once those who ask for most\nwaiting     2 known readers, 40 \
             unknown readers, 1 in the background, the longest for 0.2 s\n"
        );
    }

    #[test]
    fn lists_say_how_much_they_hold_and_how_old_they_are() {
        let status = json!({
            "work_by_country": [
                {"country": "DE", "percent": 61}, {"country": null, "percent": 30},
            ],
            "lists": [
                {"name": "asn_db", "entries": 512_000, "age_s": 180_000},
                {"name": "country_db", "entries": 0, "age_s": null},
            ],
        });
        assert_eq!(
            render(&status),
            "work from   DE 61 %, not listed 30 %\n\
             lists       asn_db with 512000 entries, written 2d 2h ago\n            country_db is empty \
             or could not be read: `seawall check` says why\n"
        );
    }

    #[test]
    fn what_a_status_lacks_is_left_out() {
        assert_eq!(render(&json!({})), "");
        assert_eq!(render(&json!({"state": "watch", "origin": []})), "state       watch\n");
    }
}
