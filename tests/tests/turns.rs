//! Runs that are overtaken so often that they take their space for themselves, and then again: by a rollback, which waits for nobody's turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reel_abi::id::{SpaceName, WallTime};
use reel_abi::outcome::{Disposition, Outcome};
use reel_host::port::Clock;
use reel_host::runtime::{RunReport, Verdict, run};
use reel_store::Store;
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{KeptOutput, Lab, TickingClock, Trial};
use tokio::sync::oneshot;

/// A run that still waits after this, waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// The clock of a run: its first looks each roll the space back, so that the attempts to which they belong are overtaken.
struct Meddling {
    clock: TickingClock,
    store: Store,
    /// How often an attempt looks.
    each: u32,
    until: u32,
    looks: AtomicU32,
}

impl Meddling {
    /// For the space of a laboratory; so many attempts are overtaken.
    fn with(lab: &Lab, attempts: u32) -> Arc<Self> {
        let new = |each, until| {
            let (clock, store) = (TickingClock::at(7), lab.store.clone());
            Arc::new(Self { clock, store, each, until, looks: AtomicU32::new(0) })
        };
        let quiet = new(1, 0);
        let report = incremented(lab, Arc::clone(&quiet), std::future::pending(), std::future::ready(()));
        assert_eq!(report.attempts, 1);
        let each = quiet.attempts();
        new(each, each * attempts)
    }

    /// How many attempts have come to their commit.
    fn attempts(&self) -> u32 {
        self.looks.load(Ordering::Relaxed) / self.each
    }
}

impl Clock for Meddling {
    fn wall(&self) -> u64 {
        if self.looks.fetch_add(1, Ordering::Relaxed) < self.until {
            let head = self.store.head(&main()).expect("read").expect("there is one");
            self.store.rollback(&main(), head, head, WallTime(1)).expect("rolled back");
        }
        self.clock.wall()
    }

    fn monotonic(&self) -> u64 {
        self.clock.monotonic()
    }
}

fn main() -> SpaceName {
    "main".parse().expect("a name")
}

fn kvtool() -> Vec<u8> {
    std::fs::read(guest("kvtool", Target::P2)).expect("kvtool")
}

/// A run that increments `n`, with this clock, until `stop`, while `beside` goes on beside it.
fn incremented(
    lab: &Lab,
    clock: Arc<Meddling>,
    stop: impl Future<Output = ()>,
    beside: impl Future<Output = ()>,
) -> RunReport {
    let bytes = kvtool();
    let trial = Trial { hold_output: true, ..Trial::args(&["atomics.increment b n 1"]) };
    let mut surroundings = lab.surroundings(&trial, &KeptOutput::default());
    surroundings.clock = clock;
    lab.block_on(async {
        let run = run(&lab.store, &lab.engines, lab.request(&bytes, &trial), surroundings, stop, &|| ());
        let both = async { tokio::join!(run, beside).0 };
        tokio::time::timeout(PATIENCE, both).await.expect("it does not wait for itself").expect("run")
    })
}

#[test]
fn a_run_that_is_overtaken_in_its_turn_comes_through() {
    let lab = Lab::new();
    let report = incremented(&lab, Meddling::with(&lab, 6), std::future::pending(), std::future::ready(()));
    assert!(matches!(report.end.disposition, Disposition::Committed { .. }), "{:?}", report.end);
    assert!(report.attempts >= 7, "{}", report.attempts);
    assert_eq!(lab.replay(report.run).0.verdict, Verdict::Same);
    // Nothing keeps the space from others now.
    let (next, _) = lab.run(&kvtool(), &Trial::args(&["atomics.increment b n 1"]));
    assert!(matches!(next.end.disposition, Disposition::Committed { .. }), "{:?}", next.end);
}

#[test]
fn a_run_that_waits_for_its_turn_can_be_interrupted() {
    let lab = Lab::new();
    let (interrupt, interrupted) = oneshot::channel::<()>();
    let (line, clock) = (lab.engines.turns().of(&main()), Meddling::with(&lab, 9));
    let beside = async {
        // Lets one attempt after the other pass, and is behind the fourth when it takes the space and keeps it: the run can only wait for it now.
        while clock.attempts() < 4 {
            line.take().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        line.take().await;
        drop(interrupt);
    };
    let stop = async { drop(interrupted.await) };
    let report = incremented(&lab, Arc::clone(&clock), stop, beside);
    assert_eq!((&report.end.outcome, &report.end.disposition), (&Outcome::Interrupted, &Disposition::Aborted));
    assert!(report.attempts > 4, "{}", report.attempts);
    let record = lab.store.run(report.run).expect("read").expect("it is in the log");
    assert_eq!(record.end.expect("it is over").outcome, Outcome::Interrupted);
    assert!(matches!(lab.replay(report.run).0.verdict, Verdict::SameToCut(_)), "the guest had done nothing yet");
    line.give_back();
    let (next, said) = lab.run(&kvtool(), &Trial::args(&["store.get b n"]));
    assert!(said.contains("\"1\""), "nothing was committed: {said} {:?}", next.end);
}
