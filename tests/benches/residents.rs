//! What residents cost, as ratios within one run: `cargo bench -p reel-tests --bench residents`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reel_abi::id::{RunId, SpaceName, WallTime};
use reel_abi::limits::Limits;
use reel_abi::record::{Cell, CellValue, family};
use reel_abi::resident::OnCrash;
use reel_host::calls::session::Console;
use reel_host::runtime::Surroundings;
use reel_host::runtime::resident::{CallRequest, DeployRequest, Household};
use reel_host::world::clock::HostClock;
use reel_host::world::entropy::KernelEntropy;
use reel_store::{Store, Submission};
use reel_tests::guests::{Target, guest};
use wasmtime::component::{Component, Linker};

const MIB: u64 = 1 << 20;

fn main() {
    let number =
        |name: &str, otherwise| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let parts: [(&str, &dyn Fn()); 6] = [
        ("calls", &calls),
        ("forks", &forks),
        ("checkpoints", &checkpoints),
        ("returns", &returns),
        ("crowd", &|| crowd(number("RESIDENTS", 2_000))),
        ("sleepers", &|| sleepers(number("HIBERNATED", 5_000))),
    ];
    for (_, part) in parts.iter().filter(|(name, _)| wanted(name)) {
        part();
    }
}

fn name(text: &str) -> SpaceName {
    text.parse().expect("name")
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    store: Store,
    household: Household,
    bytes: Vec<u8>,
}

fn household(store: &Store) -> Household {
    let world = |_: &_| {
        let console = Console::default();
        Ok(Surroundings {
            clock: Arc::new(HostClock::new()),
            entropy: Box::new(KernelEntropy::new()),
            console,
            dirs: Vec::new(),
            http: reel_host::runtime::HttpWorld::default(),
            network: Arc::new(reel_host::world::net::HostNetwork),
            callees: None,
        })
    };
    Household::new(store.clone(), Arc::new(HostClock::new()), Box::new(world))
}

impl Bench {
    fn new(dir: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        let store = Store::open(dir, "bench").expect("database");
        let bytes = std::fs::read(guest_path()).expect("guest");
        Self { runtime, household: household(&store), store, bytes }
    }

    fn deploy(&self, to: &str) {
        let request = DeployRequest {
            name: name(to),
            bytes: self.bytes.clone(),
            program: "keeper".into(),
            env: Vec::new(),
            dirs: Vec::new(),
            net: Vec::new(),
            calls: Vec::new(),
            routes: Vec::new(),
            limits: Limits { memory_bytes: 3 << 30, ..Limits::default() },
            on_crash: OnCrash::Abort,
            subscriptions: Vec::new(),
            schedules: Vec::new(),
        };
        let report = self.runtime.block_on(self.household.deploy(&request, std::future::pending(), &|| ()));
        assert!(report.expect("deployed").end.outcome.is_success());
    }

    fn call(&self, to: &str, function: &str, args: &[&str]) -> String {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let request = CallRequest { name: name(to), function: function.into(), args };
        let report = self.runtime.block_on(self.household.call(&request, std::future::pending())).expect("called");
        assert!(report.end.outcome.is_success(), "{}", report.end.outcome);
        report.results.unwrap_or_default()
    }
}

fn guest_path() -> std::path::PathBuf {
    guest("keeper", Target::P2)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn timed(count: u32, mut work: impl FnMut(u32)) -> Duration {
    median(
        (0..count)
            .map(|index| {
                let begun = Instant::now();
                work(index);
                begun.elapsed()
            })
            .collect(),
    )
}

/// Bytes of main memory of this process that are its own.
fn own_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("smaps");
    let field = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).expect("a field");
        line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number") * 1024
    };
    field("Pss:")
}

