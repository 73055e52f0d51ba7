//! Tokens and dollars. Money is whole nano-dollars, so that sums are exact and a single token still counts.

use super::text_enum::text_enum;

/// A sum of money in nano-dollars (10⁻⁹ USD).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// From dollars, rounded to the nearest nano-dollar; values that are not finite give 0.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "saturating: no bill reaches nine billion dollars")]
    pub fn from_usd(usd: f64) -> Self {
        Self((usd * 1e9).round() as i64)
    }

    /// In dollars, for people and the wire.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact up to nine million dollars")]
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

text_enum! {
    /// Where a cost figure comes from, strongest first. A sum has the weakest of its parts.
    CostBasis {
        /// The agent's own figure for this turn.
        Reported = "reported",
        /// The difference of the agent's session totals.
        Derived = "derived",
        /// Counted from the stream by us, since the turn was cut before its result.
        Metered = "metered",
        /// Not known.
        Unknown = "unknown",
    }
}

/// What a turn, a run or a session used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of input that were neither read from nor written to the prompt cache.
    pub input_tokens: i64,
    /// Tokens of output, thinking included.
    pub output_tokens: i64,
    /// Tokens of input read from the prompt cache.
    pub cache_read_tokens: i64,
    /// Tokens of input written to the prompt cache.
    pub cache_write_tokens: i64,
    /// Tokens of thinking within the output, where the agent tells.
    pub thinking_tokens: i64,
    /// What it cost.
    pub cost: NanoUsd,
    /// Where the cost comes from.
    pub cost_basis: CostBasis,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            input_tokens: 0,
            output_tokens: 0,
            cache_read_tokens: 0,
            cache_write_tokens: 0,
            thinking_tokens: 0,
            cost: NanoUsd(0),
            cost_basis: CostBasis::Reported,
        }
    }
}

impl Usage {
    /// The sum of both; its basis is the weaker one.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens + other.input_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
            cache_read_tokens: self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens: self.cache_write_tokens + other.cache_write_tokens,
            thinking_tokens: self.thinking_tokens + other.thinking_tokens,
            cost: NanoUsd(self.cost.0 + other.cost.0),
            cost_basis: self.cost_basis.max(other.cost_basis),
        }
    }

    /// By how much each figure is more than what is known of it already; never less than nothing.
    #[must_use]
    pub fn beyond(self, known: Self) -> Self {
        let more = |figure: i64, known: i64| (figure - known).max(0);
        Self {
            input_tokens: more(self.input_tokens, known.input_tokens),
            output_tokens: more(self.output_tokens, known.output_tokens),
            cache_read_tokens: more(self.cache_read_tokens, known.cache_read_tokens),
            cache_write_tokens: more(self.cache_write_tokens, known.cache_write_tokens),
            thinking_tokens: more(self.thinking_tokens, known.thinking_tokens),
            cost: NanoUsd(more(self.cost.0, known.cost.0)),
            cost_basis: self.cost_basis,
        }
    }

    /// Whether it is nothing at all.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self { cost_basis: self.cost_basis, ..Self::default() }
    }

    /// Cache health: the share of the input that came from the prompt cache; none when there was no input.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn cache_share(self) -> Option<f64> {
        let all = self.cache_read_tokens + self.cache_write_tokens + self.input_tokens;
        (all > 0).then(|| self.cache_read_tokens as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_has_the_weakest_basis_and_the_exact_cost() {
        let reported = Usage { cost: NanoUsd::from_usd(0.007_481_85), ..Usage::default() };
        let metered = Usage { cost: NanoUsd::from_usd(0.1), cost_basis: CostBasis::Metered, ..Usage::default() };
        let sum = reported.plus(metered);
        assert_eq!(sum.cost, NanoUsd(107_481_850));
        assert_eq!(sum.cost_basis, CostBasis::Metered);
    }

    #[test]
    fn what_is_beyond_is_never_negative() {
        let told = Usage { cost: NanoUsd(7), input_tokens: 5, cost_basis: CostBasis::Metered, ..Usage::default() };
        let more = told.beyond(Usage { cost: NanoUsd(9), input_tokens: 2, ..Usage::default() });
        assert_eq!(more, Usage { cost: NanoUsd(0), input_tokens: 3, cost_basis: CostBasis::Metered, ..Usage::default() });
    }

    #[test]
    fn cache_share_is_absent_without_input() {
        assert_eq!(Usage::default().cache_share(), None);
        let usage = Usage { input_tokens: 1, cache_read_tokens: 2, cache_write_tokens: 1, ..Usage::default() };
        assert_eq!(usage.cache_share(), Some(0.5));
    }
}
