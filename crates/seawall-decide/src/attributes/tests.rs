//! Claims about values of attributes and their words. Separate because a test needs a request first.

use core::net::IpAddr;

use std::format;
use std::string::{String, ToString as _};

use proptest::prelude::*;
use seawall_model::{
    Attribute, Attributes, BodyLength, ClientAddr, CookieClass, Country, Facts, Fields,
    Fingerprint, Held, HttpVersion, Identity, Ja4, Method, Standing, UNKNOWN,
};

use super::{Attributer, Known, MAX_WORDS_BYTES, NetworkClass};

/// Field lines as they came.
pub(crate) struct Lines<'a>(pub(crate) &'a [(&'a str, &'a str)]);

impl Fields for Lines<'_> {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)) {
            visit(value.as_bytes());
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_bytes())
    }
}

const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0";
const LINES: [(&str, &str); 6] = [
    ("Host", "example.org"),
    ("User-Agent", FIREFOX),
    ("Accept", "text/html,*/*;q=0.8"),
    ("Accept-Language", "de-AT,de;q=0.9"),
    ("Accept-Encoding", "gzip, br"),
    ("Sec-Fetch-Mode", "navigate"),
];

fn attributer() -> Attributer {
    Attributer::new([1, 2])
}

fn network() -> NetworkClass {
    NetworkClass { asn: Some(64_500), country: Country::new("AT"), is_tor: false }
}

fn facts<'a>(path: &'a str, query: Option<&'a str>) -> Facts<'a> {
    let client = ClientAddr::new(IpAddr::from([192, 0, 2, 77]));
    Facts {
        client,
        identity: client.into(),
        standing: Standing::Anonymous,
        via_proxy: false,
        fingerprint: Fingerprint {
            ja4: Some(Ja4::new(*b"t13d1516h2_8daaf6152771_e5627efa2ab1")),
            http2_preface: Some(7),
            field_order: Some(9),
        },
        version: HttpVersion::Http2,
        method: Method::Get,
        host: "example.org",
        path: path.as_bytes(),
        query: query.map(str::as_bytes),
        target_bytes: path.len(),
        head_bytes: 300,
        field_count: 9,
        body: BodyLength::None,
        cookies: CookieClass::None,
        held: Held::No,
    }
}

fn of(facts: &Facts<'_>) -> Attributes {
    attributer().of(facts, &Lines(&LINES), network())
}

fn words(attribute: Attribute, facts: &Facts<'_>) -> String {
    attributer().words(attribute, facts, &Lines(&LINES), network()).to_string()
}

/// The attributes in which two requests differ.
#[track_caller]
fn check_differs(a: &Facts<'_>, b: &Facts<'_>, want: &[Attribute]) {
    let (a, b) = (of(a), of(b));
    let differ = Attribute::ALL.into_iter().filter(|one| a.value(*one) != b.value(*one));
    assert!(differ.clone().eq(want.iter().copied()), "{:?}", differ.collect::<std::vec::Vec<_>>());
}

#[test]
fn each_attribute_depends_on_its_part_of_a_request_alone() {
    let plain = facts("/search", None);
    assert_eq!(of(&plain).known().count(), Attribute::COUNT);
    check_differs(&plain, &facts("/tag", None), &[Attribute::Path]);
    check_differs(&plain, &facts("/search", Some("s=flood")), &[Attribute::Query]);
    check_differs(&plain, &facts("/search", Some("")), &[]);
    check_differs(&plain, &Facts { method: Method::Post, ..plain }, &[Attribute::Method]);
    check_differs(&plain, &Facts { field_count: 3, ..plain }, &[Attribute::FieldCount]);
    check_differs(&plain, &Facts { field_count: 8, ..plain }, &[]);
    let personal = Facts { cookies: CookieClass::Personal, ..plain };
    check_differs(&plain, &personal, &[Attribute::Cookie]);
    let vouched = Facts { standing: Standing::SignedIn, ..personal };
    check_differs(&personal, &vouched, &[Attribute::Cookie]);
    let reader = Facts { identity: Identity::of_holder(7), ..plain };
    check_differs(&plain, &reader, &[Attribute::Cookie]);
    let aged = Facts { standing: Standing::AgedReader, ..reader };
    check_differs(&reader, &aged, &[Attribute::Cookie]);
    let plain_text = Facts { fingerprint: Fingerprint::default(), ..plain };
    check_differs(
        &plain,
        &plain_text,
        &[
            Attribute::Ja4,
            Attribute::Http2Preface,
            Attribute::FieldOrder,
            // Fetch metadata over plain HTTP.
            Attribute::Consistency,
        ],
    );
    let address = |ip: [u8; 4]| Facts { client: ClientAddr::new(IpAddr::from(ip)), ..plain };
    check_differs(&plain, &address([192, 0, 2, 1]), &[]);
    check_differs(&plain, &address([192, 0, 3, 1]), &[Attribute::Prefix]);
}

#[test]
fn behind_a_trusted_proxy_what_is_the_proxys_is_unknown() {
    let plain = facts("/", None);
    let behind = of(&Facts { via_proxy: true, ..plain });
    for attribute in [Attribute::Ja4, Attribute::Http2Preface, Attribute::FieldOrder] {
        assert_eq!(behind.value(attribute), UNKNOWN, "{attribute:?}");
    }
    assert_eq!(behind.known().count(), Attribute::COUNT - 3);
    let http1 = Facts { via_proxy: true, version: HttpVersion::Http11, ..plain };
    assert_eq!(of(&http1).value(Attribute::Method), behind.value(Attribute::Method));
}

