//! What a batch must know before it decides: a few set queries.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, Value};
use uuid::Uuid;

use super::Prepared;
use super::decide::same_key;
use super::plan::{Holder, Plan, SameKey, SessionPlan, TailRun};
use crate::domain::{
    BusyPolicy, DeliveryOutcome, DeliveryReason, RunKind, RunStatus, SessionKind, SessionMode, SessionState, UnixMicros, WaitReason,
};
use crate::queue::figures::Figures;
use crate::queue::transaction::Step;
use crate::queue::{Disposition, RunRequest, RunThread};
use crate::store::payload::word;
use crate::store::together::{self, FIRST, Keys, Part};

const DAY: u64 = 24 * 60 * 60;
/// What is read of a session.
const SESSION: &str = "s.id, s.trigger_id, s.trigger_slug, s.thread_key, s.title, s.url, s.state, s.ready_time, s.head, s.tail, \
                       s.queued_count, s.run_count, s.generation, s.agent_session_id, s.last_use_time";

/// The plan of a batch before its first decision.
pub(super) async fn plan(tx: &DatabaseTransaction, batch: &[Prepared], figures: &Figures, now: UnixMicros) -> Step<Plan> {
    let mut plan = Plan {
        now,
        limits: figures.settings.limits.clone(),
        queued: figures.queued(),
        triggers: Default::default(),
        holders: HashMap::new(),
        threads: HashMap::new(),
        named: HashMap::new(),
        sessions: Vec::new(),
        deliveries: Vec::with_capacity(batch.len()),
        runs: Vec::with_capacity(batch.len()),
        links: Vec::with_capacity(batch.len()),
        merged: BTreeMap::new(),
        freed: Vec::new(),
        counted: BTreeMap::new(),
    };
    let backend = tx.get_database_backend();
    let asked = vec![triggers(batch, backend), sessions(batch, backend), named_sessions(batch, backend), holders(batch)];
    let mut found = together::run(tx, asked).await?.into_iter();
    let mut next = || found.next().unwrap_or_default();
    for row in next() {
        plan.triggers.insert(row.try_get_by_index(FIRST)?);
    }
    note_sessions(next(), figures, &mut plan)?;
    note_named(next(), figures, &mut plan)?;
    note_holders(next(), &mut plan)?;
    latest_runs(tx, batch, &mut plan).await?;
    Ok(plan)
}

fn read(keys: Keys, tail: impl Into<Cow<'static, str>>) -> Part {
    Part { keys, head: "SELECT".into(), tail: tail.into(), values: Vec::new() }
}

/// Which triggers exist; none of them can be deleted before this transaction ends.
fn triggers(batch: &[Prepared], backend: DbBackend) -> Part {
    let ids: BTreeSet<Uuid> = batch.iter().filter_map(|one| one.delivery.trigger_id).map(|id| id.0).collect();
    if ids.is_empty() {
        return Part::default();
    }
    let lock = if backend == DbBackend::Postgres { " ORDER BY t.id FOR KEY SHARE OF t" } else { "" };
    let keys = Keys::new("i", ids.into_iter().map(Value::from).collect());
    read(keys, format!("t.id FROM k JOIN triggers t ON t.id = k.i{lock}"))
}

fn request(one: &Prepared) -> Option<&RunRequest> {
    match &one.delivery.disposition {
        Disposition::Run(request) => Some(request),
        Disposition::Stop { .. } => None,
    }
}

/// The thread that a delivery of this batch goes to.
fn thread(one: &Prepared) -> Option<(Uuid, &String, &RunRequest)> {
    let request = request(one)?;
    match &request.thread {
        RunThread::Key(key) => Some((one.delivery.trigger_id?.0, key, request)),
        RunThread::Session(_) | RunThread::Once => None,
    }
}

/// The sessions of the batch's threads, locked in one order for all.
fn sessions(batch: &[Prepared], backend: DbBackend) -> Part {
    let wanted: BTreeSet<(Uuid, &String)> = batch.iter().filter_map(thread).map(|(trigger, key, _)| (trigger, key)).collect();
    if wanted.is_empty() {
        return Part::default();
    }
    let lock = if backend == DbBackend::Postgres { " ORDER BY s.trigger_id, s.thread_key FOR UPDATE OF s" } else { "" };
    let keys = Keys::new("t, d", wanted.into_iter().flat_map(|(trigger, key)| [trigger.into(), key.as_str().into()]).collect());
    let tail = format!("{SESSION} FROM k JOIN sessions s ON s.trigger_id = k.t AND s.thread_key = k.d{lock}");
    read(keys, tail)
}

