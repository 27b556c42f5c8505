//! A terminal that is drawn on: taken when this is made, given back when it is dropped.

use std::io::{self, Stdout};
use std::time::Duration;

use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// The terminal of this process.
pub struct Terminal(ratatui::Terminal<CrosstermBackend<Stdout>>);

/// What somebody at the terminal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Pressed a key.
    Key(KeyEvent),
    /// Something after which all is to be drawn again.
    Other,
}

impl Terminal {
    /// Takes the terminal.
    pub fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        let taken = execute!(io::stdout(), EnterAlternateScreen)
            .and_then(|()| ratatui::Terminal::new(CrosstermBackend::new(io::stdout())));
        if taken.is_err() {
            drop(disable_raw_mode());
        }
        taken.map(Self)
    }

    /// Draws all of it.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(drop)
    }

    /// Rows and columns.
    pub fn size(&self) -> (u16, u16) {
        self.0.size().map_or((24, 80), |size| (size.height, size.width))
    }

    /// What comes next, if it comes soon.
    pub fn input(&mut self, within: Duration) -> io::Result<Option<Input>> {
        if !event::poll(within)? {
            return Ok(None);
        }
        Ok(Some(match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => Input::Key(key),
            _ => Input::Other,
        }))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(execute!(io::stdout(), LeaveAlternateScreen));
        drop(self.0.show_cursor());
        drop(disable_raw_mode());
    }
}

/// Whether a key was pressed that breaks off what takes long. Other keys that were pressed meanwhile are gone.
pub fn is_asked_to_stop() -> bool {
    while event::poll(Duration::ZERO).unwrap_or(false) {
        if let Ok(Event::Key(key)) = event::read()
            && breaks_off(key)
        {
            return true;
        }
    }
    false
}

/// Escape, or Ctrl-C.
pub fn breaks_off(key: KeyEvent) -> bool {
    key.code == KeyCode::Esc || (key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL))
}
