//! The origin gate, rule by rule, and what holds whatever comes.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use seawall_decide::{
    Asked, DEMAND_ONE, OriginGate, OriginGateConfig, OriginPermit, Ticket, WorkClass, WorkOutcome,
    WorkPrice, WorkRequest, WorkSource,
};
use seawall_model::Instant;

const TIMEOUT: Duration = Duration::from_millis(2_000);

fn at_ms(ms: u64) -> Instant {
    Instant::from_nanos(0) + Duration::from_millis(ms)
}

/// A gate whose limit stands still.
fn pinned(concurrency: usize, max_queue: usize) -> OriginGateConfig {
    OriginGateConfig {
        min_concurrency: concurrency,
        max_concurrency: concurrency,
        max_queue,
        queue_timeout: TIMEOUT,
        background_share: 0.5,
        max_templates: 64,
    }
}

fn of(class: WorkClass, demand: u32) -> WorkRequest {
    let source = WorkSource::Elsewhere;
    WorkRequest {
        class,
        source,
        identity: 7,
        demand: demand * DEMAND_ONE,
        template: 1,
        price: WorkPrice::Measured,
    }
}

fn anonymous(demand: u32) -> WorkRequest {
    of(WorkClass::Anonymous, demand)
}

fn from_tor(demand: u32) -> WorkRequest {
    WorkRequest { source: WorkSource::Tor, ..anonymous(demand) }
}

fn granted(asked: Asked<u32>) -> OriginPermit {
    match asked {
        Asked::Granted(permit) => permit,
        other => panic!("expected a permit: {other:?}"),
    }
}

fn queued(asked: Asked<u32>) -> (Ticket, Option<u32>) {
    match asked {
        Asked::Queued { ticket, displaced } => (ticket, displaced),
        other => panic!("expected a place in the queue: {other:?}"),
    }
}

fn ask(gate: &mut OriginGate<u32>, request: WorkRequest, name: u32) -> Asked<u32> {
    gate.request(at_ms(0), request, || name)
}

/// Gives `permit` back; who goes instead.
fn pass_on(
    gate: &mut OriginGate<u32>,
    ms: u64,
    permit: OriginPermit,
) -> Option<(u32, OriginPermit)> {
    gate.release(at_ms(ms), permit);
    gate.poll_grant(at_ms(ms))
}

#[test]
fn better_classes_then_less_demand_then_order_of_arrival() {
    let mut gate = OriginGate::new(pinned(1, 10));
    let mut permit = granted(ask(&mut gate, anonymous(0), 0));
    let waiting = [
        (of(WorkClass::Demoted, 0), 6),
        (anonymous(5), 3),
        (anonymous(1), 2),
        (anonymous(5), 4),
        (anonymous(90), 5),
        (of(WorkClass::Passed, 90), 1),
    ];
    for (request, name) in waiting {
        queued(ask(&mut gate, request, name));
    }
    for want in 1..=6 {
        let (name, next) = pass_on(&mut gate, 7, permit).expect("somebody waits");
        assert_eq!(name, want);
        assert_eq!((next.identity(), next.granted_at()), (7, at_ms(7)));
        permit = next;
    }
    assert!(pass_on(&mut gate, 7, permit).is_none());
    let counters = gate.counters();
    assert_eq!((counters.in_flight, counters.queued, counters.granted()), (0, 0, 7));
    assert_eq!((counters.peak_in_flight, counters.peak_queued, counters.refused()), (1, 6, 0));
}

#[test]
fn a_better_newcomer_displaces_the_last_in_line() {
    let mut gate = OriginGate::new(pinned(1, 2));
    let _permit = granted(ask(&mut gate, anonymous(0), 0));
    let (ticket, _) = queued(ask(&mut gate, anonymous(70), 1));
    queued(ask(&mut gate, anonymous(3), 2));
    assert!(matches!(ask(&mut gate, anonymous(70), 3), Asked::Full), "no less demand");
    assert_eq!(queued(ask(&mut gate, anonymous(30), 4)).1, Some(1));
    assert_eq!(gate.cancel(ticket), None, "it is gone already");
    assert!(matches!(ask(&mut gate, of(WorkClass::Demoted, 0), 5), Asked::Full));
    assert_eq!(queued(ask(&mut gate, of(WorkClass::SignedIn, 900), 6)).1, Some(4));
    let counters = gate.counters();
    assert_eq!(counters.refused(), 4);
    assert_eq!(counters.classes[WorkClass::Demoted.index()].refused, 1);
    assert_eq!(counters.classes[WorkClass::SignedIn.index()].queued, 1);
}

