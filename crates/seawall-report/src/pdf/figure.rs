//! Drawings on paper.

use pdf_writer::Content;

use crate::document::{Anchor, Drawing, Ink, Shape};
use crate::svg::hatch;

use super::layout::{Font, lines};
use super::paper::show;
use crate::document::Text;

/// Draws with its upper left at `left` and `top`.
pub(super) fn draw(content: &mut Content, drawing: &Drawing, left: f64, top: f64, scale: f64) {
    let at = |[x, y]: [f64; 2]| [(left + x * scale) as f32, (top - y * scale) as f32];
    content.save_state();
    for shape in &drawing.shapes {
        match shape {
            Shape::Box([x, y, width, height], ink) => {
                colour(content, *ink, true);
                let [x, y] = at([*x, y + height]);
                content.rect(x, y, (width * scale) as f32, (height * scale) as f32);
                content.fill_nonzero();
            }
            Shape::Hatch(area, ink) => {
                colour(content, if *ink == Ink::Refused { Ink::Refused } else { Ink::Gap }, false);
                content.set_line_width(0.8);
                for [from, to] in hatch(*area) {
                    path(content, &[at(from), at(to)]);
                    content.stroke();
                }
            }
            Shape::Line(points, ink) => {
                colour(content, *ink, false);
                content.set_line_width(if matches!(ink, Ink::Grid | Ink::Text) {
                    0.5
                } else {
                    1.1
                });
                let dashes = ink.dashes().map_or_else(Vec::new, |dashes| {
                    dashes.map(|each| (each * scale) as f32).to_vec()
                });
                content.set_dash_pattern(dashes, 0.0);
                path(content, &points.iter().map(|point| at(*point)).collect::<Vec<_>>());
                content.stroke();
                content.set_dash_pattern([], 0.0);
            }
            Shape::Area(points, ink) => {
                colour(content, *ink, true);
                path(content, &points.iter().map(|point| at(*point)).collect::<Vec<_>>());
                content.fill_nonzero();
            }
            Shape::Words { at: place, anchor, text, ink } => {
                match ink {
                    // A surface of this colour is too light for words.
                    Ink::Alarm => {
                        content.set_fill_rgb(0.55, 0.11, 0.07);
                    }
                    ink => colour(content, *ink, true),
                }
                let size = 11.0 * scale;
                let line = lines(&Text::plain(text.as_str()), Font::Regular, size, f64::INFINITY);
                let line = line.into_iter().next().unwrap_or_default();
                let [x, y] = at(*place);
                let x = f64::from(x)
                    - match anchor {
                        Anchor::Start => 0.0,
                        Anchor::Middle => line.width / 2.0,
                        Anchor::End => line.width,
                    };
                show(content, &line, x, f64::from(y));
            }
        }
    }
    content.restore_state();
}

fn path(content: &mut Content, points: &[[f32; 2]]) {
    for (place, [x, y]) in points.iter().enumerate() {
        if place == 0 {
            content.move_to(*x, *y);
        } else {
            content.line_to(*x, *y);
        }
    }
}

fn colour(content: &mut Content, ink: Ink, is_fill: bool) {
    let [red, green, blue]: [u8; 3] = match (ink, is_fill) {
        (Ink::Text | Ink::Ordinary, _) => [0, 0, 0],
        (Ink::Muted | Ink::Gap, _) => [0x44, 0x44, 0x44],
        (Ink::Grid, _) => [0xc4, 0xca, 0xd0],
        (Ink::Asked, _) => [0x7a, 0xa7, 0xd9],
        (Ink::Refused, _) => [0x1f, 0x4e, 0x79],
        (Ink::Origin, _) => [0x9a, 0x3b, 0x00],
        (Ink::Served, _) => [0x11, 0x63, 0x29],
        (Ink::Quiet, _) => [0xdf, 0xe5, 0xeb],
        (Ink::Alarm, _) => [0xe8, 0x9a, 0x90],
        (Ink::Warning, _) => [0xf6, 0xdf, 0xa4],
    };
    let part = |value: u8| f32::from(value) / 255.0;
    if is_fill {
        content.set_fill_rgb(part(red), part(green), part(blue));
    } else {
        content.set_stroke_rgb(part(red), part(green), part(blue));
    }
}
