//! Which crate may use which.
//!
//! The table of ARCHITECTURE.md as data, held against what `cargo metadata` reports. Separate
//! because it is the one rule that is about the graph and not about a file.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Outcome;

use super::Finding;

/// What one crate may use.
struct Row {
    name: &'static str,
    /// Crates of this workspace, without `seawall-`.
    ours: &'static [&'static str],
    /// Crates of others that it must never use, because they would break what its boundary is for.
    never: &'static [&'static str],
}

const PURE: &[&str] =
    &["tokio", "hyper", "mio", "futures", "async-trait", "serde", "serde_json", "tracing", "rand"];
const NO_ASYNC: &[&str] = &["tokio", "hyper", "mio", "futures", "async-trait", "tracing"];

/// A crate that is not listed here fails: a new crate is a decision.
const TABLE: &[Row] = &[
    Row { name: "seawall-model", ours: &[], never: PURE },
    Row { name: "seawall-wire", ours: &["model"], never: PURE },
    Row { name: "seawall-decide", ours: &["model"], never: PURE },
    Row { name: "seawall-detect", ours: &["model"], never: PURE },
    Row { name: "seawall-control", ours: &["model", "detect"], never: PURE },
    Row { name: "seawall-cache", ours: &["model"], never: NO_ASYNC },
    Row { name: "seawall-seal", ours: &["model"], never: NO_ASYNC },
    Row { name: "seawall-archive", ours: &["model", "seal"], never: NO_ASYNC },
    Row { name: "seawall-report", ours: &["model", "seal"], never: NO_ASYNC },
    Row { name: "seawall-kernel", ours: &["model"], never: NO_ASYNC },
    Row { name: "seawall-rehearse", ours: &["model", "wire"], never: &[] },
    Row {
        name: "seawall-sim",
        ours: &["model", "decide", "detect", "control", "cache"],
        never: NO_ASYNC,
    },
    Row {
        name: "seawall-edge",
        ours: &[
            "model", "wire", "decide", "detect", "control", "cache", "seal", "archive", "report",
            "kernel", "rehearse",
        ],
        never: &[],
    },
    Row {
        name: "seawall",
        ours: &[
            "model", "wire", "decide", "detect", "control", "cache", "seal", "archive", "report",
            "rehearse", "edge",
        ],
        never: &[],
    },
    Row { name: "xtask", ours: &[], never: NO_ASYNC },
];

/// Asks cargo for the graph and checks it.
///
/// # Errors
/// When cargo cannot be run or does not answer with JSON.
pub(crate) fn check(root: &Path) -> Outcome<Vec<Finding>> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run `cargo metadata`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo metadata` says: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`cargo metadata` did not answer with JSON: {error}"))?;
    Ok(arrows(&metadata))
}

fn arrows(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let file = format!(
            "{}/Cargo.toml",
            if name == "xtask" { name.to_owned() } else { format!("crates/{name}") }
        );
        let mut report = |what: String, mend: &str| {
            findings.push(Finding { file: file.clone(), line: 0, what, mend: mend.to_owned() });
        };
        let Some(row) = TABLE.iter().find(|row| row.name == name) else {
            report(
                format!("crate `{name}` is not in the table of arrows"),
                "add a row in xtask/src/tidy/arrows.rs and ARCHITECTURE.md, with a decision record",
            );
            continue;
        };
        let used = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
        for dependency in used {
            let used = dependency["name"].as_str().unwrap_or_default();
            let ours = names.contains(&used);
            // Tests may read fixtures with what the crate itself must not know.
            let is_for_tests = dependency["kind"] == "dev";
            let short = used.strip_prefix("seawall-").unwrap_or(used);
            if ours && !row.ours.contains(&short) {
                report(
                    format!("`{name}` may not use `{used}`"),
                    "turn the arrow round or move the shared words into seawall-model",
                );
            } else if !ours && !is_for_tests && row.never.contains(&used) {
                report(
                    format!("`{name}` may not use `{used}`"),
                    "do this in seawall-edge and pass the result in as an argument",
                );
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::arrows;

    #[test]
    fn arrows_that_point_back_and_strangers_in_pure_crates_are_found() {
        let metadata = json!({"packages": [
            {"name": "seawall-model", "dependencies": [
                {"name": "serde", "kind": null},
                {"name": "serde_json", "kind": "dev"},
            ]},
            {"name": "seawall-wire", "dependencies": [{"name": "seawall-model"}, {"name": "seawall-edge"}]},
            {"name": "seawall-edge", "dependencies": [{"name": "seawall-wire"}, {"name": "tokio"}]},
            {"name": "seawall-helper", "dependencies": []},
        ]});
        let whats: Vec<String> =
            arrows(&metadata).into_iter().map(|finding| finding.what).collect();
        assert_eq!(
            whats,
            [
                "`seawall-model` may not use `serde`",
                "`seawall-wire` may not use `seawall-edge`",
                "crate `seawall-helper` is not in the table of arrows",
            ]
        );
    }
}
