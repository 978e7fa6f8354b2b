//! What must hold for any exchange that the cache sees.

use http::{HeaderMap, HeaderName, HeaderValue};
use seawall_cache::{
    MapFields, Refreshed, RequestMeta, SitePolicy, StoredHead, classify_cookies, precondition,
    ranges, refresh, reuse, storable, vary_matches,
};
use seawall_model::{Method, WallTime};

/// One exchange through every parser and rule of the cache: request fields, a line with a dash,
/// response fields. Nothing panics; the request that filled an entry selects it; what is encoded
/// reads back; a response is about itself. The bytes are also read as an encoded head.
pub fn cache_control(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let request = fields(lines.by_ref().take_while(|line| *line != b"-"));
    let response = fields(lines);
    let policy = SitePolicy::default();
    let view = MapFields(&request);
    let cookies = classify_cookies(&policy, &view);
    let meta = RequestMeta { method: Method::Get, fields: &view, cookies };
    let now = WallTime::from_unix_secs(1_767_225_600);
    let later = WallTime::from_unix_secs(1_767_225_630);
    let _ = StoredHead::decode(data);
    for status in [200, 206] {
        let Ok(head) = storable(&policy, &meta, status, &response, now, now) else { continue };
        assert!(vary_matches(&head, &meta), "the request that filled it selects another");
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        assert_eq!(StoredHead::decode(&bytes).as_ref(), Some(&head));
        let _ = reuse(&head, &meta, later);
        let _ = precondition(&head, &meta);
        let _ = ranges(&meta, &head, 100);
        let again = refresh(&policy, &head, &meta, &response, later, later);
        assert!(!matches!(again, Refreshed::Mismatch), "a response is not about itself");
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines.take(64) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}
