//! Opening: find the end of the log, see how far the state is, read the rows between into memory.
//!
//! Damage to the state costs time, never data: it is set aside and made again. Damage to the log is an error that names the
//! file. A log that ends before what the state has seen was cut, and is refused rather than continued.

use std::path::Path;
use std::sync::Arc;

use reel_abi::id::{Digest, Position};
use reel_abi::record::LogItem;

use crate::dir::{self, Dir};
use crate::error::{Fault, FaultKind, OpenError, Trouble};
use crate::live::Live;
use crate::log::{LOG_FILE_BYTES, Log};
use crate::prune;
use crate::redb_file::RedbFile;
use crate::row::{self, RowEnd};
use crate::state::{self, Newest};

/// redb's cache for the state, filled only by what is read: indexes and small cells are read again and again. Measured with a million keys of 100
/// bytes, read at random: 5.6 us a read with 128 MiB, 2.3 with this (bare redb with its 1 GiB: 1.6).
const STATE_CACHE_BYTES: usize = 512 << 20;

/// How a database is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether one is made if there is none.
    pub create: bool,
    /// The most of the state that is kept in memory, in bytes.
    pub cache_bytes: usize,
    /// From this size on a file of the log is closed and another begun, in bytes.
    pub log_file_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { create: false, cache_bytes: STATE_CACHE_BYTES, log_file_bytes: LOG_FILE_BYTES }
    }
}

/// An opened database before its threads.
pub(crate) struct Opened {
    pub(crate) dir: Arc<Dir>,
    pub(crate) log: Log,
    pub(crate) state: RedbFile,
    pub(crate) live: Live,
    pub(crate) end: RowEnd,
}

/// Opens a database.
pub(crate) fn open(root: &Path, owner: &str, options: &Options) -> Result<Opened, OpenError> {
    let dir = Arc::new(Dir::open(root, owner, options.create)?);
    let (log, end) = Log::open(dir.clone(), options.log_file_bytes)?;
    let mut state = RedbFile::new(dir.state(), options.cache_bytes);
    forget_other_layout(&dir, &mut state)?;
    let (mut applied, mut newest) = match applied(&state) {
        Ok((RowEnd { position: Position(0), .. }, _)) => begin_again(&dir, &log, &mut state, end)?,
        Ok(known) => known,
        Err(fault) => {
            restart(&dir, &mut state, fault)?;
            begin_again(&dir, &log, &mut state, end)?
        }
    };
    if applied.position > end.position {
        let file = log.numbers().last().map_or_else(|| dir.log(1), |number| dir.log(*number));
        let what = format!("the log ends at row {}, but row {} was there", end.position, applied.position);
        return Err(OpenError::Corrupt { file, what });
    }
    if !is_of_this_log(&log, applied, end)? {
        let fault = Trouble::Corrupt("is of another log".to_owned()).in_file(state.path());
        restart(&dir, &mut state, fault)?;
        (applied, newest) = begin_again(&dir, &log, &mut state, end)?;
    }
    let retention = state::read(&state, |snapshot| snapshot.retained())?.map(Arc::new);
    let mut live = Live { newest, end, retention, ..Live::default() };
    load_tail(&log, &state, &mut live, applied, end)?;
    finish_retention(&dir, &log, &state, &mut live)?;
    Ok(Opened { dir, log, state, live, end })
}

fn applied(state: &RedbFile) -> Result<(RowEnd, Newest), Fault> {
    state::read(state, |snapshot| Ok((snapshot.applied()?, snapshot.newest()?)))
}

/// Removes a state that an older build laid out in another way. What cannot be read is left to be set aside.
fn forget_other_layout(dir: &Dir, state: &mut RedbFile) -> Result<(), OpenError> {
    if !state::read(state, |snapshot| snapshot.is_of_other_layout()).unwrap_or(false) {
        return Ok(());
    }
    state.close()?;
    let path = dir.state();
    dir::remove(&path).map_err(|e| OpenError::from(Trouble::Io(e).in_file(&path)))?;
    tracing::info!("the state was laid out by another build, making it again from the log");
    *state = state.anew(path);
    Ok(())
}

/// Sets a damaged state aside and begins an empty one.
fn restart(dir: &Dir, state: &mut RedbFile, fault: Fault) -> Result<(), OpenError> {
    let FaultKind::Corrupt(_) = fault.kind else { return Err(fault.into()) };
    let path = dir.state();
    // It is damaged: that it does not close cleanly is no news.
    let _ = state.close();
    let aside = dir::set_aside(&path).map_err(|e| OpenError::from(Trouble::Io(e).in_file(&path)))?;
    tracing::warn!("{fault}; set aside as {}, making it again from the log", aside.display());
    *state = state.anew(path);
    Ok(())
}

