//! Key-value buckets, savepoints and commits on the way as a guest sees them: each function of each interface, its borders, and bad input. Every
//! run here is also replayed.

use reel_abi::limits::Limits;
use reel_abi::outcome::{Disposition, Outcome};
use reel_host::runtime::{RunReport, Verdict};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};

struct Tool {
    lab: Lab,
    bytes: Vec<u8>,
}

impl Tool {
    fn new() -> Self {
        Self { lab: Lab::new(), bytes: std::fs::read(guest("kvtool", Target::P2)).expect("guest") }
    }

    fn run_with(&self, limits: Limits, steps: &[&str]) -> (RunReport, Vec<String>) {
        let (report, said) = self.lab.run(&self.bytes, &Trial { limits, ..Trial::args(steps) });
        assert_eq!(self.lab.replay(report.run).0.verdict, Verdict::Same, "{steps:?}");
        let line = |(step, line): (&&str, &str)| line.strip_prefix(&format!("{step}: ")).unwrap_or(line).to_owned();
        (report, steps.iter().zip(said.lines()).map(line).collect())
    }

    /// Runs the steps, and compares what each gives.
    fn expect(&self, steps: &[(&str, &str)]) -> RunReport {
        let (report, said) = self.run_with(Limits::default(), &steps.iter().map(|(step, _)| *step).collect::<Vec<_>>());
        let expected: Vec<String> = steps.iter().map(|(_, said)| (*said).to_owned()).collect();
        assert_eq!(said, expected);
        report
    }
}

fn committed(report: &RunReport) -> bool {
    matches!(report.end.disposition, Disposition::Committed { .. })
}

#[test]
fn all_interfaces_work_on_the_same_buckets() {
    let tool = Tool::new();
    tool.expect(&[
        ("store.get b k", "none"),
        ("store.exists b k", "false"),
        ("store.set b k one", "done"),
        ("draft.get b k", "\"one\""),
        ("keyvalue.get b k", "\"one\""),
        ("sdk.get b k", "\"one\""),
        ("store.get other k", "none"),
        ("draft.set b k2 two", "done"),
        ("batch.set-many b k3 three k4 four", "done"),
        ("batch.get-many b k k9 k4", "[\"k\"=\"one\" none \"k4\"=\"four\"]"),
        ("batch.delete-many b k3 k9", "done"),
        ("store.list-keys b", "[\"k\", \"k2\", \"k4\"]"),
        ("draft.list-keys b", "[\"k\", \"k2\", \"k4\"]"),
        ("keyvalue.set b x:00ff00 bin", "done"),
        ("keyvalue.exists b x:00ff00", "true"),
        ("atomics.increment n c 5", "5"),
        ("draft.increment n c 2", "7"),
        ("keyvalue.increment n c -10", "-3"),
        ("store.get n c", "\"-3\""),
    ]);
    tool.expect(&[
        ("store.get b k4", "\"four\""),
        ("keyvalue.delete b x:00ff00", "done"),
        ("store.delete b nothing", "done"),
    ]);
}

#[test]
fn a_swap_happens_if_nothing_came_between() {
    Tool::new().expect(&[
        ("store.set b k one", "done"),
        ("atomics.new b k", "cas 0"),
        ("atomics.current 0", "\"one\""),
        ("atomics.swap 0 two", "done"),
        ("atomics.new b k", "cas 1"),
        ("store.set b k three", "done"),
        ("atomics.swap 1 four", "error cas-failed, cas 2"),
        ("atomics.current 2", "\"three\""),
        ("atomics.swap 2 five", "done"),
        ("store.get b k", "\"five\""),
        ("atomics.new b absent", "cas 3"),
        ("atomics.current 3", "none"),
        ("atomics.swap 3 made", "done"),
        ("store.get b absent", "\"made\""),
    ]);
}

