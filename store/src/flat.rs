//! Making a segment flat: what it sees in those under it is copied into it, so that a reader need not go there.
//!
//! ```text
//! before:   A@3 <- B@6 <- C              a key of C is looked for in C, then in B, then in A
//! after:    C opens with all cells that C sees at that moment, under its own number, at the version at which it opens
//! ```
//!
//! Fork and rollback copy nothing, so their chains grow; the copying is done later, in the background, a bounded piece at a
//! time, each in one transaction on the state file with how far it got. Nothing of it is in the log. Every reader gets the
//! same from either road, at any moment of it: no commit makes the version at which a segment opens, and what is copied is
//! what would have been found below. Only when all is copied do new views stop at the segment. That all is copied is written
//! in a transaction of its own, after the last cells: a reader that has learned it from the newest snapshot may look for the
//! cells in the one that is kept for reads of cells, which may be one write older.

use std::collections::BTreeSet;

use redb::ReadTransaction;
use reel_abi::bytes::Bytes;
use reel_abi::id::{SegmentId, Version};
use reel_abi::record::CellValue;
use reel_abi::wire::Wire;
use reel_abi::wire_struct;

use crate::chain::{self, ChainError, Head, Segment};
use crate::error::{Fault, Trouble};
use crate::redb_file::{RedbFile, table};
use crate::scan::{self, Chunk, Wanted};
use crate::state::{self, Snapshot};
use crate::tables::{CELLS, CellKey, FLAT, cell_key_family, cell_key_segment};

/// When and in which steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// A segment that sees more than so many, itself included, is made flat: reading costs a search in each. Measured with
    /// 200,000 keys: 1.7 us a read in one segment, 0.45 us more for each under it; so with 4 it is never more than twice.
    pub(crate) deep: usize,
    /// One transaction copies about so many cells: some milliseconds, for which the applier may have to wait.
    pub(crate) cells: usize,
}

/// The pace in the background.
pub(crate) const PACE: Pace = Pace { deep: 4, cells: 4096 };

/// No more bytes than this are copied at once, roughly.
const STEP_BYTES: usize = 1 << 20;

/// So many keys are read at once, lest large values fill memory.
const READ_KEYS: usize = 256;

wire_struct! {
    /// How far a segment was made flat.
    pub struct Flat {
        /// How many cells were copied.
        pub copied: u64,
        /// The family and key to go on from; none if all is done.
        pub next: Option<(u8, Bytes)>,
    }
}

/// Cells of one family in the order of their keys.
type Cells = Vec<(u8, Vec<u8>, CellValue)>;

/// A segment to be made flat, and how far it is.
#[derive(Debug, Default)]
struct Job {
    segment: Option<(SegmentId, Segment)>,
    below: Vec<Head>,
    flat: Option<Flat>,
}

/// Copies the next cells of a segment, if it is worth it; `None` if nothing was to be done, else whether there is more.
pub(crate) fn step(file: &RedbFile, id: SegmentId, pace: Pace) -> Result<Option<bool>, Fault> {
    let (segment, flat, cells) = match state::read(file, |snapshot| next(snapshot, id, pace))? {
        Some(found) => found,
        None => return Ok(None),
    };
    file.write(true, |txn| {
        let mut table = txn.open_table(CELLS)?;
        for (family, key, value) in &cells {
            table.insert(CellKey::new(id, *family, key, segment.opened).bytes(), value.to_bytes().as_slice())?;
        }
        txn.open_table(FLAT)?.insert(id.0, flat.to_bytes().as_slice())?;
        Ok(())
    })?;
    Ok(Some(flat.next.is_some()))
}

/// What is to be copied next, and how far it is then.
fn next(snapshot: &Snapshot<'_>, id: SegmentId, pace: Pace) -> Result<Option<(Segment, Flat, Cells)>, Trouble> {
    let Job { segment: Some((_, segment)), below, flat } = job(snapshot, id)? else { return Ok(None) };
    let (copied, from) = match flat {
        None if below.len() < pace.deep.max(1) || !is_living(snapshot, id, &segment)? => return Ok(None),
        None => (0, (0, Bytes(Vec::new()))),
        Some(Flat { next: None, .. }) => return Ok(None),
        Some(Flat { copied, next: Some(from) }) => (copied, from),
    };
    let (cells, next) = gather(snapshot.0, &below, from, pace)?;
    let flat = Flat { copied: copied + cells.len() as u64, next };
    Ok(Some((segment, flat, cells)))
}

fn job(snapshot: &Snapshot<'_>, id: SegmentId) -> Result<Job, Trouble> {
    let Some(segment) = snapshot.segment(id)? else { return Ok(Job::default()) };
    let below = below(snapshot, &segment)?;
    Ok(Job { segment: Some((id, segment)), below, flat: snapshot.flat(id)? })
}

