//! `seawall demo`: the main job in ninety seconds, on one machine, with nothing to configure.
//!
//! A sample site that bears about a hundred pages a second, readers of several kinds and a bounded
//! flood on loopback; first without Seawall, then the same with it; at last the site is killed, and readers
//! go on with Seawall alone. Everything runs in child processes of this one, which end with it however it
//! goes. What is measured is shown live and as a table, or as JSON.
//!
//! It deliberately shows what is true: nothing of Seawall is tuned for it, its configuration is the
//! default one (but for a faster crawl: a site has more than seconds for its first; and who is ordinary it
//! knows from generated clients, said at the end: a site has days to learn it), and what still suffers (search, while a flood gets past the cache) has its own row.
//!
//! Read next: `play` for the course of it, `board` for what is shown.

mod archive;
mod baseline;
mod board;
mod child;
mod detection;
mod error;
mod folder;
mod plain;
mod plan;
mod play;
mod result;
mod screen;
mod show;
mod table;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use seawall_rehearse::child::{Role, run as run_child};

pub(crate) use crate::demo::error::DemoError;
use crate::demo::folder::Folder;
use crate::demo::plan::Plan;
use crate::demo::show::Show;
use crate::selftest;

/// What `demo` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(
    after_help = "Everything stays on loopback and needs no root. Exit code 0 means that at\n\
    least 99 % of the page views that a copy can serve were served with Seawall on, under\n\
    flood and with the site killed. After `demo --keep DIR` the incident can be read with\n\
    `seawall report show last --state DIR`."
)]
pub(crate) struct Args {
    /// About how long it takes, 30 to 600; never less than 45.
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// What makes it repeatable: same seed, same site, readers and flood.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Print the figures as JSON on standard output, and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
    /// Do not open the sample site in a browser while Seawall stands in front of it.
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Play a few seconds of each part, for tests.
    #[arg(long, hide = true, conflicts_with = "seconds")]
    pub(crate) brief: bool,
    /// Keep configuration, logs and the record of the incident in this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

/// What `rehearse` takes: which child process of the demo to be.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum ChildRole {
    /// The sample site.
    Site,
    /// The readers.
    Readers,
    /// The flood.
    Flood,
    /// `serve`, until its standard input ends.
    Shield,
    /// The instance that the self-test attacks.
    Instance,
    /// Nobody: writes a baseline of generated clients into a state folder, and ends.
    Baseline(baseline::Args),
}

/// Runs the demo.
///
/// # Errors
/// What kept it from being run to its end; see [`DemoError`].
pub(crate) fn run(args: Args) -> Result<ExitCode, DemoError> {
    let plan =
        if args.brief { Plan::brief(args.seed) } else { Plan::new(args.seconds, args.seed)? };
    let stop = child::watch_signals();
    let folder = Folder::make(args.keep.as_deref())?;
    let mut show = Show::choose(args.json, args.no_browser);
    let outcome = play::play(&plan, &folder, &mut show, &stop);
    // The terminal is given back before anything more is said.
    show.close();
    let outcome = outcome?;
    folder.keep_records()?;
    if args.json {
        show::print(&outcome.to_json().to_string())?;
    } else {
        show::print(&table::render(&outcome, &folder))?;
    }
    Ok(if outcome.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what kept the demo from its end, if anything did, and picks the exit code.
pub(crate) fn finish(outcome: Result<ExitCode, DemoError>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        show::remark(&format!("error: {error}\nhint: {}", error.hint()));
        if error.is_usage() { ExitCode::from(2) } else { ExitCode::FAILURE }
    })
}

/// Is one of the demo's child processes: takes a job on standard input, reports on standard output.
/// The shield is `shield`'s business, which is told to end with this process's parent.
///
/// # Errors
/// When there is no such job, or it cannot be done.
pub(crate) fn rehearse_child(
    role: ChildRole,
    shield: impl FnOnce() -> ExitCode,
) -> Result<ExitCode, DemoError> {
    let role = match role {
        ChildRole::Site => Role::Site,
        ChildRole::Readers => Role::Readers,
        ChildRole::Flood => Role::Flood,
        ChildRole::Baseline(args) => {
            let known = baseline::write(&args).map_err(DemoError::system("write a baseline"))?;
            show::print(&format!("{known} generated clients"))?;
            return Ok(ExitCode::SUCCESS);
        }
        ChildRole::Shield => {
            end_with_parent();
            return Ok(shield());
        }
        ChildRole::Instance => {
            selftest::be_instance().map_err(DemoError::system("be an instance"))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    run_child(role, io::BufReader::new(io::stdin()), io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

/// Ends this process when its standard input ends, so that a shield started by the demo never
/// outlives it.
fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
}
