//! What readers send is nowhere but with the site: planted into real traffic of an attack, and looked for in every file
//! that is left, in what the program said, and in every export.
//!
//! Of a thousand readers no address, cookie, credential, query value or content may be found. What the flooders are is
//! the test of the looking: their addresses have to be found in the record and in the sealed edition, and nowhere else.

mod common;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use flate2::read::ZlibDecoder;
use seawall_edge::watcher::{GeneratedRequest, write_generated_baseline};

use crate::common::{Ran, Shield, run_in};

const READERS: u32 = 1_000;
/// Who floods: refused again and again, with nothing that speaks for it.
const BOTS: [&str; 2] = ["203.0.113.71", "2001:db8:71:1::71"];
/// What readers and flooders send: a part of it in any file is a part too much.
const PLANTED: [&str; 5] =
    ["planted-bearer", "cGxhbnRlZDpiYXNpYw", "planted-cookie", "planted-query", "planted-body"];
/// Refusals of each flooder while the incident is recorded: more than the 20 of which addresses are told.
const ENOUGH: u64 = 100;
const BOUND: Duration = Duration::from_secs(150);

/// Readers of either family, each in a network of their own.
fn reader(number: u32) -> IpAddr {
    let (high, low) = (number / 250, number % 250);
    let text = if number.is_multiple_of(2) {
        format!("198.{}.{low}.{}", 18 + high, 101 + number % 97)
    } else {
        format!("2001:db8:{:x}{low:02x}:9::{:x}", 1 + high, 0xa00 + number)
    };
    text.parse().expect("an address")
}

/// A site that answers everything and lets nothing be kept, for as long as the test runs. Counts the readers' requests.
fn origin(asked: &'static AtomicU64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, asked));
        }
    });
    address
}

fn answer(stream: TcpStream, asked: &AtomicU64) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut content, mut head) = (String::new(), 0, String::new());
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                content = length.trim().parse().unwrap_or(0);
            }
            head.push_str(&line);
            line.clear();
        }
        let _ = std::io::copy(&mut reader.by_ref().take(content), &mut std::io::sink());
        asked.fetch_add(u64::from(head.contains("planted-cookie")), Ordering::Relaxed);
        let answer = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok";
        if head.is_empty() || reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A client behind a proxy that says who it is, as load balancers do: address and port.
struct Client {
    shield: String,
    from: IpAddr,
    stream: BufReader<TcpStream>,
}

impl Client {
    fn new(shield: &str, from: IpAddr) -> Self {
        let mut stream = TcpStream::connect(shield).expect("it listens");
        let (family, to) =
            if from.is_ipv4() { ("TCP4", "192.0.2.10") } else { ("TCP6", "2001:db8::10") };
        let line = format!("PROXY {family} {from} {to} 40000 443\r\n");
        stream.write_all(line.as_bytes()).expect("it reads");
        Self { shield: shield.to_owned(), from, stream: BufReader::new(stream) }
    }

    /// Sends a request and reads its answer: whether it was refused. Where the shield hangs up it connects anew.
    fn ask(&mut self, start: &str, fields: &str, content: &str) -> bool {
        let length = content.len();
        let request = format!(
            "{start} HTTP/1.1\r\nHost: example.org\r\n{fields}Content-Length: {length}\r\n\r\n{content}"
        );
        let sent = self.stream.get_mut().write_all(request.as_bytes()).is_ok();
        let answer = if sent { self.answered() } else { None };
        let (status, is_last) = answer.unwrap_or_default();
        if status == 0 || is_last {
            *self = Self::new(&self.shield, self.from);
        }
        status >= 400
    }

    /// The status of an answer, and whether the connection ends with it.
    fn answered(&mut self) -> Option<(u16, bool)> {
        let (mut status, mut content, mut line, mut is_last) = (None, 0, String::new(), false);
        loop {
            line.clear();
            match self.stream.read_line(&mut line).ok()? {
                0 => return None,
                2 => break,
                _ => {}
            }
            let line = line.to_ascii_lowercase();
            if status.is_none() {
                status = line.split(' ').nth(1)?.parse().ok();
            }
            is_last |= line.trim() == "connection: close";
            if let Some(length) = line.strip_prefix("content-length:") {
                content = length.trim().parse().expect("a number");
            }
        }
        std::io::copy(&mut self.stream.by_ref().take(content), &mut std::io::sink()).ok()?;
        Some((status?, is_last))
    }
}

