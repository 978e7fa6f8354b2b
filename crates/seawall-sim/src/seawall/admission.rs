//! On the way to the origin: flights, class, demand, budgets, the gate and back. As the edge's fetch
//! has it.

use std::time::Duration;

use seawall_cache::Credence;
use seawall_decide::{
    Asked, DEMAND_ONE, Turn, WorkClass, WorkOutcome, WorkPrice, WorkRequest, WorkSource,
    class_beyond_budget,
};
use seawall_model::{Cause, Fingerprint, Instant, Method, Observation, Standing, Work};

use super::held::{MadeUrl, Placed};
use super::{BACKLOG, STREAM, Seawall, Told};
use crate::request::{Answered, Effect, SimRequest, Visitor};
use crate::site::PageId;

/// A request that is not answered yet. An `id` of 0 is nobody.
pub(super) struct Waiting {
    pub(super) id: u64,
    pub(super) draft: Observation,
    /// What it has to do with turns of its own.
    pub(super) turn: Turn,
}

/// A fetch.
pub(super) struct Job {
    /// The reader who caused it first, then those who wait with that one.
    of: Vec<Waiting>,
    page: Option<PageId>,
    made: Option<MadeUrl>,
    doing: Doing,
    is_shared: bool,
}

/// Whose doing a fetch is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Reader,
    Unseen,
    Guess,
    Upkeep,
}

/// What a request of a kind not seen before is taken to cost the origin, as the edge does.
const UNKNOWN_COST: Duration = Duration::from_millis(20);

impl Seawall {
    /// A page that only the origin has.
    pub(super) fn fetch(
        &mut self,
        now: Instant,
        request: &SimRequest<'_>,
        placed: Placed,
        (template, fingerprint, people): (u64, Fingerprint, u32),
        waiting: Waiting,
    ) -> Option<Answered> {
        let visitor = *request.visitor;
        // Readers of one page wait for one fetch.
        let is_shared = request.method == Method::Get && !request.claims_login && self.layers.cache;
        let lifetime = placed.page.and_then(|page| self.site.page(page).lifetime);
        let flight =
            placed.page.filter(|_| is_shared && placed.made.is_none() && lifetime.is_some());
        if let Some(job) = flight.and_then(|page| self.flights.get(&page)).copied()
            && let Some(job) = self.jobs.get_mut(&job)
        {
            job.of.push(waiting);
            return None;
        }
        let (mut class, doing) = self.rank(now, &visitor, &placed);
        if waiting.draft.cause == Cause::Demoted && class < WorkClass::Demoted {
            class = WorkClass::Demoted;
        }
        let cost = self.gate.relative_cost(template);
        let look = self.limiters.look(&fingerprint);
        let demand_cost = (cost * DEMAND_ONE as f32) as u32;
        let demand = self.limiters.ask(
            now,
            visitor.identity,
            (look, Some(request.connection)),
            people,
            demand_cost,
        );
        self.next_job += 1;
        let id = self.next_job;
        let job = Job { of: vec![waiting], page: placed.page, made: placed.made, doing, is_shared };
        if !self.layers.admission {
            self.jobs.insert(id, job);
            self.send_unguarded(now, id);
            return None;
        }
        let asking = self.pages.asking(job.page, job.made.as_ref());
        if doing == Doing::Guess && !self.pages.misses().may_wait(now, asking) {
            return self.refuse(now, job, Cause::MadeUp);
        }
        let turn = job.of.first().map_or(Turn::None, |first| first.turn);
        let Some(class) = self.budgeted(now, &visitor, (class, turn), template) else {
            return self.refuse(now, job, Cause::OriginBudget);
        };
        let demand = turn.rank(&self.limiters, now, (class, demand), demand_cost);
        let source = self.source(&visitor, people);
        let identity = visitor.identity.as_u128();
        let price = WorkPrice::Measured;
        let work = WorkRequest { class, source, identity, demand, template, price };
        self.jobs.insert(id, job);
        if let Some(page) = flight {
            self.flights.insert(page, id);
        }
        self.enter(now, id, work);
        None
    }

    pub(super) fn source(&self, visitor: &Visitor, people: u32) -> WorkSource {
        if self.table.is_tor_exit(visitor.client.ip()) {
            WorkSource::Tor
        } else if people > 1 {
            WorkSource::Shared
        } else {
            WorkSource::Elsewhere
        }
    }

    fn enter(&mut self, now: Instant, id: u64, work: WorkRequest) {
        match self.gate.request(now, work, || id) {
            Asked::Granted(permit) => self.start(now, id, permit),
            Asked::Full => self.give_up(now, id, Cause::OriginBusy),
            Asked::Queued { displaced, .. } => {
                if let Some(gone) = displaced {
                    self.give_up(now, gone, Cause::OriginBusy);
                }
            }
        }
        self.wake(now);
    }

    /// A page that is served stale is fetched anew.
    pub(super) fn refresh(&mut self, now: Instant, page: PageId, template: u64) {
        if self.flights.contains_key(&page) {
            return;
        }
        self.next_job += 1;
        let id = self.next_job;
        let job = Job {
            of: Vec::new(),
            page: Some(page),
            made: None,
            doing: Doing::Upkeep,
            is_shared: true,
        };
        self.jobs.insert(id, job);
        self.flights.insert(page, id);
        if !self.layers.admission {
            return self.send_unguarded(now, id);
        }
        let work = WorkRequest {
            class: WorkClass::Background,
            source: WorkSource::Elsewhere,
            identity: 0,
            demand: 0,
            template,
            price: WorkPrice::Measured,
        };
        self.enter(now, id, work);
    }

