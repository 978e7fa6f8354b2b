//! HTTP/2 frames (RFC 9113 §4), watched from beside the library that speaks the protocol.
//!
//! Separate because the library hands out neither the order of settings and pseudo-headers (a
//! fingerprint) nor how often a client makes it work for nothing (an attack). It deliberately does
//! **not** take part: it answers nothing, keeps no stream states, and forgets all payload but the
//! first SETTINGS and header block. Errors of single streams are the library's business.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use seawall_model::{Http2Limits, Instant, Misbehaviour};

use crate::bytes::fold;
use crate::hpack::{MAX_PSEUDO_HEADERS, pseudo_order};

/// Frames of one direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// DATA frames.
    pub data: u64,
    /// DATA frames without content that do not end their stream.
    pub empty_data: u64,
    /// HEADERS frames.
    pub headers: u64,
    /// PRIORITY frames.
    pub priorities: u64,
    /// RST_STREAM frames.
    pub resets: u64,
    /// SETTINGS frames but acknowledgements.
    pub settings: u64,
    /// SETTINGS acknowledgements.
    pub settings_acks: u64,
    /// PUSH_PROMISE frames.
    pub push_promises: u64,
    /// PING frames but acknowledgements.
    pub pings: u64,
    /// PING acknowledgements.
    pub ping_acks: u64,
    /// GOAWAY frames.
    pub goaways: u64,
    /// WINDOW_UPDATE frames.
    pub window_updates: u64,
    /// CONTINUATION frames.
    pub continuations: u64,
    /// Frames of other types.
    pub other: u64,
    /// Payload of HEADERS and CONTINUATION frames, in bytes.
    pub header_bytes: u64,
    /// Payload of DATA frames, in bytes.
    pub data_bytes: u64,
}

/// What a client says before its first request. Hidden parts (values of fields) are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preface {
    /// Identifier and value, in order.
    settings: Vec<(u16, u32)>,
    /// The first increment of the connection's window before the first request; 0: none.
    window_update: u32,
    /// One letter per pseudo-header.
    pseudo_order: Vec<u8>,
}

impl Preface {
    /// A hash of the whole. Stable across processes and machines.
    pub fn hash(&self) -> u64 {
        let mut hash = 0;
        for (id, value) in &self.settings {
            hash = fold(hash, &id.to_be_bytes());
            hash = fold(hash, &value.to_be_bytes());
        }
        hash = fold(hash, &[]);
        hash = fold(hash, &self.window_update.to_be_bytes());
        fold(hash, &self.pseudo_order)
    }
}

/// The canonical text, such as `1:65536;3:1000;4:6291456|15663105|masp`: settings, the connection's
/// window increment, pseudo-headers by their letters (method, authority, scheme, path).
impl fmt::Display for Preface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (id, value)) in self.settings.iter().enumerate() {
            let separator = if at == 0 { "" } else { ";" };
            write!(f, "{separator}{id}:{value}")?;
        }
        write!(f, "|{}|", self.window_update)?;
        f.write_str(core::str::from_utf8(&self.pseudo_order).unwrap_or("?"))
    }
}

/// Watches both directions of one HTTP/2 connection. Feed it the plain bytes as they pass, split
/// anyhow. O(frames): payload is skipped, not read. Allocates until the first request's header
/// block is complete (at most [`MAX_KEPT_BYTES`]), then never.
#[derive(Clone, Debug)]
pub struct FrameObserver {
    limits: Http2Limits,
    /// Bytes of the client's connection preface seen so far.
    magic_bytes: usize,
    client: FrameReader,
    server: FrameReader,
    received: FrameCounts,
    sent: FrameCounts,
    streams_opened: u64,
    /// Resets of ours that the client is not to blame for, and how many of them are still to pass.
    excused: u64,
    excuses: u64,
    /// What had passed when the current window began.
    window: Window,
    header_blocks: u64,
    last_stream: u32,
    /// The stream whose header block the client has begun and not ended.
    open_block: Option<OpenBlock>,
    misbehaviour: Option<Misbehaviour>,
    stage: Stage,
    /// What is known of the preface so far.
    building: Option<Preface>,
    preface: Option<Preface>,
}

