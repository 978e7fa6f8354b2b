//! Who broke protocols lately, and who may not connect for that.
//!
//! Points by identity, halved every 30 s: a fixed table of atomics, 24 bytes an identity, shared by
//! all workers. What a kind of misbehaviour weighs is said here: floods of frames, which no browser
//! sends, much; what a bad link or an old device does too, little.
//!
//! Set-associative, eight ways, placed by a keyed hash. When a set is full, the one with the fewest
//! points that is not barred is forgotten: it fails open. Races between workers lose single points.
//!
//! It does **not** know who is exempt, nor how many people share an address: the gates do.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use seawall_model::{Identity, Instant, Misbehaviour};
use siphasher::sip128::SipHasher13;

use crate::decay::{self, Decayed, ONE};
use crate::places::place;

/// The table.
#[derive(Debug)]
pub(crate) struct Offenders {
    sets: Box<[Set]>,
    seed: [u64; 2],
    /// When the last bar ends, so that in quiet times nobody is looked for.
    last_bar_nanos: AtomicU64,
    barred: AtomicU64,
    forgotten: AtomicU64,
}

/// Three cache lines.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    tags: [AtomicU64; WAYS],
    /// [`Decayed`] bits.
    points: [AtomicU64; WAYS],
    /// Until when new connections are refused, nanoseconds.
    until: [AtomicU64; WAYS],
}

/// When somebody is barred, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    /// Points from which on.
    pub(crate) points: u32,
    /// How long.
    pub(crate) time: Duration,
}

impl Offenders {
    /// Room for `offenders`, rounded up to a multiple of eight and at least eight.
    pub(crate) fn new(offenders: usize, seed: [u64; 2]) -> Self {
        let sets = offenders.div_ceil(WAYS).clamp(1, MAX_SETS);
        let sets = core::iter::repeat_with(Set::default).take(sets).collect();
        let zero = || AtomicU64::new(0);
        Self { sets, seed, last_bar_nanos: zero(), barred: zero(), forgotten: zero() }
    }

    /// Bytes held, all of them since construction.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// Bars spoken.
    pub(crate) fn barred(&self) -> u64 {
        self.barred.load(Ordering::Relaxed)
    }

    /// Points forgotten to make room for others.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Whether `who` may not connect at `now`. O(1), no allocation.
    pub(crate) fn is_barred(&self, now: Instant, who: Identity) -> bool {
        let now = now.as_nanos();
        if self.last_bar_nanos.load(Ordering::Relaxed) <= now {
            return false;
        }
        let (set, tag) = self.place(who);
        set.way_of(tag).is_some_and(|way| set.until[way].load(Ordering::Relaxed) > now)
    }

    /// Notes what `who` did; whether that bars it from now on. O(1), no allocation.
    pub(crate) fn add(&self, now: Instant, who: Identity, kind: Misbehaviour, bar: Bar) -> bool {
        let (set, tag) = self.place(who);
        let Some(way) = set.way_of(tag).or_else(|| self.insert(now, set, tag)) else {
            return false;
        };
        let cost = weight(kind) * ONE;
        let points = decay::add(&set.points[way], now, cost);
        if points < bar.points.max(1).saturating_mul(ONE) {
            return false;
        }
        let until = (now + bar.time).as_nanos();
        let before = set.until[way].swap(until, Ordering::Relaxed);
        self.last_bar_nanos.fetch_max(until, Ordering::Relaxed);
        let is_new = before <= now.as_nanos();
        self.barred.fetch_add(u64::from(is_new), Ordering::Relaxed);
        is_new
    }

    fn place(&self, who: Identity) -> (&Set, u64) {
        let [key0, key1] = self.seed;
        let hash = SipHasher13::new_with_keys(key0, key1).hash(&who.as_u128().to_le_bytes());
        (&self.sets[place(hash.h1, self.sets.len())], hash.h2.max(FIRST_TAG))
    }

    /// Takes the place of whoever has the fewest points. `None` if another worker is faster at it.
    fn insert(&self, now: Instant, set: &Set, tag: u64) -> Option<usize> {
        let ways = set.tags.iter().map(|word| word.load(Ordering::Acquire)).enumerate();
        let (way, old) = ways
            .filter(|&(_, tag)| tag != BUSY)
            .min_by_key(|&(way, tag)| if tag == EMPTY { (0, 0) } else { set.worth(way, now) })?;
        set.tags[way].compare_exchange(old, BUSY, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        let is_missed = set.worth(way, now) > (1, 0);
        self.forgotten.fetch_add(u64::from(old != EMPTY && is_missed), Ordering::Relaxed);
        set.points[way].store(0, Ordering::Relaxed);
        set.until[way].store(0, Ordering::Relaxed);
        set.tags[way].store(tag, Ordering::Release);
        Some(way)
    }
}

/// Points for one occurrence.
const fn weight(kind: Misbehaviour) -> u32 {
    use Misbehaviour as M;
    match kind {
        // What a bad link, a cookie jar or a browser that leaves looks like.
        M::TlsGarbage
        | M::HeadTooLarge
        | M::Truncated
        | M::Http2Stalled
        | M::SlowHead
        | M::SlowContent
        | M::SlowReader
        | M::SlowHandshake
        | M::ProxyHeader
        | M::ProxyUntrusted => 1,
        // An old device, or a probe.
        M::RequestLine
        | M::Version
        | M::FieldLine
        | M::ObsFold
        | M::LineEnd
        | M::ContentLength
        | M::TransferEncoding
        | M::BothLengths
        | M::Chunk
        | M::Host
        | M::HostMismatch
        | M::Http2Frame => 2,
        // Forty slow pages and a large cookie jar come near to it.
        M::Http2HeldBytes => 5,
        M::TlsHelloTooLarge => 10,
        M::Http2Resets
        | M::Http2ProvokedResets
        | M::Http2Continuation
        | M::Http2Settings
        | M::Http2Pings
        | M::Http2Priorities
        | M::Http2EmptyData
        | M::Http2WindowUpdates
        | M::Http2OtherFrames => 30,
    }
}

impl Set {
    fn way_of(&self, tag: u64) -> Option<usize> {
        self.tags.iter().position(|word| word.load(Ordering::Acquire) == tag)
    }

