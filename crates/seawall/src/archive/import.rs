//! `seawall archive import`: a package, or a plain folder, into the archive of its site.
//!
//! This command reads the files, as the user who runs it, and brings what is in them to the running program
//! as records, a few at a time: that one opens nothing that somebody names, judges each by the same rules as
//! what it fetches, and keeps it at once or not at all. Without one, a program that takes no readers and asks
//! no origin does that here.

mod folder;
mod package;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seawall_archive::{Capture, response_record};
use serde_json::{Value, json};

use self::folder::Folder;
use self::package::Package;
use super::crawl::{self, Screen};
use super::place::{Place, name_of_site};
use crate::admin::{bring, percent_encode};
use crate::cli::ChangeArgs;
use crate::config;
use crate::output::{self, Failure, say};
use crate::{Done, times, verify};

/// What `archive import` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A package may be of this program or of another, such as browsertrix or `wget --warc-file`.\n\
    Nothing comes in that the crawler would not keep: no answers with cookies, nothing private, no errors,\n\
    nothing that was purged since it was captured. What is held and newer stays the newest. It may be broken\n\
    off and run again: what is there already is not added twice."
)]
pub(super) struct Args {
    /// A folder of files as a web server shows them, a package (.wacz), or a WARC file (.warc.gz).
    #[arg(value_name = "DIR|WACZ")]
    from: PathBuf,
    /// Only what is of this site, such as example.org; a folder needs it where there are several.
    #[arg(long, value_name = "HOST")]
    site: Option<String>,
    /// The public key that must have signed the package.
    #[arg(long, value_name = "PEM")]
    key: Option<PathBuf>,
    #[command(flatten)]
    how: ChangeArgs,
}

/// Imports.
///
/// # Errors
/// A failure if there is nothing to read, or nobody takes it.
pub(super) fn run(config: Option<&Path>, args: &Args) -> Done {
    let trusted = args.key.as_deref().map(verify::read_key).transpose()?;
    let package = match args.from.is_dir() {
        true if trusted.is_some() => {
            return Err(Failure::usage("a folder is not signed", "leave out `--key`"));
        }
        true => None,
        // Before anything is asked: it may be refused.
        false => Some(Package::open(&args.from, trusted.as_ref())?),
    };
    match Place::find(config, &args.how.target)? {
        Place::Running { socket } => carry(&socket, args, package),
        Place::Stopped { state } => {
            let server = crawl::start(config, &state, crawl::Crawling::Off)?;
            let done = carry(&state.join(config::ADMIN_SOCKET), args, package);
            server.stop();
            done
        }
    }
}

fn carry(socket: &Path, args: &Args, package: Option<Package>) -> Done {
    let mut carrier = Carrier::begin(socket, args, package.is_none())?;
    let carried = match &package {
        Some(package) => package.carry(&mut carrier),
        None => {
            let [base] = carrier.sites.as_slice() else {
                return Err(Failure::usage(
                    format!("there are archives of `{}`", carrier.sites.join("`, `")),
                    "say with `--site HOST` which one the folder is of",
                ));
            };
            Folder::open(&args.from, &base.clone())?.carry(&mut carrier)
        }
    };
    // What came in until a failure is told too.
    let brought = carried.and_then(|()| carrier.flush());
    carrier.screen.end();
    let signed_by = package.and_then(|package| package.signed_by).map(|key| key.id());
    carrier.tell(args, signed_by)?;
    brought
}

/// Brings captures to the program that keeps them.
struct Carrier<'a> {
    socket: &'a Path,
    target: String,
    /// Records that were not brought yet.
    records: Vec<u8>,
    sites: Vec<String>,
    max_body_bytes: usize,
    counts: BTreeMap<String, u64>,
    left_out: Vec<Value>,
    screen: Screen,
}

/// Bytes of records that are brought at once, but for one that is larger.
const AT_ONCE: usize = 4 << 20;
/// That many left out are named.
const MAX_TOLD: usize = 100;
/// And that many where no JSON is asked for.
const TOLD: usize = 10;

