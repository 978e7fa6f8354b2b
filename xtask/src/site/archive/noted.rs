//! Copies as a browser shows them, beside the pages they are copies of.
//!
//! Separate, and only done when it is asked for by name, because it needs a browser and what
//! `cargo xtask pages` installs. Pictures are left in `target/real-site-pictures` for whoever changes the
//! note or the export.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::process::{found, output, target};
use crate::table::{Bar, Line};
use crate::{Outcome, pages, setup};

use super::Place;
use super::proxy::Way;
use super::trouble::{Scene, some};

/// Pages that are looked at, of all kinds that the site has.
const PAGES: usize = 20;

/// Looks at them with the site away.
///
/// # Errors
/// When the browser cannot be run or the export cannot be made.
pub(super) fn run(place: &Place<'_>, scene: &mut Scene) -> Outcome<Vec<Line>> {
    setup::pages()?;
    let folder = target(place.root).join("pages");
    pages::install(place.root, &folder)?;
    let pictures = target(place.root).join("real-site-pictures");
    let _ = fs::remove_dir_all(&pictures);
    fs::create_dir_all(&pictures).map_err(|error| format!("cannot keep pictures: {error}"))?;
    let here = place.stack.folder();
    let export = here.join("export");
    let mut command = Command::new(place.program);
    command.args(["archive", "export", "--static"]).arg(&export);
    output(command.arg("--config").arg(here.join("seawall.toml")))?;
    let all = scene.walk.found.iter().filter(|(_, found)| found.is_page());
    let all: Vec<&String> = all.map(|(path, _)| path).collect();
    let step = (all.len() / PAGES).max(1);
    let paths: Vec<&String> = all.into_iter().step_by(step).take(PAGES).collect();
    scene.proxy.set(Way::Away)?;
    let told = json!({
        "program": found("chromium")?,
        "origin": place.stack.origin_port(),
        "seawall": scene.port,
        "paths": paths,
        "export": export,
        "files": ["index.html", "story-500/index.html", "category/harbour/index.html"],
        "pictures": pictures,
        "profile": here.join("profile"),
    });
    let checks = pages::script(place.root, "copies.mjs", &told, &folder, here);
    scene.proxy.set(Way::Through)?;
    let checks = checks?;
    let problem = |check: &pages::Check| {
        check.problem.as_ref().map(|problem| format!("{}: {problem}", check.name))
    };
    let problems: Vec<String> = checks.iter().filter_map(problem).collect();
    for problem in &problems {
        eprintln!("  {problem}");
    }
    let what = "copies and files with faults of their own";
    let line = Line::new(what, problems.len() as f64, "", Bar::AtMost(0.0));
    Ok(vec![line.note(format!("of {}; {}", checks.len(), some(&problems)))])
}
