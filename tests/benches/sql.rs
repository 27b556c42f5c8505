//! What questions in SQL cost: `cargo bench -p reel-tests --bench sql [-- SMALLER]`, where SMALLER divides the sizes.
//!
//! The databases are written by hand: runs with a begin, events of several kinds, a commit of one key and an end, spread over a day. Asked through the
//! library, as `reel sql` does. Each figure is the best of several rounds, the first of which fills the
//! caches: time that passed, and the time of processors that this process took, which others who use the machine hardly change.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use reel_abi::bytes::Bytes;
use reel_abi::id::{Digest, RunId, Seq, SpaceName, WallTime};
use reel_abi::outcome::{Disposition, Outcome, RunBegin};
use reel_abi::record::{Cell, CellValue, Frame, family};
use reel_abi::types::{Handle, Payload, Stdio, WallReading};
use reel_abi::vocabulary::{Call, ClockWall, FsRead, KvGet, KvOpen, KvSet, RunBegins, RunEnds, StdioWrite};
use reel_abi::wire::{Wire, Writer};
use reel_host::sql::{Query, View};
use reel_store::{Ending, Proposal, Store, Submission};

const ROUNDS: usize = 3;

/// Begin of the day, and its length.
const DAY: u64 = 1_700_000_000_000_000_000;
const DAY_NANOS: u64 = 86_400_000_000_000;

/// Keys in the space of which one has a history.
const KEYS: u64 = 1_000_000;

fn main() {
    let smaller: u64 = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1);
    for (runs, events) in [(20_000 / smaller, 500), (250_000 / smaller, 40)] {
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::open(&dir.path().join("db"), "bench").expect("database");
        let begun = Instant::now();
        fill(&store, runs, events);
        store.settle().expect("settled");
        let all = runs * events;
        println!("{runs} runs of {events} events: {all} events, written in {:.1?}", begun.elapsed());
        questions(&store, all);
    }
    let dir = tempfile::tempdir().expect("directory");
    let store = Store::open(&dir.path().join("db"), "bench").expect("database");
    keys(&store, KEYS / smaller);
}

fn questions(store: &Store, all: u64) {
    let from = iso(DAY + DAY_NANOS / 2);
    let until = iso(DAY + DAY_NANOS / 2 + 300_000_000_000);
    let window = format!("at >= '{from}' AND at < '{until}'");
    for (what, text) in [
        ("count of all", "SELECT count(*) FROM events".to_owned()),
        ("sum of bytes over all", "SELECT count(*), sum(bytes), sum(ok) FROM events".to_owned()),
        ("count by condition on the call", "SELECT count(*) FROM events WHERE call = 'kv.set'".to_owned()),
        ("sum over names", "SELECT sum(call = 'fs.read'), sum(class = 'read') FROM events".to_owned()),
        ("group by call", "SELECT call, count(*) FROM events GROUP BY call".to_owned()),
    ] {
        let (time, work, rows) = ask(store, &text);
        let speed = |time: Duration| all as f64 / time.as_secs_f64() / 1e6;
        println!(
            "  {what:<34} {time:>10.1?} {:>7.2} M/s   work {work:>9.1?} {:>7.2} M/s  {rows}",
            speed(time),
            speed(work)
        );
    }
    for (what, text) in [
        ("five minutes, counted", format!("SELECT count(*) FROM events WHERE {window}")),
        (
            "five minutes, bytes by call",
            format!("SELECT call, count(*), sum(bytes) FROM events WHERE {window} GROUP BY call"),
        ),
        ("runs that began in five minutes", format!("SELECT count(*), sum(failed) FROM runs WHERE {window}")),
        ("one run", "SELECT count(*), sum(bytes) FROM events WHERE run = 77".to_owned()),
    ] {
        let (time, work, rows) = ask(store, &text);
        println!("  {what:<34} {time:>10.1?}               work {work:>9.1?}  {rows}");
    }
}

/// The best time of a question, with the first line of its answer.
fn ask(store: &Store, text: &str) -> (Duration, Duration, String) {
    let (mut best, mut least) = (Duration::MAX, Duration::MAX);
    let mut first = String::new();
    for _ in 0..ROUNDS {
        first.clear();
        let (begun, worked) = (Instant::now(), work());
        let query = Query::new(Arc::new(View::new(store).expect("view"))).expect("query");
        let answered = query.answer(text, &mut |_, values| {
            if first.is_empty() {
                first = format!("{values:?}");
            }
            Ok(())
        });
        answered.expect("an answer");
        best = best.min(begun.elapsed());
        least = least.min(work().saturating_sub(worked));
    }
    (best, least, first)
}

/// Time of processors that this process has taken, as the scheduler counts it.
fn work() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells it");
    // Of the main thread, which does all that is asked here.
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

fn iso(nanos: u64) -> String {
    reel_host::sql::times::exact(nanos)
}

/// Chance (xorshift64).
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

