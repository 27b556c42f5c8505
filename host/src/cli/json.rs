//! JSON for other programs: one object on a line. Names are stable. Text from guests holds no control character, escaped or not by JSON's
//! own rules, so that it can be shown at a terminal as well.

use reel_abi::id::{RunId, Seq};
use reel_abi::value::Value;
use reel_abi::vocabulary::EventView;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::sql::values::Fields;
pub use crate::sql::values::{Json, line, time};

/// An event of a run.
pub struct Event<'a> {
    /// The run.
    pub run: RunId,
    /// The event's place.
    pub seq: Seq,
    /// The event.
    pub event: &'a EventView,
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("run", &self.run.0)?;
        map.serialize_entry("seq", &self.seq.0)?;
        map.serialize_entry("call", self.event.name)?;
        map.serialize_entry("class", self.event.class.word())?;
        map.serialize_entry("request", &Fields(&self.event.request))?;
        map.serialize_entry("reply", &Json(&self.event.reply))?;
        map.end()
    }
}

/// Bytes as a field: `{"len", "text"}` or `{"len", "base64"}`.
pub struct Bytes(pub Value);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Json(&self.0).serialize(serializer)
    }
}

/// A time as a field.
pub struct Time(pub u64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        time(self.0, serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::values::{base64, is_plain};

    fn text(value: &Value) -> String {
        let mut out = Vec::new();
        line(&mut out, &Json(value)).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn base64_of_the_standard() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn nothing_but_plain_characters_is_written() {
        let nasty = "\u{1b}[0m\u{9b}\u{202e}\u{e0001}\"\\\n\u{7f}é";
        let json = text(&Value::Text(nasty.into()));
        assert!(json.trim_end().chars().all(is_plain), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), nasty);
    }

    #[test]
    fn values() {
        assert_eq!(text(&Value::Bytes(b"hi".to_vec())), "{\"len\":2,\"text\":\"hi\"}\n");
        assert_eq!(text(&Value::Bytes(vec![0xff])), "{\"len\":1,\"base64\":\"/w==\"}\n");
        let failure = Value::Failure(Box::new(Value::Word("no-entry".into())));
        assert_eq!(text(&failure), "{\"error\":\"no-entry\"}\n");
    }
}
