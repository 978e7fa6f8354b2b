//! Reports of incidents through the real binary: listed, shown, exported, and what is kept.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use seawall_report::{
    Address, Addresses, Begin, Chain, Clean, Cohort, CohortCounts, End, Entry, MetCounts, Moment,
    Move, Note, NoteKind, Removed, Row, Second, Source, Step, StepKind, Word,
};

use crate::common::{Ran, run_in};

const ID: &str = "20261122T100800Z-0abc";

fn at(second: u64) -> Moment {
    Moment::from_unix_ms(1_795_342_080_000 + second * 1_000)
}

/// What a shield would have written of ten seconds: 100 requests in each, 60 of them met.
fn entries() -> Vec<Entry> {
    let mut entries = vec![Entry::Begin(Box::new(Begin {
        record: 1,
        incident: ID.to_owned(),
        since: at(2),
        recorded_from: at(0),
        sites: vec!["example.org".to_owned()],
        software: "seawall 0.1.0".to_owned(),
        attributes: vec!["JA4".to_owned(), "user agent".to_owned()],
        remove_addresses_at: at(1_000_000),
        ..Begin::default()
    }))];
    for place in 0..10 {
        let counts = |cohort, requests, served| CohortCounts {
            cohort,
            requests,
            served,
            refused: 0,
            tested: 0,
            failed: 0,
            late: 0,
        };
        entries.push(Entry::Second(Box::new(Second {
            at: at(place),
            state: "attack".to_owned(),
            requests: 100,
            expected: 20.0,
            refused: 55,
            cohorts: vec![counts(Cohort::Met, 60, 5), counts(Cohort::Unmarked, 40, 39)],
            met: vec![MetCounts { id: 3, matched: 60, blocked: 55, ..MetCounts::default() }],
            ..Second::default()
        })));
    }
    let change = Move {
        id: 3,
        signature: "user agent is `=cmd|' /C calc'!A1`".to_owned(),
        to: Some("block".to_owned()),
        ..Move::default()
    };
    entries.push(Entry::Step(Box::new(Step {
        at: at(4),
        step: StepKind::Moved,
        mitigation: Some(change),
        ..Step::default()
    })));
    entries.extend(about_sources());
    entries.push(Entry::Note(Note {
        at: at(9),
        author: "A. Editor".to_owned(),
        kind: NoteKind::Claim,
        source: Some("https://social.example/1".to_owned()),
        text: "We did it".to_owned(),
        ..Note::default()
    }));
    let end = End {
        until: at(8),
        at: at(9),
        verdict: "attack".to_owned(),
        requests: 700,
        ..End::default()
    };
    entries.push(Entry::End(Box::new(end)));
    entries
}

fn about_sources() -> Vec<Entry> {
    let row = |value: &str| {
        Entry::Row(Box::new(Row {
            at: at(5),
            p: 0.5,
            prefix: "192.0.2.0/24".to_owned(),
            met: Some(3),
            standing: "anonymous".to_owned(),
            attributes: vec!["0".to_owned(), value.to_owned()],
            ..Row::default()
        }))
    };
    let word = Word {
        attribute: "user agent".to_owned(),
        value: "1f".to_owned(),
        text: "=cmd|' /C calc'!A1".to_owned(),
    };
    let source = Source {
        prefix: "192.0.2.0/24".to_owned(),
        rows: 2,
        requests: 4.0,
        registered: Some("AS64500 Example (DE)".to_owned()),
        ..Source::default()
    };
    let address = Address {
        address: "192.0.2.77".to_owned(),
        refused: 40,
        ports: vec![50_123],
        ..Address::default()
    };
    let addresses = Addresses {
        salt: "0".repeat(32),
        addresses: vec![address],
        count: 1,
        remove_at: at(1_000_000),
        ..Addresses::default()
    };
    vec![
        row("1f"),
        row("2e"),
        Entry::Word(word),
        Entry::Source(Box::new(source)),
        Entry::Addresses(Box::new(addresses)),
    ]
}

/// A state folder with one record.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(id: &str, text: &str) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        folder.add(id, text);
        folder
    }

    fn add(&self, id: &str, text: &str) {
        let dir = self.0.path().join("state/incidents").join(id);
        fs::create_dir_all(&dir).expect("made");
        fs::write(dir.join("record.jsonl"), text).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Ran {
        run_in(self.0.path(), &[&["report"], args, &["--state", "state"]].concat())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("it was written")
    }
}

