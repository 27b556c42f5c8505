//! One redb file: opened when first needed, read-only until first written, and never the cause of a panic.
//!
//! Every access to redb goes through here, because redb may panic on a damaged file that it had closed cleanly before.
//! Reading an existing file does not write to it; a file that was not closed cleanly is repaired by redb first.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::backends::FileBackend;
use redb::{
    AccessGuard, Builder, Database, DatabaseError, Key, Range, ReadOnlyDatabase, ReadOnlyTable, ReadTransaction,
    ReadableDatabase, TableDefinition, TableError, Value, WriteTransaction,
};

use crate::dir;
use crate::error::{Fault, Trouble};
use crate::tables::{CELLS, CellKey};

/// The table of cells in one snapshot.
pub(crate) type CellTable = ReadOnlyTable<CellKey, &'static [u8]>;

/// `None` if there is no such table yet.
type Cells = Option<CellTable>;

/// A redb file.
pub(crate) struct RedbFile {
    path: PathBuf,
    cache_bytes: usize,
    slot: RwLock<Slot>,
    /// The table of cells as it was after the last write, kept open for many reads.
    cells: RwLock<Option<Cells>>,
    /// Damage was found. redb's own bookkeeping may be damaged too, and writing by it may end the process: a panic while it
    /// cleans up after a panic cannot be caught. So it is neither written nor closed with a last commit.
    damaged: AtomicBool,
    /// Makes writes fail, as a full disk does.
    #[cfg(test)]
    pub(crate) full: AtomicBool,
}

enum Slot {
    /// Not opened yet, or closed.
    Closed,
    /// Looked for and not there.
    Absent,
    /// Open; nothing was written since.
    Reading(ReadOnlyDatabase),
    /// Open for writing.
    Writing(Database),
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Absent => "absent",
            Self::Reading(_) => "reading",
            Self::Writing(_) => "writing",
        })
    }
}

impl std::fmt::Debug for RedbFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl RedbFile {
    /// A file at `path`, not touched yet.
    pub(crate) fn new(path: PathBuf, cache_bytes: usize) -> Self {
        Self {
            path,
            cache_bytes,
            slot: RwLock::new(Slot::Closed),
            cells: RwLock::new(None),
            damaged: AtomicBool::new(false),
            #[cfg(test)]
            full: AtomicBool::new(false),
        }
    }

