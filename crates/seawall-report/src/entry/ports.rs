//! From which ports an address connected, and when.

use serde::{Deserialize, Serialize};

use super::Address;
use crate::Moment;

/// A source port with its times: who runs the network looks up who had it then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSeen {
    /// The port.
    pub port: u16,
    /// When a request from it was first seen in the sample.
    pub first: Moment,
    /// When last.
    pub last: Moment,
}

impl Address {
    /// When a port was first and last seen; of records of earlier versions, when the address was.
    pub fn seen_from(&self, port: u16) -> (Moment, Moment) {
        let of_port = self.seen.iter().find(|seen| seen.port == port);
        let (first, last) =
            of_port.map_or((self.first_seen, self.last_seen), |seen| (seen.first, seen.last));
        (first, last.max(first))
    }

    /// Adds what is known of a port elsewhere: of `most` ports at most.
    pub(crate) fn add_seen(&mut self, new: &PortSeen, most: usize) {
        let has_room = self.seen.len() < most;
        match self.seen.iter_mut().find(|seen| seen.port == new.port) {
            Some(seen) => {
                (seen.first, seen.last) = (seen.first.min(new.first), seen.last.max(new.last));
            }
            None if has_room => self.seen.push(*new),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_its_own_times_and_those_of_the_address_where_they_are_not_known() {
        let at = Moment::from_unix_ms;
        let mut address = Address { first_seen: at(1), last_seen: at(9), ..Address::default() };
        assert_eq!(address.seen_from(7), (at(1), at(9)));
        for (port, first, last) in [(7, 4, 5), (7, 3, 4), (8, 6, 6), (9, 1, 1)] {
            address.add_seen(&PortSeen { port, first: at(first), last: at(last) }, 2);
        }
        assert_eq!((address.seen_from(7), address.seen_from(8)), ((at(3), at(5)), (at(6), at(6))));
        assert_eq!(address.seen.len(), 2);
    }
}
