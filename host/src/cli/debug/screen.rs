//! What is drawn: a time line, the events around here, one part of the stop, and a line for words.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

/// The parts of a stop.
pub const TABS: [&str; 4] = ["1 event", "2 space", "3 output", "4 memory"];

/// All that is on the screen; no text has a control character in it.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    /// The run.
    pub title: String,
    /// Which event this is, of how many.
    pub at: (u64, u64),
    /// Events with bookmarks.
    pub marks: Vec<u64>,
    /// Events around here.
    pub list: Vec<String>,
    /// Which of those this is.
    pub chosen: usize,
    /// Which part is shown.
    pub tab: usize,
    /// That part.
    pub body: Vec<String>,
    /// Its first line that is shown.
    pub scroll: usize,
    /// What was said last, or is being typed.
    pub status: String,
}

/// Lines of events on a screen of so many rows.
pub fn rows(height: u16) -> u16 {
    height.saturating_sub(5) / 3
}

/// Draws the screen, on however small a terminal.
pub fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let area = frame.area();
    let parts = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(rows(area.height)),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [title, bar, list, tabs, body, status] = Layout::vertical(parts).areas(area);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let (at, of) = screen.at;
    put(frame, title, &format!("{}  event {at} of {}", screen.title, of.saturating_sub(1)), bold);
    put(frame, bar, &line(screen, bar.width), Style::new());
    let first = screen.chosen.saturating_sub(usize::from(list.height / 2));
    for (row, (index, text)) in (0..list.height).zip(screen.list.iter().enumerate().skip(first)) {
        let style = if index == screen.chosen { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        put(frame, Rect { y: list.y + row, height: 1, ..list }, text, style);
    }
    let tab =
        |(index, name): (usize, &&str)| if index == screen.tab { format!("[{name}]") } else { format!(" {name} ") };
    let names: String = TABS.iter().enumerate().map(tab).collect();
    put(frame, tabs, &format!("{names}  h help"), Style::new().add_modifier(Modifier::UNDERLINED));
    let shown = screen.body.iter().skip(screen.scroll).take(usize::from(body.height));
    let lines: Vec<Line<'_>> = shown.map(|line| Line::raw(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines), body);
    put(frame, status, &screen.status, bold);
}

fn put(frame: &mut Frame<'_>, area: Rect, text: &str, style: Style) {
    if area.width > 0 && area.height > 0 {
        frame.render_widget(Paragraph::new(Line::styled(text, style)), area);
    }
}

/// `----'-----|-------`: where this is, and where bookmarks are.
fn line(screen: &Screen, width: u16) -> String {
    let width = usize::from(width);
    let (at, of) = screen.at;
    let place = |seq: u64| {
        let far = u128::from(seq) * (width.max(1) as u128 - 1) / u128::from(of.saturating_sub(1).max(1));
        (far as usize).min(width.saturating_sub(1))
    };
    let mut line = vec!['-'; width];
    for (seq, c) in screen.marks.iter().map(|seq| (*seq, '\'')).chain([(at, '|')]) {
        if let Some(cell) = line.get_mut(place(seq)) {
            *cell = c;
        }
    }
    line.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn screen() -> Screen {
        Screen {
            title: "run 7  a.wasm".into(),
            at: (999_999, 1_000_000),
            marks: vec![0, 500_000, u64::MAX],
            list: (0..50).map(|index| format!("7@{index}  kv.set 漢字")).collect(),
            chosen: 25,
            tab: 1,
            body: (0..500).map(|index| format!("line {index} {}", "x".repeat(index))).collect(),
            scroll: 3,
            status: "said".into(),
        }
    }

    #[test]
    fn every_size_is_drawn() {
        for (width, height) in [(1, 1), (1, 40), (40, 1), (2, 2), (20, 5), (80, 24), (200, 60), (0, 0), (3, 7)] {
            for screen in [screen(), Screen::default(), Screen { scroll: usize::MAX, chosen: usize::MAX, ..screen() }] {
                let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
                terminal.draw(|frame| draw(frame, &screen)).expect("drawn");
            }
        }
    }

    #[test]
    fn a_screen() {
        let mut terminal = Terminal::new(TestBackend::new(40, 14)).expect("a terminal");
        terminal.draw(|frame| draw(frame, &screen())).expect("drawn");
        let text = terminal.backend().to_string();
        for part in ["event 999999 of 999999", "'------", "7@25", "[2 space]", "line 3 xxx", "said"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
