//! Whole observations, drawn evenly, but no network more than its part.
//!
//! Every observation gets a random priority, and the lowest stay: an even draw from a stream of any
//! length. Of one /24 or /48 only the lowest 2 % of the places count as such; what it has more of comes
//! behind everybody else's, and so stays only where there are no others. Which rows stay depends on
//! nothing but the priorities: it is the same in whatever order they came, and for several workers
//! together as for one.
//!
//! Rows are kept whole because any conjunction of attributes may be asked for afterwards. It
//! deliberately does **not** weigh rows. *Sources:* bottom-k sampling (Cohen and Kaplan, 2007);
//! detection.md §2.4.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use seawall_model::Observation;

/// A bounded, stratified, even sample of observations. Memory is taken once.
#[derive(Clone, Debug)]
pub struct Sample {
    rows: Vec<Observation>,
    marks: Vec<Mark>,
    /// Rows as a heap, the next to go on top.
    heap: Vec<u16>,
    /// First row of each chain of rows within their network's part, or [`NONE`].
    chains: Box<[u16]>,
    max_rows: usize,
    max_of_block: usize,
    /// The lowest priority that had to go, anywhere. What is not below it would be drawn more often
    /// than its like and does not stay.
    bound: u64,
    seen: u64,
}

/// What is known of a row beside what it says.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Lowest stays. The highest bit says that its network has more than its part already.
    priority: u64,
    /// Keyed hash of its /24 or /48.
    block: u64,
    /// Where it is in the heap.
    place: u16,
    /// The next row in its chain, or [`NONE`].
    next: u16,
}

impl Sample {
    /// What one /24 or /48 may have where there are others: 2 %.
    pub const MAX_SHARE_OF_BLOCK: f64 = 0.02;

    /// Room for `max_rows`, at most 32,768 and at least 1.
    pub fn new(max_rows: usize) -> Self {
        let max_rows = max_rows.clamp(1, 1 << 15);
        Self {
            rows: Vec::with_capacity(max_rows),
            marks: Vec::with_capacity(max_rows),
            heap: Vec::with_capacity(max_rows),
            chains: vec![NONE; max_rows.next_power_of_two()].into_boxed_slice(),
            max_rows,
            max_of_block: ((max_rows as f64 * Self::MAX_SHARE_OF_BLOCK) as usize).max(1),
            bound: u64::MAX,
            seen: 0,
        }
    }

    /// Offers one. `block` is a keyed hash of its /24 or /48, `random` 63 fresh bits. Says whether it
    /// is kept, for now. O(log rows), no allocation.
    #[inline]
    pub fn offer(&mut self, observation: &Observation, block: u64, random: u64) -> bool {
        self.seen += 1;
        let priority = random >> 1;
        // Nothing is beyond its part, and this is behind all that is kept.
        if self.is_full() && priority >= self.highest() {
            self.bound = self.bound.min(priority);
            return false;
        }
        self.admit(observation, block, priority)
    }

    /// Those kept, in no order.
    pub fn rows(&self) -> &[Observation] {
        &self.rows
    }

    /// Rows with the probability with which such a one comes into the sample: for any part of what was offered,
    /// the sum of `1/p` over its rows is right on average. Of a full sample the row that would go next is left
    /// out, and so is one of each network that has its part: theirs are the priorities that the others are
    /// compared with.
    ///
    /// *Why it is right* (rank conditioning, Cohen and Kaplan 2007, §4): what bounds a row does not depend on its own
    /// priority. Let `t` be the priority of the row that would go next, and `l` of the last one of a network
    /// within its part of `m` places; `l` of a network with fewer is above all. As long as nobody stays
    /// beyond his part, a row stays if it is below `t` and one of the first `m` of its network; we count the
    /// first `m - 1`: those below the smaller of `t` and `l`. Where some stay beyond their part, all within
    /// theirs do; then `t` bounds those beyond, and a row counts if it is below the larger of `t` and `l`. After a
    /// merge of samples of different sizes `t` is the lowest priority that had to go anywhere.
    pub fn drawn(&self) -> impl Iterator<Item = (&Observation, f64)> {
        let bound = self.threshold();
        let rows = self.rows.iter().zip(&self.marks);
        rows.filter_map(move |(row, mark)| Some((row, self.probability(mark, bound)?)))
    }

    /// How many were offered: what the rows stand for.
    pub const fn sampled_of(&self) -> u64 {
        self.seen
    }

