//! The operator's door into the watcher's thread: questions and orders wait in a short queue, are
//! followed between two ticks, and whoever asked is told what became of them.
//!
//! An order that was not answered in time is not followed later: who was told that nothing happened
//! must be able to rely on it.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_control::{ControlLoop, Entry, Measure, OperatorCommand, Refused, Step};
use seawall_detect::{bears_wide_test, licence};
use seawall_model::{Attribute, Instant, MitigationId, Prefix, Rung, Signature, Standing, Term};

use super::baseline::BaselineFile;
use super::book::{Book, Page};
use super::terms;
use super::told::{self, MeasureStatus};
use crate::admin::{AttributeValues, EvidenceStatus, Order, OrderRefusal, Outcome, There, flag_of};
use crate::clock;
use crate::shared::Shared;

type Job = Box<dyn FnOnce(&mut Desk<'_>) + Send>;

/// What waits to be followed.
#[derive(Default)]
pub(crate) struct Orders(Mutex<Vec<Job>>);

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Orders({})", self.0.lock().len())
    }
}

impl Orders {
    /// Has `what` done on the watcher's thread and waits for it, two seconds at most.
    ///
    /// # Errors
    /// Too many wait already, or nobody came in time; then it was not done.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Desk<'_>) -> T + Send + 'static,
    ) -> Result<T, OrderRefusal> {
        let (tell, told) = sync_channel(1);
        let until = clock::now() + PATIENCE;
        let job: Job = Box::new(move |desk| {
            if desk.now < until {
                // Nobody may be left to hear it: then it broke down.
                let _ = tell.send(what(desk));
            }
        });
        self.push(job)?;
        // Longer than the order is good for, so that what was followed at the last moment is told.
        told.recv_timeout(PATIENCE + Duration::from_millis(500)).map_err(|_| {
            OrderRefusal::new(
                503,
                "the watch over attacks did not answer within two seconds, and nothing was changed",
                "look into the log for what holds it up, and ask again",
            )
        })
    }

    fn push(&self, job: Job) -> Result<(), OrderRefusal> {
        let mut jobs = self.0.lock();
        if jobs.len() >= MAX_ORDERS {
            let what = "too many orders at once";
            return Err(OrderRefusal::new(503, what, "ask again in a second"));
        }
        jobs.push(job);
        Ok(())
    }

    /// Does what waits.
    pub(super) fn follow(&self, desk: &mut Desk<'_>) {
        let jobs = std::mem::take(&mut *self.0.lock());
        for job in jobs {
            job(desk);
        }
    }
}

/// Orders in a quarter of a second.
const MAX_ORDERS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(2);

/// Where orders are followed.
pub(crate) struct Desk<'a> {
    pub(super) control: &'a mut ControlLoop,
    pub(super) shared: &'a Shared,
    pub(super) now: Instant,
    pub(super) book: &'a mut Book,
    pub(super) baseline: &'a Arc<BaselineFile>,
    /// What orders did, for the record.
    pub(super) happened: &'a mut Vec<Entry>,
}

/// What has to be on disk before anybody is told that an order is followed. Written by whoever ordered: the watch waits
/// for no disk.
pub(crate) struct Unwritten {
    page: Page,
    /// The seed that values are of, or a kill before the baseline is first kept would lose it.
    baseline: Option<(Arc<BaselineFile>, Vec<u8>)>,
}

impl Unwritten {
    /// Writes it. Touches the disk.
    ///
    /// # Errors
    /// The disk did not take it.
    pub(crate) fn write(&self) -> Result<(), OrderRefusal> {
        if let Some((file, bytes)) = &self.baseline {
            file.keep(bytes);
        }
        self.page.write()
    }
}

