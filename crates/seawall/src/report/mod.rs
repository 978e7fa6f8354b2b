//! `seawall report`: what was recorded of an incident, and what may be given to others of it.
//!
//! Records are files that only grow, so that they are read beside a running program, in a stopped one's folder, or
//! wherever a copy of one was put. Each is checked while it is read; one that is not what was signed is still shown, and
//! says so in its first lines and in every export.

mod add;
mod export;
mod list;
mod note;
mod place;
mod privacy;
mod record;
mod seal;
mod show;
mod timestamp;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use seawall_report::{Edition, Tlp};

use self::export::Format;
use self::place::Place;
pub(crate) use self::place::{INCIDENTS, RECORD};
use crate::cli::{QueryArgs, TargetArgs};
use crate::{Done, output};

/// What `report` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Start here:\n  \
    seawall report list\n  \
    seawall report show last\n  \
    seawall report export last --format html --out report.html\n\
    Of a stopped program: add `--state DIR`. INCIDENT is an identifier that `list` shows, its beginning,\n\
    `last`, or a record file.")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every incident that is recorded.
    List {
        #[command(flatten)]
        common: QueryArgs,
    },
    /// What happened, on a page: figures, signatures in words, what readers felt, what is not known.
    Show {
        /// Which one.
        #[arg(value_name = "INCIDENT")]
        incident: String,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// Write it in a form for others.
    #[command(
        after_help = "The public edition has networks cut to /24 and /48 and no address. The sealed one has the full\n\
        addresses of sources that were refused often: it is personal data, for who has to act on them.\n\
        `csv`, `nis2` and `xarf` are several files: `--out` names a folder for them."
    )]
    Export(ExportArgs),
    /// Write what is sealed of the record to a file that `seawall verify` checks.
    #[command(
        after_help = "It is the record up to its last seal, with the full addresses that it still has, readable by its\n\
        owner alone. Nothing is overwritten. Of an incident that goes on it is what is sealed by now."
    )]
    Seal(SealArgs),
    /// Add what a person has to say, and seal it.
    #[command(
        after_help = "While the incident goes on the running program writes it. A note is sealed at once and cannot be\n\
        taken back. That it was said is what is sealed, not that it is true."
    )]
    Note(NoteArgs),
    /// Have an authority stamp when it existed.
    #[command(
        after_help = "The authority learns a digest, this machine's address, and nothing of what the record says. A record that is\n\
        over is stamped at any time; of one that a stopped program left open it is the last seal."
    )]
    Timestamp(TimestampArgs),
    /// What is stored of whom, why, and until when.
    Privacy {
        #[command(flatten)]
        common: QueryArgs,
    },
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// Which one.
    #[arg(value_name = "INCIDENT")]
    incident: String,
    /// The form.
    #[arg(long, value_name = "FORM")]
    format: Format,
    /// Where to write it; without it to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How far it may be passed on: clear, green, amber, amber+strict or red.
    #[arg(long, value_name = "MARKING", default_value = "amber")]
    tlp: Tlp,
    /// For whom: public or sealed.
    #[arg(long, value_name = "EDITION", default_value = "public")]
    edition: Edition,
    /// In whose name, such as "Example News".
    #[arg(long, value_name = "NAME")]
    reporter: Option<String>,
    /// The mail address at which the reporter answers, for complaints.
    #[arg(long, value_name = "MAIL")]
    contact: Option<String>,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, clap::Args)]
struct SealArgs {
    /// Which one.
    #[arg(value_name = "INCIDENT")]
    incident: String,
    /// Where to write it: a file that is not there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    common: QueryArgs,
}

#[derive(Debug, clap::Args)]
struct NoteArgs {
    /// Which one.
    #[arg(value_name = "INCIDENT")]
    incident: String,
    /// The words, 8 KiB at most.
    #[arg(value_name = "TEXT")]
    text: String,
    /// Whose words it is.
    #[arg(long, value_name = "KIND")]
    kind: note::Kind,
    /// Who writes it down, 200 bytes at most.
    #[arg(long, value_name = "NAME")]
    author: String,
    /// Where it comes from, such as the address of a page.
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// When that was of which it speaks: `2026-11-22T10:08:00Z`, `2026-11-22 10:08` (UTC) or `2h` (ago).
    #[arg(long, value_name = "TIME")]
    about: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, clap::Args)]
struct TimestampArgs {
    /// Which one.
    #[arg(value_name = "INCIDENT")]
    incident: String,
    /// Whom to ask (RFC 3161 over HTTP); without it `evidence.timestamp_authority` of the configuration.
    #[arg(long, value_name = "URL")]
    authority: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Does what was asked.
///
/// # Errors
/// A failure if there is no such record, or it cannot be read or written.
pub(crate) fn run(config: Option<&Path>, args: &Args) -> Done {
    match &args.what {
        What::List { common } => {
            let listed = list::all(&Place::find(config, &common.target)?)?;
            if common.json {
                return output::json(&list::as_json(&listed));
            }
            output::data(&list::as_text(&listed))
        }
        What::Show { incident, common } => {
            let path = place::record(config, &common.target, incident)?;
            let read = record::report(&path, Edition::Public)?;
            if common.json {
                let options = seawall_report::ExportOptions::default();
                return output::data(&export::text(seawall_report::json::render(&read, &options))?);
            }
            output::data(&show::page(&read))
        }
        What::Export(args) => {
            let path = place::record(config, &args.target, &args.incident)?;
            export::run(&path, args)
        }
        What::Seal(SealArgs { incident, out, common }) => {
            let path = place::record(config, &common.target, incident)?;
            seal::run(&path, out, common.json)
        }
        What::Note(args) => note::run(config, args),
        What::Timestamp(args) => timestamp::run(config, args),
        What::Privacy { common } => {
            let ledger = privacy::ledger(&Place::find(config, &common.target)?)?;
            if common.json {
                return output::json(&privacy::as_json(&ledger));
            }
            output::data(&privacy::as_text(&ledger))
        }
    }
}
