//! A full report that nobody recorded: forty minutes of attack on a newsroom that does not exist.
//!
//! Separate because every export is tested with the same one. Its sums are computed from seconds that are made up here
//! (`seconds`), so that no two of its figures contradict each other; its words are in `words`. Names and numbers are of
//! ranges that are kept for documentation (RFC 2606, 3849, 5398, 5737) or for benchmarks (RFC 2544).

mod seconds;
mod words;

use crate::entry::{
    Address, Begin, ClockOffset, Cohort, Connections, Gap, MetCounts, OriginHealth, RecordOrigin,
    Removed, Source,
};
use crate::report::{
    Bucket, CohortTotals, Network, NodeFacts, Peak, REPORT_VERSION, RecordFacts, Report,
    SampleFacts, StateChange, Totals,
};
use crate::{Moment, RECORD_VERSION};

use self::seconds::{Made, second};

/// An attack of forty minutes on a site of twelve requests a second, with all fields filled.
pub fn example() -> Report {
    let sums = Sums::of_all_seconds();
    let (sources, sample) = sources(&sums);
    Report {
        report: REPORT_VERSION,
        begin: begin(),
        until: Some(at(UNTIL_S)),
        recorded_until: at(END_S - 1),
        verdict: "attack".to_owned(),
        totals: sums.during,
        before: sums.before,
        peak: sums.peak,
        timeline: sums.timeline,
        cohorts: sums.cohorts.to_vec(),
        cohorts_before: sums.cohorts_before.to_vec(),
        mitigations: words::mitigations(&sums.met),
        states: states(),
        networks: networks(&sources),
        sources,
        looks: words::looks(),
        sample,
        node: Some(sums.node),
        gaps: vec![Gap {
            from: at(GAP_S.0),
            until: Some(at(GAP_S.1)),
            why: "disk_full".to_owned(),
            detail: "no space left on the device; refusing and serving went on".to_owned(),
        }],
        faults: words::faults(),
        notes: words::notes(),
        assessments: words::assessments(),
        unknown: words::unknown(),
        record: record(),
        addresses: addresses(),
    }
}

/// 2026-11-22T09:53:00Z: the first second of the record.
const FIRST_MS: u64 = 1_795_341_180_000;
/// Seconds from the first one of the record to the first alarm.
const SINCE_S: u32 = 900;
/// To the last.
const UNTIL_S: u32 = 3_300;
/// To the end of the record.
const END_S: u32 = 3_600;
/// What was not recorded.
const GAP_S: (u32, u32) = (2_010, 2_028);
/// Length of a part of the timeline.
const BUCKET_S: u32 = 10;

/// So many seconds after the first one of the record.
fn at(second: u32) -> Moment {
    Moment::from_unix_ms(FIRST_MS + u64::from(second) * 1_000)
}

fn begin() -> Begin {
    Begin {
        record: RECORD_VERSION,
        incident: "20261122T100800Z-3f1a".to_owned(),
        since: at(SINCE_S),
        recorded_from: at(0),
        sites: vec!["www.daily.example".to_owned(), "daily.example".to_owned()],
        listens: vec!["192.0.2.10:443".to_owned(), "[2001:db8::10]:443".to_owned()],
        origin: RecordOrigin::Live,
        reconstructed: None,
        software: "seawall 0.1.0".to_owned(),
        software_sha256: Some("5e".repeat(32)),
        config_sha256: Some("c0".repeat(32)),
        run: "3f1a9c04".to_owned(),
        public_key: words::PUBLIC_KEY.to_owned(),
        clock: Some(ClockOffset { offset_ms: -0.4, error_ms: 12.5, source: "kernel".to_owned() }),
        attributes: ["JA4", "field order", "user agent", "method", "path template", "query"]
            .map(str::to_owned)
            .to_vec(),
        remove_addresses_at: at(END_S).plus_ms(30 * 86_400_000),
        remove_record_at: Some(at(END_S).plus_ms(365 * 86_400_000)),
    }
}

fn states() -> Vec<StateChange> {
    [(0, "normal"), (898, "watch"), (903, "attack"), (3_240, "recovery"), (3_300, "normal")]
        .map(|(second, state)| StateChange { at: at(second), state: state.to_owned() })
        .to_vec()
}

/// What the seconds come to.
struct Sums {
    during: Totals,
    before: Totals,
    /// Requests of the whole record.
    recorded: u64,
    peak: Peak,
    timeline: Vec<Bucket>,
    cohorts: [CohortTotals; 7],
    cohorts_before: [CohortTotals; 7],
    met: [MetCounts; 3],
    node: NodeFacts,
}

