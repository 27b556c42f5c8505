//! Events as lines for people. Whatever comes from a guest is escaped and cut, so that a line stays a line.

use std::fmt::Write;

use reel_abi::id::{RunId, Seq};
use reel_abi::value::Value;
use reel_abi::vocabulary::EventView;

use super::dates;
use super::escape::{Quoted, QuotedBytes, Safe};
use super::style::Paint;
use super::units;

/// Characters of a text that a line shows.
const TEXT: usize = 120;

/// Bytes that a line shows.
const BYTES: usize = 48;

/// Elements of a list that a line shows.
const ELEMENTS: usize = 16;

/// Width of the call's name, so that the requests stand below each other.
const NAME: usize = 18;

/// `12@7  fs.open  dir=#3 path="ledger.csv" how=create -> #7`, without the end of the line. The event's name takes `width` columns, if it is
/// not longer.
pub fn line(run: RunId, seq: Seq, event: &EventView, width: usize, paint: Paint) -> String {
    let id = format!("{:width$}", format!("{run}@{seq}"));
    let mut line = format!("{}  ", paint.dim(&id));
    let name = format!("{:NAME$}", event.name);
    line.push_str(&paint.bold(&name));
    line.push_str(&rest(event, paint));
    line.truncate(line.trim_end().len());
    line
}

/// Columns that the name of a run's event takes, if none comes after `last`.
pub fn width(run: RunId, last: u64) -> usize {
    format!("{run}@{last}").len()
}

/// Request and reply of an event on one line.
fn rest(event: &EventView, paint: Paint) -> String {
    let mut text = String::new();
    for (name, value) in &event.request {
        if *value == Value::Word(String::new()) {
            continue;
        }
        text.push_str(&format!(" {name}={}", short(value)));
    }
    match &event.reply {
        Value::Unit => {}
        reply @ Value::Failure(_) => text.push_str(&format!(" -> {}", paint.warning(&short(reply)))),
        reply => text.push_str(&format!(" -> {}", short(reply))),
    }
    text
}

/// An event without its reply.
pub fn request(event: &EventView) -> String {
    let fields = event.request.iter().map(|(name, value)| format!(" {name}={}", short(value)));
    format!("{}{}", event.name, fields.collect::<String>())
}

/// A value on one line, cut where it is long.
pub fn short(value: &Value) -> String {
    let mut text = String::new();
    put(&mut text, value);
    text
}

fn put(text: &mut String, value: &Value) {
    // Writing to a string cannot fail.
    let _: std::fmt::Result = match value {
        Value::Unit => text.write_str("()"),
        Value::Bool(yes) => write!(text, "{yes}"),
        Value::Number(number) => write!(text, "{number}"),
        Value::Signed(number) => write!(text, "{number}"),
        Value::Handle(handle) => write!(text, "#{handle}"),
        Value::Text(inner) => write!(text, "{}", Quoted(inner, TEXT)),
        Value::Word(word) if word.is_empty() => text.write_str("none"),
        Value::Word(word) => write!(text, "{}", Safe(word)),
        Value::Time(u64::MAX) => text.write_str("unfit"),
        Value::Time(nanos) => text.write_str(&dates::exact(*nanos)),
        Value::Duration(nanos) => text.write_str(&units::nanos(*nanos)),
        Value::Bytes(bytes) => write!(text, "{}", QuotedBytes(bytes, BYTES)),
        Value::Elsewhere { len, digest } => write!(text, "<{len} bytes {}>", &digest[..digest.len().min(16)]),
        Value::List(values) => return list(text, values),
        Value::Record(fields) => return record(text, fields),
        Value::Failure(inner) => {
            text.push_str("error ");
            return put(text, inner);
        }
    };
}

fn list(text: &mut String, values: &[Value]) {
    text.push('[');
    for (index, value) in values.iter().take(ELEMENTS).enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        put(text, value);
    }
    if values.len() > ELEMENTS {
        text.push_str(&format!(", ...({} in all)", values.len()));
    }
    text.push(']');
}

fn record(text: &mut String, fields: &[(&'static str, Value)]) {
    text.push('{');
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(name);
        text.push('=');
        put(text, value);
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use reel_abi::vocabulary::Class;

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let event = EventView {
            code: 51,
            name: "fs.open",
            class: Class::Stage,
            request: vec![
                ("dir", Value::Handle(3)),
                ("path", Value::Text("a\n\u{1b}[2J".into())),
                ("how", Value::Word("create".into())),
                ("flags", Value::Word(String::new())),
            ],
            reply: Value::Failure(Box::new(Value::Word("no-entry".into()))),
        };
        let line = line(RunId(12), Seq(7), &event, 5, Paint(false));
        assert_eq!(line, r#"12@7   fs.open            dir=#3 path="a\n\x1b[2J" how=create -> error no-entry"#);
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(short(&Value::Bytes(vec![b'x'; 50])), format!("b\"{}\"...(50 bytes)", "x".repeat(48)));
        let many = short(&Value::List(vec![Value::Number(1); 20]));
        assert!(many.ends_with(", ...(20 in all)]"), "{many}");
    }
}
