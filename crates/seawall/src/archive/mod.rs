//! `seawall archive`: the always-online copy, of a running program over its admin socket or of a stopped
//! one in its folder.
//!
//! A running program has its archives open, and nobody else may: it is asked. Packages alone are read
//! beside it, because they do not change once they are there.

mod check;
mod crawl;
mod export;
mod import;
mod list;
mod place;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use seawall_archive::rfc3339;
use seawall_model::WallTime;
use serde_json::json;

use self::place::Place;
use crate::Done;
use crate::admin::ask;
use crate::cli::{QueryArgs, TargetArgs};
use crate::{output, times};

/// What `archive` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Start here:\n  \
    seawall archive list\n  \
    seawall archive crawl\n  \
    seawall archive verify\n\
    Of a stopped program: add `--state DIR`, as the user that Seawall runs as.")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What the archives have: how much, how old, and what could not be copied.
    List {
        /// Only of this site: its name, such as example.org.
        #[arg(long, value_name = "HOST")]
        site: Option<String>,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// The same with every failure that is noted; or what is held of one page.
    Show {
        /// The page, such as <https://example.org/news/>.
        #[arg(value_name = "URL")]
        url: Option<String>,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// Look at all that is known again, and follow the crawl until nothing is left to fetch.
    #[command(
        after_help = "It may be broken off at any time: what was fetched is kept, and the running\n\
        program goes on by itself. A stopped program is crawled from here, without taking readers."
    )]
    Crawl {
        /// Only of this site: its name, such as example.org.
        #[arg(long, value_name = "HOST")]
        site: Option<String>,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// Take in a package, or a folder of files, as copies of the site.
    Import(import::Args),
    /// After a defacement: show nothing that was captured from a time on.
    #[command(group = clap::ArgGroup::new("when").required(true).args(["before", "off"]))]
    Pin {
        /// Such as 2026-11-22T10:08:00Z, "2026-11-22 10:08" (UTC), or 2h (ago).
        #[arg(long, value_name = "TIME", value_parser = |text: &str| times::read(text, times::now()))]
        before: Option<WallTime>,
        /// Show everything again.
        #[arg(long)]
        off: bool,
        /// Only of this site: its name, such as example.org.
        #[arg(long, value_name = "HOST")]
        site: Option<String>,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// Check every package, and what is not packed yet; names the first record that is bad.
    Verify {
        /// The public key that must have signed; without it that of the state folder.
        #[arg(long, value_name = "PEM")]
        key: Option<PathBuf>,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// Write all newest copies to one package, or to a folder that any web server, or a browser alone, shows.
    #[command(
        after_help = "What was withdrawn, or is held back by the pin, is not in it. In the folder,\n\
        links lead from file to file, and to the site itself where a page is not held; `_/pages.html` lists\n\
        all pages. Scripts that fetch things, searches and forms do not work there."
    )]
    #[command(group = clap::ArgGroup::new("to").required(true).args(["wacz", "folder"]))]
    Export {
        /// A package, signed as the others are; it shows itself in <https://replayweb.page>.
        #[arg(long, value_name = "FILE")]
        wacz: Option<PathBuf>,
        /// A folder that is not there yet, or is empty.
        #[arg(long = "static", value_name = "DIR")]
        folder: Option<PathBuf>,
        /// Which site, where there are several: its name, such as example.org.
        #[arg(long, value_name = "HOST")]
        site: Option<String>,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// Print the public key that packages are signed with, for those who check them.
    Key {
        #[command(flatten)]
        target: TargetArgs,
    },
}

/// Does what was asked.
///
/// # Errors
/// A failure if the program cannot be asked or its folder cannot be used.
pub(crate) fn run(config: Option<&Path>, args: &Args) -> Done {
    match &args.what {
        What::List { site, common } => {
            let place = Place::find(config, &common.target)?;
            let sites = list::sites(&place, site.as_deref())?;
            if common.json {
                return output::json(&list::as_json(&sites));
            }
            output::data(&list::as_text(&sites, list::Failures::Some))
        }
        What::Show { url: None, common } => {
            let sites = list::sites(&Place::find(config, &common.target)?, None)?;
            if common.json {
                return output::json(&list::as_json(&sites));
            }
            output::data(&list::as_text(&sites, list::Failures::All))
        }
        What::Show { url: Some(url), common } => {
            let pages = list::pages(&Place::find(config, &common.target)?, url)?;
            if common.json {
                return output::json(&json!({ "pages": pages }));
            }
            output::data(&list::pages_as_text(&pages))
        }
        What::Crawl { site, common } => {
            crawl::run(config, &common.target, site.as_deref(), common.json)
        }
        What::Import(args) => import::run(config, args),
        What::Pin { before, site, common, .. } => pin(config, *before, site.as_deref(), common),
        What::Verify { key, common } => {
            let state = place::state(config, &common.target)?;
            check::run(&state, key.as_deref(), common.json)
        }
        What::Export { wacz, folder, site, common } => {
            let place = Place::find(config, &common.target)?;
            let state = place::state(config, &common.target)?;
            let dir = export::choose(&state, site.as_deref())?;
            export::seal(&place)?;
            let to = match (wacz, folder) {
                (Some(file), _) => export::To::Package(file),
                (None, Some(folder)) => export::To::Folder(folder),
                (None, None) => unreachable!("clap asks for one of them"),
            };
            export::run(&state, &dir, &to, common.json)
        }
        What::Key { target } => {
            let key = check::own_key(&place::state(config, target)?)?;
            output::data(&key.to_pem())
        }
    }
}

fn pin(
    config: Option<&Path>,
    before: Option<WallTime>,
    site: Option<&str>,
    common: &QueryArgs,
) -> Done {
    match Place::find(config, &common.target)? {
        Place::Running { socket } => {
            let value = before.map_or("none".to_owned(), |at| at.unix_secs().to_string());
            let of = place::parameter(site);
            ask(&socket, "POST", &format!("/archive?pin={value}{of}"))?;
        }
        Place::Stopped { state } => {
            for site in place::open_of(&state, site)? {
                site.archive.pin(before, times::now()).map_err(|error| place::failed(&error))?;
            }
        }
    }
    let shown = before.map(|at| rfc3339(WallTime::from_unix_secs(at.unix_secs())));
    if common.json {
        return output::json(&json!({ "pinned_before": shown }));
    }
    let Some(shown) = shown else {
        return output::data("every copy may be shown again");
    };
    output::data(&format!("copies from {shown} on are held back"))?;
    output::say(
        "The cache still has what it fetched since: `seawall purge --all` drops that. The crawl goes on, \
         and `seawall archive pin --off` shows what it finds once the site is itself again.",
    );
    Ok(())
}
