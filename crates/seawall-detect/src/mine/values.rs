//! Step 1: the values that are frequent now and were not.
//!
//! At most 33 values of an attribute can have 3 % of the rows each, so that whatever somebody sends, no
//! more than 33 are compared with the baseline, and no more than 64 of all attributes are kept.

use alloc::vec::Vec;

use libm::log;
use seawall_model::{Attribute, AttributeValue, Attributes, Term, UNKNOWN};

use super::conjunctions::MAX_THINGS;
use super::side::each_bit;

/// A value is frequent from this share of the rows of now, in per cent.
const MIN_SHARE_PERCENT: usize = 3;

/// And is looked at from this many times its share among ordinary clients.
const MIN_LIFT: u64 = 2;

/// So many values can have [`MIN_SHARE_PERCENT`] each.
const MAX_FREQUENT: usize = 100 / MIN_SHARE_PERCENT;

/// A value that is kept.
#[derive(Clone, Copy, Debug)]
struct Value {
    term: Term,
    /// How much it stands out: rows times logarithm of lift.
    weight: f64,
}

/// The values of one round, in the order of attributes and values.
#[derive(Debug)]
pub(super) struct Values {
    kept: Vec<Value>,
    /// One attribute of all rows, sorted.
    column: Vec<AttributeValue>,
    places: Places,
}

impl Values {
    pub(super) fn new() -> Self {
        Self {
            kept: Vec::with_capacity(Attribute::COUNT * MAX_FREQUENT),
            column: Vec::with_capacity(super::Miner::MAX_NOW),
            places: Places::new(),
        }
    }

    /// Chooses values, and says how many were compared with the baseline.
    pub(super) fn choose(&mut self, now: &[Attributes], baseline: &[Attributes]) -> u64 {
        self.kept.clear();
        let mut tested = 0;
        for attribute in Attribute::ALL {
            tested += self.choose_of(attribute, now, baseline);
        }
        self.kept.sort_unstable_by(|a, b| {
            b.weight.total_cmp(&a.weight).then_with(|| a.term.cmp(&b.term))
        });
        self.kept.truncate(MAX_THINGS);
        self.kept.sort_unstable_by_key(|value| value.term);
        tested
    }

    fn choose_of(
        &mut self,
        attribute: Attribute,
        now: &[Attributes],
        baseline: &[Attributes],
    ) -> u64 {
        self.column.clear();
        self.column.extend(now.iter().map(|row| row.value(attribute)));
        self.column.sort_unstable();
        let (mut frequent, mut len) = ([(UNKNOWN, 0u32); MAX_FREQUENT], 0);
        for run in self.column.chunk_by(|a, b| a == b) {
            let is_frequent = run.len() * 100 >= now.len() * MIN_SHARE_PERCENT;
            if is_frequent && run[0] != UNKNOWN && len < MAX_FREQUENT {
                frequent[len] = (run[0], run.len() as u32);
                len += 1;
            }
        }
        if len == 0 {
            return 0;
        }
        self.places.clear();
        for (place, (value, _)) in frequent[..len].iter().enumerate() {
            self.places.insert(*value, place as u8);
        }
        let (mut ordinary, mut clients) = ([0u32; MAX_FREQUENT], 0u32);
        for value in baseline.iter().map(|row| row.value(attribute)) {
            clients += u32::from(value != UNKNOWN);
            if let Some(place) = self.places.of(value) {
                ordinary[usize::from(place)] += 1;
            }
        }
        // Nobody of whom it is known: nothing can be said of it, and so nothing is.
        if clients == 0 {
            return 0;
        }
        for ((value, hits), before) in frequent[..len].iter().zip(ordinary) {
            let (rows, all) = (u64::from(*hits) * u64::from(clients), now.len() as u64);
            if rows >= MIN_LIFT * u64::from(before) * all {
                let lift = rows as f64 / ((f64::from(before) + 0.5) * all as f64);
                let term = Term { attribute, value: *value };
                self.kept.push(Value { term, weight: f64::from(*hits) * log(lift) });
            }
        }
        len as u64
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The one at `place`.
    pub(super) fn term(&self, place: usize) -> Term {
        self.kept[place].term
    }

    /// Values of addresses, which are in no conjunction (detection.md §2.3).
    pub(super) fn alone(&self) -> u64 {
        self.of(|attribute| attribute == Attribute::Prefix)
    }

    /// All values of the attributes that values of `mask` are of.
    pub(super) fn of_the_same_attributes(&self, mask: u64) -> u64 {
        let attributes = self.attributes(mask);
        self.of(|attribute| attributes >> attribute.index() & 1 == 1)
    }

    /// The attributes of the values of `mask`, by index.
    pub(super) fn attributes(&self, mask: u64) -> u64 {
        let mut attributes = 0;
        each_bit(mask, |place| attributes |= 1 << self.kept[place].term.attribute.index());
        attributes
    }

    /// Writes into `masks` which of the values each row has.
    pub(super) fn mark(&self, rows: &[Attributes], masks: &mut [u64]) {
        let mut places = Places::new();
        for run in self.kept.chunk_by(|a, b| a.term.attribute == b.term.attribute) {
            let attribute = run[0].term.attribute;
            let first = self.kept.partition_point(|value| value.term.attribute < attribute);
            places.clear();
            for (place, value) in run.iter().enumerate() {
                places.insert(value.term.value, (first + place) as u8);
            }
            for (mask, row) in masks.iter_mut().zip(rows) {
                *mask |= places.of(row.value(attribute)).map_or(0, |place| 1 << place);
            }
        }
    }

    fn of(&self, is_meant: impl Fn(Attribute) -> bool) -> u64 {
        let places = self.kept.iter().enumerate();
        places.fold(0, |mask, (place, value)| {
            mask | u64::from(is_meant(value.term.attribute)) << place
        })
    }
}

/// Where each of a few values stands. Values are keyed hashes, so nobody chooses which of them collide;
/// and with at most 64 of 256 places taken, a search ends whatever they are.
#[derive(Debug)]
struct Places {
    slots: [(AttributeValue, u8); 256],
}

impl Places {
    fn new() -> Self {
        Self { slots: [(UNKNOWN, 0); 256] }
    }

    fn clear(&mut self) {
        self.slots.fill((UNKNOWN, 0));
    }

    fn insert(&mut self, value: AttributeValue, place: u8) {
        let mut slot = Self::first(value);
        while self.slots[slot].0 != UNKNOWN {
            slot = (slot + 1) % 256;
        }
        self.slots[slot] = (value, place);
    }

    fn of(&self, value: AttributeValue) -> Option<u8> {
        let mut slot = Self::first(value);
        while value != UNKNOWN && self.slots[slot].0 != UNKNOWN {
            if self.slots[slot].0 == value {
                return Some(self.slots[slot].1);
            }
            slot = (slot + 1) % 256;
        }
        None
    }

    /// By the highest bits of a multiplication, so that small numbers are spread as well.
    fn first(value: AttributeValue) -> usize {
        (value.wrapping_mul(0x9E37_79B9) >> 24) as usize
    }
}
