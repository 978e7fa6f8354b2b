//! Asks an authority for a stamp of the time: RFC 3161 over HTTP (§3.4), one request and one answer.
//!
//! Separate from what decides when to ask, because it waits. The digest, a random number and the name of the host are all
//! that is sent; no redirect is followed; an answer counts if it is a stamp of that digest for that question. It does
//! **not** check the authority's signature: that is for who trusts it, with `openssl ts -verify`.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use rustls::CertificateError;
use seawall_report::{StampError, read_stamp, stamp_request};
use seawall_seal::Digest;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::config::{Origin, OriginTarget, TimestampAuthority};
use crate::origin::{Connector, OriginError, OriginTlsError};

/// Why there is no stamp. The authority's blame, or the network's, but for `System` and `Tls`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// It cannot be reached, or breaks off.
    #[error("it cannot be reached, or broke off: {0}")]
    Connection(String),
    /// It is not shown to be who it is asked as.
    #[error("its certificate is not accepted: {0}")]
    Certificate(String),
    /// It took too long.
    #[error("it did not answer within {LIMIT:?}")]
    Slow,
    /// It answered with another status than 200.
    #[error("it answered with status {0}")]
    Status(u16),
    /// It answered with more than a stamp has.
    #[error("its answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    /// What it answered is no stamp of what was asked.
    #[error(transparent)]
    Stamp(#[from] StampError),
    /// No connection with TLS can be made to such a name.
    #[error(transparent)]
    Tls(#[from] OriginTlsError),
    /// The system has no random number, or no room for a runtime.
    #[error("the system refused what is needed to ask: {0}")]
    System(String),
}

/// Asks for a stamp of `digest`, and gives the answer as it came (TimeStampResp, DER). Waits for 20 seconds at most: not
/// for a thread on which anything else depends.
///
/// # Errors
/// [`AskError`]; to be asked again later.
pub fn ask_for_stamp(authority: &TimestampAuthority, digest: Digest) -> Result<Vec<u8>, AskError> {
    let system = |error: std::io::Error| AskError::System(error.to_string());
    let mut nonce = [0; 8];
    getrandom::fill(&mut nonce).map_err(|error| AskError::System(error.to_string()))?;
    let nonce = u64::from_be_bytes(nonce);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system)?;
    let question = stamp_request(digest, nonce);
    let asked = LocalSet::new().block_on(&runtime, within(LIMIT, authority, question));
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    let answer = asked?;
    read_stamp(&answer, digest, Some(nonce))?;
    Ok(answer)
}

async fn within(
    limit: Duration,
    authority: &TimestampAuthority,
    question: Vec<u8>,
) -> Result<Vec<u8>, AskError> {
    timeout(limit, exchange(authority, question)).await.map_err(|_| AskError::Slow)?
}

async fn exchange(authority: &TimestampAuthority, question: Vec<u8>) -> Result<Vec<u8>, AskError> {
    let broken = |error: hyper::Error| AskError::Connection(causes(&error));
    let connector = Connector::new(&Origin::at(authority.target.clone()))?;
    let mut sender = connector.connect::<Full<Bytes>>().await.map_err(refused)?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(authority.path.as_str())
        .header(HOST, host(&authority.target))
        .header(CONTENT_TYPE, "application/timestamp-query")
        .header(ACCEPT, "application/timestamp-reply")
        .body(Full::new(Bytes::from(question)))
        .map_err(|error| AskError::System(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    if response.status() != StatusCode::OK {
        return Err(AskError::Status(response.status().as_u16()));
    }
    let content = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let content = content.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => broken(*error),
        Err(_) => AskError::TooLong,
    })?;
    Ok(content.to_bytes().to_vec())
}

/// Why there is no connection.
fn refused(error: OriginError) -> AskError {
    let OriginError::Connect(error) = error else { return AskError::Connection(causes(&error)) };
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            AskError::Certificate("nobody whom this system trusts has signed it".to_owned())
        }
        Some(rustls::Error::InvalidCertificate(why)) => AskError::Certificate(why.to_string()),
        _ => AskError::Connection(causes(&error)),
    }
}

/// As it stands in `Host`: the port only where it is not the usual one.
fn host(target: &OriginTarget) -> String {
    let (host, port, usual) = match target {
        OriginTarget::Http { host, port } => (host, *port, 80),
        OriginTarget::Https { host, port } => (host, *port, 443),
        OriginTarget::Unix(_) => return "localhost".to_owned(),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    if port == usual { host } else { format!("{host}:{port}") }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words = format!("{words}: {cause}");
        next = cause.source();
    }
    words
}

