//! Attacks planted among readers, and readers alone: what is found, how exactly, and what never is.

use proptest::prelude::{ProptestConfig, any, proptest};
use seawall_model::{AttributeValue, Rung, Term};
use std::collections::BTreeSet;
use std::format;
use std::vec::Vec;

use super::*;
use crate::licence;

use Attribute as A;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((((z ^ (z >> 31)) >> 32) * u64::from(sides)) >> 32) as u32
    }

    /// Small ones far more often, as pages, networks and versions are.
    fn skewed(&mut self, sides: u32) -> u32 {
        self.roll(sides).min(self.roll(sides)).min(self.roll(sides))
    }

    fn shuffle(&mut self, rows: &mut [Attributes]) {
        for place in (1..rows.len()).rev() {
            rows.swap(place, self.roll(place as u32 + 1) as usize);
        }
    }
}

/// The `n`th value of an attribute.
fn value(attribute: A, n: u32) -> AttributeValue {
    ((attribute.index() as u32 + 1) << 20 | n).wrapping_mul(0x85EB_CA6B) | 1
}

fn with(mut row: Attributes, values: &[(A, u32)]) -> Attributes {
    values.iter().for_each(|(attribute, n)| row.set(*attribute, value(*attribute, *n)));
    row
}

/// What goes with the kind of browser: five of them, of which one is 60 % and one 2 %.
const OF_THE_BROWSER: [A; 7] = [
    A::Ja4,
    A::Http2Preface,
    A::FieldOrder,
    A::FieldCount,
    A::UserAgentFamily,
    A::Accept,
    A::Consistency,
];

/// A request of a reader: what goes with a browser goes together, the rest is its own.
fn reader(dice: &mut Dice) -> Attributes {
    let browser = match dice.roll(100) {
        0..60 => 0,
        60..78 => 1,
        78..92 => 2,
        92..98 => 3,
        _ => 4,
    };
    let version = dice.skewed(6);
    let mut row = Attributes::default();
    for attribute in OF_THE_BROWSER {
        // Handshakes and orders of fields change with versions, if seldom.
        let n = if attribute == A::Ja4 { browser * 3 + version / 3 } else { browser };
        row = with(row, &[(attribute, n)]);
    }
    with(
        row,
        &[
            (A::UserAgent, browser * 40 + version * 6 + dice.skewed(6)),
            (A::AcceptLanguage, dice.skewed(12)),
            (A::Cookie, dice.skewed(3)),
            (A::Method, dice.skewed(3)),
            (A::Path, dice.skewed(300)),
            (A::Query, dice.skewed(20)),
            (A::Network, dice.skewed(200)),
            (A::Prefix, dice.roll(50_000)),
        ],
    )
}

fn readers(dice: &mut Dice, rows: usize) -> Vec<Attributes> {
    (0..rows).map(|_| reader(dice)).collect()
}

const FLOOD: Volume = Volume { now_per_s: 550.0, expected_per_s: 50.0 };

/// Rows of as many clients.
fn each(looks: &[Attributes]) -> Requests<'_> {
    Requests { looks, clients: &CLIENTS[..looks.len()] }
}

static CLIENTS: [u16; 2 * Miner::MAX_NOW] = {
    let mut clients = [0; 2 * Miner::MAX_NOW];
    let mut row = 0;
    while row < clients.len() {
        clients[row] = row as u16;
        row += 1;
    }
    clients
};

/// Clients all of whose requests look alike.
fn ordinary(looks: &[Attributes]) -> Clients<'_> {
    Clients { requests: looks, came_for: looks }
}

fn mine(now: &[Attributes], baseline: &[Attributes], volume: Volume) -> (Mined, Vec<Candidate>) {
    let mut out = Vec::new();
    let mined = Miner::new().mine(each(now), ordinary(baseline), volume, &mut out);
    (mined, out)
}

