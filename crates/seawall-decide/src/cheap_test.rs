//! The cheap test as a rule: what a request shows of it, and what comes next for it by the mitigation that
//! it met.
//!
//! | comes with | what comes next |
//! |---|---|
//! | nothing good | around: to itself, with a ticket in the address and a pass in a cookie |
//! | the pass and a ticket | to the address without the ticket |
//! | the pass | the page |
//! | a ticket that is too young | a page that loads itself again when the ticket is good |
//! | a ticket that is good, for the first time | the page, and a pass |
//!
//! **No loop:** only a request without a ticket, or with one that is used up, is sent around, and it comes back
//! with one that is too young. Who takes cookies for one address and not for the other goes around until it
//! has left as many tests open as are refused. Who shows a ticket that is too young has opened no other test by it.
//!
//! Separate from [`mitigation_gate`] because that says what is due, and this what of it is done already. It does
//! **not** know how any of it is written into a response.

use core::time::Duration;

use seawall_model::{
    Cause, Decision, Facts, Held, Identity, Instant, Met, Method, Refusal, Rung, Test, WallTime,
};

use crate::credential::{CredentialKeys, CredentialText};
use crate::gates::CROWD;
use crate::held_gate::LOOKS;
use crate::limiters::Limiters;
use crate::mitigation_gate::{MAX_OPEN_TESTS, Testable, Trial, mitigation_gate};
use crate::table::Table;
use crate::ticket::{MIN_WAIT, TestTicket, TicketFault, TicketKind};

/// What a request shows of the test.
#[derive(Clone, Copy, Debug)]
pub struct TestShown {
    /// [`Test::Passed`] or [`Test::Carried`] if it is good for this request.
    test: Test,
    /// What to do if it has to be tested, or to be sent on.
    next: NextStep,
    /// It waited for this page: a pass is due.
    earned: Option<TestTicket>,
}

/// What comes next in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// It is asked to come back with cookie and ticket.
    Around,
    /// To the address without the ticket.
    Clean,
    /// To wait for so many seconds.
    Wait(u64),
}

/// Who asks, as far as tests go.
#[derive(Clone, Copy, Debug)]
pub struct TestAsker {
    /// Whether this request can be a test.
    pub testable: Testable,
    /// How many readers are known where it comes from.
    pub people: u32,
    /// Whether nothing is known of how many come from there, but that they are many and look alike: a Tor exit, or
    /// what seems to be a CDN.
    pub is_crowd: bool,
}

/// What became of a request that met a mitigation.
#[derive(Clone, Copy, Debug)]
pub struct TestOutcome {
    /// What is decided.
    pub decision: Decision,
    /// How it is tested or sent on; it is refused by [`Cause::Challenged`] then.
    pub next: Option<NextStep>,
    /// What becomes of its test, for whoever watches.
    pub test: Test,
    /// It waited for this page: a pass is due.
    pub earned: Option<TestTicket>,
    /// As how many it counts.
    pub people: u32,
}

impl TestShown {
    /// Nothing that is good.
    pub const NOTHING: Self = Self { test: Test::None, next: NextStep::Around, earned: None };

    /// What `pass`, in a cookie, and `ticket`, in the address, are worth for this request. What is good for it
    /// is taken. O(1), no allocation.
    pub fn of(
        (keys, limiters): (&CredentialKeys, &Limiters),
        (now, wall): (Instant, WallTime),
        (pass, ticket): (Option<&[u8]>, Option<&[u8]>),
        facts: &Facts<'_>,
    ) -> Self {
        let is_read = matches!(facts.method, Method::Get | Method::Head);
        let pass = pass.filter(|text| {
            let pass = keys.check_ticket(wall, facts.host, text);
            // A ticket is none, wherever it is put.
            pass.is_ok_and(|pass| {
                matches!(pass.kind, TicketKind::Return | TicketKind::Waited)
                    && limiters.take_pass(now, pass.number)
            })
        });
        if let Some(pass) = pass {
            if ticket.is_some() && is_read && is_local_reference(facts.path) {
                return Self { test: Test::Carried, next: NextStep::Clean, earned: None };
            }
            let is_first = limiters.is_first_use(now, pass);
            let test = if is_first { Test::Passed } else { Test::Carried };
            return Self { test, ..Self::NOTHING };
        }
        let Some(text) = ticket.filter(|_| is_read) else { return Self::NOTHING };
        match keys.check_ticket(wall, facts.host, text) {
            Ok(ticket)
                if ticket.kind == TicketKind::Wait
                    && limiters.is_first_use(now, text)
                    && limiters.take_pass(now, ticket.number) =>
            {
                Self { test: Test::Passed, earned: Some(ticket), ..Self::NOTHING }
            }
            Err(TicketFault::Early(rest)) => Self {
                next: NextStep::Wait(rest.as_secs().max(MIN_WAIT.as_secs())),
                ..Self::NOTHING
            },
            Ok(_) | Err(_) => Self::NOTHING,
        }
    }
}

