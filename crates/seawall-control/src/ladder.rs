//! The rules of the ladder: a pure function of one measure and what goes on.
//!
//! The first rule that speaks decides.
//!
//! | # | when | what |
//! |---|---|---|
//! | 1 | the operator ordered it | so it is |
//! | 2 | a synthetic reader was refused by it (a test is no refusal), and others were not | one rung down, at least to demote; from there it rests |
//! | 3 | this is a crowd | it rests; one that was proven is demoted |
//! | 4 | of those it meets, more than 1 % of the tests set are passed, or, of work that no test can be put before where that is most, more than one in a hundred is by somebody who was recognised | one rung down, not below demote |
//! | 4b | on block, no test can be put before most of what it meets, and of 64 clients who are told to wait fewer than one in five go on | challenge |
//! | 5 | its evidence bears less than its rung, for 3 s | down to what it bears |
//! | 6 | what it means is no more than twice what is ordinary or a request a second above it, for 10 s; or the site has no excess worth explaining, for 10 s | it rests |
//! | 7 | it explains less than 3 % of what is too much, for 3 s | it rests |
//! | 8 | on demote for 1 s, the alarm is 8 s old or what is too much does not look like a crowd, its evidence bears a test, and this is an attack or all that bears one explains a quarter of what is too much; or its evidence bears a wide one, this is an attack, it explains a quarter of what is too much, and with it no more than one client in a hundred looks like what is tested | challenge |
//! | 9 | on challenge, its evidence bears blocking, and of 200 tests fewer than 0.5 % are passed | block |
//! | 10 | on challenge for 3 s, its evidence bears blocking, and most of what it meets is beyond the budget of pages in hand | block |
//! | 11 | on challenge, this is an attack, its evidence bears blocking, it explains a quarter of what is too much, most of what it meets is work that no test can be put before, beside 200 such there are fewer than 0.5 % by somebody who was recognised, and of 32 clients who were told to wait ten seconds ago or earlier more than two in five have gone on since | block |
//! | 12 | on challenge, its evidence bears blocking, and it was proven before by rules 9 to 11 | block |
//!
//! Who was moved down by rules 2, 4 or 5 does not climb back for five minutes. Was it by rule 4 or 4b, then for as long, while
//! it explains half of what is too much, no other one begins to test that explains half of it too, unless its bound of
//! collateral is at most half. What rests does so for ten seconds at least,
//! so that nothing flaps, but for what was proven, and for what had ceased and is an excess of its own. Rule 12 is of the next
//! wave of pulses: who failed the test in the last one is refused without another, so that nothing new can be proven.
//!
//! *Source:* detection.md §2.4 (action by evidence, efficacy), §4 (crowd), amendments 1 and 2.

use core::time::Duration;

use seawall_detect::{Verdict, bears_wide_test, licence};
use seawall_model::{Instant, Rung};

use crate::event::Why;
use crate::measures::{Measure, Order};

/// What goes on, as far as the ladder asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Situation {
    pub(crate) now: Instant,
    /// What is thought of it; `None` while there is no alarm.
    pub(crate) verdict: Option<Verdict>,
    /// Whether it looks like a crowd, in the first seconds, in which that may not be said yet.
    pub(crate) looks_like_crowd: bool,
    /// Which part of the synthetic readers that no measure met were kept from reading, 0 to 1.
    pub(crate) others_failed: f64,
    /// Since when the site has no excess that is worth explaining.
    pub(crate) calm_since: Option<Instant>,
    /// Upper bound of the part of clients that look like what is tested or blocked, 0 to 1, but for what the operator
    /// ordered. Who looks like two of them counts twice.
    pub(crate) tested_upper: f64,
    /// How much of what is too much is explained by what is tested, blocked, or bears a test, but for what the operator
    /// ordered. What two of them explain counts twice.
    pub(crate) testable: f64,
    /// Upper bound of the collateral of what is most of what is too much, and was taken back within the last five minutes
    /// because some pass.
    pub(crate) passed_upper: Option<f64>,
}

/// What becomes of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Stay,
    To(Rung, Why),
    /// To challenge, though its evidence bears no more than a wide test.
    TestWidely,
    Rest(Why),
}

/// The next move of a measure that stands.
pub(crate) fn next(measure: &Measure, situation: &Situation) -> Move {
    ordered(measure, situation.now)
        .or_else(|| hurts(measure, situation))
        .or_else(|| crowded(measure, situation))
        .or_else(|| passed(measure))
        .or_else(|| weak(measure, situation.now))
        .or_else(|| ceased(measure, situation))
        .or_else(|| climb(measure, situation))
        .unwrap_or(Move::Stay)
}

fn ordered(measure: &Measure, now: Instant) -> Option<Move> {
    match measure.order? {
        Order::Pinned { rung, until } if now < until => {
            Some(if measure.rung == rung { Move::Stay } else { Move::To(rung, Why::Operator) })
        }
        Order::Vetoed { until } if now < until => Some(Move::Rest(Why::Operator)),
        Order::Pinned { .. } | Order::Vetoed { .. } => None,
    }
}