#[test]
fn the_places_of_tor_go_to_those_from_there_who_asked_for_least() {
    let mut gate = OriginGate::new(pinned(1, 10));
    let _permit = granted(ask(&mut gate, anonymous(0), 0));
    queued(ask(&mut gate, from_tor(90), 1));
    (2..=10).for_each(|name| assert_eq!(queued(ask(&mut gate, anonymous(0), name)).1, None));
    assert_eq!(queued(ask(&mut gate, from_tor(30), 11)).1, Some(1), "and nobody else's place");
    assert!(matches!(ask(&mut gate, from_tor(90), 12), Asked::Full));
    let demoted = WorkRequest { class: WorkClass::Demoted, ..from_tor(0) };
    assert!(matches!(ask(&mut gate, demoted, 13), Asked::Full), "of a worse class");
    assert!(matches!(ask(&mut gate, anonymous(30), 14), Asked::Full), "from elsewhere");
    assert_eq!((gate.counters().queued, gate.counters().refused()), (10, 4));
}

#[test]
fn background_takes_spare_capacity_only() {
    let mut gate = OriginGate::new(pinned(4, 3));
    let background = of(WorkClass::Background, 0);
    let first = granted(ask(&mut gate, background, 1));
    let second = granted(ask(&mut gate, background, 2));
    assert_eq!(second.class(), WorkClass::Background);
    queued(ask(&mut gate, background, 3));
    let third = granted(ask(&mut gate, anonymous(900), 4));
    let _fourth = granted(ask(&mut gate, anonymous(900), 5));
    queued(ask(&mut gate, anonymous(900), 6));
    queued(ask(&mut gate, anonymous(900), 7));
    assert_eq!(queued(ask(&mut gate, anonymous(901), 8)).1, Some(3), "it leaves first");
    assert!(matches!(ask(&mut gate, background, 9), Asked::Full), "and pushes nobody out");
    assert_eq!(pass_on(&mut gate, 1, first).expect("readers wait").0, 6);
    queued(ask(&mut gate, background, 10));
    assert_eq!(pass_on(&mut gate, 1, second).expect("readers wait").0, 7);
    assert_eq!(pass_on(&mut gate, 1, third).expect("readers wait").0, 8);
    assert_eq!(gate.counters().classes[WorkClass::Background.index()].queued, 1);
}

#[test]
fn an_idle_origin_takes_background_work_whatever_the_share() {
    for background_share in [0.0, f32::NAN, -1.0] {
        let mut gate = OriginGate::new(OriginGateConfig { background_share, ..pinned(1, 1) });
        let permit = granted(ask(&mut gate, of(WorkClass::Background, 0), 1));
        queued(ask(&mut gate, of(WorkClass::Background, 0), 2));
        assert_eq!(pass_on(&mut gate, 0, permit).expect("origin is idle").0, 2);
    }
}

#[test]
fn shares_are_kept_for_known_readers_and_tor_once_they_are_about() {
    let mut gate = OriginGate::new(pinned(10, 20));
    let mut out: Vec<_> = (0..10).map(|n| granted(ask(&mut gate, anonymous(1), n))).collect();
    // Nobody of them was seen: nothing is kept. Now both are.
    queued(ask(&mut gate, from_tor(90), 100));
    queued(ask(&mut gate, of(WorkClass::AgedReader, 90), 101));
    for name in 0..3 {
        queued(ask(&mut gate, anonymous(1), name));
    }
    let (mut went, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let permit = out.pop().expect("ten are out");
        gate.release(at_ms(1), permit);
        while let Some((name, permit)) = gate.poll_grant(at_ms(1)) {
            went.push(name);
            kept.push(permit);
        }
    }
    assert_eq!(went, [101, 100], "the third permit is kept for a second aged reader");
    assert_eq!(gate.counters().classes[WorkClass::Anonymous.index()].queued, 3);
    let reader = granted(ask(&mut gate, of(WorkClass::SignedIn, 90), 7));
    assert_eq!(reader.class(), WorkClass::SignedIn);
    // A minute later nobody keeps anything.
    gate.release(at_ms(61_000), reader);
    assert_eq!(gate.expire(at_ms(61_000)).len(), 3);
    let later = gate.request(at_ms(61_000), anonymous(1), || 9);
    assert!(matches!(later, Asked::Granted(_)));
}

