//! Bytes both ways between a client and an origin after an upgrade.
//!
//! It understands nothing of what it carries. It ends when either side has closed in both
//! directions, breaks, or nothing has moved for the idle time-out.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use crate::clock;
use crate::stream::Stream;

/// Silence after which a tunnel ends: longer than the usual WebSocket ping interval.
pub(crate) const IDLE: Duration = Duration::from_secs(120);

/// Carries bytes until the tunnel ends. `early` was already read from the client.
pub(crate) async fn run(client: &mut Stream, origin: Upgraded, early: Bytes, idle: Duration) {
    let moved = Cell::new(clock::now());
    let (mut client_in, mut client_out) = split(client);
    let (mut origin_in, mut origin_out) = split(TokioIo::new(origin));
    let upward = async {
        origin_out.write_all(&early).await?;
        carry(&mut client_in, &mut origin_out, &moved).await
    };
    let downward = carry(&mut origin_in, &mut client_out, &moved);
    let both = async { tokio::join!(upward, downward) };
    tokio::select! {
        _ = both => {}
        () = silence(&moved, idle) => {}
    }
}

async fn carry<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    from: &mut R,
    to: &mut W,
    moved: &Cell<seawall_model::Instant>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
        moved.set(clock::now());
    }
}

async fn silence(moved: &Cell<seawall_model::Instant>, idle: Duration) {
    loop {
        let quiet = clock::now().saturating_since(moved.get());
        if quiet >= idle {
            return;
        }
        tokio::time::sleep(idle - quiet).await;
    }
}
