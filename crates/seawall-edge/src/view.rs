//! What the operator's doors show and do, gathered from the parts that know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use seawall_cache::StoreError;
use seawall_control::Mode;
use seawall_decide::GRANT_HOURS;
use seawall_model::{ClientAddr, Instant, Prefix, WallTime};
use seawall_report::{Note, NoteError};

use crate::addresses;
use crate::admin::{
    AdminView, ArchiveChange, ArchiveRefusal, ArchiveStatus, ArchivedPage, AttributeValues,
    CountryWork, EmergencyChange, Import, ImportReport, ListStatus, Noted, Order, OrderRefusal,
    Outcome, Pass, Purge, Standing, Status, There,
};
use crate::archive::{import, view as archive};
use crate::clock;
use crate::gates;
use crate::metrics::{RequestRate, Sample};
use crate::policy::Policy;
use crate::query;
use crate::recorder;
use crate::shared::Shared;
use crate::visitor::PASS_PATH;
use crate::watcher::Orders;

/// What the admin doors show and do.
pub(crate) struct View {
    shared: Arc<Shared>,
    started: Instant,
    rate: Mutex<RequestRate>,
}

impl AdminView for View {
    fn status(&self) -> Status {
        let policy = self.shared.policy.load();
        let healthy = self.shared.origin_is_healthy();
        let origin = gates::status(&policy.gates, healthy);
        let now = clock::now();
        let told = self.shared.detection.told();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: now.saturating_since(self.started).as_secs(),
            state: told.state,
            requests_per_s: self.requests_per_s(now),
            origin,
            work_by_country: self.work_by_country(&policy, now),
            lists: lists(&policy, clock::wall()),
            emergency: self.shared.emergency.is_on(clock::wall),
            alarms: told.alarms.clone(),
            expected_per_s: told.expected_per_s,
            baseline_clients: told.baseline_clients,
            mode: self.mode(told.mode),
            mitigations: told.measures.clone(),
            baseline_is_generated: told.baseline_is_generated,
            memory_bytes: resident_bytes(),
            memory_pressure: self.shared.memory.step().index(),
            evidence_fault: self.shared.evidence.fault.lock().clone(),
            events: self.shared.events.last(clock::wall()),
        }
    }

    fn metrics(&self) -> String {
        let store = self.shared.store.stats();
        let gauge = |name, help, value: u64| Sample::gauge(name, help, value as f64);
        let counter = |name, help, value: u64| Sample::counter(name, help, value as f64);
        let mut samples = vec![
            gauge("seawall_cache_entries", "Stored responses.", store.entries),
            gauge(
                "seawall_cache_memory_bytes",
                "Bytes of stored responses in memory.",
                store.memory_bytes,
            ),
            gauge(
                "seawall_cache_stored_bytes",
                "Bytes of stored responses on disk.",
                store.disk_bytes,
            ),
            counter(
                "seawall_cache_evictions_total",
                "Responses that left memory for others.",
                store.evictions,
            ),
            counter(
                "seawall_cache_invalidated_total",
                "Responses that an unsafe method made invalid.",
                store.invalidated,
            ),
            counter(
                "seawall_cache_damaged_total",
                "Stored responses that failed their checksum.",
                store.damaged,
            ),
            counter(
                "seawall_cache_write_failures_total",
                "Responses the disk did not take.",
                store.write_failures,
            ),
            counter(
                "seawall_cache_queue_full_total",
                "Responses not written because the disk was behind.",
                store.queue_full,
            ),
            gauge(
                "seawall_spool_memory_bytes",
                "Bytes of request content in memory.",
                self.shared.spool.memory_bytes(),
            ),
            gauge(
                "seawall_spool_disk_bytes",
                "Bytes of request content on disk.",
                self.shared.spool.disk_bytes(),
            ),
            gauge(
                "seawall_process_resident_bytes",
                "Resident memory of the process.",
                resident_bytes(),
            ),
        ];
        samples.extend(self.shared.memory.samples(self.shared.spool.diverted()));
        samples.extend(self.shared.detection.samples());
        samples.extend(self.shared.addresses.samples());
        samples.extend(recorder::samples(&self.shared.evidence));
        samples.extend(self.of_sites());
        samples.extend(archive::samples(&self.shared.policy.load()));
        samples.extend(self.client_samples());
        samples.extend(self.visitor_samples());
        self.shared.metrics.render(&samples)
    }

    fn purge(&self, what: Purge) -> Result<usize, String> {
        let store = &self.shared.store;
        // What the operator takes from the cache must not come back from the archive either: it may have
        // been taken away to protect somebody.
        let withdrawn = match &what {
            Purge::Url(url) => self.withdraw(url),
            Purge::Tag(_) | Purge::All => Ok(0),
        };
        let purged = match what {
            Purge::Url(url) => self.purge_url(&url),
            Purge::Tag(tag) => store.purge_tag(tag.as_bytes()),
            Purge::All => store.purge_all(),
        };
        let purged = purged.map_err(|error| {
            tracing::error!("a purge was not written to disk: {error}");
            format!("dropped from memory, but not from disk: {error}")
        })?;
        Ok(purged + withdrawn?)
    }

    fn pass(&self, days: u8) -> Result<Pass, String> {
        let token = self.shared.reception.grant(clock::wall(), days);
        let token = token.map_err(|error| format!("there are no random numbers: {error}"))?;
        let policy = self.shared.policy.load();
        let sites = policy.config.sites.iter();
        Ok(Pass {
            path: format!("{PASS_PATH}{}", token.as_str()),
            hosts: sites.flat_map(|site| site.hosts.iter().cloned()).collect(),
            open_hours: GRANT_HOURS,
            days,
        })
    }

    fn archive(&self, site: Option<&str>) -> Result<Vec<ArchiveStatus>, ArchiveRefusal> {
        archive::status(&self.shared.policy.load(), site, clock::wall())
    }

    fn archived_page(&self, url: &str) -> Result<Vec<ArchivedPage>, String> {
        archive::pages(&self.shared.policy.load(), url)
    }

    fn change_archive(
        &self,
        what: ArchiveChange,
        site: Option<&str>,
    ) -> Result<(), ArchiveRefusal> {
        tracing::info!(?what, site, "the operator changes the archives");
        archive::change(&self.shared.policy.load(), what, site, clock::wall())
    }

    fn import(&self, what: &Import, records: Vec<u8>) -> Result<ImportReport, ArchiveRefusal> {
        if what.is_begin {
            tracing::info!(?what, "the operator imports into the archives");
        }
        import::import(&self.shared.policy.load(), what, records, clock::wall())
    }

    fn max_import_bytes(&self) -> u64 {
        import::max_import_bytes(&self.shared.policy.load())
    }

    fn mitigations(&self) -> Standing {
        let detection = &self.shared.detection;
        let (told, now) = (detection.told(), clock::wall());
        let listed = self.shared.addresses.listed();
        Standing {
            mode: self.mode(told.mode),
            watching: detection.is_watching(),
            state: told.state,
            alarms: told.alarms.clone(),
            expected_per_s: told.expected_per_s,
            baseline_clients: told.baseline_clients,
            run: self.shared.run.text(),
            measures: told.measures.clone(),
            addresses: listed.iter().map(|entry| entry.status(now)).collect(),
        }
    }

    fn values(&self) -> Result<Vec<AttributeValues>, OrderRefusal> {
        self.watched()?.ask(|desk| desk.values())
    }

    fn order(&self, order: &Order, is_dry: bool) -> Result<Outcome, OrderRefusal> {
        let listed =
            |address| Outcome { done: !is_dry, address: Some(address), ..Outcome::default() };
        match order {
            Order::List { list, prefix, lasts } => {
                let entry = addresses::list(&self.shared, (*list, *prefix), *lasts, is_dry)?;
                Ok(Outcome { there: Some(self.there(*prefix)), ..listed(entry) })
            }
            Order::Unlist(prefix) => addresses::unlist(&self.shared, *prefix, is_dry).map(listed),
            _ => {
                let order = order.clone();
                let followed = self.watched()?.ask(move |desk| desk.follow(&order, is_dry))?;
                let (outcome, unwritten) = followed?;
                if let Some(unwritten) = unwritten {
                    unwritten.write()?;
                }
                Ok(outcome)
            }
        }
    }

    fn note(&self, incident: &str, note: Note) -> Result<Noted, OrderRefusal> {
        let note = Note { at: clock::wall().into(), ..note }.checked();
        let note =
            note.map_err(|error| OrderRefusal::new(400, error.to_string(), NoteError::HINT))?;
        let noted = self.shared.notes.ask(incident, note)?;
        tracing::info!(seawall.incident.record = incident, "a note was added to the record");
        Ok(noted)
    }

    fn emergency(&self, what: EmergencyChange) {
        let emergency = &self.shared.emergency;
        match what {
            EmergencyChange::On => emergency.begin(None),
            EmergencyChange::OnFor(seconds) => {
                let length = Duration::from_secs(seconds).min(archive::LONGEST_EMERGENCY);
                emergency.begin(Some(clock::wall() + length));
            }
            EmergencyChange::Off => emergency.end(),
        }
        tracing::warn!(?what, "the operator changes whether the sites are for reading only");
    }
}

