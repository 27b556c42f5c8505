//! Measures the store on the disk at hand: `measure commits|orders|reads|short|appends|bare|blobs|shapes|fill|open|forks DIR [NUMBER]`.
#![allow(clippy::print_stdout, clippy::disallowed_macros, clippy::disallowed_methods, clippy::unwrap_used)]

mod commits;
mod orders;
mod point_reads;

use std::path::{Path, PathBuf};
use std::time::Instant;

use redb::{Database, ReadableTable, TableDefinition};
use reel_abi::id::{RunId, Seq, SpaceName, WallTime};
use reel_abi::limits::Limits;
use reel_abi::outcome::{Disposition, Outcome, RunBegin};
use reel_abi::record::{Cell, CellValue, Frame};
use reel_store::{Ending, Head, Proposal, Store, Submission};

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_default();
    let dir = PathBuf::from(args.next().expect("measure WHAT DIR"));
    let number = args.next().and_then(|n| n.parse().ok());
    match what.as_str() {
        "short" => short(&dir, number.unwrap_or(200)),
        "appends" => appends(&dir, number.unwrap_or(64)),
        "commits" => commits::commits(&dir, number.unwrap_or(3)),
        "orders" => orders::orders(&dir, number.unwrap_or(1)),
        "reads" => point_reads::reads(&dir, number.unwrap_or(3)),
        "bare" => bare(&dir, number.unwrap_or(64)),
        "blobs" => blobs(&dir, number.unwrap_or(512)),
        "shapes" => shapes(&dir, number.unwrap_or(512)),
        "fill" => fill(&dir, number.unwrap_or(1024)),
        "open" => open(&dir),
        "forks" => forks(&dir, number.unwrap_or(1_000_000)),
        _ => println!("what? commits, orders, reads, short, appends, bare, blobs, shapes, fill, open or forks"),
    }
}

fn submission(store: &Store, space: &SpaceName, head: Head, bytes: usize) -> Submission {
    let run = store.next_run();
    let begin = RunBegin {
        at: WallTime(1_700_000_000_000_000_000),
        component: reel_abi::id::Digest::default(),
        content: reel_abi::id::Digest::default(),
        name: "app.wasm".into(),
        args: vec!["app".into()],
        env: vec![],
        dirs: vec![],
        net: Vec::new(),
        calls: Vec::new(),
        limits: Limits::default(),
        space: space.clone(),
        segment: head.segment,
        version: head.version,
        commit_on_failure: false,
        engine: "wasmtime 48".into(),
        trace: None,
    };
    let raw: Vec<u8> = (0..bytes).map(|i| ((i * 7919 + run.0 as usize * 31) >> 3) as u8).collect();
    let frame = Frame::pack(run, Seq(0), 5, (WallTime(1), WallTime(2)), &raw).unwrap();
    let cell = |n: u64| Cell {
        family: 1,
        key: (run.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ n).to_be_bytes().to_vec().into(),
        value: CellValue::Inline { bytes: vec![7; 40].into() },
    };
    let mut cells = vec![cell(1), cell(2)];
    cells.sort_by(|a, b| a.key.cmp(&b.key));
    let reads = reel_store::ReadSet::default();
    let at = WallTime(3);
    let (counters, outbox, others) = Default::default();
    let commit = Proposal {
        at,
        space: space.clone(),
        base: head,
        reads,
        cells,
        counters,
        outbox,
        others,
        joined: Default::default(),
    };
    let ending = Ending {
        at: WallTime(3),
        outcome: Outcome::Exit { code: 0 },
        events: 5,
        logged_bytes: 5,
        written_bytes: 0,
        memory: Some(1),
        otherwise: Disposition::Aborted,
    };
    Submission { run, begun: Some(begin), frames: vec![frame], commit: Some(commit), ending: Some(ending) }
}