/// All readers once, with all that readers bring.
fn read(shield: &str) {
    for number in 0..READERS {
        let authorisation = match number % 3 {
            0 => format!("Authorization: Bearer planted-bearer-{number}\r\n"),
            1 => "Authorization: Basic cGxhbnRlZDpiYXNpYw==\r\n".to_owned(),
            _ => String::new(),
        };
        let fields = format!(
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
             Accept: text/html\r\n{authorisation}Cookie: session=planted-cookie-{number}\r\n"
        );
        let (start, content) = match number % 5 {
            0 => ("POST /comment?token=planted-query", "text=planted-body"),
            1 => ("GET /a-story/?planted-query", ""),
            _ => ("GET /search?q=planted-query", ""),
        };
        Client::new(shield, reader(number)).ask(&format!("{start}-{number}"), &fields, content);
    }
}

/// Floods until that is over. Says when it was refused often enough while `is_recorded`; however fast the machine is, because
/// what is asked for has a small budget.
fn flood(mut bot: Client, is_recorded: &dyn Fn() -> bool, is_over: &AtomicBool, tell: &Sender<()>) {
    let mut refused = 0;
    for number in 0_u64.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let start = format!("GET /search?q=planted-query-of-{number}");
        let is_refused = bot.ask(&start, "User-Agent: python-requests/2.32.3\r\n", "");
        refused += u64::from(is_refused && is_recorded());
        if refused == ENOUGH {
            // Nobody may wait for it any more.
            let _ = tell.send(());
        }
    }
}

/// What a quarter of an hour of two requests a second teaches, without which a flood at the start is ordinary.
fn learned(state: &Path) {
    fs::create_dir(state).expect("own folder");
    let head = "GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: reader\r\n\r\n";
    let requests = (0..1_800_u32).map(|number| GeneratedRequest {
        at: Duration::from_millis(500) * number,
        client: IpAddr::from((0x0a00_0000 + number % 400 * 256).to_be_bytes()),
        head: head.as_bytes(),
        opens: true,
        work: None,
    });
    write_generated_baseline(state, requests).expect("written");
    // It is taken for learned: of a rehearsal there would be no complaints to draft.
    let file = state.join("baseline");
    let bytes = fs::read(&file).expect("it was written");
    fs::write(file, bytes.strip_prefix(b"GENERATED").expect("it says so")).expect("own folder");
}

/// Makes a record as a flood leaves it behind that readers came in the middle of; what the program said meanwhile.
fn attacked(folder: &Path) -> String {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let config = format!(
        "state_dir = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\
         [[site]]\nhosts = [\"*\"]\norigin = \"http://{}\"\n\
         [[site.route]]\npath = \"/search\"\nbudget = \"10/min\"\n\
         [network]\ntrusted_proxies = [\"127.0.0.1\"]\n",
        origin(&ASKED)
    );
    fs::write(folder.join("seawall.toml"), config).expect("own folder");
    learned(&folder.join("state"));
    let shield = Shield::start(folder, &["--config", "seawall.toml"]);
    let (address, is_over) = (shield.address().to_owned(), AtomicBool::new(false));
    let is_recorded =
        || fs::read_dir(folder.join("state/incidents")).is_ok_and(|mut all| all.next().is_some());
    let (tell, told) = channel();
    let is_enough = std::thread::scope(|scope| {
        for from in BOTS {
            let bot = Client::new(&address, from.parse().expect("an address"));
            let (is_over, tell) = (&is_over, tell.clone());
            scope.spawn(move || flood(bot, &is_recorded, is_over, &tell));
        }
        read(&address);
        let is_enough = BOTS.iter().all(|_| told.recv_timeout(BOUND).is_ok());
        read(&address);
        is_over.store(true, Ordering::Relaxed);
        is_enough
    });
    let (said, code) = shield.stop_and_say();
    assert!(is_enough, "no incident was recorded:\n{said}");
    assert_eq!(code, Some(0), "{said}");
    assert!(ASKED.load(Ordering::Relaxed) > 0, "no reader was let through:\n{said}");
    said
}