/// From the first packet to the last byte of the answer; authorities take a second.
const LIMIT: Duration = Duration::from_secs(20);
/// With the chain of its certificates an answer has 3 to 8 KiB.
const MAX_ANSWER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;

    /// An authority on loopback that takes one request and says `answer`, whatever was asked. Gives the request.
    fn serve(answer: Vec<u8>) -> (TimestampAuthority, JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it is asked");
            let (mut asked, mut piece) = (Vec::new(), [0; 1024]);
            // The question ends with a BOOLEAN that is true.
            while !asked.ends_with(&[0x01, 0x01, 0xff]) {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => asked.extend(&piece[..count]),
                }
            }
            // It may have heard enough before the end.
            let _ = stream.write_all(&answer);
            asked
        });
        let target = OriginTarget::Http { host: "127.0.0.1".to_owned(), port };
        let path = "/tsa?kind=2".to_owned();
        (
            TimestampAuthority { url: format!("http://127.0.0.1:{port}/tsa?kind=2"), target, path },
            thread,
        )
    }

    fn answer(status: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    /// TimeStampResp with the status of a rejection (RFC 3161 §2.4.2).
    const REJECTED: &[u8] = &[0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02];

    #[track_caller]
    fn check(answer: Vec<u8>, want: &str) -> Vec<u8> {
        let (authority, thread) = serve(answer);
        let error = ask_for_stamp(&authority, Digest::of(b"seal")).expect_err("it is no stamp");
        assert!(error.to_string().contains(want), "{error}");
        thread.join().expect("it was asked")
    }

    #[test]
    fn what_is_no_stamp_is_refused() {
        check(answer("200 OK", REJECTED), "status 2");
        check(answer("200 OK", b"<html>"), "no time stamp");
        check(answer("503 Service Unavailable", REJECTED), "503");
        check(answer("302 Found", REJECTED), "302");
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort".to_vec(), "broke off");
        check(Vec::new(), "broke off");
    }

    #[test]
    fn an_endless_answer_is_not_read_to_its_end() {
        let said = answer("200 OK", &vec![0x30; MAX_ANSWER_BYTES + 1]);
        check(said, "longer than 65536 bytes");
    }

    #[test]
    fn nothing_but_the_digest_a_number_and_the_host_is_sent() {
        let asked = check(answer("200 OK", REJECTED), "status 2");
        let end = asked.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8(asked[..end].to_vec()).expect("text").to_lowercase();
        let mut lines: Vec<&str> = head.trim_end().lines().collect();
        assert_eq!(lines.remove(0), "post /tsa?kind=2 http/1.1");
        let mut names: Vec<_> = lines.iter().filter_map(|line| line.split(':').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "content-length", "content-type", "host"]);
        assert!(head.contains("content-type: application/timestamp-query"), "{head}");
        let nonce = asked[end..].len() - stamp_request(Digest::of(b"seal"), 0).len();
        assert!(nonce <= 8, "as long as a question with such a number");
        let digest = Digest::of(b"seal").0;
        assert!(asked[end..].windows(32).any(|window| window == digest));
    }

    #[test]
    fn an_authority_that_is_not_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let target = OriginTarget::Http { host: "127.0.0.1".to_owned(), port };
        let authority = TimestampAuthority { url: String::new(), target, path: "/".to_owned() };
        let error = ask_for_stamp(&authority, Digest::of(b"seal")).expect_err("nobody is there");
        assert!(matches!(error, AskError::Connection(_)), "{error}");
    }

    #[tokio::test]
    async fn an_authority_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let target = OriginTarget::Http { host: "127.0.0.1".to_owned(), port };
        let authority = TimestampAuthority { url: String::new(), target, path: "/".to_owned() };
        let asked = within(Duration::ZERO, &authority, vec![0x30]);
        let asked = LocalSet::new().run_until(asked).await;
        assert!(matches!(asked, Err(AskError::Slow)), "{asked:?}");
    }

    #[test]
    fn the_port_is_named_where_it_is_not_the_usual_one() {
        let http = |host: &str, port| OriginTarget::Http { host: host.to_owned(), port };
        let https = |host: &str, port| OriginTarget::Https { host: host.to_owned(), port };
        for (target, want) in [
            (http("tsa.example.org", 80), "tsa.example.org"),
            (https("tsa.example.org", 80), "tsa.example.org:80"),
            (https("tsa.example.org", 443), "tsa.example.org"),
            (http("::1", 8080), "[::1]:8080"),
        ] {
            assert_eq!(host(&target), want);
        }
    }
}
