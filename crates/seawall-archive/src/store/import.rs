//! Adding what was captured elsewhere, or long ago: an import.
//!
//! Separate from what a fetch adds because a fetch is the latest word and an import is not: it comes with
//! its own time, goes in between what is held, takes nothing away that is newer, and nothing that was
//! withdrawn comes back with it. The origin has the last word: it is asked for what is shown from then on,
//! and never whether it still says what an import said.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use seawall_model::WallTime;
use seawall_seal::Digest;

use super::keep::{CLOCK_SLACK, Gathered, put_known, to_millis, write_at_end};
use super::same::says_the_same;
use super::thin::worth_keeping;
use super::{Archive, Writer};
use crate::capture::Capture;
use crate::error::ArchiveError;
use crate::frontier::Known;
use crate::index::{Look, Version};

/// A response that was captured elsewhere.
#[derive(Clone, Debug)]
pub struct Import {
    /// The response, with its own time.
    pub capture: Capture,
    /// The title of a page, for lists.
    pub title: Option<String>,
    /// What it comes from.
    pub from: Provenance,
}

/// What an import comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// A record, which says when it was captured.
    Record,
    /// A file, whose time says little: copying it may have made it new. What was withdrawn does not come
    /// back with it, whatever its time.
    File,
}

/// What became of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Imported {
    /// It is a version of its URL now.
    Stored,
    /// The same was held already.
    Held,
    /// There are enough versions that are newer, or of its age; or one from before it is what the origin
    /// was found to say after it.
    Superseded,
    /// Its URL was withdrawn.
    Withdrawn,
    /// The bytes or the URLs allowed are full.
    NoRoom,
    /// It says that it was captured at a time that has not come.
    Future,
}

impl Imported {
    /// A word for lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Held => "held",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
            Self::NoRoom => "no_room",
            Self::Future => "future",
        }
    }
}

/// What is to be done about one.
enum Judged {
    /// Write it.
    Place { payload: Digest, is_newest: bool },
    /// The version captured then says the same, and the origin did so at the time of the import.
    Confirms(WallTime),
    /// Nothing.
    Leave(Imported),
}

impl Archive {
    /// Adds responses that were captured elsewhere. Those that were added when it returns are on disk; what
    /// became of each is said in their order. An import that is repeated adds nothing.
    ///
    /// # Errors
    /// [`ArchiveError::Io`] if the disk is full or fails; then some may have been added.
    pub fn import(
        &self,
        imports: Vec<Import>,
        now: WallTime,
    ) -> Result<Vec<Imported>, ArchiveError> {
        let mut outcomes = Vec::with_capacity(imports.len());
        let (mut some, mut urls) = (Vec::new(), HashSet::new());
        for import in imports {
            // Each is held against what is there, so there is one of each URL at a time.
            if !urls.insert(import.capture.url.clone()) {
                outcomes.extend(self.import_some(std::mem::take(&mut some), now)?);
                urls.clear();
                urls.insert(import.capture.url.clone());
            }
            some.push(import);
        }
        outcomes.extend(self.import_some(some, now)?);
        Ok(outcomes)
    }

