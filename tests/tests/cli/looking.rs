//! Commands that look at what happened.

use reel_tests::reel::Desk;
use serde_json::Value;

use crate::guests;

/// Times and durations become letters, so that the rest can be compared.
fn stable(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | ':' | 'T' | '.')).unwrap_or(rest.len());
        let word = &rest[..end];
        let is_time =
            word.len() >= 8 && (word.contains('T') || word.matches('-').count() == 2 || word.matches(':').count() == 2);
        out.push_str(if is_time { "TIME" } else { word });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn runs_newest_first() {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    desk.guest("dir/exit.wasm", &guests::exits(3));
    desk.guest("write.wasm", &guests::writes("a", 1, ""));
    assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
    assert_eq!(desk.reel(&["run", "dir/exit.wasm", "--space", "b"]).code, Some(3));
    assert_eq!(desk.reel(&["run", "write.wasm"]).code, Some(0));
    let runs = stable(&desk.reel(&["runs"]).well());
    let lines: Vec<Vec<&str>> = runs.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["RUN", "BEGAN", "(UTC)", "PROGRAM", "SPACE", "EVENTS", "OUTCOME"]);
    let cells = |line: &[&str]| [line[0], line[3], line[4], line[6], line[7], line[8]].join(" ");
    assert_eq!(cells(&lines[1]), "3 write.wasm main@1 exit 0 committed");
    assert_eq!(cells(&lines[2]), "2 exit.wasm b@0 exit 3 aborted");
    assert_eq!(cells(&lines[3]), "1 hello.wasm main@0 exit 0 committed");

    let count = |args: &[&str]| desk.reel(args).well().lines().count();
    assert_eq!(count(&["runs", "--failed"]), 2);
    assert_eq!(count(&["runs", "--space", "main"]), 3);
    assert_eq!(count(&["runs", "--limit", "1"]), 2);
    assert_eq!(count(&["runs", "--since", "1h"]), 4);
    assert_eq!(count(&["runs", "--since", "2099-01-01"]), 0);
    let json = json_lines(&desk.reel(&["runs", "--json"]).well());
    assert_eq!(json.len(), 3);
    assert_eq!((json[1]["state"].as_str(), json[1]["exit"].as_u64()), (Some("aborted"), Some(3)));
    assert_eq!((json[0]["version"].as_u64(), json[0]["reads"].as_u64()), (Some(1), Some(0)));
}

