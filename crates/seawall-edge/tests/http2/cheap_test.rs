//! The cheap test over HTTP/2.

use std::time::Duration;

use seawall_model::{Attribute, Instant, Mitigation, MitigationId, Rung, Signature, Term};

use crate::client::{Client, Reply};
use crate::site::Shield;

const PATIENCE: Duration = Duration::from_secs(20);

/// Which of the clients it asks as is not let off, one in a hundred is.
const CLIENTS: std::ops::RangeInclusive<u32> = 1..=20;

/// Asks as a browser of this number, as a proxy says.
fn ask(client: &mut Client, stream: u32, path: &str, number: u32, cookie: &str) -> Reply {
    let from = format!("192.0.2.{number}");
    let mut fields = vec![("accept", "text/html"), ("x-forwarded-for", from.as_str())];
    if !cookie.is_empty() {
        fields.push(("cookie", cookie));
    }
    client.ask(stream, "GET", path, &fields);
    client.reply(stream)
}

#[test]
fn who_takes_cookies_is_sent_around_on_one_connection() {
    let shield = Shield::configured(|config| {
        config.allow.clear();
        config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a prefix")];
    });
    let detection = shield.server.as_ref().expect("it runs").detection();
    let windows = detection.watch(1);
    let mut client = shield.client();
    assert_eq!(ask(&mut client, 1, "/page", 1, "").status(), "200");
    let agent = loop {
        let window = windows.recv_timeout(PATIENCE).expect("windows come");
        if let Some(row) = window.sample().first() {
            break row.attributes.value(Attribute::UserAgent);
        }
    };
    let term = Term { attribute: Attribute::UserAgent, value: agent };
    detection.publish(&[Mitigation {
        id: MitigationId(1),
        signature: Signature::new(&[term]).expect("one term"),
        rung: Rung::Challenge,
        expires_at: Instant::from_nanos(u64::MAX),
    }]);
    let mut stream = 1;
    let mut get = |path: &str, number: u32, cookie: &str| {
        stream += 2;
        ask(&mut client, stream, path, number, cookie)
    };
    let tested = CLIENTS.into_iter().find(|number| get("/a?b=c", *number, "").status() == "307");
    let tested = tested.expect("one is tested");
    let around = get("/a?b=c", tested, "");
    let to = around.field("location").expect("a redirect says where").to_owned();
    assert!(to.starts_with("/a?b=c&seawall-ticket="), "{to}");
    let set = around.field("set-cookie").expect("a cookie");
    assert!(set.starts_with("__Host-seawall-pass=") && set.contains("; Secure;"), "{set}");
    let cookie = set.split(';').next().expect("a pair").to_owned();
    assert_eq!(get(&to, tested, "").status(), "429");
    let clean = get(&to, tested, &cookie);
    assert_eq!((clean.status(), clean.field("location")), ("307", Some("/a?b=c")));
    assert_eq!(get("/a?b=c", tested, &cookie).status(), "200");
}
