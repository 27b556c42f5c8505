//! What became of runs, for people. Whatever comes from a guest is escaped and cut.

use std::io::Write;

use reel_abi::http::HttpFault;
use reel_abi::outcome::Outcome;
use reel_abi::record::CellValue;

use super::super::describe;
use super::super::escape::{Quoted, QuotedBytes, Safe};
use super::super::failure::Failure;
use super::super::io::Io;
use super::super::style::Paint;
use super::super::units;
use super::{Tally, Wish};
use crate::runtime::cells::{Cells, length};
use crate::runtime::diff::{KeyChange, PathChange};
use crate::runtime::retry::{Answer, Changes, Retried, Verdict};

/// Lines that one run takes at the most; JSON has all.
const LINES: usize = 16;

/// Characters or bytes of a value that a line shows.
const SHOWN: usize = 60;

/// Characters of what ended a run.
const OUTCOME: usize = 160;

/// Writes what became of a run.
pub fn run(retried: &Retried, is_allowed: bool, paint: Paint, out: &mut dyn Write) -> Result<(), Failure> {
    let Retried { record, verdict, left, made_up } = retried;
    let word = match verdict {
        Verdict::Same | Verdict::Fixed(_) => paint.good(verdict.word()),
        _ if is_allowed => paint.hint(verdict.word()),
        _ => paint.error(verdict.word()),
    };
    let begin = &record.begin;
    let line = match begin.args.as_slice() {
        [line] if begin.name == begin.space.as_str() => format!("{}: {}", begin.space, Quoted(line, SHOWN)),
        _ => format!("{}: {}", begin.space, Quoted(&begin.args.join(" "), SHOWN)),
    };
    writeln!(out, "run {}: {word}  {}", record.run, paint.dim(&line))?;
    let mut lines = Vec::new();
    match verdict {
        Verdict::NewRequest(what) | Verdict::Cannot(what) => lines.push(Safe(what).to_string()),
        _ => {}
    }
    if let Some(changes) = verdict.changes() {
        told(changes, &mut lines);
    }
    if let (Some((seq, asked)), false) = (left, matches!(verdict, Verdict::Same)) {
        let asked = asked.as_ref().map(|asked| format!(", with {}", describe::request(asked)));
        lines.push(format!("it left the record at event {}@{seq}{}", record.run, asked.unwrap_or_default()));
    }
    lines.extend(made_up.iter().map(|what| format!("note: {}", what.words())));
    for line in lines.iter().take(LINES) {
        writeln!(out, "  {line}")?;
    }
    if lines.len() > LINES {
        writeln!(out, "  and {} more; --json has all", lines.len() - LINES)?;
    }
    Ok(())
}

/// Writes how many became what.
pub fn sum(tally: &Tally, wish: &Wish<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let counts: Vec<String> = tally.counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let total = match tally.total() {
        1 => "1 run".to_owned(),
        total => format!("{total} runs"),
    };
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    writeln!(wish.to.stream(io), "{total}{counts}")?;
    let mut talk = format!("executed again in {}", units::nanos(tally.took));
    if tally.overtaken > 0 {
        talk.push_str(&format!("; {} that were overtaken and executed again then were left out", tally.overtaken));
    }
    if tally.wrong > 0 {
        let allowed: Vec<_> = wish.allowed.iter().filter_map(clap::ValueEnum::to_possible_value).collect();
        let allowed: Vec<&str> = allowed.iter().map(clap::builder::PossibleValue::get_name).collect();
        talk.push_str(&format!("; {} of them should have been {}", tally.wrong, allowed.join(" or ")));
    }
    if tally.missing > 0 {
        talk.push_str(&format!("; interrupted, {} were not executed", tally.missing));
    }
    writeln!(io.err, "{talk}")?;
    Ok(())
}

