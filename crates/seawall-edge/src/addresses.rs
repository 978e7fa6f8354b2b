//! Addresses that the operator lets in or keeps out while the program runs, beside `network.allow` and
//! `network.deny` of the configuration.
//!
//! Kept in a small file of the state folder (`addresses`, readable by its owner alone), so that a restart in
//! the middle of an attack does not let anybody back in. They are compiled into the table with the
//! configuration, so that a connection costs no more for them. It does **not** decide: the gates do, and for
//! them whoever is let in by either list is let in.

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_model::{Prefix, WallTime};

use crate::admin::{AddressList, AddressStatus, OrderRefusal};
use crate::clock;
use crate::config::Config;
use crate::metrics::Sample;
use crate::policy::Policy;
use crate::shared::Shared;
use crate::state_file::{self, write_whole};

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) list: AddressList,
    pub(crate) prefix: Prefix,
    since: WallTime,
    /// `None`: until it is removed.
    until: Option<WallTime>,
}

impl Listed {
    pub(crate) fn status(&self, now: WallTime) -> AddressStatus {
        let seconds =
            |from: WallTime, to: WallTime| to.unix_secs().saturating_sub(from.unix_secs());
        AddressStatus {
            list: self.list,
            prefix: self.prefix.to_string(),
            since_s: seconds(self.since, now),
            expires_in_s: self.until.map(|until| seconds(now, until)),
        }
    }

