//! Stamps of an authority that openssl plays, in a folder of its own. Nobody else is asked.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use seawall_report::{StampError, read_stamp, stamp_request};
use seawall_seal::Digest;

fn openssl(folder: &Path, args: &[&str]) -> Option<Output> {
    Command::new("openssl").args(args).current_dir(folder).output().ok()
}

fn done(folder: &Path, args: &[&str]) {
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

#[test]
fn an_authority_stamps_what_it_is_asked_and_openssl_agrees() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    if openssl(folder, &["version"]).is_none() {
        return;
    }
    fs::write(folder.join("tsa.cnf"), CONFIG).expect("own folder");
    fs::write(folder.join("serial"), "01\n").expect("own folder");
    #[rustfmt::skip]
    done(folder, &[
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "tsa.key",
        "-out", "tsa.pem", "-subj", "/CN=authority", "-days", "2", "-config", "tsa.cnf", "-extensions", "ts",
    ]);
    let seal = b"{\"seal\":{}}";
    let digest = Digest::of(seal);
    fs::write(folder.join("seal"), seal).expect("own folder");
    fs::write(folder.join("query"), stamp_request(digest, 0xfedc_ba98)).expect("own folder");
    let said = openssl(folder, &["ts", "-query", "-in", "query", "-text"]).expect("openssl starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for word in ["Hash Algorithm: sha256", "Nonce: 0xFEDCBA98", "Certificate required: yes"] {
        assert!(said.contains(word), "{said}");
    }
    #[rustfmt::skip]
    done(folder, &["ts", "-reply", "-queryfile", "query", "-out", "answer", "-config", "tsa.cnf", "-section", "authority"]);
    let answer = fs::read(folder.join("answer")).expect("openssl wrote it");
    let at = read_stamp(&answer, digest, Some(0xfedc_ba98)).expect("it was granted");
    assert!(at.to_string().starts_with("20"), "{at}");
    assert_eq!(read_stamp(&answer, digest, Some(1)), Err(StampError::Other));
    assert_eq!(read_stamp(&answer, Digest::of(b"x"), None), Err(StampError::Other));
    // As docs/evidence.md says.
    done(folder, &["ts", "-verify", "-data", "seal", "-in", "answer", "-CAfile", "tsa.pem"]);

    // Of a digest that it does not take, it says so.
    let mut odd = stamp_request(digest, 1);
    let sha256 = odd.iter().position(|byte| *byte == 0x60).expect("the identifier");
    odd[sha256 + 8] = 0x02;
    fs::write(folder.join("query"), odd).expect("own folder");
    #[rustfmt::skip]
    let _ = openssl(folder, &["ts", "-reply", "-queryfile", "query", "-out", "refused", "-config", "tsa.cnf", "-section", "authority"]);
    let refused = fs::read(folder.join("refused")).expect("openssl wrote it");
    assert_eq!(read_stamp(&refused, digest, None), Err(StampError::Refused(2)));
}
