//! A checker has to be able to fail: a shield that does what none may do, and the row that says so.
//!
//! The shield is the real one with one wrong in front of it. What runs is half a minute of a scenario.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use seawall_model::{
    Attribute, Cause, ConnectionSignal, Instant, Met, Misbehaviour, Mitigation, MitigationId, Rung,
    Signature, Term, WallTime,
};
use seawall_sim::{
    Answer, Answered, Baseline, Effect, Layers, Run, Scenario, Schedule, Seawall, Shield,
    SimRequest, Site, Status, Verdict, Visitor, World, judge,
};

/// What is done wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// Who is on the allow list is refused like anybody else of that look.
    RefusesListed,
    /// A measure blocks all who come through Tor, by a look that is not called Tor.
    BlocksTor,
}

struct Wrongful {
    inner: Seawall,
    wrong: Wrong,
}

const LISTED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const BLOCK: Met = Met { id: MitigationId(900), rung: Rung::Block, is_control: false };

impl Wrongful {
    fn is_wronged(&self, visitor: &Visitor) -> bool {
        match self.wrong {
            Wrong::Nothing => false,
            Wrong::RefusesListed => visitor.client.ip() == LISTED,
            Wrong::BlocksTor => visitor.network.is_tor,
        }
    }
}

impl Shield for Wrongful {
    fn connect(&mut self, now: Instant, visitor: &Visitor, has_ticket: bool) -> Result<(), Cause> {
        self.inner.connect(now, visitor, has_ticket)
    }

    fn remember(&mut self, now: Instant, visitor: &Visitor) {
        self.inner.remember(now, visitor);
    }

    fn is_crowded(&self) -> bool {
        self.inner.is_crowded()
    }

    fn disconnect(&mut self, now: Instant, visitor: &Visitor) {
        self.inner.disconnect(now, visitor);
    }

    fn misbehaved(&mut self, now: Instant, visitor: &Visitor, kind: Misbehaviour) {
        self.inner.misbehaved(now, visitor, kind);
    }

    fn signal(&mut self, signal: ConnectionSignal, count: u32) {
        self.inner.signal(signal, count);
    }

    fn request(&mut self, now: Instant, id: u64, request: &SimRequest<'_>) -> Option<Answered> {
        if self.is_wronged(request.visitor) {
            return Some(Answered {
                answer: Answer::Refused(Cause::SignatureBlock),
                met: Some(BLOCK),
            });
        }
        self.inner.request(now, id, request)
    }

    fn origin_done(&mut self, now: Instant, job: u64) {
        self.inner.origin_done(now, job);
    }

    fn tick(&mut self, now: Instant, wall: WallTime) {
        self.inner.tick(now, wall);
    }

    fn poll(&mut self) -> Option<Effect> {
        self.inner.poll()
    }

    fn status(&self) -> Status {
        let mut status = self.inner.status();
        if self.wrong == Wrong::BlocksTor {
            let look = Term { attribute: Attribute::UserAgent, value: 7 };
            let signature = Signature::new(&[look]).expect("one term is a signature");
            let expires_at = Instant::from_nanos(u64::MAX);
            status.mitigations.push(Mitigation {
                id: BLOCK.id,
                signature,
                rung: BLOCK.rung,
                expires_at,
            });
            status.words.push("somebody's look".to_owned());
        }
        status
    }

    fn learned(&self) -> Vec<u8> {
        self.inner.learned()
    }
}

/// Whether the rows of a scenario that are named so are met, with a shield that does right and one that does not.
#[track_caller]
fn check(scenario: &str, wrong: Wrong, rows: &[&str]) {
    let scenario = Scenario::named(scenario).expect("it is in the list");
    let schedule =
        Schedule { calm_s: 3.0, event_s: 30.0, rest_s: 1.0, ..Schedule::of(scenario, 1.0) };
    let site = Arc::new(Site::new());
    for (wrong, want) in [(Wrong::Nothing, Verdict::Met), (wrong, Verdict::Missed)] {
        let inner = Seawall::new(Arc::clone(&site), Layers::ALL, 0, None);
        let shield = Box::new(Wrongful { inner, wrong });
        let (record, _) = World::new(scenario, schedule, Arc::clone(&site), shield, 0).run();
        let table = judge(scenario, &[Run { seed: 0, record }], Baseline::Empty);
        for name in rows {
            let row = table.iter().find(|row| row.what == *name).expect("a row of the table");
            assert_eq!(row.verdict, want, "{row:?}");
        }
    }
}

#[test]
fn a_block_of_tor_is_seen_whatever_it_is_called() {
    check(
        "A16",
        Wrong::BlocksTor,
        &["not blocked: tor", "blocks of Tor alone", "blocks by a signature"],
    );
}

#[test]
fn a_refusal_of_the_allow_list_is_seen() {
    check("A4", Wrong::RefusesListed, &["refusals of the allow list"]);
}
