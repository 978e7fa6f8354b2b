//! Goal: no alteration of a record stays unseen, and the first altered line is named. Method: every byte of a small
//! record is changed to several other values, and generated records are altered at random; so are lines and segments.

use proptest::prelude::*;
use seawall_seal::{PublicKey, SigningKey};

use super::*;
use crate::testing::*;
use crate::{MAX_SEGMENT_LINES, Timestamp};

fn verify(record: &[u8], trusted: Option<PublicKey>) -> Result<VerifiedRecord, RecordFailure> {
    let mut verifier = RecordVerifier::new(trusted);
    verifier.take(record);
    verifier.finish()
}

/// As `seawall verify` does: what is not whole is a failure as well.
fn failure(record: &[u8], trusted: Option<PublicKey>) -> Option<RecordFailure> {
    match verify(record, trusted) {
        Ok(verified) => verified.complaint(),
        Err(failure) => Some(failure),
    }
}

/// The number of the line that holds this byte; a line break belongs to the line that it ends.
fn line_at(record: &[u8], index: usize) -> u64 {
    1 + record[..index].iter().filter(|byte| **byte == b'\n').count() as u64
}

#[track_caller]
fn check_at(altered: &[u8], key: &SigningKey, line: u64, what: &str) {
    for trusted in [Some(key.public()), None] {
        let found = failure(altered, trusted);
        let first_bad = found.as_ref().map(|failure| failure.first_bad);
        assert_eq!(first_bad, Some(line), "{what}: {found:?}");
    }
}

#[track_caller]
fn check_reason(altered: &[u8], trusted: Option<PublicKey>, line: u64, reason: &str) {
    let found = failure(altered, trusted).expect("it was altered");
    assert_eq!(found.first_bad, line, "{found}");
    assert!(found.reason.contains(reason), "{found}");
}

fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.concat()
}

/// The lines of each segment of [`small`].
fn segments(record: &[u8]) -> Vec<Vec<u8>> {
    let (mut segments, mut open) = (Vec::new(), Vec::new());
    for line in lines(record) {
        let is_last = line.starts_with(statement::SIGNATURE);
        open.extend(line);
        if is_last {
            segments.push(std::mem::take(&mut open));
        }
    }
    segments
}

#[test]
fn a_record_says_what_it_is() {
    let key = key(1);
    let record = small(&key, "one");
    let found = verify(&record, Some(key.public())).expect("whole");
    assert_eq!(found.incident, "one");
    assert_eq!((found.sealed_lines, found.entries, found.segments), (20, 8, 4));
    assert_eq!((found.is_closed, found.gap_count, found.removed), (true, 1, 0));
    assert_eq!((found.unsealed_lines, found.torn_bytes), (0, 0));
    assert_eq!(found.key, key.public());
    let lines = lines(&record);
    assert_eq!(found.head, Some(Digest::of(lines[18].strip_suffix(b"\n").expect("a line"))));
    assert_eq!(found.complaint(), None);
    assert_eq!(verify(&record, None), Ok(found));
}

#[test]
fn every_change_of_every_byte_is_found_and_its_line_named() {
    let key = key(1);
    let segments = [vec![gap()], vec![end()], vec![note("later")]];
    let record = record(&key, "one", &segments);
    for (index, byte) in record.iter().enumerate() {
        let line = line_at(&record, index);
        let mut altered = record.clone();
        for other in others(*byte) {
            altered[index] = other;
            let what = format!("byte {index} as {other}");
            check_at(&altered, &key, line, &what);
        }
    }
}

/// One bit less or more, and what means something in text. All 255 values, run once (November 2026), took 150 s of a
/// processor and found nothing else.
fn others(byte: u8) -> impl Iterator<Item = u8> {
    let bits = (0..8).map(move |bit| byte ^ 1 << bit);
    let words = [b'\n', b'\r', b' ', b'"', b'0', 0xff].into_iter();
    bits.chain(words).filter(move |other| *other != byte)
}

#[test]
fn a_record_that_was_cut_anywhere_is_not_whole() {
    let key = key(1);
    let record = small(&key, "one");
    // A record that ends with its closing seal, without what was added later, cannot be told from a whole one.
    let closed = segments(&record)[..3].concat().len();
    for length in 1..record.len() {
        let found = verify(&record[..length], Some(key.public()));
        let complaint = match &found {
            Ok(found) => found.complaint(),
            Err(failure) => Some(failure.clone()),
        };
        assert_eq!(complaint.is_none(), length == closed, "{length}: {complaint:?}");
        let Some(complaint) = complaint else { continue };
        let sealed = found.as_ref().map_or(0, |found| found.sealed_lines);
        let breaks_off = length < closed || found.is_ok_and(|found| found.is_seal_torn);
        let want = if breaks_off { line_at(&record, length) } else { sealed + 1 };
        assert_eq!(complaint.first_bad, want, "{length}: {complaint}");
    }
}

