//! An authority for stamps of the time (RFC 3161) that openssl plays, in a folder of its own. Shared with the tests of the
//! command line.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Makes an authority: its key, and its certificate `tsa.pem`. False where there is no openssl, and says so.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn make(folder: &Path) -> bool {
    if openssl(folder, &["version"]).is_none() {
        eprintln!("left out: there is no `openssl` here");
        return false;
    }
    fs::write(folder.join("tsa.cnf"), CONFIG).expect("own folder");
    fs::write(folder.join("serial"), "01\n").expect("own folder");
    #[rustfmt::skip]
    done(folder, &[
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "tsa.key",
        "-out", "tsa.pem", "-subj", "/CN=authority", "-days", "2", "-config", "tsa.cnf", "-extensions", "ts",
    ]);
    true
}

/// What it answers to the question in the file `query`; also left in the file `reply`.
pub(crate) fn reply(folder: &Path) -> Vec<u8> {
    let _ = fs::remove_file(folder.join("reply"));
    // Of what it does not stamp it says so in its answer, and fails.
    #[rustfmt::skip]
    let _ = openssl(folder, &[
        "ts", "-reply", "-queryfile", "query", "-out", "reply", "-config", "tsa.cnf", "-section", "authority",
    ]);
    fs::read(folder.join("reply")).expect("openssl answers")
}

/// The question in the file `query` asks for a stamp of a digest that openssl does not take.
pub(crate) fn spoil_question(folder: &Path) {
    let mut question = fs::read(folder.join("query")).expect("it was written");
    let sha256 = question.iter().position(|byte| *byte == 0x60).expect("the identifier");
    question[sha256 + 8] = 0x02;
    fs::write(folder.join("query"), question).expect("own folder");
}

/// What openssl says; `None` where there is none.
pub(crate) fn openssl(folder: &Path, args: &[&str]) -> Option<Output> {
    Command::new("openssl").args(args).current_dir(folder).output().ok()
}

#[track_caller]
pub(crate) fn done(folder: &Path, args: &[&str]) {
    let output = openssl(folder, args).expect("openssl starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
}

const CONFIG: &str = "\
[req]
distinguished_name = name
[name]
[ts]
basicConstraints = critical,CA:TRUE
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = authority
[authority]
serial = serial
crypto_device = builtin
signer_cert = tsa.pem
signer_key = tsa.key
certs = tsa.pem
default_policy = 1.2.3.4.1
signer_digest = sha256
digests = sha256
accuracy = secs:1
ordering = yes
tsa_name = yes
";