#[test]
fn expensive_templates_fill_a_quarter_of_the_limit() {
    let mut gate = OriginGate::new(pinned(8, 20));
    let search = WorkRequest { template: 9 << 40, ..anonymous(1) };
    let page = |kind: u64| WorkRequest { template: kind << 50, ..anonymous(1) };
    for round in 0..100u64 {
        for (request, ms) in [(page(1), 40), (page(2), 50), (page(3), 45), (search, 400)] {
            let mut permit = granted(gate.request(at_ms(round * 1_000), request, || 0));
            permit.note(at_ms(round * 1_000 + ms), WorkOutcome::Success);
            gate.release(at_ms(round * 1_000 + ms), permit);
        }
    }
    assert!(gate.relative_cost(search.template) > 5.0);
    let first = granted(ask(&mut gate, search, 1));
    let _second = granted(ask(&mut gate, search, 2));
    queued(ask(&mut gate, search, 3));
    let _page = granted(ask(&mut gate, page(1), 4));
    assert_eq!(pass_on(&mut gate, 1, first).expect("a search waits").0, 3);
}

/// A gate that knows what four kinds of pages cost.
fn measured() -> OriginGate<u32> {
    let mut gate = OriginGate::new(pinned(8, 20));
    for round in 0..100u64 {
        for (kind, ms) in [(1, 40), (2, 50), (3, 45), (4, 42)] {
            let page = WorkRequest { template: kind << 50, ..anonymous(1) };
            let mut permit = granted(gate.request(at_ms(round * 1_000), page, || 0));
            permit.note(at_ms(round * 1_000 + ms), WorkOutcome::Success);
            gate.release(at_ms(round * 1_000 + ms), permit);
        }
    }
    gate
}

#[test]
fn of_what_nobody_saw_answered_the_first_goes_at_once_and_the_next_fill_a_quarter_of_their_own() {
    let mut gate = measured();
    let page = |template| WorkRequest { template, ..anonymous(1) };
    let costly = WorkRequest { price: WorkPrice::Costly, ..anonymous(1) };
    let mut first = granted(ask(&mut gate, page(9 << 60), 1));
    let _dear = [2, 3].map(|name| granted(ask(&mut gate, costly, name)));
    queued(ask(&mut gate, costly, 4));
    let _next = [5, 6].map(|name| granted(ask(&mut gate, page(9 << 60), name)));
    queued(ask(&mut gate, page(9 << 60), 7));
    // Other kinds that nobody asked for go as any page does.
    let _others = [8, 9].map(|kind| granted(ask(&mut gate, page(kind << 56), 8)));
    first.note(at_ms(45), WorkOutcome::Success);
    gate.release(at_ms(45), first);
    let _as_others = granted(gate.request(at_ms(45), page(9 << 60), || 9));
    let mut cold = OriginGate::new(pinned(8, 20));
    let all: Vec<OriginPermit> =
        (0..8).map(|name| granted(ask(&mut cold, page(9 << 60), name))).collect();
    assert_eq!(all.len(), 8, "where nothing is known nothing is out of the ordinary");
}

#[test]
fn of_dear_pages_that_are_demoted_one_is_at_work() {
    let mut gate = OriginGate::new(pinned(16, 20));
    let costly = |class| WorkRequest { price: WorkPrice::Costly, ..of(class, 1) };
    let first = granted(ask(&mut gate, costly(WorkClass::Demoted), 1));
    queued(ask(&mut gate, costly(WorkClass::Demoted), 2));
    let readers: Vec<OriginPermit> =
        (3..6).map(|name| granted(ask(&mut gate, costly(WorkClass::Anonymous), name))).collect();
    assert_eq!(readers.len(), 3, "readers have a quarter of the limit");
    queued(ask(&mut gate, costly(WorkClass::Anonymous), 6));
    assert_eq!(pass_on(&mut gate, 1, first).expect("a reader waits").0, 6);
}

