//! What versions cost, as ratios within one run: `cargo bench -p reel-tests --bench spaces`. Throughput of commits is measured by the store's own
//! `cargo run --release -p reel-store --example measure -- commits DIR`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, TableDefinition};
use reel_abi::id::{RunId, SpaceName, WallTime};
use reel_abi::outcome::Outcome;
use reel_abi::record::{Cell, CellValue, family};
use reel_host::calls::session::Console;
use reel_host::runtime::{Engines, RunRequest, Surroundings, run};
use reel_host::world::clock::HostClock;
use reel_host::world::entropy::KernelEntropy;
use reel_store::{BLOCK_BYTES, Head, Proposal, Store, Submission};
use reel_tests::guests::{Target, guest};

/// Keys in the large space.
const KEYS: u64 = 1_000_000;

/// Reads in one measurement.
const READS: u64 = 200_000;

const GENERATIONS: u64 = 64;

fn main() {
    let bench = Bench::new();
    println!("{:<52} {:>14} {:>14} {:>10}", "", "alternative", "reel", "");
    bench.fill_keys();
    bench.fill_bytes();
    bench.branches();
    bench.gate_reads();
    bench.old_versions();
    bench.generations();
    bench.disk();
    bench.differences();
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    engines: Engines,
    bytes: Vec<u8>,
    dir: tempfile::TempDir,
    store: Store,
}

fn name(text: &str) -> SpaceName {
    text.parse().expect("name")
}

/// As the guest `kvbench` makes them.
fn key(index: u64) -> Vec<u8> {
    (index.wrapping_mul(7_919) % KEYS).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec()
}

fn cell_key(index: u64) -> Vec<u8> {
    [b"\x05bench".as_slice(), &key(index)].concat()
}

