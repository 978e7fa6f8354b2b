//! The outcome as a table and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use seawall_rehearse::attack::{Attack, Felt};
use serde_json::{Value, json};

/// One attack and what came of it.
pub(super) struct Line {
    pub(super) attack: Attack,
    pub(super) limit: &'static str,
    /// What the attack is called in events and metrics.
    pub(super) event: &'static str,
    pub(super) felt: Felt,
    pub(super) cpu: Duration,
    /// What was wrong, if anything.
    pub(super) fault: Option<String>,
}

impl Line {
    fn held_per_connection(&self) -> u64 {
        self.felt.held_bytes / self.felt.opened.max(1)
    }

    fn held_per_wire_byte(&self) -> f64 {
        self.felt.held_bytes as f64 / self.felt.sent_bytes.max(1) as f64
    }

    /// What happened to the attacker.
    fn outcome(&self) -> String {
        match &self.fault {
            Some(fault) => fault.clone(),
            None => format!("all {} closed: {}", self.felt.opened, self.event),
        }
    }
}

/// All of it.
pub(super) struct Report {
    pub(super) lines: Vec<Line>,
    pub(super) seconds: f64,
}

impl Report {
    pub(super) fn is_passed(&self) -> bool {
        self.lines.iter().all(|line| line.fault.is_none())
    }

    pub(super) fn to_json(&self) -> Value {
        let attacks = self.lines.iter().map(|line| {
            json!({
                "name": line.attack.name(),
                "title": line.attack.title(),
                "cve": line.attack.cve(),
                "limit": line.limit,
                "event": line.event,
                "passed": line.fault.is_none(),
                "outcome": line.outcome(),
                "connections": line.felt.opened,
                "connections_left": line.felt.left,
                "sent_bytes": line.felt.sent_bytes,
                "held_bytes_per_connection": line.held_per_connection(),
                "held_bytes_per_wire_byte": line.held_per_wire_byte(),
                "others_served": line.felt.others_served,
                "cpu_ms": u64::try_from(line.cpu.as_millis()).unwrap_or(u64::MAX),
            })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "passed": self.is_passed(),
            "seconds": self.seconds,
            "attacks": attacks.collect::<Vec<_>>(),
        })
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::from(
            "     attack             CVE               held/conn  held/byte  CPU      outcome\n",
        );
        for line in &self.lines {
            let verdict = if line.fault.is_none() { "pass" } else { "FAIL" };
            let (held, per_byte) = match line.felt.held_bytes {
                0 => ("-".to_owned(), "-".to_owned()),
                _ => (
                    format!("{} KiB", line.held_per_connection() / 1024),
                    format!("{:.1}", line.held_per_wire_byte()),
                ),
            };
            let cve = if line.attack.cve().is_empty() { "-" } else { line.attack.cve() };
            let cpu = format!("{} ms", line.cpu.as_millis());
            // A String takes everything.
            let _ = writeln!(
                text,
                "{verdict} {:<18} {cve:<17} {held:>9}  {per_byte:>9}  {cpu:>7}  {}",
                line.attack.name(),
                line.outcome(),
            );
        }
        let failed = self.lines.iter().filter(|line| line.fault.is_some()).count();
        let _ = write!(
            text,
            "{} attacks, {failed} not bounded, {:.0} s. Time-outs were one to two seconds; all else is the default.",
            self.lines.len(),
            self.seconds
        );
        text
    }
}
