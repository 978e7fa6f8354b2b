//! `seawall replay` through the real binary: logs go in, a story comes out.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use seawall_model::Date;
use serde_json::Value;

/// 2026-01-05 12:00:00 UTC.
const START: u64 = 1_767_614_400;

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // *Source:* Steele, Lea and Flood 2014 (SplitMix64).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn address(&mut self) -> String {
        format!(
            "{}.{}.{}.{}",
            11 + self.below(180),
            self.below(256),
            self.below(256),
            1 + self.below(254)
        )
    }
}

const BROWSERS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
];

/// A log that is written second by second.
struct Log {
    random: Random,
    lines: Vec<(u64, String)>,
}

impl Log {
    fn new() -> Self {
        Self { random: Random(7), lines: Vec::new() }
    }

    fn line(&mut self, at: u64, client: &str, target: &str, referrer: &str, agent: &str) {
        let date = Date::from_days(u32::try_from(at / 86_400).expect("a day"));
        let month = ["Jan", "Feb", "Mar"][date.month() as usize - 1];
        let (hour, minute, second) = (at / 3_600 % 24, at / 60 % 60, at % 60);
        let line = format!(
            "{client} - - [{:02}/{month}/{}:{hour:02}:{minute:02}:{second:02} +0000] \"GET {target} HTTP/1.1\" 200 5000 \"{referrer}\" \"{agent}\"",
            date.day(),
            date.year(),
        );
        self.lines.push((at, line));
    }

    /// One reader opens a page, with what belongs to it.
    fn visit(&mut self, at: u64, page: &str, referrer: &str) {
        let client = self.random.address();
        let agent = BROWSERS[self.random.below(4) as usize];
        self.line(at, &client, page, referrer, agent);
        let own = format!("https://example.org{page}");
        for file in ["/style.css", "/site.js", "/logo.svg"] {
            self.line(at + 1, &client, file, &own, agent);
        }
    }

    /// A reader each second for so long.
    fn ordinary(mut self, seconds: u64) -> Self {
        for second in 0..seconds {
            let page =
                format!("/2026/{:02}/story-{}/", 1 + self.random.below(12), self.random.below(40));
            self.visit(START + second, &page, "-");
        }
        self
    }

    fn flood(mut self, from: u64, seconds: u64, per_s: u64) -> Self {
        for second in from..from + seconds {
            for _ in 0..per_s {
                let (client, word) = (self.random.address(), self.random.below(1 << 40));
                let target = format!("/search?q={word}");
                self.line(START + second, &client, &target, "-", "python-requests/2.31.0");
            }
        }
        self
    }

    fn crowd(mut self, from: u64, seconds: u64, most_per_s: u64) -> Self {
        for second in 0..seconds {
            for _ in 0..(most_per_s * second / 60).min(most_per_s) {
                self.visit(START + from + second, "/2026/01/the-story/", "https://news.example/");
            }
        }
        self
    }

