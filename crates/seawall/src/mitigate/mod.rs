//! `seawall mitigate`: what the operator decides by hand.
//!
//! All of it asks the running program, which says what became of it: without one there is nothing to
//! decide about. `--dry-run` shows the effect and changes nothing.

mod add;
mod emergency;
pub(crate) mod words;

use std::path::Path;
use std::time::Duration;

use clap::Subcommand;
use seawall_edge::admin::MAX_ORDER_LENGTH;
use seawall_model::Prefix;
use serde_json::Value;

use crate::Done;
use crate::admin::{ask, percent_encode};
use crate::cli::{ChangeArgs, QueryArgs};
use crate::config::value;
use crate::{output, target};

/// What `mitigate` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "It works on a running program only. Start here:\n  \
    seawall mitigate list\n  \
    seawall mitigate add --path /search --cookie none --dry-run\n  \
    seawall mitigate veto 7 --for 2h\n  \
    seawall mitigate block 192.0.2.0/24 --for 1h")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What stands and rests, and what it met.
    List(QueryArgs),
    /// What recent traffic is made of, in the words that `add` takes.
    Values(QueryArgs),
    /// Slow down, test or refuse whoever looks like these words.
    Add(Box<add::Args>),
    /// Keep a mitigation on a rung, whatever is found.
    Pin {
        /// Its number, as `list` shows it.
        #[arg(value_name = "ID", value_parser = number)]
        id: u32,
        /// The rung.
        #[arg(long, value_enum)]
        rung: RungName,
        #[command(flatten)]
        lasts: Lasts,
        #[command(flatten)]
        how: ChangeArgs,
    },
    /// Leave whoever looks like this alone: what to do when a mitigation is wrong.
    Veto {
        /// Its number, as `list` shows it.
        #[arg(value_name = "ID", value_parser = number)]
        id: u32,
        #[command(flatten)]
        lasts: Lasts,
        #[command(flatten)]
        how: ChangeArgs,
    },
    /// Take away a mitigation, a pin or a veto by its number, or an address from its list.
    #[command(
        after_help = "A mitigation that was found and goes on being needed comes back; `veto` keeps it away."
    )]
    Remove {
        /// The number, or the address or network, as `list` shows it.
        #[arg(value_name = "ID|ADDR|PREFIX", value_parser = removable)]
        what: Removable,
        #[command(flatten)]
        how: ChangeArgs,
    },
    /// Let an address or network in, beyond all limits, as `network.allow` does.
    Allow(Listing),
    /// Keep an address or network out, as `network.deny` does.
    Block(Listing),
    /// Act on attacks, or only say what would be done; until the next reload.
    Mode {
        /// Which.
        #[arg(value_enum)]
        mode: ModeName,
        #[command(flatten)]
        how: ChangeArgs,
    },
    /// Reading only: everybody is served from the cache and the archive; who is signed in reaches the site.
    Emergency(emergency::Args),
}

#[derive(Debug, clap::Args)]
struct Lasts {
    /// For how long, 30 days at most.
    #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "2h")]
    length: Duration,
}

#[derive(Debug, clap::Args)]
struct Listing {
    /// An address, or a network such as 192.0.2.0/24.
    #[arg(value_name = "ADDR|PREFIX", value_parser = prefix)]
    prefix: Prefix,
    /// For how long, such as 2h; without it until it is removed, over restarts as well.
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    length: Option<Duration>,
    #[command(flatten)]
    how: ChangeArgs,
}

/// The rungs, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RungName {
    /// Only count.
    Observe,
    /// Behind everybody else who waits for the site.
    Demote,
    /// A cheap test before the site works for it.
    Challenge,
    /// Refused, but for one in a hundred.
    Block,
}

