//! The order of the rules at the gates, as cases.

mod common;

use std::net::IpAddr;
use std::time::Duration;

use seawall_decide::{
    Limiters, OriginBudget, RouteBudget, RouteLane, RouteRule, RouteTerms, SiteRules, Table,
    TableSource, Whence, accept_gate, bar_gate, decide, hello_gate, note_misbehaviour, route_gate,
};
use seawall_model::{
    BodyLength, Cause, ClientAddr, Decision, Facts, Fingerprint, Held, HttpVersion, Identity,
    Instant, Ja4, Limits, Method, Misbehaviour, PerSecond, Prefix, Refusal,
};

const READER: &str = "203.0.113.7";
const ALLOWED: &str = "198.51.100.1";
const DENIED: &str = "192.0.2.9";
const PROXY: &str = "203.0.113.200";
const DENIED_JA4: &str = "t13d1516h2_*";
const TOR: &str = "198.18.0.1";

fn limits() -> Limits {
    Limits {
        max_connections: 100,
        max_connections_of_one: 3,
        max_target_bytes: 50,
        max_head_bytes: 1_000,
        max_fields: 10,
        max_body_bytes: 10_000,
        held_rate: PerSecond(2.0),
        held_burst: 3,
        max_clients: 64,
        ..Limits::default()
    }
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().expect("valid prefix")).collect()
}

fn route(path: &str) -> RouteRule {
    RouteRule { path: path.to_owned(), ..RouteRule::default() }
}

fn table() -> Table {
    table_with(limits())
}

fn table_with(limits: Limits) -> Table {
    let admin =
        RouteRule { allow_sources: Some(prefixes(&["203.0.113.128/25"])), ..route("/wp-admin/*") };
    let nobody = RouteRule { allow_sources: Some(Vec::new()), ..route("/xmlrpc.php") };
    let upload = RouteRule {
        methods: vec![Method::Get, Method::Put],
        max_body_bytes: Some(50_000),
        ..route("/upload/*")
    };
    let tiny = RouteRule { max_body_bytes: Some(10), ..route("/search") };
    Table::compile(TableSource {
        // Nested in the denied prefix: the allow list speaks first.
        allow: prefixes(&["198.51.100.1", "192.0.2.1"]),
        deny: prefixes(&["192.0.2.0/24"]),
        trusted_proxies: prefixes(&[PROXY]),
        sites: vec![
            SiteRules { methods: Vec::new(), routes: vec![admin, nobody, upload, tiny] },
            SiteRules { methods: vec![Method::Get, Method::Trace], routes: Vec::new() },
        ],
        deny_ja4: vec![DENIED_JA4.parse().expect("a rule")],
        limits,
        tor_exits: prefixes(&[TOR]),
        crawlers: Vec::new(),
    })
}

fn client(ip: &str) -> ClientAddr {
    ClientAddr::new(ip.parse::<IpAddr>().expect("test address"))
}

fn facts(ip: &str) -> Facts<'static> {
    common::facts(client(ip))
}

fn at_ms(ms: u64) -> Instant {
    Instant::from_nanos(0) + Duration::from_millis(ms)
}

/// Decides on a fresh memory of clients; `want` is status (200: admitted), close and cause.
#[track_caller]
fn check(facts: &Facts<'_>, want: (u16, bool, Cause)) {
    check_at(Some(0), facts, want);
}

#[track_caller]
fn check_at(site: Option<usize>, facts: &Facts<'_>, want: (u16, bool, Cause)) {
    let limiters = Limiters::new(&limits(), [1, 2]);
    let got = match decide(&table(), &limiters, at_ms(0), site, facts) {
        Decision::Admit(cause) => (200, false, cause),
        Decision::Refuse(refusal, cause) => (refusal.status, refusal.close, cause),
    };
    assert_eq!(got, want, "{facts:?}");
}

#[test]
fn without_an_objection_a_request_is_admitted() {
    check(&facts(READER), (200, false, Cause::Default));
    check(&facts(ALLOWED), (200, false, Cause::AllowList));
}

#[test]
fn a_denied_client_is_refused_even_a_page_in_hand() {
    let denied = Facts { held: Held::Fresh, ..facts(DENIED) };
    check(&denied, (403, true, Cause::DenyList));
    check(&Facts { via_proxy: true, ..denied }, (403, false, Cause::DenyList));
    check_at(None, &denied, (403, true, Cause::DenyList));
    check(&facts("192.0.2.1"), (200, false, Cause::AllowList));
}

