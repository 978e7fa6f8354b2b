//! Repeats [`Vouched::hear`], all that the incident record adds to the way of a request, for `cargo xtask bench
//! --instructions` to count its instructions and `cargo xtask bench record --only path` to time it.
//!
//! `count_heard CASE TIMES`. CASE is `nobody` (nothing speaks for who asks, as in a flood), `known` (readers who are signed
//! in, a few dozen) or `new` (the same, another one each time, so that the filter fills).

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use seawall_edge::recorder::Vouched;
use seawall_model::{ClientAddr, Standing, Test};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next().unwrap_or_default();
    let times = arguments.next().and_then(|times| times.parse::<u32>().ok()).unwrap_or(1);
    let (standing, others) = match case.as_str() {
        "nobody" => (Standing::Anonymous, 64),
        "known" => (Standing::SignedIn, 64),
        "new" => (Standing::SignedIn, u32::MAX),
        other => panic!("no case `{other}`"),
    };
    let vouched = Vouched::new([1, 2]);
    for turn in 0..times {
        // Another address each time: an odd number times any is a permutation.
        let address = Ipv4Addr::from_bits((turn % others).wrapping_mul(0x9e37_79b1));
        let client = ClientAddr::new(IpAddr::V4(address));
        vouched.hear(black_box(client), (black_box(standing), Test::None), false);
    }
    black_box(&vouched);
}
