//! Readers are in a record as counts alone, and the counts are right.

use seawall_report::Clean;

use super::*;
use crate::recorder::clean::Readers;

fn reader(number: u32, look: u32) -> Observation {
    let [_, b, c, d] = number.to_be_bytes();
    let mut seen = page([10, b, c, d]);
    seen.attributes.set(Attribute::UserAgent, look);
    seen
}

fn told(out: &[Output]) -> Vec<&Clean> {
    let clean =
        entries(out).filter_map(|it| if let Entry::Clean(it) = it { Some(it) } else { None });
    clean.map(|clean| &**clean).collect()
}

fn rows_of(out: &[Output]) -> Vec<&seawall_report::Row> {
    let rows = entries(out).filter_map(|it| if let Entry::Row(it) = it { Some(it) } else { None });
    rows.map(|row| &**row).collect()
}

#[test]
fn no_row_is_a_readers_and_rows_and_counts_say_how_many_requests_there_were() {
    let (mut number, mut bots) = (0_u32, 0);
    let out = incident(4, |shield, is_attack| {
        for _ in 0..8 {
            number += 1;
            // In no order: one row in so many is taken.
            let random = number.wrapping_mul(0x9e37_79b9) >> 16;
            let known = Observation {
                standing: Standing::AgedReader,
                met: blocked([0; 4]).met,
                ..reader(number, 1 + random % 3)
            };
            let unknown = reader(number, 1 + random % 3);
            shield.see(if random / 3 % 4 == 0 { known } else { unknown });
        }
        for _ in 0..if is_attack { 40 } else { 0 } {
            bots += 1;
            let [_, b, c, d] = u32::to_be_bytes(bots);
            shield.see(blocked([100 + b, c, d, 1]));
        }
    });
    let rows = rows_of(&out);
    assert!(rows.len() > 1_000, "{}", rows.len());
    for row in &rows {
        assert!(!row.is_clean() && row.prefix.starts_with("100."), "{row:?}");
    }
    let close = |estimate: f64, truth: u32| {
        let truth = f64::from(truth);
        assert!((estimate / truth - 1.0).abs() < 0.02, "{estimate} of {truth}");
    };
    close(rows.iter().map(|row| 1.0 / row.p).sum(), bots);
    let all = told(&out);
    let sum = |met: bool| {
        all.iter().filter(|told| told.met == met).map(|told| told.requests).sum::<f64>()
    };
    close(sum(false) + sum(true), number);
    assert!((sum(true) * 4.0 / f64::from(number) - 1.0).abs() < 0.1, "those who were vouched for");
    // Minute follows on minute, from what the ring has on.
    let minutes: Vec<_> = all.iter().filter(|told| !told.met).collect();
    assert!((9..=11).contains(&minutes.len()), "{}", minutes.len());
    assert!(minutes.windows(2).all(|pair| pair[0].until == pair[1].from));
    // Each of three looks has a third, in the sum of what is told.
    for value in ["1", "2", "3"] {
        let sum: f64 = of_look(&out, value).iter().sum();
        assert!((sum * 3.0 / f64::from(number) - 1.0).abs() < 0.1, "{sum} of {number}");
    }
    assert!(all.iter().flat_map(|told| &told.looks).all(|it| it.attribute != "prefix"));
}

/// What was told of one look.
fn of_look(out: &[Output], value: &str) -> Vec<f64> {
    let looks = told(out).into_iter().flat_map(|told| &told.looks);
    let of = looks.filter(|look| look.attribute == Attribute::UserAgent.as_str());
    of.filter_map(|look| look.values.get(value).copied()).collect()
}

#[test]
fn what_fewer_than_five_readers_look_like_is_not_told() {
    for (readers, is_told) in [(4, false), (5, true)] {
        let mut tick = 0;
        let out = incident(3, |shield, _| {
            tick += 1;
            // One look is of few of them, who come again and again; the other of all others.
            (0..readers).for_each(|number| shield.see(reader(number, 0xabc)));
            (0..2).for_each(|number| shield.see(reader(1_000 + 2 * tick + number, 0xdef)));
        });
        assert_eq!(!of_look(&out, "abc").is_empty(), is_told, "{readers}");
        assert!(!of_look(&out, "def").is_empty());
    }
}

#[test]
fn a_look_that_five_had_within_a_quarter_of_an_hour_is_told_with_all_of_its_requests() {
    for (every_minutes, want) in [(3, &[5.0][..]), (5, &[])] {
        let (mut tick, mut came) = (0, 0);
        let out = incident(25, |shield, is_attack| {
            if is_attack && tick % (every_minutes * 240) == 0 && came < 5 {
                shield.see(reader(came, 0xabc));
                came += 1;
            }
            tick += u32::from(is_attack);
        });
        assert_eq!(of_look(&out, "abc"), want);
    }
}

#[derive(Clone, Copy)]
enum Minute {
    /// Somebody else comes, with the same look.
    Came(u64),
    /// Counts are told.
    Told(u64),
}

#[test]
fn a_quarter_of_an_hour_is_none_the_longer_for_counts_of_ten_minutes_or_a_clock_that_is_set_back() {
    use Minute::{Came, Told};
    let check = |minutes: &[Minute], want: &[f64]| {
        let (mut readers, mut window) = (Readers::new(0.5), Window::new(SEED));
        let (mut clients, mut told) = (0, Vec::new());
        let at = |minute: u64| Moment::from_unix_ms((BEGAN_S + minute * 60) * 1_000);
        for minute in minutes {
            match minute {
                Came(minute) => {
                    clients += 1;
                    let _ = window.observe(&reader(clients, 0xabc));
                    readers.add(window.rows(), at(*minute));
                    window.clear();
                }
                Told(minute) => told.extend(readers.tell(at(*minute))),
            }
        }
        let looks = told.iter().flat_map(|told| &told.looks);
        let of = looks.filter(|look| look.attribute == Attribute::UserAgent.as_str());
        let found: Vec<f64> = of.filter_map(|look| look.values.get("abc").copied()).collect();
        assert_eq!(found, want);
    };
    let four = [Came(61), Came(64), Came(68), Told(70), Came(72)];
    check(&[&four[..], &[Came(75), Told(80)]].concat(), &[5.0]);
    check(&[&four[..], &[Came(78), Told(80)]].concat(), &[]);
    // Who comes anew is counted anew.
    let five = [Came(78), Came(79), Came(79), Told(80), Came(81), Came(82), Told(90)];
    check(&[&four[..], &five].concat(), &[5.0]);
    // Set back by forty minutes: half an hour passes.
    check(&[&four[..], &[Told(31), Came(61), Told(62)]].concat(), &[]);
}