#[test]
fn an_unknown_host_is_misdirected_for_everyone() {
    for site in [None, Some(2)] {
        check_at(site, &facts(READER), (421, false, Cause::UnknownHost));
        check_at(site, &facts(ALLOWED), (421, false, Cause::UnknownHost));
    }
}

#[test]
fn methods_are_those_of_the_site() {
    let refused = |status| (status, false, Cause::MethodNotAllowed);
    let admitted = (200, false, Cause::Default);
    for (site, method, want) in [
        (0, Method::Post, admitted),
        (0, Method::Extension, admitted),
        (0, Method::Connect, refused(405)),
        (0, Method::Trace, refused(405)),
        (1, Method::Trace, admitted),
        (1, Method::Post, refused(405)),
        (1, Method::Head, refused(405)),
        (1, Method::Extension, refused(501)),
    ] {
        check_at(Some(site), &Facts { method, ..facts(READER) }, want);
    }
    let allowed = Facts { method: Method::Connect, ..facts(ALLOWED) };
    check(&allowed, refused(405));
}

#[test]
fn sizes_beyond_their_limits_are_refused_and_at_their_limits_are_not() {
    let admitted = (200, false, Cause::Default);
    for (extra, status_target, status_head) in [(0, 200, 200), (1, 414, 431)] {
        let cause = |cause| if extra == 0 { Cause::Default } else { cause };
        let target = Facts { target_bytes: 50 + extra, ..facts(READER) };
        check(&target, (status_target, false, cause(Cause::TargetTooLong)));
        let head = Facts { head_bytes: 1_000 + extra, ..facts(READER) };
        check(&head, (status_head, false, cause(Cause::HeadTooLarge)));
        let fields = Facts { field_count: 10 + extra, ..facts(READER) };
        check(&fields, (status_head, false, cause(Cause::HeadTooLarge)));
    }
    let body = |path: &'static str, body| {
        let method = if path == "/upload/x" { Method::Put } else { Method::Post };
        Facts { method, path: path.as_bytes(), body, ..facts(READER) }
    };
    let too_large = (413, true, Cause::BodyTooLarge);
    check(&body("/", BodyLength::Known(10_000)), admitted);
    check(&body("/", BodyLength::Known(10_001)), too_large);
    check(&body("/upload/x", BodyLength::Known(50_000)), admitted);
    check(&body("/upload/x", BodyLength::Known(50_001)), too_large);
    check(&body("/search", BodyLength::Known(11)), too_large);
    check(&body("/search", BodyLength::Unknown), admitted);
    let http2 = Facts { version: HttpVersion::Http2, ..body("/search", BodyLength::Known(11)) };
    check(&http2, (413, false, Cause::BodyTooLarge));
}

#[test]
fn the_first_rule_that_objects_names_the_cause() {
    // Everything is wrong with this one; what is mended, in order, uncovers the next rule.
    let mut facts = Facts {
        method: Method::Connect,
        target_bytes: 51,
        head_bytes: 1_001,
        field_count: 11,
        path: b"/wp-admin/x",
        body: BodyLength::Known(10_001),
        held: Held::Fresh,
        ..facts(DENIED)
    };
    check_at(None, &facts, (403, true, Cause::DenyList));
    facts.client = client(READER);
    check_at(None, &facts, (421, true, Cause::UnknownHost));
    check(&facts, (405, true, Cause::MethodNotAllowed));
    facts.method = Method::Post;
    check(&facts, (414, true, Cause::TargetTooLong));
    facts.target_bytes = 1;
    check(&facts, (431, true, Cause::HeadTooLarge));
    facts.head_bytes = 1;
    check(&facts, (431, true, Cause::HeadTooLarge));
    facts.field_count = 1;
    check(&facts, (403, true, Cause::RouteSource));
    facts.client = client("203.0.113.129");
    check(&facts, (413, true, Cause::BodyTooLarge));
    facts.body = BodyLength::Known(1);
    check(&facts, (200, false, Cause::Default));
}

