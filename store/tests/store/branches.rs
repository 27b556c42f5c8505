//! Forks, rollbacks, removed names, tags, and the history of a key through all of them.

use reel_abi::id::{Version, WallTime};
use reel_abi::record::CellValue;
use reel_store::{AppendError, Change, Head, Made, ReadError, Store};

use crate::support::*;

fn value(store: &Store, head: Head) -> Option<CellValue> {
    store.view(head).unwrap().get(1, b"k").unwrap()
}

fn write(store: &Store, space: &str, text: &str) -> Head {
    put(store, space, vec![cell(1, b"k", Some(text.as_bytes()))]).unwrap();
    store.head(&name(space)).unwrap().unwrap()
}

fn told(change: &Change) -> String {
    let value = match &change.value {
        CellValue::Inline { bytes } => String::from_utf8(bytes.0.clone()).unwrap(),
        CellValue::Tombstone => "-".into(),
        other => format!("{other:?}"),
    };
    format!("{}@{} {value}", change.space, change.version)
}

#[test]
fn the_history_of_a_key_goes_through_forks_and_rollbacks() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let one = write(&store, "orders", "1");
    let two = write(&store, "orders", "2");
    store.settle().unwrap();
    put(&store, "orders", vec![cell(1, b"k", None), cell(1, b"other", Some(b"x"))]).unwrap();
    let three = store.head(&name("orders")).unwrap().unwrap();
    let trial = store.fork(&name("orders"), three, &name("trial"), NOW).unwrap();
    write(&store, "trial", "t");
    let back = store.rollback(&name("orders"), three, two, NOW).unwrap();
    let five = write(&store, "orders", "5");
    for settled in [false, true] {
        if settled {
            store.settle().unwrap();
        }
        let history = |head, limit| -> Vec<String> {
            store.key_history(head, 1, b"k", limit).unwrap().iter().map(told).collect()
        };
        assert_eq!(history(five, 10), ["orders@5 5", "orders@2 2", "orders@1 1"]);
        assert_eq!(history(back, 10), ["orders@2 2", "orders@1 1"]);
        assert_eq!(history(three, 10), ["orders@3 -", "orders@2 2", "orders@1 1"]);
        let newest = store.head(&name("trial")).unwrap().unwrap();
        assert_eq!(history(newest, 10), ["trial@1 t", "orders@3 -", "orders@2 2", "orders@1 1"]);
        assert_eq!(history(newest, 2), ["trial@1 t", "orders@3 -"]);
        assert_eq!(history(trial, 0), [""; 0]);
        assert_eq!(history(one, 10), ["orders@1 1"]);
        assert_eq!(store.key_history(one, 2, b"k", 10).unwrap(), []);
    }
    let made: Vec<Made> = store.history(&name("orders")).unwrap().into_iter().map(|record| record.made).collect();
    assert_eq!(made[3], Made::Rollback { to: Version(2) });
    let made = store.history(&name("trial")).unwrap().remove(0).made;
    assert_eq!(made, Made::Fork { source: name("orders"), version: Version(3) });
    let missing = Head { version: Version(9), ..five };
    assert!(matches!(store.key_history(missing, 1, b"k", 1), Err(ReadError::NoSuchHead(_))));
}

#[test]
fn a_removed_name_is_gone_but_what_it_named_is_not() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let s = name("s");
    let old = write(&store, "s", "1");
    let last = write(&store, "s", "2");
    let fork = store.fork(&s, old, &name("fork"), NOW).unwrap();
    for again in 0..2 {
        store.remove_space(&s, NOW).unwrap();
        for settled in [false, true] {
            if settled {
                store.settle().unwrap();
            }
            assert_eq!(store.head(&s).unwrap(), None);
            assert!(store.spaces().unwrap().iter().all(|(space, _)| *space != s));
            assert_eq!(store.head_at(&s, Version(1)).unwrap(), Some(old));
            assert_eq!((value(&store, last), value(&store, fork)), (text("2"), text("1")));
            assert!(matches!(store.remove_space(&s, NOW), Err(AppendError::NoSuchSpace(_))));
            assert!(matches!(store.rollback(&s, last, old, NOW), Err(AppendError::NoSuchSpace(_))));
        }
        drop(store);
        store = open(root.path());
        // Made again, it begins empty and under a version that was not there before.
        let new = store.head_or_new(&s).unwrap();
        assert_eq!(new.version, Version(3 + 2 * again));
        assert_eq!(value(&store, new), None);
        assert_eq!(write(&store, "s", "again").version, new.version.next());
        assert_eq!((value(&store, new), value(&store, last)), (None, text("2")));
        assert_eq!(store.head_at(&s, Version(2)).unwrap(), Some(last));
    }
    // What has just been promised to a run is nobody's to fork.
    let promised = store.head_or_new(&name("promised")).unwrap();
    let refused = store.fork(&name("promised"), promised, &name("x"), NOW);
    assert!(matches!(refused, Err(AppendError::NoSuchSpace(_))), "{refused:?}");
    // A removed name is brought back as any version is forked.
    store.remove_space(&s, NOW).unwrap();
    let back = store.fork(&s, last, &s, NOW).unwrap();
    assert_eq!((back.version, value(&store, back)), (Version(7), text("2")));
    assert_sound(&store);
}

