//! Reader credentials and passes: what a browser carries so that it can be told from a crowd.
//!
//! A credential is 42 bytes, 56 characters of base64url (RFC 4648 §5) in a cookie:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version (upper four bits) and class (lower four) |
//! | 1 | days that a pass lasts; 0 for readers |
//! | 2-5 | which key signed it |
//! | 6-9 | hour in which its holder was first seen |
//! | 10-13 | day that the number is of |
//! | 14-17 | hour in which it ends |
//! | 18-25 | number |
//! | 26-41 | HMAC-SHA-256 over all before it, cut to 16 bytes (RFC 2104 §5) |
//!
//! Nothing is remembered of it: whoever holds the key can check it. There is no address inside.
//! Times are in hours, because a finer one would itself tell readers apart.
//!
//! The number changes with each day: tomorrow's is a hash of today's and cannot be turned back. So
//! nothing that is counted by it outlives the day, and yet it comes out the same by whatever
//! renewals one arrives there: copying and renewing a credential makes no second one.
//!
//! It does **not** say how a credential is come by, nor who carries it around: that is for those
//! who see sessions and addresses.

use core::fmt;
use core::time::Duration;

use hmac::{Hmac, Mac};
use seawall_model::{Identity, Standing, WallTime};
use sha2::{Digest, Sha256};

/// Characters of a credential.
pub const CREDENTIAL_CHARS: usize = 56;
/// How long a credential lasts at most, and how much of a reader's past it can tell.
pub const MAX_CREDENTIAL_DAYS: u8 = 30;
/// From this age on a credential speaks for its holder: an attack would have to be prepared a day
/// ahead, with a browser-like session for each.
pub const AGED: Duration = Duration::from_secs(24 * 3600);
/// How long the link that makes a pass can be opened.
pub const GRANT_HOURS: u32 = 24;

/// How far the clock may have stood ahead when a credential was made.
const SKEW_HOURS: u32 = 1;
const BYTES: usize = 42;
pub(crate) const SIGNED: usize = 26;
const VERSION: u8 = 1;
const HOURS_A_DAY: u32 = 24;

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialClass {
    /// A reader, after a session as people have them.
    Reader,
    /// Somebody to whom the operator gave a pass.
    Pass,
    /// Not carried in a cookie but in a link: opening it gives a pass.
    Grant,
}

impl CredentialClass {
    const fn code(self) -> u8 {
        match self {
            Self::Reader => 1,
            Self::Pass => 2,
            Self::Grant => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Reader),
            2 => Some(Self::Pass),
            3 => Some(Self::Grant),
            _ => None,
        }
    }
}

/// Why what was shown is no credential. Whoever shows it is treated as if it had shown none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialFault {
    /// Truncated, padded, or of another form or version.
    Malformed,
    /// Signed by a key that is not here: another installation's, or one long gone.
    Foreign,
    /// Names a key that is here, which did not sign it.
    Forged,
    /// From the future: the clock was set back by more than an hour.
    NotYet,
    /// Its time is over.
    Expired,
}

/// A credential that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    class: CredentialClass,
    days: u8,
    born_hour: u32,
    until_hour: u32,
    today: u32,
    number: u64,
    wants_renewal: bool,
    age_hours: u32,
}

impl Credential {
    /// What it is.
    pub const fn class(&self) -> CredentialClass {
        self.class
    }

    /// Whose budgets its requests count against: another one each day.
    pub const fn identity(&self) -> Identity {
        Identity::of_holder(self.number)
    }

    /// The holder's number of today, to count by.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// How long its holder has been known: whole hours, at most [`MAX_CREDENTIAL_DAYS`].
    pub const fn age(&self) -> Duration {
        Duration::from_secs(self.age_hours as u64 * 3600)
    }

    /// What it makes of a request that carries it. A grant in a cookie makes nothing.
    pub fn standing(&self) -> Standing {
        match self.class {
            CredentialClass::Pass => Standing::SignedIn,
            CredentialClass::Reader if self.age() >= AGED => Standing::AgedReader,
            CredentialClass::Reader | CredentialClass::Grant => Standing::Anonymous,
        }
    }

    /// Whether its holder should be given today's, signed with today's key.
    pub const fn wants_renewal(&self) -> bool {
        self.wants_renewal
    }

    /// How long it lasts from `now` on, in whole hours: the cookie's Max-Age.
    pub fn rest(&self, now: WallTime) -> Duration {
        Duration::from_secs(u64::from(self.until_hour.saturating_sub(hour(now))) * 3600)
    }
}

/// A credential in the form that is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CredentialText([u8; CREDENTIAL_CHARS]);

