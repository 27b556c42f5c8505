//! Stepping through runs: what a stop shows is what the database says of that moment, whichever way one has come there, by hand and by script.

mod by_hand;
mod by_script;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reel_abi::id::Seq;
use reel_abi::outcome::{Disposition, Outcome};
use reel_abi::types::NodeKind;
use reel_host::debug::{Again, Debugger, Found, Held, Memory, Name, Payloads, Quest, Stop, Thing};
use reel_host::runtime::Verdict;
use reel_host::runtime::files_at::FilesAt;
use reel_host::runtime::keys_at::KeysAt;
use reel_host::runtime::recall::recall;
use reel_store::{Head, RunRecord, Store};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, TickingClock, Trial};
use reel_tests::script::{self, cases};

/// Replays in a laboratory.
struct InLab<'a> {
    lab: &'a Lab,
    record: RunRecord,
    /// After how many questions it is to stop.
    patience: AtomicU64,
}

impl Again for InLab<'_> {
    fn payloads(&mut self, payloads: &Payloads) -> Result<(), String> {
        let (lab, clock, hears) = (self.lab, Arc::new(TickingClock::default()), Some(payloads.hears()));
        let replayed = lab.block_on(recall(&lab.store, &lab.engines, self.record.run, None, clock, hears));
        replayed.map(drop).map_err(|error| error.to_string())
    }

    fn memory(&mut self, seq: Seq) -> Result<Memory, String> {
        let (lab, clock) = (self.lab, Arc::new(TickingClock::default()));
        let replayed = lab.block_on(recall(&lab.store, &lab.engines, self.record.run, Some(seq), clock, None));
        match replayed.map_err(|error| error.to_string())? {
            (Verdict::Reached(_), Some(kept)) => Ok(Memory(kept)),
            (verdict, _) => Err(format!("{verdict:?}")),
        }
    }

    fn is_stopped(&self) -> bool {
        self.patience.fetch_sub(1, Ordering::Relaxed) == 0
    }
}

fn debugger(lab: &Lab, record: RunRecord) -> Debugger<'_> {
    let again = InLab { lab, record: record.clone(), patience: AtomicU64::new(u64::MAX) };
    Debugger::new(&lab.store, record, Box::new(again)).expect("it can be opened")
}

/// What a stop shows, by name.
fn shown(stop: &Stop) -> BTreeMap<Name, Thing> {
    let all = stop.changed.iter().chain(&stop.others);
    let there = |held: &Held| Some((held.name.clone(), held.thing.clone().expect("it can be shown")?));
    all.filter_map(there).filter(|(name, _)| *name != Name::Path(String::new())).collect()
}

/// What a version holds.
fn held(store: &Store, head: Head) -> BTreeMap<Name, Thing> {
    let mut held = BTreeMap::new();
    let mut files = FilesAt::new(store, head).expect("files");
    let mut open = vec![(String::new(), files.find("", false).expect("root"))];
    while let Some((above, dir)) = open.pop() {
        for (name, kind) in files.list(dir).expect("list") {
            let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
            let place = files.child(dir, &name).expect("child");
            let thing = match kind {
                NodeKind::Directory => {
                    open.push((path.clone(), place));
                    Thing::Directory
                }
                NodeKind::Symlink => Thing::Link(files.readlink(dir, &name).expect("target")),
                _ => bytes(files.read(place, 0, 1 << 24).expect("content")),
            };
            held.insert(Name::Path(path), thing);
        }
    }
    let keys = KeysAt::new(store, head).expect("keys");
    for bucket in keys.buckets().expect("buckets") {
        for found in keys.keys(&bucket, b"", None).expect("keys") {
            let value = keys.get(&bucket, &found.key).expect("value").expect("it is listed");
            let bucket = String::from_utf8(bucket.clone()).expect("a name");
            held.insert(Name::Key(bucket, found.key), bytes(value));
        }
    }
    held
}

