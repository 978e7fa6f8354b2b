//! The table of every section and key that the configuration file may hold.
//!
//! One table serves the reader (what is unknown, what was probably meant) and `docs/config.md`
//! (its tables are generated from here), so that the two cannot drift apart. It deliberately does
//! **not** hold values: defaults live in `defaults`, and a test compares them with what is
//! written here.

/// Whether this version acts on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    /// It does.
    Now,
    /// It checks the value, says so, and does nothing more.
    Later,
}

/// How often a section may stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// `[name]`.
    Once,
    /// `[[name]]`.
    Many,
}

/// A section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SectionKey {
    /// Dotted path without brackets.
    pub(crate) path: &'static str,
    /// How often it may stand.
    pub(crate) times: Times,
    /// What it is for, for the documentation.
    pub(crate) about: &'static str,
}

/// A key with a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Dotted path: section and key.
    pub(crate) path: &'static str,
    /// What kind of value it takes, for the documentation.
    pub(crate) kind: &'static str,
    /// The default: a TOML value, or a remark in parentheses where no value says it.
    pub(crate) default: &'static str,
    /// What it does, for the documentation.
    pub(crate) about: &'static str,
    /// Whether this version acts on it.
    pub(crate) built: Built,
}

/// The names that may stand directly in `section` (`""` is the top of the file).
pub(crate) fn children(section: &str) -> impl Iterator<Item = &'static str> {
    let paths = KEYS.iter().map(|key| key.path).chain(SECTIONS.iter().map(|section| section.path));
    let section = section.to_owned();
    paths.filter_map(move |path| match path.rsplit_once('.') {
        Some((parent, name)) if parent == section => Some(name),
        None if section.is_empty() => Some(path),
        _ => None,
    })
}

/// The sections in which a key called `name` may stand.
pub(crate) fn homes(name: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(move |key| match key.path.rsplit_once('.') {
        Some((parent, last)) if last == name => Some(parent),
        None if key.path == name => Some(""),
        _ => None,
    })
}

/// A section's header as it is written in a file.
pub(crate) fn header(section: &str) -> String {
    match SECTIONS.iter().find(|known| known.path == section) {
        Some(SectionKey { times: Times::Many, .. }) => format!("[[{section}]]"),
        _ => format!("[{section}]"),
    }
}

/// The key at a path, if there is one.
pub(crate) fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// What the documentation says of a key or a section, as text for a terminal.
pub(crate) fn about(path: &str) -> Option<String> {
    if let Some(Key { kind, default, about, built, .. }) = key(path) {
        let default = default.trim_matches(['(', ')']);
        let later = match built {
            Built::Now => "",
            Built::Later => "\nThis version checks the value and does not act on it yet.",
        };
        return Some(format!("{path}\n\n{about}\n\nValue:   {kind}\nDefault: {default}{later}"));
    }
    let section = SECTIONS.iter().find(|section| section.path == path)?;
    let names: Vec<&str> = children(path).collect();
    Some(format!("{}\n\n{}\n\nKeys: {}", header(path), section.about, names.join(", ")))
}

const fn now(
    path: &'static str,
    kind: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { path, kind, default, about, built: Built::Now }
}

const fn later(
    path: &'static str,
    kind: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { path, kind, default, about, built: Built::Later }
}

const fn once(path: &'static str, about: &'static str) -> SectionKey {
    SectionKey { path, times: Times::Once, about }
}

const fn many(path: &'static str, about: &'static str) -> SectionKey {
    SectionKey { path, times: Times::Many, about }
}