/// Sets a state aside in which damage was found while it was open and that is closed now, so that the next opening makes it again. It stays if it
/// is the only place of what the log has let go of.
pub(crate) fn set_aside_if_damaged(dir: &Dir, log: &Log, state: &RedbFile) {
    let from_log = || log.before_first().is_ok_and(|before| before.position == Position(0));
    let from_base = || dir.bases().is_ok_and(|bases| !bases.is_empty());
    if !state.is_damaged() || !(from_log() || from_base()) {
        return;
    }
    let file = state.path().display();
    match dir::set_aside(state.path()) {
        Ok(aside) => {
            tracing::warn!("{file} is damaged; set aside as {}, to be made again from the log", aside.display())
        }
        Err(error) => tracing::warn!("{file} is damaged and cannot be set aside: {error}"),
    }
}

/// Where an empty state begins: before the first row, or if that is gone, with the state that stands for what is gone.
fn begin_again(dir: &Dir, log: &Log, state: &mut RedbFile, end: RowEnd) -> Result<(RowEnd, Newest), OpenError> {
    let gone = log.before_first()?.position;
    if gone == Position(0) {
        return Ok(Default::default());
    }
    let path = dir.state();
    let in_state = |error: std::io::Error| OpenError::from(Trouble::Io(error).in_file(&path));
    for (row, base) in dir.bases().map_err(in_state)? {
        if row < gone || row > end.position {
            continue;
        }
        let in_base = |error: std::io::Error| OpenError::from(Trouble::Io(error).in_file(&base));
        let digest = dir::digest(&base).map_err(in_base)?;
        if !is_vouched_for(log, row, digest)? {
            tracing::warn!("{} is not what the log says of it, looking for an older one", base.display());
            continue;
        }
        state.close()?;
        dir::copy(&base, &path).map_err(in_state)?;
        *state = state.anew(path);
        return Ok(applied(state)?);
    }
    let what = format!("the rows up to {gone} are gone, and so is the state that stands for them (log/NNNNNNNN.base)");
    let file = log.numbers().first().map_or_else(|| dir.log(1), |number| dir.log(*number));
    Err(OpenError::Corrupt { file, what })
}

/// Whether the log says, after that row, that this is the state that stands for what is gone.
fn is_vouched_for(log: &Log, row: Position, digest: Digest) -> Result<bool, OpenError> {
    let mut from = Some(row.next());
    let mut found = false;
    while let Some(position) = from.filter(|_| !found) {
        from = log.walk(position, &mut |position, bytes| {
            let items = row::items(bytes).map_err(|e| Trouble::Corrupt(format!("row {position}: {e}")))?;
            found = items
                .iter()
                .any(|(_, item)| matches!(item, LogItem::Retained { retention } if retention.base == digest));
            Ok(!found)
        })?;
    }
    Ok(found)
}

/// Goes on with a retention that the log knows of and that was cut off.
fn finish_retention(dir: &Dir, log: &Log, state: &RedbFile, live: &mut Live) -> Result<(), OpenError> {
    let Some(retention) = live.retention.clone() else { return Ok(()) };
    if state::read(state, |snapshot| snapshot.is_pruned(&retention))? {
        return Ok(());
    }
    // Log files may only go when the state has seen their rows.
    state::apply(state, &std::mem::take(&mut live.active))?;
    Ok(prune::carry_out(state, log, dir, &retention, &mut || {})?)
}

/// Whether the row that the state says it has seen last is the one in the log.
fn is_of_this_log(log: &Log, applied: RowEnd, end: RowEnd) -> Result<bool, OpenError> {
    if applied.position == Position(0) {
        return Ok(applied.link == RowEnd::default().link);
    }
    if applied.position == end.position {
        return Ok(applied.link == end.link);
    }
    let link = log.row(applied.position, |bytes| Ok(row::link_of(bytes)?))?;
    Ok(link.is_none_or(|link| link == applied.link))
}

/// Reads the rows after `applied` into memory; when they are more than fit, into the state.
fn load_tail(log: &Log, state: &RedbFile, live: &mut Live, applied: RowEnd, end: RowEnd) -> Result<(), OpenError> {
    let mut before = applied;
    let mut from = Some(applied.position.next()).filter(|from| *from <= end.position);
    let mut state_fault = None;
    while let Some(position) = from {
        from = log.walk(position, &mut |position, bytes| {
            if position != before.position.next() {
                return Err(Trouble::Corrupt(format!("row {} is missing", before.position.next())));
            }
            let link = row::link_of(bytes)?;
            let items = row::items(bytes).map_err(|e| Trouble::Corrupt(format!("row {position}: {e}")))?;
            if row::link(before.link, &bytes[row::LINK_BYTES..]) != link {
                return Err(Trouble::Corrupt(format!("row {position} does not match its link")));
            }
            before = RowEnd { position, link };
            live.absorb_row(before, items, bytes.len());
            // Less than that the applier writes behind the first commits.
            if live.is_full() {
                let slice = std::mem::take(&mut live.active);
                if let Err(fault) = state::apply(state, &slice) {
                    state_fault = Some(fault);
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if let Some(fault) = state_fault {
            return Err(fault.into());
        }
    }
    if before.position != end.position {
        let what = format!("row {} is missing", before.position.next());
        let file = log.numbers().last().and_then(|number| log.file(*number).ok());
        let file = file.map(|(_, file)| file.path().to_owned()).unwrap_or_default();
        return Err(OpenError::Corrupt { file, what });
    }
    Ok(())
}