#[test]
fn lines_that_were_swapped_dropped_or_doubled_are_found() {
    let key = key(1);
    let record = small(&key, "one");
    let lines = lines(&record);
    for index in 0..lines.len() {
        let at = index as u64 + 1;
        let mut dropped = lines.clone();
        dropped.remove(index);
        check_at(&joined(&dropped), &key, drop_shows_at(&lines, index), &format!("{at} dropped"));
        let mut doubled = lines.clone();
        doubled.insert(index, lines[index].clone());
        check_at(&joined(&doubled), &key, at + 1, &format!("{at} doubled"));
        for other in index + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(index, other);
            // Of a seal and the signature of another one cannot be told which was replaced.
            let is_signature = |index: usize| lines[index].starts_with(statement::SIGNATURE);
            let at = if is_signature(index) && is_signature(other) { at - 1 } else { at };
            check_at(&joined(&swapped), &key, at, &format!("{at} and {other} swapped"));
        }
    }
}

/// Without the last line of a closed record, its last segment is not sealed at all.
fn drop_shows_at(lines: &[Vec<u8>], index: usize) -> u64 {
    let last = lines.len() - 1;
    if index == last { last as u64 - 3 + 1 } else { index as u64 + 1 }
}

#[test]
fn segments_that_were_swapped_dropped_or_doubled_are_found() {
    let key = key(1);
    let record = small(&key, "one");
    let segments = segments(&record);
    let first_line = |index: usize| 1 + lines(&segments[..index].concat()).len() as u64;
    for index in 0..segments.len() {
        let is_last = index + 1 == segments.len();
        let mut dropped = segments.clone();
        dropped.remove(index);
        if !is_last {
            check_at(&dropped.concat(), &key, first_line(index), &format!("{index} dropped"));
        }
        let mut doubled = segments.clone();
        doubled.insert(index, segments[index].clone());
        check_at(&doubled.concat(), &key, first_line(index + 1), &format!("{index} doubled"));
        for other in index + 1..segments.len() {
            let mut swapped = segments.clone();
            swapped.swap(index, other);
            check_at(&swapped.concat(), &key, first_line(index), &format!("{index}, {other}"));
        }
    }
}

#[test]
fn a_segment_of_another_record_fits_nowhere() {
    let (ours, theirs) = (key(1), key(2));
    let record = small(&ours, "one");
    let own = segments(&record);
    let same_key = segments(&small(&ours, "two"));
    let other_key = segments(&small(&theirs, "one"));
    let first_line = |index: usize| 1 + lines(&own[..index].concat()).len() as u64;
    for index in 1..own.len() {
        let mut replaced = own.clone();
        replaced[index] = same_key[index].clone();
        check_reason(&replaced.concat(), None, first_line(index), "belongs to another record");
        replaced[index] = other_key[index].clone();
        let at = first_line(index);
        check_reason(&replaced.concat(), None, at, "belongs to another record");
        check_reason(&replaced.concat(), Some(ours.public()), at, "belongs to another record");
    }
    // With the first segment of another record, ours no longer fit behind it.
    let mut replaced = own.clone();
    replaced[0] = same_key[0].clone();
    check_reason(&replaced.concat(), None, first_line(1), "belongs to another record");
}

#[test]
fn a_segment_that_another_key_sealed_for_this_place_is_found() {
    let (ours, theirs) = (key(1), key(2));
    let begin = Begin { incident: "one".to_owned(), ..Begin::default() };
    let (mut chain, mut bytes) = Chain::begin(&begin, &ours).expect("short");
    bytes.extend(chain.seal(&ours, at(1)).expect("it has begun"));
    // Whoever has no key but can write code.
    chain.key = theirs.public().id();
    bytes.extend(chain.append(&end()).expect("short"));
    bytes.extend(chain.seal(&theirs, at(2)).expect("one entry"));
    check_reason(&bytes, None, 5, "not with that of line 1");
    check_reason(&bytes, Some(ours.public()), 5, "not with the key given");
}

