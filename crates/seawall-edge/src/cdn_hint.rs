//! Notices a CDN in front of Seawall that nobody configured.
//!
//! If most requests carry forwarding fields and come from few peers, those peers are proxies and
//! every limit per address would hit all readers at once. Then the operator must be told, loudly,
//! to set `trusted_proxies`, and limits per address are suspended or raised for these peers until then.
//!
//! Signal: the share of requests with forwarding fields, and the number of peer prefixes (/24,
//! /48) that carry them. Trip condition: at least 60 % from at most 64 prefixes over a window of
//! 2,000 samples (the first window is 200, so that a CDN is seen before its load looks like an
//! attack). Recovery: the first window without the condition. Known blind spot: an attacker may
//! forge these fields from a few machines. Therefore a site that readers were seen to reach directly
//! within the last hour is only warned: the fields then prove nothing, and suspicion falls on
//! no more peers than fit the set.
//!
//! Pure: no clock, no log line. Does **not** believe any forwarded address.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use seawall_model::{ClientAddr, Fields, Instant};

/// Bounded statistics over the peers that are not trusted proxies. Shared by the workers; fed
/// through a [`CdnSampler`] each.
#[derive(Clone, Debug)]
pub struct CdnHint {
    window: Window,
    first_window: bool,
    suspects: Vec<IpAddr>,
    product: Option<CdnProduct>,
    direct_seen: Option<Instant>,
    suspended: bool,
    warned: Option<Instant>,
}

impl CdnHint {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self {
            window: Window::default(),
            first_window: true,
            suspects: Vec::new(),
            product: None,
            direct_seen: None,
            suspended: false,
            warned: None,
        }
    }

    /// Takes one request from an untrusted peer. Returns the warning to print, at most one per
    /// hour.
    ///
    /// Cost: a search in at most 64 addresses; no allocation beyond the first window.
    pub fn observe(
        &mut self,
        now: Instant,
        peer: IpAddr,
        forwarded: Forwarded,
    ) -> Option<CdnWarning> {
        self.window.add(prefix_of(peer), forwarded);
        let size = if self.first_window { FIRST_WINDOW } else { WINDOW };
        if self.window.seen < size {
            return None;
        }
        let window = std::mem::take(&mut self.window);
        self.first_window = false;
        self.close(now, window)
    }

    /// Whether an unconfigured CDN is in front, as far as the last window shows, and limits per
    /// address are to be suspended for its peers.
    pub fn suspects(&self) -> bool {
        self.suspended
    }

    /// Whether limits per address are to be suspended for this very peer.
    pub fn is_suspect(&self, peer: IpAddr) -> bool {
        self.suspended && self.suspects.contains(&prefix_of(peer))
    }

    /// Which product the fields point to.
    pub fn product(&self) -> Option<CdnProduct> {
        self.product
    }

    fn close(&mut self, now: Instant, window: Window) -> Option<CdnWarning> {
        let in_front = window.carried * 100 >= window.seen * MIN_SHARE_PERCENT && !window.overflow;
        if !in_front {
            // Many direct peers prove that readers reach us without a proxy.
            if window.direct * 100 >= window.seen * MIN_SHARE_PERCENT {
                self.direct_seen = Some(now);
            }
            self.suspended = false;
            self.suspects.clear();
            return None;
        }
        self.product = window.product();
        self.suspended =
            self.direct_seen.is_none_or(|at| now.saturating_since(at) >= DIRECT_MEMORY);
        let warning = CdnWarning {
            product: self.product,
            prefixes: window.prefixes.len(),
            share_percent: window.carried * 100 / window.seen,
            limits_suspended: self.suspended,
        };
        self.suspects = window.prefixes;
        let due = self.warned.is_none_or(|at| now.saturating_since(at) >= WARN_EVERY);
        due.then(|| {
            self.warned = Some(now);
            warning
        })
    }
}

impl Default for CdnHint {
    fn default() -> Self {
        Self::new()
    }
}

/// What the operator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CdnWarning {
    /// The likely product.
    pub product: Option<CdnProduct>,
    /// Peer prefixes that carry the forwarded requests; at most 64.
    pub prefixes: usize,
    /// Share of requests that carry forwarding fields, 60 to 100.
    pub share_percent: u32,
    /// Whether limits per address are suspended for these peers.
    pub limits_suspended: bool,
}

impl fmt::Display for CdnWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefixes, share_percent, .. } = self;
        write!(
            f,
            "{share_percent} % of requests are forwarded by {prefixes} address range(s) that are \
             not in `trusted_proxies`"
        )?;
        match self.product {
            Some(product) => write!(f, "; this looks like {}", product.as_str())?,
            None => f.write_str("; this looks like a CDN or load balancer")?,
        }
        f.write_str(if self.limits_suspended {
            "; limits per address are suspended for them until `network.trusted_proxies` names \
             their ranges, so one attacker behind them can not be told from readers"
        } else {
            "; readers also reach this server directly, so limits per address stay; if the proxy \
             is yours, name its ranges in `network.trusted_proxies`"
        })
    }
}

/// Which forwarding fields a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Whether there is any.
    pub present: bool,
    /// Whom they point to.
    pub product: Option<CdnProduct>,
}

impl Forwarded {
    /// Looks at the field names (and at `CDN-Loop`, RFC 8586, and `Via`, whose values name the
    /// product). About a dozen look-ups, so call it on sampled requests only.
    pub fn from_fields(fields: &(impl Fields + ?Sized)) -> Self {
        let product = CdnProduct::from_fields(fields);
        let present = product.is_some()
            || ["x-forwarded-for", "forwarded", "via", "cdn-loop"].iter().any(|n| fields.has(n));
        Self { present, product }
    }
}