    fn is_over(&self, now: WallTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// All entries, and their file. Nobody waits for it but the operator.
pub(crate) struct Addresses {
    path: PathBuf,
    listed: Mutex<Arc<[Listed]>>,
}

/// A list that a person fills. One look at it costs a binary search.
const MAX_LISTED: usize = 1_024;

impl Addresses {
    /// As the file in `dir` says; what in it cannot be read is left out, and said.
    ///
    /// # Errors
    /// What the system says to reading it, if it is there.
    pub(crate) fn open(dir: &Path, now: WallTime) -> io::Result<Self> {
        let path = dir.join("addresses");
        let bytes = state_file::read(&path)?.unwrap_or_default();
        // A line that is no text costs itself too.
        let text = String::from_utf8_lossy(&bytes);
        let read: Vec<Option<Listed>> = text.lines().take(MAX_LISTED).map(parse).collect();
        let damaged = read.iter().filter(|line| line.is_none()).count();
        if damaged > 0 {
            let file = path.display();
            tracing::error!(%file, damaged, "lines of the operator's addresses cannot be read and are left out");
        }
        let listed = read.into_iter().flatten().filter(|entry| !entry.is_over(now)).collect();
        Ok(Self { path, listed: Mutex::new(listed) })
    }

    /// What stands now.
    pub(crate) fn listed(&self) -> Arc<[Listed]> {
        Arc::clone(&self.listed.lock())
    }

    /// Puts `prefix` on one list, and takes it off the other.
    fn put(&self, entry: Listed) -> Result<(), OrderRefusal> {
        let kept = self.listed();
        let mut listed: Vec<Listed> =
            kept.iter().filter(|other| other.prefix != entry.prefix).copied().collect();
        if listed.len() >= MAX_LISTED {
            return Err(OrderRefusal::new(
                409,
                format!("{MAX_LISTED} addresses are listed already, and there is no room for more"),
                "block a network instead of its addresses, or write them into `network.deny`",
            ));
        }
        listed.push(entry);
        listed.sort_by_key(|entry| (entry.list, entry.prefix));
        self.keep(listed)
    }

    fn take(&self, prefix: Prefix) -> Result<Listed, OrderRefusal> {
        let mut listed = self.listed().to_vec();
        let place = listed.iter().position(|entry| entry.prefix == prefix).ok_or_else(|| {
            OrderRefusal::new(
                404,
                format!("`{prefix}` is on neither list"),
                "`seawall mitigate list` shows both; what the configuration lists is taken out there",
            )
        })?;
        let taken = listed.remove(place);
        self.keep(listed)?;
        Ok(taken)
    }

    /// Whether any is over.
    pub(crate) fn is_due(&self, now: WallTime) -> bool {
        self.listed.lock().iter().any(|entry| entry.is_over(now))
    }

    /// Forgets what is over; whether there was any.
    fn expire(&self, now: WallTime) -> bool {
        let listed = self.listed();
        if !self.is_due(now) {
            return false;
        }
        let left = listed.iter().filter(|entry| !entry.is_over(now)).copied().collect();
        // On a full disk the file keeps what is over, which a restart leaves out.
        if self.keep(left).is_err() {
            tracing::warn!("addresses are over, but their file could not be written");
        }
        true
    }

    /// In memory in any case; on disk as well, or it is said.
    fn keep(&self, listed: Vec<Listed>) -> Result<(), OrderRefusal> {
        let mut text = String::new();
        for entry in &listed {
            let until = entry.until.map_or(0, WallTime::unix_secs);
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "{} {} {} {until}",
                entry.list.as_str(),
                entry.prefix,
                entry.since.unix_secs()
            );
        }
        *self.listed.lock() = listed.into();
        write_whole(&self.path, text.as_bytes()).map_err(|error| {
            tracing::error!(
                "the operator's addresses are in force, but a restart would not know: {error}"
            );
            OrderRefusal::not_written(&error)
        })
    }

    /// How many stand, for Prometheus.
    pub(crate) fn samples(&self) -> impl Iterator<Item = Sample> {
        let listed = self.listed();
        AddressList::ALL.into_iter().map(move |list| {
            let count = listed.iter().filter(|entry| entry.list == list).count();
            let help = "Addresses and networks that the operator listed by hand.";
            Sample::gauge("seawall_mitigate_addresses", help, count as f64)
                .with_label("list", list.as_str())
        })
    }
}

/// `block 192.0.2.0/24 1795341600 0`: the list, who, since when, and until when (0: until it is removed).
fn parse(line: &str) -> Option<Listed> {
    let mut parts = line.split(' ');
    let (list, prefix) = (parts.next()?, parts.next()?.parse().ok()?);
    let mut second = || parts.next()?.parse::<u64>().ok();
    let (since, until) = (second()?, second()?);
    Some(Listed {
        list: AddressList::ALL.into_iter().find(|known| known.as_str() == list)?,
        prefix,
        since: WallTime::from_unix_secs(since),
        until: (until > 0).then(|| WallTime::from_unix_secs(until)),
    })
    .filter(|_| parts.next().is_none())
}

/// Puts `prefix` on a list, in force for connections that begin from now on.
///
/// # Errors
/// Why it is not done; or that the disk did not take it.
pub(crate) fn list(
    shared: &Shared,
    (list, prefix): (AddressList, Prefix),
    lasts: Option<Duration>,
    is_dry: bool,
) -> Result<AddressStatus, OrderRefusal> {
    let now = clock::wall();
    check(&shared.policy.load().config, list, prefix)?;
    let entry = Listed { list, prefix, since: now, until: lasts.map(|lasts| now + lasts) };
    if is_dry {
        return Ok(entry.status(now));
    }
    let _changing = shared.changing.lock();
    let put = shared.addresses.put(entry);
    publish(shared);
    tracing::warn!(
        list = list.as_str(),
        lasts_s = lasts.map(|it| it.as_secs()),
        "the operator listed an address"
    );
    put.map(|()| entry.status(now))
}

/// Takes `prefix` off whichever list it is on.
///
/// # Errors
/// It is on none; or the disk did not take it.
pub(crate) fn unlist(
    shared: &Shared,
    prefix: Prefix,
    is_dry: bool,
) -> Result<AddressStatus, OrderRefusal> {
    let now = clock::wall();
    let known = shared.addresses.listed().iter().find(|entry| entry.prefix == prefix).copied();
    if let (true, Some(known)) = (is_dry, known) {
        return Ok(known.status(now));
    }
    let _changing = shared.changing.lock();
    let taken = shared.addresses.take(prefix);
    publish(shared);
    tracing::warn!("the operator took an address off the lists");
    taken.map(|taken| taken.status(now))
}

/// Forgets what is over. Touches the disk.
pub(crate) fn expire(shared: &Shared) {
    let _changing = shared.changing.lock();
    if shared.addresses.expire(clock::wall()) {
        publish(shared);
    }
}

/// Under the lock of changes: a reload at the same moment must not bring the old lists back.
fn publish(shared: &Shared) {
    let before = shared.policy.load_full();
    shared.policy.store(Arc::new(Policy::with_lists(&before, shared.addresses.listed())));
}

/// What a slip of the finger would do is not done.
fn check(config: &Config, list: AddressList, prefix: Prefix) -> Result<(), OrderRefusal> {
    let least = if prefix.network().is_ipv4() { 8 } else { 16 };
    if prefix.bits() < least {
        return Err(OrderRefusal::new(
            422,
            format!("`{prefix}` is a large part of the internet"),
            format!("name a network of /{least} or smaller"),
        ));
    }
    if list == AddressList::Allow {
        return Ok(());
    }
    let holds = |others: &[Prefix]| others.iter().find(|it| overlaps(**it, prefix)).copied();
    if let Some(proxy) = holds(&config.trusted_proxies) {
        return Err(OrderRefusal::new(
            409,
            format!(
                "`{proxy}` in `network.trusted_proxies` is in it: all readers who come through there would be kept out"
            ),
            "block what comes through it by a signature (`seawall mitigate add`), or by the client's own address",
        ));
    }
    let covers =
        |other: &&Prefix| other.bits() <= prefix.bits() && other.contains(prefix.network());
    if let Some(allowed) = config.allow.iter().find(covers) {
        return Err(OrderRefusal::new(
            409,
            format!("`{allowed}` in `network.allow` lets it in, whatever else is said"),
            "take it out of `network.allow` and reload",
        ));
    }
    Ok(())
}

fn overlaps(one: Prefix, other: Prefix) -> bool {
    one.contains(other.network()) || other.contains(one.network())
}

/// How many of the /24 (or /48) in `prefix` are known to have readers with credentials, and of how many
/// that is known. Looks at 65,536 at most.
pub(crate) fn networks(prefix: Prefix, mut has_readers: impl FnMut(IpAddr) -> bool) -> (u32, u32) {
    let (unit, width) = if prefix.network().is_ipv4() { (24, 32) } else { (48, 128) };
    let count = 1_u32 << u32::from(unit.max(prefix.bits()) - prefix.bits()).min(16);
    let step = 1_u128 << (width - unit.max(prefix.bits()));
    let at = |number: u32| match prefix.network() {
        IpAddr::V4(ip) => {
            let bits = u128::from(ip.to_bits()) + u128::from(number) * step;
            IpAddr::V4(u32::try_from(bits).unwrap_or(u32::MAX).into())
        }
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() + u128::from(number) * step).into()),
    };
    let with = (0..count).filter(|number| has_readers(at(*number))).count();
    (u32::try_from(with).unwrap_or(u32::MAX), count)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: WallTime = WallTime::from_unix_secs(1_795_341_600);

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("a prefix")
    }

    fn entry(list: AddressList, text: &str, lasts_s: Option<u64>) -> Listed {
        let until = lasts_s.map(|lasts_s| NOW + Duration::from_secs(lasts_s));
        Listed { list, prefix: prefix(text), since: NOW, until }
    }

    #[test]
    fn lists_survive_a_restart_and_end_by_themselves() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let first = Addresses::open(dir.path(), NOW).expect("opened");
        first.put(entry(AddressList::Block, "192.0.2.0/24", Some(60))).expect("kept");
        first.put(entry(AddressList::Allow, "2001:db8::7", None)).expect("kept");
        let mode = fs::metadata(dir.path().join("addresses")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Addresses::open(dir.path(), NOW).expect("opened");
        assert_eq!(again.listed(), first.listed());
        assert_eq!(again.listed().len(), 2);
        let later = NOW + Duration::from_secs(60);
        assert!(again.expire(later) && !again.expire(later));
        assert_eq!(again.listed()[..], [entry(AddressList::Allow, "2001:db8::7", None)]);
        assert_eq!(Addresses::open(dir.path(), later).expect("opened").listed().len(), 1);
    }

    #[test]
    fn an_address_is_on_one_list_at_most() {
        let dir = tempfile::tempdir().expect("a folder");
        let addresses = Addresses::open(dir.path(), NOW).expect("opened");
        addresses.put(entry(AddressList::Block, "192.0.2.7", None)).expect("kept");
        addresses.put(entry(AddressList::Allow, "192.0.2.7", Some(9))).expect("kept");
        assert_eq!(addresses.listed()[..], [entry(AddressList::Allow, "192.0.2.7", Some(9))]);
        assert!(addresses.take(prefix("192.0.2.7")).is_ok());
        assert_eq!(addresses.take(prefix("192.0.2.7")).map_err(|why| why.status), Err(404));
    }

    #[test]
    fn there_is_room_for_a_list_that_a_person_fills() {
        let dir = tempfile::tempdir().expect("a folder");
        let addresses = Addresses::open(dir.path(), NOW).expect("opened");
        let of = |n: usize| {
            let ip = IpAddr::V4((0x0a00_0000 + n as u32).into());
            let prefix = Prefix::new(ip, 32).expect("an address");
            Listed { list: AddressList::Block, prefix, since: NOW, until: None }
        };
        *addresses.listed.lock() = (0..MAX_LISTED).map(of).collect();
        assert_eq!(addresses.put(of(MAX_LISTED)).map_err(|why| why.status), Err(409));
        assert!(addresses.put(of(7)).is_ok(), "one that is there is renewed");
    }

    #[test]
    fn damaged_lines_cost_themselves_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let text = b"block 192.0.2.0/24 1 0\nblock everybody 1 0\nallow 192.0.2.7/32 1\n\0\n\xff\nallow 192.0.2.9/32 1 0 more\n";
        fs::write(dir.path().join("addresses"), text).expect("written");
        let read = Addresses::open(dir.path(), NOW).expect("opened").listed();
        assert_eq!(read.iter().map(|it| it.prefix).collect::<Vec<_>>(), [prefix("192.0.2.0/24")]);
    }

    #[test]
    fn a_slip_of_the_finger_is_refused() {
        let config = Config {
            trusted_proxies: vec![prefix("203.0.113.9")],
            allow: vec![prefix("198.51.100.0/24")],
            ..Config::in_folder(PathBuf::new())
        };
        for (list, text, want) in [
            (AddressList::Block, "0.0.0.0/0", Some(422)),
            (AddressList::Allow, "::/0", Some(422)),
            (AddressList::Block, "203.0.113.0/24", Some(409)),
            (AddressList::Block, "203.0.113.9", Some(409)),
            (AddressList::Block, "198.51.100.7", Some(409)),
            (AddressList::Block, "198.51.0.0/16", None),
            (AddressList::Block, "192.0.2.0/24", None),
            (AddressList::Allow, "203.0.113.9", None),
        ] {
            let got = check(&config, list, prefix(text)).err().map(|why| why.status);
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn networks_with_readers_are_counted_within_bounds() {
        let reader: IpAddr = "192.0.2.0".parse().expect("an address");
        let count = |text: &str| networks(prefix(text), |ip| ip == reader);
        assert_eq!(count("192.0.2.0/24"), (1, 1));
        assert_eq!(count("192.0.0.0/16"), (1, 256));
        assert_eq!(count("192.0.2.7"), (0, 1));
        assert_eq!(count("192.0.0.0/8"), (1, 65_536));
        assert_eq!(count("2001:db8::/40"), (0, 256));
        assert_eq!(count("2001::/16"), (0, 65_536));
    }
}
