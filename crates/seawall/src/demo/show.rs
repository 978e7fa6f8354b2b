//! Where the demo is shown: on a terminal live, elsewhere as a line a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use crate::demo::board::Board;
use crate::demo::error::DemoError;
use crate::demo::plain;
use crate::demo::screen::Screen;

/// The way this demo is shown.
pub(crate) struct Show {
    medium: Medium,
    browser: Browser,
}

enum Medium {
    /// Drawn on the terminal.
    Screen(Box<Screen>),
    /// Lines to standard output.
    Lines,
    /// Lines to standard error: standard output is for the figures.
    Aside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Browser {
    Open,
    Leave,
}

impl Show {
    /// A screen if standard output is a terminal, lines if not; `json` keeps standard output clean.
    pub(crate) fn choose(json: bool, no_browser: bool) -> Self {
        let terminal = io::stdout().is_terminal() && !json && !is_dumb();
        let medium = match terminal.then(Screen::open) {
            Some(Ok(screen)) => Medium::Screen(Box::new(screen)),
            _ if json => Medium::Aside,
            _ => Medium::Lines,
        };
        let browser =
            if terminal && !no_browser && has_display() { Browser::Open } else { Browser::Leave };
        Self { medium, browser }
    }

    /// Shows a change of stage.
    pub(crate) fn draw(&mut self, board: &Board) {
        match &mut self.medium {
            Medium::Screen(screen) => screen.draw(board),
            Medium::Lines => say(&mut io::stdout(), board.sentence()),
            Medium::Aside => say(&mut io::stderr(), board.sentence()),
        }
    }

    /// Says what has just been noticed or done. On a live screen it stands with the figures.
    pub(crate) fn news(&mut self, text: &str) {
        match &self.medium {
            Medium::Screen(_) => {}
            Medium::Lines => say(&mut io::stdout(), text),
            Medium::Aside => say(&mut io::stderr(), text),
        }
    }

    /// Shows that a second has passed.
    pub(crate) fn second(&mut self, board: &Board) {
        match &mut self.medium {
            Medium::Screen(screen) => screen.draw(board),
            Medium::Lines => say(&mut io::stdout(), &plain::line(board)),
            Medium::Aside => say(&mut io::stderr(), &plain::line(board)),
        }
    }

    /// Keeps a live screen alive between seconds.
    pub(crate) fn refresh(&mut self, board: &Board) {
        if let Medium::Screen(screen) = &mut self.medium {
            screen.refresh(board);
        }
    }

    /// Says where the sample site can be read, and opens it where there is a desktop.
    pub(crate) fn offer(&mut self, url: &str) {
        let text = format!("Read along while it is attacked: {url}");
        match &self.medium {
            Medium::Screen(_) => {}
            Medium::Lines => say(&mut io::stdout(), &text),
            Medium::Aside => say(&mut io::stderr(), &text),
        }
        if self.browser == Browser::Open {
            // Only a courtesy: where it fails, the address is on the screen.
            let _ = Command::new("xdg-open")
                .arg(url)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
        }
    }

    /// Whether `q` or Ctrl-C was pressed. On a live screen the terminal sends no signal for it.
    pub(crate) fn is_stop_wanted(&mut self) -> bool {
        match &mut self.medium {
            Medium::Screen(screen) => screen.is_stop_wanted(),
            Medium::Lines | Medium::Aside => false,
        }
    }

    /// Gives the terminal back.
    pub(crate) fn close(self) {}
}

/// Prints what came out.
///
/// # Errors
/// When standard output takes it no more; a closed pipe is no error.
pub(crate) fn print(text: &str) -> Result<(), DemoError> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(DemoError::system("write to standard output")(error))
        }
        _ => Ok(()),
    }
}

/// Says something beside the figures.
pub(crate) fn remark(text: &str) {
    say(&mut io::stderr(), text);
}

/// Whether colours are unwelcome (no-color.org).
pub(crate) fn is_colourless() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn say(out: &mut impl io::Write, text: &str) {
    // Whoever closed the pipe does not want to hear it.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
