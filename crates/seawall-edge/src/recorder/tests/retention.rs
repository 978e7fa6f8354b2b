//! Records go when their time is over, and not before.

use seawall_report::{Begin, Reconstructed};

use super::*;
use crate::config::Evidence;
use crate::recorder::keep::Room;

const DAY_MS: u64 = 86_400_000;

fn at(text: &str) -> Moment {
    Moment::parse(text).expect("a moment")
}

/// Rooms of a week and of a month, and of so many bytes.
fn room(max_bytes: u64) -> Room {
    let day = Duration::from_secs(86_400);
    let evidence =
        Evidence { retention: 7 * day, record_retention: 30 * day, ..Evidence::default() };
    Room::new(&evidence, max_bytes)
}

fn put(disk: &Memory, name: &str, begin: Option<Begin>) {
    let first = begin.map(|begin| serde_json::to_string(&Entry::Begin(Box::new(begin))));
    let mut text = first.map_or(String::new(), |line| line.expect("JSON") + "\n");
    text.push_str(&"x".repeat(1_000 - text.len().min(1_000)));
    disk.0.lock().files.insert(name.to_owned(), text.into_bytes());
}

fn names(disk: &Memory) -> Vec<String> {
    disk.0.lock().files.keys().cloned().collect()
}

fn a_writer(disk: &Memory) -> Writer<Memory> {
    writer(disk, &Arc::new(SigningKey::generate().expect("a key")))
}

/// An hour apart: what was over at the first look goes.
fn look_twice(room: &mut Room, writing: &mut Writer<Memory>, now: Moment) {
    room.make(writing, now);
    room.make(writing, now.plus_ms(3_600_000));
}

#[test]
fn records_make_room_when_their_time_is_over_and_not_before() {
    let disk = Memory::default();
    let of = |day: u32, kind: &str| format!("202611{day:02}T100800Z-{kind}");
    for name in [of(1, "0001"), of(2, "pinn"), of(3, "0003"), of(20, "0004")] {
        put(&disk, &name, None);
    }
    let mut writing = a_writer(&disk);
    let now = at("2026-11-22T10:00:00.000Z");
    look_twice(&mut room(8_000), &mut writing, now);
    assert_eq!(names(&disk).len(), 4, "there is room");
    look_twice(&mut room(100), &mut writing, now);
    assert_eq!(names(&disk), [of(2, "pinn"), of(20, "0004")]);
}

#[test]
fn a_record_goes_on_its_own_date_or_else_after_the_time_that_is_configured() {
    let disk = Memory::default();
    let since = at("2026-11-01T10:08:00.000Z");
    let begin = |days: u64| {
        let remove_record_at = Some(since.plus_ms(days * DAY_MS));
        Some(Begin { since, remove_record_at, ..Begin::default() })
    };
    put(&disk, "20261101T100800Z-0010", begin(10));
    put(&disk, "20261101T100800Z-0040", begin(40));
    put(&disk, "20261101T100800Z-pinn", begin(10));
    put(&disk, "20261101T100801Z-0030", Some(Begin { since, ..Begin::default() }));
    put(&disk, "20261101T100802Z-name", None);
    put(&disk, "no record", None);
    let (mut writing, mut room) = (a_writer(&disk), room(u64::MAX));
    let mut after = |days: u64| {
        look_twice(&mut room, &mut writing, since.plus_ms(days * DAY_MS + 5_000));
        names(&disk).iter().map(|name| name[name.len() - 4..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(after(9), ["0010", "0040", "pinn", "0030", "name", "cord"]);
    assert_eq!(after(10), ["0040", "pinn", "0030", "name", "cord"]);
    assert_eq!(after(30), ["0040", "pinn", "cord"]);
    assert_eq!(after(4_000), ["pinn", "cord"]);
}

#[test]
fn a_clock_that_is_wrong_by_years_for_a_moment_costs_no_record() {
    // Where there is room, and where it is wanted.
    for max_bytes in [u64::MAX, 100] {
        let disk = Memory::default();
        put(&disk, "20261101T100800Z-0001", None);
        let (mut writing, mut room) = (a_writer(&disk), room(max_bytes));
        for now in [
            "2099-01-01T00:00:00.000Z",
            "2026-11-02T00:00:00.000Z",
            "2099-01-01T00:00:01.000Z",
            "2099-01-01T00:00:00.000Z",
        ] {
            room.make(&mut writing, at(now));
            assert_eq!(names(&disk).len(), 1, "{now}");
        }
        room.make(&mut writing, at("2099-01-01T01:00:00.000Z"));
        assert!(names(&disk).is_empty());
    }
}

#[test]
fn a_record_of_old_logs_is_as_old_as_when_it_was_made() {
    let disk = Memory::default();
    let made = at("2026-11-20T10:00:00.000Z");
    let reconstructed = Some(Reconstructed { at: made, logs: Vec::new() });
    let since = at("2021-05-01T10:00:00.000Z");
    put(&disk, "20210501T100000Z-0001", Some(Begin { since, reconstructed, ..Begin::default() }));
    let mut writing = a_writer(&disk);
    look_twice(&mut room(100), &mut writing, made.plus_ms(6 * DAY_MS));
    assert_eq!(names(&disk).len(), 1, "it is not a week old");
    look_twice(&mut room(100), &mut writing, made.plus_ms(7 * DAY_MS));
    assert!(names(&disk).is_empty());
}

#[test]
fn a_record_says_when_all_of_it_goes() {
    let about = |record_retention| About {
        retention: Duration::from_secs(86_400),
        record_retention,
        ..About::default()
    };
    for (days, want) in [(0, None), (365, Some(365 * DAY_MS))] {
        let mut shield = Shield::new();
        shield.story = Story::new(about(Duration::from_secs(days * 86_400)), SEED);
        let out = shield.open();
        let Some(Output::Begin(begin)) = out.first() else { panic!("it begins") };
        assert_eq!(begin.remove_record_at, want.map(|ms| begin.since.plus_ms(ms)));
        assert_eq!(begin.remove_addresses_at, begin.since.plus_ms(DAY_MS));
    }
}
