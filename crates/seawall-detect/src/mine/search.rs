//! Steps 2 to 5: all conjunctions of up to three values, the best of them made longer, and which of all
//! those may be used.
//!
//! A conjunction is used if it is no coincidence, if few enough ordinary clients match, and if every one
//! of its values is needed: one that does not cut collateral by 30 % only makes it brittle. What is
//! left out for that is found in its shorter form.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::RangeInclusive;

use libm::{fmin, log};

use super::conjunctions::MAX_THINGS;
use super::side::each_bit;
use super::{Counted, MAX_COLLATERAL, MAX_LN_P, MIN_EXCESS_PER_S, MIN_GAIN, Miner, Round, part};
use crate::statistics::{CONFIDENCE, clopper_pearson_upper, wilson_upper};

/// How many conjunctions are made longer.
const BEAM: usize = 32;

/// Lengths that are reached by making shorter ones longer.
const WIDE: RangeInclusive<u32> = 4..=5;

/// An attribute stays if the bound on collateral with it is at most this part of the bound without.
const NEEDED: f64 = 0.7;

/// What a term more costs, and what collateral does (detection.md §2.4, step 5).
const TERM_COST: f64 = 0.15;
const COLLATERAL_COST: f64 = 50.0;

/// Conjunctions with fewer rows are not looked at: one reader who loads one page makes as many.
const MIN_ROWS: f64 = 8.0;

/// So many that may be used are kept for the choice; of more, the better half.
const MAX_FOUND: usize = 4_096;

/// Of those with more than three values, so many: each costs intersections.
const MAX_WIDE: usize = 2 * BEAM;

/// A conjunction and how it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Places of its values.
    pub(super) mask: u64,
    pub(super) counted: Counted,
    /// Upper bound; a little above the exact one where an attribute is not known of every client.
    collateral: f64,
    ln_lift: f64,
    score: f64,
}

impl Found {
    /// Its score if it explains `coverage` of the excess.
    pub(super) fn score(&self, coverage: f64) -> f64 {
        let more_terms = f64::from(self.mask.count_ones().saturating_sub(1));
        coverage * self.ln_lift - TERM_COST * more_terms - COLLATERAL_COST * self.collateral
    }

    /// Best first; never equal for two.
    pub(super) fn before(score: f64, mask: u64, other_score: f64, other_mask: u64) -> Ordering {
        other_score
            .total_cmp(&score)
            .then(mask.count_ones().cmp(&other_mask.count_ones()))
            .then(mask.reverse_bits().cmp(&other_mask.reverse_bits()).reverse())
    }

    fn order(&self, other: &Self) -> Ordering {
        Self::before(self.score, self.mask, other.score, other.mask)
    }
}

/// The search, with its memory.
#[derive(Debug)]
pub(super) struct Search {
    found: Vec<Found>,
    beam: Vec<Found>,
    next_beam: Vec<Found>,
    wide: Vec<Found>,
    bounds: Bounds,
    /// ln(k + ½).
    ln_half: Vec<f64>,
}

impl Search {
    pub(super) fn new() -> Self {
        Self {
            found: Vec::with_capacity(MAX_FOUND + MAX_WIDE),
            beam: Vec::with_capacity(BEAM + 1),
            next_beam: Vec::with_capacity(BEAM + 1),
            wide: Vec::with_capacity(MAX_WIDE + 1),
            bounds: Bounds::new(),
            ln_half: (0..=Miner::MAX_BASELINE).map(|k| log(k as f64 + 0.5)).collect(),
        }
    }

    /// What may be used, in no order.
    pub(super) fn found(&self) -> &[Found] {
        &self.found
    }

    /// Looks for what may be used in `round`.
    pub(super) fn find(&mut self, round: &Round<'_>) {
        self.found.clear();
        self.beam.clear();
        self.bounds.set(round.baseline.rows(), round.now.rows(), round.tried);
        let least = least_rows(round);
        round.now.table().at_least(least, round.values.len(), |mask, _| {
            let counted = round.counted(mask);
            if self.is_needed(round, mask, counted) {
                self.offer(round, mask, counted);
            }
        });
    }

