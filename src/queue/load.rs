//! Everything that the runner needs for an attempt: small rows within the claim, bodies after it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, FromQueryResult, IdenStatic, Iterable, QueryFilter, QueryOrder, QueryResult, Value,
};
use uuid::Uuid;

use super::claim::{Claimed, leases};
use super::transaction::Step;
use super::{Assignment, ClaimedRun, EarlierAttempt, Lease, Queue, WorkedDelivery};
use crate::domain::{
    DeliveryId, DeliveryPayload, Error, LeaseId, Memory, NanoUsd, Result, RunId, SessionId, Settings, Trigger, UnixMicros,
};
use crate::store::entity::{attempt, delivery, delivery_payload, setting, trigger};
use crate::store::payload::{manifest_from, word};
use crate::store::rows::{SETTINGS_ROW, delivery_of, origin_of, payload_of, settings_of, trigger_of};
use crate::store::together::{self, FIRST, Keys, Part};

/// Bytes of a body up to which it is read within the claim; with a larger one the claim would hold others up.
const SMALL_BODY: i64 = 64 * 1024;

/// A claimed run and the rows around it.
pub(super) struct Taken {
    assignment: Assignment,
    /// Its deliveries are still to be read.
    unread: bool,
}

/// What is read of a run that starts: the fields of [`Started`].
const STARTED: [&str; 15] = [
    "id",
    "session_id",
    "seq",
    "attempt",
    "kind",
    "turn",
    "trigger_slug",
    "thread_key",
    "lineage",
    "session_mode",
    "prompt_override",
    "prompt",
    "prompt_kind",
    "delivery_count",
    "cost_nano",
];

#[derive(Debug, FromQueryResult)]
struct Started {
    id: Uuid,
    session_id: Uuid,
    seq: i64,
    attempt: i32,
    kind: String,
    turn: i32,
    trigger_slug: String,
    thread_key: Option<String>,
    lineage: Option<String>,
    session_mode: String,
    prompt_override: Option<String>,
    prompt: Option<String>,
    prompt_kind: Option<String>,
    delivery_count: i32,
    cost_nano: i64,
}

/// The statement that starts runs gives them too.
pub(super) fn giving(start: Part) -> Part {
    Part { head: start.head + " RETURNING", tail: named("runs", "", STARTED).into(), ..start }
}

/// What a claim reads once its runs have started: small rows alone, in few statements, since on PostgreSQL each is a way there
/// and back while the limits are locked. Their triggers are read once each, however many of their runs start.
pub(super) fn parts(claimed: &[Claimed]) -> [Part; 2] {
    let triggers: BTreeSet<Uuid> = claimed.iter().map(|one| one.trigger_id).collect();
    let keys = Keys::new("i", triggers.into_iter().map(Value::from).collect());
    let settings = named("o", SETTING, setting::Column::iter().map(|column| column.as_str()));
    let rules = format!("t.*, {settings} FROM k JOIN triggers t ON t.id = k.i LEFT JOIN settings o ON o.name = ?");
    let rules = Part { keys, head: "SELECT".into(), tail: rules.into(), values: vec![SETTINGS_ROW.into()] };
    let started = "FROM k JOIN runs r ON r.session_id = k.session_id AND r.seq = k.seq AND r.lease_id = k.lease_id";
    let small = format!("{WORKED} {started} {DELIVERIES} WHERE d.body_bytes <= {SMALL_BODY}");
    let small = Part { keys: leases(claimed), head: "SELECT".into(), tail: small.into(), ..Part::default() };
    [rules, small]
}

/// What stands before the names of the settings' columns, which are read beside a trigger's.
const SETTING: &str = "o_";

/// These columns of a table, each with `before` in front of its name.
fn named(table: &str, before: &str, columns: impl IntoIterator<Item = &'static str>) -> String {
    columns.into_iter().map(|name| format!("{table}.{name} AS {before}{name}")).collect::<Vec<_>>().join(", ")
}

/// What is read of a delivery: which run's it is, its place among them, and its rows.
const WORKED: &str = "r.id AS of_run, l.ordinal AS place, d.*, p.*";
const DELIVERIES: &str = "JOIN run_deliveries l ON l.run_id = r.id JOIN deliveries d ON d.id = l.delivery_id \
                          LEFT JOIN delivery_payloads p ON p.delivery_id = l.delivery_id";

