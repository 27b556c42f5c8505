//! Law: what a resident is depends on the calls of its life alone. Whether it stayed awake, was brought back from a checkpoint or by replay, in this process or
//! another, in its own space or a fork of it: the same calls give the same results, the same events to the number of each handle, and the same memory.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reel_abi::id::Version;
use reel_host::engine::tracker::Tracker;
use reel_host::runtime::resident::{Debt, Habits};
use reel_host::runtime::{Engines, Verdict};
use reel_store::Head;
use reel_tests::script::cases;

use super::side::{Side, committed, keeper};

/// Spaces of one case: the guest and its forks.
const SPACES: usize = 4;

/// What happens.
#[derive(Debug, Clone)]
enum Step {
    /// A call of one of the guests.
    Call(usize, Vec<String>),
    Checkpoint(usize),
    Hibernate(usize),
    /// All instances are gone.
    Renew,
    /// The database is closed and opened again.
    Reopen,
    /// One of the guests is forked: awake in this process, or in the database alone.
    Fork(usize, bool),
    /// One of the guests goes back to one of its versions.
    Rollback(usize, prop::sample::Index),
}

fn call(function: &str, args: Vec<String>) -> Vec<String> {
    std::iter::once(function.to_owned()).chain(args).collect()
}

fn calls() -> impl Strategy<Value = Vec<String>> {
    let none = |name: &'static str| Just(call(name, Vec::new()));
    let text = || "[a-z]{1,8}".prop_map(|text| format!("\"{text}\""));
    let path = || prop_oneof![Just("\"a\"".to_owned()), Just("\"b\"".to_owned())];
    let numbers = prop_oneof![
        3 => (-9i64..9).prop_map(|n| call("add", vec![n.to_string()])),
        2 => (text(), text()).prop_map(|(name, text)| call("remember", vec![name, text])),
        2 => (0u32..300_000, 0u8..3).prop_map(|(n, value)| call("hold", vec![n.to_string(), value.to_string()])),
        2 => (0u32..90, 0u8..3).prop_map(|(n, value)| call("dirty", vec![n.to_string(), value.to_string()])),
        2 => none("let-go"),
        1 => none("all"),
    ];
    let files = prop_oneof![
        2 => path().prop_map(|path| call("open", vec![path])),
        3 => text().prop_map(|text| call("append", vec![text])),
        3 => (path(), 0u32..6).prop_map(|(path, n)| call("read-on", vec![path, n.to_string()])),
        1 => path().prop_map(|path| call("read", vec![path])),
        1 => none("close"),
        2 => Just(call("next-name", vec!["\".\"".to_owned()])),
        1 => (path(), 0u64..4).prop_map(|(path, n)| call("stream-from", vec![path, n.to_string()])),
        1 => (1u64..6).prop_map(|n| call("stream-read", vec![n.to_string()])),
        1 => path().prop_map(|path| call("stream-to", vec![path])),
        2 => text().prop_map(|text| call("stream-write", vec![text])),
        1 => none("drop-handles"),
    ];
    let world = prop_oneof![
        1 => text().prop_map(|text| call("say", vec![text])),
        1 => none("now"),
        1 => none("elapsed"),
        1 => none("random"),
        1 => (0u64..4000).prop_map(|n| call("set-timer", vec![n.to_string()])),
        1 => none("rings"),
        2 => (path(), text()).prop_map(|(key, text)| call("put", vec![key, text])),
        2 => path().prop_map(|key| call("get", vec![key])),
    ];
    let trouble = prop_oneof![
        Just(call("panics", vec!["3".into()])),
        Just(call("traps", vec!["3".into()])),
        Just(call("aborts", vec!["3".into(), "\"no\"".into()])),
        (0i32..2).prop_map(|code| call("exits", vec![code.to_string()])),
        Just(call("refuses", vec!["\"no\"".into()])),
    ];
    prop_oneof![6 => numbers, 6 => files, 4 => world, 1 => trouble]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let space = || 0..SPACES;
    let step = prop_oneof![
        14 => (space(), calls()).prop_map(|(space, call)| Step::Call(space, call)),
        2 => space().prop_map(Step::Checkpoint),
        3 => space().prop_map(Step::Hibernate),
        1 => Just(Step::Renew),
        1 => Just(Step::Reopen),
        2 => (space(), any::<bool>()).prop_map(|(space, awake)| Step::Fork(space, awake)),
        1 => (space(), any::<prop::sample::Index>()).prop_map(|(space, at)| Step::Rollback(space, at)),
    ];
    prop::collection::vec(step, 1..50)
}

/// A guest or one of its forks on both sides: the names, and the versions of each in pairs.
struct Pair {
    name: String,
    versions: Vec<(Head, Head)>,
}

/// The tested side and the plain one, on which nobody ever makes a checkpoint and which no call that failed is told to.
struct Sides {
    tested: Side,
    plain: Side,
    engines: Engines,
    case: u64,
    moment: u64,
    /// The number of the newest run on the plain side, begun or not.
    plain_run: u64,
}

impl Sides {
    fn new(habits: Habits) -> Self {
        let engines = Engines::for_commands(1 << 20).expect("engine");
        let (tested, plain) = (Side::new(habits), Side::new(Habits::default()));
        Self { tested, plain, engines, case: 0, moment: 0, plain_run: 0 }
    }

    /// The next run of the plain side gets the number `run`, so that what is numbered by runs is the same on both sides.
    fn number(&mut self, run: u64) {
        while self.plain_run + 1 < run {
            self.plain_run = self.plain.store().next_run().0;
        }
        self.plain_run = run;
    }

