//! The whole file: top-level keys, listeners, certificates, network, log, admin, and the checks
//! that need several of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seawall_control::Mode;
use seawall_edge::config::{Certificate, Config, List, Listen, OriginTarget};
use seawall_model::Prefix;

use crate::config::defaults::{ADMIN_SOCKET, Defaults, defaults};
use crate::config::machine::{Machine, half_of};
use crate::config::problem::Code;
use crate::config::section::{At, Report, Section};
use crate::config::value;
use crate::config::{archive, files, lists};

/// What reading a file depends on besides its text.
pub(crate) struct Builder<'a> {
    /// The machine, for defaults.
    pub(crate) machine: &'a Machine,
    /// The folder of the file: relative paths start here.
    pub(crate) base: &'a Path,
}

impl Builder<'_> {
    /// Reads a whole file. The result is only meaningful if nothing was noted as an error.
    pub(crate) fn config(&self, report: &mut Report<'_>, mut root: Section<'_>) -> Config {
        let Defaults { mut config, site } = defaults(self.machine);
        self.budgets(report, &mut root, &mut config);
        root.need(report, "listen", "add `[[listen]]` with `address = \"0.0.0.0:80\"` below it");
        root.need(report, "site", "add `[[site]]` with `hosts` and `origin` below it");
        let network = root.section(report, "network");
        read_network(report, network, self.base, &mut config);
        let listeners = self.listeners(report, &mut root, &mut config);
        self.certificates(report, &mut root, &mut config, &listeners);
        let mut hosts = HashMap::new();
        let mut archives = Vec::new();
        for section in root.sections(report, "site") {
            let read = self.site(report, section, site.clone(), &mut hosts);
            if let Some(line) = read.origin_line {
                check_loops(report, &config.listen, &read.site.origin.target, line);
            }
            config.sites.push(read.site);
            archives.push(read.archive);
        }
        archive::finish(report, &mut config, archives);
        let section = root.section(report, "limits");
        config.limits = crate::config::limits::read(report, section, config.limits);
        let log = root.section(report, "log");
        read_log(report, log, &mut config);
        let admin = root.section(report, "admin");
        self.admin(report, admin, &mut config);
        read_detection(report, &mut root, &mut config);
        read_evidence(report, &mut root, &mut config);
        read_later(report, &mut root);
        root.finish(report);
        config
    }

    fn budgets(&self, report: &mut Report<'_>, root: &mut Section<'_>, config: &mut Config) {
        if let Some(At { value: folder, line }) = root.text(report, "state_dir") {
            if folder.is_empty() {
                let hint = "name a folder such as `/var/lib/seawall`, or remove the line";
                report.error(Code::WrongType, line, "`state_dir` holds an empty text", hint);
            }
            config.state_dir = self.base.join(folder);
            config.state_is_temporary = false;
            config.admin_socket = Some(config.state_dir.join(ADMIN_SOCKET));
        }
        match root.whole(report, "workers", 0..=1_024).unwrap_or(0) {
            0 => config.workers = self.machine.cores,
            workers => config.workers = usize::try_from(workers).unwrap_or(1),
        }
        if let Some(memory) = root.size_or_auto(report, "memory", 32 << 20..=1 << 50) {
            config.memory_bytes = memory.unwrap_or_else(|| half_of(self.machine.free_memory));
        }
        if let Some(disk) = root.size(report, "disk", 16 << 20..=1 << 50) {
            config.disk_bytes = disk;
        }
    }

    /// Reads the listeners and gives back the line of each one that speaks TLS.
    fn listeners(
        &self,
        report: &mut Report<'_>,
        root: &mut Section<'_>,
        config: &mut Config,
    ) -> Vec<usize> {
        let mut with_tls = Vec::new();
        let mut lines = Vec::new();
        for mut section in root.sections(report, "listen") {
            section.need(report, "address", "add `address = \"0.0.0.0:80\"`");
            let address = section.read(report, "address", (Code::Address, value::socket_address));
            let tls = section.flag(report, "tls");
            let proxy = section.flag(report, "proxy_protocol");
            let public = section.whole(report, "public_port", 1..=u64::from(u16::MAX));
            section.finish(report);
            if let Some(At { value: true, line }) = tls {
                with_tls.push(line);
            }
            if let Some(At { value: true, line }) = proxy
                && config.trusted_proxies.is_empty()
                && report.findings.errors.iter().all(|problem| problem.code != Code::Prefix)
            {
                let message = "`listen.proxy_protocol` is `true`, but `network.trusted_proxies` names nobody whose PROXY header would count";
                report.error(
                    Code::UselessKey,
                    line,
                    message,
                    "add the proxy's network to `network.trusted_proxies`, or remove the line",
                );
            }
            let Some(At { value: address, line }) = address else { continue };
            lines.push(line);
            config.listen.push(Listen {
                address,
                tls: tls.is_some_and(|tls| tls.value),
                proxy_protocol: proxy.is_some_and(|proxy| proxy.value),
                public_port: public.and_then(|port| u16::try_from(port).ok()),
            });
        }
        check_duplicates(report, &config.listen, &lines);
        with_tls
    }

    fn certificates(
        &self,
        report: &mut Report<'_>,
        root: &mut Section<'_>,
        config: &mut Config,
        with_tls: &[usize],
    ) {
        let (mut any, mut lines) = (None, Vec::new());
        for mut section in root.sections(report, "tls") {
            any = any.or(section.line);
            let acme = section.flag(report, "acme");
            let has_files = section.has("cert") && section.has("key");
            if let Some(At { value: true, line }) = acme {
                if has_files {
                    warn_not_built(report, "tls.acme", line, "the files are used and not renewed");
                } else {
                    let message =
                        "`tls.acme` is `true`, but this version cannot fetch certificates yet";
                    report.error(Code::TlsWithoutCertificate, line, message, "fetch the certificate with another client (`/.well-known/acme-challenge/` passes to the origin) and name its files with `cert` and `key`");
                }
            } else {
                section.need(report, "cert", "add `cert = \"/etc/seawall/cert.pem\"`");
                section.need(report, "key", "add `key = \"/etc/seawall/key.pem\"`");
            }
            let cert = section.text(report, "cert");
            let key = section.text(report, "key");
            section.finish(report);
            let cert = cert.map(|At { value, line }| At { value: self.base.join(value), line });
            let key = key.map(|At { value, line }| At { value: self.base.join(value), line });
            if let Some(At { value: file, line }) = &cert {
                files::check_certificate(report, "tls.cert", *line, file);
            }
            if let Some(At { value: file, line }) = &key {
                files::check_key(report, "tls.key", *line, file);
            }
            if let (Some(cert), Some(key)) = (cert, key) {
                lines.push(cert.line);
                config.tls.push(Certificate { cert: cert.value, key: key.value });
            }
        }
        files::warn_of_rsa(report, &lines, &config.tls);
        match (any, with_tls) {
            (None, [line, ..]) => {
                let message =
                    "`listen.tls` is `true`, but there is no `[[tls]]` with a certificate";
                report.error(
                    Code::TlsWithoutCertificate,
                    *line,
                    message,
                    "add `[[tls]]` with `cert` and `key` below it",
                );
            }
            (Some(line), []) => {
                let message = "`[[tls]]` names a certificate, but no `[[listen]]` has `tls = true`";
                report.error(
                    Code::CertificateWithoutTls,
                    line,
                    message,
                    "add `tls = true` below the `[[listen]]` that readers reach by https",
                );
            }
            _ => {}
        }
    }

    fn admin(&self, report: &mut Report<'_>, mut section: Section<'_>, config: &mut Config) {
        if let Some(At { value: socket, line }) = section.text(report, "socket") {
            let socket = self.base.join(socket);
            // unix(7): sun_path holds 108 bytes with its terminating zero.
            if socket.as_os_str().len() > 107 {
                let message = format!(
                    "`admin.socket` is `{}`, longer than the 107 bytes of a unix socket's path",
                    socket.display()
                );
                report.error(
                    Code::OutOfRange,
                    line,
                    message,
                    "use a shorter path, such as `/run/seawall/admin.sock`",
                );
            }
            config.admin_socket = Some(socket);
        }
        if let Some(At { value: file, line }) = section.text(report, "token_file") {
            let file = self.base.join(file);
            config.admin_token = files::read_token(report, "admin.token_file", line, &file);
        }
        let has_token_file = section.has("token_file");
        if let Some(At { value: address, line }) =
            section.read(report, "address", (Code::Address, value::socket_address))
        {
            if !address.ip().to_canonical().is_loopback() && !has_token_file {
                let message = format!(
                    "`admin.address` is `{address}`, which other machines can reach, and no token protects it"
                );
                report.error(
                    Code::AdminExposed,
                    line,
                    message,
                    format!(
                        "use `127.0.0.1:{}`, or name a secret with `token_file`",
                        address.port()
                    ),
                );
            }
            if config.listen.iter().any(|listen| clash(listen.address, address)) {
                let message =
                    format!("`admin.address` is `{address}`, on which readers are served as well");
                report.error(
                    Code::DuplicateAddress,
                    line,
                    message,
                    "give it a port of its own, such as `127.0.0.1:9180`",
                );
            }
            config.admin_address = Some(address);
        }
        section.finish(report);
    }
}

