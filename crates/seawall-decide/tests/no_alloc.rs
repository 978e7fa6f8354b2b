//! The gates that run per connection and per request touch no heap.
//!
//! Method: an allocator that counts per thread; each gate runs over cases that reach every
//! rule, and the count must not move.

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use allocation_counter::measure;
use seawall_decide::{
    Attributer, DEMAND_ONE, Exempt, HandshakeBudget, Hello, Limiters, Mitigations, NetworkClass,
    OriginBudget, RouteRule, SiteRules, Table, TableSource, Whence, accept_gate, decide,
    handshake_gate, held_gate, hello_gate,
};
use seawall_model::{
    Attribute, BodyLength, Cause, ClientAddr, Decision, Facts, Fields, Fingerprint, Held, Identity,
    Instant, Limits, Method, Mitigation, MitigationId, Rung, Signature, Term,
};

fn table(limits: Limits) -> Table {
    let some = |text: &str| vec![text.parse().expect("valid prefix")];
    let routes = ["/wp-admin/*", "/xmlrpc.php"].map(|path| RouteRule {
        path: path.to_owned(),
        allow_sources: Some(some("10.0.0.0/8")),
        ..RouteRule::default()
    });
    Table::compile(TableSource {
        allow: some("198.51.100.0/24"),
        deny: some("192.0.2.0/24"),
        sites: vec![SiteRules { methods: Vec::new(), routes: routes.into() }],
        limits,
        ..TableSource::default()
    })
}

fn cases() -> Vec<Facts<'static>> {
    let base = Facts {
        identity: Identity::of_holder(7),
        query: Some(b"a=b"),
        target_bytes: 5,
        head_bytes: 300,
        field_count: 8,
        held: Held::Fresh,
        ..common::facts(ClientAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))))
    };
    let client = |ip: [u8; 4]| ClientAddr::new(IpAddr::V4(ip.into()));
    vec![
        base,
        Facts { held: Held::No, ..base },
        Facts { client: client([198, 51, 100, 1]), ..base },
        Facts { client: client([192, 0, 2, 1]), ..base },
        Facts { method: Method::Trace, ..base },
        Facts { target_bytes: usize::MAX, ..base },
        Facts { head_bytes: usize::MAX, ..base },
        Facts { field_count: usize::MAX, ..base },
        Facts { body: BodyLength::Known(u64::MAX), ..base },
        Facts { path: b"/wp-admin/", ..base },
        Facts { path: b"/a/..//wp%2dadmin/", ..base },
    ]
}

#[test]
fn gates_and_limiters_allocate_nothing() {
    let limits = Limits { max_clients: 64, ..Limits::default() };
    let limiters = Limiters::new(&limits, [1, 2]);
    let budgets = OriginBudget::new(&limits, [1, 2]);
    let mut handshakes = HandshakeBudget::new(&limits, [1, 2]);
    let (table, cases) = (table(limits), cases());
    let from = Whence { client: cases[0].client, asn: None };
    (0..9).for_each(|reader| budgets.saw_reader(20_000, Identity::of_holder(reader), from));
    let crowded = Facts { identity: from.client.into(), ..cases[0] };
    let mut seen = [false; Cause::ALL.len()];
    let mut note = |decision: Decision| seen[decision.cause().index()] = true;

    let allocated = measure(|| {
        for round in 0..2_000u32 {
            let now = Instant::from_nanos(0) + Duration::from_micros(u64::from(round));
            for facts in &cases {
                for site in [Some(0), None] {
                    note(decide(&table, &limiters, now, site, facts));
                }
            }
            let decided = decide(&table, &limiters, now, Some(0), &crowded);
            let field_order = Some(u64::from(round));
            let fingerprint = Fingerprint { field_order, ..Fingerprint::default() };
            let crowded = Facts { fingerprint, ..crowded };
            note(held_gate((&table, &limiters, &budgets), now, decided, &crowded));
            // More identities than there is room for, so that records are replaced too.
            let passer_by = ClientAddr::new(IpAddr::V4(Ipv4Addr::from_bits(round)));
            note(accept_gate(&table, &limiters, now, passer_by, 0));
            note(hello_gate(&table, &limiters, now, passer_by, &Fingerprint::default()));
            let hello = Hello { client: passer_by, offers_ticket: round % 2 == 0 };
            let by = (&table, &limiters, &budgets);
            let _ = handshake_gate(by, &mut handshakes, now, hello, || false);
            limiters.connection_opened(now, passer_by);
            limiters.note_demand(now, passer_by, DEMAND_ONE);
            limiters.connection_closed(now, passer_by);
        }
    });
    assert_eq!(allocated.count_total, 0);

    for cause in [
        Cause::Default,
        Cause::AllowList,
        Cause::DenyList,
        Cause::UnknownHost,
        Cause::MethodNotAllowed,
        Cause::TargetTooLong,
        Cause::HeadTooLarge,
        Cause::BodyTooLarge,
        Cause::RouteSource,
        Cause::HeldBudget,
    ] {
        assert!(seen[cause.index()], "{cause:?} was reached");
    }
    assert_eq!(measure(|| drop(vec![0u8; 100])).count_total, 1, "the allocator does count");
}

/// One `User-Agent` line.
struct Agent;

impl Fields for Agent {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        self.first(name).into_iter().for_each(visit);
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        (name == "user-agent").then_some(b"Mozilla/5.0 (X11) Gecko/20100101 Firefox/128.0")
    }
}

#[test]
fn looking_at_a_request_allocates_nothing() {
    let attributer = Attributer::new([1, 2]);
    let path = Term { attribute: Attribute::Path, value: 7 };
    let block = Mitigation {
        id: MitigationId(1),
        signature: Signature::new(&[path]).expect("one term"),
        rung: Rung::Block,
        expires_at: Instant::from_nanos(u64::MAX),
    };
    let mitigations = Mitigations::new(&[block], [3, 4]);
    let cases = cases();
    let mut met = 0;
    let allocated = measure(|| {
        for facts in &cases {
            let network = NetworkClass::default();
            let mut attributes = attributer.of(facts, &Agent, network);
            for attribute in Attribute::ALL {
                let words = attributer.words(attribute, facts, &Agent, network);
                assert!(!words.as_str().is_empty());
            }
            attributes.set(Attribute::Path, 7);
            let now = Instant::from_nanos(0);
            met += u32::from(mitigations.meet(now, &attributes, 7, Exempt::No).is_some());
        }
    });
    assert_eq!(allocated.count_total, 0);
    assert!(met > 0);
}
