//! What all lists have in common: how much of them is asked for, and how it is printed.

use clap::Args;
use prost::Message;

use super::failure::Failure;
use super::screen::{Screen, Tint};
use super::words::parse_moment;

/// How much of a list, and how.
#[derive(Debug, Args)]
pub(super) struct Listing {
    /// Most to list.
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=500))]
    pub(super) limit: i32,
    /// Print whole ids only, one a line.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// From when on and until when.
#[derive(Debug, Args)]
pub(super) struct Period {
    /// Only what came since then: a time, or how long ago (`2h`).
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(super) since: Option<prost_types::Timestamp>,
    /// Only what came before then: a time, or how long ago (`2h`).
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(super) until: Option<prost_types::Timestamp>,
}

impl Listing {
    /// Prints the answer: ids alone, JSON, or the table, and whether there is more than it holds.
    pub(super) fn print<'a, M: Message>(
        &self,
        answer: &M,
        mut ids: impl Iterator<Item = &'a String>,
        next_page_token: &str,
        screen: &mut Screen,
        table: impl FnOnce(&mut Screen) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.quiet {
            return ids.try_for_each(|id| screen.line(id));
        }
        if screen.document(answer)? {
            return Ok(());
        }
        table(screen)?;
        if next_page_token.is_empty() {
            return Ok(());
        }
        screen.line(screen.paint(Tint::Dim, "there are more: --limit and the filters choose"))
    }
}
