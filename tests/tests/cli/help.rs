//! The whole help, as a snapshot: `REEL_UPDATE=1 cargo test` writes it anew.

use reel_tests::reel::Desk;

const COMMANDS: [&[&str]; 48] = [
    &["--help"],
    &["run", "--help"],
    &["deploy", "--help"],
    &["call", "--help"],
    &["ps", "--help"],
    &["memory", "--help"],
    &["checkpoint", "--help"],
    &["stop", "--help"],
    &["start", "--help"],
    &["serve", "--help"],
    &["runs", "--help"],
    &["log", "--help"],
    &["show", "--help"],
    &["debug", "--help"],
    &["replay", "--help"],
    &["retry", "--help"],
    &["resume", "--help"],
    &["export", "--help"],
    &["import", "--help"],
    &["spaces", "--help"],
    &["history", "--help"],
    &["diff", "--help"],
    &["why", "--help"],
    &["impact", "--help"],
    &["fork", "--help"],
    &["rollback", "--help"],
    &["tag", "--help"],
    &["fs", "--help"],
    &["fs", "ls", "--help"],
    &["fs", "cat", "--help"],
    &["fs", "export", "--help"],
    &["fs", "import", "--help"],
    &["kv", "--help"],
    &["kv", "ls", "--help"],
    &["kv", "get", "--help"],
    &["queue", "--help"],
    &["queue", "ls", "--help"],
    &["queue", "show", "--help"],
    &["queue", "put", "--help"],
    &["queue", "retry", "--help"],
    &["queue", "drop", "--help"],
    &["gc", "--help"],
    &["compact", "--help"],
    &["backup", "--help"],
    &["restore", "--help"],
    &["outbox", "--help"],
    &["verify", "--help"],
    &["inspect", "--help"],
];

#[test]
fn the_help_of_all_commands() {
    let desk = Desk::new();
    let mut all = String::new();
    for args in COMMANDS {
        let said = desk.reel(args).well();
        all.push_str(&format!("$ reel {}\n{said}\n", args.join(" ")));
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help.txt");
    if std::env::var_os("REEL_UPDATE").is_some() {
        std::fs::write(&path, &all).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(all, expected, "if this is as it should be: REEL_UPDATE=1 cargo test --release --test cli");
}

#[test]
fn nothing_and_too_much() {
    let desk = Desk::new();
    let said = desk.reel(&[]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("Usage: reel"), "{}", said.err);
    assert!(desk.reel(&["--version"]).well().starts_with("reel 0."));
    assert!(desk.reel(&["help", "run"]).well().contains("--commit-on-failure"));
}
