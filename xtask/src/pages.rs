//! Programs that nobody here wrote in front of a running Seawall: curl and Chromium.
//!
//! Separate from the tests because it needs a browser. The tests know what Seawall sends; this
//! shows what arrives at somebody: that a browser speaks HTTP/2 with it and draws the page, and
//! that the pages Seawall makes itself (`OWN` in the script), and those that it puts its note into
//! (`NOTED`), can be read on a small screen, in the dark, without script and by a screen reader
//! (axe-core finds nothing to complain about). Reports of incidents are judged likewise, and their PDFs by qpdf and pdftotext.
//! Pictures of those pages are left in `target/pages` for whoever changes them.
//!
//! It deliberately does **not** measure anything, and nothing it starts reaches beyond loopback.
//! Only `npm ci` does, once: it fetches what `xtask/pages/package-lock.json` names.

mod clients;
mod reports;
mod scene;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{bound, build_seawall_for_tests, found, output, output_within, target};
use crate::{Outcome, setup};

use self::scene::Scene;

/// How long the browser may take for all it looks at: about ten times what it needs on two cores
/// that do nothing else.
const BROWSE_LIMIT: Duration = Duration::from_secs(300);

/// One claim, and what spoke against it.
pub(crate) struct Check {
    client: &'static str,
    pub(crate) name: String,
    pub(crate) problem: Option<String>,
}

/// Tries every claim and prints them.
///
/// # Errors
/// When something cannot be started or a claim does not hold.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let program = match arguments {
        [] => None,
        [flag, program] if flag == "--program" => Some(PathBuf::from(program)),
        _ => return Err("pages takes nothing or `--program FILE`".to_owned()),
    };
    setup::pages()?;
    let program = match program {
        Some(program) => program,
        None => build_seawall_for_tests(root)?,
    };
    let folder = target(root).join("pages");
    install(root, &folder)?;
    let began = Instant::now();
    let scene = Scene::start(root, &program)?;
    let mut checks = clients::run(&scene);
    checks.extend(browse(root, &folder, &scene)?);
    checks.extend(reports::run(root, &folder, &scene.folder)?);
    drop(scene);
    for check in &checks {
        match &check.problem {
            None => println!("ok      {:<9} {}", check.client, check.name),
            Some(problem) => println!("FAILED  {:<9} {}: {problem}", check.client, check.name),
        }
    }
    let failed = checks.iter().filter(|check| check.problem.is_some()).count();
    let passed = checks.len() - failed;
    println!("pages: {passed} of {} hold, {:.1} s", checks.len(), began.elapsed().as_secs_f64());
    println!("pages: pictures are in {}", folder.display());
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} checks failed", checks.len())) }
}

/// The packages that the lock file names, unless they are there.
///
/// # Errors
/// When npm fails.
pub(crate) fn install(root: &Path, folder: &Path) -> Outcome {
    let cannot = |error: std::io::Error| format!("cannot fill `{}`: {error}", folder.display());
    fs::create_dir_all(folder).map_err(cannot)?;
    let source = root.join("xtask/pages");
    let lock = fs::read(source.join("package-lock.json")).map_err(cannot)?;
    // Written last, so that an installation that broke off is begun again.
    let done = folder.join("installed.json");
    if fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    for name in ["package.json", "package-lock.json"] {
        fs::copy(source.join(name), folder.join(name)).map_err(cannot)?;
    }
    println!("pages: npm ci");
    // No package may run a program of its own while it is installed.
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    output(Command::new("npm").args(arguments).current_dir(folder))?;
    fs::write(&done, lock).map_err(cannot)
}

/// What the browser finds. It prints one JSON object a line.
fn browse(root: &Path, folder: &Path, scene: &Scene) -> Outcome<Vec<Check>> {
    let program = found("chromium")?;
    let told = json!({
        "program": program,
        "port": scene.tls.port(),
        "pictures": folder,
        "profile": scene.folder.join("profile"),
    });
    script(root, "browse.mjs", &told, folder, &scene.folder)
}

/// What a script in `xtask/pages` finds, which is told what to look at. It runs in `folder`, where the
/// packages are; its output lies in `logs`.
///
/// # Errors
/// When it does not end in time, or tried nothing.
pub(crate) fn script(
    root: &Path,
    name: &str,
    told: &Value,
    folder: &Path,
    logs: &Path,
) -> Outcome<Vec<Check>> {
    let mut command = bound("node");
    let script = root.join("xtask/pages").join(name);
    command.arg(script).arg(told.to_string()).current_dir(folder);
    let log = logs.join("browse");
    let said = output_within("the browser's script", &mut command, BROWSE_LIMIT, &log)?;
    let mut checks = Vec::new();
    for line in said.lines() {
        let value: Value = serde_json::from_str(line)
            .map_err(|error| format!("the browser's script said `{line}`: {error}"))?;
        checks.push(Check {
            client: "chromium",
            name: value["name"].as_str().unwrap_or_default().to_owned(),
            problem: value["problem"].as_str().map(str::to_owned),
        });
    }
    if checks.is_empty() {
        Err("the browser's script tried nothing".to_owned())
    } else {
        Ok(checks)
    }
}
