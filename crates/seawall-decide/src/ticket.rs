//! The cheap test: what a browser does by itself, without script, and most attack programs do not.
//!
//! Two ways through, and nothing is remembered of either until it is passed:
//!
//! 1. **Coming back.** The answer is a redirect to the same page, with a pass in a cookie and a ticket in
//!    the address. Who brings the cookie back is sent to the page as it was asked for and has passed,
//!    within round trips that no reader notices.
//! 2. **Waiting.** Who comes back without gets a page that loads itself again after a few seconds. Who comes
//!    with a ticket, and not before its time, has passed too, for this page; cookies are offered again.
//!
//! Tickets and passes have the form of a [`Credential`](crate::Credential) and are signed by the same keys,
//! together with the host: 42 bytes, 56 characters.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version (upper four bits) and kind (lower four) |
//! | 1 | seconds to wait; 0 for passes |
//! | 2-5 | which key signed it |
//! | 6-9 | second in which it was made |
//! | 10-13 | second in which it ends |
//! | 14-17 | 0 |
//! | 18-25 | number |
//! | 26-41 | HMAC-SHA-256 over all before it and the host, cut to 16 bytes |
//!
//! **No address is in it**: Tor changes exits and telephones change networks in the middle of a visit, and a
//! pass that broke then would test those readers again and again. What keeps one pass from
//! serving a thousand machines is its number, by which what it asks for is counted
//! ([`Limiters::take_pass`](crate::Limiters::take_pass)). What keeps one machine from taking a thousand passes is
//! how the number is made: of its identity, the time in steps of five minutes, and a place
//! among as many as people are known to read there ([`CredentialKeys::ticket_number`]). So asking again, and showing
//! the same ticket again, only ever gives the same number.
//!
//! It does **not** know who has to pass: see [`mitigation_gate`](crate::mitigation_gate). A pass ends the
//! demotion and no more: who was never suspected is not behind who had to be tested.

use core::time::Duration;

use seawall_model::{Identity, WallTime};

use crate::credential::{CredentialFault, CredentialKeys, CredentialText, SIGNED, word};

/// How long a pass lasts. Longer than most visits; shorter than a mitigation is likely to stand after it.
pub const PASS_LIFE: Duration = Duration::from_secs(3_600);
/// How long the page of a ticket may stand open beyond its wait: who looks away comes back.
pub const TICKET_LIFE: Duration = Duration::from_secs(600);
/// The least and the longest wait.
pub const MIN_WAIT: Duration = Duration::from_secs(5);
/// See [`MIN_WAIT`].
pub const MAX_WAIT: Duration = Duration::from_secs(20);

/// How far clocks of nodes that share a key may differ.
const SKEW_S: u32 = 5;
const EPOCH_S: u64 = 300;

/// What was earned, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TicketKind {
    /// A pass of somebody who has yet to bring it back; to bring it is to pass.
    Return,
    /// A ticket of somebody who waits.
    Wait,
    /// A pass of somebody who waited.
    Waited,
    /// No pass: the place in line of somebody who shares an address. See `crate::turn`.
    Turn,
}

impl TicketKind {
    const fn code(self) -> u8 {
        // 1 to 3 are credentials.
        match self {
            Self::Return => 4,
            Self::Wait => 5,
            Self::Waited => 6,
            Self::Turn => 7,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            4 => Some(Self::Return),
            5 => Some(Self::Wait),
            6 => Some(Self::Waited),
            7 => Some(Self::Turn),
            _ => None,
        }
    }
}

/// Why what was shown passes no test. Whoever shows it is treated as if it had shown nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TicketFault {
    /// Not ours, not whole, of another host, or forged.
    NotOurs,
    /// It has to be waited for so much longer.
    Early(Duration),
    /// Its time is over.
    Expired,
}

/// A ticket or pass that was checked and is good now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestTicket {
    /// What was earned.
    pub kind: TicketKind,
    /// What its requests count by.
    pub number: u64,
}

