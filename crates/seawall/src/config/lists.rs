//! Lists of networks that the operator keeps in files of their own: Tor exits, owners, countries.
//!
//! Such files are fetched by a timer and may be missing or cut off at the moment. That is a warning
//! and never an error: a site does not stay down for a list.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;

use seawall_decide::{Countries, Hosting, OwnedRange, Owners, RegisteredRange};
use seawall_model::{Country, Prefix, WallTime};

use crate::config::databases::{self, DatabaseError, Listed};
use crate::config::files::reason;
use crate::config::problem::Code;
use crate::config::section::Report;

/// Reads Tor exits: an address or network a line, or lines `ExitAddress <address> <time>`.
pub(crate) fn read_tor_exits(report: &mut Report<'_>, line: usize, file: &Path) -> Vec<Prefix> {
    let mut exits = Vec::new();
    each_line(report, "network.tor_exits", line, file, |text| {
        let mut words = text.split_ascii_whitespace();
        let first = words.next()?;
        let address = match first {
            "ExitAddress" => words.next()?,
            "ExitNode" | "Published" | "LastStatus" => return Some(()),
            _ => first,
        };
        exits.push(address.parse().ok()?);
        Some(())
    });
    exits
}

/// Reads crawlers: an address or network a line, or the lists of prefixes in JSON as Google, Bing and others
/// publish them, written out as they do: one prefix a line.
pub(crate) fn read_crawlers(report: &mut Report<'_>, line: usize, file: &Path) -> Vec<Prefix> {
    let mut crawlers = Vec::new();
    each_line(report, "network.crawlers", line, file, |text| {
        if let Some(network) = published(text) {
            crawlers.push(network.parse().ok()?);
        }
        Some(())
    });
    crawlers
}

/// Reads who rents out machines: as crawlers, and lines `AS64500` for all of an autonomous system.
pub(crate) fn read_hosting(report: &mut Report<'_>, line: usize, file: &Path) -> Hosting {
    let (mut networks, mut owners) = (Vec::new(), Vec::new());
    each_line(report, "network.hosting", line, file, |text| {
        match published(text) {
            Some(entry) if entry.starts_with("AS") => owners.push(entry[2..].parse().ok()?),
            Some(entry) => networks.push(entry.parse().ok()?),
            None => {}
        }
        Some(())
    });
    Hosting::new(&networks, &owners)
}

/// The entry in a line, plain or in JSON as search engines and providers publish their networks; `None`: what
/// else such a file has around them.
fn published(text: &str) -> Option<&str> {
    let entry = match text.split('"').collect::<Vec<_>>().as_slice() {
        [plain] => plain.split_ascii_whitespace().next()?,
        [_, "ipv4Prefix" | "ipv6Prefix" | "ip_prefix" | "ipv6_prefix", _, prefix, ..] => prefix,
        _ => return None,
    };
    (!entry.starts_with(['{', '}', '[', ']'])).then_some(entry)
}

/// Reads owners: `network,number,…` or, between tabs, `first last number …`.
pub(crate) fn read_owners(report: &mut Report<'_>, line: usize, file: &Path) -> Owners {
    if databases::is_database(file) {
        return Owners::new(&from_database(
            report,
            "network.asn_db",
            line,
            file,
            databases::owners,
        ));
    }
    let mut ranges = Vec::new();
    each_line(report, "network.asn_db", line, file, |text| {
        // The title line of GeoLite2.
        if text.starts_with("network,") {
            return Some(());
        }
        let range = if text.contains('\t') { from_tabs(text) } else { from_commas(text) }?;
        // 0 is how lists say that nobody announces a range (RFC 7607).
        if range.asn != 0 {
            ranges.push(range);
        }
        Some(())
    });
    Owners::new(&ranges)
}

