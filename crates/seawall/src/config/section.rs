//! Walks one table of the file, takes typed values out of it and notes what is wrong.
//!
//! serde would stop at the first mistake of a file; an operator wants all of them at once. So the
//! file is parsed into a tree that knows where each value stands, and every key is taken out of it
//! by name. What was not taken is unknown. It deliberately does **not** know what keys mean.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::config::keys;
use crate::config::problem::{Blame, Code, Findings, Problem};
use crate::config::value::{self, Complaint};

/// The findings in one text, and where its lines begin.
pub(crate) struct Report<'t> {
    text: &'t str,
    /// What was found so far.
    pub(crate) findings: Findings,
}

/// A value and the line it stands on.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    /// The value.
    pub(crate) value: T,
    /// Its line, from 1.
    pub(crate) line: usize,
}

/// How a text becomes a value, and the code of what is none.
pub(crate) type Reader<T> = (Code, fn(&str) -> Result<T, Complaint>);

/// One table of the file, or its absence.
pub(crate) struct Section<'a> {
    path: &'static str,
    table: Option<&'a DeTable<'a>>,
    taken: Vec<&'static str>,
    /// The line on which the section begins; `None` if it is absent.
    pub(crate) line: Option<usize>,
}

impl<'t> Report<'t> {
    /// Nothing found yet.
    pub(crate) fn new(text: &'t str, findings: Findings) -> Self {
        Self { text, findings }
    }

    /// The line of a byte position, from 1.
    pub(crate) fn line(&self, position: usize) -> usize {
        let before = &self.text.as_bytes()[..position.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Notes an error in the text.
    pub(crate) fn error(
        &mut self,
        code: Code,
        line: impl Into<Option<usize>>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.findings.errors.push(Problem {
            code,
            blame: Blame::Config,
            line: line.into(),
            message: message.into(),
            hint: hint.into(),
        });
    }

    /// Notes that the system refused something the text asked for.
    pub(crate) fn system_error(&mut self, code: Code, line: usize, message: String, hint: &str) {
        self.findings.errors.push(Problem {
            code,
            blame: Blame::System,
            line: Some(line),
            message,
            hint: hint.to_owned(),
        });
    }

    /// Notes what should be known.
    pub(crate) fn warning(
        &mut self,
        code: Code,
        line: usize,
        message: String,
        hint: impl Into<String>,
    ) {
        self.findings.warnings.push(Problem {
            code,
            blame: Blame::Config,
            line: Some(line),
            message,
            hint: hint.into(),
        });
    }
}

impl<'a> Section<'a> {
    /// The top of the file.
    pub(crate) fn root(table: &'a DeTable<'a>) -> Self {
        Self { path: "", table: Some(table), taken: Vec::new(), line: None }
    }

    /// Whether a key stands in the section, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(name))
    }

    /// Takes a section that may stand once.
    pub(crate) fn section(&mut self, report: &mut Report<'_>, name: &'static str) -> Section<'a> {
        let path = self.full(name);
        let (line, table) = match self.take(report, name) {
            None => (None, None),
            Some((line, DeValue::Table(table))) => (Some(line), Some(table)),
            Some((line, other)) => {
                let hint = format!(
                    "write `{}` on a line of its own, and its keys below",
                    keys::header(path)
                );
                wrong_type(report, path, line, other, "a section", hint);
                (None, None)
            }
        };
        Section { path, table, taken: Vec::new(), line }
    }