impl CredentialKeys {
    /// The number of whoever asks from `identity` now. Shared addresses have as many as `people` read there,
    /// of which `dice` takes one.
    pub fn ticket_number(&self, now: WallTime, who: Identity, people: u32, dice: u64) -> u64 {
        let mut label = [0; 48];
        label[..15].copy_from_slice(b"seawall ticket ");
        label[16..24].copy_from_slice(&(now.unix_secs() / EPOCH_S).to_be_bytes());
        label[24..40].copy_from_slice(&who.as_u128().to_be_bytes());
        label[40..].copy_from_slice(&(dice % u64::from(people.max(1))).to_be_bytes());
        self.number_of(&label)
    }

    /// A pass for a cookie of `host`, of somebody who brings it back or who has waited.
    pub fn pass(&self, now: WallTime, host: &str, earned: &TestTicket) -> CredentialText {
        let kind = match earned.kind {
            TicketKind::Return => TicketKind::Return,
            TicketKind::Wait | TicketKind::Waited => TicketKind::Waited,
            TicketKind::Turn => TicketKind::Turn,
        };
        self.ticket(now, host, &TestTicket { kind, ..*earned }, (0, PASS_LIFE))
    }

    /// A ticket for an address of `host`, good after `wait`, which is brought between [`MIN_WAIT`] and
    /// [`MAX_WAIT`].
    pub fn wait_ticket(
        &self,
        now: WallTime,
        host: &str,
        number: u64,
        wait: Duration,
    ) -> CredentialText {
        let wait = wait.clamp(MIN_WAIT, MAX_WAIT);
        let wait_s = wait.as_secs() as u8;
        let ticket = TestTicket { kind: TicketKind::Wait, number };
        self.ticket(now, host, &ticket, (wait_s, wait + TICKET_LIFE))
    }

