//! `seawall serve`: stands in front of a site until it is told to stop.
//!
//! Prepares what the edge needs and takes no part afterwards: the log, the open-file limit, the
//! configuration, the state folder. A reload reads the same file again through the same function.

use std::fs::{self, DirBuilder};
use std::io::{self, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seawall_edge::config::{Certificate, Config};
use tracing::{Level, info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::Done;
use crate::cli::ServeArgs;
use crate::config::{self, machine::Machine};
use crate::output::{Failure, say, with_causes};
use crate::target::config_file;

/// Runs the shield until SIGTERM or a failure.
///
/// # Errors
/// A usage failure for wrong flags; a failure for a wrong configuration, and for what stops the
/// edge from running.
pub(crate) fn run(config: Option<&Path>, args: ServeArgs) -> Done {
    let source = Source::choose(config, args)?;
    log_to_stderr();
    raise_open_files();
    let machine = Machine::survey();
    let config = source.read(&machine)?;
    let state = StateFolder::prepare(&config)?;
    let running = config.state_dir.clone();
    let reload = move || source.read_again(&machine, &running);
    let served = seawall_edge::serve(config, Box::new(reload));
    drop(state);
    served.map_err(|error| {
        Failure::failed(with_causes(&error), "see the lines above for what was tried")
    })
}

/// Where the configuration comes from, now and at every reload.
enum Source {
    File(PathBuf),
    Flags { origin: String, listen: Vec<String>, certificate: Option<Certificate> },
}

impl Source {
    fn choose(config: Option<&Path>, args: ServeArgs) -> Result<Self, Failure> {
        if let Some(origin) = args.origin {
            if config.is_some() {
                return Err(Failure::usage(
                    "`--config` and `--origin` say twice where the site is",
                    "use one of the two",
                ));
            }
            let certificate =
                args.tls_cert.zip(args.tls_key).map(|(cert, key)| Certificate { cert, key });
            return Ok(Self::Flags { origin, listen: args.listen, certificate });
        }
        config_file(config).map(Self::File).ok_or_else(|| {
            Failure::usage(
                "there is no configuration: neither `seawall.toml` here nor `/etc/seawall/seawall.toml`",
                "write `seawall serve --origin http://127.0.0.1:8080 --listen 127.0.0.1:8000`, or name a file with `--config FILE`",
            )
        })
    }

    fn read(&self, machine: &Machine) -> Result<Config, Failure> {
        match self {
            Self::File(file) => match config::load(file, machine) {
                Ok((config, findings)) => {
                    for problem in &findings.warnings {
                        warn!(
                            code = problem.code.as_str(),
                            line = problem.line,
                            "{}",
                            problem.message
                        );
                    }
                    Ok(config)
                }
                Err(findings) => {
                    say(&findings.render_errors());
                    Err(Failure::Said)
                }
            },
            Self::Flags { origin, listen, certificate } => {
                config::from_flags(origin, listen, certificate.clone(), machine).map_err(
                    |findings| {
                        say(&findings.render_errors());
                        Failure::SaidUsage
                    },
                )
            }
        }
    }

    /// Reads the configuration for a reload. Rule 16: all or nothing, so any mistake is an error
    /// and the old configuration stays.
    fn read_again(&self, machine: &Machine, running: &Path) -> Result<Config, String> {
        let read = match self {
            Self::File(file) => config::load(file, machine).map(|(config, findings)| {
                let warnings = findings.render_warnings();
                if !warnings.is_empty() {
                    warn!("the new configuration has warnings:\n{warnings}");
                }
                config
            }),
            Self::Flags { origin, listen, certificate } => {
                config::from_flags(origin, listen, certificate.clone(), machine)
            }
        };
        let config = read.map_err(|findings| findings.render_errors())?;
        if config.state_dir != running {
            return Err(format!(
                "error: `state_dir` is now `{}`, but this program lives in `{}`\nhint: restart it to move",
                config.state_dir.display(),
                running.display()
            ));
        }
        Ok(config)
    }
}

/// The state folder; removed at the end if it was made up for this run.
struct StateFolder {
    temporary: Option<PathBuf>,
}

impl StateFolder {
    fn prepare(config: &Config) -> Result<Self, Failure> {
        let folder = &config.state_dir;
        let mut builder = DirBuilder::new();
        // A temporary folder must be ours alone, so it must not exist yet.
        builder.mode(0o700).recursive(!config.state_is_temporary);
        builder.create(folder).map_err(|error| {
            Failure::failed(
                format!("cannot make the state folder `{}`: {error}", folder.display()),
                "check that the folder above it exists and that this user may write there, or set `state_dir`",
            )
        })?;
        if !config.state_is_temporary {
            return Ok(Self { temporary: None });
        }
        info!(
            "no `state_dir` is set: cache and logs live in `{0}` and go with this program; `seawall status --state {0}` asks it",
            folder.display()
        );
        Ok(Self { temporary: Some(folder.clone()) })
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        if let Some(folder) = &self.temporary
            && let Err(error) = fs::remove_dir_all(folder)
        {
            warn!("cannot remove the temporary state folder `{}`: {error}", folder.display());
        }
    }
}

fn log_to_stderr() {
    let colours =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colours)
        .with_target(false)
        // A library warns of what a client does once per frame; no client may write our log.
        .with_filter(filter_fn(|line| {
            line.target().starts_with("seawall") && *line.level() <= Level::INFO
        }));
    tracing_subscriber::registry().with(lines).init();
}

/// Raises the soft limit to the hard one: each reader takes one file, and one more towards the
/// origin. Without it 1,024 would be the end.
fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        warn!("cannot raise the open-file limit: {error}");
    }
    if let Some(files) = getrlimit(Resource::Nofile).current
        && files < ENOUGH_FILES
    {
        warn!(
            "this process may open `{files}` files, enough for about {} readers at once; \
             set `LimitNOFILE=` in the service, or `ulimit -n`, to `{ENOUGH_FILES}` or more",
            files / 2
        );
    }
}

/// What systemd grants a service that asks for many; a small site under a flood needs no more.
const ENOUGH_FILES: u64 = 16_384;
