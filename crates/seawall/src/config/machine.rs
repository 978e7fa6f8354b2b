//! What the configuration needs to know of the machine it runs on.
//!
//! The defaults of a few keys depend on the machine: cores, free memory, open files. They are
//! gathered once here and handed to the reader as plain values, so that reading a configuration
//! stays a pure function that tests can call. The arithmetic works on the text of the system's
//! files; only [`Machine::survey`] opens them.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::{Resource, getrlimit};

/// Facts about this machine and this process.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Cores this process may use; at least 1.
    pub(crate) cores: usize,
    /// Bytes of memory that are free for this process, cgroup limits included.
    pub(crate) free_memory: u64,
    /// How many files this process may have open.
    pub(crate) open_files: u64,
    /// Where state lives when no `state_dir` is given. Not created yet.
    pub(crate) temporary_state: PathBuf,
}

/// The text of the files of one cgroup; empty where a file is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cgroup {
    /// `memory.max` (v2) or `memory.limit_in_bytes` (v1).
    pub(crate) limit: String,
    /// `memory.current` (v2) or `memory.usage_in_bytes` (v1).
    pub(crate) usage: String,
    /// `memory.stat`.
    pub(crate) stat: String,
}

impl Machine {
    /// Asks the system. What it does not say is guessed low: one core, 1 GiB.
    pub(crate) fn survey() -> Self {
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let folders = cgroup_folders(&text(Path::new("/proc/self/cgroup")));
        let cgroups: Vec<Cgroup> = folders
            .iter()
            .map(|folder| Cgroup {
                limit: text(&folder.join(folder_file(
                    folder,
                    "memory.max",
                    "memory.limit_in_bytes",
                ))),
                usage: text(&folder.join(folder_file(
                    folder,
                    "memory.current",
                    "memory.usage_in_bytes",
                ))),
                stat: text(&folder.join("memory.stat")),
            })
            .collect();
        Self {
            cores: thread::available_parallelism().map_or(1, NonZero::get),
            free_memory: free_memory(&text(Path::new("/proc/meminfo")), &cgroups),
            open_files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            temporary_state: temporary_state(),
        }
    }
}

/// Bytes that this process may still take: what the machine has, or what the tightest of its
/// cgroups leaves, whichever is less. Page cache counts as free in both, because the kernel gives
/// it up under pressure.
pub(crate) fn free_memory(meminfo: &str, cgroups: &[Cgroup]) -> u64 {
    let machine = field(meminfo, "MemAvailable:")
        .or_else(|| field(meminfo, "MemFree:"))
        .map_or(GUESSED_FREE, |kib| kib.saturating_mul(1024));
    cgroups.iter().filter_map(left_in).fold(machine, u64::min)
}

/// Half of what is free, within what makes sense: at least 64 MiB, so that a full machine still
/// gets a working shield.
pub(crate) fn half_of(free: u64) -> u64 {
    (free / 2).max(64 << 20)
}

/// The folders of the cgroups that bound this process, from its own up to the root, given the text
/// of `/proc/self/cgroup` (cgroups(7)). Both hierarchies may be mounted at once.
fn cgroup_folders(own: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let mount = if controllers.is_empty() {
            "/sys/fs/cgroup"
        } else if controllers.split(',').any(|controller| controller == "memory") {
            "/sys/fs/cgroup/memory"
        } else {
            continue;
        };
        // In a container the path may be the one outside of it; then only the mount itself, which
        // is the container's own cgroup, has the files. Asking both does no harm.
        let own = Path::new(path.trim_start_matches('/'));
        folders.extend(own.ancestors().map(|ancestor| Path::new(mount).join(ancestor)));
    }
    folders
}

fn folder_file(folder: &Path, v2: &'static str, v1: &'static str) -> &'static str {
    if folder.starts_with("/sys/fs/cgroup/memory") { v1 } else { v2 }
}

