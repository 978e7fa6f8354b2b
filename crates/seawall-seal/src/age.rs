//! Encrypts to keys that are not on this machine, in the age format (age-encryption.org/v1), X25519 recipients only.
//!
//! Written here, because the crate of that name brings hpke, RSA, AES-GCM, translations and `futures` (docs/decisions/0013); what
//! is needed are four primitives that the cryptographic provider has. The format is that of `age` and `rage`, in
//! ASCII armour: `age --decrypt -i KEY`. It does **not** decrypt: the machine that was attacked must not be able to.
//!
//! *Source:* <https://c2sp.org/age>.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// Why something cannot be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgeError {
    /// Not `age1...` of an X25519 key. The configuration is to blame.
    #[error("this is no age recipient: it begins with `age1` and has 62 letters and digits")]
    NotARecipient,
    /// There is nobody who could read it.
    #[error("there is no recipient")]
    NoRecipient,
    /// The system gave no random bytes, or the recipient is a point that keeps nothing secret.
    #[error("it cannot be encrypted to this recipient")]
    Failed,
}

/// Somebody who can read what is encrypted: `age1...`, as `age-keygen` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

impl Recipient {
    /// Reads `age1...` (BIP 173, lower case).
    ///
    /// # Errors
    /// [`AgeError::NotARecipient`].
    pub fn parse(text: &str) -> Result<Self, AgeError> {
        let data = text.strip_prefix("age1").filter(|data| data.len() == DATA_CHARS);
        let data = data.ok_or(AgeError::NotARecipient)?;
        let digit = |byte: u8| LETTERS.iter().position(|letter| *letter == byte);
        let digits: Option<Vec<u8>> =
            data.bytes().map(|byte| digit(byte).map(|at| at as u8)).collect();
        let digits = digits.ok_or(AgeError::NotARecipient)?;
        // BIP 173: the name's high bits, zero, its low bits, and the data.
        let name = b"age".map(|letter| letter >> 5).into_iter().chain([0]);
        let name = name.chain(b"age".map(|letter| letter & 31));
        if checksum(name.chain(digits.iter().copied())) != 1 {
            return Err(AgeError::NotARecipient);
        }
        // 52 digits of five bits are 32 bytes and four bits, which have to be zero.
        let (mut bytes, mut bits, mut held) = (Vec::with_capacity(32), 0_u16, 0);
        for digit in &digits[..DATA_CHARS - CHECK_CHARS] {
            bits = bits << 5 | u16::from(*digit);
            held += 5;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
                bits &= (1 << held) - 1;
            }
        }
        let key = bytes.try_into().ok().filter(|_| bits == 0);
        key.map(Self).ok_or(AgeError::NotARecipient)
    }
}

/// Encrypts `plain` so that each of the recipients can read it alone. ASCII armour.
///
/// # Errors
/// [`AgeError::NoRecipient`] and [`AgeError::Failed`].
pub fn encrypt(plain: &[u8], recipients: &[Recipient]) -> Result<String, AgeError> {
    if recipients.is_empty() {
        return Err(AgeError::NoRecipient);
    }
    let (mut file_key, mut nonce) = ([0; 16], [0; 16]);
    rand::fill(&mut file_key).map_err(|_| AgeError::Failed)?;
    rand::fill(&mut nonce).map_err(|_| AgeError::Failed)?;
    let mut header = VERSION.to_owned();
    for recipient in recipients {
        header += &stanza(&file_key, *recipient)?;
    }
    header += "---";
    let mac = hmac::Key::new(hmac::HMAC_SHA256, &derive(&file_key, &[], b"header"));
    let mac = STANDARD_NO_PAD.encode(hmac::sign(&mac, header.as_bytes()));
    let mut bytes = format!("{header} {mac}\n").into_bytes();
    bytes.extend(nonce);
    let key = derive(&file_key, &nonce, b"payload");
    let count = plain.len().div_ceil(CHUNK_BYTES).max(1);
    for index in 0..count {
        let from = index * CHUNK_BYTES;
        let chunk = &plain[from..plain.len().min(from + CHUNK_BYTES)];
        bytes.extend(seal(&key, chunk_nonce(index as u64, index + 1 == count), chunk)?);
    }
    Ok(armoured(&bytes))
}

