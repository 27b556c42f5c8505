//! What recording costs, as ratios within one run: `cargo bench -p reel-tests --bench table`.
//!
//! Every figure stands beside its alternative, measured in turn in the same process: plain wasmtime with `wasmtime-wasi` under the same engine settings,
//! or bare redb. Each is the median of several rounds; the machine's mood is in all of them alike.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};
use reel_abi::id::{RunId, Seq, WallTime};
use reel_abi::outcome::{DirGrant, Disposition, Outcome};
use reel_abi::record::{Cell, CellValue, Frame};
use reel_host::calls::session::Console;
use reel_host::port::Clock;
use reel_host::runtime::{Engines, ReplayRequest, RunRequest, Surroundings, Verdict, replay, run};
use reel_host::world::clock::HostClock;
use reel_host::world::entropy::KernelEntropy;
use reel_store::{Ending, Proposal, Store, Submission};
use reel_tests::guests::{Target, guest};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::Command as PlainCommand;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

const ROUNDS: usize = 5;

fn main() {
    let bench = Bench::new();
    println!("{:<44} {:>14} {:>14} {:>22}", "", "alternative", "reel", "");
    bench.calls("clock call", "clock", 1_000_000, "wanted: <= 150 ns added");
    bench.calls("16 random bytes", "random", 500_000, "");
    bench.calls("read of 4 KiB", "read", 50_000, "");
    bench.calls("write of 4 KiB", "write", 20_000, "");
    bench.write_speed();
    bench.compute();
    bench.waiting();
    bench.bytes_per_event();
    bench.commit();
    bench.start_up();
    bench.memory();
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    engines: Engines,
    binary: PathBuf,
    bytes: Vec<u8>,
    component: Component,
    dir: tempfile::TempDir,
    store: Store,
}

struct Plain {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Plain {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        let engines = Engines::for_commands(1 << 20).expect("engine");
        let binary = guest("bench", Target::P2);
        let bytes = std::fs::read(&binary).expect("guest");
        let component = Component::new(engines.engine(), &bytes).expect("component");
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::open(&dir.path().join("db"), "bench").expect("database");
        Self { runtime, engines, binary, bytes, component, dir, store }
    }