impl Desk<'_> {
    /// Follows an order about signatures, or says what it would do; and what is to be [written](Unwritten::write)
    /// before that is told.
    ///
    /// # Errors
    /// Why it is not followed.
    pub(crate) fn follow(
        &mut self,
        order: &Order,
        is_dry: bool,
    ) -> Result<(Outcome, Option<Unwritten>), OrderRefusal> {
        match order {
            Order::Add { terms, rung, lasts } => {
                let signature = self.signature(terms)?;
                let command = OperatorCommand::Pin { signature, rung: *rung, lasts: *lasts };
                self.command(signature, command, is_dry)
            }
            Order::Pin { id, rung, lasts } => {
                let signature = self.known(*id)?.signature;
                let command = OperatorCommand::Pin { signature, rung: *rung, lasts: *lasts };
                self.command(signature, command, is_dry)
            }
            Order::Veto { id, lasts } => {
                let signature = self.known(*id)?.signature;
                let command = OperatorCommand::Veto { signature, lasts: *lasts };
                self.command(signature, command, is_dry)
            }
            Order::Remove(id) => {
                let signature = self.known(*id)?.signature;
                self.command(signature, OperatorCommand::Remove(MitigationId(*id)), is_dry)
            }
            Order::Mode(mode) => {
                let mut unwritten = None;
                if !is_dry && *mode != self.control.controller().mode() {
                    self.carry_out(OperatorCommand::SetMode(*mode));
                    let configured = self.shared.policy.load().config.mitigate.mode;
                    self.book.set_mode(*mode, configured);
                    let mode = mode.as_str();
                    tracing::warn!(mode, "the operator changed whether anything is done");
                    unwritten = Some(self.unwritten());
                }
                let mode = Some(self.control.controller().mode().as_str());
                Ok((Outcome { done: !is_dry, mode, ..Outcome::default() }, unwritten))
            }
            Order::List { .. } | Order::Unlist(_) => unreachable!("lists are kept elsewhere"),
        }
    }

    /// Values of recent traffic.
    pub(crate) fn values(&self) -> Vec<AttributeValues> {
        let of = |attribute| AttributeValues {
            attribute: flag_of(attribute),
            values: terms::recent(self.control.detector(), attribute, MAX_VALUES),
        };
        Attribute::ALL.into_iter().map(of).filter(|all| !all.values.is_empty()).collect()
    }

    /// Who of recent traffic comes from `prefix`.
    pub(crate) fn there(&self, prefix: Prefix) -> There {
        let mut there = There::default();
        let mut seen = std::collections::HashSet::new();
        for row in self.control.detector().recent() {
            there.sample_rows += 1;
            if !prefix.contains(row.client.ip()) {
                continue;
            }
            there.sample_hits += 1;
            if seen.insert(row.identity) {
                there.clients += 1;
                there.signed_in += u32::from(row.standing == Standing::SignedIn);
                there.readers += u32::from(row.standing == Standing::AgedReader);
            }
        }
        there
    }

    fn known(&self, id: u32) -> Result<Measure, OrderRefusal> {
        let measures = self.control.controller().measures();
        measures.iter().find(|measure| measure.id.0 == id).copied().ok_or_else(|| {
            OrderRefusal::new(
                404,
                format!("there is no mitigation `{id}`"),
                "`seawall mitigate list` shows those that stand and those that rest",
            )
        })
    }

    fn signature(&mut self, terms: &[(Attribute, String)]) -> Result<Signature, OrderRefusal> {
        let attributer = self.shared.detection.attributer();
        let mut found: Vec<Term> = Vec::with_capacity(terms.len());
        for (attribute, text) in terms {
            let meant = terms::value(attributer, self.control.detector(), *attribute, text)?;
            // It may be that nobody came yet who shows them.
            self.control.keep_words(*attribute, meant.value, &meant.words);
            found.push(Term { attribute: *attribute, value: meant.value });
        }
        Signature::new(&found).ok_or_else(|| {
            OrderRefusal::new(
                422,
                "these words make no signature",
                "say one to five different things; `--addresses` stands alone, because a network needs no further reason",
            )
        })
    }

    fn command(
        &mut self,
        signature: Signature,
        command: OperatorCommand,
        is_dry: bool,
    ) -> Result<(Outcome, Option<Unwritten>), OrderRefusal> {
        let evidence = self.control.detector().weigh(&signature);
        let mut outcome = Outcome {
            done: !is_dry,
            signature: Some(self.control.describe(&signature)),
            evidence: Some(EvidenceStatus {
                sample_rows: evidence.sample_rows,
                sample_hits: evidence.sample_hits,
                sample_clients: evidence.sample_clients,
                matched_per_s: told::rounded(evidence.matched_per_s),
                expected_per_s: told::rounded(evidence.expected_per_s),
                coverage: told::rounded(evidence.coverage),
                baseline_clients: evidence.baseline_clients,
                baseline_hits: evidence.baseline_hits,
                collateral_upper: evidence.collateral_upper,
                refused_upper: evidence.refused_upper,
                bears: licence(&signature, &evidence).as_str(),
                bears_wide_test: bears_wide_test(&signature, &evidence),
            }),
            ..Outcome::default()
        };
        let blocks = matches!(command, OperatorCommand::Pin { rung: Rung::Block, .. });
        if is_dry && blocks && !signature.may_block() {
            return Err(refusal(Refused::MayNotBlock));
        }
        let mut unwritten = None;
        if !is_dry {
            if let Some(refused) = self.carry_out(command) {
                return Err(refusal(refused));
            }
            unwritten = Some(self.unwritten());
        }
        outcome.measure = self.status(&signature);
        Ok((outcome, unwritten))
    }

    fn unwritten(&mut self) -> Unwritten {
        let wall = clock::wall();
        let is_there = self.baseline.is_there();
        let baseline =
            (!is_there).then(|| (Arc::clone(self.baseline), self.control.baseline(wall)));
        Unwritten { page: self.book.page(self.control, (self.now, wall)), baseline }
    }

    /// Why it was not followed, if it was not.
    fn carry_out(&mut self, command: OperatorCommand) -> Option<Refused> {
        self.control.order(self.now, command);
        let mut refused = None;
        super::act(self.shared, self.control, |entry: &Entry| {
            self.happened.push(*entry);
            if let Step::Refused(why) = entry.step {
                refused = Some(why);
            }
        });
        // Whoever is told that it is done may ask at once what stands.
        let told = self.shared.detection.told().reordered(self.control);
        self.shared.detection.tell(told);
        refused
    }

    fn status(&self, signature: &Signature) -> Option<MeasureStatus> {
        let measures = self.control.controller().measures();
        let measure = measures.iter().find(|measure| measure.signature == *signature)?;
        Some(told::status(measure, self.control.describe(signature), self.now))
    }
}

fn refusal(why: Refused) -> OrderRefusal {
    match why {
        Refused::Unknown(id) => OrderRefusal::new(
            404,
            format!("there is no mitigation `{}`", id.0),
            "`seawall mitigate list` shows those that stand and those that rest",
        ),
        Refused::NoRoom => OrderRefusal::new(
            409,
            "twelve orders stand already, and the rest of the places is for what is found",
            "`seawall mitigate list` shows them; take one away with `seawall mitigate remove ID`",
        ),
        Refused::MayNotBlock => OrderRefusal::new(
            409,
            "this says only where somebody comes from, which language they read or what their browser lacks, and such a signature may not block",
            "add what they do, such as `--path`, or choose `--rung challenge`",
        ),
    }
}

/// More of one attribute would not be read.
const MAX_VALUES: usize = 12;
