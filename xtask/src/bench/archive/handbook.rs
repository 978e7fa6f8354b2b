//! Debian's handbook in all its languages, as a site that the shipped program crawls as it comes.
//!
//! Then the origin ends, and everything that was fetched is asked for again and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::{Running, bound, free_port, is_root, output, scratch, write};
use crate::site::readers::Readers;
use crate::table::{Bar, Line};

/// Where the package puts it; a folder for each language.
const PAGES: &str = "/usr/share/doc/debian-handbook/html";

const START_LIMIT: Duration = Duration::from_secs(30);
/// A crawl that takes longer is broken off; the bar is ten minutes.
const CRAWL_LIMIT: Duration = Duration::from_secs(1_200);

struct Site {
    folder: PathBuf,
    origin: SocketAddr,
    plain: SocketAddr,
    metrics: SocketAddr,
    front: String,
}

/// What was seen of the crawl.
struct Crawl {
    seconds: f64,
    /// Memory at the start and at most, MiB: of the process, and what is no file.
    begin_mib: f64,
    peak_mib: f64,
    anonymous_mib: f64,
    /// What a processor worked for it.
    worked_s: f64,
}

/// Crawls it, ends the origin and compares.
///
/// # Errors
/// When something does not start, or a page that was fetched does not come back as it was.
pub(super) fn run(root: &Path, program: &Path) -> Outcome<Vec<Line>> {
    let site = Site::new(scratch(root, "bench-archive")?)?;
    let mut nginx = site.nginx()?;
    let mut seawall = site.seawall(program)?;
    eprintln!("handbook: it is crawled, which takes some ten minutes");
    let crawl = site.crawl(&seawall)?;
    // What was fetched last is packed.
    seawall.stop();
    nginx.stop();
    let fetched = site.fetched()?;
    let raw: u64 = fetched.values().map(Vec::len).map(|length| length as u64).sum();
    let mut contents: Vec<&Vec<u8>> = fetched.values().collect();
    contents.sort();
    contents.dedup();
    let once: u64 = contents.iter().map(|content| content.len() as u64).sum();

    let _seawall = site.seawall(program)?;
    // Now that it is opened again: a stop that took too long and was ended by a kill leaves a file that opening
    // removes.
    let archive = site.folder.join("state/archive/handbook.test");
    let on_disk = |found: &Metadata| found.blocks() * 512;
    // The library that keeps the index makes its file longer than it needs; what was never written takes no room.
    let bytes = bytes_in(&archive, on_disk)?;
    let index = fs::metadata(archive.join("index.redb")).map_or(0, |found| on_disk(&found));
    let package = bytes_in(Path::new(PAGES), on_disk)?;
    let package_contents = bytes_in(Path::new(PAGES), Metadata::len)?;
    eprintln!("handbook: the origin has ended; {} answers are compared", fetched.len());
    let (mut times, wrong) = site.compare(&fetched)?;
    times.sort_by(f64::total_cmp);
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    let first_ms = times.last().copied().unwrap_or(f64::NAN);
    let share = |of: u64| bytes as f64 * 100.0 / of as f64;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let pages = fetched.keys().filter(|path| path.ends_with(".html")).count();
    let most =
        |what: &str, found: f64, bar: f64, unit| Line::new(what, found, unit, Bar::AtMost(bar));
    Ok(vec![
        most("crawl at the default politeness", crawl.seconds, 600.0, "s")
            .note(format!("it worked {:.1} s of a processor", crawl.worked_s)),
        most("archive of what was fetched", share(raw), 60.0, "%").note(format!(
            "{} URLs, {pages} of them pages, {:.1} MiB",
            fetched.len(),
            mib(raw)
        )),
        most("archive of the package, both on disk", share(package), 60.0, "%").note(format!(
            "{:.2} MiB are {:.1} MiB of contents, of which {:.1} MiB were fetched, each once",
            mib(package),
            mib(package_contents),
            mib(once)
        )),
        Line::new("archive and index", mib(bytes), "MiB", Bar::None).note(format!(
            "the index {:.2} MiB of them; {:.1} % of those contents",
            mib(index),
            share(package_contents)
        )),
        most("memory that is no file", crawl.anonymous_mib, 40.0, "MiB").note(format!(
            "resident {:.1} MiB at the start and {:.1} MiB at most",
            crawl.begin_mib, crawl.peak_mib
        )),
        most("answers that are wrong or missing", wrong as f64, 0.0, ""),
        most("a copy with the origin away, p99", p99, 50.0, "ms")
            .note(format!("the slowest {first_ms:.1} ms")),
    ])
}

