//! A laboratory: a database of its own, guests run in this process, and a world whose every part is in the test's hands.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reel_abi::id::RunId;
use reel_abi::limits::Limits;
use reel_abi::outcome::DirGrant;
use reel_abi::resident::{Guest, OnCrash};
use reel_host::calls::session::Console;
use reel_host::port::{Clock, Entropy, HostDir, Input, Output, Waiting};
use reel_host::runtime::handlers::Handlers;
use reel_host::runtime::joined::Guests;
use reel_host::runtime::replay::ReplayError;
use reel_host::runtime::resident::DeployRequest;
use reel_host::runtime::{
    Engines, ReplayReport, ReplayRequest, RunReport, RunRequest, Surroundings, Verdict, replay, run,
};
use reel_host::world::hostdir::GrantedDir;
use reel_host::world::net::HostNetwork;
use reel_store::Store;

/// A clock that moves by a step at every look.
#[derive(Debug, Default)]
pub struct TickingClock(AtomicU64);

impl TickingClock {
    /// A clock that begins at `nanos`.
    pub fn at(nanos: u64) -> Self {
        Self(AtomicU64::new(nanos))
    }
}

impl Clock for TickingClock {
    fn wall(&self) -> u64 {
        1_700_000_000_000_000_000 + self.0.fetch_add(700_001, Ordering::Relaxed)
    }

    fn monotonic(&self) -> u64 {
        self.0.fetch_add(1_003, Ordering::Relaxed)
    }
}

/// Chance from a seed (xorshift64).
#[derive(Debug)]
pub struct SeededEntropy(pub u64);

impl Entropy for SeededEntropy {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        for byte in buffer {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = self.0 as u8;
        }
        Ok(())
    }
}

/// Standard input from bytes.
#[derive(Debug)]
pub struct BytesInput(pub Vec<u8>);

impl Input for BytesInput {
    fn ready(&mut self) -> Waiting<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn is_ready(&mut self) -> bool {
        true
    }

    fn take(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let rest = self.0.split_off(max.min(self.0.len()));
        Ok(Some(std::mem::replace(&mut self.0, rest)))
    }

    fn is_terminal(&self) -> bool {
        false
    }
}

/// Output that is kept.
#[derive(Debug, Clone, Default)]
pub struct KeptOutput(Arc<Mutex<Vec<u8>>>);

impl KeptOutput {
    /// What was shown so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Output for KeptOutput {
    fn show(&mut self, bytes: &[u8], _: &mut dyn FnMut() -> bool) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(())
    }

    fn is_terminal(&self) -> bool {
        false
    }
}

/// What to run in a laboratory.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// Standard input.
    pub stdin: Vec<u8>,
    /// Host directories: host path, guest path, read-only.
    pub dirs: Vec<(String, String, bool)>,
    /// Places in the network.
    pub net: Vec<String>,
    /// Guests that it may call.
    pub calls: Vec<String>,
    /// The space; `main` if it has no name.
    pub space: String,
    /// Seed of chance and time.
    pub seed: u64,
    /// Bounds.
    pub limits: Limits,
    /// Show what it says only once it has committed.
    pub hold_output: bool,
}

impl Trial {
    /// With these arguments and nothing else.
    pub fn args(args: &[&str]) -> Self {
        Self { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Self::default() }
    }
}

/// A database and an engine.
pub struct Lab {
    /// The database.
    pub store: Store,
    /// The engine.
    pub engines: Engines,
    /// Those whom its guests can call.
    pub callees: Arc<Guests>,
    /// What those have said.
    pub said: KeptOutput,
    runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
}

impl Lab {
    /// With a new database.
    pub fn new() -> Self {
        Self::with(Engines::for_commands(1 << 20).expect("engine"))
    }

