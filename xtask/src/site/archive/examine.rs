//! Whether what readers were given is what the site had, and says truly of when it is.

use std::collections::HashMap;

use super::super::readers::Got;
use super::moment;
use super::walk::{Found, Walk};

/// Where an answer came from, as its `Cache-Status` says (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Archive,
    Cache,
    Origin,
}

/// What came of many answers.
#[derive(Default)]
pub(super) struct Examined {
    /// Milliseconds, in no order: of copies and held pages, and of the site's own.
    pub(super) times: Vec<f64>,
    pub(super) own_times: Vec<f64>,
    /// Not the status or the redirect that the site had.
    pub(super) unserved: Vec<String>,
    /// Not the bytes that the site had.
    pub(super) altered: Vec<String>,
    /// A note, an age or a `Memento-Datetime` that is missing, out of place or not true.
    pub(super) untrue: Vec<String>,
    pub(super) from_archive: usize,
    pub(super) from_cache: usize,
    pub(super) from_origin: usize,
}

/// What is known of the time in which the answers came.
pub(super) struct Known<'a> {
    pub(super) walk: &'a Walk,
    /// When the crawler asked for each path with success.
    pub(super) crawled: &'a HashMap<String, Vec<f64>>,
    /// Begin and end of the reading.
    pub(super) between: (f64, f64),
    /// Whether the crawler may have gone on meanwhile.
    pub(super) crawls: bool,
}

/// Clocks tell whole seconds, and a page takes a moment between its head and the log.
const SLACK_S: f64 = 3.0;

impl Examined {
    /// Adds the answer for a path that the walk found.
    pub(super) fn add(&mut self, path: &str, got: &Got, known: &Known<'_>) {
        let Some(expected) = known.walk.found.get(path) else { return };
        let answer = &got.answer;
        let is_same = answer.status == expected.status
            && answer.field("location") == expected.location.as_deref();
        if !is_same {
            let location = answer.field("location").unwrap_or_default();
            self.unserved
                .push(format!("{path}: {} {location} and not {}", answer.status, expected.status));
            return;
        }
        let from = from(answer.field("cache-status").unwrap_or_default());
        *match from {
            From::Archive => &mut self.from_archive,
            From::Cache => &mut self.from_cache,
            From::Origin => &mut self.from_origin,
        } += 1;
        if from == From::Origin { &mut self.own_times } else { &mut self.times }.push(got.ms);
        let (body, note) = without_note(&answer.body);
        if body != expected.body {
            let (found, had) = (body.len(), expected.body.len());
            self.altered.push(format!("{path}: {found} bytes and not {had}"));
        }
        if let Err(problem) = is_true(path, got, from, note.as_deref(), expected, known) {
            self.untrue.push(format!("{path}: {problem}"));
        }
    }
}

/// The time within which `percent` of the answers came.
pub(super) fn percentile(times: &[f64], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or(f64::NAN)
}

fn from(status: &str) -> From {
    let mut parameters = status.split(';').map(str::trim);
    let is_hit = parameters.clone().any(|parameter| parameter == "hit");
    if is_hit && parameters.any(|parameter| parameter == "detail=archive") {
        From::Archive
    } else if is_hit {
        From::Cache
    } else {
        From::Origin
    }
}

/// A page without the note, and the time that the note said.
fn without_note(body: &[u8]) -> (Vec<u8>, Option<String>) {
    let Some(begin) = position(body, b"<section class=\"seawall-note\"") else {
        return (body.to_vec(), None);
    };
    let close = b"</section>";
    let Some(end) = position(&body[begin..], close).map(|at| begin + at + close.len()) else {
        return (body.to_vec(), None);
    };
    let note = String::from_utf8_lossy(&body[begin..end]).into_owned();
    let time = note.split("<time datetime=\"").nth(1).and_then(|rest| rest.split('"').next());
    ([&body[..begin], &body[end..]].concat(), Some(time.unwrap_or_default().to_owned()))
}

