//! Committed transactions are serialisable in the order of their versions: what each has read is what the version before its own
//! held. Random interleavings against a map, and no conflict without a cause.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reel_abi::id::{SpaceName, Version};
use reel_abi::record::{Cell, CellValue};
use reel_abi::wire::Wire;
use reel_store::{AppendError, Counter, Head, Proposal, Receipt, Store, View};

use crate::support::*;
use crate::txn::{SPACE, Txn, inline};

/// What a transaction of a random interleaving does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many versions its base lies back.
    pub back: u64,
    gets: Vec<u8>,
    scans: Vec<(u8, Option<u8>)>,
    puts: Vec<(u8, Option<u8>)>,
    counts: Vec<(u8, i8)>,
}

pub fn plan() -> impl Strategy<Value = Plan> {
    let gets = prop::collection::vec(0u8..24, 0..3);
    let scans = prop::collection::vec((0u8..24, prop::option::weighted(0.8, 0u8..26)), 0..2);
    let puts = prop::collection::vec((0u8..24, prop::option::weighted(0.8, any::<u8>())), 0..3);
    let counts = prop::collection::vec((0u8..2, any::<i8>()), 0..2);
    (0u64..6, gets, scans, puts, counts).prop_map(|(back, gets, scans, puts, counts)| Plan {
        back,
        gets,
        scans,
        puts,
        counts,
    })
}

pub type Content = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// From, until, and what was found between.
type Scanned = (u8, Option<u8>, Vec<(Vec<u8>, Vec<u8>)>);

/// All that a transaction read and wrote, to be held against the version before its own.
pub struct Done {
    base: Head,
    gets: Vec<(u8, Option<Vec<u8>>)>,
    scans: Vec<Scanned>,
    pub cells: Vec<Cell>,
    pub counters: Vec<Counter>,
}

impl Done {
    pub fn is_as_in(&self, content: &Content) -> bool {
        let gets = self.gets.iter().all(|(key, value)| content.get(&(1, vec![*key])) == value.as_ref());
        gets && self.scans.iter().all(|(from, until, found)| {
            let within = content.iter().filter(|((family, key), _)| {
                *family == 1
                    && key.as_slice() >= [*from].as_slice()
                    && until.is_none_or(|u| key.as_slice() < [u].as_slice())
            });
            within.map(|((_, key), value)| (key.clone(), value.clone())).eq(found.iter().cloned())
        })
    }

    pub fn has_read(&self, (family, key): &(u8, Vec<u8>)) -> bool {
        let gets = self.gets.iter().any(|(got, _)| *key == [*got]);
        let inside = |(from, until, _): &Scanned| {
            *key.as_slice() >= [*from][..] && until.is_none_or(|until| *key.as_slice() < [until][..])
        };
        *family == 1 && (gets || self.scans.iter().any(inside))
    }

    pub fn keys(&self) -> Vec<(u8, Vec<u8>)> {
        let cells = self.cells.iter().map(|cell| (cell.family, cell.key.0.clone()));
        cells.chain(self.counters.iter().map(|counter| (counter.family, counter.key.clone()))).collect()
    }

    pub fn apply(&self, content: &mut Content) {
        for cell in &self.cells {
            let key = (cell.family, cell.key.0.clone());
            match &cell.value {
                CellValue::Inline { bytes } => drop(content.insert(key, bytes.0.clone())),
                _ => drop(content.remove(&key)),
            }
        }
        for Counter { family, key, add } in &self.counters {
            let old = content.get(&(*family, key.clone())).map_or(0, |bytes| u64::from_bytes(bytes).unwrap());
            content.insert((*family, key.clone()), old.saturating_add_signed(*add).to_bytes());
        }
    }
}

