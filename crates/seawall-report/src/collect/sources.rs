//! Where requests came from. Whatever a record says, nothing finer than /24 and /48 leaves this file.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use seawall_model::Prefix;

use super::bounds::{add, figure, widen, words};
use crate::Moment;
use crate::entry::{Row, Source};
use crate::export::public_prefix;
use crate::report::{MAX_SOURCES, Network, UNREGISTERED};

/// Sources by prefix.
#[derive(Debug, Default)]
pub(super) struct Sources {
    told: HashMap<Prefix, Source>,
    /// What rows alone say, for a record whose sources are not written yet.
    of_rows: HashMap<Prefix, OfRows>,
    /// Prefixes that were dropped for want of room.
    dropped: u64,
    /// Lines and rows whose prefix is none.
    pub(super) malformed: u64,
}

#[derive(Clone, Copy, Debug)]
struct OfRows {
    first_seen: Moment,
    last_seen: Moment,
    rows: u64,
    met_rows: u64,
    refused_rows: u64,
    requests: f64,
}

/// What is shown of sources.
pub(super) struct Found {
    pub(super) sources: Vec<Source>,
    pub(super) networks: Vec<Network>,
    /// Different prefixes: those shown and those left out.
    pub(super) prefixes: u64,
    pub(super) left_out: u64,
}

impl Sources {
    /// Takes a line about a source: it takes the place of an earlier one.
    pub(super) fn take(&mut self, source: &Source) {
        let Some(prefix) = public_prefix(&source.prefix) else {
            add(&mut self.malformed, 1);
            return;
        };
        if self.told.len() >= MAX_HELD && !self.told.contains_key(&prefix) {
            self.drop_smaller_half();
        }
        let marks = source.marks.iter().take(MAX_MARKS).map(|mark| words(mark, 32)).collect();
        let held = Source {
            prefix: prefix.to_string(),
            requests: figure(source.requests),
            registered: source.registered.as_ref().map(|text| words(text, 96)),
            marks,
            mitigations: source.mitigations.iter().copied().take(MAX_MITIGATIONS).collect(),
            ..*source
        };
        self.told.insert(prefix, held);
    }

    /// Takes a row of the sample, which stands for `weight` requests.
    pub(super) fn take_row(&mut self, row: &Row, weight: f64) {
        // Of who may be a reader not even the network is recorded.
        if row.prefix.is_empty() {
            return;
        }
        let Some(prefix) = public_prefix(&row.prefix) else {
            add(&mut self.malformed, 1);
            return;
        };
        let has_room = self.of_rows.len() < MAX_HELD;
        let of_rows = match self.of_rows.entry(prefix) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(free) if has_room => free.insert(OfRows {
                first_seen: row.at,
                last_seen: row.at,
                rows: 0,
                met_rows: 0,
                refused_rows: 0,
                requests: 0.0,
            }),
            Entry::Vacant(_) => return,
        };
        widen(&mut of_rows.first_seen, &mut of_rows.last_seen, row.at, row.at);
        of_rows.rows += 1;
        of_rows.met_rows += u64::from(row.met.is_some());
        of_rows.refused_rows += u64::from(matches!(row.status, 403 | 405 | 413 | 421 | 429));
        of_rows.requests = figure(of_rows.requests + weight);
    }

    /// Prefixes with the fewest requests go; how many, is said.
    fn drop_smaller_half(&mut self) {
        let mut sizes: Vec<_> =
            self.told.iter().map(|(prefix, it)| (it.requests, *prefix)).collect();
        sizes.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let gone: HashSet<_> = sizes[..sizes.len() / 2].iter().map(|(_, prefix)| *prefix).collect();
        self.told.retain(|prefix, _| !gone.contains(prefix));
        add(&mut self.dropped, gone.len() as u64);
    }

    /// Most requests first.
    pub(super) fn finish(self) -> Found {
        let Self { told, of_rows, dropped, .. } = self;
        let mut sources: Vec<Source> = if told.is_empty() {
            of_rows.into_iter().map(|(prefix, it)| source_of_rows(prefix, it)).collect()
        } else {
            told.into_values().collect()
        };
        sources.sort_unstable_by(|a, b| {
            b.requests.total_cmp(&a.requests).then_with(|| a.prefix.cmp(&b.prefix))
        });
        let networks = networks(&sources);
        let known = sources.len() as u64;
        sources.truncate(MAX_SOURCES);
        sources.shrink_to_fit();
        let prefixes = known.saturating_add(dropped);
        let left_out = prefixes - sources.len() as u64;
        Found { sources, networks, prefixes, left_out }
    }
}

fn source_of_rows(prefix: Prefix, of_rows: OfRows) -> Source {
    Source {
        prefix: prefix.to_string(),
        first_seen: of_rows.first_seen,
        last_seen: of_rows.last_seen,
        rows: of_rows.rows,
        met_rows: of_rows.met_rows,
        refused_rows: of_rows.refused_rows,
        requests: of_rows.requests,
        ..Source::default()
    }
}

