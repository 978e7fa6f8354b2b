//! The Cache-Status field (RFC 9211): how a response came about, for readers and operators.
//!
//! Written without allocation beyond the buffer given. It names no key and no address.

/// Why a request went to the origin (RFC 9211 §2.2). The first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forward {
    /// The cache was told not to handle it (a personal cookie, a plain route).
    Bypass,
    /// The method needs the origin.
    Method,
    /// Nothing is stored for the URL.
    UriMiss,
    /// Something is stored for the URL, but for other selecting fields.
    VaryMiss,
    /// Nothing usable was stored.
    Miss,
    /// The client asked for it.
    Request,
    /// What is stored is stale.
    Stale,
    /// A part is stored, and not the part that was asked for.
    Partial,
}

impl Forward {
    /// The token in the field, also a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// Whether the response that came back is now in the store (RFC 9211 §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is.
    Yes,
    /// It is not, or nobody knows yet.
    No,
}

/// Whether the request shared the answer to another (RFC 9211 §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collapsed {
    /// It waited for a fetch that another request had started.
    Yes,
    /// It made its own.
    No,
}

/// What is said about one response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// It came from the store. Stale answers have a negative `ttl_s`.
    Hit {
        /// Seconds of freshness left (RFC 9211 §2.4).
        ttl_s: i64,
    },
    /// The origin was asked.
    Forwarded {
        /// Why.
        forward: Forward,
        /// The origin's status, if it differs from the one sent (RFC 9211 §2.3).
        status: Option<u16>,
        /// Whether the answer was kept.
        stored: Stored,
        /// Whether it was shared.
        collapsed: Collapsed,
    },
    /// It came from the archive, because the origin could not answer (RFC 9211 §2.8).
    Archived,
    /// Seawall answered by itself, without store or origin (a refusal, a 504).
    Own,
}

/// Appends the value of a Cache-Status member: `seawall; hit; ttl=12`.
pub fn write_cache_status(out: &mut Vec<u8>, status: &CacheStatus) {
    out.extend_from_slice(b"seawall");
    match *status {
        CacheStatus::Hit { ttl_s } => {
            out.extend_from_slice(b"; hit; ttl=");
            write_integer(out, ttl_s);
        }
        CacheStatus::Forwarded { forward, status, stored, collapsed } => {
            out.extend_from_slice(b"; fwd=");
            out.extend_from_slice(forward.as_str().as_bytes());
            if let Some(status) = status {
                out.extend_from_slice(b"; fwd-status=");
                write_integer(out, i64::from(status));
            }
            if stored == Stored::Yes {
                out.extend_from_slice(b"; stored");
            }
            if collapsed == Collapsed::Yes {
                out.extend_from_slice(b"; collapsed");
            }
        }
        CacheStatus::Archived => out.extend_from_slice(b"; hit; detail=archive"),
        CacheStatus::Own => {}
    }
}

fn write_integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
