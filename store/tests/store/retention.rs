//! Retention: what goes is gone and said to be, what stays stays, whatever happens in between.

use std::collections::BTreeSet;
use std::path::Path;

use reel_abi::id::{Digest, Seq, Version, WallTime};
use reel_abi::record::{Cell, CellValue};
use reel_store::{AppendError, Head, Policy, ReadError, RetentionPlan, RetentionReport, Store};

use crate::support::*;

fn policy(before: u64) -> Policy {
    Policy {
        at: WallTime(9000),
        words: "--keep 1h".into(),
        before: WallTime(before),
        keep_tagged: true,
        needed: BTreeSet::new(),
    }
}

pub fn retain(store: &Store, before: u64) -> RetentionReport {
    store.retain(&policy(before), &mut |_, _| Ok(vec![])).unwrap()
}

pub fn small(dir: &Path) -> Store {
    Store::open_with_log_file_bytes(dir, "test", 150_000).unwrap()
}

/// Commits at a moment; the run begins and ends then.
fn put_at(store: &Store, space: &str, at: u64, cells: Vec<Cell>) -> Head {
    let space = name(space);
    let head = store.head_or_new(&space).unwrap();
    let mut submission = whole(store, &space, head, cells, vec![]);
    submission.begun.as_mut().unwrap().at = WallTime(at);
    submission.commit.as_mut().unwrap().at = WallTime(at);
    submission.ending.as_mut().unwrap().at = WallTime(at);
    submission.commit.as_mut().unwrap().at = WallTime(at);
    store.append(submission).unwrap();
    store.head(&space).unwrap().unwrap()
}

fn big(store: &Store, n: u64) -> (Digest, Cell) {
    let bytes = n.to_le_bytes().repeat(900);
    let digest = store.blobs().put(bytes).unwrap();
    let value = CellValue::Blob { digest, len: 7200 };
    (digest, Cell { family: 1, key: b"big".to_vec().into(), value })
}

/// Forty versions of a space, each with a payload and much in the log, version n at time 10 n.
pub fn fill(dir: &Path) -> (Store, Vec<Digest>) {
    let store = small(dir);
    let mut blobs = vec![];
    for n in 1..=40u64 {
        let (digest, large) = big(&store, n);
        blobs.push(digest);
        let noise: Vec<u8> = (0..3000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let cells = vec![cell(1, b"a", Some(&n.to_le_bytes())), large, cell(2, &n.to_be_bytes(), Some(&noise))];
        put_at(&store, "s", 10 * n, cells);
        if n == 5 {
            let head = store.head(&name("s")).unwrap().unwrap();
            store.set_tag(&"five".parse().unwrap(), &name("s"), head, WallTime(50)).unwrap();
        }
        if n == 10 {
            let head = store.head_at(&name("s"), Version(8)).unwrap().unwrap();
            store.fork(&name("s"), head, &name("fork"), WallTime(100)).unwrap();
        }
    }
    (store, blobs)
}

pub fn at(store: &Store, version: u64) -> Result<Option<CellValue>, ReadError> {
    let head = store.head_at(&name("s"), Version(version))?.unwrap();
    store.view(head)?.get(1, b"a")
}

pub fn check(store: &Store, kept: &dyn Fn(u64) -> bool) {
    for version in 1..=40u64 {
        match at(store, version) {
            Ok(value) => {
                assert!(kept(version), "{version} is still there");
                assert_eq!(value, Some(cell(1, b"", Some(&version.to_le_bytes())).value));
            }
            Err(ReadError::Pruned { what, policy, at }) => {
                assert!(!kept(version), "{version} is gone");
                assert_eq!(
                    (what, policy.as_str(), at),
                    (format!("version {version} of s"), "--keep 1h", WallTime(9000))
                );
            }
            Err(error) => panic!("{error}"),
        }
    }
    let fork = store.view(store.head(&name("fork")).unwrap().unwrap()).unwrap();
    assert_eq!(fork.get(1, b"a").unwrap(), Some(cell(1, b"", Some(&8u64.to_le_bytes())).value));
    assert_eq!(fork.scan(2, b"", None, 100).unwrap().len(), 8);
    assert_sound(store);
}

#[test]
fn what_goes_is_gone_and_what_stays_stays() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    let (store, blobs) = fill(&dir);
    drop(store);
    let store = small(&dir);
    let view = store.view(store.head_at(&name("s"), Version(7)).unwrap().unwrap()).unwrap();
    let plan = store.plan_retention(&policy(305)).unwrap();
    // In force at 305 was version 30; the tag holds 5, the fork 8.
    assert_eq!(plan.spaces, [(name("s"), 28)]);
    assert_eq!(plan.runs, 30);
    assert!(!plan.files.is_empty() && plan.cells > 50, "{plan:?}");
    let exact = store.plan_retention_with_blobs(&policy(305), &mut |_, _| Ok(vec![])).unwrap();
    assert_eq!(RetentionPlan { blobs: None, ..exact.clone() }, plan);
    check(&store, &|_| true);
    let report = retain(&store, 305);
    assert_eq!(report.removed, exact);
    let kept = |version: u64| version >= 30 || version == 5 || version == 8;
    check(&store, &kept);
    assert!(matches!(view.get(1, b"a"), Err(ReadError::Pruned { .. })), "a view that was open");
    assert!(matches!(view.scan(1, b"", None, 9), Err(ReadError::Pruned { .. })));
    for (n, digest) in (1..).zip(&blobs) {
        assert_eq!(store.blobs().get(digest).unwrap().is_some(), kept(n), "payload of {n}");
    }
    let runs = store.runs(None, 100).unwrap();
    assert_eq!(runs.len(), 40);
    for run in runs {
        match store.frames(run.run, Seq(0)) {
            Ok(frames) => assert!(run.run.0 > 30 && store.frame(&frames[0]).is_ok()),
            Err(error) => assert!(run.run.0 <= 30 && error.to_string().contains("--keep 1h"), "{error}"),
        }
    }
    let old = store.head_at(&name("s"), Version(7)).unwrap().unwrap();
    assert!(matches!(store.fork(&name("s"), old, &name("x"), NOW), Err(AppendError::Pruned { .. })));
    assert!(matches!(store.set_tag(&"t".parse().unwrap(), &name("s"), old, NOW), Err(AppendError::Pruned { .. })));
    assert_eq!(store.history(&name("s")).unwrap().len(), 40);
    let newest = store.head(&name("s")).unwrap().unwrap();
    let history = store.key_history(newest, 1, b"a", 100).unwrap();
    assert_eq!(history.iter().map(|change| change.version.0).filter(|v| *v >= 30).count(), 11);
    let five = store.tag(&"five".parse().unwrap()).unwrap().unwrap().head;
    let changed = store.changed(five, newest).unwrap();
    assert_eq!(changed.len(), 37);
    // The same again has nothing to do, and nothing depends on the state file or on this process.
    let again = retain(&store, 305).removed;
    assert_eq!(again, RetentionPlan { blobs: Some((0, 0)), ..RetentionPlan::default() });
    drop((view, store));
    check(&small(&dir), &kept);
    std::fs::remove_file(dir.join("state.redb")).unwrap();
    let store = small(&dir);
    check(&store, &kept);
    put_at(&store, "s", 500, vec![cell(1, b"a", Some(b"new"))]);
    // A later one goes further, and lets go of tags if told so.
    let later = Policy { keep_tagged: false, ..policy(355) };
    store.retain(&later, &mut |_, _| Ok(vec![])).unwrap();
    check(&store, &|version| version >= 35 || version == 8);
    drop(store);
    std::fs::remove_file(dir.join("state.redb")).unwrap();
    check(&small(&dir), &|version| version >= 35 || version == 8);
}

