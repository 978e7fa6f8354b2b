//! Named attacks on protocols, for the self-test: what each does and what it felt.
//!
//! Separate from the flood of the demo because each is a study of one weakness, not a load. They reach
//! nothing but the two verified sockets of an [`Arena`], every connection is paid for from a
//! [`Budget`], and bytes are capped ([`caps::MAX_ATTACK_BYTES`](crate::caps::MAX_ATTACK_BYTES)). It
//! does **not** judge: whether an outcome is good is the self-test's business.

mod field_block;
mod frames;
mod http1;
mod http2;
mod tls;
mod wire;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::{Instant, sleep};

use self::wire::Wire;
use crate::addr::LoopbackAddr;
use crate::budget::Budget;
use crate::http::{Keep, ResponseReader};
use crate::site;

/// What can be seen of the instance under attack from outside.
pub trait Probe {
    /// Memory that it holds, in bytes.
    fn resident_bytes(&self) -> u64;
    /// Client connections that it has open.
    fn open_connections(&self) -> u64;
}

/// Where attacks take place: sockets of this run, and what a client needs to speak to them.
pub struct Arena<'a> {
    /// Plain HTTP.
    pub plain: LoopbackAddr,
    /// TLS.
    pub tls: LoopbackAddr,
    /// TLS settings that trust the instance and offer HTTP/2.
    pub http2: Arc<ClientConfig>,
    /// What may be spent.
    pub budget: Budget,
    /// The instance.
    pub probe: &'a dyn Probe,
}

/// What an attack did and felt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Felt {
    /// Connections that were opened.
    pub opened: u64,
    /// Those still open when the attacker gave up waiting.
    pub left: u64,
    /// Bytes sent, above TLS.
    pub sent_bytes: u64,
    /// Memory that the instance held beyond that of the same connections idle; 0 where the attack is
    /// not about memory.
    pub held_bytes: u64,
    /// Whether a reader was served meanwhile.
    pub others_served: bool,
}

