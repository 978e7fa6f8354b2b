//! The controller in scenes of a few seconds: what detection says goes in, what stands is asked.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;
use seawall_detect::{
    Alarm, Candidate, Channel, Counts, Finding, MitigationCounts, Scale, SignatureEvidence,
    SiteRates, TrafficState, Unsure, Verdict,
};
use seawall_model::{
    Attribute, Instant, MAX_MITIGATIONS, Mitigation, MitigationId, Rung, Signature, Term, WallTime,
};

use crate::{
    Action, ControlEvent, Controller, ControllerConfig, Entry, Mode, OperatorCommand, Probe,
    Refused, Step, Why,
};

mod incident;
mod tested;

const TICK: Duration = Duration::from_millis(250);
const ATTACK: TrafficState = TrafficState::Alarmed(Verdict::Attack);

fn signature(value: u32) -> Signature {
    Signature::new(&[Term { attribute: Attribute::Path, value }]).expect("one term")
}

/// Evidence that bears blocking.
fn strong() -> SignatureEvidence {
    SignatureEvidence {
        matched_per_s: 1_000.0,
        expected_per_s: 1.0,
        coverage: 0.9,
        collateral_upper: 0.000_37,
        refused_upper: 0.000_37,
        baseline_hits: 0,
        baseline_clients: 8_192,
        sample_hits: 1_800,
        sample_rows: 2_000,
        sample_clients: 900,
        ln_p: -500.0,
    }
}

/// What is met of one measure in a tick.
#[derive(Clone, Copy, Default)]
struct Meets {
    matched: u64,
    tests_set: u64,
    tests_passed: u64,
    beyond_budget: u64,
    untested: u64,
    recognised: u64,
    told: u64,
    restless: u64,
    /// Of how many it is not sure yet, and how many of them have gone on.
    unsure: (u32, u32),
}

/// A controller and its time.
struct Scene {
    controller: Controller,
    now: Instant,
    stands: Vec<Mitigation>,
    entries: Vec<Entry>,
    /// Requests per second of the site, of which 200 are ordinary.
    per_s: f64,
    /// What detection thinks of it, from crowd (above 0) to attack.
    log_odds: f64,
}

impl Scene {
    fn new() -> Self {
        let controller = Controller::new(ControllerConfig::default());
        Self {
            controller,
            now: Instant::from_nanos(1),
            stands: Vec::new(),
            entries: Vec::new(),
            per_s: 1_200.0,
            log_odds: 0.0,
        }
    }

    /// One tick in `state`: each of `candidates` is there with its evidence, and all that stands meets
    /// `meets`.
    fn tick(
        &mut self,
        state: TrafficState,
        candidates: &[(u32, SignatureEvidence)],
        meets: Meets,
    ) -> &mut Self {
        self.now = self.now + TICK;
        let wanted: Vec<Signature> = self.controller.signatures_to_check().collect();
        for wanted in wanted {
            let found = candidates.iter().find(|(value, _)| signature(*value) == wanted);
            let nothing =
                SignatureEvidence { matched_per_s: 0.0, sample_hits: 0, coverage: 0.0, ..strong() };
            let evidence = found.map_or(nothing, |(_, evidence)| *evidence);
            let event = ControlEvent::Checked { signature: wanted, evidence };
            self.controller.handle(self.now, event);
        }
        let met = self.stands.iter().map(|stands| MitigationCounts {
            id: stands.id,
            matched: meets.matched,
            tests_set: meets.tests_set,
            tests_passed: meets.tests_passed,
            beyond_budget: meets.beyond_budget,
            untested: meets.untested,
            recognised: meets.recognised,
            told: meets.told,
            restless: meets.restless,
            ..MitigationCounts::default()
        });
        let (told, restless) = meets.unsure;
        let unsure = self.stands.iter().map(|stands| Unsure { id: stands.id, told, restless });
        let finding = Finding {
            at: self.now,
            wall: WallTime::from_unix_secs(1_700_000_000),
            state,
            alarms: vec![Alarm {
                channel: Channel::Requests,
                scale: Scale::Middle,
                observed: self.per_s,
                expected: 200.0,
            }],
            log_odds: self.log_odds,
            counts: Counts { requests: 300, ..Counts::default() },
            met: met.collect(),
            unsure: unsure.collect(),
            rates: SiteRates {
                requests: self.per_s,
                requests_expected: 200.0,
                ..SiteRates::default()
            },
            baseline_clients: 8_192,
            candidates: candidates
                .iter()
                .map(|(value, evidence)| Candidate {
                    signature: signature(*value),
                    evidence: *evidence,
                })
                .collect(),
        };
        self.controller.handle(self.now, ControlEvent::Finding(&finding));
        self.drain();
        self
    }