/// Notes listeners that ask for the same address; `lines` are theirs.
pub(crate) fn check_duplicates(report: &mut Report<'_>, listen: &[Listen], lines: &[usize]) {
    for (index, (one, line)) in listen.iter().zip(lines).enumerate() {
        let first = listen[..index].iter().position(|other| {
            // Port 0 is another port each time.
            other.address == one.address && one.address.port() != 0
        });
        if let Some(first) = first {
            let message = match lines[first] {
                0 => format!("`--listen` names `{}` twice", one.address),
                first => format!(
                    "`listen.address` is `{}`, on which line {first} listens already",
                    one.address
                ),
            };
            report.error(
                Code::DuplicateAddress,
                *line,
                message,
                "remove one of the two, or change its port",
            );
        }
    }
}

/// Notes an origin that is one of our own listeners.
pub(crate) fn check_loops(
    report: &mut Report<'_>,
    listen: &[Listen],
    origin: &OriginTarget,
    line: usize,
) {
    let (OriginTarget::Http { host, port } | OriginTarget::Https { host, port }) = origin else {
        return;
    };
    let addresses: Vec<IpAddr> = match host.as_str() {
        // The one name that needs no DNS (RFC 6761 §6.3).
        "localhost" => vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])],
        literal => literal.parse().into_iter().collect(),
    };
    let hit = listen.iter().find(|listen| {
        addresses.iter().any(|ip| {
            let is_ours = listen.address.ip() == *ip
                || (ip.is_loopback() && listen.address.ip().is_unspecified());
            is_ours && listen.address.port() == *port && *port != 0
        })
    });
    if let Some(listen) = hit {
        let message = format!(
            "`site.origin` is the address `{}` on which Seawall itself listens",
            listen.address
        );
        report.error(
            Code::OriginIsSelf,
            line,
            message,
            "move the site to another port, such as 8080, and name that one here",
        );
    }
}