/// Every section, in the order of the documentation.
pub(crate) const SECTIONS: &[SectionKey] = &[
    many("listen", "Where readers connect. At least one."),
    many(
        "tls",
        "Certificates, as many as wanted, chosen by SNI; the first is used where no name fits. Of several for one name ECDSA and Ed25519 go before RSA, whose signatures cost about 14 times as much. Files are watched and may be replaced while Seawall runs.",
    ),
    many("site", "What stands behind the shield. At least one."),
    once("site.cache", "What may be kept for everybody. Belongs to the `[[site]]` above it."),
    many(
        "site.route",
        "Where paths differ. The first rule whose path fits is used. Belongs to the `[[site]]` above it.",
    ),
    once(
        "site.origin_limits",
        "How hard and how patiently the origin is asked. Belongs to the `[[site]]` above it.",
    ),
    once("site.archive", "The always-online copy. Belongs to the `[[site]]` above it."),
    once("network", "Who is who on the network."),
    once(
        "limits",
        "Every bound. The defaults suit a public site; each has a counter in `/metrics`.",
    ),
    once(
        "log",
        "The access log: one JSON object a line, reader addresses shortened to /24 and /48.",
    ),
    once("admin", "How this program is watched and told things."),
    once("detect", "Detection of attacks."),
    once("mitigate", "What is done about attacks."),
    once("evidence", "The record of incidents."),
    once("fleet", "Several Seawalls that share what they know. It has no keys yet."),
];

