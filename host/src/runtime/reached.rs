//! How far a run had come at one of its events, as a version of its space.

use reel_abi::event::decode;
use reel_abi::id::{RunId, Seq, Version};
use reel_abi::outcome::Disposition;
use reel_abi::value::Value;
use reel_abi::vocabulary::{Call, EventView, TxnBegins, TxnCommit};
use reel_store::{FrameRef, Made, ReadError, RunRecord, Store};

use super::replay::events;

/// How many events after a commit are looked through for the begin of the next transaction, which is the first or second.
const AFTER_COMMIT: u64 = 4;

/// The newest version that the run had made, or begun to read, when it had done this event. At its end mark, and after it, what it made in
/// all. Nothing if the run has no such event.
pub fn version_at(store: &Store, record: &RunRecord, seq: Seq) -> Result<Option<Version>, ReadError> {
    let frames = store.frames(record.run, Seq(0))?;
    let over = record.end.as_ref().filter(|end| seq.next() >= Seq(end.events));
    match over.map(|end| &end.disposition) {
        Some(Disposition::Committed { version, .. } | Disposition::Partly { version, .. }) => {
            return Ok(Some(*version));
        }
        None if frames.last().is_none_or(|frame| frame.next() <= seq) => return Ok(None),
        _ => {}
    }
    for at in frames.iter().rev().filter(|at| at.first <= seq) {
        for (place, event) in read(store, at)?.into_iter().rev().filter(|(place, _)| *place <= seq) {
            match event.code {
                TxnBegins::CODE => return Ok(Some(base(&event).unwrap_or(record.begin.version))),
                TxnCommit::CODE if !matches!(event.reply, Value::Failure(_)) => {
                    return committed(store, record, place).map(Some);
                }
                _ => {}
            }
        }
    }
    Ok(Some(record.begin.version))
}

/// The newest version that a run had made when it had committed at an event: the next transaction reads that one or a newer one.
fn committed(store: &Store, record: &RunRecord, at: Seq) -> Result<Version, ReadError> {
    let next = events(store, record.run, at.next(), AFTER_COMMIT)?;
    let next = next.iter().find(|(_, event)| event.code == TxnBegins::CODE).and_then(|(_, event)| base(event));
    let bound = next.unwrap_or(Version(u64::MAX));
    let by_this = |run: &RunId| *run == record.run;
    let made = store
        .history(&record.begin.space)?
        .into_iter()
        .rev()
        .find(|made| made.version <= bound && matches!(&made.made, Made::Commit { run, .. } if by_this(run)));
    Ok(made.map_or(record.begin.version, |made| made.version))
}

fn base(event: &EventView) -> Option<Version> {
    let Value::Record(fields) = &event.reply else { return None };
    fields.iter().find_map(|(name, value)| match value {
        Value::Number(version) if *name == "version" => Some(Version(*version)),
        _ => None,
    })
}

fn read(store: &Store, at: &FrameRef) -> Result<Vec<(Seq, EventView)>, ReadError> {
    let frame = store.frame(at)?;
    // What cannot be decoded holds no mark that could be understood; `reel log` says that it is damaged.
    let Ok(raw) = frame.unpack() else { return Ok(Vec::new()) };
    Ok(decode(&frame, &raw).unwrap_or_default())
}
