//! The seconds of the example: made up, and the same each time.

use crate::entry::{Cohort, CohortCounts, MetCounts};

/// One second.
pub(super) struct Made {
    pub(super) expected: f64,
    /// By [`Cohort::ALL`].
    pub(super) cohorts: [CohortCounts; 7],
    /// By mitigation.
    pub(super) met: [MetCounts; 3],
    pub(super) origin: u64,
    pub(super) spared: u64,
    pub(super) is_link_full: bool,
    pub(super) is_origin_down: bool,
}

impl Made {
    pub(super) fn requests(&self) -> u64 {
        self.sum(|counts| counts.requests)
    }

    pub(super) fn served(&self) -> u64 {
        self.sum(|counts| counts.served)
    }

    pub(super) fn refused(&self) -> u64 {
        self.sum(|counts| counts.refused)
    }

    pub(super) fn tested(&self) -> u64 {
        self.sum(|counts| counts.tested)
    }

    pub(super) fn failed(&self) -> u64 {
        self.sum(|counts| counts.failed)
    }

    pub(super) fn of(&self, cohort: Cohort) -> &CohortCounts {
        &self.cohorts[place(cohort)]
    }

    /// A request and its share of a connection; when the line is full, what others send as well.
    pub(super) fn rx_bytes(&self) -> u64 {
        self.requests() * 2_600 + if self.is_link_full { 112_000_000 } else { 40_000 }
    }

    fn sum(&self, part: fn(&CohortCounts) -> u64) -> u64 {
        self.cohorts.iter().map(part).sum()
    }
}

/// What one wave of the attack asks for, and what is done about it.
struct Wave {
    from: u32,
    until: u32,
    per_s: f64,
    /// From when on which rung is in force.
    rungs: &'static [(u32, Rung)],
}

#[derive(Clone, Copy)]
enum Rung {
    Demote,
    Challenge,
    Block,
    Nothing,
}

/// By mitigation.
const WAVES: [Wave; 3] = [
    Wave {
        from: 900,
        until: 3_180,
        per_s: 1_900.0,
        rungs: &[
            (904, Rung::Demote),
            (919, Rung::Challenge),
            (990, Rung::Block),
            (3_240, Rung::Nothing),
        ],
    },
    Wave {
        from: 1_260,
        until: 3_060,
        per_s: 1_100.0,
        rungs: &[
            (1_265, Rung::Demote),
            (1_280, Rung::Challenge),
            (1_345, Rung::Block),
            (1_358, Rung::Challenge),
            (1_660, Rung::Block),
            (3_120, Rung::Nothing),
        ],
    },
    Wave {
        from: 1_980,
        until: 2_820,
        per_s: 1_400.0,
        rungs: &[(1_984, Rung::Demote), (1_999, Rung::Block), (2_880, Rung::Nothing)],
    },
];
/// The second with the most requests, and how many there are.
const PEAK: (u32, u64) = (2_287, 4_800);

/// What happened in second `number` of the record.
pub(super) fn second(number: u32) -> Made {
    // In parts of 64, so that sums are exact and are read from JSON as they were written.
    let expected = 12.0 + (38.0 * (f64::from(number) / 700.0).sin()).round() / 64.0;
    let mut made = Made {
        expected,
        cohorts: Cohort::ALL.map(none),
        met: [1, 2, 3].map(|id| MetCounts { id, ..MetCounts::default() }),
        origin: 0,
        spared: 0,
        is_link_full: (2_278..2_324).contains(&number),
        is_origin_down: (902..920).contains(&number),
    };
    add_readers(&mut made, number);
    for (place, wave) in WAVES.iter().enumerate() {
        add_wave(&mut made, number, place, wave);
    }
    if number == PEAK.0 {
        // Of the first wave, and refused.
        let more = PEAK.1.saturating_sub(made.requests());
        made.met[0].matched += more;
        made.met[0].blocked += more;
        made.spared += more;
        let met = &mut made.cohorts[place(Cohort::Met)];
        met.requests += more;
        met.refused += more;
    }
    made
}

