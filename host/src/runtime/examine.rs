//! Looking at what a run did: one event with all its bytes.

use reel_abi::id::{Digest, RunId, Seq};
use reel_abi::types::PAYLOAD_INLINE_BYTES;
use reel_abi::value::Value;
use reel_abi::vocabulary::EventView;
use reel_store::{ReadError, Store};

use super::prepare::whole;
use super::replay::events;

/// One event of a run.
pub fn event(store: &Store, run: RunId, seq: Seq) -> Result<Option<EventView>, ReadError> {
    Ok(events(store, run, seq, 1)?.into_iter().next().map(|(_, view)| view))
}

/// Whether the event stands for bytes that only a replay makes again: a digest of XXH3.
pub fn needs_replay(view: &EventView) -> bool {
    let values = view.request.iter().map(|(_, value)| value).chain([&view.reply]);
    values.flat_map(leaves).any(|value| matches!(value, Value::Elsewhere { digest, .. } if digest.len() == 16))
}

/// Puts bytes in the place of digests: those of a replay for a payload, those of the database for a blob.
pub fn fill(store: &Store, view: &mut EventView, payload: Option<&[u8]>) -> Result<(), ReadError> {
    let request = view.request.iter_mut().map(|(_, value)| value);
    for value in request.chain([&mut view.reply]) {
        fill_value(store, value, payload)?;
    }
    Ok(())
}

fn fill_value(store: &Store, value: &mut Value, payload: Option<&[u8]>) -> Result<(), ReadError> {
    match value {
        Value::Elsewhere { len, digest } if digest.len() == 16 => {
            if let Some(bytes) =
                payload.filter(|bytes| bytes.len() as u64 == *len && bytes.len() > PAYLOAD_INLINE_BYTES)
            {
                *value = Value::Bytes(bytes.to_vec());
            }
        }
        Value::Elsewhere { len, digest } => {
            let Some(name) = parse(digest) else { return Ok(()) };
            let blob = store.blobs().get(&name)?.filter(|blob| blob.len() as u64 == *len);
            let bytes = match blob {
                Some(blob) => Some(blob),
                None => whole(store, name)?.ok(),
            };
            if let Some(bytes) = bytes {
                *value = Value::Bytes(bytes);
            }
        }
        Value::List(values) => {
            for value in values {
                fill_value(store, value, payload)?;
            }
        }
        Value::Record(fields) => {
            for (_, value) in fields {
                fill_value(store, value, payload)?;
            }
        }
        Value::Failure(inner) => fill_value(store, inner, payload)?,
        _ => {}
    }
    Ok(())
}

fn leaves(value: &Value) -> Vec<&Value> {
    match value {
        Value::List(values) => values.iter().flat_map(leaves).collect(),
        Value::Record(fields) => fields.iter().flat_map(|(_, value)| leaves(value)).collect(),
        Value::Failure(inner) => leaves(inner),
        leaf => vec![leaf],
    }
}

fn parse(hex: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(Digest(digest))
}
