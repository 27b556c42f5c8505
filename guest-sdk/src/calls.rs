//! Calls of other guests: the interface `reel:guest/calls`.
//!
//! A call is a part of the transaction: what the other guest does in its space commits with what this one does in its own, or neither does. So there is
//! nothing to compensate: whoever aborts, traps, or goes back to a savepoint has called nobody.
//!
//! Only those can be called that were granted: `reel run --call NAME`, `reel deploy --call NAME`.

use std::fmt::{self, Display};

use crate::bindings::reel::guest::calls as host;

/// Why a call gave nothing. What it did is dropped; the transaction is what it was before, and can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The guest may not be called.
    NotGranted,
    /// No guest was deployed under the name.
    NoSuchGuest,
    /// It has no such function; what it has, in words.
    NoSuchFunction(String),
    /// The arguments do not fit, in words.
    BadArguments(String),
    /// The guest is this one, or waits for it.
    Circular,
    /// Too many calls within each other.
    TooDeep,
    /// A bound of the transaction is reached; which in words.
    QuotaExceeded(String),
    /// The guest cannot be called now, in words.
    Unavailable(String),
    /// It trapped, aborted or reached a limit, in words.
    Failed(String),
    /// The function returned an error: its value in WAVE, if it has one.
    Returned(Option<String>),
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted => f.write_str("the guest was not granted"),
            Self::NoSuchGuest => f.write_str("no guest was deployed under that name"),
            Self::Circular => f.write_str("the guest waits for this call, or is the caller itself"),
            Self::TooDeep => f.write_str("too many calls within each other"),
            Self::NoSuchFunction(why)
            | Self::BadArguments(why)
            | Self::QuotaExceeded(why)
            | Self::Unavailable(why)
            | Self::Failed(why) => f.write_str(why),
            Self::Returned(Some(error)) => write!(f, "it returned an error: {error}"),
            Self::Returned(None) => f.write_str("it returned an error"),
        }
    }
}

impl std::error::Error for Error {}

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::NotGranted => Self::NotGranted,
            host::Error::NoSuchGuest => Self::NoSuchGuest,
            host::Error::NoSuchFunction(why) => Self::NoSuchFunction(why),
            host::Error::BadArguments(why) => Self::BadArguments(why),
            host::Error::Circular => Self::Circular,
            host::Error::TooDeep => Self::TooDeep,
            host::Error::QuotaExceeded(why) => Self::QuotaExceeded(why),
            host::Error::Unavailable(why) => Self::Unavailable(why),
            host::Error::Failed(why) => Self::Failed(why),
            host::Error::Returned(error) => Self::Returned(error),
        }
    }
}

/// Calls an exported function of another guest, and gives what it returns in WAVE: of a `result` its value, nothing if it has none. The arguments are WAVE
/// values too: `17`, `"Ada"` with its quotes, `{x: 1}`; [`text`] makes one of a text.
///
/// # Errors
///
/// See [`Error`]; nothing of the call is left then.
///
/// Several calls are all or nothing within a [`savepoint`](crate::savepoint):
///
/// ```no_run
/// use reel_guest::calls::{call, text};
/// use reel_guest::savepoint;
///
/// let paid = savepoint(|| -> Result<(), Box<dyn std::error::Error>> {
///     call("alices-bank", "withdraw", &[&text("alice"), "50"])?;
///     call("bobs-bank", "deposit", &[&text("bob"), "50"])?;
///     Ok(())
/// });
/// ```
pub fn call(guest: &str, function: &str, arguments: &[&str]) -> Result<String, Error> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    Ok(host::call(guest, function, &arguments)?)
}

/// A text as a WAVE value: in quotes, with what is special escaped.
pub fn text(text: &str) -> String {
    let mut wave = String::with_capacity(text.len() + 2);
    wave.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => wave.extend(['\\', letter]),
            letter if letter.is_control() => wave.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
            letter => wave.push(letter),
        }
    }
    wave.push('"');
    wave
}

/// The text that a WAVE value is; nothing if it is none.
pub fn text_of(wave: &str) -> Option<String> {
    let inner = wave.strip_prefix('"')?.strip_suffix('"')?;
    let (mut text, mut letters) = (String::with_capacity(inner.len()), inner.chars());
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '"' => return None,
            '\\' => match letters.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'u' => {
                    let (code, rest) = letters.as_str().strip_prefix('{')?.split_once('}')?;
                    letters = rest.chars();
                    char::from_u32(u32::from_str_radix(code, 16).ok()?)?
                }
                letter => letter,
            },
            letter => letter,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{text, text_of};

    #[test]
    fn a_text_comes_back() {
        for plain in ["", "a \"b\" \\ ü\n\t\r", "\u{1}{}"] {
            assert_eq!(text_of(&text(plain)).as_deref(), Some(plain));
        }
        for other in ["7", "\"", "\"a\\\"", "\"a\"b\"", "\"\\u{110000}\"", "\"\\u{\""] {
            assert_eq!(text_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_text_is_quoted() {
        assert_eq!(text("a \"b\" \\ ü\n"), "\"a \\\"b\\\" \\\\ ü\\u{a}\"");
    }
}
