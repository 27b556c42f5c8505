//! A database with a household whose world is in the test's hands: what a call learns of time and chance depends on the moment it is made at alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reel_abi::event::decode;
use reel_abi::id::{RunId, Seq, SpaceName, WallTime};
use reel_abi::limits::Limits;
use reel_abi::outcome::{Disposition, RunBegin};
use reel_abi::record::{Cell, CellValue};
use reel_abi::resident::OnCrash;
use reel_abi::vocabulary::EventView;
use reel_host::calls::session::Console;
use reel_host::port::Clock;
use reel_host::runtime::resident::{CallError, CallReport, CallRequest, DeployRequest, Habits, Household};
use reel_host::runtime::{Engines, ReplayRequest, Surroundings, Verdict, replay};
use reel_store::{Ending, Head, OpenError, Proposal, ReadSet, Store, Submission};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{KeptOutput, SeededEntropy, TickingClock};

/// A second of the guest's clock lies between two moments.
const MOMENT_NANOS: u64 = 1_000_000_000;

/// A clock that stands still at a moment.
#[derive(Debug)]
struct StillClock(u64);

impl Clock for StillClock {
    fn wall(&self) -> u64 {
        1_700_000_000_000_000_000 + self.0 * MOMENT_NANOS
    }

    fn monotonic(&self) -> u64 {
        self.0 * MOMENT_NANOS
    }
}

/// What happens while a call is made, once: given the database.
pub type Meanwhile = Box<dyn FnOnce(&Store) + Send>;

/// The resident guest of the tests.
pub fn keeper() -> Vec<u8> {
    std::fs::read(guest("keeper", Target::P2)).expect("keeper")
}

/// A name.
pub fn space(name: &str) -> SpaceName {
    name.parse().expect("a name")
}

/// See the module.
pub struct Side {
    /// The database; absent only while it is opened again.
    store: Option<Store>,
    household: Option<Household>,
    /// What all guests have said.
    pub said: KeptOutput,
    /// What is to happen between the begin of the next call and its commit.
    pub meanwhile: Arc<Mutex<Option<Meanwhile>>>,
    moment: Arc<AtomicU64>,
    habits: Habits,
    runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
}