fn text(entries: &[Entry]) -> String {
    let line = |entry| serde_json::to_string(entry).expect("JSON") + "\n";
    entries.iter().map(line).collect()
}

/// As a shield writes it: in segments, signed.
fn sealed(entries: &[Entry]) -> String {
    let key = seawall_seal::SigningKey::generate().expect("a key");
    let Entry::Begin(begin) = &entries[0] else { unreachable!("a record begins with it") };
    let (mut chain, mut bytes) = Chain::begin(begin, &key).expect("it begins");
    for chunk in entries[1..].chunks(8) {
        for entry in chunk {
            bytes.extend(chain.append(entry).expect("it may stand there"));
        }
        bytes.extend(chain.seal(&key, at(60)).expect("sealed"));
    }
    String::from_utf8(bytes).expect("text")
}

fn folder() -> Folder {
    Folder::with(ID, &text(&entries()))
}

#[test]
fn incidents_are_listed_with_the_sums_of_their_reports() {
    let listed = folder().run(&["list", "--json"]).json();
    let one = &listed["incidents"][0];
    assert_eq!(one["id"], ID);
    assert_eq!((one["requests"].as_u64(), one["refused"].as_u64()), (Some(700), Some(385)));
    assert_eq!((&one["verdict"], &one["end"]), (&"attack".into(), &at(8).to_string().into()));
    let listed = folder().run(&["list"]).stdout;
    assert!(listed.contains(ID) && listed.contains("attack"), "{listed}");
}

