//! The secrets of credentials and logins: one small file that survives restarts.
//!
//! `keys` in the state folder, readable by its owner alone, written beside itself and renamed. The
//! key that signs is replaced every 30 days, which is as long as a credential lasts; the one before
//! it is still believed. The key of logins stays.
//!
//! A file that is damaged is put aside as `keys.damaged` and replaced, with an error in the log: a
//! site has to start in the middle of an attack too, and what is lost is that readers are anonymous
//! and editors log in once more. A file that cannot be read or written at all stops the start, for
//! that is the operator's to mend.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use seawall_decide::{CredentialKeys, LoginKey, MAX_CREDENTIAL_DAYS};
use seawall_model::WallTime;

use crate::state_file::{self, MODE, write_whole};

/// How long one key signs.
const ROTATION: Duration = Duration::from_secs(MAX_CREDENTIAL_DAYS as u64 * 24 * 3600);
const HEAD: &str = "seawall keys 1";

/// The keys in force and their file.
pub(crate) struct Keys {
    path: PathBuf,
    secrets: Mutex<Secrets>,
    credentials: ArcSwap<CredentialKeys>,
    logins: LoginKey,
}

#[derive(Clone)]
struct Secrets {
    current: Secret,
    previous: Option<Secret>,
    logins: [u8; 32],
}

#[derive(Clone, PartialEq, Eq)]
struct Secret {
    made_s: u64,
    bytes: [u8; 32],
}

impl Keys {
    /// Reads the keys in `dir`, or makes them.
    ///
    /// # Errors
    /// What the system says to reading or writing the file.
    pub(crate) fn open(dir: &Path, now: WallTime) -> io::Result<Self> {
        let path = dir.join("keys");
        let secrets = match state_file::read(&path)?.as_deref().map(Secrets::parse) {
            Some(Some(secrets)) => {
                close_to_others(&path)?;
                secrets
            }
            Some(None) => {
                state_file::put_aside(
                    &path,
                    "the key file is damaged and was replaced: credentials and passes given out \
                     so far are void, and who is logged in counts as anonymous until the next login",
                )?;
                Secrets::fresh(now, &path)?
            }
            None => Secrets::fresh(now, &path)?,
        };
        let keys = Self {
            path,
            credentials: ArcSwap::from_pointee(secrets.credentials()),
            logins: LoginKey::new(&secrets.logins),
            secrets: Mutex::new(secrets),
        };
        keys.rotate(now);
        Ok(keys)
    }

    /// The keys that sign and check credentials.
    pub(crate) fn credentials(&self) -> arc_swap::Guard<Arc<CredentialKeys>> {
        self.credentials.load()
    }

    /// The key that hashes logins.
    pub(crate) fn logins(&self) -> &LoginKey {
        &self.logins
    }

    /// Replaces the key that signs, if it is time. What cannot be written is not used: after a
    /// restart nobody would know it.
    pub(crate) fn rotate(&self, now: WallTime) {
        let mut secrets = self.secrets.lock();
        let made = WallTime::from_unix_secs(secrets.current.made_s);
        if now.saturating_since(made) < ROTATION {
            return;
        }
        let rotated = Secret::new(now).and_then(|current| {
            let previous = Some(secrets.current.clone());
            let rotated = Secrets { current, previous, logins: secrets.logins };
            write_whole(&self.path, rotated.text().as_bytes()).map(|()| rotated)
        });
        match rotated {
            Ok(rotated) => {
                self.credentials.store(Arc::new(rotated.credentials()));
                *secrets = rotated;
                tracing::info!("credentials are signed with a new key");
            }
            Err(error) => tracing::error!("the key of credentials could not be replaced: {error}"),
        }
    }
}

impl Secret {
    fn new(now: WallTime) -> io::Result<Self> {
        Ok(Self { made_s: now.unix_secs(), bytes: random()? })
    }

    fn parse(fields: &str) -> Option<Self> {
        let (made, secret) = fields.split_once(' ')?;
        Some(Self { made_s: made.parse().ok()?, bytes: unhex(secret)? })
    }
}

impl Secrets {
    fn fresh(now: WallTime, path: &Path) -> io::Result<Self> {
        let secrets = Self { current: Secret::new(now)?, previous: None, logins: random()? };
        write_whole(path, secrets.text().as_bytes())?;
        Ok(secrets)
    }

    fn credentials(&self) -> CredentialKeys {
        let previous = self.previous.as_ref().map(|secret| &secret.bytes);
        CredentialKeys::new(&self.current.bytes, previous)
    }