#[test]
fn a_run_that_was_promised_a_name_loses_it_to_a_fork() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let head = write(&store, "s", "1");
    let promised = store.head_or_new(&name("new")).unwrap();
    let forked = store.fork(&name("s"), head, &name("new"), NOW).unwrap();
    let late = whole(&store, &name("new"), promised, vec![cell(1, b"k", Some(b"late"))], vec![]);
    assert!(matches!(store.append(late), Err(AppendError::Conflict { .. })));
    assert_eq!(store.head_or_new(&name("new")).unwrap(), forked);
    assert_sound(&store);
}

#[test]
fn refusals_are_told_in_words() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let (one, two) = (write(&store, "s", "1"), write(&store, "s", "2"));
    let other = write(&store, "other", "1");
    let (s, trial) = (name("s"), name("trial"));
    let future = Head { version: Version(7), ..two };
    let error = |answer: Result<Head, AppendError>| answer.unwrap_err().to_string();
    assert_eq!(
        error(store.fork(&s, one, &name("other"), NOW)),
        "there is a space named other already, at version 1; choose another name, or remove it first"
    );
    assert_eq!(error(store.fork(&s, future, &trial, NOW)), "s has no version 7; its newest is 2");
    assert_eq!(error(store.fork(&s, other, &trial, NOW)), "s has no version 1; its newest is 2");
    assert_eq!(
        error(store.rollback(&s, one, one, NOW)),
        "space s went on from version 1 to 2 meanwhile; look at it and decide again"
    );
    assert_eq!(error(store.rollback(&s, two, future, NOW)), "s has no version 7; its newest is 2");
    let nobody = "no space named trial; `reel spaces` lists those that there are";
    assert_eq!(error(store.rollback(&trial, two, one, NOW)), nobody);
    assert_eq!(error(store.fork(&trial, two, &name("x"), NOW)), nobody);
    let tag = "tag".parse().unwrap();
    assert_eq!(
        store.remove_tag(&tag, NOW).unwrap_err().to_string(),
        "no tag named tag; `reel tag` lists those that there are"
    );
    assert_eq!(store.set_tag(&tag, &s, future, NOW).unwrap_err().to_string(), "s has no version 7; its newest is 2");
    store.set_tag(&tag, &s, one, NOW).unwrap();
    store.set_tag(&tag, &s, two, WallTime(4000)).unwrap();
    assert_eq!(store.tag(&tag).unwrap().unwrap().head, two);
    assert_sound(&store);
}

/// Two of the same deed at once: one of them is refused, whatever batch they come in.
#[test]
fn only_one_of_many_gets_a_name() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let head = write(&store, "s", "1");
    let done = |deed: &(dyn Fn() -> bool + Sync)| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(deed)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|done| *done).count()
        })
    };
    assert_eq!(done(&|| store.fork(&name("s"), head, &name("f"), NOW).is_ok()), 1);
    assert_eq!(done(&|| store.rollback(&name("s"), head, head, NOW).is_ok()), 1);
    assert_eq!(done(&|| store.remove_space(&name("f"), NOW).is_ok()), 1);
    assert_sound(&store);
}

fn text(text: &str) -> Option<CellValue> {
    Some(cell(1, b"", Some(text.as_bytes())).value)
}