    /// Makes the best that still meet ordinary clients longer, up to five values.
    pub(super) fn extend(&mut self, round: &mut Round<'_>) {
        let least = u32::from(least_rows(round));
        self.wide.clear();
        for _ in WIDE {
            if self.beam.is_empty() {
                break;
            }
            round.now.intersectable();
            round.baseline.intersectable();
            round.known.intersectable();
            core::mem::swap(&mut self.beam, &mut self.next_beam);
            self.beam.clear();
            for parent in 0..self.next_beam.len() {
                let parent = self.next_beam[parent];
                self.lengthen(round, &parent, least);
            }
        }
        self.found.extend_from_slice(&self.wide);
    }

    fn lengthen(&mut self, round: &mut Round<'_>, parent: &Found, least: u32) {
        let attributes = round.values.attributes(parent.mask);
        round.now.narrow(parent.mask);
        round.baseline.narrow(parent.mask);
        if !round.all_is_known {
            round.known.narrow(attributes);
        }
        let barred = round.values.of_the_same_attributes(parent.mask) | round.values.alone();
        let places = 64 - round.values.len() as u32;
        each_bit(!barred & (u64::MAX >> places), |place| {
            let mask = parent.mask | 1 << place;
            let now = round.now.also(place);
            if now < least {
                return;
            }
            let clients = if round.all_is_known {
                round.known.rows()
            } else {
                round.known.also(round.values.term(place).attribute.index())
            };
            let baseline = round.baseline.also(place);
            let counted = Counted { now, rows: round.now.rows(), baseline, clients };
            if self.is_needed(round, mask, counted) {
                self.offer(round, mask, counted);
            }
        });
    }

    /// Whether the conjunction is more frequent now, and each of its values cuts collateral by as much
    /// as it has to.
    fn is_needed(&mut self, round: &Round<'_>, mask: u64, counted: Counted) -> bool {
        let is_more = u64::from(counted.now) * u64::from(counted.clients)
            > u64::from(counted.baseline) * u64::from(counted.rows);
        if !is_more {
            return false;
        }
        let bound = self.bounds.upper(counted.baseline, counted.clients);
        let mut is_needed = true;
        if mask.count_ones() > 1 {
            each_bit(mask, |place| {
                if is_needed {
                    let without = mask & !(1 << place);
                    let clients = round.clients(without);
                    let before = self.bounds.upper(round.baseline.count(without), clients);
                    is_needed = bound <= NEEDED * before;
                }
            });
        }
        is_needed
    }

    /// Keeps a conjunction if it may be used, and for making it longer if that could help.
    fn offer(&mut self, round: &Round<'_>, mask: u64, counted: Counted) {
        let ln = |count: u32| self.ln_half[(count as usize).min(Miner::MAX_BASELINE)];
        let ln_lift =
            ln(counted.now) - ln(counted.rows) - ln(counted.baseline) + ln(counted.clients);
        let collateral = self.bounds.upper(counted.baseline, counted.clients);
        let mut found = Found { mask, counted, collateral, ln_lift, score: 0.0 };
        found.score = found.score(part(counted.excess(round.volume), round.excess));
        let len = mask.count_ones();
        if len >= *WIDE.start() - 1 && counted.baseline > 0 {
            keep(&mut self.beam, BEAM, found);
        }
        let is_little = counted.excess(round.volume) < MIN_EXCESS_PER_S;
        if is_little || collateral > MAX_COLLATERAL || !self.bounds.is_significant(counted) {
            return;
        }
        if WIDE.contains(&len) {
            keep(&mut self.wide, MAX_WIDE, found);
            return;
        }
        if self.found.len() == MAX_FOUND {
            self.found.select_nth_unstable_by(MAX_FOUND / 2, Found::order);
            self.found.truncate(MAX_FOUND / 2);
        }
        self.found.push(found);
    }
}

/// Puts `found` among the best `max` of `all`, once.
fn keep(all: &mut Vec<Found>, max: usize, found: Found) {
    if all.len() == max && all.last().is_some_and(|last| last.score > found.score) {
        return;
    }
    let place = all.partition_point(|other| other.order(&found).is_lt());
    if place < max && all.get(place).is_none_or(|other| other.mask != found.mask) {
        all.insert(place, found);
        all.truncate(max);
    }
}

