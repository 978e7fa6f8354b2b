//! Who comes by a reader credential, and who has lent it out.
//!
//! A session as people have them earns one: [`PAGES`] pages and [`PARTS`] things that belong to
//! them, over at least `limits.min_session`, and nothing refused. A program can do that too. It then has what
//! one reader has, a bucket of its own, and waits a day until that counts; and a prefix is given
//! [`BURST`] at once and then one each [`INTERVAL`], so that a day of preparation at one address
//! buys little.
//!
//! A credential in use from more than [`PREFIXES`] prefixes within a minute, or for more than
//! [`REQUESTS`] requests, was copied: for [`LENT`] whoever carries it is treated as if it had none.
//!
//! Three fixed tables, four-way set-associative, placed by a keyed hash with an injected seed. When
//! a set is full, what was used longest ago is forgotten: a session begins anew, a holder is
//! believed again. Only credentials that were checked get into the table of holders.
//!
//! It does **not** check credentials (`credential`), and it knows no time but the one it is given.

use alloc::boxed::Box;
use core::time::Duration;

use seawall_model::{ClientAddr, Instant, Limits};

use crate::places::place;
use siphasher::sip::SipHasher13;

/// Pages that make a session.
const PAGES: u8 = 3;
/// Things that belong to pages (styles, scripts, images) that make a session.
const PARTS: u8 = 2;
/// Prefixes from which one credential may come within a minute.
const PREFIXES: usize = 3;
/// Requests with one credential within a minute. Ten a second is a page with 50 parts each five
/// seconds.
const REQUESTS: u16 = 600;
/// How long a credential that was lent out is worth nothing.
const LENT: Duration = Duration::from_secs(600);
/// New credentials that one prefix gets at once.
const BURST: u32 = 32;
/// Between new credentials for one prefix after that: 1,440 a day.
const INTERVAL: Duration = Duration::from_secs(60);

/// A pause after which a session is another one.
const IDLE_S: u32 = 1_800;
/// How long a refusal spoils a session.
const SPOILT_S: u32 = 600;

/// What a request looks like, as far as that makes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A page that somebody goes to.
    Page,
    /// Something that a page of this site asked for.
    Part,
}

/// The memory of sessions and holders. One owner at a time.
#[derive(Debug)]
pub struct Visitors {
    seed: [u64; 2],
    min_session_s: u32,
    sessions: Sets<Session>,
    holders: Sets<Holder>,
    prefixes: Sets<Issued>,
}

impl Visitors {
    /// Allocates all there will ever be: `limits.max_sessions` sessions of 16 bytes and as many
    /// prefixes of 12, and `limits.max_holders` holders of 32. `seed` must be random and secret.
    pub fn new(limits: &Limits, seed: [u64; 2]) -> Self {
        Self {
            seed,
            min_session_s: secs_of(limits.min_session),
            sessions: Sets::new(limits.max_sessions),
            holders: Sets::new(limits.max_holders),
            prefixes: Sets::new(limits.max_sessions),
        }
    }

    /// Notes what a client without a credential did; whether it has earned one by now. `looks`
    /// tells clients of one address apart. O(1), no allocation.
    pub fn saw(&mut self, now: Instant, client: ClientAddr, looks: u64, sight: Sight) -> bool {
        let hash = self.session_hash(client, looks);
        let now_s = secs(now);
        let session = self.sessions.entry(hash, now_s);
        if session.begun_s == 0 || now_s.saturating_sub(session.seen_s) > IDLE_S {
            *session = Session { tag: session.tag, begun_s: now_s, ..Session::default() };
        }
        session.seen_s = now_s;
        let Some(lasted_s) = now_s.checked_sub(session.begun_s) else { return false };
        match sight {
            Sight::Page => session.pages = session.pages.saturating_add(1),
            Sight::Part => session.parts = session.parts.saturating_add(1),
        }
        let over = lasted_s >= self.min_session_s;
        over && session.pages >= PAGES && session.parts >= PARTS && !session.is_given
    }

