//! An archive of very many URLs: `many fill DIR COUNT` makes it and ends as a kill would end it, and
//! `many ask DIR COUNT` opens it twice and says, as one line of JSON, what opening, looking and memory cost.
//! `many ask-cold DIR COUNT` asks fewer times.
//!
//! Before it asks, `ask` reads all files once, so that the system has them in memory as far as they fit; `ask-cold`
//! has it forget them. How much is read from the disk while it asks is told.
//!
//! Of each look two times are taken: what passed, and what the processor worked for it. Where others want
//! the processor as well the first has whole turns of theirs in it, of some milliseconds each.
//!
//! An example and not a test, because it takes minutes and its figures are of the machine.

#![allow(clippy::print_stdout, reason = "it is what it is for")]
#![allow(clippy::disallowed_methods, reason = "it measures how long things take")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::{Advice, fadvise};
use rustix::time::{ClockId, clock_gettime};
use seawall_archive::{
    Archive, ArchiveOptions, Capture, Fetched, FoundBy, Kept, Scope, ScopeRules, seed,
};
use seawall_model::WallTime;
use seawall_seal::SigningKey;

type Failed = Box<dyn Error>;

/// URLs that are kept in one call.
const BATCH: u64 = 2_000;
/// Looks that are timed.
const LOOKS: u64 = 20_000;
/// Looks that are timed while nothing is in memory: few, so that each still finds it so.
const COLD_LOOKS: u64 = 2_000;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, dir, count] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    match what.as_str() {
        "fill" => fill(Path::new(dir), count.parse()?),
        "ask" => ask(Path::new(dir), count.parse()?),
        "ask-cold" => ask_cold(Path::new(dir), count.parse()?),
        _ => Err(USAGE.into()),
    }
}

const USAGE: &str = "many fill|ask|ask-cold DIR COUNT";

fn begin() -> WallTime {
    WallTime::from_unix_secs(1_790_000_000)
}

/// As a large site has them: sections with articles, in no order.
fn url(n: u64) -> String {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "https://www.example.org/{}/{}/an-article-about-{mixed:016x}/",
        2000 + mixed % 25,
        n % 12
    )
}

fn opened(dir: &Path) -> Result<Archive, Failed> {
    let key = Arc::new(SigningKey::generate()?);
    // Far from full: what is measured is the index.
    Ok(Archive::open(dir, ArchiveOptions::new(1 << 40), key, begin())?.0)
}

fn fill(dir: &Path, count: u64) -> Result<(), Failed> {
    let started = Instant::now();
    let archive = opened(dir)?;
    for first in (0..count).step_by(BATCH as usize) {
        let now = begin() + Duration::from_secs(first / BATCH);
        let fetched = (first..count.min(first + BATCH)).map(|n| {
            let body = format!("<!doctype html><title>Article {n}</title><p>This is article {n}.");
            let fields = vec![("content-type".to_owned(), b"text/html".to_vec())];
            let url = url(n);
            let mut known = seed(&url, now);
            known.due = now + Duration::from_secs(86_400 + n % 86_400);
            let body = Bytes::from(body);
            let capture = Capture { url: url.clone(), captured: now, status: 200, fields, body };
            Fetched {
                url,
                known,
                known_if_same: None,
                kept: Kept::Response(capture),
                title: Some(format!("Article {n}")),
            }
        });
        archive.keep(fetched.collect(), Vec::new(), now)?;
        archive.upkeep(now)?;
    }
    let (anonymous, peak) = memory()?;
    println!(
        r#"{{"fill_s":{:.1},"fill_anonymous_mib":{anonymous:.1},"fill_peak_mib":{peak:.1}}}"#,
        started.elapsed().as_secs_f64()
    );
    // No destructor runs.
    std::process::abort()
}

fn ask(dir: &Path, count: u64) -> Result<(), Failed> {
    let started = Instant::now();
    drop(opened(dir)?);
    let after_kill = started.elapsed();
    let started = Instant::now();
    let archive = opened(dir)?;
    let open = started.elapsed();

    read_all(dir)?;
    let (waited_before, read_before) = (waited_for_processor()?, read_from_disk()?);
    let found = looks(&archive, count, LOOKS)?;
    let waited = waited_for_processor()?.saturating_sub(waited_before);
    let read = read_from_disk()?.saturating_sub(read_before);
    let later = begin() + Duration::from_secs(90_000);
    let due = timed(LOOKS, |_| Ok(archive.due(later, 8)?.len() == 8))?;
    let (_, peak_asked) = memory()?;

    let started = Instant::now();
    let stats = archive.stats()?;
    let stats_took = started.elapsed();
    if stats.held != count {
        return Err(format!("{} of {count} are held", stats.held).into());
    }
    let recalled = recall(&archive)?;
    let (anonymous, peak) = memory()?;
    let index = fs::metadata(dir.join("index.redb"))?;
    // The library makes its file twice as long when it is full; what was never written takes no room.
    let allocated = index.blocks() * 512;
    println!(
        r#"{{"urls":{count},"open_after_kill_ms":{:.1},"open_ms":{:.1},{found},{},"waited_for_processor_ms":{:.0},"read_from_disk_mib":{:.1},"stats_ms":{:.0},{recalled},"peak_asked_mib":{peak_asked:.1},"anonymous_mib":{anonymous:.1},"peak_mib":{peak:.1},"index_mib":{:.0},"index_allocated_mib":{:.0},"index_bytes_per_url":{},"all_mib":{:.0}}}"#,
        millis(after_kill),
        millis(open),
        said("due", &due),
        millis(waited),
        mib(read),
        millis(stats_took),
        mib(index.len()),
        mib(allocated),
        allocated / count.max(1),
        mib(index.len() + stats.bytes),
    );
    Ok(())
}