impl Site {
    fn new(folder: PathBuf) -> Outcome<Self> {
        let address = || free_port().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut front = "<!doctype html><title>The handbook</title>".to_owned();
        let mut languages: Vec<String> = entries(Path::new(PAGES))?
            .filter(|path| path.is_dir())
            .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            .collect();
        languages.sort();
        for language in languages {
            front.push_str(&format!("<p><a href=/{language}/index.html>{language}</a>"));
        }
        Ok(Self { folder, origin: address()?, plain: address()?, metrics: address()?, front })
    }

    fn nginx(&self) -> Outcome<Running> {
        let own = self.folder.join("nginx");
        fs::create_dir_all(&own).map_err(|error| format!("cannot make `{own:?}`: {error}"))?;
        let user = if is_root() { "user root; " } else { "" };
        let (front, origin) = (&self.front, self.origin);
        let text = format!(
            "{user}daemon off; worker_processes 1; pid {own}/pid; error_log {own}/error.log;
events {{ worker_connections 500; }}
http {{
  include /etc/nginx/mime.types; default_type application/octet-stream;
  log_format short '$status $request_uri'; access_log {own}/access.log short;
  client_body_temp_path {own}/body; fastcgi_temp_path {own}/fastcgi; proxy_temp_path {own}/proxy;
  uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
  server {{
    listen {origin}; root {PAGES}; absolute_redirect off;
    location = / {{ default_type text/html; return 200 '{front}'; }}
  }}
}}
",
            own = own.display()
        );
        let config = own.join("nginx.conf");
        write(&config, &text)?;
        let mut command = bound("/usr/sbin/nginx");
        command.arg("-c").arg(&config).arg("-p").arg(&own).args(["-e", "/dev/null"]);
        let mut running = Running::start("nginx", &mut command, &own.join("log"))?;
        running.wait_for(self.origin, START_LIMIT)?;
        Ok(running)
    }

    /// As it comes, but for the note: with it no page would be what the origin had.
    fn seawall(&self, program: &Path) -> Outcome<Running> {
        let folder = self.folder.display();
        let text = format!(
            "state_dir = \"{folder}/state\"\n[[listen]]\naddress = \"{}\"\n[[site]]\n\
             hosts = [\"handbook.test\"]\norigin = \"http://{}\"\n[site.archive]\nnote = \"off\"\n\
             [admin]\naddress = \"{}\"\nsocket = \"{folder}/admin.sock\"\n",
            self.plain, self.origin, self.metrics
        );
        let file = self.folder.join("seawall.toml");
        write(&file, &text)?;
        fs::create_dir_all(self.folder.join("state"))
            .map_err(|error| format!("cannot make the state folder: {error}"))?;
        let mut command = bound(&program.to_string_lossy());
        command.args(["serve", "--config"]).arg(&file);
        let log = self.folder.join("seawall.log");
        let mut running = Running::start("seawall", &mut command, &log)?;
        running.wait_for(self.plain, START_LIMIT)?;
        Ok(running)
    }

