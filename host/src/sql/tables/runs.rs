//! `runs`: what was executed.

use std::sync::Arc;

use reel_abi::id::RunId;
use reel_abi::outcome::{Disposition, Outcome};
use reel_store::RunRecord;
use rusqlite::types::Value;

use crate::sql::error::SqlError;
use crate::sql::table::{Batches, Column, Narrows, Row, Rows, Table, column, int, maybe, text};
use crate::sql::times::exact;
use crate::sql::values;
use crate::sql::view::View;
use crate::sql::walk::{begun_from, guest_of};
use crate::sql::wanted::Wanted;

/// Records fetched at a time.
const BATCH: usize = 512;

/// How far the numbers of runs and the times of their begins may be out of step, in nanoseconds.
const SLACK_NANOS: u64 = 60_000_000_000;

const COLUMNS: &[Column] = &[
    column("run", "INTEGER", "its number"),
    column("at", "TEXT", "when it began, UTC"),
    column("at_ns", "INTEGER", "the same in nanoseconds since 1970"),
    column("ended", "TEXT", "when it ended; NULL if it has not"),
    column("ended_ns", "INTEGER", "the same in nanoseconds since 1970"),
    column("guest", "TEXT", "the program, without the directories before it, or the name of the deployed guest"),
    column("program", "TEXT", "as it was called"),
    column("component", "TEXT", "digest of the component, as in components"),
    column("args", "TEXT", "its arguments as a JSON list, the program's name first"),
    column("space", "TEXT", "the space it worked in"),
    column("reads", "INTEGER", "the version of the space that it read"),
    column("version", "INTEGER", "the version that it made last; NULL if it committed nothing"),
    column("commit_no", "INTEGER", "its last commit; NULL if it committed nothing"),
    column("state", "TEXT", "running, cut off, committed, partly committed, aborted or overtaken"),
    column("failed", "INTEGER", "1 if it came to no good end, else 0"),
    column("outcome", "TEXT", "how its code ended, in words; NULL if it has not"),
    column("exit", "INTEGER", "its exit code; NULL if it ended otherwise"),
    column("again", "INTEGER", "the run that took its place when it was overtaken"),
    column("events", "INTEGER", "how many events it has; NULL if it has not ended"),
    column("logged_bytes", "INTEGER", "bytes of its events before compression"),
    column("written_bytes", "INTEGER", "bytes that it wrote to files and streams"),
    column("trace", "TEXT", "the trace it belongs to, 32 hexadecimal digits"),
    column("caused_by", "TEXT", "the span that caused it, 16 hexadecimal digits"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "runs",
    says: "executions of guests",
    columns: COLUMNS,
    narrowed_by: &[(0, Narrows::ToOne), (1, Narrows::ToPart), (2, Narrows::ToPart)],
    open,
};

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let view = Arc::clone(view);
    let (from, until) = wanted.range(0);
    let (mut from, mut until) = (from.max(1), until.min(view.newest.0.saturating_add(1)));
    let (first, last) = wanted.times(1, 2);
    if first >= last {
        until = from;
    }
    if first > 0 {
        from = from.max(begun_from(&view, RunId(from), RunId(until), first.saturating_sub(SLACK_NANOS))?.0);
    }
    if let Some(last) = last.checked_add(SLACK_NANOS) {
        until = until.min(begun_from(&view, RunId(from), RunId(until), last)?.0);
    }
    let mut next = RunId(from);
    Ok(Batches::boxed(move || {
        view.check()?;
        let records = view.store.runs_between(next, RunId(until), BATCH)?;
        let Some(newest) = records.last() else { return Ok(None) };
        next = newest.run.next();
        Ok(Some(records.into_iter().map(|record| row(&view, &view.seen(record), &wanted)).collect()))
    }))
}

/// Where a run stands, in words.
pub fn state(view: &View, record: &RunRecord) -> &'static str {
    match record.end.as_ref().map(|end| &end.disposition) {
        None if view.is_running(record.run) => "running",
        None => "cut off",
        Some(Disposition::Committed { .. }) => "committed",
        Some(Disposition::Partly { .. }) => "partly committed",
        Some(Disposition::Aborted) => "aborted",
        Some(Disposition::Lost { .. }) => "overtaken",
    }
}

fn failed(view: &View, record: &RunRecord) -> bool {
    match &record.end {
        Some(end) => match end.disposition {
            Disposition::Lost { again: Some(_) } => false,
            Disposition::Committed { .. } => !end.outcome.is_success(),
            _ => true,
        },
        None => !view.is_running(record.run),
    }
}

fn row(view: &View, record: &RunRecord, wanted: &Wanted) -> Row {
    let RunRecord { run, begin, end } = record;
    let end = end.as_ref();
    let (commit, version) = match end.map(|end| &end.disposition) {
        Some(Disposition::Committed { commit, version } | Disposition::Partly { commit, version }) => {
            (Some(commit.0), Some(version.0))
        }
        _ => (None, None),
    };
    let again = match end.map(|end| &end.disposition) {
        Some(Disposition::Lost { again }) => again.map(|again| again.0),
        _ => None,
    };
    let exit = end.and_then(|end| if let Outcome::Exit { code } = end.outcome { Some(u64::from(code)) } else { None });
    let if_used = |index: usize, make: &dyn Fn() -> Value| if wanted.uses(index) { make() } else { Value::Null };
    vec![
        int(run.0),
        if_used(1, &|| text(exact(begin.at.0))),
        int(begin.at.0),
        if_used(3, &|| maybe(end, |end| text(exact(end.at.0)))),
        maybe(end, |end| int(end.at.0)),
        if_used(5, &|| text(guest_of(&begin.name))),
        if_used(6, &|| text(&begin.name)),
        if_used(7, &|| text(begin.component.to_string())),
        if_used(8, &|| text(values::text(&begin.args))),
        if_used(9, &|| text(begin.space.as_str())),
        int(begin.version.0),
        maybe(version, int),
        maybe(commit, int),
        if_used(13, &|| text(state(view, record))),
        int(u64::from(failed(view, record))),
        if_used(15, &|| maybe(end, |end| text(end.outcome.to_string()))),
        maybe(exit, int),
        maybe(again, int),
        maybe(end, |end| int(end.events)),
        maybe(end, |end| int(end.logged_bytes)),
        maybe(end, |end| int(end.written_bytes)),
        if_used(21, &|| maybe(begin.trace, |trace| text(trace.id.to_string()))),
        if_used(22, &|| maybe(begin.trace.and_then(|trace| trace.parent), |parent| text(format!("{parent:016x}")))),
    ]
}
