//! Taking out of a reproducer what nobody shall see: the bytes of a secret are replaced by as many others, wherever they stand, and what is only known
//! by a digest of it gets the digest of that.
//!
//! Nobody can say beforehand whether the guest still does the same with other bytes. A replay of the file tells, and without that nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use reel_abi::event::decode;
use reel_abi::http::Fields;
use reel_abi::id::Digest;
use reel_abi::message::Message;
use reel_abi::record::{Cell, CellValue, Frame, family};
use reel_abi::reproducer::{BLOB_MAX_BYTES, COMPONENT_MAX_BYTES, Packed, Reproducer, ReproducerError};
use reel_abi::types::{PAYLOAD_INLINE_BYTES, Payload};
use reel_abi::value::Value;
use reel_abi::vocabulary::{Call, EventView, HttpRequest, HttpResponse, HttpSend, KvSet, RunEnds};
use reel_abi::wire::{CodecError, Reader, Wire, Writer};
use thiserror::Error;

use super::finding::listed;
use super::swapping::{Hidden, Swap};
use crate::gate::Hears;
use crate::runtime::keys_at::split_key;

/// Shorter secrets stand by chance in much that is none.
const LEAST_BYTES: usize = 4;

/// Payloads of a run that may be remembered for the secrets in them; a run with more cannot be redacted.
const HEARD_BYTES: usize = 1 << 30;

/// What is to be redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redaction {
    /// The values of a key, in all buckets or in one.
    Key {
        /// `KEY` or `BUCKET/KEY`.
        name: String,
    },
    /// The values of a header field.
    Header {
        /// Its name, whatever its case.
        name: String,
    },
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
}

impl FromStr for Redaction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = |name: &str| match name.is_empty() {
            true => Err(format!("{text:?} names nothing; write KEY, BUCKET/KEY, header:NAME or env:NAME")),
            false => Ok(name.to_owned()),
        };
        Ok(match text.split_once(':') {
            Some(("header", header)) => Self::Header { name: name(header)? },
            Some(("env", env)) => Self::Env { name: name(env)? },
            _ => Self::Key { name: name(text)? },
        })
    }
}

impl fmt::Display for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { name } => f.write_str(name),
            Self::Header { name } => write!(f, "header:{name}"),
            Self::Env { name } => write!(f, "env:{name}"),
        }
    }
}

/// Why something cannot be redacted.
#[derive(Debug, Error)]
pub enum Unredacted {
    /// There is none.
    #[error("the run has nothing that {0} names")]
    Nothing(String),
    /// It is too short.
    #[error(
        "a value of {name} has {len} bytes: one of less than {LEAST_BYTES} cannot be told from what stands there by chance"
    )]
    Short {
        /// What was asked for.
        name: String,
        /// Bytes.
        len: usize,
    },
    /// The component itself has it.
    #[error("the component itself holds a value of what is to be redacted, and it cannot be changed")]
    InComponent,
    /// The run has too many payloads.
    #[error("the run has more payloads than can be looked through")]
    TooMuch,
    /// What is left is no reproducer.
    #[error("without it, {0} is not what it has to be: {1}")]
    Broken(&'static str, String),
    /// It is still there.
    #[error("a value of what is to be redacted would still be in the file")]
    Left,
}

impl From<ReproducerError> for Unredacted {
    fn from(error: ReproducerError) -> Self {
        Self::Broken("a payload", error.to_string())
    }
}

/// The payloads of a replay that stand in events by their digests.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Payloads>>);

#[derive(Debug, Default)]
struct Payloads {
    known: BTreeSet<Vec<u8>>,
    bytes: usize,
    too_much: bool,
}

impl Heard {
    /// Who is told of them.
    pub(super) fn hears(&self) -> Hears {
        let heard = Arc::clone(&self.0);
        Arc::new(move |bytes: &[u8]| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            if bytes.len() > PAYLOAD_INLINE_BYTES && !heard.too_much && heard.known.insert(bytes.to_vec()) {
                heard.bytes += bytes.len();
                heard.too_much = heard.bytes > HEARD_BYTES;
            }
        })
    }
}