#[test]
fn the_log_of_a_run() {
    let desk = Desk::new();
    desk.guest("write.wasm", &guests::writes("a.txt", 100, ""));
    assert_eq!(desk.reel(&["run", "write.wasm"]).code, Some(0));
    let log = stable(&desk.reel(&["log", "last"]).well());
    let first = log.lines().next().expect("a line");
    assert_eq!(first, r#"1@0   run.begin          program="write.wasm" args=["write.wasm"] space=main@0"#);
    assert!(log.contains("fs.open            dir=#3 path=\"a.txt\" follow=false how=create+truncate flags="), "{log}");
    assert!(log.contains("bytes=<100 bytes "), "{log}");
    assert!(
        log.lines().last().is_some_and(|line| line.contains("run.end            outcome=\"exit 0\" memory=")),
        "{log}"
    );
    let only = desk.reel(&["log", "1", "--family", "fs,run.end"]).well();
    assert!(only.lines().all(|line| line.contains("  fs.") || line.contains("  run.end")), "{only}");
    let part = desk.reel(&["log", "1", "--from", "2", "--to", "4"]).well();
    assert_eq!(
        part.lines().map(|line| line.split(' ').next().unwrap_or("")).collect::<Vec<_>>(),
        ["1@2", "1@3", "1@4"]
    );
    let json = json_lines(&desk.reel(&["log", "1", "--json"]).well());
    assert_eq!(json.len(), log.lines().count());
    assert_eq!(
        (json[0]["run"].as_u64(), json[0]["seq"].as_u64(), json[0]["call"].as_str()),
        (Some(1), Some(0), Some("run.begin"))
    );
    let open = json.iter().find(|event| event["call"] == "fs.open").expect("an open");
    assert_eq!((open["class"].as_str(), open["request"]["dir"].as_u64()), (Some("stage"), Some(3)));
    desk.reel(&["log", "1", "--follow"]).well();
}

#[test]
fn no_control_character_of_a_guest_reaches_a_terminal() {
    let desk = Desk::new();
    let nasty = "\x1b[31mred\x1b]0;title\u{7} \u{9b}31m \u{202e}";
    let wat = guests::prints(1, nasty, "");
    desk.guest("nasty.wasm", &wat);
    assert_eq!(desk.reel(&["run", "nasty.wasm", "--", nasty]).out, nasty);
    let is_safe = |text: &str| text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}'));
    for args in
        [&["log", "1"][..], &["log", "1", "--json"], &["show", "1@0"], &["show", "1@0", "--json"], &["runs", "--json"]]
    {
        let said = desk.reel(args).well();
        assert!(is_safe(&said), "{args:?}: {said}");
        assert!(args[0] == "runs" || said.contains("31m"), "{args:?}: {said}");
    }
    let at = json_lines(&desk.reel(&["log", "1", "--family", "stdio.write", "--json"]).well())[0]["seq"].to_string();
    let shown = desk.reel(&["show", &format!("1@{at}")]).well();
    assert!(is_safe(&shown) && shown.contains("1b 5b 33 31 6d"), "{shown}");
    assert_eq!(desk.reel(&["show", &format!("1@{at}"), "--raw"]).well(), nasty);
}

#[test]
fn one_event_with_all_its_bytes() {
    let desk = Desk::new();
    desk.guest("write.wasm", &guests::writes("a.txt", 100, ""));
    assert_eq!(desk.reel(&["run", "write.wasm"]).code, Some(0));
    let log = json_lines(&desk.reel(&["log", "1", "--json"]).well());
    let write = log.iter().find(|event| event["request"]["bytes"]["digest"].is_string()).expect("a digest");
    let event = format!("1@{}", write["seq"]);
    let shown = desk.reel(&["show", &event]).well();
    assert!(shown.contains("100 bytes\n"), "{shown}");
    assert!(
        shown.contains("00000000  78 78 78 78 78 78 78 78  78 78 78 78 78 78 78 78  |xxxxxxxxxxxxxxxx|"),
        "{shown}"
    );
    assert!(shown.contains("\n    *\n    00000060  78 78 78 78              "), "{shown}");
    assert_eq!(desk.reel(&["show", &event, "--raw"]).well(), "x".repeat(100));
    assert!(desk.reel(&["show", &event, "--json"]).well().contains(&format!("\"text\":\"{}\"", "x".repeat(100))));
    let begin = desk.reel(&["show", "1@0"]).well();
    for part in ["program            \"write.wasm\"", "space              main@0", "memory             1GiB"] {
        assert!(begin.contains(part), "{part} in {begin}");
    }
    desk.reel(&["show", "1@0", "--raw"]).is(66, "", "error: 1@0 (run.begin) has no bytes\n");
}

