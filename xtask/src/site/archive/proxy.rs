//! What stands between Seawall and the site when the site is in trouble of a kind that no signal makes.
//!
//! It passes everything through, two threads for a connection; when it is told otherwise it ends what is
//! open, so that the next request meets the trouble.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// What happens to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The site answers them.
    Through,
    /// Nobody listens.
    Away,
    /// 503.
    Unavailable,
    /// The site answers them, this long after they came.
    Slow(Duration),
    /// The connection is reset when the request is there.
    Reset,
}

/// The proxy. It ends with the task.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    listens: bool,
}

struct Shared {
    site: SocketAddr,
    way: Mutex<Way>,
    open: Mutex<HashMap<u64, Vec<TcpStream>>>,
    next: AtomicU64,
}

/// How long a thread may take to stop listening.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\n\
    Content-Length: 28\r\nConnection: close\r\n\r\n<h1>Service Unavailable</h1>";

impl Proxy {
    /// Listens, and passes everything to `site`.
    ///
    /// # Errors
    /// When there is no port.
    pub(super) fn start(site: SocketAddr) -> Outcome<Self> {
        let shared = Shared {
            site,
            way: Mutex::new(Way::Through),
            open: Mutex::default(),
            next: AtomicU64::new(0),
        };
        let mut proxy =
            Self { address: ([127, 0, 0, 1], 0).into(), shared: Arc::new(shared), listens: false };
        proxy.listen()?;
        Ok(proxy)
    }

    /// From now on it goes like this.
    ///
    /// # Errors
    /// When its port cannot be had again after it was [`Way::Away`].
    pub(super) fn set(&mut self, way: Way) -> Outcome {
        *lock(&self.shared.way) = way;
        for stream in lock(&self.shared.open).drain().flat_map(|(_, streams)| streams) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        match way {
            Way::Away => {
                // Whoever accepts looks up, and leaves.
                let _ = TcpStream::connect(self.address);
                self.listens = false;
                Ok(())
            }
            _ => self.listen(),
        }
    }

    fn listen(&mut self) -> Outcome {
        if self.listens {
            return Ok(());
        }
        let failed = |error| format!("cannot listen on {}: {error}", self.address);
        let end = Instant::now() + LEAVE_LIMIT;
        let listener = loop {
            match TcpListener::bind(self.address) {
                // Whoever accepted before has not left yet.
                Err(_) if Instant::now() < end => thread::sleep(Duration::from_millis(10)),
                bound => break bound.map_err(failed)?,
            }
        };
        self.address = listener.local_addr().map_err(failed)?;
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.way() == Way::Away {
                    return;
                }
                let shared = Arc::clone(&shared);
                if let Ok(stream) = stream {
                    thread::spawn(move || shared.serve(stream));
                }
            }
        });
        self.listens = true;
        Ok(())
    }
}

impl Shared {
    fn way(&self) -> Way {
        *lock(&self.way)
    }

    /// One connection, until it ends. Errors end it; nobody has to know of them.
    fn serve(&self, mut client: TcpStream) {
        match self.way() {
            Way::Through | Way::Slow(_) | Way::Away => {}
            Way::Unavailable => {
                let _ = client.read(&mut [0; 16 << 10]).and_then(|_| client.write_all(UNAVAILABLE));
                return;
            }
            Way::Reset => {
                // tcp(7): what is closed before it was read is reset.
                let _ = client.peek(&mut [0]);
                return;
            }
        }
        let Ok(site) = TcpStream::connect(self.site) else { return };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let both = [client.try_clone(), site.try_clone()];
        lock(&self.open).insert(number, both.into_iter().flatten().collect());
        let ends = [client.try_clone(), site.try_clone()];
        if let [Ok(to_client), Ok(from_site)] = ends {
            thread::scope(|scope| {
                scope.spawn(move || self.pass(from_site, to_client, Duration::ZERO));
                let late = match self.way() {
                    Way::Slow(late) => late,
                    _ => Duration::ZERO,
                };
                self.pass(client, site, late);
            });
        }
        lock(&self.open).remove(&number);
    }

    /// Passes what comes until one side ends, and then ends the other.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, late: Duration) {
        let mut piece = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            thread::sleep(late);
            if to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Duration;

    use super::{Proxy, Way};

    /// Asks, and says what came.
    fn ask(proxy: &Proxy) -> Option<String> {
        let mut stream = TcpStream::connect(proxy.address).ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        (!said.is_empty()).then_some(said)
    }

    #[test]
    fn each_trouble_is_met_by_the_next_request_and_passes() {
        let site = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = site.local_addr().expect("an address");
        thread::spawn(move || {
            for mut stream in site.incoming().flatten() {
                let _ = stream.read(&mut [0; 100]).and_then(|_| stream.write_all(b"well"));
            }
        });
        let mut proxy = Proxy::start(address).expect("a port");
        let well = Some("well".to_owned());
        assert_eq!(ask(&proxy), well);
        for way in [Way::Away, Way::Reset] {
            proxy.set(way).expect("it can be set");
            assert_eq!(ask(&proxy), None, "{way:?}");
            proxy.set(Way::Through).expect("it can be set");
            assert_eq!(ask(&proxy), well, "after {way:?}");
        }
        proxy.set(Way::Unavailable).expect("it can be set");
        assert!(ask(&proxy).is_some_and(|said| said.starts_with("HTTP/1.1 503 ")));
        proxy.set(Way::Slow(Duration::from_millis(1))).expect("it can be set");
        assert_eq!(ask(&proxy), well);
    }
}