/// The file's key, wrapped for one recipient.
fn stanza(file_key: &[u8; 16], recipient: Recipient) -> Result<String, AgeError> {
    let secret = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new());
    let secret = secret.map_err(|_| AgeError::Failed)?;
    let share = secret.compute_public_key().map_err(|_| AgeError::Failed)?;
    let salt = [share.as_ref(), &recipient.0].concat();
    let theirs = UnparsedPublicKey::new(&X25519, recipient.0);
    let key = agree_ephemeral(secret, theirs, AgeError::Failed, |shared| {
        Ok(derive(shared, &salt, WRAP))
    })?;
    // The key is used once, so the nonce may be zero.
    let wrapped = seal(&key, [0; 12], file_key)?;
    let (share, wrapped) = (STANDARD_NO_PAD.encode(share), STANDARD_NO_PAD.encode(wrapped));
    Ok(format!("-> X25519 {share}\n{wrapped}\n"))
}

fn seal(key: &[u8; 32], nonce: [u8; 12], plain: &[u8]) -> Result<Vec<u8>, AgeError> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| AgeError::Failed)?;
    let mut bytes = plain.to_vec();
    LessSafeKey::new(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes)
        .map_err(|_| AgeError::Failed)?;
    Ok(bytes)
}

/// HKDF-SHA256 (RFC 5869) of 32 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let info = [info];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&info, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("one block is never too long for HKDF");
    key
}

/// Eleven bytes that count, and whether it is the last.
fn chunk_nonce(index: u64, is_last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&index.to_be_bytes());
    nonce[11] = u8::from(is_last);
    nonce
}

fn armoured(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let mut armour = format!("{BEGIN}\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        armour += line;
        armour.push('\n');
        rest = more;
    }
    armour + END + "\n"
}

/// BIP 173: 1 for digits that belong together.
fn checksum(digits: impl Iterator<Item = u8>) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    digits.fold(1, |sum, digit| {
        let folded = GENERATOR.iter().enumerate().fold(0, |folded, (bit, generator)| {
            if sum >> 25 & 1 << bit == 0 { folded } else { folded ^ generator }
        });
        (sum & 0x1ff_ffff) << 5 ^ u32::from(digit) ^ folded
    })
}

