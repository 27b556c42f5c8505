//! Backups: a copy is a database as the original was, whenever it was made and wherever it was cut off.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use reel_abi::id::{RunId, WallTime};
use reel_store::{Backup, BackupError, Store, restore};

use crate::retention::{at, check, fill, retain, small};
use crate::support::*;

fn backup(store: &Store, to: &Path) -> Result<Backup, BackupError> {
    store.backup(to, "a backup", &mut |done, total| assert!(done <= total))
}

/// All that a database says of itself: where spaces stand, what they hold, what runs there were.
fn seen(store: &Store) -> Vec<String> {
    let mut seen = Vec::new();
    for (space, head) in store.spaces().unwrap() {
        let view = store.view(head).unwrap();
        for family in 0..4 {
            seen.push(format!("{space} {head:?} {family} {:?}", view.scan(family, b"", None, 10_000).unwrap()));
        }
    }
    for run in 1..=store.newest_run().unwrap_or_default().0 {
        seen.push(format!("{:?}", store.run(RunId(run)).unwrap()));
    }
    seen
}

fn assert_same(store: &Store, copy: &Path) {
    let copy = open(copy);
    assert_sound(&copy);
    assert_eq!(seen(store), seen(&copy));
}

#[test]
fn a_copy_is_the_same_and_the_next_one_has_only_what_is_new() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = fill(&root.path().join("db"));
    let to = root.path().join("copy");
    let first = backup(&store, &to).unwrap();
    assert!(first.rows > 40 && first.payloads == 41, "{first:?}");
    assert_same(&store, &to);
    assert_eq!(backup(&store, &to).unwrap(), Backup { through: first.through, ..Backup::default() });
    put(&store, "s", vec![cell(1, b"b", Some(b"new"))]).unwrap();
    store.blobs().put(vec![7; 5000]).unwrap();
    put(&store, "t", vec![cell(1, b"b", Some(b"new"))]).unwrap();
    let next = backup(&store, &to).unwrap();
    assert_eq!((next.rows, next.payloads), (next.through.0 - first.through.0, 1), "{next:?}");
    assert_same(&store, &to);
}

#[test]
fn what_was_copied_while_others_wrote_is_a_moment_of_the_original() {
    let root = tempfile::tempdir().unwrap();
    let store = small(&root.path().join("db"));
    let to = root.path().join("copy");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                for round in 0u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    store.blobs().put(round.to_le_bytes().repeat(1000 + thread)).unwrap();
                    put(store, &format!("s{thread}"), vec![cell(1, b"n", Some(&round.to_le_bytes()))]).unwrap();
                }
            });
        }
        for round in 0..6 {
            let acknowledged = store.newest_run();
            let done = backup(&store, &to);
            let one = root.path().join(format!("one{round}"));
            copy_dir(&to, &one);
            if done.is_err() || round == 5 {
                stop.store(true, Ordering::Relaxed);
            }
            done.unwrap();
            let copy = open(&one);
            assert_sound(&copy);
            for thread in 0..3 {
                let space = name(&format!("s{thread}"));
                let Some(head) = copy.head(&space).unwrap() else { continue };
                let value = copy.view(head).unwrap().get(1, b"n").unwrap();
                assert_eq!(value, Some(cell(1, b"", Some(&(head.version.0 - 1).to_le_bytes())).value));
            }
            // A run that had ended before is there.
            let ended = |store: &Store| {
                (1..=store.newest_run().unwrap_or_default().0)
                    .rev()
                    .find(|run| store.run(RunId(*run)).unwrap().is_some_and(|run| run.end.is_some()))
            };
            assert!(acknowledged.is_none() || ended(&copy).is_some());
        }
    });
    backup(&store, &to).unwrap();
    assert_same(&store, &to);
}

#[test]
fn a_copy_that_was_cut_off_anywhere_is_sound_and_is_gone_on_with() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = fill(&root.path().join("db"));
    let to = root.path().join("copy");
    let mut cuts = 0;
    store
        .backup_in_steps(&to, "a backup", 20_000, &mut |_, _| {
            cuts += 1;
            copy_dir(&to, &root.path().join(format!("cut{cuts}")));
        })
        .unwrap();
    assert!(cuts > 15, "{cuts}");
    for cut in 1..=cuts {
        let cut = root.path().join(format!("cut{cut}"));
        assert_sound(&open(&cut));
        backup(&store, &cut).unwrap();
        assert_same(&store, &cut);
    }
}

