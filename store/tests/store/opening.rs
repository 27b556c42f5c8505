//! Opening: who may, what is made, what is refused and in which words.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use redb::{Database, TableDefinition};
use reel_abi::id::{Digest, RunId};
use reel_store::{OpenError, Store};

use crate::support::*;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

fn error(dir: &Path) -> OpenError {
    Store::open(dir, "test").expect_err("opened")
}

#[test]
fn a_second_process_is_told_who_has_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    let store = Store::open(&dir, "4711 reel serve").unwrap();
    let refused = error(&dir);
    assert!(matches!(&refused, OpenError::Locked { owner, .. } if owner == "4711 reel serve"), "{refused}");
    assert!(refused.to_string().contains("4711 reel serve"));
    let view = {
        put(&store, "s", vec![cell(1, b"k", Some(b"v"))]).unwrap();
        store.view(store.head(&name("s")).unwrap().unwrap()).unwrap()
    };
    drop(store);
    assert!(matches!(error(&dir), OpenError::Locked { .. }), "a view is a handle too");
    drop(view);
    open(&dir);
}

#[test]
fn existing_only_does_not_create() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    assert!(matches!(Store::open_existing(&dir, "test"), Err(OpenError::NotFound { .. })));
    assert!(!dir.exists());
    drop(open(&dir));
    drop(Store::open_existing(&dir, "test").unwrap());
    fs::write(root.path().join("file"), "x").unwrap();
    assert!(matches!(Store::open_existing(&root.path().join("file"), "test"), Err(OpenError::NotFound { .. })));
}

#[test]
fn nobody_else_can_read_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    let store = open(&dir);
    put(&store, "s", vec![cell(1, b"k", Some(b"v"))]).unwrap();
    store.settle().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    for folder in [dir.clone(), dir.join("log"), dir.join("cache")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    for file in ["lock", "state.redb", "blobs.redb", "log/00000001.redb"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
}

#[test]
fn an_unused_database_stays_without_files_and_numbers_go_on() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    assert_eq!((store.next_run(), store.next_run()), (RunId(1), RunId(2)));
    assert_eq!((store.newest_run(), store.spaces().unwrap().len()), (None, 0));
    assert_eq!(store.head(&name("s")).unwrap(), None);
    assert_eq!(store.head_or_new(&name("s")).unwrap(), store.head_or_new(&name("s")).unwrap());
    drop(store);
    assert!(!root.path().join("state.redb").exists() && !root.path().join("log/00000001.redb").exists());
    let store = open(root.path());
    put(&store, "s", vec![]).unwrap();
    assert_eq!(store.next_run(), RunId(2));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    for file in ["log/00000001.redb", "state.redb", "blobs.redb"] {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        put(&store, "s", vec![cell(1, b"k", Some(b"v"))]).unwrap();
        store.settle().unwrap();
        drop(store);
        let db = Database::open(root.path().join(file)).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(META).unwrap().insert("format", 2u32.to_le_bytes().as_slice()).unwrap();
        txn.commit().unwrap();
        drop(db);
        if file == "blobs.redb" {
            let store = open(root.path());
            let text = store.blobs().get(&Digest::of(b"content")).unwrap_err().to_string();
            assert!(text.contains("newer format 2"), "{text}");
        } else {
            let text = error(root.path()).to_string();
            assert!(text.contains("format 2") && text.contains(file), "{text}");
        }
    }
}

#[test]
fn a_damaged_state_is_set_aside_and_made_again() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    put(&store, "s", vec![cell(1, b"k", Some(b"v"))]).unwrap();
    store.settle().unwrap();
    drop(store);
    let state = root.path().join("state.redb");
    for (number, bytes) in [b"garbage".to_vec(), vec![0; 100_000], vec![255; 5000]].into_iter().enumerate() {
        fs::write(&state, bytes).unwrap();
        let store = open(root.path());
        let view = store.view(store.head(&name("s")).unwrap().unwrap()).unwrap();
        assert!(view.get(1, b"k").unwrap().is_some());
        assert_sound(&store);
        assert!(root.path().join(format!("state.redb.damaged-{}", number + 1)).exists());
    }
}

#[test]
fn a_state_of_another_log_is_not_believed() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (root, value) in [(&one, b"1"), (&two, b"2")] {
        let store = open(root.path());
        for _ in 0..3 {
            put(&store, "s", vec![cell(1, b"k", Some(value))]).unwrap();
        }
        store.settle().unwrap();
    }
    fs::copy(two.path().join("state.redb"), one.path().join("state.redb")).unwrap();
    let store = open(one.path());
    let view = store.view(store.head(&name("s")).unwrap().unwrap()).unwrap();
    assert_eq!(view.get(1, b"k").unwrap(), Some(cell(1, b"", Some(b"1")).value));
    assert_sound(&store);
}

#[test]
fn a_log_that_was_cut_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    put(&store, "s", vec![cell(1, b"k", Some(b"v"))]).unwrap();
    drop(store);
    let log = root.path().join("log/00000001.redb");
    let old = fs::read(&log).unwrap();
    let store = open(root.path());
    put(&store, "s", vec![cell(1, b"k", Some(b"w"))]).unwrap();
    store.settle().unwrap();
    drop(store);
    fs::write(&log, old).unwrap();
    let text = error(root.path()).to_string();
    assert!(text.contains("ends at row 1, but row 2 was there"), "{text}");
}

#[test]
fn a_log_file_begun_but_not_written_is_begun_again() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    put(&store, "s", vec![cell(1, b"k", Some(b"v"))]).unwrap();
    drop(store);
    fs::write(root.path().join("log/00000002.redb"), "").unwrap();
    let store = open(root.path());
    put(&store, "s", vec![cell(1, b"k", Some(b"w"))]).unwrap();
    drop(store);
    let store = open(root.path());
    assert_eq!(assert_sound(&store).files, 2);
    assert_eq!(store.history(&name("s")).unwrap().len(), 2);
}

#[test]
fn a_directory_that_cannot_be_written_says_so() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "x").unwrap();
    let refused = error(&root.path().join("file/db"));
    assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
    fs::write(root.path().join("log"), "x").unwrap();
    assert!(matches!(error(root.path()), OpenError::Corrupt { .. }));
}

#[test]
fn native_code_is_remembered() {
    let root = tempfile::tempdir().unwrap();
    let (key, code) = (Digest::of(b"component"), Digest::of(b"code"));
    let store = open(root.path());
    assert_eq!(store.compiled(&key).unwrap(), None);
    store.set_compiled(key, code).unwrap();
    assert_eq!(store.compiled(&key).unwrap(), Some(code));
    drop(store);
    let store = open(root.path());
    assert_eq!(store.compiled(&key).unwrap(), Some(code));
    assert_sound(&store);
}