#[test]
fn values_cross_every_border_of_size() {
    let tool = Tool::new();
    let sizes = ["0", "1", "4096", "4097", "16256", "16257", "1048576", "67108864"];
    let mut steps: Vec<String> = sizes.iter().map(|size| format!("store.set b k{size} l:{size}")).collect();
    steps.extend(sizes.iter().map(|size| format!("store.get b k{size}")));
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let limits = Limits { memory_bytes: 2 << 30, ..Limits::default() };
    let (report, now) = tool.run_with(limits.clone(), &steps);
    assert!(committed(&report), "{:?}", report.end);
    let (_, later) = tool.run_with(limits, &steps[sizes.len()..]);
    assert_eq!(now[sizes.len()..], later[..], "the same when they come from the space");
    assert!(later.iter().zip(sizes).all(|(said, size)| size.len() < 4 || said.contains(size)), "{later:?}");
    assert!(tool.lab.store.verify(&mut |_, _| Ok(()), &mut |_, _| ()).expect("verify").problems.is_empty());
}

#[test]
fn bad_input_is_a_typed_error_and_the_transaction_goes_on() {
    let tool = Tool::new();
    let (report, said) = tool.run_with(
        Limits { memory_bytes: 2 << 30, ..Limits::default() },
        &[
            "keyvalue.set b l:4097 v",
            "keyvalue.get b l:4097",
            "keyvalue.set b l:4096 v",
            "store.set b big l:67108865",
            "keyvalue.set b big l:67108865",
            "store.open l:256",
            "store.open -",
            "store.open l:255",
            "keyvalue.get-at 7 b k",
            "keyvalue.get-at 18446744073709551615 b k",
            "keyvalue.scan-at 1 b",
            "store.set b word x",
            "atomics.increment b word 1",
            "keyvalue.increment b word 1",
            "store.set b most 9223372036854775807",
            "keyvalue.increment b most 1",
            "draft.increment b none 18446744073709551615",
            "draft.list-keys b 99",
            "keyvalue.set bin x:ff v",
            "store.list-keys bin",
            "transaction.rollback 5",
            "store.get b most",
        ],
    );
    let wanted = [
        "error key-too-long 4097",
        "error key-too-long 4097",
        "done",
        "error other \"a value of 67108865 bytes, at most 67108864 are taken\"",
        "error value-too-large 67108865",
        "error no-such-store",
        "error no-such-store",
        "done",
        "error no-such-version 7",
        "error no-such-version 18446744073709551615",
        "error no-such-version 1",
        "done",
        "error other \"the value is no decimal number\"",
        "error not-a-number",
        "done",
        "error not-a-number",
        "error other \"the sum does not fit\"",
        "error other \"no listing gave this cursor\"",
        "done",
        "error other \"the key b\\\"\\\\xff\\\" is no UTF-8 text\"",
        "none is held",
        "\"9223372036854775807\"",
    ];
    assert_eq!(said, wanted);
    assert!(committed(&report));
}

#[test]
fn quotas_are_told_and_what_fits_can_be_committed() {
    let tool = Tool::new();
    let limits = Limits { space_files: 3, ..Limits::default() };
    let steps = [
        "store.set b 1 v",
        "store.set b 2 v",
        "store.set b 3 v",
        "keyvalue.set b 4 v",
        "store.set b 1 w",
        "store.delete b 2",
        "store.set b 4 v",
    ];
    let (report, said) = tool.run_with(limits.clone(), &steps);
    assert_eq!(said[3], "error quota-exceeded \"quota exceeded: limit space-files of 3\"");
    assert_eq!(said[4..], ["done", "done", "done"]);
    assert!(committed(&report));
    // The count is that of the space, not of the run.
    let (_, said) = tool.run_with(limits, &["store.set b 5 v", "batch.set-many b 1 x 6 v", "store.get b 1"]);
    assert!(said[0].contains("quota exceeded") && said[1].contains("quota exceeded"), "{said:?}");
    assert_eq!(said[2], "\"w\"", "a batch is all or nothing");

    let limits = Limits { written_bytes: 1000, ..Limits::default() };
    let (report, said) =
        tool.run_with(limits, &["store.set big a l:600", "store.set big b l:600", "store.exists big a"]);
    assert!(said[1].contains("limit written-bytes of 1000 bytes"), "{said:?}");
    assert_eq!(said[2], "true");
    assert!(committed(&report));
}

