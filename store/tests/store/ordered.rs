//! Transactions that are ordered before they are durable.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use reel_abi::id::{Digest, Seq, Version};
use reel_abi::wire::Wire;
use reel_store::{AppendError, Head, ReadError, Receipt, Store, Submission};

use crate::support::*;
use crate::txn::{SPACE, Txn, inline};

fn at_newest(store: &Store) -> Txn {
    Txn::begin(store, store.newest_or_new(&name(SPACE)).unwrap())
}

fn made(txn: Txn, store: &Store) -> Submission {
    let mut submission = whole(store, &name(SPACE), txn.view.head(), vec![], vec![]);
    submission.commit = Some(txn.proposal());
    submission
}

/// Orders what must be durable some day.
fn order(store: &Store, txn: Txn) -> Result<Receipt, AppendError> {
    store.order(made(txn, store), |answer| assert!(answer.is_ok()))
}

/// Orders what conflicts with what was ordered before: the callback is dropped without being called.
fn refused_at_once(store: &Store, submission: Submission) {
    let (told, answers) = mpsc::channel();
    let refused = store.order(submission, move |answer| told.send(answer).unwrap());
    assert!(matches!(refused, Err(AppendError::Conflict { .. })), "{refused:?}");
    assert!(matches!(answers.try_recv(), Err(mpsc::TryRecvError::Disconnected)));
}

fn put_newest(store: &Store, key: &[u8], value: &[u8]) -> Head {
    let mut txn = at_newest(store);
    txn.put(key, value);
    let version = order(store, txn).unwrap().committed.unwrap().1;
    let head = store.newest(&name(SPACE)).unwrap().unwrap();
    assert_eq!(head.version, version);
    head
}

#[test]
fn what_is_ordered_is_read_at_the_newest_and_nowhere_else() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let space = name(SPACE);
    put(&store, SPACE, vec![cell(1, b"a", Some(b"1")), cell(1, b"b", Some(b"1")), cell(1, b"d", Some(b"1"))]).unwrap();
    let durable = store.head(&space).unwrap().unwrap();
    let before = store.view(durable).unwrap();
    let gate = Gate::hold(&store);
    let (rows, runs) = (verify(&store).rows, store.newest_run());
    put_newest(&store, b"a", b"2");
    let between = store.newest(&space).unwrap().unwrap();
    let mut txn = at_newest(&store);
    txn.put(b"c", b"3");
    txn.cells.insert((1, b"b".to_vec()), None);
    txn.count(b"n", 7);
    order(&store, txn).unwrap();
    let newest = store.newest(&space).unwrap().unwrap();
    assert_eq!(newest.version, Version(3));
    let check = |durable: bool| {
        let found = |head| {
            let found = store.view(head).unwrap().scan(1, b"", None, 10).unwrap();
            found.into_iter().map(|(key, value)| [key, inline(value)].concat()).collect::<Vec<_>>().concat()
        };
        assert_eq!(found(newest), b"a2c3d1");
        assert_eq!(found(between), b"a2b1d1");
        assert_eq!(found(store.head_at(&space, Version(1)).unwrap().unwrap()), b"a1b1d1");
        let view = store.view(newest).unwrap();
        assert_eq!(view.get(1, b"a").unwrap().map(inline).as_deref(), Some(b"2".as_slice()));
        assert_eq!(view.get(1, b"b").unwrap(), None);
        assert_eq!(u64::from_bytes(&inline(view.get(2, b"n").unwrap().unwrap())), Ok(7));
        assert_eq!(before.get(1, b"a").unwrap().map(inline).as_deref(), Some(b"1".as_slice()));
        assert_eq!(before.get(1, b"c").unwrap(), None);
        let shown = |there: bool| assert_eq!(there, durable);
        shown(store.head(&space).unwrap() == Some(newest));
        shown(store.head_or_new(&space).unwrap() == newest);
        shown(store.spaces().unwrap().contains(&(space.clone(), newest)));
        shown(store.head_at(&space, newest.version).unwrap() == Some(newest));
        shown(store.history(&space).unwrap().len() == 3);
        shown(store.key_history(newest, 1, b"a", 9).is_ok_and(|changes| changes.len() == 2));
        shown(store.newest_run() > runs);
        shown(verify(&store).rows > rows);
    };
    check(false);
    assert!(matches!(store.view(Head { version: newest.version.next(), ..newest }), Err(ReadError::NoSuchHead(_))));
    drop(gate);
    // What is waited for is durable after all that was ordered before it.
    put(&store, "other", vec![]).unwrap();
    check(true);
    assert_sound(&store);
}

