//! What guests are told while they run at the same time, operation by operation in an order that the test decides: which functions count as
//! reading, what a step of the SDK does when it is overtaken, and the answers to what makes no sense.

use reel_abi::outcome::{Disposition, Outcome};
use reel_host::runtime::Verdict;
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};
use reel_tests::puppet::Puppet;

/// A `kvtool` that runs and waits for its next operation.
struct Tool<'a> {
    lab: &'a Lab,
    puppet: Puppet,
}

fn kvtool() -> Vec<u8> {
    std::fs::read(guest("kvtool", Target::P2)).expect("kvtool")
}

impl<'a> Tool<'a> {
    /// Starts one; its transaction has begun when this returns.
    fn start(lab: &'a Lab) -> Self {
        Self { lab, puppet: Puppet::begin(lab, &kvtool(), false) }
    }

    /// Gives it a line, and what it says then.
    fn hears(&self, line: &str) -> String {
        let before = self.puppet.said().len();
        self.puppet.step(line);
        self.puppet.said()[before..].trim_end().to_owned()
    }

    /// Has an operation executed and gives what the guest says of it.
    #[track_caller]
    fn does(&self, operation: &str) -> String {
        let heard = self.hears(operation);
        let said = heard.strip_prefix(operation).and_then(|rest| rest.strip_prefix(": "));
        said.unwrap_or_else(|| panic!("{heard:?} is no answer to {operation:?}")).to_owned()
    }

    /// Has operations executed that succeed.
    #[track_caller]
    fn all(&self, operations: &[&str]) {
        for operation in operations {
            let said = self.does(operation);
            assert!(!said.starts_with("error"), "{operation}: {said}");
        }
    }

    /// Lets it end well, and replays it.
    #[track_caller]
    fn end(self) {
        let (report, said) = self.puppet.end();
        assert_eq!(report.end.outcome, Outcome::Exit { code: 0 }, "{said}");
        assert_eq!(self.lab.replay(report.run).0.verdict, Verdict::Same);
    }
}

const CONFLICT: &str = "error conflict";

/// A laboratory in which these operations have been committed.
fn with(operations: &[&str]) -> Lab {
    let lab = Lab::new();
    committed(&lab, operations);
    lab
}

#[track_caller]
fn committed(lab: &Lab, operations: &[&str]) {
    let (report, said) = lab.run(&kvtool(), &Trial::args(operations));
    assert!(matches!(report.end.disposition, Disposition::Committed { .. }), "{said}");
}

/// Both do their part, the first one commits, and then the second one tries to: what it is told.
#[track_caller]
fn second_commit(lab: &Lab, one: &[&str], two: &[&str]) -> String {
    let (first, second) = (Tool::start(lab), Tool::start(lab));
    first.all(one);
    second.all(two);
    first.all(&["transaction.commit"]);
    let said = second.does("transaction.commit");
    first.end();
    second.end();
    said
}

#[test]
fn every_function_that_reads_counts_as_reading() {
    let lab = with(&["store.set a n 1"]);
    for read in [
        "store.get a n",
        "draft.get a n",
        "keyvalue.get a n",
        "store.exists a n",
        "keyvalue.increment a n 1",
        "atomics.increment a n 1",
        "atomics.new a n",
        "batch.get-many a m n",
        "keyvalue.scan a . . . 100",
        "sdk.scan a n . . 100",
    ] {
        let said = second_commit(&lab, &["store.set a n 7"], &[read, "store.set a m 2"]);
        assert_eq!(said, CONFLICT, "{read}");
    }
    for read in ["keyvalue.scan a k . . 100", "keyvalue.scan a . k2 k9 100", "store.list-keys a", "draft.list-keys a"] {
        let said = second_commit(&lab, &["store.set a k5 v"], &[read, "store.set b n 1"]);
        assert_eq!(said, CONFLICT, "{read}");
        committed(&lab, &["store.delete a k5"]);
    }
}