pub fn execute(store: &Store, base: Head, plan: &Plan) -> (reel_store::Submission, Done) {
    let mut txn = Txn::begin(store, base);
    let gets = plan.gets.iter().map(|key| (*key, txn.get(&[*key]))).collect();
    let scans = plan.scans.iter().map(|(from, until)| {
        (*from, *until, txn.scan(&[*from], until.map(|until| [until]).as_ref().map(|until| until.as_slice())))
    });
    let scans = scans.collect();
    for (key, value) in &plan.puts {
        txn.cells.insert((1, vec![*key]), value.map(|value| vec![value; 2]));
    }
    for (key, add) in &plan.counts {
        txn.count(&[*key], i64::from(*add));
    }
    let proposal = txn.proposal();
    let Proposal { cells, counters, .. } = proposal.clone();
    let mut submission = whole(store, &name(SPACE), base, vec![], vec![]);
    submission.commit = Some(proposal);
    (submission, Done { base, gets, scans, cells, counters })
}

fn content_at(store: &Store, space: &SpaceName, version: u64) -> Content {
    content_of(&store.view(store.head_at(space, Version(version)).unwrap().unwrap()).unwrap())
}

pub fn content_of(view: &View) -> Content {
    let all = (1..3u8).flat_map(|family| {
        let found = view.scan(family, &[], None, usize::MAX).unwrap();
        found.into_iter().map(move |(key, value)| ((family, key), inline(value)))
    });
    all.collect()
}

/// Executes the plans in groups of `together`, each group on bases of the moment, submitted at once and in one batch if it may be.
fn interleave(plans: &[Plan], together: usize) {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let space = name(SPACE);
    put(&store, SPACE, vec![cell(1, &[0], Some(b"first"))]).unwrap();
    let mut versions = vec![Content::new(), Content::from([((1, vec![0]), b"first".to_vec())])];
    let mut written = vec![vec![], vec![(1, vec![0])]];
    for (number, group) in plans.chunks(together).enumerate() {
        let head = store.head(&space).unwrap().unwrap();
        let (told, answers) = std::sync::mpsc::channel();
        let done: Vec<Done> = group
            .iter()
            .enumerate()
            .map(|(at, plan)| {
                let version = Version(head.version.0.saturating_sub(plan.back));
                let (submission, done) = execute(&store, Head { version, ..head }, plan);
                let told = told.clone();
                store.append_then(submission, move |answer| told.send((at, answer)).unwrap()).unwrap();
                done
            })
            .collect();
        for (at, answer) in answers.iter().take(group.len()) {
            let done = &done[at];
            let current = versions.last().unwrap();
            let writes = !done.cells.is_empty() || !done.counters.is_empty();
            match answer {
                Ok(Receipt { committed: Some((_, version)) }) if !writes => {
                    assert_eq!(version, done.base.version);
                    assert!(done.is_as_in(&versions[version.0 as usize]));
                }
                Ok(Receipt { committed: Some((_, version)) }) => {
                    assert_eq!(version.0, versions.len() as u64);
                    assert!(done.is_as_in(current), "{:?} is not serialisable as version {version}", group[at]);
                    let mut next = current.clone();
                    done.apply(&mut next);
                    versions.push(next);
                    written.push(done.keys());
                }
                Err(AppendError::Conflict { .. }) => {
                    let since = &written[done.base.version.0 as usize + 1..];
                    assert!(writes && since.iter().flatten().any(|key| done.has_read(key)), "{:?}", group[at]);
                }
                other => panic!("{other:?}"),
            }
        }
        if number % 5 == 4 {
            store.settle().unwrap();
            drop(store);
            store = open(root.path());
        }
    }
    for (version, content) in versions.iter().enumerate() {
        assert_eq!(content_at(&store, &space, version as u64), *content, "version {version}");
    }
    assert_sound(&store);
}

proptest! {
    #![proptest_config(generated(60))]

    #[test]
    fn every_interleaving_is_serialisable(plans in prop::collection::vec(plan(), 1..60), together in 1usize..12) {
        interleave(&plans, together);
    }
}
