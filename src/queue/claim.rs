//! T2: due runs become live, fair between triggers, within the caps.
//!
//! One statement decides, on rows that it locks; what follows from it is written by later statements of the same
//! transaction. Folded into one statement they would see its older snapshot and lose counts.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Value};
use uuid::Uuid;

use super::load::Taken;
use super::transaction::{Step, transaction};
use super::{Assignment, Queue, load, locked};
use crate::domain::{Result, UnixMicros, WorkerId};
use crate::store::sql::{placeholders, statement};

/// The first due session of each place in line. Triggers take turns: the candidates are ordered by their rank within
/// their trigger, then by how long their trigger was not served.
pub(super) const CLAIM_SQLITE: &str = "
WITH RECURSIVE trig (trigger_id) AS (
  SELECT min(trigger_id) FROM sessions WHERE state = 'ready'
  UNION ALL
  SELECT (SELECT min(t.trigger_id) FROM sessions t WHERE t.state = 'ready' AND t.trigger_id > trig.trigger_id)
  FROM trig WHERE trig.trigger_id IS NOT NULL
), tr AS MATERIALIZED (
  SELECT l.trigger_id, l.cap - l.used AS room, l.last_claimed_time
  FROM trig CROSS JOIN limits l ON l.trigger_id = trig.trigger_id WHERE l.open AND l.used < l.cap
), cand AS MATERIALIZED (
  SELECT s.id, s.ready_time, tr.room, tr.last_claimed_time,
         row_number() OVER (PARTITION BY tr.trigger_id ORDER BY s.ready_time, s.id) AS place
  FROM tr CROSS JOIN sessions s ON s.id IN (
    SELECT x.id FROM sessions x WHERE x.state = 'ready' AND x.trigger_id = tr.trigger_id AND x.ready_time <= ?
    ORDER BY x.ready_time, x.id LIMIT ?)
)
UPDATE sessions SET state = 'running', epoch = epoch + 1, lease_id = randomblob(16), worker_id = ?, last_worker_id = ?,
  queued_count = queued_count - 1
WHERE id IN (
  SELECT id FROM cand WHERE place <= room ORDER BY place, last_claimed_time, ready_time, id
  LIMIT max(0, min(?, coalesce((SELECT cap - used FROM limits WHERE trigger_id = ?), 0))))
RETURNING id, trigger_id, head, lease_id, generation, turn_count, last_use_time, last_run_id";

/// The same on PostgreSQL, where it also asks whether the worker may still claim: its row is locked first, so that nobody
/// takes over from it in between. What decides is asked of locked rows, whose newest version counts.
pub(super) const CLAIM_POSTGRES: &str = "
WITH RECURSIVE trig (trigger_id) AS (
  (SELECT trigger_id FROM sessions WHERE state = 'ready' ORDER BY trigger_id LIMIT 1)
  UNION ALL
  SELECT (SELECT t.trigger_id FROM sessions t WHERE t.state = 'ready' AND t.trigger_id > trig.trigger_id ORDER BY t.trigger_id LIMIT 1)
  FROM trig WHERE trig.trigger_id IS NOT NULL
), me AS MATERIALIZED (
  SELECT 1 FROM workers WHERE id = ? AND state = 'live'
    AND lease_until > (extract(epoch from clock_timestamp()) * 1000000)::bigint FOR KEY SHARE
), g AS MATERIALIZED (
  SELECT cap - used AS room FROM limits WHERE trigger_id = ? AND used < cap AND EXISTS (SELECT 1 FROM me) FOR UPDATE
), tr AS MATERIALIZED (
  SELECT l.trigger_id, l.cap - l.used AS room, l.last_claimed_time FROM limits l
  WHERE l.trigger_id IN (SELECT trigger_id FROM trig) AND l.open AND l.used < l.cap AND EXISTS (SELECT 1 FROM g)
  FOR UPDATE OF l SKIP LOCKED
), cand AS MATERIALIZED (
  SELECT c.id, c.ready_time, tr.trigger_id, tr.last_claimed_time FROM tr CROSS JOIN LATERAL (
    SELECT s.id, s.ready_time FROM sessions s
    WHERE s.state = 'ready' AND s.trigger_id = tr.trigger_id AND s.ready_time <= ?
    ORDER BY s.ready_time, s.id LIMIT least(tr.room, ?) FOR UPDATE SKIP LOCKED) c
), ranked AS MATERIALIZED (
  SELECT id, ready_time, last_claimed_time, row_number() OVER (PARTITION BY trigger_id ORDER BY ready_time, id) AS place FROM cand
), pick AS MATERIALIZED (
  SELECT id FROM ranked ORDER BY place, last_claimed_time, ready_time, id
  LIMIT (SELECT coalesce(max(least(room, ?)), 0) FROM g)
)
UPDATE sessions s SET state = 'running', epoch = s.epoch + 1, lease_id = gen_random_uuid(), worker_id = ?, last_worker_id = ?,
  queued_count = s.queued_count - 1
