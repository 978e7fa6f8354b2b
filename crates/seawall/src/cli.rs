//! The command line: what can be asked, in clap's terms. Only what works is listed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{archive, demo, mitigate, replay, report, selftest, verify};

/// Keeps a website readable under a DDoS attack.
#[derive(Debug, Parser)]
#[command(
    name = "seawall",
    version,
    about,
    disable_help_subcommand = true,
    after_help = "Start here:\n  \
        seawall demo\n  \
        seawall serve --origin http://127.0.0.1:8080 --listen 127.0.0.1:8000\n  \
        seawall check /etc/seawall/seawall.toml\n  \
        seawall explain SW-301"
)]
pub(crate) struct Cli {
    /// Configuration file; without it `seawall.toml` here, then `/etc/seawall/seawall.toml`.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stand in front of a site. Runs until it is told to stop.
    Serve(ServeArgs),
    /// Report every mistake in a configuration file.
    Check(CheckArgs),
    /// What the running program sees and does now.
    Status(QueryArgs),
    /// Drop pages from the cache of the running program.
    Purge(PurgeArgs),
    /// Make a link that lets an editor through when the site is busy.
    Pass(PassArgs),
    /// The always-online copy: what it has, and what is done with it.
    Archive(archive::Args),
    /// What was recorded of incidents, and exports of it.
    Report(report::Args),
    /// What the operator decides by hand.
    Mitigate(mitigate::Args),
    /// Check a package of an archive with nothing but the file.
    Verify(verify::Args),
    /// What would have been seen and done, by access logs of before.
    Replay(replay::Args),
    /// Say in plain words what a code or a request's outcome means.
    Explain(ExplainArgs),
    /// Show it: a sample site, readers and a flood, first without Seawall, then with it; then the site dies.
    Demo(demo::Args),
    /// Attack an instance of its own in every known way and say whether each was bounded.
    Selftest(selftest::Args),
    /// Be a child process of the demo.
    #[command(hide = true)]
    Rehearse {
        /// Which one.
        #[command(subcommand)]
        role: demo::ChildRole,
    },
}

/// What `serve` takes.
#[derive(Debug, Default, Args)]
#[command(after_help = "SIGTERM drains and stops, SIGHUP reads the configuration again.\n\
    Without a configuration file `--origin` and `--listen` are enough: any host is taken, and state\n\
    lives in a private temporary folder.")]
pub(crate) struct ServeArgs {
    /// Where the site itself runs: http://HOST:PORT, https://HOST:PORT or unix:/PATH.
    #[arg(long, value_name = "URL", requires = "listen")]
    pub(crate) origin: Option<String>,
    /// Where readers connect, such as 0.0.0.0:80. May be given more than once.
    #[arg(long, value_name = "ADDR", requires = "origin")]
    pub(crate) listen: Vec<String>,
    /// Certificate chain in PEM form; then TLS is spoken on every `--listen`.
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "origin"])]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key in PEM form.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// What `check` takes.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The configuration file.
    pub(crate) file: Option<PathBuf>,
    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to find the running program.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// Its state folder, if it is not the one in the configuration.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

/// How a change is asked for.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Say what it would do, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// How the program, running or stopped, is asked for something.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// What `purge` takes.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["url", "tag", "all"]))]
pub(crate) struct PurgeArgs {
    /// The page, such as <https://example.org/news/>.
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Every page that the origin gave this tag.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// Everything.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// What `pass` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "The browser that opens the link counts as signed in: its requests go to the\n\
    site before those of strangers. It needs https. For people whose login Seawall does not see\n\
    (single sign-on, apps), or who cannot log in because the site is under attack."
)]
pub(crate) struct PassArgs {
    /// How many days the pass lasts.
    #[arg(long, value_name = "DAYS", default_value_t = 7,
        value_parser = clap::value_parser!(u8).range(1..=30))]
    pub(crate) days: u8,
    /// The name under which the site is edited, such as www.example.org.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// What `explain` takes.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A code from a refusal page (SW-301), a cause from the log (origin_busy), a code of `check`
    /// (seawall::config::host), a key of the configuration (limits.held_rate), or the identifier of
    /// a request.
    #[arg(value_name = "CODE|REQUEST_ID", required_unless_present = "list")]
    pub(crate) what: Option<String>,
    /// List every code.
    #[arg(long, conflicts_with = "what")]
    pub(crate) list: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
