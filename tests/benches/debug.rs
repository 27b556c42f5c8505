//! What stepping costs: `cargo bench -p reel-tests --bench debug [-- EVENTS]`, a million if not said.
//!
//! One run, written by hand: reads and writes of 50,000 keys, file writes, output, clocks, and a savepoint that is gone back to now and then, in frames as
//! a run leaves them. Stepped through the library, as `reel debug` does. A step gives all of a stop: the event, up to 200 keys that changed with their
//! values, and the last 16 KiB of output.

use std::time::{Duration, Instant};

use reel_abi::bytes::Bytes;
use reel_abi::frame::FRAME_TARGET_BYTES;
use reel_abi::id::{Digest, Seq, SpaceName, WallTime};
use reel_abi::outcome::{Disposition, Outcome, RunBegin};
use reel_abi::record::Frame;
use reel_abi::types::{Handle, Payload, Stdio, WallReading};
use reel_abi::vocabulary::{
    Call, ClockWall, KvGet, KvOpen, KvSet, RunBegins, RunEnds, StdioWrite, TxnRollback, TxnSavepoint,
};
use reel_abi::wire::{Wire, Writer};
use reel_host::debug::{Again, Debugger, Found, Memory, Name, Payloads, Quest};
use reel_store::{Ending, Store, Submission};

const KEYS: u64 = 50_000;

/// Nothing is replayed: all payloads are small.
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

struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn event<C: Call>(writer: &mut Writer, call: &C, reply: &C::Reply) {
    writer.u8(C::CODE);
    call.put(writer);
    reply.put(writer);
}

fn main() {
    let events: u64 = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1_000_000);
    let dir = tempfile::tempdir().expect("directory");
    let store = Store::open(&dir.path().join("db"), "bench").expect("database");
    fill(&store, events.max(100));
    let record = store.runs(None, 1).expect("runs").remove(0);
    println!("a run of {events} events");
    let open = || Debugger::new(&store, record.clone(), Box::new(Nobody)).expect("opened");
    let (opened, _) = timed(open);
    println!("  opening                                      {opened:>10.1?}");
    let mut debugger = open();
    let last = debugger.timeline.last();
    let (first, _) = timed(|| debugger.stop(Seq(0), false).expect("a stop"));
    println!("  first stop, with a pass over all events      {first:>10.1?}");
    let (leap, _) = timed(|| debugger.stop(last, false).expect("a stop"));
    println!("  leap from the first to the last event        {leap:>10.1?}");
    let mut back = Vec::new();
    for step in 1..=2000.min(last.0) {
        back.push(timed(|| debugger.stop(Seq(last.0 - step), false).expect("a stop")).0);
    }
    tell("step back, from the end", &mut back);
    let mut leaps = Vec::new();
    let mut at = last.0;
    while at > events / 50 {
        at -= events / 50;
        leaps.push(timed(|| debugger.stop(Seq(at), false).expect("a stop")).0);
    }
    tell("leap back by a fiftieth of the run", &mut leaps);
    let mut forward = Vec::new();
    for seq in at..(at + 2000).min(last.0) {
        forward.push(timed(|| debugger.stop(Seq(seq), false).expect("a stop")).0);
    }
    tell("step forward, from the beginning", &mut forward);
    let mut chance = Chance(7);
    let mut writes = Vec::new();
    for _ in 0..1000 {
        let name = name(chance.next() % KEYS);
        writes.push(timed(|| debugger.last_write(&name, last).expect("known")).0);
    }
    tell("last write of a key", &mut writes);
    let quest = Quest::Text("nothing has this text".into());
    let (search, found) = timed(|| debugger.find(&quest, Seq(0), true).expect("searched"));
    assert_eq!(found, Found::Nowhere);
    let speed = events as f64 / search.as_secs_f64() / 1e6;
    println!("  search through all                           {search:>10.1?}  {speed:.2} M events/s");
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let done = work();
    (begun.elapsed(), done)
}

fn tell(what: &str, times: &mut [Duration]) {
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("  {what:<42}   {median:>10.1?}  worst {worst:.1?} of {}", times.len());
}

fn name(number: u64) -> Name {
    Name::Key("accounts".into(), format!("customer-{number:06}").into_bytes())
}

/// The run, in frames as large as the recorder makes them.
fn fill(store: &Store, events: u64) {
    let space: SpaceName = "main".parse().expect("name");
    let (run, head) = (store.next_run(), store.newest_or_new(&space).expect("head"));
    let begun = RunBegin {
        at: WallTime(1),
        component: Digest([7; 32]),
        content: Digest([8; 32]),
        name: "bench.wasm".into(),
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
    let (mut writer, mut first, mut frames) = (Writer::new(), 0, Vec::new());
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for seq in 0..events {
        let key = Bytes(format!("customer-{:06}", chance.next() % KEYS).into_bytes());
        let value = Payload::Inline(format!("{} left", chance.next() % 10_000).into_bytes());
        match (seq, chance.next() % 8) {
            (0, _) => event(&mut writer, &RunBegins {}, &()),
            (1, _) => event(&mut writer, &KvOpen { name: "accounts".into() }, &Ok(Handle(0))),
            (2, _) => event(&mut writer, &TxnSavepoint {}, &Ok(Handle(1))),
            (seq, _) if seq == events - 1 => {
                event(&mut writer, &RunEnds { outcome: Outcome::Exit { code: 3 }, memory: None }, &());
            }
            (seq, _) if seq == events / 10 => event(&mut writer, &TxnRollback { savepoint: Handle(1) }, &Ok(())),
            (_, 0) => event(&mut writer, &ClockWall {}, &WallReading(seq)),
            (_, 1) => {
                let bytes = Bytes(format!("line {seq}\n").into_bytes());
                event(&mut writer, &StdioWrite { which: Stdio::Stdout, bytes }, &Ok(()));
            }
            (_, 2..5) => event(&mut writer, &KvGet { bucket: Handle(0), key }, &Ok(Some(value))),
            _ => event(&mut writer, &KvSet { bucket: Handle(0), key, value }, &Ok(())),
        }
        if writer.len() >= FRAME_TARGET_BYTES || seq == events - 1 {
            let count = (seq + 1 - first) as u32;
            let raw = writer.take();
            let times = (WallTime(seq), WallTime(seq));
            frames.push(Frame::pack(run, Seq(first), count, times, &raw).expect("frame"));
            first = seq + 1;
        }
    }
    let mut begun = Some(begun);
    let parts: Vec<Vec<Frame>> = frames.chunks(64).map(<[Frame]>::to_vec).collect();
    let all = parts.len();
    for (index, frames) in parts.into_iter().enumerate() {
        let ending = (index + 1 == all).then_some(Ending {
            at: WallTime(events),
            outcome: Outcome::Exit { code: 3 },
            events,
            logged_bytes: 0,
            written_bytes: 0,
            memory: None,
            otherwise: Disposition::Aborted,
        });
        store.append(Submission { run, begun: begun.take(), frames, commit: None, ending }).expect("append");
    }
    store.settle().expect("settled");
}
