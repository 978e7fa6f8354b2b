//! Keys of the program as a whole, of `[[listen]]` and of `[[tls]]`.

use super::{Key, later, now};

/// In the order of the documentation.
pub(super) const KEYS: &[Key] = &[
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
];