#[test]
fn an_attack_on_a_few_dear_kinds_goes_one_at_a_time_however_long_it_lasts() {
    let kind = |kind: u64, class| WorkRequest { template: kind << 60, ..of(class, 1) };
    let rounds = |class| {
        let mut gate = OriginGate::new(pinned(16, 20));
        for round in 0..200u64 {
            let pages = [(1, 7), (2, 35), (3, 60)];
            let dear = [(10, 660), (11, 700), (12, 640), (13, 680)];
            let pages = pages.map(|(page, ms)| (kind(page, WorkClass::Anonymous), ms));
            for (request, ms) in
                pages.into_iter().chain(dear.map(|(one, ms)| (kind(one, class), ms)))
            {
                let mut permit = granted(gate.request(at_ms(round * 1_000), request, || 0));
                permit.note(at_ms(round * 1_000 + ms), WorkOutcome::Success);
                gate.release(at_ms(round * 1_000 + ms), permit);
            }
        }
        gate
    };
    let mut gate = rounds(WorkClass::Demoted);
    let now = at_ms(300_000);
    let _first = granted(gate.request(now, kind(10, WorkClass::Demoted), || 1));
    for one in [10, 11, 12, 13] {
        queued(gate.request(now, kind(one, WorkClass::Demoted), || 2));
    }
    let _page = granted(gate.request(now, kind(3, WorkClass::Anonymous), || 3));
    // What readers ask for as much is what this site is.
    let mut gate = rounds(WorkClass::Anonymous);
    let all: Vec<OriginPermit> = (10..14)
        .map(|one| granted(gate.request(now, kind(one, WorkClass::Demoted), || 4)))
        .collect();
    assert_eq!(all.len(), 4);
}

#[test]
fn demoted_requests_that_wait_neither_turn_the_order_nor_shut_readers_out() {
    let mut gate = OriginGate::new(pinned(1, 1_000));
    let mut permit = granted(ask(&mut gate, anonymous(1), 0));
    let demoted = of(WorkClass::Demoted, 1);
    // Half a second with more readers than can be served, then one in a while; demoted ones always.
    let mut pairs = Vec::new();
    for round in 1..=600u32 {
        let ms = u64::from(round) * 10;
        drop(gate.expire(at_ms(ms)));
        (0..4).for_each(|_| drop(gate.request(at_ms(ms), demoted, || 0)));
        let readers = match round {
            ..50 => 2,
            200.. if round % 20 == 0 => 2,
            _ => 0,
        };
        for number in 0..readers {
            let asked = gate.request(at_ms(ms), anonymous(60), || round * 2 + number);
            if round >= 200 {
                assert!(matches!(asked, Asked::Queued { .. }), "{asked:?} after {ms} ms");
            }
        }
        let (name, next) = pass_on(&mut gate, ms, permit).expect("somebody waits");
        permit = next;
        if round >= 200 && name > 0 {
            pairs.push(name % 2);
        }
    }
    assert_eq!(pairs, [0, 1].repeat(21)[..pairs.len()], "the first of two that came goes first");
    assert!(pairs.len() >= 40);
}

#[test]
fn what_the_operator_calls_costly_fills_a_quarter_of_the_limit_before_it_was_measured() {
    let mut gate = OriginGate::new(pinned(8, 20));
    let search = WorkRequest { price: WorkPrice::Costly, ..anonymous(1) };
    let first = granted(ask(&mut gate, search, 1));
    let _second = granted(ask(&mut gate, search, 2));
    queued(ask(&mut gate, search, 3));
    let _page = granted(ask(&mut gate, anonymous(1), 4));
    assert_eq!(pass_on(&mut gate, 1, first).expect("a search waits").0, 3);
}

#[test]
fn dear_pages_that_began_before_the_limit_fell_keep_nobody_out() {
    let mut gate = OriginGate::new(OriginGateConfig { min_concurrency: 1, ..pinned(8, 20) });
    for about in [of(WorkClass::SignedIn, 1), from_tor(1)] {
        let permit = granted(ask(&mut gate, about, 0));
        gate.release(at_ms(0), permit);
    }
    let search = WorkRequest { price: WorkPrice::Costly, ..anonymous(1) };
    let _searches = [0, 1].map(|name| granted(ask(&mut gate, search, name)));
    let mut ms = 0;
    while gate.limit() > 4 {
        ms += 20;
        assert!(ms < 5_000, "failures lower the limit");
        let page = WorkRequest { template: ms << 40, ..anonymous(1) };
        let mut permit = granted(gate.request(at_ms(ms), page, || 0));
        permit.note(at_ms(ms + 10), WorkOutcome::ServerError);
        gate.release(at_ms(ms + 10), permit);
    }
    // One of the two counts: three are left, of which readers and Tor have one each.
    let _page = granted(gate.request(at_ms(ms), anonymous(1), || 1));
    let _reader = granted(gate.request(at_ms(ms), of(WorkClass::AgedReader, 1), || 2));
    let _of_tor = granted(gate.request(at_ms(ms), from_tor(1), || 3));
    queued(gate.request(at_ms(ms), search, || 4));
    queued(gate.request(at_ms(ms), anonymous(1), || 5));
}

