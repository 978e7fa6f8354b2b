//! What the gates before the origins look like from outside: status and metrics.
//!
//! Separate from the gates, so that they know neither JSON nor Prometheus. Origins are added up: how
//! many there are is the operator's to know, and a label per origin would not be a closed set.

use std::sync::Arc;

use seawall_decide::{ClassCounters, WorkClass};

use crate::admin::{OriginStatus, Waiting};
use crate::metrics::Sample;
use crate::origin::{Gate, GateView};

/// All gates, one view for each.
pub(crate) fn views(gates: &[Arc<Gate>]) -> Vec<GateView> {
    let is_first = |at: usize| !gates[..at].iter().any(|other| Arc::ptr_eq(other, &gates[at]));
    // Sites on one origin share its gate, which counts once.
    (0..gates.len()).filter(|&at| is_first(at)).map(|at| gates[at].view()).collect()
}

/// The origins, added up.
pub(crate) fn status(gates: &[Arc<Gate>], healthy: bool) -> OriginStatus {
    let mut status = OriginStatus { healthy, ..OriginStatus::default() };
    for view in views(gates) {
        let counters = view.counters;
        status.limit += view.limit as u64;
        status.in_flight += counters.in_flight as u64;
        status.queued += counters.queued as u64;
        status.streams += counters.streams as u64;
        let oldest = u64::try_from(view.oldest_wait.as_millis()).unwrap_or(u64::MAX);
        status.oldest_wait_ms = status.oldest_wait_ms.max(oldest);
        // Two digits: it is an estimate.
        let slowdown = (f64::from(view.slowdown) * 100.0).round() / 100.0;
        status.slowdown = status.slowdown.max(slowdown);
        status.shedding |= view.is_shedding;
        let of = |class: WorkClass| counters.classes[class.index()].queued as u64;
        let waiting = &mut status.waiting;
        *waiting = Waiting {
            signed_in: waiting.signed_in + of(WorkClass::SignedIn),
            aged_reader: waiting.aged_reader + of(WorkClass::AgedReader),
            passed: waiting.passed + of(WorkClass::Passed),
            anonymous: waiting.anonymous + of(WorkClass::Anonymous),
            demoted: waiting.demoted + of(WorkClass::Demoted),
            background: waiting.background + of(WorkClass::Background),
        };
    }
    status
}

/// The same for Prometheus.
pub(crate) fn samples(gates: &[Arc<Gate>]) -> Vec<Sample> {
    let views = views(gates);
    let sum = |of: &dyn Fn(&GateView) -> u64| views.iter().map(of).sum::<u64>() as f64;
    let mut samples = vec![
        Sample::gauge(
            "seawall_origin_limit_requests",
            "Requests that may be at work in origins at once, as found by measuring.",
            sum(&|view| view.limit as u64),
        ),
        Sample::gauge(
            "seawall_origin_streams",
            "WebSockets and event streams open to origins.",
            sum(&|view| view.counters.streams as u64),
        ),
        Sample::counter(
            "seawall_origin_streams_refused_total",
            "WebSockets and event streams that found their lane full.",
            sum(&|view| view.counters.refused_streams),
        ),
        Sample::counter(
            "seawall_origin_shed_total",
            "Requests refused at once so that others are served in time.",
            sum(&|view| view.counters.refused_by_threshold),
        ),
        Sample::counter(
            "seawall_origin_templates_forgotten_total",
            "Kinds of pages whose cost was forgotten for others.",
            sum(&|view| view.counters.templates_evicted),
        ),
    ];
    let by_class = |sample: fn(f64) -> Sample, of: fn(&ClassCounters) -> u64| {
        let total = move |class: WorkClass| {
            let counters = |view: &GateView| of(&view.counters.classes[class.index()]);
            sample(sum(&counters)).with_label("class", class.as_str())
        };
        WorkClass::ALL.map(total)
    };
    samples.extend(by_class(waiting, |class| class.queued as u64));
    samples.extend(by_class(granted, |class| class.granted));
    samples.extend(by_class(refused, |class| class.refused));
    samples
}

const fn waiting(value: f64) -> Sample {
    Sample::gauge("seawall_origin_waiting_requests", "Requests waiting by class.", value)
}

const fn granted(value: f64) -> Sample {
    Sample::counter("seawall_origin_granted_total", "Requests let through by class.", value)
}

const fn refused(value: f64) -> Sample {
    Sample::counter(
        "seawall_origin_refused_total",
        "Requests refused before an origin by class: no place, displaced, or waited too long.",
        value,
    )
}