    /// Notes that something was refused to it: what it did before counts for nothing, and for ten
    /// minutes nothing does.
    pub fn spoil(&mut self, now: Instant, client: ClientAddr, looks: u64) {
        let hash = self.session_hash(client, looks);
        let now_s = secs(now);
        let session = self.sessions.entry(hash, now_s);
        let begun_s = now_s.saturating_add(SPOILT_S);
        *session = Session { tag: session.tag, begun_s, seen_s: now_s, ..Session::default() };
    }

    /// Whether this client is given one now. If so, it is not given another in this session, for
    /// then it does not keep what it is given.
    pub fn give(&mut self, now: Instant, client: ClientAddr, looks: u64) -> bool {
        let now_s = secs(now);
        let hash = self.hash(b"prefix", &prefix(client).to_le_bytes());
        let issued = self.prefixes.entry(hash, now_s);
        let interval = secs_of(INTERVAL);
        let due = issued.due_s.max(now_s);
        if due - now_s > interval * (BURST - 1) {
            return false;
        }
        (issued.due_s, issued.seen_s) = (due.saturating_add(interval), now_s);
        let hash = self.session_hash(client, looks);
        let session = self.sessions.entry(hash, now_s);
        session.is_given = true;
        session.seen_s = now_s;
        true
    }

    /// Notes a request with the credential of holder `number`, which was checked; whether it is
    /// believed. O(1), no allocation.
    pub fn comes(&mut self, now: Instant, number: u64, client: ClientAddr) -> bool {
        let now_s = secs(now);
        let place = self.hash(b"place", &prefix(client).to_le_bytes()) as u32;
        let hash = self.hash(b"holder", &number.to_le_bytes());
        let holder = self.holders.entry(hash, now_s);
        if now_s.saturating_sub(holder.minute_s) >= 60 || holder.requests == 0 {
            let keep = (holder.tag, holder.lent_s);
            *holder = Holder { tag: keep.0, lent_s: keep.1, minute_s: now_s, ..Holder::default() };
        }
        holder.seen_s = now_s;
        holder.requests = holder.requests.saturating_add(1);
        let known = usize::from(holder.places);
        if !holder.place[..known].contains(&place) {
            match holder.place.get_mut(known) {
                Some(free) => (*free, holder.places) = (place, holder.places + 1),
                None => holder.lent_s = now_s.saturating_add(secs_of(LENT)),
            }
        }
        if holder.requests > REQUESTS {
            holder.lent_s = now_s.saturating_add(secs_of(LENT));
        }
        holder.lent_s <= now_s
    }

    /// Sessions, holders and prefixes forgotten to make room for others, for metrics.
    pub fn forgotten(&self) -> u64 {
        self.sessions.forgotten + self.holders.forgotten + self.prefixes.forgotten
    }

    fn session_hash(&self, client: ClientAddr, looks: u64) -> u64 {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&client.identity().to_le_bytes());
        bytes[16..].copy_from_slice(&looks.to_le_bytes());
        self.hash(b"session", &bytes)
    }

    fn hash(&self, what: &[u8], bytes: &[u8]) -> u64 {
        use core::hash::Hasher as _;
        let mut hasher = SipHasher13::new_with_keys(self.seed[0], self.seed[1]);
        hasher.write(what);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// The /24 of an IPv4 address, the /48 of an IPv6 one: what a site or a small network is given.
fn prefix(client: ClientAddr) -> u128 {
    ClientAddr::new(client.truncated()).identity()
}

/// Whole seconds; never 0, which stands for "never".
fn secs(now: Instant) -> u32 {
    u32::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX).max(1)
}

