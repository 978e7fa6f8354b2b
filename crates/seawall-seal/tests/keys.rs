//! Keys and signatures: round trips, what is refused, and what `openssl` says of them.

use std::fs;
use std::process::Command;

use proptest::prelude::*;
use seawall_seal::{KeyError, PublicKey, SigningKey};

fn key() -> SigningKey {
    SigningKey::generate().expect("the system gives random numbers")
}

#[test]
fn a_key_survives_its_file_and_signs_the_same() {
    let made = key();
    let read = SigningKey::from_pem(&made.to_pem().expect("it can be written")).expect("it is one");
    assert_eq!(made.public(), read.public());
    assert_eq!(made.sign(b"text"), read.sign(b"text"), "Ed25519 is deterministic");
    let public = PublicKey::from_pem(&made.public().to_pem()).expect("it is one");
    assert_eq!(public, made.public());
    assert_eq!(public.verify(b"text", &read.sign(b"text")), Ok(()));
}

#[test]
fn a_secret_key_is_not_shown() {
    let made = key();
    assert_eq!(
        format!("{made:?}"),
        format!("SigningKey of PublicKey({})", made.public().id()),
        "nothing but the public half"
    );
}

#[test]
fn files_that_are_no_keys_are_refused() {
    let made = key();
    let (secret, public) = (made.to_pem().expect("it can be written"), made.public().to_pem());
    for wrong in ["", "no key", &public, &secret[..secret.len() / 2]] {
        assert_eq!(SigningKey::from_pem(wrong).err(), Some(KeyError::Malformed), "{wrong}");
    }
    let of_another_kind =
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEA\n-----END PUBLIC KEY-----\n";
    for wrong in ["", "no key", &secret, &public[..60], of_another_kind] {
        assert_eq!(PublicKey::from_pem(wrong).err(), Some(KeyError::Malformed), "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_changed_bit_is_noticed(text in proptest::collection::vec(any::<u8>(), 1..200), at in any::<usize>()) {
        let made = key();
        let mut signature = made.sign(&text);
        let public = made.public();
        prop_assert_eq!(public.verify(&text, &signature), Ok(()));
        let mut changed = text.clone();
        changed[at % text.len()] ^= 1 << (at % 8);
        prop_assert_eq!(public.verify(&changed, &signature), Err(KeyError::Forged));
        signature[at % 64] ^= 1 << (at % 8);
        prop_assert_eq!(public.verify(&text, &signature), Err(KeyError::Forged));
        prop_assert_eq!(public.verify(&text, &signature[..63]), Err(KeyError::Forged));
        prop_assert_eq!(key().public().verify(&text, &made.sign(&text)), Err(KeyError::Forged));
    }
}

/// A stranger has `openssl` and not this program: what we sign it must accept, with the files as they
/// are, and it must read our keys.
#[test]
#[allow(clippy::print_stderr, reason = "says that it was left out, and why")]
fn openssl_checks_what_was_signed() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("left out: openssl is not installed");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let made = key();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("text"), b"what was signed").expect("written");
    fs::write(path("sig"), made.sign(b"what was signed")).expect("written");
    fs::write(path("key.pem"), made.public().to_pem()).expect("written");
    fs::write(path("secret.pem"), made.to_pem().expect("it can be written")).expect("written");
    let run = |args: &[&str]| {
        let output = Command::new("openssl").args(args).current_dir(dir.path()).output();
        let output = output.expect("openssl starts");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin"];
    let verify = [&verify[..], &["-in", "text", "-sigfile", "sig"]].concat();
    assert!(run(&verify).0, "openssl accepts the signature");
    let (is_read, public) = run(&["pkey", "-in", "secret.pem", "-pubout"]);
    assert!(is_read && public == made.public().to_pem(), "openssl derives the same public key");
    fs::write(path("text"), b"what was not signed").expect("written");
    assert!(!run(&verify).0, "openssl refuses other bytes");
}
