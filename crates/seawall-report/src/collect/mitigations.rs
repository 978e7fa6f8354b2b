//! Each mitigation with all that was decided about it.

use std::collections::BTreeMap;

use seawall_model::Rung;

use super::bounds::{add, figure, words};
use crate::Moment;
use crate::entry::{Evidence, MetCounts, Move, Word};
use crate::report::{MitigationHistory, TimedMove};

/// Histories by number.
#[derive(Debug, Default)]
pub(super) struct Mitigations {
    held: BTreeMap<u32, MitigationHistory>,
    moves: usize,
    /// Moves that were not taken for want of room.
    pub(super) moves_left_out: u64,
    /// Requests met by mitigations that were not taken.
    pub(super) met_left_out: u64,
}

impl Mitigations {
    /// Takes a move.
    pub(super) fn take(&mut self, at: Moment, change: &Move) {
        let Some(history) = self.history(change.id) else {
            add(&mut self.moves_left_out, 1);
            return;
        };
        let timed = TimedMove { at, change: bounded(change) };
        history.signature.clone_from(&timed.change.signature);
        if let Some(to) = &timed.change.to
            && rank(to) > rank(&history.hardest)
        {
            history.hardest.clone_from(to);
        }
        let is_full = history.moves.len() >= MAX_MOVES_EACH || self.moves >= MAX_MOVES;
        let history = self.held.get_mut(&change.id);
        match history.map(|it| &mut it.moves) {
            // The last one carries the newest evidence, and stays.
            Some(moves) if is_full && !moves.is_empty() => {
                let last = moves.len() - 1;
                moves[last] = timed;
                add(&mut self.moves_left_out, 1);
            }
            Some(moves) => {
                moves.push(timed);
                self.moves += 1;
            }
            None => {}
        }
    }

    /// Takes what they met in a second.
    pub(super) fn take_met(&mut self, met: &[MetCounts]) {
        for counts in met {
            let Some(history) = self.history(counts.id) else {
                add(&mut self.met_left_out, counts.matched);
                continue;
            };
            let sum = &mut history.met;
            add(&mut sum.matched, counts.matched);
            add(&mut sum.control, counts.control);
            add(&mut sum.blocked, counts.blocked);
            add(&mut sum.tests_set, counts.tests_set);
            add(&mut sum.tests_passed, counts.tests_passed);
        }
    }

    fn history(&mut self, id: u32) -> Option<&mut MitigationHistory> {
        if self.held.len() >= MAX_HELD && !self.held.contains_key(&id) {
            return None;
        }
        let met = MetCounts { id, ..MetCounts::default() };
        Some(self.held.entry(id).or_insert_with(|| MitigationHistory {
            id,
            met,
            ..MitigationHistory::default()
        }))
    }

    /// In the order of their numbers.
    pub(super) fn finish(self) -> Vec<MitigationHistory> {
        self.held.into_values().collect()
    }
}

/// How hard a rung is; 0 for what is none.
fn rank(rung: &str) -> usize {
    Rung::ALL.iter().position(|it| it.as_str() == rung).map_or(0, |place| place + 1)
}

fn bounded(change: &Move) -> Move {
    let term = |word: &Word| Word {
        attribute: words(&word.attribute, 48),
        value: words(&word.value, 32),
        text: words(&word.text, 96),
    };
    let part = |value: f64| figure(value).min(1.0);
    let evidence = change.evidence;
    Move {
        id: change.id,
        signature: words(&change.signature, 1_024),
        terms: change.terms.iter().take(MAX_TERMS).map(term).collect(),
        from: change.from.as_ref().map(|rung| words(rung, 32)),
        to: change.to.as_ref().map(|rung| words(rung, 32)),
        why: words(&change.why, 64),
        evidence: Evidence {
            matched_per_s: figure(evidence.matched_per_s),
            expected_per_s: figure(evidence.expected_per_s),
            coverage: part(evidence.coverage),
            collateral_upper: part(evidence.collateral_upper),
            // It is a logarithm of a probability, and never above nothing.
            ln_p: -figure(-evidence.ln_p),
            ..evidence
        },
    }
}

const MAX_HELD: usize = 1_024;
const MAX_MOVES_EACH: usize = 256;
/// With terms 20 MB at most.
const MAX_MOVES: usize = 4_096;
const MAX_TERMS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: u32, to: Option<&str>, coverage: f64) -> Move {
        let evidence = Evidence { coverage, ..Evidence::default() };
        Move { id, to: to.map(str::to_owned), evidence, ..Move::default() }
    }

    #[test]
    fn the_hardest_rung_is_kept_and_the_last_move_is_the_newest() {
        let mut all = Mitigations::default();
        for to in [Some("observe"), Some("block"), Some("demote"), None] {
            all.take(Moment::default(), &change(3, to, 0.5));
        }
        let found = all.finish();
        assert_eq!((found.len(), found[0].hardest.as_str(), found[0].moves.len()), (1, "block", 4));
    }

    #[test]
    fn endless_moves_are_bounded_and_the_newest_stays() {
        let mut all = Mitigations::default();
        for round in 0..400_u32 {
            for id in 0..2_000 {
                all.take(Moment::default(), &change(id, None, f64::from(round % 2)));
            }
        }
        let (left_out, found) = (all.moves_left_out, all.finish());
        let kept: usize = found.iter().map(|it| it.moves.len()).sum();
        assert_eq!(found.len(), MAX_HELD);
        assert!(kept <= MAX_MOVES + MAX_HELD, "{kept}");
        assert_eq!(kept as u64 + left_out, 800_000);
        let last = found[0].moves.last().expect("there is one");
        assert!((last.change.evidence.coverage - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_met_without_a_move_is_counted() {
        let mut all = Mitigations::default();
        let met = MetCounts { id: 9, matched: 4, ..MetCounts::default() };
        all.take_met(&[met, met]);
        assert_eq!(all.finish()[0].met.matched, 8);
    }
}