WHERE s.id = ANY (ARRAY(SELECT id FROM pick))
RETURNING s.id, s.trigger_id, s.head, s.lease_id, s.generation, s.turn_count, s.last_use_time, s.last_run_id";

impl Queue {
    /// T2: claims up to `slots` due runs, fair between triggers, within the caps.
    pub async fn claim(&self, worker: WorkerId, slots: usize) -> Result<Vec<Assignment>> {
        if slots == 0 {
            return Ok(Vec::new());
        }
        let taken = transaction!(self, "claim", tx => claim(tx, worker, slots).await)?;
        load::assignments(self, taken).await
    }
}

/// A session that the claim took.
struct Claimed {
    session: Uuid,
    trigger: Uuid,
    head: i64,
    lease: Uuid,
    generation: i32,
    turns: i32,
    last_use_time: i64,
    last_run: Option<Uuid>,
}

async fn claim(tx: &DatabaseTransaction, worker: WorkerId, slots: usize) -> Step<Vec<Taken>> {
    let now = UnixMicros::now();
    let claimed = decide(tx, worker, slots, now).await?;
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    count(tx, &claimed, now).await?;
    let started = start(tx, &claimed, now).await?;
    point(tx, &started, now).await?;
    for lost in claimed.iter().filter(|one| !started.iter().any(|run| run.session_id == one.session)) {
        release(tx, lost).await?;
    }
    if started.is_empty() {
        return Ok(Vec::new());
    }
    load::taken(tx, started, worker).await
}

