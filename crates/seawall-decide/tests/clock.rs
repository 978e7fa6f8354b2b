//! Clocks that step back and forth by any amount: nothing panics, nothing is lost, nobody is shut out.
//!
//! Everything here is given the monotonic clock, which does not step; but workers read it before they get
//! to a table, and a machine that was asleep or moved may show what it likes. Credentials, logins,
//! sessions, hashed queues and made-up paths have such tests of their own.
#![forbid(unsafe_code)]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;
use seawall_decide::{
    Asked, ConnectionDemand, DEMAND_ONE, Egress, EgressAsked, EgressConfig, Limiters, OriginBudget,
    OriginGate, OriginGateConfig, RouteBudget, RouteTerms, SiteRules, Table, TableSource, Whence,
    WorkClass, WorkOutcome, WorkPrice, WorkRequest, WorkSource, decide, route_gate,
};
use seawall_model::{
    ClientAddr, Decision, Facts, Fingerprint, Held, Instant, Limits, PerSecond, Priority, Standing,
};

fn at_ms(ms: u64) -> Instant {
    Instant::from_nanos(ms.saturating_mul(1_000_000))
}

/// Steps of milliseconds, of hours, and to both ends of time.
fn times() -> impl Strategy<Value = Vec<Instant>> {
    let time = prop_oneof![
        4 => (0u64..10_000).prop_map(at_ms),
        2 => (0u64..100_000_000).prop_map(at_ms),
        1 => any::<u64>().prop_map(Instant::from_nanos),
        1 => prop_oneof![Just(0), Just(u64::MAX)].prop_map(Instant::from_nanos),
    ];
    proptest::collection::vec(time, 1..80)
}

fn client() -> ClientAddr {
    ClientAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))
}

fn facts(held: Held) -> Facts<'static> {
    Facts { held, ..common::facts(client()) }
}

fn limits() -> Limits {
    Limits {
        held_rate: PerSecond(10.0),
        held_burst: 3,
        max_clients: 64,
        max_budgets: 64,
        max_route_budgets: 64,
        ..Limits::default()
    }
}

fn work(demand: u32) -> WorkRequest {
    let (class, source, price) = (WorkClass::Anonymous, WorkSource::Elsewhere, WorkPrice::Measured);
    WorkRequest { class, source, identity: 7, demand, template: 1, price }
}

#[test]
fn a_small_step_back_makes_nobody_wait_for_longer_than_the_step() {
    let from = Whence { client: client(), asn: None };
    let budget = RouteBudget { count: 3, per: Duration::from_secs(3) };
    let terms = RouteTerms { budget: Some((1, budget)), ..RouteTerms::default() };
    let sites = vec![SiteRules::default()];
    let table = Table::compile(TableSource { limits: limits(), sites, ..TableSource::default() });
    let (limiters, budgets) =
        (Limiters::new(&limits(), [1, 2]), OriginBudget::new(&limits(), [1, 2]));
    let held = |ms| decide(&table, &limiters, at_ms(ms), Some(0), &facts(Held::Fresh));
    let asked = |ms| route_gate(&budgets, at_ms(ms), terms, from, &facts(Held::No));
    let admits = |decision| matches!(decision, Decision::Admit(_));
    for step in [0, 5, 500] {
        // Each round a minute after the last, so that nothing is owed.
        let start = 60_000 * (step + 1);
        while admits(held(start)) {}
        while admits(asked(start)) {}
        assert!(!admits(held(start - step)) && !admits(asked(start - step)), "{step} ms");
        assert!(admits(held(start + 100)) && admits(asked(start + 1_000)), "{step} ms");
    }
}

