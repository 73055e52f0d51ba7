//! What a batch decided, written in a few set statements.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};
use uuid::Uuid;

use super::Prepared;
use super::plan::{DeliveryPlan, Plan, RunPlan, SessionPlan};
use crate::domain::{DeliveryOutcome, RunStatus, SessionOrigin, UnixMicros};
use crate::queue::{Disposition, NewDelivery};
use crate::store::sql::{placeholders, statement};

const DELIVERY: &[&str] = &[
    "id",
    "trigger_id",
    "trigger_slug",
    "source",
    "origin",
    "provider_delivery_id",
    "dedupe_key",
    "event_kind",
    "action",
    "actor_id",
    "actor_login",
    "actor_kind",
    "thread_key",
    "title",
    "url",
    "event_text",
    "outcome",
    "reason",
    "message",
    "session_id",
    "run_id",
    "duplicate_of",
    "redelivery_of",
    "replay_of",
    "duplicate_count",
    "receive_time",
    "ack_micros",
    "body_bytes",
];
const PAYLOAD: &[&str] = &["delivery_id", "headers", "body", "walk"];
const SESSION: &[&str] = &[
    "id",
    "bucket",
    "trigger_id",
    "trigger_slug",
    "kind",
    "thread_key",
    "title",
    "url",
    "state",
    "ready_time",
    "head",
    "tail",
    "generation",
    "origin",
    "run_count",
    "queued_count",
    "create_time",
    "last_use_time",
];
const RUN: &[&str] = &[
    "id",
    "session_id",
    "seq",
    "trigger_id",
    "trigger_slug",
    "thread_key",
    "title",
    "kind",
    "status",
    "not_before",
    "wait_reason",
    "requester_kind",
    "requester_id",
    "requester_name",
    "session_mode",
    "prompt_override",
    "delivery_count",
    "generation",
    "first_sequence",
    "next_sequence",
    "create_time",
];
/// The most rows of one statement.
const LARGEST_STEP: usize = 64;
const LINK: &[&str] = &["run_id", "ordinal", "delivery_id"];

/// Writes the plan.
pub(super) async fn all(tx: &DatabaseTransaction, plan: &Plan, batch: &[Prepared]) -> Result<(), DbErr> {
    free_keys(tx, plan).await?;
    // One order for all: two servers that store the same keys wait for each other, and never in a circle.
    let mut deliveries: Vec<&DeliveryPlan> = plan.deliveries.iter().collect();
    deliveries.sort_by_key(|row| (batch[row.index].delivery.trigger_id, row.key));
    let rows = deliveries.iter().flat_map(|row| delivery(row, &batch[row.index].delivery));
    insert(tx, "deliveries", DELIVERY, rows.collect()).await?;
    let kept = deliveries.iter().filter(|row| row.outcome != DeliveryOutcome::Duplicate).map(|row| &batch[row.index]);
    let kept = kept.filter(|one| one.delivery.body_zstd.is_some() || !one.headers.is_empty());
    let walk = |one: &Prepared| (!one.walk.is_empty()).then(|| one.walk.clone());
    let rows = kept.flat_map(|one| -> [Value; 4] {
        [one.delivery.id.0.into(), one.headers.clone().into(), one.delivery.body_zstd.clone().into(), walk(one).into()]
    });
    insert(tx, "delivery_payloads", PAYLOAD, rows.collect()).await?;

    let mut new: Vec<&SessionPlan> = plan.sessions.iter().filter(|session| session.new).collect();
    new.sort_by_key(|session| (session.trigger_id, &session.thread_key));
    insert(tx, "sessions", SESSION, new.into_iter().flat_map(|one| session(one, plan.now)).collect()).await?;
    update_sessions(tx, plan).await?;
    insert(tx, "runs", RUN, plan.runs.iter().flat_map(|one| run(one, plan, batch)).collect()).await?;
    update_merged(tx, plan).await?;
    let links = plan.links.iter().flat_map(|(run, ordinal, delivery)| [(*run).into(), (*ordinal).into(), (*delivery).into()]);
    insert(tx, "run_deliveries", LINK, links.collect()).await?;
    count_duplicates(tx, plan).await
}

async fn insert(tx: &DatabaseTransaction, table: &str, columns: &[&str], values: Vec<Value>) -> Result<(), DbErr> {
    let names = columns.join(", ");
    in_steps(tx, columns.len(), values, |rows| format!("INSERT INTO {table} ({names}) VALUES {}", placeholders(rows, columns.len()))).await
}

/// Runs a set statement over the rows in steps of 64, 32, 16, … rows: a handful of texts that the connection keeps
/// prepared, where each number of rows would be a text of its own.
async fn in_steps(tx: &DatabaseTransaction, width: usize, values: Vec<Value>, text: impl Fn(usize) -> String) -> Result<(), DbErr> {
    let mut values = values.into_iter();
    let mut left = values.len() / width;
    while left > 0 {
        let rows = (1 << left.ilog2()).min(LARGEST_STEP);
        let some = values.by_ref().take(rows * width).collect();
        tx.execute_raw(statement(tx.get_database_backend(), text(rows), some)).await?;
        left -= rows;
    }
    Ok(())
}

/// `UPDATE table SET … FROM rows`: each row's first column is the id.
async fn update(tx: &DatabaseTransaction, table: &str, columns: &str, set: &str, values: Vec<Value>) -> Result<(), DbErr> {
    let width = columns.split(',').count();
    in_steps(tx, width, values, |rows| {
        format!("WITH v ({columns}) AS (VALUES {}) UPDATE {table} SET {set} FROM v WHERE {table}.id = v.id", placeholders(rows, width))
    })
    .await
}