#[test]
fn who_has_not_read_what_was_changed_does_not_conflict() {
    let lab = with(&["store.set a n 1", "store.set a m 1"]);
    for blind in [
        &["store.set a n 2"][..],
        &["batch.set-many a n 3 k 4"],
        &["store.get a m", "store.set a n 3"],
        &["store.get b n", "store.set a n 3"],
        &["keyvalue.scan a m . . 1", "store.set a n 3"],
        &["keyvalue.get-at 1 a n", "keyvalue.scan-at 1 a", "store.set a m 4"],
    ] {
        let said = second_commit(&lab, &["store.set a n 7", "store.set b k 1"], blind);
        assert!(said.starts_with("version"), "{blind:?}: {said}");
    }
    // Who has written nothing is never too late.
    assert!(second_commit(&lab, &["store.set a n 8"], &["store.get a n"]).starts_with("version"));
}

/// Keys are counted: who makes one or takes one away has looked whether it is there.
#[test]
fn a_key_is_made_once_and_taken_away_once() {
    let lab = with(&["store.set a n 1", "store.set a m 1"]);
    assert_eq!(second_commit(&lab, &["store.set a new 1"], &["store.set a new 2"]), CONFLICT);
    assert_eq!(second_commit(&lab, &["store.set a n 2"], &["store.delete a n"]), CONFLICT);
    assert_eq!(second_commit(&lab, &["store.delete a n"], &["keyvalue.delete a n"]), CONFLICT);
    assert!(second_commit(&lab, &["store.set a k 1"], &["store.delete a m", "store.set a l 1"]).starts_with("version"));
}

#[test]
fn a_transaction_reads_one_moment() {
    let lab = with(&["store.set a x 1", "store.set a y 1", "file.write /f 1"]);
    let (reader, writer) = (Tool::start(&lab), Tool::start(&lab));
    assert_eq!(reader.does("store.get a x"), "\"1\"");
    writer.all(&["store.set a x 2", "store.set a y 2", "file.write /f 2", "transaction.commit"]);
    assert_eq!(reader.does("store.get a y"), "\"1\"");
    assert_eq!(reader.does("keyvalue.scan a"), "[\"x\"=\"1\" \"y\"=\"1\"]");
    assert_eq!(reader.does("file.read /f"), "\"1\"");
    reader.all(&["transaction.commit"]);
    assert_eq!(reader.does("store.get a y"), "\"2\"");
    assert_eq!(reader.does("file.read /f"), "\"2\"");
    writer.end();
    reader.end();
}

/// What was done since a savepoint is taken back, but it was seen all the same.
#[test]
fn what_was_read_before_a_rollback_was_read() {
    let lab = with(&["store.set a n 1"]);
    let read =
        ["transaction.set-savepoint", "store.get a n", "store.set a n 2", "transaction.rollback 0", "store.set a m 2"];
    assert_eq!(second_commit(&lab, &["store.set a n 7"], &read), CONFLICT);
    let blind = ["transaction.set-savepoint", "store.set a n 2", "transaction.rollback 0", "store.set a m 2"];
    assert!(second_commit(&lab, &["store.set a n 8"], &blind).starts_with("version"));
}

/// `reel_guest::transaction` executes its closure again when another was faster.
#[test]
fn a_step_is_executed_again() {
    let lab = with(&["store.set a n 1"]);
    let (step, other) = (Tool::start(&lab), Tool::start(&lab));
    step.all(&["store.set a before 1"]);
    assert_eq!(step.hears("sdk.transaction"), "sdk.transaction: attempt 1 reads version 2");
    step.all(&["store.get a n", "store.set a m 1"]);
    other.all(&["store.set a n 2", "transaction.commit"]);
    assert_eq!(step.hears("ok"), "sdk.transaction: attempt 2 reads version 3");
    assert_eq!(step.does("store.get a n"), "\"2\"");
    // Nothing is left of the first attempt; what came before the step was committed before it.
    assert_eq!(step.does("store.get a m"), "none");
    assert_eq!(step.does("store.get a before"), "\"1\"");
    step.all(&["store.set a m 2"]);
    assert_eq!(step.hears("ok good"), "sdk.transaction: committed \"good\" as version 4");
    assert_eq!(step.hears("sdk.transaction"), "sdk.transaction: attempt 1 reads version 4");
    step.all(&["store.set a m 3"]);
    assert_eq!(step.hears("fail bad"), "sdk.transaction: error told \"bad\"");
    assert_eq!(step.does("store.get a m"), "\"2\"");
    other.end();
    step.end();
}

