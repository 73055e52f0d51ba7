//! Tables that never wrap: columns come closer, then the wide ones are cut.

use super::failure::Failure;
use super::plain::{cut, cut_start, width};
use super::screen::{Screen, Tint};

/// What a column does with its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Always shown whole.
    Whole,
    /// Shown whole, to the right.
    Right,
    /// Cut at its end when there is no room.
    CutEnd,
    /// Cut at its beginning when there is no room.
    CutStart,
}

/// A text in a table, with how it stands out.
#[derive(Debug, Clone)]
pub(crate) struct Cell(String, Option<Tint>);

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self(text.into(), None)
    }
}

/// A text that stands out.
pub(crate) fn tinted(text: impl Into<String>, tint: Option<Tint>) -> Cell {
    Cell(text.into(), tint)
}

/// Rows below a heading.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Column)>,
    rows: Vec<Vec<Cell>>,
}

/// No column is cut below this.
const NARROWEST: usize = 6;

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: &[(&'static str, Column)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().map(|Cell(text, tint)| Cell(super::plain::one_line(&text), tint)).collect());
    }

    /// Prints it, or `empty` when there are no rows.
    pub(crate) fn print(&self, screen: &mut Screen, empty: &str) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return screen.line(empty);
        }
        let (widths, gap) = self.layout(screen.width());
        let heading: Vec<Cell> = self.columns.iter().map(|(name, _)| tinted(*name, Some(Tint::Dim))).collect();
        for row in std::iter::once(&heading).chain(&self.rows) {
            let mut line = String::new();
            for (at, Cell(text, tint)) in row.iter().enumerate() {
                let kind = self.columns[at].1;
                let text = if kind == Column::CutStart { cut_start(text, widths[at]) } else { cut(text, widths[at]) };
                let room = widths[at] - width(&text);
                let painted = tint.map_or_else(|| text.clone(), |tint| screen.paint(tint, &text));
                let last = at + 1 == row.len();
                match kind {
                    Column::Right => line.push_str(&format!("{:room$}{painted}", "")),
                    _ if last => line.push_str(&painted),
                    _ => line.push_str(&format!("{painted}{:room$}", "")),
                }
                if !last {
                    line.push_str(&" ".repeat(gap));
                }
            }
            screen.line(line.trim_end())?;
        }
        Ok(())
    }

    /// The width of each column and the gap between them.
    fn layout(&self, room: usize) -> (Vec<usize>, usize) {
        let natural = |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(|cell| width(&cell.0)).max().unwrap_or(0);
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(|(at, (name, _))| natural(at).max(width(name))).collect();
        let total = |widths: &[usize], gap: usize| widths.iter().sum::<usize>() + gap * (widths.len().saturating_sub(1));
        let gap = (1..=3).rev().find(|gap| total(&widths, *gap) <= room).unwrap_or(1);
        while total(&widths, gap) > room {
            let widest = (0..widths.len())
                .filter(|at| matches!(self.columns[*at].1, Column::CutEnd | Column::CutStart) && widths[*at] > NARROWEST)
                .max_by_key(|at| widths[*at]);
            match widest {
                Some(at) => widths[at] -= 1,
                None => break,
            }
        }
        (widths, gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(table: &Table, width: usize) -> Vec<String> {
        let (mut screen, recording) = Screen::recorded(width);
        table.print(&mut screen, "nothing yet").expect("a buffer");
        recording.lines()
    }

    fn runs(thread: &str) -> Table {
        let mut table =
            Table::new(&[("RUN", Column::Whole), ("TRIGGER", Column::CutEnd), ("THREAD", Column::CutStart), ("COST", Column::Right)]);
        table.row(["…7k2m".into(), "github-demo".into(), thread.into(), "$0.0076".into()]);
        table
    }

    #[test]
    fn a_table_that_fits_keeps_its_air() {
        assert_eq!(
            printed(&runs("acme/shop#412"), 80),
            ["RUN     TRIGGER       THREAD             COST", "…7k2m   github-demo   acme/shop#412   $0.0076"]
        );
    }

    #[test]
    fn a_table_that_does_not_fit_is_cut_and_never_wraps() {
        let table = runs("a-very-long-organisation/an-even-longer-repository#412");
        for width in [40, 60, 80] {
            assert!(printed(&table, width).iter().all(|line| super::width(line) <= width), "{width}");
        }
        assert!(printed(&table, 60)[1].contains("repository#412"), "the end of a thread says which one it is");
    }

    #[test]
    fn control_characters_and_an_empty_table() {
        assert_eq!(printed(&Table::new(&[("RUN", Column::Whole)]), 80), ["nothing yet"]);
        assert!(printed(&runs("two\nlines\u{1b}[2J"), 80)[1].contains("two lines "));
    }
}