/// Reads countries: `network,CC…`, `first,last,CC…`, or between tabs `first last CC…` or, as in the list of
/// owners, `first last number CC…`.
pub(crate) fn read_countries(report: &mut Report<'_>, line: usize, file: &Path) -> Countries {
    if databases::is_database(file) {
        let read = databases::countries;
        return Countries::new(&from_database(report, "network.country_db", line, file, read));
    }
    let mut ranges = Vec::new();
    each_line(report, "network.country_db", line, file, |text| {
        if text.starts_with("network,") {
            return Some(());
        }
        let columns: Vec<&str> = text.split(['\t', ',']).take(4).map(unquoted).collect();
        let (range, rest) = match (columns.as_slice(), columns.first()?.parse::<IpAddr>()) {
            ([_, last, rest @ ..], Ok(first)) => ((first, last.parse().ok()?), rest),
            ([network, rest @ ..], _) => (ends_of(network.parse().ok()?), rest),
            _ => return None,
        };
        // A number before the country is the owner's.
        let code = match rest {
            [number, code, ..] if number.parse::<u32>().is_ok() => code,
            [code, ..] => code,
            [] => return None,
        };
        // How lists say that a range is nobody's.
        if matches!(*code, "None" | "" | "-") {
            return Some(());
        }
        let (first, last) = range;
        ranges.push(RegisteredRange { first, last, country: Country::new(code)? });
        Some(())
    });
    Countries::new(&ranges)
}

/// Reads a list that is a MaxMind database.
fn from_database<R>(
    report: &mut Report<'_>,
    key: &str,
    line: usize,
    file: &Path,
    read: fn(&Path) -> Result<Listed<R>, DatabaseError>,
) -> Vec<R> {
    let shown = file.display();
    match read(file) {
        Ok(Listed { ranges, strange }) => {
            if strange > 0 {
                let message = format!(
                    "`{key}` is `{shown}`, in which {strange} records are not as in such lists"
                );
                report.warning(Code::StrangeList, line, message, "the other records count");
            }
            ranges
        }
        Err(error) => {
            let message = format!("`{key}` is `{shown}`, which {error}");
            let hint = "check the path; until it can be read, and a reload, there is no such list";
            report.warning(Code::StrangeList, line, message, hint);
            Vec::new()
        }
    }
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}

fn from_tabs(text: &str) -> Option<OwnedRange> {
    let mut columns = text.split('\t');
    let first = columns.next()?.parse().ok()?;
    let last = columns.next()?.parse().ok()?;
    Some(OwnedRange { first, last, asn: columns.next()?.parse().ok()? })
}

fn from_commas(text: &str) -> Option<OwnedRange> {
    let mut columns = text.split(',');
    let network: Prefix = columns.next()?.trim().parse().ok()?;
    let asn = columns.next()?.trim().trim_start_matches("AS").parse().ok()?;
    let (first, last) = ends_of(network);
    Some(OwnedRange { first, last, asn })
}

/// The first address of a network, and the last.
pub(crate) fn ends_of(network: Prefix) -> (IpAddr, IpAddr) {
    let last = match network.network() {
        IpAddr::V4(ip) => {
            let host = u32::MAX.checked_shr(u32::from(network.bits())).unwrap_or(0);
            IpAddr::V4((ip.to_bits() | host).into())
        }
        IpAddr::V6(ip) => {
            let host = u128::MAX.checked_shr(u32::from(network.bits())).unwrap_or(0);
            IpAddr::V6((ip.to_bits() | host).into())
        }
    };
    (network.network(), last)
}

/// Reads a list line by line; what is no entry is counted and said once.
fn each_line(
    report: &mut Report<'_>,
    key: &str,
    line: usize,
    file: &Path,
    mut entry: impl FnMut(&str) -> Option<()>,
) {
    let (mut strange, mut first_strange, mut number) = (0u64, 0u64, 0u64);
    let mut read = || -> io::Result<()> {
        let mut lines = BufReader::new(File::open(file)?.take(MAX_BYTES));
        let mut bytes = Vec::new();
        while lines.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)? > 0 {
            number += 1;
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim();
            if !text.is_empty() && !text.starts_with('#') && entry(text).is_none() {
                strange += 1;
                first_strange = if strange == 1 { number } else { first_strange };
            }
            bytes.clear();
        }
        Ok(())
    };
    let shown = file.display();
    let read = read();
    if let Err(error) = read {
        let message = format!("`{key}` is `{shown}`, which cannot be read: {}", reason(&error));
        let hint = "check the path; until it can be read, and a reload, there is no such list";
        report.warning(Code::UnreadableFile, line, message, hint);
    } else if strange > 0 {
        let message = format!(
            "`{key}` is `{shown}`, in which {strange} of {number} lines are no entry, line {first_strange} first"
        );
        report.warning(
            Code::StrangeList,
            line,
            message,
            "see docs/config.md for the forms; the other lines count",
        );
    }
}