#[test]
fn a_step_that_is_overtaken_each_time_gives_up() {
    let lab = with(&["store.set a n 1"]);
    let (step, other) = (Tool::start(&lab), Tool::start(&lab));
    assert_eq!(step.hears("sdk.transaction"), "sdk.transaction: attempt 1 reads version 1");
    for attempt in 2..=17 {
        step.all(&["store.get a n", "store.set a m 1"]);
        other.all(&["store.set a n 2", "transaction.commit"]);
        match attempt {
            17 => assert_eq!(step.hears("ok"), "sdk.transaction: error Conflict"),
            _ => assert_eq!(step.hears("ok"), format!("sdk.transaction: attempt {attempt} reads version {attempt}")),
        }
    }
    assert_eq!(step.does("store.get a m"), "none");
    step.end();
    other.end();
}

/// What makes no sense is an answer, never the end.
#[test]
fn bad_input_has_its_answers() {
    let lab = Lab::new();
    let asked = [
        ("store.open -", "error no-such-store"),
        ("store.open l:255", "done"),
        ("store.open l:256", "error no-such-store"),
        ("draft.open l:256", "error no-such-store"),
        ("keyvalue.set a l:4096 v", "done"),
        ("keyvalue.set a l:4097 v", "error key-too-long 4097"),
        ("keyvalue.get a l:4097", "error key-too-long 4097"),
        ("keyvalue.set a - empty", "done"),
        ("store.get a -", "\"empty\""),
        ("store.delete a -", "done"),
        ("keyvalue.delete a l:4096", "done"),
        ("keyvalue.set a big l:67108865", "error value-too-large 67108865"),
        ("keyvalue.set a big l:67108864", "done"),
        ("keyvalue.get a big", "67108864 bytes"),
        ("keyvalue.scan a . . . 100", "[\"big\"=67108864 bytes]"),
        ("store.delete a big", "done"),
        ("batch.set-many a k 1 l:4097 2", "error other \"a key of 4097 bytes, at most 4096 are taken\""),
        ("store.exists a k", "false"),
        ("keyvalue.get-at 1 a k", "error no-such-version 1"),
        ("keyvalue.get-at 18446744073709551615 a k", "error no-such-version 18446744073709551615"),
        ("draft.list-keys a 18446744073709551615", "error other \"no listing gave this cursor\""),
        ("keyvalue.set a x:ff v", "done"),
        ("store.list-keys a", "error other \"the key b\\\"\\\\xff\\\" is no UTF-8 text\""),
        ("keyvalue.delete a x:ff", "done"),
        ("store.set a n one", "done"),
        ("keyvalue.increment a n 1", "error not-a-number"),
        ("store.set a n 9223372036854775807", "done"),
        ("keyvalue.increment a n 1", "error not-a-number"),
        ("atomics.increment a n 1", "error other \"the sum does not fit\""),
        ("draft.increment a n 18446744073709551615", "error other \"the sum does not fit\""),
        ("transaction.set-savepoint", "savepoint 0"),
        ("transaction.set-savepoint", "savepoint 1"),
        ("transaction.rollback 0", "done"),
        ("transaction.rollback 1", "error gone"),
        ("transaction.drop 0", "done"),
        ("transaction.drop 1", "done"),
        ("transaction.set-savepoint", "savepoint 2"),
        ("transaction.commit", "version 1"),
        ("transaction.rollback 2", "error gone"),
        ("keyvalue.get-at 1 a n", "\"9223372036854775807\""),
        ("keyvalue.get-at 2 a n", "error no-such-version 2"),
    ];
    let script: Vec<&str> = asked.iter().map(|(operation, _)| *operation).collect();
    let (report, printed) = lab.run(&kvtool(), &Trial { stdin: script.join("\n").into_bytes(), ..Trial::default() });
    let expected: Vec<String> = asked.iter().map(|(operation, answer)| format!("{operation}: {answer}")).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(report.end.outcome, Outcome::Exit { code: 0 });
    assert_eq!(lab.replay(report.run).0.verdict, Verdict::Same);
}
