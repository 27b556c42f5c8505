//! `reel memory`: what a resident had in its memory, at any moment of its life.

use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;

/// A desk with a guest `k`, whose versions have tags: its `birth`, then it knows the `first` text, also the `second`, is `kept` by a checkpoint, has `said`
/// something. More versions lie between where a call took so long that the host has made a checkpoint by itself.
fn desk() -> Desk {
    let desk = Desk::new();
    let keeper = guest("keeper", Target::P2);
    done(&desk, &["deploy", keeper.to_str().expect("a path"), "--as", "k"], "birth");
    done(&desk, &["call", "k", "remember", &quoted("a"), &quoted("the first needle in the hay")], "first");
    done(&desk, &["call", "k", "remember", &quoted("b"), &quoted("the second needle, \u{e9}\u{6f22}")], "second");
    done(&desk, &["checkpoint", "k"], "kept");
    done(&desk, &["call", "k", "say", &quoted("said out loud")], "said");
    desk
}

fn done(desk: &Desk, args: &[&str], tag: &str) {
    assert_eq!(desk.reel(args).code, Some(0), "{args:?}");
    assert_eq!(desk.reel(&["tag", tag, "k"]).code, Some(0));
}

/// The run in which it said something.
fn said(desk: &Desk) -> u64 {
    let runs = desk.reel(&["runs", "--json", "--limit", "0"]).well();
    let runs = runs.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let numbers = runs.map(|run| run["run"].as_u64().expect("a number"));
    let mut saying = numbers.filter(|run| desk.reel(&["log", &run.to_string()]).well().contains("stdio.write"));
    saying.next().expect("it has said something")
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn strings(desk: &Desk, at: &str) -> String {
    desk.reel(&["memory", at, "--strings"]).well()
}

/// What the last line of a comparison says.
fn differ(desk: &Desk, new: &str, old: &str) -> String {
    let said = desk.reel(&["memory", new, "--diff", old]).well();
    said.lines().last().expect("a line").to_owned()
}

const SAME: &str = "0 bytes differ, in 0 ranges";

#[test]
fn a_text_is_found_from_the_version_on_in_which_it_came() {
    let desk = desk();
    let newest = desk.reel(&["runs", "--json"]).well();
    for (at, first, second) in [
        ("k@birth", false, false),
        ("k@first", true, false),
        ("k@second", true, true),
        ("k@kept", true, true),
        ("k", true, true),
    ] {
        let found = strings(&desk, at);
        assert_eq!(found.contains("the first needle in the hay"), first, "{at}: {found}");
        assert_eq!(found.contains("the second needle, \u{e9}\u{6f22}"), second, "{at}: {found}");
    }
    assert!(!desk.reel(&["memory", "k", "--strings", "60"]).well().contains("needle"));
    let json = desk.reel(&["memory", "k", "--strings", "10", "--json"]).well();
    let line = json.lines().find(|line| line.contains("first needle")).expect("found");
    let found: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let (address, len) = (found["address"].as_u64().expect("a number"), found["len"].as_u64().expect("a number"));
    let range = format!("{address:#x}+{len}");
    assert_eq!(
        desk.reel(&["memory", "k@first", "--range", &range, "--raw"]).well(),
        found["text"].as_str().expect("text")
    );
    let dump = desk.reel(&["memory", "k@first", "--range", &range]).well();
    assert!(dump.starts_with(&format!("{address:08x}  ")) && dump.contains("|the first needle|"), "{dump}");
    let json = desk.reel(&["memory", "k@first", "--range", &range, "--json"]).well();
    assert!(json.contains("\"text\":\"the first needle in the hay\""), "{json}");
    assert_eq!(desk.reel(&["runs", "--json"]).well(), newest, "looking adds nothing to the log");
}

#[test]
fn how_large_and_how_much_of_it_is_new() {
    let desk = desk();
    let counts = |at: &str| -> serde_json::Value {
        serde_json::from_str(&desk.reel(&["memory", at, "--json"]).well()).expect("one object")
    };
    let (birth, now) = (counts("k@birth"), counts("k"));
    assert_eq!(birth["changed_pages"], 0);
    assert_eq!(birth["birth_bytes"], birth["bytes"]);
    assert!(now["changed_pages"].as_u64() > Some(0) && now["nonzero_pages"].as_u64() > birth["nonzero_pages"].as_u64());
    assert_eq!(desk.reel(&["call", "k", "hold", "1000000", "7"]).code, Some(0));
    assert!(counts("k")["bytes"].as_u64() > birth["bytes"].as_u64());
    assert_eq!(counts("k@said"), now);
    let table = desk.reel(&["memory", "k"]).well();
    assert!(table.starts_with("MEMORY  ") && table.lines().count() == 2, "{table}");
    let grown = desk.reel(&["memory", "k", "--diff", "@said"]).well();
    assert!(grown.contains("\nmemory 0 has ") && grown.contains(" lines are not shown"), "{grown}");
}

#[test]
fn a_comparison_finds_what_changed_and_nothing_else() {
    let desk = desk();
    assert_eq!(differ(&desk, "k@kept", "@second"), SAME, "a checkpoint changes nothing");
    assert_eq!(differ(&desk, &format!("k@{}@0", said(&desk)), "@kept"), SAME, "nor does the beginning of a call");
    assert_eq!(differ(&desk, "k", &format!("@{}@7", said(&desk))), SAME, "its end is the version that it made");
    let changed = desk.reel(&["memory", "k@second", "--diff", "@first"]).well();
    assert!(changed.starts_with("--- k@first\n+++ k@second\n@@ memory 0, 0x"), "{changed}");
    assert!(!changed.contains("-first needle"), "{changed}");
    let new: Vec<&str> = changed.lines().filter(|line| line.starts_with("+ ")).collect();
    assert!(new.iter().any(|line| line.contains("second")), "{changed}");
    let json = desk.reel(&["memory", "k@second", "--diff", "k@first", "--json"]).well();
    let objects: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (summary, ranges) = objects.split_last().expect("a summary");
    assert_eq!((&summary["what"], summary["ranges"].as_u64()), (&"summary".into(), Some(ranges.len() as u64)));
}

#[test]
fn in_the_middle_of_a_call() {
    let desk = desk();
    let run = said(&desk);
    let log = desk.reel(&["log", &run.to_string()]).well();
    let seq = log.lines().position(|line| line.contains("stdio.write")).expect("it has written");
    assert!(!strings(&desk, &format!("k@{run}@0")).contains("said out loud"));
    assert!(strings(&desk, &format!("k@{run}@{seq}")).contains("said out loud\n"));
    // What was rolled back has been in memory all the same.
    assert_eq!(desk.reel(&["call", "k", "aborts", "77", &quoted("a reason to give up")]).code, Some(118));
    let end = desk.reel(&["log", "last"]).well().lines().count() - 1;
    assert!(strings(&desk, &format!("k@last@{end}")).contains("a reason to give up"));
    assert!(!strings(&desk, "k").contains("a reason to give up"));
    // Before a guest is born there is nothing.
    let nothing = desk.reel(&["memory", "k@1@0", "--strings"]).well();
    assert_eq!(nothing, "");
}

#[test]
fn forks_and_rollbacks_have_the_memory_of_their_moment() {
    let desk = desk();
    assert_eq!(desk.reel(&["fork", "k@first", "f"]).code, Some(0));
    assert_eq!(differ(&desk, "f", "k@first"), SAME);
    assert_eq!(desk.reel(&["call", "f", "remember", &quoted("c"), &quoted("only the fork knows")]).code, Some(0));
    assert!(strings(&desk, "f").contains("only the fork knows") && !strings(&desk, "k").contains("only the fork"));
    assert_eq!(desk.reel(&["rollback", "k", "--to", "first"]).code, Some(0));
    assert_eq!(differ(&desk, "k", "@first"), SAME);
    assert!(strings(&desk, "k@said").contains("second needle") && !strings(&desk, "k").contains("second needle"));
}

#[test]
fn a_guest_that_cannot_be_captured_is_replayed() {
    let desk = Desk::new();
    desk.guest(
        "poke.wasm",
        r#"(component
          (core module $m
            (memory (export "memory") 1)
            (table 2 funcref)
            (elem declare func $f)
            (func $f)
            (data (i32.const 64) "born with this")
            (func (export "poke") (param i64)
              (table.set (i32.const 0) (ref.func $f))
              (i64.store (i32.const 256) (local.get 0))))
          (core instance $i (instantiate $m))
          (func (export "poke") (param "n" u64) (canon lift (core func $i "poke"))))"#,
    );
    assert_eq!(desk.reel(&["deploy", "poke.wasm", "--as", "p"]).code, Some(0));
    let number = u64::from_le_bytes(*b"written!").to_string();
    assert_eq!(desk.reel(&["call", "p", "poke", &number]).code, Some(0));
    assert_eq!(desk.reel(&["memory", "p@1", "--strings"]).well(), "00000040  born with this\n");
    assert_eq!(desk.reel(&["memory", "p", "--strings"]).well(), "00000040  born with this\n00000100  written!\n");
    assert_eq!(differ(&desk, "p", "@1"), "8 bytes differ, in 1 range");
    assert!(desk.reel(&["memory", "p", "--json"]).well().contains("\"nonzero_pages\":1,\"changed_pages\":1"));
}

