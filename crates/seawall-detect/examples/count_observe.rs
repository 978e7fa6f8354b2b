//! Repeats [`Window::observe`], for `cargo xtask bench --instructions` to count its instructions.
//!
//! `count_observe CASE TIMES`. CASE is `warm` (readers with a few dozen browsers, as in peace), `new`
//! (a flood that differs from all before in every attribute and every address), or `bare` (the same,
//! with no attribute known: what is left without the frequent values). A window is cleared after
//! 8,192 requests, as at 32,000 requests a second. `sources` is one window without end that sees TIMES
//! different sources and attributes, for its peak of memory to be looked at.

#[path = "../tests/common/mod.rs"]
mod common;

use std::env;
use std::hint::black_box;

use seawall_detect::{Sampled, Window};
use seawall_model::{Attributes, Observation};

use self::common::{Random, SEED, new_in_all};

fn main() {
    let case = env::args().nth(1).unwrap_or_default();
    let times = env::args().nth(2).and_then(|times| times.parse::<usize>().ok()).unwrap_or(1);
    let mut numbers = Random(7);
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
    let mut window = Window::new(SEED);
    let mut sampled = 0_u64;
    for (round, request) in requests.iter().cycle().take(times).enumerate() {
        if round % WINDOW == 0 {
            window.clear();
        }
        sampled += u64::from(window.observe(black_box(request)) == Sampled::Yes);
    }
    black_box((&window, sampled));
}

fn many_sources(numbers: &mut Random, times: usize) {
    let mut window = Window::new(SEED);
    for _ in 0..times {
        let _ = window.observe(&request(numbers, true));
    }
    let clients = window.clients().estimate();
    assert!((clients / times as f64 - 1.0).abs() < 0.1, "{clients} of {times}");
}

fn request(numbers: &mut Random, is_known: bool) -> Observation {
    let all = new_in_all(numbers);
    if is_known { all } else { Observation { attributes: Attributes::default(), ..all } }
}

/// Requests in a window.
const WINDOW: usize = 8_192;
