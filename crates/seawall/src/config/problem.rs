//! What can be wrong with a configuration, and how it is said.
//!
//! One closed list of codes, each with the sentence that `docs/config.md` prints, and one
//! rendering. Separate from the reading so that wording and codes can be reviewed in one place. It
//! deliberately does **not** decide what is wrong.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A kind of problem. The code is stable: scripts and search engines rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    UnreadableFile,
    Syntax,
    UnknownKey,
    WrongType,
    MissingKey,
    Duration,
    Size,
    Rate,
    Speed,
    Choice,
    OutOfRange,
    Address,
    Prefix,
    Fingerprint,
    Recipient,
    Host,
    Path,
    Method,
    Cookie,
    Query,
    OriginUrl,
    OriginIsSelf,
    AuthorityUrl,
    DuplicateAddress,
    DuplicateHost,
    TlsWithoutCertificate,
    CertificateWithoutTls,
    NotPem,
    AdminExposed,
    WeakToken,
    UselessKey,
    NotBuilt,
    Danger,
    ReadableSecret,
    StrangeList,
    SessionCookie,
    SlowCertificate,
}

impl Code {
    /// Every code, for documentation and tests.
    pub(crate) const ALL: [Self; 37] = [
        Self::UnreadableFile,
        Self::Syntax,
        Self::UnknownKey,
        Self::WrongType,
        Self::MissingKey,
        Self::Duration,
        Self::Size,
        Self::Rate,
        Self::Speed,
        Self::Choice,
        Self::OutOfRange,
        Self::Address,
        Self::Prefix,
        Self::Fingerprint,
        Self::Recipient,
        Self::Host,
        Self::Path,
        Self::Method,
        Self::Cookie,
        Self::Query,
        Self::OriginUrl,
        Self::OriginIsSelf,
        Self::AuthorityUrl,
        Self::DuplicateAddress,
        Self::DuplicateHost,
        Self::TlsWithoutCertificate,
        Self::CertificateWithoutTls,
        Self::NotPem,
        Self::AdminExposed,
        Self::WeakToken,
        Self::UselessKey,
        Self::NotBuilt,
        Self::Danger,
        Self::ReadableSecret,
        Self::StrangeList,
        Self::SessionCookie,
        Self::SlowCertificate,
    ];

