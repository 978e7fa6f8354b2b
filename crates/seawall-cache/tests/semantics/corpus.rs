//! Replays the seeds and finds of the fuzz target `cache_control`, so that no nightly compiler is
//! needed to keep what it found from coming back.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use seawall_cache::{
    MapFields, Refreshed, RequestMeta, SitePolicy, StoredHead, classify_cookies, precondition,
    ranges, refresh, reuse, storable, vary_matches,
};
use seawall_model::Method;

use crate::support::at;

#[test]
fn fuzzed_exchanges_do_not_panic_or_contradict_themselves() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/cache_control");
    let mut replayed = 0;
    for file in std::fs::read_dir(corpus).expect("the corpus is part of the repository") {
        let path = file.expect("a readable folder").path();
        let data = std::fs::read(&path).expect("a readable seed");
        replay(&data, &path.display().to_string());
        replayed += 1;
    }
    assert!(replayed > 0, "the corpus is empty");
}

fn replay(data: &[u8], name: &str) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let request = fields(lines.by_ref().take_while(|line| *line != b"-"));
    let response = fields(lines);
    let policy = SitePolicy::default();
    let view = MapFields(&request);
    let cookies = classify_cookies(&policy, &view);
    let meta = RequestMeta { method: Method::Get, fields: &view, cookies };
    let _ = StoredHead::decode(data);
    for status in [200, 206] {
        let Ok(head) = storable(&policy, &meta, status, &response, at(0), at(0)) else { continue };
        assert!(vary_matches(&head, &meta), "{name}");
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        assert_eq!(StoredHead::decode(&bytes).as_ref(), Some(&head), "{name}");
        let _ = reuse(&head, &meta, at(30));
        let _ = precondition(&head, &meta);
        let _ = ranges(&meta, &head, 100);
        let again = refresh(&policy, &head, &meta, &response, at(30), at(30));
        assert_ne!(again, Refreshed::Mismatch, "{name}");
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
