//! Begin and end of a run stand in the log as marks; what they say stands beside the events. Here both come together.

use reel_abi::limits::Limits;
use reel_abi::outcome::{DirGrant, Disposition, Outcome, RunBegin, RunEnd};
use reel_abi::value::Value;
use reel_abi::vocabulary::{Call, CallBegins, EventView, RunBegins, RunEnds};
use reel_store::RunRecord;

use super::units::{Count, Size, Span};

type Field = (&'static str, Value);

/// Adds to a mark all that is known of the run.
pub fn complete(event: &mut EventView, record: &RunRecord) {
    match (event.code, &record.end) {
        (RunBegins::CODE, _) => event.request = begin(&record.begin),
        (CallBegins::CODE, _) => event.request.extend(trace(&record.begin)),
        (RunEnds::CODE, Some(run_end)) => event.request.extend(end(run_end)),
        _ => {}
    }
}

/// Adds to a mark what fits on a line.
pub fn complete_line(event: &mut EventView, record: &RunRecord) {
    complete(event, record);
    let long = [
        "component",
        "engine",
        "limits",
        "env",
        "dirs",
        "backtrace",
        "at",
        "logged_bytes",
        "commit_on_failure",
        "caused_by",
    ];
    event.request.retain(|(name, _)| event.code > RunEnds::CODE || !long.contains(name));
}

fn begin(begin: &RunBegin) -> Vec<Field> {
    let text = |text: &str| Value::Text(text.to_owned());
    let pair = |(name, value): &(String, String)| Value::Text(format!("{name}={value}"));
    let dir = |DirGrant { host, guest, read_only }: &DirGrant| {
        Value::Text(format!("{host}::{guest}{}", if *read_only { ":ro" } else { "" }))
    };
    let mut fields = vec![
        ("program", text(&begin.name)),
        ("args", Value::List(begin.args.iter().map(|arg| text(arg)).collect())),
        ("space", Value::Word(format!("{}@{}", begin.space, begin.version))),
        ("at", Value::Time(begin.at.0)),
        ("component", Value::Word(begin.component.to_string())),
        ("env", Value::List(begin.env.iter().map(pair).collect())),
        ("dirs", Value::List(begin.dirs.iter().map(dir).collect())),
        ("limits", limits(&begin.limits)),
        ("commit_on_failure", Value::Bool(begin.commit_on_failure)),
        ("engine", text(&begin.engine)),
    ];
    fields.extend(trace(begin));
    fields
}

fn trace(begin: &RunBegin) -> impl Iterator<Item = Field> {
    let id = begin.trace.map(|trace| ("trace", Value::Word(trace.id.to_string())));
    let parent = begin.trace.and_then(|trace| trace.parent);
    id.into_iter().chain(parent.map(|parent| ("caused_by", Value::Word(format!("{parent:016x}")))))
}

fn limits(limits: &Limits) -> Value {
    let size = |bytes| Value::Word(Size(bytes).to_string());
    let count = |number| Value::Word(Count(number).to_string());
    Value::Record(vec![
        ("memory", size(limits.memory_bytes)),
        ("table-elements", count(limits.table_elements)),
        ("deadline", Value::Word(Span { millis: limits.deadline_millis }.to_string())),
        ("host-calls", count(limits.host_calls)),
        ("logged-bytes", size(limits.logged_bytes)),
        ("written-bytes", size(limits.written_bytes)),
        ("open-handles", count(limits.open_handles)),
        ("stack", size(limits.stack_bytes)),
        ("space-files", count(limits.space_files)),
        ("file-bytes", size(limits.file_bytes)),
    ])
}

fn end(end: &RunEnd) -> Vec<Field> {
    let mut fields = vec![("at", Value::Time(end.at.0))];
    match &end.disposition {
        Disposition::Committed { commit, version } | Disposition::Partly { commit, version } => {
            fields.push(("commit", Value::Number(commit.0)));
            fields.push(("version", Value::Number(version.0)));
        }
        Disposition::Aborted | Disposition::Lost { .. } => fields.push(("commit", Value::Word("none".into()))),
    }
    match &end.disposition {
        Disposition::Partly { .. } => fields.push(("rest", Value::Word("rolled back".into()))),
        Disposition::Lost { again: Some(again) } => fields.push(("again", Value::Number(again.0))),
        _ => {}
    }
    fields.push(("logged_bytes", Value::Number(end.logged_bytes)));
    fields.push(("written_bytes", Value::Number(end.written_bytes)));
    if let Outcome::Trap { backtrace, .. } = &end.outcome {
        fields.push(("backtrace", Value::List(backtrace.iter().cloned().map(Value::Text).collect())));
    }
    fields
}
