//! A turn of one's own behind a shared address: who is given one, and what it is worth.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use seawall_decide::{
    CROWD, CredentialKeys, DEMAND_ONE, Limiters, TestTicket, Testable, TicketKind, Turn, TurnAsker,
    WorkClass, WorkSource,
};
use seawall_model::{Cause, ClientAddr, Identity, Instant, Limits, Standing, WallTime};

const HOST: &str = "example.org";
const WALL: WallTime = WallTime::from_unix_secs(1_772_560_800);

fn exit() -> Identity {
    ClientAddr::new(IpAddr::from([203, 0, 113, 7])).into()
}

fn newcomer() -> TurnAsker {
    TurnAsker {
        identity: exit(),
        standing: Standing::Anonymous,
        source: WorkSource::Tor,
        people: 1,
        testable: Testable::Page,
        admitted: Cause::Demoted,
    }
}

fn keys() -> CredentialKeys {
    CredentialKeys::new(&[7; 32], None)
}

fn of(asker: TurnAsker, ticket: Option<&str>, cookie: Option<&str>) -> Turn {
    let keys = keys();
    let cookie = || keys.check_ticket(WALL, HOST, cookie?.as_bytes()).ok();
    Turn::of(&keys, (WALL, HOST), asker, ticket.map(str::as_bytes), cookie)
}

fn at(secs: u64) -> Instant {
    Instant::from_nanos(0) + Duration::from_secs(secs)
}

fn limiters() -> Limiters {
    Limiters::new(&Limits::default(), [1, 2])
}

/// The number that `people` at the exit are given with these dice.
fn given(limiters: &Limiters, people: u32, dice: u64) -> u64 {
    let turn = keys().turn(limiters, (at(0), WALL), HOST, (exit(), people, dice));
    match of(newcomer(), None, Some(turn.as_str())) {
        Turn::Shown(number) => number,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_who_was_put_behind_others_at_a_shared_address_is_due_one() {
    let ask = newcomer();
    assert_eq!(of(ask, None, None), Turn::Due(CROWD));
    let carrier = TurnAsker { source: WorkSource::Shared, people: 9, ..ask };
    assert_eq!(of(carrier, None, None), Turn::Due(9));
    for other in [
        TurnAsker { source: WorkSource::Elsewhere, ..ask },
        TurnAsker { standing: Standing::AgedReader, ..ask },
        TurnAsker { identity: Identity::of_holder(7), ..ask },
        TurnAsker { testable: Testable::No, ..ask },
        TurnAsker { admitted: Cause::Default, ..ask },
    ] {
        assert_eq!(of(other, None, None), Turn::None, "{other:?}");
    }
}

#[test]
fn who_comes_back_is_not_sent_around_again() {
    let turn = keys().turn(&limiters(), (at(0), WALL), HOST, (exit(), CROWD, 5));
    let turn = turn.as_str();
    let by_address = of(newcomer(), Some(turn), None);
    assert!(by_address.is_shown());
    assert_eq!(of(newcomer(), None, Some(turn)), by_address);
    for foreign in ["", "x", &turn[1..]] {
        assert_eq!(of(newcomer(), Some(foreign), None), Turn::None, "{foreign}");
    }
    let elsewhere = keys().turn(&limiters(), (at(0), WALL), "example.net", (exit(), CROWD, 5));
    assert_eq!(of(newcomer(), Some(elsewhere.as_str()), None), Turn::None);
    // A pass has a number as well; a ticket of somebody who waits has none before its time.
    let pass = TestTicket { kind: TicketKind::Return, number: 9 };
    let pass = keys().pass(WALL, HOST, &pass);
    assert_eq!(of(newcomer(), None, Some(pass.as_str())), Turn::Shown(9));
    let wait = keys().wait_ticket(WALL, HOST, 9, Duration::from_secs(8));
    assert_eq!(of(newcomer(), Some(wait.as_str()), None), Turn::None);
}

#[test]
fn it_ranks_by_what_its_number_asked_for_among_those_behind_others_alone() {
    let limiters = limiters();
    let turn = Turn::Shown(7);
    let rank = |turn: Turn, class| {
        turn.rank(&limiters, at(0), (class, 900 * DEMAND_ONE), DEMAND_ONE) / DEMAND_ONE
    };
    assert_eq!(rank(turn, WorkClass::Demoted), 1);
    assert_eq!(rank(turn, WorkClass::Demoted), 2);
    assert_eq!(rank(turn, WorkClass::Anonymous), 900, "before nobody who was not put behind");
    assert_eq!(rank(turn, WorkClass::Demoted), 4, "and it counts all the same");
    for other in [Turn::None, Turn::Due(64)] {
        assert_eq!(rank(other, WorkClass::Demoted), 900);
    }
}

#[test]
fn asking_for_ever_new_ones_ends_at_four_for_each_of_the_people_there() {
    let limiters = limiters();
    let numbers: BTreeSet<u64> = (0..5_000u64)
        .map(|dice| {
            let number = given(&limiters, 8, dice);
            limiters.note_demand(at(0), Identity::of_holder(number), DEMAND_ONE);
            number
        })
        .collect();
    assert_eq!(numbers.len(), 32);
}

#[test]
fn a_newcomer_seldom_shares_the_number_of_a_bot() {
    let limiters = limiters();
    // Two bots for each of the people that an exit is taken to have.
    for bot in 0..2 * u64::from(CROWD) {
        let number = given(&limiters, CROWD, bot);
        limiters.note_demand(at(0), Identity::of_holder(number), 20 * DEMAND_ONE);
    }
    let shares = |dice: &u64| {
        let number = given(&limiters, CROWD, *dice);
        limiters.demand(at(0), Identity::of_holder(number)) > 0
    };
    assert_eq!((1_000..2_000).filter(shares).count(), 0);
}
