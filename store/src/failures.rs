//! Law 3 when writing fails: nobody is told of what is not on disk, and nothing is accepted afterwards.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::Ordering;

use reel_abi::id::{Digest, Seq, WallTime};
use reel_abi::record::Frame;

use crate::error::AppendError;
use crate::store::Store;
use crate::submission::Submission;

fn frames(store: &Store) -> Submission {
    let run = store.next_run();
    let frame = Frame::pack(run, Seq(0), 1, (WallTime(0), WallTime(0)), b"raw").unwrap();
    Submission { run, begun: None, frames: vec![frame], commit: None, ending: None }
}

#[test]
fn a_failed_log_write_is_told_to_all_and_ends_it() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), "test").unwrap();
    store.append(frames(&store)).unwrap();
    let newest = *store.shared().log.numbers().last().unwrap();
    store.shared().log.file(newest).unwrap().1.full.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let submission = frames(&store);
                let run = submission.run;
                let error = store.append(submission).unwrap_err();
                assert!(matches!(error, AppendError::Io { .. } | AppendError::Refused(_)), "{error}");
                assert!(error.to_string().contains("disk full"), "{error}");
                assert!(store.frames(run, Seq(0)).unwrap().is_empty());
            });
        }
    });
    store.shared().log.file(newest).unwrap().1.full.store(false, Ordering::Relaxed);
    assert!(matches!(store.append(frames(&store)), Err(AppendError::Refused(_))));
    assert!(matches!(store.append_soon(frames(&store)), Err(AppendError::Refused(_))));
    drop(store);
    let store = Store::open(root.path(), "test").unwrap();
    assert_eq!(store.shared().live.read().end.position.0, 1);
    store.append(frames(&store)).unwrap();
}

#[test]
fn a_failed_log_write_is_told_once_to_each_who_has_ordered() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), "test").unwrap();
    store.append(frames(&store)).unwrap();
    let newest = *store.shared().log.numbers().last().unwrap();
    let (told, answers) = std::sync::mpsc::channel();
    let mut runs = vec![];
    // Some before the disk is full, some while the committer finds out, some after.
    for n in 0..300 {
        if n == 100 {
            store.shared().log.file(newest).unwrap().1.full.store(true, Ordering::Relaxed);
        }
        let (submission, told) = (frames(&store), told.clone());
        let run = submission.run;
        match store.order(submission, move |answer| told.send((run, answer)).unwrap()) {
            Ok(_) => runs.push(run),
            Err(AppendError::Refused(_)) => break,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(runs.len() > 100);
    while store.shared().refused().is_none() {
        std::thread::yield_now();
    }
    let (called, calls) = std::sync::mpsc::channel();
    let refused = store.order(frames(&store), move |answer| called.send(answer).unwrap());
    assert!(matches!(refused, Err(AppendError::Refused(_))) && calls.recv().is_err());
    let answers: Vec<_> = answers.iter().take(runs.len()).collect();
    assert_eq!(answers.iter().map(|(run, _)| *run).collect::<Vec<_>>(), runs);
    let acknowledged = answers.iter().take_while(|(_, answer)| answer.is_ok()).count();
    assert!(acknowledged < runs.len());
    for (at, (run, answer)) in answers.iter().enumerate() {
        assert_eq!(answer.is_ok(), at < acknowledged, "{answer:?}");
        assert_eq!(store.frames(*run, Seq(0)).unwrap().len(), usize::from(at < acknowledged));
    }
    store.shared().log.file(newest).unwrap().1.full.store(false, Ordering::Relaxed);
    drop(store);
    let store = Store::open(root.path(), "test").unwrap();
    for (at, run) in runs.iter().enumerate() {
        assert_eq!(store.frames(*run, Seq(0)).unwrap().len(), usize::from(at < acknowledged));
    }
}

#[test]
fn a_failed_payload_is_told_to_who_has_ordered_after_it() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), "test").unwrap();
    store.shared().blobs.file().full.store(true, Ordering::Relaxed);
    store.blobs().put(vec![1; 5000]).unwrap();
    let (told, answers) = std::sync::mpsc::channel();
    let ordered = store.order(frames(&store), move |answer| told.send(answer).unwrap());
    // It may be known already.
    if ordered.is_ok() {
        assert!(answers.recv().unwrap().unwrap_err().to_string().contains("disk full"));
    }
    assert_eq!(store.shared().live.read().end.position.0, 0);
    drop(store);
    let store = Store::open(root.path(), "test").unwrap();
    assert_eq!(store.shared().live.read().end.position.0, 0);
}

#[test]
fn a_failed_payload_holds_back_what_comes_after_it() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), "test").unwrap();
    store.shared().blobs.file().full.store(true, Ordering::Relaxed);
    store.blobs().put(vec![1; 5000]).unwrap();
    let error = store.append(frames(&store)).unwrap_err();
    assert!(error.to_string().contains("disk full"), "{error}");
    assert!(store.blobs().flush().is_err());
    assert!(store.blobs().put(vec![2]).is_err());
    drop(store);
    let store = Store::open(root.path(), "test").unwrap();
    assert_eq!(store.blobs().get(&Digest::of(&[1; 5000])).unwrap(), None);
    assert_eq!(store.shared().live.read().end.position.0, 0);
}

#[test]
fn a_state_that_cannot_be_written_stops_the_store_but_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), "test").unwrap();
    let submission = frames(&store);
    let run = submission.run;
    store.append(submission).unwrap();
    store.shared().state.full.store(true, Ordering::Relaxed);
    assert!(store.settle().is_err());
    assert_eq!(store.frames(run, Seq(0)).unwrap().len(), 1);
    drop(store);
    let store = Store::open(root.path(), "test").unwrap();
    assert_eq!(store.frames(run, Seq(0)).unwrap().len(), 1);
}
