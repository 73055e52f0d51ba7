//! What can end a run from outside: a cancel, at once or after a tool call, and the end of the server.

use std::pin::Pin;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Shared;
use super::watch::Stopped;
use crate::domain::{CancelMode, RunId};
use crate::queue::Queue;

/// What can end a run from outside. Kept over all processes of an attempt.
pub(super) struct Ends {
    shared: Arc<Shared>,
    run: RunId,
    cancelled: Pin<Box<dyn Future<Output = CancelMode> + Send>>,
    /// The cancel that is known, if one is.
    asked: Option<CancelMode>,
    /// A tool call is running.
    pub(super) in_step: bool,
    interrupt: CancellationToken,
    wanted: Option<Stopped>,
}

/// What the outside wants of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// That it ends.
    Stop(Stopped),
    /// That it ends when the tool call that is running has answered. Told once.
    AfterStep,
}

impl Ends {
    pub(super) fn new(shared: Arc<Shared>, run: RunId, interrupt: CancellationToken) -> Self {
        let cancelled = asked_beyond(shared.queue.clone(), run, None);
        Self { shared, run, cancelled, asked: None, in_step: false, interrupt, wanted: None }
    }

    /// Whether the worker's time is over, looked up now: a server that stood still does not know it yet.
    pub(super) fn fenced(&self) -> bool {
        self.shared.fence.is_passed()
    }

    /// Completes when the end is wanted, then at once each time. An end that waits for a tool call is wanted when none runs.
    pub(super) async fn wanted(&mut self) -> Stopped {
        loop {
            if let Wish::Stop(stopped) = self.wish().await {
                return stopped;
            }
        }
    }

    /// What is wanted next; an end is wanted each time.
    pub(super) async fn wish(&mut self) -> Wish {
        if self.fenced() {
            return Wish::Stop(Stopped::Lost);
        }
        if self.wanted.is_none() && (self.asked == Some(CancelMode::Now) || (self.asked.is_some() && !self.in_step)) {
            self.wanted = Some(Stopped::Cancelled);
        }
        if let Some(wanted) = &self.wanted {
            return Wish::Stop(wanted.clone());
        }
        tokio::select! {
            biased;
            () = self.shared.fence.passed() => Wish::Stop(Stopped::Lost),
            mode = &mut self.cancelled => {
                self.asked = Some(mode);
                self.cancelled = asked_beyond(self.shared.queue.clone(), self.run, Some(mode));
                if mode == CancelMode::AfterStep && self.in_step {
                    return Wish::AfterStep;
                }
                Wish::Stop(self.wanted.insert(Stopped::Cancelled).clone())
            }
            () = self.interrupt.cancelled() => Wish::Stop(self.wanted.insert(Stopped::Interrupted).clone()),
        }
    }
}

fn asked_beyond(queue: Queue, run: RunId, known: Option<CancelMode>) -> Pin<Box<dyn Future<Output = CancelMode> + Send>> {
    Box::pin(async move { queue.cancelled(run, known).await })
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ends").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}
