//! Flat segments: nobody sees when cells are copied, and what was copied is checked.

use std::path::Path;

use redb::{Database, ReadableTable, ReadableTableMetadata, TableDefinition};
use reel_abi::record::CellValue;
use reel_store::{Store, View};

use crate::support::*;

const FLAT: TableDefinition<u64, &[u8]> = TableDefinition::new("flat");

/// Six generations of a space with 40 keys, each of which changes one, removes one and adds one.
fn generations(dir: &Path) -> Store {
    let store = open(dir);
    let key = |n: u8| [n, 0];
    let mut cells: Vec<_> = (0..40).map(|n| cell(1 + n % 2, &key(n), Some(&[n]))).collect();
    cells.sort_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
    put(&store, "g0", cells).unwrap();
    for n in 1..=6u8 {
        let (from, to) = (name(&format!("g{}", n - 1)), format!("g{n}"));
        store.fork(&from, store.head(&from).unwrap().unwrap(), &name(&to), NOW).unwrap();
        let changes = vec![
            cell(1, &key(2 * n), Some(b"changed")),
            cell(1, &key(2 * n + 20), None),
            cell(3, &key(n), Some(b"added")),
        ];
        put(&store, &to, changes).unwrap();
    }
    store
}

fn content(view: &View) -> Vec<(u8, Vec<u8>, CellValue)> {
    let family = |family| {
        let all = view.scan(family, b"", None, usize::MAX).unwrap().into_iter();
        all.map(move |(key, value)| (family, key, value))
    };
    let scanned: Vec<_> = (0..5).flat_map(family).collect();
    for (family, key, value) in &scanned {
        assert_eq!(view.get(*family, key).unwrap().as_ref(), Some(value));
    }
    for n in 0..40 {
        let there = scanned.iter().any(|(family, key, _)| *family == 1 && *key == [n, 0]);
        assert_eq!(view.get(1, &[n, 0]).unwrap().is_some(), there);
    }
    scanned
}

fn views(store: &Store) -> Vec<View> {
    (0..=6).map(|n| store.view(store.head(&name(&format!("g{n}"))).unwrap().unwrap()).unwrap()).collect()
}

#[test]
fn nobody_sees_it_happen() {
    let root = tempfile::tempdir().unwrap();
    let store = generations(&root.path().join("db"));
    let before = views(&store);
    let known: Vec<_> = before.iter().map(content).collect();
    store.settle().unwrap();
    let whole = |store: &Store| {
        assert_eq!(views(store).iter().map(content).collect::<Vec<_>>(), known);
        assert_sound(store);
    };
    for step in 0..52 {
        store.flatten(1, 7, 1).unwrap();
        assert_eq!(before.iter().map(content).collect::<Vec<_>>(), known, "a view that was open");
        whole(&store);
        if step % 6 == 0 {
            let copy = root.path().join(format!("{step}"));
            copy_dir(&root.path().join("db"), &copy);
            let crashed = open(&copy);
            whole(&crashed);
            // Others find what was begun, and what is written meanwhile is not lost.
            put(&crashed, "g6", vec![cell(1, b"late", Some(b"late"))]).unwrap();
            crashed.settle().unwrap();
            crashed.flatten(1, 1000, usize::MAX).unwrap();
            let late = crashed.view(crashed.head(&name("g6")).unwrap().unwrap()).unwrap();
            assert_eq!(content(&late).len(), known[6].len() + 1);
            assert_sound(&crashed);
        }
    }
    drop((before, store));
    let state = root.path().join("db/state.redb");
    let flats = Database::open(&state).unwrap();
    let txn = redb::ReadableDatabase::begin_read(&flats).unwrap();
    assert_eq!(txn.open_table(FLAT).unwrap().len().unwrap(), 6);
    drop((txn, flats));
    std::fs::remove_file(&state).unwrap();
    whole(&open(&root.path().join("db")));
}

/// A reader may learn that all is copied from a snapshot that is one write newer than the one in which it looks for a cell.
#[test]
fn that_all_is_copied_is_written_after_the_last_cells() {
    let root = tempfile::tempdir().unwrap();
    let store = generations(&root.path().join("db"));
    store.settle().unwrap();
    let rows = || {
        let copy = root.path().join("copy.redb");
        std::fs::copy(root.path().join("db/state.redb"), &copy).unwrap();
        let db = Database::create(&copy).unwrap();
        let txn = redb::ReadableDatabase::begin_read(&db).unwrap();
        let Ok(table) = txn.open_table(FLAT) else { return Vec::new() };
        table.iter().unwrap().map(|row| row.unwrap()).map(|(id, flat)| (id.value(), flat.value().to_vec())).collect()
    };
    // A row is the number of the copied cells, and where to go on: 0 for nowhere.
    let is_done = |row: &[u8]| row.last() == Some(&0) && row.len() < 4;
    let (mut before, mut done): (Vec<(u64, Vec<u8>)>, usize) = (rows(), 0);
    for _ in 0..52 {
        store.flatten(1, 7, 1).unwrap();
        let now = rows();
        for (id, row) in now.iter().filter(|(_, row)| is_done(row)) {
            // The later generations are made flat in the background too, in few and large steps.
            let known = before.iter().find(|(known, _)| known == id).map(|(_, row)| row.as_slice());
            assert!(known.is_some() || *id > 4, "cells of segment {id} were copied in the same write");
            let Some(known) = known else { continue };
            assert!(known == row || known.starts_with(&row[..row.len() - 1]), "{known:?}, then {row:?}");
            done = done.max(now.iter().filter(|(_, row)| is_done(row)).count());
        }
        before = now;
    }
    assert_eq!(done, 6);
}

#[test]
fn a_long_chain_becomes_flat_in_the_background() {
    let root = tempfile::tempdir().unwrap();
    let store = generations(root.path());
    store.settle().unwrap();
    let began = std::time::Instant::now();
    let flats = || {
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(root.path().join("state.redb"), copy.path().join("state.redb")).unwrap();
        let db = Database::create(copy.path().join("state.redb")).unwrap();
        let txn = redb::ReadableDatabase::begin_read(&db).unwrap();
        txn.open_table(FLAT).map_or(0, |table| table.len().unwrap())
    };
    // The chain of the fifth generation is the first that is longer than four.
    while flats() == 0 {
        assert!(began.elapsed().as_secs() < 20, "nothing happens");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_sound(&store);
}

#[test]
fn what_was_copied_wrongly_is_found() {
    let root = tempfile::tempdir().unwrap();
    let store = generations(root.path());
    store.settle().unwrap();
    store.flatten(3, 1000, usize::MAX).unwrap();
    assert_sound(&store);
    drop(store);
    // Which segments are said to be flat is changed: one that is not, and one that was never opened.
    let state = root.path().join("state.redb");
    let db = Database::open(&state).unwrap();
    let txn = db.begin_write().unwrap();
    let flat = txn.open_table(FLAT).unwrap().first().unwrap().unwrap().1.value().to_vec();
    txn.open_table(FLAT).unwrap().insert(1, flat.as_slice()).unwrap();
    txn.open_table(FLAT).unwrap().insert(999, flat.as_slice()).unwrap();
    txn.commit().unwrap();
    drop(db);
    let report = verify(&open(root.path()));
    let told: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|problem| problem.contains("segment 999, which was never opened")), "{told:?}");
    assert!(told.iter().any(|problem| problem.contains("copied 0 cells into segment 1")), "{told:?}");
}