#[test]
fn spaces_and_their_files() {
    let desk = Desk::new();
    desk.guest("a.wasm", &guests::writes("a.txt", 3, ""));
    desk.guest("b.wasm", &guests::writes("b.txt", 40_000, ""));
    for args in [&["run", "a.wasm"][..], &["run", "b.wasm"], &["run", "a.wasm", "--space", "two"]] {
        assert_eq!(desk.reel(args).code, Some(0));
    }
    let spaces = stable(&desk.reel(&["spaces"]).well());
    let lines: Vec<Vec<&str>> = spaces.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["SPACE", "VERSION", "CHANGED", "(UTC)", "BY", "FORK", "OF", "FILES", "KEYS"]);
    assert_eq!(lines[1], ["main", "2", "TIME", "TIME", "run", "2", "2", "0"]);
    assert_eq!(lines[2], ["two", "1", "TIME", "TIME", "run", "3", "1", "0"]);
    assert_eq!(json_lines(&desk.reel(&["spaces", "--json"]).well())[0]["version"].as_u64(), Some(2));

    let long = stable(&desk.reel(&["fs", "ls", "-l", "main:"]).well());
    assert_eq!(long, "file             3  TIME TIME  a.txt\nfile         40000  TIME TIME  b.txt\n");
    assert_eq!(desk.reel(&["fs", "ls", "main@1:/"]).well(), "a.txt\n");
    assert_eq!(desk.reel(&["fs", "ls", "main@0:/"]).well(), "");
    assert_eq!(desk.reel(&["fs", "ls", "main:b.txt"]).well(), "b.txt\n");
    assert_eq!(json_lines(&desk.reel(&["fs", "ls", "--json", "main:"]).well())[1]["size"].as_u64(), Some(40_000));
    assert_eq!(desk.reel(&["fs", "cat", "main:/a.txt", "main:b.txt"]).well().len(), 40_003);
}

