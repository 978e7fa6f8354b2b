//! What the excess looks like: contrast mining between the sample of now and the ordinary clients.
//!
//! All conjunctions of up to three frequent values are tried, the most promising are made longer, and
//! of those that would hurt few enough a small set is chosen that explains the excess. Separate from
//! the detector because it is a pure function of two samples and two rates, and is tried as one. It
//! deliberately does **not** force a signature on traffic that looks like ordinary traffic: where little
//! is explained, [`Mined::coverage`] says so, and admission has to do.
//!
//! * Signal: values that are at least twice as frequent now as among ordinary clients.
//! * Trip: G-test, corrected for everything tried, p < 10⁻⁶; collateral at most 1 %.
//! * Cold start: with fewer than 299 ordinary clients no bound is below 1 %, and nothing is found. A client of whom an
//!   attribute is not known (it came from a log) vouches for no signature that speaks of it.
//! * Ties: better score, then fewer terms, then the order of attributes and values; never that of rows.
//! * Blind: what has no value of its own at 3 % of the sample; what is like the ordinary in each single
//!   attribute; an attack below the noise of 4,096 rows.
//!
//! *Source:* detection.md §2.4. Read next: `values` (step 1), `search` (2 to 5), `cover` (6).

mod conjunctions;
mod cover;
mod search;
mod side;
mod values;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use libm::{fmax, fmin};
use seawall_model::{Attribute, Attributes, MAX_MITIGATIONS, Signature, UNKNOWN};

use crate::bitset::Bitset;
use crate::statistics::{CONFIDENCE, bonferroni, clopper_pearson_upper, g_test_ln_p};
use crate::{Candidate, SignatureEvidence};

use self::search::Search;
use self::side::Side;
use self::values::Values;

/// How much traffic there is, so that shares become rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Volume {
    /// Requests per second now.
    pub now_per_s: f64,
    /// Requests per second if everything were ordinary.
    pub expected_per_s: f64,
}

impl Volume {
    /// With what is no rate taken for none.
    fn cleaned(self) -> Self {
        let clean = |rate: f64| if rate.is_finite() { fmax(rate, 0.0) } else { 0.0 };
        Self { now_per_s: clean(self.now_per_s), expected_per_s: clean(self.expected_per_s) }
    }

    /// Requests per second beyond the ordinary.
    fn excess(self) -> f64 {
        fmax(self.now_per_s - self.expected_per_s, 0.0)
    }
}

/// A sample of the requests of now.
#[derive(Clone, Copy, Debug)]
pub struct Requests<'a> {
    /// What each looks like.
    pub looks: &'a [Attributes],
    /// Who made each: a number below [`Miner::MAX_NOW`] for each client. What has none is nobody's.
    pub clients: &'a [u16],
}

/// A sample of ordinary clients, each in the same place of both.
#[derive(Clone, Copy, Debug)]
pub struct Clients<'a> {
    /// What one request of each looks like, any of them.
    pub requests: &'a [Attributes],
    /// What one of those looks like that it came for: a page or a form, and nothing that belongs to a page.
    pub came_for: &'a [Attributes],
}

/// What one round of mining comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mined {
    /// Which part of the excess all candidates together explain, 0 to 1. They overlap, so this is no sum.
    pub coverage: f64,
    /// How many conjunctions were tried: what the significance of each was corrected for.
    pub tried: u64,
}

/// Finds signatures. Holds all memory it will ever need, about 2 MB.
#[derive(Debug)]
pub struct Miner {
    values: Values,
    now: Side,
    baseline: Side,
    /// Rows of the baseline by the attributes that are known of them.
    known: Side,
    search: Search,
    /// Clients of one signature.
    who: Bitset,
}

impl Miner {
    /// Rows of the sample of now that are looked at.
    pub const MAX_NOW: usize = 4_096;
    /// Rows of the baseline, one for each client, that are looked at.
    pub const MAX_BASELINE: usize = 8_192;
    /// Candidates at most: as many as there may be mitigations.
    pub const MAX_CANDIDATES: usize = MAX_MITIGATIONS;

    /// Allocates everything.
    pub fn new() -> Self {
        Self {
            values: Values::new(),
            now: Side::new(Self::MAX_NOW),
            baseline: Side::new(Self::MAX_BASELINE),
            known: Side::new(Self::MAX_BASELINE),
            search: Search::new(),
            who: Bitset::new(Self::MAX_NOW),
        }
    }

