//! Attacks and surges on a virtual clock, held against their bars.
//!
//! Separate because the simulator is no part of the program: it is an example of `seawall-sim`, built with
//! optimisation, and this only starts it. What may be asked of it is said there.

use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::process::visible;

/// Runs the scenarios and prints their table; all twenty seeds of all of them if nothing else is asked for.
///
/// # Errors
/// When it cannot be built, or a bar is missed that is not on the list of known misses.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let built =
        ["run", "--quiet", "--release", "--locked", "-p", "seawall-sim", "--example", "sim"];
    visible(Command::new("cargo").args(built).arg("--").args(arguments).current_dir(root))
}