fn left_in(cgroup: &Cgroup) -> Option<u64> {
    // "max" (v2) does not parse; v1 writes a number near 2^63 for "no limit", which `min` ignores.
    let limit: u64 = cgroup.limit.trim().parse().ok()?;
    let usage: u64 = cgroup.usage.trim().parse().unwrap_or(0);
    // v1's own counters leave children out, its `total_` ones do not.
    let cache = field(&cgroup.stat, "total_inactive_file")
        .or_else(|| field(&cgroup.stat, "inactive_file"))
        .unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(cache)))
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok()).flatten()
    })
}

fn temporary_state() -> PathBuf {
    // The name need only be unused; the folder is made with mode 0700 and must not exist before.
    let random = RandomState::new().hash_one(std::process::id());
    std::env::temp_dir().join(format!("seawall-{}-{random:016x}", std::process::id()))
}

/// Assumed free where `/proc` is missing.
const GUESSED_FREE: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:  8000000 kB\nMemFree:  100000 kB\nMemAvailable:  4000000 kB\n";

    fn cgroup(limit: &str, usage: &str, stat: &str) -> Cgroup {
        Cgroup { limit: limit.to_owned(), usage: usage.to_owned(), stat: stat.to_owned() }
    }

    #[track_caller]
    fn check(meminfo: &str, cgroups: &[Cgroup], want: u64) {
        assert_eq!(free_memory(meminfo, cgroups), want);
    }

    #[test]
    fn without_cgroups_the_machine_decides() {
        check(MEMINFO, &[], 4_000_000 * 1024);
        check("MemFree: 5 kB\n", &[], 5 * 1024);
        check("", &[], GUESSED_FREE);
    }

    #[test]
    fn the_tightest_cgroup_decides_and_its_page_cache_is_free() {
        let tight = cgroup("1073741824\n", "600000000\n", "anon 1\ninactive_file 100000000\n");
        let left = 1_073_741_824 - 500_000_000;
        check(MEMINFO, std::slice::from_ref(&tight), left);
        check(MEMINFO, &[cgroup("max\n", "1\n", ""), tight, cgroup("", "", "")], left);
    }

    #[test]
    fn version_one_counts_children_and_knows_no_limit() {
        let stat = "inactive_file 5\ntotal_inactive_file 200\n";
        check(MEMINFO, &[cgroup("1000", "700", stat)], 500);
        check(MEMINFO, &[cgroup("9223372036854771712", "700", stat)], 4_000_000 * 1024);
    }

    #[test]
    fn a_cgroup_over_its_limit_leaves_nothing() {
        check(MEMINFO, &[cgroup("100", "200", "")], 0);
        assert_eq!(half_of(0), 64 << 20);
        assert_eq!(half_of(1 << 30), 1 << 29);
    }

    #[test]
    fn limits_of_all_ancestors_count_in_both_hierarchies() {
        let v2 = cgroup_folders("0::/system.slice/seawall.service\n");
        let want = ["system.slice/seawall.service", "system.slice", ""];
        assert_eq!(v2, want.map(|path| Path::new("/sys/fs/cgroup").join(path)));
        let v1 = cgroup_folders("5:cpu,cpuacct:/x\n4:memory:/docker/ab\n1:name=systemd:/x\n");
        let want = ["docker/ab", "docker", ""];
        assert_eq!(v1, want.map(|path| Path::new("/sys/fs/cgroup/memory").join(path)));
        assert_eq!(folder_file(&v1[0], "v2", "v1"), "v1");
        assert_eq!(folder_file(&v2[0], "v2", "v1"), "v2");
        assert!(cgroup_folders("nonsense\n::").len() <= 1);
    }

    #[test]
    fn a_survey_of_this_machine_finds_something() {
        let machine = Machine::survey();
        assert!(machine.cores >= 1 && machine.free_memory > 0 && machine.open_files > 0);
        assert_ne!(machine.temporary_state, Machine::survey().temporary_state);
    }
}
