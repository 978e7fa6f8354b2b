//! The typed configuration: it cannot be invalid.
//!
//! Made by `seawall` from the file (parse, don't validate); read by every part of the edge. Holds
//! no file syntax, and only the defaults that do not depend on the machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use seawall_cache::{CookiePatterns, SitePolicy};
use seawall_control::Mode;
use seawall_decide::{Countries, Hosting, Ja4Rule, Owners, RouteBudget, RouteLane};
use seawall_model::{Limits, Method, Prefix, WallTime};
use seawall_seal::Recipient;

/// Everything `serve` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where cache, keys and logs live. One running process per folder.
    pub state_dir: PathBuf,
    /// Whether `state_dir` was made up for this run and is removed at its end.
    pub state_is_temporary: bool,
    /// Worker threads; at least 1.
    pub workers: usize,
    /// Bytes of memory for everything.
    pub memory_bytes: u64,
    /// A reading of the memory in use, in place of what the system says; for tests.
    pub memory_reading: Option<Arc<AtomicU64>>,
    /// Bytes of disk for cache, archive, evidence and logs together.
    pub disk_bytes: u64,
    /// Listening sockets; at least one.
    pub listen: Vec<Listen>,
    /// Certificates, chosen by SNI; the first is the default. Not empty if any listener has TLS.
    pub tls: Vec<Certificate>,
    /// Sites; at least one.
    pub sites: Vec<Site>,
    /// Whether archives are filled from their origins. Not while a command only puts something into them.
    pub is_crawling: bool,
    /// Peers whose forwarded addresses are believed.
    pub trusted_proxies: Vec<Prefix>,
    /// Sources always admitted and never counted.
    pub allow: Vec<Prefix>,
    /// Sources refused at accept.
    pub deny: Vec<Prefix>,
    /// Fingerprints of TLS clients refused at their hello.
    pub deny_ja4: Vec<Ja4Rule>,
    /// Tor exits, by the operator's list.
    pub tor_exits: Vec<Prefix>,
    /// Crawlers that mitigations do not touch, by the operator's list.
    pub crawlers: Vec<Prefix>,
    /// Who networks belong to, by the operator's list.
    pub owners: Arc<Owners>,
    /// Where networks are registered, by the operator's list.
    pub countries: Arc<Countries>,
    /// Networks of machines for rent, by the operator's list.
    pub hosting: Arc<Hosting>,
    /// What was read of lists, for status.
    pub lists: Vec<List>,
    /// All bounds.
    pub limits: Limits,
    /// The admin socket.
    pub admin_socket: Option<PathBuf>,
    /// The admin address: JSON API and `/metrics`. Loopback, or a token is set.
    pub admin_address: Option<SocketAddr>,
    /// Bearer token for the admin address, read from a file.
    pub admin_token: Option<String>,
    /// The access log.
    pub log: AccessLog,
    /// Detection of attacks.
    pub detect: Detect,
    /// What is done about them.
    pub mitigate: Mitigate,
    /// What is recorded of them.
    pub evidence: Evidence,
    /// SHA-256 of the file that this was read from, if it was.
    pub file_sha256: Option<String>,
}

/// What is recorded of attacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Whether anything is.
    pub enabled: bool,
    /// How long full addresses are kept, and how long a record at least where room is needed. Default 30 days.
    pub retention: Duration,
    /// How long a record is kept at most, unless it is pinned. Default a year.
    pub record_retention: Duration,
    /// Who alone can read full addresses; empty: they are written in the open.
    pub encrypt_to: Vec<Recipient>,
    /// Who is asked for stamps of the time on records; `None`, the default: nobody.
    pub timestamp_authority: Option<TimestampAuthority>,
}

impl Default for Evidence {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            enabled: true,
            retention: 30 * day,
            record_retention: 365 * day,
            encrypt_to: Vec::new(),
            timestamp_authority: None,
        }
    }
}

/// An authority for stamps of the time (RFC 3161), over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampAuthority {
    /// As the operator wrote it, and as a record names it.
    pub url: String,
    /// Where it is reached; no unix socket.
    pub target: OriginTarget,
    /// Path and query: `/tsa`.
    pub path: String,
}