async fn free_keys(tx: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    if plan.freed.is_empty() {
        return Ok(());
    }
    let text = format!("UPDATE deliveries SET dedupe_key = NULL WHERE id IN {}", placeholders(1, plan.freed.len()));
    tx.execute_raw(statement(tx.get_database_backend(), text, plan.freed.iter().map(|id| (*id).into()).collect())).await?;
    Ok(())
}

async fn update_sessions(tx: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    let changed = plan.sessions.iter().filter(|session| session.changed && !session.new);
    let values = changed.flat_map(|s| -> [Value; 9] {
        [
            s.id.into(),
            s.title.as_str().into(),
            s.url.as_str().into(),
            s.state.as_str().into(),
            s.ready_time.into(),
            s.head.into(),
            s.tail.into(),
            s.queued.into(),
            s.run_count.into(),
        ]
    });
    let set = "title = v.title, url = v.url, state = v.state, ready_time = v.ready_time, head = v.head, tail = v.tail, \
               queued_count = v.queued_count, run_count = v.run_count";
    update(tx, "sessions", "id, title, url, state, ready_time, head, tail, queued_count, run_count", set, values.collect()).await
}

async fn update_merged(tx: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    let values = plan.merged.iter().flat_map(|(id, merge)| -> [Value; 4] {
        [(*id).into(), merge.deliveries.into(), merge.not_before.into(), merge.wait_reason.into()]
    });
    let set = "delivery_count = v.delivery_count, not_before = v.not_before, wait_reason = v.wait_reason";
    update(tx, "runs", "id, delivery_count, not_before, wait_reason", set, values.collect()).await
}

async fn count_duplicates(tx: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    let values = plan.counted.iter().flat_map(|(id, more)| -> [Value; 2] { [(*id).into(), (*more).into()] });
    update(tx, "deliveries", "id, more", "duplicate_count = duplicate_count + v.more", values.collect()).await
}

fn delivery(row: &DeliveryPlan, d: &NewDelivery) -> [Value; 28] {
    let ack = UnixMicros::now().since(d.receive_time);
    [
        d.id.0.into(),
        d.trigger_id.map(|id| id.0).into(),
        d.trigger_slug.as_str().into(),
        d.source.as_str().into(),
        d.origin.as_str().into(),
        d.provider_delivery_id.as_str().into(),
        row.key.map(|key| key.to_vec()).into(),
        d.event.kind.as_str().into(),
        d.event.action.as_str().into(),
        d.event.actor.id.as_str().into(),
        d.event.actor.login.as_str().into(),
        d.event.actor.kind.as_str().into(),
        d.thread_key.clone().into(),
        d.event.title.as_str().into(),
        d.event.url.as_str().into(),
        d.event.text.as_str().into(),
        row.outcome.as_str().into(),
        row.reason.map(|reason| reason.as_str()).into(),
        row.message.as_str().into(),
        row.session_id.into(),
        row.run_id.into(),
        row.duplicate_of.into(),
        row.redelivery_of.into(),
        d.replay_of.map(|id| id.0).into(),
        row.duplicates.into(),
        d.receive_time.0.into(),
        i64::try_from(ack.as_micros()).unwrap_or(i64::MAX).into(),
        d.body_bytes.into(),
    ]
}

fn session(s: &SessionPlan, now: UnixMicros) -> [Value; 18] {
    [
        s.id.into(),
        bucket(s.trigger_id, s.thread_key.as_deref().unwrap_or_default()).into(),
        s.trigger_id.into(),
        s.slug.as_str().into(),
        s.kind.as_str().into(),
        s.thread_key.clone().into(),
        s.title.as_str().into(),
        s.url.as_str().into(),
        s.state.as_str().into(),
        s.ready_time.into(),
        s.head.into(),
        s.tail.into(),
        s.generation.into(),
        SessionOrigin::First.as_str().into(),
        s.run_count.into(),
        s.queued.into(),
        now.0.into(),
        now.0.into(),
    ]
}

fn run(run: &RunPlan, plan: &Plan, batch: &[Prepared]) -> Vec<Value> {
    let delivery = &batch[run.index].delivery;
    let Disposition::Run(request) = &delivery.disposition else { return Vec::new() };
    let session = &plan.sessions[run.session];
    let title = if delivery.event.title.is_empty() { &session.title } else { &delivery.event.title };
    vec![
        run.id.into(),
        session.id.into(),
        run.seq.into(),
        session.trigger_id.into(),
        session.slug.as_str().into(),
        session.thread_key.clone().into(),
        title.as_str().into(),
        request.kind.as_str().into(),
        RunStatus::Queued.as_str().into(),
        run.not_before.into(),
        run.wait_reason.into(),
        request.requested_by.kind.as_str().into(),
        request.requested_by.id.as_str().into(),
        request.requested_by.display_name.as_str().into(),
        request.session_mode.as_str().into(),
        request.prompt_override.clone().into(),
        run.deliveries.into(),
        session.generation.into(),
        1_i32.into(),
        1_i32.into(),
        plan.now.0.into(),
    ]
}

/// FNV-1a over trigger and key: the same on every machine and in every version.
fn bucket(trigger: Uuid, key: &str) -> i16 {
    let hash = trigger
        .as_bytes()
        .iter()
        .chain(key.as_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    i16::try_from(hash % 1024).unwrap_or(0)
}
