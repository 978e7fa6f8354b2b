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

use crate::places::place;
use crate::speed::{BATCH, Speed, median};

/// The measured costs of an origin's templates.
#[derive(Debug)]
pub struct TemplateCosts {
    slots: Box<[Slot]>,
    /// Room for finding the median without allocating.
    scratch: Vec<f32>,
    median_us: f32,
    /// Median latency of all at low load, whatever they asked for; times `speed`, as with slots.
    overall_us: f32,
    /// What all of them take now, as a multiple of what is noted of them.
    speed: Speed,
    /// Latencies at low load that are not learnt from yet.
    batch: [Low; BATCH],
    batched: usize,
    /// Latencies at low load so far.
    lows: u64,
    until_median: u32,
    evictions: u64,
    /// Templates seen often enough to be believed, and of these the ones that mostly fail.
    known: u32,
    failing: u32,
    /// Those whose cost is believed.
    measured: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// 0: empty.
    template: u64,
    /// Median latency at low load, microseconds at a speed of 1.
    base_us: f32,
    /// Part of the requests at low load that failed, decayed.
    errors: f32,
    /// How often it was seen; less when it has to compete for its place.
    uses: u32,
    /// Latencies at low load learnt from.
    lows: u32,
    /// Answers to somebody who does not look like an attack.
    wanted: u32,
    /// Whether anything was learnt from it since [`TemplateCosts::rescale`] last did something.
    is_current: bool,
}

