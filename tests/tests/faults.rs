//! What can go wrong around Reel, done to the real program: killed at any moment, a full disk, damaged files, a log that was tampered with, copies,
//! pipes that close. After each: a clear answer, and nothing lost.

use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use redb::{Database, ReadableTable, TableDefinition};
use reel_tests::guests::{Target, guest};

const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");

/// Repetitions, more if `REEL_LONG` is set.
fn rounds(standard: u64) -> u64 {
    if std::env::var_os("REEL_LONG").is_some() { standard * 10 } else { standard }
}

/// A database and the program at it.
struct Home {
    dir: tempfile::TempDir,
    db: PathBuf,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let db = dir.path().join("db");
        Self { dir, db }
    }

    fn reel(&self) -> Command {
        reel(&self.db)
    }

    /// `reel run` of the hostile guest, ready to start.
    fn guest(&self, flags: &[&str], args: &[&str]) -> Command {
        let mut command = self.reel();
        command.args(["run", "-q"]).args(flags).arg(guest("hostile", Target::P2)).arg("--").args(args);
        command
    }

    /// Runs it to its end.
    fn run(&self, flags: &[&str], args: &[&str]) -> Output {
        ended(&mut self.guest(flags, args))
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = ended(self.reel().args(args));
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The content of a file of the space; nothing if there is none.
    fn file(&self, path: &str) -> Option<String> {
        let output = ended(self.reel().args(["fs", "cat", &format!("main:{path}")]));
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The newest run as `runs --json` has it.
    fn last(&self) -> serde_json::Value {
        let text = self.ok(&["runs", "--limit", "1", "--json"]);
        serde_json::from_str(text.lines().next().unwrap_or("null")).expect("JSON")
    }
}

fn reel(db: &Path) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/reel");
    assert!(path.is_file(), "{} is not built: cargo build --release", path.display());
    let mut command = Command::new(path);
    command.env("REEL_DB", db).env("NO_COLOR", "1").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command
}

/// Runs a command to its end. Whatever happens, Reel neither panics nor aborts nor hangs.
fn ended(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("reel");
    let id = child.id();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if stopped.recv_timeout(Duration::from_secs(50)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            kill(id, "KILL");
        }
    });
    let output = child.wait_with_output().expect("wait");
    drop(stop);
    guard.join().expect("guard");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), None, "{command:?}: {said}");
    // A guest that panics says so too, on a thread 'main' (1).
    let panicked = said.lines().any(|line| line.contains("panicked at") && !line.contains("src/main.rs"));
    assert!(!panicked && output.status.code() != Some(101), "{command:?}: {said}");
    assert!(!said.contains("this is a defect of reel"), "{command:?}: {said}");
    output
}

fn kill(process: u32, signal: &str) {
    Command::new("kill")
        .args([&format!("-{signal}"), &process.to_string()])
        .stderr(Stdio::null())
        .status()
        .expect("kill");
}

fn kill_now(mut child: Child) {
    child.kill().expect("kill");
    child.wait().expect("wait");
}

// Crashes.

