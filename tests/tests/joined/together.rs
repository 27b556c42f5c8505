//! What is done in several spaces commits together, is undone together, and replays.

use reel_abi::id::{RunId, Version};
use reel_abi::outcome::{Disposition, Outcome};
use reel_host::runtime::{RunReport, Verdict};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};

pub fn teller() -> Vec<u8> {
    std::fs::read(guest("teller", Target::P2)).expect("teller")
}

/// A laboratory in which `a`, `b` and `c` can be called, and call all of them.
pub fn lab() -> (Lab, Vec<u8>) {
    let (lab, bytes) = (Lab::new(), teller());
    for name in ["a", "b", "c"] {
        lab.deploy(name, &bytes, &calling(&[]));
    }
    (lab, bytes)
}

pub fn calling(args: &[&str]) -> Trial {
    Trial { calls: ["a", "b", "c", "main"].map(str::to_owned).to_vec(), hold_output: true, ..Trial::args(args) }
}

pub fn act(lab: &Lab, bytes: &[u8], script: &str) -> (RunReport, String) {
    let (report, said) = lab.run(bytes, &calling(&[script]));
    replays(lab);
    (report, said.trim_end().to_owned())
}

/// All runs replay the same, each alone.
pub fn replays(lab: &Lab) {
    for record in lab.store.runs(None, 1000).expect("runs") {
        if record.begin.name == "deploy" || record.end.is_none() {
            continue;
        }
        let cut = record.end.as_ref().is_some_and(|end| end.outcome.is_cut());
        let verdict = lab.replay(record.run).0.verdict;
        let same = verdict == Verdict::Same || cut && matches!(verdict, Verdict::SameToCut(_));
        assert!(same, "run {}: {verdict:?}, {:?}", record.run, record.end);
    }
    let report = lab.store.verify(&mut |_, _| Ok(()), &mut |_, _| ()).expect("verified");
    assert!(report.is_sound(), "{:?}", report.problems);
}

pub fn version(lab: &Lab, space: &str) -> Version {
    lab.store.head(&space.parse().expect("name")).expect("read").map_or(Version(0), |head| head.version)
}

fn end(lab: &Lab, run: u64) -> (Outcome, Disposition) {
    let end = lab.store.run(RunId(run)).expect("read").expect("run").end.expect("an end");
    (end.outcome, end.disposition)
}

/// The runs of a space, oldest first, and whether each was committed.
fn fates(lab: &Lab, space: &str) -> Vec<bool> {
    let runs = lab.store.runs(None, 1000).expect("runs").into_iter().rev();
    let of = runs.filter(|run| run.begin.space.as_str() == space && run.begin.name != "deploy");
    of.map(|run| matches!(run.end.expect("an end").disposition, Disposition::Committed { .. })).collect()
}

#[test]
fn both_commit() {
    let (lab, bytes) = lab();
    let before = (version(&lab, "main"), version(&lab, "b"));
    let (report, said) = act(&lab, &bytes, "set k mine; call b {set k yours; get k}; call a {get k}; get k");
    assert_eq!(said, "yours - mine");
    let Disposition::Committed { commit, version: made } = report.end.disposition else { panic!("{:?}", report.end) };
    assert_eq!((made, version(&lab, "b")), (before.0.next(), before.1.next()));
    let record = lab.store.commit(commit).expect("read").expect("commit");
    assert_eq!(record.spaces.iter().map(|change| change.space.as_str()).collect::<Vec<_>>(), ["main", "b"]);
    // The call is a run of its own, in its own space, and says what it committed.
    assert_eq!(end(&lab, report.run.0 + 1).1, Disposition::Committed { commit, version: version(&lab, "b") });
    assert_eq!(act(&lab, &bytes, "call b {get k}").1, "yours");
}

#[test]
fn who_does_not_commit_has_called_nobody() {
    for ending in ["fail on purpose", "trap", "abort enough", "exit 3", "call b {trap}"] {
        let (lab, bytes) = lab();
        let before = version(&lab, "b");
        let (report, _) = act(
            &lab,
            &bytes,
            &format!("set k 1; call b {{set k 1}}; call c {{set k 1; call a {{set k 1}}}}; {ending}"),
        );
        assert!(!matches!(report.end.disposition, Disposition::Committed { .. }), "{ending}");
        assert_eq!(version(&lab, "b"), before, "{ending}");
        assert!(fates(&lab, "b").iter().chain(&fates(&lab, "a")).all(|committed| !committed));
        assert_eq!(act(&lab, &bytes, "get k; call a {get k}; call b {get k}; call c {get k}").1, "- - - -", "{ending}");
    }
}

