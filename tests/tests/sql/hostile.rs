//! Questions that want something else than an answer, or too much of it.

use std::time::{Duration, Instant};

use reel_tests::reel::{Desk, end};

use crate::ask;

/// A guest that writes a key with an escape sequence to standard output, and ends.
const SAYS: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "poke")))
  (core instance $i (instantiate $m))
  (func (export "poke") (canon lift (core func $i "poke"))))"#;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.guest("poke.wasm", SAYS);
    desk.reel(&["deploy", "poke.wasm", "--as", "p"]).well();
    desk.reel(&["call", "p", "poke"]).well();
    desk
}

#[test]
fn nothing_is_changed_and_nothing_else_is_reached() {
    let desk = desk();
    let before = ask(&desk, "SELECT * FROM runs");
    for (text, word) in [
        ("INSERT INTO runs (run) VALUES (1)", ""),
        ("UPDATE kv SET value = 1", "modified"),
        ("DELETE FROM events", "modified"),
        ("DROP TABLE runs", "wants to"),
        ("CREATE TABLE t (a)", "wants to"),
        ("CREATE TEMP VIEW v AS SELECT 1", "wants to"),
        ("CREATE VIRTUAL TABLE t USING runs", "wants to"),
        ("ATTACH '/etc/passwd' AS p", "attach"),
        ("VACUUM INTO 'stolen.db'", "wants to"),
        ("PRAGMA hard_heap_limit = 0", "pragma"),
        ("PRAGMA writable_schema = on", "pragma"),
        ("PRAGMA temp_store_directory = '/'", "pragma"),
        ("SELECT * FROM pragma_database_list", "pragma"),
        ("SELECT load_extension('x')", "load_extension"),
        ("BEGIN", "transaction"),
        ("SAVEPOINT a", "transaction"),
        ("SELECT 1; DELETE FROM runs", "modified"),
    ] {
        let said = desk.reel(&["sql", text]);
        assert_eq!(said.code, Some(2), "{text}: {}{}", said.out, said.err);
        assert!(said.err.starts_with("error: ") && said.err.contains(word), "{text}: {}", said.err);
    }
    assert_eq!(ask(&desk, "SELECT * FROM runs"), before);
    assert!(!desk.path().join("stolen.db").exists());
}

#[test]
fn what_makes_no_sense_is_explained() {
    let desk = desk();
    for (text, words) in [
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELECT nowhat FROM runs", "no such column: nowhat"),
        ("SELEC 1", "near \"SELEC\": syntax error (line 1, column 1)"),
        ("SELECT 1,\n  FROM runs", "(line 2, column 3)"),
        ("SELECT 'open", "unrecognized token"),
        ("SELECT readfile('/etc/passwd')", "no such function"),
        ("SELECT * FROM runs WHERE at MATCH 'x'", "unable to use function MATCH"),
    ] {
        let said = desk.reel(&["sql", text]);
        assert_eq!(said.code, Some(2), "{text}: {}", said.err);
        assert!(said.err.contains(words), "{text}: {}", said.err);
    }
    desk.reel(&["sql", ""]).is(0, "", "");
    desk.reel(&["sql", ";; -- nothing\n"]).is(0, "", "");
}

#[test]
fn too_much_is_refused() {
    let desk = desk();
    // Parentheses alone cost the parser nothing that stays.
    let deep = format!("SELECT {}1{} AS n", "(".repeat(5000), ")".repeat(5000));
    desk.reel(&["sql", "--csv", &deep]).is(0, "n\n1\n", "");
    for (text, code) in [
        (format!("SELECT {}1", "NOT ".repeat(5000)), 2),
        (format!("SELECT {}", vec!["1"; 5000].join("+")), 2),
        (format!("SELECT {}", vec!["1"; 5000].join(",")), 2),
        (vec!["SELECT 1"; 5000].join(" UNION ALL "), 2),
        ("SELECT length(zeroblob(2000000000))".to_owned(), 122),
        ("SELECT length(replace(hex(zeroblob(100000000)), '0', 'aaaaaaaa'))".to_owned(), 122),
    ] {
        let said = desk.reel(&["sql", &text]);
        assert_eq!(said.code, Some(code), "{}: {}", &text[..30], said.err);
        assert!(said.err.starts_with("error: "), "{}", said.err);
    }
    let sorted = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT hex(randomblob(1000)) y FROM r ORDER BY y";
    let said = desk.reel(&["sql", sorted]);
    assert_eq!(said.code, Some(122), "{}", said.err);
    assert!(said.err.contains("MiB of memory"), "{}", said.err);
}

#[test]
fn a_question_without_end_is_cancelled() {
    let desk = desk();
    let endless = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r";
    let child = desk.spawn(&mut desk.command(&["sql", endless]));
    std::thread::sleep(Duration::from_millis(700));
    let asked = Instant::now();
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let said = end(child);
    assert!(said.fails(130).contains("the query was cancelled"));
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[test]
fn nothing_reaches_a_terminal_unescaped() {
    let desk = desk();
    let text =
        "SELECT char(27) || '[31m' AS \"a\u{1b}b\", char(8238) AS c, x'1b00ff' AS d, 'x' || char(10) || 'y' AS e";
    let said = desk.reel(&["sql", text]).well();
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    assert!(said.contains("\\x1b[31m") && said.contains("x'1b00ff'") && said.contains("x\\ny"), "{said}");
    for mode in ["--json", "--csv"] {
        let said = desk.reel(&["sql", mode, text]).well();
        assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said:?}");
    }
    let csv = desk.reel(&["sql", "--csv", "SELECT 'a,b' a, 'say \"x\"' b, NULL c, '' d, 1.5 e"]).well();
    assert_eq!(csv, "a,b,c,d,e\n\"a,b\",\"say \"\"x\"\"\",,\"\",1.5\n");
}