proptest! {
    #[test]
    fn what_is_known_of_clients_survives_any_clock(times in times()) {
        let limiters = Limiters::new(&limits(), [1, 2]);
        let look = Fingerprint { field_order: Some(7), ..Fingerprint::default() };
        let look = limiters.look(&look);
        let connection = ConnectionDemand::default();
        let crowded = ClientAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
        limiters.note_demand(times[0], crowded, 1_000 * DEMAND_ONE);
        let mut open = 0;
        for (turn, &now) in times.iter().enumerate() {
            let demand = limiters.ask(now, client(), (look, None), 1, DEMAND_ONE);
            prop_assert!(demand >= DEMAND_ONE, "this attempt counts: {demand}");
            prop_assert!(demand <= (turn as u32 + 1) * DEMAND_ONE, "and no other twice: {demand}");
            let seen = (look, Some(&connection));
            let among = limiters.ask(now, crowded, seen, 100, DEMAND_ONE);
            let most = (turn as u32 + 1).max(1_000_u32.div_ceil(200) + 1) * DEMAND_ONE;
            prop_assert!(among <= most, "nor over a connection: {among}");
            open = limiters.connection_opened(now, client());
        }
        prop_assert_eq!(open as usize, times.len());
        for &now in &times {
            limiters.connection_closed(now, client());
        }
        prop_assert_eq!(limiters.open_connections(client()), 0);
    }

    #[test]
    fn budgets_survive_any_clock_and_are_paid_back(times in times(), day: u32) {
        let budgets = OriginBudget::new(&limits(), [1, 2]);
        let from = Whence { client: client(), asn: Some(64_496) };
        let take = |now| budgets.take(now, client().into(), from, Standing::Anonymous, 1_000_000);
        for (turn, &now) in times.iter().enumerate() {
            let _ = take(now);
            budgets.saw_reader(day.wrapping_mul(turn as u32), client().into(), from);
            prop_assert!(budgets.people(from) >= 1);
        }
        let last = times.iter().max().expect("at least one");
        if let Some(later) = last.as_nanos().checked_add(61_000_000_000) {
            prop_assert!(take(Instant::from_nanos(later)).is_ok(), "no debt lasts over a minute");
        }
    }

    #[test]
    fn the_gate_loses_no_permit_and_no_waiter_under_any_clock(times in times()) {
        let mut gate = OriginGate::new(OriginGateConfig {
            min_concurrency: 2,
            max_concurrency: 8,
            max_queue: 16,
            queue_timeout: Duration::from_secs(2),
            background_share: 0.5,
            max_templates: 16,
        });
        let (mut permits, mut waiting, mut gone) = (Vec::new(), 0usize, 0usize);
        for (turn, &now) in times.iter().enumerate() {
            match gate.request(now, work(turn as u32), || ()) {
                Asked::Granted(permit) => permits.push(permit),
                Asked::Queued { displaced, .. } => waiting += usize::from(displaced.is_none()),
                Asked::Full => {}
            }
            gone += gate.expire(now).len();
            if turn % 3 == 2 && let Some(mut permit) = permits.pop() {
                permit.note(now, WorkOutcome::Success);
                gate.release(now, permit);
            }
            while let Some(((), permit)) = gate.poll_grant(now) {
                waiting -= 1;
                permits.push(permit);
            }
            prop_assert_eq!(gate.counters().in_flight, permits.len());
            prop_assert_eq!(gate.counters().queued + gone, waiting);
            prop_assert!((2..=8).contains(&gate.limit()));
        }
        let end = Instant::from_nanos(u64::MAX);
        gone += gate.expire(end).len();
        prop_assert_eq!((gone, gate.counters().queued), (waiting, 0));
        for permit in permits {
            gate.release(end, permit);
        }
        prop_assert_eq!(gate.counters().in_flight, 0);
    }

    #[test]
    fn who_waits_to_send_is_served_whatever_the_clock_did(times in times()) {
        let mut egress = Egress::new(EgressConfig {
            bytes_per_second: 1_000_000,
            max_waiters: 1_000,
            seed: [1, 2],
        });
        let mut waiting = 0;
        for (turn, &now) in times.iter().enumerate() {
            let priority = if turn % 2 == 0 { Priority::Page } else { Priority::Bulk };
            let asked = egress.ask(now, turn as u128, priority, 10_000, || ());
            waiting += usize::from(matches!(asked, EgressAsked::Queued(_)));
            while egress.poll(now).is_some() {
                waiting -= 1;
            }
        }
        // Each at the time that the link names.
        while let Some(due) = egress.poll_timeout() {
            prop_assert!(egress.poll(due).is_some(), "it named a time at which nobody goes");
            waiting -= 1;
        }
        prop_assert_eq!(waiting, 0);
    }
}