    /// Takes every section of a name that may stand many times.
    pub(crate) fn sections(
        &mut self,
        report: &mut Report<'_>,
        name: &'static str,
    ) -> Vec<Section<'a>> {
        let path = self.full(name);
        let Some((line, value)) = self.take(report, name) else {
            return Vec::new();
        };
        let header = keys::header(path);
        let DeValue::Array(entries) = value else {
            let hint =
                format!("write `{header}` with two brackets, because there may be more than one");
            wrong_type(report, path, line, value, "a list of sections", hint);
            // One table in single brackets is read on, so that its other mistakes show as well.
            return match value {
                DeValue::Table(table) => {
                    vec![Section { path, table: Some(table), taken: Vec::new(), line: Some(line) }]
                }
                _ => Vec::new(),
            };
        };
        let mut sections = Vec::new();
        for entry in entries {
            let line = report.line(entry.span().start);
            match entry.get_ref() {
                DeValue::Table(table) => {
                    sections.push(Section {
                        path,
                        table: Some(table),
                        taken: Vec::new(),
                        line: Some(line),
                    });
                }
                other => {
                    let hint = format!("write `{header}` on a line of its own, and its keys below");
                    wrong_type(report, path, line, other, "a section", hint);
                }
            }
        }
        sections
    }

    /// Takes a text.
    pub(crate) fn text(
        &mut self,
        report: &mut Report<'_>,
        name: &'static str,
    ) -> Option<At<&'a str>> {
        let path = self.full(name);
        let (line, value) = self.take(report, name)?;
        match value {
            DeValue::String(text) => Some(At { value: text.as_ref(), line }),
            other => {
                let kind = keys::key(path).map_or("text", |key| key.kind);
                wrong_type(report, path, line, other, kind, in_quotes(other, kind));
                None
            }
        }
    }

    /// Takes `true` or `false`.
    pub(crate) fn flag(&mut self, report: &mut Report<'_>, name: &'static str) -> Option<At<bool>> {
        let path = self.full(name);
        let (line, value) = self.take(report, name)?;
        match value {
            DeValue::Boolean(flag) => Some(At { value: *flag, line }),
            other => {
                wrong_type(
                    report,
                    path,
                    line,
                    other,
                    "true or false",
                    "write `true` or `false`, without quotes",
                );
                None
            }
        }
    }

    /// Takes a whole number within a range.
    pub(crate) fn whole(
        &mut self,
        report: &mut Report<'_>,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let path = self.full(name);
        let (line, value) = self.take(report, name)?;
        let number = match value {
            DeValue::Integer(digits) => digits,
            other => {
                wrong_type(
                    report,
                    path,
                    line,
                    other,
                    "a whole number",
                    "write digits alone, without quotes",
                );
                return None;
            }
        };
        // What does not fit into 64 bits is out of every range here.
        let found = u64::from_str_radix(number.as_str(), number.radix()).ok();
        within(report, path, line, found, &number.to_string(), &range, u64::to_string)
    }

    /// Takes a text and reads it with `read`.
    pub(crate) fn read<T>(
        &mut self,
        report: &mut Report<'_>,
        name: &'static str,
        reader: Reader<T>,
    ) -> Option<At<T>> {
        self.worded(report, name, reader).map(|(found, _)| found)
    }

    /// Takes a text and reads it with `read`; also gives the text itself.
    fn worded<T>(
        &mut self,
        report: &mut Report<'_>,
        name: &'static str,
        (code, read): Reader<T>,
    ) -> Option<(At<T>, &'a str)> {
        let path = self.full(name);
        let At { value: text, line } = self.text(report, name)?;
        match read(text) {
            Ok(value) => Some((At { value, line }, text)),
            Err(complaint) => {
                complain(report, code, path, line, text, &complaint);
                None
            }
        }
    }

    /// Takes a duration within a range.
    pub(crate) fn duration(
        &mut self,
        report: &mut Report<'_>,
        name: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let reader: Reader<_> = (Code::Duration, value::duration);
        self.ranged(report, name, reader, &range, |value| value::write_duration(*value))
    }

    /// Takes a text, reads it with `read`, and keeps what lies within a range.
    fn ranged<T: PartialOrd>(
        &mut self,
        report: &mut Report<'_>,
        name: &'static str,
        reader: Reader<T>,
        range: &RangeInclusive<T>,
        write: fn(&T) -> String,
    ) -> Option<T> {
        let (At { value, line }, text) = self.worded(report, name, reader)?;
        within(report, self.full(name), line, Some(value), text, range, write)
    }

    /// Takes a size within a range; a key whose name says `bytes` takes a bare number too.
    pub(crate) fn size(
        &mut self,
        report: &mut Report<'_>,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let bare = name.contains("bytes")
            && self
                .table
                .and_then(|table| table.get(name))
                .is_some_and(|v| v.get_ref().is_integer());
        if bare {
            return self.whole(report, name, range);
        }
        let reader: Reader<_> = (Code::Size, value::size);
        self.ranged(report, name, reader, &range, |value| value::write_size(*value))
    }

    /// Takes a size within a range, or the word `auto`, which is `Some(None)`.
    pub(crate) fn size_or_auto(
        &mut self,
        report: &mut Report<'_>,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Option<u64>> {
        let is_auto = self
            .table
            .and_then(|table| table.get(name))
            .is_some_and(|v| v.get_ref().as_str() == Some("auto"));
        if is_auto {
            self.take(report, name);
            return Some(None);
        }
        self.size(report, name, range).map(Some)
    }

    /// Takes a list of texts and reads each with `read`; `None` if the key is absent. What cannot
    /// be read is noted and left out.
    pub(crate) fn list<T>(
        &mut self,
        report: &mut Report<'_>,
        name: &'static str,
        (code, read): Reader<T>,
    ) -> Option<Vec<At<T>>> {
        let path = self.full(name);
        let (line, value) = self.take(report, name)?;
        let entries: &DeArray<'_> = match value {
            DeValue::Array(entries) => entries,
            other => {
                let hint = match other {
                    DeValue::String(text) => format!("write `[\"{text}\"]`"),
                    _ => "write texts in brackets: `[\"…\", \"…\"]`".to_owned(),
                };
                wrong_type(report, path, line, other, "a list", hint);
                return None;
            }
        };
        let mut list = Vec::with_capacity(entries.len());
        for entry in entries {
            let line = report.line(entry.span().start);
            match entry.get_ref() {
                DeValue::String(text) => match read(text) {
                    Ok(value) => list.push(At { value, line }),
                    Err(complaint) => complain(report, code, path, line, text, &complaint),
                },
                other => {
                    let hint = in_quotes(other, "text");
                    wrong_type(report, path, line, other, "a list of texts", hint);
                }
            }
        }
        Some(list)
    }

    /// Notes that a key without a default is missing, if it is.
    pub(crate) fn need(&self, report: &mut Report<'_>, name: &'static str, hint: &str) {
        let Some(table) = self.table else { return };
        // `orgin` will be told as such; that `origin` is missing says nothing more.
        let is_mistyped = |key: &str| value::closest(key, keys::children(self.path)) == Some(name);
        if !table.keys().any(|key| is_mistyped(key.get_ref())) {
            let message = if self.path.is_empty() {
                format!("there is no `{}`", keys::header(name))
            } else {
                format!("`{}` has no `{name}`", keys::header(self.path))
            };
            report.error(Code::MissingKey, self.line, message, hint);
        }
    }

    /// Notes every key that nobody may write here. Call it last.
    pub(crate) fn finish(self, report: &mut Report<'_>) {
        // Our own bug, not the operator's: a documented key that nothing reads would be ignored.
        debug_assert!(
            self.table.is_none()
                || keys::children(self.path).all(|name| self.taken.contains(&name)),
            "[{}] has keys in the table that are never read: {:?}",
            self.path,
            keys::children(self.path).filter(|name| !self.taken.contains(name)).collect::<Vec<_>>()
        );
        let Some(table) = self.table else { return };
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if self.taken.contains(&name) {
                continue;
            }
            let line = report.line(key.span().start);
            let place = if self.path.is_empty() {
                "at the top of the file".to_owned()
            } else {
                format!("in `{}`", keys::header(self.path))
            };
            let message = format!("`{name}` is not a key {place}");
            report.error(Code::UnknownKey, line, message, self.suggest(name));
        }
    }

    fn suggest(&self, name: &str) -> String {
        if let Some(meant) = value::closest(name, keys::children(self.path)) {
            return format!("did you mean `{meant}`?");
        }
        if let Some(section) =
            keys::SECTIONS.iter().find(|section| section.path.ends_with(&format!(".{name}")))
        {
            let parent = section.path.split('.').next().unwrap_or_default();
            return format!(
                "write `{}`, below the `{}` it belongs to",
                keys::header(section.path),
                keys::header(parent)
            );
        }
        let homes: Vec<String> = keys::homes(name)
            .filter(|home| *home != self.path)
            .map(|home| match home {
                "" => "the top of the file, before the first section".to_owned(),
                section => format!("`{}`", keys::header(section)),
            })
            .collect();
        if !homes.is_empty() {
            return format!("`{name}` belongs to {}", homes.join(" or "));
        }
        let known: Vec<String> =
            keys::children(self.path).map(|name| format!("`{name}`")).collect();
        if known.is_empty() {
            return "remove the line; this section has no keys in this version".to_owned();
        }
        format!("remove the line, or use one of {}", known.join(", "))
    }

    fn take(
        &mut self,
        report: &Report<'_>,
        name: &'static str,
    ) -> Option<(usize, &'a DeValue<'a>)> {
        debug_assert!(
            keys::children(self.path).any(|known| known == name),
            "{}.{name} is not in the table",
            self.path
        );
        self.taken.push(name);
        let value: &'a Spanned<DeValue<'a>> = self.table?.get(name)?;
        Some((report.line(value.span().start), value.get_ref()))
    }

    /// The path of a key, as it stands in the table of keys.
    fn full(&self, name: &'static str) -> &'static str {
        if self.path.is_empty() {
            return name;
        }
        let is_it = |path: &&str| {
            path.strip_prefix(self.path).and_then(|rest| rest.strip_prefix('.')) == Some(name)
        };
        let keys = keys::all().map(|key| key.path);
        keys.chain(keys::SECTIONS.iter().map(|section| section.path)).find(is_it).unwrap_or(name)
    }
}

