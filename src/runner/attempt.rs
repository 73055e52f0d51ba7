//! One attempt at a run: which conversation it continues or begins, and what it says there.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::custody::{self, Materialised};
use super::outcome::{Verdict, judge};
use super::patience::patiently;
use super::place::Place;
use super::spawn::{Crew, Talk};
use super::turn::{self, New, Opening};
use super::{Shared, prompts};
use crate::domain::{
    Error, Failure, FailureReason, Lineage, NoticeCode, PromptKind, RunKind, RunWarning, SessionMode, SpawnPurpose, UnixMicros,
};
use crate::prompt;
use crate::queue::{Assignment, ConversationStart, Manifest};

/// What goes on until something ends the attempt.
pub(super) type Flow<T> = Result<T, Verdict>;

/// The one prompt that begins with a slash: it is ours, and this agent is started so that it obeys it.
const COMPACT: &str = "/compact";

/// One attempt at a run.
pub(super) struct Attempt {
    pub(super) shared: Arc<Shared>,
    pub(super) assignment: Arc<Assignment>,
    pub(super) crew: Crew,
    /// What is in custody of the present conversation.
    pub(super) manifest: Manifest,
    pub(super) generation: i32,
}

/// One turn to take.
struct Turn {
    talk: Talk,
    lineage: Lineage,
    kind: PromptKind,
    prompt: String,
    start: Option<ConversationStart>,
}

/// Works on a claimed run to the end of this attempt. `interrupt` ends it so that the run can go on at the next start.
pub(super) async fn run(shared: Arc<Shared>, assignment: Assignment, interrupt: CancellationToken) {
    let assignment = Arc::new(assignment);
    let (manifest, generation) = (assignment.manifest.clone(), assignment.session.generation);
    let crew = Crew::new(&shared, assignment.clone(), interrupt);
    let mut attempt = Attempt { shared, assignment, crew, manifest, generation };
    let shared = attempt.shared.clone();
    let (verdict, place) = match Place::prepare(&shared.setup, &shared.probe, &attempt.assignment, attempt.crew.mark()).await {
        Ok(place) => (attempt.work(&place).await.unwrap_or_else(|early| early), Some(place)),
        Err(failure) => (Verdict::Failed(failure), None),
    };
    attempt.end(verdict, place).await;
}

impl Attempt {
    async fn work(&mut self, place: &Place) -> Flow<Verdict> {
        if self.assignment.lease.attempt > 1 {
            let message = format!("attempt {} goes on", self.assignment.lease.attempt);
            self.crew.pump.notice(NoticeCode::TakenOver, message, &[]);
        }
        match turn::opening(&self.assignment, &place.fingerprint, UnixMicros::now()) {
            Opening::Refused(why) => Err(lost(format!("the conversation cannot be continued: {why}"))),
            Opening::New(new) if self.assignment.run.kind == RunKind::Compaction => {
                Err(lost(format!("there is nothing to compact: {}", new.because.unwrap_or_default())))
            }
            Opening::New(new) => self.begin(place, new, None).await,
            Opening::Go(id) => self.go_on(place, id).await,
        }
    }

    /// Begins a new conversation; `summary` tells of the one that was lost.
    async fn begin(&mut self, place: &Place, new: New, summary: Option<String>) -> Flow<Verdict> {
        if let Some(because) = &new.because {
            self.crew.pump.notice(NoticeCode::SessionRenewed, format!("a new conversation begins: {because}"), &[]);
        }
        let start = new.start(&place.fingerprint);
        (self.manifest, self.generation) = (Manifest::default(), start.generation);
        let first = self.prompt(place, PromptKind::First)?;
        let (kind, prompt) = match summary {
            Some(summary) => (PromptKind::Summary, prompt::with_summary(&first, &summary)),
            None => (PromptKind::First, first),
        };
        let talk = Talk { purpose: SpawnPurpose::Fresh, id: start.agent_session_id, generation: start.generation };
        self.turn(place, Turn { talk, lineage: new.lineage, kind, prompt, start: Some(start) }).await
    }

