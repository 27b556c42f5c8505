//! Resume: a run that was cut off goes on where its log ends, and a replay of the whole is the same.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reel_abi::id::Seq;
use reel_abi::outcome::{Disposition, Outcome};
use reel_host::runtime::Verdict;
use reel_host::runtime::replay::{ReplayError, resume};
use reel_tests::cutting::{cut_off, events};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{KeptOutput, Lab, Trial};
use reel_tests::script;

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
