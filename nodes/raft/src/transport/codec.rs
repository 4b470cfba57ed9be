//! Frames of messages. In front stands one flat header: its length, a count, a crc32 of all the
//! rest of it, and per message its group, its protobuf form *without* entry bodies, and the lengths
//! of those bodies. The bodies follow as shared slices, so a megabyte is neither copied into a frame
//! nor out of it; each is vouched for by the crc32 in its entry's context, which the header's covers.
//! A frame that its sums do not fit is garbage, and ends its connection: TCP's own checksum of 16
//! bits lets one damaged segment in ten thousands through.
//!
//! Decoding believes no length before it has compared it with what is there. Messages have no
//! recursive type, so parsing them cannot exhaust the stack. What the log takes for granted of an
//! entry is checked here too, where it costs its sender a connection; in the log it would cost the
//! node its life, at every boot anew.

use bytes::{BufMut, BytesMut};
use host::{Chunks, Class};
use protobuf::{CodedInputStream, CodedOutputStream, Message as _};
use raft::eraftpb::{Entry, Message, MessageType};

use crate::chain::{ENVELOPE, body_crc};
use crate::members::{is_change, read};
use crate::rope::{Numbers, Reader};
use crate::wal::codec::MAX_CONTEXT;

/// Longer entry bodies are not proposed and not accepted.
pub(crate) const MAX_BODY: usize = 32 << 20;
const MAX_MESSAGES: u32 = 65_536;
/// Length, count and crc32.
const HEAD: usize = 12;

/// What becomes of a frame's checksums on receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sums {
    /// They are compared with what they vouch for.
    Compared,
    /// Nobody looks at them: a planted defect.
    Ignored,
}

/// A message of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Envelope {
    pub(crate) group: u32,
    pub(crate) message: Message,
}

/// Bytes of a message's entries: what windows are counted in.
pub(crate) fn body_bytes(message: &Message) -> u64 {
    message.entries.iter().map(crate::log::entry_size).sum()
}

/// A frame to send.
pub(crate) struct Frame {
    pub(crate) class: Class,
    pub(crate) data: Chunks,
}

/// Puts messages into one frame, as many from the front as fit into `limit` bytes, but one at
/// least.
pub(crate) fn encode(
    messages: &mut impl Iterator<Item = Envelope>,
    more: impl Fn(u64) -> bool,
) -> Frame {
    let mut flat = Vec::with_capacity(64);
    flat.put_bytes(0, HEAD);
    let mut bodies = Vec::new();
    let (mut count, mut bytes) = (0u32, 0u64);
    let mut class = None;
    while count == 0 || (count < MAX_MESSAGES && more(bytes)) {
        let Some(envelope) = messages.next() else { break };
        class = Some(merge(class, class_of(&envelope.message)));
        bytes += 64 + body_bytes(&envelope.message);
        put(&mut flat, &mut bodies, envelope);
        count += 1;
    }
    let len = u32::try_from(flat.len()).expect("headers are bounded by the count of messages");
    flat[..4].copy_from_slice(&len.to_le_bytes());
    flat[4..8].copy_from_slice(&count.to_le_bytes());
    let sum = header_sum(&flat[..8], &flat[HEAD..]);
    flat[8..HEAD].copy_from_slice(&sum.to_le_bytes());
    let mut data = Chunks::from(flat);
    bodies.into_iter().for_each(|body| data.push(body));
    Frame { class: class.unwrap_or(Class("raft")), data }
}

/// The crc32 of a header but for the crc32 itself.
fn header_sum(numbers: &[u8], messages: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(numbers);
    sum.update(messages);
    sum.finalize()
}

fn put(flat: &mut Vec<u8>, bodies: &mut Vec<bytes::Bytes>, envelope: Envelope) {
    let Envelope { group, mut message } = envelope;
    flat.put_u32_le(group);
    let header_len_at = flat.len();
    flat.put_u32_le(0);
    let first = bodies.len();
    for entry in message.entries.iter_mut() {
        bodies.push(std::mem::take(&mut entry.data));
    }
    let begin = flat.len();
    let mut out = CodedOutputStream::vec(flat);
    message.compute_size();
    message.write_to_with_cached_sizes(&mut out).expect("a vector takes everything");
    out.flush().expect("a vector takes everything");
    drop(out);
    let len = (flat.len() - begin) as u32;
    flat[header_len_at..header_len_at + 4].copy_from_slice(&len.to_le_bytes());
    bodies[first..].iter().for_each(|body| flat.put_u32_le(body.len() as u32));
}

fn class_of(message: &Message) -> Class {
    Class(match message.get_msg_type() {
        MessageType::MsgHeartbeat | MessageType::MsgHeartbeatResponse => "heartbeat",
        MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgTimeoutNow => "vote",
        MessageType::MsgAppend | MessageType::MsgAppendResponse => "append",
        _ => "raft",
    })
}