#[test]
fn it_can_be_cut_off_at_any_moment() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    drop(fill(&dir));
    let store = small(&dir);
    store.settle().unwrap();
    let mut copies = vec![];
    let mut copy = || {
        let copy = root.path().join(format!("{}", copies.len()));
        copy_dir(&dir, &copy);
        copies.push(copy);
    };
    store.retain_watched(&policy(305), &mut |_, _| Ok(vec![]), &mut copy).unwrap();
    assert!(copies.len() >= 8, "{}", copies.len());
    let kept = |version: u64| version >= 30 || version == 5 || version == 8;
    for (number, copy) in copies.into_iter().enumerate() {
        for lose_state in [false, true] {
            if lose_state {
                std::fs::remove_file(copy.join("state.redb")).unwrap();
            }
            let store = small(&copy);
            // Until the log says so nothing has happened, and from then on all of it.
            check(&store, &|version| number == 0 || kept(version));
        }
        let store = small(&copy);
        retain(&store, 305);
        check(&store, &kept);
    }
}

#[test]
fn open_runs_keep_their_base_and_their_events() {
    let root = tempfile::tempdir().unwrap();
    let store = small(root.path());
    let base = put_at(&store, "s", 10, vec![cell(1, b"a", Some(b"1"))]);
    let mut open = whole(&store, &name("s"), base, vec![], vec![]);
    open.ending = None;
    let run = open.run;
    store.append(open).unwrap();
    for n in 2..60u64 {
        put_at(&store, "s", 10 * n, vec![cell(1, b"a", Some(&[n as u8; 3000]))]);
    }
    let report = retain(&store, 10_000);
    assert_eq!((report.removed.runs, report.removed.files.len()), (1, 0));
    assert_eq!(store.view(base).unwrap().get(1, b"a").unwrap(), Some(cell(1, b"", Some(b"1")).value));
    assert_eq!(store.frames(run, Seq(0)).unwrap().len(), 1);
    assert_sound(&store);
}

#[test]
fn payloads_that_may_still_be_committed_stay() {
    let root = tempfile::tempdir().unwrap();
    let store = small(root.path());
    put_at(&store, "s", 10, vec![cell(1, b"a", Some(b"1"))]);
    let (digest, large) = big(&store, 1);
    let (told, _) = big(&store, 2);
    let (garbage, _) = big(&store, 3);
    store.blobs().flush().unwrap();
    assert_eq!(retain(&store, 10_000).removed.blobs, Some((0, 0)));
    put_at(&store, "s", 20, vec![large]);
    drop(store);
    let store = small(root.path());
    let report = store.retain(&policy(15), &mut |_, _| Ok(vec![told])).unwrap();
    assert_eq!(report.removed.blobs, Some((1, 7200)));
    assert!(store.blobs().get(&digest).unwrap().is_some() && store.blobs().get(&told).unwrap().is_some());
    assert_eq!(store.blobs().get(&garbage).unwrap(), None);
    // Put again, it is there again.
    assert_eq!(big(&store, 3).0, garbage);
    store.blobs().flush().unwrap();
    assert!(store.blobs().get(&garbage).unwrap().is_some());
    assert_sound(&store);
    let refused = store.retain(&policy(15), &mut |_, _| Err("not an event".into())).unwrap_err();
    assert!(refused.to_string().contains("not an event"), "{refused}");
}

#[test]
fn a_base_that_was_changed_is_not_believed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    drop(fill(&dir));
    let store = small(&dir);
    let base = retain(&store, 305).base.unwrap().0;
    drop(store);
    std::fs::remove_file(dir.join("state.redb")).unwrap();
    let path = dir.join("log").join(base);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = Store::open(&dir, "test").unwrap_err().to_string();
    assert!(error.contains("are gone, and so is the state"), "{error}");
}
