//! Guests that mean harm. Each test lets one try one thing, and asserts that the host stays up and bounded, says what happened in a typed outcome,
//! keeps the record, leaves the space alone, and comes to the same verdict in a replay.
//!
//! Recursion through host calls is impossible by construction (no host call calls back into a guest), so that there is no test of it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reel_abi::limits::{LimitKind, Limits};
use reel_abi::outcome::{Disposition, Outcome};
use reel_host::runtime::{RunReport, Verdict};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};

const MIB: u64 = 1 << 20;

fn hostile() -> Vec<u8> {
    fs::read(guest("hostile", Target::P2)).expect("hostile")
}

fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("WAT")
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits { memory_bytes: 64 * MIB, ..Limits::default() };
    change(&mut limits);
    limits
}

/// Runs a guest in a laboratory and holds the run against all that is promised of every run, whatever it does.
fn abuse(lab: &Lab, bytes: &[u8], trial: &Trial) -> (RunReport, String) {
    let space = "main".parse().expect("name");
    // A space is made at its first use, empty; that is no change.
    let head = || lab.store.head(&space).expect("head").filter(|head| head.version.0 > 0);
    let before = head();
    let (report, printed) = lab.run(bytes, trial);
    let record = lab.store.run(report.run).expect("read").expect("the run is recorded");
    assert_eq!(record.end.as_ref(), Some(&report.end), "its end is recorded");
    if report.end.disposition == Disposition::Aborted {
        assert_eq!(before, head(), "the space is as before");
    }
    assert_eq!(report.end.disposition == Disposition::Aborted, report.end.outcome != Outcome::Exit { code: 0 });
    let (replayed, printed_again) = lab.replay(report.run);
    match &replayed.verdict {
        Verdict::Same => {
            assert_eq!(printed, printed_again);
            assert_eq!(replayed.events, report.end.events);
        }
        Verdict::SameToCut(_) => assert!(report.end.outcome.is_cut(), "{:?}", report.end.outcome),
        other => panic!("the replay of {:?} came to {other:?}", report.end.outcome),
    }
    (report, printed)
}

fn outcome(args: &[&str], limits: Limits) -> Outcome {
    let trial = Trial { limits, ..Trial::args(args) };
    abuse(&Lab::new(), &hostile(), &trial).0.end.outcome
}

/// What a guest prints that ends well.
fn printed(args: &[&str]) -> Vec<String> {
    let (report, text) = abuse(&Lab::new(), &hostile(), &Trial::args(args));
    assert_eq!(report.end.outcome, Outcome::Exit { code: 0 }, "{text}");
    text.lines().map(str::to_owned).collect()
}

fn trap(args: &[&str], limits: Limits, words: &str) {
    match outcome(args, limits) {
        Outcome::Trap { message, .. } => assert!(message.contains(words), "{args:?}: {message}"),
        other => panic!("{args:?}: {other:?}"),
    }
}

// Time.

#[test]
fn endless_guests_end_at_their_deadline() {
    for mode in ["spin", "spin-calls", "sleep", "sleep-list"] {
        let begun = Instant::now();
        let ended = outcome(&[mode], limits(|l| l.deadline_millis = 200));
        assert_eq!(ended, Outcome::Limit { kind: LimitKind::Deadline, limit: 200 }, "{mode}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{mode}: {:?}", begun.elapsed());
    }
}

/// Nobody reads what the guest prints: the host must not wait longer than the guest may.
#[test]
fn a_full_pipe_does_not_hold_up_the_deadline_or_an_interrupt() {
    let ended = [None, Some("INT")].map(|signal| {
        let home = tempfile::tempdir().expect("directory");
        let mut command = reel(home.path());
        command.args(["run", "-q", "--deadline", if signal.is_some() { "1h" } else { "500ms" }]).arg(hostile_path());
        let mut child = command.args(["--", "flood", "100"]).stdout(Stdio::piped()).spawn().expect("reel");
        std::thread::sleep(Duration::from_millis(1500));
        if let Some(signal) = signal {
            kill(child.id(), signal);
        }
        let ended = wait(&mut child, Duration::from_secs(3));
        if ended.is_none() {
            kill(child.id(), "KILL");
            child.wait().expect("wait");
        }
        ended
    });
    assert_eq!(ended[0], Some(124), "the deadline");
    assert!(ended[1].is_some(), "the interrupt");
}

// Memory.