#[test]
fn what_retention_let_go_is_no_obstacle() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = fill(&root.path().join("db"));
    let (before, after) = (root.path().join("before"), root.path().join("after"));
    backup(&store, &before).unwrap();
    retain(&store, 305);
    let kept = |version: u64| version >= 30 || version == 5 || version == 8;
    check(&store, &kept);
    for to in [&before, &after] {
        backup(&store, to).unwrap();
        let copy = open(to);
        assert_sound(&copy);
        check(&copy, &kept);
        assert!(at(&copy, 12).is_err());
    }
    put(&store, "s", vec![cell(1, b"b", Some(b"new"))]).unwrap();
    backup(&store, &after).unwrap();
    assert_sound(&open(&after));
}

#[test]
fn a_backup_goes_on_only_from_what_is_a_copy() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = fill(&root.path().join("db"));
    let (to, old) = (root.path().join("copy"), root.path().join("old"));
    backup(&store, &to).unwrap();
    copy_dir(&to, &old);
    assert!(matches!(backup(&store, &root.path().join("db")), Err(BackupError::Itself { .. })));
    assert!(matches!(backup(&store, &root.path().join("db/../db")), Err(BackupError::Itself { .. })));
    // Somebody works with the copy.
    let copy = open(&to);
    assert!(matches!(backup(&store, &to), Err(BackupError::Open(_))));
    put(&copy, "s", vec![cell(1, b"b", Some(b"other"))]).unwrap();
    drop(copy);
    assert!(matches!(backup(&store, &to), Err(BackupError::OtherHistory { .. })));
    put(&store, "s", vec![cell(1, b"b", Some(b"here"))]).unwrap();
    put(&store, "s", vec![cell(1, b"b", Some(b"here"))]).unwrap();
    assert!(matches!(backup(&store, &to), Err(BackupError::OtherHistory { .. })));
    // What went before it was copied.
    for round in 0..40u64 {
        put(&store, "s", vec![cell(1, b"b", Some(&round.to_le_bytes().repeat(3000)))]).unwrap();
    }
    retain(&store, 10_000);
    assert!(matches!(backup(&store, &old), Err(BackupError::Gap { .. })));
    assert_sound(&open(&old));
}

#[test]
fn a_restored_database_is_the_one_that_was_backed_up() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = fill(&root.path().join("db"));
    let (backed, new) = (root.path().join("copy"), root.path().join("new"));
    backup(&store, &backed).unwrap();
    let done = restore(&backed, &new, "a test", &mut |_, _| {}).unwrap();
    assert_same(&store, &new);
    assert_eq!(done.through, backup(&store, &backed).unwrap().through);
    let again = |from: &Path, to: &Path| restore(from, to, "a test", &mut |_, _| {});
    assert!(matches!(again(&backed, &new), Err(BackupError::Exists { .. })));
    assert!(matches!(again(&root.path().join("nowhere"), &root.path().join("x")), Err(BackupError::Open(_))));
    // It goes on by itself, and both can be backed up.
    let restored = open(&new);
    restored.fork(&name("s"), restored.head(&name("s")).unwrap().unwrap(), &name("f2"), WallTime(9)).unwrap();
    backup(&restored, &root.path().join("copy2")).unwrap();
    assert_same(&restored, &root.path().join("copy2"));
}

#[test]
fn a_damaged_original_is_not_copied_as_if_it_were_sound() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    let (store, _) = fill(&dir);
    store.settle().unwrap();
    drop(store);
    // A sector of the first log file, which is closed.
    let file = dir.join("log/00000001.redb");
    let whole = std::fs::read(&file).unwrap();
    let mut refused = 0;
    for part in 1..80 {
        let mut bytes = whole.clone();
        let at = bytes.len() * part / 80;
        bytes[at..at + 512].iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(&file, bytes).unwrap();
        let to = root.path().join(format!("copy{part}"));
        let Ok(store) = Store::open(&dir, "test") else { continue };
        match backup(&store, &to) {
            Ok(_) => drop(assert_sound(&open(&to))),
            Err(error) => {
                assert!(matches!(error, BackupError::Read(_)), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "{refused}");
}
