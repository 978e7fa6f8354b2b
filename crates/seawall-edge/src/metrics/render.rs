//! Prometheus text exposition, format 0.0.4.

use std::fmt::Write;
use std::sync::Arc;

use seawall_model::{Cause, HttpVersion, Misbehaviour};

use super::{
    CacheOutcome, Counter, Handshake, HistogramTotals, LATENCY_BOUNDS, OriginFailure, WorkerMetrics,
};

/// A value measured elsewhere (cache size, log counters) to be printed with the rest. Names and
/// labels are literals, so that the label set stays closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    label: Option<(&'static str, &'static str)>,
    value: f64,
}

impl Sample {
    /// A value that goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, kind: "gauge", label: None, value }
    }

    /// A value that only grows; `name` ends in `_total`.
    pub const fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, kind: "counter", label: None, value }
    }

    /// The same with a label from a closed set.
    pub const fn with_label(mut self, name: &'static str, value: &'static str) -> Self {
        self.label = Some((name, value));
        self
    }
}

pub(super) fn render(blocks: &[Arc<WorkerMetrics>], extra: &[Sample]) -> String {
    let mut page = Page { blocks, text: String::with_capacity(16 * 1024) };
    page.head("seawall_build_info", "gauge", "Version of the running program; always 1.");
    page.line("seawall_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.http();
    page.connections();
    page.origin();
    page.extra(extra);
    page.text
}

struct Page<'a> {
    blocks: &'a [Arc<WorkerMetrics>],
    text: String,
}