impl CredentialText {
    /// The characters.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }
}

impl fmt::Debug for CredentialText {
    // Whoever reads a log must not be able to use what stands there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialText(..)")
    }
}

/// The secrets that sign: the one in use, and the one before it, which is still believed.
#[derive(Clone)]
pub struct CredentialKeys {
    current: Key,
    previous: Option<Key>,
}

#[derive(Clone)]
struct Key {
    id: [u8; 4],
    mac: Hmac<Sha256>,
}

impl Key {
    fn new(secret: &[u8; 32]) -> Self {
        let hash = Sha256::new().chain_update(b"seawall key id").chain_update(secret).finalize();
        let mut id = [0; 4];
        id.copy_from_slice(&hash[..4]);
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
        Self { id, mac }
    }
}

impl fmt::Debug for CredentialKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialKeys(..)")
    }
}

impl CredentialKeys {
    /// Keys from random secrets.
    pub fn new(current: &[u8; 32], previous: Option<&[u8; 32]>) -> Self {
        Self { current: Key::new(current), previous: previous.map(Key::new) }
    }

    /// A credential for a reader who is known from now on. `number` must be random.
    pub fn for_reader(&self, now: WallTime, number: u64) -> CredentialText {
        self.sign(&Credential {
            class: CredentialClass::Reader,
            days: 0,
            born_hour: hour(now),
            until_hour: days_from(now, MAX_CREDENTIAL_DAYS),
            today: day(now),
            number,
            wants_renewal: false,
            age_hours: 0,
        })
    }

    /// What stands in a link that gives a pass of `days`, counted from now and at most
    /// [`MAX_CREDENTIAL_DAYS`]. It can be opened for [`GRANT_HOURS`], as often as one likes: all
    /// who do are one holder. `number` must be random.
    pub fn for_grant(&self, now: WallTime, days: u8, number: u64) -> CredentialText {
        self.sign(&Credential {
            class: CredentialClass::Grant,
            days: days.clamp(1, MAX_CREDENTIAL_DAYS),
            born_hour: hour(now),
            until_hour: hour(now).saturating_add(GRANT_HOURS),
            today: day(now),
            number,
            wants_renewal: false,
            age_hours: 0,
        })
    }

    /// The pass that a checked grant gives; `None` if `grant` is none. Opening the link again does
    /// not make it last longer.
    pub fn redeem(&self, grant: &Credential) -> Option<(Credential, CredentialText)> {
        if grant.class != CredentialClass::Grant {
            return None;
        }
        let lasts = u32::from(grant.days) * HOURS_A_DAY;
        let pass = Credential {
            class: CredentialClass::Pass,
            until_hour: grant.born_hour.saturating_add(lasts),
            ..*grant
        };
        Some((pass, self.sign(&pass)))
    }

    /// The same credential with the number and key of today. A reader's lasts for another
    /// [`MAX_CREDENTIAL_DAYS`]; a pass ends when it would have.
    pub fn renew(&self, now: WallTime, old: &Credential) -> CredentialText {
        let oldest = hour(now).saturating_sub(u32::from(MAX_CREDENTIAL_DAYS) * HOURS_A_DAY);
        let until_hour = match old.class {
            CredentialClass::Reader => days_from(now, MAX_CREDENTIAL_DAYS),
            CredentialClass::Pass | CredentialClass::Grant => old.until_hour,
        };
        self.sign(&Credential { born_hour: old.born_hour.max(oldest), until_hour, ..*old })
    }

    /// Checks what was shown. No allocation; time constant in the MAC.
    ///
    /// # Errors
    /// [`CredentialFault`]: treat the request as if it had shown nothing.
    pub fn verify(&self, now: WallTime, text: &[u8]) -> Result<Credential, CredentialFault> {
        let (body, is_current) =
            self.open(text, &[], |code| CredentialClass::from_code(code).is_some())?;
        let class = CredentialClass::from_code(body[0] & 0x0f).ok_or(CredentialFault::Malformed)?;
        let body = &body;
        let (born_hour, of_day) = (word(body, 6), word(body, 10));
        let until_hour = word(body, 14);
        let (this_hour, today) = (hour(now), day(now));
        let begins = born_hour.max(of_day.saturating_mul(HOURS_A_DAY));
        if begins > this_hour.saturating_add(SKEW_HOURS) {
            return Err(CredentialFault::NotYet);
        }
        if until_hour <= this_hour {
            return Err(CredentialFault::Expired);
        }
        let passed = today.saturating_sub(of_day).min(u32::from(MAX_CREDENTIAL_DAYS));
        let mut number = [0; 8];
        number.copy_from_slice(&body[18..SIGNED]);
        let number = (0..passed).fold(u64::from_be_bytes(number), |number, _| tomorrow(number));
        let most = u32::from(MAX_CREDENTIAL_DAYS) * HOURS_A_DAY;
        Ok(Credential {
            class,
            days: body[1],
            born_hour,
            until_hour,
            today: of_day + passed,
            number,
            wants_renewal: passed > 0 || !is_current,
            age_hours: this_hour.saturating_sub(born_hour).min(most),
        })
    }