#[test]
fn a_route_takes_only_its_sources_however_the_path_is_spelled() {
    let refused = (403, false, Cause::RouteSource);
    let long: Vec<u8> = b"/%61/".iter().copied().chain([b'x'; 8_200]).collect();
    for path in [
        "/wp-admin/",
        "/wp-admin/x.php",
        "/wp%2Dadmin/x.php",
        "//wp-admin/x.php",
        "/./wp-admin/x.php",
        "/upload/../wp-admin/x.php",
        "/upload/%2e%2e%2fwp-admin/x.php",
        "/wp-admin/../upload/x",
        "/\\wp-admin\\x.php",
        "/xmlrpc.php",
        "/xmlrpc%2ephp",
    ] {
        let facts = Facts { path: path.as_bytes(), held: Held::Fresh, ..facts(READER) };
        check(&facts, refused);
        check(&Facts { client: client(ALLOWED), ..facts }, (200, false, Cause::AllowList));
    }
    for path in ["/", "/wp-admin", "/wp-content/%C3%A4.png", "/a/../b"] {
        check(&Facts { path: path.as_bytes(), ..facts(READER) }, (200, false, Cause::Default));
    }
    check(&Facts { path: &long, ..facts(READER) }, (414, false, Cause::TargetTooLong));
    let inside = Facts { path: b"/wp-admin/", ..facts("203.0.113.129") };
    check(&inside, (200, false, Cause::Default));
}

#[test]
fn a_route_takes_only_its_methods() {
    let upload = Facts { path: b"/upload/x", ..facts(READER) };
    check(&upload, (200, false, Cause::Default));
    check(&Facts { method: Method::Put, ..upload }, (200, false, Cause::Default));
    let refused = (405, false, Cause::MethodNotAllowed);
    check(&Facts { method: Method::Post, ..upload }, refused);
    check(&Facts { method: Method::Post, path: b"/%75pload/x", ..upload }, refused);
}

#[test]
fn the_holder_of_a_credential_has_a_budget_of_its_own() {
    let (table, limiters) = (table(), Limiters::new(&limits(), [1, 2]));
    let ask = |identity| {
        let facts = Facts { held: Held::Fresh, identity, ..facts(READER) };
        decide(&table, &limiters, at_ms(0), Some(0), &facts).cause()
    };
    let address = Identity::from(client(READER));
    while ask(address) == Cause::Default {}
    assert_eq!(ask(address), Cause::HeldBudget);
    assert_eq!(ask(Identity::of_holder(1)), Cause::Default);
    while ask(Identity::of_holder(1)) == Cause::Default {}
    assert_eq!(ask(Identity::of_holder(2)), Cause::Default);
}

#[test]
fn held_pages_are_refused_only_beyond_the_budget_and_come_back_in_time() {
    let (table, limiters) = (table(), Limiters::new(&limits(), [1, 2]));
    let ask = |ms, ip: &str, held| {
        decide(&table, &limiters, at_ms(ms), Some(0), &Facts { held, ..facts(ip) })
    };
    let admitted = Decision::Admit(Cause::Default);
    for held in [Held::Fresh, Held::Stale, Held::Archived] {
        assert_eq!(ask(1_000, READER, held), admitted);
    }
    let later = Refusal { status: 429, retry_after: Some(Duration::from_secs(1)), close: false };
    let refused = Decision::Refuse(later, Cause::HeldBudget);
    assert_eq!(ask(1_000, READER, Held::Fresh), refused, "burst of three is spent");
    assert_eq!(ask(1_499, READER, Held::Fresh), refused, "two a second");
    assert_eq!(ask(1_500, READER, Held::Fresh), admitted);
    assert_eq!(ask(1_500, READER, Held::Fresh), refused);
    assert_eq!(ask(1_500, READER, Held::No), admitted, "the budget is for held pages");
    assert_eq!(ask(1_500, "203.0.113.8", Held::Fresh), admitted, "each identity has its own");
    for _ in 0..100 {
        let allowed = ask(1_500, ALLOWED, Held::Fresh);
        assert_eq!(allowed, Decision::Admit(Cause::AllowList));
    }
}

