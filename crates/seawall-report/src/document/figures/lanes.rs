//! Figures whose rows are named: mitigations over time, networks by size.

use crate::document::drawing::{Anchor, Drawing, Ink, Shape};
use crate::document::{Figure, words};
use crate::{Report, say, wording};

use super::WIDTHS;

/// Rows at most.
const MAX_ROWS: usize = 12;
/// Height of one.
const ROW: f64 = 24.0;

/// Which mitigation was on which rung when.
pub(in crate::document) fn mitigations(report: &Report) -> Figure {
    let draw = |width: f64| {
        let shown = report.mitigations.len().min(MAX_ROWS);
        let mut drawing = Drawing::new(width, ROW * shown as f64 + 22.0);
        let (left, right) = (30.0, width - 8.0);
        let from = report.begin.since;
        let until = report.until.unwrap_or(report.recorded_until).max(from.plus_ms(1_000));
        let x = |at: crate::Moment| {
            let part = at.seconds_since(from) / until.seconds_since(from);
            left + part.clamp(0.0, 1.0) * (right - left)
        };
        for (row, history) in report.mitigations.iter().take(MAX_ROWS).enumerate() {
            let top = ROW * row as f64;
            drawing.words([left - 8.0, top + 15.0], Anchor::End, history.id.to_string(), Ink::Text);
            for (place, step) in history.moves.iter().enumerate() {
                let Some(rung) = step.change.to.as_deref() else { continue };
                let end = history.moves.get(place + 1).map_or(until, |next| next.at);
                let (begin, width) = (x(step.at), (x(end) - x(step.at)).max(1.0));
                let (height, ink) = match rung {
                    "observe" => (4.0, Ink::Quiet),
                    "demote" => (8.0, Ink::Quiet),
                    "challenge" => (13.0, Ink::Warning),
                    _ => (18.0, Ink::Alarm),
                };
                drawing.put(Shape::Box([begin, top + 20.0 - height, width, height], ink));
                let text = words::rung(Some(rung));
                if 6.2 * text.chars().count() as f64 + 8.0 < width && height > 10.0 {
                    let at = [begin + 4.0, top + 16.0];
                    drawing.words(at, Anchor::Start, text, Ink::Text);
                }
            }
            let base = vec![[left, top + 20.0], [right, top + 20.0]];
            drawing.put(Shape::Line(base, Ink::Grid));
        }
        let y = drawing.height - 5.0;
        drawing.words([left, y], Anchor::Start, say::clock(from), Ink::Muted);
        drawing.words([right, y], Anchor::End, say::clock(until), Ink::Muted);
        drawing
    };
    Figure {
        id: "figure-mitigations",
        caption: "Which signature was answered how, and when".to_owned(),
        says: format!(
            "One row for each signature, by its number below. The taller the bar, the harder the answer{}: put behind \
             others, given a cheap test, refused. All moves are in the tables that follow.",
            if report.is_reconstructed() { " would have been" } else { "" }
        ),
        wide: draw(WIDTHS[0]),
        narrow: draw(WIDTHS[1]),
    }
}

/// The largest networks.
pub(in crate::document) fn networks(report: &Report) -> Figure {
    let shown = &report.networks[..report.networks.len().min(MAX_ROWS)];
    let most = shown.iter().map(|network| network.requests).fold(1.0, f64::max);
    let draw = |width: f64| {
        let mut drawing = Drawing::new(width, (ROW + 8.0) * shown.len() as f64 + 4.0);
        let right = width - 70.0;
        for (row, network) in shown.iter().enumerate() {
            let top = (ROW + 8.0) * row as f64;
            let name = crate::document::clean::line(&network.registered);
            let name: String = name.chars().take((width / 6.5) as usize).collect();
            drawing.words([0.0, top + 12.0], Anchor::Start, name, Ink::Text);
            let length = (network.requests / most).clamp(0.0, 1.0) * right;
            let met = match network.rows {
                0 => 0.0,
                rows => length * network.met_rows.min(rows) as f64 / rows as f64,
            };
            drawing.put(Shape::Box([0.0, top + 17.0, length.max(1.0), 10.0], Ink::Asked));
            drawing.put(Shape::Hatch([0.0, top + 17.0, met, 10.0], Ink::Refused));
            let at = [length + 6.0, top + 26.0];
            drawing.words(at, Anchor::Start, say::about(network.requests), Ink::Muted);
        }
        drawing
    };
    Figure {
        id: "figure-networks",
        caption: "Requests by who registered the network, estimated".to_owned(),
        says: format!(
            "Hatched is the part that a mitigation {met}. A network's registrant is not who acted, and not where anybody \
             sits.",
            met = wording::met(report)
        ),
        wide: draw(WIDTHS[0]),
        narrow: draw(WIDTHS[1]),
    }
}
