//! What becomes of full addresses in a record: encrypted if somebody is named for them, gone when their time is over.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use seawall_report::Address;
use seawall_seal::Recipient;

use super::*;
use crate::recorder::disk::Folder;
use crate::recorder::keep::Expiry;
use crate::recorder::thread::complete;

const HOUR_MS: u64 = 3_600_000;
/// Who is refused again and again.
const BOTS: [[u8; 4]; 3] = [[203, 0, 113, 71], [203, 0, 113, 72], [198, 51, 100, 73]];
/// Of the test alone, and its other half.
const RECIPIENT: &str = "age1vlwvx34mqndcvcvku7hw77k5d42qmcfnc42cw87x547lhf9qaexs7d08wm";
const IDENTITY: [u8; 32] = [
    0x89, 0x76, 0x2a, 0xb1, 0x7e, 0xc9, 0x7b, 0x3c, 0x3e, 0x64, 0xbe, 0x53, 0xfc, 0x3a, 0xec, 0xe1,
    0x3f, 0x7c, 0x92, 0xad, 0x51, 0x24, 0xc1, 0x5a, 0x19, 0x03, 0x22, 0x49, 0x8d, 0x07, 0x4f, 0x33,
];

/// An incident with the bots, and when it was over.
fn record(recipients: &[Recipient]) -> (Vec<Output>, Moment) {
    let mut last = Moment::default();
    let mut out = incident(2, |shield, is_attack| {
        last = shield.wall().into();
        BOTS.iter().filter(|_| is_attack).for_each(|bot| shield.see(blocked(*bot)));
    });
    out.iter_mut().for_each(|output| complete(output, recipients));
    (out, last)
}

fn write<D: Disk>(writer: &mut Writer<D>, (out, last): &(Vec<Output>, Moment)) {
    writer.take(*last, out.clone());
    assert_eq!(writer.incident(), None, "it is closed");
}

/// All that the disk has, copies as well.
fn text(disk: &Memory) -> String {
    let files = disk.0.lock().files.clone();
    files.values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}

fn addresses_in(text: &str) -> usize {
    let shown = BOTS.map(|bot| format!("\"{}\"", Ipv4Addr::from(bot)));
    shown.iter().filter(|shown| text.contains(shown.as_str())).count()
}

fn salts(text: &str) -> Vec<String> {
    text.split("\"salt\":\"").skip(1).map(|rest| rest[..32].to_owned()).collect()
}

fn due(last: Moment) -> Moment {
    // The incident began within the five minutes before; it keeps addresses for a day.
    last.plus_ms(86_400_000)
}

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::generate().expect("a key"))
}

/// Lines go that were seen to be due soon, an hour before.
fn look_ahead(expiry: &mut Expiry, writer: &mut Writer<Memory>, due: Moment) {
    expiry.turn(writer, Moment::from_unix_ms(due.unix_ms() - HOUR_MS));
}

/// So many turns, a minute apart, as the writer's thread takes them.
fn turns(expiry: &mut Expiry, writer: &mut Writer<Memory>, from: Moment, count: u64) {
    (0..count).for_each(|turn| expiry.turn(writer, from.plus_ms(turn * 60_000)));
}

#[test]
fn addresses_stay_until_their_time_is_over_and_are_nowhere_after_it() {
    let (key, disk) = (key(), Memory::default());
    let mut writer = writer(&disk, &key);
    let incident = record(&[]);
    write(&mut writer, &incident);
    let before = text(&disk);
    let salts = salts(&before);
    assert_eq!((addresses_in(&before), salts.is_empty()), (3, false));
    let mut expiry = Expiry::default();
    let (name, bytes) =
        disk.0.lock().files.first_key_value().map(|it| (it.0.clone(), it.1.clone())).expect("one");
    let Entry::Begin(begin) = &verified(&bytes, &key)[0] else { panic!("it begins") };
    let promised = begin.remove_addresses_at;
    expiry.turn(&mut writer, incident.1);
    for before_ms in [HOUR_MS, 1] {
        expiry.turn(&mut writer, Moment::from_unix_ms(promised.unix_ms() - before_ms));
        assert!(text(&disk) == before, "before it is due nothing changes");
    }
    turns(&mut expiry, &mut writer, promised, 2);
    let after = text(&disk);
    assert_eq!(addresses_in(&after), 0);
    assert!(salts.iter().all(|salt| !after.contains(salt.as_str())));
    assert_eq!(disk.0.lock().files.keys().collect::<Vec<_>>(), [&name], "no copy is left");
    let entries = verified(&disk.0.lock().files[&name], &key);
    let Some(Entry::Removed(said)) = entries.last() else { panic!("it says so: {entries:?}") };
    assert_eq!((said.lines.len(), &*said.why), (salts.len(), "retention"));
    turns(&mut expiry, &mut writer, promised.plus_ms(120_000), 100);
    assert!(text(&disk) == after, "that is done once");
}

