//! What mitigations may do to a request, and to whom never, as cases.

mod common;

use std::net::IpAddr;
use std::time::Duration;

use seawall_decide::{
    Limiters, MAX_OPEN_TESTS, SiteRules, Table, TableSource, Testable, Trial, decide,
    mitigation_gate,
};
use seawall_model::{
    Cause, ClientAddr, Decision, Facts, Fingerprint, Held, Instant, Limits, Met, Method,
    MitigationId, PerSecond, Rung, Test,
};

fn at_ms(ms: u64) -> Instant {
    Instant::from_nanos(0) + Duration::from_millis(ms)
}

fn facts(last: u8, held: Held) -> Facts<'static> {
    let client = ClientAddr::new(IpAddr::from([203, 0, 113, last]));
    Facts { held, ..common::facts(client) }
}

struct World {
    table: Table,
    limiters: Limiters,
    max_open: Option<u32>,
}

impl World {
    fn new() -> Self {
        let limits = Limits {
            held_rate: PerSecond(10.0),
            held_burst: 5,
            max_clients: 64,
            ..Limits::default()
        };
        let limiters = Limiters::new(&limits, [1, 2]);
        let sites = vec![SiteRules { methods: Vec::new(), routes: Vec::new() }];
        let allow = vec!["203.0.113.200/32".parse().expect("valid prefix")];
        let table = Table::compile(TableSource { allow, sites, limits, ..TableSource::default() });
        Self { table, limiters, max_open: Some(MAX_OPEN_TESTS) }
    }

    fn ask(
        &self,
        ms: u64,
        rung: Rung,
        test: Test,
        testable: Testable,
        facts: &Facts<'_>,
    ) -> Decision {
        let met = Met { id: MitigationId(1), rung, is_control: false };
        self.ask_as(ms, met, test, testable, facts)
    }

    fn ask_as(
        &self,
        ms: u64,
        met: Met,
        test: Test,
        testable: Testable,
        facts: &Facts<'_>,
    ) -> Decision {
        let now = at_ms(ms);
        let decided = decide(&self.table, &self.limiters, now, Some(0), facts);
        let tested = self.limiters.tested(facts.identity, None, 1);
        let trial = Trial { testable, test, tested, max_open: self.max_open };
        mitigation_gate((&self.table, &self.limiters), now, decided, Some(met), trial, facts)
    }
}

#[track_caller]
fn check(rung: Rung, test: Test, testable: Testable, facts: &Facts<'_>, want: Cause) {
    let got = World::new().ask(0, rung, test, testable, facts);
    assert_eq!(got.cause(), want);
    let is_admitted = matches!(want, Cause::Default | Cause::Demoted | Cause::AllowList);
    assert_eq!(matches!(got, Decision::Admit(_)), is_admitted);
    if let Decision::Refuse(refused, _) = got {
        assert_eq!(refused.status, 429);
        assert!(refused.retry_after.is_some());
    }
}

#[test]
fn work_for_the_origin_is_put_off_tested_or_refused() {
    use {Rung as R, Test as T, Testable as B};
    let page = facts(7, Held::No);
    check(R::Observe, T::None, B::Page, &page, Cause::Default);
    check(R::Demote, T::None, B::Page, &page, Cause::Demoted);
    check(R::Challenge, T::None, B::Page, &page, Cause::Challenged);
    check(R::Block, T::None, B::Page, &page, Cause::SignatureBlock);
    // Who passed is no longer suspected, and under a block waits instead of being refused.
    check(R::Demote, T::Passed, B::Page, &page, Cause::Default);
    check(R::Challenge, T::Passed, B::Page, &page, Cause::Default);
    check(R::Block, T::Passed, B::Page, &page, Cause::Demoted);
}

#[test]
fn what_no_person_waits_for_is_never_tested() {
    use {Rung as R, Test as T, Testable as B};
    let page = facts(7, Held::No);
    check(R::Challenge, T::None, B::No, &page, Cause::Demoted);
    for method in [Method::Post, Method::Put, Method::Options, Method::Extension] {
        let form = Facts { method, ..page };
        check(R::Challenge, T::None, B::Page, &form, Cause::Demoted);
    }
}

#[test]
fn who_is_kept_out_of_a_block_is_tested_and_refused_with_what_cannot_be() {
    let control = Met { id: MitigationId(1), rung: Rung::Challenge, is_control: true };
    let page = facts(7, Held::No);
    let form = Facts { method: Method::Post, ..page };
    for (facts, testable, test, want) in [
        (&page, Testable::Page, Test::None, Cause::Challenged),
        (&page, Testable::No, Test::None, Cause::SignatureBlock),
        (&form, Testable::Page, Test::None, Cause::SignatureBlock),
        // Who has passed it somewhere else brings the pass along.
        (&form, Testable::Page, Test::Passed, Cause::Default),
    ] {
        let got = World::new().ask_as(0, control, test, testable, facts);
        assert_eq!(got.cause(), want);
    }
}

