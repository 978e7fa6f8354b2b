//! An archive of very many URLs: `many fill DIR COUNT` makes it and ends as a kill would end it, and
//! `many ask DIR COUNT` opens it twice and says, as one line of JSON, what opening, looking and memory cost.
//!
//! An example and not a test, because it takes minutes and its figures are of the machine.

#![allow(clippy::print_stdout, reason = "it is what it is for")]
#![allow(clippy::disallowed_methods, reason = "it measures how long things take")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use seawall_archive::{Archive, ArchiveOptions, Capture, Fetched, Kept, seed};
use seawall_model::WallTime;
use seawall_seal::SigningKey;

type Failed = Box<dyn Error>;

/// URLs that are kept in one call.
const BATCH: u64 = 2_000;
/// Looks that are timed.
const LOOKS: u64 = 20_000;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, dir, count] = arguments.as_slice() else {
        return Err("many fill|ask DIR COUNT".into());
    };
    match what.as_str() {
        "fill" => fill(Path::new(dir), count.parse()?),
        "ask" => ask(Path::new(dir), count.parse()?),
        _ => Err("many fill|ask DIR COUNT".into()),
    }
}

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

    let some = |n: u64| url(n.wrapping_mul(0x2545_f491_4f6c_dd1d) % count);
    let find = timed(|n| Ok(archive.find(&some(n), None)?.is_some()))?;
    let lookup = timed(|n| Ok(archive.lookup(&some(n), None)?.is_some()))?;
    let missing = timed(|n| Ok(archive.find(&format!("{}?none", some(n)), None)?.is_none()))?;
    let later = begin() + Duration::from_secs(90_000);
    let due = timed(|_| Ok(archive.due(later, 8)?.len() == 8))?;
    let (_, before_stats) = memory()?;
    let started = Instant::now();
    let stats = archive.stats()?;
    let stats_took = started.elapsed();
    if stats.held != count {
        return Err(format!("{} of {count} are held", stats.held).into());
    }
    let (anonymous, peak) = memory()?;
    let index = fs::metadata(dir.join("index.redb"))?.len();
    println!(
        r#"{{"urls":{count},"open_after_kill_ms":{:.1},"open_ms":{:.1},{},{},{},{},"stats_ms":{:.0},"peak_before_stats_mib":{before_stats:.1},"anonymous_mib":{anonymous:.1},"peak_mib":{peak:.1},"index_mib":{:.0},"all_mib":{:.0}}}"#,
        millis(after_kill),
        millis(open),
        said("find", &find),
        said("lookup", &lookup),
        said("missing", &missing),
        said("due", &due),
        millis(stats_took),
        index as f64 / f64::from(1 << 20),
        (index + stats.bytes) as f64 / f64::from(1 << 20),
    );
    Ok(())
}

/// What each of many calls took, in order of time. The call says whether its answer was right.
fn timed(call: impl Fn(u64) -> Result<bool, Failed>) -> Result<Vec<Duration>, Failed> {
    let mut took = Vec::with_capacity(LOOKS as usize);
    for n in 0..LOOKS {
        let started = Instant::now();
        let is_right = call(n)?;
        took.push(started.elapsed());
        if !is_right {
            return Err(format!("look {n} got a wrong answer").into());
        }
    }
    took.sort_unstable();
    Ok(took)
}

fn said(name: &str, took: &[Duration]) -> String {
    let at =
        |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].as_nanos() as f64 / 1e3;
    format!(r#""{name}_p50_us":{:.1},"{name}_p99_us":{:.1}"#, at(50), at(99))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
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
