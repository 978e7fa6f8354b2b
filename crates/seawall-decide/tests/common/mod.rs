//! What several tests of the gates ask with.

use seawall_model::{
    BodyLength, ClientAddr, CookieClass, Facts, Fingerprint, Held, HttpVersion, Method, Standing,
};

/// A browser's request for the front page.
pub(crate) fn facts(client: ClientAddr) -> Facts<'static> {
    Facts {
        client,
        identity: client.into(),
        standing: Standing::Anonymous,
        via_proxy: false,
        fingerprint: Fingerprint::default(),
        version: HttpVersion::Http11,
        method: Method::Get,
        host: "example.org",
        path: b"/",
        query: None,
        target_bytes: 1,
        head_bytes: 100,
        field_count: 3,
        body: BodyLength::None,
        cookies: CookieClass::None,
        held: Held::No,
    }
}
