//! What a request costs an origin, by template: a fixed table of measured latencies.
//!
//! A template is what [`crate::Templater`] makes of a path and a query. For each the table keeps the
//! median latency *at low load*, so that a busy origin does not make its pages look dear, and so that
//! the limiter can tell queueing from a page that is slow by nature. Separate from the limiter because
//! the gate asks it too, for who may hold how many permits.
//!
//! Fixed size, four ways to a set; it never grows. Overflow policy: the least used of a set is
//! forgotten and counted; an unknown template costs what the median one does. It does **not** know
//! requests, clients or time.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

/// The measured costs of an origin's templates.
#[derive(Debug)]
pub struct TemplateCosts {
    slots: Box<[Slot]>,
    /// Room for finding the median without allocating.
    scratch: Vec<f32>,
    median_us: f32,
    /// Median latency of all at low load, whatever they asked for.
    overall_us: f32,
    until_median: u32,
    evictions: u64,
    /// Templates seen often enough to be believed, and of these the ones that mostly fail.
    known: u32,
    failing: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// 0: empty.
    template: u64,
    /// Median latency at low load, microseconds.
    base_us: f32,
    /// Part of the requests at low load that failed, decayed.
    errors: f32,
    /// How often it was seen; halved when it has to compete for its place.
    uses: u32,
}

impl TemplateCosts {
    /// Room for `max_templates`, rounded up to a multiple of four and at least four.
    pub fn new(max_templates: usize) -> Self {
        let slots = max_templates.clamp(WAYS, MAX_SLOTS).next_multiple_of(WAYS);
        Self {
            slots: vec![Slot::default(); slots].into_boxed_slice(),
            scratch: Vec::with_capacity(slots),
            median_us: 0.0,
            overall_us: 0.0,
            until_median: MEDIAN_EVERY,
            evictions: 0,
            known: 0,
            failing: 0,
        }
    }

    /// Templates forgotten to make room for others.
    pub const fn evictions(&self) -> u64 {
        self.evictions
    }

    /// What `template` takes of an idle origin, if it is known. O(1).
    pub fn latency(&self, template: u64) -> Option<Duration> {
        let slot = self.find(template).filter(|slot| slot.base_us > 0.0)?;
        Some(Duration::from_micros(slot.base_us as u64))
    }

    /// The cost of `template` in ordinary requests: 1 for the median template and for one not known,
    /// from 1/4 to 16. O(1).
    pub fn relative(&self, template: u64) -> f32 {
        match self.find(template) {
            Some(slot)
                if slot.uses >= TRUSTED_USES && slot.base_us > 0.0 && self.median_us > 0.0 =>
            {
                (slot.base_us / self.median_us).clamp(0.25, 16.0)
            }
            _ => 1.0,
        }
    }

    /// Whether `template` costs more than five times the median one. O(1).
    pub fn is_expensive(&self, template: u64) -> bool {
        self.relative(template) > EXPENSIVE
    }

    /// Whether `template` mostly fails at low load as well while others do not, so that one more
    /// failure says nothing about the load. Where most templates fail it is the origin, and the
    /// failures of each count. O(1).
    pub(crate) fn fails_always(&self, template: u64) -> bool {
        self.failing * 2 <= self.known && self.find(template).is_some_and(Slot::is_failing)
    }

    /// Notes how an answer ended.
    pub(crate) fn note_answer(&mut self, template: u64, answered: Answered, load: Load) {
        let Some(slot) = self.slot_mut(template) else { return };
        let before = *slot;
        slot.uses = slot.uses.saturating_add(1);
        if load == Load::Low {
            let error = if answered == Answered::Well { 0.0 } else { 1.0 };
            slot.errors += (error - slot.errors) / 16.0;
        }
        let after = *slot;
        self.count(before, after);
    }

    /// Keeps the numbers of known and failing templates true when a slot changes.
    fn count(&mut self, before: Slot, after: Slot) {
        self.known += u32::from(after.is_known());
        self.known -= u32::from(before.is_known());
        self.failing += u32::from(after.is_failing());
        self.failing -= u32::from(before.is_failing());
    }

