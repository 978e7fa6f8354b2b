//! For whom an origin works: classes, and the shares that are kept for some.

/// For whom the origin works, best first. What puts a request into a class is found out elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkClass {
    /// The origin logged it in, or the operator gave it a pass.
    SignedIn,
    /// A reader with a credential from before.
    AgedReader,
    /// It passed a test.
    Passed,
    /// Nothing speaks for it or against it.
    Anonymous,
    /// It matches what an attack looks like.
    Demoted,
    /// Revalidation, crawling: nobody waits. Spare capacity only.
    Background,
}

impl WorkClass {
    /// All classes, best first.
    pub const ALL: [Self; 6] = [
        Self::SignedIn,
        Self::AgedReader,
        Self::Passed,
        Self::Anonymous,
        Self::Demoted,
        Self::Background,
    ];

    /// Place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in status and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedIn => "signed_in",
            Self::AgedReader => "aged_reader",
            Self::Passed => "passed",
            Self::Anonymous => "anonymous",
            Self::Demoted => "demoted",
            Self::Background => "background",
        }
    }
}

/// Where a request comes from, as far as shares go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WorkSource {
    /// A Tor exit, by the operator's list.
    Tor,
    /// An address behind which more than one reader is known.
    Shared,
    /// Anywhere else.
    #[default]
    Elsewhere,
}

/// Who shares a part of the limit that is kept for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Group {
    /// Signed-in and aged readers.
    Known,
    Tor,
    Rest,
}

impl Group {
    pub(super) const fn of(class: WorkClass, source: WorkSource) -> Self {
        match (class, source) {
            (WorkClass::SignedIn | WorkClass::AgedReader, _) => Self::Known,
            (WorkClass::Background, _) | (_, WorkSource::Shared | WorkSource::Elsewhere) => {
                Self::Rest
            }
            (_, WorkSource::Tor) => Self::Tor,
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// The part of `limit` kept for this group when it is about, in permits: a fifth for known readers,
    /// a tenth for Tor, at least one each, as long as one is left for the rest.
    pub(super) fn share(self, limit: usize) -> usize {
        let known = limit.div_ceil(5).min(limit.saturating_sub(1));
        match self {
            Self::Known => known,
            Self::Tor => (limit / 10).max(1).min((limit - known).saturating_sub(1)),
            Self::Rest => 0,
        }
    }
}

pub(super) const GROUPS: [Group; 3] = [Group::Known, Group::Tor, Group::Rest];

#[cfg(test)]
mod tests {
    use super::{Group, WorkClass};

    #[test]
    fn shares_leave_something_for_the_rest() {
        for limit in 1..1_000 {
            let (known, tor) = (Group::Known.share(limit), Group::Tor.share(limit));
            assert!(known + tor < limit, "{limit}: {known} and {tor}");
            assert!(limit == 1 || known * 5 >= limit, "{limit}: {known}");
            assert!(limit < 10 || tor * 10 + 9 >= limit, "{limit}: {tor}");
        }
    }

    #[test]
    fn classes_are_listed_best_first() {
        assert!(WorkClass::ALL.is_sorted());
        for (index, class) in WorkClass::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
        }
    }
}