fn position(whole: &[u8], part: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + whole[from..].iter().position(|byte| *byte == part[0])?;
        if whole[at..].starts_with(part) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Whether the answer says truly what it is and of when.
fn is_true(
    path: &str,
    got: &Got,
    from: From,
    note: Option<&str>,
    expected: &Found,
    known: &Known<'_>,
) -> Result<(), String> {
    let memento = got.answer.field("memento-datetime");
    if from != From::Archive {
        return match (note, memento) {
            (None, None) => Ok(()),
            _ => Err("it is no copy and says that it is one".to_owned()),
        };
    }
    let memento = memento.and_then(moment::of_field).ok_or("no Memento-Datetime")?;
    let none = Vec::new();
    let crawled = known.crawled.get(path).unwrap_or(&none);
    let is_crawled = |at: f64| crawled.iter().any(|fetched| (fetched - at).abs() <= SLACK_S);
    if !is_crawled(memento) {
        return Err(format!("Memento-Datetime {memento}, but the crawler came at {crawled:?}"));
    }
    let age = got.answer.field("age").and_then(|age| age.parse::<f64>().ok()).ok_or("no Age")?;
    // When it was last known to be so, by what `Age` says.
    let (first, last) = (known.between.0 - age, known.between.1 - age);
    let is_last = |at: f64| match crawled.last() {
        // Probes ask for the front page, too, and keep nothing of it.
        Some(fetched) if !known.crawls && path != "/" => (fetched - at).abs() <= SLACK_S,
        _ => is_crawled(at),
    };
    match (note.map(moment::of_stamp), expected.is_page()) {
        (Some(Some(at)), true) => {
            if !is_last(at) {
                return Err(format!("the note says {at}, but the crawler came at {crawled:?}"));
            }
            if at < first - SLACK_S || at > last + SLACK_S {
                return Err(format!("the note says {at}, but the age is {age}"));
            }
            Ok(())
        }
        (None, false) => {
            let is_within =
                crawled.iter().any(|at| *at >= first - SLACK_S && *at <= last + SLACK_S);
            if is_within { Ok(()) } else { Err(format!("its age is {age}, but {crawled:?}")) }
        }
        (Some(None), _) => Err("the note says no time".to_owned()),
        (None, true) => Err("no note".to_owned()),
        (Some(_), false) => Err("a note in what is no page".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::super::super::client::Answer;
    use super::super::super::readers::Got;
    use super::super::walk::{Found, Walk};
    use super::{Examined, Known};

    /// How many answers are unserved, altered and untrue of one that says this.
    fn check(status: u16, head: &str, body: &str) -> (usize, usize, usize) {
        let page = Found {
            status: 200,
            media_type: "text/html".to_owned(),
            location: None,
            body: b"<body>text".to_vec(),
        };
        let walk = Walk { found: BTreeMap::from([("/story/".to_owned(), page)]), dead: Vec::new() };
        let crawled = HashMap::from([("/story/".to_owned(), vec![1_000.2, 1_795_356_300.0])]);
        let now = 1_795_356_400.0;
        let known = Known { walk: &walk, crawled: &crawled, between: (now, now), crawls: false };
        let answer = Answer { status, head: head.to_owned(), body: body.as_bytes().to_vec() };
        let mut examined = Examined::default();
        examined.add("/story/", &Got { answer, ms: 1.0 }, &known);
        (examined.unserved.len(), examined.altered.len(), examined.untrue.len())
    }

    #[test]
    fn a_copy_must_be_served_be_the_same_and_say_its_age() {
        let copy = "Cache-Status: seawall; hit; detail=archive\r\nAge: 100\r\n\
                    Memento-Datetime: Sun, 22 Nov 2026 14:05:00 GMT\r\n";
        let note = |time: &str| {
            format!(
                "<body><section class=\"seawall-note\"><time datetime=\"{time}\"></time></section>text"
            )
        };
        let right = note("2026-11-22T14:05:00Z");
        assert_eq!(check(200, copy, &right), (0, 0, 0));
        assert_eq!(check(503, copy, &right), (1, 0, 0));
        assert_eq!(check(200, copy, &right.replace("text", "test")), (0, 1, 0));
        assert_eq!(check(200, copy, "<body>text"), (0, 0, 1), "without a note");
        assert_eq!(check(200, copy, &note("2026-11-22T14:09:00Z")), (0, 0, 1));
        assert_eq!(check(200, &copy.replace("100", "200"), &right), (0, 0, 1));
        assert_eq!(check(200, &copy.replace("14:05", "14:04"), &right), (0, 0, 1));
        let held = "Cache-Status: seawall; hit; ttl=4\r\nAge: 6\r\n";
        assert_eq!(check(200, held, "<body>text"), (0, 0, 0));
        assert_eq!(check(200, held, &right), (0, 0, 1), "a note on what is no copy");
    }
}
