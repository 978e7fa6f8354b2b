//! A turn of one's own, for who shares an address with those who ask for too much.
//!
//! Behind a Tor exit or a carrier's address, readers and bots that wear the same look share one rank and one budget
//! ([`Limiters::ask`], [`crate::OriginBudget`]), so that a newcomer there waits behind all that the bots ask for, and is refused
//! with them. So who is to be refused there for want of room, and waits for a page, is sent around once instead, with a
//! number in the address and in a cookie. Who comes back with it has a place of its own **among those who were put
//! behind others**: by a measure or beyond the budget of the address. It is ranked by what its number asked
//! for, and is not refused for the budget of the address.
//!
//! What it wins an attacker: nothing before anybody who was not put behind others, because it is no pass and lifts no
//! measure. Within that class the demand of an address, shared by as many as people are known to read there ([`CROWD`]
//! at a Tor exit), or by up to twelve times as many numbers for who collects them for an hour. With a new number for
//! each request it has the rank of the mean of them, and so have those beside it: as if there were none.
//!
//! A newcomer is given the one of sixteen numbers that asked for least, so it seldom shares a bot's. It does **not** tell people from
//! bots, and the number stands in no log and goes to no origin.

use seawall_model::{Cause, Identity, Instant, Standing, WallTime};
use siphasher::sip::SipHasher13;

use crate::credential::{CredentialKeys, CredentialText};
use crate::gates::CROWD;
use crate::limiters::Limiters;
use crate::mitigation_gate::Testable;
use crate::origin_gate::{WorkClass, WorkSource};
use crate::ticket::{TestTicket, TicketKind};

/// What a request has to do with turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Nothing: it does not share an address, has a standing, or was sent around in vain.
    #[default]
    None,
    /// It shows this number.
    Shown(u64),
    /// It may be sent around instead of being refused for want of room, as one of so many.
    Due(u32),
}

/// Who asks, as far as turns go.
#[derive(Clone, Copy, Debug)]
pub struct TurnAsker {
    /// Who, by address or credential.
    pub identity: Identity,
    /// What speaks for it.
    pub standing: Standing,
    /// Where it comes from.
    pub source: WorkSource,
    /// How many readers are known there.
    pub people: u32,
    /// Whether a person waits for a page.
    pub testable: Testable,
    /// For what it was admitted.
    pub admitted: Cause,
}

impl Turn {
    /// What the ticket at the end of an address of `host` and the cookie are worth: a turn, or a pass, which has a
    /// number as well. `cookie` is asked only where that matters. O(1), no allocation.
    pub fn of(
        keys: &CredentialKeys,
        (wall, host): (WallTime, &str),
        asker: TurnAsker,
        ticket: Option<&[u8]>,
        cookie: impl FnOnce() -> Option<TestTicket>,
    ) -> Self {
        // Who holds a credential, of whatever age, counts for itself.
        if asker.standing != Standing::Anonymous || asker.identity.is_holder() {
            return Self::None;
        }
        let people = match asker.source {
            WorkSource::Elsewhere => return Self::None,
            WorkSource::Tor => asker.people.max(CROWD),
            WorkSource::Shared => asker.people,
        };
        let in_address = ticket.and_then(|text| keys.check_ticket(wall, host, text).ok());
        let has_number = |shown: &TestTicket| shown.kind != TicketKind::Wait;
        if let Some(shown) = cookie().filter(has_number).or(in_address.filter(has_number)) {
            return Self::Shown(shown.number);
        }
        // Who comes back with a ticket of any kind was sent around before: no loop.
        let is_first = ticket.is_none() && asker.testable == Testable::Page;
        if is_first && asker.admitted == Cause::Demoted { Self::Due(people) } else { Self::None }
    }

    /// Whether there is a number to rank by.
    pub const fn is_shown(self) -> bool {
        matches!(self, Self::Shown(_))
    }

    /// Notes work of `cost` for the number, and returns the demand by which a request of `class` is ranked;
    /// `by_address` is what [`Limiters::ask`] says of it. O(1), no allocation.
    pub fn rank(
        self,
        limiters: &Limiters,
        now: Instant,
        (class, by_address): (WorkClass, u32),
        cost: u32,
    ) -> u32 {
        let Self::Shown(number) = self else { return by_address };
        let own = Identity::of_holder(number);
        limiters.note_demand(now, own, cost);
        if class == WorkClass::Demoted { limiters.demand(now, own) } else { by_address }
    }
}

impl CredentialKeys {
    /// The number that `who`, one of `people` who ask as one, is sent around with, for address and cookie: of
    /// `CHOICES` that `dice` name the one that asked for least. O(1).
    pub fn turn(
        &self,
        limiters: &Limiters,
        (now, wall): (Instant, WallTime),
        host: &str,
        (who, people, dice): (Identity, u32, u64),
    ) -> CredentialText {
        // Which numbers there are follows from one of five minutes; a client that sees its own learns no other.
        let [key0, key1] = [self.ticket_number(wall, who, 1, 0), dice];
        let numbers = (0..CHOICES).map(|choice| {
            let place = SipHasher13::new_with_keys(key1, 0).hash(&choice.to_le_bytes());
            let place = place % (u64::from(people.max(1)) * TURNS_OF_ONE);
            SipHasher13::new_with_keys(key0, TURNS).hash(&place.to_le_bytes())
        });
        let least = numbers.min_by_key(|&number| limiters.demand(now, Identity::of_holder(number)));
        let number = least.unwrap_or_default();
        self.pass(wall, host, &TestTicket { kind: TicketKind::Turn, number })
    }
}

/// Of so many numbers the one that asked for least is given.
const CHOICES: u64 = 16;
/// Numbers for each of the people at an address: bots that keep theirs take one each, and there may be more bots than people.
const TURNS_OF_ONE: u64 = 4;
/// So that turns are no passes of the same number.
const TURNS: u64 = u64::from_be_bytes(*b"the line");
