//! The files that a configuration names: can they be read, and do they hold what they should?
//!
//! Looking at start and at `check` turns a later failure into a message with a line. It does
//! **not** judge certificates (dates, chains, whether key and certificate belong together), but for
//! the kind of their keys: the edge does when it loads them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use seawall_edge::config::Certificate;
use seawall_edge::tls::{load_certificate, rsa_only};

use crate::config::problem::Code;
use crate::config::section::Report;

/// Notes it if `file` cannot be read or holds no certificate in PEM form.
pub(crate) fn check_certificate(report: &mut Report<'_>, key: &str, line: usize, file: &Path) {
    let Some(text) = read(report, key, line, file) else { return };
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        let what = if text.contains("PRIVATE KEY-----") {
            "a private key, not a certificate"
        } else {
            "no certificate in PEM form"
        };
        let message = format!("`{key}` is `{}`, which holds {what}", file.display());
        report.error(
            Code::NotPem,
            line,
            message,
            "name the PEM file with the full chain, such as `fullchain.pem`",
        );
    }
}

/// Notes it if `file` cannot be read or holds no usable private key in PEM form, and warns if
/// every user of the machine can read it.
pub(crate) fn check_key(report: &mut Report<'_>, key: &str, line: usize, file: &Path) {
    let Some(text) = read(report, key, line, file) else { return };
    let hint = "name the PEM file with the private key, such as `privkey.pem`";
    // RFC 7468 §11 and the older form of OpenSSL (RFC 1421 headers).
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.contains("Proc-Type: 4,ENCRYPTED")
    {
        let message = format!("`{key}` is `{}`, which is locked with a passphrase", file.display());
        report.error(
            Code::NotPem,
            line,
            message,
            "store the key without a passphrase and let the file's mode protect it",
        );
    } else if !text.contains("PRIVATE KEY-----") {
        let message =
            format!("`{key}` is `{}`, which holds no private key in PEM form", file.display());
        report.error(Code::NotPem, line, message, hint);
    } else {
        warn_if_exposed(report, key, line, file);
    }
}

/// Warns of names that have only RSA certificates. `lines` are those of `pairs`; pairs that do not
/// load are left to the edge, which says what is wrong with them.
pub(crate) fn warn_of_rsa(report: &mut Report<'_>, lines: &[usize], pairs: &[Certificate]) {
    let (lines, loaded): (Vec<usize>, Vec<_>) = lines
        .iter()
        .zip(pairs)
        .filter_map(|(line, pair)| Some((*line, load_certificate(pair).ok()?)))
        .unzip();
    for (at, names) in rsa_only(&loaded) {
        let message = format!(
            "`tls.cert` is `{}`, an RSA certificate and the only kind for {}: its signatures cost about 14 times as much as ECDSA's, so an attack of handshakes is that much cheaper",
            loaded[at].files.cert.display(),
            few(&names),
        );
        report.warning(
            Code::SlowCertificate,
            lines[at],
            message,
            "have one issued with an ECDSA key as well (certbot: `--key-type ecdsa`, the default since 2.0) and name it in another `[[tls]]`; RSA is then left to clients that need it",
        );
    }
}

/// The first few of `names`, and how many more there are.
fn few(names: &[&str]) -> String {
    let mut text = names.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>();
    if names.len() > text.len() {
        text.push(format!("{} more", names.len() - text.len()));
    }
    text.join(", ")
}

/// Notes it if `file` cannot be read or holds no certificate authorities.
pub(crate) fn check_authorities(report: &mut Report<'_>, key: &str, line: usize, file: &Path) {
    check_certificate(report, key, line, file);
}

/// Reads a bearer token, without the spaces around it.
pub(crate) fn read_token(
    report: &mut Report<'_>,
    key: &str,
    line: usize,
    file: &Path,
) -> Option<String> {
    let text = read(report, key, line, file)?;
    warn_if_exposed(report, key, line, file);
    let token = text.trim();
    let hint = "make one with `head -c 24 /dev/urandom | base64`";
    if token.len() < MIN_TOKEN_BYTES {
        let message = format!(
            "`{key}` is `{}`, which holds a token of fewer than `{MIN_TOKEN_BYTES}` characters",
            file.display()
        );
        report.error(Code::WeakToken, line, message, hint);
        return None;
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!(
            "`{key}` is `{}`, which holds a token with spaces or characters beyond ASCII",
            file.display()
        );
        report.error(Code::WeakToken, line, message, hint);
        return None;
    }
    Some(token.to_owned())
}

