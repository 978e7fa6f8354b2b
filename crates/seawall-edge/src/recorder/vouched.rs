//! Who was vouched for: whose address is not told, and is taken out where it was told.
//!
//! A Bloom filter that all workers write and nobody waits for. It hears every request and not only those of the sample, for
//! who passes one test among a thousand refusals is behind that address. It forgets nobody for six hours at least and may only
//! err on the side of telling less. It deliberately does **not** know addresses: nobody can be read from it.

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use seawall_model::{ClientAddr, Instant, Observation, Standing, Test};
use siphasher::sip128::{Hasher128, SipHasher13};

/// The filter: two halves of 128 KiB, of which the older is forgotten every six hours.
#[derive(Debug)]
pub struct Vouched {
    seed: [u64; 2],
    halves: [Box<[AtomicU64]>; 2],
    /// The half that is written.
    newer: AtomicUsize,
    turned: Mutex<Option<Instant>>,
}

impl Vouched {
    /// `seed`: random and secret.
    pub fn new(seed: [u64; 2]) -> Self {
        let empty = || (0..BITS / 64).map(|_| AtomicU64::new(0)).collect();
        let halves = [empty(), empty()];
        Self { seed, halves, newer: AtomicUsize::new(0), turned: Mutex::new(None) }
    }

    /// Takes note of a request of `client` for whom something speaks: a credential or a list, a passed test, or that it is an
    /// exit of Tor, which many share. About 50 ns, for those alone; no lock.
    pub fn hear(
        &self,
        client: ClientAddr,
        (standing, test): (Standing, Test),
        is_recognised_or_tor: bool,
    ) {
        let is_vouched = is_recognised_or_tor
            || standing != Standing::Anonymous
            || matches!(test, Test::Passed | Test::Carried);
        if is_vouched {
            self.insert(client);
        }
    }

    /// The same of what was observed.
    pub(super) fn hear_row(&self, row: &Observation) {
        self.hear(row.client, (row.standing, row.test), row.is_recognised || row.is_tor);
    }

    pub(super) fn insert(&self, client: ClientAddr) {
        // After a turn nobody sees in it what stood there before.
        let half = &self.halves[self.newer.load(Ordering::Acquire)];
        for bit in self.bits(client) {
            let (word, mask) = (&half[bit / 64], 1 << (bit % 64));
            // What is read by all stays in all caches.
            if word.load(Ordering::Relaxed) & mask == 0 {
                word.fetch_or(mask, Ordering::Relaxed);
            }
        }
    }

    /// Whether anybody there was vouched for: at an IPv4 address, or anywhere in the /64 of an IPv6 one.
    pub(super) fn contains(&self, client: ClientAddr) -> bool {
        let bits = self.bits(client);
        let has = |half: &[AtomicU64]| {
            bits.iter().all(|bit| half[bit / 64].load(Ordering::Relaxed) & 1 << (bit % 64) != 0)
        };
        self.halves.iter().any(|half| has(half))
    }

    /// Forgets the older half, if it is time.
    pub(super) fn turn(&self, now: Instant) {
        let mut turned = self.turned.lock();
        let since = *turned.get_or_insert(now);
        if now.saturating_since(since) >= LASTS {
            *turned = Some(now);
            let older = 1 - self.newer.load(Ordering::Relaxed);
            self.halves[older].iter().for_each(|word| word.store(0, Ordering::Relaxed));
            self.newer.store(older, Ordering::Release);
        }
    }

    fn bits(&self, client: ClientAddr) -> [usize; 4] {
        let [key0, key1] = self.seed;
        let mut hasher = SipHasher13::new_with_keys(key0, key1 ^ OTHER);
        // What counts as one client: a /64 is one subscriber.
        hasher.write_u128(client.identity());
        let hash = hasher.finish128();
        [hash.h1, hash.h1 >> 32, hash.h2, hash.h2 >> 32].map(|bits| bits as usize & (BITS - 1))
    }
}

/// Another key than that of other tables with the same seed.
const OTHER: u64 = 0x7ec0_4de4;
/// With 100,000 clients in a half one in 100 of all others is taken for one of them, and not told.
const BITS: usize = 1 << 20;
const LASTS: Duration = Duration::from_secs(6 * 3_600);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn who_was_vouched_for_is_remembered_for_six_hours_at_least_and_not_for_ever() {
        let vouched = Vouched::new([1, 2]);
        let at = |hours: u32| Instant::from_nanos(1) + Duration::from_secs(3_600) * hours;
        let client = |text: &str| ClientAddr::new(text.parse().expect("an address"));
        vouched.turn(at(0));
        vouched.hear(client("2001:db8::1"), (Standing::Anonymous, Test::Passed), false);
        vouched.hear(client("192.0.2.1"), (Standing::Anonymous, Test::Set), false);
        for (hours, is_known) in [(0, true), (6, true), (11, true), (12, false)] {
            vouched.turn(at(hours));
            assert_eq!(vouched.contains(client("2001:db8::1")), is_known, "{hours}");
        }
        assert!(!vouched.contains(client("192.0.2.1")), "to be tested is not to pass");
        vouched.hear(client("2001:db8::1"), (Standing::Anonymous, Test::None), true);
        assert!(vouched.contains(client("2001:db8::ffff:1")), "the same /64");
        assert!(!vouched.contains(client("2001:db8:0:1::1")), "the next one");
    }

    #[test]
    fn one_in_a_hundred_is_taken_for_one_of_a_hundred_thousand() {
        let vouched = Vouched::new([1, 2]);
        let client = |number: u32| ClientAddr::new(Ipv4Addr::from_bits(number).into());
        (0..100_000).for_each(|number| vouched.insert(client(number)));
        assert!((0..100_000).all(|number| vouched.contains(client(number))));
        let taken = (100_000..200_000).filter(|number| vouched.contains(client(*number))).count();
        assert!((900..1_100).contains(&taken), "{taken}");
    }
}