#[test]
fn dear_pages_count_towards_the_upper_end_as_any_other() {
    let mut gate = OriginGate::new(pinned(3, 20));
    let search = WorkRequest { price: WorkPrice::Costly, ..anonymous(1) };
    let _search = granted(ask(&mut gate, search, 1));
    let _pages = [2, 3].map(|name| granted(ask(&mut gate, anonymous(1), name)));
    queued(ask(&mut gate, anonymous(1), 4));
}

#[test]
fn dear_pages_wait_for_those_that_may_be_dear_and_not_the_other_way_round() {
    let mut gate = measured();
    let costly = WorkRequest { price: WorkPrice::Costly, ..anonymous(1) };
    let unseen = WorkRequest { template: 9 << 60, ..anonymous(1) };
    let _first = granted(ask(&mut gate, unseen, 1));
    let _dear = granted(ask(&mut gate, costly, 2));
    let _next = [3, 4].map(|name| granted(ask(&mut gate, unseen, name)));
    queued(ask(&mut gate, costly, 5));
}

#[test]
fn dear_pages_that_wait_have_a_quarter_of_the_places_and_keep_nobody_else_out() {
    let mut gate = OriginGate::new(pinned(4, 20));
    let search = |demand| WorkRequest { price: WorkPrice::Costly, ..anonymous(demand) };
    let _search = granted(ask(&mut gate, search(1), 0));
    let _pages = [1, 2, 3].map(|name| granted(ask(&mut gate, anonymous(1), name)));
    (10..15).for_each(|name| assert_eq!(queued(ask(&mut gate, search(90), name)).1, None));
    assert!(matches!(ask(&mut gate, search(90), 15), Asked::Full));
    let less = queued(ask(&mut gate, search(3), 16)).1;
    assert_eq!(less, Some(14), "who asked for least has these places as well");
    for name in 20..35 {
        assert_eq!(queued(ask(&mut gate, anonymous(200), name)).1, None, "{name}");
    }
    assert!(matches!(ask(&mut gate, anonymous(200), 35), Asked::Full));
    assert_eq!(gate.counters().queued, 20);
}

#[test]
fn a_flood_of_dear_pages_does_not_close_the_queue_to_who_asks_for_others() {
    let mut gate = OriginGate::new(pinned(4, 1_000));
    let search = WorkRequest { price: WorkPrice::Costly, ..anonymous(1) };
    let mut out = Vec::new();
    for round in 0..400u64 {
        let now = at_ms(round * 10);
        drop(gate.expire(now));
        // Three hundred a second of which hardly any is served, and a reader with more demand each time.
        (0..3).for_each(|_| drop(gate.request(now, search, || 0)));
        let asked = gate.request(now, anonymous(60), || 1);
        assert!(!matches!(asked, Asked::Full), "after {} ms", round * 10);
        if let Asked::Granted(permit) = asked {
            out.push((round, permit));
        }
        while let Some(at) = out.iter().position(|(since, _)| round >= since + 4) {
            gate.release(now, out.swap_remove(at).1);
        }
        while let Some((_, permit)) = gate.poll_grant(now) {
            out.push((round, permit));
        }
    }
}

#[test]
fn where_the_limit_fell_no_share_keeps_those_out_who_have_one() {
    let mut gate = OriginGate::new(pinned(10, 20));
    for about in [of(WorkClass::SignedIn, 1), from_tor(1)] {
        let permit = granted(ask(&mut gate, about, 0));
        gate.release(at_ms(0), permit);
    }
    let _others: Vec<OriginPermit> =
        (0..7).map(|name| granted(ask(&mut gate, anonymous(1), name))).collect();
    gate.reconfigure(pinned(8, 20));
    queued(ask(&mut gate, anonymous(1), 8));
    let _reader = granted(ask(&mut gate, of(WorkClass::SignedIn, 1), 9));
    queued(ask(&mut gate, from_tor(1), 10));
}

