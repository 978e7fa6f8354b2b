//! The live screen: four figures for each side, a number and a sparkline each.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Gauge, Paragraph, Sparkline, Wrap};

use crate::demo::board::{Board, Series, Side, Stage, Which};
use crate::demo::plain::milliseconds;
use crate::demo::show::is_colourless;
use crate::figures::grouped;

/// The terminal while the demo runs. Given back on drop.
pub(crate) struct Screen {
    terminal: DefaultTerminal,
    palette: Palette,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When it cannot be drawn on.
    pub(crate) fn open() -> io::Result<Self> {
        // Also restores the terminal when the program panics.
        let terminal = ratatui::try_init()?;
        let palette = if is_colourless() { Palette::PLAIN } else { Palette::COLOURED };
        Ok(Self { terminal, palette })
    }

    /// Draws the board.
    pub(crate) fn draw(&mut self, board: &Board) {
        let palette = self.palette;
        // A terminal that cannot be drawn on now may be there again at the next frame.
        let _ = self.terminal.draw(|frame| render(frame, board, palette));
    }

    /// Draws again, for the progress and a changed size.
    pub(crate) fn refresh(&mut self, board: &Board) {
        self.draw(board);
    }

    /// Whether `q`, Escape or Ctrl-C was pressed since the last time.
    pub(crate) fn is_stop_wanted(&mut self) -> bool {
        let mut wanted = false;
        while matches!(event::poll(Duration::ZERO), Ok(true)) {
            if let Ok(Event::Key(key)) = event::read() {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                wanted |= match key.code {
                    KeyCode::Char('c') => control,
                    KeyCode::Char('q') | KeyCode::Esc => true,
                    _ => false,
                };
            }
        }
        wanted
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Palette {
    good: Style,
    bad: Style,
    calm: Style,
    quiet: Style,
}

impl Palette {
    const COLOURED: Self = Self {
        good: Style::new().fg(Color::Green),
        bad: Style::new().fg(Color::Red),
        calm: Style::new().fg(Color::Cyan),
        quiet: Style::new().fg(Color::DarkGray),
    };
    const PLAIN: Self =
        Self { good: Style::new(), bad: Style::new(), calm: Style::new(), quiet: Style::new() };
}

fn render(frame: &mut Frame<'_>, board: &Board, palette: Palette) {
    let noticed = match board.which {
        Which::With => board.detected.line(),
        Which::Without | Which::OriginDead => None,
    };
    let [head, sentence, notice, gauge, names, columns, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(if noticed.is_some() { 2 } else { 0 }),
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Min(4),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(
        Line::styled("Seawall: a newspaper under attack, on this machine alone", bold),
        head,
    );
    frame.render_widget(Paragraph::new(board.sentence()).wrap(Wrap { trim: true }), sentence);
    if let Some(noticed) = noticed {
        let text = Paragraph::new(noticed).wrap(Wrap { trim: true }).style(palette.good);
        frame.render_widget(text, notice);
    }
    let done = if board.whole.is_zero() {
        0.0
    } else {
        (board.elapsed.as_secs_f64() / board.whole.as_secs_f64()).clamp(0.0, 1.0)
    };
    let label = format!("{} of {} s", board.elapsed.as_secs(), board.whole.as_secs());
    frame.render_widget(Gauge::default().ratio(done).label(label).gauge_style(palette.calm), gauge);
    let halves = Layout::horizontal([Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)]).spacing(2);
    let [left_name, right_name] = halves.areas(names);
    let [left, right] = halves.areas(columns);
    let shown = match board.which {
        Which::Without | Which::With => {
            [(Which::Without, &board.without), (Which::With, &board.with)]
        }
        Which::OriginDead => [(Which::With, &board.with), (Which::OriginDead, &board.origin_dead)],
    };
    // One scale for both sides, so that heights can be compared.
    let both = shown.map(|(_, side)| &side.series);
    for ((which, side), name_area, area) in
        [(shown[0], left_name, left), (shown[1], right_name, right)]
    {
        let style = if board.which == which { bold } else { palette.quiet };
        let state = match (side.begun, board.which == which, board.stage) {
            (false, _, _) => "comes next".to_owned(),
            (true, true, Stage::Quiet) => "quiet".to_owned(),
            (true, true, Stage::Flood) => format!("flood for {} s", side.flooded.as_secs()),
            (true, true, Stage::Dead) => format!("for {} s", side.flooded.as_secs()),
            (true, _, _) => "over".to_owned(),
        };
        let text = format!("\n{} ({state})", capital(which.name()));
        frame.render_widget(Paragraph::new(text).style(style), name_area);
        render_side(frame, area, side, both, palette);
    }
    let foot_text = board
        .url
        .as_ref()
        .map_or_else(|| "q stops".to_owned(), |url| format!("q stops · read along: {url}"));
    frame.render_widget(Line::styled(foot_text, palette.quiet), foot);
}

fn render_side(
    frame: &mut Frame<'_>,
    area: Rect,
    side: &Side,
    both: [&Series; 2],
    palette: Palette,
) {
    if !side.begun {
        return;
    }
    let rows: [Rect; 4] = Layout::vertical([Constraint::Ratio(1, 4); 4]).areas(area);
    let series = &side.series;
    let last = |values: &[u64]| values.last().copied().unwrap_or(0);
    let most = |pick: fn(&Series) -> &Vec<u64>| {
        both.into_iter().flat_map(pick).copied().max().unwrap_or(0).max(1)
    };
    let served = last(&series.served);
    let health = if served >= 99 { palette.good } else { palette.bad };
    let in_flight = side.site.in_flight;
    let connections = grouped(side.flood.connections);
    let figures = [
        (format!("Readers served  {served} %"), &series.served, 100, health),
        (
            format!("Time for a page {}", milliseconds(last(&series.median_ms) as f64)),
            &series.median_ms,
            most(|series| &series.median_ms),
            palette.calm,
        ),
        (
            format!("At the origin   {}/s, {in_flight} in flight", grouped(last(&series.origin))),
            &series.origin,
            most(|series| &series.origin),
            palette.calm,
        ),
        (
            format!("Attack          {}/s, {connections} open", grouped(last(&series.attack))),
            &series.attack,
            most(|series| &series.attack),
            palette.bad,
        ),
    ];
    for (row, (text, values, most, style)) in rows.into_iter().zip(figures) {
        let [number, spark] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(row);
        frame.render_widget(Line::raw(text), number);
        // The newest seconds, if there are more than columns.
        let room = usize::from(spark.width);
        let newest = &values[values.len().saturating_sub(room)..];
        let sparkline = Sparkline::default().data(newest).max(most).style(style);
        let spark = Rect { height: spark.height.min(3), ..spark };
        frame.render_widget(sparkline, spark);
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::{Palette, render};
    use crate::demo::board::{Board, Stage, Which};
    use crate::demo::result::tests::example;

    fn check(board: &Board, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory draws");
        terminal.draw(|frame| render(frame, board, Palette::PLAIN)).expect("memory draws");
        terminal.backend().to_string()
    }

    fn under_flood() -> Board {
        let mut board = example().board;
        board.which = Which::With;
        board.stage = Stage::Flood;
        board.elapsed = Duration::from_secs(37);
        board.url = Some("http://127.0.0.1:8000/".to_owned());
        board.with.flooded = Duration::from_secs(2);
        board.with.flood.connections = 3_000;
        board.with.site.in_flight = 132;
        board
    }

    #[test]
    fn a_frame_holds_both_sides_with_numbers_and_sparklines() {
        let drawn = check(&under_flood(), 80, 24);
        let expected = include_str!("golden/frame.txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/golden/frame.txt");
            std::fs::write(path, &drawn).expect("the source tree is writable");
        } else {
            assert_eq!(
                drawn.trim_end(),
                expected.trim_end(),
                "UPDATE_EXPECT=1 writes it anew:\n{drawn}"
            );
        }
    }

    #[test]
    fn when_the_origin_dies_its_side_stands_beside_the_one_with_seawall() {
        let mut board = under_flood();
        board.which = Which::OriginDead;
        board.stage = Stage::Dead;
        let drawn = check(&board, 80, 24);
        for text in ["The server is dead", "With Seawall (over)", "Server dead (for 18 s)"] {
            assert!(drawn.contains(text), "{text}:\n{drawn}");
        }
        assert!(!drawn.contains("Without Seawall"), "{drawn}");
    }

    #[test]
    fn no_size_of_terminal_makes_it_panic() {
        let mut dead = under_flood();
        dead.which = Which::OriginDead;
        for board in [under_flood(), dead, Board::new(1, Duration::ZERO)] {
            for (width, height) in [(1, 1), (10, 3), (40, 12), (200, 60)] {
                check(&board, width, height);
            }
        }
    }
}