/// Plants `attack` ten to one among readers, and asks for it back with at least 95 % precision and recall.
fn check_found(name: &str, mut attack: impl FnMut(&mut Dice) -> Attributes) -> Vec<Candidate> {
    let mut all = Vec::new();
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let baseline = readers(&mut dice, Miner::MAX_BASELINE);
        let mut now = readers(&mut dice, 370);
        let attacking: Vec<_> = (0..3_700).map(|_| attack(&mut dice)).collect();
        now.extend_from_slice(&attacking);
        let (mined, found) = mine(&now, &baseline, FLOOD);
        let is_met = |row: &&Attributes| found.iter().any(|one| one.signature.matches(row));
        let hits = attacking.iter().filter(is_met).count() as f64;
        let recall = hits / attacking.len() as f64;
        let precision = hits / now.iter().filter(is_met).count() as f64;
        assert!(
            recall >= 0.95 && precision >= 0.95,
            "{name} {seed}: {recall} {precision} {found:?}"
        );
        assert!(mined.coverage >= 0.93, "{name} {seed}: {mined:?}");
        for one in &found {
            assert!(licence(&one.signature, &one.evidence) >= Rung::Demote, "{name}: {one:?}");
        }
        all.extend(found);
    }
    all
}

fn blocks(found: &[Candidate]) -> bool {
    found.iter().any(|one| licence(&one.signature, &one.evidence) == Rung::Block)
}

#[test]
fn a_flood_with_one_strange_value_is_found_by_it() {
    let found = check_found("one value", |dice| with(reader(dice), &[(A::Ja4, 999)]));
    for one in &found {
        let terms: Vec<_> = one.signature.terms().collect();
        assert_eq!(terms, [Term { attribute: A::Ja4, value: value(A::Ja4, 999) }]);
        assert_eq!(licence(&one.signature, &one.evidence), Rung::Block);
    }
}

#[test]
fn a_flood_that_is_strange_only_in_a_combination_is_found_by_that() {
    // Each value is that of thousands of readers; the three together are of nearly nobody.
    let strange = [(A::FieldOrder, 2), (A::Query, 5), (A::Path, 40)];
    let found = check_found("three values", |dice| with(reader(dice), &strange));
    for one in &found {
        let terms = || one.signature.terms();
        assert!(terms().all(|term| term.attribute != A::Prefix) && terms().count() >= 2, "{one:?}");
        assert!(terms().all(|term| strange.iter().any(|(a, n)| term.value == value(*a, *n))));
    }
    assert!(blocks(&found));
}

#[test]
fn four_tools_at_once_are_found_by_a_signature_each() {
    let found = check_found("four tools", |dice| {
        let row = reader(dice);
        match dice.roll(100) {
            0..40 => with(row, &[(A::Ja4, 901), (A::FieldOrder, 901), (A::UserAgent, 901)]),
            40..70 => with(row, &[(A::Path, 902), (A::Query, 902)]),
            70..90 => with(row, &[(A::Http2Preface, 903), (A::Accept, 903)]),
            _ => with(row, &[(A::UserAgentFamily, 904), (A::FieldCount, 904)]),
        }
    });
    assert_eq!(found.len(), 16, "four in each of four rounds: {found:?}");
}

#[test]
fn rotation_of_everything_else_does_not_hide_a_constant_order_of_fields() {
    let rotating = [A::Ja4, A::UserAgent, A::UserAgentFamily, A::AcceptLanguage, A::Path, A::Query];
    let found = check_found("rotation", |dice| {
        let mut row = with(reader(dice), &[(A::FieldOrder, 777)]);
        for attribute in rotating {
            row = with(row, &[(attribute, 10_000 + dice.roll(1_000_000))]);
        }
        row
    });
    assert!(found.iter().all(|one| {
        one.signature
            .terms()
            .eq([Term { attribute: A::FieldOrder, value: value(A::FieldOrder, 777) }])
    }));
}

