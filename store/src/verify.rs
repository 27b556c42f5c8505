//! Checking everything there is: the log against itself, the state against the log, the payloads against their names.
//!
//! What is found is listed, and the walk goes on behind it: one bad file does not hide another. Rows appended meanwhile may or
//! may not be looked at. Memory is bounded by the number of open runs, spaces and payload names, not by the size of the log.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use redb::ReadTransaction;
use reel_abi::id::{CommitNo, Digest, Position, RunId, SpaceName};
use reel_abi::record::{Frame, LogItem};

use crate::audit::Audit;
use crate::compare;
use crate::error::{Fault, FaultKind, ReadError, Trouble};
use crate::gone::Gone;
use crate::redb_file::{RedbFile, ascending, table};
use crate::row::{self, Link, NUMBERS_END, RowEnd};
use crate::state::Snapshot;
use crate::store::Shared;
use crate::tables::{BLOB_DATA, BLOB_IDS, ROWS};

/// No more problems than this are listed; a file of garbage is one finding, not millions.
const LISTED_PROBLEMS: usize = 1000;

/// Rows or payloads are read in pieces of about so many bytes.
const PIECE_BYTES: usize = 8 << 20;

/// Where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file as a whole.
    File(PathBuf),
    /// In a row of the log.
    Row(Position),
    /// In an item of a row, at this offset in bytes.
    Item(Position, u32),
    /// In a commit.
    Commit(CommitNo),
    /// In what is known of a run.
    Run(RunId),
    /// In what is known of a space.
    Space(SpaceName),
    /// In a payload.
    Blob(Digest),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Row(row) => write!(f, "row {row}"),
            Self::Item(row, offset) => write!(f, "row {row}, byte {offset}"),
            Self::Commit(commit) => write!(f, "commit {commit}"),
            Self::Run(run) => write!(f, "run {run}"),
            Self::Space(space) => write!(f, "space {space}"),
            Self::Blob(digest) => write!(f, "payload {digest}"),
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Place,
    /// What.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// What was looked at and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Log files.
    pub files: u64,
    /// Rows of the log.
    pub rows: u64,
    /// Runs that began.
    pub runs: u64,
    /// Frames.
    pub frames: u64,
    /// Events in them, as the frames say.
    pub events: u64,
    /// Commits.
    pub commits: u64,
    /// Cells written by them.
    pub cells: u64,
    /// Payloads.
    pub blobs: u64,
    /// Everything wrong, in the order it was found; the first thousand.
    pub problems: Vec<Problem>,
    /// How many more were found.
    pub unlisted: u64,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn add(&mut self, at: Place, what: impl Into<String>) {
        if self.problems.len() < LISTED_PROBLEMS {
            self.problems.push(Problem { at, what: what.into() });
        } else {
            self.unlisted += 1;
        }
    }

    pub(crate) fn add_fault(&mut self, fault: Fault) {
        let what = fault.reason();
        self.add(Place::File(fault.file), what);
    }
}

type Check<'a> = &'a mut dyn FnMut(&Frame, &[u8]) -> Result<(), String>;
type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// A check in progress.
struct Verifier<'a> {
    shared: &'a Shared,
    check: Check<'a>,
    report: VerifyReport,
    audit: Audit,
    /// The state as it was at the beginning, and the row it had reached.
    state: Option<(ReadTransaction, RowEnd)>,
    before: Option<RowEnd>,
    /// What the newest retention removed, and what of it was looked for and legally not found.
    gone: Option<Gone>,
    /// The state that stands for rows that are gone, and the row up to which it does.
    base: Option<(Position, RedbFile)>,
}