/// Notes that `text` is not what `path` takes.
pub(crate) fn complain(
    report: &mut Report<'_>,
    code: Code,
    path: &str,
    line: usize,
    text: &str,
    complaint: &str,
) {
    // A URL with a user name may carry a password: messages never repeat it.
    let shown = match text.rsplit_once('@') {
        Some((_, after)) if matches!(code, Code::OriginUrl | Code::AuthorityUrl) => {
            format!("…@{after}")
        }
        // Somebody who mixed up the two lines of `age-keygen`.
        _ if code == Code::Recipient && text.to_ascii_uppercase().contains("SECRET") => {
            "AGE-SECRET-KEY-…".to_owned()
        }
        _ => text.to_owned(),
    };
    let hint = match code {
        Code::Duration => "write a whole number and a unit, such as `200ms`, `30s`, `5m` or `24h`",
        Code::Size => "write a whole number and a unit, such as `64MiB` or `1GB`",
        Code::Rate => "write a rate such as `50/s` or `10/min`",
        Code::Speed => "write a speed such as `100Mbit/s` or `12MiB/s`",
        Code::Address => "write an address and a port, such as `0.0.0.0:443` or `[::]:443`",
        Code::Prefix => "write a network such as `192.0.2.0/24` or `2001:db8::/32`, or one address",
        Code::Fingerprint => {
            "write a JA4 fingerprint as the access log has it, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`, or `t13d1516h2_*`"
        }
        Code::Recipient => {
            "write the public key that `age-keygen` prints: `age1` and 58 letters and digits"
        }
        Code::Host => {
            "write the name alone, such as `example.org`, `*.example.org` or `*`; names beyond ASCII in their `xn--` form"
        }
        Code::Path => "write a path such as `/xmlrpc.php`, or `/wp-admin/*` for all below it",
        Code::Method => "use `GET`, `HEAD`, `POST`, `PUT`, `DELETE`, `OPTIONS` or `PATCH`",
        Code::Cookie => "write a cookie's name, such as `PHPSESSID`, or `wordpress_logged_in_*`",
        Code::Query => {
            "write a parameter's name, such as `page`, or `utm_*`; `*` alone is all of them"
        }
        Code::OriginUrl => {
            "write `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`, such as `http://127.0.0.1:8080`"
        }
        Code::AuthorityUrl => {
            "write the address that the authority names, such as `https://tsa.example.org/tsr`"
        }
        Code::Choice => "write one of these words, or remove the line",
        _ => "see `docs/config.md`",
    };
    let message = if shown.is_empty() {
        format!("`{path}` holds an empty text")
    } else {
        format!("`{path}` is `{shown}`, which is {complaint}")
    };
    report.error(code, line, message, hint);
}