#[test]
fn ranges_are_in_order_of_bytes_and_go_on() {
    let tool = Tool::new();
    tool.expect(&[("batch.set-many b a 1 ab 2 abc 3 b 4", "done"), ("store.set bb a other", "done")]);
    tool.expect(&[
        ("keyvalue.scan b - . . 10", "[\"a\"=\"1\" \"ab\"=\"2\" \"abc\"=\"3\" \"b\"=\"4\"]"),
        ("keyvalue.scan b ab . . 10", "[\"ab\"=\"2\" \"abc\"=\"3\"]"),
        ("keyvalue.scan b - ab b 10", "[\"ab\"=\"2\" \"abc\"=\"3\"]"),
        ("keyvalue.scan b - b a 10", "[]"),
        ("keyvalue.scan b - . . 2", "[\"a\"=\"1\" \"ab\"=\"2\"] next \"abc\""),
        ("keyvalue.scan b - abc . 2", "[\"abc\"=\"3\" \"b\"=\"4\"]"),
        ("keyvalue.scan b x:ff . . 10", "[]"),
        ("store.delete b ab", "done"),
        ("store.set b aa new", "done"),
        ("keyvalue.scan b a . . 10", "[\"a\"=\"1\" \"aa\"=\"new\" \"abc\"=\"3\"]"),
        ("keyvalue.scan-at 1 b a . . 10", "[\"a\"=\"1\" \"ab\"=\"2\" \"abc\"=\"3\"]"),
        ("keyvalue.scan-at 0 b - . . 10", "[]"),
        ("keyvalue.get-at 1 b ab", "\"2\""),
        ("keyvalue.get-at 0 b ab", "none"),
    ]);
}

#[test]
fn savepoints_nest_and_hold_files_and_keys_together() {
    let tool = Tool::new();
    tool.expect(&[("store.set b k 0", "done"), ("file.write f 0", "done")]);
    tool.expect(&[
        ("transaction.set-savepoint", "savepoint 0"),
        ("store.set b k 1", "done"),
        ("file.write f 1", "done"),
        ("transaction.set-savepoint", "savepoint 1"),
        ("store.set b k 2", "done"),
        ("store.delete b k", "done"),
        ("file.write f 22222", "done"),
        ("file.write g 2", "done"),
        ("transaction.rollback 1", "done"),
        ("store.get b k", "\"1\""),
        ("file.read f", "\"1\""),
        ("store.set b k 3", "done"),
        ("transaction.rollback 1", "done"),
        ("store.get b k", "\"1\""),
        ("transaction.rollback 0", "done"),
        ("store.get b k", "\"0\""),
        ("file.read f", "\"0\""),
        ("transaction.rollback 1", "error gone"),
        ("store.set b k 4", "done"),
        ("transaction.drop 0", "done"),
        ("store.get b k", "\"4\""),
    ]);
    tool.expect(&[("store.get b k", "\"4\""), ("file.read f", "\"0\"")]);
}

#[test]
fn savepoints_are_bounded() {
    let tool = Tool::new();
    let mut steps = vec!["transaction.set-savepoint"; 1025];
    steps.push("store.set b k v");
    let (report, said) = tool.run_with(Limits::default(), &steps);
    assert_eq!(said[1023..], ["savepoint 1023", "error too-many-savepoints", "done"]);
    assert!(committed(&report));
}