    /// Checks form, key and MAC of what was shown: its body, and whether today's key signed it. `beside` is
    /// what was signed with it and is not in it.
    pub(crate) fn open(
        &self,
        text: &[u8],
        beside: &[u8],
        is_class: impl Fn(u8) -> bool,
    ) -> Result<([u8; SIGNED], bool), CredentialFault> {
        let bytes = decode(text).ok_or(CredentialFault::Malformed)?;
        if bytes[0] >> 4 != VERSION || !is_class(bytes[0] & 0x0f) {
            return Err(CredentialFault::Malformed);
        }
        let (signed, mac) = bytes.split_at(SIGNED);
        let is_current = signed[2..6] == self.current.id;
        let key = if is_current { Some(&self.current) } else { self.previous.as_ref() };
        let key = key.filter(|key| signed[2..6] == key.id).ok_or(CredentialFault::Foreign)?;
        let made = key.mac.clone().chain_update(signed).chain_update(beside);
        made.verify_truncated_left(mac).map_err(|_| CredentialFault::Forged)?;
        let mut body = [0; SIGNED];
        body.copy_from_slice(signed);
        Ok((body, is_current))
    }

    /// Signs a body of class `code` with today's key, and `beside` with it.
    pub(crate) fn seal(&self, code: u8, mut body: [u8; SIGNED], beside: &[u8]) -> CredentialText {
        body[0] = VERSION << 4 | code;
        body[2..6].copy_from_slice(&self.current.id);
        let made = self.current.mac.clone().chain_update(body).chain_update(beside);
        let mut bytes = [0; BYTES];
        bytes[..SIGNED].copy_from_slice(&body);
        bytes[SIGNED..].copy_from_slice(&made.finalize().into_bytes()[..BYTES - SIGNED]);
        CredentialText(encode(&bytes))
    }

    /// A number that only the holder of the key can make of `label`.
    pub(crate) fn number_of(&self, label: &[u8]) -> u64 {
        let hash = self.current.mac.clone().chain_update(label).finalize().into_bytes();
        hash[..8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    fn sign(&self, credential: &Credential) -> CredentialText {
        let mut bytes = [0; SIGNED];
        bytes[1] = credential.days;
        bytes[6..10].copy_from_slice(&credential.born_hour.to_be_bytes());
        bytes[10..14].copy_from_slice(&credential.today.to_be_bytes());
        bytes[14..18].copy_from_slice(&credential.until_hour.to_be_bytes());
        bytes[18..].copy_from_slice(&credential.number.to_be_bytes());
        self.seal(credential.class.code(), bytes, &[])
    }
}

/// The number that follows. It needs no secret: its holder may well know what it will be.
fn tomorrow(number: u64) -> u64 {
    let hash = Sha256::new()
        .chain_update(b"seawall next day")
        .chain_update(number.to_be_bytes())
        .finalize();
    hash[..8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn hour(now: WallTime) -> u32 {
    u32::try_from(now.unix_secs() / 3600).unwrap_or(u32::MAX)
}

fn day(now: WallTime) -> u32 {
    hour(now) / HOURS_A_DAY
}

fn days_from(now: WallTime, days: u8) -> u32 {
    hour(now).saturating_add(u32::from(days) * HOURS_A_DAY)
}

pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode(bytes: &[u8; BYTES]) -> [u8; CREDENTIAL_CHARS] {
    let mut text = [0; CREDENTIAL_CHARS];
    for (three, four) in bytes.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
        let word = three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        for (place, character) in four.iter_mut().enumerate() {
            *character = ALPHABET[(word >> (18 - 6 * place)) as usize & 63];
        }
    }
    text
}

/// 56 characters are 42 bytes exactly, so that there is one spelling of each.
fn decode(text: &[u8]) -> Option<[u8; BYTES]> {
    if text.len() != CREDENTIAL_CHARS {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (four, three) in text.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
        let mut word = 0u32;
        for character in four {
            let value = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            word = word << 6 | u32::from(value);
        }
        three.copy_from_slice(&word.to_be_bytes()[1..]);
    }
    Some(bytes)
}
