//! What a batch decided, written in a few set statements.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};
use uuid::Uuid;

use super::Prepared;
use super::plan::{DeliveryPlan, Plan, RunPlan, SessionPlan};
use crate::domain::{DeliveryOutcome, RunStatus, SessionOrigin, UnixMicros};
use crate::queue::{Disposition, NewDelivery};
use crate::store::sql::{placeholders, statement};
use crate::store::together::{self, Write};

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
const LINK: &[&str] = &["run_id", "ordinal", "delivery_id"];

const SESSION_CHANGE: &[&str] = &["id", "title", "url", "state", "ready_time", "head", "tail", "queued_count", "run_count"];
const MERGE: &[&str] = &["id", "delivery_count", "not_before", "wait_reason"];

/// Writes the plan.
pub(super) async fn all(tx: &DatabaseTransaction, plan: &Plan, batch: &[Prepared]) -> Result<(), DbErr> {
    free_keys(tx, plan).await?;
    let insert = |table, columns, values| Write::Insert { table, columns, values };
    // One order for all: two servers that store the same keys wait for each other, and never in a circle.
    let mut deliveries: Vec<&DeliveryPlan> = plan.deliveries.iter().collect();
    deliveries.sort_by_key(|row| (batch[row.index].delivery.trigger_id, row.key));
    let rows = deliveries.iter().flat_map(|row| delivery(row, &batch[row.index].delivery));
    let kept = deliveries.iter().filter(|row| row.outcome != DeliveryOutcome::Duplicate).map(|row| &batch[row.index]);
    let kept = kept.filter(|one| one.delivery.body_zstd.is_some() || !one.headers.is_empty());
    let walk = |one: &Prepared| (!one.walk.is_empty()).then(|| one.walk.clone());
    let payloads = kept.flat_map(|one| -> [Value; 4] {
        [one.delivery.id.0.into(), one.headers.clone().into(), one.delivery.body_zstd.clone().into(), walk(one).into()]
    });
    let mut new: Vec<&SessionPlan> = plan.sessions.iter().filter(|session| session.new).collect();
    new.sort_by_key(|session| (session.trigger_id, &session.thread_key));
    let links = plan.links.iter().flat_map(|(run, ordinal, delivery)| [(*run).into(), (*ordinal).into(), (*delivery).into()]);
    let writes = vec![
        insert("deliveries", DELIVERY, rows.collect()),
        insert("delivery_payloads", PAYLOAD, payloads.collect()),
        insert("sessions", SESSION, new.into_iter().flat_map(|one| session(one, plan.now)).collect()),
        session_changes(plan),
        insert("runs", RUN, plan.runs.iter().flat_map(|one| run(one, plan, batch)).collect()),
        merges(plan),
        insert("run_deliveries", LINK, links.collect()),
        duplicates(plan),
    ];
    together::write(tx, writes).await
}

async fn free_keys(tx: &DatabaseTransaction, plan: &Plan) -> Result<(), DbErr> {
    if plan.freed.is_empty() {
        return Ok(());
    }
    let text = format!("UPDATE deliveries SET dedupe_key = NULL WHERE id IN {}", placeholders(1, plan.freed.len()));
    tx.execute_raw(statement(tx.get_database_backend(), text, plan.freed.iter().map(|id| (*id).into()).collect())).await?;
    Ok(())
}

fn session_changes(plan: &Plan) -> Write {
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
    Write::Update { table: "sessions", columns: SESSION_CHANGE, set, values: values.collect() }
}

fn merges(plan: &Plan) -> Write {
    let values = plan.merged.iter().flat_map(|(id, merge)| -> [Value; 4] {
        [(*id).into(), merge.deliveries.into(), merge.not_before.into(), merge.wait_reason.into()]
    });
    let set = "delivery_count = v.delivery_count, not_before = v.not_before, wait_reason = v.wait_reason";
    Write::Update { table: "runs", columns: MERGE, set, values: values.collect() }
}

fn duplicates(plan: &Plan) -> Write {
    let values = plan.counted.iter().flat_map(|(id, more)| -> [Value; 2] { [(*id).into(), (*more).into()] }).collect();
    Write::Update { table: "deliveries", columns: &["id", "more"], set: "duplicate_count = duplicate_count + v.more", values }
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