impl FrameObserver {
    /// An observer for a connection on which nothing has passed yet.
    pub fn new(limits: Http2Limits) -> Self {
        Self {
            limits,
            magic_bytes: 0,
            client: FrameReader::default(),
            server: FrameReader::default(),
            received: FrameCounts::default(),
            sent: FrameCounts::default(),
            streams_opened: 0,
            excused: 0,
            excuses: 0,
            window: Window::default(),
            header_blocks: 0,
            last_stream: 0,
            open_block: None,
            misbehaviour: None,
            stage: Stage::Settings,
            building: None,
            preface: None,
        }
    }

    /// Begins a new window if the last one is over. Without this all that passes is one window.
    pub fn tick(&mut self, now: Instant) {
        let begun = *self.window.begun.get_or_insert(now);
        if now.saturating_since(begun) >= WINDOW {
            let streams = self.streams_opened;
            let (received, sent) = (self.received, self.sent);
            self.window = Window { begun: Some(now), streams, received, sent };
        }
    }

    /// Payload bytes that are to come of the client's frame under way.
    pub const fn payload_left(&self) -> u32 {
        self.client.payload_left
    }

    /// Header blocks that the client has completed.
    pub const fn header_blocks(&self) -> u64 {
        self.header_blocks
    }

    /// Takes note of bytes from the client. After a layout error nothing more is read: where frames
    /// begin is unknown.
    pub fn received(&mut self, bytes: &[u8]) {
        if self.misbehaviour == Some(Misbehaviour::Http2Frame) {
            return;
        }
        let Some(mut rest) = self.magic(bytes) else {
            return self.refuse(Misbehaviour::Http2Frame);
        };
        while !rest.is_empty() {
            match self.client.step(&mut rest) {
                Step::Partial => {}
                Step::Header(header) => {
                    if let Err(misbehaviour) = self.client_header(header) {
                        return self.refuse(misbehaviour);
                    }
                    self.client.is_kept = self.wants_payload(header);
                    if header.len == 0 {
                        self.end_client_frame(header);
                    }
                }
                Step::End(header) => self.end_client_frame(header),
            }
        }
    }

