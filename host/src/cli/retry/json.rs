//! What became of runs, for other programs. Names are stable.

use std::io::Write;

use reel_abi::outcome::Outcome;
use reel_abi::record::CellValue;
use reel_abi::value::Value;
use serde::Serialize;

use super::super::failure::Failure;
use super::super::json::{self, Bytes};
use super::Tally;
use crate::runtime::cells::{Cells, length};
use crate::runtime::retry::{Answer, Changes, Retried, Two, Verdict};
use crate::txn::messages::Letter;

/// Bytes of a value that are told; longer ones by their length.
const TOLD: u64 = 64 << 10;

#[derive(Serialize)]
struct Run<'a> {
    run: u64,
    space: &'a str,
    args: &'a [String],
    verdict: &'static str,
    allowed: bool,
    why: Option<&'a str>,
    was: Option<String>,
    is: Option<String>,
    left: Option<Left>,
    paths: Vec<Path<'a>>,
    keys: Vec<Key>,
    messages: Option<Messages<'a>>,
    outbox: bool,
    unasked: &'a [String],
    answer: Option<AnswerTwo<'a>>,
    results: Option<Gave<'a>>,
    stdout: Option<Lengths>,
    stderr: Option<Lengths>,
    notes: Vec<&'static str>,
}

#[derive(Serialize)]
struct Left {
    seq: u64,
    call: Option<&'static str>,
}

#[derive(Serialize)]
struct Path<'a> {
    path: &'a str,
    from: Option<&'a str>,
    was: Option<u64>,
    is: Option<u64>,
}

#[derive(Serialize)]
struct Key {
    bucket: Bytes,
    key: Bytes,
    was: Option<Bytes>,
    is: Option<Bytes>,
}

#[derive(Serialize)]
struct Messages<'a> {
    was: Vec<Message<'a>>,
    is: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    topic: &'a str,
    key: Option<Bytes>,
    payload: Bytes,
}

#[derive(Serialize)]
struct AnswerTwo<'a> {
    was: Option<Told<'a>>,
    is: Option<Told<'a>>,
}

#[derive(Serialize)]
struct Told<'a> {
    status: Option<u16>,
    fields: Vec<(&'a str, Bytes)>,
    body: Bytes,
}

#[derive(Serialize)]
struct Gave<'a> {
    was: Option<&'a str>,
    is: Option<&'a str>,
}

#[derive(Serialize)]
struct Lengths {
    was: u64,
    is: u64,
}

#[derive(Serialize)]
struct Sum {
    runs: u64,
    verdicts: std::collections::BTreeMap<&'static str, u64>,
    wrong: u64,
    overtaken: u64,
    missing: u64,
    nanos: u64,
}

/// Writes what became of a run.
pub fn run(retried: &Retried, allowed: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let Retried { record, verdict, left, made_up } = retried;
    let why = match verdict {
        Verdict::NewRequest(why) | Verdict::Cannot(why) => Some(why.as_str()),
        _ => None,
    };
    let changes = verdict.changes();
    let ended = |outcome: Option<&Outcome>| outcome.map(ToString::to_string);
    let line = Run {
        run: record.run.0,
        space: record.begin.space.as_str(),
        args: &record.begin.args,
        verdict: verdict.word(),
        allowed,
        why,
        was: ended(record.end.as_ref().map(|end| &end.outcome)),
        is: changes.and_then(|changes| ended(changes.outcome.is.as_ref())),
        left: left.as_ref().map(|(seq, asked)| Left { seq: seq.0, call: asked.as_ref().map(|asked| asked.name) }),
        paths: changes.map(paths).unwrap_or_default(),
        keys: changes.map(keys).unwrap_or_default(),
        messages: changes.and_then(|changes| changes.messages.as_ref()).map(messages),
        outbox: changes.is_some_and(|changes| changes.outbox.is_some()),
        unasked: changes.map(|changes| changes.unasked.as_slice()).unwrap_or_default(),
        answer: changes.and_then(|changes| changes.answer.as_ref()).map(answers),
        results: changes.and_then(|changes| changes.results.as_ref()).map(gave),
        stdout: changes
            .and_then(|changes| changes.out.as_ref())
            .map(|two| Lengths { was: two.was.len, is: two.is.len }),
        stderr: changes
            .and_then(|changes| changes.err.as_ref())
            .map(|two| Lengths { was: two.was.len, is: two.is.len }),
        notes: made_up.iter().map(|what| what.words()).collect(),
    };
    Ok(json::line(out, &line)?)
}

/// Writes how many became what.
pub fn sum(tally: &Tally, out: &mut dyn Write) -> Result<(), Failure> {
    let Tally { wrong, overtaken, missing, took, .. } = *tally;
    let verdicts = tally.counts.iter().copied().collect();
    Ok(json::line(out, &Sum { runs: tally.total(), verdicts, wrong, overtaken, missing, nanos: took })?)
}

fn bytes(bytes: &[u8]) -> Bytes {
    Bytes(Value::Bytes(bytes.to_vec()))
}

fn paths(changes: &Changes) -> Vec<Path<'_>> {
    let paths = changes.state.paths.iter().map(|change| Path {
        path: &change.path,
        from: change.from.as_deref(),
        was: change.old.as_ref().map(|node| node.size),
        is: change.new.as_ref().map(|node| node.size),
    });
    paths.collect()
}

fn keys(changes: &Changes) -> Vec<Key> {
    let value = |value: &Option<CellValue>, cells: &Cells| {
        value.as_ref().map(|value| {
            let told = if length(value) <= TOLD { cells.bytes(value).ok() } else { None };
            told.map_or_else(
                || Bytes(Value::Elsewhere { len: length(value), digest: String::new() }),
                |told| bytes(&told),
            )
        })
    };
    let keys = changes.state.keys.iter().map(|change| Key {
        bucket: bytes(&change.bucket),
        key: bytes(&change.key),
        was: value(&change.old, &changes.state.old),
        is: value(&change.new, &changes.state.new),
    });
    keys.collect()
}

fn messages(two: &Two<Vec<Letter>>) -> Messages<'_> {
    Messages { was: two.was.iter().map(message).collect(), is: two.is.iter().map(message).collect() }
}

fn message(letter: &Letter) -> Message<'_> {
    Message { topic: &letter.topic, key: letter.key.as_deref().map(bytes), payload: bytes(&letter.payload) }
}

fn gave(two: &Two<Option<String>>) -> Gave<'_> {
    Gave { was: two.was.as_deref(), is: two.is.as_deref() }
}

fn answers(two: &Two<Option<Answer>>) -> AnswerTwo<'_> {
    AnswerTwo { was: two.was.as_ref().map(told), is: two.is.as_ref().map(told) }
}

fn told(answer: &Answer) -> Told<'_> {
    let fields = answer.fields.iter().map(|(name, value)| (name.as_str(), bytes(&value.0)));
    Told { status: answer.status.as_ref().ok().copied(), fields: fields.collect(), body: bytes(&answer.body) }
}
