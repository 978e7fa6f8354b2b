//! What can be said of the bytes; that programs read them, and what is seen, is for `cargo xtask pages`.

use super::*;
use crate::{Edition, Note, example};

fn public(report: &Report) -> Vec<u8> {
    render(report, &ExportOptions::default()).expect("the public edition")
}

/// Whether `needle` is in the bytes.
fn has(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// The contents of all pages, unpacked.
fn contents(bytes: &[u8]) -> String {
    use std::io::Read as _;
    let mut all = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(7).position(|window| window == b"stream\n") {
        rest = &rest[at + 7..];
        let mut unpacked = Vec::new();
        if flate2::read::ZlibDecoder::new(rest).read_to_end(&mut unpacked).is_ok() {
            all.extend(unpacked);
        }
    }
    all.into_iter().map(char::from).collect()
}

#[test]
fn the_same_report_makes_the_same_bytes() {
    let report = example();
    assert!(public(&report) == public(&report));
}

#[test]
fn figures_and_marking_are_those_of_the_report() {
    let report = example();
    let words = contents(&public(&report)).replace(',', "");
    for number in
        [report.totals.requests, report.totals.refused, report.totals.matched, report.peak.requests]
    {
        assert!(words.contains(&number.to_string()), "{number}");
    }
    let pages = words.matches("(Page ").count();
    assert!(pages > 3);
    assert!(words.matches("(TLP:AMBER)").count() >= 2 * pages);
}

#[test]
fn the_public_edition_shows_no_full_address_and_the_sealed_one_does() {
    let report = example();
    let sealed = ExportOptions { edition: Edition::Sealed, ..ExportOptions::default() };
    let sealed = contents(&render(&report, &sealed).expect("the sealed edition"));
    let public = contents(&public(&report));
    for each in &report.addresses {
        assert!(
            sealed.contains(&each.address) && !public.contains(&each.address),
            "{}",
            each.address
        );
    }
}

#[test]
fn words_of_strangers_stay_words() {
    let mut report = example();
    let text = ") Tj ET /Evil Do (\\\u{202e}\u{0}\n endstream endobj".to_owned();
    report.begin.sites = vec![") Tj ET /Evil Do (".to_owned()];
    report.notes = vec![Note { author: text.clone(), text, ..Note::default() }];
    let bytes = public(&report);
    let words = contents(&bytes);
    assert!(words.contains("\\)"), "brackets are escaped");
    assert!(!words.contains("\n/Evil Do") && !has(&bytes, "\n endstream endobj"));
}

#[test]
fn a_report_of_nothing_is_a_file_all_the_same() {
    let bytes = public(&Report::default());
    assert!(has(&bytes, "%PDF-1.7") && has(&bytes, "%%EOF"));
    let words = contents(&bytes);
    assert!(!words.contains("NaN") && !words.contains("inf "), "numbers are numbers");
}