/// How many conjunctions a round with so many `values` tries, `tested` single ones having been compared
/// with the baseline to choose them.
pub(super) fn tried(tested: u64, values: usize) -> u64 {
    let n = values as u64;
    let pairs = n * n.saturating_sub(1) / 2;
    let triples = pairs * n.saturating_sub(2) / 3;
    tested + pairs + triples + 2 * BEAM as u64 * n
}

/// Rows that a conjunction must have to explain as much as a mitigation must.
fn least_rows(round: &Round<'_>) -> u16 {
    let share = fmin(MIN_GAIN * round.excess / round.volume.now_per_s, 1.0);
    let rows = libm::ceil(share * f64::from(round.now.rows()));
    libm::fmax(rows, MIN_ROWS) as u16
}

/// Upper bounds on collateral for one size of the baseline, and how many rows of now are no coincidence;
/// worked out when first asked for.
#[derive(Debug)]
struct Bounds {
    clients: u32,
    rows: u32,
    tried: u64,
    /// By hits; not a number where it was not asked for yet.
    exact: Vec<f64>,
    /// For a few numbers of clients, by hits; 0 where it was not asked for yet.
    least_rows: [(u32, Vec<u32>); Bounds::BASELINES],
}

impl Bounds {
    /// Exact bounds are for what could be used; beyond, order is enough.
    const MAX_EXACT: usize = 256;

    /// Of whom all is known, of whom only what a log tells, and two between.
    const BASELINES: usize = 4;

    fn new() -> Self {
        let least_rows = core::array::from_fn(|_| (0, vec![0; Self::MAX_EXACT]));
        Self { clients: 0, rows: 0, tried: 0, exact: vec![f64::NAN; Self::MAX_EXACT], least_rows }
    }

    fn set(&mut self, clients: u32, rows: u32, tried: u64) {
        if self.clients != clients {
            self.exact.fill(f64::NAN);
        }
        if (self.clients, self.rows, self.tried) != (clients, rows, tried) {
            self.least_rows.iter_mut().for_each(|(clients, _)| *clients = 0);
        }
        (self.clients, self.rows, self.tried) = (clients, rows, tried);
    }

    /// Whether `counted` is no coincidence. More rows with the same hits are less of one, so that for
    /// each number of hits there is a least number of rows.
    fn is_significant(&mut self, counted: Counted) -> bool {
        let tried = self.tried;
        let passes = |now| Counted { now, ..counted }.ln_p(tried) < MAX_LN_P;
        let memory =
            self.least_rows.iter_mut().find(|(clients, _)| [counted.clients, 0].contains(clients));
        let Some((clients, by_hits)) = memory else { return passes(counted.now) };
        if *clients == 0 {
            *clients = counted.clients;
            by_hits.fill(0);
        }
        let Some(least) = by_hits.get_mut(counted.baseline as usize) else {
            return passes(counted.now);
        };
        if *least == 0 {
            let (mut fails, mut high) = (0, counted.rows + 1);
            while fails + 1 < high {
                let middle = u32::midpoint(fails, high);
                if passes(middle) { high = middle } else { fails = middle }
            }
            *least = high;
        }
        counted.now >= *least
    }

    /// The bound for `hits` of `clients`. Where those are not all, it is scaled: the bound on a small
    /// number of hits hardly depends on of how many, and what does errs upwards.
    fn upper(&mut self, hits: u32, clients: u32) -> f64 {
        if clients == 0 {
            return 1.0;
        }
        let scale = f64::from(self.clients) / f64::from(clients);
        let bound = match self.exact.get_mut(hits as usize) {
            Some(bound) => {
                if bound.is_nan() {
                    *bound = clopper_pearson_upper(hits, self.clients, CONFIDENCE);
                }
                *bound
            }
            None => wilson_upper(hits, self.clients),
        };
        fmin(bound * scale, 1.0)
    }
}

const _: () = assert!(MAX_THINGS == u64::BITS as usize);