/// The reproducer without what is to be redacted.
pub(super) fn redact(mut file: Reproducer, wanted: &[Redaction], heard: &Heard) -> Result<Reproducer, Unredacted> {
    let mut swap = Swap { secrets: secrets(&file, wanted)?, digests: BTreeMap::new() };
    let heard = heard.0.lock().unwrap_or_else(PoisonError::into_inner);
    if heard.too_much {
        return Err(Unredacted::TooMuch);
    }
    if swap.finds(&file.component.unpack("the component", COMPONENT_MAX_BYTES)?) {
        return Err(Unredacted::InComponent);
    }
    for payload in &heard.known {
        let mut redacted = payload.clone();
        if swap.hide(&mut redacted) {
            let digest = |bytes: &[u8]| match Payload::of(bytes) {
                Payload::Digest { xxh3, .. } => xxh3.to_le_bytes().to_vec(),
                Payload::Inline(bytes) => bytes,
            };
            swap.digests.insert(digest(payload), digest(&redacted));
        }
    }
    blobs(&mut file, &mut swap)?;
    for state in &mut file.states {
        for Cell { key, value, .. } in &mut state.cells {
            swap.hide(&mut key.0);
            swap.value(value)?;
        }
        for range in &mut state.ranges {
            swap.hide(&mut range.from.0);
            if let Some(until) = &mut range.until {
                swap.hide(&mut until.0);
            }
        }
        state.cells.sort_by(|one, other| (one.family, &one.key).cmp(&(other.family, &other.key)));
    }
    for commit in &mut file.commits {
        for Cell { key, value, .. } in &mut commit.cells {
            swap.hide(&mut key.0);
            swap.value(value)?;
        }
        commit.cells.sort_by(|one, other| (one.family, &one.key).cmp(&(other.family, &other.key)));
    }
    for frame in &mut file.frames {
        *frame = redacted_frame(frame, &swap)?;
    }
    let about = &mut file.about;
    about.begin = swap.coded("how the run began", &about.begin)?;
    let end = about.end.take().map(|end| swap.coded("how the run ended", &end)).transpose()?;
    // Memory is another one, and nobody could tell how.
    about.end = end.map(|end| reel_abi::outcome::RunEnd { memory: None, ..end });
    is_gone(&file, &swap)?;
    Ok(file)
}

/// All values of what is to be redacted, and what takes their place.
fn secrets(file: &Reproducer, wanted: &[Redaction]) -> Result<Vec<Hidden>, Unredacted> {
    let mut found = BTreeSet::new();
    let mut blobs = BTreeMap::new();
    for packed in &file.blobs {
        let bytes = packed.unpack("a payload", BLOB_MAX_BYTES)?;
        blobs.insert(Digest::of(&bytes), packed);
    }
    let (mut views, mut heads) = (Vec::new(), Vec::new());
    for frame in &file.frames {
        let raw = frame.unpack().map_err(ReproducerError::from)?;
        heads.extend(fields(frame, &raw).map_err(|error| Unredacted::Broken("a frame", error.to_string()))?);
        views.extend(decode(frame, &raw).map_err(|error| Unredacted::Broken("a frame", error.to_string()))?);
    }
    for redaction in wanted {
        let mut values = BTreeSet::new();
        match redaction {
            Redaction::Env { name } => {
                let env = file.about.begin.env.iter().filter(|(known, _)| known == name);
                values.extend(env.map(|(_, value)| value.clone().into_bytes()));
            }
            Redaction::Header { name } => {
                for (_, event) in &views {
                    headers(event, name, &mut values);
                }
                let named = heads.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
                values.extend(named.map(|(_, value)| value.0.clone()));
                for cell in file.states.iter().flat_map(|state| &state.cells) {
                    if cell.family == family::QUEUE && !cell.key.is_empty() {
                        values.extend(of_message(content(&cell.value, &blobs)?, name));
                    }
                }
            }
            Redaction::Key { name } => {
                let cells = file.states.iter().flat_map(|state| &state.cells);
                for cell in cells.chain(file.commits.iter().flat_map(|commit| &commit.cells)) {
                    if cell.family == family::KEY_VALUE && split_key(&cell.key).is_some_and(|key| is_key(key, name)) {
                        values.extend(content(&cell.value, &blobs)?);
                    }
                }
                for (_, event) in views.iter().filter(|(_, event)| event.code == KvSet::CODE) {
                    let field = |wanted| event.request.iter().find(|(field, _)| *field == wanted).map(|(_, v)| v);
                    let key = name.rsplit('/').next().unwrap_or(name);
                    if let (Some(Value::Bytes(k)), Some(Value::Bytes(v))) = (field("key"), field("value"))
                        && (k == name.as_bytes() || k == key.as_bytes())
                    {
                        values.insert(v.clone());
                    }
                }
            }
        }
        values.retain(|value| !value.is_empty());
        if values.is_empty() {
            return Err(Unredacted::Nothing(redaction.to_string()));
        }
        if let Some(short) = values.iter().find(|value| value.len() < LEAST_BYTES) {
            return Err(Unredacted::Short { name: redaction.to_string(), len: short.len() });
        }
        found.extend(values);
    }
    let mut secrets: Vec<_> = found.into_iter().map(|secret| (filler(&secret), secret)).map(|(f, s)| (s, f)).collect();
    secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
    Ok(secrets)
}

