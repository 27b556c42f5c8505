//! Divergence: where a replay does not do what the log says, and why.

use std::fs;

use reel_abi::id::Seq;
use reel_abi::outcome::{Outcome, RunBegin};
use reel_abi::value::Value;
use reel_host::engine::config::Allocation;
use reel_host::gate::divergence::Hint;
use reel_host::runtime::{Engines, ReplayRequest, Verdict};
use reel_store::Submission;
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};

/// A component that reads the clock `clocks` times, draws a random number and ends.
fn component(clocks: usize, answer: u32) -> Vec<u8> {
    let calls = "(drop (call $now))\n".repeat(clocks);
    let text = format!(
        r#"(component
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
            (import "wasi:random/random@0.2.3" (instance $random (export "get-random-u64" (func (result u64)))))
            (core func $now (canon lower (func $clock "now")))
            (core func $draw (canon lower (func $random "get-random-u64")))
            (core module $m
                (import "" "now" (func $now (result i64)))
                (import "" "draw" (func $draw (result i64)))
                (memory 1)
                (func (export "run") (result i32)
                    {calls}
                    (i64.store (i32.const 8) (call $draw))
                    (i32.store (i32.const 0) (i32.const {answer}))
                    (i32.const 0)))
            (core instance $i (instantiate $m (with "" (instance (export "now" (func $now)) (export "draw" (func $draw))))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $run (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $run)))"#
    );
    wat::parse_str(text).expect("component")
}

fn with(lab: &Lab, run: reel_abi::id::RunId, other: &[u8]) -> Verdict {
    lab.replay_as(ReplayRequest { run, until: None, with: Some(other.to_vec()), keep_payload: false }).0.verdict
}

#[test]
fn another_component_diverges_where_it_differs() {
    let lab = Lab::new();
    let (report, _) = lab.run(&component(3, 1), &Trial::default());
    assert_eq!(lab.replay(report.run).0.verdict, Verdict::Same);
    assert_eq!(with(&lab, report.run, &component(3, 1)), Verdict::Same);

    // One clock reading more: where the log has the draw.
    let Verdict::Diverged(divergence) = with(&lab, report.run, &component(4, 1)) else { panic!("it differs") };
    assert_eq!(divergence.hint, Hint::OtherComponent);
    assert_eq!(divergence.mismatch.expected.as_ref().map(|event| event.name), Some("random.u64"));
    assert_eq!(divergence.mismatch.actual.name, "clock.monotonic");
    assert_eq!(
        divergence.before.last().map(|(seq, event)| (*seq, event.name)),
        Some((Seq(divergence.mismatch.seq.0 - 1), "clock.monotonic"))
    );
    assert_eq!(divergence.after.first().map(|(_, event)| event.name), Some("run.end"));

    // One less: the other way about.
    let Verdict::Diverged(divergence) = with(&lab, report.run, &component(2, 1)) else { panic!("it differs") };
    assert_eq!(divergence.mismatch.actual.name, "random.u64");

    // The same calls, and another memory in the end: of another component nothing else is expected.
    assert_eq!(with(&lab, report.run, &component(3, 2)), Verdict::Same);
}