/// A call that is durable, beside the commit alone and beside the bare engine.
fn calls() {
    let dir = tempfile::tempdir().expect("directory");
    let bench = Bench::new(&dir.path().join("db"));
    bench.deploy("k");
    let call = timed(2000, |_| drop(bench.call("k", "plain", &["1"])));
    let commit = timed(2000, |index| commit(&bench.store, index));
    let engine = wasmtime::Engine::default();
    let component = Component::new(&engine, &bench.bytes).expect("component");
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&component).expect("linked");
    let mut store = wasmtime::Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).expect("instance");
    let plain = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "plain").expect("typed");
    let bare = timed(2000, |_| _ = plain.call(&mut store, (1,)).expect("called"));
    println!(
        "bare engine call {bare:?}; commit alone {commit:?}; durable call {call:?}: x {:.2} of the commit",
        call.as_secs_f64() / commit.as_secs_f64()
    );
}

fn commit(store: &Store, index: u32) {
    let space = name("alone");
    let base = store.head_or_new(&space).expect("head");
    let cell = Cell {
        family: family::KEY_VALUE,
        key: b"\x01bkey".to_vec().into(),
        value: CellValue::Inline { bytes: index.to_le_bytes().to_vec().into() },
    };
    let commit = reel_store::Proposal {
        at: WallTime(u64::from(index)),
        space,
        base,
        reads: Default::default(),
        cells: vec![cell],
        counters: Vec::new(),
        outbox: Vec::new(),
        others: Vec::new(),
        joined: Default::default(),
    };
    let run = store.newest_run().unwrap_or(RunId(1));
    store
        .append(Submission { run, begun: None, frames: Vec::new(), commit: Some(commit), ending: None })
        .expect("commit");
}

/// Forks of the awake, small and large.
fn forks() {
    for mib in [10, 1024] {
        let dir = tempfile::tempdir().expect("directory");
        let bench = Bench::new(&dir.path().join("db"));
        bench.deploy("k");
        bench.call("k", "hold", &[&(mib * MIB).to_string(), "7"]);
        bench.runtime.block_on(bench.household.checkpoint(&name("k"))).expect("checkpoint");
        let forked = timed(50, |index| {
            bench.runtime.block_on(bench.household.fork(&name("k"), &name(&format!("f{index}")))).expect("fork");
        });
        let branch = timed(50, |index| {
            let head = bench.store.head(&name("k")).expect("head").expect("a space");
            bench.store.fork(&name("k"), head, &name(&format!("s{index}")), WallTime(0)).expect("fork");
        });
        let first = timed(20, |index| drop(bench.call(&format!("f{index}"), "add", &["1"])));
        println!(
            "fork of an awake resident of {mib} MiB: {forked:?}, of which its durable space {branch:?}; first call {first:?}"
        );
    }
}

/// What a checkpoint costs a caller, and until it is durable.
fn checkpoints() {
    let dir = tempfile::tempdir().expect("directory");
    let bench = Bench::new(&dir.path().join("db"));
    bench.deploy("k");
    bench.call("k", "hold", &[&(1024 * MIB).to_string(), "7"]);
    let begun = Instant::now();
    bench.runtime.block_on(bench.household.checkpoint(&name("k"))).expect("checkpoint");
    println!("first checkpoint of 1 GiB, all of it changed: {:?}", begun.elapsed());
    for pages in [1, 10, 100, 1000, 10_000] {
        let mut durable = Vec::new();
        let mut caller = Vec::new();
        for round in 0..12 {
            bench.call("k", "touch", &[&pages.to_string(), &(round + 1).to_string()]);
            let begun = Instant::now();
            bench.runtime.block_on(bench.household.checkpoint_soon(&name("k"))).expect("checkpoint");
            caller.push(begun.elapsed());
            bench.runtime.block_on(bench.household.rest());
            durable.push(begun.elapsed());
        }
        println!(
            "checkpoint of {pages} changed pages in 1 GiB: the caller {:?}, durable {:?}",
            median(caller),
            median(durable)
        );
    }
}

