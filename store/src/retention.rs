//! Retention: what of the past goes, and what stays.
//!
//! Of each space all versions from the moment of the policy on stay, with the one that was the newest at that moment; and
//! those older ones that a fork lies on, that have a tag, or that a run began at which is still open, ended later or is
//! needed. Of runs, those that ended before the moment lose their events, up to the first that did not or is needed. Only this removes history, only when
//! it is asked for, and the log says that it did.

use std::collections::{BTreeMap, BTreeSet};

use redb::ReadTransaction;
use reel_abi::id::{Digest, Position, RunId, SegmentId, SpaceName, Version, WallTime};
use reel_abi::record::{Cut, Frame, LogItem, Retention};

use crate::answer::Answer;
use crate::chain::Segment;
use crate::cuts::{self, ALL, Keeper};
use crate::error::{AppendError, Fault, ReadError, Trouble};
use crate::prune;
use crate::redb_file::{ascending, table};
use crate::row;
use crate::state::Snapshot;
use crate::store::{Shared, Store};
use crate::tables::CELLS;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Now.
    pub at: WallTime,
    /// The policy in the words of whoever asks; told to those who miss something later.
    pub words: String,
    /// What is older goes.
    pub before: WallTime,
    /// Whether tagged versions stay, however old.
    pub keep_tagged: bool,
    /// Runs that stay with the versions they began at, however old: something that stays is made of them.
    pub needed: BTreeSet<RunId>,
}

/// What goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPlan {
    /// Spaces, and how many versions of each cannot be read any more.
    pub spaces: Vec<(SpaceName, u64)>,
    /// How many runs lose their events.
    pub runs: u64,
    /// Values in the state that nobody can see any more.
    pub cells: u64,
    /// Log files and their bytes.
    pub files: Vec<(String, u64)>,
    /// Payloads that nobody names, and their bytes; `None` if they were not counted.
    pub blobs: Option<(u64, u64)>,
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// All of it.
    pub removed: RetentionPlan,
    /// The state that stands for the log files that went, and its bytes.
    pub base: Option<(String, u64)>,
}

/// Decodes a frame and says which payloads its events name.
pub(crate) type Names<'a> = &'a mut dyn FnMut(&Frame, &[u8]) -> Result<Vec<Digest>, String>;

/// How often a plan is made anew because a fork or a tag came between.
const ATTEMPTS: usize = 16;

struct Planned {
    retention: Retention,
    plan: RetentionPlan,
    pins: u64,
    /// Whether there is more to do than to look for payloads.
    news: bool,
}

impl Store {
    /// What [`Store::retain`] would remove now. Payloads are not counted: that takes reading all events.
    pub fn plan_retention(&self, policy: &Policy) -> Result<RetentionPlan, ReadError> {
        let _alone = self.shared().upkeep.work();
        let snapshot = self.settled()?;
        Ok(self.shared().plan(policy, snapshot.as_ref())?.plan)
    }

    /// Like [`Store::plan_retention`], with the payloads.
    #[expect(clippy::type_complexity, reason = "a callback, spelled out once")]
    pub fn plan_retention_with_blobs(
        &self,
        policy: &Policy,
        names: &mut dyn FnMut(&Frame, &[u8]) -> Result<Vec<Digest>, String>,
    ) -> Result<RetentionPlan, ReadError> {
        let _alone = self.shared().upkeep.work();
        let snapshot = self.settled()?;
        let mut planned = self.shared().plan(policy, snapshot.as_ref())?;
        planned.plan.blobs = Some(self.shared().count_unnamed(snapshot.as_ref(), &planned.retention, names)?);
        Ok(planned.plan)
    }

    /// Removes the history that a policy does not keep. `names` decodes a frame and says which payloads its events name; it is
    /// asked for every frame that stays. What was put or asked for since the database was opened stays too.
    #[expect(clippy::type_complexity, reason = "a callback, spelled out once")]
    pub fn retain(
        &self,
        policy: &Policy,
        names: &mut dyn FnMut(&Frame, &[u8]) -> Result<Vec<Digest>, String>,
    ) -> Result<RetentionReport, AppendError> {
        self.retain_watched(policy, names, &mut || {})
    }

