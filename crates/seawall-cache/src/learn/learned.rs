//! What learners know, in a form that outlives the process.
//!
//! Kept is what was decided: parameters that change nothing, parameters that matter, names that the
//! site uses; and what pages look like, so that after a restart the first requests of each template,
//! which go to the origin whole as ever, show whether it still holds. Half an experiment is begun
//! anew.
//!
//! All of it are keyed hashes, so the seed is kept with them. It does **not** touch a disk.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::time::Duration;

use seawall_model::{Instant, WallTime};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::records::State;
use super::{Learner, LearnerConfig};
use crate::flight::hash_seed;

/// What the learners of all sites know, under one seed.
pub struct Learned {
    seed: [u64; 2],
    /// By keyed hash of what the site is called.
    sites: BTreeMap<u128, Vec<u8>>,
}

impl Learned {
    /// Nothing, under a new secret seed.
    pub const fn new(seed: [u64; 2]) -> Self {
        Self { seed, sites: BTreeMap::new() }
    }

    /// Keys the hashing of all learners. Secret.
    pub const fn seed(&self) -> [u64; 2] {
        self.seed
    }

    /// Takes down what `learner` knows about `site`; both times are the same moment.
    pub fn put(&mut self, site: &str, learner: &Learner, now: (Instant, WallTime)) {
        let mut out = Vec::new();
        learner.state.lock().write(now, &mut out);
        self.sites.insert(self.name(site), out);
    }

    /// A learner that knows what was taken down about `site`, if anything was, within the bounds of
    /// `config`, whose seed has to be this one's.
    pub fn learner(&self, site: &str, config: LearnerConfig, now: (Instant, WallTime)) -> Learner {
        let learner = Learner::new(config);
        if config.seed == self.seed
            && let Some(kept) = self.sites.get(&self.name(site))
            && learner.state.lock().read(now, kept).is_none()
        {
            return Learner::new(config);
        }
        learner
    }

    /// All of it, to be kept in a file that only its owner can read. At most 64 MiB: sites
    /// beyond are left out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(MAGIC);
        self.seed.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        for (name, kept) in &self.sites {
            if out.len() + kept.len() + 64 > MAX_BYTES {
                continue;
            }
            out.extend_from_slice(&name.to_le_bytes());
            put_count(&mut out, kept.len());
            out.extend_from_slice(kept);
        }
        out.extend_from_slice(&checksum(self.seed, &out).to_le_bytes());
        out
    }

    /// What [`Self::to_bytes`] made; `None` for anything else. Bounded by the input's length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<16>()?;
        let mut input = Input(body.strip_prefix(MAGIC)?);
        let seed = [input.word()?, input.word()?];
        if bytes.len() > MAX_BYTES || checksum(seed, body) != u128::from_le_bytes(*sum) {
            return None;
        }
        let mut learned = Self::new(seed);
        while !input.0.is_empty() {
            let name = u128::from_le_bytes(input.take()?);
            let length = input.count()?;
            let (kept, rest) = input.0.split_at_checked(length)?;
            input.0 = rest;
            learned.sites.insert(name, kept.to_vec());
        }
        Some(learned)
    }

    fn name(&self, site: &str) -> u128 {
        checksum(self.seed, site.as_bytes())
    }
}

impl std::fmt::Debug for Learned {
    // The seed is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learned").field("sites", &self.sites.len()).finish_non_exhaustive()
    }
}

impl Learner {
    /// Rises with everything that [`Learned`] would take down.
    pub fn changes(&self) -> u64 {
        let state = self.state.lock();
        let stats = &state.stats;
        stats.learned + stats.unlearned + stats.pinned + state.own.changes()
    }
}

impl super::Memory {
    fn write(&self, (now, wall): (Instant, WallTime), out: &mut Vec<u8>) {
        out.extend_from_slice(&self.stats.learned.to_le_bytes());
        out.extend_from_slice(&self.stats.pinned.to_le_bytes());
        let (names, pinned) = self.own.all();
        for list in [names, pinned] {
            put_count(out, list.len());
            list.iter().for_each(|name| out.extend_from_slice(&name.to_le_bytes()));
        }
        let pages = self.records.fresh_pages(now);
        put_count(out, pages.len());
        for ((id, variant), digest, until) in pages {
            let until = wall + until.saturating_since(now);
            for word in [id, variant, until.unix_nanos()] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.extend_from_slice(&digest.to_le_bytes());
        }
        for (id, state, until) in self.records.decided() {
            let until = wall + until.saturating_since(now);
            let until_s = if state == State::Ignored { 0 } else { until.unix_secs() };
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&until_s.to_le_bytes());
        }
    }

    fn read(&mut self, (now, wall): (Instant, WallTime), bytes: &[u8]) -> Option<()> {
        let mut input = Input(bytes);
        self.stats.learned = input.word()?;
        self.stats.pinned = input.word()?;
        for _ in 0..input.count()? {
            self.own.add(input.word()?);
        }
        for _ in 0..input.count()? {
            self.own.pin(input.word()?);
        }
        for _ in 0..input.count()? {
            let (page, until_ns) = ((input.word()?, input.word()?), input.word()?);
            let left = WallTime::from_unix_nanos(until_ns).saturating_since(wall);
            let digest = u128::from_le_bytes(input.take()?);
            if left > Duration::ZERO {
                self.records.put_page(page, digest, now + left);
            }
        }
        while !input.0.is_empty() {
            let (id, until_s) = (input.word()?, input.word()?);
            if until_s == 0 {
                self.records.ignore(now, id);
                continue;
            }
            let left = WallTime::from_unix_secs(until_s).saturating_since(wall);
            if left > Duration::ZERO {
                self.records.pin_for(now, id, left);
            }
        }
        Some(())
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn checksum(seed: [u64; 2], bytes: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new_with_key(&hash_seed(seed).0);
    hasher.write(bytes);
    hasher.finish128().as_u128()
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn word(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn count(&mut self) -> Option<usize> {
        self.take().and_then(|bytes| usize::try_from(u32::from_le_bytes(bytes)).ok())
    }
}

/// The last digit is the version of the layout.
const MAGIC: &[u8] = b"seawall learned 1\n";
/// Of the file. A site takes 300 KB with the default limits, when all of them are reached.
const MAX_BYTES: usize = 64 << 20;
