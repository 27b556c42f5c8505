//! Many runs of the state at once.

use reel_abi::id::RunId;
use reel_abi::outcome::{RunBegin, RunEnd};
use reel_abi::wire::Wire;

use crate::error::Trouble;
use crate::redb_file::{ascending, table};
use crate::state::Snapshot;
use crate::tables::{BEGINS, ENDS};

impl Snapshot<'_> {
    /// How up to `limit` runs of `[from, until)` began, ascending.
    pub(crate) fn begins_between(
        &self,
        from: RunId,
        until: RunId,
        limit: usize,
    ) -> Result<Vec<(RunId, RunBegin)>, Trouble> {
        let Some(begins) = table(self.0, BEGINS)? else { return Ok(Vec::new()) };
        let entries = ascending(begins.range(from.0..until.0)?).take(limit);
        entries
            .map(|entry| {
                let (run, begin) = entry?;
                Ok((RunId(run.value()), RunBegin::from_bytes(begin.value())?))
            })
            .collect()
    }

    /// How up to `limit` runs of `[from, until)` ended, ascending.
    pub(crate) fn ends_between(
        &self,
        from: RunId,
        until: RunId,
        limit: usize,
    ) -> Result<Vec<(RunId, RunEnd)>, Trouble> {
        let Some(ends) = table(self.0, ENDS)? else { return Ok(Vec::new()) };
        let entries = ascending(ends.range(from.0..until.0)?).take(limit);
        entries
            .map(|entry| {
                let (run, end) = entry?;
                Ok((RunId(run.value()), RunEnd::from_bytes(end.value())?))
            })
            .collect()
    }
}
