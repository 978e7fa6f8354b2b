//! Flights: one origin fetch per key, however many readers wait (request coalescing).
//!
//! A sans-IO state machine. The first reader of a key that is not held becomes the leader and gets
//! a [`Lead`]; the others leave a waiter `W` (in production the sending half of a one-shot channel)
//! and wait. The leader [`Flights::finish`]es and hands the outcome to everyone drained, or
//! [`Flights::fail`]s, and the next waiting reader is elected.
//!
//! Separate from the store because it holds no response: it knows who waits, not for what. It does
//! **not** time out waiters (the caller owns their clocks), fetch, or decide what may be shared. A
//! waiter must re-check what it is handed: a response may turn out to vary or to be private.
//!
//! **Purges.** A reader who comes after a purge must not join a fetch that began before it. Mix
//! [`crate::Epoch::as_u64`] into `variant_hint`: the flight before the purge then has another key.
//!
//! Cost: one short mutex per shard, on the miss path only; one allocation per flight and waiter.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use seawall_model::Instant;
use siphasher::sip::SipHasher13;

use crate::key::{HashSeed, Key};

/// Bounds of the flights, each with what happens beyond it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlightLimits {
    /// Waiters of one flight. [`Join::Full`] beyond. Default 1,024.
    pub max_waiters: usize,
    /// Leaders of one flight, one after the other. Beyond, everyone who waits is told. Default 3:
    /// an origin that failed three readers in a row will not please the fourth.
    pub max_attempts: u32,
    /// A flight whose leader is older than this no longer keeps newcomers waiting: the next one
    /// leads. Default 5 s (`detection.md`, the cache lock's age).
    pub max_age: Duration,
    /// Keys remembered as not worth coalescing, over all shards. The oldest are forgotten beyond.
    /// Default 65,536, at 40 bytes each.
    pub max_marks: usize,
}

impl Default for FlightLimits {
    fn default() -> Self {
        Self {
            max_waiters: 1_024,
            max_attempts: 3,
            max_age: Duration::from_secs(5),
            max_marks: 65_536,
        }
    }
}

/// All flights of this process. Cheap to clone; clones share.
pub struct Flights<W> {
    inner: Arc<Inner<W>>,
}

/// What a reader of a key that is not held should do.
#[derive(Debug)]
pub enum Join<W> {
    /// Fetch, then call [`Flights::finish`] or [`Flights::fail`].
    Lead(Lead<W>),
    /// Wait: the waiter that `make` built was taken.
    Wait,
    /// Too many wait already; the waiter was not built. Answer stale or 503.
    Full,
    /// The last answer for this key was not shareable: fetch without coalescing.
    Alone,
}

/// What a failed leader leaves behind.
#[derive(Debug)]
pub enum Failed<W> {
    /// This waiter leads now: wake it and give it the token.
    Elected(W, Lead<W>),
    /// Nobody leads any more: tell these (possibly none) that the fetch failed.
    Over(Vec<W>),
}

/// The right and duty to fetch. Dropping it ends the flight and drops its waiters, so that a
/// one-shot sender tells its reader by being dropped: a leader that panics leaves nobody waiting.
pub struct Lead<W> {
    inner: Arc<Inner<W>>,
    place: Place,
    flight: u64,
    /// Whether `finish` or `fail` has taken over from `drop`.
    state: LeadState,
}

impl<W> Flights<W> {
    /// Flights with the default [`FlightLimits`]. `shards` is rounded up to a power of two, 1 to
    /// 1,024; `seed` keys the hashing of what clients send.
    pub fn new(seed: [u64; 2], shards: usize) -> Self {
        Self::with_limits(seed, shards, FlightLimits::default())
    }

    /// Flights with these limits.
    pub fn with_limits(seed: [u64; 2], shards: usize, limits: FlightLimits) -> Self {
        Self::build(seed, shards, limits, |_| false)
    }

    /// Flights that can tell when a waiter's reader has gone (for a one-shot sender:
    /// `Sender::is_closed`). The gone neither count against [`FlightLimits::max_waiters`] nor are
    /// they elected.
    pub fn with_liveness(
        seed: [u64; 2],
        shards: usize,
        limits: FlightLimits,
        is_gone: fn(&W) -> bool,
    ) -> Self {
        Self::build(seed, shards, limits, is_gone)
    }

    fn build(seed: [u64; 2], shards: usize, limits: FlightLimits, is_gone: fn(&W) -> bool) -> Self {
        let shards = shards.clamp(1, 1_024).next_power_of_two();
        let keyed = KeyedState(seed);
        let seed = hash_seed(seed);
        let shards = (0..shards)
            .map(|_| {
                Mutex::new(Shard {
                    flights: HashMap::with_hasher(keyed),
                    marks: HashMap::with_hasher(keyed),
                    mark_order: VecDeque::new(),
                })
            })
            .collect();
        let inner = Inner { shards, seed, limits, is_gone, next_flight: AtomicU64::new(1) };
        Self { inner: Arc::new(inner) }
    }

