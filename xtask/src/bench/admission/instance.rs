//! Seawall as a site owner would run it, and what it says of itself.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::Outcome;
use crate::process::{Running, bound, free_port, write};

use super::super::cost::cpu_ns;

/// How long it may take to listen on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long it may take to say something of itself while everything is asked of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running Seawall.
pub(super) struct Instance {
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    socket: PathBuf,
    running: Running,
}

/// How it is set up.
pub(super) struct Setup<'a> {
    /// The name of its folder.
    pub(super) name: &'a str,
    pub(super) origin: SocketAddr,
    /// The secret that signs credentials, in hexadecimal.
    pub(super) secret: Option<&'a str>,
    /// Added to the site's section.
    pub(super) site: &'a str,
    /// Added at the end: further sections.
    pub(super) more: &'a str,
}

impl Instance {
    /// Starts `program` in a folder of its own beside the certificate in `folder`.
    ///
    /// # Errors
    /// When it does not start; its log is beside its folder.
    pub(super) fn start(program: &Path, folder: &Path, setup: &Setup<'_>) -> Outcome<Self> {
        Self::start_prepared(program, folder, setup, |_| Ok(()))
    }

    /// The same once `prepare` has put what it wants into the empty state folder.
    ///
    /// # Errors
    /// As for [`Self::start`], and what `prepare` says.
    pub(super) fn start_prepared(
        program: &Path,
        folder: &Path,
        setup: &Setup<'_>,
        prepare: impl FnOnce(&Path) -> Outcome,
    ) -> Outcome<Self> {
        let plain = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let tls = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let own = folder.join(setup.name);
        let state = own.join("state");
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(&state)
            .map_err(|error| format!("cannot make `{}`: {error}", state.display()))?;
        if let Some(secret) = setup.secret {
            write_keys(&state, secret)?;
        }
        prepare(&state)?;
        let file = own.join("seawall.toml");
        write(&file, &text(&state, folder, plain, tls, setup))?;
        let mut command = bound(&program.to_string_lossy());
        command.args(["serve", "--config"]).arg(&file);
        let log = folder.join(format!("{}.log", setup.name));
        let mut running = Running::start("seawall", &mut command, &log)?;
        let hint = |error: String| format!("{error} (log: {})", log.display());
        running.wait_for(plain, START_LIMIT).map_err(hint)?;
        running.wait_for(tls, START_LIMIT).map_err(hint)?;
        Ok(Self { plain, tls, socket: state.join("admin.sock"), running })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.running.id()
    }

    /// Nanoseconds on a core so far.
    pub(super) fn cpu_ns(&self) -> u64 {
        cpu_ns(self.id())
    }

    /// What `seawall status` is made of; `Null` if it cannot be had in time.
    pub(super) fn status(&self) -> Value {
        let body = self.ask("/status").unwrap_or_default();
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }

    /// All samples of one metric, added up; 0 if there is none.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let body = self.ask("/metrics").unwrap_or_default();
        sum_of(&body, name)
    }

    fn ask(&self, path: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

/// A key file with a known secret, so that credentials of readers who came before can be had.
fn write_keys(state: &Path, secret: &str) -> Outcome {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let made = now.map_or(0, |now| now.as_secs()).saturating_sub(3 * 24 * 3600);
    let file = state.join("keys");
    write(&file, &format!("seawall keys 1\ncurrent {made} {secret}\nlogins {secret}\nend\n"))?;
    let closed = fs::set_permissions(&file, fs::Permissions::from_mode(0o600));
    closed.map_err(|error| format!("cannot close `{}`: {error}", file.display()))
}

fn text(
    state: &Path,
    folder: &Path,
    plain: SocketAddr,
    tls: SocketAddr,
    setup: &Setup<'_>,
) -> String {
    let (state, folder) = (state.display(), folder.display());
    let Setup { origin, site, more, .. } = setup;
    format!(
        "state_dir = \"{state}\"
disk = \"1GiB\"

[[listen]]
address = \"{plain}\"
[[listen]]
address = \"{tls}\"
tls = true

[[tls]]
cert = \"{folder}/cert.pem\"
key = \"{folder}/key.pem\"

[[site]]
hosts = [\"*\"]
origin = \"http://{origin}\"
{site}
{more}
"
    )
}

fn sum_of(page: &str, name: &str) -> f64 {
    let samples = page.lines().filter_map(|line| line.strip_prefix(name));
    let samples = samples.filter(|rest| rest.starts_with([' ', '{']));
    samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::sum_of;

    #[test]
    fn samples_of_one_name_are_added_up_and_no_others() {
        let page = "# HELP a_total x\na_total{k=\"1\"} 2\na_total{k=\"2\"} 3\na_total_b 9\nab 1\n";
        assert!((sum_of(page, "a_total") - 5.0).abs() < 1e-9);
        assert!(sum_of(page, "none").abs() < 1e-9);
    }
}
