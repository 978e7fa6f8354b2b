//! What is known of a URL as bytes, for the index.
//!
//! Separate from the rules of the frontier because it is a form that lies on disk: its first byte is a
//! version, and what cannot be read is taken as not known.

use seawall_model::WallTime;

use crate::frontier::{FailReason, Known, Validators};
use crate::links::LinkKind;

const VERSION: u8 = 1;
const KINDS: [LinkKind; 4] =
    [LinkKind::Page, LinkKind::Feed, LinkKind::Resource, LinkKind::Sitemap];

impl Known {
    /// The bytes in the index.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let kind = KINDS.iter().position(|kind| *kind == self.kind).unwrap_or(0);
        let reason = self.reason.map_or(0, |reason| reason.code() + 1);
        out.extend([VERSION, kind as u8, self.priority, self.depth, reason]);
        for number in [self.fetches, self.changes, self.failures, self.interval_s] {
            out.extend(number.to_le_bytes());
        }
        for time in [self.first_seen, self.due] {
            out.extend(time.unix_nanos().to_le_bytes());
        }
        for time in [self.last_fetched, self.last_changed, self.modified] {
            out.extend(time.map_or(0, WallTime::unix_nanos).to_le_bytes());
        }
        for text in [&self.validators.etag, &self.validators.last_modified] {
            let text = text.as_deref().unwrap_or_default();
            out.push(u8::try_from(text.len()).unwrap_or(0));
            out.extend(&text[..usize::from(out[out.len() - 1])]);
        }
        out
    }

    /// What [`Self::encode`] wrote; `None` for other bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let [version, kind, priority, depth, reason] = rest.take::<5>()?;
        if version != VERSION {
            return None;
        }
        let reason = match reason {
            0 => None,
            code => Some(FailReason::from_code(code - 1)?),
        };
        let numbers = [rest.number()?, rest.number()?, rest.number()?, rest.number()?];
        let [fetches, changes, failures, interval_s] = numbers;
        let (first_seen, due) = (rest.time()?, rest.time()?);
        let some = |time: WallTime| (time != WallTime::default()).then_some(time);
        let times = [some(rest.time()?), some(rest.time()?), some(rest.time()?)];
        let [last_fetched, last_changed, modified] = times;
        let validators = Validators { etag: rest.text()?, last_modified: rest.text()? };
        Some(Self {
            kind: *KINDS.get(usize::from(kind))?,
            first_seen,
            last_fetched,
            last_changed,
            fetches,
            changes,
            failures,
            reason,
            due,
            interval_s,
            priority,
            depth,
            validators,
            modified,
        })
    }

    /// Of a URL of which there are records but of which nothing else is known any more: due now.
    pub(crate) fn unseen(url: &str, now: WallTime) -> Self {
        crate::frontier::asked_for(url, now)
    }

    /// What is held under them is lost, so they must not be sent again.
    pub(crate) fn forget_validators(&mut self) {
        self.validators = Validators::default();
    }
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn time(&mut self) -> Option<WallTime> {
        self.take().map(|bytes| WallTime::from_unix_nanos(u64::from_le_bytes(bytes)))
    }

    /// `Some(None)` for an empty one.
    #[allow(clippy::option_option, reason = "the outer one says whether it could be read")]
    fn text(&mut self) -> Option<Option<Vec<u8>>> {
        let [length] = self.take::<1>()?;
        let (text, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some((!text.is_empty()).then(|| text.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use seawall_model::WallTime;

    use crate::frontier::{FailReason, Known, Validators, seed};

    #[test]
    fn what_is_known_is_read_as_it_was_written() {
        let now = WallTime::from_unix_secs(1_795_348_800);
        let new = seed("https://example.org/", now);
        assert_eq!(Known::decode(&new.encode()), Some(new.clone()));
        for reason in FailReason::ALL {
            let known = Known {
                reason: Some(reason),
                last_fetched: Some(now),
                modified: Some(now),
                validators: Validators { etag: Some(vec![b'x'; 128]), last_modified: None },
                ..new.clone()
            };
            assert_eq!(Known::decode(&known.encode()), Some(known));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_known_or_not(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Some(known) = Known::decode(&bytes) {
                prop_assert_eq!(Known::decode(&known.encode()), Some(known));
            }
        }
    }
}