fn note_sessions(rows: Vec<QueryResult>, figures: &Figures, plan: &mut Plan) -> Step<()> {
    let oldest_use = oldest_use(plan, figures);
    for row in rows {
        let session = session(&row, oldest_use)?;
        if let Some(key) = &session.thread_key {
            plan.threads.insert((session.trigger_id, key.clone()), plan.sessions.len());
        }
        plan.sessions.push(session);
    }
    Ok(())
}

/// The sessions that deliveries of this batch name, as far as they are their trigger's; locked after those of threads.
fn named_sessions(batch: &[Prepared], backend: DbBackend) -> Part {
    let wanted: BTreeSet<(Uuid, Uuid)> = batch.iter().filter_map(|one| Some((one.delivery.trigger_id?.0, named(one)?))).collect();
    if wanted.is_empty() {
        return Part::default();
    }
    let lock = if backend == DbBackend::Postgres { " ORDER BY s.id FOR UPDATE OF s" } else { "" };
    let keys = Keys::new("t, d", wanted.into_iter().flat_map(|(trigger, id)| -> [Value; 2] { [trigger.into(), id.into()] }).collect());
    let tail = format!("{SESSION} FROM k JOIN sessions s ON s.trigger_id = k.t AND s.id = k.d WHERE s.kind = 'thread'{lock}");
    read(keys, tail)
}

fn note_named(rows: Vec<QueryResult>, figures: &Figures, plan: &mut Plan) -> Step<()> {
    let oldest_use = oldest_use(plan, figures);
    for row in rows {
        let session = session(&row, oldest_use)?;
        let known = plan.sessions.iter().position(|known| known.id == session.id);
        plan.named.insert(session.id, known.unwrap_or(plan.sessions.len()));
        if known.is_none() {
            plan.sessions.push(session);
        }
    }
    Ok(())
}

fn named(one: &Prepared) -> Option<Uuid> {
    match &request(one)?.thread {
        RunThread::Session(id) => Some(id.0),
        _ => None,
    }
}

fn oldest_use(plan: &Plan, figures: &Figures) -> UnixMicros {
    let days = u64::try_from(figures.settings.sessions.auto_cleanup_days).unwrap_or(0);
    plan.now.minus(std::time::Duration::from_secs(days * DAY))
}

fn session(row: &QueryResult, oldest_use: UnixMicros) -> Step<SessionPlan> {
    let conversation: Option<Uuid> = row.try_get_by_index(FIRST + 13)?;
    Ok(SessionPlan {
        id: row.try_get_by_index(FIRST)?,
        trigger_id: row.try_get_by_index(FIRST + 1)?,
        slug: row.try_get_by_index(FIRST + 2)?,
        kind: SessionKind::Thread,
        thread_key: row.try_get_by_index(FIRST + 3)?,
        title: row.try_get_by_index(FIRST + 4)?,
        url: row.try_get_by_index(FIRST + 5)?,
        state: word::<SessionState>(&row.try_get_by_index::<String>(FIRST + 6)?)?,
        ready_time: row.try_get_by_index(FIRST + 7)?,
        head: row.try_get_by_index(FIRST + 8)?,
        tail: row.try_get_by_index(FIRST + 9)?,
        queued: row.try_get_by_index(FIRST + 10)?,
        run_count: row.try_get_by_index(FIRST + 11)?,
        generation: row.try_get_by_index(FIRST + 12)?,
        // An expired conversation is not continued, also when the clean-up has not come by yet.
        has_conversation: conversation.is_some() && row.try_get_by_index::<i64>(FIRST + 14)? >= oldest_use.0,
        new: false,
        changed: false,
        open_tail: None,
        starts: Vec::new(),
    })
}

