//! When an incident begins, and when it is over.

use super::*;
use crate::Incident;

fn closed(scene: &Scene) -> Vec<Incident> {
    let ends = scene.entries.iter().filter_map(|entry| match entry.step {
        Step::Closed(incident) => Some(incident),
        _ => None,
    });
    ends.collect()
}

#[test]
fn an_incident_lasts_from_its_first_alarm_to_the_quiet_after_it() {
    let mut scene = Scene::new();
    scene.ticks(1.0, TrafficState::Watch, &[], UNTESTED);
    assert!(scene.controller.incident().is_none());
    scene.ticks(1.0, TrafficState::Alarmed(Verdict::Mixed), &[(1, strong())], TESTED);
    scene.ticks(2.0, ATTACK, &[(1, strong())], TESTED);
    scene.ticks(60.0, TrafficState::Recovery, &[], UNTESTED);
    assert!(scene.controller.incident().is_some());
    scene.tick(TrafficState::Normal, &[], UNTESTED);
    let [incident] = closed(&scene)[..] else { panic!("{:?}", closed(&scene)) };
    assert_eq!(incident.verdict, Verdict::Attack);
    assert_eq!(incident.until.saturating_since(incident.since), Duration::from_millis(2_750));
    assert_eq!(incident.requests, 300 * (12 + 240 + 1));
    assert!(incident.matched >= 250 * 10 && incident.excess > incident.requests / 2);
    assert!(scene.controller.incident().is_none());
}

#[test]
fn what_rests_comes_back_for_what_is_there_now_and_not_for_what_was_there_last() {
    let mut scene = Scene::new();
    scene.ticks(4.0, ATTACK, &[(1, strong())], TESTED);
    scene.per_s = 200.0;
    scene.ticks(12.0, TrafficState::Watch, &[(1, strong())], TESTED);
    assert_eq!((scene.rung(1), closed(&scene).len()), (None, 1), "the site has no excess");
    scene.per_s = 1_200.0;
    scene.tick(ATTACK, &[], UNTESTED);
    assert_eq!(scene.rung(1), None, "nobody looked for it");
    scene.tick(ATTACK, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block));
}

#[test]
fn an_incident_is_over_though_more_is_asked_than_is_ordinary_once_nothing_is_done_about_it() {
    let mut scene = Scene::new();
    scene.ticks(4.0, ATTACK, &[(1, strong())], TESTED);
    scene.ticks(60.0, TrafficState::Recovery, &[(1, strong())], TESTED);
    scene.ticks(60.0, TrafficState::Watch, &[(1, strong())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Block), "without it it would be an attack again");
    assert!(closed(&scene).is_empty());
    let pin = OperatorCommand::Pin {
        signature: signature(2),
        rung: Rung::Demote,
        lasts: Duration::from_secs(3_600),
    };
    scene.order(pin);
    scene.ticks(20.0, TrafficState::Watch, &[], UNTESTED);
    assert_eq!((scene.rung(1), scene.rung(2)), (None, Some(Rung::Demote)));
    assert_eq!(closed(&scene).len(), 1, "more readers than usual may stay for hours");
}