#[test]
fn what_was_overtaken_by_what_is_only_ordered_is_a_conflict_at_once() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    put(&store, SPACE, vec![cell(1, b"a", Some(b"1"))]).unwrap();
    let gate = Gate::hold(&store);
    let (mut one, mut two, mut three) = (at_newest(&store), at_newest(&store), at_newest(&store));
    for txn in [&mut one, &mut two, &mut three] {
        let old = txn.get(b"a").unwrap();
        txn.put(b"a", &[old, b"+".to_vec()].concat());
    }
    let (told, answers) = mpsc::channel();
    store.append_then(made(one, &store), move |answer| told.send(answer).unwrap()).unwrap();
    let run = two.view.head();
    refused_at_once(&store, made(two, &store));
    // Who appends is told when what was in the way can be read by all.
    let (told, later) = mpsc::channel();
    let durable = store.clone();
    let then = move |answer| told.send((answer, durable.head(&name(SPACE)).unwrap().unwrap())).unwrap();
    store.append_then(made(three, &store), then).unwrap();
    assert!(later.try_recv().is_err());
    assert_eq!(store.head(&name(SPACE)).unwrap(), Some(run));
    drop(gate);
    assert_eq!(answers.recv().unwrap().unwrap().committed.unwrap().1, Version(2));
    let (answer, head) = later.recv().unwrap();
    assert!(matches!(answer, Err(AppendError::Conflict { .. })) && head.version == Version(2), "{answer:?}, {head:?}");
    assert_sound(&store);
}

#[test]
fn a_base_older_than_what_is_remembered_of_what_is_durable_is_checked_all_the_same() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    put(&store, SPACE, vec![cell(1, b"a", Some(b"1"))]).unwrap();
    let base = store.head(&name(SPACE)).unwrap().unwrap();
    let gate = Gate::hold(&store);
    for round in 0..3000u32 {
        let mut txn = at_newest(&store);
        txn.put(&[round.to_be_bytes().as_slice(), &[b'k'; 200]].concat(), b"v");
        if round == 20 {
            txn.put(b"early", b"v");
        }
        order(&store, txn).unwrap();
    }
    let reader = |key: &[u8]| {
        let mut txn = Txn::begin(&store, base);
        txn.get(key);
        txn.put(b"x", b"1");
        order(&store, txn)
    };
    for gate in [Some(gate), None] {
        assert!(matches!(reader(b"early"), Err(AppendError::Conflict { what, .. }) if what.contains("in version 22")));
        reader(b"elsewhere").unwrap();
        drop(gate);
        put(&store, "other", vec![]).unwrap();
    }
    assert_sound(&store);
}

#[test]
fn a_hot_key_counts_every_transaction_in_few_syncs() {
    const THREADS: u64 = 8;
    const EACH: u64 = 400;
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let durable = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    loop {
                        let mut txn = at_newest(&store);
                        let old = txn.get(b"hot").map_or(0, |bytes| u64::from_bytes(&bytes).unwrap());
                        assert_eq!(old, txn.view.head().version.0);
                        txn.put(b"hot", &(old + 1).to_bytes());
                        let (durable, reader) = (durable.clone(), store.clone());
                        let answer = store.order(made(txn, &store), move |answer| {
                            let version = answer.unwrap().committed.unwrap().1;
                            assert!(reader.head(&name(SPACE)).unwrap().unwrap().version >= version);
                            durable.fetch_add(1, Ordering::Relaxed);
                        });
                        match answer {
                            Ok(_) => break,
                            Err(AppendError::Conflict { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut last = Version(0);
            while last.0 < THREADS * EACH {
                let Some(head) = store.head(&name(SPACE)).unwrap() else { continue };
                assert!(head.version >= last);
                last = head.version;
                let value = store.view(head).unwrap().get(1, b"hot").unwrap();
                assert_eq!(value.map_or(0, |value| u64::from_bytes(&inline(value)).unwrap()), last.0);
            }
        });
    });
    put(&store, "other", vec![]).unwrap();
    assert_eq!(durable.load(Ordering::Relaxed) as u64, THREADS * EACH);
    let report = assert_sound(&store);
    assert!(report.rows * 3 < THREADS * EACH, "{} rows for {} transactions", report.rows, THREADS * EACH);
}

