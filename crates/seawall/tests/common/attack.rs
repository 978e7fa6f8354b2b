//! A flood before the real binary, with an incident that is recorded.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use seawall_edge::watcher::{GeneratedRequest, write_generated_baseline};

use super::Shield;
use super::site::site;

/// Who floods: refused again and again, with nothing that speaks for it.
pub(crate) const BOTS: [&str; 2] = ["203.0.113.71", "2001:db8:71:1::71"];
/// Refusals of each flooder while the incident is recorded: more than the 20 of which addresses are told.
const ENOUGH: u64 = 100;
const BOUND: Duration = Duration::from_secs(150);

/// A shield that is flooded until that is ended. It runs in `folder`, with its state in `state`.
pub(crate) struct Attack {
    pub(crate) shield: Shield,
    is_over: Arc<AtomicBool>,
    bots: Vec<JoinHandle<()>>,
    told: Receiver<()>,
    readers: Arc<AtomicU64>,
}

impl Attack {
    pub(crate) fn begin(folder: &Path) -> Self {
        let start = || Shield::start(folder, &["--config", "seawall.toml"]);
        Self::begin_at(folder, &folder.join("state"), start)
    }

    /// The same where the shield that `start` starts in `folder` has its state at `state`, as it is seen from here.
    pub(crate) fn begin_at(folder: &Path, state: &Path, start: impl FnOnce() -> Shield) -> Self {
        let (readers, is_over) = (Arc::<AtomicU64>::default(), Arc::new(AtomicBool::new(false)));
        let with_cookie = Arc::clone(&readers);
        let origin = site("no-store", move |head| {
            with_cookie.fetch_add(u64::from(head.contains("cookie: ")), Ordering::Relaxed);
        });
        let config = format!(
            "state_dir = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\
             [[site]]\nhosts = [\"*\"]\norigin = \"http://{origin}\"\n\
             [[site.route]]\npath = \"/search\"\nbudget = \"10/min\"\n\
             [network]\ntrusted_proxies = [\"127.0.0.1\"]\n"
        );
        fs::write(folder.join("seawall.toml"), config).expect("own folder");
        learned(state);
        let shield = start();
        let (tell, told) = channel();
        let bots = BOTS.map(|from| {
            let bot = Client::new(shield.address(), from.parse().expect("an address"));
            let (is_over, tell) = (Arc::clone(&is_over), tell.clone());
            let incidents = state.join("incidents");
            std::thread::spawn(move || flood(bot, &incidents, &is_over, &tell))
        });
        Self { shield, is_over, bots: bots.into(), told, readers }
    }

    /// Returns when an incident is recorded, and each flooder was refused often enough meanwhile.
    #[track_caller]
    pub(crate) fn wait_until_recorded(&self) {
        let is_enough = BOTS.iter().all(|_| self.told.recv_timeout(BOUND).is_ok());
        assert!(is_enough, "no incident was recorded, or nobody was refused");
    }

    /// Ends the flood, and then the shield: what it logged, and how many requests with a cookie the site got.
    #[track_caller]
    pub(crate) fn end(self) -> (String, u64) {
        let readers = Arc::clone(&self.readers);
        let (said, code) = self.calm().stop_and_say();
        assert_eq!(code, Some(0), "{said}");
        (said, readers.load(Ordering::Relaxed))
    }

    /// Ends the flood; the incident goes on for a while.
    pub(crate) fn calm(self) -> Shield {
        self.is_over.store(true, Ordering::Relaxed);
        for bot in self.bots {
            bot.join().expect("it ends");
        }
        self.shield
    }
}

/// A client behind a proxy that says who it is, as load balancers do: address and port.
pub(crate) struct Client {
    shield: String,
    from: IpAddr,
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn new(shield: &str, from: IpAddr) -> Self {
        let mut stream = TcpStream::connect(shield).expect("it listens");
        let (family, to) =
            if from.is_ipv4() { ("TCP4", "192.0.2.10") } else { ("TCP6", "2001:db8::10") };
        let line = format!("PROXY {family} {from} {to} 40000 443\r\n");
        stream.write_all(line.as_bytes()).expect("it reads");
        Self { shield: shield.to_owned(), from, stream: BufReader::new(stream) }
    }

    /// Sends a request and reads its answer: whether it was refused. Where the shield hangs up it connects anew.
    pub(crate) fn ask(&mut self, start: &str, fields: &str, content: &str) -> bool {
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

/// Floods until that is over. Says when it was refused often enough while it is recorded, however fast the machine is, because
/// what is asked for has a small budget.
fn flood(mut bot: Client, incidents: &Path, is_over: &AtomicBool, tell: &Sender<()>) {
    let is_recorded = || fs::read_dir(incidents).is_ok_and(|mut all| all.next().is_some());
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
    fs::create_dir_all(state).expect("own folder");
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
