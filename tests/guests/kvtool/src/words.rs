//! The words of an operation, and those of a result.

/// What a call gave, in words.
pub type Said = Result<String, String>;

/// A name and its arguments.
pub struct Words(Vec<String>);

impl Words {
    /// Those of a line.
    pub fn of(line: &str) -> Self {
        Self(line.split_whitespace().map(str::to_owned).collect())
    }

    /// The first.
    pub fn name(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// An argument; one that is missing is `-`.
    pub fn at(&self, index: usize) -> &str {
        self.0.get(index + 1).map_or("-", String::as_str)
    }

    /// An argument, if it is there.
    pub fn given(&self, index: usize) -> Option<&str> {
        self.0.get(index + 1).map(String::as_str)
    }

    /// All arguments, as they are.
    pub fn rest(&self) -> String {
        self.0.get(1..).unwrap_or_default().join(" ")
    }

    /// The arguments from this one on, as text.
    pub fn texts(&self, from: usize) -> Result<Vec<String>, String> {
        self.0.get(from + 1..).unwrap_or_default().iter().map(|word| text_of(word)).collect()
    }

    /// The bytes that an argument stands for.
    pub fn bytes(&self, index: usize) -> Vec<u8> {
        bytes_of(self.at(index))
    }

    /// The bytes of a bound; nothing if it is `.` or missing.
    pub fn bound(&self, index: usize) -> Option<Vec<u8>> {
        self.given(index).filter(|word| *word != ".").map(bytes_of)
    }

    /// The text that an argument stands for; what the standard's keys are.
    pub fn text(&self, index: usize) -> Result<String, String> {
        text_of(self.at(index))
    }

    /// A number; 0 if it is none.
    pub fn number<T: std::str::FromStr + Default>(&self, index: usize) -> T {
        self.at(index).parse().unwrap_or_default()
    }
}

fn bytes_of(word: &str) -> Vec<u8> {
    let digit = |byte: &u8| (*byte as char).to_digit(16).unwrap_or(0) as u8;
    match word.split_once(':') {
        _ if word == "-" => Vec::new(),
        Some(("x", digits)) => {
            digits.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, one| byte << 4 | digit(one))).collect()
        }
        Some(("l", len)) => vec![b'l'; len.parse().unwrap_or(0)],
        _ => word.as_bytes().to_vec(),
    }
}

fn text_of(word: &str) -> Result<String, String> {
    String::from_utf8(bytes_of(word)).map_err(|_| "of this tool: no text".into())
}

/// Bytes: as text, unless they are long or odd.
pub fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() <= 100 => format!("{text:?}"),
        _ if bytes.len() <= 32 => format!("x:{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        _ => format!("{} bytes", bytes.len()),
    }
}

/// A value that may be missing.
pub fn shown_value(value: Option<&[u8]>) -> String {
    value.map_or("none".into(), shown)
}

/// Keys and values, and whether there are more.
pub fn shown_entries(entries: &[(Vec<u8>, Vec<u8>)], next: Option<&[u8]>) -> String {
    let pairs: Vec<String> = entries.iter().map(|(key, value)| format!("{}={}", shown(key), shown(value))).collect();
    format!("[{}]{}", pairs.join(" "), next.map_or(String::new(), |next| format!(" next {}", shown(next))))
}

/// What gives nothing.
pub fn done((): ()) -> String {
    "done".into()
}
