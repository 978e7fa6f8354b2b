//! The plane that figures over time are drawn in: axes, the strip of states, gaps, legend.

use crate::document::drawing::{Anchor, Drawing, Ink, Shape};
use crate::document::words;
use crate::{Moment, Report, say};

/// How values become heights.
pub(super) struct Scale {
    /// Where lines of the grid are, and what stands beside them.
    ticks: Vec<(f64, String)>,
    kind: Kind,
}

enum Kind {
    Linear { most: f64 },
    Logarithmic { least: f64, most: f64 },
}

impl Scale {
    pub(super) fn linear(most: f64) -> Self {
        let step = nice_step(most.max(1.0) / 4.0);
        let count = (most.max(1.0) / step).ceil().clamp(1.0, 10.0) as u32;
        let ticks = (0..=count).map(|each| f64::from(each) * step);
        Self {
            ticks: ticks.map(|value| (value, say::count(value.round() as u64))).collect(),
            kind: Kind::Linear { most: f64::from(count) * step },
        }
    }

    pub(super) fn logarithmic(most: f64) -> Self {
        let powers = most.max(10.0).log10().ceil().clamp(1.0, 12.0) as i32;
        let ticks = (0..=powers).map(|power| 10_f64.powi(power));
        Self {
            ticks: ticks.map(|value| (value, say::count(value.round() as u64))).collect(),
            kind: Kind::Logarithmic { least: 1.0, most: 10_f64.powi(powers) },
        }
    }

    pub(super) fn percent() -> Self {
        let ticks = [0.0, 25.0, 50.0, 75.0, 100.0];
        Self {
            ticks: ticks.map(|value| (value, format!("{value:.0} %"))).into(),
            kind: Kind::Linear { most: 100.0 },
        }
    }

    /// 0 at the bottom to 1 at the top.
    fn height(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Linear { most } => value / most,
            Kind::Logarithmic { least, most } => {
                (value.max(least) / least).ln() / (most / least).ln()
            }
        }
        .clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten.
fn nice_step(about: f64) -> f64 {
    let power = 10_f64.powf(about.log10().floor());
    let digit = match about / power {
        d if d <= 1.0 => 1.0,
        d if d <= 2.0 => 2.0,
        d if d <= 5.0 => 5.0,
        _ => 10.0,
    };
    (digit * power).max(1.0)
}

/// A plane over time.
pub(super) struct Frame {
    drawing: Drawing,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    from: Moment,
    until: Moment,
    scale: Scale,
}

/// Room for numbers beside the axis.
const LEFT: f64 = 46.0;
/// Of the strip of states.
const STRIP: f64 = 16.0;
/// Of one line of words.
const LINE: f64 = 15.0;

impl Frame {
    pub(super) fn new(report: &Report, width: f64, height: f64, scale: Scale) -> Self {
        let end = report.recorded_until.plus_ms(1_000);
        let from =
            report.begin.recorded_from.min(report.timeline.first().map_or(end, |part| part.at));
        Self {
            drawing: Drawing::new(width, height),
            left: LEFT,
            right: width - 8.0,
            top: 0.0,
            bottom: height,
            from,
            until: end.max(from.plus_ms(1_000)),
            scale,
        }
    }

    /// Legend, strip of states, grid and gaps: what lies below lines.
    pub(super) fn begin(&mut self, report: &Report, legend: &[(&str, Ink)]) {
        self.top = self.legend(legend) + STRIP + 6.0;
        self.bottom = self.drawing.height - 2.0 * LINE - 6.0;
        self.strip(report);
        for at in 0..self.scale.ticks.len() {
            let (value, text) = self.scale.ticks[at].clone();
            let y = self.y(value);
            self.drawing.put(Shape::Line(vec![[self.left, y], [self.right, y]], Ink::Grid));
            self.drawing.words([self.left - 5.0, y + 4.0], Anchor::End, text, Ink::Muted);
        }
        for gap in &report.gaps {
            let left = self.x(gap.from);
            let right = self.x(gap.until.unwrap_or(report.recorded_until)).max(left + 2.0);
            let area = [left, self.top, right - left, self.bottom - self.top];
            self.drawing.put(Shape::Hatch(area, Ink::Gap));
        }
    }