/// What the routes of a WordPress say of `path`.
#[track_caller]
fn check_terms(path: &str, lane: RouteLane, budget: Option<u32>) {
    let of = |path: &str, lane, count: Option<u32>| RouteRule {
        lane,
        budget: count.map(|count| RouteBudget { count, per: Duration::from_secs(60) }),
        ..route(path)
    };
    let routes = vec![
        of("/wp-cron.php*", RouteLane::Background, None),
        of("/wp-login.php*", RouteLane::Normal, Some(20)),
        of("/wp-admin/admin-ajax.php*", RouteLane::Costly, Some(120)),
        of("/live/*", RouteLane::Stream, None),
        of("/*", RouteLane::Normal, None),
    ];
    let sites = vec![SiteRules { methods: Vec::new(), routes }];
    let table = Table::compile(TableSource { sites, ..TableSource::default() });
    let terms = table.route_terms(0, path.as_bytes());
    assert_eq!(terms.lane, lane, "{path}");
    assert_eq!(terms.budget.map(|(_, budget)| budget.count), budget, "{path}");
    assert_eq!(table.route_terms(1, path.as_bytes()), RouteTerms::default());
}

#[test]
fn lane_and_budget_hold_for_every_spelling_of_a_path() {
    check_terms("/", RouteLane::Normal, None);
    check_terms("/wp-cron.php", RouteLane::Background, None);
    for path in
        ["/wp-login.php", "//wp-login.php", "/a/../wp%2dlogin.php/x", "/live/../wp-login.php"]
    {
        let lane = if path.starts_with("/live/") { RouteLane::Stream } else { RouteLane::Normal };
        check_terms(path, lane, Some(20));
    }
    check_terms("/wp-admin/admin-ajax.php", RouteLane::Costly, Some(120));
    // Of two readings the tighter one: nothing is won by dressing up as a stream.
    check_terms("/live/../wp-admin/admin-ajax.php", RouteLane::Costly, Some(120));
    check_terms("/live/../wp-cron.php", RouteLane::Background, None);
}

#[test]
fn a_spent_budget_of_a_route_refuses_what_the_origin_would_have_to_do_and_no_page_in_hand() {
    let budgets = OriginBudget::new(&Limits { max_route_budgets: 8, ..limits() }, [1, 2]);
    let budget = RouteBudget { count: 2, per: Duration::from_secs(1) };
    let terms = RouteTerms { budget: Some((1, budget)), ..RouteTerms::default() };
    let ask = |ms, held| {
        let facts = Facts { held, body: BodyLength::Known(10), ..facts(READER) };
        let from = Whence { client: facts.client, asn: None };
        route_gate(&budgets, at_ms(ms), terms, from, &facts)
    };
    let admitted = Decision::Admit(Cause::Default);
    assert_eq!((ask(0, Held::No), ask(0, Held::No)), (admitted, admitted));
    let wait = Refusal { status: 429, retry_after: Some(Duration::from_secs(1)), close: true };
    assert_eq!(ask(0, Held::No), Decision::Refuse(wait, Cause::RouteBudget));
    assert_eq!((ask(0, Held::Fresh), ask(0, Held::Stale)), (admitted, admitted));
    assert_eq!(ask(500, Held::No), admitted);
}

#[test]
fn connections_are_bounded_in_all_and_per_identity() {
    let (table, limiters) = (table(), Limiters::new(&limits(), [1, 2]));
    let accept = |ip: &str, open| accept_gate(&table, &limiters, at_ms(0), client(ip), open);
    let closed =
        |cause| Decision::Refuse(Refusal { status: 0, retry_after: None, close: true }, cause);
    assert_eq!(accept(DENIED, 0), closed(Cause::DenyList));
    assert_eq!(accept(READER, 99), Decision::Admit(Cause::Default));
    assert_eq!(accept(READER, 100), closed(Cause::TooManyConnections));
    assert_eq!(accept(ALLOWED, 100), Decision::Admit(Cause::AllowList));

    for ip in [READER, PROXY] {
        for open in 1..=3 {
            assert_eq!(accept(ip, 0), Decision::Admit(Cause::Default));
            assert_eq!(limiters.connection_opened(at_ms(0), client(ip)), open);
        }
    }
    assert_eq!(accept(READER, 0), closed(Cause::TooManyConnectionsOfOne));
    assert_eq!(accept(PROXY, 0), Decision::Admit(Cause::Default), "it carries many clients");
    assert_eq!(accept("203.0.113.8", 0), Decision::Admit(Cause::Default));
    limiters.connection_closed(at_ms(0), client(READER));
    assert_eq!(accept(READER, 0), Decision::Admit(Cause::Default));
}

