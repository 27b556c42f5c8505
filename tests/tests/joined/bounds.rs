//! Who may call whom, how deep, and how long.

use reel_abi::limits::{LimitKind, Limits};
use reel_abi::outcome::{Disposition, Outcome};
use reel_tests::lab::{Lab, Trial};

use super::together::{act, calling, lab, replays, teller, version};

#[test]
fn nobody_is_called_who_was_not_granted() {
    let (lab, bytes) = (Lab::new(), teller());
    lab.deploy("b", &bytes, &Trial { calls: vec!["c".into()], ..Trial::default() });
    lab.deploy("c", &bytes, &Trial::default());
    let ask = |calls: &[&str], script: &str| {
        let calls = calls.iter().map(|name| (*name).to_owned()).collect();
        lab.run(&bytes, &Trial { calls, hold_output: true, ..Trial::args(&[script]) }).1.trim_end().to_owned()
    };
    assert_eq!(ask(&[], "try b {get k}; try nobody {get k}"), "<NotGranted> <NotGranted>");
    // What the caller may, who is called may not, and the other way round.
    assert_eq!(
        ask(&["b"], "try c {get k}; call b {try c {set k 1}; try b {get k}; try main {get k}}"),
        "<NotGranted>  <NotGranted> <NotGranted>"
    );
    assert_eq!(ask(&["b", "nobody"], "try nobody {get k}; try no/such {get k}"), "<NoSuchGuest> <NotGranted>");
    replays(&lab);
}

#[test]
fn nothing_of_the_caller_is_seen() {
    let (lab, bytes) = (Lab::new(), teller());
    let dir = lab.path().join("secret");
    std::fs::create_dir(&dir).expect("directory");
    std::fs::write(dir.join("f"), "secret").expect("file");
    lab.deploy("b", &bytes, &Trial { seed: 5, ..Trial::default() });
    let dirs = vec![(dir.to_string_lossy().into_owned(), "/secret".to_owned(), false)];
    let trial = Trial {
        dirs,
        calls: vec!["b".into()],
        seed: 9,
        ..Trial::args(&[
            "set k mine; write /f mine; env; call b {env; args; get k; ls /; try main {get k}}; try b {read /secret/f}",
        ])
    };
    let (_, said) = lab.run(&bytes, &trial);
    assert!(said.starts_with("SEED=9 SEED=5 test:teller/desk#act"), "{said}");
    assert!(!said.contains("mine") || said.matches("mine").count() == 0, "{said}");
    assert!(said.contains("-  <NotGranted>") && said.contains("Returned"), "{said}");
    replays(&lab);
}

#[test]
fn circles_and_depths_have_an_end() {
    let (lab, bytes) = lab();
    let (_, said) = act(
        &lab,
        &bytes,
        "try main {get k}; call a {call b {try a {get k}; try main {get k}; try b {get k}; call c {try a {get k}}}; try main {get k}}",
    );
    assert_eq!(said, "<Circular> <Circular> <Circular> <Circular> <Circular> <Circular>");
    let all: Vec<String> = (0..12).map(|n| format!("g{n}")).collect();
    for name in &all {
        lab.deploy(name, &bytes, &Trial { calls: all.clone(), ..Trial::default() });
    }
    let script = all.iter().rev().fold("set k 1".to_owned(), |script, name| format!("try {name} {{{script}}}"));
    let (_, said) = lab.run(&bytes, &Trial { calls: all, ..Trial::args(&[&script]) });
    assert_eq!(said, "<TooDeep>\n");
    assert_eq!(version(&lab, "g0"), version(&lab, "g11"));
}

#[test]
fn there_are_not_too_many() {
    let (lab, bytes) = lab();
    let (report, said) = lab.run(&bytes, &calling(&["times 10001 b {}; try c {}"]));
    assert!(said.starts_with("10000 <QuotaExceeded"), "{said}");
    assert!(matches!(report.end.disposition, Disposition::Committed { .. }));
}

fn limited(millis: u64) -> Limits {
    Limits { deadline_millis: millis, ..Limits::default() }
}

#[test]
fn a_deadline_ends_who_is_called_and_the_caller_goes_on() {
    let (lab, bytes) = (Lab::new(), teller());
    lab.deploy("b", &bytes, &Trial { limits: limited(200), ..Trial::default() });
    for long in ["spin", "sleep 60000"] {
        let (report, said) =
            act(&lab, &bytes, &format!("call b {{set k 1}}; try b {{set k 2; {long}}}; call b {{get k}}"));
        assert_eq!(said.trim(), "<Failed(\"limit deadline of 200 ms reached\")> 1", "{:?}", report.end);
    }
}

#[test]
fn the_deadline_of_the_caller_is_one_for_all() {
    let (lab, bytes) = lab();
    for long in ["spin", "sleep 60000"] {
        let trial =
            Trial { limits: limited(300), ..calling(&[&format!("call b {{set k 1; call c {{set k 1; {long}}}}}")]) };
        let (report, said) = lab.run(&bytes, &trial);
        assert!(matches!(report.end.outcome, Outcome::Limit { kind: LimitKind::Deadline, limit: 300 }), "{said}");
        for record in lab.store.runs(None, 3).expect("runs") {
            let end = record.end.expect("all of them are over");
            assert_eq!(end.disposition, Disposition::Aborted);
            assert!(end.outcome.is_cut(), "{:?}", end.outcome);
        }
        replays(&lab);
    }
    assert_eq!(act(&lab, &bytes, "call b {get k}; call c {get k}").1, "- -");
}

/// Whose transaction is gone with a deadline in between cannot be gone on with.
#[test]
fn a_deadline_in_between_ends_the_caller_too() {
    let (lab, bytes) = lab();
    lab.deploy("b", &bytes, &Trial { limits: limited(300), ..calling(&[]) });
    let (report, said) =
        lab.run(&bytes, &calling(&["set k 1; call c {set k 1}; try b {call c {set k 2; spin}}; call c {get k}"]));
    assert!(matches!(report.end.outcome, Outcome::Limit { kind: LimitKind::Deadline, .. }), "{said} {:?}", report.end);
    replays(&lab);
    assert_eq!(act(&lab, &bytes, "get k; call c {get k}").1, "- -");
}
