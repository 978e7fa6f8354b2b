//! Bounds of what a record says: it may come from a stranger, and may say anything of any length.

use crate::Moment;

/// Adds, and stays at the most there can be.
pub(super) fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

/// A figure that can be added to and written as JSON: no less than nothing, and no more than 10^15.
pub(super) fn figure(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 1e15) }
}

/// A part of a whole.
pub(super) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { figure(part / whole).min(1.0) } else { 0.0 }
}

/// Words of `max` bytes at most. What was cut off is shown by `…`.
pub(super) fn words(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let room = max.saturating_sub("…".len());
    let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// A list that grows no further than `max`, and counts what it did not take.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    pub(super) items: Vec<T>,
    max: usize,
    pub(super) left_out: u64,
}

impl<T> Bounded<T> {
    pub(super) const fn new(max: usize) -> Self {
        Self { items: Vec::new(), max, left_out: 0 }
    }

    pub(super) fn push(&mut self, item: T) {
        if self.items.len() < self.max {
            self.items.push(item);
        } else {
            add(&mut self.left_out, 1);
        }
    }
}

/// The earlier and the later of two spans' ends.
pub(super) fn widen(first: &mut Moment, last: &mut Moment, from: Moment, until: Moment) {
    *first = (*first).min(from);
    *last = (*last).max(until);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_between_letters_and_show_it() {
        for (text, max, want) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "…"),
            ("abcdef", 5, "ab…"),
            ("äöü", 5, "ä…"),
            ("ä", 0, "…"),
        ] {
            assert_eq!(words(text, max), want);
        }
    }

    #[test]
    fn a_figure_can_always_be_written() {
        for (value, want) in [
            (f64::NAN, 0.0),
            (f64::INFINITY, 1e15),
            (f64::NEG_INFINITY, 0.0),
            (-1.0, 0.0),
            (2.5, 2.5),
        ] {
            assert!((figure(value) - want).abs() < f64::EPSILON);
        }
    }
}