/// Products that can be told by their request fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CdnProduct {
    /// Akamai.
    Akamai,
    /// Microsoft Azure Front Door.
    AzureFrontDoor,
    /// bunny.net.
    Bunny,
    /// Cloudflare.
    Cloudflare,
    /// Amazon CloudFront.
    CloudFront,
    /// Fastly.
    Fastly,
    /// Google Cloud load balancing.
    GoogleCloud,
    /// Imperva (Incapsula).
    Imperva,
    /// Sucuri.
    Sucuri,
}

impl CdnProduct {
    /// Every product.
    pub const ALL: [Self; 9] = [
        Self::Akamai,
        Self::AzureFrontDoor,
        Self::Bunny,
        Self::Cloudflare,
        Self::CloudFront,
        Self::Fastly,
        Self::GoogleCloud,
        Self::Imperva,
        Self::Sucuri,
    ];

    /// The name an operator knows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Akamai => "Akamai",
            Self::AzureFrontDoor => "Azure Front Door",
            Self::Bunny => "bunny.net",
            Self::Cloudflare => "Cloudflare",
            Self::CloudFront => "Amazon CloudFront",
            Self::Fastly => "Fastly",
            Self::GoogleCloud => "Google Cloud",
            Self::Imperva => "Imperva",
            Self::Sucuri => "Sucuri",
        }
    }

    /// The product whose own request fields are present.
    pub fn from_fields(fields: &(impl Fields + ?Sized)) -> Option<Self> {
        for &(name, product) in BY_FIELD {
            if fields.has(name) {
                return Some(product);
            }
        }
        let mut found = None;
        for list in ["cdn-loop", "via"] {
            fields.each(list, &mut |value| {
                for &(word, product) in BY_VALUE {
                    if found.is_none() && holds(value, word) {
                        found = Some(product);
                    }
                }
            });
        }
        found
    }
}

/// Each worker's gate before the shared [`CdnHint`]: lets at most 200 requests per second through,
/// whatever the load, at the price of one comparison.
#[derive(Clone, Copy, Debug, Default)]
pub struct CdnSampler {
    next: Instant,
}

impl CdnSampler {
    /// Whether this request is to be shown to [`CdnHint::observe`].
    pub fn samples(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + Duration::from_millis(5);
        true
    }
}

#[derive(Clone, Debug, Default)]
struct Window {
    seen: u32,
    carried: u32,
    direct: u32,
    prefixes: Vec<IpAddr>,
    overflow: bool,
    products: [u32; CdnProduct::ALL.len()],
}

impl Window {
    fn add(&mut self, prefix: IpAddr, forwarded: Forwarded) {
        self.seen += 1;
        if !forwarded.present {
            self.direct += 1;
            return;
        }
        self.carried += 1;
        if let Some(product) = forwarded.product {
            self.products[product as usize] += 1;
        }
        if !self.prefixes.contains(&prefix) {
            if self.prefixes.len() < MAX_PREFIXES {
                self.prefixes.push(prefix);
            } else {
                self.overflow = true;
            }
        }
    }

    /// The product named by more than half of the forwarded requests.
    fn product(&self) -> Option<CdnProduct> {
        CdnProduct::ALL.into_iter().find(|&p| self.products[p as usize] * 2 > self.carried)
    }
}

fn prefix_of(peer: IpAddr) -> IpAddr {
    ClientAddr::new(peer).truncated()
}

/// Whether `value` holds `word` (lower case), ignoring ASCII case.
fn holds(value: &[u8], word: &[u8]) -> bool {
    value.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

/// Samples per window (`detection.md`, amendment 8: "most traffic").
const WINDOW: u32 = 2_000;
/// Samples in the first window after the start.
const FIRST_WINDOW: u32 = 200;
/// A CDN forwards nearly everything; health checks and strays reach the server beside it.
const MIN_SHARE_PERCENT: u32 = 60;
/// CDNs publish 15 (Cloudflare) to some 60 ranges; one site sees few of them. Readers' own
/// proxies, which also send these fields, spread wider.
const MAX_PREFIXES: usize = 64;
/// Between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(3_600);
/// How long direct readers prove that the site is not behind a CDN.
const DIRECT_MEMORY: Duration = Duration::from_secs(3_600);

const BY_FIELD: &[(&str, CdnProduct)] = &[
    ("cf-ray", CdnProduct::Cloudflare),
    ("cf-connecting-ip", CdnProduct::Cloudflare),
    ("x-amz-cf-id", CdnProduct::CloudFront),
    ("fastly-client-ip", CdnProduct::Fastly),
    ("fastly-ff", CdnProduct::Fastly),
    ("akamai-origin-hop", CdnProduct::Akamai),
    ("x-akamai-edgescape", CdnProduct::Akamai),
    ("x-azure-fdid", CdnProduct::AzureFrontDoor),
    ("incap-client-ip", CdnProduct::Imperva),
    ("x-sucuri-clientip", CdnProduct::Sucuri),
];

const BY_VALUE: &[(&[u8], CdnProduct)] = &[
    (b"cloudflare", CdnProduct::Cloudflare),
    (b"cloudfront", CdnProduct::CloudFront),
    (b"fastly", CdnProduct::Fastly),
    (b"akamai", CdnProduct::Akamai),
    (b"bunnycdn", CdnProduct::Bunny),
    (b"google", CdnProduct::GoogleCloud),
];