#[test]
fn what_waits_in_the_origin_takes_a_place_for_streams_and_no_permit() {
    let mut gate: OriginGate<u32> = OriginGate::new(pinned(8, 20));
    let poll = gate.open_stream(anonymous(1)).expect("there is room");
    let _other = gate.open_stream(anonymous(1)).expect("there is room");
    assert!(gate.open_stream(anonymous(1)).is_none());
    assert_eq!((gate.counters().in_flight, gate.counters().streams), (0, 2));
    gate.release_stream(poll);
    assert!(gate.open_stream(anonymous(1)).is_some());
}

#[test]
fn waiters_expire_in_time_and_can_leave_before() {
    let mut gate = OriginGate::new(pinned(1, 10));
    let permit = granted(ask(&mut gate, anonymous(0), 0));
    assert_eq!((gate.poll_timeout(), gate.oldest_wait(at_ms(9))), (None, None));
    queued(ask(&mut gate, anonymous(90), 1));
    let (ticket, _) = queued(ask(&mut gate, anonymous(1), 2));
    queued(gate.request(at_ms(50), anonymous(1), || 3));
    assert_eq!(gate.oldest_wait(at_ms(60)), Some(Duration::from_millis(60)));
    assert_eq!(gate.poll_timeout(), Some(at_ms(2_000)));
    assert_eq!(gate.expire(at_ms(1_999)), []);
    assert_eq!(gate.cancel(ticket), Some(2));
    assert_eq!(gate.cancel(ticket), None);
    assert_eq!(gate.expire(at_ms(2_000)), [1]);
    assert_eq!(pass_on(&mut gate, 2_020, permit).expect("one waits").0, 3);
    assert_eq!(gate.poll_timeout(), None);
}

#[test]
fn a_raised_limit_lets_waiters_in_and_a_lowered_one_is_reached_by_release() {
    let mut gate = OriginGate::new(pinned(1, 10));
    let mut permits = vec![granted(ask(&mut gate, anonymous(0), 0))];
    for name in 1..=4 {
        queued(ask(&mut gate, anonymous(0), name));
    }
    gate.reconfigure(pinned(3, 10));
    queued(ask(&mut gate, anonymous(0), 5));
    while let Some((_, permit)) = gate.poll_grant(at_ms(0)) {
        permits.push(permit);
    }
    assert_eq!(permits.len(), 3, "a newcomer did not overtake the waiters");
    gate.reconfigure(pinned(0, 10));
    assert_eq!(gate.limit(), 1);
    let handed_on: Vec<bool> =
        permits.into_iter().map(|permit| pass_on(&mut gate, 0, permit).is_some()).collect();
    assert_eq!(handed_on, [false, false, true]);
}

#[test]
fn streams_leave_the_limit_for_a_lane_of_a_quarter() {
    let mut gate = OriginGate::new(pinned(8, 10));
    let stream = |gate: &mut OriginGate<u32>| {
        let permit = granted(ask(gate, anonymous(1), 1));
        gate.into_stream(permit)
    };
    let first = stream(&mut gate).expect("there is room");
    let _second = stream(&mut gate).expect("there is room");
    assert_eq!((gate.counters().in_flight, gate.counters().streams), (0, 2));
    let third = stream(&mut gate).expect_err("the lane is full");
    assert_eq!((gate.counters().in_flight, gate.counters().refused_streams), (1, 1));
    gate.release(at_ms(0), third);
    gate.release_stream(first);
    assert!(stream(&mut gate).is_ok());
}

/// A gate of one permit that serves one each `every_ms`, with two newcomers of each of `demands` each
/// time, for `ms`. Who went in the last quarter, and who was refused at once then.
fn overload(demands: &[u32], every_ms: u64, ms: u64) -> (Vec<u32>, Vec<u32>) {
    let mut gate = OriginGate::new(pinned(1, 1_000));
    let mut permit = Some(granted(ask(&mut gate, anonymous(0), 0)));
    let (mut went, mut refused) = (Vec::new(), Vec::new());
    for now in (0..ms).step_by(usize::try_from(every_ms).expect("small")) {
        let counts = now > ms / 4 * 3;
        drop(gate.expire(at_ms(now)));
        for &demand in demands.iter().chain(demands) {
            let asked = gate.request(at_ms(now), anonymous(demand), || demand);
            if matches!(asked, Asked::Full) && counts {
                refused.push(demand);
            }
        }
        gate.release(at_ms(now), permit.take().expect("one is always out"));
        let (name, next) = gate.poll_grant(at_ms(now)).expect("somebody waits");
        permit = Some(next);
        if counts {
            went.push(name);
        }
    }
    (went, refused)
}

