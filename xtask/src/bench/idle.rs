//! What an idle TLS connection costs in memory.
//!
//! Separate from the CPU cases because it needs fresh servers and a client in a process of its
//! own (both ends share the machine's limit on open files).

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::Outcome;
use crate::process::bound_to_core;

use super::cost::pss_kib;
use super::server::{Product, Server, origin};

/// How many connections stand open; below half of an open-file limit of 20,000.
const CONNECTIONS: u64 = 9000;

/// What one of ours may cost, in KiB.
const BAR_KIB: f64 = 26.0;

/// Measures every server and prints a line for each.
///
/// # Errors
/// When a server or the client fails.
pub(crate) fn run(root: &Path, folder: &Path, seawall: Option<&Path>) -> Outcome<Vec<Value>> {
    let (_origin, address) = origin(folder)?;
    let mut products = vec![Product::Nginx, Product::Haproxy];
    if seawall.is_some() {
        products.push(Product::Seawall);
    }
    let mut report = Vec::new();
    for product in products {
        let server = Server::start(product, folder, address, seawall)?;
        let (opened, asked) = measure(root, &server)
            .map_err(|error| format!("idle connections on {}: {error}", product.name()))?;
        let bar = match product {
            Product::Seawall if opened.max(asked) <= BAR_KIB => "; bar 26 KiB: met",
            Product::Seawall => "; bar 26 KiB: MISSED",
            _ => "",
        };
        eprintln!(
            "idle       {CONNECTIONS} TLS connections, {}: {opened:.1} KiB each after the handshake, \
             {asked:.1} KiB after one request each{bar}",
            product.name()
        );
        report.push(json!({
            "name": "idle", "server": product.name(), "unit": "KiB/connection",
            "connections": CONNECTIONS, "after_handshake": opened, "after_request": asked,
            "bar": BAR_KIB,
        }));
    }
    Ok(report)
}

/// KiB per connection: after the handshakes, and after one request on each.
fn measure(root: &Path, server: &Server) -> Outcome<(f64, f64)> {
    // A first few connections bring in code and tables that belong to the process, not to them.
    let mut first = Client::open(root, server.tls, 50)?;
    first.ask()?;
    first.close();

    let before = pss_kib(server.id());
    let mut client = Client::open(root, server.tls, CONNECTIONS)?;
    let opened = pss_kib(server.id());
    client.ask()?;
    let asked = pss_kib(server.id());
    client.close();
    let each = |after: u64| after.saturating_sub(before) as f64 / CONNECTIONS as f64;
    Ok((each(opened), each(asked)))
}

/// `bench/idle_tls.py`: it opens, waits to be told, asks once on each, waits again.
struct Client {
    child: Child,
    tell: ChildStdin,
    said: BufReader<ChildStdout>,
    connections: u64,
}

impl Client {
    fn open(root: &Path, address: SocketAddr, connections: u64) -> Outcome<Self> {
        let mut child = bound_to_core(1, "python3")
            .arg(root.join("bench/idle_tls.py"))
            .args([address.port().to_string(), connections.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start python3: {error}"))?;
        let (Some(tell), Some(said)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("python3 has no pipes".to_owned());
        };
        let mut client = Self { child, tell, said: BufReader::new(said), connections };
        client.expect("open")?;
        Ok(client)
    }

    /// One request on each connection.
    fn ask(&mut self) -> Outcome {
        writeln!(self.tell, "ask").map_err(|error| format!("the client is gone: {error}"))?;
        self.expect("asked")
    }

    fn expect(&mut self, word: &str) -> Outcome {
        let mut line = String::new();
        let read = self.said.read_line(&mut line);
        read.map_err(|error| format!("the client is gone: {error}"))?;
        let expected = format!("{word} {}", self.connections);
        if line.trim() == expected {
            Ok(())
        } else {
            Err(format!("the client says `{}`, expected `{expected}`", line.trim()))
        }
    }

    fn close(self) {}
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
