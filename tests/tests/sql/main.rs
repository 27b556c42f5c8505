//! Questions in SQL: answers are those that an independent pass over what `reel` tells otherwise gives, nothing but reading is possible, a server that
//! has the database answers them too, and the page says what the tables are.

mod answers;
mod hostile;
mod page;
mod served;

use reel_tests::reel::Desk;
use serde_json::Value;

/// The rows of an answer.
#[track_caller]
pub fn ask(desk: &Desk, text: &str) -> Vec<Value> {
    lines(&desk.reel(&["sql", "--json", text]).well())
}

/// JSON, one value a line.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
