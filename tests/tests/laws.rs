//! The laws of Reel over generated guests' scripts: same result, all or nothing, files as a real file system has them, and buckets, savepoints
//! and commits as a model has them.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reel_abi::outcome::{Disposition, Outcome};
use reel_host::runtime::Verdict;
use reel_tests::chaos::{self, End, model::Model};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};
use reel_tests::script::{self, cases};

fn guest_chaos(target: Target) -> Vec<u8> {
    fs::read(guest("chaos", target)).expect("chaos")
}

/// What a second program sees of the space.
fn contents(lab: &Lab, chaos: &[u8]) -> String {
    lab.run(chaos, &Trial::args(&["/", LOOK])).1
}

/// Shows what other scripts can have made.
const LOOK: &str = "list .\nread a\nread b\nread c\nlist d\nread d/a\nread d/b\nlist d/e\nread d/e/a\n\
                    scan a\nscan b\nscan \u{e9}\nscan l:255\nkeys a\nkeys b";

/// What a script of file operations prints natively, below a directory.
fn natively(script: &str, root: &Path) -> String {
    let mut printed = Vec::new();
    chaos::execute(script, root, &mut Model::beside(root), &mut printed).expect("native");
    String::from_utf8(printed).expect("text")
}

/// Law 1: a replay gives the same events, output, outcome and memory, though clock and chance are others.
#[test]
fn a_replay_is_the_same() {
    for target in [Target::P1, Target::P2] {
        let (lab, chaos) = (Lab::new(), guest_chaos(target));
        TestRunner::new(cases(60))
            .run(&(script::in_steps(), any::<u64>()), |(script, seed)| {
                let trial = Trial { seed, stdin: script.join("\n").into_bytes(), ..Trial::args(&["/"]) };
                let (report, printed) = lab.run(&chaos, &trial);
                let (replayed, printed_again) = lab.replay(report.run);
                prop_assert_eq!(&replayed.verdict, &Verdict::Same, "{:?}", script);
                prop_assert_eq!(replayed.events, report.end.events);
                prop_assert_eq!(printed, printed_again);
                prop_assert!(report.end.memory.is_some());
                Ok(())
            })
            .expect("law");
    }
}

/// The digest of the memory is worth something: another draw of chance gives another.
#[test]
fn the_memory_digest_tells_runs_apart() {
    let (lab, chaos) = (Lab::new(), guest_chaos(Target::P2));
    let digest = |seed| lab.run(&chaos, &Trial { seed, ..Trial::args(&["/", "draw"]) }).0.end.memory;
    assert_ne!(digest(1), digest(2));
    assert!(digest(1).is_some());
}

/// Law 2: after an abort nothing of the transaction is visible but its record; after a commit everything is.
#[test]
fn all_or_nothing() {
    let (lab, chaos) = (Lab::new(), guest_chaos(Target::P2));
    TestRunner::new(cases(60))
        .run(&script::everything(), |script| {
            let before = contents(&lab, &chaos);
            let head = lab.store.head(&"main".parse().expect("name")).expect("head");
            let trial = Trial { stdin: script.join("\n").into_bytes(), ..Trial::args(&["/"]) };
            let (report, _) = lab.run(&chaos, &trial);
            let committed = matches!(report.end.disposition, Disposition::Committed { .. });
            prop_assert_eq!(committed, report.end.outcome == Outcome::Exit { code: 0 });
            if !committed {
                prop_assert_eq!(head, lab.store.head(&"main".parse().expect("name")).expect("head"));
                prop_assert_eq!(before, contents(&lab, &chaos));
            }
            let record = lab.store.run(report.run).expect("read").expect("the record stays");
            prop_assert_eq!(record.end, Some(report.end));
            Ok(())
        })
        .expect("law");
}

/// The files of a space are those of a real file system: the same script prints the same, over several transactions.
#[test]
fn files_are_as_on_a_real_file_system() {
    let chaos = guest_chaos(Target::P2);
    let lab = Lab::new();
    TestRunner::new(cases(60))
        .run(&prop::collection::vec(script::files(), 1..4), |scripts| {
            let real = tempfile::tempdir().expect("temporary directory");
            let place = format!("case{}", lab.store.newest_run().map_or(0, |run| run.0));
            lab.run(&chaos, &Trial::args(&["/", &format!("mkdir {place}")]));
            for script in scripts {
                let script = script.join("\n");
                let expected = natively(&script, real.path());
                let (_, printed) = lab.run(&chaos, &Trial::args(&[&format!("/{place}"), &script]));
                prop_assert_eq!(printed, expected, "{}", script);
            }
            Ok(())
        })
        .expect("law");
}