#[test]
fn a_long_command_commits_on_its_way() {
    let tool = Tool::new();
    let report = tool.expect(&[
        ("transaction.version", "0"),
        ("store.set b k 1", "done"),
        ("file.write f one", "done"),
        ("transaction.set-savepoint", "savepoint 0"),
        ("transaction.commit", "version 1"),
        ("transaction.rollback 0", "error gone"),
        ("store.get b k", "\"1\""),
        ("store.set b k 2", "done"),
        ("file.write f two", "done"),
        ("transaction.commit", "version 2"),
        ("keyvalue.get-at 1 b k", "\"1\""),
        ("transaction.commit", "version 2"),
        ("store.set b k 3", "done"),
    ]);
    assert!(committed(&report));
    tool.expect(&[("transaction.version", "3"), ("store.get b k", "\"3\""), ("file.read f", "\"two\"")]);
}

#[test]
fn an_abort_gives_its_reason_and_keeps_what_was_committed_before() {
    let tool = Tool::new();
    let (report, _) = tool.run_with(Limits::default(), &["store.set b k 1", "transaction.abort no good"]);
    assert_eq!(report.end.outcome, Outcome::Aborted { reason: "no good".into() });
    assert_eq!(report.end.disposition, Disposition::Aborted);
    let (report, _) = tool.run_with(
        Limits::default(),
        &["store.set b k 2", "transaction.commit", "store.set b k 3", "transaction.abort later"],
    );
    assert!(
        matches!(report.end.disposition, Disposition::Partly { version, .. } if version.0 == 1),
        "{:?}",
        report.end
    );
    let (report, _) =
        tool.run_with(Limits::default(), &["store.set b k 4", "transaction.commit", "store.set b k 5", "panic"]);
    assert!(
        matches!(report.end.disposition, Disposition::Partly { version, .. } if version.0 == 2),
        "{:?}",
        report.end
    );
    tool.expect(&[("store.get b k", "\"4\"")]);
}

#[test]
fn the_crate_for_authors_leaves_nothing_open() {
    let tool = Tool::new();
    let (report, said) = tool.lab.run(
        &tool.bytes,
        &Trial::args(&[
            "sdk.set b k 0",
            "sdk.savepoint",
            "sdk.set b k 1",
            "sdk.savepoint",
            "sdk.set b k 2",
            "fail inner",
            "sdk.get b k",
            "ok outer",
            "sdk.transaction",
            "sdk.set b k 5",
            "ok done",
            "sdk.transaction",
            "sdk.set b k 6",
            "fail undone",
            "sdk.get b k",
        ]),
    );
    assert!(committed(&report), "{said}");
    assert!(said.contains("told \"inner\"") && said.contains("kept \"outer\""), "{said}");
    assert!(said.contains("committed \"done\" as version 2"), "{said}");
    assert!(said.trim_end().ends_with("sdk.get b k: \"5\""), "{said}");
    assert_eq!(tool.lab.replay(report.run).0.verdict, Verdict::Same);
}

/// Host directories on the way: each commit sends what has changed since the last one, and a removal of what only the run itself had made.
#[test]
fn a_granted_directory_follows_every_commit() {
    let tool = Tool::new();
    let host = tool.lab.path().join("host");
    std::fs::create_dir_all(&host).expect("directory");
    std::fs::write(host.join("old"), "old").expect("file");
    let dirs = vec![(host.to_string_lossy().into_owned(), "/".to_owned(), false)];
    let steps = [
        "file.write made 1",
        "file.read old",
        "file.write old new",
        "transaction.commit",
        "file.remove made",
        "transaction.commit",
        "file.remove old",
        "file.write later 3",
    ];
    let (report, said) = tool.lab.run(&tool.bytes, &Trial { dirs, ..Trial::args(&steps) });
    assert!(committed(&report), "{said}");
    let names: Vec<_> =
        std::fs::read_dir(&host).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
    assert_eq!(names, ["later"]);
    assert_eq!(tool.lab.replay(report.run).0.verdict, Verdict::Same);
}
