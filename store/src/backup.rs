//! Backups: a copy of a database that is itself one, made while others work, and brought up to date by what is new.
//!
//! ```text
//! original                              copy
//! 1. its last row                       locked; the last row it has is one of the original: same link
//! 2. payloads that are not there   ->   blobs.redb           in steps, each durable
//! 3. states for rows that are gone ->   log/NNNNNNNN.base
//! 4. rows up to 1                  ->   log/NNNNNNNN.redb    in steps, each durable
//! ```
//!
//! Whatever a row names was durable before the row; so a copy that was cut off after any step is a database as the original
//! was at an earlier moment, and the next backup goes on from there. Links are checked on the way: a copy vouches for the rows
//! of the original. The state is not copied: opening the copy makes it from the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::ReadTransaction;
use reel_abi::id::{Digest, Position};
use thiserror::Error;

use crate::blobs;
use crate::dir::{self, Dir};
use crate::error::{AppendError, Fault, OpenError, ReadError, Trouble};
use crate::log::Log;
use crate::opening::Options;
use crate::redb_file::{RedbFile, ascending, table};
use crate::row::{self, Row, RowEnd};
use crate::store::Store;
use crate::tables::BLOB_DATA;

/// One durable step has about so many bytes.
const STEP_BYTES: usize = 16 << 20;

/// So many payloads are looked up in one snapshot.
const STEP_DIGESTS: usize = 1 << 14;

/// Payloads that are missing are noted up to this number, about 40 MB, and copied in the order in which they were written.
const NOTED: usize = 1 << 20;

/// redb's cache for the payloads of the copy.
const CACHE_BYTES: usize = 32 << 20;

/// Why a copy was not made. What had been copied before stays, and is not copied again.
#[derive(Debug, Clone, Error)]
pub enum BackupError {
    /// The copy, or what is to be restored, cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The original cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The copy cannot be written.
    #[error("the copy cannot be written: {0}")]
    Write(#[from] AppendError),
    /// The copy has another history.
    #[error(
        "{} is no copy of this database: its row {row} is another one here. Something was written into it, or this database was rolled back \
         to an older copy. Back up into a new directory",
        .dir.display()
    )]
    OtherHistory {
        /// The copy.
        dir: PathBuf,
        /// Its last row.
        row: Position,
    },
    /// Rows went before they were copied.
    #[error(
        "{} ends with row {row}, and the rows before {first} are gone here (`reel gc`). Back up into a new directory",
        .dir.display()
    )]
    Gap {
        /// The copy.
        dir: PathBuf,
        /// Its last row.
        row: Position,
        /// The first that is still there.
        first: Position,
    },
    /// The directory is the database.
    #[error("{} is the database itself; back up into another directory", .dir.display())]
    Itself {
        /// The directory.
        dir: PathBuf,
    },
    /// There is a database already where one is to be restored.
    #[error("there is a database in {} already; restore into a new directory (--db)", .dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// There is nothing in the copy.
    #[error("{} holds no rows; it is no backup", .dir.display())]
    Empty {
        /// The directory.
        dir: PathBuf,
    },
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backup {
    /// Rows that were new.
    pub rows: u64,
    /// Their bytes.
    pub row_bytes: u64,
    /// Payloads that were new.
    pub payloads: u64,
    /// Their bytes.
    pub payload_bytes: u64,
    /// The last row that the copy has.
    pub through: Position,
}

/// Gets how many rows and payloads are copied, of how many that are known to be missing.
pub type BackupProgress<'a> = &'a mut dyn FnMut(u64, u64);

impl Store {
    /// Copies what is new into the database in `to`, which is made if it is not there. Others go on working; retention and
    /// compaction wait. The copy is as the database is at the beginning of the call, or a little later.
    pub fn backup(&self, to: &Path, owner: &str, progress: BackupProgress<'_>) -> Result<Backup, BackupError> {
        self.backup_in_steps(to, owner, STEP_BYTES, progress)
    }

    /// Like [`Store::backup`], with another size of a durable step, in bytes. For tests.
    #[doc(hidden)]
    pub fn backup_in_steps(
        &self,
        to: &Path,
        owner: &str,
        step_bytes: usize,
        progress: BackupProgress<'_>,
    ) -> Result<Backup, BackupError> {
        let shared = self.shared();
        if let (Ok(one), Ok(other)) = (dir::whole(self.dir()), dir::whole(to))
            && one == other
        {
            return Err(BackupError::Itself { dir: to.to_owned() });
        }
        let _alone = shared.upkeep.work();
        let end = shared.live.read().end;
        let from = Original { dir: shared.dir(), log: &shared.log, blobs: shared.blobs.file(), end, step_bytes };
        from.copy_into(&Copy::open(to, owner)?, progress)
    }
}