fn is_key((bucket, key): (&[u8], &[u8]), name: &str) -> bool {
    key == name.as_bytes() || [bucket, b"/", key].concat() == name.as_bytes()
}

/// The bytes of a value, whole.
fn content(value: &CellValue, blobs: &BTreeMap<Digest, &Packed>) -> Result<Option<Vec<u8>>, Unredacted> {
    let blob = |digest: &Digest| {
        let packed = blobs.get(digest).ok_or(Unredacted::Broken("a payload", format!("{digest} is missing")))?;
        Ok::<_, Unredacted>(packed.unpack("a payload", BLOB_MAX_BYTES)?)
    };
    Ok(match value {
        CellValue::Inline { bytes } => Some(bytes.0.clone()),
        CellValue::Blob { digest, .. } => Some(blob(digest)?),
        CellValue::Content { digest, .. } => {
            let blocks: Result<Vec<_>, _> = listed(&blob(digest)?).iter().map(blob).collect();
            Some(blocks?.concat())
        }
        CellValue::Tombstone => None,
    })
}

/// As many other bytes: digits where there are only digits, so that what is read as a number still is one.
fn filler(secret: &[u8]) -> Vec<u8> {
    let number = secret.iter().all(u8::is_ascii_digit);
    let with = |byte: u8| vec![byte; secret.len()];
    let filler = if number { with(b'1') } else { with(b'x') };
    match filler == secret {
        true if number => with(b'2'),
        true => with(b'y'),
        false => filler,
    }
}

/// The header fields of requests and responses, as they were.
fn fields(frame: &Frame, raw: &[u8]) -> Result<Fields, CodecError> {
    let (mut r, mut found) = (Reader::new(raw), Vec::new());
    for _ in 0..frame.count {
        let mut ahead = r.clone();
        match ahead.u8("event")? {
            HttpRequest::CODE => {
                HttpRequest::take(&mut ahead)?;
                let head: <HttpRequest as Call>::Reply = Wire::take(&mut ahead)?;
                found.extend(head.headers);
            }
            HttpSend::CODE => found.extend(HttpSend::take(&mut ahead)?.head.headers),
            HttpResponse::CODE => {
                HttpResponse::take(&mut ahead)?;
                let head: <HttpResponse as Call>::Reply = Wire::take(&mut ahead)?;
                if let Some(Ok(head)) = head {
                    found.extend(head.headers);
                }
            }
            _ => {}
        }
        EventView::take(&mut r)?;
    }
    Ok(found)
}

/// The values of a header in a message of the queue.
fn of_message(bytes: Option<Vec<u8>>, name: &str) -> Vec<Vec<u8>> {
    let Some(Ok(message)) = bytes.map(|bytes| Message::from_bytes(&bytes)) else { return Vec::new() };
    let named = message.headers.into_iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.into_bytes()).collect()
}

/// The values of a header field in an event.
fn headers(event: &EventView, name: &str, values: &mut BTreeSet<Vec<u8>>) {
    let field = |wanted: &str| event.request.iter().find(|(field, _)| *field == wanted).map(|(_, value)| value);
    if event.name.starts_with("http.field")
        && let Some(Value::Text(of)) = field("name")
        && of.eq_ignore_ascii_case(name)
    {
        for value in ["value", "values"].iter().filter_map(|wanted| field(wanted)) {
            leaves(value, values);
        }
    }
    event.request.iter().map(|(_, value)| value).chain([&event.reply]).for_each(|value| pairs(value, name, values));
}

