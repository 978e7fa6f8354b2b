//! What a report says to people, as headings, sentences, tables and figures that know nothing of a format.
//!
//! Separate because HTML and PDF show the same: both are made from this one, so that neither says what the other leaves
//! out. It deliberately does **not** compute figures that are not in the [`Report`]; it compares, rounds and words them.
//! What strangers wrote is made harmless here, in `clean`, and escaped by each format.
//!
//! Read next: `summary` (the first page), `drawing` (what a figure is), `html` and `pdf`.

mod about;
mod clean;
mod drawing;
mod figures;
mod machine;
mod measured;
mod said;
mod signatures;
mod sources;
mod summary;
mod words;

use crate::{ExportError, ExportOptions, RecordOrigin, Report, Tlp, say};

pub(crate) use self::drawing::{Anchor, Drawing, Ink, Shape};

/// A report for people.
pub(crate) struct Document {
    /// At most 70 characters, for the list of windows.
    pub(crate) title: String,
    /// The heading of it all.
    pub(crate) heading: Text,
    /// What it is, in whose name, from when: one line.
    pub(crate) subtitle: Text,
    /// How far it may be passed on.
    pub(crate) tlp: Tlp,
    /// What has to be known before anything else.
    pub(crate) banners: Vec<Text>,
    /// What comes first: one page.
    pub(crate) first: Vec<Block>,
    /// What comes then, each under a heading of its own.
    pub(crate) parts: Vec<Part>,
}

/// A part of a document.
pub(crate) struct Part {
    /// Its name in addresses.
    pub(crate) id: &'static str,
    pub(crate) heading: String,
    pub(crate) blocks: Vec<Block>,
}

/// What stands by itself.
pub(crate) enum Block {
    /// A heading below that of the part; 3 is the next one.
    Heading(u8, Text),
    Paragraph(Text),
    List(Vec<Text>),
    Table(Table),
    /// A table that is there for who cannot see a figure, or wants its numbers.
    Data(Table),
    /// What somebody said: who, and what.
    Statement(Text, Text),
    Figure(Figure),
}

/// A table. The first cell of each row names it.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) caption: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Text>>,
}

/// A column of a table.
pub(crate) struct Column {
    pub(crate) name: String,
    /// Whether what is in it are numbers.
    pub(crate) is_number: bool,
}

impl Column {
    pub(crate) fn text(name: &str) -> Self {
        Self { name: name.to_owned(), is_number: false }
    }

    pub(crate) fn number(name: &str) -> Self {
        Self { name: name.to_owned(), is_number: true }
    }
}

/// A picture.
pub(crate) struct Figure {
    /// Its name in addresses.
    pub(crate) id: &'static str,
    pub(crate) caption: String,
    /// What is to be seen, in words.
    pub(crate) says: String,
    pub(crate) wide: Drawing,
    /// The same for a small screen.
    pub(crate) narrow: Drawing,
}

/// A run of words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<Span>);

/// Words of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) kind: SpanKind,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanKind {
    /// Ours.
    Plain,
    /// Ours, and important.
    Strong,
    /// Ours: a digest, a command, a key.
    Code,
    /// Of somebody else: cleaned, and set apart in its direction.
    Foreign,
    /// The same, as one reads code: a path, a user agent.
    ForeignCode,
}

impl Text {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::default().and(text)
    }

    pub(crate) fn strong(text: impl Into<String>) -> Self {
        Self::default().with(SpanKind::Strong, text)
    }

    pub(crate) fn foreign(text: &str) -> Self {
        Self::default().and_foreign(text)
    }

    pub(crate) fn foreign_code(text: &str) -> Self {
        Self::default().with(SpanKind::ForeignCode, clean::line(text))
    }

    pub(crate) fn and(self, text: impl Into<String>) -> Self {
        self.with(SpanKind::Plain, text)
    }

    pub(crate) fn and_strong(self, text: impl Into<String>) -> Self {
        self.with(SpanKind::Strong, text)
    }

    pub(crate) fn and_code(self, text: impl Into<String>) -> Self {
        self.with(SpanKind::Code, text)
    }

    pub(crate) fn and_foreign(self, text: &str) -> Self {
        self.with(SpanKind::Foreign, clean::line(text))
    }

    pub(crate) fn and_text(mut self, text: Self) -> Self {
        self.0.extend(text.0);
        self
    }

    fn with(mut self, kind: SpanKind, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if matches!(kind, SpanKind::Plain | SpanKind::Strong) {
            // A figure and its sign stand in one line.
            text = text.replace(" %", "\u{a0}%");
        }
        self.0.push(Span { kind, text });
        self
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::plain(text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::plain(text)
    }
}

