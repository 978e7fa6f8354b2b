//! Programs that nobody here wrote read what a report is exported as: STIX, MISP, XARF, mails.
//!
//! Separate from the tests because it needs programs of PyPI (`xtask/evidence-tools.txt`). The tests know what we meant to
//! write; this shows that others read it as that, for the example report and for one with texts that try to break out
//! of every format, in both editions. It asks nobody over the network: only installing does.

use std::path::Path;
use std::process::Command;

use crate::process::{scratch, visible};
use crate::{Outcome, setup};

/// Writes the example's exports and has them judged.
///
/// # Errors
/// When something is missing, or a claim does not hold; which, was printed.
pub(crate) fn run(root: &Path) -> Outcome {
    setup::evidence()?;
    // Empty, so that nothing that an earlier run left is judged instead.
    let folder = scratch(root, "evidence")?;
    let arguments = [
        "run",
        "--quiet",
        "--locked",
        "--package",
        "seawall-report",
        "--example",
        "export_all",
        "--",
    ];
    visible(Command::new("cargo").args(arguments).arg(&folder).current_dir(root))?;
    visible(
        Command::new(root.join(setup::EVIDENCE_FOLDER).join("bin/python"))
            // Isolated: nothing of whoever runs it.
            .arg("-I")
            .arg(root.join("xtask/evidence/check.py"))
            .arg(&folder)
            .arg(root),
    )
}
