//! An attacker who knows how a table hashes and not its seed, for the tests of every table.

/// Shows that keys chosen to share one place under a seed that is known are spread under the one that
/// is not. Both functions tell the place of a key, of a thousand or so.
#[track_caller]
pub(crate) fn check_spread(known: impl Fn(u64) -> u64, ours: impl Fn(u64) -> u64) {
    const CHOSEN: usize = 64;
    let place = known(0);
    let chosen: Vec<u64> = (0..).filter(|&key| known(key) == place).take(CHOSEN).collect();
    let mut places: Vec<u64> = chosen.iter().map(|&key| ours(key)).collect();
    places.sort_unstable();
    places.dedup();
    assert!(places.len() > CHOSEN * 3 / 4, "{} places for {CHOSEN} keys", places.len());
}