/// Killed at any moment of a run that writes sixty-four files, the next process finds all of them or none, and a log that explains it.
#[test]
fn killed_at_any_moment_all_or_nothing_is_there() {
    let home = Home::new();
    assert!(home.run(&[], &["set", "0"]).status.success());
    let begun = Instant::now();
    assert!(home.run(&[], &["set", "1"]).status.success());
    let whole = begun.elapsed();
    let (mut now, mut cut, mut resumed, mut whole_runs) = (1, 0, 0, 0);
    for round in 0..rounds(24) {
        let number = round + 2;
        let before = home.last()["run"].clone();
        let child = home
            .guest(&[], &["set", &number.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("reel");
        // Spread over the whole run and a little beyond, by the golden ratio.
        let share = (round as f64 * 0.618_033_988_7).fract() * 1.1;
        std::thread::sleep(whole.mul_f64(share));
        kill_now(child);
        let opened = Instant::now();
        let last = home.last();
        assert!(opened.elapsed() < Duration::from_secs(2), "opened after {:?}", opened.elapsed());
        let files: Vec<String> =
            ["/set0", "/set31", "/set63"].iter().map(|path| home.file(path).expect("file")).collect();
        let seen: u64 = files[0].split(' ').next().and_then(|word| word.parse().ok()).expect("number");
        for file in &files {
            assert_eq!(*file, format!("{seen} ").repeat(2000), "half a transaction in round {round}");
        }
        assert!(seen == now || seen == number, "{seen} in round {round}");
        let committed = seen == number;
        if last["run"] == before {
            assert!(!committed, "committed without a record");
            continue;
        }
        let replayed = ended(home.reel().args(["replay", "last", "--json"]));
        let verdict: serde_json::Value = serde_json::from_slice(&replayed.stdout).unwrap_or_default();
        assert!(replayed.status.success(), "round {round}: {}", String::from_utf8_lossy(&replayed.stderr));
        if committed {
            (now, whole_runs) = (number, whole_runs + 1);
            continue;
        }
        cut += 1;
        assert!(verdict.to_string().contains("cut"), "{verdict}");
        if round % 3 == 0 {
            let output = ended(home.reel().args(["resume", "last"]));
            assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(home.file("/set63"), Some(format!("{number} ").repeat(2000)), "resumed");
            let again = ended(home.reel().args(["replay", "last"]));
            assert!(again.status.success(), "a resumed run replays: {}", String::from_utf8_lossy(&again.stderr));
            (now, resumed) = (number, resumed + 1);
        }
    }
    home.ok(&["verify"]);
    println!("{cut} runs were cut off, {resumed} of them resumed, {whole_runs} were whole");
    assert!(cut > 0, "no round was cut off with a record; the test is worth nothing");
}

/// The flush of a host directory fails after the commit; the next run delivers exactly what was committed.
#[test]
fn an_undelivered_flush_arrives_with_the_next_run() {
    let home = Home::new();
    let host = tempfile::tempdir().expect("directory");
    let grant = format!("{}::/", host.path().display());
    // While the guest sleeps, its target becomes a directory with something in it, which a file cannot replace.
    let blocked = |number: &str| {
        let mut child = home
            .guest(&["--dir", &grant], &["put-late", number, "/a"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("reel");
        let mut ready = [0; 6];
        child.stdout.take().expect("pipe").read_exact(&mut ready).expect("ready");
        fs::create_dir_all(host.path().join("a/blocks")).expect("directory");
        let code = child.wait().expect("wait").code();
        assert_eq!(code, Some(125), "undelivered");
    };
    blocked("1");
    fs::remove_dir_all(host.path().join("a")).expect("remove");
    assert!(home.run(&[], &["nothing"]).status.success());
    assert_eq!(fs::read_to_string(host.path().join("a")).expect("delivered"), "1");
    assert_eq!(fs::read_dir(host.path()).expect("list").count(), 1, "nothing else is left");
    // What was delivered is not delivered again over what somebody has made of it since.
    fs::write(host.path().join("a"), "the user's").expect("write");
    assert!(home.run(&[], &["nothing"]).status.success());
    assert_eq!(fs::read_to_string(host.path().join("a")).expect("a"), "the user's");
}

/// An entry of which one change cannot be carried out does not write the others over and over.
#[test]
fn an_entry_that_stays_does_not_undo_later_changes() {
    let home = Home::new();
    let host = tempfile::tempdir().expect("directory");
    let grant = format!("{}::/", host.path().display());
    let mut child = home
        .guest(&["--dir", &grant], &["put-late", "1", "/a", "/z"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("reel");
    let mut ready = [0; 6];
    child.stdout.take().expect("pipe").read_exact(&mut ready).expect("ready");
    fs::create_dir_all(host.path().join("z/blocks")).expect("directory");
    assert_eq!(child.wait().expect("wait").code(), Some(125));
    assert_eq!(fs::read_to_string(host.path().join("a")).expect("a"), "1", "the first of the two arrived");
    // What somebody has made of it since is not undone by trying the rest again.
    fs::write(host.path().join("a"), "the user's").expect("write");
    home.run(&[], &["nothing"]);
    assert_eq!(fs::read_to_string(host.path().join("a")).expect("a"), "the user's", "an old commit was written again");
    // A later transaction sees it, changes it, commits and is delivered.
    let output = home.run(&["--dir", &grant], &["put", "2", "/a"]);
    assert_eq!(fs::read_to_string(host.path().join("a")).expect("a"), "2", "{output:?}");
    home.run(&[], &["nothing"]);
    assert_eq!(
        fs::read_to_string(host.path().join("a")).expect("a"),
        "2",
        "an older commit was written over a newer one"
    );
}

/// Killed in the middle of the flush, the next run makes it whole.
#[test]
fn killed_during_a_flush_the_rest_arrives() {
    let home = Home::new();
    let host = tempfile::tempdir().expect("directory");
    let grant = format!("{}::/", host.path().display());
    let mut in_the_middle = 0;
    for round in 1..=rounds(6) {
        let child = home
            .guest(&["--dir", &grant], &["set", &round.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("reel");
        let mine = |name: &str| {
            fs::read_to_string(host.path().join(name)).is_ok_and(|text| text.starts_with(&format!("{round} ")))
        };
        let begun = Instant::now();
        while !mine("set0") && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_micros(200));
        }
        kill_now(child);
        in_the_middle += u64::from(!mine("set63"));
        assert!(home.run(&[], &["nothing"]).status.success());
        for index in 0..64 {
            let text = fs::read_to_string(host.path().join(format!("set{index}"))).expect("delivered");
            assert_eq!(text, format!("{round} ").repeat(2000), "set{index} in round {round}");
        }
    }
    assert_eq!(fs::read_dir(host.path()).expect("list").count(), 64, "no leavings");
    println!("{in_the_middle} kills were in the middle of a flush");
}

// Disks.

/// A mount of a few MiB, where that can be had.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).expect("directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_loses_nothing_and_is_left_behind_once_there_is_space() {
    let home = Home::new();
    let disk = home.dir.path().join("disk");
    let Some(_disk) = SmallDisk::new(&disk, "16m") else {
        println!("skipped: a small file system cannot be mounted here");
        return;
    };
    let home = Home { dir: home.dir, db: disk.join("db") };
    assert!(home.run(&[], &["put", "1", "/kept"]).status.success());
    fs::write(disk.join("ballast"), vec![0; 1 << 20]).expect("ballast");
    // The guest writes more than there is room for.
    let output = home.run(&[], &["fill", "1000"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!([120, 125].contains(&output.status.code().expect("code")), "{output:?}");
    assert!(said.to_lowercase().contains("space"), "{said}");
    // Full to the last byte.
    let mut filler = vec![0; 16 << 20];
    while !filler.is_empty() && fs::write(disk.join("filler"), &filler).is_err() {
        filler.truncate(filler.len() * 9 / 10);
    }
    let full = home.run(&[], &["put", "2", "/kept"]);
    println!("on a full disk: {:?} {}", full.status.code(), String::from_utf8_lossy(&full.stderr));
    if !full.status.success() {
        assert!([120, 125].contains(&full.status.code().expect("code")), "{full:?}");
    }
    let seen = home.file("/kept");
    fs::remove_file(disk.join("filler")).expect("remove");
    fs::remove_file(disk.join("ballast")).expect("remove");
    let expected = if full.status.success() { "2" } else { "1" };
    assert_eq!(
        home.file("/kept").as_deref(),
        Some(expected),
        "nothing acknowledged is lost (when full it was {seen:?})"
    );
    let output = home.run(&[], &["put", "3", "/kept"]);
    assert!(output.status.success(), "works again: {output:?}");
    assert_eq!(home.file("/kept").as_deref(), Some("3"));
    home.ok(&["verify"]);
    for run in home.ok(&["runs", "--limit", "0", "--json"]).lines() {
        println!("{}", &run[..run.len().min(160)]);
    }
}

/// The same by a limit on the size of files, which also ends a process by a signal that must be held off.
#[test]
fn a_limit_on_file_sizes_is_a_clear_error() {
    let home = Home::new();
    assert!(home.run(&[], &["put", "1", "/kept"]).status.success());
    let largest = fs::read_dir(&home.db)
        .expect("list")
        .filter_map(|entry| entry.expect("entry").metadata().ok())
        .map(|meta| meta.len())
        .max()
        .unwrap_or(0);
    let command = home.guest(&[], &["fill", "2000"]);
    let blocks = largest.max(4 << 20) / 512 + 100;
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("ulimit -f {blocks}; exec \"$@\""))
        .arg("sh")
        .args(&words)
        .env("REEL_DB", &home.db)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    let output = ended(&mut shell);
    assert!([120, 125].contains(&output.status.code().expect("code")), "{output:?}");
    assert_eq!(home.file("/kept").as_deref(), Some("1"));
    assert!(home.run(&[], &["put", "2", "/kept"]).status.success());
    home.ok(&["verify"]);
}

// Files that are missing, damaged or moved.

#[test]
fn a_deleted_or_tampered_cache_is_made_anew() {
    let home = Home::new();
    assert!(home.run(&[], &["put", "1", "/a"]).status.success());
    let cache = home.db.join("cache");
    let code = fs::read_dir(&cache).expect("list").next().expect("one").expect("entry").path();
    let good = fs::read(&code).expect("read");
    for at in [0, 100, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&code, &bad).expect("write");
        let output = home.run(&[], &["put", "2", "/a"]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(fs::read(&code).expect("read").len(), good.len());
        assert_ne!(fs::read(&code).expect("read"), bad, "recompiled");
    }
    for bad in [&b""[..], b"\x7fELF", &good[..good.len() / 2]] {
        fs::write(&code, bad).expect("write");
        assert!(home.run(&[], &["put", "3", "/a"]).status.success());
    }
    fs::remove_dir_all(&cache).expect("remove");
    assert!(ended(home.reel().args(["replay", "1"])).status.success());
    assert!(home.run(&[], &["put", "4", "/a"]).status.success());
}

#[test]
fn a_copy_of_the_database_replays_when_everything_else_is_gone() {
    let home = Home::new();
    let host = tempfile::tempdir().expect("directory");
    fs::write(host.path().join("in"), "from the host").expect("write");
    let program = home.dir.path().join("moved.wasm");
    fs::copy(guest("hostile", Target::P2), &program).expect("copy");
    let grant = format!("{}::/h:ro", host.path().display());
    let mut command = home.reel();
    command
        .args(["run", "-q", "--dir", &grant, "--env", "SECRET"])
        .arg(&program)
        .args(["--", "cat", "0", "/h/in"])
        .env("SECRET", "gone soon");
    let output = ended(&mut command);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), r#"Ok("from the host")"#);
    let elsewhere = Home::new();
    assert!(Command::new("cp").arg("-r").arg(&home.db).arg(&elsewhere.db).status().expect("cp").success());
    fs::remove_dir_all(elsewhere.db.join("cache")).expect("no cache");
    drop((home, host));
    elsewhere.ok(&["replay", "last"]);
    elsewhere.ok(&["verify"]);
    assert!(elsewhere.ok(&["log", "last"]).contains("in"));
}

/// Two at once on a database that neither has made yet.
#[test]
fn two_at_once_on_a_fresh_database() {
    for round in 0..rounds(5) {
        let home = Home::new();
        let start = |path: &str| {
            home.guest(&[], &["put", "1", path]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("reel")
        };
        let children = [start("/a"), start("/b"), start("/c")];
        for child in children {
            let output = child.wait_with_output().expect("wait");
            assert!(output.status.success(), "round {round}: {output:?}");
        }
        for path in ["/a", "/b", "/c"] {
            assert_eq!(home.file(path).as_deref(), Some("1"), "{path} in round {round}");
        }
        home.ok(&["verify"]);
    }
}

/// All files below a directory that are a part of the database.
fn parts(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.join("state.redb"), dir.join("blobs.redb")];
    found.extend(fs::read_dir(dir.join("log")).expect("log").map(|entry| entry.expect("entry").path()));
    found.sort();
    found
}

fn copy(from: &Home) -> Home {
    let to = Home::new();
    assert!(Command::new("cp").arg("-r").arg(&from.db).arg(&to.db).status().expect("cp").success());
    to
}

/// Damage anywhere: a clear error or no harm, and never a wrong answer.
#[test]
fn damaged_bytes_are_noticed_or_harmless() {
    let home = Home::new();
    assert!(home.run(&[], &["set", "1"]).status.success());
    assert!(home.run(&[], &["put", "7", "/a"]).status.success());
    let good = home.ok(&["log", "1"]);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below.max(1)
    };
    let (mut noticed, mut harmless) = (0, 0);
    for round in 0..rounds(36) {
        let bad = copy(&home);
        let parts = parts(&bad.db);
        let path = &parts[round as usize % parts.len()];
        let mut bytes = fs::read(path).expect("read");
        match round / parts.len() as u64 % 4 {
            0 => bytes[draw(4096) as usize] ^= 1 << draw(8),
            1 => {
                // Where there is something: most of a file of redb is empty.
                let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
                bytes[used[draw(used.len() as u64) as usize]] ^= 1 << draw(8);
            }
            2 => bytes.truncate(draw(bytes.len() as u64) as usize),
            _ => {
                let at = draw(bytes.len() as u64 / 4096) as usize * 4096;
                bytes[at..at + 4096].fill(draw(256) as u8);
            }
        }
        fs::write(path, &bytes).expect("write");
        let what = format!("round {round}, {}", path.display());
        for args in [
            &["verify"][..],
            &["runs"],
            &["log", "1"],
            &["show", "1@3"],
            &["replay", "1"],
            &["fs", "cat", "main:/a"],
            &["fs", "cat", "main:/set9"],
        ] {
            let output = ended(bad.reel().args(args));
            let said = String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                harmless += 1;
                match args {
                    ["log", ..] => assert_eq!(String::from_utf8_lossy(&output.stdout), good, "{what}"),
                    ["fs", _, "main:/a"] => assert_eq!(output.stdout, b"7", "{what}"),
                    ["fs", _, _] => assert_eq!(String::from_utf8_lossy(&output.stdout), "1 ".repeat(2000), "{what}"),
                    _ => {}
                }
            } else {
                noticed += 1;
                assert!(!said.trim().is_empty() || args == ["verify"], "{what}: {args:?} says nothing: {output:?}");
                let code = output.status.code().expect("code");
                assert!([10, 11, 12, 66, 120].contains(&code), "{what}: {args:?} ends with {code}: {said}");
            }
        }
        let output = bad.run(&[], &["put", "8", "/b"]);
        assert!(
            output.status.success() || output.status.code() == Some(120) || output.status.code() == Some(125),
            "{what}: {output:?}"
        );
    }
    println!("{noticed} answers were errors, {harmless} were right all the same");
    assert!(noticed > 10 && harmless > 10);
}

/// Somebody changes a row of the log through redb itself, whose own checksums then agree.
#[test]
fn a_changed_row_is_found_by_verify_and_by_nobody_believed() {
    let home = Home::new();
    assert!(home.run(&[], &["print", "0", "hello"]).status.success());
    assert!(home.run(&[], &["put", "7", "/a"]).status.success());
    let mut found = 0;
    for round in 0..rounds(24) {
        let bad = copy(&home);
        let log =
            parts(&bad.db).into_iter().find(|path| path.parent().is_some_and(|dir| dir.ends_with("log"))).expect("log");
        let database = Database::open(&log).expect("open");
        let write = database.begin_write().expect("write");
        {
            let mut rows = write.open_table(ROWS).expect("rows");
            let all: Vec<(u64, Vec<u8>)> = rows
                .iter()
                .expect("rows")
                .map(|row| row.map(|(key, value)| (key.value(), value.value().to_vec())).expect("row"))
                .collect();
            let (position, mut row) = all[round as usize % all.len()].clone();
            let at = (round as usize * 7919 + 13) % row.len();
            match round % 4 {
                0 | 1 => row[at] ^= 1 << (round % 8),
                2 => row.truncate(at),
                _ => row.extend_from_slice(b"more"),
            }
            rows.insert(position, row.as_slice()).expect("insert");
        }
        write.commit().expect("commit");
        drop(database);
        let output = ended(bad.reel().arg("verify"));
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "round {round}: verify believes it: {said}");
        assert!(said.contains("row") || said.contains("log") || said.contains("run"), "it says where: {said}");
        found += 1;
        for args in [&["replay", "1"], &["log", "1"], &["replay", "2"], &["log", "2"]] {
            ended(bad.reel().args(args));
        }
        ended(&mut bad.guest(&[], &["nothing"]));
    }
    println!("{found} changes were found");
}

/// A whole row goes missing, or two change places.
#[test]
fn rows_that_are_gone_or_swapped_are_found() {
    let home = Home::new();
    for number in ["1", "2", "3", "4"] {
        assert!(home.run(&[], &["put", number, "/a"]).status.success());
    }
    for remove in [true, false] {
        let bad = copy(&home);
        let log =
            parts(&bad.db).into_iter().find(|path| path.parent().is_some_and(|dir| dir.ends_with("log"))).expect("log");
        let database = Database::open(&log).expect("open");
        let write = database.begin_write().expect("write");
        {
            let mut rows = write.open_table(ROWS).expect("rows");
            let all: Vec<(u64, Vec<u8>)> = rows
                .iter()
                .expect("rows")
                .map(|row| row.map(|(key, value)| (key.value(), value.value().to_vec())).expect("row"))
                .collect();
            let middle = all.len() / 2;
            if remove {
                rows.remove(all[middle].0).expect("remove");
            } else {
                rows.insert(all[middle].0, all[middle - 1].1.as_slice()).expect("insert");
                rows.insert(all[middle - 1].0, all[middle].1.as_slice()).expect("insert");
            }
        }
        write.commit().expect("commit");
        drop(database);
        let output = ended(bad.reel().arg("verify"));
        assert!(!output.status.success(), "verify believes it: {output:?}");
    }
}

#[test]
fn lost_state_is_made_anew_and_lost_blobs_are_named() {
    let home = Home::new();
    assert!(home.run(&[], &["set", "1"]).status.success());
    assert!(home.run(&[], &["put", "7", "/a"]).status.success());
    let without = copy(&home);
    fs::remove_file(without.db.join("state.redb")).expect("remove");
    assert_eq!(without.file("/a").as_deref(), Some("7"));
    assert_eq!(without.file("/set5"), Some("1 ".repeat(2000)));
    without.ok(&["verify"]);
    let without = copy(&home);
    fs::remove_file(without.db.join("blobs.redb")).expect("remove");
    let output = ended(without.reel().arg("verify"));
    assert!(!output.status.success(), "{output:?}");
    let output = ended(without.reel().args(["replay", "1"]));
    assert!([11, 120].contains(&output.status.code().expect("code")), "{output:?}");
    assert_eq!(without.file("/set5").filter(|text| *text != "1 ".repeat(2000)), None, "no wrong answer");
}

/// The state is never the only place of anything: wherever it is damaged, whoever finds it says so, and the next one has all of it.
#[test]
fn damage_to_the_state_heals_by_itself() {
    let home = Home::new();
    assert!(home.run(&[], &["set", "1"]).status.success());
    assert!(home.run(&[], &["put", "7", "/a"]).status.success());
    home.ok(&["tag", "named", "main@1"]);
    let runs = home.ok(&["runs"]);
    let state = |home: &Home| home.db.join("state.redb");
    let good = fs::read(state(&home)).expect("state");
    let mut found = 0;
    let pages = good.len() / 4096;
    for page in (0..pages).filter(|page| good[page * 4096..(page + 1) * 4096].iter().any(|byte| *byte != 0)) {
        let mut bytes = good.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0);
        fs::write(state(&home), bytes).expect("write");
        for args in [&["compact"][..], &["runs"]] {
            let output = ended(home.reel().args(args));
            let said = String::from_utf8_lossy(&output.stderr);
            found += u64::from(!output.status.success());
            assert!(
                output.status.success() || said.contains("error: ") && said.contains("state.redb"),
                "{page}: {said}"
            );
        }
        // Found or not, it is no longer in the way.
        assert_eq!(home.ok(&["runs"]), runs, "page {page}");
        home.ok(&["compact"]);
    }
    assert!(found > 0);
    home.ok(&["verify"]);
    // A row that makes no sense, under checksums that do.
    fs::write(state(&home), good).expect("write");
    let begins: TableDefinition<u64, &[u8]> = TableDefinition::new("begins");
    let database = Database::open(state(&home)).expect("state");
    let txn = database.begin_write().expect("write");
    txn.open_table(begins).expect("table").insert(1, &b"nonsense"[..]).expect("insert");
    txn.commit().expect("commit");
    drop(database);
    let output = ended(home.reel().arg("runs"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(120), "{said}");
    assert!(said.contains("state.redb is damaged: "), "{said}");
    assert!(
        said.contains(
            "\nhint: nothing is lost: when the database is opened next, this file is made again from the log\n"
        )
    );
    assert_eq!(home.ok(&["runs"]), runs);
    home.ok(&["verify"]);
}

// Pipes.

#[test]
fn output_pipes_may_close_early() {
    let home = Home::new();
    assert!(home.run(&[], &["calls", "100000"]).status.success());
    let quietly = |command: &mut Command, name: &str| {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().expect("reel");
        let mut line = [0; 20];
        let count = child.stdout.as_mut().expect("pipe").read(&mut line).expect("read");
        assert!(count > 0, "{name}");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("wait");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !said.contains("panicked at host")
                && !said.contains("panicked at store")
                && output.status.signal().is_none(),
            "{name}: {said}"
        );
        (output.status.code().expect("code"), said)
    };
    for args in
        [&["log", "1"][..], &["log", "1", "--json"], &["show", "1@5"], &["runs"], &["--help"], &["completions", "bash"]]
    {
        let (code, said) = quietly(home.reel().args(args), &args.join(" "));
        assert_eq!((code, said.as_str()), (0, ""), "{args:?}");
    }
    // The guest is told that nobody reads; this one then ends with a failure, and the run is recorded and replays.
    let (code, _) = quietly(&mut home.guest(&[], &["flood", "1000"]), "run");
    assert_eq!(code, 1);
    home.ok(&["replay", "last"]);
    home.ok(&["verify"]);
}
