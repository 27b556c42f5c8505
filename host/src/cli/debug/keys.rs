//! Keys become actions, or a line that is typed and then becomes one: the line is a step as a script has it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::{Action, step};
use crate::world::terminal::breaks_off;

/// Characters of a line that is typed.
const LINE: usize = 1000;

/// What the keys are for, a line each.
pub const HELP: [&str; 17] = [
    "right n  left b     an event forward, back; PgDn PgUp: many",
    "Home ^   End $      the first, the last event",
    "!                   where the run failed",
    "e  E                the next, the last answer that is a failure",
    "/text  ?text        to text, forward, back;  .  ,  the same again",
    "w                   back to the last event that wrote anything",
    "k                   back to the last write of a key: BUCKET/KEY",
    "f                   back to the last write of a file: /PATH",
    "g                   to an event: its number",
    "m  '                set a bookmark, go to one",
    "Tab  1 2 3 4        the event, the space, the output, memory",
    "up  down            scroll",
    "a                   the whole space, or only what changed",
    "M                   memory from an address on: 0x100; mem/text finds text",
    "F                   a fork as here: its name",
    ":                   any step of `reel debug --help`",
    "Esc  q              break off; end",
];

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This.
    Do(Action),
    /// To see this part.
    Tab(usize),
    /// The next part.
    NextTab,
    /// To scroll by so many lines.
    Scroll(i32),
    /// By so many pages of events.
    Page(i32),
    /// All of the space, or not.
    All,
    /// To read what the keys are for.
    Help,
    /// What was typed makes no sense.
    Wrong(String),
    /// Nothing yet.
    Nothing,
}

/// The keys that were pressed for a line.
#[derive(Debug, Default)]
pub struct Keys {
    /// The line that is being typed.
    pub line: Option<String>,
}

impl Keys {
    /// A key.
    pub fn press(&mut self, key: KeyEvent) -> Wish {
        match self.line.take() {
            Some(line) => self.type_on(line, key),
            None => self.command(key),
        }
    }

    fn type_on(&mut self, mut line: String, key: KeyEvent) -> Wish {
        if breaks_off(key) {
            return Wish::Nothing;
        }
        match key.code {
            KeyCode::Enter => {
                return match step(line.trim_start_matches(':')) {
                    Ok(action) => Wish::Do(action),
                    Err(why) => Wish::Wrong(why),
                };
            }
            KeyCode::Backspace => drop(line.pop()),
            KeyCode::Char(c) if line.len() < LINE => {
                line.extend(Some(c).filter(|c| !key.modifiers.contains(KeyModifiers::CONTROL) && !c.is_control()));
            }
            _ => {}
        }
        self.line = Some(line).filter(|line| key.code != KeyCode::Backspace || !line.is_empty());
        Wish::Nothing
    }

    fn command(&mut self, key: KeyEvent) -> Wish {
        if breaks_off(key) {
            return if key.code == KeyCode::Esc { Wish::Nothing } else { Wish::Do(Action::Quit) };
        }
        let begin = match key.code {
            KeyCode::Right => return Wish::Do(Action::Next(1)),
            KeyCode::Left => return Wish::Do(Action::Back(1)),
            KeyCode::Home => return Wish::Do(Action::First),
            KeyCode::End => return Wish::Do(Action::Last),
            KeyCode::PageDown => return Wish::Page(1),
            KeyCode::PageUp => return Wish::Page(-1),
            KeyCode::Up => return Wish::Scroll(-1),
            KeyCode::Down => return Wish::Scroll(1),
            KeyCode::Tab => return Wish::NextTab,
            KeyCode::Char(c @ '1'..='4') => return Wish::Tab(c as usize - '1' as usize),
            KeyCode::Char('a') => return Wish::All,
            KeyCode::Char('h') => return Wish::Help,
            KeyCode::Char(c @ ('n' | 'b' | '^' | '$' | '!' | 'e' | 'E' | '.' | ',' | 'w' | 'q')) => {
                return step(&c.to_string()).map_or(Wish::Nothing, Wish::Do);
            }
            KeyCode::Char(c @ ('/' | '?' | '\'' | ':')) => c.to_string(),
            KeyCode::Char('k') => "k:".into(),
            KeyCode::Char('f') => "f:".into(),
            KeyCode::Char('g') => ":".into(),
            KeyCode::Char('m') => "mark:".into(),
            KeyCode::Char('M') => "mem:".into(),
            KeyCode::Char('F') => "fork:".into(),
            _ => return Wish::Nothing,
        };
        self.line = Some(begin);
        Wish::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &mut Keys, text: &str) -> Wish {
        let mut wish = Wish::Nothing;
        for c in text.chars() {
            let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
            wish = keys.press(KeyEvent::new(code, KeyModifiers::NONE));
        }
        wish
    }

    #[test]
    fn lines_are_steps() {
        let mut keys = Keys::default();
        assert_eq!(typed(&mut keys, "n"), Wish::Do(Action::Next(1)));
        assert_eq!(typed(&mut keys, "/two words\n"), Wish::Do(Action::Find("two words".into(), true)));
        assert_eq!(typed(&mut keys, "g17\n"), Wish::Do(Action::Go(reel_abi::id::Seq(17))));
        assert!(matches!(typed(&mut keys, ":nonsense\n"), Wish::Wrong(_)));
        assert_eq!(typed(&mut keys, "/qqq"), Wish::Nothing);
        keys.press(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
        assert_eq!((keys.line.is_none(), typed(&mut keys, "q")), (true, Wish::Do(Action::Quit)));
    }
}
