//! Versioned spaces: forks, rollbacks, tags, histories, differences and buckets, as a user meets them.

use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;
use serde_json::Value;

use crate::guests;

/// A desk with the guest that calls what it is told.
fn with_kvtool() -> Desk {
    let desk = Desk::new();
    desk.file("kvtool.wasm", std::fs::read(guest("kvtool", Target::P2)).expect("kvtool"));
    desk
}

/// A desk with the guest that moves files around.
fn with_chaos() -> Desk {
    let desk = Desk::new();
    desk.file("chaos.wasm", std::fs::read(guest("chaos", Target::P2)).expect("chaos"));
    desk
}

#[track_caller]
fn run(desk: &Desk, program: &str, operations: &[&str]) {
    let said = desk.reel(&[&["run", program, "--"], operations].concat());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
}

#[track_caller]
fn script(desk: &Desk, lines: &[&str]) {
    let said = desk.reel(&["run", "chaos.wasm", "--", "/", &lines.join("\n")]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    assert!(said.out.lines().all(|line| line.contains(": ok")), "{}", said.out);
}

/// Puts files into `main`, as a version of its own.
#[track_caller]
fn import(desk: &Desk, files: &[(&str, &str)]) {
    drop(std::fs::remove_dir_all(desk.path().join("in")));
    for (name, text) in files {
        desk.file(&format!("in/{name}"), text);
    }
    assert_eq!(desk.reel(&["fs", "import", "in", "main:"]).code, Some(0));
}

/// A space with three versions.
fn with_versions() -> Desk {
    let desk = Desk::new();
    import(&desk, &[("a.txt", "one\ntwo\nthree\n"), ("sub/b.txt", "b\n")]);
    import(&desk, &[("a.txt", "one\n2\nthree\n")]);
    import(&desk, &[("c.txt", "c\n")]);
    desk
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The cells of a table, without the times.
fn cells(table: &str) -> Vec<String> {
    let is_time =
        |word: &&str| !(word.len() >= 8 && (word.matches('-').count() == 2 || word.matches(':').count() == 2));
    table.lines().map(|line| line.split_whitespace().filter(is_time).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_rollback_adds_a_version_and_says_how_to_undo_it() {
    let desk = with_versions();
    desk.reel(&["rollback", "main", "--to", "1"]).is(
        0,
        "main@4\n",
        "main is as it was at version 1\nto undo this: reel rollback main --to 3\n",
    );
    assert_eq!(desk.reel(&["fs", "cat", "main:a.txt"]).well(), "one\ntwo\nthree\n");
    assert_eq!(desk.reel(&["fs", "ls", "main@3:"]).well(), "a.txt\nc.txt\nsub/\n");
    desk.reel(&["rollback", "main", "--to", "3"]).is(
        0,
        "main@5\n",
        "main is as it was at version 3\nto undo this: reel rollback main --to 4\n",
    );
    assert_eq!(desk.reel(&["diff", "main@3", "main@5"]).well(), "no difference\n");
    desk.reel(&["rollback", "main", "--to", "5"]).is(
        0,
        "main@5\n",
        "main stands at version 5 already; nothing was done\n",
    );
    let history = cells(&desk.reel(&["history", "main"]).well());
    assert_eq!(
        history,
        [
            "VERSION MADE (UTC) BY PROGRAM TAGS",
            "5 rollback to 3",
            "4 rollback to 1",
            "3 run 3 reel fs import",
            "2 run 2 reel fs import",
            "1 run 1 reel fs import",
        ]
    );
    let told = json(&desk.reel(&["rollback", "main", "--to", "2", "--json", "--db", ".reel"]).well());
    assert_eq!(
        (told[0]["version"].as_u64(), told[0]["to"].as_u64(), told[0]["before"].as_u64()),
        (Some(6), Some(2), Some(5))
    );
    assert_eq!(told[0]["undo"], "reel rollback main --to 5 --db .reel");
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
}

#[test]
fn a_fork_goes_its_own_way() {
    let desk = with_versions();
    desk.reel(&["fork", "main@1", "trial"]).is(0, "trial@0\n", "trial begins as main@1\n");
    desk.guest("write.wasm", &guests::writes("x", 3, ""));
    assert_eq!(desk.reel(&["run", "write.wasm", "--space", "trial"]).code, Some(0));
    assert_eq!(desk.reel(&["fs", "ls", "main:"]).well(), "a.txt\nc.txt\nsub/\n");
    assert_eq!(desk.reel(&["fs", "ls", "trial:"]).well(), "a.txt\nsub/\nx\n");
    let spaces = cells(&desk.reel(&["spaces"]).well());
    assert_eq!(spaces[0], "SPACE VERSION CHANGED (UTC) BY FORK OF FILES KEYS");
    assert_eq!(spaces[1..], ["main 3 run 3 4 0", "trial 1 run 4 main@1 4 0"]);
    let told = json(&desk.reel(&["spaces", "--json"]).well());
    assert_eq!((told[1]["fork_of"].as_str(), told[1]["fork_version"].as_u64()), (Some("main"), Some(1)));
    assert_eq!((told[1]["run"].as_u64(), told[1]["files"].as_u64()), (Some(4), Some(4)));
    assert_eq!(
        desk.reel(&["diff", "main", "trial", "--summary"]).well(),
        "changed  /a.txt  12 B -> 14 B\nremoved  /c.txt  2 B\nadded    /x  3 B\n1 file changed, 1 added, 1 removed\n"
    );
    let history = cells(&desk.reel(&["history", "trial"]).well());
    assert_eq!(history[1..], ["1 run 4 write.wasm", "0 fork of main@1"]);
    let history = cells(&desk.reel(&["history", "trial", "a.txt"]).well());
    assert_eq!(history[1..], ["trial@0 fork of main@1 same, 14 B", "main@1 run 1 reel fs import made, 14 B"]);
}

#[test]
fn a_removed_name_gives_its_versions_away() {
    let desk = with_versions();
    assert_eq!(desk.reel(&["fork", "main@2", "trial"]).code, Some(0));
    assert_eq!(desk.reel(&["tag", "keep", "trial"]).code, Some(0));
    assert_eq!(desk.reel(&["fork", "trial", "deeper"]).code, Some(0));
    let said = desk.reel(&["spaces", "--remove", "trial"]);
    said.is(
        0,
        "trial@0\n",
        "the name trial is given up; its versions stay, trial@0 is the newest\ntags of them stay: keep\n\
         forks of them stay: deeper\nto undo this: reel fork trial@0 trial\n",
    );
    assert_eq!(cells(&desk.reel(&["spaces"]).well()).len(), 3);
    desk.reel(&["fs", "ls", "trial:"]).is(
        66,
        "",
        "error: space trial was removed when it stood at version 0\n\
         hint: its versions are still there: trial@0; `reel fork trial@0 trial` brings it back\n",
    );
    for at in ["trial@0:", "trial@keep:", "trial@ke:"] {
        assert_eq!(desk.reel(&["fs", "ls", at]).well(), "a.txt\nsub/\n");
    }
    desk.reel(&["rollback", "trial", "--to", "0"]).fails(66);
    // A fork of a fork of a removed name, and the removed name's own again.
    assert_eq!(desk.reel(&["fork", "deeper", "deepest"]).code, Some(0));
    assert_eq!(desk.reel(&["fork", "trial@0", "trial"]).out, "trial@1\n");
    assert_eq!(desk.reel(&["diff", "trial", "deepest"]).well(), "no difference\n");
    // Names in a circle are none: each begins at a version.
    assert_eq!(desk.reel(&["spaces", "--remove", "main"]).code, Some(0));
    assert_eq!(desk.reel(&["fork", "deepest", "main"]).out, "main@4\n");
    assert_eq!(desk.reel(&["fs", "ls", "main:"]).well(), "a.txt\nsub/\n");
    assert_eq!(desk.reel(&["fs", "ls", "main@3:"]).well(), "a.txt\nc.txt\nsub/\n");
    let told = json(&desk.reel(&["spaces", "--remove", "main", "--json"]).well());
    assert_eq!((told[0]["version"].as_u64(), told[0]["undo"].as_str()), (Some(4), Some("reel fork main@4 main")));
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
}

#[test]
fn tags_name_versions() {
    let desk = with_versions();
    assert_eq!(desk.reel(&["tag"]).well(), "");
    desk.reel(&["tag", "release-1", "main@1"]).is(0, "release-1 main@1\n", "");
    desk.reel(&["tag", "release-2", "main"]).is(0, "release-2 main@3\n", "");
    desk.reel(&["tag", "release-1", "main@1"]).is(0, "release-1 main@1\n", "");
    let said = desk.reel(&["tag", "release-1", "main@2"]).fails(67);
    assert!(said.starts_with("error: tag release-1 names main@1 already, since "), "{said}");
    assert!(said.ends_with("hint: `--force` moves it; another name leaves it as it is\n"), "{said}");
    desk.reel(&["tag", "release-1", "main@2", "--force"]).is(
        0,
        "release-1 main@2\n",
        "it named main@1 before; to undo this: reel tag release-1 main@1 --force\n",
    );
    assert_eq!(cells(&desk.reel(&["tag"]).well()), ["TAG VERSION SET (UTC)", "release-1 main@2", "release-2 main@3"]);
    assert_eq!(cells(&desk.reel(&["tag", "release-2"]).well())[1..], ["release-2 main@3"]);
    let told = json(&desk.reel(&["tag", "--json"]).well());
    assert_eq!(
        (told[0]["tag"].as_str(), told[0]["space"].as_str(), told[0]["version"].as_u64()),
        (Some("release-1"), Some("main"), Some(2))
    );
    assert_eq!(
        cells(&desk.reel(&["history", "main"]).well())[1..3],
        ["3 run 3 reel fs import release-2", "2 run 2 reel fs import release-1"]
    );
    assert_eq!(
        desk.reel(&["diff", "main@release-1", "@release-2", "--summary"]).well(),
        "added    /c.txt  2 B\n1 file added\n"
    );
    let ambiguous =
        "error: main@rel: several tags of main begin so: release-1, release-2\nhint: write more of its name\n";
    desk.reel(&["fs", "ls", "main@rel:"]).is(2, "", ambiguous);
    desk.reel(&["tag", "release-2", "--remove"]).is(
        0,
        "release-2 main@3\n",
        "main@3 has no tag release-2 any more; to undo this: reel tag release-2 main@3\n",
    );
    assert_eq!(desk.reel(&["fs", "cat", "main@rel:a.txt"]).well(), "one\n2\nthree\n");
    desk.reel(&["tag", "release-2", "--remove"]).is(
        66,
        "",
        "error: there is no tag release-2 in this database\nhint: did you mean release-1? `reel tag` lists them\n",
    );
    for (name, words) in [
        ("17", "\"17\" is no tag"),
        ("3d", "\"3d\" is no tag"),
        ("-x", ""),
        ("main@3", "is no tag"),
        ("", "is no tag"),
        ("a b", "is no tag"),
    ] {
        let said = desk.reel(&["tag", name, "main"]).fails(2);
        assert!(said.starts_with("error: ") && said.contains(words), "{name}: {said}");
    }
    // What undoes it names the database, too.
    let told = |args: &[&str]| json(&desk.reel(args).well()).remove(0);
    let base = ["--json", "--db", "./.reel"];
    assert_eq!(told(&[&["tag", "moved", "main@1"], &base[..]].concat())["undo"], Value::Null);
    let undo = &told(&[&["tag", "moved", "main@3", "--force"], &base[..]].concat())["undo"];
    assert_eq!(undo, "reel tag moved main@1 --force --db ./.reel");
    let undo = &told(&[&["tag", "moved", "--remove"], &base[..]].concat())["undo"];
    assert_eq!(undo, "reel tag moved main@3 --db ./.reel");
    desk.reel(&["tag", "--remove"]).fails(2);
    desk.reel(&["tag", "--force"]).fails(2);
}

#[test]
fn moments_have_many_names() {
    let desk = with_versions();
    assert_eq!(desk.reel(&["tag", "second", "main@2"]).code, Some(0));
    let history = json(&desk.reel(&["history", "main", "--json"]).well());
    let times: Vec<&str> = history.iter().rev().filter_map(|made| made["at"]["time"].as_str()).collect();
    let listed = |when: &str| desk.reel(&["fs", "cat", &format!("main@{when}:/a.txt")]);
    assert_eq!(listed(times[0]).well(), "one\ntwo\nthree\n");
    assert_eq!(listed(times[1]).well(), "one\n2\nthree\n");
    assert_eq!(listed("second").well(), "one\n2\nthree\n");
    assert_eq!(listed("1ms").well(), "one\n2\nthree\n");
    assert_eq!(listed("1@0").fails(66), "error: main@1@0:/a.txt: no such file or directory\n");
    assert_eq!(listed("1@999").well(), "one\ntwo\nthree\n");
    assert_eq!(listed("2@0").well(), "one\ntwo\nthree\n");
    assert_eq!(listed("last@99").well(), "one\n2\nthree\n");
    let early = listed("1h").fails(66);
    assert!(
        early.starts_with("error: space main did not exist yet at ")
            && early.contains("\n  at its version 1 was made at "),
        "{early}"
    );
    for time in ["2026-01-31", "2026-01-31T14:05:09Z", "2026-01-31T14:05:09.5+01:00"] {
        assert!(listed(time).fails(66).contains("did not exist yet at 2026-01-3"), "{time}");
    }
    let late = listed("2199-01-01").fails(66);
    assert!(late.starts_with("error: main@2199-01-01: that moment is still to come, it is "), "{late}");
    // A time of day is one of the last 24 hours: at most a second ago, or before there was anything.
    let now = times[2][11..19].to_owned();
    assert!([Some(0), Some(66)].contains(&listed(&now).code));
    assert_eq!(desk.reel(&["rollback", "main", "--to", "2@0"]).out, "main@4\n");
    assert_eq!(desk.reel(&["rollback", "main", "--to", "second"]).out, "main@5\n");
    assert_eq!(desk.reel(&["rollback", "main", "--to", times[2]]).out, "main@6\n");
    assert_eq!(desk.reel(&["fork", "main@1@99", "early"]).err, "early begins as main@1\n");
}

#[test]
fn an_event_names_the_version_that_its_run_had_reached() {
    let desk = with_kvtool();
    let set = |value: &str| format!("store.set b k {value}");
    let operations = [&set("one"), "transaction.commit", &set("two"), "transaction.commit", &set("three"), "exit 3"];
    assert_eq!(desk.reel(&[&["run", "kvtool.wasm", "--"], &operations[..]].concat()).code, Some(1));
    let log = json(&desk.reel(&["log", "1", "--json", "--family", "txn"]).well());
    let marks: Vec<u64> = log.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(
        log.iter().filter_map(|event| event["call"].as_str()).collect::<Vec<_>>(),
        ["txn.commit", "txn.begin", "txn.commit", "txn.begin"]
    );
    let at = |seq: u64| desk.reel(&["kv", "get", &format!("main@1@{seq}"), "b", "k"]);
    assert!(at(marks[0] - 1).fails(66).starts_with("error: there is no bucket \"b\" in main@1@"));
    for (seq, value) in [
        (marks[0], "one"),
        (marks[1], "one"),
        (marks[2] - 1, "one"),
        (marks[2], "two"),
        (marks[3], "two"),
        (9999, "two"),
    ] {
        assert_eq!(at(seq).well(), value, "{seq}");
    }
}

#[test]
fn differences_in_files() {
    let desk = Desk::new();
    let long: String = (0..30).map(|n| format!("line {n}\n")).collect();
    import(
        &desk,
        &[("long", &long), ("bin", "\0one"), ("end", "no end"), ("gone", "g\n"), ("d/deep/x", "x\n"), ("same", "s\n")],
    );
    std::os::unix::fs::symlink("end", desk.path().join("in/link")).expect("link");
    assert_eq!(desk.reel(&["fs", "import", "in", "main:"]).code, Some(0));
    desk.file("in/long", long.replace("line 3\n", "").replace("line 20\n", "line twenty\n"));
    desk.file("in/bin", "\0three");
    desk.file("in/end", "no end\n");
    desk.file("in/new\u{1b}[31m", "\u{1b}[2Jtab\tend\n");
    desk.file("in/large", "x".repeat(2 << 20));
    desk.file("in/d/empty", "");
    std::fs::remove_file(desk.path().join("in/link")).expect("removed");
    std::os::unix::fs::symlink("long", desk.path().join("in/link")).expect("link");
    assert_eq!(desk.reel(&["fs", "import", "in", "main:"]).code, Some(0));
    let said = desk.reel(&["diff", "main@2", "main"]).well();
    let expected = "\
binary file /bin: 4 B -> 6 B
--- /dev/null
+++ main@3:/d/empty
--- main@2:/end
+++ main@3:/end
@@ -1 +1 @@
-no end
\\ No newline at end of file
+no end
new large file /large: 2.0 MiB
link /link: end -> long
--- main@2:/long
+++ main@3:/long
@@ -1,7 +1,6 @@
 line 0
 line 1
 line 2
-line 3
 line 4
 line 5
 line 6
@@ -18,7 +17,7 @@
 line 17
 line 18
 line 19
-line 20
+line twenty
 line 21
 line 22
 line 23
--- /dev/null
+++ main@3:/new\\x1b[31m
@@ -0,0 +1 @@
+\\x1b[2Jtab\tend
4 files changed, 3 added; 3 lines added, 3 removed; 3 files written again as they were
";
    assert_eq!(said, expected);
    let told = json(&desk.reel(&["diff", "main@2", "main", "--json"]).well());
    let of = |path: &str| told.iter().find(|line| line["path"] == path).unwrap_or_else(|| panic!("{path}"));
    assert_eq!(
        (&of("bin")["binary"], &of("bin")["hunks"], &of("large")["large"]),
        (&Value::Bool(true), &Value::Null, &Value::Bool(true))
    );
    assert_eq!(of("end")["hunks"][0]["lines"], serde_json::json!(["-no end", "+no end\n"]));
    assert_eq!((of("long")["lines_added"].as_u64(), of("long")["lines_removed"].as_u64()), (Some(1), Some(2)));
    assert_eq!(
        (of("link")["old"]["target"].as_str(), of("link")["new"]["target"].as_str()),
        (Some("end"), Some("long"))
    );
    let last = told.last().expect("counts");
    assert_eq!(
        (last["what"].as_str(), last["files"]["changed"].as_u64(), last["touched"].as_u64()),
        (Some("summary"), Some(4), Some(3))
    );
    assert_eq!((last["old"]["version"].as_u64(), last["new"]["version"].as_u64()), (Some(2), Some(3)));
    let back = desk.reel(&["diff", "main", "@2"]).well();
    assert!(
        back.contains("--- main@3:/d/empty\n+++ /dev/null\n") && back.contains("removed large file /large: 2.0 MiB\n"),
        "{back}"
    );
    let brief = json(&desk.reel(&["diff", "main@2", "--summary", "--json"]).well());
    assert!(brief.iter().all(|line| line["hunks"].is_null()));
    // The new side is the newest version where none is given.
    assert_eq!(desk.reel(&["diff", "main@2"]).well(), expected);
    assert_eq!(desk.reel(&["diff", "main"]).well(), "no difference\n");
}

#[test]
fn differences_in_names() {
    let desk = with_chaos();
    script(
        &desk,
        &["mkdir d", "mkdir d/e", "write d/e/x 5 1", "write a 5 2", "write b 5 3", "link b c", "mkdir empty"],
    );
    script(
        &desk,
        &["rename d f", "patch f/e/x 0 2 9", "rename a g", "patch b 1 2 9", "rmdir empty", "write empty 1 1"],
    );
    let said = desk.reel(&["diff", "main@1", "--summary"]).well();
    assert_eq!(
        said,
        "changed  /b  5 B -> 5 B\nchanged  /c  5 B -> 5 B\nchanged  /empty  directory -> 1 B\nrenamed  /d -> /f  directory\n\
         renamed  /d/e/x -> /f/e/x  5 B -> 5 B\nrenamed  /a -> /g  5 B\n3 files changed, 2 renamed; 1 directory renamed\n"
    );
    let page = desk.reel(&["diff", "main@1"]).well();
    assert!(
        page.contains("renamed directory /d -> /f\nrenamed file /d/e/x -> /f/e/x\nbinary file /f/e/x: 5 B -> 5 B\n"),
        "{page}"
    );
    assert!(page.contains("/empty: a directory became a file of 1 B\n"), "{page}");
    let history = cells(&desk.reel(&["history", "main", "f/e/x"]).well());
    assert_eq!(history[1..], ["main@2 run 2 chaos.wasm made, 5 B"]);
    let history = cells(&desk.reel(&["history", "main", "/d/e/x"]).well());
    assert_eq!(history[1..], ["main@2 run 2 chaos.wasm removed", "main@1 run 1 chaos.wasm made, 5 B"]);
    let history = cells(&desk.reel(&["history", "main", "empty"]).well());
    assert_eq!(history[1..], ["main@2 run 2 chaos.wasm replaced, 1 B", "main@1 run 1 chaos.wasm made, directory"]);
    let history = cells(&desk.reel(&["history", "main@1", "b"]).well());
    assert_eq!(history[1..], ["main@1 run 1 chaos.wasm made, 5 B"]);
    assert!(
        desk.reel(&["history", "main", "nowhere"])
            .fails(66)
            .starts_with("error: main:/nowhere: nothing that is kept ever was there")
    );
}

#[test]
fn the_history_of_a_directory_is_that_of_its_names() {
    let desk = with_chaos();
    script(&desk, &["mkdir d", "write d/a 5 1"]);
    script(&desk, &["write d/b 5 2"]);
    script(&desk, &["write d/b 5 3"]);
    script(&desk, &["unlink d/a", "write top 5 1"]);
    assert_eq!(desk.reel(&["rollback", "main", "--to", "2"]).code, Some(0));
    let history = |space: &str, path: &str| cells(&desk.reel(&["history", space, path]).well())[1..].to_vec();
    let made = "main@1 run 1 chaos.wasm made, directory";
    let changed = "main@2 run 2 chaos.wasm changed, directory";
    assert_eq!(history("main@4", "d"), ["main@4 run 4 chaos.wasm changed, directory", changed, made]);
    assert_eq!(history("main", "d"), ["main@5 rollback to 2 changed, directory", changed, made]);
    let root = "main@1 run 1 chaos.wasm changed, directory";
    assert_eq!(history("main@4", "/"), ["main@4 run 4 chaos.wasm changed, directory", root]);
    assert_eq!(history("main", "/"), ["main@5 rollback to 2 changed, directory", root]);
    assert_eq!(desk.reel(&["fork", "main@2", "trial"]).code, Some(0));
    assert_eq!(history("trial", "d"), ["trial@0 fork of main@2 same, directory", changed, made]);
    assert_eq!(history("trial", ""), ["trial@0 fork of main@2 same, directory", root]);
}

#[test]
fn buckets_keys_and_their_histories() {
    let desk = with_kvtool();
    run(
        &desk,
        "kvtool.wasm",
        &["store.set orders 17 eggs", "store.set orders 18 milk", "keyvalue.set odd x:00ff x:0102"],
    );
    run(
        &desk,
        "kvtool.wasm",
        &["store.set orders 17 bread", "store.delete orders 18", "store.set orders -19 x", "store.set long k l:20000"],
    );
    assert_eq!(desk.reel(&["kv", "ls", "main"]).well(), "long\nodd\norders\n");
    assert_eq!(desk.reel(&["kv", "ls", "main@1"]).well(), "odd\norders\n");
    assert_eq!(desk.reel(&["kv", "ls", "main", "orders"]).well(), "-19\n17\n");
    assert_eq!(
        desk.reel(&["kv", "ls", "main@1", "orders", "--prefix", "1", "-l"]).well(),
        "           4  17\n           4  18\n"
    );
    assert_eq!(desk.reel(&["kv", "ls", "main", "odd"]).well(), "\\x00\\xff\n");
    assert_eq!(desk.reel(&["kv", "ls", "main", "odd", "--hex", "--prefix", "00"]).well(), "00ff\n");
    let told = json(&desk.reel(&["kv", "ls", "main", "odd", "--json"]).well());
    assert_eq!(
        (told[0]["bucket"].as_str(), told[0]["key"]["base64"].as_str(), told[0]["size"].as_u64()),
        (Some("odd"), Some("AP8="), Some(2))
    );
    assert_eq!(json(&desk.reel(&["kv", "ls", "main", "--json"]).well())[0]["bucket"], "long");
    assert_eq!(desk.reel(&["kv", "get", "main", "orders", "17"]).well(), "bread");
    assert_eq!(desk.reel(&["kv", "get", "main@1", "orders", "17"]).well(), "eggs");
    assert_eq!(desk.reel(&["kv", "get", "main", "orders", "-19"]).well(), "x");
    assert_eq!(desk.reel(&["kv", "get", "main", "odd", "00ff", "--hex"]).well(), "\u{1}\u{2}");
    assert_eq!(desk.reel(&["kv", "get", "main", "long", "k"]).well(), "l".repeat(20_000));
    desk.reel(&["kv", "get", "main", "orders", "18"]).is(
        66,
        "",
        "error: there is no key \"18\" in bucket \"orders\" of main\nhint: `reel kv ls main orders` lists the keys\n",
    );
    desk.reel(&["kv", "ls", "main", "order"]).is(
        66,
        "",
        "error: there is no bucket \"order\" in main\nhint: did you mean orders? `reel kv ls main` lists the buckets\n",
    );
    desk.reel(&["kv", "get", "main", &"b".repeat(300), "k"]).fails(66);
    desk.reel(&["kv", "get", "main", "", "k"]).fails(66);
    assert!(
        desk.reel(&["kv", "get", "main", "odd", "0g", "--hex"]).fails(2).contains("is no key in hexadecimal digits")
    );
    desk.reel(&["kv", "ls", "main", "--prefix", "x"]).fails(2);

    let page = desk.reel(&["diff", "main@1"]).well();
    assert_eq!(
        page,
        "bucket \"long\"\n+ \"k\": <20000 bytes>\nbucket \"orders\"\n+ \"-19\": \"x\"\n~ \"17\": \"eggs\" -> \"bread\"\n- \"18\": \"milk\"\n\
         1 key changed, 2 added, 1 removed\n"
    );
    let told = json(&desk.reel(&["diff", "main@1", "--json"]).well());
    let changed = told.iter().find(|line| line["change"] == "changed").expect("a changed key");
    assert_eq!(
        (changed["key"]["text"].as_str(), changed["old"]["text"].as_str(), changed["new"]["text"].as_str()),
        (Some("17"), Some("eggs"), Some("bread"))
    );
    let history = cells(&desk.reel(&["history", "main", "--kv", "orders", "17"]).well());
    assert_eq!(
        history[1..],
        ["main@2 run 2 kvtool.wasm changed, \"bread\"", "main@1 run 1 kvtool.wasm made, \"eggs\""]
    );
    assert_eq!(desk.reel(&["rollback", "main", "--to", "1"]).code, Some(0));
    let history = cells(&desk.reel(&["history", "main", "--kv", "orders", "18"]).well());
    assert_eq!(history[1..], ["main@3 rollback to 1 made, \"milk\"", "main@1 run 1 kvtool.wasm made, \"milk\""]);
    let told = json(&desk.reel(&["history", "main@2", "--kv", "orders", "18", "--json", "--limit", "1"]).well());
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0]["change"].as_str(), told[0]["run"].as_u64(), &told[0]["value"]),
        (Some("removed"), Some(2), &Value::Null)
    );
    let history = cells(&desk.reel(&["history", "main", "--kv", "odd", "00ff", "--hex"]).well());
    assert_eq!(history[1..], ["main@1 run 1 kvtool.wasm made, \"\\x01\\x02\""]);
    desk.reel(&["history", "main", "--kv", "orders", "99"]).fails(66);
    desk.reel(&["history", "main", "a", "--kv", "b", "k"]).fails(2);
    desk.reel(&["history", "main", "--kv", "b"]).fails(2);
}

#[test]
fn what_a_guest_names_is_no_command_for_a_terminal() {
    let desk = with_kvtool();
    run(
        &desk,
        "kvtool.wasm",
        &["keyvalue.set x:1b5b326d x:1b5b334a0a x:1b5b324a0d0a", "store.set plain \u{202e}\u{9b} \u{1b}]0;t\u{7}"],
    );
    let is_safe = |text: &str| text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}'));
    for args in [
        &["kv", "ls", "main"][..],
        &["kv", "ls", "main", "\u{1b}[2m"],
        &["kv", "ls", "main", "plain", "--json"],
        &["diff", "main@0"],
        &["diff", "main@0", "--json"],
        &["diff", "main@0", "--summary"],
        &["history", "main", "--kv", "plain", "\u{202e}\u{9b}"],
        &["history", "main", "--kv", "plain", "\u{202e}\u{9b}", "--json"],
    ] {
        let said = desk.reel(args).well();
        assert!(is_safe(&said) && !said.is_empty(), "{args:?}: {said:?}");
    }
    for args in [
        &["kv", "get", "main", "\u{1b}[2m", "\u{1b}"][..],
        &["history", "main", "\u{1b}\u{202e}"],
        &["kv", "ls", "main", "\u{202e}"],
    ] {
        assert!(is_safe(&desk.reel(args).fails(66)), "{args:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let desk = with_versions();
    assert_eq!(desk.reel(&["fork", "main@1", "orders"]).code, Some(0));
    assert_eq!(desk.reel(&["tag", "first", "main@1"]).code, Some(0));
    for (args, code, words) in [
        (
            &["fork", "mian", "x"][..],
            66,
            "error: there is no space mian in this database\nhint: did you mean main? `reel spaces` lists them\n",
        ),
        (
            &["rollback", "nothing", "--to", "1"],
            66,
            "error: there is no space nothing in this database\nhint: `reel spaces` lists them\n",
        ),
        (&["history", "nothing"], 66, "there is no space nothing"),
        (&["diff", "main", "nothing@1"], 66, "there is no space nothing"),
        (&["kv", "ls", "nothing"], 66, "there is no space nothing"),
        (&["tag", "t", "nothing"], 66, "there is no space nothing"),
        (&["spaces", "--remove", "nothing"], 66, "there is no space nothing"),
        (&["fork", "main@9", "x"], 66, "error: space main has versions 0 to 3, there is no 9\n"),
        (&["rollback", "main", "--to", "9"], 66, "error: space main has versions 0 to 3, there is no 9\n"),
        (&["diff", "main@9"], 66, "there is no 9"),
        (&["tag", "t", "main@9"], 66, "there is no 9"),
        (
            &["fork", "main", "main"],
            67,
            "error: a fork of main needs another name than main\nhint: to bring main itself back to version 3: reel rollback main --to 3\n",
        ),
        (
            &["fork", "main@2", "orders"],
            67,
            "error: there is a space orders already, at version 0\nhint: choose another name, or give that one up with `reel spaces --remove orders`\n",
        ),
        (&["fork", "main", "no name"], 2, "is no space name"),
        (&["fork", "main", "x@1"], 2, "is no space name"),
        (&["fork", "main"], 2, "required arguments were not provided"),
        (&["fork", "main@", "x"], 2, "is no moment of a space"),
        (&["fork", "main@1.5", "x"], 2, "is no moment of a space"),
        (&["rollback", "main"], 2, "--to <WHEN>"),
        (&["rollback", "main@1", "--to", "1"], 2, "is no space name"),
        (
            &["rollback", "main", "--to", "once"],
            66,
            "error: there is no tag once in this database\nhint: `reel tag` lists tags",
        ),
        (&["rollback", "main", "--to", "fist"], 66, "hint: did you mean first? "),
        (
            &["rollback", "orders", "--to", "first"],
            66,
            "error: tag first names main@1, which is no version of orders\nhint: write main@first for that one\n",
        ),
        (
            &["rollback", "orders", "--to", "2@1"],
            66,
            "error: run 2 worked in space main, not in orders\nhint: write main@2@1 for what it had reached there\n",
        ),
        (&["rollback", "main", "--to", "9@1"], 66, "error: there is no run 9 in this database\n"),
        (&["rollback", "main", "--to", "1@"], 2, "is no moment of a space"),
        (&["rollback", "main", "--to", "99999999999999999999"], 2, "too large for a version"),
        (&["fs", "ls", "orders@1h:"], 66, "  at it was forked from main@1 at "),
        (&["diff"], 2, "required arguments"),
        (&["diff", "main", "@"], 2, "is no moment of a space"),
        (&["kv", "get", "main", "b"], 2, "required arguments"),
        (&["history", "main", "--limit", "x"], 2, "invalid value"),
    ] {
        let said = desk.reel(args).fails(code);
        assert!(said.starts_with("error: ") && said.contains(words), "{args:?}: {said}");
    }
    assert_eq!(cells(&desk.reel(&["spaces"]).well()).len(), 3, "nothing was made");
    let said = Desk::new().reel(&["fork", "main", "x"]).fails(120);
    assert!(said.starts_with("error: no database in .reel\n"), "{said}");
}

#[test]
fn they_are_served_while_a_guest_runs() {
    use std::io::{BufRead, BufReader};
    let desk = with_versions();
    desk.guest("ticks.wasm", &guests::ticks(12, 250));
    let mut child = desk.spawn(&mut desk.command(&["run", "ticks.wasm", "--space", "busy"]));
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line, "tick\n");
    let begun = std::time::Instant::now();
    for args in [
        &["history", "main"][..],
        &["history", "main", "a.txt"],
        &["diff", "main@1"],
        &["kv", "ls", "main"],
        &["tag", "during", "main@2"],
        &["fs", "ls", "main@during:"],
        &["fork", "main@during", "forked"],
        &["rollback", "main", "--to", "1"],
        &["tag", "during", "--remove"],
        &["spaces", "--remove", "forked"],
    ] {
        let said = desk.reel(args);
        assert_eq!(said.code, Some(0), "{args:?}: {}", said.err);
    }
    desk.reel(&["kv", "get", "main", "b", "k"]).fails(66);
    assert_eq!(desk.reel(&["rollback", "main", "--to", "3"]).out, "main@5\n");
    assert!(begun.elapsed() < std::time::Duration::from_millis(2500), "served at once, not after the run");
    assert_eq!(child.wait_with_output().expect("ends").status.code(), Some(0));
    assert_eq!(cells(&desk.reel(&["history", "main"]).well())[1..3], ["5 rollback to 3", "4 rollback to 1"]);
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
}

#[test]
fn damage_elsewhere_does_not_matter() {
    let desk = with_kvtool();
    import(&desk, &[("spoilt", &"spoilt ".repeat(3000)), ("good", "good\n")]);
    run(&desk, "kvtool.wasm", &["store.set b k one"]);
    import(&desk, &[("good", "better\n")]);
    run(&desk, "kvtool.wasm", &["store.set b k two"]);
    let damage = |file: &str, what: &[u8]| {
        let path = desk.path().join(file);
        let mut bytes = std::fs::read(&path).expect("file");
        let at = bytes.windows(what.len()).position(|part| part == what).expect("it is there");
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).expect("written");
    };
    damage(".reel/blobs.redb", b"spoilt spoilt spoilt");
    // The begin of the first run, in its row of the log.
    damage(".reel/log/00000001.redb", b"reel fs import");
    assert_eq!(desk.reel(&["verify"]).code, Some(12));
    assert_eq!(desk.reel(&["fs", "cat", "main:spoilt"]).code, Some(120));
    assert_eq!(desk.reel(&["fs", "cat", "main:good"]).well(), "better\n");
    assert_eq!(desk.reel(&["kv", "get", "main@2", "b", "k"]).well(), "one");
    assert_eq!(desk.reel(&["kv", "get", "main", "b", "k"]).well(), "two");
    let page = desk.reel(&["diff", "main@1"]).well();
    assert!(
        page.ends_with(
            "-good\n+better\nbucket \"b\"\n+ \"k\": \"two\"\n1 file changed; 1 line added, 1 removed; 1 key added\n"
        ),
        "{page}"
    );
    assert_eq!(cells(&desk.reel(&["history", "main"]).well()).len(), 5);
    assert_eq!(cells(&desk.reel(&["history", "main", "good"]).well()).len(), 3);
    assert_eq!(cells(&desk.reel(&["history", "main", "spoilt"]).well()).len(), 2);
    assert_eq!(cells(&desk.reel(&["history", "main", "--kv", "b", "k"]).well()).len(), 3);
    assert_eq!(desk.reel(&["fork", "main@2", "fork"]).out, "fork@0\n");
    assert_eq!(desk.reel(&["spaces"]).code, Some(0));
    assert_eq!(desk.reel(&["diff", "main@0", "@1"]).code, Some(120));
}

#[test]
fn history_that_is_let_go_of_is_missed_by_name() {
    let desk = with_kvtool();
    for value in ["one", "two", "three"] {
        run(&desk, "kvtool.wasm", &[&format!("store.set b k {value}"), &format!("file.write a {value}")]);
        import(&desk, &[("big", &value.repeat(10_000))]);
    }
    assert_eq!(desk.reel(&["tag", "release", "main@2"]).code, Some(0));
    assert_eq!(desk.reel(&["fork", "main@3", "trial"]).code, Some(0));
    let said = desk.reel(&["gc"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(said.out.starts_with("there is nothing to remove from before 2"), "{}", said.out);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let said = desk.reel(&["gc", "--keep", "10ms"]);
    assert!(
        said.out.starts_with("to be removed, from before 2") && said.out.contains(" (UTC), but for tagged versions:\n"),
        "{}",
        said.out
    );
    assert!(said.out.contains("\n  4 versions of main\n  the events of 6 runs\n"), "{}", said.out);
    assert_eq!(said.err, "nothing was removed yet; to do it: reel gc --keep 10ms --apply\n");
    assert_eq!(desk.reel(&["kv", "get", "main@1", "b", "k"]).well(), "one");
    let plan = json(&desk.reel(&["gc", "--keep", "10ms", "--json"]).well()).remove(0);
    assert_eq!((&plan["applied"], &plan["spaces"][0]["versions"]), (&Value::Bool(false), &Value::from(4)));
    assert!(plan["payloads"].as_u64() > Some(0));
    let done = json(&desk.reel(&["gc", "--keep", "10ms", "--apply", "--json"]).well()).remove(0);
    assert_eq!(
        (&done["applied"], &done["spaces"][0]["versions"], &done["runs"]),
        (&Value::Bool(true), &Value::from(4), &Value::from(6))
    );
    let gone = |args: &[&str]| {
        let said = desk.reel(args).fails(66);
        assert!(said.contains(" is not kept any more\n  at `reel gc --keep 10ms` removed it at 2"), "{args:?}: {said}");
    };
    gone(&["kv", "get", "main@1", "b", "k"]);
    gone(&["rollback", "main", "--to", "4"]);
    gone(&["fork", "main@5", "late"]);
    gone(&["diff", "main@1"]);
    gone(&["diff", "main", "@5"]);
    gone(&["tag", "late", "main@4"]);
    gone(&["fs", "ls", "main@4:"]);
    gone(&["log", "1"]);
    gone(&["replay", "1"]);
    // Tags and forks keep what they name.
    assert_eq!(desk.reel(&["kv", "get", "main@release", "b", "k"]).well(), "one");
    assert_eq!(desk.reel(&["kv", "get", "trial", "b", "k"]).well(), "two");
    assert_eq!(desk.reel(&["kv", "get", "main", "b", "k"]).well(), "three");
    assert!(desk.reel(&["diff", "main@release", "trial"]).well().contains("~ \"k\": \"one\" -> \"two\"\n"));
    let history = cells(&desk.reel(&["history", "main"]).well());
    assert_eq!(
        history[1..],
        [
            "6 run 6 reel fs import",
            "5 run 5 kvtool.wasm not kept",
            "4 run 4 reel fs import not kept",
            "3 run 3 kvtool.wasm",
            "2 run 2 reel fs import release",
            "1 run 1 kvtool.wasm not kept",
        ]
    );
    let history = cells(&desk.reel(&["history", "main", "--kv", "b", "k"]).well());
    assert_eq!(
        history[1..],
        [
            "main@5 run 5 kvtool.wasm earliest, \"three\"",
            "main@3 run 3 kvtool.wasm changed, \"two\"",
            "main@1 run 1 kvtool.wasm made, \"one\""
        ]
    );
    assert_eq!(desk.reel(&["rollback", "main", "--to", "release"]).out, "main@7\n");
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
    let compacted = desk.reel(&["compact"]).well();
    assert!(compacted.starts_with("FILE") && compacted.contains("blobs.redb"), "{compacted}");
    assert!(
        json(&desk.reel(&["compact", "--json"]).well())
            .iter()
            .all(|file| file["after"].as_u64() <= file["before"].as_u64())
    );
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
    assert_eq!(desk.reel(&["kv", "get", "main", "b", "k"]).well(), "one");
    // Without the tag's protection it goes, too.
    assert_eq!(desk.reel(&["tag", "doomed", "main@6"]).code, Some(0));
    assert_eq!(desk.reel(&["gc", "--keep", "0", "--untagged", "--apply"]).code, Some(0));
    let said = desk.reel(&["kv", "get", "main@2", "b", "k"]);
    assert!(said.code == Some(0) || said.err.contains("`reel gc --keep none --untagged` removed it"), "{}", said.err);
    // A tag that names nothing any more says so, and has nothing that could be undone.
    assert_eq!(cells(&desk.reel(&["tag"]).well())[1..], ["doomed main@6 not kept", "release main@2"]);
    assert_eq!(json(&desk.reel(&["tag", "doomed", "--json"]).well())[0]["kept"], false);
    assert_eq!(
        desk.reel(&["tag", "doomed", "--remove"]).err,
        "main@6, which is not kept any more, has no tag doomed either\n"
    );
    for bad in [&["gc", "--keep", "soon"][..], &["gc", "--keep"], &["compact", "x"]] {
        desk.reel(bad).fails(2);
    }
}