    /// With a new database and this engine.
    pub fn with(engines: Engines) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let store = Store::open(&dir.path().join("db"), "a test").expect("database");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        let said = KeptOutput::default();
        let callees = Arc::new(Guests::new(store.clone(), Arc::new(world(&said))));
        Self { store, engines, callees, said, runtime, dir }
    }

    /// A directory that goes away with the laboratory; the database is `db` in it.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a guest live and gives the report and what it printed on both streams.
    pub fn run(&self, bytes: &[u8], trial: &Trial) -> (RunReport, String) {
        let output = KeptOutput::default();
        let surroundings = self.surroundings(trial, &output);
        let request = self.request(bytes, trial);
        let report = run(&self.store, &self.engines, request, surroundings, std::future::pending(), &|| ());
        (self.runtime.block_on(report).expect("run"), output.text())
    }

    /// Deploys a handler as the trial says, which can be called then.
    pub fn deploy(&self, name: &str, bytes: &[u8], trial: &Trial) {
        let RunRequest { bytes, env, dirs, net, calls, limits, .. } = self.request(bytes, trial);
        let request = DeployRequest {
            name: name.parse().expect("name"),
            bytes,
            program: "guest.wasm".into(),
            env,
            dirs,
            net,
            calls,
            routes: Vec::new(),
            limits,
            on_crash: OnCrash::Abort,
            subscriptions: Vec::new(),
            schedules: Vec::new(),
        };
        let handlers = Handlers::new(self.store.clone(), Box::new(world(&self.said)), None);
        let clock: Arc<dyn Clock> = Arc::new(TickingClock::at(1));
        handlers.deploy(&request, &clock, &|| ()).expect("deployed");
    }

    /// What a trial asks for.
    pub fn request(&self, bytes: &[u8], trial: &Trial) -> RunRequest {
        let mut args = vec!["guest.wasm".to_owned()];
        args.extend(trial.args.iter().cloned());
        RunRequest {
            bytes: bytes.to_vec(),
            name: "guest.wasm".into(),
            args,
            env: vec![("SEED".into(), trial.seed.to_string())],
            dirs: trial.dirs.iter().map(grant).collect(),
            net: trial.net.clone(),
            calls: trial.calls.iter().map(|name| name.parse().expect("name")).collect(),
            limits: trial.limits.clone(),
            space: if trial.space.is_empty() { "main" } else { &trial.space }.parse().expect("name"),
            commit_on_failure: false,
            hold_output: trial.hold_output,
        }
    }

    /// The world of a trial.
    pub fn surroundings(&self, trial: &Trial, output: &KeptOutput) -> Surroundings {
        let open = |(host, ..): &(String, String, bool)| -> Box<dyn HostDir> {
            Box::new(GrantedDir::open(Path::new(host)).expect("host directory"))
        };
        Surroundings {
            clock: Arc::new(TickingClock::at(trial.seed.wrapping_mul(1_000_000_007) >> 8)),
            entropy: Box::new(SeededEntropy(trial.seed | 1)),
            console: Console {
                stdin: Some(Box::new(BytesInput(trial.stdin.clone()))),
                stdout: Some(Box::new(output.clone())),
                stderr: Some(Box::new(output.clone())),
                echo: false,
            },
            dirs: trial.dirs.iter().map(open).collect(),
            http: reel_host::runtime::HttpWorld::default(),
            network: Arc::new(HostNetwork),
            callees: Some(Arc::clone(&self.callees)),
        }
    }

    /// Replays a run and gives what it would have printed.
    pub fn replay(&self, run: RunId) -> (ReplayReport, String) {
        self.replay_as(ReplayRequest { run, until: None, with: None, keep_payload: false })
    }

    /// Replays as asked.
    pub fn replay_as(&self, request: ReplayRequest) -> (ReplayReport, String) {
        let output = KeptOutput::default();
        let console = Console {
            stdin: None,
            stdout: Some(Box::new(output.clone())),
            stderr: Some(Box::new(output.clone())),
            echo: true,
        };
        let clock = Arc::new(TickingClock::at(99));
        let report = replay(&self.store, &self.engines, request, clock, console, &|| ());
        (self.runtime.block_on(report).expect("replay"), output.text())
    }

    /// Replays as asked, where the replay itself may fail.
    pub fn try_replay(&self, request: ReplayRequest) -> Result<Verdict, ReplayError> {
        let clock = Arc::new(TickingClock::at(99));
        let report = replay(&self.store, &self.engines, request, clock, Console::default(), &|| ());
        self.runtime.block_on(report).map(|report| report.verdict)
    }

    /// Drives a future of the host to its end.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// The world of those who are called.
fn world(said: &KeptOutput) -> impl Fn(&Guest) -> Result<Surroundings, String> + Send + Sync + 'static {
    let said = said.clone();
    move |guest: &Guest| {
        let open = |grant: &DirGrant| -> Box<dyn HostDir> {
            Box::new(GrantedDir::open(Path::new(&grant.host)).expect("host directory"))
        };
        Ok(Surroundings {
            clock: Arc::new(TickingClock::at(1_000_000_007)),
            entropy: Box::new(SeededEntropy(77)),
            console: Console {
                stdin: None,
                stdout: Some(Box::new(said.clone())),
                stderr: Some(Box::new(said.clone())),
                echo: false,
            },
            dirs: guest.dirs.iter().map(open).collect(),
            http: reel_host::runtime::HttpWorld::default(),
            network: Arc::new(HostNetwork),
            callees: None,
        })
    }
}

fn grant((host, guest, read_only): &(String, String, bool)) -> DirGrant {
    DirGrant { host: host.clone(), guest: guest.clone(), read_only: *read_only }
}
