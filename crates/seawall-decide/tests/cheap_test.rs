//! The cheap test as a conversation: what is shown, and what comes next.

mod common;

use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;

use seawall_decide::{
    CredentialKeys, Limiters, MAX_OPEN_TESTS, NextStep, SiteRules, Table, TableSource, TestAsker,
    TestOutcome, TestShown, Testable, test_gate,
};
use seawall_model::{
    Cause, ClientAddr, Decision, Facts, Held, Identity, Instant, Limits, Met, MitigationId, Rung,
    Test, WallTime,
};

const HOST: &str = "example.org";
const ALONE: TestAsker = TestAsker { testable: Testable::Page, people: 1, is_crowd: false };

fn facts(path: &'static [u8], held: Held) -> Facts<'static> {
    Facts { path, held, ..common::facts(ClientAddr::new(IpAddr::from([203, 0, 113, 7]))) }
}

struct Gate {
    table: Table,
    limiters: Limiters,
    keys: CredentialKeys,
}

impl Gate {
    fn new() -> Self {
        let sites = vec![SiteRules { methods: Vec::new(), routes: Vec::new() }];
        Self {
            table: Table::compile(TableSource { sites, ..TableSource::default() }),
            limiters: Limiters::new(&Limits::default(), [1, 2]),
            keys: CredentialKeys::new(&[7; 32], None),
        }
    }

    /// At second `at`, with a pass in a cookie and a ticket in the address.
    fn ask(
        &self,
        (at, rung): (u64, Rung),
        asker: TestAsker,
        (pass, ticket): (Option<&str>, Option<&str>),
        facts: &Facts<'_>,
    ) -> TestOutcome {
        let now = Instant::from_nanos(0) + Duration::from_secs(at);
        let carried = (pass.map(str::as_bytes), ticket.map(str::as_bytes));
        let by = (&self.keys, &self.limiters);
        let met = Met { id: MitigationId(1), rung, is_control: false };
        let decided = Decision::Admit(Cause::Default);
        let shown = || TestShown::of(by, (now, wall(at)), carried, facts);
        test_gate((&self.table, &self.limiters), now, (decided, met), asker, shown, facts)
    }

    /// What somebody is sent around with: ticket and pass.
    fn around(&self, at: u64) -> (String, String) {
        let who = (Identity::from(facts(b"/", Held::No).client), 1, 0);
        let (ticket, pass) = self.keys.sent_around(wall(at), HOST, who);
        (ticket.as_str().to_owned(), pass.as_str().to_owned())
    }
}

fn wall(at: u64) -> WallTime {
    WallTime::from_unix_secs(1_772_560_800 + at)
}

#[track_caller]
fn check(out: &TestOutcome, cause: Cause, next: Option<NextStep>, test: Test) {
    assert_eq!((out.decision.cause(), out.next, out.test), (cause, next, test));
    assert!(matches!(out.decision, Decision::Admit(_)) || cause != Cause::Default);
}

#[test]
fn who_keeps_cookies_comes_back_twice_and_has_passed_once() {
    let (gate, page) = (Gate::new(), facts(b"/search", Held::No));
    let test = |at, shows| gate.ask((at, Rung::Challenge), ALONE, shows, &page);
    check(&test(0, (None, None)), Cause::Challenged, Some(NextStep::Around), Test::Set);
    let (ticket, pass) = gate.around(0);
    let both = test(0, (Some(&pass), Some(&ticket)));
    check(&both, Cause::Challenged, Some(NextStep::Clean), Test::None);
    check(&test(0, (Some(&pass), None)), Cause::Default, None, Test::Passed);
    check(&test(1, (Some(&pass), None)), Cause::Default, None, Test::Carried);
}

#[test]
fn who_keeps_none_waits_and_passes_for_one_page() {
    let (gate, page) = (Gate::new(), facts(b"/search", Held::No));
    let test = |at, ticket| gate.ask((at, Rung::Challenge), ALONE, (None, ticket), &page);
    let (ticket, _) = gate.around(0);
    let early = test(1, Some(ticket.as_str()));
    check(&early, Cause::Challenged, Some(NextStep::Wait(7)), Test::Set);
    let waited = test(9, Some(ticket.as_str()));
    check(&waited, Cause::Default, None, Test::Passed);
    assert!(waited.earned.is_some());
    let again = test(10, Some(ticket.as_str()));
    check(&again, Cause::Challenged, Some(NextStep::Around), Test::Set);
    assert!(again.earned.is_none());
}

#[test]
fn a_turn_passes_no_test() {
    let (gate, page) = (Gate::new(), facts(b"/search", Held::No));
    let who = (Identity::from(page.client), 64, 0);
    let now = Instant::from_nanos(0);
    let turn = gate.keys.turn(&gate.limiters, (now, wall(0)), HOST, who);
    let turn = Some(turn.as_str());
    for shows in [(turn, None), (None, turn), (turn, turn)] {
        let out = gate.ask((9, Rung::Challenge), ALONE, shows, &page);
        check(&out, Cause::Challenged, Some(NextStep::Around), Test::Set);
        let out = gate.ask((9, Rung::Demote), ALONE, shows, &page);
        check(&out, Cause::Demoted, None, Test::None);
    }
}

#[test]
fn a_redirect_never_leads_to_another_site() {
    let gate = Gate::new();
    let (ticket, pass) = gate.around(0);
    for path in [&b"//evil.example/"[..], b"/\\evil.example/"] {
        let page = facts(path, Held::No);
        let out = gate.ask((0, Rung::Challenge), ALONE, (Some(&pass), Some(&ticket)), &page);
        assert_eq!((out.decision.cause(), out.next), (Cause::Default, None));
    }
}

#[test]
fn nothing_is_asked_or_taken_where_no_test_is_due() {
    let gate = Gate::new();
    let (now, page) = (Instant::from_nanos(0), facts(b"/", Held::No));
    let refused = {
        let refusal = seawall_model::Refusal { status: 429, retry_after: None, close: false };
        Decision::Refuse(refusal, Cause::OriginBudget)
    };
    let default = Decision::Admit(Cause::Default);
    for (decided, rung, held) in [
        (default, Rung::Observe, Held::No),
        (default, Rung::Challenge, Held::Fresh),
        (default, Rung::Block, Held::Stale),
        (Decision::Admit(Cause::AllowList), Rung::Block, Held::No),
        (refused, Rung::Challenge, Held::No),
    ] {
        let was_asked = Cell::new(false);
        let shown = || {
            was_asked.set(true);
            TestShown::NOTHING
        };
        let met = Met { id: MitigationId(1), rung, is_control: false };
        let facts = Facts { held, ..page };
        let tables = (&gate.table, &gate.limiters);
        let out = test_gate(tables, now, (decided, met), ALONE, shown, &facts);
        assert_eq!((out.decision, out.next, out.test), (decided, None, Test::None));
        assert!(!was_asked.get(), "{rung:?} {held:?}");
    }
}

#[test]
fn who_looks_at_the_page_that_waits_again_and_again_opens_no_further_test() {
    let (gate, page) = (Gate::new(), facts(b"/search", Held::No));
    let test = |at, ticket| gate.ask((at, Rung::Challenge), ALONE, (None, ticket), &page);
    let (ticket, _) = gate.around(0);
    check(&test(0, None), Cause::Challenged, Some(NextStep::Around), Test::Set);
    for _ in 0..2 * MAX_OPEN_TESTS {
        let early = test(1, Some(ticket.as_str()));
        check(&early, Cause::Challenged, Some(NextStep::Wait(7)), Test::Set);
    }
    // One is open: others may be set, up to as many as are refused, and who waits goes on waiting then.
    (1..MAX_OPEN_TESTS).for_each(|_| assert_eq!(test(2, None).decision.cause(), Cause::Challenged));
    assert_eq!(test(2, None).decision.cause(), Cause::Unsolved);
    check(&test(3, Some(ticket.as_str())), Cause::Challenged, Some(NextStep::Wait(5)), Test::Set);
    // What loads no page does not wait.
    let script = TestAsker { testable: Testable::No, ..ALONE };
    let other = gate.ask((3, Rung::Challenge), script, (None, Some(ticket.as_str())), &page);
    check(&other, Cause::Unsolved, None, Test::None);
    check(&test(9, Some(ticket.as_str())), Cause::Default, None, Test::Passed);
}

#[test]
fn a_pass_that_was_used_before_leaves_no_test_open_either() {
    let (gate, page) = (Gate::new(), facts(b"/search", Held::No));
    let test = |pass| gate.ask((0, Rung::Challenge), ALONE, (pass, None), &page);
    // All that one reader is sent around with within a second is the same pass.
    let (_, pass) = gate.around(0);
    for tab in 0..2 * MAX_OPEN_TESTS {
        check(&test(None), Cause::Challenged, Some(NextStep::Around), Test::Set);
        let want = if tab == 0 { Test::Passed } else { Test::Carried };
        check(&test(Some(pass.as_str())), Cause::Default, None, want);
    }
}

#[test]
fn open_tests_count_against_one_and_not_against_a_crowd() {
    let page = facts(b"/", Held::No);
    let crowd = TestAsker { is_crowd: true, ..ALONE };
    for (asker, last) in [(ALONE, Cause::Unsolved), (crowd, Cause::Challenged)] {
        let gate = Gate::new();
        let ask = || gate.ask((0, Rung::Challenge), asker, (None, None), &page);
        (0..MAX_OPEN_TESTS).for_each(|_| assert_eq!(ask().decision.cause(), Cause::Challenged));
        assert_eq!(ask().decision.cause(), last);
    }
}

#[test]
fn readers_who_look_like_bots_behind_their_address_are_not_refused_for_what_these_left_open() {
    let page = facts(b"/", Held::No);
    for (people, most) in [(1, 20), (15, 20), (40, 100), (64, 160), (5_000, 160)] {
        let (gate, asker) = (Gate::new(), TestAsker { people, ..ALONE });
        let ask = |_: &u32| gate.ask((0, Rung::Challenge), asker, (None, None), &page);
        let asked = (0..1_000).take_while(|n| ask(n).decision.cause() == Cause::Challenged);
        assert_eq!(asked.count(), most, "{people} known there");
    }
}

#[test]
fn what_can_be_no_test_waits_behind_all_others() {
    let (gate, page) = (Gate::new(), facts(b"/feed/", Held::No));
    let asker = TestAsker { testable: Testable::No, ..ALONE };
    let out = gate.ask((0, Rung::Challenge), asker, (None, None), &page);
    check(&out, Cause::Demoted, None, Test::None);
}
