//! Appends that are answered by a callback.

use std::sync::mpsc;

use reel_store::{AppendError, Store};

use crate::support::*;

#[test]
fn a_callback_gets_what_a_waiting_caller_would_get_once_it_is_durable() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    let store = open(&dir);
    let space = name("s");
    let head = store.head_or_new(&space).unwrap();
    let (told, answers) = mpsc::channel();
    for round in 0u64..50 {
        let told = told.clone();
        let cells = vec![cell(1, &round.to_be_bytes(), Some(b"v"))];
        let mut submission = whole(&store, &space, head, cells, vec![]);
        if round < 49 {
            submission.commit.as_mut().unwrap().reads = Default::default();
        }
        let copy = (round == 7).then(|| (dir.clone(), root.path().join("copy")));
        let then = move |answer| {
            if let Some((from, to)) = copy {
                copy_dir(&from, &to);
            }
            told.send(answer).unwrap();
        };
        store.append_then(submission, then).unwrap();
    }
    for round in 1..=49 {
        assert_eq!(answers.recv().unwrap().unwrap().committed.unwrap().1.0, round);
    }
    assert!(matches!(answers.recv().unwrap(), Err(AppendError::Conflict { .. })));
    assert!(open(&root.path().join("copy")).head(&space).unwrap().unwrap().version.0 >= 8);
    let refused = store
        .append_then(whole(&store, &space, head, vec![cell(1, b"b", None), cell(1, b"a", None)], vec![]), |_| {
            panic!("it was refused at once")
        });
    assert!(matches!(refused, Err(AppendError::Invalid(_))));
    assert_sound(&store);
}

/// Appends again and again from its own callback, and ends with the last handle of the store in it.
fn chain(store: Store, left: u64, done: mpsc::Sender<()>) {
    let space = name("s");
    let head = store.head_or_new(&space).unwrap();
    let next = whole(&store, &space, head, vec![cell(1, b"k", Some(&left.to_be_bytes()))], vec![]);
    let again = store.clone();
    let then = move |answer: Result<reel_store::Receipt, AppendError>| {
        answer.unwrap();
        let waits = again.append(whole(&again, &name("s"), head, vec![], vec![]));
        assert!(matches!(waits, Err(AppendError::Invalid(_))), "{waits:?}");
        if left == 0 { done.send(()).unwrap() } else { chain(again, left - 1, done) }
    };
    store.append_then(next, then).unwrap();
}

#[test]
fn a_callback_may_append_and_may_hold_the_last_handle() {
    let root = tempfile::tempdir().unwrap();
    let (done, ended) = mpsc::channel();
    chain(open(root.path()), 20, done);
    ended.recv().unwrap();
    let store = loop {
        match Store::open(root.path(), "again") {
            Ok(store) => break store,
            Err(reel_store::OpenError::Locked { .. }) => std::thread::yield_now(),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(store.head(&name("s")).unwrap().unwrap().version.0, 21);
    assert_sound(&store);
}

#[test]
fn a_callback_that_panics_does_no_harm() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let space = name("s");
    let head = store.head_or_new(&space).unwrap();
    store.append_then(whole(&store, &space, head, vec![], vec![]), |_| panic!("on purpose")).unwrap();
    put(&store, "s", vec![cell(1, b"k", Some(b"v"))]).unwrap();
    assert_sound(&store);
}

#[test]
fn closing_answers_everybody() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let space = name("s");
    let head = store.head_or_new(&space).unwrap();
    let (told, answers) = mpsc::channel();
    for _ in 0..30 {
        let told = told.clone();
        store
            .append_then(whole(&store, &space, head, vec![], vec![]), move |answer| told.send(answer).unwrap())
            .unwrap();
    }
    drop((store, told));
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 30);
}
