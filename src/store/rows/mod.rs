//! Rows ↔ domain values, and what must be looked up beside a row to tell the whole of it.

mod delivery;
mod run;
mod session;
mod trigger;

use crate::domain::{NanoUsd, Result, Usage};

use super::entity;
use super::payload::word;

pub(crate) use delivery::{LISTED_DUPLICATES, delivery_of, payload_of};
pub(crate) use run::{new_run, runs_of};
pub(crate) use session::{new_session, origin_of, session_of, sessions_of};
pub(crate) use trigger::{settings_of, trigger_of, trigger_row, triggers_of};

/// The name of the one row of `settings`.
pub(crate) const SETTINGS_ROW: &str = "settings";

/// The usage columns of a row.
macro_rules! usage {
    ($row:expr) => {
        $crate::store::rows::usage_of(
            [$row.input_tokens, $row.output_tokens, $row.cache_read_tokens, $row.cache_write_tokens, $row.thinking_tokens, $row.cost_nano],
            &$row.cost_basis,
        )
    };
}

/// Adds usage to the usage columns of a row.
macro_rules! add_usage {
    ($row:expr, $more:expr) => {{
        let sum = $crate::store::rows::usage!($row)?.plus($more);
        $row.input_tokens = sum.input_tokens;
        $row.output_tokens = sum.output_tokens;
        $row.cache_read_tokens = sum.cache_read_tokens;
        $row.cache_write_tokens = sum.cache_write_tokens;
        $row.thinking_tokens = sum.thinking_tokens;
        $row.cost_nano = sum.cost.0;
        $row.cost_basis = sum.cost_basis.to_string();
    }};
}

pub(crate) use {add_usage, usage};

pub(crate) fn usage_of([input, output, cache_read, cache_write, thinking, cost]: [i64; 6], basis: &str) -> Result<Usage> {
    Ok(Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: cache_read,
        cache_write_tokens: cache_write,
        thinking_tokens: thinking,
        cost: NanoUsd(cost),
        cost_basis: word(basis)?,
    })
}

/// A word that may be absent.
pub(crate) fn word_or_none<T: std::str::FromStr<Err = String>>(text: Option<&str>) -> Result<Option<T>> {
    text.map(word).transpose()
}