fn hurts(measure: &Measure, situation: &Situation) -> Option<Move> {
    let (served, failed) = (measure.recent.probes_served, measure.recent.probes_failed);
    if failed < MIN_PROBES {
        return None;
    }
    // Where nobody is served, it is the origin that is lame and not the measure.
    let share = f64::from(failed) / f64::from(served + failed);
    (share > situation.others_failed + PROBE_MARGIN).then_some(match measure.rung {
        Rung::Observe | Rung::Demote => Move::Rest(Why::ReaderHurt),
        Rung::Challenge => Move::To(Rung::Demote, Why::ReaderHurt),
        Rung::Block => Move::To(Rung::Challenge, Why::ReaderHurt),
    })
}

fn crowded(measure: &Measure, situation: &Situation) -> Option<Move> {
    if situation.verdict != Some(Verdict::Crowd) {
        return None;
    }
    if !measure.is_proven {
        return Some(Move::Rest(Why::Crowd));
    }
    (measure.rung > Rung::Demote).then_some(Move::To(Rung::Demote, Why::Crowd))
}

fn passed(measure: &Measure) -> Option<Move> {
    let counts = measure.recent.counts;
    let is_many = |some: u64, all: u64| some >= MIN_PASSED && some.saturating_mul(100) > all;
    let is_many = is_many(counts.tests_passed, counts.tests_set)
        || is_mostly_untested(measure) && is_many(counts.recognised, counts.untested);
    let is_wrong = is_many || is_mostly_untested(measure) && is_patient(measure);
    match measure.rung {
        Rung::Block if is_wrong => Some(Move::To(Rung::Challenge, Why::SomePass)),
        Rung::Challenge if is_many => Some(Move::To(Rung::Demote, Why::SomePass)),
        _ => None,
    }
}

fn weak(measure: &Measure, now: Instant) -> Option<Move> {
    lasts(measure.weak_since, now, PATIENCE).then(|| match bears_where_it_stands(measure) {
        Rung::Observe => Move::Rest(Why::Weaker),
        rung => Move::To(rung, Why::Weaker),
    })
}

fn ceased(measure: &Measure, situation: &Situation) -> Option<Move> {
    let now = situation.now;
    if lasts(measure.idle_since, now, QUIET) || lasts(situation.calm_since, now, QUIET) {
        return Some(Move::Rest(Why::Ceased));
    }
    lasts(measure.idle_share_since, now, PATIENCE).then_some(Move::Rest(Why::NoEffect))
}

/// Whether no test can be put before most of what it meets.
fn is_mostly_untested(measure: &Measure) -> bool {
    let counts = measure.recent.counts;
    counts.untested.saturating_mul(2) > counts.matched
}

/// Whether nearly nobody of what cannot be tested was recognised, and it is much of what is wrong: a new app of a few
/// among a flood is not.
fn has_no_readers(measure: &Measure) -> bool {
    let counts = measure.recent.counts;
    counts.untested >= MIN_TESTS
        && counts.recognised.saturating_mul(200) < counts.untested
        && is_mostly_untested(measure)
        && measure.evidence.coverage >= MIN_MAIN
}

/// Whether many of its clients go on though they are told to wait: an app that is new has nobody who was recognised
/// either, but its people give up or come back later. Two in five, because bots that ask every few
/// seconds, each time after another while, pause for seven seconds within ten by chance as well.
///
/// With those of whom it is not sure yet: who has gone on for ten seconds has, and all others count as if they waited. So
/// this is sooner said of a flood than that somebody waits, and of nobody of whom it would not be said once it is sure.
fn is_restless(measure: &Measure) -> bool {
    let counts = measure.recent.counts;
    let (more, going_on) = measure.unsure.map_or((0, 0), |it| (it.told, it.restless));
    let (told, restless) = (counts.told + u64::from(more), counts.restless + u64::from(going_on));
    told >= MIN_TOLD && restless.saturating_mul(5) > told.saturating_mul(2)
}

/// Whether few do.
fn is_patient(measure: &Measure) -> bool {
    let counts = measure.recent.counts;
    counts.told >= 2 * MIN_TOLD && counts.restless.saturating_mul(5) < counts.told
}

fn climb(measure: &Measure, situation: &Situation) -> Option<Move> {
    let Situation { now, verdict, .. } = *situation;
    let bears = bears_now(measure, now);
    let counts = measure.recent.counts;
    match measure.rung {
        Rung::Observe if bears > Rung::Observe => Some(Move::To(Rung::Demote, Why::Stands)),
        Rung::Demote
            if measure.age(now) < TRIAL
                || situation.looks_like_crowd
                || is_like_what_was_passed(measure, situation) =>
        {
            None
        }
        Rung::Demote if bears > Rung::Demote && is_worth_a_test(measure, situation) => {
            Some(Move::To(Rung::Challenge, Why::Stands))
        }
        Rung::Demote if may_test_widely(measure, situation) => Some(Move::TestWidely),
        Rung::Challenge if bears == Rung::Block => {
            let nobody_passes = counts.tests_set >= MIN_TESTS
                && counts.tests_passed.saturating_mul(200) < counts.tests_set;
            let beyond = counts.beyond_budget >= MIN_TESTS
                && counts.beyond_budget.saturating_mul(2) > counts.matched
                && measure.age(now) >= PATIENCE;
            let no_readers =
                verdict == Some(Verdict::Attack) && has_no_readers(measure) && is_restless(measure);
            let reasons = [
                (nobody_passes, Why::NobodyPasses),
                (beyond, Why::BeyondBudget),
                (no_readers, Why::NoReaders),
                (measure.is_proven, Why::Returned),
            ];
            let reason = reasons.into_iter().find(|(is_so, _)| *is_so);
            reason.map(|(_, why)| Move::To(Rung::Block, why))
        }
        _ => None,
    }
}