#[test]
fn the_hello_gate_asks_the_lists_again() {
    let (table, limiters) = (table(), Limiters::new(&limits(), [1, 2]));
    let hello =
        |ip: &str| hello_gate(&table, &limiters, at_ms(0), client(ip), &Fingerprint::default());
    assert_eq!(hello(READER), Decision::Admit(Cause::Default));
    assert_eq!(hello(ALLOWED), Decision::Admit(Cause::AllowList));
    assert_eq!(hello(DENIED).cause(), Cause::DenyList);
}

#[test]
fn connections_of_a_prefix_are_bounded_except_those_of_a_proxy() {
    let limits = Limits { max_connections_of_prefix: 2, ..limits() };
    let (table, limiters) = (table_with(limits.clone()), Limiters::new(&limits, [1, 2]));
    let gate = |ip| accept_gate(&table, &limiters, at_ms(0), client(ip), 0).cause();
    limiters.connection_opened(at_ms(0), client("203.0.113.1"));
    assert_eq!(gate(READER), Cause::Default);
    limiters.connection_opened(at_ms(0), client("203.0.113.2"));
    assert_eq!(gate(READER), Cause::TooManyConnectionsOfPrefix);
    assert_eq!(gate("203.0.114.7"), Cause::Default, "another prefix");
    assert_eq!(gate(PROXY), Cause::Default);
    limiters.connection_closed(at_ms(0), client("203.0.113.1"));
    assert_eq!(gate(READER), Cause::Default);
}

/// The cause at the accept gate after `floods` of frames by `ip`, where so many readers are known.
fn after_floods(ip: &str, floods: u32, readers: u32) -> Cause {
    let (table, limiters) = (table(), Limiters::new(&limits(), [1, 2]));
    for _ in 0..floods {
        let kind = Misbehaviour::Http2Resets;
        note_misbehaviour(&table, &limiters, at_ms(0), client(ip), kind, readers);
    }
    assert_eq!(
        bar_gate(&table, &limiters, at_ms(0), client(ip)) == Decision::Admit(Cause::Default),
        accept_gate(&table, &limiters, at_ms(0), client(ip), 0).cause() != Cause::RepeatOffender,
        "a client named by a PROXY header fares as one that connects"
    );
    accept_gate(&table, &limiters, at_ms(0), client(ip), 0).cause()
}

#[test]
fn offenders_are_barred_by_what_they_did_and_how_many_share_their_address() {
    let barred = Cause::RepeatOffender;
    for (ip, floods, readers, want) in [
        (READER, 3, 0, Cause::Default),
        (READER, 4, 0, barred),
        (READER, 4, 1, barred),
        // Ten readers behind one address may do as much as ten.
        (READER, 4, 10, Cause::Default),
        (READER, 34, 10, barred),
        (TOR, 213, 0, Cause::Default),
        (TOR, 214, 0, barred),
        (ALLOWED, 1_000, 0, Cause::AllowList),
        (PROXY, 1_000, 0, Cause::Default),
    ] {
        assert_eq!(after_floods(ip, floods, readers), want, "{ip}: {floods} at {readers}");
    }
}

#[test]
fn a_denied_fingerprint_is_refused_at_the_hello_except_a_proxys() {
    let limiters = Limiters::new(&limits(), [1, 2]);
    let gate = |ip, ja4: &str| {
        let ja4 = Ja4::new(*ja4.as_bytes().first_chunk().expect("36 bytes"));
        let fingerprint = Fingerprint { ja4: Some(ja4), ..Fingerprint::default() };
        hello_gate(&table(), &limiters, at_ms(0), client(ip), &fingerprint).cause()
    };
    let denied = "t13d1516h2_8daaf6152771_e5627efa2ab1";
    assert_eq!(gate(READER, denied), Cause::DenyFingerprint);
    assert_eq!(gate(READER, "t13d1517h2_8daaf6152771_e5627efa2ab1"), Cause::Default);
    assert_eq!(gate(ALLOWED, denied), Cause::AllowList);
    assert_eq!(gate(PROXY, denied), Cause::Default, "it would be the proxy's own");
}