    /// Waits until nothing is due any more.
    fn crawl(&self, seawall: &Running) -> Outcome<Crawl> {
        let began = Instant::now();
        let begin_mib = memory(seawall.id(), "VmRSS:")?;
        let mut anonymous_mib: f64 = 0.0;
        let mut url = bound("curl");
        url.args(["-s", "--max-time", "5", &format!("http://{}/metrics", self.metrics)]);
        while began.elapsed() < CRAWL_LIMIT {
            thread::sleep(Duration::from_secs(2));
            let said = output(&mut url)?.stdout;
            let said = String::from_utf8_lossy(&said);
            let metric = |name: &str| {
                let line = said.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim().parse::<u64>().ok()
            };
            let due = metric("seawall_archive_due ").ok_or("there is no such metric")?;
            let fetched = metric("seawall_archive_fetched_total ").unwrap_or(0);
            anonymous_mib = anonymous_mib.max(memory(seawall.id(), "RssAnon:")?);
            if due == 0 && fetched > 100 {
                let seconds = began.elapsed().as_secs_f64();
                let peak_mib = memory(seawall.id(), "VmHWM:")?;
                let worked_s = worked_s(seawall.id())?;
                return Ok(Crawl { seconds, begin_mib, peak_mib, anonymous_mib, worked_s });
            }
        }
        Err(format!("the crawl was not done after {CRAWL_LIMIT:?}"))
    }

    /// What the origin answered with 200, and with what.
    fn fetched(&self) -> Outcome<BTreeMap<String, Vec<u8>>> {
        let log = fs::read_to_string(self.folder.join("nginx/access.log"))
            .map_err(|error| format!("cannot read the origin's log: {error}"))?;
        let mut fetched = BTreeMap::new();
        for path in log.lines().filter_map(|line| line.strip_prefix("200 ")) {
            let content = match path {
                "/" => self.front.clone().into_bytes(),
                _ => fs::read(format!("{PAGES}{path}"))
                    .map_err(|error| format!("cannot read `{path}`: {error}"))?,
            };
            fetched.insert(path.to_owned(), content);
        }
        Ok(fetched)
    }

    /// Asks for all of it; how long each took in milliseconds, and how many were not what they had been.
    fn compare(&self, fetched: &BTreeMap<String, Vec<u8>>) -> Outcome<(Vec<f64>, usize)> {
        let paths: Vec<String> = fetched.keys().cloned().collect();
        let readers = Readers {
            site: "http://handbook.test",
            at: self.plain,
            at_once: 1,
            folder: &self.folder,
        };
        let (mut times, mut wrong) = (Vec::new(), 0);
        for (got, (path, content)) in readers.read(&paths)?.iter().zip(fetched) {
            times.push(got.ms);
            let answer = &got.answer;
            if answer.status != 200 || answer.body != *content {
                let (found, had) = (answer.body.len(), content.len());
                eprintln!("{path}: {}, {found} bytes and not {had}", answer.status);
                wrong += 1;
            }
        }
        Ok((times, wrong))
    }
}

fn entries(folder: &Path) -> Outcome<impl Iterator<Item = PathBuf>> {
    let entries = fs::read_dir(folder)
        .map_err(|error| format!("cannot read `{}`: {error}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()))
}

/// Bytes of the files below a folder, of those with several names once.
fn bytes_in(folder: &Path, bytes_of: impl Fn(&Metadata) -> u64) -> Outcome<u64> {
    let (mut bytes, mut seen) = (0, BTreeSet::new());
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => folders.push(path),
                Ok(found) if found.is_file() && seen.insert((found.dev(), found.ino())) => {
                    bytes += bytes_of(&found);
                }
                _ => {}
            }
        }
    }
    Ok(bytes)
}

/// Seconds that processors worked for a process, in its programs and in the system.
fn worked_s(id: u32) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))
        .map_err(|error| format!("seawall has ended: {error}"))?;
    // The name before the last bracket may hold spaces; from there on these are fields 12 and 13.
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
    let both = ticks(11).zip(ticks(12)).map(|(own, system)| own + system);
    // USER_HZ is 100 for programs on every Linux we run on.
    both.map(|ticks| ticks / 100.0).ok_or_else(|| "the system does not tell `stat`".to_owned())
}

/// A field of `/proc/ID/status`, in MiB.
fn memory(id: u32, field: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))
        .map_err(|error| format!("seawall has ended: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("the system does not tell `{field}`"))
}
