//! Runs, their attempts, and what a waiting run waits for.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::entity::{attempt, limit, run, run_delivery, session};
use super::{usage, word, word_or_none};
use crate::domain::{
    Attempt, CostBasis, DeliveryId, Failure, NanoUsd, Requester, Result, Run, RunId, RunKind, RunStatus, SessionId, SessionMode, TriggerId,
    UnixMicros, Wait, WaitReason, WorkerId,
};
use crate::store::payload::{Metered, by_model_from, metered_from, warnings_from};

/// How many deliveries a run shows.
const SHOWN_DELIVERIES: i32 = 50;

/// What decides why a queued run waits.
struct Surroundings {
    heads: HashMap<Uuid, i64>,
    limits: HashMap<Uuid, limit::Model>,
    now: UnixMicros,
}

impl Surroundings {
    /// Looked up for queued runs only: the others wait for nothing.
    async fn of(db: &impl ConnectionTrait, rows: &[run::Model]) -> Result<Self> {
        let queued: Vec<&run::Model> = rows.iter().filter(|row| row.status == RunStatus::Queued.as_str()).collect();
        let mut around = Self { heads: HashMap::new(), limits: HashMap::new(), now: UnixMicros::now() };
        if queued.is_empty() {
            return Ok(around);
        }
        let heads: Vec<(Uuid, i64)> = session::Entity::find()
            .select_only()
            .columns([session::Column::Id, session::Column::Head])
            .filter(session::Column::Id.is_in(queued.iter().map(|row| row.session_id)))
            .into_tuple()
            .all(db)
            .await?;
        around.heads = heads.into_iter().collect();
        let triggers = queued.iter().map(|row| row.trigger_id).chain([Uuid::nil()]);
        let limits = limit::Entity::find().filter(limit::Column::TriggerId.is_in(triggers)).all(db).await?;
        around.limits = limits.into_iter().map(|row| (row.trigger_id, row)).collect();
        Ok(around)
    }

    fn wait(&self, row: &run::Model) -> Option<Wait> {
        let wait =
            |reason, until: Option<i64>, message: &str| Some(Wait { reason, until: until.map(UnixMicros), message: message.to_owned() });
        let limit = self.limits.get(&row.trigger_id);
        if limit.is_some_and(|limit| !limit.open) {
            return wait(WaitReason::TriggerDisabled, None, "its trigger is disabled");
        }
        if row.not_before > self.now.0 {
            return if row.wait_reason == WaitReason::Breaker.as_str() {
                wait(WaitReason::Breaker, Some(row.not_before), "its session reached the trigger's limit of runs per hour")
            } else {
                wait(WaitReason::QuietPeriod, Some(row.not_before), "more events of the same burst may join it")
            };
        }
        let full = |id: &Uuid| self.limits.get(id).is_some_and(|limit| limit.used >= limit.cap);
        if self.heads.get(&row.session_id) != Some(&row.seq) {
            return None;
        }
        if full(&row.trigger_id) {
            return wait(WaitReason::RunCap, None, "its trigger has as many live runs as it may have");
        }
        if full(&Uuid::nil()) {
            return wait(WaitReason::RunCap, None, "the server has as many live runs as it may have");
        }
        None
    }

    fn position(&self, row: &run::Model) -> i32 {
        self.heads.get(&row.session_id).map_or(0, |head| i32::try_from((row.seq - head).max(0)).unwrap_or(i32::MAX))
    }
}

/// Runs in the order of the rows, with the ids of their deliveries; with attempts and usage by model only if `whole`.
pub(crate) async fn runs_of(db: &impl ConnectionTrait, rows: Vec<run::Model>, whole: bool) -> Result<Vec<Run>> {
    let around = Surroundings::of(db, &rows).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let links = run_delivery::Entity::find()
        .filter(run_delivery::Column::RunId.is_in(ids.iter().copied()))
        .filter(run_delivery::Column::Ordinal.lt(SHOWN_DELIVERIES))
        .order_by_asc(run_delivery::Column::RunId)
        .order_by_asc(run_delivery::Column::Ordinal)
        .all(db)
        .await?;
    let mut deliveries: HashMap<Uuid, Vec<DeliveryId>> = HashMap::new();
    for link in links {
        deliveries.entry(link.run_id).or_default().push(DeliveryId(link.delivery_id));
    }
    // Attempts are told of only if `whole`; what a live run used so far is told always.
    let with_attempts: Vec<Uuid> = rows.iter().filter(|row| whole || row.metered.is_some()).map(|row| row.id).collect();
    let mut attempts: HashMap<Uuid, Vec<Attempt>> = HashMap::new();
    if !with_attempts.is_empty() {
        let found = attempt::Entity::find().filter(attempt::Column::RunId.is_in(with_attempts));
        for row in found.order_by_asc(attempt::Column::Number).all(db).await? {
            attempts.entry(row.run_id).or_default().push(attempt_of(row)?);
        }
    }
    rows.into_iter()
        .map(|row| {
            let metered = row.metered.as_deref().map(metered_from).transpose()?;
            let by_model = if whole { by_model_from(&row.by_model)? } else { Vec::new() };
            let id = row.id;
            let queued = row.status == RunStatus::Queued.as_str();
            let (wait, queue_position) = if queued { (around.wait(&row), around.position(&row)) } else { (None, 0) };
            let attempts = attempts.remove(&id).unwrap_or_default();
            let mut run =
                Run { wait, queue_position, by_model, delivery_ids: deliveries.remove(&id).unwrap_or_default(), attempts, ..run_of(row)? };
            if let Some(metered) = metered {
                add_metered(&mut run, metered);
            }
            if !whole {
                run.attempts.clear();
            }
            Ok(run)
        })
        .collect()
}

