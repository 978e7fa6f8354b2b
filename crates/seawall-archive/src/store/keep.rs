//! Adding to the archive, and taking from it what may not come back.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_model::WallTime;
use seawall_seal::Digest;

use super::same::says_the_same;
use super::thin::worth_keeping;
use super::{Archive, PIN, Writer};
use crate::capture::Capture;
use crate::error::ArchiveError;
use crate::frontier::{FailReason, Known, Validators};
use crate::index::{Change, PackageId, Same, Version};
use crate::warc::{Record, RevisitOf, Written, response_record, revisit_record};

/// The text beside the packages that says what may not come back, should the index be lost.
pub(super) const WITHDRAWN: &str = "withdrawn";

/// What a fetch came to.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// In normal form.
    pub url: String,
    /// What is known of it from now on.
    pub known: Known,
    /// The same, should a response turn out to say what the newest version says.
    pub known_if_same: Option<Known>,
    /// What is to be kept.
    pub kept: Kept,
    /// The title of a page, for lists.
    pub title: Option<String>,
}

/// What is to be kept of a fetch.
#[derive(Clone, Debug)]
pub enum Kept {
    /// This response.
    Response(Capture),
    /// The origin was asked with these, and says that they still hold: so does the newest version, if that is
    /// what they are of.
    Unchanged(Validators),
    /// Nothing: the URL is gone (404, 410), and what was held goes too.
    Gone,
    /// Nothing; what is held stays.
    Nothing,
}

/// A URL that was found, or of which there is news.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// In normal form.
    pub url: String,
    /// What is known of it.
    pub known: Known,
}

/// A record on its way into the open file.
pub(super) struct Placed {
    pub(super) url: String,
    version: Version,
    title: String,
    has_content: bool,
    /// Whether others may refer to its content.
    is_shared: bool,
}

impl Archive {
    /// Adds what was fetched and found, at once and on disk when it returns: all of it, or nothing.
    /// Of URLs already known `found` changes those that were not fetched since it was made of them.
    ///
    /// When what is held fills the bytes allowed, nothing of further URLs is held, and when as many are
    /// known as may be, no further ones are: see [`crate::ArchiveStats::refused`].
    ///
    /// Returns how many responses said the same as the newest version: of them only that is noted.
    ///
    /// # Errors
    /// [`ArchiveError::Io`] if the disk is full or fails; then nothing was added.
    pub fn keep(
        &self,
        mut fetched: Vec<Fetched>,
        found: Vec<Discovered>,
        now: WallTime,
    ) -> Result<usize, ArchiveError> {
        self.refuse_new(&mut fetched)?;
        self.add(fetched, found, Later::IsAhead, now)
    }

