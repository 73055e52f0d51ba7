//! Runs and what they used.

use super::{WireEnum, text, timestamp, wire};
use crate::domain::{Attempt, Failure, NanoUsd, Run, RunFilter, RunStatus, TriggerId, Usage};
use crate::proto::v1;
use crate::rpc::{Fields, MAX_THREAD_KEY};

/// A run as GetRun and WatchRun show it.
#[must_use]
pub fn run(run: &Run) -> v1::Run {
    v1::Run {
        id: run.id.to_string(),
        trigger_id: run.trigger_id.to_string(),
        trigger_slug: run.trigger_slug.clone(),
        session_id: run.session_id.to_string(),
        thread_key: run.thread_key.clone().unwrap_or_default(),
        title: run.title.clone(),
        kind: run.kind.to_wire(),
        state: run.state().to_wire(),
        wait: run.wait.as_ref().filter(|_| run.status == RunStatus::Queued).map(|wait| v1::Wait {
            reason: wait.reason.to_wire(),
            until_time: wait.until.map(timestamp),
            message: wait.message.clone(),
        }),
        lineage: wire(run.lineage),
        continued_from_run_id: text(run.continued_from),
        retry_of_run_id: text(run.retry_of),
        generation: run.generation,
        turn: run.turn,
        delivery_ids: run.delivery_ids.iter().map(ToString::to_string).collect(),
        delivery_count: run.delivery_count,
        requested_by: Some(v1::Requester {
            kind: run.requested_by.kind.to_wire(),
            id: run.requested_by.id.clone(),
            display_name: run.requested_by.display_name.clone(),
        }),
        attempt: run.attempt,
        attempts: run.attempts.iter().map(attempt).collect(),
        model: run.model.clone(),
        agent_version: run.agent_version.clone(),
        profile: run.profile.clone(),
        billing: wire(run.billing),
        usage: Some(v1::Usage { by_model: run.by_model.iter().map(by_model).collect(), ..usage(run.usage) }),
        max_cost_usd: run.max_cost.usd(),
        context_tokens: run.context_tokens,
        context_window_tokens: run.context_window_tokens,
        result_text: run.result_text.clone(),
        failure: run.failure.as_ref().map(failure),
        warnings: run.warnings.iter().map(|warning| warning.to_wire()).collect(),
        queue_position: run.queue_position,
        create_time: Some(timestamp(run.create_time)),
        start_time: run.start_time.map(timestamp),
        end_time: run.end_time.map(timestamp),
        first_sequence: run.first_sequence,
        last_sequence: run.last_sequence,
    }
}

/// A run as lists show it.
#[must_use]
pub fn run_listed(listed: &Run) -> v1::Run {
    let mut listed = run(listed);
    listed.attempts = Vec::new();
    if let Some(usage) = &mut listed.usage {
        usage.by_model = Vec::new();
    }
    listed
}

fn attempt(attempt: &Attempt) -> v1::Attempt {
    let exit = match attempt.exit.as_str() {
        "succeeded" => v1::AttemptExit::Succeeded,
        "failed" => v1::AttemptExit::Failed,
        "cancelled" => v1::AttemptExit::Cancelled,
        "interrupted" => v1::AttemptExit::Interrupted,
        _ => v1::AttemptExit::Unspecified,
    };
    v1::Attempt {
        number: attempt.number,
        lineage: wire(attempt.lineage),
        agent_session_id: attempt.agent_session_id.clone(),
        agent_version: attempt.agent_version.clone(),
        worker: attempt.worker.to_string(),
        start_time: Some(timestamp(attempt.start_time)),
        end_time: attempt.end_time.map(timestamp),
        exit: exit as i32,
        usage: Some(usage(attempt.usage)),
        failure: attempt.failure.as_ref().map(failure),
    }
}

pub(super) fn usage(usage: Usage) -> v1::Usage {
    // What has used nothing has no cost yet, and so no basis of one.
    let nothing = usage.cost == NanoUsd(0) && usage.cache_share().is_none() && usage.output_tokens == 0;
    v1::Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        thinking_tokens: usage.thinking_tokens,
        cost_usd: usage.cost.usd(),
        cost_basis: if nothing { 0 } else { usage.cost_basis.to_wire() },
        cache_share: usage.cache_share(),
        by_model: Vec::new(),
    }
}

fn by_model((model, usage): &(String, Usage)) -> v1::ModelUsage {
    v1::ModelUsage {
        model: model.clone(),
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        cost_usd: usage.cost.usd(),
    }
}

pub(super) fn failure(failure: &Failure) -> v1::Failure {
    v1::Failure {
        reason: failure.reason.to_wire(),
        message: failure.message.clone(),
        remedy: failure.reason.remedy().to_owned(),
        retryable: failure.reason.retryable(),
        api_status: failure.api_status,
    }
}

/// Which runs a request lists. `trigger` is the one that its `trigger_id` names.
pub fn run_filter(request: &v1::ListRunsRequest, trigger: Option<TriggerId>) -> crate::domain::Result<RunFilter> {
    let mut fields = Fields::new();
    let filter = RunFilter {
        trigger_id: trigger,
        session_id: fields.id_or_none("session_id", &request.session_id),
        delivery_id: fields.id_or_none("delivery_id", &request.delivery_id),
        thread_key: super::none_if_empty(&fields.text("thread_key", request.thread_key.clone(), MAX_THREAD_KEY)),
        states: fields.choices("states", &request.states),
        failure_reasons: fields.choices("failure_reasons", &request.failure_reasons),
        lineages: fields.choices("lineages", &request.lineages),
        start_time: fields.time("start_time", request.start_time),
        end_time: fields.time("end_time", request.end_time),
    };
    fields.finish(filter)
}

/// Which runs a request watches, and how many of the newest it wants first.
pub fn watched_runs(request: &v1::WatchRunsRequest, trigger: Option<TriggerId>) -> crate::domain::Result<(RunFilter, u32)> {
    let mut fields = Fields::new();
    let filter = RunFilter {
        trigger_id: trigger,
        session_id: fields.id_or_none("session_id", &request.session_id),
        states: fields.choices("states", &request.states),
        ..RunFilter::default()
    };
    let size = fields.snapshot_size(request.page_size);
    fields.finish((filter, size))
}
