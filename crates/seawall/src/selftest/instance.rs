//! The instance under attack: a child process of this program, told what to be on standard input.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use seawall_edge::Server;
use seawall_edge::config::{AccessLog, Certificate, Config, Listen, Origin, OriginTarget, Site};
use seawall_model::{Cause, Limits, Misbehaviour};
use seawall_rehearse::attack::{Attack, Probe};
use serde::{Deserialize, Serialize};

use super::rows::{self, Sign};

/// Connections of one address, so that it does not take thousands to be too many.
pub(super) const CONNECTIONS_OF_ONE: usize = 256;

/// The first line that the child reads.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) state: PathBuf,
    pub(super) origin: SocketAddr,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    /// The attack that it is to bear.
    pub(super) attack: String,
    /// The attack whose limit is taken away.
    pub(super) weaken: Option<String>,
}

/// The line that it answers.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    plain: SocketAddr,
    tls: SocketAddr,
}

/// The limits of the instance: the defaults, with fewer connections of one address, and with less time
/// where `attack` is about time. Elsewhere a short time would end what a busy machine is slow to begin.
fn limits(attack: Option<Attack>, weaken: Option<Attack>) -> Limits {
    let second = Duration::from_secs(1);
    let mut limits = Limits {
        max_connections_of_one: CONNECTIONS_OF_ONE,
        // Attacks and the reader beside them share an address here.
        max_offences: u32::MAX,
        min_body_bytes_per_second: 1 << 20,
        ..Limits::default()
    };
    match attack {
        Some(Attack::SlowHead) => limits.header_timeout = second,
        Some(Attack::Connections) => limits.header_timeout = 3 * second,
        Some(Attack::SlowBody) => limits.body_grace = second,
        Some(Attack::SlowRead | Attack::Pipelining) => limits.response_grace = second,
        Some(Attack::SlowHello) => limits.handshake_timeout = second,
        Some(Attack::ZeroWindow) => limits.idle_timeout = 2 * second,
        _ => {}
    }
    if let Some(attack) = weaken {
        rows::weaken(attack, &mut limits);
    }
    limits
}

/// Is the instance, until standard input ends.
///
/// # Errors
/// When it cannot start; the parent sees that nothing is said.
pub(crate) fn be_instance() -> io::Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let job: Job = serde_json::from_str(&line)?;
    let named = |name: &String| Attack::ALL.into_iter().find(|attack| attack.name() == name);
    let listen = |tls| Listen {
        address: ([127, 0, 0, 1], 0).into(),
        tls,
        proxy_protocol: false,
        public_port: None,
    };
    let target = OriginTarget::Http { host: job.origin.ip().to_string(), port: job.origin.port() };
    let server = Server::start(Config {
        admin_socket: Some(socket(&job.state)),
        listen: vec![listen(false), listen(true)],
        tls: vec![Certificate { cert: job.cert, key: job.key }],
        sites: vec![Site::new(vec!["*".to_owned()], Origin::at(target))],
        limits: limits(named(&job.attack), job.weaken.as_ref().and_then(named)),
        log: AccessLog { enabled: false, ..AccessLog::default() },
        ..Config::in_folder(job.state)
    })
    .map_err(io::Error::other)?;
    if let [plain, tls] = *server.addresses() {
        let ready = serde_json::to_string(&Ready { plain, tls })?;
        writeln!(io::stdout(), "{ready}")?;
    }
    io::copy(&mut io::stdin(), &mut io::sink())?;
    // Connections of an attack are not worth the wait of a drain.
    std::process::exit(0);
}

fn socket(state: &Path) -> PathBuf {
    state.join("admin.sock")
}

/// The running child. Killed on drop.
pub(super) struct Instance {
    process: Child,
    admin: PathBuf,
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
}

impl Instance {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be started or does not say where it listens.
    pub(super) fn start(job: &Job) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["rehearse", "instance"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let admin = socket(&job.state);
        let input = process.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{}", serde_json::to_string(job)?)?;
        let output = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let Ready { plain, tls } = serde_json::from_str(&line)?;
        Ok(Self { process, admin, plain, tls })
    }

    /// Processor time that it has used so far.
    pub(super) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let stat = stat.unwrap_or_default();
        // proc(5): utime and stime are fields 14 and 15; the name in parentheses is field 2.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields = after_name.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second().max(1))
    }

    /// How often `sign` was counted.
    pub(super) fn count(&self, sign: Sign) -> u64 {
        let misbehaviour = |kind: Misbehaviour| {
            self.metric(&format!("seawall_wire_misbehaviour_total{{kind=\"{}\"}}", kind.as_str()))
        };
        match sign {
            Sign::Misbehaviour(kind) => misbehaviour(kind),
            Sign::AnyMisbehaviour(_) => Misbehaviour::ALL.into_iter().map(misbehaviour).sum(),
            Sign::Refused(cause, _) => self.refused(cause),
        }
    }

    fn refused(&self, cause: Cause) -> u64 {
        let cause = cause.as_str();
        self.metric(&format!("seawall_connections_refused_total{{cause=\"{cause}\"}}"))
    }

    /// A metric by its name with labels; 0 if there is none.
    fn metric(&self, name: &str) -> u64 {
        let Ok(answer) = seawall_edge::admin::query(&self.admin, "GET", "/metrics") else {
            return 0;
        };
        let text = String::from_utf8_lossy(&answer.body);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

impl Probe for Instance {
    fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    fn open_connections(&self) -> u64 {
        self.metric("seawall_connections_open")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
