//! A standing measure against what a signature means. It always ends by itself.

use crate::{Instant, Signature};

/// How hard a mitigation is, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// Count what it would have met, and nothing else.
    Observe,
    /// Behind everybody else who waits for the origin.
    Demote,
    /// A cheap test before the origin works; never before a page in hand.
    Challenge,
    /// Refused, but for the control group.
    Block,
}

impl Rung {
    /// All rungs, mildest first.
    pub const ALL: [Self; 4] = [Self::Observe, Self::Demote, Self::Challenge, Self::Block];

    /// Place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name, everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Demote => "demote",
            Self::Challenge => "challenge",
            Self::Block => "block",
        }
    }
}

/// Names a mitigation for as long as the process lives: counters and `explain` go by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MitigationId(pub u32);

/// A standing, expiring measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mitigation {
    /// Its name.
    pub id: MitigationId,
    /// Whom it meets.
    pub signature: Signature,
    /// What is done to them.
    pub rung: Rung,
    /// When it ends unless it is renewed. What has ended meets nobody, whoever forgot to take it away.
    pub expires_at: Instant,
}

/// How many mitigations there may be at once: more could not be read by anybody, and each costs every
/// request (detection.md §2.4).
pub const MAX_MITIGATIONS: usize = 16;

#[cfg(test)]
mod tests {
    use super::Rung;

    #[test]
    fn rungs_are_listed_mildest_first() {
        assert!(Rung::ALL.is_sorted());
        for (index, rung) in Rung::ALL.into_iter().enumerate() {
            assert_eq!(rung.index(), index);
        }
    }
}
