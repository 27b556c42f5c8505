//! Carrying out a retention, and the state that stands for rows that are gone.
//!
//! ```text
//! 1. log/NNNNNNNN.base     the settled state without what is to go; durable, but nobody relies on it yet
//! 2. Retained              an item of the log, which names the digest of 1: from here on views of what is to go are refused
//! 3. state.redb            cells and indexes of the past are removed, in bounded steps
//! 4. log files, old bases  removed, oldest first
//! 5. "pruned" in state.redb
//! ```
//!
//! Cut off before 2, nothing happened. Cut off later, opening the database goes on with 3. Each step can be repeated.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, Value, WriteTransaction};
use reel_abi::id::{Digest, Position, SegmentId};
use reel_abi::record::Retention;
use reel_abi::wire::Wire;

use crate::cuts::Keeper;
use crate::dir::{self, Dir};
use crate::error::{Fault, Trouble};
use crate::flat::Flat;
use crate::log::Log;
use crate::redb_file::{RedbFile, ascending, table};
use crate::state;
use crate::tables::*;

/// One step looks at about so many entries, and removes what of them is to go in one transaction.
const STEP_ENTRIES: usize = 16_384;

/// Removes from the state and from the log what a retention says is gone.
pub(crate) fn carry_out(
    file: &RedbFile,
    log: &Log,
    dir: &Dir,
    retention: &Retention,
    watch: &mut dyn FnMut(),
) -> Result<(), Fault> {
    prune_cells(file, retention, watch)?;
    prune_frames(file, retention)?;
    watch();
    prune_commits(file, retention)?;
    watch();
    for number in log.numbers_through(retention.rows_through)? {
        log.remove(number)?;
        watch();
    }
    let current = (retention.rows_through > Position(0)).then_some(retention.base);
    dir.remove_bases(|path| Ok(Some(dir::digest(path)?) == current))?;
    watch();
    state::put_pruned(file, retention)
}

fn prune_cells(file: &RedbFile, retention: &Retention, watch: &mut dyn FnMut()) -> Result<(), Fault> {
    let mut keeper = Keeper::new(retention);
    let mut from: Option<Vec<u8>> = None;
    loop {
        let step = file.read(|txn| {
            let Some(cells) = table(txn, CELLS)? else { return Ok((Vec::new(), None)) };
            let after = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let (mut gone, mut last) = (Vec::new(), None);
            let entries = cells.range::<&[u8]>((after, Bound::Unbounded))?;
            for (count, entry) in ascending(entries).enumerate() {
                let cell = entry?.0.value().to_vec();
                if !keeper.keeps(&cell) {
                    gone.push(cell.clone());
                }
                if count == STEP_ENTRIES {
                    last = Some(cell);
                    break;
                }
            }
            Ok((gone, last))
        })?;
        let (gone, last) = step.unwrap_or_default();
        if !gone.is_empty() {
            file.write(true, |txn| remove_cells(txn, &gone))?;
            watch();
        }
        if last.is_none() {
            return Ok(());
        }
        from = last;
    }
}

fn remove_cells(txn: &WriteTransaction, gone: &[Vec<u8>]) -> Result<(), Trouble> {
    let segments = txn.open_table(SEGMENTS)?;
    let mut copies: BTreeMap<SegmentId, u64> = BTreeMap::new();
    let mut cells = txn.open_table(CELLS)?;
    for cell in gone {
        if cells.remove(cell.as_slice())?.is_none() {
            continue;
        }
        let Some(segment) = cell_key_segment(cell) else { continue };
        let known = segments.get(segment.0)?;
        let opened = known.map(|known| crate::chain::Segment::from_bytes(known.value())).transpose()?;
        // What is at the version at which a segment opens was copied there.
        if opened.is_some_and(|opened| opened.parent.is_some() && cell_key_version(cell) == Some(opened.opened)) {
            *copies.entry(segment).or_default() += 1;
        }
    }
    let mut flats = txn.open_table(FLAT)?;
    for (segment, count) in copies {
        let known = flats.get(segment.0)?.map(|flat| Flat::from_bytes(flat.value())).transpose()?;
        if let Some(mut flat) = known {
            flat.copied = flat.copied.saturating_sub(count);
            flats.insert(segment.0, flat.to_bytes().as_slice())?;
        }
    }
    Ok(())
}

fn prune_frames(file: &RedbFile, retention: &Retention) -> Result<(), Fault> {
    let before = (retention.runs_before.0, 0);
    in_steps(
        file,
        |txn| {
            let Some(frames) = table(txn, FRAMES)? else { return Ok(Vec::new()) };
            let gone = ascending(frames.range(..before)?).take(STEP_ENTRIES);
            gone.map(|entry| Ok(entry?.0.value())).collect()
        },
        |txn, gone| {
            let mut frames = txn.open_table(FRAMES)?;
            gone.iter().try_for_each(|key| frames.remove(*key).map(drop).map_err(Trouble::from))
        },
    )
}

