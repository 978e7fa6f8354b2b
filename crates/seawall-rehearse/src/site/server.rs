//! The site's own web server: HTTP/1.1, keep-alive, validators, and no more.
//!
//! It behaves as a small server does under load: a bounded number of connections, a time-out for
//! slow heads, "503" when the queue is full. It is only ever given listeners on loopback by this
//! crate, counts what it sees, and tells readers from attackers by their address alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{timeout, timeout_at};

use crate::addr::{RunKey, challenge_in};
use crate::measure::{SiteFigures, Times};
use crate::site::{Busy, CHAT, Capacity, Cost, Model, Resource, Site, TICKER, UPLOADS};
use crate::sources::{Cohort, Sources};

/// The origin of a rehearsal. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Origin {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    site: Site,
    key: RunKey,
    sources: Sources,
    capacity: Capacity,
    max_connections: usize,
    open: AtomicUsize,
    epoch: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
    refused_connections: AtomicU64,
    from_attack: AtomicU64,
    page_times: Mutex<Times>,
}

impl Origin {
    /// The origin of run `seed`, not yet listening.
    pub fn new(seed: u64, key: RunKey, model: Model) -> Self {
        Self {
            shared: Arc::new(Shared {
                site: Site::new(seed),
                key,
                sources: Sources::new(seed),
                capacity: Capacity::new(model),
                max_connections: model.max_connections,
                open: AtomicUsize::new(0),
                epoch: AtomicU64::new(0),
                requests: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                refused_connections: AtomicU64::new(0),
                from_attack: AtomicU64::new(0),
                page_times: Mutex::default(),
            }),
        }
    }

    /// Serves whoever connects to `listener`, until dropped.
    ///
    /// # Errors
    /// When the listener is not on loopback. Errors of single connections are not errors.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        if !listener.local_addr()?.ip().is_loopback() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.take(stream, peer),
                // Out of descriptors, most likely: the connections in hand must end first.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// What happened since the last [`mark`](Self::mark).
    pub fn figures(&self) -> SiteFigures {
        let shared = &*self.shared;
        SiteFigures {
            epoch: shared.epoch.load(Ordering::Relaxed),
            requests: shared.requests.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            refused_connections: shared.refused_connections.load(Ordering::Relaxed),
            from_attack: shared.from_attack.load(Ordering::Relaxed),
            in_flight: shared.capacity.in_flight(),
            peak_in_flight: shared.capacity.peak_in_flight(),
            connections: shared.open.load(Ordering::Relaxed) as u64,
            page_p95_ms: self.page_times().tally().p95_ms,
        }
    }

    /// Begins a new stretch: all counts start again.
    pub fn mark(&self) {
        let shared = &*self.shared;
        for counter in
            [&shared.requests, &shared.refused, &shared.refused_connections, &shared.from_attack]
        {
            counter.store(0, Ordering::Relaxed);
        }
        *self.page_times() = Times::default();
        shared.capacity.reset_peak();
        shared.epoch.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr) {
        let place = OpenConnection::new(self.clone());
        if place.number > self.shared.max_connections {
            self.shared.refused_connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let _place = place;
                refuse(stream).await;
            });
            return;
        }
        tokio::spawn(async move {
            let origin = place.origin.clone();
            // An error here is the peer's business: it left, or it spoke nonsense.
            let _ = origin.converse(stream, peer).await;
            drop(place);
        });
    }

    async fn converse(&self, mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = BytesMut::with_capacity(2048);
        loop {
            let Some(request) = read_request(&mut stream, &mut buffer).await? else {
                return Ok(());
            };
            if request.is_upgrade && request.target == CHAT {
                return echo(stream, buffer).await;
            }
            if request.target == TICKER {
                return tick(stream).await;
            }
            let answer = self.answer(&request, peer).await;
            stream.write_all(&answer.head).await?;
            if !request.is_head {
                stream.write_all(&answer.body).await?;
            }
            if request.close {
                return stream.shutdown().await;
            }
        }
    }

    async fn answer(&self, request: &Request, peer: SocketAddr) -> Answer {
        let shared = &*self.shared;
        if let Some(challenge) = challenge_in(&request.target) {
            return Answer::plain(
                "200 OK",
                "Cache-Control: no-store\r\n",
                shared.key.answer(challenge),
            );
        }
        shared.requests.fetch_add(1, Ordering::Relaxed);
        if self.cohort(request, peer) == Cohort::Attacker {
            shared.from_attack.fetch_add(1, Ordering::Relaxed);
        }
        if request.is_post && request.target == UPLOADS {
            // As many bytes as came, and no more work than any page.
            return match shared.capacity.work(Cost::Page).await {
                Ok(()) => Answer::plain("200 OK", "", request.length.to_string()),
                Err(Busy) => Answer::busy(),
            };
        }
        if !request.is_get && !request.is_head {
            return Answer::plain("405 Method Not Allowed", "Allow: GET, HEAD\r\n", String::new());
        }
        let (cost, begin) = (cost_of(&request.target), tokio::time::Instant::now());
        match shared.capacity.work(cost).await {
            Ok(()) => {
                if cost == Cost::Page {
                    self.page_times().push_bounded(begin.elapsed());
                }
                Answer::resource(&shared.site.resource(&request.target), request)
            }
            Err(Busy) => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                Answer::busy()
            }
        }
    }

    fn page_times(&self) -> MutexGuard<'_, Times> {
        self.shared.page_times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose request it is: by the peer, or by what the shield says of its client.
    fn cohort(&self, request: &Request, peer: SocketAddr) -> Cohort {
        let named = request.client.or(match peer.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        named.map_or(Cohort::Other, |address| self.shared.sources.cohort_of(address))
    }
}

