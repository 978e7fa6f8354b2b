//! Another configuration, put into force while everything runs: all of it, or nothing.
//!
//! Everything that can fail is tried before anything changes, so an error leaves every request to
//! the old configuration. What only a start can change is named, not silently left.

use std::sync::Arc;

use crate::config::{Config, SiteArchive};
use crate::origin::Pool;
use crate::policy::Policy;
use crate::server::ServeError;
use crate::shared::Shared;
use crate::tls::CertWatch;

/// Publishes `config` for all requests that begin from now on.
///
/// # Errors
/// [`ServeError`] for certificates or origins that cannot be used; then nothing has changed.
pub(crate) fn publish(
    shared: &Shared,
    watch: &mut CertWatch,
    mut config: Config,
) -> Result<(), ServeError> {
    let _changing = shared.changing.lock();
    let before = shared.policy.load_full();
    for site in &config.sites {
        Pool::new(&site.origin)?;
    }
    if config.tls.is_empty() {
        // The listeners that need certificates stay until a restart, and so does the list.
        config.tls.clone_from(&before.config.tls);
    }
    watch.reload(&config.tls).map_err(ServeError::Certificates)?;
    let needs_restart = read_at_start_only(&before.config, &config);
    if !needs_restart.is_empty() {
        let keys = needs_restart.join(", ");
        tracing::warn!("changed, but read at the start only: {keys}; restart for those");
    }
    shared.policy.store(Arc::new(Policy::after(config, &before)));
    Ok(())
}

/// Of the sites that have one.
fn archives(config: &Config) -> Vec<&SiteArchive> {
    config.sites.iter().filter_map(|site| site.archive.as_ref()).collect()
}

/// The keys in which `new` differs from `old` and that are not looked at again.
fn read_at_start_only(old: &Config, new: &Config) -> Vec<&'static str> {
    let checks = [
        ("listen", old.listen != new.listen),
        ("workers", old.workers != new.workers),
        ("memory", old.memory_bytes != new.memory_bytes),
        ("disk", old.disk_bytes != new.disk_bytes),
        ("site.archive", archives(old) != archives(new)),
        ("log", old.log != new.log),
        ("admin.socket", old.admin_socket != new.admin_socket),
        ("admin.address", old.admin_address != new.admin_address),
        ("admin.token_file", old.admin_token != new.admin_token),
        ("limits.max_clients", old.limits.max_clients != new.limits.max_clients),
        ("detect", old.detect != new.detect),
        ("evidence", old.evidence != new.evidence),
        ("limits.max_budgets", old.limits.max_budgets != new.limits.max_budgets),
        ("limits.max_route_budgets", old.limits.max_route_budgets != new.limits.max_route_budgets),
        ("limits.origin_budget", old.limits.origin_budget != new.limits.origin_budget),
        ("limits.reader_budget", old.limits.reader_budget != new.limits.reader_budget),
        ("limits.max_offenders", old.limits.max_offenders != new.limits.max_offenders),
        ("limits.egress", old.limits.egress_bytes_per_second != new.limits.egress_bytes_per_second),
    ];
    checks.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}
