//! What an unsafe method makes outdated (RFC 9111 §4.4).

use http::{HeaderMap, header};
use seawall_model::Method;

use crate::key::Key;

/// The keys that a response makes invalid (RFC 9111 §4.4): after a success of a method that is not
/// known to be safe, its own URL and those in Location and Content-Location if they have the same
/// origin. Empty in all other cases.
pub fn invalidated_by(method: Method, status: u16, key: &Key, headers: &HeaderMap) -> Vec<Key> {
    // RFC 9111 §4.4: a non-error response is one with 2xx or 3xx.
    if method.is_safe() || method == Method::Connect || !(200..400).contains(&status) {
        return Vec::new();
    }
    let mut keys = vec![key.clone()];
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let reference = headers.get(name).map(|value| value.as_bytes().trim_ascii());
        if let Some(target) = reference.and_then(|reference| key.same_origin(reference))
            && !keys.contains(&target)
        {
            keys.push(target);
        }
    }
    keys
}
