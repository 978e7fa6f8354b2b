//! What the machine goes through, as Linux counts it: what a flood does before anybody sees a request of it.
//!
//! Reading is apart from parsing, which takes any text. Where the system has a counter no more, or never had, it is 0, and
//! without `/proc` there is nothing at all. *Sources:* proc(5), Documentation/networking/snmp_counter.rst.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_model::Instant;
use seawall_report::Node;

use crate::clock;

/// Reads the counters once a second and gives what was added.
#[derive(Debug)]
pub(super) struct Machine {
    proc: PathBuf,
    net: PathBuf,
    before: Option<(Instant, Reading)>,
}

/// Counters since the start of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reading {
    rx_bytes: u64,
    rx_packets: u64,
    rx_drops: u64,
    tx_bytes: u64,
    listen_drops: u64,
    syn_cookies: u64,
    /// Of all processors, in ticks.
    all: u64,
    idle: u64,
    steal: u64,
    /// What they hold now.
    socket_pages: u64,
    resident_pages: u64,
    /// Megabits a second of all interfaces together; `None` if one does not say.
    speed: Option<u64>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self { proc: PathBuf::from("/proc"), net: PathBuf::from("/sys/class/net"), before: None }
    }

    /// What was added since the last call; `None` the first time, and where there is no `/proc`. A second that was longer or
    /// shorter than one is told as it is.
    pub(super) fn read(&mut self) -> Option<Node> {
        let (at, now) = (clock::now(), self.counters()?);
        let (then, before) = self.before.replace((at, now))?;
        Some(now.since(&before, at.saturating_since(then)))
    }

    fn counters(&self) -> Option<Reading> {
        let text = |path: &str| fs::read_to_string(self.proc.join(path)).unwrap_or_default();
        let mut reading = Reading::default();
        let stat = fs::read_to_string(self.proc.join("stat")).ok()?;
        reading.processors(&stat);
        reading.interfaces(&text("net/dev"), &self.lines());
        reading.listeners(&text("net/netstat"));
        reading.sockets(&text("net/sockstat"));
        let mut resident =
            text("self/statm").split_whitespace().skip(1).map(number).collect::<Vec<_>>();
        reading.resident_pages = resident.drain(..).next().unwrap_or_default();
        reading.speed = self.speed();
        Some(reading)
    }

    /// Of all interfaces with a device behind them whose line is not down; `None` if there is none, or one of them does not
    /// say, as those of virtual machines mostly do not. Bridges and tunnels have no device, and state what nobody measured.
    fn speed(&self) -> Option<u64> {
        let text = |path: &Path, name: &str| fs::read_to_string(path.join(name)).ok();
        let is_up = |path: &PathBuf| text(path, "operstate").unwrap_or_default().trim() != "down";
        let mut sum = None;
        for path in self.lines().into_iter().filter(is_up) {
            // Where it is not known the kernel writes -1, older ones the same without its sign.
            let speed = text(&path, "speed")?.trim().parse::<u64>().ok()?;
            let speed = Some(speed).filter(|speed| (1..u64::from(u32::MAX)).contains(speed))?;
            sum = Some(sum.unwrap_or(0_u64).saturating_add(speed));
        }
        sum
    }

    /// The interfaces that have a device behind them. What bonds, bridges and tunnels carry goes over one of these.
    fn lines(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(&self.net).into_iter().flatten();
        let all = all.filter_map(|entry| Some(entry.ok()?.path()));
        all.filter(|path| path.join("device").exists()).collect()
    }
}

impl Reading {
    /// `/proc/net/dev`: `lines`, so that nothing counts twice; where there are none, as in a container, all but loopback.
    fn interfaces(&mut self, text: &str, lines: &[PathBuf]) {
        let is_line = |name: &str| lines.iter().any(|line| line.ends_with(name));
        for line in text.lines() {
            let Some((name, counters)) = line.split_once(':') else { continue };
            let name = name.trim();
            if name == "lo" || !lines.is_empty() && !is_line(name) {
                continue;
            }
            let counters: Vec<u64> = counters.split_whitespace().map(number).collect();
            let at = |place: usize| counters.get(place).copied().unwrap_or_default();
            self.rx_bytes = self.rx_bytes.saturating_add(at(0));
            self.rx_packets = self.rx_packets.saturating_add(at(1));
            self.rx_drops = self.rx_drops.saturating_add(at(3));
            self.tx_bytes = self.tx_bytes.saturating_add(at(8));
        }
    }