    /// Joins the flight of `key`, or opens one.
    ///
    /// `variant_hint` tells apart requests that could not share an answer although their key is
    /// the same (a hash of the fields the last response varied on); 0 if nothing is known. `make`
    /// is called, under the shard's lock, only for [`Join::Wait`].
    pub fn join(
        &self,
        key: &Key,
        variant_hint: u64,
        now: Instant,
        make: impl FnOnce() -> W,
    ) -> Join<W> {
        let inner = &self.inner;
        let mark = inner.fingerprint(key);
        let mut shard = inner.shard(mark).lock();
        if shard.is_marked(mark, now) {
            return Join::Alone;
        }
        let place = Place { key: key.clone(), variant_hint, mark };
        let Some(flight) = shard.flights.get_mut(&place) else {
            let flight = Flight::new(inner.next_id(), now);
            let lead = inner.lead(place.clone(), flight.id);
            shard.flights.insert(place, flight);
            return Join::Lead(lead);
        };
        if now.saturating_since(flight.started) > inner.limits.max_age {
            // The old leader is late, not dead: it may still store its response, but the waiters
            // now hang on the new one.
            flight.id = inner.next_id();
            flight.started = now;
            return Join::Lead(inner.lead(place, flight.id));
        }
        if flight.waiters.len() >= inner.limits.max_waiters {
            let is_gone = inner.is_gone;
            flight.waiters.retain(|waiter| !is_gone(waiter));
        }
        if flight.waiters.len() >= inner.limits.max_waiters {
            return Join::Full;
        }
        flight.waiters.push_back(make());
        Join::Wait
    }

    /// Ends the flight with an outcome: the waiters, in order of arrival, for the caller to hand
    /// the outcome to. Empty for a leader that was replaced for its age.
    pub fn finish(&self, mut lead: Lead<W>) -> Vec<W> {
        lead.state = LeadState::Settled;
        lead.remove_flight().map(|flight| flight.waiters.into()).unwrap_or_default()
    }

    /// The leader's fetch failed: elects the next waiting reader, until
    /// [`FlightLimits::max_attempts`] have tried.
    pub fn fail(&self, lead: Lead<W>, now: Instant) -> Failed<W> {
        self.pass_on(lead, now, 1)
    }

    /// The leader never began, for its reader had gone: elects the next one, and the attempt does
    /// not count.
    pub fn hand_over(&self, lead: Lead<W>, now: Instant) -> Failed<W> {
        self.pass_on(lead, now, 0)
    }

    fn pass_on(&self, mut lead: Lead<W>, now: Instant, attempts: u32) -> Failed<W> {
        let inner = &self.inner;
        lead.state = LeadState::Settled;
        let mut shard = inner.shard(lead.place.mark).lock();
        let Some(flight) = shard.flights.get_mut(&lead.place).filter(|f| f.id == lead.flight)
        else {
            return Failed::Over(Vec::new());
        };
        flight.attempts += attempts;
        if flight.attempts < inner.limits.max_attempts {
            while let Some(waiter) = flight.waiters.pop_front() {
                if (inner.is_gone)(&waiter) {
                    continue;
                }
                flight.id = inner.next_id();
                flight.started = now;
                let next = inner.lead(lead.place.clone(), flight.id);
                return Failed::Elected(waiter, next);
            }
        }
        let waiters = shard.flights.remove(&lead.place).map(|flight| flight.waiters.into());
        Failed::Over(waiters.unwrap_or_default())
    }

    /// Remembers until `now + ttl` that responses for `key` are not shareable, so that its readers
    /// are not put in a row behind a leader whose answer helps none of them.
    pub fn mark_uncacheable(&self, key: &Key, now: Instant, ttl: Duration) {
        let inner = &self.inner;
        let mark = inner.fingerprint(key);
        let per_shard = (inner.limits.max_marks / inner.shards.len()).max(1);
        let mut shard = inner.shard(mark).lock();
        if shard.marks.insert(mark, now + ttl).is_none() {
            shard.mark_order.push_back(mark);
        }
        while shard.mark_order.len() > per_shard {
            if let Some(oldest) = shard.mark_order.pop_front() {
                shard.marks.remove(&oldest);
            }
        }
    }

    /// Forgets the mark: the last response was shareable after all.
    pub fn clear_uncacheable(&self, key: &Key) {
        let mark = self.inner.fingerprint(key);
        let mut shard = self.inner.shard(mark).lock();
        if shard.marks.remove(&mark).is_some() {
            shard.mark_order.retain(|&other| other != mark);
        }
    }

