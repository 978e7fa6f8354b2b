//! What requests looked like: weighted counts of the values of each attribute, of those that a mitigation met and of all others.

use std::collections::HashMap;

use seawall_model::Attribute;

use super::bounds::{add, figure, share, words};
use crate::entry::{Clean, Row, Word};
use crate::report::Look;

/// Weights by attribute and value.
#[derive(Debug, Default)]
pub(super) struct Looks {
    names: Vec<String>,
    values: Vec<HashMap<u64, Weights>>,
    texts: HashMap<(usize, u64), String>,
    /// Of all rows.
    sum: Weights,
    /// Words that were not taken for want of room.
    pub(super) words_left_out: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Weights {
    met: f64,
    others: f64,
    /// Rows of all others, as far as it matters: what fewer of them had is nobody's business.
    rows: u32,
}

impl Weights {
    fn add(&mut self, is_met: bool, weight: f64, rows: u32) {
        *(if is_met { &mut self.met } else { &mut self.others }) += weight;
        self.rows = self.rows.saturating_add(if is_met { 0 } else { rows });
    }

    const fn sum(self) -> f64 {
        self.met + self.others
    }
}

impl Looks {
    /// Learns what the fields of rows are.
    pub(super) fn begin(&mut self, attributes: &[String]) {
        self.names = attributes.iter().take(MAX_ATTRIBUTES).map(|name| words(name, 48)).collect();
        self.values = vec![HashMap::new(); self.names.len()];
    }

    /// Takes a row that stands for `weight` requests.
    pub(super) fn take(&mut self, row: &Row, weight: f64) {
        let is_met = row.met.is_some();
        self.sum.add(is_met, weight, 1);
        for (values, text) in self.values.iter_mut().zip(&row.attributes) {
            let Ok(value) = u64::from_str_radix(text, 16) else { continue };
            weigh(values, value).add(is_met, weight, 1);
        }
    }

    /// Takes counts of those that may be readers', which stand for `requests`. What is told of a look is told of enough of
    /// them.
    pub(super) fn take_clean(&mut self, clean: &Clean, requests: f64) {
        self.sum.add(clean.met, requests, LEAST_ROWS);
        for look in &clean.looks {
            let place = self.names.iter().position(|name| *name == look.attribute);
            let Some(values) = place.and_then(|place| self.values.get_mut(place)) else { continue };
            for (text, requests) in &look.values {
                let Ok(value) = u64::from_str_radix(text, 16) else { continue };
                weigh(values, value).add(clean.met, figure(*requests), LEAST_ROWS);
            }
        }
    }

    /// Takes the words of a value.
    pub(super) fn take_word(&mut self, word: &Word) {
        let place = self.names.iter().position(|name| *name == word.attribute);
        let (Some(place), Ok(value)) = (place, u64::from_str_radix(&word.value, 16)) else {
            return;
        };
        if self.texts.len() >= MAX_WORDS && !self.texts.contains_key(&(place, value)) {
            add(&mut self.words_left_out, 1);
            return;
        }
        self.texts.insert((place, value), words(&word.text, 96));
    }

    /// Part of all requests of which nothing is known under an attribute, 0 to 1; `None` if there is no such attribute.
    pub(super) fn unknown_share(&self, attribute: Attribute) -> Option<f64> {
        let place = self.names.iter().position(|name| name == attribute.as_str())?;
        let unknown = self.values[place].get(&0).copied().unwrap_or_default();
        Some(share(unknown.sum(), self.sum.sum()))
    }

    /// The most frequent values of each attribute.
    pub(super) fn finish(self) -> Vec<Look> {
        let Self { names, values, texts, sum, .. } = self;
        let mut looks = Vec::new();
        for (place, (name, values)) in names.iter().zip(values).enumerate() {
            let is_shown = |it: Weights| it.met > 0.0 || it.rows >= LEAST_ROWS;
            let known = values.into_iter().filter(|(value, it)| *value != 0 && is_shown(*it));
            let mut known: Vec<_> = known.collect();
            let rank = |it: Weights| (share(it.met, sum.met), share(it.others, sum.others));
            known.sort_unstable_by(|(a, of_a), (b, of_b)| {
                let (a_rank, b_rank) = (rank(*of_a), rank(*of_b));
                let by_met = b_rank.0.total_cmp(&a_rank.0);
                by_met.then(b_rank.1.total_cmp(&a_rank.1)).then(a.cmp(b))
            });
            // What only others look like is shown as well: a signature is told by the difference.
            let rest = known.split_off(known.len().min(MAX_SHOWN));
            let of_others = rest.into_iter().max_by(|(_, a), (_, b)| a.others.total_cmp(&b.others));
            let shown = known.into_iter().chain(of_others).map(|(value, weights)| Look {
                attribute: name.clone(),
                text: texts
                    .get(&(place, value))
                    .cloned()
                    .unwrap_or_else(|| format!("{value:016x}")),
                share_of_met: rank(weights).0,
                share_of_others: rank(weights).1,
            });
            looks.extend(shown);
        }
        looks
    }
}

/// Where the weights of a value are. There is room: what is rare goes.
fn weigh(values: &mut HashMap<u64, Weights>, value: u64) -> &mut Weights {
    if values.len() >= MAX_VALUES && !values.contains_key(&value) {
        drop_rare(values);
    }
    values.entry(value).or_default()
}

/// The rarer half goes. What is frequent loses next to nothing: a value that makes up a hundredth of all is never among
/// the rarer half of more than a thousand.
fn drop_rare(values: &mut HashMap<u64, Weights>) {
    let mut sizes: Vec<f64> = values.values().map(|it| it.sum()).collect();
    let middle = sizes.len() / 2;
    let (_, limit, _) = sizes.select_nth_unstable_by(middle, f64::total_cmp);
    let limit = *limit;
    // Where all are alike, half of them go all the same.
    let mut to_drop = middle;
    values.retain(|_, it| {
        let is_rare = it.sum() <= limit && to_drop > 0;
        to_drop -= usize::from(is_rare);
        !is_rare
    });
}

const MAX_ATTRIBUTES: usize = 24;
/// About 15 MB with all attributes full.
const MAX_VALUES: usize = 14_000;
const MAX_WORDS: usize = 32_768;
const MAX_SHOWN: usize = 8;
/// What no mitigation met is shown if so many rows had it: fewer may be one reader's.
const LEAST_ROWS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::CleanLook;

