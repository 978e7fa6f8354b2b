//! A site behind the shield: it answers everything, with next to nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Answers for as long as the test runs, with this `Cache-Control`; `hear` is given the head of each request, in small
/// letters.
pub(crate) fn site(
    cache_control: &'static str,
    hear: impl Fn(&str) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it is bound");
    let hear = Arc::new(hear);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let hear = Arc::clone(&hear);
            std::thread::spawn(move || answer(stream, cache_control, &*hear));
        }
    });
    address
}

fn answer(stream: TcpStream, cache_control: &str, hear: &dyn Fn(&str)) {
    let mut reader = BufReader::new(stream);
    let answer =
        format!("HTTP/1.1 200 OK\r\nCache-Control: {cache_control}\r\nContent-Length: 2\r\n\r\nok");
    loop {
        let (mut line, mut content, mut head) = (String::new(), 0, String::new());
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            line.make_ascii_lowercase();
            if let Some(length) = line.strip_prefix("content-length:") {
                content = length.trim().parse().unwrap_or(0);
            }
            head.push_str(&line);
            line.clear();
        }
        let _ = std::io::copy(&mut reader.by_ref().take(content), &mut std::io::sink());
        if head.is_empty() {
            return;
        }
        hear(&head);
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
