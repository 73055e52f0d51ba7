//! What a worker tells of its live run. Every write is fenced.

use sea_orm::{ActiveValue::Set, DatabaseTransaction, EntityTrait};

use super::outcome::step;
use super::transaction::{Step, transaction};
use super::{ConversationStart, Lease, Queue, SpawnUsage, locked};
use crate::domain::{Lineage, PromptKind, Result, RunEvent, RunId, UnixMicros, Usage};
use crate::store::entity::{attempt, conversation, run, session};
use crate::store::payload::{by_model_from, by_model_to, metered_from};
use crate::store::rows::{add_usage, usage};

/// Changes the rows of a live run under their locks, while the lease is current.
macro_rules! live {
    ($queue:expr, $name:literal, $lease:expr, |$tx:ident, $session:ident, $run:ident| $body:block) => {
        transaction!($queue, $name, tx => {
            let (session_before, run_before) = locked::leased(tx, $lease).await?;
            let (mut session_after, mut run_after) = (session_before.clone(), run_before.clone());
            {
                let ($tx, $session, $run) = (tx, &mut session_after, &mut run_after);
                $body
            }
            locked::save(tx, &session_before, session_after).await?;
            locked::save(tx, &run_before, run_after).await?;
            Ok(())
        })
    };
}

/// Under which profile and limit of cost a run goes.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Which CLI.
    pub agent: String,
    /// Which profile.
    pub profile: String,
    /// Its limit in dollars; 0: none.
    pub max_cost: crate::domain::NanoUsd,
}

impl Queue {
    /// All that is stored of a turn before its process hears the prompt, in one transaction; fenced: under which terms the
    /// run goes, the conversation that begins (if one does), the prompt and its lineage. A session that was reset past this
    /// conversation meanwhile keeps to its own generation. A note to go on, or a compaction, does not replace the run's own
    /// prompt.
    #[expect(clippy::too_many_arguments, reason = "each is another part of one record")]
    pub async fn begin_turn(
        &self,
        lease: &Lease,
        terms: Option<Terms>,
        start: Option<ConversationStart>,
        kind: PromptKind,
        prompt: &str,
        lineage: Lineage,
        continued_from: Option<RunId>,
    ) -> Result<()> {
        live!(self, "begin_turn", lease, |tx, session, run| {
            if let Some(terms) = &terms {
                set_terms(session, run, &terms.agent, &terms.profile, terms.max_cost);
            }
            if let Some(start) = &start {
                set_conversation(tx, session, run, start).await?;
            }
            set_prompt(tx, run, kind, prompt, lineage, continued_from).await?;
        })
    }

    /// The agent is up: `starting` becomes `running`; model and version are kept; fenced.
    pub async fn agent_up(&self, lease: &Lease, model: &str, agent_version: &str, agent_session_id: &str) -> Result<()> {
        live!(self, "agent_up", lease, |tx, _session, run| {
            // A second process of the same run (after a compaction, or a lost conversation) finds it running.
            if run.status != crate::domain::RunStatus::Running.as_str() {
                run.status = step(run, RunEvent::AgentUp)?.to_string();
            }
            model.clone_into(&mut run.model);
            agent_version.clone_into(&mut run.agent_version);
            let before = locked::attempt(tx, run.id, run.attempt).await?;
            let mut attempt = before.clone();
            agent_version.clone_into(&mut attempt.agent_version);
            agent_session_id.clone_into(&mut attempt.agent_session_id);
            locked::save(tx, &before, attempt).await?;
        })
    }

    /// Adds what the attempt's `spawn`th process, from 1, used to run, attempt and session; fenced. A repeat, after an answer
    /// that was lost, adds nothing.
    pub async fn add_usage(&self, lease: &Lease, spawn: i32, usage: SpawnUsage) -> Result<()> {
        live!(self, "add_usage", lease, |tx, session, run| {
            let before = locked::attempt(tx, run.id, run.attempt).await?;
            if before.counted_spawns >= spawn {
                return Ok(());
            }
            charge(tx, session, run, before, spawn, usage.usage, &usage.by_model).await?;
            (run.context_tokens, run.context_window_tokens) = (usage.context_tokens, usage.context_window_tokens);
            if session.generation == run.generation {
                session.context_tokens = usage.context_tokens;
                if let Some(total) = usage.agent_total_cost {
                    session.agent_total_cost_nano = total.0;
                }
            }
        })
    }
}

