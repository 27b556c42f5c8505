//! Crashes: what was acknowledged is there afterwards, and the database is sound.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use reel_abi::id::RunId;
use reel_store::Store;

use crate::support::*;

const CHILD: &str = "REEL_STORE_TEST_CHILD";
const ORDERER: &str = "REEL_STORE_TEST_ORDERER";

#[test]
fn a_copy_made_at_any_moment_holds_what_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_with_log_file_bytes(&root.path().join("db"), "test", 120_000).unwrap();
    for round in 1..40u64 {
        put(&store, "s", vec![cell(1, &round.to_be_bytes(), Some(b"v"))]).unwrap();
        if round % 9 == 0 {
            store.settle().unwrap();
        }
        if round % 3 == 0 {
            let copy = root.path().join(format!("copy{round}"));
            copy_dir(&root.path().join("db"), &copy);
            let crashed = open(&copy);
            assert_eq!(crashed.head(&name("s")).unwrap().unwrap().version.0, round);
            assert_eq!(crashed.newest_run(), Some(RunId(round)));
            assert_sound(&crashed);
            put(&crashed, "s", vec![cell(1, b"after", Some(b"v"))]).unwrap();
            assert_sound(&crashed);
        }
    }
}

/// Not a test by itself: what the killed process does.
#[test]
fn child_that_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let store = Store::open_with_log_file_bytes(dir.as_ref(), "child", 400_000).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for round in 0u64.. {
                    store.blobs().put(round.to_le_bytes().repeat(1000)).unwrap();
                    put(store, &format!("s{thread}"), vec![cell(1, b"n", Some(&round.to_le_bytes()))]).unwrap();
                    println!("done s{thread} {}", round + 1);
                    if round % 50 == 49 {
                        store.settle().unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn a_killed_process_loses_nothing_it_has_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    for millis in [60, 150, 400] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_that_is_killed", "--nocapture"])
            .env(CHILD, &dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        let mut acknowledged = std::collections::BTreeMap::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(rest) = line.split("done ").nth(1) else { continue };
            if let Some((space, count)) = rest.split_once(' ')
                && let Ok(count) = count.trim().parse::<u64>()
            {
                acknowledged.insert(space.to_owned(), count);
            }
        }
        child.wait().unwrap();
        let store = open(&dir);
        assert!(millis < 400 || !acknowledged.is_empty(), "the child did nothing");
        for (space, count) in acknowledged {
            let head = store.head(&name(&space)).unwrap().unwrap();
            assert!(head.version.0 >= count, "{space}: {} of {count}", head.version);
        }
        assert_sound(&store);
        drop(store);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// Not a test by itself: a killed process that does not wait for the disk.
#[test]
fn child_that_orders_and_is_killed() {
    let Ok(dir) = std::env::var(ORDERER) else { return };
    let store = Store::open_with_log_file_bytes(dir.as_ref(), "child", 4_000_000).unwrap();
    let (one, two) = (name("one"), name("two"));
    for round in 1u64.. {
        if round % 100 == 0 {
            store.blobs().put(round.to_le_bytes().repeat(1000)).unwrap();
        }
        // One space is always written before the other.
        for space in [&one, &two] {
            let head = store.newest_or_new(space).unwrap();
            let cells = vec![cell(1, b"n", Some(&round.to_le_bytes()))];
            let then = move |answer: Result<_, _>| {
                let _: reel_store::Receipt = answer.unwrap();
                println!("done {round}");
            };
            store.order(whole(&store, space, head, cells, vec![]), then).unwrap();
        }
    }
}

#[test]
fn a_killed_process_leaves_a_prefix_of_the_order_with_all_that_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    for millis in [60, 200, 400] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_that_orders_and_is_killed", "--nocapture"])
            .env(ORDERER, &dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            let rounds = lines.filter_map(|line| line.ok()?.split("done ").nth(1)?.trim().parse::<u64>().ok());
            rounds.max().unwrap_or(0)
        });
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = reader.join().unwrap();
        assert!(millis < 400 || acknowledged > 0, "the child did nothing");
        let store = open(&dir);
        let version = |space| store.head(&name(space)).unwrap().map_or(0, |head| head.version.0);
        let (one, two) = (version("one"), version("two"));
        assert!(one >= acknowledged && (one == two || one == two + 1), "{one}, {two} of {acknowledged}");
        for (space, version) in [("one", one), ("two", two)] {
            let Some(head) = store.head(&name(space)).unwrap() else { continue };
            let value = store.view(head).unwrap().get(1, b"n").unwrap().unwrap();
            assert_eq!(crate::txn::inline(value), version.to_le_bytes());
        }
        assert_sound(&store);
        drop(store);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
