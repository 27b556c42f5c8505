//! Guests that run at the same time, operation by operation in an order that the test decides: what each of them reads, and whose commit conflicts.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use reel_abi::limits::Limits;
use reel_abi::outcome::{Disposition, Outcome};
use reel_host::calls::session::Console;
use reel_host::port::{Input, Output, Waiting};
use reel_host::runtime::{RunReport, RunRequest, Surroundings, Verdict, run};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, SeededEntropy, TickingClock, Trial};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// No operation of a test takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Standard input that comes line by line.
struct Lines {
    coming: UnboundedReceiver<String>,
    here: Option<Vec<u8>>,
    over: bool,
}

impl Input for Lines {
    fn ready(&mut self) -> Waiting<'_, ()> {
        Box::pin(async {
            if !self.is_ready() {
                self.here = self.coming.recv().await.map(String::into_bytes);
                self.over = self.here.is_none();
            }
        })
    }

    fn is_ready(&mut self) -> bool {
        self.over || self.here.is_some()
    }

    fn take(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(mut here) = self.here.take() else { return Ok((!self.over).then(Vec::new)) };
        let rest = here.split_off(max.min(here.len()));
        self.here = (!rest.is_empty()).then_some(rest);
        Ok(Some(here))
    }

    fn is_terminal(&self) -> bool {
        false
    }
}

/// Standard output that goes out line by line.
struct Said(Sender<String>, String);

impl Output for Said {
    fn show(&mut self, bytes: &[u8], _: &mut dyn FnMut() -> bool) -> io::Result<()> {
        self.1.push_str(&String::from_utf8_lossy(bytes));
        while let Some((line, rest)) = self.1.split_once('\n') {
            let (line, rest) = (line.to_owned(), rest.to_owned());
            // Nobody listens any more when a test has failed.
            drop(self.0.send(line));
            self.1 = rest;
        }
        Ok(())
    }

    fn is_terminal(&self) -> bool {
        false
    }
}

/// A `kvtool` that runs and waits for its next operation.
struct Tool {
    ask: UnboundedSender<String>,
    said: Receiver<String>,
    thread: JoinHandle<RunReport>,
}