/// Makes a database in `to` of a backup, which is read only. Its state is made when it is opened next.
pub fn restore(backup: &Path, to: &Path, owner: &str, progress: BackupProgress<'_>) -> Result<Backup, BackupError> {
    let source = Arc::new(Dir::open(backup, owner, false)?);
    let (log, end) = Log::open(source.clone(), Options::default().log_file_bytes)?;
    if end.position == Position(0) {
        return Err(BackupError::Empty { dir: backup.to_owned() });
    }
    if dir::file_len(&to.join("log")).ok().flatten().is_some() {
        return Err(BackupError::Exists { dir: to.to_owned() });
    }
    let blobs = RedbFile::new(source.blobs(), CACHE_BYTES);
    let from = Original { dir: &source, log: &log, blobs: &blobs, end, step_bytes: STEP_BYTES };
    from.copy_into(&Copy::open(to, owner)?, progress)
}

/// What is copied.
struct Original<'a> {
    dir: &'a Dir,
    log: &'a Log,
    blobs: &'a RedbFile,
    /// The last row that is copied.
    end: RowEnd,
    step_bytes: usize,
}

/// Where it is copied to.
struct Copy {
    log: Log,
    blobs: RedbFile,
    end: RowEnd,
    /// Last, so that the lock is given back when all files are closed.
    dir: Arc<Dir>,
}

impl Copy {
    fn open(root: &Path, owner: &str) -> Result<Self, BackupError> {
        let dir = Arc::new(Dir::open(root, owner, true)?);
        let (log, end) = Log::open(dir.clone(), u64::MAX)?;
        Ok(Self { log, end, blobs: RedbFile::new(dir.blobs(), CACHE_BYTES), dir })
    }

    /// Closes its files cleanly.
    fn close(&self) -> Result<(), AppendError> {
        self.log.close()?;
        Ok(self.blobs.close()?)
    }
}