#[test]
fn what_is_listed_is_what_is_shown_and_an_altered_sample_is_said() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/record.jsonl");
    let record = fs::read_to_string(path).expect("the record of a demo");
    let folder = Folder::with(ID, &record);
    let ran = folder.run(&["list", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let (listed, shown) = (ran.json(), folder.run(&["show", "last", "--json"]).json());
    let one = &listed["incidents"][0];
    for (of_list, of_report) in [
        (&one["requests"], &shown["totals"]["requests"]),
        (&one["refused"], &shown["totals"]["refused"]),
        (&one["start"], &shown["begin"]["since"]),
        (&one["end"], &shown["until"]),
        (&one["verdict"], &shown["verdict"]),
        (&one["origin"], &shown["begin"]["origin"]),
        (&one["sealed"], &shown["record"]["is_closed"]),
    ] {
        assert!(of_list == of_report && !of_list.is_null(), "{one:#}");
    }
    // All of a record is checked, also what no figure of the list rests on.
    for entry in ["row", "word", "source"] {
        let begins = format!("{{\"entry\":\"{entry}\",");
        let altered = record.replacen(&begins, &format!("{begins} "), 1);
        assert_ne!(altered, record);
        let ran = Folder::with(ID, &altered).run(&["list"]);
        assert!(ran.stderr.contains("not what was sealed"), "{entry}: {}", ran.stderr);
    }
}

/// Another process has other random numbers, and it is later there.
#[test]
fn two_exports_of_one_record_are_equal_to_the_byte_in_every_form() {
    let folder = Folder::with(ID, &sealed(&entries()));
    let mut all = Vec::new();
    for format in ["html", "pdf", "json", "csv", "stix", "misp", "nis2", "xarf"] {
        for edition in ["public", "sealed"] {
            if (format, edition) == ("xarf", "public") {
                continue;
            }
            let made = ["1", "2"].map(|time| {
                let out = format!("{format}-{edition}-{time}");
                let export =
                    ["export", ID, "--format", format, "--edition", edition, "--out", &out];
                let ran = folder.run(&export);
                assert_eq!(ran.code, Some(0), "{out}: {}", ran.stderr);
                contents(&folder.path(&out))
            });
            // Not `assert_eq`: it would print both.
            assert!(!made[0].is_empty() && made[0] == made[1], "{format}, {edition}");
            all.extend(made[0].iter().map(|(name, _)| name.clone()));
        }
    }
    assert!(all.len() > 16, "forms of several files have all of them: {all:?}");
}

/// The files of a folder by name, or the one file.
fn contents(path: &Path) -> Vec<(String, Vec<u8>)> {
    if path.is_file() {
        return vec![(String::new(), fs::read(path).expect("readable"))];
    }
    let files = fs::read_dir(path).expect("a folder").flatten().map(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        (name, fs::read(file.path()).expect("readable"))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

#[test]
fn no_incident_is_no_failure() {
    let folder = Folder(tempfile::tempdir().expect("a folder"));
    fs::create_dir(folder.path("state")).expect("made");
    let listed = folder.run(&["list", "--json"]);
    assert_eq!(
        (listed.code, listed.json()["incidents"].as_array().map(Vec::len)),
        (Some(0), Some(0))
    );
    folder.run(&["show", "last"]).check_failed(2, &["no incident is recorded", "seawall status"]);
}

#[test]
fn an_incident_is_named_by_the_beginning_of_its_name_or_as_the_last() {
    let folder = folder();
    folder.add("20261123T000000Z-0001", &text(&entries()));
    for name in [ID, "20261122", "last", "state/incidents/20261122T100800Z-0abc/record.jsonl"] {
        assert_eq!(folder.run(&["show", name]).code, Some(0), "{name}");
    }
    folder.run(&["show", "2026"]).check_failed(2, &["2 incidents begin with `2026`"]);
    folder.run(&["show", "2027"]).check_failed(2, &["no incident `2027`", "report list"]);
}

#[test]
fn the_page_says_what_happened_what_was_said_and_what_is_not_known() {
    let page = folder().run(&["show", "last"]).stdout;
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "From 2026-11-22",
        "Seawall took this for an attack on availability.",
        "700",
        "met by a signature",
        "refused at the hardest",
        "a claim, by others, source: https://social.example/1",
        "“We did it”",
        "What is not known",
        "cannot be told from traffic",
    ] {
        assert!(page.contains(words), "`{words}` is not in: {page}");
    }
    assert!(!page.contains("192.0.2.77"), "{page}");
}

#[test]
fn the_sealed_edition_alone_has_full_addresses_and_is_not_for_the_world() {
    let folder = folder();
    let export =
        |args: &[&str]| folder.run(&[&["export", "last", "--format", "json"], args].concat());
    let public = export(&[]);
    assert_eq!(public.json()["totals"]["requests"], 700);
    assert!(!public.stdout.contains("192.0.2.77"));
    let sealed = export(&["--edition", "sealed", "--tlp", "red"]);
    assert_eq!(sealed.json()["addresses"][0]["address"], "192.0.2.77");
    assert_eq!(sealed.json()["tlp"], "TLP:RED");
    export(&["--edition", "sealed", "--tlp", "clear"]).check_failed(2, &["cannot be TLP:CLEAR"]);
    assert_eq!(export(&["--tlp", "white"]).code, Some(2));
}

#[test]
fn tables_are_written_to_a_folder_and_no_cell_is_a_formula() {
    let folder = folder();
    let done = folder.run(&["export", "last", "--format", "csv", "--out", "tables"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(folder.read("tables/totals.csv").contains("\r\nrequests,700,200\r\n"));
    assert!(folder.read("tables/sources.csv").contains("192.0.2.0/24"));
    assert_eq!(folder.read("tables/timeline.csv").lines().count(), 11);
    assert_eq!(folder.read("tables/sample.csv").lines().count(), 3);
    assert!(folder.read("tables/words.csv").contains("'=cmd"));
    for name in fs::read_dir(folder.path("tables")).expect("a folder").flatten() {
        let table = fs::read_to_string(name.path()).expect("text");
        assert!(!table.contains("192.0.2.77"), "{table}");
        let cells = table.split([',', '\n']).map(|cell| cell.trim_start_matches('"'));
        assert!(cells.into_iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{table}");
    }
    let first = folder.run(&["export", "last", "--format", "csv"]).stdout;
    assert!(first.starts_with("prefix,first_seen"), "{first}");
}

#[test]
fn addresses_that_the_record_says_are_gone_are_in_no_export_though_they_still_stand() {
    let mut entries = entries();
    let is_told = |entries: &[Entry]| {
        let folder = Folder::with(ID, &sealed(entries));
        let args = ["export", "last", "--format", "json", "--edition", "sealed"];
        folder.run(&args).stdout.contains("192.0.2.77")
    };
    assert!(is_told(&entries));
    let place = entries.iter().position(|it| matches!(it, Entry::Addresses(_))).expect("one");
    // Three lines end each segment of eight.
    let line = 1 + place as u64 + (place as u64 - 1) / 8 * 3;
    let why = "vouched".to_owned();
    let removed = Removed { at: at(9), lines: vec![line], why };
    entries.insert(entries.len() - 1, Entry::Removed(removed));
    assert!(!is_told(&entries));
}

#[test]
fn rows_of_readers_that_an_earlier_version_wrote_are_in_the_sealed_table_alone() {
    let mut entries = entries();
    let row = Row { at: at(5), p: 0.5, standing: "aged_reader".to_owned(), ..Row::default() };
    entries.insert(4, Entry::Row(Box::new(row)));
    let clean = Clean { from: at(0), until: at(9), rows: 3, requests: 6.0, ..Clean::default() };
    entries.insert(5, Entry::Clean(Box::new(clean)));
    let folder = Folder::with(ID, &text(&entries));
    for (edition, lines) in [("public", 3), ("sealed", 4)] {
        let args = ["export", "last", "--format", "csv", "--edition", edition, "--out", edition];
        assert_eq!(folder.run(&args).code, Some(0));
        let table = folder.read(&format!("{edition}/sample.csv"));
        assert_eq!(table.lines().count(), lines, "{table}");
        assert_eq!(table.contains("aged_reader"), edition == "sealed");
        assert_eq!(folder.read(&format!("{edition}/readers.csv")).lines().count(), 2);
    }
    let report = folder.run(&["export", "last", "--format", "json"]).json();
    assert_eq!(
        (&report["sample"]["rows"], &report["sample"]["clean_rows"]),
        (&6.into(), &1.into())
    );
    assert!(report["unknown"].to_string().contains("1 request of the sample may be"), "{report}");
    let kept = folder.run(&["privacy"]).stdout;
    assert!(kept.contains("1 of them may be"), "{kept}");
}

#[test]
fn every_form_is_written_and_public_unless_asked_otherwise() {
    let folder = folder();
    for (format, begins) in [("html", "<!"), ("stix", "{"), ("misp", "{"), ("json", "{")] {
        let done = folder.run(&[
            "export",
            ID,
            "--format",
            format,
            "--out",
            "out",
            "--reporter",
            "Example News",
        ]);
        assert_eq!(done.code, Some(0), "{format}: {}", done.stderr);
        let written = folder.read("out").to_lowercase();
        assert!(
            written.starts_with(begins) && written.contains("example news"),
            "{format}: {written}"
        );
        assert!(!written.contains("192.0.2.77"), "{format}");
    }
    let done = folder.run(&["export", ID, "--format", "pdf", "--out", "out.pdf"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(fs::read(folder.path("out.pdf")).expect("written").starts_with(b"%PDF-1."));
    folder.run(&["export", ID, "--format", "doc"]).check_failed(2, &["html", "misp"]);
}

#[test]
fn a_file_that_cannot_be_written_is_said_and_leaves_nothing() {
    let folder = folder();
    let done = folder.run(&["export", "last", "--format", "json", "--out", "nowhere/x.json"]);
    done.check_failed(1, &["cannot write `nowhere/x.json`", "hint:"]);
    assert!(!folder.path("nowhere").exists());
}

#[test]
fn the_ledger_says_how_many_addresses_are_kept_and_until_when() {
    let folder = folder();
    fs::write(folder.path("state/baseline"), b"x").expect("written");
    let ledger = folder.run(&["privacy", "--json"]).json();
    let kept = &ledger["incidents"][0];
    assert_eq!((kept["addresses"].as_u64(), kept["address_lines"].as_u64()), (Some(1), Some(1)));
    assert_eq!(kept["remove_at"], at(1_000_000).to_string());
    assert_eq!(ledger["elsewhere"][0]["file"], "baseline");
    let page = folder.run(&["privacy"]);
    assert!(page.stdout.contains("1 full addresses, not encrypted"), "{}", page.stdout);
    assert!(!page.stdout.contains("192.0.2.77"));
}

#[test]
fn the_ledger_says_until_when_all_of_a_record_is_kept() {
    let mut entries = entries();
    let old = Folder::with(ID, &text(&entries)).run(&["privacy"]).stdout;
    assert!(old.contains("until `evidence.record_retention` after it was made"), "{old}");
    let Entry::Begin(begin) = &mut entries[0] else { unreachable!("a record begins with it") };
    begin.remove_record_at = Some(at(2_000_000));
    let folder = Folder::with(ID, &text(&entries));
    let (kept, page) = (folder.run(&["privacy", "--json"]).json(), folder.run(&["privacy"]).stdout);
    assert_eq!(kept["incidents"][0]["remove_record_at"], at(2_000_000).to_string());
    assert_eq!(kept["incidents"][0]["pinned"], false);
    assert!(page.contains(&format!("all of it until {};", at(2_000_000))), "{page}");
    fs::write(folder.path("state/incidents").join(ID).join("pinned"), "").expect("written");
    let page = folder.run(&["privacy"]).stdout;
    assert!(page.contains("until the file `pinned` beside it is taken away"), "{page}");
}

#[test]
fn a_record_that_is_being_written_or_damaged_is_read_as_far_as_it_goes() {
    let whole = text(&entries());
    let torn = Folder::with(ID, &whole[..whole.len() - 40]);
    let listed = torn.run(&["list", "--json"]).json();
    assert_eq!(listed["incidents"][0]["end"], serde_json::Value::Null);
    let lines: Vec<&str> = whole.lines().collect();
    let damaged =
        [&lines[..3], &["{\"entry\":\"second\",", "\u{0}"], &lines[4..]].concat().join("\n");
    let shown = Folder::with(ID, &(damaged + "\n")).run(&["show", "last"]);
    assert!(shown.stderr.contains("2 lines of the record could not be read"), "{}", shown.stderr);
    assert!(shown.stdout.contains("600"), "{}", shown.stdout);
    Folder::with(ID, "hello\n").run(&["show", "last"]).check_failed(1, &["is no incident record"]);
    let listed = Folder::with(ID, "hello\n").run(&["list", "--json"]);
    assert_eq!(listed.json()["incidents"][0]["readable"], false);
}

#[test]
fn a_record_that_is_not_what_was_sealed_says_so_everywhere() {
    let good = sealed(&entries());
    let listed = Folder::with(ID, &good).run(&["list", "--json"]);
    assert_eq!(listed.json()["incidents"][0]["sealed"], true);
    let exported = Folder::with(ID, &good).run(&["export", ID, "--format", "json"]);
    assert!(!exported.stderr.contains("warning"), "{}", exported.stderr);
    assert_eq!(exported.json()["record"]["segments"], 3);
    let line = good.lines().position(|line| line.contains("\"requests\":100")).expect("a second");
    let forged = good.replacen("\"requests\":100", "\"requests\":900", 1);
    let folder = Folder::with(ID, &forged);
    for args in [&["show", ID][..], &["export", ID, "--format", "json"]] {
        let ran = folder.run(args);
        assert_eq!(ran.code, Some(0));
        let words = format!("not what was sealed: line {}", line + 1);
        assert!(
            ran.stderr.contains(&words) && ran.stdout.contains("not what was sealed"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(folder.run(&["list", "--json"]).json()["incidents"][0]["sealed"], false);
}

#[test]
fn texts_for_authorities_are_drafts_and_complaints_need_the_sealed_edition() {
    let folder = folder();
    let done = folder.run(&["export", ID, "--format", "nis2", "--out", "nis2"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for name in ["early-warning", "notification", "final-report"] {
        let text = folder.read(&format!("nis2/{name}.txt"));
        assert!(text.contains("[to be filled in:") && !text.contains("192.0.2.77"), "{text}");
    }
    let public = folder.run(&["export", ID, "--format", "xarf"]);
    public.check_failed(2, &["the public edition has no full addresses", "--edition sealed"]);
    let done = folder.run(&["export", ID, "--format", "xarf", "--edition", "sealed", "--out", "x"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(folder.read("x/xarf.json").contains("192.0.2.77"));
    assert!(folder.read("x/192-0-2-77.eml").contains("192.0.2.77"));
}

#[test]
fn a_line_without_end_is_passed_over() {
    let whole = text(&entries());
    let long = format!(
        "{}{}\n{}",
        &whole[..whole.find('\n').expect("lines") + 1],
        "x".repeat(3 << 20),
        &whole[whole.find('\n').expect("lines") + 1..]
    );
    let listed = Folder::with(ID, &long).run(&["list", "--json"]);
    assert_eq!(listed.json()["incidents"][0]["requests"], 700);
}
