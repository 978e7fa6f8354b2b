//! What the memory of ten million clients takes.
//!
//! 127.0.0.0/8 has as many addresses, but nobody can open ten million connections here: the clients
//! are those that a trusted proxy names, on connections that are kept. wrk asks for one held page, each
//! time for another address, three of IPv4 to one of IPv6, with a user agent, languages, an accepted type and
//! fields that nobody had before. Once without detection, whose memory has a bar of its own, and once with it.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::{Running, bound, output, write};
use crate::table::{Bar, Line};

use super::super::server::origin;
use super::Scene;
use super::instance::{Instance, Setup};

/// The bar.
const BAR_MIB: f64 = 32.0;
/// That of detection, beside it.
const DETECTION_BAR_MIB: f64 = 40.0;
const BLIND: &str = "[detect]\nenabled = false\n";
/// However slow the machine is.
const AT_MOST: Duration = Duration::from_secs(900);
const MORE: &str = "[network]
trusted_proxies = [\"127.0.0.1/32\"]
[limits]
max_connections_of_one = 1000
[log]
enabled = false
";

/// RSS before and after, without detection and with it.
///
/// # Errors
/// When something does not start, or the addresses are not all used in time.
pub(super) fn run(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let (_origin, address) = origin(&scene.folder)?;
    let without = measure(scene, address, "addresses-blind", &format!("{MORE}{BLIND}"))?;
    let with = measure(scene, address, "addresses", MORE)?;
    let Found { empty, warm, full, used, took, forgotten } = without;
    Ok(vec![
        Line::new("RSS over the empty program", full - empty, "MiB", Bar::AtMost(BAR_MIB)).note(
            format!("{used:.0} addresses in {took:.0} s; {empty:.1} MiB empty, {warm:.1} MiB warm"),
        ),
        Line::new("clients forgotten for others", forgotten, "", Bar::None),
        Line::new("RSS of detection", with.full - full, "MiB", Bar::AtMost(DETECTION_BAR_MIB))
            .note(format!("{:.1} MiB with it, {full:.1} MiB without", with.full)),
    ])
}

struct Found {
    empty: f64,
    warm: f64,
    full: f64,
    used: f64,
    took: f64,
    forgotten: f64,
}

fn measure(scene: &Scene<'_>, origin: SocketAddr, name: &str, more: &str) -> Outcome<Found> {
    let setup = Setup { name, origin, secret: None, site: "", more };
    let shield = Instance::start(&scene.program, &scene.folder, &setup)?;
    let page = format!("http://{}/1k.html", shield.plain);
    let empty = rss_mib(shield.id());
    // What the connections and the page itself take is not of the addresses.
    output(Command::new("curl").args(["-sSf", "--max-time", "10", "-o", "/dev/null", &page]))?;
    drive(scene, &shield, 10_000)?;
    let warm = rss_mib(shield.id());
    let begin = Instant::now();
    let used = drive(scene, &shield, scene.addresses)?;
    let took = begin.elapsed().as_secs_f64();
    let full = rss_mib(shield.id());
    let forgotten = shield.metric("seawall_clients_forgotten_total");
    Ok(Found { empty, warm, full, used, took, forgotten })
}

/// Has wrk ask until `count` addresses were used; how many were.
fn drive(scene: &Scene<'_>, shield: &Instance, count: u64) -> Outcome<f64> {
    let script = scene.folder.join("addresses.lua");
    write(&script, SCRIPT)?;
    let before = number_of_requests(shield);
    let mut command = bound("wrk");
    let seconds = AT_MOST.as_secs().to_string();
    command.args(["-t1", "-c32", "-d", &seconds, "-s"]).arg(&script);
    command.arg(format!("http://{}/1k.html", shield.plain));
    let mut wrk = Running::start("wrk", &mut command, &scene.folder.join("wrk.log"))?;
    let end = Instant::now() + AT_MOST;
    while Instant::now() < end {
        let used = number_of_requests(shield) - before;
        if used >= count as f64 {
            wrk.stop();
            return Ok(used);
        }
        thread::sleep(Duration::from_millis(200));
    }
    Err(format!("{count} addresses were not used within {AT_MOST:?}"))
}

fn number_of_requests(shield: &Instance) -> f64 {
    shield.metric("seawall_http_requests_total")
}

fn rss_mib(id: u32) -> f64 {
    let ids = crate::process::descendants(id);
    let rss = |id: &u32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.to_owned();
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    // `setpriv` becomes the program, so there is one process.
    ids.iter().filter_map(rss).sum::<f64>() / 1024.0
}

/// Each request is of another client; beyond 2^24 they begin again. No two clients look alike.
const SCRIPT: &str = "\
local n = 0
function request()
  n = n + 1
  local a, b, c = math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256
  local client
  if n % 4 == 0 then
    client = string.format('2001:db8:%x:%x::1', a, b * 256 + c)
  else
    client = string.format('%d.%d.%d.7', 1 + a % 126, b, c)
  end
  local fields = {
    'User-Agent: tool-' .. n .. '/' .. n % 97,
    'Accept-Language: ' .. string.char(97 + n % 26, 97 + n % 25) .. ';q=0.' .. n % 10,
    'Accept: text/' .. string.format('%x', n),
  }
  for more = 1, n % 7 do
    table.insert(fields, n % (more + 3) % #fields + 1, 'X-' .. (n + more) % 89 .. ': ' .. n)
  end
  return 'GET /1k.html HTTP/1.1\\r\\nHost: example.org\\r\\nX-Forwarded-For: ' .. client .. '\\r\\n'
    .. table.concat(fields, '\\r\\n') .. '\\r\\n\\r\\n'
end
";
