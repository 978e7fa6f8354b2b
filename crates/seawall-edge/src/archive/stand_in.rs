//! A copy made ready to be served: its note put in, its fields in order, kept for a while.
//!
//! Reading a record, checking its digest and putting the note in takes a fraction of a millisecond. In a
//! flood that is too much for each request, so what was made ready stays ready in a fixed amount of
//! memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, EXPIRES, LAST_MODIFIED,
    SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use seawall_archive::{Capture, NOTE_STYLE, Note, Why, Zone, with_note};
use seawall_cache::{
    CacheStatus, Entry, FilledUnder, Freshness, Invalidation, Key, MapFields, RequestMeta,
    StaleRule, StoredHead, VaryKey,
};
use seawall_model::{Cause, CookieClass, Instant, Method, WallTime};
use seawall_seal::Digest;

use super::{SiteCopy, elsewhere};
use crate::answer::{Answer, AnswerBody};
use crate::config::ArchiveNote;
use crate::metrics::CacheOutcome;
use crate::serve::{self, Ask};

/// The note's stylesheet, served by ourselves so that it loads whatever a page allows of its own site.
pub(crate) fn note_style(ask: &Ask<'_>) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(NOTE_STYLE.len()));
    let body = match ask.method {
        Method::Head => AnswerBody::None,
        _ => AnswerBody::Whole(Bytes::from_static(NOTE_STYLE.as_bytes())),
    };
    let note = serve::note(Cause::Default, CacheOutcome::Bypass);
    serve::built(StatusCode::OK, headers, body, &CacheStatus::Own, note)
}

/// A copy ready to be served.
#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) entry: Arc<Entry>,
    /// Until when the origin is known to have said so.
    pub(crate) validated: WallTime,
}

impl SiteCopy {
    /// The copy of a page, or of a resource as it was when `page` was copied. Blocks on the disk.
    pub(crate) fn stand_in(
        &self,
        key: &Key,
        page: Option<&Key>,
        now: Instant,
        today: WallTime,
    ) -> Option<StandIn> {
        let url = self.url_of(key)?;
        if self.is_hidden(&url) {
            return None;
        }
        let near = page.and_then(|page| self.url_of(page)).and_then(|page| {
            self.archive.find(&page, None).ok().flatten().map(|(captured, _)| captured)
        });
        let (captured, validated) = self.found(self.archive.find(&url, near))?;
        if let Some(ready) = self.ready.get(&url, captured, validated, now) {
            return Some(ready);
        }
        if let Some(shared) = self.ready.shared(&url, captured) {
            return Some(StandIn { entry: shared, validated });
        }
        let held = self.found(self.archive.lookup(&url, Some(captured)))?;
        let entry = self.made_ready(key.clone(), held.capture, held.validated, today)?;
        let made = StandIn { entry, validated: held.validated };
        // What is near to one page's time is not what others look for.
        if near.is_none() || made.entry.footprint() > MAX_READY_OBJECT {
            self.ready.put(&url, captured, made.clone(), now);
        }
        Some(made)
    }

    /// The same without the disk: what was made ready in the last moment, for no page in particular. The
    /// outer `None`: it has to be looked for.
    #[allow(clippy::option_option, reason = "nothing found is not the same as not looked for")]
    pub(crate) fn at_hand(
        &self,
        key: &Key,
        page: Option<&Key>,
        now: Instant,
    ) -> Option<Option<StandIn>> {
        if page.is_some() {
            return None;
        }
        let url = self.url_of(key)?;
        if self.is_hidden(&url) {
            return Some(None);
        }
        self.ready.just_made(&url, now).map(Some)
    }

    fn found<T>(&self, found: Result<Option<T>, seawall_archive::ArchiveError>) -> Option<T> {
        found.unwrap_or_else(|error| {
            tracing::warn!(site = self.settings.base, "the archive cannot give a page: {error}");
            None
        })
    }

