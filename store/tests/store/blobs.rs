//! Payloads: found at once, written once, durable when asked for.

use reel_abi::id::Digest;
use reel_store::BLOCK_BYTES;

use crate::support::*;

#[test]
fn a_payload_is_found_from_the_moment_it_was_put() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("db"));
    let payloads: Vec<Vec<u8>> = (0..200u32).map(|n| n.to_le_bytes().repeat(BLOCK_BYTES / 4)).collect();
    let digests: Vec<Digest> = payloads.iter().map(|bytes| store.blobs().put(bytes.clone()).unwrap()).collect();
    let all = |store: &reel_store::Store| {
        for (digest, bytes) in digests.iter().zip(&payloads) {
            assert_eq!(store.blobs().get(digest).unwrap().as_ref(), Some(bytes));
            assert!(store.blobs().contains(digest).unwrap());
        }
        assert!(!store.blobs().contains(&Digest::of(b"absent")).unwrap());
        assert_eq!(store.blobs().get(&Digest::of(b"absent")).unwrap(), None);
    };
    all(&store);
    store.blobs().flush().unwrap();
    all(&store);
    copy_dir(&root.path().join("db"), &root.path().join("copy"));
    let copy = open(&root.path().join("copy"));
    all(&copy);
    for bytes in &payloads {
        copy.blobs().put(bytes.clone()).unwrap();
    }
    assert_eq!(assert_sound(&copy).blobs, 200);
}

#[test]
fn an_append_makes_the_payloads_before_it_durable() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("db"));
    let mut digests = Vec::new();
    for n in 0..300u32 {
        digests.push(store.blobs().put(n.to_le_bytes().repeat(4000)).unwrap());
    }
    put(&store, "s", vec![cell(1, b"k", Some(b"v"))]).unwrap();
    copy_dir(&root.path().join("db"), &root.path().join("copy"));
    let copy = open(&root.path().join("copy"));
    for digest in digests {
        assert!(copy.blobs().get(&digest).unwrap().is_some());
    }
}

#[test]
fn one_larger_than_the_queue_passes() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let digest = store.blobs().put(vec![5; 40 << 20]).unwrap();
    store.blobs().put(vec![6; 10]).unwrap();
    store.blobs().flush().unwrap();
    assert_eq!(store.blobs().get(&digest).unwrap().map(|bytes| bytes.len()), Some(40 << 20));
}
