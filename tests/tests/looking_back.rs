//! What is told of the past is what was: differences turn the one version into the other, histories name every version that changed something.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reel_abi::id::{SpaceName, Version, WallTime};
use reel_abi::types::NodeKind;
use reel_host::runtime::cells::length;
use reel_host::runtime::diff::{Difference, diff};
use reel_host::runtime::files_at::FilesAt;
use reel_host::runtime::keys_at::KeysAt;
use reel_host::runtime::named::named;
use reel_host::runtime::past::{Found, Subject, is_kept, past};
use reel_store::{Head, Made, Policy, Store};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};
use reel_tests::script::{self, cases};

/// All that a version holds: bytes of files and targets of links by path, nothing for directories; values by bucket and key.
#[derive(Debug, Clone, Default, PartialEq)]
struct Contents {
    paths: BTreeMap<String, (NodeKind, Vec<u8>)>,
    keys: BTreeMap<(Vec<u8>, Vec<u8>), Vec<u8>>,
}

impl Contents {
    fn of(store: &Store, head: Head) -> Self {
        let mut contents = Self::default();
        let mut files = FilesAt::new(store, head).expect("files");
        let mut open = vec![(String::new(), files.find("", false).expect("root"))];
        while let Some((above, dir)) = open.pop() {
            for (name, kind) in files.list(dir).expect("list") {
                let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
                let place = files.child(dir, &name).expect("child");
                let bytes = match kind {
                    NodeKind::File => files.read(place, 0, 1 << 24).expect("content"),
                    NodeKind::Symlink => files.readlink(dir, &name).expect("target").into_bytes(),
                    _ => Vec::new(),
                };
                if kind == NodeKind::Directory {
                    open.push((path.clone(), place));
                }
                contents.paths.insert(path, (kind, bytes));
            }
        }
        let keys = KeysAt::new(store, head).expect("keys");
        for bucket in keys.buckets().expect("buckets") {
            for found in keys.keys(&bucket, b"", None).expect("keys") {
                let value = keys.get(&bucket, &found.key).expect("value").expect("it is listed");
                contents.keys.insert((bucket.clone(), found.key), value);
            }
        }
        contents
    }

    /// What becomes of it by a difference.
    fn with(&self, difference: &Difference) -> Self {
        let moved: BTreeMap<&str, Option<&str>> = difference
            .paths
            .iter()
            .filter_map(|change| match (&change.from, &change.new) {
                (Some(from), _) => Some((from.as_str(), Some(change.path.as_str()))),
                (None, None) => Some((change.path.as_str(), None)),
                _ => None,
            })
            .collect();
        let mut after = Self::default();
        for (path, item) in &self.paths {
            if let Some(to) = place(path, &moved) {
                after.paths.insert(to, item.clone());
            }
        }
        for change in difference.paths.iter().filter(|change| change.rewritten) {
            let Some(node) = &change.new else { continue };
            let bytes = match node.kind {
                NodeKind::File => difference.new.content(node).expect("content"),
                NodeKind::Symlink => node.target.clone().into_bytes(),
                _ => Vec::new(),
            };
            after.paths.insert(change.path.clone(), (node.kind, bytes));
        }
        after.keys = self.keys.clone();
        for change in &difference.keys {
            let key = (change.bucket.clone(), change.key.clone());
            match &change.new {
                Some(value) => after.keys.insert(key, difference.new.bytes(value).expect("value")),
                None => after.keys.remove(&key),
            };
        }
        after
    }
}

/// Where a path is after a move of it, or of what is above it.
fn place(path: &str, moved: &BTreeMap<&str, Option<&str>>) -> Option<String> {
    let mut end = path.len();
    loop {
        match moved.get(&path[..end]) {
            Some(Some(to)) => return Some(format!("{to}{}", &path[end..])),
            // What was in a directory that is gone was moved or removed by itself.
            Some(None) => return None,
            None => {}
        }
        match path[..end].rfind('/') {
            Some(above) => end = above,
            None => return Some(path.to_owned()),
        }
    }
}

/// What happens to a space.
#[derive(Debug, Clone)]
enum Step {
    Run(Vec<String>),
    /// Back to one of its versions.
    Rollback(usize),
    /// On as a fork of one of its versions.
    Fork(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => script::files().prop_map(Step::Run),
        3 => script::space().prop_map(Step::Run),
        1 => any::<prop::sample::Index>().prop_map(|index| Step::Rollback(index.index(64))),
        1 => any::<prop::sample::Index>().prop_map(|index| Step::Fork(index.index(64))),
    ];
    prop::collection::vec(step, 2..7)
}

fn name(text: &str) -> SpaceName {
    text.parse().expect("a name")
}

/// The seed of a step, from which its clock is set: more than an hour after the step before.
fn seed(number: usize) -> u64 {
    (number as u64 + 1) << 20
}

