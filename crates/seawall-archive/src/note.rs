//! The note that tells readers that they see a copy, and of when.
//!
//! Separate because it is put into pages that nobody here wrote, and has to leave them as they are: one
//! element right behind `<body>`, written in ASCII so that it is right in any charset, without script,
//! form or identifier that a page's own script could stumble over, out of the flow so that no layout
//! changes, closed by those who have read it (a `details` that is gone once it is closed). Without its
//! style sheet it is a line of text at the top.
//!
//! It does **not** touch the fields of the response: content length, entity tag and digests are those of the page
//! without it.

use bytes::{Bytes, BytesMut};
use lol_html::{AsciiCompatibleEncoding, HtmlRewriter, MemorySettings, Settings, doctype, element};
use seawall_model::{Language, WallTime};

use crate::capture::Capture;
use crate::dates;
use crate::entity::encode;
use crate::html::{encoding_of, language};

mod texts;

use self::texts::{TEXTS, Texts};

/// What the note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Why this is a copy.
    pub why: Why,
    /// What time it is, to say the date of a copy that is not of today.
    pub now: WallTime,
    /// The zone in which times are said.
    pub zone: Zone,
}

/// Why readers see a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The origin cannot answer.
    NotAnswering,
    /// The same, where the operator chose to say that it is attacked.
    UnderAttack,
    /// The operator has made the site a read-only one for now.
    ReadOnly,
}

/// A zone without rules of its own: minutes east of UTC, at most 14 hours either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    east_minutes: i16,
}

impl Zone {
    /// Coordinated Universal Time, named as such.
    pub const UTC: Self = Self { east_minutes: 0 };

    /// A zone so many minutes east of UTC; `None` beyond the zones there are (-12:00 to +14:00).
    pub fn east_by(minutes: i16) -> Option<Self> {
        (-720..=840).contains(&minutes).then_some(Self { east_minutes: minutes })
    }

    fn shift(self, at: WallTime) -> WallTime {
        let seconds = i64::from(self.east_minutes) * 60;
        WallTime::from_unix_secs(at.unix_secs().saturating_add_signed(seconds))
    }

    /// `UTC`, `UTC+2`, `UTC-3:30`.
    fn name(self) -> String {
        let (hours, minutes) = (self.east_minutes / 60, self.east_minutes.abs() % 60);
        let sign = if self.east_minutes < 0 { '-' } else { '+' };
        match (hours.abs(), minutes) {
            (0, 0) => "UTC".to_owned(),
            (hours, 0) => format!("UTC{sign}{hours}"),
            (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
        }
    }
}

/// Where the style sheet of the note lies on every site.
pub const NOTE_STYLE_PATH: &str = "/.well-known/seawall/note.css";

/// The style sheet of the note, in ASCII. Every rule begins with the class twice and puts back what the
/// page's own rules for elements would do to it.
pub const NOTE_STYLE: &str = include_str!("note/note.css");

/// The page of `capture` with the note right behind `<body>`, byte for byte what it was otherwise, in the
/// language of the page (`html lang`, else `Content-Language`, else English).
///
/// `None` if it cannot take one: it is no HTML, a part of a page for scripts to fetch, a frameset, or in a
/// charset that does not hold ASCII (UTF-16). Reads the head of the page and no more of it.
pub fn with_note(capture: &Capture, note: &Note) -> Option<Bytes> {
    let is_xml = match capture.media_type().as_str() {
        "text/html" => false,
        "application/xhtml+xml" => true,
        _ => return None,
    };
    let encoding = AsciiCompatibleEncoding::new(encoding_of(capture))?;
    let head = Head::read(&capture.body, encoding);
    let at = head.body_at.filter(|&at| head.is_document && at <= capture.body.len())?;
    let field = capture.field("content-language").and_then(|value| std::str::from_utf8(value).ok());
    let lang = head.lang.or_else(|| field.and_then(language));
    let spoken =
        lang.and_then(|lang| Language::of_tag(lang.as_bytes())).unwrap_or(Language::English);
    // A base of another host would look for the style sheet there.
    let origin = if head.has_base { origin_of(&capture.url) } else { "" };
    let markup = markup(note, capture.captured, spoken, origin, is_xml);
    let mut out = BytesMut::with_capacity(capture.body.len() + markup.len());
    out.extend_from_slice(&capture.body[..at]);
    out.extend_from_slice(markup.as_bytes());
    out.extend_from_slice(&capture.body[at..]);
    Some(out.freeze())
}

fn origin_of(url: &str) -> &str {
    let from = url.find("://").map_or(0, |at| at + 3);
    let end = url[from..].find('/').map_or(url.len(), |at| from + at);
    &url[..end]
}

/// What stands before the content of a page.
#[derive(Default)]
struct Head {
    /// Where the content begins.
    body_at: Option<usize>,
    /// It has what only whole pages have.
    is_document: bool,
    has_base: bool,
    lang: Option<String>,
}

/// A head is not longer; one that is has lost its end.
const MAX_HEAD_BYTES: usize = 4 << 20;

impl Head {
    fn read(body: &[u8], encoding: AsciiCompatibleEncoding) -> Self {
        let head = std::cell::RefCell::new(Self::default());
        let settings = Settings::new()
            .append_document_content_handler(doctype!(|_| {
                head.borrow_mut().is_document = true;
                Ok(())
            }))
            .append_element_content_handler(element!("*", |element| {
                let place = element.source_location().bytes();
                let lang =
                    element.get_attribute("lang").or_else(|| element.get_attribute("xml:lang"));
                if head.borrow_mut().begins_with(&element.tag_name(), lang, place) {
                    return Err("the content has begun".into());
                }
                Ok(())
            }))
            .with_encoding(encoding)
            .with_strict(false)
            .with_memory_settings(
                MemorySettings::new().with_max_allowed_memory_usage(MAX_HEAD_BYTES),
            );
        let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
        match rewriter.write(&body[..body.len().min(MAX_HEAD_BYTES)]) {
            Ok(()) => drop(rewriter.end()),
            Err(_) => drop(rewriter),
        }
        head.into_inner()
    }

