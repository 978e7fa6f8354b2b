//! Notes of people on the record that is being written: the operator's door to the thread that writes.
//!
//! A note comes through the channel of all lines, so that it stands behind what came before it, and is sealed at once: who
//! asked is told when it is on the disk, or that it is not in the record. It deliberately does **not** open records that are
//! over: those are for `seawall report note`, which takes the same lock.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use seawall_model::Instant;
use seawall_report::{Moment, Note};

use super::Message;
use super::disk::Disk;
use super::writer::Writer;
use crate::admin::{Noted, OrderRefusal};
use crate::clock;

/// The door. Closed while nothing records.
#[derive(Default)]
pub(crate) struct Notes(Mutex<Option<SyncSender<Message>>>);

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notes({})", self.0.lock().is_some())
    }
}

/// A note that somebody waits for.
pub(super) struct Asked {
    incident: String,
    note: Note,
    /// Later it is not written: who asked was told so.
    until: Instant,
    tell: SyncSender<Result<Noted, OrderRefusal>>,
}

impl Notes {
    pub(super) fn open(&self, sender: SyncSender<Message>) {
        *self.0.lock() = Some(sender);
    }

    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }

    /// Has `note` written into the record of `incident`, and sealed. Waits for the disk.
    ///
    /// # Errors
    /// The record is not being written, or the disk takes nothing.
    pub(crate) fn ask(&self, incident: &str, note: Note) -> Result<Noted, OrderRefusal> {
        let (tell, told) = sync_channel(1);
        let until = clock::now() + PATIENCE;
        let asked = Asked { incident: incident.to_owned(), note, until, tell };
        let sent = match &*self.0.lock() {
            Some(sender) => sender.try_send(Message::Note(asked)).is_ok(),
            None => return Err(not_open(incident)),
        };
        if !sent {
            return Err(refused("the record is behind what there is to write"));
        }
        // Longer than it is good for, so that what was begun at the last moment is told.
        told.recv_timeout(2 * PATIENCE).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Disconnected => refused("the record was not reached in time"),
                RecvTimeoutError::Timeout => OrderRefusal::new(
                    503,
                    "the disk does not answer, and whether the note is written is not known",
                    "`seawall report show` says whether it is there",
                ),
            })
        })
    }
}

impl Asked {
    /// Writes it, if anybody still waits for it, and tells.
    pub(super) fn answer<D: Disk>(self, writer: &mut Writer<D>, now: Moment) {
        if clock::now() < self.until {
            // Nobody may be left to hear it.
            let _ = self.tell.send(writer.note(&self.incident, self.note, now));
        }
    }
}

/// The record is not written by this program.
pub(super) fn not_open(incident: &str) -> OrderRefusal {
    OrderRefusal::new(
        409,
        format!("the running program is not writing on the record of `{incident}`"),
        "if it is over by now, give the order again; if it was cut off, it takes notes while the program is stopped",
    )
}

/// It could not be written.
pub(super) fn refused(why: &str) -> OrderRefusal {
    OrderRefusal::new(
        507,
        format!("the note was not written: {why}"),
        "check the space on the disk, and give the order again",
    )
}

/// A disk that is written to by others may take more than ten seconds for a sync. Twice this is less than what a question to
/// the program may take.
const PATIENCE: Duration = Duration::from_secs(12);
