//! Handles that earlier calls of a resident have left open.

use reel_abi::id::{RunId, Seq};
use reel_abi::wire::Reader;
use reel_store::Store;

use super::deed::Deed;
use super::error::DebugError;
use super::hand::Hands;
use crate::runtime::resident::cells::call_begin;

/// Calls that are gone back through; of a guest with a longer life, older handles are not known.
const CALLS: usize = 4096;

/// The handles at the begin of a run, and whether some may be missing.
pub(super) fn hands(store: &Store, run: RunId, stopped: &dyn Fn() -> bool) -> Result<(Hands, bool), DebugError> {
    let (mut calls, mut next) = (Vec::new(), after(store, run)?);
    while let Some(earlier) = next {
        if calls.len() >= CALLS {
            break;
        }
        calls.push(earlier);
        next = after(store, earlier)?;
    }
    let mut hands = Hands::default();
    for call in calls.into_iter().rev() {
        let Some(record) = store.run(call)? else { continue };
        for at in store.frames(call, Seq(0))? {
            if stopped() {
                return Err(DebugError::Stopped);
            }
            let frame = store.frame(&at)?;
            let Ok(raw) = frame.unpack() else { break };
            let mut r = Reader::new(&raw);
            for _ in 0..frame.count {
                let Ok(deed) = Deed::take(&raw, &mut r) else { break };
                hands.follow(&record.begin, &deed);
            }
        }
    }
    Ok((hands, next.is_some()))
}

fn after(store: &Store, run: RunId) -> Result<Option<RunId>, DebugError> {
    let call = call_begin(store, run).map_err(|error| DebugError::Replay(error.into()))?;
    Ok(call.and_then(|call| call.after))
}
