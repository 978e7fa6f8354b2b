//! How far evidence bears: the highest rung that a signature may ever stand on.
//!
//! Whether it gets there is another question: the ladder asks for proof on the way. "Proof" means a bound
//! on harm measured on traffic seen before, and no more.
//!
//! What only a handful of clients do is nothing that a signature is needed for: each of them is known by its
//! address, and has a budget of the site's work and one of pages in hand. Beyond those it waits or is refused,
//! and nobody who only looks like it. So their signature costs them the place in the queue and no more: a crawler that
//! takes a whole site is slowed down, and gets it. (A signature of their /24 or /48 is of the same few clients.)
//!
//! What is put behind others or tested is judged by any request of a client, what is refused by what clients come for as well: of
//! a page with what belongs to it the page alone is a tenth, and whoever is refused that has nothing.
//!
//! What three in a thousand at most look like may be tested. The ladder may test up to five in a thousand ([`bears_wide_test`]) once it
//! is sure of an attack and few others are tested.
//!
//! *Source:* detection.md §2.4 (action by evidence), amendment 2.

use seawall_model::{Rung, Signature};

use crate::SignatureEvidence;

/// The highest rung that `evidence` bears; [`Rung::Observe`] if it bears nothing.
pub fn licence(signature: &Signature, evidence: &SignatureEvidence) -> Rung {
    // Written so that a value that is no number bears nothing.
    let is_significant = evidence.ln_p < MAX_LN_P;
    let harms_at_most = |bound: f64| evidence.collateral_upper <= bound;
    if !is_significant || !harms_at_most(DEMOTE_COLLATERAL) {
        return Rung::Observe;
    }
    if !bears_test(signature, evidence, CHALLENGE_COLLATERAL) {
        return Rung::Demote;
    }
    let may_block = harms_at_most(BLOCK_COLLATERAL)
        && evidence.refused_upper <= BLOCK_COLLATERAL
        && evidence.baseline_clients >= BLOCK_CLIENTS
        && evidence.sample_hits >= BLOCK_HITS;
    if may_block { Rung::Block } else { Rung::Challenge }
}

/// Whether `evidence` bears a test by all that [`licence`] asks for but its bound on harm, and by a wider bound that is measured
/// on as many clients as a block takes: of fewer, one that was met by chance decides.
pub fn bears_wide_test(signature: &Signature, evidence: &SignatureEvidence) -> bool {
    licence(signature, evidence) >= Rung::Demote
        && evidence.baseline_clients >= BLOCK_CLIENTS
        && bears_test(signature, evidence, WIDE_COLLATERAL)
}

fn bears_test(signature: &Signature, evidence: &SignatureEvidence, most: f64) -> bool {
    // What names no behaviour says where somebody comes from and no more: that may cost a place in the
    // queue and nothing else (rule 7).
    evidence.collateral_upper <= most
        && signature.may_block()
        && evidence.sample_clients >= MANY_CLIENTS
}

/// ln 10⁻⁶.
const MAX_LN_P: f64 = -13.815_510_557_964_274;
const DEMOTE_COLLATERAL: f64 = 0.01;
const CHALLENGE_COLLATERAL: f64 = 0.003;
const WIDE_COLLATERAL: f64 = 0.005;
const BLOCK_COLLATERAL: f64 = 0.001;
/// Nought of 3,000 is the rule of three's 0.1 %.
const BLOCK_CLIENTS: u32 = 3_000;
const BLOCK_HITS: u32 = 200;
/// From so many different clients in two seconds on it is no handful. The budgets of fewer are together less than
/// what two workers of a small site do (15 times 100 ms a second), and all of it waits behind readers. A
/// crawler comes from a few addresses, and an office from one; the smallest attack of the simulator is of 350.
const MANY_CLIENTS: u32 = 16;

#[cfg(test)]
mod tests {
    use seawall_model::{Attribute, Term};

