//! The log files: rows under ascending positions, one durable commit a batch, a new file when one is large enough.
//!
//! A file is written only while it is the newest; older ones are opened read-only, and only when asked for. A file names the
//! row before its first, so that it can be checked by itself and shipped elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use redb::{ReadTransaction, ReadableTable};
use reel_abi::id::Position;

use crate::dir::{self, Dir};
use crate::error::{Fault, OpenError, Trouble};
use crate::redb_file::{RedbFile, ascending, table};
use crate::row::{NUMBERS_END, Row, RowEnd, link_of};
use crate::tables::{META, ROWS, check_format, put_format, row_end_bytes, row_end_from};

/// A log file is closed for good when it is longer than this on disk, which redb doubles as it fills: with half of it or more
/// in rows, and cut to what it holds. Small enough to be shipped, dropped and, after a crash,
/// repaired in one go.
pub(crate) const LOG_FILE_BYTES: u64 = 1 << 30;

/// redb's cache for a log file: rows are written once and seldom read.
const CACHE_BYTES: usize = 16 << 20;

/// No more sealed files than this are open at once.
const OPEN_SEALED: usize = 4;

/// Gets position and bytes of a row and says whether to go on.
pub(crate) type Walker<'a> = &'a mut dyn FnMut(Position, &[u8]) -> Result<bool, Trouble>;

/// The log of a database.
#[derive(Debug)]
pub(crate) struct Log {
    dir: Arc<Dir>,
    file_bytes: u64,
    active: RwLock<Active>,
    sealed: Mutex<Sealed>,
}

#[derive(Debug)]
struct Active {
    number: u64,
    file: Arc<RedbFile>,
    /// The row before the file's first.
    before: RowEnd,
    /// Whether the file has its meta entries.
    begun: bool,
}

#[derive(Debug, Default)]
struct Sealed {
    /// All sealed files, with the row before their first once it was read.
    before: BTreeMap<u64, Option<RowEnd>>,
    open: Vec<(u64, Arc<RedbFile>)>,
}

/// What a log file says of itself.
struct FileEnds {
    before: RowEnd,
    last: RowEnd,
}

impl Log {
    /// Finds the log files; returns the log and its last row.
    pub(crate) fn open(dir: Arc<Dir>, file_bytes: u64) -> Result<(Self, RowEnd), OpenError> {
        let mut numbers = dir.log_numbers()?;
        let mut last = RowEnd::default();
        let mut active = None;
        let mut unbegun = None;
        while let Some(number) = numbers.pop() {
            let file = Arc::new(RedbFile::new(dir.log(number), CACHE_BYTES));
            match file.read(ends)?.flatten() {
                Some(ends) => {
                    last = ends.last;
                    active = Some(Active { number, file, before: ends.before, begun: true });
                    break;
                }
                // Made, but the machine stopped before its first row was durable: only the newest can be like that.
                None if unbegun.is_none() => unbegun = Some((number, file)),
                None => {
                    let what = "holds no rows, and neither does the file after it".to_owned();
                    return Err(OpenError::Corrupt { file: dir.log(number), what });
                }
            }
        }
        let mut before: BTreeMap<_, _> = numbers.into_iter().map(|number| (number, None)).collect();
        if let Some((number, file)) = unbegun
            && let Some(full) = active.replace(Active { number, file, before: last, begun: false })
        {
            before.insert(full.number, Some(full.before));
        }
        let active = active.unwrap_or_else(|| {
            let file = Arc::new(RedbFile::new(dir.log(1), CACHE_BYTES));
            Active { number: 1, file, before: RowEnd::default(), begun: false }
        });
        let sealed = Mutex::new(Sealed { before, open: Vec::new() });
        Ok((Self { dir, file_bytes, active: RwLock::new(active), sealed }, last))
    }