/// Gives the value back if it lies in the range, else notes both ends and the default.
fn within<T: PartialOrd>(
    report: &mut Report<'_>,
    path: &str,
    line: usize,
    found: Option<T>,
    shown: &str,
    range: &RangeInclusive<T>,
    write: impl Fn(&T) -> String,
) -> Option<T> {
    if let Some(value) = found
        && range.contains(&value)
    {
        return Some(value);
    }
    let message = format!(
        "`{path}` is `{shown}`, but it must be between `{}` and `{}`",
        write(range.start()),
        write(range.end())
    );
    report.error(Code::OutOfRange, line, message, use_default(path));
    None
}

/// "use `10s` (the default), or remove the line", or what fits where there is no such default.
pub(crate) fn use_default(path: &str) -> String {
    match keys::key(path).map(|key| key.default) {
        // The default may lie outside of what a lowered `max_head_bytes` leaves.
        _ if path == "limits.max_target_bytes" => {
            "lower it, or raise `limits.max_head_bytes`".to_owned()
        }
        Some(default) if !default.starts_with('(') => {
            format!("use `{}` (the default), or remove the line", default.trim_matches('"'))
        }
        Some("(needed)") | None => "choose a value between the two".to_owned(),
        Some(default) => {
            format!(
                "choose a value between the two, or remove the line for the default: {}",
                default.trim_matches(['(', ')'])
            )
        }
    }
}

