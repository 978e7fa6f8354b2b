//! Repeats one round of mining at full size, for callgrind to count its instructions or a watch to time.
//!
//! `count_miner CASE TIMES`, where CASE is
//! `flood` (one tool among readers),
//! `tools` (sixteen tools, each with values of its own),
//! `made_up` (no two requests share a value),
//! `thirty` (thirty values of each attribute, at random),
//! `worst` (64 values that are kept, no two rows alike, and nearly as many in the baseline as may be),
//! `blends` (the same, but what readers have is rare with them, so that thousands of conjunctions qualify) or
//! `imported` (the same, with half of the baseline from a log that knows half of the attributes).

use std::env;
use std::hint::black_box;

use seawall_detect::{Clients, Miner, Requests, Volume};
use seawall_model::{Attribute, Attributes, UNKNOWN};

fn main() {
    let case = env::args().nth(1).unwrap_or_default();
    let times = env::args().nth(2).and_then(|times| times.parse::<u32>().ok()).unwrap_or(1);
    let mut dice = Dice(7);
    let baseline: Vec<_> =
        (0..Miner::MAX_BASELINE).map(|row| client(&case, row, &mut dice)).collect();
    let now: Vec<_> = (0..Miner::MAX_NOW).map(|row| request(&case, row, &mut dice)).collect();
    // With no more than expected, a few rows are a part of the excess already, and least is left out.
    let expected_per_s =
        if matches!(&*case, "worst" | "blends" | "imported") { 2_000.0 } else { 60.0 };
    let volume = Volume { now_per_s: 2_000.0, expected_per_s };
    let (mut miner, mut out) = (Miner::new(), Vec::new());
    let clients: Vec<u16> = (0..now.len() as u16).collect();
    for _ in 0..times {
        let now = Requests { looks: black_box(&now), clients: &clients };
        let before = Clients { requests: black_box(&baseline), came_for: &baseline };
        black_box(miner.mine(now, before, volume, &mut out));
    }
}

/// One row of the baseline.
fn client(case: &str, row: usize, dice: &mut Dice) -> Attributes {
    match case {
        "imported" => {
            let mut imported = client("blends", row, dice);
            if row.is_multiple_of(2) {
                Attribute::ALL[..7].iter().for_each(|attribute| imported.set(*attribute, UNKNOWN));
            }
            imported
        }
        // Just short of half the share that the values have now.
        "worst" if row % 100 < 44 => crafted(dice),
        "blends" if row % 100 < 30 => {
            let (mut blend, strange) = (reader(dice), crafted(dice));
            for attribute in Attribute::ALL.into_iter().filter(|_| dice.roll(4) == 0) {
                blend.set(attribute, strange.value(attribute));
            }
            blend
        }
        _ => reader(dice),
    }
}

/// One row of now.
fn request(case: &str, row: usize, dice: &mut Dice) -> Attributes {
    match case {
        "flood" if !row.is_multiple_of(10) => {
            let mut request = reader(dice);
            for attribute in &Attribute::ALL[..12] {
                request.set(*attribute, 77_777);
            }
            request
        }
        "tools" => {
            let mut request = reader(dice);
            let tool = dice.roll(16);
            for attribute in &Attribute::ALL[..14] {
                request.set(
                    *attribute,
                    80_000 + tool / 3 * 3 + (tool % 3) * (attribute.index() as u32 % 2),
                );
            }
            request
        }
        "made_up" => of_each(|_| dice.roll(u32::MAX)),
        "thirty" => of_each(|_| 50_000 + dice.roll(30)),
        "worst" | "blends" | "imported" => crafted(dice),
        _ => reader(dice),
    }
}

/// One of five values of eight attributes and of four of six: 64 in all.
fn crafted(dice: &mut Dice) -> Attributes {
    of_each(|attribute| match attribute.index() {
        0..8 => 60_000 + dice.roll(5),
        8..14 => 60_000 + dice.roll(4),
        _ => dice.roll(60_000),
    })
}

/// One of a few hundred kinds of readers, with pages and addresses of their own.
fn reader(dice: &mut Dice) -> Attributes {
    let kind = dice.roll(20).min(dice.roll(20));
    of_each(|attribute| match attribute {
        Attribute::Path => dice.roll(300).min(dice.roll(300)),
        Attribute::Prefix => dice.roll(60_000),
        Attribute::Network => dice.roll(200).min(dice.roll(200)),
        Attribute::UserAgent | Attribute::AcceptLanguage | Attribute::Query => {
            kind * 8 + dice.roll(8)
        }
        _ => kind / (1 + attribute.index() as u32 % 4),
    })
}

fn of_each(mut value: impl FnMut(Attribute) -> u32) -> Attributes {
    let hash = |n: u32| n.wrapping_mul(0x85EB_CA6B).wrapping_add(0x9E37) | 1;
    Attributes::from_values(Attribute::ALL.map(|attribute| hash(value(attribute))))
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((((z ^ (z >> 31)) >> 32) * u64::from(sides)) >> 32) as u32
    }
}