/// Whether a test would help: while it is undecided, only if all that can be tested is much of what is too much. A few
/// per cent of a rush always look alike: a story that some readers happen to like.
fn is_worth_a_test(measure: &Measure, situation: &Situation) -> bool {
    situation.verdict == Some(Verdict::Attack)
        || measure.is_proven
        || situation.testable >= MIN_MAIN
}

/// Whether readers would pass its tests as they passed those of another: both mean most of what is too much now, so some
/// requests are the same, and it is no more certain to spare those who have read here before.
fn is_like_what_was_passed(measure: &Measure, situation: &Situation) -> bool {
    let Some(passed) = situation.passed_upper else { return false };
    let evidence = measure.evidence;
    evidence.coverage >= MOST && 2.0 * evidence.collateral_upper > passed
}

/// Whether it may test more people than it could whatever goes on: it is sure that this is an attack, this is much of
/// it, and with all others it meets no more than one in a hundred.
fn may_test_widely(measure: &Measure, situation: &Situation) -> bool {
    let evidence = &measure.evidence;
    situation.verdict == Some(Verdict::Attack)
        && measure.ceiling(situation.now) > Rung::Demote
        && evidence.coverage >= MIN_MAIN
        && situation.tested_upper + evidence.collateral_upper <= MAX_TESTED
        && bears_wide_test(&measure.signature, evidence)
}

/// Whether it is tested or blocked, or could be by its evidence.
pub(crate) fn is_testable(measure: &Measure, now: Instant) -> bool {
    measure.rung.max(bears_now(measure, now)) >= Rung::Challenge
}

/// The highest rung that its evidence bears, as far as it was not rolled back from there.
pub(crate) fn bears_now(measure: &Measure, now: Instant) -> Rung {
    licence(&measure.signature, &measure.evidence).min(measure.ceiling(now))
}

/// What its evidence bears, where it stands: a wide test that was begun goes on while it bears that, whatever else comes.
fn bears_where_it_stands(measure: &Measure) -> Rung {
    let bears = licence(&measure.signature, &measure.evidence);
    let goes_on = measure.is_wide && bears_wide_test(&measure.signature, &measure.evidence);
    if goes_on { bears.max(Rung::Challenge) } else { bears }
}

/// Notes what the last check says, for the rules that ask how long something has been so.
pub(crate) fn weigh(measure: &mut Measure, now: Instant) {
    let evidence = measure.evidence;
    let since = |was: Option<Instant>, is: bool| if is { was.or(Some(now)) } else { None };
    let bears = bears_where_it_stands(measure);
    measure.weak_since = since(measure.weak_since, bears < measure.rung && bears_enough(measure));
    let beyond_per_s = evidence.matched_per_s - evidence.expected_per_s;
    let is_over = beyond_per_s < evidence.expected_per_s.max(ORDINARY_PER_S);
    measure.idle_since = since(measure.idle_since, is_over);
    measure.idle_share_since =
        since(measure.idle_share_since, !is_over && evidence.coverage < MIN_COVERAGE);
}

/// Whether the check had enough to go by: what was blocked for a while and gave up leaves too few rows to
/// say anything of significance, and is let go by rule 6 instead.
fn bears_enough(measure: &Measure) -> bool {
    measure.evidence.sample_hits >= MIN_ROWS
}

fn lasts(since: Option<Instant>, now: Instant, least: Duration) -> bool {
    since.is_some_and(|since| now.saturating_since(since) >= least)
}

/// How long one that was moved down does not climb back.
pub(crate) const COOL: Duration = Duration::from_secs(300);
const TRIAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(10);
const MIN_TESTS: u64 = 200;
const MIN_PASSED: u64 = 3;
/// Of so many clients it can be said how many of them wait.
const MIN_TOLD: u64 = 32;
/// What explains less of what is too much is not what is wrong.
const MIN_MAIN: f64 = 0.25;
/// Of two measures that explain as much each, some requests are the same.
pub(crate) const MOST: f64 = 0.5;
/// Of a hundred readers one may be tested (detection.md §8).
const MAX_TESTED: f64 = 0.01;
const MIN_PROBES: u32 = 2;
const PROBE_MARGIN: f64 = 0.5;
const MIN_COVERAGE: f64 = 0.03;
const MIN_ROWS: u32 = 20;
/// A request a second more than what is ordinary is nothing that anybody has to be kept from.
const ORDINARY_PER_S: f64 = 1.0;
