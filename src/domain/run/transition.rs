//! All transitions of a run, in one table.

use thiserror::Error;

use crate::domain::text_enum::text_enum;

text_enum! {
    /// Where a run is, as stored.
    RunStatus {
        /// It waits for its turn in its session. The claim moves it on, or a cancel ends it.
        Queued = "queued",
        /// A worker holds it and prepares the agent. That worker moves it on.
        Starting = "starting",
        /// Its agent is up. The worker that holds the lease moves it on.
        Running = "running",
        /// Its end was asked for. The worker that holds the lease ends the agent and finishes it.
        Cancelling = "cancelling",
        /// It worked. Final.
        Succeeded = "succeeded",
        /// It did not. Final.
        Failed = "failed",
        /// Somebody ended it. Final.
        Cancelled = "cancelled",
    }
}

impl RunStatus {
    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether a worker holds it.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Cancelling)
    }
}

text_enum! {
    /// What can happen to a run.
    RunEvent {
        /// A worker takes it.
        Claim = "claim",
        /// Its agent is up.
        AgentUp = "agent_up",
        /// Somebody asks for its end.
        RequestCancel = "request_cancel",
        /// Its worker finishes it as worked.
        Succeed = "succeed",
        /// Its worker finishes it as failed.
        Fail = "fail",
        /// Its worker finishes it as cancelled.
        Cancel = "cancel",
        /// Its worker is gone; another attempt may follow.
        Interrupt = "interrupt",
        /// Its worker is gone; no attempt may follow.
        GiveUp = "give_up",
    }
}

/// A transition that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a {from} run cannot {event}")]
pub struct IllegalTransition {
    /// Where the run is.
    pub from: RunStatus,
    /// What should happen.
    pub event: RunEvent,
}

/// Where a run is after `event`.
///
/// # Errors
/// [`IllegalTransition`] where the table has no entry; a finished run never changes.
pub const fn transition(from: RunStatus, event: RunEvent) -> Result<RunStatus, IllegalTransition> {
    use RunEvent as E;
    use RunStatus as S;
    Ok(match (from, event) {
        (S::Queued, E::Claim) => S::Starting,
        (S::Queued, E::RequestCancel) => S::Cancelled,
        (S::Starting, E::AgentUp) => S::Running,
        (S::Starting | S::Running, E::RequestCancel) => S::Cancelling,
        (S::Starting | S::Running | S::Cancelling, E::Succeed) => S::Succeeded,
        (S::Starting | S::Running | S::Cancelling, E::Fail | E::GiveUp) => S::Failed,
        (S::Starting | S::Running | S::Cancelling, E::Cancel) => S::Cancelled,
        (S::Starting | S::Running, E::Interrupt) => S::Queued,
        // A cancel that its worker could not carry out is carried out by whoever finds the worker gone.
        (S::Cancelling, E::Interrupt) => S::Cancelled,
        // Asking twice, or the agent coming up while its end is due, changes nothing.
        (S::Cancelling, E::RequestCancel | E::AgentUp) => S::Cancelling,
        (from, event) => return Err(IllegalTransition { from, event }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_decided_and_ends_are_final() {
        for &from in RunStatus::ALL {
            for &event in RunEvent::ALL {
                match transition(from, event) {
                    Ok(to) => assert!(!from.is_end(), "{from} must not become {to}"),
                    Err(refused) => assert_eq!(refused, IllegalTransition { from, event }),
                }
            }
        }
    }

    #[test]
    fn a_live_run_can_always_end_and_never_goes_back_but_by_interruption() {
        for &from in RunStatus::ALL.iter().filter(|s| s.is_live()) {
            for event in [RunEvent::Succeed, RunEvent::Fail, RunEvent::Cancel, RunEvent::GiveUp] {
                assert!(transition(from, event).expect("allowed").is_end());
            }
        }
        let back: Vec<_> = RunStatus::ALL
            .iter()
            .flat_map(|&s| RunEvent::ALL.iter().map(move |&e| (s, e)))
            .filter(|&(s, e)| s != RunStatus::Queued && transition(s, e) == Ok(RunStatus::Queued))
            .collect();
        assert_eq!(back, [(RunStatus::Starting, RunEvent::Interrupt), (RunStatus::Running, RunEvent::Interrupt)]);
    }
}
