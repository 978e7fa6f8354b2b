//! What one address may have of pages in hand when many read behind it: rule 16a of [`crate::decide`].
//!
//! One budget for everybody behind a carrier's address, a campus or a Tor exit punishes it for its size, and lets
//! one of them have the pages of all others refused. So who is beyond the budget of its identity is asked
//! again, where at least two readers with a credential of some age are known at that very address, or it is a
//! Tor exit:
//!
//! * all of them together may have the budget of as many identities as readers are known there, [`CROWD`] at
//!   most, and at a Tor exit [`CROWD`];
//! * of that one look has an eighth, at least the budget of one identity. A reader beside an attacker is served
//!   as long as it does not look like it, and who changes looks has no more than all of them together.
//!
//! What remains: an attacker with eight looks, or with that of everybody, can spend it all. Then readers with a
//! credential, who have budgets of their own, are served, and newcomers behind that address are not.
//!
//! It costs nothing to who is within the budget of its identity. It does **not** know who reads where (the
//! budgets do), and it refuses nothing that was not refused before.

use core::time::Duration;

use seawall_model::{Cause, Decision, Facts, Instant, PerSecond};

use crate::budget::{OriginBudget, Whence};
use crate::gates::CROWD;
use crate::limiters::Limiters;
use crate::table::Table;

/// Of how many people behind an address one is taken to look like another: the part of what the address has that
/// one look may have.
pub(crate) const LOOKS: u32 = 8;

/// Decides anew on a page in hand that [`decide`](crate::decide) refused for its identity's budget. O(1), no
/// allocation.
pub fn held_gate(
    (table, limiters, budgets): (&Table, &Limiters, &OriginBudget),
    now: Instant,
    decided: Decision,
    facts: &Facts<'_>,
) -> Decision {
    if decided.cause() != Cause::HeldBudget || facts.identity.is_holder() {
        return decided;
    }
    let people = if table.is_tor_exit(facts.client.ip()) {
        CROWD
    } else {
        budgets.people(Whence { client: facts.client, asn: None }).min(CROWD)
    };
    if people < 2 {
        return decided;
    }
    let look = limiters.look(&facts.fingerprint);
    let shared = (table.held.of(people.div_ceil(LOOKS)), table.held.of(people));
    if limiters.take_shared(now, facts.identity, look, shared) {
        Decision::Admit(Cause::Default)
    } else {
        decided
    }
}

/// The held-page budget as GCRA counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldBudget {
    /// Between pages at the steady rate.
    interval_nanos: u64,
    /// How far the next page may be ahead of its time.
    tolerance_nanos: u64,
}

impl HeldBudget {
    /// A rate of zero, less, or not a number lets the burst through and then one page an hour; an
    /// infinite one is no limit.
    pub(crate) fn new(rate: PerSecond, burst: u32) -> Self {
        // `max` turns NaN into 0; dividing by 0 gives infinity; the cast to an integer saturates.
        let interval_nanos = ((1e9 / rate.0.max(0.0)) as u64).min(3_600_000_000_000);
        let tolerance_nanos = interval_nanos.saturating_mul(u64::from(burst.saturating_sub(1)));
        Self { interval_nanos, tolerance_nanos }
    }

    /// That of so many together: so many times the rate and the burst.
    const fn of(self, people: u32) -> Self {
        let people = if people == 0 { 1 } else { people as u64 };
        Self { interval_nanos: self.interval_nanos.div_ceil(people), ..self }
    }

    /// When the page after this one is due, if this one may be had at `now` and was `due` then.
    ///
    /// # Errors
    /// How long until it may.
    pub(crate) fn after(self, due: Instant, now: Instant) -> Result<Instant, Duration> {
        let due = due.max(now);
        let early =
            due.saturating_since(now).saturating_sub(Duration::from_nanos(self.tolerance_nanos));
        if early.is_zero() {
            Ok(due + Duration::from_nanos(self.interval_nanos))
        } else {
            Err(early)
        }
    }

    /// When the next one is due if one that was refused counts, too, up to `most` and the burst.
    pub(crate) fn pressed(self, due: Instant, most: Instant) -> Instant {
        let most = most + Duration::from_nanos(self.tolerance_nanos);
        (due + Duration::from_nanos(self.interval_nanos)).min(most.max(due))
    }
}
