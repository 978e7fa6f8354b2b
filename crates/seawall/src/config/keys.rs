//! The table of every section and key that the configuration file may hold.
//!
//! One table serves the reader (what is unknown, what was probably meant) and `docs/config.md`
//! (its tables are generated from here), so that the two cannot drift apart. It deliberately does
//! **not** hold values: defaults live in `defaults`, and a test compares them with what is
//! written here.

mod limits;
mod network;
mod running;
mod server;
mod site;

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

/// Every key, in the order of the documentation.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    TABLES.into_iter().flatten()
}

/// The names that may stand directly in `section` (`""` is the top of the file).
pub(crate) fn children(section: &str) -> impl Iterator<Item = &'static str> {
    let paths = all().map(|key| key.path).chain(SECTIONS.iter().map(|section| section.path));
    let section = section.to_owned();
    paths.filter_map(move |path| match path.rsplit_once('.') {
        Some((parent, name)) if parent == section => Some(name),
        None if section.is_empty() => Some(path),
        _ => None,
    })
}

/// The sections in which a key called `name` may stand.
pub(crate) fn homes(name: &str) -> impl Iterator<Item = &'static str> {
    all().filter_map(move |key| match key.path.rsplit_once('.') {
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
    all().find(|key| key.path == path)
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

/// Every key, section by section, in the order of the documentation.
const TABLES: [&[Key]; 5] = [server::KEYS, site::KEYS, network::KEYS, limits::KEYS, running::KEYS];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_path_is_unique_and_stands_in_a_known_section() {
        let mut seen = HashSet::new();
        for path in all().map(|key| key.path).chain(SECTIONS.iter().map(|section| section.path)) {
            assert!(seen.insert(path), "{path} twice");
            if let Some((parent, _)) = path.rsplit_once('.') {
                assert!(SECTIONS.iter().any(|section| section.path == parent), "{path}");
            }
        }
    }

    #[test]
    fn what_weakens_protection_is_named_danger() {
        for key in all() {
            if key.about.contains("Do not check") {
                assert!(key.path.contains(".danger_"), "{}", key.path);
            }
        }
    }
}
