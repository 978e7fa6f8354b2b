//! One table of clients, by itself and before hostile callers.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::proptest;

use crate::adversary::check_spread;

use super::{
    ClientAddr, DEMAND_ONE, Duration, HeldBudget, Instant, Limiters, Limits, Look, PerSecond,
};

fn limiters(max_clients: usize) -> Limiters {
    Limiters::new(&Limits { max_clients, ..Limits::default() }, [7, 11])
}

fn client(number: u32) -> ClientAddr {
    ClientAddr::new(IpAddr::V4(Ipv4Addr::from_bits(number)))
}

fn at_ms(ms: u64) -> Instant {
    Instant::from_nanos(0) + Duration::from_millis(ms)
}

#[test]
fn memory_is_what_the_limit_says_and_never_grows() {
    for (clients, records) in [(0, 8), (1, 8), (9, 16), (1 << 17, 1 << 17)] {
        let limiters = limiters(clients);
        let bytes = limiters.bytes();
        let hashed = (records / 32).max(64) * 16;
        let tests = (256 + 128) * 1024;
        let beside = hashed + 128 * 1024 + 24 * Limits::default().max_offenders + tests;
        let own = bytes - size_of::<Limiters>() - beside;
        assert_eq!(own, records * 40, "{clients} clients");
        for number in 0..1_000 {
            limiters.note_demand(at_ms(0), client(number), DEMAND_ONE);
        }
        assert_eq!(limiters.bytes(), bytes);
    }
}

#[test]
fn open_connections_are_counted_per_identity() {
    let limiters = limiters(64);
    let a = ClientAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1)));
    let same_64 = ClientAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9)));
    assert_eq!(limiters.connection_opened(at_ms(0), a), 1);
    assert_eq!(limiters.connection_opened(at_ms(0), same_64), 2);
    assert_eq!(limiters.connection_opened(at_ms(0), client(1)), 1);
    limiters.connection_closed(at_ms(1), a);
    assert_eq!(limiters.open_connections(same_64), 1);
    for _ in 0..3 {
        limiters.connection_closed(at_ms(1), a);
    }
    assert_eq!(limiters.open_connections(a), 0, "one close too many does not wrap");
}

#[test]
fn demand_halves_in_thirty_seconds() {
    let limiters = limiters(64);
    limiters.note_demand(at_ms(0), client(1), 10 * DEMAND_ONE);
    assert_eq!(limiters.demand(at_ms(0), client(1)), 10 * DEMAND_ONE);
    assert_eq!(limiters.demand(at_ms(30_000), client(1)), 5 * DEMAND_ONE);
    assert_eq!(limiters.demand(at_ms(0), client(2)), 0);
}

/// What a client of this address asked for that many times a second for two minutes, and is then
/// ranked by; `look` gives it one for each request.
fn asked(limiters: &Limiters, who: ClientAddr, per_s: u64, look: impl Fn(u64) -> u64) -> u32 {
    let times = (0..120 * per_s).map(|n| (n * 1_000 / per_s, Look(look(n))));
    times.fold(0, |_, (ms, look)| {
        limiters.ask(at_ms(ms), who, (Some(look), None), 1, DEMAND_ONE) / DEMAND_ONE
    })
}

#[test]
fn a_reader_beside_an_attacker_is_ranked_by_what_is_asked_for_with_its_look() {
    let limiters = limiters(1 << 12);
    assert!(asked(&limiters, client(1), 50, |_| 7) > 2_000);
    let reader = limiters.ask(at_ms(120_000), client(1), (Some(Look(8)), None), 1, DEMAND_ONE);
    assert!(reader < 3 * DEMAND_ONE, "{}", reader / DEMAND_ONE);
    let bare = limiters.ask(at_ms(120_000), client(1), (None, None), 1, DEMAND_ONE);
    assert!(bare > 2_000 * DEMAND_ONE, "without a look there is only the address");
    let again = limiters.ask(at_ms(120_000), client(1), (Some(Look(7)), None), 1, DEMAND_ONE);
    assert!(again > 2_000 * DEMAND_ONE, "the attacker is still the attacker");
}

#[test]
fn changing_looks_wins_at_most_a_half() {
    let fixed = asked(&limiters(1 << 14), client(1), 50, |_| 7);
    for looks in [1, 2, 3, 10, 100, u64::MAX] {
        let got = asked(&limiters(1 << 14), client(1), 50, |n| 1 + n % looks);
        assert!(got * 100 >= fixed * 48, "{looks} looks: {got}, with one {fixed}");
    }
}

#[test]
fn an_address_with_known_readers_answers_for_each_of_them() {
    let limiters = limiters(1 << 12);
    for reader in 0..300 {
        limiters.ask(at_ms(0), client(1), (Some(Look(reader)), None), 1, DEMAND_ONE);
    }
    let alone = limiters.ask(at_ms(0), client(1), (Some(Look(999)), None), 1, DEMAND_ONE);
    let among = limiters.ask(at_ms(0), client(1), (Some(Look(998)), None), 100, DEMAND_ONE);
    assert_eq!((alone / DEMAND_ONE, among / DEMAND_ONE), (300, 3));
}

#[test]
fn who_was_pushed_out_of_a_full_table_does_not_look_new() {
    let limiters = limiters(64);
    for round in 0..20 {
        for number in 0..4_096 {
            limiters.note_demand(at_ms(round * 1_000), client(number), DEMAND_ONE);
        }
    }
    assert!(limiters.hashed() > 70_000, "{}", limiters.hashed());
    for number in 0..4_096 {
        // Twenty, decayed for twenty seconds at most.
        assert!(limiters.demand(at_ms(20_000), client(number)) > 12 * DEMAND_ONE, "{number}");
    }
}

