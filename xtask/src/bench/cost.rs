//! What a server has used: CPU time and memory, as the kernel counts it.
//!
//! Separate because only this file knows `/proc`. Times are those of all tasks of all processes of
//! a server, so a helper thread is not a way to look cheap.

use std::fs;

use crate::process::descendants;

/// Nanoseconds on a core so far, of a process, its threads and its descendants.
pub(crate) fn cpu_ns(id: u32) -> u64 {
    let mut total = 0;
    for id in descendants(id) {
        for task in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            // The first field of schedstat: time spent on the CPU, user and system, in ns.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let first = text.split_whitespace().next().and_then(|first| first.parse::<u64>().ok());
            total += first.unwrap_or(0);
        }
    }
    total
}

/// Proportional set size in KiB, of a process and its descendants.
pub(crate) fn pss_kib(id: u32) -> u64 {
    let rollups = descendants(id)
        .into_iter()
        .map(|id| fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default());
    rollups.map(|text| field_kib(&text, "Pss:")).sum()
}

fn field_kib(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{cpu_ns, field_kib, pss_kib};

    #[test]
    fn this_very_process_has_used_something() {
        let id = std::process::id();
        assert!(cpu_ns(id) > 0);
        assert!(pss_kib(id) > 0);
        assert_eq!(field_kib("Rss: 9 kB\nPss:      12 kB\n", "Pss:"), 12);
    }
}
