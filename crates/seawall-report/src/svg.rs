//! Drawings as SVG that stands in a page of HTML.

use std::fmt::Write as _;

use crate::document::{Anchor, Drawing, Figure, Shape};
use crate::html::escape;

/// Writes a drawing, named and described for who cannot see it. `class` tells two of one figure apart.
pub(crate) fn draw(page: &mut String, figure: &Figure, drawing: &Drawing, class: &str) {
    let id = format!("{}-{class}", figure.id);
    let _ = writeln!(
        page,
        "<svg class=\"{class}\" viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n\
         <title id=\"{id}-t\">{}</title>\n<desc id=\"{id}-d\">{}</desc>",
        drawing.width,
        drawing.height,
        escape(&figure.caption),
        escape(&figure.says),
    );
    for shape in &drawing.shapes {
        draw_shape(page, shape);
    }
    page.push_str("</svg>\n");
}

fn draw_shape(page: &mut String, shape: &Shape) {
    match shape {
        Shape::Box([x, y, width, height], ink) => {
            let ink = ink.as_str();
            let _ = writeln!(
                page,
                "<rect class=\"b-{ink}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            );
        }
        Shape::Hatch(area, ink) => {
            let _ = write!(page, "<path class=\"l h-{}\" d=\"", ink.as_str());
            for [from, to] in hatch(*area) {
                let _ = write!(page, "M{:.1} {:.1}L{:.1} {:.1}", from[0], from[1], to[0], to[1]);
            }
            page.push_str("\"/>\n");
        }
        Shape::Line(points, ink) => {
            let dashes = ink
                .dashes()
                .map_or_else(String::new, |[on, off]| format!(" stroke-dasharray=\"{on} {off}\""));
            let _ = writeln!(
                page,
                "<path class=\"l l-{}\"{dashes} d=\"{}\"/>",
                ink.as_str(),
                path(points)
            );
        }
        Shape::Area(points, ink) => {
            let _ = writeln!(page, "<path class=\"b-{}\" d=\"{}Z\"/>", ink.as_str(), path(points));
        }
        Shape::Words { at: [x, y], anchor, text, ink } => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let (ink, text) = (ink.as_str(), escape(text));
            let _ = writeln!(
                page,
                "<text class=\"f-{ink}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{text}</text>"
            );
        }
    }
}

fn path(points: &[[f64; 2]]) -> String {
    let mut path = String::with_capacity(points.len() * 12);
    for (place, [x, y]) in points.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if place == 0 { 'M' } else { 'L' });
    }
    path
}

/// Slanted lines that fill an area, four points apart.
pub(crate) fn hatch([left, top, width, height]: [f64; 4]) -> Vec<[[f64; 2]; 2]> {
    const APART: f64 = 4.0;
    let mut lines = Vec::new();
    if !(width > 0.0 && height > 0.0 && width + height < 10_000.0) {
        return lines;
    }
    let mut offset = APART / 2.0;
    while offset < width + height {
        let from = [left + offset.min(width), top + (offset - width).max(0.0)];
        let to = [left + (offset - height).max(0.0), top + offset.min(height)];
        lines.push([from, to]);
        offset += APART;
    }
    lines
}
