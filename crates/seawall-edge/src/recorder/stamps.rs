//! Stamps of the time on records: which seal wants one, and when the authority is asked.
//!
//! The end of each record wants one, and once an hour the last seal of a record that goes on. Which of those that are
//! over still want one stands in the records themselves, so that a kill loses nothing. One question at a time, on a
//! thread of its own: nothing waits for the answer, and without one the record is what it was. What fails is counted,
//! said once, and tried again after a minute, later an hour, for a week.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use seawall_report::{Entry, Moment, RecordVerifier, Timestamp};
use seawall_seal::Digest;

use super::authority::{AskError, ask_for_stamp};
use super::disk::{Disk, Kept};
use super::keep::{add, began};
use super::story::Output;
use super::writer::{Writer, waits};
use crate::config::TimestampAuthority;

/// Who asks an authority, without waiting.
pub(super) trait Asker {
    /// Asks for a stamp of a digest. Only after the answer to the question before.
    fn ask(&mut self, digest: Digest);

    /// The answer, once it is there.
    fn answer(&mut self) -> Option<Result<Vec<u8>, AskError>>;
}

/// A thread that asks. It ends when this is dropped, after the answer that it waits for.
pub(super) struct Remote {
    questions: SyncSender<Digest>,
    answers: Receiver<Result<Vec<u8>, AskError>>,
}

impl Remote {
    /// # Errors
    /// The system has no thread.
    pub(super) fn start(authority: TimestampAuthority) -> io::Result<Self> {
        let (questions, asked) = sync_channel::<Digest>(1);
        let (answer, answers) = sync_channel(1);
        std::thread::Builder::new().name("seawall-stamp".to_owned()).spawn(move || {
            for digest in asked {
                if answer.send(ask_for_stamp(&authority, digest)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers })
    }
}

impl Asker for Remote {
    fn ask(&mut self, digest: Digest) {
        // There is room: nothing is asked before the last answer was taken.
        let _ = self.questions.try_send(digest);
    }

    fn answer(&mut self) -> Option<Result<Vec<u8>, AskError>> {
        use std::sync::mpsc::TryRecvError::{Disconnected, Empty};
        match self.answers.try_recv() {
            Ok(answer) => Some(answer),
            Err(Empty) => None,
            Err(Disconnected) => {
                Some(Err(AskError::System("the thread that asks broke down".to_owned())))
            }
        }
    }
}

/// A seal that wants a stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    incident: String,
    segment: u64,
    head: Digest,
}

/// What has to be asked.
pub(super) struct Stamps<A> {
    asker: A,
    authority: String,
    asked: Option<Wanted>,
    /// The record that is written, and when it was first seen, or had its last stamp.
    open: Option<(String, Moment)>,
    /// Records that are over and want nothing: how long each was when it was read.
    settled: BTreeMap<String, u64>,
    todo: VecDeque<Kept>,
    looked: Option<Moment>,
    /// After a failure: when to ask again, and how long to wait after another one.
    pause: Option<(Moment, u64)>,
}

impl<A: Asker> Stamps<A> {
    pub(super) fn new(asker: A, authority: String) -> Self {
        Self {
            asker,
            authority,
            asked: None,
            open: None,
            settled: BTreeMap::new(),
            todo: VecDeque::new(),
            looked: None,
            pause: None,
        }
    }

    /// Takes an answer, or asks what is to be asked. Reads one record at most.
    pub(super) fn turn<D: Disk>(&mut self, writer: &mut Writer<D>, now: Moment) {
        if let Some(asked) = self.asked.take() {
            match self.asker.answer() {
                None => self.asked = Some(asked),
                Some(Ok(answer)) => self.keep(writer, asked, &answer, now),
                Some(Err(error)) => self.fail(writer, &error.to_string(), now),
            }
            return;
        }
        if self.pause.is_some_and(|(until, pause)| waits(now, until, pause)) {
            return;
        }
        let wanted = self.of_the_open(writer, now).or_else(|| self.of_the_closed(writer, now));
        if let Some(wanted) = wanted {
            self.asker.ask(wanted.head);
            self.asked = Some(wanted);
        }
    }

