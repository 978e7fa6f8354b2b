//! What must hold for any bytes said to be the record of an incident.

use seawall_report::{
    Collector, DueFinder, Edition, Entry, ExportOptions, Moment, Note, RecordFacts, RecordFailure,
    RecordVerifier, Remover, Resumer, Tlp, VerifiedRecord, csv, html, json, misp, nis2, pdf, stix,
    xarf,
};
use seawall_seal::{PublicKey, SigningKey};

/// A record through everything that goes over one. Nothing panics; it does not matter in which pieces it comes; what is
/// found fits the bytes; what can be continued is whole once that is sealed; without its addresses it is as good as
/// before.
pub fn incident_record(data: &[u8]) {
    let key = SigningKey::from_pem(KEY).expect("it is a key");
    for trusted in [None, Some(key.public())] {
        let found = verify(data, trusted, data.len().max(1));
        assert_eq!(found, verify(data, trusted, 7), "pieces matter");
        match &found {
            Ok(record) => fits(record, data),
            Err(failure) => {
                let lines = lines(data).count() as u64;
                assert!((1..=lines + 1).contains(&failure.first_bad), "there is no such line");
            }
        }
        goes_without_addresses(data, trusted, found.ok());
    }
    goes_on(data, &key);
}

/// A record through the sums to every export. Nothing panics; what is written can be read, and the public edition has
/// no address.
pub fn incident_report(data: &[u8]) {
    let mut collector = Collector::with_addresses();
    for line in lines(data) {
        if let Ok(entry) = serde_json::from_slice::<Entry>(line) {
            let again = serde_json::to_vec(&entry).expect("an entry is JSON");
            assert!(serde_json::from_slice::<Entry>(&again).is_ok(), "it cannot be read again");
            collector.take(&entry);
        }
    }
    let report = collector.finish(RecordFacts::default());
    assert!(report.timeline.len() <= 720, "more parts than a timeline has");
    for (edition, tlp) in [(Edition::Public, Tlp::Clear), (Edition::Sealed, Tlp::Red)] {
        let options = ExportOptions { edition, tlp, ..ExportOptions::default() };
        let shown = options.shown(&report).expect("such a marking may be chosen");
        assert!(edition == Edition::Sealed || shown.addresses.is_empty(), "an address is shown");
        let texts = [json::render, stix::render, misp::render].map(|of| of(&report, &options));
        let texts = texts.map(|text| text.expect("it can be shown")).into_iter();
        // There is not always something to complain of.
        for text in texts.chain(xarf::render(&report, &options)) {
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "not JSON");
        }
        csv::render(&report, &options).expect("it can be shown");
        for stage in nis2::Stage::ALL {
            nis2::render(&report, &options, stage).expect("it can be shown");
        }
    }
    // The dear ones once each: the sealed edition has all that the public one has.
    let options = ExportOptions { edition: Edition::Sealed, ..ExportOptions::default() };
    html::render(&report, &options).expect("it can be shown");
    let file = pdf::render(&report, &options).expect("it can be shown");
    assert!(file.starts_with(b"%PDF-"), "not PDF");
}

fn verify(
    data: &[u8],
    trusted: Option<PublicKey>,
    piece: usize,
) -> Result<VerifiedRecord, RecordFailure> {
    let mut verifier = RecordVerifier::new(trusted);
    data.chunks(piece).for_each(|piece| verifier.take(piece));
    verifier.finish()
}

/// Whole lines, without their line breaks.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

fn fits(record: &VerifiedRecord, data: &[u8]) {
    let whole = lines(data).count() as u64;
    assert_eq!(record.sealed_lines + record.unsealed_lines, whole, "lines are left out");
    assert_eq!(record.sealed_lines, record.entries + 3 * record.segments, "lines of no segment");
    let torn = data.len() - data.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    assert_eq!(record.torn_bytes, torn as u64);
    assert_eq!(record.head.is_some(), record.segments > 0);
    if record.complaint().is_none() {
        assert!(record.is_closed && record.sealed_lines == whole && torn == 0, "it is not whole");
    }
}

fn goes_on(data: &[u8], key: &SigningKey) {
    let mut resumer = Resumer::new(key);
    resumer.take(data);
    let Ok((mut chain, resumed)) = resumer.finish() else { return };
    assert_eq!(resumed.keep_bytes + resumed.cut_bytes, data.len() as u64);
    let mut record = data[..resumed.keep_bytes as usize].to_vec();
    if chain.is_full() {
        record.extend(chain.seal(key, Moment::default()).expect("it is full"));
    }
    record.extend(chain.append(&Entry::Note(Note::default())).expect("a note may always follow"));
    record.extend(chain.seal(key, Moment::default()).expect("there is a note"));
    let found = verify(&record, Some(key.public()), 1 << 16).expect("what is kept is right");
    assert_eq!((found.unsealed_lines, found.torn_bytes), (0, 0));
    assert_eq!(found.head, chain.head());
}

fn goes_without_addresses(data: &[u8], trusted: Option<PublicKey>, before: Option<VerifiedRecord>) {
    let mut finder = DueFinder::all();
    finder.take(data);
    let due = finder.finish();
    let (mut remover, mut out) = (Remover::new(due.lines.iter().copied()), Vec::new());
    let taken = remover.take(data, &mut out).and_then(|()| remover.finish(&mut out));
    assert!(taken.is_ok(), "what was found cannot be removed");
    for (number, (old, new)) in (1..).zip(lines(data).zip(lines(&out))) {
        assert!(old == new || due.lines.contains(&number), "another line was changed");
        assert!(!due.lines.contains(&number) || !new.starts_with(b"{\"entry\""), "it stays");
    }
    let Some(before) = before else { return };
    let after = verify(&out, trusted, 1 << 16).expect("what was sealed can still be checked");
    assert_eq!((after.head, after.entries), (before.head, before.entries));
}

/// Of the corpus: `SigningKey` of 32 bytes 7. It seals nothing else.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH
-----END PRIVATE KEY-----
";