impl Sums {
    fn of_all_seconds() -> Self {
        let none = Cohort::ALL.map(|cohort| CohortTotals {
            cohort,
            requests: 0,
            served: 0,
            refused: 0,
            tested: 0,
            failed: 0,
            late: 0,
        });
        let mut sums = Self {
            during: Totals::default(),
            before: Totals::default(),
            recorded: 0,
            peak: Peak::default(),
            timeline: Vec::new(),
            cohorts: none,
            cohorts_before: none,
            met: [1, 2, 3].map(|id| MetCounts { id, ..MetCounts::default() }),
            node: node(),
        };
        for number in 0..END_S {
            if number % BUCKET_S == 0 {
                sums.timeline.push(Bucket { at: at(number), ..Bucket::default() });
            }
            if (GAP_S.0..GAP_S.1).contains(&number) {
                continue;
            }
            sums.add(number, &second(number));
        }
        for totals in [&mut sums.during, &mut sums.before] {
            totals.excess = (totals.requests as f64 - totals.expected).max(0.0).round() as u64;
        }
        sums
    }

    fn add(&mut self, number: u32, made: &Made) {
        let requests = made.requests();
        self.recorded += requests;
        if requests > self.peak.requests {
            self.peak = Peak { at: at(number), requests, expected: made.expected };
        }
        if let Some(bucket) = self.timeline.last_mut() {
            add_to_bucket(bucket, made);
        }
        let (totals, cohorts) = match number {
            0..SINCE_S => (&mut self.before, &mut self.cohorts_before),
            SINCE_S..UNTIL_S => (&mut self.during, &mut self.cohorts),
            _ => return,
        };
        add_to_totals(totals, made);
        for (sum, counts) in cohorts.iter_mut().zip(&made.cohorts) {
            sum.requests += counts.requests;
            sum.served += counts.served;
            sum.refused += counts.refused;
            sum.tested += counts.tested;
            sum.failed += counts.failed;
            sum.late += counts.late;
        }
        for (sum, counts) in self.met.iter_mut().zip(&made.met) {
            sum.matched += counts.matched;
            sum.control += counts.control;
            sum.blocked += counts.blocked;
            sum.tests_set += counts.tests_set;
            sum.tests_passed += counts.tests_passed;
        }
        *self.node.link_full_s.get_or_insert(0) += u64::from(made.is_link_full);
        self.node.origin_unhealthy_s += u64::from(made.is_origin_down);
        self.node.peak_rx_bytes_per_s = self.node.peak_rx_bytes_per_s.max(made.rx_bytes());
    }
}

fn add_to_bucket(bucket: &mut Bucket, made: &Made) {
    let met = made.of(Cohort::Met);
    bucket.seconds += 1;
    bucket.requests += made.requests();
    bucket.expected += made.expected;
    bucket.refused += made.refused();
    bucket.origin += made.origin;
    bucket.unmet += made.requests() - met.requests;
    bucket.unmet_served += made.served() - met.served;
    bucket.peak_requests = bucket.peak_requests.max(made.requests());
    bucket.link_full = bucket.link_full.max(Some(made.is_link_full));
}

fn add_to_totals(totals: &mut Totals, made: &Made) {
    totals.seconds += 1;
    totals.requests += made.requests();
    totals.expected += made.expected;
    totals.refused += made.refused();
    totals.matched += made.of(Cohort::Met).requests;
    totals.origin += made.origin;
    totals.spared += made.spared;
    totals.origin_cost_ms += made.origin * 41;
    totals.client_errors += made.origin / 40;
    totals.server_errors += made.failed();
    totals.tests_set += made.tested();
    totals.tests_passed += made.met.iter().map(|met| met.tests_passed).sum::<u64>();
    totals.rx_bytes += made.rx_bytes();
    totals.tx_bytes += made.served() * 17_000 + made.refused() * 310;
    let all = &mut totals.connections;
    let seen = Connections {
        opened: made.requests() / 3,
        handshakes: made.requests() / 3,
        handshake_failures: made.requests() / 900,
        resets: made.requests() / 1_200,
        slow: made.requests() / 2_400,
        refused: made.requests() / 60,
    };
    all.opened += seen.opened;
    all.handshakes += seen.handshakes;
    all.handshake_failures += seen.handshake_failures;
    all.resets += seen.resets;
    all.slow += seen.slow;
    all.refused += seen.refused;
}