/// A process' life: open, one append, close.
fn short(dir: &Path, times: usize) {
    let space: SpaceName = "short".parse().unwrap();
    let mut all = Vec::new();
    let mut parts = [0.0; 3];
    for _ in 0..times {
        let begin = Instant::now();
        let store = Store::open(dir, "measure").unwrap();
        parts[0] += begin.elapsed().as_secs_f64();
        let at = Instant::now();
        let head = store.head_or_new(&space).unwrap();
        store.append(submission(&store, &space, head, 300)).unwrap();
        parts[1] += at.elapsed().as_secs_f64();
        let at = Instant::now();
        drop(store);
        parts[2] += at.elapsed().as_secs_f64();
        all.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    all.sort_by(f64::total_cmp);
    let mean = parts.map(|part| part * 1e3 / times as f64);
    println!("open + append + close: median {:.2} ms, worst {:.2} ms", all[times / 2], all[times - 1]);
    println!("mean: open {:.2}, append {:.2}, close {:.2} ms", mean[0], mean[1], mean[2]);
}

fn appends(dir: &Path, threads: usize) {
    let store = Store::open(dir, "measure").unwrap();
    let each = 200_000 / threads.max(20);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let store = &store;
            scope.spawn(move || {
                let space: SpaceName = format!("s{thread}").parse().unwrap();
                // Packing a frame is the caller's work and not what is measured here.
                let mut head = store.head_or_new(&space).unwrap();
                let template = submission(store, &space, head, 300);
                for n in 0..each {
                    let mut next = template.clone();
                    if n > 0 {
                        next.run = store.next_run();
                        next.frames[0].run = next.run;
                    }
                    let proposal = next.commit.as_mut().unwrap();
                    proposal.base = head;
                    for (at, cell) in proposal.cells.iter_mut().enumerate() {
                        let scattered = (next.run.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1) | ((at as u64) << 63);
                        cell.key = scattered.to_be_bytes().to_vec().into();
                    }
                    store.append(next).unwrap();
                    head.version = head.version.next();
                }
            });
        }
    });
    let took = begin.elapsed().as_secs_f64();
    println!("{threads} threads: {:.0} appends/s", (threads * each) as f64 / took);
    let at = Instant::now();
    drop(store);
    println!("close {:.1} ms", at.elapsed().as_secs_f64() * 1e3);
}

/// Bare redb: as many rows of 600 bytes in one commit as there would be threads.
fn bare(dir: &Path, batch: usize) {
    const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
    std::fs::create_dir_all(dir).unwrap();
    let db = Database::create(dir.join("bare.redb")).unwrap();
    let row = vec![9u8; 600 * batch];
    let commits = 3000;
    let begin = Instant::now();
    for n in 0..commits {
        let txn = db.begin_write().unwrap();
        txn.open_table(ROWS).unwrap().insert(n, row.as_slice()).unwrap();
        txn.commit().unwrap();
    }
    let took = begin.elapsed().as_secs_f64();
    println!(
        "bare redb, {batch} records of 600 bytes a row and commit: {:.0} records/s",
        (commits as usize * batch) as f64 / took
    );
}

