//! Everything that the runner needs for an attempt: small rows within the claim, bodies after it.

use std::collections::HashMap;

use sea_orm::{DbErr, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::claim::{Claimed, leases};
use super::transaction::Step;
use super::{Assignment, EarlierAttempt, Lease, Queue, WorkedDelivery};
use crate::domain::{DeliveryId, DeliveryPayload, Error, LeaseId, NanoUsd, Result, RunId, Session, SessionId, Settings, UnixMicros};
use crate::store::entity::{attempt, delivery, delivery_payload, run, session, setting, trigger};
use crate::store::payload::{manifest_from, word};
use crate::store::rows::{SETTINGS_ROW, delivery_of, payload_of, run_of, session_of, settings_of, trigger_of};
use crate::store::together::{self, FIRST, Part, keys};

/// Bytes of a body up to which it is read within the claim; with a larger one the claim would hold others up.
const SMALL_BODY: i64 = 64 * 1024;

/// A claimed run and the rows around it.
pub(super) struct Taken {
    assignment: Assignment,
    /// Its deliveries are still to be read.
    unread: bool,
}

impl Taken {
    /// Its session.
    pub(super) fn session_id(&self) -> Uuid {
        self.assignment.lease.session_id.0
    }
}

/// What a claim reads once its runs have started: small rows alone.
pub(super) fn parts(claimed: &[Claimed]) -> Vec<Part> {
    let started = "FROM k JOIN runs r ON r.session_id = k.session_id AND r.seq = k.seq AND r.lease_id = k.lease_id";
    let read = |columns: &str, joined: &str| {
        let (with, values) = leases(claimed);
        Part { head: with + " SELECT", tail: format!("{columns} {started} {joined}"), values }
    };
    let settings =
        Part { head: "SELECT".to_owned(), tail: "s.* FROM settings s WHERE s.name = ?".to_owned(), values: vec![SETTINGS_ROW.into()] };
    vec![
        read("r.*", ""),
        read("s.*", "JOIN sessions s ON s.id = r.session_id"),
        read("t.*", "JOIN triggers t ON t.id = r.trigger_id"),
        // The attempt that began now has not ended.
        read("a.*", "JOIN attempts a ON a.run_id = r.id AND a.end_time IS NOT NULL ORDER BY a.run_id, a.number"),
        settings,
        read("r.id AS of_run, d.*", &format!("{DELIVERIES} WHERE d.body_bytes <= {SMALL_BODY} ORDER BY l.run_id, l.ordinal")),
        read("r.id AS of_run, p.*", &format!("{DELIVERIES} {PAYLOADS} WHERE d.body_bytes <= {SMALL_BODY}")),
    ]
}

const DELIVERIES: &str = "JOIN run_deliveries l ON l.run_id = r.id JOIN deliveries d ON d.id = l.delivery_id";
const PAYLOADS: &str = "JOIN delivery_payloads p ON p.delivery_id = l.delivery_id";

fn models<M: FromQueryResult>(rows: Vec<QueryResult>) -> Result<Vec<M>, DbErr> {
    rows.iter().map(|row| M::from_query_result(row, "")).collect()
}

/// What those rows say of each run that started.
pub(super) fn taken(found: Vec<Vec<QueryResult>>, claimed: &[Claimed]) -> Step<Vec<Taken>> {
    let mut found = found.into_iter();
    let mut next = || found.next().unwrap_or_default();
    let runs: Vec<run::Model> = models(next())?;
    let mut sessions: HashMap<Uuid, session::Model> = models(next())?.into_iter().map(|row: session::Model| (row.id, row)).collect();
    let triggers: HashMap<Uuid, trigger::Model> = models(next())?.into_iter().map(|row: trigger::Model| (row.id, row)).collect();
    let mut earlier: HashMap<Uuid, Vec<EarlierAttempt>> = HashMap::new();
    for row in models::<attempt::Model>(next())? {
        let agent_session_id = Uuid::try_parse(&row.agent_session_id).ok();
        earlier.entry(row.run_id).or_default().push(EarlierAttempt { number: row.number, agent_session_id, exit: row.exit });
    }
    let settings = models::<setting::Model>(next())?.first().map_or_else(|| Ok(Settings::default()), settings_of)?;
    let mut small = worked(next(), next())?;
    let mut all = Vec::with_capacity(runs.len());
    for row in runs {
        let gone = || Error::internal(format!("run {} lost its rows while it was claimed", RunId(row.id)));
        let claim = claimed.iter().find(|one| one.session == row.session_id).ok_or_else(gone)?;
        let session = sessions.remove(&row.session_id).ok_or_else(gone)?;
        let trigger = triggers.get(&row.trigger_id).cloned().ok_or_else(gone)?;
        let earlier = earlier.remove(&row.id).unwrap_or_default();
        let deliveries = small.remove(&row.id).unwrap_or_default();
        let unread = i32::try_from(deliveries.len()) != Ok(row.delivery_count);
        let mut assignment = assignment(claim, row, session, trigger, settings.clone(), earlier)?;
        if !unread {
            assignment.give(deliveries);
        }
        all.push(Taken { assignment, unread });
    }
    Ok(all)
}

fn assignment(
    claim: &Claimed,
    row: run::Model,
    session: session::Model,
    trigger: trigger::Model,
    settings: Settings,
    earlier: Vec<EarlierAttempt>,
) -> Result<Assignment> {
    let stored_prompt = match (&row.prompt_kind, &row.prompt) {
        (Some(kind), Some(prompt)) => Some((word(kind)?, prompt.clone())),
        _ => None,
    };
    Ok(Assignment {
        lease: Lease { id: LeaseId(claim.lease), session_id: SessionId(claim.session), run_id: RunId(row.id), attempt: row.attempt },
        // A worker needs no secret.
        trigger: trigger_of(trigger, &[])?,
        settings,
        deliveries: Vec::new(),
        session_mode: word(&row.session_mode)?,
        prompt_override: row.prompt_override.clone(),
        stored_prompt,
        earlier,
        manifest: manifest_from(&session.manifest)?,
        agent_total_cost: NanoUsd(session.agent_total_cost_nano),
        last_agent_version: session.agent_version.clone(),
        session: Session { last_use_time: UnixMicros(claim.last_use_time), last_run_id: claim.last_run.map(RunId), ..session_of(session)? },
        run: run_of(row)?,
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
    let read = |columns: &str, joined: &str| {
        let (with, values) = keys("id", runs.iter().map(|run| run.0.into()).collect());
        Part { head: with + " SELECT", tail: format!("r.id AS of_run, {columns} FROM k r {DELIVERIES} {joined}"), values }
    };
    let parts = vec![read("d.*", "ORDER BY l.run_id, l.ordinal"), read("p.*", PAYLOADS)];
    let mut rows = together::run(queue.store().read(), parts).await?.into_iter();
    worked(rows.next().unwrap_or_default(), rows.next().unwrap_or_default())
}

/// Deliveries with their payloads, by run. One that retention took is no longer part of the prompt.
fn worked(listed: Vec<QueryResult>, payloads: Vec<QueryResult>) -> Result<HashMap<Uuid, Vec<WorkedDelivery>>> {
    let mut bodies: HashMap<Uuid, DeliveryPayload> = HashMap::new();
    for row in models::<delivery_payload::Model>(payloads)? {
        match payload_of(&row) {
            Ok(payload) => _ = bodies.insert(row.delivery_id, payload),
            // A body that cannot be read must not hold the queue up: its run goes on without it.
            Err(error) => tracing::error!(delivery.id = %DeliveryId(row.delivery_id), %error, "stored body of delivery cannot be read"),
        }
    }
    let mut found: HashMap<Uuid, Vec<WorkedDelivery>> = HashMap::new();
    for row in &listed {
        let delivery = delivery::Model::from_query_result(row, "")?;
        let payload = bodies.remove(&delivery.id).unwrap_or(DeliveryPayload { headers: Vec::new(), body: Vec::new(), walk: Vec::new() });
        found.entry(row.try_get_by_index(FIRST)?).or_default().push(WorkedDelivery { delivery: delivery_of(delivery)?, payload });
    }
    Ok(found)
}