#[test]
fn a_full_disk_or_a_kill_while_addresses_are_taken_out_delays_that_and_breaks_nothing() {
    let (key, incident) = (key(), record(&[]));
    let whole = Memory::default();
    write(&mut writer(&whole, &key), &incident);
    let files = whole.0.lock().files.clone();
    let due = due(incident.1);
    let mut broken = 0;
    for operation in 1..=12 {
        for is_killed in [false, true] {
            let disk = Memory::default();
            {
                let mut inner = disk.0.lock();
                inner.files = files.clone();
                match is_killed {
                    true => inner.killed_at = Some(operation - 1),
                    false => inner.faults = operation..u64::MAX,
                }
            }
            let (mut again, mut expiry) = (writer(&disk, &key), Expiry::default());
            look_ahead(&mut expiry, &mut again, due);
            turns(&mut expiry, &mut again, due, 3);
            let is_done = addresses_in(&text(&disk)) == 0;
            broken += u64::from(!is_done);
            {
                let mut inner = disk.0.lock();
                (inner.killed_at, inner.faults) = (None, 0..0);
            }
            if is_killed {
                (again, expiry) = (writer(&disk, &key), Expiry::default());
                keep::end_interrupted(&mut again, due);
                look_ahead(&mut expiry, &mut again, due.plus_ms(180_000));
            }
            turns(&mut expiry, &mut again, due.plus_ms(180_000), 15);
            let files = disk.0.lock().files.clone();
            assert_eq!(files.len(), 1, "{operation}, {is_killed}");
            assert_eq!(addresses_in(&text(&disk)), 0, "{operation}, {is_killed}");
            let entries = verified(files.values().next().expect("one"), &key);
            let said = entries.iter().filter(|entry| matches!(entry, Entry::Removed(_))).count();
            assert_eq!(said, 1, "{operation}, {is_killed}: it is said once");
        }
    }
    assert!(broken > 10, "{broken} tries failed at first");
}

#[test]
fn the_record_that_is_written_is_left_alone_until_it_is_closed() {
    let (key, disk) = (key(), Memory::default());
    let mut writing = writer(&disk, &key);
    let (mut out, last) = record(&[]);
    let end = out.split_off(out.len() - 2);
    writing.take(last, out);
    assert!(writing.incident().is_some());
    let (before, mut expiry) = (text(&disk), Expiry::default());
    turns(&mut expiry, &mut writing, due(last), 3);
    assert!(text(&disk) == before && addresses_in(&before) > 0);
    writing.take(due(last).plus_ms(200_000), end);
    turns(&mut expiry, &mut writing, due(last).plus_ms(240_000), 2);
    turns(&mut expiry, &mut writing, due(last).plus_ms(240_000 + HOUR_MS), 2);
    assert_eq!(addresses_in(&text(&disk)), 0);
    verified(disk.0.lock().files.values().next().expect("one"), &key);
}

#[test]
fn a_clock_that_is_wrong_by_years_for_a_moment_costs_no_address_and_a_step_of_a_second_no_hour() {
    let (key, disk) = (key(), Memory::default());
    let mut writing = writer(&disk, &key);
    let incident = record(&[]);
    write(&mut writing, &incident);
    let (mut expiry, wrong) = (Expiry::default(), due(incident.1).plus_ms(10_000 * HOUR_MS));
    for (now, count) in [(wrong, 30), (incident.1, 90), (wrong, 30), (incident.1, 1)] {
        turns(&mut expiry, &mut writing, now, count);
        assert_eq!(addresses_in(&text(&disk)), 3);
    }
    let before = |ms: u64| Moment::from_unix_ms(due(incident.1).unix_ms() - ms);
    for now in [before(HOUR_MS), before(HOUR_MS + 1_000), before(HOUR_MS / 2), before(0)] {
        assert_eq!(addresses_in(&text(&disk)), 3);
        expiry.turn(&mut writing, now);
    }
    assert_eq!(addresses_in(&text(&disk)), 0);
}

#[test]
fn addresses_go_from_a_record_of_another_key_too() {
    let disk = Memory::default();
    let incident = record(&[]);
    let first = key();
    write(&mut writer(&disk, &first), &incident);
    let (mut again, mut expiry) = (writer(&disk, &key()), Expiry::default());
    look_ahead(&mut expiry, &mut again, due(incident.1));
    turns(&mut expiry, &mut again, due(incident.1), 2);
    assert_eq!(addresses_in(&text(&disk)), 0);
    let mut verifier = RecordVerifier::new(Some(first.public()));
    verifier.take(disk.0.lock().files.values().next().expect("one"));
    let checked = verifier.finish().expect("its seals hold");
    assert!(checked.complaint().is_some(), "nobody could say so with the key it has");
}