    /// Takes note of bytes that we send.
    pub fn sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if let Step::Header(header) = self.server.step(&mut bytes) {
                if header.kind == RST_STREAM && self.excuses > 0 {
                    self.excuses -= 1;
                } else {
                    count(&mut self.sent, header);
                }
            }
        }
        self.check_totals();
    }

    /// The next RST_STREAM that we send is for our own sake (RFC 9113 §8.7): it is not counted. That
    /// holds for as many as [`Http2Limits::max_provoked_resets`]; then the connection is worn out, and
    /// those of a client that goes on are counted.
    pub const fn excuse_reset(&mut self) {
        if self.excused < self.limits.max_provoked_resets {
            self.excused += 1;
            self.excuses += 1;
        }
    }

    /// The same for a stream refused for want of room on this connection. The caller bounds how many
    /// those are, since the connection says goodbye with the first of them.
    pub const fn excuse_refusal(&mut self) {
        self.excuses += 1;
    }

    /// Frames from the client.
    pub const fn received_counts(&self) -> &FrameCounts {
        &self.received
    }

    /// Frames to the client, without the resets that were excused.
    pub const fn sent_counts(&self) -> &FrameCounts {
        &self.sent
    }

    /// Streams the client opened.
    pub const fn streams_opened(&self) -> u64 {
        self.streams_opened
    }

    /// What the client said before its first request; `None` until that request's header block is
    /// complete.
    pub const fn preface(&self) -> Option<&Preface> {
        self.preface.as_ref()
    }

    /// The first limit exceeded or connection-level rule broken. The library answers rule
    /// violations itself; limits are for the caller to act on.
    pub const fn misbehaviour(&self) -> Option<Misbehaviour> {
        self.misbehaviour
    }

    /// Whether the connection has had as many resets as one may have in its whole life, or as many of
    /// those that are our own doing as are excused. That is no
    /// offence (a proxy's connection carries the resets of many readers for days), but it is to say
    /// goodbye: who goes on with two windows' worth of resets after that misbehaves.
    pub const fn is_worn_out(&self) -> bool {
        self.received.resets > self.limits.max_resets_in_all
            || self.sent.resets > self.limits.max_provoked_resets_in_all
            || self.excused > 0 && self.excused >= self.limits.max_provoked_resets
    }

    /// Compares with the 24 bytes that begin a connection (RFC 9113 §3.4) and gives what follows;
    /// `None` if they differ.
    fn magic<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let due = MAGIC.get(self.magic_bytes..).unwrap_or(&[]);
        let len = due.len().min(bytes.len());
        self.magic_bytes += len;
        (due.get(..len) == bytes.get(..len)).then(|| bytes.get(len..).unwrap_or(&[]))
    }

    fn refuse(&mut self, misbehaviour: Misbehaviour) {
        // A layout error ends the reading, so it must be noted even after another.
        if self.misbehaviour.is_none() || misbehaviour == Misbehaviour::Http2Frame {
            self.misbehaviour = Some(misbehaviour);
        }
    }

    /// Judges a frame header from the client and counts it.
    fn client_header(&mut self, header: FrameHeader) -> Result<(), Misbehaviour> {
        if !header.has_valid_layout() || header.len > self.limits.max_frame_bytes {
            return Err(Misbehaviour::Http2Frame);
        }
        // RFC 9113 §3.4: SETTINGS first. §6.10: nothing may interrupt a header block.
        if self.stage == Stage::Settings && (header.kind != SETTINGS || header.is_ack()) {
            return Err(Misbehaviour::Http2Frame);
        }
        let block_stream = self.open_block.map(|block| block.stream);
        if block_stream != (header.kind == CONTINUATION).then_some(header.stream) {
            return Err(Misbehaviour::Http2Frame);
        }
        count(&mut self.received, header);
        self.note_block(header);
        self.check_totals();
        Ok(())
    }

    /// Follows header blocks and the streams they open.
    fn note_block(&mut self, header: FrameHeader) {
        if header.kind == HEADERS && header.stream > self.last_stream {
            self.last_stream = header.stream;
            self.streams_opened += 1;
        }
        if !matches!(header.kind, HEADERS | CONTINUATION) {
            return;
        }
        let mut block = self.open_block.unwrap_or(OpenBlock {
            stream: header.stream,
            continuations: 0,
            bytes: 0,
        });
        block.bytes = block.bytes.saturating_add(header.len);
        block.continuations += u32::from(header.kind == CONTINUATION);
        if block.continuations > self.limits.max_continuations
            || block.bytes > self.limits.max_header_block_bytes
        {
            self.refuse(Misbehaviour::Http2Continuation);
        }
        self.open_block = (!header.has_flag(END_HEADERS)).then_some(block);
        self.header_blocks += u64::from(header.has_flag(END_HEADERS));
    }

    fn check_totals(&mut self) {
        if self.misbehaviour.is_some() {
            return;
        }
        let (limits, then) = (&self.limits, &self.window);
        let streams = self.streams_opened - then.streams;
        let since = |pick: fn(&FrameCounts) -> u64| pick(&self.received) - pick(&then.received);
        let sent = |pick: fn(&FrameCounts) -> u64| pick(&self.sent) - pick(&then.sent);
        // Half of the streams on top, but for at most as many again.
        let resets = |most: u64| most.saturating_add(most.min(streams / 2));
        // Acknowledgements of none of ours work like frames of their own.
        let unasked = |acks: u64, ours: u64| acks.saturating_sub(ours);
        let settings =
            since(|c| c.settings) + unasked(self.received.settings_acks, self.sent.settings);
        let pings = since(|c| c.pings) + unasked(self.received.ping_acks, self.sent.pings);
        let rows = [
            (Misbehaviour::Http2Resets, since(|c| c.resets), resets(limits.max_resets)),
            (
                Misbehaviour::Http2Resets,
                self.received.resets,
                beyond_life(limits.max_resets_in_all, limits.max_resets),
            ),
            (
                Misbehaviour::Http2ProvokedResets,
                sent(|c| c.resets),
                resets(limits.max_provoked_resets),
            ),
            (
                Misbehaviour::Http2ProvokedResets,
                self.sent.resets,
                beyond_life(limits.max_provoked_resets_in_all, limits.max_provoked_resets),
            ),
            (Misbehaviour::Http2Settings, settings, limits.max_settings),
            (
                Misbehaviour::Http2Pings,
                pings,
                limits.max_pings.saturating_add(sent(|c| c.data).min(MAX_PINGS_FOR_DATA)),
            ),
            (
                Misbehaviour::Http2Priorities,
                since(|c| c.priorities),
                limits.max_priorities.saturating_add(4 * streams),
            ),
            (Misbehaviour::Http2EmptyData, since(|c| c.empty_data), limits.max_empty_data),
            (
                Misbehaviour::Http2WindowUpdates,
                since(|c| c.window_updates),
                limits.max_window_updates.saturating_add(4 * (streams + sent(|c| c.data))),
            ),
            (
                Misbehaviour::Http2OtherFrames,
                since(|c| c.other + c.goaways),
                limits.max_other_frames.saturating_add(4 * streams),
            ),
        ];
        self.misbehaviour = rows.iter().find(|(_, seen, most)| seen > most).map(|row| row.0);
    }

    /// Whether the preface needs this frame's payload.
    const fn wants_payload(&self, header: FrameHeader) -> bool {
        matches!(
            (self.stage, header.kind),
            (Stage::Settings, SETTINGS)
                | (Stage::Requests, WINDOW_UPDATE | HEADERS)
                | (Stage::Block, CONTINUATION)
        )
    }

    /// Reads what was kept of a frame that has now passed whole.
    fn end_client_frame(&mut self, header: FrameHeader) {
        match (self.stage, header.kind) {
            (Stage::Settings, SETTINGS) => {
                let settings = settings(&self.client.kept);
                self.stage = Stage::Requests;
                self.building =
                    Some(Preface { settings, window_update: 0, pseudo_order: Vec::new() });
            }
            (Stage::Requests, WINDOW_UPDATE) if header.stream == 0 => {
                let increment =
                    self.client.kept.first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
                if let Some(preface) = &mut self.building
                    && preface.window_update == 0
                {
                    preface.window_update = increment & 0x7fff_ffff;
                }
            }
            (Stage::Requests, HEADERS) => {
                strip_padding_and_priority(&mut self.client.kept, header);
                self.stage = Stage::Block;
                self.end_block(header);
            }
            (Stage::Block, CONTINUATION) => self.end_block(header),
            _ => {}
        }
    }

    /// The end of the first header block completes the preface.
    fn end_block(&mut self, header: FrameHeader) {
        if !header.has_flag(END_HEADERS) {
            return;
        }
        self.stage = Stage::Known;
        let kept = core::mem::take(&mut self.client.kept);
        self.preface = self.building.take();
        if let Some(preface) = &mut self.preface {
            preface.pseudo_order = pseudo_order(&kept);
            preface.pseudo_order.shrink_to_fit();
            debug_assert!(preface.pseudo_order.len() <= MAX_PSEUDO_HEADERS);
        }
    }
}

