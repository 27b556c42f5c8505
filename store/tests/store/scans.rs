//! Scans longer than what is read at a time, over memory and file, through forks, with many versions of a key.

use reel_abi::id::Version;
use reel_store::{Head, ReadError, View};

use crate::support::*;

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn numbers(view: &View, from: u64, until: Option<u64>, limit: usize) -> Vec<u64> {
    let until = until.map(key);
    let found = view.scan(1, &key(from), until.as_deref(), limit).unwrap();
    found.into_iter().map(|(key, _)| u64::from_be_bytes(key.try_into().unwrap())).collect()
}

#[test]
fn long_scans_cross_every_boundary() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let cells = |numbers: &mut dyn Iterator<Item = u64>, value: Option<&[u8]>| {
        numbers.map(|number| cell(1, &key(number), value)).collect::<Vec<_>>()
    };
    put(&store, "s", cells(&mut (0..6000).step_by(2), Some(b"file"))).unwrap();
    store.settle().unwrap();
    put(&store, "s", cells(&mut (1..6000).step_by(2), Some(b"memory"))).unwrap();
    let full = store.head(&name("s")).unwrap().unwrap();
    let fork = store.fork(&name("s"), full, &name("fork"), NOW).unwrap();
    put(&store, "fork", cells(&mut (0..6000).filter(|n| n % 3 == 0), None)).unwrap();
    put(&store, "s", cells(&mut (0..6000).filter(|n| n % 5 == 0), None)).unwrap();
    for settled in [false, true] {
        if settled {
            store.settle().unwrap();
        }
        let all: Vec<u64> = (0..6000).collect();
        assert_eq!(numbers(&store.view(full).unwrap(), 0, None, usize::MAX), all);
        assert_eq!(numbers(&store.view(fork).unwrap(), 0, None, usize::MAX), all);
        let threes = store.view(store.head(&name("fork")).unwrap().unwrap()).unwrap();
        let left: Vec<u64> = (0..6000).filter(|n| n % 3 != 0).collect();
        assert_eq!(numbers(&threes, 0, None, usize::MAX), left);
        let some: Vec<u64> = left.iter().copied().filter(|n| (700..5300).contains(n)).collect();
        assert_eq!(numbers(&threes, 700, Some(5300), usize::MAX), some);
        assert_eq!(numbers(&threes, 700, Some(5300), 1500), some[..1500]);
        let fives = store.view(store.head(&name("s")).unwrap().unwrap()).unwrap();
        assert_eq!(numbers(&fives, 0, None, usize::MAX), (0..6000).filter(|n| n % 5 != 0).collect::<Vec<_>>());
    }
    assert_sound(&store);
}

#[test]
fn a_key_with_many_versions_does_not_hide_its_neighbours() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    put(&store, "s", vec![cell(1, &key(1), Some(b"x")), cell(1, &key(3), Some(b"x"))]).unwrap();
    for round in 0..60u64 {
        put(&store, "s", vec![cell(1, &key(2), Some(&key(round)))]).unwrap();
        if round == 30 {
            store.settle().unwrap();
        }
    }
    let head = store.head(&name("s")).unwrap().unwrap();
    for version in 1..=head.version.0 {
        let view = store.view(Head { version: Version(version), ..head }).unwrap();
        let expected = if version == 1 { vec![1, 3] } else { vec![1, 2, 3] };
        assert_eq!(numbers(&view, 0, None, 10), expected);
        let value = view.get(1, &key(2)).unwrap();
        assert_eq!(value, (version > 1).then(|| cell(1, b"", Some(&key(version - 2))).value));
    }
}

#[test]
fn versions_that_never_were_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    put(&store, "s", vec![cell(1, b"k", Some(b"1"))]).unwrap();
    put(&store, "s", vec![cell(1, b"k", Some(b"2"))]).unwrap();
    let head = store.head(&name("s")).unwrap().unwrap();
    let old = store.head_at(&name("s"), Version(1)).unwrap().unwrap();
    let rolled = store.rollback(&name("s"), head, old, NOW).unwrap();
    let refused = |head: Head| assert!(matches!(store.view(head), Err(ReadError::NoSuchHead(_))), "{head:?}");
    refused(Head { version: Version(4), ..rolled });
    refused(Head { version: Version(2), ..rolled });
    refused(Head { version: Version(3), ..head });
    refused(Head { segment: reel_abi::id::SegmentId(99), version: Version(0) });
    assert_eq!(store.view(rolled).unwrap().get(1, b"k").unwrap(), Some(cell(1, b"", Some(b"1")).value));
    assert_eq!(store.view(head).unwrap().get(1, b"k").unwrap(), Some(cell(1, b"", Some(b"2")).value));
}
