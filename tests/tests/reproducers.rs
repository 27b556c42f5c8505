//! One-file reproducers: what is in them is enough and not more, they replay with nothing else, and no bytes of them do harm.

use std::path::Path;

use reel_abi::bytes::Bytes;
use reel_abi::id::Digest;
use reel_abi::record::{Cell, CellValue, Frame, family};
use reel_abi::reproducer::{Packed, Reproducer};
use reel_host::runtime::reproduce::check;
use reel_tests::guests::{Target, build, build_as, guest};
use reel_tests::reel::Desk;
use reel_tests::web::Server;

/// An example's guest, on the desk.
fn example(desk: &Desk, name: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests").join(name);
    build_as(&dir, name, "", &desk.path().join(format!("{name}.wasm")));
}

/// Exports a run, and replays it in an empty directory; what was said.
fn replays_elsewhere(desk: &Desk, run: &str) -> (Vec<u8>, String) {
    let name = format!("bug-{run}.reel");
    let said = desk.reel(&["export", run, "-o", &name]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{}", said.err);
    let bytes = desk.bytes(&name);
    let elsewhere = Desk::new();
    elsewhere.file("bug.reel", &bytes);
    let told = elsewhere.reel(&["replay", "bug.reel"]).well();
    assert!(told.starts_with(&format!("run {run}: same")), "{told}");
    let left: Vec<_> = std::fs::read_dir(elsewhere.path()).expect("directory").collect();
    assert_eq!(left.len(), 1, "a replay of a file leaves nothing behind");
    (bytes, told)
}

#[test]
fn runs_of_the_clinic() {
    let desk = Desk::new();
    example(&desk, "clinic");
    let run = |space: &str, args: &[&str]| {
        let before = ["run", "clinic.wasm", "--quiet", "--space", space, "--"];
        desk.reel(&before.iter().chain(args).copied().collect::<Vec<_>>())
    };
    run("ada", &["--by", "lind", "admit", "Ada Berg", "1961-03-07"]).well();
    run("ada", &["--by", "lind", "note", "what only another run has read"]).well();
    run("ada", &["--by", "kim", "reading", "weight", "68", "kg"]).well();
    run("ada", &["--by", "lind", "order", "heparin", "80", "units"]).well();
    let (bytes, _) = replays_elsewhere(&desk, "4");
    // It holds what was read, and nothing of what lay beside it.
    let file = check(&bytes).expect("it is sound").file;
    let text = format!("{:?}", file.states);
    assert!(text.contains("68 kg") && text.contains("Ada Berg") && !text.contains("what only another run"), "{text}");
    assert_ne!(run("bo", &["--by", "tam", "reading", "weight", "6800", "kg"]).code, Some(0));
    replays_elsewhere(&desk, "5");

    // A run and a space of its own, beside others.
    let other = Desk::new();
    other.file("bug.reel", &bytes);
    let said = other.reel(&["import", "bug.reel", "--as", "case"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{}", said.err);
    assert!(said.err.starts_with("run 1 in case@1: run 4 of ada"), "{}", said.err);
    assert!(other.reel(&["replay", "1"]).well().starts_with("run 1: same"));
    assert!(other.reel(&["log", "1"]).well().contains("kv.set"));
    assert!(other.reel(&["show", "1@1"]).well().contains("1@1"));
    assert!(other.reel(&["diff", "case@1", "case@2"]).well().contains("heparin"));
    assert!(other.reel(&["history", "case"]).well().contains("reel import of run 4 of ada"));
    assert!(other.reel(&["runs"]).well().contains("clinic.wasm"));
    assert!(other.reel(&["verify"]).well().starts_with("sound"));
    other.reel(&["import", "bug.reel", "--as", "case"]).fails(67);
    other.reel(&["import", "bug.reel", "--as", "second"]);
    assert!(other.reel(&["replay", "3"]).well().contains("same"));
    // What was imported is not exported again as if it had run here.
    assert!(other.reel(&["export", "1", "-o", "again.reel"]).fails(11).contains("imported"));
    // Runs of the host's own have no guest.
    other.reel(&["export", "2", "-o", "again.reel"]).fails(11);
    other.reel(&["export", "99", "-o", "again.reel"]).fails(66);
}

#[test]
fn files_directories_and_commits_on_the_way() {
    let desk = Desk::new();
    example(&desk, "ledger");
    example(&desk, "bank");
    desk.file("in/a.csv", "date,account,text,amount\n2026-01-01,rent,flat,-500.00\n");
    // Whether it likes the file or not: what it has read of the host is in the log.
    let said = desk.reel(&["run", "ledger.wasm", "--quiet", "--dir", "in::/in:ro", "--", "post", "/in/a.csv"]);
    assert!(said.code.is_some());
    replays_elsewhere(&desk, "1");
    for args in [&["open", "100.00", "ann", "bob"][..], &["transfer", "ann", "bob", "7.00"]] {
        desk.reel(&[&["run", "bank.wasm", "--quiet", "--space", "bank", "--"][..], args].concat()).well();
    }
    for run in ["2", "3"] {
        replays_elsewhere(&desk, run);
    }
    // Each line is a step of a script: two transactions in one run, files and keys.
    let kvtool = guest("kvtool", Target::P2);
    desk.file("kvtool.wasm", std::fs::read(kvtool).expect("the guest"));
    desk.reel(&["run", "kvtool.wasm", "--quiet", "--space", "kv", "--", "keyvalue.set a k zero"]).well();
    let script = [
        "keyvalue.get a k",
        "keyvalue.set a k one",
        "keyvalue.set a l letters",
        "transaction.commit",
        "file.write /f text",
        "keyvalue.get a k",
        "transaction.commit",
        "keyvalue.scan a - . . 10",
        "keyvalue.get-at 1 a k",
        "keyvalue.get-at 2 a k",
        "transaction.version",
        "keyvalue.set a k l:9000",
    ];
    desk.reel(&[&["run", "kvtool.wasm", "--quiet", "--space", "kv", "--"][..], &script].concat()).well();
    let (bytes, _) = replays_elsewhere(&desk, "5");
    let other = Desk::new();
    other.file("bug.reel", &bytes);
    assert_eq!(other.reel(&["import", "bug.reel"]).code, Some(0));
    assert!(other.reel(&["replay", "1"]).well().contains("same"));
    assert!(other.reel(&["verify"]).well().starts_with("sound"));
}

#[test]
fn a_request_that_failed() {
    let desk = Desk::new();
    example(&desk, "shop");
    desk.reel(&["deploy", "shop.wasm", "--as", "shop", "--route", "/shop", "--env", "TOKEN=very-secret-token"]);
    let server = Server::start(&desk, &["--listen", "127.0.0.1:0"]);
    assert_eq!(server.ask_with("/shop", "Authorization: Bearer open-sesame-42\r\n").status, 200);
    let failed = server.ask("POST", "/shop/orders", b"{\"cart\": \"nobody\"}");
    let run = failed.run().to_string();
    // The server has the database, and exports all the same.
    let said = desk.reel(&["export", &run, "-o", "served.reel"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    server.stop();
    replays_elsewhere(&desk, &run);
    // What the file says of a guest makes nobody live where it is imported.
    let other = Desk::new();
    other.file("bug.reel", desk.bytes("served.reel"));
    assert_eq!(other.reel(&["import", "bug.reel"]).code, Some(0));
    assert!(!other.reel(&["ps"]).out.contains("shop"));
    // The header of the other request is hidden; whoever looks finds it nowhere.
    let other_run = (run.parse::<u64>().expect("a number") - 1).to_string();
    let clear = desk.reel(&["export", &other_run, "-o", "clear.reel"]);
    assert_eq!(clear.code, Some(0), "{}", clear.err);
    assert!(holds(&desk.bytes("clear.reel"), b"open-sesame-42") && holds(&desk.bytes("clear.reel"), b"very-secret"));
    let hidden = ["--redact", "header:authorization", "--redact", "env:TOKEN"];
    let said = desk.reel(&[&["export", &other_run, "-o", "hidden.reel"][..], &hidden].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!holds(&desk.bytes("hidden.reel"), b"open-sesame-42"));
    assert!(!holds(&desk.bytes("hidden.reel"), b"very-secret"));
    assert!(desk.reel(&["replay", "hidden.reel"]).well().contains("same"));
}

/// Whether bytes stand anywhere in a reproducer, unpacked.
fn holds(file: &[u8], wanted: &[u8]) -> bool {
    let file = Reproducer::from_file(file).expect("a reproducer");
    let found = |bytes: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    let frames = file.frames.iter().map(|frame| frame.unpack().expect("a frame"));
    let blobs = file.blobs.iter().map(|blob| blob.unpack("a blob", u32::MAX).expect("a blob"));
    let unpacked: Vec<Vec<u8>> = frames.chain(blobs).collect();
    use reel_abi::wire::Wire;
    unpacked.iter().any(|bytes| found(bytes))
        || found(&file.about.to_bytes())
        || file.states.iter().any(|state| found(&state.to_bytes()))
        || file.commits.iter().any(|commit| found(&commit.to_bytes()))
}

#[test]
fn what_cannot_be_redacted_is_said_and_nothing_is_written() {
    let desk = Desk::new();
    example(&desk, "clinic");
    let by = ["run", "clinic.wasm", "--quiet", "--env", "TOKEN=gho_Zq81kXw4", "--env", "PIN=12", "--", "--by", "kim"];
    desk.reel(&[&by[..], &["admit", "Ada Berg", "1961-03-07"]].concat()).well();
    desk.reel(&[&by[..], &["reading", "weight", "68", "kg"]].concat()).well();
    desk.reel(&[&by[..], &["order", "heparin", "80", "units"]].concat()).well();
    // The dose goes by the weight: without that there is none.
    assert!(
        desk.reel(&["export", "3", "-o", "x.reel", "--redact", "readings/weight"]).fails(11).contains("without what")
    );
    assert!(desk.reel(&["export", "3", "-o", "x.reel", "--redact", "env:PIN"]).fails(11).contains("less than"));
    assert!(desk.reel(&["export", "3", "-o", "x.reel", "--redact", "env:NONE"]).fails(11).contains("nothing"));
    desk.reel(&["export", "3", "-o", "x.reel", "--redact", "header:"]);
    assert!(!desk.path().join("x.reel").exists());
    let said = desk.reel(&["export", "3", "-o", "x.reel", "--redact", "env:TOKEN"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!holds(&desk.bytes("x.reel"), b"gho_Zq81kXw4") && holds(&desk.bytes("x.reel"), b"Ada Berg"));
    // The name is only shown, so that it can be another one.
    let said = desk.reel(&["export", "3", "-o", "y.reel", "--redact", "patient/admitted"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!holds(&desk.bytes("y.reel"), b"Ada Berg"));
}

#[test]
fn residents_are_refused_in_words() {
    let desk = Desk::new();
    desk.guest(
        "poke.wasm",
        r#"(component
          (core module $m (memory (export "memory") 1)
            (func (export "poke") (result i32)
              (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))) (i32.load (i32.const 0))))
          (core instance $i (instantiate $m))
          (func (export "poke") (result u32) (canon lift (core func $i "poke"))))"#,
    );
    assert_eq!(desk.reel(&["deploy", "poke.wasm", "--as", "poke"]).code, Some(0));
    assert_eq!(desk.reel(&["call", "poke", "poke"]).code, Some(0));
    assert!(desk.reel(&["export", "last", "-o", "x.reel"]).fails(11).contains("resident"));
}

/// A small reproducer.
fn small() -> Vec<u8> {
    let desk = Desk::new();
    desk.guest("hello.wasm", "(module (memory (export \"memory\") 1) (func (export \"_start\")))");
    desk.reel(&["run", "hello.wasm", "--quiet"]).well();
    replays_elsewhere(&desk, "1").0
}

#[test]
fn no_bytes_do_harm() {
    let good = small();
    check(&good).expect("it is sound");
    for end in 0..good.len() {
        assert!(check(&good[..end]).is_err(), "cut at {end}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(check(&bad).is_err(), "a bit of byte {at}");
    }
    // The same with a digest that fits: refused, or sound, and never a panic.
    for at in 9..good.len() - 32 {
        for with in [0, 0x7f, 0x80, 0xff] {
            let mut bad = good[..good.len() - 32].to_vec();
            bad[at] = with;
            let digest = Digest::of(&bad);
            bad.extend_from_slice(&digest.0);
            let _ = check(&bad);
        }
    }
}

#[test]
fn forged_files_are_refused() {
    let good = small();
    let file = check(&good).expect("it is sound").file;
    let cell = |family: u8, key: &[u8], value: CellValue| Cell { family, key: Bytes(key.to_vec()), value };
    let inline = || CellValue::Inline { bytes: Bytes(b"x".to_vec()) };
    let with = |change: &dyn Fn(&mut Reproducer)| {
        let mut bad = file.clone();
        change(&mut bad);
        check(&bad.to_file().expect("it can be written")).map(drop).map_err(|error| error.to_string())
    };
    let refused = |words: &str, change: &dyn Fn(&mut Reproducer)| match with(change) {
        Err(why) => assert!(why.contains(words), "{why:?} and not {words:?}"),
        Ok(()) => panic!("{words}"),
    };
    assert_eq!(with(&|_| {}), Ok(()));
    let put = |file: &mut Reproducer, cell: Cell| file.states[0].cells = vec![cell];
    refused("family 7", &|file| put(file, cell(family::PAGE, b"x", inline())));
    refused("family 9", &|file| put(file, cell(family::ORIGIN, b"run", inline())));
    refused("no name", &|file| put(file, cell(family::ENTRY, b"\0\0\0\0\0\0\0\x01../../etc/passwd", inline())));
    refused("no name", &|file| put(file, cell(family::ENTRY, b"\0\0\0\0\0\0\0\x01..", inline())));
    refused("not there", &|file| {
        put(file, cell(family::KEY_VALUE, b"\x01bk", CellValue::Blob { digest: Digest::of(b"?"), len: 1 }));
    });
    refused("sorted", &|file| {
        let twice = cell(family::KEY_VALUE, b"\x01bk", inline());
        file.states[0].cells = vec![twice.clone(), twice];
    });
    refused("there twice", &|file| file.states.push(file.states[0].clone()));
    refused("began is not there", &|file| file.states.clear());
    refused("larger than any", &|file| file.about.run.0 = u64::MAX);
    refused("bytes of memory", &|file| file.about.begin.limits.memory_bytes = u64::MAX);
    refused("bytes of stack", &|file| file.about.begin.limits.stack_bytes = 1 << 40);
    refused("another digest", &|file| file.component = Packed::of(b"\0asm\x01\0\0\0").expect("packed"));
    refused("component", &|file| {
        let text = b"#!/bin/sh\necho no component\n";
        file.component = Packed::of(text).expect("packed");
        file.about.begin.component = Digest::of(text);
    });
    refused("no events", &|file| file.frames.clear());
    refused("do not go on", &|file| file.frames[0].first.0 = 7);
    refused("event", &|file| {
        let Frame { run, first, opened, closed, .. } = file.frames[0].clone();
        file.frames[0] = Frame::pack(run, first, 3, (opened, closed), b"\xee\xee\xee").expect("packed");
    });
    // A frame or payload that says less, or more, than is in it.
    refused("unpack", &|file| file.frames[0].raw_len = 1);
    refused("longer than any", &|file| file.frames[0].raw_len = 65 << 20);
    let zeros = Packed::of(&vec![0; 8 << 20]).expect("packed");
    refused("unpack", &|file| file.blobs = vec![Packed { raw_len: 10, ..zeros.clone() }]);
    refused("at most", &|file| file.blobs = vec![Packed { raw_len: 65 << 20, ..zeros.clone() }]);
    refused("more than", &|file| file.blobs = vec![Packed { raw_len: 60 << 20, ..zeros.clone() }; 80]);
    // Nothing of a bad file is imported, and the page says why.
    let desk = Desk::new();
    let mut bad = file.clone();
    put(&mut bad, cell(family::PAGE, b"x", inline()));
    desk.file("bad.reel", bad.to_file().expect("it can be written"));
    let page = desk.reel(&["import", "bad.reel"]).fails(121);
    assert!(page.contains("family 7") && page.contains("nothing of it"), "{page}");
    desk.reel(&["replay", "bad.reel"]).fails(121);
    assert!(desk.reel(&["runs"]).out.is_empty());
    desk.file("text.reel", "no reproducer at all");
    assert!(desk.reel(&["replay", "text.reel"]).fails(121).contains("does not begin as one"));
    desk.reel(&["replay", "missing.reel"]).fails(121);
}

/// `cargo test --release -p reel-tests --test reproducers -- --ignored --nocapture` tells what an export and an import cost.
#[test]
#[ignore = "a measurement"]
fn measure() {
    let desk = Desk::new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests/clinic");
    desk.file("clinic.wasm", std::fs::read(build(&dir, "clinic", Target::P2)).expect("the guest"));
    desk.reel(&["run", "clinic.wasm", "--quiet", "--", "--by", "k", "admit", "Ada Berg", "1961-03-07"]).well();
    let time = |what: &str, deed: &dyn Fn()| {
        deed();
        let begun = std::time::Instant::now();
        (0..10).for_each(|_| deed());
        println!("{what}: {:?}", begun.elapsed() / 10);
    };
    time("export", &|| assert_eq!(desk.reel(&["export", "1", "-o", "x.reel"]).code, Some(0)));
    println!("file: {} bytes", desk.bytes("x.reel").len());
    time("replay of the file", &|| assert_eq!(desk.reel(&["replay", "x.reel"]).code, Some(0)));
    let count = std::cell::Cell::new(0);
    time("import", &|| {
        count.set(count.get() + 1);
        let name = format!("s{}", count.get());
        assert_eq!(desk.reel(&["import", "x.reel", "--as", &name]).code, Some(0));
    });
}
