//! Runs and frames: what is written in pieces is found whole.

use std::thread::sleep;
use std::time::Duration;

use reel_abi::id::{RunId, Seq};
use reel_abi::outcome::Disposition;
use reel_store::{AppendError, Store, Submission};

use crate::support::*;

fn piece(store: &Store, run: RunId, first: u64, count: u32) {
    let frames = vec![frame(run, first, count)];
    store.append_soon(Submission { run, begun: None, frames, commit: None, ending: None }).unwrap();
}

#[test]
fn frames_are_found_from_any_event() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let space = name("s");
    let run = store.next_run();
    let head = store.head_or_new(&space).unwrap();
    let begun = Some(begin(&store, &space, head));
    store.append_soon(Submission { run, begun, frames: vec![], commit: None, ending: None }).unwrap();
    let counts = [3u32, 1, 5, 2, 4];
    let mut first = 0;
    for (number, count) in counts.into_iter().enumerate() {
        piece(&store, run, first, count);
        first += u64::from(count);
        if number == 2 {
            // Some in the state file, some in memory.
            store.append(Submission { run, begun: None, frames: vec![], commit: None, ending: None }).unwrap();
            store.settle().unwrap();
        }
    }
    store.append(Submission { run, begun: None, frames: vec![], commit: None, ending: Some(ending(first)) }).unwrap();
    for _ in 0..2 {
        for from in 0..first {
            let frames = store.frames(run, Seq(from)).unwrap();
            assert!(frames[0].first.0 <= from && frames[0].next().0 > from);
            assert_eq!(frames.last().unwrap().next(), Seq(first));
            for at in &frames {
                assert_eq!(store.frame(at).unwrap(), frame(run, at.first.0, at.count));
            }
        }
        assert!(store.frames(run, Seq(first)).unwrap().is_empty());
        assert!(store.frames(RunId(99), Seq(0)).unwrap().is_empty());
        drop(store);
        store = open(root.path());
    }
    let record = store.run(run).unwrap().unwrap();
    assert_eq!(record.end.unwrap().disposition, Disposition::Aborted);
    assert_sound(&store);
}

#[test]
fn a_queued_piece_becomes_durable_by_itself() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("db"));
    let space = name("s");
    let run = store.next_run();
    let begun = Some(begin(&store, &space, store.head_or_new(&space).unwrap()));
    store.append_soon(Submission { run, begun, frames: vec![frame(run, 0, 2)], commit: None, ending: None }).unwrap();
    sleep(Duration::from_millis(200));
    copy_dir(&root.path().join("db"), &root.path().join("copy"));
    let crashed = open(&root.path().join("copy"));
    let record = crashed.run(run).unwrap().unwrap();
    assert_eq!((record.end, crashed.frames(run, Seq(0)).unwrap().len()), (None, 1));
    assert_eq!(crashed.newest_run(), Some(run));
    assert_sound(&crashed);
}

#[test]
fn closing_writes_what_is_queued() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let space = name("s");
    let run = store.next_run();
    let begun = Some(begin(&store, &space, store.head_or_new(&space).unwrap()));
    store.append_soon(Submission { run, begun, frames: vec![], commit: None, ending: None }).unwrap();
    for first in 0..100 {
        piece(&store, run, first, 1);
    }
    drop(store);
    let store = open(root.path());
    assert_eq!(store.frames(run, Seq(0)).unwrap().len(), 100);
    assert_sound(&store);
}

#[test]
fn what_breaks_the_rules_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let space = name("s");
    let head = store.head_or_new(&space).unwrap();
    let refused = |submission: Submission| {
        let answer = store.append(submission);
        assert!(matches!(answer, Err(AppendError::Invalid(_))), "{answer:?}");
    };
    let unsorted = vec![cell(1, b"b", None), cell(1, b"a", None)];
    refused(whole(&store, &space, head, unsorted, vec![]));
    let twice = vec![cell(1, b"a", None), cell(1, b"a", None)];
    refused(whole(&store, &space, head, twice, vec![]));
    let mut gap = whole(&store, &space, head, vec![], vec![]);
    gap.frames.push(frame(gap.run, 4, 1));
    refused(gap);
    let mut foreign = whole(&store, &space, head, vec![], vec![]);
    foreign.frames = vec![frame(RunId(77), 0, 1)];
    refused(foreign);
    let ended = whole(&store, &space, head, vec![], vec![]);
    assert!(matches!(store.append_soon(ended), Err(AppendError::Invalid(_))));
    drop(store);
    assert!(!root.path().join("log/00000001.redb").exists());
}

#[test]
fn a_reader_of_an_old_version_does_not_conflict() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let space = name("s");
    put(&store, "s", vec![cell(1, b"k", Some(b"1"))]).unwrap();
    let old = store.head(&space).unwrap().unwrap();
    put(&store, "s", vec![cell(1, b"k", Some(b"2"))]).unwrap();
    let receipt = store.append(whole(&store, &space, old, vec![], vec![])).unwrap();
    assert_eq!(receipt.committed.unwrap().1, old.version);
    assert_sound(&store);
}

#[test]
fn runs_without_an_end_are_found_wherever_they_lie() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let space = name("s");
    let mut open_runs = Vec::new();
    for number in 0..12 {
        let run = store.next_run();
        let begun = Some(begin(&store, &space, store.head_or_new(&space).unwrap()));
        let frames = vec![frame(run, 0, 2)];
        store.append(Submission { run, begun, frames, commit: None, ending: None }).unwrap();
        if number % 4 == 1 {
            // The begin is in the state file when the end is still in memory.
            store.settle().unwrap();
        }
        if number % 3 == 0 {
            open_runs.push(run);
        } else {
            let ending = Some(ending(2));
            store.append(Submission { run, begun: None, frames: vec![], commit: None, ending }).unwrap();
        }
        let found = |first| store.runs_without_end(first).unwrap().into_iter().map(|record| record.run);
        assert!(found(RunId(0)).eq(open_runs.iter().copied()));
        let middle = open_runs[open_runs.len() / 2];
        assert!(found(middle.next()).eq(open_runs.iter().copied().filter(|run| *run > middle)));
    }
    drop(store);
    store = open(root.path());
    assert_eq!(store.runs_without_end(RunId(0)).unwrap().len(), open_runs.len());
}
