//! What a shared cache may do with a message: store it, answer with it, refresh it, drop it.
//!
//! Pure: time is an argument, nothing is read or kept. Separate from the store so that every rule
//! of RFC 9111 can be tested without one. It does **not** compute freshness (`freshness`), compare
//! selecting fields (`vary`) or evaluate conditions (`conditional`).
//!
//! Read next: [`storable`], [`reuse`].

mod invalidate;
mod refresh;
mod reuse;
mod storable;

use std::fmt;
use std::time::Duration;

use seawall_model::{CookieClass, Fields, Method};

use crate::cookies::CookiePatterns;
use crate::learn::QueryRules;

pub use self::invalidate::invalidated_by;
pub use self::refresh::{HeadUpdate, Refreshed, head_response_updates, refresh};
pub use self::reuse::{
    Reuse, is_error_status, may_serve_stale_on_error, may_serve_stale_when_disconnected,
    only_if_cached, reuse,
};
pub use self::storable::{NoStore, storable};

/// What a site's owner decided about caching. The defaults suit WordPress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitePolicy {
    /// Lifetime of GET responses whose origin says nothing about caching and sets no cookie;
    /// `None` or under a second: those are not stored. Default 10 s.
    pub default_ttl: Option<Duration>,
    /// The same for 404 and 410, so that a flood of random paths costs the origin each path once in
    /// this time; `None` or under a second: those are not stored. Default 10 s.
    pub negative_ttl: Option<Duration>,
    /// How long responses stored under `default_ttl` are served stale while they are fetched anew
    /// (RFC 5861 §3). Default 60 s.
    pub default_stale_while_revalidate: Duration,
    /// How long responses stored under `default_ttl` stand in for errors of the origin (RFC 5861
    /// §4). Default 24 h.
    pub default_stale_if_error: Duration,
    /// Cookies that mark personal pages: a request with one is neither answered from the cache nor
    /// stored.
    pub bypass_cookies: CookiePatterns,
    /// Cookies that no page depends on. Any other keeps a request out of what `default_ttl` filled.
    pub harmless_cookies: CookiePatterns,
    /// Responses with a longer body are not stored. Default 64 MiB.
    pub max_object_bytes: u64,
    /// Which query parameters are always or never part of a key.
    pub query: QueryRules,
}

impl Default for SitePolicy {
    fn default() -> Self {
        Self {
            default_ttl: Some(Duration::from_secs(10)),
            negative_ttl: Some(Duration::from_secs(10)),
            default_stale_while_revalidate: Duration::from_secs(60),
            default_stale_if_error: Duration::from_secs(24 * 3600),
            bypass_cookies: CookiePatterns::new(BYPASS_COOKIES),
            harmless_cookies: CookiePatterns::new(HARMLESS_COOKIES),
            max_object_bytes: 64 << 20,
            query: QueryRules::default(),
        }
    }
}

/// Login, protected posts, commenters and shops of WordPress, and PHP sessions.
const BYPASS_COOKIES: [&str; 8] = [
    "wordpress_logged_in_*",
    "wordpress_sec_*",
    "wp-postpass_*",
    "comment_author_*",
    "woocommerce_*",
    "wp_woocommerce_session_*",
    "edd_*",
    "PHPSESSID",
];

/// Analytics and consent: read by scripts in the page, never by the origin.
const HARMLESS_COOKIES: [&str; 8] = [
    "_ga*",
    "_gid",
    "_gat*",
    "__utm*",
    "_pk_*",
    "_fbp",
    "cookie_consent",
    // Set by the login form to see whether cookies work; says nothing about anybody.
    "wordpress_test_cookie",
];

/// What the cache has to know about a request.
#[derive(Clone, Copy)]
pub struct RequestMeta<'a> {
    /// The method.
    pub method: Method,
    /// The fields as the client sent them.
    pub fields: &'a dyn Fields,
    /// What [`classify_cookies`](crate::classify_cookies) said.
    pub cookies: CookieClass,
}

impl fmt::Debug for RequestMeta<'_> {
    // Fields are personal data and stay out of debug output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestMeta")
            .field("method", &self.method)
            .field("cookies", &self.cookies)
            .finish_non_exhaustive()
    }
}

impl RequestMeta<'_> {
    /// Whether an answer to this request may have been made for one person: it carries a cookie
    /// that nobody called harmless, or Authorization.
    fn is_attributable(&self) -> bool {
        self.cookies != CookieClass::None || self.fields.has("authorization")
    }
}
