//! Which payloads the events of a frame name: what the store, which does not know what events say, must not remove.

use reel_abi::event::decode;
use reel_abi::id::Digest;
use reel_abi::record::Frame;
use reel_abi::value::Value;

/// The names of all payloads that the events of a frame name.
pub fn named(frame: &Frame, raw: &[u8]) -> Result<Vec<Digest>, String> {
    let events = decode(frame, raw).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    for (_, event) in &events {
        event.request.iter().for_each(|(_, value)| collect(value, &mut names));
        collect(&event.reply, &mut names);
    }
    Ok(names)
}

fn collect(value: &Value, names: &mut Vec<Digest>) {
    match value {
        Value::Elsewhere { digest, .. } => names.extend(parse(digest)),
        Value::List(values) => values.iter().for_each(|value| collect(value, names)),
        Value::Record(fields) => fields.iter().for_each(|(_, value)| collect(value, names)),
        Value::Failure(inner) => collect(inner, names),
        _ => {}
    }
}

/// The name of a payload; nothing for the short digests of what a replay makes again.
fn parse(hex: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(Digest(digest))
}
