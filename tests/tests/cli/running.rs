//! `reel run`, `reel replay`, `reel resume`.

use reel_tests::reel::{Desk, Said, end};

use crate::guests;

#[test]
fn a_good_run_prints_what_the_guest_prints() {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    desk.reel(&["run", "hello.wasm"]).is(0, "hello\n", "");
    let said = desk.reel(&["replay", "last"]).well();
    assert!(said.starts_with("run 1: same: "), "{said}");
    desk.reel(&["replay", "1", "--show-output"]).out.eq("hello\n").then_some(()).expect("the output again");
    let json = desk.reel(&["replay", "1", "--json"]).well();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((json["verdict"].as_str(), json["run"].as_u64()), (Some("same"), Some(1)));
}

#[test]
fn the_exit_code_of_the_guest_is_passed_on() {
    let desk = Desk::new();
    for (code, seen) in [(0, 0), (1, 1), (3, 3), (255, 255)] {
        desk.guest("exit.wasm", &guests::exits(code));
        let said = desk.reel(&["run", "exit.wasm", "-q"]);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(seen), "", ""), "exit code {code}");
    }
    let said = desk.reel(&["run", "exit.wasm"]);
    said.is(255, "", "run 5: exit 255; rolled back. reel log 5 | reel replay 5\n");
}

#[test]
fn a_trap_is_told_with_its_frames_and_rolled_back() {
    let desk = Desk::new();
    desk.guest("trap.wasm", &guests::traps());
    let said = desk.reel(&["run", "trap.wasm", "--db", "a b"]);
    assert_eq!((said.code, said.out.as_str()), (Some(123), "before\n"));
    let mut lines = said.err.lines();
    assert_eq!(
        lines.next(),
        Some(
            "run 1: trap: wasm `unreachable` instruction executed; rolled back. reel log 1 --db 'a b' | reel replay 1 --db 'a b'"
        )
    );
    assert!(lines.next().is_some_and(|line| line.starts_with("    in ")), "{}", said.err);
    assert!(desk.reel(&["replay", "1", "--db", "a b"]).well().contains("same"));
}

#[test]
fn writes_are_committed_or_rolled_back() {
    let desk = Desk::new();
    desk.guest("good.wasm", &guests::writes("a.txt", 3, ""));
    desk.guest("bad.wasm", &guests::writes("b.txt", 3, "(call $proc_exit (i32.const 4))"));
    desk.reel(&["run", "good.wasm"]).is(0, "", "");
    assert_eq!(desk.reel(&["run", "bad.wasm", "--quiet"]).code, Some(4));
    assert_eq!(desk.reel(&["fs", "ls", "main:"]).well(), "a.txt\n");
    assert_eq!(desk.reel(&["run", "bad.wasm", "--quiet", "--commit-on-failure"]).code, Some(4));
    assert_eq!(desk.reel(&["fs", "ls", "main:"]).well(), "a.txt\nb.txt\n");
    assert_eq!(desk.reel(&["fs", "ls", "main@1:"]).well(), "a.txt\n");
    assert_eq!(desk.reel(&["fs", "cat", "main:a.txt"]).well(), "xxx");
    assert_eq!(desk.reel(&["run", "good.wasm", "--space", "other"]).well(), "");
    assert_eq!(desk.reel(&["fs", "ls", "other:/"]).well(), "a.txt\n");
}

#[test]
fn host_directories_get_what_was_committed_and_nothing_else() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("data")).expect("directory");
    desk.guest("good.wasm", &guests::writes("a.txt", 3, ""));
    desk.guest("bad.wasm", &guests::writes("b.txt", 3, "unreachable"));
    desk.reel(&["run", "good.wasm", "--dir", "data::/"]).is(0, "", "");
    assert_eq!(desk.reel(&["run", "bad.wasm", "--dir", "data::/", "-q"]).code, Some(123));
    assert_eq!(desk.bytes("data/a.txt"), b"xxx");
    assert!(!desk.path().join("data/b.txt").exists());
    assert_eq!(desk.reel(&["run", "good.wasm", "--dir", "data::/:ro", "-q"]).code, Some(9));
    std::fs::remove_dir_all(desk.path().join("data")).expect("removed");
    for run in ["1", "2", "3"] {
        assert!(desk.reel(&["replay", run]).well().contains("same"));
    }
}

