use std::collections::HashSet;
use std::time::Duration;

use seawall_edge::metrics::{
    CacheOutcome, Handshake, Metrics, OriginFailure, RequestRate, Sample, Totals,
};
use seawall_model::{Cause, Decision, HttpVersion, Instant, Misbehaviour, Refusal};

fn refuse(cause: Cause) -> Decision {
    Decision::Refuse(Refusal { status: 429, retry_after: None, close: false }, cause)
}

/// A little of everything, on two workers and the control thread.
fn busy() -> Metrics {
    let metrics = Metrics::new(2);
    let (a, b, control) = (metrics.worker(0), metrics.worker(1), metrics.control());
    for worker in [&a, &b] {
        worker.connection_accepted();
        worker.handshake(Handshake::Full);
        worker.request(Decision::Admit(Cause::Default));
        worker.response(200, HttpVersion::Http11, Duration::from_micros(30));
        worker.cache(CacheOutcome::Hit);
        worker.bytes_received(100);
        worker.bytes_sent(1_000);
    }
    a.request(refuse(Cause::HeldBudget));
    a.response(429, HttpVersion::Http2, Duration::from_micros(10));
    a.response(0, HttpVersion::Http10, Duration::from_secs(3_600));
    a.connection_closed();
    a.connection_refused(Cause::DenyList);
    a.misbehaved(Misbehaviour::ObsFold);
    b.origin_queued();
    b.origin_dequeued();
    b.origin_started();
    b.origin_queued();
    b.origin_failed(OriginFailure::Timeout);
    control.origin_started();
    control.origin_ended();
    metrics
}

#[test]
fn page_has_the_names_and_values_it_always_had() {
    let extra = [
        Sample::gauge("seawall_cache_stored_bytes", "Bytes in the cache by tier.", 4096.0)
            .with_label("tier", "memory"),
        Sample::gauge("seawall_cache_stored_bytes", "Bytes in the cache by tier.", 0.5)
            .with_label("tier", "disk"),
        Sample::counter("seawall_cache_evictions_total", "Entries evicted.", 7.0),
    ];
    let page = busy().render(&extra);
    let page = page.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    crate::check_golden("metrics.prom", &page);
}

/// Every rule of the text format that a scraper relies on, and our naming.
#[test]
fn page_is_well_formed() {
    let page = busy().render(&[]);
    let mut series = HashSet::new();
    let mut families = HashSet::new();
    let mut family = ("", "");
    let mut helped = "";
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("help has a text");
            assert!(name.starts_with("seawall_") && text.ends_with('.'), "{line}");
            assert!(families.insert(name), "{name} is not in one piece");
            helped = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            family = kind.split_once(' ').expect("type has a kind");
            assert_eq!(family.0, helped, "help goes before type");
        } else {
            let (id, value) = line.rsplit_once(' ').expect("a sample has a value");
            let name = id.split('{').next().unwrap_or_default();
            let base = match family.1 {
                "histogram" => name.rsplit_once('_').map_or("", |(base, _)| base),
                _ => name,
            };
            assert_eq!(base, family.0, "{line} stands under its own type");
            assert_eq!(family.1 == "counter", name.ends_with("_total"), "{line}");
            assert!(value.parse::<f64>().is_ok_and(|v| v >= 0.0), "{line}");
            assert!(series.insert(id), "{id} is there once");
        }
    }
    assert!(page.ends_with('\n'));
}

#[test]
fn buckets_are_cumulative_and_end_with_the_count() {
    let page = busy().render(&[]);
    let values: Vec<u64> = page
        .lines()
        .filter(|l| l.starts_with("seawall_http_request_duration_seconds_bucket"))
        .filter_map(|l| l.rsplit_once(' ')?.1.parse().ok())
        .collect();
    assert!(values.is_sorted());
    assert_eq!(values.first(), Some(&1), "10 us is in the first bucket");
    assert_eq!(values.last(), Some(&4), "an hour is in the last only");
    assert!(page.contains("seawall_http_request_duration_seconds_count 4\n"));
    assert!(page.contains("seawall_http_request_duration_seconds_sum 3600.00007\n"));
}

#[test]
fn totals_add_up_all_threads() {
    let want = Totals {
        requests: 3,
        refused: 1,
        connections_open: 1,
        origin_in_flight: 1,
        origin_queued: 1,
    };
    assert_eq!(busy().totals(), want);
    assert_eq!(Metrics::new(1).totals(), Totals::default());
}

#[test]
fn rate_looks_back_ten_seconds() {
    let mut rate = RequestRate::default();
    let at = |second: u64| Instant::from_nanos(second * 1_000_000_000);
    assert_eq!(rate.observe(at(0), 1_000), 0.0, "one point is no rate");
    assert_eq!(rate.observe(at(1), 1_100), 100.0);
    for second in 2..=10 {
        rate.observe(at(second), 1_100);
    }
    assert_eq!(rate.observe(at(10), 1_100), 10.0, "the same moment again changes nothing");
    assert_eq!(rate.observe(at(11), 1_100), 0.0, "what is older is forgotten");
    assert_eq!(rate.observe(at(12), 1_050), 0.0, "a total that falls is no negative rate");
}