fn noise(seed: &mut u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (*seed ^ (*seed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bytes.extend_from_slice(&mixed.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn blobs(dir: &Path, mib: usize) {
    for size in
        [4096 - 128, (16 << 10) - 128, 16 << 10, (32 << 10) - 128, (64 << 10) - 128, 64 << 10, (128 << 10) - 128]
    {
        let dir = dir.join(format!("blobs-{size}"));
        let store = Store::open(&dir, "measure").unwrap();
        let mut seed = 42;
        let payloads: Vec<Vec<u8>> = (0..(mib << 20) / size).map(|_| noise(&mut seed, size)).collect();
        let count = payloads.len();
        let begin = Instant::now();
        for payload in payloads {
            store.blobs().put(payload).unwrap();
        }
        store.blobs().flush().unwrap();
        let took = begin.elapsed().as_secs_f64();
        drop(store);
        let len = std::fs::metadata(dir.join("blobs.redb")).unwrap().len();
        let bytes = (count * size) as f64;
        println!("{size:6} bytes: {:.0} MB/s, file {:.2} x", bytes / took / 1e6, len as f64 / bytes);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// Tables for payloads: by digest, or by id with an index; how large a batch; quick repair or not.
fn shapes(dir: &Path, mib: usize) {
    const DIRECT: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("direct");
    const IDS: TableDefinition<[u8; 32], u64> = TableDefinition::new("ids");
    const DATA: TableDefinition<u64, &[u8]> = TableDefinition::new("data");
    std::fs::create_dir_all(dir).unwrap();
    for size in [(16 << 10) - 128, (64 << 10) - 128] {
        for (direct, quick, batch) in [
            (true, true, 16),
            (false, true, 16),
            (false, false, 16),
            (false, true, 4),
            (false, true, 32),
            (false, true, 1),
        ] {
            let path = dir.join("shape.redb");
            let _ = std::fs::remove_file(&path);
            let mut builder = redb::Builder::new();
            builder.set_cache_size(32 << 20);
            let db = builder.create(&path).unwrap();
            let mut seed = 42;
            let payloads: Vec<Vec<u8>> = (0..(mib << 20) / size).map(|_| noise(&mut seed, size)).collect();
            let begin = Instant::now();
            let mut next = 0;
            for chunk in payloads.chunks((batch << 20) / size) {
                let mut txn = db.begin_write().unwrap();
                txn.set_quick_repair(quick);
                {
                    let mut table = txn.open_table(DIRECT).unwrap();
                    let mut ids = txn.open_table(IDS).unwrap();
                    let mut data = txn.open_table(DATA).unwrap();
                    for payload in chunk {
                        let digest = reel_abi::id::Digest::of(payload).0;
                        if direct {
                            if table.get(digest).unwrap().is_none() {
                                table.insert(digest, payload.as_slice()).unwrap();
                            }
                        } else if ids.get(digest).unwrap().is_none() {
                            next += 1;
                            ids.insert(digest, next).unwrap();
                            data.insert(next, payload.as_slice()).unwrap();
                        }
                    }
                }
                txn.commit().unwrap();
            }
            let took = begin.elapsed().as_secs_f64();
            drop(db);
            let len = std::fs::metadata(&path).unwrap().len() as f64;
            let bytes = (payloads.len() * size) as f64;
            println!(
                "{size} direct={direct} quick={quick} batch={batch} MiB: {:.0} MB/s, file {:.2} x",
                bytes / took / 1e6,
                len / bytes
            );
            std::fs::remove_file(&path).unwrap();
        }
    }
    let path = dir.join("raw");
    let mut seed = 1;
    let piece = noise(&mut seed, 16 << 20);
    let begin = Instant::now();
    let mut file = std::fs::File::create(&path).unwrap();
    for _ in 0..mib / 16 {
        std::io::Write::write_all(&mut file, &piece).unwrap();
        file.sync_data().unwrap();
    }
    println!("plain file, 16 MiB and a sync: {:.0} MB/s", (mib << 20) as f64 / begin.elapsed().as_secs_f64() / 1e6);
    std::fs::remove_file(&path).unwrap();
}

/// Fills a log with frames and exits without closing.
fn fill(dir: &Path, mib: usize) {
    let store = Store::open(dir, "measure").unwrap();
    let mut seed = 7;
    let space: SpaceName = "fill".parse().unwrap();
    let head = store.head_or_new(&space).unwrap();
    let mut first = submission(&store, &space, head, 300);
    (first.commit, first.ending) = (None, None);
    first.frames.clear();
    let run = first.run;
    store.append(first).unwrap();
    for n in 0..(mib as u64) * 16 {
        let raw = noise(&mut seed, 60 << 10);
        let frame = Frame::pack(run, Seq(n), 1, (WallTime(1), WallTime(2)), &raw).unwrap();
        store.append_soon(Submission { run, begun: None, frames: vec![frame], commit: None, ending: None }).unwrap();
    }
    store.append(Submission { run: RunId(run.0), begun: None, frames: vec![], commit: None, ending: None }).unwrap();
    println!("filled; exiting without closing");
    std::process::exit(9);
}

fn open(dir: &Path) {
    let begin = Instant::now();
    let store = Store::open(dir, "measure").unwrap();
    println!("open {:.1} ms, newest run {:?}", begin.elapsed().as_secs_f64() * 1e3, store.newest_run());
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn key(n: u64) -> [u8; 8] {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()
}

fn write(store: &Store, space: &SpaceName, numbers: std::ops::Range<u64>) {
    let head = store.head_or_new(space).unwrap();
    let mut next = submission(store, space, head, 300);
    let value = CellValue::Inline { bytes: vec![7; 40].into() };
    let cell = |n: u64| Cell { family: 1, key: key(n).to_vec().into(), value: value.clone() };
    let mut cells: Vec<Cell> = numbers.map(cell).collect();
    cells.sort_by(|a, b| a.key.cmp(&b.key));
    next.commit.as_mut().unwrap().cells = cells;
    store.append(next).unwrap();
}

/// What fork, rollback and reading through forks cost, over a space of so many keys.
fn forks(dir: &Path, keys: usize) {
    let store = Store::open(dir, "measure").unwrap();
    let name = |text: &str| text.parse::<SpaceName>().unwrap();
    let (big, small, keys) = (name("big"), name("small"), keys as u64);
    let begin = Instant::now();
    for first in (0..keys).step_by(10_000) {
        write(&store, &big, first..(first + 10_000).min(keys));
    }
    write(&store, &small, 0..1);
    store.settle().unwrap();
    println!("{keys} keys written and settled in {:.1} s", begin.elapsed().as_secs_f64());
    let (at, direct) = (WallTime(4), store.head(&big).unwrap());
    for space in [&small, &big, &small, &big] {
        let head = store.head(space).unwrap().unwrap();
        let old = store.head_at(space, reel_abi::id::Version(1)).unwrap().unwrap();
        let (mut forked, mut rolled, mut now) = (Vec::new(), Vec::new(), head);
        for n in 0..64 {
            let begin = Instant::now();
            store.fork(space, head, &name(&format!("{space}-{n}")), at).unwrap();
            forked.push(begin.elapsed().as_secs_f64() * 1e6);
            store.remove_space(&name(&format!("{space}-{n}")), at).unwrap();
            let begin = Instant::now();
            now = store.rollback(space, now, old, at).unwrap();
            rolled.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        store.rollback(space, now, head, at).unwrap();
        println!("{space}: fork {:.0} us, rollback {:.0} us (median of 64)", median(forked), median(rolled));
    }
    let reads = |head: Option<Head>| {
        let view = store.view(head.unwrap()).unwrap();
        let count = 20_000;
        let rounds = (0..3).map(|_| {
            let begin = Instant::now();
            for n in 0..count {
                assert!(view.get(1, &key(n * 7919 % keys)).unwrap().is_some());
            }
            begin.elapsed().as_secs_f64() * 1e6 / count as f64
        });
        rounds.fold(f64::MAX, f64::min)
    };
    let mut last = big.clone();
    for generation in 0..64 {
        let next = name(&format!("gen-{generation}"));
        store.fork(&last, store.head(&last).unwrap().unwrap(), &next, at).unwrap();
        write(&store, &next, generation..generation + 1);
        last = next;
    }
    println!("read through 64 generations, before they are flat: {:.2} us", reads(store.head(&last).unwrap()));
    let begin = Instant::now();
    store.settle().unwrap();
    store.flatten(4, 4096, usize::MAX).unwrap();
    println!("settled and flat after {:.1} s more", begin.elapsed().as_secs_f64());
    println!("direct: {:.2} us, the 64th generation: {:.2} us", reads(direct), reads(store.head(&last).unwrap()));
    let generation = |n| store.head(&name(&format!("gen-{n}"))).unwrap();
    let all: Vec<String> = (0..64).map(|n| format!("{:.1}", reads(generation(n)))).collect();
    println!("each generation: {} us", all.join(" "));
    let len = std::fs::metadata(dir.join("state.redb")).unwrap().len();
    println!("state.redb has {} MB", len >> 20);
}