    /// Continues the conversation that the session has.
    async fn go_on(&mut self, place: &Place, id: Uuid) -> Flow<Verdict> {
        let own = turn::is_own(&self.assignment);
        let Some(continued) = self.fetch(place, id).await? else {
            let said_nothing = own || self.assignment.session.turn_count == 0;
            return if said_nothing && self.manifest.files.is_empty() {
                self.begin_as_planned(place, id).await
            } else {
                self.recover(place, id).await
            };
        };
        if self.assignment.run.kind == RunKind::Compaction {
            return self.compact_by_hand(place, id).await;
        }
        let held =
            !self.assignment.earlier.is_empty() && custody::holds(&place.project_dir, id, &prompt::label(self.assignment.run.id)).await;
        if !held && turn::compaction_is_due(&self.assignment) && !self.compact(place, id).await? {
            return self.again(place, id, held).await;
        }
        // A conversation that this run began is its own doing, not its memory.
        let began_it = own && self.assignment.session.turn_count == 0;
        let lineage = self.assignment.run.lineage.filter(|_| began_it).unwrap_or(continued);
        let lineage = if self.is_copy() { Lineage::Forked } else { lineage };
        match self.resume(place, id, lineage, held).await? {
            Verdict::Stale => self.again(place, id, held).await,
            verdict => Ok(verdict),
        }
    }

    /// The agent does not know the conversation: put it back from custody, once; failing that, begin anew.
    async fn again(&mut self, place: &Place, id: Uuid, held: bool) -> Flow<Verdict> {
        self.set_aside(place, id).await;
        if !self.manifest.files.is_empty()
            && let Some(lineage) = self.fetch(place, id).await?
        {
            match self.resume(place, id, lineage, held).await? {
                Verdict::Stale => self.set_aside(place, id).await,
                verdict => return Ok(verdict),
            }
        }
        self.recover(place, id).await
    }

    /// The conversation is lost: one fresh one, with a summary of what we know of it.
    async fn recover(&mut self, place: &Place, id: Uuid) -> Flow<Verdict> {
        let what = "the conversation is not known to the agent any more, and not in custody";
        let values = [("agent_session_id", id.to_string())];
        self.crew.pump.notice(NoticeCode::SessionLost, what, &values);
        if self.assignment.session_mode == SessionMode::Resume || self.assignment.run.kind == RunKind::Compaction {
            return Err(lost(what.to_owned()));
        }
        let summary = self.shared.queue.summary(self.assignment.session.id).await?;
        self.crew.tale.warn(RunWarning::SessionRecovered);
        self.begin(place, turn::instead_of_lost(self.generation), Some(summary)).await
    }

    /// The id was given, but nothing was ever said under it: begin under it now.
    async fn begin_as_planned(&mut self, place: &Place, id: Uuid) -> Flow<Verdict> {
        let prompt = self.prompt(place, PromptKind::First)?;
        let talk = Talk { purpose: SpawnPurpose::Fresh, id, generation: self.generation };
        let lineage = self.assignment.run.lineage.unwrap_or(Lineage::Fresh);
        self.turn(place, Turn { talk, lineage, kind: PromptKind::First, prompt, start: None }).await
    }

    async fn resume(&mut self, place: &Place, id: Uuid, lineage: Lineage, held: bool) -> Flow<Verdict> {
        let kind = turn::prompt_kind(&self.assignment, held);
        let prompt = self.prompt(place, kind)?;
        let talk = Talk { purpose: SpawnPurpose::Resume, id, generation: self.generation };
        self.turn(place, Turn { talk, lineage, kind, prompt, start: None }).await
    }

    async fn turn(&mut self, place: &Place, turn: Turn) -> Flow<Verdict> {
        let Turn { talk, lineage, kind, prompt, start } = turn;
        self.crew.begin(lineage, kind, &prompt);
        let (queue, lease) = (self.shared.queue.clone(), self.assignment.lease);
        let last = self.assignment.session.last_run_id.filter(|run| *run != lease.run_id);
        let continued_from = match lineage {
            Lineage::Continued | Lineage::Restored => last,
            Lineage::Forked => self.assignment.session.forked_run_id,
            _ => None,
        };
        // The process comes up meanwhile, but it hears nothing before this is stored.
        let terms = self.crew.terms();
        let shared = self.shared.clone();
        let store = patiently(&shared.fence, lease.run_id, "the beginning of the turn", || {
            queue.begin_turn(&lease, terms.clone(), start.clone(), kind, &prompt, lineage, continued_from)
        });
        let report = self.crew.spawn(place, talk, &prompt, store, &mut self.manifest).await?;
        let verdict = judge(&report, self.crew.limits);
        if verdict != Verdict::Stale {
            self.crew.tale.took_turn(&report, talk, lineage);
        }
        Ok(verdict)
    }

