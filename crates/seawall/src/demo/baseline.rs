//! A baseline of generated clients for the state folder of a rehearsal.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use seawall_edge::watcher::{GeneratedRequest, write_generated_baseline};
use seawall_rehearse::ordinary_requests;

/// What it is made of.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Args {
    /// The folder, which must have none yet.
    #[arg(long)]
    state: PathBuf,
    /// How many clients come.
    #[arg(long, default_value_t = 3_400)]
    clients: usize,
    /// That of the rehearsal.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Over how many minutes.
    #[arg(long, default_value_t = 15)]
    minutes: u64,
}

impl Args {
    /// What a rehearsal of `seed` begins with.
    pub(crate) fn new(state: PathBuf, seed: u64) -> Self {
        Self { state, clients: 3_400, seed, minutes: 15 }
    }
}

/// Writes it; how many clients are known then.
///
/// # Errors
/// See [`write_generated_baseline`].
pub(crate) fn write(args: &Args) -> io::Result<u32> {
    let run = Duration::from_secs(60 * args.minutes.clamp(1, 60));
    let requests = ordinary_requests(args.seed, args.clients.min(MAX_CLIENTS), run);
    write_generated_baseline(
        &args.state,
        requests.iter().map(|request| GeneratedRequest {
            at: request.at,
            client: IpAddr::V4(request.source),
            head: request.head.as_bytes(),
            opens: request.opens,
            work: request.work,
        }),
    )
}

/// More than a baseline keeps.
const MAX_CLIENTS: usize = 20_000;