fn pairs(value: &Value, name: &str, values: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::List(list) => match list.as_slice() {
            [Value::Text(of), value @ (Value::Text(_) | Value::Bytes(_))] if of.eq_ignore_ascii_case(name) => {
                leaves(value, values);
            }
            list => list.iter().for_each(|value| pairs(value, name, values)),
        },
        Value::Record(fields) => fields.iter().for_each(|(_, value)| pairs(value, name, values)),
        Value::Failure(inner) => pairs(inner, name, values),
        _ => {}
    }
}

fn leaves(value: &Value, values: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::Text(text) => drop(values.insert(text.clone().into_bytes())),
        Value::Bytes(bytes) => drop(values.insert(bytes.clone())),
        Value::List(list) => list.iter().for_each(|value| leaves(value, values)),
        _ => {}
    }
}

/// Payloads, and then the lists that name them.
fn blobs(file: &mut Reproducer, swap: &mut Swap) -> Result<(), Unredacted> {
    for pass in 0..2 {
        for packed in &mut file.blobs {
            let before = packed.unpack("a payload", BLOB_MAX_BYTES)?;
            let mut after = before.clone();
            let changed = match pass {
                0 => swap.hide(&mut after),
                _ => !listed(&before).is_empty() && swap.digests_in(&mut after),
            };
            if changed {
                swap.digests.insert(Digest::of(&before).0.to_vec(), Digest::of(&after).0.to_vec());
                *packed = Packed::of(&after)?;
            }
        }
    }
    // Two may be one now.
    let mut known = BTreeSet::new();
    let mut each = Vec::new();
    for packed in std::mem::take(&mut file.blobs) {
        if known.insert(Digest::of(&packed.unpack("a payload", BLOB_MAX_BYTES)?)) {
            each.push(packed);
        }
    }
    file.blobs = each;
    Ok(())
}

/// The frame with other bytes in the place of the secrets, and without the digest of memory.
fn redacted_frame(frame: &Frame, swap: &Swap) -> Result<Frame, Unredacted> {
    let broken = |error: &dyn fmt::Display| Unredacted::Broken("a frame", error.to_string());
    let mut raw = frame.unpack().map_err(|error| broken(&error))?;
    swap.all(&mut raw);
    let last = last_event(frame, &raw).map_err(|error| broken(&error))?;
    let mut r = Reader::resume(&raw, last, [0; 2]);
    if r.u8("event") == Ok(RunEnds::CODE)
        && let Ok(end) = RunEnds::take(&mut r)
    {
        let mut w = Writer::new();
        w.raw(&raw[..last]);
        w.u8(RunEnds::CODE);
        RunEnds { memory: None, ..end }.put(&mut w);
        raw = w.into_bytes();
    }
    decode(frame, &raw).map_err(|error| broken(&error))?;
    let times = (frame.opened, frame.closed);
    Frame::pack(frame.run, frame.first, frame.count, times, &raw).map_err(|error| broken(&error))
}

fn last_event(frame: &Frame, raw: &[u8]) -> Result<usize, CodecError> {
    let mut r = Reader::new(raw);
    for _ in 1..frame.count {
        EventView::take(&mut r)?;
    }
    Ok(r.at())
}

/// Looks for the secrets in all that is in the file, unpacked.
fn is_gone(file: &Reproducer, swap: &Swap) -> Result<(), Unredacted> {
    let mut found = swap.finds(&file.about.to_bytes());
    for state in &file.states {
        found |= swap.finds(&state.to_bytes());
    }
    for commit in &file.commits {
        found |= swap.finds(&commit.to_bytes());
    }
    for frame in &file.frames {
        found |= swap.finds(&frame.unpack().map_err(ReproducerError::from)?) || swap.finds(&frame.packed);
    }
    for packed in &file.blobs {
        found |= swap.finds(&packed.unpack("a payload", BLOB_MAX_BYTES)?) || swap.finds(&packed.packed);
    }
    if found { Err(Unredacted::Left) } else { Ok(()) }
}