fn secs_of(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[derive(Clone, Copy, Debug, Default)]
struct Session {
    tag: u32,
    begun_s: u32,
    seen_s: u32,
    pages: u8,
    parts: u8,
    is_given: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Holder {
    tag: u32,
    seen_s: u32,
    /// When the minute that is counted began.
    minute_s: u32,
    /// Until when it is not believed.
    lent_s: u32,
    place: [u32; PREFIXES],
    places: u8,
    requests: u16,
}

#[derive(Clone, Copy, Debug, Default)]
struct Issued {
    tag: u32,
    seen_s: u32,
    /// GCRA: when the next one is due.
    due_s: u32,
}

trait Slot: Copy + Default {
    fn tag(&self) -> u32;
    fn seen_s(&self) -> u32;
    fn tagged(tag: u32, seen_s: u32) -> Self;
}

macro_rules! slot {
    ($($name:ident),*) => {$(
        impl Slot for $name {
            fn tag(&self) -> u32 {
                self.tag
            }
            fn seen_s(&self) -> u32 {
                self.seen_s
            }
            fn tagged(tag: u32, seen_s: u32) -> Self {
                Self { tag, seen_s, ..Self::default() }
            }
        }
    )*};
}

slot!(Session, Holder, Issued);

const WAYS: usize = 4;

/// A fixed set-associative table; the tag 0 is an empty place.
#[derive(Debug)]
struct Sets<S> {
    slots: Box<[S]>,
    forgotten: u64,
}

impl<S: Slot> Sets<S> {
    fn new(max: usize) -> Self {
        let sets = max.div_ceil(WAYS).clamp(1, 1 << 24);
        let slots = core::iter::repeat_with(S::default).take(sets * WAYS).collect();
        Self { slots, forgotten: 0 }
    }

    /// The entry of `hash`, made in the place of the one not used for longest if need be.
    fn entry(&mut self, hash: u64, now_s: u32) -> &mut S {
        let first = place(hash, self.slots.len() / WAYS) * WAYS;
        let tag = (hash as u32).max(1);
        let set = &mut self.slots[first..first + WAYS];
        let found = set.iter().position(|slot| slot.tag() == tag);
        let place = found.unwrap_or_else(|| {
            let oldest = (0..WAYS).min_by_key(|place| set[*place].seen_s()).unwrap_or(0);
            self.forgotten += u64::from(set[oldest].tag() != 0);
            set[oldest] = S::tagged(tag, now_s);
            oldest
        });
        &mut set[place]
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn visitors() -> Visitors {
        let limits = Limits { max_sessions: 64, max_holders: 64, ..Limits::default() };
        Visitors::new(&limits, [3, 5])
    }

    fn client(number: u32) -> ClientAddr {
        ClientAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)))
    }

    /// One client in each /24.
    fn elsewhere(number: u32) -> ClientAddr {
        client(number << 8)
    }

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(secs)
    }

    /// Pages and parts, alternating, one a `step`; the number of the first request that earned.
    fn browse(visitors: &mut Visitors, who: ClientAddr, from: u64, step: u64) -> Option<u64> {
        let sights = [Sight::Page, Sight::Part, Sight::Part];
        let mut sights = sights.into_iter().cycle();
        (0..30).find(|round| {
            let sight = sights.next().expect("endless");
            visitors.saw(at(from + round * step), who, 1, sight)
        })
    }

    #[test]
    fn three_pages_with_their_parts_over_ten_seconds_earn_one() {
        // Pages are the requests 0, 3 and 6.
        assert_eq!(browse(&mut visitors(), client(1), 100, 2), Some(6));
        assert_eq!(browse(&mut visitors(), client(1), 100, 1), Some(10));
        assert_eq!(browse(&mut visitors(), client(1), 100, 0), None, "nobody reads that fast");
        let half_an_hour = u64::from(IDLE_S) + 1;
        assert_eq!(browse(&mut visitors(), client(1), 100, half_an_hour), None, "no session");
    }

    #[test]
    fn pages_alone_and_parts_alone_earn_nothing() {
        for sight in [Sight::Page, Sight::Part] {
            let mut visitors = visitors();
            for round in 0..100 {
                assert!(!visitors.saw(at(100 + round), client(1), 1, sight), "{sight:?}");
            }
        }
    }

    #[test]
    fn a_refusal_costs_ten_minutes() {
        let mut visitors = visitors();
        assert!(browse(&mut visitors, client(1), 100, 2).is_some());
        visitors.spoil(at(200), client(1), 1);
        assert_eq!(browse(&mut visitors, client(1), 200, 2), None);
        assert!(browse(&mut visitors, client(2), 200, 2).is_some(), "it was another");
        assert!(browse(&mut visitors, client(1), 800, 2).is_some());
    }

    #[test]
    fn nobody_is_given_two_in_one_session() {
        let mut visitors = visitors();
        assert!(browse(&mut visitors, client(1), 100, 2).is_some());
        assert!(visitors.give(at(120), client(1), 1));
        assert_eq!(browse(&mut visitors, client(1), 130, 2), None);
    }

    #[test]
    fn one_prefix_gets_a_burst_and_then_one_a_minute() {
        let mut visitors = visitors();
        let mut given = |secs| (0..100).filter(|n| visitors.give(at(secs), client(*n), 1)).count();
        assert_eq!(given(100), BURST as usize);
        assert_eq!(given(159), 0);
        assert_eq!(given(160), 1);
        assert_eq!(given(160 + 600), 10);
        assert!(visitors.give(at(160), elsewhere(7), 1), "another prefix");
    }

    #[test]
    fn a_holder_may_move_but_not_be_in_four_places_at_once() {
        let mut visitors = visitors();
        for minute in 0..10 {
            for place in 0..3 {
                let who = elsewhere(minute * 3 + place);
                assert!(visitors.comes(at(u64::from(100 + minute * 60)), 7, who));
            }
        }
        assert!(!visitors.comes(at(645), 7, elsewhere(99)), "the fourth place");
        assert!(!visitors.comes(at(645 + 500), 7, elsewhere(1)), "and for ten minutes");
        assert!(visitors.comes(at(645), 8, elsewhere(99)), "another holder");
        assert!(visitors.comes(at(645 + 601), 7, elsewhere(1)));
    }

    #[test]
    fn a_holder_who_asks_faster_than_a_person_is_not_believed() {
        let mut visitors = visitors();
        let believed = (0..1_000).filter(|_| visitors.comes(at(100), 7, client(1))).count();
        assert_eq!(believed, usize::from(REQUESTS));
        assert!(!visitors.comes(at(161), 7, client(1)));
        assert!(visitors.comes(at(100 + 700), 7, client(1)));
    }

    #[test]
    fn tables_do_not_grow_and_crowds_push_out_the_oldest() {
        let mut visitors = visitors();
        let slots = visitors.sessions.slots.len();
        for number in 0..100_000u64 {
            let who = client(number as u32);
            visitors.saw(at(100 + number / 1_000), who, number, Sight::Page);
            visitors.comes(at(100 + number / 1_000), number, who);
            visitors.give(at(100 + number / 1_000), who, number);
        }
        assert_eq!(visitors.sessions.slots.len(), slots);
        // All but what the tables hold; those who came within one /24 share a prefix.
        assert!(visitors.forgotten() >= 2 * (100_000 - 64), "{}", visitors.forgotten());
        assert_eq!(size_of::<Session>(), 16);
        assert_eq!(size_of::<Holder>(), 32);
        assert_eq!(size_of::<Issued>(), 12);
        // And a reader who comes after them all earns one as before.
        assert!(browse(&mut visitors, client(1), 300, 2).is_some());
    }

    #[test]
    fn inputs_made_to_collide_without_the_seed_spread_over_the_table() {
        // Chosen to fall into one set under another seed.
        let other = Visitors::new(&Limits::default(), [1, 2]);
        let set_of = |visitors: &Visitors, looks| {
            let hash = visitors.session_hash(client(1), looks);
            place(hash, visitors.sessions.slots.len() / WAYS)
        };
        let first = set_of(&other, 0);
        let colliding: alloc::vec::Vec<u64> =
            (0..2_000_000).filter(|looks| set_of(&other, *looks) == first).take(64).collect();
        let ours = Visitors::new(&Limits::default(), [3, 5]);
        let mut sets: alloc::vec::Vec<usize> =
            colliding.iter().map(|looks| set_of(&ours, *looks)).collect();
        sets.sort_unstable();
        sets.dedup();
        assert!(sets.len() + 8 > colliding.len(), "{} of {}", sets.len(), colliding.len());
    }

    #[test]
    fn a_jump_of_time_in_either_direction_breaks_nothing() {
        let mut visitors = visitors();
        for secs in [100, u64::MAX / 2_000_000_000, 1, 0, 100] {
            visitors.saw(at(secs), client(1), 1, Sight::Page);
            visitors.comes(at(secs), 7, client(1));
            visitors.give(at(secs), client(1), 1);
            visitors.spoil(at(secs), client(1), 1);
        }
    }
}
