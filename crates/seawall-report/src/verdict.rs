//! What an incident was taken for, and the one place where that becomes a sentence.
//!
//! Separate because every format says it, and none may say more than another: `mixed` is the shield's name for "neither can
//! be said", and only [`Verdict::Attack`] is called one, labelled so or complained of. It is the verdict alone that counts:
//! that something was refused or failed a test is told with figures, and makes no attack of what was not taken for one.

/// What an incident was taken for. The later, the more was known: what was first undecided and then a crowd was a crowd, and
/// what was ever taken for an attack stays one, however the seconds before and after it looked. [`Self::max`] of all that a
/// record says is therefore the verdict of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The record has none.
    #[default]
    NotJudged,
    /// An attack, many readers or both: neither could be told.
    Undecided,
    /// Many readers at once.
    Crowd,
    /// An attack.
    Attack,
}

impl Verdict {
    /// What a record or a report calls it; a word that is none counts as no verdict.
    pub fn of(name: &str) -> Self {
        match name {
            "mixed" => Self::Undecided,
            "crowd" => Self::Crowd,
            "attack" => Self::Attack,
            _ => Self::NotJudged,
        }
    }

    /// The name in records and reports; empty if there is no verdict.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJudged => "",
            Self::Undecided => "mixed",
            Self::Crowd => "crowd",
            Self::Attack => "attack",
        }
    }

    /// The name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotJudged => "not judged",
            Self::Undecided => "undecided",
            Self::Crowd => "crowd",
            Self::Attack => "attack",
        }
    }

    /// What it says, no more: the same in every format.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NotJudged => "The record does not say what Seawall took this for.",
            Self::Undecided => {
                "Whether this was an attack, many readers at once, or both could not be told from what was measured."
            }
            Self::Crowd => {
                "This was not an attack: by all that was measured many readers came at once."
            }
            Self::Attack => "Seawall took this for an attack on availability.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_as_it_is_written() {
        for verdict in [Verdict::NotJudged, Verdict::Undecided, Verdict::Crowd, Verdict::Attack] {
            assert_eq!(Verdict::of(verdict.as_str()), verdict);
        }
        assert_eq!(Verdict::of("Attack!"), Verdict::NotJudged);
    }
}
