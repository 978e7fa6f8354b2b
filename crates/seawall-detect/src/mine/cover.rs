//! Step 6: a small set of signatures that explains the excess (greedy weighted set cover).
//!
//! Each is chosen by what it adds to those before it. The greedy choice is within a logarithm of the
//! best one, and nobody finds the best one in a millisecond.

use alloc::vec::Vec;

use libm::{fmax, fmin};
use seawall_model::Signature;

use super::search::Found;
use super::side::each_bit;
use super::{Counted, MIN_GAIN, Miner, Round, part, refused_upper};
use crate::Candidate;

/// What is explained to this part is explained.
const ENOUGH: f64 = 0.95;

/// Unless what is left is more than this part of what is ordinary: of a flood twelve times as large as all else three in a
/// hundred are as much as an origin has to do in calm. A surge to less than three times the ordinary is as it was.
const LEFT: f64 = 0.1;

/// Of less of a sample it cannot be said whose it is: where hardly anything is ordinary, all would be worth a signature.
const LEAST: f64 = 0.01;

/// Puts the best of `found` into `out`, and says which part of the excess all of `out` explain.
pub(super) fn choose(round: &mut Round<'_>, found: &[Found], out: &mut Vec<Candidate>) -> f64 {
    round.now.restore();
    round.baseline.restore();
    let rows =
        Counted { now: 0, rows: round.now.rows(), baseline: 0, clients: round.baseline.rows() };
    let (mut union, mut coverage) = (rows, 0.0);
    let enough = 1.0 - fmin(1.0 - ENOUGH, worthwhile(round));
    while out.len() < Miner::MAX_CANDIDATES && coverage < enough {
        let Some(best) = best(round, found) else { break };
        let Some(signature) = signature(round, best.mask) else { break };
        let who = round.who(best.mask);
        let refused = refused_upper(&signature, round.came_for);
        let of = (round.volume, round.excess, round.tried);
        let evidence = best.counted.evidence(who, refused, of);
        out.push(Candidate { signature, evidence });
        union.now += round.now.take(best.mask);
        union.baseline += round.baseline.take(best.mask);
        coverage = part(union.excess(round.volume), round.excess);
    }
    coverage
}

/// The one that adds most for what it costs, if any adds enough.
fn best<'a>(round: &mut Round<'_>, found: &'a [Found]) -> Option<&'a Found> {
    let least = fmin(MIN_GAIN, worthwhile(round));
    let mut best: Option<(&Found, f64)> = None;
    for one in found {
        let left = Counted {
            now: round.now.left(one.mask),
            baseline: round.baseline.left(one.mask),
            ..one.counted
        };
        let gain = part(left.excess(round.volume), round.excess);
        if gain < least {
            continue;
        }
        let score = one.score(gain);
        let is_better = best.is_none_or(|(other, other_score)| {
            Found::before(score, one.mask, other_score, other.mask).is_lt()
        });
        if is_better {
            best = Some((one, score));
        }
    }
    best.map(|(found, _)| found)
}

/// Which part of the excess is worth a signature of its own for how much it is.
fn worthwhile(round: &Round<'_>) -> f64 {
    fmax(LEFT * part(round.volume.expected_per_s, round.excess), LEAST)
}

fn signature(round: &Round<'_>, mask: u64) -> Option<Signature> {
    let first = round.values.term(mask.trailing_zeros() as usize);
    let (mut terms, mut len) = ([first; Signature::MAX_TERMS], 0);
    each_bit(mask, |place| {
        terms[len] = round.values.term(place);
        len += 1;
    });
    Signature::new(&terms[..len])
}
