//! What the READMEs show is what happens: every `console` block in them is typed into a shell, and what comes back is held against the page.
//!
//! `[..]` stands for any text within a line, a line `...` for any lines. A command that fails must be followed by `$ echo $?`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// Types all commands into one shell; what each printed on both streams, and its exit code.
fn run(steps: &[Step], dir: &Path) -> Vec<(String, i32)> {
    let mut script = String::from("exec 2>&1\n");
    for Step { command, .. } in steps {
        script.push_str(&format!("{command}\nreel_code=$?; printf '\\n{MARK}%d\\n' $reel_code; (exit $reel_code)\n"));
    }
    let reel = reel_tests::reel();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", reel.parent().expect("reel lies in a directory").display());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).current_dir(dir).env("PATH", path).env("NO_COLOR", "1").env_remove("REEL_DB");
    let output = shell.stdin(Stdio::null()).output().expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut done: Vec<(String, i32)> = Vec::new();
    let mut rest = text.as_str();
    while let Some((printed, more)) = rest.split_once(MARK) {
        let (code, more) = more.split_once('\n').unwrap_or((more, ""));
        done.push((printed.strip_suffix('\n').unwrap_or(printed).to_owned(), code.parse().expect("a number")));
        rest = more;
    }
    done
}

/// Whether a line is as expected, `[..]` standing for anything.
fn line_fits(expected: &str, line: &str) -> bool {
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

/// Runs the session of a page in a fresh directory with the files of `from`, and the guests built from their sources.
fn session(page: &str, from: &str, guests: &[&str]) {
    let root = root();
    let dir = tempfile::tempdir().expect("there is room for a directory");
    copy(&root.join(from), dir.path());
    for guest in guests {
        std::fs::copy(build(guest), dir.path().join(format!("{guest}.wasm"))).expect("the guest can be copied");
    }
    let text = std::fs::read_to_string(root.join(page)).expect("the page is there");
    let steps = steps(&text);
    assert!(!steps.is_empty(), "{page} shows no session");
    let done = run(&steps, dir.path());
    let mut wrong = String::new();
    for (index, step) in steps.iter().enumerate() {
        let Some((printed, code)) = done.get(index) else { panic!("{page}:{}: the shell stopped here", step.line) };
        let lines: Vec<&str> = printed.lines().collect();
        let mut expected = step.expected.clone();
        while expected.last().is_some_and(|line| line.is_empty()) && lines.last() != Some(&"") {
            expected.pop();
        }
        let asked = steps.get(index + 1).is_some_and(|next| next.command == "echo $?");
        if !fits(&expected, &lines) {
            wrong.push_str(&format!("{page}:{}: $ {}\n{printed}\n", step.line, step.command));
        } else if *code != 0 && !asked {
            wrong.push_str(&format!("{page}:{}: $ {}: exit code {code}\n", step.line, step.command));
        }
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

/// Builds a guest and says where it is.
fn build(guest: &str) -> PathBuf {
    let dir = root().join("examples/guests").join(guest);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "--quiet", "--target", "wasm32-wasip2", "--target-dir", "target"]);
    cargo.current_dir(&dir).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let built = cargo.status().expect("cargo can be started");
    assert!(built.success(), "{guest} does not build; is the target wasm32-wasip2 installed?");
    dir.join(format!("target/wasm32-wasip2/release/{guest}.wasm"))
}

#[test]
fn readme() {
    session("README.md", "examples/guests/ledger", &["ledger"]);
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
fn units_of_the_ledger() {
    let mut cargo = Command::new(env!("CARGO"));
    let tested = cargo.args(["test", "--locked", "--quiet"]).current_dir(root().join("examples/guests/ledger")).output();
    let tested = tested.expect("cargo can be started");
    assert!(tested.status.success(), "{}{}", String::from_utf8_lossy(&tested.stdout), String::from_utf8_lossy(&tested.stderr));
}

#[test]
fn the_format_page_lists_the_vocabulary() {
    let page = std::fs::read_to_string(root().join("docs/format.md")).expect("the page is there");
    let listed: Vec<&str> = page.lines().filter(|line| line.matches('|').count() == 4 && line.contains(" | `")).collect();
    for (code, name, class) in reel_abi::vocabulary::ALL {
        let row = format!("| {code} | `{name}` | {} |", class.word());
        assert!(listed.contains(&row.as_str()), "docs/format.md does not list {row}");
    }
}

#[test]
fn lines_are_matched_with_their_wildcards() {
    assert!(line_fits("a[..]c", "abc") && line_fits("a[..]c", "ac") && !line_fits("a[..]c", "acb"));
    assert!(line_fits("[..]b[..]", "abc") && !line_fits("[..]d[..]", "abc") && line_fits("abc", "abc"));
    let expected = ["a".to_owned(), "...".to_owned(), "c".to_owned()];
    assert!(fits(&expected, &["a", "c"]) && fits(&expected, &["a", "b", "b", "c"]) && !fits(&expected, &["a", "b"]));
}