    /// Takes one successful latency. Returns it as a multiple of what the template takes at low load, or
    /// what all do, if that is not known: a flood of pages that nobody asked for before must not look
    /// like an origin at ease. O(1), no allocation.
    pub(crate) fn note_latency(&mut self, template: u64, latency_us: f32, load: Load) -> f32 {
        self.recompute_median();
        let latency_us = latency_us.max(1.0);
        if load == Load::Low || self.overall_us == 0.0 {
            track_median(&mut self.overall_us, latency_us, 0.08);
        }
        let overall_us = self.overall_us;
        let Some(slot) = self.slot_mut(template) else { return latency_us / overall_us };
        if load == Load::Low {
            let step = if slot.uses < 16 { 0.16 } else { 0.08 };
            track_median(&mut slot.base_us, latency_us, step);
        }
        let known = slot.uses >= TRUSTED_USES && slot.base_us > 0.0;
        latency_us / if known { slot.base_us } else { overall_us }
    }

    fn recompute_median(&mut self) {
        self.until_median -= 1;
        if self.until_median > 0 {
            return;
        }
        self.until_median = MEDIAN_EVERY;
        self.scratch.clear();
        // Over templates and not over requests: whoever asks a thousand times for one page must not
        // decide what counts as dear. Seen often, or random paths would.
        let known = self
            .slots
            .iter()
            .filter(|slot| slot.template != 0 && slot.uses >= TRUSTED_USES && slot.base_us > 0.0);
        self.scratch.extend(known.map(|slot| slot.base_us));
        if self.scratch.is_empty() {
            return;
        }
        let middle = self.scratch.len() / 2;
        let (_, median, _) = self.scratch.select_nth_unstable_by(middle, f32::total_cmp);
        self.median_us = *median;
    }

    fn set(&self, template: u64) -> usize {
        let sets = (self.slots.len() / WAYS) as u64;
        // Multiply and shift instead of a division; the hash is keyed, so its bits are good.
        usize::try_from(((template >> 32) * sets) >> 32).unwrap_or(0) * WAYS
    }

    fn find(&self, template: u64) -> Option<&Slot> {
        let template = template.max(1);
        let start = self.set(template);
        self.slots[start..start + WAYS].iter().find(|slot| slot.template == template)
    }

    /// The slot of `template`, made if need be. `None`: everything in its set is used more.
    fn slot_mut(&mut self, template: u64) -> Option<&mut Slot> {
        let template = template.max(1);
        let start = self.set(template);
        let ways = start..start + WAYS;
        if let Some(at) = ways.clone().find(|&at| self.slots[at].template == template) {
            return Some(&mut self.slots[at]);
        }
        let at = ways.min_by_key(|&at| self.slots[at].uses).unwrap_or(start);
        if self.slots[at].uses > 1 {
            // A newcomer wears the others down: templates that are gone give way in the end, and one
            // that is in use gains faster than that.
            let before = self.slots[at];
            self.slots[at].uses -= 1;
            self.count(before, self.slots[at]);
            return None;
        }
        if self.slots[at].template != 0 {
            self.evictions += 1;
        }
        // It was seen once at most, so it counted as neither known nor failing.
        self.slots[at] = Slot { template, ..Slot::default() };
        Some(&mut self.slots[at])
    }
}

impl Slot {
    /// Whether it was seen often enough to be believed.
    const fn is_known(&self) -> bool {
        self.uses >= TRUSTED_USES
    }

    /// Whether it is known to fail most of the time at low load.
    fn is_failing(&self) -> bool {
        self.is_known() && self.errors > 0.5
    }
}

/// Moves `median` towards `value` by a fixed part: a mean would follow outliers, and an attacker can make
/// outliers.
fn track_median(median: &mut f32, value: f32, step: f32) {
    if *median == 0.0 {
        *median = value;
    } else {
        *median *= if value > *median { 1.0 + step } else { 1.0 / (1.0 + step) };
    }
}

/// How an answer ended, as far as the table of costs goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Well,
    /// With a server error, or not in time.
    Failed,
}

/// How loaded the origin was while it worked on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// At most half of what it may bear.
    Low,
    High,
}

const WAYS: usize = 4;
/// A typing error is not an allocation.
const MAX_SLOTS: usize = 1 << 20;
/// Observations between two looks at the median: 2,048 slots take about 10 us.
const MEDIAN_EVERY: u32 = 64;
/// Observations before a template's cost is believed.
const TRUSTED_USES: u32 = 8;
/// Beyond this multiple of the median a template is expensive (`detection.md` §6).
const EXPENSIVE: f32 = 5.0;

#[cfg(test)]
mod tests {
    use super::{Answered, Load, TemplateCosts};

    const PAGE: u64 = 1 << 40;
    const SEARCH: u64 = 2 << 50;

