//! `seawall report note`: what a person has to say of an incident, sealed into its record.
//!
//! How it is added to a record that is over is in `add`; the running program is asked to write it on one that goes on.

use std::path::Path;

use seawall_report::{Entry, Moment, Note, NoteError, NoteKind};

use super::add::Held;
use super::{NoteArgs, add};
use crate::output::{self, Failure, say};
use crate::{Done, admin, times};

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
    let entry = Entry::Note(note.clone());
    let added = match add::add(config, &args.target, &args.incident, entry, now)? {
        Ok(added) => added,
        Err(held) => return ask(held, &note, args.json),
    };
    if args.json {
        return output::json(&added.as_json(now));
    }
    output::data(&format!("noted and sealed in {added}"))?;
    added.say_what_was_cut();
    say("The head has changed: write the new one down, or mail it, in place of the one before.");
    Ok(())
}

/// Has the running program write it, which has the record open.
fn ask(held: Held, note: &Note, is_json: bool) -> Done {
    let Held { socket: Some(socket), path } = &held else { return Err(held.into()) };
    let incident = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let content = serde_json::to_vec(note).expect("a structure of strings and numbers");
    let target = format!("/note?incident={}", admin::percent_encode(&incident));
    let mut noted = admin::bring(socket, &target, &content)?;
    let path = path.display().to_string();
    if is_json {
        (noted["record"], noted["is_closed"]) = (path.into(), false.into());
        return output::json(&noted);
    }
    let text = |name: &str| noted[name].as_str().unwrap_or_default();
    let (head, key) = (text("head"), text("key"));
    output::data(&format!("noted and sealed in `{path}`\nhead {head}\nkey  {key}"))?;
    say("The incident goes on, and the head changes each minute: it is final when it is over.");
    Ok(())
}

fn note(args: &NoteArgs, now: Moment) -> Result<Note, Failure> {
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
    let note = Note {
        at: now,
        author: args.author.clone(),
        kind,
        source: args.source.clone(),
        about: about.map(|at| Moment::from_unix_ms(at.unix_nanos() / 1_000_000)),
        text: args.text.clone(),
    };
    note.checked().map_err(|error| Failure::usage(error.to_string(), NoteError::HINT))
}
