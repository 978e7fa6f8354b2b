//! Whom something speaks for is not told, and is taken out where he was told; and when whoever was told was seen.

use seawall_report::{Address, Removed};

use super::*;
use crate::recorder::thread::complete;

/// Two of one /64, and two of IPv4.
const BOTS: [&str; 4] = ["2001:db8:1:2::7", "2001:db8:1:2::8", "203.0.113.71", "203.0.113.72"];

fn client(text: &str) -> ClientAddr {
    ClientAddr::new(text.parse().expect("an address"))
}

fn refused(text: &str, port: u16) -> Observation {
    Observation { client: client(text), port, ..blocked([0; 4]) }
}

fn pass(shield: &Shield, text: &str) {
    shield.vouched.hear(client(text), (Standing::Anonymous, Test::Passed), false);
}

/// An incident that is written while it goes on.
struct Written {
    shield: Shield,
    writer: Writer<Memory>,
    disk: Memory,
    key: Arc<SigningKey>,
}

impl Written {
    fn new() -> Self {
        let (key, disk) = (Arc::new(SigningKey::generate().expect("a key")), Memory::default());
        let mut written = Self { shield: Shield::new(), writer: writer(&disk, &key), disk, key };
        let opened = written.shield.open();
        written.write(opened);
        written
    }

    fn write(&mut self, mut out: Vec<Output>) {
        out.iter_mut().for_each(|output| complete(output, &[]));
        let now = self.shield.wall().into();
        self.writer.take(now, out);
        keep::strike(&mut self.writer, now);
    }

    /// A minute and a little in which these are refused.
    fn minute(&mut self, bots: &[&str]) {
        for _ in 0..245 {
            bots.iter().for_each(|bot| self.shield.see(refused(bot, 40_000)));
            let out = self.shield.tick(&[]);
            self.write(out);
        }
    }

    fn end(&mut self) {
        let out = self.shield.close();
        self.write(out);
        for _ in 0..8 {
            let out = self.shield.tick(&[]);
            self.write(out);
        }
    }

    /// Which of the bots are anywhere on the disk.
    fn told(&self) -> Vec<&'static str> {
        let files = self.disk.0.lock().files.clone();
        let text: String =
            files.values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        let is_told = |bot: &&str| text.contains(&format!("\"{bot}\""));
        BOTS.into_iter().filter(is_told).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        verified(self.disk.0.lock().files.values().next().expect("one"), &self.key)
    }
}

fn removed(entries: &[Entry]) -> Vec<&Removed> {
    let all = entries.iter();
    all.filter_map(|it| if let Entry::Removed(it) = it { Some(it) } else { None }).collect()
}

#[test]
fn who_is_vouched_for_later_is_struck_from_the_record_that_goes_on_and_others_stay() {
    let mut written = Written::new();
    written.minute(&BOTS);
    assert_eq!(written.told(), BOTS);
    // One neighbour in the /64 passes a test, in a request that no sample has.
    pass(&written.shield, "2001:db8:1:2:ffff::1");
    written.minute(&[]);
    assert_eq!(written.told(), BOTS[2..]);
    pass(&written.shield, BOTS[2]);
    written.minute(&[]);
    written.minute(&BOTS);
    assert_eq!(written.told(), BOTS[3..], "who was struck is not told again");
    written.end();
    let entries = written.entries();
    let said = removed(&entries);
    assert!(said.len() == 2 && said.iter().all(|it| it.why == "vouched"), "{said:?}");
    check_honest(&entries, 0);
}

#[test]
fn who_was_vouched_for_outside_of_the_sample_is_never_told() {
    let mut written = Written::new();
    pass(&written.shield, BOTS[0]);
    written.shield.vouched.hear(client(BOTS[2]), (Standing::SignedIn, Test::None), false);
    written.minute(&BOTS);
    written.end();
    assert_eq!(written.told(), BOTS[3..]);
    assert!(removed(&written.entries()).is_empty());
}

#[test]
fn a_full_disk_or_a_kill_while_somebody_is_struck_delays_that_and_breaks_nothing() {
    let mut broken = 0;
    for operation in 1..=10 {
        for is_killed in [false, true] {
            let mut written = Written::new();
            written.minute(&BOTS);
            pass(&written.shield, BOTS[3]);
            // The minute is over within these.
            for _ in 0..230 {
                let out = written.shield.tick(&[]);
                written.write(out);
            }
            {
                let mut inner = written.disk.0.lock();
                let from = inner.done + operation;
                match is_killed {
                    true => inner.killed_at = Some(from - 1),
                    false => inner.faults = from..from + 3,
                }
            }
            for _ in 0..12 {
                let out = written.shield.tick(&[]);
                written.write(out);
            }
            broken += u32::from(written.told().contains(&BOTS[3]));
            if is_killed {
                written.disk.0.lock().killed_at = None;
                let mut again = writer(&written.disk, &written.key);
                let (now, mut expiry) = (written.shield.wall().into(), keep::Expiry::default());
                keep::end_interrupted(&mut again, now);
                expiry.turn(&mut again, now);
            } else {
                written.minute(&[]);
                written.minute(&[]);
                written.end();
                let (now, mut expiry) = (written.shield.wall().into(), keep::Expiry::default());
                expiry.turn(&mut written.writer, now);
            }
            let entries = written.entries();
            let is_said = !removed(&entries).is_empty();
            // Killed before it was known, nobody can know it.
            assert!(is_said || is_killed, "{operation}: {is_killed}");
            assert_eq!(written.told().contains(&BOTS[3]), !is_said, "{operation}: {is_killed}");
            check_honest(&entries, operation);
        }
    }
    assert!(broken > 5, "{broken} tries failed at first");
}

#[test]
fn an_address_and_its_ports_and_network_have_the_times_of_their_own_requests() {
    let mut seen_at = Vec::new();
    let out = incident(1, |shield, is_attack| {
        if is_attack && seen_at.len() < 60 {
            let port = 40_000 + (seen_at.len() / 30) as u16;
            seen_at.push(Moment::from(shield.wall()));
            shield.see(refused(BOTS[2], port));
        }
    });
    let told: Vec<&Address> = entries(&out)
        .filter_map(|it| if let Entry::Addresses(it) = it { Some(it) } else { None })
        .flat_map(|told| &told.addresses)
        .collect();
    let told = told.last().expect("it is told");
    assert_eq!((told.first_seen, told.last_seen), (seen_at[0], seen_at[59]));
    assert_eq!(told.seen_from(40_000), (seen_at[0], seen_at[29]));
    assert_eq!(told.seen_from(40_001), (seen_at[30], seen_at[59]));
    let source =
        entries(&out).filter_map(|it| if let Entry::Source(it) = it { Some(it) } else { None });
    let source = source.last().expect("it is told");
    assert_eq!((source.first_seen, source.last_seen), (seen_at[0], seen_at[59]));
}