/// A log in which a reply was changed (and everything signed anew) makes a guest that uses the reply go another way.
#[test]
fn a_changed_log_diverges() {
    let chaos = fs::read(guest("chaos", Target::P2)).expect("chaos");
    let lab = Lab::new();
    let (report, _) = lab.run(&chaos, &Trial::args(&["/", "draw\ntime\nprint end"]));
    let record = lab.store.run(report.run).expect("read").expect("run");
    let end = record.end.clone().expect("end");
    let mut diverged = 0;
    for at in lab.store.frames(report.run, Seq(0)).expect("frames") {
        let frame = lab.store.frame(&at).expect("frame");
        let raw = frame.unpack().expect("unpack");
        for place in (0..raw.len()).step_by(3) {
            let mut changed = raw.clone();
            changed[place] ^= 0x20;
            let run = lab.store.next_run();
            let times = (frame.opened, frame.closed);
            let frame = reel_abi::record::Frame::pack(run, frame.first, frame.count, times, &changed).expect("pack");
            let ending = reel_store::Ending {
                at: end.at,
                outcome: end.outcome.clone(),
                events: end.events,
                logged_bytes: end.logged_bytes,
                written_bytes: end.written_bytes,
                memory: end.memory,
                otherwise: reel_abi::outcome::Disposition::Aborted,
            };
            let begun = Some(RunBegin { ..record.begin.clone() });
            lab.store
                .append(Submission { run, begun, frames: vec![frame], commit: None, ending: Some(ending) })
                .expect("append");
            let request = ReplayRequest { run, until: None, with: None, keep_payload: false };
            match lab.try_replay(request) {
                Ok(Verdict::Diverged(divergence)) => {
                    diverged += 1;
                    assert_eq!(divergence.hint, Hint::ChangedLog);
                }
                // A changed reply that the guest does not use leaves nothing to see but the digest in the end mark, if even that.
                Ok(Verdict::Same | Verdict::SameToCut(_)) | Err(_) => {}
                Ok(Verdict::Reached(_)) => panic!("nobody asked to stop"),
            }
        }
    }
    assert!(diverged > 20, "only {diverged} changes were noticed");
}

#[test]
fn a_replay_stops_where_it_is_told() {
    let lab = Lab::new();
    let (report, _) = lab.run(&component(5, 1), &Trial::default());
    for until in 0..report.end.events {
        let request = ReplayRequest { run: report.run, until: Some(Seq(until)), with: None, keep_payload: false };
        assert_eq!(lab.replay_as(request).0.verdict, Verdict::Reached(Seq(until)));
    }
}

/// The bytes of a write that the log has only the digest of come back by a replay.
#[test]
fn payloads_come_back_by_replay() {
    let chaos = fs::read(guest("chaos", Target::P2)).expect("chaos");
    let lab = Lab::new();
    let (report, _) = lab.run(&chaos, &Trial::args(&["/", "write a 5000 7\nexit 1"]));
    let events = reel_host::runtime::replay::events(&lab.store, report.run, Seq(0), 10_000).expect("events");
    let is_write = |name: &str| matches!(name, "fs.write" | "fs.stream-write");
    let (seq, view) = events.iter().find(|(_, view)| is_write(view.name)).expect("a write");
    assert!(view.request.iter().any(|(_, value)| matches!(value, Value::Elsewhere { len: 5000, .. })), "{view:?}");
    let request = ReplayRequest { run: report.run, until: Some(seq.next()), with: None, keep_payload: true };
    let (at, bytes) = lab.replay_as(request).0.payload.expect("payload");
    assert_eq!((at, bytes.len()), (*seq, 5000));
    let expected: Vec<u8> = (0..5000u64).map(|index| (index.wrapping_mul(7).wrapping_add(7) >> 3) as u8).collect();
    assert_eq!(bytes, expected);
}

/// A run recorded by one way of allocating replays under another, and the pool serves many runs.
#[test]
fn the_pool_runs_and_replays_the_same() {
    let chaos = fs::read(guest("chaos", Target::P2)).expect("chaos");
    let pooled = Engines::new(&Allocation::Pooled { instances: 4, memory_bytes: 64 << 20 }, 1 << 20).expect("engine");
    let mut lab = Lab::with(pooled);
    for seed in 0..20 {
        let (report, _) =
            lab.run(&chaos, &Trial { seed, ..Trial::args(&["/", "draw\nwrite a 5000 1\nread a\ngrow 500 1"]) });
        assert_eq!(report.end.outcome, Outcome::Exit { code: 0 });
        assert_eq!(lab.replay(report.run).0.verdict, Verdict::Same);
    }
    lab.engines = Engines::for_commands(1 << 20).expect("engine");
    let pooled_run = reel_abi::id::RunId(3);
    assert_eq!(lab.replay(pooled_run).0.verdict, Verdict::Same);
    let (visible, _) = lab.run(&chaos, &Trial::args(&["/", "draw"]));
    assert!(visible.end.memory.is_some());
    lab.engines = Engines::new(&Allocation::Pooled { instances: 4, memory_bytes: 64 << 20 }, 1 << 20).expect("engine");
    assert_eq!(lab.replay(visible.run).0.verdict, Verdict::Same);
}
