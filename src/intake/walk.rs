//! A walk through the rules. What each one said is noted on the way, whether or not anybody will ask.

use std::sync::Arc;

use tokio::time::Instant;

use crate::domain::{Mark, Stage, Verdict};

/// The notes of one walk.
#[derive(Debug)]
pub(super) struct Walk {
    marks: Vec<Mark>,
    last: Instant,
}

impl Walk {
    pub(super) fn begin() -> Self {
        Self { marks: Vec::with_capacity(Stage::ALL.len()), last: Instant::now() }
    }

    /// A rule has spoken, having read nothing but the event's own fields.
    pub(super) fn note(&mut self, stage: Stage, verdict: Verdict) {
        self.note_reading(stage, verdict, &Arc::default());
    }

    /// A rule has spoken, having read these members.
    pub(super) fn note_reading(&mut self, stage: Stage, verdict: Verdict, reads: &Arc<[String]>) {
        let now = Instant::now();
        let micros = u32::try_from(now.duration_since(self.last).as_micros()).unwrap_or(u32::MAX);
        self.last = now;
        self.marks.push(Mark { stage, verdict, micros, reads: Arc::clone(reads) });
    }

    pub(super) fn into_marks(self) -> Vec<Mark> {
        self.marks
    }
}
