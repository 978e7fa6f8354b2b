//! A window as those see it who use it.

mod common;

use common::{Random, SEED, filled, new_in_all, page_of, v4, v6};
use seawall_detect::{Dimension, Level, Sampled, Window};
use seawall_model::{
    Attribute, Cause, ConnectionSignal, Met, MitigationId, Observation, Rung, Work,
};

#[test]
fn everything_is_seen_of_a_few_requests() {
    let requests: Vec<Observation> = (0..30).map(|n| page_of(v4(0x0a00_0000 + n))).collect();
    let window = filled(&requests);
    assert_eq!(window.counts().requests, 30);
    assert_eq!(window.sample().len(), 30);
    assert_eq!(window.sampled_of(), 30);
    let path = requests[0].attributes.value(Attribute::Path);
    assert!(window.top(Attribute::Path).eq([(path, 30)]));
    assert_eq!(window.count_of(Attribute::Path, path), 30);
    assert_eq!(window.prefixes().estimate(v4(0x0a00_0003), Level::Client), 1);
    assert_eq!(window.prefixes().estimate(v4(0x0a00_00ff), Level::Block), 30);
    assert_eq!(window.prefixes().estimate(v4(0x0a00_ffff), Level::Wide), 30);
    assert!((window.clients().estimate() - 30.0).abs() < 2.0);
    assert!((window.distinct(Dimension::Blocks).estimate() - 1.0).abs() < 0.1);
}

#[test]
fn a_cleared_window_is_as_new() {
    let mut random = Random(1);
    let mut window = Window::new(SEED);
    for _ in 0..20_000 {
        let observation = new_in_all(&mut random);
        if window.observe(&observation) == Sampled::Yes {
            window.keep_words(Attribute::Path, observation.attributes.value(Attribute::Path), "/");
        }
    }
    window.signal(ConnectionSignal::Opened);
    window.clear();
    assert_eq!(window.counts(), Window::new(SEED).counts());
    assert_eq!((window.sample().len(), window.sampled_of(), window.displaced()), (0, 0, 0));
    assert!(window.words().is_empty());
    for attribute in Attribute::ALL {
        assert_eq!(window.top(attribute).count(), 0);
    }
    for dimension in Dimension::ALL {
        assert_eq!(window.distinct(dimension).estimate(), 0.0);
    }
    let mut again = Random(1);
    for _ in 0..20_000 {
        let client = new_in_all(&mut again).client;
        for level in Level::ALL {
            assert_eq!(window.prefixes().estimate(client, level), 0);
        }
    }
}

#[test]
fn what_is_unknown_is_not_counted_as_a_value() {
    let mut request = page_of(v4(1));
    request.attributes = seawall_model::Attributes::default();
    let window = filled([&request, &request]);
    assert_eq!(window.counts().requests, 2);
    for attribute in Attribute::ALL {
        assert_eq!(window.top(attribute).count(), 0);
    }
    assert_eq!(window.distinct(Dimension::Ja4s).estimate(), 0.0);
    assert!(!window.wants_words(Attribute::Path, seawall_model::UNKNOWN));
}

#[test]
fn merged_windows_hold_what_one_would() {
    let requests: Vec<Observation> =
        (0..400).map(|n| page_of(v6(0x2001_0db8_0000_0000 + (n << 12)))).collect();
    let mut both = filled(&requests[..150]);
    both.merge(&filled(&requests[150..]));
    let one = filled(&requests);
    assert_eq!(both.counts(), one.counts());
    assert_eq!(both.sampled_of(), 400);
    for attribute in Attribute::ALL {
        let total = |window: &Window| window.top(attribute).map(|(_, count)| count).sum::<u64>();
        assert_eq!(total(&both), 400);
        assert_eq!(total(&one), 400);
    }
    for dimension in Dimension::ALL {
        assert_eq!(both.distinct(dimension), one.distinct(dimension));
    }
    for request in &requests {
        for level in Level::ALL {
            let of = |window: &Window| window.prefixes().estimate(request.client, level);
            assert!(of(&both) >= of(&one));
        }
    }
}

#[test]
fn our_own_refusals_are_no_errors_of_the_site() {
    let with = |status, cause, met| Observation { status, cause, met, ..page_of(v4(9)) };
    let met = |rung, is_control| Some(Met { id: MitigationId(1), rung, is_control });
    for (observation, refused, client_errors, server_errors) in [
        (with(404, Cause::Default, None), 0, 1, 0),
        (with(502, Cause::OriginFailed, None), 0, 0, 1),
        (with(404, Cause::Demoted, met(Rung::Demote, false)), 0, 1, 0),
        (with(307, Cause::Challenged, met(Rung::Challenge, false)), 0, 0, 0),
        (with(429, Cause::Challenged, met(Rung::Challenge, false)), 1, 0, 0),
        (with(429, Cause::OriginBudget, None), 1, 0, 0),
        (with(503, Cause::OriginBusy, None), 1, 0, 0),
        (with(0, Cause::TooManyConnections, None), 1, 0, 0),
        (with(200, Cause::OriginBusy, None), 0, 0, 0),
        (with(403, Cause::Default, met(Rung::Block, false)), 1, 0, 0),
        (with(404, Cause::Default, met(Rung::Block, true)), 0, 1, 0),
    ] {
        let counts = *filled([&observation]).counts();
        let got = (counts.refused, counts.client_errors, counts.server_errors);
        assert_eq!(got, (refused, client_errors, server_errors), "{observation:?}");
    }
    let work = Observation { work: Work::Origin { cost_ms: 40 }, ..page_of(v4(9)) };
    assert_eq!(filled([&work, &work]).counts().origin_cost_ms, 80);
}

#[test]
fn words_are_wanted_once() {
    let observation = page_of(v4(1));
    let value = observation.attributes.value(Attribute::Ja4);
    let mut window = filled([&observation]);
    assert!(window.wants_words(Attribute::Ja4, value));
    window.keep_words(Attribute::Ja4, value, "t13d1516h2");
    assert!(!window.wants_words(Attribute::Ja4, value));
    assert!(window.wants_words(Attribute::Path, value), "another attribute is another value");
    let mut other = Window::new(SEED);
    other.merge(&window);
    assert_eq!(other.words().text(Attribute::Ja4, value), Some("t13d1516h2"));
}

#[test]
fn a_prefix_of_many_names_shows() {
    let mut random = Random(3);
    let mut window = Window::new(SEED);
    for n in 0..2_000 {
        let mut scan = page_of(v4(0xc000_0200 | (n % 4)));
        scan.target = random.next() as u32;
        let _ = window.observe(&scan);
        let _ = window.observe(&page_of(v4(0xc633_6400 | (n % 4))));
    }
    let of = |client| {
        let prefix = page_of(client).attributes.value(Attribute::Prefix);
        *window.spread(prefix).expect("a frequent prefix has a place")
    };
    let (scanner, reader) = (of(v4(0xc000_0200)), of(v4(0xc633_6400)));
    assert!(scanner.targets.estimate() > 500.0, "{}", scanner.targets.estimate());
    assert!(reader.targets.estimate() < 2.0);
    assert!(scanner.clients.estimate() < 10.0 && reader.clients.estimate() < 10.0);
}
