//! Repeats what a request is hashed and matched for, to be timed or counted from outside.
//!
//! `count_attributes CASE TIMES`, where CASE is `attributes`, `match` (sixteen mitigations of four terms,
//! none of which matches), `match_last` (the last one does after three terms of each matched) or `nothing`.

use std::env;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use seawall_decide::{Attributer, Exempt, Mitigations, NetworkClass};
use seawall_model::{
    Attribute, BodyLength, ClientAddr, CookieClass, Facts, Fields, Fingerprint, Held, HttpVersion,
    Identity, Instant, Ja4, Method, Mitigation, MitigationId, Rung, Signature, Standing, Term,
};

/// As the HTTP/1 head keeps them.
struct Lines<'a>(&'a [(&'a str, &'a str)]);

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

// What Chrome sends for a page.
const LINES: [(&str, &str); 14] = [
    ("Host", "www.example.org"),
    ("Connection", "keep-alive"),
    ("sec-ch-ua", "\"Not/A)Brand\";v=\"8\", \"Chromium\";v=\"126\", \"Google Chrome\";v=\"126\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("Upgrade-Insecure-Requests", "1"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    ),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-User", "?1"),
    ("Sec-Fetch-Dest", "document"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
];

fn main() {
    let case = env::args().nth(1).unwrap_or_default();
    let times = env::args().nth(2).and_then(|times| times.parse::<u64>().ok()).unwrap_or(1);
    let attributer = Attributer::new([1, 2]);
    let facts = Facts {
        client: ClientAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
        identity: Identity::of_holder(7),
        standing: Standing::Anonymous,
        via_proxy: false,
        fingerprint: Fingerprint {
            ja4: Some(Ja4::new(*b"t13d1516h2_8daaf6152771_e5627efa2ab1")),
            http2_preface: None,
            field_order: Some(7),
        },
        version: HttpVersion::Http11,
        method: Method::Get,
        host: "www.example.org",
        path: b"/2024/05/17/a-day-at-the-harbour/",
        query: Some(b"s=flood&page=2"),
        target_bytes: 46,
        head_bytes: 600,
        field_count: 14,
        body: BodyLength::None,
        cookies: CookieClass::None,
        held: Held::Fresh,
    };
    let network = NetworkClass { asn: Some(64_500), ..NetworkClass::default() };
    let fields: &dyn Fields = &Lines(&LINES);
    let attributes = attributer.of(&facts, fields, network);
    let all: Vec<_> = (0..16u32).map(|id| mitigation(id, &case, &attributes)).collect();
    let mitigations = Mitigations::new(&all, [3, 4]);
    for round in 0..times {
        match case.as_str() {
            "attributes" => {
                black_box(attributer.of(black_box(&facts), black_box(fields), black_box(network)));
            }
            "match" | "match_last" => {
                let attributes = black_box(&attributes);
                let met = mitigations.meet(Instant::from_nanos(1), attributes, round, Exempt::No);
                assert_eq!(black_box(met).is_some(), case == "match_last");
            }
            _ => {
                black_box(round);
            }
        }
    }
}

/// Of four terms. For `match_last` three are those of the request, and of the last one all.
fn mitigation(id: u32, case: &str, attributes: &seawall_model::Attributes) -> Mitigation {
    let four = [Attribute::Ja4, Attribute::FieldOrder, Attribute::Method, Attribute::Path];
    let terms = four.map(|attribute| {
        let is_same = case == "match_last" && (id == 15 || attribute != Attribute::Path);
        let value = attributes.value(attribute).wrapping_add(if is_same { 0 } else { 1 + id });
        Term { attribute, value }
    });
    Mitigation {
        id: MitigationId(id),
        signature: Signature::new(&terms).expect("four terms"),
        rung: Rung::Block,
        // The last one ends first, so it stands last.
        expires_at: Instant::from_nanos(0) + Duration::from_secs(u64::from(100 - id)),
    }
}
