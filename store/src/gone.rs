//! What a retention removed, for whoever checks: what is missing is either legally gone or lost.

use std::path::Path;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction};
use reel_abi::id::{Digest, Position, RunId, Version};
use reel_abi::record::{CellValue, Retention};
use reel_abi::wire::Wire;

use crate::cuts::{self, ALL};
use crate::error::Trouble;
use crate::redb_file::{ascending, table};
use crate::state::Snapshot;
use crate::tables::*;
use crate::verify::{Place, VerifyReport};

type Cells = ReadOnlyTable<CellKey, &'static [u8]>;

/// What a retention removed, and how much of it was looked for.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) retention: Arc<Retention>,
    cells: u64,
    frames: u64,
}

impl Gone {
    pub(crate) fn new(retention: Arc<Retention>) -> Self {
        Self { retention, cells: 0, frames: 0 }
    }

    /// How many cells and frames were looked for and legally not found.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.cells, self.frames)
    }

    /// Counts from here on.
    pub(crate) fn forget_counts(&mut self) {
        (self.cells, self.frames) = (0, 0);
    }

    /// How many commits are listed although their rows are gone: the newest may be, and is not counted.
    pub(crate) fn commits_left(&self, state: &ReadTransaction) -> Result<u64, Trouble> {
        let Some(commits) = table(state, COMMITS)? else { return Ok(0) };
        let mut left = 0;
        for entry in ascending(commits.range::<u64>(..)?) {
            if entry?.1.value().0 > self.retention.rows_through.0 {
                break;
            }
            left += 1;
        }
        Ok(left)
    }

    /// Whether a frame that is missing may be.
    pub(crate) fn frame(&mut self, run: RunId) -> bool {
        let may = run < self.retention.runs_before;
        self.frames += u64::from(may);
        may
    }

    /// Whether a cell that is missing may be: if the oldest version that could still see it sees a newer one.
    pub(crate) fn cell(&mut self, cells: Option<&Cells>, key: &[u8]) -> Result<bool, Trouble> {
        let (Some(segment), Some(version)) = (cell_key_segment(key), cell_key_version(key)) else { return Ok(false) };
        let Some(cut) = cuts::cut(&self.retention, segment).filter(|cut| version < cut.border) else {
            return Ok(false);
        };
        let from = cut.kept.partition_point(|kept| *kept < version);
        let border = Some(cut.border).filter(|border| *border != ALL);
        let may = match cut.kept.get(from).copied().or(border) {
            None => true,
            Some(oldest) => {
                let newest = [cell_key_prefix(key), &(!oldest.0).to_be_bytes()].concat();
                let found = cells.map(|cells| cells.range(newest.as_slice()..)).transpose()?;
                let found = found.and_then(|mut found| found.next()).transpose()?;
                let found = found.filter(|(cell, _)| cell_key_prefix(cell.value()) == cell_key_prefix(key));
                found.and_then(|(cell, _)| cell_key_version(cell.value())).is_some_and(|seen| seen > version)
            }
        };
        self.cells += u64::from(may);
        Ok(may)
    }

    /// Compares the state that stands for removed rows with the state.
    pub(crate) fn compare_base(
        &mut self,
        base: &ReadTransaction,
        state: &ReadTransaction,
        path: &Path,
        report: &mut VerifyReport,
    ) -> Result<(), Trouble> {
        let (Some(base_cells), cells) = (table(base, CELLS)?, table(state, CELLS)?) else { return Ok(()) };
        for entry in ascending(base_cells.range::<&[u8]>(..)?) {
            let (key, value) = entry?;
            let known = cells.as_ref().map(|cells| cells.get(key.value())).transpose()?.flatten();
            let same = known.as_ref().is_some_and(|known| known.value() == value.value());
            if !same && (known.is_some() || !self.cell(cells.as_ref(), key.value())?) {
                let what = format!("holds a value of {:?} that the state has not", cell_key_prefix(key.value()));
                report.add(Place::File(path.to_owned()), what);
            }
        }
        if let Some(frames) = table(base, FRAMES)? {
            for entry in ascending(frames.range(..(self.retention.runs_before.0, 0))?) {
                entry?;
                self.frames += 1;
            }
        }
        let (base, state) = (Snapshot(base), Snapshot(state));
        for run in base.runs_from(RunId(0))? {
            if state.begin(run)? != base.begin(run)? {
                report.add(Place::Run(run), format!("began otherwise in {}", path.display()));
            }
        }
        for (id, segment) in base.segments()? {
            if state.segment(id)?.as_ref() != Some(&segment) {
                report.add(Place::File(path.to_owned()), format!("knows segment {id} otherwise than the state"));
            }
        }
        if base.applied()?.position == Position(0) {
            report.add(Place::File(path.to_owned()), "stands for nothing");
        }
        Ok(())
    }

    /// The payloads of the values below the borders that are still there.
    pub(crate) fn each_left(&self, state: &ReadTransaction, mut f: impl FnMut(Digest)) -> Result<(), Trouble> {
        let Some(cells) = table(state, CELLS)? else { return Ok(()) };
        for cut in &self.retention.segments {
            let first = CellKey::new(cut.segment, 0, &[], Version(u64::MAX));
            for entry in ascending(cells.range(first.bytes()..)?) {
                let (key, value) = entry?;
                if cell_key_segment(key.value()) != Some(cut.segment) {
                    break;
                }
                if let CellValue::Blob { digest, .. } | CellValue::Content { digest, .. } =
                    CellValue::from_bytes(value.value())?
                {
                    f(digest);
                }
            }
        }
        Ok(())
    }
}