    use super::*;

    fn signature(attribute: Attribute) -> Signature {
        Signature::new(&[Term { attribute, value: 1 }]).expect("one term")
    }

    #[test]
    fn each_rung_asks_for_more() {
        let strong = SignatureEvidence {
            matched_per_s: 1_000.0,
            expected_per_s: 0.0,
            coverage: 1.0,
            collateral_upper: 0.000_37,
            refused_upper: 0.000_37,
            baseline_hits: 0,
            baseline_clients: 8_192,
            sample_hits: 200,
            sample_rows: 4_096,
            sample_clients: 16,
            ln_p: -14.0,
        };
        let of = |evidence| licence(&signature(Attribute::Path), &evidence);
        assert_eq!(of(strong), Rung::Block);
        for (evidence, rung) in [
            (SignatureEvidence { collateral_upper: 0.001_1, ..strong }, Rung::Challenge),
            (SignatureEvidence { refused_upper: 0.001_1, ..strong }, Rung::Challenge),
            (SignatureEvidence { refused_upper: f64::NAN, ..strong }, Rung::Challenge),
            (SignatureEvidence { baseline_clients: 2_999, ..strong }, Rung::Challenge),
            (SignatureEvidence { sample_hits: 199, ..strong }, Rung::Challenge),
            (SignatureEvidence { collateral_upper: 0.003_1, ..strong }, Rung::Demote),
            (SignatureEvidence { sample_clients: 15, ..strong }, Rung::Demote),
            (SignatureEvidence { collateral_upper: 0.011, ..strong }, Rung::Observe),
            (SignatureEvidence { ln_p: -13.0, ..strong }, Rung::Observe),
            (SignatureEvidence { ln_p: f64::NAN, ..strong }, Rung::Observe),
            (SignatureEvidence { collateral_upper: f64::NAN, ..strong }, Rung::Observe),
        ] {
            assert_eq!(of(evidence), rung, "{evidence:?}");
        }
    }

    #[test]
    fn a_wide_test_asks_for_all_that_another_does_but_the_bound() {
        let wide = SignatureEvidence {
            matched_per_s: 100.0,
            expected_per_s: 0.0,
            coverage: 0.9,
            collateral_upper: 0.005,
            refused_upper: 0.005,
            baseline_hits: 8,
            baseline_clients: 3_000,
            sample_hits: 200,
            sample_rows: 1_000,
            sample_clients: 16,
            ln_p: -14.0,
        };
        let path = signature(Attribute::Path);
        assert_eq!((licence(&path, &wide), bears_wide_test(&path, &wide)), (Rung::Demote, true));
        for evidence in [
            SignatureEvidence { collateral_upper: 0.005_1, ..wide },
            SignatureEvidence { collateral_upper: f64::NAN, ..wide },
            SignatureEvidence { sample_clients: 15, ..wide },
            SignatureEvidence { baseline_clients: 2_999, ..wide },
            SignatureEvidence { ln_p: -13.0, ..wide },
        ] {
            assert!(!bears_wide_test(&path, &evidence), "{evidence:?}");
        }
        assert!(!bears_wide_test(&signature(Attribute::Network), &wide));
    }

    #[test]
    fn what_names_no_behaviour_may_demote_only() {
        let strong = SignatureEvidence {
            matched_per_s: 1_000.0,
            expected_per_s: 0.0,
            coverage: 1.0,
            collateral_upper: 0.0,
            refused_upper: 0.0,
            baseline_hits: 0,
            baseline_clients: 8_192,
            sample_hits: 4_096,
            sample_rows: 4_096,
            sample_clients: 16,
            ln_p: -1_000.0,
        };
        let silent = Attribute::ALL.into_iter().filter(|one| !one.speaks_of_behaviour());
        for attribute in silent {
            assert_eq!(licence(&signature(attribute), &strong), Rung::Demote, "{attribute:?}");
        }
    }
}
