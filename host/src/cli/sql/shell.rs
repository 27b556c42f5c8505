//! Questions one after the other, from a terminal or a file. Between two of them the database is free for others.

use std::io::BufRead;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::output::Mode;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::sql::{ALL, schema};
use crate::world::{console, signals};

const PROMPT: &str = "reel> ";
const MORE: &str = "  ... ";

const HELP: &str = "\
A question ends with a semicolon. Beside SQL there are:
  .tables          the tables
  .schema [TABLE]  their columns, and what they mean
  .mode MODE       how answers are shown: table, json, csv
  .help            this
  .quit            the end (or Ctrl-D)
";

/// Longest question, in bytes; stops an input without an end.
const QUESTION_BYTES: usize = 1 << 20;

/// Where lines come from.
enum Lines {
    /// A person.
    Terminal(Box<DefaultEditor>),
    /// A file or pipe.
    Stream(Box<dyn BufRead>),
}

/// What to do with a line.
enum Told {
    On,
    Quit,
}

/// Reads questions and has each of them answered. A failure ends what comes from a file, and is only shown to a person.
pub fn converse(
    mut mode: Mode,
    io: &mut Io<'_>,
    answer: &mut dyn FnMut(&str, Mode, &mut Io<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let mut lines = match io.look.in_terminal {
        true => Lines::Terminal(Box::new(DefaultEditor::new().map_err(|error| host(&error))?)),
        false => Lines::Stream(Box::new(console::stdin_lines())),
    };
    let person = matches!(lines, Lines::Terminal(_));
    if person {
        writeln!(io.err, "reel sql: .help tells more, .quit ends it")?;
    }
    let mut question = String::new();
    while let Some(line) = lines.next(if question.is_empty() { PROMPT } else { MORE })? {
        let Some(line) = line else {
            question.clear();
            continue;
        };
        if question.is_empty() && line.trim_start().starts_with('.') {
            match command(line.trim(), &mut mode, io) {
                Ok(Told::On) => {}
                Ok(Told::Quit) => break,
                Err(failure) if person => failure.show(io),
                Err(failure) => return Err(failure),
            }
            continue;
        }
        question.push_str(&line);
        question.push('\n');
        if question.len() > QUESTION_BYTES {
            return Err(Failure::usage(format!("a question is longer than {QUESTION_BYTES} bytes")));
        }
        if is_whole(&question) {
            ask(&mut question, mode, person, io, answer)?;
        }
    }
    if question.trim().is_empty() { Ok(Exit::OK) } else { ask(&mut question, mode, person, io, answer) }
}

fn ask(
    question: &mut String,
    mode: Mode,
    person: bool,
    io: &mut Io<'_>,
    answer: &mut dyn FnMut(&str, Mode, &mut Io<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let asked = std::mem::take(question);
    if asked.trim().is_empty() {
        return Ok(Exit::OK);
    }
    let answered = answer(&asked, mode, io);
    if person {
        signals::forget();
    }
    match answered {
        Err(failure) if person && !failure.is_silent() => {
            failure.show(io);
            Ok(failure.exit())
        }
        // Whoever answers it has shown why.
        Ok(exit) if !person && exit != Exit::OK => Err(Failure::new(exit, "the question was not answered")),
        done => {
            io.out.flush()?;
            done
        }
    }
}

/// Whether a text ends with a semicolon that is in no quotes and no comment.
fn is_whole(text: &str) -> bool {
    let (mut chars, mut ended) = (text.chars().peekable(), false);
    while let Some(c) = chars.next() {
        match c {
            ';' => ended = true,
            '\'' | '"' | '`' | '[' => {
                ended = false;
                let end = if c == '[' { ']' } else { c };
                if !chars.any(|c| c == end) {
                    return false;
                }
            }
            '-' if chars.peek() == Some(&'-') => {
                let _ = chars.find(|c| *c == '\n');
            }
            '/' if chars.peek() == Some(&'*') => {
                chars.next();
                let mut last = ' ';
                let closed = chars.any(|c| std::mem::replace(&mut last, c) == '*' && c == '/');
                if !closed {
                    return false;
                }
            }
            c if c.is_whitespace() => {}
            _ => ended = false,
        }
    }
    ended
}

fn command(line: &str, mode: &mut Mode, io: &mut Io<'_>) -> Result<Told, Failure> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim().trim_end_matches(';');
    match word.trim_end_matches(';') {
        ".quit" | ".exit" => return Ok(Told::Quit),
        ".help" => write!(io.out, "{HELP}")?,
        ".tables" => {
            for table in ALL {
                writeln!(io.out, "{:<16} {}", table.name, table.says)?;
            }
        }
        ".schema" if rest.is_empty() => write!(io.out, "{}", schema())?,
        ".schema" => {
            let all = schema();
            let from = format!("CREATE TABLE {rest} (");
            let Some(at) = all.find(&from) else {
                return Err(
                    Failure::not_found(format!("there is no table {rest:?}")).hint(".tables tells which there are")
                );
            };
            let end = all[at..].find(");\n").map_or(all.len(), |end| at + end + 3);
            write!(io.out, "{}", &all[at..end])?;
        }
        ".mode" => *mode = rest.parse().map_err(Failure::usage)?,
        other => return Err(Failure::usage(format!("there is no {other:?}")).hint(".help tells what there is")),
    }
    io.out.flush()?;
    Ok(Told::On)
}

impl Lines {
    /// The next line; nothing inside if a person gave up on the question, nothing at all at the end.
    fn next(&mut self, prompt: &str) -> Result<Option<Option<String>>, Failure> {
        match self {
            Self::Terminal(editor) => match editor.readline(prompt) {
                Ok(line) => {
                    drop(editor.add_history_entry(line.as_str()));
                    Ok(Some(Some(line)))
                }
                Err(ReadlineError::Interrupted) => Ok(Some(None)),
                Err(ReadlineError::Eof) => Ok(None),
                Err(error) => Err(host(&error)),
            },
            Self::Stream(stream) => {
                let mut bytes = Vec::new();
                let mut limited = std::io::Read::take(stream, QUESTION_BYTES as u64 + 1);
                if limited.read_until(b'\n', &mut bytes)? == 0 {
                    return Ok(None);
                }
                let text = String::from_utf8(bytes).map_err(|_| Failure::usage("the question is no text (UTF-8)"))?;
                Ok(Some(Some(text.trim_end_matches(['\n', '\r']).to_owned())))
            }
        }
    }
}

fn host(error: &ReadlineError) -> Failure {
    Failure::new(Exit::HOST, format!("the terminal: {error}"))
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn a_question_ends_with_its_semicolon() {
        for whole in ["select 1;", "select ';'; ", "select 1; -- and so\n", "select \"a;b\" /* ; */;"] {
            assert!(is_whole(whole), "{whole}");
        }
        for open in ["select 1", "select ';", "select 1 -- ;\n", "select /* ;", "a; b", "select [;"] {
            assert!(!is_whole(open), "{open}");
        }
    }
}