/// The latest runs of those sessions where a merge or the loop breaker needs them.
async fn latest_runs(tx: &DatabaseTransaction, batch: &[Prepared], plan: &mut Plan) -> Step<()> {
    let mut coming: HashMap<usize, (i32, i32, bool)> = HashMap::new();
    for one in batch {
        let Some(request) = request(one) else { continue };
        if let Some(place) = plan.place(&one.delivery, request) {
            let (count, limit, merges) = coming.entry(place).or_default();
            *count += 1;
            *limit = (*limit).max(request.runs_per_session_per_hour);
            *merges |= matches!(request.busy, BusyPolicy::Coalesce { .. });
        }
    }
    let mut places = HashMap::new();
    let mut values: Vec<Value> = Vec::new();
    for (place, (count, limit, merges)) in coming {
        let session = &plan.sessions[place];
        let breaker = limit > 0 && session.run_count + count > limit;
        let merge = merges && session.queued > 0;
        if breaker || merge {
            // Runs that were cancelled before they began take a place in the order, but not in the hour.
            let back = if breaker { i64::from(limit) * 2 } else { 1 };
            places.insert(session.id, place);
            values.extend([session.id.into(), (session.tail - back).into()]);
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let keys = Keys::new("s, o", values);
    let tail = "r.session_id, r.seq, r.id, r.status, r.kind, CASE WHEN r.prompt_override IS NULL THEN 1 ELSE 0 END, r.session_mode, \
                  r.delivery_count, r.not_before, r.wait_reason, r.create_time, r.start_time \
                  FROM k JOIN runs r ON r.session_id = k.s AND r.seq > k.o ORDER BY r.session_id, r.seq";
    let found = together::run(tx, vec![read(keys, tail)]).await?;
    for row in found.into_iter().flatten() {
        let place = places[&row.try_get_by_index::<Uuid>(FIRST)?];
        note_run(&row, plan.now, &mut plan.sessions[place])?;
    }
    Ok(())
}

fn note_run(row: &QueryResult, now: UnixMicros, session: &mut SessionPlan) -> Step<()> {
    let seq: i64 = row.try_get_by_index(FIRST + 1)?;
    let status: RunStatus = word(&row.try_get_by_index::<String>(FIRST + 3)?)?;
    let kind: RunKind = word(&row.try_get_by_index::<String>(FIRST + 4)?)?;
    let made: bool = row.try_get_by_index::<i32>(FIRST + 5)? == 1;
    let mode: SessionMode = word(&row.try_get_by_index::<String>(FIRST + 6)?)?;
    let not_before: i64 = row.try_get_by_index(FIRST + 8)?;
    let create_time: i64 = row.try_get_by_index(FIRST + 10)?;
    let start_time: Option<i64> = row.try_get_by_index(FIRST + 11)?;
    if status != RunStatus::Cancelled || start_time.is_some() {
        let before = session.starts.last().copied().unwrap_or(0);
        // One from the future began while the clock was wrong.
        let start = start_time.map_or(not_before.max(create_time), |start| start.min(now.0));
        session.starts.push(start.max(before));
    }
    if seq == session.tail && status == RunStatus::Queued && kind == RunKind::Turn && made && mode == SessionMode::Default {
        let breaker = row.try_get_by_index::<String>(FIRST + 9)? == WaitReason::Breaker.as_str();
        session.open_tail = Some(TailRun {
            id: row.try_get_by_index(FIRST + 2)?,
            seq,
            deliveries: row.try_get_by_index(FIRST + 7)?,
            not_before,
            breaker_until: if breaker { not_before } else { 0 },
            create_time,
            planned: None,
        });
    }
    Ok(())
}

/// Who holds the keys of this batch.
fn holders(batch: &[Prepared]) -> Part {
    let wanted: BTreeSet<SameKey> = batch.iter().filter_map(|one| same_key(&one.delivery)).collect();
    if wanted.is_empty() {
        return Part::default();
    }
    let keys = Keys::new("t, d", wanted.into_iter().flat_map(|(trigger, key)| [trigger.into(), key.to_vec().into()]).collect());
    let tail = "d.id, d.trigger_id, d.dedupe_key, d.reason, d.run_id, d.session_id, d.receive_time, d.duplicate_count, d.outcome, r.status \
                FROM k JOIN deliveries d ON d.trigger_id = k.t AND d.dedupe_key = k.d LEFT JOIN runs r ON r.id = d.run_id";
    read(keys, tail)
}

fn note_holders(rows: Vec<QueryResult>, plan: &mut Plan) -> Step<()> {
    for row in rows {
        let key: Vec<u8> = row.try_get_by_index(FIRST + 2)?;
        let Ok(key) = <[u8; 16]>::try_from(key.as_slice()) else { continue };
        let reason: Option<String> = row.try_get_by_index(FIRST + 3)?;
        let unjudged = [DeliveryReason::FilterFailed, DeliveryReason::ThreadKeyFailed]
            .map(|reason| Some(reason.as_str()))
            .contains(&reason.as_deref());
        let rejected = row.try_get_by_index::<String>(FIRST + 8)? == DeliveryOutcome::Rejected.as_str();
        let failed = row.try_get_by_index::<Option<String>>(FIRST + 9)?.as_deref() == Some(RunStatus::Failed.as_str());
        let holder = Holder {
            id: row.try_get_by_index(FIRST)?,
            planned: None,
            receive_time: row.try_get_by_index(FIRST + 6)?,
            run_id: row.try_get_by_index(FIRST + 4)?,
            session_id: row.try_get_by_index(FIRST + 5)?,
            duplicates: row.try_get_by_index(FIRST + 7)?,
            failed: failed || (rejected && unjudged),
        };
        plan.holders.insert((row.try_get_by_index(FIRST + 1)?, key), holder);
    }
    Ok(())
}
