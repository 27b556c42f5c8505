//! Logs that no guest has written: what makes no sense is refused by name, and what lies before it can still be looked at.

use reel_abi::bytes::Bytes;
use reel_abi::id::{Digest, Seq, WallTime};
use reel_abi::outcome::RunBegin;
use reel_abi::record::Frame;
use reel_abi::types::{Handle, Payload};
use reel_abi::vocabulary::{Call, KvOpen, KvSet, RunBegins};
use reel_abi::wire::{Wire, Writer};
use reel_host::debug::{Again, DebugError, Debugger, Found, Memory, Payloads, Quest};
use reel_store::{RunRecord, Store, Submission};

struct Nobody;

impl Again for Nobody {
    fn payloads(&mut self, _: &Payloads) -> Result<(), String> {
        Err("there is no guest".into())
    }

    fn memory(&mut self, _: Seq) -> Result<Memory, String> {
        Err("there is no guest".into())
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

fn event<C: Call>(writer: &mut Writer, call: &C, reply: &C::Reply) {
    writer.u8(C::CODE);
    call.put(writer);
    reply.put(writer);
}

fn set(writer: &mut Writer, value: Payload) {
    event(writer, &KvSet { bucket: Handle(0), key: Bytes(b"k".to_vec()), value }, &Ok(()));
}

/// A run that has these frames: how many events each says it has, and its bytes.
fn run(store: &Store, frames: Vec<(u32, Vec<u8>)>) -> RunRecord {
    let (run, space) = (store.next_run(), "main".parse().expect("a name"));
    let head = store.newest_or_new(&space).expect("head");
    let begun = RunBegin {
        at: WallTime(1),
        component: Digest([7; 32]),
        content: Digest([8; 32]),
        name: "hand".into(),
        args: Vec::new(),
        env: Vec::new(),
        dirs: Vec::new(),
        net: Vec::new(),
        calls: Vec::new(),
        limits: Default::default(),
        space,
        segment: head.segment,
        version: head.version,
        commit_on_failure: false,
        engine: "none".into(),
        trace: None,
    };
    let (mut first, mut packed) = (0, Vec::new());
    for (count, raw) in frames {
        packed.push(Frame::pack(run, Seq(first), count, (WallTime(1), WallTime(2)), &raw).expect("frame"));
        first += u64::from(count);
    }
    let submission = Submission { run, begun: Some(begun), frames: packed, commit: None, ending: None };
    store.append(submission).expect("appended");
    store.settle().expect("settled");
    store.run(run).expect("run").expect("it is there")
}

#[test]
fn damage_is_named() {
    let dir = tempfile::tempdir().expect("directory");
    let store = Store::open(&dir.path().join("db"), "test").expect("database");
    let mut writer = Writer::new();
    event(&mut writer, &RunBegins {}, &());
    event(&mut writer, &KvOpen { name: "b".into() }, &Ok(Handle(0)));
    let good = writer.take();
    let record = run(&store, vec![(2, good.clone()), (5, vec![0xfe; 64])]);
    let mut debugger = Debugger::new(&store, record, Box::new(Nobody)).expect("opened");
    assert!(debugger.timeline.event(Seq(1)).is_ok());
    let quest = Quest::Text("nothing".into());
    for damaged in [
        debugger.timeline.event(Seq(4)).map(drop),
        debugger.stop(Seq(1), true).map(drop),
        debugger.find(&quest, Seq(0), true).map(drop),
    ] {
        assert!(matches!(damaged, Err(DebugError::Damaged { first: Seq(2), .. })), "{damaged:?}");
    }
    assert!(matches!(debugger.timeline.event(Seq(7)), Err(DebugError::NoSuchEvent { events: 7, .. })));
    assert_eq!(debugger.find(&quest, Seq(1), false).expect("searched"), Found::Nowhere);
}

/// Bytes that only a guest could make again are not made up, and a handle that nobody has opened is none.
#[test]
fn what_is_not_known_is_said() {
    let dir = tempfile::tempdir().expect("directory");
    let store = Store::open(&dir.path().join("db"), "test").expect("database");
    let mut writer = Writer::new();
    event(&mut writer, &RunBegins {}, &());
    event(&mut writer, &KvOpen { name: "b".into() }, &Ok(Handle(0)));
    set(&mut writer, Payload::Inline(b"one".to_vec()));
    set(&mut writer, Payload::Digest { len: 100, xxh3: 7 });
    let record = run(&store, vec![(4, writer.take())]);
    let mut debugger = Debugger::new(&store, record, Box::new(Nobody)).expect("opened");
    let stop = debugger.stop(Seq(3), true).expect("a stop");
    assert!(stop.changed.is_empty() && stop.notes.iter().any(|note| note.contains("beyond event 3")), "{stop:?}");
    let stop = debugger.stop(Seq(2), true).expect("a stop");
    assert!(stop.notes.is_empty() && stop.changed.len() == 1, "{stop:?}");
    event(&mut writer, &RunBegins {}, &());
    set(&mut writer, Payload::Inline(b"one".to_vec()));
    let record = run(&store, vec![(2, writer.take())]);
    let mut debugger = Debugger::new(&store, record, Box::new(Nobody)).expect("opened");
    let stop = debugger.stop(Seq(1), true).expect("a stop");
    assert!(stop.notes.iter().any(|note| note.contains("handle #0")), "{stop:?}");
}