/// Applies the mitigation that was met, with the test that it may ask for. `shown` is asked only where that
/// matters, because it takes what is good. O(1), no allocation.
pub fn test_gate(
    (table, limiters): (&Table, &Limiters),
    now: Instant,
    (decided, met): (Decision, Met),
    asker: TestAsker,
    shown: impl FnOnce() -> TestShown,
    facts: &Facts<'_>,
) -> TestOutcome {
    let TestAsker { testable, people, is_crowd } = asker;
    let people = if is_crowd { people.max(CROWD) } else { people };
    let tested = limiters.tested(facts.identity, limiters.look(&facts.fingerprint), people);
    let is_touched = met.rung > Rung::Observe
        && facts.held == Held::No
        && decided == Decision::Admit(Cause::Default);
    let shown = if is_touched { shown() } else { TestShown::NOTHING };
    // Who waits may look as often as people do who wait: the test was counted when the ticket was given, and the
    // page costs no more than a refusal, which would not load itself again.
    let is_waiting = testable == Testable::Page && matches!(shown.next, NextStep::Wait(_));
    let trial = Trial {
        testable,
        test: if shown.test == Test::None { Test::None } else { Test::Passed },
        tested,
        // Counted by look where people share an address, and so for as many as wear one.
        max_open: (!is_crowd && !is_waiting)
            .then(|| MAX_OPEN_TESTS * (people.min(CROWD) / LOOKS).max(1)),
    };
    let decision = mitigation_gate((table, limiters), now, decided, Some(met), trial, facts);
    let plainly =
        TestOutcome { decision, next: None, test: shown.test, earned: shown.earned, people };
    match (decision, shown.next) {
        (Decision::Refuse(_, Cause::Challenged), next) => {
            if !is_waiting {
                limiters.test_set(now, tested);
            }
            TestOutcome { next: Some(next), test: Test::Set, earned: None, ..plainly }
        }
        (Decision::Admit(_), NextStep::Clean) => {
            let redirect = Refusal { status: 307, retry_after: None, close: false };
            let decision = Decision::Refuse(redirect, Cause::Challenged);
            TestOutcome { decision, next: Some(NextStep::Clean), test: Test::None, ..plainly }
        }
        _ => {
            // A pass from before is as good: tabs that were opened within a second bring the same one.
            if shown.test != Test::None {
                limiters.test_passed(now, tested);
            }
            plainly
        }
    }
}

impl CredentialKeys {
    /// What `who`, one of `people` who ask as one, is sent around with: a ticket for the address and a pass
    /// for a cookie. `dice` are random.
    pub fn sent_around(
        &self,
        wall: WallTime,
        host: &str,
        (who, people, dice): (Identity, u32, u64),
    ) -> (CredentialText, CredentialText) {
        let number = self.ticket_number(wall, who, people, dice);
        let unproved = TestTicket { kind: TicketKind::Return, number };
        (self.wait_ticket(wall, host, number, WAIT), self.pass(wall, host, &unproved))
    }
}

/// How long who takes no cookies waits.
const WAIT: Duration = Duration::from_secs(8);

/// Whether a path may stand at the begin of a reference: `//name/` and, for browsers, `/\name/` are
/// another site's.
pub const fn is_local_reference(path: &[u8]) -> bool {
    !matches!(path, [b'/', b'/' | b'\\', ..])
}
