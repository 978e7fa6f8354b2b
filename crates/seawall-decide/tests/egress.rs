//! Pacing on a virtual clock: closed-loop connections, each asking for its next bytes when the
//! last were granted, on a link of 100 Mbit/s.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::{any, proptest};
use seawall_decide::{Egress, EgressAsked, EgressConfig, EgressTicket};
use seawall_model::{Instant, Priority};

const RATE: u64 = 12_500_000;

fn egress(max_waiters: usize) -> Egress<usize> {
    Egress::new(EgressConfig { bytes_per_second: RATE, max_waiters, seed: [3, 5] })
}

fn at_us(us: u64) -> Instant {
    Instant::from_nanos(0) + Duration::from_micros(us)
}

/// One connection: sends `object` bytes, thinks, sends again.
#[derive(Clone, Copy)]
struct Connection {
    identity: u128,
    priority: Priority,
    object: usize,
    think_us: u64,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    left: usize,
    asked_at: u64,
    wakes_at: u64,
    waiting: bool,
}

#[derive(Default)]
struct Outcome {
    bytes: BTreeMap<u128, u64>,
    longest_wait_us: BTreeMap<u128, u64>,
}

impl Outcome {
    fn total(&self) -> u64 {
        self.bytes.values().sum()
    }
}

/// Runs the connections for `secs` seconds in steps of 1 ms, which is how coarse timers are.
fn run(connections: &[Connection], secs: u64) -> Outcome {
    let mut egress = egress(connections.len());
    // Spread over the time they think, as readers are.
    let spread = |(index, connection): (usize, &Connection)| Progress {
        wakes_at: connection.think_us * (index as u64 % 50) / 50,
        ..Progress::default()
    };
    let mut progress: Vec<Progress> = connections.iter().enumerate().map(spread).collect();
    let mut outcome = Outcome::default();
    for now_us in (0..secs * 1_000_000).step_by(1_000) {
        let now = at_us(now_us);
        while let Some((who, bytes)) = egress.poll(now) {
            progress[who].waiting = false;
            note(&mut outcome, &connections[who], &mut progress[who], now_us, bytes);
            send(&mut egress, connections, &mut progress, &mut outcome, now_us, who);
        }
        for who in 0..connections.len() {
            if !progress[who].waiting && progress[who].wakes_at <= now_us {
                send(&mut egress, connections, &mut progress, &mut outcome, now_us, who);
            }
        }
    }
    outcome
}

/// Asks until the connection has to wait or is done with its object.
fn send(
    egress: &mut Egress<usize>,
    connections: &[Connection],
    progress: &mut [Progress],
    outcome: &mut Outcome,
    now_us: u64,
    who: usize,
) {
    let (connection, progress) = (&connections[who], &mut progress[who]);
    while progress.wakes_at <= now_us {
        if progress.left == 0 {
            progress.left = connection.object;
        }
        progress.asked_at = now_us;
        let Connection { identity, priority, .. } = *connection;
        match egress.ask(at_us(now_us), identity, priority, progress.left, || who) {
            EgressAsked::Now(bytes) => note(outcome, connection, progress, now_us, bytes),
            EgressAsked::Queued(_) => {
                progress.waiting = true;
                return;
            }
            EgressAsked::Full => panic!("there is a place for each connection"),
        }
    }
}

fn note(
    outcome: &mut Outcome,
    connection: &Connection,
    progress: &mut Progress,
    now_us: u64,
    bytes: usize,
) {
    progress.left -= bytes;
    if progress.left == 0 {
        progress.wakes_at = now_us + connection.think_us;
    }
    *outcome.bytes.entry(connection.identity).or_default() += bytes as u64;
    let longest = outcome.longest_wait_us.entry(connection.identity).or_default();
    *longest = (*longest).max(now_us - progress.asked_at);
}

fn readers(count: u128, object: usize, think_us: u64) -> Vec<Connection> {
    let reader = |identity| Connection { identity, priority: Priority::Page, object, think_us };
    (1..=count).map(reader).collect()
}

const GREEDY: u128 = 0;

fn greedy(count: usize, priority: Priority) -> impl Iterator<Item = Connection> {
    let one = Connection { identity: GREEDY, priority, object: 10_000_000, think_us: 0 };
    std::iter::repeat_n(one, count)
}

#[test]
fn pages_do_not_wait_behind_one_who_pulls_large_objects() {
    // 50 readers at 64 KiB per 0.5 s want half of the link; 200 downloads of one identity want it all.
    let mut connections = readers(50, 64 * 1024, 500_000);
    connections.extend(greedy(200, Priority::Bulk));
    let outcome = run(&connections, 10);
    for reader in 1..=50 {
        let waited = outcome.longest_wait_us[&reader];
        assert!(waited < 50_000, "reader {reader} waited {waited} us for a piece of a page");
        let bytes = outcome.bytes[&reader];
        assert!(bytes > 10 * 64 * 1024 * 8 / 5, "reader {reader} got {bytes} bytes");
    }
    let left_over = RATE * 10 - 50 * 20 * 64 * 1024;
    let greedy = outcome.bytes[&GREEDY];
    assert!(greedy < left_over * 115 / 100, "{greedy} of {left_over} left over");
    assert!(greedy > left_over * 85 / 100, "what nobody else wants is not wasted: {greedy}");
    assert!(outcome.total() <= RATE * 10 + RATE / 100, "the link carries no more than its rate");
}