#[test]
fn a_flood_is_found_to_its_last_part_where_that_is_as_much_as_what_is_ordinary() {
    let volume = Volume { now_per_s: 6_500.0, expected_per_s: 500.0 };
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let mut baseline = readers(&mut dice, Miner::MAX_BASELINE);
        // A few readers have the tool's TLS, and none what most of its requests show.
        baseline[..8].iter_mut().for_each(|row| *row = with(*row, &[(A::Ja4, 77)]));
        let mut now = readers(&mut dice, 290);
        let attacking: Vec<_> = (0..3_700)
            .map(|number| {
                let shown = if number % 25 == 0 { 0 } else { 9 };
                with(reader(&mut dice), &[(A::Ja4, 77), (A::Consistency, shown)])
            })
            .collect();
        now.extend_from_slice(&attacking);
        let (_, found) = mine(&now, &baseline, volume);
        let is_met = |row: &&Attributes| found.iter().any(|one| one.signature.matches(row));
        let missed = attacking.iter().filter(|row| !is_met(row)).count();
        assert!(missed * 200 <= attacking.len(), "{seed}: {missed} of them, {found:?}");
        let readers_met = now[..290].iter().filter(is_met).count();
        assert!(readers_met <= 2, "{seed}: {readers_met}");
    }
}

#[test]
fn a_flood_from_one_network_prefix_is_found_by_its_addresses_alone() {
    let found = check_found("addresses", |dice| with(reader(dice), &[(A::Prefix, 60_000)]));
    for one in &found {
        assert!(one.signature.terms().all(|term| term.attribute == A::Prefix), "{one:?}");
    }
}

#[test]
fn an_attack_that_needs_four_and_five_values_is_told_from_readers() {
    // Half of all readers or nearly so have each value, and one in a few hundred has all.
    let mut dice = Dice(3);
    let attributes = [A::Method, A::Path, A::Query, A::AcceptLanguage, A::Accept];
    let coin = |dice: &mut Dice| {
        let mut row = reader(dice);
        for attribute in attributes {
            row = with(row, &[(attribute, 500 + u32::from(dice.roll(100) < 28))]);
        }
        row
    };
    let baseline: Vec<_> = (0..Miner::MAX_BASELINE).map(|_| coin(&mut dice)).collect();
    let mut now: Vec<_> = (0..400).map(|_| coin(&mut dice)).collect();
    let all = attributes.map(|attribute| (attribute, 501));
    now.extend((0..3_600).map(|_| with(reader(&mut dice), &all)));
    let (mined, found) = mine(&now, &baseline, FLOOD);
    assert_eq!(found[0].signature.len(), 5, "{found:?}");
    assert!(mined.coverage > 0.95 && found[0].evidence.collateral_upper < 0.005, "{found:?}");
    assert_eq!(
        found[0].evidence.sample_hits,
        evidence(&found[0].signature, each(&now), ordinary(&baseline), FLOOD, 1).sample_hits
    );
}

#[test]
fn it_is_counted_of_how_many_clients_what_is_found_is() {
    let mut dice = Dice(5);
    let baseline = readers(&mut dice, Miner::MAX_BASELINE);
    let mut now = readers(&mut dice, 400);
    now.extend((0..2_000).map(|_| with(reader(&mut dice), &[(A::Ja4, 998)])));
    now.extend((0..1_600).map(|_| with(reader(&mut dice), &[(A::Ja4, 999)])));
    // Readers come once, one tool is of three clients and the other of forty.
    let who = |row: usize| match row {
        0..400 => row + 100,
        400..2_400 => row % 3,
        _ => 10 + row % 40,
    };
    let clients: Vec<u16> = (0..now.len()).map(|row| who(row) as u16).collect();
    let sample = Requests { looks: &now, clients: &clients };
    let mut found = Vec::new();
    Miner::new().mine(sample, ordinary(&baseline), FLOOD, &mut found);
    let counted: Vec<_> = found.iter().map(|one| one.evidence.sample_clients).collect();
    assert_eq!(counted, [3, 40], "{found:?}");
    let rungs = found.iter().map(|one| licence(&one.signature, &one.evidence));
    assert!(rungs.eq([Rung::Demote, Rung::Block]), "{found:?}");
    for one in &found {
        let again = evidence(&one.signature, sample, ordinary(&baseline), FLOOD, 1);
        assert_eq!(again.sample_clients, one.evidence.sample_clients);
    }
}

