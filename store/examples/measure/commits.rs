//! Commits against bare redb: the same bytes, in batches as large as there are transactions at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};
use reel_abi::id::SpaceName;
use reel_abi::record::{Cell, CellValue};
use reel_abi::wire::Wire;
use reel_store::{AppendError, Store, Submission};

/// Keys of the state that is written to.
pub const KEYS: u64 = 1_000_000;

const SPACE: &str = "million";

pub fn key(n: u64) -> Vec<u8> {
    (n % KEYS).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes().to_vec()
}

/// A store with a space of [`KEYS`] keys, made once.
pub fn million(dir: &Path) -> Store {
    let store = Store::open(&dir.join("million"), "measure").unwrap();
    let space: SpaceName = SPACE.parse().unwrap();
    if store.head(&space).unwrap().is_none() {
        for part in 0..50 {
            let mut cells: Vec<Cell> = (0..KEYS / 50).map(|n| cell(part * (KEYS / 50) + n)).collect();
            cells.sort_by(|a, b| a.key.cmp(&b.key));
            let head = store.head_or_new(&space).unwrap();
            let mut submission = super::submission(&store, &space, head, 100);
            submission.commit.as_mut().unwrap().cells = cells;
            store.append(submission).unwrap();
        }
    }
    store.settle().unwrap();
    store
}

fn cell(n: u64) -> Cell {
    Cell { family: 1, key: key(n).into(), value: CellValue::Inline { bytes: vec![n as u8; 40].into() } }
}

/// Makes transactions of about 500 bytes that read and write two keys.
struct Maker<'a> {
    store: &'a Store,
    space: SpaceName,
    template: Submission,
    seed: u64,
}

impl<'a> Maker<'a> {
    fn new(store: &'a Store, seed: u64) -> Self {
        let space: SpaceName = SPACE.parse().unwrap();
        let head = store.head_or_new(&space).unwrap();
        let template = super::submission(store, &space, head, 230);
        Self { store, space, template, seed: seed.wrapping_mul(0xBF58_476D_1CE4_E5B9) }
    }

    fn make(&mut self) -> Submission {
        let mut next = self.template.clone();
        next.run = self.store.next_run();
        next.frames[0].run = next.run;
        let head = self.store.head(&self.space).unwrap().unwrap();
        let begun = next.begun.as_mut().unwrap();
        (begun.segment, begun.version) = (head.segment, head.version);
        let proposal = next.commit.as_mut().unwrap();
        proposal.base = head;
        for written in &mut proposal.cells {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *written = cell(self.seed >> 20);
            proposal.reads.key(1, &written.key);
        }
        proposal.cells.sort_by(|a, b| a.key.cmp(&b.key));
        next
    }

    /// Bytes that it has in the log.
    fn bytes(&mut self) -> usize {
        let Submission { run, begun, frames, commit, ending } = self.make();
        let (proposal, ending) = (commit.unwrap(), ending.unwrap());
        let frames: usize = frames.iter().map(|frame| 1 + frame.to_bytes().len()).sum();
        let cells: usize = proposal.cells.iter().map(|cell| cell.to_bytes().len()).sum();
        let outcome = ending.outcome.to_bytes().len();
        2 + run.to_bytes().len() * 3 + begun.unwrap().to_bytes().len() + frames + cells + outcome + 60
    }
}

