//! What can be done at a stop, and how it is written: the steps of a script, and what is typed at the terminal.

use reel_abi::id::Seq;

use crate::debug::Name;

/// Steps of one script; stops one that never ends.
const STEPS: usize = 100_000;

/// Bytes of memory that are shown if nobody says how many, and at most.
const MEMORY: u64 = 256;
const MOST_MEMORY: u64 = 64 << 10;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// So many events forward.
    Next(u64),
    /// So many back.
    Back(u64),
    /// To an event.
    Go(Seq),
    /// To the first one.
    First,
    /// To the last one.
    Last,
    /// To where the run failed.
    Failure,
    /// To the next answer that is a failure (`true`), or the one before.
    Error(bool),
    /// To text, forward or back.
    Find(String, bool),
    /// The same again, forward or back.
    Again(bool),
    /// To the last write of a name before here.
    LastWrite(Name),
    /// To the last write of anything before here.
    LastOfAll,
    /// Sets a bookmark.
    Mark(String),
    /// To a bookmark.
    ToMark(String),
    /// The whole space here.
    All,
    /// Memory: which one, from where, how much.
    Memory(u32, u64, u64),
    /// Looks for bytes in memory 0, from the address that is shown on.
    FindMemory(String),
    /// A space that begins as here.
    Fork(String),
    /// It is enough.
    Quit,
}

/// The steps of a script.
pub fn script(text: &str) -> Result<Vec<Action>, String> {
    let steps: Result<Vec<_>, _> = words(text)?.iter().map(|word| step(word)).collect();
    let steps = steps?;
    if steps.len() > STEPS {
        return Err(format!("a script of {} steps; {STEPS} is the most", steps.len()));
    }
    Ok(steps)
}

/// Words between blanks; in `"..."` blanks are part of the word.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            '"' => (quoted, begun) = (!quoted, true),
            c if c.is_whitespace() && !quoted => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if quoted {
        return Err("a quote is opened in the script and not closed".into());
    }
    if begun {
        words.push(word);
    }
    Ok(words)
}

/// One step.
pub fn step(word: &str) -> Result<Action, String> {
    let wrong = || format!("{word:?} is no step; `reel debug --help` lists them");
    let count = |text: &str| match text {
        "" => Ok(1),
        text => text.parse::<u64>().map_err(|_| wrong()),
    };
    if let Some((verb, rest)) = word.split_once(':')
        && !word.starts_with(['/', '?', '\''])
    {
        let some = |rest: &str| if rest.is_empty() { Err(wrong()) } else { Ok(rest.to_owned()) };
        return match verb {
            "k" => match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() => {
                    Ok(Action::LastWrite(Name::Key(bucket.into(), key.into())))
                }
                _ => Err(format!("{word:?} names no key; write k:BUCKET/KEY")),
            },
            "f" => Ok(Action::LastWrite(Name::Path(some(rest)?.trim_matches('/').to_owned()))),
            "mark" => Ok(Action::Mark(some(rest)?)),
            "fork" => Ok(Action::Fork(some(rest)?)),
            "mem" => {
                memory(rest).ok_or_else(|| format!("{word:?} is no place in memory; write mem:0x100+64, mem:1:0x100"))
            }
            _ => Err(wrong()),
        };
    }
    if let Some(text) = word.strip_prefix("mem/") {
        return Ok(Action::FindMemory(text.to_owned()));
    }
    match word {
        "^" => return Ok(Action::First),
        "$" => return Ok(Action::Last),
        "!" => return Ok(Action::Failure),
        "e" | "E" => return Ok(Action::Error(word == "e")),
        "." | "," => return Ok(Action::Again(word == ".")),
        "w" => return Ok(Action::LastOfAll),
        "q" => return Ok(Action::Quit),
        "all" => return Ok(Action::All),
        "mem" => return Ok(Action::Memory(0, 0, MEMORY)),
        _ => {}
    }
    let mut rest = word.chars();
    match rest.next() {
        Some('n') => Ok(Action::Next(count(rest.as_str())?)),
        Some('b') => Ok(Action::Back(count(rest.as_str())?)),
        Some('/') if !rest.as_str().is_empty() => Ok(Action::Find(rest.as_str().into(), true)),
        Some('?') if !rest.as_str().is_empty() => Ok(Action::Find(rest.as_str().into(), false)),
        Some('\'') => Ok(Action::ToMark(rest.as_str().into())),
        Some('0'..='9') => Ok(Action::Go(Seq(word.parse().map_err(|_| wrong())?))),
        _ => Err(wrong()),
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `[MEMORY:]FROM[+LEN]`
fn memory(text: &str) -> Option<Action> {
    let (which, range) = text.split_once(':').unwrap_or(("0", text));
    let (from, len) = range.split_once('+').map_or((range, None), |(from, len)| (from, Some(len)));
    let len = len.map_or(Some(MEMORY), number)?.min(MOST_MEMORY);
    Some(Action::Memory(which.parse().ok()?, number(from)?, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts() {
        let steps = script(
            r#"n n5 b 7 ^ $ ! e E /word "?two words" . , w k:orders/7/x f:/a.csv mark:x 'x all mem mem:0x10+4 fork:y q"#,
        );
        let key = Name::Key("orders".into(), b"7/x".to_vec());
        let expected = vec![
            Action::Next(1),
            Action::Next(5),
            Action::Back(1),
            Action::Go(Seq(7)),
            Action::First,
            Action::Last,
            Action::Failure,
            Action::Error(true),
            Action::Error(false),
            Action::Find("word".into(), true),
            Action::Find("two words".into(), false),
            Action::Again(true),
            Action::Again(false),
            Action::LastOfAll,
            Action::LastWrite(key),
            Action::LastWrite(Name::Path("a.csv".into())),
            Action::Mark("x".into()),
            Action::ToMark("x".into()),
            Action::All,
            Action::Memory(0, 0, MEMORY),
            Action::Memory(0, 16, 4),
            Action::Fork("y".into()),
            Action::Quit,
        ];
        assert_eq!(steps, Ok(expected));
        for bad in ["x", "n-1", "k:7", "k:/7", "/", "mark:", "\"n", "mem:x", "99999999999999999999", "7x", "z:1"] {
            assert!(script(bad).is_err(), "{bad}");
        }
        assert_eq!(script("  "), Ok(Vec::new()));
    }
}
