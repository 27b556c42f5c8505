//! Runs of printable characters.

use std::io;

use serde::Serialize;

use super::range::Part;
use crate::cli::escape::Safe;
use crate::cli::io::Io;
use crate::cli::json;
use crate::runtime::resident::remembering::Remembered;

/// Bytes of a run that are shown; keeps a memory that is one long text from being held whole.
const SHOWN_BYTES: usize = 4096;

/// A run: printable characters in a row.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Run {
    address: u64,
    chars: usize,
    len: u64,
    text: String,
}

/// Finds runs in bytes that come piece by piece.
struct Finder<F> {
    least: usize,
    run: Run,
    /// The beginning of a character whose rest is in the next piece.
    begun: Vec<u8>,
    found: F,
}

impl<F: FnMut(&Run) -> io::Result<()>> Finder<F> {
    fn piece(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        if self.begun.is_empty() && bytes.iter().all(|byte| *byte == 0) {
            return self.end();
        }
        let mut address = address - self.begun.len() as u64;
        let mut whole = std::mem::take(&mut self.begun);
        whole.extend_from_slice(bytes);
        let mut chunks = whole.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            for c in chunk.valid().chars() {
                self.put(address, c)?;
                address += c.len_utf8() as u64;
            }
            let rest = chunk.invalid();
            let last = chunks.peek().is_none();
            if last && std::str::from_utf8(rest).is_err_and(|error| error.error_len().is_none()) {
                self.begun = rest.to_vec();
            } else if !rest.is_empty() {
                self.end()?;
            }
            address += rest.len() as u64;
        }
        Ok(())
    }

    fn put(&mut self, address: u64, c: char) -> io::Result<()> {
        if c.is_control() && c != '\t' {
            return self.end();
        }
        if self.run.chars == 0 {
            self.run.address = address;
        }
        self.run.chars += 1;
        self.run.len += c.len_utf8() as u64;
        if self.run.text.len() + c.len_utf8() <= SHOWN_BYTES {
            self.run.text.push(c);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        let run = std::mem::take(&mut self.run);
        if run.chars >= self.least { (self.found)(&run) } else { Ok(()) }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    memory: u32,
    address: u64,
    len: u64,
    text: &'a str,
}

/// Writes the runs of at least so many characters.
pub fn write(remembered: &Remembered, parts: &[Part], least: usize, as_json: bool, io: &mut Io<'_>) -> io::Result<()> {
    let several = remembered.sizes().len() > 1;
    for part in parts {
        let memory = part.memory;
        let found = |run: &Run| {
            let Run { address, len, text, .. } = run;
            if as_json {
                return json::line(io.out, &Json { memory, address: *address, len: *len, text });
            }
            let number = if several { format!("{memory}:") } else { String::new() };
            let rest = if *len > text.len() as u64 { format!("...({len} bytes)") } else { String::new() };
            writeln!(io.out, "{number}{address:08x}  {}{rest}", Safe(text))
        };
        let mut finder = Finder { least, run: Run::default(), begun: Vec::new(), found };
        for window in part.windows() {
            let bytes = remembered.bytes(memory as usize, window.start, (window.end - window.start) as usize);
            finder.piece(window.start, &bytes)?;
        }
        finder.end()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(pieces: &[&[u8]], least: usize) -> Vec<(u64, String, u64)> {
        let mut found = Vec::new();
        let note = |run: &Run| {
            found.push((run.address, run.text.clone(), run.len));
            Ok(())
        };
        let mut finder = Finder { least, run: Run::default(), begun: Vec::new(), found: note };
        let mut address = 100;
        for piece in pieces {
            finder.piece(address, piece).expect("found");
            address += piece.len() as u64;
        }
        finder.end().expect("found");
        found
    }

    #[test]
    fn across_pieces_and_within() {
        assert_eq!(runs(&[b"\0abc", b"def\0ab\x01"], 6), [(101, "abcdef".to_owned(), 6)]);
        assert_eq!(runs(&[b"ab\xe6\xbc", b"\xa2cd\n"], 5), [(100, "ab漢cd".to_owned(), 7)]);
        assert_eq!(
            runs(&[b"ab\xe6\xbc", b"cd\xff\xffefgh"], 2),
            [(100, "ab".into(), 2), (104, "cd".into(), 2), (108, "efgh".into(), 4)]
        );
        assert_eq!(runs(&[b"ab\xe6", &[0; 64], b"cd"], 2), [(100, "ab".into(), 2), (167, "cd".into(), 2)]);
        assert_eq!(runs(&[b"\xe6", b"\xbc", b"\xa2"], 1), [(100, "漢".into(), 3)]);
        let long = vec![b'x'; 3 * SHOWN_BYTES];
        assert_eq!(runs(&[&long, &long], 6), [(100, "x".repeat(SHOWN_BYTES), 6 * SHOWN_BYTES as u64)]);
    }
}
