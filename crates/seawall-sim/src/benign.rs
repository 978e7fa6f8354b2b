//! The benign surges B1-B6 of detection.md §8, and ordinary days, as data.
//!
//! Written from that page alone, like the attacks. What readers do in them is [`crate::readers`].

use crate::cohorts::Cohort;

/// A surge that is no attack.
#[derive(Clone, Copy, Debug)]
pub struct Benign {
    /// B1 to B6.
    pub name: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// What happens.
    pub surge: Surge,
    /// Its bars.
    pub bars: BenignBars,
}

/// What happens in a surge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surge {
    /// Readers come `times` as often within `ramp_s`, for one story; this part of them from networks
    /// never seen.
    Crowd {
        /// How many times as many.
        times: f64,
        /// Within so many seconds.
        ramp_s: f64,
        /// The part from new networks.
        newcomers: f64,
    },
    /// Crawlers, so many of them verified and so many unknown, and how much each asks for a second.
    Crawlers {
        /// Verified ones.
        verified: u32,
        /// Unknown ones.
        unknown: u32,
        /// Requests a second of each.
        per_s: f64,
    },
    /// A cohort comes so many times as often.
    Cohort {
        /// Which.
        cohort: Cohort,
        /// How many times as often.
        times: f64,
    },
    /// So many feed readers ask within so many seconds, once an hour, for what they have already, unless it has
    /// changed, which it has not.
    Feeds {
        /// How many.
        polls: u32,
        /// Within so many seconds.
        within_s: f64,
    },
    /// So many readers behind one address, with this loss, each of whom opens a page so often a second.
    OneAddress {
        /// How many.
        readers: u32,
        /// The part of packets lost.
        loss: f64,
        /// Pages of one reader a second.
        each_per_s: f64,
    },
    /// An editor sends a large file, while readers of the live blog ask every five seconds.
    Newsroom {
        /// Bytes of the file.
        upload_bytes: u64,
        /// Readers of the live blog.
        followers: u32,
        /// Between their questions, seconds.
        every_s: f64,
    },
}

/// What must hold in a surge. Parts from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BenignBars {
    /// Readers' transactions challenged, at most.
    pub challenged: f64,
    /// Pages that may be held, at least.
    pub cacheable: f64,
    /// Readers through Tor, at least.
    pub tor: Option<f64>,
    /// Readers refused for asking too often: none.
    pub no_rate_limit: bool,
    /// Times an attack is announced: none.
    pub no_alarm: bool,
    /// Whether no reader, editor or verified crawler at all may fail.
    pub no_failure: bool,
}

const COMMON: BenignBars = BenignBars {
    challenged: 0.001,
    cacheable: 0.999,
    tor: None,
    no_rate_limit: false,
    no_alarm: false,
    no_failure: false,
};

/// All of them. In all of them no reader, editor or verified crawler is ever blocked.
pub const BENIGN: &[Benign] = &[
    Benign {
        name: "B1",
        title: "flash crowd, 20 times in 60 s",
        surge: Surge::Crowd { times: 20.0, ramp_s: 60.0, newcomers: 0.8 },
        bars: COMMON,
    },
    Benign {
        name: "B2",
        title: "crawlers, 3 verified and 5 unknown",
        surge: Surge::Crawlers { verified: 3, unknown: 5, per_s: 50.0 },
        bars: COMMON,
    },
    Benign {
        name: "B3",
        title: "Tor, ten times as many",
        surge: Surge::Cohort { cohort: Cohort::Tor, times: 10.0 },
        bars: BenignBars { tor: Some(0.995), ..COMMON },
    },
    Benign {
        name: "B4",
        title: "feeds on the hour, 5,000 in 20 s",
        surge: Surge::Feeds { polls: 5_000, within_s: 20.0 },
        bars: BenignBars { no_alarm: true, ..COMMON },
    },
    Benign {
        name: "B5",
        title: "2,000 readers behind one address",
        // As often as the readers of detection.md: 60 pages a second of 5,000.
        surge: Surge::OneAddress { readers: 2_000, loss: 0.02, each_per_s: 0.012 },
        bars: BenignBars { no_rate_limit: true, ..COMMON },
    },
    Benign {
        name: "B6",
        title: "editor's upload and live blog",
        surge: Surge::Newsroom { upload_bytes: 200 << 20, followers: 500, every_s: 5.0 },
        bars: BenignBars { no_failure: true, ..COMMON },
    },
];