/// What a request costs is known before it is worked on, as the web server tells files from pages.
pub(crate) fn cost_of(target: &str) -> Cost {
    let path = target.split('?').next().unwrap_or_default();
    match path {
        "/search" => Cost::Search,
        "/feed.xml" | "/sitemap.xml" | "/robots.txt" => Cost::Static,
        path if ["/assets/", "/img/", "/downloads/"].iter().any(|dir| path.starts_with(dir)) => {
            Cost::Static
        }
        _ => Cost::Page,
    }
}

#[derive(Debug, Default)]
struct Request {
    is_get: bool,
    is_head: bool,
    is_post: bool,
    is_upgrade: bool,
    target: String,
    close: bool,
    if_none_match: Option<String>,
    client: Option<Ipv4Addr>,
    length: usize,
}

impl Request {
    fn parse(head: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let mut request = Self {
            is_get: method == "GET",
            is_head: method == "HEAD",
            is_post: method == "POST",
            target: target.to_owned(),
            close: version != "HTTP/1.1",
            ..Self::default()
        };
        if !target.starts_with('/') {
            return None;
        }
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "connection" => request.close |= value.eq_ignore_ascii_case("close"),
                "upgrade" => request.is_upgrade = value.eq_ignore_ascii_case("websocket"),
                "if-none-match" => request.if_none_match = Some(value.to_owned()),
                "content-length" => request.length = value.parse().ok()?,
                // Bodies without a length are nobody's here.
                "transfer-encoding" => return None,
                // The last hop's word stands last.
                "x-forwarded-for" => {
                    request.client =
                        value.rsplit(',').next().and_then(|last| last.trim().parse().ok());
                }
                _ => {}
            }
        }
        let most = if request.target == UPLOADS { MAX_UPLOAD } else { MAX_REQUEST_BODY };
        (request.length <= most).then_some(request)
    }
}

/// The next request; `None` when the peer is done, too slow or beyond the bounds.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
) -> io::Result<Option<Request>> {
    if buffer.is_empty() {
        match timeout(KEEP_ALIVE, stream.read_buf(buffer)).await {
            Ok(Ok(read)) if read > 0 => {}
            Ok(Err(error)) => return Err(error),
            _ => return Ok(None),
        }
    }
    let deadline = tokio::time::Instant::now() + HEAD_TIMEOUT;
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > MAX_HEAD {
            return Ok(None);
        }
        match timeout_at(deadline, stream.read_buf(buffer)).await {
            Ok(Ok(read)) if read > 0 => {}
            Ok(Err(error)) => return Err(error),
            _ => return Ok(None),
        }
    };
    let head = buffer.split_to(head_end);
    let Some(request) = Request::parse(&head) else {
        stream
            .write_all(
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            )
            .await?;
        return Ok(None);
    };
    let mut left = request.length;
    while left > 0 {
        if buffer.is_empty() {
            match timeout_at(deadline, stream.read_buf(buffer)).await {
                Ok(Ok(read)) if read > 0 => {}
                _ => return Ok(None),
            }
        }
        let now = left.min(buffer.len());
        buffer.advance(now);
        left -= now;
    }
    Ok(Some(request))
}

