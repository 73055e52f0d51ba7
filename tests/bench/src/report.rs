//! Figures, and the table of them at the end.

use std::fmt::Display;
use std::io::Write;

/// What a figure must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Bar {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bar) => value >= bar,
            Self::AtMost(bar) => value <= bar,
            Self::Below(bar) => value < bar,
        }
    }
}

/// One line of the table. `value` is the ratio of ours to the limit, or the figure itself where the limit is a number.
#[derive(Debug)]
struct Figure {
    name: String,
    ours: String,
    limit: String,
    value: f64,
    bar: Option<Bar>,
}

/// All figures of one run, and what could not be measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    missing: Vec<String>,
}

impl Report {
    /// A figure with a bar.
    pub(crate) fn judge(&mut self, name: &str, ours: impl Display, limit: impl Display, value: f64, bar: Bar) {
        self.add(name, &ours, &limit, value, Some(bar));
    }

    /// A figure that is only shown.
    pub(crate) fn note(&mut self, name: &str, ours: impl Display, limit: impl Display, value: f64) {
        self.add(name, &ours, &limit, value, None);
    }

    /// Something that cannot be measured here, and why.
    pub(crate) fn miss(&mut self, name: &str, why: &str) {
        say(format_args!("   {name}: not measured, {why}"));
        self.missing.push(format!("{name}: {why}"));
    }

    fn add(&mut self, name: &str, ours: &dyn Display, limit: &dyn Display, value: f64, bar: Option<Bar>) {
        let figure = Figure { name: name.to_owned(), ours: ours.to_string(), limit: limit.to_string(), value, bar };
        say(format_args!(
            "   {}: ours {}, limit {}, {:.2}{}",
            figure.name.trim(),
            figure.ours,
            figure.limit,
            figure.value,
            figure.verdict()
        ));
        self.figures.push(figure);
    }

    /// Whether no bar was missed.
    pub(crate) fn all_met(&self) -> bool {
        self.figures.iter().all(Figure::met)
    }

    /// Prints the table.
    pub(crate) fn table(&self) {
        let width = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        say(format_args!("\n{:width$}  {:>14}  {:>22}  {:>9}  {:>9}", "", "ours", "limit", "figure", "bar"));
        for figure in &self.figures {
            let (bar, met) = match figure.bar {
                None => ("-".to_owned(), ""),
                Some(Bar::AtLeast(bar)) => (format!(">= {bar}"), figure.word()),
                Some(Bar::AtMost(bar)) => (format!("<= {bar}"), figure.word()),
                Some(Bar::Below(bar)) => (format!("< {bar}"), figure.word()),
            };
            say(format_args!(
                "{:width$}  {:>14}  {:>22}  {:>9.2}  {:>9}  {met}",
                figure.name, figure.ours, figure.limit, figure.value, bar
            ));
        }
        for missing in &self.missing {
            say(format_args!("not measured: {missing}"));
        }
        let all = if self.missing.is_empty() { "every bar is met" } else { "every bar that was measured is met" };
        say(format_args!("\n{}", if self.all_met() { all } else { "a bar is missed" }));
    }
}

impl Figure {
    fn met(&self) -> bool {
        self.bar.is_none_or(|bar| bar.met(self.value))
    }

    fn word(&self) -> &'static str {
        if self.met() { "yes" } else { "NO" }
    }

    fn verdict(&self) -> String {
        if self.bar.is_some() { format!(" ({})", self.word()) } else { String::new() }
    }
}

/// Prints one line.
pub(crate) fn say(line: impl Display) {
    let _closed = writeln!(std::io::stdout(), "{line}");
}

/// The middle of some figures; of an even number, the lower of the two.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