/// A latency at low load.
#[derive(Clone, Copy, Debug, Default)]
struct Low {
    template: u64,
    latency_us: f32,
    /// As a multiple of what is noted.
    ratio: f32,
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
            speed: Speed::new(),
            batch: [Low::default(); BATCH],
            batched: 0,
            lows: 0,
            until_median: MEDIAN_EVERY,
            evictions: 0,
            known: 0,
            failing: 0,
            measured: 0,
        }
    }

    /// Templates forgotten to make room for others.
    pub const fn evictions(&self) -> u64 {
        self.evictions
    }

    /// What `template` takes of an idle origin, if it is known. O(1).
    pub fn latency(&self, template: u64) -> Option<Duration> {
        let slot = self.find(template).filter(|slot| slot.base_us > 0.0)?;
        Some(Duration::from_micros((slot.base_us * self.speed.ratio()) as u64))
    }

    /// What a request takes of an idle origin, whatever it asks for; 0 if nothing is known.
    pub(crate) fn overall_us(&self) -> f32 {
        self.overall_us * self.speed.ratio()
    }

    /// What all templates take now, as a multiple of an arbitrary unit.
    pub(crate) const fn speed(&self) -> f32 {
        self.speed.ratio()
    }

    /// See [`Speed::doubt`] and [`Speed::len`].
    pub(crate) const fn doubt(&self) -> (f32, usize) {
        (self.speed.doubt(), self.speed.len())
    }

    /// Latencies at low load so far.
    pub(crate) const fn lows(&self) -> u64 {
        self.lows
    }

    /// The cost of `template` in ordinary requests: 1 for the median template and for one not known,
    /// from 1/4 to 16. O(1).
    pub fn relative(&self, template: u64) -> f32 {
        match self.find(template) {
            Some(slot) if slot.is_measured() && self.median_us > 0.0 => {
                (slot.base_us / self.median_us).clamp(0.25, 16.0)
            }
            _ => 1.0,
        }
    }

    /// Whether `template` costs more than five times the median one, or is one of which nobody saw an answer
    /// yet, where many are known. After that its few answers are believed. O(1).
    pub fn price(&self, template: u64) -> Price {
        match self.find(template) {
            Some(slot) if slot.base_us > 0.0 => {
                let is_dear = self.median_us > 0.0 && slot.base_us > EXPENSIVE * self.median_us;
                if is_dear { Price::Expensive } else { Price::Ordinary }
            }
            _ if self.measured >= MANY => Price::Unseen,
            _ => Price::Ordinary,
        }
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

    /// Somebody who does not look like an attack was answered: what is dear is dear beside such pages. An attack that asks
    /// for a few dear ones, where the site asks its origin for a few kinds and has the rest in hand, would else be what
    /// is ordinary here as soon as eight answers each are known. O(1).
    pub(crate) fn note_wanted(&mut self, template: u64) {
        if let Some(slot) = self.existing(template) {
            slot.wanted = slot.wanted.saturating_add(1);
        }
    }

    /// Takes one successful latency. Returns it as a multiple of what the template takes at low load, or
    /// what all do, if that is not known: a flood of pages that nobody asked for before must not look
    /// like an origin at ease. O(1); every eighth at low load 96 values are sorted. No allocation.
    pub(crate) fn note_latency(&mut self, template: u64, latency_us: f32, load: Load) -> f32 {
        self.recompute_median();
        let latency_us = latency_us.max(1.0);
        let slot = self.find(template).filter(|slot| slot.is_measured());
        let is_measured = slot.is_some();
        let noted_us = slot.map_or(self.overall_us, |slot| slot.base_us);
        let ratio = if noted_us > 0.0 { latency_us / noted_us } else { 1.0 };
        if load == Load::Low {
            self.lows += 1;
            if !is_measured {
                self.measure(template, latency_us);
            }
            if is_measured || self.measured == 0 {
                self.batch[self.batched] = Low { template, latency_us, ratio };
                self.batched += 1;
                if self.speed.len() == 0 && self.batched >= FIRST {
                    let mut first = self.batch.map(|low| low.latency_us);
                    self.overall_us = median(&mut first[..self.batched]).unwrap_or(0.0);
                }
                if self.batched == BATCH {
                    self.learn();
                }
            }
        }
        ratio / self.speed.ratio()
    }

    /// What comes now is to be learnt from by itself: it is of another time than what came before.
    pub(crate) const fn begin_batch(&mut self) {
        self.batched = 0;
    }

    /// Learns from what came since, if that is enough to say something.
    pub(crate) fn end_batch(&mut self) {
        if self.batched >= BATCH / 2 {
            self.learn();
        }
    }

    /// Notes what a template takes that is not believed yet: it tells nothing of the origin.
    fn measure(&mut self, template: u64, latency_us: f32) {
        let latency_us = latency_us / self.speed.ratio();
        if self.overall_us > 0.0 {
            track_median(&mut self.overall_us, latency_us, 0.08);
        }
        if let Some(slot) = self.existing(template) {
            track_median(&mut slot.base_us, latency_us, 0.16);
            slot.lows += 1;
            slot.is_current = true;
            self.measured += u32::from(slot.is_measured());
        }
    }

    /// Learns from a batch: first what is common to all of it, then how templates differ from that.
    fn learn(&mut self) {
        let ratios = self.batch.map(|low| low.ratio);
        let batched = core::mem::take(&mut self.batched);
        self.speed.note(&ratios[..batched]);
        let speed = self.speed.ratio();
        let batch = self.batch;
        for &Low { template, latency_us, .. } in &batch[..batched] {
            track_median(&mut self.overall_us, latency_us / speed, 0.04);
            if let Some(slot) = self.existing(template).filter(|slot| slot.is_measured()) {
                slot.lows = slot.lows.saturating_add(1);
                slot.is_current = true;
                let step = if slot.lows < 32 { 0.16 } else { 0.04 };
                track_median(&mut slot.base_us, latency_us / speed, step);
            }
        }
    }

    /// Brings the speed back to about 1 when it is far from it. Nothing says how much of what is common to all is the
    /// speed's and how much stands in what is noted, and chance and rounding move them against each other, mostly the same
    /// way: in the end to infinity. So the unit of what is noted is changed, by twos, so that nothing is rounded and
    /// no latency is another one than before. But of what nobody asked for since the last time the note stays as it was:
    /// that the speed came to be so far off says nothing of such a page. O(templates), once in thousands of answers.
    pub(crate) fn rescale(&mut self) {
        let by = match self.speed.ratio() {
            ratio if ratio >= ASTRAY => ASTRAY,
            ratio if ratio <= 1.0 / ASTRAY => 1.0 / ASTRAY,
            _ => return,
        };
        self.speed.rescale(by);
        self.overall_us *= by;
        self.median_us *= by;
        self.batch.iter_mut().for_each(|low| low.ratio /= by);
        for slot in &mut self.slots {
            if slot.is_current {
                slot.base_us *= by;
            }
            slot.is_current = false;
        }
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
        let known = self.slots.iter().filter(|slot| slot.template != 0 && slot.is_ordinary());
        self.scratch.extend(known.map(|slot| slot.base_us));
        if let Some(median) = median(&mut self.scratch) {
            self.median_us = median;
        }
    }

    fn set(&self, template: u64) -> usize {
        place(template, self.slots.len() / WAYS) * WAYS
    }

    fn find(&self, template: u64) -> Option<&Slot> {
        let template = template.max(1);
        let start = self.set(template);
        self.slots[start..start + WAYS].iter().find(|slot| slot.template == template)
    }

    fn existing(&mut self, template: u64) -> Option<&mut Slot> {
        let template = template.max(1);
        let start = self.set(template);
        self.slots[start..start + WAYS].iter_mut().find(|slot| slot.template == template)
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
        self.measured -= u32::from(self.slots[at].is_measured());
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

    /// Whether what it takes is believed.
    const fn is_measured(&self) -> bool {
        self.lows >= TRUSTED_USES
    }

    /// Whether it has a say in what counts as dear.
    const fn is_ordinary(&self) -> bool {
        self.is_measured() && self.wanted >= TRUSTED_USES
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

/// What a template costs beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// About what others do.
    Ordinary,
    /// Far more.
    Expensive,
    /// It may cost anything.
    Unseen,
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
    /// So few at once that none can have waited for another.
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
/// From so many templates on whose cost is believed, one never seen is out of the ordinary.
const MANY: u32 = 3;
/// So many times as slow or as fast as noted is far off. A power of two.
const ASTRAY: f32 = 4.0;
/// Latencies at low load that are enough to begin with.
const FIRST: usize = 3;

#[cfg(test)]
mod tests {
    use super::{Answered, Load, Price, TemplateCosts};

    const PAGE: u64 = 1 << 40;
    const SEARCH: u64 = 2 << 50;

    fn see(costs: &mut TemplateCosts, template: u64, latency_us: f32, times: u32) {
        for _ in 0..times {
            costs.note_answer(template, Answered::Well, Load::Low);
            costs.note_latency(template, latency_us, Load::Low);
            costs.note_wanted(template);
        }
    }

    #[test]
    fn a_search_that_takes_six_times_the_median_is_expensive() {
        let mut costs = TemplateCosts::new(64);
        for page in 0..3 {
            see(&mut costs, PAGE + (page << 56), 40_000.0, 100);
        }
        see(&mut costs, SEARCH, 240_000.0, 100);
        assert_eq!(costs.price(SEARCH), Price::Expensive);
        assert_eq!(costs.price(PAGE), Price::Ordinary);
        assert!((5.0..7.0).contains(&costs.relative(SEARCH)), "{}", costs.relative(SEARCH));
        assert_eq!(costs.relative(7 << 45), 1.0, "one not known costs what the median does");
    }

    #[test]
    fn what_only_an_attack_asks_for_stays_dear_however_many_kinds_it_asks_for() {
        let mut costs = TemplateCosts::new(64);
        let (api, forum, search) = (PAGE, PAGE + (1 << 60), PAGE + (2 << 60));
        let wanted = [(api, 7_000.0), (forum, 33_000.0), (search, 66_000.0)];
        wanted.iter().for_each(|&(kind, latency_us)| see(&mut costs, kind, latency_us, 100));
        let dear = [SEARCH, SEARCH + (1 << 60), SEARCH + (2 << 60), SEARCH + (3 << 60)];
        for _ in 0..100 {
            for kind in dear {
                costs.note_answer(kind, Answered::Well, Load::Low);
                costs.note_latency(kind, 660_000.0, Load::Low);
            }
        }
        for kind in dear {
            assert_eq!(costs.price(kind), Price::Expensive);
            assert!(costs.relative(kind) > 5.0, "{}", costs.relative(kind));
        }
        for (kind, _) in wanted {
            assert_eq!(costs.price(kind), Price::Ordinary);
        }
        // Where readers ask for them as well, they are what the site is.
        dear.iter().for_each(|&kind| see(&mut costs, kind, 660_000.0, 100));
        dear.iter().for_each(|&kind| assert_eq!(costs.price(kind), Price::Ordinary));
    }

    /// As uneven as pages of one kind are: from a third of the middle to three times.
    fn uneven(state: &mut u64, middle_us: f32) -> f32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = (*state >> 40) as f32 / (1u64 << 24) as f32;
        middle_us * if at < 0.5 { 1.0 / (3.0 - 4.0 * at) } else { 4.0 * at - 1.0 }
    }

    #[test]
    fn after_hours_costs_are_what_they_were() {
        let mut costs = TemplateCosts::new(64);
        let (page, api) = (PAGE + (1 << 60), PAGE + (2 << 60));
        let mut state = 1;
        for kind in [SEARCH; 40] {
            see(&mut costs, kind, uneven(&mut state, 400_000.0), 1);
            see(&mut costs, page, uneven(&mut state, 40_000.0), 1);
        }
        for round in 0..400_000 {
            see(&mut costs, page, uneven(&mut state, 40_000.0), 1);
            see(&mut costs, api, uneven(&mut state, 4_000.0), 1);
            costs.rescale();
            if round % 10_000 != 9_999 {
                continue;
            }
            let takes = |kind| costs.latency(kind).map_or(0.0, |latency| latency.as_secs_f32());
            for (kind, want) in [(page, 0.04), (api, 0.004)] {
                assert!((0.3..3.0).contains(&(takes(kind) / want)), "{} s", takes(kind));
            }
            // What nobody asked for since is off by what the speed was, and no further.
            let off = takes(SEARCH) / takes(page) / 10.0;
            assert!((0.05..20.0).contains(&off), "{off} times as dear as it was");
            assert!((1.0 / 8.0..=8.0).contains(&costs.speed()), "{}", costs.speed());
        }
        let ratio = costs.note_latency(page, 400_000.0, Load::High);
        assert!((4.0..25.0).contains(&ratio), "a page that takes ten times as long: {ratio}");
    }

    #[test]
    fn another_unit_changes_no_latency_and_no_price() {
        let mut costs = TemplateCosts::new(64);
        let (page, api) = (PAGE + (1 << 60), PAGE + (2 << 60));
        let mut state = 1;
        let mut rescaled = 0;
        for _ in 0..20_000 {
            for (kind, middle_us) in [(page, 40_000.0), (api, 4_000.0), (SEARCH, 400_000.0)] {
                see(&mut costs, kind, uneven(&mut state, middle_us), 1);
            }
            let all = |costs: &TemplateCosts| {
                [page, api, SEARCH].map(|kind| (costs.latency(kind), costs.price(kind)))
            };
            let (before, speed, overall_us) = (all(&costs), costs.speed(), costs.overall_us());
            costs.rescale();
            assert_eq!((all(&costs), costs.overall_us()), (before, overall_us));
            rescaled += u32::from(costs.speed() != speed);
        }
        assert!(rescaled > 0, "{}", costs.speed());
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
