//! From the configuration file to the typed [`Config`]: parse, don't validate.
//!
//! Reading goes in one direction: text, then a tree that knows its lines, then typed values, then
//! the checks that need several of them. Every step notes what is wrong and goes on, so that one
//! run reports every mistake. It deliberately does **not** create, bind or change anything; the
//! only files it opens are those the configuration names.
//!
//! Read next: `keys` for what may stand in a file, `defaults` for what holds when nothing does.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use seawall_edge::config::{Certificate, Config, Listen};
use seawall_seal::Digest;
use toml::de::DeTable;

pub(crate) mod machine;
pub(crate) mod problem;
pub(crate) mod value;

mod archive;
mod build;
mod databases;
mod defaults;
#[cfg(test)]
mod doc;
mod files;
mod keys;
mod limits;
mod lists;
mod section;
mod site;

pub(crate) use crate::config::defaults::ADMIN_SOCKET;
pub(crate) use crate::config::keys::about as about_key;

use crate::config::build::Builder;
use crate::config::machine::Machine;
use crate::config::problem::{Blame, Code, Findings, Problem};
use crate::config::section::{Report, Section};

/// Reads a configuration file.
///
/// # Errors
/// [`Findings`] with every mistake found; its warnings are those found besides.
pub(crate) fn load(file: &Path, machine: &Machine) -> Result<(Config, Findings), Findings> {
    let mut findings = Findings::new(file);
    match read(file) {
        Ok(text) => {
            let (mut config, findings) = load_text(&text, findings, machine)?;
            config.file_sha256 = Some(Digest::of(text.as_bytes()).to_string());
            Ok((config, findings))
        }
        Err(problem) => {
            findings.errors.push(problem);
            Err(findings)
        }
    }
}

/// Reads the text of a configuration file whose name is in `findings`.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_text(
    text: &str,
    findings: Findings,
    machine: &Machine,
) -> Result<(Config, Findings), Findings> {
    let base = findings.file.parent().unwrap_or(Path::new("")).to_owned();
    let mut report = Report::new(text, findings);
    let (root, errors) = DeTable::parse_recoverable(text);
    let is_toml = errors.is_empty();
    for error in errors {
        let line = error.span().map(|span| report.line(span.start));
        let message =
            format!("the file is not TOML here: {}", error.message().trim_end_matches('.'));
        report.error(Code::Syntax, line, message, "mend this line; `docs/config.md` has examples");
    }
    let config =
        Builder { machine, base: &base }.config(&mut report, Section::root(root.get_ref()));
    let mut findings = report.findings;
    if !is_toml {
        // Half a file says little about what is missing from it or stands in a wrong place.
        findings.errors.retain(|problem| {
            !matches!(
                problem.code,
                Code::MissingKey | Code::UnknownKey | Code::TlsWithoutCertificate
            )
        });
    }
    findings.sort();
    if findings.errors.is_empty() { Ok((config, findings)) } else { Err(findings) }
}

/// The configuration of `serve --origin URL --listen ADDR`: one site that takes any host.
///
/// # Errors
/// [`Findings`] without a file name, with every mistake found on the command line.
pub(crate) fn from_flags(
    origin: &str,
    listen: &[String],
    certificate: Option<Certificate>,
    machine: &Machine,
) -> Result<Config, Findings> {
    let mut report = Report::new("", Findings::default());
    let defaults = defaults::defaults(machine);
    let mut config = defaults.config;
    let mut site = defaults.site;
    site.hosts = vec!["*".to_owned()];
    match value::origin(origin) {
        Ok(target) => site.origin.target = target,
        Err(complaint) => {
            section::complain(&mut report, Code::OriginUrl, "--origin", 0, origin, &complaint);
        }
    }
    for text in listen {
        match value::socket_address(text) {
            Ok(address) => config.listen.push(Listen {
                address,
                tls: certificate.is_some(),
                proxy_protocol: false,
                public_port: None,
            }),
            Err(complaint) => {
                section::complain(&mut report, Code::Address, "--listen", 0, text, &complaint);
            }
        }
    }
    if let Some(Certificate { cert, key }) = &certificate {
        files::check_certificate(&mut report, "--tls-cert", 0, cert);
        files::check_key(&mut report, "--tls-key", 0, key);
    }
    config.tls.extend(certificate);
    let lines = vec![0; config.listen.len()];
    build::check_loops(&mut report, &config.listen, &site.origin.target, 0);
    build::check_duplicates(&mut report, &config.listen, &lines);
    config.sites.push(site);
    for problem in report.findings.errors.iter_mut().chain(&mut report.findings.warnings) {
        problem.line = None;
    }
    if report.findings.errors.is_empty() { Ok(config) } else { Err(report.findings) }
}

