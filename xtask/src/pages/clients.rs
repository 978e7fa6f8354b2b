//! What curl must see.
//!
//! Separate from what a browser sees because curl shows every byte of the protocol. Each claim is
//! tried against the running program with options that people and programs use. It does **not**
//! repeat what the tests of the crates know better: limits, framing, hostile bytes.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::write;
use crate::site::client::{self, Answer};

use super::Check;
use super::scene::Scene;

/// How long compressed forms of a page may take to be made.
const PACKING_LIMIT: Duration = Duration::from_secs(10);

/// More than curl sends without asking first, and more than is kept in memory.
const UPLOAD_BYTES: usize = 2 << 20;

/// Which way a request goes.
#[derive(Clone, Copy)]
enum Way {
    Direct,
    Plain,
    Tls,
}

/// A claim and how it is tried.
type Claim = (&'static str, fn(&Scene) -> Outcome);

const CLAIMS: &[Claim] = &[
    ("HTTP/1.1 brings the origin's bytes", |scene| same(scene, Way::Plain, "HTTP/1.1", &[])),
    ("HTTP/1.0 brings them too", |scene| same(scene, Way::Plain, "HTTP/1.", &["--http1.0"])),
    ("HTTP/1.1 over TLS brings them", |scene| same(scene, Way::Tls, "HTTP/1.1", &["--http1.1"])),
    ("HTTP/2 over TLS brings them", |scene| same(scene, Way::Tls, "HTTP/2", &["--http2"])),
    ("TLS 1.2 is enough", |scene| same(scene, Way::Tls, "HTTP/2", &["--tls-max", "1.2"])),
    ("the second reading comes from what is held", held),
    ("HEAD says what GET would bring", head),
    ("a range brings that part", range),
    ("a page that has not changed is not sent again", conditional),
    ("gzip unpacks to the same bytes", |scene| packed(scene, "gzip")),
    ("brotli unpacks to the same bytes", |scene| packed(scene, "br")),
    ("an upload of 2 MiB waits for `100 Continue` and arrives whole", upload),
    ("an upload over HTTP/2 arrives whole", upload_http2),
    ("an upload that is too large is refused before it is sent", upload_refused),
    ("a program that is refused gets problem details or text, with the code", refused),
];

/// Tries every claim.
pub(super) fn run(scene: &Scene) -> Vec<Check> {
    let tried = CLAIMS.iter().map(|(name, claim)| {
        let problem = claim(scene).err();
        Check { client: "curl", name: (*name).to_owned(), problem }
    });
    tried.collect()
}

fn fetch(scene: &Scene, way: Way, path: &str, arguments: &[&str]) -> Outcome<Answer> {
    let (scheme, address) = match way {
        Way::Direct => ("http", scene.origin),
        Way::Plain => ("http", scene.plain),
        Way::Tls => ("https", scene.tls),
    };
    let port = address.port();
    let mut command = Command::new("curl");
    // An address of its own: what curl reads is not taken from the browser's budget.
    command.args(["-sSk", "--max-time", "20", "--interface", "127.10.0.1", "--noproxy", "*"]);
    command.args(["--resolve", &format!("example.org:{port}:127.0.0.1")]);
    command.args(arguments).arg(format!("{scheme}://example.org:{port}{path}"));
    client::answer(&mut command, &scene.folder.join("curl"))
}

fn original(scene: &Scene) -> Outcome<Vec<u8>> {
    Ok(fetch(scene, Way::Direct, "/", &[])?.expect(200)?.body)
}

fn same_bytes(found: &[u8], expected: &[u8]) -> Outcome {
    if found == expected {
        return Ok(());
    }
    Err(format!("{} bytes differ from the expected {}", found.len(), expected.len()))
}

fn field<'a>(answer: &'a Answer, name: &str) -> Outcome<&'a str> {
    answer.field(name).ok_or_else(|| format!("there is no `{name}`"))
}

fn same(scene: &Scene, way: Way, version: &str, arguments: &[&str]) -> Outcome {
    let expected = original(scene)?;
    let found = fetch(scene, way, "/", arguments)?.expect(200)?;
    if !found.head.starts_with(version) {
        let line = found.head.lines().next().unwrap_or_default();
        return Err(format!("`{line}` is not {version}"));
    }
    same_bytes(&found.body, &expected)
}