#[test]
fn what_could_not_be_delivered_arrives_with_the_next_run() {
    let desk = Desk::new();
    let data = desk.path().join("data");
    std::fs::create_dir(&data).expect("directory");
    desk.guest("hello.wasm", &guests::hello());
    desk.guest("slow.wasm", &guests::writes("a.txt", 3, "(call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (drop) (local.set $left (i64.const 2000000000)) (loop $more (local.set $left (i64.sub (local.get $left) (i64.const 1))) (br_if $more (i64.ne (local.get $left) (i64.const 0))))"));
    let mut child = desk.spawn(&mut desk.command(&["run", "slow.wasm", "--dir", "data::/"]));
    std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut [0]).expect("it has written");
    std::fs::rename(&data, desk.path().join("gone")).expect("renamed");
    let said = end(child);
    assert_eq!(said.code, Some(125), "{}", said.err);
    assert!(said.err.starts_with("error: the writes of commit 1 to "), "{}", said.err);
    let said = desk.reel(&["run", "hello.wasm"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "hello\n"));
    assert!(said.err.starts_with("warning: the writes of commit 1 to "), "{}", said.err);
    std::fs::rename(desk.path().join("gone"), &data).expect("renamed");
    desk.reel(&["run", "hello.wasm"]).is(0, "hello\n", "");
    assert_eq!(desk.bytes("data/a.txt"), b"xxx");
    desk.reel(&["run", "hello.wasm"]).is(0, "hello\n", "");
}

