//! The figures: what is drawn of a report, for a wide and for a narrow screen.

mod frame;
mod lanes;

use crate::report::Bucket;
use crate::{Moment, Report, say};

use self::frame::{Frame, Scale};
use super::Figure;
use super::drawing::Ink;

pub(super) use self::lanes::{mitigations, networks};

/// Points across: of the text on an A4 page, and of a telephone.
const WIDTHS: [f64; 2] = [680.0, 340.0];

/// What was asked for and refused, beside what is ordinary.
pub(super) fn rate(report: &Report) -> Figure {
    let most = report.timeline.iter().map(rate_of).fold(0.0, f64::max);
    let draw = |width: f64| {
        let mut frame = Frame::new(report, width, 190.0, Scale::linear(most));
        let mut legend = vec![("asked for", Ink::Asked)];
        if !report.is_reconstructed() {
            legend.push(("of them refused", Ink::Refused));
        }
        legend.push(("ordinary", Ink::Ordinary));
        frame.begin(report, &legend);
        for stretch in stretches(&report.timeline) {
            frame.area(&points(stretch, rate_of), Ink::Asked);
            frame.area(&points(stretch, |part| per_second(part.refused, part)), Ink::Refused);
        }
        frame.line(&points(&report.timeline, expected_of), Ink::Ordinary);
        frame.finish(report)
    };
    Figure {
        id: "figure-rate",
        caption: "Requests per second".to_owned(),
        says: format!(
            "Ordinary were about {} requests a second. The busiest second, at {}, had {}. The strip above says what \
             Seawall thought of it; hatched is what was not recorded.",
            say::about(report.peak.expected),
            say::clock(report.peak.at),
            say::count(report.peak.requests),
        ),
        wide: draw(WIDTHS[0]),
        narrow: draw(WIDTHS[1]),
    }
}

/// The same on a scale on which a few are seen beside many.
pub(super) fn load(report: &Report) -> Figure {
    let most = report.timeline.iter().map(rate_of).fold(0.0, f64::max);
    let draw = |width: f64| {
        let mut frame = Frame::new(report, width, 210.0, Scale::logarithmic(most));
        frame.begin(
            report,
            &[
                ("asked for", Ink::Asked),
                ("met no mitigation", Ink::Served),
                ("the origin worked", Ink::Origin),
                ("ordinary", Ink::Ordinary),
            ],
        );
        for stretch in stretches(&report.timeline) {
            frame.line(&points(stretch, rate_of), Ink::Asked);
            frame.line(&points(stretch, |part| per_second(part.unmet, part)), Ink::Served);
            frame.line(&points(stretch, |part| per_second(part.origin, part)), Ink::Origin);
        }
        frame.line(&points(&report.timeline, expected_of), Ink::Ordinary);
        frame.finish(report)
    };
    Figure {
        id: "figure-load",
        caption: "What reached whom, requests per second on a logarithmic scale".to_owned(),
        says: format!(
            "Each line of the grid is ten times the one below. Of {} requests, {} met no mitigation, and the origin \
             worked for {}.",
            say::count(report.totals.requests),
            say::count(report.totals.requests.saturating_sub(report.totals.matched)),
            say::count(report.totals.origin),
        ),
        wide: draw(WIDTHS[0]),
        narrow: draw(WIDTHS[1]),
    }
}

/// What became of requests that no mitigation met.
pub(super) fn success(report: &Report) -> Figure {
    let share = |part: &Bucket| match part.unmet {
        0 => f64::NAN,
        unmet => part.unmet_served as f64 / unmet as f64 * 100.0,
    };
    let draw = |width: f64| {
        let mut frame = Frame::new(report, width, 150.0, Scale::percent());
        frame.begin(report, &[("answered with what was asked for", Ink::Served)]);
        for stretch in stretches(&report.timeline) {
            frame.line(&points(stretch, share), Ink::Served);
        }
        frame.finish(report)
    };
    let worst = report
        .timeline
        .iter()
        .filter(|part| part.unmet > 0)
        .min_by(|a, b| share(a).total_cmp(&share(b)));
    let says = match worst {
        Some(part) if part.unmet_served < part.unmet => format!(
            "Part of the requests that met no mitigation and were answered with what was asked for. It was lowest in \
             the {} from {} on, with {}: attackers whom nobody had recognised yet are among those requests.",
            if part.seconds == 1 {
                "second".to_owned()
            } else {
                say::span(u64::from(part.seconds))
            },
            say::clock(part.at),
            say::percent(part.unmet_served, part.unmet),
        ),
        _ => "Each request that met no mitigation was answered with what was asked for.".to_owned(),
    };
    Figure {
        id: "figure-success",
        caption: "What readers got, in percent".to_owned(),
        says,
        wide: draw(WIDTHS[0]),
        narrow: draw(WIDTHS[1]),
    }
}

fn rate_of(part: &Bucket) -> f64 {
    per_second(part.requests, part)
}

fn expected_of(part: &Bucket) -> f64 {
    if part.seconds == 0 { f64::NAN } else { part.expected / f64::from(part.seconds) }
}

fn per_second(number: u64, part: &Bucket) -> f64 {
    if part.seconds == 0 { f64::NAN } else { number as f64 / f64::from(part.seconds) }
}

/// Parts that follow each other without one of which nothing is known.
fn stretches(timeline: &[Bucket]) -> impl Iterator<Item = &[Bucket]> {
    timeline.split(|part| part.seconds == 0).filter(|stretch| !stretch.is_empty())
}

fn points(parts: &[Bucket], value: impl Fn(&Bucket) -> f64) -> Vec<(Moment, f64)> {
    parts.iter().map(|part| (part.at, value(part))).filter(|(_, value)| value.is_finite()).collect()
}
