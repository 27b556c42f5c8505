//! `reel deploy`, `call`, `checkpoint` and `fork` where they cannot do what is asked.

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;

/// A guest whose state cannot be captured, since its code writes a table; it counts its calls.
const POKE: &str = r#"(component
  (core module $m
    (table 2 funcref)
    (elem declare func $f)
    (func $f)
    (global $calls (mut i32) (i32.const 0))
    (func (export "poke") (result i32)
      (table.set (i32.const 0) (ref.func $f))
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (global.get $calls)))
  (core instance $i (instantiate $m))
  (func (export "poke") (result u32) (canon lift (core func $i "poke"))))"#;

fn desk() -> Desk {
    let desk = Desk::new();
    let keeper = guest("keeper", Target::P2);
    desk.reel(&["deploy", keeper.to_str().expect("a path"), "--as", "k"]).well();
    desk
}

/// What a command prints that goes well, whatever it says.
#[track_caller]
fn done(desk: &Desk, args: &[&str]) -> String {
    let said = desk.reel(args);
    assert_eq!(said.code, Some(0), "{args:?}: {}", said.err);
    said.out
}

#[test]
fn a_guest_that_cannot_be_captured_has_no_checkpoint_and_stays_all_the_same() {
    let desk = Desk::new();
    desk.guest("poke.wasm", POKE);
    assert!(desk.reel(&["inspect", "poke.wasm"]).well().contains("snapshot: no, served by replay"));
    desk.reel(&["deploy", "poke.wasm", "--as", "p"]).well();
    assert_eq!(desk.reel(&["call", "p", "poke"]).well(), "1\n");
    let said = desk.reel(&["checkpoint", "p"]);
    assert_eq!((said.code, said.out.as_str()), (Some(121), ""), "{}", said.err);
    assert!(said.err.contains("hint: such a guest comes back by its calls"), "{}", said.err);
    assert_eq!(desk.reel(&["call", "p", "poke"]).well(), "2\n");
}

#[test]
fn a_fork_from_within_a_call_needs_a_free_name() {
    let desk = desk();
    desk.reel(&["call", "k", "add", "1"]).well();
    done(&desk, &["fork", "k", "taken"]);
    let said = desk.reel(&["fork", "k@2@0", "taken"]);
    assert_eq!(said.code, Some(67), "{}", said.err);
    assert!(said.err.contains("there is a space taken already"), "{}", said.err);
    assert_eq!(done(&desk, &["fork", "k@2@0", "free"]), "free@1\n");
}