/// What those rows say of each run that started; and the sessions whose run did not.
pub(super) async fn taken(
    tx: &DatabaseTransaction,
    [runs, rules_of, deliveries]: [Vec<QueryResult>; 3],
    claimed: Vec<Claimed>,
) -> Step<(Vec<Taken>, Vec<Claimed>)> {
    let runs: Vec<Started> = runs.iter().map(|row| Started::from_query_result(row, "")).collect::<Result<_, _>>()?;
    let Rules { triggers, settings } = rules(rules_of)?;
    let mut small = worked(deliveries)?;
    let mut earlier = earlier(tx, &runs).await?;
    let mut sessions: HashMap<Uuid, Claimed> = claimed.into_iter().map(|one| (one.id, one)).collect();
    let mut all = Vec::with_capacity(runs.len());
    for row in runs {
        let gone = || Error::internal(format!("run {} lost its rows while it was claimed", RunId(row.id)));
        let claim = sessions.remove(&row.session_id).ok_or_else(gone)?;
        let trigger = triggers.get(&claim.trigger_id).cloned().ok_or_else(gone)?;
        let earlier = earlier.remove(&row.id).unwrap_or_default();
        let deliveries = small.remove(&row.id).unwrap_or_default();
        let unread = i32::try_from(deliveries.len()) != Ok(row.delivery_count);
        let mut assignment = assignment(claim, row, trigger, Arc::clone(&settings), earlier)?;
        if !unread {
            assignment.give(deliveries);
        }
        all.push(Taken { assignment, unread });
    }
    Ok((all, sessions.into_values().collect()))
}

/// What runs go by, shared by all that start together.
struct Rules {
    triggers: HashMap<Uuid, Arc<Trigger>>,
    settings: Arc<Settings>,
}

fn rules(rows: Vec<QueryResult>) -> Step<Rules> {
    let settings = rows.first().map(|row| setting::Model::from_query_result_optional(row, SETTING)).transpose()?.flatten();
    let settings = settings.as_ref().map_or_else(|| Ok(Settings::default()), settings_of)?;
    let mut triggers = HashMap::with_capacity(rows.len());
    for row in &rows {
        let row = trigger::Model::from_query_result(row, "")?;
        // A worker needs no secret.
        triggers.insert(row.id, Arc::new(trigger_of(row, &[])?));
    }
    Ok(Rules { triggers, settings: Arc::new(settings) })
}

/// The attempts before the one that began now, of the runs that have any.
async fn earlier(tx: &DatabaseTransaction, runs: &[Started]) -> Step<HashMap<Uuid, Vec<EarlierAttempt>>> {
    let again: Vec<Uuid> = runs.iter().filter(|run| run.attempt > 1).map(|run| run.id).collect();
    let mut earlier: HashMap<Uuid, Vec<EarlierAttempt>> = HashMap::new();
    if again.is_empty() {
        return Ok(earlier);
    }
    let ended = attempt::Entity::find()
        .filter(attempt::Column::RunId.is_in(again))
        .filter(attempt::Column::EndTime.is_not_null())
        .order_by_asc(attempt::Column::RunId)
        .order_by_asc(attempt::Column::Number);
    for row in ended.all(tx).await? {
        let agent_session_id = Uuid::try_parse(&row.agent_session_id).ok();
        earlier.entry(row.run_id).or_default().push(EarlierAttempt { number: row.number, agent_session_id, exit: row.exit });
    }
    Ok(earlier)
}

fn assignment(
    claim: Claimed,
    row: Started,
    trigger: Arc<Trigger>,
    settings: Arc<Settings>,
    earlier: Vec<EarlierAttempt>,
) -> Result<Assignment> {
    let (id, session_id) = (RunId(row.id), SessionId(claim.id));
    let prompt_kind = row.prompt_kind.as_deref().map(word).transpose()?;
    Ok(Assignment {
        lease: Lease { id: LeaseId(claim.lease_id), session_id, run_id: id, attempt: row.attempt },
        run: ClaimedRun {
            id,
            kind: word(&row.kind)?,
            seq: row.seq,
            turn: row.turn,
            trigger_slug: row.trigger_slug,
            thread_key: row.thread_key,
            lineage: row.lineage.as_deref().map(word).transpose()?,
            spent: NanoUsd(row.cost_nano),
            delivery_ids: Vec::new(),
        },
        session: Memory {
            id: session_id,
            kind: word(&claim.kind)?,
            generation: claim.generation,
            agent_session_id: claim.agent_session_id,
            fingerprint: claim.fingerprint,
            origin: origin_of(&claim.origin, claim.forked_from.is_some())?,
            turn_count: claim.turn_count,
            turns_since_compaction: claim.turns_since_compaction,
            last_run_id: claim.last_run_id.map(RunId),
            forked_run_id: claim.forked_run_id.map(RunId),
            last_use_time: UnixMicros(claim.last_use_time),
        },
        trigger,
        settings,
        deliveries: Vec::new(),
        session_mode: word(&row.session_mode)?,
        prompt_override: row.prompt_override,
        stored_prompt: prompt_kind.zip(row.prompt),
        earlier,
        manifest: manifest_from(&claim.manifest)?,
        agent_total_cost: NanoUsd(claim.agent_total_cost_nano),
        last_agent_version: claim.agent_version,
    })
}

