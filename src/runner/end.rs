//! The end of an attempt: the transcript into custody, the journal closed, the run finished or left for another attempt.

use super::attempt::Attempt;
use super::outcome::Verdict;
use super::patience::patiently;
use super::place::Place;
use super::{custody, forget_session, workspace};
use crate::domain::{Error, Failure, NoticeCode, Result, RunWarning, SessionKind};
use crate::metrics;
use crate::queue::{Finish, Manifest, RunEnd};

/// The end of a run of which nothing is known but its failure.
pub(super) fn failed(failure: Failure) -> Finish {
    Finish {
        end: RunEnd::Failed { failure, text: String::new() },
        warnings: Vec::new(),
        lineage: None,
        model: String::new(),
        agent_version: String::new(),
        billing: None,
        conversation: None,
        turn_duration_ms: 0,
        api_duration_ms: 0,
    }
}

impl Attempt {
    /// Ends the attempt as `verdict` says.
    pub(super) async fn end(mut self, verdict: Verdict, place: Option<Place>) {
        let run = self.assignment.lease.run_id;
        let kept = match &place {
            Some(place) if verdict != Verdict::Lost => self.keep(place).await,
            _ => None,
        };
        let (state, reason) = match &verdict {
            Verdict::Worked(_) => ("succeeded", ""),
            Verdict::Failed(failure) => ("failed", failure.reason.as_str()),
            Verdict::Cancelled => ("cancelled", ""),
            Verdict::Interrupted | Verdict::Stale => ("interrupted", ""),
            Verdict::Lost => ("lost", ""),
        };
        let began = self.crew.claimed;
        let (session, data_dir) = (self.assignment.session.id, self.shared.setup.data_dir.clone());
        let once = self.assignment.session.kind == SessionKind::Once;
        let (shared, lease) = (self.shared.clone(), self.assignment.lease);
        let journal = self.shared.journal.clone();
        let mut closed = self.close(verdict, kept).await;
        if let Err(error) = &closed
            && !matches!(error, Error::Fenced)
        {
            // Whatever could not be written: a run must not stay with nobody.
            tracing::error!(run.id = %run, error = %error, "the end of the run could not be written; it goes on as another attempt");
            closed = patiently(&shared.fence, run, "the interruption", || shared.queue.interrupt(&lease)).await;
        }
        // Readers see the end at once instead of at their next look.
        journal.announce(run);
        if let Err(error) = closed {
            match error {
                Error::Fenced => tracing::warn!(run.id = %run, "the run is not this server's any more; what it did since is left out"),
                error => tracing::error!(run.id = %run, error = %error, "the end of the run could not be written"),
            }
        }
        if let Some(place) = &place {
            workspace::clean_tmp(&place.dirs);
        }
        // Nothing continues what a run of its own has done; one that failed may still be retried.
        if once && matches!(state, "succeeded" | "cancelled") {
            forget_session(&data_dir, session);
        }
        metrics::run_ended(state, reason, began.elapsed());
        tracing::info!(run.id = %run, state, reason, duration_ms = began.elapsed().as_millis(), "attempt ended");
    }

    /// Takes the transcript into custody; what fails is a warning, never the run's end.
    async fn keep(&mut self, place: &Place) -> Option<Manifest> {
        let talk = self.crew.tale.talk.filter(|_| self.assignment.session.kind == SessionKind::Thread)?;
        let (queue, lease) = (&self.shared.queue, &self.assignment.lease);
        match custody::save(queue, lease, talk.generation, talk.id, &place.project_dir, &self.manifest).await {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                self.crew.pump.notice(NoticeCode::TranscriptNotSaved, format!("the transcript could not be saved: {error}"), &[]);
                self.crew.tale.warn(RunWarning::TranscriptNotSaved);
                None
            }
        }
    }

    async fn close(self, verdict: Verdict, kept: Option<Manifest>) -> Result<()> {
        let Self { shared, assignment, crew, .. } = self;
        let (queue, lease, tale, pump) = (&shared.queue, assignment.lease, crew.tale, crew.pump);
        let end = match verdict {
            Verdict::Lost => {
                // What was not written yet is left out. If the lease is ours after all, the run must not stay with nobody.
                drop(pump);
                return patiently(&shared.fence, lease.run_id, "the interruption", || queue.interrupt(&lease)).await;
            }
            Verdict::Interrupted | Verdict::Stale => {
                let closed = tokio::select! { closed = pump.close() => closed, () = shared.fence.passed() => Err(Error::Fenced) };
                match closed {
                    Err(Error::StoreUnavailable(_)) | Ok(()) => {}
                    Err(error) => return Err(error),
                }
                if let (Some(manifest), Some(talk)) = (kept, tale.talk)
                    && let Err(error) = queue.checkpoint(&lease, talk.generation, &manifest).await
                {
                    tracing::debug!(run.id = %lease.run_id, %error, "no last checkpoint of the transcript");
                }
                return patiently(&shared.fence, lease.run_id, "the interruption", || queue.interrupt(&lease)).await;
            }
            Verdict::Worked(text) => RunEnd::Succeeded(text),
            Verdict::Failed(failure) => RunEnd::Failed { failure, text: tale.last_text.clone() },
            Verdict::Cancelled => RunEnd::Cancelled,
        };
        // The outcome is the journal's last entry: everything else must stand before it.
        tokio::select! { closed = pump.close() => closed?, () = shared.fence.passed() => return Err(Error::Fenced) }
        let finish = Finish {
            end,
            conversation: tale.conversation(kept),
            warnings: tale.warnings,
            lineage: tale.lineage,
            model: tale.model,
            agent_version: tale.agent_version,
            billing: tale.billing,
            turn_duration_ms: tale.turn_duration_ms,
            api_duration_ms: tale.api_duration_ms,
        };
        patiently(&shared.fence, lease.run_id, "the end of the run", || queue.finish(&lease, finish.clone())).await
    }
}