/// Transactions a second by `threads` that wait.
fn blocked(store: &Store, threads: u64, time: Duration) -> f64 {
    let stop = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                let mut maker = Maker::new(store, thread + 1);
                while !stop.load(Ordering::Relaxed) {
                    match store.append(maker.make()) {
                        Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(AppendError::Conflict { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    done.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64()
}

/// Transactions a second by one thread that keeps `outstanding` on their way.
fn outstanding(store: &Store, outstanding: u64, time: Duration) -> f64 {
    let mut maker = Maker::new(store, 77);
    let (told, answers) = mpsc::channel();
    let mut send = || {
        let told = told.clone();
        store.append_then(maker.make(), move |answer| drop(told.send(answer))).unwrap();
    };
    let begin = Instant::now();
    (0..outstanding).for_each(|_| send());
    let mut done = 0u64;
    while begin.elapsed() < time {
        match answers.recv().unwrap() {
            Ok(_) => done += 1,
            Err(AppendError::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        send();
    }
    let took = begin.elapsed().as_secs_f64();
    (0..outstanding).for_each(|_| drop(answers.recv().unwrap()));
    done as f64 / took
}

/// Records a second by bare redb, `batch` in a commit: each a row, or packed into one.
pub fn bare(dir: &Path, batch: u64, bytes: usize, packed: bool, time: Duration) -> f64 {
    const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
    let path = dir.join("bare.redb");
    let _ = std::fs::remove_file(&path);
    let db = Database::builder().set_cache_size(16 << 20).create(&path).unwrap();
    let row = vec![9u8; bytes * batch as usize];
    let begin = Instant::now();
    let mut next = 0;
    let mut done = 0;
    while begin.elapsed() < time {
        let txn = db.begin_write().unwrap();
        let mut table = txn.open_table(ROWS).unwrap();
        for part in row.chunks(if packed { row.len() } else { bytes }) {
            table.insert(next, part).unwrap();
            next += 1;
        }
        drop(table);
        txn.commit().unwrap();
        done += batch;
    }
    done as f64 / begin.elapsed().as_secs_f64()
}

/// Nanoseconds on a CPU by threads of the same name, where the system tells.
fn cpu_times() -> BTreeMap<String, f64> {
    let mut times = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let spent = read("schedstat").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        *times.entry(read("comm").trim().to_owned()).or_default() += spent;
    }
    times
}

/// Calls `f`, which says how many transactions it made a second, and prints what each thread needed for one.
fn with_cpu(at_once: u64, time: Duration, f: impl FnOnce() -> f64) -> f64 {
    let before = cpu_times();
    let figure = f();
    let made = figure * time.as_secs_f64();
    let mut text = format!("      {at_once} at once, callbacks, CPU a transaction:");
    for (name, spent) in cpu_times() {
        let spent = spent - before.get(&name).copied().unwrap_or(0.0);
        text += &format!(" {name} {:.1} us,", spent / made / 1e3);
    }
    println!("{text}");
    figure
}

pub fn commits(dir: &Path, rounds: usize) {
    let store = million(dir);
    let bytes = Maker::new(&store, 1).bytes();
    println!("{bytes} bytes a transaction, {KEYS} keys, {rounds} rounds, medians");
    let time = Duration::from_millis(std::env::var("MILLIS").map_or(1500, |text| text.parse().unwrap()));
    let modes = std::env::var("MODES").ok();
    let only: Option<u64> = std::env::var("ONLY").ok().and_then(|text| text.parse().ok());
    for at_once in [1, 8, 64].into_iter().filter(|at_once| only.is_none_or(|only| only == *at_once)) {
        let mut figures = [const { Vec::new() }; 4];
        for _ in 0..rounds {
            let wanted = |mode: &str| modes.as_ref().is_none_or(|modes| modes.contains(mode));
            let mut figure = |at: usize, mode, measured: &dyn Fn() -> f64| {
                figures[at].push(if wanted(mode) { measured() } else { f64::NAN });
            };
            figure(0, "packed", &|| bare(dir, at_once, bytes, true, time));
            figure(1, "rows", &|| bare(dir, at_once, bytes, false, time));
            figure(2, "threads", &|| blocked(&store, at_once, time));
            figure(3, "callbacks", &|| with_cpu(at_once, time, || outstanding(&store, at_once, time)));
        }
        let [packed, rows, blocked, outstanding] = figures.map(|mut all| {
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        });
        println!(
            "{at_once:3} at once: bare redb {packed:.0}/s packed, {rows:.0}/s in rows; \
             threads {blocked:.0}/s = {:.2}; callbacks {outstanding:.0}/s = {:.2}",
            blocked / packed,
            outstanding / packed
        );
    }
}
