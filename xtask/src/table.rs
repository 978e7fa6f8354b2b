//! What was found, beside its bar.

use std::fmt;

use serde_json::{Value, json};

/// What a figure must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bar {
    /// It must not be less.
    AtLeast(f64),
    /// It must not be more.
    AtMost(f64),
    /// It is printed only.
    None,
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    what: String,
    found: f64,
    unit: &'static str,
    bar: Bar,
    note: String,
}

impl Line {
    /// A figure that must keep to `bar`.
    pub(crate) fn new(what: impl Into<String>, found: f64, unit: &'static str, bar: Bar) -> Self {
        Self { what: what.into(), found, unit, bar, note: String::new() }
    }

    /// Adds how the figure came about.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn is_met(&self) -> Option<bool> {
        match self.bar {
            // A figure that could not be had is no met bar.
            Bar::AtLeast(bar) => Some(self.found >= bar),
            Bar::AtMost(bar) => Some(self.found <= bar),
            Bar::None => None,
        }
    }
}

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Table {
    lines: Vec<(String, Line)>,
}

impl Table {
    /// Adds the figures of a row.
    pub(crate) fn extend(&mut self, row: &str, lines: Vec<Line>) {
        self.lines.extend(lines.into_iter().map(|line| (row.to_owned(), line)));
    }

    /// How many bars are missed.
    pub(crate) fn missed(&self) -> usize {
        self.lines.iter().filter(|(_, line)| line.is_met() == Some(false)).count()
    }

    /// All figures.
    pub(crate) fn json(&self) -> Value {
        let value = |(row, line): &(String, Line)| {
            let (at_least, at_most) = match line.bar {
                Bar::AtLeast(bar) => (Some(bar), None),
                Bar::AtMost(bar) => (None, Some(bar)),
                Bar::None => (None, None),
            };
            json!({
                "row": row, "what": line.what, "found": line.found, "unit": line.unit,
                "at_least": at_least, "at_most": at_most, "met": line.is_met(), "note": line.note,
            })
        };
        self.lines.iter().map(value).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (row, line) in &self.lines {
            let found = format!("{:.2} {}", line.found, line.unit);
            let verdict = match (line.bar, line.is_met()) {
                (Bar::AtLeast(bar), Some(met)) => format!(">= {bar}: {}", word(met)),
                (Bar::AtMost(bar), Some(met)) => format!("<= {bar:.2}: {}", word(met)),
                _ => String::new(),
            };
            let text =
                format!("{row:<9} {:<44} {found:>16}  {verdict:<18} {}", line.what, line.note);
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

const fn word(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

#[cfg(test)]
mod tests {
    use super::{Bar, Line, Table};

    #[test]
    fn a_bar_is_missed_on_its_far_side_only_and_by_what_is_no_number() {
        for (found, bar, missed) in [
            (99.9, Bar::AtLeast(99.9), 0),
            (99.8, Bar::AtLeast(99.9), 1),
            (f64::NAN, Bar::AtLeast(99.9), 1),
            (2.0, Bar::AtMost(2.0), 0),
            (2.1, Bar::AtMost(2.0), 1),
            (f64::NAN, Bar::AtMost(2.0), 1),
            (9.0, Bar::None, 0),
        ] {
            let mut table = Table::default();
            table.extend("row", vec![Line::new("a figure", found, "%", bar)]);
            assert_eq!(table.missed(), missed, "{found} against {bar:?}");
        }
    }
}
