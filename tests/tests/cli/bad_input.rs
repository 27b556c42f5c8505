//! Whatever is given: a clear error, nothing lost, no panic.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use reel_tests::reel::Desk;

use crate::guests;

fn with_hello() -> Desk {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    desk
}

#[test]
fn what_is_no_guest_is_not_run() {
    let desk = Desk::new();
    let wasm = wat::parse_str(guests::hello()).expect("guest");
    desk.file("text.wasm", "hello, I am text");
    desk.file("script.wasm", "#!/bin/sh\n");
    desk.file("empty.wasm", "");
    desk.file("short.wasm", b"\0asm");
    desk.file("cut.wasm", &wasm[..wasm.len() / 2]);
    desk.file("future.wasm", b"\0asm\x0e\0\x01\0");
    desk.file("garbage.wasm", [&wasm[..8], &[0xff; 64]].concat());
    std::fs::create_dir(desk.path().join("dir")).expect("directory");
    for (name, words) in [
        ("nothing.wasm", "error: cannot read nothing.wasm: No such file or directory"),
        ("text.wasm", "error: text.wasm: not a WebAssembly binary: it begins with \"hello, I\""),
        ("script.wasm", "error: script.wasm: not a WebAssembly binary: it begins with \"#!\", it is a script"),
        ("empty.wasm", "error: empty.wasm: not a WebAssembly binary: it begins with nothing, the file is empty"),
        ("short.wasm", "error: short.wasm: not a valid WebAssembly binary: it ends within its header"),
        ("cut.wasm", "error: not a valid WebAssembly binary: "),
        ("future.wasm", "error: future.wasm: WebAssembly of a version that this build of Reel does not know"),
        ("garbage.wasm", "error: not a valid WebAssembly binary: "),
        ("dir", "error: dir is a directory without a Cargo.toml"),
        ("/dev/null", "error: cannot read /dev/null: not a regular file"),
    ] {
        let said = desk.reel(&["run", name]).fails(121);
        assert!(said.starts_with(words), "{name}: {said}");
        if name != "dir" {
            let said = desk.reel(&["inspect", name]).fails(121);
            assert!(said.starts_with(words), "{name}: {said}");
        }
    }
    assert!(desk.reel(&["run", "cut.wasm"]).err.contains("\n  at cut.wasm\n"));
}

#[test]
fn what_the_host_does_not_have_is_named() {
    let desk = Desk::new();
    desk.guest("alien.wasm", &guests::wants_the_impossible());
    let said = desk.reel(&["run", "alien.wasm"]).fails(121);
    assert!(said.starts_with("error: it imports what this host does not have:\n  env.launch\\x1b[2J\n"), "{said}");
    assert!(said.contains("\nhint: `reel inspect` lists all imports"), "{said}");
    desk.guest("library.wasm", "(component)");
    let said = desk.reel(&["run", "library.wasm"]).fails(121);
    assert!(said.contains("exports no wasi:cli/run"), "{said}");
    let runs = desk.reel(&["runs"]).well();
    assert_eq!(runs, "");
}

#[test]
fn malformed_arguments() {
    let desk = with_hello();
    let run = |more: &[&str]| desk.reel(&[&["run", "hello.wasm"], more].concat()).fails(2);
    for (args, words) in [
        (&["--dir", "data"][..], "there is no `::`"),
        (&["--dir", "::/x"], "the host directory is missing"),
        (&["--dir", ".::"], "the guest's path is missing"),
        (&["--env", "=x"], "the variable's name is missing"),
        (&["--env", "SURELY_NOT_SET_ANYWHERE"], "it is not set here"),
        (&["--memory", "lots"], "\"lots\" is no size"),
        (&["--memory", "-1"], ""),
        (&["--deadline", "soon"], "\"soon\" is no span of time"),
        (&["--host-calls", "1e6"], "\"1e6\" is no number"),
        (&["--stack", "1GiB"], "from 16KiB to 64MiB are possible"),
        (&["--space", "no space"], "is no space name"),
        (&["--space", "../up"], "is no space name"),
        (&["--wait", "x"], "\"x\" is no span of time"),
        (&["--bin", "x"], "is no directory"),
        (&["--dir", ".::/a", "--dir", "..::/a"], "two directories are laid at the guest's /a"),
        (&["--frobnicate"], "unexpected argument '--frobnicate'"),
        (&["stray"], "unexpected argument 'stray'"),
    ] {
        let said = run(args);
        assert!(said.starts_with("error: ") && said.contains(words), "{args:?}: {said}");
    }
    for args in [
        &["log", "x"][..],
        &["log", "0"],
        &["show", "1"],
        &["show", "1@x"],
        &["replay"],
        &["fs", "ls", "main"],
        &["frob"],
    ] {
        let said = desk.reel(args).fails(2);
        assert!(said.starts_with("error: "), "{args:?}: {said}");
    }
    for args in [
        &["runs", "--since", "once"][..],
        &["log", "1", "--family", "fz"],
        &["fs", "ls", "a b:x"],
        &["fs", "ls", "main@1.5:"],
    ] {
        assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
        let said = desk.reel(args).fails(2);
        assert!(said.starts_with("error: "), "{args:?}: {said}");
    }
    assert_eq!(desk.reel(&["fs", "import", ".", "main@1:x"]).code, Some(2));
}