#[test]
fn memory_bombs_meet_the_limit() {
    let limit = Outcome::Limit { kind: LimitKind::Memory, limit: 64 * MIB };
    assert_eq!(outcome(&["memory"], limits(|_| {})), limit);
    let many = "(memory 20)".repeat(99);
    for text in [
        r#"(module (memory (export "memory") 65536) (func (export "_start")))"#.to_owned(),
        format!(r#"(module (memory (export "memory") 1) {many} (func (export "_start")))"#),
        r#"(module (memory (export "memory") 1) (memory $m i64 1) (func (export "_start") (drop (memory.grow $m (i64.const 0x100000000)))))"#.to_owned(),
        r#"(module (memory (export "memory") 1) (memory $m i64 0x1000000000) (func (export "_start")))"#.to_owned(),
    ] {
        let (report, _) = abuse(&Lab::new(), &module(&text), &Trial { limits: limits(|_| {}), ..Trial::default() });
        assert_eq!(report.end.outcome, limit, "{}", &text[..70]);
    }
    // Above the address space that is reserved, within what is allowed: the guest is told no, or stopped, but the host is not to blame.
    let text = r#"(module (memory (export "memory") 1) (memory $m i64 1) (func (export "_start") (drop (memory.grow $m (i64.const 70000)))))"#;
    let trial = Trial { limits: limits(|l| l.memory_bytes = 16 << 30), ..Trial::default() };
    let (report, _) = abuse(&Lab::new(), &module(text), &trial);
    assert!(!matches!(report.end.outcome, Outcome::HostFailure { .. }), "{:?}", report.end.outcome);
}

/// Objects of the garbage collector are memory as any other.
#[test]
fn the_garbage_collected_heap_is_bounded_too() {
    let array = r#"(module (type $a (array (mut i64))) (memory (export "memory") 1)
        (func (export "_start") (drop (array.get $a (array.new $a (i64.const 7) (i32.const 50000000)) (i32.const 5)))))"#;
    let exceptions = r#"(module (memory (export "memory") 1) (tag $e (param i64 i64 i64 i64 i64 i64 i64 i64)) (table $t 1000000 exnref)
        (func (export "_start") (local $i i32) (local $r exnref)
          (loop $l
            (block $h (result exnref) (try_table (catch_all_ref $h) (throw $e (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1))) unreachable)
            (local.set $r) (table.set $t (local.get $i) (local.get $r))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000))))))"#;
    for text in [array, exceptions] {
        let done = run_module(&module(text), &["--memory", "32MiB"], &[]);
        assert!([121, 122, 123].contains(&done.code), "{done:?}");
        assert!(done.peak_mib < 200, "{done:?}");
    }
}

#[test]
fn tables_are_bounded_one_by_one_and_together() {
    let one = module(
        r#"(module (memory (export "memory") 1) (table $t 0 funcref) (func $f) (elem declare func $f)
        (func (export "_start") (local $i i32) (loop $l (drop (table.grow $t (ref.func $f) (i32.const 100000))) (br $l))))"#,
    );
    let (report, _) = abuse(&Lab::new(), &one, &Trial { limits: limits(|_| {}), ..Trial::default() });
    assert_eq!(report.end.outcome, Outcome::Limit { kind: LimitKind::Table, limit: 1_000_000 });
    let tables: String = (0..100).map(|n| format!("(table $t{n} 1000000 funcref)")).collect();
    let fills: String =
        (0..100).map(|n| format!("(table.fill $t{n} (i32.const 0) (ref.func $f) (i32.const 1000000))")).collect();
    let many = format!(
        r#"(module (memory (export "memory") 1) {tables} (func $f) (elem declare func $f) (func (export "_start") {fills}))"#
    );
    let done = run_module(&module(&many), &["--memory", "32MiB"], &[]);
    assert!(done.peak_mib < 300, "a hundred tables took {done:?}");
    assert_eq!(done.code, 122, "{done:?}");
}

#[test]
fn unbounded_recursion_ends_at_the_stack_limit_and_at_the_same_depth_in_a_replay() {
    let text = r#"(module (memory (export "memory") 1)
        (func $r (param i32) (i32.store (i32.const 0) (local.get 0)) (call $r (i32.add (local.get 0) (i32.const 1))) (i32.store (i32.const 4) (local.get 0)))
        (func (export "_start") (call $r (i32.const 0))))"#;
    let (report, _) = abuse(&Lab::new(), &module(text), &Trial { limits: limits(|_| {}), ..Trial::default() });
    assert_eq!(report.end.outcome, Outcome::Limit { kind: LimitKind::Stack, limit: MIB });
    assert!(report.end.memory.is_some(), "the depth stands in the memory, which is compared");
    // Compiled Rust has a stack of its own in the linear memory, which is the smaller one.
    trap(&["recursion"], limits(|_| {}), "out of bounds memory access");
}

// Host calls.

#[test]
fn ten_million_calls_take_little_memory_and_more_than_allowed_are_refused() {
    let count = if std::env::var_os("REEL_LONG").is_some() { "10000000" } else { "3000000" };
    let done = run_hostile(&[], &["calls", count]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.peak_mib < 160, "{done:?}");
    let ended = outcome(&["calls", "100000"], limits(|l| l.host_calls = 50_000));
    assert_eq!(ended, Outcome::Limit { kind: LimitKind::HostCalls, limit: 50_000 });
    let ended = outcome(&["calls", "100000"], limits(|l| l.logged_bytes = 50_000));
    assert_eq!(ended, Outcome::Limit { kind: LimitKind::LoggedBytes, limit: 50_000 });
}

#[test]
fn a_flood_of_output_meets_the_limit_in_little_memory() {
    let ended = outcome(&["flood", "1000"], limits(|l| l.written_bytes = 8 * MIB));
    assert_eq!(ended, Outcome::Limit { kind: LimitKind::WrittenBytes, limit: 8 * MIB });
    let ended = outcome(&["flood", "1000"], limits(|l| l.logged_bytes = 8 * MIB));
    assert_eq!(ended, Outcome::Limit { kind: LimitKind::LoggedBytes, limit: 8 * MIB });
    let done = run_hostile(&[], &["flood", "3000"]);
    assert_eq!((done.code, done.stdout.len()), (0, 3000 << 16));
    assert!(done.peak_mib < 160, "{} MiB", done.peak_mib);
}

