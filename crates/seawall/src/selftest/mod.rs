//! `seawall selftest`: named attacks against an instance of its own, and whether each was bounded.
//!
//! Every attack meets a fresh child process of this program on loopback, with the limits as they
//! are by default and time-outs of a second or two, so that it takes less than a minute. Verdicts
//! rest on counts and bytes: were the connections closed, was the attack named in the metrics, how
//! much memory did it hold, was another reader served. Processor time is shown and judges nothing.
//!
//! It can aim at nothing else: see [`seawall_rehearse::LoopbackAddr`].
//!
//! Read next: `rows` for what is expected, `instance` for who is attacked.

mod arena;
mod folder;
mod instance;
mod report;
mod rows;

use std::time::Instant;

use seawall_rehearse::attack::Attack;

pub(crate) use self::instance::be_instance;
use self::report::{Line, Report};
use crate::Done;
use crate::output::{self, Failure, say};

/// What `selftest` takes.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    after_help = "Everything stays on loopback, needs no root and takes less than a minute. The\n\
    instance has the limits that are the default, but time-outs of one to two seconds. Exit code 1\n\
    means that an attack was not bounded."
)]
pub(crate) struct Args {
    /// Print JSON on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
    /// Only this attack. May be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Take this attack's limit away, to see that the test would notice.
    #[arg(long, value_name = "NAME", hide = true)]
    weaken: Option<String>,
}

/// Runs the self-test.
///
/// # Errors
/// A failure if an attack was not bounded, or the test could not be carried out.
pub(crate) fn run(args: &Args) -> Done {
    let attacks = choose(&args.only)?;
    let weaken = args.weaken.as_deref().map(by_name).transpose()?;
    let begin = now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| system("start a runtime", &error))?;
    let mut lines: Vec<Line> = Vec::new();
    runtime.block_on(async {
        let ground = arena::Ground::prepare().await?;
        for (at, attack) in attacks.iter().copied().enumerate() {
            say(&format!("[{:>2}/{}] {}", at + 1, attacks.len(), attack.title()));
            lines.push(ground.meet(attack, weaken).await?);
        }
        Ok::<(), Failure>(())
    })?;
    let report = Report { lines, seconds: begin.elapsed().as_secs_f64() };
    if args.json {
        output::json(&report.to_json())?;
    } else {
        output::data(&report.to_text())?;
    }
    if report.is_passed() { Ok(()) } else { Err(Failure::Said) }
}

fn choose(only: &[String]) -> Result<Vec<Attack>, Failure> {
    if only.is_empty() {
        return Ok(Attack::ALL.to_vec());
    }
    only.iter().map(|name| by_name(name)).collect()
}

fn by_name(name: &str) -> Result<Attack, Failure> {
    Attack::ALL.into_iter().find(|attack| attack.name() == name).ok_or_else(|| {
        let names = Attack::ALL.map(Attack::name).join(", ");
        Failure::usage(format!("there is no attack `{name}`"), format!("known are: {names}"))
    })
}

fn system(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(
        format!("cannot {what}: {error}"),
        "the self-test needs a writable temporary folder, free ports on loopback and 2,000 open files",
    )
}

#[allow(clippy::disallowed_methods, reason = "for people, not for the data path")]
fn now() -> Instant {
    Instant::now()
}