    /// As [`Self::keep`], also for what was there before.
    pub(super) fn add(
        &self,
        mut fetched: Vec<Fetched>,
        found: Vec<Discovered>,
        later: Later,
        now: WallTime,
    ) -> Result<usize, ArchiveError> {
        for fetched in &mut fetched {
            if let Kept::Response(capture) = &mut fetched.kept {
                to_millis(capture);
            }
        }
        let mut writer = self.writer()?;
        self.skip_withdrawn(&mut fetched, now)?;
        let gathered = self.gather(&writer, &fetched, later, now)?;
        for url in &gathered.gone {
            self.write_down("gone", url, now)?;
        }
        write_at_end(&mut writer, &gathered.batch.bytes)?;
        let id = writer.id;
        self.change(&mut writer, |change| {
            gathered.write(change, id, now)?;
            for (fetched, said) in fetched.iter().zip(&gathered.said) {
                put_outcome(change, fetched, *said, now)?;
            }
            for (url, captured) in &gathered.lost {
                forget(change, url, *captured)?;
            }
            for found in &found {
                if !put_news(change, found, self.options.max_known)? {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        })?;
        writer.length += gathered.batch.bytes.len() as u64;
        writer.records += gathered.batch.placed.len();
        Ok(gathered.said.iter().filter(|said| **said == Said::Same).count())
    }

    /// Superseded versions make room for newer ones of the same URLs, but nothing does for further URLs.
    fn refuse_new(&self, fetched: &mut [Fetched]) -> Result<(), ArchiveError> {
        self.index.look(|look| {
            let live: u64 = look.packages()?.iter().map(|(_, row)| row.live_bytes).sum();
            if live < self.options.max_bytes {
                return Ok(());
            }
            for fetched in fetched {
                if matches!(fetched.kept, Kept::Response(_)) && !look.is_held(&fetched.url)? {
                    fetched.kept = Kept::Nothing;
                    fetched.known.reason = Some(FailReason::NoRoom);
                    fetched.known.failures = fetched.known.failures.saturating_add(1);
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        })
    }

    /// What was withdrawn while a response was on its way does not come back with that. Later than now
    /// nothing was withdrawn: the clock was ahead.
    fn skip_withdrawn(&self, fetched: &mut [Fetched], now: WallTime) -> Result<(), ArchiveError> {
        let latest = now + CLOCK_SLACK;
        for fetched in fetched {
            let Kept::Response(capture) = &fetched.kept else { continue };
            let withdrawn = self.index.look(|look| look.barred(&capture.url, latest))?;
            if withdrawn.is_some_and(|at| at >= capture.captured) {
                fetched.kept = Kept::Nothing;
                fetched.known.due = now;
                fetched.known.forget_validators();
            }
        }
        Ok(())
    }

    /// Finds out what has to be written for what was fetched.
    fn gather(
        &self,
        writer: &Writer,
        fetched: &[Fetched],
        later: Later,
        now: WallTime,
    ) -> Result<Gathered, ArchiveError> {
        let mut gathered = Gathered::behind(writer);
        for fetched in fetched {
            let mut said = Said::News;
            match &fetched.kept {
                Kept::Response(capture) => {
                    let title = fetched.title.as_deref().unwrap_or_default();
                    if later == Later::IsAhead {
                        self.drop_ahead(capture, &mut gathered.removed)?;
                    }
                    said = self.place(writer, &mut gathered, capture, title)?;
                    if later == Later::IsNewer && said == Said::OfBefore {
                        said = Said::News;
                    }
                }
                Kept::Unchanged(asked) => {
                    let (known, versions) = self.index.look(|look| {
                        Ok((look.known(&fetched.url)?, look.versions(&fetched.url)?))
                    })?;
                    let known = known.and_then(|bytes| Known::decode(&bytes));
                    // Since it was asked somebody brought another version, or the one that it was asked
                    // for turned out damaged.
                    if known.is_some_and(|known| known.validators != *asked) {
                        said = Said::OfBefore;
                    } else if let Some(newest) = versions.last() {
                        gathered.validated.push((fetched.url.clone(), newest.captured, now));
                    }
                }
                Kept::Gone => {
                    let versions = self.index.look(|look| look.versions(&fetched.url))?;
                    let removed = versions.into_iter().map(|it| (fetched.url.clone(), it));
                    gathered.removed.extend(removed);
                    gathered.gone.insert(fetched.url.clone());
                }
                Kept::Nothing => {}
            }
            gathered.said.push(said);
        }
        // Of a URL that is gone and was never held there is nothing to withdraw.
        let Gathered { removed, gone, .. } = &mut gathered;
        gone.retain(|url| removed.iter().any(|(held, _)| held == url));
        self.settle(writer, &mut gathered)?;
        Ok(gathered)
    }

    /// Finds out what goes for what comes, and who gets its content.
    pub(super) fn settle(
        &self,
        writer: &Writer,
        gathered: &mut Gathered,
    ) -> Result<(), ArchiveError> {
        let Gathered { batch, removed, lost, .. } = gathered;
        self.surplus(batch, removed)?;
        *lost = self.give_content_to_heirs(writer, batch, removed)?;
        Ok(())
    }

    /// Takes away all that is held of `url`, for good: what was captured until now does not come back,
    /// not from packages either. Its content is erased with the next [`Archive::upkeep`]. Says whether
    /// anything was held.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn withdraw(&self, url: &str, now: WallTime) -> Result<bool, ArchiveError> {
        let mut writer = self.writer()?;
        let versions = self.index.look(|look| look.versions(url))?;
        let removed: Vec<_> = versions.into_iter().map(|it| (url.to_owned(), it)).collect();
        let mut batch = Batch { bytes: Vec::new(), at: writer.length, placed: Vec::new() };
        let lost = self.give_content_to_heirs(&writer, &mut batch, &removed)?;
        self.write_down("withdrawn", url, now)?;
        write_at_end(&mut writer, &batch.bytes)?;
        let id = writer.id;
        self.change(&mut writer, |change| {
            for placed in &batch.placed {
                put(change, placed)?;
                change.note_live(id, u64::from(placed.version.length))?;
            }
            for (url, version) in &removed {
                change.remove_version(url, version.captured)?;
                change.put_erase(version.package, now)?;
            }
            for (url, captured) in &lost {
                forget(change, url, *captured)?;
            }
            make_due(change, url, now)?;
            change.withdraw(url, now)
        })?;
        writer.length += batch.bytes.len() as u64;
        Ok(!removed.is_empty())
    }

    /// Takes versions away; records that refer to their content are given it.
    pub(super) fn remove_versions(
        &self,
        mut removed: Vec<(String, Version)>,
    ) -> Result<(), ArchiveError> {
        let mut writer = self.writer()?;
        // As they are now: somebody may have packed them or taken them away.
        self.index.look(|look| {
            for (url, version) in std::mem::take(&mut removed) {
                let there = look.version(&url, version.captured)?;
                removed.extend(there.map(|version| (url, version)));
            }
            Ok(())
        })?;
        let mut batch = Batch { bytes: Vec::new(), at: writer.length, placed: Vec::new() };
        let lost = self.give_content_to_heirs(&writer, &mut batch, &removed)?;
        write_at_end(&mut writer, &batch.bytes)?;
        let id = writer.id;
        self.change(&mut writer, |change| {
            for placed in &batch.placed {
                put(change, placed)?;
                change.note_live(id, u64::from(placed.version.length))?;
            }
            for (url, version) in &removed {
                change.remove_version(url, version.captured)?;
            }
            lost.iter().try_for_each(|(url, captured)| forget(change, url, *captured))
        })?;
        writer.length += batch.bytes.len() as u64;
        Ok(())
    }

    /// From now on shows nothing that was captured from `before` on; `None` shows everything again.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn pin(&self, before: Option<WallTime>, now: WallTime) -> Result<(), ArchiveError> {
        let _writer = self.writer()?;
        let nanos = before.map(WallTime::unix_nanos);
        let text = nanos.map_or_else(|| "none".to_owned(), |nanos| nanos.to_string());
        self.write_down("pin", &text, now)?;
        self.index.change(|change| match nanos {
            Some(nanos) => change.put_number(PIN, nanos),
            None => change.remove_number(PIN),
        })
    }

    /// Forgets a version whose bytes are damaged with those that refer to its content, and makes their
    /// URLs due.
    pub(super) fn forget_damaged(&self, url: &str, captured: WallTime) -> Result<(), ArchiveError> {
        let mut writer = self.writer()?;
        let Some(version) = self.index.look(|look| look.version(url, captured))? else {
            return Ok(());
        };
        // It may have been written anew since somebody read it.
        if !matches!(self.record(url, &version), Err(ArchiveError::Record { .. }))
            && !self.lacks_original(url, &version)?
        {
            return Ok(());
        }
        self.damaged.fetch_add(1, Ordering::Relaxed);
        self.change(&mut writer, |change| forget(change, url, captured))
    }

    /// Whether a record refers to a content that no other has.
    fn lacks_original(&self, url: &str, version: &Version) -> Result<bool, ArchiveError> {
        self.index.look(|look| {
            let refers = look.refers(&version.payload, url, version.captured)?;
            Ok(refers && look.original(&version.payload)?.is_none())
        })
    }

    /// Writes the record of a response, unless the newest version says the same.
    fn place(
        &self,
        writer: &Writer,
        gathered: &mut Gathered,
        capture: &Capture,
        title: &str,
    ) -> Result<Said, ArchiveError> {
        let Gathered { batch, validated, removed, .. } = gathered;
        let payload = Digest::of(&capture.body);
        let mut versions = self.index.look(|look| look.versions(&capture.url))?;
        versions.retain(|it| !removed.iter().any(|(of, gone)| *of == capture.url && gone == it));
        let newest = versions.last();
        if let Some(newest) = newest
            && (says_the_same(newest, capture, &payload)
                || self.leads_to_the_same(newest, capture, &payload)?)
        {
            // Not the present: a record may also come from a file after a restart.
            validated.push((capture.url.clone(), newest.captured, capture.captured));
            return Ok(Said::Same);
        }
        let is_newest = newest.is_none_or(|newest| newest.captured <= capture.captured);
        self.compose(writer, batch, capture, title, payload)?;
        Ok(if is_newest { Said::News } else { Said::OfBefore })
    }

    /// Makes the record of a response: with its content, or as a reference to another's that is the same.
    pub(super) fn compose(
        &self,
        writer: &Writer,
        batch: &mut Batch,
        capture: &Capture,
        title: &str,
        payload: Digest,
    ) -> Result<(), ArchiveError> {
        let is_shared = capture.body.len() >= WORTH_REFERRING;
        let original = match is_shared {
            true => self.index.look(|look| look.original(&payload))?,
            false => None,
        };
        let in_batch =
            batch.placed.iter().find(|it| it.has_content && it.version.payload == payload);
        let original = in_batch.map(|it| (it.url.clone(), it.version.captured)).or(original);
        let is_same = |url: &str, at: WallTime| url == capture.url && at == capture.captured;
        let written = match &original {
            Some((url, captured)) if is_shared && !is_same(url, *captured) => {
                let of = RevisitOf { url: url.clone(), captured: *captured, payload };
                (revisit_record(capture, &of), false)
            }
            _ => (response_record(capture), true),
        };
        batch.add(writer, capture, title, payload, written);
        Ok(())
    }

    /// Versions from a time when the clock was ahead go when a fetch shows it: they would be the newest
    /// until that time has come.
    fn drop_ahead(
        &self,
        capture: &Capture,
        removed: &mut Vec<(String, Version)>,
    ) -> Result<(), ArchiveError> {
        let versions = self.index.look(|look| look.versions(&capture.url))?;
        let ahead = versions
            .into_iter()
            .filter(|version| version.captured.saturating_since(capture.captured) > CLOCK_SLACK);
        removed.extend(ahead.map(|version| (capture.url.clone(), version)));
        Ok(())
    }

    /// What a URL has too many of.
    fn surplus(
        &self,
        batch: &Batch,
        removed: &mut Vec<(String, Version)>,
    ) -> Result<(), ArchiveError> {
        let pin = self.pinned_before()?;
        let urls: BTreeSet<_> = batch.placed.iter().map(|it| it.url.as_str()).collect();
        for url in urls {
            let mut versions = self.index.look(|look| look.versions(url))?;
            versions.retain(|it| !removed.iter().any(|(of, gone)| of == url && gone == it));
            let new = batch.placed.iter().filter(|it| it.url == url).map(|it| it.version.captured);
            let mut times: Vec<_> = versions.iter().map(|it| it.captured).chain(new).collect();
            times.sort_unstable();
            let kept = worth_keeping(&times, pin, self.options.max_versions.max(1));
            versions.retain(|it| !kept.contains(&it.captured));
            removed.extend(versions.into_iter().map(|it| (url.to_owned(), it)));
        }
        Ok(())
    }

    /// Where records refer to the content of one that goes, the first of them gets it. Returns those that
    /// cannot be given it or cannot be read themselves.
    fn give_content_to_heirs(
        &self,
        writer: &Writer,
        batch: &mut Batch,
        removed: &[(String, Version)],
    ) -> Result<Vec<Same>, ArchiveError> {
        let gone: BTreeSet<_> =
            removed.iter().map(|(url, version)| (url.as_str(), version.captured)).collect();
        let mut lost = Vec::new();
        for (url, version) in removed {
            let mut heirs = self.heirs(url, version, &gone)?;
            // Whoever refers to it in this very batch needs a record with the content as well.
            let in_batch = batch.placed.iter().filter(|it| it.version.payload == version.payload);
            let (have_it, refer): (Vec<_>, Vec<_>) = in_batch.partition(|it| it.has_content);
            if !have_it.is_empty() {
                continue;
            }
            heirs.extend(refer.into_iter().map(|it| (it.url.clone(), it.version.captured)));
            if heirs.is_empty() {
                continue;
            }
            let content = match self.read(url, version) {
                Ok(capture) => capture.body,
                Err(ArchiveError::Record { .. } | ArchiveError::TooLarge { .. }) => {
                    self.damaged.fetch_add(1, Ordering::Relaxed);
                    lost.extend(heirs);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (of, captured) in heirs {
                if self.rewrite(writer, batch, &of, captured, content.clone())? {
                    break;
                }
                lost.push((of, captured));
            }
        }
        Ok(lost)
    }

    /// Those that refer to the content of this record, if nobody else has it and they do not go as well.
    fn heirs(
        &self,
        url: &str,
        version: &Version,
        gone: &BTreeSet<(&str, WallTime)>,
    ) -> Result<Vec<Same>, ArchiveError> {
        self.index.look(|look| {
            let mut heirs = Vec::new();
            let (mut has_it, mut has_other) = (false, false);
            look.each_same(&version.payload, false, |of, at| {
                has_it |= of == url && at == version.captured;
                has_other |= !gone.contains(&(of, at));
                !has_other
            })?;
            if has_it && !has_other {
                look.each_same(&version.payload, true, |of, at| {
                    if !gone.contains(&(of, at)) {
                        heirs.push((of.to_owned(), at));
                    }
                    true
                })?;
            }
            Ok(heirs)
        })
    }

    /// Writes a record anew that referred to another's content, with that content. `false` if it cannot
    /// be read.
    fn rewrite(
        &self,
        writer: &Writer,
        batch: &mut Batch,
        url: &str,
        captured: WallTime,
        body: bytes::Bytes,
    ) -> Result<bool, ArchiveError> {
        let payload = Digest::of(&body);
        if let Some(at) =
            batch.placed.iter().position(|it| it.url == url && it.version.captured == captured)
        {
            let placed = batch.placed.remove(at);
            let start = (placed.version.offset - batch.at) as usize;
            let member = &batch.bytes[start..start + placed.version.length as usize];
            let record = crate::warc::read_member(member, self.options.max_body_bytes)?;
            let Record::Revisit(revisit) = record else { return Ok(false) };
            let capture = Capture { body, ..revisit.head };
            let written = (response_record(&capture), true);
            batch.add(writer, &capture, &placed.title, payload, written);
            return Ok(true);
        }
        let found = self.index.look(|look| {
            let Some(version) = look.version(url, captured)? else { return Ok(None) };
            let title = look.title(version.package, version.offset)?;
            Ok(Some((version, title.unwrap_or_default())))
        })?;
        let Some((version, title)) = found else { return Ok(false) };
        let head = match self.record(url, &version) {
            Ok(Record::Revisit(revisit)) => revisit.head,
            Ok(_) | Err(ArchiveError::Record { .. } | ArchiveError::TooLarge { .. }) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let capture = Capture { body, ..head };
        let written = (response_record(&capture), true);
        batch.add(writer, &capture, &title, payload, written);
        let added = batch.placed.last_mut().expect("it was added just now");
        added.version.validated = version.validated;
        Ok(true)
    }

    /// Adds a line to the text that outlives the index.
    fn write_down(&self, what: &str, text: &str, now: WallTime) -> Result<(), ArchiveError> {
        let path = self.dir.join(WITHDRAWN);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        // Behind a line that a kill or a full disk tore there would be one that nobody can read.
        let begin = if last == [b'\n'] { "" } else { "\n" };
        file.write_all(format!("{begin}{} {what} {text}\n", now.unix_nanos()).as_bytes())?;
        file.sync_data()?;
        if length == 0 {
            // The name is durable when its folder is.
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }
}

/// A version that the origin said again: its URL, when it was captured, when it was said.
pub(super) type Confirmed = (String, WallTime, WallTime);

/// What versions are that were captured more than [`CLOCK_SLACK`] later than what comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Later {
    /// The clock was ahead: what comes was captured just now.
    IsAhead,
    /// Newer: what comes may have lain somewhere for long.
    IsNewer,
}

/// What an answer says about the newest version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// A response: that it still holds.
    Same,
    /// Whatever there is to know.
    News,
    /// Nothing: it is about one from before that.
    OfBefore,
}

/// What has to be written for what was fetched.
pub(super) struct Gathered {
    pub(super) batch: Batch,
    /// Versions that the origin confirmed.
    pub(super) validated: Vec<Confirmed>,
    /// Versions that go.
    pub(super) removed: Vec<(String, Version)>,
    /// URLs of which nothing may come back.
    gone: BTreeSet<String>,
    /// Versions that cannot be read.
    pub(super) lost: Vec<Same>,
    /// Of each that was fetched.
    said: Vec<Said>,
}

impl Gathered {
    /// Nothing yet, to be written at the end of the open file.
    pub(super) fn behind(writer: &Writer) -> Self {
        Self {
            batch: Batch { bytes: Vec::new(), at: writer.length, placed: Vec::new() },
            validated: Vec::new(),
            removed: Vec::new(),
            gone: BTreeSet::new(),
            lost: Vec::new(),
            said: Vec::new(),
        }
    }

    pub(super) fn write(
        &self,
        change: &mut Change<'_>,
        id: PackageId,
        now: WallTime,
    ) -> Result<(), redb::Error> {
        for placed in &self.batch.placed {
            put(change, placed)?;
            change.note_live(id, u64::from(placed.version.length))?;
        }
        for (url, captured, validated) in &self.validated {
            change.put_validated(url, *captured, *validated)?;
        }
        for (url, version) in &self.removed {
            change.remove_version(url, version.captured)?;
            if self.gone.contains(url) {
                change.put_erase(version.package, now)?;
            }
        }
        self.gone.iter().try_for_each(|url| change.withdraw(url, now))
    }
}

/// Records on their way to the end of the open file.
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where the first of them will lie.
    at: u64,
    pub(super) placed: Vec<Placed>,
}

impl Batch {
    fn add(
        &mut self,
        writer: &Writer,
        capture: &Capture,
        title: &str,
        payload: Digest,
        (written, has_content): (Written, bool),
    ) {
        let version = Version {
            captured: capture.captured,
            validated: capture.captured,
            package: writer.id,
            offset: self.at + self.bytes.len() as u64,
            length: u32::try_from(written.member.len()).unwrap_or(u32::MAX),
            member: written.digest,
            payload,
            status: capture.status,
            media_type: capture.media_type(),
        };
        self.bytes.extend_from_slice(&written.member);
        let (url, title) = (capture.url.clone(), title.to_owned());
        let is_shared = capture.body.len() >= WORTH_REFERRING;
        self.placed.push(Placed { url, version, title, has_content, is_shared });
    }
}

/// Notes what a fetch came to. Where nothing is held, nothing can be unchanged, so the origin must not be
/// asked for that; nor where the answer is not about what is held.
fn put_outcome(
    change: &mut Change<'_>,
    fetched: &Fetched,
    said: Said,
    now: WallTime,
) -> Result<(), redb::Error> {
    let if_same = fetched.known_if_same.as_ref().filter(|_| said == Said::Same);
    let mut known = if_same.unwrap_or(&fetched.known).clone();
    let is_held = change.is_held(&fetched.url)?;
    if !is_held || said == Said::OfBefore {
        known.forget_validators();
    }
    // Asked without these, the origin says what there is. A response did so already: it may be older than what
    // is held also because the clock was set back a little.
    if (said == Said::OfBefore || !is_held) && matches!(fetched.kept, Kept::Unchanged(_)) {
        known.due = now;
    }
    if is_held && matches!(fetched.kept, Kept::Response(_)) {
        change.restore(&fetched.url)?;
    }
    put_known(change, &fetched.url, &known)
}

/// Takes away a version that cannot be read with those that refer to its content, and makes their URLs
/// due: what the origin would call unchanged is not there any more.
pub(super) fn forget(
    change: &mut Change<'_>,
    url: &str,
    captured: WallTime,
) -> Result<(), redb::Error> {
    for url in change.remove_unreadable(url, captured)? {
        make_due(change, &url, WallTime::default())?;
    }
    Ok(())
}

fn make_due(change: &mut Change<'_>, url: &str, due: WallTime) -> Result<(), redb::Error> {
    if let Some(bytes) = change.known(url)?
        && let Some(mut known) = Known::decode(&bytes)
    {
        known.due = due;
        known.forget_validators();
        put_known(change, url, &known)?;
    }
    Ok(())
}

fn put(change: &mut Change<'_>, placed: &Placed) -> Result<(), redb::Error> {
    let Placed { url, version, title, has_content, is_shared } = placed;
    change.put_version(url, version, title)?;
    if *is_shared {
        change.put_payload(&version.payload, url, version.captured, *has_content)?;
    }
    Ok(())
}

pub(super) fn put_known(
    change: &mut Change<'_>,
    url: &str,
    known: &Known,
) -> Result<(), redb::Error> {
    let before = change.known(url)?.and_then(|bytes| Known::decode(&bytes));
    let before = before.map(|before| (before.priority, before.due));
    change.put_known(url, &known.encode(), before, (known.priority, known.due))
}

/// Of a URL that is known already only what was made of that, and not of what was known before a fetch
/// since. `false` if there is no room for another.
fn put_news(
    change: &mut Change<'_>,
    found: &Discovered,
    max_known: u64,
) -> Result<bool, redb::Error> {
    let known = change.known(&found.url)?.and_then(|bytes| Known::decode(&bytes));
    let is_news = match known {
        Some(known) => {
            known.first_seen == found.known.first_seen
                && known.last_fetched == found.known.last_fetched
        }
        None if change.known_count()? >= max_known => return Ok(false),
        None => true,
    };
    if is_news {
        put_known(change, &found.url, &found.known)?;
    }
    Ok(true)
}

/// A record says when it was captured to the millisecond, and has to be found by what it says.
pub(super) fn to_millis(capture: &mut Capture) {
    let millis = capture.captured.unix_nanos() / 1_000_000;
    capture.captured = WallTime::from_unix_nanos(millis * 1_000_000);
}

/// Writes behind what the index knows of; what a failed try left there is overwritten.
pub(super) fn write_at_end(writer: &mut Writer, bytes: &[u8]) -> Result<(), ArchiveError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let written =
        writer.file.write_all_at(bytes, writer.length).and_then(|()| writer.file.sync_data());
    if let Err(error) = written {
        // So that a disk that is full gets its space back. If this fails too, the next write or the
        // next start does it.
        let _ = File::set_len(&writer.file, writer.length);
        return Err(error.into());
    }
    Ok(())
}

/// Clocks that are set right in smaller steps change nothing.
pub(super) const CLOCK_SLACK: Duration = Duration::from_secs(3_600);

/// Smaller contents are written again: a reference takes as much.
const WORTH_REFERRING: usize = 512;