/// When a list was written, as far as that is known.
pub(crate) fn written(file: &Path) -> Option<WallTime> {
    let modified = std::fs::metadata(file).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(WallTime::from_unix_secs(since.as_secs()))
}

/// The whole table of the internet's networks takes 30 MiB.
pub(crate) const MAX_BYTES: u64 = 128 << 20;
const MAX_LINE_BYTES: u64 = 4 << 10;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::config::problem::Findings;

    fn file(name: &str, text: &str) -> PathBuf {
        let file =
            std::env::temp_dir().join(format!("seawall-lists-{}-{name}", std::process::id()));
        fs::write(&file, text).expect("the temporary folder is writable");
        file
    }

    fn read<T>(
        name: &str,
        text: &str,
        read: impl Fn(&mut Report<'_>, &Path) -> T,
    ) -> (T, Vec<String>) {
        let file = file(name, text);
        let mut report = Report::new("", Findings::default());
        let found = read(&mut report, &file);
        fs::remove_file(file).expect("own file");
        assert!(report.findings.errors.is_empty(), "a list never keeps a site down");
        let said = report.findings.warnings.into_iter().map(|problem| problem.message);
        (found, said.collect())
    }

    #[test]
    fn tor_exits_are_read_in_both_forms() {
        let text = "# exits\n\nExitNode 0011BBB\nPublished 2026-11-22 00:00:00\n\
                    LastStatus 2026-11-22 01:00:00\nExitAddress 192.0.2.7 2026-11-22 01:02:03\n\
                    2001:db8::7\r\n198.51.100.0/24\n";
        let (exits, said) = read("tor", text, |report, file| read_tor_exits(report, 1, file));
        let shown: Vec<String> = exits.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.7/32", "2001:db8::7/128", "198.51.100.0/24"]);
        assert_eq!(said, [""; 0]);
    }

    #[test]
    fn crawlers_are_read_as_they_are_published() {
        let text = "# ours\n192.0.2.7\n2001:db8::/32 # a search engine\n{\n  \"creationTime\": \"2026-11-22T00:00:00\",\n  \"prefixes\": [{\n    \"ipv6Prefix\": \"2001:db8:1::/64\"\n  }, {\n    \"ipv4Prefix\": \"198.51.100.0/27\"\n  }]\n}\n";
        let (crawlers, said) =
            read("crawlers", text, |report, file| read_crawlers(report, 1, file));
        let shown: Vec<String> = crawlers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.7/32", "2001:db8::/32", "2001:db8:1::/64", "198.51.100.0/27"]);
        assert_eq!(said, [""; 0]);
        let (crawlers, said) =
            read("no-crawlers", "Googlebot\n", |report, file| read_crawlers(report, 1, file));
        assert!(crawlers.is_empty() && said.len() == 1, "{said:?}");
    }

    #[test]
    fn hosting_is_read_as_networks_and_as_owners() {
        let text = "# rented\nAS64500 # Example\n192.0.2.0/27\n{ \"prefixes\": [\n  { \"ip_prefix\": \"198.51.100.0/24\", \"region\": \"x\" },\n  { \"ipv6_prefix\": \"2001:db8::/32\" }\n] }\n";
        let (hosting, said) = read("hosting", text, |report, file| read_hosting(report, 1, file));
        for (address, owner, want) in [
            ("203.0.113.1", Some(64_500), true),
            ("203.0.113.1", Some(64_501), false),
            ("192.0.2.31", None, true),
            ("198.51.100.7", None, true),
            ("2001:db8::7", None, true),
        ] {
            let ip = address.parse().expect("test address");
            assert_eq!(hosting.holds(ip, owner), want, "{address} of {owner:?}");
        }
        assert_eq!((hosting.len(), said), (4, Vec::new()));
        let (hosting, said) =
            read("no-hosting", "ASAP\nExample\n", |report, file| read_hosting(report, 1, file));
        assert!(hosting.is_empty() && said.len() == 1, "{said:?}");
    }

    #[test]
    fn owners_are_read_in_both_forms() {
        let text = "network,autonomous_system_number,autonomous_system_organization\n\
                    192.0.2.0/24,64496,\"Example, Inc.\"\n2001:db8::/32,AS64497,x\n\
                    198.51.100.0\t198.51.100.127\t64498\tDE\tEXAMPLE\n203.0.113.0\t203.0.113.255\t0\tNone\tNot routed\n";
        let (owners, said) = read("owners", text, |report, file| read_owners(report, 1, file));
        for (address, want) in [
            ("192.0.2.255", Some(64_496)),
            ("2001:db8:ffff::1", Some(64_497)),
            ("198.51.100.127", Some(64_498)),
            ("198.51.100.128", None),
            ("203.0.113.1", None),
        ] {
            assert_eq!(owners.owner(address.parse().expect("test address")), want, "{address}");
        }
        assert_eq!(said, [""; 0]);
    }

    #[test]
    fn countries_are_read_in_all_forms() {
        let text = "network,country\n192.0.2.0/25,DE\n\"2001:db8::/32\",\"br\"\n\
                    192.0.2.128,192.0.2.255,FR\n198.51.100.0\t198.51.100.127\tUA\n\
                    198.51.100.128\t198.51.100.255\t64498\tTW\tEXAMPLE\n\
                    203.0.113.0\t203.0.113.255\t0\tNone\tNot routed\n";
        let (countries, said) =
            read("countries", text, |report, file| read_countries(report, 1, file));
        for (address, want) in [
            ("192.0.2.127", "DE"),
            ("192.0.2.128", "FR"),
            ("2001:db8:ffff::1", "BR"),
            ("198.51.100.1", "UA"),
            ("198.51.100.200", "TW"),
            ("203.0.113.1", ""),
        ] {
            let found = countries.country(address.parse().expect("test address"));
            assert_eq!(found.as_ref().map_or("", Country::as_str), want, "{address}");
        }
        assert_eq!(said, [""; 0]);
        let strange = "192.0.2.0/24\n192.0.2.0/24,Germany\n192.0.2.1,DE\n,,\n198.51.100.0/24,DE\n";
        let (countries, said) =
            read("strange", strange, |report, file| read_countries(report, 1, file));
        assert_eq!(countries.len(), 1);
        assert!(said[0].contains("4 of 5 lines are no entry, line 1 first"), "{said:?}");
    }

    #[test]
    fn a_database_is_called_one() {
        let (countries, said) =
            read("c.mmdb", "\u{ab}\u{cd}\n", |report, file| read_countries(report, 1, file));
        assert!(countries.is_empty() && said[0].contains("is no MaxMind database"), "{said:?}");
    }

    #[test]
    fn what_is_no_list_is_a_warning_and_the_good_lines_count() {
        let long = "x".repeat(10_000);
        let text = format!("192.0.2.1\nnonsense\n{long}\n<html>\n192.0.2.2\n");
        let (exits, said) = read("bad", &text, |report, file| read_tor_exits(report, 1, file));
        assert_eq!(exits.len(), 2);
        assert!(said[0].contains("line 2 first"), "{said:?}");
        let mut report = Report::new("", Findings::default());
        assert!(read_owners(&mut report, 1, Path::new("/nonexistent/list")).is_empty());
        assert!(report.findings.errors.is_empty());
        assert!(report.findings.warnings[0].message.contains("there is no such file"));
    }
}