    /// Like [`Store::retain`]; calls `watch` wherever it could be cut off. For tests.
    #[doc(hidden)]
    #[expect(clippy::type_complexity, reason = "a callback, spelled out once")]
    pub fn retain_watched(
        &self,
        policy: &Policy,
        names: &mut dyn FnMut(&Frame, &[u8]) -> Result<Vec<Digest>, String>,
        watch: &mut dyn FnMut(),
    ) -> Result<RetentionReport, AppendError> {
        let shared = self.shared();
        let unreadable = |error: ReadError| AppendError::unreadable(error, shared.state.path());
        let _alone = shared.upkeep.work();
        for _ in 0..ATTEMPTS {
            let snapshot = self.settled().map_err(unreadable)?;
            let Planned { mut retention, plan, pins, news } =
                shared.plan(policy, snapshot.as_ref()).map_err(unreadable)?;
            drop(snapshot);
            let mut report = RetentionReport { removed: plan, base: None };
            if !report.removed.files.is_empty() {
                let (row, digest, bytes) = prune::write_base(&shared.state, shared.dir(), &retention)?;
                retention.base = digest;
                let name = shared.dir().base(row).file_name().map(|name| name.to_string_lossy().into_owned());
                report.base = name.map(|name| (name, bytes));
            }
            watch();
            if news {
                match self.log_retention(retention.clone(), pins)? {
                    Answer::Again => continue,
                    _ => watch(),
                }
                self.settle()?;
                watch();
                prune::carry_out(&shared.state, &shared.log, shared.dir(), &retention, watch)?;
            }
            let snapshot = self.settled().map_err(unreadable)?;
            let swept = shared.sweep(snapshot.as_ref(), &retention, names).map_err(unreadable)?;
            report.removed.blobs = Some(swept);
            watch();
            return Ok(report);
        }
        Err(AppendError::Invalid("forks and tags come faster than history can be removed; try again"))
    }

    /// The state with all that was committed before.
    fn settled(&self) -> Result<Option<ReadTransaction>, ReadError> {
        let shared = self.shared();
        if let Err(error) = self.settle() {
            let what = error.to_string();
            return Err(Trouble::Io(std::io::Error::other(what)).in_file(shared.state.path()).into());
        }
        Ok(shared.state.snapshot()?)
    }
}

impl Shared {
    fn plan(&self, policy: &Policy, snapshot: Option<&ReadTransaction>) -> Result<Planned, ReadError> {
        let live = self.live.read();
        let (old, pins) = (live.retention.clone(), live.pins);
        drop(live);
        let old = old.as_deref().cloned().unwrap_or_else(|| Retention {
            at: policy.at,
            policy: policy.words.clone(),
            segments: Vec::new(),
            runs_before: RunId(0),
            rows_through: Position(0),
            base: Digest::default(),
        });
        let Some(txn) = snapshot else {
            return Ok(Planned { retention: old, plan: RetentionPlan::default(), pins, news: false });
        };
        let in_flight = self.runs_in_flight();
        let mut books = self.state.guarded(|| Books::read(txn, policy, &old, &in_flight))?;
        let segments = books.cuts(&old);
        let mut plan = RetentionPlan { spaces: books.lost(&old, &segments), ..RetentionPlan::default() };
        plan.runs = self.state.guarded(|| Snapshot(txn).count_runs(old.runs_before, books.runs_before))?;
        let (rows_through, files) = self.rows_to_go(policy.before, books.runs_before, old.rows_through)?;
        plan.files = files;
        let retention = Retention {
            at: policy.at,
            policy: policy.words.clone(),
            segments,
            runs_before: books.runs_before,
            rows_through,
            base: old.base,
        };
        plan.cells = self.state.guarded(|| count_cells(txn, &retention))?;
        let news = retention.segments != old.segments
            || (retention.runs_before, retention.rows_through) != (old.runs_before, old.rows_through)
            || plan.cells > 0;
        Ok(Planned { retention, plan, pins, news })
    }

    /// The last row that can go with its whole file, and the files that go.
    fn rows_to_go(
        &self,
        before: WallTime,
        runs_before: RunId,
        gone: Position,
    ) -> Result<(Position, Vec<(String, u64)>), Fault> {
        let mut free = gone;
        let mut from = Some(self.log.before_first()?.position.next());
        let sealed = self.log.numbers().len().saturating_sub(1);
        for _ in 0..sealed {
            let Some(position) = from else { break };
            let mut blocked = false;
            let mut last = free;
            from = self.log.walk(position, &mut |position, bytes| {
                let items = row::items(bytes).map_err(|e| Trouble::Corrupt(format!("row {position}: {e}")))?;
                blocked = !items.iter().all(|(_, item)| is_old(item, before, runs_before));
                last = position;
                Ok(!blocked)
            })?;
            if blocked {
                break;
            }
            free = last;
        }
        let mut files = Vec::new();
        let numbers = self.log.numbers_through(free)?;
        for number in &numbers {
            let path = self.dir().log(*number);
            let len = crate::dir::file_len(&path).map_err(|error| Trouble::Io(error).in_file(&path))?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            files.push((name, len.unwrap_or(0)));
        }
        Ok((if files.is_empty() { gone } else { free }, files))
    }
}

/// Whether nobody needs the item any more who looks at what came from that moment on.
fn is_old(item: &LogItem, before: WallTime, runs_before: RunId) -> bool {
    match item {
        LogItem::Begun { run, .. } | LogItem::Ended { run, .. } => *run < runs_before,
        LogItem::Frame { frame } => frame.run < runs_before,
        LogItem::Commit { record } => record.run < runs_before && record.at < before,
        LogItem::Branched { at, .. }
        | LogItem::SpaceRemoved { at, .. }
        | LogItem::TagSet { at, .. }
        | LogItem::TagRemoved { at, .. } => *at < before,
        LogItem::Delivered { .. } | LogItem::SpaceOpened { .. } | LogItem::Retained { .. } => true,
    }
}

