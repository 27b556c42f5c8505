//! Transactions that write to other spaces than their own, and keys that get the number of their commit.

use reel_abi::id::CommitNo;
use reel_abi::message::{MessageId, Place, STAMP};
use reel_abi::outcome::Disposition;
use reel_abi::record::{Cell, CellValue, family};
use reel_store::{AppendError, Counter, Elsewhere, Head, JoinedRun, Part, Proposal, Store, Submission};

use super::support::{NOW, assert_sound, cell, name, open, put, whole};

fn message(index: u32, text: &[u8]) -> Cell {
    let key = Place::Ready(MessageId { commit: STAMP, index }).key();
    Cell { family: family::QUEUE, key: key.into(), value: CellValue::Inline { bytes: text.to_vec().into() } }
}

fn elsewhere(space: &str, cells: Vec<Cell>) -> Elsewhere {
    let counters = vec![Counter { family: family::QUEUE, key: Vec::new(), add: cells.len() as i64 }];
    Elsewhere { space: name(space), cells, counters }
}

/// A run in `from` that writes there, and to others.
fn send(store: &Store, from: &str, others: Vec<Elsewhere>) -> Result<CommitNo, AppendError> {
    let base = store.head_or_new(&name(from)).unwrap();
    let mut submission = whole(store, &name(from), base, vec![cell(4, b"sent", Some(b"x"))], vec![]);
    submission.commit.as_mut().unwrap().others = others;
    Ok(store.append(submission)?.committed.unwrap().0)
}

fn queue(store: &Store, head: Head) -> Vec<(Place, Vec<u8>)> {
    let view = store.view(head).unwrap();
    let bytes = |value| match value {
        CellValue::Inline { bytes } => bytes.0,
        other => panic!("{other:?}"),
    };
    let all = view.scan(family::QUEUE, &[1], None, 100).unwrap();
    all.into_iter().map(|(key, value)| (Place::parse(&key).unwrap(), bytes(value))).collect()
}

fn head(store: &Store, space: &str) -> Head {
    store.head(&name(space)).unwrap().unwrap()
}

#[test]
fn all_spaces_of_a_commit_move_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, "b", vec![cell(4, b"k", Some(b"1"))]).unwrap();
    put(&store, "c", vec![cell(4, b"k", Some(b"1"))]).unwrap();
    let (before, base) = (head(&store, "b"), head(&store, "b"));
    let first =
        send(&store, "a", vec![elsewhere("b", vec![message(0, b"one")]), elsewhere("c", vec![message(0, b"two")])]);
    let first = first.unwrap();
    assert_eq!(head(&store, "b").version, before.version.next());
    assert_eq!(store.commit(first).unwrap().unwrap().spaces.len(), 3);
    let nowhere =
        send(&store, "a", vec![elsewhere("b", vec![message(0, b"no")]), elsewhere("x", vec![message(0, b"no")])]);
    assert!(matches!(nowhere, Err(AppendError::Conflict { .. })), "{nowhere:?}");
    let second = send(&store, "a", vec![elsewhere("b", vec![message(0, b"three"), message(1, b"four")])]).unwrap();
    let at = |commit, index| Place::Ready(MessageId { commit, index });
    let expected =
        [(at(first, 0), b"one".to_vec()), (at(second, 0), b"three".to_vec()), (at(second, 1), b"four".to_vec())];
    assert_eq!(queue(&store, head(&store, "b")), expected);
    // Who has not read the messages is not overtaken by them; who has is.
    let mut blind = whole(&store, &name("b"), base, vec![cell(4, b"k", Some(b"2"))], vec![]);
    blind.commit.as_mut().unwrap().reads = Default::default();
    blind.commit.as_mut().unwrap().reads.key(4, b"k");
    store.append(blind).unwrap();
    let all = store.append(whole(&store, &name("b"), base, vec![cell(4, b"k", Some(b"3"))], vec![]));
    assert!(matches!(all, Err(AppendError::Conflict { .. })), "{all:?}");
    // A fork carries them, and what is sent to it comes after.
    store.fork(&name("b"), head(&store, "b"), &name("f"), NOW).unwrap();
    let third = send(&store, "a", vec![elsewhere("f", vec![message(0, b"five")])]).unwrap();
    let mut forked = expected.to_vec();
    forked.push((at(third, 0), b"five".to_vec()));
    assert_eq!(queue(&store, head(&store, "f")), forked);
    assert_eq!(queue(&store, head(&store, "b")), expected);
    let count = |space: &str| store.view(head(&store, space)).unwrap().get(family::QUEUE, &[]).unwrap();
    assert_eq!(count("f"), Some(CellValue::Inline { bytes: vec![4].into() }));
    assert_eq!(store.changed(base, head(&store, "b")).unwrap().iter().filter(|(f, _)| *f == family::QUEUE).count(), 4);
    assert_sound(&store);
    drop(store);
    let store = open(dir.path());
    assert_eq!(queue(&store, head(&store, "f")), forked);
    assert_sound(&store);
}

/// A run of `space` that writes a key, as a part of another's transaction.
fn part(store: &Store, space: &str, cells: Vec<Cell>) -> (Part, JoinedRun) {
    let base = head(store, space);
    let Submission { run, begun, frames, commit, ending } = whole(store, &name(space), base, cells, vec![]);
    let Proposal { space, base, reads, cells, counters, .. } = commit.unwrap();
    let run = JoinedRun { run, begun, frames, ending: ending.unwrap(), part: Some(0) };
    (Part { space, base, reads, cells, counters }, run)
}

