//! What the READMEs show is what happens: every `console` block in them is typed into a shell, and what comes back is held against the page.
//!
//! Times, durations, digests and the numbers of events are not compared. `[..]` stands for any text within a line, a line `...` for any
//! lines. A command that fails must be followed by `$ echo $?`. Ports of 127.0.0.1 that the commands name are others in the test, which are free
//! there. What still runs at the end of a page is killed.
//!
//! `REEL_PAGES=write cargo test --release -p reel-tests --test examples` puts what happens into the pages.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use reel_tests::guests::{build_as, target_dir};
use reel_tests::reel::{Desk, programs};

/// No page takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ends the output of a command; the rest of the line is its exit code.
const MARK: &str = "<<< end of command, exit code ";

/// A command of a page and what it shall print.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the tests lie in the workspace")
}

/// The commands in all `console` blocks of a page. Lines that begin with `> ` go on with a command.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (line, text) in (1..).zip(page.lines()) {
        match (inside, text) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, text) => match (text.strip_prefix("$ "), text.strip_prefix("> "), steps.last_mut()) {
                (Some(command), _, _) => steps.push(Step { line, command: command.to_owned(), expected: Vec::new() }),
                (None, Some(more), Some(step)) if step.expected.is_empty() => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                (None, _, Some(step)) => step.expected.push(text.to_owned()),
                (None, _, None) => panic!("line {line}: output before the first command"),
            },
            (false, _) => {}
        }
    }
    steps
}

/// The address whose ports are not those of the page.
const HERE: &str = "127.0.0.1:";

/// The ports that commands name, and for each one that is free.
fn ports(steps: &[Step]) -> Vec<(String, String)> {
    let commands = steps.iter().flat_map(|step| step.command.split(HERE).skip(1));
    let named: BTreeSet<String> =
        commands.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect()).collect();
    // All at once, so that none is found twice.
    let free: Vec<_> =
        named.iter().map(|_| TcpListener::bind((HERE.trim_end_matches(':'), 0)).expect("a port")).collect();
    let here = |port: &dyn std::fmt::Display| format!("{HERE}{port}");
    let port = |free: TcpListener| free.local_addr().expect("an address").port();
    named.iter().zip(free).map(|(named, free)| (here(named), here(&port(free)))).collect()
}

/// Types all commands into one shell; what each printed on both streams, and its exit code.
fn run(steps: &[Step], dir: &Path) -> Vec<(String, i32)> {
    let ports = ports(steps);
    let mut script = String::from("exec 2>&1\n");
    for Step { command, .. } in steps {
        let command = ports.iter().fold(command.clone(), |command, (named, free)| command.replace(named, free));
        script.push_str(&format!("{command}\nreel_code=$?; printf '\\n{MARK}%d\\n' $reel_code; (exit $reel_code)\n"));
    }
    let programs = programs(&["reel", "ask", "payments", "crowd"]);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", programs.display());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).current_dir(dir).env("PATH", path).env("NO_COLOR", "1").env_remove("REEL_DB");
    // Into a file: what a page leaves running would keep a pipe open.
    let mut output = tempfile::tempfile().expect("a file");
    shell.stdin(Stdio::null()).stdout(output.try_clone().expect("a file")).process_group(0);
    let mut shell = shell.spawn().expect("there is a shell");
    let group = format!("-{}", shell.id());
    let kill = || Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let (ended, watched) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let kill = &kill;
        scope.spawn(move || {
            if watched.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                drop(kill());
            }
        });
        shell.wait().expect("the shell ends");
        drop(ended);
    });
    kill().expect("kill runs");
    let mut bytes = Vec::new();
    output.seek(SeekFrom::Start(0)).and_then(|_| output.read_to_end(&mut bytes)).expect("the output");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let text = ports.iter().fold(text, |text, (named, free)| text.replace(free, named));
    let mut done: Vec<(String, i32)> = Vec::new();
    let mut rest = text.as_str();
    while let Some((printed, more)) = rest.split_once(MARK) {
        let (code, more) = more.split_once('\n').unwrap_or((more, ""));
        done.push((printed.strip_suffix('\n').unwrap_or(printed).to_owned(), code.parse().expect("a number")));
        rest = more;
    }
    done
}

/// A line without what differs from run to run.
fn plain(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let masked: Vec<&str> = (0..words.len()).map(|at| mask(words[at], words.get(at + 1).copied())).collect();
    if masked == words { line.to_owned() } else { masked.join(" ") }
}