#[test]
fn a_whole_record_of_another_key_is_known_by_the_key_given() {
    let (ours, theirs) = (key(1), key(2));
    let forged = small(&theirs, "one");
    assert_eq!(failure(&forged, None), None, "the file's own word is all there is");
    check_reason(&forged, Some(ours.public()), 1, "not with the key given");
    let begun = &lines(&forged)[0];
    assert!(verify(begun, None).is_ok());
    let found =
        verify(begun, Some(ours.public())).expect_err("nothing is sealed, but it says whose it is");
    assert_eq!(found.first_bad, 1, "{found}");
    // The key in line 1 replaced by the right one does not help.
    let pem = |key: &SigningKey| serde_json::to_string(&key.public().to_pem()).expect("JSON");
    let text = String::from_utf8(forged).expect("text");
    let mixed = text.replacen(&pem(&theirs), &pem(&ours), 1);
    check_reason(mixed.as_bytes(), Some(ours.public()), 1, "not what was sealed");
    check_reason(mixed.as_bytes(), None, 1, "not what was sealed");
}

#[test]
fn what_follows_the_last_seal_of_a_closed_record_is_found() {
    let key = key(1);
    let mut record = small(&key, "one");
    let whole = record.clone();
    for more in [&b"x"[..], b"\n", b"{}\n", b"{\"entry\":\"note\"}\n{\"entry\":\"note\"}\n"] {
        record.truncate(whole.len());
        record.extend(more);
        check_at(&record, &key, 21, "appended");
    }
}

#[test]
fn digests_that_hang_on_the_last_entry_are_found_there() {
    let key = key(1);
    for last in [second(1), addresses(at(1)), end()] {
        let record = record(&key, "one", &[vec![gap(), last]]);
        let hung = lines(&record)[..3].concat().len() - 1;
        assert_eq!(record[hung], b'\n');
        for byte in 0..=255_u8 {
            let mut altered = record.clone();
            altered[hung] = byte;
            if byte != b'\n' {
                check_at(&altered, &key, 3, &format!("a line break that became {byte}"));
            }
        }
    }
}

#[test]
fn the_same_json_in_other_words_is_not_the_same() {
    let key = key(1);
    let record = small(&key, "one");
    let text = std::str::from_utf8(&record).expect("text");
    check_at(format!("\u{feff}{text}").as_bytes(), &key, 1, "byte order mark");
    check_at(text.replace('\n', "\r\n").as_bytes(), &key, 1, "CRLF");
    for (index, line) in text.lines().enumerate() {
        for other in [
            format!("{line} "),
            format!(" {line}"),
            format!("{line}\r"),
            line.replacen(':', ": ", 1),
            line.replacen("\":", "\" :", 1),
            format!("{},{}", &line[..line.len() - 1], &line[1..]),
            format!("{},\"extra\":1}}", &line[..line.len() - 1]),
            line.replacen("{\"", "{\"\\u0065", 1),
        ] {
            let altered = text.replacen(line, &other, 1);
            check_at(altered.as_bytes(), &key, index as u64 + 1, &other);
        }
    }
}

/// Without one line, in whose place stands that it was removed.
fn taken_out(record: &[u8], number: usize) -> Vec<u8> {
    let mut lines = lines(record);
    let line = lines[number - 1].strip_suffix(b"\n").expect("a line");
    let tombstone = statement::Tombstone { line: number as u64, sha256: Digest::of(line) };
    lines[number - 1] = format!("{}\n", tombstone.line()).into_bytes();
    lines.concat()
}

#[test]
fn a_removed_line_is_owned_up_to_by_a_later_sealed_entry() {
    let key = key(1);
    let body = || vec![vec![second(1), addresses(at(1))], vec![end()]];
    let silent = taken_out(&record(&key, "one", &body()), 3);
    let found = verify(&silent, Some(key.public())).expect("the seals hold");
    assert_eq!((found.removed, found.unacknowledged.as_slice()), (1, &[3][..]));
    check_reason(&silent, None, 3, "taken out");

    let mut segments = body();
    segments.push(vec![removed(&[3, 999])]);
    let said = record(&key, "one", &segments);
    let honest = taken_out(&said, 3);
    let found = verify(&honest, Some(key.public())).expect("the seals hold");
    assert_eq!((found.removed, found.unacknowledged.len(), found.complaint()), (1, 0, None));
    check_reason(&taken_out(&said, 2), None, 2, "taken out");
    check_reason(&taken_out(&said, 1), None, 1, "first line");
}

