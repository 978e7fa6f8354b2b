//! Which mitigation a request meets: up to sixteen signatures against fifteen values.
//!
//! Compiled once, published whole, read without a lock. What has ended meets nobody, whoever forgot to take
//! it away. Of several the strongest rung counts.
//!
//! One identity in a hundred is kept out of each mitigation, to see what would happen without it: by a
//! keyed hash of identity and mitigation, so that nobody can choose to be one of them, and for ten
//! minutes, so that who found out does not stay. For the strongest one only: who is kept out of
//! that meets no weaker one either, or nothing could be compared. Kept out means one rung lower, not free:
//! out of a block in front of the cheap test (whether anybody passes it is what the block's licence rests
//! on; what no test can be put before is refused with the others), out of the test at the end of the queue. Of a flood of pages that cost fifty times what others do, one in a
//! hundred in front of the queue is more than an origin bears. Nobody is kept out of the end of the queue: that harms
//! nobody where there is room, and what it does shows in the queue.
//!
//! It deliberately does **not** do anything to a request: see [`mitigation_gate`](crate::mitigation_gate).
//!
//! *Source:* detection.md §2.4.

use core::time::Duration;

use seawall_model::{
    Attribute, AttributeValue, Attributes, Instant, MAX_MITIGATIONS, Met, Mitigation, MitigationId,
    Rung, Signature, Standing,
};
use siphasher::sip::SipHasher13;

/// Whom mitigations do not touch (detection.md §2.4, rule 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exempt {
    /// Nothing speaks for it.
    No,
    /// A reader with an aged credential, who is signed in, a verified crawler, or who is on the allow list: matches
    /// are counted, because they say how much harm a mitigation would do.
    Known,
}

impl From<Standing> for Exempt {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::SignedIn | Standing::AgedReader => Self::Known,
            Standing::Anonymous => Self::No,
        }
    }
}

/// The mitigations in force.
#[derive(Clone, Debug)]
pub struct Mitigations {
    /// Strongest first.
    compiled: [Compiled; MAX_MITIGATIONS],
    count: usize,
    seed: [u64; 2],
}

/// One signature with its terms side by side.
#[derive(Clone, Copy, Debug)]
struct Compiled {
    attributes: [Attribute; Signature::MAX_TERMS],
    values: [AttributeValue; Signature::MAX_TERMS],
    terms: usize,
    rung: Rung,
    id: MitigationId,
    expires_at: Instant,
}

impl Mitigations {
    /// None.
    pub const fn none() -> Self {
        Self { compiled: [Compiled::NOTHING; MAX_MITIGATIONS], count: 0, seed: [0; 2] }
    }

    /// Compiles mitigations: of more than [`MAX_MITIGATIONS`] the mildest are left out, and of equal ones
    /// those that end first. `seed` must be random and secret.
    pub fn new(mitigations: &[Mitigation], seed: [u64; 2]) -> Self {
        let mut all = Self { seed, ..Self::none() };
        for mitigation in mitigations {
            let compiled = Compiled::new(mitigation);
            let place = all.compiled[..all.count].partition_point(|other| {
                (other.rung, other.expires_at) >= (compiled.rung, compiled.expires_at)
            });
            if place == MAX_MITIGATIONS {
                continue;
            }
            all.compiled.copy_within(place..all.count.min(MAX_MITIGATIONS - 1), place + 1);
            all.compiled[place] = compiled;
            all.count = (all.count + 1).min(MAX_MITIGATIONS);
        }
        all
    }

    /// How many there are, those that have ended included.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The mitigation that a request meets. `identity_hash` is a hash of whom it counts against. O(mitigations);
    /// no allocation.
    pub fn meet(
        &self,
        now: Instant,
        attributes: &Attributes,
        identity_hash: u64,
        exempt: Exempt,
    ) -> Option<Met> {
        let met = self.compiled[..self.count]
            .iter()
            .find(|one| one.matches(attributes) && one.expires_at > now)?;
        let id = met.id;
        if exempt == Exempt::Known {
            return Some(Met { id, rung: Rung::Observe, is_control: false });
        }
        // Those who are tested show by themselves what would happen without.
        let is_control = met.rung == Rung::Block && self.is_control(now, id, identity_hash);
        let rung = if is_control { Rung::Challenge } else { met.rung };
        Some(Met { id, rung, is_control })
    }

