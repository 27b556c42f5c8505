//! While a server has the database, each command is done by it, and says and does what it says and does without one.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use reel_tests::reel::{Desk, Said, end};

use crate::guests;

/// A guest that counts its calls.
const POKE: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "poke") (result i32)
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (i32.load (i32.const 0))))
  (core instance $i (instantiate $m))
  (func (export "poke") (result u32) (canon lift (core func $i "poke"))))"#;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    desk.guest("echo.wasm", &guests::echoes());
    desk.guest("write.wasm", &guests::writes("a.txt", 100, ""));
    desk.guest("exit.wasm", &guests::exits(7));
    desk.guest("trap.wasm", &guests::traps());
    desk.guest("ticks.wasm", &guests::ticks(200, 100));
    desk.guest("looks.wasm", &guests::looks(true));
    desk.guest("poke.wasm", POKE);
    desk.file("in/b.txt", "taken in");
    desk.file("host/h.txt", "of the host");
    desk
}

/// A server, which is killed in the end.
pub struct Server(Child);

impl Server {
    /// Starts it and waits until it serves.
    pub fn of(desk: &Desk) -> Self {
        let mut command = desk.command(&["serve"]);
        let mut server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("reel can be started");
        let mut words = BufReader::new(server.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.starts_with("serving ") {
            line.clear();
            assert!(words.read_line(&mut line).expect("it says something") > 0, "it does not serve");
        }
        std::thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
        Self(server)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(mut self) {
        signal(self.0.id(), "TERM");
        assert_eq!(self.0.wait().expect("it ends").code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a process a signal.
pub fn signal(process: u32, name: &str) {
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// How far what is said is the same in two databases in which the same was done.
#[derive(Clone, Copy, PartialEq)]
enum Same {
    /// But for times.
    All,
    /// The exit code, and whether anything was said: sizes of files, who is awake, how long it took.
    Code,
    /// Somebody serves already, which is no matter where nobody does.
    Refused,
}

/// Commands in an order in which each has something to do. Each kind of command that there is has to be among them.
const STEPS: &[(Same, &str)] = &[
    (Same::All, "run hello.wasm"),
    (Same::All, "run echo.wasm"),
    (Same::All, "run echo.wasm --hold-output"),
    (Same::All, "run write.wasm"),
    (Same::All, "run exit.wasm"),
    (Same::All, "run exit.wasm --commit-on-failure"),
    (Same::All, "run trap.wasm"),
    (Same::All, "run looks.wasm"),
    (Same::All, "run write.wasm --dir ./host::/laid --env REEL_TEST --env A=b -- one two"),
    (Same::All, "run hello.wasm --dir ./nowhere::/laid"),
    (Same::All, "run hello.wasm --env NOT_SET_HERE"),
    (Same::All, "run nothing.wasm"),
    (Same::All, "run in"),
    (Same::All, "run hello.wasm --memory 1"),
    (Same::All, "run hello.wasm --copies 3 --space copies"),
    (Same::All, "deploy poke.wasm --as p"),
    (Same::All, "deploy poke.wasm --as q --json"),
    (Same::All, "deploy hello.wasm --as no"),
    (Same::All, "deploy poke.wasm --as r --route /"),
    (Same::All, "deploy poke.wasm --as h --kind handler"),
    (Same::All, "call p poke"),
    (Same::All, "call p poke --json"),
    (Same::All, "call p peek"),
    (Same::All, "checkpoint p"),
    (Same::All, "memory p"),
    (Same::All, "memory p --range 0..16"),
    (Same::All, "stop p"),
    (Same::All, "call p poke"),
    (Same::All, "start p"),
    (Same::All, "deploy poke.wasm --as p"),
    (Same::All, "call p poke"),
    (Same::Code, "ps"),
    // How many events a run has may depend on when its input came.
    (Same::Code, "runs --limit 0"),
    (Same::All, "runs --failed --limit 0"),
    (Same::All, "log 1"),
    (Same::All, "log 4 --family fs"),
    (Same::Code, "log 4 --follow"),
    (Same::All, "log 99"),
    (Same::All, "sql select(run),(space)from(runs)"),
    (Same::All, "sql select(nowhat)from(runs)"),
    (Same::All, "show 4@1"),
    (Same::All, "show 4@2 --json"),
    (Same::All, "debug 4 --script $"),
    (Same::Code, "debug 4 --at 2 --json"),
    (Same::All, "debug 99 --json"),
    (Same::All, "debug 4"),
    (Same::All, "replay 4"),
    (Same::All, "replay 1 --show-output"),
    (Same::Code, "replay 8 --with hello.wasm"),
    (Same::All, "replay 99"),
    (Same::All, "retry 4 --with write.wasm"),
    (Same::All, "retry 1 --with write.wasm"),
    (Same::All, "retry 7 --with hello.wasm --expect fixed"),
    (Same::All, "retry --failed --with nothing.wasm"),
    (Same::All, "retry last:3 --with hello.wasm"),
    (Same::All, "retry 99 --with hello.wasm"),
    (Same::All, "deploy poke.wasm --as p --check last:2"),
    (Same::All, "resume 1"),
    (Same::All, "resume 99"),
    (Same::All, "spaces"),
    (Same::All, "history main"),
    (Same::All, "diff main@0 main"),
    (Same::All, "why main:/a.txt"),
    (Same::All, "why main:/nothing"),
    (Same::All, "impact main:/a.txt"),
    // How large the file is depends on what times compress to.
    (Same::Code, "export 4 -o four.reel"),
    (Same::All, "export 99 -o none.reel"),
    (Same::All, "import four.reel --as four"),
    (Same::All, "import nothing.reel"),
    (Same::All, "fork main trial"),
    (Same::All, "fork p p2"),
    (Same::All, "call p2 poke"),
    (Same::All, "rollback main --to 1"),
    (Same::All, "tag release main"),
    (Same::All, "tag"),
    (Same::All, "fs ls main:/"),
    (Same::All, "fs cat main:/a.txt"),
    (Same::All, "fs import in main:/in"),
    (Same::All, "fs import nowhere main:/in"),
    (Same::All, "fs export main:/ out"),
    (Same::All, "fs export main:/ out"),
    (Same::All, "kv ls main"),
    (Same::All, "kv get main bucket key"),
    (Same::All, "queue ls"),
    (Same::All, "queue show p 1"),
    (Same::All, "queue put p text"),
    (Same::All, "queue retry p 1"),
    (Same::All, "queue drop p 1"),
    (Same::All, "outbox"),
    (Same::All, "outbox --retry"),
    (Same::All, "outbox --drop 9"),
    (Same::Code, "verify"),
    (Same::Code, "gc"),
    (Same::Code, "gc --keep none --apply"),
    (Same::Code, "compact"),
    (Same::Code, "backup copy"),
    (Same::Code, "backup copy --json"),
    (Same::Code, "restore copy --db restored"),
    (Same::All, "restore copy"),
    (Same::Code, "verify --json"),
    (Same::All, "call p poke"),
    (Same::All, "run echo.wasm"),
    (Same::All, "spaces --remove trial"),
    (Same::All, "inspect hello.wasm"),
    (Same::All, "completions bash"),
    (Same::Refused, "serve --wait 0"),
];

/// Times and spans are what they are.
fn plain(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([';', ',', '.', ')']).trim_start_matches('(');
        let digits = bare.bytes().filter(u8::is_ascii_digit).count();
        let span = ["ns", "us", "ms", "s"]
            .iter()
            .any(|unit| bare.strip_suffix(unit).is_some_and(|number| number.parse::<f64>().is_ok()));
        let time = digits >= 4 && bare.bytes().all(|byte| byte.is_ascii_digit() || b"-:.TZ".contains(&byte));
        let hex = bare.len() >= 16 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        if span || time || hex { "*".to_owned() } else { word.to_owned() }
    };
    text.lines().map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ") + "\n").collect()
}

fn give(desk: &Desk, words: &str) -> Said {
    let mut command = desk.command(&words.split(' ').collect::<Vec<_>>());
    let mut child = desk.spawn(command.stdin(Stdio::piped()).env("REEL_TEST", "handed on"));
    let mut stdin = child.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(&b"what is read\n".repeat(20_000))));
        end(child)
    })
}

#[test]
fn each_command_says_the_same_with_and_without_a_server() {
    let (alone, together) = (desk(), desk());
    // It makes the database; nobody else has to before.
    let _server = Server::of(&together);
    for (same, words) in STEPS {
        if *same == Same::Refused {
            let said = give(&together, words);
            assert!(said.code == Some(120) && said.err.contains("is in use by another process"), "{said:?}");
            continue;
        }
        let (one, other) = (give(&alone, words), give(&together, words));
        let shown = |said: &Said| (said.code, !said.out.is_empty(), !said.err.is_empty());
        assert_eq!(shown(&one), shown(&other), "{words}: {one:?} {other:?}");
        if *same == Same::All {
            assert_eq!(plain(&one.out), plain(&other.out), "{words}");
            let err = |said: &Said, desk: &Desk| plain(&said.err.replace(&*desk.path().to_string_lossy(), "DESK"));
            assert_eq!(err(&one, &alone), err(&other, &together), "{words}");
        }
    }
    for file in ["out/in/b.txt", "host/a.txt"] {
        assert_eq!(alone.path().join(file).exists(), together.path().join(file).exists(), "{file}");
    }
    assert_eq!(together.bytes("out/in/b.txt"), b"taken in");
}

/// A command that somebody adds has to be among the steps above.
#[test]
fn no_command_is_forgotten() {
    let desk = Desk::new();
    let tried: BTreeSet<&str> = STEPS.iter().map(|(_, words)| *words).collect();
    let (mut open, mut all) = (vec![String::new()], 0);
    while let Some(at) = open.pop() {
        let args: Vec<&str> = at.split_whitespace().chain(["--help"]).collect();
        let help = desk.reel(&args).well();
        let Some((_, commands)) = help.split_once("\nCommands:\n") else {
            all += 1;
            assert!(tried.iter().any(|words| words == &at || words.starts_with(&format!("{at} "))), "reel {at}");
            continue;
        };
        let lines = commands.lines().take_while(|line| !line.is_empty());
        let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
            open.push(format!("{at} {name}").trim().to_owned());
        }
    }
    assert!(all > 30, "{all}");
}