/// When a step is done, in nanoseconds.
fn moment(number: usize) -> u64 {
    1_700_000_000_000_000_000 + (seed(number).wrapping_mul(1_000_000_007) >> 8)
}

/// A database in which these steps were done.
fn done(chaos: &[u8], steps: &[Step]) -> Lab {
    let lab = Lab::new();
    let main = name("main");
    for (number, step) in steps.iter().enumerate() {
        let at = WallTime(moment(number));
        let head = lab.store.head(&main).expect("head");
        let some = |index: usize| {
            let head = head?;
            lab.store.head_at(&main, Version(index as u64 % (head.version.0 + 1))).expect("head")
        };
        match step {
            Step::Run(script) => {
                let trial = Trial { seed: seed(number), ..Trial::args(&["/", &script.join("\n")]) };
                drop(lab.run(chaos, &trial));
            }
            Step::Rollback(index) => {
                if let (Some(head), Some(to)) = (head, some(*index)) {
                    lab.store.rollback(&main, head, to, at).expect("rollback");
                }
            }
            Step::Fork(index) => {
                if let Some(from) = some(*index) {
                    let other = name(&format!("fork{number}"));
                    let fork = lab.store.fork(&main, from, &other, at).expect("fork");
                    lab.store.remove_space(&main, at).expect("removed");
                    lab.store.fork(&other, fork, &main, at).expect("fork");
                }
            }
        }
    }
    lab
}

#[test]
fn a_difference_turns_one_version_into_the_other() {
    let chaos = fs::read(guest("chaos", Target::P2)).expect("chaos");
    TestRunner::new(cases(15))
        .run(&steps(), |steps| {
            let lab = done(&chaos, &steps);
            let mut heads = Vec::new();
            for (space, head) in lab.store.spaces().expect("spaces") {
                for version in 0..=head.version.0 {
                    heads.extend(lab.store.head_at(&space, Version(version)).expect("head"));
                }
            }
            let contents: Vec<Contents> = heads.iter().map(|head| Contents::of(&lab.store, *head)).collect();
            for (old, before) in heads.iter().zip(&contents) {
                for (new, after) in heads.iter().zip(&contents) {
                    let difference = diff(&lab.store, *old, *new, &mut |_| ()).expect("difference");
                    prop_assert_eq!(&before.with(&difference), after, "{:?} {:?} {:?}", old, new, difference.paths);
                    for change in &difference.paths {
                        // What was there may be elsewhere now.
                        let moved = difference.paths.iter().any(|other| other.from.as_ref() == Some(&change.path));
                        let was = match &change.from {
                            Some(from) => before.paths.get(from),
                            None => before.paths.get(&change.path).filter(|_| !moved),
                        };
                        let taken =
                            difference.paths.iter().any(|other| other.path == change.path && other.new.is_some());
                        let is = after.paths.get(&change.path).filter(|_| change.new.is_some() || !taken);
                        prop_assert_eq!(was.is_some(), change.old.is_some(), "{:?}", change);
                        prop_assert_eq!(is.is_some(), change.new.is_some(), "{:?}", change);
                        prop_assert_eq!(was != is, change.rewritten, "{:?}", change);
                        prop_assert!(change.rewritten || change.from.is_some(), "{:?}", change);
                    }
                    for change in &difference.keys {
                        let key = (change.bucket.clone(), change.key.clone());
                        prop_assert_ne!(before.keys.get(&key), after.keys.get(&key), "{:?}", key);
                    }
                }
            }
            Ok(())
        })
        .expect("law");
}

#[test]
fn a_history_names_every_version_that_changed_something() {
    let chaos = fs::read(guest("chaos", Target::P2)).expect("chaos");
    TestRunner::new(cases(15))
        .run(&steps(), |steps| {
            let lab = done(&chaos, &steps);
            let Some(head) = lab.store.head(&name("main")).expect("head") else { return Ok(()) };
            histories_hold(&lab.store, &seen(&lab.store, &name("main"), head), head)
        })
        .expect("law");
}

#[test]
fn a_history_stays_true_when_a_part_of_it_is_let_go() {
    let chaos = fs::read(guest("chaos", Target::P2)).expect("chaos");
    let strategy = (steps(), any::<prop::sample::Index>(), prop::collection::vec(any::<prop::sample::Index>(), 0..3));
    TestRunner::new(cases(15))
        .run(&strategy, |(steps, index, tagged)| {
            let lab = done(&chaos, &steps);
            let (store, main) = (&lab.store, name("main"));
            let Some(head) = store.head(&main).expect("head") else { return Ok(()) };
            for (number, index) in tagged.iter().enumerate() {
                let version = Version(index.index(head.version.0 as usize + 1) as u64);
                let tag = format!("tag{number}").parse().expect("a name");
                let head = store.head_at(&main, version).expect("head").expect("a version");
                store.set_tag(&tag, &main, head, WallTime(moment(steps.len()))).expect("tagged");
            }
            let seen = seen(store, &main, head);
            let before = WallTime(moment(index.index(steps.len())) + 1);
            let at = WallTime(moment(steps.len() + 1));
            let policy = Policy { at, words: "a test".into(), before, keep_tagged: true, needed: BTreeSet::new() };
            store.retain(&policy, &mut named).expect("retention");
            histories_hold(store, &seen, head)
        })
        .expect("law");
}

