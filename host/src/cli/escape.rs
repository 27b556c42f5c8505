//! Text that comes from guests, logs and file names, made safe to show: no control character reaches a terminal, nothing turns the
//! direction of writing around or hides.

use std::fmt::{self, Write};

pub use crate::sql::values::is_plain;

fn put(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\0'..='\u{1f}' | '\u{7f}' => write!(f, "\\x{:02x}", u32::from(c)),
        c if is_plain(c) => f.write_char(c),
        c => write!(f, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Shows text as it is but for characters that are not plain.
pub struct Safe<'a>(pub &'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| put(f, c))
    }
}

/// The same, but lines stay lines.
pub struct SafeLines<'a>(pub &'a str);

impl fmt::Display for SafeLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| if c == '\n' { f.write_char(c) } else { put(f, c) })
    }
}

/// Shows a line of bytes: text as it is, tabs too, and what is no text as `\xff`.
pub struct SafeBytes<'a>(pub &'a [u8]);

impl fmt::Display for SafeBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            chunk.valid().chars().try_for_each(|c| if c == '\t' { f.write_char(c) } else { put(f, c) })?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Shows text in quotes, cut after `1` characters.
pub struct Quoted<'a>(pub &'a str, pub usize);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars().take(self.1) {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c => put(f, c)?,
            }
        }
        f.write_char('"')?;
        match self.0.chars().nth(self.1) {
            Some(_) => write!(f, "...({} bytes)", self.0.len()),
            None => Ok(()),
        }
    }
}

/// Shows bytes as `b"..."`, cut after `1` of them.
pub struct QuotedBytes<'a>(pub &'a [u8], pub usize);

impl fmt::Display for QuotedBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(self.1)];
        write!(f, "b\"{}\"", shown.escape_ascii())?;
        if shown.len() < self.0.len() { write!(f, "...({} bytes)", self.0.len()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_is_left() {
        let nasty = "a\u{1b}[31m\u{9b}\u{202e}\u{200b}\n\r\t\0\u{7f}é漢";
        let safe = Safe(nasty).to_string();
        assert!(safe.chars().all(is_plain), "{safe}");
        assert_eq!(safe, "a\\x1b[31m\\u{9b}\\u{202e}\\u{200b}\\n\\r\\t\\x00\\x7fé漢");
        assert_eq!(Quoted("say \"\\\"", 99).to_string(), r#""say \"\\\"""#);
        assert_eq!(Quoted("abcdef", 3).to_string(), "\"abc\"...(6 bytes)");
        assert_eq!(SafeBytes(b"a\tb\r\x1b[m\xff\xc3\xa9").to_string(), "a\tb\\r\\x1b[m\\xff\u{e9}");
        assert_eq!(QuotedBytes(b"\x00a\xff", 2).to_string(), "b\"\\x00a\"...(3 bytes)");
    }
}