    /// Another one with the same room in memory.
    pub(crate) fn anew(&self, path: PathBuf) -> Self {
        Self::new(path, self.cache_bytes)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether damage was found in it since it was opened first.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Reads in one snapshot; `None` if the file does not exist.
    pub(crate) fn read<T>(&self, f: impl FnOnce(&ReadTransaction) -> Result<T, Trouble>) -> Result<Option<T>, Fault> {
        let opened = self.open_for_reading()?;
        let txn = || -> Result<Option<ReadTransaction>, Trouble> {
            match &*opened {
                Slot::Reading(db) => Ok(Some(db.begin_read()?)),
                Slot::Writing(db) => Ok(Some(db.begin_read()?)),
                Slot::Absent | Slot::Closed => Ok(None),
            }
        };
        self.guarded(|| txn()?.map(|txn| f(&txn)).transpose())
    }

    /// Writes in one durable transaction; makes the file if it does not exist. With `quick_repair` opening after a crash
    /// does not have to walk over the whole file, for one more sync and the allocator's state now.
    pub(crate) fn write<T>(
        &self,
        quick_repair: bool,
        f: impl FnOnce(&WriteTransaction) -> Result<T, Trouble>,
    ) -> Result<T, Fault> {
        let opened = self.open_for_writing()?;
        self.guarded(|| {
            if self.is_damaged() {
                return Err(Trouble::Corrupt("damage was found in it before".to_owned()));
            }
            let Slot::Writing(db) = &*opened else {
                return Err(Trouble::Io(std::io::Error::other("the file was closed")));
            };
            let mut txn = db.begin_write()?;
            txn.set_quick_repair(quick_repair);
            let value = f(&txn)?;
            #[cfg(test)]
            if self.full.load(Ordering::Relaxed) {
                return Err(Trouble::Io(std::io::Error::other("disk full")));
            }
            txn.commit()?;
            // An older snapshot would show too little, and keep pages from being used again.
            self.let_go();
            Ok(value)
        })
    }

    /// Reads cells as they were after the last write, or one before it that is just ending; `None` if there are none. The
    /// snapshot is shared and kept: a read of a key costs no transaction and opens no table.
    pub(crate) fn read_cells<T>(&self, f: impl Fn(&CellTable) -> Result<T, Trouble>) -> Result<Option<T>, Fault> {
        loop {
            let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(cells) = &*cells {
                return self.guarded(|| cells.as_ref().map(&f).transpose());
            }
            drop(cells);
            let opened = self.open_for_reading()?;
            let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
            let open = || match &*opened {
                Slot::Reading(db) => table(&db.begin_read()?, CELLS),
                Slot::Writing(db) => table(&db.begin_read()?, CELLS),
                Slot::Absent | Slot::Closed => Ok(None),
            };
            *cells = Some(self.guarded(open)?);
        }
    }

    /// Ends the snapshot that is kept for reads of cells.
    fn let_go(&self) {
        *self.cells.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A snapshot to be kept for long; `None` if the file does not exist. Uses of it belong into [`RedbFile::guarded`]. It
    /// ends when the file is written for the first time; then take another.
    pub(crate) fn snapshot(&self) -> Result<Option<ReadTransaction>, Fault> {
        let opened = self.open_for_reading()?;
        self.guarded(|| match &*opened {
            Slot::Reading(db) => Ok(Some(db.begin_read()?)),
            Slot::Writing(db) => Ok(Some(db.begin_read()?)),
            Slot::Absent | Slot::Closed => Ok(None),
        })
    }

    /// Moves what is in the file to its front and cuts it; returns its bytes before and after, `None` if it does not exist.
    /// Who reads or writes meanwhile waits. No snapshot may be held.
    pub(crate) fn compact(&self) -> Result<Option<(u64, u64)>, Fault> {
        let len = || dir::file_len(&self.path).map_err(|error| Trouble::Io(error).in_file(&self.path));
        let Some(before) = len()?.filter(|len| *len > 0) else { return Ok(None) };
        drop(self.open_for_writing()?);
        let mut slot = self.exclusive();
        self.let_go();
        if let Slot::Writing(db) = &mut *slot {
            // Each round moves what it can; that is over after a few.
            self.guarded(|| {
                while db.compact()? {}
                Ok(())
            })?;
        }
        drop(slot);
        Ok(Some((before, len()?.unwrap_or(0))))
    }

    /// Closes the file; the next access opens it again.
    pub(crate) fn close(&self) -> Result<(), Fault> {
        let mut slot = self.exclusive();
        self.let_go();
        match std::mem::replace(&mut *slot, Slot::Closed) {
            Slot::Writing(db) if self.is_damaged() => {
                abandon(db);
                Ok(())
            }
            Slot::Writing(db) => self.guarded(|| Ok(db.close()?)),
            Slot::Reading(db) => self.guarded(|| Ok(db.close()?)),
            Slot::Absent | Slot::Closed => Ok(()),
        }
    }

    fn open_for_reading(&self) -> Result<RwLockReadGuard<'_, Slot>, Fault> {
        loop {
            let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
            if !matches!(*slot, Slot::Closed) {
                return Ok(slot);
            }
            drop(slot);
            let mut slot = self.exclusive();
            if matches!(*slot, Slot::Closed) {
                *slot = self.guarded(|| self.reading_slot())?;
            }
        }
    }

    fn open_for_writing(&self) -> Result<RwLockReadGuard<'_, Slot>, Fault> {
        loop {
            let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
            if matches!(*slot, Slot::Writing(_)) {
                return Ok(slot);
            }
            drop(slot);
            let mut slot = self.exclusive();
            if !matches!(*slot, Slot::Writing(_)) {
                self.let_go();
                if let Slot::Reading(db) = std::mem::replace(&mut *slot, Slot::Closed) {
                    self.guarded(|| Ok(db.close()?))?;
                }
                *slot = self.guarded(|| Ok(Slot::Writing(self.database(true)?)))?;
            }
        }
    }

