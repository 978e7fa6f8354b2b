//! By how much of what an address asked for somebody behind it is ranked.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::{prop_assert, proptest};
use seawall_decide::{ConnectionDemand, DEMAND_ONE, Limiters};
use seawall_model::{ClientAddr, Fingerprint, Identity, Instant, Limits};

/// The demand by which who asks last is ranked, after requests with these looks at one address where
/// `people` are known, a hundred a second.
fn rank(looks: impl IntoIterator<Item = u64>, people: u32) -> u32 {
    let limits = Limits { max_clients: 1 << 14, ..Limits::default() };
    let limiters = Limiters::new(&limits, [1, 2]);
    let client = ClientAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)));
    (0..).zip(looks).fold(0, |_, (turn, look)| {
        let look = Fingerprint { field_order: Some(look), ..Fingerprint::default() };
        let now = Instant::from_nanos(0) + Duration::from_millis(10 * turn);
        limiters.ask(now, client, (limiters.look(&look), None), people, DEMAND_ONE)
    })
}

#[test]
fn readers_who_look_like_bots_behind_their_address_share_what_these_ask_for() {
    let as_bots = |people| rank(std::iter::repeat_n(1, 4_000), people);
    let (alone, few, many) = (as_bots(1), as_bots(5), as_bots(90));
    assert_eq!(few, alone, "of so few nobody need look like another");
    assert_eq!(many, alone / 30, "{alone} for all: a third of ninety");
}

/// By what a reader is ranked who comes with a new connection to an address where `people` are known and where
/// bots that look like it have asked a hundred times a second, over as many connections in turn; and by what the
/// bot that asks then.
fn beside_bots(connections: usize, people: u32) -> (u32, u32) {
    let limits = Limits { max_clients: 1 << 14, ..Limits::default() };
    let limiters = Limiters::new(&limits, [1, 2]);
    let client = ClientAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)));
    let look = Fingerprint { field_order: Some(1), ..Fingerprint::default() };
    let bots: Vec<ConnectionDemand> =
        std::iter::repeat_with(ConnectionDemand::default).take(connections).collect();
    let ask = |turn: u64, connection: &ConnectionDemand| {
        let now = Instant::from_nanos(0) + Duration::from_millis(10 * turn);
        let seen = (limiters.look(&look), Some(connection));
        limiters.ask(now, client, seen, people, DEMAND_ONE)
    };
    let bot = (0..4_000).fold(0, |_, turn| ask(turn, &bots[turn as usize % connections]));
    (ask(4_000, &ConnectionDemand::default()), bot)
}

#[test]
fn where_many_read_a_reader_is_not_ranked_by_what_bots_ask_over_their_connections() {
    let (reader, bot) = beside_bots(4, 90);
    assert!(reader * 5 < bot, "a reader is ranked by {reader}, a bot by {bot}");
    let by_look = rank(std::iter::repeat_n(1, 4_000), 90);
    assert_eq!(bot, by_look, "bots are ranked as they were by their look");
}

#[test]
fn where_few_read_a_connection_says_nothing() {
    let (reader, bot) = beside_bots(4, 5);
    assert!(reader >= bot, "five are known: a reader by {reader}, a bot by {bot}");
    let (reader, bot) = beside_bots(4, 6);
    assert!(reader * 2 < bot, "six are: a reader by {reader}, a bot by {bot}");
}

#[test]
fn connections_without_number_win_no_more_than_all_the_people_there_may_be() {
    let all = rank(std::iter::repeat_n(1, 4_000), 1);
    for people in [6, 90, 1_000] {
        let (_, bot) = beside_bots(400, people);
        assert!(bot >= all / (2 * people), "{people} known: {bot} of {all}");
    }
}

#[test]
fn a_new_connection_for_each_request_wins_nothing() {
    for people in [6, 90, 1_000] {
        let (_, bot) = beside_bots(4_000, people);
        let by_look = rank(std::iter::repeat_n(1, 4_000), people);
        assert_eq!(bot, by_look, "{people} known");
    }
}

#[test]
fn who_holds_a_credential_is_ranked_by_that_over_whatever_connection() {
    let limiters = Limiters::new(&Limits { max_clients: 64, ..Limits::default() }, [1, 2]);
    let look = Fingerprint { field_order: Some(1), ..Fingerprint::default() };
    let ask = || {
        let (holder, fresh) = (Identity::of_holder(7), ConnectionDemand::default());
        let seen = (limiters.look(&look), Some(&fresh));
        limiters.ask(Instant::from_nanos(0), holder, seen, 90, DEMAND_ONE)
    };
    assert_eq!([ask(), ask(), ask()], [1, 2, 3].map(|asked| asked * DEMAND_ONE));
}

proptest! {
    #[test]
    fn looks_and_neighbours_win_no_more_than_the_people_there_are(
        looks in 1u64..200,
        people in 1u32..2_000,
    ) {
        // Half of all with one look in turn with others is the most that looks win.
        let (asked, all) = (2_000u32, rank(std::iter::repeat_n(1, 2_000), 1));
        let got = rank((0..u64::from(asked)).map(|turn| 1 + turn % looks), people);
        let least = u64::from(all) * 48 / 100 / u64::from(people);
        prop_assert!(u64::from(got) + 1 >= least, "{got} of {all}, {looks} looks, {people} known");
        prop_assert!(got <= all);
    }
}