/// Resets in a whole life that cannot be what was under way at the goodbye, or was sent before it
/// arrived: a window allows up to twice `max_of_window`.
const fn beyond_life(max_in_all: u64, max_of_window: u64) -> u64 {
    max_in_all.saturating_add(max_of_window.saturating_mul(2))
}

/// Payload bytes kept until the first request is known. Beyond, a header block is read as far as it
/// was kept: pseudo-headers come first.
pub const MAX_KEPT_BYTES: usize = 16 * 1024;
/// Settings noted. RFC 9113 defines six, and a few more are registered.
const MAX_SETTINGS: usize = 32;
/// How long counts are added up before they begin anew.
const WINDOW: Duration = Duration::from_secs(10);
/// PING frames in a window that DATA frames sent may justify: clients measure the path by them.
const MAX_PINGS_FOR_DATA: u64 = 900;
const MAGIC: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Also END_STREAM of DATA and HEADERS.
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY_FLAG: u8 = 0x20;

/// The counts at the beginning of the current window.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    begun: Option<Instant>,
    streams: u64,
    received: FrameCounts,
    sent: FrameCounts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The first SETTINGS frame has not passed.
    Settings,
    /// Nor the first HEADERS frame.
    Requests,
    /// In the first header block.
    Block,
    /// The preface is known.
    Known,
}