fn report(folder: &Path, args: &[&str]) -> Ran {
    run_in(folder, &[&["report"], args, &["--state", "state"]].concat())
}

/// Every export of either edition into `public` and `sealed`, and what else is said of a record.
fn export(folder: &Path) {
    for (edition, formats) in [
        ("public", &["html", "pdf", "json", "csv", "stix", "misp", "nis2"][..]),
        ("sealed", &["html", "pdf", "json", "csv", "stix", "misp", "nis2", "xarf"]),
    ] {
        fs::create_dir(folder.join(edition)).expect("own folder");
        for format in formats {
            let out = format!("{edition}/{format}");
            let done = report(
                folder,
                &["export", "last", "--format", format, "--edition", edition, "--out", &out],
            );
            assert_eq!(done.code, Some(0), "{out}: {}", done.stderr);
        }
    }
    report(folder, &["export", "last", "--format", "xarf"]).check_failed(2, &["edition sealed"]);
    for what in [&["list"][..], &["show", "last"], &["show", "last", "--json"], &["privacy"]] {
        let shown = report(folder, what);
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        let name = format!("public/{}", what.join("-"));
        fs::write(folder.join(name), shown.stdout + &shown.stderr).expect("own folder");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let of = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(|entry| of(entry.path())).filter(|path| path.is_file()).collect()
}

/// What a file says, with the streams of a PDF as they are shown.
fn content(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).expect("readable");
    if bytes.starts_with(b"%PDF") {
        let mut shown = Vec::new();
        let starts = bytes.windows(7).enumerate().filter(|(_, piece)| piece == b"stream\n");
        for (start, _) in starts {
            // What is not packed ends with an error, and is there as it is.
            let _ = ZlibDecoder::new(&bytes[start + 7..]).read_to_end(&mut shown);
        }
        bytes.extend(shown);
    }
    bytes
}

/// Every address in it: as text in any spelling, and those of IPv6 as numbers.
fn addresses(bytes: &[u8]) -> HashSet<IpAddr> {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|c: char| !(c.is_ascii_hexdigit() || ".:".contains(c)));
    let spelled = words.filter(|word| word.len() >= 7).flat_map(|word| {
        let word = word.trim_end_matches(['.', ':']);
        let bare = word.rsplit_once(':').map_or(word, |(address, _)| address);
        [word, bare].map(str::parse::<IpAddr>)
    });
    let number = |piece: &[u8]| <[u8; 16]>::try_from(piece).map(u128::from_be_bytes).ok();
    let documentation = |number: &u128| number >> 96 == 0x2001_0db8;
    let numbers = bytes.windows(16).filter_map(number);
    let numbers = numbers.flat_map(|number| [number, number.swap_bytes()]).filter(documentation);
    spelled.flatten().chain(numbers.map(|number| IpAddr::from(number.to_be_bytes()))).collect()
}

#[test]
fn nothing_that_a_reader_sent_is_in_any_file_that_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let said = attacked(folder);
    export(folder);
    fs::write(folder.join("said"), said).expect("own folder");
    let readers: HashSet<IpAddr> = (0..READERS).map(reader).collect();
    assert_eq!(readers.len() as u32, READERS);
    let mut named = 0;
    let bots = BOTS.map(|bot| bot.parse::<IpAddr>().expect("an address"));
    for path in files(folder) {
        let (bytes, path) = (content(&path), path.strip_prefix(folder).expect("in it"));
        let shown = path.display();
        for planted in PLANTED {
            let is_there = bytes.windows(planted.len()).any(|part| part == planted.as_bytes());
            assert!(!is_there, "`{planted}` is in {shown}");
        }
        let found = addresses(&bytes);
        let of_readers: Vec<_> = found.intersection(&readers).collect();
        assert!(of_readers.is_empty(), "{shown} has {of_readers:?}");
        let of_bots = bots.iter().filter(|bot| found.contains(bot)).count();
        let may_name = path.starts_with("sealed") || path.ends_with("record.jsonl");
        assert!(of_bots == 0 || may_name, "{shown} has addresses of flooders");
        named += usize::from(of_bots == BOTS.len());
    }
    // The record, and six forms of the sealed edition: tables and the texts of NIS2 have no addresses.
    assert_eq!(named, 7, "what is looked for is found where it has to be");
}
