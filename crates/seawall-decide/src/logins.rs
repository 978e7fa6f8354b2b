//! Which login cookies the origin itself gave out.
//!
//! A cookie's name is a claim: anybody can send it. Its value counts once the origin was seen to
//! set it, and is remembered as a keyed hash (HMAC-SHA-256 cut to 16 bytes), so that neither this
//! memory nor a copy of its file can log anybody in.
//!
//! A bounded map. When it is full, what has expired goes first, then the login not used for
//! longest: whoever edits stays. A login that was forgotten counts as anonymous until the next one.
//!
//! It does **not** know what a successful login looks like; that is for those who see the exchange.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use hmac::{Hmac, Mac};
use seawall_model::WallTime;
use sha2::Sha256;

/// A login is remembered for so long at most, whatever lifetime the origin gave its cookie.
pub const MAX_LOGIN: Duration = Duration::from_secs(30 * 24 * 3600);

const MAGIC: &[u8; 8] = b"SWLOGIN1";
const MAC_BYTES: usize = 32;
const ENTRY_BYTES: usize = 24;

/// The secret under which login cookies are hashed.
#[derive(Clone)]
pub struct LoginKey(Hmac<Sha256>);

/// A login cookie, hashed: comparable, and of no use to anybody else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginHash(u128);

impl LoginHash {
    /// A number to count the holder's requests by.
    pub const fn number(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Debug for LoginHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginHash(..)")
    }
}

impl fmt::Debug for LoginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginKey(..)")
    }
}

impl LoginKey {
    /// A key from a random secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// Hashes a cookie of a site. No allocation.
    pub fn hash(&self, site: &[u8], name: &[u8], value: &[u8]) -> LoginHash {
        let mut mac = self.0.clone();
        for part in [site, name, value] {
            // The length in front of each part, so that no two triples are one.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let bytes = mac.finalize().into_bytes();
        LoginHash(bytes[..16].iter().fold(0, |word, byte| word << 8 | u128::from(*byte)))
    }
}

/// The memory of logins. One owner at a time.
#[derive(Debug)]
pub struct Logins {
    max: usize,
    forgotten: u64,
    known: BTreeMap<LoginHash, Login>,
}

#[derive(Clone, Copy, Debug)]
struct Login {
    until_s: u64,
    used_s: u64,
}

impl Logins {
    /// Room for `max` logins, at least one.
    pub fn new(max: usize) -> Self {
        Self { max: max.max(1), forgotten: 0, known: BTreeMap::new() }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Logins forgotten to make room for others, for metrics.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Remembers one for `lifetime`, at most [`MAX_LOGIN`].
    pub fn remember(&mut self, now: WallTime, login: LoginHash, lifetime: Duration) {
        let now_s = now.unix_secs();
        if self.known.len() >= self.max && !self.known.contains_key(&login) {
            self.known.retain(|_, login| login.until_s > now_s);
            if self.known.len() >= self.max
                && let Some(oldest) = self.known.iter().min_by_key(|(_, login)| login.used_s)
            {
                let oldest = *oldest.0;
                self.known.remove(&oldest);
                self.forgotten += 1;
            }
        }
        let until_s = now_s.saturating_add(lifetime.min(MAX_LOGIN).as_secs());
        self.known.insert(login, Login { until_s, used_s: now_s });
    }

    /// Whether the origin gave this one out and it is not over. O(log logins), no allocation.
    pub fn is_known(&mut self, now: WallTime, login: LoginHash) -> bool {
        let Some(found) = self.known.get_mut(&login) else { return false };
        let now_s = now.unix_secs();
        found.used_s = now_s;
        // If the clock stood ahead when it was remembered, it must not last for that much longer.
        found.until_s = found.until_s.min(now_s.saturating_add(MAX_LOGIN.as_secs()));
        found.until_s > now_s
    }

    /// Forgets one: its holder logged out.
    pub fn forget(&mut self, login: LoginHash) -> bool {
        self.known.remove(&login).is_some()
    }

    /// All of it, to be kept in a file.
    pub fn to_bytes(&self, key: &LoginKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.known.len() * ENTRY_BYTES + MAC_BYTES);
        bytes.extend_from_slice(MAGIC);
        for (hash, login) in &self.known {
            bytes.extend_from_slice(&hash.0.to_be_bytes());
            bytes.extend_from_slice(&login.until_s.to_be_bytes());
        }
        let mac = key.0.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        bytes
    }

