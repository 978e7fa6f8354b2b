use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use seawall_edge::cdn_hint::{CdnHint, CdnProduct, CdnSampler, CdnWarning, Forwarded};
use seawall_model::{Fields, Instant};

const CARRIED: Forwarded = Forwarded { present: true, product: None };
const DIRECT: Forwarded = Forwarded { present: false, product: None };
const CLOUDFLARE: Forwarded = Forwarded { present: true, product: Some(CdnProduct::Cloudflare) };

fn at(second: u64) -> Instant {
    Instant::from_nanos((second + 1) * 1_000_000_000)
}

/// The `n`th /24.
fn peer(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0xcb00_0001 + (n << 8)))
}

/// `count` requests, `percent` of them forwarded by `peers` peers in turn, the others direct from
/// 200 networks. Returns the warnings.
fn feed(
    hint: &mut CdnHint,
    now: Instant,
    count: u32,
    (percent, peers, what): (u32, u32, Forwarded),
) -> Vec<CdnWarning> {
    let mut warnings = Vec::new();
    for n in 0..count {
        let (ip, fields) = if n % 100 < percent {
            (peer(n % peers), what)
        } else {
            (peer(1_000 + n % 200), DIRECT)
        };
        warnings.extend(hint.observe(now, ip, fields));
    }
    warnings
}

#[track_caller]
fn check_first_window(traffic: (u32, u32, Forwarded), suspects: bool) {
    let mut hint = CdnHint::new();
    let warnings = feed(&mut hint, at(0), 200, traffic);
    assert_eq!((hint.suspects(), warnings.len()), (suspects, usize::from(suspects)), "{traffic:?}");
}

#[test]
fn most_requests_from_few_forwarding_peers_are_suspect() {
    check_first_window((100, 1, CARRIED), true);
    check_first_window((60, 64, CARRIED), true);
    check_first_window((59, 1, CARRIED), false);
    check_first_window((100, 65, CARRIED), false);
    check_first_window((0, 1, CARRIED), false);
}

#[test]
fn only_the_forwarding_peers_are_suspect() {
    let mut hint = CdnHint::new();
    feed(&mut hint, at(0), 200, (80, 2, CARRIED));
    assert!(hint.is_suspect(peer(0)) && hint.is_suspect(peer(1)));
    assert!(!hint.is_suspect(peer(1_000)));
}

#[test]
fn the_product_is_named() {
    let mut hint = CdnHint::new();
    let warnings = feed(&mut hint, at(0), 200, (100, 4, CLOUDFLARE));
    let text = warnings[0].to_string();
    assert!(text.contains("100 % of requests") && text.contains("looks like Cloudflare"), "{text}");
    assert!(text.contains("`network.trusted_proxies`"), "{text}");
    assert_eq!(hint.product(), Some(CdnProduct::Cloudflare));
}

#[test]
fn warning_comes_once_an_hour() {
    let mut hint = CdnHint::new();
    let traffic = (100, 4, CARRIED);
    assert_eq!(feed(&mut hint, at(0), 200, traffic).len(), 1);
    assert_eq!(feed(&mut hint, at(3_599), 4_000, traffic).len(), 0);
    assert_eq!(feed(&mut hint, at(3_600), 4_000, traffic).len(), 1);
}

#[test]
fn a_forger_cannot_lift_limits_where_readers_come_directly() {
    let mut hint = CdnHint::new();
    feed(&mut hint, at(0), 200, (0, 1, CARRIED));
    let warnings = feed(&mut hint, at(10), 2_000, (100, 4, CARRIED));
    assert!(!hint.suspects());
    assert!(!warnings[0].limits_suspended);
    assert!(warnings[0].to_string().contains("limits per address stay"));
    feed(&mut hint, at(3_700), 2_000, (100, 4, CARRIED));
    assert!(hint.suspects(), "after an hour without direct readers it is the truth");
}

#[test]
fn suspicion_ends_when_traffic_comes_directly_again() {
    let mut hint = CdnHint::new();
    feed(&mut hint, at(0), 200, (100, 4, CARRIED));
    assert!(hint.suspects());
    feed(&mut hint, at(60), 2_000, (10, 4, CARRIED));
    assert!(!hint.suspects() && !hint.is_suspect(peer(0)));
}

struct Map(HashMap<&'static str, &'static str>);

impl Fields for Map {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        self.0.get(name).into_iter().for_each(|value| visit(value.as_bytes()));
    }
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|value| value.as_bytes())
    }
}

#[test]
fn products_are_told_by_their_fields() {
    use CdnProduct::{Bunny, CloudFront, Cloudflare, Fastly, GoogleCloud};
    for (name, value, present, product) in [
        ("cf-connecting-ip", "192.0.2.1", true, Some(Cloudflare)),
        ("x-amz-cf-id", "abc", true, Some(CloudFront)),
        ("cdn-loop", "Fastly; 1.0", true, Some(Fastly)),
        ("cdn-loop", "BunnyCDN", true, Some(Bunny)),
        ("via", "1.1 google", true, Some(GoogleCloud)),
        ("via", "1.1 squid", true, None),
        ("forwarded", "for=192.0.2.1", true, None),
        ("x-forwarded-for", "192.0.2.1", true, None),
        ("user-agent", "cloudflare", false, None),
    ] {
        let got = Forwarded::from_fields(&Map(HashMap::from([(name, value)])));
        assert_eq!(got, Forwarded { present, product }, "{name}: {value}");
    }
}

#[test]
fn sampler_lets_two_hundred_a_second_through() {
    let mut sampler = CdnSampler::default();
    let start = at(0);
    let shown =
        (0..100_000u64).filter(|n| sampler.samples(start + Duration::from_micros(n * 10))).count();
    assert_eq!(shown, 200);
}