    /// Who is barred before who is not, then by points; above an empty way in any case.
    fn worth(&self, way: usize, now: Instant) -> (u32, u32) {
        let is_barred = self.until[way].load(Ordering::Relaxed) > now.as_nanos();
        let points = Decayed::from_bits(self.points[way].load(Ordering::Relaxed)).at(now);
        (1 + u32::from(is_barred), points)
    }
}

const WAYS: usize = 8;
/// 2^24 sets are 3 GiB: a typing error is not an allocation.
const MAX_SETS: usize = 1 << 24;
const EMPTY: u64 = 0;
/// A way that a worker is replacing.
const BUSY: u64 = 1;
const FIRST_TAG: u64 = 2;

#[cfg(test)]
mod tests {
    use seawall_model::ClientAddr;

    use super::*;

    const BAR: Bar = Bar { points: 100, time: Duration::from_secs(60) };

    fn who(number: u32) -> Identity {
        ClientAddr::new(core::net::Ipv4Addr::from_bits(number).into()).into()
    }

    fn at_s(secs: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(secs)
    }

    /// How many occurrences, `gap_ms` apart, until the bar; at most a thousand.
    fn until_barred(kind: Misbehaviour, gap_ms: u64) -> Option<u64> {
        let offenders = Offenders::new(64, [1, 2]);
        (1..=1_000).find(|&turn| {
            let now = at_s(1) + Duration::from_millis(turn * gap_ms);
            offenders.add(now, who(1), kind, BAR)
        })
    }

    #[test]
    fn floods_weigh_much_and_bad_links_little() {
        for (kind, gap_ms, want) in [
            (Misbehaviour::Http2Resets, 0, Some(4)),
            (Misbehaviour::Http2Resets, 10_000, Some(6)),
            // One in a minute is never too much, whatever it is.
            (Misbehaviour::Http2Resets, 60_000, None),
            (Misbehaviour::ContentLength, 0, Some(50)),
            (Misbehaviour::SlowReader, 0, Some(100)),
            // Six connections that stall every ten seconds, for as long as one likes.
            (Misbehaviour::SlowReader, 10_000 / 6, None),
            (Misbehaviour::Truncated, 1_000, None),
        ] {
            assert_eq!(until_barred(kind, gap_ms), want, "{} each {gap_ms} ms", kind.as_str());
        }
    }

    #[test]
    fn a_bar_ends_by_itself_and_comes_sooner_the_next_time() {
        let offenders = Offenders::new(64, [1, 2]);
        let flood = |now| offenders.add(now, who(1), Misbehaviour::Http2Pings, BAR);
        assert_eq!([1, 1, 1, 1, 1].map(|s| flood(at_s(s))), [false, false, false, true, false]);
        assert!(offenders.is_barred(at_s(60), who(1)));
        assert!(!offenders.is_barred(at_s(60), who(2)));
        assert!(!offenders.is_barred(at_s(61), who(1)));
        assert_eq!([61, 61, 61].map(|s| flood(at_s(s))), [false, false, true]);
        assert_eq!(offenders.barred(), 2);
    }

    #[test]
    fn the_table_never_grows_and_keeps_the_worst() {
        assert_eq!(size_of::<Set>(), WAYS * 24);
        let offenders = Offenders::new(256, [1, 2]);
        let bytes = offenders.bytes();
        while !offenders.add(at_s(1), who(1), Misbehaviour::Http2Pings, BAR) {}
        for number in 2..100_000 {
            offenders.add(at_s(2), who(number), Misbehaviour::SlowHead, BAR);
        }
        assert!(offenders.is_barred(at_s(2), who(1)), "who is barred stays so");
        assert!(offenders.forgotten() > 90_000, "the others are counted as forgotten");
        assert_eq!(offenders.bytes(), bytes);
    }

    #[test]
    fn clocks_that_step_back_bar_nobody_for_longer() {
        let offenders = Offenders::new(64, [1, 2]);
        for secs in [100, 50, 100, 1] {
            offenders.add(at_s(secs), who(1), Misbehaviour::Http2Pings, BAR);
        }
        assert!(!offenders.is_barred(at_s(161), who(1)));
    }
}