/// The same for a host directory (but for hard links that are there already, which a guest sees as separate files), and after the commit the directory holds what a native program would have left in it. A replay then works
/// without the directory.
#[test]
fn host_directories_end_as_a_native_program_leaves_them() {
    let chaos = guest_chaos(Target::P2);
    TestRunner::new(cases(40))
        .run(&(script::files(), prop::collection::vec(script::files(), 1..3)), |(first, scripts)| {
            let lab = Lab::new();
            let no_links =
                |script: Vec<String>| script.into_iter().filter(|line| !line.starts_with("link")).collect::<Vec<_>>();
            let first = no_links(first);
            let last = scripts.len() - 1;
            let scripts =
                scripts.into_iter().enumerate().map(|(at, script)| if at == last { script } else { no_links(script) });
            let (real, granted) = (tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory"));
            for dir in [real.path(), granted.path()] {
                natively(&first.join("\n"), dir);
            }
            let mut runs = Vec::new();
            for script in scripts {
                let script = script.join("\n");
                let expected = natively(&script, real.path());
                let host = granted.path().to_string_lossy().into_owned();
                let trial = Trial { dirs: vec![(host, "/host".into(), false)], ..Trial::args(&["/host", &script]) };
                let (report, printed) = lab.run(&chaos, &trial);
                prop_assert_eq!(&printed, &expected, "{}", script);
                prop_assert!(report.undelivered.is_none(), "{:?}", report.undelivered);
                prop_assert_eq!(tree(real.path()), tree(granted.path()), "after {}", script);
                runs.push((report.run, printed));
            }
            drop(granted);
            for (run, printed) in runs {
                let (replayed, again) = lab.replay(run);
                prop_assert_eq!(replayed.verdict, Verdict::Same);
                prop_assert_eq!(printed, again);
            }
            Ok(())
        })
        .expect("law");
}

/// Buckets, savepoints, commits and the past are those of the model, together with the files: the same scripts print the same, over several runs,
/// however those end. And each run replays.
#[test]
fn a_space_is_as_the_model_has_it() {
    let chaos = guest_chaos(Target::P2);
    TestRunner::new(cases(40))
        .run(&prop::collection::vec(script::space(), 1..4), |scripts| {
            let (lab, real) = (Lab::new(), tempfile::tempdir().expect("directory"));
            let mut model = Model::beside(real.path());
            for script in scripts {
                let mut run = |script: &str| {
                    let mut expected = Vec::new();
                    let end = chaos::execute(script, real.path(), &mut model, &mut expected).expect("native");
                    model.finish(end);
                    (end, String::from_utf8(expected).expect("text"), lab.run(&chaos, &Trial::args(&["/", script])))
                };
                let script = script.join("\n");
                let (end, expected, (report, printed)) = run(&script);
                match end {
                    // What follows is the message of the panic.
                    End::Trap => prop_assert_eq!(printed.get(..expected.len()), Some(&*expected), "{}", script),
                    _ => prop_assert_eq!(&printed, &expected, "{}", script),
                }
                prop_assert_eq!(end == End::Exit(0), report.end.outcome == Outcome::Exit { code: 0 });
                let (replayed, printed_again) = lab.replay(report.run);
                prop_assert_eq!(&replayed.verdict, &Verdict::Same, "{}", script);
                prop_assert_eq!(printed, printed_again);
                let (_, expected, (_, printed)) = run(LOOK);
                prop_assert_eq!(printed, expected, "after {}", script);
            }
            Ok(())
        })
        .expect("law");
}

/// An aborted run leaves the host directory as it was.
#[test]
fn an_abort_leaves_a_host_directory_alone() {
    let (lab, chaos) = (Lab::new(), guest_chaos(Target::P2));
    let granted = tempfile::tempdir().expect("directory");
    fs::write(granted.path().join("a"), "before").expect("write");
    let before = tree(granted.path());
    let host = granted.path().to_string_lossy().into_owned();
    for end in ["exit 1", "trap"] {
        let script = format!("write a 10 1\nwrite b 5 5\nmkdir d\nunlink a\n{end}");
        let trial = Trial { dirs: vec![(host.clone(), "/host".into(), false)], ..Trial::args(&["/host", &script]) };
        let (report, _) = lab.run(&chaos, &trial);
        assert_eq!(report.end.disposition, Disposition::Aborted);
        assert_eq!(tree(granted.path()), before);
    }
}

/// Paths, kinds, and lengths and digests of the contents of a directory.
fn tree(dir: &Path) -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).expect("list") {
            let path = entry.expect("entry").path();
            let name = path.strip_prefix(dir).expect("below").to_string_lossy().into_owned();
            if path.is_dir() {
                found.push((format!("{name}/"), 0, String::new()));
                open.push(path);
            } else {
                let bytes = fs::read(&path).expect("read");
                found.push((name, bytes.len(), reel_abi::id::Digest::of(&bytes).short()));
            }
        }
    }
    found.sort();
    found
}