#[test]
fn files_go_in_and_out() {
    let desk = Desk::new();
    let big: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    desk.file("in/a.txt", "hi\n");
    desk.file("in/sub/deep/big", &big);
    std::os::unix::fs::symlink("a.txt", desk.path().join("in/link")).expect("link");
    std::os::unix::fs::symlink("/etc", desk.path().join("in/out")).expect("link");
    let said = desk.reel(&["fs", "import", "in", "main:x"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{}", said.err);
    assert_eq!(
        said.err,
        "warning: left out out: no file, no directory, or a link that leads out\nrun 1: 3 files, 293.0 KiB; committed main@1\n"
    );
    assert_eq!(
        desk.reel(&["fs", "ls", "-R", "main:"]).well(),
        "x/\nx/a.txt\nx/link\nx/sub/\nx/sub/deep/\nx/sub/deep/big\n"
    );
    assert!(desk.reel(&["fs", "ls", "-l", "main:x"]).well().contains("  link -> a.txt\n"));
    desk.file("in/a.txt", "new\n");
    assert_eq!(desk.reel(&["fs", "import", "in", "main:x"]).code, Some(0));
    assert_eq!(desk.reel(&["fs", "cat", "main:x/link"]).well(), "new\n");
    assert_eq!(desk.reel(&["fs", "cat", "main@1:x/link"]).well(), "hi\n");

    let said = desk.reel(&["fs", "export", "main@1:x", "new/out"]);
    said.is(0, "", "3 files, 293.0 KiB written to new/out\n".replace("3 files", "2 files").as_str());
    assert_eq!(desk.bytes("new/out/a.txt"), b"hi\n");
    assert_eq!(desk.bytes("new/out/sub/deep/big"), big);
    assert_eq!(std::fs::read_link(desk.path().join("new/out/link")).expect("link").to_str(), Some("a.txt"));
    let said = desk.reel(&["fs", "export", "main:x", "new/out"]).fails(125);
    assert_eq!(said, "error: new/out is not empty\nhint: name a new directory\n");
    assert_eq!(desk.reel(&["fs", "export", "main:x/a.txt", "one"]).code, Some(0));
    assert_eq!(desk.bytes("one/a.txt"), b"new\n");
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
    let said = desk.reel(&["replay", "1"]).fails(11);
    assert_eq!(said, "error: run 1 was made by `reel fs import`: there is no guest to execute again\n");
}

#[test]
fn a_sound_database_and_one_that_is_not() {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
    let said = desk.reel(&["verify"]).well();
    assert!(said.starts_with("sound: 1 rows in 1 log files, 1 runs, "), "{said}");
    assert_eq!(json_lines(&desk.reel(&["verify", "--json"]).well())[0]["sound"], true);

    let log = desk.path().join(".reel/log/00000001.redb");
    let mut bytes = std::fs::read(&log).expect("log");
    let at = bytes.windows(10).position(|part| part == b"hello.wasm").expect("the begin mark is in the log");
    bytes[at] ^= 1;
    std::fs::write(&log, bytes).expect("written");
    let said = desk.reel(&["verify"]);
    assert_eq!((said.code, said.err.as_str()), (Some(12), ""), "{}", said.out);
    assert!(said.out.starts_with("problem: "), "{}", said.out);
    let said = desk.reel(&["verify", "--json"]);
    assert_eq!((said.code, json_lines(&said.out)[0]["sound"].as_bool()), (Some(12), Some(false)));
}

#[test]
fn a_binary_is_looked_at_without_a_database() {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    desk.guest("alien.wasm", &guests::wants_the_impossible());
    let page = desk.reel(&["inspect", "hello.wasm"]).well();
    for part in [
        "kind:     core module, for WASI preview 1\n",
        "  provided     wasi_snapshot_preview1.fd_write\n",
        "  provided     wasi:cli/stdout@0.2.",
        "\nsnapshot: yes (",
        "\nexports:\n  memory\n  _start\n",
        "\nit can be run here\n",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let said = desk.reel(&["inspect", "alien.wasm"]);
    assert_eq!((said.code, said.err.as_str()), (Some(121), ""));
    assert!(said.out.contains("  missing      env.launch\\x1b[2J\n"), "{}", said.out);
    let json = json_lines(&desk.reel(&["inspect", "hello.wasm", "--json"]).well());
    assert_eq!((json[0]["kind"].as_str(), json[0]["runs"].as_bool()), (Some("module"), Some(true)));
    assert_eq!((&json[0]["snapshot"]["possible"], &json[0]["snapshot"]["memories"]), (&true.into(), &1.into()));
    let component = r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)) (import "my:own/thing" (instance (export "f" (func)))))"#;
    desk.guest("component.wasm", component);
    let said = desk.reel(&["inspect", "component.wasm"]);
    assert_eq!(said.code, Some(121));
    for part in ["wasi:http/outgoing-handler@0.2.0\n", "missing      my:own/thing\n", "HTTP, as far as"] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    let stuck = r#"(component (type (resource (rep i32))) (core module (memory 1 1 shared)))"#;
    desk.guest("stuck.wasm", stuck);
    let said = desk.reel(&["inspect", "stuck.wasm"]);
    let line = "\nsnapshot: no, served by replay: it defines a resource type of its own (type 0); core module 0 has a memory that is shared with threads\n";
    assert!(said.out.contains(line), "{}", said.out);
    let json = json_lines(&desk.reel(&["inspect", "stuck.wasm", "--json"]).out);
    assert_eq!(json[0]["snapshot"]["obstacles"].as_array().map(Vec::len), Some(2));
    let library = r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
        (func (export "f") (canon lift (core func $i "f"))))"#;
    desk.guest("library.wasm", library);
    let page = desk.reel(&["inspect", "library.wasm"]).well();
    assert!(page.ends_with("\nit can be deployed here, and its functions called\n"), "{page}");
    let json = json_lines(&desk.reel(&["inspect", "library.wasm", "--json"]).well());
    assert_eq!((&json[0]["runs"], &json[0]["deploys"]), (&false.into(), &true.into()));
    assert!(!desk.path().join(".reel").exists());
}

#[test]
fn shells_are_told_what_there_is() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = desk.reel(&["completions", shell]).well();
        assert!(script.contains("replay") && script.contains("commit-on-failure"), "{shell}");
    }
    assert!(desk.reel(&["completions", "dos"]).fails(2).starts_with("error: invalid value 'dos'"));
}