async fn decide(tx: &DatabaseTransaction, worker: WorkerId, slots: usize, now: UnixMicros) -> Step<Vec<Claimed>> {
    let slots: Value = i64::try_from(slots).unwrap_or(i64::MAX).into();
    let (now, worker, all): (Value, Value, Value) = (now.0.into(), worker.0.into(), Uuid::nil().into());
    let (text, values) = if tx.get_database_backend() == DbBackend::Postgres {
        (CLAIM_POSTGRES, vec![worker.clone(), all, now, slots.clone(), slots, worker.clone(), worker])
    } else {
        (CLAIM_SQLITE, vec![now, slots.clone(), worker.clone(), worker, slots, all])
    };
    let rows = tx.query_all_raw(statement(tx.get_database_backend(), text, values)).await?;
    let read = |row: &sea_orm::QueryResult| -> Step<Claimed> {
        Ok(Claimed {
            session: row.try_get_by_index(0)?,
            trigger: row.try_get_by_index(1)?,
            head: row.try_get_by_index(2)?,
            lease: row.try_get_by_index(3)?,
            generation: row.try_get_by_index(4)?,
            turns: row.try_get_by_index(5)?,
            last_use_time: row.try_get_by_index(6)?,
            last_run: row.try_get_by_index(7)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Counts the new live runs against their trigger's limit and the limit of all.
async fn count(tx: &DatabaseTransaction, claimed: &[Claimed], now: UnixMicros) -> Step<()> {
    let mut used: BTreeMap<Uuid, i32> = BTreeMap::new();
    for one in claimed {
        *used.entry(one.trigger).or_default() += 1;
        *used.entry(Uuid::nil()).or_default() += 1;
    }
    let text = format!(
        "WITH v (id, n) AS (VALUES {}) UPDATE limits SET used = used + v.n, last_claimed_time = ? FROM v WHERE limits.trigger_id = v.id",
        placeholders(used.len(), 2)
    );
    let values = used.into_iter().flat_map(|(id, n)| -> [Value; 2] { [id.into(), n.into()] }).chain([now.0.into()]).collect();
    tx.execute_raw(statement(tx.get_database_backend(), text, values)).await?;
    Ok(())
}

/// A run that the claim started.
pub(super) struct Started {
    pub(super) id: Uuid,
    pub(super) session_id: Uuid,
    pub(super) trigger_id: Uuid,
    pub(super) lease_id: Uuid,
    pub(super) attempt: i32,
    /// When its session was last used before, and by which run.
    pub(super) last_use_time: i64,
    pub(super) last_run: Option<Uuid>,
}

/// The heads of the claimed sessions begin; a run whose end was asked for never does.
async fn start(tx: &DatabaseTransaction, claimed: &[Claimed], now: UnixMicros) -> Step<Vec<Started>> {
    let text = format!(
        "WITH v (session_id, seq, lease_id, generation, turn) AS (VALUES {}) \
         UPDATE runs SET status = 'starting', attempt = attempt + 1, lease_id = v.lease_id, start_time = coalesce(start_time, ?), \
         generation = v.generation, turn = v.turn, wait_reason = '' FROM v \
         WHERE runs.session_id = v.session_id AND runs.seq = v.seq AND runs.status = 'queued' AND NOT runs.cancel_requested \
         RETURNING runs.id, runs.session_id, runs.trigger_id, runs.lease_id, runs.attempt",
        placeholders(claimed.len(), 5)
    );
    let row = |one: &Claimed| -> [Value; 5] {
        [one.session.into(), one.head.into(), one.lease.into(), one.generation.into(), (one.turns + 1).into()]
    };
    let values = claimed.iter().flat_map(row).chain([now.0.into()]).collect();
    let rows = tx.query_all_raw(statement(tx.get_database_backend(), text, values)).await?;
    let read = |row: &sea_orm::QueryResult| -> Step<Started> {
        let session_id: Uuid = row.try_get_by_index(1)?;
        let before = claimed.iter().find(|one| one.session == session_id);
        Ok(Started {
            id: row.try_get_by_index(0)?,
            session_id,
            last_use_time: before.map_or(0, |one| one.last_use_time),
            last_run: before.and_then(|one| one.last_run),
            trigger_id: row.try_get_by_index(2)?,
            lease_id: row.try_get_by_index(3)?,
            attempt: row.try_get_by_index(4)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Each session names its live run.
async fn point(tx: &DatabaseTransaction, started: &[Started], now: UnixMicros) -> Step<()> {
    if started.is_empty() {
        return Ok(());
    }
    let text = format!(
        "WITH v (id, run) AS (VALUES {}) UPDATE sessions SET live_run_id = v.run, last_run_id = v.run, last_use_time = ? FROM v WHERE sessions.id = v.id",
        placeholders(started.len(), 2)
    );
    let values = started.iter().flat_map(|run| -> [Value; 2] { [run.session_id.into(), run.id.into()] }).chain([now.0.into()]).collect();
    tx.execute_raw(statement(tx.get_database_backend(), text, values)).await?;
    Ok(())
}

/// A session whose head is no run that waits goes on to the next that does.
async fn release(tx: &DatabaseTransaction, claimed: &Claimed) -> Step<()> {
    tracing::error!(session.id = %crate::domain::SessionId(claimed.session), head = claimed.head, "head of session does not wait, its cursor moves on");
    locked::give_back(tx, claimed.trigger).await?;
    if let Some(before) = locked::session(tx, claimed.session).await? {
        let mut session = before.clone();
        locked::advance(tx, &mut session).await?;
        session.queued_count = locked::count_queued(tx, session.id).await?;
        locked::save(tx, &before, session).await?;
    }
    Ok(())
}