    /// Puts the signatures of what is too much now into `out`, best first, in place of what was there.
    ///
    /// A few milliseconds at worst; allocates nothing but
    /// room in `out`.
    pub fn mine(
        &mut self,
        now: Requests<'_>,
        clients_before: Clients<'_>,
        volume: Volume,
        out: &mut Vec<Candidate>,
    ) -> Mined {
        out.clear();
        let Requests { looks: now, clients } = now;
        let now = &now[..now.len().min(Self::MAX_NOW)];
        let Clients { requests: baseline, came_for } = clients_before;
        let baseline = &baseline[..baseline.len().min(Self::MAX_BASELINE)];
        let came_for = &came_for[..came_for.len().min(Self::MAX_BASELINE)];
        let tested = self.values.choose(now, baseline);
        let tried = search::tried(tested, self.values.len());
        let volume = volume.cleaned();
        if self.values.len() == 0 || volume.now_per_s <= 0.0 {
            return Mined { coverage: 0.0, tried };
        }
        let alone = self.values.alone();
        self.now.load(now, alone, |rows, masks| self.values.mark(rows, masks));
        self.baseline.load(baseline, alone, |rows, masks| self.values.mark(rows, masks));
        self.known.load(baseline, 0, |rows, masks| {
            for (mask, row) in masks.iter_mut().zip(rows) {
                *mask = row.known().fold(0, |mask, (attribute, _)| mask | 1 << attribute.index());
            }
        });
        let mut round = Round {
            values: &self.values,
            now: &mut self.now,
            baseline: &mut self.baseline,
            all_is_known: self.known.all_have((1 << Attribute::COUNT) - 1),
            known: &mut self.known,
            came_for,
            clients,
            who: &mut self.who,
            volume,
            excess: volume.excess(),
            tried,
        };
        round.excess = round.whole_excess();
        self.search.find(&round);
        self.search.extend(&mut round);
        Mined { coverage: cover::choose(&mut round, self.search.found(), out), tried }
    }
}

impl Default for Miner {
    fn default() -> Self {
        Self::new()
    }
}

/// Judges one signature, wherever it comes from: dormant, an operator's, a peer's. `tried` is how many
/// were tried to find it, 1 if nobody looked. Coverage is that of the excess over what was expected, or
/// 1 where that is less than what the signature alone explains. O(rows).
pub fn evidence(
    signature: &Signature,
    now: Requests<'_>,
    before: Clients<'_>,
    volume: Volume,
    tried: u64,
) -> SignatureEvidence {
    let volume = volume.cleaned();
    let baseline = before.requests;
    let matches = |row: &&Attributes| signature.matches(row);
    let counted = Counted {
        now: now.looks.iter().filter(matches).count() as u32,
        rows: now.looks.len() as u32,
        baseline: baseline.iter().filter(matches).count() as u32,
        clients: baseline.iter().filter(|row| tells_of(row, signature)).count() as u32,
    };
    let mut who = Bitset::new(Miner::MAX_NOW);
    let who = different(&mut who, now.looks.iter().map(|row| signature.matches(row)), now.clients);
    let refused = refused_upper(signature, before.came_for);
    let excess = fmax(volume.excess(), counted.excess(volume));
    counted.evidence(who, refused, (volume, excess, tried))
}

/// Whether it is known of a client whether it looks like `signature`.
fn tells_of(row: &Attributes, signature: &Signature) -> bool {
    signature.terms().all(|term| row.value(term.attribute) != UNKNOWN)
}

/// Upper bound of the part of clients that came for something which looks like `signature`.
fn refused_upper(signature: &Signature, came_for: &[Attributes]) -> f64 {
    let (mut hits, mut clients) = (0, 0);
    for row in came_for.iter().filter(|row| tells_of(row, signature)) {
        clients += 1;
        hits += u32::from(signature.matches(row));
    }
    clopper_pearson_upper(hits, clients, CONFIDENCE)
}

/// How many clients made the requests that are met; `who` is where they are gathered.
fn different(who: &mut Bitset, is_met: impl Iterator<Item = bool>, clients: &[u16]) -> u32 {
    who.clear();
    let met = is_met.zip(clients).filter(|(is_met, _)| *is_met);
    met.for_each(|(_, client)| who.insert(usize::from(*client)));
    who.count()
}

