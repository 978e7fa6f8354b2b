//! By how much of what an address asked for somebody behind it is ranked.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::{prop_assert, proptest};
use seawall_decide::{DEMAND_ONE, Limiters};
use seawall_model::{ClientAddr, Fingerprint, Instant, Limits};

/// The demand by which who asks last is ranked, after requests with these looks at one address where
/// `people` are known, a hundred a second.
fn rank(looks: impl IntoIterator<Item = u64>, people: u32) -> u32 {
    let limits = Limits { max_clients: 1 << 14, ..Limits::default() };
    let limiters = Limiters::new(&limits, [1, 2]);
    let client = ClientAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)));
    (0..).zip(looks).fold(0, |_, (turn, look)| {
        let look = Fingerprint { field_order: Some(look), ..Fingerprint::default() };
        let now = Instant::from_nanos(0) + Duration::from_millis(10 * turn);
        limiters.ask(now, client, limiters.look(&look), people, DEMAND_ONE)
    })
}

#[test]
fn readers_who_look_like_bots_behind_their_address_share_what_these_ask_for() {
    let as_bots = |people| rank(std::iter::repeat_n(1, 4_000), people);
    let (alone, few, many) = (as_bots(1), as_bots(5), as_bots(90));
    assert_eq!(few, alone, "of so few nobody need look like another");
    assert_eq!(many, alone / 30, "{alone} for all: a third of ninety");
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