impl Page<'_> {
    fn http(&mut self) {
        self.requests();
        self.by_label(
            "seawall_http_responses_total",
            "Responses to clients by status class; none: closed without an answer.",
            "status_class",
            &["1xx", "2xx", "3xx", "4xx", "5xx", "none"],
            |b, i| &b.responses[i],
        );
        let versions = [HttpVersion::Http10, HttpVersion::Http11, HttpVersion::Http2];
        self.by_label(
            "seawall_http_protocol_responses_total",
            "Responses to clients by HTTP version.",
            "version",
            &versions.map(HttpVersion::as_str),
            |b, i| &b.versions[i],
        );
        self.latency();
        self.by_label(
            "seawall_cache_answers_total",
            "Answers by the part the cache took in them.",
            "outcome",
            &CacheOutcome::ALL.map(CacheOutcome::as_str),
            |b, i| &b.cache[i],
        );
        self.counter(
            "seawall_query_ignored_total",
            "Requests answered as if without query parameters that change nothing.",
            |b| &b.query_ignored,
        );
        self.counter(
            "seawall_made_up_refused_total",
            "Requests for URLs that are probably made up, turned away in a flood of such.",
            |b| &b.made_up_refused,
        );
        self.counter(
            "seawall_turns_given_total",
            "Requests sent around once for a turn of their own at an address that many share, instead of being refused.",
            |b| &b.turns_given,
        );
    }

    fn requests(&mut self) {
        const NAME: &str = "seawall_http_requests_total";
        self.head(NAME, "counter", "Requests by decision and cause.");
        for (at, decision) in ["admit", "refuse"].into_iter().enumerate() {
            for cause in Cause::ALL {
                let value = self.sum(|b| &b.requests[at * Cause::ALL.len() + cause.index()]);
                // Pairs that cannot occur are left out, unless they did occur.
                let speaks_for =
                    matches!(cause, Cause::Default | Cause::AllowList | Cause::Demoted);
                if speaks_for == (decision == "admit") || value > 0 {
                    self.line(NAME, &[("decision", decision), ("cause", cause.as_str())], value);
                }
            }
        }
    }

    fn latency(&mut self) {
        const NAME: &str = "seawall_http_request_duration_seconds";
        const BUCKET: &str = "seawall_http_request_duration_seconds_bucket";
        self.head(NAME, "histogram", "Time from the complete request head to the last byte sent.");
        let mut totals = HistogramTotals::default();
        for block in self.blocks {
            totals.add(&block.latency);
        }
        let mut count = 0u64;
        for (bound, bucket) in LATENCY_BOUNDS.into_iter().zip(totals.buckets) {
            count = count.wrapping_add(bucket);
            self.line(BUCKET, &[("le", &seconds(bound))], count);
        }
        count = count.wrapping_add(totals.buckets[LATENCY_BOUNDS.len()]);
        self.line(BUCKET, &[("le", "+Inf")], count);
        self.line("seawall_http_request_duration_seconds_sum", &[], seconds(totals.sum_us));
        self.line("seawall_http_request_duration_seconds_count", &[], count);
    }

    fn connections(&mut self) {
        self.counter("seawall_connections_accepted_total", "Client connections accepted.", |b| {
            &b.connections_accepted
        });
        self.counter(
            "seawall_connections_closed_total",
            "Accepted client connections that ended.",
            |b| &b.connections_closed,
        );
        self.difference(
            "seawall_connections_open",
            "Client connections open now.",
            |b| &b.connections_accepted,
            |b| &b.connections_closed,
        );
        self.by_label(
            "seawall_connections_refused_total",
            "Connections closed before a request, by cause.",
            "cause",
            &Cause::ALL.map(Cause::as_str),
            |b, i| &b.connections_refused[i],
        );
        self.by_label(
            "seawall_connections_shed_total",
            "Slow connections closed because the pool was nearly full, by what they were doing.",
            "state",
            &["idle", "partial"],
            |b, i| &b.connections_shed[i],
        );
        self.by_label(
            "seawall_tls_handshakes_total",
            "TLS handshakes by outcome.",
            "outcome",
            &Handshake::ALL.map(Handshake::as_str),
            |b, i| &b.handshakes[i],
        );
        const CPU: &str = "seawall_tls_handshake_cpu_seconds_total";
        self.head(CPU, "counter", "Processor time spent on TLS handshakes.");
        self.line(CPU, &[], seconds(self.sum(|b| &b.handshake_us)));
        self.by_label(
            "seawall_wire_misbehaviour_total",
            "Protocol rules broken by peers, by kind.",
            "kind",
            &Misbehaviour::ALL.map(Misbehaviour::as_str),
            |b, i| &b.misbehaviour[i],
        );
        self.counter("seawall_network_received_bytes_total", "Bytes read from clients.", |b| {
            &b.bytes_received
        });
        self.counter("seawall_network_sent_bytes_total", "Bytes written to clients.", |b| {
            &b.bytes_sent
        });
    }

    fn origin(&mut self) {
        self.counter("seawall_origin_requests_total", "Requests sent to origins.", |b| {
            &b.origin_started
        });
        self.counter(
            "seawall_origin_doubtful_total",
            "Requests for URLs that are probably made up, which get spare capacity only.",
            |b| &b.origin_doubtful,
        );
        self.by_label(
            "seawall_origin_failures_total",
            "Failed exchanges with origins by kind.",
            "kind",
            &OriginFailure::ALL.map(OriginFailure::as_str),
            |b, i| &b.origin_failures[i],
        );
        self.difference(
            "seawall_origin_requests_in_flight",
            "Requests at work in origins now.",
            |b| &b.origin_started,
            |b| &b.origin_ended,
        );
        self.difference(
            "seawall_origin_requests_queued",
            "Requests waiting before origins now.",
            |b| &b.origin_queued,
            |b| &b.origin_dequeued,
        );
    }

    fn extra(&mut self, extra: &[Sample]) {
        let mut previous = "";
        for sample in extra {
            if sample.name != previous {
                self.head(sample.name, sample.kind, sample.help);
                previous = sample.name;
            }
            match sample.label {
                Some(label) => self.line(sample.name, &[label], sample.value),
                None => self.line(sample.name, &[], sample.value),
            }
        }
    }

    fn sum(&self, pick: impl Fn(&WorkerMetrics) -> &Counter) -> u64 {
        self.blocks.iter().fold(0, |sum, block| sum.wrapping_add(pick(block).read()))
    }

    fn counter(&mut self, name: &str, help: &str, pick: fn(&WorkerMetrics) -> &Counter) {
        self.head(name, "counter", help);
        let value = self.sum(pick);
        self.line(name, &[], value);
    }

    fn difference(
        &mut self,
        name: &str,
        help: &str,
        up: fn(&WorkerMetrics) -> &Counter,
        down: fn(&WorkerMetrics) -> &Counter,
    ) {
        self.head(name, "gauge", help);
        // Ends are read first: what begins in between makes the gauge too high by one, never
        // negative.
        let ended = self.sum(down);
        let value = self.sum(up).saturating_sub(ended);
        self.line(name, &[], value);
    }

    fn by_label(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
        pick: for<'b> fn(&'b WorkerMetrics, usize) -> &'b Counter,
    ) {
        self.head(name, "counter", help);
        for (index, text) in values.iter().enumerate() {
            let value = self.sum(|b| pick(b, index));
            self.line(name, &[(label, text)], value);
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        push(&mut self.text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            push(&mut self.text, format_args!("{open}{label}=\"{text}\""));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        push(&mut self.text, format_args!(" {value}\n"));
    }
}

/// Microseconds as a decimal number of seconds, without a detour through binary fractions.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn push(text: &mut String, args: std::fmt::Arguments<'_>) {
    text.write_fmt(args).expect("writing to a String cannot fail");
}
