//! Credentials: who holds one is recognised, everybody else is nobody, and nothing panics.
#![forbid(unsafe_code)]

use std::time::Duration;

use proptest::prelude::*;
use seawall_decide::{
    CREDENTIAL_CHARS, Credential, CredentialClass, CredentialFault, CredentialKeys,
};
use seawall_model::{Identity, Standing, WallTime};

/// 2026-11-22T04:20:00Z.
const NOW: u64 = 1_795_321_200;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn at(secs: u64) -> WallTime {
    WallTime::from_unix_secs(secs)
}

fn keys(number: u8) -> CredentialKeys {
    CredentialKeys::new(&[number; 32], None)
}

fn held(keys: &CredentialKeys, secs: u64, text: &str) -> Credential {
    keys.verify(at(secs), text.as_bytes()).expect("a good credential")
}

#[track_caller]
fn check(secs: u64, text: &[u8], want: CredentialFault) {
    assert_eq!(keys(1).verify(at(secs), text), Err(want));
}

#[test]
fn a_reader_is_anonymous_at_first_and_aged_after_a_day() {
    let keys = keys(1);
    let text = keys.for_reader(at(NOW), 7);
    assert_eq!(text.as_str().len(), CREDENTIAL_CHARS);
    for (later, standing) in [
        (0, Standing::Anonymous),
        (23 * HOUR, Standing::Anonymous),
        (DAY, Standing::AgedReader),
        (29 * DAY, Standing::AgedReader),
    ] {
        let credential = held(&keys, NOW + later, text.as_str());
        assert_eq!(credential.standing(), standing, "{later} s later");
        assert_eq!(credential.class(), CredentialClass::Reader);
        assert_eq!(credential.age().as_secs(), later);
        assert_eq!(credential.rest(at(NOW + later)), Duration::from_secs(30 * DAY - later));
    }
}

#[test]
fn the_number_is_another_each_day_and_the_same_by_every_way() {
    let keys = keys(1);
    let first = keys.for_reader(at(NOW), 7);
    let on = |day: u64, text: &str| held(&keys, NOW + day * DAY, text).identity();
    assert_eq!(on(0, first.as_str()), Identity::of_holder(7));
    let mut seen = Vec::new();
    let mut renewed = first;
    for day in 0..40 {
        let credential = held(&keys, NOW + day * DAY, renewed.as_str());
        assert_eq!(credential.wants_renewal(), day > 0);
        assert!(!seen.contains(&credential.number()));
        seen.push(credential.number());
        if day < 30 {
            // The copy that was never renewed is the same holder.
            assert_eq!(on(day, first.as_str()), credential.identity());
        }
        // Age goes on over renewals, up to what a credential may tell.
        assert_eq!(credential.age().as_secs(), day.min(30) * DAY);
        renewed = keys.renew(at(NOW + day * DAY), &credential);
        let again = held(&keys, NOW + day * DAY, renewed.as_str());
        assert_eq!(again.identity(), credential.identity());
        assert!(!again.wants_renewal());
    }
}

#[test]
fn what_is_old_foreign_forged_or_cut_is_no_credential() {
    let text = keys(1).for_reader(at(NOW), 7);
    let text = text.as_str().as_bytes();
    check(NOW + 30 * DAY, text, CredentialFault::Expired);
    check(NOW + 400 * DAY, text, CredentialFault::Expired);
    check(u64::MAX, text, CredentialFault::Expired);
    check(NOW, keys(2).for_reader(at(NOW), 7).as_str().as_bytes(), CredentialFault::Foreign);
    for len in 0..text.len() {
        check(NOW, &text[..len], CredentialFault::Malformed);
    }
    let longer = [text, &b"A"[..]].concat();
    check(NOW, &longer, CredentialFault::Malformed);
    check(NOW, &longer[1..], CredentialFault::Malformed);
    check(NOW, &[b'A'; CREDENTIAL_CHARS], CredentialFault::Malformed);
    check(NOW, &[0xff; CREDENTIAL_CHARS], CredentialFault::Malformed);
    check(NOW, &[b'A'; 32 * 1024], CredentialFault::Malformed);
    let mut other = text.to_vec();
    // The last character of the MAC.
    other[55] = if other[55] == b'A' { b'B' } else { b'A' };
    check(NOW, &other, CredentialFault::Forged);
}

#[test]
fn the_clock_may_be_set_back_by_an_hour_and_no_more() {
    let keys = keys(1);
    let text = keys.for_reader(at(NOW), 7);
    let back = held(&keys, NOW - HOUR, text.as_str());
    assert_eq!((back.age().as_secs(), back.standing()), (0, Standing::Anonymous));
    check(NOW - 2 * HOUR, text.as_str().as_bytes(), CredentialFault::NotYet);
    check(0, text.as_str().as_bytes(), CredentialFault::NotYet);
    // Over midnight as well: what was renewed a moment ago is still its holder's.
    let midnight = NOW - NOW % DAY + DAY;
    let renewed = keys.renew(at(midnight), &held(&keys, midnight, text.as_str()));
    let before = held(&keys, midnight - 60, renewed.as_str());
    assert_eq!(before.identity(), held(&keys, midnight, renewed.as_str()).identity());
    // And when the clock is right again, nothing was lost.
    held(&keys, NOW, text.as_str());
}

