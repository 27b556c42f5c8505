//! Law 5, isolation: committed transactions are serialisable, in the order of their versions.
//!
//! Named anomalies with guests that take turns as the test says, and random programs on many threads whose every logged reply is held against
//! a map that executes the committed runs one after the other.

use std::collections::BTreeMap;

use reel_abi::bytes::Bytes;
use reel_abi::id::{RunId, Seq, Version};
use reel_abi::outcome::Disposition;
use reel_abi::types::Payload;
use reel_abi::value::{Describe, Value};
use reel_abi::vocabulary::EventView;
use reel_abi::wire::Wire;
use reel_host::runtime::RunReport;
use reel_host::runtime::replay::events;
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};
use reel_tests::puppet::Puppet;

fn kvtool() -> Vec<u8> {
    std::fs::read(guest("kvtool", Target::P2)).expect("guest")
}

fn set_up(lab: &Lab, bytes: &[u8], steps: &[&str]) {
    let (report, said) = lab.run(bytes, &Trial::args(steps));
    assert!(matches!(report.end.disposition, Disposition::Committed { .. }), "{said}");
}

fn ask(lab: &Lab, bytes: &[u8], step: &str) -> String {
    let (_, said) = lab.run(bytes, &Trial::args(&[step]));
    said.trim_end().strip_prefix(step).map(|rest| rest.trim_start_matches(": ").to_owned()).unwrap_or(said)
}

fn committed(report: &RunReport) -> bool {
    matches!(report.end.disposition, Disposition::Committed { .. })
}

/// Two runs do their steps; the first one ends first. The second must be overtaken, and is executed again if nobody has heard of it.
fn second_is_overtaken(set: &[&str], first: &[&str], second: &[&str], check: impl Fn(&Lab, &[u8])) {
    let bytes = kvtool();
    for hold in [false, true] {
        let lab = Lab::new();
        set_up(&lab, &bytes, set);
        let (one, other) = (Puppet::begin(&lab, &bytes, hold), Puppet::begin(&lab, &bytes, hold));
        for step in first {
            one.step(step);
        }
        for step in second {
            other.step(step);
        }
        let (report, said) = one.end();
        assert!(committed(&report) && report.attempts == 1, "{said}");
        let (report, said) = other.end();
        if hold {
            assert!(committed(&report) && report.attempts == 2, "{:?}\n{said}", report.end);
            check(&lab, &bytes);
        } else {
            assert!(report.conflict.is_some(), "{said}");
            assert_eq!(report.end.disposition, Disposition::Lost { again: None });
        }
        assert_eq!(lab.replay(report.run).0.verdict, reel_host::runtime::Verdict::Same);
    }
}

#[test]
fn no_update_is_lost() {
    let add = |delta: &'static str| move |lab: &Lab, bytes: &[u8]| assert_eq!(ask(lab, bytes, "store.get b n"), delta);
    second_is_overtaken(
        &["store.set b n 5"],
        &["atomics.increment b n 1"],
        &["atomics.increment b n 10"],
        add("\"16\""),
    );
}

#[test]
fn there_is_no_write_skew() {
    // Both doctors look who is on call, and each goes home because the other stays.
    second_is_overtaken(
        &["batch.set-many duty alice yes bob yes"],
        &["batch.get-many duty alice bob", "store.set duty alice no"],
        &["batch.get-many duty alice bob", "store.set duty bob no"],
        |_, _| (),
    );
}

#[test]
fn there_are_no_phantoms() {
    second_is_overtaken(
        &["store.set bookings 10 x"],
        &["store.set bookings 11 y"],
        &["keyvalue.scan bookings - . . 10", "store.set totals all 1"],
        |_, _| (),
    );
    // Absence is a reading too, of a key, of a file, and of a name in a directory.
    second_is_overtaken(
        &["store.set b other x"],
        &["store.set b new 1"],
        &["store.get b new", "store.set c copy -"],
        |_, _| (),
    );
    second_is_overtaken(
        &["file.write other x"],
        &["file.write new 1"],
        &["file.read new", "file.write copy -"],
        |_, _| (),
    );
    second_is_overtaken(
        &["store.set b other x"],
        &["store.delete b other"],
        &["store.exists b other", "store.set c copy -"],
        |_, _| (),
    );
}

/// Fekete, O'Neil, O'Neil, "A read-only transaction anomaly under snapshot isolation", 2004: a withdrawal that saw no deposit, and a report between
/// the two that did.
#[test]
fn a_reader_sees_no_order_that_never_was() {
    let (bytes, lab) = (kvtool(), Lab::new());
    set_up(&lab, &bytes, &["batch.set-many acct x 0 y 0"]);
    let withdrawal = Puppet::begin(&lab, &bytes, false);
    withdrawal.step("batch.get-many acct x y");
    let deposit = Puppet::begin(&lab, &bytes, false);
    deposit.step("store.get acct y").step("store.set acct y 20");
    assert!(committed(&deposit.end().0));
    assert_eq!(ask(&lab, &bytes, "batch.get-many acct x y"), "[\"x\"=\"0\" \"y\"=\"20\"]");
    withdrawal.step("store.set acct x -11");
    let (report, said) = withdrawal.end();
    assert!(report.conflict.is_some(), "it went by y = 0, which nobody may after the report: {said}");
}

