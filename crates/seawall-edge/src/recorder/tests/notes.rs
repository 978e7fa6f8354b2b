//! A note on the record that is written: sealed when that is said, or in no record.

use seawall_report::Note;

use super::*;

fn note() -> Note {
    let (author, text) = ("A. Editor".to_owned(), "We did it".to_owned());
    Note { author, text, ..Note::default() }
}

/// Writes a note while the disk fails once, after so many operations: whether it was taken, and the record in the end.
fn noted(key: &Arc<SigningKey>, fault: u64) -> (bool, Vec<u8>) {
    let disk = Memory::default();
    let (mut writing, mut shield) = (writer(&disk, key), Shield::new());
    let out = shield.open();
    writing.take(shield.wall().into(), out);
    let go_on = |shield: &mut Shield, writing: &mut Writer<Memory>| {
        for _ in 0..8 {
            let out = shield.tick(&[]);
            writing.take(shield.wall().into(), out);
        }
    };
    go_on(&mut shield, &mut writing);
    let incident = writing.incident().expect("it is written").to_owned();
    let other = writing.note("20200101T000000Z-0000", note(), shield.wall().into());
    assert_eq!(other.expect_err("not that one").status, 409);
    {
        let mut inner = disk.0.lock();
        inner.faults = inner.done + 1 + fault..inner.done + 2 + fault;
    }
    let noted = writing.note(&incident, note(), shield.wall().into());
    if let Ok(noted) = &noted {
        let mut verifier = RecordVerifier::new(Some(key.public()));
        verifier.take(&disk.0.lock().files[&incident]);
        let found = verifier.finish().expect("as it was sealed");
        assert_eq!((found.unsealed_lines, found.segments), (0, noted.segment));
        assert_eq!(found.head.expect("sealed").to_string(), noted.head);
    }
    // Whoever is told that it is not written finds nothing of it, if the program is killed now.
    let text = String::from_utf8_lossy(&disk.0.lock().files[&incident]).into_owned();
    assert_eq!(text.contains("We did it"), noted.is_ok(), "{fault}");
    go_on(&mut shield, &mut writing);
    let out = shield.close();
    writing.take(shield.wall().into(), out);
    go_on(&mut shield, &mut writing);
    assert_eq!(writing.incident(), None, "it is over");
    let over = writing.note(&incident, note(), shield.wall().into());
    assert_eq!(over.expect_err("it is over").status, 409);
    let bytes = disk.0.lock().files[&incident].clone();
    (noted.is_ok(), bytes)
}

#[test]
fn a_note_is_sealed_when_that_is_said_or_is_in_no_record_whenever_the_disk_fails() {
    let key = Arc::new(SigningKey::generate().expect("a key"));
    let mut taken = Vec::new();
    for fault in 0..4 {
        let (is_taken, bytes) = noted(&key, fault);
        let entries = verified(&bytes, &key);
        let notes = entries.iter().filter(|entry| matches!(entry, Entry::Note(_))).count();
        assert_eq!(notes, usize::from(is_taken), "{fault}");
        taken.push(is_taken);
    }
    // To write it and to sync it are two operations.
    assert_eq!(taken, [false, false, true, true]);
}
