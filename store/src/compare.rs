//! The state against the log: every item must be found in it, and there must be nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use redb::ReadTransaction;
use reel_abi::id::{CommitNo, Position, RunId, SegmentId, SpaceName, Version};
use reel_abi::record::LogItem;
use reel_abi::wire::Wire;

use crate::audit::Audit;
use crate::chain::{Head, Segment};
use crate::cuts;
use crate::error::Trouble;
use crate::flat;
use crate::gone::Gone;
use crate::redb_file::table;
use crate::slice::Origin;
use crate::state::Snapshot;
use crate::tables::*;
use crate::verify::{Place, VerifyReport};

/// Looks for everything in a row that the state must hold.
pub(crate) fn row(
    txn: &ReadTransaction,
    position: Position,
    items: &[(u32, LogItem)],
    mut gone: Option<&mut Gone>,
    report: &mut VerifyReport,
) -> Result<(), Trouble> {
    let state = Snapshot(txn);
    let cells = table(txn, CELLS)?;
    let frames = table(txn, FRAMES)?;
    for (offset, item) in items {
        let mut wrong = |what: String| report.add(Place::Item(position, *offset), format!("the state has {what}"));
        match item {
            LogItem::Begun { run, begin } => {
                if state.begin(*run)?.as_ref() != Some(begin) {
                    wrong(format!("no such begin of run {run}"));
                }
            }
            LogItem::Ended { run, end } => {
                if state.end(*run)?.as_ref() != Some(end) {
                    wrong(format!("no such end of run {run}"));
                }
            }
            LogItem::Frame { frame } => {
                let key = (frame.run.0, frame.first.0);
                let known = frames.as_ref().map(|frames| frames.get(key)).transpose()?.flatten();
                let removed = known.is_none() && gone.as_mut().is_some_and(|gone| gone.frame(frame.run));
                if !removed && known.map(|place| place.value()) != Some((position.0, *offset, frame.count)) {
                    wrong(format!("not this place for event {} of run {}", frame.first, frame.run));
                }
            }
            LogItem::Commit { record } => {
                let place = state.commit(record.number)?;
                if place.map(|place| (place.row, place.offset)) != Some((position, *offset)) {
                    wrong(format!("not this place for commit {}", record.number));
                }
                for change in &record.spaces {
                    let made = Origin { commit: record.number, run: record.run, at: record.at };
                    if state.origin(&change.space, change.version)? != Some(made) {
                        wrong(format!("another origin of {}@{}", change.space, change.version));
                    }
                    for cell in &change.cells {
                        let key = CellKey::new(change.segment, cell.family, &cell.key, change.version);
                        let known = cells.as_ref().map(|cells| cells.get(key.bytes())).transpose()?.flatten();
                        if known.is_none()
                            && let Some(gone) = &mut gone
                            && gone.cell(cells.as_ref(), key.bytes())?
                        {
                            continue;
                        }
                        if known.is_none_or(|known| known.value() != cell.value.to_bytes()) {
                            wrong(format!("not this value of {:?} in {}@{}", cell.key, change.space, change.version));
                        }
                    }
                }
            }
            LogItem::SpaceOpened { space, segment, version, parent } => {
                if !has_segment(&state, space, Head { segment: *segment, version: *version }, *parent)? {
                    wrong(format!("no such segment {segment}"));
                }
                if state.origin(space, *version)?.is_some_and(|origin| origin.commit != CommitNo(0)) {
                    wrong(format!("another origin of {space}@{version}"));
                }
            }
            LogItem::Branched { space, segment, version, parent, at, .. } => {
                if !has_segment(&state, space, Head { segment: *segment, version: *version }, Some(*parent))? {
                    wrong(format!("no such segment {segment}"));
                }
                let origin = Origin { commit: CommitNo(0), run: RunId(0), at: *at };
                if state.origin(space, *version)? != Some(origin) {
                    wrong(format!("another origin of {space}@{version}"));
                }
            }
            // What changes in place is compared with the totals.
            LogItem::Delivered { .. }
            | LogItem::SpaceRemoved { .. }
            | LogItem::TagSet { .. }
            | LogItem::TagRemoved { .. }
            | LogItem::Retained { .. } => {}
        }
    }
    Ok(())
}

