//! What a command prints: lines, tables, JSON, and on a terminal a line that shows progress.

use std::io::{self, IsTerminal, Write};

use prost::Message;

use super::failure::Failure;
use super::{json, plain};

/// How a text stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    /// Stands out.
    Bold,
    /// Steps back.
    Dim,
    /// Went wrong.
    Red,
    /// Went well.
    Green,
    /// Wants attention.
    Yellow,
    /// Is going on.
    Cyan,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The output of a command.
pub(crate) struct Screen {
    out: Box<dyn Write + Send>,
    color: bool,
    live: bool,
    json: bool,
    width: usize,
    status: String,
}

impl Screen {
    /// Standard output; `columns` is the width that the environment says.
    pub(crate) fn stdout(color: ColorChoice, no_color: bool, json: bool, columns: Option<usize>) -> Self {
        let terminal = io::stdout().is_terminal();
        let color = match color {
            ColorChoice::Auto => terminal && !no_color && !json,
            ColorChoice::Always => !json,
            ColorChoice::Never => false,
        };
        let width = columns.or_else(|| terminal.then(terminal_width).flatten()).unwrap_or(80).clamp(40, 400);
        Self { out: Box::new(io::stdout()), color, live: terminal && !json, json, width, status: String::new() }
    }

    /// Output that can be read back, without colours.
    #[cfg(test)]
    pub(crate) fn recorded(width: usize) -> (Self, Recording) {
        let recording = Recording::default();
        (Self { out: Box::new(recording.clone()), color: false, live: false, json: false, width, status: String::new() }, recording)
    }

    /// Whether programs read the output.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a progress line can be shown.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// How many columns a line may take.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The text in a colour, if there are colours.
    pub(crate) fn paint(&self, tint: Tint, text: &str) -> String {
        let code = match tint {
            Tint::Bold => 1,
            Tint::Dim => 2,
            Tint::Red => 31,
            Tint::Green => 32,
            Tint::Yellow => 33,
            Tint::Cyan => 36,
        };
        if self.color && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        let erase = if self.status.is_empty() { "" } else { "\r\u{1b}[K" };
        writeln!(self.out, "{erase}{}", text.as_ref())?;
        self.draw()
    }

    /// Prints a line whose right part stands at the right edge, on a line of its own if both do not fit.
    pub(crate) fn split_line(&mut self, left: &str, right: &str) -> Result<(), Failure> {
        if right.is_empty() {
            return self.line(left);
        }
        let edge = self.width.min(100);
        let (left_width, right_width) = (plain::width(left), plain::width(right));
        if left_width + right_width + 2 > edge {
            self.line(left)?;
            return self.line(format!("{:room$}{right}", "", room = edge.saturating_sub(right_width)));
        }
        self.line(format!("{left}{:room$}{right}", "", room = edge - left_width - right_width))
    }

    /// Prints the message if programs read the output, and says whether it did.
    pub(crate) fn document<M: Message>(&mut self, message: &M) -> Result<bool, Failure> {
        if self.json {
            writeln!(self.out, "{}", json::text(message, true)?)?;
        }
        Ok(self.json)
    }

    /// Prints one message of a stream as one line, if programs read the output, and says whether it did.
    pub(crate) fn stream_line<M: Message>(&mut self, message: &M) -> Result<bool, Failure> {
        if self.json {
            writeln!(self.out, "{}", json::text(message, false)?)?;
            self.out.flush()?;
        }
        Ok(self.json)
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }

    /// Shows what is going on now, below all lines; empty takes it away. Only on a terminal.
    pub(crate) fn status(&mut self, text: &str) -> Result<(), Failure> {
        if self.live && self.status != text {
            if text.is_empty() {
                write!(self.out, "\r\u{1b}[K")?;
            }
            self.status = plain::cut(text, self.width - 1);
            self.draw()?;
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<(), Failure> {
        if !self.status.is_empty() {
            write!(self.out, "\r\u{1b}[K{}", self.paint(Tint::Dim, &self.status))?;
        }
        Ok(self.out.flush()?)
    }

    /// Prints names and values below each other; empty values are left out.
    pub(crate) fn facts(&mut self, facts: &[(&str, String)]) -> Result<(), Failure> {
        let shown = || facts.iter().filter(|(_, value)| !value.is_empty());
        let width = shown().map(|(name, _)| plain::width(name)).max().unwrap_or(0);
        for (name, value) in shown() {
            let mut lines = value.lines();
            let name = self.paint(Tint::Dim, &format!("{name:width$}"));
            self.line(format!("{name}  {}", lines.next().unwrap_or_default()))?;
            for more in lines {
                self.line(format!("{:width$}  {more}", ""))?;
            }
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing is left to do about an output that is gone.
        let _ = self.status("");
    }
}

/// The width of the terminal, as the terminal driver says.
fn terminal_width() -> Option<usize> {
    let terminal = std::fs::File::open("/dev/tty").ok()?;
    let answer = std::process::Command::new("stty").arg("size").stdin(terminal).stderr(std::process::Stdio::null()).output().ok()?;
    String::from_utf8(answer.stdout).ok()?.split_whitespace().nth(1)?.parse().ok().filter(|columns| *columns > 0)
}

/// What a screen of a test printed.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(crate) struct Recording(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Recording {
    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("no test panics while it prints").clone();
        String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
impl Write for Recording {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics while it prints").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