impl Tool {
    /// Starts one; its transaction has begun when this returns.
    fn start(lab: &Lab) -> Self {
        let bytes = std::fs::read(guest("kvtool", Target::P2)).expect("kvtool");
        let (store, engines) = (lab.store.clone(), lab.engines.clone());
        let ((ask, coming), (said, listen)) = (unbounded_channel(), channel());
        let thread = spawn(move || {
            let surroundings = Surroundings {
                clock: Arc::new(TickingClock::at(1)),
                entropy: Box::new(SeededEntropy(1)),
                console: Console {
                    stdin: Some(Box::new(Lines { coming, here: None, over: false })),
                    stdout: Some(Box::new(Said(said, String::new()))),
                    stderr: None,
                    echo: false,
                },
                dirs: Vec::new(),
            };
            let request = RunRequest {
                bytes,
                name: "kvtool.wasm".into(),
                args: vec!["kvtool.wasm".into(), "print ready".into()],
                env: Vec::new(),
                dirs: Vec::new(),
                limits: Limits::default(),
                space: "main".parse().expect("name"),
                commit_on_failure: false,
                hold_output: false,
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
            runtime
                .block_on(run(&store, &engines, request, surroundings, std::future::pending(), &|| ()))
                .expect("it runs")
        });
        let tool = Self { ask, said: listen, thread };
        assert_eq!(tool.heard(), "print ready: ready");
        tool
    }

    fn heard(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("an answer")
    }

    /// Has an operation executed and gives what the guest says of it.
    #[track_caller]
    fn does(&self, operation: &str) -> String {
        self.ask.send(format!("{operation}\n")).expect("it listens");
        let line = self.heard();
        let said = line.strip_prefix(operation).and_then(|rest| rest.strip_prefix(": "));
        said.unwrap_or_else(|| panic!("{line:?} is no answer to {operation:?}")).to_owned()
    }

    /// Has operations executed that succeed.
    #[track_caller]
    fn all(&self, operations: &[&str]) {
        for operation in operations {
            let said = self.does(operation);
            assert!(!said.starts_with("error"), "{operation}: {said}");
        }
    }

    /// Says something, to which the answer is another line.
    #[track_caller]
    fn hears(&self, line: &str, answer: &str) {
        self.ask.send(format!("{line}\n")).expect("it listens");
        assert_eq!(self.heard(), answer);
    }

    /// Ends its input.
    fn end(self) -> RunReport {
        let Self { ask, said, thread } = self;
        drop((ask, said));
        thread.join().expect("it ends")
    }
}

const CONFLICT: &str = "error conflict";

/// A laboratory in which these operations have been committed.
fn with(operations: &[&str]) -> Lab {
    let lab = Lab::new();
    let tool = Tool::start(&lab);
    tool.all(operations);
    assert!(matches!(tool.end().end.disposition, Disposition::Committed { .. }));
    lab
}

/// Both do the first part, `one` commits, and then `two` tries to.
#[track_caller]
fn second_commit(lab: &Lab, one: &[&str], two: &[&str]) -> String {
    let (first, second) = (Tool::start(lab), Tool::start(lab));
    first.all(one);
    second.all(two);
    assert!(first.does("transaction.commit").starts_with("version"));
    let said = second.does("transaction.commit");
    for tool in [first, second] {
        let report = tool.end();
        assert_eq!(lab.replay(report.run).0.verdict, Verdict::Same);
    }
    said
}

#[test]
fn an_update_is_not_lost() {
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
}

#[test]
fn who_has_not_read_what_was_changed_does_not_conflict() {
    let lab = with(&["store.set a n 1", "store.set a m 1"]);
    for blind in [
        &["store.set a n 2"][..],
        &["batch.set-many a n 3 k 4"],
        &["store.get a m", "store.set a n 3"],
        &["store.get b n", "store.set a n 3"],
        &["keyvalue.scan a m n .", "store.set a n 3"],
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

/// Two on call, each of whom leaves because the other one stays.
#[test]
fn writes_are_not_skewed() {
    let lab = with(&["store.set duty ann on", "store.set duty ben on"]);
    let both = ["store.get duty ann", "store.get duty ben"];
    let said = second_commit(
        &lab,
        &[&both[..], &["store.set duty ann off"]].concat(),
        &[&both[..], &["store.set duty ben off"]].concat(),
    );
    assert_eq!(said, CONFLICT);
}

#[test]
fn no_key_comes_out_of_nowhere() {
    let lab = with(&["store.set a k1 v", "store.set a k9 v"]);
    for (number, read) in
        ["keyvalue.scan a k . . 100", "keyvalue.scan a . k2 k9 100", "store.list-keys a", "store.exists a k50"]
            .into_iter()
            .enumerate()
    {
        // Another key each time, within all of these ranges.
        let add =
            if read.contains("k50") { "store.set a k50 v".to_owned() } else { format!("store.set a k5{number}x v") };
        assert_eq!(second_commit(&lab, &[&add], &[read, "store.set b n 1"]), CONFLICT, "{read}");
    }
    // The page that was read ends before the key.
    let said = second_commit(&lab, &["store.set a k8 v"], &["keyvalue.scan a k . . 1", "store.set b n 1"]);
    assert!(said.starts_with("version"), "{said}");
}

/// A withdrawal that has seen neither the deposit nor the report of it.
#[test]
fn a_report_does_not_see_what_cannot_have_been() {
    let lab = with(&["store.set a checking 0", "store.set a savings 0"]);
    let (withdrawal, deposit) = (Tool::start(&lab), Tool::start(&lab));
    withdrawal.all(&["store.get a checking", "store.get a savings"]);
    deposit.all(&["store.set a savings 20", "transaction.commit"]);
    let report = Tool::start(&lab);
    assert_eq!(report.does("batch.get-many a checking savings"), "[\"checking\"=\"0\" \"savings\"=\"20\"]");
    report.all(&["transaction.commit"]);
    withdrawal.all(&["store.set a checking -11"]);
    assert_eq!(withdrawal.does("transaction.commit"), CONFLICT);
    // It goes on with what holds now, and nothing of what it wrote.
    assert_eq!(withdrawal.does("batch.get-many a checking savings"), "[\"checking\"=\"0\" \"savings\"=\"20\"]");
    withdrawal.all(&["store.set a checking -10", "transaction.commit"]);
    for tool in [withdrawal, deposit, report] {
        tool.end();
    }
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
    step.hears("sdk.transaction", "sdk.transaction: attempt 1 reads version 2");
    step.all(&["store.get a n", "store.set a m 1"]);
    other.all(&["store.set a n 2", "transaction.commit"]);
    step.hears("ok", "sdk.transaction: attempt 2 reads version 3");
    assert_eq!(step.does("store.get a n"), "\"2\"");
    // Nothing is left of the first attempt; what came before the step was committed before it.
    assert_eq!(step.does("store.get a m"), "none");
    assert_eq!(step.does("store.get a before"), "\"1\"");
    step.all(&["store.set a m 2"]);
    step.hears("ok good", "sdk.transaction: committed \"good\" as version 4");
    step.hears("sdk.transaction", "sdk.transaction: attempt 1 reads version 4");
    step.all(&["store.set a m 3"]);
    step.hears("fail bad", "sdk.transaction: error told \"bad\"");
    assert_eq!(step.does("store.get a m"), "\"2\"");
    other.end();
    let report = step.end();
    assert_eq!(report.end.outcome, Outcome::Exit { code: 0 });
    assert_eq!(lab.replay(report.run).0.verdict, Verdict::Same);
}

#[test]
fn a_step_that_is_overtaken_each_time_gives_up() {
    let lab = with(&["store.set a n 1"]);
    let (step, other) = (Tool::start(&lab), Tool::start(&lab));
    step.hears("sdk.transaction", "sdk.transaction: attempt 1 reads version 1");
    for attempt in 2..=17 {
        step.all(&["store.get a n", "store.set a m 1"]);
        other.all(&["store.set a n 2", "transaction.commit"]);
        match attempt {
            17 => step.hears("ok", "sdk.transaction: error Conflict"),
            _ => step.hears("ok", &format!("sdk.transaction: attempt {attempt} reads version {attempt}")),
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
    let kvtool = std::fs::read(guest("kvtool", Target::P2)).expect("kvtool");
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
    let (report, printed) = lab.run(&kvtool, &Trial { stdin: script.join("\n").into_bytes(), ..Trial::default() });
    let expected: Vec<String> = asked.iter().map(|(operation, answer)| format!("{operation}: {answer}")).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(report.end.outcome, Outcome::Exit { code: 0 });
    assert_eq!(lab.replay(report.run).0.verdict, Verdict::Same);
}
