//! What one request costs, beside nginx and HAProxy on the same core.
//!
//! Separate from the product because it measures it from outside, as an operator would. The
//! figure is CPU time, not throughput: on a shared machine it varies least, and under flood it is
//! what runs out. It deliberately does **not** judge the run: it prints the ratios beside the
//! bars and leaves noise to the reader.
//!
//! Sketch: about 5.5 us of a small request on loopback are the kernel's whoever serves it, so a
//! ratio of 0.85 of a rival at 10 us leaves about 3 us for parsing, deciding, looking up, writing.

mod admission;
mod archive;
mod cost;
mod idle;
mod instructions;
mod load;
mod record;
mod rows;
mod server;
mod summary;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{build_seawall, certificate, scratch};
use crate::{Outcome, setup};

use self::instructions::Mode;
use self::load::{Load, Protocol};
use self::server::{Fleet, Product, Server};
use self::summary::{Spread, ratios};

/// What the command line asks for.
struct Options {
    pairs: usize,
    seconds: u64,
    only: Option<String>,
    json: bool,
    rivals_only: bool,
    /// Count instructions per call, and load nothing.
    instructions: Option<Mode>,
    /// A program to measure instead of building one: to compare two versions.
    program: Option<PathBuf>,
}

/// A ratio that must not be exceeded.
#[derive(Clone, Copy)]
enum Bar {
    /// Against the better of the two rivals.
    Better(f64),
    /// Against each of them.
    Each { nginx: f64, haproxy: f64 },
    /// Printed only.
    None,
}

/// One thing that is measured.
struct Case {
    name: &'static str,
    about: &'static str,
    protocol: Protocol,
    path: &'static str,
    bar: Bar,
}

const H2: Bar = Bar::Each { nginx: 0.5, haproxy: 1.3 };

const CASES: &[Case] = &[
    case("plain-1k", "1 KiB, HTTP/1.1", Protocol::Plain, "/1k.html", Bar::Better(0.85)),
    case("plain-16k", "16 KiB, HTTP/1.1", Protocol::Plain, "/16k.html", Bar::Better(0.95)),
    case("tls-1k", "1 KiB, HTTP/1.1 over TLS", Protocol::Tls, "/1k.html", Bar::Better(0.85)),
    case("tls-16k", "16 KiB, HTTP/1.1 over TLS", Protocol::Tls, "/16k.html", Bar::Better(0.95)),
    case("h2-1k", "1 KiB, HTTP/2 over TLS", Protocol::Http2, "/1k.html", H2),
    case("h2-16k", "16 KiB, HTTP/2 over TLS", Protocol::Http2, "/16k.html", H2),
    case("refused", "403 and close, new connection", Protocol::Refused, "/refused", Bar::None),
];

const fn case(
    name: &'static str,
    about: &'static str,
    protocol: Protocol,
    path: &'static str,
    bar: Bar,
) -> Case {
    Case { name, about, protocol, path, bar }
}

/// Measures what `arguments` ask for and prints it.
///
/// # Errors
/// When a server cannot be started or answers wrongly. A missed bar is printed, not an error.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Outcome {
    if let Some((first, rest)) = arguments.split_first() {
        match first.as_str() {
            "admission" => return admission::run(root, rest),
            "archive" => return archive::run(root, rest),
            "record" => return record::run(root, rest),
            _ => {}
        }
    }
    let options = options(arguments)?;
    if let Some(mode) = options.instructions {
        let report = instructions::run(root, mode)?;
        if options.json {
            println!("{}", json!({ "cases": report }));
        }
        return Ok(());
    }
    setup::bench()?;
    let seawall = match &options.program {
        _ if options.rivals_only => None,
        Some(program) => Some(program.clone()),
        None => Some(build_seawall(root)?),
    };
    let folder = scratch(root, "bench")?;
    certificate(&folder)?;

    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let mut report = Vec::new();
    if CASES.iter().any(|case| wanted(case.name)) {
        let fleet = Fleet::start(&folder, seawall.as_deref())?;
        eprintln!("{}", conditions(&options));
        for case in CASES.iter().filter(|case| wanted(case.name)) {
            report.push(measure(case, &fleet, &options)?);
        }
    }
    if wanted("idle") {
        report.extend(idle::run(root, &folder, seawall.as_deref())?);
    }
    if report.is_empty() {
        return Err(format!("there is no case `{}`", options.only.unwrap_or_default()));
    }
    if options.json {
        println!("{}", json!({ "cases": report }));
    }
    Ok(())
}

fn conditions(options: &Options) -> String {
    format!(
        "us of CPU (user + system) per request; server on core 0, client on core 1; {} interleaved \
         runs of {} s; access logs off everywhere; the origin is stopped, so all answers are cached",
        options.pairs, options.seconds
    )
}

/// Runs one case on all servers in turn, `pairs` times.
fn measure(case: &Case, fleet: &Fleet, options: &Options) -> Outcome<Value> {
    let load = Load {
        protocol: case.protocol,
        path: case.path,
        duration: Duration::from_secs(options.seconds),
    };
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); fleet.servers.len()];
    for pair in 0..options.pairs {
        for turn in 0..fleet.servers.len() {
            // Each server comes first as often as last: what drifts, drifts for all.
            let index = (pair + turn) % fleet.servers.len();
            let server = &fleet.servers[index];
            let cost = load
                .run(server)
                .map_err(|error| format!("{} on {}: {error}", case.name, server.product.name()))?;
            costs[index].push(cost);
        }
    }
    Ok(print(case, &fleet.servers, &costs, options))
}

