//! Many threads: transactions are serialised, everyone gets their own answer, readers see only whole versions.

use std::sync::atomic::{AtomicBool, Ordering};

use reel_abi::record::CellValue;
use reel_store::{AppendError, Store, View};

use crate::support::*;

const THREADS: usize = 64;
const EACH: u64 = 15;

fn number(view: &View, key: &[u8]) -> u64 {
    match view.get(1, key).unwrap() {
        None => 0,
        Some(CellValue::Inline { bytes }) => u64::from_le_bytes(bytes.0.try_into().unwrap()),
        Some(other) => panic!("{other:?}"),
    }
}

/// Adds one to two counters of the space, again and again until nobody was faster.
fn increment(store: &Store, space: &str) {
    let space = name(space);
    loop {
        let head = store.head_or_new(&space).unwrap();
        let view = store.view(head).unwrap();
        let next = number(&view, b"a") + 1;
        assert_eq!(number(&view, b"b") + 1, next);
        let cells = vec![cell(1, b"a", Some(&next.to_le_bytes())), cell(1, b"b", Some(&next.to_le_bytes()))];
        match store.append(whole(store, &space, head, cells, vec![])) {
            Ok(_) => return,
            Err(AppendError::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn counters_count_every_commit() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_with_log_file_bytes(root.path(), "test", 300_000).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    for _ in 0..EACH {
                        increment(store, &format!("s{}", thread % 8));
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.settle().unwrap();
                for (_, head) in store.spaces().unwrap() {
                    let view = store.view(head).unwrap();
                    assert_eq!((number(&view, b"a"), number(&view, b"b")), (head.version.0, head.version.0));
                    assert_eq!(view.scan(1, b"", None, 10).unwrap().len(), if head.version.0 > 0 { 2 } else { 0 });
                }
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_sound(&store);
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let total: u64 = store.spaces().unwrap().iter().map(|(_, head)| head.version.0).sum();
    assert_eq!(total, THREADS as u64 * EACH);
    let report = assert_sound(&store);
    assert_eq!(report.commits, total);
    assert!(report.files > 1, "the log was meant to rotate");
}
