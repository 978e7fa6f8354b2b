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

use seawall_archive::LinkKind;
use seawall_cache::{Entry, Key};
use seawall_decide::{OriginOutcome, RouteLane, WorkClass};
use seawall_model::{Cause, CookieClass, Method, Standing};
use tokio::time::timeout;

use super::SiteCopy;
use super::stand_in::StandIn;
use crate::answer::Answer;
use crate::clock;
use crate::fetch;
use crate::held::{self, Served};
use crate::metrics::CacheOutcome;
use crate::origin::Gate;
use crate::refusal;
use crate::serve::{self, Ask, Plan};
use crate::worker::{ClientConn, PolicyRef};

/// What the copy needs to know of a request. Owned, because the plan goes to the origin.
struct Fallback {
    copy: Arc<SiteCopy>,
    key: Key,
    /// The page that a resource belongs to.
    page: Option<Key>,
    /// What the cache holds and may stand in.
    stale: Option<Arc<Entry>>,
    cookies: CookieClass,
    cause: Cause,
    gate: Arc<Gate>,
    class: WorkClass,
    /// What this kind of page takes an idle origin.
    usual: Duration,
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
    // A certificate has to be renewed in an emergency too.
    let is_emergency = ctx.worker.shared.emergency.is_on(|| plan.times.wall)
        && !ask.path.starts_with(serve::ACME_CHALLENGE);
    let fallback = Fallback::of(policy, &plan, ask);
    if !is_emergency {
        return match fallback {
            Some(fallback) => fallback.or_copy(ask, origin).await,
            None => origin.await,
        };
    }
    let copy = match &fallback {
        Some(fallback) => fallback.answer(ask).await,
        None => None,
    };
    let held = || fetch::stand_in_always(&plan, ask);
    copy.or_else(held).unwrap_or_else(|| refusal::failed(503, Cause::Emergency, ask))
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
        let gate = Arc::clone(&policy.gates[plan.site]);
        let (path, query) =
            (String::from_utf8_lossy(ask.path), ask.query.map(String::from_utf8_lossy));
        let template = gate.template(&path, query.as_deref());
        Some(Self {
            copy: Arc::clone(copy),
            key: key.clone(),
            page: page_of(ask),
            stale: plan.stale.as_ref().filter(|it| it.on_error).map(|it| Arc::clone(&it.entry)),
            cookies: plan.cookies,
            cause: plan.cause,
            usual: gate.latency(template).unwrap_or_default(),
            class: match plan.standing {
                Standing::SignedIn => WorkClass::SignedIn,
                Standing::AgedReader => WorkClass::AgedReader,
                Standing::Anonymous => WorkClass::Anonymous,
            },
            gate,
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
        let is_crowded = self.gate.has_waiting(self.class, CROWDED);
        // A page that takes its time when all is well is not late yet.
        let usual = (self.usual * 3).min(self.copy.settings.patience);
        let patience = if is_crowded { Duration::ZERO } else { patience.max(usual) };
        match timeout(patience, &mut origin).await {
            Ok(answer) => self.judge(ask, answer).await,
            Err(_) => match self.answer(ask).await {
                Some(answer) => {
                    // The time in our own queue is none of the origin's, unless that answers nobody at all:
                    // then it is what the queue is there for.
                    let has_queued =
                        is_crowded || self.gate.has_waiting(self.class, Duration::ZERO);
                    if !has_queued || self.gate.silence() >= self.copy.settings.patience {
                        self.copy.note(clock::now(), OriginOutcome::TookTooLong);
                    }
                    answer
                }
                None => origin.await,
            },
        }
    }

    /// The origin's answer, or the copy if that says that the origin could not.
    async fn judge(&self, ask: &Ask<'_>, answer: Answer) -> Answer {
        let ours = match answer.note.cause {
            Cause::OriginBusy | Cause::OriginBudget | Cause::MadeUp => true,
            _ if self.is_failure(&answer).await => false,
            _ => {
                if answer.note.cache != CacheOutcome::Stale {
                    self.copy.note(clock::now(), OriginOutcome::Answered);
                }
                return answer;
            }
        };
        let Some(copy) = self.answer(ask).await else { return answer };
        if !ours {
            self.copy.note(clock::now(), OriginOutcome::Failed);
        }
        copy
    }

    /// Whether an answer is the origin's own 5xx, ours in its place, or has a text in its first piece that
    /// the operator named.
    async fn is_failure(&self, answer: &Answer) -> bool {
        let is_error = matches!(answer.status, 500 | 502..=504);
        if is_error || self.copy.settings.error_markers.is_empty() || answer.status != 200 {
            return is_error;
        }
        let is_page = answer.head.media_type().is_some_and(|it| it.starts_with(b"text/html"));
        if !is_page {
            return false;
        }
        let first = timeout(self.copy.settings.patience, answer.body.first()).await;
        first.map_or(true, |first| self.copy.is_error_page(&first))
    }

    /// The copy as an answer, if there is one; or what the cache holds, if that is of later.
    async fn answer(&self, ask: &Ask<'_>) -> Option<Answer> {
        let StandIn { entry, validated } = self.stand_in().await?;
        let request = serve::meta(ask, self.cookies);
        if let Some(stale) = self.stale.as_ref().filter(|it| it.head.response_time >= validated) {
            return fetch::from_stale(stale, ask, &request, self.cause);
        }
        let served = Served {
            age_s: clock::wall().saturating_since(validated).as_secs(),
            cache: seawall_cache::CacheStatus::Archived,
            note: serve::note(self.cause, CacheOutcome::Archive),
        };
        let answer = held::answer(&entry, ask, &request, served)?;
        self.copy.served.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }

    async fn stand_in(&self) -> Option<StandIn> {
        if let Some(ready) = self.copy.at_hand(&self.key, self.page.as_ref(), clock::now()) {
            return ready;
        }
        // So that a flood of them does not fill memory and the threads that others wait for.
        let _place = self.copy.places.acquire().await.ok()?;
        let (copy, key, page) = (Arc::clone(&self.copy), self.key.clone(), self.page.clone());
        let found = tokio::task::spawn_blocking(move || {
            copy.stand_in(&key, page.as_ref(), clock::now(), clock::wall())
        });
        found.await.ok()?
    }
}

/// A wait before the origin that a reader would feel.
const CROWDED: Duration = Duration::from_millis(250);

/// The page a resource is loaded for, so that both are of one time. Of a page itself nothing: its reader
/// came by a link.
fn page_of(ask: &Ask<'_>) -> Option<Key> {
    let is_resource = match ask.fields.first("sec-fetch-dest") {
        Some(dest) => [&b"style"[..], b"script", b"image", b"font", b"video", b"audio", b"track"]
            .contains(&dest),
        None => {
            let path = String::from_utf8_lossy(ask.path);
            LinkKind::of_url(&format!("http://x{path}")) == LinkKind::Resource
        }
    };
    let referer = ask.fields.first("referer").filter(|_| is_resource)?;
    let page = Key::from_url(std::str::from_utf8(referer).ok()?)?;
    let host = page.host();
    // Brackets of IPv6 have colons, too, but no such site has resources of two times.
    (host.split(':').next() == Some(ask.host)).then_some(page)
}
