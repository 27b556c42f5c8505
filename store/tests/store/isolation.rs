//! What may not happen when transactions run at once, each anomaly by its name.

use reel_abi::id::Version;
use reel_abi::wire::Wire;
use reel_store::{AppendError, Head, Receipt, Store};

use crate::support::*;
use crate::txn::{SPACE, Txn, inline};

fn conflict(answer: Result<Receipt, AppendError>) -> String {
    match answer {
        Err(AppendError::Conflict { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

fn seeded() -> (tempfile::TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    put(&store, SPACE, vec![cell(1, b"a", Some(b"1")), cell(1, b"b", Some(b"1"))]).unwrap();
    (root, store)
}

#[test]
fn a_lost_update_is_prevented() {
    let (_root, store) = seeded();
    let (mut one, mut two) = (Txn::at_head(&store), Txn::at_head(&store));
    for txn in [&mut one, &mut two] {
        let old = txn.get(b"a").unwrap();
        txn.put(b"a", &[old, b"+".to_vec()].concat());
    }
    one.commit(&store).unwrap();
    let what = conflict(two.commit(&store));
    assert_eq!(what, "it had read key \"a\" of family 1, which run 2 wrote in version 2");
    assert_sound(&store);
}

#[test]
fn write_skew_is_prevented() {
    let (_root, store) = seeded();
    let (mut one, mut two) = (Txn::at_head(&store), Txn::at_head(&store));
    for (txn, own) in [(&mut one, b"a"), (&mut two, b"b")] {
        let both = [txn.get(b"a").unwrap(), txn.get(b"b").unwrap()];
        assert_eq!(both, [b"1".to_vec(), b"1".to_vec()]);
        txn.put(own, b"0");
    }
    one.commit(&store).unwrap();
    conflict(two.commit(&store));
}

#[test]
fn a_phantom_is_noticed() {
    let (_root, store) = seeded();
    let (mut one, mut two) = (Txn::at_head(&store), Txn::at_head(&store));
    assert_eq!(one.scan(b"a", Some(b"c")).len(), 2);
    one.put(b"sum", b"2");
    two.put(b"aa", b"1");
    two.commit(&store).unwrap();
    let what = conflict(one.commit(&store));
    assert_eq!(what, "run 2 wrote key \"aa\" of family 1 in version 2, which lies in a range that it had read");
    // Outside of the range nothing is overtaken.
    let (mut one, mut two) = (Txn::at_head(&store), Txn::at_head(&store));
    one.scan(b"a", Some(b"c"));
    one.put(b"sum", b"3");
    two.put(b"c", b"1");
    two.commit(&store).unwrap();
    one.commit(&store).unwrap();
}

#[test]
fn what_was_absent_must_still_be_absent() {
    let (_root, store) = seeded();
    let (mut one, mut two) = (Txn::at_head(&store), Txn::at_head(&store));
    for txn in [&mut one, &mut two] {
        assert_eq!(txn.get(b"new"), None);
        txn.put(b"new", b"mine");
    }
    one.commit(&store).unwrap();
    conflict(two.commit(&store));
}

/// Fekete, O'Neil and O'Neil: with snapshots alone a transaction that only reads can see what no order explains.
#[test]
fn the_anomaly_of_a_transaction_that_only_reads_is_prevented() {
    let (_root, store) = seeded();
    // Withdraws from one account, at a fee if both together do not cover it.
    let mut withdraw = Txn::at_head(&store);
    let poor = withdraw.get(b"a").unwrap() == b"1" && withdraw.get(b"b").unwrap() == b"1";
    let mut deposit = Txn::at_head(&store);
    deposit.get(b"b");
    deposit.put(b"b", b"20");
    deposit.commit(&store).unwrap();
    // Sees the deposit, and no withdrawal: so the deposit came first.
    let mut report = Txn::at_head(&store);
    assert_eq!((report.get(b"a").unwrap(), report.get(b"b").unwrap()), (b"1".to_vec(), b"20".to_vec()));
    report.commit(&store).unwrap();
    assert!(poor);
    withdraw.put(b"a", b"-11");
    conflict(withdraw.commit(&store));
}

#[test]
fn blind_writes_and_counters_never_conflict() {
    let (_root, store) = seeded();
    let base = store.head(&name(SPACE)).unwrap().unwrap();
    for round in 0..20u8 {
        let mut txn = Txn::begin(&store, base);
        txn.put(b"a", &[round]);
        txn.count(b"n", if round == 9 { -100 } else { 2 });
        assert_eq!(txn.commit(&store).unwrap().committed.unwrap().1, Version(u64::from(round) + 2));
    }
    let view = store.view(store.head(&name(SPACE)).unwrap().unwrap()).unwrap();
    assert_eq!(inline(view.get(1, b"a").unwrap().unwrap()), vec![19]);
    assert_eq!(u64::from_bytes(&inline(view.get(2, b"n").unwrap().unwrap())), Ok(20));
    assert_sound(&store);
}

#[test]
fn who_reads_a_counter_conflicts_with_who_counts() {
    let (_root, store) = seeded();
    let (mut reader, mut counter) = (Txn::at_head(&store), Txn::at_head(&store));
    reader.reads.key(2, b"n");
    reader.put(b"seen", b"0");
    counter.count(b"n", 1);
    counter.commit(&store).unwrap();
    conflict(reader.commit(&store));
}

#[test]
fn what_a_counter_cannot_be_is_refused() {
    let (_root, store) = seeded();
    put(&store, SPACE, vec![cell(2, b"word", Some(b"not a number"))]).unwrap();
    let mut on_a_word = Txn::at_head(&store);
    on_a_word.count(b"word", 1);
    assert!(matches!(on_a_word.commit(&store), Err(AppendError::Invalid(_))));
    let mut both = Txn::at_head(&store);
    both.count(b"k", 1);
    both.cells.insert((2, b"k".to_vec()), None);
    assert!(matches!(both.commit(&store), Err(AppendError::Invalid(_))));
    let mut twice = Txn::at_head(&store);
    twice.count(b"k", 3);
    twice.count(b"k", -1);
    twice.commit(&store).unwrap();
    let view = store.view(store.head(&name(SPACE)).unwrap().unwrap()).unwrap();
    assert_eq!(u64::from_bytes(&inline(view.get(2, b"k").unwrap().unwrap())), Ok(2));
}

#[test]
fn a_base_that_was_rolled_back_is_a_conflict_even_for_blind_writes() {
    let (_root, store) = seeded();
    let mut txn = Txn::at_head(&store);
    txn.put(b"x", b"1");
    let head = store.head(&name(SPACE)).unwrap().unwrap();
    store.rollback(&name(SPACE), head, Head { version: Version(0), ..head }, NOW).unwrap();
    conflict(txn.commit(&store));
    // One that leaves nothing behind is serialised where it read.
    let receipt = Txn::begin(&store, head).commit(&store).unwrap();
    assert_eq!(receipt.committed.unwrap().1, head.version);
}

#[test]
fn a_base_older_than_what_is_remembered_is_checked_by_the_log() {
    let (root, mut store) = seeded();
    let space = name(SPACE);
    let base = store.head(&space).unwrap().unwrap();
    for round in 0..3000u32 {
        // Keys so long that only the last thousand are remembered.
        let mut txn = Txn::at_head(&store);
        txn.put(&[round.to_be_bytes().as_slice(), &[b'k'; 200]].concat(), b"v");
        if round == 20 {
            txn.put(b"early", b"v");
        }
        txn.commit(&store).unwrap();
    }
    for reopened in [false, true] {
        let mut reads_early = Txn::begin(&store, base);
        reads_early.get(b"early");
        reads_early.put(b"x", b"1");
        let what = conflict(reads_early.commit(&store));
        assert!(what.contains("\"early\"") && what.contains("in version 22"), "{what}");
        let mut reads_other = Txn::begin(&store, base);
        reads_other.get(b"elsewhere");
        reads_other.put(b"x", b"1");
        let version = reads_other.commit(&store).unwrap().committed.unwrap().1;
        assert_eq!(version, Version(3002 + u64::from(reopened)));
        store.settle().unwrap();
        drop(store);
        store = open(root.path());
    }
    assert_sound(&store);
}