#[test]
fn requests_of_absurd_sizes_are_refused() {
    let most = u64::MAX.to_string();
    let wide = || limits(|l| l.memory_bytes = 1024 * MIB);
    trap(&["huge-write", "300000000"], wide(), "too much data");
    trap(&["zeroes", &most], wide(), "are permitted");
    trap(&["zeroes-out", &most], wide(), "are permitted");
    trap(&["poll", "1000000"], wide(), "limit exceeded");
    trap(&["poll-none"], wide(), "0 pollables");
    let end = r#"Err(StreamError::Closed)"#;
    assert_eq!(printed(&["read", &most]), ["Ok(4)", "Ok((4, true))", "Ok((0, true))", "Ok(4)", end, end]);
}

#[test]
fn a_draw_of_absurd_size_is_refused_in_a_replay_too() {
    let most = u64::MAX.to_string();
    trap(&["random", &most], limits(|_| {}), "random bytes");
    trap(&["insecure", &most], limits(|_| {}), "random bytes");
}

/// A list that a core module describes wrongly never reaches the host.
#[test]
fn lists_beyond_the_memory_are_refused() {
    for (pointer, len) in [(0u32, 0xffff_ffff_u32), (0xffff_fff0, 32), (65_530, 100), (8, 0x8000_0000)] {
        let text = component(&format!("(drop (call $poll-list (i32.const {pointer}) (i32.const {len})))"));
        let (report, _) = abuse(&Lab::new(), &module(&text), &Trial { limits: limits(|_| {}), ..Trial::default() });
        assert!(matches!(report.end.outcome, Outcome::Trap { .. }), "{:?}", report.end.outcome);
    }
}

#[test]
fn open_handles_are_bounded() {
    for mode in ["open", "pollables", "streams"] {
        let ended = outcome(&[mode, "100000"], limits(|_| {}));
        assert_eq!(ended, Outcome::Limit { kind: LimitKind::OpenHandles, limit: 10_000 }, "{mode}");
    }
}

#[test]
fn guessed_and_stale_handles_trap() {
    let bodies = [
        "(drop (call $ready (i32.const 0)))",
        "(drop (call $ready (i32.const 1)))",
        "(drop (call $ready (i32.const 4242)))",
        "(drop (call $ready (i32.const -1)))",
        "(call $drop (i32.const 1))",
        "(call $drop (i32.const 0x7fffffff))",
        // The same twice, and one that was given back.
        "(local.set $h (call $timer (i64.const 1))) (call $drop (local.get $h)) (call $drop (local.get $h))",
        "(local.set $h (call $timer (i64.const 1))) (call $drop (local.get $h)) (drop (call $ready (local.get $h)))",
        // The neighbour of one that is there, and the number that the host itself uses for it.
        "(local.set $h (call $timer (i64.const 1))) (drop (call $ready (i32.add (local.get $h) (i32.const 1))))",
        "(local.set $h (call $timer (i64.const 1))) (drop (call $ready (i32.sub (local.get $h) (i32.const 1))))",
    ];
    for body in bodies {
        let (report, _) = abuse(&Lab::new(), &module(&component(body)), &Trial::default());
        assert!(matches!(report.end.outcome, Outcome::Trap { .. }), "{body}: {:?}", report.end.outcome);
    }
    let good =
        "(local.set $h (call $timer (i64.const 1))) (drop (call $ready (local.get $h))) (call $drop (local.get $h))";
    let (report, _) = abuse(&Lab::new(), &module(&component(good)), &Trial::default());
    assert_eq!(report.end.outcome, Outcome::Exit { code: 0 });
}

/// A preview 1 module tries twenty thousand descriptors that it does not have, an invalid path, and a descriptor it has closed.
#[test]
fn wild_descriptors_and_invalid_text_of_preview_1_are_refused() {
    let text = r#"(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (data (i32.const 100) "\ff\fe\80x") (data (i32.const 200) "a\00b")
      (func $want (param i32 i32) (if (i32.eqz (local.get 0)) (then (call $exit (local.get 1)))))
      (func (export "_start") (local $i i32)
        (loop $l
          (call $want (call $write (i32.add (i32.const 77) (i32.mul (local.get $i) (i32.const 104729))) (i32.const 0) (i32.const 1) (i32.const 8)) (i32.const 10))
          (call $want (call $close (i32.sub (i32.const -1) (local.get $i))) (i32.const 11))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const 10000))))
        (call $want (call $open (i32.const 3) (i32.const 0) (i32.const 200) (i32.const 3) (i32.const 1) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 16)) (i32.const 12))
        (call $want (i32.eqz (call $close (i32.const 3))) (i32.const 13))
        (call $want (call $close (i32.const 3)) (i32.const 14))
        (call $exit (i32.const 7))))"#;
    let (report, _) = abuse(&Lab::new(), &module(text), &Trial::default());
    assert_eq!(report.end.outcome, Outcome::Exit { code: 7 });
    // A path that is no UTF-8 cannot be said in a component: a trap.
    let bad =
        text.replace("(i32.const 200) (i32.const 3) (i32.const 1)", "(i32.const 100) (i32.const 4) (i32.const 1)");
    let (report, _) = abuse(&Lab::new(), &module(&bad), &Trial::default());
    assert!(matches!(report.end.outcome, Outcome::Trap { .. } | Outcome::Exit { code: 7 }), "{:?}", report.end.outcome);
}