pub(crate) fn verify(shared: &Shared, check: Check<'_>, progress: Progress<'_>) -> Result<VerifyReport, ReadError> {
    // Nothing is removed or copied meanwhile.
    let _alone = shared.upkeep.work();
    let mut report = VerifyReport::default();
    if let Err(error) = shared.blobs.flush() {
        report.add(Place::File(shared.blobs.file().path().to_owned()), error.to_string());
    }
    let state = match snapshot(shared) {
        Ok(state) => state,
        Err(fault) => {
            report.add_fault(fault);
            None
        }
    };
    let rows = shared.live.read().end.position.0;
    let retention = shared.live.read().retention.clone();
    let audit = Audit::new(retention.clone());
    let gone = retention.map(Gone::new);
    let mut verifier = Verifier { shared, check, report, audit, state, before: None, gone, base: None };
    if let Err(fault) = verifier.find_base() {
        verifier.report.add_fault(fault);
    }
    let blobs = verifier.count_blobs();
    for number in shared.log.numbers() {
        verifier.file(number, &mut |row| progress(row.min(rows), rows + blobs));
    }
    verifier.compare_ends(Position(rows));
    verifier.name_what_is_left();
    verifier.blobs(&mut |done| progress(rows + done.min(blobs), rows + blobs));
    Ok(verifier.report)
}

fn snapshot(shared: &Shared) -> Result<Option<(ReadTransaction, RowEnd)>, Fault> {
    let Some(txn) = shared.state.snapshot()? else { return Ok(None) };
    let applied = shared.state.guarded(|| Snapshot(&txn).applied())?;
    Ok(Some((txn, applied)))
}