    /// What `stranger` would look like next door to those whom each mitigation means: in the same prefix and
    /// network, as far as it names them, and else as ever. Nothing of one that names neither. O(mitigations); no
    /// allocation.
    pub(crate) fn neighbours(&self, stranger: Attributes) -> impl Iterator<Item = Attributes> + '_ {
        self.compiled[..self.count].iter().filter_map(move |one| one.neighbour(stranger))
    }

    /// Whether an identity is kept out of a mitigation.
    #[inline(never)]
    fn is_control(&self, now: Instant, id: MitigationId, identity_hash: u64) -> bool {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&identity_hash.to_le_bytes());
        bytes[8..12].copy_from_slice(&id.0.to_le_bytes());
        let turn = now.as_nanos() / CONTROL_TURN.as_nanos() as u64;
        bytes[12..].copy_from_slice(&turn.to_le_bytes());
        let [key0, key1] = self.seed;
        SipHasher13::new_with_keys(key0, key1).hash(&bytes).is_multiple_of(CONTROL_ONE_IN)
    }
}

impl Default for Mitigations {
    fn default() -> Self {
        Self::none()
    }
}

impl Compiled {
    const NOTHING: Self = Self {
        attributes: [Attribute::Ja4; Signature::MAX_TERMS],
        values: [0; Signature::MAX_TERMS],
        terms: 0,
        rung: Rung::Observe,
        id: MitigationId(0),
        expires_at: Instant::from_nanos(0),
    };

    fn new(mitigation: &Mitigation) -> Self {
        let &Mitigation { id, rung, expires_at, ref signature } = mitigation;
        // What names no behaviour never refuses anybody, whatever whoever made it thought.
        let rung = if signature.may_block() { rung } else { rung.min(Rung::Challenge) };
        let mut compiled = Self { id, rung, expires_at, ..Self::NOTHING };
        for term in signature.terms() {
            compiled.attributes[compiled.terms] = term.attribute;
            compiled.values[compiled.terms] = term.value;
            compiled.terms += 1;
        }
        compiled
    }

    #[inline]
    fn matches(&self, attributes: &Attributes) -> bool {
        let terms = self.attributes.iter().zip(self.values).take(self.terms);
        terms.into_iter().all(|(attribute, value)| attributes.value(*attribute) == value)
    }

    fn neighbour(&self, mut stranger: Attributes) -> Option<Attributes> {
        let mut is_next_door = false;
        for (attribute, value) in self.attributes.iter().zip(self.values).take(self.terms) {
            if matches!(attribute, Attribute::Network | Attribute::Prefix) {
                stranger.set(*attribute, value);
                is_next_door = true;
            }
        }
        is_next_door.then_some(stranger)
    }
}