/// The class of a frame that carries both: appends name it, for they are what a fault is after.
fn merge(a: Option<Class>, b: Class) -> Class {
    match a {
        Some(a) if b != Class("append") => a,
        _ => b,
    }
}

/// Why a frame is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbage(pub(crate) &'static str);

/// Takes a frame apart and hands each message to `each`.
pub(crate) fn decode(
    frame: &Chunks,
    sums: Sums,
    mut each: impl FnMut(Envelope),
) -> Result<(), Garbage> {
    let mut reader = Reader::new(frame);
    let head = reader.take(HEAD as u64).ok_or(Garbage("no header"))?;
    let mut n = Numbers(&head);
    let (len, count) = n.u32().zip(n.u32()).ok_or(Garbage("no header"))?;
    if count == 0 || count > MAX_MESSAGES {
        return Err(Garbage("an impossible count of messages"));
    }
    let len = u64::from(len).checked_sub(HEAD as u64);
    let len = len.ok_or(Garbage("an impossible header length"))?;
    let header = reader.take(len).ok_or(Garbage("a header beyond the frame"))?;
    if sums == Sums::Compared && n.u32() != Some(header_sum(&head[..8], &header)) {
        return Err(Garbage("a header that its checksum does not fit"));
    }
    let mut at = 0;
    for _ in 0..count {
        let mut n = Numbers(&header[at..]);
        let (group, size) = n.u32().zip(n.u32()).ok_or(Garbage("a message beyond the header"))?;
        at += 8;
        let end = at + size as usize;
        if n.bytes(size as usize).is_none() {
            return Err(Garbage("a message beyond the header"));
        }
        let mut message = parse(&header.slice(at..end))?;
        at = end;
        for entry in message.entries.iter_mut() {
            let body_len = n.u32().ok_or(Garbage("a body without length"))?;
            at += 4;
            if body_len as usize > MAX_BODY || !entry.data.is_empty() {
                return Err(Garbage("a body too long or in the wrong place"));
            }
            entry.data =
                reader.take(u64::from(body_len)).ok_or(Garbage("a body beyond the frame"))?;
        }
        consecutive(&message)?;
        message.entries.iter().try_for_each(|entry| readable(entry, sums))?;
        each(Envelope { group, message });
    }
    if at != header.len() || reader.left() > 0 {
        return Err(Garbage("bytes behind the last message"));
    }
    Ok(())
}

/// Whether the log can take the entries at all: one index after the other, right behind the entry
/// that the message names, under terms that do not fall and are not of the future.
fn consecutive(message: &Message) -> Result<(), Garbage> {
    let (mut index, mut term) = (message.index, message.log_term);
    for entry in message.entries.iter() {
        if index.checked_add(1) != Some(entry.index) || entry.term < term {
            return Err(Garbage("entries that are no piece of a log"));
        }
        (index, term) = (entry.index, entry.term);
    }
    let future = !message.entries.is_empty() && term > message.term;
    if future { Err(Garbage("an entry of a later term than its message")) } else { Ok(()) }
}

/// Whether the entry would be read back from the log as it is.
fn readable(entry: &Entry, sums: Sums) -> Result<(), Garbage> {
    let context = entry.context.len();
    if context > MAX_CONTEXT || (1..ENVELOPE).contains(&context) {
        return Err(Garbage("a context too long or cut short"));
    }
    if is_change(entry) && read(entry).is_none() {
        return Err(Garbage("a change of members that is none"));
    }
    if context == 0 && !entry.data.is_empty() {
        return Err(Garbage("a body that nothing vouches for"));
    }
    // 23 us per MiB: a fraction of what receiving the body costs, and it keeps damage out of the
    // log, where it would stop every boot.
    if sums == Sums::Compared && crc32fast::hash(&entry.data) != body_crc(entry) {
        return Err(Garbage("a body that its checksum does not fit"));
    }
    Ok(())
}

fn parse(bytes: &bytes::Bytes) -> Result<Message, Garbage> {
    let mut message = Message::default();
    let mut input = CodedInputStream::from_carllerche_bytes(bytes);
    message.merge_from(&mut input).map_err(|_| Garbage("not a message"))?;
    Ok(message)
}

/// A message on its own, without entries: how a snapshot announces itself.
pub(crate) fn encode_one(group: u32, message: Message, extra: u64) -> Chunks {
    let mut out = BytesMut::with_capacity(8);
    out.put_u64_le(extra);
    let mut once = Some(Envelope { group, message }).into_iter();
    let mut data = Chunks::from(out.freeze());
    data.extend(&encode(&mut once, |_| false).data);
    data
}

/// The message and number of `encode_one`.
pub(crate) fn decode_one(frame: &Chunks) -> Option<(Envelope, u64)> {
    if frame.len() < 8 {
        return None;
    }
    let extra = Numbers(&frame.slice(0, 8).to_bytes()).u64()?;
    let mut found = None;
    let rest = frame.slice(8, frame.len() - 8);
    decode(&rest, Sums::Compared, |envelope| found = Some(envelope)).ok()?;
    Some((found?, extra))
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