#[test]
fn what_was_not_read_does_not_conflict() {
    let bytes = kvtool();
    let pairs: [(&[&str], &[&str]); 4] = [
        (&["store.set b one 1"], &["store.set b two 2"]),
        (&["store.set b same 1"], &["store.set b same 2"]),
        (&["file.write one 1"], &["file.write two 2"]),
        (&["keyvalue.scan b a k 10 10", "store.set b a1 -"], &["keyvalue.scan b l z 10 10", "store.set b l1 -"]),
    ];
    for (first, second) in pairs {
        let lab = Lab::new();
        set_up(&lab, &bytes, &["store.set b same 0", "file.write zero 0"]);
        let (one, other) = (Puppet::begin(&lab, &bytes, false), Puppet::begin(&lab, &bytes, false));
        for step in first {
            one.step(step);
        }
        for step in second {
            other.step(step);
        }
        for puppet in [one, other] {
            let (report, said) = puppet.end();
            assert!(committed(&report) && report.attempts == 1, "{first:?} {second:?} {said}");
        }
        assert!(lab.store.verify(&mut |_, _| Ok(()), &mut |_, _| ()).expect("verify").problems.is_empty());
    }
}

/// A run that only reads is never overtaken: it is serialised where it read.
#[test]
fn a_reader_is_never_executed_again() {
    let (bytes, lab) = (kvtool(), Lab::new());
    set_up(&lab, &bytes, &["store.set b k 1"]);
    let reader = Puppet::begin(&lab, &bytes, true);
    reader.step("store.get b k");
    set_up(&lab, &bytes, &["store.set b k 2"]);
    reader.step("store.get b k");
    let (report, said) = reader.end();
    assert!(committed(&report) && report.attempts == 1);
    assert_eq!(said.matches("\"1\"").count(), 2, "{said}");
}

/// A long command that commits on its way is told of a conflict, and goes on with what is there now.
#[test]
fn a_commit_on_the_way_is_told_of_a_conflict() {
    let (bytes, lab) = (kvtool(), Lab::new());
    set_up(&lab, &bytes, &["store.set b n 1"]);
    let long = Puppet::begin(&lab, &bytes, false);
    long.step("store.set b first 1").step("transaction.commit").step("atomics.increment b n 1");
    set_up(&lab, &bytes, &["atomics.increment b n 10"]);
    long.step("transaction.commit").step("store.get b n").step("atomics.increment b n 1").step("transaction.commit");
    let (report, said) = long.end();
    assert!(said.contains("transaction.commit: error"), "{said}");
    assert!(said.contains("store.get b n: \"11\""), "{said}");
    assert!(committed(&report) || matches!(report.end.disposition, Disposition::Partly { .. }), "{:?}", report.end);
    assert_eq!(ask(&lab, &bytes, "store.get b n"), "\"12\"");
    assert_eq!(lab.replay(report.run).0.verdict, reel_host::runtime::Verdict::Same);
}

/// Under heavy contention everybody comes through, without being tried for ever.
#[test]
fn everybody_comes_through() {
    let (bytes, lab) = (kvtool(), Lab::new());
    set_up(&lab, &bytes, &["store.set b n 0"]);
    let step = Trial { hold_output: true, ..Trial::args(&["atomics.increment b n 1", "print done"]) };
    let reports = at_once(&lab, &bytes, 16, |_| vec![step.clone(); 6]);
    assert!(reports.iter().all(committed));
    assert!(reports.iter().any(|report| report.attempts > 1), "there was contention");
    assert_eq!(ask(&lab, &bytes, "store.get b n"), "\"96\"");
}

/// Random programs over few keys on many threads: every reply that the log has of a committed run is what a map gives, to which the runs are
/// applied one after the other in the order of their versions.
#[test]
fn random_runs_are_serialisable_in_the_order_of_their_versions() {
    let (bytes, lab) = (kvtool(), Lab::new());
    let cases: u64 = std::env::var("REEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let seed: u64 = std::env::var("REEL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let reports = at_once(&lab, &bytes, 8, |thread| {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (thread + 1));
        (0..cases).map(|_| Trial { hold_output: true, ..Trial::args(&program(&mut chance)) }).collect()
    });
    let checked = check_serial_order(&lab, &reports);
    assert!(reports.iter().filter(|report| report.attempts > 1).count() > 0, "no run was overtaken");
    assert!(checked > reports.len(), "{checked} replies were checked");
    assert!(lab.store.verify(&mut |_, _| Ok(()), &mut |_, _| ()).expect("verify").problems.is_empty());
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % count
    }
}