/// What the guest reads comes as it is typed, and what it shows leaves as it shows it.
#[test]
fn a_run_talks_with_whoever_asked_for_it() {
    let desk = desk();
    let server = Server::of(&desk);
    let mut child = desk.spawn(desk.command(&["run", "echo.wasm"]).stdin(Stdio::piped()));
    let (mut stdin, mut stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    for word in ["one\n", "two\n", "three\n"] {
        stdin.write_all(word.as_bytes()).expect("written");
        let mut back = vec![0; word.len()];
        stdout.read_exact(&mut back).expect("shown");
        assert_eq!(back, word.as_bytes());
    }
    let large = b"0123456789abcdef".repeat(200_000);
    let back = std::thread::scope(|scope| {
        scope.spawn(|| {
            stdin.write_all(&large).expect("written");
            drop(stdin);
        });
        let mut back = Vec::new();
        stdout.read_to_end(&mut back).expect("shown");
        back
    });
    assert!(back == large, "{} bytes", back.len());
    assert_eq!(end(child).code, Some(0));
    server.stop();
    assert!(desk.reel(&["replay", "1"]).well().contains("same"));
}

/// A run that goes on until it is interrupted, and has shown something.
fn ticking(desk: &Desk) -> Child {
    let mut child = desk.spawn(&mut desk.command(&["run", "ticks.wasm"]));
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line, "tick\n");
    child
}