#[test]
fn directories_that_cannot_be_granted() {
    let desk = with_hello();
    desk.file("file", "x");
    let fails = |dir: &str| desk.reel(&["run", "hello.wasm", "--dir", dir]).fails(121);
    assert!(fails("missing::/d").contains("missing: No such file or directory"));
    assert!(fails("file::/d").contains("file: Not a directory"));
    let locked = desk.path().join("locked");
    std::fs::create_dir(&locked).expect("directory");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).expect("mode");
    if std::fs::read_dir(&locked).is_err() {
        assert!(fails("locked::/d").contains("locked: "));
    }
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).expect("mode");
    if std::fs::write(locked.join("x"), "").is_err() {
        assert!(fails("locked::/d").contains("cannot be written to\nhint: `:ro` behind it"));
        assert_eq!(desk.reel(&["run", "hello.wasm", "--dir", "locked::/d:ro"]).code, Some(0));
    }
}

#[test]
fn arguments_that_are_no_text() {
    let desk = with_hello();
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    for args in [&["run", "hello.wasm", "--"][..], &["log"], &["fs", "ls"]] {
        let output = desk.command(args).arg(odd).output().expect("reel starts");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    std::fs::copy(desk.path().join("hello.wasm"), desk.path().join(odd)).expect("copied");
    let output = desk.command(&["run"]).arg(odd).output().expect("reel starts");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_not_there() {
    let desk = with_hello();
    for args in [
        &["runs"][..],
        &["log", "last"],
        &["show", "1@0"],
        &["replay", "1"],
        &["resume", "1"],
        &["verify"],
        &["spaces"],
        &["fs", "ls", "main:"],
        &["fs", "export", "main:", "out"],
        &["history", "main"],
        &["diff", "main@1"],
        &["rollback", "main", "--to", "1"],
        &["tag"],
        &["kv", "ls", "main"],
    ] {
        desk.reel(args).is(
            120,
            "",
            "error: no database in .reel\nhint: the first `reel run` makes one; `--db DIR` or REEL_DB name another place\n",
        );
    }
    assert!(!desk.path().join(".reel").exists());
    assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
    for (args, words) in [
        (&["log", "7"][..], "error: there is no run 7 in this database\nhint: `reel runs` lists them\n"),
        (&["replay", "7"], "error: there is no run 7 in this database\nhint: `reel runs` lists them\n"),
        (&["show", "1@999"], "events, there is no 1@999\n"),
        (&["log", "1", "--from", "999"], "events, there is no 1@999\n"),
        (&["fs", "ls", "other:"], "error: there is no space other in this database\nhint: `reel spaces` lists them\n"),
        (&["fs", "ls", "main@5:"], "error: space main has versions 0 to 0, there is no 5\n"),
        (&["fs", "cat", "main:a/b"], "error: main:/a/b: no such file or directory\n"),
        (&["fs", "cat", "main:"], "error: main:/: a directory\nhint: to list it: reel fs ls main:/\n"),
        (&["fs", "ls", "main:../x"], "error: main:/../x: leads out of the space\n"),
    ] {
        let said = desk.reel(args).fails(66);
        assert!(said.ends_with(words), "{args:?}: {said}");
    }
    assert!(!desk.path().join("out").exists());
}

#[test]
fn databases_that_do_not_open() {
    let desk = with_hello();
    desk.file("file", "x");
    for args in [
        &["runs", "--db", "file"][..],
        &["run", "hello.wasm", "--db", "file"],
        &["run", "hello.wasm", "--db", "file/below"],
    ] {
        let said = desk.reel(args);
        assert_eq!((said.code, said.out.as_str()), (Some(120), ""), "{args:?}: {}", said.err);
        assert!(said.err.starts_with("error: "), "{}", said.err);
    }
    assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
    let log = desk.path().join(".reel/log/00000001.redb");
    let good = std::fs::read(&log).expect("log");
    for bad in [&b""[..], b"this is no database at all", &good[..good.len() / 2]] {
        std::fs::write(&log, bad).expect("written");
        let said = desk.reel(&["runs"]);
        assert_eq!(said.code, Some(120), "{} bytes: {}{}", bad.len(), said.out, said.err);
        assert!(said.err.starts_with("error: "), "{}", said.err);
        assert_eq!(desk.reel(&["verify"]).code, Some(12));
        assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(120));
    }
    std::fs::write(&log, good).expect("written");
    assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
    std::fs::remove_dir_all(desk.path().join(".reel/cache")).expect("removed");
    std::fs::remove_file(desk.path().join(".reel/state.redb")).expect("removed");
    assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
    assert_eq!(desk.reel(&["runs"]).well().lines().count(), 4);
}

#[test]
fn the_environment_names_the_database() {
    let desk = with_hello();
    let output = desk.command(&["run", "hello.wasm"]).env("REEL_DB", "elsewhere").output().expect("reel starts");
    assert!(output.status.success());
    assert!(desk.path().join("elsewhere/log").is_dir() && !desk.path().join(".reel").exists());
    let mode = |path: &str| std::fs::metadata(desk.path().join(path)).expect("there").permissions().mode() & 0o777;
    assert_eq!(
        (mode("elsewhere"), mode("elsewhere/log/00000001.redb"), mode("elsewhere/cache")),
        (0o700, 0o600, 0o700)
    );
}
