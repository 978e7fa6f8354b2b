//! Repeats `decide()`, for `cargo xtask bench --instructions` to count its instructions.
//!
//! `count_decide CASE TIMES`, where CASE is `decide` (a held page, admitted) or `refused` (the same for
//! a client beyond the budget of held pages).

use std::env;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use seawall_decide::{Limiters, RouteRule, SiteRules, Table, TableSource, decide};
use seawall_model::{
    BodyLength, Cause, ClientAddr, CookieClass, Decision, Facts, Fingerprint, Held, HttpVersion,
    Identity, Instant, Limits, Method, Standing,
};

fn main() {
    let case = env::args().nth(1).unwrap_or_default();
    let times = env::args().nth(2).and_then(|times| times.parse::<u32>().ok()).unwrap_or(1);
    let limits = Limits { max_clients: 1024, ..Limits::default() };
    let limiters = Limiters::new(&limits, [1, 2]);
    // As in the shipped example for WordPress: two routes that only some addresses may use.
    let routes = ["/wp-admin/*", "/xmlrpc.php"].map(|path| RouteRule {
        path: path.to_owned(),
        allow_sources: Some(vec!["10.0.0.0/8".parse().expect("valid prefix")]),
        ..RouteRule::default()
    });
    let table = Table::compile(TableSource {
        deny: vec!["192.0.2.0/24".parse().expect("valid prefix")],
        sites: vec![SiteRules { methods: Vec::new(), routes: routes.into() }],
        limits,
        ..TableSource::default()
    });
    let facts = Facts {
        client: ClientAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
        identity: Identity::of_holder(7),
        standing: Standing::Anonymous,
        via_proxy: false,
        fingerprint: Fingerprint::default(),
        version: HttpVersion::Http11,
        method: Method::Get,
        host: "www.example.org",
        path: b"/2024/05/a-day-at-the-harbour/",
        query: Some(b"utm_source=feed"),
        target_bytes: 46,
        head_bytes: 600,
        field_count: 15,
        body: BodyLength::None,
        cookies: CookieClass::None,
        held: Held::Fresh,
    };
    let ask = |now| decide(&table, &limiters, now, Some(0), black_box(&facts));
    let start = Instant::from_nanos(0);
    match case.as_str() {
        "decide" => {
            for round in 0..times {
                // 25 a second: within what one reader may ask for, so that every answer is the same.
                let decision = ask(start + Duration::from_millis(40) * round);
                assert!(matches!(black_box(decision), Decision::Admit(_)));
            }
        }
        "refused" => {
            while matches!(ask(start), Decision::Admit(_)) {}
            for _ in 0..times {
                assert!(matches!(black_box(ask(start)), Decision::Refuse(_, Cause::HeldBudget)));
            }
        }
        other => panic!("there is no case `{other}`"),
    }
}