/// Coming back from the database: from a checkpoint, and by replay alone.
fn returns() {
    let dir = tempfile::tempdir().expect("directory");
    let bench = Bench::new(&dir.path().join("db"));
    bench.deploy("k");
    bench.call("k", "hold", &[&(10 * MIB).to_string(), "7"]);
    bench.call("k", "add", &["1"]);
    bench.runtime.block_on(bench.household.checkpoint(&name("k"))).expect("checkpoint");
    let cold = |label: &str| {
        let mut times = Vec::new();
        for _ in 0..10 {
            let fresh = Bench {
                runtime: runtime(),
                household: household(&bench.store),
                store: bench.store.clone(),
                bytes: Vec::new(),
            };
            // The code is on disk: loading it is measured by itself.
            let begun = Instant::now();
            fresh.runtime.block_on(fresh.household.rouse_now(&name("k"))).expect("awake");
            let first = begun.elapsed();
            fresh.runtime.block_on(fresh.household.hibernate(&name("k")));
            let begun = Instant::now();
            fresh.runtime.block_on(fresh.household.rouse_now(&name("k"))).expect("awake");
            times.push((first, begun.elapsed()));
        }
        let first = median(times.iter().map(|(first, _)| *first).collect());
        let second = median(times.iter().map(|(_, second)| *second).collect());
        println!("{label}: {second:?}; with loading the compiled code {first:?}");
    };
    cold("return of a resident of 10 MiB from its checkpoint");
    for _ in 0..400 {
        bench.call("k", "add", &["1"]);
    }
    cold("the same and 400 calls replayed");
    let dir = tempfile::tempdir().expect("directory");
    let bench = Bench::new(&dir.path().join("db"));
    bench.deploy("k");
    bench.call("k", "hold", &[&(10 * MIB).to_string(), "7"]);
    let begun = Instant::now();
    let fresh =
        Bench { runtime: runtime(), household: household(&bench.store), store: bench.store.clone(), bytes: Vec::new() };
    fresh.runtime.block_on(fresh.household.rouse_now(&name("k"))).expect("awake");
    println!("the same without a checkpoint, one call replayed: {:?}", begun.elapsed());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio")
}

/// Many residents at once.
fn crowd(count: u32) {
    let dir = tempfile::tempdir().expect("directory");
    let bench = Bench::new(&dir.path().join("db"));
    bench.deploy("k");
    bench.call("k", "add", &["1"]);
    bench.runtime.block_on(bench.household.checkpoint(&name("k"))).expect("checkpoint");
    let before = own_memory();
    let begun = Instant::now();
    for index in 0..count {
        bench.runtime.block_on(bench.household.fork(&name("k"), &name(&format!("r{index}")))).expect("fork");
    }
    let forked = begun.elapsed();
    let begun = Instant::now();
    for index in 0..count {
        bench.call(&format!("r{index}"), "add", &["1"]);
    }
    let called = begun.elapsed();
    let each = own_memory().saturating_sub(before) / u64::from(count);
    println!(
        "{count} residents awake: {} KiB each; made in {:?} each, called in {:?} each",
        each / 1024,
        forked / count,
        called / count
    );
}

/// Many residents that sleep.
fn sleepers(count: u32) {
    let dir = tempfile::tempdir().expect("directory");
    let bench = Bench::new(&dir.path().join("db"));
    bench.deploy("k");
    bench.call("k", "add", &["1"]);
    bench.runtime.block_on(bench.household.checkpoint(&name("k"))).expect("checkpoint");
    let begun = Instant::now();
    for index in 0..count {
        let head = bench.store.head(&name("k")).expect("head").expect("a space");
        bench.store.fork(&name("k"), head, &name(&format!("r{index}")), WallTime(0)).expect("fork");
    }
    let made = begun.elapsed();
    let before = own_memory();
    let begun = Instant::now();
    let rounds = count.min(1000);
    for index in 0..rounds {
        bench.call(&format!("r{index}"), "add", &["1"]);
        bench.runtime.block_on(bench.household.hibernate(&name(&format!("r{index}"))));
    }
    let each = own_memory().saturating_sub(before) / u64::from(rounds);
    println!(
        "{count} residents asleep, forked in {:?} each; {rounds} woken, called and put to sleep in {:?} each, {} KiB each stay",
        made / count,
        begun.elapsed() / rounds,
        each / 1024
    );
}