#[test]
fn branches_of_what_is_only_ordered() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let space = name(SPACE);
    let gate = Gate::hold(&store);
    let one = put_newest(&store, b"a", b"1");
    put_newest(&store, b"a", b"2");
    std::thread::scope(|scope| {
        // Each waits until it is durable, and has its place in the order long before.
        let forked = scope.spawn(|| store.fork(&space, one, &name("fork"), NOW).unwrap());
        let fork = until(|| store.newest(&name("fork")).unwrap());
        let never = Head { version: Version(9), ..one };
        let (told, answers) = mpsc::channel();
        store.fork_then(&space, never, &name("never"), NOW, move |answer| told.send(answer).unwrap()).unwrap();
        assert_eq!(store.view(fork).unwrap().get(1, b"a").unwrap().map(inline).as_deref(), Some(b"1".as_slice()));
        let mut txn = Txn::begin(&store, fork);
        txn.put(b"b", b"forked");
        let mut in_fork = whole(&store, &name("fork"), fork, vec![], vec![]);
        in_fork.commit = Some(txn.proposal());
        in_fork.commit.as_mut().unwrap().space = name("fork");
        store.order(in_fork, |answer| assert!(answer.is_ok())).unwrap();
        let two = store.newest(&space).unwrap().unwrap();
        let (rolling, at) = (&store, &space);
        let rolled = scope.spawn(move || rolling.rollback(at, two, one, NOW).unwrap());
        let back = until(|| store.newest(&space).unwrap().filter(|head| *head != two));
        assert_eq!(store.view(back).unwrap().get(1, b"a").unwrap().map(inline).as_deref(), Some(b"1".as_slice()));
        assert_eq!(store.view(two).unwrap().get(1, b"a").unwrap().map(inline).as_deref(), Some(b"2".as_slice()));
        let mut late = Txn::begin(&store, two);
        late.put(b"late", b"1");
        assert!(matches!(order(&store, late), Err(AppendError::Conflict { .. })));
        let mut txn = at_newest(&store);
        txn.put(b"c", b"after");
        order(&store, txn).unwrap();
        let removed = scope.spawn(|| store.remove_space(&space, NOW).unwrap());
        until(|| store.newest(&space).unwrap().is_none().then_some(()));
        let gone = Txn::begin(&store, back);
        let mut gone = made(gone, &store);
        gone.commit.as_mut().unwrap().cells = vec![cell(1, b"x", None)];
        refused_at_once(&store, gone);
        // Made again, it goes on counting.
        let again = put_newest(&store, b"a", b"again");
        assert_eq!(again.version, Version(6));
        assert_eq!(store.view(again).unwrap().get(1, b"c").unwrap(), None);
        assert_eq!(store.head(&space).unwrap(), None);
        assert!(store.spaces().unwrap().iter().all(|(space, _)| space.as_str() == "gate"));
        assert!(answers.try_recv().is_err());
        drop(gate);
        assert!(matches!(answers.recv().unwrap(), Err(AppendError::NoSuchVersion { .. })));
        assert_eq!((forked.join().unwrap(), rolled.join().unwrap()), (fork, back));
        removed.join().unwrap();
    });
    put(&store, "other", vec![]).unwrap();
    assert_eq!(store.head(&space).unwrap().unwrap().version, Version(6));
    assert_eq!(store.head(&name("fork")).unwrap().unwrap().version, Version(1));
    assert_sound(&store);
    drop(store);
    assert_sound(&open(root.path()));
}

#[test]
fn a_promise_that_was_used_and_given_up_is_void() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let space = name(SPACE);
    let gate = Gate::hold(&store);
    let promised = store.newest_or_new(&space).unwrap();
    assert_eq!(store.head_or_new(&space).unwrap(), promised);
    let stale = Txn::begin(&store, promised);
    put_newest(&store, b"a", b"1");
    std::thread::scope(|scope| {
        let removed = scope.spawn(|| store.remove_space(&space, NOW).unwrap());
        until(|| store.newest(&space).unwrap().is_none().then_some(()));
        let mut stale = made(stale, &store);
        stale.commit.as_mut().unwrap().cells = vec![cell(1, b"x", None)];
        refused_at_once(&store, stale);
        let again = store.newest_or_new(&space).unwrap();
        assert_eq!(again.version, Version(2));
        drop(gate);
        removed.join().unwrap();
        assert_eq!(store.head_or_new(&space).unwrap(), again);
    });
    assert_eq!(put_newest(&store, b"a", b"2").version, Version(3));
    put(&store, "other", vec![]).unwrap();
    assert_sound(&store);
}

