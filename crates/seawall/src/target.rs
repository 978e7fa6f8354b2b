//! Which configuration, which state folder and which socket a command is about.
//!
//! The same order of places for every command, so that `serve` and `status` started in one folder
//! mean the same program.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::cli::TargetArgs;
use crate::config::{self, machine::Machine};
use crate::output::{Failure, say};

/// Where a running or stopped program is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its admin socket.
    pub(crate) socket: PathBuf,
    /// Its state folder, if it is known.
    pub(crate) state: Option<PathBuf>,
}

/// The configuration file that is meant: the one given, else the first usual one that exists.
pub(crate) fn config_file(given: Option<&Path>) -> Option<PathBuf> {
    given
        .map(Path::to_owned)
        .or_else(|| USUAL_FILES.iter().map(PathBuf::from).find(|file| file.exists()))
}

/// The program that is meant: by its state folder, else by its configuration, else by the usual
/// socket.
///
/// # Errors
/// A failure if the configuration that would say it cannot be read.
pub(crate) fn find(given: Option<&Path>, args: &TargetArgs) -> Result<Target, Failure> {
    if let Some(state) = &args.state {
        return Ok(in_folder(state));
    }
    let Some(file) = config_file(given) else {
        return Ok(Target { socket: PathBuf::from(USUAL_SOCKET), state: None });
    };
    match config::load(&file, &Machine::survey()) {
        Ok((config, _))
            if config.state_is_temporary
                && config.admin_socket.as_deref() == Some(&in_folder(&config.state_dir).socket) =>
        {
            Err(Failure::failed(
                format!(
                    "`{}` names neither `state_dir` nor `admin.socket`, so the running program cannot be found by it",
                    file.display()
                ),
                "use `--state DIR` with the folder that `serve` named at its start",
            ))
        }
        Ok((config, _)) => {
            let state = (!config.state_is_temporary).then_some(config.state_dir);
            Ok(Target {
                socket: config.admin_socket.unwrap_or_else(|| PathBuf::from(USUAL_SOCKET)),
                state,
            })
        }
        Err(findings) => {
            say(&findings.render_errors());
            Err(Failure::Said)
        }
    }
}

/// Files made as root could not be read or written by the program when it starts again.
///
/// # Errors
/// A failure if root asks for something in the folder of another user; `command` is what was asked.
pub(crate) fn check_owner(state: &Path, command: &str) -> Result<(), Failure> {
    let owner = fs::metadata(state).map(|it| it.uid()).unwrap_or(0);
    if rustix::process::geteuid().is_root() && owner != 0 {
        return Err(Failure::failed(
            format!(
                "`{}` belongs to user {owner}, who could not write what root writes there",
                state.display()
            ),
            format!("run it as that user: `sudo -u '#{owner}' seawall {command} …`"),
        ));
    }
    Ok(())
}

fn in_folder(state: &Path) -> Target {
    Target { socket: state.join(config::ADMIN_SOCKET), state: Some(state.to_owned()) }
}

const USUAL_FILES: [&str; 2] = ["seawall.toml", "/etc/seawall/seawall.toml"];
const USUAL_SOCKET: &str = "/run/seawall/admin.sock";
