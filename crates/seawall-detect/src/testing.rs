//! What tests observe: one request, of which each says only what matters to it.

use core::net::{IpAddr, Ipv4Addr};

use seawall_model::{
    Attributes, Cause, ClientAddr, Instant, Observation, Referrer, RequestKind, Standing, Test,
    Work,
};

/// A page in hand that a stranger was given.
pub(crate) fn page() -> Observation {
    Observation {
        at: Instant::default(),
        client: ClientAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: 0,
        is_tor: false,
        is_late: false,
        identity: 1,
        standing: Standing::Anonymous,
        attributes: Attributes::default(),
        kind: RequestKind::Page,
        target: 0,
        referrer: Referrer::None,
        returned_cookie: false,
        is_recognised: false,
        is_cacheable: true,
        status: 200,
        cause: Cause::Default,
        work: Work::Held,
        met: None,
        test: Test::None,
    }
}