fn told(changes: &Changes, lines: &mut Vec<String>) {
    if !changes.same_outcome() {
        lines.push(format!("was {}", outcome(changes.outcome.was.as_ref())));
        lines.push(format!("is  {}", outcome(changes.outcome.is.as_ref())));
    }
    lines.extend(changes.state.paths.iter().map(path));
    lines.extend(changes.state.keys.iter().map(|change| key(change, &changes.state.old, &changes.state.new)));
    for change in &changes.state.messages {
        let way = if change.new.is_some() { "sends itself" } else { "no longer sends itself" };
        lines.push(format!("{way} a message of {}", Safe(&change.topic)));
    }
    if let Some(two) = &changes.messages {
        let gone = two.was.iter().filter(|letter| !two.is.contains(letter)).map(|letter| ("no longer sends", letter));
        let new = two.is.iter().filter(|letter| !two.was.contains(letter)).map(|letter| ("sends", letter));
        let before = lines.len();
        lines.extend(
            gone.chain(new)
                .map(|(way, letter)| format!("{way} to {}: {}", Safe(&letter.topic), shown(&letter.payload))),
        );
        if lines.len() == before {
            lines.push(format!(
                "sends the same messages in another order or number: {} -> {}",
                two.was.len(),
                two.is.len()
            ));
        }
    }
    for what in &changes.unasked {
        lines.push(format!("no longer asks {}", Safe(what)));
    }
    if changes.outbox.is_some() {
        lines.push("writes something else to directories of the host".to_owned());
    }
    if let Some(two) = &changes.answer {
        lines.push(format!("answer {} -> {}", answer(two.was.as_ref()), answer(two.is.as_ref())));
    }
    if let Some(two) = &changes.results {
        let results = |text: &Option<String>| match text {
            Some(text) => Quoted(text, SHOWN).to_string(),
            None => "nothing".to_owned(),
        };
        lines.push(format!("gives {} -> {}", results(&two.was), results(&two.is)));
    }
    for (name, said) in [("stdout", &changes.out), ("stderr", &changes.err)] {
        if let Some(two) = said {
            let common = two.was.bytes.iter().zip(&two.is.bytes).take_while(|(one, other)| one == other).count();
            let line = two.was.bytes[..common].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let said = |bytes: &[u8]| {
                let end = bytes[line..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| line + end);
                shown(&bytes[line..end])
            };
            let (was, is) = (said(&two.was.bytes), said(&two.is.bytes));
            lines.push(match was == is {
                true => format!("{name} {} -> {}", units::bytes(two.was.len), units::bytes(two.is.len)),
                false => format!("{name} {was} -> {is}"),
            });
        }
    }
}

/// How a run ended.
pub fn outcome(outcome: Option<&Outcome>) -> String {
    let text = outcome.map_or("cut off".to_owned(), ToString::to_string);
    let text = Safe(&text).to_string();
    match text.char_indices().nth(OUTCOME) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

fn path(change: &PathChange) -> String {
    let size = |change: &Option<crate::txn::node::Node>| {
        change.as_ref().map_or("nothing".to_owned(), |node| units::bytes(node.size))
    };
    let from = change.from.as_ref().map(|from| format!(" (was /{})", Safe(from))).unwrap_or_default();
    format!("/{}{from}: {} -> {}", Safe(&change.path), size(&change.old), size(&change.new))
}

/// A key, value or body.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => Quoted(text, SHOWN).to_string(),
        Err(_) => QuotedBytes(bytes, SHOWN).to_string(),
    }
}

fn key(change: &KeyChange, old: &Cells, new: &Cells) -> String {
    let (bucket, key) = (shown(&change.bucket), shown(&change.key));
    format!("{bucket} {key}: {} -> {}", value(change.old.as_ref(), old), value(change.new.as_ref(), new))
}

fn value(value: Option<&CellValue>, cells: &Cells) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(value) if length(value) > 1024 => units::bytes(length(value)),
        Some(value) => match cells.bytes(value) {
            Ok(bytes) => shown(&bytes),
            Err(_) => units::bytes(length(value)),
        },
    }
}

fn answer(answer: Option<&Answer>) -> String {
    let Some(Answer { status, body, .. }) = answer else { return "nothing".to_owned() };
    let status = match status {
        Ok(status) => status.to_string(),
        Err(HttpFault { code, .. }) => format!("an error ({code:?})"),
    };
    format!("{status} {}", shown(body))
}
