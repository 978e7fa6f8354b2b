//! Sums over seconds, and where they begin and end.
//!
//! Which second was the last one of the alarm is known only when the record is closed, minutes after it. The newest
//! seconds are therefore kept one by one and belong to nothing until it is known; what is older than
//! [`MAX_OPEN_SECONDS`] belongs to the incident. Nothing is counted twice and nothing is left out: each second is in the time
//! before, in the incident, or after it.

use std::collections::{BTreeMap, VecDeque};

use super::bounds::{add, figure, words};
use crate::entry::{Cohort, MetCounts, Node, OriginHealth, Second};
use crate::report::{CohortTotals, NodeFacts, Peak, Totals};
use crate::{Lost, Moment};

/// What was counted, of one second or of many.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) totals: Totals,
    /// By [`Cohort::ALL`].
    pub(super) cohorts: [Counts; Cohort::ALL.len()],
    pub(super) peak: Option<Peak>,
    pub(super) node: Option<NodeFacts>,
    /// Seconds whose cohorts are not the sum of their requests.
    pub(super) uneven: u64,
    excess: f64,
}

/// What became of the requests of a cohort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) served: u64,
    refused: u64,
    tested: u64,
    failed: u64,
    late: u64,
}

impl Tally {
    /// What one second says.
    pub(super) fn of(second: &Second) -> Self {
        let mut tally = Self::default();
        let expected = figure(second.expected);
        tally.totals = Totals {
            seconds: 1,
            requests: second.requests,
            expected,
            excess: 0,
            refused: second.refused,
            matched: matched(&second.met),
            origin: second.origin,
            spared: second.spared,
            origin_cost_ms: second.origin_cost_ms,
            client_errors: second.client_errors,
            server_errors: second.server_errors,
            tests_set: second.tests_set,
            tests_passed: second.tests_passed,
            connections: second.connections,
            rx_bytes: second.node.as_ref().map_or(0, |node| node.rx_bytes),
            tx_bytes: second.node.as_ref().map_or(0, |node| node.tx_bytes),
        };
        for counts in &second.cohorts {
            let Some(place) = Cohort::ALL.iter().position(|cohort| *cohort == counts.cohort) else {
                continue;
            };
            tally.cohorts[place].add(&Counts {
                requests: counts.requests,
                served: counts.served,
                refused: counts.refused,
                tested: counts.tested,
                failed: counts.failed,
                late: counts.late,
            });
        }
        let by_cohorts =
            tally.cohorts.iter().fold(0, |sum: u64, it| sum.saturating_add(it.requests));
        tally.uneven = u64::from(by_cohorts != second.requests);
        tally.excess = (whole(second.requests) - expected).max(0.0);
        tally.peak = Some(Peak { at: second.at, requests: second.requests, expected });
        tally.node = second.node.as_ref().map(node_facts);
        tally
    }

    /// Adds what another says, which was later.
    pub(super) fn add(&mut self, other: &Self) {
        let (mine, its) = (&mut self.totals, &other.totals);
        add(&mut mine.seconds, its.seconds);
        add(&mut mine.requests, its.requests);
        mine.expected = figure(mine.expected + its.expected);
        add(&mut mine.refused, its.refused);
        add(&mut mine.matched, its.matched);
        add(&mut mine.origin, its.origin);
        add(&mut mine.spared, its.spared);
        add(&mut mine.origin_cost_ms, its.origin_cost_ms);
        add(&mut mine.client_errors, its.client_errors);
        add(&mut mine.server_errors, its.server_errors);
        add(&mut mine.tests_set, its.tests_set);
        add(&mut mine.tests_passed, its.tests_passed);
        add(&mut mine.connections.opened, its.connections.opened);
        add(&mut mine.connections.handshakes, its.connections.handshakes);
        add(&mut mine.connections.handshake_failures, its.connections.handshake_failures);
        add(&mut mine.connections.resets, its.connections.resets);
        add(&mut mine.connections.slow, its.connections.slow);
        add(&mut mine.connections.refused, its.connections.refused);
        add(&mut mine.rx_bytes, its.rx_bytes);
        add(&mut mine.tx_bytes, its.tx_bytes);
        for (mine, its) in self.cohorts.iter_mut().zip(&other.cohorts) {
            mine.add(its);
        }
        if let Some(peak) = other.peak
            && self.peak.is_none_or(|mine| peak.requests > mine.requests)
        {
            self.peak = Some(peak);
        }
        match (&mut self.node, &other.node) {
            (Some(mine), Some(its)) => add_node(mine, its),
            (mine @ None, Some(its)) => *mine = Some(its.clone()),
            (_, None) => {}
        }
        add(&mut self.uneven, other.uneven);
        self.excess = figure(self.excess + other.excess);
    }

    /// The sums, with the excess as a whole number.
    pub(super) fn totals(&self) -> Totals {
        // `figure` keeps it between nothing and 10^15.
        let excess = self.excess as u64;
        Totals { excess, ..self.totals }
    }

    /// All cohorts, each once.
    pub(super) fn cohorts(&self) -> Vec<CohortTotals> {
        let each = Cohort::ALL.into_iter().zip(&self.cohorts);
        let total = each.map(|(cohort, counts)| CohortTotals {
            cohort,
            requests: counts.requests,
            served: counts.served,
            refused: counts.refused,
            tested: counts.tested,
            failed: counts.failed,
            late: counts.late,
        });
        total.collect()
    }

