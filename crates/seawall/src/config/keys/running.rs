//! Keys of what goes on beside the serving: `[log]`, `[admin]`, `[detect]`, `[mitigate]`, `[evidence]`.

use super::{Key, now};

/// In the order of the documentation.
pub(super) const KEYS: &[Key] = &[
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
    now(
        "evidence.enabled",
        "true or false",
        "true",
        "Whether incidents are recorded, under `state_dir`. Attacks have to be looked for (`detect.enabled`).",
    ),
    now(
        "evidence.retention",
        "duration",
        "\"30d\"",
        "How long full addresses stay in an incident's record at most. When records take half of their part of `disk`, older ones make room. `1d` to `3650d`.",
    ),
    now(
        "evidence.record_retention",
        "duration",
        "\"365d\"",
        "How long an incident's record is kept at most, with all that is in it, unless a file `pinned` lies beside it. `1d` to `3650d`.",
    ),
    now(
        "evidence.encrypt_to",
        "list of age recipients",
        "[]",
        "Public keys (`age1…`, as `age-keygen` prints them) that full addresses are encrypted to, each alone able to read them; none: they are written in the open. Keep the secret keys on another machine. Read at the start, not on reload.",
    ),
    now(
        "evidence.timestamp_authority",
        "`https://HOST[:PORT]/PATH` or `http://…`",
        "(none)",
        "Who is asked for a stamp of the time (RFC 3161) when a record ends, and once an hour while it goes on. It learns a digest and this machine's address; its answer is kept in the record. Read at the start, not on reload.",
    ),
];
