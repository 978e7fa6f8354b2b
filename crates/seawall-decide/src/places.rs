//! From a hash to one of a fixed number of places.

/// The place of `hash` among `places`, of which there are fewer than 2^32; 0 of none. Made of the upper half of the
/// hash alone, so that the lower one can tell apart who shares a place. The hash is keyed: its bits are good.
pub(crate) fn place(hash: u64, places: usize) -> usize {
    // Multiply and shift instead of a division.
    usize::try_from(((hash >> 32) * places as u64) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn hashes_spread_evenly_over_any_number_of_places() {
        for places in [1usize, 3, 1_000] {
            let mut counts = alloc::vec![0usize; places];
            for step in 0..100_000u64 {
                counts[place(step * (u64::MAX / 100_000), places)] += 1;
            }
            let each = 100_000 / places;
            assert!(counts.iter().all(|count| count.abs_diff(each) <= 1), "{counts:?}");
        }
        assert_eq!(place(u64::MAX, 7), 6);
        assert_eq!(place(u64::MAX >> 32, 7), 0, "the lower half counts for nothing");
    }
}
