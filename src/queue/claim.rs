//! T2: due runs become live, fair between triggers, within the caps.
//!
//! One statement decides, on rows that it locks; what follows from it is written by later statements of the same
//! transaction. Folded into one statement they would see its older snapshot and lose counts.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult, Value};
use uuid::Uuid;

use super::load::Taken;
use super::transaction::{Step, transaction};
use super::{Assignment, Queue, load, locked};
use crate::domain::{CostBasis, Result, SessionId, UnixMicros, WorkerId};
use crate::store::sql::statement;
use crate::store::together::{self, Keys, Part};

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
  LIMIT max(0, min(?, coalesce((SELECT cap - used FROM limits WHERE trigger_id = ?), 0))))";

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
WHERE s.id = ANY (ARRAY(SELECT id FROM pick))";

/// A decision gives what there is to know of the sessions that it took.
const TAKEN: &str = " RETURNING id, trigger_id, head, lease_id, kind, generation, agent_session_id, fingerprint, origin, forked_from, \
                     forked_run_id, turn_count, turns_since_compaction, last_run_id, last_use_time, manifest, agent_total_cost_nano, \
                     agent_version";

impl Queue {
    /// T2: claims up to `slots` due runs, fair between triggers, within the caps.
    pub async fn claim(&self, worker: WorkerId, slots: usize) -> Result<Vec<Assignment>> {
        if slots == 0 {
            return Ok(Vec::new());
        }
        let taken = transaction!(self, "claim", tx => within(tx, worker, slots).await)?;
        load::assignments(self, taken).await
    }
}

/// The statements of a claim of so many sessions as bare texts, for whoever measures what stands around them: the decision, and
/// what follows from it for limits (of one trigger less), runs, sessions and attempts.
#[doc(hidden)]
#[must_use]
pub fn statements(postgres: bool, rows: usize) -> [String; 5] {
    let nobody = || Claimed { trigger_id: Uuid::now_v7(), ..Claimed::default() };
    let claimed: Vec<Claimed> = (0..rows).map(|_| nobody()).collect();
    let now = UnixMicros::now();
    let decision = if postgres { CLAIM_POSTGRES } else { CLAIM_SQLITE }.to_owned()
        + " RETURNING id, trigger_id, head, lease_id, generation, turn_count";
    let follow =
        [count(&claimed[..(rows - 1).max(1)], now), start(&claimed, now), point(&claimed, now), attempts(&claimed, WorkerId::new(), now)];
    let backend = if postgres { DbBackend::Postgres } else { DbBackend::Sqlite };
    let [count, start, point, attempts] = follow.map(|part| part.text(backend, 0).0);
    [decision, count, start, point, attempts].map(|text| statement(backend, text, Vec::new()).sql)
}

/// A session that the claim took, as it is before the follow-ups: with its last run and its last use before this one.
#[derive(Debug, Default, FromQueryResult)]
pub(super) struct Claimed {
    pub(super) id: Uuid,
    pub(super) trigger_id: Uuid,
    pub(super) head: i64,
    pub(super) lease_id: Uuid,
    pub(super) kind: String,
    pub(super) generation: i32,
    pub(super) agent_session_id: Option<Uuid>,
    pub(super) fingerprint: Option<String>,
    pub(super) origin: String,
    pub(super) forked_from: Option<Uuid>,
    pub(super) forked_run_id: Option<Uuid>,
    pub(super) turn_count: i32,
    pub(super) turns_since_compaction: i32,
    pub(super) last_run_id: Option<Uuid>,
    pub(super) last_use_time: i64,
    pub(super) manifest: String,
    pub(super) agent_total_cost_nano: i64,
    pub(super) agent_version: String,
}

/// The claim within a transaction that may do other things too.
pub(super) async fn within(tx: &DatabaseTransaction, worker: WorkerId, slots: usize) -> Step<Vec<Taken>> {
    let now = UnixMicros::now();
    let claimed = decide(tx, worker, slots, now).await?;
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    let [rules, deliveries] = load::parts(&claimed);
    let start = load::giving(start(&claimed, now));
    let parts = vec![count(&claimed, now), start, point(&claimed, now), attempts(&claimed, worker, now), rules, deliveries];
    let mut found = together::run(tx, parts).await?;
    // What starts, the rules, the deliveries: the other parts give no rows.
    let found = [1, 4, 5].map(|part| std::mem::take(&mut found[part]));
    let (taken, lost) = load::taken(tx, found, claimed).await?;
    for one in &lost {
        release(tx, one).await?;
    }
    Ok(taken)
}