/// As a stop shows them.
fn bytes(mut bytes: Vec<u8>) -> Thing {
    let len = bytes.len() as u64;
    bytes.truncate(64 << 10);
    Thing::Bytes { len, first: bytes }
}

/// Without the names that lead through a link, which a listing does not have.
fn without_links(shown: BTreeMap<Name, Thing>) -> BTreeMap<Name, Thing> {
    let links: Vec<String> = shown
        .iter()
        .filter_map(|(name, thing)| match (name, thing) {
            (Name::Path(path), Thing::Link(_)) => Some(format!("{path}/")),
            _ => None,
        })
        .collect();
    let through = |name: &Name| matches!(name, Name::Path(path) if links.iter().any(|link| path.starts_with(link)));
    shown.into_iter().filter(|(name, _)| !through(name)).collect()
}

/// At its end mark a run has made what its version holds, and began with what its base holds; each stop is the same forward, backward and by a
/// leap, and what was said is what was printed.
#[test]
fn a_stop_is_what_the_database_says() {
    let chaos = fs::read(guest("chaos", Target::P2)).expect("chaos");
    let (stops, changes) = (AtomicU64::new(0), AtomicU64::new(0));
    TestRunner::new(cases(30))
        .run(&prop::collection::vec(script::in_steps(), 1..3), |scripts| {
            let lab = Lab::new();
            for script in scripts {
                let base = lab.store.head(&"main".parse().expect("a name")).expect("head");
                let (report, printed) = lab.run(&chaos, &Trial::args(&["/", &script.join("\n")]));
                let record = lab.store.run(report.run).expect("run").expect("it ran");
                let mut debugger = debugger(&lab, record.clone());
                let last = debugger.timeline.last();
                prop_assert_eq!(last.0 + 1, report.end.events);
                let first = debugger.stop(Seq(0), true).expect("a stop");
                prop_assert_eq!(shown(&first), base.map_or_else(BTreeMap::new, |head| held(&lab.store, head)));
                let mut forward = Vec::new();
                for seq in (0..=last.0).map(Seq) {
                    let stop = debugger.stop(seq, true).expect("a stop");
                    prop_assert!(stop.notes.is_empty(), "{:?} in {:?}", stop.notes, script);
                    changes.fetch_add(stop.changed.len() as u64, Ordering::Relaxed);
                    forward.push(stop);
                }
                stops.fetch_add(forward.len() as u64, Ordering::Relaxed);
                for seq in (0..=last.0).rev().map(Seq) {
                    prop_assert_eq!(&debugger.stop(seq, true).expect("a stop"), &forward[seq.0 as usize]);
                }
                for seq in [last.0, 1, last.0 / 2, last.0 / 3, 0, last.0].map(Seq) {
                    prop_assert_eq!(&debugger.stop(seq, true).expect("a stop"), &forward[seq.0 as usize]);
                }
                let end = forward.last().expect("a stop");
                prop_assert_eq!(end.said.iter().map(|said| said.len).sum::<u64>(), printed.len() as u64);
                if let Disposition::Committed { version, .. } = report.end.disposition {
                    let head = lab.store.head_at(&record.begin.space, version).expect("head").expect("it was made");
                    prop_assert_eq!(without_links(shown(end)), held(&lab.store, head), "{:?}", script);
                }
                let failed = report.end.outcome != Outcome::Exit { code: 0 };
                prop_assert_eq!(debugger.failure(), failed.then_some(last));
            }
            Ok(())
        })
        .expect("law");
    assert!(stops.into_inner() > 500 && changes.into_inner() > 500, "scripts do something");
}

