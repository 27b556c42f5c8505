//! Runs that a condition chooses, for commands that do something with many.

use std::sync::Arc;

use reel_abi::id::RunId;
use reel_store::Store;
use rusqlite::types::ValueRef;

use super::error::SqlError;
use super::query::Query;
use super::view::View;

/// The runs for which a condition on the table `runs` holds, ascending: what may stand behind `WHERE`.
pub fn runs_where(store: &Store, clause: &str) -> Result<Vec<RunId>, SqlError> {
    let query = Query::new(Arc::new(View::new(store)?))?;
    let mut runs = Vec::new();
    // On lines of its own, so that a comment at its end hides nothing.
    let text = format!("SELECT run FROM runs WHERE (\n{clause}\n) ORDER BY run");
    query.answer(&text, &mut |_, values| {
        if let Some(ValueRef::Integer(run)) = values.first() {
            runs.extend(u64::try_from(*run).map(RunId));
        }
        Ok(())
    })?;
    Ok(runs)
}
