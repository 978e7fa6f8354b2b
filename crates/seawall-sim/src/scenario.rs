//! What is run: an attack, a surge or ordinary traffic, for how long.

use seawall_model::WallTime;

use crate::attacks::{ATTACKS, Attack, Tier};
use crate::benign::{BENIGN, Benign, Surge};

/// What happens in a run.
#[derive(Clone, Copy, Debug)]
pub enum Scenario {
    /// An attack.
    Attack(&'static Attack),
    /// A surge.
    Benign(&'static Benign),
    /// A month of readers and nothing else.
    Days(&'static Days),
    /// Nothing.
    Ordinary,
}

/// A month of ordinary traffic, with its evenings and with stories that many come for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Days {
    /// D5, D50 or D500.
    pub name: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Page views a second in the evening.
    pub views_per_s: f64,
}

/// Sites of 5, 50 and 500 requests a second. They take from minutes to an hour each, so that they run only
/// if named.
pub const DAYS: &[Days] = &[
    Days { name: "D5", title: "30 days at 5 requests a second", views_per_s: 0.6 },
    Days { name: "D50", title: "30 days at 50 requests a second", views_per_s: 6.0 },
    Days { name: "D500", title: "30 days at 500 requests a second", views_per_s: 60.0 },
];

const MONTH_S: f64 = 30.0 * 86_400.0;

impl Scenario {
    /// All that run if none is named.
    pub fn all() -> impl Iterator<Item = Self> {
        ATTACKS.iter().map(Self::Attack).chain(BENIGN.iter().map(Self::Benign))
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        let days = DAYS.iter().map(Self::Days);
        Self::all().chain(days).find(|scenario| scenario.name().eq_ignore_ascii_case(name))
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Attack(attack) => attack.name,
            Self::Benign(benign) => benign.name,
            Self::Days(days) => days.name,
            Self::Ordinary => "ordinary",
        }
    }

    /// What it is, in a few words.
    pub const fn title(&self) -> &'static str {
        match self {
            Self::Attack(attack) => attack.title,
            Self::Benign(benign) => benign.title,
            Self::Days(days) => days.title,
            Self::Ordinary => "ordinary traffic",
        }
    }

    /// How able the attacker is; empty where there is none.
    pub const fn tiers(&self) -> &'static [Tier] {
        match self {
            Self::Attack(attack) => attack.tiers,
            Self::Benign(_) | Self::Days(_) | Self::Ordinary => &[],
        }
    }

    /// Whether what is ordinary has to be learned with this very scenario: an attacker who was among the
    /// readers before, feeds that come every hour, a site of another size.
    pub const fn has_own_lesson(&self) -> bool {
        match self {
            Self::Attack(attack) => attack.has_poisoned || attack.is_of_small_site(),
            Self::Benign(benign) => matches!(benign.surge, Surge::Feeds { .. }),
            Self::Days(_) | Self::Ordinary => false,
        }
    }

    /// Whether it begins with a shield that knows nothing.
    pub const fn begins_cold(&self) -> bool {
        matches!(self, Self::Days(_))
    }
}

impl Scenario {
    const fn is_small(self) -> bool {
        matches!(self, Self::Benign(benign) if matches!(benign.surge, Surge::Feeds { .. }))
    }

    const fn views_per_s(self) -> f64 {
        match self {
            Self::Attack(attack) => attack.views_per_s,
            _ if self.is_small() => SMALL_VIEWS_PER_S,
            _ => VIEWS_PER_S,
        }
    }

    /// Whether so little is known of the site that no signature may block, though a lesson is given.
    pub(crate) const fn is_of_small_site(self) -> bool {
        matches!(self, Self::Attack(attack) if attack.is_of_small_site())
    }
}

/// For how long, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Seconds before.
    pub calm_s: f64,
    /// Seconds of it.
    pub event_s: f64,
    /// Seconds after it.
    pub rest_s: f64,
    /// Page views a second.
    pub views_per_s: f64,
    /// The wall time at the start.
    pub wall: WallTime,
    /// Whether page views and seconds are not kept, because there are too many.
    pub is_lean: bool,
    /// Whether this is for the shield to learn what is ordinary: nothing is recorded.
    pub is_lesson: bool,
}

/// 2026-03-03 18:00 UTC, a Tuesday.
const EVENING: WallTime = WallTime::from_unix_secs(1_772_560_800);
/// The bar for being normal again is 90 s after the end; longer, to see by how much it is missed.
const REST_S: f64 = 180.0;
/// Shorter and nothing could be said of what comes after the first seconds.
const LEAST_EVENT_S: f64 = 45.0;

impl Schedule {
    /// 60 s of calm, 180 s of the event and as much after it, all but the last as long as `scale` says.
    pub fn of(scenario: Scenario, scale: f64) -> Self {
        if let Scenario::Days(days) = scenario {
            let event_s = MONTH_S * scale;
            let views_per_s = days.views_per_s;
            return Self { event_s, views_per_s, is_lean: true, ..Self::lesson(scenario, scale) }
                .from(EVENING);
        }
        let scaled = |seconds: f64, least: f64| (seconds * scale).max(least);
        let event_s = match scenario {
            // A crowd comes within a minute, and waves come again after 90 s.
            Scenario::Benign(_) => scaled(180.0, 90.0),
            Scenario::Attack(attack) if attack.waves.len() > 1 => scaled(200.0, 130.0),
            _ => scaled(180.0, LEAST_EVENT_S),
        };
        Self {
            calm_s: calm_s(scale),
            event_s,
            rest_s: REST_S,
            views_per_s: scenario.views_per_s(),
            wall: begins(scenario, scale),
            is_lean: false,
            is_lesson: false,
        }
    }

    /// Traffic for the shield to learn from, up to the moment when the others begin: half an hour, and
    /// two days of a small site where something comes every hour.
    pub fn lesson(scenario: Scenario, scale: f64) -> Self {
        let is_small = scenario.is_small();
        let seconds = if is_small { 172_800.0 } else { (1_800.0 * scale).max(900.0) };
        let wall = WallTime::from_unix_secs(begins(scenario, scale).unix_secs() - seconds as u64);
        Self {
            calm_s: 0.0,
            event_s: seconds,
            rest_s: 0.0,
            views_per_s: scenario.views_per_s(),
            wall,
            is_lean: true,
            is_lesson: true,
        }
    }

    const fn from(self, wall: WallTime) -> Self {
        Self { wall, is_lesson: false, ..self }
    }
}

/// When a run begins. What comes on the hour has to come at the hour, and so begins before it.
fn begins(scenario: Scenario, scale: f64) -> WallTime {
    let before_s = if scenario.is_small() { calm_s(scale) as u64 } else { 0 };
    WallTime::from_unix_secs(EVENING.unix_secs() - before_s)
}

/// Seconds before it begins.
fn calm_s(scale: f64) -> f64 {
    (60.0 * scale).max(20.0)
}

/// About 500 requests a second.
pub const VIEWS_PER_S: f64 = 60.0;
/// About 25 requests a second, where days have to be lived through.
const SMALL_VIEWS_PER_S: f64 = 3.0;
