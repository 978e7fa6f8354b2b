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
    /// Above this share of `max_connections` the slowest idle and partial connections are closed,
    /// those of readers known for long last, and accepting goes on. Counted in
    /// `seawall_connections_shed_total`. Default 70 (`detection.md` §6).
    pub shed_above_percent: u8,
    /// Open client connections of one identity. Default 1,024: a carrier's shared address or a Tor
    /// exit holds hundreds of readers, so this stops a single machine and nobody else.
    pub max_connections_of_one: usize,
    /// Open client connections of one /24 of IPv4 or /48 of IPv6; trusted proxies do not count.
    /// Beyond, new ones are closed at accept (`too_many_connections_of_prefix`). Default a quarter
    /// of `max_connections`: no network alone fills the pool to where slow readers are let go (70 %),
    /// and the largest carriers spread their readers over more prefixes than that.
    pub max_connections_of_prefix: usize,
    /// Points for broken protocols, halved every 30 s, at which an identity gets no new connections
    /// for `bar_time` (`repeat_offender`, `seawall_offenders_barred_total`). A flood of frames is 30,
    /// an ambiguous message 2, a slow one 1. Times the readers known at that address, and times 64
    /// for a Tor exit. Default 100: four floods, or 50 ambiguous messages, within half a minute.
    pub max_offences: u32,
    /// For how long. Default 60 s: a quarter of the points is left then, so the next bar comes sooner.
    pub bar_time: Duration,
    /// Offenders remembered, 24 bytes each; beyond, the one with the fewest points is forgotten
    /// (`seawall_offenders_forgotten_total`). Default 2^14.
    pub max_offenders: usize,
    /// Bytes of an HTTP/1 head or decoded HTTP/2 header list. 431 beyond. Default 32 KiB: twice
    /// what browsers send with full cookie jars.
    pub max_head_bytes: usize,
    /// Field lines in a head. 431 beyond. Default 128, a little above HAProxy (101).
    pub max_fields: usize,
    /// Bytes of the request target. 414 beyond. Default 8 KiB (RFC 9110 §4.1 asks for 8,000).
    pub max_target_bytes: usize,
    /// Bytes of a request's content. 413 beyond. Default 1 GiB.
    pub max_body_bytes: u64,
    /// Bytes of a ClientHello. Closed beyond. Default 16 KiB: post-quantum hellos take 2 KiB.
    pub max_hello_bytes: usize,
    /// Share of a core, per worker, that TLS handshakes of unknown clients may take, in percent.
    /// Beyond, hellos are closed before any cryptography (`handshake_budget`). Default 50: half of the
    /// machine is left for those who have come in. While more than half of the burst is spent, a network
    /// (/24, /48) has a sixteenth of it.
    pub handshake_share_percent: u32,
    /// The same for all handshakes. What is above the share of the unknown is for networks where
    /// readers are known, and for session tickets. Never less than that. Default 75.
    pub known_handshake_share_percent: u32,
    /// Processor time of handshakes that may be spent at once. Default 500 ms: some 4,000 handshakes
    /// with ECDSA, as when a restart makes everybody come back.
    pub handshake_burst: Duration,
    /// Concurrent HTTP/2 streams per connection. Default 64 (`detection.md` §6).
    pub max_streams: u32,
    /// What the frames of an HTTP/2 connection may ask for.
    pub http2: Http2Limits,
    /// Bytes of unsent answers to pipelined HTTP/1 requests, and of requests read ahead. Beyond, no
    /// more is read until the client takes what it asked for. Default 64 KiB.
    pub max_pipelined_bytes: usize,
    /// Bytes of answers that the kernel keeps for one connection beyond what is on its way to the
    /// client (`TCP_NOTSENT_LOWAT`). Beyond, we wait. Default 128 KiB; without it the kernel takes
    /// up to `tcp_wmem`, 4 MiB, for everyone who does not read.
    pub max_unsent_bytes: u32,
    /// Requests for held pages per second and identity. 429 beyond. An address where more than one
    /// reader is known has as many times that on top, 64 at most; a Tor exit 64 times. Default 50/s.
    pub held_rate: PerSecond,
    /// How many held pages an identity may take at once. Default 500.
    pub held_burst: u32,
    /// Milliseconds of origin work per second that one anonymous client may cause, as estimated.
    /// Beyond, it waits behind others, and is refused (429) while others wait. Default 100.
    pub origin_budget: PerSecond,
    /// The same for the holder of a credential, on a budget of its own; one known from before is not refused
    /// beyond it. Default 400.
    pub reader_budget: PerSecond,
    /// How far these may be overdrawn, as the time that pays it back. Default 4 s.
    pub origin_budget_burst: Duration,
    /// Budgets remembered, 16 bytes each. The one that owes least is forgotten. Default 2^19.
    pub max_budgets: usize,
    /// Budgets of routes remembered, 16 bytes each. The one that owes least is forgotten
    /// (`seawall_route_budgets_forgotten_total`). Default 2^16, 1 MiB: 20,000 clients with the networks
    /// around them.
    pub max_route_budgets: usize,
    /// Identities and looks of them the client table can tell apart, 40 bytes each. The least used are
    /// forgotten; what they asked for counts by hash (`seawall_clients_hashed_total`) in one queue for
    /// every 32 records. Default 2^17, 5 MiB.
    pub max_clients: usize,
    /// Sessions watched for what earns a credential. Beyond it those not seen for longest begin
    /// anew. Default 2^14, 448 KiB: the readers of half an hour on a busy site.
    pub max_sessions: usize,
    /// How long a session must go on before it earns a credential. Default 10 s: people read.
    pub min_session: Duration,
    /// Holders of credentials watched for copies. Beyond it those not seen for longest are
    /// believed. Default 2^14, 512 KiB.
    pub max_holders: usize,
    /// Logins remembered. Beyond it the one not used for longest is forgotten and counts as
    /// anonymous. Default 2^16, some 4 MiB.
    pub max_logins: usize,
    /// Bytes per second sent to all clients; `None`: as fast as the machine sends.
    pub egress_bytes_per_second: Option<u64>,
    /// Until the first byte of a request head is complete. Closed beyond. Default 10 s in all.
    pub header_timeout: Duration,
    /// Between requests of a kept-alive connection. Closed beyond. Default 60 s.
    pub idle_timeout: Duration,
    /// A TLS handshake. Closed beyond. Default 10 s.
    pub handshake_timeout: Duration,
    /// Grace before the minimum rate of a request's content is enforced. Default 10 s.
    pub body_grace: Duration,
    /// The same for a response, and how long each span is over which that rate is measured. Default
    /// 10 s.
    pub response_grace: Duration,
    /// Bytes per second a body must move after the grace, in either direction. Default 500.
    pub min_body_bytes_per_second: u64,
    /// How long a drain waits for answers in flight. Default 30 s.
    pub drain_timeout: Duration,
    /// Waiting requests before one origin. 503 beyond. Default 1,024.
    pub max_origin_queue: usize,
    /// Longest wait before an origin. 503 beyond. Default 2 s (`detection.md` §6): who waited longer
    /// has mostly left, or asked again.
    pub origin_queue_timeout: Duration,
    /// Query parameters under watch per site, 112 bytes each. Beyond, the oldest is forgotten and
    /// learned again (`seawall_query_forgotten_total`). Default 4,096: eight lessons on each of
    /// 400 templates.
    pub max_query_records: usize,
    /// Pages per site that answers with unknown parameters are compared with, 64 bytes each. Beyond,
    /// the oldest is forgotten: no lesson there until it is stored again. Default 4,096.
    pub max_query_pages: usize,
    /// Parameter names per site that its own pages use, 9 bytes each. Beyond, the older half is
    /// forgotten until a page with them is stored again. Default 8,192: large sites use hundreds.
    pub max_query_names: usize,
    /// Paths per site that are known to answer, as many that are known to answer with a query, as many that
    /// its pages lead to, and as many pages whose links were read, 8 bytes each. Beyond, a newer one takes
    /// the place of an older of its kind, whose path counts as unknown while paths like it are flooded with.
    /// Default 16,384.
    pub max_known_paths: usize,
    /// What URLs may ask of an origin that are probably made up.
    pub made_up: MadeUpLimits,
    /// Kinds of pages of one origin whose cost is remembered. The least used is forgotten and counted
    /// (`seawall_origin_templates_forgotten_total`); what is not known costs what most do. Default
    /// 2,048, 48 KiB: a large WordPress site has some hundred.
    pub max_templates: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            shed_above_percent: 70,
            max_connections_of_one: 1_024,
            max_connections_of_prefix: 2_500,
            max_offences: 100,
            bar_time: Duration::from_secs(60),
            max_offenders: 1 << 14,
            max_head_bytes: 32 * 1024,
            max_fields: 128,
            max_target_bytes: 8 * 1024,
            max_body_bytes: 1024 * 1024 * 1024,
            max_hello_bytes: 16 * 1024,
            handshake_share_percent: 50,
            known_handshake_share_percent: 75,
            handshake_burst: Duration::from_millis(500),
            max_streams: 64,
            http2: Http2Limits::default(),
            max_pipelined_bytes: 64 * 1024,
            max_unsent_bytes: 128 * 1024,
            held_rate: PerSecond(50.0),
            held_burst: 500,
            origin_budget: PerSecond(100.0),
            reader_budget: PerSecond(400.0),
            origin_budget_burst: Duration::from_secs(4),
            max_budgets: 1 << 19,
            max_route_budgets: 1 << 16,
            max_clients: 1 << 17,
            max_sessions: 1 << 14,
            min_session: Duration::from_secs(10),
            max_holders: 1 << 14,
            max_logins: 1 << 16,
            egress_bytes_per_second: None,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            body_grace: Duration::from_secs(10),
            response_grace: Duration::from_secs(10),
            min_body_bytes_per_second: 500,
            drain_timeout: Duration::from_secs(30),
            max_origin_queue: 1_024,
            max_query_records: 4_096,
            max_query_pages: 4_096,
            max_query_names: 8_192,
            max_known_paths: 16_384,
            made_up: MadeUpLimits::default(),
            origin_queue_timeout: Duration::from_secs(2),
            max_templates: 2_048,
        }
    }
}

