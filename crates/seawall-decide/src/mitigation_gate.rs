//! What a mitigation that was met does to a request: rules 18 to 22 of [`crate::decide`].
//!
//! Separate because it comes last and needs what the others do not: a signature that matched, and what the
//! client shows of the cheap test. A page in hand is refused to nobody for a signature: who looks like
//! an attack and asks for more pages than its budget has to be quiet before it gets the next one, and that is all
//! (detection.md, amendment 1). Work for the origin is put off, tested or refused.
//!
//! It does **not** know who is exempt (the match does), nor how a test is shown.

use core::time::Duration;

use seawall_model::{Cause, Decision, Facts, Held, Instant, Met, Method, Refusal, Rung, Test};

use crate::gates::refusal;
use crate::limiters::{Limiters, Tested};
use crate::table::Table;

/// Whether a request can be answered by the cheap test: whether a person waits for a page. Feeds, scripts and
/// apps cannot follow a redirect or a page, and what a form sent would be lost by one
/// (detection.md, amendment 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Testable {
    /// The navigation of a browser.
    Page,
    /// Anything else: it waits behind all others.
    No,
}

/// What a client has to do with tests.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// Whether this request can be one.
    pub testable: Testable,
    /// [`Test::Passed`] if it carries a pass that is good, and within what that is good for.
    pub test: Test,
    /// By what its tests are counted.
    pub tested: Tested,
    /// From so many left open on it is refused: [`MAX_OPEN_TESTS`], or `None` where so many people ask as one
    /// that the count says nothing of any of them.
    pub max_open: Option<u32>,
}

/// From so many tests left open within a minute on a client is refused (detection.md §5).
pub const MAX_OPEN_TESTS: u32 = 20;

/// Applies the mitigation that was met to what the gates before said. [`Cause::Challenged`] is to be answered with
/// the test, and counted by [`Limiters::test_set`]; [`Cause::Demoted`] goes on as
/// [`WorkClass::Demoted`](crate::WorkClass::Demoted). O(1), no allocation.
pub fn mitigation_gate(
    (table, limiters): (&Table, &Limiters),
    now: Instant,
    decided: Decision,
    met: Option<Met>,
    trial: Trial,
    facts: &Facts<'_>,
) -> Decision {
    let Some(met) = met else { return decided };
    if decided.cause() == Cause::HeldBudget && met.rung == Rung::Block {
        let look = limiters.look(&facts.fingerprint);
        limiters.press_held(now, facts.identity, look, table.held);
    }
    // Who is on the allow list, and what was refused already, is none of a signature's business.
    if decided != Decision::Admit(Cause::Default) || facts.held != Held::No {
        return decided;
    }
    match (met.rung, trial.test == Test::Passed) {
        (Rung::Observe, _) | (Rung::Demote | Rung::Challenge, true) => decided,
        (Rung::Demote, false) | (Rung::Block, true) => Decision::Admit(Cause::Demoted),
        (Rung::Block, false) => refuse(Cause::SignatureBlock, BLOCKED_FOR, facts),
        (Rung::Challenge, false) => challenge(limiters, now, met, trial, facts),
    }
}

fn challenge(
    limiters: &Limiters,
    now: Instant,
    met: Met,
    trial: Trial,
    facts: &Facts<'_>,
) -> Decision {
    if trial.max_open.is_some_and(|most| limiters.tests_open(now, trial.tested) >= most) {
        return refuse(Cause::Unsolved, BLOCKED_FOR, facts);
    }
    let is_read = matches!(facts.method, Method::Get | Method::Head);
    if trial.testable == Testable::Page && is_read {
        return refuse(Cause::Challenged, TRY_AFTER, facts);
    }
    if met.is_control {
        // Kept out of a block to be tested, which this cannot be: it would show nothing, and be a hundredth of a flood
        // at the origin.
        return refuse(Cause::SignatureBlock, BLOCKED_FOR, facts);
    }
    Decision::Admit(Cause::Demoted)
}

const fn refuse(cause: Cause, after: Duration, facts: &Facts<'_>) -> Decision {
    let refused = Refusal { retry_after: Some(after), ..refusal(429, facts) };
    Decision::Refuse(refused, cause)
}

/// As long as what is counted of a client lasts.
const BLOCKED_FOR: Duration = Duration::from_secs(60);
const TRY_AFTER: Duration = crate::ticket::MIN_WAIT;