#[test]
fn one_identity_gets_one_share_however_many_connections_it_opens() {
    for priority in [Priority::Page, Priority::Bulk] {
        let mut connections: Vec<Connection> = readers(50, 1_000_000, 0)
            .into_iter()
            .map(|reader| Connection { priority, ..reader })
            .collect();
        connections.extend(greedy(500, priority));
        let outcome = run(&connections, 10);
        let share = RATE * 10 / 51;
        let greedy = outcome.bytes[&GREEDY];
        assert!(greedy < share * 12 / 10, "{greedy} of a share of {share}");
        for reader in 1..=50 {
            let bytes = outcome.bytes[&reader];
            // Half, where two identities hash to one bucket.
            assert!(bytes > share * 4 / 10, "reader {reader} got {bytes} of {share}");
        }
        assert!(outcome.total() > RATE * 10 * 98 / 100, "the link is full");
    }
}

#[test]
fn bulk_is_not_starved_by_pages() {
    let mut connections = readers(50, 100_000, 0);
    connections.extend(greedy(1, Priority::Bulk));
    let outcome = run(&connections, 10);
    let part = RATE * 10 / 16;
    let bulk = outcome.bytes[&GREEDY];
    assert!((part * 8 / 10..part * 12 / 10).contains(&bulk), "{bulk} of one sixteenth, {part}");
}

#[test]
fn a_single_client_of_an_idle_link_has_all_of_it() {
    let outcome = run(&greedy(1, Priority::Bulk).collect::<Vec<_>>(), 2);
    assert!(outcome.total() > RATE * 2 * 98 / 100, "{}", outcome.total());
}

#[test]
fn waiters_are_bounded_and_can_leave() {
    let mut egress = egress(2);
    let ask = |egress: &mut Egress<usize>, who| {
        egress.ask(at_us(0), who as u128, Priority::Page, 1_000_000, || who)
    };
    while matches!(ask(&mut egress, 0), EgressAsked::Now(_)) {}
    let EgressAsked::Queued(second) = ask(&mut egress, 1) else { panic!("room for two") };
    assert_eq!(ask(&mut egress, 2), EgressAsked::Full);
    assert!(egress.poll_timeout().is_some_and(|at| at > at_us(0)));
    assert_eq!(egress.cancel(second), Some(1));
    assert_eq!(egress.cancel(second), None);
    let EgressAsked::Queued(third) = ask(&mut egress, 3) else { panic!("room again") };
    assert_ne!(second, third, "a ticket is not good for the next in its place");
    assert_eq!(egress.cancel(second), None);
    assert_eq!(egress.poll(at_us(0)), None);
    let later = at_us(1_000_000);
    assert_eq!(egress.poll(later), Some((0, egress.quantum())));
    assert_eq!(egress.poll(later), Some((3, egress.quantum())));
    assert_eq!(egress.cancel(third), None);
    assert_eq!((egress.poll(later), egress.poll_timeout(), egress.waiting()), (None, None, 0));
}

#[test]
fn bytes_given_back_can_be_sent_by_others() {
    let mut egress = egress(1);
    let mut last = 0;
    let mut ask = |egress: &mut Egress<usize>| match egress.ask(
        at_us(0),
        1,
        Priority::Page,
        usize::MAX,
        || 0,
    ) {
        EgressAsked::Now(bytes) => {
            last = bytes;
            true
        }
        _ => false,
    };
    while ask(&mut egress) {}
    assert_eq!(egress.poll(at_us(0)), None);
    egress.give_back(egress.quantum());
    assert!(egress.poll(at_us(0)).is_some());
    assert_eq!(last, egress.quantum());
}

proptest! {
    #[test]
    fn no_waiter_is_lost_and_the_rate_is_kept(
        steps in proptest::collection::vec((0u8..10, 0u128..20, any::<bool>(), 0usize..40_000, 0u64..3_000), 1..300),
    ) {
        let mut egress = egress(64);
        let (mut now, mut sent, mut name) = (0u64, 0u64, 0usize);
        let mut waiting: BTreeMap<usize, EgressTicket> = BTreeMap::new();
        for (kind, identity, page, bytes, us) in steps {
            now += us;
            match kind {
                0 => if let Some((&who, &ticket)) = waiting.iter().nth(bytes % waiting.len().max(1)) {
                    assert_eq!(egress.cancel(ticket), Some(who));
                    waiting.remove(&who);
                },
                1..4 => while let Some((who, bytes)) = egress.poll(at_us(now)) {
                    assert!(waiting.remove(&who).is_some(), "{who} waited");
                    sent += bytes as u64;
                },
                _ => {
                    name += 1;
                    let priority = if page { Priority::Page } else { Priority::Bulk };
                    match egress.ask(at_us(now), identity, priority, bytes, || name) {
                        EgressAsked::Now(now) => sent += now as u64,
                        EgressAsked::Queued(ticket) => { waiting.insert(name, ticket); }
                        EgressAsked::Full => assert_eq!(waiting.len(), 64),
                    }
                }
            }
            assert_eq!(egress.waiting(), waiting.len());
            assert_eq!(egress.poll_timeout().is_some(), !waiting.is_empty());
            // The burst (5 ms) and one quantum may go ahead of the rate.
            let most = (now + 5_000) * RATE / 1_000_000 + egress.quantum() as u64;
            assert!(sent <= most, "{sent} of {most} bytes at {now} us");
        }
        let mut end = 0;
        while !waiting.is_empty() {
            end += 1;
            assert!(end < 10_000, "every waiter gets its turn");
            while let Some((who, _)) = egress.poll(at_us(now + end * 1_000)) {
                assert!(waiting.remove(&who).is_some(), "{who} waited");
            }
        }
        assert_eq!(egress.waiting(), 0);
    }
}