    fn see(costs: &mut TemplateCosts, template: u64, latency_us: f32, times: u32) {
        for _ in 0..times {
            costs.note_answer(template, Answered::Well, Load::Low);
            costs.note_latency(template, latency_us, Load::Low);
        }
    }

    #[test]
    fn a_search_that_takes_six_times_the_median_is_expensive() {
        let mut costs = TemplateCosts::new(64);
        for page in 0..3 {
            see(&mut costs, PAGE + (page << 56), 40_000.0, 100);
        }
        see(&mut costs, SEARCH, 240_000.0, 100);
        assert!(costs.is_expensive(SEARCH));
        assert!(!costs.is_expensive(PAGE));
        assert!((5.0..7.0).contains(&costs.relative(SEARCH)), "{}", costs.relative(SEARCH));
        assert_eq!(costs.relative(7 << 45), 1.0, "one not known costs what the median does");
    }

    #[test]
    fn load_does_not_make_a_page_dear() {
        let mut costs = TemplateCosts::new(64);
        see(&mut costs, PAGE, 40_000.0, 50);
        for _ in 0..1_000 {
            costs.note_answer(PAGE, Answered::Well, Load::Low);
            let ratio = costs.note_latency(PAGE, 120_000.0, Load::High);
            assert!((2.5..3.5).contains(&ratio), "{ratio}");
        }
    }

    #[test]
    fn pages_never_asked_for_before_do_not_look_like_an_origin_at_ease() {
        let mut costs = TemplateCosts::new(16);
        see(&mut costs, PAGE, 40_000.0, 50);
        for kind in 1..1_000u64 {
            let ratio = costs.note_latency(kind << 45 | kind, 120_000.0, Load::High);
            assert!((2.5..3.5).contains(&ratio), "{ratio}");
        }
    }

    #[test]
    fn random_paths_displace_each_other_and_not_what_is_used() {
        let mut costs = TemplateCosts::new(16);
        see(&mut costs, PAGE, 40_000.0, 1_000);
        let mut hash = 1u64;
        for _ in 0..10_000 {
            hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) | 1;
            see(&mut costs, hash, 1_000.0, 1);
            see(&mut costs, PAGE, 40_000.0, 1);
        }
        assert!(costs.latency(PAGE).is_some());
        assert!(costs.evictions() > 1_000, "counted: {}", costs.evictions());
    }

    #[test]
    fn a_template_that_always_fails_is_known_for_it_and_one_that_fails_under_load_is_not() {
        let mut costs = TemplateCosts::new(16);
        see(&mut costs, SEARCH, 40_000.0, 20);
        for _ in 0..40 {
            costs.note_answer(PAGE, Answered::Failed, Load::High);
        }
        assert!(!costs.fails_always(PAGE));
        for _ in 0..40 {
            costs.note_answer(PAGE, Answered::Failed, Load::Low);
        }
        assert!(costs.fails_always(PAGE));
        for _ in 0..40 {
            costs.note_answer(PAGE, Answered::Well, Load::Low);
        }
        assert!(!costs.fails_always(PAGE));
    }

    #[test]
    fn where_most_templates_fail_it_is_the_origin() {
        let mut costs = TemplateCosts::new(16);
        for _ in 0..40 {
            costs.note_answer(PAGE, Answered::Failed, Load::Low);
        }
        assert!(!costs.fails_always(PAGE), "the only one there is");
        see(&mut costs, SEARCH, 40_000.0, 20);
        assert!(costs.fails_always(PAGE), "one of two");
        for _ in 0..40 {
            costs.note_answer(SEARCH, Answered::Failed, Load::Low);
        }
        assert!(!costs.fails_always(PAGE) && !costs.fails_always(SEARCH), "both");
    }

    #[test]
    fn what_is_forgotten_no_longer_counts_as_known_or_failing() {
        let mut costs = TemplateCosts::new(4);
        for _ in 0..20 {
            costs.note_answer(PAGE, Answered::Failed, Load::Low);
        }
        for other in 1..=3 {
            see(&mut costs, PAGE + other, 40_000.0, 60);
        }
        assert_eq!((costs.known, costs.failing), (4, 1));
        for newcomer in 10..40u64 {
            costs.note_answer(PAGE + newcomer, Answered::Well, Load::Low);
        }
        assert!(costs.find(PAGE).is_none(), "newcomers wear down what is used least");
        assert_eq!((costs.known, costs.failing), (3, 0));
    }
}
