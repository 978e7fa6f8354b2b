//! The incident record, and the reports made of it.
//!
//! Separate because what happened has to be checkable by a stranger, long after the program that saw it is gone: the
//! lines of a record, how they are chained and signed, what may be said of them and in which formats is here, as pure
//! functions of bytes. A record states facts with figures; a [`Report`] sums them up once, and every export shows those
//! figures. It deliberately does **not** open files, read clocks, look anything up or influence what the shield does.
//!
//! Read next: `entry` (what a line says), `report` (what exports show), `assess` (what may be judged).

#![forbid(unsafe_code)]

mod assess;
mod chain;
mod collect;
pub mod csv;
mod document;
mod entry;
mod example;
mod export;
pub mod html;
pub mod json;
mod lines;
pub mod lint;
pub mod misp;
mod moment;
pub mod nis2;
mod note;
pub mod pdf;
mod removal;
mod report;
mod resume;
mod say;
mod stamp;
mod statement;
pub mod stix;
mod svg;
mod terms;
#[cfg(test)]
mod testing;
mod unknown;
mod verdict;
mod verify;
mod wording;
pub mod xarf;

pub use self::assess::{Assessment, Confidence, Likelihood, Subject, derive};
pub use self::chain::{Chain, ChainError, MAX_LINE_BYTES, MAX_SEGMENT_LINES};
pub use self::collect::Collector;
pub use self::entry::{
    Address, Addresses, Begin, Clean, CleanLook, ClockOffset, Cohort, CohortCounts, Connections,
    End, Entry, Evidence, Fault, Gap, LogFile, Lost, MetCounts, Move, Node, Note, NoteKind,
    OriginHealth, PortSeen, RECORD_VERSION, Reconstructed, RecordOrigin, Removed, Row, Second,
    Source, Step, StepKind, Timestamp, Word,
};
#[doc(hidden)]
pub use self::example::example;
pub use self::export::{Edition, ExportError, ExportOptions, Tlp, UnknownOption};
pub use self::moment::Moment;
pub use self::note::NoteError;
pub use self::removal::{Due, DueFinder, RemovalError, Remover};
pub use self::report::{
    Bucket, CohortTotals, Look, MAX_SOURCES, MitigationHistory, Network, NodeFacts, Peak,
    REPORT_VERSION, RecordFacts, Report, SampleFacts, StateChange, TimedMove, Totals,
};
pub use self::resume::{ResumeError, Resumed, Resumer};
pub use self::stamp::{StampError, read_stamp, stamp_request};
pub use self::verdict::Verdict;
pub use self::verify::{RecordFailure, RecordVerifier, VerifiedRecord};
