//! Detection as wired: what is told of requests, and what a mitigation does to them and to whom never.
//!
//! Whether something is an attack is not asked here: a test says so.

use seawall_detect::Window;
use seawall_model::{
    Attribute, AttributeValue, Instant, Mitigation, MitigationId, RequestKind, Rung, Signature,
    Term, Work,
};

use crate::origin::{Origin, ok};
use crate::shield::{PATIENCE, Shield};

const PERSON: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n";

/// Pages are kept, searches are not.
fn site() -> Origin {
    Origin::answering(|asked| {
        let fields = if asked.path().starts_with("/page") {
            "Cache-Control: max-age=600\r\n"
        } else {
            "Cache-Control: no-store\r\n"
        };
        ok(fields, "words")
    })
}

fn against(path: AttributeValue, rung: Rung) -> Mitigation {
    let term = Term { attribute: Attribute::Path, value: path };
    Mitigation {
        id: MitigationId(1),
        signature: Signature::new(&[term]).expect("one term"),
        rung,
        expires_at: Instant::from_nanos(u64::MAX),
    }
}

/// Asks from clients of their own, because one in a hundred is kept out of a mitigation.
fn asked(shield: &Shield, path: &str) -> Vec<u16> {
    (1..=6).map(|last| shield.client_from(last).get(path, PERSON).status).collect()
}

/// Watches until `is_seen` says so of a window.
fn watch<T>(shield: &Shield, path: &str, is_seen: impl Fn(&Window) -> Option<T>) -> T {
    let detection = shield.server().detection();
    let windows = detection.watch(shield.config().workers);
    assert_eq!(shield.client().get(path, PERSON).status, 200);
    loop {
        let mut window = windows.recv_timeout(PATIENCE).expect("windows come");
        let seen = is_seen(&window);
        window.clear();
        detection.give_back(window);
        if let Some(seen) = seen {
            return seen;
        }
    }
}

#[test]
fn what_was_answered_is_told_to_whoever_watches() {
    let origin = site();
    let shield = Shield::before(&origin);
    let (row, words) = watch(&shield, "/search?q=secret", |window| {
        let row = *window.sample().first()?;
        assert_eq!((window.counts().requests, window.counts().pages), (1, 1));
        let texts = window.words().iter().map(|(_, _, text)| text.to_owned());
        Some((row, texts.collect::<Vec<_>>()))
    });
    assert_eq!((row.status, row.kind), (200, RequestKind::Page));
    assert!(matches!(row.work, Work::Origin { .. }), "{:?}", row.work);
    assert!(!row.is_cacheable, "it must not be stored");
    assert!(words.contains(&"path template /search".to_owned()), "{words:?}");
    assert!(words.contains(&"query keys q (word)".to_owned()), "{words:?}");
    assert!(!words.iter().any(|text| text.contains("secret")), "{words:?}");
}

#[test]
fn a_block_refuses_work_and_no_page_in_hand() {
    let origin = site();
    let shield = Shield::before(&origin);
    let search = watch(&shield, "/search", |window| {
        window.sample().first().map(|row| row.attributes.value(Attribute::Path))
    });
    shield.server().detection().publish(&[against(search, Rung::Block)]);
    let answers = asked(&shield, "/search");
    assert!(answers.contains(&429), "{answers:?}");
    let came = origin.asked().len();
    let refused = shield.client().get("/search", PERSON);
    if refused.status == 429 {
        assert_eq!(origin.asked().len(), came, "the origin did not work for it");
        assert!(refused.head.to_ascii_lowercase().contains("retry-after: 60"), "{}", refused.head);
    }
    assert!(asked(&shield, "/other").iter().all(|status| *status == 200), "who does not match");
    shield.server().detection().publish(&[]);
    assert!(asked(&shield, "/search").iter().all(|status| *status == 200), "it was taken away");
}

#[test]
fn a_page_in_hand_is_served_to_who_is_blocked_and_who_is_demoted_is_served_too() {
    let origin = site();
    let shield = Shield::before(&origin);
    // The first answer puts it in hand.
    let page = watch(&shield, "/page", |window| {
        window.sample().first().map(|row| row.attributes.value(Attribute::Path))
    });
    shield.server().detection().publish(&[against(page, Rung::Block)]);
    assert!(asked(&shield, "/page").iter().all(|status| *status == 200));
    // The same template, and not in hand.
    let rest = asked(&shield, "/page?made=up");
    assert!(rest.contains(&429), "{rest:?}");
    for rung in [Rung::Observe, Rung::Demote] {
        shield.server().detection().publish(&[against(page, rung)]);
        let path = format!("/page?{}", rung.as_str());
        assert!(asked(&shield, &path).iter().all(|status| *status == 200), "{rung:?}");
    }
    let demoted = "seawall_http_requests_total{decision=\"admit\",cause=\"demoted\"}";
    assert!(shield.metric(demoted) > 0);
}
