//! Whether a reader gets the origin's page or its copy.
//!
//! Where there is a copy, nobody waits long: not for an origin that is down or slow, not in the queue
//! before it. Where there is none, all is as without an archive. Editors always reach the origin.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_cache::Key;
use seawall_decide::{OriginOutcome, RouteLane};
use seawall_model::{Cause, Method, Standing};
use tokio::time::timeout;

use super::SiteCopy;
use super::stand_in::StandIn;
use crate::answer::Answer;
use crate::clock;
use crate::held::{self, Served};
use crate::metrics::CacheOutcome;
use crate::refusal;
use crate::serve::{self, Ask, Plan};
use crate::worker::{ClientConn, PolicyRef};

/// What the copy needs to know of a request. Owned, because the plan goes to the origin.
struct Fallback {
    copy: Arc<SiteCopy>,
    key: Key,
    /// The page that a resource belongs to.
    page: Option<Key>,
    cookies: seawall_model::CookieClass,
    cause: Cause,
    /// Whether others wait before the origin already.
    is_crowded: bool,
}

/// Whether a copy, or an emergency, may have a say in the answer to a request.
pub(crate) fn concerns(ctx: &ClientConn, policy: &PolicyRef, plan: &Plan) -> bool {
    plan.standing != Standing::SignedIn
        && (policy.copies[plan.site].is_some()
            || ctx.worker.shared.emergency.is_on(|| plan.times.wall))
}

/// Answers by `origin`, or by the copy where that is better for the reader.
pub(crate) async fn obtain(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    plan: Box<Plan>,
    ask: &Ask<'_>,
    origin: impl Future<Output = Answer>,
) -> Answer {
    let emergency = ctx.worker.shared.emergency.is_on(|| plan.times.wall);
    let Some(fallback) = Fallback::of(policy, &plan, ask) else {
        if emergency {
            return refusal::failed(503, Cause::Emergency, ask);
        }
        return origin.await;
    };
    if emergency {
        let copy = fallback.answer(ask).await;
        return copy.unwrap_or_else(|| refusal::failed(503, Cause::Emergency, ask));
    }
    fallback.or_copy(ask, origin).await
}

impl Fallback {
    /// `None` where a copy is no answer: no archive, not a plain GET or HEAD, a stream, or a request that
    /// says who it is.
    fn of(policy: &PolicyRef, plan: &Plan, ask: &Ask<'_>) -> Option<Self> {
        let copy = policy.copies[plan.site].as_ref()?;
        let is_plain = matches!(plan.method, Method::Get | Method::Head)
            && !plan.upgrade
            && !matches!(plan.lane, RouteLane::Stream)
            && !ask.fields.has("authorization");
        let key = plan.key.as_ref().or(plan.passed.as_ref()).filter(|_| is_plain)?;
        let gate = policy.gates[plan.site].view();
        Some(Self {
            copy: Arc::clone(copy),
            key: key.clone(),
            page: page_of(ask),
            cookies: plan.cookies,
            cause: plan.cause,
            is_crowded: gate.is_shedding || gate.oldest_wait >= CROWDED,
        })
    }

    async fn or_copy(self, ask: &Ask<'_>, origin: impl Future<Output = Answer>) -> Answer {
        let (asks, patience) = {
            let mut breaker = self.copy.breaker.lock();
            (breaker.asks_origin(clock::now()), breaker.patience())
        };
        if !asks && let Some(answer) = self.answer(ask).await {
            return answer;
        }
        let mut origin = pin!(origin);
        // Where others wait already the copy is given at once; a fetch that others share goes on
        // behind it all the same, once it has begun.
        let patience = if self.is_crowded { Duration::ZERO } else { patience };
        match timeout(patience, &mut origin).await {
            Ok(answer) if !self.is_failure(&answer).await => answer,
            Ok(failure) => self.answer(ask).await.unwrap_or(failure),
            Err(_) => {
                if !self.is_crowded {
                    self.copy.note(clock::now(), OriginOutcome::TookTooLong);
                }
                match self.answer(ask).await {
                    Some(answer) => answer,
                    None => origin.await,
                }
            }
        }
    }

    /// Whether an answer says that the origin could not: its own 5xx, ours in its place, or a text in its
    /// first piece that the operator named.
    async fn is_failure(&self, answer: &Answer) -> bool {
        let ours = matches!(
            answer.note.cause,
            Cause::OriginFailed | Cause::OriginBusy | Cause::OriginBudget | Cause::MadeUp
        );
        let is_error = matches!(answer.status, 500 | 502..=504) || (ours && answer.status == 429);
        if is_error || self.copy.settings.error_markers.is_empty() || answer.status != 200 {
            return is_error;
        }
        let is_page = answer.head.media_type().is_some_and(|it| it.starts_with(b"text/html"));
        if !is_page || !self.copy.is_error_page(&answer.body.first().await) {
            return false;
        }
        self.copy.note(clock::now(), OriginOutcome::Failed);
        true
    }

    /// The copy as an answer, if there is one.
    async fn answer(&self, ask: &Ask<'_>) -> Option<Answer> {
        let (copy, key, page) = (Arc::clone(&self.copy), self.key.clone(), self.page.clone());
        let found = tokio::task::spawn_blocking(move || {
            copy.stand_in(&key, page.as_ref(), clock::now(), clock::wall())
        });
        let StandIn { entry, validated } = found.await.ok()??;
        let request = serve::meta(ask, self.cookies);
        let served = Served {
            age_s: clock::wall().saturating_since(validated).as_secs(),
            cache: seawall_cache::CacheStatus::Archived,
            note: serve::note(self.cause, CacheOutcome::Archive),
        };
        let answer = held::answer(&entry, ask, &request, served)?;
        self.copy.served.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }
}

/// A wait before the origin that a reader would feel.
const CROWDED: Duration = Duration::from_millis(250);

/// The page a resource is loaded for, so that both are of one time.
fn page_of(ask: &Ask<'_>) -> Option<Key> {
    let is_resource = ask.fields.first("sec-fetch-dest").is_none_or(|dest| dest != b"document");
    let referer = ask.fields.first("referer").filter(|_| is_resource)?;
    Key::from_url(std::str::from_utf8(referer).ok()?)
}