fn has_segment(
    state: &Snapshot<'_>,
    space: &SpaceName,
    head: Head,
    parent: Option<(SegmentId, Version)>,
) -> Result<bool, Trouble> {
    let opened = Segment { space: space.clone(), opened: head.version, parent };
    let opening = state.opening(space, head.version)?;
    Ok(state.segment(head.segment)? == Some(opened) && opening == Some((head.version, head.segment)))
}

/// Compares what changes in place, and how many entries there are. Only right at the row that the state has reached.
pub(crate) fn totals(
    txn: &ReadTransaction,
    audit: &Audit,
    gone: Option<&Gone>,
    path: &Path,
    report: &mut VerifyReport,
) -> Result<(), Trouble> {
    for (segment, flat) in Snapshot(txn).flats()? {
        // Of a segment that was cut some copies may be gone.
        let cut = gone.is_some_and(|gone| cuts::cut(&gone.retention, segment).is_some());
        if !cut && let Some(what) = flat::check(txn, segment, &flat)? {
            report.add(Place::File(path.to_owned()), what);
        }
    }
    if !audit.is_complete() {
        return Ok(());
    }
    let flats = Snapshot(txn).flats()?;
    let copied = flats.iter().map(|(_, flat)| flat.copied).fold(0, u64::saturating_add);
    let mut found = Snapshot(txn).totals()?;
    let (cells, frames) = gone.map_or((0, 0), Gone::counts);
    found.cells = found.cells.saturating_sub(copied).saturating_add(cells);
    let left = gone.map_or(Ok(0), |gone| gone.commits_left(txn))?;
    found.commits = found.commits.saturating_sub(left);
    found.frames = found.frames.saturating_add(frames);
    if found != audit.totals {
        let what = format!("has other numbers of entries than the log gives: {found:?}, not {:?}", audit.totals);
        report.add(Place::File(path.to_owned()), what);
    }
    let state = Snapshot(txn);
    let heads: std::collections::BTreeMap<_, _> = state.heads()?.into_iter().collect();
    for (space, head) in &audit.heads {
        if heads.get(space) != Some(head) {
            report.add(
                Place::Space(space.clone()),
                format!("the state has its head at {:?}, not {head:?}", heads.get(space)),
            );
        }
    }
    if let Some(space) = heads.keys().find(|space| !audit.heads.contains_key(space)) {
        report.add(Place::Space(space.clone()), "the state has a head of this space, the log has none");
    }
    // Found one by one above; in order they are read only here.
    let mut listed = 0;
    for space in heads.keys() {
        listed += state.versions(space)?.len() as u64;
        state.openings(space)?;
    }
    if listed != found.versions {
        report.add(Place::File(path.to_owned()), format!("lists {listed} versions, but has {}", found.versions));
    }
    let removed: BTreeSet<_> = state.removed()?.into_iter().map(|(space, _)| space).collect();
    if let Some(space) = removed.symmetric_difference(&audit.removed).next() {
        let what = "state and log do not agree on whether this space was removed";
        report.add(Place::Space(space.clone()), what);
    }
    if !state.tags()?.iter().eq(audit.tags.values()) {
        report.add(Place::File(path.to_owned()), "has other tags than the log gives");
    }
    if state.retained()? != audit.retained {
        report.add(Place::File(path.to_owned()), "knows of another retention than the log");
    }
    let outbox: Vec<_> = state.outbox()?.into_iter().map(|(commit, entries)| (commit, entries.len())).collect();
    if !outbox.iter().copied().eq(audit.outbox.iter().map(|(commit, effects)| (*commit, effects.len))) {
        report.add(Place::File(path.to_owned()), "has other undelivered effects than the log gives");
    }
    Ok(())
}
