//! Calls to the payment provider, repeated while a repetition has a chance.

use std::time::Duration;

/// Most attempts of one call, the first one included.
const MAX_ATTEMPTS: u32 = 4;

/// What the provider answered.
pub enum Answer {
    Paid,
    Refused,
    Unavailable,
}

/// How long to wait before the attempt with this number: exponential, with up to half of it as jitter.
pub fn delay(attempt: u32, jitter: f64) -> Duration {
    let base = Duration::from_millis(200) * 2_u32.pow(attempt.min(6));
    base.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// Whether another attempt makes sense.
pub fn again(answer: &Answer, attempt: u32) -> bool {
    matches!(answer, Answer::Unavailable) && attempt < MAX_ATTEMPTS
}
