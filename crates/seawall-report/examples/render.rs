//! Writes the example report for people into a folder: `cargo run -p seawall-report --example render FOLDER`.

use std::error::Error;
use std::path::PathBuf;

use seawall_report::{ExportOptions, Tlp, example, html};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("which folder?")?);
    std::fs::create_dir_all(&folder)?;
    let options = ExportOptions {
        tlp: Tlp::Green,
        reporter: Some("The Daily Example".to_owned()),
        ..ExportOptions::default()
    };
    std::fs::write(folder.join("report.html"), html::render(&example(), &options)?)?;
    Ok(())
}