    /// Compacts as a turn of its own. False: the agent does not know the conversation.
    async fn compact(&mut self, place: &Place, id: Uuid) -> Flow<bool> {
        let talk = Talk { purpose: SpawnPurpose::Compact, id, generation: self.generation };
        let report = self.crew.spawn(place, talk, COMPACT, async { Ok(()) }, &mut self.manifest).await?;
        let why = match judge(&report, self.crew.limits) {
            Verdict::Worked(_) if report.compacted => {
                self.crew.tale.compacted(&report, talk);
                return Ok(true);
            }
            Verdict::Worked(text) => text,
            Verdict::Failed(failure) if failure.reason != FailureReason::PolicyMismatch => failure.message,
            Verdict::Stale => return Ok(false),
            end => return Err(end),
        };
        self.crew.pump.notice(NoticeCode::CompactionFailed, format!("the conversation was not compacted: {why}"), &[]);
        self.crew.tale.warn(RunWarning::CompactionFailed);
        Ok(true)
    }

    /// A run whose only work is a compaction.
    async fn compact_by_hand(&mut self, place: &Place, id: Uuid) -> Flow<Verdict> {
        self.crew.begin(Lineage::Continued, PromptKind::Compact, COMPACT);
        let (queue, lease) = (self.shared.queue.clone(), self.assignment.lease);
        let last = self.assignment.session.last_run_id.filter(|run| *run != lease.run_id);
        let terms = self.crew.terms();
        let shared = self.shared.clone();
        let store = patiently(&shared.fence, lease.run_id, "the beginning of the turn", || {
            queue.begin_turn(&lease, terms.clone(), None, PromptKind::Compact, COMPACT, Lineage::Continued, last)
        });
        let talk = Talk { purpose: SpawnPurpose::Compact, id, generation: self.generation };
        let report = self.crew.spawn(place, talk, COMPACT, store, &mut self.manifest).await?;
        match judge(&report, self.crew.limits) {
            Verdict::Worked(text) if report.compacted => {
                self.crew.tale.compacted(&report, talk);
                Ok(Verdict::Worked(text))
            }
            Verdict::Worked(text) => {
                Err(Failure::new(FailureReason::AgentError, format!("the conversation was not compacted: {text}")).into())
            }
            Verdict::Stale => self.recover(place, id).await,
            verdict => Ok(verdict),
        }
    }

    /// Makes the transcript stand where the agent looks. None: there is none, here or in custody.
    async fn fetch(&mut self, place: &Place, id: Uuid) -> Flow<Option<Lineage>> {
        let (queue, session) = (&self.shared.queue, self.assignment.session.id);
        match custody::materialise(queue, session, self.generation, id, &self.manifest, &place.project_dir).await? {
            Materialised::Missing => Ok(None),
            Materialised::Kept => Ok(Some(Lineage::Continued)),
            Materialised::Restored { .. } if self.is_copy() => Ok(Some(Lineage::Forked)),
            Materialised::Restored { parts } => {
                let values = [("parts", parts.to_string()), ("files", self.manifest.files.len().to_string())];
                let message = format!("the transcript was put back from custody: {parts} parts, their digests fit");
                self.crew.pump.notice(NoticeCode::TranscriptRestored, message, &values);
                self.crew.tale.warn(RunWarning::SessionRestored);
                Ok(Some(Lineage::Restored))
            }
        }
    }

    /// Whether the conversation is a copy that this run is the first to use.
    fn is_copy(&self) -> bool {
        self.assignment.session.is_unused_copy(Some(self.assignment.run.id))
    }

    async fn set_aside(&mut self, place: &Place, id: Uuid) {
        if let Err(error) = custody::set_aside(&place.project_dir, id).await {
            tracing::warn!(run.id = %self.assignment.run.id, error = %error, "a transcript that the agent does not know could not be set aside");
        }
    }

    fn prompt(&self, place: &Place, kind: PromptKind) -> Flow<String> {
        Ok(prompts::make(&self.assignment, kind, self.shared.setup.claude.skills_dir.as_deref(), &place.dirs)?)
    }
}

fn lost(message: String) -> Verdict {
    Failure::new(FailureReason::SessionLost, message).into()
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Verdict {
    fn from(error: Error) -> Self {
        match error {
            Error::Fenced => Self::Lost,
            // Nothing is wrong with the run: it goes on once the database is there again.
            Error::StoreUnavailable(_) => Self::Interrupted,
            other => Self::Failed(Failure::new(FailureReason::Internal, other.to_string())),
        }
    }
}
