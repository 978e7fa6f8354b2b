//! Reads TCP streams out of packet captures (pcap and pcapng), as far as the tests need it.

use std::collections::BTreeMap;

/// One direction of a TCP connection: the payload in order, and where each segment begins in it.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    pub(crate) segment_starts: Vec<usize>,
}

/// Every direction of every TCP connection in a capture.
pub(crate) fn tcp_streams(capture: &[u8]) -> Vec<Stream> {
    let mut flows: BTreeMap<Vec<u8>, Vec<(u32, Vec<u8>)>> = BTreeMap::new();
    for (link, packet) in packets(capture) {
        if let Some((flow, sequence, payload)) = segment(link, &packet) {
            flows.entry(flow).or_default().push((sequence, payload));
        }
    }
    flows.into_values().map(reassemble).collect()
}

/// Orders segments by sequence number, drops what was sent twice, stops at a gap.
fn reassemble(mut segments: Vec<(u32, Vec<u8>)>) -> Stream {
    // A port pair used for a second connection starts far away: keep to the first.
    let base = segments.first().map_or(0, |(sequence, _)| *sequence);
    let offset = |sequence: u32| i64::from(sequence.wrapping_sub(base) as i32);
    segments.sort_by_key(|(sequence, _)| offset(*sequence));
    let mut stream = Stream::default();
    let mut origin = None;
    for (sequence, payload) in segments.into_iter().filter(|(_, payload)| !payload.is_empty()) {
        let origin = *origin.get_or_insert(offset(sequence));
        let at = usize::try_from(offset(sequence) - origin).expect("sorted by offset");
        if at > stream.bytes.len() {
            break;
        }
        let fresh = payload.get(stream.bytes.len() - at..).unwrap_or(&[]);
        stream.segment_starts.push(stream.bytes.len());
        stream.bytes.extend_from_slice(fresh);
    }
    stream
}

/// The packets of a capture with their link type.
fn packets(capture: &[u8]) -> Vec<(u32, Vec<u8>)> {
    match capture.get(..4) {
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng(capture),
        Some([0xd4 | 0x4d, 0xc3 | 0x3c, 0xb2, 0xa1]) => pcap(capture, u32::from_le_bytes),
        Some([0xa1, 0xb2, 0xc3 | 0x3c, 0xd4 | 0x4d]) => pcap(capture, u32::from_be_bytes),
        other => panic!("unknown capture format {other:?}"),
    }
}

fn word(bytes: &[u8], at: usize, read: fn([u8; 4]) -> u32) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| read(b.try_into().expect("four bytes")))
}

fn pcap(capture: &[u8], read: fn([u8; 4]) -> u32) -> Vec<(u32, Vec<u8>)> {
    let link = word(capture, 20, read).expect("file header") & 0xffff;
    let mut packets = Vec::new();
    let mut at = 24;
    while let Some(len) = word(capture, at + 8, read) {
        let start = at + 16;
        let end = start + len as usize;
        let Some(packet) = capture.get(start..end) else { break };
        packets.push((link, packet.to_vec()));
        at = end;
    }
    packets
}

fn pcapng(capture: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut read: fn([u8; 4]) -> u32 = u32::from_le_bytes;
    let mut links = Vec::new();
    let mut packets = Vec::new();
    let mut at = 0;
    while let Some(kind) = word(capture, at, read) {
        if kind == 0x0a0d_0d0a {
            let magic = word(capture, at + 8, u32::from_le_bytes);
            read = if magic == Some(0x1a2b_3c4d) { u32::from_le_bytes } else { u32::from_be_bytes };
            links.clear();
        }
        let len = word(capture, at + 4, read).expect("block length") as usize;
        let Some(block) = capture.get(at..at + len) else { break };
        match kind {
            1 => {
                // Two bytes of link type, in the byte order of the section.
                let field = word(block, 8, read).expect("link type");
                let is_little = read([1, 0, 0, 0]) == 1;
                links.push(if is_little { field & 0xffff } else { field >> 16 });
            }
            6 => {
                let interface = word(block, 8, read).expect("interface") as usize;
                let captured = word(block, 20, read).expect("captured length") as usize;
                if let (Some(&link), Some(packet)) =
                    (links.get(interface), block.get(28..28 + captured))
                {
                    packets.push((link, packet.to_vec()));
                }
            }
            _ => {}
        }
        at += len.max(12);
    }
    packets
}

/// Flow key (addresses and ports), sequence number and payload of a TCP segment.
fn segment(link: u32, packet: &[u8]) -> Option<(Vec<u8>, u32, Vec<u8>)> {
    let ip = match link {
        0 | 108 => packet.get(4..)?,
        1 => {
            let mut at = 12;
            while matches!(packet.get(at..at + 2)?, [0x81, 0x00] | [0x88, 0xa8]) {
                at += 4;
            }
            packet.get(at + 2..)?
        }
        101 => packet,
        113 => packet.get(16..)?,
        other => panic!("unknown link type {other}"),
    };
    let (addresses, tcp) = match ip.first()? >> 4 {
        4 => {
            let header = usize::from(ip[0] & 15) * 4;
            let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
            // Zero stands for segmentation offload: the capture's own length counts.
            let end = if total == 0 { ip.len() } else { total.min(ip.len()) };
            (ip.get(9) == Some(&6)).then_some((ip.get(12..20)?, ip.get(header..end)?))?
        }
        6 => {
            let end = 40 + usize::from(u16::from_be_bytes([*ip.get(4)?, *ip.get(5)?]));
            let end = if end == 40 { ip.len() } else { end.min(ip.len()) };
            (ip.get(6) == Some(&6)).then_some((ip.get(8..40)?, ip.get(40..end)?))?
        }
        _ => return None,
    };
    let sequence = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?);
    let header = usize::from(tcp.get(12)? >> 4) * 4;
    let mut flow = addresses.to_vec();
    flow.extend_from_slice(tcp.get(..4)?);
    let is_syn = tcp.get(13)? & 2 != 0;
    Some((flow, sequence.wrapping_add(u32::from(is_syn)), tcp.get(header..)?.to_vec()))
}
