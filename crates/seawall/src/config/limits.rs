//! The section `[limits]`: every field of [`Limits`], each within what is safe and possible.

use std::ops::RangeInclusive;
use std::time::Duration;

use seawall_model::{Http2Limits, Limits, PerSecond};

use crate::config::problem::Code;
use crate::config::section::{At, Report, Section, use_default};
use crate::config::value;

/// Reads `[limits]` over the defaults in `limits`.
pub(crate) fn read(
    report: &mut Report<'_>,
    mut section: Section<'_>,
    mut limits: Limits,
) -> Limits {
    counts(report, &mut section, &mut limits);
    http2(report, &mut section, &mut limits.http2);
    sizes(report, &mut section, &mut limits);
    times(report, &mut section, &mut limits);
    rates(report, &mut section, &mut limits);
    has_room(report, &section, &limits);
    section.finish(report);
    limits
}

/// Whether the largest request has room on an HTTP/2 connection. It would be refused on each anew.
fn has_room(report: &mut Report<'_>, section: &Section<'_>, limits: &Limits) {
    let needed = limits.largest_http2_request();
    if limits.http2.max_held_bytes < needed {
        let message = "`limits.http2_max_held_bytes` has no room for one request as large as \
                       `limits.max_head_bytes` and `limits.max_fields` allow";
        let hint = format!(
            "raise `limits.http2_max_held_bytes` to `{}KiB` or more, or lower one of the others",
            needed.div_ceil(1024)
        );
        report.error(Code::OutOfRange, section.line, message, hint);
    }
}

fn counts(report: &mut Report<'_>, section: &mut Section<'_>, limits: &mut Limits) {
    let mut count = |name, range, into: &mut usize| {
        if let Some(found) = section.whole(report, name, range) {
            *into = usize::try_from(found).unwrap_or(usize::MAX);
        }
    };
    count("max_connections", 16..=10_000_000, &mut limits.max_connections);
    count("max_connections_of_one", 1..=10_000_000, &mut limits.max_connections_of_one);
    count("max_offenders", 64..=1 << 24, &mut limits.max_offenders);
    // A quarter of what is really configured, unless it is said.
    limits.max_connections_of_prefix = (limits.max_connections / 4).max(1);
    count("max_connections_of_prefix", 1..=10_000_000, &mut limits.max_connections_of_prefix);
    count("max_fields", 10..=10_000, &mut limits.max_fields);
    count("max_clients", 1_024..=1 << 24, &mut limits.max_clients);
    count("max_budgets", 1_024..=1 << 24, &mut limits.max_budgets);
    count("max_route_budgets", 1_024..=1 << 24, &mut limits.max_route_budgets);
    count("max_origin_queue", 0..=1_000_000, &mut limits.max_origin_queue);
    let mut small = |name, range, into: &mut u32| {
        if let Some(found) = section.whole(report, name, range) {
            *into = u32::try_from(found).unwrap_or(u32::MAX);
        }
    };
    small("max_streams", 1..=1_000, &mut limits.max_streams);
    small("max_offences", 1..=1_000_000, &mut limits.max_offences);
    small("handshake_share", 1..=100, &mut limits.handshake_share_percent);
    small("known_handshake_share", 1..=100, &mut limits.known_handshake_share_percent);
    small("held_burst", 1..=1_000_000, &mut limits.held_burst);
}

