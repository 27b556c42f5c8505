//! The store does what a model of plain maps does, for any sequence of commits, conflicts, forks, rollbacks, reopenings,
//! crashes and losses of the state file.
//!
//! The model knows nothing of segments: it keeps the whole content of every version of every space.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use reel_abi::id::{CommitNo, RunId, Seq, SpaceName, TagName, Version, WallTime};
use reel_abi::record::{CellValue, Frame, OutboxEntry};
use reel_store::{AppendError, Head, Made, Policy, ReadError, RetentionPlan, Store, Tag, VersionRecord};

use crate::support::*;

type Key = (u8, Vec<u8>);

/// Where a space was opened, and what lies under it.
type Stretch = (SpaceName, Version, Option<(SpaceName, Version)>);

type Content = BTreeMap<Key, Vec<u8>>;

#[derive(Debug, Clone)]
enum Op {
    Commit {
        space: u8,
        cells: Vec<(u8, Vec<u8>, Option<u8>)>,
        outbox: bool,
    },
    Stale {
        space: u8,
        back: u8,
    },
    Abort {
        space: u8,
    },
    Fork {
        from: u8,
        version: u8,
        to: u8,
    },
    Rollback {
        space: u8,
        version: u8,
    },
    Remove {
        space: u8,
    },
    Tag {
        tag: u8,
        space: u8,
        version: u8,
    },
    Untag {
        tag: u8,
    },
    Deliver {
        which: u8,
    },
    Settle,
    Flatten {
        deep: usize,
        cells: usize,
        steps: usize,
    },
    Reopen,
    LoseState,
    Kill,
    Compact,
    /// With the place at which it is cut off, if it gets there.
    Retain {
        before: u8,
        keep_tagged: bool,
        cut: Option<u8>,
    },
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255), Just(b'a')], 0..4),
        (0u64..4).prop_map(|n| n.to_be_bytes().to_vec()),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let cell = (1u8..3, key(), prop::option::weighted(0.7, any::<u8>()));
    prop_oneof![
        12 => (0u8..4, prop::collection::vec(cell, 0..6), prop::bool::weighted(0.2))
            .prop_map(|(space, cells, outbox)| Op::Commit { space, cells, outbox }),
        1 => (0u8..4, 1u8..3).prop_map(|(space, back)| Op::Stale { space, back }),
        1 => (0u8..4).prop_map(|space| Op::Abort { space }),
        2 => (0u8..4, any::<u8>(), 0u8..4).prop_map(|(from, version, to)| Op::Fork { from, version, to }),
        2 => (0u8..4, any::<u8>()).prop_map(|(space, version)| Op::Rollback { space, version }),
        1 => (0u8..4).prop_map(|space| Op::Remove { space }),
        1 => (0u8..2, 0u8..4, any::<u8>()).prop_map(|(tag, space, version)| Op::Tag { tag, space, version }),
        1 => (0u8..2).prop_map(|tag| Op::Untag { tag }),
        1 => any::<u8>().prop_map(|which| Op::Deliver { which }),
        3 => Just(Op::Settle),
        3 => (0usize..4, 1usize..6, 0usize..30).prop_map(|(deep, cells, steps)| Op::Flatten { deep, cells, steps }),
        1 => Just(Op::Reopen),
        1 => Just(Op::LoseState),
        1 => Just(Op::Kill),
        1 => Just(Op::Compact),
        3 => (any::<u8>(), any::<bool>(), prop::option::weighted(0.4, 0u8..9))
            .prop_map(|(before, keep_tagged, cut)| Op::Retain { before, keep_tagged, cut }),
    ]
}

#[derive(Debug, Default)]
struct Model {
    /// Content of each version of each space, removed ones too, and what was written to each key up to there.
    spaces: BTreeMap<SpaceName, Vec<Content>>,
    removed: BTreeSet<SpaceName>,
    tags: BTreeMap<TagName, Tag>,
    /// Versions made by commits and branches.
    history: BTreeMap<SpaceName, Vec<VersionRecord>>,
    /// The time of each version, if it has one.
    times: BTreeMap<(SpaceName, Version), WallTime>,
    clock: u64,
    /// The keys that each commit wrote.
    written: BTreeMap<(SpaceName, Version), Vec<Key>>,
    commits: u64,
    /// Where each run began, and when it ended.
    runs: BTreeMap<RunId, (SpaceName, Version, WallTime)>,
    /// What lies under each stretch of versions, in the order in which they were opened.
    stretches: Vec<Stretch>,
    /// When names were removed that are.
    ended: BTreeMap<SpaceName, WallTime>,
    /// What retention removed.
    gone: BTreeSet<(SpaceName, Version)>,
    /// The latest moment that a retention was to keep.
    kept_from: WallTime,
    /// Whether there was one.
    retained: bool,
    undelivered: Vec<CommitNo>,
}