#[test]
fn addresses_are_taken_out_of_files_as_well() {
    let (key, incident) = (key(), record(&[]));
    let dir = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(dir.path());
    let mut writer = Writer::new(folder, Arc::clone(&key), Arc::default(), 1 << 30);
    write(&mut writer, &incident);
    let mut expiry = Expiry::default();
    for hours in 0..2 {
        expiry.turn(&mut writer, due(incident.1).plus_ms(hours * HOUR_MS));
    }
    let record = std::fs::read_dir(dir.path().join("incidents")).expect("a folder").next();
    let record = record.expect("one").expect("readable").path();
    let names: Vec<_> = std::fs::read_dir(&record)
        .expect("a folder")
        .map(|it| it.expect("a file").file_name())
        .collect();
    assert_eq!(names, ["record.jsonl"]);
    let bytes = std::fs::read(record.join("record.jsonl")).expect("readable");
    assert_eq!(addresses_in(&String::from_utf8_lossy(&bytes)), 0);
    assert!(matches!(verified(&bytes, &key).last(), Some(Entry::Removed(_))));
}

#[test]
fn addresses_are_for_the_recipient_alone_where_there_is_one() {
    let recipient = Recipient::parse(RECIPIENT).expect("a recipient");
    let (key, disk) = (key(), Memory::default());
    let incident = record(&[recipient]);
    write(&mut writer(&disk, &key), &incident);
    let text = text(&disk);
    assert_eq!(addresses_in(&text), 0);
    let mut read = HashSet::new();
    for entry in verified(text.as_bytes(), &key) {
        let Entry::Addresses(told) = entry else { continue };
        assert!(told.addresses.is_empty());
        let plain = decrypt(&told.age.expect("encrypted")).expect("it is for this key");
        let addresses: Vec<Address> = serde_json::from_slice(&plain).expect("JSON");
        assert_eq!(addresses.len() as u64, told.count);
        read.extend(addresses.into_iter().map(|address| address.address));
    }
    assert_eq!(read, BOTS.map(|bot| Ipv4Addr::from(bot).to_string()).into());
    // What is encrypted goes, too, when its time is over.
    let (mut again, mut expiry) = (writer(&disk, &key), Expiry::default());
    look_ahead(&mut expiry, &mut again, due(incident.1));
    turns(&mut expiry, &mut again, due(incident.1), 1);
    assert!(!self::text(&disk).contains("AGE ENCRYPTED"));
}

/// As <https://c2sp.org/age> says, with the key of the test: one recipient and one chunk.
fn decrypt(armour: &str) -> Option<Vec<u8>> {
    let base64: String = armour.lines().filter(|line| !line.starts_with("-----")).collect();
    let bytes = STANDARD.decode(base64).ok()?;
    let at = bytes.windows(5).position(|window| window == b"\n--- ")? + 1;
    let mut lines = std::str::from_utf8(&bytes[..at]).ok()?.lines().skip(1);
    let share = STANDARD_NO_PAD.decode(lines.next()?.strip_prefix("-> X25519 ")?).ok()?;
    let wrapped = STANDARD_NO_PAD.decode(lines.next()?).ok()?;
    let secret = PrivateKey::from_private_key(&X25519, &IDENTITY).ok()?;
    let salt = [&share[..], secret.compute_public_key().ok()?.as_ref()].concat();
    let theirs = UnparsedPublicKey::new(&X25519, share);
    let wrap = b"age-encryption.org/v1/X25519";
    let key = agree(&secret, theirs, (), |shared| Ok(derive(shared, &salt, wrap))).ok()?;
    let file_key = open(&key, [0; 12], &wrapped)?;
    let payload = &bytes[at + bytes[at..].iter().position(|byte| *byte == b'\n')? + 1..];
    let (nonce, chunk) = payload.split_at(16);
    let mut of_last = [0; 12];
    of_last[11] = 1;
    open(&derive(&file_key, nonce, b"payload"), of_last, chunk)
}

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> [u8; 32] {
    let (mut key, info) = ([0; 32], [info]);
    let derived = Salt::new(HKDF_SHA256, salt).extract(secret);
    derived.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(&mut key)).expect("32 bytes");
    key
}

fn open(key: &[u8; 32], nonce: [u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut bytes = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    Some(key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.to_vec())
}