    fn reading_slot(&self) -> Result<Slot, Trouble> {
        match dir::file_len(&self.path)? {
            // redb makes a database of an empty file: one that was not there yet when the machine stopped.
            None | Some(0) => return Ok(Slot::Absent),
            Some(_) => {}
        }
        let backend = FileBackend::new(dir::open_read_only(&self.path)?)?;
        match self.builder().open_read_only_with_backend(backend) {
            Ok(db) => Ok(Slot::Reading(db)),
            Err(DatabaseError::RepairAborted) => Ok(Slot::Writing(self.database(false)?)),
            Err(error) => Err(error.into()),
        }
    }

    fn database(&self, create: bool) -> Result<Database, Trouble> {
        let backend = FileBackend::new(dir::open_file(&self.path, create)?)?;
        Ok(self.builder().create_with_backend(backend)?)
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_bytes);
        builder
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, Slot> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something that reads the file; a panic of redb becomes an error.
    pub(crate) fn guarded<T>(&self, f: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Fault> {
        let within = Within::enter();
        let result = catch_unwind(AssertUnwindSafe(f));
        drop(within);
        let result = result.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(Trouble::Corrupt(format!("redb cannot read it ({text})")))
        });
        result.map_err(|trouble| {
            if matches!(trouble, Trouble::Corrupt(_)) {
                self.damaged.store(true, Ordering::Relaxed);
            }
            trouble.in_file(&self.path)
        })
    }
}

thread_local! {
    /// How many accesses this thread is in.
    static ACCESSES: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, a panic of this thread is caught and told as damage to a file.
struct Within;

impl Within {
    fn enter() -> Self {
        ACCESSES.set(ACCESSES.get().saturating_add(1));
        Self
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        ACCESSES.set(ACCESSES.get().saturating_sub(1));
    }
}

/// Whether a panic of this thread would be caught and told as damage to a file, so that nobody else has to tell of it.
pub fn tells_panics() -> bool {
    ACCESSES.get() > 0
}

/// Lets go of a damaged file without the commit that redb makes when it closes one: dropped while a panic unwinds, it makes
/// none. This panic is told to nobody and goes nowhere.
fn abandon(db: Database) {
    let unwound: std::thread::Result<()> = catch_unwind(AssertUnwindSafe(move || {
        let _dropped_by_unwinding = db;
        std::panic::resume_unwind(Box::new(()))
    }));
    drop(unwound);
}

impl Drop for RedbFile {
    fn drop(&mut self) {
        // Nobody can do anything about it any more.
        if let Err(fault) = self.close() {
            tracing::warn!("closing {fault}");
        }
    }
}

/// The entries of a range as long as their keys ascend: the tree of a damaged file may lead in a circle.
pub(crate) fn ascending<K: Key + 'static, V: Value + 'static>(
    range: Range<'_, K, V>,
) -> impl Iterator<Item = Result<(AccessGuard<'_, K>, AccessGuard<'_, V>), Trouble>> {
    let mut last: Option<Vec<u8>> = None;
    range.map(move |entry| {
        let (key, value) = entry?;
        let bytes = K::as_bytes(&key.value()).as_ref().to_vec();
        if last.as_ref().is_some_and(|last| K::compare(last, &bytes).is_ge()) {
            return Err(Trouble::Corrupt("its keys are not in order".to_owned()));
        }
        last = Some(bytes);
        Ok((key, value))
    })
}

/// Opens a table that may not have been made yet.
pub(crate) fn table<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    definition: TableDefinition<K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, Trouble> {
    match txn.open_table(definition) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