struct Test {
    root: tempfile::TempDir,
    generation: u32,
    store: Option<Store>,
    model: Model,
}

impl Test {
    fn dir(&self) -> PathBuf {
        self.root.path().join(format!("{}", self.generation))
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        // Small log files, so that some of these sequences rotate.
        self.store = Some(Store::open_with_log_file_bytes(&self.dir(), "test", 150_000).unwrap());
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Commit { space, cells, outbox } => self.commit(*space, cells, *outbox),
            Op::Stale { space, back } => self.stale(*space, u64::from(*back)),
            Op::Abort { space } => {
                let space = space_name(*space);
                let head = self.begin(&space);
                let mut submission = whole(self.store(), &space, head, vec![], vec![]);
                submission.begun.as_mut().unwrap().at = self.model.now();
                submission.commit = None;
                let at = self.model.now();
                submission.ending.as_mut().unwrap().at = at;
                let run = submission.run;
                let receipt = self.store().append(submission).unwrap();
                assert_eq!(receipt.committed, None);
                self.model.runs.insert(run, (space, head.version, at));
            }
            Op::Fork { from, version, to } => self.fork(&space_name(*from), *version, space_name(*to)),
            Op::Rollback { space, version } => self.rollback(space_name(*space), *version),
            Op::Remove { space } => self.remove(space_name(*space)),
            Op::Tag { tag, space, version } => self.tag(tag_name(*tag), space_name(*space), *version),
            Op::Untag { tag } => {
                let answer = self.store().remove_tag(&tag_name(*tag), WallTime(1));
                match self.model.tags.remove(&tag_name(*tag)) {
                    Some(_) => answer.unwrap(),
                    None => assert!(matches!(answer, Err(AppendError::NoSuchTag(_))), "{answer:?}"),
                }
            }
            Op::Deliver { which } => {
                let open = &mut self.model.undelivered;
                if !open.is_empty() {
                    let commit = open.remove(usize::from(*which) % open.len());
                    self.store().delivered(commit).unwrap();
                }
            }
            Op::Flatten { deep, cells, steps } => {
                self.store().settle().unwrap();
                self.store().flatten(*deep, *cells, *steps).unwrap();
            }
            Op::Settle => self.store().settle().unwrap(),
            Op::Reopen => self.reopen(),
            Op::LoseState => {
                self.store = None;
                let _ = fs::remove_file(self.dir().join("state.redb"));
                self.reopen();
            }
            Op::Compact => {
                for (file, before, after) in self.store().compact().unwrap() {
                    assert!(after <= before, "{file} grew from {before} to {after}");
                }
            }
            Op::Retain { before, keep_tagged, cut } => self.retain(*before, *keep_tagged, *cut),
            Op::Kill => {
                let from = self.dir();
                self.store().blobs().flush().unwrap();
                self.generation += 1;
                copy_dir(&from, &self.dir());
                self.reopen();
            }
        }
    }

    /// Where a run in the space begins; it is made if it is not there.
    fn begin(&mut self, space: &SpaceName) -> Head {
        let head = self.store().head_or_new(space).unwrap();
        let model = &mut self.model;
        let new = !model.spaces.contains_key(space) || model.removed.remove(space);
        if new {
            let version = model.push(space, Content::new());
            model.ended.remove(space);
            model.stretches.push((space.clone(), version, None));
            model.clock += 1;
            model.times.insert((space.clone(), version), WallTime(model.clock));
        }
        assert_eq!(head.version.0 as usize + 1, model.spaces[space].len());
        head
    }

    fn commit(&mut self, space: u8, cells: &[(u8, Vec<u8>, Option<u8>)], outbox: bool) {
        let space = space_name(space);
        let cells: BTreeMap<(u8, Vec<u8>), Option<u8>> =
            cells.iter().map(|(family, key, value)| ((*family, key.clone()), *value)).collect();
        let head = self.begin(&space);
        let list = cells.iter().map(|((family, key), value)| cell(*family, key, value.map(|v| vec![v; 3]).as_deref()));
        let list: Vec<_> = list.collect();
        let outbox = if outbox { vec![outbox_entry()] } else { vec![] };
        let sends = !outbox.is_empty();
        let mut submission = whole(self.store(), &space, head, list, outbox);
        submission.begun.as_mut().unwrap().at = self.model.now();
        submission.frames = vec![large_frame(submission.run)];
        self.model.clock += 1;
        let at = self.model.now();
        submission.ending.as_mut().unwrap().at = at;
        submission.commit.as_mut().unwrap().at = at;
        let run = submission.run;
        let receipt = self.store().append(submission).unwrap();
        let model = &mut self.model;
        model.runs.insert(run, (space.clone(), head.version, at));
        model.commits += 1;
        let commit = CommitNo(model.commits);
        if sends {
            model.undelivered.push(commit);
        }
        let versions = &model.spaces[&space];
        if !cells.is_empty() {
            let mut content = versions.last().unwrap().clone();
            let keys: Vec<_> = cells.keys().cloned().collect();
            for (key, value) in cells {
                match value {
                    Some(value) => drop(content.insert(key, vec![value; 3])),
                    None => drop(content.remove(&key)),
                }
            }
            let version = model.push(&space, content);
            model.written.insert((space.clone(), version), keys);
            model.made(&space, version, Made::Commit { commit, run });
        }
        let version = Version(model.spaces[&space].len() as u64 - 1);
        assert_eq!(receipt.committed, Some((commit, version)));
    }

    fn stale(&mut self, space: u8, back: u64) {
        let space = space_name(space);
        let Some(mut head) = self.store().head(&space).unwrap() else { return };
        if head.version.0 < back {
            return;
        }
        head.version.0 -= back;
        let submission = whole(self.store(), &space, head, vec![cell(1, b"lost", Some(b"lost"))], vec![]);
        let run = submission.run;
        let answer = self.store().append(submission);
        assert!(matches!(answer, Err(AppendError::Conflict { .. })), "{answer:?}");
        assert_eq!(self.store().run(run).unwrap(), None);
    }

    fn fork(&mut self, from: &SpaceName, version: u8, to: SpaceName) {
        let Some(versions) = self.model.spaces.get(from) else { return };
        let version = usize::from(version) % versions.len();
        let content = versions[version].clone();
        let parent = self.store().head_at(from, Version(version as u64)).unwrap().unwrap();
        self.model.clock += 1;
        let answer = self.store().fork(from, parent, &to, self.model.now());
        if self.model.is_gone(from, version) {
            assert!(matches!(answer, Err(AppendError::Pruned { .. })), "{answer:?}");
            return;
        }
        let never = Head { version: Version(999), ..parent };
        let future = self.store().fork(from, never, &name("future"), WallTime(1));
        assert!(matches!(future, Err(AppendError::NoSuchVersion { .. })), "{future:?}");
        if self.model.lives(&to) {
            assert!(matches!(answer, Err(AppendError::Exists { .. })), "{answer:?}");
            return;
        }
        let source = from.clone();
        let (of, model) = (Version(version as u64), &mut self.model);
        model.removed.remove(&to);
        let opened = model.push(&to, content);
        model.ended.remove(&to);
        model.stretches.push((to.clone(), opened, Some((source.clone(), of))));
        assert_eq!(answer.unwrap().version, opened);
        let again = source == to;
        model.made(&to, opened, if again { Made::Rollback { to: of } } else { Made::Fork { source, version: of } });
    }

    fn rollback(&mut self, space: SpaceName, version: u8) {
        let Some(versions) = self.model.spaces.get(&space) else { return };
        let version = usize::from(version) % versions.len();
        let content = versions[version].clone();
        let to = Version(version as u64);
        let parent = self.store().head_at(&space, to).unwrap().unwrap();
        self.model.clock += 1;
        let now = self.model.now();
        let Some(head) = self.store().head(&space).unwrap() else {
            assert!(!self.model.lives(&space));
            let answer = self.store().rollback(&space, parent, parent, now);
            assert!(matches!(answer, Err(AppendError::NoSuchSpace(_))), "{answer:?}");
            return;
        };
        if parent != head {
            let answer = self.store().rollback(&space, parent, parent, now);
            assert!(matches!(answer, Err(AppendError::Moved { .. })), "{answer:?}");
        }
        let answer = self.store().rollback(&space, head, parent, now);
        if self.model.is_gone(&space, version) {
            assert!(matches!(answer, Err(AppendError::Pruned { .. })), "{answer:?}");
            return;
        }
        let opened = answer.unwrap();
        self.model.stretches.push((space.clone(), opened.version, Some((space.clone(), to))));
        assert_eq!(opened.version, self.model.push(&space, content));
        self.model.made(&space, opened.version, Made::Rollback { to });
    }

    fn remove(&mut self, space: SpaceName) {
        let at = self.model.now();
        let answer = self.store().remove_space(&space, at);
        if self.model.lives(&space) {
            answer.unwrap();
            self.model.ended.insert(space.clone(), at);
            self.model.removed.insert(space);
        } else {
            assert!(matches!(answer, Err(AppendError::NoSuchSpace(_))), "{answer:?}");
        }
    }

    fn tag(&mut self, tag: TagName, space: SpaceName, version: u8) {
        let Some(versions) = self.model.spaces.get(&space) else { return };
        let version = Version((usize::from(version) % versions.len()) as u64);
        let head = self.store().head_at(&space, version).unwrap().unwrap();
        let at = self.model.now();
        let answer = self.store().set_tag(&tag, &space, head, at);
        if self.model.is_gone(&space, version.0 as usize) {
            assert!(matches!(answer, Err(AppendError::Pruned { .. })), "{answer:?}");
            return;
        }
        answer.unwrap();
        self.model.tags.insert(tag.clone(), Tag { tag, space, head, at });
    }

    fn retain(&mut self, before: u8, keep_tagged: bool, cut: Option<u8>) {
        let before = WallTime(u64::from(before) * (self.model.clock + 2) / 255);
        let policy =
            Policy { at: self.model.now(), words: "test".into(), before, keep_tagged, needed: BTreeSet::new() };
        let next = self.root.path().join(format!("{}", self.generation + 1));
        let (from, mut place) = (self.dir(), 0);
        let mut watch = || {
            if cut == Some(place) {
                copy_dir(&from, &next);
            }
            place += 1;
        };
        let old = self.model.gone.clone();
        self.model.retain(before, keep_tagged);
        let lost = self.model.gone.len() - old.len();
        let store = self.store();
        let plan = store.plan_retention(&policy).unwrap();
        let report = store.retain_watched(&policy, &mut |_, _| Ok(vec![]), &mut watch).unwrap();
        assert_eq!(RetentionPlan { blobs: None, ..report.removed }, plan);
        assert_eq!(plan.spaces.iter().map(|(_, count)| *count).sum::<u64>(), lost as u64);
        if cut.is_some_and(|cut| cut < place) {
            // The first place is before the log says anything.
            if cut == Some(0) {
                self.model.gone = old;
            }
            self.generation += 1;
            self.reopen();
        }
    }

    /// Everything that can be asked, against everything that is known.
    fn compare(&self) {
        let (store, model) = (self.store(), &self.model);
        let heads = store.spaces().unwrap();
        let living = model.spaces.iter().filter(|(space, _)| !model.removed.contains(*space));
        let known: Vec<_> = living.map(|(space, versions)| (space, versions.len() as u64 - 1)).collect();
        assert_eq!(heads.iter().map(|(space, head)| (space, head.version.0)).collect::<Vec<_>>(), known);
        for (space, versions) in &model.spaces {
            for (version, content) in versions.iter().enumerate() {
                self.compare_version(space, version, content);
            }
            let past = store.head_at(space, Version(versions.len() as u64)).unwrap();
            assert_eq!(past, None);
            assert_eq!(store.history(space).unwrap(), model.history.get(space).cloned().unwrap_or_default());
            for moment in (0..=model.clock + 1).map(WallTime) {
                let of_space = model.times.iter().filter(|((of, _), at)| of == space && **at <= moment);
                let known = of_space.map(|((_, version), _)| *version).max();
                assert_eq!(store.version_at(space, moment).unwrap(), known, "{space} at {moment}");
            }
        }
        assert_eq!(store.tags().unwrap(), model.tags.values().cloned().collect::<Vec<_>>());
        for tag in 0..2 {
            assert_eq!(store.tag(&tag_name(tag)).unwrap(), model.tags.get(&tag_name(tag)).cloned());
        }
        self.compare_changed();
        let undelivered: Vec<_> = store.undelivered().unwrap().into_iter().map(|(commit, _)| commit).collect();
        let mut open = model.undelivered.clone();
        open.sort();
        assert_eq!(undelivered, open);
        let runs = store.runs(None, usize::MAX).unwrap();
        let first = runs.len() / 2;
        let mut open: Vec<_> = runs[..first].iter().filter(|record| record.end.is_none()).cloned().collect();
        open.reverse();
        let after = runs.get(first).map_or(RunId(0), |record| record.run.next());
        assert_eq!(store.runs_without_end(after).unwrap(), open);
        assert_eq!(runs.len(), model.runs.len());
        for run in &runs {
            // Those of the present keep their events, the others keep them or say that they are gone.
            match store.frames(run.run, Seq(0)) {
                Ok(frames) => assert_eq!(store.frame(&frames[0]).unwrap().count, 3),
                Err(ReadError::Pruned { .. }) => assert!(model.runs[&run.run].2 < model.kept_from, "{}", run.run),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(runs.is_sorted_by(|a, b| a.run > b.run) && runs.iter().all(|run| run.end.is_some()));
        assert_eq!(store.newest_run(), runs.first().map(|run| run.run));
        assert_sound(store);
    }

    /// What may have changed holds all that has, and nothing that was never written between the two.
    fn compare_changed(&self) {
        let versions: Vec<(&SpaceName, usize)> = self
            .model
            .spaces
            .iter()
            .flat_map(|(space, all)| (0..all.len()).map(move |version| (space, version)))
            .collect();
        let head = |(space, version): (&SpaceName, usize)| {
            self.store().head_at(space, Version(version as u64)).unwrap().unwrap()
        };
        let versions: Vec<_> =
            versions.into_iter().filter(|(space, version)| !self.model.is_gone(space, *version)).collect();
        let steps = versions.len().div_ceil(12);
        for a in versions.iter().step_by(steps.max(1)) {
            for b in &versions {
                let changed = self.store().changed(head(*a), head(*b)).unwrap();
                assert!(changed.is_sorted_by(|a, b| a < b));
                let (one, two) = (&self.model.spaces[a.0][a.1], &self.model.spaces[b.0][b.1]);
                for key in one.keys().chain(two.keys()) {
                    assert!(one.get(key) == two.get(key) || changed.contains(key), "{key:?} between {a:?} and {b:?}");
                }
                let (before, after) = (a.1.min(b.1), a.1.max(b.1));
                if head(*a).segment == head(*b).segment && !self.model.retained {
                    let written = |version: usize| self.model.written.get(&(a.0.clone(), Version(version as u64)));
                    let known: BTreeSet<_> = (before + 1..=after).filter_map(written).flatten().cloned().collect();
                    assert_eq!(changed, known.into_iter().collect::<Vec<_>>());
                }
            }
        }
    }

    fn compare_version(&self, space: &SpaceName, version: usize, content: &Content) {
        let head = self.store().head_at(space, Version(version as u64)).unwrap().unwrap();
        if self.model.is_gone(space, version) {
            let refused = self.store().view(head);
            assert!(matches!(refused, Err(ReadError::Pruned { .. })), "{space}@{version} {refused:?}");
            return;
        }
        let view = self.store().view(head).unwrap();
        for family in 1..3 {
            let inline = |(key, value): (Vec<u8>, CellValue)| match value {
                CellValue::Inline { bytes } => (key, bytes.0),
                other => panic!("{other:?}"),
            };
            let all = view.scan(family, &[], None, usize::MAX).unwrap();
            let all: Vec<_> = all.into_iter().map(inline).collect();
            let of_family = content.iter().filter(|((of, _), _)| *of == family);
            let known: Vec<_> = of_family.map(|((_, key), value)| (key.clone(), value.clone())).collect();
            assert_eq!(all, known, "{space}@{version} family {family}");
            let (from, until): (&[u8], &[u8]) = (&[0, 0], &[1, 255]);
            let some = view.scan(family, from, Some(until), 2).unwrap();
            let some: Vec<_> = some.into_iter().map(inline).collect();
            let within = known.iter().filter(|(key, _)| **key >= *from && **key < *until);
            assert_eq!(some, within.take(2).cloned().collect::<Vec<_>>());
            for (key, value) in &known {
                let found = view.get(family, key).unwrap();
                assert_eq!(found, Some(CellValue::Inline { bytes: value.clone().into() }));
            }
            for absent in [b"lost".as_slice(), b"zz"] {
                assert_eq!(view.get(family, absent).unwrap(), None);
            }
        }
    }
}

impl Model {
    fn now(&self) -> WallTime {
        WallTime(self.clock)
    }

    fn lives(&self, space: &SpaceName) -> bool {
        self.spaces.contains_key(space) && !self.removed.contains(space)
    }

    fn is_gone(&self, space: &SpaceName, version: usize) -> bool {
        self.gone.contains(&(space.clone(), Version(version as u64)))
    }

    /// What stays: what is not older, what was the newest then, what has a tag, where a run of that time began, and what lies
    /// under any of it.
    fn retain(&mut self, before: WallTime, keep_tagged: bool) {
        let mut kept: BTreeSet<(SpaceName, Version)> = BTreeSet::new();
        for (space, versions) in &self.spaces {
            let all = (0..versions.len() as u64).map(Version);
            let first = all.clone().find(|v| self.times.get(&(space.clone(), *v)).is_some_and(|at| *at >= before));
            let ended = self.ended.get(space).is_some_and(|at| *at < before);
            let from = first.map(|first| Version(first.0.saturating_sub(1)));
            let from = from.or((!ended).then_some(Version(versions.len() as u64 - 1)));
            kept.extend(all.filter(|version| from.is_some_and(|from| *version >= from)).map(|v| (space.clone(), v)));
        }
        if keep_tagged {
            kept.extend(self.tags.values().map(|tag| (tag.space.clone(), tag.head.version)));
        }
        let recent = self.runs.values().filter(|(_, _, ended)| *ended >= before);
        kept.extend(recent.map(|(space, version, _)| (space.clone(), *version)));
        kept.retain(|version| !self.gone.contains(version));
        for (index, (space, opened, under)) in self.stretches.iter().enumerate().rev() {
            let later = self.stretches[index + 1..].iter().find(|(of, _, _)| of == space);
            let end = later.map_or(Version(u64::MAX), |(_, opened, _)| *opened);
            let mut of_stretch = kept.range((space.clone(), *opened)..(space.clone(), end));
            if let Some(under) = under.clone().filter(|_| of_stretch.next().is_some()) {
                kept.insert(under);
            }
        }
        for (space, versions) in &self.spaces {
            let all = (0..versions.len() as u64).map(|version| (space.clone(), Version(version)));
            self.gone.extend(all.filter(|version| !kept.contains(version)));
        }
        self.retained = true;
        self.kept_from = self.kept_from.max(before);
    }

    fn push(&mut self, space: &SpaceName, content: Content) -> Version {
        let versions = self.spaces.entry(space.clone()).or_default();
        versions.push(content);
        Version(versions.len() as u64 - 1)
    }

    fn made(&mut self, space: &SpaceName, version: Version, made: Made) {
        let at = self.now();
        self.times.insert((space.clone(), version), at);
        self.history.entry(space.clone()).or_default().push(VersionRecord { version, at, made });
    }
}

/// So large that log files are soon full.
fn large_frame(run: RunId) -> Frame {
    let mut seed = run.0;
    let raw = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as u8
    });
    let raw: Vec<u8> = raw.take(20_000).collect();
    Frame::pack(run, Seq(0), 3, (WallTime(1), WallTime(2)), &raw).unwrap()
}

