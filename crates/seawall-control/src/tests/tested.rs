//! Who is tested, and when: rule 8 of the ladder.

use super::*;

/// Evidence that bears a wide test: four clients in a thousand may look like that.
fn wide() -> SignatureEvidence {
    SignatureEvidence { collateral_upper: 0.004, coverage: 0.5, ..strong() }
}

#[test]
fn what_four_in_a_thousand_look_like_is_tested_once_it_is_sure_that_it_is_an_attack() {
    let mixed = TrafficState::Alarmed(Verdict::Mixed);
    let mut scene = Scene::new();
    scene.ticks(10.0, mixed, &[(1, wide())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    scene.ticks(0.5, ATTACK, &[(1, wide())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge));
    scene.ticks(10.0, mixed, &[(1, wide())], TESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge), "it goes on, and never blocks");
    let more = SignatureEvidence { collateral_upper: 0.005_1, ..wide() };
    scene.ticks(4.0, ATTACK, &[(1, more)], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    assert_eq!(scene.reasons(1).last(), Some(&Why::Weaker));
}

#[test]
fn a_test_that_was_not_begun_as_a_wide_one_does_not_become_one() {
    let mixed = TrafficState::Alarmed(Verdict::Mixed);
    let narrow = SignatureEvidence { collateral_upper: 0.002_9, ..wide() };
    let mut scene = Scene::new();
    scene.ticks(2.0, mixed, &[(1, narrow)], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge));
    scene.ticks(4.0, mixed, &[(1, wide())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
}

#[test]
fn a_wide_test_that_some_pass_is_not_set_again_for_five_minutes() {
    let mut scene = Scene::new();
    scene.ticks(2.0, ATTACK, &[(1, wide())], UNTESTED);
    scene.ticks(1.0, ATTACK, &[(1, wide())], Meets { tests_passed: 40, ..TESTED });
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    scene.ticks(290.0, ATTACK, &[(1, wide())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    scene.ticks(20.0, ATTACK, &[(1, wide())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge));
}

#[test]
fn what_is_little_of_an_attack_is_not_tested_widely() {
    let little = SignatureEvidence { coverage: 0.2, ..wide() };
    let mut scene = Scene::new();
    scene.ticks(10.0, ATTACK, &[(1, little)], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
}

#[test]
fn of_all_readers_no_more_than_one_in_a_hundred_is_tested_for_wide_tests() {
    let narrow = SignatureEvidence { collateral_upper: 0.003, ..wide() };
    let mut scene = Scene::new();
    let all = [(1, wide()), (2, wide()), (3, wide()), (4, narrow)];
    scene.ticks(10.0, ATTACK, &all, UNTESTED);
    let rungs = [1, 2, 3].map(|value| scene.rung(value));
    let tested = rungs.iter().filter(|rung| **rung == Some(Rung::Challenge)).count();
    assert_eq!(tested, 2, "a third would make twelve in a thousand: {rungs:?}");
    assert_eq!(scene.rung(4), Some(Rung::Challenge), "of three in a thousand it is not asked");
}

#[test]
fn nobody_is_tested_while_it_looks_like_a_crowd_that_nobody_has_watched_yet() {
    let undecided = TrafficState::Alarmed(Verdict::Mixed);
    let mut scene = Scene::new();
    scene.log_odds = 6.0;
    scene.ticks(6.0, undecided, &[(1, strong())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    scene.log_odds = 2.0;
    scene.tick(undecided, &[(1, strong())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge), "it looks like neither");
    let mut scene = Scene { log_odds: 6.0, ..Scene::new() };
    scene.ticks(8.5, undecided, &[(1, strong())], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge), "forms are never watched");
}

#[test]
fn while_it_is_undecided_nobody_is_tested_for_a_few_per_cent_of_it() {
    let undecided = TrafficState::Alarmed(Verdict::Mixed);
    let little = SignatureEvidence { coverage: 0.04, ..strong() };
    let mut scene = Scene::new();
    scene.ticks(20.0, undecided, &[(1, little)], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Demote));
    scene.tick(ATTACK, &[(1, little)], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge), "of an attack it is a part");
    scene.ticks(4.0, undecided, &[(1, little)], UNTESTED);
    assert_eq!(scene.rung(1), Some(Rung::Challenge), "what was begun goes on");
}

#[test]
fn what_explains_much_of_it_only_together_is_tested_together() {
    let undecided = TrafficState::Alarmed(Verdict::Mixed);
    let part = SignatureEvidence { coverage: 0.1, ..strong() };
    let broad = SignatureEvidence { coverage: 0.9, collateral_upper: 0.009, ..strong() };
    let mut scene = Scene::new();
    scene.ticks(20.0, undecided, &[(1, part), (2, part), (4, broad)], UNTESTED);
    let rungs = |scene: &Scene| [1, 2, 3].map(|value| scene.rung(value));
    let [one, two, _] = rungs(&scene);
    assert_eq!((one, two), (Some(Rung::Demote), Some(Rung::Demote)), "what bears no test is none");
    scene.ticks(2.0, undecided, &[(1, part), (2, part), (3, part), (4, broad)], UNTESTED);
    assert_eq!(rungs(&scene), [Some(Rung::Challenge); 3]);
    assert_eq!(scene.rung(4), Some(Rung::Demote));
}

/// Most of what is too much.
fn much() -> SignatureEvidence {
    SignatureEvidence { coverage: 0.7, ..strong() }
}

/// Some of its clients pass the test.
fn some_pass(scene: &mut Scene) {
    scene.ticks(2.0, ATTACK, &[(1, much())], UNTESTED);
    scene.ticks(1.0, ATTACK, &[(1, much())], Meets { tests_passed: 40, ..TESTED });
    assert_eq!(
        (scene.rung(1), scene.reasons(1).last()),
        (Some(Rung::Demote), Some(&Why::SomePass))
    );
}

#[test]
fn who_passed_is_not_tested_again_for_another_measure_of_the_same() {
    let same = SignatureEvidence { coverage: 0.9, ..strong() };
    let all = [(1, much()), (2, same)];
    let mut scene = Scene::new();
    some_pass(&mut scene);
    scene.ticks(290.0, ATTACK, &all, UNTESTED);
    assert_eq!(scene.rung(2), Some(Rung::Demote));
    scene.ticks(20.0, ATTACK, &all, UNTESTED);
    assert_eq!(scene.rung(2), Some(Rung::Challenge), "after five minutes it is tried again");
}

#[test]
fn what_spares_readers_better_or_is_another_part_is_tested_though_some_passed() {
    let collateral_upper = strong().collateral_upper / 2.0;
    let surer = SignatureEvidence { coverage: 0.9, collateral_upper, ..strong() };
    let other = SignatureEvidence { coverage: 0.4, ..strong() };
    let mut scene = Scene::new();
    some_pass(&mut scene);
    scene.ticks(2.0, ATTACK, &[(1, much()), (2, surer), (3, other)], UNTESTED);
    assert_eq!([2, 3].map(|value| scene.rung(value)), [Some(Rung::Challenge); 2]);
}

#[test]
fn another_flood_is_tested_at_once_though_some_of_the_last_one_passed() {
    let next = SignatureEvidence { coverage: 0.9, ..strong() };
    let last = SignatureEvidence { coverage: 0.1, ..strong() };
    let mut scene = Scene::new();
    some_pass(&mut scene);
    scene.ticks(2.0, ATTACK, &[(1, last), (2, next)], UNTESTED);
    assert_eq!([1, 2].map(|value| scene.rung(value)), [Some(Rung::Demote), Some(Rung::Challenge)]);
}