/// A run in `a` with parts in other spaces, the last of which stands with the first.
fn joined(store: &Store, parts: Vec<(Part, JoinedRun)>) -> Submission {
    let base = store.head_or_new(&name("a")).unwrap();
    let mut submission = whole(store, &name("a"), base, vec![cell(4, b"own", Some(b"x"))], vec![]);
    let proposal = submission.commit.as_mut().unwrap();
    for (place, (part, run)) in parts.into_iter().enumerate() {
        proposal.joined.parts.push(part);
        proposal.joined.runs.push(JoinedRun { part: Some(place), ..run });
    }
    submission
}

#[test]
fn runs_end_with_the_transaction_that_they_are_parts_of() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, "b", vec![cell(4, b"k", Some(b"1"))]).unwrap();
    put(&store, "c", vec![cell(4, b"k", Some(b"1"))]).unwrap();
    let made = |store: &Store| (head(store, "b").version, head(store, "c").version);
    let (b, c) = made(&store);
    // A part that only reads makes no version, and a run whose part was dropped is not committed.
    let mut submission =
        joined(&store, vec![part(&store, "b", vec![cell(4, b"k", Some(b"2"))]), part(&store, "c", vec![])]);
    let dropped = part(&store, "b", vec![]).1;
    let (dropped_run, committed_run) = (dropped.run, submission.commit.as_ref().unwrap().joined.runs[0].run);
    submission.commit.as_mut().unwrap().joined.runs.push(JoinedRun { part: None, ..dropped });
    let (number, _) = store.append(submission.clone()).unwrap().committed.unwrap();
    assert_eq!(made(&store), (b.next(), c));
    let end = |run| store.run(run).unwrap().unwrap().end.unwrap().disposition;
    assert_eq!(end(committed_run), Disposition::Committed { commit: number, version: b.next() });
    assert_eq!(end(dropped_run), Disposition::Aborted);
    // The same again is overtaken in b, and nothing of it is there.
    let again = Submission { run: store.next_run(), ..submission };
    assert!(matches!(store.append(again), Err(AppendError::Invalid(_))), "its frames are of another run");
    let stale = (part(&store, "b", vec![cell(4, b"k", Some(b"3"))]), part(&store, "c", vec![]));
    put(&store, "c", vec![cell(4, b"k", Some(b"9"))]).unwrap();
    let (b, c) = made(&store);
    let run = stale.0.1.run;
    let refused = store.append(joined(&store, vec![stale.0, stale.1]));
    let Err(AppendError::Conflict { space, .. }) = &refused else { panic!("{refused:?}") };
    assert_eq!((space.as_str(), made(&store)), ("c", (b, c)));
    assert_eq!(store.run(run).unwrap(), None);
    // Who only asks is told, and commits nothing.
    let mut asked = joined(&store, vec![part(&store, "b", vec![cell(4, b"k", Some(b"4"))])]);
    asked.commit.as_mut().unwrap().joined.only_asks = true;
    let run = asked.run;
    assert_eq!(store.append(asked).unwrap().committed, None);
    assert_eq!((made(&store), end(run)), ((b, c), Disposition::Aborted));
    assert_sound(&store);
    drop(store);
    let store = open(dir.path());
    assert_eq!(made(&store), (b, c));
    assert_sound(&store);
}

#[test]
fn parts_that_break_a_rule_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, "a", vec![cell(4, b"k", Some(b"1"))]).unwrap();
    put(&store, "b", vec![cell(4, b"k", Some(b"1"))]).unwrap();
    let write = || vec![cell(4, b"k", Some(b"2"))];
    let twice = joined(&store, vec![part(&store, "b", write()), part(&store, "b", write())]);
    let own = joined(&store, vec![part(&store, "a", write())]);
    let mut nowhere = joined(&store, vec![part(&store, "b", write())]);
    nowhere.commit.as_mut().unwrap().joined.runs[0].part = Some(1);
    let mut same_run = joined(&store, vec![part(&store, "b", write())]);
    let run = same_run.run;
    let joined_run = &mut same_run.commit.as_mut().unwrap().joined.runs[0];
    (joined_run.run, joined_run.frames) = (run, vec![]);
    let mut blind = joined(&store, vec![part(&store, "b", write())]);
    blind.commit.as_mut().unwrap().others = vec![elsewhere("b", vec![message(0, b"")])];
    for refused in [twice, own, nowhere, same_run, blind] {
        let refused = store.append(refused);
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{refused:?}");
    }
    let gone = joined(&store, vec![part(&store, "b", write())]);
    store.remove_space(&name("b"), NOW).unwrap();
    let refused = store.append(gone);
    assert!(matches!(refused, Err(AppendError::Conflict { head: None, .. })), "{refused:?}");
    assert_sound(&store);
}

#[test]
fn what_breaks_a_rule_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, "b", vec![cell(4, b"k", Some(b"1"))]).unwrap();
    for others in [
        vec![elsewhere("b", vec![])],
        vec![elsewhere("a", vec![message(0, b"")])],
        vec![elsewhere("b", vec![message(0, b"")]), elsewhere("b", vec![message(1, b"")])],
        vec![elsewhere("b", vec![message(1, b""), message(0, b"")])],
    ] {
        let refused = send(&store, "a", others);
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{refused:?}");
    }
    assert_sound(&store);
}