    /// `/proc/net/netstat`: a line of names, then one of values.
    fn listeners(&mut self, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks(2) {
            let [names, values] = pair else { return };
            for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
                match name {
                    // Overflows are counted among the drops, too.
                    "ListenDrops" => self.listen_drops = number(value),
                    "SyncookiesSent" => self.syn_cookies = number(value),
                    _ => {}
                }
            }
        }
    }

    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
    fn processors(&mut self, text: &str) {
        let Some(line) = text.lines().find(|line| line.starts_with("cpu ")) else { return };
        let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(number).collect();
        let at = |place: usize| ticks.get(place).copied().unwrap_or_default();
        self.all = ticks.iter().fold(0, |sum, ticks| sum.saturating_add(*ticks));
        self.idle = at(3).saturating_add(at(4));
        self.steal = at(7);
    }

    /// `/proc/net/sockstat`: pages of TCP.
    fn sockets(&mut self, text: &str) {
        let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
        let mut words = line.split_whitespace().skip_while(|word| *word != "mem");
        self.socket_pages = words.nth(1).map(number).unwrap_or_default();
    }

    /// What was added in `took` since `before`.
    fn since(&self, before: &Self, took: Duration) -> Node {
        let ticks = self.all.saturating_sub(before.all);
        let part = |ticks_of: u64| {
            if ticks == 0 {
                return 0.0;
            }
            (ticks_of as f64 / ticks as f64 * 1e3).round().min(1e3) / 1e3
        };
        let steal = self.steal.saturating_sub(before.steal);
        let idle = self.idle.saturating_sub(before.idle);
        let rx_bytes = self.rx_bytes.saturating_sub(before.rx_bytes);
        Node {
            rx_bytes,
            tx_bytes: self.tx_bytes.saturating_sub(before.tx_bytes),
            rx_packets: self.rx_packets.saturating_sub(before.rx_packets),
            rx_drops: self.rx_drops.saturating_sub(before.rx_drops),
            listen_drops: self.listen_drops.saturating_sub(before.listen_drops),
            syn_cookies: self.syn_cookies.saturating_sub(before.syn_cookies),
            socket_memory_bytes: self.socket_pages.saturating_mul(PAGE_BYTES),
            busy: part(ticks.saturating_sub(idle).saturating_sub(steal)),
            steal: part(steal),
            resident_bytes: self.resident_pages.saturating_mul(PAGE_BYTES),
            link_full: self.speed.filter(|_| took >= LEAST).map(|speed| {
                let full = speed.saturating_mul(FULL_BYTES) as f64 * took.as_secs_f64();
                rx_bytes as f64 >= full
            }),
            ..Node::default()
        }
    }
}

