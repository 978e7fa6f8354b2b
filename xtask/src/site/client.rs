//! One person with a browser, as far as curl can be one.
//!
//! Every connection goes to a port on loopback whatever the address says, so a redirect cannot
//! lead outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Outcome;
use crate::process::output;

/// Somebody who visits, with an address and perhaps cookies of their own.
pub(crate) struct Visitor {
    port: u16,
    source: String,
    files: PathBuf,
    has_cookies: bool,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The content as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// # Errors
    /// When the status is another one.
    pub(crate) fn expect(self, status: u16) -> Outcome<Self> {
        if self.status == status {
            return Ok(self);
        }
        let begin: String = self.text().chars().take(300).collect();
        Err(format!("status {} where {status} was expected: {begin}", self.status))
    }
}

impl Visitor {
    /// Somebody at `source` (an address in 127/8) who never keeps a cookie.
    pub(crate) fn stranger(port: u16, source: &str, folder: &Path) -> Self {
        let files = folder.join(format!("visitor-{}-{port}", source.replace('.', "-")));
        Self { port, source: source.to_owned(), files, has_cookies: false }
    }

    /// Somebody who keeps the cookies they are given.
    pub(crate) fn with_cookies(port: u16, source: &str, folder: &Path) -> Self {
        Self { has_cookies: true, ..Self::stranger(port, source, folder) }
    }

    /// Fetches a path of the site with further arguments for curl.
    ///
    /// # Errors
    /// When curl does not get an answer.
    pub(crate) fn fetch(&self, path: &str, arguments: &[&str]) -> Outcome<Answer> {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "60", "--interface", &self.source]);
        command.args(["--connect-to", &format!("::127.0.0.1:{}", self.port)]);
        if self.has_cookies {
            let jar = self.files.with_extension("jar");
            command.arg("-b").arg(&jar).arg("-c").arg(&jar);
        }
        command.args(arguments).arg(format!("http://example.test{path}"));
        answer(&mut command, &self.files)
    }

    /// Fetches a path that must be there.
    ///
    /// # Errors
    /// As for [`Self::fetch`], or when the answer is not a 200.
    pub(crate) fn page(&self, path: &str) -> Outcome<Answer> {
        self.fetch(path, &[])?.expect(200).map_err(|error| format!("{path}: {error}"))
    }
}

impl Visitor {
    /// Signs in as the editor of the site.
    ///
    /// # Errors
    /// When the dashboard does not know the editor afterwards.
    pub(crate) fn log_in(&self) -> Outcome {
        self.page("/wp-login.php")?;
        let form = "log=erika&pwd=editor-password-1&wp-submit=Log+In&testcookie=1";
        self.fetch("/wp-login.php", &["-d", form])?.expect(302)?;
        self.sees_dashboard()
    }

    /// # Errors
    /// When the dashboard does not come or is not the editor's.
    pub(crate) fn sees_dashboard(&self) -> Outcome {
        let dashboard = self.page("/wp-admin/")?;
        if dashboard.text().contains("wp-admin-bar-my-account") {
            Ok(())
        } else {
            Err("the dashboard does not know the editor".to_owned())
        }
    }

    /// What WordPress wants to see with what an editor does.
    ///
    /// # Errors
    /// As for [`Self::page`].
    pub(crate) fn nonce(&self) -> Outcome<String> {
        let answer = self.page("/wp-admin/admin-ajax.php?action=rest-nonce")?;
        Ok(answer.text().trim().to_owned())
    }

    /// Calls WordPress' own API as the editor does from the dashboard.
    ///
    /// # Errors
    /// When it does not make what it was told to.
    pub(crate) fn call(&self, path: &str, arguments: &[&str]) -> Outcome<Value> {
        let nonce = format!("X-WP-Nonce: {}", self.nonce()?);
        let mut all = vec!["-H", nonce.as_str()];
        all.extend(arguments);
        let answer = self.fetch(path, &all)?;
        // 201: made; 200: changed.
        let answer = if answer.status == 200 { answer } else { answer.expect(201)? };
        serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))
    }

    /// The cookies it has, by name.
    pub(crate) fn cookies(&self) -> Vec<(String, String)> {
        let jar = fs::read_to_string(self.files.with_extension("jar")).unwrap_or_default();
        let lines = jar.lines().map(|line| line.trim_start_matches("#HttpOnly_"));
        let cookie = |line: &str| {
            let mut parts = line.split('\t').skip(5);
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
        };
        lines.filter_map(cookie).collect()
    }
}

/// Runs a curl that was told what to ask and takes the answer apart by way of `files.*`.
///
/// # Errors
/// When curl does not get an answer.
pub(crate) fn answer(command: &mut Command, files: &Path) -> Outcome<Answer> {
    let head = files.with_extension("head");
    let body = files.with_extension("body");
    let _ = fs::remove_file(&body);
    command.arg("-D").arg(&head).arg("-o").arg(&body).args(["-w", "%{http_code}"]);
    let said = output(command)?;
    let status = String::from_utf8_lossy(&said.stdout).trim().parse();
    Ok(Answer {
        status: status.map_err(|_| "curl did not say a status".to_owned())?,
        head: fs::read_to_string(&head).unwrap_or_default(),
        body: fs::read(&body).unwrap_or_default(),
    })
}
