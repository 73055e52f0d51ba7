//! Chance that can be had again: the same numbers each time, so that a failure can be looked at once more.

/// A small generator, good enough to choose victims and moments.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Begins with `REPRISE_CHAOS_SEED`, or with 7; `stream` tells several of one test apart.
    pub(crate) fn new(stream: u64) -> Self {
        Self(number("REPRISE_CHAOS_SEED", 7).wrapping_add(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A number of the environment, for long forms of a test.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