/// Adds to all three what the attempt used, of which `spawns` processes are counted then.
async fn charge(
    tx: &DatabaseTransaction,
    session: &mut session::Model,
    run: &mut run::Model,
    attempt_before: attempt::Model,
    spawns: i32,
    usage: Usage,
    by_model: &[(String, Usage)],
) -> Step<()> {
    let mut attempt = attempt_before.clone();
    attempt.counted_spawns = spawns;
    add_usage!(attempt, usage);
    locked::save(tx, &attempt_before, attempt).await?;
    add_usage!(run, usage);
    add_usage!(session, usage);
    run.by_model = by_model_to(&merged(by_model_from(&run.by_model)?, by_model));
    Ok(())
}

/// Charges what the run's present attempt was metered to have used and nobody added up: the server died before it could. The
/// rows of session and run are changed in memory.
pub(super) async fn charge_metered(tx: &DatabaseTransaction, session: &mut session::Model, run: &mut run::Model) -> Step<()> {
    let Some(metered) = run.metered.take().as_deref().map(metered_from).transpose()?.filter(|told| told.attempt == run.attempt) else {
        return Ok(());
    };
    let attempt = locked::attempt(tx, run.id, run.attempt).await?;
    let more = metered.usage.beyond(usage!(attempt)?);
    if more.is_none() {
        return Ok(());
    }
    let by_model = [(run.model.clone(), more)];
    let spawns = attempt.counted_spawns;
    charge(tx, session, run, attempt, spawns, more, &by_model).await
}

/// The session's conversation is this one from here on.
fn set_terms(session: &mut session::Model, run: &mut run::Model, agent: &str, profile: &str, max_cost: crate::domain::NanoUsd) {
    agent.clone_into(&mut session.agent);
    profile.clone_into(&mut session.profile);
    profile.clone_into(&mut run.profile);
    run.max_cost_nano = max_cost.0;
}

async fn set_conversation(
    tx: &DatabaseTransaction,
    session: &mut session::Model,
    run: &mut run::Model,
    start: &ConversationStart,
) -> Step<()> {
    if start.generation >= session.generation {
        begin(session, start);
    }
    run.generation = start.generation;
    run.turn = 1;
    record_conversation(tx, run, start).await
}

async fn set_prompt(
    tx: &DatabaseTransaction,
    run: &mut run::Model,
    kind: PromptKind,
    prompt: &str,
    lineage: Lineage,
    continued_from: Option<RunId>,
) -> Step<()> {
    let before = locked::attempt(tx, run.id, run.attempt).await?;
    let mut attempt = before.clone();
    attempt.lineage = Some(lineage.to_string());
    locked::save(tx, &before, attempt).await?;
    run.lineage = Some(lineage.to_string());
    run.continued_from = continued_from.map(|id| id.0);
    if run.prompt.is_none() || !matches!(kind, PromptKind::Retry | PromptKind::Compact) {
        run.prompt = Some(prompt.to_owned());
        run.prompt_kind = Some(kind.to_string());
    }
    Ok(())
}

fn begin(session: &mut session::Model, start: &ConversationStart) {
    session.generation = start.generation;
    session.agent_session_id = Some(start.agent_session_id);
    session.fingerprint = Some(start.fingerprint.clone());
    session.origin = start.origin.to_string();
    session.turn_count = 0;
    session.turns_since_compaction = 0;
    session.agent_total_cost_nano = 0;
    session.context_tokens = 0;
    session.last_cache_share = None;
    session.manifest.clear();
    session.transcript_bytes = 0;
}

async fn record_conversation(tx: &DatabaseTransaction, run: &run::Model, start: &ConversationStart) -> Step<()> {
    let key = (run.session_id, start.generation);
    if let Some(before) = conversation::Entity::find_by_id(key).one(tx).await? {
        // Another attempt begins it anew.
        let after = conversation::Model { agent_session_id: start.agent_session_id, ..before.clone() };
        return Ok(locked::save(tx, &before, after).await?);
    }
    let row = conversation::ActiveModel {
        session_id: Set(run.session_id),
        generation: Set(start.generation),
        agent_session_id: Set(start.agent_session_id),
        origin: Set(start.origin.to_string()),
        cause_run_id: Set(Some(run.id)),
        start_time: Set(UnixMicros::now().0),
        turn_count: Set(0),
        from_session_id: Set(None),
        manifest: Set(String::new()),
    };
    conversation::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

fn merged(mut sums: Vec<(String, Usage)>, more: &[(String, Usage)]) -> Vec<(String, Usage)> {
    for (model, usage) in more {
        match sums.iter_mut().find(|(known, _)| known == model) {
            Some((_, sum)) => *sum = sum.plus(*usage),
            None => sums.push((model.clone(), *usage)),
        }
    }
    sums
}
