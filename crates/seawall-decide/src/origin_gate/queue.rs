//! Who waits before one origin, in which order, and who has to leave.
//!
//! A lane for each class, source and cost; within one, least demand first, and among equals first come
//! first served, or last come while the queue is overloaded: the newest still has time, the oldest will
//! be refused anyway (Facebook's adaptive LIFO). Demand is compared in half octaves. All by exact
//! waiter; every operation is O(log waiters).

use alloc::collections::BTreeMap;
use core::array;

use seawall_model::Instant;

use super::class::{WorkClass, WorkSource};
use crate::decay::ONE;

/// Whether a request takes a permit that only a quarter of the limit may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cost {
    Ordinary,
    Expensive,
    /// It may cost anything, and is not the first of its kind lately: a quarter as well, of its own.
    Unseen,
}

impl Cost {
    const ALL: [Self; 3] = [Self::Ordinary, Self::Expensive, Self::Unseen];
}

/// Which of equals goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    OldestFirst,
    NewestFirst,
}

/// Where a waiter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub(super) class: WorkClass,
    pub(super) source: WorkSource,
    pub(super) cost: Cost,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(super) lane: Lane,
    rank: Rank,
}

/// Less demand first, then earlier first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Rank {
    level: u8,
    sequence: u64,
}

#[derive(Debug)]
pub(super) struct Waiter<W> {
    pub(super) waiter: W,
    pub(super) identity: u128,
    pub(super) template: u64,
    pub(super) since: Instant,
    deadline: Instant,
}

/// All who wait.
#[derive(Debug)]
pub(super) struct Queue<W> {
    lanes: [BTreeMap<Rank, Waiter<W>>; LANES],
    /// By deadline. The sequence number makes keys unique.
    deadlines: BTreeMap<(Instant, u64), Ticket>,
    next_sequence: u64,
    of_tor: usize,
}

/// Demand in half octaves of an ordinary request: 0 up to 1.5 requests, 31 from 50,000.
pub(super) fn level(demand: u32) -> u8 {
    let demand = demand.max(ONE);
    let octave = demand.ilog2();
    let half = (demand >> (octave - 1)) & 1;
    let level = 2 * (octave - ONE.ilog2()) + half;
    u8::try_from(level).unwrap_or(u8::MAX).min(LEVELS as u8 - 1)
}

impl<W> Queue<W> {
    pub(super) fn new() -> Self {
        Self {
            lanes: array::from_fn(|_| BTreeMap::new()),
            deadlines: BTreeMap::new(),
            next_sequence: 0,
            of_tor: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.deadlines.len()
    }

    pub(super) const fn of_tor(&self) -> usize {
        self.of_tor
    }

    /// How many wait in lanes of dear pages.
    pub(super) fn dear(&self) -> usize {
        let lanes = WorkClass::ALL.into_iter().flat_map(lanes_of).filter(|lane| lane.is_dear());
        lanes.map(|lane| self.lanes[lane.index()].len()).sum()
    }

    pub(super) fn of_class(&self, class: WorkClass) -> usize {
        lanes_of(class).map(|lane| self.lanes[lane.index()].len()).sum()
    }

    /// Whether anything waits but work in the background, put behind others or not.
    pub(super) fn has_foreground(&self) -> bool {
        self.len() > self.of_class(WorkClass::Background)
    }

    /// Since when the one waits who waits longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        // All wait equally long at most, but for a reload between them.
        let ticket = self.deadlines.first_key_value()?.1;
        self.lanes[ticket.lane.index()].get(&ticket.rank).map(|waiter| waiter.since)
    }

    /// Since when the one waits who waits longest of those in `class` or a better one. Looks at a few only:
    /// whoever waits behind so many others of worse classes has not waited long.
    pub(super) fn oldest_of(&self, class: WorkClass) -> Option<Instant> {
        let mut tickets = self.deadlines.values().take(64);
        let ticket = tickets.find(|ticket| ticket.lane.class <= class)?;
        self.lanes[ticket.lane.index()].get(&ticket.rank).map(|waiter| waiter.since)
    }

    /// How many wait who may go before a newcomer in `lane`: of its class and better ones; dear ones only if
    /// it is dear as well, because they have a part of the limit that is theirs.
    pub(super) fn before(&self, lane: Lane) -> usize {
        let goes_before = |other: &Lane| other.cost == Cost::Ordinary || other.cost == lane.cost;
        let classes = WorkClass::ALL.into_iter().take_while(|class| *class <= lane.class);
        let lanes = classes.flat_map(lanes_of).filter(goes_before);
        lanes.map(|lane| self.lanes[lane.index()].len()).sum()
    }

