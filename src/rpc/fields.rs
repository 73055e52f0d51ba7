//! Reads the fields of a request into types, and collects everything that is wrong with them by path.

use std::str::FromStr;
use std::time::Duration;

use super::convert::WireEnum;
use crate::domain::{Error, FieldError, IdError, MAX_PAGE_SIZE, Result, UnixMicros};

/// The longest `request_id`, in characters.
pub const MAX_REQUEST_ID: usize = 64;
/// The longest name or title, in bytes.
pub const MAX_TEXT: usize = 1024;
/// Rows that a watched list begins with, unless it is asked for more or fewer.
const SNAPSHOT: u32 = 100;
/// The longest thread key, in bytes.
pub const MAX_THREAD_KEY: usize = 1024;
/// The longest span that is taken: a hundred years.
const MAX_SECONDS: i64 = 100 * 366 * 86_400;

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub struct Fields {
    problems: Vec<FieldError>,
}

impl Fields {
    /// Nothing is wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a problem.
    pub fn wrong(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.problems.push(FieldError::new(field, problem));
    }

    /// Notes a problem unless `good`.
    pub fn check(&mut self, good: bool, field: &str, problem: impl FnOnce() -> String) {
        if !good {
            self.wrong(field, problem());
        }
    }

    /// Gives `value` if nothing is wrong, else all problems as one error.
    pub fn finish<T>(self, value: T) -> Result<T> {
        if self.problems.is_empty() { Ok(value) } else { Err(Error::FieldInvalid(self.problems)) }
    }

    /// An id that must be there. Errors at once: nothing can be done without it.
    pub fn id<T: FromStr<Err = IdError>>(field: &str, text: &str) -> Result<T> {
        if text.is_empty() {
            return Err(Error::field(field, "is required"));
        }
        text.parse().map_err(|error: IdError| Error::field(field, format!("{error}")))
    }

    /// An id that may be empty.
    pub fn id_or_none<T: FromStr<Err = IdError>>(&mut self, field: &str, text: &str) -> Option<T> {
        if text.is_empty() {
            return None;
        }
        text.parse().map_err(|error: IdError| self.wrong(field, error.to_string())).ok()
    }

    /// A text that must be there.
    pub fn required<'a>(field: &str, text: &'a str) -> Result<&'a str> {
        if text.is_empty() { Err(Error::field(field, "is required")) } else { Ok(text) }
    }

    /// A text of at most `max` bytes.
    pub fn text(&mut self, field: &str, text: String, max: usize) -> String {
        self.check(text.len() <= max, field, || format!("has {} bytes; allowed are {max}", text.len()));
        text
    }

    /// A `request_id`; empty is none.
    pub fn request_id(&mut self, text: &str) -> Option<String> {
        let length = text.chars().count();
        self.check(length <= MAX_REQUEST_ID, "request_id", || format!("has {length} characters; allowed are {MAX_REQUEST_ID}"));
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A span that is not negative.
    pub fn duration(&mut self, field: &str, given: Option<prost_types::Duration>) -> Option<Duration> {
        let given = given?;
        let seconds = u64::try_from(given.seconds).ok().filter(|_| given.seconds <= MAX_SECONDS);
        let nanos = u32::try_from(given.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
        match (seconds, nanos) {
            (Some(seconds), Some(nanos)) => Some(Duration::new(seconds, nanos)),
            _ => {
                self.wrong(field, format!("is {given}; it must be from 0s to {MAX_SECONDS}s"));
                None
            }
        }
    }

    /// A point in time.
    pub fn time(&mut self, field: &str, given: Option<prost_types::Timestamp>) -> Option<UnixMicros> {
        let given = given?;
        let micros = given.seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(i64::from(given.nanos) / 1000));
        if micros.is_none() {
            self.wrong(field, "is not a time");
        }
        micros.map(UnixMicros)
    }

    /// One of a closed set; UNSPECIFIED is none.
    pub fn choice<T: WireEnum>(&mut self, field: &str, number: i32) -> Option<T> {
        let known = T::from_wire(number);
        self.check(known.is_some() || number == 0, field, || format!("is {number}, which is not a value of {}", T::NAME));
        known
    }

    /// Each of a filter's values; UNSPECIFIED filters nothing.
    pub fn choices<T: WireEnum>(&mut self, field: &str, numbers: &[i32]) -> Vec<T> {
        numbers.iter().enumerate().filter_map(|(i, number)| self.choice(&format!("{field}[{i}]"), *number)).collect()
    }

    /// A place within something, from 0.
    pub fn offset(&mut self, field: &str, offset: i64) -> usize {
        self.check(offset >= 0, field, || format!("is {offset}; it must not be negative"));
        usize::try_from(offset).unwrap_or(0)
    }

    /// How many rows a watched list begins with.
    pub fn snapshot_size(&mut self, size: i32) -> u32 {
        self.check(size >= 0, "page_size", || format!("is {size}; it must not be negative"));
        match u32::try_from(size) {
            Ok(0) | Err(_) => SNAPSHOT,
            Ok(size) => size.min(MAX_PAGE_SIZE),
        }
    }

    /// A whole number within a range.
    pub fn number(&mut self, field: &str, number: i32, min: i32, max: i32) -> i32 {
        self.check((min..=max).contains(&number), field, || format!("is {number}; allowed is {min} to {max}"));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{RunId, RunState};

    #[test]
    fn every_problem_is_kept_with_its_path() {
        let mut fields = Fields::new();
        fields.duration("overlap", Some(prost_types::Duration { seconds: -1, nanos: 0 }));
        assert_eq!(fields.choices::<RunState>("states", &[0, 1, 99]), [RunState::Queued]);
        fields.id_or_none::<RunId>("run_id", "ses_x");
        fields.request_id(&"x".repeat(65));
        let error = fields.finish(()).expect_err("wrong");
        let paths: Vec<String> = error.fields().into_iter().map(|f| f.field).collect();
        assert_eq!(paths, ["overlap", "states[2]", "run_id", "request_id"]);
    }

    #[test]
    fn a_time_before_1970_and_a_span_read_exactly() {
        let mut fields = Fields::new();
        let time = fields.time("t", Some(prost_types::Timestamp { seconds: -1, nanos: 500_000_000 }));
        assert_eq!(time, Some(UnixMicros(-500_000)));
        let span = fields.duration("d", Some(prost_types::Duration { seconds: 1, nanos: 5_000 }));
        assert_eq!(span, Some(Duration::from_micros(1_000_005)));
        fields.finish(()).expect("nothing is wrong");
    }
}
