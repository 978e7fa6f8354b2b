//! From which ports an address connected, and when.

use serde::{Deserialize, Serialize};

use super::Address;
use crate::Moment;

/// A source port with its times: who runs the network looks up who had it then. Short, because a record may have a hundred
/// thousand of them: milliseconds after the address was first seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSeen(
    /// The port.
    pub u16,
    /// When a request from it was first seen in the sample.
    pub u64,
    /// When last.
    pub u64,
);

impl Address {
    /// Sets the times of ports: each with its first and last one.
    pub fn set_seen(&mut self, ports: &[(u16, Moment, Moment)]) {
        let since = |at: Moment| at.unix_ms().saturating_sub(self.first_seen.unix_ms());
        let short = |(port, first, last): &(u16, Moment, Moment)| {
            PortSeen(*port, since(*first), since(*last))
        };
        self.seen = ports.iter().map(short).collect();
    }

    /// The ports whose times are known, with their first and last one.
    pub fn ports_seen(&self) -> Vec<(u16, Moment, Moment)> {
        let at = |ms: u64| self.first_seen.plus_ms(ms.min(MAX_MS));
        let each = self.seen.iter();
        each.map(|seen| (seen.0, at(seen.1), at(seen.2.max(seen.1)))).collect()
    }

    /// When a port was first and last seen; where that is not known, when the address was.
    pub fn seen_from(&self, port: u16) -> (Moment, Moment) {
        let of_port = self.ports_seen().into_iter().find(|seen| seen.0 == port);
        let of_address = (self.first_seen, self.last_seen.max(self.first_seen));
        of_port.map_or(of_address, |(_, first, last)| (first, last))
    }
}

/// A record says what it likes: a year, and no more.
const MAX_MS: u64 = 366 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_its_own_times_and_those_of_the_address_where_they_are_not_known() {
        let at = Moment::from_unix_ms;
        let mut address = Address { first_seen: at(1), last_seen: at(9), ..Address::default() };
        assert_eq!(address.seen_from(7), (at(1), at(9)));
        address.set_seen(&[(7, at(3), at(5)), (8, at(6), at(6))]);
        assert_eq!((address.seen_from(7), address.seen_from(8)), ((at(3), at(5)), (at(6), at(6))));
        let text = serde_json::to_string(&address).expect("JSON");
        assert!(text.contains(r#""seen":[[7,2,4],[8,5,5]]"#), "{text}");
        address.seen = vec![PortSeen(7, u64::MAX, 0)];
        assert_eq!(address.seen_from(7).0, address.seen_from(7).1);
    }
}