/// What the system said, in words: lower case, no full stop, no error number.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

fn read(report: &mut Report<'_>, key: &str, line: usize, file: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    match File::open(file).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)) {
        // PEM allows other bytes around its blocks (RFC 7468 §5.2), so they need not be UTF-8.
        Ok(_) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => {
            let message = format!(
                "`{key}` is `{}`, which cannot be read: {}",
                file.display(),
                reason(&error)
            );
            report.system_error(
                Code::UnreadableFile,
                line,
                message,
                "check the path, and that the user Seawall runs as may read the file",
            );
            None
        }
    }
}

fn warn_if_exposed(report: &mut Report<'_>, key: &str, line: usize, file: &Path) {
    let Ok(metadata) = fs::metadata(file) else { return };
    if metadata.permissions().mode() & 0o004 != 0 {
        let message =
            format!("`{key}` is `{}`, which every user of this machine can read", file.display());
        report.warning(
            Code::ReadableSecret,
            line,
            message,
            format!("run `chmod o-rwx {}`", file.display()),
        );
    }
}

/// 128 bits in base64 are 22 characters; 16 is the least that cannot be guessed over a network.
const MIN_TOKEN_BYTES: usize = 16;

/// Chains take a few KiB, all authorities of a system 250 KiB.
const MAX_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::problem::Findings;

    fn file(name: &str, text: &str, mode: u32) -> PathBuf {
        let file =
            std::env::temp_dir().join(format!("seawall-files-{}-{name}", std::process::id()));
        fs::write(&file, text).expect("the temporary folder is writable");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("own file");
        file
    }

    #[track_caller]
    fn check(
        name: &str,
        text: &str,
        mode: u32,
        look: impl Fn(&mut Report<'_>, &Path),
        want: &[Code],
    ) {
        let file = file(name, text, mode);
        let mut report = Report::new("", Findings::default());
        look(&mut report, &file);
        let Findings { errors, warnings, .. } = report.findings;
        let found: Vec<Code> =
            errors.into_iter().chain(warnings).map(|problem| problem.code).collect();
        fs::remove_file(file).expect("own file");
        assert_eq!(found, want);
    }

    #[test]
    fn certificates_keys_and_tokens_are_what_they_are_named() {
        let cert = "-----BEGIN CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\n";
        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n";
        let as_cert =
            |report: &mut Report<'_>, file: &Path| check_certificate(report, "tls.cert", 1, file);
        let as_key = |report: &mut Report<'_>, file: &Path| check_key(report, "tls.key", 1, file);
        let as_token = |report: &mut Report<'_>, file: &Path| {
            let _ = read_token(report, "admin.token_file", 1, file);
        };
        check("a", cert, 0o644, as_cert, &[]);
        check("b", key, 0o600, as_cert, &[Code::NotPem]);
        check("c", "", 0o600, as_cert, &[Code::NotPem]);
        check("d", key, 0o640, as_key, &[]);
        check("e", key, 0o644, as_key, &[Code::ReadableSecret]);
        check("f", cert, 0o600, as_key, &[Code::NotPem]);
        check("g", locked, 0o600, as_key, &[Code::NotPem]);
        check("h", "0123456789abcdef\n", 0o600, as_token, &[]);
        check("i", "0123456789abcde\n", 0o600, as_token, &[Code::WeakToken]);
        check(
            "j",
            "0123456789 abcdef\n",
            0o644,
            as_token,
            &[Code::WeakToken, Code::ReadableSecret],
        );
    }

    #[test]
    fn a_message_about_a_token_never_shows_it() {
        let file = file("k", "swordfish", 0o600);
        let mut report = Report::new("", Findings::default());
        assert_eq!(read_token(&mut report, "admin.token_file", 1, &file), None);
        assert!(!report.findings.render_errors().contains("swordfish"));
        fs::remove_file(file).expect("own file");
    }
}