    fn newest(&self) -> u64 {
        self.tested.store().newest_run().map_or(0, |run| run.0)
    }

    fn run(&mut self, keeper: &[u8], steps: &[Step]) -> Result<(), TestCaseError> {
        self.case += 1;
        self.moment += 1;
        let first = self.newest();
        let name = format!("case{}", self.case);
        for side in [&self.tested, &self.plain] {
            side.at(self.moment);
        }
        let born = self.tested.deploy(&name, keeper);
        self.number(born.run.0);
        prop_assert_eq!(self.plain.deploy(&name, keeper).run, born.run);
        let versions = vec![(self.tested.head(&name), self.plain.head(&name))];
        let mut pairs = vec![Pair { name, versions }];
        for step in steps {
            self.step(&mut pairs, step)?;
        }
        for Pair { name, .. } in &pairs {
            prop_assert_eq!(self.tested.digest(name), self.plain.digest(name), "{}", name);
            self.tested.hibernate(name);
            prop_assert_eq!(self.tested.digest(name), self.plain.digest(name), "{} at last", name);
        }
        for run in self.tested.store().runs(None, (self.newest() - first) as usize).expect("runs") {
            if run.begin.name != "checkpoint" {
                prop_assert_eq!(self.tested.replay(&self.engines, run.run), Verdict::Same, "run {}", run.run);
            }
        }
        Ok(())
    }

    fn step(&mut self, pairs: &mut Vec<Pair>, step: &Step) -> Result<(), TestCaseError> {
        let many = pairs.len();
        match step {
            Step::Call(at, call) => return self.call(&mut pairs[at % many], call),
            Step::Checkpoint(at) => drop(self.tested.checkpoint(&pairs[at % many].name)),
            Step::Hibernate(at) => self.tested.hibernate(&pairs[at % many].name),
            Step::Renew => self.tested.renew(),
            Step::Reopen => self.tested.reopen(),
            Step::Fork(..) if many == SPACES => {}
            Step::Fork(at, awake) => {
                let (from, name) = (&pairs[at % many].name, format!("{}-{many}", pairs[0].name));
                match awake {
                    true => self.tested.fork_awake(from, &name),
                    false => self.tested.fork(from, &name),
                }
                self.plain.fork(from, &name);
                let versions = vec![(self.tested.head(&name), self.plain.head(&name))];
                pairs.push(Pair { name, versions });
            }
            Step::Rollback(at, to) => {
                let Pair { name, versions } = &mut pairs[at % many];
                let (tested, plain) = *to.get(versions);
                self.tested.rollback(name, tested);
                self.plain.rollback(name, plain);
                versions.push((self.tested.head(name), self.plain.head(name)));
                return Ok(());
            }
        }
        // A checkpoint is a version to go back to as well.
        for Pair { name, versions } in pairs {
            let now = (self.tested.head(name), self.plain.head(name));
            if versions.last() != Some(&now) {
                versions.push(now);
            }
        }
        Ok(())
    }

    fn call(&mut self, pair: &mut Pair, call: &[String]) -> Result<(), TestCaseError> {
        self.moment += 1;
        let words: Vec<&str> = call.iter().map(String::as_str).collect();
        self.tested.at(self.moment);
        let report = self.tested.try_call(&pair.name, &words).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let fails = matches!(words[0], "panics" | "traps" | "aborts" | "exits");
        prop_assert_eq!(committed(&report), !fails, "{:?}: {:?}", call, report.end);
        if fails {
            return Ok(());
        }
        self.number(report.run.0);
        self.plain.at(self.moment);
        let plain = self.plain.try_call(&pair.name, &words).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(report.run, plain.run);
        prop_assert_eq!(&report.results, &plain.results, "{:?}", call);
        prop_assert_eq!(self.tested.events(report.run), self.plain.events(plain.run), "{:?}", call);
        pair.versions.push((self.tested.head(&pair.name), self.plain.head(&pair.name)));
        Ok(())
    }
}

fn same_whatever_happens(habits: Habits, standard: u32) {
    let keeper = keeper();
    let mut config = cases(standard);
    config.max_shrink_iters = 200;
    let sides = std::cell::RefCell::new(Sides::new(habits));
    TestRunner::new(config)
        .run(&steps(), |steps| {
            let mut sides = sides.borrow_mut();
            let result = sides.run(&keeper, &steps);
            if result.is_err() {
                *sides = Sides::new(habits);
            }
            result
        })
        .expect("law");
    sides.borrow().tested.is_sound();
    sides.borrow().plain.is_sound();
}

/// Whoever sleeps leaves a checkpoint, and more than two are never awake.
fn eager() -> Habits {
    Habits { felt: Debt { calls: 1, events: u64::MAX, nanos: u64::MAX }, awake: 2, ..Habits::default() }
}

#[test]
fn a_resident_is_what_it_was_told() {
    same_whatever_happens(eager(), 60);
}

/// The same where the system does not tell which pages were written.
#[test]
fn a_resident_is_what_it_was_told_where_pages_are_compared() {
    same_whatever_happens(Habits { tracker: Tracker::Compare, ..eager() }, 40);
}

/// A version that only a checkpoint made is not one that anybody can tell from the one before.
#[test]
fn versions_are_told_apart() {
    let side = Side::new(Habits::default());
    side.deploy("k", &keeper());
    side.call("k", &["add", "1"]);
    assert_eq!(side.head("k").version, Version(2));
    assert_eq!(side.checkpoint("k").version, Version(3));
    side.hibernate("k");
    assert_eq!(side.head("k").version, Version(3), "nothing has changed since the checkpoint");
}