impl Side {
    /// With a new database.
    pub fn new(habits: Habits) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        let (said, moment, meanwhile) = Default::default();
        let mut side = Self { store: None, household: None, said, meanwhile, moment, habits, runtime, dir };
        side.reopen();
        side
    }

    /// The database is closed and opened again.
    pub fn reopen(&mut self) {
        self.household = None;
        self.store = None;
        // What other tests start has the lock of this process too, for a moment.
        let opened = (0..1000).find_map(|_| match Store::open(&self.dir.path().join("db"), "a test") {
            Err(OpenError::Locked { .. }) => {
                std::thread::sleep(Duration::from_millis(5));
                None
            }
            opened => Some(opened.expect("database")),
        });
        self.store = Some(opened.expect("nobody else has it open"));
        self.renew();
    }

    /// Another household comes; all that was awake is gone.
    pub fn renew(&mut self) {
        let (moment, said) = (Arc::clone(&self.moment), self.said.clone());
        let (store, meanwhile) = (self.store().clone(), Arc::clone(&self.meanwhile));
        let world = move |_: &_| {
            if let Some(deed) = meanwhile.lock().expect("nobody failed").take() {
                deed(&store);
            }
            let moment = moment.load(Ordering::Relaxed);
            let stdout: Box<dyn reel_host::port::Output> = Box::new(said.clone());
            Ok(Surroundings {
                clock: Arc::new(StillClock(moment)),
                entropy: Box::new(SeededEntropy(moment * 2 + 1)),
                console: Console { stdin: None, stdout: Some(stdout), stderr: None, echo: false },
                dirs: Vec::new(),
                http: reel_host::runtime::HttpWorld::default(),
                network: Arc::new(reel_host::world::net::HostNetwork),
                callees: None,
            })
        };
        self.household = None;
        let clock = Arc::new(StillClock(self.moment.load(Ordering::Relaxed)));
        self.household = Some(Household::with_habits(self.store().clone(), clock, Box::new(world), self.habits));
    }

    /// The database.
    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("it is open")
    }

    /// The household.
    pub fn household(&self) -> &Household {
        self.household.as_ref().expect("there is one")
    }

    /// Sets the moment of the next call.
    pub fn at(&self, moment: u64) {
        self.moment.store(moment, Ordering::Relaxed);
    }

    /// Drives a future of the host to its end.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Deploys a guest.
    pub fn deploy(&self, name: &str, bytes: &[u8]) -> CallReport {
        let report = self.deploy_as(name, bytes, OnCrash::Abort);
        assert!(report.end.outcome.is_success(), "{:?}", report.end);
        report
    }

    /// Deploys a guest whose birth may fail.
    pub fn deploy_as(&self, name: &str, bytes: &[u8], on_crash: OnCrash) -> CallReport {
        let request = DeployRequest {
            name: space(name),
            bytes: bytes.to_vec(),
            program: "guest.wasm".into(),
            env: Vec::new(),
            dirs: Vec::new(),
            net: Vec::new(),
            calls: Vec::new(),
            routes: Vec::new(),
            limits: Limits::default(),
            on_crash,
            subscriptions: Vec::new(),
            schedules: Vec::new(),
        };
        self.block_on(self.household().deploy(&request, std::future::pending(), &|| ())).expect("deployed")
    }

    /// Calls a function, however that ends: `add 5`.
    pub fn try_call(&self, name: &str, call: &[&str]) -> Result<CallReport, CallError> {
        let args = call[1..].iter().map(|arg| (*arg).to_owned()).collect();
        let request = CallRequest { name: space(name), function: call[0].to_owned(), args };
        self.block_on(self.household().call(&request, std::future::pending()))
    }

    /// Calls a function, which returns; what it gives.
    #[track_caller]
    pub fn call(&self, name: &str, call: &[&str]) -> String {
        let report = self.try_call(name, call).expect("called");
        assert!(committed(&report), "{call:?}: {:?}", report.end);
        report.results.expect("a committed call gives something")
    }

    /// Makes a checkpoint.
    #[track_caller]
    pub fn checkpoint(&self, name: &str) -> Head {
        self.block_on(self.household().checkpoint(&space(name))).expect("checkpoint")
    }

    /// Makes a checkpoint, if the guest is one that can be captured.
    pub fn try_checkpoint(&self, name: &str) -> bool {
        self.block_on(self.household().checkpoint(&space(name))).is_ok()
    }

    /// Lets a guest sleep.
    pub fn hibernate(&self, name: &str) {
        self.block_on(self.household().hibernate(&space(name)));
    }

    /// A digest of what a guest is.
    #[track_caller]
    pub fn digest(&self, name: &str) -> String {
        self.block_on(self.household().digest(&space(name))).expect("digest").to_string()
    }

    /// The newest version of a space.
    pub fn head(&self, name: &str) -> Head {
        self.store().head(&space(name)).expect("read").expect("the space is there")
    }

    /// Forks a space as it is now.
    pub fn fork(&self, from: &str, name: &str) {
        self.store().fork(&space(from), self.head(from), &space(name), WallTime(1)).expect("forked");
    }

    /// Forks a resident in this process.
    pub fn fork_awake(&self, from: &str, name: &str) {
        self.runtime.block_on(self.household().fork(&space(from), &space(name))).expect("forked");
    }

    /// Brings a space back to one of its versions.
    pub fn rollback(&self, name: &str, to: Head) {
        self.store().rollback(&space(name), self.head(name), to, WallTime(1)).expect("rolled back");
    }

    /// Another program than the guest writes a cell of its space.
    pub fn write(&self, name: &str, family: u8, key: &[u8], value: CellValue) {
        write(self.store(), name, family, key, value);
    }

    /// The events of a run.
    pub fn events(&self, run: RunId) -> Vec<EventView> {
        let frames = self.store().frames(run, Seq(0)).expect("frames");
        let all = frames.iter().flat_map(|at| {
            let frame = self.store().frame(at).expect("frame");
            decode(&frame, &frame.unpack().expect("unpack")).expect("events")
        });
        all.map(|(_, view)| view).collect()
    }

    /// Replays a run.
    pub fn replay(&self, engines: &Engines, run: RunId) -> Verdict {
        let request = ReplayRequest { run, until: None, with: None, keep_payload: false };
        let clock = Arc::new(TickingClock::at(99));
        let report = replay(self.store(), engines, request, clock, Console::default(), &|| ());
        self.block_on(report).unwrap_or_else(|error| panic!("run {run}: {error}")).verdict
    }

    /// Everything that is checked is sound, and every call of a guest replays.
    pub fn is_sound(&self) {
        let check = &mut |frame: &_, raw: &[u8]| decode(frame, raw).map(drop).map_err(|e| e.to_string());
        let report = self.store().verify(check, &mut |_, _| ()).expect("verify");
        assert!(report.is_sound(), "{:?}", report.problems);
    }
}

/// Another program than the guest writes a cell of its space.
pub fn write(store: &Store, name: &str, family: u8, key: &[u8], value: CellValue) {
    let base = store.head(&space(name)).expect("read").expect("the space is there");
    let run = store.next_run();
    let record = store.runs(None, 1).expect("runs").pop().expect("a run");
    let begun = RunBegin { space: space(name), segment: base.segment, version: base.version, ..record.begin };
    let cells = vec![Cell { family, key: key.to_vec().into(), value }];
    let (reads, counters, outbox, others) = (ReadSet::default(), Vec::new(), Vec::new(), Vec::new());
    let proposal = Proposal {
        at: WallTime(1),
        space: space(name),
        base,
        reads,
        cells,
        counters,
        outbox,
        others,
        joined: Default::default(),
    };
    let ending = Ending {
        at: WallTime(1),
        outcome: reel_abi::outcome::Outcome::Exit { code: 0 },
        events: 0,
        logged_bytes: 0,
        written_bytes: 0,
        memory: None,
        otherwise: Disposition::Aborted,
    };
    let (commit, ending) = (Some(proposal), Some(ending));
    store.append(Submission { run, begun: Some(begun), frames: Vec::new(), commit, ending }).expect("written");
}

/// Whether a call is part of the life of its guest.
pub fn committed(report: &CallReport) -> bool {
    matches!(report.end.disposition, Disposition::Committed { .. })
}