/// How often something was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    /// Rows of now that match.
    now: u32,
    /// Rows of now.
    rows: u32,
    /// Rows of the baseline that match.
    baseline: u32,
    /// Rows of the baseline of which could be told.
    clients: u32,
}

impl Counted {
    /// Requests per second that match.
    fn matched(self, volume: Volume) -> f64 {
        share(self.now, self.rows) * volume.now_per_s
    }

    /// Requests per second that would match if everything were ordinary.
    fn expected(self, volume: Volume) -> f64 {
        share(self.baseline, self.clients) * volume.expected_per_s
    }

    fn excess(self, volume: Volume) -> f64 {
        fmax(self.matched(volume) - self.expected(volume), 0.0)
    }

    fn ln_p(self, tried: u64) -> f64 {
        bonferroni(g_test_ln_p(self.now, self.rows, self.baseline, self.clients), tried)
    }

    /// In full, for a part of `excess`; `who` is how many clients the rows of now are of.
    fn evidence(
        self,
        who: u32,
        refused_upper: f64,
        (volume, excess, tried): (Volume, f64, u64),
    ) -> SignatureEvidence {
        let covered = self.excess(volume);
        SignatureEvidence {
            matched_per_s: self.matched(volume),
            expected_per_s: self.expected(volume),
            coverage: part(covered, excess),
            collateral_upper: clopper_pearson_upper(self.baseline, self.clients, CONFIDENCE),
            refused_upper,
            baseline_hits: self.baseline,
            baseline_clients: self.clients,
            sample_hits: self.now,
            sample_rows: self.rows,
            sample_clients: who,
            ln_p: self.ln_p(tried),
        }
    }
}

/// What one round works on.
struct Round<'a> {
    values: &'a Values,
    now: &'a mut Side,
    baseline: &'a mut Side,
    known: &'a mut Side,
    /// Whether nothing is unknown of any client in the baseline, as is usual.
    all_is_known: bool,
    /// What clients of the baseline came for.
    came_for: &'a [Attributes],
    /// Who made each row of now.
    clients: &'a [u16],
    who: &'a mut Bitset,
    volume: Volume,
    /// All that is too much, in requests per second.
    excess: f64,
    tried: u64,
}

impl Round<'_> {
    /// The excess over what was expected; where one value alone has more, its excess: a small attack
    /// must not vanish behind an expectation that was a little too high.
    fn whole_excess(&self) -> f64 {
        (0..self.values.len())
            .map(|value| self.counted(1 << value).excess(self.volume))
            .fold(self.volume.excess(), fmax)
    }

    /// How often the conjunction of the values of `mask` was met.
    fn counted(&self, mask: u64) -> Counted {
        Counted {
            now: self.now.count(mask),
            rows: self.now.rows(),
            baseline: self.baseline.count(mask),
            clients: self.clients(mask),
        }
    }

    /// How many clients made the rows of now with the values of `mask`.
    fn who(&mut self, mask: u64) -> u32 {
        different(self.who, self.now.having(mask), self.clients)
    }

    /// Of how many clients it is known whether they have the values of `mask`.
    fn clients(&self, mask: u64) -> u32 {
        if self.all_is_known {
            return self.known.rows();
        }
        self.known.count(self.values.attributes(mask))
    }
}

fn share(hits: u32, rows: u32) -> f64 {
    if rows == 0 { 0.0 } else { f64::from(hits) / f64::from(rows) }
}

/// `some` of `all`, 0 to 1.
fn part(some: f64, all: f64) -> f64 {
    if all > 0.0 { fmin(some / all, 1.0) } else { 0.0 }
}

/// A signature that more of the ordinary clients may match is of no use (detection.md §2.4: not even a place
/// behind everybody else is licensed above it).
const MAX_COLLATERAL: f64 = 0.01;

/// ln 10⁻⁶.
const MAX_LN_P: f64 = -13.815_510_557_964_274;

/// Nor is what means next to nothing beyond the ordinary, whatever part of how little that is.
const MIN_EXCESS_PER_S: f64 = 1.0;

/// What explains less of the excess than this is not worth a mitigation.
const MIN_GAIN: f64 = 0.03;

// Attributes are things of a table of conjunctions, too.
const _: () = assert!(Attribute::COUNT <= conjunctions::MAX_THINGS);