    fn text(&self) -> String {
        let line =
            |name, secret: &Secret| format!("{name} {} {}\n", secret.made_s, hex(&secret.bytes));
        let previous = self.previous.as_ref().map(|secret| line("previous", secret));
        format!(
            "{HEAD}\n{}{}logins {}\nend\n",
            line("current", &self.current),
            previous.unwrap_or_default(),
            hex(&self.logins)
        )
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        // The last line shows that nothing was cut off.
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.strip_suffix("\nend\n")?.lines();
        if lines.next() != Some(HEAD) {
            return None;
        }
        let (mut current, mut previous, mut logins) = (None, None, None);
        for line in lines {
            match line.split_once(' ')? {
                ("current", rest) => current = Some(Secret::parse(rest)?),
                ("previous", rest) => previous = Some(Secret::parse(rest)?),
                ("logins", rest) => logins = Some(unhex(rest)?),
                _ => return None,
            }
        }
        Some(Self { current: current?, previous, logins: logins? })
    }
}

fn close_to_others(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "others could read the keys; their mode is 0600 now");
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
    }
    Ok(())
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, two) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn at(secs: u64) -> WallTime {
        WallTime::from_unix_secs(1_795_321_200 + secs)
    }

    fn open(dir: &Path, secs: u64) -> Keys {
        Keys::open(dir, at(secs)).expect("the folder can be used")
    }

    #[test]
    fn keys_survive_a_restart_and_are_for_nobody_else() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let text = open(dir.path(), 0).credentials().for_reader(at(0), 7);
        let keys = open(dir.path(), 60);
        assert!(keys.credentials().verify(at(60), text.as_str().as_bytes()).is_ok());
        let mode =
            || fs::metadata(dir.path().join("keys")).expect("it is there").permissions().mode();
        assert_eq!(mode() & 0o777, 0o600);
        fs::set_permissions(dir.path().join("keys"), Permissions::from_mode(0o644)).expect("ours");
        open(dir.path(), 60);
        assert_eq!(mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_signs_for_thirty_days_and_is_believed_for_thirty_more() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let keys = open(dir.path(), 0);
        let hash = |keys: &Keys| keys.logins().hash(b"a", b"b", b"c");
        let (first, login) = (keys.secrets.lock().current.clone(), hash(&keys));
        keys.rotate(at(30 * DAY - 1));
        assert!(keys.secrets.lock().current == first);
        let last = keys.credentials().for_reader(at(30 * DAY - 1), 7);
        keys.rotate(at(30 * DAY));
        assert!(keys.secrets.lock().previous.as_ref() == Some(&first));
        // Also if the program was not running when it was time.
        let keys = open(dir.path(), 59 * DAY);
        assert!(keys.credentials().verify(at(59 * DAY), last.as_str().as_bytes()).is_ok());
        let keys = open(dir.path(), 60 * DAY);
        assert!(keys.credentials().verify(at(60 * DAY), last.as_str().as_bytes()).is_err());
        assert!(hash(&keys) == login, "who is logged in stays so");
        // A clock that is set back replaces nothing.
        let now = keys.secrets.lock().current.clone();
        keys.rotate(at(0));
        assert!(keys.secrets.lock().current == now);
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_the_program_starts() {
        let whole = {
            let dir = tempfile::tempdir().expect("temporary folder");
            open(dir.path(), 0);
            fs::read(dir.path().join("keys")).expect("it is there")
        };
        let text = String::from_utf8(whole.clone()).expect("text");
        let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|len| whole[..len].to_vec()).collect();
        damaged.push(vec![0; 4096]);
        damaged.push(text.replace("current", "curent").into_bytes());
        damaged.push(text.replace("logins ", "logins g").into_bytes());
        damaged.push(text.replace(HEAD, "seawall keys 2").into_bytes());
        for bytes in damaged.into_iter().step_by(7) {
            let dir = tempfile::tempdir().expect("temporary folder");
            fs::write(dir.path().join("keys"), &bytes).expect("a file");
            let keys = open(dir.path(), 0);
            let text = keys.credentials().for_reader(at(0), 7);
            let again = open(dir.path(), 0);
            assert!(again.credentials().verify(at(0), text.as_str().as_bytes()).is_ok());
            assert_eq!(fs::read(dir.path().join("keys.damaged")).expect("kept"), bytes);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_stops_the_start() {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::create_dir(dir.path().join("keys")).expect("a folder in its place");
        assert!(Keys::open(dir.path(), at(0)).is_err());
    }
}
