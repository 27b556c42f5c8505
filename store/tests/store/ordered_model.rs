//! What is ordered follows a model of plain maps, whether the disk keeps up or not: transactions of all kinds, forks, rollbacks and
//! removals are decided against all that lies before them; who reads what is durable sees a prefix of that; and so does who
//! opens the database after a crash, with all that was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use proptest::prelude::*;
use reel_abi::id::{SpaceName, Version};
use reel_store::{AppendError, Head, JoinedRun, Part, Proposal, Receipt, Store, Submission};

use crate::interleavings::{Content, Done, Plan, content_of, execute, plan};
use crate::support::*;

#[derive(Debug, Clone)]
enum Op {
    /// With whether it waits for the disk, if that is possible.
    Txn(u8, Plan, bool),
    /// Parts in several spaces, decided together; or only asked for.
    Joined(Vec<(u8, Plan)>, bool),
    Fork {
        from: u8,
        back: u8,
        to: u8,
    },
    Rollback {
        space: u8,
        back: u8,
    },
    Remove(u8),
    Hold,
    Release,
    Settle,
    /// Looks at what a crash would leave.
    Crash,
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        16 => (0u8..3, plan(), prop::bool::weighted(0.1)).prop_map(|(space, plan, waits)| Op::Txn(space, plan, waits)),
        6 => (prop::collection::vec((0u8..3, plan()), 2..4), prop::bool::weighted(0.1)).prop_map(|(parts, asks)| Op::Joined(parts, asks)),
        2 => (0u8..3, 0u8..5, 0u8..3).prop_map(|(from, back, to)| Op::Fork { from, back, to }),
        2 => (0u8..3, 0u8..5).prop_map(|(space, back)| Op::Rollback { space, back }),
        1 => (0u8..3).prop_map(Op::Remove),
        3 => Just(Op::Hold),
        1 => Just(Op::Release),
        1 => Just(Op::Settle),
        1 => Just(Op::Crash),
        1 => Just(Op::Reopen),
    ]
}

fn space(number: u8) -> SpaceName {
    name(&format!("s{number}"))
}

type Keys = Vec<(u8, Vec<u8>)>;

/// A space in the order: where each version lives, what it holds, and what it wrote; `None` where it was opened.
#[derive(Default)]
struct Versions {
    heads: Vec<Head>,
    contents: Vec<Content>,
    written: Vec<Option<Keys>>,
    there: bool,
}

impl Versions {
    fn newest(&self) -> Option<Head> {
        self.heads.last().copied().filter(|_| self.there)
    }

    fn push(&mut self, head: Head, content: Content, written: Option<Keys>) {
        assert_eq!(head.version.0 as usize, self.heads.len());
        self.heads.push(head);
        self.contents.push(content);
        self.written.push(written);
        self.there = true;
    }

    fn back(&self, back: u64) -> Head {
        self.heads[self.heads.len().saturating_sub(1 + back as usize)]
    }
}

type Heads = BTreeMap<SpaceName, Head>;

struct Test {
    root: tempfile::TempDir,
    store: Option<Store>,
    gate: Option<Gate>,
    /// What has its place and waits for the disk.
    deeds: Vec<JoinHandle<()>>,
    spaces: BTreeMap<SpaceName, Versions>,
    /// Where all spaces stood after each change, in the order.
    order: Vec<Heads>,
    acknowledged: Arc<Mutex<Vec<(SpaceName, Head)>>>,
    copies: u32,
}