/// What stands for a word, by itself and by the word behind it.
fn mask<'a>(word: &'a str, next: Option<&str>) -> &'a str {
    let bare = word.trim_matches(|c: char| "<>[](){},;:\"".contains(c));
    let bare = bare.rsplit_once('=').map_or(bare, |(_, value)| value);
    let is = |text: &str, what: fn(&char) -> bool| !text.is_empty() && text.chars().all(|c| what(&c));
    let number = |text: &str| is(text, char::is_ascii_digit);
    let clock = |text: &str| {
        text.split(':').count() == 3 && text.split([':', '.', 'Z']).all(|part| part.is_empty() || number(part))
    };
    let date = |text: &str| text.len() == 10 && text.split('-').all(number);
    let duration = || {
        let value = ["ns", "us", "ms", "s"].iter().find_map(|unit| bare.strip_suffix(unit));
        value.is_some_and(|value| value.split('.').all(number))
    };
    match word {
        _ if next.is_some_and(|next| next.starts_with("events")) && number(bare) => "(count)",
        // A guest that has to wait asks more than once.
        _ if matches!(next, Some("exit" | "trap:" | "aborted:")) && number(word) => "(count)",
        // How many are written at once is a matter of time.
        _ if next.is_some_and(|next| next == "rows" || next.starts_with("frames")) && number(bare) => "(count)",
        _ if date(bare) && next.is_some_and(clock) => "(date)",
        _ if clock(bare) || bare.split_once('T').is_some_and(|(day, time)| date(day) && clock(time)) => "(time)",
        _ if bare.split_once('@').is_some_and(|(run, event)| number(run) && number(event)) => "(event)",
        _ if bare.len() >= 12 && is(bare, char::is_ascii_hexdigit) => "(digest)",
        _ if duration() => "(duration)",
        _ => word,
    }
}

