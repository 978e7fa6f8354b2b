//! Stamps of an authority that openssl plays, in a folder of its own. Nobody else is asked.

mod authority;

use std::fs;

use seawall_report::{StampError, read_stamp, stamp_request};
use seawall_seal::Digest;

use crate::authority::{done, openssl};

#[test]
fn an_authority_stamps_what_it_is_asked_and_openssl_agrees() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    if !authority::make(folder) {
        return;
    }
    let seal = b"{\"seal\":{}}";
    let digest = Digest::of(seal);
    fs::write(folder.join("seal"), seal).expect("own folder");
    fs::write(folder.join("query"), stamp_request(digest, 0xfedc_ba98)).expect("own folder");
    let said = openssl(folder, &["ts", "-query", "-in", "query", "-text"]).expect("openssl starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for word in ["Hash Algorithm: sha256", "Nonce: 0xFEDCBA98", "Certificate required: yes"] {
        assert!(said.contains(word), "{said}");
    }
    let answer = authority::reply(folder);
    let at = read_stamp(&answer, digest, Some(0xfedc_ba98)).expect("it was granted");
    assert!(at.to_string().starts_with("20"), "{at}");
    assert_eq!(read_stamp(&answer, digest, Some(1)), Err(StampError::Other));
    assert_eq!(read_stamp(&answer, Digest::of(b"x"), None), Err(StampError::Other));
    // As docs/evidence.md says.
    done(folder, &["ts", "-verify", "-data", "seal", "-in", "reply", "-CAfile", "tsa.pem"]);

    // Of a digest that it does not take, it says so.
    authority::spoil_question(folder);
    let refused = authority::reply(folder);
    assert_eq!(read_stamp(&refused, digest, None), Err(StampError::Refused(2)));
}
