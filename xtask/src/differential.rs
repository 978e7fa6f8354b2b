//! HTTP/1 framing held against nginx, HAProxy and the running product.
//!
//! Separate from the framer's own tests because it needs programs that those cannot have: each
//! stands before an origin that records what it is asked. The same odd streams go through all of
//! them, and what arrives must be what our framer read. A server may refuse anything; finding
//! other requests in the same bytes is what request smuggling is made of, and fails the task.
//!
//! The streams and our framer's reading come from the example `http1_streams` of `seawall-wire`,
//! line by line: this program links nothing of what it judges.

mod origin;
mod product;
mod verdict;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{build_seawall_for_tests, output, scratch, target, visible};
use crate::{Outcome, setup};

use self::origin::Origin;
use self::product::Product;
use self::verdict::{Again, Case, Reading, Request, Spelling, Tally, is_wrong};

/// How long a server may keep a connection that we have half-closed.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long requests that should come may take, where a server may as well refuse them.
const QUICK: Duration = Duration::from_millis(50);

/// Streams sent again, at most. How many come late says how busy the machine is, not what is wrong.
const SECOND_LOOKS: usize = 500;

/// Streams that may come out wrong twice before no more are sent again: each takes [`PATIENCE`],
/// and the run has failed.
const WRONG_ENOUGH: usize = 10;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    seed: u64,
    count: u64,
}

/// Sends the streams through every product and compares.
///
/// # Errors
/// When a server cannot be started, when one finds other requests in a stream than our framer
/// does, or when one refuses what ours accepts and no explanation is on file.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let options = options(arguments)?;
    setup::differential()?;
    let seawall = build(root)?;
    let cases = cases(root, &options)?;
    let folder = scratch(root, "differential")?;
    let began = Instant::now();
    let tallies = thread::scope(|scope| {
        let threads: Vec<_> = [Product::Nginx, Product::Haproxy, Product::Seawall]
            .map(|product| {
                let (folder, seawall, cases) = (&folder, &seawall, &cases);
                scope.spawn(move || through(product, folder, seawall, cases))
            })
            .into_iter()
            .collect();
        let ended = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err("a thread of this task broke".to_owned()))
        });
        ended.collect::<Outcome<Vec<Tally>>>()
    })?;
    println!(
        "differential: {} streams of seed {}, each through every server, {:.1} s",
        cases.len(),
        options.seed,
        began.elapsed().as_secs_f64()
    );
    for tally in &tallies {
        print!("{tally}");
    }
    let wrong: usize = tallies.iter().map(Tally::wrong).sum();
    if wrong == 0 {
        return Ok(());
    }
    Err(format!(
        "{wrong} streams are read differently, or refused by others without a known reason"
    ))
}

/// One product before an origin of its own, through all cases.
fn through(product: Product, folder: &Path, seawall: &Path, cases: &[Case]) -> Outcome<Tally> {
    let origin = Origin::start()?;
    let (_running, address) = product.start(folder, origin.address(), seawall)?;
    let exchange = |index: usize, patience| {
        let case = &cases[index];
        origin.begin(index);
        let requests = case.reading.requests.len();
        send(address, &case.stream, || origin.wait_for(requests, patience));
        origin.settle();
    };
    (0..cases.len()).for_each(|index| exchange(index, QUICK));
    let mut arrived = origin.arrived(cases.len());
    // On a busy machine the pause may have been too short, or what a proxy forwarded before it
    // refused came late. What is there comes out alone and with time as well.
    let is_odd = |index: usize, arrived: &[Request]| is_wrong(product, &cases[index], arrived);
    let odd: Vec<usize> =
        (0..cases.len()).filter(|&index| is_odd(index, &arrived[index])).collect();
    let looked_at = look_again(&odd, |index| {
        exchange(index, PATIENCE);
        thread::sleep(QUICK);
        arrived[index] = std::mem::take(&mut origin.arrived(cases.len())[index]);
        is_odd(index, &arrived[index])
    });
    let mut tally = Tally::new(product, Again { odd: odd.len(), looked_at });
    for (case, arrived) in cases.iter().zip(&arrived) {
        tally.add(case, arrived);
    }
    Ok(tally)
}

/// Tries the `odd` streams again, as many as make sense, and says how many those were.
/// `is_wrong_again` is asked about each; the others stand as they came out at first.
fn look_again(odd: &[usize], mut is_wrong_again: impl FnMut(usize) -> bool) -> usize {
    let (mut wrong, mut looked_at) = (0, 0);
    for &index in odd.iter().take(SECOND_LOOKS) {
        looked_at += 1;
        wrong += usize::from(is_wrong_again(index));
        if wrong == WRONG_ENOUGH {
            break;
        }
    }
    looked_at
}