/// Whether a line is as expected, `[..]` standing for anything.
fn line_fits(expected: &str, line: &str) -> bool {
    let (expected, line) = (plain(expected), plain(line));
    let parts: Vec<&str> = expected.split("[..]").collect();
    let [first, middle @ .., last] = &parts[..] else { return expected == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in middle {
        match rest.split_once(part) {
            Some((_, more)) => rest = more,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether lines are as expected, `...` standing for any number of them.
fn fits(expected: &[String], lines: &[&str]) -> bool {
    match (expected, lines) {
        ([], []) => true,
        ([dots, more @ ..], _) if dots == "..." => (0..=lines.len()).any(|skipped| fits(more, &lines[skipped..])),
        ([one, more @ ..], [line, rest @ ..]) => line_fits(one, line) && fits(more, rest),
        _ => false,
    }
}

/// Runs the session of a page in a fresh directory with the files of `from`, and the guests built from their sources: `DIR`, or `DIR+FEATURE=FILE` for
/// one with a feature and a name of its own.
fn session(page: &str, from: &str, guests: &[&str]) {
    let root = root();
    let dir = tempfile::tempdir().expect("there is room for a directory");
    copy(&root.join(from), dir.path());
    for guest in guests {
        let (package, file) = guest.split_once('=').unwrap_or((guest, ""));
        let (package, features) = package.split_once('+').unwrap_or((package, ""));
        let name = package.rsplit('/').next().unwrap_or(package);
        let file = if file.is_empty() { format!("{name}.wasm") } else { file.to_owned() };
        build_as(&root.join("examples/guests").join(package), name, features, &dir.path().join(file));
    }
    let text = std::fs::read_to_string(root.join(page)).expect("the page is there");
    let steps = steps(&text);
    assert!(!steps.is_empty(), "{page} shows no session");
    let done = run(&steps, dir.path());
    let (mut wrong, mut now) = (String::new(), text.lines().map(str::to_owned).collect::<Vec<_>>());
    for (index, step) in steps.iter().enumerate().rev() {
        let Some((printed, code)) = done.get(index) else {
            wrong.insert_str(0, &format!("{page}:{}: $ {}: the shell did not come here\n", step.line, step.command));
            continue;
        };
        let lines: Vec<&str> = printed.lines().collect();
        let asked = steps.get(index + 1).is_some_and(|next| next.command == "echo $?");
        if !fits(&step.expected, &lines) {
            wrong.insert_str(0, &format!("{page}:{}: $ {}\n{printed}\n", step.line, step.command));
            let first = step.line + step.command.lines().count() - 1;
            now.splice(first..first + step.expected.len(), lines.into_iter().map(str::to_owned));
        } else if *code != 0 && !asked {
            wrong.insert_str(0, &format!("{page}:{}: $ {}: exit code {code}\n", step.line, step.command));
        }
    }
    if std::env::var("REEL_PAGES").is_ok_and(|wish| wish == "write") {
        std::fs::write(root.join(page), now.join("\n") + "\n").expect("the page can be written");
    }
    assert!(wrong.is_empty(), "the page does not show what happens. What happens is:\n\n{wrong}");
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the example is there") {
        let entry = entry.expect("it can be listed");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true if entry.file_name() == "target" => {}
            true => {
                std::fs::create_dir(&to).expect("a directory can be made");
                copy(&from, &to);
            }
            false => drop(std::fs::copy(&from, &to).expect("a file can be copied")),
        }
    }
}

#[test]
fn readme() {
    session("README.md", "examples/guests/ledger", &["ledger", "shop+first=shop.wasm"]);
}

#[test]
fn guests() {
    session("docs/guests.md", "examples/guests/shop/mailer", &["shop+first=shop.wasm"]);
}

#[test]
fn questions() {
    session("docs/questions.md", "examples/guests/clinic", &["clinic", "bank", "shop", "shop/mailer"]);
}

#[test]
fn tutorial() {
    let tickets = ["tickets+first=tickets.wasm", "tickets+hasty=hasty.wasm", "tickets=mended.wasm"];
    session("docs/tutorial.md", "examples/guests/tickets", &tickets);
}

#[test]
fn stepping() {
    session("docs/debug.md", "examples/guests/clinic", &["clinic"]);
}

#[test]
fn ledger() {
    session("examples/guests/ledger/README.md", "examples/guests/ledger", &["ledger"]);
}

#[test]
fn flaky() {
    session("examples/guests/flaky/README.md", "examples/guests/flaky", &["flaky"]);
}

#[test]
fn tally() {
    session("examples/guests/tally/README.md", "examples/guests/tally", &[]);
}

#[test]
fn clinic() {
    session("examples/guests/clinic/README.md", "examples/guests/clinic", &["clinic"]);
}

#[test]
fn bank() {
    session("examples/guests/bank/README.md", "examples/guests/bank", &["bank"]);
}

#[test]
fn session_of_a_resident() {
    session("examples/guests/session/README.md", "examples/guests/session", &["session"]);
}

#[test]
fn workflow() {
    session("examples/guests/workflow/README.md", "examples/guests/workflow", &["workflow"]);
}

#[test]
fn tracker() {
    session("examples/guests/tracker/README.md", "examples/guests/tracker", &["tracker", "tracker/alarm"]);
}

#[test]
fn shop() {
    session(
        "examples/guests/shop/README.md",
        "examples/guests/shop",
        &["shop+first=first.wasm", "shop", "shop/mailer"],
    );
}

/// `COMPONENTIZE_PY` names the program if it is not on the `PATH`.
#[test]
#[ignore = "needs componentize-py from PyPI"]
fn session_in_python() {
    let desk = Desk::new();
    let wasm = desk.path().join("session-py.wasm");
    let mut builder = Command::new(std::env::var("COMPONENTIZE_PY").unwrap_or_else(|_| "componentize-py".into()));
    builder.args(["-d", "../wit", "-w", "session", "componentize", "app", "-o"]).arg(&wasm);
    let built = builder.current_dir(root().join("examples/guests/session/python")).status();
    assert!(built.expect("componentize-py can be started").success());
    let call = |guest: &str, function: &str, args: &[&str]| {
        desk.reel(&[&["call", guest, function], args].concat()).well().trim_end().to_owned()
    };
    desk.reel(&["deploy", "session-py.wasm", "--as", "lesson"]).well();
    assert_eq!(call("lesson", "answer", &["3"]), r#"err("nobody has begun a lesson")"#);
    let first = call("lesson", "begin", &[r#""Ada""#, "7"]);
    assert!(call("lesson", "answer", &["1"]).starts_with("ok({right: false, expected: "));
    let said = desk.reel(&["call", "lesson", "skip", "5"]);
    assert!(said.code == Some(123) && said.err.contains("IndexError: pop from empty list"), "{}", said.err);
    let report = call("lesson", "report", &[]);
    assert!(report.starts_with(r#"ok({learner: "Ada", answered: 1, right: 0, undoable: 1, again: ["#), "{report}");
    assert_eq!(desk.reel(&["fork", "lesson", "back"]).out, "back@0\n");
    assert_eq!(call("back", "undo", &[]), first);
    desk.reel(&["checkpoint", "lesson"]).well();
    assert_eq!(call("lesson", "report", &[]), report);
    let transcript = desk.reel(&["fs", "cat", "back:/transcript.txt"]).well();
    assert!(transcript.ends_with("-- goes on as back\n1. is asked again\n"), "{transcript}");
    assert!(desk.reel(&["replay", "4"]).out.starts_with("run 4: same: "));
}

/// The same in JavaScript; the transcript goes to stderr.
#[test]
#[ignore = "needs node, and componentize-js from npm"]
fn session_in_javascript() {
    let desk = Desk::new();
    let from = root().join("examples/guests/session");
    for file in ["wit/world.wit", "javascript/app.js", "javascript/build.mjs", "javascript/package.json"] {
        desk.file(file, std::fs::read(from.join(file)).expect("a file of the example"));
    }
    for command in [["npm", "install", "--silent"].as_slice(), &["node", "build.mjs", "../session-js.wasm"]] {
        let done = Command::new(command[0]).args(&command[1..]).current_dir(desk.path().join("javascript")).status();
        assert!(done.expect("node is there").success(), "{command:?}");
    }
    let call = |guest: &str, function: &str, args: &[&str]| {
        let said = desk.reel(&[&["call", guest, function], args].concat());
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out.trim_end().to_owned()
    };
    desk.reel(&["deploy", "session-js.wasm", "--as", "lesson"]).well();
    assert_eq!(call("lesson", "answer", &["3"]), r#"err("nobody has begun a lesson")"#);
    let first = call("lesson", "begin", &[r#""Ada""#, "7"]);
    assert!(call("lesson", "answer", &["1"]).starts_with("ok({right: false, expected: "));
    assert_eq!(desk.reel(&["call", "lesson", "skip", "5"]).code, Some(123));
    let report = call("lesson", "report", &[]);
    assert!(report.starts_with(r#"ok({learner: "Ada", answered: 1, right: 0, undoable: 1, again: ["#), "{report}");
    desk.reel(&["checkpoint", "lesson"]).well();
    assert_eq!(desk.reel(&["fork", "lesson", "back"]).out, "back@0\n");
    let said = desk.reel(&["call", "back", "undo"]);
    assert_eq!((said.out.trim_end(), said.err.as_str()), (first.as_str(), "-- goes on as back\n1. is asked again\n"));
    assert_eq!(call("lesson", "report", &[]), report);
    assert!(desk.reel(&["replay", "4"]).out.starts_with("run 4: same: "));
}

#[test]
fn units_of_the_examples() {
    for guest in ["ledger", "clinic", "bank"] {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--release", "--locked", "--quiet", "--target-dir"]).arg(target_dir());
        let tested = cargo.current_dir(root().join("examples/guests").join(guest)).output();
        let tested = tested.expect("cargo can be started");
        assert!(
            tested.status.success(),
            "{guest}: {}{}",
            String::from_utf8_lossy(&tested.stdout),
            String::from_utf8_lossy(&tested.stderr)
        );
    }
}

#[test]
fn the_format_page_lists_the_vocabulary() {
    let page = std::fs::read_to_string(root().join("docs/format.md")).expect("the page is there");
    let listed: Vec<&str> =
        page.lines().filter(|line| line.matches('|').count() == 4 && line.contains(" | `")).collect();
    for (code, name, class) in reel_abi::vocabulary::ALL {
        let row = format!("| {code} | `{name}` | {} |", class.word());
        assert!(listed.contains(&row.as_str()), "docs/format.md does not list {row}");
    }
}

#[test]
fn lines_are_matched_but_for_what_differs() {
    assert!(line_fits("2@17  fs.write  <54 bytes e38f2e0d5617fa18>", "2@9   fs.write <54 bytes 0123456789abcdef>"));
    assert!(line_fits("took 1.2ms, 12 events", "took 993us, 9 events") && !line_fits("2@17 fs.write", "2@17 fs.read"));
    assert!(
        line_fits("at 2026-01-01 10:00:00", "at 2027-02-02 11:11:11")
            && !line_fits("2026-01-01 rent", "2026-01-02 rent")
    );
    assert!(line_fits("a[..]c", "abc") && line_fits("a[..]c", "ac") && !line_fits("a[..]c", "acb"));
    assert!(line_fits("[..]b[..]", "abc") && !line_fits("[..]d[..]", "abc") && line_fits("abc", "abc"));
    let expected = ["a".to_owned(), "...".to_owned(), "c".to_owned()];
    assert!(fits(&expected, &["a", "c"]) && fits(&expected, &["a", "b", "b", "c"]) && !fits(&expected, &["a", "b"]));
}