    fn ticks(
        &mut self,
        seconds: f64,
        state: TrafficState,
        candidates: &[(u32, SignatureEvidence)],
        meets: Meets,
    ) -> &mut Self {
        let mut left = seconds;
        while left > 0.0 {
            self.tick(state, candidates, meets);
            left -= TICK.as_secs_f64();
        }
        self
    }

    fn order(&mut self, command: OperatorCommand) -> &mut Self {
        self.controller.handle(self.now, ControlEvent::Operator(command));
        self.drain();
        self
    }

    fn probe(&mut self, is_served: bool, met: Option<MitigationId>) {
        let probe = Probe { is_served, met };
        self.controller.handle(self.now, ControlEvent::Probed(probe));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.controller.poll_action() {
            match action {
                Action::Publish(stands) => self.stands = stands,
                Action::Record(entry) => self.entries.push(entry),
            }
        }
        assert!(self.stands.len() <= MAX_MITIGATIONS);
    }

    fn rung(&self, value: u32) -> Option<Rung> {
        let found = self.stands.iter().find(|stands| stands.signature == signature(value));
        found.map(|stands| stands.rung)
    }

    fn reasons(&self, value: u32) -> Vec<Why> {
        let why = |entry: &Entry| match entry.step {
            Step::Moved { signature: it, why, .. } if it == signature(value) => Some(why),
            _ => None,
        };
        self.entries.iter().filter_map(why).collect()
    }
}

const UNTESTED: Meets = Meets {
    matched: 250,
    tests_set: 0,
    tests_passed: 0,
    beyond_budget: 0,
    untested: 0,
    recognised: 0,
    told: 0,
    restless: 0,
    unsure: (0, 0),
};
/// A flood of forms that goes on whatever it is told.
const FORMS: Meets = Meets { untested: 240, told: 20, restless: 16, ..UNTESTED };
const TESTED: Meets = Meets { tests_set: 120, ..UNTESTED };

#[test]
fn a_signature_is_demoted_in_the_tick_that_found_it() {
    let mut scene = Scene::new();
    scene.tick(ATTACK, &[(1, strong())], Meets::default());
    assert_eq!(scene.rung(1), Some(Rung::Demote));
}