    /// Takes the next start tag; whether the content has begun. `body` may be left out (WHATWG HTML §13.1.2.4), and
    /// then begins with the first element that no head can hold.
    fn begins_with(
        &mut self,
        name: &str,
        lang: Option<String>,
        place: std::ops::Range<usize>,
    ) -> bool {
        match name {
            "html" => self.lang = self.lang.take().or_else(|| lang.as_deref().and_then(language)),
            "base" => self.has_base = true,
            "body" => {
                self.is_document = true;
                self.body_at = Some(place.end);
                return true;
            }
            // It stands in the place of a body.
            "frameset" => return true,
            "head" | "title" | "link" | "meta" | "style" | "script" | "noscript" | "template" => {}
            _ => {
                self.body_at = Some(place.start);
                return true;
            }
        }
        self.is_document |= matches!(name, "html" | "head" | "title");
        false
    }
}

/// A `section` with a name, which is a landmark of its own, and no `aside`: themes have one for their margin
/// without a name, and of two each would need one.
fn markup(note: &Note, captured: WallTime, spoken: Language, origin: &str, is_xml: bool) -> String {
    let texts = &TEXTS[spoken as usize];
    let (open, slash) = if is_xml { ("open=\"open\"", " /") } else { ("open", "") };
    let (tag, direction) = (spoken.tag(), spoken.direction());
    let mut out = String::with_capacity(1_024);
    out.push_str("<section class=\"seawall-note\" lang=\"");
    out.push_str(tag);
    out.push_str("\" dir=\"");
    out.push_str(direction);
    out.push_str("\" aria-label=\"");
    encode(texts.label, &mut out);
    out.push_str("\"><link rel=\"stylesheet\" href=\"");
    encode(origin, &mut out);
    out.push_str(NOTE_STYLE_PATH);
    out.push('"');
    out.push_str(slash);
    out.push_str("><details ");
    out.push_str(open);
    out.push_str("><summary>");
    encode(texts.why(note.why), &mut out);
    out.push_str("</summary><p>");
    let (before, when, after) = sentence(note, captured, spoken, texts);
    encode(before, &mut out);
    out.push_str("<time datetime=\"");
    out.push_str(&dates::with_seconds(captured));
    out.push_str("\">");
    encode(&when, &mut out);
    out.push_str("</time>");
    encode(after, &mut out);
    out.push_str("</p></details></section>");
    out
}

/// The sentence that says of when the copy is, in three parts; the middle one is the time.
fn sentence<'a>(
    note: &Note,
    captured: WallTime,
    spoken: Language,
    texts: &'a Texts,
) -> (&'a str, String, &'a str) {
    let local = note.zone.shift(captured);
    let is_today = local.unix_secs() / DAY_S == note.zone.shift(note.now).unix_secs() / DAY_S;
    let template = if is_today { texts.today } else { texts.dated };
    let (before, rest) = template.split_once('[').unwrap_or((template, ""));
    let (when, after) = rest.split_once(']').unwrap_or((rest, ""));
    // `2026-11-22T14:05:00Z`
    let stamp = dates::with_seconds(local);
    let (date, time) = stamp.split_once('T').unwrap_or((&stamp, ""));
    let digits = |text: &str| -> String {
        let digit = |found: char| match found.to_digit(10) {
            Some(value) => char::from_u32(u32::from(spoken.zero()) + value).unwrap_or(found),
            None => found,
        };
        text.chars().map(digit).collect()
    };
    let mut parts = date.split('-');
    let mut part = || parts.next().unwrap_or_default();
    let (year, month, day) = (part(), part(), part());
    let month: usize = month.parse().unwrap_or(1);
    let month_name = texts.months.get(month.saturating_sub(1)).copied().unwrap_or_default();
    let when = when
        // On one line, however narrow it is.
        .replace("{time} {zone}", "{time}\u{a0}{zone}")
        .replace("{year}", &digits(year))
        .replace("{month}", month_name)
        .replace("{month-number}", &digits(&month.to_string()))
        .replace("{day}", &digits(day.trim_start_matches('0')))
        .replace("{time}", &digits(time.get(..5).unwrap_or_default()))
        .replace("{zone}", &note.zone.name());
    (before, when, after)
}

const DAY_S: u64 = 86_400;