struct Answer {
    head: Vec<u8>,
    body: bytes::Bytes,
}

impl Answer {
    fn resource(resource: &Resource, request: &Request) -> Self {
        let mut fields = format!("Content-Type: {}\r\n", resource.content_type);
        if let Some(cache_control) = resource.cache_control {
            fields.push_str(&format!("Cache-Control: {cache_control}\r\n"));
        }
        if let Some(etag) = &resource.etag {
            fields.push_str(&format!("ETag: {etag}\r\nLast-Modified: {LAST_MODIFIED}\r\n"));
            if request.if_none_match.as_deref().is_some_and(|list| matches_weakly(list, etag)) {
                let head = format!("HTTP/1.1 304 Not Modified\r\n{fields}{SERVER}\r\n");
                return Self { head: head.into_bytes(), body: bytes::Bytes::new() };
            }
        }
        let status = if resource.status == 404 { "404 Not Found" } else { "200 OK" };
        let head = format!(
            "HTTP/1.1 {status}\r\n{fields}{SERVER}Content-Length: {}\r\n\r\n",
            resource.body.len(),
        );
        Self { head: head.into_bytes(), body: resource.body.clone() }
    }

    fn busy() -> Self {
        Self::plain(
            "503 Service Unavailable",
            "Content-Type: text/plain\r\n",
            "All workers are busy.\n".to_owned(),
        )
    }

    fn plain(status: &str, fields: &str, body: String) -> Self {
        let head =
            format!("HTTP/1.1 {status}\r\n{fields}{SERVER}Content-Length: {}\r\n\r\n", body.len());
        Self { head: head.into_bytes(), body: bytes::Bytes::from(body) }
    }
}

/// RFC 9110 §13.1.2: the weak comparison, over a list.
fn matches_weakly(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// Says a numbered event four times a second, until nobody listens (WHATWG HTML §9.2).
async fn tick(mut stream: TcpStream) -> io::Result<()> {
    stream
        .write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
              Transfer-Encoding: chunked\r\n\r\n",
        )
        .await?;
    let mut number = 0_u64;
    loop {
        let event = format!("id: {number}\ndata: tide\n\n");
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
        number += 1;
        tokio::time::sleep(TICK).await;
    }
}