    fn row(values: &[&str], met: Option<u32>) -> Row {
        let attributes = values.iter().map(|it| (*it).to_owned()).collect();
        Row { attributes, met, ..Row::default() }
    }

    fn looks() -> Looks {
        let mut looks = Looks::default();
        looks.begin(&["JA4".to_owned(), "query".to_owned()]);
        looks
    }

    #[test]
    fn shares_are_of_requests_and_not_of_rows() {
        let mut looks = looks();
        looks.take(&row(&["a", "1"], Some(1)), 90.0);
        looks.take(&row(&["b", "0"], Some(1)), 10.0);
        looks.take(&row(&["b", "0"], None), 5.0);
        looks.take_word(&Word {
            attribute: "JA4".to_owned(),
            value: "a".to_owned(),
            text: "t13d".to_owned(),
        });
        let unknown = looks.unknown_share(Attribute::Query).expect("it is there");
        assert!((unknown - 15.0 / 105.0).abs() < 1e-9);
        let found = looks.finish();
        let check = |look: &Look, text: &str, met: f64, others: f64| {
            assert_eq!(look.text, text);
            assert!((look.share_of_met - met).abs() < 1e-9, "{look:?}");
            assert!((look.share_of_others - others).abs() < 1e-9, "{look:?}");
        };
        check(&found[0], "t13d", 0.9, 0.0);
        check(&found[1], "000000000000000b", 0.1, 1.0);
        check(&found[2], "0000000000000001", 0.9, 0.0);
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn counts_of_readers_are_others_and_what_few_of_them_had_is_not_shown() {
        let mut looks = looks();
        looks.take(&row(&["a", "1"], Some(1)), 10.0);
        for value in ["c", "d", "d", "d", "d", "d"] {
            looks.take(&row(&[value, "0"], None), 1.0);
        }
        let told = |values: &[(&str, f64)]| CleanLook {
            attribute: "JA4".to_owned(),
            values: values.iter().map(|(value, of)| ((*value).to_owned(), *of)).collect(),
        };
        // What few of them had is in the sum alone.
        let clean = Clean { requests: 14.0, looks: vec![told(&[("a", 5.0)])], ..Clean::default() };
        looks.take_clean(&clean, 14.0);
        let stranger = CleanLook { attribute: "none".to_owned(), ..told(&[("a", 1.0)]) };
        looks.take_clean(&Clean { looks: vec![stranger], ..Clean::default() }, 0.0);
        let found = looks.finish();
        let of = |text: &str| found.iter().find(|look| look.text == text);
        let a = of("000000000000000a").expect("it was met");
        assert!((a.share_of_met - 1.0).abs() < 1e-9 && (a.share_of_others - 0.25).abs() < 1e-9);
        assert!(of("000000000000000d").is_some(), "five rows had it");
        assert!(of("000000000000000c").is_none(), "one row had it: {found:?}");
    }

    #[test]
    fn endless_values_are_bounded_and_frequent_ones_remain() {
        let mut looks = looks();
        for value in 1..60_000_u64 {
            looks.take(&row(&[&format!("{:x}", value + 1_000), "5"], Some(1)), 1.0);
            looks.take(&row(&["7", "5"], None), 1.0);
            assert!(looks.values[0].len() <= MAX_VALUES);
        }
        let found = looks.finish();
        let seven =
            found.iter().find(|look| look.text == "0000000000000007").expect("it is frequent");
        assert!((seven.share_of_others - 1.0).abs() < 1e-9);
    }

    #[test]
    fn endless_words_are_bounded_and_counted() {
        let mut looks = looks();
        for value in 0..40_000_u32 {
            let value = format!("{value:x}");
            looks.take_word(&Word { attribute: "JA4".to_owned(), value, text: "x".to_owned() });
        }
        assert_eq!(looks.words_left_out, 40_000 - MAX_WORDS as u64);
    }
}
