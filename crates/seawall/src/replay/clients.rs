//! How many different clients a log has: counted up to a hundred thousand, estimated beyond, so that a
//! log of a year costs no more memory than one of a day. It deliberately does **not** keep who they are.

use std::collections::HashSet;

use seawall_detect::Distinct;

/// The clients so far.
#[derive(Default)]
pub(super) struct Clients {
    /// Hashes of them, and of one more at most.
    counted: HashSet<u64>,
    estimated: Distinct,
}

impl Clients {
    /// 2 MB. A log with more is of a flood or of a very large site, where two in a hundred do not matter.
    const MAX_COUNTED: usize = 100_000;

    /// Takes in the client of a request, by a hash all of whose bits are good.
    pub(super) fn insert(&mut self, hash: u64) {
        self.estimated.insert(hash);
        if self.counted.len() <= Self::MAX_COUNTED {
            self.counted.insert(hash);
        }
    }

    /// How many there are. An estimate is in whole thousands, and never below what was counted.
    pub(super) fn count(&self) -> u64 {
        let counted = self.counted.len() as u64;
        if self.counted.len() <= Self::MAX_COUNTED {
            return counted;
        }
        // Not negative, and far below 2^64.
        let thousands = (self.estimated.estimate() / 1e3).round() as u64;
        (thousands * 1_000).max(counted)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use siphasher::sip::SipHasher13;

    use super::*;

    fn of(clients: u64) -> Clients {
        let mut all = Clients::default();
        for client in 0..clients {
            let mut hasher = SipHasher13::new_with_keys(1, 2);
            hasher.write_u64(client);
            // Each comes twice.
            all.insert(hasher.finish());
            all.insert(hasher.finish());
        }
        all
    }

    #[test]
    fn up_to_a_hundred_thousand_each_is_counted() {
        for clients in [0, 1, 99_999, 100_000] {
            assert_eq!(of(clients).count(), clients);
        }
    }

    #[test]
    fn beyond_they_are_estimated_in_bounded_memory() {
        for clients in [100_001, 120_000, 1_000_000] {
            let all = of(clients);
            let off = all.count().abs_diff(clients) as f64 / clients as f64;
            // Three standard errors.
            assert!(off < 3.0 * Distinct::RELATIVE_ERROR, "{} of {clients}", all.count());
            assert!(all.count() > Clients::MAX_COUNTED as u64);
            assert_eq!(all.counted.len(), Clients::MAX_COUNTED + 1);
        }
    }
}