/// Becomes another protocol (RFC 9110 §7.8): each byte comes back.
async fn echo(mut stream: TcpStream, mut buffer: BytesMut) -> io::Result<()> {
    stream
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        .await?;
    loop {
        stream.write_all_buf(&mut buffer).await?;
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

async fn refuse(mut stream: TcpStream) {
    let _ = timeout(
        REFUSAL_TIMEOUT,
        stream.write_all(
            b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        ),
    )
    .await;
}

struct OpenConnection {
    origin: Origin,
    number: usize,
}

impl OpenConnection {
    fn new(origin: Origin) -> Self {
        let number = origin.shared.open.fetch_add(1, Ordering::Relaxed) + 1;
        Self { origin, number }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.origin.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The paper's newest issue; assets are as old as that.
const LAST_MODIFIED: &str = "Wed, 18 Sep 2024 06:00:00 GMT";
const SERVER: &str = "Server: tidewater\r\n";
const MAX_HEAD: usize = 16 * 1024;
const MAX_REQUEST_BODY: usize = 1024 * 1024;
/// Read past, not kept.
const MAX_UPLOAD: usize = 256 * 1024 * 1024;
const TICK: Duration = Duration::from_millis(250);
/// Apache's `RequestReadTimeout header=20`.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Between Apache's 5 s and nginx's 75 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{Answer, Origin, Request, cost_of, matches_weakly};
    use crate::addr::RunKey;
    use crate::site::{Cost, Model, Site};
    use crate::sources::Sources;

    fn origin() -> Origin {
        let key: RunKey = "a".repeat(32).parse().expect("32 hexadecimal digits");
        Origin::new(1, key, Model::default())
    }

    fn peer(address: impl ToString) -> SocketAddr {
        format!("{}:1234", address.to_string()).parse().expect("an address")
    }

    fn request(head: &str) -> Request {
        Request::parse(head.as_bytes()).expect("well-formed")
    }

    fn text(answer: &Answer) -> String {
        String::from_utf8_lossy(&answer.head).into_owned()
    }

    #[test]
    fn costs_known_before_the_work_are_those_of_the_resource() {
        let site = Site::new(1);
        let mut targets = site.page_paths();
        targets
            .extend(["/", &site.page_paths()[20]].iter().flat_map(|path| site.subresources(path)));
        targets.extend(
            [
                "/search?q=a",
                "/letters/1",
                "/downloads/tide-tables.bin",
                "/feed.xml",
                "/sitemap.xml",
                "/robots.txt",
                "/nowhere",
            ]
            .map(String::from),
        );
        for target in targets {
            assert_eq!(cost_of(&target), site.resource(&target).cost, "{target}");
        }
        assert_eq!(cost_of("/?v=1"), Cost::Page);
    }

    #[tokio::test(start_paused = true)]
    async fn attackers_are_told_by_their_address_alone() {
        let sources = Sources::new(1);
        let (bot, reader) = (sources.bots[0], sources.browsers[0]);
        for (peer_address, forwarded, expected) in [
            (bot, None, 1),
            (reader, None, 0),
            (std::net::Ipv4Addr::LOCALHOST, Some(bot), 1),
            (std::net::Ipv4Addr::LOCALHOST, Some(reader), 0),
            (std::net::Ipv4Addr::LOCALHOST, None, 0),
        ] {
            let origin = origin();
            let field = forwarded
                .map_or(String::new(), |ip| format!("X-Forwarded-For: 192.0.2.1, {ip}\r\n"));
            let request = request(&format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n"));
            let answer = origin.answer(&request, peer(peer_address)).await;
            assert!(text(&answer).starts_with("HTTP/1.1 200 OK\r\n"));
            assert_eq!(origin.figures().from_attack, expected);
            assert_eq!(origin.figures().requests, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn validators_answer_304_and_pages_say_nothing_about_caching() {
        let origin = origin();
        let first =
            origin.answer(&request("GET /feed.xml HTTP/1.1\r\n\r\n"), peer("127.0.0.1")).await;
        let first = text(&first);
        let etag = first
            .split("ETag: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next())
            .expect("an ETag");
        let again =
            request(&format!("GET /feed.xml HTTP/1.1\r\nIf-None-Match: \"x\", W/{etag}\r\n\r\n"));
        let again = origin.answer(&again, peer("127.0.0.1")).await;
        assert!(text(&again).starts_with("HTTP/1.1 304 "));
        assert!(again.body.is_empty());
        let page =
            text(&origin.answer(&request("GET / HTTP/1.1\r\n\r\n"), peer("127.0.0.1")).await);
        assert!(!page.contains("Cache-Control") && !page.contains("ETag"), "{page}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_proof_of_the_run_is_free_and_not_counted() {
        let origin = origin();
        let head = format!(
            "GET {}?nonce={} HTTP/1.1\r\n\r\n",
            super::super::REHEARSAL_PATH,
            "0".repeat(32)
        );
        let answer = origin.answer(&request(&head), peer("127.0.0.1")).await;
        let key: RunKey = "a".repeat(32).parse().expect("32 hexadecimal digits");
        assert_eq!(answer.body, key.answer([0; 16]).into_bytes());
        assert_eq!(origin.figures().requests, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn marks_begin_the_count_again() {
        let origin = origin();
        origin.answer(&request("GET / HTTP/1.1\r\n\r\n"), peer("127.0.0.1")).await;
        assert_eq!((origin.figures().requests, origin.figures().peak_in_flight), (1, 1));
        origin.mark();
        let figures = origin.figures();
        assert_eq!((figures.epoch, figures.requests, figures.peak_in_flight), (1, 0, 0));
    }

    #[test]
    fn requests_it_cannot_read_are_refused() {
        for head in [
            "GET\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        ] {
            assert!(Request::parse(head.as_bytes()).is_none(), "{head}");
        }
    }

    #[test]
    fn etags_compare_weakly() {
        assert!(matches_weakly("\"a\", W/\"b\"", "\"b\""));
        assert!(matches_weakly("*", "\"b\""));
        assert!(!matches_weakly("\"a\"", "\"b\""));
    }
}