const VERSION: &str = "age-encryption.org/v1\n";
const WRAP: &[u8] = b"age-encryption.org/v1/X25519";
const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECK_CHARS: usize = 6;
const DATA_CHARS: usize = 52 + CHECK_CHARS;
const CHUNK_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use aws_lc_rs::agreement::{PrivateKey, agree};

    use super::*;

    /// As the format says, read by somebody who has the key: for what is written here, and for what `rage` wrote.
    fn decrypt(armour: &str, secret: &[u8; 32]) -> Option<Vec<u8>> {
        let text = armour.strip_prefix(BEGIN)?.trim_end().strip_suffix(END)?;
        let bytes = STANDARD.decode(text.replace('\n', "")).ok()?;
        let end = bytes.windows(5).position(|window| window == b"\n--- ")? + 4;
        let header = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = header.strip_prefix(VERSION)?.lines();
        let secret = PrivateKey::from_private_key(&X25519, secret).ok()?;
        let ours = secret.compute_public_key().ok()?;
        let mut file_key = None;
        while let Some(line) = lines.next() {
            let Some(share) = line.strip_prefix("-> X25519 ") else { continue };
            let share = STANDARD_NO_PAD.decode(share).ok()?;
            let wrapped = STANDARD_NO_PAD.decode(lines.next()?).ok()?;
            let salt = [&share[..], ours.as_ref()].concat();
            let theirs = UnparsedPublicKey::new(&X25519, share);
            let key = agree(&secret, theirs, (), |shared| Ok(derive(shared, &salt, WRAP))).ok()?;
            file_key = file_key.or(open(&key, [0; 12], &wrapped));
        }
        let file_key = file_key?;
        let rest = &bytes[end + 1..];
        let (mac, payload) = rest.split_at(rest.iter().position(|byte| *byte == b'\n')?);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &derive(&file_key, &[], b"header"));
        hmac::verify(&key, &bytes[..end], &STANDARD_NO_PAD.decode(mac).ok()?).ok()?;
        let (nonce, payload) = payload[1..].split_at(16);
        let key = derive(&file_key, nonce, b"payload");
        let chunks: Vec<&[u8]> = payload.chunks(CHUNK_BYTES + 16).collect();
        let mut plain = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            plain.extend(open(&key, chunk_nonce(index as u64, index + 1 == chunks.len()), chunk)?);
        }
        Some(plain)
    }

    fn open(key: &[u8; 32], nonce: [u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
        let mut bytes = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }

    /// The key of [`RECIPIENT`], of the test alone.
    const IDENTITY: [u8; 32] = [
        0x89, 0x76, 0x2a, 0xb1, 0x7e, 0xc9, 0x7b, 0x3c, 0x3e, 0x64, 0xbe, 0x53, 0xfc, 0x3a, 0xec,
        0xe1, 0x3f, 0x7c, 0x92, 0xad, 0x51, 0x24, 0xc1, 0x5a, 0x19, 0x03, 0x22, 0x49, 0x8d, 0x07,
        0x4f, 0x33,
    ];
    const RECIPIENT: &str = "age1vlwvx34mqndcvcvku7hw77k5d42qmcfnc42cw87x547lhf9qaexs7d08wm";

    /// What `rage` (by its binding for Python, 2026) encrypted to [`RECIPIENT`].
    const OF_RAGE: &str = "-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBEQzFCUE11RkFIMjMzRUxQ
TG55eEtidWcvQ3l4Y3hKcUxOOU9mZDhEMGhRCnRQYUlCSTZNNHMwMGNtZ1hYaG1O
NTQ4YWMvQlBZNjRrV2tQKzNickdxR1kKLT4gfSxcLWdyZWFzZSBhIEFbVktcIDAg
KApCMVM5QlBCTm9JanJzSTJKb250K2g3UQotLS0gRDZtUnNrREJUWEtJMDBvTFJS
WGtlekRxSGtNNE1lMEYyYVVsTExhNmRrMAqfWU0LG3Vsrz06dy2DtsBemeOruJPw
R7rRUZAacvfKFtxJko1E7Qv4hkdeVmhagpR57QCoaiqdTDjRZw==
-----END AGE ENCRYPTED FILE-----
";

    #[test]
    fn the_format_is_that_of_others() {
        let plain = decrypt(OF_RAGE, &IDENTITY);
        assert_eq!(plain.as_deref(), Some(&b"[{\"address\":\"203.0.113.7\"}]"[..]));
    }

    #[test]
    fn each_recipient_reads_it_and_nobody_else() {
        let ours = Recipient::parse(RECIPIENT).expect("a recipient");
        let other = PrivateKey::generate(&X25519).expect("randomness");
        let public = other.compute_public_key().expect("a key");
        let other = Recipient(public.as_ref().try_into().expect("32 bytes"));
        for length in [0, 1, 1_000, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let plain = vec![b'a'; length];
            for recipients in [vec![ours], vec![other, ours], vec![ours, other]] {
                let armour = encrypt(&plain, &recipients).expect("it can be encrypted");
                assert!(armour.lines().all(|line| line.len() <= 64), "{armour}");
                assert!(decrypt(&armour, &IDENTITY).is_some_and(|read| read == plain), "{length}");
            }
            let armour = encrypt(&plain, &[other]).expect("it can be encrypted");
            assert_eq!(decrypt(&armour, &IDENTITY), None);
        }
        assert_eq!(encrypt(b"x", &[]), Err(AgeError::NoRecipient));
    }

    #[test]
    fn a_point_that_keeps_nothing_secret_is_refused() {
        assert_eq!(encrypt(b"x", &[Recipient([0; 32])]), Err(AgeError::Failed));
    }

    #[test]
    fn a_recipient_with_a_slip_is_no_recipient() {
        assert!(Recipient::parse(RECIPIENT).is_ok());
        for at in 0..RECIPIENT.len() {
            let mut text = RECIPIENT.as_bytes().to_vec();
            text[at] = if text[at] == b'q' { b'p' } else { b'q' };
            let text = String::from_utf8(text).expect("text");
            assert_eq!(Recipient::parse(&text), Err(AgeError::NotARecipient), "{text}");
        }
        for text in ["", "age1", &RECIPIENT.to_uppercase(), &RECIPIENT[..61], "age1é"] {
            assert_eq!(Recipient::parse(text), Err(AgeError::NotARecipient), "{text}");
        }
    }
}