fn held(scene: &Scene) -> Outcome {
    fetch(scene, Way::Tls, "/", &[])?.expect(200)?;
    // The same address over TLS and over plain HTTP are two pages: the scheme is in the key.
    let second = fetch(scene, Way::Tls, "/", &[])?.expect(200)?;
    let status = field(&second, "cache-status")?;
    // RFC 9211 §2.1: `hit` says that it was answered without asking the origin.
    let is_hit = status.split(';').any(|parameter| parameter.trim() == "hit");
    if is_hit { Ok(()) } else { Err(format!("cache-status: {status}")) }
}

fn head(scene: &Scene) -> Outcome {
    let expected = original(scene)?.len().to_string();
    let found = fetch(scene, Way::Plain, "/", &["--head"])?.expect(200)?;
    let length = field(&found, "content-length")?;
    if length == expected { Ok(()) } else { Err(format!("content-length: {length}")) }
}

fn range(scene: &Scene) -> Outcome {
    let expected = original(scene)?;
    for way in [Way::Plain, Way::Tls] {
        let found = fetch(scene, way, "/", &["--range", "100-299"])?.expect(206)?;
        let said = field(&found, "content-range")?;
        if said != format!("bytes 100-299/{}", expected.len()) {
            return Err(format!("content-range: {said}"));
        }
        same_bytes(&found.body, &expected[100..300])?;
    }
    Ok(())
}

fn conditional(scene: &Scene) -> Outcome {
    let first = fetch(scene, Way::Plain, "/", &[])?.expect(200)?;
    let condition = format!("If-None-Match: {}", field(&first, "etag")?);
    for way in [Way::Plain, Way::Tls] {
        let found = fetch(scene, way, "/", &["-H", &condition])?.expect(304)?;
        same_bytes(&found.body, b"")?;
    }
    Ok(())
}

fn packed(scene: &Scene, coding: &str) -> Outcome {
    let expected = original(scene)?;
    let accept = format!("Accept-Encoding: {coding}");
    let end = Instant::now() + PACKING_LIMIT;
    loop {
        let found = fetch(scene, Way::Tls, "/", &["--compressed", "-H", &accept])?.expect(200)?;
        same_bytes(&found.body, &expected)?;
        if found.field("content-encoding") == Some(coding) {
            return Ok(());
        }
        // Packing happens beside serving; until then the page is sent as it is.
        if Instant::now() > end {
            return Err(format!("not packed as {coding} within {PACKING_LIMIT:?}"));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// What is uploaded: the argument that names it to curl, and the text itself.
fn content(scene: &Scene) -> Outcome<(String, String)> {
    let file = scene.folder.join("upload");
    let text: String = (0..UPLOAD_BYTES / 8).map(|number| format!("{number:>7}\n")).collect();
    write(&file, &text)?;
    Ok((format!("@{}", file.display()), text))
}

fn upload(scene: &Scene) -> Outcome {
    let (argument, text) = content(scene)?;
    let arguments = ["-H", "Expect: 100-continue", "--data-binary", &argument];
    let found = fetch(scene, Way::Plain, "/echo", &arguments)?.expect(200)?;
    if !found.head.starts_with("HTTP/1.1 100") {
        return Err("there was no `100 Continue`".to_owned());
    }
    same_bytes(&found.body, text.as_bytes())
}

fn upload_http2(scene: &Scene) -> Outcome {
    let (argument, text) = content(scene)?;
    let arguments = ["--http2", "--data-binary", &argument];
    let found = fetch(scene, Way::Tls, "/echo", &arguments)?.expect(200)?;
    same_bytes(&found.body, text.as_bytes())
}

fn upload_refused(scene: &Scene) -> Outcome {
    let (argument, _) = content(scene)?;
    let arguments = ["-H", "Expect: 100-continue", "--data-binary", &argument];
    let found = fetch(scene, Way::Plain, "/small", &arguments)?.expect(413)?;
    let asked = found.head.contains("100 Continue");
    if asked { Err("its content was asked for all the same".to_owned()) } else { Ok(()) }
}

fn refused(scene: &Scene) -> Outcome {
    for way in [Way::Plain, Way::Tls] {
        for (accept, wanted) in [
            ("Accept: application/json", "application/problem+json"),
            ("Accept: */*", "text/plain; charset=utf-8"),
        ] {
            let found = fetch(scene, way, "/refused", &["-H", accept])?.expect(403)?;
            let kind = field(&found, "content-type")?;
            let text = found.text();
            if kind != wanted || !text.contains("SW-108") || text.contains('<') {
                return Err(format!("{kind}: {text}"));
            }
        }
    }
    Ok(())
}