    /// The stable name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::UnreadableFile => "seawall::config::unreadable_file",
            Self::Syntax => "seawall::config::syntax",
            Self::UnknownKey => "seawall::config::unknown_key",
            Self::WrongType => "seawall::config::wrong_type",
            Self::MissingKey => "seawall::config::missing_key",
            Self::Duration => "seawall::config::duration",
            Self::Size => "seawall::config::size",
            Self::Rate => "seawall::config::rate",
            Self::Speed => "seawall::config::speed",
            Self::Choice => "seawall::config::choice",
            Self::OutOfRange => "seawall::config::out_of_range",
            Self::Address => "seawall::config::address",
            Self::Prefix => "seawall::config::prefix",
            Self::Fingerprint => "seawall::config::fingerprint",
            Self::Recipient => "seawall::config::recipient",
            Self::Host => "seawall::config::host",
            Self::Path => "seawall::config::path",
            Self::Method => "seawall::config::method",
            Self::Cookie => "seawall::config::cookie",
            Self::Query => "seawall::config::query",
            Self::OriginUrl => "seawall::config::origin_url",
            Self::OriginIsSelf => "seawall::config::origin_is_self",
            Self::AuthorityUrl => "seawall::config::authority_url",
            Self::DuplicateAddress => "seawall::config::duplicate_address",
            Self::DuplicateHost => "seawall::config::duplicate_host",
            Self::TlsWithoutCertificate => "seawall::config::tls_without_certificate",
            Self::CertificateWithoutTls => "seawall::config::certificate_without_tls",
            Self::NotPem => "seawall::config::not_pem",
            Self::AdminExposed => "seawall::config::admin_exposed",
            Self::WeakToken => "seawall::config::weak_token",
            Self::UselessKey => "seawall::config::useless_key",
            Self::NotBuilt => "seawall::config::not_built",
            Self::Danger => "seawall::config::danger",
            Self::ReadableSecret => "seawall::config::readable_secret",
            Self::StrangeList => "seawall::config::strange_list",
            Self::SessionCookie => "seawall::config::session_cookie",
            Self::SlowCertificate => "seawall::config::slow_certificate",
        }
    }

    /// What it means, for `docs/config.md` and `seawall explain`.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::UnreadableFile => {
                "A file named on the command line or in the configuration cannot be read. The system refused, not the configuration: look at the path and at its owner and mode."
            }
            Self::Syntax => {
                "The file is not TOML. Nothing after a broken line can be trusted, so other problems may show once it is mended."
            }
            Self::UnknownKey => {
                "No such key exists in this place. Seawall refuses it instead of ignoring it, because a mistyped protection is no protection."
            }
            Self::WrongType => {
                "The value is of another TOML type than the key takes: a number where text is wanted, one value where a list is wanted, `[site]` where `[[site]]` is wanted."
            }
            Self::MissingKey => "A key or section that has no safe default is missing.",
            Self::Duration => {
                "Not a duration. Durations are a whole number and a unit: `200ms`, `30s`, `5m`, `24h`, `30d`."
            }
            Self::Size => {
                "Not a size. Sizes are a whole number and a unit: `64MiB` (powers of 1,024) or `1GB` (powers of 1,000)."
            }
            Self::Rate => {
                "Not a rate. Rates are a whole number per second, minute or hour: `50/s`, `10/min`, `1000/h`."
            }
            Self::Speed => {
                "Not a speed. Speeds are bits or bytes per second: `100Mbit/s`, `12MiB/s`."
            }
            Self::Choice => "The value is not among the words this key takes.",
            Self::OutOfRange => {
                "The number, size, rate or duration lies outside of what is safe or possible. The message names both ends."
            }
            Self::Address => {
                "Not an address with a port, such as `0.0.0.0:443` or `[::]:443`. Names are not looked up, so that starting never depends on DNS."
            }
            Self::Prefix => {
                "Not an address or a CIDR prefix such as `192.0.2.0/24` or `2001:db8::/32`, or a prefix with bits set beyond its length."
            }
            Self::Fingerprint => {
                "Not a JA4 fingerprint (36 characters, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`), nor at least the first four of one with `*` at the end."
            }
            Self::Recipient => {
                "Not a public key of `age` (`age1` and 58 letters and digits, as `age-keygen` prints it), or one with a slip in it. The secret key (`AGE-SECRET-KEY-1`) belongs on another machine."
            }
            Self::Host => {
                "Not a host name as it stands in a browser's address bar, without scheme, port and path. `*` takes any host, `*.example.org` any one label."
            }
            Self::Path => {
                "Not a path that a route can match: it begins with `/`, carries no query, and `*` stands only at its end."
            }
            Self::Method => {
                "Not a request method that rules can name: `GET`, `HEAD`, `POST`, `PUT`, `DELETE`, `OPTIONS`, `PATCH`, in capitals."
            }
            Self::Cookie => {
                "Not a cookie name. Only names are compared; `*` stands for any run of characters."
            }
            Self::Query => {
                "Not the name of a query parameter. Only names are compared, in lower case; `*` stands for any run of characters."
            }
            Self::OriginUrl => {
                "Not the address of an origin: `http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:/PATH`, without a path and without a password."
            }
            Self::OriginIsSelf => {
                "The origin is an address on which Seawall itself listens: every request would come back to it without end."
            }
            Self::AuthorityUrl => {
                "Not the address of an authority for stamps of the time: `http://HOST[:PORT]/PATH` or `https://HOST[:PORT]/PATH`, without a password."
            }
            Self::DuplicateAddress => "Two listeners ask for the same address and port.",
            Self::DuplicateHost => {
                "Two sites claim the same host, so nobody could say which of them answers."
            }
            Self::TlsWithoutCertificate => {
                "A listener speaks TLS, but no certificate is configured."
            }
            Self::CertificateWithoutTls => {
                "A certificate is configured, but no listener speaks TLS. Readers would get plain HTTP where HTTPS was meant."
            }
            Self::NotPem => {
                "The file can be read but does not hold what it should in PEM form: a certificate, or a private key without a passphrase."
            }
            Self::AdminExposed => {
                "The admin address can be reached from other machines and no token protects it."
            }
            Self::WeakToken => {
                "The admin token is short enough to be guessed, or cannot stand in a header."
            }
            Self::UselessKey => {
                "The key has no effect beside the others, so it was probably meant differently."
            }
            Self::NotBuilt => {
                "Warning. The key is part of the configuration language, and its value was checked, but this version does not act on it yet."
            }
            Self::Danger => {
                "Warning. The setting weakens protection. It is meant for tests and for finding faults."
            }
            Self::ReadableSecret => {
                "Warning. A file that holds a secret can be read by every user of this machine."
            }
            Self::StrangeList => {
                "A list of networks (Tor exits, owners) holds lines that are none of its entries. They are left out, the others count."
            }
            Self::SessionCookie => {
                "Warning. A login cookie that the site's software gives to every visitor: whoever sends a form would count as signed in."
            }
            Self::SlowCertificate => {
                "Warning. A name has only an RSA certificate. Its signatures cost about 14 times as much as those of an ECDSA certificate, so an attack of handshakes is that much cheaper. With both, clients that can use ECDSA are given that one."
            }
        }
    }
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Blame {
    /// The text of the configuration is wrong.
    Config,
    /// The text may be right; the machine does not play along.
    System,
}

