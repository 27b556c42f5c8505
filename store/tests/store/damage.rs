//! Damage: any changed byte of a row is found, and no bytes whatever make the store panic or lie.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use reel_abi::id::{Digest, Seq};
use reel_abi::record::Frame;
use reel_store::{Place, Store};

use crate::support::*;

const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
const DATA: TableDefinition<u64, &[u8]> = TableDefinition::new("data");

/// A small database with all that can be in one, state included.
fn make(dir: &Path) {
    let store = open(dir);
    for round in 0..6u64 {
        let digest = store.blobs().put(round.to_le_bytes().repeat(600)).unwrap();
        let large = reel_abi::record::CellValue::Blob { digest, len: 4800 };
        let mut cells = vec![cell(1, &round.to_be_bytes(), Some(b"value")), cell(2, b"large", None)];
        cells[1].value = large;
        put(&store, ["one", "two"][(round % 2) as usize], cells).unwrap();
    }
    let head = store.head(&name("one")).unwrap().unwrap();
    let first = store.head_at(&name("one"), reel_abi::id::Version(1)).unwrap().unwrap();
    store.rollback(&name("one"), head, first, NOW).unwrap();
    store.fork(&name("one"), first, &name("three"), NOW).unwrap();
    store.set_tag(&"tag".parse().unwrap(), &name("one"), head, NOW).unwrap();
    store.remove_space(&name("two"), NOW).unwrap();
    store.settle().unwrap();
}

/// All that can be read, as text; `None` if something could not be read and said so.
fn everything(store: &Store) -> Option<String> {
    let mut text = String::new();
    for (space, head) in store.spaces().ok()? {
        let view = store.view(head).ok()?;
        for family in 1..3 {
            text += &format!("{space} {head:?} {:?}\n", view.scan(family, b"", None, 100).ok()?);
        }
        text += &format!("{:?}\n", store.history(&space).ok()?);
    }
    text += &format!("{:?}\n", store.tags().ok()?);
    for run in store.runs(None, 100).ok()? {
        text += &format!("{run:?}\n");
        for at in store.frames(run.run, Seq(0)).ok()? {
            text += &format!("{:?}\n", store.frame(&at).ok()?);
        }
    }
    for round in 0..6u64 {
        text += &format!("{:?}\n", store.blobs().get(&Digest::of(&round.to_le_bytes().repeat(600))).ok()?);
    }
    Some(text)
}

/// Opens, checks and reads a damaged database. Whatever is not found must have done no harm.
fn found_or_harmless(dir: &Path, sound: &str) -> Result<bool, TestCaseError> {
    let Ok(store) = Store::open_existing(dir, "test") else { return Ok(true) };
    let Ok(report) = store.verify(&mut |_, _| Ok(()), &mut |_, _| {}) else { return Ok(true) };
    let read = everything(&store);
    if report.is_sound() {
        prop_assert_eq!(read.as_deref(), Some(sound), "verify found nothing, but the content is another");
    }
    Ok(!report.is_sound())
}

fn edit_row(dir: &Path, position: u64, f: impl FnOnce(&mut Vec<u8>)) {
    let db = Database::open(dir.join("log/00000001.redb")).unwrap();
    let mut bytes = db.begin_read().unwrap().open_table(ROWS).unwrap().get(position).unwrap().unwrap().value().to_vec();
    f(&mut bytes);
    let txn = db.begin_write().unwrap();
    txn.open_table(ROWS).unwrap().insert(position, bytes.as_slice()).unwrap();
    txn.commit().unwrap();
}

#[test]
fn every_changed_byte_of_a_row_is_found() {
    let root = tempfile::tempdir().unwrap();
    let sound = root.path().join("sound");
    make(&sound);
    let text = everything(&open(&sound)).unwrap();
    let mut number = 0;
    for position in 1..=7 {
        for at in (0..400).step_by(23) {
            let dir = root.path().join(format!("{number}"));
            number += 1;
            copy_dir(&sound, &dir);
            let mut changed = false;
            edit_row(&dir, position, |bytes| {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (at % 8);
                    changed = true;
                }
            });
            assert!(!changed || found_or_harmless(&dir, &text).unwrap(), "row {position}, byte {at}");
            fs::remove_dir_all(&dir).unwrap();
        }
    }
}

#[test]
fn a_row_that_is_gone_and_a_row_that_is_forged_are_found() {
    let root = tempfile::tempdir().unwrap();
    for forge in [false, true] {
        let dir = root.path().join(format!("{forge}"));
        make(&dir);
        if forge {
            edit_row(&dir, 3, |bytes| bytes.extend_from_slice(&[5, 1]));
        } else {
            let db = Database::open(dir.join("log/00000001.redb")).unwrap();
            let txn = db.begin_write().unwrap();
            txn.open_table(ROWS).unwrap().remove(3).unwrap();
            txn.commit().unwrap();
        }
        let problems = verify(&open(&dir)).problems;
        assert!(problems.iter().any(|p| matches!(p.at, Place::Row(row) if row.0 == 3 || row.0 == 4)), "{problems:#?}");
    }
}

