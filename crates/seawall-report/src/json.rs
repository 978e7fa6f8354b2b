//! The report as JSON, for programs. Its schema is `docs/schemas/report-1.json`: keys may be added, never renamed.
//!
//! Marking, edition and reporter stand beside the keys of [`Report`], so that whoever has the file alone knows how far it
//! may be passed on. Nothing is computed here.

use serde::Serialize;

use crate::export::{ExportError, ExportOptions};
use crate::report::Report;

#[derive(Serialize)]
struct Marked<'r> {
    tlp: &'static str,
    edition: &'static str,
    reporter: String,
    #[serde(flatten)]
    report: &'r Report,
}

/// One JSON object, for people indented.
///
/// # Errors
/// [`ExportError::SealedIsClear`]: choose another marking.
pub fn render(report: &Report, options: &ExportOptions) -> Result<String, ExportError> {
    let shown = options.shown(report)?;
    let marked = Marked {
        tlp: options.tlp.label(),
        edition: options.edition.as_str(),
        reporter: options.reporter(),
        report: &shown,
    };
    let mut text = serde_json::to_string_pretty(&marked)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{Edition, Tlp};
    use crate::{Address, Source};

    #[test]
    fn the_sealed_edition_alone_has_addresses() {
        let address = Address { address: "192.0.2.7".to_owned(), ..Address::default() };
        let source = Source { prefix: "192.0.2.7".to_owned(), ..Source::default() };
        let report =
            Report { addresses: vec![address], sources: vec![source], ..Report::default() };
        let public = render(&report, &ExportOptions::default()).expect("it may be shown");
        assert!(!public.contains("192.0.2.7") && public.contains("192.0.2.0/24"), "{public}");
        let options =
            ExportOptions { edition: Edition::Sealed, tlp: Tlp::Red, ..ExportOptions::default() };
        let sealed = render(&report, &options).expect("it may be shown");
        assert!(sealed.contains("192.0.2.7") && sealed.contains("\"TLP:RED\""), "{sealed}");
    }

    #[test]
    fn it_is_read_as_the_report_that_was_written() {
        let report = Report { verdict: "crowd".to_owned(), ..Report::default() };
        let text = render(&report, &ExportOptions::default()).expect("JSON");
        assert_eq!(serde_json::from_str::<Report>(&text).expect("the same"), report);
    }
}