fn read(file: &Path) -> Result<String, Problem> {
    let problem = |message: String, hint: &str| Problem {
        code: Code::UnreadableFile,
        blame: Blame::System,
        line: None,
        message,
        hint: hint.to_owned(),
    };
    let mut text = String::new();
    let size = File::open(file)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| {
            let message = format!(
                "cannot read the configuration `{}`: {}",
                file.display(),
                files::reason(&error)
            );
            problem(
                message,
                "check the path and who may read it; `--config FILE` names another one",
            )
        })?;
    if size as u64 > MAX_FILE_BYTES {
        let message = format!("the configuration `{}` is larger than `1MiB`", file.display());
        return Err(problem(message, "name a configuration file"));
    }
    Ok(text)
}

/// A thousand sites take 300 KB; what is larger was named by mistake.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};

    use super::*;

    fn machine() -> Machine {
        Machine {
            cores: 4,
            free_memory: 1 << 30,
            open_files: 20_000,
            temporary_state: PathBuf::from("/tmp/seawall-test"),
        }
    }

    #[track_caller]
    fn good(text: &str) -> Config {
        match load_text(text, Findings::new(Path::new("test.toml")), &machine()) {
            Ok((config, _)) => config,
            Err(findings) => panic!("{}", findings.render_errors()),
        }
    }

    const SMALLEST: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[site]]\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:8080\"\n";

    #[test]
    fn the_smallest_file_is_complete() {
        let config = good(SMALLEST);
        assert!(config.state_is_temporary);
        assert_eq!(config.workers, 4);
        assert_eq!(config.memory_bytes, 1 << 29);
        assert_eq!(config.limits.max_connections, 10_000);
        assert_eq!(config.admin_socket, Some(PathBuf::from("/tmp/seawall-test/admin.sock")));
        assert_eq!(config.admin_address, None);
    }

    #[test]
    fn a_session_that_every_visitor_has_is_warned_about_as_a_login() {
        let warned = |cookies: &str| {
            let text = format!("{SMALLEST}login_cookies = [{cookies}]\n");
            let loaded = load_text(&text, Findings::new(Path::new("test.toml")), &machine());
            let (_, findings) = loaded.expect("warnings stop nobody");
            let of_cookies =
                findings.warnings.iter().filter(|problem| problem.code == Code::SessionCookie);
            of_cookies.count()
        };
        for cookie in [
            "PHPSESSID",
            "laravel_session",
            "JSESSIONID",
            "connect.sid",
            "ASP.NET_SessionId",
            "ASPSESSIONID*",
            "*sess*",
        ] {
            assert_eq!(warned(&format!("\"{cookie}\"")), 1, "{cookie}");
        }
        assert_eq!(warned("\"wordpress_logged_in_*\", \"remember_*\""), 0);
        assert_eq!(warned("\"remember_*\", \"sid\", \"session\""), 2);
    }

    #[test]
    fn a_name_with_only_an_rsa_certificate_is_warned_about() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let make = |label: &str, algorithm, names: &[&str]| {
            let key = rcgen::KeyPair::generate_for(algorithm).expect("key");
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let params = rcgen::CertificateParams::new(names).expect("names");
            let file = |end| dir.path().join(format!("{label}.{end}")).display().to_string();
            let (cert, secret) = (file("pem"), file("key"));
            let made = params.self_signed(&key).expect("certificate");
            std::fs::write(&cert, made.pem()).expect("writes");
            std::fs::write(&secret, key.serialize_pem()).expect("writes");
            format!("[[tls]]\ncert = \"{cert}\"\nkey = \"{secret}\"\n")
        };
        let names = ["example.org", "a.example.org", "b.example.org", "c.example.org"];
        let rsa = make("rsa", &rcgen::PKCS_RSA_SHA256, &names);
        let one = make("one", &rcgen::PKCS_ECDSA_P256_SHA256, &names[..1]);
        let all = make("all", &rcgen::PKCS_ECDSA_P256_SHA256, &names);
        let warned = |tls: &[&str]| {
            let text =
                SMALLEST.replace("[[site]]", &format!("tls = true\n{}[[site]]", tls.concat()));
            let loaded = load_text(&text, Findings::new(Path::new("test.toml")), &machine());
            let (_, findings) = loaded.expect("warnings stop nobody");
            let slow = findings.warnings.into_iter().filter(|p| p.code == Code::SlowCertificate);
            slow.map(|problem| (problem.line, problem.message)).collect::<Vec<_>>()
        };
        let told = warned(&[&rsa]);
        assert_eq!((told.len(), told[0].0), (1, Some(5)), "{told:?}");
        assert!(told[0].1.contains("`b.example.org`, 1 more: its signatures"), "{told:?}");
        let told = warned(&[&one, &rsa]);
        assert_eq!((told.len(), told[0].0), (1, Some(8)), "{told:?}");
        assert!(told[0].1.contains("for `a.example.org`, `b.example.org`, `c.example.org`:"));
        assert!(warned(&[&rsa, &all]).is_empty());
        assert!(warned(&[&one]).is_empty());
    }

    #[test]
    fn writing_out_every_documented_default_changes_nothing() {
        // Every key whose default is a value is written with it, section by section, and must
        // give what the absence of all of them gives.
        let value = |prefix: &str| -> String {
            let of_section = |key: &&keys::Key| {
                key.path.rsplit_once('.').map_or("", |(section, _)| section) == prefix
                    && !key.default.starts_with('(')
                    && key.path != "site.hosts"
            };
            let line = |key: &keys::Key| {
                let name = key.path.rsplit_once('.').map_or(key.path, |(_, name)| name);
                format!("{name} = {}\n", key.default)
            };
            keys::all().filter(of_section).map(line).collect()
        };
        let mut text = value("");
        text += &format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{}", value("listen"));
        text += &format!(
            "[[site]]\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:8080\"\n{}",
            value("site")
        );
        for section in keys::SECTIONS {
            if section.times == keys::Times::Once {
                text += &format!("[{}]\n{}", section.path, value(section.path));
            }
        }
        assert_eq!(format!("{:?}", good(&text)), format!("{:?}", good(SMALLEST)));
    }

    #[test]
    fn flags_build_the_same_as_the_smallest_file() {
        let flags =
            from_flags("http://127.0.0.1:8080", &["127.0.0.1:0".to_owned()], None, &machine());
        let flags = flags.expect("both flags are valid");
        assert_eq!(format!("{flags:?}"), format!("{:?}", good(SMALLEST)));
    }

    #[test]
    fn flags_report_all_their_mistakes() {
        let listen = ["localhost".to_owned(), "1.2.3.4".to_owned()];
        let findings =
            from_flags("localhost", &listen, None, &machine()).expect_err("three mistakes");
        assert_eq!(findings.errors.len(), 3, "{}", findings.render_errors());
        assert!(findings.errors.iter().all(|problem| problem.line.is_none()));
        assert!(!findings.render_errors().contains("-->"));
    }

    #[test]
    fn files_are_found_beside_the_configuration() {
        let findings = Findings::new(Path::new("/etc/seawall/seawall.toml"));
        let text = format!("state_dir = \"state\"\n{SMALLEST}");
        let (config, _) = load_text(&text, findings, &machine()).expect("the text is valid");
        assert_eq!(config.state_dir, PathBuf::from("/etc/seawall/state"));
        assert_eq!(config.admin_socket, Some(PathBuf::from("/etc/seawall/state/admin.sock")));
        assert!(!config.state_is_temporary);
    }

    #[test]
    fn a_configuration_knows_the_digest_of_its_file() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(SMALLEST.as_bytes()).expect("there is room");
        let (config, _) = load(file.path(), &machine()).expect("the file is valid");
        assert_eq!(config.file_sha256, Some(Digest::of(SMALLEST.as_bytes()).to_string()));
    }

    fn fragments() -> impl Strategy<Value = String> {
        let known =
            prop::sample::select(keys::all().map(|key| key.path).collect::<Vec<&'static str>>());
        let value = prop::sample::select(vec![
            "1",
            "-1",
            "true",
            "\"10s\"",
            "\"64MiB\"",
            "[]",
            "[\"*\"]",
            "\"\"",
            "{}",
            "1.5",
            "[[]]",
            "1979-05-27",
            "\"http://127.0.0.1\"",
            "\"127.0.0.1:80\"",
            "99999999999999999999999",
        ]);
        let line = (known, value).prop_map(|(key, value)| format!("{key} = {value}\n"));
        let section = prop::sample::select(
            keys::SECTIONS.iter().map(|section| keys::header(section.path)).collect::<Vec<_>>(),
        );
        prop_oneof![line, section.prop_map(|header| format!("{header}\n")), any::<String>()]
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(parts in prop::collection::vec(fragments(), 0..8)) {
            let _ = load_text(&parts.concat(), Findings::new(Path::new("x")), &machine());
        }
    }
}
