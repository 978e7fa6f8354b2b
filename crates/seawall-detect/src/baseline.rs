//! Who comes in ordinary times: what one request of each of up to 16,384 clients looked like, and one thing that it came for.
//!
//! Two, because two are asked for. What is too much is told by shares of requests, nine of ten of which are for what belongs to a
//! page, so that any request of a client stands for it. What a block refuses is what somebody came for, a page or
//! a form, and of a signature that means only those, the first kind of rows have a tenth.
//!
//! On this rests how much harm a signature may do, so it is what a poisoner would fill. Against that:
//! one row for each client; of one /24 or /48 at most two percent, as in the sample of now (of fewer, whoever reads
//! through Tor or from behind a shared address would look like an excess at all times); every client of the last week has the same
//! chance to be in it (a reservoir), so that thousands who come in an hour displace few; and once there are
//! enough for a licence, a quarter of them at most is exchanged in a day. Who is ordinary is decided
//! before: see the detector. It cannot be kept from learning those who behave like readers for days, and
//! from as many places as readers have.
//!
//! *Source:* detection.md §2.4, §3.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use seawall_model::{Attribute, Attributes};

use crate::followed::place_of;
use crate::keys::fold;
use crate::mine::Clients;

/// One client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Keyed hash of who it is.
    pub(crate) identity: u64,
    /// What one of its requests looked like.
    pub(crate) attributes: Attributes,
    /// What one of those looked like that were for nothing that belongs to a page, if there were any.
    pub(crate) came_for: Attributes,
    /// Minute of this baseline's life when it was last here.
    pub(crate) minute: u32,
    /// Hour of the week when it was.
    pub(crate) hour: u8,
}

/// Clients of ordinary times. 2.4 MB, taken once.
#[derive(Clone, Debug)]
pub(crate) struct Baseline {
    rows: Vec<Row>,
    /// Places in `rows` and one, by identity; 0 is free.
    index: Box<[u16]>,
    /// Rows of each prefix, by hash: an estimate that is never too low.
    prefixes: Box<[u16]>,
    /// Minutes lived.
    minute: u32,
    /// Clients offered, decayed over a week.
    offered: f64,
    /// How many more may come in, now that there are enough.
    intake: f64,
    random: u64,
}

/// Rows that are kept.
pub(crate) const MAX_ROWS: usize = 16_384;
/// Rows that are compared with.
pub(crate) const MAX_COMPARED: usize = 8_192;
/// Clients that a licence to block takes (detection.md, amendment 2).
pub(crate) const ENOUGH: usize = 3_000;
/// Minutes in a week; the time over which rows are forgotten.
const WEEK: u32 = 7 * 24 * 60;
const INDEX: usize = 2 * MAX_ROWS;
const PREFIXES: usize = 8_192;
/// Part of the rows that may have one prefix, and how many always may: of few rows two percent are none.
const MAX_SHARE: f64 = 0.02;
const MIN_OF_PREFIX: u16 = 3;
/// Part of the rows that may be exchanged in a day.
const DAILY_INTAKE: f64 = 0.25;

/// With whom now is compared. 1 MB, taken once.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    requests: Vec<Attributes>,
    came_for: Vec<Attributes>,
}

impl Compared {
    pub(crate) fn new() -> Self {
        let room = || Vec::with_capacity(MAX_COMPARED);
        Self { requests: room(), came_for: room() }
    }

    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn clients(&self) -> Clients<'_> {
        Clients { requests: &self.requests, came_for: &self.came_for }
    }

    /// Adds looks of which no more is known.
    pub(crate) fn extend_from(&mut self, looks: &[Attributes]) {
        self.requests.extend_from_slice(looks);
        self.came_for.extend_from_slice(looks);
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        (self.requests.capacity() + self.came_for.capacity()) * size_of::<Attributes>()
    }

    fn clear(&mut self) {
        self.requests.clear();
        self.came_for.clear();
    }

    fn extend<'a>(&mut self, rows: impl Iterator<Item = &'a Row>) {
        for row in rows {
            self.requests.push(row.attributes);
            self.came_for.push(row.came_for);
        }
    }
}

