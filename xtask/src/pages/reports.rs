//! The report of an incident, judged by programs that nobody here wrote.
//!
//! Separate because it needs no running Seawall: the files are those of `docs/examples`, made from the record of a demo, and
//! those with every field filled; tests hold both against what is rendered. It does **not** look at what the figures
//! mean; the tests of `seawall-report` do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::Outcome;
use crate::process::{found, output};

use super::{Check, script};

/// Tries every claim.
///
/// # Errors
/// When a program cannot be started.
pub(super) fn run(root: &Path, folder: &Path, logs: &Path) -> Outcome<Vec<Check>> {
    let mut checks = Vec::new();
    for (name, file) in [
        ("report of the demo", "docs/examples/incident"),
        ("report with every field", "crates/seawall-report/testdata/every-field"),
    ] {
        let page = root.join(format!("{file}.html"));
        checks.extend(judged(root, (folder, logs), name, &page)?);
        let (pdf, claim) = (page.with_extension("pdf"), |text: &str| format!("{name}: {text}"));
        checks.push(own("qpdf", claim("its PDF has no error"), sound(&pdf)));
        checks.push(own(
            "pdftotext",
            claim("its figures are those of the page"),
            figures(&page, &pdf),
        ));
        checks.push(own("pdftotext", claim("each of its pages is marked"), marked(&pdf)));
    }
    let pdf = root.join("crates/seawall-report/testdata/every-field.pdf");
    let claim = "names in any script can be copied from a report in PDF".to_owned();
    checks.push(own("pdftotext", claim, names(&pdf)));
    Ok(checks)
}

fn own(client: &'static str, name: String, outcome: Outcome) -> Check {
    Check { client, name, problem: outcome.err() }
}

/// What a browser says of `page`, and of how it prints.
fn judged(
    root: &Path,
    (folder, logs): (&Path, &Path),
    name: &str,
    page: &Path,
) -> Outcome<Vec<Check>> {
    let told = json!({
        "program": found("chromium")?,
        "name": name,
        "file": page,
        "pictures": folder,
        "profile": logs.join("report-profile"),
    });
    let mut checks = script(root, "reports.mjs", &told, folder, logs)?;
    let printed = folder.join("report-printed.pdf");
    for check in checks.iter_mut().filter(|check| check.name.contains("one page of paper")) {
        if check.problem.is_none() {
            check.problem = first_page(&printed).err();
        }
    }
    Ok(checks)
}

fn sound(pdf: &Path) -> Outcome {
    output(Command::new("qpdf").arg("--check").arg(pdf)).map(drop)
}

/// What is written in a PDF, sheets parted by form feeds.
fn words(pdf: &Path) -> Outcome<String> {
    let mut command = Command::new("pdftotext");
    let said = output(command.args(["-enc", "UTF-8", "-layout"]).arg(pdf).arg("-"))?;
    String::from_utf8(said.stdout).map_err(|_| "pdftotext does not write UTF-8".to_owned())
}

/// All that stands before the list of contents is on the first sheet.
fn first_page(printed: &Path) -> Outcome {
    let said = words(printed)?;
    let mut sheets = said.split('\u{c}');
    let (first, second) = (sheets.next().unwrap_or_default(), sheets.next().unwrap_or_default());
    // The marking stands above the words of each sheet.
    let begins =
        second.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("TLP:"));
    if first.contains("What is not known") && begins == Some("In full") {
        Ok(())
    } else {
        Err(format!("the second sheet begins with `{}`", begins.unwrap_or_default()))
    }
}

/// Each number that stands in a cell of the page's tables stands in the PDF, too.
fn figures(page: &Path, pdf: &Path) -> Outcome {
    let page =
        fs::read_to_string(page).map_err(|error| format!("cannot read the page: {error}"))?;
    let said = words(pdf)?;
    let cells = page.split("</td>").filter_map(|cell| cell.rsplit('>').next());
    let is_figure =
        |cell: &&str| cell.len() >= 5 && cell.chars().all(|c| c.is_ascii_digit() || c == ',');
    let wanted: BTreeSet<&str> = cells.filter(is_figure).collect();
    if wanted.len() < 20 {
        return Err(format!("only {} figures on the page", wanted.len()));
    }
    let missing: Vec<&str> = wanted.into_iter().filter(|figure| !said.contains(figure)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("missing: {}", missing.join(" "))) }
}

fn names(pdf: &Path) -> Outcome {
    let said = words(pdf)?;
    let missing: Vec<&str> =
        ["Марија", "Пример", "範例網路"].into_iter().filter(|name| !said.contains(name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("missing: {}", missing.join(" "))) }
}

fn marked(pdf: &Path) -> Outcome {
    let said = words(pdf)?;
    let pages: Vec<&str> = said.split('\u{c}').filter(|page| !page.trim().is_empty()).collect();
    let unmarked = pages.iter().filter(|page| page.matches("TLP:CLEAR").count() < 2).count();
    if unmarked == 0 && pages.len() > 3 {
        Ok(())
    } else {
        Err(format!("{unmarked} of {} pages are not", pages.len()))
    }
}