impl Verifier<'_> {
    /// Finds the state that stands for rows that are gone.
    fn find_base(&mut self) -> Result<(), Fault> {
        let Some(gone) = self.gone.as_ref().filter(|gone| gone.retention.rows_through > Position(0)) else {
            return Ok(());
        };
        let dir = self.shared.dir();
        let in_log = |error: std::io::Error| Trouble::Io(error).in_file(&dir.log(0));
        for (row, path) in dir.bases().map_err(in_log)? {
            if crate::dir::digest(&path).map_err(in_log)? == gone.retention.base {
                self.base = Some((row, RedbFile::new(path, 16 << 20)));
                return Ok(());
            }
        }
        let what = format!("the state that stands for the rows up to {} is missing", gone.retention.rows_through);
        self.report.add(Place::Row(gone.retention.rows_through), what);
        Ok(())
    }

    /// Goes on from the state that stands for what was removed, once the rows that it stands for are passed.
    fn resume(&mut self, position: Position) {
        let Some((_, base)) = self.base.take_if(|(row, _)| *row == position) else { return };
        let Some(gone) = &mut self.gone else { return };
        gone.forget_counts();
        let (audit, state, report) = (&mut self.audit, &self.state, &mut self.report);
        let resumed = base.read(|txn| {
            audit.resume(&Snapshot(txn))?;
            audit.totals.commits = audit.totals.commits.saturating_sub(gone.commits_left(txn)?);
            match state {
                Some((state, _)) => gone.compare_base(txn, state, base.path(), report),
                None => Ok(()),
            }
        });
        if let Err(fault) = resumed {
            self.audit.forget();
            self.report.add_fault(fault);
        }
    }

    /// Names the payloads that the past needs so far as it is still there.
    fn name_what_is_left(&mut self) {
        self.audit.name_effects();
        let (Some(gone), Some((txn, _))) = (&self.gone, &self.state) else { return };
        let audit = &mut self.audit;
        let place = Place::File(self.shared.state.path().to_owned());
        if let Err(fault) = self.shared.state.guarded(|| gone.each_left(txn, |digest| audit.name(digest, &place))) {
            self.report.add_fault(fault);
        }
    }

    /// Walks over the rows of one log file.
    fn file(&mut self, number: u64, progress: &mut dyn FnMut(u64)) {
        let (before, file) = match self.shared.log.file(number) {
            Ok(found) => found,
            Err(fault) => return self.report.add_fault(fault),
        };
        self.report.files += 1;
        match self.before.replace(before) {
            Some(last) if last.position != before.position => {
                let what =
                    format!("begins after row {}, but the file before it ends with {}", before.position, last.position);
                self.report.add(Place::File(file.path().to_owned()), what);
                self.audit.forget();
            }
            Some(last) if last.link != before.link => {
                let what = "names another link for the row before it than that row has";
                self.report.add(Place::File(file.path().to_owned()), what);
            }
            Some(_) => {}
            None => {
                self.audit.begins_at(before.position);
                self.resume(before.position);
            }
        }
        let mut from = before.position.next();
        loop {
            let rows = match read_rows(&file, from) {
                Ok(rows) => rows,
                Err(fault) => return self.report.add_fault(fault),
            };
            let Some((last, _)) = rows.last() else { return };
            if rows[0].0 < from {
                let what = "its rows are not in order";
                return self.report.add(Place::File(file.path().to_owned()), what);
            }
            from = last.next();
            for (position, bytes) in rows {
                self.row(&file, position, &bytes);
                progress(position.0);
            }
        }
    }

    fn row(&mut self, file: &Arc<RedbFile>, position: Position, bytes: &[u8]) {
        self.report.rows += 1;
        let at = Place::Row(position);
        let before = self.before.unwrap_or_default();
        if position != before.position.next() {
            let what = format!("comes after row {}: rows are missing in {}", before.position, file.path().display());
            self.report.add(at.clone(), what);
            self.audit.forget();
        }
        let said: Option<Link> = row::link_of(bytes).ok();
        let items_bytes = bytes.get(row::LINK_BYTES..).unwrap_or_default();
        if said != Some(row::link(before.link, items_bytes)) {
            self.report.add(at.clone(), "does not match its link: the row, or the one before it, was changed");
        }
        self.before = Some(RowEnd { position, link: said.unwrap_or_default() });
        let items = match row::items(bytes) {
            Ok(items) => items,
            Err(error) => {
                self.audit.forget();
                return self.report.add(at, error.to_string());
            }
        };
        for (offset, item) in &items {
            if let LogItem::Frame { frame } = item {
                let opened = frame.unpack().map_err(|error| error.to_string());
                if let Err(what) = opened.and_then(|raw| (self.check)(frame, &raw)) {
                    self.report.add(Place::Item(position, *offset), format!("frame of run {}: {what}", frame.run));
                }
            }
            self.audit.item(position, Place::Item(position, *offset), item, &mut self.report);
        }
        self.compare(position, said, &items);
        self.resume(position);
    }

    /// Compares a row with the state, if that has seen it.
    fn compare(&mut self, position: Position, link: Option<Link>, items: &[(u32, LogItem)]) {
        let reached = |state: &Option<(ReadTransaction, RowEnd)>| state.as_ref().map(|(_, applied)| applied.position);
        if reached(&self.state).is_none_or(|reached| position > reached) {
            return;
        }
        let mut result = self.compare_once(position, link, items);
        if matches!(&result, Err(fault) if matches!(fault.kind, FaultKind::Io(_))) {
            // The snapshot ended, because the state was written for the first time. A later one has all that this had.
            result = snapshot(self.shared).and_then(|state| {
                self.state = state;
                self.compare_once(position, link, items)
            });
        }
        if let Err(fault) = result {
            self.report.add_fault(fault);
            self.state = None;
        }
    }

    fn compare_once(&mut self, position: Position, link: Option<Link>, items: &[(u32, LogItem)]) -> Result<(), Fault> {
        let Some((txn, applied)) = &self.state else { return Ok(()) };
        let (file, report) = (&self.shared.state, &mut self.report);
        file.guarded(|| compare::row(txn, position, items, self.gone.as_mut(), report))?;
        // What stands for removed rows up to this one would be needed first.
        if position == applied.position && self.base.is_none() {
            file.guarded(|| compare::totals(txn, &self.audit, self.gone.as_ref(), file.path(), report))?;
            if link != Some(applied.link) {
                let what = format!("has another link for row {position} than the log");
                report.add(Place::File(file.path().to_owned()), what);
            }
        }
        Ok(())
    }

    /// Compares where the log ends with what state and memory say.
    fn compare_ends(&mut self, known: Position) {
        let end = self.before.unwrap_or_default().position;
        if end < known {
            self.report.add(Place::Row(end), format!("is the last one to be found, but row {known} was written"));
        }
        let reached = self.state.as_ref().map(|(_, applied)| applied.position);
        if let Some(reached) = reached.filter(|reached| *reached > end) {
            let path = self.shared.state.path().to_owned();
            self.report.add(Place::File(path), format!("has seen row {reached}, which is not in the log"));
        }
    }

    fn count_blobs(&mut self) -> u64 {
        use redb::ReadableTableMetadata;
        let counted = self.shared.blobs.file().read(|txn| {
            let ids = table(txn, BLOB_IDS)?.map_or(Ok(0), |ids| ids.len())?;
            let data = table(txn, BLOB_DATA)?.map_or(Ok(0), |data| data.len())?;
            Ok((ids, data))
        });
        match counted.map(Option::unwrap_or_default) {
            Ok((ids, data)) => {
                if ids != data {
                    let what = format!("lists {ids} payloads and holds {data}");
                    self.report.add(Place::File(self.shared.blobs.file().path().to_owned()), what);
                }
                ids
            }
            Err(fault) => {
                self.report.add_fault(fault);
                0
            }
        }
    }

    /// Reads every payload, and sees that those named in the log are among them.
    fn blobs(&mut self, progress: &mut dyn FnMut(u64)) {
        let mut from = Some([0; 32]);
        while let Some(first) = from {
            let listed = self.shared.blobs.file().read(|txn| {
                let Some(ids) = table(txn, BLOB_IDS)? else { return Ok(Vec::new()) };
                let mut listed = Vec::new();
                for entry in ascending(ids.range(first..)?).take(1024) {
                    listed.push(Digest(entry?.0.value()));
                }
                if listed.first().is_some_and(|digest| digest.0 < first) {
                    return Err(Trouble::Corrupt("its payloads are not in order".to_owned()));
                }
                Ok(listed)
            });
            let digests: Vec<Digest> = match listed {
                Ok(listed) => listed.unwrap_or_default(),
                Err(fault) => return self.report.add_fault(fault),
            };
            from = digests.last().and_then(|digest| successor(digest.0));
            for digest in digests {
                self.report.blobs += 1;
                progress(self.report.blobs);
                self.audit.named.remove(&digest);
                match self.shared.blobs.get(&digest) {
                    Ok(Some(_)) => {}
                    Ok(None) => self.report.add(Place::Blob(digest), "is listed but cannot be found"),
                    Err(error) => self.report.add(Place::Blob(digest), error.to_string()),
                }
            }
        }
        for (digest, place) in std::mem::take(&mut self.audit.named) {
            // It may have been put after the walk over the payloads passed by.
            if !self.shared.blobs.contains(&digest).unwrap_or(false) {
                self.report.add(Place::Blob(digest), format!("is named in {place} and missing"));
            }
        }
    }
}

/// The next larger digest.
pub(crate) fn successor(mut digest: [u8; 32]) -> Option<[u8; 32]> {
    let at = digest.iter().rposition(|byte| *byte != u8::MAX)?;
    digest[at] += 1;
    digest[at + 1..].fill(0);
    Some(digest)
}

fn read_rows(file: &RedbFile, from: Position) -> Result<Vec<(Position, Vec<u8>)>, Fault> {
    let read = file.read(|txn| {
        let Some(rows) = table(txn, ROWS)? else { return Ok(Vec::new()) };
        let mut piece = Vec::new();
        let mut bytes = 0;
        for entry in ascending(rows.range(from.0..NUMBERS_END)?) {
            let (position, row) = entry?;
            bytes += row.value().len();
            piece.push((Position(position.value()), row.value().to_vec()));
            if bytes >= PIECE_BYTES {
                break;
            }
        }
        Ok(piece)
    });
    Ok(read?.unwrap_or_default())
}