#[test]
fn it_is_blocked_once_nobody_passes_the_test() {
    let mut scene = Scene::new();
    scene.ticks(1.5, ATTACK, &[(1, strong())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge));
    scene.ticks(1.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    assert_eq!(scene.reasons(1), [Why::Found, Why::Stands, Why::NobodyPasses]);
}

#[test]
fn a_flood_of_held_pages_is_blocked_by_the_budget_of_those() {
    let meets = Meets { matched: 250, beyond_budget: 200, ..Meets::default() };
    let mut scene = Scene::new();
    scene.ticks(6.0, ATTACK, &[(1, strong())], meets);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    assert_eq!(scene.reasons(1).last(), Some(&Why::BeyondBudget));
}

#[test]
fn a_flood_of_forms_is_blocked_if_nobody_in_it_is_recognised_and_it_goes_on() {
    let mut scene = Scene::new();
    scene.ticks(4.0, ATTACK, &[(1, strong())], FORMS);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    assert_eq!(scene.reasons(1).last(), Some(&Why::NoReaders));
    // One in fifty is: who blocks them has to let them in.
    scene.ticks(5.0, ATTACK, &[(1, strong())], Meets { recognised: 5, ..FORMS });
    assert!(scene.rung(1) < Some(Rung::Block));
    assert_eq!(scene.reasons(1).last(), Some(&Why::SomePass));
}

#[test]
fn who_has_gone_on_by_now_counts_before_it_is_sure_what_the_others_do() {
    let rung = |told, unsure| {
        let mut scene = Scene::new();
        let meets = Meets { told, restless: 0, unsure, ..FORMS };
        scene.ticks(4.0, ATTACK, &[(1, strong())], meets);
        scene.rung(1)
    };
    assert_eq!(rung(0, (40, 17)), Some(Rung::Block));
    assert_eq!(rung(0, (40, 16)), Some(Rung::Challenge), "the others may wait");
    assert_eq!(rung(0, (31, 31)), Some(Rung::Challenge), "too few to say so");
    assert_eq!(rung(20, (40, 17)), Some(Rung::Challenge), "with those who have waited");
}

#[test]
fn an_app_that_is_new_is_not_blocked_while_its_people_wait_or_give_up() {
    for restless in [0, 3, 7] {
        let mut scene = Scene::new();
        scene.ticks(60.0, ATTACK, &[(1, strong())], Meets { restless, ..FORMS });
        assert_eq!(scene.rung(1), Some(Rung::Challenge), "{restless} of 20");
    }
    // Nor when it grows beside a flood, whatever it does.
    let small = SignatureEvidence { coverage: 0.2, ..strong() };
    let mut scene = Scene::new();
    scene.ticks(60.0, ATTACK, &[(1, small)], FORMS);
    assert_eq!(scene.rung(1), Some(Rung::Challenge));
}

#[test]
fn forms_that_are_blocked_are_let_off_once_most_who_send_them_wait() {
    let mut scene = Scene::new();
    scene.ticks(4.0, ATTACK, &[(1, strong())], FORMS);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    scene.ticks(10.0, ATTACK, &[(1, strong())], Meets { restless: 6, ..FORMS });
    assert_eq!(scene.rung(1), Some(Rung::Block), "three in ten go on");
    scene.ticks(30.0, ATTACK, &[(1, strong())], Meets { restless: 3, ..FORMS });
    assert_eq!(scene.rung(1), Some(Rung::Challenge));
    assert_eq!(scene.reasons(1).last(), Some(&Why::SomePass));
}

#[test]
fn a_flood_of_forms_is_not_blocked_while_it_may_be_a_crowd() {
    let mixed = TrafficState::Alarmed(Verdict::Mixed);
    let mut scene = Scene::new();
    scene.ticks(20.0, mixed, &[(1, strong())], FORMS);
    assert_eq!(scene.rung(1), Some(Rung::Challenge));
}

#[test]
fn a_few_forms_of_readers_do_not_lift_a_block_that_tests_have_proven() {
    let mut scene = Scene::new();
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    scene.ticks(3.0, ATTACK, &[(1, strong())], Meets { untested: 3, recognised: 3, ..TESTED });
    assert_eq!(scene.rung(1), Some(Rung::Block));
}

#[test]
fn forms_that_readers_send_and_few_among_what_can_be_tested_block_nobody() {
    for meets in [Meets { recognised: 3, ..FORMS }, Meets { untested: 60, ..FORMS }] {
        let mut scene = Scene::new();
        scene.ticks(20.0, ATTACK, &[(1, strong())], meets);
        assert!(scene.rung(1) < Some(Rung::Block));
    }
}

#[test]
fn nothing_is_blocked_without_proof() {
    let mut scene = Scene::new();
    scene.ticks(60.0, ATTACK, &[(1, strong())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge));
}

#[test]
fn nothing_is_blocked_while_the_baseline_is_young() {
    let young = SignatureEvidence { baseline_clients: 2_999, ..strong() };
    let mut scene = Scene::new();
    scene.ticks(60.0, ATTACK, &[(1, young)], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge));
}

