//! `seawall mitigate add`: a signature from words.

use std::path::Path;

use super::{Lasts, RungName, order};
use crate::Done;
use crate::admin::percent_encode;
use crate::cli::ChangeArgs;
use crate::output::Failure;

/// What `mitigate add` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Whoever has all of what is said is meant; one to five things can be said.\n\
    Words are those that `mitigate values` and `mitigate list` show; `none` says that something is\n\
    absent. Look first:\n  \
    seawall mitigate add --path /search --user-agent-family \"python-requests 2\" --cookie none --dry-run"
)]
pub(super) struct Args {
    /// The path: what varies in it, such as numbers, does not matter.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The query: its keys as `values` shows them, an example such as `?q=word`, or `none`.
    #[arg(long, value_name = "KEYS")]
    query: Option<String>,
    /// Method and version, such as "GET over HTTP/1.1".
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Program and major version, such as "Firefox 128" or "python-requests 2".
    #[arg(long, value_name = "NAME")]
    user_agent_family: Option<String>,
    /// The whole User-Agent field, or `none`.
    #[arg(long, value_name = "TEXT")]
    user_agent: Option<String>,
    /// JA4 of its TLS, or `none` for plain HTTP.
    #[arg(long, value_name = "JA4")]
    ja4: Option<String>,
    /// How its HTTP/2 begins, as `values` shows it, or `none`.
    #[arg(long, value_name = "WORDS")]
    http2_preface: Option<String>,
    /// The order of its fields, as `values` shows it.
    #[arg(long, value_name = "WORDS")]
    field_order: Option<String>,
    /// How many fields it sends, such as "4 to 6 fields".
    #[arg(long, value_name = "WORDS")]
    fields: Option<String>,
    /// What it accepts, as `values` shows it.
    #[arg(long, value_name = "WORDS")]
    accept: Option<String>,
    /// The whole Accept-Language field, or `none`.
    #[arg(long, value_name = "TEXT")]
    languages: Option<String>,
    /// How far it does what its browser does, as `values` shows it.
    #[arg(long, value_name = "WORDS")]
    consistency: Option<String>,
    /// Its cookies: none, harmless, site, login, reader, aged-reader or signed-in.
    #[arg(long, value_name = "KIND")]
    cookie: Option<String>,
    /// Its network: "AS64500 in DE", a country where only that is known, or Tor.
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Its /24 or /48; stands alone. For other sizes see `mitigate block`.
    #[arg(long, value_name = "PREFIX")]
    addresses: Option<String>,
    /// What is done to them.
    #[arg(long, value_enum, default_value = "demote")]
    rung: RungName,
    #[command(flatten)]
    lasts: Lasts,
    #[command(flatten)]
    how: ChangeArgs,
}

impl Args {
    fn terms(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let all = [
            ("path", &self.path),
            ("query", &self.query),
            ("method", &self.method),
            ("user-agent-family", &self.user_agent_family),
            ("user-agent", &self.user_agent),
            ("ja4", &self.ja4),
            ("http2-preface", &self.http2_preface),
            ("field-order", &self.field_order),
            ("fields", &self.fields),
            ("accept", &self.accept),
            ("languages", &self.languages),
            ("consistency", &self.consistency),
            ("cookie", &self.cookie),
            ("network", &self.network),
            ("addresses", &self.addresses),
        ];
        all.into_iter().filter_map(|(flag, text)| Some((flag, text.as_ref()?)))
    }
}

/// Asks the running program to put it in force.
///
/// # Errors
/// A usage failure if nothing is said; a failure if the program does not follow.
pub(super) fn run(config: Option<&Path>, args: &Args) -> Done {
    let count = args.terms().count();
    if count == 0 {
        return Err(Failure::usage(
            "nothing is said of whom it is to meet",
            "say what they have in common, such as `--path /search --cookie none`; `seawall mitigate values` shows what there is",
        ));
    }
    if count > MAX_TERMS {
        return Err(Failure::usage(
            format!("{count} things are said, and a signature has {MAX_TERMS} at most"),
            "leave out what most visitors have in common",
        ));
    }
    let terms = args.terms().map(|(flag, text)| format!("&term.{flag}={}", percent_encode(text)));
    let (rung, seconds) = (args.rung.as_str(), args.lasts.length.as_secs());
    let terms: String = terms.collect();
    order(config, &args.how, &format!("do=add&rung={rung}&for_s={seconds}{terms}"))
}

const MAX_TERMS: usize = seawall_model::Signature::MAX_TERMS;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use seawall_edge::admin::flag_of;
    use seawall_model::Attribute;

    use crate::cli::Cli;

    #[test]
    fn every_attribute_can_be_said() {
        let cli = Cli::command();
        let add = cli.find_subcommand("mitigate").and_then(|it| it.find_subcommand("add"));
        let add = add.expect("there is `mitigate add`");
        for attribute in Attribute::ALL {
            let flag = flag_of(attribute);
            assert!(add.get_arguments().any(|it| it.get_long() == Some(flag)), "--{flag}");
        }
    }
}