/// Prints one case and returns it for `--json`.
fn print(case: &Case, servers: &[Server], costs: &[Vec<f64>], options: &Options) -> Value {
    let column = |product: Product| {
        let found = servers.iter().position(|server| server.product == product);
        found.map(|index| costs[index].as_slice())
    };
    let mut line = format!("{:<10} {:<30}", case.name, case.about);
    let mut value = json!({ "name": case.name, "about": case.about, "unit": "us/request" });
    for product in [Product::Nginx, Product::Haproxy, Product::Seawall] {
        if let Some(costs) = column(product) {
            let spread = Spread::of(costs);
            line.push_str(&format!("  {} {spread}", product.name()));
            value[product.name()] = spread.json();
        }
    }
    if let Some(ours) = column(Product::Seawall) {
        let against = |product| column(product).map(|theirs| Spread::of(&ratios(ours, theirs)));
        let nginx = against(Product::Nginx);
        let haproxy = against(Product::Haproxy);
        if let (Some(nginx), Some(haproxy)) = (nginx, haproxy) {
            let (verdict, met) = judge(case.bar, nginx.median, haproxy.median);
            line.push_str(&format!("\n{:<10} ratio to nginx {nginx}, to HAProxy {haproxy}", ""));
            line.push_str(&format!("; {verdict}"));
            value["ratios"] = json!({ "nginx": nginx.json(), "haproxy": haproxy.json() });
            value["bar"] = json!(verdict);
            value["met"] = json!(met);
        }
    }
    if options.json {
        eprintln!("{line}");
    } else {
        println!("{line}");
    }
    value
}

/// What the bar is and whether it is met; `None` where there is none.
fn judge(bar: Bar, nginx: f64, haproxy: f64) -> (String, Option<bool>) {
    let word = |met| if met { "met" } else { "MISSED" };
    match bar {
        Bar::Better(limit) => {
            let met = nginx.max(haproxy) <= limit;
            (format!("bar {limit} of the better one: {}", word(met)), Some(met))
        }
        Bar::Each { nginx: of_nginx, haproxy: of_haproxy } => {
            let met = nginx <= of_nginx && haproxy <= of_haproxy;
            let text = format!("bars {of_nginx} of nginx, {of_haproxy} of HAProxy: {}", word(met));
            (text, Some(met))
        }
        Bar::None => ("no bar".to_owned(), None),
    }
}

fn options(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options {
        pairs: 9,
        seconds: 2,
        only: None,
        json: false,
        rivals_only: false,
        instructions: None,
        program: None,
    };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let mut number = || {
            let value = rest.next().and_then(|value| value.parse::<u64>().ok());
            let value = value.filter(|value| (1..=100).contains(value));
            value.ok_or_else(|| format!("`{flag}` wants a number from 1 to 100"))
        };
        match flag.as_str() {
            "--pairs" => options.pairs = usize::try_from(number()?).unwrap_or(9),
            "--seconds" => options.seconds = number()?,
            "--only" => {
                let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
                let wants = format!("`--only` wants one of {}, idle", names.join(", "));
                options.only = Some(rest.next().cloned().ok_or(wants)?);
            }
            "--json" => options.json = true,
            "--program" => {
                let program = rest.next().ok_or("`--program` wants the path of a built seawall")?;
                options.program = Some(PathBuf::from(program));
            }
            "--instructions" => options.instructions = Some(Mode::Print),
            "--check" if options.instructions.is_some() => options.instructions = Some(Mode::Check),
            "--check" => return Err("`--check` comes after `--instructions`".to_owned()),
            "--rivals-only" => options.rivals_only = true,
            other => return Err(format!("bench does not know `{other}`")),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::{Bar, Mode, judge, options};

    #[test]
    fn the_better_rival_is_the_one_we_are_closer_to() {
        let check = |bar, nginx, haproxy, expected| {
            assert_eq!(judge(bar, nginx, haproxy).1, expected);
        };
        check(Bar::Better(0.85), 0.5, 0.85, Some(true));
        check(Bar::Better(0.85), 0.5, 0.9, Some(false));
        check(Bar::Each { nginx: 0.5, haproxy: 1.3 }, 0.5, 1.3, Some(true));
        check(Bar::Each { nginx: 0.5, haproxy: 1.3 }, 0.6, 1.0, Some(false));
        check(Bar::None, 9.0, 9.0, None);
    }

    #[test]
    fn flags_are_read_and_nonsense_is_refused() {
        let read =
            |text: &str| options(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let found = read("--pairs 3 --only tls-1k --json").expect("these flags exist");
        assert_eq!((found.pairs, found.seconds, found.json), (3, 2, true));
        assert_eq!(found.only.as_deref(), Some("tls-1k"));
        let mode = |text| read(text).ok().and_then(|found| found.instructions);
        assert_eq!(mode("--instructions"), Some(Mode::Print));
        assert_eq!(mode("--instructions --check --json"), Some(Mode::Check));
        for wrong in ["--pairs", "--pairs 0", "--only", "--speed", "--check"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
