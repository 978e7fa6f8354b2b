//! Installing what is missing, or naming it.
//!
//! Separate from the tasks so that each asks for its own needs in one place. As root on Debian it
//! installs; as anybody else it prints the command. It never upgrades what is there.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{is_installed, is_root, program_like, visible};
use crate::{Outcome, repository};

/// The cargo-deny this project is checked with.
const CARGO_DENY: &str = "0.20.2";

/// What the tests of the archive ask, as `pip` reads it.
const ARCHIVE_TOOLS: &str = "xtask/archive-tools.txt";

/// What judges the exports of a report, with the digests of all that is installed.
const EVIDENCE_TOOLS: &str = "xtask/evidence-tools.txt";

/// One thing that must be there.
struct Need {
    /// A program on the path, `NAME*` for one with a version at its end, `php:MODULE`,
    /// `python3:MODULE`, or an absolute path that must exist.
    proof: &'static str,
    /// The Debian package that brings it.
    package: &'static str,
    /// What goes without it.
    purpose: &'static str,
}

const fn need(proof: &'static str, package: &'static str, purpose: &'static str) -> Need {
    Need { proof, package, purpose }
}

const CC: Need = need("cc", "build-essential", "aws-lc is C and must be compiled");
const CURL: Need = need("curl", "curl", "a client nobody here wrote");
const OPENSSL: Need = need("openssl", "openssl", "certificates, and TLS from a second hand");
const NGINX: Need = need("nginx", "nginx", "origin, rival, and a second opinion on HTTP/1");
const HAPROXY: Need = need("haproxy", "haproxy", "rival, and a third opinion on HTTP/1");
const VALGRIND: Need = need("valgrind", "valgrind", "counting instructions");
const WRK: Need = need("wrk", "wrk", "bounded load over HTTP/1.1");

/// Of `cargo xtask ci` without its step `pages`.
const CI: &[Need] = &[
    CC,
    CURL,
    OPENSSL,
    NGINX,
    HAPROXY,
    need("unzip", "unzip", "checking a package of the archive as a stranger does"),
    need("python3:ensurepip", "python3-venv", "programs that judge packages of the archive"),
];

const EVIDENCE: &[Need] = &[
    CC,
    need("python3:ensurepip", "python3-venv", "programs that judge exports of a report"),
    need("pdftotext", "poppler-utils", "what a PDF says"),
];

const DIFFERENTIAL: &[Need] = &[CC, NGINX, HAPROXY];

const INSTRUCTIONS: &[Need] = &[CC, VALGRIND];

const PAGES: &[Need] = &[
    CC,
    CURL,
    OPENSSL,
    need("node", "nodejs", "drives the browser, and is the origin"),
    need("npm", "npm", "installs what the browser is driven with"),
    need("chromium", "chromium", "a reader's browser"),
    need("qpdf", "qpdf", "whether the report in PDF is sound"),
    need("pdftotext", "poppler-utils", "what can be copied from it"),
    need("pdftotext", "poppler-utils", "what a PDF says"),
];

const BENCH: &[Need] = &[
    CC,
    NGINX,
    HAPROXY,
    WRK,
    need("h2load", "nghttp2-client", "load over HTTP/2"),
    OPENSSL,
    need("taskset", "util-linux", "one core for the server, one for the client"),
    need("python3", "python3", "the client that holds idle TLS connections"),
    VALGRIND,
];

const ADMISSION: &[Need] = &[
    CC,
    NGINX,
    WRK,
    OPENSSL,
    CURL,
    need("h2load", "nghttp2-client", "load on connections that are kept"),
    need("taskset", "util-linux", "one core for the server, one for the client"),
    need("python3", "python3", "the client that says only hello"),
    need("slowhttptest", "slowhttptest", "slow connections of three kinds"),
];

const ARCHIVE: &[Need] = &[
    CC,
    NGINX,
    CURL,
    need("/usr/share/doc/debian-handbook/html/en-US/index.html", "debian-handbook", "the site"),
];

const REAL_SITE: &[Need] = &[
    CC,
    need("/usr/share/wordpress/wp-load.php", "wordpress", "the site"),
    need("mariadbd", "mariadb-server", "its database"),
    need("php", "php-cli", "loading the posts"),
    need("php-fpm*", "php-fpm", "running the site"),
    need("php:mysqli", "php-mysql", "PHP to MariaDB"),
    need("php:SimpleXML", "php-xml", "its sitemap"),
    need(
        "/usr/share/wordpress/wp-content/themes/twentytwentyone/style.css",
        "wordpress-theme-twentytwentyone",
        "its theme",
    ),
    NGINX,
    WRK,
    CURL,
    OPENSSL,
    need("python3", "python3", "floods from many addresses"),
    need("unzip", "unzip", "looking into packages of the archive"),
];

/// Sees to what `arguments` name: `ci` (without any), `pages`, `bench`, `real-site` or `all`.
///
/// # Errors
/// When something is missing and cannot be installed from here.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    match arguments.first().map_or("ci", String::as_str) {
        "ci" => ci(),
        "pages" => pages(),
        "bench" => bench(),
        "real-site" => real_site(),
        "all" => ci().and_then(|()| bench()).and_then(|()| real_site()),
        other => {
            let known = "`ci`, `pages`, `bench`, `real-site` and `all`";
            Err(format!("setup knows {known}, not `{other}`"))
        }
    }
}

/// What `cargo xtask ci` needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn ci() -> Outcome {
    packages("ci", CI)?;
    pages()?;
    components()?;
    archive_tools()?;
    evidence_tools()?;
    cargo_deny()
}