    /// What would become of an import, as far as it does not depend on others.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn would_import(&self, import: &Import, now: WallTime) -> Result<Imported, ArchiveError> {
        let mut capture = import.capture.clone();
        to_millis(&mut capture);
        let pin = self.pinned_before()?;
        let judged = self.index.look(|look| {
            let room = self.room(look)?;
            self.judge_import(look, &capture, import.from, &room, pin, now)
        })?;
        Ok(match judged {
            Judged::Place { .. } => Imported::Stored,
            Judged::Confirms(_) => Imported::Held,
            Judged::Leave(outcome) => outcome,
        })
    }

    /// Adds some of different URLs: all of them, or none.
    fn import_some(
        &self,
        mut imports: Vec<Import>,
        now: WallTime,
    ) -> Result<Vec<Imported>, ArchiveError> {
        imports.iter_mut().for_each(|import| to_millis(&mut import.capture));
        let mut writer = self.writer()?;
        let pin = self.pinned_before()?;
        let judged = self.index.look(|look| {
            let mut room = self.room(look)?;
            let mut judged = Vec::with_capacity(imports.len());
            for Import { capture, from, .. } in &imports {
                let one = self.judge_import(look, capture, *from, &room, pin, now)?;
                if matches!(one, Judged::Place { .. }) && look.known(&capture.url)?.is_none() {
                    room.urls = room.urls.saturating_sub(1);
                }
                judged.push(one);
            }
            Ok(judged)
        })?;
        let mut gathered = Gathered::behind(&writer);
        let (mut outcomes, mut stored) = (Vec::with_capacity(imports.len()), Vec::new());
        for (Import { capture, title, .. }, judged) in imports.iter().zip(judged) {
            outcomes.push(match judged {
                Judged::Leave(outcome) => {
                    let refused = u64::from(outcome == Imported::NoRoom);
                    self.refused.fetch_add(refused, Ordering::Relaxed);
                    outcome
                }
                Judged::Confirms(version) => {
                    gathered.validated.push((capture.url.clone(), version, capture.captured));
                    Imported::Held
                }
                Judged::Place { payload, is_newest } => {
                    let title = title.as_deref().unwrap_or_default();
                    self.compose(&writer, &mut gathered.batch, capture, title, payload)?;
                    stored.push((capture.url.as_str(), is_newest));
                    Imported::Stored
                }
            });
        }
        self.put_imports(&mut writer, gathered, &stored, now)?;
        Ok(outcomes)
    }

    fn put_imports(
        &self,
        writer: &mut Writer,
        mut gathered: Gathered,
        stored: &[(&str, bool)],
        now: WallTime,
    ) -> Result<(), ArchiveError> {
        if stored.is_empty() && gathered.validated.is_empty() {
            return Ok(());
        }
        self.settle(writer, &mut gathered)?;
        write_at_end(writer, &gathered.batch.bytes)?;
        let id = writer.id;
        self.change(writer, |change| {
            gathered.write(change, id, now)?;
            for &(url, is_newest) in stored {
                let known = change.known(url)?.and_then(|bytes| Known::decode(&bytes));
                if known.is_none() || is_newest {
                    let mut known = known.unwrap_or_else(|| Known::unseen(url, now));
                    // They are of what was fetched: the origin would call that unchanged, and the import
                    // would be taken for confirmed.
                    known.forget_validators();
                    // The origin has the last word, as soon as it says one.
                    known.due = known.due.min(now);
                    put_known(change, url, &known)?;
                }
                change.restore(url)?;
            }
            for (url, captured) in &gathered.lost {
                super::keep::forget(change, url, *captured)?;
            }
            Ok(())
        })?;
        writer.length += gathered.batch.bytes.len() as u64;
        writer.records += gathered.batch.placed.len();
        Ok(())
    }

    fn room(&self, look: &Look) -> Result<Room, redb::Error> {
        let live: u64 = look.packages()?.iter().map(|(_, row)| row.live_bytes).sum();
        let known = look.counts()?.0;
        Ok(Room {
            is_full: live >= self.options.max_bytes,
            urls: self.options.max_known.saturating_sub(known),
        })
    }

    fn judge_import(
        &self,
        look: &Look,
        capture: &Capture,
        from: Provenance,
        room: &Room,
        pin: Option<WallTime>,
        now: WallTime,
    ) -> Result<Judged, redb::Error> {
        if capture.captured > now {
            return Ok(Judged::Leave(Imported::Future));
        }
        let withdrawn = look.barred(&capture.url, now + CLOCK_SLACK)?;
        if withdrawn.is_some_and(|at| from == Provenance::File || at >= capture.captured) {
            return Ok(Judged::Leave(Imported::Withdrawn));
        }
        let versions = look.versions(&capture.url)?;
        if versions.iter().any(|version| version.captured == capture.captured) {
            return Ok(Judged::Leave(Imported::Held));
        }
        let payload = Digest::of(&capture.body);
        let before = versions.iter().rev().find(|version| version.captured < capture.captured);
        if let Some(before) = before
            && says_the_same(before, capture, &payload)
        {
            // As at a fetch: from then on until now it said so.
            return Ok(match before.validated >= capture.captured {
                true => Judged::Leave(Imported::Held),
                false => Judged::Confirms(before.captured),
            });
        }
        // The origin said something else later than this was captured, though it had said that before.
        if before.is_some_and(|before| before.validated >= capture.captured)
            || !self.is_worth_keeping(&versions, capture, pin)
        {
            return Ok(Judged::Leave(Imported::Superseded));
        }
        let is_newest = versions.last().is_none_or(|newest| newest.captured < capture.captured);
        let supersedes = is_newest && !versions.is_empty();
        let is_known = look.known(&capture.url)?.is_some();
        if room.is_full && !supersedes || room.urls == 0 && !is_known {
            return Ok(Judged::Leave(Imported::NoRoom));
        }
        Ok(Judged::Place { payload, is_newest })
    }

    fn is_worth_keeping(
        &self,
        versions: &[Version],
        capture: &Capture,
        pin: Option<WallTime>,
    ) -> bool {
        let held = versions.iter().map(|version| version.captured);
        let mut times: Vec<_> = held.chain([capture.captured]).collect();
        times.sort_unstable();
        worth_keeping(&times, pin, self.options.max_versions.max(1)).contains(&capture.captured)
    }
}

/// What there is room for.
struct Room {
    /// The bytes allowed are full: only what supersedes something gets in.
    is_full: bool,
    /// Further URLs that may become known.
    urls: u64,
}