/// When a URL counts as probably made up, and how many of those an origin is asked for. They are: paths
/// that nobody has seen, like others that were not there, and URLs with a parameter that nobody vouches
/// for. Beyond, they are refused (`made_up`, `seawall_made_up_refused_total`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MadeUpLimits {
    /// Answers to paths of one shape, halved every 30 s, of which more than nine in ten were 404, that
    /// make the next one doubtful: it waits behind readers (`seawall_origin_doubtful_total`). Default
    /// 20: a crawler with an old map of the site asks for as many.
    pub min_answers: u32,
    /// The same while as many paths of that shape that nobody has seen are asked for as makes a flood.
    /// Default 6: of a site of which half of such paths are there, they are all 404 once in 64 times,
    /// and then the first good answer ends it.
    pub min_answers_in_flood: u32,
    /// Doubtful URLs, halved every 3 s, that are a flood if there are also twice as many as others that
    /// the origin is asked for. Default 150: about 35 a second for long, or as many at once; an origin
    /// has spare capacity for fewer.
    pub flood: u32,
    /// In a flood: how many of them go for each hundred others. Default 3.
    pub part_percent: u32,
    /// In a flood: how many of them go besides. Default one in ten seconds, so that a site without
    /// readers finds out too when paths are there again. Both, and what goes before the flood is seen, are
    /// to keep what an origin has to do in the first minute below a tenth more than without it.
    pub rate: PerSecond,
    /// How many of these may go at once. Default 4.
    pub burst: u32,
}