    /// Adds what `other` kept, as if all had been offered here. No allocation.
    ///
    /// With more room here than there, what had to go there is missing: then only rows stay that would
    /// have stayed everywhere, so that a window with ten times the requests has ten times the rows.
    pub fn merge(&mut self, other: &Self) {
        self.seen += other.seen;
        self.bound = self.bound.min(other.bound);
        self.trim();
        for (row, mark) in other.rows.iter().zip(&other.marks) {
            self.admit(row, mark.block, mark.priority & !BEYOND);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.marks.clear();
        self.heap.clear();
        self.chains.fill(NONE);
        self.bound = u64::MAX;
        self.seen = 0;
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Observation>()
            + self.marks.capacity() * size_of::<Mark>()
            + self.heap.capacity() * size_of::<u16>()
            + size_of_val(&*self.chains)
    }

    /// What rows have to be below of, [`BEYOND`] included; `None` if nothing had to go.
    fn threshold(&self) -> Option<u64> {
        match self.rows.len() as u64 == self.seen {
            true => None,
            false if self.is_full() => Some(self.highest()),
            false => Some(self.bound),
        }
    }

    /// With what probability a row is counted; `None` if it is not.
    fn probability(&self, mark: &Mark, bound: Option<u64>) -> Option<f64> {
        let Some(bound) = bound else { return Some(1.0) };
        let (own, limit) = (mark.priority & !BEYOND, bound & !BEYOND);
        let (of_block, last) = self.within_part(mark.block);
        let last = last.filter(|_| of_block >= self.max_of_block);
        let last = last.map(|last| self.marks[usize::from(last)].priority);
        let below = match (bound & BEYOND == 0, last) {
            (true, last) => last.map_or(limit, |last| last.min(limit)),
            (false, Some(last)) => {
                // The last one within is bounded by those who stay beyond.
                let others = if own < last { last } else { 0 };
                others.max(limit)
            }
            (false, None) => return Some(1.0),
        };
        (own < below).then(|| below as f64 / BEYOND as f64)
    }

    fn is_full(&self) -> bool {
        self.rows.len() == self.max_rows
    }

    /// The priority of the next to go.
    fn highest(&self) -> u64 {
        self.marks[usize::from(self.heap[0])].priority
    }

    fn admit(&mut self, observation: &Observation, block: u64, mut priority: u64) -> bool {
        let (of_block, last) = self.within_part(block);
        if of_block >= self.max_of_block {
            let last = last.expect("a block that has its part has a last row");
            if priority > self.marks[usize::from(last)].priority {
                priority |= BEYOND;
            } else {
                self.move_beyond(last);
            }
        }
        let row = if priority >= self.bound {
            self.trim();
            return false;
        } else if !self.is_full() {
            self.push(observation, block)
        } else if priority < self.highest() {
            self.replace(observation, block)
        } else {
            self.bound = priority;
            return false;
        };
        self.marks[usize::from(row)].priority = priority;
        if priority & BEYOND == 0 {
            self.link(row);
        }
        let place = usize::from(self.marks[usize::from(row)].place);
        self.sift_down(place);
        self.sift_up(usize::from(self.marks[usize::from(row)].place));
        self.trim();
        true
    }

    /// Lets go what is not below the bound.
    fn trim(&mut self) {
        while !self.heap.is_empty() && self.highest() >= self.bound {
            self.drop_highest();
        }
    }

    fn drop_highest(&mut self) {
        let row = self.heap[0];
        if self.marks[usize::from(row)].priority & BEYOND == 0 {
            self.unlink(row);
        }
        self.swap(0, self.heap.len() - 1);
        self.heap.pop();
        if !self.heap.is_empty() {
            self.sift_down(0);
        }
        // The last row moves into the gap, and what points to it must follow.
        let moved = (self.rows.len() - 1) as u16;
        let is_linked = moved != row && self.marks[usize::from(moved)].priority & BEYOND == 0;
        if is_linked {
            self.unlink(moved);
        }
        self.rows.swap_remove(usize::from(row));
        self.marks.swap_remove(usize::from(row));
        if moved != row {
            self.heap[usize::from(self.marks[usize::from(row)].place)] = row;
        }
        if is_linked {
            self.link(row);
        }
    }

    fn push(&mut self, observation: &Observation, block: u64) -> u16 {
        let row = self.rows.len() as u16;
        self.rows.push(*observation);
        self.marks.push(Mark { priority: 0, block, place: row, next: NONE });
        self.heap.push(row);
        row
    }

    /// Puts another in the place of the next to go.
    fn replace(&mut self, observation: &Observation, block: u64) -> u16 {
        let row = self.heap[0];
        self.bound = self.bound.min(self.highest());
        if self.marks[usize::from(row)].priority & BEYOND == 0 {
            self.unlink(row);
        }
        self.rows[usize::from(row)] = *observation;
        self.marks[usize::from(row)].block = block;
        row
    }

    /// How many rows of `block` are within its part, and the one with the highest priority of them.
    fn within_part(&self, block: u64) -> (usize, Option<u16>) {
        let (mut count, mut last, mut highest) = (0, None, 0);
        let mut row = self.chains[self.chain_of(block)];
        while row != NONE {
            let mark = &self.marks[usize::from(row)];
            if mark.block == block {
                count += 1;
                if last.is_none() || mark.priority > highest {
                    (last, highest) = (Some(row), mark.priority);
                }
            }
            row = mark.next;
        }
        (count, last)
    }

    fn move_beyond(&mut self, row: u16) {
        self.unlink(row);
        let mark = &mut self.marks[usize::from(row)];
        mark.priority |= BEYOND;
        let place = usize::from(mark.place);
        self.sift_up(place);
    }

    fn chain_of(&self, block: u64) -> usize {
        block as usize & (self.chains.len() - 1)
    }

    fn link(&mut self, row: u16) {
        let chain = self.chain_of(self.marks[usize::from(row)].block);
        self.marks[usize::from(row)].next = self.chains[chain];
        self.chains[chain] = row;
    }

    fn unlink(&mut self, row: u16) {
        let chain = self.chain_of(self.marks[usize::from(row)].block);
        let after = self.marks[usize::from(row)].next;
        if self.chains[chain] == row {
            self.chains[chain] = after;
            return;
        }
        let mut at = self.chains[chain];
        while at != NONE {
            let mark = &mut self.marks[usize::from(at)];
            if mark.next == row {
                mark.next = after;
                return;
            }
            at = mark.next;
        }
        debug_assert!(false, "a row within its network's part is in its chain");
    }

    fn priority_at(&self, place: usize) -> u64 {
        self.marks[usize::from(self.heap[place])].priority
    }

    fn sift_up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.priority_at(parent) >= self.priority_at(place) {
                return;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let mut highest = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.heap.len() && self.priority_at(child) > self.priority_at(highest) {
                    highest = child;
                }
            }
            if highest == place {
                return;
            }
            self.swap(place, highest);
            place = highest;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.marks[usize::from(self.heap[a])].place = a as u16;
        self.marks[usize::from(self.heap[b])].place = b as u16;
    }
}

