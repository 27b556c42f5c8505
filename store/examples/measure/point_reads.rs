//! Point reads of a million keys against a bare redb `get` on an open table.

use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, TableDefinition};
use reel_abi::id::{SpaceName, Version, WallTime};
use reel_store::{Head, Store, View};

use super::commits::{KEYS, key, million};

const AT_ONCE: u64 = 20_000;

/// Nanoseconds a call, of random keys.
fn each(time: Duration, mut get: impl FnMut(&[u8])) -> f64 {
    let mut seed = 42u64;
    let (mut spent, mut calls) = (Duration::ZERO, 0);
    while spent < time {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            key(seed >> 20)
        };
        let keys: Vec<Vec<u8>> = (0..AT_ONCE).map(|_| next()).collect();
        let begin = Instant::now();
        keys.iter().for_each(|key| get(key));
        spent += begin.elapsed();
        calls += AT_ONCE;
    }
    spent.as_nanos() as f64 / calls as f64
}

fn view(store: &Store, space: &SpaceName, head: Head) -> View {
    let view = store.view(head).unwrap();
    assert!(view.get(1, &key(7)).unwrap().is_some(), "{space} holds the keys");
    view
}

pub fn reads(dir: &Path, rounds: usize) {
    const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("keys");
    let store = million(&dir.join("reads"));
    let space: SpaceName = "million".parse().unwrap();
    let bare = Database::builder().set_cache_size(128 << 20).create(dir.join("bare-reads.redb")).unwrap();
    let txn = bare.begin_write().unwrap();
    let mut table = txn.open_table(TABLE).unwrap();
    let mut keys: Vec<Vec<u8>> = (0..KEYS).map(key).collect();
    keys.sort();
    for key in &keys {
        table.insert(key.as_slice(), [7u8; 44].as_slice()).unwrap();
    }
    drop(table);
    txn.commit().unwrap();
    let table = bare.begin_read().unwrap().open_table(TABLE).unwrap();
    let head = store.head(&space).unwrap().unwrap();
    let old = store.head_at(&space, Version(50)).unwrap().unwrap();
    let mut branches = Vec::new();
    let (mut source, mut from) = (space.clone(), head);
    for depth in 1..=16 {
        let name: SpaceName = format!("fork-{depth}-{}", store.next_run()).parse().unwrap();
        from = store.fork(&source, from, &name, WallTime(1)).unwrap();
        source = name;
        if [1, 4, 16].contains(&depth) {
            branches.push((depth, from));
        }
    }
    store.settle().unwrap();
    let time = Duration::from_millis(500);
    for _ in 0..rounds {
        let base = each(time, |key| assert!(table.get(key).unwrap().is_some()));
        print!("bare get {base:.0} ns");
        let mut row = vec![("newest".to_owned(), head), ("version 50".to_owned(), old)];
        row.extend(branches.iter().map(|(depth, head)| (format!("{depth} forks deep"), *head)));
        for (what, head) in row {
            let view = view(&store, &space, head);
            let ours = each(time, |key| assert!(view.get(1, key).unwrap().is_some()));
            print!("; {what} {ours:.0} ns = {:.2}", ours / base);
        }
        println!();
    }
}
