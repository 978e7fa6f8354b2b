//! Keys of `[network]`.

use super::{Key, now};

/// In the order of the documentation.
pub(super) const KEYS: &[Key] = &[
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
        "network.hosting",
        "path",
        "(none)",
        "Text file with the networks of machines for rent, an address or network a line, `AS64500` for all of an autonomous system (needs `asn_db`), or a list of prefixes as providers publish them (JSON, one prefix a line). For incident reports, which say how much came through such networks; nothing is decided by it. Read at the start and on reload.",
    ),
];