    /// Checks a ticket or pass. No allocation; time constant in the MAC.
    ///
    /// # Errors
    /// [`TicketFault`]: treat the request as if it had shown nothing; who is early may try again.
    pub fn check_ticket(
        &self,
        now: WallTime,
        host: &str,
        text: &[u8],
    ) -> Result<TestTicket, TicketFault> {
        let is_ours = |code| TicketKind::from_code(code).is_some();
        let opened = self.open(text, host.as_bytes(), is_ours);
        let (body, _) = opened.map_err(|_: CredentialFault| TicketFault::NotOurs)?;
        let kind = TicketKind::from_code(body[0] & 0x0f).ok_or(TicketFault::NotOurs)?;
        let (made, ends, now_s) = (word(&body, 6), word(&body, 10), secs(now));
        if now_s >= ends || made > now_s.saturating_add(SKEW_S) {
            // From the future: the clock was set back. It would last for longer than it should.
            return Err(TicketFault::Expired);
        }
        let ready = made.saturating_add(u32::from(body[1]));
        if now_s < ready {
            return Err(TicketFault::Early(Duration::from_secs(u64::from(ready - now_s))));
        }
        let number = body[18..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Ok(TestTicket { kind, number })
    }

    fn ticket(
        &self,
        now: WallTime,
        host: &str,
        ticket: &TestTicket,
        (wait_s, lasts): (u8, Duration),
    ) -> CredentialText {
        let mut body = [0; SIGNED];
        let ends = now.unix_secs().saturating_add(lasts.as_secs());
        body[1] = wait_s;
        body[6..10].copy_from_slice(&secs(now).to_be_bytes());
        body[10..14].copy_from_slice(&u32::try_from(ends).unwrap_or(u32::MAX).to_be_bytes());
        body[18..].copy_from_slice(&ticket.number.to_be_bytes());
        self.seal(ticket.kind.code(), body, host.as_bytes())
    }
}

fn secs(now: WallTime) -> u32 {
    u32::try_from(now.unix_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use seawall_model::ClientAddr;

    use super::*;

    const HOST: &str = "example.org";
    const START: u64 = 1_800_000_000;

    fn keys() -> CredentialKeys {
        CredentialKeys::new(&[7; 32], None)
    }

    fn at(secs: u64) -> WallTime {
        WallTime::from_unix_secs(START + secs)
    }

    fn check(secs: u64, text: &CredentialText) -> Result<TestTicket, TicketFault> {
        keys().check_ticket(at(secs), HOST, text.as_str().as_bytes())
    }

    #[test]
    fn who_brings_a_pass_back_has_passed_for_an_hour() {
        let earned = TestTicket { kind: TicketKind::Return, number: 9 };
        let pass = keys().pass(at(0), HOST, &earned);
        for secs in [0, 1, 3_599] {
            assert_eq!(check(secs, &pass), Ok(earned));
        }
        assert_eq!(check(3_600, &pass), Err(TicketFault::Expired));
    }

    #[test]
    fn a_wait_cannot_be_cut_short() {
        let ticket = keys().wait_ticket(at(0), HOST, 9, Duration::from_secs(8));
        assert_eq!(check(0, &ticket), Err(TicketFault::Early(Duration::from_secs(8))));
        assert_eq!(check(7, &ticket), Err(TicketFault::Early(Duration::from_secs(1))));
        let waited = check(8, &ticket).expect("it was waited for");
        assert_eq!(waited, TestTicket { kind: TicketKind::Wait, number: 9 });
        assert_eq!(check(607, &ticket), Ok(waited));
        assert_eq!(check(608, &ticket), Err(TicketFault::Expired));
        // What it earns keeps its number: showing it a thousand times makes one pass.
        let pass = keys().pass(at(10), HOST, &waited);
        assert_eq!(check(10, &pass), Ok(TestTicket { kind: TicketKind::Waited, number: 9 }));
        let short = keys().wait_ticket(at(0), HOST, 9, Duration::ZERO);
        assert!(matches!(check(4, &short), Err(TicketFault::Early(_))));
    }

    #[test]
    fn nothing_else_passes() {
        let pass = keys().pass(at(0), HOST, &TestTicket { kind: TicketKind::Return, number: 9 });
        let text = pass.as_str().as_bytes();
        assert_eq!(keys().check_ticket(at(0), "example.net", text), Err(TicketFault::NotOurs));
        let others = CredentialKeys::new(&[8; 32], None);
        assert_eq!(others.check_ticket(at(0), HOST, text), Err(TicketFault::NotOurs));
        for place in 0..text.len() {
            let mut changed = text.to_vec();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(keys().check_ticket(at(0), HOST, &changed), Err(TicketFault::NotOurs));
        }
        // Neither is taken for the other.
        let reader = keys().for_reader(at(0), 9);
        assert_eq!(check(0, &reader), Err(TicketFault::NotOurs));
        assert_eq!(keys().verify(at(0), text), Err(CredentialFault::Malformed));
        // From before the clock was set back.
        let pass = keys().pass(at(60), HOST, &TestTicket { kind: TicketKind::Return, number: 9 });
        assert_eq!(check(0, &pass), Err(TicketFault::Expired));
    }

    #[test]
    fn the_key_before_this_one_is_believed() {
        let pass = keys().pass(at(0), HOST, &TestTicket { kind: TicketKind::Return, number: 9 });
        let rotated = CredentialKeys::new(&[8; 32], Some(&[7; 32]));
        assert!(rotated.check_ticket(at(1), HOST, pass.as_str().as_bytes()).is_ok());
    }

    #[test]
    fn asking_again_gives_the_same_number_and_people_have_their_own() {
        let who = |last| Identity::from(ClientAddr::new(IpAddr::from([192, 0, 2, last])));
        let number = |last, people, dice| keys().ticket_number(at(0), who(last), people, dice);
        assert_eq!(number(1, 1, 7), number(1, 1, 8));
        assert_ne!(number(1, 1, 7), number(2, 1, 7));
        let shared: std::collections::BTreeSet<u64> =
            (0..1_000).map(|dice| number(1, 64, dice)).collect();
        assert_eq!(shared.len(), 64);
        let later = keys().ticket_number(at(EPOCH_S), who(1), 1, 7);
        assert_ne!(later, number(1, 1, 7), "after five minutes another");
    }
}