#[test]
fn it_is_known_whether_the_end_was_stamped() {
    let key = key(1);
    let stamp = |segment| Entry::Timestamp(Timestamp { segment, ..Timestamp::default() });
    let is_stamped = |segments: &[Vec<Entry>]| {
        let record = record(&key, "one", segments);
        verify(&record, Some(key.public())).expect("whole").is_end_stamped
    };
    // Segment 1 is line 1 and what is behind it, segment 2 has the end.
    let body = [vec![second(1)], vec![stamp(1), end()], vec![note("later")]];
    assert!(!is_stamped(&body), "one of an earlier seal is none of the end");
    assert!(!is_stamped(&body[..1]), "there is no end");
    for segment in [2, 3] {
        assert!(is_stamped(&[&body[..], &[vec![stamp(segment)]][..]].concat()), "{segment}");
    }
}

#[test]
fn the_holder_of_the_key_cannot_write_what_no_record_says() {
    let key = key(1);
    let begin = Begin { incident: "one".to_owned(), ..Begin::default() };
    let (mut chain, mut bytes) = Chain::begin(&begin, &key).expect("short");
    bytes.extend(chain.append(&end()).expect("short"));
    bytes.extend(chain.seal(&key, at(1)).expect("it has begun"));
    chain.is_closed = false;
    bytes.extend(chain.append(&second(1)).expect("short"));
    chain.is_closed = true;
    bytes.extend(chain.seal(&key, at(2)).expect("one entry"));
    check_reason(&bytes, Some(key.public()), 6, "may not stand here");
}

#[test]
fn a_hostile_record_takes_bounded_memory() {
    let key = key(1);
    let mut verifier = RecordVerifier::new(None);
    verifier.take(&record(&key, "one", &[vec![second(1)]]));
    for _ in 0..MAX_SEGMENT_LINES + 8 {
        verifier.take(b"{\"entry\":\"row\"}\n");
    }
    assert!(verifier.has_failed());
    assert_eq!(
        verifier.finish().expect_err("too many").first_bad,
        5 + MAX_SEGMENT_LINES as u64 + 2
    );
    let mut verifier = RecordVerifier::new(None);
    verifier.take(&record(&key, "one", &[vec![second(1)]]));
    for _ in 0..3 {
        verifier.take(&vec![b'x'; 1 << 20]);
    }
    let found = verifier.finish().expect("nothing is altered");
    assert_eq!(found.torn_bytes, 3 << 20);
    let mut verifier = RecordVerifier::new(None);
    verifier.take(&taken_out(&record(&key, "one", &[vec![addresses(at(1))], vec![end()]]), 2));
    let said = serde_json::to_string(&removed(&[2, 2, 2])).expect("JSON") + "\n";
    for _ in 0..9 {
        verifier.take(said.as_bytes());
    }
    assert_eq!(verifier.state.open.acknowledged.len(), 1, "once, however often it is said");
}

fn entries() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    let entry = prop_oneof![
        (0..99_u64).prop_map(second),
        (0..99_u64).prop_map(row),
        Just(gap()),
        Just(stamp()),
        "[ -~\u{e4}\u{4e2d}]{0,20}".prop_map(|text| note(&text)),
        (0..9_u64).prop_map(|ms| addresses(at(ms))),
    ];
    let segment = proptest::collection::vec(entry, 1..6);
    proptest::collection::vec(segment, 1..5).prop_map(|mut segments| {
        segments.push(vec![end()]);
        segments
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_change_of_a_byte_in_any_record_is_found(
        segments in entries(), seed in any::<u8>(), at in any::<prop::sample::Index>(), by in 1..=255_u8,
    ) {
        let key = key(seed);
        let record = record(&key, "any", &segments);
        prop_assert_eq!(failure(&record, Some(key.public())), None);
        let index = at.index(record.len());
        let mut altered = record.clone();
        altered[index] ^= by;
        for trusted in [Some(key.public()), None] {
            let found = failure(&altered, trusted);
            prop_assert_eq!(found.map(|found| found.first_bad), Some(line_at(&record, index)));
        }
    }

    #[test]
    fn pieces_do_not_matter(segments in entries(), size in 1..300_usize) {
        let key = key(3);
        let record = record(&key, "any", &segments);
        let mut verifier = RecordVerifier::new(None);
        for piece in record.chunks(size) {
            verifier.take(piece);
        }
        prop_assert_eq!(verifier.finish(), verify(&record, None));
    }

    #[test]
    fn no_bytes_are_too_odd_to_be_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(failure(&bytes, None).is_some());
        let mut record = small(&key(1), "one");
        record.extend(&bytes);
        prop_assert_eq!(failure(&record, None).is_some(), !bytes.is_empty());
    }
}