/// A program of some steps; leaked, as arguments are static for the test's life.
fn program(chance: &mut Chance) -> Vec<&'static str> {
    let step = |chance: &mut Chance| {
        let (key, value) = (chance.below(6), chance.below(100));
        match chance.below(7) {
            0 | 1 => format!("store.get b k{key}"),
            2 => format!("store.exists b k{key}"),
            3 => format!("store.set b k{key} {value}"),
            4 => format!("store.delete b k{key}"),
            5 => format!("keyvalue.scan b k{} . k{} 3", if chance.below(2) == 0 { "" } else { "1" }, key + 1),
            _ => format!("atomics.increment b n{} {value}", key % 2),
        }
    };
    let steps = 2 + chance.below(5);
    (0..steps).map(|_| &*Box::leak(step(chance).into_boxed_str())).collect()
}

fn at_once(lab: &Lab, bytes: &[u8], threads: u64, work: impl Fn(u64) -> Vec<Trial>) -> Vec<RunReport> {
    let work: Vec<Vec<Trial>> = (0..threads).map(work).collect();
    std::thread::scope(|scope| {
        let run = |trials: Vec<Trial>| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
            let one = |trial: Trial| {
                let surroundings = lab.surroundings(&trial, &Default::default());
                let (request, interrupt) = (lab.request(bytes, &trial), std::future::pending());
                let run = reel_host::runtime::run(&lab.store, &lab.engines, request, surroundings, interrupt, &|| ());
                runtime.block_on(run).expect("run")
            };
            trials.into_iter().map(one).collect::<Vec<_>>()
        };
        let threads: Vec<_> = work.into_iter().map(|trials| scope.spawn(move || run(trials))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Checks every reply; gives how many there were.
fn check_serial_order(lab: &Lab, reports: &[RunReport]) -> usize {
    let mut states = vec![Map::new()];
    let mut writers: Vec<(Version, RunId)> = Vec::new();
    let mut readers: Vec<(Version, RunId)> = Vec::new();
    for report in reports {
        let Disposition::Committed { version, .. } = report.end.disposition else { panic!("{:?}", report.end) };
        let base = lab.store.run(report.run).expect("read").expect("run").begin.version;
        if version > base { writers.push((version, report.run)) } else { readers.push((version, report.run)) }
    }
    writers.sort();
    let mut checked = 0;
    for (index, (version, run)) in writers.into_iter().enumerate() {
        assert_eq!(version.0, index as u64 + 1, "versions have no gaps");
        let mut state = states.last().expect("one at least").clone();
        checked += replay_on(lab, run, &mut state);
        states.push(state);
    }
    for (version, run) in readers {
        checked += replay_on(lab, run, &mut states[version.0 as usize].clone());
    }
    checked
}

/// Executes the run's logged requests on a map, and compares the replies.
fn replay_on(lab: &Lab, run: RunId, state: &mut Map) -> usize {
    let mut checked = 0;
    for (seq, event) in events(&lab.store, run, Seq(0), u64::MAX >> 1).expect("events") {
        let EventView { name, ref request, ref reply, .. } = event;
        let bytes = |field: &str| match request.iter().find(|(name, _)| *name == field) {
            Some((_, Value::Bytes(bytes))) => Some(bytes.clone()),
            _ => None,
        };
        let key = bytes("key").unwrap_or_default();
        let payload = |bytes: &[u8]| Payload::of(bytes).describe();
        let expected = match name {
            "kv.get" => state.get(&key).map_or(Value::Word("none".into()), |value| payload(value)),
            "kv.exists" => Value::Bool(state.contains_key(&key)),
            "kv.set" => {
                state.insert(key, bytes("value").expect("a short value"));
                Value::Unit
            }
            "kv.delete" => {
                state.remove(&key);
                Value::Unit
            }
            "kv.increment" => {
                let Some((_, Value::Signed(delta))) = request.iter().find(|(name, _)| *name == "delta") else {
                    panic!()
                };
                let now =
                    state.get(&key).map_or(0, |text| String::from_utf8_lossy(text).parse::<i64>().expect("number"));
                state.insert(key, (now + delta).to_string().into_bytes());
                Value::Signed(now + delta)
            }
            "kv.scan" => {
                let (prefix, from, until) = (bytes("prefix").unwrap_or_default(), bytes("from"), bytes("until"));
                let wanted = state.iter().filter(|(key, _)| {
                    key.starts_with(&prefix)
                        && from.as_ref().is_none_or(|from| *key >= from)
                        && until.as_ref().is_none_or(|until| *key < until)
                });
                let limit = request.iter().find(|(name, _)| *name == "limit");
                let Some((_, Value::Number(limit))) = limit else { panic!() };
                let page: Vec<(Bytes, Bytes)> = wanted
                    .take(*limit as usize)
                    .map(|(key, value)| (Bytes(key.clone()), Bytes(value.clone())))
                    .collect();
                payload(&page.to_bytes())
            }
            _ => continue,
        };
        checked += 1;
        assert_eq!(*reply, expected, "run {run}, event {seq}: {name} {request:?}");
    }
    checked
}