/// The report for people.
///
/// # Errors
/// When the edition and the marking do not go together.
pub(crate) fn document(report: &Report, options: &ExportOptions) -> Result<Document, ExportError> {
    let shown = options.shown(report)?;
    let report = shown.as_ref();
    let site = words::site(report);
    let day = say::day(report.begin.since);
    let short: String = site.chars().take(70 - 18 - day.len()).collect();
    let mut parts = vec![
        measured::timeline(report),
        measured::readers(report),
        signatures::part(report),
        sources::networks(report),
        sources::looks(report),
        machine::part(report),
        said::statements(report),
        said::assessments(report),
        said::unknown(report),
        about::record(report),
    ];
    parts.extend(sources::addresses(report));
    parts.push(about::glossary());
    Ok(Document {
        title: format!("Incident report: {short}, {day}"),
        heading: Text::plain("Incident report: ")
            .and_foreign(&site)
            .and(format!(", {}", day.replace(' ', "\u{a0}"))),
        subtitle: subtitle(report, options),
        tlp: options.tlp,
        banners: banners(report, options),
        first: summary::first_page(report),
        parts,
    })
}

fn subtitle(report: &Report, options: &ExportOptions) -> Text {
    Text::plain("Incident ")
        .and_code(clean::line(&report.begin.incident))
        .and(format!(", {} edition, made by ", options.edition))
        .and_foreign(&report.begin.software)
        .and(". In the name of: ")
        .and_foreign(&options.reporter())
        .and(". All times are UTC.")
}

fn banners(report: &Report, options: &ExportOptions) -> Vec<Text> {
    let mut banners = Vec::new();
    match report.begin.origin {
        RecordOrigin::Live => {}
        RecordOrigin::Replay => banners.push(
            Text::strong("Reconstructed from access logs. ").and(
                "Another program answered these requests and wrote them down; Seawall read them afterwards. \
                 What it would have done is not what was done, and what no log says is not here.",
            ),
        ),
        RecordOrigin::Rehearsal => banners.push(
            Text::strong("This was a rehearsal. ").and(
                "All traffic was generated on the machine itself. There was no attack.",
            ),
        ),
    }
    if report.until.is_none() {
        banners.push(Text::strong("This is still going on. ").and(format!(
            "The report shows what was recorded until {}. Its figures will grow, and its judgements may change.",
            say::full(report.recorded_until)
        )));
    }
    if options.edition == crate::Edition::Sealed {
        banners.push(Text::strong("Sealed edition. ").and(
            "It holds full addresses of sources, which are personal data. Pass it on only to who has to act on them.",
        ));
    }
    banners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::lint;
    use crate::{Assessment, Confidence, Likelihood, Subject, example};

    /// All that is ours in `blocks`, one text a line.
    fn own(blocks: &[Block], said: &mut String) {
        let mut add = |text: &Text| {
            for span in &text.0 {
                let is_ours = !matches!(span.kind, SpanKind::Foreign | SpanKind::ForeignCode);
                said.push_str(if is_ours { &span.text } else { "\u{2026}" });
            }
            said.push('\n');
        };
        for block in blocks {
            match block {
                Block::Heading(_, text) | Block::Paragraph(text) => add(text),
                Block::List(texts) => texts.iter().for_each(&mut add),
                Block::Statement(who, _) => add(who),
                Block::Table(table) | Block::Data(table) => {
                    add(&table.caption.as_str().into());
                    table.columns.iter().for_each(|column| add(&column.name.as_str().into()));
                    table.rows.iter().flatten().for_each(&mut add);
                }
                Block::Figure(figure) => {
                    add(&format!("{}. {}", figure.caption, figure.says).into());
                }
            }
        }
    }

    #[test]
    fn the_first_page_says_what_it_was_taken_for_and_no_more() {
        for (verdict, want) in [
            ("attack", "Seawall took this for an attack"),
            ("crowd", "was not an attack"),
            ("mixed", "could not be told from what was measured"),
            ("", "does not say what Seawall took this for"),
        ] {
            let report = Report { verdict: verdict.to_owned(), ..example() };
            let document = document(&report, &ExportOptions::default()).expect("public");
            let mut said = String::new();
            own(&document.first, &mut said);
            assert!(said.contains(want), "{verdict}: {said}");
            let is_said = said.contains("took this for an attack");
            assert_eq!(is_said, verdict == "attack", "{verdict}: {said}");
        }
    }

    #[test]
    fn our_own_words_accuse_nobody() {
        use Subject::{Crowd, Devices, Hosting, Proxies, SingleTool, ToolFamily, Tor};
        let subjects = [Tor, Hosting, Proxies, Devices, SingleTool, ToolFamily, Crowd];
        for verdict in ["attack", "mixed", "crowd", ""] {
            let mut report = example();
            report.verdict = verdict.to_owned();
            for subject in subjects {
                let (likelihood, confidence) = (Likelihood::Likely, Confidence::High);
                let none = Vec::new;
                report.assessments.push(Assessment {
                    subject,
                    likelihood,
                    confidence,
                    evidence: none(),
                    alternatives: none(),
                    would_change: none(),
                });
            }
            let document = document(&report, &ExportOptions::default()).expect("public");
            let mut said = String::new();
            own(&document.first, &mut said);
            for part in &document.parts {
                said.push_str(&part.heading);
                said.push('\n');
                own(&part.blocks, &mut said);
            }
            assert!(said.len() > 10_000);
            assert_eq!(lint(&said), []);
        }
    }
}