#[test]
fn a_credential_outlives_the_key_that_signed_it_by_one_other() {
    let (old, new) = ([1; 32], [2; 32]);
    let text = CredentialKeys::new(&old, None).for_reader(at(NOW), 7);
    let both = CredentialKeys::new(&new, Some(&old));
    let credential = held(&both, NOW, text.as_str());
    assert!(credential.wants_renewal());
    let renewed = both.renew(at(NOW), &credential);
    assert_eq!(held(&both, NOW, renewed.as_str()).identity(), credential.identity());
    let later = CredentialKeys::new(&[3; 32], Some(&new));
    assert_eq!(later.verify(at(NOW), text.as_str().as_bytes()), Err(CredentialFault::Foreign));
    held(&later, NOW, renewed.as_str());
}

#[test]
fn a_grant_gives_one_pass_however_often_it_is_opened() {
    let keys = keys(1);
    let link = keys.for_grant(at(NOW), 7, 9);
    let grant = held(&keys, NOW, link.as_str());
    // As a cookie it is worth nothing.
    assert_eq!(grant.standing(), Standing::Anonymous);
    let later = held(&keys, NOW + 20 * HOUR, link.as_str());
    for grant in [grant, later] {
        let (pass, text) = keys.redeem(&grant).expect("a grant");
        assert_eq!(pass.class(), CredentialClass::Pass);
        let carried = held(&keys, NOW + 21 * HOUR, text.as_str());
        assert_eq!(carried.standing(), Standing::SignedIn);
        assert_eq!(carried.rest(at(NOW)), Duration::from_secs(7 * DAY));
        let next_week = keys.verify(at(NOW + 7 * DAY), text.as_str().as_bytes());
        assert_eq!(next_week, Err(CredentialFault::Expired));
        let renewed = keys.renew(at(NOW + 6 * DAY), &held(&keys, NOW + 6 * DAY, text.as_str()));
        check(NOW + 7 * DAY, renewed.as_str().as_bytes(), CredentialFault::Expired);
    }
    let ids = [grant, later].map(|grant| {
        let (_, text) = keys.redeem(&grant).expect("a grant");
        held(&keys, NOW + 21 * HOUR, text.as_str()).identity()
    });
    assert_eq!(ids[0], ids[1]);
    check(NOW + DAY, link.as_str().as_bytes(), CredentialFault::Expired);
    let reader = keys.for_reader(at(NOW), 7);
    assert!(keys.redeem(&held(&keys, NOW, reader.as_str())).is_none());
    let long = held(&keys, NOW, keys.for_grant(at(NOW), 255, 9).as_str());
    let (pass, _) = keys.redeem(&long).expect("a grant");
    assert_eq!(pass.rest(at(NOW)), Duration::from_secs(30 * DAY));
}

#[test]
fn checking_allocates_nothing() {
    let keys = keys(1);
    let text = keys.for_reader(at(NOW), 7);
    let forged = [b'Q'; CREDENTIAL_CHARS];
    let counted = allocation_counter::measure(|| {
        for later in [0, 20 * DAY, 400 * DAY] {
            let _ = keys.verify(at(NOW + later), text.as_str().as_bytes());
            let _ = keys.verify(at(NOW + later), &forged);
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn debug_shows_no_secret() {
    let keys = keys(1);
    let text = keys.for_reader(at(NOW), 7);
    assert_eq!(format!("{keys:?} {text:?}"), "CredentialKeys(..) CredentialText(..)");
}

proptest! {
    #[test]
    fn any_bytes_at_any_time_are_judged_without_panic(
        text in proptest::collection::vec(any::<u8>(), 0..80),
        secs in any::<u64>(),
    ) {
        prop_assert!(keys(1).verify(at(secs), &text).is_err());
    }

    #[test]
    fn any_characters_of_the_alphabet_are_no_credential(text in "[A-Za-z0-9_-]{56}") {
        prop_assert!(keys(1).verify(at(NOW), text.as_bytes()).is_err());
    }

    #[test]
    fn one_other_bit_makes_it_worthless(number in any::<u64>(), place in 0..56usize, bit in 0..8u8) {
        let keys = keys(1);
        let mut text = keys.for_reader(at(NOW), number).as_str().as_bytes().to_vec();
        text[place] ^= 1 << bit;
        prop_assert!(keys.verify(at(NOW), &text).is_err());
    }

    #[test]
    fn it_is_its_holders_at_any_time_until_its_end(number in any::<u64>(), later in 0..30 * DAY - HOUR) {
        let keys = keys(1);
        let text = keys.for_reader(at(NOW), number);
        let credential = held(&keys, NOW + later, text.as_str());
        let renewed = keys.renew(at(NOW + later), &credential);
        let again = held(&keys, NOW + later, renewed.as_str());
        prop_assert_eq!(again.identity(), credential.identity());
        prop_assert_eq!(again.age(), credential.age());
        prop_assert_eq!(renewed.as_str().len(), CREDENTIAL_CHARS);
    }
}
