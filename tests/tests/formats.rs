//! What earlier builds wrote stays readable: a database and a reproducer of each format, and what was answered about them when they were
//! written. A format that was released is never written anew.
//!
//! ```text
//! tests/golden/format-N/   log-NNNNNNNN.redb.zst, blobs.redb.zst   a backup, with much in it
//!                          bug.reel                                a reproducer of one of its runs
//!                          answers.txt                             "$ command" and what it printed, and so on
//! ```
//!
//! `REEL_WRITE_GOLDEN=1` writes the one of this build's format, which is for a format that has no release yet.

use std::fs;
use std::path::{Path, PathBuf};

use reel_tests::guests::{Target, build_as, guest};
use reel_tests::reel::Desk;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// What is asked of each database. It only reads.
const QUESTIONS: &[&str] = &[
    "runs --json --limit 0",
    "spaces --json",
    "tag --json",
    "history ada --json",
    "history k --json",
    "kv ls ada",
    "fs ls main:/",
    "diff ada@1 ada",
    "queue ls --json",
    "sql --json select run,seq,call,path,key,bytes,ok,details from events order by run,seq",
    "sql --json select space,version,kind,run,cells from transactions order by space,version",
    "outbox --json",
    "ps --json",
];

/// A question in SQL is one word.
fn words(question: &str) -> Vec<&str> {
    match question.split_once("select ") {
        Some((before, _)) => before.split_whitespace().chain([&question[before.len()..]]).collect(),
        None => question.split(' ').collect(),
    }
}

fn answer(desk: &Desk, question: &str) -> String {
    let said = desk.reel(&words(question));
    assert_eq!(said.code, Some(0), "{question}: {}", said.err);
    format!("$ {question}\n{}\n", said.out)
}

/// A component in whose messages does not stand where it was built.
fn placeless(mut bytes: Vec<u8>) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_string_lossy().into_owned();
    let other = format!("/{}", "r".repeat(root.len() - 1));
    for at in 0..bytes.len().saturating_sub(root.len()) {
        if bytes[at..].starts_with(root.as_bytes()) {
            bytes[at..at + root.len()].copy_from_slice(other.as_bytes());
        }
    }
    bytes
}

/// A database with a command's runs that ended well and in other ways, a resident, messages that wait, a fork, a rollback, a tag.
fn make(desk: &Desk) {
    let clinic = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests/clinic");
    build_as(&clinic, "clinic", "", &desk.path().join("clinic.wasm"));
    desk.file("clinic.wasm", placeless(desk.bytes("clinic.wasm")));
    for name in ["keeper", "postman", "kvtool"] {
        desk.file(&format!("{name}.wasm"), placeless(fs::read(guest(name, Target::P2)).expect("a guest")));
    }
    let give = |line: &str| {
        let said = desk.reel(&line.split(' ').collect::<Vec<_>>());
        assert!(matches!(said.code, Some(0 | 1 | 118 | 123)), "{line}: {said:?}");
    };
    for line in [
        "run clinic.wasm --space ada -- --by lind admit Ada 1961-03-07",
        "run clinic.wasm --space ada -- --by kim reading weight 68 kg",
        "run clinic.wasm --space ada -- --by kim reading weight 6800 kg",
        "run clinic.wasm --space ada -- --by lind order heparin 80 units",
        "run kvtool.wasm -- panic",
        "tag first ada@1",
        "fork ada@2 trial",
        "run clinic.wasm --space trial -- --by tam reading weight 70 kg",
        "rollback trial --to 1",
        "deploy keeper.wasm --as k",
        "call k add 4",
        "call k add 38",
        "checkpoint k",
        "call k add -2",
        "fork k k2",
        "deploy postman.wasm --as p --subscribe post",
    ] {
        give(line);
    }
    let sent = desk.reel(&["call", "p", "send", "\"post\"", "some(\"key\")", "\"a letter\"", "0"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    desk.file("a/b.txt", "b");
    give("fs import a main:/a");
}

fn write(format: &Path) {
    let desk = Desk::new();
    make(&desk);
    let copied = desk.reel(&["backup", "copy"]);
    assert_eq!(copied.code, Some(0), "{copied:?}");
    let exported = desk.reel(&["export", "4", "-o", "bug.reel"]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    drop(fs::remove_dir_all(format));
    fs::create_dir_all(format).expect("directory");
    let pack = |from: &str, to: &str| {
        let bytes = fs::read(desk.path().join("copy").join(from)).expect("a file of the backup");
        fs::write(format.join(to), zstd::encode_all(&bytes[..], 19).expect("packed")).expect("written");
    };
    pack("log/00000001.redb", "log-00000001.redb.zst");
    pack("blobs.redb", "blobs.redb.zst");
    fs::write(format.join("bug.reel"), desk.bytes("bug.reel")).expect("written");
    let answers: String = QUESTIONS.iter().map(|question| answer(&desk, question)).collect();
    fs::write(format.join("answers.txt"), answers).expect("written");
}

/// The database of a format, on a desk of its own.
fn unpack(format: &Path) -> Desk {
    let desk = Desk::new();
    for entry in fs::read_dir(format).expect("directory") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".zst") else { continue };
        let bytes = zstd::decode_all(&fs::read(&path).expect("read")[..]).expect("unpacked");
        desk.file(&format!(".reel/{}", name.replace("log-", "log/")), bytes);
    }
    desk
}

#[test]
fn what_each_format_holds_is_read_replayed_and_gone_on_with() {
    if std::env::var("REEL_WRITE_GOLDEN").is_ok() {
        write(&golden().join(format!("format-{}", reel_abi::FORMAT)));
    }
    let mut formats = 0;
    for entry in fs::read_dir(golden()).expect("directory") {
        let format = entry.expect("entry").path();
        let desk = unpack(&format);
        let answers = fs::read_to_string(format.join("answers.txt")).expect("answers");
        for (question, expected) in
            answers.split("$ ").filter(|part| !part.is_empty()).map(|part| part.split_once('\n').expect("a line"))
        {
            assert_eq!(answer(&desk, question), format!("$ {question}\n{expected}"), "{}", format.display());
        }
        assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
        // All that it holds is executed again, and goes on.
        let runs = desk.reel(&["runs", "--json", "--limit", "0"]).well();
        let mut replayed = 0;
        for run in 1..=runs.lines().count() {
            let said = desk.reel(&["replay", &run.to_string()]);
            assert!(said.code == Some(0) || said.err.contains("there is no guest to execute again"), "{run}: {said:?}");
            replayed += u64::from(said.out.contains(": same"));
        }
        assert!(replayed >= 10, "{replayed}: {runs}");
        assert_eq!(desk.reel(&["call", "k", "add", "2"]).well(), "42\n");
        assert_eq!(desk.reel(&["call", "k2", "add", "3"]).well(), "43\n");
        assert!(desk.reel(&["replay", &format.join("bug.reel").to_string_lossy()]).well().contains(": same"));
        desk.reel(&["import", &format.join("bug.reel").to_string_lossy(), "--as", "case"]);
        assert!(desk.reel(&["spaces"]).well().contains("case"));
        assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
        formats += 1;
    }
    assert_eq!(formats, reel_abi::FORMAT, "each format has its directory");
}
