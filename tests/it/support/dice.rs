//! Chance that can be had again: the same numbers each time, so that a failure can be looked at once more.

use std::time::Duration;

/// A small generator, good enough to choose victims and moments.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Begins with `REPRISE_CHAOS_SEED`, or with 7; `stream` tells several of one test apart.
    pub(crate) fn new(stream: u64) -> Self {
        let seed: u64 = std::env::var("REPRISE_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
        Self(seed.wrapping_add(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// One of so many.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.roll(count as u64)).expect("small")
    }

    /// About as long as this, at least a fifth of it.
    pub(crate) fn about(&mut self, span: Duration) -> Duration {
        span.mul_f64(0.2 + 1.6 * f64::from(u32::try_from(self.roll(1000)).expect("small")) / 1000.0)
    }
}