/// Those that a busy proxy in front, whose connections carry many readers, could come near to.
fn http2(report: &mut Report<'_>, section: &mut Section<'_>, limits: &mut Http2Limits) {
    if let Some(bytes) = section.size(report, "http2_max_held_bytes", 64 << 10..=64 << 20) {
        limits.max_held_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    let mut count = |name, into: &mut u64| {
        if let Some(found) = section.whole(report, name, 10..=1_000_000) {
            *into = found;
        }
    };
    count("http2_max_resets", &mut limits.max_resets);
    count("http2_max_resets_in_all", &mut limits.max_resets_in_all);
    count("http2_max_provoked_resets", &mut limits.max_provoked_resets);
    count("http2_max_provoked_resets_in_all", &mut limits.max_provoked_resets_in_all);
    count("http2_max_pings", &mut limits.max_pings);
    count("http2_max_window_updates", &mut limits.max_window_updates);
}

fn sizes(report: &mut Report<'_>, section: &mut Section<'_>, limits: &mut Limits) {
    let mut size = |name, range| section.size(report, name, range);
    let narrow = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let head = size("max_head_bytes", 1 << 10..=1 << 20).map_or(limits.max_head_bytes, narrow);
    // A target longer than the head could never arrive; the head says 431 first.
    let target = size("max_target_bytes", 256..=head as u64);
    limits.max_head_bytes = head;
    limits.max_target_bytes = target.map_or(limits.max_target_bytes.min(head), narrow);
    if let Some(bytes) = size("max_body_bytes", 0..=1 << 40) {
        limits.max_body_bytes = bytes;
    }
    if let Some(bytes) = size("max_hello_bytes", 1 << 10..=64 << 10) {
        limits.max_hello_bytes = narrow(bytes);
    }
    if let Some(bytes) = size("min_body_bytes_per_second", 1..=1 << 20) {
        limits.min_body_bytes_per_second = bytes;
    }
}

fn times(report: &mut Report<'_>, section: &mut Section<'_>, limits: &mut Limits) {
    let mut time = |name, range: RangeInclusive<Duration>, into: &mut Duration| {
        if let Some(found) = section.duration(report, name, range) {
            *into = found;
        }
    };
    let second = Duration::from_secs(1);
    let minute = Duration::from_secs(60);
    let hour = Duration::from_secs(3_600);
    time("header_timeout", second..=5 * minute, &mut limits.header_timeout);
    time("idle_timeout", second..=hour, &mut limits.idle_timeout);
    time("handshake_burst", second / 100..=minute, &mut limits.handshake_burst);
    time("bar_time", second..=hour, &mut limits.bar_time);
    time("handshake_timeout", second..=minute, &mut limits.handshake_timeout);
    time("body_grace", second..=5 * minute, &mut limits.body_grace);
    time("response_grace", second..=5 * minute, &mut limits.response_grace);
    time("drain_timeout", Duration::ZERO..=hour, &mut limits.drain_timeout);
    time("origin_budget_burst", second / 10..=minute, &mut limits.origin_budget_burst);
    time("origin_queue_timeout", second / 10..=5 * minute, &mut limits.origin_queue_timeout);
}

fn rates(report: &mut Report<'_>, section: &mut Section<'_>, limits: &mut Limits) {
    let mut budget = |name, into: &mut PerSecond| {
        if let Some(found) = section.whole(report, name, 1..=1_000_000) {
            *into = PerSecond(found as f64);
        }
    };
    budget("origin_budget", &mut limits.origin_budget);
    budget("reader_budget", &mut limits.reader_budget);
    if let Some(At { value: rate, line }) =
        section.read(report, "held_rate", (Code::Rate, value::rate))
    {
        if (1.0..=1e6).contains(&rate) {
            limits.held_rate = PerSecond(rate);
        } else {
            let message = "`limits.held_rate` must be between `1/s` and `1000000/s`: readers load a page and its parts at once";
            report.error(Code::OutOfRange, line, message, use_default("limits.held_rate"));
        }
    }
    if let Some(At { value: speed, line }) =
        section.read(report, "egress", (Code::Speed, value::speed))
    {
        // 1 Mbit/s to 1,000 Gbit/s, in bytes.
        if (125_000..=125_000_000_000).contains(&speed) {
            limits.egress_bytes_per_second = Some(speed);
        } else {
            let message = "`limits.egress` must be between `1Mbit/s` and `1000Gbit/s`";
            report.error(Code::OutOfRange, line, message, use_default("limits.egress"));
        }
    }
}
