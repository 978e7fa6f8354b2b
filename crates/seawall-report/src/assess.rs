//! What is judged and not measured: in defined words, with evidence, alternatives, and what would change it.
//!
//! Only classes of sources are judged, and of tools only what they are consistent with. Who ordered, paid for or steered an
//! attack cannot be said by a type of this module. *Sources:* ICD 203 (likelihood and confidence in different
//! sentences), detection.md §9.

mod derive;
mod families;

use serde::{Deserialize, Serialize};

use crate::wording;

pub use self::derive::derive;

/// A judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// About what.
    pub subject: Subject,
    /// How likely it is.
    pub likelihood: Likelihood,
    /// How sure we are of that.
    pub confidence: Confidence,
    /// What speaks for it, with figures.
    pub evidence: Vec<String>,
    /// What else it could be.
    pub alternatives: Vec<String>,
    /// What would change the judgement.
    pub would_change: Vec<String>,
}

impl Assessment {
    /// The judgement in sentences. How likely it is and how sure we are of that never stand in one (ICD 203).
    pub fn sentences(&self) -> [String; 2] {
        [wording::likelihood_sentence(self), wording::confidence_sentence(self)]
            .map(|parts| parts.concat())
    }
}

/// What can be judged: nothing else, by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Requests came through Tor exits.
    Tor,
    /// Requests came from hosting networks.
    Hosting,
    /// Requests came through residential or open proxies.
    Proxies,
    /// Requests came from devices in homes.
    Devices,
    /// One tool made most of them.
    SingleTool,
    /// They are consistent with a family of tools.
    ToolFamily,
    /// Many readers at once, and no attack.
    Crowd,
}

/// How likely, in the seven bands of ICD 203. The rules of today give none below even, since what speaks against a subject
/// leaves it out; the scale is published whole, because a word says what it means only beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likelihood {
    /// 1 to 5 %.
    AlmostNoChance,
    /// 5 to 20 %.
    VeryUnlikely,
    /// 20 to 45 %.
    Unlikely,
    /// 45 to 55 %.
    RoughlyEven,
    /// 55 to 80 %.
    Likely,
    /// 80 to 95 %.
    VeryLikely,
    /// 95 to 99 %.
    AlmostCertain,
}

/// How sure, by how good and how many the sources are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Little or indirect evidence.
    Low,
    /// Plausible, but not corroborated.
    Moderate,
    /// Several kinds of evidence agree.
    High,
}
