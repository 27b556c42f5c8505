//! `reel backup` and `reel restore`, as somebody uses them.

use reel_tests::reel::Desk;

use crate::guests;
use crate::served::Server;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    desk.guest("write.wasm", &guests::writes("a.txt", 100_000, ""));
    desk.reel(&["run", "hello.wasm"]).well();
    desk.reel(&["run", "write.wasm"]).well();
    desk
}

#[test]
fn a_backup_is_brought_up_to_date_and_restored() {
    let desk = desk();
    let first = desk.reel(&["backup", "copies/one"]).well();
    assert!(first.contains(" rows (") && first.ends_with(" is in copies/one\n"), "{first}");
    let again = desk.reel(&["backup", "copies/one"]).well();
    assert!(again.starts_with("nothing new: all up to row "), "{again}");
    desk.reel(&["run", "hello.wasm"]).well();
    let next = desk.reel(&["backup", "copies/one", "--json"]).well();
    assert!(next.contains("\"rows\":") && !next.contains("\"rows\":0,"), "{next}");
    // The copy is a database.
    desk.reel(&["verify", "--db", "copies/one"]).well();
    desk.reel(&["replay", "2", "--db", "copies/one"]).well();
    assert_eq!(desk.reel(&["runs", "--db", "copies/one"]).well(), desk.reel(&["runs"]).well());
    let restored = desk.reel(&["restore", "copies/one", "--db", "new"]).well();
    assert!(restored.ends_with(" is in new, and it is sound\n"), "{restored}");
    assert_eq!(desk.reel(&["history", "main", "--db", "new"]).well(), desk.reel(&["history", "main"]).well());
    desk.reel(&["run", "write.wasm", "--db", "new"]).well();
    desk.reel(&["verify", "--db", "new"]).well();
}

#[test]
fn a_backup_is_made_while_a_server_has_the_database() {
    let desk = desk();
    let server = Server::of(&desk);
    desk.reel(&["backup", "copy"]).well();
    desk.reel(&["run", "hello.wasm"]).well();
    desk.reel(&["backup", "copy"]).well();
    server.stop();
    assert_eq!(desk.reel(&["runs", "--db", "copy"]).well(), desk.reel(&["runs"]).well());
    desk.reel(&["verify", "--db", "copy"]).well();
}

#[test]
fn what_cannot_be_backed_up_or_restored_is_said_and_nothing_is_touched() {
    let desk = desk();
    desk.file("file", "text");
    let before = desk.reel(&["runs"]).well();
    for (args, code, words) in [
        (vec!["backup", ".reel"], 2, "is the database itself"),
        (vec!["backup", "file"], 120, "error: "),
        (vec!["backup", "/proc/nothing"], 120, "error: "),
        (vec!["backup", "copy", "--db", "nowhere"], 120, "no database in nowhere"),
        (vec!["restore", "nowhere", "--db", "new"], 120, "no database in nowhere"),
        (vec!["restore", "file", "--db", "new"], 120, "error: "),
        (vec!["restore", ".reel"], 67, "there is a database in .reel already"),
        (vec!["backup"], 2, "required"),
    ] {
        let said = desk.reel(&args).fails(code);
        assert!(said.contains(words), "{args:?}: {said}");
    }
    assert!(!desk.path().join("new").exists());
    desk.reel(&["backup", "copy"]).well();
    desk.reel(&["run", "hello.wasm", "--db", "copy"]).well();
    let said = desk.reel(&["backup", "copy"]).fails(67);
    assert!(said.contains("is no copy of this database"), "{said}");
    assert_eq!(desk.reel(&["runs"]).well(), before);
}
