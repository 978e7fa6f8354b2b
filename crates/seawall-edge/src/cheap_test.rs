//! The cheap test as readers meet it: once around with a cookie, or a page that waits.
//!
//! Separate because it is a conversation: a redirect that carries a pass and a ticket, a page for who comes
//! back without the pass, and a redirect to the address as it was asked for. What is tested and what comes next is
//! decided in `seawall-decide`, what tickets are is written there too; nothing is remembered here.
//!
//! The ticket is cut off the address before anything else looks at it ([`split`]): it is in no key, no log and
//! no request to the origin.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue, LOCATION, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use seawall_cache::{CacheStatus, PASS_COOKIE, PLAIN_PASS_COOKIE, Scheme};
use seawall_decide::{
    CREDENTIAL_CHARS, CredentialText, NextStep, PASS_LIFE, TestShown, Turn, TurnAsker,
    is_local_reference,
};
use seawall_model::{Cause, Facts, Identity};

use crate::answer::{Answer, AnswerBody, Note};
use crate::clock;
use crate::metrics::CacheOutcome;
use crate::refusal;
use crate::serve::{self, Ask, Times};
use crate::visitor;
use crate::worker::ClientConn;

/// The query parameter with a ticket; in front of the ticket, with which it ends.
const TICKET: &[u8] = b"seawall-ticket=";
const TICKET_BYTES: usize = TICKET.len() + CREDENTIAL_CHARS;

/// A query without the ticket that it ends with, and the ticket. We put it last; elsewhere it is a
/// parameter as any other. O(1).
pub(crate) fn split(query: Option<&[u8]>) -> (Option<&[u8]>, Option<&[u8]>) {
    let whole = (query, None);
    let Some((text, at)) =
        query.and_then(|text| Some((text, text.len().checked_sub(TICKET_BYTES)?)))
    else {
        return whole;
    };
    let (rest, last) = text.split_at(at);
    let Some(ticket) = last.strip_prefix(TICKET) else { return whole };
    match rest {
        [] => (None, Some(ticket)),
        [rest @ .., b'&'] => (Some(rest), Some(ticket)),
        _ => whole,
    }
}

/// How much longer a target was by its ticket.
pub(crate) const fn ticket_bytes(ticket: Option<&[u8]>) -> usize {
    if ticket.is_some() { 1 + TICKET_BYTES } else { 0 }
}

/// An address that ends with a ticket, without it: what a Referer may say of who waited.
pub(crate) fn without_ticket(address: &[u8]) -> Option<&[u8]> {
    let at = address.len().checked_sub(TICKET_BYTES)?;
    let (rest, last) = address.split_at(at);
    let rest = rest.strip_suffix(b"?").or_else(|| rest.strip_suffix(b"&"))?;
    last.starts_with(TICKET).then_some(rest)
}

/// What is shown of the test by a request that has to be tested, or would have to. What is good for it is
/// taken.
pub(crate) fn shown(ctx: &ClientConn, ask: &Ask<'_>, facts: &Facts<'_>, times: Times) -> TestShown {
    let shared = &ctx.worker.shared;
    let keys = shared.reception.keys.credentials();
    let cookie = visitor::shown(ask.fields, cookie_name(ctx.scheme(ask.fields)));
    let pass = cookie.as_ref().map(visitor::Shown::text);
    TestShown::of((&keys, &shared.limiters), (times.mono, times.wall), (pass, ask.ticket), facts)
}

/// The answer to a request that is tested. `who` asks, one of `people` who do so as one; `dice` are
/// random.
pub(crate) fn answer(
    ctx: &ClientConn,
    ask: &Ask<'_>,
    times: Times,
    (next, who): (NextStep, Asker),
) -> Answer {
    let (to, set_cookie) = match next {
        NextStep::Wait(seconds) => return refusal::wait(ask, seconds),
        NextStep::Clean => (serve::target(ask).into_bytes(), None),
        NextStep::Around => {
            let keys = ctx.worker.shared.reception.keys.credentials();
            let Asker { identity, people, dice } = who;
            let (ticket, pass) = keys.sent_around(times.wall, ask.host, (identity, people, dice));
            (with_ticket(ask, &ticket), Some(cookie(&pass, ctx.scheme(ask.fields))))
        }
    };
    let note =
        Note { cause: Cause::Challenged, refused: true, cache: CacheOutcome::Bypass, close: false };
    sent_on(&to, set_cookie, note)
}