#[test]
fn readers_alone_have_no_signature_whatever_the_volume() {
    let (mut miner, mut found) = (Miner::new(), Vec::new());
    for seed in 0..1_000 {
        let mut dice = Dice(seed << 32);
        let baseline = readers(&mut dice, 1_200);
        let now = readers(&mut dice, 500);
        let mined = miner.mine(each(&now), ordinary(&baseline), FLOOD, &mut found);
        assert!(found.is_empty() && mined.coverage == 0.0, "{seed}: {found:?}");
    }
}

#[test]
fn mimicry_of_all_readers_gives_no_signature_at_full_size() {
    for seed in 0..10 {
        let mut dice = Dice(seed << 40);
        let baseline = readers(&mut dice, Miner::MAX_BASELINE);
        let now = readers(&mut dice, Miner::MAX_NOW);
        let (mined, found) = mine(&now, &baseline, FLOOD);
        assert!(found.is_empty() && mined.coverage == 0.0, "{seed}: {found:?}");
    }
}

#[test]
fn mimicry_of_the_commonest_reader_is_not_blocked() {
    // Browser and page of the greatest number: that is what many readers look like, too.
    let mut dice = Dice(11);
    let baseline = readers(&mut dice, Miner::MAX_BASELINE);
    let mut now = readers(&mut dice, 400);
    now.extend((0..3_600).map(|_| {
        let common = OF_THE_BROWSER.map(|attribute| (attribute, 0));
        with(with(reader(&mut dice), &common), &[(A::Path, 0), (A::Query, 0)])
    }));
    let (_, found) = mine(&now, &baseline, FLOOD);
    assert!(!blocks(&found), "{found:?}");
}

#[test]
fn whoever_copies_a_cohort_gets_no_licence_to_block_it() {
    // 8 clients of 8,192 use one small browser; the attack is the same to the last field, and asks for
    // the same pages.
    let mut dice = Dice(21);
    let cohort = |dice: &mut Dice| {
        with(
            with(reader(dice), &OF_THE_BROWSER.map(|attribute| (attribute, 70))),
            &[(A::UserAgent, 700), (A::AcceptLanguage, 70), (A::Network, 700)],
        )
    };
    for clients in 4..9 {
        let mut baseline = readers(&mut dice, Miner::MAX_BASELINE - clients);
        baseline.extend((0..clients).map(|_| cohort(&mut dice)));
        let mut now = readers(&mut dice, 400);
        now.extend((0..3_600).map(|_| cohort(&mut dice)));
        let (mined, found) = mine(&now, &baseline, FLOOD);
        assert!(mined.coverage > 0.9 && !found.is_empty(), "it is seen: {mined:?} {found:?}");
        assert!(!blocks(&found), "{clients}: {found:?}");
    }
}

#[test]
fn a_block_is_judged_by_what_clients_come_for_and_a_test_by_all_that_they_ask_for() {
    // One in a hundred wears what the attack wears. It shows in the request for a page alone, one of twelve that a
    // client makes, so that of the clients' requests three in 8,192 look like it.
    let mut dice = Dice(22);
    let page = |row| with(row, &[(A::FieldOrder, 999)]);
    let mut requests = readers(&mut dice, Miner::MAX_BASELINE);
    let mut came_for = requests.clone();
    came_for.iter_mut().step_by(100).for_each(|row| *row = page(*row));
    requests.iter_mut().step_by(2_731).for_each(|row| *row = page(*row));
    let mut now = readers(&mut dice, 400);
    now.extend((0..3_600).map(|_| page(reader(&mut dice))));
    let rung = |came_for| {
        let (before, mut found) = (Clients { requests: &requests, came_for }, Vec::new());
        Miner::new().mine(each(&now), before, FLOOD, &mut found);
        let one = found.first().expect("it is found");
        let again = evidence(&one.signature, each(&now), before, FLOOD, 1);
        assert!((again.refused_upper - one.evidence.refused_upper).abs() < 1e-12);
        (licence(&one.signature, &one.evidence), one.evidence.refused_upper)
    };
    let (bears, refused_upper) = rung(&came_for);
    assert_eq!(bears, Rung::Challenge);
    assert!((0.010..0.013).contains(&refused_upper), "{refused_upper}");
    assert_eq!(rung(&requests).0, Rung::Block, "were it of all they ask for");
}

