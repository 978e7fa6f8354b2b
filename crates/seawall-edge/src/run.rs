//! One life of the program, from its start to its end, and the names of requests in it.

use std::fmt::Write as _;
use std::io;

use crate::answer::smallstr::Text;

/// Which life of the program this is. Random, and of nothing else: requests carry it to origins and into logs, so
/// that a seed of a table has no place in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunId(u64);

impl RunId {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn new() -> io::Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(u64::from_be_bytes(bytes) >> WORKER_BITS))
    }

    /// Twelve hexadecimal digits, with which the names of all its requests begin.
    pub(crate) fn text(self) -> String {
        format!("{:012x}", self.0)
    }

    /// The name of a worker's `number`th request, as in X-Request-ID and the access log.
    pub(crate) fn request(self, worker: u16, number: u64) -> Text<40> {
        let mut text = Text::new();
        let _ = write!(text, "{:012x}{worker:04x}-{number:x}", self.0);
        text
    }
}

const WORKER_BITS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_requests_begin_with_that_of_the_run_and_differ_by_worker() {
        let run = RunId(0x0abc_0000_0001);
        assert_eq!(run.text(), "0abc00000001");
        assert_eq!(run.request(2, 255).as_str(), "0abc000000010002-ff");
        assert_eq!(run.request(u16::MAX, u64::MAX).as_str().len(), 33, "nothing is cut off");
    }

    #[test]
    fn two_runs_have_different_names() {
        let runs = [(); 2].map(|()| RunId::new().expect("random numbers").text());
        assert_ne!(runs[0], runs[1]);
        assert!(runs.iter().all(|run| run.len() == 12), "{runs:?}");
    }
}