#[derive(Clone, Copy, Debug)]
struct OpenBlock {
    stream: u32,
    continuations: u32,
    bytes: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct FrameHeader {
    len: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl FrameHeader {
    fn parse(bytes: [u8; 9]) -> Self {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = bytes;
        Self {
            len: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            // RFC 9113 §4.1: the reserved bit is to be ignored.
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    const fn has_flag(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    const fn is_ack(self) -> bool {
        self.has_flag(ACK)
    }

    /// What RFC 9113 §6 makes a connection error by the header alone. A client's streams are odd
    /// (§5.1.1), but that depends on stream states for all but HEADERS.
    const fn has_valid_layout(self) -> bool {
        match self.kind {
            DATA | CONTINUATION | PRIORITY => self.stream != 0,
            HEADERS => self.stream % 2 == 1,
            RST_STREAM => self.stream != 0 && self.len == 4,
            SETTINGS if self.is_ack() => self.stream == 0 && self.len == 0,
            SETTINGS => self.stream == 0 && self.len.is_multiple_of(6),
            PING => self.stream == 0 && self.len == 8,
            GOAWAY => self.stream == 0 && self.len >= 8,
            WINDOW_UPDATE => self.len == 4,
            // §8.4: a client cannot push.
            PUSH_PROMISE => false,
            _ => true,
        }
    }
}

/// Cuts one direction into frames.
#[derive(Clone, Debug, Default)]
struct FrameReader {
    bytes: [u8; 9],
    header_bytes: usize,
    header: FrameHeader,
    payload_left: u32,
    /// Whether the payload of this frame is kept.
    is_kept: bool,
    /// Of the last frame that was kept; a header block's frames are joined.
    kept: Vec<u8>,
}

enum Step {
    /// The bytes are used up.
    Partial,
    /// A frame header is whole.
    Header(FrameHeader),
    /// The payload of this frame, which was not empty, has passed.
    End(FrameHeader),
}

impl FrameReader {
    /// Consumes bytes up to the next event.
    fn step(&mut self, rest: &mut &[u8]) -> Step {
        if self.payload_left > 0 {
            let len = rest.len().min(self.payload_left as usize);
            let (payload, after) = rest.split_at(len);
            *rest = after;
            self.payload_left -= len as u32;
            if self.is_kept {
                let room = MAX_KEPT_BYTES.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(payload.get(..room).unwrap_or(payload));
            }
            return if self.payload_left == 0 { Step::End(self.header) } else { Step::Partial };
        }
        // The usual case: a whole header in one piece.
        if self.header_bytes == 0
            && let Some((bytes, after)) = rest.split_first_chunk::<9>()
        {
            *rest = after;
            return self.begin(*bytes);
        }
        while let Some((&byte, after)) = rest.split_first() {
            if let Some(slot) = self.bytes.get_mut(self.header_bytes) {
                *slot = byte;
            }
            self.header_bytes += 1;
            *rest = after;
            if self.header_bytes == self.bytes.len() {
                return self.begin(self.bytes);
            }
        }
        Step::Partial
    }

    fn begin(&mut self, bytes: [u8; 9]) -> Step {
        self.header_bytes = 0;
        self.header = FrameHeader::parse(bytes);
        self.payload_left = self.header.len;
        if self.header.kind != CONTINUATION {
            self.kept.clear();
        }
        self.is_kept = false;
        Step::Header(self.header)
    }
}

fn count(counts: &mut FrameCounts, header: FrameHeader) {
    let len = u64::from(header.len);
    match header.kind {
        DATA => {
            counts.data += 1;
            counts.data_bytes += len;
            counts.empty_data += u64::from(len == 0 && !header.has_flag(ACK));
        }
        HEADERS => {
            counts.headers += 1;
            counts.header_bytes += len;
        }
        PRIORITY => counts.priorities += 1,
        RST_STREAM => counts.resets += 1,
        SETTINGS if header.is_ack() => counts.settings_acks += 1,
        SETTINGS => counts.settings += 1,
        PUSH_PROMISE => counts.push_promises += 1,
        PING if header.is_ack() => counts.ping_acks += 1,
        PING => counts.pings += 1,
        GOAWAY => counts.goaways += 1,
        WINDOW_UPDATE => counts.window_updates += 1,
        CONTINUATION => {
            counts.continuations += 1;
            counts.header_bytes += len;
        }
        _ => counts.other += 1,
    }
}

/// RFC 9113 §6.5.1.
fn settings(payload: &[u8]) -> Vec<(u16, u32)> {
    let entries = payload.as_chunks::<6>().0.iter().take(MAX_SETTINGS);
    entries
        .map(|[i0, i1, v0, v1, v2, v3]| {
            (u16::from_be_bytes([*i0, *i1]), u32::from_be_bytes([*v0, *v1, *v2, *v3]))
        })
        .collect()
}

/// RFC 9113 §6.2: leaves the field block fragment of a HEADERS payload.
fn strip_padding_and_priority(payload: &mut Vec<u8>, header: FrameHeader) {
    let mut start = 0;
    if header.has_flag(PADDED) {
        let padding = payload.first().map_or(0, |&len| usize::from(len));
        // Padding that was not kept needs no stripping.
        let end = (header.len as usize).saturating_sub(padding);
        payload.truncate(end);
        start = 1;
    }
    if header.has_flag(PRIORITY_FLAG) {
        start += 5;
    }
    payload.drain(..start.min(payload.len()));
}
