//! `seawall report note`: what a person has to say of an incident, sealed into its record.
//!
//! What is added, and what of it is too long or odd; how it is added is in `add`.

use std::path::Path;

use seawall_report::{Entry, Moment, Note, NoteKind};

use super::{NoteArgs, add};
use crate::figures::grouped;
use crate::output::{self, Failure, say};
use crate::{Done, times};

/// Whose words it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// What you saw or did yourself.
    Observation,
    /// Something public that came before, such as an article.
    Event,
    /// Somebody claims to have done it.
    Claim,
    /// Somebody demands something.
    Demand,
    /// Anything else that others said.
    Statement,
}

/// Appends the note and seals it.
///
/// # Errors
/// A failure if it is too long, the record is somebody else's to write or not what was sealed, or the disk takes nothing.
pub(super) fn run(config: Option<&Path>, args: &NoteArgs) -> Done {
    let now = Moment::from_unix_ms(times::now().unix_nanos() / 1_000_000);
    let note = note(args, now)?;
    let added = add::add(config, &args.target, &args.incident, Entry::Note(note), now)?;
    if args.json {
        return output::json(&added.as_json(now));
    }
    output::data(&format!("noted and sealed in {added}"))?;
    added.say_what_was_cut();
    say("The head has changed: write the new one down, or mail it, in place of the one before.");
    Ok(())
}

fn note(args: &NoteArgs, now: Moment) -> Result<Note, Failure> {
    let is_odd = |c: char| c.is_control();
    let source = args.source.as_deref();
    for (name, text, max) in [
        ("--author", Some(args.author.as_str()), MAX_AUTHOR_BYTES),
        ("--source", source, MAX_SOURCE_BYTES),
        ("the text", Some(args.text.as_str()), MAX_TEXT_BYTES),
    ] {
        let Some(text) = text else { continue };
        let is_line = name != "the text";
        let what = if text.trim().is_empty() {
            "is empty".to_owned()
        } else if text.len() > max {
            format!(
                "has {} bytes, and {} are the limit",
                grouped(text.len() as u64),
                grouped(max as u64)
            )
        } else if text.contains(|c| is_odd(c) && (is_line || !"\n\t".contains(c))) {
            "has control characters".to_owned()
        } else {
            continue;
        };
        return Err(Failure::usage(
            format!("{name} {what}"),
            "say it shortly, in several notes if need be; `--source` names where the rest is",
        ));
    }
    let about = args.about.as_deref().map(|text| times::read(text, times::now()));
    let about = about.transpose().map_err(|error| {
        Failure::usage(
            format!("`--about` is {error}"),
            "say when that was of which the note speaks",
        )
    })?;
    let kind = match args.kind {
        Kind::Observation => NoteKind::Observation,
        Kind::Event => NoteKind::Event,
        Kind::Claim => NoteKind::Claim,
        Kind::Demand => NoteKind::Demand,
        Kind::Statement => NoteKind::Statement,
    };
    Ok(Note {
        at: now,
        author: args.author.trim().to_owned(),
        kind,
        source: source.map(|source| source.trim().to_owned()),
        about: about.map(|at| Moment::from_unix_ms(at.unix_nanos() / 1_000_000)),
        text: args.text.trim().to_owned(),
    })
}

/// Of its words.
const MAX_TEXT_BYTES: usize = 8 << 10;
const MAX_AUTHOR_BYTES: usize = 200;
/// An address of a page, or of a mail's sender.
const MAX_SOURCE_BYTES: usize = 2 << 10;