#[test]
fn limits_end_a_run_and_name_themselves() {
    let desk = Desk::new();
    desk.guest("spin.wasm", &guests::spins());
    desk.guest("flood.wasm", &guests::floods(100));
    desk.guest("grow.wasm", &guests::grows(64));
    let said = desk.reel(&["run", "spin.wasm", "--deadline", "200ms"]);
    said.is(124, "spinning\n", "run 1: limit deadline of 200 ms reached; rolled back. reel log 1 | reel replay 1\n");
    let said = desk.reel(&["run", "flood.wasm", "--written-bytes", "100KiB"]);
    assert_eq!(said.code, Some(122), "{}", said.err);
    assert!(said.err.starts_with("run 2: limit written-bytes of 102400 bytes reached; rolled back."), "{}", said.err);
    assert_eq!(desk.reel(&["run", "flood.wasm", "--host-calls", "20", "-q"]).code, Some(122));
    assert_eq!(desk.reel(&["run", "flood.wasm", "--logged-bytes", "70k", "-q"]).code, Some(122));
    desk.reel(&["run", "grow.wasm"]).is(0, "grown\n", "");
    for run in ["1", "2", "3", "4", "5"] {
        assert!(desk.reel(&["replay", run]).well().contains("same"), "run {run}");
    }
    let said = desk.reel(&["show", "2@0", "--json"]).well();
    assert!(said.contains(r#""written-bytes":"100KiB""#), "{said}");
}

#[test]
fn a_guest_has_the_environment_that_it_is_given() {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    let mut command =
        desk.command(&["run", "hello.wasm", "--env", "A=1", "--env", "B", "--env", "C=x=y", "--", "one", "--two"]);
    let output = command.env("B", "two").env("SECRET", "s3cret").output().expect("reel starts");
    assert!(output.status.success());
    let begin = desk.reel(&["show", "1@0", "--json"]).well();
    let begin: serde_json::Value = serde_json::from_str(&begin).expect("JSON");
    assert_eq!(begin["request"]["env"], serde_json::json!(["A=1", "B=two", "C=x=y"]));
    assert_eq!(begin["request"]["args"], serde_json::json!(["hello.wasm", "one", "--two"]));
}

#[test]
fn standard_input_reaches_the_guest_and_the_log() {
    let desk = Desk::new();
    desk.guest("echo.wasm", &guests::echoes());
    let input = "line\n".repeat(50_000);
    let said = desk.reel_reading(&["run", "echo.wasm"], input.as_bytes());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert_eq!(said.out, input);
    let again = desk.reel(&["replay", "1", "--show-output"]);
    assert_eq!((again.code, again.out.len()), (Some(0), input.len()));
}

#[test]
fn another_program_diverges_with_a_page() {
    let desk = Desk::new();
    desk.guest("one.wasm", &guests::looks(true));
    desk.guest("two.wasm", &guests::looks(false));
    desk.reel(&["run", "one.wasm"]).is(0, "done\n", "");
    assert_eq!(desk.reel(&["replay", "1", "--with", "one.wasm"]).code, Some(0));
    let said = desk.reel(&["replay", "1", "--with", "two.wasm"]);
    assert_eq!((said.code, said.err.as_str()), (Some(10), ""));
    assert!(said.out.starts_with("diverged at 1@"), "{}", said.out);
    for part in [
        "  before   1@",
        "  the log  1@",
        "  now      1@",
        "  after    1@",
        "clock.",
        "random.",
        "\nhint: another component",
    ] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    let json = desk.reel(&["replay", "1", "--with", "two.wasm", "--json"]);
    assert_eq!(json.code, Some(10));
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(json["verdict"], "diverged");
    let at = json["divergence"]["seq"].as_u64().expect("a place");
    let before = json["divergence"]["before"].as_array().map(Vec::len);
    assert_eq!(before, Some(at.min(5) as usize));
    assert_eq!(json["divergence"]["expected"]["call"], "clock.wall");
    assert_ne!(json["divergence"]["actual"]["call"], "clock.wall");
}

#[test]
fn a_replay_stops_where_it_is_told_to() {
    let desk = Desk::new();
    desk.guest("one.wasm", &guests::looks(true));
    assert_eq!(desk.reel(&["run", "one.wasm"]).code, Some(0));
    let said = desk.reel(&["replay", "1", "--until", "3"]).well();
    assert!(said.starts_with("run 1: same up to 1@3: 3 events; "), "{said}");
    let said = desk.reel(&["replay", "1", "--until", "999"]).fails(66);
    assert!(said.contains("events, it cannot be replayed until 999"), "{said}");
}

#[test]
fn what_was_cut_off_is_resumed() {
    let desk = Desk::new();
    desk.guest("ticks.wasm", &guests::ticks(8, 150));
    let mut child = desk.spawn(&mut desk.command(&["run", "ticks.wasm"]));
    std::thread::sleep(std::time::Duration::from_millis(900));
    child.kill().expect("killed");
    child.wait().expect("gone");
    let runs = desk.reel(&["runs"]).well();
    assert!(runs.lines().nth(1).is_some_and(|line| line.ends_with("cut off")), "{runs}");
    let replay = desk.reel(&["replay", "1"]).well();
    assert!(replay.contains("cut off"), "{replay}");
    let said = desk.reel(&["resume", "1"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let ticks = said.out.lines().count();
    assert!((1..8).contains(&ticks), "{ticks} more");
    assert!(desk.reel(&["replay", "1"]).well().starts_with("run 1: same: "));
    assert_eq!(desk.reel(&["log", "1", "--family", "stdio.write"]).well().lines().count(), 8);
    desk.reel(&["resume", "1"]).is(
        11,
        "",
        "error: run 1 is over (exit 0); only a run that was cut off can be resumed\nhint: to see it again: reel replay 1\n",
    );
}

#[test]
fn a_cargo_package_is_built_and_run() {
    let desk = Desk::new();
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    desk.file("app/Cargo.toml", manifest);
    desk.file(
        "app/src/main.rs",
        "fn main() { println!(\"built and run: {:?}\", std::env::args().skip(1).collect::<Vec<_>>()); }",
    );
    let said = desk.reel(&["run", "app", "-q", "--", "x"]);
    said.is(0, "built and run: [\"x\"]\n", "");
    desk.file("app/src/bin/second.rs", "fn main() { println!(\"second\"); }");
    let said = desk.reel(&["run", "app", "-q"]).fails(2);
    assert!(said.contains("several programs: app, second\nhint: choose one: --bin app"), "{said}");
    desk.reel(&["run", "app", "-q", "--bin", "second"]).is(0, "second\n", "");
    desk.file("app/src/main.rs", "fn main() { oops }");
    let said = desk.reel(&["run", "app", "-q", "--bin", "app"]).fails(121);
    assert!(said.contains("cannot find value `oops`") && said.contains("error: `cargo build` failed in app"), "{said}");
}

#[test]
fn without_a_toolchain_nothing_is_built() {
    use std::os::unix::fs::PermissionsExt;

    let desk = Desk::new();
    desk.file("app/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n");
    let run = |path: &str| -> Said {
        let mut command = desk.command(&["run", "app"]);
        command.env("PATH", path).env_remove("CARGO").output().expect("reel starts").into()
    };
    let said = run("/nowhere").fails(121);
    assert!(said.starts_with("error: cannot build app: there is no `cargo` here\nhint: install Rust"), "{said}");
    // A toolchain without the target.
    for (name, script) in
        [("cargo", "#!/bin/sh\necho no core >&2\nexit 101\n"), ("rustc", "#!/bin/sh\necho /nowhere\n")]
    {
        let path = desk.file(&format!("bin/{name}"), script);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let bin = desk.path().join("bin");
    let said = run(&format!("{}:/bin:/usr/bin", bin.display())).fails(121);
    assert_eq!(
        said,
        "no core\nerror: `cargo build` failed in app\nhint: the target is not installed: rustup target add wasm32-wasip2\n"
    );
}