    /// What [`Self::to_bytes`] made, under the same key; `None` for anything else. What has expired
    /// is left out, and so is what goes beyond `max`.
    pub fn from_bytes(bytes: &[u8], key: &LoginKey, max: usize, now: WallTime) -> Option<Self> {
        let (body, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        key.0.clone().chain_update(body).verify_slice(mac).ok()?;
        let entries = body.strip_prefix(MAGIC)?;
        let mut logins = Self::new(max);
        let now_s = now.unix_secs();
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            let (hash, until) = entry.split_at(16);
            let hash = hash.iter().fold(0, |word, byte| word << 8 | u128::from(*byte));
            let until_s = until.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            if until_s > now_s && logins.known.len() < logins.max {
                logins.known.insert(LoginHash(hash), Login { until_s, used_s: now_s });
            }
        }
        Some(logins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(secs: u64) -> WallTime {
        WallTime::from_unix_secs(1_795_321_200 + secs)
    }

    fn key() -> LoginKey {
        LoginKey::new(&[1; 32])
    }

    fn login(value: u64) -> LoginHash {
        key().hash(b"example.org", b"session", &value.to_le_bytes())
    }

    #[test]
    fn what_was_set_is_known_until_it_ends() {
        let mut logins = Logins::new(8);
        assert!(!logins.is_known(at(0), login(1)));
        logins.remember(at(0), login(1), HOUR);
        logins.remember(at(0), login(2), HOUR * 24 * 365);
        assert!(logins.is_known(at(3599), login(1)));
        assert!(!logins.is_known(at(3600), login(1)));
        assert!(logins.is_known(at(30 * 24 * 3600 - 1), login(2)));
        assert!(!logins.is_known(at(30 * 24 * 3600), login(2)), "30 days are the most");
        logins.remember(at(0), login(3), HOUR);
        assert!(logins.forget(login(3)));
        assert!(!logins.is_known(at(0), login(3)));
    }

    #[test]
    fn site_name_and_value_count_each_for_itself() {
        let hash = |site: &str, name: &str, value: &str| {
            key().hash(site.as_bytes(), name.as_bytes(), value.as_bytes())
        };
        let one = hash("a", "b", "c");
        for other in
            [hash("b", "b", "c"), hash("a", "c", "b"), hash("ab", "", "c"), hash("a", "bc", "")]
        {
            assert_ne!(one, other);
        }
        assert_ne!(one, LoginKey::new(&[2; 32]).hash(b"a", b"b", b"c"));
    }

    #[test]
    fn a_crowd_of_logins_pushes_out_those_not_used() {
        let mut logins = Logins::new(64);
        logins.remember(at(0), login(0), HOUR);
        for number in 1..10_000 {
            assert!(logins.is_known(at(number / 10), login(0)), "the editor works on");
            logins.remember(at(number / 10), login(number), HOUR);
            assert!(logins.len() <= 64);
        }
        assert_eq!(logins.forgotten(), 10_000 - 64);
        assert!(!logins.is_known(at(1_000), login(1)));
        assert!(logins.is_known(at(1_000), login(9_999)));
    }

    #[test]
    fn a_clock_that_was_ahead_makes_no_login_last_for_years() {
        let mut logins = Logins::new(8);
        logins.remember(at(1_000_000_000), login(1), HOUR);
        assert!(logins.is_known(at(0), login(1)));
        assert!(!logins.is_known(at(MAX_LOGIN.as_secs()), login(1)));
    }

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        // The map is ordered and not hashed; but its keys are MACs, so that nobody can choose them.
        let first = |secret: u8, value: u64| {
            let login = LoginKey::new(&[secret; 32]).hash(b"site", b"login", &value.to_be_bytes());
            (login.0 >> 118) as u64
        };
        crate::adversary::check_spread(|value| first(1, value), |value| first(3, value));
    }

    #[test]
    fn the_file_is_read_back_only_whole_and_under_its_key() {
        let mut logins = Logins::new(8);
        for number in 0..8 {
            logins.remember(at(0), login(number), HOUR * (number as u32 + 1));
        }
        let bytes = logins.to_bytes(&key());
        let mut read = Logins::from_bytes(&bytes, &key(), 8, at(3600)).expect("the same");
        assert_eq!(read.len(), 7, "one has expired");
        assert!(read.is_known(at(3600), login(1)));
        let few = Logins::from_bytes(&bytes, &key(), 2, at(0)).expect("the same");
        assert_eq!(few.len(), 2);
        for len in 0..bytes.len() {
            assert!(Logins::from_bytes(&bytes[..len], &key(), 8, at(0)).is_none(), "{len}");
        }
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert!(Logins::from_bytes(&other, &key(), 8, at(0)).is_none(), "{place}");
        }
        assert!(Logins::from_bytes(&bytes, &LoginKey::new(&[2; 32]), 8, at(0)).is_none());
    }
}