/// Searches and last writes are those of a pass over all events, one by one.
#[test]
fn what_is_found_is_what_a_pass_finds() {
    let chaos = fs::read(guest("chaos", Target::P2)).expect("chaos");
    TestRunner::new(cases(20))
        .run(&script::in_steps(), |script| {
            let lab = Lab::new();
            let (report, _) = lab.run(&chaos, &Trial::args(&["/", &script.join("\n")]));
            let record = lab.store.run(report.run).expect("run").expect("it ran");
            let mut debugger = debugger(&lab, record);
            let last = debugger.timeline.last();
            let events: Vec<_> = (0..=last.0).map(|seq| debugger.timeline.event(Seq(seq)).expect("an event")).collect();
            prop_assert_eq!(
                debugger.timeline.events_from(Seq(0), u64::MAX).expect("events"),
                events.iter().cloned().enumerate().map(|(seq, event)| (Seq(seq as u64), event)).collect::<Vec<_>>()
            );
            for text in ["kv.", "STREAM-WRITE", "txn.commit", "nowhere at all"] {
                let is = |seq: &u64| events[*seq as usize].name.contains(&text.to_lowercase());
                let quest = Quest::Text(text.into());
                for from in [0, last.0 / 2, last.0] {
                    let found = |expected: Option<u64>| expected.map_or(Found::Nowhere, |seq| Found::At(Seq(seq)));
                    let forward = found((from + 1..=last.0).find(is));
                    prop_assert_eq!(debugger.find(&quest, Seq(from), true).expect("found"), forward);
                    let back = found((0..from).rev().find(is));
                    prop_assert_eq!(debugger.find(&quest, Seq(from), false).expect("found"), back);
                }
            }
            // What a stop says was written last, was; and nothing wrote it since.
            let stop = debugger.stop(last, false).expect("a stop");
            for held in &stop.changed {
                prop_assert_eq!(debugger.last_write(&held.name, last.next()).expect("found"), held.at);
                let before = debugger.last_write(&held.name, held.at.expect("it was written")).expect("found");
                prop_assert!(before < held.at);
            }
            Ok(())
        })
        .expect("law");
}

/// Memory at a stop is that of a run which was asked there; a search in it finds the first place.
#[test]
fn memory_at_a_stop() {
    let (lab, chaos) = (Lab::new(), fs::read(guest("chaos", Target::P2)).expect("chaos"));
    let (report, _) = lab.run(&chaos, &Trial::args(&["/", "write a 10 1\nprint needle\nset a k 5 1"]));
    let record = lab.store.run(report.run).expect("run").expect("it ran");
    let mut debugger = debugger(&lab, record);
    let last = debugger.timeline.last();
    let sizes = debugger.memory(last).expect("memory").0.sizes();
    assert!(!sizes.is_empty() && sizes[0] > 0);
    let (first, end) = (debugger.memory(Seq(2)).expect("memory"), debugger.memory(last).expect("memory"));
    assert_ne!(first.0.bytes(0, 0, 1 << 24), end.0.bytes(0, 0, 1 << 24), "the guest has done something");
    let again = debugger.memory(Seq(2)).expect("memory");
    assert_eq!(first.0.bytes(0, 0, 1 << 24), again.0.bytes(0, 0, 1 << 24));
    let all = end.0.bytes(0, 0, usize::MAX >> 1);
    let place = all.windows(6).position(|window| window == b"needle").map(|at| at as u64);
    assert_eq!(end.find(0, 0, b"needle"), place);
    assert_eq!(end.find(0, sizes[0], b"needle"), None);
    assert_eq!(end.find(9, 0, b"needle"), None);
}

/// What takes long can be broken off, and goes on afterwards.
#[test]
fn an_endless_search_is_broken_off() {
    let (lab, chaos) = (Lab::new(), fs::read(guest("chaos", Target::P2)).expect("chaos"));
    let (report, _) = lab.run(&chaos, &Trial::args(&["/", "set a k 5 1"]));
    let record = lab.store.run(report.run).expect("run").expect("it ran");
    let again = InLab { lab: &lab, record: record.clone(), patience: AtomicU64::new(0) };
    let mut debugger = Debugger::new(&lab.store, record, Box::new(again)).expect("opened");
    let quest = Quest::Text("nothing has this".into());
    assert_eq!(debugger.find(&quest, Seq(0), true).expect("searched"), Found::Stopped);
    assert_eq!(debugger.find(&quest, Seq(0), true).expect("searched"), Found::Nowhere);
}
