//! What survives a restart, and what is wrong with what does not.

use super::*;

#[test]
fn a_restart_keeps_what_is_ordinary() {
    let (bytes, world) = World::watched(5.0, 15);
    let wall = world.wall();
    let again = Detector::restore(DetectorConfig::default(), SEED, &bytes, wall).expect("whole");
    assert_eq!(again.to_bytes(wall).len(), bytes.len());
    assert_eq!(again.baseline.rows(), world.detector.baseline.rows());
    assert!(again.channels.parts().eq(world.detector.channels.parts()));
    let share = |detector: &Detector| {
        detector.mix.ordinary().share(Attribute::Ja4, hash(Attribute::Ja4, 1))
    };
    assert!(share(&again) > 0.05 && (share(&again) - share(&world.detector)).abs() < 0.01);
    assert_eq!(again.baseline.len(), world.detector.baseline.len());
    let expected = |detector: &Detector| detector.rates().requests_expected;
    assert!((expected(&again) - expected(&world.detector)).abs() < 1e-9);
    // A clock that says a year later does not make it too old to use.
    let late = wall + Duration::from_hours(24 * 365);
    let late = Detector::restore(DetectorConfig::default(), SEED, &bytes, late).expect("whole");
    assert_eq!(late.baseline.len(), world.detector.baseline.len());
}

#[test]
fn what_was_kept_before_it_was_kept_what_clients_come_for_is_read_with_what_there_is() {
    let (bytes, world) = World::watched(5.0, 4);
    let wall = world.wall();
    let whole = Detector::restore(DetectorConfig::default(), SEED, &bytes, wall).expect("whole");
    let rows = whole.baseline.len();
    assert!(rows > 0);
    // As the first version wrote it: without three numbers behind a head and four others, and without the last of
    // each row.
    let (one, ends) = (4 * Attribute::COUNT, bytes.len() - 8);
    let begins = ends - rows * (13 + 2 * one);
    let mut old = [&bytes[..28 + 4 * 8], &bytes[28 + 7 * 8..begins]].concat();
    bytes[begins..ends].chunks(13 + 2 * one).for_each(|row| old.extend(&row[..13 + one]));
    old[8] = 1;
    old.extend(crate::kept::checksum(&old).to_le_bytes());
    let restored = Detector::restore(DetectorConfig::default(), SEED, &old, wall).expect("whole");
    assert_eq!(restored.baseline.len(), rows);
    let known = restored.compared.clients();
    assert_eq!(known.requests, known.came_for);
    assert_eq!(known.requests, whole.compared.clients().requests);
}

#[test]
fn a_restart_keeps_for_how_long_an_origin_is_usually_pressed() {
    let pressed_for = |world: &mut World, ticks: u64| {
        world.stress.queue_delay_ms = 100.0;
        let states = world.live(ticks);
        world.stress.queue_delay_ms = 0.0;
        world.live(240);
        states.into_iter().any(is_alarmed)
    };
    let (bytes, mut before) = World::watched(50.0, 15);
    assert!(pressed_for(&mut World::again(50.0, 3, &bytes), 14), "nothing was usual");
    for _ in 0..3 {
        assert!(!pressed_for(&mut before, 7));
    }
    let bytes = before.detector.to_bytes(before.wall());
    assert!(!pressed_for(&mut World::again(50.0, 3, &bytes), 12));
}

#[test]
fn what_is_damaged_or_from_elsewhere_is_a_clear_error() {
    let bytes = Detector::new(DetectorConfig::default(), SEED).to_bytes(WallTime::default());
    let read = |bytes: &[u8], seed| {
        let wall = WallTime::default();
        Detector::restore(DetectorConfig::default(), seed, bytes, wall).map(|_| ())
    };
    assert_eq!(read(&bytes, SEED), Ok(()));
    assert_eq!(read(&bytes, [1, 2]), Err(BaselineFault::OtherSeed));
    assert_eq!(read(b"", SEED), Err(BaselineFault::NotOne));
    assert_eq!(read(&bytes[1..], SEED), Err(BaselineFault::NotOne));
    assert_eq!(read(&bytes[..bytes.len() - 1], SEED), Err(BaselineFault::Damaged));
    for place in (12..bytes.len()).step_by(997) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x40;
        assert_eq!(read(&damaged, SEED), Err(BaselineFault::Damaged), "{place}");
    }
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert_eq!(read(&newer, SEED), Err(BaselineFault::Version { found: 9 }));
}

#[test]
fn hostile_numbers_behind_a_right_checksum_are_an_error_or_harmless() {
    let (bytes, _) = World::watched(5.0, 4);
    let mut random = Random(11);
    for _ in 0..300 {
        let mut hostile = bytes[..bytes.len() - 8].to_vec();
        for _ in 0..1 + random.below(4) {
            let place = 20 + random.below(hostile.len() - 20);
            let end = (place + 1 + random.below(8)).min(hostile.len());
            hostile[place..end].fill([0xff, 0x7f, 0x80, 0x00][random.below(4)]);
        }
        let sum = crate::kept::checksum(&hostile);
        hostile.extend_from_slice(&sum.to_le_bytes());
        let wall = WallTime::from_unix_secs(1_010_000);
        if let Ok(detector) = Detector::restore(DetectorConfig::default(), SEED, &hostile, wall) {
            let mut world = World::new(5.0, 1, detector);
            world.live(8);
            assert!(world.detector.rates().requests_expected.is_finite());
        }
    }
}