/// What is wrong is said with what would be right, and nothing is logged of it.
#[test]
fn calls_that_cannot_be_made() {
    let desk = desk();
    let cases: [(&[&str], i32, &str); 5] = [
        (&["nobody", "add", "1"], 66, "hint: `reel ps` lists them"),
        (&["k", "nothing"], 2, "it exports plain, "),
        (&["k", "add", "one"], 2, "add takes (n: s64) -> s64"),
        (&["k", "add", "1", "2"], 2, "hint: arguments are WAVE values"),
        (&["k", "world-of.add", "1"], 2, "it exports no function"),
    ];
    for (args, code, words) in cases {
        let said = desk.reel(&[&["call"], args].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{args:?}: {}", said.err);
        assert!(said.err.contains(words), "{args:?}: {}", said.err);
    }
    assert_eq!(desk.reel(&["runs", "--json"]).well().lines().count(), 1);
    assert_eq!(desk.reel(&["call", "k", "memory.add", "-1"]).well(), "-1\n");
}

#[test]
fn a_guest_that_is_stopped_says_so() {
    let desk = desk();
    assert_eq!(desk.reel(&["stop", "k"]).well(), "k@2\n");
    assert_eq!(desk.reel(&["stop", "k"]).well(), "k@2\n", "nothing is done twice");
    assert!(desk.reel(&["ps", "--json"]).well().contains("\"state\":\"stopped\""));
    let said = desk.reel(&["call", "k", "plain", "1"]);
    assert_eq!(said.code, Some(121));
    assert!(said.err.contains("hint: `reel start k` lets it take calls again"), "{}", said.err);
    assert_eq!(desk.reel(&["start", "k"]).well(), "k@3\n");
    assert_eq!(desk.reel(&["call", "k", "plain", "1"]).well(), "2\n");
}

/// What a guest comes back by is no history, however old it is; an earlier life is.
#[test]
fn guests_live_on_when_history_goes() {
    let desk = desk();
    desk.reel(&["call", "k", "add", "1"]).well();
    done(&desk, &["fork", "k", "f"]);
    desk.reel(&["call", "k", "add", "2"]).well();
    let gc = ["gc", "--keep", "0s", "--apply"];
    assert_eq!(desk.reel(&gc).code, Some(0));
    assert_eq!(desk.reel(&["call", "k", "add", "0"]).well(), "3\n");
    assert_eq!(desk.reel(&["call", "f", "add", "0"]).well(), "1\n");
    done(&desk, &["tag", "first", "k"]);
    let keeper = guest("keeper", Target::P2);
    for name in ["k", "f"] {
        desk.reel(&["deploy", keeper.to_str().expect("a path"), "--as", name]).well();
    }
    assert_eq!(desk.reel(&gc).code, Some(0));
    let remembered = desk.reel(&["memory", "k@first", "--range", "0..16"]);
    assert_eq!(remembered.code, Some(0), "{}", remembered.err);
    done(&desk, &["tag", "--remove", "first"]);
    let said = desk.reel(&gc);
    assert!(said.code == Some(0) && said.out.contains("versions of k"), "{} {}", said.out, said.err);
    assert_eq!(desk.reel(&["call", "k", "add", "5"]).well(), "5\n");
    assert_eq!(desk.reel(&["call", "f", "add", "0"]).well(), "0\n");
    desk.reel(&["verify"]).well();
}

/// A server, which is killed in the end.
struct Server(Child);

impl Server {
    fn of(desk: &Desk) -> Self {
        let mut command = desk.command(&["serve", "--quiet"]);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("reel can be started");
        let (begun, socket) = (Instant::now(), desk.path().join(".reel/admin.sock"));
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody serves");
            sleep(Duration::from_millis(20));
        }
        Self(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it ends");
    }
}

/// A timer lies in the space, so that a fork has it too, and a rollback brings it back: also while somebody serves.
#[test]
fn timers_are_forked_and_brought_back() {
    let desk = desk();
    let _server = Server::of(&desk);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let timer = format!("\"{} add(7)\"", now + 3000);
    desk.reel(&["call", "k", "put-in", "\"reel:timers\"", "\"t\"", &timer]).well();
    done(&desk, &["fork", "k", "f"]);
    done(&desk, &["fork", "k", "g"]);
    desk.reel(&["call", "g", "put-in", "\"reel:timers\"", "\"t\"", "\"no timer\""]).well();
    assert_eq!(desk.reel(&["rollback", "g", "--to", "0"]).code, Some(0));
    let begun = Instant::now();
    for name in ["k", "f", "g"] {
        while desk.reel(&["call", name, "add", "0"]).well() != "7\n" {
            assert!(begun.elapsed() < Duration::from_secs(60), "{name} was not called");
            sleep(Duration::from_millis(100));
        }
        assert_eq!(desk.reel(&["kv", "ls", name]).well(), "", "{name}");
    }
}

#[test]
fn a_call_that_was_cut_off_is_resumed_by_hand() {
    let desk = desk();
    let mut call = desk.command(&["call", "k", "slow-add", "5", "2000"]);
    let mut call = call.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("reel can be started");
    let begun = Instant::now();
    while !desk.reel(&["log", "last"]).well().contains("slow-add") {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not wait");
        sleep(Duration::from_millis(20));
    }
    call.kill().expect("it can be killed");
    call.wait().expect("it ends");
    assert_eq!(desk.reel(&["resume", "last"]).well(), "5\n");
    assert_eq!(desk.reel(&["call", "k", "add", "0"]).well(), "5\n");
    let said = desk.reel(&["resume", "last"]);
    assert_eq!(said.code, Some(11), "{}", said.err);
    desk.reel(&["verify"]).well();
}