impl<'a> Carrier<'a> {
    fn begin(socket: &'a Path, args: &Args, is_of_files: bool) -> Result<Self, Failure> {
        let mut target = "/archive/import?".to_owned();
        if let Some(site) = &args.site {
            target.push_str(&format!("site={}&", percent_encode(name_of_site(site))));
        }
        for (says, is_so) in [("files=1&", is_of_files), ("dry=1&", args.how.dry_run)] {
            target.push_str(if is_so { says } else { "" });
        }
        let begun = bring(socket, &format!("{target}begin=1"), &[])?;
        let sites = begun["sites"].as_array().into_iter().flatten();
        let max_body_bytes = begun["max_object_bytes"].as_u64().unwrap_or(0);
        Ok(Self {
            socket,
            target,
            records: Vec::new(),
            sites: sites.filter_map(|site| site.as_str().map(str::to_owned)).collect(),
            max_body_bytes: usize::try_from(max_body_bytes).unwrap_or(usize::MAX),
            counts: BTreeMap::new(),
            left_out: Vec::new(),
            screen: Screen::new(),
        })
    }

    fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// Brings a capture, with others.
    fn put(&mut self, capture: &Capture) -> Done {
        let record = response_record(capture).member;
        if !self.records.is_empty() && self.records.len() + record.len() > AT_ONCE {
            self.flush()?;
        }
        self.records.extend_from_slice(&record);
        Ok(())
    }

    fn flush(&mut self) -> Done {
        let records = std::mem::take(&mut self.records);
        if records.is_empty() {
            return Ok(());
        }
        let report = bring(self.socket, &self.target, &records)?;
        for (what, count) in report["counts"].as_object().into_iter().flatten() {
            *self.counts.entry(what.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
        for left_out in report["left_out"].as_array().into_iter().flatten() {
            if self.left_out.len() < MAX_TOLD {
                self.left_out.push(left_out.clone());
            }
        }
        Ok(())
    }

    /// Counts what is not even brought.
    fn leave_out(&mut self, what: Option<&str>, reason: &str) {
        *self.counts.entry(reason.to_owned()).or_default() += 1;
        if let Some(what) = what
            && self.left_out.len() < MAX_TOLD
        {
            self.left_out.push(json!({ "url": what, "reason": reason }));
        }
    }

    /// Shows how far it is: of `all`, or of nobody knows how many if that is 0.
    fn progress(&mut self, done: u64, all: u64) {
        let kept = self.counts.get("stored").copied().unwrap_or(0);
        let part = match all {
            0 => format!("{done} files"),
            all => format!("{} %", done.saturating_mul(100) / all),
        };
        self.screen.show_some(|| format!("{part} read, {kept} kept"), times::now());
    }

    fn tell(&self, args: &Args, signed_by: Option<String>) -> Done {
        let count = |name: &str| self.counts.get(name).copied().unwrap_or(0);
        let (stored, held) = (count("stored"), count("held"));
        let others =
            self.counts.iter().filter(|(name, _)| !matches!(name.as_str(), "stored" | "held"));
        let others: BTreeMap<_, _> = others.collect();
        if args.how.json {
            return output::json(&json!({
                "from": args.from.display().to_string(), "sites": self.sites, "dry_run": args.how.dry_run,
                "signed_by": signed_by, "stored": stored, "held": held, "left_out": others,
                "examples": self.left_out,
            }));
        }
        for left_out in self.left_out.iter().take(TOLD) {
            let of = |name: &str| left_out[name].as_str().unwrap_or("?").to_owned();
            say(&format!("left out: {} ({})", of("url"), of("reason")));
        }
        let kept = if args.how.dry_run { "would be kept" } else { "kept" };
        let mut text = format!("{stored} {kept}, {held} held already");
        if !others.is_empty() {
            let others = others.iter().map(|(name, count)| format!("{count} {name}"));
            let others = others.collect::<Vec<_>>().join(", ");
            text.push_str(&format!("; left out: {others}"));
        }
        output::data(&text)
    }
}
