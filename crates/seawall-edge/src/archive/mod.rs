//! The always-online copy of each site: opened here, filled by the crawler, shown where the origin
//! cannot answer.
//!
//! It does **not** know the form of packages or what is worth fetching: `seawall-archive` does. Looking
//! into it blocks on the disk, so readers' requests do so on a blocking thread.

mod crawl;
pub(crate) mod elsewhere;
mod fallback;
pub(crate) mod import;
mod stand_in;
pub(crate) mod view;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use seawall_archive::{
    Archive, ArchiveError, ArchiveOptions, FoundBy, KeepPolicy, Repaired, Scope, ScopeRules,
};
use seawall_cache::Key;
use seawall_decide::{Breaker, BreakerConfig, BreakerState, OriginOutcome};
use seawall_model::{Instant, WallTime};
use seawall_seal::{KeyError, SigningKey};
use tokio::sync::Semaphore;

pub(crate) use self::crawl::{CrawlView, Crawler};
pub(crate) use self::fallback::{concerns, obtain};
use self::stand_in::Ready;
pub(crate) use self::stand_in::note_style;
pub use self::view::{archive_status, archived_page};
use crate::clock;
use crate::config::{Config, Site, SiteArchive};
use crate::state_file::{self, write_whole};

/// The copy of one site.
pub(crate) struct SiteCopy {
    pub(crate) archive: Archive,
    pub(crate) settings: SiteArchive,
    /// All names that the site is known by.
    hosts: Vec<String>,
    breaker: Mutex<Breaker>,
    /// URLs that readers were served, for the crawler to look at.
    wishes: Mutex<VecDeque<String>>,
    ready: Ready,
    /// Who may read from the disk at once for readers.
    places: Semaphore,
    /// Withdrawn by the operator in this process's life, whatever the disk says to it.
    hidden: Mutex<HashSet<String>>,
    /// Which URLs an import may bring; nothing while there is none.
    import_scope: Mutex<Option<Scope>>,
    crawl: Mutex<CrawlView>,
    served: AtomicU64,
}

/// As many as read from a disk at once to good effect.
const MAX_PLACES: usize = 16;
/// More are forgotten: the crawler finds most pages by itself.
const MAX_WISHES: usize = 1_024;