/// Versions with what made them, what was there just before, and what they hold.
type Seen = [((SpaceName, Version), Made, Contents, Contents)];

/// Holds the histories of all paths and keys that there ever were against what was there.
fn histories_hold(store: &Store, seen: &Seen, head: Head) -> Result<(), TestCaseError> {
    let main = name("main");
    let (mut paths, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for (.., contents) in seen {
        paths.extend(contents.paths.keys().cloned());
        keys.extend(contents.keys.keys().cloned());
    }
    for path in paths {
        let told = past(store, &main, head, &Subject::Path(path.clone()), usize::MAX).expect("past");
        let at = |contents: &Contents| contents.paths.get(&path).cloned();
        let matches = |found: &Found, is: Option<(NodeKind, Vec<u8>)>| match (found, is) {
            (Found::Unknown, _) | (Found::Nothing, None) => true,
            (Found::Node(_, node), Some((kind, bytes))) => {
                node.kind == kind && (kind != NodeKind::File || node.size == bytes.len() as u64)
            }
            _ => false,
        };
        holds(store, seen, &told, at, matches, &path)?;
    }
    for (bucket, key) in keys {
        let subject = Subject::Key { bucket: bucket.clone(), key: key.clone() };
        let told = past(store, &main, head, &subject, usize::MAX).expect("past");
        let at = |contents: &Contents| contents.keys.get(&(bucket.clone(), key.clone())).cloned();
        let matches = |found: &Found, is: Option<Vec<u8>>| match (found, is) {
            (Found::Unknown, _) | (Found::Nothing, None) => true,
            (Found::Value(value), Some(bytes)) => length(value) == bytes.len() as u64,
            _ => false,
        };
        holds(store, seen, &told, at, matches, &format!("{bucket:?} {key:?}"))?;
    }
    Ok(())
}

/// The versions that a head sees, newest first: where they are, what made them, what was there just before and what they hold.
fn seen(store: &Store, space: &SpaceName, head: Head) -> Vec<((SpaceName, Version), Made, Contents, Contents)> {
    let mut seen = Vec::new();
    let (mut space, mut version) = (space.clone(), head.version);
    let contents = |space: &SpaceName, version: Version| {
        Contents::of(store, store.head_at(space, version).expect("head").expect("a version"))
    };
    loop {
        let made = store.history(&space).expect("history").into_iter().find(|made| made.version == version);
        let Some(made) = made.map(|made| made.made) else { return seen };
        let before = match &made {
            Made::Fork { source, version } => contents(source, *version),
            _ => version.0.checked_sub(1).map(|before| contents(&space, Version(before))).unwrap_or_default(),
        };
        seen.push(((space.clone(), version), made.clone(), before, contents(&space, version)));
        match made {
            Made::Commit { .. } if version.0 == 0 => return seen,
            Made::Commit { .. } => version.0 -= 1,
            Made::Rollback { to } => version = to,
            Made::Fork { source, version: from } => (space, version) = (source, from),
        }
    }
}

fn holds<T: PartialEq + std::fmt::Debug>(
    store: &Store,
    seen: &Seen,
    told: &[reel_host::runtime::past::Step],
    at: impl Fn(&Contents) -> Option<T>,
    matches: impl Fn(&Found, Option<T>) -> bool,
    what: &str,
) -> Result<(), TestCaseError> {
    let mut last = 0;
    for step in told {
        let place = seen.iter().position(|((space, version), ..)| (space, version) == (&step.space, &step.version));
        let place = place.map(|place| place + 1);
        prop_assert!(place.is_some_and(|place| place > last), "{}: {:?} in {:?}", what, step, told);
        last = place.unwrap_or(last);
        let (_, _, before, after) = &seen[last - 1];
        prop_assert!(matches(&step.after, at(after)), "{}: {:?} after {:?}", what, step, at(after));
        prop_assert!(matches(&step.before, at(before)), "{}: {:?} before {:?}", what, step, at(before));
    }
    for ((space, version), made, before, after) in seen {
        let is_told = told.iter().any(|step| (&step.space, &step.version) == (space, version));
        let (other, older) = match made {
            Made::Fork { source, version } => (source, Some(*version)),
            _ => (space, version.0.checked_sub(1).map(Version)),
        };
        let kept = is_kept(store, space, *version).expect("read")
            && older.is_none_or(|older| is_kept(store, other, older).expect("read"));
        prop_assert!(
            at(before) == at(after) || is_told || !kept,
            "{}: {}@{} is not told: {:?}",
            what,
            space,
            version,
            told
        );
    }
    Ok(())
}