impl Original<'_> {
    fn copy_into(&self, copy: &Copy, progress: BackupProgress<'_>) -> Result<Backup, BackupError> {
        let before = self.meets(copy)?;
        let rows = self.end.position.0.saturating_sub(before.position.0);
        let mut done = Backup { through: self.end.position, ..Backup::default() };
        let mut told = |done: &Backup, payloads: u64| progress(done.rows + done.payloads, rows + payloads);
        self.copy_payloads(copy, &mut done, &mut told)?;
        self.copy_bases(copy)?;
        let payloads = done.payloads;
        self.copy_rows(copy, before, &mut done, &mut |done| told(done, payloads))?;
        copy.close()?;
        Ok(done)
    }

    /// The row after which the copy goes on.
    fn meets(&self, copy: &Copy) -> Result<RowEnd, BackupError> {
        let (first, last) = (self.log.before_first().map_err(ReadError::from)?, copy.end);
        if last == RowEnd::default() {
            return Ok(first);
        }
        let dir = copy.dir.root().to_owned();
        if last.position < first.position {
            return Err(BackupError::Gap { dir, row: last.position, first: first.position.next() });
        }
        let link = if last.position == first.position {
            Some(first.link)
        } else {
            self.log.row(last.position, |bytes| Ok(row::link_of(bytes)?)).map_err(ReadError::from)?
        };
        match last.position <= self.end.position && link == Some(last.link) {
            true => Ok(last),
            false => Err(BackupError::OtherHistory { dir, row: last.position }),
        }
    }

    /// States that stand for rows that are gone, so far as the copy has not got them.
    fn copy_bases(&self, copy: &Copy) -> Result<(), BackupError> {
        let in_log = |error: std::io::Error| Trouble::Io(error).in_file(&self.dir.log(0));
        for (row, path) in self.dir.bases().map_err(in_log).map_err(ReadError::from)? {
            let to = copy.dir.base(row);
            let in_copy = |error: std::io::Error| AppendError::from(Trouble::Io(error).in_file(&to));
            let known = dir::file_len(&to).map_err(in_copy)?.is_some();
            if !known || dir::digest(&to).map_err(in_copy)? != dir::digest(&path).map_err(in_copy)? {
                dir::copy(&path, &to).map_err(in_copy)?;
            }
        }
        Ok(())
    }

    fn copy_rows(
        &self,
        copy: &Copy,
        mut before: RowEnd,
        done: &mut Backup,
        told: &mut dyn FnMut(&Backup),
    ) -> Result<(), BackupError> {
        // Its files end where those of the original do: retention goes by files.
        let beginnings = self.log.beginnings().map_err(ReadError::from)?;
        while before.position < self.end.position {
            if let Some(number) = beginnings.get(&before.position) {
                copy.log.begin_file(*number, before).map_err(AppendError::from)?;
            }
            let rows = self.next_rows(before).map_err(ReadError::from)?;
            let Some(last) = rows.last().map(|row| row.end) else {
                let what = format!("row {} is missing", before.position.next());
                return Err(ReadError::from(Trouble::Corrupt(what).in_file(&self.dir.log(0))).into());
            };
            copy.log.append(before, &rows).map_err(AppendError::from)?;
            done.rows += rows.len() as u64;
            done.row_bytes += rows.iter().map(|row| row.bytes.len() as u64).sum::<u64>();
            told(done);
            before = last;
        }
        Ok(())
    }

    /// The rows of the next step, each held against the link before it.
    fn next_rows(&self, mut before: RowEnd) -> Result<Vec<Row>, Fault> {
        let (mut rows, mut bytes_read) = (Vec::new(), 0);
        let file = self.log.walk(before.position.next(), &mut |position, bytes| {
            if position > self.end.position || bytes_read >= self.step_bytes {
                return Ok(false);
            }
            let link = row::link_of(bytes)?;
            if position != before.position.next() || link != row::link(before.link, &bytes[row::LINK_BYTES..]) {
                return Err(Trouble::Corrupt(format!("row {position} does not follow from the one before it")));
            }
            before = RowEnd { position, link };
            bytes_read += bytes.len();
            rows.push(Row { end: before, bytes: bytes.to_vec() });
            Ok(true)
        });
        file.map(|_| rows)
    }

    fn copy_payloads(
        &self,
        copy: &Copy,
        done: &mut Backup,
        told: &mut dyn FnMut(&Backup, u64),
    ) -> Result<(), BackupError> {
        let mut from = Some([0; 32]);
        while let Some(first) = from.take() {
            let mut missing = Vec::new();
            let mut next = Some(first);
            while let Some(first) = next
                && missing.len() < NOTED
            {
                let (listed, after) = self.listed(first).map_err(ReadError::from)?;
                missing.extend(copy.without(listed)?);
                next = after;
            }
            from = next;
            // Beside each other there, so beside each other here.
            missing.sort_unstable();
            let known = done.payloads + missing.len() as u64;
            let mut left = missing.as_slice();
            while !left.is_empty() {
                let payloads = self.payloads(left).map_err(ReadError::from)?;
                left = &left[payloads.len()..];
                let batch = payloads.iter().map(|(digest, bytes)| (digest, bytes.as_slice()));
                copy.blobs.write(true, |txn| blobs::insert(txn, batch)).map_err(AppendError::from)?;
                done.payloads += payloads.len() as u64;
                done.payload_bytes += payloads.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
                told(done, known);
            }
        }
        Ok(())
    }

    /// Some payloads from one on, as id and digest, and where to go on.
    #[expect(clippy::type_complexity, reason = "a list, and where it goes on")]
    fn listed(&self, first: [u8; 32]) -> Result<(Vec<(u64, [u8; 32])>, Option<[u8; 32]>), Fault> {
        let listed = self.blobs.read(|txn| {
            let Some(ids) = blobs::ids(txn)? else { return Ok(Vec::new()) };
            let entries = ascending(ids.range(first..)?).take(STEP_DIGESTS);
            entries.map(|entry| entry.map(|(digest, id)| (id.value(), digest.value()))).collect()
        })?;
        let listed = listed.unwrap_or_default();
        let more = listed.last().filter(|_| listed.len() == STEP_DIGESTS);
        let after = more.and_then(|(_, last)| crate::verify::successor(*last));
        Ok((listed, after))
    }

    /// The first of these payloads, as many as are one step, at least one.
    fn payloads(&self, wanted: &[(u64, [u8; 32])]) -> Result<Vec<(Digest, Vec<u8>)>, Fault> {
        let read = |txn: &ReadTransaction| {
            let (mut payloads, mut bytes_read) = (Vec::new(), 0);
            let Some(data) = table(txn, BLOB_DATA)? else { return Ok(payloads) };
            for (id, digest) in wanted {
                let digest = Digest(*digest);
                let found = data.get(*id)?;
                let Some(bytes) = found.map(|bytes| bytes.value().to_vec()).filter(|bytes| Digest::of(bytes) == digest)
                else {
                    return Err(Trouble::Corrupt(format!("payload {digest} is missing or has other content")));
                };
                bytes_read += bytes.len();
                payloads.push((digest, bytes));
                if bytes_read >= self.step_bytes {
                    break;
                }
            }
            Ok(payloads)
        };
        let payloads = self.blobs.read(read)?.unwrap_or_default();
        match payloads.is_empty() {
            true => Err(Trouble::Corrupt("its payloads are gone".to_owned()).in_file(self.blobs.path())),
            false => Ok(payloads),
        }
    }
}

impl Copy {
    /// Those of these payloads that are not here.
    fn without(&self, listed: Vec<(u64, [u8; 32])>) -> Result<Vec<(u64, [u8; 32])>, BackupError> {
        let missing = self.blobs.read(|txn| {
            let Some(ids) = blobs::ids(txn)? else { return Ok(None) };
            let mut missing = Vec::new();
            for (id, digest) in &listed {
                if ids.get(*digest)?.is_none() {
                    missing.push((*id, *digest));
                }
            }
            Ok(Some(missing))
        });
        let missing = missing.map_err(|fault| BackupError::Open(fault.into()))?;
        Ok(missing.flatten().unwrap_or(listed))
    }
}