/// Why the copies cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveOpenError {
    /// The key that signs cannot be read or made.
    #[error("cannot use the sealing key `{path}`: {source}")]
    Key {
        /// Its file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Opens the copies of all sites that have one, in the order of the sites. Damage is mended and said in the
/// log; of a site whose archive cannot be opened all the same, as on a full disk, there is none until the
/// next start: the site itself must be read.
pub(crate) fn open_all(config: &Config) -> Vec<Option<Arc<SiteCopy>>> {
    let none = || vec![None; config.sites.len()];
    if config.sites.iter().all(|site| site.archive.is_none()) {
        return none();
    }
    let key = match sealing_key(&config.state_dir) {
        Ok(key) => Arc::new(key),
        Err(error) => {
            tracing::error!("{error}; there are no archived copies until the next start");
            return none();
        }
    };
    let open = |site: &Site| {
        let settings = site.archive.as_ref()?;
        let key = Arc::clone(&key);
        let copy = SiteCopy::open(&config.state_dir, settings.clone(), &site.hosts, key);
        copy.map(Arc::new)
            .inspect_err(|error| {
                let site = &settings.base;
                tracing::error!(site, "there is no archived copy until the next start: {error}");
            })
            .ok()
    };
    config.sites.iter().map(open).collect()
}

/// Where the archive of the site at `base` lies below the state folder.
pub fn archive_dir(state_dir: &Path, base: &str) -> PathBuf {
    let host = base.split("://").nth(1).unwrap_or(base);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let name: String = host.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    state_dir.join("archive").join(name)
}

/// The host of a base, such as `https://example.org:8443`, without its port.
fn host_of(base: &str) -> &str {
    let authority = base.split("://").nth(1).unwrap_or(base);
    // An IPv6 address has colons of its own, within brackets.
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

/// How archives are kept with these settings.
pub fn archive_options(settings: &SiteArchive) -> ArchiveOptions {
    let mut options = ArchiveOptions::new(settings.max_bytes);
    options.max_body_bytes = settings.max_object_bytes;
    // Small budgets get small packages, so that there is room to write one anew.
    options.package_bytes = options.package_bytes.min(settings.max_bytes / 8).max(1 << 20);
    options
}

/// The key of this installation that signs archives; made if there is none.
///
/// # Errors
/// What the system says, or that the file holds no key: a key is never replaced behind the operator's
/// back, because what it signed could not be told from what others signed any more.
pub fn sealing_key(state_dir: &Path) -> Result<SigningKey, ArchiveOpenError> {
    let path = state_dir.join("sealing-key.pem");
    let fail = |source| ArchiveOpenError::Key { path: path.display().to_string(), source };
    let none = |error: KeyError| fail(io::Error::new(io::ErrorKind::InvalidData, error));
    if let Some(bytes) = state_file::read(&path).map_err(fail)? {
        return SigningKey::from_pem(&String::from_utf8_lossy(&bytes)).map_err(none);
    }
    let key = SigningKey::generate().map_err(none)?;
    let pem = key.to_pem().map_err(none)?;
    write_whole(&path, pem.as_bytes()).map_err(fail)?;
    Ok(key)
}

impl SiteCopy {
    fn open(
        state_dir: &Path,
        settings: SiteArchive,
        hosts: &[String],
        key: Arc<SigningKey>,
    ) -> Result<Self, ArchiveError> {
        let mut names = vec![host_of(&settings.base).to_owned()];
        names.extend(hosts.iter().filter(|host| !host.contains('*')).cloned());
        let dir = archive_dir(state_dir, &settings.base);
        let options = archive_options(&settings);
        let (archive, repaired) = Archive::open(&dir, options, key, clock::wall())?;
        tell_repaired(&settings.base, &repaired);
        let breaker =
            Breaker::new(BreakerConfig { patience: settings.patience, ..BreakerConfig::default() });
        Ok(Self {
            archive,
            settings,
            hosts: names,
            breaker: Mutex::new(breaker),
            wishes: Mutex::default(),
            ready: Ready::default(),
            places: Semaphore::new(MAX_PLACES),
            hidden: Mutex::default(),
            import_scope: Mutex::default(),
            crawl: Mutex::default(),
            served: AtomicU64::new(0),
        })
    }

    /// The URL under which a page of this key is copied: scheme and host are those of the site, whatever
    /// of its hosts the reader came by. `None` for what has no place there.
    pub(crate) fn url_of(&self, key: &Key) -> Option<String> {
        let mut url = self.settings.base.clone();
        url.push_str(std::str::from_utf8(key.path()).ok()?);
        if let Some(query) = key.query() {
            url.push('?');
            url.push_str(std::str::from_utf8(query).ok()?);
        }
        seawall_archive::normal_url(None, &url)
    }

    /// The URL under which is copied what lies at `url`, in normal form, if that is of this site: by any
    /// of its names, with http or https.
    pub(crate) fn own_url(&self, url: &str) -> Option<String> {
        let base = self.settings.base.as_str();
        let (_, rest) = url.split_once("://")?;
        let (authority, target) = rest.split_at(rest.find('/')?);
        let is_base = base.split("://").nth(1) == Some(authority);
        let is_own = is_base || self.hosts.iter().any(|host| host == authority);
        is_own.then(|| format!("{base}{target}"))
    }

    /// Whether this is one of its names, with or without the port.
    fn is_called(&self, name: &str) -> bool {
        let base = &self.settings.base;
        base.split("://").nth(1) == Some(name) || self.hosts.iter().any(|host| host == name)
    }

    /// Notes how an exchange with the origin ended.
    pub(crate) fn note(&self, now: Instant, outcome: OriginOutcome) {
        let (before, after) = {
            let mut breaker = self.breaker.lock();
            let before = breaker.state();
            breaker.note(now, outcome);
            (before, breaker.state())
        };
        if before != after {
            let site = &self.settings.base;
            match after {
                BreakerState::Open => tracing::warn!(
                    site,
                    "the origin does not answer: readers get the archived copy, where there is one"
                ),
                BreakerState::Recovering => {
                    tracing::info!(
                        site,
                        "the origin answers again: readers go back little by little"
                    );
                }
                BreakerState::Closed => {
                    tracing::info!(site, "the origin is well: all readers get its own pages");
                }
            }
        }
    }

    /// Whether a page says, in a text that the operator named, that it is an error in the place of a page.
    pub(crate) fn is_error_page(&self, body: &[u8]) -> bool {
        let mut markers = self.settings.error_markers.iter();
        markers.any(|marker| memchr::memmem::find(body, marker.as_bytes()).is_some())
    }

    /// Notes a URL that a reader was served and that others may be served.
    pub(crate) fn wish(&self, key: &Key) {
        let Some(url) = self.url_of(key) else { return };
        let mut wishes = self.wishes.lock();
        if wishes.len() < MAX_WISHES && wishes.back() != Some(&url) {
            wishes.push_back(url);
        }
    }

    /// Takes a page away for good, erases its content soon, and forgets what was made ready of it.
    pub(crate) fn withdraw(&self, url: &str, now: WallTime) -> Result<bool, ArchiveError> {
        // First of all, and even if the disk is full: nobody is shown it any more.
        self.hidden.lock().insert(url.to_owned());
        self.ready.forget(Some(url));
        let withdrawn = self.archive.withdraw(url, now);
        if withdrawn.is_ok() {
            // The index says it now, and may say otherwise when there is something new.
            self.hidden.lock().remove(url);
        }
        self.ready.forget(Some(url));
        withdrawn
    }

    /// Forgets all that was made ready, because something else is to be shown from now on.
    pub(crate) fn forget_ready(&self) {
        self.ready.forget(None);
    }

    /// The judge of which URLs are worth having, which has taken nothing yet.
    fn scope(&self) -> Scope {
        Scope::new(ScopeRules {
            hosts: vec![host_of(&self.settings.base).to_owned()],
            // What lies below an excluded path is excluded with it.
            exclude: self.settings.exclude.iter().map(|path| format!("{path}*")).collect(),
            ..ScopeRules::default()
        })
    }

    /// Lets it count what is known already.
    fn recall(&self, scope: &mut Scope, now: WallTime) -> Result<(), ArchiveError> {
        self.archive.each_known("", |url, known, _| {
            scope.judge(url, FoundBy::Link { depth: known.depth }, now);
            true
        })
    }

    /// Which responses may be kept.
    fn keep_policy(&self) -> KeepPolicy {
        let markers = self.settings.error_markers.iter().map(|text| text.clone().into_bytes());
        KeepPolicy { keep_no_store: false, error_markers: markers.collect() }
    }

    fn is_hidden(&self, url: &str) -> bool {
        let hidden = self.hidden.lock();
        !hidden.is_empty() && hidden.contains(url)
    }

    /// The state of the breaker, for status and metrics.
    pub(crate) fn breaker_state(&self) -> BreakerState {
        self.breaker.lock().state()
    }

    /// Copies given to readers since the start.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// How the crawl goes.
    pub(crate) fn crawl_view(&self) -> CrawlView {
        self.crawl.lock().clone()
    }
}

fn tell_repaired(site: &str, repaired: &Repaired) {
    if repaired.is_clean() {
        return;
    }
    tracing::warn!(
        site,
        index_rebuilt = repaired.index_rebuilt,
        recovered = repaired.recovered,
        cut_bytes = repaired.cut_bytes,
        leftovers = repaired.leftovers,
        lost_packages = repaired.lost_packages,
        "the archive was mended"
    );
}

/// Reading only, by the operator. Kept in a file, so that a restart in the middle of it changes nothing.
#[derive(Debug)]
pub(crate) struct Emergency {
    path: PathBuf,
    /// Nanoseconds of the wall clock; 0: off.
    until: AtomicU64,
    /// Held while it is changed, so that memory and file end up the same.
    changing: Mutex<()>,
}

impl Emergency {
    /// As the file in `state_dir` says; off if there is none or it cannot be read.
    pub(crate) fn open(state_dir: &Path) -> Self {
        let path = state_dir.join("emergency");
        let until = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        Self { path, until: AtomicU64::new(until.unwrap_or(0)), changing: Mutex::new(()) }
    }

    /// Puts it into force, until the operator says otherwise or for a time.
    pub(crate) fn begin(&self, until: Option<WallTime>) {
        self.set(until.map_or(u64::MAX, WallTime::unix_nanos));
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.set(0);
    }

    fn set(&self, until: u64) {
        let _changing = self.changing.lock();
        self.until.store(until, Ordering::Relaxed);
        if let Err(error) = write_whole(&self.path, until.to_string().as_bytes()) {
            tracing::error!(
                "the emergency is in force as said, but a restart would not know: {error}"
            );
        }
    }

    /// Whether it is in force. One read of memory when it is not.
    pub(crate) fn is_on(&self, now: impl FnOnce() -> WallTime) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && (until == u64::MAX || now().unix_nanos() < until)
    }
}
