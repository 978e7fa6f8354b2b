//! Answers as HTTP/1.1 bytes.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode};
use seawall_model::{HttpVersion, Method};
use seawall_wire::http1::{RequestHead, RequestView};
use socket2::SockRef;

use super::{After, Conn, Stop};
use crate::answer::{Answer, AnswerBody, AnswerHead, Tunnel};
use crate::buffers;
use crate::origin::Chunk;
use crate::policy::Policy;
use crate::serve::{self, Times};
use crate::tunnel;

/// How the content is delimited on the wire (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// No content; the head may still announce the length that a GET would have.
    None,
    Length(u64),
    Chunked,
    /// HTTP/1.0: the end of the connection is the end of the content.
    UntilClose,
}

/// Appends an answer that is wholly in hand. No wait, and no allocation for held pages.
pub(super) fn whole(
    conn: &mut Conn,
    policy: &Policy,
    head: &RequestHead,
    answer: &Answer,
    times: Times,
) -> After {
    let after = after(conn, head, answer);
    buffers::ensure(&mut conn.output);
    put_head(&mut conn.output, answer, framing(answer, head), after, head.version());
    let mut sent = 0;
    if let AnswerBody::Whole(bytes) = &answer.body
        && framing(answer, head) != Framing::None
    {
        sent = bytes.len() as u64;
        conn.output.put_slice(bytes);
    }
    let view = head.view(&conn.input);
    serve::record(&conn.ctx, policy, &super::ask(&view, head), answer, sent, times);
    after
}

/// Appends a refusal after which the connection is closed.
pub(crate) fn put_refusal(output: &mut BytesMut, head: &RequestHead, answer: &Answer) {
    put_head(output, answer, framing(answer, head), After::Close, head.version());
    if let AnswerBody::Whole(bytes) = &answer.body
        && framing(answer, head) != Framing::None
    {
        output.put_slice(bytes);
    }
}

/// Appends an interim response (RFC 9110 §15.2).
pub(super) fn interim(output: &mut BytesMut, response: &Response<()>) {
    buffers::ensure(output);
    put_status(output, response.status().as_u16());
    put_fields(output, response.headers(), Framing::None);
    output.put_slice(b"\r\n");
}

impl Conn {
    /// Writes an answer that may have to be waited for, with egress pacing and back-pressure.
    pub(super) async fn write_slowly(
        &mut self,
        policy: &Policy,
        view: &RequestView<'_>,
        mut answer: Answer,
        times: Times,
    ) -> Result<After, Stop> {
        let head = view.head();
        if let AnswerBody::Upgrade(..) = answer.body {
            return self.upgrade(policy, view, answer, times).await;
        }
        let after = after(self, head, &answer);
        let framing = framing(&answer, head);
        buffers::ensure(&mut self.output);
        put_head(&mut self.output, &answer, framing, after, head.version());
        let (sent, complete) = self.write_body(&mut answer, framing).await?;
        serve::record(&self.ctx, policy, &super::ask(view, head), &answer, sent, times);
        let short = matches!(framing, Framing::Length(length) if length != sent);
        if !complete || short {
            // Whatever was announced did not come: only a broken connection says so.
            let _ = self.flush().await;
            let _ = SockRef::from(self.stream.tcp()).set_linger(Some(Duration::ZERO));
            return Err(Stop::Gone);
        }
        self.flush().await?;
        Ok(after)
    }

    /// Writes the content; says how many bytes it had and whether it came to its proper end.
    async fn write_body(
        &mut self,
        answer: &mut Answer,
        framing: Framing,
    ) -> Result<(u64, bool), Stop> {
        let priority = answer.body.priority();
        let mut sent = 0u64;
        loop {
            match answer.body.next().await {
                Err(_) => return Ok((sent, false)),
                Ok(Some(Chunk::Data(mut data))) => {
                    if framing == Framing::None || data.is_empty() {
                        continue;
                    }
                    sent += data.len() as u64;
                    // Where bytes have to wait for their turn a large body goes in pieces: else its
                    // reader would have nothing, not even the head, until all of it had its turn.
                    let piece = if self.ctx.is_paced() { PACED_BYTES } else { data.len() };
                    while !data.is_empty() {
                        let mut part = data.split_to(piece.min(data.len()));
                        if !self.ctx.pace(part.len(), priority).await {
                            return Err(Stop::Gone);
                        }
                        self.write_data(&mut part, framing).await?;
                    }
                }
                Ok(Some(Chunk::Trailers(trailers))) => {
                    if framing == Framing::Chunked {
                        self.output.put_slice(b"0\r\n");
                        put_fields(&mut self.output, &trailers, framing);
                        self.output.put_slice(b"\r\n");
                        return Ok((sent, true));
                    }
                }
                Ok(None) => {
                    if framing == Framing::Chunked {
                        buffers::ensure(&mut self.output);
                        self.output.put_slice(b"0\r\n\r\n");
                    }
                    return Ok((sent, true));
                }
            }
        }
    }

