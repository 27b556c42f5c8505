//! Looking for an event by its text, or for one that went wrong. A search goes frame by frame, so that it can be broken off.

use std::collections::VecDeque;

use reel_abi::id::Seq;
use reel_abi::value::Value;
use reel_abi::vocabulary::EventView;
use reel_abi::wire::Reader;

use super::error::DebugError;
use super::timeline::Timeline;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quest {
    /// Text in the name, the request or the reply, whatever its case.
    Text(String),
    /// An answer that is a failure.
    Failure,
}

/// What came of looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Here.
    At(Seq),
    /// Nowhere in that direction.
    Nowhere,
    /// It was broken off.
    Stopped,
}

impl Quest {
    /// The next event after `from`, or before it, that is meant.
    pub fn find(
        &self,
        timeline: &mut Timeline,
        from: Seq,
        forward: bool,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Found, DebugError> {
        let needle = self.needle();
        let here = timeline.frame_of(from)?;
        let order: Box<dyn Iterator<Item = usize>> =
            if forward { Box::new(here..timeline.frames()) } else { Box::new((0..=here).rev()) };
        for index in order {
            if stopped() {
                return Ok(Found::Stopped);
            }
            let opened = timeline.open(index)?;
            let mut r = Reader::new(&opened.raw);
            let mut last = None;
            for place in 0..u64::from(opened.frame.count) {
                let seq = Seq(opened.frame.first.0 + place);
                if !forward && seq >= from {
                    break;
                }
                let unwanted = forward && seq <= from;
                let event = match unwanted {
                    true => EventView::skim(&mut r).map(|_| None),
                    false => EventView::take(&mut r).map(Some),
                };
                let event = event.map_err(|error| timeline.damaged(opened.frame.first, &error.to_string()))?;
                if event.is_some_and(|event| self.is_met(&needle, &event)) {
                    if forward {
                        return Ok(Found::At(seq));
                    }
                    last = Some(seq);
                }
            }
            if let Some(seq) = last {
                return Ok(Found::At(seq));
            }
        }
        Ok(Found::Nowhere)
    }

    fn needle(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.to_ascii_lowercase().into_bytes(),
            Self::Failure => Vec::new(),
        }
    }

    fn is_met(&self, needle: &[u8], event: &EventView) -> bool {
        match self {
            Self::Failure => matches!(event.reply, Value::Failure(_)),
            Self::Text(_) => {
                has(event.name.as_bytes(), needle)
                    || event.request.iter().any(|(_, value)| in_value(value, needle))
                    || in_value(&event.reply, needle)
            }
        }
    }
}

fn in_value(value: &Value, needle: &[u8]) -> bool {
    let mut open = VecDeque::from([value]);
    while let Some(value) = open.pop_front() {
        let met = match value {
            Value::Text(text) | Value::Word(text) | Value::Elsewhere { digest: text, .. } => {
                has(text.as_bytes(), needle)
            }
            Value::Bytes(bytes) => has(bytes, needle),
            Value::Number(number) => has(number.to_string().as_bytes(), needle),
            Value::Signed(number) => has(number.to_string().as_bytes(), needle),
            Value::List(values) => {
                open.extend(values);
                false
            }
            Value::Record(fields) => {
                open.extend(fields.iter().map(|(_, value)| value));
                false
            }
            Value::Failure(inner) => {
                open.push_back(inner);
                false
            }
            Value::Unit | Value::Bool(_) | Value::Handle(_) | Value::Time(_) | Value::Duration(_) => false,
        };
        if met {
            return true;
        }
    }
    false
}

/// Whether bytes have others in them, whatever the case of ASCII letters; `needle` is in small ones.
fn has(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return true };
    bytes.len() >= needle.len()
        && bytes[..=bytes.len() - needle.len()].iter().enumerate().any(|(at, byte)| {
            byte.eq_ignore_ascii_case(first) && bytes[at..at + needle.len()].eq_ignore_ascii_case(needle)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_whatever_its_case() {
        assert!(has(b"Hello World", b"o wo") && has(b"abc", b"") && has(b"abc", b"abc"));
        assert!(!has(b"abc", b"abcd") && !has(b"abc", b"bd") && !has(b"", b"a"));
        let deep = Value::List(vec![Value::Record(vec![("x", Value::Failure(Box::new(Value::Text("Deep".into()))))])]);
        assert!(in_value(&deep, b"deep") && !in_value(&deep, b"x"));
    }
}
