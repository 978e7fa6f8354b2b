//! One memory limit for all servers of the scratch site.
//!
//! A control group where this task may make one (version 1 or 2), else only the sum of what the
//! processes hold, and the output says so.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::process::{bound, descendants};

/// Where the limit is kept.
enum Kind {
    V1(PathBuf),
    V2(PathBuf),
    None,
}

/// The limit; the group goes when this value goes.
pub(crate) struct Cage {
    kind: Kind,
}

impl Cage {
    /// A group that may use `bytes`, or none where that is not permitted.
    pub(crate) fn new(bytes: u64) -> Self {
        let name = format!("seawall-real-site-{}", std::process::id());
        let first = PathBuf::from("/sys/fs/cgroup/memory").join(&name);
        if first.with_file_name("memory.limit_in_bytes").exists() && fs::create_dir(&first).is_ok()
        {
            let set = |file: &str| fs::write(first.join(file), bytes.to_string()).is_ok();
            if set("memory.limit_in_bytes") {
                // Swap counts too where the kernel keeps account of it.
                let _ = set("memory.memsw.limit_in_bytes");
                return Self { kind: Kind::V1(first) };
            }
        }
        let second = PathBuf::from("/sys/fs/cgroup").join(&name);
        if second.with_file_name("cgroup.controllers").exists() && fs::create_dir(&second).is_ok() {
            let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
            if fs::write(second.join("memory.max"), bytes.to_string()).is_ok() {
                let _ = fs::write(second.join("memory.swap.max"), "0");
                return Self { kind: Kind::V2(second) };
            }
        }
        let _ = fs::remove_dir(&first);
        let _ = fs::remove_dir(&second);
        Self { kind: Kind::None }
    }

    /// How memory is limited, for whoever reads the output.
    pub(crate) fn about(&self) -> &'static str {
        match self.kind {
            Kind::V1(_) => "1 GiB for all servers together (control group, version 1)",
            Kind::V2(_) => "1 GiB for all servers together (control group, version 2)",
            Kind::None => "no control group may be made here: not limited, only added up",
        }
    }

    /// A command that runs inside, and ends when this task does.
    pub(crate) fn command(&self, program: &str) -> Command {
        let (Kind::V1(group) | Kind::V2(group)) = &self.kind else { return bound(program) };
        let mut command = bound("sh");
        let join = "echo $$ > \"$0\" && exec \"$@\"";
        command.args(["-c", join]).arg(group.join("cgroup.procs")).arg(program);
        command
    }

    /// The most that was held at once; without a group, what `ids` and theirs hold now.
    pub(crate) fn peak_bytes(&self, ids: &[u32]) -> u64 {
        let number =
            |file: PathBuf| fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        let group = match &self.kind {
            Kind::V1(group) => number(group.join("memory.max_usage_in_bytes")),
            Kind::V2(group) => number(group.join("memory.peak")),
            Kind::None => None,
        };
        group.unwrap_or_else(|| ids.iter().flat_map(|id| descendants(*id)).map(resident).sum())
    }

    /// How many processes the kernel killed for want of memory, where it counts them.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let file = match &self.kind {
            Kind::V1(group) => group.join("memory.oom_control"),
            Kind::V2(group) => group.join("memory.events"),
            Kind::None => return None,
        };
        let text = fs::read_to_string(file).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let (Kind::V1(group) | Kind::V2(group)) = &self.kind else { return };
        // The last process leaves a moment after it has been waited for.
        for _ in 0..50 {
            if fs::remove_dir(group).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn resident(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib: u64 = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    kib * 1024
}