/// Says that a key is understood and not acted on.
pub(crate) fn warn_not_built(report: &mut Report<'_>, path: &str, line: usize, consequence: &str) {
    let message =
        format!("`{path}` is understood, but this version does not act on it yet: {consequence}");
    report.warning(
        Code::NotBuilt,
        line,
        message,
        "keep the line for a later version, or remove it",
    );
}

fn read_network(
    report: &mut Report<'_>,
    mut section: Section<'_>,
    base: &Path,
    config: &mut Config,
) {
    let mut prefixes = |name: &'static str, danger: Option<&str>| -> Vec<Prefix> {
        let found = section.list(report, name, (Code::Prefix, value::prefix)).unwrap_or_default();
        for At { value: prefix, line } in &found {
            if let Some(danger) = danger
                && prefix.bits() == 0
            {
                let message = format!("`network.{name}` holds `{prefix}`: {danger}");
                report.warning(Code::Danger, *line, message, "name the networks that are meant");
            }
        }
        found.into_iter().map(|prefix| prefix.value).collect()
    };
    config.trusted_proxies = prefixes(
        "trusted_proxies",
        Some("every client can now choose the address it is judged by"),
    );
    config.allow = prefixes("allow", Some("no limit holds for anybody"));
    config.deny = prefixes("deny", Some("nobody is served"));
    let rules = section.list(report, "deny_ja4", (Code::Fingerprint, value::ja4));
    config.deny_ja4 = rules.unwrap_or_default().into_iter().map(|rule| rule.value).collect();
    let mut list = |name, entries: usize, file: &Path| {
        config.lists.push(List { name, entries, written: lists::written(file) });
    };
    if let Some(At { value: file, line }) = section.text(report, "tor_exits") {
        let file = base.join(file);
        config.tor_exits = lists::read_tor_exits(report, line, &file);
        list("tor_exits", config.tor_exits.len(), &file);
    }
    if let Some(At { value: file, line }) = section.text(report, "crawlers") {
        let file = base.join(file);
        config.crawlers = lists::read_crawlers(report, line, &file);
        list("crawlers", config.crawlers.len(), &file);
    }
    if let Some(At { value: file, line }) = section.text(report, "hosting") {
        let file = base.join(file);
        config.hosting = Arc::new(lists::read_hosting(report, line, &file));
        list("hosting", config.hosting.len(), &file);
    }
    if let Some(At { value: file, line }) = section.text(report, "asn_db") {
        let file = base.join(file);
        config.owners = Arc::new(lists::read_owners(report, line, &file));
        list("asn_db", config.owners.len(), &file);
    }
    if let Some(At { value: file, line }) = section.text(report, "country_db") {
        let file = base.join(file);
        config.countries = Arc::new(lists::read_countries(report, line, &file));
        list("country_db", config.countries.len(), &file);
    }
    section.finish(report);
}