/// detection.md §2.4: 1 % of matched traffic.
const CONTROL_ONE_IN: u64 = 100;
const CONTROL_TURN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use seawall_model::Term;

    use super::*;

    fn term(attribute: Attribute, value: u32) -> Term {
        Term { attribute, value }
    }

    fn mitigation(id: u32, terms: &[Term], rung: Rung) -> Mitigation {
        let signature = Signature::new(terms).expect("terms of a signature");
        Mitigation { id: MitigationId(id), signature, rung, expires_at: at(300) }
    }

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(secs)
    }

    fn attributes(terms: &[Term]) -> Attributes {
        let mut attributes = Attributes::default();
        terms.iter().for_each(|term| attributes.set(term.attribute, term.value));
        attributes
    }

    const PATH: Term = Term { attribute: Attribute::Path, value: 7 };
    const JA4: Term = Term { attribute: Attribute::Ja4, value: 8 };

    /// One that is in no control group.
    fn met(mitigations: &[Mitigation], now: Instant, exempt: Exempt) -> Option<(u32, Rung)> {
        let all = Mitigations::new(mitigations, [1, 2]);
        let met = (0..).find_map(|identity| {
            match all.meet(now, &attributes(&[PATH, JA4]), identity, exempt) {
                Some(met) if met.is_control => None,
                other => Some(other),
            }
        });
        met.flatten().map(|met| (met.id.0, met.rung))
    }

    #[test]
    fn the_strongest_live_rung_counts() {
        let demote = mitigation(1, &[PATH], Rung::Demote);
        let block = mitigation(2, &[PATH, JA4], Rung::Block);
        let other = mitigation(3, &[term(Attribute::Path, 9)], Rung::Block);
        for all in [[demote, block, other], [other, block, demote], [block, demote, other]] {
            assert_eq!(met(&all, at(0), Exempt::No), Some((2, Rung::Block)));
        }
        assert_eq!(met(&[other], at(0), Exempt::No), None);
        let ended = Mitigation { expires_at: at(10), ..block };
        assert_eq!(met(&[demote, ended], at(10), Exempt::No), Some((1, Rung::Demote)));
    }

    #[test]
    fn expired_mitigation_never_matches() {
        let block = mitigation(2, &[PATH], Rung::Block);
        assert_eq!(met(&[block], at(299), Exempt::No), Some((2, Rung::Block)));
        assert_eq!(met(&[block], at(300), Exempt::No), None);
        assert_eq!(met(&[block], at(400), Exempt::No), None);
    }

    #[test]
    fn readers_who_are_known_are_counted_and_not_touched() {
        let block = mitigation(2, &[PATH], Rung::Block);
        for standing in [Standing::SignedIn, Standing::AgedReader] {
            assert_eq!(met(&[block], at(0), standing.into()), Some((2, Rung::Observe)));
        }
        assert_eq!(met(&[block], at(0), Standing::Anonymous.into()), Some((2, Rung::Block)));
    }

    #[test]
    fn what_names_no_behaviour_never_blocks() {
        let network = term(Attribute::Network, 5);
        let tor = Mitigations::new(&[mitigation(1, &[network], Rung::Block)], [1, 2]);
        for identity in 0..1_000 {
            let met = tor.meet(at(0), &attributes(&[network]), identity, Exempt::No);
            assert!(met.expect("it matches").rung < Rung::Block);
        }
    }

    #[test]
    fn a_neighbour_shares_where_they_are_and_nothing_else() {
        let (prefix, network) = (term(Attribute::Prefix, 5), term(Attribute::Network, 6));
        let alone = mitigation(1, &[prefix], Rung::Block);
        let with_path = mitigation(2, &[network, PATH], Rung::Demote);
        let all = Mitigations::new(&[alone, with_path, mitigation(3, &[JA4], Rung::Block)], [1, 2]);
        let stranger = attributes(&[term(Attribute::Path, 1), term(Attribute::Prefix, 2)]);
        let found: std::vec::Vec<_> = all.neighbours(stranger).collect();
        let path = term(Attribute::Path, 1);
        let second = attributes(&[path, term(Attribute::Prefix, 2), network]);
        assert_eq!(found, [attributes(&[path, prefix]), second]);
    }

    #[test]
    fn one_identity_in_a_hundred_is_kept_out_for_a_while() {
        let of = |all: &[Mitigation], identity, secs| {
            let all = Mitigations::new(all, [1, 2]);
            all.meet(at(secs), &attributes(&[PATH]), identity, Exempt::No).expect("it matches")
        };
        let long = |id, rung| Mitigation { expires_at: at(9_999), ..mitigation(id, &[PATH], rung) };
        let group = |id, secs| -> std::vec::Vec<u64> {
            let block = [long(id, Rung::Block)];
            (0..20_000).filter(|identity| of(&block, *identity, secs).is_control).collect()
        };
        let first = group(1, 0);
        assert!((150..250).contains(&first.len()), "{}", first.len());
        assert_eq!(first, group(1, 599));
        for other in [group(2, 0), group(1, 600)] {
            assert!(other.iter().filter(|one| first.contains(one)).count() < 20);
        }
        // One rung lower, whatever else it matches; nobody is kept out of a test or a demotion.
        let demote = mitigation(7, &[PATH], Rung::Demote);
        let met = |rung| of(&[long(1, rung), demote], first[0], 0);
        assert_eq!(met(Rung::Block).rung, Rung::Challenge);
        for rung in [Rung::Challenge, Rung::Demote] {
            assert!(met(rung).rung == rung && !met(rung).is_control);
        }
    }

    #[test]
    fn of_too_many_the_strongest_stay() {
        let all: std::vec::Vec<_> = (0..40)
            .map(|id| {
                let rung = if id % 4 == 0 { Rung::Block } else { Rung::Demote };
                mitigation(id, &[term(Attribute::Path, id + 1)], rung)
            })
            .collect();
        let kept = Mitigations::new(&all, [1, 2]);
        assert_eq!(kept.len(), MAX_MITIGATIONS);
        let meets =
            |path| kept.meet(at(0), &attributes(&[term(Attribute::Path, path)]), 1, Exempt::No);
        let blocked = (1..=40).filter_map(meets).filter(|met| met.id.0 % 4 == 0).count();
        assert_eq!(blocked, 10);
        assert!(Mitigations::none().is_empty());
    }
}