fn tag_name(number: u8) -> TagName {
    ["t", "ta"][usize::from(number)].parse().unwrap()
}

fn space_name(number: u8) -> SpaceName {
    // One name a prefix of the other, as keys of tables are easily mixed up.
    name(["a", "ab", "b", "a.b"][usize::from(number)])
}

fn outbox_entry() -> OutboxEntry {
    let dir = reel_abi::outcome::DirGrant { host: "/h".into(), guest: "/g".into(), read_only: false };
    OutboxEntry { dir, changes: vec![reel_abi::record::HostChange::Absent { path: "x".into() }] }
}

fn check(ops: &[Op]) {
    let root = tempfile::tempdir().unwrap();
    let mut test = Test { root, generation: 0, store: None, model: Model::default() };
    test.reopen();
    for (number, op) in ops.iter().enumerate() {
        test.run(op);
        if number % 16 == 15 {
            test.compare();
        }
    }
    test.compare();
    test.run(&Op::Reopen);
    test.compare();
    test.run(&Op::LoseState);
    test.run(&Op::Settle);
    test.compare();
}

/// How many cases, and which: the same ones each time, unless `REEL_CASES` asks for more or `REEL_SEED` for others.
fn cases(standard: u32) -> ProptestConfig {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    ProptestConfig {
        cases: number("REEL_CASES").map_or(standard, |cases| cases as u32),
        rng_seed: RngSeed::Fixed(number("REEL_SEED").unwrap_or(1)),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn does_what_the_model_does(ops in prop::collection::vec(op(), 1..60)) {
        check(&ops);
    }
}