#[test]
fn what_a_log_does_not_tell_is_unknown_and_not_absent() {
    let known = Known::NONE.with(Attribute::Path).with(Attribute::UserAgent);
    let got = attributer().of_known(&facts("/", None), &Lines(&[]), network(), known);
    let whole = attributer().of(&facts("/", None), &Lines(&[]), network());
    for attribute in Attribute::ALL {
        let want = if known.has(attribute) { whole.value(attribute) } else { UNKNOWN };
        assert_eq!(got.value(attribute), want, "{attribute:?}");
    }
    assert_ne!(whole.value(Attribute::UserAgent), UNKNOWN, "absence is a value");
    let nowhere = attributer().of(&facts("/", None), &Lines(&[]), NetworkClass::default());
    assert_eq!(nowhere.value(Attribute::Network), UNKNOWN);
}

#[test]
fn values_depend_on_the_seed() {
    let other = Attributer::new([1, 3]).of(&facts("/", None), &Lines(&LINES), network());
    for attribute in Attribute::ALL {
        assert_ne!(other.value(attribute), of(&facts("/", None)).value(attribute));
    }
}

#[test]
fn values_are_the_same_in_every_release() {
    // They are kept with the baseline: a change here makes every installation learn anew, and is made on purpose.
    let got = of(&facts("/2024/a8Xk2mQz", Some("s=flood&page=2")));
    let golden = format!("{:08x?}", Attribute::ALL.map(|attribute| got.value(attribute)));
    assert_eq!(golden, GOLDEN);
}

const GOLDEN: &str = "[5d4074c7, cc0ea572, 6b3b69de, 902580cb, 64fcc520, 869cf80d, 65adcbbd, 871f0784, 4e68a06e, 3e0e88c3, 5433e31b, d99d2a89, ed278fce, 28ce650a, 2eee2e64]";

#[test]
fn words_say_what_a_value_is() {
    let search = facts("/search", Some("q=secret&page=2"));
    for (attribute, want) in [
        (Attribute::Ja4, "JA4 t13d1516h2_8daaf6152771_e5627efa2ab1"),
        (Attribute::Http2Preface, "HTTP/2 preface 00000007"),
        (Attribute::FieldOrder, "field order 00000009"),
        (Attribute::FieldCount, "7 to 9 fields"),
        (Attribute::UserAgentFamily, "Firefox 128"),
        (Attribute::UserAgent, &format!("user agent {FIREFOX}")),
        (Attribute::AcceptLanguage, "languages de-AT,de;q=0.9"),
        (Attribute::Accept, "accepts text/html,*/*;q=0.8 in gzip, br"),
        (Attribute::Consistency, "consistency 3 of 3"),
        (Attribute::Cookie, "no cookie"),
        (Attribute::Method, "GET over HTTP/2"),
        (Attribute::Path, "path template /search"),
        (Attribute::Query, "query keys page (number), q (word)"),
        (Attribute::Network, "network AS64500 in AT"),
        (Attribute::Prefix, "addresses 192.0.2.0/24"),
    ] {
        assert_eq!(words(attribute, &search), want);
    }
    assert_eq!(words(Attribute::Query, &facts("/", None)), "no query");
    let path = |path| words(Attribute::Path, &facts(path, None));
    assert_eq!(path("/"), "path template /");
    assert_eq!(path("/2024/05/a8Xk2mQz.html"), "path template /{n}/{n}/{random}.html");
    assert_eq!(path("/o/123e4567-e89b-12d3-a456-426614174000"), "path template /o/{id}");
}

#[test]
fn words_hold_nothing_personal() {
    let secret = "EQAdYb7k2mQzA8Xk2mQzEQAdYb7k2mQzA8Xk2mQzEQAdYb7k2mQzA8Xk";
    let path = format!("/.seawall/pass/{secret}");
    assert_eq!(
        words(Attribute::Path, &facts(&path, None)),
        "path template /.seawall/pass/{random}"
    );
    for path in ["/u/ann@example.org", "/u/ann%40example.org"] {
        assert_eq!(words(Attribute::Path, &facts(path, None)), "path template /u/{other}");
    }
    let query = Some("mail=ann@example.org&bob@example.org&token=t0ps3cret");
    let text = words(Attribute::Query, &facts("/", query));
    assert_eq!(text, "query keys {other} (empty), mail (text), token (mixed), varied");
    let bare = words(Attribute::Query, &facts("/", Some("a-secret-word&page=1")));
    assert_eq!(bare, "query keys {other} (empty), page (number)");
    let empty = words(Attribute::Query, &facts("/", Some("s=&page=1")));
    assert_eq!(empty, "query keys page (number), s (empty)");
    let cookies = [("cookie", "session=t0ps3cret")];
    let kept =
        attributer().words(Attribute::Cookie, &facts("/", None), &Lines(&cookies), network());
    assert_eq!(kept.as_str(), "harmless cookies");
}

proptest! {
    #[test]
    fn whatever_comes_has_fifteen_values_and_bounded_words(
        path in ".{0,300}", query in proptest::option::of(".{0,300}"), field in ".{0,300}", count in 0usize..500,
    ) {
        let facts = Facts { field_count: count, ..facts(&path, query.as_deref()) };
        let lines = ["user-agent", "accept", "accept-language", "sec-ch-ua"].map(|name| (name, field.as_str()));
        let fields = Lines(&lines);
        let attributes = attributer().of(&facts, &fields, network());
        prop_assert_eq!(attributes.known().count(), Attribute::COUNT);
        for attribute in Attribute::ALL {
            let words = attributer().words(attribute, &facts, &fields, network());
            prop_assert!(!words.as_str().is_empty() && words.as_str().len() <= MAX_WORDS_BYTES);
            prop_assert!(!words.as_str().contains(char::is_control));
        }
    }
}
