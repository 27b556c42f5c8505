//! Stepping by hand.

use std::time::Duration;

use reel_abi::id::Seq;

use super::action::Action;
use super::keys::{HELP, Keys, Wish};
use super::page::{Page, memory};
use super::screen::{Screen, TABS, draw, rows};
use super::walk::{Told, Walk};
use crate::cli::describe;
use crate::cli::escape::Safe;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::style::Paint;
use crate::world::signals;
use crate::world::terminal::{Input, Terminal};

/// How long the keyboard is waited for at a time.
const TICK: Duration = Duration::from_millis(200);

/// Names and lines that a part shows.
const NAMES: usize = 1000;

/// What is shown of a stop.
struct Shown {
    parts: [Vec<String>; 4],
    tab: usize,
    scroll: usize,
    all: bool,
    said: String,
}

/// Shows the run, until somebody has seen enough.
pub fn converse(mut walk: Walk<'_>) -> Result<Exit, Failure> {
    let mut terminal = Terminal::take()?;
    let mut keys = Keys::default();
    let mut shown = Shown { parts: Default::default(), tab: 0, scroll: 0, all: false, said: "h help, q end".into() };
    shown.look(&mut walk);
    loop {
        let (height, _) = terminal.size();
        let screen = shown.screen(&mut walk, &keys, height);
        terminal.draw(|frame| draw(frame, &screen))?;
        let key = loop {
            if signals::asked() {
                return Ok(Exit::INTERRUPTED);
            }
            match terminal.input(TICK)? {
                Some(Input::Key(key)) => break Some(key),
                Some(Input::Other) => break None,
                None => {}
            }
        };
        let Some(key) = key else { continue };
        shown.said.clear();
        match keys.press(key) {
            Wish::Nothing => {}
            Wish::Do(Action::Quit) => return Ok(Exit::OK),
            Wish::Do(action) => shown.act(&mut walk, &action),
            Wish::Page(pages) => {
                let count = u64::from(rows(height).max(1));
                shown.act(&mut walk, &if pages > 0 { Action::Next(count) } else { Action::Back(count) });
            }
            Wish::Tab(tab) => shown.turn(tab, &mut walk),
            Wish::NextTab => shown.turn((shown.tab + 1) % TABS.len(), &mut walk),
            Wish::Scroll(lines) => {
                let last = shown.parts[shown.tab].len().saturating_sub(1);
                shown.scroll = shown.scroll.saturating_add_signed(lines as isize).min(last);
            }
            Wish::All => {
                shown.all = !shown.all;
                shown.look(&mut walk);
            }
            Wish::Help => {
                shown.parts[shown.tab] = HELP.iter().map(|line| (*line).to_owned()).collect();
                shown.scroll = 0;
            }
            Wish::Wrong(why) => shown.said = Safe(&why).to_string(),
        }
    }
}

impl Shown {
    fn act(&mut self, walk: &mut Walk<'_>, action: &Action) {
        match walk.act(action) {
            Ok(Told::Memory(window)) => {
                self.parts[3] = memory(&window);
                (self.tab, self.scroll) = (3, 0);
            }
            Ok(Told::Words(words)) => self.said = Safe(&words).to_string(),
            Ok(Told::Stop(_)) => self.look(walk),
            Ok(Told::End) => {}
            Err(failure) => self.said = Safe(failure.words()).to_string(),
        }
    }

    fn turn(&mut self, tab: usize, walk: &mut Walk<'_>) {
        (self.tab, self.scroll) = (tab, 0);
        if tab == 3 && self.parts[3].is_empty() {
            self.act(walk, &Action::Memory(0, 0, 1024));
        }
    }

    /// What is to be seen here.
    fn look(&mut self, walk: &mut Walk<'_>) {
        let page = match walk.stop(self.all) {
            Ok(Told::Stop(stop)) => Page::of(&stop, walk.record(), NAMES, NAMES),
            Ok(_) => return,
            Err(failure) => Err(failure),
        };
        self.scroll = 0;
        match page {
            Ok(Page { event, state, said, notes }) => {
                let state = state.into_iter().chain(notes).collect();
                self.parts = [event, state, said, Vec::new()];
            }
            Err(failure) => self.said = Safe(failure.words()).to_string(),
        }
        if self.tab == 3 {
            self.act(walk, &Action::Memory(0, 0, 1024));
        }
    }

    fn screen(&self, walk: &mut Walk<'_>, keys: &Keys, height: u16) -> Screen {
        let before = u64::from(rows(height) / 2).min(walk.at.0);
        let first = Seq(walk.at.0 - before);
        let record = walk.record().clone();
        let width = describe::width(record.run, walk.last().0);
        let events = walk.events(first, u64::from(rows(height)) + before);
        let line = |(seq, event)| describe::line(record.run, seq, &event, width, Paint(false));
        Screen {
            title: format!("run {}  {}  {}", record.run, Safe(&record.begin.name), record.begin.space),
            at: (walk.at.0, walk.last().0 + 1),
            marks: walk.marks.values().map(|seq| seq.0).collect(),
            list: events.unwrap_or_default().into_iter().map(line).collect(),
            chosen: before as usize,
            tab: self.tab,
            body: self.parts[self.tab].clone(),
            scroll: self.scroll,
            status: keys.line.as_ref().map_or_else(|| self.said.clone(), |line| Safe(line).to_string()),
        }
    }
}