#[test]
fn what_is_not_there() {
    let desk = desk();
    desk.guest("hello.wasm", &crate::guests::hello());
    assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
    for (args, code, words) in [
        (&["nobody"][..], 66, "there is no space nobody"),
        (&["main"], 66, "no guest was deployed as main\nhint: `reel ps` lists them"),
        (&["k@0"], 66, "no guest was deployed as k yet at 0\nhint: it is there at k@"),
        (&["k@999"], 66, ", there is no 999"),
        (&["k@1@99"], 66, "run 1 has 6 events, there is no 1@99\nhint: `reel log 1` lists them"),
        (&["k@999@0"], 66, "there is no run 999"),
        (&["k@last@0"], 66, " worked in space main, not in k\nhint: write main@"),
        (&["k", "--memory", "3"], 66, "k has one memory, 0: there is no memory 3"),
        (&["k", "--range", "0xffffffff+1"], 66, "0xffffffff+1 reaches beyond memory 0 of k\nhint: it ends at 0x"),
        (&["k@1@0", "--raw"], 66, "k@1@0 has no memory: there is no memory 0"),
        (&["k", "--range", "9..2"], 2, "a range does not end before it begins"),
        (&["k", "--range", "here"], 2, "write FROM..TO or FROM+LEN"),
        (&["k", "--strings", "0"], 2, "0 is not in 1.."),
        (&["k", "--strings", "--raw"], 2, "cannot be used with"),
        (&["k", "--diff", "nobody"], 66, "there is no space nobody"),
        (&["k", "--diff", "@"], 2, "is no moment of a space"),
    ] {
        let said = desk.reel(&[&["memory"], args].concat()).fails(code);
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn one_that_is_served_is_looked_at_while_it_is_called() {
    let desk = desk();
    let mut server = desk.spawn(&mut desk.command(&["serve"]));
    let socket = desk.path().join(".reel/admin.sock");
    let serves = (0..2000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        std::os::unix::net::UnixStream::connect(&socket).is_ok()
    });
    assert!(serves, "nobody serves");
    let call = |text: &str| desk.reel(&["call", "k", "remember", &quoted("s"), &quoted(text), "--wait", "20"]).code;
    assert_eq!(call("while it is served"), Some(0));
    assert!(strings(&desk, "k").contains("while it is served"));
    assert_eq!(desk.reel(&["tag", "served", "k"]).code, Some(0));
    assert_eq!(call("and once more"), Some(0));
    assert!(strings(&desk, "k").contains("and once more") && !strings(&desk, "k@served").contains("and once more"));
    let interrupted = std::process::Command::new("kill").args(["-INT", &server.id().to_string()]).status();
    assert!(interrupted.expect("kill runs").success());
    assert_eq!(server.wait().expect("it ends").code(), Some(0));
}