/// No row.
const NONE: u16 = u16::MAX;

/// Behind all who are within their network's part.
const BEYOND: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::keys::Keys;
    use crate::testing::page;

    fn row(number: u64) -> Observation {
        Observation { identity: number, ..page() }
    }

    /// The random bits of the row `number`.
    fn drawn(seed: u64, number: u64) -> u64 {
        Keys::new([seed, 5]).mix_well(number)
    }

    fn sampled(max_rows: usize, seed: u64, rows: impl IntoIterator<Item = (u64, u64)>) -> Sample {
        let mut sample = Sample::new(max_rows);
        for (number, block) in rows {
            sample.offer(&row(number), block, drawn(seed, number));
        }
        sample
    }

    fn numbers(sample: &Sample) -> Vec<u64> {
        let mut numbers: Vec<_> = sample.rows().iter().map(|row| row.identity).collect();
        numbers.sort_unstable();
        numbers
    }

    /// By the definition: all rows at once, sorted.
    fn by_definition(max_rows: usize, seed: u64, rows: &[(u64, u64)]) -> Vec<u64> {
        let part = ((max_rows as f64 * Sample::MAX_SHARE_OF_BLOCK) as usize).max(1);
        let mut ordered: Vec<_> = rows
            .iter()
            .map(|(number, block)| (drawn(seed, *number) >> 1, *number, *block))
            .collect();
        ordered.sort_unstable();
        let mut of_block: HashMap<u64, usize> = HashMap::new();
        let mut ranked: Vec<_> = ordered
            .into_iter()
            .map(|(priority, number, block)| {
                let before = of_block.entry(block).or_default();
                *before += 1;
                (*before > part, priority, number)
            })
            .collect();
        ranked.sort_unstable();
        let mut kept: Vec<_> =
            ranked.into_iter().take(max_rows).map(|(.., number)| number).collect();
        kept.sort_unstable();
        kept
    }

    fn rows() -> impl Strategy<Value = Vec<(u64, u64)>> {
        // Few networks with many rows, and many with few.
        prop::collection::vec(prop_oneof![0u64..3, 0u64..200], 0..700).prop_map(|blocks| {
            blocks.into_iter().enumerate().map(|(n, block)| (n as u64, block)).collect()
        })
    }

    proptest! {
        #[test]
        fn what_stays_depends_on_nothing_but_the_priorities(
            seed: u64, rows in rows(), split in 0usize..700, max_rows in 1usize..200,
        ) {
            let want = by_definition(max_rows, seed, &rows);
            prop_assert_eq!(numbers(&sampled(max_rows, seed, rows.iter().copied())), want.clone());
            let backwards = sampled(max_rows, seed, rows.iter().rev().copied());
            prop_assert_eq!(numbers(&backwards), want.clone());
            let (one, other) = rows.split_at(split.min(rows.len()));
            let mut ab = sampled(max_rows, seed, one.iter().copied());
            let mut ba = sampled(max_rows, seed, other.iter().copied());
            let a = ab.clone();
            ab.merge(&ba);
            ba.merge(&a);
            prop_assert_eq!(numbers(&ab), want.clone());
            prop_assert_eq!(numbers(&ba), want);
            prop_assert_eq!(ab.sampled_of(), rows.len() as u64);
        }
    }

    /// Eight windows of `counts` requests each, all of different networks, in one larger sample.
    fn together(counts: [u64; 8]) -> (Sample, Vec<u64>) {
        let mut all = Sample::new(4_096);
        let mut first = 0;
        let mut starts = Vec::new();
        for count in counts {
            starts.push(first);
            all.merge(&sampled(512, 1, (first..first + count).map(|n| (n, n))));
            first += count;
        }
        (all, starts)
    }

    /// What the sample says of how many rows there were of each of `groups`, for each of many seeds.
    fn estimates(
        max_rows: usize,
        rows: &[(u64, u64)],
        group: impl Fn(u64) -> usize,
    ) -> [Vec<f64>; 3] {
        let mut all = [Vec::new(), Vec::new(), Vec::new()];
        for seed in 0..600 {
            // Two workers, of whom one saw the first third.
            let (one, other) = rows.split_at(rows.len() / 3);
            let mut sample = sampled(max_rows, seed, one.iter().copied());
            sample.merge(&sampled(max_rows, seed, other.iter().copied()));
            let mut sums = [0.0; 3];
            for (row, p) in sample.drawn() {
                assert!(p > 0.0 && p <= 1.0);
                sums[group(rows[row.identity as usize].1)] += 1.0 / p;
            }
            all.iter_mut().zip(sums).for_each(|(all, sum)| all.push(sum));
        }
        all
    }

    /// Sums of 1/p are right on average: within five standard errors of the mean of 600.
    #[track_caller]
    fn check_unbiased(name: &str, max_rows: usize, blocks: impl Iterator<Item = u64>) {
        let rows: Vec<_> = blocks.enumerate().map(|(n, block)| (n as u64, block)).collect();
        let group = |block: u64| (block.min(2)) as usize;
        let totals = estimates(max_rows, &rows, group);
        for (which, all) in totals.iter().enumerate() {
            let truth = rows.iter().filter(|(_, block)| group(*block) == which).count() as f64;
            let count = all.len() as f64;
            let mean = all.iter().sum::<f64>() / count;
            let variance = all.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (count - 1.0);
            let error = (variance / count).sqrt().max(truth * 1e-9);
            assert!(
                (mean - truth).abs() <= 5.0 * error,
                "{name}, {which}: {mean} ± {error}, {truth}"
            );
        }
    }

    #[test]
    fn sums_over_rows_say_how_many_requests_there_were_of_whom() {
        let spread = |n: u64, every: u64| if n.is_multiple_of(every) { 2 + n } else { n % 2 };
        check_unbiased("all are kept", 512, (0..300).map(|n| spread(n, 3)));
        check_unbiased("each of a network of its own", 100, (0..1_500).map(|n| 2 + n));
        check_unbiased("two networks and few others", 200, (0..2_000).map(|n| spread(n, 40)));
        check_unbiased(
            "two networks and as many others as places",
            200,
            (0..2_000).map(|n| spread(n, 10)),
        );
        check_unbiased("two networks and many others", 200, (0..2_000).map(|n| spread(n, 3)));
        check_unbiased("one network alone", 150, (0..900).map(|_| 0));
        check_unbiased("a few networks of a dozen", 300, (0..1_200).map(|n| n % 100));
    }

    #[test]
    fn a_busier_window_has_more_of_the_rows_as_it_has_of_the_requests() {
        let (all, starts) = together([500, 500, 500, 500, 500, 500, 500, 5_000]);
        let of_last = all.rows().iter().filter(|row| row.identity >= starts[7]).count();
        let share = of_last as f64 / all.rows().len() as f64;
        assert!((share - 5_000.0 / 8_500.0).abs() < 0.06, "{share}");
        assert_eq!((of_last, all.sampled_of()), (512, 8_500));
        // The same with the busy one first: what comes later is held to the same bound.
        let (all, starts) = together([5_000, 500, 500, 500, 500, 500, 500, 500]);
        let of_first = all.rows().iter().filter(|row| row.identity < starts[1]).count();
        let share = of_first as f64 / all.rows().len() as f64;
        assert!((share - 5_000.0 / 8_500.0).abs() < 0.06, "{share}");
    }

    #[test]
    fn windows_that_kept_everything_lose_nothing_when_put_together() {
        let (all, _) = together([500; 8]);
        assert_eq!(all.rows().len(), 4_000);
        let (mut all, _) = together([500, 500, 500, 500, 500, 500, 500, 20_000]);
        assert!(all.rows().len() > 512 && all.rows().len() < 700);
        // Nothing is left that points to rows that went.
        for number in 0..30_000 {
            all.offer(&row(number), number % 9, drawn(3, number));
        }
        let mut places = all.heap.clone();
        places.sort_unstable();
        assert!(places.into_iter().eq(0..all.rows().len() as u16));
        for place in 1..all.heap.len() {
            assert!(all.priority_at((place - 1) / 2) >= all.priority_at(place));
        }
        assert!(all.highest() < all.bound);
    }

    #[test]
    fn one_network_has_two_per_cent_where_there_are_others() {
        // 20,000 requests from one network and 2,000 from others, each of its own.
        let rows = (0..22_000).map(|n| (n, if n % 11 == 0 { n } else { 1 }));
        let sample = sampled(512, 1, rows);
        let of_flood = sample.rows().iter().filter(|row| row.identity % 11 != 0).count();
        assert_eq!((sample.rows().len(), of_flood), (512, 10));
    }

    #[test]
    fn one_network_fills_the_sample_where_there_are_no_others() {
        let sample = sampled(512, 1, (0..5_000).map(|n| (n, 1)));
        assert_eq!(sample.rows().len(), 512);
        // Somebody else comes late, and finds room.
        let rows = (0..5_000).map(|n| (n, 1)).chain((5_000..5_100).map(|n| (n, n)));
        let sample = sampled(512, 1, rows);
        assert_eq!(sample.rows().iter().filter(|row| row.identity >= 5_000).count(), 100);
    }

    #[test]
    fn early_and_late_requests_are_drawn_evenly() {
        let mut by_tenth = [0u32; 10];
        for seed in 0..40 {
            for number in numbers(&sampled(128, seed, (0..2_000).map(|n| (n, n)))) {
                by_tenth[number as usize / 200] += 1;
            }
        }
        // 512 each; χ² with nine degrees of freedom is above 27.9 once in a thousand.
        let chi_squared: f64 =
            by_tenth.iter().map(|got| (f64::from(*got) - 512.0).powi(2) / 512.0).sum();
        assert!(chi_squared < 27.9, "{chi_squared}: {by_tenth:?}");
    }

    #[test]
    fn a_cleared_sample_takes_no_more_memory_and_draws_again() {
        let mut sample = sampled(512, 1, (0..5_000).map(|n| (n, n % 40)));
        let before = sample.heap_bytes();
        sample.clear();
        assert!(sample.rows().is_empty());
        for (number, block) in (0..5_000).map(|n| (n, n % 40)) {
            sample.offer(&row(number), block, drawn(2, number));
        }
        let want: Vec<_> = (0..5_000).map(|n| (n, n % 40)).collect();
        assert_eq!(numbers(&sample), by_definition(512, 2, &want));
        assert_eq!(sample.heap_bytes(), before);
    }
}
