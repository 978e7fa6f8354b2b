//! Tables for spreadsheets (RFC 4180): sums, timeline, sources, and the requests of the sample.
//!
//! What clients wrote ends up in cells, and a spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a
//! formula: such a cell begins with an apostrophe here (OWASP, CSV injection). Lines end as RFC 4180 says, with CR LF.
//! Requests of the sample are not in a [`Report`]: they are written one by one while the record is read.

use std::borrow::Cow;
use std::fmt::Display;

use crate::entry::{Begin, Clean, Row, Word};
use crate::export::{Edition, ExportError, ExportOptions, public_prefix};
use crate::report::{Report, Totals};

/// Sources, one a line: networks cut to /24 and /48 as long as the edition is public.
///
/// # Errors
/// [`ExportError::SealedIsClear`]: choose another marking.
pub fn render(report: &Report, options: &ExportOptions) -> Result<String, ExportError> {
    let report = options.shown(report)?;
    let mut table = Table::new(&[
        "prefix",
        "first_seen",
        "last_seen",
        "requests_estimated",
        "rows",
        "met_rows",
        "refused_rows",
        "addresses",
        "registered",
        "marks",
        "mitigations",
    ]);
    for source in &report.sources {
        let ids: Vec<_> = source.mitigations.iter().map(u32::to_string).collect();
        table.line(&[
            &source.prefix,
            &source.first_seen,
            &source.last_seen,
            &format!("{:.1}", source.requests),
            &source.rows,
            &source.met_rows,
            &source.refused_rows,
            &source.addresses,
            &source.registered.as_deref().unwrap_or_default(),
            &source.marks.join(" "),
            &ids.join(" "),
        ]);
    }
    Ok(table.text)
}

/// Sums from the first alarm to the last, and of the time before.
pub fn totals(report: &Report) -> String {
    let mut table = Table::new(&["what", "incident", "before"]);
    let (now, before) = (&report.totals, &report.before);
    table.line(&[&"expected", &format!("{:.1}", now.expected), &format!("{:.1}", before.expected)]);
    for (name, figure) in FIGURES {
        table.line(&[name, &figure(now), &figure(before)]);
    }
    table.text
}

type Figure = fn(&Totals) -> u64;
const FIGURES: &[(&str, Figure)] = &[
    ("seconds", |it| it.seconds),
    ("requests", |it| it.requests),
    ("excess", |it| it.excess),
    ("refused", |it| it.refused),
    ("matched", |it| it.matched),
    ("origin", |it| it.origin),
    ("spared", |it| it.spared),
    ("origin_cost_ms", |it| it.origin_cost_ms),
    ("client_errors", |it| it.client_errors),
    ("server_errors", |it| it.server_errors),
    ("tests_set", |it| it.tests_set),
    ("tests_passed", |it| it.tests_passed),
    ("connections_opened", |it| it.connections.opened),
    ("handshakes", |it| it.connections.handshakes),
    ("handshake_failures", |it| it.connections.handshake_failures),
    ("resets", |it| it.connections.resets),
    ("slow_connections", |it| it.connections.slow),
    ("refused_connections", |it| it.connections.refused),
    ("rx_bytes", |it| it.rx_bytes),
    ("tx_bytes", |it| it.tx_bytes),
];

/// The timeline, a part a line.
pub fn timeline(report: &Report) -> String {
    let mut table = Table::new(&[
        "at",
        "seconds",
        "requests",
        "expected",
        "refused",
        "origin",
        "unmet",
        "unmet_served",
        "peak_requests",
        "link_full",
    ]);
    for bucket in &report.timeline {
        table.line(&[
            &bucket.at,
            &bucket.seconds,
            &bucket.requests,
            &format!("{:.1}", bucket.expected),
            &bucket.refused,
            &bucket.origin,
            &bucket.unmet,
            &bucket.unmet_served,
            &bucket.peak_requests,
            &bucket.link_full.map_or_else(String::new, |it| it.to_string()),
        ]);
    }
    table.text
}

/// The first line of the table of the sample.
pub fn sample_head(begin: &Begin) -> String {
    let fixed = ["at", "p", "prefix", "kind", "standing", "status", "cause", "work", "met"];
    let attributes = begin.attributes.iter().map(String::as_str);
    Table::new(&fixed.into_iter().chain(attributes).collect::<Vec<_>>()).text
}

/// One request of the sample. `sum` of `1/p` over them, and of the requests of [`clean_lines`], estimates totals. Nothing of
/// a row that may be a reader's, which records of earlier versions have, but in the sealed edition.
pub fn sample_line(row: &Row, edition: Edition) -> String {
    if row.is_clean() && edition != Edition::Sealed {
        return String::new();
    }
    let mut table = Table { text: String::new() };
    let prefix = public_prefix(&row.prefix).map_or_else(String::new, |cut| cut.to_string());
    let met = row.met.map_or_else(String::new, |id| id.to_string());
    let fixed: [&dyn Display; 9] = [
        &row.at,
        &row.p,
        &prefix,
        &row.kind,
        &row.standing,
        &row.status,
        &row.cause,
        &row.work,
        &met,
    ];
    let attributes = row.attributes.iter().map(|value| value as &dyn Display);
    table.line(&fixed.into_iter().chain(attributes).collect::<Vec<_>>());
    table.text
}

/// The first line of the table of what may be readers', which has counts alone.
pub fn clean_head() -> String {
    Table::new(&["from", "until", "met", "rows", "attribute", "value", "requests_estimated"]).text
}