    /// Begins a file of this number after a row, which is the last one here, or any if there is none yet.
    pub(crate) fn begin_file(&self, number: u64, before: RowEnd) -> Result<(), Fault> {
        let active = self.active();
        if active.number == number && active.begun {
            return Ok(());
        }
        active.file.close()?;
        let full = active.begun.then_some((active.number, active.before));
        drop(active);
        let file = Arc::new(RedbFile::new(self.dir.log(number), CACHE_BYTES));
        let next = Active { number, file, before, begun: false };
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        sealed.before.extend(full.map(|(number, before)| (number, Some(before))));
        drop(sealed);
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// The numbers of the files by the row that lies before their first.
    pub(crate) fn beginnings(&self) -> Result<BTreeMap<Position, u64>, Fault> {
        self.numbers().into_iter().map(|number| Ok((self.file(number)?.0.position, number))).collect()
    }

    /// Appends rows in one durable commit. Called by one thread only.
    pub(crate) fn append(&self, before: RowEnd, rows: &[Row]) -> Result<(), Fault> {
        self.rotate_if_large(before)?;
        let active = self.active();
        let begun = active.begun;
        active.file.write(false, |txn| {
            if !begun {
                let mut meta = txn.open_table(META)?;
                put_format(&mut meta)?;
                meta.insert("number", active.number.to_le_bytes().as_slice())?;
                meta.insert("before", row_end_bytes(&active.before).as_slice())?;
            }
            let mut table = txn.open_table(ROWS)?;
            for row in rows {
                table.insert(row.end.position.0, row.bytes.as_slice())?;
            }
            Ok(())
        })?;
        if !begun {
            let folder = active.file.path().parent().unwrap_or(self.dir.root()).to_owned();
            dir::sync_dir(&folder).map_err(|e| Trouble::Io(e).in_file(&folder))?;
            drop(active);
            self.active.write().unwrap_or_else(PoisonError::into_inner).begun = true;
        }
        Ok(())
    }

    fn rotate_if_large(&self, before: RowEnd) -> Result<(), Fault> {
        let active = self.active();
        let path = active.file.path();
        let len = dir::file_len(path).map_err(|e| Trouble::Io(e).in_file(path))?;
        if !active.begun || len.unwrap_or(0) < self.file_bytes {
            return Ok(());
        }
        let number = active.number + 1;
        drop(active);
        self.begin_file(number, before)
    }

    /// Reads a row; `None` if there is none at that position.
    pub(crate) fn row<T>(
        &self,
        position: Position,
        f: impl FnOnce(&[u8]) -> Result<T, Trouble>,
    ) -> Result<Option<T>, Fault> {
        let Some((_, file)) = self.file_holding(position)? else { return Ok(None) };
        let found = file.read(|txn| {
            let Some(rows) = table(txn, ROWS)? else { return Ok(None) };
            rows.get(position.0)?.map(|value| f(value.value())).transpose()
        })?;
        Ok(found.flatten())
    }

    /// Walks over the rows from `from` on in one file, the one that holds it. `f` gets position and bytes and says whether to
    /// go on. Returns the position to go on from, or `None` if it was the last file or `f` said so.
    pub(crate) fn walk(&self, from: Position, f: Walker<'_>) -> Result<Option<Position>, Fault> {
        let Some((newest, file)) = self.file_holding(from)? else { return Ok(None) };
        let mut last = None;
        let mut on = true;
        file.read(|txn| {
            let Some(rows) = table(txn, ROWS)? else { return Ok(()) };
            for entry in ascending(rows.range(from.0..NUMBERS_END)?) {
                let (position, bytes) = entry?;
                last = Some(Position(position.value()));
                if !f(Position(position.value()), bytes.value())? {
                    on = false;
                    break;
                }
            }
            Ok(())
        })?;
        Ok(last.filter(|last| on && !newest && *last >= from).map(Position::next))
    }

    /// Numbers of all files, ascending.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let active = self.active().number;
        let sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been sealed between the two lines.
        sealed.before.keys().copied().filter(|number| *number < active).chain([active]).collect()
    }

    /// A file by its number, and the row it says lies before its first.
    pub(crate) fn file(&self, number: u64) -> Result<(RowEnd, Arc<RedbFile>), Fault> {
        let active = self.active();
        if number == active.number {
            return Ok((active.before, active.file.clone()));
        }
        drop(active);
        self.sealed_file(number)
    }

