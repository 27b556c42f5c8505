//! JSON for other programs. Names are stable. Text from guests holds no control character, escaped or not by JSON's own rules, so that it can be shown
//! at a terminal as well.

use std::io::{self, Write};

use reel_abi::value::Value;
use reel_abi::vocabulary::EventView;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::Formatter;

use super::times;

/// Writes a value as one line.
pub fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Plain);
    value.serialize(&mut serializer).map_err(io::Error::other)?;
    bytes.push(b'\n');
    out.write_all(&bytes)
}

/// Compact, with everything escaped that is not plain.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c| !is_plain(c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let Some(c) = rest[at..].chars().next() else { break };
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// What an event says: its request and its reply.
pub struct Details<'a>(pub &'a EventView);

impl Serialize for Details<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("request", &Fields(&self.0.request))?;
        map.serialize_entry("reply", &Json(&self.0.reply))?;
        map.end()
    }
}

/// A value as text of JSON.
pub fn text(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    // Writing to memory fails only where a value cannot be JSON, which none of ours is.
    drop(line(&mut out, value));
    out.pop();
    String::from_utf8(out).unwrap_or_default()
}

/// Named values.
pub struct Fields<'a>(pub &'a [(&'static str, Value)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, &Json(value))?;
        }
        map.end()
    }
}

/// A value of a request or reply.
pub struct Json<'a>(pub &'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Unit => serializer.serialize_unit(),
            Value::Bool(yes) => serializer.serialize_bool(*yes),
            Value::Number(number) => serializer.serialize_u64(*number),
            Value::Signed(number) => serializer.serialize_i64(*number),
            Value::Handle(handle) => serializer.serialize_u32(*handle),
            Value::Text(text) | Value::Word(text) => serializer.serialize_str(text),
            Value::Time(nanos) => time(*nanos, serializer),
            Value::Duration(nanos) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("nanos", nanos)?;
                map.end()
            }
            Value::Bytes(bytes) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("len", &bytes.len())?;
                match std::str::from_utf8(bytes) {
                    Ok(text) => map.serialize_entry("text", text)?,
                    Err(_) => map.serialize_entry("base64", &base64(bytes))?,
                }
                map.end()
            }
            Value::Elsewhere { len, digest } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("len", len)?;
                map.serialize_entry("digest", digest)?;
                map.end()
            }
            Value::List(values) => {
                let mut seq = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    seq.serialize_element(&Json(value))?;
                }
                seq.end()
            }
            Value::Record(fields) => Fields(fields).serialize(serializer),
            Value::Failure(inner) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("error", &Json(inner))?;
                map.end()
            }
        }
    }
}

/// A time, for people and exactly.
pub fn time<S: Serializer>(nanos: u64, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("time", &times::exact(nanos))?;
    map.serialize_entry("nanos", &nanos)?;
    map.end()
}

/// RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0u32, |group, at| group << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// Whether a character is shown as it is: it is no control character, turns no direction of writing around and hides nothing.
pub fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}