/// Waits until these words are said of the newest run.
fn stands(desk: &Desk, words: &str) {
    let begun = Instant::now();
    while !desk.reel(&["runs"]).well().lines().nth(1).is_some_and(|line| line.contains(words)) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", desk.reel(&["runs"]).out);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_signal_reaches_the_guest_and_what_became_of_it_is_told() {
    let desk = desk();
    let _server = Server::of(&desk);
    let child = ticking(&desk);
    stands(&desk, "running");
    signal(child.id(), "INT");
    let said = end(child);
    assert_eq!(said.code, Some(130), "{}", said.err);
    assert!(said.err.starts_with("run 1: interrupted; rolled back. reel log 1 | reel replay 1\n"), "{}", said.err);
    // Another one simply goes.
    let mut child = ticking(&desk);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    stands(&desk, "interrupted");
    assert!(desk.reel(&["replay", "2"]).well().contains("same"));
}

#[test]
fn a_run_ends_with_the_server() {
    let desk = desk();
    let server = Server::of(&desk);
    let child = ticking(&desk);
    let begun = Instant::now();
    server.stop();
    let said = end(child);
    assert_eq!(said.code, Some(130), "{}", said.err);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(desk.reel(&["runs"]).well().contains("interrupted"));
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
}

#[test]
fn a_run_under_way_is_not_resumed() {
    let desk = desk();
    let server = Server::of(&desk);
    let child = ticking(&desk);
    stands(&desk, "running");
    let said = desk.reel(&["resume", "1"]).fails(11);
    assert!(said.starts_with("error: run 1 is under way; it was not cut off\nhint: "), "{said}");
    drop(server);
    let said = end(child);
    assert_eq!(said.code, Some(125), "{}", said.err);
    // Another server finds it cut off, and two that want to go on with it do not both do.
    let _server = Server::of(&desk);
    assert!(desk.reel(&["runs"]).well().contains("cut off"));
    let mut first = desk.spawn(&mut desk.command(&["resume", "1"]));
    let mut line = String::new();
    BufReader::with_capacity(1, first.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    assert!(desk.reel(&["runs"]).well().contains("running"));
    assert!(desk.reel(&["resume", "1"]).fails(11).contains("run 1 is under way"));
    signal(first.id(), "INT");
    assert_eq!(end(first).code, Some(130));
}

/// Who reads no more ends what is written to them, and not what others do.
#[test]
fn a_reader_that_leaves_is_no_failure() {
    let desk = desk();
    desk.guest("floods.wasm", &guests::floods(2000));
    let _server = Server::of(&desk);
    let mut child = desk.spawn(&mut desk.command(&["run", "floods.wasm"]));
    drop(child.stdout.take());
    let said = end(child);
    // As without a server: the guest is told, and ends with its own code.
    assert_eq!(said.code, Some(5), "{}", said.err);
    let mut child = desk.spawn(&mut desk.command(&["log", "1", "--json"]));
    drop(child.stdout.take());
    assert_eq!(end(child).code, Some(0));
}

/// Bytes on the socket, and what is answered until the other end closes it.
fn raw(desk: &Desk, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(desk.path().join(".reel/admin.sock")).expect("somebody serves");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let _ = stream.write_all(bytes);
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back);
    back
}