/// Detection of attacks. There is nothing in it to tune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detect {
    /// Whether attacks are looked for.
    pub enabled: bool,
}

impl Default for Detect {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// What is done about attacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mitigate {
    /// Whether anything is.
    pub mode: Mode,
}

impl Config {
    /// What holds on any machine, with state in `state_dir`; neither a listener nor a site yet. The
    /// sizes (one worker, 64 MiB of memory, 256 MiB of disk) are the least that is of use.
    pub fn in_folder(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            state_is_temporary: false,
            workers: 1,
            memory_bytes: 64 << 20,
            memory_reading: None,
            disk_bytes: 256 << 20,
            listen: Vec::new(),
            tls: Vec::new(),
            sites: Vec::new(),
            is_crawling: true,
            trusted_proxies: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            deny_ja4: Vec::new(),
            tor_exits: Vec::new(),
            crawlers: Vec::new(),
            hosting: Arc::default(),
            owners: Arc::default(),
            countries: Arc::default(),
            lists: Vec::new(),
            limits: Limits::default(),
            admin_socket: None,
            admin_address: None,
            admin_token: None,
            log: AccessLog::default(),
            detect: Detect::default(),
            mitigate: Mitigate::default(),
            evidence: Evidence::default(),
            file_sha256: None,
        }
    }
}

/// What was read of one of the operator's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// Its key in the section `network`.
    pub name: &'static str,
    /// Networks or ranges in it; 0 if it could not be read.
    pub entries: usize,
    /// When the file was written, if that is known.
    pub written: Option<WallTime>,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Whether TLS is spoken here.
    pub tls: bool,
    /// Whether connections from trusted proxies begin with a PROXY v1/v2 header.
    pub proxy_protocol: bool,
    /// The port in readers' URLs, where it is another than that of `address`.
    pub public_port: Option<u16>,
}

/// One certificate chain with its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// One site behind the shield.
#[derive(Clone, Debug)]
pub struct Site {
    /// Host names, lower case, without port; `*` takes any host, `*.example.org` any one label.
    pub hosts: Vec<String>,
    /// Where the site lives.
    pub origin: Origin,
    /// What may be cached and for whom.
    pub cache: SitePolicy,
    /// Cookies that say who is logged in: their values count once the origin set them on a login.
    /// Default: those of WordPress.
    pub login_cookies: CookiePatterns,
    /// Path rules, first match wins.
    pub routes: Vec<Route>,
    /// Methods the site takes; empty: all but CONNECT and TRACE.
    pub methods: Vec<Method>,
    /// How the always-online copy is kept; `None`: not at all.
    pub archive: Option<SiteArchive>,
}

/// How the always-online copy of a site is kept and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteArchive {
    /// Scheme and host of the URLs that are copied, as readers know them: `https://example.org`.
    pub base: String,
    /// Where the crawl begins, and what it fetches first; paths.
    pub seeds: Vec<String>,
    /// Paths that are not copied, with all below them.
    pub exclude: Vec<String>,
    /// Requests a second that the crawl makes at most. Default 10.
    pub max_rate: u32,
    /// Bytes on disk.
    pub max_bytes: u64,
    /// Bytes of one object that is copied. Default 32 MiB.
    pub max_object_bytes: usize,
    /// How long a reader of a page that is copied waits for the origin. Default 2 s.
    pub patience: Duration,
    /// What is said on a copy.
    pub note: ArchiveNote,
    /// Texts by which an error page is known that comes with status 200.
    pub error_markers: Vec<String>,
    /// Other addresses of the site, named where it cannot be read.
    pub mirrors: Vec<String>,
    /// The site's onion address, as `http://….onion`.
    pub onion: Option<String>,
}

impl SiteArchive {
    /// The defaults for the site at `base`, within `max_bytes` on disk.
    pub fn new(base: String, max_bytes: u64) -> Self {
        Self {
            base,
            seeds: SEEDS.map(str::to_owned).to_vec(),
            exclude: Vec::new(),
            max_rate: 10,
            max_bytes,
            max_object_bytes: 32 << 20,
            patience: Duration::from_secs(2),
            note: ArchiveNote::NotAnswering,
            error_markers: Vec::new(),
            mirrors: Vec::new(),
            onion: None,
        }
    }
}