/// Every key, in the order of the documentation.
pub(crate) const KEYS: &[Key] = &[
    now(
        "state_dir",
        "path",
        "(a private temporary folder, removed at the end)",
        "Cache, archive, evidence, keys and logs. One running program per folder.",
    ),
    now("workers", "whole number", "0", "Worker threads; `0` is one per core."),
    now(
        "memory",
        "size, or `auto`",
        "\"auto\"",
        "One budget for everything held in memory. `auto` is half of what is free at the start, aware of cgroup limits. At least `32MiB`.",
    ),
    now(
        "disk",
        "size",
        "\"10GiB\"",
        "One budget for cache, archive, evidence and logs on disk. At least `16MiB`.",
    ),
    now(
        "listen.address",
        "address and port",
        "(needed)",
        "For example `0.0.0.0:443` or `[::]:443`. Port 0 lets the system choose.",
    ),
    now(
        "listen.tls",
        "true or false",
        "false",
        "Whether TLS is spoken here, with HTTP/1.1 and HTTP/2.",
    ),
    now(
        "listen.proxy_protocol",
        "true or false",
        "false",
        "Whether connections from `network.trusted_proxies` begin with a PROXY v1 or v2 header.",
    ),
    now(
        "listen.public_port",
        "whole number",
        "(that of `address`)",
        "The port in readers' URLs where something before Seawall maps it to another (a container). A port in Host that is neither this, nor that of `address`, nor told by a proxy of `network.trusted_proxies` (PROXY header, `X-Forwarded-Port`) is left out, of keys and of what the origin is told.",
    ),
    now("tls.cert", "path", "(needed)", "PEM file with the certificate chain, leaf first."),
    now("tls.key", "path", "(needed)", "PEM file with the private key, without a passphrase."),
    later("tls.acme", "true or false", "false", "Fetch and renew the certificate by ACME."),
    now(
        "site.hosts",
        "list of host names",
        "(needed)",
        "`*` takes any host, `*.example.org` any one label.",
    ),
    now(
        "site.origin",
        "URL",
        "(needed)",
        "`http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:/PATH`.",
    ),
    now(
        "site.methods",
        "list of methods",
        "[]",
        "Methods the site takes; empty is all but CONNECT and TRACE. Others get 405.",
    ),
    now(
        "site.login_cookies",
        "list of cookie names",
        "(those of a WordPress login)",
        "Cookies that say who is logged in. A value counts once the site itself set it in answer to a login; what counts goes to the site first when it is busy. A list given here replaces the default.",
    ),
    now(
        "site.preserve_host",
        "true or false",
        "true",
        "Send the reader's `Host` to the origin; `false` sends the origin's own name.",
    ),
    now(
        "site.ca_file",
        "path",
        "(the system's)",
        "PEM file with the authorities that an `https://` origin's certificate may chain to.",
    ),
    now(
        "site.danger_accept_any_certificate",
        "true or false",
        "false",
        "Do not check the certificate of an `https://` origin. Whoever stands between can then read and change everything.",
    ),
    now(
        "site.cache.default_ttl",
        "duration",
        "\"10s\"",
        "How long a page is fresh whose origin says nothing about caching and sets no cookie; `0s` keeps no such page. At most `1d`.",
    ),
    now(
        "site.cache.negative_ttl",
        "duration",
        "\"10s\"",
        "The same for answers 404 and 410; `0s` keeps none. At most `1d`.",
    ),
    now(
        "site.cache.default_stale_while_revalidate",
        "duration",
        "\"60s\"",
        "How long after that such a page is still served while a new one is fetched. At most `1d`.",
    ),
    now(
        "site.cache.default_stale_if_error",
        "duration",
        "\"24h\"",
        "How long after that such a page is served when the origin fails. At most `30d`.",
    ),
    now(
        "site.cache.bypass_cookies",
        "list of cookie names",
        "(WordPress login, post password, comment author, WooCommerce, PHPSESSID)",
        "A request with one of these is answered by the origin alone. A list given here replaces the default.",
    ),
    now(
        "site.cache.harmless_cookies",
        "list of cookie names",
        "(common analytics and consent cookies)",
        "Cookies that change nothing on a page. Under `default_ttl` any other cookie keeps a request out of the shared cache. A list given here replaces the default.",
    ),
    now(
        "site.cache.query_keep",
        "list of query parameters",
        "[]",
        "Query parameters that always tell pages apart. Others that turn out to change nothing are left aside while a flood makes them up; `[\"*\"]` never does that.",
    ),
    now(
        "site.cache.query_ignore",
        "list of query parameters",
        "(marks of advertisers and newsletters: `utm_*`, `fbclid`, `gclid` and the like)",
        "Query parameters that tell no pages apart. The site is asked for shared pages without them. A list given here replaces the default.",
    ),
    now(
        "site.cache.max_object_bytes",
        "size or number of bytes",
        "\"64MiB\"",
        "Larger responses pass through and are not kept. `1KiB` to `1TiB`.",
    ),
    now("site.route.path", "path", "(needed)", "An exact path, or a prefix with `*` at its end."),
    now(
        "site.route.allow_sources",
        "list of CIDRs",
        "(all)",
        "Only these sources; an empty list is nobody. Others get 403.",
    ),
    now(
        "site.route.methods",
        "list of methods",
        "[]",
        "Only these methods; empty is those of the site.",
    ),
    now(
        "site.route.max_body_bytes",
        "size or number of bytes",
        "(`limits.max_body_bytes`)",
        "Largest content here. At most `1TiB`.",
    ),
    now(
        "site.route.lane",
        "`normal`, `costly`, `background` or `stream`",
        "\"normal\"",
        "How the origin works for it. `normal`: by who asks. `costly`: no more than a quarter of what the origin bears, for searches and reports. `background`: only while nobody waits, for what no reader waits for. `stream`: at once, beside WebSockets and event streams, for long polling.",
    ),
    now(
        "site.route.budget",
        "rate",
        "(no bound)",
        "How often one client may ask the origin for it: `10/min` is ten at once and ten in each minute. Beyond, 429. A /24 and a /48 have the budget of eight clients, a /56 that of four, more where known readers are; a Tor exit and a suspected CDN that of 64. Wider networks have none. Pages in the cache are not counted.",
    ),
    now(
        "site.origin_limits.min_concurrency",
        "whole number",
        "2",
        "The limit does not fall below so many requests at work in the origin at once, 1 to 65536; for a moment, when low load is measured, one by one. The same as \
         `max_concurrency`, or more, fixes the limit.",
    ),
    now(
        "site.origin_limits.max_concurrency",
        "whole number",
        "256",
        "Most requests at work in the origin at once, 1 to 65536. How many it bears up to there is \
         found by measuring. Sites on one origin share the least of theirs.",
    ),
    now(
        "site.origin_limits.connect_timeout",
        "duration",
        "\"3s\"",
        "To establish a connection, TLS included. `100ms` to `1m`.",
    ),
    now(
        "site.origin_limits.header_timeout",
        "duration",
        "\"30s\"",
        "From the end of the request to the head of the answer. `100ms` to `1h`.",
    ),
    now(
        "site.origin_limits.idle_timeout",
        "duration",
        "\"30s\"",
        "Between two reads of an answer's content. `100ms` to `1h`.",
    ),
    now(
        "site.origin_limits.total_timeout",
        "duration",
        "\"15m\"",
        "For a whole exchange, WebSockets excepted. `1s` to `1d`.",
    ),
    now(
        "site.origin_limits.max_idle",
        "whole number",
        "32",
        "Idle connections kept per worker, 0 to 4096.",
    ),
    now(
        "site.origin_limits.keep_alive",
        "duration",
        "\"30s\"",
        "How long an idle connection is kept. Keep it below the origin's own time-out. `1s` to `1h`.",
    ),
    now(
        "site.archive.enabled",
        "true or false",
        "(yes, where `site.hosts` names a host)",
        "Keep a copy of the whole site for the time when its origin cannot answer: see `docs/archive.md`.",
    ),
    now(
        "site.archive.url",
        "address",
        "(the first name in `site.hosts`, with https if a listener has `tls`)",
        "Scheme and host of the site as its readers know it.",
    ),
    now(
        "site.archive.seeds",
        "list of paths",
        "[\"/\", \"/sitemap.xml\"]",
        "Where the crawl begins, and what it fetches first.",
    ),
    now("site.archive.exclude", "list of paths", "[]", "What is not copied, with all below it."),
    now(
        "site.archive.max_rate",
        "whole number",
        "10",
        "Requests a second that the crawl makes at most; while the first pages are missing twice as many. It never takes capacity that readers want. 1 to 1000.",
    ),
    now(
        "site.archive.max_object_bytes",
        "size",
        "\"32MiB\"",
        "What is larger is not copied. `64KiB` to `1GiB`.",
    ),
    now(
        "site.archive.patience",
        "duration",
        "\"2s\"",
        "How long a reader of a copied page waits for the origin; after time-outs less, down to 300 ms. `300ms` to `1m`.",
    ),
    now(
        "site.archive.note",
        "text",
        "\"not_answering\"",
        "What a copy says of itself at its top: `not_answering`, `under_attack`, or nothing with `off`.",
    ),
    now(
        "site.archive.error_markers",
        "list of texts",
        "[]",
        "Texts by which an error page is known that comes with status 200: it is not copied, and readers get the copy instead.",
    ),
    now(
        "site.archive.mirrors",
        "list of addresses",
        "[]",
        "Other addresses of the site, named on pages that say it cannot be read.",
    ),
    now(
        "site.archive.onion",
        "address",
        "(none)",
        "The site's onion address, told to Tor Browser in `Onion-Location`.",
    ),
    now(
        "network.trusted_proxies",
        "list of CIDRs",
        "[]",
        "Peers whose `Forwarded`, `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Port` and PROXY headers count. Nobody else's do, not even loopback's. Each must set or remove what its own clients send of these.",
    ),
    now(
        "network.allow",
        "list of CIDRs",
        "[]",
        "Sources that are always admitted and never counted.",
    ),
    now("network.deny", "list of CIDRs", "[]", "Sources that are refused at accept."),
    now(
        "network.deny_ja4",
        "list of JA4 fingerprints",
        "[]",
        "TLS clients that are refused at their hello, before any cryptography: whole fingerprints, or how they begin with `*` at the end. The access log has them; browsers share theirs with many readers.",
    ),
    now(
        "network.country_db",
        "path",
        "(none)",
        "File with the countries that networks are registered in: a MaxMind database (`.mmdb`: GeoLite2, DB-IP, IPinfo), or lines of `network,CC`, `first,last,CC` (DB-IP) or, between tabs, `first last CC` or `first last number CC` (iptoasn.com, the same file as for `asn_db`). Shown in `seawall status`; nothing is decided by it. Read at the start and on reload; 12 bytes of memory for a range of IPv4, 48 for one of IPv6.",
    ),
    now(
        "network.asn_db",
        "path",
        "(none)",
        "File with networks and the number of the autonomous system that owns them: a MaxMind database (`.mmdb`), or lines of `network,number,…` (GeoLite2 ASN) or, between tabs, `first last number …` (iptoasn.com). Read at the start and on reload.",
    ),
    now(
        "network.tor_exits",
        "path",
        "(none)",
        "Text file with Tor exits, an address or network a line, or in the form of `exit-addresses`. They have a tenth of the site's work for themselves. Read at the start and on reload.",
    ),
    now(
        "network.crawlers",
        "path",
        "(none)",
        "Text file with the networks of crawlers that are to come through, an address or network a line, or a list of prefixes as search engines publish them (JSON, one prefix a line). Under attack they are neither tested nor put behind others; all else holds for them as for everybody. A name in `User-Agent` counts for nothing. Read at the start and on reload.",
    ),
    now(
        "limits.max_connections",
        "whole number",
        "(half of the open-file limit)",
        "Open client connections in all; new ones are closed. 16 to 10000000.",
    ),
    now(
        "limits.max_connections_of_one",
        "whole number",
        "1024",
        "Open client connections of one IPv4 address or IPv6 /64; new ones are closed. 1 to 10000000.",
    ),
    now(
        "limits.max_connections_of_prefix",
        "whole number",
        "(a quarter of `max_connections`)",
        "Open client connections of one IPv4 /24 or IPv6 /48; new ones are closed, but for those of a suspected CDN. 1 to 10000000.",
    ),
    now(
        "limits.max_offences",
        "whole number",
        "100",
        "Points for broken protocols, halved every 30 s, at which an address gets no new connections for `bar_time`: 30 for a flood of frames, 2 for an ambiguous message, 1 for a slow one. Addresses with known readers behind them may have as many times more. 1 to 1000000.",
    ),
    now("limits.bar_time", "duration", "\"60s\"", "How long that lasts. `1s` to `1h`."),
    now(
        "limits.max_offenders",
        "whole number",
        "16384",
        "Such addresses remembered, 24 bytes each; beyond, the one with the fewest points is forgotten. 64 to 16777216.",
    ),
    now(
        "limits.max_head_bytes",
        "size or number of bytes",
        "\"32KiB\"",
        "Request line and header fields together; 431 beyond. `1KiB` to `1MiB`.",
    ),
    now("limits.max_fields", "whole number", "128", "Header field lines; 431 beyond. 10 to 10000."),
    now(
        "limits.max_target_bytes",
        "size or number of bytes",
        "\"8KiB\"",
        "Path and query; 414 beyond. `256B` to `max_head_bytes`.",
    ),
    now(
        "limits.max_body_bytes",
        "size or number of bytes",
        "\"1GiB\"",
        "Content of a request; 413 beyond. At most `1TiB`.",
    ),
    now(
        "limits.max_hello_bytes",
        "size or number of bytes",
        "\"16KiB\"",
        "TLS ClientHello; closed beyond. `1KiB` to `64KiB`.",
    ),
    now(
        "limits.handshake_share",
        "whole number",
        "50",
        "Percent of a core, per worker, for TLS handshakes of unknown clients; closed beyond, before any cryptography. Under pressure one network of them (/24, /48) has a sixteenth of it. 1 to 100.",
    ),
    now(
        "limits.known_handshake_share",
        "whole number",
        "75",
        "The same for all; what is above the other is for networks where readers are known, and for session tickets. 1 to 100; never less than `handshake_share`.",
    ),
    now(
        "limits.handshake_burst",
        "duration",
        "\"500ms\"",
        "Processor time that handshakes may spend at once. `10ms` to `1m`.",
    ),
    now(
        "limits.max_streams",
        "whole number",
        "64",
        "Concurrent HTTP/2 streams of one connection. 1 to 1000.",
    ),
    now(
        "limits.http2_max_held_bytes",
        "size or number of bytes",
        "\"208KiB\"",
        "What an HTTP/2 connection holds for requests that wait; beyond, it says goodbye and further ones are refused, which browsers repeat on another. More helps where a proxy in front sends many readers over one connection. `64KiB` to `64MiB`, and at least `max_head_bytes` and 160 bytes for each of `max_fields`, and 7 KiB.",
    ),
    now(
        "limits.http2_max_resets",
        "whole number",
        "60",
        "Streams that the client of an HTTP/2 connection may reset in ten seconds, beyond half of its streams; closed beyond. 10 to 1000000.",
    ),
    now(
        "limits.http2_max_resets_in_all",
        "whole number",
        "10000",
        "The same over the whole life of a connection, which then ends with a goodbye. 10 to 1000000.",
    ),
    now(
        "limits.http2_max_provoked_resets",
        "whole number",
        "60",
        "Streams that it makes Seawall reset in ten seconds, beyond half of its streams; closed beyond. 10 to 1000000.",
    ),
    now(
        "limits.http2_max_provoked_resets_in_all",
        "whole number",
        "500",
        "The same over the whole life of a connection, which then ends with a goodbye. 10 to 1000000.",
    ),
    now(
        "limits.http2_max_pings",
        "whole number",
        "100",
        "PING frames in ten seconds, beyond one for each DATA frame sent; closed beyond. 10 to 1000000.",
    ),
    now(
        "limits.http2_max_window_updates",
        "whole number",
        "400",
        "WINDOW_UPDATE frames in ten seconds, beyond four for each stream and each DATA frame sent; closed beyond. 10 to 1000000.",
    ),
    now(
        "limits.held_rate",
        "rate",
        "\"50/s\"",
        "Requests of one identity for pages that Seawall holds; 429 beyond. An address where more than one reader is known has as many times that on top, 64 at most, a Tor exit 64 times. `1/s` to `1000000/s`.",
    ),
    now("limits.held_burst", "whole number", "500", "How many of them at once. 1 to 1000000."),
    now(
        "limits.origin_budget",
        "whole number",
        "100",
        "Milliseconds of the site's work per second that one anonymous reader may cause; a prefix has that of 4, 8 or 64, or of as many readers as are known there. Beyond, it waits behind others, and gets a 429 while others wait. 1 to 1000000.",
    ),
    now(
        "limits.reader_budget",
        "whole number",
        "400",
        "The same for the holder of a credential. Who was known for a day or is signed in waits with everybody else beyond it, and gets no 429. 1 to 1000000.",
    ),
    now(
        "limits.origin_budget_burst",
        "duration",
        "\"4s\"",
        "How far such a budget may be overdrawn, as the time that pays it back. `100ms` to `1min`.",
    ),
    now(
        "limits.max_budgets",
        "whole number",
        "524288",
        "Such budgets remembered, 16 bytes each; beyond, the one that owes least is forgotten. 1024 to 16777216.",
    ),
    now(
        "limits.max_route_budgets",
        "whole number",
        "65536",
        "Budgets of routes remembered, 16 bytes each; beyond, the one that owes least is forgotten. 1024 to 16777216.",
    ),
    now(
        "limits.max_clients",
        "whole number",
        "131072",
        "Clients told apart, 40 bytes each: addresses, what they look like, holders of credentials. Beyond, the least used are forgotten, and what they asked for counts by hash. 1024 to 16777216.",
    ),
    now(
        "limits.egress",
        "speed",
        "(as fast as the machine sends)",
        "Bytes sent to all readers together, for example `100Mbit/s`. Pages go before large files. `1Mbit/s` to `1000Gbit/s`.",
    ),
    now(
        "limits.header_timeout",
        "duration",
        "\"10s\"",
        "For a whole request head; closed beyond. `1s` to `5m`.",
    ),
    now(
        "limits.idle_timeout",
        "duration",
        "\"60s\"",
        "Between two requests of a connection; closed beyond. `1s` to `1h`.",
    ),
    now(
        "limits.handshake_timeout",
        "duration",
        "\"10s\"",
        "For a TLS handshake; closed beyond. `1s` to `1m`.",
    ),
    now(
        "limits.body_grace",
        "duration",
        "\"10s\"",
        "How long a request's content may crawl before its rate counts. `1s` to `5m`.",
    ),
    now(
        "limits.response_grace",
        "duration",
        "\"10s\"",
        "The same for an answer that its reader takes slowly. `1s` to `5m`.",
    ),
    now(
        "limits.min_body_bytes_per_second",
        "size or number of bytes",
        "500",
        "What a body must move after the grace, either way; closed below. `1B` to `1MiB`.",
    ),
    now(
        "limits.drain_timeout",
        "duration",
        "\"30s\"",
        "How long a stop waits for answers in flight. `0s` to `1h`.",
    ),
    now(
        "limits.max_origin_queue",
        "whole number",
        "1024",
        "Requests waiting before one origin; 503 beyond. 0 to 1000000.",
    ),
    now(
        "limits.origin_queue_timeout",
        "duration",
        "\"2s\"",
        "How long one of them waits; 503 beyond. `100ms` to `5m`.",
    ),
    now(
        "log.enabled",
        "true or false",
        "true",
        "Whether there is an access log, under `state_dir`.",
    ),
    now(
        "log.max_bytes",
        "size or number of bytes",
        "\"256MiB\"",
        "Kept over all its files; the oldest go first. `1MiB` to `1TiB`.",
    ),
    now(
        "log.refusals_per_second",
        "whole number",
        "10",
        "Refusals written in one second; the rest is counted. 0 to 1000000.",
    ),
    now(
        "admin.socket",
        "path",
        "(`admin.sock` in `state_dir`)",
        "Unix socket for `seawall status`, `seawall purge` and `seawall pass`.",
    ),
    now(
        "admin.address",
        "address and port",
        "(none)",
        "JSON API and `/metrics` over HTTP, for example `127.0.0.1:9180`. Loopback, unless `token_file` is given.",
    ),
    now(
        "admin.token_file",
        "path",
        "(none)",
        "File with the bearer token for `admin.address`: at least 16 visible ASCII characters.",
    ),
    now(
        "detect.enabled",
        "true or false",
        "true",
        "Whether attacks are looked for. Without it cache, limits and lists protect the site as before, and nothing learns what is ordinary.",
    ),
    now(
        "mitigate.mode",
        "`act` or `observe`",
        "\"act\"",
        "Whether what is found is acted on, or only said in log, status and metrics.",
    ),
    later(
        "evidence.retention",
        "duration",
        "\"30d\"",
        "How long full addresses of an incident are kept. `1d` to `3650d`.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_path_is_unique_and_stands_in_a_known_section() {
        let mut seen = HashSet::new();
        for path in
            KEYS.iter().map(|key| key.path).chain(SECTIONS.iter().map(|section| section.path))
        {
            assert!(seen.insert(path), "{path} twice");
            if let Some((parent, _)) = path.rsplit_once('.') {
                assert!(SECTIONS.iter().any(|section| section.path == parent), "{path}");
            }
        }
    }

    #[test]
    fn what_weakens_protection_is_named_danger() {
        for key in KEYS {
            if key.about.contains("Do not check") {
                assert!(key.path.contains(".danger_"), "{}", key.path);
            }
        }
    }
}
