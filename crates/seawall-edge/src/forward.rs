//! The request as the origin gets it.
//!
//! Nothing that a client says about who it is reaches the origin unless the client is a trusted
//! proxy; what Seawall knows is said in both the standard and the customary fields.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT,
    FORWARDED, HOST, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE, REFERER, TE, TRAILER, UPGRADE, VIA,
};
use http::{HeaderMap, Method, Request, Uri};
use seawall_cache::{Key, Scheme, strip_hop_by_hop, validators, without_own_cookie};
use seawall_model::CookieClass;

use crate::cheap_test;
use crate::origin::OriginBody;
use crate::policy::Policy;
use crate::serve::{Plan, Stale};
use crate::worker::{ClientConn, Worker};

/// What the fetch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To fill the shared cache: no conditions of the client's, no range, no coding, and no
    /// cookie where all were harmless.
    Share,
    /// For one client alone: as it asked.
    Pass,
}

/// The request target or method cannot be sent on: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsendable;

/// What the origin is to be asked, checked but not yet written out: a request may wait long for its
/// turn, and fields written twice are most of what it holds.
pub(crate) struct Draft {
    purpose: Purpose,
    method: Method,
    target: Uri,
    authority: String,
    scheme: Scheme,
    /// Who speaks to us and how, and whether it is believed what it says of others.
    peer: IpAddr,
    is_tls: bool,
    via_proxy: bool,
    number: u64,
    body: OriginBody,
}

/// What a fetch knows of its request beside the [`Draft`].
pub(crate) struct Terms<'a> {
    pub(crate) site: usize,
    /// The client's fields.
    pub(crate) fields: &'a HeaderMap,
    pub(crate) is_upgrade: bool,
    pub(crate) is_keyed: bool,
    pub(crate) cookies: CookieClass,
    /// What is to be validated.
    pub(crate) stale: Option<&'a Stale>,
}

impl Draft {
    /// Checks what can be wrong with a request.
    ///
    /// # Errors
    /// [`Unsendable`] for a target that RFC 3986 does not allow.
    pub(crate) fn new(
        ctx: &ClientConn,
        plan: &Plan,
        purpose: Purpose,
        body: OriginBody,
    ) -> Result<Self, Unsendable> {
        Ok(Self {
            purpose,
            method: Method::from_bytes(&plan.method_token).map_err(|_| Unsendable)?,
            target: target(&plan.target)?,
            authority: plan.authority.clone(),
            scheme: plan.scheme,
            peer: ctx.client.ip(),
            is_tls: ctx.tls,
            via_proxy: ctx.via_proxy,
            number: plan.times.number,
            body,
        })
    }

    pub(crate) fn target(&self) -> &Uri {
        &self.target
    }

    /// Writes the request for the origin. Its content goes with the first.
    pub(crate) fn request(
        &mut self,
        worker: &Worker,
        policy: &Policy,
        terms: &Terms<'_>,
    ) -> Request<OriginBody> {
        let mut headers = terms.fields.clone();
        let upgrade = if terms.is_upgrade { headers.get(UPGRADE).cloned() } else { None };
        strip_hop_by_hop(&mut headers);
        drop_underscored(&mut headers);
        headers.remove(EXPECT);
        headers.remove(TE);
        self.identify(worker, policy, terms, &mut headers);
        if self.purpose == Purpose::Share {
            for name in
                [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE]
            {
                headers.remove(name);
            }
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if terms.cookies == CookieClass::None {
                headers.remove(COOKIE);
            }
            if let Some(stale) = terms.stale {
                let conditions = validators(&stale.entry.head);
                if let Some(etag) = conditions.if_none_match {
                    headers.insert(IF_NONE_MATCH, etag);
                }
                if let Some(date) = conditions.if_modified_since {
                    headers.insert(IF_MODIFIED_SINCE, date);
                }
            }
        }
        if let Some(protocol) = upgrade {
            headers.insert(UPGRADE, protocol);
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        let body = std::mem::replace(&mut self.body, OriginBody::Empty);
        if !matches!(body, OriginBody::Empty) {
            // The spool knows the length; hyper frames the content by it.
            headers.remove(CONTENT_LENGTH);
        }
        headers.remove(TRAILER);
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = headers;
        request
    }

    fn identify(
        &self,
        worker: &Worker,
        policy: &Policy,
        terms: &Terms<'_>,
        headers: &mut HeaderMap,
    ) {
        // A trusted proxy's account of the earlier hops is kept, ours is appended.
        let (before_for, before) = if self.via_proxy {
            (joined(headers, &X_FORWARDED_FOR), joined(headers, &FORWARDED))
        } else {
            (None, None)
        };
        let told = self.scheme.as_str();
        for name in CLAIMS {
            headers.remove(name);
        }
        if terms.is_keyed {
            // A page that could be shared is asked for by the method that its readers used.
            for name in OTHER_METHODS {
                headers.remove(name);
            }
        }
        let peer = self.peer;
        let scheme = if self.is_tls { "https" } else { "http" };
        let authority = &self.authority;

        let mut chain = before_for.unwrap_or_default();
        separate(&mut chain);
        let _ = write!(chain, "{peer}");
        put(headers, X_FORWARDED_FOR, &chain);

        let mut forwarded = before.unwrap_or_default();
        separate(&mut forwarded);
        let node = match peer {
            IpAddr::V4(ip) => format!("{ip}"),
            IpAddr::V6(ip) => format!("\"[{ip}]\""),
        };
        let _ = write!(forwarded, "for={node};host=\"{authority}\";proto={scheme}");
        put(headers, FORWARDED, &forwarded);

        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(told));
        put(headers, X_FORWARDED_HOST, authority);
        put(headers, X_REQUEST_ID, worker.request_id(self.number).as_str());
        // RFC 9110 §7.6.3: a gateway says that it was here.
        headers.append(VIA, HeaderValue::from_static("1.1 seawall"));

        let origin = &policy.config.sites[terms.site].origin;
        if origin.preserve_host && !authority.is_empty() {
            put(headers, HOST, authority);
        } else {
            put(headers, HOST, &origin.target.authority());
        }
    }
}

