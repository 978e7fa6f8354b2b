//! Taking in the content of an HTTP/1 request.

use bytes::{Buf, BufMut, Bytes};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use seawall_model::{Cause, Misbehaviour};
use seawall_wire::http1::{BodyDecoder, BodyStep, RequestHead, RequestView};

use super::{Conn, Stop};
use crate::answer::Answer;
use crate::buffers;
use crate::clock;
use crate::policy::Policy;
use crate::refusal;
use crate::serve::Plan;
use crate::spool::{SpoolError, SpooledBody};

impl Conn {
    /// Takes in the whole content before anybody asks for a permit: waiting bytes must not hold
    /// one (`detection.md`, amendment 5). The inner error is the answer to give instead; the rest
    /// of the content is then unread.
    pub(super) async fn take_in(
        &mut self,
        policy: &Policy,
        plan: &Plan,
        view: &RequestView<'_>,
    ) -> Result<Result<SpooledBody, Box<Answer>>, Stop> {
        let head = view.head();
        if head.expects_continue() {
            buffers::ensure(&mut self.output);
            self.output.put_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.flush().await?;
        let ask = super::ask(view, head);
        let refuse = |status, cause| Box::new(refusal::failed(status, cause, &ask));
        let most = policy.table.max_body_bytes(Some(plan.site), view.path());
        let mut writer = self.ctx.worker.shared.spool.writer(most);
        let trailers = match self.decode(policy, head, &mut writer).await? {
            Decoded::Whole(trailers) => trailers,
            Decoded::Malformed(refused) => {
                self.ctx.misbehaved(refused.misbehaviour);
                return Ok(Err(refuse(refused.status, Cause::Malformed)));
            }
            Decoded::Slow => {
                self.ctx.misbehaved(Misbehaviour::SlowContent);
                return Ok(Err(refuse(408, Cause::ClientTimeout)));
            }
            Decoded::NoRoom(error) => return Ok(Err(refuse(status_of(&error), error.cause()))),
        };
        match writer.finish(trailers).await {
            Ok(spooled) => Ok(Ok(spooled)),
            Err(error) => Ok(Err(refuse(status_of(&error), error.cause()))),
        }
    }

    async fn decode(
        &mut self,
        policy: &Policy,
        head: &RequestHead,
        writer: &mut crate::spool::SpoolWriter,
    ) -> Result<Decoded, Stop> {
        let limits = &policy.config.limits;
        let rate = limits.min_body_bytes_per_second.max(1);
        let started = clock::now();
        let mut decoder = BodyDecoder::new(head.framing());
        loop {
            match decoder.decode(&self.input) {
                Err(refused) => return Ok(Decoded::Malformed(refused)),
                Ok(BodyStep::End { consumed }) => {
                    self.input.advance(consumed);
                    self.slot.disarm();
                    return Ok(Decoded::Whole(trailers(&mut decoder)));
                }
                Ok(BodyStep::Data { skip, len }) => {
                    self.input.advance(skip);
                    let piece: Bytes = self.input.split_to(len).freeze();
                    if let Err(error) = writer.push(piece).await {
                        return Ok(Decoded::NoRoom(error));
                    }
                }
                Ok(BodyStep::NeedMore) => {
                    // The average rate since the start counts, after the grace.
                    let earned = std::time::Duration::from_secs(writer.received_bytes() / rate);
                    self.slot.arm(started + limits.body_grace + earned);
                    match self.fill().await {
                        Ok(0) => return Err(Stop::Gone),
                        Ok(read) => self.ctx.worker.metrics.bytes_received(read as u64),
                        Err(Stop::Expired) => return Ok(Decoded::Slow),
                        Err(stop) => return Err(stop),
                    }
                }
            }
        }
    }
}

enum Decoded {
    Whole(Option<HeaderMap>),
    Malformed(seawall_wire::http1::Refusal),
    Slow,
    NoRoom(SpoolError),
}

fn trailers(decoder: &mut BodyDecoder) -> Option<HeaderMap> {
    let lines = decoder.take_trailers();
    if lines.is_empty() {
        return None;
    }
    let mut map = HeaderMap::with_capacity(lines.len());
    for (name, value) in lines {
        let name = HeaderName::from_bytes(&name);
        let value = HeaderValue::from_bytes(&value);
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    Some(map)
}

/// 413 where the client sent too much, 503 where we have no room.
pub(crate) fn status_of(error: &SpoolError) -> u16 {
    if error.cause() == Cause::BodyTooLarge { 413 } else { 503 }
}