impl Test {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Some(open(&root.path().join("db")));
        let order = vec![Heads::new()];
        let (spaces, acknowledged) = (BTreeMap::new(), Arc::default());
        Self { root, store, gate: None, deeds: vec![], spaces, order, acknowledged, copies: 0 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn of(&mut self, space: &SpaceName) -> &mut Versions {
        self.spaces.entry(space.clone()).or_default()
    }

    /// Notes that something changed where a space stands.
    fn changed(&mut self) {
        let heads = self.spaces.iter().filter_map(|(space, of)| Some((space.clone(), of.newest()?)));
        self.order.push(heads.collect());
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Txn(number, plan, waits) => self.txn(&space(*number), plan, *waits),
            Op::Joined(plans, asks) => self.joined(plans, *asks),
            Op::Fork { from, back, to } => self.fork(&space(*from), u64::from(*back), &space(*to)),
            Op::Rollback { space: number, back } => self.rollback(&space(*number), u64::from(*back)),
            Op::Remove(number) => {
                let space = space(*number);
                if self.of(&space).newest().is_some() {
                    let of = space.clone();
                    self.deed(move |store| store.remove_space(&of, NOW).unwrap());
                    until(|| self.store().newest(&space).unwrap().is_none().then_some(()));
                    self.of(&space).there = false;
                    self.changed();
                }
            }
            Op::Hold if self.gate.is_none() => self.gate = Some(Gate::hold(self.store())),
            Op::Hold | Op::Release => self.release(),
            Op::Settle => self.store().settle().unwrap(),
            Op::Crash => self.crash(),
            Op::Reopen => {
                self.release();
                self.store = None;
                self.store = Some(open(&self.root.path().join("db")));
                let all = self.order.last().unwrap().clone();
                let spaces = self.store().spaces().unwrap().into_iter().filter(|(space, _)| space.as_str() != "gate");
                assert_eq!(spaces.collect::<Heads>(), all);
            }
        }
        self.check();
    }

    fn release(&mut self) {
        self.gate = None;
        self.deeds.drain(..).for_each(|deed| deed.join().unwrap());
    }

    /// Does what waits for the disk in another thread: it has its place long before.
    fn deed(&mut self, deed: impl FnOnce(&Store) + Send + 'static) {
        let store = self.store().clone();
        self.deeds.push(std::thread::spawn(move || deed(&store)));
    }