/// Whether there is something of Seawall's own in the fields: a cookie, or a ticket in the Referer.
pub(crate) fn has_own(headers: &HeaderMap) -> bool {
    let has = |value: &HeaderValue| without_own_cookie(value.as_bytes()).is_some();
    headers.get_all(COOKIE).iter().any(has) || referer_without_ticket(headers).is_some()
}

/// The page that a ticket was shown for.
fn referer_without_ticket(headers: &HeaderMap) -> Option<HeaderValue> {
    let rest = cheap_test::without_ticket(headers.get(REFERER)?.as_bytes())?;
    HeaderValue::from_bytes(rest).ok()
}

/// Takes out what is Seawall's own.
pub(crate) fn strip_own(headers: &mut HeaderMap) {
    if !has_own(headers) {
        return;
    }
    if let Some(referer) = referer_without_ticket(headers) {
        headers.insert(REFERER, referer);
    }
    let lines: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
    headers.remove(COOKIE);
    for line in lines {
        let rest = match without_own_cookie(line.as_bytes()) {
            None => Some(line),
            Some(rest) if rest.is_empty() => None,
            Some(rest) => HeaderValue::from_bytes(&rest).ok(),
        };
        if let Some(rest) = rest {
            headers.append(COOKIE, rest);
        }
    }
}

/// Applications behind CGI read `X_Forwarded_For` as `X-Forwarded-For`: a name with an underscore
/// could say what we have just removed. nginx drops them for the same reason.
fn drop_underscored(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether the answer to this request could be shared, as far as the request tells.
pub(crate) fn shareable_key<'a>(plan: &'a Plan, headers: &HeaderMap) -> Option<&'a Key> {
    let is_shareable = plan.method == seawall_model::Method::Get
        && plan.cookies == CookieClass::None
        && !headers.contains_key(AUTHORIZATION)
        && (!headers.contains_key(RANGE) || plan.can_validate_whole())
        && !forbids_storing(headers);
    plan.key.as_ref().filter(|_| is_shareable)
}

/// RFC 9111 §5.2.1.5: what this client gets is not stored, so nobody should wait for it.
fn forbids_storing(headers: &HeaderMap) -> bool {
    let mut directives = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-store"))
}

fn target(target: &str) -> Result<Uri, Unsendable> {
    if target == "*" {
        return Ok(Uri::from_static("*"));
    }
    // Origin-form only, so that a path beginning with `//` is not taken for an authority.
    let path =
        http::uri::PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(target.as_bytes()))
            .map_err(|_| Unsendable)?;
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| Unsendable)
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields by which a client could pretend to be another, to have come another way, or to ask for
/// another page than the one it names: frameworks believe them, rules and keys do not see them.
const CLAIMS: [&str; 19] = [
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-prefix",
    "x-forwarded-ssl",
    "x-forwarded-scheme",
    "x-forwarded-protocol",
    "x-url-scheme",
    "x-host",
    "x-http-host-override",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "front-end-https",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
];

/// Fields by which a request asks to be taken for one with another method.
const OTHER_METHODS: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn separate(list: &mut String) {
    if !list.is_empty() {
        list.push_str(", ");
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    } else {
        headers.remove(name);
    }
}