/// What does not follow from the seconds.
fn node() -> NodeFacts {
    NodeFacts {
        rx_drops: 1_204,
        listen_drops: 37,
        syn_cookies: 0,
        peak_busy: 0.83,
        peak_steal: 0.06,
        peak_resident_bytes: 412 * 1024 * 1024,
        peak_wait_ms: 1_980,
        origin: OriginHealth {
            limit: 24,
            in_flight: 2,
            queued: 0,
            oldest_wait_ms: 0,
            healthy: true,
        },
        lost: [("observations", 5_120), ("log_lines", 88_214)]
            .map(|(what, count)| (what.to_owned(), count))
            .into(),
        ..NodeFacts::default()
    }
}

/// A prefix, who registered it, rows of it, of them met, its marks and the mitigations that met it.
type Made4 =
    (&'static str, Option<&'static str>, [u64; 2], &'static [&'static str], &'static [u32]);

/// What single prefixes have; many small ones come on top.
const LARGE: [Made4; 9] = [
    ("203.0.113.0/24", Some("AS64500 Example Hosting (NL)"), [6_120, 6_118], &["hosting"], &[1, 2]),
    ("198.51.100.0/24", Some("AS64501 Sample Cloud (DE)"), [5_010, 5_001], &["hosting"], &[1, 2]),
    ("198.18.7.0/24", Some("AS64500 Example Hosting (NL)"), [3_870, 3_869], &["hosting"], &[2]),
    (
        "2001:db8:4f::/48",
        Some("AS64502 Muster Rechenzentrum (AT)"),
        [2_440, 2_440],
        &["hosting"],
        &[1],
    ),
    ("198.18.61.0/24", None, [1_930, 1_877], &[], &[1, 3]),
    ("198.19.3.0/24", Some("AS64503 Пример Телеком (RS)"), [1_215, 1_040], &["shared"], &[3]),
    ("2001:db8:900::/48", Some("AS64504 範例網路 (TW)"), [806, 712], &[], &[1]),
    ("198.19.44.0/24", None, [402, 344], &["tor"], &[1]),
    ("192.0.2.0/24", Some("AS64505 City Library (NO)"), [260, 0], &["shared"], &[]),
];
/// Prefixes with few requests each.
const SMALL: u32 = 240;

fn sources(sums: &Sums) -> (Vec<Source>, SampleFacts) {
    let small = (0..SMALL).map(|number| {
        let rows = u64::from(60 - number / 5);
        let met = rows * u64::from(number % 4) / 4;
        let by: &[u32] = if met > 0 { &[1] } else { &[] };
        let registered = match number % 3 {
            0 => Some(format!("AS{} Access Network {} (NO)", 64_506 + number % 5, number % 5 + 1)),
            1 => Some("AS64504 範例網路 (TW)".to_owned()),
            _ => None,
        };
        let prefix = match number % 2 {
            0 => format!("198.18.{}.0/24", 100 + number / 2),
            _ => format!("2001:db8:{:x}::/48", 0xa000 + number),
        };
        (prefix, registered, [rows, met], &[][..], by)
    });
    let large = LARGE.into_iter().map(|(prefix, registered, rows, marks, by)| {
        (prefix.to_owned(), registered.map(str::to_owned), rows, marks, by)
    });
    let mut sources: Vec<Source> = large
        .chain(small)
        .map(|(prefix, registered, [rows, met_rows], marks, mitigations)| Source {
            prefix,
            first_seen: at(if met_rows > 0 { 901 + (rows % 240) as u32 } else { 4 }),
            last_seen: at(if met_rows > 0 { 3_060 + (rows % 180) as u32 } else { END_S - 2 }),
            rows,
            met_rows,
            refused_rows: met_rows * 24 / 25,
            requests: 0.0,
            addresses: rows.min(251) as u32,
            registered,
            marks: marks.iter().map(|mark| (*mark).to_owned()).collect(),
            mitigations: mitigations.to_vec(),
        })
        .collect();
    let rows: u64 = sources.iter().map(|source| source.rows).sum();
    let met: u64 = sources.iter().map(|source| source.met_rows).sum();
    let matched = sums.during.matched as f64;
    let others = sums.recorded as f64 - matched;
    for source in &mut sources {
        let not_met = (source.rows - source.met_rows) as f64 * others / (rows - met) as f64;
        source.requests = (source.met_rows as f64 * matched / met as f64 + not_met).round();
    }
    sources.sort_by(|a, b| b.requests.total_cmp(&a.requests).then(a.prefix.cmp(&b.prefix)));
    let sample = SampleFacts {
        rows,
        clean_rows: 0,
        requests: sources.iter().map(|source| source.requests).sum(),
        prefixes: sources.len() as u64,
        prefixes_left_out: 0,
    };
    (sources, sample)
}