fn wrong_type(
    report: &mut Report<'_>,
    path: &str,
    line: usize,
    found: &DeValue<'_>,
    wanted: &str,
    hint: impl Into<String>,
) {
    let found: &dyn Display = match found {
        DeValue::String(text) => &format!("the text `{text}`"),
        DeValue::Integer(number) => &format!("the number `{number}`"),
        DeValue::Float(number) => &format!("the number `{}`", number.as_str()),
        DeValue::Boolean(flag) => &format!("`{flag}`"),
        DeValue::Datetime(date) => &format!("the date `{date}`"),
        DeValue::Array(_) => &"a list",
        DeValue::Table(_) => &"a section",
    };
    let wanted = match wanted.split_once([' ', ',']) {
        Some(("a" | "an", _)) => wanted.to_owned(),
        _ if wanted.starts_with('`') || wanted == "text" || wanted.starts_with("true") => {
            wanted.to_owned()
        }
        _ if wanted.starts_with(['a', 'e', 'i', 'o']) => format!("an {wanted}"),
        _ => format!("a {wanted}"),
    };
    report.error(Code::WrongType, line, format!("`{path}` is {found}, but takes {wanted}"), hint);
}

fn in_quotes(found: &DeValue<'_>, kind: &str) -> String {
    match found {
        DeValue::Integer(number) if kind == "duration" => {
            format!("write `\"{number}s\"`, with the unit you mean and in quotes")
        }
        DeValue::Integer(number) if kind.starts_with("size") => {
            format!("write `\"{number}B\"`, with the unit you mean and in quotes")
        }
        DeValue::Integer(number) if kind == "rate" => {
            format!("write `\"{number}/s\"`, with the unit you mean and in quotes")
        }
        DeValue::Integer(number) if kind == "speed" => {
            format!("write `\"{number}Mbit/s\"`, with the unit you mean and in quotes")
        }
        DeValue::Array(_) => "write one text in quotes, without brackets".to_owned(),
        _ => "write the value in quotes".to_owned(),
    }
}
