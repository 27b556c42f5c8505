//! Resume: a run that was cut off goes on where its log ends, and a replay of the whole is the same.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reel_abi::event::decode;
use reel_abi::id::Seq;
use reel_abi::outcome::{Disposition, Outcome};
use reel_abi::record::Frame;
use reel_abi::vocabulary::EventView;
use reel_abi::wire::Reader;
use reel_host::runtime::Verdict;
use reel_host::runtime::replay::{ReplayError, resume};
use reel_store::{Store, Submission};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{KeptOutput, Lab, Trial};
use reel_tests::script;

/// Copies the first `count` events of a run into another database, as a run that was cut off there.
fn cut_off(from: &Lab, to: &Store, run: reel_abi::id::RunId, count: u64) -> reel_abi::id::RunId {
    let record = from.store.run(run).expect("read").expect("run");
    let new = to.next_run();
    let base = to.head_or_new(&record.begin.space).expect("head");
    let begin = reel_abi::outcome::RunBegin { segment: base.segment, version: base.version, ..record.begin };
    for at in from.store.frames(run, Seq(0)).expect("frames") {
        let frame = from.store.frame(&at).expect("frame");
        let raw = frame.unpack().expect("unpack");
        let left = count.saturating_sub(frame.first.0).min(u64::from(frame.count));
        if left == 0 {
            continue;
        }
        let mut reader = Reader::new(&raw);
        for _ in 0..left {
            EventView::take(&mut reader).expect("event");
        }
        let part = Frame::pack(new, frame.first, left as u32, (frame.opened, frame.closed), &raw[..reader.at()])
            .expect("pack");
        let begun = (frame.first == Seq(0)).then(|| begin.clone());
        to.append_soon(Submission { run: new, begun, frames: vec![part], commit: None, ending: None }).expect("append");
    }
    // The component, which the first run has kept, must be here too.
    let content = from.store.blobs().get(&begin.content).expect("read").expect("list");
    let listing: reel_abi::content::Content = reel_abi::wire::Wire::from_bytes(&content).expect("list");
    for block in listing.blocks {
        to.blobs().put(from.store.blobs().get(&block).expect("read").expect("block")).expect("put");
    }
    to.blobs().put(content).expect("put");
    // Frames ride along with a later batch; wait for it.
    while to.frames(new, Seq(0)).expect("frames").last().is_none_or(|at| at.next() != Seq(count)) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    new
}

fn events(lab: &Lab, run: reel_abi::id::RunId) -> Vec<EventView> {
    let frames = lab.store.frames(run, Seq(0)).expect("frames");
    let all = frames.iter().flat_map(|at| {
        let frame = lab.store.frame(at).expect("frame");
        decode(&frame, &frame.unpack().expect("unpack")).expect("events")
    });
    all.map(|(_, view)| view).collect()
}

#[test]
fn a_run_that_was_cut_off_goes_on() {
    let chaos = fs::read(guest("chaos", Target::P2)).expect("chaos");
    TestRunner::new(script::cases(30))
        .run(&(script::everything(), 0.0f64..1.0, any::<u64>()), |(script, part, seed)| {
            let (first, second) = (Lab::new(), Lab::new());
            let trial = Trial { seed, ..Trial::args(&["/", &script.join("\n")]) };
            let (report, _) = first.run(&chaos, &trial);
            let whole = events(&first, report.run);
            // The end mark is never a part of what a crash leaves.
            let cut = 1 + ((whole.len() - 2) as f64 * part) as u64;
            let run = cut_off(&first, &second.store, report.run, cut);

            let output = KeptOutput::default();
            let surroundings = second.surroundings(&Trial { seed: seed ^ 0xff, ..trial.clone() }, &output);
            let resumed = resume(&second.store, &second.engines, run, surroundings, std::future::pending(), &|| ());
            let resumed = second.block_on(resumed).expect("resume");
            prop_assert_eq!(&resumed.end.outcome, &report.end.outcome);
            let committed = matches!(resumed.end.disposition, Disposition::Committed { .. });
            prop_assert_eq!(committed, resumed.end.outcome == Outcome::Exit { code: 0 });
            let now = events(&second, run);
            prop_assert_eq!(&now[..cut as usize], &whole[..cut as usize]);

            let (replayed, _) = second.replay(run);
            prop_assert_eq!(replayed.verdict, Verdict::Same);
            prop_assert_eq!(replayed.events, now.len() as u64);
            let again = second.surroundings(&trial, &output);
            let twice = resume(&second.store, &second.engines, run, again, std::future::pending(), &|| ());
            prop_assert!(matches!(second.block_on(twice), Err(ReplayError::Over(_))));
            Ok(())
        })
        .expect("law");
}

/// Replaying a run that was cut off is the same up to the cut.
#[test]
fn a_cut_off_run_replays_to_the_cut() {
    let chaos = fs::read(guest("chaos", Target::P2)).expect("chaos");
    let (first, second) = (Lab::new(), Lab::new());
    let (report, _) = first.run(&chaos, &Trial::args(&["/", "print a\nwrite a 10 1\ntime\nprint b"]));
    for cut in [1, 5, report.end.events - 2] {
        let run = cut_off(&first, &second.store, report.run, cut);
        assert_eq!(second.replay(run).0.verdict, Verdict::SameToCut(Seq(cut)));
    }
}