    fn text(mut self) -> String {
        self.lines.sort();
        let mut text = String::new();
        for (_, line) in self.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

fn seawall(args: &[&str], input: Option<&[u8]>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.map(<[u8]>::to_vec);
    let writer = std::thread::spawn(move || {
        if let Some(input) = input {
            let _ = stdin.write_all(&input);
        }
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("it took its input");
    output
}

fn replay(text: &str) -> Value {
    let output = seawall(&["replay", "-", "--json"], Some(text.as_bytes()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn incidents(story: &Value) -> &[Value] {
    story["incidents"].as_array().expect("a list")
}

#[test]
fn half_an_hour_of_readers_is_no_incident() {
    let story = replay(&Log::new().ordinary(1_800).text());
    assert_eq!(story["lines"], 7_200);
    assert_eq!(story["skipped"], 0);
    assert_eq!(story["from"], "2026-01-05T12:00:00Z");
    assert!(incidents(&story).is_empty(), "{story}");
}

#[test]
fn a_flood_is_an_attack_with_a_signature_in_words() {
    let story = replay(&Log::new().ordinary(1_800).flood(1_500, 60, 100).text());
    let [incident] = incidents(&story) else { panic!("{story}") };
    assert_eq!(incident["verdict"], "attack", "{incident}");
    let start = incident["start"].as_str().expect("a time");
    assert!(("2026-01-05T12:25:00".."2026-01-05T12:25:03").contains(&start), "{start}");
    let first = &incident["signatures"][0];
    let words = first["text"].as_str().expect("a text");
    assert!(words.contains("python-requests 2") || words.contains("/search"), "{words}");
    assert!(first["coverage"].as_f64().expect("a share") > 0.9, "{first}");
    assert!(first["collateral_upper"].as_f64().expect("a share") < 0.01, "{first}");
    let (matched, flood) = (incident["matched"].as_u64().expect("a count"), 6_000);
    assert!(matched * 100 > flood * 90 && matched <= flood, "{matched} of {flood}");
}

#[test]
fn what_a_log_cannot_tell_blocks_nobody() {
    // Forms, that no test can be put before; nor does a log say who was known, or who waits when told to.
    let mut log = Log::new().ordinary(2_400);
    for second in 2_100..2_280 {
        for _ in 0..100 {
            let client = log.random.address();
            log.line(START + second, &client, "/contact", "-", "python-requests/2.31.0");
        }
    }
    let text = log.text().replace("\"GET /contact", "\"POST /contact");
    let story = replay(&text);
    let [incident] = incidents(&story) else { panic!("{story}") };
    assert_eq!(incident["verdict"], "attack", "{incident}");
    let told = incident.to_string();
    assert!(told.contains("tested") || told.contains("challenge"), "{told}");
    assert!(!told.contains("no_readers") && !told.contains("block"), "{told}");
}

#[test]
fn a_crowd_is_no_attack_and_nobody_is_tested() {
    let story = replay(&Log::new().ordinary(1_800).crowd(1_200, 300, 20).text());
    for incident in incidents(&story) {
        assert_ne!(incident["verdict"], "attack", "{incident}");
        for signature in incident["signatures"].as_array().expect("a list") {
            assert_ne!(signature["rung"], "block", "{signature}");
        }
    }
}

#[test]
fn the_same_log_tells_the_same_story_packed_or_cut_in_files() {
    let text = Log::new().ordinary(600).flood(400, 30, 50).text();
    let expected = replay(&text);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let cut = text[..text.len() / 2].rfind('\n').expect("lines") + 1;
    // As logrotate leaves them: the older one packed, and named after the newer.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&text.as_bytes()[..cut]).expect("packed");
    fs::write(path("access.log.1.gz"), packer.finish().expect("packed")).expect("written");
    fs::write(path("access.log"), &text[cut..]).expect("written");
    let args = [path("access.log"), path("access.log.1.gz")].map(|path| path.display().to_string());
    let output = seawall(&["replay", &args[0], &args[1], "--json"], None);
    let mut story: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    story["files"] = expected["files"].clone();
    assert_eq!(story, expected);
}

#[test]
fn people_get_a_text_and_a_page_that_loads_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("replay.html");
    let mut text = Log::new().ordinary(900).flood(700, 30, 100).text();
    text.push_str("no request\n");
    let page_path = page.display().to_string();
    let output = seawall(&["replay", "-", "--html", &page_path], Some(text.as_bytes()));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 incident:") && said.contains("an attack"), "{said}");
    assert!(said.contains("1 lines are no requests"), "{said}");
    let html = fs::read_to_string(&page).expect("the page");
    assert!(html.contains("<svg") && html.contains("An attack"));
    for outside in ["<script", "<link", "src=", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let is_part = |c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':');
    let address = html.split(is_part).find(|word| word.parse::<std::net::Ipv4Addr>().is_ok());
    assert_eq!(address, None, "no address of a reader belongs there");
}

#[test]
fn what_strangers_wrote_cannot_get_out_of_its_place() {
    let mut log = Log::new().ordinary(900);
    for second in 700..730 {
        for _ in 0..100 {
            let client = log.random.address();
            log.line(START + second, &client, "/x", "-", "<script>alert(1)</script>\u{1b}[2J");
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("replay.html");
    let page_path = page.display().to_string();
    let output = seawall(&["replay", "-", "--html", &page_path], Some(log.text().as_bytes()));
    assert!(!output.stdout.contains(&0x1b));
    let html = fs::read_to_string(&page).expect("the page");
    assert!(!html.contains("<script"), "a user agent became markup");
}

#[test]
fn what_cannot_be_read_is_said_with_a_way_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("empty"), "").expect("written");
    fs::write(path("poem"), "roses are red\nviolets are blue\n").expect("written");
    for (name, said) in [
        ("missing", "is the path right"),
        ("empty", "none of 0 lines"),
        ("poem", "none of 2 lines is a request"),
    ] {
        let output = seawall(&["replay", &path(name)], None);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {stderr}");
        assert!(stderr.contains(said) && stderr.contains("hint:"), "{name}: {stderr}");
    }
    assert_eq!(seawall(&["replay"], None).status.code(), Some(2));
}

/// Logs by others that lie beside the project where it is developed.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.exists() {
        // Read by whoever runs it with --no-capture.
        #[allow(clippy::print_stdout, reason = "a test that is left out says so")]
        {
            println!("left out: {name} is not here");
        }
        return None;
    }
    Some(path)
}

#[test]
fn a_real_blog_raises_no_attack() {
    let Some(path) = shared("elastic-apache-semicomplete/apache_logs.xz") else { return };
    let output = seawall(&["replay", &path.display().to_string(), "--json"], None);
    let story: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(story["lines"], 10_000);
    assert!(incidents(&story).is_empty(), "{}", story["incidents"]);
}

#[test]
fn a_real_day_of_a_busy_site_raises_no_attack() {
    let Some(path) = shared("nasa-1995-08-01/nasa_19950801.tsv.xz") else { return };
    let mut tsv = String::new();
    let file = fs::read(path).expect("the file");
    std::io::Read::read_to_string(&mut lzma_rust2::XzReader::new(&file[..], true), &mut tsv)
        .expect("unpacked");
    let mut text = String::new();
    for line in tsv.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [host, _, time, method, url, status, bytes, ..] = fields[..] else { continue };
        let at: u64 = time.parse().expect("seconds");
        let date = Date::from_days(u32::try_from(at / 86_400).expect("a day"));
        let (hour, minute, second) = (at / 3_600 % 24, at / 60 % 60, at % 60);
        let _ = writeln!(
            text,
            "{host} - - [{:02}/Aug/{}:{hour:02}:{minute:02}:{second:02} +0000] \"{method} {url} HTTP/1.0\" {status} {bytes}",
            date.day(),
            date.year(),
        );
    }
    let story = replay(&text);
    assert!(story["lines"].as_u64().expect("a count") > 30_000);
    assert!(incidents(&story).is_empty(), "{}", story["incidents"]);
}