macro_rules! attacks {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $cve:literal, $title:literal;)+) => {
        /// The attacks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Attack { $($(#[$meta])* $variant,)+ }

        impl Attack {
            /// Every attack, in the order in which they are told.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Its short name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The entry of the public list of vulnerabilities that made it known; empty: none.
            pub const fn cve(self) -> &'static str {
                match self { $(Self::$variant => $cve,)+ }
            }

            /// What it is, for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

attacks! {
    /// Heads that come a byte at a time and never end.
    SlowHead = "slow-head", "CVE-2007-6750", "Slowloris: heads that never end";
    /// Content that comes a byte at a time.
    SlowBody = "slow-body", "", "RUDY: content that trickles in";
    /// Answers that nobody takes.
    SlowRead = "slow-read", "", "answers that nobody takes";
    /// Many requests at once, no answer read.
    Pipelining = "pipelining", "", "pipelined requests without reading";
    /// A head beyond all measure.
    LargeHead = "large-head", "", "a head of 60 KiB";
    /// A head of thousands of fields.
    ManyFields = "many-fields", "", "a head of 4,000 fields";
    /// Messages that two parsers could read differently.
    Smuggling = "smuggling", "", "ambiguous message framing";
    /// More connections than one address may have.
    Connections = "connections", "", "connections from one address";
    /// A ClientHello that does not end.
    SlowHello = "slow-hello", "", "a TLS hello that never ends";
    /// A ClientHello in one-byte records.
    FragmentedHello = "fragmented-hello", "", "a TLS hello in crumbs";
    /// Requests reset at once.
    RapidReset = "rapid-reset", "CVE-2023-44487", "2,000 requests reset at once";
    /// Requests that we have to reset.
    MadeYouReset = "made-you-reset", "CVE-2025-8671", "requests that make the server reset";
    /// A header block that does not end.
    Continuation = "continuation", "CVE-2024-27316", "a header block that never ends";
    /// Small blocks that decode into large heads.
    Bomb = "http2-bomb", "CVE-2026-49975", "small blocks, large heads, held open";
    /// Many streams with small heads.
    BombStreams = "http2-bomb-streams", "CVE-2026-49975", "small heads in every stream, held open";
    /// SETTINGS frames.
    Settings = "settings", "CVE-2019-9515", "SETTINGS flood";
    /// PING frames.
    Ping = "ping", "CVE-2019-9512", "PING flood";
    /// DATA frames without data.
    EmptyData = "empty-data", "CVE-2019-9518", "empty DATA flood";
    /// PRIORITY frames.
    Priority = "priority", "CVE-2019-9513", "PRIORITY flood";
    /// WINDOW_UPDATE frames.
    WindowUpdate = "window-update", "", "WINDOW_UPDATE flood";
    /// Answers that wait for a window of zero.
    ZeroWindow = "zero-window", "CVE-2019-9517", "answers held by a window of zero";
}

impl Attack {
    /// Carries it out. Takes at most about ten seconds.
    pub async fn run(self, arena: &Arena<'_>) -> Felt {
        match self {
            Self::SlowHead => http1::slow_head(arena).await,
            Self::SlowBody => http1::slow_body(arena).await,
            Self::SlowRead => http1::slow_read(arena).await,
            Self::Pipelining => http1::pipelining(arena).await,
            Self::LargeHead => http1::large_head(arena).await,
            Self::ManyFields => http1::many_fields(arena).await,
            Self::Smuggling => http1::smuggling(arena).await,
            Self::Connections => http1::connections(arena).await,
            Self::SlowHello => tls::slow_hello(arena).await,
            Self::FragmentedHello => tls::fragmented_hello(arena).await,
            Self::Bomb => http2::bomb(arena).await,
            Self::BombStreams => http2::bomb_streams(arena).await,
            Self::ZeroWindow => http2::zero_window(arena).await,
            flood => http2::flood(arena, flood).await,
        }
    }
}

/// Ambiguous messages that [`Attack::Smuggling`] sends, each on a connection of its own.
pub const AMBIGUOUS_MESSAGES: usize = http1::AMBIGUOUS.len();
/// Connections that [`Attack::Connections`] opens.
pub const CONNECTIONS: usize = 400;

/// Where attackers come from, so that they share no budget with readers.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 1);
/// Where the reader comes from who must not notice.
const READER: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
/// How long an attacker waits to be thrown out: twice the time-outs of the self-test's instance and
/// the time in which it listens after its last word.
const PATIENCE: Duration = Duration::from_secs(7);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

impl Arena<'_> {
    async fn plain(&self) -> Option<Wire> {
        Wire::plain(&self.budget, &self.plain, ATTACKER).await
    }

    async fn raw_tls(&self) -> Option<Wire> {
        Wire::plain(&self.budget, &self.tls, ATTACKER).await
    }

    async fn tls(&self) -> Option<Wire> {
        Wire::tls(&self.budget, &self.tls, ATTACKER, &self.http2).await
    }

    /// Waits until the instance has closed every connection; what is left of `opened` when
    /// [`PATIENCE`] ends.
    async fn wait_until_gone(&self) -> u64 {
        let end = Instant::now() + PATIENCE;
        loop {
            let open = self.probe.open_connections();
            if open == 0 || Instant::now() >= end {
                return open;
            }
            sleep(LOOK).await;
        }
    }

    /// The most memory above `idle` that the instance holds in the next quarter of a second.
    async fn most_held(&self, idle: u64) -> u64 {
        let mut most = 0;
        for _ in 0..5 {
            most = most.max(self.probe.resident_bytes().saturating_sub(idle));
            sleep(LOOK).await;
        }
        most
    }

    /// Whether a reader with a connection of its own gets a page.
    async fn serves_others(&self) -> bool {
        let Some(mut reader) = Wire::plain(&self.budget, &self.plain, READER).await else {
            return false;
        };
        let request =
            format!("GET /about/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", site::HOST);
        reader.send(request.as_bytes()).await;
        let mut response = ResponseReader::new(reader);
        response.read(Keep::Nothing, None).await.is_ok_and(|response| response.status == 200)
    }

    /// The end of most attacks: others are served meanwhile, and then the connections are counted.
    async fn conclude(&self, wires: Vec<Wire>, held_bytes: u64) -> Felt {
        let others_served = self.serves_others().await;
        let left = self.wait_until_gone().await;
        let sent_bytes = wires.iter().map(Wire::sent_bytes).sum();
        Felt { opened: wires.len() as u64, left, sent_bytes, held_bytes, others_served }
    }
}