    /// Requests that no mitigation met, and how many of them were answered with what was asked for.
    pub(super) fn unmet(&self) -> (u64, u64) {
        let others = Cohort::ALL.iter().zip(&self.cohorts).filter(|(it, _)| **it != Cohort::Met);
        others.fold((0, 0), |(requests, served): (u64, u64), (_, counts)| {
            (requests.saturating_add(counts.requests), served.saturating_add(counts.served))
        })
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        add(&mut self.requests, other.requests);
        add(&mut self.served, other.served);
        add(&mut self.refused, other.refused);
        add(&mut self.tested, other.tested);
        add(&mut self.failed, other.failed);
        add(&mut self.late, other.late);
    }
}

/// A request meets one mitigation at most.
fn matched(met: &[MetCounts]) -> u64 {
    met.iter().fold(0, |sum: u64, counts| sum.saturating_add(counts.matched))
}

fn node_facts(node: &Node) -> NodeFacts {
    let mut facts = NodeFacts {
        link_full_s: node.link_full.map(u64::from),
        peak_rx_bytes_per_s: node.rx_bytes,
        rx_drops: node.rx_drops,
        listen_drops: node.listen_drops,
        syn_cookies: node.syn_cookies,
        peak_busy: node.busy.clamp(0.0, 1.0),
        peak_steal: node.steal.clamp(0.0, 1.0),
        peak_resident_bytes: node.resident_bytes,
        origin_unhealthy_s: u64::from(!node.origin.healthy),
        peak_wait_ms: node.origin.oldest_wait_ms,
        origin: node.origin,
        lost: BTreeMap::new(),
    };
    for Lost { what, count } in &node.lost {
        lose(&mut facts.lost, what, *count);
    }
    facts
}

fn add_node(mine: &mut NodeFacts, its: &NodeFacts) {
    if let Some(full_s) = its.link_full_s {
        add(mine.link_full_s.get_or_insert(0), full_s);
    }
    mine.peak_rx_bytes_per_s = mine.peak_rx_bytes_per_s.max(its.peak_rx_bytes_per_s);
    add(&mut mine.rx_drops, its.rx_drops);
    add(&mut mine.listen_drops, its.listen_drops);
    add(&mut mine.syn_cookies, its.syn_cookies);
    mine.peak_busy = mine.peak_busy.max(its.peak_busy);
    mine.peak_steal = mine.peak_steal.max(its.peak_steal);
    mine.peak_resident_bytes = mine.peak_resident_bytes.max(its.peak_resident_bytes);
    add(&mut mine.origin_unhealthy_s, its.origin_unhealthy_s);
    mine.peak_wait_ms = mine.peak_wait_ms.max(its.peak_wait_ms);
    mine.origin = OriginHealth { ..its.origin };
    for (what, count) in &its.lost {
        lose(&mut mine.lost, what, *count);
    }
}

/// There are a handful of kinds; a record that has more of them loses the names and not the count.
fn lose(lost: &mut BTreeMap<String, u64>, what: &str, count: u64) {
    if count == 0 {
        return;
    }
    let what = words(what, 32);
    let is_known = lost.len() < MAX_LOST || lost.contains_key(&what);
    let what = if is_known { what } else { "others".to_owned() };
    add(lost.entry(what).or_default(), count);
}

const MAX_LOST: usize = 15;

const fn whole(count: u64) -> f64 {
    count as f64
}

/// The three spans of a record.
#[derive(Debug, Default)]
pub(super) struct Spans {
    before: Tally,
    during: Tally,
    /// The newest seconds, in the order in which they were written.
    open: VecDeque<(Moment, Tally)>,
    /// The latest second that is in `during` for want of room in `open`.
    settled: Option<Moment>,
    /// The latest second of all.
    latest: Option<Moment>,
}

/// Sums up to a moment.
pub(super) struct Settled {
    pub(super) before: Tally,
    pub(super) during: Tally,
    pub(super) after: Tally,
    /// Seconds that count as the incident only because nobody could wait so long for its end.
    pub(super) is_overdue: bool,
}

impl Spans {
    /// Takes a second; `since` is the first alarm. Says no to the same second twice.
    pub(super) fn take(&mut self, at: Moment, tally: Tally, since: Moment) -> bool {
        // Two seconds of one name are there when the clock was set back. If they also say the same in every figure,
        // it is one line, written twice.
        let is_double = |(other, its): &(Moment, Tally)| *other == at && *its == tally;
        let is_late = self.latest.is_some_and(|latest| latest >= at);
        if is_late && self.open.iter().rev().take(MAX_LOOK_BACK).any(is_double) {
            return false;
        }
        self.latest = self.latest.max(Some(at));
        // The second in which the first alarm was belongs to the incident.
        if at.plus_ms(1_000) <= since {
            self.before.add(&tally);
            return true;
        }
        if self.open.len() == MAX_OPEN_SECONDS
            && let Some((at, tally)) = self.open.pop_front()
        {
            self.during.add(&tally);
            self.settled = self.settled.max(Some(at));
        }
        self.open.push_back((at, tally));
        true
    }

    /// The sums, if the last alarm was at `until`; without it, it still goes on.
    pub(super) fn settle(self, until: Option<Moment>) -> Settled {
        let Self { before, mut during, open, settled, .. } = self;
        let mut after = Tally::default();
        for (at, tally) in &open {
            let is_after = until.is_some_and(|until| *at > until);
            if is_after { &mut after } else { &mut during }.add(tally);
        }
        let is_overdue = until.is_some_and(|until| settled.is_some_and(|settled| settled > until));
        Settled { before, during, after, is_overdue }
    }
}

/// Two hours: from the last alarm to the end of a record it is minutes. About 5 MB.
const MAX_OPEN_SECONDS: usize = 7_200;
/// How far back a doubled second is looked for.
const MAX_LOOK_BACK: usize = 3_600;