    fn send_unguarded(&mut self, now: Instant, id: u64) {
        if self.in_flight >= BACKLOG {
            return self.give_up(now, id, Cause::OriginFailed);
        }
        self.in_flight += 1;
        self.send(id);
    }

    fn rank(&self, now: Instant, visitor: &Visitor, placed: &Placed) -> (WorkClass, Doing) {
        match visitor.standing {
            Standing::SignedIn => (WorkClass::SignedIn, Doing::Reader),
            Standing::AgedReader => (WorkClass::AgedReader, Doing::Reader),
            Standing::Anonymous if self.pages.is_guess(now, placed) => {
                (WorkClass::Background, Doing::Guess)
            }
            Standing::Anonymous => (WorkClass::Anonymous, Doing::Unseen),
        }
    }

    /// Where a request stands once its budgets are asked; `None`: refused.
    fn budgeted(
        &self,
        now: Instant,
        visitor: &Visitor,
        (class, turn): (WorkClass, Turn),
        template: u64,
    ) -> Option<WorkClass> {
        if class == WorkClass::Background {
            return Some(class);
        }
        let cost = self.gate.latency(template).unwrap_or(UNKNOWN_COST).as_millis();
        let cost_ms = u32::try_from(cost).unwrap_or(u32::MAX).max(1);
        let whence = Self::whence(visitor);
        let taken = self.budgets.take(now, visitor.identity, whence, visitor.standing, cost_ms);
        match taken {
            Ok(()) => Some(class),
            Err(_) => class_beyond_budget(class, self.gate.is_shedding(), turn),
        }
    }

    fn start(&mut self, now: Instant, id: u64, permit: seawall_decide::OriginPermit) {
        if !self.is_let(now, id) {
            self.gate.release(now, permit);
            return self.give_up(now, id, Cause::MadeUp);
        }
        self.permits.insert(id, permit);
        self.send(id);
    }

    /// Whether the origin may be asked, now that it has room, as far as made-up URLs go.
    fn is_let(&self, now: Instant, id: u64) -> bool {
        let Some(job) = self.jobs.get(&id) else { return false };
        let (misses, asking) =
            (self.pages.misses(), self.pages.asking(job.page, job.made.as_ref()));
        let credence = match job.doing {
            Doing::Upkeep => return true,
            Doing::Unseen if misses.is_doubtful(now, asking) => Credence::Doubtful,
            Doing::Unseen | Doing::Reader => Credence::Ordinary,
            Doing::Guess => Credence::Doubtful,
        };
        misses.lets_ask(now, asking, credence)
    }

    fn send(&mut self, id: u64) {
        let Some(job) = self.jobs.get(&id) else { return };
        let like = job.page.or_else(|| job.made.as_ref().and_then(|made| made.like));
        // A page that is not there takes the origin most of what one does that is.
        let cost = like.map_or(0.7, |page| self.site.page(page).cost);
        let of = job.of.first().map(|waiting| waiting.id);
        self.effects.push_back(Effect::Fetch { job: id, cost, of });
    }

    /// Those who wait may go, as far as there is room.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((id, permit)) = self.gate.poll_grant(now) {
            self.start(now, id, permit);
        }
    }

    fn refuse(&mut self, now: Instant, job: Job, cause: Cause) -> Option<Answered> {
        let waiting = job.of.into_iter().next()?;
        Some(self.answer_now(now, waiting, Told::refused(cause)))
    }

    /// A fetch comes to nothing.
    pub(super) fn give_up(&mut self, now: Instant, id: u64, cause: Cause) {
        let Some(job) = self.jobs.remove(&id) else { return };
        self.forget_flight(&job, id);
        for waiting in job.of {
            self.answer_later(now, waiting, Told::refused(cause));
        }
    }

    fn forget_flight(&mut self, job: &Job, id: u64) {
        if let Some(page) = job.page
            && self.flights.get(&page) == Some(&id)
        {
            self.flights.remove(&page);
        }
    }

    /// The origin answered.
    pub(super) fn origin_answered(&mut self, now: Instant, id: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(job) = self.jobs.remove(&id) else { return };
        self.forget_flight(&job, id);
        let is_shared = job.is_shared && self.layers.cache;
        let status = self.pages.answered(now, job.page, job.made.as_ref(), is_shared);
        let is_stream = job.page.is_some_and(|page| self.site.page(page).is_stream);
        let mut is_refused = false;
        if let Some(mut permit) = self.permits.remove(&id) {
            permit.note(now, WorkOutcome::Success);
            if is_stream {
                match self.gate.into_stream(permit) {
                    Ok(stream) => self.streams.push_back((now + STREAM, stream)),
                    Err(permit) => {
                        self.gate.release(now, permit);
                        is_refused = true;
                    }
                }
            } else {
                self.gate.release(now, permit);
            }
        }
        for (place, waiting) in job.of.into_iter().enumerate() {
            // As the edge tells it: the wait for the origin is not told apart from its work, and who waited
            // with another one cost nothing.
            let took = now.saturating_since(waiting.draft.at).as_millis();
            let cost_ms = u32::try_from(took).unwrap_or(u32::MAX).max(1);
            let work = if place == 0 { Work::Origin { cost_ms } } else { Work::Spared };
            let told = if is_refused {
                Told::refused(Cause::OriginBusy)
            } else {
                Told::page(status, waiting.draft.cause)
            };
            let told = Told { work: Some(work), ..told };
            self.answer_later(now, waiting, told);
        }
        self.wake(now);
    }
}
