//! The lane of streams: WebSockets, event streams, long polling. They wait in the origin, mostly idle, so
//! they take no part of the limit on work; but each holds something there, so there is a bound of their
//! own.
//!
//! An attacker who opens streams and holds them (`detection.md`, A20) takes places away from others and
//! never a page. Of the lane one identity gets a quarter, an address behind which several readers are known
//! and a Tor exit half, two places at least, and a fifth is kept for signed-in and aged readers. Streams are never taken back: who holds one keeps it.
//!
//! The table of holders is ordered, not hashed, and as large as the lane.

use alloc::collections::BTreeMap;

use super::class::{Group, WorkSource};

/// Who holds streams.
#[derive(Debug)]
pub(super) struct Streams {
    /// Of those who are not known, by identity.
    held: BTreeMap<u128, usize>,
    known: usize,
    unknown: usize,
    refused: u64,
}

impl Streams {
    pub(super) const fn new() -> Self {
        Self { held: BTreeMap::new(), known: 0, unknown: 0, refused: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.known + self.unknown
    }

    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes a place in a lane of `max`.
    ///
    /// # Errors
    /// There is none for this one.
    pub(super) fn enter(
        &mut self,
        max: usize,
        (group, source, identity): (Group, WorkSource, u128),
    ) -> Result<(), ()> {
        let is_known = group == Group::Known;
        let mine = self.held.get(&identity).copied().unwrap_or(0);
        let share = match source {
            WorkSource::Tor | WorkSource::Shared => max / 2,
            WorkSource::Elsewhere => max / 4,
        };
        let has_room =
            self.len() < max && (is_known || (self.unknown < max - max / 5 && mine < share.max(2)));
        if !has_room {
            self.refused += 1;
            return Err(());
        }
        if is_known {
            self.known += 1;
        } else {
            self.unknown += 1;
            self.held.insert(identity, mine + 1);
        }
        Ok(())
    }

    pub(super) fn leave(&mut self, group: Group, identity: u128) {
        if group == Group::Known {
            self.known = self.known.saturating_sub(1);
            return;
        }
        self.unknown = self.unknown.saturating_sub(1);
        if let Some(held) = self.held.get_mut(&identity) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(identity: u128) -> (Group, WorkSource, u128) {
        (Group::Rest, WorkSource::Elsewhere, identity)
    }

    fn known(identity: u128) -> (Group, WorkSource, u128) {
        (Group::Known, WorkSource::Elsewhere, identity)
    }

    #[test]
    fn one_client_fills_a_quarter_of_the_lane_and_strangers_four_fifths() {
        let mut streams = Streams::new();
        let of_one = (0..100).filter(|_| streams.enter(64, rest(7)).is_ok()).count();
        assert_eq!(of_one, 16);
        let others = (100..200).filter(|&who| streams.enter(64, rest(who)).is_ok()).count();
        assert_eq!(others, 36, "52 of 64 in all");
        let readers = (0..100).filter(|_| streams.enter(64, known(7)).is_ok()).count();
        assert_eq!((readers, streams.len(), streams.refused()), (12, 64, 84 + 64 + 88));
    }

    #[test]
    fn an_address_of_many_fills_half_of_the_lane() {
        for (max, shared, alone) in [(64, 32, 16), (8, 4, 2), (4, 2, 2)] {
            for (group, source, want) in [
                (Group::Rest, WorkSource::Shared, shared),
                (Group::Tor, WorkSource::Tor, shared),
                (Group::Rest, WorkSource::Elsewhere, alone),
            ] {
                let mut streams = Streams::new();
                let got = (0..100).filter(|_| streams.enter(max, (group, source, 7)).is_ok());
                assert_eq!(got.count(), want, "{source:?} in a lane of {max}");
            }
        }
    }

    #[test]
    fn who_leaves_makes_room_and_is_forgotten() {
        let mut streams = Streams::new();
        for _ in 0..1_000 {
            assert_eq!(streams.enter(4, rest(1)), Ok(()));
            assert_eq!(streams.enter(4, known(1)), Ok(()));
            streams.leave(Group::Rest, 1);
            streams.leave(Group::Known, 1);
        }
        assert_eq!((streams.len(), streams.held.len()), (0, 0));
    }

    #[test]
    fn the_least_lane_has_one_place_for_whoever_comes() {
        let mut streams = Streams::new();
        assert_eq!(streams.enter(1, rest(1)), Ok(()));
        assert_eq!(streams.enter(1, known(2)), Err(()));
    }
}