/// What `cargo xtask ci --only evidence` needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn evidence() -> Outcome {
    packages("evidence", EVIDENCE)?;
    evidence_tools()
}

/// What `cargo xtask pages` needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn pages() -> Outcome {
    packages("pages", PAGES)
}

/// What `cargo xtask differential` needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn differential() -> Outcome {
    packages("differential", DIFFERENTIAL)
}

/// What `cargo xtask bench --instructions` needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn instructions() -> Outcome {
    packages("bench --instructions", INSTRUCTIONS)
}

/// What `cargo xtask bench` needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn bench() -> Outcome {
    packages("bench", BENCH)
}

/// What `cargo xtask bench admission` needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn admission() -> Outcome {
    packages("bench admission", ADMISSION)
}

/// What `cargo xtask bench archive` needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn archive() -> Outcome {
    packages("bench archive", ARCHIVE)
}

/// What `cargo xtask real-site` needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn real_site() -> Outcome {
    packages("real-site", REAL_SITE)
}

fn packages(task: &str, needs: &[Need]) -> Outcome {
    let missing: Vec<&Need> = needs.iter().filter(|need| !is_there(need)).collect();
    if missing.is_empty() {
        println!("setup: {task} has its {} programs", needs.len());
        return Ok(());
    }
    for need in &missing {
        println!("setup: `{}` is missing: {}", need.proof, need.purpose);
    }
    let mut names: Vec<&str> = missing.iter().map(|need| need.package).collect();
    names.dedup();
    let command = format!("apt-get install -y --no-install-recommends {}", names.join(" "));
    if !Path::new("/etc/debian_version").exists() || !is_installed("apt-get") {
        return Err(format!("install the missing programs; on Debian: sudo {command}"));
    }
    if !is_root() {
        return Err(format!("packages are missing; run: sudo {command}"));
    }
    println!("setup: {command}");
    // A runlevel of 1 keeps Debian from starting the daemons it installs.
    let apt = |arguments: &[&str]| {
        visible(
            Command::new("apt-get")
                .args(arguments)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .env("RUNLEVEL", "1"),
        )
    };
    apt(&["update", "-q"])?;
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(names);
    apt(&arguments)?;
    match needs.iter().find(|need| !is_there(need)) {
        None => Ok(()),
        Some(need) => {
            Err(format!("`{}` is still missing after installing `{}`", need.proof, need.package))
        }
    }
}

fn is_there(need: &Need) -> bool {
    if need.proof.starts_with('/') {
        return Path::new(need.proof).exists();
    }
    if let Some(module) = need.proof.strip_prefix("php:") {
        let modules = Command::new("php").arg("-m").output();
        return modules.is_ok_and(|said| {
            String::from_utf8_lossy(&said.stdout).lines().any(|line| line == module)
        });
    }
    if let Some(module) = need.proof.strip_prefix("python3:") {
        let imported = Command::new("python3").args(["-c", &format!("import {module}")]).output();
        return imported.is_ok_and(|said| said.status.success());
    }
    match need.proof.strip_suffix('*') {
        Some(begin) => program_like(begin).is_some(),
        None => is_installed(need.proof),
    }
}

/// rustfmt and clippy; `rust-toolchain.toml` names them, so rustup has usually fetched them.
fn components() -> Outcome {
    for component in ["fmt", "clippy"] {
        let there = Command::new("cargo").args([component, "--version"]).output();
        if there.is_ok_and(|there| there.status.success()) {
            continue;
        }
        let package = if component == "fmt" { "rustfmt" } else { component };
        visible(Command::new("rustup").args(["component", "add", package]))
            .map_err(|error| format!("{error}; run: rustup component add {package}"))?;
    }
    Ok(())
}

/// The programs of [`ARCHIVE_TOOLS`].
fn archive_tools() -> Outcome {
    python_tools(ARCHIVE_TOOLS, "target/archive-tools", &["--no-deps"])
}

/// The programs of [`EVIDENCE_TOOLS`].
fn evidence_tools() -> Outcome {
    python_tools(EVIDENCE_TOOLS, EVIDENCE_FOLDER, &["--no-deps", "--require-hashes"])
}

/// Where the programs that judge exports are, from the repository's root.
pub(crate) const EVIDENCE_FOLDER: &str = "target/evidence-tools";

/// The programs of a list, in the versions named there and nowhere but in `folder`.
fn python_tools(list_name: &str, folder: &str, options: &[&str]) -> Outcome {
    let root = repository();
    let (folder, wanted) = (root.join(folder), root.join(list_name));
    let list = folder.join("installed.txt");
    let requirements = wanted.clone();
    let wanted = fs::read_to_string(wanted)
        .map_err(|error| format!("cannot read `{list_name}`: {error}"))?;
    if fs::read_to_string(&list).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    println!("setup: installing what is in {list_name}");
    visible(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    visible(
        Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(options)
            .arg("--requirement")
            .arg(requirements),
    )?;
    // Last, so that what was broken off begins again.
    fs::write(&list, wanted).map_err(|error| format!("cannot write `{}`: {error}", list.display()))
}

fn cargo_deny() -> Outcome {
    let there = Command::new("cargo").args(["deny", "--version"]).output();
    if there.is_ok_and(|there| there.status.success()) {
        return Ok(());
    }
    println!("setup: installing cargo-deny {CARGO_DENY} (about four minutes on two cores)");
    // It runs for a second; building it fast matters more than how fast it is.
    visible(
        Command::new("cargo")
            .args(["install", "cargo-deny", "--locked", "--version", CARGO_DENY])
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    )
}
