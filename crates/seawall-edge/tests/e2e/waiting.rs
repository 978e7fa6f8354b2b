//! What those get whom a busy site turns away: each in a form that it understands.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use crate::client::{Response, get};
use crate::origin::{Origin, ok, say};
use crate::shield::Shield;

/// Asks a site that has work for one and no queue, while that one is there.
fn ask_busy(requests: &[String]) -> Vec<Response> {
    let (tell, arrived) = channel();
    let (release, held) = channel::<()>();
    let (tell, held): (Mutex<Sender<()>>, _) = (Mutex::new(tell), Mutex::new(held));
    let origin = Origin::run(move |_, stream| {
        tell.lock().expect("no panic").send(()).expect("the test waits");
        // Ends when the test lets go of its side.
        let _ = held.lock().expect("no panic").recv();
        say(stream, ok("", "done"))
    });
    let shield = Shield::with(&origin, |config| {
        config.sites[0].origin.max_concurrency = 1;
        config.limits.max_origin_queue = 0;
    });
    let mut first = shield.client();
    first.send(get("/held", ""));
    arrived.recv().expect("the origin is asked");
    let answers = requests.iter().map(|request| {
        let mut client = shield.client();
        client.send(request);
        client.read("GET")
    });
    let answers = answers.collect();
    drop(release);
    first.read("GET").assert_status(200);
    answers
}

fn seconds(answer: &Response) -> u64 {
    answer.field("retry-after").and_then(|after| after.parse().ok()).expect("seconds")
}

#[test]
fn a_reader_gets_a_page_in_his_language_that_loads_again_by_itself() {
    let html = "Accept: text/html,*/*\r\nSec-Fetch-Mode: navigate\r\n";
    let languages = [("de-DE,en;q=0.5", "de"), ("ar", "ar"), ("tlh", "en")];
    let arabic = |number: u64| -> String {
        let digit = |digit: char| digit.to_digit(10).and_then(|d| char::from_u32(0x660 + d));
        number.to_string().chars().filter_map(digit).collect()
    };
    let ask = |accepted: &str| get("/page", &format!("{html}Accept-Language: {accepted}\r\n"));
    let requests: Vec<String> = languages.iter().map(|(accepted, _)| ask(accepted)).collect();
    for (answer, (_, want)) in ask_busy(&requests).into_iter().zip(languages) {
        answer.assert_status(503);
        let text = answer.text();
        assert_eq!(answer.field("content-language").as_deref(), Some(want));
        assert!(
            text.contains(&format!("<html lang=\"{want}\"")) && text.contains("SW-301"),
            "{text}"
        );
        assert!((8..=20).contains(&seconds(&answer)), "{}", answer.head);
        assert_eq!(answer.field("refresh"), answer.field("retry-after"));
        let after = seconds(&answer);
        let said = if want == "ar" { arabic(after) } else { after.to_string() };
        assert!(text.contains(&format!(" {said}\u{a0}")), "{after} seconds: {text}");
        assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
    }
}

#[test]
fn programs_get_problem_details_and_never_a_page() {
    let post = |fields: &str| {
        format!("POST /form HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3\r\n{fields}\r\na=1")
    };
    let requests = [
        get("/api", "Accept: application/json\r\n"),
        get("/api", "Accept: text/html\r\nX-Requested-With: XMLHttpRequest\r\n"),
        get("/api", "Accept: */*, text/html\r\nSec-Fetch-Mode: cors\r\n"),
        post("Accept: */*\r\n"),
        post("Accept: text/html\r\nSec-Fetch-Mode: cors\r\n"),
        post("Content-Type: application/json\r\nAccept: text/html\r\n"),
    ];
    for (answer, request) in ask_busy(&requests).into_iter().zip(&requests) {
        answer.assert_status(429);
        assert_eq!(
            answer.field("content-type").as_deref(),
            Some("application/problem+json"),
            "{request}"
        );
        let want = format!(
            "{{\"title\":\"Too Many Requests\",\"status\":429,\"detail\":\"The site is busy\",\
             \"code\":\"SW-301\",\"retry_after\":{}}}\n",
            seconds(&answer)
        );
        answer.assert_body(want);
        assert_eq!(answer.field("refresh"), None);
    }
}

#[test]
fn feed_readers_get_a_line_of_text() {
    let requests = [
        get("/feed/", "Accept: text/html,*/*\r\n"),
        get("/?feed=rss2", "Accept: */*\r\n"),
        get("/news", "Accept: application/atom+xml, text/html;q=0.5\r\n"),
    ];
    for answer in ask_busy(&requests) {
        answer.assert_status(503).assert_body("The site is busy (SW-301)\n");
        assert_eq!(answer.field("content-type").as_deref(), Some("text/plain; charset=utf-8"));
        assert!(seconds(&answer) >= 8);
    }
}

#[test]
fn a_person_who_sent_a_form_is_told_in_words_what_became_of_it() {
    let request = "POST /comment HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3\r\n\
                   Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n\r\na=1";
    let answer = ask_busy(&[request.to_owned()]).remove(0);
    answer.assert_status(429);
    assert!(answer.text().contains("What you sent was not taken"), "{}", answer.text());
    assert_eq!(answer.field("refresh"), None);
}