/// One thing that is wrong, with where and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Which kind.
    pub(crate) code: Code,
    /// Who has to act.
    pub(crate) blame: Blame,
    /// Line in the file, from 1; `None` where no line is to blame.
    pub(crate) line: Option<usize>,
    /// What happened and why it cannot stand: lower case, values in backticks, no full stop.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

/// Everything that was found in one file, in the order of its lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// The file's name as the user wrote it; empty when the command line is to blame.
    pub(crate) file: PathBuf,
    /// What must be mended.
    pub(crate) errors: Vec<Problem>,
    /// What should be known.
    pub(crate) warnings: Vec<Problem>,
}

impl Findings {
    /// Nothing found yet in `file`.
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// Puts both lists in the order of lines; what has no line comes last.
    pub(crate) fn sort(&mut self) {
        for list in [&mut self.errors, &mut self.warnings] {
            list.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        }
    }

    /// The errors as text for people, one paragraph each.
    pub(crate) fn render_errors(&self) -> String {
        self.render("error", &self.errors)
    }

    /// The warnings as text for people, one paragraph each.
    pub(crate) fn render_warnings(&self) -> String {
        self.render("warning", &self.warnings)
    }

    /// Both as JSON, for `check --json`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let list = |problems: &[Problem]| -> Vec<serde_json::Value> {
            problems
                .iter()
                .map(|problem| {
                    serde_json::json!({
                        "code": problem.code.as_str(),
                        "blame": problem.blame,
                        "line": problem.line,
                        "message": problem.message,
                        "hint": problem.hint,
                    })
                })
                .collect()
        };
        serde_json::json!({
            "file": self.file.to_string_lossy(),
            "ok": self.errors.is_empty(),
            "errors": list(&self.errors),
            "warnings": list(&self.warnings),
        })
    }

    fn render(&self, level: &str, problems: &[Problem]) -> String {
        let paragraphs: Vec<String> = problems
            .iter()
            .map(|problem| Paragraph { level, file: &self.file, problem }.to_string())
            .collect();
        paragraphs.join("\n")
    }
}

struct Paragraph<'a> {
    level: &'a str,
    file: &'a Path,
    problem: &'a Problem,
}

impl fmt::Display for Paragraph<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { code, line, message, hint, .. } = self.problem;
        writeln!(f, "{}: {}", self.level, printable(message))?;
        if !self.file.as_os_str().is_empty() {
            write!(f, "  --> {}", self.file.display())?;
            if let Some(line) = line {
                write!(f, ":{line}")?;
            }
            writeln!(f, " ({})", code.as_str())?;
        }
        writeln!(f, "hint: {}", printable(hint))
    }
}

/// A value quoted from a file must not move the terminal's cursor or split the line.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_every_one_is_explained() {
        let codes: HashSet<&str> = Code::ALL.into_iter().map(Code::as_str).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().starts_with("seawall::config::"));
            assert!(code.about().ends_with('.'), "{}", code.as_str());
        }
    }

    #[test]
    fn a_quoted_value_cannot_drive_the_terminal() {
        assert_eq!(printable("`a\u{1b}[2Jb\n`"), "`a\\u{1b}[2Jb\\n`");
    }

    #[test]
    fn a_problem_reads_as_the_conventions_ask() {
        let mut findings = Findings::new(Path::new("seawall.toml"));
        findings.errors.push(Problem {
            code: Code::OutOfRange,
            blame: Blame::Config,
            line: Some(14),
            message: "`limits.header_timeout` is `0s`, but it must be between `1s` and `10m`"
                .to_owned(),
            hint: "use `10s` (the default), or remove the line".to_owned(),
        });
        assert_eq!(
            findings.render_errors(),
            "error: `limits.header_timeout` is `0s`, but it must be between `1s` and `10m`\n  \
             --> seawall.toml:14 (seawall::config::out_of_range)\n\
             hint: use `10s` (the default), or remove the line\n"
        );
    }
}