fn request(version: &str, args: &[&str], program: Option<u64>) -> Vec<u8> {
    let args: Vec<String> = args.iter().map(|arg| format!("{arg:?}")).collect();
    let program = program.map_or("null".to_owned(), |len| format!("[\"x.wasm\",{len}]"));
    let look =
        r#"{"out_colour":false,"err_colour":false,"out_terminal":false,"err_terminal":false,"in_terminal":false}"#;
    let brought = r#"{"place":"/","env":[],"dirs":[]}"#;
    let text = format!(
        r#"{{"reel":"{version}","args":[{}],"look":{look},"brought":{brought},"program":{program}}}"#,
        args.join(",")
    );
    [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

const REFUSED: &[u8] = &[4, 0, 0, 0, 0];
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn strangers_and_garbage_do_no_harm() {
    let desk = desk();
    let server = Server::of(&desk);
    let socket = desk.path().join(".reel/admin.sock");
    assert_eq!(std::fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o600);
    // Sizes that nobody sends, bytes that mean nothing, other builds, commands that are not served.
    assert_eq!(raw(&desk, &[0xff; 64]), b"");
    assert_eq!(raw(&desk, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"), b"");
    assert_eq!(raw(&desk, &[8, 0, 0, 0, b'{', b'}', 0, 0, 0, 0, 0, 0]), b"");
    assert_eq!(raw(&desk, &request("0.0.0", &["runs"], None)), REFUSED);
    assert_eq!(raw(&desk, &request(VERSION, &["serve"], None)), REFUSED);
    assert_eq!(raw(&desk, &request(VERSION, &["inspect", "/etc/passwd"], None)), REFUSED);
    assert_eq!(raw(&desk, &request(VERSION, &["nonsense"], None)), REFUSED);
    // A binary larger than any, one that is no binary, and one that does not come along.
    assert_eq!(raw(&desk, &request(VERSION, &["run", "x.wasm"], Some(1 << 40))), REFUSED);
    let back = raw(&desk, &[request(VERSION, &["run", "x.wasm"], Some(4)), b"abcd".to_vec()].concat());
    assert!(String::from_utf8_lossy(&back).contains("error: "), "{}", String::from_utf8_lossy(&back));
    let back = raw(&desk, &request(VERSION, &["run", "x.wasm"], None));
    assert!(String::from_utf8_lossy(&back).contains("did not come along"), "{}", String::from_utf8_lossy(&back));
    // One who announces much and sends nothing is not waited for long, nor are others meanwhile.
    let quiet: Vec<UnixStream> = (0..100).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
    let mut slow = UnixStream::connect(&socket).expect("somebody serves");
    let _ = slow.write_all(&(16u32 << 20).to_le_bytes());
    assert!(desk.reel(&["runs", "--wait", "20"]).well().is_empty());
    drop(quiet);
    // What nobody asked for, in the middle of a run.
    let program = desk.bytes("ticks.wasm");
    let run = request(VERSION, &["run", "x.wasm"], Some(program.len() as u64));
    let unasked = [8, 1, 0, 0, 0, b'x'].repeat(3);
    raw(&desk, &[run.clone(), program.clone(), unasked].concat());
    stands(&desk, "interrupted");
    // One that leaves while its binary travels has asked for nothing.
    let before = desk.reel(&["runs", "--limit", "0"]).well();
    let mut cut = UnixStream::connect(&socket).expect("somebody serves");
    cut.write_all(&[&run[..], &program[..10]].concat()).expect("written");
    drop(cut);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(desk.reel(&["runs", "--limit", "0"]).well(), before);
    server.stop();
    assert!(!socket.exists());
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
}

#[test]
fn many_ask_at_once() {
    let desk = desk();
    let server = Server::of(&desk);
    desk.reel(&["deploy", "poke.wasm", "--as", "p"]).well();
    let children: Vec<Child> = (0..60)
        .map(|number| {
            let args: &[&str] = match number % 3 {
                0 => &["run", "hello.wasm", "--space", "s", "--wait", "60"],
                1 => &["call", "p", "poke", "--wait", "60"],
                _ => &["runs", "--wait", "60"],
            };
            desk.spawn(&mut desk.command(args))
        })
        .collect();
    for child in children {
        let said: Said = end(child);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    }
    assert_eq!(desk.reel(&["call", "p", "poke"]).well(), "21\n");
    server.stop();
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
}

#[test]
fn what_a_killed_server_left_is_in_nobodys_way() {
    let desk = desk();
    let server = Server::of(&desk);
    desk.reel(&["run", "hello.wasm"]).is(0, "hello\n", "");
    drop(server);
    assert!(desk.path().join(".reel/admin.sock").exists());
    desk.reel(&["run", "hello.wasm"]).is(0, "hello\n", "");
    let _server = Server::of(&desk);
    desk.reel(&["run", "hello.wasm"]).is(0, "hello\n", "");
    assert_eq!(desk.reel(&["runs"]).well().lines().count(), 4);
}