#[test]
fn questions_from_a_stream() {
    let desk = desk();
    let said = desk.reel_reading(
        &["sql", "--json"],
        b"SELECT 1 AS a; SELECT ';' AS b;\nSELECT\n 2 AS c\n;\n.mode csv\nSELECT 3 AS d",
    );
    assert_eq!(said.well(), "{\"a\":1}\n{\"b\":\";\"}\n{\"c\":2}\nd\n3\n");
    let said = desk.reel_reading(&["sql"], b"SELECT 1 AS a;\nSELECT nowhat;\nSELECT 2 AS b;\n");
    assert_eq!((said.code, said.out.as_str()), (Some(2), "a\n1\n"));
    assert!(desk.reel_reading(&["sql"], b".tables\n.quit\nSELECT 1;").well().contains("kv_history"));
    assert!(desk.reel_reading(&["sql"], b".schema kv\n").well().starts_with("CREATE TABLE kv (\n"));
    assert_eq!(desk.reel_reading(&["sql"], b".nothing\n").code, Some(2));
    assert_eq!(desk.reel_reading(&["sql"], b"SELECT '\xff';\n").code, Some(2));
    desk.reel(&["sql", "--out", "answer.csv", "--csv", "SELECT 1 AS a"]).is(0, "", "");
    assert_eq!(desk.bytes("answer.csv"), b"a\n1\n");
    assert_eq!(desk.reel(&["sql", "--out", "answer.csv", "SELECT 1"]).code, Some(67));
}

/// Runs that a condition chooses, for other commands.
#[test]
fn a_condition_chooses_runs() {
    let desk = desk();
    let store = reel_store::Store::open_existing(&desk.path().join(".reel"), "a test").expect("database");
    let chosen = |clause: &str| reel_host::sql::runs_where(&store, clause);
    let all: Vec<u64> = chosen("1").expect("runs").iter().map(|run| run.0).collect();
    assert!(all.is_sorted() && all.len() >= 2);
    assert_eq!(chosen("run = 2 -- the second").expect("runs").len(), 1);
    assert_eq!(chosen("run IN (SELECT run FROM events WHERE call = 'call.begin')").expect("runs").len(), all.len());
    assert!(chosen("nowhat = 1").is_err() && chosen("").is_err() && chosen("1); DELETE FROM runs; --").is_err());
}

/// What a file of Parquet has, read by the reader of that format, is the answer.
#[test]
fn answers_in_parquet() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let desk = desk();
    let many = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 150000)
        SELECT x AS whole, CASE WHEN x % 2 THEN x ELSE x / 4.0 END AS number, CASE WHEN x % 3 THEN 'nr ' || x END AS words,
            CAST(char(x % 128) AS BLOB) AS bytes, NULL AS none FROM r";
    desk.reel(&["sql", "--parquet", "--out", "many.parquet", many]).is(0, "", "");
    let file = std::fs::File::open(desk.path().join("many.parquet")).expect("the file is there");
    let reader = SerializedFileReader::new(file).expect("it is a file of Parquet");
    assert!(reader.num_row_groups() > 1);
    let mut rows = 0i64;
    for row in reader.get_row_iter(None).expect("it has rows") {
        use parquet::record::Field;
        rows += 1;
        let row: Vec<(String, Field)> =
            row.expect("a row").get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect();
        let number = if rows % 2 == 1 { rows as f64 } else { rows as f64 / 4.0 };
        let words = if rows % 3 == 0 { Field::Null } else { Field::Str(format!("nr {rows}")) };
        let expected = [
            ("whole", Field::Long(rows)),
            ("number", Field::Double(number)),
            ("words", words),
            ("bytes", Field::Bytes(vec![u8::try_from(rows % 128).expect("ASCII")].into())),
            ("none", Field::Null),
        ];
        assert_eq!(row, expected.map(|(name, field)| (name.to_owned(), field)));
    }
    assert_eq!(rows, 150_000);
    desk.reel(&["sql", "--parquet", "--out", "none.parquet", "SELECT run FROM runs WHERE run < 0"]).is(0, "", "");
    let none = std::fs::File::open(desk.path().join("none.parquet")).expect("the file is there");
    assert_eq!(
        SerializedFileReader::new(none).expect("it is a file of Parquet").metadata().file_metadata().num_rows(),
        0
    );
    let mixed = "SELECT 1 AS x UNION ALL SELECT 'one'";
    assert!(desk.reel(&["sql", "--parquet", mixed]).fails(2).contains("CAST(x AS TEXT)"));
    assert!(desk.reel(&["sql", "--parquet", "SELECT 1 AS x; SELECT 2 AS y"]).fails(2).contains("one question"));
}