impl RungName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Demote => "demote",
            Self::Challenge => "challenge",
            Self::Block => "block",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ModeName {
    /// Something is done about attacks.
    Act,
    /// What would be done is recorded, and nothing is done.
    Observe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removable {
    Measure(u32),
    Address(Prefix),
}

/// Changes what the running program does, or shows it.
///
/// # Errors
/// A failure if the program cannot be asked, or does not follow.
pub(crate) fn run(config: Option<&Path>, args: &Args) -> Done {
    match &args.what {
        What::List(show) => {
            let socket = target::find(config, &show.target)?.socket;
            let standing = ask(&socket, "GET", "/mitigations")?;
            if show.json { output::json(&standing) } else { output::data(&words::list(&standing)) }
        }
        What::Values(show) => {
            let socket = target::find(config, &show.target)?.socket;
            let values = ask(&socket, "GET", "/mitigations/values")?;
            if show.json { output::json(&values) } else { output::data(&words::values(&values)) }
        }
        What::Add(args) => add::run(config, args),
        What::Pin { id, rung, lasts, how } => {
            let (rung, seconds) = (rung.as_str(), lasts.length.as_secs());
            order(config, how, &format!("do=pin&id={id}&rung={rung}&for_s={seconds}"))
        }
        What::Veto { id, lasts, how } => {
            order(config, how, &format!("do=veto&id={id}&for_s={}", lasts.length.as_secs()))
        }
        What::Remove { what: Removable::Measure(id), how } => {
            order(config, how, &format!("do=remove&id={id}"))
        }
        What::Remove { what: Removable::Address(prefix), how } => {
            let prefix = percent_encode(&prefix.to_string());
            order(config, how, &format!("do=unlist&prefix={prefix}"))
        }
        What::Allow(listing) => list_address(config, "allow", listing),
        What::Block(listing) => list_address(config, "block", listing),
        What::Mode { mode, how } => {
            let mode = if *mode == ModeName::Act { "act" } else { "observe" };
            order(config, how, &format!("do=mode&mode={mode}"))
        }
        What::Emergency(args) => emergency::run(config, args),
    }
}

fn list_address(config: Option<&Path>, list: &str, listing: &Listing) -> Done {
    let prefix = percent_encode(&listing.prefix.to_string());
    let lasts = listing.length.map(|length| format!("&for_s={}", length.as_secs()));
    let lasts = lasts.unwrap_or_default();
    order(config, &listing.how, &format!("do=list&list={list}&prefix={prefix}{lasts}"))
}

/// Gives an order and says what became of it.
fn order(config: Option<&Path>, how: &ChangeArgs, parameters: &str) -> Done {
    let socket = target::find(config, &how.target)?.socket;
    let dry = if how.dry_run { "&dry=1" } else { "" };
    let outcome: Value = ask(&socket, "POST", &format!("/mitigations?{parameters}{dry}"))?;
    if how.json {
        return output::json(&outcome);
    }
    output::data(&words::outcome(parameters, &outcome))
}

/// As long as the program takes.
fn length(text: &str) -> Result<Duration, String> {
    let length = value::duration(text)?;
    let range = Duration::from_secs(1)..=MAX_ORDER_LENGTH;
    if range.contains(&length) { Ok(length) } else { Err("not between `1s` and `30d`".to_owned()) }
}

/// With or without the `#` that `list` shows.
fn number(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix('#').unwrap_or(text);
    number.parse().map_err(|_| "no number of a mitigation, such as `7`".to_owned())
}

fn prefix(text: &str) -> Result<Prefix, String> {
    text.parse::<Prefix>().map_err(|error| error.to_string())
}

fn removable(text: &str) -> Result<Removable, String> {
    if let Ok(id) = number(text) {
        return Ok(Removable::Measure(id));
    }
    let wrong = "neither a number such as `7` nor an address or network such as `192.0.2.0/24`";
    prefix(text).map(Removable::Address).map_err(|_| wrong.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_a_length_that_makes_sense() {
        assert_eq!(length("2h"), Ok(Duration::from_secs(7_200)));
        for text in ["0s", "100ms", "31d", "2", "long"] {
            assert!(length(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_removed_is_a_number_or_an_address() {
        assert_eq!(removable("7"), Ok(Removable::Measure(7)));
        assert_eq!(removable("#7"), Ok(Removable::Measure(7)));
        for text in ["192.0.2.0/24", "192.0.2.7", "2001:db8::/32"] {
            assert!(matches!(removable(text), Ok(Removable::Address(_))), "{text}");
        }
        for text in ["", "-1", "example.org", "192.0.2.0/33"] {
            assert!(removable(text).is_err(), "{text}");
        }
    }
}