fn ask_cold(dir: &Path, count: u64) -> Result<(), Failed> {
    let dropped = drop_cached(dir)?;
    let started = Instant::now();
    let archive = opened(dir)?;
    let open = started.elapsed();
    let read_before = read_from_disk()?;
    let found = looks(&archive, count, COLD_LOOKS)?;
    let read = read_from_disk()?.saturating_sub(read_before);
    println!(
        r#"{{"cold_open_ms":{:.1},{found},"dropped_mib":{:.0},"read_from_disk_mib":{:.1}}}"#,
        millis(open),
        mib(dropped),
        mib(read)
    );
    Ok(())
}

/// What a reader may ask: which version there is, that page, a page that is not there.
fn looks(archive: &Archive, count: u64, looks: u64) -> Result<String, Failed> {
    let some = |n: u64| url(n.wrapping_mul(0x2545_f491_4f6c_dd1d) % count);
    // Others than those that were asked for before.
    let other = |n: u64| some(n + looks);
    let find = timed(looks, |n| Ok(archive.find(&some(n), None)?.is_some()))?;
    let lookup = timed(looks, |n| Ok(archive.lookup(&other(n), None)?.is_some()))?;
    let missing =
        timed(looks, |n| Ok(archive.find(&format!("{}?none", some(n)), None)?.is_none()))?;
    let all = [("find", &find), ("lookup", &lookup), ("missing", &missing)];
    Ok(all.map(|(name, took)| said(name, took)).join(","))
}

/// What the crawl does when it starts: it counts what is known. Then a judge that has seen as many kinds as
/// it counts, which is the most it takes.
fn recall(archive: &Archive) -> Result<String, Failed> {
    let hosts = vec!["www.example.org".to_owned()];
    let mut scope = Scope::new(ScopeRules { hosts, ..ScopeRules::default() });
    let (before, _) = memory()?;
    let started = Instant::now();
    archive.each_known("", |url, known, _| {
        scope.judge(url, FoundBy::Link { depth: known.depth }, begin());
        scope.judge(&format!("{url}?page=2"), FoundBy::Link { depth: known.depth }, begin());
        true
    })?;
    let took = started.elapsed();
    let (after, _) = memory()?;
    drop(scope);
    let grown = after - before;
    Ok(format!(r#""recall_ms":{:.0},"recall_grown_mib":{grown:.1}"#, millis(took)))
}

/// What a call took, in all and of the processor.
struct Took {
    passed: Vec<Duration>,
    worked: Vec<Duration>,
}

/// What each of many calls took, in order of time. The call says whether its answer was right.
fn timed(looks: u64, call: impl Fn(u64) -> Result<bool, Failed>) -> Result<Took, Failed> {
    let (mut passed, mut worked) = (Vec::new(), Vec::new());
    for n in 0..looks {
        let (started, work) = (Instant::now(), thread_time());
        let is_right = call(n)?;
        worked.push(thread_time().saturating_sub(work));
        passed.push(started.elapsed());
        if !is_right {
            return Err(format!("look {n} got a wrong answer").into());
        }
    }
    passed.sort_unstable();
    worked.sort_unstable();
    Ok(Took { passed, worked })
}

fn said(name: &str, took: &Took) -> String {
    let at = |times: &[Duration], share: usize| {
        times[(times.len() * share / 100).min(times.len() - 1)].as_nanos() as f64 / 1e3
    };
    format!(
        r#""{name}_p50_us":{:.1},"{name}_p99_us":{:.1},"{name}_worked_p50_us":{:.1},"{name}_worked_p99_us":{:.1}"#,
        at(&took.passed, 50),
        at(&took.passed, 99),
        at(&took.worked, 50),
        at(&took.worked, 99),
    )
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What the processor worked for this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// How long this thread could have run and had no processor.
fn waited_for_processor() -> Result<Duration, Failed> {
    let schedule = fs::read_to_string("/proc/thread-self/schedstat")?;
    let waited = schedule.split_whitespace().nth(1).ok_or("no such field")?;
    Ok(Duration::from_nanos(waited.parse()?))
}

fn read_from_disk() -> Result<u64, Failed> {
    let io = fs::read_to_string("/proc/self/io")?;
    let bytes = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    Ok(bytes.ok_or("no such field")?.parse()?)
}

/// Reads all files once.
fn read_all(dir: &Path) -> Result<(), Failed> {
    for entry in fs::read_dir(dir)? {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(entry?.path())?);
        while let length @ 1.. = reader.fill_buf()?.len() {
            reader.consume(length);
        }
    }
    Ok(())
}

/// Has the system forget what it keeps of these files in memory; how many bytes they are.
fn drop_cached(dir: &Path) -> Result<u64, Failed> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let file = File::open(entry?.path())?;
        // What is not on the disk yet stays.
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        bytes += file.metadata()?.len();
    }
    Ok(bytes)
}

/// Memory of this process now that is no file, and the most that was resident, in MiB.
fn memory() -> Result<(f64, f64), Failed> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| -> Result<f64, Failed> {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such field")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    };
    Ok((field("RssAnon:")?, field("VmHWM:")?))
}
