//! `seawall report timestamp`: asks an authority for a stamp of the time, and puts it into the record.
//!
//! For a record that is over, or one of a stopped program; the running program asks by itself where the configuration
//! names an authority. The record is not locked while the answer is waited for: what is added meanwhile comes behind the
//! seal that is stamped.

use std::fs::File;
use std::path::Path;

use seawall_edge::config::TimestampAuthority;
use seawall_edge::recorder::ask_for_stamp;
use seawall_report::{Entry, Moment, RecordVerifier, Timestamp, VerifiedRecord};

use super::{TimestampArgs, add, place};
use crate::config::{self, machine::Machine, value};
use crate::output::{self, Failure, say, with_causes};
use crate::pieces::Pieces;
use crate::{Done, target, times};

/// Asks for the stamp, and adds it.
///
/// # Errors
/// A failure if nobody is to be asked, there is no stamp, or nothing can be added to the record.
pub(super) fn run(config: Option<&Path>, args: &TimestampArgs) -> Done {
    let authority = authority(config, args)?;
    let path = place::record(config, &args.target, &args.incident)?;
    let found = verify(&path)?;
    // Nobody is asked for what cannot be added.
    add::check(config, &args.target, &path, found.is_closed)?;
    let (Some(head), segment) = (found.head, found.segments) else {
        return Err(Failure::failed(
            "nothing of the record is sealed yet",
            "it is sealed every minute while the program runs",
        ));
    };
    let answer = ask_for_stamp(&authority, head).map_err(|error| {
        Failure::failed(
            format!("no stamp from `{}`: {}", authority.url, with_causes(&error)),
            "nothing was written; try again later, or another authority with `--authority URL`",
        )
    })?;
    let now = Moment::from_unix_ms(times::now().unix_nanos() / 1_000_000);
    let entry = Entry::Timestamp(Timestamp::of(segment, &authority.url, &answer));
    let added = add::add(config, &args.target, &args.incident, entry, now)??;
    if args.json {
        let mut value = added.as_json(now);
        value["stamped_segment"] = segment.into();
        value["stamped_head"] = head.to_string().into();
        value["authority"] = authority.url.into();
        return output::json(&value);
    }
    output::data(&format!(
        "the seal of segment {segment} is stamped, and that is sealed in {added}"
    ))?;
    added.say_what_was_cut();
    say(
        "The signature of the authority was not checked: docs/evidence.md says how, with `openssl ts -verify`.",
    );
    Ok(())
}

/// The one that is named, else that of the configuration.
fn authority(given: Option<&Path>, args: &TimestampArgs) -> Result<TimestampAuthority, Failure> {
    if let Some(url) = &args.authority {
        return value::timestamp_authority(url).map_err(|complaint| {
            Failure::usage(
                format!("`--authority` is {complaint}"),
                "write the address that the authority names, such as `https://tsa.example.org/tsr`",
            )
        });
    }
    let nobody = || {
        Failure::usage(
            "it is not known whom to ask",
            "name an authority with `--authority URL`, or in the configuration with `evidence.timestamp_authority`",
        )
    };
    let file = target::config_file(given).ok_or_else(nobody)?;
    match config::load(&file, &Machine::survey()) {
        Ok((config, _)) => config.evidence.timestamp_authority.ok_or_else(nobody),
        Err(findings) => {
            say(&findings.render_errors());
            Err(Failure::Said)
        }
    }
}

/// What stands of the record: nothing is stamped that is not what was sealed.
fn verify(path: &Path) -> Result<VerifiedRecord, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::failed(
            format!("cannot read `{}`: {error}", path.display()),
            "run the command as the user Seawall runs as",
        )
    };
    let mut pieces = Pieces::of(File::open(path).map_err(cannot)?);
    let mut verifier = RecordVerifier::new(None);
    while let Some(piece) = pieces.next().map_err(cannot)? {
        verifier.take(piece);
    }
    verifier.finish().map_err(|failure| {
        Failure::failed(
            format!("the record is not what was sealed, {failure}"),
            "nothing was asked; `seawall verify` says what stands of it",
        )
    })
}