fn networks(sources: &[Source]) -> Vec<Network> {
    let mut networks: Vec<Network> = Vec::new();
    for source in sources {
        let registered = source.registered.as_deref().unwrap_or("unknown");
        let place = networks.iter().position(|network| network.registered == registered);
        let place = place.unwrap_or_else(|| {
            networks.push(Network { registered: registered.to_owned(), ..Network::default() });
            networks.len() - 1
        });
        let network = &mut networks[place];
        network.prefixes += 1;
        network.rows += source.rows;
        network.requests += source.requests;
        network.met_rows += source.met_rows;
    }
    networks.sort_by(|a, b| b.requests.total_cmp(&a.requests));
    networks
}

fn record() -> RecordFacts {
    RecordFacts {
        lines: 53_914,
        segments: 60,
        head: Some("9b1f0c7d2e4a5836b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4".to_owned()),
        key: "4c1d7a90e2b35f68".to_owned(),
        is_closed: true,
        removed: vec![Removed {
            at: at(END_S).plus_ms(600_000),
            lines: vec![2_117],
            why: "operator".to_owned(),
        }],
        timestamps: vec![(59, "https://tsa.example/".to_owned())],
    }
}

fn addresses() -> Vec<Address> {
    let made = |address: &str, refused, mitigations: &[u32]| Address {
        seen: Vec::new(),
        address: address.to_owned(),
        ports: vec![40_112, 40_990, 51_734],
        first_seen: at(903),
        last_seen: at(3_171),
        refused,
        destination: Some("192.0.2.10:443".to_owned()),
        mitigations: mitigations.to_vec(),
    };
    vec![
        made("203.0.113.17", 412, &[1]),
        made("203.0.113.201", 389, &[2]),
        made("198.51.100.66", 207, &[1, 2]),
        made("2001:db8:4f::be:1", 164, &[1]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_the_example_agree_with_its_timeline_and_cohorts() {
        let report = example();
        let (since, until) = (report.begin.since, report.until.expect("it is over"));
        let during = report.timeline.iter().filter(|part| part.at >= since && part.at < until);
        let (totals, mut seen) = (report.totals, Bucket::default());
        for part in during {
            seen.seconds += part.seconds;
            seen.requests += part.requests;
            seen.refused += part.refused;
            seen.origin += part.origin;
            seen.unmet += part.unmet;
        }
        assert_eq!(u64::from(seen.seconds), totals.seconds);
        assert_eq!((seen.requests, seen.refused), (totals.requests, totals.refused));
        assert_eq!((seen.origin, seen.requests - seen.unmet), (totals.origin, totals.matched));
        let of = |part: fn(&CohortTotals) -> u64| report.cohorts.iter().map(part).sum::<u64>();
        assert_eq!(of(|cohort| cohort.requests), totals.requests);
        assert_eq!(of(|cohort| cohort.refused), totals.refused);
        assert_eq!(of(|cohort| cohort.tested), totals.tests_set);
        for cohort in report.cohorts.iter().chain(&report.cohorts_before) {
            let became = cohort.served + cohort.refused + cohort.tested + cohort.failed;
            assert_eq!(became, cohort.requests, "{cohort:?}");
        }
        let met: u64 = report.mitigations.iter().map(|each| each.met.matched).sum();
        assert_eq!(met, totals.matched);
        let full = report.timeline.iter().any(|part| part.link_full == Some(true));
        assert_eq!(Some(full), report.node.expect("somebody looked").link_full_s.map(|it| it > 0));
    }

    #[test]
    fn the_example_is_what_it_says_it_is() {
        let report = example();
        assert_eq!(report.peak.requests, 4_800);
        assert_eq!(report.begin.since.to_string(), "2026-11-22T10:08:00.000Z");
        assert_eq!(report.totals.seconds, 40 * 60 - 18);
        assert!((report.before.requests as f64 / 900.0 - 12.0).abs() < 1.0);
        let text = serde_json::to_string(&report).expect("JSON");
        let read: Report = serde_json::from_str(&text).expect("the same");
        // Not `assert_eq`: it would print both.
        assert!(read == report);
    }
}