impl View {
    /// Of a process that starts now.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, started: clock::now(), rate: Mutex::default() }
    }

    /// Whether anything is done about attacks.
    fn mode(&self, mode: Mode) -> &'static str {
        if self.shared.detection.is_watching() { mode.as_str() } else { "off" }
    }

    /// Who follows orders about signatures.
    fn watched(&self) -> Result<&Orders, OrderRefusal> {
        let detection = &self.shared.detection;
        detection.is_watching().then(|| detection.orders()).ok_or_else(|| {
            OrderRefusal::new(
                409,
                "nobody watches for attacks: `detect.enabled` is `false`",
                "set it to `true` and restart; `mitigate allow` and `mitigate block` work without",
            )
        })
    }

    /// Who is known in a network: of the last two seconds, and of the last days.
    fn there(&self, prefix: Prefix) -> There {
        let orders = self.watched().ok();
        let seen = orders.and_then(|orders| orders.ask(move |desk| desk.there(prefix)).ok());
        let budgets = &self.shared.budgets;
        let (networks_with_readers, networks) =
            addresses::networks(prefix, |ip| budgets.knows_network(ClientAddr::new(ip)));
        There { networks, networks_with_readers, ..seen.unwrap_or_default() }
    }

    /// The tables of clients and their budgets.
    fn client_samples(&self) -> Vec<Sample> {
        let (limiters, budgets) = (&self.shared.limiters, &self.shared.budgets);
        vec![
            Sample::gauge(
                "seawall_budgets_bytes",
                "Memory of the budgets of origin work and of routes, fixed at start.",
                budgets.bytes() as f64,
            ),
            Sample::counter(
                "seawall_budgets_forgotten_total",
                "Budgets that owed something and were forgotten to make room for others.",
                budgets.forgotten() as f64,
            ),
            Sample::counter(
                "seawall_route_budgets_forgotten_total",
                "Budgets of routes that owed something and were forgotten to make room for others.",
                budgets.forgotten_of_routes() as f64,
            ),
            Sample::gauge(
                "seawall_limiters_bytes",
                "Memory of the client tables, fixed at start.",
                limiters.bytes() as f64,
            ),
            Sample::counter(
                "seawall_clients_forgotten_total",
                "Clients forgotten to make room for others.",
                limiters.evictions() as f64,
            ),
            Sample::counter(
                "seawall_clients_hashed_total",
                "Clients forgotten whose demand goes on to count by hash.",
                limiters.hashed() as f64,
            ),
            Sample::counter(
                "seawall_clients_untracked_total",
                "Look-ups of clients that found no room at that moment.",
                limiters.untracked() as f64,
            ),
            Sample::counter(
                "seawall_offenders_barred_total",
                "Clients kept from connecting for a while, for what they did.",
                limiters.barred() as f64,
            ),
            Sample::counter(
                "seawall_offenders_forgotten_total",
                "Offenders forgotten to make room for others.",
                limiters.offenders_forgotten() as f64,
            ),
            Sample::counter(
                "seawall_tests_forgotten_total",
                "Clients with open tests forgotten to make room for others.",
                limiters.tests_forgotten() as f64,
            ),
            self.shared.events.sample(),
        ]
    }

    /// What happened to credentials, passes and logins.
    fn visitor_samples(&self) -> Vec<Sample> {
        let reception = &self.shared.reception;
        let counts = &reception.counts;
        let counter = |name, help, counter: &AtomicU64| {
            Sample::counter(name, help, counter.load(Ordering::Relaxed) as f64)
        };
        let logins = reception.logins.len() as f64;
        vec![
            counter(
                "seawall_credentials_accepted_total",
                "Requests with a good credential.",
                &counts.accepted,
            ),
            counter(
                "seawall_credentials_rejected_total",
                "Requests with a forged, foreign, cut or expired credential.",
                &counts.rejected,
            ),
            counter(
                "seawall_credentials_lent_total",
                "Requests with a credential or login in too many places at once.",
                &counts.lent,
            ),
            counter(
                "seawall_credentials_issued_total",
                "Credentials given to readers who had none.",
                &counts.issued,
            ),
            counter(
                "seawall_credentials_renewed_total",
                "Credentials replaced by those of the day.",
                &counts.renewed,
            ),
            counter(
                "seawall_passes_opened_total",
                "Links of passes that were opened.",
                &counts.passes,
            ),
            Sample::gauge("seawall_logins", "Logins remembered.", logins),
            Sample::counter(
                "seawall_logins_forgotten_total",
                "Logins forgotten to make room for others.",
                reception.logins.forgotten() as f64,
            ),
            Sample::counter(
                "seawall_visitors_forgotten_total",
                "Sessions and holders of credentials forgotten to make room for others.",
                reception.forgotten() as f64,
            ),
        ]
    }

    /// Called every second as well, so that whoever asks for the first time is told something.
    pub(crate) fn requests_per_s(&self, now: Instant) -> f64 {
        self.rate.lock().observe(now, self.shared.metrics.totals().requests)
    }

    fn work_by_country(&self, policy: &Policy, now: Instant) -> Vec<CountryWork> {
        if policy.config.countries.is_empty() {
            return Vec::new();
        }
        let shares = self.shared.work_by_country.top(now, SHOWN_COUNTRIES).into_iter();
        let work = shares.map(|share| CountryWork {
            country: share.country.map(|country| country.as_str().to_owned()),
            percent: share.percent,
        });
        work.collect()
    }

    /// What sites and their origins have to show.
    fn of_sites(&self) -> Vec<Sample> {
        let policy = self.shared.policy.load();
        query::samples(&policy).into_iter().chain(gates::samples(&policy.gates)).collect()
    }

    /// Takes a URL from the archive of its site, for good.
    fn withdraw(&self, url: &str) -> Result<usize, String> {
        let policy = self.shared.policy.load();
        let Some(key) = seawall_cache::Key::from_url(url) else { return Ok(0) };
        let host = key.host().split(':').next().unwrap_or_default();
        let copy = policy.site(host).and_then(|site| policy.copies[site].as_ref());
        let Some((copy, url)) = copy.and_then(|copy| Some((copy, copy.url_of(&key)?))) else {
            return Ok(0);
        };
        copy.withdraw(&url, clock::wall()).map(usize::from).map_err(|error| {
            tracing::error!("a page was not withdrawn from the archive: {error}");
            format!("dropped from the cache, but not from the archive: {error}")
        })
    }

    /// A URL with a port also names what is stored without one, and is stored so behind a port
    /// that another machine forwards.
    fn purge_url(&self, url: &str) -> Result<usize, StoreError> {
        let Some(key) = seawall_cache::Key::from_url(url) else { return Ok(0) };
        let (store, bare) = (&self.shared.store, key.without_port());
        let asked = store.purge_url(&key);
        // Both are tried, whatever becomes of the first.
        let elsewhere = if bare == key { Ok(0) } else { store.purge_url(&bare) };
        Ok(asked? + elsewhere?)
    }
}

/// More would not be read at a glance.
const SHOWN_COUNTRIES: usize = 5;

fn lists(policy: &Policy, now: WallTime) -> Vec<ListStatus> {
    let lists = policy.config.lists.iter().map(|list| ListStatus {
        name: list.name,
        entries: list.entries as u64,
        age_s: list.written.map(|at| now.unix_secs().saturating_sub(at.unix_secs())),
    });
    lists.collect()
}

/// Resident memory, from the kernel; 0 where it does not say.
fn resident_bytes() -> u64 {
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