fn cell(index: u64, value: u8) -> Cell {
    Cell {
        family: family::KEY_VALUE,
        key: cell_key(index).into(),
        value: CellValue::Inline { bytes: vec![value; 100].into() },
    }
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        let engines = Engines::for_commands(1 << 20).expect("engine");
        let bytes = std::fs::read(guest("kvbench", Target::P2)).expect("guest");
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::open(&dir.path().join("db"), "bench").expect("database");
        Self { runtime, engines, bytes, dir, store }
    }

    /// Commits cells by hand, as a run without events that belongs to the newest real one.
    fn commit(&self, space: &str, mut cells: Vec<Cell>) {
        cells.sort_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
        let space = name(space);
        let base = match self.store.head(&space).expect("head") {
            Some(head) => head,
            None => {
                self.run(space.as_str(), "none", 1);
                self.store.head(&space).expect("head").expect("space")
            }
        };
        let (reads, counters, outbox) = Default::default();
        let commit = Some(Proposal {
            at: WallTime(1),
            space,
            base,
            reads,
            cells,
            counters,
            outbox,
            others: Vec::new(),
            joined: Default::default(),
        });
        let run = self.store.newest_run().expect("a run");
        self.store.append(Submission { run, begun: None, frames: Vec::new(), commit, ending: None }).expect("append");
    }

    fn run(&self, space: &str, mode: &str, count: u64) -> (Duration, RunId) {
        let request = RunRequest {
            bytes: self.bytes.clone(),
            name: "kvbench".into(),
            args: vec!["bench".into(), mode.into(), count.to_string()],
            env: Vec::new(),
            dirs: Vec::new(),
            net: Vec::new(),
            calls: Vec::new(),
            limits: Default::default(),
            space: name(space),
            commit_on_failure: false,
            hold_output: false,
        };
        let surroundings = Surroundings {
            clock: Arc::new(HostClock::new()),
            entropy: Box::new(KernelEntropy::new()),
            console: Console::default(),
            dirs: Vec::new(),
            http: reel_host::runtime::HttpWorld::default(),
            network: Arc::new(reel_host::world::net::HostNetwork),
            callees: None,
        };
        let begun = Instant::now();
        let report = run(&self.store, &self.engines, request, surroundings, std::future::pending(), &|| ());
        let report = self.runtime.block_on(report).expect("run");
        let time = begun.elapsed();
        assert_eq!(report.end.outcome, Outcome::Exit { code: 0 });
        (time, report.run)
    }

    fn fill_keys(&self) {
        for part in 0..50 {
            self.commit("keys", (0..KEYS / 50).map(|index| cell(part * (KEYS / 50) + index, 1)).collect());
        }
        self.run("empty", "none", 1);
        self.store.settle().expect("settle");
    }

    /// A space with 1 GB of file content.
    fn fill_bytes(&self) {
        let blocks = (1 << 30) / BLOCK_BYTES as u64;
        let block = |index: u64| {
            let mut bytes = vec![0u8; BLOCK_BYTES];
            for (at, chunk) in bytes.chunks_exact_mut(8).enumerate() {
                chunk.copy_from_slice(&(index * 31 + at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            }
            let digest = self.store.blobs().put(bytes).expect("blob");
            let key = [1u64 << 40, index].map(u64::to_be_bytes).concat();
            let value = CellValue::Blob { digest, len: BLOCK_BYTES as u32 };
            Cell { family: family::BLOCK, key: key.into(), value }
        };
        for part in 0..8 {
            self.commit("bytes", (part * blocks / 8..(part + 1) * blocks / 8).map(block).collect());
        }
        self.store.settle().expect("settle");
    }

    /// Fork and rollback of large spaces beside those of an empty one.
    fn branches(&self) {
        let time = |space: &str, round: u32| {
            let (mut forks, mut rollbacks) = (Vec::new(), Vec::new());
            for index in 0..41 {
                let head = self.store.head(&name(space)).expect("head").expect("space");
                let begun = Instant::now();
                let fork = name(&format!("{space}-{round}-{index}"));
                self.store.fork(&name(space), head, &fork, WallTime(2)).expect("fork");
                forks.push(micros(begun.elapsed()));
                let head = self.head(fork.as_str());
                let begun = Instant::now();
                self.store.rollback(&fork, head, head, WallTime(3)).expect("rollback");
                rollbacks.push(micros(begun.elapsed()));
                self.store.remove_space(&fork, WallTime(4)).expect("remove");
            }
            (median(forks), median(rollbacks))
        };
        // In turn, so that the disk's mood is in all of them alike.
        let (empty, keys, bytes, empty_again) = (time("empty", 1), time("keys", 1), time("bytes", 1), time("empty", 2));
        let empty = ((empty.0 + empty_again.0) / 2.0, (empty.1 + empty_again.1) / 2.0);
        for (what, large) in [("1 million keys", keys), ("1 GB", bytes)] {
            line(&format!("fork, {what} beside an empty space"), empty.0, large.0, "us", "wanted: < 1000, x 1");
            line(&format!("rollback, {what} beside an empty space"), empty.1, large.1, "us", "wanted: < 1000, x 1");
        }
    }

    fn head(&self, space: &str) -> Head {
        self.store.head(&name(space)).expect("head").expect("space")
    }

    /// Point reads of a guest, through the gate and into the log, beside a bare redb get.
    fn gate_reads(&self) {
        const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("keys");
        let bare = Database::create(self.dir.path().join("bare.redb")).expect("redb");
        let write = bare.begin_write().expect("write");
        {
            let mut table = write.open_table(TABLE).expect("table");
            let mut keys: Vec<Vec<u8>> = (0..KEYS).map(cell_key).collect();
            keys.sort();
            for key in keys {
                table.insert(key.as_slice(), [1u8; 100].as_slice()).expect("insert");
            }
        }
        write.commit().expect("commit");
        let (mut one, mut view_reads, mut other) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            let read = bare.begin_read().expect("read");
            let table = read.open_table(TABLE).expect("table");
            one.push(per_read(|index| {
                let value = table.get(cell_key(index).as_slice()).expect("get").expect("value");
                std::hint::black_box(value.value().to_vec());
            }));
            let view = self.store.view(self.head("keys")).expect("view");
            view_reads.push(per_read(|index| {
                std::hint::black_box(view.get(family::KEY_VALUE, &cell_key(index)).expect("get").expect("value"));
            }));
            let (whole, empty) = (self.run("keys", "get", READS).0, self.run("keys", "get", 0).0);
            other.push(whole.saturating_sub(empty).as_nanos() as f64 / READS as f64);
        }
        let (one, view_reads, other) = (median(one), median(view_reads), median(other));
        line("point read in the store beside bare redb", one, view_reads, "ns", "");
        line("point read of a guest beside bare redb", one, other, "ns", "wanted: x 3 at most");
    }

    /// Reads at an old version, over which there are many.
    fn old_versions(&self) {
        let old = self.head("keys");
        for round in 0..20 {
            self.commit("keys", (0..2_000).map(|index| cell(index, round)).collect());
        }
        self.store.settle().expect("settle");
        let (newest, old) = (self.store.view(self.head("keys")).expect("view"), self.store.view(old).expect("view"));
        let get = |view: &reel_store::View, index| {
            std::hint::black_box(view.get(family::KEY_VALUE, &cell_key(index % 2_000)).expect("get").expect("value"));
        };
        let one = median((0..3).map(|_| per_read(|index| get(&newest, index))).collect());
        let other = median((0..3).map(|_| per_read(|index| get(&old, index))).collect());
        line("read 20 versions back beside the newest", one, other, "ns", "wanted: x 2 at most");
    }

    /// Reads through a long chain of forks.
    fn generations(&self) {
        self.commit("gen-0", (0..20_000).map(|index| cell(index, 1)).collect());
        for generation in 1..=GENERATIONS {
            let source = name(&format!("gen-{}", generation - 1));
            let fork = format!("gen-{generation}");
            self.store.fork(&source, self.head(source.as_str()), &name(&fork), WallTime(4)).expect("fork");
            self.commit(&fork, vec![cell(KEYS + generation, 1)]);
        }
        self.store.settle().expect("settle");
        // What goes on in the background, to its end.
        self.store.flatten(4, 4096, usize::MAX).expect("flatten");
        let view = |generation: u64| self.store.view(self.head(&format!("gen-{generation}"))).expect("view");
        let (direct, deep) = (view(0), view(GENERATIONS));
        let get = |view: &reel_store::View, index| {
            std::hint::black_box(view.get(family::KEY_VALUE, &cell_key(index % 20_000)).expect("get").expect("value"));
        };
        let one = median((0..3).map(|_| per_read(|index| get(&direct, index))).collect());
        let other = median((0..3).map(|_| per_read(|index| get(&deep, index))).collect());
        line("read through 64 generations beside a direct one", one, other, "ns", "wanted: x 2 at most");
    }

    /// Bytes on disk for each update of a key of 14 bytes and a value of 100, by a run each.
    fn disk(&self) {
        let store = Store::open(&self.dir.path().join("small"), "bench").expect("database");
        let small = Bench {
            store,
            runtime: tokio(),
            engines: self.engines.clone(),
            bytes: self.bytes.clone(),
            dir: tempfile::tempdir().expect("directory"),
        };
        small.run("main", "set", 1);
        small.store.settle().expect("settle");
        let before = disk_bytes(&self.dir.path().join("small"));
        let updates = 3_000;
        for _ in 0..updates {
            small.run("main", "set", 1);
        }
        small.store.settle().expect("settle");
        let grown = disk_bytes(&self.dir.path().join("small")).saturating_sub(before);
        line("disk per update (a run, 20 events) beside payload", 114.0, grown as f64 / f64::from(updates), "B", "");
    }

    /// What differs between two versions: as much as changed, whatever the size of the space.
    fn differences(&self) {
        for (space, what) in [("keys", "1 million keys"), ("little", "100 keys")] {
            if space == "little" {
                self.commit("little", (0..100).map(|index| cell(index, 1)).collect());
            }
            let before = self.head(space);
            self.commit(space, (0..10).map(|index| cell(index, 9)).collect());
            let after = self.head(space);
            let time = || {
                let begun = Instant::now();
                assert_eq!(self.store.changed(before, after).expect("changed").len(), 10);
                micros(begun.elapsed())
            };
            println!(
                "{:<52} {:>14} {:>11.0} us",
                format!("10 changed keys are found in {what}"),
                "",
                median((0..21).map(|_| time()).collect())
            );
        }
    }
}

fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio")
}

fn disk_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("directory").map(|entry| entry.expect("entry").path());
    entries
        .map(|path| if path.is_dir() { disk_bytes(&path) } else { path.metadata().map_or(0, |data| data.len()) })
        .sum()
}

/// Nanoseconds of one read.
fn per_read(mut read: impl FnMut(u64)) -> f64 {
    let begun = Instant::now();
    (0..READS).for_each(&mut read);
    begun.elapsed().as_nanos() as f64 / READS as f64
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn line(what: &str, one: f64, other: f64, unit: &str, wanted: &str) {
    println!("{what:<52} {one:>11.0} {unit} {other:>11.0} {unit}   x {:.2}  {wanted}", other / one);
}
