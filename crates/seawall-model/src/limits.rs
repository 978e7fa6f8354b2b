//! Every bound in one place, with what happens at it.

use core::time::Duration;

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerSecond(pub f64);

/// Every bound in one place. Each field says what happens at the bound; each has a counter.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Open client connections in all. At the bound new ones are closed at accept
    /// (`too_many_connections`). Derived at start from the open-file limit: half of it.
    pub max_connections: usize,
    /// Open client connections of one identity. Default 1,024: a carrier's shared address or a Tor
    /// exit holds hundreds of readers, so this stops a single machine and nobody else.
    pub max_connections_of_one: usize,
    /// Bytes of an HTTP/1 head or decoded HTTP/2 header list. 431 beyond. Default 32 KiB: twice
    /// what browsers send with full cookie jars.
    pub max_head_bytes: usize,
    /// Field lines in a head. 431 beyond. Default 100, as nginx and HAProxy (101).
    pub max_fields: usize,
    /// Bytes of the request target. 414 beyond. Default 8 KiB (RFC 9110 §4.1 asks for 8,000).
    pub max_target_bytes: usize,
    /// Bytes of a request's content. 413 beyond. Default 1 GiB.
    pub max_body_bytes: u64,
    /// Bytes of a ClientHello. Closed beyond. Default 16 KiB: post-quantum hellos take 2 KiB.
    pub max_hello_bytes: usize,
    /// Concurrent HTTP/2 streams per connection. Default 64 (`detection.md` §6).
    pub max_streams: u32,
    /// Requests for held pages per second and identity. 429 beyond. Default 50/s.
    pub held_rate: PerSecond,
    /// How many held pages an identity may take at once. Default 500.
    pub held_burst: u32,
    /// Identities the client table can tell apart. Oldest are forgotten. Default 2^17.
    pub max_clients: usize,
    /// Bytes per second sent to all clients; `None`: as fast as the machine sends.
    pub egress_bytes_per_second: Option<u64>,
    /// Until the first byte of a request head is complete. Closed beyond. Default 10 s in all.
    pub header_timeout: Duration,
    /// Between requests of a kept-alive connection. Closed beyond. Default 60 s.
    pub idle_timeout: Duration,
    /// A TLS handshake. Closed beyond. Default 10 s.
    pub handshake_timeout: Duration,
    /// Grace before the minimum body rate is enforced. Default 10 s.
    pub body_grace: Duration,
    /// Bytes per second a body must move after the grace, in either direction. Default 500.
    pub min_body_bytes_per_second: u64,
    /// How long a drain waits for answers in flight. Default 30 s.
    pub drain_timeout: Duration,
    /// Waiting requests before one origin. 503 beyond. Default 1,024.
    pub max_origin_queue: usize,
    /// Longest wait before an origin. 503 beyond. Default 10 s.
    pub origin_queue_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_of_one: 1_024,
            max_head_bytes: 32 * 1024,
            max_fields: 100,
            max_target_bytes: 8 * 1024,
            max_body_bytes: 1024 * 1024 * 1024,
            max_hello_bytes: 16 * 1024,
            max_streams: 64,
            held_rate: PerSecond(50.0),
            held_burst: 500,
            max_clients: 1 << 17,
            egress_bytes_per_second: None,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            body_grace: Duration::from_secs(10),
            min_body_bytes_per_second: 500,
            drain_timeout: Duration::from_secs(30),
            max_origin_queue: 1_024,
            origin_queue_timeout: Duration::from_secs(10),
        }
    }
}
