//! The page that describes the tables says what they are. `REEL_PAGES=write` puts it there.

use std::path::Path;

use reel_host::sql::ALL;

const BEGIN: &str =
    "<!-- the tables: written by `REEL_PAGES=write cargo test --release -p reel-tests --test sql page` -->\n";

#[test]
fn the_page_has_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (prose, tables) = page.split_once(BEGIN).expect("the page has a place for the tables");
    let mut expected = String::new();
    for table in ALL {
        expected.push_str(&format!(
            "\n### {}\n\n{}\n\n| column | type | |\n|---|---|---|\n",
            table.name,
            capital(table.says)
        ));
        for column in table.columns {
            let kind = if column.kind.is_empty() { "any" } else { column.kind };
            expected.push_str(&format!("| `{}` | {kind} | {} |\n", column.name, column.says));
        }
    }
    if std::env::var("REEL_PAGES").is_ok_and(|value| value == "write") {
        std::fs::write(&path, format!("{prose}{BEGIN}{expected}")).expect("the page can be written");
        return;
    }
    assert!(tables == expected, "docs/sql.md has other tables than `.schema`");
}

/// What is shown is what is declared: `.schema` names each column with what it means.
#[test]
fn the_schema_has_all_columns() {
    let schema = reel_tests::reel::Desk::new().reel(&["sql", "--schema"]).well();
    for table in ALL {
        let (_, rest) = schema.split_once(&format!("CREATE TABLE {} (\n", table.name)).expect("each table is shown");
        let (body, _) = rest.split_once(");\n").expect("it ends");
        let shown: Vec<&str> =
            body.lines().filter_map(|line| line.split([' ', ',']).find(|word| !word.is_empty())).collect();
        let declared: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        assert_eq!(shown, declared, "{}", table.name);
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| format!("{}{}.", first.to_uppercase(), chars.as_str())).unwrap_or_default()
}
