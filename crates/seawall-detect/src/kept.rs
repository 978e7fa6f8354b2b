//! What survives a restart, as bytes: a mark, a version, the seed's name, what was learned, a checksum.
//!
//! Little-endian, nothing variable but counts that are checked against what is there. The checksum tells damage,
//! not forgery: who can write the file can write anything into it. Every number is checked before it
//! is used, and nothing is taken of a file of which anything is wrong.

use alloc::vec::Vec;
use core::fmt;
use core::hash::Hasher as _;

use seawall_model::{Attribute, Attributes, WallTime};
use siphasher::sip::SipHasher13;

use crate::baseline::{Baseline, MAX_ROWS, Row};
use crate::channels::{COUNT, Channels, PARTS};
use crate::composition::Composition;
use crate::detector::Ordinary;
use crate::mix::Mix;
use crate::seasonal::{self, Seasonal};

/// Why what was kept cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BaselineFault {
    /// It is no baseline, or not a whole one.
    NotOne,
    /// It is of another version.
    Version {
        /// Of which.
        found: u32,
    },
    /// It was damaged after it was written.
    Damaged,
    /// It was written under another seed: its hashes mean nothing here.
    OtherSeed,
    /// It is whole, and has numbers in it that no baseline has.
    Impossible,
}

impl fmt::Display for BaselineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOne => f.write_str("this is no baseline, or only a part of one"),
            Self::Version { found } => {
                write!(f, "the baseline has version `{found}`, and this program reads `{VERSION}`")
            }
            Self::Damaged => f.write_str("the baseline was damaged: its checksum does not match"),
            Self::OtherSeed => f.write_str("the baseline was made with another seed"),
            Self::Impossible => f.write_str("the baseline has impossible numbers in it"),
        }
    }
}

impl core::error::Error for BaselineFault {}

const MARK: &[u8; 8] = b"SWORDIN\n";
const VERSION: u32 = 2;
/// That knew one request of each client only, and neither what pages load nor for how long the origin is pressed.
const VERSION_OF_ONE: u32 = 1;
/// Time that a machine was off counts for the age of rows up to this: a clock that is wrong after a start must
/// not make a baseline too old to use.
const MAX_AWAY_MINUTES: u64 = 24 * 60;
/// Mark, version, name of the seed; and the checksum.
const LEAST: usize = 8 + 4 + 8 + 8;

/// What is written.
pub(crate) struct Kept<'a> {
    pub(crate) seed: [u64; 2],
    pub(crate) wall: WallTime,
    pub(crate) channels: &'a Channels,
    pub(crate) mix: &'a Mix,
    pub(crate) baseline: &'a Baseline,
    pub(crate) ordinary: Ordinary,
}

/// What was read.
pub(crate) struct Restored {
    pub(crate) channels: Channels,
    pub(crate) mix: Mix,
    pub(crate) baseline: Baseline,
    pub(crate) ordinary: Ordinary,
}

impl Kept<'_> {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 << 20);
        out.extend_from_slice(MARK);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&name_of(self.seed).to_le_bytes());
        out.extend_from_slice(&self.wall.unix_secs().to_le_bytes());
        let ordinary = &self.ordinary;
        let numbers = [
            ordinary.whole_pages,
            ordinary.cookies,
            ordinary.cacheable,
            ordinary.pace_p95,
            ordinary.parts,
            ordinary.pages,
            ordinary.pressed_s,
        ];
        for number in numbers.into_iter().chain([self.mix.ordinary_per_s()]) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        self.channels.parts().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        let means = self.channels.seasonal().means();
        means.for_each(|mean| out.extend_from_slice(&mean.to_le_bytes()));
        for attribute in Composition::ATTRIBUTES {
            let mut values: Vec<(u32, f64)> = self.mix.ordinary().each(*attribute).collect();
            // In an order that does not depend on how it came about.
            values.sort_unstable_by_key(|(value, _)| *value);
            out.extend_from_slice(&(values.len() as u32).to_le_bytes());
            for (value, weight) in values {
                out.extend_from_slice(&value.to_le_bytes());
                out.extend_from_slice(&(weight as f32).to_le_bytes());
            }
        }
        self.write_baseline(&mut out);
        let sum = checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    fn write_baseline(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.baseline.minute().to_le_bytes());
        out.extend_from_slice(&self.baseline.offered().to_le_bytes());
        out.extend_from_slice(&(self.baseline.len() as u32).to_le_bytes());
        for row in self.baseline.rows() {
            out.extend_from_slice(&row.identity.to_le_bytes());
            out.extend_from_slice(&row.minute.to_le_bytes());
            out.push(row.hour);
            for attributes in [&row.attributes, &row.came_for] {
                for attribute in Attribute::ALL {
                    out.extend_from_slice(&attributes.value(attribute).to_le_bytes());
                }
            }
        }
    }
}