#[test]
fn a_flood_of_looks_pushes_out_looks_and_is_remembered_by_its_address() {
    let limiters = limiters(256);
    for reader in 0..100 {
        limiters.note_demand(at_ms(0), client(1_000 + reader), 3 * DEMAND_ONE);
    }
    for look in 0..50_000 {
        limiters.ask(at_ms(1), client(1), (Some(Look(look)), None), 1, DEMAND_ONE);
    }
    let known = (0..100)
        .filter(|&reader| limiters.demand(at_ms(1), client(1_000 + reader)) > 2 * DEMAND_ONE);
    assert_eq!((known.count(), limiters.hashed()), (100, 0));
    assert!(limiters.demand(at_ms(1), client(1)) > 49_000 * DEMAND_ONE);
}

#[test]
fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
    let table =
        |seed| Limiters::new(&Limits { max_clients: 1 << 13, ..Limits::default() }, [seed, 2]);
    let (known, ours) = (table(1), table(3));
    let of_client = |table: &Limiters, key: u64| {
        table.place(client(u32::try_from(key).expect("few")).into(), None).set as u64
    };
    check_spread(|key| of_client(&known, key), |key| of_client(&ours, key));
    let of_look = |table: &Limiters, key| table.place(client(1).into(), Some(Look(key))).set as u64;
    check_spread(|key| of_look(&known, key), |key| of_look(&ours, key));
}

#[test]
fn passers_by_push_out_each_other_and_not_the_heavy_or_the_connected() {
    let limiters = limiters(256);
    let (heavy, connected, greedy) = (client(1), client(2), client(3));
    let budget = HeldBudget::new(PerSecond(50.0), 500);
    limiters.note_demand(at_ms(0), heavy, 1_000 * DEMAND_ONE);
    limiters.connection_opened(at_ms(0), connected);
    while limiters.take_held(at_ms(0), greedy, budget).is_ok() {}
    for number in 0..100_000 {
        limiters.note_demand(at_ms(1), client(0x0a00_0000 + number), DEMAND_ONE);
    }
    assert!(limiters.evictions() > 90_000);
    assert!(limiters.demand(at_ms(1), heavy) > 990 * DEMAND_ONE);
    assert_eq!(limiters.open_connections(connected), 1);
    limiters.take_held(at_ms(1), greedy, budget).expect_err("the budget is still spent");
}

#[test]
fn a_full_set_of_connected_records_still_takes_newcomers() {
    let limiters = limiters(8);
    for number in 0..9 {
        assert_eq!(limiters.connection_opened(at_ms(number), client(number as u32)), 1);
    }
    assert_eq!(limiters.open_connections(client(0)), 0, "the one not seen for longest left");
    assert_eq!(limiters.open_connections(client(8)), 1);
    assert_eq!(limiters.evictions(), 1);
}

#[test]
fn absurd_rates_are_no_limit_or_the_tightest_one() {
    let limiters = limiters(64);
    let mut who = 0;
    let mut check = |rate, burst, want: usize| {
        who += 1;
        let budget = HeldBudget::new(PerSecond(rate), burst);
        let taken = (0..100).filter(|_| limiters.take_held(at_ms(5), client(who), budget).is_ok());
        assert_eq!(taken.count(), want, "{rate}/s burst {burst}");
    };
    check(f64::INFINITY, 1, 100);
    check(f64::NAN, 1, 1);
    check(0.0, 7, 7);
    check(-1.0, 7, 7);
    check(1.0, 0, 1);
    check(50.0, 20, 20);
}

#[test]
fn workers_at_once_lose_no_count_while_there_is_room() {
    let limiters = limiters(1 << 12);
    let limiters = &limiters;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for round in 0..200 {
                    for number in 0..64 {
                        limiters.connection_opened(at_ms(round), client(number));
                    }
                }
            });
        }
    });
    let counts: Vec<u32> =
        (0..64).map(|number| limiters.open_connections(client(number))).collect();
    // Two workers that make the same record at the same moment may lose a few of the first.
    assert!(counts.iter().all(|&count| (790..=800).contains(&count)), "{counts:?}");
}

proptest! {
    #[test]
    fn held_pages_stay_within_rate_and_burst(
        gaps in proptest::collection::vec(0u64..60, 1..300),
        rate in 1u32..100,
        burst in 1u32..50,
    ) {
        let limiters = limiters(8);
        let budget = HeldBudget::new(PerSecond(f64::from(rate)), burst);
        let mut now = 0;
        let mut taken: Vec<u64> = Vec::new();
        for gap in gaps {
            now += gap;
            match limiters.take_held(at_ms(now), client(1), budget) {
                Ok(()) => taken.push(now),
                Err(wait) => {
                    // Coming back when told to must work; a moment earlier must not.
                    let probe = self::limiters(8);
                    for &ms in &taken {
                        probe.take_held(at_ms(ms), client(1), budget).expect("same history");
                    }
                    let early = wait.saturating_sub(Duration::from_nanos(1));
                    assert!(probe.take_held(at_ms(now) + early, client(1), budget).is_err());
                    assert!(probe.take_held(at_ms(now) + wait, client(1), budget).is_ok());
                }
            }
        }
        for (index, &from) in taken.iter().enumerate() {
            for (count, &to) in taken[index..].iter().enumerate() {
                let most = f64::from(burst) + (to - from) as f64 * f64::from(rate) / 1e3;
                assert!((count + 1) as f64 <= most + 1e-6, "{from}..{to}: {}", count + 1);
            }
        }
    }
}