#[test]
fn a_page_in_hand_is_refused_to_nobody_for_a_signature() {
    for rung in Rung::ALL {
        for held in [Held::Fresh, Held::Stale, Held::Archived] {
            check(rung, Test::None, Testable::Page, &facts(7, held), Cause::Default);
        }
    }
}

#[test]
fn the_allow_list_stands_above_mitigations() {
    check(Rung::Block, Test::None, Testable::Page, &facts(200, Held::No), Cause::AllowList);
}

#[test]
fn who_is_blocked_and_floods_has_to_be_quiet_before_the_next_page_in_hand() {
    let served = |rung| {
        let world = World::new();
        let flood = facts(7, Held::Fresh);
        // 100 a second for 20 s, ten times the budget; then a minute later one.
        let asked = (0..2_000).filter(|at| {
            let got = world.ask(at * 10, rung, Test::None, Testable::Page, &flood);
            matches!(got, Decision::Admit(_))
        });
        let served = asked.count();
        let later = world.ask(80_000, rung, Test::None, Testable::Page, &flood);
        assert_eq!(later, Decision::Admit(Cause::Default), "it was quiet");
        served
    };
    assert!((200..=206).contains(&served(Rung::Demote)), "the budget");
    assert!(served(Rung::Block) < 12, "the burst");
}

#[test]
fn who_never_passes_is_refused_for_a_minute() {
    let world = World::new();
    let page = facts(7, Held::No);
    let tested = world.limiters.tested(page.identity, None, 1);
    let ask = |ms, testable| world.ask(ms, Rung::Challenge, Test::None, testable, &page).cause();
    for _ in 0..MAX_OPEN_TESTS {
        assert_eq!(ask(0, Testable::Page), Cause::Challenged);
        world.limiters.test_set(at_ms(0), tested);
    }
    assert_eq!(ask(0, Testable::Page), Cause::Unsolved);
    assert_eq!(ask(0, Testable::No), Cause::Unsolved);
    let held = world.ask(0, Rung::Challenge, Test::None, Testable::Page, &facts(7, Held::Fresh));
    assert_eq!(held, Decision::Admit(Cause::Default));
    let other = world.ask(0, Rung::Challenge, Test::None, Testable::Page, &facts(8, Held::No));
    assert_eq!(other.cause(), Cause::Challenged, "the neighbour");
    assert_eq!(ask(61_000, Testable::Page), Cause::Challenged);
}

#[test]
fn nobody_is_refused_for_the_tests_of_a_crowd_that_looks_alike() {
    let world = World { max_open: None, ..World::new() };
    let page = facts(7, Held::No);
    let tested = world.limiters.tested(page.identity, None, 64);
    for _ in 0..200 {
        world.limiters.test_set(at_ms(0), tested);
    }
    let asked = world.ask(0, Rung::Challenge, Test::None, Testable::Page, &page);
    assert_eq!(asked.cause(), Cause::Challenged);
}

#[test]
fn people_behind_one_address_are_tested_by_look() {
    let world = World::new();
    let page = facts(7, Held::No);
    let look = |field_order| {
        let fingerprint = Fingerprint { field_order: Some(field_order), ..Fingerprint::default() };
        world.limiters.look(&fingerprint)
    };
    let of = |field_order, people| world.limiters.tested(page.identity, look(field_order), people);
    assert_ne!(of(1, 2), of(2, 2));
    assert_eq!(of(1, 1), of(2, 1), "who is alone answers for all its looks");
}

#[test]
fn a_pass_serves_one_reader_and_not_a_botnet() {
    let world = World::new();
    let taken = (0..1_000).filter(|_| world.limiters.take_pass(at_ms(0), 7)).count();
    assert_eq!(taken, 60);
    assert!(world.limiters.take_pass(at_ms(0), 8), "another pass");
    assert!(world.limiters.take_pass(at_ms(1_000), 7), "one a second");
}

#[test]
fn what_is_shown_again_is_no_first_use() {
    let world = World::new();
    assert!(world.limiters.is_first_use(at_ms(0), b"ticket"));
    assert!(!world.limiters.is_first_use(at_ms(1_000), b"ticket"));
    assert!(world.limiters.is_first_use(at_ms(1_000), b"another"));
}