/// The events of a run.
fn events(count: u64, chance: &mut Chance) -> Vec<u8> {
    let mut writer = Writer::new();
    event(&mut writer, &RunBegins {}, &());
    event(&mut writer, &KvOpen { name: "accounts".into() }, &Ok(Handle(0)));
    for _ in 0..count - 3 {
        let key = Bytes(format!("customer-{:06}", chance.next() % 100_000).into_bytes());
        let text = |chance: &mut Chance| {
            Bytes(format!("{}.{:02} left", chance.next() % 10_000, chance.next() % 100).into_bytes())
        };
        match chance.next() % 5 {
            0 => event(&mut writer, &ClockWall {}, &WallReading(DAY + chance.next() % DAY_NANOS)),
            1 => {
                let value = Payload::Inline(text(chance).0);
                event(&mut writer, &KvGet { bucket: Handle(0), key }, &Ok(Some(value)));
            }
            2 => event(&mut writer, &KvSet { bucket: Handle(0), key, value: Payload::Inline(text(chance).0) }, &Ok(())),
            3 => {
                let read = Payload::Digest { len: 4096, xxh3: chance.next() };
                event(
                    &mut writer,
                    &FsRead { file: Handle(3), offset: chance.next() % 100_000, len: 4096 },
                    &Ok((read, false)),
                );
            }
            _ => event(&mut writer, &StdioWrite { which: Stdio::Stdout, bytes: text(chance) }, &Ok(())),
        }
    }
    event(&mut writer, &RunEnds { outcome: Outcome::Exit { code: 0 }, memory: None }, &());
    writer.into_bytes()
}

fn begin(at: u64, space: &SpaceName, store: &Store) -> RunBegin {
    let head = store.newest_or_new(space).expect("head");
    RunBegin {
        at: WallTime(at),
        component: Digest([7; 32]),
        content: Digest([8; 32]),
        name: "bench.wasm".into(),
        args: vec!["bench.wasm".into()],
        env: Vec::new(),
        dirs: Vec::new(),
        net: Vec::new(),
        calls: Vec::new(),
        limits: Default::default(),
        space: space.clone(),
        segment: head.segment,
        version: head.version,
        commit_on_failure: false,
        engine: "none".into(),
        trace: None,
    }
}

/// A whole run as one submission.
fn submission(store: &Store, at: u64, raw: &[u8], count: u64, cells: Vec<Cell>) -> Submission {
    let space: SpaceName = "main".parse().expect("name");
    let run: RunId = store.next_run();
    let begun = begin(at, &space, store);
    let base = reel_store::Head { segment: begun.segment, version: begun.version };
    let times = (WallTime(at), WallTime(at + 1_000_000));
    let frame = Frame::pack(run, Seq(0), count as u32, times, raw).expect("frame");
    let commit = Proposal {
        at: WallTime(at + 1_000_000),
        space,
        base,
        reads: Default::default(),
        cells,
        counters: Vec::new(),
        outbox: Vec::new(),
        others: Vec::new(),
        joined: Default::default(),
    };
    let ending = Ending {
        at: WallTime(at + 1_000_000),
        outcome: Outcome::Exit { code: 0 },
        events: count,
        logged_bytes: raw.len() as u64,
        written_bytes: 0,
        memory: None,
        otherwise: Disposition::Aborted,
    };
    Submission { run, begun: Some(begun), frames: vec![frame], commit: Some(commit), ending: Some(ending) }
}

fn cell(key: u64, value: u64) -> Cell {
    let key = [b"\x08accounts".as_slice(), format!("customer-{key:07}").as_bytes()].concat();
    let bytes = format!("{value}.00").into_bytes();
    Cell { family: family::KEY_VALUE, key: key.into(), value: CellValue::Inline { bytes: bytes.into() } }
}

/// How many are under way at once.
const AT_ONCE: usize = 64;

fn fill(store: &Store, runs: u64, count: u64) {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let kinds: Vec<Vec<u8>> = (0..64).map(|_| events(count, &mut chance)).collect();
    let (done, open) = sync_channel::<()>(AT_ONCE);
    for number in 0..runs {
        let at = DAY + DAY_NANOS / runs * number;
        let raw = &kinds[(chance.next() % 64) as usize];
        let submission = submission(store, at, raw, count, vec![cell(chance.next() % 100_000, number)]);
        if number >= AT_ONCE as u64 {
            open.recv().expect("durable");
        }
        let done = done.clone();
        let ordered = store.order(submission, move |durable| {
            durable.expect("durable");
            let _ = done.send(());
        });
        ordered.expect("ordered");
    }
    for _ in 0..runs.min(AT_ONCE as u64) {
        open.recv().expect("durable");
    }
}

/// Many keys, one of which was written a hundred times.
fn keys(store: &Store, keys: u64) {
    let raw = events(4, &mut Chance(5));
    let chunk = (keys / 100).max(1);
    for part in 0..100 {
        let mut cells: Vec<Cell> = (part * chunk..(part + 1) * chunk).map(|key| cell(key, key)).collect();
        cells.push(cell(7_777_777, part));
        store.append(submission(store, DAY + part * 1_000_000_000, &raw, 4, cells)).expect("append");
    }
    store.settle().expect("settled");
    let one = "SELECT count(*), max(version), min(value), count(previous) FROM kv_history \
               WHERE space = 'main' AND bucket = 'accounts' AND key = 'customer-7777777'";
    let (time, work, row) = ask(store, one);
    println!("history of one key among {keys}: {time:.1?} (work {work:.1?})  {row}");
    let (time, work, row) =
        ask(store, "SELECT value FROM kv WHERE space = 'main' AND bucket = 'accounts' AND key = 'customer-0000123'");
    println!("value of one key among {keys}: {time:.1?} (work {work:.1?})  {row}");
}