fn prune_commits(file: &RedbFile, retention: &Retention) -> Result<(), Fault> {
    in_steps(
        file,
        |txn| {
            let Some(commits) = table(txn, COMMITS)? else { return Ok(Vec::new()) };
            let mut gone = Vec::new();
            // The newest stays: commits are numbered on from it.
            let newest = commits.last()?.map(|(commit, _)| commit.value());
            for entry in ascending(commits.iter()?).take(STEP_ENTRIES) {
                let (commit, place) = entry?;
                if place.value().0 > retention.rows_through.0 || Some(commit.value()) == newest {
                    break;
                }
                gone.push(commit.value());
            }
            Ok(gone)
        },
        |txn, gone| {
            let mut commits = txn.open_table(COMMITS)?;
            gone.iter().try_for_each(|key| commits.remove(*key).map(drop).map_err(Trouble::from))
        },
    )
}

fn in_steps<K>(
    file: &RedbFile,
    find: impl Fn(&ReadTransaction) -> Result<Vec<K>, Trouble>,
    remove: impl Fn(&WriteTransaction, &[K]) -> Result<(), Trouble>,
) -> Result<(), Fault> {
    loop {
        let gone = file.read(&find)?.unwrap_or_default();
        if gone.is_empty() {
            return Ok(());
        }
        file.write(true, |txn| remove(txn, &gone))?;
    }
}

/// Writes the state that stands for the rows up to the one it has reached, without what is to go; returns its digest and length.
pub(crate) fn write_base(file: &RedbFile, dir: &Dir, retention: &Retention) -> Result<(Position, Digest, u64), Fault> {
    let Some(snapshot) = file.snapshot()? else { return Ok(Default::default()) };
    let applied = file.guarded(|| state::Snapshot(&snapshot).applied())?;
    let (path, new) = (dir.base(applied.position), dir.new_base());
    let in_new = |error: std::io::Error| Trouble::Io(error).in_file(&new);
    dir::remove(&new).map_err(in_new)?;
    let base = RedbFile::new(new.clone(), 16 << 20);
    base.write(false, |txn| copy_all(&snapshot, txn, retention))?;
    base.close()?;
    let (digest, len) = (dir::digest(&new).map_err(in_new)?, dir::file_len(&new).map_err(in_new)?);
    dir::rename(&new, &path).map_err(in_new)?;
    Ok((applied.position, digest, len.unwrap_or(0)))
}

fn copy_all(from: &ReadTransaction, to: &WriteTransaction, retention: &Retention) -> Result<(), Trouble> {
    let mut keeper = Keeper::new(retention);
    // Copies that long chains were flattened into are not needed: they are made again.
    let segments = table(from, SEGMENTS)?;
    let is_copy = |cell: &[u8]| -> Result<bool, Trouble> {
        let (Some(segment), Some(segments)) = (cell_key_segment(cell), &segments) else { return Ok(false) };
        let Some(known) = segments.get(segment.0)? else { return Ok(false) };
        let known = crate::chain::Segment::from_bytes(known.value())?;
        Ok(known.parent.is_some() && cell_key_version(cell) == Some(known.opened))
    };
    copy(from, to, CELLS, |cell, _| Ok(keeper.keeps(cell) && !is_copy(cell)?))?;
    copy(from, to, META, |_, _| Ok(true))?;
    copy(from, to, SEGMENTS, |_, _| Ok(true))?;
    copy(from, to, HEADS, |_, _| Ok(true))?;
    copy(from, to, REMOVED, |_, _| Ok(true))?;
    copy(from, to, TAGS, |_, _| Ok(true))?;
    copy(from, to, OPENINGS, |_, _| Ok(true))?;
    copy(from, to, VERSIONS, |_, _| Ok(true))?;
    copy(from, to, BEGINS, |_, _| Ok(true))?;
    copy(from, to, ENDS, |_, _| Ok(true))?;
    copy(from, to, FRAMES, |(run, _), _| Ok(*run >= retention.runs_before.0))?;
    let newest = state::Snapshot(from).newest()?.commit;
    copy(from, to, COMMITS, |commit, (row, _)| Ok(*row > retention.rows_through.0 || *commit == newest))?;
    copy(from, to, OUTBOX, |_, _| Ok(true))
}

fn copy<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    definition: TableDefinition<K, V>,
    mut keeps: impl FnMut(&K::SelfType<'_>, &V::SelfType<'_>) -> Result<bool, Trouble>,
) -> Result<(), Trouble> {
    let mut target = to.open_table(definition)?;
    let Some(source) = table(from, definition)? else { return Ok(()) };
    for entry in ascending(source.range::<K::SelfType<'_>>(..)?) {
        let (key, value) = entry?;
        if keeps(&key.value(), &value.value())? {
            target.insert(key.value(), value.value())?;
        }
    }
    Ok(())
}
