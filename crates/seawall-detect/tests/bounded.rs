//! What a flood cannot do to a window: make it allocate, grow, slow down or forget the others.

mod common;

use allocation_counter::measure;
use common::{Random, SEED, filled, hashed, new_in_all, page_of, v4, v6};
use seawall_detect::{Composition, Dimension, Level, Sampled, Window};
use seawall_model::{Attribute, ConnectionSignal, Observation};

#[test]
fn observing_and_clearing_allocate_nothing() {
    let mut random = Random(1);
    let mut window = Window::new(SEED);
    let requests: Vec<Observation> = (0..3_000).map(|_| new_in_all(&mut random)).collect();
    let counted = measure(|| {
        for _ in 0..3 {
            for request in &requests {
                if window.observe(request) == Sampled::Yes {
                    for (attribute, value) in request.attributes.known() {
                        if window.wants_words(attribute, value) {
                            window.keep_words(attribute, value, "some words that are long enough");
                        }
                    }
                }
                window.signal(ConnectionSignal::Opened);
            }
            window.clear();
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn adding_to_a_composition_allocates_nothing() {
    let mut random = Random(2);
    let window = filled(&(0..2_000).map(|_| new_in_all(&mut random)).collect::<Vec<_>>());
    let (mut memory, mut now) = (Composition::new(SEED), Composition::new(SEED));
    let counted = measure(|| {
        now.clear();
        now.add(&window);
        memory.decay(0.999);
        memory.add_composition(&now, 1.0);
        let divergence = |attribute: &Attribute| now.divergence(&memory, *attribute, 1.0);
        assert!(Composition::ATTRIBUTES.iter().filter_map(divergence).count() > 0);
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_window_says_how_much_memory_it_takes_and_takes_no_more() {
    let mut random = Random(3);
    let mut window = None;
    let taken = measure(|| window = Some(Window::new(SEED)));
    let mut window = window.expect("just made");
    // Alignment may cost a little.
    let said = window.memory_bytes() as u64 - size_of::<Window>() as u64;
    assert!(taken.bytes_max >= said && taken.bytes_max < said + 16_384, "{said} {taken:?}");
    assert!(window.memory_bytes() < 900 * 1024, "{}", window.memory_bytes());
    for _ in 0..100_000 {
        let _ = window.observe(&new_in_all(&mut random));
    }
    assert_eq!(window.memory_bytes() as u64 - size_of::<Window>() as u64, said);
}

#[test]
fn two_workers_and_what_is_merged_stay_within_twelve_mib() {
    let window = Window::new(SEED).memory_bytes();
    // Two workers with one window in use and one handed over, the merged one, and a second of windows.
    let windows = (2 * 2 + 1 + 4) * window;
    // Now, one second, the excess and ten minutes.
    let compositions = 4 * Composition::new(SEED).heap_bytes();
    let all = windows + compositions;
    assert!(all < 12 * 1024 * 1024, "{all}");
}

#[test]
fn windows_merge_to_the_same_in_any_order() {
    let mut random = Random(4);
    let mut fill = |count| {
        let requests: Vec<Observation> = (0..count)
            .map(|n| if n % 3 == 0 { page_of(v4(n % 50)) } else { new_in_all(&mut random) })
            .collect();
        filled(&requests)
    };
    let (one, other) = (fill(3_000), fill(1_000));
    let (mut ab, mut ba) = (one.clone(), other.clone());
    ab.merge(&other);
    ba.merge(&one);
    assert_eq!(ab.counts(), ba.counts());
    for attribute in Attribute::ALL {
        assert!(ab.top(attribute).eq(ba.top(attribute)), "{attribute:?}");
        assert_eq!(ab.top(attribute).map(|(_, count)| count).sum::<u64>(), 4_000);
    }
    for dimension in Dimension::ALL {
        assert_eq!(ab.distinct(dimension), ba.distinct(dimension));
    }
    let identities = |window: &Window| {
        let mut all: Vec<_> = window.sample().iter().map(|row| row.identity).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(identities(&ab), identities(&ba));
    assert_eq!(ab.sample().len(), Window::MAX_ROWS);
    for n in 0..50 {
        let of = |window: &Window| window.prefixes().estimate(v4(n), Level::Client);
        assert_eq!(of(&ab), of(&ba));
        let prefix = page_of(v4(n)).attributes.value(Attribute::Prefix);
        assert_eq!(ab.spread(prefix), ba.spread(prefix));
    }
}

#[test]
fn a_flood_from_everywhere_leaves_ordinary_readers_in_sight() {
    // 30,000 sources that differ in everything, and 1,500 requests of readers with one browser.
    let mut random = Random(5);
    let mut window = Window::new(SEED);
    for n in 0..31_500 {
        let request = if n % 21 == 0 { page_of(v4(n / 21 % 100)) } else { new_in_all(&mut random) };
        let _ = window.observe(&request);
    }
    let browser = page_of(v4(0)).attributes.value(Attribute::Ja4);
    let got = window.count_of(Attribute::Ja4, browser);
    assert!((1_500..1_700).contains(&got), "{got}");
    assert_eq!(window.top(Attribute::Ja4).next(), Some((browser, got)));
    let clients = window.clients().estimate();
    assert!((clients / 30_100.0 - 1.0).abs() < 0.07, "{clients}");
    // Readers are 4.8 % of the requests, from one /24: 2 % at most, and not nothing.
    let readers =
        window.sample().iter().filter(|row| row.attributes.value(Attribute::Ja4) == browser);
    assert!((5..=10).contains(&readers.count()));
}

#[test]
fn one_slash_48_with_many_addresses_cannot_take_over_the_sample() {
    let mut window = Window::new(SEED);
    for n in 0..20_000_u64 {
        let _ = window.observe(&page_of(v6(0x2001_0db8_0001_0000 | n & 0xffff)));
        if n % 20 == 0 {
            let _ = window.observe(&page_of(v4(hashed(n) as u32)));
        }
    }
    let of_flood = window.sample().iter().filter(|row| row.client.ip().is_ipv6()).count();
    assert_eq!((window.sample().len(), of_flood), (512, 10));
    assert!(window.prefixes().estimate(v6(0x2001_0db8_0001_0000), Level::Block) >= 20_000);
}

#[test]
fn two_workers_draw_differently() {
    let requests: Vec<Observation> = (0..4_000).map(|n| page_of(v4(n << 8))).collect();
    let (one, other) = requests.split_at(2_000);
    let drawn = |requests: &[Observation], first: u32| -> Vec<u32> {
        let window = filled(requests);
        let number = |row: &Observation| match row.client.ip() {
            std::net::IpAddr::V4(ip) => (ip.to_bits() >> 8) - first,
            std::net::IpAddr::V6(_) => unreachable!("only IPv4 was observed"),
        };
        window.sample().iter().map(number).collect()
    };
    let (a, b) = (drawn(one, 0), drawn(other, 2_000));
    let both = a.iter().filter(|number| b.contains(number)).count();
    // 512 of 2,000 twice: 131 by chance.
    assert!((80..190).contains(&both), "{both}");
}
