//! Writes the example report in every format into a folder, for programs of others to judge.
//!
//! `cargo run -p seawall-report --example export_all -- FOLDER`

use std::path::{Path, PathBuf};
use std::{env, fs};

use seawall_report::{
    Chain, Edition, Entry, ExportOptions, Node, Removed, Report, Second, Step, StepKind, Timestamp,
    Tlp, Word, csv, example, html, json, misp, pdf, stix, xarf,
};
use seawall_seal::SigningKey;

/// What stands between us and a file.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let folder = env::args_os().nth(1).map(PathBuf::from).ok_or("name a folder to write to")?;
    for (name, report) in [("example", example()), ("hostile", hostile())] {
        for (edition, tlp) in [(Edition::Public, Tlp::Clear), (Edition::Sealed, Tlp::AmberStrict)] {
            let options = ExportOptions {
                tlp,
                edition,
                reporter: Some("The Daily Example".to_owned()),
                contact: Some("desk@daily.example".to_owned()),
            };
            write(&folder.join(format!("{name}-{edition}")), &report, &options)?;
        }
    }
    fs::write(folder.join("record.jsonl"), record()?)?;
    Ok(())
}

/// A record with a line of every kind, as far as a shield writes it itself.
fn record() -> Outcome<Vec<u8>> {
    let report = example();
    let key = SigningKey::generate()?;
    let (mut chain, mut bytes) = Chain::begin(&report.begin, &key)?;
    let mut entries = vec![
        Entry::Second(Box::new(Second { node: Some(Node::default()), ..Second::default() })),
        Entry::Row(Box::default()),
        Entry::Word(Word::default()),
        Entry::Addresses(Box::default()),
    ];
    entries
        .extend(report.sources.into_iter().take(9).map(|source| Entry::Source(Box::new(source))));
    for history in report.mitigations {
        entries.extend(history.moves.into_iter().map(|moved| {
            let (at, mitigation) = (moved.at, Some(moved.change));
            Entry::Step(Box::new(Step { at, step: StepKind::Moved, mitigation, ..Step::default() }))
        }));
    }
    entries.extend(report.gaps.into_iter().map(Entry::Gap));
    entries.extend(report.faults.into_iter().map(Entry::Fault));
    entries.push(Entry::End(Box::default()));
    entries.extend(report.notes.into_iter().map(Entry::Note));
    entries.push(Entry::Timestamp(Timestamp::default()));
    entries.push(Entry::Removed(Removed::default()));
    for entry in &entries {
        bytes.extend(chain.append(entry)?);
    }
    bytes.extend(chain.seal(&key, report.recorded_until)?);
    Ok(bytes)
}

fn write(folder: &Path, report: &Report, options: &ExportOptions) -> Outcome {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("stix.json"), stix::render(report, options)?)?;
    fs::write(folder.join("misp.json"), misp::render(report, options)?)?;
    if options.edition == Edition::Sealed {
        fs::write(folder.join("xarf.json"), xarf::render(report, options)?)?;
        fs::write(folder.join("xarf.mbox"), xarf::mbox(report, options)?)?;
        for (number, draft) in xarf::mails(report, options)?.enumerate() {
            fs::write(folder.join(format!("xarf-{number}.eml")), draft?.text)?;
        }
    }
    fs::write(folder.join("report.json"), json::render(report, options)?)?;
    fs::write(folder.join("report.html"), html::render(report, options)?)?;
    fs::write(folder.join("report.pdf"), pdf::render(report, options)?)?;
    fs::write(folder.join("sources.csv"), csv::render(report, options)?)?;
    fs::write(folder.join("totals.csv"), csv::totals(report))?;
    // What the validators compare all others with.
    fs::write(folder.join("totals.json"), serde_json::to_string(&report.totals)?)?;
    Ok(())
}

/// The example, with texts that try to break out of every format.
fn hostile() -> Report {
    let mut report = example();
    let text = |number: usize| HOSTILE[number % HOSTILE.len()].to_owned();
    for (number, one) in report.mitigations.iter_mut().enumerate() {
        one.signature = text(number);
        for step in &mut one.moves {
            step.change.signature = text(number);
            for (place, word) in step.change.terms.iter_mut().enumerate() {
                let lead = ["user agent ", "path template ", "JA4 ", ""][place % 4];
                let attribute = ["user agent", "path template", "JA4", "of a later version"];
                attribute[place % 4].clone_into(&mut word.attribute);
                word.text = format!("{lead}{}", text(number + place));
            }
        }
    }
    for (number, note) in report.notes.iter_mut().enumerate() {
        note.text = text(number);
        note.author = text(number + 1);
        note.source = Some(text(number + 2));
    }
    for (number, look) in report.looks.iter_mut().enumerate() {
        look.text = text(number);
    }
    for (number, source) in report.sources.iter_mut().enumerate().take(20) {
        source.registered = Some(format!("AS64511 {}", text(number)));
    }
    report.begin.sites = vec![text(0), text(3)];
    report
}

const HOSTILE: &[&str] = &[
    "' OR '1'='1'] FOLLOWEDBY [ipv4-addr:value = '0.0.0.0/0",
    "\\' \\\\ \" \u{0}\u{1}\u{7f} \r\nBcc: all@daily.example\r\n\r\n--seawall",
    "=HYPERLINK(\"http://x.example\",\"x\")\t+1\n-1\n@SUM(1)",
    "<script>alert(1)</script> ]]> &amp; %00 {{7*7}} ${x} (?i).*$ [^'] …",
    "\u{202e}gpj.exe \u{feff} \u{2028} \u{1f4a5} ?????",
];