fn read_log(report: &mut Report<'_>, mut section: Section<'_>, config: &mut Config) {
    if let Some(enabled) = section.flag(report, "enabled") {
        config.log.enabled = enabled.value;
    }
    if let Some(bytes) = section.size(report, "max_bytes", 1 << 20..=1 << 40) {
        config.log.max_bytes = bytes;
    }
    if let Some(count) = section.whole(report, "refusals_per_second", 0..=1_000_000) {
        config.log.refusals_per_second = u32::try_from(count).unwrap_or(u32::MAX);
    }
    section.finish(report);
}

/// The sections whose keys are checked and not acted on.
/// Detection, and what is done about what it finds.
fn read_detection(report: &mut Report<'_>, root: &mut Section<'_>, config: &mut Config) {
    let mut detect = root.section(report, "detect");
    if let Some(At { value: enabled, .. }) = detect.flag(report, "enabled") {
        config.detect.enabled = enabled;
    }
    detect.finish(report);
    let mut mitigate = root.section(report, "mitigate");
    if let Some(At { value: mode, line }) = mitigate.text(report, "mode") {
        match mode {
            "act" => config.mitigate.mode = Mode::Act,
            "observe" => config.mitigate.mode = Mode::Observe,
            _ => {
                let message =
                    format!("`mitigate.mode` is `{mode}`, but must be `act` or `observe`");
                let hint = crate::config::section::use_default("mitigate.mode");
                report.error(Code::Choice, line, message, hint);
            }
        }
    }
    mitigate.finish(report);
}

/// What is recorded of attacks.
fn read_evidence(report: &mut Report<'_>, root: &mut Section<'_>, config: &mut Config) {
    let day = Duration::from_secs(86_400);
    let mut evidence = root.section(report, "evidence");
    if let Some(At { value: enabled, .. }) = evidence.flag(report, "enabled") {
        config.evidence.enabled = enabled;
    }
    if let Some(retention) = evidence.duration(report, "retention", day..=3_650 * day) {
        config.evidence.retention = retention;
    }
    if let Some(retention) = evidence.duration(report, "record_retention", day..=3_650 * day) {
        config.evidence.record_retention = retention;
    }
    let recipients = evidence.list(report, "encrypt_to", (Code::Recipient, value::recipient));
    config.evidence.encrypt_to =
        recipients.unwrap_or_default().into_iter().map(|it| it.value).collect();
    let authority = evidence.read(
        report,
        "timestamp_authority",
        (Code::AuthorityUrl, value::timestamp_authority),
    );
    config.evidence.timestamp_authority = authority.map(|it| it.value);
    evidence.finish(report);
}

fn read_later(report: &mut Report<'_>, root: &mut Section<'_>) {
    let fleet = root.section(report, "fleet");
    later_section(report, fleet, "fleet", "this Seawall works alone");
}

fn later_section(report: &mut Report<'_>, section: Section<'_>, name: &str, consequence: &str) {
    if let Some(line) = section.line {
        warn_not_built(report, name, line, consequence);
    }
    section.finish(report);
}

/// Whether two listeners would fight for one address.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && same_ip
}