    /// The sealed files all of whose rows are up to one, oldest first.
    pub(crate) fn numbers_through(&self, row: Position) -> Result<Vec<u64>, Fault> {
        let numbers = self.numbers();
        let mut found = Vec::new();
        for (number, after) in numbers.iter().zip(numbers.iter().skip(1)) {
            if self.file(*after)?.0.position > row {
                break;
            }
            found.push(*number);
        }
        Ok(found)
    }

    /// Removes a sealed file. Who reads it at this moment is not disturbed.
    pub(crate) fn remove(&self, number: u64) -> Result<(), Fault> {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        sealed.before.remove(&number);
        sealed.open.retain(|(open, _)| *open != number);
        drop(sealed);
        let path = self.dir.log(number);
        dir::remove(&path).map_err(|error| Trouble::Io(error).in_file(&path))
    }

    /// The row before the first that is there.
    pub(crate) fn before_first(&self) -> Result<RowEnd, Fault> {
        match self.numbers().first() {
            Some(first) => Ok(self.file(*first)?.0),
            None => Ok(RowEnd::default()),
        }
    }

    /// Closes the newest file.
    pub(crate) fn close(&self) -> Result<(), Fault> {
        self.active().file.close()
    }

    fn active(&self) -> RwLockReadGuard<'_, Active> {
        self.active.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that would hold a position, and whether it is the newest.
    fn file_holding(&self, position: Position) -> Result<Option<(bool, Arc<RedbFile>)>, Fault> {
        let active = self.active();
        if position > active.before.position {
            return Ok(Some((true, active.file.clone())));
        }
        drop(active);
        let sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: Vec<u64> = sealed.before.keys().copied().collect();
        drop(sealed);
        let (mut low, mut high) = (0, numbers.len());
        while low < high {
            let middle = low.midpoint(high);
            let (before, _) = self.sealed_file(numbers[middle])?;
            if before.position < position { low = middle + 1 } else { high = middle }
        }
        let Some(at) = low.checked_sub(1) else { return Ok(None) };
        Ok(Some((false, self.sealed_file(numbers[at])?.1)))
    }

    fn sealed_file(&self, number: u64) -> Result<(RowEnd, Arc<RedbFile>), Fault> {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match sealed.open.iter().position(|(open, _)| *open == number) {
            Some(at) => sealed.open.remove(at).1,
            None => Arc::new(RedbFile::new(self.dir.log(number), CACHE_BYTES)),
        };
        sealed.open.push((number, file.clone()));
        if sealed.open.len() > OPEN_SEALED {
            sealed.open.remove(0);
        }
        if let Some(Some(before)) = sealed.before.get(&number) {
            return Ok((*before, file));
        }
        drop(sealed);
        let lost = || Trouble::Corrupt("the log file holds no rows".to_owned()).in_file(file.path());
        let before = file.read(ends)?.flatten().ok_or_else(lost)?.before;
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).before.insert(number, Some(before));
        Ok((before, file))
    }
}

/// First and last of a file; `None` if it was not begun.
fn ends(txn: &ReadTransaction) -> Result<Option<FileEnds>, Trouble> {
    let Some(meta) = table(txn, META)? else { return Ok(None) };
    if !check_format(&meta)? {
        return Ok(None);
    }
    let missing = || Trouble::Corrupt("does not say which row lies before it".to_owned());
    let before = row_end_from(meta.get("before")?.ok_or_else(missing)?.value())?;
    let Some(rows) = table(txn, ROWS)? else { return Ok(Some(FileEnds { before, last: before })) };
    let last = match rows.last()? {
        None => before,
        Some((position, bytes)) => RowEnd { position: Position(position.value()), link: link_of(bytes.value())? },
    };
    if last.position < before.position || last.position.0 >= NUMBERS_END {
        return Err(Trouble::Corrupt("the numbers of its rows make no sense".to_owned()));
    }
    Ok(Some(FileEnds { before, last }))
}
