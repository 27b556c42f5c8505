//! Walking over the events of a frame.

use crate::id::Seq;
use crate::record::Frame;
use crate::vocabulary::{Call, EventView};
use crate::wire::{CodecError, Reader};

/// Decodes all events of a frame's raw bytes; refuses a frame that holds more or fewer than it says.
pub fn decode(frame: &Frame, raw: &[u8]) -> Result<Vec<(Seq, EventView)>, CodecError> {
    let mut r = Reader::new(raw);
    let mut events = Vec::with_capacity((frame.count as usize).min(raw.len()));
    for place in 0..u64::from(frame.count) {
        events.push((Seq(frame.first.0 + place), EventView::take(&mut r)?));
    }
    r.finish()?;
    Ok(events)
}

/// The first event of a frame's raw bytes, if it is this call.
pub fn decode_first<C: Call>(raw: &[u8]) -> Option<C> {
    let mut r = Reader::new(raw);
    let is_it = r.u8("event") == Ok(C::CODE);
    C::take(&mut r).ok().filter(|_| is_it)
}
