//! The store does what a model of plain maps does, for any sequence of commits, conflicts, forks, rollbacks, reopenings,
//! crashes and losses of the state file.
//!
//! The model knows nothing of segments: it keeps the whole content of every version of every space.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use reel_abi::id::{CommitNo, SpaceName, Version};
use reel_abi::record::{CellValue, OutboxEntry};
use reel_store::{AppendError, Store};

use crate::support::*;

type Content = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

#[derive(Debug, Clone)]
enum Op {
    Commit { space: u8, cells: Vec<(u8, Vec<u8>, Option<u8>)>, outbox: bool },
    Stale { space: u8, back: u8 },
    Abort { space: u8 },
    Fork { from: u8, version: u8, to: u8 },
    Rollback { space: u8, version: u8 },
    Deliver { which: u8 },
    Settle,
    Reopen,
    LoseState,
    Kill,
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
        1 => any::<u8>().prop_map(|which| Op::Deliver { which }),
        3 => Just(Op::Settle),
        1 => Just(Op::Reopen),
        1 => Just(Op::LoseState),
        1 => Just(Op::Kill),
    ]
}

#[derive(Debug, Default)]
struct Model {
    /// Content of each version of each space.
    spaces: BTreeMap<SpaceName, Vec<Content>>,
    /// Versions made by commits.
    history: BTreeMap<SpaceName, Vec<(Version, CommitNo)>>,
    commits: u64,
    runs: u64,
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
                let head = self.store().head_or_new(&space).unwrap();
                let mut submission = whole(self.store(), &space, head, vec![], vec![]);
                submission.commit = None;
                let receipt = self.store().append(submission).unwrap();
                assert_eq!(receipt.committed, None);
                self.model.runs += 1;
                self.model.spaces.entry(space).or_insert_with(|| vec![Content::new()]);
            }
            Op::Fork { from, version, to } => self.fork(&space_name(*from), *version, space_name(*to)),
            Op::Rollback { space, version } => self.rollback(space_name(*space), *version),
            Op::Deliver { which } => {
                let open = &mut self.model.undelivered;
                if !open.is_empty() {
                    let commit = open.remove(usize::from(*which) % open.len());
                    self.store().delivered(commit).unwrap();
                }
            }
            Op::Settle => self.store().settle().unwrap(),
            Op::Reopen => self.reopen(),
            Op::LoseState => {
                self.store = None;
                let _ = fs::remove_file(self.dir().join("state.redb"));
                self.reopen();
            }
            Op::Kill => {
                let from = self.dir();
                self.store().blobs().flush().unwrap();
                self.generation += 1;
                copy_dir(&from, &self.dir());
                self.reopen();
            }
        }
    }

    fn commit(&mut self, space: u8, cells: &[(u8, Vec<u8>, Option<u8>)], outbox: bool) {
        let space = space_name(space);
        let cells: BTreeMap<(u8, Vec<u8>), Option<u8>> =
            cells.iter().map(|(family, key, value)| ((*family, key.clone()), *value)).collect();
        let head = self.store().head_or_new(&space).unwrap();
        let list = cells.iter().map(|((family, key), value)| cell(*family, key, value.map(|v| vec![v; 3]).as_deref()));
        let list: Vec<_> = list.collect();
        let outbox = if outbox { vec![outbox_entry()] } else { vec![] };
        let sends = !outbox.is_empty();
        let receipt = self.store().append(whole(self.store(), &space, head, list, outbox)).unwrap();
        let model = &mut self.model;
        model.runs += 1;
        model.commits += 1;
        let commit = CommitNo(model.commits);
        if sends {
            model.undelivered.push(commit);
        }
        let versions = model.spaces.entry(space.clone()).or_insert_with(|| vec![Content::new()]);
        if !cells.is_empty() {
            let mut content = versions.last().unwrap().clone();
            for (key, value) in cells {
                match value {
                    Some(value) => drop(content.insert(key, vec![value; 3])),
                    None => drop(content.remove(&key)),
                }
            }
            versions.push(content);
            let version = Version(versions.len() as u64 - 1);
            model.history.entry(space).or_default().push((version, commit));
        }
        let version = Version(versions.len() as u64 - 1);
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
        let answer = self.store().open_segment(&to, None, parent);
        match self.model.spaces.entry(to) {
            Entry::Occupied(_) => assert!(matches!(answer, Err(AppendError::Conflict { .. })), "{answer:?}"),
            Entry::Vacant(new) => {
                assert_eq!(answer.unwrap().version, Version(0));
                new.insert(vec![content]);
            }
        }
    }

    fn rollback(&mut self, space: SpaceName, version: u8) {
        let Some(versions) = self.model.spaces.get_mut(&space) else { return };
        let version = usize::from(version) % versions.len();
        let store = self.store.as_ref().unwrap();
        let head = store.head(&space).unwrap();
        let parent = store.head_at(&space, Version(version as u64)).unwrap().unwrap();
        let opened = store.open_segment(&space, head, parent).unwrap();
        assert_eq!(opened.version, Version(versions.len() as u64));
        versions.push(versions[version].clone());
    }

    /// Everything that can be asked, against everything that is known.
    fn compare(&self) {
        let (store, model) = (self.store(), &self.model);
        let heads = store.spaces().unwrap();
        let known: Vec<_> = model.spaces.iter().map(|(space, versions)| (space, versions.len() as u64 - 1)).collect();
        assert_eq!(heads.iter().map(|(space, head)| (space, head.version.0)).collect::<Vec<_>>(), known);
        for (space, versions) in &model.spaces {
            for (version, content) in versions.iter().enumerate() {
                self.compare_version(space, version, content);
            }
            let past = store.head_at(space, Version(versions.len() as u64)).unwrap();
            assert_eq!(past, None);
            let history = store.history(space).unwrap();
            let made: Vec<_> = history.iter().map(|(version, commit, _, _)| (*version, *commit)).collect();
            assert_eq!(made, model.history.get(space).cloned().unwrap_or_default());
        }
        let undelivered: Vec<_> = store.undelivered().unwrap().into_iter().map(|(commit, _)| commit).collect();
        let mut open = model.undelivered.clone();
        open.sort();
        assert_eq!(undelivered, open);
        let runs = store.runs(None, usize::MAX).unwrap();
        assert_eq!(runs.len() as u64, model.runs);
        assert!(runs.is_sorted_by(|a, b| a.run > b.run) && runs.iter().all(|run| run.end.is_some()));
        assert_eq!(store.newest_run(), runs.first().map(|run| run.run));
        assert_sound(store);
    }

    fn compare_version(&self, space: &SpaceName, version: usize, content: &Content) {
        let head = self.store().head_at(space, Version(version as u64)).unwrap().unwrap();
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_model_does(ops in prop::collection::vec(op(), 1..60)) {
        check(&ops);
    }
}