/// A line for all of them, and one for each look that enough of them had.
pub fn clean_lines(clean: &Clean) -> String {
    let mut table = Table { text: String::new() };
    let mut line = |rows: &dyn Display, attribute: &str, value: &str, requests: f64| {
        let requests = format!("{requests:.1}");
        table.line(&[&clean.from, &clean.until, &clean.met, rows, &attribute, &value, &requests]);
    };
    line(&clean.rows, "", "", clean.requests);
    for look in &clean.looks {
        for (value, requests) in &look.values {
            line(&"", &look.attribute, value, *requests);
        }
    }
    table.text
}

/// The first line of the table of words.
pub fn words_head() -> String {
    Table::new(&["attribute", "value", "text"]).text
}

/// What a hash in the sample was in words.
pub fn words_line(word: &Word) -> String {
    let mut table = Table { text: String::new() };
    table.line(&[&word.attribute, &word.value, &word.text]);
    table.text
}

struct Table {
    text: String,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        let mut table = Self { text: String::new() };
        let head: Vec<&dyn Display> = head.iter().map(|name| name as &dyn Display).collect();
        table.line(&head);
        table
    }

    fn line(&mut self, cells: &[&dyn Display]) {
        for (place, value) in cells.iter().enumerate() {
            if place > 0 {
                self.text.push(',');
            }
            self.text.push_str(&cell(&value.to_string()));
        }
        self.text.push_str("\r\n");
    }
}

/// A cell as it stands between commas.
fn cell(text: &str) -> Cow<'_, str> {
    // A tab or line end at the beginning is skipped by spreadsheets, and a formula may come after it.
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let must_quote = text.contains([',', '"', '\r', '\n']);
    if !is_formula && !must_quote {
        return Cow::Borrowed(text);
    }
    let mark = if is_formula { "'" } else { "" };
    Cow::Owned(format!("\"{mark}{}\"", text.replace('"', "\"\"")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{CleanLook, Moment, Source};

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_is_no_formula() {
        for (text, want) in [
            ("", ""),
            ("a b", "a b"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-2", "\"'-2\""),
            ("+2", "\"'+2\""),
            ("\t=1", "\"'\t=1\""),
        ] {
            assert_eq!(cell(text), want);
        }
    }

    /// As RFC 4180 §2 says a reader does it.
    fn read(text: &str) -> Vec<Vec<String>> {
        let (mut lines, mut line, mut cell) = (Vec::new(), Vec::new(), String::new());
        let (mut is_quoted, mut chars) = (false, text.chars().peekable());
        while let Some(c) = chars.next() {
            match (c, is_quoted) {
                ('"', true) if chars.peek() == Some(&'"') => cell.extend(chars.next()),
                ('"', _) => is_quoted = !is_quoted,
                (',', false) => line.push(std::mem::take(&mut cell)),
                ('\r', false) => {
                    chars.next();
                    line.push(std::mem::take(&mut cell));
                    lines.push(std::mem::take(&mut line));
                }
                _ => cell.push(c),
            }
        }
        lines
    }

    proptest! {
        #[test]
        fn whatever_a_source_is_called_it_stays_in_its_cell(name in "\\PC{0,20}|[=,\"\r\n@+-]{1,6}") {
            let source = Source { registered: Some(name.clone()), ..Source::default() };
            let report = Report { sources: vec![source], ..Report::default() };
            let table = read(&render(&report, &ExportOptions::default()).expect("public"));
            prop_assert_eq!((table.len(), table[0].len(), table[1].len()), (2, 11, 11));
            let cell = &table[1][8];
            prop_assert_eq!(cell.strip_prefix('\'').filter(|_| !name.starts_with('\'')).unwrap_or(cell), &name);
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
        }
    }

    #[test]
    fn a_row_has_as_many_cells_as_its_head() {
        let begin =
            Begin { attributes: vec!["JA4".to_owned(), "query".to_owned()], ..Begin::default() };
        let attributes = vec!["ff".to_owned(), "0".to_owned()];
        let row = Row {
            at: Moment::from_unix_ms(0),
            p: 0.25,
            prefix: "192.0.2.99".to_owned(),
            attributes,
            met: Some(7),
            standing: "anonymous".to_owned(),
            ..Row::default()
        };
        let table = read(&(sample_head(&begin) + &sample_line(&row, Edition::Public)));
        assert_eq!(table[0].len(), 11);
        assert_eq!(
            table[1],
            [
                "1970-01-01T00:00:00.000Z",
                "0.25",
                "192.0.2.0/24",
                "",
                "anonymous",
                "0",
                "",
                "",
                "7",
                "ff",
                "0"
            ]
        );
    }

    #[test]
    fn a_readers_row_of_an_earlier_version_is_for_the_sealed_edition_alone() {
        let row = Row { standing: "aged_reader".to_owned(), status: 200, ..Row::default() };
        assert_eq!(sample_line(&row, Edition::Public), "");
        assert!(sample_line(&row, Edition::Sealed).contains("aged_reader"));
    }

    #[test]
    fn counts_of_readers_are_a_line_for_all_and_one_for_each_look() {
        let values = [("1f".to_owned(), 3.25)].into();
        let looks = vec![CleanLook { attribute: "JA4".to_owned(), values }];
        let clean = Clean { rows: 7, requests: 14.0, looks, ..Clean::default() };
        let table = read(&(clean_head() + &clean_lines(&clean)));
        assert_eq!(table[1][2..], ["false", "7", "", "", "14.0"]);
        assert_eq!(table[2][2..], ["false", "", "JA4", "1f", "3.2"]);
        assert_eq!((table.len(), table[0].len()), (3, 7));
    }

    #[test]
    fn the_sums_are_those_of_the_report() {
        let mut report = Report::default();
        (report.totals.requests, report.before.requests) = (1_234_567, 89);
        assert!(totals(&report).contains("\r\nrequests,1234567,89\r\n"));
    }
}