    /// The last seal of the record that is written, once an hour.
    fn of_the_open<D: Disk>(&mut self, writer: &Writer<D>, now: Moment) -> Option<Wanted> {
        let Some((incident, segment, head)) = writer.head() else {
            self.open = None;
            return None;
        };
        let since = match &self.open {
            Some((known, since)) if known == incident && *since <= now => *since,
            _ => {
                self.open = Some((incident.to_owned(), now));
                return None;
            }
        };
        let is_due = now.seconds_since(since) >= HOUR_S;
        is_due.then(|| Wanted { incident: incident.to_owned(), segment, head })
    }

    /// The last seal of a record that is over, if no stamp is of its end.
    fn of_the_closed<D: Disk>(&mut self, writer: &mut Writer<D>, now: Moment) -> Option<Wanted> {
        let looked = self.looked;
        if looked.is_none_or(|looked| now.seconds_since(looked) >= LOOK_EVERY_S || now < looked) {
            self.looked = Some(now);
            // What cannot be listed is said by those who do more with it.
            let kept = writer.disk().list().unwrap_or_default();
            self.settled.retain(|incident, _| kept.iter().any(|it| it.incident == *incident));
            let is_settled = |it: &Kept| self.settled.get(&it.incident) == Some(&it.bytes);
            let is_recent = |it: &Kept| {
                began(&it.incident).is_some_and(|began| now <= began.plus_ms(WANTED_FOR_MS))
            };
            self.todo = kept.into_iter().filter(|it| is_recent(it) && !is_settled(it)).collect();
        }
        let record = self.todo.pop_front()?;
        if writer.incident() == Some(&*record.incident) {
            return None;
        }
        let mut verifier = RecordVerifier::new(Some(writer.key().public()));
        writer.disk().read(&record.incident, &mut |piece| verifier.take(piece)).ok()?;
        match verifier.finish() {
            Ok(found) if found.is_closed && !found.is_end_stamped => Some(Wanted {
                incident: record.incident,
                segment: found.segments,
                head: found.head?,
            }),
            // Of a record that was altered, or begun with another key, nothing is to be stamped.
            _ => {
                self.settled.insert(record.incident, record.bytes);
                None
            }
        }
    }

    /// Puts the answer into its record.
    fn keep<D: Disk>(&mut self, writer: &mut Writer<D>, asked: Wanted, answer: &[u8], now: Moment) {
        let Wanted { incident, segment, .. } = asked;
        let entry = Entry::Timestamp(Timestamp::of(segment, &self.authority, answer));
        if writer.incident() == Some(&*incident) {
            self.open = Some((incident.clone(), now));
            writer.take(now, vec![Output::Line(Box::new(entry))]);
        } else {
            match add(writer, &incident, &entry, now) {
                Ok(Ok(())) => {}
                Ok(Err(error)) | Err(error) => return self.fail(writer, &error, now),
            }
        }
        self.pause = None;
        writer.counters().stamps.fetch_add(1, Ordering::Relaxed);
        tracing::info!(seawall.incident.record = %incident, segment, "the record has a stamp of the time");
    }

    fn fail<D: Disk>(&mut self, writer: &Writer<D>, error: &str, now: Moment) {
        writer.counters().stamp_failures.fetch_add(1, Ordering::Relaxed);
        let pause = match self.pause {
            Some((_, pause)) => (pause * 2).min(MAX_PAUSE_MS),
            None => {
                tracing::warn!(
                    "no stamp of the time from `{}`, which changes nothing else; it is asked again: {error}",
                    self.authority
                );
                FIRST_PAUSE_MS
            }
        };
        self.pause = Some((now.plus_ms(pause), pause));
        // What was left aside is found again.
        self.looked = None;
    }
}

const HOUR_S: f64 = 3_600.0;
const LOOK_EVERY_S: f64 = 60.0;
const FIRST_PAUSE_MS: u64 = 60_000;
const MAX_PAUSE_MS: u64 = 3_600_000;
/// So long after it began a record is still worth a first stamp.
const WANTED_FOR_MS: u64 = 7 * 86_400_000;