    /// The axis of time and when the line was full: what lies above.
    pub(super) fn finish(mut self, report: &Report) -> Drawing {
        let base = self.bottom;
        let axis = vec![[self.left, base], [self.right, base]];
        self.drawing.put(Shape::Line(axis, Ink::Text));
        let full =
            report.timeline.iter().enumerate().filter(|(_, part)| part.link_full == Some(true));
        let mut was_full = false;
        for (place, part) in full {
            let next = report.timeline.get(place + 1).map_or(self.until, |next| next.at);
            let (left, right) = (self.x(part.at), self.x(next));
            self.drawing.put(Shape::Box([left, base, (right - left).max(1.5), 4.0], Ink::Alarm));
            if !was_full {
                let at = [left, base + 2.0 * LINE + 2.0];
                let anchor = self.anchor(left);
                self.drawing.words(at, anchor, "the line was full", Ink::Alarm);
            }
            was_full = true;
        }
        let step_s = self.step_s();
        let mut at_s = self.from.unix_s().div_ceil(step_s) * step_s;
        while at_s <= self.until.unix_s() {
            let at = Moment::from_unix_ms(at_s * 1_000);
            let x = self.x(at);
            self.drawing.put(Shape::Line(vec![[x, base], [x, base + 4.0]], Ink::Text));
            if x > self.left + 14.0 && x < self.right - 12.0 {
                // Seconds only where they differ.
                let text = &say::clock(at)[..if step_s < 60 { 8 } else { 5 }];
                self.drawing.words([x, base + LINE + 1.0], Anchor::Middle, text, Ink::Muted);
            }
            at_s += step_s;
        }
        self.drawing
    }

    pub(super) fn line(&mut self, values: &[(Moment, f64)], ink: Ink) {
        let points = self.points(values);
        self.drawing.put(Shape::Line(points, ink));
    }

    pub(super) fn area(&mut self, values: &[(Moment, f64)], ink: Ink) {
        let mut points = self.points(values);
        if let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) {
            self.drawing.put(Shape::Line(points.clone(), ink));
            points.push([last[0], self.bottom]);
            points.push([first[0], self.bottom]);
            self.drawing.put(Shape::Area(points, ink));
        }
    }

    fn points(&self, values: &[(Moment, f64)]) -> Vec<[f64; 2]> {
        values.iter().map(|&(at, value)| [self.x(at), self.y(value)]).collect()
    }

    fn x(&self, at: Moment) -> f64 {
        let whole = self.until.seconds_since(self.from);
        self.left + (at.seconds_since(self.from) / whole).clamp(0.0, 1.0) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.scale.height(value) * (self.bottom - self.top)
    }

    /// Words beside `x` that do not leave the plane.
    fn anchor(&self, x: f64) -> Anchor {
        if x > (self.left + self.right) / 2.0 { Anchor::End } else { Anchor::Start }
    }

    /// Seconds between words on the axis: about one for each 70 points.
    fn step_s(&self) -> u64 {
        let most = ((self.right - self.left) / 70.0).floor().max(2.0);
        let whole = self.until.seconds_since(self.from);
        [10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200]
            .into_iter()
            .find(|step| whole / *step as f64 <= most)
            .unwrap_or(86_400)
    }

    /// Samples with words; gives how far down it goes.
    fn legend(&mut self, legend: &[(&str, Ink)]) -> f64 {
        let (mut x, mut y) = (self.left, 10.0);
        for (text, ink) in legend {
            let width = 34.0 + 6.2 * text.chars().count() as f64;
            if x + width > self.right && x > self.left {
                (x, y) = (self.left, y + LINE);
            }
            if matches!(ink, Ink::Asked | Ink::Refused) && legend.len() == 3 {
                self.drawing.put(Shape::Box([x, y - 8.0, 18.0, 9.0], *ink));
            } else {
                let sample = vec![[x, y - 3.5], [x + 18.0, y - 3.5]];
                self.drawing.put(Shape::Line(sample, *ink));
            }
            self.drawing.words([x + 23.0, y], Anchor::Start, *text, Ink::Text);
            x += width;
        }
        y + 8.0
    }

    fn strip(&mut self, report: &Report) {
        let top = self.top - STRIP - 2.0;
        for (place, change) in report.states.iter().enumerate() {
            let next = report.states.get(place + 1).map_or(self.until, |next| next.at);
            let (left, right) = (self.x(change.at), self.x(next));
            let ink = match change.state.as_str() {
                "attack" => Ink::Alarm,
                "watch" | "crowd" | "mixed" | "recovery" => Ink::Warning,
                _ => Ink::Quiet,
            };
            let width = (right - left).max(1.0);
            self.drawing.put(Shape::Box([left, top, width, STRIP - 3.0], ink));
            let text = words::state(&change.state);
            if 6.0 * text.chars().count() as f64 + 8.0 < width {
                let at = [left + 4.0, top + 10.0];
                self.drawing.words(at, Anchor::Start, text, Ink::Text);
            }
        }
    }
}