/// The turn of a request at a shared address.
pub(crate) fn turn(ctx: &ClientConn, ask: &Ask<'_>, asker: TurnAsker, times: Times) -> Turn {
    let keys = ctx.worker.shared.reception.keys.credentials();
    let cookie = || {
        let shown = visitor::shown(ask.fields, cookie_name(ctx.scheme(ask.fields)))?;
        keys.check_ticket(times.wall, ask.host, shown.text()).ok()
    };
    Turn::of(&keys, (times.wall, ask.host), asker, ask.ticket, cookie)
}

/// The answer to who was to be refused for want of room at an address that `people` share: once around, for a turn
/// of its own.
pub(crate) fn give_turn(
    ctx: &ClientConn,
    ask: &Ask<'_>,
    times: Times,
    (identity, people): (Identity, u32),
    note: Note,
) -> Answer {
    let shared = &ctx.worker.shared;
    let dice = (times.mono.as_nanos() ^ times.number).rotate_left(32);
    let who = (identity, people, dice);
    let keys = shared.reception.keys.credentials();
    let turn = keys.turn(&shared.limiters, (clock::now(), times.wall), ask.host, who);
    ctx.worker.metrics.turn_given();
    sent_on(&with_ticket(ask, &turn), Some(cookie(&turn, ctx.scheme(ask.fields))), note)
}

fn sent_on(to: &[u8], set_cookie: Option<HeaderValue>, note: Note) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(set_cookie.map(|cookie| (SET_COOKIE, cookie)));
    if let Ok(location) = HeaderValue::from_bytes(to) {
        headers.insert(LOCATION, location);
    }
    let body = AnswerBody::Whole(Bytes::new());
    serve::built(StatusCode::TEMPORARY_REDIRECT, headers, body, &CacheStatus::Own, note)
}

/// For whom a ticket is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) identity: Identity,
    pub(crate) people: u32,
    pub(crate) dice: u64,
}

/// The name of the cookie with a pass: over plain HTTP browsers take no `__Host-`.
fn cookie_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Https => PASS_COOKIE,
        Scheme::Http => PLAIN_PASS_COOKIE,
    }
}

/// The field that sets a pass. No script can read it, and no other site's form sends it.
pub(crate) fn cookie(pass: &CredentialText, scheme: Scheme) -> HeaderValue {
    let secure = if scheme == Scheme::Https { " Secure;" } else { "" };
    let line = format!(
        "{}={}; Path=/; Max-Age={};{secure} HttpOnly; SameSite=Lax",
        cookie_name(scheme),
        pass.as_str(),
        PASS_LIFE.as_secs()
    );
    let mut line = HeaderValue::from_str(&line).expect("tickets are made of letters and digits");
    line.set_sensitive(true);
    line
}

/// The same address with a ticket behind.
fn with_ticket(ask: &Ask<'_>, ticket: &CredentialText) -> Vec<u8> {
    let path = if is_local_reference(ask.path) { ask.path } else { b"" };
    let (query, and) = match ask.query {
        Some(query) => (query, "&"),
        None => (&b""[..], ""),
    };
    [path, b"?", query, and.as_bytes(), TICKET, ticket.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_cut_off_the_end_and_nothing_else_is() {
        let ticket = "T".repeat(CREDENTIAL_CHARS);
        let check = |query: &str, want: (Option<&str>, Option<&str>)| {
            let query = query.replace('*', &format!("seawall-ticket={ticket}"));
            let (rest, found) = split(Some(query.as_bytes()));
            let want_rest =
                want.0.map(|rest| rest.replace('*', &format!("seawall-ticket={ticket}")));
            assert_eq!(rest, want_rest.as_deref().map(str::as_bytes), "{query}");
            assert_eq!(found.is_some(), want.1.is_some(), "{query}");
        };
        check("*", (None, Some("")));
        check("a=b&*", (Some("a=b"), Some("")));
        check("&*", (Some(""), Some("")));
        check("*&*", (Some("*"), Some("")));
        check("*&a=b", (Some("*&a=b"), None));
        check("a*", (Some("a*"), None));
        check("seawall-ticket=short", (Some("seawall-ticket=short"), None));
        check("", (Some(""), None));
        assert_eq!(split(None), (None, None));
    }

    #[test]
    fn a_referer_loses_its_ticket_and_nothing_else() {
        let ticket = format!("seawall-ticket={}", "T".repeat(CREDENTIAL_CHARS));
        let check = |address: &str, want: Option<&str>| {
            let address = address.replace('*', &ticket);
            let rest = without_ticket(address.as_bytes());
            assert_eq!(rest, want.map(str::as_bytes), "{address}");
        };
        check("https://example.org/a?*", Some("https://example.org/a"));
        check("https://example.org/a?b=c&*", Some("https://example.org/a?b=c"));
        check("https://example.org/a?*&b", None);
        check("https://example.org/a", None);
        check("", None);
    }
}
