//! The cheap test as readers meet it: once around with a cookie, or a page that waits.
//!
//! Separate because it is a conversation: a redirect that carries a pass and a ticket, a page for who comes
//! back without the pass, and a redirect to the address as it was asked for. What may be tested is
//! decided in `seawall-decide`, what tickets are is written there too; nothing is remembered here.
//!
//! | comes with | is answered by |
//! |---|---|
//! | nothing good | 307 to itself, with a ticket in the address and a pass in a cookie |
//! | the pass and a ticket | 307 to the address without the ticket |
//! | the pass | the page |
//! | a ticket that is too young | 429, a page that loads itself again when the ticket is good |
//! | a ticket that is good, for the first time | the page, and a pass |
//!
//! **No loop:** only a request without a ticket, or with one that is used up, is sent around, and it comes back
//! with one that is too young. Who takes cookies for one address and not for the other goes around until it
//! has left as many tests open as are refused.
//!
//! The ticket is cut off the address before anything else looks at it ([`split`]): it is in no key, no log and
//! no request to the origin.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue, LOCATION, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use seawall_cache::{CacheStatus, PASS_COOKIE, PLAIN_PASS_COOKIE, Scheme};
use seawall_decide::{
    CREDENTIAL_CHARS, CredentialText, PASS_LIFE, TestTicket, TicketFault, TicketKind,
};
use seawall_model::{Cause, Identity, Method, Test};

use crate::answer::{Answer, AnswerBody, Note};
use crate::metrics::CacheOutcome;
use crate::refusal;
use crate::serve::{self, Ask, Times};
use crate::visitor;
use crate::worker::ClientConn;

/// What a request shows of the test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// [`Test::Passed`] or [`Test::Carried`] if it is good for this request.
    pub(crate) test: Test,
    /// What to do if it has to be tested, or to be sent on.
    pub(crate) next: Next,
    /// It waited for this page: a pass is due.
    pub(crate) earned: Option<TestTicket>,
}

/// What comes next in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: it goes on, or is asked to come back with cookie and ticket.
    Around,
    /// To the address without the ticket.
    Clean,
    /// To wait for so many seconds.
    Wait(u64),
}

impl Shown {
    /// Nothing that is good.
    pub(crate) const NOTHING: Self = Self { test: Test::None, next: Next::Around, earned: None };
}

/// The query parameter with a ticket; in front of the ticket, with which it ends.
const TICKET: &[u8] = b"seawall-ticket=";
const TICKET_BYTES: usize = TICKET.len() + CREDENTIAL_CHARS;

/// How long who takes no cookies waits.
const WAIT: std::time::Duration = std::time::Duration::from_secs(8);

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
pub(crate) fn shown(ctx: &ClientConn, ask: &Ask<'_>, times: Times) -> Shown {
    let shared = &ctx.worker.shared;
    let (keys, limiters) = (shared.reception.keys.credentials(), &shared.limiters);
    let is_read = matches!(ask.method, Method::Get | Method::Head);
    let cookie = visitor::shown(ask.fields, cookie_name(ctx.scheme(ask.fields)));
    let pass = cookie.as_ref().and_then(|cookie| {
        let pass = keys.check_ticket(times.wall, ask.host, cookie.text()).ok()?;
        // A ticket is none, wherever it is put.
        let is_good = pass.kind != TicketKind::Wait && limiters.take_pass(times.mono, pass.number);
        is_good.then_some(cookie.text())
    });
    if let Some(pass) = pass {
        if ask.ticket.is_some() && is_read && is_plain(ask.path) {
            return Shown { test: Test::Carried, next: Next::Clean, earned: None };
        }
        let is_first = limiters.is_first_use(times.mono, pass);
        let test = if is_first { Test::Passed } else { Test::Carried };
        return Shown { test, ..Shown::NOTHING };
    }
    let Some(text) = ask.ticket.filter(|_| is_read) else { return Shown::NOTHING };
    match keys.check_ticket(times.wall, ask.host, text) {
        Ok(ticket)
            if ticket.kind == TicketKind::Wait
                && limiters.is_first_use(times.mono, text)
                && limiters.take_pass(times.mono, ticket.number) =>
        {
            Shown { test: Test::Passed, earned: Some(ticket), ..Shown::NOTHING }
        }
        Err(TicketFault::Early(rest)) => {
            let seconds = rest.as_secs().max(*refusal::WAIT_S.start());
            Shown { next: Next::Wait(seconds), ..Shown::NOTHING }
        }
        Ok(_) | Err(_) => Shown::NOTHING,
    }
}

/// The answer to a request that is tested. `who` asks, one of `people` who do so as one; `dice` are
/// random.
pub(crate) fn answer(
    ctx: &ClientConn,
    ask: &Ask<'_>,
    times: Times,
    (next, who): (Next, Asker),
) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let to = match next {
        Next::Wait(seconds) => return refusal::wait(ask, seconds),
        Next::Clean => serve::target(ask).into_bytes(),
        Next::Around => {
            let keys = ctx.worker.shared.reception.keys.credentials();
            let Asker { identity, people, dice } = who;
            let number = keys.ticket_number(times.wall, identity, people, dice);
            let ticket = keys.wait_ticket(times.wall, ask.host, number, WAIT);
            let unproved = TestTicket { kind: TicketKind::Return, number };
            let pass = keys.pass(times.wall, ask.host, &unproved);
            headers.append(SET_COOKIE, cookie(&pass, ctx.scheme(ask.fields)));
            with_ticket(ask, &ticket)
        }
    };
    if let Ok(location) = HeaderValue::from_bytes(&to) {
        headers.insert(LOCATION, location);
    }
    let note =
        Note { cause: Cause::Challenged, refused: true, cache: CacheOutcome::Bypass, close: false };
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

/// Whether a path may stand at the begin of a reference: `//name/` and, for browsers, `/\name/` are
/// another site's.
const fn is_plain(path: &[u8]) -> bool {
    !matches!(path, [b'/', b'/' | b'\\', ..])
}

/// The same address with a ticket behind.
fn with_ticket(ask: &Ask<'_>, ticket: &CredentialText) -> Vec<u8> {
    let path = if is_plain(ask.path) { ask.path } else { b"" };
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
