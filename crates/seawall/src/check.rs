//! `seawall check`: every mistake in a configuration file at once.

use std::path::PathBuf;

use crate::Done;
use crate::cli::CheckArgs;
use crate::config::{self, machine::Machine};
use crate::output::{self, Failure, say};

/// Checks one file: success if `serve` would take it.
///
/// # Errors
/// A failure after the mistakes have been printed; a usage failure without a file.
pub(crate) fn run(config: Option<PathBuf>, args: CheckArgs) -> Done {
    let Some(file) = args.file.or(config) else {
        return Err(Failure::usage("no file to check", "write `seawall check seawall.toml`"));
    };
    let checked = config::load(&file, &Machine::survey());
    let (is_good, findings) = match checked {
        Ok((_, findings)) => (true, findings),
        Err(findings) => (false, findings),
    };
    if args.json {
        output::json(&findings.to_json())?;
    } else {
        let texts = [findings.render_errors(), findings.render_warnings()];
        let texts: Vec<&str> =
            texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        if !texts.is_empty() {
            say(&texts.join("\n"));
        }
        if is_good {
            output::data(&format!("`{}` is valid", file.display()))?;
        } else {
            let count = findings.errors.len();
            say(&format!(
                "\n{count} {} in `{}`",
                if count == 1 { "mistake" } else { "mistakes" },
                file.display()
            ));
        }
    }
    if is_good { Ok(()) } else { Err(Failure::Said) }
}