/// Where most sites say what they have.
const SEEDS: [&str; 2] = ["/", "/sitemap.xml"];

/// What a copy says of itself to its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveNote {
    /// Nothing that is seen.
    Off,
    /// That the site is not answering, and of when the copy is.
    #[default]
    NotAnswering,
    /// That the site is under attack, and of when the copy is.
    UnderAttack,
}

impl Site {
    /// A site without rules of its own that answers to `hosts`.
    pub fn new(hosts: Vec<String>, origin: Origin) -> Self {
        let cache = SitePolicy::default();
        let login_cookies = CookiePatterns::new(LOGIN_COOKIES);
        let (routes, methods) = (Vec::new(), Vec::new());
        Self { hosts, origin, cache, login_cookies, routes, methods, archive: None }
    }

    /// What the site is called where it has to be told from others: its first host.
    pub(crate) fn name(&self) -> &str {
        self.hosts.first().map_or("", String::as_str)
    }
}

/// Of WordPress: the second is sent below `/wp-admin/` only.
const LOGIN_COOKIES: [&str; 2] = ["wordpress_logged_in_*", "wordpress_sec_*"];

/// An origin server and how long it may take.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where to connect.
    pub target: OriginTarget,
    /// Whether to send the client's Host (`true`, the default) or the origin's own authority.
    pub preserve_host: bool,
    /// Lower end of the limit on requests at work in the origin at once. Default 2. Equal to the upper end the
    /// limit is fixed.
    pub min_concurrency: usize,
    /// Upper end of the limit on requests at work, which is found by measuring. Default 256.
    pub max_concurrency: usize,
    /// To establish a connection, TLS included. Default 3 s.
    pub connect_timeout: Duration,
    /// From the end of the request to the response head. Default 30 s.
    pub header_timeout: Duration,
    /// Between two reads of a response body. Default 30 s.
    pub idle_timeout: Duration,
    /// For a whole exchange, upgrades excepted. Default 15 min.
    pub total_timeout: Duration,
    /// Idle connections kept per worker. Default 32.
    pub max_idle: usize,
    /// How long an idle connection is kept. Default 30 s.
    pub keep_alive: Duration,
    /// PEM file with the certificates an https origin may chain to; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Accept any certificate of an https origin.
    pub danger_accept_any_certificate: bool,
}

impl Origin {
    /// The origin at `target`, with the defaults.
    pub fn at(target: OriginTarget) -> Self {
        Self {
            target,
            preserve_host: true,
            min_concurrency: 2,
            max_concurrency: 256,
            connect_timeout: Duration::from_secs(3),
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(15 * 60),
            max_idle: 32,
            keep_alive: Duration::from_secs(30),
            ca_file: None,
            danger_accept_any_certificate: false,
        }
    }
}

/// Where an origin is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginTarget {
    /// Plain HTTP/1.1.
    Http {
        /// Host name or address literal (IPv6 without brackets).
        host: String,
        /// Port.
        port: u16,
    },
    /// HTTP/1.1 over TLS.
    Https {
        /// Host name or address literal; also the SNI and the name verified.
        host: String,
        /// Port.
        port: u16,
    },
    /// HTTP/1.1 over a unix socket.
    Unix(PathBuf),
}

/// What a path may do.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Path prefix, or an exact path when it does not end in `*`.
    pub path: String,
    /// Only these sources; `None`: all; empty: nobody.
    pub allow_sources: Option<Vec<Prefix>>,
    /// Only these methods; empty: all.
    pub methods: Vec<Method>,
    /// Largest content here; `None`: `limits.max_body_bytes`.
    pub max_body_bytes: Option<u64>,
    /// How the origin works for it.
    pub lane: RouteLane,
    /// How often one client may ask for it; `None`: as often as it likes.
    pub budget: Option<RouteBudget>,
}

/// How the access log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Whether there is one.
    pub enabled: bool,
    /// Bytes kept over all files. Default 256 MiB.
    pub max_bytes: u64,
    /// Refusals written per second at most; the rest is counted. Default 10.
    pub refusals_per_second: u32,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { enabled: true, max_bytes: 256 << 20, refusals_per_second: 10 }
    }
}