#[test]
fn a_stream_outlives_the_name_and_the_handle_of_its_file() {
    assert_eq!(printed(&["stream-after-file"]), ["Ok(())", "Ok([115, 116, 105, 108, 108])", r#"Err("an end")"#]);
}

// Paths and files.

#[test]
fn odd_paths_are_refused_and_none_leaves_the_space() {
    let codes = |count: &str, text: &str| -> Vec<String> {
        let lines = printed(&["path", count, text]);
        lines.iter().map(|line| line.split('"').nth(1).unwrap_or(line).to_owned()).collect()
    };
    for (count, text) in [("4096", "a/"), ("300", "a"), ("2000", "../")] {
        let found = codes(count, text);
        assert_eq!(
            (found[0].as_str(), found[1].as_str(), found[2].as_str()),
            ("name-too-long", "name-too-long", "name-too-long"),
            "{text}"
        );
    }
    assert_eq!(codes("1", "a\0b")[..4], ["invalid", "invalid", "invalid", "invalid"]);
    for text in ["..", "/etc/passwd", "a/../../b", "/", "../"] {
        let found = codes("1", text);
        assert!(
            found[..4].iter().all(|code| ["not-permitted", "no-entry"].contains(&code.as_str())),
            "{text}: {found:?}"
        );
    }
}

/// A path of a megabyte and one of fifty: refused by name, or the run is stopped with a typed outcome, and recorded in any case.
#[test]
fn paths_of_megabytes_leave_a_record() {
    for count in ["1040000", "1048576", "50000000"] {
        let (report, _) = abuse(
            &Lab::new(),
            &hostile(),
            &Trial { limits: limits(|l| l.memory_bytes = 512 * MIB), ..Trial::args(&["path", count, "a"]) },
        );
        assert!(!matches!(report.end.outcome, Outcome::HostFailure { .. }), "{count}: {:?}", report.end.outcome);
    }
}

#[test]
fn ten_thousand_levels_of_directories_are_kept() {
    assert_eq!(printed(&["deep", "10000"]), ["Ok(())", "Ok(())"]);
}

#[test]
fn circles_of_links_and_links_out_end() {
    let begun = Instant::now();
    let lines = printed(&["links"]);
    let codes: Vec<&str> = lines.iter().map(|line| line.split('"').nth(1).unwrap_or(line)).collect();
    let expected = [
        "Ok(())",
        "Ok(())",
        "Ok(())",
        "Ok(())",
        "not-permitted",
        "loop",
        "loop",
        "not-permitted",
        "loop",
        "no-entry",
        "loop",
        "loop",
        "not-permitted",
        "not-permitted",
        "not-permitted",
    ];
    assert_eq!(codes, expected);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn renames_make_no_circles() {
    let lines = printed(&["renames", "300"]);
    let codes: Vec<&str> = lines.iter().map(|line| line.split('"').nth(1).unwrap_or(line)).collect();
    assert_eq!(codes, ["invalid", "invalid", "not-empty", "not-empty", "busy", "busy", "Ok(())", "Ok(())"]);
}

#[test]
fn tiny_files_meet_the_limit() {
    let ended = outcome(&["files", "2000"], limits(|l| l.space_files = 1000));
    assert_eq!(ended, Outcome::Limit { kind: LimitKind::SpaceFiles, limit: 1000 });
}

#[test]
fn sparse_file_bombs_are_refused() {
    for at in [1u64 << 60, i64::MAX as u64] {
        let lines = printed(&["sparse", &at.to_string()]);
        assert_eq!(lines[0], "Err(Some(29))");
        assert!(lines[1].contains("file-too-large") && lines[2].contains("file-too-large"), "{lines:?}");
        assert_eq!(lines[3], "Ok(false)");
    }
    assert!(printed(&["size", &u64::MAX.to_string()])[0].contains("file-too-large"));
}

/// What a file costs must not grow with how many there are already.
#[test]
fn a_hundred_thousand_names_in_one_directory_take_linear_time() {
    let (few, many) = if std::env::var_os("REEL_LONG").is_some() { ("50000", "200000") } else { ("30000", "75000") };
    let (first, second) = (run_hostile(&[], &["names", few]), run_hostile(&["--deadline", "30s"], &["names", many]));
    assert_eq!((first.code, second.code), (0, 0), "{second:?}");
    assert_eq!(second.text().trim(), many);
    let ratio = second.elapsed.as_secs_f64() / first.elapsed.as_secs_f64();
    assert!(ratio < 12.0, "{few}: {:?}, {many}: {:?}", first.elapsed, second.elapsed);
    assert!(second.peak_mib < 500, "{second:?}");
}

/// A listing that nobody reads must not cost the host a copy of the directory each.
#[test]
fn open_listings_are_bounded_in_memory() {
    let done = run_hostile(&[], &["listings", "1000"]);
    assert!(done.peak_mib < 200, "{done:?}");
}

#[test]
fn dust_in_many_blocks_is_bounded_in_memory() {
    let done = run_hostile(&[], &["dust", "30000"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.peak_mib < 150, "{done:?}");
}

// Host directories.

/// A directory with all that can be wrong in one.
fn traps() -> (tempfile::TempDir, tempfile::TempDir) {
    let (outside, dir) = (tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory"));
    fs::write(outside.path().join("secret"), "the secret").expect("write");
    let at = dir.path();
    fs::write(at.join("a"), "plain").expect("write");
    fs::create_dir(at.join("d")).expect("directory");
    let deep = "../".repeat(30);
    for (name, target) in [
        ("absolute", "/etc/passwd".to_owned()),
        ("up", format!("{deep}etc/passwd")),
        ("secret", outside.path().join("secret").display().to_string()),
        ("secret-up", format!("{deep}{}", outside.path().join("secret").display())),
        ("dir-out", outside.path().display().to_string()),
        ("self", "self".to_owned()),
        ("inside", "a".to_owned()),
    ] {
        symlink(target, at.join(name)).expect("link");
    }
    assert!(Command::new("mkfifo").arg(at.join("pipe")).status().expect("mkfifo").success());
    // Only root can make a device; without one the rest is still worth it.
    drop(Command::new("mknod").arg(at.join("zero")).args(["c", "1", "5"]).stderr(Stdio::null()).status());
    (outside, dir)
}

/// All that `stat` says of everything in a directory, and the bytes.
type Facts = (PathBuf, u64, u32, u64, i64, i64, Option<Vec<u8>>);

fn facts(dir: &Path) -> Vec<Facts> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("list") {
        let path = entry.expect("entry").path();
        let meta = fs::symlink_metadata(&path).expect("stat");
        let bytes = (meta.is_file() && meta.len() < MIB).then(|| fs::read(&path).expect("read"));
        found.push((path, meta.ino(), meta.mode(), meta.len(), meta.mtime_nsec(), meta.ctime_nsec(), bytes));
    }
    found.sort();
    found
}

#[test]
fn a_read_only_directory_is_read_only_and_nothing_outside_is_seen() {
    let (_outside, dir) = traps();
    let before = (facts(dir.path()), fs::metadata(dir.path()).expect("stat").ctime_nsec());
    let host = dir.path().display().to_string();
    let trial = Trial {
        dirs: vec![(host, "/".into(), true)],
        limits: limits(|l| l.deadline_millis = 5000),
        ..Trial::args(&["explore"])
    };
    let (report, text) = abuse(&Lab::new(), &hostile(), &trial);
    assert_eq!(report.end.outcome, Outcome::Exit { code: 0 }, "{text}");
    assert_eq!(before, (facts(dir.path()), fs::metadata(dir.path()).expect("stat").ctime_nsec()));
    assert!(!text.contains("the secret") && !text.contains("root:"), "{text}");
    assert!(text.contains("a DescriptorType::RegularFile read Ok(\"plain\")"), "{text}");
    assert!(text.contains("inside DescriptorType::SymbolicLink read Ok(\"plain\")"), "{text}");
    for line in text.lines().skip(1).filter(|line| !line.contains(" read ")) {
        assert!(!line.contains("Ok("), "{line}");
    }
}

#[test]
fn a_directory_with_traps_may_be_written_to_and_nothing_outside_changes() {
    let (outside, dir) = traps();
    let before = facts(outside.path());
    let host = dir.path().display().to_string();
    let trial = Trial {
        dirs: vec![(host, "/".into(), false)],
        limits: limits(|l| l.deadline_millis = 5000),
        ..Trial::args(&["explore"])
    };
    let (report, text) = abuse(&Lab::new(), &hostile(), &trial);
    assert_eq!(report.end.outcome, Outcome::Exit { code: 0 }, "{text}");
    assert!(report.undelivered.is_none(), "{:?}", report.undelivered);
    assert_eq!(before, facts(outside.path()));
    assert!(!text.contains("the secret") && !text.contains("root:"), "{text}");
}

/// While the guest sleeps between two calls, somebody replaces a directory by a link that leads out.
#[test]
fn a_directory_replaced_by_a_link_between_calls_leads_nowhere() {
    let (outside, dir) = (tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory"));
    fs::write(outside.path().join("secret"), "the secret").expect("write");
    fs::create_dir(dir.path().join("d")).expect("directory");
    fs::write(dir.path().join("d/secret"), "harmless").expect("write");
    let home = tempfile::tempdir().expect("directory");
    let grant = format!("{}::/:ro", dir.path().display());
    let mut command = reel(home.path());
    command.args(["run", "-q", "--dir", &grant]).arg(hostile_path()).args(["--", "pause-cat", "700", "/d/secret"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("reel");
    let mut out = child.stdout.take().expect("pipe");
    let mut ready = [0; 6];
    out.read_exact(&mut ready).expect("ready");
    fs::rename(dir.path().join("d"), dir.path().join("was")).expect("rename");
    symlink(outside.path(), dir.path().join("d")).expect("link");
    let mut text = String::new();
    out.read_to_string(&mut text).expect("read");
    child.wait().expect("wait");
    assert!(!text.contains("the secret"), "{text}");
}

#[test]
fn an_unreadable_file_is_an_error_for_the_guest_and_no_more() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("locked");
    fs::write(&path, "locked").expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).expect("permissions");
    if fs::read(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    let trial = Trial {
        dirs: vec![(dir.path().display().to_string(), "/".into(), true)],
        ..Trial::args(&["cat", "0", "/locked"])
    };
    let (report, text) = abuse(&Lab::new(), &hostile(), &trial);
    assert_eq!((report.end.outcome, text.trim()), (Outcome::Exit { code: 0 }, "Err(Some(2))"));
}

/// One byte of a file that is larger than any file may be (a hole costs nothing to make).
#[test]
fn a_huge_host_file_is_not_swallowed_whole() {
    let dir = tempfile::tempdir().expect("directory");
    fs::File::create(dir.path().join("big")).expect("create").set_len(2 << 30).expect("size");
    let grant = format!("{}::/:ro", dir.path().display());
    let done = run_hostile(&["--dir", &grant, "--file-bytes", "1MiB", "--deadline", "500ms"], &["explore"]);
    assert!(done.elapsed < Duration::from_secs(3), "{done:?}");
    let done = run_hostile(&["--dir", &grant, "--deadline", "500ms"], &["explore"]);
    assert!(done.elapsed < Duration::from_secs(3), "{done:?}");
}

/// `set-size` on a host file is a write of zeros once it is delivered.
#[test]
fn a_file_that_was_only_made_long_does_not_fill_the_host() {
    let dir = tempfile::tempdir().expect("directory");
    let grant = format!("{}::/", dir.path().display());
    let done = run_hostile(&["--dir", &grant, "--written-bytes", "1MiB"], &["size", "500000000"]);
    let blocks: u64 = fs::read_dir(dir.path())
        .expect("list")
        .map(|entry| entry.expect("entry").metadata().expect("stat").blocks() * 512)
        .sum();
    assert!(blocks <= 2 * MIB, "{blocks} bytes on the disk of the host, 1 MiB allowed; {done:?}");
}

/// Whatever a guest may name its files, they arrive, or the guest is told no: an entry that can never be delivered would stay for ever.
#[test]
fn every_name_that_is_taken_can_be_delivered() {
    for len in [200, 246, 250, 255] {
        let dir = tempfile::tempdir().expect("directory");
        let trial = Trial {
            dirs: vec![(dir.path().display().to_string(), "/".into(), false)],
            ..Trial::args(&["create", &len.to_string(), "n"])
        };
        let (report, _) = abuse(&Lab::new(), &hostile(), &trial);
        assert!(report.undelivered.is_none(), "{len} bytes: {:?}", report.undelivered.map(|error| error.reason));
        assert_eq!(fs::read_to_string(dir.path().join("n".repeat(len))).expect("the file"), "made");
    }
}

/// The same for directories deeper than a path of the host may be long.
#[test]
fn every_depth_that_is_taken_can_be_delivered() {
    let dir = tempfile::tempdir().expect("directory");
    let trial = Trial {
        dirs: vec![(dir.path().display().to_string(), "/".into(), false)],
        ..Trial::args(&["deep", "30", &"n".repeat(200)])
    };
    let (report, text) = abuse(&Lab::new(), &hostile(), &trial);
    assert!(report.undelivered.is_none(), "{text}: {}", report.undelivered.map_or(0, |error| error.reason.len()));
}

/// The name that a file is written under before it is moved to its place is not taken from anybody.
#[test]
fn a_file_of_the_host_with_an_unlucky_name_stays() {
    let dir = tempfile::tempdir().expect("directory");
    fs::write(dir.path().join("a.reel-tmp"), "mine").expect("write");
    let trial =
        Trial { dirs: vec![(dir.path().display().to_string(), "/".into(), false)], ..Trial::args(&["put", "5", "/a"]) };
    abuse(&Lab::new(), &hostile(), &trial);
    assert_eq!(fs::read_to_string(dir.path().join("a")).expect("a"), "5");
    assert_eq!(fs::read_to_string(dir.path().join("a.reel-tmp")).ok().as_deref(), Some("mine"));
}

#[test]
fn a_directory_of_two_hundred_thousand_names_can_be_listed() {
    let dir = tempfile::tempdir().expect("directory");
    let count = if std::env::var_os("REEL_LONG").is_some() { 200_000 } else { 60_000 };
    for index in 0..count {
        fs::File::create(dir.path().join(format!("a-name-of-some-length-{index}"))).expect("create");
    }
    let grant = format!("{}::/:ro", dir.path().display());
    let done = run_hostile(&["--dir", &grant], &["names", "0"]);
    assert_eq!((done.code, done.text().trim()), (0, count.to_string().as_str()), "{done:?}");
    assert!(done.peak_mib < 300, "{done:?}");
}

// Binaries.

#[test]
fn large_binaries_compile_in_bounded_time_or_are_refused() {
    let start = r#"(memory (export "memory") 1) (func (export "_start"))"#;
    let functions: String = (0..10_000)
        .map(|n| format!("(func (param i32) (result i32) (i32.add (local.get 0) (i32.const {n})))"))
        .collect();
    let long_variant = std::env::var_os("REEL_LONG").is_some();
    let size = |short: usize, long: usize| if long_variant { long } else { short };
    let nested = |n: usize, open: &str| format!("(func {} {})", open.repeat(n), ")".repeat(n));
    let long = format!(
        "(func (param i32) (result i32) (local.get 0) {})",
        "(i32.const 77) (i32.add)".repeat(size(50_000, 250_000))
    );
    let types: String = (0..1_000_000).map(|_| "(type (func))").collect();
    let imports: String = (0..size(4_000, 20_000))
        .map(|_| r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"#)
        .collect();
    let locals = "(func (local i64) ".to_owned() + &"(local i64)".repeat(49_000) + ")";
    for (name, text, refused) in [
        ("10,000 functions", format!("(module {start} {functions})"), false),
        ("20,000 nested blocks", format!("(module {start} {})", nested(20_000, "(block ")), false),
        ("thousands of nested loops", format!("(module {start} {})", nested(size(6_000, 20_000), "(loop ")), false),
        ("a long function", format!("(module {start} {long})"), false),
        ("a million types", format!("(module {types} {start})"), true),
        ("thousands of imports", format!("(module {imports} {start})"), false),
        ("49,000 locals", format!("(module {start} {locals})"), false),
    ] {
        let done = run_module(&module(&text), &[], &[]);
        println!(
            "{name}: {} in {:?}, {} MiB: {}",
            done.code,
            done.elapsed,
            done.peak_mib,
            done.stderr.lines().next().unwrap_or("")
        );
        assert!([0, 121].contains(&done.code) && (refused || done.code == 0), "{name}: {done:?}");
        assert!(done.elapsed < Duration::from_secs(25), "{name}: {done:?}");
        assert!(done.peak_mib < 2000, "{name}: {done:?}");
    }
}

/// Components in components, and many instances of one module.
#[test]
fn deep_and_wide_components_are_refused_or_run() {
    let deep = format!("{}{}", "(component ".repeat(90), ")".repeat(90));
    let wide = format!(
        r#"(component (core module $m {} (memory 1)) {})"#,
        "(memory 0)".repeat(90),
        "(core instance (instantiate $m))".repeat(2000)
    );
    for text in [deep, wide] {
        let done = run_module(&module(&text), &[], &[]);
        assert_eq!(done.code, 121, "{done:?}");
        assert!(done.elapsed < Duration::from_secs(10) && done.peak_mib < 500, "{done:?}");
    }
    let instances = component("(nop)").replace(
        "(core instance $main",
        &format!(
            "(core module $w {}) {} (core instance $main",
            "(memory 0)".repeat(90),
            "(core instance (instantiate $w))".repeat(900)
        ),
    );
    let done = run_module(&module(&instances), &[], &[]);
    println!("81,000 memories: {done:?}");
    assert!([0, 121, 122, 123].contains(&done.code), "{done:?}");
}

// Text.

#[test]
fn odd_text_in_arguments_and_environment_goes_through_unchanged() {
    let odd = "a\u{1b}[31m\u{202e}\n\t\u{7f}=;'\"\\ \u{1f4a5}";
    let done = run_hostile(
        &["--env", &format!("ODD={odd}"), "--env", "EMPTY=", "--env", "EQ=a=b=c"],
        &["env", "1", odd, "", "--", "-x"],
    );
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        done.text().trim(),
        format!("{:?} {:?}", [odd, "", "--", "-x"], [("ODD", odd), ("EMPTY", ""), ("EQ", "a=b=c")])
    );
}

/// Nothing that a guest names or prints reaches a terminal raw by way of Reel's own words.
#[test]
fn the_log_shows_no_control_characters() {
    let home = tempfile::tempdir().expect("directory");
    let named = r#"(module (memory (export "memory") 1) (func $"\1b]0;owned\07" (export "_start") unreachable))"#;
    fs::write(home.path().join("named.wasm"), module(named)).expect("write");
    let odd = "\u{1b}[31m\u{202e}\u{9b}odd";
    let mut outputs = Vec::new();
    let mut say = |command: &mut Command, raw: bool| {
        let output = command.output().expect("reel");
        outputs.push(output.stderr);
        if !raw {
            outputs.push(output.stdout);
        }
    };
    say(reel(home.path()).args(["run"]).arg(hostile_path()).args(["--", "bytes", "1", odd]), true);
    say(reel(home.path()).arg("run").arg(home.path().join("named.wasm")), true);
    // An argument that clap itself rejects is the user's own, and is left out here.
    for args in [
        &["log", "1"][..],
        &["log", "2"],
        &["show", "1@0"],
        &["show", "2@0"],
        &["runs"],
        &["fs", "ls", "main:/"],
        &["log", "1", "--json"],
        &["runs", "--json"],
        &["fs", "ls", "main:/\u{1b}[2Jnothing"],
    ] {
        say(reel(home.path()).args(args), false);
    }
    let imports = "(component (import \"a:b/c\" (func)))".to_owned();
    fs::write(home.path().join("\u{1b}[31m.wasm"), module(&imports)).expect("write");
    say(reel(home.path()).arg("run").arg(home.path().join("\u{1b}[31m.wasm")), false);
    say(reel(home.path()).arg("inspect").arg(home.path().join("\u{1b}[31m.wasm")), false);
    let foreign = r#"(module (import "\1b[31m" "\07\0d" (func)) (memory (export "memory") 1) (func (export "\1b[2J")) (func (export "_start")))"#;
    fs::write(home.path().join("foreign.wasm"), module(foreign)).expect("write");
    say(reel(home.path()).arg("run").arg(home.path().join("foreign.wasm")), false);
    say(reel(home.path()).arg("inspect").arg(home.path().join("foreign.wasm")), false);
    for output in outputs {
        let text = String::from_utf8(output).expect("what Reel says is UTF-8");
        let bad: Vec<char> =
            text.chars().filter(|c| (c.is_control() && *c != '\n') || ['\u{202e}', '\u{9b}'].contains(c)).collect();
        assert!(bad.is_empty(), "{bad:?} in {text:?}");
    }
}

// What the tests stand on.

/// A component of hand-written core code: `body` may use a timer and the local `$h`.
fn component(body: &str) -> String {
    format!(
        r#"(component
          (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type $p (sub resource)))
            (export "[method]pollable.ready" (func (param "self" (borrow $p)) (result bool)))
            (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
          (alias export $poll "pollable" (type $pollable))
          (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $outer))
            (export "pollable" (type $p (eq $outer)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
          (core module $libc (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
          (core instance $libc (instantiate $libc))
          (alias core export $libc "memory" (core memory $memory))
          (alias core export $libc "realloc" (core func $realloc))
          (core func $ready (canon lower (func $poll "[method]pollable.ready")))
          (core func $list (canon lower (func $poll "poll") (memory $memory) (realloc $realloc)))
          (core func $timer (canon lower (func $clock "subscribe-duration")))
          (core func $drop (canon resource.drop $pollable))
          (core module $m
            (import "h" "ready" (func $ready (param i32) (result i32)))
            (import "h" "list" (func $list (param i32 i32 i32)))
            (import "h" "timer" (func $timer (param i64) (result i32)))
            (import "h" "drop" (func $drop (param i32)))
            (func $poll-list (param i32 i32) (result i32) (call $list (local.get 0) (local.get 1) (i32.const 512)) (i32.const 0))
            (func (export "run") (result i32) (local $h i32) {body} (i32.const 0)))
          (core instance $main (instantiate $m (with "h" (instance
            (export "ready" (func $ready)) (export "list" (func $list)) (export "timer" (func $timer)) (export "drop" (func $drop))))))
          (func $run (result (result)) (canon lift (core func $main "run")))
          (instance $cli (export "run" (func $run)))
          (export "wasi:cli/run@0.2.0" (instance $cli)))"#
    )
}

/// The program under test, with a database below `home`.
fn reel(home: &Path) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/reel");
    assert!(path.is_file(), "{} is not built: cargo build --release", path.display());
    let mut command = Command::new(path);
    command.env("REEL_DB", home.join("db")).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn hostile_path() -> PathBuf {
    guest("hostile", Target::P2)
}

/// A `reel run` that is over.
struct Done {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
    peak_mib: u64,
    elapsed: Duration,
}

impl Done {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("UTF-8")
    }
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
        let Self { code, stdout, stderr, peak_mib, elapsed } = self;
        write!(
            f,
            "exit {code} after {elapsed:?}, at most {peak_mib} MiB; {:?}; {:?}",
            start(stdout),
            start(stderr.as_bytes())
        )
    }
}

fn run_hostile(flags: &[&str], args: &[&str]) -> Done {
    measured(&hostile_path(), flags, args)
}

fn run_module(bytes: &[u8], flags: &[&str], args: &[&str]) -> Done {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("guest.wasm");
    fs::write(&path, bytes).expect("write");
    measured(&path, flags, args)
}

/// Runs in a process of its own and watches its memory; where there is a run, its replay must agree and the database be sound.
fn measured(program: &Path, flags: &[&str], args: &[&str]) -> Done {
    let home = tempfile::tempdir().expect("directory");
    let (out, err) = (home.path().join("out"), home.path().join("err"));
    let mut command = reel(home.path());
    command.args(["run", "-q"]).args(flags).arg(program).arg("--").args(args);
    command.stdout(fs::File::create(&out).expect("file")).stderr(fs::File::create(&err).expect("file"));
    let begun = Instant::now();
    let mut child = command.spawn().expect("reel");
    let mut peak_kib = 0;
    let code = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status.code().unwrap_or(-1);
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak_kib = peak_kib.max(peak.unwrap_or(0u64));
        if begun.elapsed() > Duration::from_secs(60) {
            kill(child.id(), "KILL");
        }
        std::thread::sleep(Duration::from_millis(4));
    };
    let elapsed = begun.elapsed();
    if code != 121 && code >= 0 {
        let replayed = reel(home.path()).args(["replay", "last"]).output().expect("replay");
        assert!(replayed.status.success(), "replay after {code}: {}", String::from_utf8_lossy(&replayed.stderr));
        let sound = reel(home.path()).arg("verify").output().expect("verify");
        assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stdout));
    }
    let stderr = String::from_utf8_lossy(&fs::read(err).expect("read")).into_owned();
    Done { code, stdout: fs::read(out).expect("read"), stderr, peak_mib: peak_kib >> 10, elapsed }
}

fn kill(process: u32, signal: &str) {
    Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status().expect("kill");
}

/// The exit code, if the process ends in time.
fn wait(child: &mut std::process::Child, time: Duration) -> Option<i32> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        if let Some(status) = child.try_wait().expect("wait") {
            return Some(status.code().unwrap_or(-1));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// The directory of traps is what it says.
#[test]
fn the_traps_are_set() {
    let (_outside, dir) = traps();
    assert!(fs::symlink_metadata(dir.path().join("pipe")).expect("pipe").file_type().is_fifo());
    assert!(fs::read_to_string(dir.path().join("secret")).expect("a link out").contains("the secret"));
}