impl Default for MadeUpLimits {
    fn default() -> Self {
        Self {
            min_answers: 20,
            min_answers_in_flood: 6,
            flood: 150,
            part_percent: 3,
            rate: PerSecond(0.1),
            burst: 4,
        }
    }
}

/// What the frames of one HTTP/2 connection may ask for. Beyond any of these, but for those of a whole
/// life, the connection is closed (`ENHANCE_YOUR_CALM`) and the kind counted in
/// `seawall_wire_misbehaviour_total`. Counts are of
/// windows of 10 s, so that a reader who stays for hours is never refused; allowances that grow with
/// honest use are named at each field. Derived from Sozu 2.0.2, which allows in one second what is
/// allowed here in ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// RST_STREAM frames from the client, beyond half of its streams but for at most as many again
    /// (rapid reset, CVE-2023-44487: a reset for each stream). Default 60.
    pub max_resets: u64,
    /// RST_STREAM frames from the client over the whole life of a connection, which then says goodbye
    /// and ends when what is under way is answered; nobody is blamed unless twice
    /// [`Self::max_resets`] more come. Default 10,000.
    pub max_resets_in_all: u64,
    /// RST_STREAM frames the client provokes from us, beyond half of its streams but for at most as
    /// many again (MadeYouReset, CVE-2025-8671). Default 60. Those for want of memory are excused, as
    /// many in the life of a connection, which then says goodbye. Those beyond
    /// [`Self::max_held_bytes`] have a bound of their own and are not counted here.
    pub max_provoked_resets: u64,
    /// The same over the whole life of a connection, with an end like that of
    /// [`Self::max_resets_in_all`]. Default 500.
    pub max_provoked_resets_in_all: u64,
    /// CONTINUATION frames in one header block (CVE-2024-27316). Default 8.
    pub max_continuations: u32,
    /// Encoded bytes of one header block. Default 64 KiB.
    pub max_header_block_bytes: u32,
    /// SETTINGS frames, and acknowledgements of none of ours (CVE-2019-9515). Default 50.
    pub max_settings: u64,
    /// PING frames (CVE-2019-9512) and answers to none of ours, beyond one for each DATA frame sent,
    /// of which 900 count. Default 100.
    pub max_pings: u64,
    /// PRIORITY frames beyond four for each stream. Default 100.
    pub max_priorities: u64,
    /// DATA frames without content that do not end their stream (CVE-2019-9518). Default 100.
    pub max_empty_data: u64,
    /// WINDOW_UPDATE frames beyond four for each stream and each DATA frame sent. Default 400.
    pub max_window_updates: u64,
    /// GOAWAY frames and those of unknown types beyond four for each stream. Default 100.
    pub max_other_frames: u64,
    /// Payload of one frame: the SETTINGS_MAX_FRAME_SIZE we announce. Default 16,384.
    pub max_frame_bytes: u32,
    /// Bytes held for the streams under way: request heads with the bookkeeping of each field, and
    /// [`Self::stream_bytes`] for each stream (HTTP/2 Bomb, CVE-2026-49975). At the bound the connection
    /// says goodbye and refuses further streams, which a client may repeat elsewhere (RFC 9113 §8.7); if
    /// more than [`Limits::max_streams`] come, so many that the client must have known, it is closed.
    /// Default 208 KiB: with what is not counted at most 256 KiB, which `selftest` measures. Answers
    /// in hand are never refused: without room, nothing is kept of their requests. Nor are those read
    /// from disk, whose requests (up to 8 KiB each) are not counted meanwhile.
    pub max_held_bytes: usize,
    /// What a stream under way is counted with beside its head: its place in the library, its task, and
    /// its part of a fetch. No bound of its own. Default 6.5 KiB: a request that waits for its turn
    /// takes 6.3 KB without fields, one that waits for its content half of that (November 2026).
    pub stream_bytes: usize,
}

impl Http2Limits {
    /// What a request that waits takes for each name of a field beside its letters: hash, name, value and
    /// links (104 bytes), a place in the index (up to 11), and what the allocator adds to a short name.
    pub const NAME_BYTES: usize = 160;
}

impl Limits {
    /// What the largest request is counted with in [`Http2Limits::max_held_bytes`]: less would never let
    /// one through.
    pub const fn largest_http2_request(&self) -> usize {
        self.max_head_bytes + self.max_fields * Http2Limits::NAME_BYTES + self.http2.stream_bytes
    }
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            max_resets: 60,
            max_resets_in_all: 10_000,
            max_provoked_resets: 60,
            max_provoked_resets_in_all: 500,
            max_continuations: 8,
            max_header_block_bytes: 64 * 1024,
            max_settings: 50,
            max_pings: 100,
            max_priorities: 100,
            max_empty_data: 100,
            max_window_updates: 400,
            max_other_frames: 100,
            max_frame_bytes: 16 * 1024,
            max_held_bytes: 208 * 1024,
            stream_bytes: 6_656,
        }
    }
}