fn count_cells(txn: &ReadTransaction, retention: &Retention) -> Result<u64, Trouble> {
    let Some(cells) = table(txn, CELLS)? else { return Ok(0) };
    let (mut keeper, mut gone) = (Keeper::new(retention), 0);
    for entry in ascending(cells.range::<&[u8]>(..)?) {
        gone += u64::from(!keeper.keeps(entry?.0.value()));
    }
    Ok(gone)
}

/// What the state says of versions, and which of them stay.
struct Books {
    segments: BTreeMap<SegmentId, Segment>,
    /// The newest version of each segment.
    newest: BTreeMap<SegmentId, Version>,
    /// The first version of each space that stays for its time; `None` if none does.
    border: BTreeMap<SpaceName, Option<Version>>,
    /// Versions that stay for other reasons.
    pinned: BTreeMap<SegmentId, BTreeSet<Version>>,
    runs_before: RunId,
}

impl Books {
    fn read(txn: &ReadTransaction, policy: &Policy, old: &Retention, in_flight: &[RunId]) -> Result<Self, Trouble> {
        let state = Snapshot(txn);
        let mut books = Self {
            segments: state.segments()?,
            newest: BTreeMap::new(),
            border: BTreeMap::new(),
            pinned: BTreeMap::new(),
            runs_before: RunId(state.newest()?.run).next(),
        };
        let removed: BTreeMap<_, _> = state.removed()?.into_iter().collect();
        for (space, head) in state.heads()? {
            let mut newest = head.version;
            for (opened, segment) in state.openings(&space)?.into_iter().rev() {
                books.newest.insert(segment, newest);
                newest = Version(opened.0.saturating_sub(1));
            }
            let ended = removed.get(&space).is_some_and(|at| *at < policy.before);
            let first = state.first_version_from(&space, policy.before)?;
            let border = first.map(|first| Version(first.0.saturating_sub(1)));
            books.border.insert(space, border.or((!ended).then_some(head.version)));
        }
        if policy.keep_tagged {
            for tag in state.tags()? {
                books.pin(tag.head.segment, tag.head.version);
            }
        }
        let mut end = books.runs_before;
        for run in state.runs_from(old.runs_before)? {
            let ended = state.end(run)?.map(|end| end.at);
            if ended.is_some_and(|at| at < policy.before) && !policy.needed.contains(&run) {
                continue;
            }
            end = end.min(run);
            if let Some(begin) = state.begin(run)? {
                books.pin(begin.segment, begin.version);
            }
        }
        let first_in_flight = in_flight.iter().find(|run| !matches!(state.begin(**run), Ok(Some(_))));
        books.runs_before = first_in_flight.copied().map_or(end, |run| end.min(run)).max(old.runs_before);
        Ok(books)
    }

    fn pin(&mut self, segment: SegmentId, version: Version) {
        self.pinned.entry(segment).or_default().insert(version);
    }

    /// What is cut of each segment, earlier cuts included.
    fn cuts(&mut self, old: &Retention) -> Vec<Cut> {
        let mut cuts = Vec::new();
        // Children first: what they lie on stays as long as they do.
        let segments: Vec<SegmentId> = self.segments.keys().rev().copied().collect();
        for id in segments {
            let Some(segment) = self.segments.get(&id).cloned() else { continue };
            let newest = self.newest.get(&id).copied().unwrap_or(segment.opened);
            let border = self.border.get(&segment.space).copied().flatten().filter(|border| *border <= newest);
            let border = border.unwrap_or(ALL);
            let pinned = self.pinned.remove(&id).unwrap_or_default();
            let kept = pinned.into_iter().filter(|version| *version < border && *version <= newest).collect();
            let mut cut = Cut { segment: id, border, kept };
            if let Some(earlier) = cuts::cut(old, id) {
                cut = cuts::both(earlier, &cut);
            }
            if let Some((parent, seen)) = segment.parent.filter(|_| cut.border != ALL || !cut.kept.is_empty()) {
                self.pin(parent, seen);
            }
            if cut.border > segment.opened {
                cuts.push(cut);
            }
        }
        cuts.reverse();
        cuts
    }

    /// How many versions of each space can be read now, and not after these cuts.
    fn lost(&self, old: &Retention, new: &[Cut]) -> Vec<(SpaceName, u64)> {
        let mut lost: BTreeMap<&SpaceName, u64> = BTreeMap::new();
        for cut in new {
            let Some(segment) = self.segments.get(&cut.segment) else { continue };
            let newest = self.newest.get(&cut.segment).copied().unwrap_or(segment.opened);
            let gone = |cut: &Cut| {
                let end = cut.border.0.min(newest.0.saturating_add(1));
                let kept = cut.kept.iter().filter(|kept| **kept >= segment.opened).count() as u64;
                end.saturating_sub(segment.opened.0).saturating_sub(kept)
            };
            let count = gone(cut).saturating_sub(cuts::cut(old, cut.segment).map_or(0, gone));
            if count > 0 {
                *lost.entry(&segment.space).or_default() += count;
            }
        }
        lost.into_iter().map(|(space, count)| (space.clone(), count)).collect()
    }
}