    /// Plain wasmtime: the time from instantiation to the end.
    fn plain(&self, mode: &str, count: u64) -> Duration {
        let mut linker = Linker::new(self.engines.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("linker");
        let host = self.dir.path().join("plain");
        std::fs::create_dir_all(&host).expect("directory");
        let mut builder = WasiCtxBuilder::new();
        builder.args(&["bench", mode, &count.to_string()]);
        builder.preopened_dir(&host, "/", wasmtime_wasi::FsPerms::ReadWrite).expect("preopen");
        let plain = Plain { ctx: builder.build(), table: ResourceTable::new() };
        let mut store = wasmtime::Store::new(self.engines.engine(), plain);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let begun = Instant::now();
        let result = self.runtime.block_on(async {
            let command = PlainCommand::instantiate_async(&mut store, &self.component, &linker).await?;
            command.wasi_cli_run().call_run(&mut store).await
        });
        result.expect("plain run").expect("success");
        begun.elapsed()
    }

    /// Reel: the time from instantiation to the durable commit, and the run.
    fn recorded(&self, mode: &str, count: u64) -> (Duration, RunId) {
        let request = RunRequest {
            bytes: self.bytes.clone(),
            name: "bench".into(),
            args: vec!["bench".into(), mode.into(), count.to_string()],
            env: Vec::new(),
            dirs: Vec::<DirGrant>::new(),
            net: Vec::new(),
            calls: Vec::new(),
            limits: Default::default(),
            space: "main".parse().expect("name"),
            commit_on_failure: false,
            hold_output: false,
        };
        let clock: Arc<dyn Clock> = Arc::new(HostClock::new());
        let surroundings = Surroundings {
            clock,
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

    fn replayed(&self, run: RunId) -> Duration {
        let request = ReplayRequest { run, until: None, with: None, keep_payload: false };
        let clock: Arc<dyn Clock> = Arc::new(HostClock::new());
        let begun = Instant::now();
        let report = replay(&self.store, &self.engines, request, clock, Console::default(), &|| ());
        let report = self.runtime.block_on(report).expect("replay");
        assert_eq!(report.verdict, Verdict::Same);
        begun.elapsed()
    }

    /// Per call, what is left after the time of a run without calls is taken off.
    fn calls(&self, what: &str, mode: &str, count: u64, wanted: &str) {
        let per_call = |whole: Duration, empty: Duration| whole.saturating_sub(empty).as_nanos() as f64 / count as f64;
        let (mut plain, mut recorded, mut replayed) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            plain.push(per_call(self.plain(mode, count), self.plain(mode, 0)));
            let (time, run) = self.recorded(mode, count);
            recorded.push(per_call(time, self.recorded(mode, 0).0));
            replayed.push(per_call(self.replayed(run), Duration::ZERO));
        }
        let (plain, recorded, replayed) = (median(plain), median(recorded), median(replayed));
        println!(
            "{what:<44} {plain:>11.0} ns {recorded:>11.0} ns   {:+.0} ns, replay {replayed:.0} ns  {wanted}",
            recorded - plain
        );
    }

    fn write_speed(&self) {
        let blocks = 25_000u64;
        let megabytes = blocks as f64 * 4096.0 / 1e6;
        let plain = median((0..3).map(|_| megabytes / self.plain("write", blocks).as_secs_f64()).collect());
        let recorded = median((0..3).map(|_| megabytes / self.recorded("write", blocks).0.as_secs_f64()).collect());
        println!(
            "{:<44} {plain:>9.0} MB/s {recorded:>9.0} MB/s   durable; the other is not  wanted: >= 200 MB/s",
            "sequential file write, 100 MB"
        );
    }

    fn compute(&self) {
        let (mut ratios, mut replays) = (Vec::new(), Vec::new());
        let (mut plain, mut recorded) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let one = self.plain("compute", 1500).as_secs_f64();
            let (other, run) = self.recorded("compute", 1500);
            plain.push(one * 1e3);
            recorded.push(other.as_secs_f64() * 1e3);
            ratios.push(other.as_secs_f64() / one);
            replays.push(self.replayed(run).as_secs_f64() / other.as_secs_f64());
        }
        println!(
            "{:<44} {:>11.1} ms {:>11.1} ms   x {:.3}, replay x {:.3}  wanted: <= 1.02, <= 1",
            "compute",
            median(plain),
            median(recorded),
            median(ratios),
            median(replays)
        );
    }

    fn waiting(&self) {
        let (time, run) = self.recorded("sleep", 300);
        let replayed = median((0..ROUNDS).map(|_| self.replayed(run).as_secs_f64() * 1e3).collect());
        let time = time.as_secs_f64() * 1e3;
        println!(
            "{:<44} {time:>11.1} ms {replayed:>11.1} ms   replay x 1/{:.0}  wanted: >= 10",
            "waits 300 ms, and its replay",
            time / replayed
        );
    }

    fn bytes_per_event(&self) {
        for (what, mode) in [("monotonic clock", "clock"), ("wall clock", "wall"), ("16 random bytes", "random")] {
            let count = 1_000_000u64;
            let run = self.recorded(mode, count).1;
            let frames = self.store.frames(run, Seq(0)).expect("frames");
            let packed: usize = frames.iter().map(|at| self.store.frame(at).expect("frame").packed.len() + 40).sum();
            println!(
                "{:<44} {:>14} {:>8.2} bytes   {}",
                format!("log per event, {what}"),
                "",
                packed as f64 / count as f64,
                if mode == "random" { "" } else { "wanted: <= 8" }
            );
        }
    }

    /// The commit of a small run, made by hand, against a bare redb commit of as many bytes.
    fn commit(&self) {
        const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
        let bare = Database::create(self.dir.path().join("bare.redb")).expect("redb");
        let record = self.store.run(self.recorded("hello", 1).1).expect("read").expect("run");
        let frames = self.store.frames(record.run, Seq(0)).expect("frames");
        let frame = self.store.frame(&frames[0]).expect("frame");
        let size = frame.packed.len() + 300;
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let space: reel_abi::id::SpaceName = "commits".parse().expect("name");
        for index in 0..300u64 {
            let begun = Instant::now();
            let write = bare.begin_write().expect("write");
            write.open_table(TABLE).expect("table").insert(index, vec![7; size].as_slice()).expect("insert");
            write.commit().expect("commit");
            one.push(begun.elapsed().as_secs_f64() * 1e6);

            let run = self.store.next_run();
            let base = self.store.head_or_new(&space).expect("head");
            let cell = Cell {
                family: 1,
                key: index.to_be_bytes().to_vec().into(),
                value: CellValue::Inline { bytes: vec![1; 64].into() },
            };
            let (reads, counters, outbox) = Default::default();
            let at = WallTime(index);
            let commit = Some(Proposal {
                at,
                space: space.clone(),
                base,
                reads,
                cells: vec![cell],
                counters,
                outbox,
                others: vec![],
                joined: Default::default(),
            });
            let (outcome, memory, otherwise) = (Outcome::Exit { code: 0 }, None, Disposition::Aborted);
            let ending = Some(Ending { at, outcome, events: 1, logged_bytes: 1, written_bytes: 0, memory, otherwise });
            let begun_mark = Some(reel_abi::outcome::RunBegin { space: space.clone(), ..record.begin.clone() });
            let frames = vec![Frame { run, ..frame.clone() }];
            let begun = Instant::now();
            self.store.append(Submission { run, begun: begun_mark, frames, commit, ending }).expect("append");
            other.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        let (one, other) = (median(one), median(other));
        println!(
            "{:<44} {one:>11.0} us {other:>11.0} us   x {:.2}",
            format!("durable commit of a small run ({size} bytes)"),
            other / one
        );
    }

    fn reel(&self, db: &Path, mode: &str, count: &str) -> Command {
        let exe = std::env::current_exe().expect("own path");
        let reel = exe
            .ancestors()
            .map(|dir| dir.join("reel"))
            .find(|path| path.is_file())
            .expect("target/release/reel is built");
        let mut command = Command::new(reel);
        command.arg("run").arg(&self.binary).arg("--db").arg(db).args(["--", mode, count]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        command
    }

    fn start_up(&self) {
        let db = self.dir.path().join("start");
        assert!(self.reel(&db, "hello", "1").status().expect("reel").success());
        let time = |_| {
            let begun = Instant::now();
            assert!(self.reel(&db, "hello", "1").status().expect("reel").success());
            begun.elapsed().as_secs_f64() * 1e3
        };
        let median = median((0..30).map(time).collect());
        println!("{:<44} {:>14} {median:>11.1} ms   wanted: < 20 ms", "whole process, hello, warm cache", "");
    }

    fn memory(&self) {
        let db = self.dir.path().join("memory");
        let mut peaks = Vec::new();
        for count in ["1000", "1000000", "5000000"] {
            let mut child = self.reel(&db, "random", count).spawn().expect("reel");
            let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0u64);
            while child.try_wait().expect("wait").is_none() {
                let text = std::fs::read_to_string(&status).unwrap_or_default();
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                peak = peak.max(line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0));
                std::thread::sleep(Duration::from_millis(1));
            }
            peaks.push(format!("{count}: {:.0} MB", peak as f64 / 1e3));
        }
        println!("{:<44} {}", "peak memory of as many host calls", peaks.join(", "));
        std::io::stdout().flush().expect("output");
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