#[test]
fn values_made_up_for_each_request_hide_nothing_and_fill_nothing() {
    let mut dice = Dice(31);
    let baseline = readers(&mut dice, Miner::MAX_BASELINE);
    let mut made_up = |attributes: &[A], each: u32| -> Vec<Attributes> {
        let row = |_| {
            let row = reader(&mut dice);
            attributes.iter().fold(row, |row, a| with(row, &[(*a, 20_000 + dice.roll(each))]))
        };
        (0..Miner::MAX_NOW).map(row).collect()
    };
    let mut miner = Miner::new();
    let mut out = Vec::new();
    let mined =
        miner.mine(each(&made_up(&A::ALL, u32::MAX >> 13)), ordinary(&baseline), FLOOD, &mut out);
    assert!(out.is_empty() && mined.tried == 0, "nothing is frequent: {mined:?}");
    let thirty = made_up(&A::ALL, 30);
    let mined = miner.mine(each(&thirty), ordinary(&baseline), FLOOD, &mut out);
    // 33 values at most of each of 15 attributes, all pairs and triples of 64, and the beam.
    assert!(
        mined.tried <= 495 + 2_016 + 41_664 + 4_096 && out.len() <= Miner::MAX_CANDIDATES,
        "{mined:?}"
    );
    let mut rows = made_up(&A::ALL[1..], 1_000_000);
    rows.iter_mut().for_each(|row| *row = with(*row, &[(A::Ja4, 20_000)]));
    miner.mine(each(&rows), ordinary(&baseline), FLOOD, &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].evidence.sample_hits as usize, rows.len());
}

#[test]
fn clients_of_whom_an_attribute_is_not_known_vouch_for_nothing() {
    // A baseline from an access log: no handshake is known of anybody in it.
    let mut dice = Dice(41);
    let mut baseline = readers(&mut dice, Miner::MAX_BASELINE);
    baseline.iter_mut().for_each(|row| row.set(A::Ja4, UNKNOWN));
    let mut now = readers(&mut dice, 400);
    now.extend((0..3_600).map(|_| with(reader(&mut dice), &[(A::Ja4, 999)])));
    assert_eq!(mine(&now, &baseline, FLOOD).1, []);
    // Once 500 are known, it can be said, with the bound that 500 give.
    let learned = readers(&mut dice, 500);
    baseline[..500].copy_from_slice(&learned);
    let (_, found) = mine(&now, &baseline, FLOOD);
    assert_eq!(found[0].evidence.baseline_clients, 500);
    assert!((found[0].evidence.collateral_upper - 0.005_973).abs() < 1e-5, "{found:?}");
    assert_eq!(licence(&found[0].signature, &found[0].evidence), Rung::Demote);
}