fn add_readers(made: &mut Made, number: u32) {
    let is_late = (900..930).contains(&number);
    let success = match number {
        900..904 => 0.55,
        904..920 => 0.84,
        2_278..2_324 => 0.94,
        1_345..1_358 => 0.91,
        _ => 0.998,
    };
    let shares = [
        (Cohort::SignedIn, 0.03),
        (Cohort::KnownReader, 0.31),
        (Cohort::Passed, if (922..3_300).contains(&number) { 0.05 } else { 0.0 }),
        (Cohort::Feed, 0.11),
        (Cohort::Tor, 0.02),
        (Cohort::Unmarked, 0.52),
    ];
    for (cohort, share) in shares {
        let salt = place(cohort) as u32;
        let about = made.expected * share * (0.85 + 0.3 * dice(number, salt));
        let requests = whole(about, number, salt + 10);
        let served = (0..requests)
            .filter(|&each| dice(number, salt + 20 + each as u32) < success)
            .count() as u64;
        let counts = &mut made.cohorts[place(cohort)];
        counts.requests += requests;
        counts.served += served;
        counts.failed += requests - served;
        counts.late += if is_late { served / 3 } else { 0 };
        made.origin += requests * 2 / 5;
    }
}

fn add_wave(made: &mut Made, number: u32, which: usize, wave: &Wave) {
    if !(wave.from..wave.until).contains(&number) {
        return;
    }
    let rise = (f64::from(number - wave.from + 1) / 20.0).min(1.0);
    let burst = if (2_278..2_324).contains(&number) { 1.03 } else { 1.0 };
    let noise = 0.96 + 0.06 * dice(number, 70 + which as u32);
    let requests = (wave.per_s * rise * burst * noise).round() as u64;
    let rung = wave.rungs.iter().rev().find(|(from, _)| number >= *from).map(|(_, rung)| *rung);
    let Some(rung @ (Rung::Demote | Rung::Challenge | Rung::Block)) = rung else {
        // Nobody recognised them yet: the origin works for some, and fails for the rest.
        let unmarked = &mut made.cohorts[place(Cohort::Unmarked)];
        let served = requests.min(30);
        unmarked.requests += requests;
        unmarked.served += served;
        unmarked.failed += requests - served;
        made.origin += requests;
        return;
    };
    let control = requests / 100;
    let (met, counts) = (&mut made.met[which], &mut made.cohorts[place(Cohort::Met)]);
    met.matched = requests;
    met.control = control;
    counts.requests += requests;
    counts.served += control;
    made.origin += control;
    made.spared += requests - control;
    let rest = requests - control;
    match rung {
        Rung::Challenge => {
            met.tests_set = rest;
            met.tests_passed = u64::from(dice(number, 80) < 0.2);
            counts.tested += rest;
        }
        Rung::Block => {
            met.blocked = rest;
            counts.refused += rest;
        }
        Rung::Demote | Rung::Nothing => counts.refused += rest,
    }
}

/// The place of `cohort` in [`Cohort::ALL`].
fn place(cohort: Cohort) -> usize {
    Cohort::ALL.iter().position(|each| *each == cohort).unwrap_or(0)
}

fn none(cohort: Cohort) -> CohortCounts {
    CohortCounts { cohort, requests: 0, served: 0, refused: 0, tested: 0, failed: 0, late: 0 }
}

/// A whole number that is `about` on average.
fn whole(about: f64, number: u32, salt: u32) -> u64 {
    (about + dice(number, salt)).floor() as u64
}

/// 0 to 1, the same each time: the finaliser of SplitMix64.
fn dice(number: u32, salt: u32) -> f64 {
    let mut mixed = (u64::from(number) << 32 | u64::from(salt)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 40) as f64 / (1_u64 << 24) as f64
}
