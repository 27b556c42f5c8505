//! Submissions to write and directories to write them to.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngSeed};
use reel_abi::id::{Digest, RunId, Seq, SpaceName, WallTime};
use reel_abi::limits::Limits;
use reel_abi::outcome::{Disposition, Outcome, RunBegin};
use reel_abi::record::{Cell, CellValue, Frame, OutboxEntry};
use reel_store::{AppendError, Ending, Head, Proposal, ReadSet, Receipt, Store, Submission, VerifyReport};

/// A moment for what needs one.
pub const NOW: WallTime = WallTime(3000);

/// Generated cases: the same each time unless `REEL_SEED` says otherwise, as many as `REEL_CASES` says.
pub fn generated(cases: u32) -> Config {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let cases = number("REEL_CASES").map_or(cases, |cases: u64| cases as u32);
    let rng_seed = RngSeed::Fixed(number("REEL_SEED").unwrap_or(1));
    Config { cases, rng_seed, max_shrink_iters: 2000, failure_persistence: None, ..Config::default() }
}

pub fn name(text: &str) -> SpaceName {
    text.parse().unwrap()
}

pub fn open(dir: &Path) -> Store {
    Store::open(dir, "test").unwrap()
}

pub fn begin(store: &Store, space: &SpaceName, head: Head) -> RunBegin {
    RunBegin {
        at: WallTime(1000),
        component: Digest::of(b"component"),
        content: store.blobs().put(b"content".to_vec()).unwrap(),
        name: "test.wasm".into(),
        args: vec!["test".into()],
        env: vec![("A".into(), "B".into())],
        dirs: vec![],
        net: Vec::new(),
        calls: Vec::new(),
        limits: Limits::default(),
        space: space.clone(),
        segment: head.segment,
        version: head.version,
        commit_on_failure: false,
        engine: "none".into(),
        trace: None,
    }
}

pub fn frame(run: RunId, first: u64, count: u32) -> Frame {
    let raw = format!("events {first} to {} of {run}", first + u64::from(count));
    Frame::pack(run, Seq(first), count, (WallTime(1), WallTime(2)), raw.as_bytes()).unwrap()
}

pub fn cell(family: u8, key: &[u8], value: Option<&[u8]>) -> Cell {
    let value = match value {
        Some(bytes) => CellValue::Inline { bytes: bytes.to_vec().into() },
        None => CellValue::Tombstone,
    };
    Cell { family, key: key.to_vec().into(), value }
}

pub fn ending(events: u64) -> Ending {
    Ending {
        at: WallTime(2000),
        outcome: Outcome::Exit { code: 0 },
        events,
        logged_bytes: 10,
        written_bytes: 20,
        memory: Some(7),
        otherwise: Disposition::Aborted,
    }
}

/// All that a space may hold.
pub fn everything() -> ReadSet {
    let mut reads = ReadSet::default();
    (0..=255).for_each(|family| reads.range(family, &[], None));
    reads
}

/// A whole run in one submission: begin, one frame of three events, commit. It has read everything.
pub fn whole(store: &Store, space: &SpaceName, base: Head, cells: Vec<Cell>, outbox: Vec<OutboxEntry>) -> Submission {
    let run = store.next_run();
    let reads = everything();
    let at = WallTime(2000);
    let (counters, others) = Default::default();
    let commit =
        Proposal { at, space: space.clone(), base, reads, cells, counters, outbox, others, joined: Default::default() };
    Submission {
        run,
        begun: Some(begin(store, space, base)),
        frames: vec![frame(run, 0, 3)],
        commit: Some(commit),
        ending: Some(ending(3)),
    }
}

/// Commits cells to a space at its head.
pub fn put(store: &Store, space: &str, cells: Vec<Cell>) -> Result<Receipt, AppendError> {
    let space = name(space);
    let head = store.head_or_new(&space).unwrap();
    store.append(whole(store, &space, head, cells, vec![]))
}

pub fn verify(store: &Store) -> VerifyReport {
    store.verify(&mut |_, _| Ok(()), &mut |_, _| {}).unwrap()
}

pub fn assert_sound(store: &Store) -> VerifyReport {
    let report = verify(store);
    assert!(report.is_sound(), "{:#?}", report.problems);
    report
}

/// What is on disk at this moment, as a crash would leave it.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Holds up the committer until it is dropped: what is ordered meanwhile is not durable.
pub struct Gate {
    _shut: mpsc::Sender<()>,
}

impl Gate {
    pub fn hold(store: &Store) -> Self {
        let (shut, wait) = mpsc::channel::<()>();
        let (told, held) = mpsc::channel();
        let space = name("gate");
        let nothing = whole(store, &space, store.newest_or_new(&space).unwrap(), vec![], vec![]);
        let held_up = move |answer: Result<Receipt, AppendError>| {
            answer.unwrap();
            told.send(()).unwrap();
            let _ = wait.recv();
        };
        store.order(nothing, held_up).unwrap();
        held.recv().unwrap();
        Self { _shut: shut }
    }
}

/// Waits for what happens in another thread.
pub fn until<T>(mut there: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(there) = there() {
            return there;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "it never came");
        std::thread::yield_now();
    }
}