/// Adds what the present attempt was metered to have used beyond what is counted of it.
fn add_metered(run: &mut Run, metered: Metered) {
    let Some(attempt) = run.attempts.iter_mut().find(|attempt| attempt.number == metered.attempt) else { return };
    let more = metered.usage.beyond(attempt.usage);
    if more.is_none() {
        return;
    }
    attempt.usage = attempt.usage.plus(more);
    run.usage = run.usage.plus(more);
    (run.context_tokens, run.context_window_tokens) = (metered.context_tokens, metered.context_window_tokens);
}

/// A run at the tail of this session, due now.
pub(crate) fn new_run(id: RunId, session: &session::Model, kind: RunKind, requested_by: &Requester) -> run::Model {
    let now = UnixMicros::now().0;
    run::Model {
        id: id.0,
        session_id: session.id,
        seq: session.tail + 1,
        trigger_id: session.trigger_id,
        trigger_slug: session.trigger_slug.clone(),
        thread_key: session.thread_key.clone(),
        title: session.title.clone(),
        kind: kind.to_string(),
        status: RunStatus::Queued.to_string(),
        not_before: now,
        wait_reason: String::new(),
        attempt: 0,
        interruptions: 0,
        lease_id: None,
        cancel_requested: false,
        cancel_reason: String::new(),
        cancel_mode: String::new(),
        requester_kind: requested_by.kind.to_string(),
        requester_id: requested_by.id.clone(),
        requester_name: requested_by.display_name.clone(),
        session_mode: SessionMode::Default.to_string(),
        prompt_override: None,
        prompt: None,
        prompt_kind: None,
        delivery_count: 0,
        retry_of: None,
        lineage: None,
        continued_from: None,
        generation: session.generation,
        turn: 0,
        model: String::new(),
        agent_version: String::new(),
        profile: String::new(),
        billing: None,
        by_model: String::new(),
        max_cost_nano: 0,
        context_tokens: 0,
        context_window_tokens: 0,
        result_text: String::new(),
        failure_reason: None,
        failure_message: String::new(),
        failure_api_status: None,
        warnings: String::new(),
        first_sequence: 1,
        next_sequence: 1,
        transcript_rewrite: 0,
        transcript_bytes: 0,
        create_time: now,
        start_time: None,
        end_time: None,
        input_tokens: 0,
        output_tokens: 0,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        thinking_tokens: 0,
        cost_nano: 0,
        cost_basis: CostBasis::Reported.to_string(),
        metered: None,
    }
}

/// A run as its row alone tells.
fn run_of(row: run::Model) -> Result<Run> {
    let usage = usage!(row)?;
    let failure = failure_of(row.failure_reason.as_deref(), row.failure_message, row.failure_api_status)?;
    Ok(Run {
        id: RunId(row.id),
        trigger_id: TriggerId(row.trigger_id),
        trigger_slug: row.trigger_slug,
        session_id: SessionId(row.session_id),
        seq: row.seq,
        thread_key: row.thread_key,
        title: row.title,
        kind: word(&row.kind)?,
        status: word(&row.status)?,
        wait: None,
        lineage: word_or_none(row.lineage.as_deref())?,
        continued_from: row.continued_from.map(RunId),
        retry_of: row.retry_of.map(RunId),
        generation: row.generation,
        turn: row.turn,
        delivery_ids: Vec::new(),
        delivery_count: row.delivery_count,
        requested_by: Requester { kind: word(&row.requester_kind)?, id: row.requester_id, display_name: row.requester_name },
        attempt: row.attempt,
        attempts: Vec::new(),
        model: row.model,
        agent_version: row.agent_version,
        profile: row.profile,
        billing: word_or_none(row.billing.as_deref())?,
        usage,
        by_model: Vec::new(),
        max_cost: NanoUsd(row.max_cost_nano),
        context_tokens: row.context_tokens,
        context_window_tokens: row.context_window_tokens,
        result_text: row.result_text,
        failure,
        warnings: warnings_from(&row.warnings),
        queue_position: 0,
        create_time: UnixMicros(row.create_time),
        start_time: row.start_time.map(UnixMicros),
        end_time: row.end_time.map(UnixMicros),
        first_sequence: row.first_sequence,
        last_sequence: row.next_sequence - 1,
    })
}

/// One attempt.
fn attempt_of(row: attempt::Model) -> Result<Attempt> {
    Ok(Attempt {
        number: row.number,
        lineage: word_or_none(row.lineage.as_deref())?,
        usage: usage!(row)?,
        failure: failure_of(row.failure_reason.as_deref(), row.failure_message, None)?,
        agent_session_id: row.agent_session_id,
        agent_version: row.agent_version,
        worker: WorkerId(row.worker_id),
        trigger_version: row.trigger_version,
        start_time: UnixMicros(row.start_time),
        end_time: row.end_time.map(UnixMicros),
        exit: row.exit,
    })
}

fn failure_of(reason: Option<&str>, message: String, api_status: Option<i32>) -> Result<Option<Failure>> {
    Ok(word_or_none(reason)?.map(|reason| Failure { reason, message, api_status }))
}