    async fn write_data(&mut self, data: &mut Bytes, framing: Framing) -> Result<(), Stop> {
        if framing == Framing::Chunked {
            buffers::ensure(&mut self.output);
            let _ = write!(self.output, "{:x}\r\n", data.len());
            self.flush_with(data).await?;
            buffers::ensure(&mut self.output);
            self.output.put_slice(b"\r\n");
            Ok(())
        } else {
            self.flush_with(data).await
        }
    }

    /// Hands the connection over to another protocol (RFC 9110 §7.8) and carries bytes both ways
    /// until either side ends or nothing moves for the idle time-out.
    async fn upgrade(
        &mut self,
        policy: &Policy,
        view: &RequestView<'_>,
        mut answer: Answer,
        times: Times,
    ) -> Result<After, Stop> {
        let body = std::mem::replace(&mut answer.body, AnswerBody::None);
        let AnswerBody::Upgrade(tunnel) = body else { return Ok(After::Close) };
        buffers::ensure(&mut self.output);
        put_status(&mut self.output, answer.status);
        if let AnswerHead::Map(headers) = &answer.head {
            put_fields(&mut self.output, headers, Framing::None);
        }
        self.output.put_slice(b"connection: upgrade\r\n\r\n");
        self.flush().await?;
        serve::record(&self.ctx, policy, &super::ask(view, view.head()), &answer, 0, times);
        let Tunnel { origin, permit: _permit } = *tunnel;
        let Ok(upgraded) = origin.await else { return Err(Stop::Gone) };
        let early = self.input.split().freeze();
        tunnel::run(&mut self.stream, upgraded, early, tunnel::IDLE).await;
        Err(Stop::Gone)
    }
}

/// What is written at once where bytes have to wait for their turn.
const PACED_BYTES: usize = 64 << 10;

fn after(conn: &Conn, head: &RequestHead, answer: &Answer) -> After {
    let until_close = framing(answer, head) == Framing::UntilClose;
    if !head.keep_alive() || answer.note.close || until_close || conn.ctx.worker.is_draining() {
        After::Close
    } else {
        After::Keep
    }
}

fn framing(answer: &Answer, head: &RequestHead) -> Framing {
    if head.method() == Method::Head || matches!(answer.status, 204 | 304) {
        return Framing::None;
    }
    match answer.body.length() {
        Some(length) => Framing::Length(length),
        None if head.version() == HttpVersion::Http11 => Framing::Chunked,
        None => Framing::UntilClose,
    }
}

fn put_head(
    output: &mut BytesMut,
    answer: &Answer,
    framing: Framing,
    after: After,
    version: HttpVersion,
) {
    match &answer.head {
        AnswerHead::Held { representation, age_s, cache_status } => {
            // The stored head announces the length of the stored representation.
            output.put_slice(representation.head_http1());
            output.put_slice(b"age: ");
            put_decimal(output, *age_s);
            output.put_slice(b"\r\ncache-status: ");
            output.put_slice(cache_status.as_bytes());
            output.put_slice(b"\r\n");
        }
        AnswerHead::Prepared(prepared) => {
            let head = prepared.http1.get_or_init(|| {
                let mut head = BytesMut::with_capacity(512);
                put_status(&mut head, answer.status);
                // No framing of our own: the length stands among the fields.
                put_fields(&mut head, &prepared.fields, Framing::None);
                head.freeze()
            });
            output.put_slice(head);
        }
        AnswerHead::Map(headers) => {
            put_status(output, answer.status);
            put_fields(output, headers, framing);
            match framing {
                Framing::None | Framing::UntilClose => {}
                Framing::Length(length) => {
                    output.put_slice(b"content-length: ");
                    put_decimal(output, length);
                    output.put_slice(b"\r\n");
                }
                Framing::Chunked => output.put_slice(b"transfer-encoding: chunked\r\n"),
            }
        }
    }
    output.put_slice(match (after, version) {
        (After::Close, _) => b"connection: close\r\n\r\n".as_slice(),
        (After::Keep, HttpVersion::Http10) => b"connection: keep-alive\r\n\r\n",
        (After::Keep, _) => b"\r\n",
    });
}

fn put_status(output: &mut BytesMut, status: u16) {
    output.put_slice(b"HTTP/1.1 ");
    put_decimal(output, u64::from(status));
    output.put_u8(b' ');
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    output.put_slice(reason.unwrap_or("").as_bytes());
    output.put_slice(b"\r\n");
}

/// All fields but those that frame the message: these are ours to say. For HEAD and 304 the
/// length that a GET would have stays (RFC 9110 §8.6).
fn put_fields(output: &mut BytesMut, headers: &HeaderMap, framing: Framing) {
    for (name, value) in headers {
        let frames = name == TRANSFER_ENCODING
            || name == CONNECTION
            || (name == CONTENT_LENGTH && framing != Framing::None);
        if frames {
            continue;
        }
        output.put_slice(name.as_str().as_bytes());
        output.put_slice(b": ");
        output.put_slice(value.as_bytes());
        output.put_slice(b"\r\n");
    }
}

fn put_decimal(output: &mut BytesMut, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    output.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_as_they_read() {
        for number in [0, 7, 10, 12_345, u64::MAX] {
            let mut out = BytesMut::new();
            put_decimal(&mut out, number);
            assert_eq!(&out[..], number.to_string().as_bytes());
        }
    }
}