#[test]
fn a_missing_payload_and_a_changed_one_are_found() {
    let root = tempfile::tempdir().unwrap();
    make(root.path());
    let db = Database::open(root.path().join("blobs.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut data = txn.open_table(DATA).unwrap();
        let mut bytes = data.get(2).unwrap().unwrap().value().to_vec();
        bytes[5] ^= 1;
        data.insert(2, bytes.as_slice()).unwrap();
        data.remove(3).unwrap();
    }
    txn.commit().unwrap();
    drop(db);
    let store = open(root.path());
    let problems = verify(&store).problems;
    assert_eq!(problems.iter().filter(|p| matches!(p.at, Place::Blob(_))).count(), 2, "{problems:#?}");
}

#[test]
fn a_state_that_does_not_say_what_the_log_says_is_found() {
    let root = tempfile::tempdir().unwrap();
    make(root.path());
    let db = Database::open(root.path().join("state.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let heads: TableDefinition<&str, (u64, u64)> = TableDefinition::new("heads");
        let mut heads = txn.open_table(heads).unwrap();
        heads.insert("two", (2, 2)).unwrap();
        heads.insert("three", (1, 2)).unwrap();
        let ends: TableDefinition<u64, &[u8]> = TableDefinition::new("ends");
        txn.open_table(ends).unwrap().remove(4).unwrap();
    }
    txn.commit().unwrap();
    drop(db);
    let problems = verify(&open(root.path())).problems;
    let text = format!("{problems:#?}");
    assert!(text.contains("no such end of run 4") && text.contains("two") && text.contains("three"), "{text}");
}

#[test]
fn a_frame_that_the_host_dislikes_is_listed() {
    let root = tempfile::tempdir().unwrap();
    make(root.path());
    let store = open(root.path());
    let mut seen = 0;
    let mut dislike = |frame: &Frame, raw: &[u8]| {
        seen += 1;
        assert!(raw.starts_with(b"events 0"));
        if frame.run.0 == 2 { Err("no".to_owned()) } else { Ok(()) }
    };
    let mut last = (0, 0);
    let report = store.verify(&mut dislike, &mut |done, of| last = (done, of)).unwrap();
    assert_eq!((seen, report.problems.len()), (6, 1));
    assert!(report.problems[0].what.contains("frame of run 2: no"), "{:?}", report.problems);
    assert_eq!(last.0, last.1);
}

#[test]
fn a_missing_log_file_is_found_and_the_rest_is_read() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_with_log_file_bytes(root.path(), "test", 100_000).unwrap();
    for _ in 0..60 {
        put(&store, "s", vec![cell(1, b"k", Some(&[3; 2000]))]).unwrap();
    }
    store.settle().unwrap();
    let files = assert_sound(&store).files;
    assert!(files > 3);
    drop(store);
    fs::remove_file(root.path().join("log/00000002.redb")).unwrap();
    fs::write(root.path().join("log/00000003.redb"), b"garbage").unwrap();
    let store = open(root.path());
    let report = verify(&store);
    assert_eq!(report.files, files - 2);
    assert!(!report.is_sound());
    let run = store.runs(None, 100).unwrap();
    let frames: Vec<_> = run.iter().flat_map(|run| store.frames(run.run, Seq(0)).unwrap()).collect();
    let (read, lost): (Vec<_>, Vec<_>) = frames.iter().map(|at| store.frame(at)).partition(Result::is_ok);
    assert!(!read.is_empty() && !lost.is_empty());
    put(&store, "s", vec![cell(1, b"k", Some(b"on"))]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn random_damage_is_found_or_harmless(
        file in prop::sample::select(vec!["log/00000001.redb", "state.redb", "blobs.redb"]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=255), 1..12),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        thread_local! {
            static SOUND: (tempfile::TempDir, String) = {
                let root = tempfile::tempdir().unwrap();
                make(root.path());
                let text = everything(&open(root.path())).unwrap();
                (root, text)
            };
        }
        SOUND.with(|(sound, text)| {
            let root = tempfile::tempdir().unwrap();
            copy_dir(sound.path(), root.path());
            let path = root.path().join(file);
            let mut bytes = fs::read(&path).unwrap();
            for (at, mask) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            fs::write(&path, bytes).unwrap();
            found_or_harmless(root.path(), text).map(drop)
        })?;
    }
}