#[test]
fn payloads_are_durable_before_the_row_that_names_them() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("db"));
    let (told, answers) = mpsc::channel();
    for n in 0..20u32 {
        let payload = n.to_le_bytes().repeat(40_000);
        let digest = Digest::of(&payload);
        store.blobs().put(payload).unwrap();
        let mut txn = at_newest(&store);
        txn.put(&n.to_le_bytes(), &digest.0);
        let (told, from, to) = (told.clone(), root.path().join("db"), root.path().join(format!("copy{n}")));
        let then = move |answer: Result<Receipt, AppendError>| {
            answer.unwrap();
            if n % 7 == 6 {
                copy_dir(&from, &to);
                told.send(()).unwrap();
            }
        };
        store.order(made(txn, &store), then).unwrap();
        if n % 7 < 6 {
            continue;
        }
        // Nothing else is written while the copy is made.
        answers.recv_timeout(Duration::from_secs(30)).unwrap();
        let copy = open(&root.path().join(format!("copy{n}")));
        let head = copy.head(&name(SPACE)).unwrap().unwrap();
        assert!(head.version.0 > u64::from(n));
        for (_, value) in copy.view(head).unwrap().scan(1, b"", None, 100).unwrap() {
            let digest = Digest(inline(value).try_into().unwrap());
            assert!(copy.blobs().get(&digest).unwrap().is_some());
        }
    }
    assert_sound(&store);
}

#[test]
fn who_orders_waits_while_too_much_is_open_except_in_a_callback() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let gate = Gate::hold(&store);
    let ordered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let orderer = scope.spawn(|| {
            for n in 0..60u8 {
                let mut txn = at_newest(&store);
                txn.put(&[n], &vec![n; 1 << 20]);
                order(&store, txn).unwrap();
                ordered.fetch_add(1, Ordering::Relaxed);
            }
        });
        until(|| (ordered.load(Ordering::Relaxed) >= 32).then_some(()));
        std::thread::sleep(Duration::from_millis(100));
        assert!(ordered.load(Ordering::Relaxed) < 40, "{} MiB are open", ordered.load(Ordering::Relaxed));
        drop(gate);
        orderer.join().unwrap();
    });
    let (told, told_all) = mpsc::channel();
    from_callbacks(store.clone(), 50, told);
    told_all.recv().unwrap();
    assert_eq!(store.head(&name(SPACE)).unwrap().unwrap().version, Version(111));
    assert_sound(&store);
}

/// Orders again and again from its own callback.
fn from_callbacks(store: Store, left: u64, done: mpsc::Sender<()>) {
    let mut txn = at_newest(&store);
    txn.put(b"left", &left.to_be_bytes());
    let (submission, again) = (made(txn, &store), store.clone());
    let then = move |answer: Result<Receipt, AppendError>| {
        answer.unwrap();
        if left == 0 { done.send(()).unwrap() } else { from_callbacks(again, left - 1, done) }
    };
    store.order(submission, then).unwrap();
}

#[test]
fn closing_makes_durable_what_was_ordered() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let (told, answers) = mpsc::channel();
    for n in 0..200u8 {
        let mut txn = at_newest(&store);
        txn.put(&[n], b"v");
        let told = told.clone();
        store.order(made(txn, &store), move |answer| told.send(answer).unwrap()).unwrap();
    }
    store
        .append_soon(Submission { run: store.next_run(), begun: None, frames: vec![], commit: None, ending: None })
        .unwrap();
    drop((store, told));
    let versions: Vec<u64> = answers.iter().map(|answer| answer.unwrap().committed.unwrap().1.0).collect();
    assert_eq!(versions, (1..=200).collect::<Vec<_>>());
    let store = open(root.path());
    assert_eq!(store.head(&name(SPACE)).unwrap().unwrap().version, Version(200));
    assert!(store.frames(store.newest_run().unwrap(), Seq(0)).unwrap().len() == 1);
    assert_sound(&store);
}