impl Baseline {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rows: Vec::with_capacity(MAX_ROWS),
            index: vec![0; INDEX].into_boxed_slice(),
            prefixes: vec![0; PREFIXES].into_boxed_slice(),
            minute: 0,
            offered: 0.0,
            intake: 0.0,
            random: seed | 1,
        }
    }

    /// How many clients it knows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) const fn minute(&self) -> u32 {
        self.minute
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + size_of_val(&*self.index)
            + size_of_val(&*self.prefixes)
    }

    /// Whether `identity` is known.
    pub(crate) fn knows(&self, identity: u64) -> bool {
        self.index[self.slot(identity)] != 0
    }

    /// A minute more, ordinary or not: forgets who was not here for a week, a few at a time.
    pub(crate) fn age(&mut self, minutes: u32) {
        self.minute = self.minute.saturating_add(minutes);
        let kept = libm::exp(-f64::from(minutes) / f64::from(WEEK));
        self.offered *= kept;
        let size = self.rows.len().max(ENOUGH) as f64;
        let allowance = DAILY_INTAKE * size;
        // What a quiet night leaves unused is no licence for a flood of new ones: two hours' worth at most.
        self.intake =
            (self.intake + allowance * f64::from(minutes) / 1_440.0).min(allowance / 12.0);
        let mut place = 0;
        while place < self.rows.len() {
            if self.minute - self.rows[place].minute > WEEK {
                self.remove(place);
            } else {
                place += 1;
            }
        }
    }

    /// A client of an ordinary minute: what one of its requests looked like, and what one that it came for.
    pub(crate) fn offer(
        &mut self,
        identity: u64,
        (attributes, came_for): (&Attributes, &Attributes),
        hour: u8,
    ) {
        let (came_for, minute) = (*came_for, self.minute);
        let row = Row { identity, attributes: *attributes, came_for, minute, hour };
        if let Some(place) = usize::from(self.index[self.slot(identity)]).checked_sub(1) {
            // Known: what it looked like last. Its prefix may have changed, and then it has to fit there;
            // where it was it fits, however full that is.
            if prefix_slot(&self.rows[place].attributes) == prefix_slot(attributes) {
                self.rows[place] = row;
                return;
            }
            self.remove(place);
            if self.has_room_for(attributes) {
                self.insert(row);
            }
            return;
        }
        self.offered += 1.0;
        if !self.has_room_for(attributes) {
            return;
        }
        if self.rows.len() >= ENOUGH {
            if self.intake < 1.0 {
                return;
            }
            self.intake -= 1.0;
        }
        if self.rows.len() == MAX_ROWS {
            if self.unit() * self.offered > MAX_ROWS as f64 {
                return;
            }
            let place = (self.unit() * MAX_ROWS as f64) as usize;
            self.remove(place.min(MAX_ROWS - 1));
        }
        self.insert(row);
    }

    /// What those look like with whom now is compared: of the same hour of the week first.
    pub(crate) fn compared(&self, hour: u8, out: &mut Compared) {
        out.clear();
        let is_near = |row: &&Row| {
            let apart = row.hour.abs_diff(hour);
            apart.min(168 - apart.min(168)) <= 1
        };
        if self.rows.len() <= MAX_COMPARED {
            out.extend(self.rows.iter());
            return;
        }
        out.extend(self.rows.iter().filter(is_near).take(MAX_COMPARED));
        // Rows lie in no order, so every so-many-th of the others is a fair choice of them.
        let (near, wanted) = (out.len(), MAX_COMPARED - out.len());
        let others = self.rows.len() - near;
        let far = self.rows.iter().filter(|row| !is_near(row)).enumerate();
        let chosen =
            far.filter(|(place, _)| (place + 1) * wanted / others > place * wanted / others);
        out.extend(chosen.take(wanted).map(|(_, row)| row));
    }

    /// From rows that were kept, `offered` clients ago.
    pub(crate) fn restore(&mut self, rows: &[Row], minute: u32, offered: f64) {
        self.minute = minute;
        // The bound is that of all of them: of the first hundred, two percent would be two.
        let (rows, most) = (&rows[..rows.len().min(MAX_ROWS)], most_of_prefix(rows.len()));
        for row in rows {
            let is_room = self.prefixes[prefix_slot(&row.attributes)] < most;
            if is_room && !self.knows(row.identity) {
                self.insert(*row);
            }
        }
        self.offered = offered.max(self.rows.len() as f64);
    }

    pub(crate) const fn offered(&self) -> f64 {
        self.offered
    }

    fn has_room_for(&self, attributes: &Attributes) -> bool {
        self.prefixes[prefix_slot(attributes)] < most_of_prefix(self.rows.len())
    }

    fn insert(&mut self, row: Row) {
        let slot = self.slot(row.identity);
        self.rows.push(row);
        self.index[slot] = self.rows.len() as u16;
        self.prefixes[prefix_slot(&row.attributes)] += 1;
    }

    fn remove(&mut self, place: usize) {
        let row = self.rows[place];
        self.prefixes[prefix_slot(&row.attributes)] -= 1;
        let slot = self.slot(row.identity);
        self.free(slot);
        let last = self.rows.len() - 1;
        if place != last {
            let slot = self.slot(self.rows[last].identity);
            self.index[slot] = place as u16 + 1;
        }
        self.rows.swap_remove(place);
    }

    /// Takes a slot out of the index and closes the gap: those behind it move up as far as they may.
    fn free(&mut self, mut gap: usize) {
        self.index[gap] = 0;
        let mut slot = gap;
        loop {
            slot = (slot + 1) % INDEX;
            let Some(place) = usize::from(self.index[slot]).checked_sub(1) else { return };
            let home = place_of(self.rows[place].identity) as usize % INDEX;
            // Whether the gap lies on the way from its home to where it is.
            if (slot + INDEX - home) % INDEX >= (slot + INDEX - gap) % INDEX {
                self.index[gap] = self.index[slot];
                self.index[slot] = 0;
                gap = slot;
            }
        }
    }

    fn slot(&self, identity: u64) -> usize {
        let mut slot = place_of(identity) as usize % INDEX;
        loop {
            match usize::from(self.index[slot]).checked_sub(1) {
                Some(place) if self.rows[place].identity != identity => slot = (slot + 1) % INDEX,
                _ => return slot,
            }
        }
    }

    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (fold(self.random, 0xd134_2543_de82_ef95) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How many of `rows` may have one prefix.
fn most_of_prefix(rows: usize) -> u16 {
    ((MAX_SHARE * rows as f64) as u16).max(MIN_OF_PREFIX)
}

/// Attributes without a prefix share a slot, as if they all had one: behind a proxy there is no bound.
fn prefix_slot(attributes: &Attributes) -> usize {
    let value = u64::from(attributes.value(Attribute::Prefix));
    place_of(value.wrapping_mul(0xd134_2543_de82_ef95)) as usize % PREFIXES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(prefix: u32, kind: u32) -> Attributes {
        let mut attributes = Attributes::default();
        attributes.set(Attribute::Prefix, prefix.max(1));
        attributes.set(Attribute::UserAgent, kind);
        attributes
    }

    fn hash(number: u64) -> u64 {
        fold(number.wrapping_add(77), 0xd134_2543_de82_ef95).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Offers somebody all of whose requests look alike.
    fn offer(baseline: &mut Baseline, identity: u64, looks: &Attributes, hour: u8) {
        baseline.offer(identity, (looks, looks), hour);
    }

    /// Half an hour at a time: `readers` new readers an hour from as many places, for `hours`.
    fn live(baseline: &mut Baseline, from: u64, hours: u64, readers: u64) {
        for minute in 0..hours * 60 {
            baseline.age(1);
            for reader in 0..readers / 60 {
                let number = from + minute * (readers / 60) + reader;
                offer(baseline, hash(number), &looks(hash(number) as u32, 1), 0);
            }
        }
    }

    fn share(baseline: &Baseline, kind: u32) -> f64 {
        let is_it = |row: &&Row| row.attributes.value(Attribute::UserAgent) == kind;
        baseline.rows.iter().filter(is_it).count() as f64 / baseline.len() as f64
    }

    #[test]
    fn one_client_is_one_row_however_often_it_comes() {
        let mut baseline = Baseline::new(1);
        (0..1_000).for_each(|_| offer(&mut baseline, 7, &looks(1, 1), 0));
        assert_eq!(baseline.len(), 1);
        assert!(baseline.knows(7) && !baseline.knows(8));
    }

    #[test]
    fn one_prefix_is_two_percent() {
        let mut baseline = Baseline::new(1);
        live(&mut baseline, 0, 10, 600);
        let before = baseline.len();
        (0..5_000).for_each(|client| offer(&mut baseline, hash(1 << 40 | client), &looks(5, 2), 0));
        assert!((baseline.len() - before) as f64 <= MAX_SHARE * baseline.len() as f64);
    }

    /// Readers from everywhere, and as many as may be from one prefix.
    fn with_a_full_prefix() -> Baseline {
        let mut baseline = Baseline::new(1);
        live(&mut baseline, 0, 3, 900);
        (0..5_000).for_each(|client| offer(&mut baseline, hash(1 << 40 | client), &looks(5, 2), 0));
        assert!(!baseline.has_room_for(&looks(5, 2)));
        baseline
    }

    #[test]
    fn who_comes_again_keeps_its_place_however_full_its_prefix_is() {
        let mut baseline = with_a_full_prefix();
        let before = baseline.len();
        for row in baseline.rows.clone() {
            offer(&mut baseline, row.identity, &row.attributes, 9);
        }
        assert_eq!(baseline.len(), before);
        assert!(baseline.rows.iter().all(|row| row.hour == 9));
    }

    #[test]
    fn what_was_kept_is_restored_whole_in_whatever_order_it_was_kept() {
        let kept = with_a_full_prefix();
        let mut rows = kept.rows.clone();
        for _ in 0..2 {
            rows.reverse();
            let mut restored = Baseline::new(2);
            restored.restore(&rows, kept.minute, kept.offered);
            assert_eq!(restored.len(), kept.len());
        }
        // And of what could not be kept, no more than may be.
        let mut forged = rows.clone();
        for (number, row) in forged.iter_mut().enumerate() {
            (row.identity, row.attributes) = (hash(1 << 50 | number as u64), looks(5, 2));
        }
        let mut restored = Baseline::new(2);
        restored.restore(&forged, kept.minute, kept.offered);
        assert_eq!(restored.len(), usize::from(most_of_prefix(forged.len())));
    }

    #[test]
    fn who_is_not_seen_for_a_week_is_forgotten() {
        let mut baseline = Baseline::new(1);
        live(&mut baseline, 0, 1, 600);
        assert!(baseline.len() > 500);
        baseline.age(WEEK - 120);
        assert!(baseline.len() > 500);
        baseline.age(200);
        assert_eq!(baseline.len(), 0);
    }

    #[test]
    fn a_day_of_poison_is_a_quarter_at_most_and_in_proportion_where_readers_come_too() {
        let mut baseline = Baseline::new(1);
        live(&mut baseline, 0, 150, 120);
        assert!(baseline.len() > ENOUGH, "{}", baseline.len());
        let mut alone = baseline.clone();
        // A botnet of 100,000 in as many prefixes, each of which looks at a page in peace.
        for minute in 0..1_440u64 {
            alone.age(1);
            for client in 0..70 {
                let number = 1 << 50 | (minute * 70 + client);
                offer(&mut alone, hash(number), &looks(hash(number) as u32, 2), 0);
            }
        }
        let poisoned = share(&alone, 2);
        assert!(poisoned > 0.01 && poisoned <= DAILY_INTAKE * 1.1, "{poisoned}");
    }

    #[test]
    fn the_index_holds_through_a_hundred_thousand_exchanges() {
        let mut baseline = Baseline::new(3);
        for number in 0..200_000u64 {
            if number % 40 == 0 {
                baseline.age(1);
            }
            offer(&mut baseline, hash(number % 60_000), &looks(hash(number) as u32, 1), 0);
        }
        assert!(baseline.len() <= MAX_ROWS && baseline.len() >= ENOUGH);
        let rows = baseline.rows.clone();
        for (place, row) in rows.iter().enumerate() {
            assert_eq!(usize::from(baseline.index[baseline.slot(row.identity)]), place + 1);
        }
        let indexed = baseline.index.iter().filter(|slot| **slot != 0).count();
        let counted: u32 = baseline.prefixes.iter().map(|count| u32::from(*count)).sum();
        assert_eq!((indexed, counted as usize), (rows.len(), rows.len()));
    }

    #[test]
    fn the_same_hour_of_the_week_comes_first() {
        let mut baseline = Baseline::new(1);
        for number in 0..MAX_ROWS as u64 {
            baseline.age(u32::from(number % 8 == 0));
            let (kind, hour) = if number % 4 == 0 { (2, 30) } else { (1, 100) };
            offer(&mut baseline, hash(number), &looks(hash(number) as u32, kind), hour);
        }
        let near = baseline.rows.iter().filter(|row| row.hour == 30).count();
        let mut compared = Compared::new();
        baseline.compared(31, &mut compared);
        let out = compared.clients().requests;
        let of_hour = out.iter().filter(|row| row.value(Attribute::UserAgent) == 2).count();
        assert_eq!(of_hour, near);
        assert!(
            out.len() <= MAX_COMPARED && baseline.len() <= MAX_COMPARED
                || out.len() == MAX_COMPARED
        );
    }
}
