//! Asks the running program over its admin socket, and says in words why that failed.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;

use seawall_edge::admin::{Answer, ClientError, query, send};
use serde_json::Value;

use crate::output::Failure;

/// Asks for `target` with `method` and gives back the JSON of a 2xx answer. The target must be
/// percent-encoded.
///
/// # Errors
/// A failure that says whether the program is not running, may not be asked, or refused.
pub(crate) fn ask(socket: &Path, method: &str, target: &str) -> Result<Value, Failure> {
    told(socket, query(socket, method, target))
}

/// As [`ask`], with content and `POST`.
///
/// # Errors
/// As [`ask`].
pub(crate) fn bring(socket: &Path, target: &str, content: &[u8]) -> Result<Value, Failure> {
    told(socket, send(socket, target, content))
}

fn told(socket: &Path, answer: Result<Answer, ClientError>) -> Result<Value, Failure> {
    match answer {
        Ok(answer) => judge(answer),
        Err(ClientError::NotRunning { source, .. } | ClientError::Broken { source, .. }) => {
            Err(unreachable(socket, &source))
        }
        Err(error) => Err(Failure::failed(error.to_string(), "check the socket's path")),
    }
}

/// Whether a program listens there. One that cannot be asked for another reason counts as running, so that
/// asking it says why.
pub(crate) fn is_running(socket: &Path) -> bool {
    let connected = UnixStream::connect(socket).map_err(|error| error.kind());
    use ErrorKind::{ConnectionRefused, NotADirectory, NotFound};
    !matches!(connected, Err(NotFound | NotADirectory | ConnectionRefused))
}

/// Writes a value so that it can stand in a query (RFC 3986 §2.1 and §2.3).
pub(crate) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn judge(Answer { status, body }: Answer) -> Result<Value, Failure> {
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if (200..300).contains(&status) {
        return Ok(json);
    }
    let said = json.get("error").and_then(Value::as_str).map(str::to_owned);
    // Some refusals are answers of their own: what is wrong, and what to do.
    if let (Some(what), Some(hint)) = (&said, json.get("hint").and_then(Value::as_str)) {
        return Err(Failure::failed(what.clone(), hint));
    }
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned());
    let hint = match status {
        507 => {
            "free space in `state_dir`, then do it again: what is not on disk does not outlive a restart, a purge either"
        }
        404 => "`seawall archive list` says which sites have an archive",
        _ => "compare its version (`seawall status`) with `seawall --version`",
    };
    Err(Failure::failed(
        format!("the running program refused with status `{status}`: {said}"),
        hint,
    ))
}

fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    let shown = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::ConnectionRefused => {
            Failure::failed(
                format!("no running Seawall answers at `{shown}`"),
                "start it with `seawall serve`, or say which one is meant with `--config FILE` or `--state DIR`",
            )
        }
        ErrorKind::PermissionDenied => Failure::failed(
            format!("this user may not use `{shown}`"),
            "run the command as the user Seawall runs as, or with sudo",
        ),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::failed(
            format!("Seawall did not answer at `{shown}` in time"),
            "it may be starting or stopping; try again, and look into its log if it stays so",
        ),
        ErrorKind::InvalidData => Failure::failed(
            format!("what answers at `{shown}` does not speak like Seawall"),
            "check which program owns this socket",
        ),
        _ => {
            Failure::failed(format!("cannot ask at `{shown}`: {error}"), "check the socket's path")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_says_why() {
        let answer = |status, body: &[u8]| judge(Answer { status, body: body.to_vec() });
        let own = answer(404, br#"{"error":"there is no mitigation `7`","hint":"look"}"#);
        assert_eq!(own, Err(Failure::failed("there is no mitigation `7`", "look")));
        assert_eq!(answer(200, b"{\"removed\":1}"), Ok(json!({"removed": 1})));
        for body in [&b"{\"error\":\"no url\"}"[..], b"no url\n"] {
            let refused = answer(400, body).expect_err("a refusal");
            let Failure::Failed(what, _) = refused else { panic!("{refused:?}") };
            assert_eq!(what, "the running program refused with status `400`: no url");
        }
    }

    #[test]
    fn a_missing_socket_means_that_nothing_runs() {
        let asked = ask(Path::new("/nonexistent/admin.sock"), "GET", "/status");
        assert!(
            matches!(asked, Err(Failure::Failed(what, _)) if what.contains("no running Seawall"))
        );
    }

    #[test]
    fn a_url_survives_the_query() {
        assert_eq!(percent_encode("https://a.b/ä?x=1&y"), "https%3A%2F%2Fa.b%2F%C3%A4%3Fx%3D1%26y");
    }
}
