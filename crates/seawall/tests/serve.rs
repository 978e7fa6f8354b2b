//! A whole life of `seawall serve` through the real binary: start, questions, reload, stop.

mod common;

use std::env::temp_dir;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::common::{Shield, run_in};

#[track_caller]
fn ask(args: &[&str], state: &Path) -> String {
    let state = state.to_str().expect("a plain path");
    let ran = run_in(&temp_dir(), &[args, &["--state", state]].concat());
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
    ran.stdout
}

#[test]
fn flags_alone_serve_from_a_private_folder_that_goes_with_the_program() {
    let shield =
        Shield::start(&temp_dir(), &["--origin", "http://127.0.0.1:9", "--listen", "127.0.0.1:0"]);
    let state = shield.said.split("--state ").nth(1).and_then(|rest| rest.split('`').next());
    let state = PathBuf::from(state.expect("the folder is named once"));
    let status: serde_json::Value =
        serde_json::from_str(&ask(&["status", "--json"], &state)).expect("JSON");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(ask(&["status"], &state).starts_with("version "));
    assert_eq!(ask(&["purge", "--all"], &state), "nothing was held of everything\n");
    assert_eq!(shield.stop(), Some(0));
    assert!(!state.exists(), "the temporary folder stayed behind");
}

#[test]
fn a_reload_with_mistakes_changes_nothing_and_tells_all_of_them() {
    let folder = temp_dir().join(format!("seawall-serve-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let file = folder.join("seawall.toml");
    let good = "state_dir = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
                [[site]]\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:9\"\n";
    fs::write(&file, good).expect("own folder");
    let mut shield =
        Shield::start(&temp_dir(), &["--config", file.to_str().expect("a plain path")]);
    fs::write(&file, good.replace("hosts", "hostz").replace("http:", "gopher:"))
        .expect("own folder");
    shield.signal(Signal::HUP);
    shield.wait_for("`hostz` is not a key");
    shield.wait_for("unknown scheme `gopher`");
    assert!(ask(&["status"], &folder.join("state")).contains("state "));
    assert_eq!(shield.stop(), Some(0));
    assert!(folder.join("state").exists(), "a state folder that was named stays");
    fs::remove_dir_all(folder).expect("own folder");
}

/// What `openssl s_client` says while it asks for a renegotiation (`R`) after a handshake of TLS 1.2;
/// `None` where there is no openssl.
fn renegotiate(address: &str) -> Option<String> {
    let mut client = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-msg", "-servername", "localhost", "-connect", address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut input = client.stdin.take().expect("stdin is piped");
    input.write_all(b"R\n").expect("it reads");
    let mut said = String::new();
    // It ends when the server closes, and not because nobody asks any more.
    client.stdout.take().expect("stdout is piped").read_to_string(&mut said).expect("text");
    drop(input);
    client.wait().expect("our own child");
    Some(said)
}

#[test]
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
fn tls_1_2_is_not_renegotiated() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("writes");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("our own file");
        file
    };
    write("cert.pem", &made.cert.pem());
    write("key.pem", &made.signing_key.serialize_pem());
    let file = write(
        "seawall.toml",
        "state_dir = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n\
         [[tls]]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[limits]\nheader_timeout = \"1s\"\n\
         [[site]]\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:9\"\n",
    );
    let shield = Shield::start(&temp_dir(), &["--config", file.to_str().expect("a plain name")]);
    let Some(said) = renegotiate(shield.address()) else {
        eprintln!("left out: there is no `openssl` here");
        return;
    };
    let count = |sign: &str, kind: &str| {
        said.lines().filter(|line| line.starts_with(sign) && line.ends_with(kind)).count()
    };
    // It asked twice and was answered once.
    assert_eq!((count(">>>", ", ClientHello"), count("<<<", ", ServerHello")), (2, 1), "{said}");
    assert_eq!(shield.stop(), Some(0));
}