#[test]
fn what_may_harm_one_in_a_hundred_is_only_demoted() {
    let broad = SignatureEvidence { collateral_upper: 0.009, ..strong() };
    let mut scene = Scene::new();
    scene.ticks(60.0, ATTACK, &[(1, broad)], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    let worse = SignatureEvidence { collateral_upper: 0.02, ..strong() };
    scene.ticks(1.0, ATTACK, &[(2, worse)], TESTED);
    assert_eq!(scene.rung(2), None);
}

#[test]
fn what_a_handful_of_clients_do_is_only_demoted() {
    let few = SignatureEvidence { sample_clients: 4, ..strong() };
    let mut scene = Scene::new();
    scene.ticks(60.0, ATTACK, &[(1, few)], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    // Once it is of many, it goes on as ever, and comes back when they are few again.
    scene.ticks(10.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    scene.ticks(10.0, ATTACK, &[(1, few)], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
}

#[test]
fn one_in_a_hundred_who_passes_ends_a_block() {
    let mut scene = Scene::new();
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    let some = Meets { tests_passed: 2, ..TESTED };
    scene.ticks(5.0, ATTACK, &[(1, strong())], some);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    assert_eq!(scene.reasons(1)[3..], [Why::SomePass, Why::SomePass]);
    // And it does not climb back soon.
    scene.ticks(60.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    scene.ticks(300.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block));
}

#[test]
fn a_reader_who_is_kept_out_takes_it_back_within_five_seconds() {
    let mut scene = Scene::new();
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    let id = scene.stands[0].id;
    for _ in 0..3 {
        scene.probe(false, Some(id));
        scene.probe(true, None);
        scene.ticks(1.0, ATTACK, &[(1, strong())], UNTESTED);
    }
    assert_ne!(scene.rung(1), Some(Rung::Block));
    assert!(scene.reasons(1).contains(&Why::ReaderHurt));
}

#[test]
fn a_lame_origin_is_not_blamed_on_a_measure() {
    let mut scene = Scene::new();
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    let id = scene.stands[0].id;
    for _ in 0..10 {
        scene.probe(false, Some(id));
        scene.probe(false, None);
        scene.ticks(1.0, ATTACK, &[(1, strong())], TESTED);
    }
    assert_eq!(scene.rung(1), Some(Rung::Block));
}

#[test]
fn a_crowd_is_left_alone() {
    let crowd = TrafficState::Alarmed(Verdict::Crowd);
    let mut scene = Scene::new();
    scene.ticks(10.0, crowd, &[(1, strong())], TESTED);
    assert!(scene.stands.is_empty());
    // What turns out to be one is let go.
    scene.ticks(1.5, ATTACK, &[(1, strong())], UNTESTED);
    scene.ticks(0.5, crowd, &[(1, strong())], UNTESTED);
    assert!(scene.stands.is_empty());
    // Of what was proven, the mildest stays: an attack may hide in a crowd.
    scene.ticks(4.0, ATTACK, &[(2, strong())], TESTED);
    assert_eq!(scene.rung(2), Some(Rung::Block));
    scene.ticks(0.5, crowd, &[(2, strong())], TESTED);
    assert_eq!(scene.rung(2), Some(Rung::Demote));
}

#[test]
fn what_has_ceased_is_let_go_and_comes_back_in_one_tick() {
    let mut scene = Scene::new();
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    for pulse in 0..5 {
        scene.ticks(20.0, ATTACK, &[(9, strong())], UNTESTED);
        assert_eq!(scene.rung(1), None, "pulse {pulse}");
        scene.tick(ATTACK, &[(1, strong()), (9, strong())], TESTED);
        assert_eq!(scene.rung(1), Some(Rung::Block), "pulse {pulse}");
        scene.ticks(10.0, ATTACK, &[(1, strong()), (9, strong())], TESTED);
    }
}

#[test]
fn what_was_proven_is_blocked_again_once_its_evidence_bears_it() {
    let mut scene = Scene::new();
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    scene.ticks(20.0, ATTACK, &[(9, strong())], UNTESTED);
    let few = SignatureEvidence { sample_hits: 150, ..strong() };
    scene.ticks(1.0, ATTACK, &[(1, few), (9, strong())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge), "too few are seen yet");
    // Nobody is tested any more: all who come back have failed before, and are refused for that.
    scene.tick(ATTACK, &[(1, strong()), (9, strong())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    assert_eq!(scene.rung(9), Some(Rung::Challenge), "this one was never proven");
    let stayed = [Why::Found, Why::Stands, Why::NobodyPasses, Why::Ceased, Why::Returned];
    assert_eq!(scene.reasons(1), [stayed.as_slice(), &[Why::Returned]].concat());
}

#[test]
fn where_hardly_anything_is_too_much_nothing_is_done_and_nothing_stays() {
    let mut scene = Scene::new();
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block));
    scene.per_s = 230.0;
    let readers = SignatureEvidence { matched_per_s: 5.0, expected_per_s: 2.0, ..strong() };
    scene.ticks(5.0, ATTACK, &[(1, strong()), (2, readers)], UNTESTED);
    assert_eq!(scene.rung(2), None, "a signature of readers");
    scene.ticks(6.0, ATTACK, &[(1, strong()), (2, readers)], UNTESTED);
    assert!(scene.stands.is_empty());
    assert_eq!(scene.reasons(1).last(), Some(&Why::Ceased));
}

#[test]
fn what_means_less_than_a_request_a_second_more_than_ordinary_has_ceased() {
    let mut scene = Scene::new();
    scene.tick(ATTACK, &[(1, strong())], UNTESTED);
    let little = SignatureEvidence { matched_per_s: 0.9, expected_per_s: 0.0, ..strong() };
    scene.ticks(11.0, ATTACK, &[(1, little)], UNTESTED);
    assert_eq!(scene.reasons(1).last(), Some(&Why::Ceased));
}

#[test]
fn what_found_no_room_does_not_flap() {
    let mut scene = Scene::new();
    // Twenty for sixteen places, and which of them weigh most changes with each tick.
    for tick in 0..40u32 {
        let all: Vec<(u32, SignatureEvidence)> = (1..=20)
            .map(|value| {
                let coverage = f64::from(5 + (value * 7 + tick) % 20) / 100.0;
                (value, SignatureEvidence { coverage, ..strong() })
            })
            .collect();
        scene.tick(ATTACK, &all, UNTESTED);
    }
    let moves: usize = (1..=20).map(|value| scene.reasons(value).len()).sum();
    assert!(moves <= 3 * 20 + 16, "{moves} moves of twenty measures in ten seconds");
}

#[test]
fn what_has_ceased_comes_back_at_once_only_as_an_excess_of_its_own() {
    for (per_s, wanted) in [(30.0, None), (100.0, Some(Rung::Demote))] {
        let mut scene = Scene::new();
        scene.tick(ATTACK, &[(1, strong())], UNTESTED);
        scene.ticks(10.5, ATTACK, &[(9, strong())], UNTESTED);
        assert_eq!(scene.reasons(1).last(), Some(&Why::Ceased));
        let again = SignatureEvidence { matched_per_s: per_s, expected_per_s: 0.0, ..strong() };
        scene.ticks(2.0, ATTACK, &[(1, again), (9, strong())], UNTESTED);
        assert_eq!(scene.rung(1).map(|_| Rung::Demote), wanted, "{per_s}");
        scene.ticks(10.0, ATTACK, &[(1, again), (9, strong())], UNTESTED);
        assert!(scene.rung(1).is_some());
    }
}

#[test]
fn what_was_not_proven_comes_back_demoted() {
    let mut scene = Scene::new();
    scene.ticks(10.0, ATTACK, &[(1, strong())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge));
    scene.ticks(20.0, ATTACK, &[(9, strong())], UNTESTED);
    scene.tick(ATTACK, &[(1, strong())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
}

#[test]
fn evidence_that_fades_takes_the_measure_down() {
    let mut scene = Scene::new();
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    let weaker = SignatureEvidence { collateral_upper: 0.005, ..strong() };
    scene.ticks(4.0, ATTACK, &[(1, weaker)], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    assert_eq!(scene.reasons(1).last(), Some(&Why::Weaker));
}

#[test]
fn what_explains_nothing_is_let_go() {
    let idle = SignatureEvidence { coverage: 0.01, ..strong() };
    let mut scene = Scene::new();
    scene.tick(ATTACK, &[(1, strong())], UNTESTED);
    scene.ticks(4.0, ATTACK, &[(1, idle)], UNTESTED);
    assert_eq!(scene.rung(1), None);
    assert_eq!(scene.reasons(1).last(), Some(&Why::NoEffect));
}

#[test]
fn in_peace_nothing_stands() {
    let mut scene = Scene::new();
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    scene.ticks(60.0, TrafficState::Recovery, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block), "it may come back within a minute");
    scene.tick(TrafficState::Normal, &[], UNTESTED);
    assert!(scene.stands.is_empty());
}

#[test]
fn everything_ends_if_nothing_is_heard_any_more() {
    let mut scene = Scene::new();
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    scene.order(OperatorCommand::Pin {
        signature: signature(2),
        rung: Rung::Demote,
        lasts: Duration::from_secs(3_600),
    });
    assert_eq!(scene.stands.len(), 2);
    let mut timeouts = 0;
    while let Some(at) = scene.controller.poll_timeout() {
        assert!(at >= scene.now);
        scene.now = at;
        scene.controller.handle_timeout(at);
        scene.drain();
        timeouts += 1;
        assert!(timeouts < 10);
    }
    assert!(scene.stands.is_empty());
    assert!(scene.controller.measures().is_empty());
}

#[test]
fn at_most_sixteen_stand_and_the_weightiest_do() {
    let mut scene = Scene::new();
    let of = |value: u32| {
        let coverage = 0.05 + f64::from(value) / 100.0;
        (value, SignatureEvidence { coverage, ..strong() })
    };
    let many: Vec<_> = (1..=40).map(of).collect();
    scene.ticks(2.0, ATTACK, &many, UNTESTED);
    assert_eq!(scene.stands.len(), MAX_MITIGATIONS);
    assert!(scene.rung(40).is_some() && scene.rung(1).is_none());
    // A thousand more do not fill memory.
    for value in 100..1_100 {
        scene.tick(ATTACK, &[(value, strong())], UNTESTED);
    }
    assert!(scene.controller.measures().len() <= 80);
}

#[test]
fn the_operator_has_the_last_word() {
    let mut scene = Scene::new();
    let lasts = Duration::from_secs(600);
    scene.ticks(3.0, ATTACK, &[(1, strong())], TESTED);
    scene.order(OperatorCommand::Veto { signature: signature(1), lasts });
    assert_eq!(scene.rung(1), None);
    scene.ticks(10.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), None);
    scene.order(OperatorCommand::Pin { signature: signature(2), rung: Rung::Challenge, lasts });
    scene.ticks(10.0, TrafficState::Normal, &[], UNTESTED);
    assert_eq!(scene.rung(2), Some(Rung::Challenge));
    // Their time is over.
    scene.ticks(600.0, TrafficState::Normal, &[], UNTESTED);
    assert_eq!(scene.rung(2), None);
    scene.ticks(1.0, ATTACK, &[(1, strong())], TESTED);
    assert!(scene.rung(1).is_some());
}

#[test]
fn orders_that_cannot_be_followed_are_refused() {
    let mut scene = Scene::new();
    let lasts = Duration::from_secs(600);
    let network = Term { attribute: Attribute::Network, value: 1 };
    let country = Signature::new(&[network]).expect("one term");
    scene.order(OperatorCommand::Pin { signature: country, rung: Rung::Block, lasts });
    scene.order(OperatorCommand::Remove(MitigationId(77)));
    for value in 0..20 {
        scene.order(OperatorCommand::Pin {
            signature: signature(1 + value),
            rung: Rung::Demote,
            lasts,
        });
    }
    let refused: Vec<_> = scene
        .entries
        .iter()
        .filter_map(|entry| match entry.step {
            Step::Refused(why) => Some(why),
            _ => None,
        })
        .collect();
    assert_eq!(refused[..2], [Refused::MayNotBlock, Refused::Unknown(MitigationId(77))]);
    assert_eq!(refused[2..], vec![Refused::NoRoom; 8]);
    assert_eq!(scene.stands.len(), 12);
}

#[test]
fn who_only_observes_publishes_nothing_that_acts() {
    let mut scene = Scene::new();
    scene.order(OperatorCommand::SetMode(Mode::Observe));
    scene.ticks(10.0, ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Observe));
    scene.order(OperatorCommand::SetMode(Mode::Act));
    assert_eq!(scene.rung(1), Some(Rung::Block));
}

/// Anything that detection may say.
fn any_state() -> impl Strategy<Value = TrafficState> {
    prop::sample::select(vec![
        TrafficState::Normal,
        TrafficState::Watch,
        TrafficState::Recovery,
        TrafficState::Alarmed(Verdict::Crowd),
        TrafficState::Alarmed(Verdict::Mixed),
        ATTACK,
    ])
}

fn any_evidence() -> impl Strategy<Value = SignatureEvidence> {
    (0.0..2_000.0f64, 0.0..1.0f64, 0.0..0.02f64, 0u32..9_000, 0u32..4_096, -100.0..0.0f64).prop_map(
        |(matched_per_s, coverage, collateral_upper, baseline_clients, sample_hits, ln_p)| {
            SignatureEvidence {
                matched_per_s,
                coverage,
                collateral_upper,
                refused_upper: collateral_upper,
                baseline_clients,
                sample_hits,
                ln_p,
                ..strong()
            }
        },
    )
}

proptest! {
    /// Whatever is said: few stand, all of it ends, a block has a licence and was proven or ordered, and
    /// a crowd meets nothing but demotion.
    #[test]
    fn whatever_is_said_the_rules_hold(
        ticks in prop::collection::vec(
            (any_state(), prop::collection::vec((1u32..30, any_evidence()), 0..4),
             0u64..300, 0u64..300, 0u64..5, 0u64..300),
            1..200,
        )
    ) {
        let mut scene = Scene::new();
        for (state, candidates, matched, tests_set, tests_passed, beyond_budget) in ticks {
            let untested = matched.saturating_sub(tests_set);
            let recognised = tests_passed;
            let (told, restless) = (tests_set, beyond_budget.min(tests_set));
            let unsure = (told.min(99) as u32, restless.min(99) as u32);
            let meets = Meets {
                matched, tests_set, tests_passed, beyond_budget, untested, recognised, told, restless, unsure,
            };
            scene.tick(state, &candidates, meets);
            let measures = scene.controller.measures();
            prop_assert!(measures.len() <= 16 + 64);
            for stands in &scene.stands {
                prop_assert!(stands.expires_at > scene.now);
                prop_assert!(stands.expires_at.saturating_since(scene.now) <= Duration::from_secs(300));
                if state == TrafficState::Alarmed(Verdict::Crowd) {
                    prop_assert!(stands.rung <= Rung::Demote);
                }
                if stands.rung == Rung::Block {
                    let why = scene.entries.iter().any(|entry| matches!(entry.step,
                        Step::Moved { id, why: Why::NobodyPasses | Why::BeyondBudget | Why::NoReaders, .. }
                            if id == stands.id));
                    prop_assert!(why, "blocked without proof");
                }
            }
        }
    }
}
