//! How an imported run sees the space that was made for it: under the names and numbers that it had where it ran.

use reel_abi::id::RunId;
use reel_abi::outcome::RunBegin;
use reel_abi::record::{ORIGIN_KEY, Origin, family};
use reel_abi::wire::Wire;
use reel_store::{Head, ReadError, RunRecord, Shown, Store};

use crate::runtime::replay::ReplayError;
use crate::txn::values;

/// A run as it was when it ran.
pub(in crate::runtime) struct AsItRan {
    /// The database as it sees it.
    pub store: Store,
    /// What it was called.
    pub run: RunId,
    /// How it began.
    pub begin: RunBegin,
    /// Whether it ran elsewhere, so that of its space there is only what it had read.
    pub imported: bool,
}

/// Where a run was imported from; nothing if it ran here.
pub fn origin(store: &Store, record: &RunRecord) -> Result<Option<Origin>, ReplayError> {
    let RunBegin { segment, version, .. } = record.begin;
    let view = match store.plain().view(Head { segment, version }) {
        Ok(view) => view,
        // Whoever needs what is gone will say so.
        Err(ReadError::Pruned { .. } | ReadError::NoSuchHead(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(value) = view.get(family::ORIGIN, ORIGIN_KEY)? else { return Ok(None) };
    let damaged = |what: String| ReplayError::Failed(format!("where the run comes from: {what}"));
    let bytes = values::load(store.blobs(), &value).map_err(|halt| damaged(halt.to_string()))?.unwrap_or_default();
    let origin = Origin::from_bytes(&bytes).map_err(|error| damaged(error.to_string()))?;
    Ok(Some(origin).filter(|origin| origin.here == record.run))
}

/// The run as it was.
pub(in crate::runtime) fn as_it_ran(store: &Store, record: &RunRecord) -> Result<AsItRan, ReplayError> {
    let Some(Origin { there, begin, bases, .. }) = origin(store, record)? else {
        return Ok(AsItRan { store: store.clone(), run: record.run, begin: record.begin.clone(), imported: false });
    };
    let segment = record.begin.segment;
    let head = |(base, version): (reel_abi::faults::Base, _)| {
        (Head { segment: base.segment, version: base.version }, Head { segment, version })
    };
    let shown =
        Shown { heads: bases.into_iter().map(head).collect(), families: vec![(family::RESIDENT, family::ASIDE)] };
    // The blocks of the component may be listed in another way here.
    let begin = RunBegin { content: record.begin.content, ..begin };
    Ok(AsItRan { store: store.showing(shown), run: there, begin, imported: true })
}
