//! Bytes as people look at them: offset, sixteen in hexadecimal, the same as ASCII.

use std::io::{self, Write};

/// Writes the dump, each line after `indent`. A row of zeros after a row of zeros becomes one `*`.
pub fn write(out: &mut dyn Write, bytes: &[u8], indent: &str) -> io::Result<()> {
    write_from(out, 0, bytes, indent)
}

/// The same of bytes that begin at an address.
pub fn write_from(out: &mut dyn Write, address: u64, bytes: &[u8], indent: &str) -> io::Result<()> {
    let mut last: Option<&[u8]> = None;
    let mut starred = false;
    for (index, row) in bytes.chunks(16).enumerate() {
        let end = (index + 1) * 16 >= bytes.len();
        if last == Some(row) && !end {
            if !starred {
                writeln!(out, "{indent}*")?;
            }
            starred = true;
            continue;
        }
        (last, starred) = (Some(row), false);
        writeln!(out, "{indent}{}", line(address + (index * 16) as u64, row))?;
    }
    Ok(())
}

/// A line of up to sixteen bytes.
pub fn line(address: u64, row: &[u8]) -> String {
    let hex = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let (left, right) = row.split_at(row.len().min(8));
    let ascii: String =
        row.iter().map(|byte| if matches!(byte, 0x20..=0x7e) { char::from(*byte) } else { '.' }).collect();
    format!("{address:08x}  {:23}  {:23}  |{ascii}|", hex(left), hex(right))
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_other_tools_print_it() {
        let mut bytes = b"0123456789abcdef".to_vec();
        bytes.extend([0; 64]);
        bytes.extend(b"end\x1b");
        let mut out = Vec::new();
        super::write(&mut out, &bytes, "  ").expect("written");
        let text = String::from_utf8(out).expect("text");
        let expected = [
            "  00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|",
            "  00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|",
            "  *",
            "  00000050  65 6e 64 1b                                       |end.|",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
}