/// Adds deliveries that are still to be read. When they cannot be the claims are given back, so that no run is held by
/// nobody.
pub(super) async fn assignments(queue: &Queue, taken: Vec<Taken>) -> Result<Vec<Assignment>> {
    let unread: Vec<RunId> = taken.iter().filter(|one| one.unread).map(|one| one.assignment.run.id).collect();
    let mut all: Vec<Assignment> = taken.into_iter().map(|one| one.assignment).collect();
    if unread.is_empty() {
        return Ok(all);
    }
    let found = match deliveries(queue, &unread).await {
        Ok(found) => Ok(found),
        Err(_) => deliveries(queue, &unread).await,
    };
    match found {
        Ok(mut found) => {
            for one in all.iter_mut().filter(|one| unread.contains(&one.run.id)) {
                one.give(found.remove(&one.run.id.0).unwrap_or_default());
            }
            Ok(all)
        }
        Err(error) => {
            for one in &all {
                if let Err(again) = queue.interrupt(&one.lease).await {
                    tracing::error!(run.id = %one.run.id, error = %again, "claimed run cannot be given back");
                }
            }
            Err(error)
        }
    }
}

impl Assignment {
    fn give(&mut self, deliveries: Vec<WorkedDelivery>) {
        self.run.delivery_ids = deliveries.iter().map(|worked| worked.delivery.id).collect();
        self.deliveries = deliveries;
    }
}

/// The deliveries of these runs with their bodies, whatever their size.
async fn deliveries(queue: &Queue, runs: &[RunId]) -> Result<HashMap<Uuid, Vec<WorkedDelivery>>> {
    let keys = Keys::new("id", runs.iter().map(|run| run.0.into()).collect());
    let tail = format!("{WORKED} FROM k r {DELIVERIES}").into();
    let rows = together::run(queue.store().read(), vec![Part { keys, head: "SELECT".into(), tail, ..Part::default() }]).await?;
    worked(rows.into_iter().flatten().collect())
}

/// Deliveries with their payloads, by run, in their order. One whose payload retention took is no longer part of the prompt.
fn worked(rows: Vec<QueryResult>) -> Result<HashMap<Uuid, Vec<WorkedDelivery>>> {
    let mut found: HashMap<Uuid, Vec<(i32, WorkedDelivery)>> = HashMap::new();
    for row in &rows {
        let delivery = delivery::Model::from_query_result(row, "")?;
        let stored = delivery_payload::Model::from_query_result_optional(row, "")?;
        let payload = stored.map(|stored| payload_of(&stored)).transpose().unwrap_or_else(|error| {
            // A body that cannot be read must not hold the queue up: its run goes on without it.
            tracing::error!(delivery.id = %DeliveryId(delivery.id), %error, "stored body of delivery cannot be read");
            None
        });
        let payload = payload.unwrap_or(DeliveryPayload { headers: Vec::new(), body: Vec::new(), walk: Vec::new() });
        let worked = WorkedDelivery { delivery: delivery_of(delivery)?, payload };
        found.entry(row.try_get_by_index(FIRST)?).or_default().push((row.try_get_by_index(FIRST + 1)?, worked));
    }
    // Sorted here, where bodies need not be moved for it.
    let in_order = |mut some: Vec<(i32, WorkedDelivery)>| {
        some.sort_by_key(|(place, _)| *place);
        some.into_iter().map(|(_, worked)| worked).collect()
    };
    Ok(found.into_iter().map(|(run, some)| (run, in_order(some))).collect())
}