/// The segments in which a segment sees what it did not write itself, nearest first.
pub(crate) fn below(snapshot: &Snapshot<'_>, segment: &Segment) -> Result<Vec<Head>, Trouble> {
    let Some((id, version)) = segment.parent else { return Ok(Vec::new()) };
    chain::chain(Head { segment: id, version }, |segment| snapshot.seen_segment(segment))
}

impl From<ChainError> for Trouble {
    fn from(error: ChainError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Whether a name stands on the segment: nobody reads the others often.
fn is_living(snapshot: &Snapshot<'_>, id: SegmentId, segment: &Segment) -> Result<bool, Trouble> {
    let head = snapshot.head(&segment.space)?;
    Ok(head.is_some_and(|head| head.segment == id) && !snapshot.is_removed(&segment.space)?)
}

/// The next cells that are seen through these segments, and where to go on; nowhere only if there are no more.
fn gather(
    txn: &ReadTransaction,
    below: &[Head],
    (mut family, Bytes(mut from)): (u8, Bytes),
    pace: Pace,
) -> Result<(Cells, Option<(u8, Bytes)>), Trouble> {
    let (mut cells, mut bytes) = (Cells::new(), 0);
    let at_once = READ_KEYS.min(pace.cells);
    let families = families(txn, below)?;
    loop {
        let wanted = Wanted { family, until: None };
        let mut found = Vec::new();
        scan::with_cursors(txn, below, wanted, &from, |cursors| {
            scan::merge(Chunk::default(), cursors, at_once, &mut found)
        })?;
        let all = found.len() < at_once;
        if let Some((last, _)) = found.last() {
            // The key right after the last.
            from.clone_from(last);
            from.push(0);
        }
        for (key, value) in found {
            bytes += key.len() + if let CellValue::Inline { bytes } = &value { bytes.len() } else { 40 };
            cells.push((family, key, value));
        }
        if all {
            let Some(next) = families.range(family.saturating_add(1)..).find(|next| **next > family) else {
                let rest = (!cells.is_empty()).then_some((family, Bytes(from)));
                return Ok((cells, rest));
            };
            (family, from) = (*next, Vec::new());
        }
        if cells.len() >= pace.cells || bytes >= STEP_BYTES {
            return Ok((cells, Some((family, Bytes(from)))));
        }
    }
}

/// The families that have cells in any of these segments.
fn families(txn: &ReadTransaction, segments: &[Head]) -> Result<BTreeSet<u8>, Trouble> {
    let mut families = BTreeSet::new();
    let Some(cells) = table(txn, CELLS)? else { return Ok(families) };
    for at in segments {
        let mut from = Some(0);
        while let Some(family) = from {
            let first = CellKey::new(at.segment, family, &[], Version(u64::MAX));
            let found = cells.range(first.bytes()..)?.next().transpose()?;
            let found = found.map(|(cell, _)| (cell_key_segment(cell.value()), cell_key_family(cell.value())));
            let found = found.filter(|(segment, found)| *segment == Some(at.segment) && *found >= family);
            families.extend(found.map(|(_, family)| family));
            from = found.and_then(|(_, family)| family.checked_add(1));
        }
    }
    Ok(families)
}

/// Compares what was copied into a segment with what it would see without; returns the first difference in words.
pub(crate) fn check(txn: &ReadTransaction, id: SegmentId, flat: &Flat) -> Result<Option<String>, Trouble> {
    let snapshot = Snapshot(txn);
    let Job { segment: Some((_, segment)), below, .. } = job(&snapshot, id)? else {
        return Ok(Some(format!("copied cells into segment {id}, which was never opened")));
    };
    let copies = [Head { segment: id, version: segment.opened }];
    let mut copied = 0;
    for family in families(txn, &copies)?.into_iter().chain(families(txn, &below)?).collect::<BTreeSet<_>>() {
        let until = match &flat.next {
            Some((last, _)) if family > *last => break,
            Some((last, key)) if family == *last => Some(key.0.as_slice()),
            _ => None,
        };
        let wanted = Wanted { family, until };
        let mut from = Vec::new();
        loop {
            let read = |chain: &[Head]| {
                let mut found = Vec::new();
                scan::with_cursors(txn, chain, wanted, &from, |cursors| {
                    scan::merge(Chunk::default(), cursors, READ_KEYS, &mut found)
                })?;
                Ok::<_, Trouble>(found)
            };
            let (here, there) = (read(&copies)?, read(&below)?);
            if here != there {
                return Ok(Some(format!("copied other cells of family {family} into segment {id} than it sees below")));
            }
            copied += here.len() as u64;
            match here.into_iter().next_back() {
                Some((last, _)) => from = [last.as_slice(), &[0]].concat(),
                None => break,
            }
        }
    }
    Ok((copied != flat.copied).then(|| format!("copied {copied} cells into segment {id}, and says {}", flat.copied)))
}