#[test]
fn under_overload_those_who_ask_for_most_are_refused_at_once_and_the_others_served() {
    let (went, refused) = overload(&[100, 60], 10, 8_000);
    assert!(went.iter().all(|&demand| demand == 60));
    assert!(refused.iter().filter(|&&demand| demand == 100).count() > 300, "{}", refused.len());
}

#[test]
fn a_burst_is_delayed_and_not_refused() {
    let mut gate = OriginGate::new(pinned(4, 1_000));
    let mut out = Vec::new();
    for name in 0..40 {
        match ask(&mut gate, anonymous(name + 1), name) {
            Asked::Granted(permit) => out.push(permit),
            Asked::Queued { displaced, .. } => assert_eq!(displaced, None),
            Asked::Full => panic!("{name} was refused"),
        }
    }
    let mut served = out.len();
    for round in 1..=10u64 {
        for permit in std::mem::take(&mut out) {
            gate.release(at_ms(round * 40), permit);
        }
        assert_eq!(gate.expire(at_ms(round * 40)), []);
        while let Some((_, permit)) = gate.poll_grant(at_ms(round * 40)) {
            out.push(permit);
        }
        served += out.len();
    }
    assert_eq!(served, 40);
}

#[test]
fn among_equals_the_newest_goes_first_while_there_is_a_standing_queue() {
    let mut gate = OriginGate::new(pinned(1, 1_000));
    let mut permit = granted(ask(&mut gate, anonymous(1), 0));
    for now in 1..=100u32 {
        let ms = u64::from(now) * 10;
        queued(gate.request(at_ms(ms), anonymous(1), || now * 2));
        queued(gate.request(at_ms(ms), anonymous(1), || now * 2 + 1));
        let (name, next) = pass_on(&mut gate, ms, permit).expect("somebody waits");
        permit = next;
        if now > 60 {
            assert_eq!(name, now * 2 + 1, "the newest of all");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(usize, bool, u32),
    Release(usize, Option<WorkOutcome>, u64),
    Stream(usize),
    Cancel(usize),
    Wait(u64),
    Reconfigure(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        6 => Just(Some(WorkOutcome::Success)),
        1 => Just(Some(WorkOutcome::ServerError)),
        1 => Just(Some(WorkOutcome::TimedOut)),
        1 => Just(None),
    ];
    prop_oneof![
        12 => (0usize..6, any::<bool>(), 0u32..200).prop_map(|(c, t, d)| Step::Ask(c, t, d)),
        8 => (any::<usize>(), outcome, 1u64..400).prop_map(|(p, o, ms)| Step::Release(p, o, ms)),
        1 => any::<usize>().prop_map(Step::Stream),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => (0u64..900).prop_map(Step::Wait),
        1 => (1usize..12).prop_map(Step::Reconfigure),
    ]
}

/// A gate with every waiter and permit accounted for.
struct Ledger {
    gate: OriginGate<u32>,
    now: u64,
    max: usize,
    /// Name, since when, ticket.
    waiting: BTreeMap<u32, (u64, Ticket)>,
    permits: Vec<OriginPermit>,
    streams: usize,
}

impl Ledger {
    fn run(&mut self, step: Step, name: u32) {
        let now = at_ms(self.now);
        match step {
            Step::Ask(class, tor, demand) => {
                let source = if tor { WorkSource::Tor } else { WorkSource::Elsewhere };
                let template = u64::from(demand % 5) << 40;
                let request = of(WorkClass::ALL[class], demand);
                let request = WorkRequest { source, template, ..request };
                match self.gate.request(now, request, || name) {
                    Asked::Granted(permit) => self.take(permit),
                    Asked::Queued { ticket, displaced } => {
                        self.waiting.insert(name, (self.now, ticket));
                        if let Some(gone) = displaced {
                            assert!(self.waiting.remove(&gone).is_some(), "it waited");
                        }
                    }
                    Asked::Full => {}
                }
            }
            Step::Release(pick, outcome, ms) if !self.permits.is_empty() => {
                let mut permit = self.permits.swap_remove(pick % self.permits.len());
                self.now += ms / 10;
                if let Some(outcome) = outcome {
                    permit.note(at_ms(self.now), outcome);
                }
                self.gate.release(at_ms(self.now), permit);
            }
            Step::Stream(pick) if !self.permits.is_empty() => {
                let permit = self.permits.swap_remove(pick % self.permits.len());
                match self.gate.into_stream(permit) {
                    Ok(_) => self.streams += 1,
                    Err(permit) => self.permits.push(permit),
                }
            }
            Step::Cancel(pick) if !self.waiting.is_empty() => {
                let name = *self.waiting.keys().nth(pick % self.waiting.len()).expect("in range");
                let (_, ticket) = self.waiting.remove(&name).expect("it waits");
                assert_eq!(self.gate.cancel(ticket), Some(name));
            }
            Step::Wait(ms) => self.now += ms,
            Step::Reconfigure(max) => {
                self.max = max;
                self.gate.reconfigure(adaptive(max));
            }
            Step::Release(..) | Step::Stream(_) | Step::Cancel(_) => {}
        }
        self.settle();
    }

    fn take(&mut self, permit: OriginPermit) {
        self.permits.push(permit);
        let (out, limit, dear) = (self.permits.len(), self.gate.limit(), self.gate.counters().dear);
        // Dear ones that the limit fell under do not count.
        let counted = out - dear.saturating_sub(limit / 4);
        assert!(counted <= limit, "{out} out, {dear} dear, at a limit of {limit}");
        assert!(
            out <= self.max && limit <= self.max,
            "{out} out, limit {limit}, {} at most",
            self.max
        );
    }

    fn settle(&mut self) {
        let now = at_ms(self.now);
        for gone in self.gate.expire(now) {
            let (since, _) = self.waiting.remove(&gone).expect("it waited");
            assert!(self.now - since >= 2_000, "not before its time");
        }
        while let Some((name, permit)) = self.gate.poll_grant(now) {
            assert!(self.waiting.remove(&name).is_some(), "it waited");
            self.take(permit);
        }
        for (since, _) in self.waiting.values() {
            assert!(self.now - since < 2_000, "nobody waits beyond the deadline");
        }
        let counters = self.gate.counters();
        assert_eq!(counters.in_flight, self.permits.len(), "no permit is lost");
        assert_eq!(counters.streams, self.streams);
        assert_eq!(counters.queued, self.waiting.len(), "no waiter is lost");
        assert!(counters.queued <= MAX_QUEUE);
        let readers = counters.queued - counters.classes[WorkClass::Background.index()].queued;
        if self.permits.is_empty() {
            assert_eq!(readers, 0, "an idle origin lets no reader wait");
        }
    }
}

const MAX_QUEUE: usize = 12;

fn adaptive(max: usize) -> OriginGateConfig {
    OriginGateConfig { min_concurrency: 2, max_concurrency: max, ..pinned(1, MAX_QUEUE) }
}

proptest! {
    #[test]
    fn no_permit_and_no_waiter_is_lost_and_no_limit_exceeded(
        max in 1usize..12,
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let mut ledger = Ledger {
            gate: OriginGate::new(adaptive(max)),
            now: 1_000,
            max,
            waiting: BTreeMap::new(),
            permits: Vec::new(),
            streams: 0,
        };
        for (name, step) in steps.into_iter().enumerate() {
            ledger.run(step, u32::try_from(name).expect("few steps"));
        }
    }

    #[test]
    fn the_share_of_known_readers_holds_against_any_number_of_others(
        limit in 2usize..40,
        demands in proptest::collection::vec(0u32..500, 50..200),
    ) {
        let mut gate = OriginGate::new(pinned(limit, 1_000));
        let first = granted(ask(&mut gate, of(WorkClass::AgedReader, 400), 0));
        gate.release(at_ms(0), first);
        let mut out = Vec::new();
        for demand in demands {
            if let Asked::Granted(permit) = ask(&mut gate, anonymous(demand), 1) {
                out.push(permit);
            }
        }
        for _ in 0..limit.div_ceil(5).min(limit - 1) {
            let asked = ask(&mut gate, of(WorkClass::AgedReader, 400), 2);
            assert!(matches!(asked, Asked::Granted(_)), "{asked:?} at a limit of {limit}");
        }
    }
}