/// Sends a stream on a connection of its own, half-closes after `pause` and reads to the end. What
/// is answered does not matter: what arrives at the origin does. The pause is there because HAProxy
/// drops pipelined requests that it has not begun when the client half-closes.
fn send(address: SocketAddr, stream: &[u8], pause: impl Fn()) {
    let Ok(mut socket) = TcpStream::connect(address) else { return };
    let _ = socket.set_nodelay(true);
    let _ = socket.set_read_timeout(Some(PATIENCE));
    if socket.write_all(stream).is_ok() {
        pause();
        let _ = socket.shutdown(Shutdown::Write);
        let mut answers = Vec::new();
        let _ = socket.read_to_end(&mut answers);
    }
}

/// The product and the example, as tests are built: this is about framing, not speed.
fn build(root: &Path) -> Outcome<PathBuf> {
    let seawall = build_seawall_for_tests(root)?;
    // All packages, for the features of a run of all tests, which builds this example too.
    let arguments = ["build", "--workspace", "--locked", "--example", "http1_streams"];
    visible(Command::new("cargo").args(arguments).current_dir(root))?;
    Ok(seawall)
}

/// Asks the example for the streams and for our framer's reading of them.
fn cases(root: &Path, options: &Options) -> Outcome<Vec<Case>> {
    let example = target(root).join("debug/examples/http1_streams");
    let arguments = [options.seed.to_string(), options.count.to_string()];
    let said = output(Command::new(example).args(arguments))?.stdout;
    let said = String::from_utf8(said).map_err(|error| format!("the example says: {error}"))?;
    said.lines().map(case).collect()
}

fn case(line: &str) -> Outcome<Case> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| format!("the example does not write JSON: {error}"))?;
    let found = value["requests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let requests = found
        .iter()
        .map(|request| Request {
            method: bytes(&request["method"]),
            target: bytes(&request["target"]),
            host: bytes(&request["host"]),
            body: bytes(&request["body"]),
        })
        .collect();
    let spelling =
        |request: &Value| Spelling { head: bytes(&request["head"]), tail: bytes(&request["tail"]) };
    let spellings = found.iter().map(spelling).collect();
    let reading = Reading { requests, spellings, is_refused: value["end"] == "refused" };
    Ok(Case { stream: bytes(&value["stream"]), reading })
}

/// The example writes bytes as the characters U+0000 to U+00FF.
fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
}

fn options(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options { seed: 1, count: 10_000 };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().and_then(|value| value.parse::<u64>().ok());
        let value = value.ok_or_else(|| format!("`{flag}` wants a number"))?;
        match flag.as_str() {
            "--seed" => options.seed = value,
            "--count" => options.count = value.clamp(1, 1_000_000),
            other => return Err(format!("differential does not know `{other}`")),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::{Options, SECOND_LOOKS, WRONG_ENOUGH, case, look_again, options};

    #[test]
    fn streams_that_came_late_are_all_tried_again_and_wrong_ones_end_it_soon() {
        let check = |odd: usize, is_wrong_again: fn(usize) -> bool, expected: usize| {
            let odd: Vec<usize> = (0..odd).collect();
            assert_eq!(look_again(&odd, is_wrong_again), expected, "{} odd", odd.len());
        };
        check(0, |_| true, 0);
        check(SECOND_LOOKS, |_| false, SECOND_LOOKS);
        check(SECOND_LOOKS + 1, |_| false, SECOND_LOOKS);
        check(3, |_| true, 3);
        check(SECOND_LOOKS, |_| true, WRONG_ENOUGH);
        check(SECOND_LOOKS, |index| index % 2 == 1, 2 * WRONG_ENOUGH);
    }

    #[test]
    fn flags_are_read_and_nonsense_is_refused() {
        let read =
            |text: &str| options(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(read(""), Ok(Options { seed: 1, count: 10_000 }));
        assert_eq!(read("--seed 7 --count 50"), Ok(Options { seed: 7, count: 50 }));
        for wrong in ["--seed", "--count x", "--only 3"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_come_through_json() {
        let line = r#"{"stream":"a\u0000\u00ff","requests":[{"method":"GET","target":"/","host":"a","body":"\u0080","head":"GET /","tail":"\r\n"}],"end":"refused"}"#;
        let case = case(line).expect("a line of the example");
        assert_eq!(case.stream, b"a\0\xff");
        assert_eq!(case.reading.requests[0].body, b"\x80");
        assert_eq!(case.reading.spellings[0].head, b"GET /");
        assert_eq!(case.reading.spellings[0].tail, b"\r\n");
        assert!(case.reading.is_refused);
    }
}