fn networks(sources: &[Source]) -> Vec<Network> {
    let mut by_name: HashMap<&str, Network> = HashMap::new();
    for source in sources {
        let name = source.registered.as_deref().unwrap_or(UNREGISTERED);
        // The largest come first, so that the others are what little there is left.
        let has_room = by_name.len() < MAX_NETWORKS || by_name.contains_key(name);
        let name = if has_room { name } else { OTHERS };
        let network = by_name.entry(name).or_default();
        add(&mut network.prefixes, 1);
        add(&mut network.rows, source.rows);
        add(&mut network.met_rows, source.met_rows);
        network.requests = figure(network.requests + source.requests);
    }
    let named = by_name.into_iter();
    let mut networks: Vec<_> =
        named.map(|(name, network)| Network { registered: name.to_owned(), ..network }).collect();
    networks.sort_unstable_by(|a, b| {
        b.requests.total_cmp(&a.requests).then_with(|| a.registered.cmp(&b.registered))
    });
    networks
}

/// Three times what is shown: about 10 MB, and 40 MB where each says all that it may.
const MAX_HELD: usize = 3 * MAX_SOURCES;
const MAX_MARKS: usize = 8;
const MAX_MITIGATIONS: usize = 32;
const MAX_NETWORKS: usize = 5_000;
const OTHERS: &str = "others";

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_cut_whatever_a_record_calls_it() {
        let mut sources = Sources::default();
        for prefix in ["192.0.2.77/24", "192.0.2.78", "192.0.2.0/32", "2001:db8:1:2::3", "<b>"] {
            sources.take(&Source { prefix: prefix.to_owned(), ..Source::default() });
        }
        assert_eq!(sources.malformed, 1);
        let found = sources.finish();
        let prefixes: Vec<_> = found.sources.iter().map(|it| it.prefix.as_str()).collect();
        assert_eq!(prefixes, ["192.0.2.0/24", "2001:db8:1::/48"]);
    }

    #[test]
    fn a_row_of_whom_nothing_is_recorded_is_no_mistake() {
        let mut sources = Sources::default();
        sources.take_row(&Row::default(), 1.0);
        assert_eq!(sources.malformed, 0);
        assert!(sources.finish().sources.is_empty());
    }

    fn source(prefix: u32, requests: f64, registered: Option<&str>) -> Source {
        let prefix = format!("{}/24", Ipv4Addr::from(prefix << 8));
        let registered = registered.map(str::to_owned);
        Source { prefix, requests, registered, rows: 1, ..Source::default() }
    }

    #[test]
    fn a_later_line_takes_the_place_of_an_earlier_one() {
        let mut sources = Sources::default();
        sources.take(&source(1, 5.0, Some("a")));
        sources.take(&source(1, 9.0, Some("b")));
        let found = sources.finish();
        assert_eq!((found.prefixes, found.left_out, found.sources.len()), (1, 0, 1));
        assert_eq!(found.networks[0].registered, "b");
        assert!((found.networks[0].requests - 9.0).abs() < f64::EPSILON);
    }

    #[test]
    fn endless_sources_are_bounded_and_the_largest_remain() {
        let mut sources = Sources::default();
        let count = 100_000;
        for prefix in 0..count {
            let size = if prefix % 1_000 == 0 { 1e6 } else { 1.0 };
            sources.take(&source(prefix, size, None));
            assert!(sources.told.len() <= MAX_HELD);
        }
        let found = sources.finish();
        assert_eq!(found.sources.len(), MAX_SOURCES);
        assert_eq!(found.prefixes, u64::from(count));
        assert_eq!(found.left_out, u64::from(count) - MAX_SOURCES as u64);
        let large = found.sources.iter().filter(|it| it.requests > 1.0).count();
        assert_eq!(large, 100);
    }

    proptest! {
        #[test]
        fn networks_are_the_sum_of_their_sources(
            lines in prop::collection::vec((0_u32..50, 0_u32..1_000, 0_usize..4), 0..200),
        ) {
            let mut sources = Sources::default();
            for (prefix, requests, name) in lines {
                let name = [None, Some("a"), Some("b"), Some("c")][name];
                sources.take(&source(prefix, f64::from(requests), name));
            }
            let found = sources.finish();
            let of_sources: f64 = found.sources.iter().map(|it| it.requests).sum();
            let of_networks: f64 = found.networks.iter().map(|it| it.requests).sum();
            prop_assert!((of_sources - of_networks).abs() < 1e-6);
            let prefixes: u64 = found.networks.iter().map(|it| it.prefixes).sum();
            prop_assert_eq!(prefixes, found.prefixes);
            prop_assert!(found.sources.windows(2).all(|it| it[0].requests >= it[1].requests));
        }
    }
}
