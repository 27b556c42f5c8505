//! Comma-separated values (RFC 4180), one record at a time.

use std::io::{self, BufRead};

/// Longest record in bytes; a quote that is never closed shall not swallow a whole file.
const RECORD_BYTES: usize = 64 << 10;

/// A record and where it began.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Line of its first byte, from 1.
    pub line: usize,
    /// Its fields, unquoted.
    pub fields: Vec<String>,
}

/// Reads records.
pub struct Reader<R> {
    input: R,
    line: usize,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the first line.
    pub fn new(input: R) -> Self {
        Self { input, line: 0 }
    }

    /// The next record; blank lines are skipped. The error says what is wrong, and in which line.
    pub fn next(&mut self) -> Result<Option<Record>, (usize, String)> {
        loop {
            let line = self.line + 1;
            let Some(text) = self.record().map_err(|error| (line, error.to_string()))? else { return Ok(None) };
            if !text.trim().is_empty() {
                return Ok(Some(Record { line, fields: fields(&text).map_err(|what| (line, what))? }));
            }
        }
    }

    /// Lines up to one in which all quotes are closed, without the line end.
    fn record(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        loop {
            if self.input.read_until(b'\n', &mut bytes)? == 0 {
                return match bytes.is_empty() {
                    true => Ok(None),
                    false => Err(io::Error::other("a quote is opened and never closed")),
                };
            }
            self.line += 1;
            if self.line == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
                bytes.drain(..3);
            }
            if bytes.len() > RECORD_BYTES {
                return Err(io::Error::other(format!(
                    "a record of more than {RECORD_BYTES} bytes; is a quote missing?"
                )));
            }
            if bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 0 {
                let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))?;
                return Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()));
            }
        }
    }
}

fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let field;
        (field, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return Err(format!("a quote inside of the unquoted field {:?}", &rest[..end]));
                }
                (rest[..end].trim().to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

/// The field up to its closing quote, and what follows.
fn unquote(quoted: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"').ok_or("a quote is opened and never closed")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None if rest.is_empty() || rest.starts_with(',') => return Ok((field, rest)),
            None => return Err(format!("{:?} follows a closing quote", rest.chars().next().unwrap_or(' '))),
        }
    }
}

/// One record as a line, quoted where it must be.
pub fn line(fields: &[&str]) -> String {
    let field = |text: &&str| match text.contains([',', '"', '\n', '\r']) || text.trim() != *text {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => (*text).to_owned(),
    };
    let mut line = fields.iter().map(field).collect::<Vec<_>>().join(",");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Record>, (usize, String)> {
        let mut reader = Reader::new(text.as_bytes());
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let fields = ["plain", "a, b", "say \"so\"", "two\nlines", "", " spaced ", "Käse"];
        let records = all(&line(&fields)).unwrap();
        assert_eq!(records, [Record { line: 1, fields: fields.map(str::to_owned).to_vec() }]);
    }

    #[test]
    fn marks_of_other_systems_and_blank_lines_are_skipped() {
        let records = all("\u{feff}a,b\r\n\r\n\n1, 2\r\n").unwrap();
        assert_eq!(records[0].fields, ["a", "b"]);
        assert_eq!(records[1], Record { line: 4, fields: vec!["1".into(), "2".into()] });
    }

    #[test]
    fn lines_are_counted_over_quoted_line_ends() {
        assert_eq!(all("\"a\nb\"\nc\n").unwrap()[1].line, 3);
    }

    #[test]
    fn stray_quotes_are_refused_with_their_line() {
        assert_eq!(all("a\nb\"c\"\n").unwrap_err().0, 2);
        assert_eq!(all("a\n\"b\n").unwrap_err(), (2, "a quote is opened and never closed".into()));
        assert!(all("\"a\"b\n").unwrap_err().1.contains("follows a closing quote"));
    }
}