#[test]
fn without_rows_or_rates_nothing_is_found() {
    let mut dice = Dice(51);
    let rows: Vec<_> = (0..500).map(|_| with(reader(&mut dice), &[(A::Ja4, 999)])).collect();
    let baseline = readers(&mut dice, 4_000);
    for rate in [0.0, -5.0, f64::NAN, f64::INFINITY] {
        let volume = Volume { now_per_s: rate, expected_per_s: rate };
        assert_eq!(mine(&rows, &baseline, volume).1, [], "{rate}");
    }
    assert_eq!(mine(&[], &baseline, FLOOD).1, []);
    assert_eq!(mine(&rows, &[], FLOOD).1, [], "no contrast without ordinary clients");
    let unknown = [Attributes::default(); 600];
    assert_eq!(mine(&unknown, &unknown, FLOOD).1, []);
    assert_eq!(mine(&rows, &unknown, FLOOD).1, []);
    let odd = Volume { now_per_s: 500.0, expected_per_s: f64::NAN };
    assert_eq!(mine(&rows, &baseline, odd).1.len(), 1);
}

#[test]
fn an_attack_below_what_was_expected_is_still_seen() {
    // A quiet hour: less than ever, and a fifth of it is a tool.
    let mut dice = Dice(61);
    let baseline = readers(&mut dice, Miner::MAX_BASELINE);
    let mut now = readers(&mut dice, 2_000);
    now.extend((0..500).map(|_| with(reader(&mut dice), &[(A::Ja4, 999)])));
    let (mined, found) = mine(&now, &baseline, Volume { now_per_s: 40.0, expected_per_s: 50.0 });
    assert_eq!((found.len(), found[0].evidence.sample_hits), (1, 500));
    assert!((found[0].evidence.matched_per_s - 8.0).abs() < 1e-9 && mined.coverage == 1.0);
}

/// Rows over a small alphabet, in which a conjunction of up to four values is planted at random.
fn scramble(dice: &mut Dice) -> (Vec<Attributes>, Vec<Attributes>) {
    let planted: Vec<_> = (0..dice.roll(4) + 1).map(|_| A::ALL[dice.roll(15) as usize]).collect();
    let row = |dice: &mut Dice| {
        let values = A::ALL.map(|_| dice.skewed(12));
        Attributes::from_values(values)
    };
    let baseline: Vec<_> = (0..300 + dice.roll(1_500)).map(|_| row(dice)).collect();
    let percent = dice.roll(100);
    let now = (0..50 + dice.roll(700)).map(|_| {
        let mut row = row(dice);
        if dice.roll(100) < percent {
            planted.iter().for_each(|attribute| row.set(*attribute, 4 + dice.roll(2)));
        }
        row
    });
    (now.collect(), baseline)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_found_is_what_a_plain_count_says(seed in any::<u64>()) {
        let (now, baseline) = scramble(&mut Dice(seed));
        let (mined, found) = mine(&now, &baseline, FLOOD);
        assert!((0.0..=1.0).contains(&mined.coverage) && found.len() <= Miner::MAX_CANDIDATES);
        let mut signatures = BTreeSet::new();
        for one in &found {
            let naive = evidence(&one.signature, each(&now), ordinary(&baseline), FLOOD, mined.tried);
            // What all the excess is taken for differs where it is nearly nought; all else is the same.
            let one_evidence = SignatureEvidence { coverage: naive.coverage, ..one.evidence };
            assert_eq!(format!("{one_evidence:?}"), format!("{naive:?}"));
            assert!(one.evidence.coverage >= MIN_GAIN && one.evidence.coverage <= 1.0);
            assert!(one.evidence.ln_p < MAX_LN_P && one.evidence.collateral_upper <= 0.01);
            assert!(one.signature.terms().all(|term| term.value != UNKNOWN));
            assert!(signatures.insert(one.signature), "twice: {one:?}");
        }
    }

    #[test]
    fn the_order_of_rows_means_nothing(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let (mut now, mut baseline) = scramble(&mut dice);
        let mut miner = Miner::new();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mined = miner.mine(each(&now), ordinary(&baseline), FLOOD, &mut first);
        dice.shuffle(&mut now);
        dice.shuffle(&mut baseline);
        assert_eq!(miner.mine(each(&now), ordinary(&baseline), FLOOD, &mut second), mined);
        assert_eq!(first, second);
        assert_eq!(mine(&now, &baseline, FLOOD), (mined, first), "nor does what was mined before");
    }
}
