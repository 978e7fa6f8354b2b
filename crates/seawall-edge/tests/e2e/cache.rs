//! The store behind a running server: its bounds and its life.

use seawall_edge::Server;

use crate::client::get;
use crate::origin::{Origin, ok};
use crate::shield::{Shield, content};

#[test]
fn made_up_query_strings_do_not_outgrow_the_memory() {
    let page = content(8 * 1024);
    let origin = Origin::page("Cache-Control: max-age=600\r\n", &page);
    let memory = 8 << 20;
    let shield = Shield::with(&origin, |config| {
        config.memory_bytes = memory;
        config.disk_bytes = memory;
    });
    let mut client = shield.client();
    for batch in 0..100 {
        let requests: String = (0..20).map(|n| get(&format!("/?page={batch}-{n}"), "")).collect();
        client.send(requests);
        for _ in 0..20 {
            let got = client.read("GET");
            got.assert_status(200);
            assert!(got.body == page);
        }
        assert!(shield.metric("seawall_cache_memory_bytes") <= memory);
    }
    assert_eq!(origin.count(), 2_000);
}

#[test]
fn pages_outlive_a_restart() {
    let mut origin = Origin::answering(|asked| {
        ok("Cache-Control: max-age=600\r\nETag: \"x\"\r\n", format!("page {}", asked.path()))
    });
    let mut shield = Shield::before(&origin);
    let pages: Vec<String> = (0..20).map(|n| format!("/{n}")).collect();
    let mut client = shield.client();
    for page in &pages {
        client.get(page, "").assert_status(200);
    }
    origin.die();
    shield.restart();
    let mut client = shield.client();
    for page in &pages {
        let got = client.get(page, "");
        got.assert_status(200).assert_body(format!("page {page}")).assert_cache("hit");
    }
    client.get("/0", "If-None-Match: \"x\"\r\n").assert_status(304);
    client.get("/new", "").assert_status(502);
}

#[test]
fn a_purged_page_stays_gone_after_a_restart() {
    let mut origin = Origin::page("Cache-Control: max-age=600\r\n", "hello");
    let mut shield = Shield::before(&origin);
    shield.client().get("/", "").assert_status(200);
    shield.restart();
    shield.admin("POST", "/purge?all=1");
    origin.die();
    shield.restart();
    shield.client().get("/", "").assert_status(502);
}

#[test]
fn two_servers_do_not_share_a_folder() {
    let origin = Origin::page("Cache-Control: max-age=600\r\n", "hello");
    let shield = Shield::before(&origin);
    shield.client().get("/", "").assert_status(200);
    let mut config = shield.config().clone();
    config.admin_socket = Some(config.state_dir.join("second.sock"));
    let Err(error) = Server::start(config) else { panic!("a second server started") };
    let text = error.to_string();
    assert!(text.contains("in use") && text.contains("state_dir"), "{text}");
    // And the first has not noticed.
    shield.client().get("/", "").assert_status(200).assert_cache("hit");
    assert_eq!(shield.metric("seawall_cache_entries"), 1);
}