async fn decide(tx: &DatabaseTransaction, worker: WorkerId, slots: usize, now: UnixMicros) -> Step<Vec<Claimed>> {
    let slots: Value = i64::try_from(slots).unwrap_or(i64::MAX).into();
    let (now, worker, all): (Value, Value, Value) = (now.0.into(), worker.0.into(), Uuid::nil().into());
    let (text, values) = if tx.get_database_backend() == DbBackend::Postgres {
        (CLAIM_POSTGRES, vec![worker.clone(), all, now, slots.clone(), slots, worker.clone(), worker])
    } else {
        (CLAIM_SQLITE, vec![now, slots.clone(), worker.clone(), worker, slots, all])
    };
    let rows = tx.query_all_raw(statement(tx.get_database_backend(), text.to_owned() + TAKEN, values)).await?;
    Ok(rows.iter().map(|row| Claimed::from_query_result(row, "")).collect::<Result<_, _>>()?)
}

/// Counts the new live runs against their trigger's limit and the limit of all.
fn count(claimed: &[Claimed], now: UnixMicros) -> Part {
    let mut used: BTreeMap<Uuid, i32> = BTreeMap::new();
    for one in claimed {
        *used.entry(one.trigger_id).or_default() += 1;
        *used.entry(Uuid::nil()).or_default() += 1;
    }
    let keys = Keys::new("id, n", used.into_iter().flat_map(|(id, n)| -> [Value; 2] { [id.into(), n.into()] }).collect());
    let head = "UPDATE limits SET used = used + k.n, last_claimed_time = ? FROM k WHERE limits.trigger_id = k.id";
    Part { keys, head: head.into(), values: vec![now.0.into()], ..Part::default() }
}

/// The heads of the claimed sessions begin; a run whose end was asked for never does.
fn start(claimed: &[Claimed], now: UnixMicros) -> Part {
    let row = |one: &Claimed| -> [Value; 5] {
        [one.id.into(), one.head.into(), one.lease_id.into(), one.generation.into(), (one.turn_count + 1).into()]
    };
    let keys = Keys::new("session_id, seq, lease_id, generation, turn", claimed.iter().flat_map(row).collect());
    let head = "UPDATE runs SET status = 'starting', attempt = attempt + 1, lease_id = k.lease_id, start_time = coalesce(start_time, ?), \
           generation = k.generation, turn = k.turn, wait_reason = '' FROM k \
           WHERE runs.session_id = k.session_id AND runs.seq = k.seq AND runs.status = 'queued' AND NOT runs.cancel_requested";
    Part { keys, head: head.into(), values: vec![now.0.into()], ..Part::default() }
}

/// Each session names its live run.
fn point(claimed: &[Claimed], now: UnixMicros) -> Part {
    let head = "UPDATE sessions SET live_run_id = runs.id, last_run_id = runs.id, last_use_time = ? \
           FROM k JOIN runs ON runs.session_id = k.session_id AND runs.seq = k.seq AND runs.lease_id = k.lease_id \
           WHERE sessions.id = k.session_id";
    Part { keys: leases(claimed), head: head.into(), values: vec![now.0.into()], ..Part::default() }
}

/// Each run that started has an attempt more.
fn attempts(claimed: &[Claimed], worker: WorkerId, now: UnixMicros) -> Part {
    let values = vec![worker.0.into(), now.0.into(), CostBasis::Reported.as_str().into()];
    let head = "INSERT INTO attempts (run_id, number, lease_id, worker_id, trigger_version, start_time, cost_basis) \
           SELECT runs.id, runs.attempt, k.lease_id, ?, coalesce(triggers.version, 0), ?, ? \
           FROM k JOIN runs ON runs.session_id = k.session_id AND runs.seq = k.seq AND runs.lease_id = k.lease_id \
           LEFT JOIN triggers ON triggers.id = runs.trigger_id";
    Part { keys: leases(claimed), head: head.into(), values, ..Part::default() }
}

/// The claims as the keys of a statement: by session, place in it, and lease.
pub(super) fn leases(claimed: &[Claimed]) -> Keys {
    let row = |one: &Claimed| -> [Value; 3] { [one.id.into(), one.head.into(), one.lease_id.into()] };
    Keys::new("session_id, seq, lease_id", claimed.iter().flat_map(row).collect())
}

/// A session whose head is no run that waits goes on to the next that does.
async fn release(tx: &DatabaseTransaction, claimed: &Claimed) -> Step<()> {
    tracing::error!(session.id = %SessionId(claimed.id), head = claimed.head, "head of session does not wait, its cursor moves on");
    locked::give_back(tx, claimed.trigger_id).await?;
    if let Some(before) = locked::session(tx, claimed.id).await? {
        let mut session = before.clone();
        locked::advance(tx, &mut session).await?;
        session.queued_count = locked::count_queued(tx, session.id).await?;
        locked::save(tx, &before, session).await?;
    }
    Ok(())
}