/// What is no number counts as none.
fn number(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

/// Of the architectures that are built for.
const PAGE_BYTES: u64 = 4_096;
/// Nine tenths of a megabit, in bytes: more does not go through beside the gaps between packets.
const FULL_BYTES: u64 = 112_500;
/// In less a handful of packets looks like a full line. Seconds are as short in which the clock is set, or the program ends.
const LEAST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEV: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n    \
        lo: 900 9 0 0 0 0 0 0 900 9 0 0\n  eth0: 1000 10 0 3 0 0 0 0 2000 20 0 0\n eth1:1 2 0 4 0 0 0 0 5 6 0 0\n";
    const NETSTAT: &str = "TcpExt: SyncookiesSent SyncookiesRecv ListenOverflows ListenDrops\n\
        TcpExt: 7 1 5 6\nIpExt: InNoRoutes\nIpExt: 0\n";
    const STAT: &str = "cpu  10 0 20 60 10 0 0 100 0 0\ncpu0 1 2 3\n";
    const SOCKSTAT: &str =
        "sockets: used 9\nTCP: inuse 5 orphan 0 tw 1 alloc 7 mem 3\nUDP: inuse 1 mem 2\n";

    fn reading(parts: [&str; 4]) -> Reading {
        let mut reading = Reading::default();
        reading.interfaces(parts[0], &[]);
        reading.listeners(parts[1]);
        reading.processors(parts[2]);
        reading.sockets(parts[3]);
        reading
    }

    #[test]
    fn counters_are_read_as_linux_writes_them() {
        let read = reading([DEV, NETSTAT, STAT, SOCKSTAT]);
        let want = Reading {
            rx_bytes: 1_001,
            rx_packets: 12,
            rx_drops: 7,
            tx_bytes: 2_005,
            listen_drops: 6,
            syn_cookies: 7,
            all: 200,
            idle: 70,
            steal: 100,
            socket_pages: 3,
            ..Reading::default()
        };
        assert_eq!(read, want);
    }

    #[test]
    fn what_goes_over_a_line_and_a_bond_above_it_counts_once() {
        let check = |lines: &[&str], want: u64| {
            let dev = "eth0: 70 0\n eth1: 30 0\n bond0: 100 0\nbond0.7: 90 0\n lo: 900 0\n";
            let lines: Vec<PathBuf> =
                lines.iter().map(|name| Path::new("/sys/class/net").join(name)).collect();
            let mut reading = Reading::default();
            reading.interfaces(dev, &lines);
            assert_eq!(reading.rx_bytes, want, "{lines:?}");
        };
        check(&["eth0", "eth1"], 100);
        check(&["eth1"], 30);
        check(&[], 290);
    }

    #[test]
    fn what_was_added_is_told_and_a_line_at_its_speed_is_full() {
        let before = reading([DEV, NETSTAT, STAT, SOCKSTAT]);
        let mut now = Reading { speed: Some(100), all: 300, idle: 95, steal: 150, ..before };
        now.rx_bytes += 11_249_999;
        let second = Duration::from_secs(1);
        let node = now.since(&before, second);
        assert_eq!((node.rx_bytes, node.busy, node.steal), (11_249_999, 0.25, 0.5));
        assert_eq!(node.link_full, Some(false));
        now.rx_bytes += 1;
        assert_eq!(now.since(&before, second).link_full, Some(true));
        let late = Duration::from_millis(1_250);
        assert_eq!(now.since(&before, late).link_full, Some(false), "in more than a second");
        assert_eq!(now.since(&before, second / 2).link_full, Some(true));
        assert_eq!(now.since(&before, second / 3).link_full, None, "it is too short to tell");
        now.speed = None;
        assert_eq!(now.since(&before, second).link_full, None, "nobody knows what would be full");
        // Counters that begin anew, as after an interface went, are no negative number.
        assert_eq!(before.since(&now, second).rx_bytes, 0);
    }

    #[test]
    fn a_line_whose_speed_one_interface_does_not_say_has_none() {
        let check = |interfaces: &[(&str, &[&str])], want| {
            let net = tempfile::tempdir().expect("the temporary folder is writable");
            for (name, files) in interfaces {
                let folder = net.path().join(name);
                fs::create_dir(&folder).expect("a folder");
                for file in *files {
                    let (file, text) = file.split_once('=').unwrap_or((file, ""));
                    fs::write(folder.join(file), format!("{text}\n")).expect("a file");
                }
            }
            let machine = Machine { net: net.path().to_owned(), ..Machine::new() };
            assert_eq!(machine.speed(), want, "{interfaces:?}");
        };
        let (eth0, eth1) = (&["device", "speed=1000"][..], &["device", "speed=100"][..]);
        let bridge = ("docker0", &["speed=10000"][..]);
        check(&[("eth0", eth0), ("eth1", eth1), ("lo", &[]), bridge], Some(1_100));
        let down = ("eth1", &["device", "speed=-1", "operstate=down"][..]);
        check(&[("eth0", eth0), down], Some(1_000));
        for unknown in ["speed=-1", "speed=4294967295", "speed=0", "duplex=full"] {
            check(&[("eth0", eth0), ("eth1", &["device", unknown]), bridge], None);
        }
        check(&[bridge], None);
        check(&[], None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_nothing_breaks(parts: [String; 4], cut in 0..300usize) {
            let read = reading([&parts[0], &parts[1], &parts[2], &parts[3]]);
            let _ = read.since(&Reading::default(), Duration::ZERO);
            for text in [DEV, NETSTAT, STAT, SOCKSTAT] {
                let text = text.get(..cut).unwrap_or(text);
                let _ = reading([text; 4]).since(&read, Duration::MAX);
            }
        }
    }
}