/// Reads what [`Kept::to_bytes`] wrote.
pub(crate) fn from_bytes(
    bytes: &[u8],
    seed: [u64; 2],
    wall: WallTime,
) -> Result<Restored, BaselineFault> {
    if bytes.len() < LEAST || !bytes.starts_with(MARK) {
        return Err(BaselineFault::NotOne);
    }
    let (body, sum) = bytes.split_at(bytes.len() - 8);
    let mut reader = Reader(&body[MARK.len()..]);
    let version = u32::from_le_bytes(reader.take().ok_or(BaselineFault::NotOne)?);
    if ![VERSION, VERSION_OF_ONE].contains(&version) {
        return Err(BaselineFault::Version { found: version });
    }
    if sum != checksum(body).to_le_bytes() {
        return Err(BaselineFault::Damaged);
    }
    if reader.take().map(u64::from_le_bytes) != Some(name_of(seed)) {
        return Err(BaselineFault::OtherSeed);
    }
    reader
        .read(seed, wall, version)
        .filter(|_| reader.0.is_empty())
        .ok_or(BaselineFault::Impossible)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn f32(&mut self) -> Option<f32> {
        self.take().map(f32::from_le_bytes)
    }

    fn f64(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }

    fn read(&mut self, seed: [u64; 2], wall: WallTime, version: u32) -> Option<Restored> {
        let written = WallTime::from_unix_secs(self.take().map(u64::from_le_bytes)?);
        let mut number = || self.f64().filter(|number| (0.0..1e9).contains(number));
        let mut ordinary = Ordinary {
            whole_pages: number()?,
            cookies: number()?,
            cacheable: number()?,
            pace_p95: number()?,
            ..Ordinary::UNKNOWN
        };
        if version > VERSION_OF_ONE {
            let mut share = || number().filter(|share| *share <= 1.0);
            (ordinary.parts, ordinary.pages) = (share()?, share()?);
            ordinary.pressed_s = number()?;
        }
        let ordinary_per_s = self.f64().filter(|number| (0.0..1e9).contains(number))?;
        let mut parts = [0.0; COUNT * PARTS];
        for part in &mut parts {
            *part = self.f64()?;
        }
        let count = seasonal::SLOTS * seasonal::CHANNELS * seasonal::WEEKS;
        let means: Option<Vec<f32>> = (0..count).map(|_| self.f32()).collect();
        let seasonal = Seasonal::from_means(means?.into_iter())?;
        let channels = Channels::from_parts(parts.into_iter(), seasonal)?;
        let mut mix = self.mix(seed)?;
        mix.set_ordinary_per_s(ordinary_per_s);
        let away_minutes = wall.saturating_since(written).as_secs() / 60;
        let away_minutes = away_minutes.min(MAX_AWAY_MINUTES) as u32;
        let baseline = self.baseline(seed, away_minutes, version)?;
        Some(Restored { channels, mix, baseline, ordinary })
    }

    fn mix(&mut self, seed: [u64; 2]) -> Option<Mix> {
        let mut mix = Mix::new(seed, &[]);
        for attribute in Composition::ATTRIBUTES {
            for _ in 0..self.u32()? {
                let (value, weight) = (self.u32()?, self.f32()?);
                if !(0.0..1e9).contains(&weight) {
                    return None;
                }
                mix.restore(*attribute, value, weight);
            }
        }
        Some(mix)
    }

    fn baseline(&mut self, seed: [u64; 2], away_minutes: u32, version: u32) -> Option<Baseline> {
        let minute = self.u32()?;
        let offered = self.f64().filter(|offered| (0.0..1e12).contains(offered))?;
        let count = self.u32()? as usize;
        if count > MAX_ROWS {
            return None;
        }
        let rows: Option<Vec<Row>> = (0..count).map(|_| self.row(minute, version)).collect();
        let mut baseline = Baseline::new(seed[0] ^ seed[1].rotate_left(32));
        baseline.restore(&rows?, minute, offered);
        baseline.age(away_minutes);
        Some(baseline)
    }

    fn row(&mut self, now: u32, version: u32) -> Option<Row> {
        let identity = self.take().map(u64::from_le_bytes)?;
        let minute = self.u32().filter(|minute| *minute <= now)?;
        let [hour] = self.take()?;
        let attributes = self.attributes()?;
        let came_for = if version == VERSION_OF_ONE { attributes } else { self.attributes()? };
        (hour < 168).then_some(Row { identity, attributes, came_for, minute, hour })
    }

    fn attributes(&mut self) -> Option<Attributes> {
        let mut attributes = Attributes::default();
        for attribute in Attribute::ALL {
            attributes.set(attribute, self.u32()?);
        }
        Some(attributes)
    }
}

pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(bytes);
    hasher.finish()
}

/// By which a seed is known again, and nothing else.
fn name_of(seed: [u64; 2]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed[0], seed[1]);
    hasher.write(MARK);
    hasher.finish()
}
