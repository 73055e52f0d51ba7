//! The end of an attempt that is not the end of its run: the server stops, or died.

use sea_orm::{DatabaseTransaction, EntityTrait};
use uuid::Uuid;

use super::finish::trigger_of;
use super::outcome::{self, Ending};
use super::progress::charge_metered;
use super::transaction::{Step, transaction};
use super::{Lease, Queue, locked};
use crate::domain::{
    Failure, FailureReason, NoticeCode, OnInterrupt, Result, RetryPolicy, RunEvent, RunStatus, SessionMode, SessionState, UnixMicros,
};
use crate::store::entity::{run, session, trigger};
use crate::store::payload::spec_from;

/// Why an attempt ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The server stops in order: this counts against nobody.
    Stop,
    /// The server could not reach the database, or stood still, for so long that its lease was over: nor does this.
    Fenced,
    /// The server died under it.
    Death,
}

impl Queue {
    /// T3 for a server that stops: the attempt ends as interrupted and the run waits for another.
    pub async fn interrupt(&self, lease: &Lease) -> Result<()> {
        transaction!(self, "interrupt", tx => {
            let trigger = trigger_of(tx, lease).await?;
            locked::give_back(tx, trigger).await?;
            let (session, run) = locked::leased(tx, lease).await?;
            requeue(tx, session, run, Cause::Stop).await
        })?;
        self.hint_work();
        Ok(())
    }
}

/// Ends the attempt of a live run; the run waits again at its old place, or ends as its trigger's policy says. Both rows
/// are locked, and their place is given back. Returns whether it waits again.
pub(super) async fn requeue(tx: &DatabaseTransaction, session_before: session::Model, run_before: run::Model, cause: Cause) -> Step<bool> {
    let (mut session, mut run) = (session_before.clone(), run_before.clone());
    let policy = policy(tx, run.trigger_id).await?;
    charge_metered(tx, &mut session, &mut run).await?;
    outcome::end_attempt(tx, &run, "interrupted", None).await?;
    let cancelling = run.status == RunStatus::Cancelling.as_str();
    let failure = give_up(&run, policy, cause).filter(|_| !cancelling);
    let waits = failure.is_none() && !cancelling;
    if let Some(failure) = failure {
        outcome::end(tx, &mut run, RunEvent::GiveUp, Ending { failure: Some(failure), ..Ending::default() }).await?;
    } else if cancelling {
        outcome::end(tx, &mut run, RunEvent::Interrupt, Ending::default()).await?;
    } else {
        run.status = outcome::step(&run, RunEvent::Interrupt)?.to_string();
        let message = match cause {
            Cause::Stop => "the server stopped; another attempt follows",
            Cause::Fenced => "the server lost its lease on this attempt; another attempt follows",
            Cause::Death => "the server died under this attempt; another attempt follows",
        };
        outcome::notice(tx, &mut run, NoticeCode::Interrupted, message).await?;
        run.lease_id = None;
        run.interruptions += i32::from(cause == Cause::Death);
        if policy.on_interrupt == OnInterrupt::Restart {
            run.session_mode = SessionMode::Fresh.to_string();
        }
    }
    if waits {
        session.lease_id = None;
        session.worker_id = None;
        session.live_run_id = None;
        session.state = SessionState::Queued.to_string();
        // As long due as it was: it goes on before what came after it.
        session.ready_time = run.not_before;
        session.queued_count += 1;
    } else {
        locked::advance(tx, &mut session).await?;
    }
    session.last_use_time = UnixMicros::now().0;
    locked::save(tx, &run_before, run).await?;
    locked::save(tx, &session_before, session).await?;
    Ok(waits)
}

/// Why no attempt may follow, if none may.
fn give_up(run: &run::Model, policy: RetryPolicy, cause: Cause) -> Option<Failure> {
    if policy.on_interrupt == OnInterrupt::Never || policy.max_attempts <= 1 {
        return Some(Failure::new(
            FailureReason::WorkerLost,
            "the server went away under this run, and its trigger allows no other attempt",
        ));
    }
    let deaths = run.interruptions + 1;
    (cause == Cause::Death && deaths >= policy.max_attempts)
        .then(|| Failure::new(FailureReason::Poisoned, format!("the server died under this run {deaths} times")))
}

async fn policy(tx: &DatabaseTransaction, trigger: Uuid) -> Step<RetryPolicy> {
    let row = trigger::Entity::find_by_id(trigger).one(tx).await?;
    Ok(match row {
        Some(row) => spec_from(&row.spec, row.enabled)?.retry,
        None => RetryPolicy::default(),
    })
}
