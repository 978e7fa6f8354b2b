//! Repeats [`Window::observe`], for `cargo xtask bench --instructions` to count its instructions.
//!
//! `count_observe CASE TIMES`. CASE is `warm` (readers with a few dozen browsers, as in peace), `new`
//! (a flood that differs from all before in every attribute and every address), or `bare` (the same,
//! with no attribute known: what is left without the frequent values). A window is cleared after
//! 8,192 requests, as at 32,000 requests a second. `sources` is one window without end that sees TIMES
//! different sources and attributes, for its peak of memory to be looked at.

use std::env;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use seawall_detect::{Sampled, Window};
use seawall_model::{
    Attribute, Attributes, Cause, ClientAddr, Instant, Observation, Referrer, RequestKind,
    Standing, Test, Work,
};

fn main() {
    let case = env::args().nth(1).unwrap_or_default();
    let times = env::args().nth(2).and_then(|times| times.parse::<usize>().ok()).unwrap_or(1);
    let mut numbers = Numbers(7);
    let requests: Vec<Observation> = match case.as_str() {
        "warm" => {
            let readers: Vec<_> = (0..64).map(|_| request(&mut numbers, true)).collect();
            (0..WINDOW).map(|n| readers[n * 29 % readers.len()]).collect()
        }
        "new" => (0..WINDOW).map(|_| request(&mut numbers, true)).collect(),
        "sources" => return many_sources(&mut numbers, times),
        "bare" => (0..WINDOW).map(|_| request(&mut numbers, false)).collect(),
        other => panic!("no case `{other}`"),
    };
    let mut window = Window::new([1, 2]);
    let mut sampled = 0_u64;
    for (round, request) in requests.iter().cycle().take(times).enumerate() {
        if round % WINDOW == 0 {
            window.clear();
        }
        sampled += u64::from(window.observe(black_box(request)) == Sampled::Yes);
    }
    black_box((&window, sampled));
}

fn many_sources(numbers: &mut Numbers, times: usize) {
    let mut window = Window::new([1, 2]);
    for _ in 0..times {
        let _ = window.observe(&request(numbers, true));
    }
    let clients = window.clients().estimate();
    assert!((clients / times as f64 - 1.0).abs() < 0.1, "{clients} of {times}");
}

fn request(numbers: &mut Numbers, is_known: bool) -> Observation {
    let mut attributes = Attributes::default();
    if is_known {
        Attribute::ALL.into_iter().for_each(|of| attributes.set(of, numbers.next() as u32 | 1));
    }
    Observation {
        at: Instant::from_nanos(numbers.next() >> 1),
        client: ClientAddr::new(IpAddr::V4(Ipv4Addr::from_bits(numbers.next() as u32))),
        identity: numbers.next(),
        standing: Standing::Anonymous,
        attributes,
        kind: RequestKind::Page,
        target: numbers.next() as u32,
        referrer: Referrer::None,
        returned_cookie: false,
        is_cacheable: true,
        status: 200,
        cause: Cause::Default,
        work: Work::Held,
        met: None,
        test: Test::None,
    }
}

/// SplitMix64: numbers that look like keyed hashes.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Requests in a window.
const WINDOW: usize = 8_192;
