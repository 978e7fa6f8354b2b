//! The open-file limit: raised at start, and what it allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::caps;

/// Raises the soft limit of open files to the hard one and says how many connections fit.
pub(crate) fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if limit.current.is_some_and(|current| current < wanted) {
        // Best effort: what the limit then really is gets read below.
        let _ =
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
    let current = getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH);
    usize::try_from(current.saturating_sub(caps::SPARE_FILES)).unwrap_or(usize::MAX)
}

/// More than [`caps::MAX_CONNECTIONS`] ever needs.
const ENOUGH: u64 = 20_000;