#[test]
fn what_fails_is_an_answer_and_leaves_nothing() {
    let (lab, bytes) = lab();
    for (step, answer) in [
        ("trap", "<Failed(\"trap: wasm `unreachable` instruction executed\")>"),
        ("fail not today", "<Returned(Some(\"\\\"not today\\\"\"))>"),
        ("abort enough", "<Failed(\"aborted: enough\")>"),
        ("exit 3", "<Failed(\"exit 1\")>"),
        ("exit 0", "<Failed(\"trap: it exited instead of returning from its call, with code 0\")>"),
        ("commit", "<Failed(\"trap: a call of another guest commits with its caller, not on its way\")>"),
    ] {
        let script = format!(
            "set k {}; call b {{count n 1}}; try b {{set k x; count n 5; call c {{set k x}}; {step}}}; call b {{get k; get n; count n 1}}; call c {{get k}}",
            1
        );
        let (report, said) = act(&lab, &bytes, &script);
        assert!(matches!(report.end.disposition, Disposition::Committed { .. }), "{step}: {said}");
        assert!(said.trim_start().starts_with(answer), "{step}: {said}");
        assert!(said.ends_with("-"), "{step}: {said}");
        let known = act(&lab, &bytes, "call b {get k; get n}").1;
        assert!(known.starts_with("- "), "{step}: {known}");
    }
    // Each script has counted twice, and what failed has not.
    assert_eq!(act(&lab, &bytes, "call b {get n}").1, "12");
}

#[test]
fn a_later_call_sees_what_was_done_before() {
    let (lab, bytes) = lab();
    let script = "call b {set k 1; write /f one}; try b {set k 9; write /g nine; trap}; call b {append /f two; get k; read /f; ls /}; call c {call b {get k; read /f; set k 2}}; call b {get k}";
    let (_, said) = act(&lab, &bytes, script);
    assert_eq!(said.trim(), "<Failed(\"trap: wasm `unreachable` instruction executed\")> 1 onetwo f 1 onetwo 2");
    assert_eq!(act(&lab, &bytes, "call b {get k; read /f; ls /}").1, "2 onetwo f");
    assert_eq!(fates(&lab, "b"), [true, false, true, true, true, true]);
    assert_eq!(version(&lab, "b"), Version(2), "one version for all calls of a transaction");
}

#[test]
fn a_savepoint_holds_in_all_spaces() {
    let (lab, bytes) = lab();
    let script = "set k 1; call b {set k 1}; undo {set k 2; call b {set k 2; write /f x}; call c {set k 2; call a {set k 2}}; call b {get k}}; get k; call b {get k; ls /}; call c {get k}; call a {get k}; undo {call b {set k 3; undo {set k 4; call c {set k 4}}; get k}; call c {get k}}; call b {set l 5}";
    let (report, said) = act(&lab, &bytes, script);
    assert_eq!(said.trim(), "(  2) 1 1  - - (() 3 -)");
    assert!(matches!(report.end.disposition, Disposition::Committed { .. }));
    assert_eq!(act(&lab, &bytes, "get k; call b {get k; get l}; call c {get k}; call a {get k}").1, "1 1 5 - -");
}

#[test]
fn a_commit_on_the_way_commits_the_calls_so_far() {
    let (lab, bytes) = lab();
    let (report, said) =
        act(&lab, &bytes, "set k 1; call b {set k 1}; commit; call b {get k; set k 2}; set k 2; fail late");
    assert_eq!(said, "error: late");
    assert!(matches!(report.end.disposition, Disposition::Partly { .. }), "{:?}", report.end);
    assert_eq!(act(&lab, &bytes, "get k; call b {get k}").1, "1 1");
    assert_eq!(fates(&lab, "b"), [true, false, true]);
}

#[test]
fn values_have_their_types() {
    let (lab, bytes) = lab();
    let (_, said) = act(
        &lab,
        &bytes,
        "raw b swap {left: 7, right: \"x;\"}|[1, 2]; raw b nothing; raw b refuse; raw b nobody; raw b swap 7; raw b big 3",
    );
    let _ = said;
    let (_, said) = act(&lab, &bytes, "raw b swap {left: 7, right: \"x\"}|[1, 2]");
    assert_eq!(said, "[(\"x\", 7, 3)]");
    assert_eq!(act(&lab, &bytes, "raw b nothing; raw b refuse; raw b big 3").1, "[] <Returned(None)> [\"xxx\"]");
    let (_, said) = act(&lab, &bytes, "raw b nobody; raw b swap 7");
    assert!(said.starts_with("<NoSuchFunction(\"it exports no function \\\"nobody\\\""), "{said}");
    assert!(said.contains("<BadArguments(\"test:teller/desk#swap takes (pair: record"), "{said}");
    // More than stands in an event.
    let (report, said) = act(&lab, &bytes, "raw b big 200000");
    assert_eq!(said.len(), 200_004, "{:?}", report.end);
}