    /// A response of the origin's as it is served in its place.
    fn made_ready(
        &self,
        key: Key,
        capture: Capture,
        validated: WallTime,
        today: WallTime,
    ) -> Option<Arc<Entry>> {
        let mut headers = HeaderMap::with_capacity(capture.fields.len() + 3);
        for (name, value) in &capture.fields {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(value);
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        for name in [AGE, CONTENT_LENGTH, EXPIRES, SET_COOKIE] {
            headers.remove(name);
        }
        headers.remove("cache-status");
        elsewhere::put_onion(&mut headers, Some(&self.settings), &key);
        // A copy must not outlive the trouble in some cache on the way.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let captured = httpdate::fmt_http_date(clock_time(capture.captured));
        let captured = HeaderValue::from_str(&captured).ok()?;
        headers.entry(DATE).or_insert_with(|| captured.clone());
        // RFC 7089 §2.1.1.
        headers.insert(HeaderName::from_static("memento-datetime"), captured);
        let body = match self.noted(&capture, validated, today) {
            Some(noted) => {
                // These bytes are not the origin's.
                headers.remove(LAST_MODIFIED);
                let etag = format!("\"{}\"", &Digest::of(&noted).to_string()[..24]);
                headers.insert(ETAG, HeaderValue::from_str(&etag).ok()?);
                noted
            }
            None => capture.body.clone(),
        };
        let request = RequestMeta {
            method: Method::Get,
            fields: &MapFields(&HeaderMap::new()),
            cookies: CookieClass::None,
        };
        let head = StoredHead {
            status: capture.status,
            // What the page varied by does not matter any more: there is this one.
            vary: VaryKey::new(&request, &HeaderMap::new())?,
            headers,
            request_time: capture.captured,
            response_time: capture.captured,
            freshness: Freshness {
                lifetime_s: 0,
                initial_age_s: 0,
                stale_while_revalidate_s: 0,
                stale_if_error_s: 0,
                stale: StaleRule::Allowed,
                no_cache: false,
                immutable: false,
            },
            filled_under: FilledUnder::Explicit,
            partial: None,
            invalidation: Invalidation::Never,
        };
        Some(Entry::apart(key, head, body))
    }

    fn noted(&self, capture: &Capture, validated: WallTime, today: WallTime) -> Option<Bytes> {
        let why = match self.settings.note {
            ArchiveNote::Off => return None,
            ArchiveNote::NotAnswering => Why::NotAnswering,
            ArchiveNote::UnderAttack => Why::UnderAttack,
        };
        // It is as good as of when the origin last said the same.
        let shown = Capture { captured: validated, ..capture.clone() };
        with_note(&shown, &Note { why, now: today, zone: Zone::UTC })
    }
}

fn clock_time(at: WallTime) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_secs(at.unix_secs())
}

/// Copies made ready lately.
#[derive(Default)]
pub(crate) struct Ready {
    state: Mutex<ReadyState>,
}

#[derive(Default)]
struct ReadyState {
    /// By URL; the standard library's keyed hashing.
    made: HashMap<String, Made>,
    bytes: u64,
    /// Large ones that somebody is being sent at the moment, so that many readers of one share it.
    large: VecDeque<(String, WallTime, Weak<Entry>)>,
}

struct Made {
    captured: WallTime,
    stand_in: StandIn,
    /// When the index was last looked at for it, and when it was made.
    looked: Instant,
    at: Instant,
    bytes: u64,
}

/// Bytes of copies kept ready.
const MAX_READY_BYTES: u64 = 16 << 20;
/// What takes more is read anew when nobody is being sent it: it costs less than what it would push out.
const MAX_READY_OBJECT: u64 = 1 << 20;
const MAX_LARGE: usize = 64;
/// The note says the day if it was not today; a copy does not stay ready over many hours.
const READY_FOR: Duration = Duration::from_secs(600);
/// For so long the index is not asked again whether it is still the right one.
const AT_HAND: Duration = Duration::from_secs(1);

impl Ready {
    fn get(
        &self,
        url: &str,
        captured: WallTime,
        validated: WallTime,
        now: Instant,
    ) -> Option<StandIn> {
        let mut state = self.state.lock();
        let made = state.made.get_mut(url)?;
        let is_same = made.captured == captured && made.stand_in.validated == validated;
        if !is_same || now.saturating_since(made.at) >= READY_FOR {
            return None;
        }
        made.looked = now;
        Some(made.stand_in.clone())
    }

    /// What was found to be the right one a moment ago.
    fn just_made(&self, url: &str, now: Instant) -> Option<StandIn> {
        let state = self.state.lock();
        let made = state.made.get(url)?;
        (now.saturating_since(made.looked) < AT_HAND).then(|| made.stand_in.clone())
    }

    fn shared(&self, url: &str, captured: WallTime) -> Option<Arc<Entry>> {
        let state = self.state.lock();
        let mut large = state.large.iter();
        let found = large.find(|(of, at, _)| of == url && *at == captured)?;
        found.2.upgrade()
    }

    /// Forgets what was made ready of a URL; `None`: of all.
    pub(crate) fn forget(&self, url: Option<&str>) {
        let mut state = self.state.lock();
        let Some(url) = url else {
            *state = ReadyState::default();
            return;
        };
        state.large.retain(|(of, ..)| of != url);
        if let Some(old) = state.made.remove(url) {
            state.bytes -= old.bytes;
        }
    }

    fn put(&self, url: &str, captured: WallTime, stand_in: StandIn, now: Instant) {
        let bytes = stand_in.entry.footprint() + url.len() as u64;
        let mut state = self.state.lock();
        if bytes > MAX_READY_OBJECT {
            state.large.retain(|(.., entry)| entry.strong_count() > 0);
            if state.large.len() >= MAX_LARGE {
                state.large.pop_front();
            }
            let entry = Arc::downgrade(&stand_in.entry);
            return state.large.push_back((url.to_owned(), captured, entry));
        }
        if let Some(old) = state.made.remove(url) {
            state.bytes -= old.bytes;
        }
        while state.bytes + bytes > MAX_READY_BYTES {
            // Any of them: a map's order is as good as chance, and no reader can choose it.
            let Some(victim) = state.made.keys().next().cloned() else { break };
            let Some(old) = state.made.remove(&victim) else { break };
            state.bytes -= old.bytes;
        }
        state.bytes += bytes;
        let made = Made { captured, stand_in, looked: now, at: now, bytes };
        state.made.insert(url.to_owned(), made);
    }
}