    /// Flights under way, over all shards. For metrics; takes each shard's lock once.
    pub fn len(&self) -> usize {
        self.inner.shards.iter().map(|shard| shard.lock().flights.len()).sum()
    }

    /// Whether nobody fetches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Readers waiting, over all flights. For metrics; takes each shard's lock once.
    pub fn waiting(&self) -> usize {
        let in_shard = |shard: &Mutex<Shard<W>>| -> usize {
            shard.lock().flights.values().map(|flight| flight.waiters.len()).sum()
        };
        self.inner.shards.iter().map(in_shard).sum()
    }
}

impl<W> Clone for Flights<W> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<W> std::fmt::Debug for Flights<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flights").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}

impl<W> Lead<W> {
    /// The key this leader fetches for.
    pub fn key(&self) -> &Key {
        &self.place.key
    }

    /// Takes the flight out, if it is still this leader's.
    fn remove_flight(&self) -> Option<Flight<W>> {
        let mut shard = self.inner.shard(self.place.mark).lock();
        if shard.flights.get(&self.place)?.id != self.flight {
            return None;
        }
        shard.flights.remove(&self.place)
    }
}

impl<W> Drop for Lead<W> {
    fn drop(&mut self) {
        if self.state == LeadState::Open {
            // The waiters are dropped here, after the shard's lock is released.
            drop(self.remove_flight());
        }
    }
}

impl<W> std::fmt::Debug for Lead<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lead").field("flight", &self.flight).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LeadState {
    Open,
    Settled,
}

struct Inner<W> {
    shards: Box<[Mutex<Shard<W>>]>,
    seed: HashSeed,
    limits: FlightLimits,
    is_gone: fn(&W) -> bool,
    next_flight: AtomicU64,
}

impl<W> Inner<W> {
    fn fingerprint(&self, key: &Key) -> u64 {
        key.hash128(&self.seed) as u64
    }

    fn shard(&self, mark: u64) -> &Mutex<Shard<W>> {
        // The length is a power of two; the map inside uses other bits of another hash.
        &self.shards[(mark as usize) & (self.shards.len() - 1)]
    }

    fn next_id(&self) -> u64 {
        self.next_flight.fetch_add(1, Ordering::Relaxed)
    }

    fn lead(self: &Arc<Self>, place: Place, flight: u64) -> Lead<W> {
        Lead { inner: Arc::clone(self), place, flight, state: LeadState::Open }
    }
}

struct Shard<W> {
    flights: HashMap<Place, Flight<W>, KeyedState>,
    /// Until when a key (by fingerprint: a collision costs coalescing, never correctness) is not
    /// worth coalescing.
    marks: HashMap<u64, Instant, KeyedState>,
    mark_order: VecDeque<u64>,
}

impl<W> Shard<W> {
    fn is_marked(&mut self, mark: u64, now: Instant) -> bool {
        match self.marks.get(&mark) {
            Some(&until) if now < until => true,
            Some(_) => {
                self.marks.remove(&mark);
                self.mark_order.retain(|&other| other != mark);
                false
            }
            None => false,
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Place {
    key: Key,
    variant_hint: u64,
    mark: u64,
}

impl std::hash::Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.mark);
        state.write_u64(self.variant_hint);
    }
}

struct Flight<W> {
    id: u64,
    started: Instant,
    attempts: u32,
    waiters: VecDeque<W>,
}

impl<W> Flight<W> {
    fn new(id: u64, now: Instant) -> Self {
        Self { id, started: now, attempts: 0, waiters: VecDeque::new() }
    }
}

/// The two words as the sixteen bytes that [`Key::hash128`] takes.
pub(crate) fn hash_seed(seed: [u64; 2]) -> HashSeed {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed[0].to_le_bytes());
    bytes[8..].copy_from_slice(&seed[1].to_le_bytes());
    HashSeed(bytes)
}

/// SipHash-1-3 under the injected seed: clients choose the keys, so they must not choose the
/// collisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedState(pub(crate) [u64; 2]);

impl BuildHasher for KeyedState {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::{KeyedState, Place, hash_seed};
    use crate::adversary::check_spread;
    use crate::key::{Key, Scheme};

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        let place = |seed: u64, number: u64| {
            let path = format!("/page-{number}");
            let key = Key::new(Scheme::Https, "example.org", path.as_bytes(), None);
            let mark = key.hash128(&hash_seed([seed, 2])) as u64;
            (mark, KeyedState([seed, 2]).hash_one(Place { key, variant_hint: 0, mark }))
        };
        // The shard, and the place in its map.
        check_spread(|number| place(1, number).0 & 1_023, |number| place(3, number).0 & 1_023);
        check_spread(|number| place(1, number).1 & 1_023, |number| place(3, number).1 & 1_023);
    }
}