    fn txn(&mut self, space: &SpaceName, plan: &Plan, waits: bool) {
        let newest = self.store().newest_or_new(space).unwrap();
        let of = self.of(space);
        let fresh = of.newest().is_none();
        assert_eq!(of.newest().unwrap_or(newest), newest);
        assert_eq!(newest.version.0 as usize, of.heads.len() - usize::from(!fresh));
        let base = if fresh { newest } else { of.back(plan.back) };
        let read = if fresh { Content::new() } else { of.contents[base.version.0 as usize].clone() };
        let current = if fresh { Content::new() } else { of.contents.last().unwrap().clone() };
        let (mut submission, done) = execute(self.store(), base, plan);
        assert!(done.is_as_in(&read), "{plan:?} at {base:?}");
        submission.begun.as_mut().unwrap().space = space.clone();
        submission.commit.as_mut().unwrap().space = space.clone();
        let answer = if waits && self.gate.is_none() {
            self.store().append(submission)
        } else {
            let (acknowledged, space) = (self.acknowledged.clone(), space.clone());
            self.store().order(submission, move |answer| {
                let version = answer.unwrap().committed.unwrap().1;
                acknowledged.lock().unwrap().push((space, Head { version, ..base }));
            })
        };
        let writes = !done.cells.is_empty() || !done.counters.is_empty();
        match answer {
            Ok(Receipt { committed: Some((_, version)) }) => {
                if fresh {
                    self.of(space).push(newest, Content::new(), None);
                    self.changed();
                }
                if !writes {
                    assert_eq!(version, base.version);
                    return;
                }
                assert_eq!((base.segment, version), (newest.segment, newest.version.next()));
                assert!(done.is_as_in(&current), "{plan:?} is not serialisable as version {version}");
                let mut content = current;
                done.apply(&mut content);
                self.of(space).push(Head { version, ..newest }, content, Some(done.keys()));
                self.changed();
            }
            Err(AppendError::Conflict { .. }) => {
                assert!(writes && self.is_overtaken(space, base, newest, &done), "{plan:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// A transaction whose first part is that of its own space.
    fn joined(&mut self, plans: &[(u8, Plan)], asks: bool) {
        let mut parts: BTreeMap<SpaceName, (Head, Head, Submission, Done)> = BTreeMap::new();
        for (number, plan) in plans {
            let (name, store) = (space(*number), self.store().clone());
            let Some(newest) = self.of(&name).newest() else { continue };
            let base = self.of(&name).back(plan.back);
            let (mut submission, done) = execute(&store, base, plan);
            assert!(done.is_as_in(&self.of(&name).contents[base.version.0 as usize]), "{plan:?} at {base:?}");
            submission.begun.as_mut().unwrap().space = name.clone();
            submission.commit.as_mut().unwrap().space = name.clone();
            parts.insert(name, (base, newest, submission, done));
        }
        let mut names = parts.keys().cloned().collect::<Vec<_>>();
        if names.len() < 2 {
            return;
        }
        let first = usize::from(plans[0].0) % names.len();
        names.rotate_left(first);
        let mut submission = parts[&names[0]].2.clone();
        let proposal = submission.commit.as_mut().unwrap();
        proposal.joined.only_asks = asks;
        for name in &names[1..] {
            let Submission { run, begun, frames, commit, ending } = parts[name].2.clone();
            let Proposal { space, base, reads, cells, counters, .. } = commit.unwrap();
            proposal.joined.parts.push(Part { space, base, reads, cells, counters });
            let part = Some(proposal.joined.parts.len() - 1);
            proposal.joined.runs.push(JoinedRun { run, begun, frames, ending: ending.unwrap(), part });
        }
        let made = |done: &Done, base: Head, newest: Head| {
            let writes = !done.cells.is_empty() || !done.counters.is_empty();
            if writes { Head { version: newest.version.next(), ..newest } } else { base }
        };
        let heads: Vec<(SpaceName, Head)> =
            parts.iter().map(|(name, (base, newest, _, done))| (name.clone(), made(done, *base, *newest))).collect();
        let (acknowledged, told) = (self.acknowledged.clone(), heads.clone());
        let answer = self.store().order(submission, move |answer| {
            if answer.unwrap().committed.is_some() {
                acknowledged.lock().unwrap().extend(told);
            }
        });
        let overtaken =
            parts.iter().any(|(name, (base, newest, _, done))| self.is_overtaken(name, *base, *newest, done));
        match answer {
            Ok(Receipt { committed }) => {
                assert!(!overtaken, "{plans:?}");
                assert_eq!(committed.is_none(), asks);
                if asks {
                    return;
                }
                let own = heads.iter().find(|(name, _)| *name == names[0]).unwrap().1;
                assert_eq!(committed.unwrap().1, own.version);
                for ((name, head), (_, newest, _, done)) in heads.into_iter().zip(parts.values()) {
                    let mut content = self.of(&name).contents.last().unwrap().clone();
                    assert!(done.is_as_in(&content), "{plans:?} is not serialisable in {name}");
                    done.apply(&mut content);
                    if head == made(done, Head { version: Version(u64::MAX), ..*newest }, *newest) {
                        self.of(&name).push(head, content, Some(done.keys()));
                    }
                }
                self.changed();
            }
            Err(AppendError::Conflict { .. }) => assert!(overtaken, "{plans:?}"),
            other => panic!("{other:?}"),
        }
    }

    fn is_overtaken(&self, space: &SpaceName, base: Head, newest: Head, done: &Done) -> bool {
        let since = &self.spaces[space].written[base.version.0 as usize + 1..];
        base.segment != newest.segment || since.iter().flatten().flatten().any(|key| done.has_read(key))
    }

    fn fork(&mut self, from: &SpaceName, back: u64, to: &SpaceName) {
        if self.of(from).heads.is_empty() || self.of(to).there {
            return;
        }
        let at = self.of(from).back(back);
        let content = self.of(from).contents[at.version.0 as usize].clone();
        let (source, target) = (from.clone(), to.clone());
        self.deed(move |store| assert!(store.fork(&source, at, &target, NOW).is_ok()));
        let opened = until(|| self.store().newest(to).unwrap());
        self.of(to).push(opened, content, None);
        self.changed();
    }

    fn rollback(&mut self, space: &SpaceName, back: u64) {
        let Some(newest) = self.of(space).newest() else { return };
        let to = self.of(space).back(back);
        let content = self.of(space).contents[to.version.0 as usize].clone();
        let of = space.clone();
        self.deed(move |store| assert!(store.rollback(&of, newest, to, NOW).is_ok()));
        let opened = until(|| self.store().newest(space).unwrap().filter(|head| *head != newest));
        self.of(space).push(opened, content, None);
        self.changed();
    }

    /// Up to which change all is acknowledged: answers come in order.
    fn acknowledged(&self) -> usize {
        let acknowledged = self.acknowledged.lock().unwrap();
        let has = |heads: &Heads, space: &SpaceName, head: &Head| heads.get(space) == Some(head);
        let first = |(space, head): &(SpaceName, Head)| self.order.iter().position(|heads| has(heads, space, head));
        acknowledged.iter().filter_map(first).max().unwrap_or(0)
    }

    fn check(&self) {
        let store = self.store();
        let least = self.acknowledged();
        for (space, of) in &self.spaces {
            assert_eq!(store.newest(space).unwrap(), of.newest(), "{space}");
            let durable = store.head(space).unwrap();
            let stood: BTreeSet<_> =
                self.order[least..].iter().map(|heads| heads.get(space).map(|h| h.version)).collect();
            assert!(stood.contains(&durable.map(|head| head.version)), "{space} at {durable:?}, not in {stood:?}");
            for head in durable.into_iter().chain(of.newest()) {
                let content = &of.contents[head.version.0 as usize];
                assert_eq!(content_of(&store.view(head).unwrap()), *content, "{space} at {head:?}");
            }
        }
    }

    /// A copy of what is on disk while nothing is written there.
    fn crash(&mut self) {
        if self.gate.is_none() {
            self.gate = Some(Gate::hold(self.store()));
        }
        self.store().settle().unwrap();
        self.store().blobs().flush().unwrap();
        let least = self.acknowledged();
        self.copies += 1;
        let copy = self.root.path().join(format!("copy{}", self.copies));
        copy_dir(&self.root.path().join("db"), &copy);
        let crashed = open(&copy);
        let there = crashed.spaces().unwrap().into_iter().filter(|(space, _)| space.as_str() != "gate");
        let there: Heads = there.collect();
        assert!(self.order[least..].contains(&there), "{there:?} is no prefix from {least} on of {:?}", self.order);
        for (space, head) in &there {
            for (version, content) in self.spaces[space].contents.iter().enumerate().take(head.version.0 as usize + 1) {
                let head = crashed.head_at(space, Version(version as u64)).unwrap().unwrap();
                assert_eq!(content_of(&crashed.view(head).unwrap()), *content, "{space} at {head:?}");
            }
        }
        assert_sound(&crashed);
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        // Lest the store waits for a committer that is held up, when a check failed.
        self.gate = None;
    }
}

proptest! {
    #![proptest_config(generated(60))]

    #[test]
    fn what_is_ordered_follows_the_model(ops in prop::collection::vec(op(), 1..60)) {
        let mut test = Test::new();
        ops.iter().for_each(|op| test.run(op));
        test.release();
        test.run(&Op::Reopen);
        for (space, of) in &test.spaces {
            for head in &of.heads {
                let content = content_of(&test.store().view(*head).unwrap());
                assert_eq!(content, of.contents[head.version.0 as usize], "{space} at {head:?}");
            }
        }
        assert_sound(test.store());
    }
}