    /// Since when the one waits who waits longest of those in [`Lane::is_pressing`]. O(waiting).
    pub(super) fn oldest_pressing(&self) -> Option<Instant> {
        let ticket = self.deadlines.values().find(|ticket| ticket.lane.is_pressing())?;
        self.lanes[ticket.lane.index()].get(&ticket.rank).map(|waiter| waiter.since)
    }

    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|(&(deadline, _), _)| deadline)
    }

    pub(super) fn push(
        &mut self,
        lane: Lane,
        level: u8,
        deadline: Instant,
        (since, identity, template): (Instant, u128, u64),
        waiter: W,
    ) -> Ticket {
        let rank = Rank { level, sequence: self.next_sequence };
        self.next_sequence += 1;
        let ticket = Ticket { lane, rank };
        let waiter = Waiter { waiter, identity, template, since, deadline };
        self.lanes[lane.index()].insert(rank, waiter);
        self.deadlines.insert((deadline, rank.sequence), ticket);
        self.of_tor += usize::from(lane.source == WorkSource::Tor);
        ticket
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Waiter<W>> {
        let waiter = self.lanes[ticket.lane.index()].remove(&ticket.rank)?;
        self.deadlines.remove(&(waiter.deadline, ticket.rank.sequence));
        self.of_tor -= usize::from(ticket.lane.source == WorkSource::Tor);
        Some(waiter)
    }

    /// Takes out the next one whose deadline has come.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<(Lane, Waiter<W>)> {
        let (&(deadline, _), &ticket) = self.deadlines.first_key_value()?;
        if deadline > now {
            return None;
        }
        Some((ticket.lane, self.remove(ticket)?))
    }

    /// Who goes next, of the lanes that may.
    pub(super) fn next(&self, order: Order, may: impl Fn(Lane) -> bool) -> Option<Ticket> {
        WorkClass::ALL.into_iter().find_map(|class| {
            let open = lanes_of(class).filter(|&lane| may(lane));
            let heads = open.filter_map(|lane| {
                let level = self.lanes[lane.index()].first_key_value()?.0.level;
                Some(Ticket { lane, rank: self.end_of(lane, level, order)? })
            });
            match order {
                Order::OldestFirst => heads.min_by_key(|head| head.rank),
                Order::NewestFirst => {
                    heads.min_by_key(|head| (head.rank.level, u64::MAX - head.rank.sequence))
                }
            }
        })
    }

    /// Who leaves first: of the worst class the one with the most demand; of equals the one who would
    /// go last.
    pub(super) fn last(
        &self,
        order: Order,
        may: impl Fn(Lane) -> bool,
    ) -> Option<(Ticket, WorkClass, u8)> {
        let ticket = WorkClass::ALL.into_iter().rev().find_map(|class| {
            let open = lanes_of(class).filter(|&lane| may(lane));
            let tails = open.filter_map(|lane| {
                let level = self.lanes[lane.index()].last_key_value()?.0.level;
                let rank = match order {
                    Order::OldestFirst => self.end_of(lane, level, Order::NewestFirst)?,
                    Order::NewestFirst => self.end_of(lane, level, Order::OldestFirst)?,
                };
                Some(Ticket { lane, rank })
            });
            match order {
                Order::OldestFirst => tails.max_by_key(|tail| tail.rank),
                Order::NewestFirst => {
                    tails.max_by_key(|tail| (tail.rank.level, u64::MAX - tail.rank.sequence))
                }
            }
        })?;
        Some((ticket, ticket.lane.class, ticket.rank.level))
    }

    /// The oldest or newest of a level.
    fn end_of(&self, lane: Lane, level: u8, order: Order) -> Option<Rank> {
        let (from, to) = (Rank { level, sequence: 0 }, Rank { level, sequence: u64::MAX });
        let mut equals = self.lanes[lane.index()].range(from..=to);
        let end = match order {
            Order::OldestFirst => equals.next(),
            Order::NewestFirst => equals.next_back(),
        };
        end.map(|(rank, _)| *rank)
    }
}

impl Lane {
    /// Whether that somebody waits here means that there is too much to do. Demoted and dear requests and work in
    /// the background are meant to wait.
    pub(super) fn is_pressing(self) -> bool {
        self.class < WorkClass::Demoted && self.cost != Cost::Expensive
    }

    /// Whether it is for pages that are dear or may be.
    pub(super) fn is_dear(self) -> bool {
        self.cost != Cost::Ordinary
    }

    const fn index(self) -> usize {
        self.class.index() * KINDS.len()
            + self.source as usize * Cost::ALL.len()
            + self.cost as usize
    }
}

fn lanes_of(class: WorkClass) -> impl Iterator<Item = Lane> {
    KINDS.into_iter().map(move |(source, cost)| Lane { class, source, cost })
}

pub(super) const LEVELS: usize = 32;
const KINDS: [(WorkSource, Cost); 9] = [
    (WorkSource::Tor, Cost::Ordinary),
    (WorkSource::Tor, Cost::Expensive),
    (WorkSource::Tor, Cost::Unseen),
    (WorkSource::Shared, Cost::Ordinary),
    (WorkSource::Shared, Cost::Expensive),
    (WorkSource::Shared, Cost::Unseen),
    (WorkSource::Elsewhere, Cost::Ordinary),
    (WorkSource::Elsewhere, Cost::Expensive),
    (WorkSource::Elsewhere, Cost::Unseen),
];
const LANES: usize = WorkClass::ALL.len() * KINDS.len();

#[cfg(test)]
mod tests {
    use super::level;
    use crate::decay::ONE;

    #[test]
    fn levels_are_half_octaves_of_demand() {
        let halves = [(0, 0), (2, 0), (3, 1), (4, 2), (6, 3), (8, 4), (200, 13)];
        for (halves, want) in halves {
            assert_eq!(level(halves * (ONE / 2)), want, "{halves}/2");
        }
        assert_eq!(level(u32::MAX), 31);
    }
}
